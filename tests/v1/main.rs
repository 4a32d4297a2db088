//! `/v1` over real sockets, in front of a host that is moved by hand.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod api;
mod causes;
mod description;
mod idempotency;
