//! Who watches what goes in and out, and knows the promises. It keeps books of its own and never asks the mux but for
//! where a transaction is.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::iso8583::{Message, Mti, field};
use socketqueue::mux::{Fact, FinalState, JournalOp, Stage, TxId};
use socketqueue::rules::{Answer, MakeGood, MatchKey, Request, Tid};

use super::world::{Amount, Amounts, ById, World, amount_of};

/// What was submitted.
#[derive(Clone)]
struct Sent {
    mti: Mti,
    tid: Option<Tid>,
    key: MatchKey,
    make_good: MakeGood,
    amount: Amount,
    deadline_of: u64,
}

/// One transaction of the mux.
struct Seen {
    sent: Sent,
    /// Its first bytes were pulled.
    pulled: bool,
    durable: bool,
    /// A session said what became of its answer.
    confirmed: bool,
    /// How often our reversal of it was pulled.
    reversals: u32,
}

/// A reversal or advice that is owed and not parked.
struct Owed {
    /// How long the link had been up, in all, when it was first sent.
    first_sent: Option<Duration>,
}

#[derive(Default)]
pub struct Watch {
    submitted: BTreeMap<u64, Sent>,
    seen: ById<Seen>,
    owed: ById<Owed>,
    refused: u64,
    /// Rows that are being taken over.
    rows: BTreeMap<i64, Sent>,
    /// Nobody knows whether its answer was delivered: a crash came before its end was synced.
    pub unknown_at_crash: Amounts,
    /// A crash came before it was synced that they are owed, or forgot that they had been declined.
    pub window: Amounts,
    /// Non-repeat financial requests that were pulled.
    sales_pulled: Amounts,
    /// Sales of which a client's repeat went out as a message of its own.
    pub repeated: Amounts,
    approvals: Amounts,
    declines: Amounts,
    /// Sales and advices that wait for a person.
    pub parked: Amounts,
    pub listed: Amounts,
    /// Advices that were accepted, and those that ended with their client knowing how.
    advices_in: Amounts,
    advices_out: Amounts,
    link_up_since: Option<Duration>,
    link_up_before: Duration,
    pub crashes: u64,
    pub needless_after_crash: Cell<u64>,
}

impl Watch {
    pub fn link(&mut self, now: Duration, up: bool) {
        self.link_up_before = self.link_up_time(now);
        self.link_up_since = up.then_some(now);
    }

    fn link_up_time(&self, now: Duration) -> Duration {
        self.link_up_before + self.link_up_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    pub fn submitted(&mut self, client: u64, request: &Request) {
        let sent = Sent {
            mti: request.mti(),
            tid: request.tid().cloned(),
            key: request.key().clone(),
            make_good: request.make_good(),
            amount: amount_of(request.message()),
            deadline_of: client,
        };
        self.submitted.insert(client, sent);
    }

    pub fn accepted(&mut self, id: TxId, client: u64) {
        let Some(sent) = self.submitted.get(&client) else { return };
        if sent.mti.is_advice() && !sent.mti.is_reversal() {
            self.advices_in.insert(sent.amount);
        }
        let (pulled, durable, confirmed) = (false, false, false);
        self.seen.entry(id).or_insert(Seen { sent: sent.clone(), pulled, durable, confirmed, reversals: 0 });
    }

    /// The process is gone, and all ids with it. What may have been delivered and is reversed now is the window that a
    /// crash leaves.
    pub fn process_is_gone(&mut self) {
        self.crashes += 1;
        // Of what was not durable yet its client knows that nobody answered for it.
        let lost = std::mem::take(&mut self.seen).into_values().filter(|seen| !seen.durable);
        self.advices_out.extend(lost.map(|seen| seen.sent.amount));
        self.owed.clear();
        self.refused = 0;
        self.rows.clear();
        // What the mux knew of answers may have been lost with it.
        // So may what it remembered of ended ones: an approval that follows a decline matches nothing then.
        self.window.append(&mut self.declines);
    }

    /// That it is owed was not synced when the process was killed, and its end before was.
    pub fn lost_at_crash(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get(&id) {
            self.window.insert(seen.sent.amount);
        }
    }

    pub fn recovering(&mut self, row: i64, request: &Request, stage: Stage) {
        let sent = Sent {
            mti: request.mti(),
            tid: request.tid().cloned(),
            key: request.key().clone(),
            make_good: request.make_good(),
            amount: amount_of(request.message()),
            deadline_of: u64::MAX,
        };
        if matches!(stage, Stage::Intent | Stage::AnsweredApproved | Stage::AnsweredInDoubt) {
            self.unknown_at_crash.insert(sent.amount);
        }
        self.rows.insert(row, sent);
    }

    pub fn recovered(&mut self, id: TxId, row: i64) {
        let Some(sent) = self.rows.remove(&row) else { return };
        let (pulled, durable, confirmed) = (true, true, true);
        self.seen.insert(id, Seen { sent, pulled, durable, confirmed, reversals: 0 });
    }

    pub fn durable(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.durable = true;
        }
    }

