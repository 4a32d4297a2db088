//! The host at the other end of the link: books, and bad habits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, field};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use crate::chance::Chance;
use crate::net::End;

/// What the books say of one sale, which its amount tells apart from all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// How often it was asked for.
    pub asked: u32,
    pub approved: bool,
    pub reversed: bool,
}

#[derive(Default)]
pub struct Books {
    pub sales: BTreeMap<u64, Booked>,
    pub reversals: u64,
}

/// How the bank behaves, of a thousand messages.
#[derive(Clone, Copy)]
pub struct Habits {
    pub silent: u64,
    pub slow: u64,
    pub declines: u64,
    pub twice: u64,
    /// Refuses a reversal for now.
    pub not_now: u64,
}

pub const FAULTLESS: Habits = Habits { silent: 0, slow: 0, declines: 0, twice: 0, not_now: 0 };

#[derive(Clone)]
pub struct Bank {
    pub books: Arc<Mutex<Books>>,
    pub habits: Arc<Mutex<Habits>>,
    pub dialect: Arc<Dialect>,
}

impl Bank {
    /// Serves one connection until it ends.
    pub async fn serve(self, mut end: End, mut chance: Chance) {
        let (mut buffer, mut waiting) = (BytesMut::new(), Vec::<(Instant, Message)>::new());
        let mut out = Vec::<(Instant, Bytes)>::new();
        loop {
            // What was to be processed or sent by now.
            let now = Instant::now();
            let ready: Vec<_> = waiting.extract_if(.., |(at, _)| *at <= now).collect();
            for (_, message) in ready {
                self.process(&message, &mut chance, &mut out);
            }
            let answers: Vec<_> = out.extract_if(.., |(at, _)| *at <= now).collect();
            for (_, bytes) in answers {
                let framed = [format!("{:04}", bytes.len()).as_bytes(), &bytes].concat();
                if end.write_all(&framed).await.is_err() {
                    return self.finish(waiting, &mut chance).await;
                }
            }
            let next = waiting.iter().map(|(at, _)| *at).chain(out.iter().map(|(at, _)| *at)).min();
            buffer.reserve(4096);
            tokio::select! {
                biased;
                read = end.read_buf(&mut buffer) => match read {
                    Ok(1..) => {
                        while let Some(message) = self.next_message(&mut buffer) {
                            let slow = chance.permille(self.habits.lock().unwrap().slow);
                            let takes = if slow { chance.millis(1000, 20_000) } else { chance.millis(1, 300) };
                            waiting.push((Instant::now() + takes, message));
                        }
                    }
                    _ => return self.finish(waiting, &mut chance).await,
                },
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
    }

    /// The connection is gone. What was taken from it is processed all the same.
    async fn finish(self, mut waiting: Vec<(Instant, Message)>, chance: &mut Chance) {
        waiting.sort_by_key(|(at, _)| *at);
        for (at, message) in waiting {
            sleep_until(at).await;
            self.process(&message, chance, &mut Vec::new());
        }
    }

    fn next_message(&self, buffer: &mut BytesMut) -> Option<Message> {
        let header = buffer.get(..4)?;
        let length: usize = std::str::from_utf8(header).unwrap().parse().unwrap();
        if buffer.len() < 4 + length {
            return None;
        }
        let raw = buffer.split_to(4 + length).freeze().slice(4..);
        Some(Message::parse(&self.dialect.schema, raw).expect("the gateway sends messages"))
    }

    fn process(&self, message: &Message, chance: &mut Chance, out: &mut Vec<(Instant, Bytes)>) {
        let habits = *self.habits.lock().unwrap();
        let amount = amount_of(message);
        let mut guard = self.books.lock().unwrap();
        let books = &mut *guard;
        let code = match message.mti().class() {
            8 => "000",
            4 => {
                books.reversals += 1;
                let booked = books.sales.entry(amount).or_default();
                match *booked {
                    _ if chance.permille(habits.not_now) => "909",
                    Booked { approved: true, .. } => {
                        booked.reversed = true;
                        "000"
                    }
                    _ => "914",
                }
            }
            _ => {
                let booked = books.sales.entry(amount).or_default();
                booked.asked += 1;
                booked.approved = !chance.permille(habits.declines);
                if booked.approved { "000" } else { "116" }
            }
        };
        drop(guard);
        if chance.permille(habits.silent) {
            return;
        }
        let mut draft = Draft::of(message);
        draft.set_mti(message.mti().response().unwrap());
        draft.set(field::RRN, format!("{amount:012}").as_bytes()).set(field::RESPONSE_CODE, code.as_bytes());
        let bytes = draft.to_bytes().unwrap();
        for _ in 0..if chance.permille(habits.twice) { 2 } else { 1 } {
            let late = chance.permille(habits.slow);
            let after = if late { chance.millis(1000, 15_000) } else { Duration::ZERO };
            out.push((Instant::now() + after, bytes.clone()));
        }
    }
}

fn amount_of(message: &Message) -> u64 {
    message.text(field::AMOUNT).and_then(|text| text.parse().ok()).unwrap_or(0)
}
