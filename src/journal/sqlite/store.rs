//! The database: batches in, rows out. Knows no threads and no verdicts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use rusqlite::{Connection, params};

use super::batch::Batch;
use super::connection::{self, Trouble};
use super::mover::{self, Mover};
use super::pen::{Hand, ImageOf, Page, Pen};
use super::rows::{Before, Rows};
use crate::journal::disk::{Commit, Disk, Fate};
use crate::journal::seal::{Keyring, Sealer};
use crate::journal::{Durability, JournalError, Options, UpstreamIdentity};
use crate::journal::{bundle, schema, sheet};
use crate::time::Now;

/// Pages that any commit writes, and changes that share a page beyond that: about what is measured under load.
const COMMIT_PAGES: usize = 4;
const CHANGES_A_PAGE: usize = 12;
/// So many pages of the log are moved into the database at a time: while they are synced, syncs of the log take longer.
const MOVE_PAGES: usize = 500;
/// From here on the log is begun anew: half of what SQLite is told to wait for (`connection::CHECKPOINT_PAGES`).
const LONG_LOG_PAGES: usize = 2000;

/// How a batch went.
pub(super) enum Applied {
    /// It is in the log, and as durable as the log is (see [`Store::sync_itself`]).
    Done(Done),
    /// Nothing of it is there.
    NotDone(Trouble),
    /// It is there or not.
    Unknown(Trouble),
}

/// What a batch did.
#[derive(Default)]
pub(super) struct Done {
    /// Transactions whose rows were refused by themselves.
    pub(super) bad: Vec<u64>,
    /// Rows of its intents, by transaction.
    pub(super) intents: Vec<(u64, i64)>,
    /// What was known of its rows before it, in the order in which it changed them.
    pub(super) before: Vec<Before>,
}

pub(super) struct Store {
    /// To be dropped before the mover.
    pub(super) conn: Connection,
    pub(super) options: Options,
    hand: Hand,
    disk: Box<dyn Disk>,
    pub(super) rows: Rows,
    /// Rows of intents in a commit of unknown outcome, by transaction.
    doubtful: Vec<(u64, i64)>,
    /// Rows whose end may have come into a bundle in such a commit, and comes again.
    dark: Vec<i64>,
    /// Records up to here are gone, or stay.
    pub(super) swept: i64,
    /// Pages of the log, estimated; how many there were when a move of them into the database was last begun.
    log_pages: usize,
    moved_pages: usize,
    /// That was the move before the log is begun anew.
    is_last_move: bool,
    mover: Mover,
}

impl Store {
    pub(super) fn new(
        conn: Connection,
        options: &Options,
        keys: Keyring,
        upstream: &UpstreamIdentity,
        image: ImageOf,
        disk: Box<dyn Disk>,
        now: Now,
    ) -> Result<Store, JournalError> {
        let path = options.file.clone();
        let read = || -> rusqlite::Result<(String, i64, i64, i64)> {
            let journal =
                conn.query_row("SELECT value FROM settings WHERE name = 'journal'", [], |row| row.get(0))?;
            let run = connection::next_run(&conn)?;
            let upstream = connection::upstream_id(&conn, upstream)?;
            // What sheets have left has records, too.
            let last: Option<i64> = conn.query_row("SELECT MAX(id) FROM records", [], |row| row.get(0))?;
            Ok((journal, run, upstream, last.max(bundle::last(&conn)?).unwrap_or(0)))
        };
        let (journal, run, upstream, last) = read().map_err(|error| connection::refusal(&path, &error))?;
        let sealer = Sealer::new(&keys)
            .map_err(|error| JournalError::Failed { path: path.clone(), what: error.to_string() })?;
        let mut store = Store {
            conn,
            options: options.clone(),
            hand: Hand::new(sealer, journal, run, upstream, last + 1, image),
            disk,
            rows: Rows::new(options.late_window),
            doubtful: Vec::new(),
            dark: Vec::new(),
            swept: 0,
            log_pages: 0,
            moved_pages: 0,
            is_last_move: false,
            mover: Mover::default(),
        };
        store.load_ended(now).map_err(|error| connection::refusal(&path, &error))?;
        Ok(store)
    }

