//! Terminals: one sale after the other, over connections that fail, patiently or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::time::Now;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout_at};

use crate::chance::Chance;
use crate::net::{End, Fault};

/// What the clients know of one sale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When it was sent.
    at: Option<Instant>,
    pub approved: bool,
    pub declined: bool,
    /// Its connection was made to fail, or left, or its gateway was killed, at about that time.
    pub troubled: bool,
    /// When its gateway was killed, bytes for it were under way: written, so delivered by the book, and not acknowledged.
    /// What becomes of them, nobody will know.
    pub under_way: bool,
}

impl Known {
    /// How long ago it was sent.
    pub fn since(&self, now: Instant) -> Duration {
        self.at.map_or(Duration::ZERO, |at| now - at)
    }
}

#[derive(Default)]
pub struct Notes {
    pub sales: BTreeMap<u64, Known>,
    pub next_amount: u64,
    /// The sale that each terminal waits for, or has just had the answer to, and its connection.
    pub open: BTreeMap<u64, (u64, Fault)>,
    /// Sales whose connection ended without an answer.
    pub closed: u64,
}

/// Where a terminal's connections come from.
pub trait Connect {
    /// `None`: nobody listens.
    fn connect(&self, slow: bool) -> Option<(End, Fault)>;
}

pub struct Terminal<C> {
    pub tid: u64,
    pub dialect: Arc<Dialect>,
    pub gateway: C,
    pub notes: Arc<Mutex<Notes>>,
    pub chance: Chance,
    pub clock: Arc<dyn Fn() -> Now + Send + Sync>,
    /// Longer than anybody may wait for an end of his request.
    pub patience: Duration,
}

impl<C: Connect> Terminal<C> {
    /// Sells until `end`.
    pub async fn run(mut self, end: Instant) {
        let mut connection = None;
        let mut stan = 0;
        while Instant::now() < end {
            let pause = self.chance.millis(1, 1500);
            sleep(pause).await;
            let slow = self.chance.permille(100);
            let Some((stream, fault)) = connection.take().or_else(|| self.gateway.connect(slow)) else {
                continue;
            };
            stan += 1;
            connection = self.sell(stream, fault, stan, slow).await;
        }
    }

    /// One sale. The connection, if it can be used again.
    async fn sell(&mut self, mut stream: End, fault: Fault, stan: u64, slow: bool) -> Option<(End, Fault)> {
        let amount = {
            let mut notes = self.notes.lock().unwrap();
            notes.next_amount += 1;
            let amount = notes.next_amount;
            notes.sales.insert(amount, Known { at: Some(Instant::now()), ..Known::default() });
            notes.open.insert(self.tid, (amount, fault.clone()));
            amount
        };
        let request = self.request(amount, stan);
        if stream.write_all(&request).await.is_err() {
            self.note(amount, |known| known.troubled = true);
            return None;
        }
        // It loses its patience, or its power.
        let leaves = self.chance.permille(80).then(|| self.chance.millis(1, 9000));
        let until = Instant::now() + leaves.unwrap_or(self.patience);
        let mut buffer = BytesMut::new();
        loop {
            if slow {
                let pause = self.chance.millis(1, 3000);
                sleep(pause).await;
            }
            let piece = if slow { 40 } else { 4096 };
            let mut bytes = vec![0; piece];
            match timeout_at(until, stream.read(&mut bytes)).await {
                Ok(Ok(read @ 1..)) => {
                    buffer.extend_from_slice(&bytes[..read]);
                    if self.answered(amount, stan, &buffer) {
                        return Some((stream, fault));
                    }
                }
                Ok(_) => {
                    self.notes.lock().unwrap().closed += 1;
                    return None;
                }
                Err(_) => {
                    assert!(leaves.is_some(), "terminal {} got no end of sale {amount}", self.tid);
                    // What its TCP has acknowledged, it has.
                    buffer.extend_from_slice(&fault.arrived(1));
                    self.answered(amount, stan, &buffer);
                    self.note(amount, |known| known.troubled = true);
                    return None;
                }
            }
        }
    }

    fn note(&self, amount: u64, change: impl FnOnce(&mut Known)) {
        change(self.notes.lock().unwrap().sales.entry(amount).or_default());
    }

    /// Whether there is a whole answer; it must be its own.
    fn answered(&self, amount: u64, stan: u64, buffer: &[u8]) -> bool {
        let Ok(Some(length)) = Message::measure(&self.dialect.schema, buffer) else { return false };
        let answer = Message::parse(&self.dialect.schema, Bytes::copy_from_slice(&buffer[..length])).unwrap();
        let number = |n| answer.text(n).unwrap().parse::<u64>().unwrap();
        let found = (number(field::AMOUNT), number(field::STAN), number(field::TID));
        assert_eq!(found, (amount, stan, self.tid), "an answer that is not its own");
        let approved = answer.text(field::RESPONSE_CODE).unwrap() == "000";
        self.note(amount, |known| {
            known.approved |= approved;
            known.declined |= !approved;
        });
        true
    }

    fn request(&self, amount: u64, stan: u64) -> Bytes {
        let mut draft = Draft::new(&self.dialect.schema, Mti::parse(b"0200").unwrap());
        let local = (self.clock)().local();
        draft.set(field::PROCESSING_CODE, b"000000");
        draft.set(field::AMOUNT, format!("{amount:012}").as_bytes());
        draft.set(field::TRANSMISSION_TIME, &local.mmddhhmmss());
        draft.set(field::STAN, format!("{stan:06}").as_bytes());
        draft.set(field::LOCAL_TIME, &local.yymmddhhmmss());
        draft.set(field::POS_ENTRY_MODE, b"056");
        draft.set(field::FUNCTION_CODE, b"200");
        draft.set(field::REASON, b"00");
        draft.set(field::TRACK_2, b"4850781234567891=19082012232800000037");
        draft.set(field::TID, format!("{:08}", self.tid).as_bytes());
        draft.set(field::MID, b"000124642124643");
        draft.set(field::CURRENCY, b"810");
        draft.to_bytes().unwrap()
    }
}
