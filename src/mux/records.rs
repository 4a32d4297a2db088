//! What is remembered of transactions that somebody may ask about: by their id, and by the idempotency key under which
//! they came.
//!
//! Bounded: at [`Settings::records_max`] a request with a new key is refused (one that is remembered for its id only is
//! taken and not remembered). What is open is never forgotten, what has ended is after `idempotencyTtl`.
//!
//! [`Settings::records_max`]: super::Settings::records_max

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;

use super::action::{Failure, FinalState};
use super::event::TxId;
use crate::dialect::RequestClass;

/// Wish to be remembered, given with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Digest of the idempotency key and its scope; `None`: remembered by id only.
    pub key: Option<[u8; 32]>,
    /// Digest of what was asked for: the same key with another body is a mistake of the client's.
    pub body: [u8; 32],
}

/// The truth about one transaction at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// What its client was told instead of an answer, if it was.
    pub failure: Option<Failure>,
    /// The host's answer. Never there once a reversal is owed or was made: the approval is void then.
    pub answer: Option<(Bytes, RequestClass)>,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// Whether the host has answered after the deadline.
    pub late: bool,
    /// Whether a process before this one had it: what that told its client, if anything, is not known.
    pub restarted: bool,
}

/// Where a transaction is, for those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Not sent yet.
    Queued,
    /// Sent, no answer yet.
    InFlight,
    /// Answered, being delivered.
    Answered,
    /// Answered and delivered.
    Delivered,
    /// Over, never sent.
    NeverSent,
    /// Declined, and the client did not get it.
    DeclinedUndelivered,
    /// No answer, nothing owed.
    Unanswered,
    /// A reversal is on its way.
    ReversalPending,
    /// The host has accepted its reversal.
    Reversed,
    /// An advice is being carried on.
    AdvicePending,
    /// The host has accepted the advice.
    AdviceAccepted,
    /// Out of tries: waits for a person.
    Parked,
    /// Owed, and nobody sends it (`noAutoReversal`).
    Listed,
}

impl From<FinalState> for State {
    fn from(state: FinalState) -> State {
        match state {
            FinalState::Refused | FinalState::NeverSent => State::NeverSent,
            FinalState::Delivered => State::Delivered,
            FinalState::DeclinedUndelivered => State::DeclinedUndelivered,
            FinalState::Unanswered => State::Unanswered,
            FinalState::Reversed => State::Reversed,
            FinalState::AdviceAccepted => State::AdviceAccepted,
            FinalState::Parked => State::Parked,
            FinalState::Listed => State::Listed,
        }
    }
}

/// What [`Records`] know of an idempotency key.
pub(super) enum Known {
    New,
    /// No room for a new key.
    Full,
    /// The key came with another body.
    OtherBody,
    Same(TxId),
}

struct Kept {
    record: Record,
    /// Its id now, if it was opened again.
    current: TxId,
    /// How it ended; `None` while it is open.
    ended: Option<Status>,
    /// When its time is over, by its last end.
    until: Duration,
}

/// All that is remembered.
pub(super) struct Records {
    by_key: HashMap<[u8; 32], TxId>,
    by_id: HashMap<TxId, Kept>,
    /// The id under which one that was opened again is remembered, by its id now.
    renamed: HashMap<TxId, TxId>,
    /// Ended ones, in the order in which their time is over. One that was opened again and ended stands in it twice.
    ending: VecDeque<(Duration, TxId)>,
    max: usize,
    ttl: Duration,
}

impl Records {
    pub(super) fn new(max: usize, ttl: Duration) -> Records {
        Records {
            by_key: HashMap::new(),
            by_id: HashMap::new(),
            renamed: HashMap::new(),
            ending: VecDeque::new(),
            max,
            ttl,
        }
    }

    pub(super) fn known(&self, record: &Record) -> Known {
        let Some(key) = record.key else { return Known::New };
        match self.by_key.get(&key).and_then(|id| Some((*id, self.by_id.get(id)?))) {
            Some((id, kept)) if kept.record.body == record.body => Known::Same(id),
            Some(_) => Known::OtherBody,
            None if self.by_id.len() >= self.max => Known::Full,
            None => Known::New,
        }
    }