    pub(super) fn path(&self) -> &Path {
        &self.options.file
    }

    /// The number of this run.
    pub(super) fn run(&self) -> i64 {
        self.hand.run
    }

    /// What ended before this start is erased when its time is over by the wall clock; at once if that went back.
    fn load_ended(&mut self, now: Now) -> rusqlite::Result<()> {
        let read = |sql: &str| -> rusqlite::Result<Vec<(i64, Duration)>> {
            let mut statement = self.conn.prepare(sql)?;
            let found = statement.query_map([], |row| Ok((row.get(0)?, since(now, row.get(1)?))))?;
            found.collect()
        };
        let (ended, sheets) = (read(schema::ENDED)?, read(schema::SHEETS)?);
        self.rows.left_over(now.uptime, ended.into_iter(), sheets.into_iter());
        Ok(())
    }

    /// Open rows that this configuration cannot read are listed for a person, who sees why.
    pub(super) fn set_aside(&mut self, rows: &[i64], now: Now) -> rusqlite::Result<()> {
        let transaction = self.conn.unchecked_transaction()?;
        for row in rows {
            transaction.prepare_cached(schema::SET_ASIDE)?.execute([row])?;
            let why = "no message of the dialect that the gateway was started with";
            transaction.prepare_cached(schema::INSERT_NOTE)?.execute(params![
                row,
                now.wall_ms,
                "listed",
                None::<String>,
                why,
                None::<i64>
            ])?;
        }
        transaction.commit()
    }

    // -- batches -----------------------------------------------------------------------------------------------------

    /// Commits a batch. When a row is refused by itself, it is done again with each row by itself.
    pub(super) fn apply(&mut self, batch: &Batch<'_>, reserve_held: bool) -> Applied {
        if batch.changes.is_empty() {
            return Applied::Done(Done::default());
        }
        let written = match self.write(batch, reserve_held, false) {
            Err(Refused::Row) => self.write(batch, reserve_held, true),
            written => written,
        };
        written.map_or_else(Applied::from, Applied::Done)
    }

    fn write(&mut self, batch: &Batch<'_>, reserve_held: bool, singly: bool) -> Result<Done, Refused> {
        let begun = self.conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        begun.map_err(|error| Refused::Before(Trouble::of(&error)))?;
        let Page { written, sheets, answers, unfolded, bad } =
            self.write_rows(batch, singly).map_err(|error| {
                let _ = self.conn.execute_batch("ROLLBACK");
                match connection::is_of_the_row(&error) {
                    true => Refused::Row,
                    false => Refused::Before(Trouble::of(&error)),
                }
            })?;
        let intents: Vec<_> = written.iter().filter(|row| row.is_new).map(|row| (row.tx, row.row)).collect();
        if let Err(refused) = self.commit(Commit { intents: batch.intents, reserve_held, probe: false }) {
            if matches!(refused, Refused::During(_)) {
                self.doubtful.extend(intents);
                self.dark.extend(written.iter().filter(|row| row.is_bundled).map(|row| row.row));
            }
            return Err(refused);
        }
        self.log_pages += COMMIT_PAGES + batch.changes.len() / CHANGES_A_PAGE;
        if !singly {
            self.rows.forget_spent_answers();
        }
        sheets.into_iter().for_each(|(id, at)| self.rows.sheet(at.uptime, id));
        for (rows, at) in unfolded {
            self.rows.unfolded(at.uptime, &rows);
        }
        let mut before = Vec::with_capacity(written.len());
        for row in written {
            before.extend(row.was.map(|was| self.rows.forget(was)));
            before.push(match row.closed_at {
                None if row.is_new => {
                    self.rows.begun(row.tx, row.row, row.is_underway, row.in_sheet, row.facts)
                }
                None => match (row.answered, answers) {
                    (Some(answered), Some(answers)) => self.rows.noted(row.tx, row.row, answered, answers),
                    _ => self.rows.opened(row.tx, row.row, row.is_underway),
                },
                Some(at) => self.rows.closed(row.tx, row.row, at.uptime, row.is_bundled),
            });
        }
        Ok(Done { bad, intents, before })
    }

