//! Which response code says which failure, with `onReject: respond`.

use crate::dialect::RefusalCodes;
use crate::mux::Failure;

/// DE 39 for a failure.
pub(super) fn code(codes: &RefusalCodes, failure: Failure) -> &str {
    match failure {
        Failure::KeyReserved
        | Failure::BeingReversed
        | Failure::Reversed
        | Failure::Superseded
        | Failure::KeyReused => &codes.duplicate,
        Failure::Expired
        | Failure::TerminalHeld
        | Failure::LinkDown
        | Failure::TimedOut
        | Failure::LinkLost
        | Failure::ClientGone
        | Failure::TooLate => &codes.timeout,
        Failure::QueueFull
        | Failure::Draining
        | Failure::TableFull
        | Failure::JournalDown
        | Failure::RecordsFull => &codes.unavailable,
    }
}

/// The failure in words, for the log.
pub(super) fn reason(failure: Failure) -> &'static str {
    match failure {
        Failure::QueueFull => "queue full",
        Failure::Draining => "stopping",
        Failure::KeyReserved => "a reversal or advice with this key is open",
        Failure::TableFull => "a table is full",
        Failure::JournalDown => "the journal takes no intents",
        Failure::Expired => "deadline passed while it waited",
        Failure::TerminalHeld => "deadline passed while its terminal was held by a reversal",
        Failure::LinkDown => "no link until the deadline",
        Failure::TimedOut => "sent, no reply by the deadline",
        Failure::LinkLost => "sent, then the link was lost",
        Failure::BeingReversed => "repeat of a transaction that is being reversed",
        Failure::Reversed => "repeat of a transaction that was reversed",
        Failure::Superseded => "a repeat took its place",
        Failure::TooLate => "answered, not delivered by the deadline",
        Failure::KeyReused => "the idempotency key came with another body before",
        Failure::RecordsFull => "no room for another idempotency key",
        Failure::ClientGone => "the client left before anything was sent",
    }
}

/// Whether the gateway is overloaded or unwell, rather than the request or the host.
pub(super) fn is_overload(failure: Failure) -> bool {
    matches!(failure, Failure::QueueFull | Failure::TableFull | Failure::JournalDown | Failure::RecordsFull)
}