    /// Remembers `id` from now on. Whether there was room.
    pub(super) fn keep(&mut self, id: TxId, record: Record) -> bool {
        if self.by_id.len() >= self.max {
            return false;
        }
        if let Some(key) = record.key {
            self.by_key.insert(key, id);
        }
        self.by_id.insert(id, Kept { record, current: id, ended: None, until: Duration::ZERO });
        true
    }

    /// Under what `id` is remembered.
    pub(super) fn record_of(&self, id: TxId) -> Option<Record> {
        let first = self.renamed.get(&id).copied().unwrap_or(id);
        self.by_id.get(&first).map(|kept| kept.record)
    }

    /// Remembers one that a journal had open: those who ask know the id that it had (`was`). There is always room: what
    /// was let in once must not be sent again.
    pub(super) fn adopt(&mut self, id: TxId, was: TxId, record: Record) {
        if let Some(key) = record.key {
            self.by_key.insert(key, was);
        }
        self.by_id.insert(was, Kept { record, current: id, ended: None, until: Duration::ZERO });
        self.renamed.insert(id, was);
    }

    /// Remembers one that ended in a process before, if its time is not over.
    pub(super) fn remember(
        &mut self,
        now: Duration,
        was: TxId,
        record: Record,
        status: Status,
        ended_ago: Duration,
    ) {
        let left = self.ttl.saturating_sub(ended_ago);
        if left.is_zero() {
            return;
        }
        if let Some(key) = record.key {
            self.by_key.insert(key, was);
        }
        let until = now + left;
        self.by_id.insert(was, Kept { record, current: was, ended: Some(status), until });
        self.ending.push_back((until, was));
    }

    /// What is left of the answer of one that ended in a process before, where an answer is to be shown.
    pub(super) fn remember_answer(&mut self, was: TxId, answer: Bytes, class: RequestClass) {
        let Some(status) = self.by_id.get_mut(&was).and_then(|kept| kept.ended.as_mut()) else { return };
        if matches!(status.state, State::Delivered | State::DeclinedUndelivered | State::AdviceAccepted) {
            status.answer = Some((answer, class));
        }
    }

    /// The id that `id` has now, and how it ended if it has.
    pub(super) fn get(&self, id: TxId) -> Option<(TxId, Option<&Status>)> {
        self.by_id.get(&id).map(|kept| (kept.current, kept.ended.as_ref()))
    }

    pub(super) fn find(&self, key: &[u8; 32]) -> Option<TxId> {
        self.by_key.get(key).copied()
    }

    /// The host has answered one that has ended.
    pub(super) fn late(&mut self, id: TxId) {
        let id = self.renamed.get(&id).copied().unwrap_or(id);
        if let Some(status) = self.by_id.get_mut(&id).and_then(|kept| kept.ended.as_mut()) {
            status.late = true;
        }
    }

    pub(super) fn ended(&mut self, now: Duration, id: TxId, status: Status) {
        let id = self.renamed.get(&id).copied().unwrap_or(id);
        if let Some(kept) = self.by_id.get_mut(&id) {
            kept.ended = Some(status);
            kept.until = now + self.ttl;
            self.ending.push_back((kept.until, id));
        }
    }

    /// `was` had ended and is open again as `id`. Whether it is remembered.
    pub(super) fn reopened(&mut self, id: TxId, was: TxId) -> bool {
        let first = self.renamed.remove(&was).unwrap_or(was);
        let Some(kept) = self.by_id.get_mut(&first) else { return false };
        kept.ended = None;
        kept.current = id;
        if id != first {
            self.renamed.insert(id, first);
        }
        true
    }

    pub(super) fn next_end(&self) -> Option<Duration> {
        self.ending.front().map(|(until, _)| *until)
    }

    /// Forgets up to `most` whose time is over.
    pub(super) fn expire(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            let Some((until, id)) = self.ending.front().copied().filter(|(until, _)| *until <= now) else {
                return;
            };
            self.ending.pop_front();
            // Opened again meanwhile: its last end counts.
            if self.by_id.get(&id).is_none_or(|kept| kept.ended.is_none() || kept.until > until) {
                continue;
            }
            if let Some(kept) = self.by_id.remove(&id) {
                self.renamed.remove(&kept.current);
                if let Some(key) = kept.record.key {
                    self.by_key.remove(&key);
                }
            }
        }
    }
}
