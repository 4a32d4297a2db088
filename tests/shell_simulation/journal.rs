//! A journal with a disk that is slow, fails, leaves one in the dark, and outlives the gateway.
//!
//! It keeps the contract of the durable one: operations apply in their order, what queued up while a commit ran makes the
//! next one, intents fail while it is down and everything else is kept, a commit of unknown outcome is read back.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::{Dialect, RequestClass};
use socketqueue::journal::{Journal, Verdict};
use socketqueue::mux::{FinalState, JournalOp, Recovered, Stage, TxId};
use socketqueue::rules::{self, KeyFields, Restored};
use tokio::time::{Sleep, sleep};

use crate::chance::Chance;

/// What one transaction left on the disk.
#[derive(Clone)]
pub struct Row {
    was: TxId,
    image: Bytes,
    received_ms: i64,
    pub stage: Stage,
    attempts: u32,
    rrn: Option<Bytes>,
    superseded: bool,
    pub ended: bool,
}

/// What outlives the gateway.
#[derive(Default)]
pub struct Disk {
    pub rows: BTreeMap<i64, Row>,
    by_id: BTreeMap<TxId, i64>,
    pub commits: u64,
    pub failures: u64,
}

/// What a disk does to commits.
#[derive(Clone, Copy)]
pub struct Habits {
    /// Of a thousand commits, so many fail.
    pub fails: u64,
    /// So many leave one in the dark.
    pub unknown: u64,
    /// So many take seconds.
    pub stalls: u64,
}

pub struct SimulatedJournal {
    pub disk: Arc<Mutex<Disk>>,
    dialect: Arc<Dialect>,
    chance: Chance,
    habits: Arc<Mutex<Habits>>,
    /// The wall clock at uptime zero of the runtime.
    wall_ms: Box<dyn Fn() -> i64 + Send>,
    queue: Vec<JournalOp>,
    /// The commit that runs, how it will go, and when that is known.
    running: Option<(Vec<JournalOp>, Fate, Pin<Box<Sleep>>)>,
    verdicts: Vec<Verdict>,
    /// Intents that are not there, as will be found.
    lost: Vec<TxId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Done,
    Fails,
    /// In the dark, and it is there or not.
    Unknown(bool),
    /// After a failure: everything but intents is tried again.
    Repair,
}

