//! Where the core's memory outlives the process: one small asynchronous trait, and what implements it.
//!
//! The order of operations is kept: they apply in the order in which they were handed over. `Intent` is the only one
//! that is waited for: each is answered by one [`Verdict`]. [`memory`] answers at once and remembers nothing; a durable
//! journal keeps the same contract.

pub mod memory;

use std::task::{Context, Poll};

use crate::mux::{JournalOp, TxId};

/// What became of an intent, or of the journal itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Durable(TxId),
    /// It is not in the journal.
    Failed(TxId),
    /// It may be there or not.
    Unknown(TxId),
    /// After failures: intents are taken again.
    Up,
}

/// A journal of one upstream.
pub trait Journal: Send + 'static {
    /// Takes over all of `ops`, in their order, leaving the vector empty. Does not wait. What is handed over in one call
    /// belongs into one commit where that is possible.
    fn submit(&mut self, ops: &mut Vec<JournalOp>);

    /// Appends the verdicts that are in. `Ready` when it has appended any; `Pending` (and the task is woken later) when
    /// there are none.
    fn poll_verdicts(&mut self, cx: &mut Context<'_>, verdicts: &mut Vec<Verdict>) -> Poll<()>;

    /// Ready when everything handed over is as safe as it will be. Called at a stop.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether what is owed outlives the process.
    fn is_durable(&self) -> bool;
}
