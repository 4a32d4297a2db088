//! Dialects, the rules for messages, and what people see of them.

mod documents;
mod dump;
mod messages;
mod requests;
mod support;
