//! Who watches what goes in and out, and knows the promises. It keeps books of its own and never asks the mux but for
//! where a transaction is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::iso8583::{Message, Mti};
use socketqueue::mux::{Fact, Failure, FinalState, JournalOp, Stage, TxId, View};
use socketqueue::rules::{Answer, MakeGood, MatchKey, Request, Tid};

use super::world::{Amount, Amounts, ById, World, amount_of, whose};

/// What was submitted.
#[derive(Clone)]
pub struct Sent {
    mti: Mti,
    tid: Option<Tid>,
    key: MatchKey,
    make_good: MakeGood,
    pub amount: Amount,
    deadline_of: u64,
}

/// One transaction of the mux.
struct Seen {
    sent: Sent,
    /// Its first bytes were pulled.
    pulled: bool,
    durable: bool,
    /// Its intent is not in the journal, or nobody knows.
    not_journaled: bool,
    /// Its terminal does not wait for it: an advice whose key was reserved when its turn came.
    is_beside: bool,
    /// A session said what became of its answer.
    confirmed: bool,
    /// What was owed for it may have been sent, perhaps by another process.
    was_owed: bool,
    /// How often our reversal of it was pulled since it was owed.
    reversals: u32,
    /// What its client was told instead of an answer.
    failure: Option<Failure>,
}

/// A reversal or advice that is owed and not parked.
#[derive(Default)]
struct Owed {
    /// How long the link had been up, in all, when it was first sent: from then on its terminal waits for it.
    first_sent: Option<Duration>,
    /// It was sent since it is owed.
    is_tried: bool,
    /// How often something had been pulled when it came to be owed.
    pulls: u64,
}

#[derive(Default)]
pub struct Watch {
    submitted: BTreeMap<u64, Sent>,
    /// How often something was pulled.
    pub pulls: u64,
    seen: ById<Seen>,
    owed: ById<Owed>,
    refused: u64,
    /// Rows that are being taken over.
    rows: BTreeMap<i64, (Sent, bool)>,
    /// Delivered, or about to be, when a crash came before that was written down.
    pub unwritten: Amounts,
    /// Delivered on a connection that failed before it had acknowledged that.
    pub unacknowledged: Amounts,
    /// Over by what is written down; a crash came before it was written down that they were opened again.
    pub doubts_lost: Amounts,
    /// How many of each were reversed needlessly, or stayed approved.
    pub windows: [u64; 3],
    /// Non-repeat financial requests that were pulled.
    sales_pulled: Amounts,
    /// Sales of which a client's repeat went out as a message of its own.
    pub repeated: Amounts,
    approvals: Amounts,
    declines: Amounts,
    /// Listed for ever, or resolved by a person.
    pub seen_to: Amounts,
    pub parked: u64,
    /// Advices that were accepted, and those that ended with their client knowing how.
    advices_in: Amounts,
    advices_out: Amounts,
    link_up_since: Option<Duration>,
    link_up_before: Duration,
    /// Most transactions that were open or waited for a person at a time.
    most_open: u64,
    pub crashes: u64,
}

fn sent_of(request: &Request, deadline_of: u64) -> Sent {
    Sent {
        mti: request.mti(),
        tid: request.tid().cloned(),
        key: request.key().clone(),
        make_good: request.make_good(),
        amount: amount_of(request.message()),
        deadline_of,
    }
}

