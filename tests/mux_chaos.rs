//! The mux in a small world of clients, a link and a host that all misbehave, by seed. After every step the counters
//! add up and the bounds hold; at the end the faults are switched off, and the host's books must equal what the
//! clients know, less what was reversed or parked.
//!
//! `SOCKETQUEUE_SEEDS=100000` runs more; `SOCKETQUEUE_SEED=17` replays one and prints its steps.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::{Dialect, RequestClass};
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::mux::{
    Action, ClientTag, Event, Fact, Failure, FinalState, JournalOp, Mux, Outcome, Record, Settings, TxId,
};
use socketqueue::rules::{self, Answer, KeyFields};
use socketqueue::time::Now;

const START_MS: i64 = 1_795_316_645_000;
const SEEDS: u64 = 300;
const STEPS: usize = 400;
const TERMINALS: u64 = 3;
const STANS: u64 = 4;
/// Instead of the number of a connection: comes through whatever happens to the link.
const NEVER_LOST: u64 = u64::MAX;

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }
}

/// A sale, told apart from all others by its amount.
type Amount = u64;

#[derive(Default)]
struct Client {
    id: Option<TxId>,
    amount: Amount,
    given: Option<RequestClass>,
    told: Option<Told>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Told {
    /// It has the approval, and the mux was told so in time.
    Approved,
    /// It has the host's word that the host does not know; what it does about it is its own business.
    InDoubt,
    /// Delivered, and then it turned out that it was not.
    ThenLost,
    Otherwise,
}

/// What the host has in its books.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Booked {
    Approved,
    Declined,
    Reversed,
}

