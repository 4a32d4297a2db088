//! Arrival: who is let in, who repeats another, and who is refused.

use std::sync::Arc;

use super::action::{Action, Fact, Failure, FinalState, Outcome};
use super::core::Mux;
use super::event::{ClientTag, TxId};
use super::keys::KeyPlace;
use super::known::Known;
use super::mutant::Mutant;
use super::records::{self, Record, State, Status};
use super::terminals::TerminalIndex;
use super::transaction::{Phase, Place, Timer, Transaction};
use crate::dialect::RequestClass;
use crate::rules::{MakeGood, Request};
use crate::time::Now;

/// A request on its way in, and where its key stands.
struct Arrival {
    client: ClientTag,
    request: Arc<Request>,
    record: Option<Record>,
    place: KeyPlace,
    /// What the statistics have read of it.
    amount: Option<i64>,
}

impl Mux {
    pub(super) fn submit(
        &mut self,
        now: Now,
        client: ClientTag,
        request: Arc<Request>,
        record: Option<Record>,
    ) {
        if let Some(record) = &record
            && !self.mutant(Mutant::IdempotencyIgnored)
        {
            match self.records.known(record) {
                records::Known::New => {}
                records::Known::Same(id) => return self.ask_again(now, client, id),
                records::Known::OtherBody => return self.refuse(client, &request, Failure::KeyReused),
                records::Known::Full => return self.refuse(client, &request, Failure::RecordsFull),
            }
        }
        let refusal = match self.draining {
            Some(_) => Some(Failure::Draining),
            None if self.held >= self.settings.queue_max => Some(Failure::QueueFull),
            None => None,
        };
        if let Some(failure) = refusal {
            return self.refuse(client, &request, failure);
        }
        let place = self.keys.look_up(request.key());
        let known = place.index.map_or(Known::Stranger, |index| self.known(&request, index, None));
        let arrival = |request| Arrival { client, request, record, place, amount: None };
        match known {
            Known::Stranger => self.admit(now, arrival(request)),
            Known::Repeats(id) => self.take_place(now, client, id),
            Known::WasDelivered(id) => self.give_again(now, client, id),
            Known::HasAnswer(bytes, class) => {
                let outcome = Outcome::Answered { bytes, class };
                self.actions.push_back(Action::Reply { id: None, client, outcome });
            }
            Known::Joins(owner) => self.admit_joined(now, arrival(request), owner),
            Known::Refused(failure) => self.refuse(client, &request, failure),
        }
    }

    fn refuse(&mut self, client: ClientTag, request: &Request, failure: Failure) {
        self.tally.received += 1;
        self.tally.ended[FinalState::Refused as usize] += 1;
        self.outcomes.ended(request.mti(), None, FinalState::Refused);
        self.fact(Fact::Refused { mti: request.mti(), key: request.key().clone(), failure });
        self.actions.push_back(Action::Reply { id: None, client, outcome: Outcome::Failed(failure) });
    }

    fn admit(&mut self, now: Now, mut arrival: Arrival) {
        let request = &arrival.request;
        let make_good = request.make_good();
        if let Some(failure) = self.why_not(make_good) {
            return self.refuse(arrival.client, request, failure);
        }
        let terminal = request.tid().filter(|_| self.settings.lock_terminal);
        let terminal = terminal.map(|tid| self.terminals.enter(tid));
        arrival.amount = self.statistics.taken(request);
        let id = self.enter(now, arrival, terminal, Phase::Queued);
        if make_good == MakeGood::CarryOn {
            // Carried on whatever becomes of its client, so it is journaled as soon as it is accepted.
            self.journal_intent(id);
        }
        match terminal {
            // Most have nobody before them.
            Some(index) if self.terminals.seize(index, id) => self.its_turn(now, id),
            Some(index) => {
                self.place(id, Place::Waiting);
                self.next_of_terminal(now, index);
            }
            None => self.its_turn(now, id),
        }
    }

    /// Whether there is a place for one more, beside those that come back when the host says something of them after
    /// their end: these always find one.
    pub(super) fn has_room(&self) -> bool {
        self.transactions.room() > self.keys.mattering()
    }

    /// Why a request that would have to be made good cannot be taken, if so.
    fn why_not(&self, make_good: MakeGood) -> Option<Failure> {
        if !self.has_room() {
            return Some(Failure::QueueFull);
        }
        if make_good == MakeGood::Nothing {
            return None;
        }
        if self.mutant(Mutant::TableUnbounded) {
            return None;
        }
        let kept = self.tally.owed + self.waits_for_person;
        if self.keys.is_full() || kept >= self.settings.saf_max as u64 {
            return Some(Failure::TableFull);
        }
        (self.settings.journaled && !self.journal_up).then_some(Failure::JournalDown)
    }

    #[inline(always)]
    fn enter(&mut self, now: Now, arrival: Arrival, terminal: Option<TerminalIndex>, phase: Phase) -> TxId {
        let Arrival { client, request, record, place, amount } = arrival;
        let key = self.keys.enter_at(place, request.key());
        let deadline = now.uptime + self.settings.queue_timeout;
        let id = self.transactions.insert(|id| {
            let mut transaction =
                Transaction::new(id, client, request, key, terminal, now.uptime, deadline, phase);
            transaction.noted.amount = amount;
            transaction
        });
        if let Some(slot) = self.keys.get_mut(key) {
            slot.live.push(id);
        }
        if let Some(record) = record
            && self.records.keep(id, record)
            && let Some(transaction) = self.transactions.get_mut(id)
        {
            transaction.recorded = true;
        }
        self.set_timer(id, Timer::Deadline);
        self.held += 1;
        self.tally.received += 1;
        self.tally.open += 1;
        self.actions.push_back(Action::Accepted { id, client });
        id
    }

