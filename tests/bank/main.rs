//! The Socket Bank over real sockets: recorded answers, faults, load, its ledger under an independent audit.

// Clippy lets test functions unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod audit;
mod faults;
mod host;
mod load;
mod process;
mod recorded;
mod reversals;
mod testclients;