struct World {
    chance: Chance,
    mux: Mux,
    now: Now,
    dialect: Arc<Dialect>,
    keys: KeyFields,
    link_up: bool,
    /// The number of the connection: what the host has on its way for an older one is lost.
    connection: u64,
    clients: BTreeMap<u64, Client>,
    /// Clients that were given an answer and have not said yet what became of it.
    pending: BTreeSet<u64>,
    /// Clients whose delivery is not acknowledged yet.
    unacknowledged: BTreeSet<u64>,
    /// Recent sales, for repeats and reversals by clients.
    recent: VecDeque<Draft>,
    undone_by_client: BTreeSet<Amount>,
    used: BTreeSet<(u64, u64, i64)>,
    next_client: u64,
    next_amount: Amount,
    /// Messages at the host, each to be processed at its time.
    at_host: Vec<(Duration, u64, Message)>,
    /// Answers on their way back.
    on_wire: Vec<(Duration, u64, Bytes)>,
    books: BTreeMap<Amount, Booked>,
    /// Reversals that came before their original.
    undone_before: BTreeSet<Amount>,
    /// How often each sale was pulled.
    pulled: BTreeMap<Amount, u32>,
    /// Intents handed to the journal.
    committing: VecDeque<TxId>,
    parked: BTreeSet<TxId>,
    amount_of: BTreeMap<TxId, Amount>,
    /// Advices that the mux has accepted: the host must have each in the end.
    advices: BTreeSet<Amount>,
    /// All advices: what the host has of them is never in doubt and never reversed.
    advised: BTreeSet<Amount>,
    /// Sales under an idempotency key, to be asked for again.
    keyed: VecDeque<Draft>,
    /// When draining must be over.
    drain: Option<Duration>,
    drained: bool,
    host_remembers: bool,
    faults: bool,
    trace: String,
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance(seed);
        let dialect = Dialect::builtin("smartVista").unwrap();
        let settings = Settings {
            echoed: dialect.echoed.clone(),
            reversal: dialect.reversal.clone(),
            queue_max: 12,
            lock_terminal: !chance.permille(100),
            queue_timeout: Duration::from_secs(20),
            min_response_time: Duration::from_secs(4),
            reverse_on_disconnect: chance.permille(300),
            reversal_hold: Duration::from_secs([0, 5, 60][chance.below(3) as usize]),
            reversal_timeout: Duration::from_secs(3),
            journaled: chance.permille(500),
            no_auto_reversal: chance.permille(50),
            key_fields: match chance.permille(100) {
                true => KeyFields(vec![field::STAN]),
                false => Settings::default().key_fields,
            },
            ..Settings::default()
        };
        World {
            host_remembers: chance.permille(500),
            chance,
            keys: settings.key_fields.clone(),
            mux: Mux::new(settings),
            now: Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 },
            dialect,
            link_up: false,
            connection: 0,
            clients: BTreeMap::new(),
            pending: BTreeSet::new(),
            unacknowledged: BTreeSet::new(),
            recent: VecDeque::new(),
            undone_by_client: BTreeSet::new(),
            used: BTreeSet::new(),
            next_client: 1,
            next_amount: 1,
            at_host: Vec::new(),
            on_wire: Vec::new(),
            books: BTreeMap::new(),
            undone_before: BTreeSet::new(),
            pulled: BTreeMap::new(),
            committing: VecDeque::new(),
            parked: BTreeSet::new(),
            advices: BTreeSet::new(),
            advised: BTreeSet::new(),
            keyed: VecDeque::new(),
            drain: None,
            drained: false,
            amount_of: BTreeMap::new(),
            faults: true,
            trace: String::new(),
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.trace, "{:>9.3} {what}", self.now.uptime.as_secs_f64());
    }

    // -- steps -------------------------------------------------------------------------------------------------------

    fn step(&mut self) {
        match self.chance.below(100) {
            0..30 => self.submit(),
            30..45 => self.confirm(),
            45..52 => self.client_leaves(),
            52..58 => self.flap(),
            58..66 => self.journal_answers(),
            66..70 => self.late_acknowledgement(),
            70 if self.chance.permille(20) => self.drain(),
            _ => self.time_passes(),
        }
        self.settle();
    }

    fn drain(&mut self) {
        let deadline = self.now.uptime + Duration::from_millis(self.chance.below(40_000));
        self.note(format_args!("drain until {deadline:?}"));
        self.drain.get_or_insert(deadline);
        self.mux.handle(self.now, Event::Drain { deadline });
    }

    fn submit(&mut self) {
        if !self.keyed.is_empty() && self.chance.permille(80) {
            return self.ask_again();
        }
        if !self.recent.is_empty() && self.chance.permille(120) {
            return self.submit_about_a_recent_one();
        }
        let (tid, stan) = (1 + self.chance.below(TERMINALS), 1 + self.chance.below(STANS));
        // A terminal may use a STAN again soon, but not within a second: then nothing would tell the two apart.
        let second = (tid, stan, self.now.wall_ms / 1000);
        if !self.used.insert(second) {
            return;
        }
        let mti = match self.chance.below(20) {
            0 => "0800",
            1 => "0100",
            2 | 3 => "0220",
            _ => "0200",
        };
        let (client, amount) = (self.next_client, self.next_amount);
        self.next_client += 1;
        self.next_amount += 1;
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
        if mti == "0200" {
            self.recent.push_back(draft.clone());
            if self.recent.len() > 6 {
                self.recent.pop_front();
            }
        }
        let is_keyed = mti == "0200" && self.chance.permille(200);
        if is_keyed {
            self.keyed.push_back(draft.clone());
            if self.keyed.len() > 6 {
                self.keyed.pop_front();
            }
        }
        let request = rules::prepare(&self.dialect, &self.keys, draft.finish().unwrap(), self.now).unwrap();
        self.clients.insert(client, Client { amount, ..Client::default() });
        self.note(format_args!("client {client}: {mti} {tid}/{stan} amount {amount}"));
        if mti == "0220" {
            self.advices.insert(amount);
            self.advised.insert(amount);
        }
        let record = is_keyed.then(|| record_of(amount));
        self.mux.handle(
            self.now,
            Event::Submit { client: ClientTag(client), request: Box::new(request), record },
        );
    }

    /// A client sends a recent sale again under its idempotency key.
    fn ask_again(&mut self) {
        let which = self.chance.below(self.keyed.len() as u64) as usize;
        let draft = self.keyed[which].clone();
        // Long ago for the dialect's rule of age, which is not what this is about.
        let Ok(request) = rules::prepare(&self.dialect, &self.keys, draft.finish().unwrap(), self.now) else {
            return;
        };
        let amount: Amount = request.message().text(field::AMOUNT).unwrap().parse().unwrap();
        let client = self.next_client;
        self.next_client += 1;
        self.clients.insert(client, Client { amount, ..Client::default() });
        self.note(format_args!("client {client}: asks again for amount {amount}"));
        let record = Some(record_of(amount));
        self.mux.handle(
            self.now,
            Event::Submit { client: ClientTag(client), request: Box::new(request), record },
        );
    }

    /// A client repeats a recent sale, or reverses it itself.
    fn submit_about_a_recent_one(&mut self) {
        let which = self.chance.below(self.recent.len() as u64) as usize;
        let mut draft = self.recent[which].clone();
        let mti = if self.chance.permille(500) { "0201" } else { "0400" };
        draft.set_mti(Mti::parse(mti.as_bytes()).unwrap());
        let request = rules::prepare(&self.dialect, &self.keys, draft.finish().unwrap(), self.now).unwrap();
        let amount: Amount = request.message().text(field::AMOUNT).unwrap().parse().unwrap();
        if mti == "0400" {
            self.undone_by_client.insert(amount);
        }
        let client = self.next_client;
        self.next_client += 1;
        self.clients.insert(client, Client { amount, ..Client::default() });
        self.note(format_args!("client {client}: {mti} for amount {amount}"));
        self.mux.handle(
            self.now,
            Event::Submit { client: ClientTag(client), request: Box::new(request), record: None },
        );
    }

    /// A session tells what became of an answer.
    fn confirm(&mut self) {
        let waiting: Vec<u64> = self.pending.iter().copied().collect();
        if waiting.is_empty() {
            return;
        }
        let client = waiting[self.chance.below(waiting.len() as u64) as usize];
        let lost = self.faults && self.chance.permille(150);
        self.confirm_one(client, lost);
    }

    fn confirm_one(&mut self, client: u64, lost: bool) {
        self.pending.remove(&client);
        let Some(id) = self.clients[&client].id else { return };
        self.note(format_args!("client {client}: {}", if lost { "delivery failed" } else { "delivered" }));
        let delivered_before = self.mux.tally().ended[FinalState::Delivered as usize];
        let event = if lost { Event::DeliveryFailed { id } } else { Event::Delivered { id } };
        self.mux.handle(self.now, event);
        // Counted now, or before: then it was a copy for a client that asked again.
        let in_time = self.mux.tally().ended[FinalState::Delivered as usize] > delivered_before
            || (!lost && self.is_delivered(id));
        let told = match self.clients[&client].given {
            Some(RequestClass::Approved) if in_time => Told::Approved,
            Some(RequestClass::InDoubt) if in_time => Told::InDoubt,
            _ => Told::Otherwise,
        };
        self.clients.entry(client).or_default().told = Some(told);
        if in_time {
            self.unacknowledged.insert(client);
        }
    }

    fn late_acknowledgement(&mut self) {
        let Some(client) = self.unacknowledged.pop_first() else { return };
        let Some(id) = self.clients[&client].id else { return };
        let delivered_before = self.mux.tally().ended[FinalState::Delivered as usize];
        if self.faults && self.chance.permille(300) {
            self.note(format_args!("client {client}: its TCP never had it"));
            self.mux.handle(self.now, Event::DeliveryFailed { id });
            let reopened = self.mux.tally().ended[FinalState::Delivered as usize] < delivered_before;
            if reopened || self.is_delivered(id) {
                self.clients.entry(client).or_default().told = Some(Told::ThenLost);
            }
        } else {
            self.mux.handle(self.now, Event::Acknowledged { id });
        }
    }

    /// Delivered, and still watched.
    fn is_delivered(&self, id: TxId) -> bool {
        self.mux.transactions().iter().any(|open| open.id == id && open.state == "delivered")
    }

    fn client_leaves(&mut self) {
        let waiting: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, c)| c.id.is_some() && c.told.is_none())
            .map(|(n, _)| *n)
            .collect();
        if !self.faults || waiting.is_empty() {
            return;
        }
        let client = waiting[self.chance.below(waiting.len() as u64) as usize];
        let Some(id) = self.clients[&client].id else { return };
        self.pending.remove(&client);
        self.note(format_args!("client {client}: gone"));
        self.clients.entry(client).or_default().told = Some(Told::Otherwise);
        // As the driver has it: of an answer handed over, the session says that it was not delivered.
        let is_copy = self.is_delivered(id);
        self.mux
            .handle(self.now, if is_copy { Event::DeliveryFailed { id } } else { Event::ClientGone { id } });
    }

    fn flap(&mut self) {
        if self.link_up && !self.faults {
            return;
        }
        self.link_up = !self.link_up;
        self.connection += 1;
        self.note(format_args!("link {}", if self.link_up { "up" } else { "down" }));
        self.mux.handle(self.now, if self.link_up { Event::LinkUp } else { Event::LinkDown });
    }

    fn journal_answers(&mut self) {
        let Some(id) = self.committing.pop_front() else { return };
        let event = match self.chance.below(12) {
            0 if self.faults => Event::JournalFailed { id, unknown: false },
            1 if self.faults => {
                // Read back later: it is there after all.
                self.committing.push_back(id);
                Event::JournalFailed { id, unknown: true }
            }
            _ => Event::Durable { id },
        };
        self.note(format_args!("journal: {event:?}"));
        let failed = matches!(event, Event::JournalFailed { .. });
        self.mux.handle(self.now, event);
        if failed {
            self.mux.handle(self.now, Event::JournalUp);
        }
    }

    /// The clock moves on: a little, to the next deadline, or to just before or after it.
    fn time_passes(&mut self) {
        let nearest = [
            self.mux.poll_timeout(),
            self.at_host.iter().map(|(at, ..)| *at).min(),
            self.on_wire.iter().map(|(at, ..)| *at).min(),
        ];
        let nearest = nearest.into_iter().flatten().min();
        let little = self.now.uptime + Duration::from_millis(self.chance.below(3000));
        let tick = Duration::from_nanos(1);
        let to = match (nearest, self.chance.below(4)) {
            (Some(at), 0) => at,
            (Some(at), 1) => at.saturating_sub(tick),
            (Some(at), 2) => at + tick,
            _ => little,
        };
        let to = to.max(self.now.uptime);
        self.now = self.now.after(to - self.now.uptime);
        // Events and timers of one instant come in either order.
        if self.chance.permille(500) {
            self.mux.handle_timeout(self.now);
            self.settle();
        }
        self.host_works();
        self.mux.handle_timeout(self.now);
    }

    // -- the host ----------------------------------------------------------------------------------------------------

    fn host_works(&mut self) {
        let now = self.now.uptime;
        let (due, later): (Vec<_>, Vec<_>) = self.at_host.drain(..).partition(|(at, ..)| *at <= now);
        self.at_host = later;
        for (_, connection, message) in due {
            self.process(connection, &message);
        }
        let (due, later): (Vec<_>, Vec<_>) = self.on_wire.drain(..).partition(|(at, ..)| *at <= now);
        self.on_wire = later;
        for (at, connection, bytes) in due {
            if connection == NEVER_LOST && !self.link_up {
                self.on_wire.push((at + Duration::from_secs(1), connection, bytes));
                continue;
            }
            // What is on the way when its connection goes is lost, unless the host answers on the next one.
            if self.link_up
                && (connection == self.connection || connection == NEVER_LOST || self.host_remembers)
            {
                let lenient = Message::parse_lenient(&self.dialect.schema, bytes).unwrap();
                let answer = Answer::read(&self.dialect, &self.keys, lenient);
                self.note(format_args!("answer {answer:?} {:?}", answer.request_class()));
                self.mux.handle(self.now, Event::Received(Box::new(answer)));
                self.settle();
            }
        }
    }

    fn process(&mut self, connection: u64, message: &Message) {
        let amount: Amount = message.text(field::AMOUNT).map_or(0, |text| text.parse().unwrap());
        let code = match (message.mti().class(), self.books.get(&amount)) {
            (8, _) => "000",
            (2, _) if message.mti().is_advice() && self.faults && self.chance.permille(150) => "909",
            (2, _) if message.mti().is_advice() => {
                self.books.insert(amount, Booked::Approved);
                "000"
            }
            (4, Some(Booked::Approved)) if self.faults && self.chance.permille(150) => "909",
            (4, Some(Booked::Approved | Booked::Reversed)) => {
                self.books.insert(amount, Booked::Reversed);
                "000"
            }
            (4, Some(Booked::Declined)) => "914",
            (4, None) => {
                if self.host_remembers {
                    self.undone_before.insert(amount);
                }
                "914"
            }
            // A repeat is answered as the first was.
            (_, Some(Booked::Approved)) if message.mti().is_repeat() => "000",
            (_, Some(_)) if message.mti().is_repeat() => "100",
            _ if self.undone_before.contains(&amount) => {
                self.books.insert(amount, Booked::Declined);
                "100"
            }
            _ if self.faults && self.chance.permille(150) => {
                self.books.insert(amount, Booked::Declined);
                "116"
            }
            _ => {
                self.books.insert(amount, Booked::Approved);
                if self.faults && self.chance.permille(30) { "911" } else { "000" }
            }
        };
        self.note(format_args!("host: {} amount {amount} -> {code}", message.mti()));
        self.send_answer(connection, message, code);
        // It declines, thinks again, and approves.
        if self.faults && code == "116" && self.chance.permille(100) {
            self.books.insert(amount, Booked::Approved);
            // This answer is never lost: nobody could know of it otherwise.
            let at = self.now.uptime + Duration::from_millis(self.chance.below(5000));
            let answer = answer_to(message, "000");
            self.on_wire.push((at, NEVER_LOST, answer));
        }
    }

    fn send_answer(&mut self, connection: u64, message: &Message, code: &str) {
        if self.faults && self.chance.permille(80) {
            return;
        }
        let bytes = answer_to(message, code);
        let copies = if self.faults && self.chance.permille(60) { 2 } else { 1 };
        for _ in 0..copies {
            let late = if self.faults && self.chance.permille(120) { 30_000 } else { 500 };
            let at = self.now.uptime + Duration::from_millis(self.chance.below(late));
            self.on_wire.push((at, connection, bytes.clone()));
        }
    }

    // -- what the mux wants ------------------------------------------------------------------------------------------

    fn settle(&mut self) {
        loop {
            self.collect();
            let Some(transmit) = self.mux.poll_transmit(self.now) else { break };
            let message = Message::parse(&self.dialect.schema, transmit.bytes).unwrap();
            let amount: Amount = message.text(field::AMOUNT).map_or(0, |text| text.parse().unwrap());
            self.note(format_args!("out: {} amount {amount}", message.mti()));
            if message.mti().is_financial() && !message.mti().is_repeat() {
                let count = self.pulled.entry(amount).or_default();
                *count += 1;
                assert_eq!(*count, 1, "promise 3: sale {amount} was written twice");
            }
            if !(self.faults && self.chance.permille(50)) {
                let slow = if self.faults && self.chance.permille(150) { 15_000 } else { 300 };
                let at = self.now.uptime + Duration::from_millis(self.chance.below(slow));
                self.at_host.push((at, self.connection, message));
            }
        }
        let tally = self.mux.tally();
        assert!(tally.adds_up(), "every transaction is counted once: {tally:?}");
        let balance = self.mux.outcomes().balance();
        assert_eq!(
            tally.received + tally.recovered,
            balance + tally.open,
            "the books by kind agree: {tally:?}"
        );
    }

    fn collect(&mut self) {
        while let Some(action) = self.mux.poll_action() {
            match action {
                Action::Accepted { id, client } => {
                    let client = self.clients.entry(client.0).or_default();
                    client.id = Some(id);
                    self.amount_of.insert(id, client.amount);
                }
                Action::Reply { client, outcome, .. } => self.reply(client.0, &outcome),
                Action::Journal(JournalOp::Intent { id, .. }) => self.committing.push_back(id),
                Action::Journal(JournalOp::Parked { id }) => {
                    self.parked.insert(id);
                }
                Action::Journal(_) => {}
                Action::Fact(fact) => {
                    self.note(format_args!("fact: {fact:?}"));
                    match fact {
                        Fact::Parked { id, .. } | Fact::NotReversed { id, .. } => {
                            self.parked.insert(id);
                        }
                        Fact::Reopened { id, was } => {
                            let amount = self.amount_of[&was];
                            self.amount_of.insert(id, amount);
                        }
                        _ => {}
                    }
                }
                Action::Recovered { .. } | Action::Operated { .. } => {}
                Action::Drained { .. } => self.drained = true,
            }
        }
    }

    fn reply(&mut self, client: u64, outcome: &Outcome) {
        self.note(format_args!(
            "client {client}: told {}",
            match outcome {
                Outcome::Answered { class, .. } => format!("{class:?}"),
                Outcome::Failed(failure) => format!("{failure:?}"),
                Outcome::Known(status) => format!("{status:?}"),
            }
        ));
        match outcome {
            Outcome::Answered { class, .. } => {
                assert_eq!(self.clients[&client].told, None, "one answer for each");
                if *class != RequestClass::Approved {
                    // It has the host's word that the advice was not taken: it is the client's again.
                    let amount = self.clients[&client].amount;
                    self.advices.remove(&amount);
                }
                self.clients.entry(client).or_default().given = Some(*class);
                self.pending.insert(client);
            }
            Outcome::Failed(_) | Outcome::Known(_) => {
                let amount = self.clients[&client].amount;
                if let Outcome::Failed(failure) = outcome
                    && (self.clients[&client].id.is_none()
                        || matches!(failure, Failure::JournalDown | Failure::KeyReserved))
                {
                    // Refused: it is the client's again.
                    self.advices.remove(&amount);
                }
                self.pending.remove(&client);
                self.clients.entry(client).or_default().told = Some(Told::Otherwise);
            }
        }
    }

    // -- the end -----------------------------------------------------------------------------------------------------

    /// Draining is over at its deadline at the latest, whatever the host and the clients do.
    fn end_the_drain(&mut self, deadline: Duration) {
        if !self.drained {
            self.now = self.now.after(deadline.saturating_sub(self.now.uptime));
            self.mux.handle_timeout(self.now);
            self.settle();
        }
        assert!(self.drained, "draining ends");
        let open = self.mux.transactions();
        let waits = open.iter().find(|open| !matches!(open.state, "owed" | "sent" | "parked" | "delivered"));
        assert!(waits.is_none(), "after the drain: {waits:?}");
        let told = |client: &Client| client.id.is_none() || client.told.is_some() || client.given.is_some();
        let waits = self.clients.iter().find(|(_, client)| !told(client));
        assert!(waits.is_none(), "client {:?} got no answer", waits.map(|(client, _)| client));
    }

    /// Faults off: everything comes to rest in bounded time.
    fn come_to_rest(&mut self) {
        self.faults = false;
        self.note(format_args!("-- faults off"));
        if !self.link_up {
            self.flap();
            self.settle();
        }
        for _ in 0..20_000 {
            while let Some(client) = self.pending.pop_first() {
                self.confirm_one(client, false);
                self.settle();
            }
            while !self.committing.is_empty() {
                self.journal_answers();
                self.settle();
            }
            self.late_acknowledgement();
            self.settle();
            let quiet = self.at_host.is_empty() && self.on_wire.is_empty() && self.unacknowledged.is_empty();
            if quiet && self.mux.tally().open == 0 {
                return;
            }
            let next = [
                self.mux.poll_timeout(),
                self.at_host.iter().map(|(at, ..)| *at).min(),
                self.on_wire.iter().map(|(at, ..)| *at).min(),
            ];
            let Some(next) = next.into_iter().flatten().min() else { break };
            let next = next.max(self.now.uptime);
            self.now = self.now.after(next - self.now.uptime);
            self.host_works();
            self.mux.handle_timeout(self.now);
            self.settle();
        }
        let (due, now) = (self.mux.poll_timeout(), self.now.uptime);
        assert_eq!(
            self.mux.tally().open,
            0,
            "everything comes to rest: next due {due:?}, now {now:?}, open {:#?}",
            self.mux.transactions()
        );
    }

    /// The host's books against what the clients know.
    fn audit(&self) {
        let parked: BTreeSet<Amount> = self.parked.iter().map(|id| self.amount_of[id]).collect();
        // After a drain: what the journal keeps for the next start.
        let open = self.mux.transactions();
        let owed = open.iter().filter(|open| matches!(open.state, "owed" | "sent"));
        let owed: BTreeSet<Amount> = owed.map(|open| self.amount_of[&open.id]).collect();
        let declined = |amount: &Amount| {
            let given = |client: &Client| client.given == Some(RequestClass::Declined);
            self.clients.values().any(|client| client.amount == *amount && given(client))
        };
        let told_of = |amount: &Amount| {
            let told = self
                .clients
                .values()
                .filter(|client| client.amount == *amount)
                .filter_map(|client| client.told);
            told.collect::<Vec<_>>()
        };
        if !self.drained {
            let missing = self
                .advices
                .iter()
                .find(|amount| !self.books.contains_key(*amount) && !parked.contains(*amount));
            assert_eq!(missing, None, "an accepted advice never reached the host");
        }
        for (amount, booked) in &self.books {
            let told = told_of(amount);
            let knows = told.iter().any(|told| matches!(told, Told::Approved | Told::InDoubt));
            match booked {
                Booked::Approved => assert!(
                    knows
                        || self.advised.contains(amount)
                        || owed.contains(amount)
                        // It thought again, and the drain ended before it could say so.
                        || (self.drained && declined(amount))
                        || parked.contains(amount),
                    "orphan: sale {amount} is approved, its clients were told {told:?}"
                ),
                Booked::Reversed if self.undone_by_client.contains(amount) => {}
                Booked::Reversed => {
                    assert!(
                        !told.contains(&Told::Approved),
                        "needless: sale {amount} was delivered and reversed"
                    );
                }
                Booked::Declined => {}
            }
        }
    }
}

fn record_of(amount: Amount) -> Record {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&amount.to_be_bytes());
    Record { key: Some(key), body: [0; 32] }
}

fn answer_to(message: &Message, code: &str) -> Bytes {
    let mut draft = Draft::of(message);
    draft.set_mti(message.mti().response().unwrap());
    draft.set(field::RRN, b"000000012345").set(field::RESPONSE_CODE, code.as_bytes());
    draft.to_bytes().unwrap()
}

fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            world.step();
            if world.drained {
                break;
            }
        }
        match world.drain {
            Some(deadline) => world.end_the_drain(deadline),
            None => world.come_to_rest(),
        }
        world.audit();
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text =
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default();
        format!("{}seed {seed}: {text}\nreplay with SOCKETQUEUE_SEED={seed}", world.trace)
    })
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn no_seed_leaves_an_approved_sale_neither_delivered_nor_reversed_nor_parked() {
    let seeds = match from_environment("SOCKETQUEUE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("SOCKETQUEUE_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(trace) = run(seed) {
            panic!("{trace}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 17] {
        let trace = |seed| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.trace
        };
        assert_eq!(trace(seed), trace(seed));
    }
}
