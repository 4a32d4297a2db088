//! Moves the log into the database while the thread that writes goes on.
//!
//! Moving a long log takes milliseconds and two syncs. SQLite does it within whatever commit makes the log too long, and
//! everybody waits. A connection of its own can do it beside the writer, but for what is committed meanwhile; so it goes over
//! the log until next to nothing is left, and the writer moves that itself: then SQLite begins the log anew.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

/// Times that the log is gone over at most. Each leaves what was committed while it ran: a part of what the one before left.
const PASSES_MAX: usize = 4;
/// So few pages are left to the writer.
const REST: i64 = 40;

/// At most one move at a time.
#[derive(Default)]
pub(super) struct Mover {
    job: Option<JoinHandle<()>>,
}

impl Mover {
    /// Begins to move the log of the journal at `path`, unless that is under way. A system without threads to spare leaves
    /// it to the writer.
    pub(super) fn begin(&mut self, path: &Path) {
        if self.job.is_none() {
            let path = path.to_owned();
            let job =
                std::thread::Builder::new().name("journal-mover".to_owned()).spawn(move || go_over(path));
            self.job = job.ok();
        }
    }

    /// Whether none is under way (any more).
    pub(super) fn is_idle(&self) -> bool {
        self.job.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until none is under way, and forgets it.
    pub(super) fn settle(&mut self) {
        if let Some(job) = self.job.take() {
            let _ = job.join();
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Whatever goes wrong here goes wrong for the writer too, which sees to it.
fn go_over(path: PathBuf) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(conn) = Connection::open_with_flags(path, flags) else { return };
    for _ in 0..PASSES_MAX {
        match pass(&conn) {
            Ok((log, moved)) if log - moved > REST => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Moves what nobody reads any more. How many pages the log has, and how many of them are moved.
pub(super) fn pass(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}
