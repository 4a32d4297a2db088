//! Numbers that stand in the file. They are never given another meaning.

use crate::dialect::RequestClass;
use crate::iso8583::mask::{self, MaskStyle};
use crate::mux::{self, Decision, FinalState};

/// Decisions of persons about a row, as notes have them: it is sent again; the same with force; it is over.
pub(super) const RETRIED: &str = "retried";
pub(super) const FORCED: &str = "forced";
pub(super) const RESOLVED: &str = "resolved";

/// Operator and reason as they are kept: what a person typed, without card numbers.
pub(super) fn shown(decision: &Decision) -> (String, String) {
    let shown = |text: &str| mask::free_text(text, MaskStyle::default());
    (shown(&decision.operator), shown(&decision.reason))
}

/// How far a transaction in the journal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// It may have been sent.
    Intent,
    /// The host approved it; whether the client knows is open.
    AnsweredApproved,
    /// The host's answer does not say what it did.
    AnsweredInDoubt,
    /// The host declined it.
    AnsweredDeclined,
    /// A reversal or advice is owed for it.
    Owed,
    /// Out of tries: waits for a person.
    Parked,
    /// Owed, and not sent by us: waits for a person.
    Listed,
    /// Over.
    Closed,
}

impl Stage {
    /// Every stage, in the order of its number.
    pub const ALL: [Stage; 8] = [
        Stage::Intent,
        Stage::AnsweredApproved,
        Stage::AnsweredInDoubt,
        Stage::AnsweredDeclined,
        Stage::Owed,
        Stage::Parked,
        Stage::Listed,
        Stage::Closed,
    ];

    /// Its number in the file.
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// The stage of this number.
    pub fn of_number(number: i64) -> Option<Stage> {
        usize::try_from(number).ok().and_then(|at| Stage::ALL.get(at)).copied()
    }

    /// What it is called in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Stage::Intent => "intent",
            Stage::AnsweredApproved => "approved",
            Stage::AnsweredInDoubt => "in-doubt",
            Stage::AnsweredDeclined => "declined",
            Stage::Owed => "owed",
            Stage::Parked => "parked",
            Stage::Listed => "listed",
            Stage::Closed => "closed",
        }
    }

    pub(super) const fn answered(class: RequestClass) -> Stage {
        match class {
            RequestClass::Approved => Stage::AnsweredApproved,
            RequestClass::Declined => Stage::AnsweredDeclined,
            RequestClass::InDoubt => Stage::AnsweredInDoubt,
        }
    }

    /// The same for the core, which knows nothing of what is over.
    pub(super) const fn open(self) -> Option<mux::Stage> {
        Some(match self {
            Stage::Intent => mux::Stage::Intent,
            Stage::AnsweredApproved => mux::Stage::AnsweredApproved,
            Stage::AnsweredInDoubt => mux::Stage::AnsweredInDoubt,
            Stage::AnsweredDeclined => mux::Stage::AnsweredDeclined,
            Stage::Owed => mux::Stage::Owed,
            Stage::Parked => mux::Stage::Parked,
            Stage::Listed => mux::Stage::Listed,
            Stage::Closed => return None,
        })
    }

    /// Where an end leads. What waits for a person stays open.
    pub(super) const fn ended(state: FinalState) -> Stage {
        match state {
            FinalState::Parked => Stage::Parked,
            FinalState::Listed => Stage::Listed,
            _ => Stage::Closed,
        }
    }
}

/// Every final state with its number in the file.
const OUTCOMES: [(FinalState, i64); 9] = [
    (FinalState::Refused, 0),
    (FinalState::NeverSent, 1),
    (FinalState::Delivered, 2),
    (FinalState::DeclinedUndelivered, 3),
    (FinalState::Unanswered, 4),
    (FinalState::Reversed, 5),
    (FinalState::AdviceAccepted, 6),
    (FinalState::Parked, 7),
    (FinalState::Listed, 8),
];

/// The number of a final state in the file.
pub(super) fn outcome_number(state: FinalState) -> Option<i64> {
    OUTCOMES.iter().find(|(other, _)| *other == state).map(|(_, number)| *number)
}

/// The final state of this number.
pub(super) fn outcome_of_number(number: i64) -> Option<FinalState> {
    OUTCOMES.iter().find(|(_, other)| *other == number).map(|(state, _)| *state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_the_file_are_these_for_ever() {
        // Written down by hand: whoever changes the order of the enum changes the meaning of every journal there is.
        let words = ["intent", "approved", "in-doubt", "declined", "owed", "parked", "listed", "closed"];
        for (number, word) in words.into_iter().enumerate() {
            let stage = Stage::of_number(number as i64).unwrap();
            assert_eq!((stage.word(), stage.number()), (word, number as i64));
        }
        assert_eq!(Stage::of_number(8), None);
        assert_eq!(Stage::of_number(-1), None);
        assert_eq!(outcome_number(FinalState::Reversed), Some(5));
        assert_eq!(outcome_of_number(8), Some(FinalState::Listed));
    }
}
