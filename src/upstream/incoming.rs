//! A host's message, from bytes to what the core takes.

use super::report::Report;
use crate::dialect::Dialect;
use crate::iso8583::{Message, field};
use crate::rules::{Answer, KeyFields};

/// What a host sends.
pub(super) enum Incoming<'a> {
    /// A request of its own.
    Request(Box<Message>),
    /// Anything else.
    Answer(&'a Answer),
}

/// Reads one host message, of which nothing was read yet. `None`: dropped, counted and logged.
///
/// A reply that cannot be read to its end is taken all the same when its key and DE 39 lie before the trouble, unless
/// `strict`. What lies behind is not needed to find the client, and the client gets the bytes as they came.
pub(super) fn read<'a>(
    dialect: &Dialect,
    keys: &KeyFields,
    strict: bool,
    answer: &'a mut Answer,
    report: &mut Report,
) -> Option<Incoming<'a>> {
    let trouble = match answer.read_all(dialect, keys) {
        Ok(trouble) => trouble,
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
            None => Some(Incoming::Request(Box::new(answer.message().clone()))),
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
