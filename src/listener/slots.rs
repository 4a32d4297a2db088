//! The open transactions of one session.

use std::time::Duration;

use smallvec::SmallVec;

use crate::mux::TxId;
use crate::upstream::Slot;

/// Transactions that one connection may have open. At the bound nothing more is read from it until one ends.
pub(super) const OPEN_MAX: usize = 256;

/// One open transaction, as its session knows it.
pub(super) struct Open<T> {
    /// What the listener keeps of the request.
    pub(super) kept: T,
    /// When the core gives up on it (uptime).
    pub(super) deadline: Duration,
    /// Whether an undelivered approval is to be made good.
    pub(super) reversible: bool,
    /// The answer that is being written.
    pub(super) answered: Option<TxId>,
}

/// Open transactions by slot; the lowest numbers are used again first.
pub(super) struct Slots<T> {
    slots: SmallVec<[Place<T>; 1]>,
    free: SmallVec<[Slot; 4]>,
    open: usize,
}

struct Place<T> {
    open: Option<Open<T>>,
    /// Whose answer was confirmed here last. A failure for it that was on its way meanwhile is about nothing any more.
    confirmed: Option<TxId>,
}

/// What a notice about a slot is about.
pub(super) enum Concerns<'a, T> {
    /// The transaction that waits there.
    Waiting(&'a mut Open<T>),
    /// The answer that is being written there.
    Writing,
    /// One that is over.
    Past,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: SmallVec::new(), free: SmallVec::new(), open: 0 }
    }
}

impl<T> Slots<T> {
    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Whether one more may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.open < OPEN_MAX
    }

    /// Opens one. Only while [`Slots::has_room`].
    pub(super) fn insert(&mut self, open: Open<T>) -> Slot {
        debug_assert!(self.has_room(), "more transactions open than a session may have");
        self.open += 1;
        if let Some(slot) = self.free.pop() {
            self.slots[usize::from(slot)].open = Some(open);
            return slot;
        }
        self.slots.push(Place { open: Some(open), confirmed: None });
        (self.slots.len() - 1) as Slot
    }

    /// The one that is open in `slot`.
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Open<T>> {
        self.slots.get_mut(usize::from(slot))?.open.as_mut()
    }

    /// What a notice about transaction `id` in `slot` is about. `is_answer`: it brings an answer, which comes for a
    /// transaction confirmed there before only when the client has repeated it.
    pub(super) fn concerns(&mut self, slot: Slot, id: Option<TxId>, is_answer: bool) -> Concerns<'_, T> {
        let Some(place) = self.slots.get_mut(usize::from(slot)) else { return Concerns::Past };
        if !is_answer && id.is_some() && place.confirmed == id {
            return Concerns::Past;
        }
        match place.open.as_mut().map(|open| (open.answered, open)) {
            Some((None, open)) => Concerns::Waiting(open),
            Some((answered, _)) if answered == id => Concerns::Writing,
            _ => Concerns::Past,
        }
    }

    /// Closes the one whose answer was confirmed.
    pub(super) fn confirm(&mut self, slot: Slot, id: TxId) {
        let Some(place) = self.slots.get_mut(usize::from(slot)) else { return };
        if place.open.is_some() {
            place.open = None;
            place.confirmed = Some(id);
            self.open -= 1;
            self.free.push(slot);
        }
    }

    /// Closes one. `confirmed`: its answer was confirmed.
    pub(super) fn remove(&mut self, slot: Slot, confirmed: Option<TxId>) -> Option<Open<T>> {
        let place = self.slots.get_mut(usize::from(slot))?;
        let open = place.open.take()?;
        place.confirmed = confirmed.or(place.confirmed);
        self.open -= 1;
        self.free.push(slot);
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open<()> {
        Open { kept: (), deadline: Duration::ZERO, reversible: false, answered: None }
    }

    #[test]
    fn slots_are_used_again_and_there_is_a_last_one() {
        let mut slots = Slots::default();
        for n in 0..OPEN_MAX {
            assert!(slots.has_room());
            assert_eq!(usize::from(slots.insert(open())), n);
        }
        assert!(!slots.has_room());
        assert!(slots.remove(7, None).is_some());
        assert!(slots.remove(7, None).is_none());
        assert_eq!(slots.open(), OPEN_MAX - 1);
        assert_eq!(slots.insert(open()), 7);
    }

    #[test]
    fn a_failure_for_an_answer_that_was_confirmed_does_not_hit_the_next_transaction_in_its_slot() {
        let mut slots = Slots::default();
        let slot = slots.insert(open());
        let Concerns::Waiting(waiting) = slots.concerns(slot, Some(TxId(1)), false) else {
            panic!("it waits")
        };
        waiting.answered = Some(TxId(1));
        assert!(matches!(slots.concerns(slot, Some(TxId(1)), false), Concerns::Writing));
        assert!(matches!(slots.concerns(slot, Some(TxId(9)), false), Concerns::Past));
        slots.remove(slot, Some(TxId(1)));
        assert_eq!(slots.insert(open()), slot);
        assert!(matches!(slots.concerns(slot, Some(TxId(1)), false), Concerns::Past));
        // Its answer once more is one: the client has repeated it.
        assert!(matches!(slots.concerns(slot, Some(TxId(1)), true), Concerns::Waiting(_)));
        assert!(matches!(slots.concerns(slot, Some(TxId(2)), false), Concerns::Waiting(_)));
        assert!(matches!(slots.concerns(slot, None, false), Concerns::Waiting(_)));
        assert!(matches!(slots.concerns(200, None, false), Concerns::Past));
    }
}
