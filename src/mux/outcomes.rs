//! How transactions ended, by MTI and response-code class. These counters only grow: one that is opened again is counted
//! as reopened, and once more at its next end.

use super::action::FinalState;
use crate::dialect::RequestClass;
use crate::iso8583::Mti;

/// Kinds of requests counted apart, ascending; all others are counted together, so that no client can make the table
/// grow.
const KINDS: [u16; 32] = [
    0x0100, 0x0101, 0x0120, 0x0121, 0x0200, 0x0201, 0x0220, 0x0221, 0x0400, 0x0401, 0x0420, 0x0421, 0x0600,
    0x0620, 0x0800, 0x0801, 0x0820, 0x1100, 0x1101, 0x1120, 0x1121, 0x1200, 0x1201, 0x1220, 0x1221, 0x1400,
    0x1401, 0x1420, 0x1421, 0x1604, 0x1804, 0x1820,
];
const STATES: [FinalState; 9] = [
    FinalState::Refused,
    FinalState::NeverSent,
    FinalState::Delivered,
    FinalState::DeclinedUndelivered,
    FinalState::Unanswered,
    FinalState::Reversed,
    FinalState::AdviceAccepted,
    FinalState::Parked,
    FinalState::Listed,
];
const CLASSES: [Option<RequestClass>; 4] =
    [None, Some(RequestClass::Approved), Some(RequestClass::Declined), Some(RequestClass::InDoubt)];

/// Ends and reopenings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    ended: Box<[[[u64; STATES.len()]; CLASSES.len()]; KINDS.len() + 1]>,
    reopened: [u64; STATES.len()],
}

/// One row: so many transactions of this kind, with this answer, ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The request's MTI; `None`: one that is not counted apart.
    pub mti: Option<Mti>,
    /// What the host said; `None`: nothing.
    pub class: Option<RequestClass>,
    /// How it ended.
    pub state: FinalState,
    /// How many.
    pub count: u64,
}

impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes {
            ended: Box::new([[[0; STATES.len()]; CLASSES.len()]; KINDS.len() + 1]),
            reopened: [0; STATES.len()],
        }
    }
}

impl Outcomes {
    pub(super) fn ended(&mut self, mti: Mti, class: Option<RequestClass>, state: FinalState) {
        let kind = KINDS.binary_search(&mti.bcd()).unwrap_or(KINDS.len());
        let class = match class {
            None => 0,
            Some(RequestClass::Approved) => 1,
            Some(RequestClass::Declined) => 2,
            Some(RequestClass::InDoubt) => 3,
        };
        self.ended[kind][class][state as usize] += 1;
    }

    pub(super) fn reopened(&mut self, state: FinalState) {
        self.reopened[state as usize] += 1;
    }

    /// All rows that are not zero.
    pub fn rows(&self) -> impl Iterator<Item = Outcome> {
        self.ended.iter().enumerate().flat_map(|(kind, classes)| {
            let mti = KINDS.get(kind).map(|bcd| Mti::new(*bcd));
            classes.iter().zip(CLASSES).flat_map(move |(states, class)| {
                let rows = states.iter().zip(STATES).filter(|(count, _)| **count > 0);
                rows.map(move |(count, state)| Outcome { mti, class, state, count: *count })
            })
        })
    }

    /// How many were opened again after they had ended so; rows that are not zero.
    pub fn reopenings(&self) -> impl Iterator<Item = (FinalState, u64)> {
        self.reopened
            .iter()
            .zip(STATES)
            .filter(|(count, _)| **count > 0)
            .map(|(count, state)| (state, *count))
    }

    /// What the design's sum comes to with these counters: ends less reopenings.
    pub fn balance(&self) -> u64 {
        let ended: u64 = self.ended.iter().flatten().flatten().sum();
        ended.saturating_sub(self.reopened.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_in_order_so_that_they_are_found() {
        assert!(KINDS.is_sorted());
        for (at, state) in STATES.into_iter().enumerate() {
            assert_eq!(state as usize, at);
        }
    }

    #[test]
    fn what_is_not_counted_apart_is_counted_together() {
        let mut outcomes = Outcomes::default();
        for mti in [0x0200, 0x0200, 0x2200, 0x9999] {
            outcomes.ended(Mti::new(mti), Some(RequestClass::Approved), FinalState::Delivered);
        }
        outcomes.ended(Mti::new(0x0200), None, FinalState::Refused);
        outcomes.reopened(FinalState::Delivered);
        let rows: Vec<_> =
            outcomes.rows().map(|row| (row.mti.map(Mti::bcd), row.class, row.state, row.count)).collect();
        let approved = Some(RequestClass::Approved);
        let expected = [
            (Some(0x0200), None, FinalState::Refused, 1),
            (Some(0x0200), approved, FinalState::Delivered, 2),
            (None, approved, FinalState::Delivered, 2),
        ];
        assert_eq!(rows, expected);
        assert_eq!(outcomes.reopenings().collect::<Vec<_>>(), [(FinalState::Delivered, 1)]);
        assert_eq!(outcomes.balance(), 4);
    }
}
