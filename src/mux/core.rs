//! The mux itself: its state, its doors, and the small steps that all its parts share.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::action::{Action, Fact, Failure, FinalState, JournalOp, Outcome, Transmit};
use super::arena::{Arena, Link, List};
use super::event::{Event, TxId};
use super::keys::{Counted, Keys, TombKind, Tombstone};
use super::outcomes::Outcomes;
use super::records::{Records, Status};
use super::settings::Settings;
use super::statistics::Statistics;
use super::tally::Tally;
use super::terminals::{TerminalIndex, Terminals};
use super::timings::Timings;
use super::transaction::{PLACE, Phase, Place, TIMER, Timer, Transaction};
use crate::iso8583::{FieldNumber, Mti, field};
use crate::rules::{Answer, MatchKey};
use crate::time::Now;

/// Most answers to a host's own requests that wait for the link; further ones are dropped, as the host will ask again.
const HOST_REPLIES_MAX: usize = 64;
/// Most transactions that one call of [`Mux::handle_timeout`] times out, so that no call takes long.
const TIMEOUTS_PER_STEP: usize = 512;

/// The state machine of one upstream. See the module's documentation.
pub struct Mux {
    pub(super) settings: Settings,
    /// In what an answer has to agree with the request that has its key, where both have it.
    pub(super) compared: Vec<FieldNumber>,
    pub(super) transactions: Arena<Transaction>,
    pub(super) terminals: Terminals,
    pub(super) keys: Keys,
    pub(super) records: Records,
    /// Until their deadline, oldest first: all have the same time, so arrival order is deadline order.
    pub(super) deadlines: List<TIMER>,
    /// Delivered and not yet acknowledged by the client's TCP.
    pub(super) deliveries: List<TIMER>,
    /// Requests whose turn has come while there was no link to commit for.
    pub(super) turn: List<PLACE>,
    /// Requests to be pulled.
    pub(super) ready: List<PLACE>,
    /// Reversals and advices to be pulled.
    pub(super) owed_ready: List<PLACE>,
    pub(super) in_flight: List<PLACE>,
    /// When owed reversals and advices want attention.
    pub(super) agenda: BTreeSet<(Duration, TxId)>,
    /// Whether the next pull looks at what is owed first.
    pub(super) owed_first: bool,
    pub(super) host_replies: VecDeque<Bytes>,
    pub(super) actions: VecDeque<Action>,
    /// Terminals that may have something to go on with.
    pub(super) terminals_to_look_at: VecDeque<TerminalIndex>,
    /// Owed ones for which their terminal waits.
    pub(super) holding: BTreeSet<TxId>,
    /// Listed in this process, and gone from here: the journal has them until a person has seen to them.
    pub(super) listed_away: BTreeSet<TxId>,
    /// Whether the end of one that was delivered is a fact worth telling.
    tells_deliveries: bool,
    pub(super) link_up: bool,
    pub(super) journal_up: bool,
    pub(super) draining: Option<Duration>,
    /// Draining has come so far that nothing waiting is sent any more.
    pub(super) waiting_refused: bool,
    pub(super) drained: bool,
    pub(super) tally: Tally,
    pub(super) statistics: Statistics,
    pub(super) outcomes: Outcomes,
    pub(super) timings: Timings,
    /// Open transactions that `maxQueue` counts: waiting, in flight, being delivered.
    pub(super) held: usize,
    /// Parked and listed ones: they stay until a person has decided.
    pub(super) waits_for_person: u64,
    /// Owed ones that had no try in this process: a drain waits for it.
    pub(super) untried: u64,
    /// How many were delivered, lost, and given to somebody else who has not been heard.
    pub(super) unsure: u64,
}

