//! The requests of one connection, made from a template, and whose an answer is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::speech::Speech;
use super::tally::Cause;
use super::{PIPELINE_MAX, Settings};
use crate::dialect::Dialect;
use crate::framing::FrameError;
use crate::iso8583::{BuildError, Draft, FieldNumber, Message, Mti, ParseError, field};
use crate::time::Now;

/// STANs have six digits, and none is zero.
const STANS: u64 = 999_999;
/// Amounts differ by so much from the template's, so that an answer to another request shows.
const AMOUNTS: u64 = 90;

/// Why no requests can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is no request.
    #[error("the message is a {0}, which is no request")]
    NoRequest(Mti),
    /// The dialect has no place for so many terminals.
    #[error("{terminals} terminals from {first} on do not fit into DE 41, which has {max} digits")]
    Terminals {
        /// How many there are to be.
        terminals: u64,
        /// The first.
        first: u64,
        /// How many digits there are.
        max: usize,
    },
    /// A request of the dialect cannot be written so.
    #[error("a request cannot be written")]
    Build(#[from] BuildError),
    /// What was written is no message.
    #[error("a request cannot be read again")]
    Parse(#[from] ParseError),
    /// It cannot be framed.
    #[error("a request cannot be framed")]
    Frame(#[from] FrameError),
}

/// One request that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outstanding {
    terminal: u64,
    stan: u64,
    amount: u64,
    /// When it should have been sent: latency counts from here.
    pub due: Instant,
    /// When it was handed to the socket.
    pub sent: Instant,
}

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The right one; with its DE 39.
    Answered(Outstanding, Option<Box<str>>),
    /// Not what the request wants.
    Wrong(Cause),
}

/// Makes the requests of one connection.
pub(super) struct Requests {
    dialect: Arc<Dialect>,
    speech: Speech,
    template: Draft,
    response: Mti,
    /// The template's amount, if it has one.
    amount: Option<u64>,
    first_terminal: u64,
    terminals: u64,
    made: u64,
    /// The STAN of the last.
    stan: u64,
    /// The second in which DE 7, 12 and 13 were last set.
    second: Option<i64>,
    buffer: BytesMut,
    /// What is out, oldest first.
    pub out: VecDeque<Outstanding>,
}

impl Requests {
    /// For the connection of this number.
    pub fn new(settings: &Settings, number: usize) -> Result<Requests, TemplateError> {
        let mti = settings.template.mti();
        let response = mti.response().ok_or(TemplateError::NoRequest(mti))?;
        let max = settings.dialect.schema.field(field::TID).map_or(0, |spec| spec.max());
        let terminals = settings.terminals as u64;
        let all = terminals * settings.connections as u64;
        let end = settings.first_terminal.saturating_add(all);
        if u32::try_from(max).is_ok_and(|max| 10_u64.checked_pow(max).is_some_and(|room| end > room)) {
            return Err(TemplateError::Terminals { terminals: all, first: settings.first_terminal, max });
        }
        let amount = settings.template.text(field::AMOUNT).and_then(|amount| amount.parse().ok());
        let mut requests = Requests {
            dialect: settings.dialect.clone(),
            speech: settings.speech.clone(),
            template: Draft::of(&settings.template),
            response,
            amount,
            first_terminal: settings.first_terminal + number as u64 * terminals,
            terminals,
            made: 0,
            stan: 0,
            second: None,
            buffer: BytesMut::with_capacity(1024),
            out: VecDeque::with_capacity(settings.pipeline.min(PIPELINE_MAX)),
        };
        // What cannot be written is told before anything is sent.
        requests.fill(0, 1, 1);
        requests.write(&mut BytesMut::new())?;
        Ok(requests)
    }

