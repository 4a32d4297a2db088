//! Dialects, the rules for messages, and what people see of them.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod documents;
mod dump;
mod messages;
mod noise;
mod requests;
mod support;
