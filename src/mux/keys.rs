//! Who has which key: open transactions, and tombstones of those that ended lately.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::action::FinalState;
use super::arena::{Arena, Link, Linked, List};
use super::event::TxId;
use super::places::Places;
use super::transaction::Owed;
use crate::dialect::RequestClass;
use crate::iso8583::Mti;
use crate::rules::{MatchKey, Request};

/// A key's place in [`Keys`].
pub(super) type KeyIndex = u32;

/// Where a key stands, if it is known; good until a key is entered or forgotten.
#[derive(Clone, Copy)]
pub(super) struct KeyPlace {
    hash: u32,
    pub(super) index: Option<KeyIndex>,
}

/// A tombstone's name; nobody else ever gets it.
pub(super) type TombId = TxId;

/// List kind: the tombstones in the order in which they end.
const ORDER: usize = 0;

/// One key that is in use or was lately.
pub(super) struct KeySlot {
    pub(super) key: MatchKey,
    /// Of the key, so that it is hashed once.
    hash: u32,
    /// Open transactions with this key, oldest first.
    pub(super) live: SmallVec<[TxId; 2]>,
    /// Its tombstones, oldest first.
    tombs: SmallVec<[TombId; 1]>,
}

impl KeySlot {
    /// Whether no transaction has the key, or had it lately.
    fn is_unused(&self) -> bool {
        self.live.is_empty() && self.tombs.is_empty()
    }

    /// Whether more than one transaction has the key, or had it lately.
    pub(super) fn is_shared(&self) -> bool {
        self.live.len() + self.tombs.len() > 1
    }
}

/// What is remembered of an ended transaction for `lateWindow`.
pub(super) struct Tombstone {
    pub(super) id: TxId,
    pub(super) key: KeyIndex,
    pub(super) mti: Mti,
    /// What it brought to the secured amount of the statistics and was not taken back.
    pub(super) secured: i64,
    /// Where it was counted.
    pub(super) counted: Counted,
    pub(super) until: Duration,
    pub(super) kind: TombKind,
    pub(super) order: Link,
}

impl Linked<ORDER> for Tombstone {
    fn link(&mut self) -> &mut Link {
        &mut self.order
    }
}

/// Where an ended transaction was counted.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    /// Here, under this state.
    As(FinalState),
    /// By the process before, which left it in this row of the journal.
    Before {
        /// The row.
        row: i64,
    },
}

/// How it ended, and what a further answer can still mean.
pub(super) enum TombKind {
    /// Nothing that comes changes anything. With the answer, for a client's repeat, while there is room for it.
    Settled(Option<(Bytes, RequestClass)>),
    /// There was no answer and nothing is owed: an answer is late, and that is all.
    Unanswered,
    /// The host said no, or that it does not know: a later approval has to be made good. With the answer, for a client's
    /// repeat, while there is room for it.
    Unsettled(Arc<Request>, Option<(Bytes, RequestClass)>),
    /// Its reversal ended (accepted, or finally not found): a later approval wants one more repeat.
    Reversed(Box<(Request, Owed)>),
}

impl TombKind {
    /// The request, where it is still wanted.
    pub(super) fn request(&self) -> Option<&Request> {
        match self {
            TombKind::Settled(_) | TombKind::Unanswered => None,
            TombKind::Unsettled(request, _) => Some(request),
            TombKind::Reversed(ended) => Some(&ended.0),
        }
    }

    fn is_harmless(&self) -> bool {
        matches!(self, TombKind::Settled(_) | TombKind::Unanswered)
    }
}

/// All keys.
///
/// Tombstones are bounded. When there is no room, those that a further answer could not change make way, oldest first;
/// if all that are left matter, [`Keys::is_full`] says so, and new financial requests are refused rather than one of
/// them forgotten.
pub(super) struct Keys {
    slots: Vec<Option<KeySlot>>,
    free: Vec<u32>,
    by_key: Places,
    hasher: hashbrown::DefaultHashBuilder,
    tombs: Arena<Tombstone>,
    /// Two lists, so that each ends in order.
    harmless: List<ORDER>,
    mattering: List<ORDER>,
    tombs_max: usize,
    /// Tombstones that may hold an answer, oldest first.
    answers: VecDeque<TombId>,
}

/// How many answers are kept for clients' repeats.
const ANSWERS_MAX: usize = 16_384;