    /// Sees to it that the log is moved into the database before it is so long that SQLite does it within a commit. Whether
    /// the log is begun anew now: that takes the disk some time.
    pub(super) fn keep_log_short(&mut self) -> bool {
        if !self.mover.is_idle() {
            return false;
        }
        let is_long = self.log_pages >= LONG_LOG_PAGES;
        if !self.is_last_move && (is_long || self.log_pages - self.moved_pages >= MOVE_PAGES) {
            self.mover.begin(&self.options.file);
            (self.moved_pages, self.is_last_move) = (self.log_pages, is_long);
            return false;
        }
        self.is_last_move
    }

    /// Moves the little that is left in the log, which SQLite then begins anew.
    pub(super) fn begin_log_anew(&mut self) {
        self.mover.settle();
        (self.log_pages, self.moved_pages, self.is_last_move) = (0, 0, false);
        // Whether it can be done shows at the next sweep at the latest; until then the log grows.
        let _ = mover::pass(&self.conn);
    }

    /// Waits until nobody else has the files open.
    pub(super) fn be_alone(&mut self) {
        self.mover.settle();
    }

    /// A commit that was done may be lost: what is known of rows is what was known before it, and whether its intents are
    /// there is to be read back.
    pub(super) fn doubt(&mut self, intents: Vec<(u64, i64)>, before: Vec<Before>) {
        for before in before.into_iter().rev() {
            self.dark.extend(before.row_without_record());
            self.rows.restore(before);
        }
        self.doubtful.extend(intents);
    }

    /// `singly`: what is refused by itself is left out.
    fn write_rows(&mut self, batch: &Batch<'_>, singly: bool) -> rusqlite::Result<Page> {
        let pen = Pen::new(&self.conn, &mut self.hand, &self.rows, batch.at)?;
        if singly { pen.write_singly(&batch.changes) } else { pen.write_all(&batch.changes) }
    }

    /// Whether the intent of this transaction, committed with an unknown outcome, is there. From then on it is open.
    pub(super) fn read_back(&mut self, tx: u64) -> rusqlite::Result<bool> {
        let Some(at) = self.doubtful.iter().position(|(other, _)| *other == tx) else { return Ok(false) };
        let row = self.doubtful[at].1;
        let known = known(&self.conn, self.hand.run, row)?;
        self.doubtful.swap_remove(at);
        let Some(facts) = known else { return Ok(false) };
        self.rows.begun(tx, row, true, facts.is_some(), facts);
        Ok(true)
    }

    fn commit(&mut self, commit: Commit) -> Result<(), Refused> {
        let fate = self.disk.commit(commit);
        let injected = || Trouble::Error("injected".to_owned());
        match fate {
            Fate::Normal => {}
            Fate::UnknownAndKept => {
                let done = self.conn.execute_batch("COMMIT");
                return Err(Refused::During(done.err().map_or_else(injected, |error| Trouble::of(&error))));
            }
            _ => {
                let _ = self.conn.execute_batch("ROLLBACK");
                return Err(match fate {
                    Fate::Full => Refused::Before(Trouble::Full),
                    Fate::UnknownAndLost => Refused::During(injected()),
                    _ => Refused::Before(injected()),
                });
            }
        }
        let committed = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map(drop).map_err(|error| {
            let _ = self.conn.execute_batch("ROLLBACK");
            match Trouble::of(&error) {
                // Its last frame was not written, so the log has no such commit.
                Trouble::Full => Refused::Before(Trouble::Full),
                _ if connection::is_busy(&error) => Refused::Before(Trouble::of(&error)),
                // Written and perhaps not synced: the next opening may find it.
                trouble => Refused::During(trouble),
            }
        })
    }

    /// From here on whoever commits sees to it that the log is synced.
    pub(super) fn leave_syncs(&self) -> rusqlite::Result<()> {
        connection::set_synchronous(&self.conn, Durability::Process)
    }

    /// From here on a commit is durable when it is done, where it has to be.
    pub(super) fn sync_itself(&self) -> rusqlite::Result<()> {
        connection::set_synchronous(&self.conn, self.options.durability)
    }

