//! Making good: reversals of what stayed in doubt, and advices of the clients' that have to be accepted. The SAF.
//!
//! One entry keeps the id of its transaction. It is sent, repeated by the schedule until the host accepts it, and parked
//! when it is out of tries. While it is young its terminal waits for it; its key is reserved until it is done or parked.

use std::time::Duration;

use super::action::{Doubt, Fact, FinalState, JournalOp};
use super::core::{Mux, Pulled, TombKindOf};
use super::event::TxId;
use super::mutant::Mutant;
use super::transaction::{Owed, OwedState, Owing, Phase, Place, Timer, Transaction};
use crate::dialect::{RequestClass, ReversalClass};
use crate::rules::{Answer, MakeGood, ReversalImage};
use crate::time::Now;

/// Listed ones that a person may resolve in the running process; older ones wait for the next start.
const LISTED_AWAY_MAX: usize = 100_000;
/// How often an advice looks whether its key is free and its intent durable.
const PAUSE: Duration = Duration::from_secs(1);

impl Mux {
    /// The transaction is in doubt, nobody waits for it any more: whatever its kind wants is done about it.
    pub(super) fn make_good(&mut self, now: Now, id: TxId, why: Doubt) {
        if self.mutant(Mutant::FirstNeverReversed) && id.is_first() {
            return self.end(now, id, FinalState::Unanswered, None);
        }
        let advice_reversed = self.mutant(Mutant::AdviceReversed);
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.client = None;
        if transaction.joined {
            // What it asked for is done by the reversal that it joined.
            return self.end(now, id, FinalState::Unanswered, Some(TombKindOf::Unanswered));
        }
        let what = match transaction.make_good() {
            MakeGood::Nothing => None,
            MakeGood::CarryOn if !advice_reversed => Some(Owing::Advice),
            MakeGood::CarryOn | MakeGood::Reverse => match &self.settings.reversal {
                Some(profile) if !self.settings.no_auto_reversal => {
                    Some(Owing::Reversal(ReversalImage::of(&transaction.request, profile)))
                }
                _ => return self.list(now, id),
            },
        };
        let Some(what) = what else {
            return self.end(now, id, FinalState::Unanswered, Some(TombKindOf::Unanswered));
        };
        let answered = match &transaction.phase {
            Phase::Answered(class) | Phase::Delivered(class) => Some(*class),
            _ => None,
        };
        // An advice that left once is repeated from now on.
        let attempts = u32::from(matches!(what, Owing::Advice));
        let mut owed = Owed::new(what, attempts, self.settings.reversal_hold);
        owed.approved = answered == Some(RequestClass::Approved) || why == Doubt::ApprovedAfterDecline;
        self.owe(now, id, owed, why);
    }

    /// No gateway-made reversal is allowed: a person has to look.
    pub(super) fn list(&mut self, now: Now, id: TxId) {
        let Some(key) = self.key_of(id) else { return };
        self.fact(Fact::NotReversed { id, key });
        // Not ended for the journal: it shows it until a person has seen to it.
        self.journal(|| JournalOp::Listed { id });
        self.count_end_unjournaled(now, id, FinalState::Listed);
        self.bury(now, id, FinalState::Listed, Some(TombKindOf::Unanswered));
        if self.settings.journaled {
            if self.listed_away.len() >= LISTED_AWAY_MAX {
                self.listed_away.pop_first();
            }
            self.listed_away.insert(id);
        }
    }

    fn key_of(&self, id: TxId) -> Option<crate::rules::MatchKey> {
        let transaction = self.transactions.get(id)?;
        self.keys.get(transaction.key).map(|slot| slot.key.clone())
    }

    pub(super) fn owe(&mut self, now: Now, id: TxId, owed: Owed, why: Doubt) {
        self.unplace(id);
        self.set_timer(id, Timer::None);
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        if !matches!(transaction.phase, Phase::Delivered(_) | Phase::Owed(_)) {
            self.held -= 1;
        }
        transaction.answer = None;
        transaction.phase = Phase::Owed(Box::new(owed));
        self.tally.owed += 1;
        self.untried += 1;
        let (mti, tid) = (transaction.request.mti(), transaction.request.tid().cloned());
        self.journal(|| JournalOp::Owed { id });
        if let Some(key) = self.key_of(id) {
            self.fact(Fact::Owed { id, mti, key, why });
        }
        let has_terminal =
            self.transactions.get(id).and_then(|t| t.terminal).is_some_and(|index| {
                self.terminals.get(index).is_some_and(|terminal| terminal.busy == Some(id))
            });
        match tid.filter(|_| self.settings.lock_terminal && !self.settings.reversal_hold.is_zero()) {
            _ if has_terminal => self.owed_has_terminal(now, id),
            None => self.place(id, Place::OwedReady),
            Some(tid) => {
                // Its terminal went on without it: it waits there, before any waiting request.
                let index = self.terminals.enter(&tid);
                if let Some(transaction) = self.transactions.get_mut(id) {
                    transaction.terminal = Some(index);
                }
                self.place(id, Place::OwedWaiting);
                self.next_of_terminal(now, index);
            }
        }
    }