impl Keys {
    pub(super) fn new(tombs_max: usize) -> Keys {
        Keys {
            // Room for all of them at once: pages that nobody has written to cost nothing, and a table that grows is copied
            // while everybody waits.
            slots: Vec::with_capacity(tombs_max),
            free: Vec::new(),
            by_key: Places::new(),
            hasher: hashbrown::DefaultHashBuilder::default(),
            tombs: Arena::with_capacity(tombs_max),
            harmless: List::new(),
            mattering: List::new(),
            tombs_max,
            answers: VecDeque::new(),
        }
    }

    pub(super) fn find(&self, key: &MatchKey) -> Option<KeyIndex> {
        self.look_up(key).index
    }

    /// Where `key` stands, or will.
    #[inline(always)]
    pub(super) fn look_up(&self, key: &MatchKey) -> KeyPlace {
        let hash = self.hasher.hash_one(key) as u32;
        let is_it = |index| self.get(index).is_some_and(|slot| slot.key == *key);
        KeyPlace { hash, index: self.by_key.find(hash, is_it) }
    }

    /// The slot of `key`, made if it was not known.
    pub(super) fn enter(&mut self, key: &MatchKey) -> KeyIndex {
        self.enter_at(self.look_up(key), key)
    }

    /// The same for a key that was looked up just now.
    #[inline(always)]
    pub(super) fn enter_at(&mut self, place: KeyPlace, key: &MatchKey) -> KeyIndex {
        let KeyPlace { hash, index } = place;
        if let Some(index) = index {
            return index;
        }
        let slot = KeySlot { key: key.clone(), hash, live: SmallVec::new(), tombs: SmallVec::new() };
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[index as usize] = Some(slot);
        self.by_key.insert(hash, index);
        index
    }

