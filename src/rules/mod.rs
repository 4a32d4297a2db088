//! From a message to a [`Request`], the proof that it may be queued; and from a host's message to an [`Answer`].
//!
//! `prepare` has the rules for what clients send, `key` what a response is matched by, `answer` what a host says,
//! `reversal` what undoes a request, `image` what outlives the process, `kept` what is left of an answer then, `reply` the messages that the gateway itself
//! answers with, and `json` messages as JSON objects.

mod answer;
mod image;
pub mod json;
mod kept;
mod key;
mod prepare;
mod reply;
mod reversal;

use std::fmt;

use bytes::{Bytes, BytesMut};

pub use answer::Answer;
pub use image::{AnswerRecord, Restored, image};
pub use kept::KeptAnswer;
pub use key::{KeyFields, MatchKey, Tid};
pub use prepare::{Invalid, Rule, Unchecked, Violation, prepare, prepare_draft};
pub use reply::{AdviceReply, echo_reply, refusal};
pub use reversal::ReversalImage;

use crate::dialect::Dialect;
use crate::iso8583::schema::Encoding;
use crate::iso8583::{FieldNumber, Message, Mti, field};

/// What is owed when a request stays in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MakeGood {
    /// 0100, 0200 and their repeats: a reversal.
    Reverse,
    /// 0120, 0220, 0400, 0420 and their repeats: carried on until accepted.
    CarryOn,
    /// Network management, inquiries: nothing.
    Nothing,
}

impl MakeGood {
    /// By the MTI; a request whose processing code the dialect marks as `noMoney` needs nothing.
    #[inline]
    fn of(dialect: &Dialect, message: &Message) -> MakeGood {
        let mti = message.mti();
        if mti.is_reversal() || (mti.is_financial() && mti.is_advice()) {
            MakeGood::CarryOn
        } else if mti.is_financial() && !moves_no_money(dialect, message) {
            MakeGood::Reverse
        } else {
            MakeGood::Nothing
        }
    }
}

fn moves_no_money(dialect: &Dialect, message: &Message) -> bool {
    if dialect.no_money.is_empty() {
        return false;
    }
    let Some(code) = message.text(field::PROCESSING_CODE) else { return false };
    dialect.no_money.iter().any(|no_money| code.starts_with(no_money.as_str()))
}

/// A checked, padded request: what may be queued. Only this module makes one.
#[derive(Clone)]
pub struct Request {
    pub(crate) message: Message,
    pub(crate) key: MatchKey,
    pub(crate) tid: Option<Tid>,
    pub(crate) make_good: MakeGood,
}

impl Request {
    /// Its MTI.
    pub fn mti(&self) -> Mti {
        self.message.mti()
    }
    /// Its key.
    pub fn key(&self) -> &MatchKey {
        &self.key
    }
    /// Its terminal, if it names one.
    pub fn tid(&self) -> Option<&Tid> {
        self.tid.as_ref()
    }
    /// What is owed when it stays in doubt.
    pub fn make_good(&self) -> MakeGood {
        self.make_good
    }
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }
    /// The bytes that go upstream, without framing.
    pub fn bytes(&self) -> &Bytes {
        self.message.raw()
    }
    /// The same message marked as a repeat (…1), for carrying an advice on. Bytes differ in the MTI only.
    pub fn as_repeat(&self) -> Bytes {
        with_mti(&self.message, self.mti().repeat())
    }
    /// Whether this repeats `other`: the elements that identify a transaction beside its key (`echoed`), the terminal and
    /// the amount agree, where both have them. A terminal may use a STAN again.
    pub fn is_same_as(&self, other: &Request, echoed: &[FieldNumber]) -> bool {
        let agree = |n: FieldNumber| self.message.agrees_with(&other.message, n);
        agree(field::AMOUNT) && agree(field::TID) && echoed.iter().all(|n| agree(*n))
    }

    /// Whether `answer`, a host's message as it came, answers this or what this repeats: the echoed elements agree, and
    /// the terminal.
    pub fn is_answered_in(&self, answer: &Bytes, echoed: &[FieldNumber]) -> bool {
        let Ok(answer) = Message::parse_lenient(self.message.schema(), answer.clone()) else { return false };
        echoed.iter().chain(&[field::TID]).all(|n| self.message.agrees_with(&answer.message, *n))
    }

    /// The original's key that a client's own reversal or repeat points at: by DE 90/56 if it has one, else its own key.
    ///
    /// The original data elements have the MTI, the STAN and (DE 90) DE 7, 32, 33 or (DE 56) DE 12, 32 of the original;
    /// the other key fields are the reversal's own. An original STAN of zeros means 'not known': the own key then.
    /// `None` when a key field is missing.
    pub fn original_key(&self, keys: &KeyFields) -> Option<MatchKey> {
        reversal::original_key(&self.message, keys)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {:?})", self.mti(), self.key)
    }
}

/// The bytes of `message` under another MTI, written as the schema writes it; everything else byte for byte.
fn with_mti(message: &Message, mti: Mti) -> Bytes {
    let mut raw = BytesMut::from(&message.raw()[..]);
    let digits = mti.digits();
    let (written, len): ([u8; 4], usize) = match message.schema().mti {
        Encoding::Bcd { .. } | Encoding::Binary => {
            let [high, low] = mti.bcd().to_be_bytes();
            ([high, low, 0, 0], 2)
        }
        // EBCDIC digits are 0xF0 to 0xF9.
        Encoding::Ebcdic => (digits.map(|digit| digit | 0xF0), 4),
        _ => (digits, 4),
    };
    // A message begins with its MTI: it would not have been parsed else.
    if let Some(head) = raw.get_mut(..len) {
        head.copy_from_slice(&written[..len]);
    }
    raw.freeze()
}
