//! The HTTP service over in-memory streams under paused time: statuses, the protocol, delivery, hostile clients; and one
//! run of the whole program under load.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../support/isoload.rs"]
mod isoload;
#[path = "../support/plumbing.rs"]
mod plumbing;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod delivery;
mod exchange;
mod hostile;
mod load;
mod protocol;
mod statuses;
mod values;
