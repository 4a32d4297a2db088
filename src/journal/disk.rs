//! The seam at which a disk can be made slow, full or faulty, for tests and measurements.

use std::io;
use std::sync::Arc;

/// Called before each sync of the log, on the thread that does it: it may keep it waiting, as a slow disk does, or fail it.
/// Several may be under way at a time.
pub type SyncSeam = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// How a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As it does.
    Normal,
    /// Refused for want of space; nothing of it is there.
    Full,
    /// Refused with an error; nothing of it is there.
    Error,
    /// An error, and nobody knows: it is not there.
    UnknownAndLost,
    /// An error, and nobody knows: it is there all the same.
    UnknownAndKept,
}

/// What is about to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Intents among it. 0: it only ends or changes what is there, which must succeed on a full disk too.
    pub intents: usize,
    /// Whether the reserve of space is still held: on a full disk nothing can be written before it is let go.
    pub reserve_held: bool,
    /// The write by which a journal that had failed proves that it is back.
    pub probe: bool,
}

/// What stands between the journal and its disk. Called on the journal's own thread, which it may keep waiting.
pub trait Disk: Send + 'static {
    /// Before each commit.
    fn commit(&mut self, commit: Commit) -> Fate;
}

/// The disk as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Disk for Plain {
    fn commit(&mut self, _: Commit) -> Fate {
        Fate::Normal
    }
}

impl<F: FnMut(Commit) -> Fate + Send + 'static> Disk for F {
    fn commit(&mut self, commit: Commit) -> Fate {
        self(commit)
    }
}