    /// A client's own reversal waits for the answer to the one that is under way. Nothing of it goes to the host.
    fn admit_joined(&mut self, now: Now, arrival: Arrival, owner: TxId) {
        if !self.has_room() {
            return self.refuse(arrival.client, &arrival.request, Failure::QueueFull);
        }
        let id = self.enter(now, arrival, None, Phase::Joined(owner));
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.joined = true;
        }
        if let Some(owed) = self.transactions.get_mut(owner).and_then(Transaction::owed_mut) {
            owed.joined.push(id);
        }
        self.answer_joined_advice(now, id);
    }

    /// An advice that repeats one which is carried on: with `adviceResponse: atOnce` it need not wait for the host.
    pub(super) fn answer_joined_advice(&mut self, now: Now, id: TxId) {
        let Some(reply) = &self.settings.advice_reply else { return };
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Phase::Joined(owner) = transaction.phase else { return };
        let Some(bytes) = reply.to(&transaction.request, now) else { return };
        let Some(client) = transaction.client else { return };
        transaction.phase = Phase::Answered(RequestClass::Approved);
        transaction.answer = Some(bytes.clone());
        let outcome = Outcome::Answered { bytes, class: RequestClass::Approved };
        self.actions.push_back(Action::Reply { id: Some(id), client, outcome });
        self.leave_joined(owner, id);
    }

    pub(super) fn recall(&mut self, now: Now, client: ClientTag, record: &Record) {
        let failure = match self.records.known(record) {
            records::Known::Same(id) => return self.ask_again(now, client, id),
            records::Known::OtherBody => Failure::KeyReused,
            records::Known::New | records::Known::Full => Failure::Expired,
        };
        self.actions.push_back(Action::Reply { id: None, client, outcome: Outcome::Failed(failure) });
    }

    /// The same request by its idempotency key: its current truth, decided here and now.
    fn ask_again(&mut self, now: Now, client: ClientTag, id: TxId) {
        let current = self.records.get(id).map_or(id, |(current, _)| current);
        if let Some(transaction) = self.transactions.get_mut(current) {
            match transaction.phase {
                Phase::Queued | Phase::Committing | Phase::Ready | Phase::InFlight | Phase::Joined(_) => {
                    return self.take_place(now, client, current);
                }
                Phase::Answered(_) => {
                    // Its answer is on the way to the client before. If that fails, this one gets it.
                    let before = transaction.next_client.replace(client);
                    return self.tell_superseded(before);
                }
                Phase::Delivered(_) => return self.give_again(now, client, current),
                Phase::Owed(_) => {}
            }
        }
        let Some(status) = self.status(id) else {
            // Kept and not open, yet without an end: it cannot be. Nothing is sent twice for it.
            debug_assert!(false, "a record without a truth");
            let outcome = Outcome::Failed(Failure::RecordsFull);
            return self.actions.push_back(Action::Reply { id: None, client, outcome });
        };
        let outcome = match status {
            Status { state: State::Delivered, answer: Some((bytes, class)), .. } => {
                Outcome::Answered { bytes, class }
            }
            status => Outcome::Known(status),
        };
        self.actions.push_back(Action::Reply { id: None, client, outcome });
    }

    fn tell_superseded(&mut self, client: Option<ClientTag>) {
        if let Some(client) = client {
            let outcome = Outcome::Failed(Failure::Superseded);
            self.actions.push_back(Action::Reply { id: None, client, outcome });
        }
    }

    /// A repeat of a transaction that is still on its way: its client takes the place of the one before.
    fn take_place(&mut self, now: Now, client: ClientTag, id: TxId) {
        self.fail(id, Failure::Superseded);
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.client = Some(client);
        self.actions.push_back(Action::Accepted { id, client });
        if transaction.timer == Timer::None {
            // It had lost its client and waited on without one. This one is told something in time.
            transaction.deadline = now.uptime + self.settings.queue_timeout;
            self.set_timer(id, Timer::Deadline);
        }
        self.answer_advice(now, id);
    }

    /// With `adviceResponse: atOnce` a client's advice that is durable is answered by us, and carried on without it.
    pub(super) fn answer_advice(&mut self, now: Now, id: TxId) {
        let Some(reply) = &self.settings.advice_reply else { return };
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let waits = matches!(transaction.phase, Phase::Queued | Phase::Committing | Phase::Ready);
        if !waits || !transaction.committed || transaction.make_good() != MakeGood::CarryOn {
            return;
        }
        // Only what reports (0120, 0220, 0420): a reversal's (0400) answer is the host's.
        let Some(bytes) = reply.to(&transaction.request, now) else { return };
        if let Some(client) = transaction.client.take() {
            // Whether it is delivered changes nothing: the advice goes on.
            let outcome = Outcome::Answered { bytes, class: RequestClass::Approved };
            self.actions.push_back(Action::Reply { id: Some(id), client, outcome });
            self.set_timer(id, Timer::None);
        }
    }

    // -- turns -------------------------------------------------------------------------------------------------------
}
