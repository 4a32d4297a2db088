//! Counters of what the core tells, by cause. They only grow.

use crate::dialect::ReversalClass;
use crate::mux::{Doubt, Fact, Failure, Unmatched};

/// How often each cause came. Causes are few, and known by their types.
pub type ByCause<T> = Vec<(T, u64)>;

/// What happened on one upstream, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose client got no answer, refused ones included.
    pub failures: ByCause<Failure>,
    /// Host messages that found nobody.
    pub unmatched: ByCause<Unmatched>,
    /// Transactions to be made good.
    pub owed: ByCause<Doubt>,
    /// Reversals and advices answered.
    pub reversals_answered: ByCause<ReversalClass>,
    /// Reversals and repeated advices sent, repeats included.
    pub reversals_sent: u64,
    /// Sendings of them that were not answered in time.
    pub reversals_unanswered: u64,
    /// Reversals and advices parked.
    pub reversals_parked: u64,
    /// Reversals not needed any more: a decline came before they were sent.
    pub reversals_cancelled: u64,
    /// Transactions approved after they had been declined.
    pub approved_after_decline: u64,
}

impl Counts {
    pub(super) fn failure(&mut self, failure: Failure) {
        count(&mut self.failures, failure);
    }

    pub(super) fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Unmatched { why, .. } => count(&mut self.unmatched, *why),
            Fact::Owed { why, .. } => count(&mut self.owed, *why),
            Fact::ReversalAnswered { class, .. } => count(&mut self.reversals_answered, *class),
            Fact::ReversalSent { .. } => self.reversals_sent += 1,
            Fact::ReversalUnanswered { .. } => self.reversals_unanswered += 1,
            Fact::Parked { .. } => self.reversals_parked += 1,
            Fact::ReversalCancelled { .. } => self.reversals_cancelled += 1,
            Fact::ApprovedAfterDecline { .. } => self.approved_after_decline += 1,
            Fact::Ended { .. }
            | Fact::Refused { .. }
            | Fact::Superseded { .. }
            | Fact::Reopened { .. }
            | Fact::Recovered { .. }
            | Fact::NotRecovered { .. }
            | Fact::Listed { .. }
            | Fact::Retried { .. }
            | Fact::Resolved { .. }
            | Fact::NotReversed { .. }
            | Fact::Late { .. }
            | Fact::OwedLate { .. }
            | Fact::Again { .. }
            | Fact::ClientGone { .. } => {}
        }
    }
}

fn count<T: PartialEq>(counters: &mut ByCause<T>, cause: T) {
    match counters.iter().position(|(other, _)| *other == cause) {
        Some(at) => counters[at].1 += 1,
        None => counters.push((cause, 1)),
    }
}
