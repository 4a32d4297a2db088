//! Counters.

/// Counters that always add up: `received + recovered = Σ ended + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests submitted.
    pub received: u64,
    /// Transactions taken over from the journal at start.
    pub recovered: u64,
    /// Ended, by [`FinalState`] in its order of declaration.
    pub ended: [u64; 9],
    /// Open now: queued, in flight, being delivered or being made good.
    pub open: u64,
    /// Of them: in flight.
    pub in_flight: u64,
    /// Terminals that have something to do.
    pub terminals_busy: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Reversals and advices owed and not parked.
    pub owed: u64,
    /// Answers after their deadline.
    pub late: u64,
    /// Host messages that matched nobody.
    pub unmatched: u64,
    /// Answers that came again.
    pub again: u64,
}

impl Tally {
    /// Whether every transaction is counted once: received and recovered are ended or open.
    pub fn adds_up(&self) -> bool {
        self.received + self.recovered == self.ended.iter().sum::<u64>() + self.open
    }
}
