//! Moves the log into the database while the thread that writes goes on.
//!
//! Moving a long log takes milliseconds and two syncs. SQLite does it within whatever commit makes the log too long, and
//! everybody waits. A connection of its own can do it beside the writer, but for what is committed meanwhile; so it goes over
//! the log until next to nothing is left, and the writer moves that itself: then SQLite begins the log anew.
//!
//! SQLite syncs the database only when all of the log is in it, which is never so here but at the writer's own last step.
//! What was moved is therefore synced here as well, or the writer would wait for all of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

/// Times that the log is gone over at most. Each leaves what was committed while it ran: a part of what the one before left.
const PASSES_MAX: usize = 4;
/// So few pages are left to the writer.
const REST: i64 = 40;

/// At most one move at a time.
///
/// It has an opening of the database for its syncs. When any opening of a file is closed, the system takes off it all locks
/// of the process, SQLite's among them (fcntl(2); sqlite.org/howtocorrupt.html, 2.2): so this has to live as long as there is
/// a connection, and may be dropped only when there is none.
#[derive(Default)]
pub(super) struct Mover {
    job: Option<JoinHandle<()>>,
    database: Option<Arc<File>>,
}

impl Mover {
    /// Begins to move the log of the journal at `path`; waits for the end of the move before, if that is under way. A system
    /// without threads to spare leaves it to the writer.
    pub(super) fn begin(&mut self, path: &Path) {
        self.settle();
        if self.database.is_none() {
            // Without it the writer syncs all of it.
            self.database = File::open(path).ok().map(Arc::new);
        }
        let (path, database) = (path.to_owned(), self.database.clone());
        let thread = std::thread::Builder::new().name("journal-mover".to_owned());
        self.job = thread.spawn(move || go_over(path, database.as_deref())).ok();
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
fn go_over(path: PathBuf, database: Option<&File>) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(conn) = Connection::open_with_flags(path, flags) else { return };
    for _ in 0..PASSES_MAX {
        let Ok((log, moved)) = pass(&conn) else { return };
        if let Some(database) = database {
            // The writer's own opening is told of an error, too (fsync(2)).
            let _ = database.sync_data();
        }
        if log - moved <= REST {
            return;
        }
    }
}

/// Moves what nobody reads any more. How many pages the log has, and how many of them are moved.
pub(super) fn pass(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::journal::Options;
    use crate::journal::sqlite::connection;

    /// Whether this process has a lock on the file (proc_locks(5)): without it another process may take the log for its own.
    fn is_locked(path: &Path) -> bool {
        let (process, inode) = (std::process::id().to_string(), std::fs::metadata(path).unwrap().ino());
        let ours = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.contains(&"POSIX")
                && words.contains(&&*process)
                && words.iter().any(|word| word.ends_with(&format!(":{inode}")))
        };
        std::fs::read_to_string("/proc/locks").unwrap().lines().any(ours)
    }

    #[test]
    fn all_is_moved_and_the_locks_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.journal");
        std::fs::write(&path, "").unwrap();
        let conn = connection::connect(&Options::new(&path)).unwrap();
        connection::create(&conn, "name").unwrap();
        let size = || std::fs::metadata(&path).unwrap().len();
        let mut mover = Mover::default();
        for turn in 0..3 {
            let before = size();
            let filler =
                "INSERT INTO notes (record, at_ms, what, reason) VALUES (1, 0, 'x', hex(zeroblob(20000)))";
            conn.execute(filler, []).unwrap();
            assert_eq!(size(), before);
            mover.begin(&path);
            mover.settle();
            assert!(size() >= before + 30_000, "turn {turn}");
            let (log, moved) = pass(&conn).unwrap();
            assert!(log > 0 && log == moved, "turn {turn}: {log}, {moved}");
            assert!(is_locked(&path), "turn {turn}");
        }
        drop(conn);
        assert!(!is_locked(&path));
    }
}
