//! A journal that forgets: every intent is durable at once, in batches, and nothing is kept.
//!
//! It is what `journalFile: "none"` means, and what tests run with when they want the order of a journal without a disk.

use std::task::{Context, Poll};

use super::{Journal, Verdict};
use crate::mux::JournalOp;

/// The journal that forgets.
#[derive(Default)]
pub struct Memory {
    verdicts: Vec<Verdict>,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Memory {
        Memory::default()
    }
}

impl Journal for Memory {
    fn submit(&mut self, ops: &mut Vec<JournalOp>) {
        for op in ops.drain(..) {
            if let JournalOp::Intent { id, .. } = op {
                self.verdicts.push(Verdict::Durable(id));
            }
        }
    }

    fn poll_verdicts(&mut self, _cx: &mut Context<'_>, verdicts: &mut Vec<Verdict>) -> Poll<()> {
        // Nothing but `submit` can bring a verdict, and whoever calls that polls again: no waker is needed.
        if self.verdicts.is_empty() {
            return Poll::Pending;
        }
        verdicts.append(&mut self.verdicts);
        Poll::Ready(())
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::{FinalState, TxId};

    #[test]
    fn only_intents_are_answered_and_in_their_order() {
        let mut journal = Memory::new();
        let mut verdicts = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(journal.poll_verdicts(&mut cx, &mut verdicts).is_pending());
        let mut ops = vec![
            JournalOp::Owed { id: TxId(1) },
            JournalOp::End { id: TxId(2), state: FinalState::Delivered },
            JournalOp::Parked { id: TxId(3) },
        ];
        journal.submit(&mut ops);
        assert!(ops.is_empty());
        assert!(journal.poll_verdicts(&mut cx, &mut verdicts).is_pending());
        assert!(verdicts.is_empty());
    }
}
