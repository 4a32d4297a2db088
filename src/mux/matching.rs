//! Whose answer is it?

use std::sync::Arc;

use super::action::{Action, Doubt, Fact, FinalState, JournalOp, Outcome, Unmatched};
use super::core::Mux;
use super::event::TxId;
use super::keys::{Counted, KeyIndex, TombId, TombKind, Tombstone};
use super::mutant::Mutant;
use super::transaction::{Owed, OwedState, Owing, Phase, Transaction};
use crate::dialect::{RequestClass, ReversalClass};
use crate::iso8583::field;
use crate::rules::{Answer, MakeGood, MatchKey, Request};
use crate::time::Now;

/// How many transactions in flight are looked at for the one nearest to an unmatched answer.
const NEAREST_OF: usize = 64;

impl Mux {
    pub(super) fn received(&mut self, now: Now, answer: &Answer) {
        let Some(key) = answer.key() else { return self.unmatched(answer, Unmatched::NoKey) };
        let Some(index) = self.keys.find(key) else { return self.unmatched(answer, Unmatched::UnknownKey) };
        match self.find_waiting(now, index, answer) {
            Found::One(id) => match self.transactions.get(id).map(|transaction| &transaction.phase) {
                Some(Phase::Owed(_)) => self.owed_answered(now, id, answer),
                _ => self.answered(now, id, answer),
            },
            Found::Late(id) => self.late(now, id, answer),
            Found::Earlier(id) => self.owed_answered_late(now, id, answer),
            Found::Several => self.unmatched(answer, Unmatched::Ambiguous),
            Found::None(why) => {
                if !self.came_late(now, index, answer) && !self.came_after_the_end(now, index, answer) {
                    self.unmatched(answer, why);
                }
            }
        }
    }

    /// Who awaits this answer. What has timed out by now, and has not been told yet, does not.
    fn find_waiting(&mut self, now: Now, index: KeyIndex, answer: &Answer) -> Found {
        let Some(slot) = self.keys.get(index) else { return Found::None(Unmatched::UnknownKey) };
        if let [id] = slot.live[..] {
            // The usual case: one transaction has this key.
            let overdue = self.transactions.get(id).is_some_and(|t| is_overdue(t, now));
            if overdue {
                self.deadline_passed(now, id);
            }
            return match self.transactions.get(id) {
                Some(transaction) => {
                    self.judge(transaction, answer).map_or_else(Found::None, |()| Found::One(id))
                }
                None => Found::None(Unmatched::UnknownKey),
            };
        }
        let live = slot.live.clone();
        for id in &live {
            if self.transactions.get(*id).is_some_and(|transaction| is_overdue(transaction, now)) {
                self.deadline_passed(now, *id);
            }
        }
        let mut why = Unmatched::UnknownKey;
        let mut best: Option<(u32, Candidate)> = None;
        let mut tie = false;
        for id in live {
            let Some(transaction) = self.transactions.get(id) else { continue };
            let candidate = match self.judge(transaction, answer) {
                Ok(()) => Candidate::Waits(id),
                Err(_) if self.timed_out_with(transaction, answer) => Candidate::IsLate(id),
                // A reversal whose time for an answer is over competes with the others of its key, too.
                Err(_) if self.answers_earlier_sending(transaction, answer) => Candidate::Earlier(id),
                Err(Unmatched::UnknownKey) => continue,
                Err(reason) => {
                    why = reason;
                    continue;
                }
            };
            let score = answer.score(transaction.request.message());
            match best {
                Some((other, _)) if score < other => {}
                Some((other, Candidate::IsLate(_))) if score == other && candidate.is_late() => {}
                Some((other, _)) if score == other => tie = true,
                _ => (best, tie) = (Some((score, candidate)), false),
            }
        }
        match best {
            Some(_) if tie && !self.mutant(Mutant::TieIsScored) => Found::Several,
            Some((_, Candidate::Waits(id))) => Found::One(id),
            Some((_, Candidate::IsLate(id))) => Found::Late(id),
            Some((_, Candidate::Earlier(id))) => Found::Earlier(id),
            None => Found::None(why),
        }
    }

