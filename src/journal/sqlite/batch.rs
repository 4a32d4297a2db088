//! What meets in one commit, laid together: one change for each transaction, whatever number of operations it had.
//!
//! All rows of a commit become visible together, so between transactions no order is needed inside it; within one the
//! later operation wins.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::rows::Rows;
use crate::journal::codes::{FORCED, RESOLVED, RETRIED, Stage, shown};
use crate::mux::{Decision, FinalState, JournalOp, Record, TxId};
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
    /// It is at this row.
    Row(i64),
}

/// All that happens to one transaction in one commit.
pub(super) struct Change<'e> {
    /// The id that it has after it.
    pub(super) tx: u64,
    pub(super) found_by: FoundBy,
    /// It was open at the start, and goes on under this id.
    pub(super) adopted: bool,
    /// Its request, and when it came; of a new one.
    pub(super) request: Option<(&'e Request, Option<&'e Record>, Now)>,
    /// The id that it had before, if that is another one.
    pub(super) renamed: Option<u64>,
    pub(super) stage: Option<Stage>,
    pub(super) attempts: Option<u32>,
    pub(super) rrn: Option<Cow<'e, str>>,
    pub(super) approval_code: Option<Cow<'e, str>>,
    pub(super) response_code: Option<Cow<'e, str>>,
    /// Outcome and end, where they change.
    pub(super) end: Option<End>,
    /// Its key was used again; or a person has dealt with that.
    pub(super) superseded: Option<bool>,
    /// What a person decided, who, and why.
    pub(super) notes: Vec<Note>,
}

/// A person's decision, as it is kept.
pub(super) struct Note {
    pub(super) what: &'static str,
    pub(super) operator: String,
    pub(super) reason: String,
    pub(super) at: Now,
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

    /// Whether it is with the host after it, or its answer with the client; nothing is owed for it.
    pub(super) fn is_underway(&self) -> bool {
        use Stage::{AnsweredApproved, AnsweredDeclined, AnsweredInDoubt, Intent};
        matches!(self.stage, Some(Intent | AnsweredApproved | AnsweredDeclined | AnsweredInDoubt))
    }

    /// Whether it is an intent and nothing more.
    pub(super) fn is_plain_intent(&self) -> bool {
        self.stage == Some(Stage::Intent)
            && self.end.is_none()
            && self.attempts.is_none()
            && self.rrn.is_none()
            && self.approval_code.is_none()
            && self.response_code.is_none()
    }

    /// Whether it is an answer and nothing more.
    pub(super) fn is_plain_answer(&self) -> bool {
        use Stage::{AnsweredApproved, AnsweredDeclined, AnsweredInDoubt};
        matches!(self.stage, Some(AnsweredApproved | AnsweredDeclined | AnsweredInDoubt))
            && self.end.is_none()
            && self.attempts.is_none()
            && self.superseded.is_none()
            && self.renamed.is_none()
            && !self.adopted
    }

    /// Whether it is an end, perhaps with the answer before it, and nothing more.
    pub(super) fn is_plain_end(&self) -> bool {
        self.stage.is_some()
            && matches!(self.end, Some(End::In(..)))
            && self.attempts.is_none()
            && self.superseded.is_none()
            && self.renamed.is_none()
            && !self.adopted
    }

    /// How and when it ended, if it is an end, perhaps with the answer before it, and nothing more, and over.
    pub(super) fn plain_end(&self) -> Option<(FinalState, Now)> {
        match self.end {
            Some(End::In(state, at)) if self.is_plain_end() && self.notes.is_empty() => {
                Some((state, at)).filter(|_| self.stage == Some(Stage::Closed))
            }
            _ => None,
        }
    }

