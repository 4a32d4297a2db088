//! The host: late, forgetful, contradictory, and with books.
//!
//! It names each transaction in DE 37 of its answers, so that whoever watches knows whose an answer is, even where the
//! host leaves out the amount.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::RequestClass;
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::mux::Event;
use socketqueue::rules::Answer;

use super::chance::Chance;
use super::world::{Amount, Amounts, World, amount_of, name_of, whose};

/// Instead of the number of a connection: comes through whatever happens to the link.
const NEVER_LOST: u64 = u64::MAX;
/// DE 37 of an answer that answers nothing.
pub const WRONG: &str = "999999999999";

/// What the host has in its books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Booked {
    Approved,
    Declined,
    Reversed,
}

/// What the host does with the reversal of a sale that it does not have (yet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unknown {
    /// 'Not found', and it forgets the reversal.
    Forgets,
    /// 'Not found', and it declines the sale when that comes.
    Remembers,
    /// 'Accepted', and it approves the sale when that comes.
    Lies,
}

pub struct Host {
    unknown: Unknown,
    /// Whether it answers on the next connection what came on the last.
    answers_later: bool,
    /// Whether its answers lack the amount.
    terse: bool,
    pub books: BTreeMap<Amount, Booked>,
    /// Advices and clients' own reversals that it has accepted.
    pub advices: Amounts,
    /// Reversals that came before their original.
    undone_before: Amounts,
    /// Sales that it approved after it had declined them, or after it had said that they were reversed, whose answer is
    /// still on the way: nobody can know of it.
    pub untold: Amounts,
    /// Sales that share key and time with another one: each is answered once or not at all, for nobody could tell a
    /// second answer from the answer to the other.
    pub twins: BTreeSet<Amount>,
    /// Messages that it has, each to be processed at its time.
    inbox: Vec<(Duration, u64, Message)>,
    /// Answers on their way back, each with the transaction that it answers.
    outbox: Vec<(Duration, u64, Amount, Bytes)>,
}

impl Host {
    pub fn new(chance: &mut Chance) -> Host {
        Host {
            unknown: chance.one_of(&[
                Unknown::Forgets,
                Unknown::Forgets,
                Unknown::Remembers,
                Unknown::Remembers,
                Unknown::Lies,
            ]),
            answers_later: chance.permille(500),
            terse: chance.permille(150),
            books: BTreeMap::new(),
            advices: Amounts::new(),
            undone_before: Amounts::new(),
            untold: Amounts::new(),
            twins: BTreeSet::new(),
            inbox: Vec::new(),
            outbox: Vec::new(),
        }
    }

    pub fn next_event(&self) -> Option<Duration> {
        let inbox = self.inbox.iter().map(|(at, ..)| *at).min();
        [inbox, self.outbox.iter().map(|(at, ..)| *at).min()].into_iter().flatten().min()
    }

    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.outbox.is_empty()
    }

    pub fn count(&self, what: Booked) -> u64 {
        self.books.values().filter(|booked| **booked == what).count() as u64
    }
}

impl World {
    /// The link carries a message to the host, or loses it.
    pub fn carry_to_host(&mut self, message: Message) {
        if self.faults && self.chance.permille(50) {
            return;
        }
        // Each takes its own time inside the host, so a reversal may be there before its sale.
        let slow = if self.faults && self.chance.permille(150) { 15_000 } else { 300 };
        let at = self.now.uptime + Duration::from_millis(self.chance.below(slow));
        self.host.inbox.push((at, self.connection, message));
    }

    pub fn host_works(&mut self) {
        let now = self.now.uptime;
        let (mut due, later): (Vec<_>, Vec<_>) = self.host.inbox.drain(..).partition(|(at, ..)| *at <= now);
        self.host.inbox = later;
        due.sort_by_key(|(at, ..)| *at);
        for (_, connection, message) in due {
            self.process(connection, &message);
        }
        let (mut due, later): (Vec<_>, Vec<_>) = self.host.outbox.drain(..).partition(|(at, ..)| *at <= now);
        self.host.outbox = later;
        due.sort_by_key(|(at, ..)| *at);
        for (_, connection, amount, bytes) in due {
            // The link may go in the middle of a batch of answers.
            if self.faults && self.chance.permille(10) {
                self.flap();
            }
            let later = self.host.answers_later && !(self.host.terse && self.host.twins.contains(&amount));
            let there = self.link_up && (connection == self.connection || later);
            if there || connection == NEVER_LOST {
                self.hand_over(bytes);
            }
        }
    }

    fn hand_over(&mut self, bytes: Bytes) {
        let lenient = Message::parse_lenient(&self.dialect.schema, bytes).unwrap();
        let answer = Answer::read(&self.dialect, &self.keys, lenient);
        self.note(format_args!(
            "in: {} {} {:?} {:?}",
            answer.mti(),
            name_of(answer.message()),
            answer.message().text(field::RRN),
            answer.request_class()
        ));
        self.watch_answer(&answer);
        let approves = answer.mti().class() != 4 && answer.request_class() == RequestClass::Approved;
        if let Some(amount) = whose(answer.message()).filter(|_| approves) {
            self.host.untold.remove(&amount);
        }
        self.mux.handle(self.now, Event::Received(Box::new(answer)));
        self.settle();
    }