    /// Whether this can be the answer to a sale that has timed out beside others with its key (with the terminals' lock
    /// off), and was never answered: it competes with them, or they would get what is not theirs.
    fn timed_out_with(&self, transaction: &Transaction, answer: &Answer) -> bool {
        let Phase::Owed(owed) = &transaction.phase else { return false };
        transaction.make_good() == MakeGood::Reverse
            && owed.state != OwedState::Parked
            && !owed.approved
            && transaction.is_answered_by(answer, &self.compared)
    }

    /// Whether `transaction` awaits just this answer.
    #[inline(always)]
    fn judge(&self, transaction: &Transaction, answer: &Answer) -> Result<(), Unmatched> {
        match transaction.awaited() {
            None => Err(Unmatched::UnknownKey),
            Some(mti) if mti != answer.mti() => Err(Unmatched::WrongMti),
            Some(_)
                if !self.mutant(Mutant::EchoIgnored)
                    && !answer.agrees_with(transaction.request.message(), &self.compared) =>
            {
                Err(Unmatched::Disagrees)
            }
            Some(_) if self.is_of_a_twin(transaction, answer) => Err(Unmatched::Disagrees),
            Some(_) => Ok(()),
        }
    }

    /// Whether this is rather the answer to another one with its key: that has the answer's amount, and this one has not.
    /// (By itself another amount says little: a host may approve less.)
    fn is_of_a_twin(&self, transaction: &Transaction, answer: &Answer) -> bool {
        // (Most have no twin at all, and their amount need not be looked at.)
        self.has_twin(transaction, answer, |twin| agree_in_amount(twin, answer) == Some(true))
            && agree_in_amount(&transaction.request, answer) == Some(false)
    }

    /// Whether `answer` agrees with another transaction as well that has, or lately had, the key of this one.
    fn has_twin(&self, transaction: &Transaction, answer: &Answer, is_it: impl Fn(&Request) -> bool) -> bool {
        let Some(slot) = self.keys.get(transaction.key).filter(|slot| slot.is_shared()) else { return false };
        let is_twin = |other: &Request| {
            other.mti().first() == transaction.request.mti().first()
                && answer.agrees_with(other.message(), &self.compared)
                && is_it(other)
        };
        let live = slot.live.iter().filter(|id| **id != transaction.id);
        let mut live = live.filter_map(|id| self.transactions.get(*id));
        let mut ended = self.keys.tombs(transaction.key).filter_map(|(_, tomb)| tomb.kind.request());
        live.any(|other| is_twin(&other.request)) || ended.any(is_twin)
    }

    /// The answer to a request that is being made good, or whose answer is being delivered.
    fn came_late(&mut self, now: Now, index: KeyIndex, answer: &Answer) -> bool {
        let Some(slot) = self.keys.get(index) else { return false };
        let live = slot.live.clone();
        for id in live {
            let Some(transaction) = self.transactions.get(id) else { continue };
            if self.answers_earlier_sending(transaction, answer) {
                self.owed_answered_late(now, id, answer);
                return true;
            }
            if !transaction.is_answered_by(answer, &self.compared) {
                continue;
            }
            match &transaction.phase {
                Phase::Owed(_) if transaction.make_good() == MakeGood::Reverse => self.late(now, id, answer),
                Phase::Answered(class) | Phase::Delivered(class) => {
                    let class = *class;
                    self.second_answer(now, id, class, answer);
                }
                _ => continue,
            }
            return true;
        }
        false
    }