impl Mux {
    /// At rest, with the link down.
    pub fn new(settings: Settings) -> Mux {
        // The key need not have the terminal.
        let terminal = (!settings.key_fields.0.contains(&field::TID)).then_some(field::TID);
        Mux {
            compared: terminal.iter().chain(&settings.echoed).copied().collect(),
            transactions: Arena::new(),
            terminals: Terminals::new(),
            keys: Keys::new(settings.tombstones_max),
            records: Records::new(settings.records_max, settings.idempotency_ttl),
            deadlines: List::new(),
            deliveries: List::new(),
            turn: List::new(),
            ready: List::new(),
            owed_ready: List::new(),
            in_flight: List::new(),
            agenda: BTreeSet::new(),
            owed_first: true,
            host_replies: VecDeque::new(),
            actions: VecDeque::new(),
            terminals_to_look_at: VecDeque::new(),
            holding: BTreeSet::new(),
            listed_away: BTreeSet::new(),
            tells_deliveries: true,
            link_up: false,
            journal_up: true,
            draining: None,
            waiting_refused: false,
            drained: false,
            tally: Tally::default(),
            statistics: Statistics::default(),
            outcomes: Outcomes::default(),
            timings: Timings::default(),
            held: 0,
            waits_for_person: 0,
            untried: 0,
            unsure: 0,
            settings,
        }
    }

    /// Takes an event that happened at `now`. Times never go back.
    //
    // Inlined: who calls it knows which event it is, so that no event is made at all.
    #[inline(always)]
    pub fn handle(&mut self, now: Now, event: Event) {
        match event {
            Event::Submit { client, request, record } => self.submit(now, client, request, record),
            Event::Recall { client, record } => self.recall(now, client, &record),
            Event::ClientGone { id } => self.client_gone(now, id),
            Event::Delivered { id } => self.delivered(now, id),
            Event::DeliveryFailed { id } => self.delivery_failed(now, id, false),
            Event::DeliveryLost { id } => self.delivery_failed(now, id, true),
            Event::Acknowledged { id } => self.acknowledged(now, id),
            Event::LinkUp => self.link_is_up(now),
            Event::LinkDown => self.link_is_down(now),
            Event::Received(answer) => self.received(now, &answer),
            Event::HostRequest { reply } => self.host_request(reply),
            Event::Durable { id } => self.durable(now, id),
            Event::JournalFailed { id, unknown } => self.journal_failed(now, id, unknown),
            Event::JournalUp => self.journal_up = true,
            Event::Recover(recovered) => self.recover(now, *recovered),
            Event::Remember(remembered) => self.remember(now, *remembered),
            Event::Operator(order) => self.operate(now, order),
            Event::Drain { deadline } => self.drain(now, deadline),
        }
        self.look_if_drained(now);
    }

    /// Whether it gives [`Fact::Ended`] of those that were delivered too: nearly all, and nobody's business unless they are
    /// logged. It does, unless told otherwise.
    pub fn tell_deliveries(&mut self, tells: bool) {
        self.tells_deliveries = tells;
    }

    /// [`Event::Received`], with an answer that stays the caller's.
    pub fn receive(&mut self, now: Now, answer: &Answer) {
        self.received(now, answer);
        self.look_if_drained(now);
    }

    /// The next message for the link, if the link is up and there is one. From now on its bytes count as sent, so they
    /// belong to this one connection and die with it.
    pub fn poll_transmit(&mut self, now: Now) -> Option<Transmit> {
        self.transmit_with(now, |id, bytes| Transmit { id, bytes: bytes.clone() })
    }

    /// The same without a copy of the message for the caller to keep: whatever `write` makes of it.
    pub fn transmit_with<T>(&mut self, now: Now, write: impl FnOnce(Option<TxId>, &Bytes) -> T) -> Option<T> {
        match self.pull(now)? {
            Pulled::Request(id) => Some(write(Some(id), self.transactions.get(id)?.request.bytes())),
            Pulled::Made(id, bytes) => Some(write(id, &bytes)),
        }
    }

    fn pull(&mut self, now: Now) -> Option<Pulled> {
        if !self.link_up {
            return None;
        }
        if let Some(bytes) = self.host_replies.pop_front() {
            return Some(Pulled::Made(None, bytes));
        }
        // What is owed and what is new take turns, so that neither a long list of reversals nor a flood of requests
        // keeps the other from the link. (Order within a terminal is the terminals' business, not this one's.)
        let owed_first = self.owed_first;
        self.owed_first = !owed_first;
        let first = if owed_first { self.pull_owed(now) } else { None };
        // A request may turn into something owed, or make way for it, when its turn to be pulled comes.
        first.or_else(|| self.pull_request(now)).or_else(|| self.pull_owed(now))
    }

