//! Why a journal cannot be used, and the way out.

use std::io;
use std::path::PathBuf;

/// Why a journal could not be opened. Each names the file, and what a person can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Its directory cannot be written, or the file cannot be opened.
    #[error("journalFile {}: cannot be written; give journalFile (--journalFile) in a directory that this user can write, or \"none\" to run without a journal", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It lies on a file system of another machine, where neither locks nor syncs can be relied upon.
    #[error("journalFile {}: lies on a network file system ({kind}); give a journalFile on a local disk", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// Which one.
        kind: String,
    },
    /// Another process has it.
    #[error("journalFile {}: is in use by another process; two gateways need two journals, or two ports", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is no journal of ours.
    #[error("journalFile {}: is not a journal of socketqueue ({what}); give another journalFile, or move this file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// There is none.
    #[error("journalFile {}: there is no such journal; give the file of the gateway (--journalFile, or -c with its configuration)", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A newer release wrote it.
    #[error("journalFile {}: has schema {found}, this release knows up to {known}; start the release that wrote it, or give another journalFile after its open rows have been dealt with", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: i64,
        /// The schema that is known.
        known: i64,
    },
    /// A build before the first release wrote it.
    #[error("journalFile {}: has schema {found} of a build before the first release, this release has {known}; let the build that wrote it run until nothing is open in it (`socketqueue journal list` of that build), then move it away with its -wal and .key files, or give another journalFile", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: i64,
        /// The schema of this release.
        known: i64,
    },
    /// Its contents contradict themselves.
    #[error("journalFile {}: is damaged ({what}); keep it with its -wal file, save what can be read (`sqlite3 FILE .recover`), compare it with the host's list, then move it away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The write-ahead log is there and the journal is not.
    #[error("journalFile {}: is gone, but its -wal file is there; put the journal back, or move the -wal file away after its rows have been dealt with", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// Open rows cannot be unsealed.
    #[error("journalFile {}: {count} open rows are sealed with key {key_id}, which is not among the keys of {keys}; give that key (journalKeyFile, SOCKETQUEUE_JOURNAL_KEY)", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// The key that is wanted.
        key_id: String,
        /// How many rows are sealed with it.
        count: usize,
        /// Where keys were looked for.
        keys: String,
    },
    /// There is a journal, but no key.
    #[error("journalFile {}: its key is not at {keys}; give it (journalKeyFile, SOCKETQUEUE_JOURNAL_KEY): a key is made only together with a new journal", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Where it was looked for.
        keys: String,
    },
    /// A key that cannot be used.
    #[error("{place}: {problem}")]
    Key {
        /// Where it stands.
        place: String,
        /// What is wrong; never the key.
        problem: String,
    },
    /// No random numbers, no disk, and the like.
    #[error("journalFile {}: {what}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What failed.
        what: String,
    },
}
