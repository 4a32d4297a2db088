//! The host: late, forgetful, contradictory, and with books.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::mux::Event;
use socketqueue::rules::Answer;

use super::world::{Amount, Amounts, World, amount_of, name_of};

/// Instead of the number of a connection: comes through whatever happens to the link.
const NEVER_LOST: u64 = u64::MAX;

/// What the host has in its books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Booked {
    Approved,
    Declined,
    Reversed,
}

#[derive(Default)]
pub struct Host {
    /// Whether it answers on the next connection what came on the last, and refuses a sale whose reversal came first.
    remembers: bool,
    pub books: BTreeMap<Amount, Booked>,
    /// Advices and clients' own reversals that it has accepted.
    pub advices: Amounts,
    /// Reversals that came before their original.
    undone_before: Amounts,
    /// Messages that it has, each to be processed at its time.
    inbox: Vec<(Duration, u64, Message)>,
    /// Answers on their way back.
    outbox: Vec<(Duration, u64, Bytes)>,
}

impl Host {
    pub fn new(remembers: bool) -> Host {
        Host { remembers, ..Host::default() }
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
        let (due, later): (Vec<_>, Vec<_>) = self.host.inbox.drain(..).partition(|(at, ..)| *at <= now);
        self.host.inbox = later;
        for (_, connection, message) in due {
            self.process(connection, &message);
        }
        let (due, later): (Vec<_>, Vec<_>) = self.host.outbox.drain(..).partition(|(at, ..)| *at <= now);
        self.host.outbox = later;
        for (at, connection, bytes) in due {
            // The link may go in the middle of a batch of answers.
            if self.faults && self.chance.permille(20) {
                self.flap();
                self.settle();
            }
            if connection == NEVER_LOST && !self.link_up {
                self.host.outbox.push((at + Duration::from_secs(1), connection, bytes));
            } else if self.link_up
                && (connection == self.connection || connection == NEVER_LOST || self.host.remembers)
            {
                self.take_answer(bytes);
            }
        }
    }

    fn take_answer(&mut self, bytes: Bytes) {
        let lenient = Message::parse_lenient(&self.dialect.schema, bytes).unwrap();
        let answer = Answer::read(&self.dialect, &self.keys, lenient);
        let (name, class) = (name_of(answer.message()), answer.request_class());
        self.note(format_args!("in: {} {name} {class:?}", answer.mti()));
        self.watch_answer(&answer);
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
            (4, Some(Booked::Approved)) if self.faults && self.chance.permille(150) => "909",
            (4, Some(Booked::Approved | Booked::Reversed)) => {
                books.insert(amount, Booked::Reversed);
                "000"
            }
            (4, Some(Booked::Declined)) => "914",
            (4, None) => {
                if self.host.remembers {
                    self.host.undone_before.insert(amount);
                }
                "914"
            }
            // A repeat is answered as the first was.
            (_, Some(Booked::Approved)) if mti.is_repeat() => "000",
            (_, Some(_)) if mti.is_repeat() => "100",
            _ if self.host.undone_before.contains(&amount) => {
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
        self.send_answer(connection, message, code);
        if self.faults && code == "116" && self.chance.permille(100) {
            // It declines, thinks again, and approves. This answer is never lost: nobody could know of it otherwise.
            self.host.books.insert(amount, Booked::Approved);
            let at = self.now.uptime + Duration::from_millis(self.chance.below(5000));
            self.host.outbox.push((at, NEVER_LOST, answer_to(message, "000")));
        }
    }

    fn send_answer(&mut self, connection: u64, message: &Message, code: &str) {
        if self.faults && self.chance.permille(60) {
            self.send_wrong_answer(connection, message);
        }
        if self.faults && self.chance.permille(80) {
            return;
        }
        let bytes = answer_to(message, code);
        let copies = if self.faults && self.chance.permille(60) { 2 } else { 1 };
        for _ in 0..copies {
            let late = if self.faults && self.chance.permille(120) { 30_000 } else { 500 };
            let at = self.now.uptime + Duration::from_millis(self.chance.below(late));
            self.host.outbox.push((at, connection, bytes.clone()));
        }
    }

    /// An approval that answers nothing: it must have no consequence at all.
    fn send_wrong_answer(&mut self, connection: u64, message: &Message) {
        let mut draft = Draft::of(message);
        draft.set_mti(message.mti().response().unwrap());
        draft.set(field::RRN, b"000000099999").set(field::RESPONSE_CODE, b"000");
        match self.chance.below(4) {
            0 => draft.remove(field::STAN),
            1 => draft.set(field::STAN, b"999999"),
            2 if message.has(field::LOCAL_TIME) => draft.set(field::LOCAL_TIME, b"200101000000"),
            _ => draft.set_mti(Mti::parse(b"0310").unwrap()),
        };
        self.host.outbox.push((self.now.uptime, connection, draft.to_bytes().unwrap()));
    }
}

fn answer_to(message: &Message, code: &str) -> Bytes {
    let mut draft = Draft::of(message);
    draft.set_mti(message.mti().response().unwrap());
    draft.set(field::RRN, b"000000012345").set(field::RESPONSE_CODE, code.as_bytes());
    draft.to_bytes().unwrap()
}
