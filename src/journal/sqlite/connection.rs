//! One connection: its settings, its checks, and what its errors mean.

use std::path::Path;
use std::time::Duration;

use rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::journal::{Durability, JournalError, Options, UpstreamIdentity, bundle, schema};

/// How long a reader (a tool, a backup) may keep a commit waiting before it counts as failed.
const BUSY: Duration = Duration::from_secs(5);
/// Up to this size a start checks all of a journal, in about a second. Above, it checks what may have to be sent and leaves
/// the records, which grow with `keepRecords`, to `journal verify`: nobody waits minutes for a gateway to come back.
const START_CHECK_MAX: u64 = 256 << 20;
/// The tables that a start cannot do without.
const NEEDED: [&str; 5] = ["settings", "upstreams", "images", "sheets", "notes"];
/// Pages (of 4 KiB) of the log after which it is moved into the database, between two sweeps.
const CHECKPOINT_PAGES: i64 = 4000;

/// Why the disk does not take what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No space.
    Full,
    /// Anything else.
    Error(String),
}

impl Trouble {
    pub(super) fn of(error: &rusqlite::Error) -> Trouble {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Trouble::Full,
            _ => Trouble::Error(error.to_string()),
        }
    }

    pub(super) fn of_io(error: &std::io::Error) -> Trouble {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Trouble::Full,
            _ => Trouble::Error(error.to_string()),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Full => f.write_str("the disk is full"),
            Trouble::Error(what) => f.write_str(what),
        }
    }
}

/// Opens the file with the settings that it is written with.
pub(crate) fn connect(options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&options.file, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(32);
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidParameterName(format!("no write-ahead log here, but {mode}")));
    }
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    set_synchronous(&conn, options.durability)?;
    Ok(conn)
}

pub(super) fn set_synchronous(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let level = match durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", level)
}

/// Whether it is a journal (`true`) or an empty database that may become one.
///
/// # Errors
/// What it is instead.
pub(crate) fn identify(conn: &Connection, path: &Path) -> Result<bool, JournalError> {
    let number = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        let tables = conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    };
    let (application, version, tables) = read().map_err(|error| refusal(path, &error))?;
    let path = path.to_owned();
    match (application, version) {
        (0, 0) if tables == 0 => Ok(false),
        (schema::APPLICATION_ID, found) if found > schema::VERSION => {
            Err(JournalError::Newer { path, found, known: schema::VERSION })
        }
        (schema::APPLICATION_ID, schema::VERSION) => Ok(true),
        (schema::APPLICATION_ID, found) if found > 0 => {
            Err(JournalError::Older { path, found, known: schema::VERSION })
        }
        (schema::APPLICATION_ID, _) => Err(JournalError::Damaged { path, what: format!("schema {version}") }),
        _ => Err(JournalError::Foreign {
            path,
            what: format!("a SQLite database of another program, application_id {application}"),
        }),
    }
}

/// Makes the tables, and moves them into the database file.
pub(super) fn create(conn: &Connection, journal: &str) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let make = || {
        conn.execute_batch(schema::CREATE)?;
        conn.execute(
            "INSERT INTO settings (name, value) VALUES ('journal', ?1), ('run', '0'), ('probe', '0')",
            [journal],
        )?;
        conn.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
        conn.pragma_update(None, "user_version", schema::VERSION)?;
        conn.execute_batch("COMMIT")
    };
    if let Err(error) = make() {
        let _ = conn.execute_batch("ROLLBACK");
        return Err(error);
    }
    checkpoint(conn)
}

/// The integrity check of everything: pages, rows, indexes. It takes as long as reading the file does.
///
/// # Errors
/// The first thing found.
pub(crate) fn verify(conn: &Connection) -> Result<(), String> {
    check(conn, "integrity_check(1)")?;
    bundle::verify(conn).map_err(|error| what_of(&error))?;
    images_have_records(conn)
}

/// The integrity check of a journal that is to work now.
///
/// # Errors
/// The first thing found.
pub(super) fn verify_for_work(conn: &Connection) -> Result<(), String> {
    verify_up_to(conn, START_CHECK_MAX)
}

fn verify_up_to(conn: &Connection, whole_max: u64) -> Result<(), String> {
    let number = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let size = || -> rusqlite::Result<i64> { Ok(number("page_count")?.saturating_mul(number("page_size")?)) };
    let size = size().map_err(|error| error.to_string())?;
    if u64::try_from(size).unwrap_or(0) <= whole_max {
        return verify(conn);
    }
    for table in NEEDED {
        check(conn, &format!("integrity_check({table})"))?;
    }
    images_have_records(conn)
}