fn seen_of(sent: Sent, is_recovered: bool) -> Seen {
    let (pulled, durable, confirmed) = (is_recovered, is_recovered, is_recovered);
    Seen {
        sent,
        pulled,
        durable,
        not_journaled: false,
        is_beside: false,
        confirmed,
        was_owed: is_recovered,
        reversals: 0,
        failure: None,
    }
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
        self.submitted.insert(client, sent_of(request, client));
    }

    /// The process is gone, and all ids with it. `known_there`: whether the journal knows that this sale was declined.
    pub fn process_is_gone(&mut self, known_there: impl Fn(Amount) -> bool) {
        self.crashes += 1;
        // Of what was not durable yet its client knows that nobody answered for it.
        let lost = std::mem::take(&mut self.seen).into_values().filter(|seen| !seen.durable);
        self.advices_out.extend(lost.map(|seen| seen.sent.amount));
        self.owed.clear();
        self.refused = 0;
        self.rows.clear();
        self.declines.retain(|amount| known_there(*amount));
    }

    /// A row that is about to be taken over. `was_owed`: its reversal or advice may have been sent.
    pub fn recovering(&mut self, row: i64, request: &Request, was_owed: bool) {
        let sent = sent_of(request, u64::MAX);
        if sent.mti.is_repeat() {
            self.repeated.insert(sent.amount);
        }
        self.rows.insert(row, (sent, was_owed));
    }

    pub fn recovered(&mut self, id: TxId, row: i64) {
        let Some((sent, was_owed)) = self.rows.remove(&row) else { return };
        self.seen.insert(id, Seen { was_owed, ..seen_of(sent, true) });
    }

    /// One that has ended, and can be opened again.
    pub fn remembering(&mut self, id: TxId, request: &Request) {
        self.seen.insert(id, seen_of(sent_of(request, u64::MAX), true));
    }

    pub fn durable(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.durable = true;
        }
    }

    pub fn not_journaled(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.not_journaled = true;
        }
    }

    pub fn confirmed(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.confirmed = true;
        }
    }

    pub fn failed(&mut self, id: TxId, failure: Failure) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.failure = Some(failure);
        }
    }

    pub fn delivered_before_crash(&mut self, id: TxId) {
        if let Some(seen) = self.seen.get(&id) {
            self.unwritten.insert(seen.sent.amount);
        }
    }

    /// Whether everything that is owed was sent by this process.
    pub fn all_tried(&self) -> bool {
        self.owed.values().all(|owed| owed.is_tried)
    }

    pub fn doubt_lost(&mut self, amount: Amount) {
        self.doubts_lost.insert(amount);
    }

    /// Advices that were taken and neither refused later nor ended otherwise: the host must have them.
    pub fn advices_due(&self) -> BTreeSet<Amount> {
        self.advices_in.difference(&self.advices_out).copied().collect()
    }
}

impl World {
    /// The amounts of all that is owed, parked or listed.
    pub fn open_amounts(&self) -> Amounts {
        let waits = |view: &View| matches!(view.state, "owed" | "sent" | "parked" | "listed");
        let views = self.mux.transactions();
        let seen = views.iter().filter(|view| waits(view)).filter_map(|view| self.watch.seen.get(&view.id));
        seen.map(|seen| seen.sent.amount).collect()
    }

    /// An answer that is about to be handed to the mux.
    pub fn watch_answer(&mut self, answer: &Answer) {
        let Some(amount) = whose(answer.message()).filter(|_| matches!(answer.mti().class(), 1 | 2)) else {
            return;
        };
        match answer.request_class() {
            RequestClass::Approved => self.watch.approvals.insert(amount),
            // (Of two with the same key and time nobody can tell which was declined.)
            RequestClass::Declined if self.host.twins.contains(&amount) => false,
            RequestClass::Declined => self.watch.declines.insert(amount),
            RequestClass::InDoubt => false,
        };
    }

    pub fn check_accepted(&mut self, id: TxId, client: u64) {
        let Some(sent) = self.watch.submitted.get(&client).cloned() else { return };
        if self.watch.seen.contains_key(&id) {
            return;
        }
        if sent.mti.is_advice() && !sent.mti.is_reversal() {
            self.watch.advices_in.insert(sent.amount);
        }
        let joined = self.mux.view(id).is_none_or(|view| matches!(view.state, "joined" | "answered"));
        if sent.make_good != MakeGood::Nothing && !joined {
            let views = self.mux.transactions();
            let waiting = views.iter().filter(|view| matches!(view.state, "parked" | "listed")).count();
            let kept = self.watch.owed.len() + waiting;
            assert!(kept < self.settings.saf_max, "bounds: {id} was let in with {kept} to be made good");
        }
        self.watch.seen.insert(id, seen_of(sent, false));
    }