    /// The answer to a sale whose reversal is open.
    fn late(&mut self, now: Now, id: TxId, answer: &Answer) {
        let cancels_sent = self.mutant(Mutant::LateDeclineCancelsSent);
        self.count_late(id, answer);
        let rrn = answer.message().value(field::RRN).map(|rrn| bytes::Bytes::copy_from_slice(&rrn));
        // Of two that agree in all but the amount the host may have declined the other one.
        let surely_its_own = self.transactions.get(id).is_some_and(|transaction| {
            agree_in_amount(&transaction.request, answer) == Some(true)
                || !self.has_twin(transaction, answer, |_| true)
        });
        let Some(owed) = self.transactions.get_mut(id).and_then(Transaction::owed_mut) else { return };
        match answer.request_class() {
            // The reversal stands, and can name the host's own reference from now on.
            RequestClass::Approved => {
                owed.approved = true;
                if let Some(rrn) = rrn {
                    owed.rrn = Some(rrn.clone());
                    self.journal(|| JournalOp::Learned { id, rrn });
                }
            }
            RequestClass::Declined
                if cancels_sent && matches!(owed.state, OwedState::Waiting | OwedState::InFlight) =>
            {
                self.cancel_owed(now, id);
            }
            // A host that has approved as well has a sale in its books, whatever else it says.
            RequestClass::Declined
                if owed.was_never_sent()
                    && owed.state == OwedState::Waiting
                    && !owed.approved
                    && surely_its_own =>
            {
                self.cancel_owed(now, id);
            }
            RequestClass::Declined | RequestClass::InDoubt => {}
        }
    }

    /// Whether it answers a sending of a reversal or advice whose time for an answer was over.
    fn answers_earlier_sending(&self, transaction: &Transaction, answer: &Answer) -> bool {
        let Phase::Owed(owed) = &transaction.phase else { return false };
        let response = match &owed.what {
            Owing::Reversal(image) => Some(image.response_mti()),
            Owing::Advice => transaction.request.mti().response(),
            Owing::Nothing => None,
        };
        (owed.attempts > 0 || owed.maybe_sent)
            && response == Some(answer.mti())
            && answer.agrees_with(transaction.request.message(), &self.compared)
            && !self.is_of_a_twin(transaction, answer)
    }

    /// What the host says of a reversal or advice counts also when it comes after its time. Only a parked or listed
    /// one is not taken up again by anything but its acceptance.
    fn owed_answered_late(&mut self, now: Now, id: TxId, answer: &Answer) {
        self.tally.late += 1;
        if let Some(key) = answer.key().cloned() {
            self.fact(Fact::OwedLate { id, mti: answer.mti(), key, class: answer.reversal_class() });
        }
        if let Some(transaction) = self.transactions.get_mut(id)
            && transaction.request.mti().response() == Some(answer.mti())
        {
            // An advice: it is the answer that its client waited for.
            transaction.late = true;
        }
        let state = match self.transactions.get(id).and_then(Transaction::owed).map(|owed| owed.state) {
            Some(OwedState::Parked) => Some(FinalState::Parked),
            Some(OwedState::Listed) => Some(FinalState::Listed),
            _ => None,
        };
        if let Some(state) = state {
            if answer.reversal_class() != ReversalClass::Accepted {
                return;
            }
            self.uncount_end(state);
            self.waits_for_person -= 1;
            self.records.reopened(id, id);
            self.tally.owed += 1;
        }
        // One that waits for its terminal or its time goes on waiting, unless this ends it.
        if self.would_try_again(now, id, answer.reversal_class()) {
            return self.note_owed_answer(id, answer);
        }
        self.owed_answered(now, id, answer);
    }

    /// The host answers a request after its deadline.
    fn count_late(&mut self, id: TxId, answer: &Answer) {
        self.tally.late += 1;
        match self.transactions.get_mut(id) {
            Some(transaction) => transaction.late = true,
            None => self.records.late(id),
        }
        if let Some(key) = answer.key().cloned() {
            self.fact(Fact::Late { id, mti: answer.mti(), key, class: answer.request_class() });
        }
    }

    /// Another answer to a request that was answered.
    fn second_answer(&mut self, now: Now, id: TxId, first: RequestClass, answer: &Answer) {
        let reversible =
            self.transactions.get(id).is_some_and(|t| t.make_good() == MakeGood::Reverse && !t.joined);
        let first = if self.mutant(Mutant::DuplicateIsLate) { RequestClass::Declined } else { first };
        if !reversible || first == RequestClass::Approved || answer.request_class() != RequestClass::Approved
        {
            return self.again(answer);
        }
        if matches!(self.transactions.get(id).map(|t| &t.phase), Some(Phase::Delivered(_))) {
            self.undo_end(id);
        }
        self.approved_after_decline(id, answer);
        let next = self.transactions.get_mut(id).and_then(|transaction| transaction.next_client.take());
        self.make_good(now, id, Doubt::ApprovedAfterDecline);
        if let Some(client) = next
            && let Some(status) = self.status(id)
        {
            // It waited for the decline, which is void now; nobody else will tell it anything.
            self.actions.push_back(Action::Reply { id: None, client, outcome: Outcome::Known(status) });
        }
    }

