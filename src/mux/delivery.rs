//! From the host's answer to the client's hands.

use std::time::Duration;

use smallvec::SmallVec;

use super::action::{Action, Doubt, Fact, Failure, FinalState, JournalOp, Outcome};
use super::core::{Mux, TombKindOf};
use super::event::{ClientTag, TxId};
use super::mutant::Mutant;
use super::recovery::OnUndelivered;
use super::transaction::{Phase, Place, Timer, Transaction};
use crate::dialect::{RequestClass, ReversalClass};
use crate::rules::{Answer, AnswerRecord, MakeGood};
use crate::time::Now;

/// Shortest watch over a delivery, so that one renewed at its end cannot be due at once.
const WATCH_MIN: Duration = Duration::from_millis(1);

impl Mux {
    /// The host answered a request that was in flight.
    pub(super) fn answered(&mut self, now: Now, id: TxId, answer: &Answer) {
        self.unplace(id);
        self.note_answer(now, id, answer);
        let class = answer.request_class();
        self.journal(|| JournalOp::Answered { id, class, answer: AnswerRecord::of(answer) });
        if self.mutant(Mutant::AnswerDropped) && now.wall_ms % 2 == 0 {
            return self.end(now, id, FinalState::Delivered, None);
        }
        if self.mutant(Mutant::EndBeforeDelivery) {
            self.journal(|| JournalOp::End { id, state: FinalState::Delivered });
        }
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let bytes = answer.message().raw().clone();
        transaction.phase = Phase::Answered(class);
        if let Some(client) = transaction.client {
            transaction.answer = Some(bytes.clone());
            let outcome = Outcome::Answered { bytes, class };
            self.actions.push_back(Action::Reply { id: Some(id), client, outcome });
            return;
        }
        let make_good = transaction.make_good();
        if let Some(key) = self.keys.get(transaction.key).map(|slot| slot.key.clone()) {
            self.fact(Fact::ClientGone { id, key, class });
        }
        if make_good == MakeGood::CarryOn && answer.reversal_class() == ReversalClass::Accepted {
            return self.end(now, id, FinalState::AdviceAccepted, Some(TombKindOf::Settled));
        }
        self.settle_undelivered(now, id, class, Doubt::ClientGone);
    }

    /// The answer is known and the client will not get it.
    fn settle_undelivered(&mut self, now: Now, id: TxId, class: RequestClass, why: Doubt) {
        let reversible = self.transactions.get(id).is_some_and(|t| t.make_good() == MakeGood::Reverse);
        if self.mutant(Mutant::UndeliveredForgotten) {
            return self.end(now, id, FinalState::Unanswered, None);
        }
        if reversible && class == RequestClass::Declined && !self.mutant(Mutant::DeclineReversed) {
            return self.end(now, id, FinalState::DeclinedUndelivered, Some(TombKindOf::Unsettled));
        }
        self.make_good(now, id, why);
    }

    pub(super) fn delivered(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        if matches!(transaction.phase, Phase::Delivered(_)) {
            // To a client that asked again: watched anew.
            transaction.unheard = transaction.unheard.saturating_sub(1);
            self.unsure(id, false);
            return self.watch_delivery(now, id);
        }
        let Phase::Answered(class) = transaction.phase else { return };
        if transaction.deadline < now.uptime {
            // Wholly written, but after the deadline: not delivered in time.
            return self.deadline_passed(now, id);
        }
        if let Some(left_at) = transaction.left_at {
            let there = left_at.saturating_sub(transaction.arrived);
            self.timings.added.record(there + now.uptime.saturating_sub(transaction.noted.answered_at));
        }
        transaction.client = None;
        let next = transaction.next_client.take();
        let reversible = transaction.make_good() == MakeGood::Reverse && !transaction.joined;
        if !reversible || class == RequestClass::Declined {
            if let Some(next) = next {
                let bytes = transaction.answer.clone().unwrap_or_default();
                let outcome = Outcome::Answered { bytes, class };
                self.actions.push_back(Action::Reply { id: None, client: next, outcome });
            }
            let tomb = if reversible { TombKindOf::Unsettled } else { TombKindOf::Settled };
            return self.end(now, id, FinalState::Delivered, Some(tomb));
        }
        // Counted and journaled as delivered now; watched until the client's TCP has it.
        transaction.phase = Phase::Delivered(class);
        self.watch_delivery(now, id);
        self.held -= 1;
        self.count_end(now, id, FinalState::Delivered);
        self.leave_terminal(now, id);
        if let Some(next) = next {
            // It asked again meanwhile. What it is given must not be reversed when the first one turns out not to have it.
            self.give_again(now, next, id);
        }
    }

