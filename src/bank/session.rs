//! One connection of the bank: frames in, answers out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::answer;
use super::codes::AnswerCodes;
use super::desk::{Desk, Incoming, Outcome};
use super::facts::Kind;
use super::faults::{Garbage, Plan};
use super::outbox::{Outbox, Piece};
use super::server::Clock;
use crate::dialect::Dialect;
use crate::framing::Framing;
use crate::time::Now;

/// How much is read at once.
const READ_LEN: usize = 64 * 1024;

/// How long a sale waits for its reversal under the fault `reorder_reversal`.
const REVERSAL_AWAITED: Duration = Duration::from_secs(60);

/// What all connections of a bank share.
pub(crate) struct Office {
    pub dialect: Arc<Dialect>,
    pub codes: Arc<AnswerCodes>,
    pub framing: Framing,
    pub frame_len_max: usize,
    pub clock: Clock,
    /// Held for one batch of messages, never across an await.
    pub desk: Mutex<Desk>,
    /// Answers made.
    pub answers: AtomicU64,
}

impl Office {
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        (self.clock)()
    }
}

/// Serves one connection until it ends: the peer closes, a frame cannot be read, a fault closes it.
pub(crate) async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, office: &Office) {
    let begun = Instant::now();
    let mut session = Session::new(office);
    let mut buf = BytesMut::with_capacity(READ_LEN);
    let mut is_reading = true;
    loop {
        session.outbox.release(begun.elapsed());
        if !write_ready(&mut stream, &mut session.outbox).await {
            break;
        }
        let due = session.next_due();
        if !is_reading && due.is_none() {
            break;
        }
        buf.reserve(READ_LEN);
        tokio::select! {
            read = stream.read_buf(&mut buf), if is_reading && !session.outbox.is_full() => match read {
                Ok(0) => {
                    // Its answers it may still read; a reversal cannot come any more.
                    is_reading = false;
                    session.release_parked(begun.elapsed(), Duration::MAX);
                }
                Ok(_) => {
                    is_reading = session.take(begun.elapsed(), &mut buf);
                    if !is_reading {
                        session.release_parked(begun.elapsed(), Duration::MAX);
                    }
                }
                Err(_) => break,
            },
            () = sleep_until(begun + due.unwrap_or_default()), if due.is_some() => {
                let now = begun.elapsed();
                session.release_parked(now, now);
            }
        }
    }
    session.release_parked(Duration::ZERO, Duration::MAX);
}

/// Writes what is ready; `false` when the connection has to end.
async fn write_ready(stream: &mut (impl AsyncWrite + Unpin), outbox: &mut Outbox) -> bool {
    while let Some(piece) = outbox.pop() {
        match piece {
            Piece::Bulk(bulk) => {
                if stream.write_all(&bulk).await.is_err() {
                    return false;
                }
                outbox.recycle(bulk);
            }
            Piece::Single(bytes) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() {
                        return false;
                    }
                    tokio::task::yield_now().await;
                }
            }
            Piece::Close => return false,
        }
    }
    true
}

struct Session<'a> {
    office: &'a Office,
    outbox: Outbox,
    batch: Vec<Incoming>,
    outcomes: Vec<Outcome>,
    parked: Vec<Incoming>,
    // When the sales in `parked` stop waiting, in the same order.
    parked_until: VecDeque<Duration>,
    payload: BytesMut,
    framed: BytesMut,
}

