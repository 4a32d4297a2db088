//! The beginning: what the journal had open when the process before ended; and what a person decides about an entry
//! that waits for one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::action::{Action, Doubt, Fact, FinalState, JournalOp, Objection};
use super::arena::Link;
use super::core::{Mux, TombKindOf};
use super::event::TxId;
use super::keys::{Counted, TombKind, Tombstone};
use super::mutant::Mutant;
use super::records::{Record, State, Status};
use super::transaction::{Owed, OwedState, Owing, Phase, Transaction};
use crate::dialect::RequestClass;
use crate::rules::{MakeGood, Request, ReversalImage};
use crate::time::Now;

/// A row that the journal had open at start.
#[derive(Debug)]
pub struct Recovered {
    /// The row, opaque to the core.
    pub row: i64,
    /// The id that the transaction had in the process before.
    pub was: TxId,
    /// The request, restored from its image.
    pub request: Arc<Request>,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// The RRN that a late approval told.
    pub rrn: Option<Bytes>,
    /// How far it had come.
    pub stage: Stage,
    /// Since its arrival; zero for one from the future.
    pub age: Duration,
    /// Since its bytes left for the host, where that is known.
    pub left_ago: Option<Duration>,
    /// Under what it is remembered for those who ask.
    pub record: Option<Record>,
    /// Why the shell wants it listed rather than sent, if it does.
    pub withheld: Option<Withheld>,
    /// Whether its key was used again while it was parked or listed.
    pub superseded: bool,
}

/// One that has ended and is remembered: for those who ask, by its idempotency key and the id that it had; and, for
/// `lateWindow`, for what the host may still say of it.
#[derive(Debug)]
pub struct Remembered {
    /// The id that the transaction had.
    pub was: TxId,
    /// Its idempotency key and body, if somebody may ask.
    pub record: Option<Record>,
    /// How it ended. The host's answer itself is not kept: it may hold card data.
    pub state: State,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// Since its end. They are to be fed oldest first.
    pub ended_ago: Duration,
    /// What is left of it while an answer may still come; `None` when that time is over.
    pub lately: Option<Box<Lately>>,
}

/// What is left of one that ended less than `lateWindow` ago.
#[derive(Debug)]
pub struct Lately {
    /// Its row, under which it goes on if it is opened again.
    pub row: i64,
    /// The request, restored from its image.
    pub request: Request,
    /// What the host had answered to it, if it had.
    pub class: Option<RequestClass>,
    /// The RRN that the host told.
    pub rrn: Option<Bytes>,
}

/// How far a transaction had come by what the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its intent is durable; it may have been sent.
    Intent,
    /// The host approved; whether the client had the answer is not known.
    AnsweredApproved,
    /// The host answered that it does not know, or something unlisted.
    AnsweredInDoubt,
    /// The host declined.
    AnsweredDeclined,
    /// A reversal or advice was owed.
    Owed,
    /// It was out of tries.
    Parked,
    /// It was owed and not sent.
    Listed,
    /// A person has said that it be sent, whatever its age.
    Ordered,
}

/// `onUndelivered`: what becomes of an approval whose connection failed after the write, its last bytes unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnUndelivered {
    /// It is reversed.
    Reverse,
    /// It is listed for a person.
    List,
}

/// `onRestart`: what becomes of an approval whose end is not in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnRestart {
    /// It is reversed.
    Reverse,
    /// It is listed for a person.
    List,
}

/// Why one found at start is listed, not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// Older than `reversalMaxAge`.
    TooOld,
    /// From the future: one of the clocks is wrong.
    FromTheFuture,
    /// It was for another upstream (name, address or dialect).
    OtherUpstream,
    /// Approved, perhaps delivered, and `onRestart` says to list it.
    OnRestart,
    /// `noAutoReversal`, or a dialect without reversals.
    NoAutoReversal,
    /// It was listed before.
    Before,
}

