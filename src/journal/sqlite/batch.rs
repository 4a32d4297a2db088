//! What meets in one commit, laid together: one change for each transaction, whatever number of operations it had.
//!
//! All rows of a commit become visible together, so between transactions no order is needed inside it; within one the
//! later operation wins.

use std::collections::HashMap;

use super::store::OpenRows;
use crate::iso8583::mask::{self, MaskStyle};
use crate::journal::codes::Stage;
use crate::mux::{FinalState, JournalOp, Record, TxId};
use crate::rules::Request;
use crate::time::Now;

/// An operation and when it was handed over.
pub(super) struct Entry {
    pub(super) op: JournalOp,
    pub(super) at: Now,
}

/// Where a change's row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// It is made by this change.
    New,
    /// It is open, at this row.
    Row(i64),
    /// It had ended, under this id.
    Was(u64),
}

/// All that happens to one transaction in one commit.
pub(super) struct Change<'e> {
    /// The id that it has after it.
    pub(super) tx: u64,
    pub(super) found_by: FoundBy,
    /// It was open at the start, and goes on under this id.
    pub(super) adopted: bool,
    /// Its request, and when it came; of a new one.
    pub(super) request: Option<(&'e Request, Option<Record>, Now)>,
    /// The id that it had before, if that is another one.
    pub(super) renamed: Option<u64>,
    pub(super) stage: Option<Stage>,
    pub(super) attempts: Option<u32>,
    pub(super) rrn: Option<String>,
    pub(super) approval_code: Option<String>,
    pub(super) response_code: Option<String>,
    /// Outcome and end, where they change.
    pub(super) end: Option<End>,
    /// Its key was used again; or a person has dealt with that.
    pub(super) superseded: Option<bool>,
    /// What a person decided, and why.
    pub(super) notes: Vec<(&'static str, String, Now)>,
}

/// What a change does to outcome and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has come to its final state.
    In(FinalState, Now),
    /// It is open again.
    No,
    /// A person has seen to it; the outcome stays.
    Seen(Now),
}

impl Change<'_> {
    fn of(tx: u64, found_by: FoundBy) -> Change<'static> {
        Change {
            tx,
            found_by,
            adopted: false,
            request: None,
            renamed: None,
            stage: None,
            attempts: None,
            rrn: None,
            approval_code: None,
            response_code: None,
            end: None,
            superseded: None,
            notes: Vec::new(),
        }
    }

    /// When it was over, if it is: its image is wanted until `lateWindow` after that at most.
    pub(super) fn closed_at(&self) -> Option<Now> {
        match self.end {
            Some(End::In(_, at) | End::Seen(at)) if self.stage == Some(Stage::Closed) => Some(at),
            _ => None,
        }
    }

    /// Whether it was given up before anything could be sent: nothing will ever be made good.
    pub(super) fn needs_no_image(&self) -> bool {
        matches!(self.end, Some(End::In(FinalState::NeverSent | FinalState::Refused, _)))
    }
}

/// The changes of one commit.
#[derive(Default)]
pub(super) struct Batch<'e> {
    pub(super) changes: Vec<Change<'e>>,
    pub(super) operations: usize,
    pub(super) intents: usize,
    by_tx: HashMap<u64, usize>,
}

impl<'e> Batch<'e> {
    /// Lays `entries` together. What is about a transaction that the journal never had is left out: requests without
    /// money in them end, too.
    pub(super) fn of(entries: &'e [Entry], open: &OpenRows) -> Batch<'e> {
        let mut batch = Batch { operations: entries.len(), ..Batch::default() };
        for entry in entries {
            batch.add(entry, open);
        }
        batch
    }

    fn add(&mut self, entry: &'e Entry, open: &OpenRows) {
        match &entry.op {
            JournalOp::Intent { id, request, record } => {
                let mut change = Change::of(id.bits(), FoundBy::New);
                change.request = Some((request, *record, entry.at));
                change.stage = Some(Stage::Intent);
                self.intents += 1;
                self.push(change);
            }
            JournalOp::Adopt { id, row } => {
                let mut change = Change::of(id.bits(), FoundBy::Row(*row));
                change.adopted = true;
                self.push(change);
            }
            JournalOp::Answered { id, class, answer } => self.change(*id, open, |change| {
                change.stage = Some(Stage::answered(*class));
                for (kept, told) in [
                    (&mut change.rrn, &answer.rrn),
                    (&mut change.approval_code, &answer.approval_code),
                    (&mut change.response_code, &answer.response_code),
                ] {
                    if let Some(told) = told {
                        *kept = Some(text(told));
                    }
                }
            }),
            JournalOp::End { id, state } => self.change(*id, open, |change| {
                change.stage = Some(Stage::ended(*state));
                change.end = Some(End::In(*state, entry.at));
            }),
            JournalOp::Owed { id } => self.change(*id, open, |change| change.stage = Some(Stage::Owed)),
            JournalOp::Sent { id, attempt } => {
                self.change(*id, open, |change| change.attempts = Some(*attempt));
            }
            JournalOp::Learned { id, rrn } => {
                self.change(*id, open, |change| change.rrn = Some(text(rrn)));
            }
            JournalOp::Parked { id } => {
                self.change(*id, open, |change| change.stage = Some(Stage::Parked));
            }
            JournalOp::Listed { id } => {
                self.change(*id, open, |change| change.stage = Some(Stage::Listed));
            }
            JournalOp::Superseded { id } => {
                self.change(*id, open, |change| change.superseded = Some(true));
            }
            JournalOp::Retried { id, reason } => self.change(*id, open, |change| {
                change.stage = Some(Stage::Owed);
                change.end = Some(End::No);
                change.superseded = Some(false);
                change.notes.push(("retried", shown(reason), entry.at));
            }),
            JournalOp::Resolved { id, reason } => self.change(*id, open, |change| {
                change.stage = Some(Stage::Closed);
                change.end = Some(End::Seen(entry.at));
                change.notes.push(("resolved", shown(reason), entry.at));
            }),
            JournalOp::Reopened { id, was } => self.reopen(id.bits(), was.bits(), open),
        }
    }

    fn push(&mut self, change: Change<'e>) {
        self.by_tx.insert(change.tx, self.changes.len());
        self.changes.push(change);
    }

    fn change(&mut self, id: TxId, open: &OpenRows, set: impl FnOnce(&mut Change<'e>)) {
        let tx = id.bits();
        let at = match (self.by_tx.get(&tx), open.get(tx)) {
            (Some(at), _) => *at,
            (None, Some(row)) => {
                self.push(Change::of(tx, FoundBy::Row(row)));
                self.changes.len() - 1
            }
            (None, None) => return,
        };
        if let Some(change) = self.changes.get_mut(at) {
            set(change);
        }
    }

    fn reopen(&mut self, id: u64, was: u64, open: &OpenRows) {
        let at = match (self.by_tx.remove(&was), open.get(was)) {
            (Some(at), _) => at,
            (None, row) => {
                self.changes.push(Change::of(id, row.map_or(FoundBy::Was(was), FoundBy::Row)));
                self.changes.len() - 1
            }
        };
        self.by_tx.insert(id, at);
        if let Some(change) = self.changes.get_mut(at) {
            change.tx = id;
            change.renamed = change.renamed.or(Some(was));
            change.stage = Some(Stage::Owed);
            change.end = Some(End::No);
        }
    }
}

/// Bytes as text; what is no text is written so that the database takes it.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a person typed, without card numbers.
fn shown(reason: &str) -> String {
    mask::free_text(reason, MaskStyle::default())
}
