//! Who has the lock of a journal and is no gateway: decisions about rows that wait for a person.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Reader, existing, identified};
use crate::journal::codes::{FORCED, RESOLVED, RETRIED, Stage, outcome_number, shown};
use crate::journal::place::Place;
use crate::journal::sqlite::connection;
use crate::journal::{JournalError, Options, schema, sheet};
use crate::mux::{Decision, FinalState, Objection};

/// The one who has the journal now, as long as this lives.
pub struct Keeper {
    pub(super) conn: Connection,
    place: Place,
}

impl Keeper {
    /// Takes the journal that `options` name; it must be there.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while a gateway has it, [`JournalError::Missing`], and those of a start.
    pub fn take(options: &Options) -> Result<Keeper, JournalError> {
        let path = existing(&options.file)?;
        let place = Place::take(&path)?;
        let options = Options { file: path.clone(), ..options.clone() };
        let refused = |error: rusqlite::Error| connection::refusal(&path, &error);
        identified(&Connection::open(&path).map_err(refused)?, &path)?;
        let conn = connection::connect(&options).map_err(refused)?;
        connection::verify(&conn).map_err(|what| JournalError::Damaged { path: path.clone(), what })?;
        let mut keeper = Keeper { conn, place };
        keeper.change(sheet::unfold_open)?;
        Ok(keeper)
    }

    /// Where it lies, absolutely.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Looks at it.
    ///
    /// # Errors
    /// Those of [`Reader::open`].
    pub fn reader(&self) -> Result<Reader, JournalError> {
        Reader::open(self.path())
    }

    /// Orders that the row be sent by the next gateway that opens the journal, its tries beginning anew, whatever its
    /// age. `force`: also if its key was used again, and whichever host that gateway sends to. `decision` is journaled.
    ///
    /// # Errors
    /// The inner one says why not.
    pub fn retry(
        &mut self,
        row: i64,
        force: bool,
        decision: &Decision,
        now_ms: i64,
    ) -> Result<Result<(), Objection>, JournalError> {
        let Some(entry) = self.reader()?.entry(row)? else { return Ok(Err(Objection::Unknown)) };
        if !entry.waits_for_a_person() {
            return Ok(Err(Objection::NotWaiting));
        }
        if entry.key_id.is_none() {
            return Ok(Err(Objection::NothingToSend));
        }
        if entry.superseded && !force {
            return Ok(Err(Objection::KeyUsedAgain));
        }
        let change =
            "UPDATE records SET stage = ?2, outcome = NULL, ended_ms = NULL, superseded = 0 WHERE id = ?1";
        let what = if force { FORCED } else { RETRIED };
        self.change(|conn| {
            conn.execute(change, params![row, Stage::Owed.number()])?;
            note(conn, row, what, decision, now_ms)
        })?;
        Ok(Ok(()))
    }

    /// The row was seen to by other means: it is over, and its sealed message is erased. `force`: also one that the next
    /// start would still see to.
    ///
    /// # Errors
    /// The inner one says why not.
    pub fn resolve(
        &mut self,
        row: i64,
        force: bool,
        decision: &Decision,
        now_ms: i64,
    ) -> Result<Result<(), Objection>, JournalError> {
        let Some(entry) = self.reader()?.entry(row)? else { return Ok(Err(Objection::Unknown)) };
        if !entry.is_open() || !(force || entry.waits_for_a_person()) {
            return Ok(Err(Objection::NotWaiting));
        }
        let change =
            "UPDATE records SET stage = ?2, outcome = COALESCE(outcome, ?3), ended_ms = ?4 WHERE id = ?1";
        // The last stage says as what it waited.
        let outcome = if entry.stage == Stage::Parked { FinalState::Parked } else { FinalState::Listed };
        self.change(|conn| {
            conn.execute(change, params![row, Stage::Closed.number(), outcome_number(outcome), now_ms])?;
            conn.execute("DELETE FROM images WHERE id = ?1", [row])?;
            note(conn, row, RESOLVED, decision, now_ms)
        })?;
        Ok(Ok(()))
    }

    /// All of it or nothing, and then in the database file.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let path = self.place.path();
        let refused = |error: rusqlite::Error| connection::refusal(path, &error);
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(refused)?;
        let done = change(&self.conn).and_then(|done| self.conn.execute_batch("COMMIT").map(|()| done));
        if done.is_err() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        let done = done.map_err(refused)?;
        connection::checkpoint(&self.conn).map_err(refused)?;
        Ok(done)
    }
}

fn note(conn: &Connection, row: i64, what: &str, decision: &Decision, now_ms: i64) -> rusqlite::Result<()> {
    let (operator, reason) = shown(decision);
    let upstream = None::<i64>;
    conn.execute(schema::INSERT_NOTE, params![row, now_ms, what, operator, reason, upstream]).map(drop)
}
