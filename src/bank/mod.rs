//! Socket Bank: an ISO 8583 host to test against, with books, a ledger and faults.
//!
//! ```text
//! server (accepts) ─ session per connection: frames in ─ desk: faults, books, ledger ─ answers ─ outbox: when ─ bytes out
//! ```
//!
//! The books are pure (a table in `books.rs` says what is answered when), the faults are drawn from a seed, and the
//! outbox is told the time; only `server` and `ledger` do I/O. A session reads what has come, takes all of its messages to
//! the desk in one go, and writes all answers that are ready in one go.

mod accounts;
mod answer;
mod books;
pub(crate) mod chance;
mod codes;
mod desk;
mod facts;
mod faults;
mod ledger;
mod outbox;
mod sales;
mod server;
mod session;

pub use faults::Faults;
pub use server::{BankError, Clock, bind, serve};

use std::path::PathBuf;

use crate::framing::Framing;

/// One bank.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to bind (`bankHost`).
    pub host: String,
    /// Port (`echoServerPort`); 0: any.
    pub port: u16,
    /// `bankFraming`.
    pub framing: Framing,
    /// Largest payload taken.
    pub frame_len_max: usize,
    /// `--unlimited`: accounts never run dry.
    pub unlimited: bool,
    /// Whether the magic amounts …777 and …888 work (`--no-magic`).
    pub magic: bool,
    /// `--ledger FILE`.
    pub ledger: Option<PathBuf>,
    /// Fault switches.
    pub faults: Faults,
    /// Seed of everything random.
    pub seed: u64,
}

/// What a bank did, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Connections taken.
    pub connections: u64,
    /// Messages taken.
    pub messages: u64,
    /// Answers made, repeated ones not counted.
    pub answers: u64,
    /// Frames and messages that could not be read; the former end their connection.
    pub unreadable: u64,
    /// Sales and authorizations booked.
    pub booked: u64,
    /// Sales and authorizations declined.
    pub declined: u64,
    /// Financial messages lost by a fault.
    pub lost: u64,
    /// Sales undone.
    pub reversed: u64,
    /// Reversals of what was already undone.
    pub reversal_repeats: u64,
    /// Reversals without an original that could be undone.
    pub reversals_not_found: u64,
    /// Reversals answered with an error.
    pub reversal_errors: u64,
    /// Sales refused because their reversal had come before.
    pub late_originals_refused: u64,
    /// Sales that came a second time and were booked again.
    pub duplicate_sales: u64,
    /// Repeats of known sales.
    pub sale_repeats: u64,
}
