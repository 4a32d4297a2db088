//! The journal: it stalls, fails, does not know whether it failed, and loses at a crash what it has not synced.
//!
//! There are two copies of its rows: what is synced, and what it would be if everything handed over were. The second one
//! must say, after every step, just what the mux holds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::{Dialect, RequestClass};
use socketqueue::mux::{
    Event, FinalState, JournalOp, Lately, Mux, Record, Recovered, Remembered, Stage, State, TxId,
};
use socketqueue::rules::{self, Restored};

use super::world::{Amount, World, amount_of};

/// A row, as the operations that reached it left it.
#[derive(Clone)]
pub struct Row {
    /// The id that the client was told.
    first_id: TxId,
    image: Bytes,
    pub amount: Amount,
    record: Option<Record>,
    received: Duration,
    pub stage: Stage,
    attempts: u32,
    rrn: Option<Bytes>,
    class: Option<RequestClass>,
    superseded: bool,
    pub ended: Option<(Duration, FinalState)>,
}

/// Rows, and which of them this process has open.
#[derive(Clone, Default)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// The row of each transaction of this process, also of those that are over.
    pub row_of: BTreeMap<TxId, usize>,
}

#[derive(Default)]
pub struct Disk {
    /// Handed over, not synced; each with the time.
    ops: VecDeque<(Duration, JournalOp)>,
    /// What is synced.
    pub synced: Rows,
    /// What would be there if everything were.
    pub promised: Rows,
    /// Intents of unknown outcome, and whether they are there.
    unsure: VecDeque<(TxId, bool)>,
    /// Whether the mux has been told of a failure and not yet that intents are taken again.
    down: bool,
}

impl Disk {
    pub fn take(&mut self, now: Duration, op: JournalOp, dialect: &Dialect) {
        self.promised.apply(now, op.clone(), dialect);
        self.ops.push_back((now, op));
    }

    pub fn is_idle(&self) -> bool {
        self.ops.is_empty() && self.unsure.is_empty() && !self.down
    }

    /// Syncs what was handed over first. The intents among it, oldest first.
    fn commit(&mut self, count: usize, dialect: &Dialect) -> Vec<TxId> {
        let mut intents = Vec::new();
        for (at, op) in self.ops.drain(..count).collect::<Vec<_>>() {
            if let JournalOp::Intent { id, .. } = &op {
                intents.push(*id);
            }
            self.synced.apply(at, op, dialect);
        }
        intents
    }
}

impl Rows {
    fn apply(&mut self, at: Duration, op: JournalOp, dialect: &Dialect) {
        match op {
            JournalOp::Intent { id, request, record } => {
                self.row_of.insert(id, self.rows.len());
                self.rows.push(Row {
                    first_id: id,
                    image: rules::image(&request, dialect),
                    amount: amount_of(request.message()),
                    record,
                    received: at,
                    stage: Stage::Intent,
                    attempts: 0,
                    rrn: None,
                    class: None,
                    superseded: false,
                    ended: None,
                });
            }
            JournalOp::Adopt { id, row } => {
                self.row_of.insert(id, row as usize);
            }
            JournalOp::Reopened { id, was } => {
                if let Some(row) = self.row_of.remove(&was) {
                    self.row_of.insert(id, row);
                    self.rows[row].ended = None;
                    self.rows[row].stage = Stage::Owed;
                }
            }
            JournalOp::Answered { id, class, answer } => self.change(id, |row| {
                row.stage = match class {
                    RequestClass::Approved => Stage::AnsweredApproved,
                    RequestClass::Declined => Stage::AnsweredDeclined,
                    RequestClass::InDoubt => Stage::AnsweredInDoubt,
                };
                row.class = Some(class);
                row.rrn = answer.rrn.as_deref().map(Bytes::copy_from_slice).or(row.rrn.take());
            }),
            JournalOp::End { id, state } => self.change(id, |row| row.ended = Some((at, state))),
            JournalOp::Owed { id } => self.change(id, |row| row.stage = Stage::Owed),
            JournalOp::Sent { id, attempt } => self.change(id, |row| row.attempts = attempt),
            JournalOp::Learned { id, rrn } => self.change(id, |row| row.rrn = Some(rrn)),
            JournalOp::Parked { id } => self.change(id, |row| row.stage = Stage::Parked),
            JournalOp::Listed { id } => self.change(id, |row| row.stage = Stage::Listed),
            JournalOp::Superseded { id } => self.change(id, |row| row.superseded = true),
            JournalOp::Retried { id, .. } => self.change(id, |row| {
                (row.stage, row.superseded) = (Stage::Owed, false);
            }),
            JournalOp::Resolved { id, .. } => self.change(id, |row| {
                row.ended = Some((at, FinalState::Parked));
            }),
            other => panic!("journal: it was handed what it does not know, {other:?}"),
        }
    }

    /// What has no row (an echo, one that joined another) leaves no trace. What is over takes no change.
    fn change(&mut self, id: TxId, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.row_of.get(&id) {
            let row = &mut self.rows[*row];
            assert_eq!(row.ended, None, "journal: {id} is over there, and goes on");
            change(row);
        }
    }

    /// The row of a transaction, unless it is over.
    pub fn open(&self, id: TxId) -> Option<&Row> {
        self.row_of.get(&id).map(|row| &self.rows[*row]).filter(|row| row.ended.is_none())
    }

