//! The state machine of one upstream: every queue, in-flight table, deadline, tombstone and reversal.
//!
//! It owns no socket, clock, task or lock. [`Event`]s go in with the time of their arrival, [`Action`]s come out, bytes
//! are pulled with [`Mux::poll_transmit`] when the link has room, and [`Mux::poll_timeout`] says when to come back.
//! So the driver, the tests, a fuzzer and a simulator all drive the same function.
//!
//! ```text
//!  Submit ─► refused at once (queue full, draining, key reserved, tables full, journal down)
//!    │
//!    ▼        its turn          durable           pulled            answer           delivered
//!  Queued ───────────► Committing ──────► Ready ─────────► InFlight ──────► Answered ─────────► Delivered ─► tombstone
//!    │ client left,        │                │                 │                │ write error,      │ not acknowledged
//!    │ deadline, drain     │ the same       │ a gate fails    │ deadline,      │ client gone,      │ by the client's TCP
//!    ▼                     ▼                ▼                 │ link lost      │ deadline          ▼
//!  never sent          never sent       never sent            └───────┬────────┴───────────────────┘
//!                                                                     ▼ make good
//!                             nothing owed ◄── Nothing ── by class of request ── Reverse, CarryOn ──► Owed
//!                                                                                                      │
//!                     Owed: waiting ─► in flight ─► accepted ─► tombstone (a late approval opens it again)
//!                              ▲           │ error, silence, link lost
//!                              └───────────┘ by the schedule; out of tries or rejected ─► parked
//! ```
//!
//! Recover (at start, from the journal) enters at Owed, parked or listed, or is over at once. Listed: owed, not sent
//! until a person says so.
//!
//! (With no journal `Committing` is passed over. An advice or reversal of the client's is never forgotten while it
//! waits; without its client it is sent all the same.)
//!
//! Who holds what: `arena` the transactions; `terminals` the queue of each TID; `keys` who has which key, and the
//! tombstones (`places` finds both by their hash); the lists in `core` what is ready, in flight and due. Inside, `admission` is the way to the link,
//! `known` what a request's key tells of it, `matching` whose an answer is, `delivery` the way to the client, `owed` what is made good, `drain` the end,
//! `recovery` the beginning: what the journal had open, and what a person decides about it.
//! `statistics`, `outcomes`, `timings` and `census` count and decide nothing.
//! Nothing that decides an order is the iteration of a hash map.

mod action;
mod admission;
mod arena;
mod census;
mod core;
mod delivery;
mod drain;
mod event;
mod keys;
mod known;
mod matching;
mod mutant;
mod outcomes;
mod owed;
mod places;
mod records;
mod recovery;
mod settings;
mod statistics;
mod tally;
mod terminals;
mod timings;
mod transaction;
mod turns;

pub use self::core::{Mux, View};
pub use action::{
    Action, Doubt, Fact, Failure, FinalState, JournalOp, Objection, Outcome, Transmit, Unmatched,
};
pub use census::Census;
pub use event::{ClientTag, Event, TxId};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use outcomes::{Outcome as CountedOutcome, Outcomes};
pub use records::{Record, State, Status};
pub use recovery::{
    Decision, Lately, OnRestart, OnUndelivered, Order, Recovered, Remembered, Stage, What, Withheld,
};
pub use settings::Settings;
pub use statistics::{FaultCode, Statistics};
pub use tally::Tally;
pub use timings::{BOUNDS_US, Histogram, Timings};