    pub fn confirmed(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.confirmed = true;
        }
    }

    /// Whether a reversal or advice of this amount is still owed.
    pub fn is_owed(&self, amount: Amount) -> bool {
        self.owed.keys().any(|id| self.seen.get(id).is_some_and(|seen| seen.sent.amount == amount))
    }

    /// Advices that were taken and neither refused later nor ended otherwise: the host must have them.
    pub fn advices_due(&self) -> BTreeSet<Amount> {
        self.advices_in.difference(&self.advices_out).copied().collect()
    }
}

impl World {
    /// An answer that is about to be handed to the mux.
    pub fn watch_answer(&mut self, answer: &Answer) {
        let is_sales = matches!(answer.mti().class(), 1 | 2) && answer.message().has(field::STAN);
        // Wrong answers have another STAN, none, another time or another type.
        let is_wrong =
            answer.mti().class() == 3 || answer.message().text(field::RRN).as_deref() == Some("000000099999");
        if !is_sales || is_wrong {
            return;
        }
        let amount = amount_of(answer.message());
        match answer.request_class() {
            RequestClass::Approved => self.watch.approvals.insert(amount),
            RequestClass::Declined => self.watch.declines.insert(amount),
            RequestClass::InDoubt => false,
        };
    }

    pub fn fact(&mut self, fact: Fact) {
        self.note(format_args!("fact: {fact:?}"));
        match fact {
            Fact::Refused { .. } => self.watch.refused += 1,
            Fact::Owed { id, .. } => {
                self.watch.owed.insert(id, Owed { first_sent: None });
            }
            Fact::Parked { id, .. } => {
                self.watch.owed.remove(&id);
                if let Some(seen) = self.watch.seen.get(&id) {
                    self.watch.parked.insert(seen.sent.amount);
                }
            }
            Fact::Listed { id, .. } => {
                if let Some(seen) = self.watch.seen.get(&id) {
                    self.watch.listed.insert(seen.sent.amount);
                }
            }
            Fact::Reopened { id, was } => {
                if let Some(mut seen) = self.watch.seen.remove(&was) {
                    seen.reversals = 0;
                    self.watch.seen.insert(id, seen);
                }
            }
            Fact::Ended { id, state, .. } => self.ended(id, state),
            _ => {}
        }
    }

    fn ended(&mut self, id: TxId, state: FinalState) {
        self.watch.owed.remove(&id);
        let Some(seen) = self.watch.seen.get(&id) else { return };
        let amount = seen.sent.amount;
        match state {
            FinalState::Listed => {
                self.watch.listed.insert(amount);
            }
            FinalState::NeverSent => {
                assert!(!seen.pulled, "never sent: {id} had been sent");
                self.watch.advices_out.insert(amount);
                self.given_again(id);
            }
            // The client was given what the host said of its advice, and knows.
            FinalState::Delivered => {
                self.watch.advices_out.insert(amount);
            }
            FinalState::AdviceAccepted => {
                let has = self.host.advices.contains(&amount) || seen.sent.mti.is_reversal();
                assert!(has, "advice: ended as accepted, the host has not got amount {amount}");
            }
            _ => {}
        }
    }

    /// An operation on its way to the journal: the end comes after what it is the end of.
    pub fn check_journaled(&mut self, op: &JournalOp) {
        if let JournalOp::End { id, state: FinalState::Delivered } = op
            && let Some(seen) = self.watch.seen.get(id)
        {
            assert!(seen.confirmed, "end before delivery: {id}");
        }
    }

    /// What is about to be written to the link.
    pub fn check_pulled(&mut self, id: Option<TxId>, message: &Message) {
        assert!(self.link_up, "no link: something was pulled");
        let Some(id) = id else { return };
        let Some(seen) = self.watch.seen.get(&id) else { panic!("unknown: {id} was pulled") };
        let is_ours = message.mti().is_reversal() && !seen.sent.mti.is_reversal();
        if is_ours {
            self.check_reversal(id);
        } else if seen.pulled {
            let carried_on = seen.sent.make_good == MakeGood::CarryOn && message.mti().is_repeat();
            assert!(carried_on, "at most once: {id} amount {} was written twice", seen.sent.amount);
        } else {
            self.check_first_sending(id);
        }
        let link_up_time = self.watch.link_up_time(self.now.uptime);
        if let Some(owed) = self.watch.owed.get_mut(&id) {
            owed.first_sent.get_or_insert(link_up_time);
        }
    }