impl<'a> Session<'a> {
    fn new(office: &'a Office) -> Session<'a> {
        Session {
            office,
            outbox: Outbox::default(),
            batch: Vec::new(),
            outcomes: Vec::new(),
            parked: Vec::new(),
            parked_until: VecDeque::new(),
            payload: BytesMut::new(),
            framed: BytesMut::new(),
        }
    }

    fn next_due(&self) -> Option<Duration> {
        self.outbox.next_due().into_iter().chain(self.parked_until.front().copied()).min()
    }

    /// Takes all whole frames off `buf`; `false` when the next one cannot be found.
    fn take(&mut self, now: Duration, buf: &mut BytesMut) -> bool {
        let office = self.office;
        let mut unreadable = 0;
        let is_readable = loop {
            match office.framing.next_frame(&office.dialect.schema, office.frame_len_max, buf) {
                Ok(Some(frame)) => match Incoming::read(&office.dialect, frame) {
                    Ok(incoming) => self.batch.push(incoming),
                    Err(_) => unreadable += 1,
                },
                Ok(None) => break true,
                Err(_) => {
                    unreadable += 1;
                    break false;
                }
            }
        };
        if self.batch.is_empty() && unreadable == 0 {
            return is_readable;
        }
        let moment = office.now();
        let mut desk = office.desk();
        desk.summary.unreadable += unreadable;
        for incoming in self.batch.drain(..) {
            let reverses = (incoming.facts.kind == Kind::Reversal).then(|| incoming.facts.clone());
            match desk.take(moment, incoming, &mut self.parked) {
                Some(outcome) => self.outcomes.push(outcome),
                None => self.parked_until.push_back(now + REVERSAL_AWAITED),
            }
            // The reversal is through: now the sale that it is about, if that has been waiting for it.
            let Some(reversal) = reverses else { continue };
            let is_about = |sale: &Incoming| {
                let stans = reversal.original_names().map(|(name, _)| name.stan);
                sale.facts.tid == reversal.tid && stans.into_iter().any(|stan| Some(stan) == sale.facts.stan)
            };
            if let Some(place) = self.parked.iter().position(is_about) {
                self.parked_until.remove(place);
                self.outcomes.push(desk.take_parked(moment, self.parked.remove(place)));
            }
        }
        desk.hand_over();
        drop(desk);
        self.answer_all(now, moment);
        is_readable
    }

    /// Takes the sales whose wait ends up to `until` to the desk.
    fn release_parked(&mut self, now: Duration, until: Duration) {
        if self.parked_until.front().is_none_or(|&first| first > until) {
            return;
        }
        let moment = self.office.now();
        let mut desk = self.office.desk();
        let count = self.parked_until.iter().take_while(|&&at| at <= until).count();
        self.parked_until.drain(..count);
        self.outcomes.extend(self.parked.drain(..count).map(|sale| desk.take_parked(moment, sale)));
        desk.hand_over();
        drop(desk);
        self.answer_all(now, moment);
    }

    /// Makes the answers of what the desk has said.
    fn answer_all(&mut self, now: Duration, moment: Now) {
        let mut answers = 0;
        let mut outcomes = std::mem::take(&mut self.outcomes);
        for outcome in outcomes.drain(..) {
            answers += u64::from(self.answer(now, moment, &outcome));
        }
        self.outcomes = outcomes;
        if answers > 0 {
            self.office.answers.fetch_add(answers, Ordering::Relaxed);
        }
    }

    fn answer(&mut self, now: Duration, moment: Now, outcome: &Outcome) -> bool {
        let Outcome { incoming, ruling, plan } = outcome;
        if plan.closes {
            self.outbox.close();
            return false;
        }
        let Office { dialect, codes, framing, .. } = self.office;
        self.payload.clear();
        let is_made = !plan.is_silent
            && answer::compose(
                dialect,
                codes,
                &incoming.message,
                &incoming.facts,
                ruling,
                moment,
                &mut self.payload,
            );
        if !is_made {
            return false;
        }
        if *plan == Plan::default() && self.outbox.is_plain() {
            return framing.encode(&self.payload, &incoming.envelope, self.outbox.bulk()).is_ok();
        }
        self.framed.clear();
        match plan.garbage {
            Some(Garbage::Raw) => self.framed.extend_from_slice(&NOISE),
            Some(Garbage::Framed) if framing.encode(&NOISE, &incoming.envelope, &mut self.framed).is_ok() => {
            }
            // What no frame can hold is raw as well.
            Some(Garbage::Framed) => self.framed.extend_from_slice(&NOISE),
            None => {}
        }
        if framing.encode(&self.payload, &incoming.envelope, &mut self.framed).is_err() {
            return false;
        }
        self.outbox.put(now, plan, Bytes::copy_from_slice(&self.framed));
        true
    }
}

/// No MTI in any character set, no length in digits, and a length above every limit in binary.
const NOISE: [u8; 24] = [0xFF; 24];