    pub fn fact(&mut self, fact: Fact) {
        self.note(format_args!("fact: {fact:?}"));
        match fact {
            Fact::Refused { .. } => self.watch.refused += 1,
            Fact::Owed { id, .. } => {
                let link_up_time = self.watch.link_up_time(self.now.uptime);
                let Some(seen) = self.watch.seen.get_mut(&id) else { panic!("unknown: {id} is owed") };
                seen.reversals = 0;
                // An advice that left by its own was sent then.
                let was_sent = seen.was_owed || (seen.pulled && seen.sent.make_good == MakeGood::CarryOn);
                let (first_sent, pulls) = (was_sent.then_some(link_up_time), self.watch.pulls);
                self.watch.owed.insert(id, Owed { first_sent, is_tried: false, pulls });
            }
            Fact::Parked { id, .. } => {
                self.watch.owed.remove(&id);
                self.watch.parked += 1;
            }
            // Whatever the host said: a person wants it sent.
            Fact::Retried { id, .. } => {
                if let Some(seen) = self.watch.seen.get(&id) {
                    self.watch.declines.remove(&seen.sent.amount);
                }
            }
            Fact::NotReversed { id, .. } | Fact::Resolved { id, .. } => {
                if let Some(seen) = self.watch.seen.get(&id) {
                    self.watch.seen_to.insert(seen.sent.amount);
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
        if seen.reversals > 0 {
            let done = matches!(state, FinalState::Reversed | FinalState::Parked);
            assert!(done, "forgotten: the reversal of amount {amount} was sent, and is over as {state:?}");
        }
        match state {
            FinalState::NeverSent => {
                assert!(!seen.pulled, "never sent: {id} had been sent");
                if seen.sent.make_good == MakeGood::CarryOn && !seen.sent.mti.is_repeat() {
                    let refused = matches!(seen.failure, Some(Failure::JournalDown | Failure::KeyReserved));
                    assert!(
                        refused,
                        "advice: {id} amount {amount} was taken, and given up: {:?}",
                        seen.failure
                    );
                }
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
    pub fn check_journaled(&self, op: &JournalOp) {
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
            owed.is_tried = true;
            if let Some(seen) = self.watch.seen.get_mut(&id) {
                seen.was_owed = true;
            }
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
        if seen.reversals == 1 && !seen.was_owed {
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
        seen.is_beside = self.watch.owed.get(&id).is_some_and(|owed| owed.pulls < self.watch.pulls);
        let (sent, is_beside) = (seen.sent.clone(), seen.is_beside);
        if self.settings.journaled && sent.make_good == MakeGood::Reverse {
            assert!(seen.durable, "journal: {id} was sent before its intent was durable");
        }
        if self.settings.journaled && sent.make_good == MakeGood::CarryOn {
            // Accepted by us and without its client it goes out even if the journal failed.
            assert!(
                seen.durable || seen.not_journaled,
                "journal: {id} was sent before its intent was durable"
            );
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
            // (An advice that was never sent waits for others as this one did.)
            let of = self.watch.seen.get(other).filter(|of| *other != id && of.pulled);
            let Some(of) = of else { continue };
            assert!(of.sent.key != sent.key, "reserved key: {id} was sent while {other} is open");
            let is_of_terminal = self.settings.lock_terminal && sent.tid == of.sent.tid && sent.tid.is_some();
            if is_of_terminal && !is_beside && !of.is_beside {
                let hold = self.settings.reversal_hold;
                let held = match owed.first_sent {
                    None => !hold.is_zero(),
                    Some(since) => link_up_time.saturating_sub(since) < hold,
                };
                assert!(!held, "overtaken: {id} went before {other} of its terminal");
            }
        }
        if self.settings.lock_terminal && sent.tid.is_some() && !is_beside {
            self.check_terminal(id, &sent);
        }
    }

    /// One outstanding at a time, in order of arrival.
    fn check_terminal(&self, id: TxId, sent: &Sent) {
        let views = self.mux.transactions();
        for view in &views {
            let Some(other) = self.watch.seen.get(&view.id) else { continue };
            if view.id == id || other.sent.tid != sent.tid {
                continue;
            }
            let outstanding = other.pulled && matches!(view.state, "in flight" | "answered");
            assert!(!outstanding, "one at a time: {id} was sent while {} is {}", view.id, view.state);
            let waits = matches!(view.state, "queued" | "committing" | "ready");
            assert!(!(waits && view.id < id), "in order: {id} was sent before {}", view.id);
            // An advice that is carried on keeps its place, too: it goes out when it comes to be owed, or waits for
            // another one with its key.
            let came_now = self.watch.owed.get(&view.id).is_some_and(|owed| owed.pulls == self.watch.pulls);
            let shares = |third: &View| third.id != view.id && third.key == view.key;
            let is_first = came_now && !views.iter().any(shares);
            let lost_place = view.state == "owed" && !other.pulled && is_first && view.id < id;
            assert!(!lost_place, "in order: {id} was sent before the advice {}", view.id);
        }
    }

    /// After every step: each is counted once, nothing is larger than it may be, and the journal was told all.
    pub fn check_figures(&mut self) {
        let tally = self.mux.tally();
        assert!(tally.adds_up(), "counting: {tally:?}");
        let by_kind = self.mux.outcomes().balance() + tally.open;
        assert_eq!(by_kind, tally.received + tally.recovered, "counting: by kind, {tally:?}");
        let (owed, refused) = (self.watch.owed.len() as u64, self.watch.refused);
        assert_eq!(tally.ended[FinalState::Refused as usize], refused, "counting: refused");
        assert_eq!(tally.owed, owed, "counting: owed");
        let views = self.mux.transactions();
        self.watch.most_open = self.watch.most_open.max(views.len() as u64);
        let set = &self.settings;
        let most_owed =
            (set.saf_max + 2 * set.queue_max) as u64 + tally.ended[FinalState::Delivered as usize];
        assert!(tally.owed <= most_owed, "bounds: {owed} owed");
        let most_tombs = set.tombstones_max as u64 + 2 * self.watch.most_open;
        assert!(tally.tombstones <= most_tombs, "bounds: {} tombstones", tally.tombstones);
        if set.journaled && self.drained.is_none() {
            self.check_journal(&views);
        }
    }

    /// The journal, if all that it was handed were synced, says just what the mux holds.
    fn check_journal(&self, views: &[View]) {
        let rows = &self.disk.promised;
        for view in views {
            let Some(seen) = self.watch.seen.get(&view.id) else { panic!("unknown: {} is there", view.id) };
            if seen.sent.make_good == MakeGood::Nothing || view.state == "joined" {
                continue;
            }
            let Some(row) = rows.row_of.get(&view.id).map(|row| &rows.rows[*row]) else {
                let is_waiting = matches!(view.state, "queued" | "answered");
                assert!(is_waiting || seen.not_journaled, "journal: it has no {}, {}", view.id, view.state);
                continue;
            };
            let is_told = match view.state {
                "queued" | "committing" | "ready" | "in flight" => row.stage == Stage::Intent,
                // A client's own reversal that joined ours on its turn is given the answer to ours.
                "answered" if seen.sent.make_good == MakeGood::CarryOn && row.stage == Stage::Intent => true,
                "answered" => matches!(
                    row.stage,
                    Stage::AnsweredApproved | Stage::AnsweredDeclined | Stage::AnsweredInDoubt
                ),
                "owed" | "sent" => row.stage == Stage::Owed,
                "parked" => row.stage == Stage::Parked,
                "listed" => row.stage == Stage::Listed,
                _ => true,
            };
            let is_told = is_told && (row.ended.is_some() == (view.state == "delivered"));
            assert!(
                is_told || seen.not_journaled,
                "journal: {} is {}, there {:?} {:?}",
                view.id,
                view.state,
                row.stage,
                row.ended
            );
        }
        for id in rows.row_of.keys() {
            let open = rows.open(*id).filter(|row| row.stage != Stage::Listed);
            assert!(
                open.is_none() || self.mux.view(*id).is_some(),
                "journal: {id} is open there, and is over"
            );
        }
    }
}
