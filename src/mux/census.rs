//! What stands where right now: for gauges and for people to look at. It walks through all that is open, so it is asked
//! for now and then, never for each transaction.

use std::collections::BinaryHeap;
use std::time::Duration;

use super::core::{Mux, View};
use super::event::TxId;
use super::transaction::{OwedState, Phase, Transaction};

/// How many transactions stand where, and since when the oldest does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Waiting: for their turn, the journal or the link.
    pub waiting: u64,
    /// When the one that waits longest came (uptime).
    pub oldest_waiting: Option<Duration>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Answered, not confirmed as delivered.
    pub answered: u64,
    /// Reversals and advices that wait for their time, their terminal or the link.
    pub owed_waiting: u64,
    /// Reversals and advices sent and not answered.
    pub owed_sent: u64,
    /// When the transaction of the oldest owed one that is not parked came (uptime).
    pub oldest_owed: Option<Duration>,
    /// Parked ones.
    pub parked: u64,
    /// Those found at start that are not sent until a person says so.
    pub listed: u64,
}

impl Mux {
    /// Counts what is open or parked.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let older =
            |oldest: Option<Duration>, arrived| Some(oldest.map_or(arrived, |oldest| oldest.min(arrived)));
        for transaction in self.transactions.iter() {
            let arrived = transaction.arrived;
            match &transaction.phase {
                Phase::Queued | Phase::Committing | Phase::Ready => {
                    census.waiting += 1;
                    census.oldest_waiting = older(census.oldest_waiting, arrived);
                }
                Phase::InFlight => census.in_flight += 1,
                Phase::Answered(_) => census.answered += 1,
                Phase::Delivered(_) | Phase::Joined(_) => {}
                Phase::Owed(owed) => {
                    match owed.state {
                        OwedState::Waiting => census.owed_waiting += 1,
                        OwedState::InFlight => census.owed_sent += 1,
                        OwedState::Parked => census.parked += 1,
                        OwedState::Listed => census.listed += 1,
                    }
                    if matches!(owed.state, OwedState::Waiting | OwedState::InFlight) {
                        census.oldest_owed = older(census.oldest_owed, arrived);
                    }
                }
            }
        }
        census
    }

    /// The oldest `most` of what is open or parked, in the order of arrival, without what is delivered and only watched.
    pub fn oldest(&self, most: usize) -> Vec<View> {
        let mut oldest: BinaryHeap<TxId> = BinaryHeap::new();
        let open =
            self.transactions.iter().filter(|transaction| !matches!(transaction.phase, Phase::Delivered(_)));
        for transaction in open {
            if oldest.len() < most {
                oldest.push(transaction.id);
            } else if let Some(mut youngest) =
                oldest.peek_mut().filter(|youngest| **youngest > transaction.id)
            {
                *youngest = transaction.id;
            }
        }
        oldest.into_sorted_vec().into_iter().filter_map(|id| self.view(id)).collect()
    }

    /// One transaction as the mux sees it; `None`: it is neither open nor parked.
    pub fn view(&self, id: TxId) -> Option<View> {
        self.transactions.get(id).and_then(|transaction| self.view_of(transaction))
    }

    pub(super) fn view_of(&self, transaction: &Transaction) -> Option<View> {
        let slot = self.keys.get(transaction.key)?;
        Some(View {
            id: transaction.id,
            mti: transaction.request.mti(),
            key: slot.key.clone(),
            state: transaction.state_name(),
            arrived: transaction.arrived,
            attempts: transaction.owed().map_or(0, |owed| owed.attempts),
        })
    }
}
