//! The operator's side of a journal: what is read of it, and changed in it, without being its gateway.
//!
//! Reading takes no lock, so that a gateway can start at any time: [`Reader`] opens the file read-only, beside a running
//! gateway or without one, and reads it in short statements, between which the gateway can empty its log. Changing wants
//! the lock that a gateway holds: [`Keeper`]. Card data is never unsealed to be shown.

mod entries;
mod keeper;
mod rekey;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::sqlite::connection;
use super::{JournalError, place};

pub use entries::{Entries, Entry, Filter, Note, Which};
pub use keeper::Keeper;
pub use rekey::{KeySource, Rekeyed, Step};
pub use verify::{Findings, verify};

/// How long a reader waits for a writer that keeps the file to itself for a moment.
const BUSY: Duration = Duration::from_secs(5);

/// Reads a journal, with or without a gateway beside it.
pub struct Reader {
    pub(super) conn: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// [`JournalError::Missing`] where there is none, and those of a start but for the lock.
    pub fn open(path: &Path) -> Result<Reader, JournalError> {
        let path = existing(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let refused = |error: rusqlite::Error| connection::refusal(&path, &error);
        let conn = Connection::open_with_flags(&path, flags).map_err(refused)?;
        conn.busy_timeout(BUSY).map_err(refused)?;
        identified(&conn, &path)?;
        Ok(Reader { conn, path })
    }

    /// Where it lies, absolutely.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn refused(&self, error: &rusqlite::Error) -> JournalError {
        connection::refusal(&self.path, error)
    }
}

/// The absolute path of a journal that is there.
fn existing(path: &Path) -> Result<PathBuf, JournalError> {
    let absolute = std::path::absolute(path)
        .map_err(|source| JournalError::Unwritable { path: path.to_owned(), source })?;
    match std::fs::metadata(&absolute) {
        Ok(file) if file.is_file() => Ok(absolute),
        _ => {
            // A log without its journal is worth a word of its own.
            let wal = std::fs::metadata(place::beside(&absolute, "-wal"));
            Err(match wal.is_ok_and(|wal| wal.len() > 0) {
                true => JournalError::Lost { path: absolute },
                false => JournalError::Missing { path: absolute },
            })
        }
    }
}

fn identified(conn: &Connection, path: &Path) -> Result<(), JournalError> {
    match connection::identify(conn, path)? {
        true => Ok(()),
        false => Err(JournalError::Foreign { path: path.to_owned(), what: "an empty database".to_owned() }),
    }
}