    /// Appends the next request to `out`, framed; from now on its answer is expected.
    pub fn push(&mut self, now: Now, due: Instant, out: &mut BytesMut) -> Result<(), TemplateError> {
        let terminal = self.first_terminal + self.made % self.terminals;
        if self.made == 0 {
            // A run that follows another one begins elsewhere: hosts may look at TID and STAN for a while.
            self.stan = now.wall_ms.unsigned_abs() / 1000 % STANS;
        }
        self.stan = self.stan % STANS + 1;
        self.made += 1;
        let amount = self.amount.map_or(0, |amount| plain(amount + self.made % AMOUNTS));
        if self.second != Some(now.wall_ms / 1000) {
            self.second = Some(now.wall_ms / 1000);
            self.set_time(now);
        }
        let stan = self.stan;
        self.fill(terminal, stan, amount);
        self.write(out)?;
        self.out.push_back(Outstanding { terminal, stan, amount, due, sent: Instant::now() });
        Ok(())
    }

    /// Whose answer this is. What it answers is out no longer.
    pub fn judge(&mut self, payload: Bytes) -> Judgement {
        let Ok(answer) = Message::parse(&self.dialect.schema, payload) else {
            return Judgement::Wrong(Cause::Unreadable);
        };
        let number = |n| answer.text(n).and_then(|text| text.trim().parse::<u64>().ok());
        let (terminal, stan) = (number(field::TID), number(field::STAN));
        let is_it = |out: &Outstanding| Some(out.terminal) == terminal && Some(out.stan) == stan;
        let Some(asked) = self.out.iter().position(is_it).and_then(|at| self.out.remove(at)) else {
            return Judgement::Wrong(Cause::Unexpected);
        };
        if answer.mti() != self.response {
            return Judgement::Wrong(Cause::WrongType);
        }
        if self.amount.is_some() && number(field::AMOUNT).is_some_and(|amount| amount != asked.amount) {
            return Judgement::Wrong(Cause::WrongAmount);
        }
        Judgement::Answered(asked, answer.text(field::RESPONSE_CODE).map(|code| code.into()))
    }

    fn fill(&mut self, terminal: u64, stan: u64, amount: u64) {
        let max = self.dialect.schema.field(field::TID).map_or(0, |spec| spec.max());
        self.template.set_text(field::STAN, &format!("{stan:06}"));
        self.template.set_text(field::TID, &format!("{terminal:0max$}"));
        if self.amount.is_some() {
            self.template.set_text(field::AMOUNT, &format!("{amount:012}"));
        }
    }

    /// DE 7, 12 and 13 as the terminal's clock shows them; smartVista refuses what is 30 s old.
    fn set_time(&mut self, now: Now) {
        let local = now.local();
        let width = |n: FieldNumber| self.dialect.schema.field(n).map_or(0, |spec| spec.max());
        let time = if width(field::LOCAL_TIME) < 12 {
            local.hhmmss().to_vec()
        } else {
            local.yymmddhhmmss().to_vec()
        };
        for (n, value) in [
            (field::TRANSMISSION_TIME, &local.mmddhhmmss()[..]),
            (field::LOCAL_TIME, &time),
            (field::LOCAL_DATE, &local.mmdd()),
        ] {
            if self.template.has(n) {
                self.template.set(n, value);
            }
        }
    }

    fn write(&mut self, out: &mut BytesMut) -> Result<(), TemplateError> {
        self.buffer.clear();
        self.template.encode(&mut self.buffer)?;
        self.speech.write(&self.dialect, &self.buffer, out)
    }
}

/// An amount that is none of Socket Bank's magic ones, which end in 777 or 888.
fn plain(amount: u64) -> u64 {
    if matches!(amount % 1000, 777 | 888) { amount + 1 } else { amount }
}

#[cfg(test)]
impl Outstanding {
    /// One whose answer does not matter.
    pub fn of_nobody(due: Instant) -> Outstanding {
        Outstanding { terminal: 0, stan: 0, amount: 0, due, sent: due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_none_of_the_banks_magic_ones() {
        for (amount, plain_one) in [(776, 776), (777, 778), (12_888, 12_889), (7_770, 7_770), (0, 0)] {
            assert_eq!(plain(amount), plain_one);
        }
    }
}
