//! The journal: it stalls, fails, does not know whether it failed, and loses at a crash what it has not synced.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::RequestClass;
use socketqueue::mux::{
    Event, FinalState, JournalOp, Mux, Record, Recovered, Remembered, Stage, State, TxId,
};
use socketqueue::rules::Request;

use super::world::{World, amount_of};

/// A row, as the operations that were synced left it.
struct Row {
    id: TxId,
    request: Box<Request>,
    record: Option<Record>,
    received: Duration,
    stage: Stage,
    attempts: u32,
    rrn: Option<Bytes>,
    superseded: bool,
    ended: Option<(Duration, FinalState)>,
}

#[derive(Default)]
pub struct Disk {
    /// Handed over, not synced; each with the time.
    ops: VecDeque<(Duration, JournalOp)>,
    rows: Vec<Row>,
    /// The row of each transaction of this process.
    row_of: BTreeMap<TxId, usize>,
    /// Intents of unknown outcome, and whether they are there.
    unsure: VecDeque<(TxId, bool)>,
    /// Whether the mux has been told of a failure and not yet that intents are taken again.
    down: bool,
}

impl Disk {
    pub fn take(&mut self, now: Duration, op: JournalOp) {
        self.ops.push_back((now, op));
    }

    pub fn is_idle(&self) -> bool {
        self.ops.is_empty() && self.unsure.is_empty() && !self.down
    }

    /// Syncs what was handed over first. The intents among it, oldest first.
    fn commit(&mut self, count: usize) -> Vec<TxId> {
        let mut intents = Vec::new();
        for (at, op) in self.ops.drain(..count).collect::<Vec<_>>() {
            if let JournalOp::Intent { id, .. } = &op {
                intents.push(*id);
            }
            self.apply(at, op);
        }
        intents
    }

    fn apply(&mut self, at: Duration, op: JournalOp) {
        match op {
            JournalOp::Intent { id, request, record } => {
                self.row_of.insert(id, self.rows.len());
                let (stage, attempts, rrn) = (Stage::Intent, 0, None);
                let (superseded, ended) = (false, None);
                self.rows.push(Row {
                    id,
                    request,
                    record,
                    received: at,
                    stage,
                    attempts,
                    rrn,
                    superseded,
                    ended,
                });
            }
            JournalOp::Adopt { id, row } => {
                self.row_of.insert(id, row as usize);
                self.rows[row as usize].id = id;
            }
            JournalOp::Reopened { id, was } => {
                if let Some(row) = self.row_of.remove(&was) {
                    self.row_of.insert(id, row);
                    self.rows[row].id = id;
                    self.rows[row].ended = None;
                }
            }
            JournalOp::Answered { id, class, .. } => self.change(id, |row| {
                row.stage = match class {
                    RequestClass::Approved => Stage::AnsweredApproved,
                    RequestClass::Declined => Stage::AnsweredDeclined,
                    RequestClass::InDoubt => Stage::AnsweredInDoubt,
                };
            }),
            JournalOp::End { id, state } => self.change(id, |row| row.ended = Some((at, state))),

            JournalOp::Owed { id } => self.change(id, |row| {
                (row.stage, row.ended) = (Stage::Owed, None);
            }),
            JournalOp::Sent { id, attempt } => self.change(id, |row| row.attempts = attempt),
            JournalOp::Learned { id, rrn } => self.change(id, |row| row.rrn = Some(rrn)),
            JournalOp::Parked { id } => self.change(id, |row| row.stage = Stage::Parked),
            JournalOp::Listed { id } => self.change(id, |row| row.stage = Stage::Listed),
            JournalOp::Superseded { id } => self.change(id, |row| row.superseded = true),
            other => panic!("unknown: the journal was handed {other:?}"),
        }
    }

    fn change(&mut self, id: TxId, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.row_of.get(&id) {
            change(&mut self.rows[*row]);
        }
    }
}

impl World {
    pub fn journal_works(&mut self) {
        if self.disk.down && self.chance.permille(700) {
            self.journal_is_up();
        }
        match self.chance.below(12) {
            0 if self.faults => self.journal_fails(false),
            1 if self.faults => self.journal_fails(true),
            2 | 3 => self.journal_reads_back(),
            _ => {
                let count = 1 + self.chance.below(12) as usize;
                self.journal_commits(count);
            }
        }
    }

    pub fn journal_catches_up(&mut self) {
        while !self.disk.is_idle() {
            self.journal_is_up();
            self.journal_reads_back();
            self.journal_commits(usize::MAX);
            self.settle();
        }
    }

    fn journal_is_up(&mut self) {
        self.disk.down = false;
        self.mux.handle(self.now, Event::JournalUp);
    }

    fn journal_commits(&mut self, count: usize) {
        let count = count.min(self.disk.ops.len());
        for id in self.disk.commit(count) {
            self.is_durable(id);
        }
    }

