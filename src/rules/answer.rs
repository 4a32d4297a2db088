//! What a host says.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::key::{KeyFields, MatchKey};
use crate::dialect::{Dialect, RequestClass, ReversalClass};
use crate::iso8583::mask::Track2;
use crate::iso8583::{FieldNumber, Lenient, Message, Mti, ParseError, Schema, field};

/// SocketQueue's weights, by which candidates for an answer are compared where the key alone does not decide.
const SCORE_MTI: u32 = 10;
const SCORE_PAN: u32 = 5;
const SCORE_AMOUNT: u32 = 1;

/// A host's message, read as far as it goes.
#[derive(Clone)]
pub struct Answer {
    pub(crate) message: Message,
    pub(crate) key: Option<MatchKey>,
    pub(crate) request_class: RequestClass,
    pub(crate) reversal_class: ReversalClass,
}

impl Answer {
    /// Reads a host's message.
    ///
    /// One that could not be read to its end has a key only if the trouble lies behind DE 39 as well: else nobody knows
    /// what it says, and whose transaction it was stays in doubt.
    pub fn read(dialect: &Dialect, keys: &KeyFields, lenient: Lenient) -> Answer {
        let Lenient { message, trouble } = lenient;
        let mut answer = Answer::of(message);
        answer.learn(dialect, keys, trouble.is_none());
        answer
    }

    /// A host's message of which nothing was read yet. An answer is large, so it is read where it stays.
    #[inline]
    pub(crate) fn unread(schema: &Arc<Schema>, raw: Bytes) -> Answer {
        Answer::of(Message::unread(schema, raw))
    }

    /// Reads it as [`Message::parse_lenient`] does: what stopped the reading, if anything did.
    ///
    /// # Errors
    /// Those of [`Message::parse_lenient`].
    #[inline]
    pub(crate) fn read_all(
        &mut self,
        dialect: &Dialect,
        keys: &KeyFields,
    ) -> Result<Option<ParseError>, ParseError> {
        let trouble = self.message.read_leniently()?;
        self.learn(dialect, keys, trouble.is_none());
        Ok(trouble)
    }

    #[inline]
    fn of(message: Message) -> Answer {
        let (request_class, reversal_class) = (RequestClass::InDoubt, ReversalClass::Retry);
        Answer { message, key: None, request_class, reversal_class }
    }

    /// Learns from its message what it says, and to whom.
    fn learn(&mut self, dialect: &Dialect, keys: &KeyFields, is_whole: bool) {
        let says_something = is_whole || self.message.has(field::RESPONSE_CODE);
        self.key = if says_something { MatchKey::of(&self.message, keys) } else { None };
        let code = self.message.value(field::RESPONSE_CODE);
        self.request_class = dialect.codes.of_request(code.as_deref());
        self.reversal_class = dialect.codes.of_reversal(code.as_deref());
    }

    /// Its MTI.
    pub fn mti(&self) -> Mti {
        self.message.mti()
    }
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }
    /// Its key, if it has all key fields.
    pub fn key(&self) -> Option<&MatchKey> {
        self.key.as_ref()
    }
    /// What its code means for a request.
    pub fn request_class(&self) -> RequestClass {
        self.request_class
    }
    /// What its code means for a reversal or advice.
    pub fn reversal_class(&self) -> ReversalClass {
        self.reversal_class
    }

    /// Whether these elements agree with the request's, where both have them.
    pub fn agrees_with(&self, request: &Message, elements: &[FieldNumber]) -> bool {
        elements.iter().all(|n| self.message.agrees_with(request, *n))
    }

    /// SocketQueue's score: +10 if its MTI answers the request's, +1 for the same DE 4, +5 if its DE 2 is the
    /// request's card number, in DE 2 or at the start of DE 35.
    pub fn score(&self, request: &Message) -> u32 {
        let mut score = 0;
        if request.mti().response() == Some(self.mti()) {
            score += SCORE_MTI;
        }
        let amount = self.message.value(field::AMOUNT);
        if amount.is_some() && amount == request.value(field::AMOUNT) {
            score += SCORE_AMOUNT;
        }
        if self.message.value(field::PAN).is_some_and(|pan| is_card_of(&pan, request)) {
            score += SCORE_PAN;
        }
        score
    }
}

fn is_card_of(pan: &[u8], request: &Message) -> bool {
    if request.value(field::PAN).is_some_and(|asked| *asked == *pan) {
        return true;
    }
    let track = Track2::of(request);
    let on_track = track.as_ref().and_then(|track| track.pan());
    on_track.is_some_and(|on_track| on_track.expose().as_bytes() == pan)
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} {:?})", self.mti(), self.key)
    }
}
