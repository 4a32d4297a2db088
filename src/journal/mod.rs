//! Where the core's memory outlives the process: one small asynchronous trait, and what implements it.
//!
//! The order of operations is kept: they apply in the order in which they were handed over. `Intent` is the only one
//! that is waited for: each is answered by one [`Verdict`]. [`memory`] answers at once and remembers nothing; [`sqlite`]
//! keeps the same contract on a disk.

mod bundle;
mod codes;
pub mod desk;
pub mod disk;
mod elements;
mod error;
mod holder;
pub mod memory;
pub mod meters;
pub mod options;
pub mod place;
mod schema;
pub mod seal;
mod sheet;
pub mod sqlite;

use std::task::{Context, Poll};

use bytes::Bytes;

pub use codes::Stage;
pub use error::JournalError;
pub use holder::Holder;
pub use options::{Durability, OnRestart, Options};

use crate::mux::{FinalState, JournalOp, Record, TxId};
use crate::rules::KeptAnswer;

/// What became of an intent, or of the journal itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Durable(TxId),
    /// It is not in the journal.
    Failed(TxId),
    /// It may be there or not. `Durable` or `Failed` follows when it has been read back.
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

/// Which host a row belongs to: what is owed to one host must not be sent to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamIdentity {
    /// Its name in the configuration.
    pub name: String,
    /// Its address, as configured.
    pub address: String,
    /// The name of its dialect.
    pub dialect: String,
}

/// What a start finds open, oldest first.
#[derive(Clone, Debug)]
pub struct OpenRow {
    /// Its place in the journal, for ever.
    pub row: i64,
    /// The transaction id that it had in the process that wrote it, as a number.
    pub was: u64,
    /// The MTI of the request.
    pub mti: String,
    /// The reduced message, unsealed.
    pub image: Bytes,
    /// When it was handed to the journal (wall, ms since 1970).
    pub received_wall_ms: i64,
    /// When its intent was about to be committed: it left after that, if at all. `None` when that is not known.
    pub left_wall_ms: Option<i64>,
    /// How far it had come.
    pub stage: crate::mux::Stage,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// The host's DE 37, if an answer told it.
    pub rrn: Option<Bytes>,
    /// Whose it is.
    pub upstream: UpstreamIdentity,
    /// Under what it is remembered for those who ask.
    pub record: Option<Record>,
    /// Whether its key was used again while it was parked or listed.
    pub superseded: bool,
    /// Whether a person has said that it be sent to a host that it was not for.
    pub forced: Forced,
}

/// To which host a person has ordered that a row of another one be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forced {
    /// To none.
    No,
    /// To that of the gateway that took the order.
    To(UpstreamIdentity),
    /// To that of the next gateway that opens the journal: the order was written into it while none had it.
    ToAny,
}

impl OpenRow {
    /// Whether it may be sent to `host`.
    pub fn is_for(&self, host: &UpstreamIdentity) -> bool {
        let is_forced = match &self.forced {
            Forced::No => false,
            Forced::To(other) => other == host,
            Forced::ToAny => true,
        };
        self.upstream == *host || is_forced
    }
}

/// What has ended and is remembered for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedRow {
    /// The transaction id that it had, as a number.
    pub was: u64,
    /// Under what it is remembered.
    pub record: Record,
    /// How it ended.
    pub outcome: FinalState,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// When it ended (wall, ms since 1970).
    pub ended_wall_ms: i64,
    /// What its record has of the answer.
    pub answer: KeptAnswer,
    /// The dialect in which it was.
    pub dialect: String,
}

/// What ended less than `lateWindow` before this start.
#[derive(Clone, Debug)]
pub struct LatelyRow {
    /// Its place in the journal, for ever.
    pub row: i64,
    /// The transaction id that it had, as a number.
    pub was: u64,
    /// The reduced message, unsealed; `None` where the key for it is missing.
    pub image: Option<Bytes>,
    /// How it ended.
    pub outcome: FinalState,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// The host's DE 37, if an answer told it.
    pub rrn: Option<Bytes>,
    /// DE 39 of the host's answer, if it had one.
    pub response_code: Option<String>,
    /// When it ended (wall, ms since 1970).
    pub ended_wall_ms: i64,
    /// Whose it is.
    pub upstream: UpstreamIdentity,
}