    fn is_durable(&mut self, id: TxId) {
        self.note(format_args!("journal: {id} is durable"));
        self.watch.durable(id);
        self.mux.handle(self.now, Event::Durable { id });
    }

    /// The next intent fails, alone.
    fn journal_fails(&mut self, unknown: bool) {
        let is_intent = |(_, op): &(Duration, JournalOp)| matches!(op, JournalOp::Intent { .. });
        let Some(at) = self.disk.ops.iter().position(is_intent) else { return };
        self.journal_commits(at);
        let Some((at, op)) = self.disk.ops.pop_front() else { return };
        let JournalOp::Intent { id, .. } = op else { return };
        if unknown {
            let is_there = self.chance.permille(500);
            self.disk.unsure.push_back((id, is_there));
            if is_there {
                self.disk.apply(at, op);
            }
        }
        self.note(format_args!("journal: {id} failed{}", if unknown { ", or not" } else { "" }));
        self.disk.down = true;
        self.mux.handle(self.now, Event::JournalFailed { id, unknown });
    }

    fn journal_reads_back(&mut self) {
        while let Some((id, is_there)) = self.disk.unsure.pop_front() {
            match is_there {
                true => self.is_durable(id),
                false => self.mux.handle(self.now, Event::JournalFailed { id, unknown: false }),
            }
        }
    }

    /// The process is killed, at any moment: a commit may have been under way, what was not synced is lost, every
    /// connection is gone. Another process takes over what the journal has open.
    pub fn crash(&mut self) {
        if !self.settings.journaled || !self.faults {
            return;
        }
        self.note(format_args!("-- killed"));
        let synced = self.chance.below(self.disk.ops.len() as u64 + 1) as usize;
        self.restart(synced);
    }

    /// The process has stopped in order: all that was handed over is synced.
    pub fn restart_in_order(&mut self) {
        self.note(format_args!("-- restarted"));
        self.restart(self.disk.ops.len());
    }

    fn restart(&mut self, synced: usize) {
        self.disk.commit(synced);
        for (_, op) in std::mem::take(&mut self.disk.ops) {
            if let JournalOp::Owed { id } | JournalOp::Reopened { id, .. } = op {
                self.watch.lost_at_crash(id);
            }
        }
        self.disk.unsure.clear();
        self.disk.row_of.clear();
        self.disk.down = false;
        self.all_clients_leave();
        if self.link_up {
            self.watch.link(self.now.uptime, false);
        }
        (self.link_up, self.draining, self.drained) = (false, None, None);
        self.connection += 1;
        self.mux = Mux::new(self.settings.clone());
        self.watch.process_is_gone();
        self.remember_ended();
        let open: Vec<usize> =
            (0..self.disk.rows.len()).filter(|row| self.disk.rows[*row].ended.is_none()).collect();
        for row in open {
            let kept = &self.disk.rows[row];
            let age = self.now.uptime.saturating_sub(kept.received);
            let recovered = Recovered {
                row: row as i64,
                was: kept.id,
                request: kept.request.clone(),
                attempts: kept.attempts,
                rrn: kept.rrn.clone(),
                stage: kept.stage,
                age,
                left_ago: None,
                record: kept.record,
                withheld: None,
                superseded: kept.superseded,
            };
            let (amount, stage) = (amount_of(kept.request.message()), kept.stage);
            self.note(format_args!("row {row}: amount {amount}, {stage:?}"));
            self.watch.recovering(row as i64, &recovered.request, stage);
            self.mux.handle(self.now, Event::Recover(Box::new(recovered)));
            self.collect();
        }
    }

    /// The mux is told of what had ended and somebody may ask about.
    fn remember_ended(&mut self) {
        let mut ended: Vec<(Duration, Remembered)> = Vec::new();
        for row in &self.disk.rows {
            let (Some((at, state)), Some(record)) = (row.ended, row.record) else { continue };
            let state = match state {
                FinalState::Delivered => State::Delivered,
                FinalState::DeclinedUndelivered => State::DeclinedUndelivered,
                FinalState::Reversed => State::Reversed,
                FinalState::Listed => State::Listed,
                FinalState::Parked => State::Parked,
                FinalState::AdviceAccepted => State::AdviceAccepted,
                FinalState::Unanswered => State::Unanswered,
                FinalState::NeverSent | FinalState::Refused => State::NeverSent,
            };
            let ended_ago = self.now.uptime.saturating_sub(at);
            ended.push((at, Remembered { was: row.id, record, state, attempts: row.attempts, ended_ago }));
        }
        ended.sort_by_key(|(at, _)| *at);
        for (_, remembered) in ended {
            self.mux.handle(self.now, Event::Remember(Box::new(remembered)));
        }
    }
}