    /// Whether the name of its image changes, which therefore must not be in a sheet.
    pub(super) fn unfolds(&self) -> bool {
        self.renamed.is_some() || self.adopted
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
    /// When the last of it was handed over.
    pub(super) at: Now,
    pub(super) intents: usize,
    /// Transactions to be made good of which the journal has no row.
    pub(super) strays: Vec<u64>,
    by_tx: HashMap<u64, usize>,
}

impl<'e> Batch<'e> {
    /// Lays `entries` together. What is about a transaction that the journal never had is left out: requests without
    /// money in them end, too.
    pub(super) fn of(entries: &'e [Entry], rows: &Rows) -> Batch<'e> {
        let mut batch = Batch {
            changes: Vec::with_capacity(entries.len()),
            by_tx: HashMap::with_capacity(entries.len()),
            at: entries.last().map(|entry| entry.at).unwrap_or_default(),
            ..Batch::default()
        };
        for entry in entries {
            batch.add(entry, rows);
        }
        batch
    }

    fn add(&mut self, entry: &'e Entry, rows: &Rows) {
        match &entry.op {
            JournalOp::Intent { id, request, record } => {
                let mut change = Change::of(id.bits(), FoundBy::New);
                change.request = Some((request, record.as_ref(), entry.at));
                change.stage = Some(Stage::Intent);
                self.intents += 1;
                self.push(change);
            }
            JournalOp::Adopt { id, row } => {
                let mut change = Change::of(id.bits(), FoundBy::Row(*row));
                change.adopted = true;
                self.push(change);
            }
            JournalOp::Answered { id, class, answer } => {
                let Some(change) = self.open_one(*id, rows) else { return };
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
            }
            JournalOp::End { id, state } => {
                // One that is over can come to another end: delivered, then found not to be, and nothing owed.
                let Some(change) = self.any_one(*id, rows) else { return };
                change.stage = Some(Stage::ended(*state));
                change.end = Some(End::In(*state, entry.at));
            }
            // What is owed is open, also if it had ended before: an approval that was delivered and found lost.
            JournalOp::Owed { id } => self.waits(*id, Stage::Owed, rows),
            JournalOp::Parked { id } => self.waits(*id, Stage::Parked, rows),
            JournalOp::Listed { id } => self.waits(*id, Stage::Listed, rows),
            JournalOp::Sent { id, attempt } => {
                if let Some(change) = self.open_one(*id, rows) {
                    change.attempts = Some(*attempt);
                }
            }
            JournalOp::Learned { id, rrn } => {
                if let Some(change) = self.open_one(*id, rows) {
                    change.rrn = Some(text(rrn));
                }
            }
            JournalOp::Superseded { id } => {
                if let Some(change) = self.open_one(*id, rows) {
                    change.superseded = Some(true);
                }
            }
            JournalOp::Retried { id, decision, force } => {
                self.waits(*id, Stage::Owed, rows);
                let Some(change) = self.open_one(*id, rows) else { return };
                change.superseded = Some(false);
                change.notes.push(Note::of(if *force { FORCED } else { RETRIED }, decision, entry.at));
            }
            JournalOp::Resolved { id, decision } => {
                let Some(change) = self.any_one(*id, rows) else { return };
                change.stage = Some(Stage::Closed);
                change.end = Some(End::Seen(entry.at));
                change.notes.push(Note::of(RESOLVED, decision, entry.at));
            }
            JournalOp::Reopened { id, was } => self.reopen(id.bits(), was.bits(), rows),
        }
    }

    fn push(&mut self, change: Change<'e>) {
        self.by_tx.insert(change.tx, self.changes.len());
        self.changes.push(change);
    }

    /// The change of a transaction that has a row.
    fn any_one(&mut self, id: TxId, rows: &Rows) -> Option<&mut Change<'e>> {
        let tx = id.bits();
        let at = match self.by_tx.get(&tx) {
            Some(at) => *at,
            None => {
                let (row, _) = rows.get(tx)?;
                self.push(Change::of(tx, FoundBy::Row(row)));
                self.changes.len() - 1
            }
        };
        self.changes.get_mut(at)
    }

    /// The same of one that is open. What is told of one that is over does not open it.
    fn open_one(&mut self, id: TxId, rows: &Rows) -> Option<&mut Change<'e>> {
        let tx = id.bits();
        let is_open =
            match self.by_tx.get(&tx).and_then(|at| self.changes.get(*at)).map(|change| change.stage) {
                Some(Some(stage)) => stage != Stage::Closed,
                // In this batch it was only adopted, or told something about.
                Some(None) => true,
                None => rows.get(tx).is_some_and(|(_, open)| open),
            };
        if is_open { self.any_one(id, rows) } else { None }
    }

    /// It waits, for the host or for a person.
    fn waits(&mut self, id: TxId, stage: Stage, rows: &Rows) {
        match self.any_one(id, rows) {
            Some(change) => {
                change.stage = Some(stage);
                change.end = Some(End::No);
            }
            None => self.strays.push(id.bits()),
        }
    }

    fn reopen(&mut self, id: u64, was: u64, rows: &Rows) {
        let at = match (self.by_tx.remove(&was), rows.get(was).or_else(|| rows.get(id))) {
            (Some(at), _) => at,
            (None, Some((row, _))) => {
                self.changes.push(Change::of(id, FoundBy::Row(row)));
                self.changes.len() - 1
            }
            (None, None) => return self.strays.push(id),
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
fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The first is several times as fast.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

impl Note {
    fn of(what: &'static str, decision: &Decision, at: Now) -> Note {
        let (operator, reason) = shown(decision);
        Note { what, operator, reason, at }
    }
}