    fn approved_after_decline(&mut self, id: TxId, answer: &Answer) {
        if let Some(key) = answer.key().cloned() {
            self.fact(Fact::ApprovedAfterDecline { id, key });
        }
    }

    fn again(&mut self, answer: &Answer) {
        self.tally.again += 1;
        if let Some(key) = answer.key().cloned() {
            self.fact(Fact::Again { key, mti: answer.mti() });
        }
    }

    /// The answer to a transaction that has ended.
    fn came_after_the_end(&mut self, now: Now, index: KeyIndex, answer: &Answer) -> bool {
        let tombs = self.keys.tombs(index);
        let meanings = tombs.filter_map(|(id, tomb)| Some((id, self.meaning(tomb, answer)?)));
        // One that agrees and has consequences goes before one that merely has the key: a STAN may be used again.
        let found = meanings.min_by_key(|(_, meaning)| matches!(meaning, Meaning::Again | Meaning::Late(_)));
        match found {
            None => return false,
            Some((_, Meaning::Again)) => self.again(answer),
            Some((_, Meaning::Late(id))) => self.count_late(id, answer),
            Some((id, Meaning::ApprovedAfterDecline)) => self.reopen_declined(now, id, answer),
            Some((id, Meaning::ApprovedAfterReversal)) => self.reopen_reversed(now, id, answer),
        }
        true
    }

    /// What `answer` means to an ended transaction with its key, if anything.
    fn meaning(&self, tomb: &Tombstone, answer: &Answer) -> Option<Meaning> {
        let compared = &self.compared;
        let approved = answer.request_class() == RequestClass::Approved;
        let answers_request = tomb.mti.response() == Some(answer.mti());
        match &tomb.kind {
            TombKind::Settled(_) => answers_request.then_some(Meaning::Again),
            TombKind::Unanswered => answers_request.then_some(Meaning::Late(tomb.id)),
            TombKind::Unsettled(request, _) => {
                let agrees = answers_request && answer.agrees_with(request.message(), compared);
                agrees.then_some(if approved { Meaning::ApprovedAfterDecline } else { Meaning::Again })
            }
            TombKind::Reversed(ended) => {
                let (request, owed) = &**ended;
                let answers_reversal =
                    matches!(&owed.what, Owing::Reversal(image) if image.response_mti() == answer.mti());
                match answers_request && answer.agrees_with(request.message(), compared) {
                    true if approved && !owed.reopened => Some(Meaning::ApprovedAfterReversal),
                    true => Some(Meaning::Late(tomb.id)),
                    false => answers_reversal.then_some(Meaning::Again),
                }
            }
        }
    }

    /// The host approves what it had declined: that has to be undone.
    fn reopen_declined(&mut self, now: Now, tomb: TombId, answer: &Answer) {
        if self.mutant(Mutant::ApprovalAfterDeclineForgotten) {
            return;
        }
        let Some(tomb) = self.keys.exhume(tomb) else { return };
        let TombKind::Unsettled(request, _) = tomb.kind else { return };
        let id = self.reenter(now, tomb.id, tomb.counted, request, tomb.key);
        self.approved_after_decline(id, answer);
        self.make_good(now, id, Doubt::ApprovedAfterDecline);
    }