    fn watch_delivery(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.deadline = now.uptime + self.settings.delivery_timeout.max(WATCH_MIN);
        self.set_timer(id, Timer::Delivery);
    }

    /// Another client asks for the answer of a delivered transaction, which can still turn out undelivered to the first.
    /// From now on it is delivered if either of them has it: the one that asks again may well be the first one, on a new
    /// connection, and what it is given now must not be reversed when the old connection is found dead.
    pub(super) fn give_again(&mut self, now: Now, client: ClientTag, id: TxId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Phase::Delivered(class) = transaction.phase else { return };
        let bytes = transaction.answer.clone().unwrap_or_default();
        let outcome = Outcome::Answered { bytes, class };
        transaction.holders += 1;
        transaction.unheard += 1;
        transaction.given_until = now.uptime + self.settings.queue_timeout;
        self.actions.push_back(Action::Accepted { id, client });
        self.actions.push_back(Action::Reply { id: Some(id), client, outcome });
        self.watch_delivery(now, id);
    }

    /// The time in which it could turn out undelivered is over.
    pub(super) fn delivery_stands(&mut self, now: Now, id: TxId) {
        match self.transactions.get(id) {
            // (Where nobody else has it, whoever was given it last is heard out: each session says so at its end at last.)
            Some(transaction) if transaction.given_until > now.uptime || transaction.is_unsure => {
                self.watch_delivery(now, id);
            }
            _ => self.acknowledged(now, id),
        }
    }

    /// It can no longer turn out undelivered.
    pub(super) fn acknowledged(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let tomb = match &transaction.phase {
            Phase::Delivered(RequestClass::Approved) => TombKindOf::Settled,
            Phase::Delivered(_) => TombKindOf::Unsettled,
            _ => return,
        };
        self.bury(now, id, FinalState::Delivered, Some(tomb));
    }

    /// Somebody does not have the answer: could not be written to, or (`lost`) was, and has it not after all.
    pub(super) fn delivery_failed(&mut self, now: Now, id: TxId, lost: bool) {
        let ignored = self.mutant(Mutant::FailedAcknowledgementIgnored);
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        match &transaction.phase {
            Phase::Answered(_) => self.undelivered(now, id, Doubt::Undelivered),
            Phase::Delivered(_) if ignored => {}
            Phase::Delivered(_) => {
                transaction.holders = transaction.holders.saturating_sub(1);
                if !lost {
                    transaction.unheard = transaction.unheard.saturating_sub(1);
                }
                if transaction.holders > 0 {
                    let nobody_heard = transaction.holders <= transaction.unheard;
                    return self.unsure(id, nobody_heard);
                }
                let reversible = transaction.make_good() == MakeGood::Reverse;
                self.unsure(id, false);
                self.undo_end(id);
                if reversible && self.settings.on_undelivered == OnUndelivered::List {
                    return self.list(now, id);
                }
                self.make_good(now, id, Doubt::Undelivered);
            }
            _ => {}
        }
    }

