//! From arrival to the link: whose turn it is, the gates before the bytes are pulled, and who leaves while waiting.

use std::time::Duration;

use super::action::{Action, Doubt, Failure, FinalState, JournalOp, Outcome};
use super::core::{Mux, Pulled, TombKindOf};
use super::event::TxId;
use super::known::Known;
use super::mutant::Mutant;
use super::terminals::TerminalIndex;
use super::transaction::{Owed, Owing, Phase, Place, Timer, Transaction};
use crate::rules::MakeGood;
use crate::time::Now;

impl Mux {
    /// Lets a free terminal go on: reversals first, then requests in order of arrival.
    ///
    /// What is refused on its turn frees the terminal again; a list instead of recursion keeps the stack flat however
    /// many are refused in a row.
    pub(super) fn next_of_terminal(&mut self, now: Now, index: TerminalIndex) {
        if self.terminals.leave(index) {
            return;
        }
        self.terminals_to_look_at.push_back(index);
        if self.terminals_to_look_at.len() > 1 {
            return;
        }
        while let Some(index) = self.terminals_to_look_at.front().copied() {
            self.look_at_terminal(now, index);
            self.terminals_to_look_at.pop_front();
        }
    }

    fn look_at_terminal(&mut self, now: Now, index: TerminalIndex) {
        let Some(terminal) = self.terminals.get(index) else { return };
        if terminal.busy.is_some() {
            return;
        }
        let (owed, waiting) =
            (terminal.owed.front(&self.transactions), terminal.waiting.front(&self.transactions));
        let owed = owed.filter(|_| waiting.is_none() || !self.mutant(Mutant::RequestOvertakes));
        let waiting = match self.mutant(Mutant::NewestFirst) {
            true => terminal.waiting.back(&self.transactions),
            false => waiting,
        };
        let Some(id) = owed.or(waiting) else {
            self.terminals.leave(index);
            return;
        };
        self.unplace(id);
        if let Some(terminal) = self.terminals.get_mut(index) {
            terminal.busy = Some(id);
        }
        match owed {
            Some(_) => self.owed_has_terminal(now, id),
            None => self.its_turn(now, id),
        }
    }

    /// Its terminal is free for it (or it has none).
    #[inline(always)]
    pub(super) fn its_turn(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get(id) else { return };
        // Most keys are in use once, by the request itself.
        let alone = self.keys.get(transaction.key).is_none_or(|slot| slot.live.len() == 1);
        if (!alone || transaction.request.mti().is_repeat()) && !self.may_go(now, id) {
            return;
        }
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let journaled = self.settings.journaled && transaction.make_good() != MakeGood::Nothing;
        if !journaled || transaction.durable {
            transaction.phase = Phase::Ready;
            self.place(id, Place::Ready);
        } else if transaction.make_good() == MakeGood::CarryOn {
            transaction.phase = Phase::Committing;
        } else if self.link_up {
            transaction.phase = Phase::Committing;
            self.journal_intent(id);
            if self.mutant(Mutant::CommitNotAwaited) {
                self.durable(now, id);
            }
        } else {
            self.place(id, Place::Turn);
        }
    }

    /// Whether the state of its key, which may have changed while it waited, still lets it go. If not, it is ended.
    fn may_go(&mut self, now: Now, id: TxId) -> bool {
        let Some(transaction) = self.transactions.get(id) else { return false };
        let (request, key) = (transaction.request.clone(), transaction.key);
        match self.known(&request, key, Some(id)) {
            Known::Stranger | Known::Repeats(_) => true,
            Known::WasDelivered(other) => {
                if let Some(client) = self.transactions.get_mut(id).and_then(|t| t.client.take()) {
                    // Its client goes over to the other one, where it counts whether this copy is delivered.
                    self.give_again(now, client, other);
                }
                self.end(now, id, FinalState::NeverSent, None);
                false
            }
            Known::HasAnswer(bytes, class) => {
                if let Some(client) = self.transactions.get_mut(id).and_then(|t| t.client.take()) {
                    let outcome = Outcome::Answered { bytes, class };
                    // Under its own id, which ends here: whether this copy is delivered changes nothing.
                    self.actions.push_back(Action::Reply { id: Some(id), client, outcome });
                }
                self.end(now, id, FinalState::NeverSent, None);
                false
            }
            Known::Joins(owner) => {
                let Some(transaction) = self.transactions.get_mut(id) else { return false };
                transaction.phase = Phase::Joined(owner);
                transaction.joined = true;
                if let Some(owed) = self.transactions.get_mut(owner).and_then(Transaction::owed_mut) {
                    owed.joined.push(id);
                }
                self.answer_joined_advice(now, id);
                self.free_terminal(now, id);
                false
            }
            Known::Refused(_) if transaction_is_alone(self.transactions.get(id)) => {
                // Nobody is there to be refused, and it was accepted: it waits beside its terminal for its key.
                self.owe(now, id, Owed::new(Owing::Advice, 0, Duration::ZERO), Doubt::Advice);
                false
            }
            Known::Refused(failure) => {
                self.never_sent(now, id, failure);
                false
            }
        }
    }