    pub fn of_amount(&self, amount: Amount) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.amount == amount)
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
        for id in self.disk.commit(count, &self.dialect) {
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
        let is_there = unknown && self.chance.permille(500);
        if unknown {
            self.disk.unsure.push_back((id, is_there));
        }
        match is_there {
            true => self.disk.synced.apply(at, op, &self.dialect),
            // All that follows of it finds no row.
            false => {
                if let Some(row) = self.disk.promised.row_of.remove(&id) {
                    self.disk.promised.rows[row].ended = Some((at, FinalState::NeverSent));
                }
                // Rows have the same numbers in both copies.
                let never_written = self.disk.promised.rows.get(self.disk.synced.rows.len()).cloned();
                self.disk.synced.rows.extend(never_written);
            }
        }
        self.note(format_args!("journal: {id} failed{}", if unknown { ", or not" } else { "" }));
        self.watch.not_journaled(id);
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
        let count = self.chance.below(self.disk.ops.len() as u64 + 1) as usize;
        self.disk.commit(count, &self.dialect);
        let lost: Vec<JournalOp> = self.disk.ops.drain(..).map(|(_, op)| op).collect();
        self.windows_of_a_crash(&lost);
        self.restart();
    }

    /// What nobody can know after this crash, and no more than that.
    fn windows_of_a_crash(&mut self, lost: &[JournalOp]) {
        for op in lost {
            match op {
                // Delivered, and that was not written down: it is reversed.
                JournalOp::End { id, state: FinalState::Delivered } => self.watch.delivered_before_crash(*id),
                // Over or declined by what is written down; that there is something to undo is not.
                JournalOp::Reopened { id, .. } | JournalOp::Owed { id } => {
                    let row =
                        self.disk.promised.row_of.get(id).and_then(|row| self.disk.synced.rows.get(*row));
                    let seems_over = |row: &&Row| row.ended.is_some() || row.stage == Stage::AnsweredDeclined;
                    if let Some(amount) = row.filter(seems_over).map(|row| row.amount) {
                        self.note(format_args!("lost: amount {amount} has something to undo"));
                        self.watch.doubt_lost(amount);
                    }
                }
                _ => {}
            }
        }
    }

    /// The process has stopped in order: all that was handed over is synced.
    pub fn restart_in_order(&mut self) {
        self.note(format_args!("-- restarted"));
        self.disk.commit(self.disk.ops.len(), &self.dialect);
        self.restart();
    }

    fn restart(&mut self) {
        self.disk.unsure.clear();
        self.disk.down = false;
        self.all_clients_leave();
        if self.link_up {
            self.watch.link(self.now.uptime, false);
        }
        (self.link_up, self.congested, self.draining, self.drained) = (false, false, None, None);
        self.connection += 1;
        let known_there = |amount| {
            // (A client's own reversal has a row of its own, with the amount of its sale. The second digit is the class.)
            let mut sales = self.disk.synced.of_amount(amount).filter(|row| row.image.get(1) != Some(&b'4'));
            sales.any(|row| row.ended.is_some() || row.stage == Stage::AnsweredDeclined)
        };
        self.watch.process_is_gone(known_there);
        self.mux = Mux::new(self.settings.clone());
        // No id names two: what the journal names last is told first, as the gateway does.
        if let Some(last) = self.disk.synced.rows.iter().map(|row| row.first_id).max() {
            self.mux.number_after(last);
        }
        self.disk.synced.row_of.clear();
        self.disk.promised = self.disk.synced.clone();
        self.remember_ended();
        let open: Vec<usize> = (0..self.disk.synced.rows.len())
            .filter(|row| self.disk.synced.rows[*row].ended.is_none())
            .collect();
        for row in open {
            self.take_over(row);
        }
    }

    fn take_over(&mut self, row: usize) {
        let kept = self.disk.synced.rows[row].clone();
        let age = self.now.uptime.saturating_sub(kept.received);
        let request = Restored::read(&self.dialect, &self.keys, kept.image).unwrap();
        let (row, stage, attempts) = (row as i64, kept.stage, kept.attempts);
        let recovered = Recovered {
            row,
            was: kept.first_id,
            request: Arc::new(request),
            attempts,
            rrn: kept.rrn,
            stage,
            age,
            left_ago: Some(age.saturating_sub(self.settings.queue_timeout)),
            record: kept.record,
            withheld: None,
            superseded: kept.superseded,
        };
        self.note(format_args!("row {row}: amount {}, {stage:?}, {attempts} attempts", kept.amount));
        self.watch.recovering(row, &recovered.request, stage == Stage::Owed || attempts > 0);
        self.mux.handle(self.now, Event::Recover(Box::new(recovered)));
        self.collect();
    }

    /// The mux is told of what had ended and somebody may ask about, or the host may say something of.
    fn remember_ended(&mut self) {
        let now = self.now.uptime;
        let mut ended: Vec<(Duration, Remembered)> = Vec::new();
        for (number, row) in self.disk.synced.rows.iter().enumerate() {
            let Some((at, state)) = row.ended else { continue };
            let ended_ago = now.saturating_sub(at);
            let has_image = ended_ago < self.settings.late_window && state != FinalState::NeverSent;
            let lately = has_image.then(|| {
                let request = Restored::read(&self.dialect, &self.keys, row.image.clone()).unwrap();
                Box::new(Lately { row: number as i64, request, class: row.class, rrn: row.rrn.clone() })
            });
            let (was, record, state) = (row.first_id, row.record, State::from(state));
            if record.is_some() || lately.is_some() {
                let attempts = row.attempts;
                ended.push((at, Remembered { was, record, state, attempts, ended_ago, lately }));
            }
        }
        ended.sort_by_key(|(at, _)| *at);
        for (_, remembered) in ended {
            if let Some(lately) = &remembered.lately {
                self.watch.remembering(remembered.was, &lately.request);
            }
            self.mux.handle(self.now, Event::Remember(Box::new(remembered)));
        }
    }
}
