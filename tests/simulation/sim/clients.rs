//! The clients: they ask, ask again, leave, and lose what they were given.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::mux::{ClientTag, Event, Failure, Outcome, Record, TxId};
use socketqueue::rules;

use super::world::{Amount, Amounts, World, amount_of, name_of, whose};

const TERMINALS: u64 = 3;
const STANS: u64 = 4;
/// How many recent messages clients come back to.
const RECENT: usize = 6;
/// A client asks again by its idempotency key only while it can be sure that the key is remembered.
const ASKS_AGAIN_WITHIN: Duration = Duration::from_secs(29);

#[derive(Default)]
pub struct Client {
    pub id: Option<TxId>,
    pub amount: Amount,
    pub deadline: Duration,
    pub given: Option<RequestClass>,
    pub told: Option<Told>,
}

/// What a client knows at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// It has the approval, and the mux was told so in time.
    Approved,
    /// It has an approval that the mux gave it a second time.
    ApprovedAgain,
    /// It has the host's word that the host does not know; what it does about it is its own business.
    InDoubt,
    /// Delivered, and then it turned out that it was not.
    ThenLost,
    Otherwise,
}

/// A message that a client may come back to.
struct Recent {
    draft: Draft,
    record: Option<Record>,
    at: Duration,
}

#[derive(Default)]
pub struct Clients {
    all: BTreeMap<u64, Client>,
    /// Told nothing yet.
    untold: BTreeSet<u64>,
    /// Given an answer and not said yet what became of it.
    pending: BTreeSet<u64>,
    /// Delivered, not acknowledged by their TCP yet.
    unacknowledged: BTreeSet<u64>,
    /// By deadline, for who must have been told something.
    waiting: VecDeque<u64>,
    recent: VecDeque<Recent>,
    /// What clients wanted undone themselves.
    pub undone: Amounts,
    used: BTreeSet<(u64, u64, i64)>,
    next: u64,
    next_amount: Amount,
}

impl Clients {
    pub fn are_quiet(&self) -> bool {
        self.pending.is_empty() && self.unacknowledged.is_empty()
    }

    /// When the process goes nobody is left without a word.
    pub fn all_were_told(&self) {
        let waits = self.untold.iter().find(|client| self.all[client].given.is_none());
        assert_eq!(waits, None, "an answer for everybody: a client waits after the drain");
    }

    pub fn count(&self) -> u64 {
        self.next
    }

    pub fn get(&self, client: u64) -> &Client {
        &self.all[&client]
    }

    /// What the clients that asked for this amount know.
    pub fn told(&self) -> BTreeMap<Amount, Vec<Told>> {
        let mut told = BTreeMap::<Amount, Vec<Told>>::new();
        for client in self.all.values() {
            told.entry(client.amount).or_default().extend(client.told);
        }
        told
    }
}

