//! Why a request of `/v1` has no answer: one name for each cause, with its HTTP status.

use crate::mux::{Failure, State, Status};

/// Why there is no answer. The names are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The request cannot be read.
    Malformed,
    /// Rules of the dialect are broken.
    Invalid,
    /// No API key.
    NoApiKey,
    /// An unknown API key.
    WrongApiKey,
    /// The key may not be used from there.
    NotFromHere,
    /// Too many wrong keys.
    TooManyFailures,
    /// No such page or transaction.
    NotFound,
    /// The page does not take this method.
    MethodNotAllowed,
    /// The body took too long to come.
    RequestTimeout,
    /// The body is too large.
    TooLarge,
    /// The body is not JSON.
    UnsupportedType,
    /// Never sent: there was no link until the deadline.
    NotSentLinkDown,
    /// Never sent: too many requests wait.
    NotSentQueueFull,
    /// Never sent: the deadline passed while it waited.
    NotSentExpired,
    /// Never sent: the journal takes nothing.
    NotSentJournalDown,
    /// Never sent: its terminal was held by a reversal until the deadline.
    TerminalHeld,
    /// Never sent: a reversal or advice with its key is open.
    KeyReserved,
    /// Never sent: the gateway is stopping.
    Draining,
    /// Sent, no reply by the deadline (or before the link was lost).
    SentNoReply,
    /// The host replied after the deadline.
    ReplyLate,
    /// The client was gone before it had its reply.
    ClientGone,
    /// The gateway was restarted before its end, or since: what its client was told is not known any more.
    Restarted,
    /// It is a repeat of a transaction that is being reversed.
    BeingReversed,
    /// It is a repeat of a transaction that was reversed.
    Reversed,
    /// A repeat of it took its place.
    Superseded,
    /// The idempotency key came with another body before.
    IdempotencyKeyReused,
    /// No more idempotency keys can be remembered.
    IdempotencyStoreFull,
}

