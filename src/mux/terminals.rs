//! The queues of the terminals: one transaction at a time, in order of arrival, reversals first.

use std::hash::BuildHasher;

use super::arena::List;
use super::event::TxId;
use super::places::Places;
use super::transaction::PLACE;
use crate::rules::Tid;

/// A terminal's place in [`Terminals`].
pub(super) type TerminalIndex = u32;

/// One terminal that has something to do.
pub(super) struct Terminal {
    tid: Tid,
    /// Of the TID, so that it is hashed once.
    hash: u32,
    /// What it is busy with: from its turn until its reply is delivered or its reversal no longer holds it.
    pub(super) busy: Option<TxId>,
    /// Requests that wait, oldest first.
    pub(super) waiting: List<PLACE>,
    /// Reversals that wait for the terminal, oldest first; they go before any waiting request.
    pub(super) owed: List<PLACE>,
}

/// All terminals that have something to do, by TID.
pub(super) struct Terminals {
    slots: Vec<Option<Terminal>>,
    free: Vec<u32>,
    by_tid: Places,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Terminals {
    pub(super) fn new() -> Terminals {
        Terminals {
            slots: Vec::new(),
            free: Vec::new(),
            by_tid: Places::new(),
            hasher: hashbrown::DefaultHashBuilder::default(),
        }
    }

    /// The terminal of `tid`, made if it had nothing to do.
    #[inline(always)]
    pub(super) fn enter(&mut self, tid: &Tid) -> TerminalIndex {
        let hash = self.hasher.hash_one(tid) as u32;
        let is_it = |index| self.get(index).is_some_and(|terminal| terminal.tid == *tid);
        if let Some(index) = self.by_tid.find(hash, is_it) {
            return index;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.by_tid.insert(hash, index);
        self.slots[index as usize] =
            Some(Terminal { tid: tid.clone(), hash, busy: None, waiting: List::new(), owed: List::new() });
        index
    }

    pub(super) fn get(&self, index: TerminalIndex) -> Option<&Terminal> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: TerminalIndex) -> Option<&mut Terminal> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Makes the terminal busy with `id`, if it has nothing else to do.
    pub(super) fn seize(&mut self, index: TerminalIndex, id: TxId) -> bool {
        let Some(terminal) = self.get_mut(index) else { return false };
        let is_free = terminal.busy.is_none() && terminal.waiting.is_empty() && terminal.owed.is_empty();
        if is_free {
            terminal.busy = Some(id);
        }
        is_free
    }

    /// Forgets the terminal if it has nothing left to do. Whether it is gone.
    #[inline(always)]
    pub(super) fn leave(&mut self, index: TerminalIndex) -> bool {
        let Some(terminal) = self.get(index) else { return true };
        if terminal.busy.is_some() || !terminal.waiting.is_empty() || !terminal.owed.is_empty() {
            return false;
        }
        self.by_tid.remove(terminal.hash, index);
        self.slots[index as usize] = None;
        self.free.push(index);
        true
    }

    /// How many terminals have something to do.
    pub(super) fn len(&self) -> usize {
        self.by_tid.len()
    }
}