    /// Its terminal waits for it: it can go out.
    pub(super) fn owed_has_terminal(&mut self, now: Now, id: TxId) {
        let Some(owed) = self.transactions.get(id).and_then(Transaction::owed) else { return };
        if owed.hold_left.is_zero() || self.mutant(Mutant::HoldIgnored) {
            self.place(id, Place::OwedReady);
            return self.free_terminal(now, id);
        }
        self.holding.insert(id);
        self.place(id, Place::OwedReady);
    }

    /// Takes the next reversal or advice that may go out.
    pub(super) fn pull_owed(&mut self, now: Now) -> Option<Pulled> {
        while let Some(id) = self.owed_ready.front(&self.transactions) {
            self.unplace(id);
            if self.waits_for_key(id) || self.waits_for_journal(id) {
                self.set_due(id, Some(now.uptime + PAUSE));
                continue;
            }
            if let Some(transmit) = self.send_owed(now, id) {
                return Some(transmit);
            }
        }
        None
    }

    /// Writes it to the link, for the first time or again.
    pub(super) fn send_owed(&mut self, now: Now, id: TxId) -> Option<Pulled> {
        let key = self.key_of(id);
        let timeout = now.uptime + self.settings.reversal_timeout;
        let transaction = self.transactions.get_mut(id)?;
        let request = &transaction.request;
        let Phase::Owed(owed) = &mut transaction.phase else { return None };
        let repeat = !owed.was_never_sent();
        // An advice that has not left yet was counted as a packet when it was taken.
        let (bytes, packet) = match &owed.what {
            Owing::Reversal(image) => {
                (image.render(now, repeat, owed.rrn.as_deref()), Some(image.mti(repeat)))
            }
            Owing::Advice if repeat => (request.as_repeat(), Some(request.mti().repeat())),
            Owing::Advice => (request.bytes().clone(), None),
            Owing::Nothing => return None,
        };
        packet.into_iter().for_each(|mti| self.statistics.packet(mti));
        owed.attempts += 1;
        owed.state = OwedState::InFlight;
        let attempt = owed.attempts;
        let hold =
            (self.holding.contains(&id) && owed.hold_until.is_none()).then(|| now.uptime + owed.hold_left);
        if let Some(until) = hold {
            self.set_hold(id, Some(until));
        }
        self.set_due(id, Some(timeout));
        self.place(id, Place::InFlight);
        self.journal(|| JournalOp::Sent { id, attempt });
        if let Some(key) = key {
            self.fact(Fact::ReversalSent { id, key, attempt });
        }
        Some(Pulled::Made(Some(id), bytes))
    }

    /// Whether its intent is not durable yet: an advice whose key was reserved when its turn came.
    fn waits_for_journal(&self, id: TxId) -> bool {
        self.settings.journaled && self.transactions.get(id).is_some_and(|transaction| !transaction.durable)
    }

    /// Whether an advice that was never sent has to let another entry with its key be done first.
    fn waits_for_key(&self, id: TxId) -> bool {
        let Some(transaction) = self.transactions.get(id) else { return false };
        let is_new = |owed: &Owed| matches!(owed.what, Owing::Advice) && owed.attempts == 0;
        let Some(slot) = self.keys.get(transaction.key).filter(|slot| slot.live.len() > 1) else {
            return false;
        };
        transaction.owed().is_some_and(is_new)
            && slot.live.iter().filter(|other| **other != id).any(|other| {
                let owed = self.transactions.get(*other).and_then(Transaction::owed);
                let owed = owed.filter(|owed| !matches!(owed.state, OwedState::Parked | OwedState::Listed));
                // Of two that both wait the older one goes first.
                owed.is_some_and(|owed| !is_new(owed) || *other < id)
            })
    }