impl SimulatedJournal {
    pub fn new(
        disk: Arc<Mutex<Disk>>,
        habits: Arc<Mutex<Habits>>,
        dialect: Arc<Dialect>,
        chance: Chance,
        wall_ms: impl Fn() -> i64 + Send + 'static,
    ) -> SimulatedJournal {
        SimulatedJournal {
            disk,
            dialect,
            chance,
            habits,
            wall_ms: Box::new(wall_ms),
            queue: Vec::new(),
            running: None,
            verdicts: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Begins the next commit, if there is one to do and none runs.
    fn begin(&mut self) {
        if self.running.is_some() || self.queue.is_empty() {
            return;
        }
        let habits = *self.habits.lock().unwrap();
        let lot = self.chance.below(1000);
        let fate = match lot {
            lot if lot < habits.fails => Fate::Fails,
            lot if lot < habits.fails + habits.unknown => Fate::Unknown(self.chance.permille(500)),
            _ => Fate::Done,
        };
        let takes = match self.chance.permille(habits.stalls) {
            true => self.chance.millis(1000, 8000),
            false => Duration::from_micros(50 + self.chance.below(5000)),
        };
        self.running = Some((std::mem::take(&mut self.queue), fate, Box::pin(sleep(takes))));
    }

    fn finish(&mut self, ops: Vec<JournalOp>, fate: Fate) {
        match fate {
            Fate::Done => {
                self.apply_all(ops);
                self.disk.lock().unwrap().commits += 1;
            }
            Fate::Fails => {
                self.verdicts.extend(ops.iter().filter_map(intent).map(Verdict::Failed));
                self.go_down(ops.into_iter().filter(|op| intent(op).is_none()).collect());
            }
            Fate::Unknown(is_there) => {
                self.verdicts.extend(ops.iter().filter_map(intent).map(Verdict::Unknown));
                if is_there {
                    // Done again when it is read back, which makes no difference.
                    return self.go_down(ops);
                }
                self.lost.extend(ops.iter().filter_map(intent));
                self.go_down(ops.into_iter().filter(|op| intent(op).is_none()).collect());
            }
            Fate::Repair => {
                self.apply_all(ops);
                self.verdicts.extend(std::mem::take(&mut self.lost).into_iter().map(Verdict::Failed));
                self.verdicts.push(Verdict::Up);
            }
        }
    }

    fn apply_all(&mut self, ops: Vec<JournalOp>) {
        for op in ops {
            self.verdicts.extend(intent(&op).map(Verdict::Durable));
            let now_ms = (self.wall_ms)();
            self.disk.lock().unwrap().apply(op, &self.dialect, now_ms);
        }
    }

    /// It takes no intents until it is repaired, a while later.
    fn go_down(&mut self, kept: Vec<JournalOp>) {
        self.disk.lock().unwrap().failures += 1;
        let after = self.chance.millis(50, 3000);
        self.running = Some((kept, Fate::Repair, Box::pin(sleep(after))));
        self.refuse_intents();
    }

    fn refuse_intents(&mut self) {
        let verdicts = &mut self.verdicts;
        self.queue.retain(|op| {
            verdicts.extend(intent(op).map(Verdict::Failed));
            intent(op).is_none()
        });
    }

    fn is_down(&self) -> bool {
        self.running.as_ref().is_some_and(|(_, fate, _)| *fate == Fate::Repair)
    }

    fn work(&mut self, cx: &mut Context<'_>) {
        loop {
            self.begin();
            let Some((_, _, sleep)) = &mut self.running else { return };
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            if let Some((ops, fate, _)) = self.running.take() {
                self.finish(ops, fate);
            }
        }
    }
}

impl Journal for SimulatedJournal {
    fn submit(&mut self, ops: &mut Vec<JournalOp>) {
        self.queue.append(ops);
        if self.is_down() {
            self.refuse_intents();
        }
    }

    fn poll_verdicts(&mut self, cx: &mut Context<'_>, verdicts: &mut Vec<Verdict>) -> Poll<()> {
        self.work(cx);
        if self.verdicts.is_empty() {
            return Poll::Pending;
        }
        verdicts.append(&mut self.verdicts);
        Poll::Ready(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.work(cx);
        if self.queue.is_empty() && self.running.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl Drop for SimulatedJournal {
    /// The gateway is gone. The commit that ran is on the disk or it is not; nobody was told.
    fn drop(&mut self) {
        if let Some((ops, fate, _)) = self.running.take() {
            let is_there = match fate {
                Fate::Unknown(is_there) => is_there,
                Fate::Done => self.chance.permille(500),
                Fate::Fails => false,
                // Intents among it were found there.
                Fate::Repair => true,
            };
            if is_there {
                self.apply_all(ops);
            }
        }
    }
}

impl Disk {
    fn apply(&mut self, op: JournalOp, dialect: &Dialect, now_ms: i64) {
        match op {
            JournalOp::Intent { id, request, .. } => {
                let number = self.rows.len() as i64 + 1;
                let row = Row {
                    was: id,
                    image: rules::image(&request, dialect),
                    received_ms: now_ms,
                    stage: Stage::Intent,
                    attempts: 0,
                    rrn: None,
                    superseded: false,
                    ended: false,
                };
                self.rows.insert(number, row);
                self.by_id.insert(id, number);
            }
            JournalOp::Adopt { id, row } => drop(self.by_id.insert(id, row)),
            JournalOp::Answered { id, class, .. } => self.change(id, |row| {
                row.stage = match class {
                    RequestClass::Approved => Stage::AnsweredApproved,
                    RequestClass::InDoubt => Stage::AnsweredInDoubt,
                    RequestClass::Declined => Stage::AnsweredDeclined,
                };
            }),
            JournalOp::End { id, state } => self.change(id, |row| match state {
                FinalState::Parked => row.stage = Stage::Parked,
                FinalState::Listed => row.stage = Stage::Listed,
                _ => row.ended = true,
            }),
            JournalOp::Owed { id } => self.change(id, |row| row.waits(Stage::Owed)),
            JournalOp::Parked { id } => self.change(id, |row| row.waits(Stage::Parked)),
            JournalOp::Listed { id } => self.change(id, |row| row.waits(Stage::Listed)),
            JournalOp::Retried { id, .. } => self.change(id, |row| row.waits(Stage::Owed)),
            JournalOp::Sent { id, attempt } => self.change(id, |row| row.attempts = attempt),
            JournalOp::Learned { id, rrn } => self.change(id, |row| row.rrn = Some(rrn)),
            JournalOp::Superseded { id } => self.change(id, |row| row.superseded = true),
            JournalOp::Resolved { id, .. } => self.change(id, |row| row.ended = true),
            JournalOp::Reopened { id, was } => {
                if let Some(number) = self.by_id.get(&was).copied() {
                    self.by_id.insert(id, number);
                    self.change(id, |row| row.waits(Stage::Owed));
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, id: TxId, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.by_id.get(&id).and_then(|number| self.rows.get_mut(number)) {
            change(row);
        }
    }

    /// What a start finds open, oldest first.
    pub fn open(&mut self, dialect: &Dialect, keys: &KeyFields, now_ms: i64) -> Vec<Recovered> {
        self.by_id.clear();
        let open = self.rows.iter().filter(|(_, row)| !row.ended);
        open.map(|(number, row)| row.recovered(*number, dialect, keys, now_ms)).collect()
    }
}

impl Row {
    fn waits(&mut self, stage: Stage) {
        self.stage = stage;
        self.ended = false;
    }

    fn recovered(&self, row: i64, dialect: &Dialect, keys: &KeyFields, now_ms: i64) -> Recovered {
        let request = Restored::read(dialect, keys, self.image.clone()).expect("what was kept can be read");
        Recovered {
            row,
            was: self.was,
            request: Arc::new(request),
            attempts: self.attempts,
            rrn: self.rrn.clone(),
            stage: self.stage,
            age: Duration::from_millis((now_ms - self.received_ms).unsigned_abs()),
            left_ago: None,
            record: None,
            withheld: None,
            superseded: self.superseded,
        }
    }

    /// DE 4 of what was kept.
    pub fn amount(&self, dialect: &Dialect) -> u64 {
        let message = socketqueue::iso8583::Message::parse(&dialect.schema, self.image.clone()).unwrap();
        message.text(socketqueue::iso8583::field::AMOUNT).unwrap().parse().unwrap()
    }
}

fn intent(op: &JournalOp) -> Option<TxId> {
    match op {
        JournalOp::Intent { id, .. } => Some(*id),
        _ => None,
    }
}