    /// The next action, in the order in which they arose.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Until when (uptime) [`Mux::handle_timeout`] has to be called; `None`: nothing is awaited.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadline = self.deadlines.front(&self.transactions).and_then(|id| self.transactions.get(id));
        let delivery = self.deliveries.front(&self.transactions).and_then(|id| self.transactions.get(id));
        [
            deadline.map(|transaction| transaction.deadline),
            delivery.map(|transaction| transaction.deadline),
            self.agenda.first().map(|(at, _)| *at),
            self.keys.next_end(),
            self.records.next_end(),
            self.next_drain_step(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has come to `now`: times out what is due, a bounded number of transactions a call; if more are due,
    /// [`Mux::poll_timeout`] stays in the past.
    pub fn handle_timeout(&mut self, now: Now) {
        for _ in 0..TIMEOUTS_PER_STEP {
            let Some(id) = self.deadlines.front(&self.transactions) else { break };
            if self.transactions.get(id).is_none_or(|transaction| transaction.deadline > now.uptime) {
                break;
            }
            self.deadline_passed(now, id);
        }
        for _ in 0..TIMEOUTS_PER_STEP {
            let Some(id) = self.deliveries.front(&self.transactions) else { break };
            if self.transactions.get(id).is_none_or(|transaction| transaction.deadline > now.uptime) {
                break;
            }
            self.delivery_stands(now, id);
        }
        for _ in 0..TIMEOUTS_PER_STEP {
            let Some((at, id)) = self.agenda.first().copied() else { break };
            if at > now.uptime {
                break;
            }
            self.agenda.pop_first();
            self.owed_is_due(now, id);
        }
        self.keys.expire(now.uptime, TIMEOUTS_PER_STEP);
        self.records.expire(now.uptime, TIMEOUTS_PER_STEP);
        self.drain_step(now);
        self.look_if_drained(now);
    }

    /// Counters and gauges, a copy.
    pub fn tally(&self) -> Tally {
        Tally {
            in_flight: self.in_flight.len() as u64,
            terminals_busy: self.terminals.len() as u64,
            tombstones: self.keys.count() as u64,
            ..self.tally
        }
    }

    /// The truth about a transaction that is open, or remembered because it was submitted with a record.
    pub fn status(&self, id: TxId) -> Option<Status> {
        match self.records.get(id) {
            Some((_, Some(ended))) => Some(ended.clone()),
            Some((current, None)) => self.transactions.get(current).map(Transaction::status),
            None => self.transactions.get(id).map(Transaction::status),
        }
    }

    /// Whether the journal takes intents, as far as its last word goes.
    pub fn is_journal_up(&self) -> bool {
        self.journal_up
    }

    /// The transaction that is remembered under this key.
    pub fn find(&self, key: &[u8; 32]) -> Option<TxId> {
        self.records.find(key)
    }

    /// What is open or parked, in no particular order: for people to look at, a copy.
    pub fn transactions(&self) -> Vec<View> {
        self.transactions.iter().filter_map(|transaction| self.view_of(transaction)).collect()
    }

    /// How transactions ended, by kind and answer.
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// How long things took.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    fn link_is_up(&mut self, now: Now) {
        self.link_up = true;
        self.holds_run_again(now);
        self.commit_turns(now);
    }

    fn link_is_down(&mut self, now: Now) {
        self.link_up = false;
        self.host_replies.clear();
        self.holds_stand_still(now);
        while let Some(id) = self.in_flight.front(&self.transactions) {
            self.lost_with_link(now, id);
        }
    }

    fn host_request(&mut self, reply: Option<Bytes>) {
        if let Some(reply) = reply
            && self.link_up
            && self.host_replies.len() < HOST_REPLIES_MAX
        {
            self.host_replies.push_back(reply);
        }
    }

    // -- small steps -------------------------------------------------------------------------------------------------

    pub(super) fn fact(&mut self, fact: Fact) {
        self.actions.push_back(Action::Fact(fact));
    }

    pub(super) fn journal(&mut self, op: impl FnOnce() -> JournalOp) {
        if self.settings.journaled {
            self.actions.push_back(Action::Journal(op()));
        }
    }

    /// Tells the client, if one still waits, that it gets no answer; nobody waits from then on.
    pub(super) fn fail(&mut self, id: TxId, failure: Failure) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.failure = transaction.failure.or(Some(failure));
        if let Some(client) = transaction.client.take() {
            self.actions.push_back(Action::Reply { id: Some(id), client, outcome: Outcome::Failed(failure) });
        }
    }