    /// Whether an answer of this class changes nothing for one that waits: it is sent again anyway.
    pub(super) fn would_try_again(&self, now: Now, id: TxId, class: ReversalClass) -> bool {
        let Some(transaction) = self.transactions.get(id) else { return false };
        let waits = transaction.owed().is_some_and(|owed| owed.state == OwedState::Waiting);
        waits
            && match class {
                ReversalClass::Accepted | ReversalClass::Reject => false,
                ReversalClass::NotFound => !self.is_settled(now, transaction),
                ReversalClass::Retry => true,
            }
    }

    /// Whether 'not found' is believed: the host may simply not have processed the original yet.
    fn is_settled(&self, now: Now, transaction: &Transaction) -> bool {
        now.uptime >= self.settled_at(transaction)
    }

    fn settled_at(&self, transaction: &Transaction) -> Duration {
        let left_at = transaction.left_at.unwrap_or(transaction.arrived);
        let before = transaction.owed().map_or(Duration::ZERO, |owed| owed.settled_before);
        left_at + self.settings.not_found_settle.saturating_sub(before)
    }

    /// A sending of it is over, or none is wanted any more.
    fn was_tried(&mut self, id: TxId) {
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        if !std::mem::replace(&mut owed.tried, true) {
            self.untried -= 1;
        }
    }

    /// The host answered it.
    pub(super) fn owed_answered(&mut self, now: Now, id: TxId, answer: &Answer) {
        self.unplace(id);
        self.was_tried(id);
        self.set_due(id, None);
        self.note_owed_answer(id, answer);
        let class = answer.reversal_class();
        let Some(key) = self.key_of(id) else { return };
        let Some(settled_at) = self.transactions.get(id).map(|transaction| self.settled_at(transaction))
        else {
            return;
        };
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        owed.state = OwedState::Waiting;
        let attempt = owed.attempts;
        let is_reversal = matches!(owed.what, Owing::Reversal(_));
        self.fact(Fact::ReversalAnswered { id, key, class, attempt });
        let done = self.mutant(Mutant::AnyAnswerAccepts)
            || match class {
                ReversalClass::Accepted => true,
                // The host may simply not have processed the original yet, so it is believed only later.
                ReversalClass::NotFound => now.uptime >= settled_at || self.mutant(Mutant::NotFoundIsFinal),
                ReversalClass::Retry | ReversalClass::Reject => false,
            };
        if done {
            self.answer_joined(now, id, answer);
            self.tally.owed -= 1;
            return match is_reversal {
                true => self.end(now, id, FinalState::Reversed, Some(TombKindOf::Reversed)),
                false => self.end(now, id, FinalState::AdviceAccepted, Some(TombKindOf::Settled)),
            };
        }
        match class {
            ReversalClass::Reject => {
                self.answer_joined(now, id, answer);
                self.park(now, id);
            }
            ReversalClass::NotFound => self.try_later(now, id, Some(settled_at)),
            _ => self.try_later(now, id, None),
        }
    }

    /// The next sending comes by the schedule, or there is none left. The last one not before `last_after`.
    fn try_later(&mut self, now: Now, id: TxId, last_after: Option<Duration>) {
        let never_parked = self.mutant(Mutant::NeverParked);
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        owed.state = OwedState::Waiting;
        // The n-th sending is followed by the n-th delay; after the last delay's sending there is none.
        let sent = (owed.attempts.saturating_sub(owed.given_up) as usize).saturating_sub(1);
        let sent = if never_parked { 0 } else { sent };
        let Some(delay) = self.settings.reversal_schedule.get(sent).copied() else {
            return self.park(now, id);
        };
        let is_last = sent + 1 == self.settings.reversal_schedule.len();
        let at = now.uptime + delay;
        let at = if is_last { last_after.map_or(at, |after| at.max(after)) } else { at };
        if at <= now.uptime {
            self.place(id, Place::OwedReady);
        } else {
            self.set_due(id, Some(at));
        }
    }

    fn park(&mut self, now: Now, id: TxId) {
        let Some(key) = self.key_of(id) else { return };
        self.set_due(id, None);
        self.unplace(id);
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        owed.state = OwedState::Parked;
        let attempts = owed.attempts;
        self.tally.owed -= 1;
        self.tally.open -= 1;
        self.tally.ended[FinalState::Parked as usize] += 1;
        self.waits_for_person += 1;
        if !self.mutant(Mutant::ParkedNotJournaled) {
            self.journal(|| JournalOp::Parked { id });
        }
        self.fact(Fact::Parked { id, key, attempts });
        self.tell_end(now, id, FinalState::Parked);
        self.release_hold(id);
        self.leave_terminal(now, id);
        self.leave_joined_alone(now, id);
    }