    fn check_reversal(&mut self, id: TxId) {
        let Some(seen) = self.watch.seen.get_mut(&id) else { return };
        let amount = seen.sent.amount;
        seen.reversals += 1;
        assert_eq!(seen.sent.make_good, MakeGood::Reverse, "wrong kind: {} was reversed", seen.sent.mti);
        assert!(seen.pulled, "needless: amount {amount} was never sent, and is reversed");
        let most = 1 + self.settings.reversal_schedule.len() as u32;
        assert!(seen.reversals <= most, "bounds: a reversal was sent {} times", seen.reversals);
        if seen.reversals == 1 {
            // (Of a sale that its client repeated nobody here knows which of the two was declined.)
            let declined = self.watch.declines.contains(&amount)
                && !self.watch.approvals.contains(&amount)
                && !self.watch.repeated.contains(&amount);
            assert!(!declined, "needless: amount {amount} was known as declined, and is reversed");
        }
    }

    fn check_first_sending(&mut self, id: TxId) {
        let link_up_time = self.watch.link_up_time(self.now.uptime);
        let Some(seen) = self.watch.seen.get_mut(&id) else { return };
        seen.pulled = true;
        let sent = seen.sent.clone();
        if self.settings.journaled && sent.make_good != MakeGood::Nothing {
            assert!(seen.durable, "journal: {id} was sent before its intent was durable");
        }
        if sent.make_good == MakeGood::Reverse && sent.deadline_of != u64::MAX {
            let client = self.clients.get(sent.deadline_of);
            let enough = client.deadline.saturating_sub(self.now.uptime) >= self.settings.min_response_time;
            assert!(enough, "too late: {id} was sent with too little time left");
        }
        if sent.make_good == MakeGood::Reverse && !sent.mti.is_repeat() {
            let first = self.watch.sales_pulled.insert(sent.amount);
            assert!(first, "at most once: amount {} was written twice", sent.amount);
        } else if sent.mti.is_repeat() {
            self.watch.repeated.insert(sent.amount);
        }
        for (other, owed) in &self.watch.owed {
            let Some(of) = self.watch.seen.get(other).filter(|_| *other != id) else { continue };
            assert!(of.sent.key != sent.key, "reserved key: {id} was sent while {other} is open");
            if self.settings.lock_terminal && sent.tid == of.sent.tid && sent.tid.is_some() {
                let hold = self.settings.reversal_hold;
                let held = match owed.first_sent {
                    None => !hold.is_zero(),
                    Some(since) => link_up_time.saturating_sub(since) < hold,
                };
                assert!(!held, "overtaken: {id} went before {other} of its terminal");
            }
        }
        if self.settings.lock_terminal && sent.tid.is_some() {
            self.check_terminal(id, &sent);
        }
    }

    /// One outstanding at a time, in order of arrival.
    fn check_terminal(&self, id: TxId, sent: &Sent) {
        for view in self.mux.transactions() {
            let Some(other) = self.watch.seen.get(&view.id) else { continue };
            if view.id == id || other.sent.tid != sent.tid {
                continue;
            }
            let outstanding = other.pulled && matches!(view.state, "in flight" | "answered");
            assert!(!outstanding, "one at a time: {id} was sent while {} is {}", view.id, view.state);
            let waits = matches!(view.state, "queued" | "committing" | "ready");
            assert!(!(waits && view.id < id), "in order: {id} was sent before {}", view.id);
        }
    }

    /// After every step: each is counted once, and nothing is larger than it may be.
    pub fn check_figures(&mut self) {
        let tally = self.mux.tally();
        assert!(tally.adds_up(), "counting: {tally:?}");
        let (owed, seen) = (self.watch.owed.len() as u64, self.watch.refused);
        assert_eq!(tally.ended[FinalState::Refused as usize], seen, "counting: refused");
        assert_eq!(tally.owed, owed, "counting: owed");
        let set = &self.settings;
        let most_open = (set.saf_max + 2 * set.queue_max) as u64;
        assert!(tally.in_flight <= most_open, "bounds: {} in flight", tally.in_flight);
        assert!(
            tally.owed <= most_open + tally.ended[FinalState::Delivered as usize],
            "bounds: {} owed",
            owed
        );
        assert!(
            tally.tombstones <= (set.tombstones_max + set.saf_max + 2 * set.queue_max) as u64,
            "bounds: tombs"
        );
    }
}