    pub(super) fn journal_intent(&mut self, id: TxId) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let request = transaction.request.clone();
        let record = transaction.recorded.then(|| self.records.record_of(id)).flatten();
        self.journal(|| JournalOp::Intent { id, request, record });
    }

    /// The link is up: what waited for one is handed to the journal.
    pub(super) fn commit_turns(&mut self, now: Now) {
        while let Some(id) = self.turn.front(&self.transactions) {
            self.unplace(id);
            self.its_turn(now, id);
        }
    }

    pub(super) fn durable(&mut self, now: Now, id: TxId) {
        self.journal_up = true;
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.committed = true;
        }
        self.durable_or_not(now, id);
    }

    fn durable_or_not(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.durable = true;
        let is_committing = matches!(transaction.phase, Phase::Committing);
        self.answer_advice(now, id);
        if !is_committing {
            return;
        }
        match self.gate(now, id) {
            Some(failure) => self.never_sent(now, id, failure),
            None => {
                if let Some(transaction) = self.transactions.get_mut(id) {
                    transaction.phase = Phase::Ready;
                }
                self.place(id, Place::Ready);
            }
        }
    }

    pub(super) fn journal_failed(&mut self, now: Now, id: TxId, unknown: bool) {
        self.journal_up = false;
        let Some(transaction) = self.transactions.get(id) else { return };
        // Of unknown outcome: the journal reads it back and says so. Until then it must not be sent, and its deadline runs.
        if unknown && self.mutant(Mutant::UnknownIsDurable) {
            return self.durable(now, id);
        }
        if self.mutant(Mutant::FailedIsDurable) {
            return self.durable(now, id);
        }
        if !unknown && matches!(transaction.phase, Phase::Queued | Phase::Committing | Phase::Owed(_)) {
            if transaction_is_alone(Some(transaction)) {
                // Its client is gone and counts on us; as it may be repeated, sending it is better than forgetting it.
                return self.durable_or_not(now, id);
            }
            self.never_sent(now, id, Failure::JournalDown);
        }
    }

    // -- gates -------------------------------------------------------------------------------------------------------

    /// Why a request must not be sent now, if so. What is carried on without a client passes.
    #[inline(always)]
    fn gate(&self, now: Now, id: TxId) -> Option<Failure> {
        let transaction = self.transactions.get(id)?;
        if transaction.make_good() == MakeGood::CarryOn {
            return None;
        }
        if transaction.client.is_none() {
            return Some(Failure::ClientGone);
        }
        if !self.link_up {
            return Some(Failure::LinkDown);
        }
        let left = transaction.deadline.saturating_sub(now.uptime);
        if self.mutant(Mutant::SentTooLate) {
            return None;
        }
        if left < self.settings.min_response_time || left.is_zero() {
            return Some(self.why_expired(id));
        }
        let drain_left = self.draining.map(|deadline| deadline.saturating_sub(now.uptime));
        drain_left.is_some_and(|left| left < self.settings.min_response_time).then_some(Failure::Draining)
    }

    /// It was accepted and will not be sent: the client is told, nothing is owed.
    pub(super) fn never_sent(&mut self, now: Now, id: TxId, failure: Failure) {
        self.fail(id, failure);
        self.end(now, id, FinalState::NeverSent, None);
    }

    /// Takes the next request that may go out.
    pub(super) fn pull_request(&mut self, now: Now) -> Option<Pulled> {
        while let Some(id) = self.ready.front(&self.transactions) {
            if self.yields_to_reversal(now, id) {
                continue;
            }
            if let Some(failure) = self.gate(now, id) {
                self.never_sent(now, id, failure);
                continue;
            }
            let Some(transaction) = self.transactions.get_mut(id) else { continue };
            if transaction.make_good() == MakeGood::CarryOn && transaction.client.is_none() {
                // Nobody waits for its answer: from here on it is the list of what is owed that sees to it. It goes out
                // now all the same: its place in its terminal's order is here, however short the hold.
                self.owe(now, id, Owed::new(Owing::Advice, 0, self.settings.reversal_hold), Doubt::Advice);
                if self.mutant(Mutant::AdviceLosesPlace) {
                    continue;
                }
                self.unplace(id);
                return self.send_owed(now, id);
            }
            transaction.phase = Phase::InFlight;
            transaction.left_at = Some(now.uptime);
            let len = transaction.request.bytes().len();
            self.place(id, Place::InFlight);
            if self.mutant(Mutant::DoubleSend) && len % 2 == 0 {
                self.place(id, Place::Ready);
            }
            if self.mutant(Mutant::TerminalNotLocked) {
                self.free_terminal(now, id);
            }
            return Some(Pulled::Request(id));
        }
        None
    }

    /// A reversal that came up after its turn goes before it: of its terminal, or with its key. It is not ready any more
    /// then.
    fn yields_to_reversal(&mut self, now: Now, id: TxId) -> bool {
        let overtakes = self.mutant(Mutant::RequestOvertakes);
        let Some(transaction) = self.transactions.get(id) else { return true };
        let (key, index) = (transaction.key, transaction.terminal);
        if let Some(index) = index
            && let Some(terminal) = self.terminals.get_mut(index)
            && !terminal.owed.is_empty()
            && !overtakes
        {
            self.ready.remove(&mut self.transactions, id);
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.phase = Phase::Queued;
                transaction.place = Place::Waiting;
            }
            terminal.busy = None;
            terminal.waiting.push_front(&mut self.transactions, id);
            self.next_of_terminal(now, index);
            return true;
        }
        if self.keys.get(key).is_none_or(|slot| slot.live.len() == 1) {
            return false;
        }
        self.unplace(id);
        !self.may_go(now, id)
    }

    // -- the end of waiting ------------------------------------------------------------------------------------------

    /// Why a request was not sent by its deadline.
    pub(super) fn why_expired(&self, id: TxId) -> Failure {
        if !self.link_up {
            return Failure::LinkDown;
        }
        let terminal =
            self.transactions.get(id).and_then(|t| t.terminal).and_then(|index| self.terminals.get(index));
        let busy = terminal.and_then(|terminal| terminal.busy).and_then(|busy| self.transactions.get(busy));
        match busy {
            Some(busy) if busy.owed().is_some() => Failure::TerminalHeld,
            _ => Failure::Expired,
        }
    }

    /// The deadline of a transaction has passed, in whatever phase.
    pub(super) fn deadline_passed(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get(id) else { return };
        match &transaction.phase {
            Phase::Queued | Phase::Committing | Phase::Ready => {
                let failure = self.why_expired(id);
                self.leave_waiting(now, id, failure);
            }
            Phase::InFlight => {
                self.fail(id, Failure::TimedOut);
                if self.mutant(Mutant::DeadlineForgets) {
                    return self.end(now, id, FinalState::Unanswered, None);
                }
                self.make_good(now, id, Doubt::NoReply);
            }
            Phase::Answered(_) => {
                if let Some(client) = transaction.client {
                    let outcome = Outcome::Failed(Failure::TooLate);
                    self.actions.push_back(Action::Reply { id: Some(id), client, outcome });
                }
                self.undelivered(now, id, Doubt::Undelivered);
            }
            Phase::Joined(owner) => {
                let owner = *owner;
                self.leave_joined(owner, id);
                self.fail(id, Failure::TimedOut);
                self.end(now, id, FinalState::Unanswered, Some(TombKindOf::Unanswered));
            }
            Phase::Delivered(_) | Phase::Owed(_) => {}
        }
    }

    /// Its deadline passed, or its client left, before it was sent. A request is over; an advice or reversal of the
    /// client's stays in its place and is carried on.
    pub(super) fn leave_waiting(&mut self, now: Now, id: TxId, failure: Failure) {
        // (It may be over already: ending one at a drain lets its terminal go on to the next.)
        let Some(transaction) = self.transactions.get(id) else { return };
        let carried_on = transaction.make_good() == MakeGood::CarryOn;
        if carried_on && !self.mutant(Mutant::AdviceForgotten) {
            self.fail(id, failure);
            self.set_timer(id, Timer::None);
        } else {
            self.never_sent(now, id, failure);
        }
    }

    pub(super) fn leave_joined(&mut self, owner: TxId, id: TxId) {
        if let Some(owed) = self.transactions.get_mut(owner).and_then(Transaction::owed_mut) {
            owed.joined.retain(|joined| *joined != id);
        }
    }
}

/// An advice or reversal of a client's that is carried on without its client.
fn transaction_is_alone(transaction: Option<&Transaction>) -> bool {
    transaction.is_some_and(|transaction| {
        transaction.make_good() == MakeGood::CarryOn && transaction.client.is_none()
    })
}