    /// Something of it is due: its answer, its next sending, the end of its hold.
    pub(super) fn owed_is_due(&mut self, now: Now, id: TxId) {
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        let hold_over = owed.hold_until.is_some_and(|until| until <= now.uptime);
        let due = owed.due.is_some_and(|due| due <= now.uptime);
        let (state, attempt) = (owed.state, owed.attempts);
        if hold_over {
            self.release_hold(id);
            self.leave_terminal(now, id);
        }
        if !due {
            return;
        }
        self.set_due(id, None);
        match state {
            OwedState::InFlight => {
                self.unplace(id);
                self.was_tried(id);
                if let Some(key) = self.key_of(id) {
                    self.fact(Fact::ReversalUnanswered { id, key, attempt });
                }
                if self.mutant(Mutant::SilenceEndsReversal) {
                    self.tally.owed -= 1;
                    return self.end(now, id, FinalState::Unanswered, None);
                }
                self.try_later(now, id, None);
            }
            OwedState::Waiting => self.place(id, Place::OwedReady),
            OwedState::Parked | OwedState::Listed => {}
        }
    }

    pub(super) fn owed_lost_with_link(&mut self, now: Now, id: TxId) {
        self.set_due(id, None);
        self.was_tried(id);
        self.try_later(now, id, None);
    }

    /// A late decline came before it was ever sent: the host did nothing, so nothing is undone.
    pub(super) fn cancel_owed(&mut self, now: Now, id: TxId) {
        let Some(key) = self.key_of(id) else { return };
        self.fact(Fact::ReversalCancelled { id, key });
        self.was_tried(id);
        if self.mutant(Mutant::CancelledNotCounted) {
            self.tally.open -= 1;
        }
        self.tally.owed -= 1;
        self.leave_joined_alone(now, id);
        self.end(now, id, FinalState::DeclinedUndelivered, Some(TombKindOf::Unsettled));
    }

    // -- the agenda and the holds ------------------------------------------------------------------------------------

    fn set_due(&mut self, id: TxId, at: Option<Duration>) {
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        let before = std::mem::replace(&mut owed.due, at);
        let other = owed.hold_until;
        self.reschedule(id, before, at, other);
    }

    fn set_hold(&mut self, id: TxId, until: Option<Duration>) {
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        let before = std::mem::replace(&mut owed.hold_until, until);
        let other = owed.due;
        self.reschedule(id, before, until, other);
    }

    /// One of an entry's two times changes; `other` is the one that stays.
    fn reschedule(
        &mut self,
        id: TxId,
        before: Option<Duration>,
        at: Option<Duration>,
        other: Option<Duration>,
    ) {
        if let Some(before) = before.filter(|before| Some(*before) != other) {
            self.agenda.remove(&(before, id));
        }
        if let Some(at) = at {
            self.agenda.insert((at, id));
        }
    }

    /// It waits for nothing any more.
    pub(super) fn forget_dates(&mut self, id: TxId) {
        self.set_due(id, None);
        self.release_hold(id);
    }

    /// It no longer holds its terminal.
    pub(super) fn release_hold(&mut self, id: TxId) {
        if self.holding.remove(&id) {
            self.set_hold(id, None);
            if let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) {
                owed.hold_left = Duration::ZERO;
            }
        }
    }

    pub(super) fn holds_stand_still(&mut self, now: Now) {
        for id in self.holding.iter().copied().collect::<Vec<_>>() {
            let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { continue };
            if let Some(until) = owed.hold_until {
                owed.hold_left = until.saturating_sub(now.uptime);
                self.set_hold(id, None);
            }
        }
    }

    pub(super) fn holds_run_again(&mut self, now: Now) {
        for id in self.holding.iter().copied().collect::<Vec<_>>() {
            let Some(owed) = self.transactions.get(id).and_then(Transaction::owed) else { continue };
            if owed.attempts > 0 && owed.hold_until.is_none() {
                let until = now.uptime + owed.hold_left;
                self.set_hold(id, Some(until));
            }
        }
    }
}