impl World {
    pub fn submit(&mut self) {
        if !self.clients.recent.is_empty() && self.chance.permille(150) {
            return self.submit_about_a_recent_one();
        }
        let (tid, stan) = (1 + self.chance.below(TERMINALS), 1 + self.chance.below(STANS));
        // A terminal may use a STAN again soon, but not within a second: then nothing would tell the two apart.
        if !self.clients.used.insert((tid, stan, self.now.wall_ms / 1000)) {
            return;
        }
        let mti = match self.chance.below(20) {
            0 => "0800",
            1 => "0100",
            2 | 3 => "0220",
            _ => "0200",
        };
        let is_twin = mti == "0200" && self.has_twins() && self.chance.permille(150);
        for _ in 0..if is_twin { 2 } else { 1 } {
            let (draft, amount) = self.draft(mti, tid, stan);
            if is_twin {
                // But for one that does.
                self.host.twins.insert(amount);
            }
            let mut record = None;
            if matches!(mti, "0200" | "0220") && !is_twin {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&amount.to_be_bytes());
                record = self.chance.permille(350).then_some(Record { key: Some(key), body: key });
                self.clients.recent.push_back(Recent { draft: draft.clone(), record, at: self.now.uptime });
                if self.clients.recent.len() > RECENT {
                    self.clients.recent.pop_front();
                }
            }
            self.send(&draft, record);
        }
    }

    /// Two sales of one terminal with one STAN at one time go out together only without the terminal's lock. (If a client
    /// that leaves had its sale reversed at once, nobody could tell that sale's answer from the other one's.)
    fn has_twins(&self) -> bool {
        let settings = &self.settings;
        !settings.lock_terminal && !settings.reverse_on_disconnect && !settings.no_auto_reversal
    }

    fn draft(&mut self, mti: &str, tid: u64, stan: u64) -> (Draft, Amount) {
        self.clients.next_amount += 1;
        let amount = self.clients.next_amount;
        let mut draft = Draft::new(&self.dialect.schema, Mti::parse(mti.as_bytes()).unwrap());
        let local = self.now.local();
        draft.set(field::PROCESSING_CODE, b"000000");
        draft.set(field::TRANSMISSION_TIME, &local.mmddhhmmss());
        draft.set(field::STAN, format!("{stan:06}").as_bytes());
        draft.set(field::FUNCTION_CODE, b"200");
        draft.set(field::TID, format!("{tid:08}").as_bytes());
        if mti != "0800" {
            draft.set(field::AMOUNT, format!("{amount:012}").as_bytes());
            draft.set(field::LOCAL_TIME, &local.yymmddhhmmss());
            draft.set(field::POS_ENTRY_MODE, b"056");
            draft.set(field::REASON, b"00");
            draft.set(field::MID, b"000124642124643");
            draft.set(field::CURRENCY, b"810");
        }
        (draft, amount)
    }

    /// A client repeats a recent sale or advice, reverses it itself, or asks again by its idempotency key.
    fn submit_about_a_recent_one(&mut self) {
        let which = self.chance.below(self.clients.recent.len() as u64) as usize;
        let recent = &self.clients.recent[which];
        let (mut draft, record, at) = (recent.draft.clone(), recent.record, recent.at);
        if let Some(mut record) = record {
            if self.now.uptime.saturating_sub(at) < ASKS_AGAIN_WITHIN {
                if self.chance.permille(100) {
                    record.body[31] ^= 1;
                }
                self.send(&draft, Some(record));
            }
            return;
        }
        let is_advice = draft.finish().unwrap().mti().is_advice();
        let mti = match is_advice {
            true => "0221",
            false => self.chance.one_of(&["0201", "0201", "0400", "0420"]),
        };
        draft.set_mti(Mti::parse(mti.as_bytes()).unwrap());
        let request = draft.finish().unwrap();
        if request.mti().is_reversal() {
            self.clients.undone.insert(amount_of(&request));
        }
        self.send_message(request, None);
    }

    fn send(&mut self, draft: &Draft, record: Option<Record>) {
        self.send_message(draft.finish().unwrap(), record);
    }

    fn send_message(&mut self, message: Message, record: Option<Record>) {
        let request = Arc::new(rules::prepare(&self.dialect, &self.keys, message, self.now).unwrap());
        let client = self.clients.next;
        self.clients.next += 1;
        let (amount, deadline) =
            (amount_of(request.message()), self.now.uptime + self.settings.queue_timeout);
        self.clients.all.insert(client, Client { amount, deadline, ..Client::default() });
        self.clients.waiting.push_back(client);
        self.clients.untold.insert(client);
        let (mti, name, keyed) = (request.mti(), name_of(request.message()), record.is_some());
        self.note(format_args!("client {client}: {mti} {name}{}", if keyed { " by key" } else { "" }));
        self.watch.submitted(client, &request);
        self.mux.handle(self.now, Event::Submit { client: ClientTag(client), request, record });
        self.collect();
    }

    pub fn accepted(&mut self, id: TxId, client: ClientTag) {
        if let Some(client) = self.clients.all.get_mut(&client.0) {
            client.id = Some(id);
        }
        self.check_accepted(id, client.0);
    }

    pub fn reply(&mut self, id: Option<TxId>, client: ClientTag, outcome: &Outcome) {
        let client = client.0;
        let told = self.clients.all[&client].told;
        let what = match outcome {
            Outcome::Answered { class, .. } => format!("{class:?}"),
            Outcome::Failed(failure) => format!("{failure:?}"),
            Outcome::Known(status) => format!("{:?}", status.state),
        };
        self.note(format_args!("client {client}: told {what}"));
        if let (Some(id), Outcome::Failed(failure)) = (id, outcome) {
            self.watch.failed(id, *failure);
        }
        let Some(known) = self.clients.all.get_mut(&client) else { return };
        match outcome {
            Outcome::Answered { bytes, class } => {
                assert_eq!(told, None, "one answer: client {client} was told before");
                let answer = Message::parse_lenient(&self.dialect.schema, bytes.clone()).unwrap().message;
                let (whose, own) = (whose(&answer), known.amount);
                assert!(
                    whose.is_none_or(|whose| whose == own),
                    "right client: {client} got another's answer"
                );
                known.given = Some(*class);
                if id.is_some() {
                    self.clients.pending.insert(client);
                } else {
                    self.tell(client, told_again(*class));
                }
            }
            Outcome::Failed(failure) => {
                // Nobody but the one who was given the answer is told that it came too late.
                let given = known.given.is_some();
                assert!(
                    !given || *failure == Failure::TooLate,
                    "one answer: client {client} is told {failure:?}"
                );
                self.clients.pending.remove(&client);
                self.tell(client, Told::Otherwise);
            }
            Outcome::Known(_) => {
                self.clients.pending.remove(&client);
                self.tell(client, Told::Otherwise);
            }
        }
    }

    fn tell(&mut self, client: u64, what: Told) {
        self.clients.untold.remove(&client);
        if let Some(known) = self.clients.all.get_mut(&client) {
            known.told = Some(what);
        }
    }

    /// Its transaction ended as never sent, so what it was given was somebody's answer before.
    pub fn given_again(&mut self, id: TxId) {
        for client in self.clients.untold.clone() {
            let known = &self.clients.all[&client];
            if let Some(class) = known.given.filter(|_| known.id == Some(id)) {
                self.tell(client, told_again(class));
                self.clients.pending.remove(&client);
            }
        }
    }

    /// A session tells what became of an answer.
    pub fn confirm(&mut self) {
        if self.clients.pending.is_empty() {
            return;
        }
        let which = self.chance.below(self.clients.pending.len() as u64) as usize;
        let Some(client) = self.clients.pending.iter().nth(which).copied() else { return };
        let lost = self.faults && self.chance.permille(150);
        self.confirm_one(client, lost);
    }

    pub fn confirm_all(&mut self) {
        while let Some(client) = self.clients.pending.first().copied() {
            self.confirm_one(client, false);
            self.settle();
        }
    }

    fn confirm_one(&mut self, client: u64, lost: bool) {
        self.clients.pending.remove(&client);
        let known = &self.clients.all[&client];
        let (Some(id), given) = (known.id, known.given) else { return };
        self.tell(
            client,
            match given {
                Some(RequestClass::Approved) if !lost => Told::Approved,
                Some(RequestClass::InDoubt) if !lost => Told::InDoubt,
                _ => Told::Otherwise,
            },
        );
        self.watch.confirmed(id);
        self.note(format_args!("client {client}: {}", if lost { "delivery failed" } else { "delivered" }));
        self.mux.handle(self.now, if lost { Event::DeliveryFailed { id } } else { Event::Delivered { id } });
        // Too late is said now, and then it was not delivered.
        self.collect();
        if !lost && self.clients.all[&client].told != Some(Told::Otherwise) {
            self.clients.unacknowledged.insert(client);
        }
    }

    /// The client's TCP acknowledges what was written, or fails before it has.
    pub fn late_acknowledgement(&mut self) {
        let Some(client) = self.clients.unacknowledged.pop_first() else { return };
        let known = &self.clients.all[&client];
        let (Some(id), amount) = (known.id, known.amount) else { return };
        if !(self.faults && self.chance.permille(300)) {
            return self.mux.handle(self.now, Event::Acknowledged { id });
        }
        // After `deliveryTimeout` nobody looks any more.
        let is_watched = self.mux.view(id).is_some_and(|view| view.state == "delivered");
        let has_it = self.chance.permille(400);
        self.note(format_args!("client {client}: not acknowledged, has it: {has_it}"));
        if has_it {
            self.watch.unacknowledged.insert(amount);
        } else if is_watched {
            self.tell(client, Told::ThenLost);
        }
        self.mux.handle(self.now, Event::DeliveryLost { id });
    }

    pub fn client_leaves(&mut self) {
        let waits = |client: &&u64| self.clients.all[client].id.is_some();
        let waiting: Vec<u64> = self.clients.untold.iter().filter(waits).copied().collect();
        if !self.faults || waiting.is_empty() {
            return;
        }
        let client = self.chance.one_of(&waiting);
        self.clients.pending.remove(&client);
        self.note(format_args!("client {client}: gone"));
        self.tell(client, Told::Otherwise);
        let known = &self.clients.all[&client];
        let (Some(id), had_answer) = (known.id, known.given.is_some()) else { return };
        self.watch.confirmed(id);
        // Once a session has the answer, that is a delivery that failed.
        let gone = if had_answer { Event::DeliveryFailed { id } } else { Event::ClientGone { id } };
        self.mux.handle(self.now, gone);
    }

    /// Promise 6: who asked was told something by the deadline.
    pub fn everybody_was_told(&mut self) {
        while let Some(client) = self.clients.waiting.front().copied() {
            let known = &self.clients.all[&client];
            if known.deadline > self.now.uptime {
                return;
            }
            // Given: a session has it, and says in its time what became of it.
            assert!(
                known.told.is_some() || known.given.is_some(),
                "an answer for everybody: client {client} waits after its deadline"
            );
            self.clients.waiting.pop_front();
        }
    }

    /// Every connection is gone. Whether what was on its way to a client arrived is left to chance.
    pub fn all_clients_leave(&mut self) {
        self.clients.unacknowledged.clear();
        for client in std::mem::take(&mut self.clients.pending) {
            let known = &self.clients.all[&client];
            let (amount, given) = (known.amount, known.given);
            if given == Some(RequestClass::Approved) && self.chance.permille(500) {
                self.watch.unwritten.insert(amount);
                self.tell(client, Told::Approved);
            } else if self.clients.all.values().any(|c| c.amount == amount && c.told == Some(Told::ThenLost))
            {
                // The one before has not got what it was given, and that was known to the process alone.
                self.watch.doubt_lost(amount);
            }
        }
        for client in std::mem::take(&mut self.clients.untold) {
            self.tell(client, Told::Otherwise);
        }
        for client in self.clients.all.values_mut() {
            client.id = None;
        }
    }
}

fn told_again(class: RequestClass) -> Told {
    if class == RequestClass::Approved { Told::ApprovedAgain } else { Told::Otherwise }
}