/// What a person decides about a parked or listed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The transaction.
    pub id: TxId,
    /// What is to be done.
    pub what: What,
    /// Who says so, and why.
    pub decision: Decision,
}

/// Who has decided something, and why: journaled in the same commit as what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The person.
    pub operator: Box<str>,
    /// Why.
    pub reason: Box<str>,
}

/// Kinds of [`Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Send it again, its tries beginning anew.
    Retry {
        /// Also if its key was used again, or it was for another upstream.
        force: bool,
    },
    /// It has been seen to by other means.
    Resolve,
}

/// What becomes of a row.
enum Fate {
    Over(FinalState, TombKindOf),
    MadeGood,
    Parked,
    Listed(Withheld),
}

impl Mux {
    pub(super) fn recover(&mut self, now: Now, recovered: Recovered) {
        if self.mutant(Mutant::RestartForgets) {
            return;
        }
        let row = recovered.row;
        if !self.has_room() {
            // It stays in the journal, for a start with more room.
            return self.fact(Fact::NotRecovered { row });
        }
        let Recovered {
            was, request, attempts, rrn, stage, age, left_ago, record, withheld, superseded, ..
        } = recovered;
        self.transactions.number_after(was);
        let index = self.keys.enter(request.key());
        let (mti, key) = (request.mti(), request.key().clone());
        let make_good = request.make_good();
        let what = self.owing(&request);
        let id = self.transactions.insert(|id| {
            let mut transaction = Transaction::reopened(id, was, request, index, now.uptime);
            transaction.arrived = now.uptime.saturating_sub(age);
            transaction.left_at = Some(now.uptime);
            transaction.restarted = true;
            transaction
        });
        if let Some(slot) = self.keys.get_mut(index) {
            slot.live.push(id);
        }
        if let Some(record) = record {
            self.records.adopt(id, was, record);
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.recorded = true;
            }
        }
        self.tally.recovered += 1;
        self.tally.open += 1;
        self.actions.push_back(Action::Recovered { id, row });
        self.journal(|| JournalOp::Adopt { id, row });
        self.fact(Fact::Recovered { id, was, mti, key: key.clone(), stage });