    /// The host had answered our reversal before it approved the sale: one more repeat, with what it told.
    fn reopen_reversed(&mut self, now: Now, tomb: TombId, answer: &Answer) {
        if self.mutant(Mutant::LateApprovalForgotten) {
            return;
        }
        let Some(tomb) = self.keys.exhume(tomb) else { return };
        let TombKind::Reversed(ended) = tomb.kind else { return };
        let (request, before) = *ended;
        let id = self.reenter(now, tomb.id, tomb.counted, Arc::new(request), tomb.key);
        self.count_late(id, answer);
        let rrn = answer.message().value(field::RRN).map(|rrn| bytes::Bytes::copy_from_slice(&rrn));
        if let Some(rrn) = rrn.clone() {
            self.journal(|| JournalOp::Learned { id, rrn });
        }
        // Its tries begin anew: the host has told that there is something to undo.
        let mut owed = Owed::new(before.what, 1, self.settings.reversal_hold);
        owed.reopened = true;
        owed.approved = true;
        owed.rrn = rrn.or(before.rrn);
        self.owe(now, id, owed, Doubt::ApprovedAfterReversal);
    }

    // -- nobody's ----------------------------------------------------------------------------------------------------

    fn unmatched(&mut self, answer: &Answer, why: Unmatched) {
        self.tally.unmatched += 1;
        let nearest = answer.key().and_then(|key| self.nearest(key));
        self.fact(Fact::Unmatched { mti: answer.mti(), key: answer.key().cloned(), nearest, why });
    }

    /// Of the oldest in flight, the key that has the most bytes in common with `key`.
    fn nearest(&mut self, key: &MatchKey) -> Option<MatchKey> {
        let ids: Vec<TxId> = self.in_flight.iter(&mut self.transactions).take(NEAREST_OF).collect();
        let keys =
            ids.iter().filter_map(|id| self.transactions.get(*id)).filter_map(|t| self.keys.get(t.key));
        let common = |other: &MatchKey| other.0.iter().zip(key.0.iter()).filter(|(a, b)| a == b).count();
        keys.max_by_key(|slot| common(&slot.key)).map(|slot| slot.key.clone())
    }
}

impl Mux {
    /// A transaction that had ended comes back, without a client, to be made good. It has a new id; the journal and the
    /// log are told which one it had.
    /// There is always a place for it: see [`Mux::has_room`].
    fn reenter(
        &mut self,
        now: Now,
        id: TxId,
        counted: Counted,
        request: Arc<Request>,
        key: KeyIndex,
    ) -> TxId {
        let new = self.transactions.insert(|new| Transaction::reopened(new, id, request, key, now.uptime));
        if let Some(slot) = self.keys.get_mut(key) {
            slot.live.push(new);
        }
        let recorded = self.records.reopened(new, id);
        if let Some(transaction) = self.transactions.get_mut(new) {
            transaction.recorded = recorded;
        }
        match counted {
            Counted::As(state) => {
                self.uncount_end(state);
                self.journal(|| JournalOp::Reopened { id: new, was: id });
            }
            Counted::Before { row } => {
                if let Some(transaction) = self.transactions.get_mut(new) {
                    transaction.restarted = true;
                }
                self.tally.recovered += 1;
                self.tally.open += 1;
                self.journal(|| JournalOp::Adopt { id: new, row });
                self.journal(|| JournalOp::Reopened { id: new, was: new });
            }
        }
        self.fact(Fact::Reopened { id: new, was: id });
        new
    }
}

/// Whether the amounts agree; `None` where one of both has none.
fn agree_in_amount(request: &Request, answer: &Answer) -> Option<bool> {
    let (told, asked) = (answer.message(), request.message());
    (told.has(field::AMOUNT) && asked.has(field::AMOUNT)).then(|| told.agrees_with(asked, field::AMOUNT))
}

fn is_overdue(transaction: &Transaction, now: Now) -> bool {
    matches!(transaction.phase, Phase::InFlight) && transaction.deadline < now.uptime
}

/// One of several transactions with the key of an answer.
#[derive(Clone, Copy)]
enum Candidate {
    Waits(TxId),
    IsLate(TxId),
    Earlier(TxId),
}

impl Candidate {
    fn is_late(self) -> bool {
        matches!(self, Candidate::IsLate(_))
    }
}

enum Found {
    One(TxId),
    /// The answer to a sale whose reversal is open.
    Late(TxId),
    /// The answer to a sending of a reversal or advice whose time for an answer was over.
    Earlier(TxId),
    Several,
    None(Unmatched),
}

enum Meaning {
    Again,
    Late(TxId),
    ApprovedAfterDecline,
    ApprovedAfterReversal,
}