    // -- after a failure ---------------------------------------------------------------------------------------------

    /// Closes, opens, verifies, moves everything that can be read from the log into the database, synced.
    pub(super) fn reopen(&mut self) -> Result<(), Trouble> {
        let trouble = |error: rusqlite::Error| Trouble::of(&error);
        self.be_alone();
        self.conn = Connection::open_in_memory().map_err(trouble)?;
        // The file may be another, and no connection to the one before is left.
        self.mover = Mover::default();
        let conn = connection::connect(&self.options).map_err(trouble)?;
        connection::verify_for_work(&conn).map_err(Trouble::Error)?;
        // What is in the log now was read from it, whether or not its sync had failed: the checkpoint writes it anew.
        connection::checkpoint(&conn).map_err(trouble)?;
        self.conn = conn;
        self.take_out_of_the_dark().map_err(trouble)?;
        let (conn, run) = (&self.conn, self.hand.run);
        self.rows.refresh(|row| known(conn, run, row)).map_err(trouble)
    }

    /// What comes again is in no bundle.
    fn take_out_of_the_dark(&mut self) -> rusqlite::Result<()> {
        let dark: HashSet<i64> = self.dark.iter().copied().collect();
        if let (Some(first), Some(last)) = (dark.iter().min(), dark.iter().max()) {
            let transaction = self.conn.unchecked_transaction()?;
            bundle::take_out(&transaction, *first, *last, |row| dark.contains(&row))?;
            transaction.commit()?;
        }
        self.dark.clear();
        Ok(())
    }

    /// A synced write; after it, syncs are left to whoever commits.
    pub(super) fn probe(&mut self, reserve_held: bool) -> Result<(), Trouble> {
        let of = |error: rusqlite::Error| Trouble::of(&error);
        self.conn.execute_batch("PRAGMA synchronous=FULL; BEGIN IMMEDIATE").map_err(of)?;
        let written = connection::touch(&self.conn).map_err(of).and_then(|()| {
            self.commit(Commit { intents: 0, reserve_held, probe: true }).map_err(Refused::into_trouble)
        });
        if written.is_err() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        self.leave_syncs().map_err(of)?;
        written
    }

    /// The last commit is moved into the database, and the log is emptied.
    pub(super) fn close(mut self) {
        self.be_alone();
        let _ = connection::checkpoint(&self.conn);
    }
}

/// What is in the file of a row that this run gave away: `Some(None)`, a record; `Some` facts, a line of a sheet only. `None`:
/// nothing, it was lost.
fn known(conn: &Connection, run: i64, row: i64) -> rusqlite::Result<Option<Option<Arc<[u8]>>>> {
    let mut record = conn.prepare_cached("SELECT 1 FROM records WHERE id = ?1")?;
    if record.exists([row])? {
        return Ok(Some(None));
    }
    let sheet = sheet::of_row(conn, row)?.filter(|sheet| sheet.run == run);
    let Some(sheet) = sheet else { return Ok(None) };
    let line = sheet.lines()?.into_iter().find(|line| line.row == row);
    Ok(line.map(|line| Some(line.bytes.into())))
}

/// How long ago this was, by the wall clock: long ago, if that went back or it is not known.
pub(super) fn since(now: Now, wall_ms: Option<i64>) -> Duration {
    let ago = now.wall_ms.saturating_sub(wall_ms.unwrap_or(0));
    Duration::from_millis(u64::try_from(ago).unwrap_or(u64::MAX))
}

/// Why a batch is not there.
enum Refused {
    /// A row was refused by itself.
    Row,
    /// Nothing of it is there.
    Before(Trouble),
    /// Nobody knows.
    During(Trouble),
}

impl Refused {
    fn into_trouble(self) -> Trouble {
        match self {
            Refused::Row => Trouble::Error("a row was refused".to_owned()),
            Refused::Before(trouble) | Refused::During(trouble) => trouble,
        }
    }
}

impl From<Refused> for Applied {
    fn from(refused: Refused) -> Applied {
        match refused {
            Refused::During(trouble) => Applied::Unknown(trouble),
            other => Applied::NotDone(other.into_trouble()),
        }
    }
}