fn check(conn: &Connection, what: &str) -> Result<(), String> {
    let found: rusqlite::Result<String> = conn.query_row(&format!("PRAGMA {what}"), [], |row| row.get(0));
    match found {
        Ok(text) if text == "ok" => Ok(()),
        Ok(text) => Err(text.lines().next().unwrap_or("integrity check").to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A row with an image of its own has a record of its own: one without was never committed by us.
fn images_have_records(conn: &Connection) -> Result<(), String> {
    let orphans = "SELECT COUNT(*) FROM images WHERE id NOT IN (SELECT id FROM records)";
    match conn.query_row(orphans, [], |row| row.get::<_, i64>(0)) {
        Ok(0) => Ok(()),
        Ok(count) => Err(format!("{count} images without a record")),
        Err(error) => Err(error.to_string()),
    }
}

/// What an error says, without what SQLite puts around what we say.
fn what_of(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, what) => what.to_string(),
        other => other.to_string(),
    }
}

/// Moves the log into the database and empties it. A reader that keeps it from that is not waited for: there is a next
/// time, and intents wait meanwhile.
pub(crate) fn checkpoint(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::ZERO)?;
    let done = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    conn.busy_timeout(BUSY)?;
    match done {
        Err(error) if is_busy(&error) => Ok(()),
        other => other,
    }
}

/// The number of this run: ids of transactions are unique within one.
pub(super) fn next_run(conn: &Connection) -> rusqlite::Result<i64> {
    conn.execute(
        "UPDATE settings SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'run'",
        [],
    )?;
    conn.query_row("SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'run'", [], |row| row.get(0))
}

/// Changes something, so that a commit has something to write.
pub(super) fn touch(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE settings SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'probe'",
        [],
    )
    .map(|_| ())
}

/// The number of this upstream, a new one if it never wrote here.
pub(super) fn upstream_id(conn: &Connection, upstream: &UpstreamIdentity) -> rusqlite::Result<i64> {
    let UpstreamIdentity { name, address, dialect } = upstream;
    let known = conn
        .query_row(
            "SELECT id FROM upstreams WHERE name = ?1 AND address = ?2 AND dialect = ?3",
            params![name, address, dialect],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    conn.execute(
        "INSERT INTO upstreams (name, address, dialect) VALUES (?1, ?2, ?3)",
        params![name, address, dialect],
    )?;
    Ok(conn.last_insert_rowid())
}

/// The upstream of this number.
pub(crate) fn upstream(conn: &Connection, id: i64) -> rusqlite::Result<UpstreamIdentity> {
    let upstream = "SELECT name, address, dialect FROM upstreams WHERE id = ?1";
    conn.prepare_cached(upstream)?.query_row([id], |row| {
        Ok(UpstreamIdentity { name: row.get(0)?, address: row.get(1)?, dialect: row.get(2)? })
    })
}

/// What an error at the start means.
pub(crate) fn refusal(path: &Path, error: &rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    if let rusqlite::Error::FromSqlConversionFailure(_, _, what) = error {
        return JournalError::Damaged { path, what: what.to_string() };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => JournalError::Foreign { path, what: error.to_string() },
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Damaged { path, what: error.to_string() },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            JournalError::Unwritable { path, source: std::io::Error::other(error.to_string()) }
        }
        _ => JournalError::Failed { path, what: error.to_string() },
    }
}

/// Whether an error is the fault of one row: the others of its batch can do without it.
pub(super) fn is_of_the_row(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => {
            matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
        }
        // Made by us or by the conversion of a value.
        None => true,
    }
}

/// Whether a row of this number is there.
pub(super) fn is_there_already(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error(), Some(error) if error.extended_code == SQLITE_CONSTRAINT_PRIMARYKEY)
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// An image that could not be sealed fails its row.
pub(super) fn unsealable(error: std::io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A journal with some rows, and then the first page of a table or index overwritten.
    fn damaged_in(name: Option<&str>) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.journal");
        std::fs::write(&path, "").unwrap();
        let conn = connect(&Options::new(&path)).unwrap();
        create(&conn, "name").unwrap();
        conn.execute_batch("BEGIN").unwrap();
        for id in 1..=500 {
            let record = "INSERT INTO records (id, run, tx, upstream, mti, stage, received_ms, attempts, elements) \
                VALUES (?1, 1, ?1, 1, '0200', 7, 0, 0, '{}')";
            conn.execute(record, [id]).unwrap();
            let image = "INSERT INTO images (id, run, tx, key_id, nonce, sealed) VALUES (?1, 1, ?1, 'k', '', zeroblob(90))";
            conn.execute(image, [id]).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        checkpoint(&conn).unwrap();
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
        let size = number("PRAGMA page_size");
        let page =
            name.map(|name| number(&format!("SELECT rootpage FROM sqlite_schema WHERE name = '{name}'")));
        drop(conn);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Some(page) = page {
            file.write_all_at(&[0xFF; 64], (page - 1) * size).unwrap();
        }
        (directory, Connection::open(path).unwrap())
    }

    #[test]
    fn a_sound_journal_passes_whatever_its_size() {
        let (_directory, conn) = damaged_in(None);
        assert_eq!((verify(&conn), verify_up_to(&conn, 0), verify_for_work(&conn)), (Ok(()), Ok(()), Ok(())));
    }

    #[test]
    fn a_big_one_is_refused_for_what_it_cannot_do_without_and_the_rest_is_left_to_verify() {
        for (name, starts) in [
            ("images", false),
            ("notes", false),
            ("notes_of", false),
            ("records", false),
            ("records_asked", true),
        ] {
            let (_directory, conn) = damaged_in(Some(name));
            assert!(verify(&conn).is_err() && verify_for_work(&conn).is_err(), "{name}");
            assert_eq!(verify_up_to(&conn, 0).is_ok(), starts, "{name}");
        }
    }
}
