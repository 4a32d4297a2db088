//! The durable journal: what it keeps, what it refuses, and what it survives.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod bench;
mod bundles;
mod desk;
mod disk;
mod ends;
mod keeps;
mod power;
mod refusals;
mod secrets;
mod sheets;
