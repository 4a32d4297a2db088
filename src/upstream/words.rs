//! One word for each outcome: the same in logs, metrics and `/v1/state`.

use crate::dialect::{RequestClass, ReversalClass};
use crate::mux::{Doubt, Failure, FinalState, Stage, Unmatched, Withheld};

/// How a transaction ended.
pub fn state(state: FinalState) -> &'static str {
    match state {
        FinalState::Refused => "refused",
        FinalState::NeverSent => "never_sent",
        FinalState::Delivered => "delivered",
        FinalState::DeclinedUndelivered => "declined_undelivered",
        FinalState::Unanswered => "unanswered",
        FinalState::Reversed => "reversed",
        FinalState::AdviceAccepted => "advice_accepted",
        FinalState::Parked => "parked",
        FinalState::Listed => "listed",
    }
}

/// Why a client gets no answer.
pub fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::QueueFull => "queue_full",
        Failure::Draining => "draining",
        Failure::KeyReserved => "key_reserved",
        Failure::TableFull => "table_full",
        Failure::JournalDown => "journal_down",
        Failure::Expired => "expired",
        Failure::TerminalHeld => "terminal_held",
        Failure::LinkDown => "link_down",
        Failure::TimedOut => "timed_out",
        Failure::LinkLost => "link_lost",
        Failure::BeingReversed => "being_reversed",
        Failure::Reversed => "reversed",
        Failure::Superseded => "superseded",
        Failure::TooLate => "too_late",
        Failure::ClientGone => "client_gone",
        Failure::KeyReused => "key_reused",
        Failure::RecordsFull => "records_full",
    }
}

/// What the host said of a request.
pub fn class(class: RequestClass) -> &'static str {
    match class {
        RequestClass::Approved => "approved",
        RequestClass::Declined => "declined",
        RequestClass::InDoubt => "in_doubt",
    }
}

/// What the host said of a reversal or advice.
pub fn reversal_class(class: ReversalClass) -> &'static str {
    match class {
        ReversalClass::Accepted => "accepted",
        ReversalClass::NotFound => "not_found",
        ReversalClass::Retry => "retry",
        ReversalClass::Reject => "reject",
    }
}

/// Why something is to be made good.
pub fn doubt(why: Doubt) -> &'static str {
    match why {
        Doubt::NoReply => "no_reply",
        Doubt::LinkLost => "link_lost",
        Doubt::ClientGone => "client_gone",
        Doubt::Undelivered => "undelivered",
        Doubt::ApprovedAfterDecline => "approved_after_decline",
        Doubt::ApprovedAfterReversal => "approved_after_reversal",
        Doubt::Stopped => "stopped",
        Doubt::Ambiguous => "ambiguous",
        Doubt::Advice => "advice",
        Doubt::Restarted => "restarted",
        Doubt::Operator => "operator",
    }
}

/// Why one found at start is listed, not sent.
pub fn withheld(why: Withheld) -> &'static str {
    match why {
        Withheld::TooOld => "too_old",
        Withheld::FromTheFuture => "from_the_future",
        Withheld::OtherUpstream => "other_upstream",
        Withheld::OnRestart => "on_restart",
        Withheld::NoAutoReversal => "no_auto_reversal",
        Withheld::Before => "before",
    }
}

/// How far one found at start had come.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Intent => "intent",
        Stage::AnsweredApproved => "answered_approved",
        Stage::AnsweredInDoubt => "answered_in_doubt",
        Stage::AnsweredDeclined => "answered_declined",
        Stage::Owed => "owed",
        Stage::Parked => "parked",
        Stage::Listed => "listed",
        Stage::Ordered => "ordered",
    }
}

/// Why a host's message found nobody.
pub fn unmatched(why: Unmatched) -> &'static str {
    match why {
        Unmatched::NoKey => "no_key",
        Unmatched::UnknownKey => "unknown_key",
        Unmatched::WrongMti => "wrong_mti",
        Unmatched::Disagrees => "disagrees",
        Unmatched::Ambiguous => "ambiguous",
        Unmatched::HostRequest => "host_request",
    }
}