    /// Notes whether it may be that none of those who were given the answer has it. A drain waits for those who know.
    pub(super) fn unsure(&mut self, id: TxId, is_unsure: bool) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        match (std::mem::replace(&mut transaction.is_unsure, is_unsure), is_unsure) {
            (false, true) => self.unsure += 1,
            (true, false) => self.unsure -= 1,
            _ => {}
        }
    }

    /// It had ended as delivered, and has not: for the journal too, where its row is over once that end is durable.
    pub(super) fn undo_end(&mut self, id: TxId) {
        self.uncount_end(FinalState::Delivered);
        self.records.reopened(id, id);
        if !self.mutant(Mutant::ReopenNotJournaled) {
            self.journal(|| JournalOp::Reopened { id, was: id });
        }
    }

    /// A session had the answer and could not deliver it, or not in time.
    pub(super) fn undelivered(&mut self, now: Now, id: TxId, why: Doubt) {
        let stops = self.draining.is_some_and(|deadline| now.uptime >= deadline);
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Phase::Answered(class) = transaction.phase else { return };
        transaction.client = None;
        if let Some(next) = transaction.next_client.take() {
            if now.uptime >= transaction.deadline || stops {
                let outcome = Outcome::Failed(Failure::TooLate);
                self.actions.push_back(Action::Reply { id: None, client: next, outcome });
                return self.settle_undelivered(now, id, class, why);
            }
            // It asked again by its idempotency key, and delivery to it counts.
            transaction.client = Some(next);
            let bytes = transaction.answer.clone().unwrap_or_default();
            self.actions.push_back(Action::Accepted { id, client: next });
            let outcome = Outcome::Answered { bytes, class };
            self.actions.push_back(Action::Reply { id: Some(id), client: next, outcome });
            return;
        }
        self.settle_undelivered(now, id, class, why);
    }

    pub(super) fn client_gone(&mut self, now: Now, id: TxId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        match &transaction.phase {
            Phase::Queued | Phase::Committing | Phase::Ready => {
                transaction.client = None;
                self.leave_waiting(now, id, Failure::ClientGone);
            }
            Phase::InFlight => {
                transaction.client = None;
                if self.settings.reverse_on_disconnect && transaction.make_good() == MakeGood::Reverse {
                    self.make_good(now, id, Doubt::ClientGone);
                }
            }
            Phase::Answered(_) => self.undelivered(now, id, Doubt::Undelivered),
            Phase::Joined(owner) => {
                let owner = *owner;
                transaction.client = None;
                self.leave_joined(owner, id);
                self.end(now, id, FinalState::Unanswered, Some(TombKindOf::Unanswered));
            }
            Phase::Delivered(_) | Phase::Owed(_) => {}
        }
    }

    /// The link on which it was in flight is gone.
    pub(super) fn lost_with_link(&mut self, now: Now, id: TxId) {
        self.unplace(id);
        match self.transactions.get(id).map(|transaction| &transaction.phase) {
            Some(Phase::InFlight) => {
                if self.mutant(Mutant::BufferSurvivesReconnect) {
                    return self.place(id, Place::Ready);
                }
                self.fail(id, Failure::LinkLost);
                if self.mutant(Mutant::LinkLossForgets) {
                    return self.end(now, id, FinalState::Unanswered, None);
                }
                self.make_good(now, id, Doubt::LinkLost);
            }
            Some(Phase::Owed(_)) => self.owed_lost_with_link(now, id),
            _ => {}
        }
    }

    /// Hands the answer to our reversal to the clients whose own reversals joined it.
    pub(super) fn answer_joined(&mut self, now: Now, id: TxId, answer: &Answer) {
        for joined in self.take_joined(id) {
            let Some(transaction) = self.transactions.get_mut(joined) else { continue };
            let Some(client) = transaction.client else {
                self.end(now, joined, FinalState::Unanswered, Some(TombKindOf::Unanswered));
                continue;
            };
            let (class, bytes) = (answer.request_class(), answer.message().raw().clone());
            transaction.phase = Phase::Answered(class);
            transaction.answer = Some(bytes.clone());
            let outcome = Outcome::Answered { bytes, class };
            self.actions.push_back(Action::Reply { id: Some(joined), client, outcome });
        }
    }

    /// No answer will come to what joined: who has a client waits for its deadline, the others are over.
    pub(super) fn leave_joined_alone(&mut self, now: Now, id: TxId) {
        for joined in self.take_joined(id) {
            if self.transactions.get(joined).is_some_and(|transaction| transaction.client.is_none()) {
                self.end(now, joined, FinalState::Unanswered, Some(TombKindOf::Unanswered));
            }
        }
    }

    fn take_joined(&mut self, id: TxId) -> SmallVec<[TxId; 1]> {
        let owed = self.transactions.get_mut(id).and_then(Transaction::owed_mut);
        owed.map(|owed| std::mem::take(&mut owed.joined)).unwrap_or_default()
    }
}
