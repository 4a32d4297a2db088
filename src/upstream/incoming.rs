//! A host's message, from bytes to what the core takes.

use bytes::Bytes;

use super::report::Report;
use crate::dialect::Dialect;
use crate::iso8583::{Message, field};
use crate::rules::{Answer, KeyFields};

/// What a host sends.
pub(super) enum Incoming {
    /// A request of its own.
    Request(Box<Message>),
    /// Anything else.
    Answer(Box<Answer>),
}

/// Reads one host message. `None`: dropped, counted and logged.
///
/// A reply that cannot be read to its end is taken all the same when its key and DE 39 lie before the trouble, unless
/// `strict`. What lies behind is not needed to find the client, and the client gets the bytes as they came.
pub(super) fn read(
    dialect: &Dialect,
    keys: &KeyFields,
    strict: bool,
    payload: Bytes,
    report: &mut Report,
) -> Option<Incoming> {
    let (answer, trouble) = match Answer::read_boxed(dialect, keys, payload) {
        Ok(read) => read,
        Err(error) => {
            report.unparseable(&error);
            return None;
        }
    };
    let mti = answer.mti();
    if mti.is_request() {
        return match trouble {
            Some(error) => {
                report.unparseable(&error);
                None
            }
            None => Some(Incoming::Request(Box::new(answer.message))),
        };
    }
    if let Some(trouble) = trouble {
        if strict {
            report.strict_refused(mti, &trouble);
            return None;
        }
        if answer.key().is_none() || !answer.message().has(field::RESPONSE_CODE) {
            report.unparseable(&trouble);
            return None;
        }
        report.troubled(mti, &trouble);
    }
    Some(Incoming::Answer(answer))
}
