//! Coming to rest: what is in flight gets its answer, what is owed a try, and at the end the rest is written down.

use std::time::Duration;

use super::action::{Action, Doubt, Failure};
use super::core::Mux;
use super::event::TxId;
use super::mutant::Mutant;
use super::transaction::Phase;
use crate::time::Now;

impl Mux {
    pub(super) fn drain(&mut self, now: Now, deadline: Duration) {
        if self.draining.is_none() {
            self.draining = Some(deadline);
            self.drain_step(now);
        }
    }

    /// When the drain wants attention: when too little time is left to send anything more, and at its end.
    pub(super) fn next_drain_step(&self) -> Option<Duration> {
        let deadline = self.draining.filter(|_| !self.drained)?;
        let last_sending = self.last_sending(deadline);
        Some(if self.waiting_refused { deadline } else { last_sending })
    }

    fn last_sending(&self, deadline: Duration) -> Duration {
        // A request is sent as long as at least `minResponseTime` is left, so the refusal is one tick later.
        deadline.saturating_sub(self.settings.min_response_time) + Duration::from_nanos(1)
    }

    pub(super) fn drain_step(&mut self, now: Now) {
        let Some(deadline) = self.draining.filter(|_| !self.drained) else { return };
        if !self.waiting_refused && now.uptime >= self.last_sending(deadline) {
            self.waiting_refused = true;
            for id in self.open_ids(waits) {
                // (Ending one lets its terminal go on: the next one may be over by now, or be owed.)
                if self.is_still(id, waits) {
                    self.leave_waiting(now, id, Failure::Draining);
                }
            }
        }
        if now.uptime >= deadline {
            self.out_of_time(now);
        }
    }

    /// The drain time is over: what is in flight is in doubt, what waits is not sent, what is owed stays owed.
    fn out_of_time(&mut self, now: Now) {
        self.give_up_deliveries(now);
        // Somebody was given an answer, lost it, and who asked again has not said that it has it.
        for id in self.open_ids(|phase| matches!(phase, Phase::Delivered(_))) {
            if let Some(transaction) = self.transactions.get_mut(id).filter(|t| t.is_unsure) {
                transaction.holders = 1;
                self.delivery_failed(now, id, false);
            }
        }
        for id in self.open_ids(|phase| matches!(phase, Phase::InFlight)) {
            self.fail(id, Failure::TimedOut);
            self.make_good(now, id, Doubt::Stopped);
        }
        // Advices without a client still wait for their turn: nobody else carries them on.
        for id in self.open_ids(waits) {
            if self.is_still(id, waits) {
                self.fail(id, Failure::Draining);
                self.make_good(now, id, Doubt::Stopped);
            }
        }
        // A client's own reversal that waited has joined ours, if that came to be owed just now.
        self.give_up_deliveries(now);
        self.come_to_rest();
    }

    fn give_up_deliveries(&mut self, now: Now) {
        for id in self.open_ids(|phase| matches!(phase, Phase::Answered(_) | Phase::Joined(_))) {
            self.deadline_passed(now, id);
        }
    }

    fn come_to_rest(&mut self) {
        self.drained = true;
        let owed = self.tally.owed as usize;
        self.actions.push_back(Action::Drained { owed });
    }

    #[inline]
    pub(super) fn look_if_drained(&mut self, now: Now) {
        if self.draining.is_some() {
            self.rest_if_drained(now);
        }
    }

    #[inline(never)]
    fn rest_if_drained(&mut self, now: Now) {
        if self.drained || self.held > 0 || now.uptime == Duration::MAX {
            return;
        }
        // Every reversal gets a try: one that was sent by this process and answered or timed out has had it.
        let tried = self.untried == 0 || self.mutant(Mutant::DrainedTooEarly);
        if tried && self.unsure == 0 && self.in_flight.is_empty() {
            self.come_to_rest();
        }
    }

    fn is_still(&self, id: TxId, wanted: impl Fn(&Phase) -> bool) -> bool {
        self.transactions.get(id).is_some_and(|transaction| wanted(&transaction.phase))
    }

    fn open_ids(&self, wanted: impl Fn(&Phase) -> bool) -> Vec<TxId> {
        let mut ids: Vec<TxId> =
            self.transactions.iter().filter(|t| wanted(&t.phase)).map(|t| t.id).collect();
        ids.sort();
        ids
    }
}

/// Not sent yet.
fn waits(phase: &Phase) -> bool {
    matches!(phase, Phase::Queued | Phase::Committing | Phase::Ready)
}