    fn process(&mut self, connection: u64, message: &Message) {
        let (amount, mti) = (amount_of(message), message.mti());
        let books = &mut self.host.books;
        let code = match (mti.class(), books.get(&amount).copied()) {
            (8, _) => "000",
            (2, _) if mti.is_advice() => match self.faults && self.chance.permille(200) {
                true => "909",
                false => {
                    self.host.advices.insert(amount);
                    "000"
                }
            },
            // Rejected: parked at once.
            (4, _) if self.faults && self.chance.permille(10) => "904",
            (4, Some(Booked::Approved)) if self.faults && self.chance.permille(150) => "909",
            (4, Some(Booked::Approved | Booked::Reversed)) => {
                books.insert(amount, Booked::Reversed);
                "000"
            }
            (4, Some(Booked::Declined)) => "914",
            (4, None) if self.host.twins.contains(&amount) => "914",
            (4, None) => {
                self.host.undone_before.insert(amount);
                if self.host.unknown == Unknown::Lies { "000" } else { "914" }
            }
            // A repeat is answered as the first was.
            (_, Some(Booked::Approved)) if mti.is_repeat() => "000",
            (_, Some(_)) if mti.is_repeat() => "100",
            _ if self.host.undone_before.contains(&amount) && self.host.unknown == Unknown::Remembers => {
                books.insert(amount, Booked::Declined);
                "100"
            }
            _ if self.faults && self.chance.permille(150) => {
                books.insert(amount, Booked::Declined);
                "116"
            }
            _ => {
                books.insert(amount, Booked::Approved);
                if self.faults && self.chance.permille(30) { "911" } else { "000" }
            }
        };
        self.note(format_args!("host: {mti} {} -> {code}", name_of(message)));
        let is_twin = self.host.twins.contains(&amount);
        let lied = matches!(mti.class(), 1 | 2)
            && !mti.is_advice()
            && self.host.unknown == Unknown::Lies
            && self.host.undone_before.contains(&amount);
        if lied && self.host.books.get(&amount) == Some(&Booked::Approved) {
            // It has said that this is reversed. This answer is never lost and comes after the other one: nobody could
            // know of it otherwise.
            return self.tell_surely(message);
        }
        self.send_answer(connection, message, code, is_twin);
        if self.faults && code == "116" && !is_twin && self.chance.permille(100) {
            // It declines, thinks again, and approves.
            self.host.books.insert(amount, Booked::Approved);
            self.tell_surely(message);
        }
    }

    fn tell_surely(&mut self, message: &Message) {
        let amount = amount_of(message);
        let before = self.host.outbox.iter().filter(|(.., of, _)| *of == amount).map(|(at, ..)| *at).max();
        let at = self.now.uptime.max(before.unwrap_or_default());
        let at = at + Duration::from_millis(1 + self.chance.below(5000));
        let bytes = self.answer_to(message, "000");
        self.host.untold.insert(amount);
        self.host.outbox.push((at, NEVER_LOST, amount, bytes));
    }

    fn send_answer(&mut self, connection: u64, message: &Message, code: &str, is_twin: bool) {
        if self.faults && !is_twin && self.chance.permille(60) {
            self.send_wrong_answer(connection, message);
        }
        if self.faults && self.chance.permille(80) {
            return;
        }
        let bytes = self.answer_to(message, code);
        let copies = if self.faults && !is_twin && self.chance.permille(60) { 2 } else { 1 };
        for _ in 0..copies {
            let is_late = self.faults && self.chance.permille(120) && !(is_twin && self.host.terse);
            let late = if is_late { 30_000 } else { 500 };
            let at = self.now.uptime + Duration::from_millis(self.chance.below(late));
            self.host.outbox.push((at, connection, amount_of(message), bytes.clone()));
        }
    }

    /// An approval that answers nothing: it must have no consequence at all.
    fn send_wrong_answer(&mut self, connection: u64, message: &Message) {
        let mut draft = Draft::of(message);
        draft.set_mti(message.mti().response().unwrap());
        draft.set(field::RRN, WRONG.as_bytes()).set(field::RESPONSE_CODE, b"000");
        match self.chance.below(4) {
            0 => draft.remove(field::STAN),
            1 => draft.set(field::STAN, b"999999"),
            2 if message.has(field::LOCAL_TIME) => draft.set(field::LOCAL_TIME, b"200101000000"),
            _ => draft.set_mti(Mti::parse(b"0310").unwrap()),
        };
        self.host.outbox.push((self.now.uptime, connection, 0, draft.to_bytes().unwrap()));
    }

    fn answer_to(&self, message: &Message, code: &str) -> Bytes {
        let mut draft = Draft::of(message);
        draft.set_mti(message.mti().response().unwrap());
        draft.set(field::RRN, format!("{:012}", amount_of(message)).as_bytes());
        draft.set(field::RESPONSE_CODE, code.as_bytes());
        if self.host.terse && message.mti().class() != 4 {
            draft.remove(field::AMOUNT);
        }
        draft.to_bytes().unwrap()
    }
}
