//! The operator's side of the journal: `socketqueue journal …` and `reconcile` with real processes, killed ones too, and
//! with files that nobody has open.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../journal/desk.rs"]
#[allow(dead_code)]
mod desk;
#[path = "../support/process.rs"]
mod process;

mod orders;
mod reading;
mod reconciling;
mod rekeying;
mod usage;
mod v1;
mod world;
