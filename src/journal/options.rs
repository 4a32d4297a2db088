//! What a journal is opened with.

use std::path::PathBuf;
use std::time::Duration;

pub use crate::mux::OnRestart;

/// What the journal survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, `kill -9` included: commits are in the kernel's hands.
    Process,
    /// Also loss of power: every commit is synced.
    Power,
}

/// What a journal is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `journalFile`.
    pub file: PathBuf,
    /// `durability`.
    pub durability: Durability,
    /// `journalKeyFile`; `FILE.key` when it is not given.
    pub key_file: Option<PathBuf>,
    /// The value of [`KEY_VARIABLE`](super::seal::KEY_VARIABLE), which wins over a file.
    pub key_variable: Option<Secret>,
    /// `lateWindow`: images are erased so long after the end, or within a minute from then.
    pub late_window: Duration,
    /// `keepRecords`: records are kept so long after they came.
    pub keep_records: Duration,
    /// `idempotencyTtl`: so old records with an idempotency key are told to the start.
    pub idempotency_ttl: Duration,
    /// `onRestart`.
    pub on_restart: OnRestart,
    /// `reversalMaxAge`: what is older is listed, not sent.
    pub reversal_max_age: Duration,
}

impl Options {
    /// The defaults of the table, for this file.
    pub fn new(file: impl Into<PathBuf>) -> Options {
        const HOUR: u64 = 3600;
        Options {
            file: file.into(),
            durability: Durability::Power,
            key_file: None,
            key_variable: None,
            late_window: Duration::from_secs(600),
            keep_records: Duration::from_secs(35 * 24 * HOUR),
            idempotency_ttl: Duration::from_secs(24 * HOUR),
            on_restart: OnRestart::Reverse,
            reversal_max_age: Duration::from_secs(24 * HOUR),
        }
    }

    /// Where the key is, if it is in a file.
    pub fn key_path(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| super::place::beside(&self.file, ".key"))
    }
}

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
