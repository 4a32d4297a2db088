//! What people and monitoring see of a running process: statistics, metrics, health, state; and the few things that an
//! operator may change.
//!
//! It runs on a thread and a runtime of its own ([`serve`]), so that writing out a page of metrics holds no transaction up.
//! From an upstream it knows only what its driver copies for it ([`crate::upstream::Snapshot`]), asked for by a command.
//!
//! Over TCP it is read-only. What changes anything is reached over the Unix socket alone, whose file only its owner can
//! open, and wants an operator and a reason, which are logged.

mod commands;
pub mod dump;
mod exposition;
mod health;
mod journal_metrics;
mod metrics;
mod openapi;
mod orders;
mod routes;
mod serve;
pub mod socket;
mod sources;
mod state;
mod statistics;

use std::path::PathBuf;

pub use serve::{Doors, serve};
pub use sources::{JournalSource, ListenerSource, Sources};
pub use statistics::{StatisticsError, from_json, to_json};

/// What is served to people and monitoring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `statServerHost` and `statServerPort`.
    pub statistics: Option<Address>,
    /// `statDumpFile`.
    pub dump_file: Option<PathBuf>,
    /// `adminHost` and `adminPort`.
    pub admin: Option<Address>,
    /// `adminSocket`.
    pub socket: Option<OperatorSocket>,
}

/// Where the operator's socket is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSocket {
    /// Its file.
    pub path: PathBuf,
    /// Nobody has named it: it lies beside the journal, and where it cannot be made the gateway works without it.
    pub is_default: bool,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// Port; 0: any.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