        let mut owed = Owed::new(what, attempts, self.settings.reversal_hold);
        owed.approved = rrn.is_some() || stage == Stage::AnsweredApproved;
        owed.rrn = rrn;
        owed.superseded = superseded;
        owed.is_foreign = withheld == Some(Withheld::OtherUpstream);
        // Its first sending is not awaited by the journal, so it may be missing there.
        owed.maybe_sent = matches!(stage, Stage::Owed | Stage::Ordered);
        // Where it is not known when it left, it may have been just now.
        owed.settled_before = left_ago.unwrap_or_default();
        if make_good == MakeGood::CarryOn {
            // It may have left before: a repeat.
            owed.attempts = attempts.max(1);
        }
        // Each start sends it at once. A process that is restarted again and again would use up the tries in a moment,
        // and park what the host was never given the time for.
        owed.given_up = owed.attempts;
        match self.fate(stage, make_good, age, withheld) {
            Fate::Over(state, tomb) => self.end(now, id, state, Some(tomb)),
            Fate::MadeGood => self.owe(now, id, owed, Doubt::Restarted),
            Fate::Parked => {
                owed.state = OwedState::Parked;
                self.hold_back(now, id, owed, FinalState::Parked);
            }
            Fate::Listed(why) => {
                owed.state = OwedState::Listed;
                if stage != Stage::Listed {
                    self.journal(|| JournalOp::Listed { id });
                }
                self.fact(Fact::Listed { id, key, why });
                self.hold_back(now, id, owed, FinalState::Listed);
            }
        }
    }

    /// What would be sent to make `request` good.
    fn owing(&self, request: &Request) -> Owing {
        match (request.make_good(), &self.settings.reversal) {
            (MakeGood::CarryOn, _) => Owing::Advice,
            (MakeGood::Reverse, Some(profile)) => Owing::Reversal(ReversalImage::of(request, profile)),
            _ => Owing::Nothing,
        }
    }

    fn fate(&self, stage: Stage, make_good: MakeGood, age: Duration, withheld: Option<Withheld>) -> Fate {
        let reverses = make_good == MakeGood::Reverse;
        match stage {
            Stage::Parked => return Fate::Parked,
            _ if make_good == MakeGood::Nothing => {
                return Fate::Over(FinalState::Unanswered, TombKindOf::Unanswered);
            }
            Stage::AnsweredDeclined if reverses => {
                return Fate::Over(FinalState::DeclinedUndelivered, TombKindOf::Unsettled);
            }
            Stage::AnsweredApproved if !reverses => {
                return Fate::Over(FinalState::AdviceAccepted, TombKindOf::Settled);
            }
            _ => {}
        }
        let is_answered = matches!(stage, Stage::AnsweredApproved | Stage::AnsweredInDoubt);
        let cannot_reverse = self.settings.no_auto_reversal || self.settings.reversal.is_none();
        let ordered = stage == Stage::Ordered && self.settings.reversal.is_some();
        let too_old = (age > self.settings.reversal_max_age).then_some(Withheld::TooOld);
        let why = match stage {
            Stage::Listed => Some(Withheld::Before),
            Stage::Ordered => withheld.filter(|why| *why == Withheld::OtherUpstream),
            _ => withheld.or(too_old),
        };
        match why {
            Some(why) => Fate::Listed(why),
            None if reverses && cannot_reverse && !ordered => Fate::Listed(Withheld::NoAutoReversal),
            None if reverses && is_answered && self.settings.on_restart == OnRestart::List => {
                Fate::Listed(Withheld::OnRestart)
            }
            None => Fate::MadeGood,
        }
    }

    /// It is kept and shown, and nothing is sent. Its key is free.
    fn hold_back(&mut self, now: Now, id: TxId, owed: Owed, state: FinalState) {
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.phase = Phase::Owed(Box::new(Owed { tried: true, ..owed }));
        }
        self.waits_for_person += 1;
        self.tally.open -= 1;
        self.tally.ended[state as usize] += 1;
        self.tell_end(now, id, state);
    }

    /// One that ended in the process before, for those who ask.
    pub(super) fn remember(&mut self, now: Now, remembered: Remembered) {
        let Remembered { was, record, state, attempts, ended_ago, lately } = remembered;
        self.transactions.number_after(was);
        if let Some(lately) = lately.filter(|_| !self.mutant(Mutant::TombstonesForgotten)) {
            self.entomb(now, was, state, attempts, ended_ago, *lately);
        }
        if let Some(record) = record {
            let status =
                Status { state, failure: None, answer: None, attempts, late: false, restarted: true };
            self.records.remember(now.uptime, was, record, status, ended_ago);
        }
    }

    /// Leaves the tombstone that the process before had.
    fn entomb(
        &mut self,
        now: Now,
        id: TxId,
        state: State,
        attempts: u32,
        ended_ago: Duration,
        lately: Lately,
    ) {
        let left = self.settings.late_window.saturating_sub(ended_ago);
        let Lately { row, request, class, rrn } = lately;
        let is_reversible = request.make_good() == MakeGood::Reverse;
        let mti = request.mti();
        let index = self.keys.enter(request.key());
        let kind = match state {
            State::Reversed if is_reversible => {
                let mut owed = Owed::new(self.owing(&request), attempts, Duration::ZERO);
                owed.rrn = rrn;
                TombKind::Reversed(Box::new((request, owed)))
            }
            State::DeclinedUndelivered | State::Delivered
                if is_reversible && class != Some(RequestClass::Approved) =>
            {
                TombKind::Unsettled(Arc::new(request), None)
            }
            State::Delivered | State::AdviceAccepted => TombKind::Settled(None),
            State::Unanswered => TombKind::Unanswered,
            // What is open comes back as such; what was never sent has no answer.
            _ => return self.keys.forget_if_unused(index),
        };
        if left.is_zero() {
            return self.keys.forget_if_unused(index);
        }
        let (key, until) = (index, now.uptime + left);
        let (counted, order) = (Counted::Before { row }, Link::LOOSE);
        self.keys.bury(Tombstone { id, key, mti, secured: 0, counted, until, kind, order });
    }

    /// The answer of one that was [remembered](super::Event::Remember): as much of it as was kept.
    pub fn remember_answer(&mut self, was: TxId, answer: Bytes, class: RequestClass) {
        self.records.remember_answer(was, answer, class);
    }

    /// Numbers further transactions after `id`, which named one in a process before: no id names two.
    pub fn number_after(&mut self, id: TxId) {
        self.transactions.number_after(id);
    }

    // -- a person's orders -------------------------------------------------------------------------------------------

    pub(super) fn operate(&mut self, now: Now, order: Order) {
        let id = order.id;
        let result = match order.what {
            What::Retry { force } => self.retry(now, id, force, order.decision),
            What::Resolve => self.resolve(now, id, order.decision),
        };
        self.actions.push_back(Action::Operated { id, result });
    }

    /// Under which final state it is counted while it waits for a person.
    fn waits_as(&self, id: TxId) -> Result<FinalState, Objection> {
        let transaction = self.transactions.get(id).ok_or(Objection::Unknown)?;
        match transaction.owed().map(|owed| owed.state) {
            Some(OwedState::Parked) => Ok(FinalState::Parked),
            Some(OwedState::Listed) => Ok(FinalState::Listed),
            _ => Err(Objection::NotWaiting),
        }
    }

    fn retry(&mut self, now: Now, id: TxId, force: bool, decision: Decision) -> Result<(), Objection> {
        if self.listed_away.contains(&id) {
            return Err(Objection::NothingToSend);
        }
        let state = self.waits_as(id)?;
        let transaction = self.transactions.get_mut(id).ok_or(Objection::Unknown)?;
        let key_index = transaction.key;
        let slot = self.keys.get(key_index).ok_or(Objection::Unknown)?;
        let owed = transaction.owed().ok_or(Objection::NotWaiting)?;
        if matches!(owed.what, Owing::Nothing) {
            return Err(Objection::NothingToSend);
        }
        if !force && (owed.superseded || slot.live.len() > 1) {
            return Err(Objection::KeyUsedAgain);
        }
        if !force && owed.is_foreign {
            return Err(Objection::OtherUpstream);
        }
        let key = slot.key.clone();
        let between = Phase::Delivered(RequestClass::InDoubt);
        let Phase::Owed(mut owed) = std::mem::replace(&mut transaction.phase, between) else {
            return Err(Objection::NotWaiting);
        };
        owed.state = OwedState::Waiting;
        owed.given_up = owed.attempts;
        owed.hold_left = self.settings.reversal_hold;
        (owed.superseded, owed.is_foreign, owed.tried) = (false, false, false);
        self.uncount_end(state);
        self.waits_for_person -= 1;
        self.records.reopened(id, id);
        self.journal(|| JournalOp::Retried { id, decision, force });
        self.fact(Fact::Retried { id, key });
        self.owe(now, id, *owed, Doubt::Operator);
        Ok(())
    }

    fn resolve(&mut self, now: Now, id: TxId, decision: Decision) -> Result<(), Objection> {
        if self.listed_away.remove(&id) {
            self.journal(|| JournalOp::Resolved { id, decision });
            return Ok(());
        }
        let state = self.waits_as(id)?;
        self.journal(|| JournalOp::Resolved { id, decision });
        if let Some(key) = self.transactions.get(id).and_then(|t| self.keys.get(t.key)).map(|s| s.key.clone())
        {
            self.fact(Fact::Resolved { id, key });
        }
        self.waits_for_person -= 1;
        // It was counted when it was parked or listed.
        self.bury(now, id, state, Some(TombKindOf::Unanswered));
        Ok(())
    }
}