    pub(super) fn get(&self, index: KeyIndex) -> Option<&KeySlot> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: KeyIndex) -> Option<&mut KeySlot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// `id` no longer has the key.
    pub(super) fn leave(&mut self, index: KeyIndex, id: TxId) {
        let Some(slot) = self.get_mut(index) else { return };
        match slot.live[..] {
            [only] if only == id => slot.live.clear(),
            _ => slot.live.retain(|live| *live != id),
        }
        if slot.is_unused() {
            self.forget_if_unused(index);
        }
    }

    pub(super) fn forget_if_unused(&mut self, index: KeyIndex) {
        let Some(slot) = self.get(index).filter(|slot| slot.is_unused()) else { return };
        self.by_key.remove(slot.hash, index);
        self.slots[index as usize] = None;
        self.free.push(index);
    }

    /// Remembers how `id` ended.
    #[inline(always)]
    pub(super) fn bury(&mut self, mut tomb: Tombstone) {
        let index = tomb.key;
        // A settled predecessor with the same key tells nothing that this one does not.
        let older = self.get(index).and_then(|slot| slot.tombs.last().copied());
        if let Some(older) =
            older.filter(|id| self.tombs.get(*id).is_some_and(|tomb| tomb.kind.is_harmless()))
        {
            let older = self.exhume(older);
            if tomb.mti.is_reversal() {
                // It stands for the sale as well, which it may not have undone.
                tomb.secured += older.map_or(0, |older| older.secured);
            }
        }
        if (self.count() >= self.tombs_max || self.tombs.room() == 0)
            && let Some(oldest) = self.harmless.front(&self.tombs)
            && let Some(forgotten) = self.exhume(oldest)
        {
            self.forget_if_unused(forgotten.key);
        }
        if self.tombs.room() == 0 {
            // Not while `tombs_max` and the open transactions together are less than an arena's four million places.
            debug_assert!(false, "more tombstones than places");
            return;
        }
        let has_answer = matches!(tomb.kind, TombKind::Settled(Some(_)) | TombKind::Unsettled(_, Some(_)));
        let is_harmless = tomb.kind.is_harmless();
        let id = self.tombs.insert(|_| tomb);
        match is_harmless {
            true => self.harmless.push_back(&mut self.tombs, id),
            false => self.mattering.push_back(&mut self.tombs, id),
        }
        if has_answer {
            self.keep_answer(id);
        }
        if let Some(slot) = self.get_mut(index) {
            slot.tombs.push(id);
        }
    }

    /// The oldest answer makes way for the one of `id` when there are too many.
    fn keep_answer(&mut self, id: TombId) {
        self.answers.push_back(id);
        if self.answers.len() > ANSWERS_MAX
            && let Some(oldest) = self.answers.pop_front()
            && let Some(tomb) = self.tombs.get_mut(oldest)
            && let TombKind::Settled(answer) | TombKind::Unsettled(_, answer) = &mut tomb.kind
        {
            *answer = None;
        }
    }

    /// Takes a tombstone out. Its key slot stays as long as the caller wants: see [`Keys::leave`].
    pub(super) fn exhume(&mut self, id: TombId) -> Option<Tombstone> {
        match self.tombs.get(id)?.kind.is_harmless() {
            true => self.harmless.remove(&mut self.tombs, id),
            false => self.mattering.remove(&mut self.tombs, id),
        }
        let tomb = self.tombs.remove(id)?;
        if let Some(slot) = self.get_mut(tomb.key) {
            slot.tombs.retain(|other| *other != id);
        }
        Some(tomb)
    }

    /// The tombstones of a key, newest first, with their names.
    pub(super) fn tombs(&self, index: KeyIndex) -> impl Iterator<Item = (TombId, &Tombstone)> {
        let ids = self.get(index).map_or(&[][..], |slot| &slot.tombs);
        ids.iter().rev().filter_map(|id| self.tombs.get(*id).map(|tomb| (*id, tomb)))
    }

    /// Takes back what ended transactions of a key and of these kinds had brought to the secured amount; `None`: there is
    /// none of them.
    pub(super) fn take_secured(&mut self, index: KeyIndex, kinds: impl Fn(Mti) -> bool) -> Option<i64> {
        let ids = self.get(index).map(|slot| slot.tombs.clone())?;
        let mut found = None;
        for id in ids {
            if let Some(tomb) = self.tombs.get_mut(id).filter(|tomb| kinds(tomb.mti)) {
                *found.get_or_insert(0) += std::mem::take(&mut tomb.secured);
            }
        }
        found
    }

    /// Forgets what ended transactions had brought to the secured amount.
    pub(super) fn forget_secured(&mut self) {
        self.tombs.iter_mut().for_each(|tomb| tomb.secured = 0);
    }

    /// When the next tombstone ends.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.fronts().map(|(_, until)| until).min()
    }

    /// The next tombstone of each list to end, and when.
    fn fronts(&self) -> impl Iterator<Item = (TombId, Duration)> {
        let fronts = [self.harmless.front(&self.tombs), self.mattering.front(&self.tombs)];
        fronts.into_iter().flatten().filter_map(|id| Some((id, self.tombs.get(id)?.until)))
    }

    /// Forgets up to `most` tombstones whose time is over. Whether more are left.
    pub(super) fn expire(&mut self, now: Duration, most: usize) -> bool {
        for _ in 0..most {
            let Some((id, _)) = self.fronts().find(|(_, until)| *until <= now) else { return false };
            if let Some(tomb) = self.exhume(id) {
                self.forget_if_unused(tomb.key);
            }
        }
        self.next_end().is_some_and(|until| until <= now)
    }

    /// How many tombstones there are.
    pub(super) fn count(&self) -> usize {
        self.harmless.len() + self.mattering.len()
    }

    /// How many of them must not be forgotten: each can come back as an open transaction.
    pub(super) fn mattering(&self) -> usize {
        self.mattering.len()
    }

    /// Whether every tombstone there is room for is one that must not be forgotten.
    pub(super) fn is_full(&self) -> bool {
        self.mattering.len() >= self.tombs_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_that_makes_way_takes_its_key_with_it() {
        let mut keys = Keys::new(2);
        for n in 0..100u64 {
            let key = keys.enter(&MatchKey(n.to_be_bytes().as_slice().into()));
            let (id, until) = (TxId(n), Duration::from_secs(600));
            let (counted, kind) = (Counted::As(FinalState::Delivered), TombKind::Settled(None));
            let (mti, order) = (Mti::new(0x0200), Link::LOOSE);
            keys.bury(Tombstone { id, key, mti, counted, until, kind, secured: 0, order });
            keys.leave(key, id);
        }
        assert_eq!(keys.count(), 2);
        assert_eq!(keys.by_key.len(), 2);
        assert!(keys.slots.len() <= 4, "{} places for two keys", keys.slots.len());
    }
}