impl Cause {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Cause; 27] = [
        Cause::Malformed,
        Cause::Invalid,
        Cause::NoApiKey,
        Cause::WrongApiKey,
        Cause::NotFromHere,
        Cause::TooManyFailures,
        Cause::NotFound,
        Cause::MethodNotAllowed,
        Cause::RequestTimeout,
        Cause::TooLarge,
        Cause::UnsupportedType,
        Cause::NotSentLinkDown,
        Cause::NotSentQueueFull,
        Cause::NotSentExpired,
        Cause::NotSentJournalDown,
        Cause::TerminalHeld,
        Cause::KeyReserved,
        Cause::Draining,
        Cause::SentNoReply,
        Cause::ReplyLate,
        Cause::ClientGone,
        Cause::Restarted,
        Cause::BeingReversed,
        Cause::Reversed,
        Cause::Superseded,
        Cause::IdempotencyKeyReused,
        Cause::IdempotencyStoreFull,
    ];

    /// Its name, the HTTP status of a problem with it, and what it says.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Cause::Malformed => ("malformed", 400, "The request cannot be read"),
            Cause::Invalid => ("invalid", 422, "The request breaks rules of the dialect"),
            Cause::NoApiKey => ("no_api_key", 401, "An API key is needed"),
            Cause::WrongApiKey => ("wrong_api_key", 401, "The API key is not known"),
            Cause::NotFromHere => ("not_from_here", 403, "The API key may not be used from this address"),
            Cause::TooManyFailures => ("too_many_failures", 429, "Too many wrong API keys from this address"),
            Cause::NotFound => ("not_found", 404, "There is nothing here"),
            Cause::MethodNotAllowed => ("method_not_allowed", 405, "The method is not taken here"),
            Cause::RequestTimeout => ("request_timeout", 408, "The body did not come in time"),
            Cause::TooLarge => ("too_large", 413, "The body is too large"),
            Cause::UnsupportedType => ("unsupported_type", 415, "The body must be application/json"),
            Cause::NotSentLinkDown => ("not_sent_link_down", 503, "Not sent: no link to the host"),
            Cause::NotSentQueueFull => ("not_sent_queue_full", 503, "Not sent: too many requests wait"),
            Cause::NotSentExpired => ("not_sent_expired", 503, "Not sent: its time was over while it waited"),
            Cause::NotSentJournalDown => {
                ("not_sent_journal_down", 503, "Not sent: the journal is not available")
            }
            Cause::TerminalHeld => ("terminal_held", 503, "Not sent: a reversal of its terminal came first"),
            Cause::KeyReserved => {
                ("key_reserved", 409, "Not sent: a reversal or advice with its key is open")
            }
            Cause::Draining => ("draining", 503, "Not sent: the gateway is stopping"),
            Cause::SentNoReply => ("sent_no_reply", 504, "Sent, and no reply came in time"),
            Cause::ReplyLate => ("reply_late", 504, "Sent, and the reply came too late"),
            Cause::ClientGone => ("client_gone", 409, "The client was gone before it had the reply"),
            Cause::Restarted => ("restarted", 409, "The gateway was restarted before its end, or since"),
            Cause::BeingReversed => {
                ("being_reversed", 409, "It repeats a transaction that is being reversed")
            }
            Cause::Reversed => ("reversed", 409, "It repeats a transaction that was reversed"),
            Cause::Superseded => ("superseded", 409, "The same request came again and took its place"),
            Cause::IdempotencyKeyReused => {
                ("idempotency_key_reused", 409, "The idempotency key came with another body before")
            }
            Cause::IdempotencyStoreFull => {
                ("idempotency_store_full", 503, "Not sent: no more idempotency keys can be remembered")
            }
        }
    }

    /// Its name: `sent_no_reply`.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status of a problem with it.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// What it says, in a sentence without a full stop.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// After how many seconds it makes sense to ask again; `None` where asking again does not help.
    pub const fn retry_after(self) -> Option<u64> {
        match self {
            Cause::NotSentQueueFull | Cause::NotSentExpired => Some(1),
            Cause::NotSentLinkDown | Cause::NotSentJournalDown | Cause::Draining => Some(5),
            Cause::TerminalHeld | Cause::IdempotencyStoreFull => Some(30),
            _ => None,
        }
    }

    /// Of a failure.
    pub fn of(failure: Failure) -> Cause {
        match failure {
            Failure::QueueFull | Failure::TableFull => Cause::NotSentQueueFull,
            Failure::Draining => Cause::Draining,
            Failure::KeyReserved => Cause::KeyReserved,
            Failure::JournalDown => Cause::NotSentJournalDown,
            Failure::Expired => Cause::NotSentExpired,
            Failure::TerminalHeld => Cause::TerminalHeld,
            Failure::LinkDown => Cause::NotSentLinkDown,
            Failure::TimedOut | Failure::LinkLost => Cause::SentNoReply,
            Failure::BeingReversed => Cause::BeingReversed,
            Failure::Reversed => Cause::Reversed,
            Failure::Superseded => Cause::Superseded,
            Failure::TooLate => Cause::ReplyLate,
            Failure::ClientGone => Cause::ClientGone,
            Failure::KeyReused => Cause::IdempotencyKeyReused,
            Failure::RecordsFull => Cause::IdempotencyStoreFull,
        }
    }

    /// Why the transaction with this status has no answer for its client; `None` while it still may get one, or has it.
    pub fn of_status(status: &Status) -> Option<Cause> {
        let failed = status.failure.map(Cause::of);
        match (status.state, failed) {
            (State::Queued | State::InFlight | State::Answered | State::Delivered, _) => None,
            (State::DeclinedUndelivered | State::AdviceAccepted, _) if status.answer.is_some() => None,
            (_, Some(Cause::SentNoReply)) if status.late => Some(Cause::ReplyLate),
            (_, None) if status.restarted => Some(Cause::Restarted),
            // A repeat took the place of its client, and was told nothing either.
            (_, Some(Cause::Superseded) | None) => Some(Cause::ClientGone),
            (_, failed) => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_what_was_not_sent_says_when_to_come_again() {
        let names: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert_eq!(cause.status() == 503, cause.retry_after().is_some(), "{}", cause.name());
        }
    }

    #[test]
    fn the_names_that_are_promised_are_there() {
        let names: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        for promised in "not_sent_link_down not_sent_queue_full not_sent_expired terminal_held key_reserved sent_no_reply \
            reply_late client_gone invalid draining"
            .split_whitespace()
        {
            assert!(names.contains(promised), "{promised}");
        }
    }
}