    /// Takes it out of the list it waits in, if it does.
    #[inline(always)]
    pub(super) fn unplace(&mut self, id: TxId) {
        self.place(id, Place::None);
    }

    /// Puts it into another list than the one it waits in.
    #[inline(always)]
    pub(super) fn place(&mut self, id: TxId, place: Place) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let before = std::mem::replace(&mut transaction.place, place);
        let terminal = transaction.terminal;
        if let Some((list, transactions)) = self.list_of(before, terminal) {
            list.remove(transactions, id);
        }
        if let Some((list, transactions)) = self.list_of(place, terminal) {
            list.push_back(transactions, id);
        }
    }

    /// The list that `place` stands for, and what stands in it.
    #[inline]
    fn list_of(
        &mut self,
        place: Place,
        terminal: Option<TerminalIndex>,
    ) -> Option<(&mut List<PLACE>, &mut Arena<Transaction>)> {
        let list = match place {
            Place::None => return None,
            Place::Turn => &mut self.turn,
            Place::Ready => &mut self.ready,
            Place::OwedReady => &mut self.owed_ready,
            Place::InFlight => &mut self.in_flight,
            Place::Waiting => &mut self.terminals.get_mut(terminal?)?.waiting,
            Place::OwedWaiting => &mut self.terminals.get_mut(terminal?)?.owed,
        };
        Some((list, &mut self.transactions))
    }

    #[inline(always)]
    pub(super) fn set_timer(&mut self, id: TxId, timer: Timer) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        match std::mem::replace(&mut transaction.timer, timer) {
            Timer::None => {}
            Timer::Deadline => self.deadlines.remove(&mut self.transactions, id),
            Timer::Delivery => self.deliveries.remove(&mut self.transactions, id),
        }
        match timer {
            Timer::None => {}
            Timer::Deadline => self.deadlines.push_back(&mut self.transactions, id),
            Timer::Delivery => self.deliveries.push_back(&mut self.transactions, id),
        }
    }

    /// Frees its terminal, if it is busy with this one, for whatever comes next there.
    pub(super) fn free_terminal(&mut self, now: Now, id: TxId) {
        if let Some(index) = self.transactions.get(id).and_then(|transaction| transaction.terminal) {
            self.free(now, index, id);
        }
    }

    /// The same, and it has nothing to do with its terminal any more.
    pub(super) fn leave_terminal(&mut self, now: Now, id: TxId) {
        if let Some(index) = self.transactions.get_mut(id).and_then(|transaction| transaction.terminal.take())
        {
            self.free(now, index, id);
        }
    }

    /// Frees this terminal, if it is busy with `id`.
    fn free(&mut self, now: Now, index: TerminalIndex, id: TxId) {
        if let Some(terminal) = self.terminals.get_mut(index)
            && terminal.busy == Some(id)
        {
            terminal.busy = None;
            self.next_of_terminal(now, index);
        }
    }

    /// The transaction has reached its final state. It leaves every table but the tombstones.
    pub(super) fn end(&mut self, now: Now, id: TxId, state: FinalState, tomb: Option<TombKindOf>) {
        self.count_end(now, id, state);
        self.bury(now, id, state, tomb);
    }

    pub(super) fn count_end(&mut self, now: Now, id: TxId, state: FinalState) {
        // One that ended in the step before, such as when its terminal went on, ends once.
        if self.transactions.get(id).is_none() {
            return;
        }
        self.journal(|| JournalOp::End { id, state });
        self.count_end_unjournaled(now, id, state);
    }

    pub(super) fn count_end_unjournaled(&mut self, now: Now, id: TxId, state: FinalState) {
        self.tally.ended[state as usize] += 1;
        self.tally.open -= 1;
        self.tell_end(now, id, state);
    }

    /// It had ended, and is open again.
    pub(super) fn uncount_end(&mut self, state: FinalState) {
        self.outcomes.reopened(state);
        self.tally.ended[state as usize] -= 1;
        self.tally.open += 1;
    }

    /// Counts its end by kind and answer, keeps it for those who ask, and tells it where it is worth telling.
    pub(super) fn tell_end(&mut self, now: Now, id: TxId, state: FinalState) {
        let Some(transaction) = self.transactions.get(id) else { return };
        self.outcomes.ended(transaction.request.mti(), transaction.noted.class, state);
        if transaction.recorded {
            self.records.ended(now.uptime, id, transaction.final_status(state));
        }
        if state == FinalState::Delivered && !self.tells_deliveries {
            return;
        }
        let Some(slot) = self.keys.get(transaction.key) else { return };
        let (mti, key) = (transaction.request.mti(), slot.key.clone());
        let age = now.uptime.saturating_sub(transaction.arrived);
        self.fact(Fact::Ended { id, mti, key, state, age });
    }

    /// Takes it out of every table, leaving a tombstone if one is wanted.
    pub(super) fn bury(&mut self, now: Now, id: TxId, state: FinalState, tomb: Option<TombKindOf>) {
        self.unplace(id);
        self.set_timer(id, Timer::None);
        self.forget_dates(id);
        let Some(transaction) = self.transactions.get(id) else { return };
        if !matches!(transaction.phase, Phase::Owed(_) | Phase::Delivered(_)) {
            self.held -= 1;
        }
        if transaction.is_unsure {
            self.unsure -= 1;
        }
        let index = transaction.terminal;
        let busy = index.and_then(|index| self.terminals.get(index)).is_some_and(|t| t.busy == Some(id));
        let Some(transaction) = self.transactions.remove(id) else { return };
        let (key, mti, secured) = (transaction.key, transaction.request.mti(), transaction.noted.secured);
        let kind = tomb.map(|tomb| match tomb {
            // (One that was taken over from the journal has no answer to give again.)
            TombKindOf::Settled => TombKind::Settled(match transaction.phase {
                Phase::Delivered(class) => transaction.answer.map(|bytes| (bytes, class)),
                _ => None,
            }),
            TombKindOf::Unanswered => TombKind::Unanswered,
            TombKindOf::Unsettled => {
                let answer = match transaction.phase {
                    Phase::Answered(class) | Phase::Delivered(class) => {
                        transaction.answer.map(|bytes| (bytes, class))
                    }
                    _ => None,
                };
                TombKind::Unsettled(transaction.request, answer)
            }
            TombKindOf::Reversed => match transaction.phase {
                Phase::Owed(owed) => {
                    TombKind::Reversed(Box::new((Arc::unwrap_or_clone(transaction.request), *owed)))
                }
                _ => TombKind::Unanswered,
            },
        });
        if let Some(kind) = kind {
            let until = now.uptime + self.settings.late_window;
            let (counted, order) = (Counted::As(state), Link::LOOSE);
            self.keys.bury(Tombstone { id, key, mti, secured, counted, until, kind, order });
        }
        self.keys.leave(key, id);
        let Some(index) = index else { return };
        if busy && let Some(terminal) = self.terminals.get_mut(index) {
            terminal.busy = None;
        }
        self.next_of_terminal(now, index);
    }
}

/// What was pulled for the link.
pub(super) enum Pulled {
    /// A client's request as it came.
    Request(TxId),
    /// What was made for it: a reversal, a repeat, an answer to the host.
    Made(Option<TxId>, Bytes),
}

/// One transaction as the mux sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its id.
    pub id: TxId,
    /// Its request's MTI.
    pub mti: Mti,
    /// Its key.
    pub key: MatchKey,
    /// Where it is: `queued`, `committing`, `ready`, `in flight`, `answered`, `delivered`, `joined`, `owed`, `sent`, `parked`, `listed`.
    pub state: &'static str,
    /// When it came (uptime).
    pub arrived: Duration,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
}

/// What kind of tombstone is wanted.
pub(super) enum TombKindOf {
    /// Nothing that comes changes anything.
    Settled,
    /// It was never answered, and nothing is owed.
    Unanswered,
    /// The host said no, or that it does not know.
    Unsettled,
    /// Its reversal ended.
    Reversed,
}
