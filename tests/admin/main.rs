//! Statistics, metrics, health, state, and what an operator may change.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod counting;
mod logs;
mod observed;
mod operator;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/scene.rs"]
#[allow(dead_code)]
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod world;
