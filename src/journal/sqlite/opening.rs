//! From a path to a store whose every open row is known.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::Connection;

use super::Readable;
use super::connection;
use super::lately::lately;
use super::names::{self, Names};
use super::pen::ImageOf;
use super::store::Store;
use crate::journal::codes::{FORCED, Stage, outcome_of_number};
use crate::journal::disk::Disk;
use crate::journal::elements::Elements;
use crate::journal::place::Place;
use crate::journal::seal::{Key, Keyring, Unsealed, fresh_secret, row_identity};
use crate::journal::{
    Forced, JournalError, LatelyRow, OpenRow, Options, RememberedRow, UpstreamIdentity, schema, sheet,
};
use crate::mux::{self, FinalState, Record};
use crate::rules::KeptAnswer;
use crate::time::Now;

/// Most ended transactions that a start is told of, the newest: more than the core remembers.
const REMEMBERED_MAX: i64 = 200_000;

/// An opened journal.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) place: Place,
    pub(super) rows: Vec<OpenRow>,
    /// How many of them cannot be read.
    pub(super) unreadable: usize,
    pub(super) remembered: Vec<RememberedRow>,
    pub(super) lately: Vec<LatelyRow>,
    pub(super) names: Names,
}

/// Opens the journal that `options` name; makes it, and its key, when there is none.
pub(super) fn open(
    options: &Options,
    upstream: &UpstreamIdentity,
    image: ImageOf,
    readable: &Readable,
    disk: Box<dyn Disk>,
    now: Now,
) -> Result<Opened, JournalError> {
    let place = Place::take(&options.file)?;
    let options = Options { file: place.path().to_owned(), ..options.clone() };
    place.make_room();
    let (conn, keys) = connect(&place, &options)?;
    let unfolded = unfold_open(&conn).or_else(|error| {
        if connection::Trouble::of(&error) != connection::Trouble::Full {
            return Err(error);
        }
        // What is open has to be made good on a full disk, too.
        place.release_reserve();
        unfold_open(&conn)
    });
    unfolded.map_err(|error| connection::refusal(&options.file, &error))?;
    let mut rows = open_rows(&conn, &options, &keys)?;
    let refused = |error| connection::refusal(&options.file, &error);
    let remembered = remembered(&conn, &options, now).map_err(refused)?;
    let lately = lately(&conn, &options, &keys, now).map_err(refused)?;
    let unreadable: Vec<i64> = rows.iter().filter(|row| !readable(row)).map(|row| row.row).collect();
    let fresh = fresh_secret()
        .map_err(|error| JournalError::Failed { path: options.file.clone(), what: error.to_string() })?;
    let names = names::load(&conn, fresh).map_err(refused)?;
    let file = options.file.clone();
    let mut store = Store::new(conn, &options, keys, upstream, image, disk, now)?;
    if !unreadable.is_empty() {
        store.set_aside(&unreadable, now).map_err(|error| connection::refusal(&file, &error))?;
    }
    for row in rows.iter_mut().filter(|row| unreadable.contains(&row.row) && row.stage != mux::Stage::Parked)
    {
        row.stage = mux::Stage::Listed;
    }
    Ok(Opened { store, place, rows, unreadable: unreadable.len(), remembered, lately, names })
}

fn connect(place: &Place, options: &Options) -> Result<(Connection, Keyring), JournalError> {
    let path = place.path();
    let exists = place.prepare()?;
    let refused = |error: rusqlite::Error| connection::refusal(path, &error);
    if exists {
        // Before anything is written to what may be somebody else's.
        let plain = Connection::open(path).map_err(refused)?;
        connection::identify(&plain, path)?;
    }
    let conn = connection::connect(options).map_err(refused)?;
    if exists && connection::identify(&conn, path)? {
        connection::verify_for_work(&conn)
            .map_err(|what| JournalError::Damaged { path: path.to_owned(), what })?;
        let keys = Keyring::load(options, false)?;
        return Ok((conn, keys));
    }
    let keys = Keyring::load(options, true)?;
    let name = Key::generate()
        .map_err(|error| JournalError::Failed { path: path.to_owned(), what: error.to_string() })?;
    connection::create(&conn, name.id()).map_err(refused)?;
    Ok((conn, keys))
}

/// What is open stands in `records` and `images` from here on.
fn unfold_open(conn: &Connection) -> rusqlite::Result<()> {
    let transaction = conn.unchecked_transaction()?;
    sheet::unfold_open(&transaction)?;
    transaction.commit()
}

/// Every row that is open, unsealed.
///
/// # Errors
/// [`JournalError::Sealed`] for the key that most rows want, [`JournalError::Damaged`].
pub(in crate::journal) fn open_rows(
    conn: &Connection,
    options: &Options,
    keys: &Keyring,
) -> Result<Vec<OpenRow>, JournalError> {
    let path = &options.file;
    let refused = |error: rusqlite::Error| connection::refusal(path, &error);
    let damaged = |what: String| JournalError::Damaged { path: path.clone(), what };
    let journal: String = conn
        .query_row("SELECT value FROM settings WHERE name = 'journal'", [], |row| row.get(0))
        .map_err(refused)?;
    let mut statement = conn.prepare(schema::OPEN).map_err(refused)?;
    let mut found = statement.query([]).map_err(refused)?;
    let (mut rows, mut wanted) = (Vec::new(), BTreeMap::<String, usize>::new());
    while let Some(row) = found.next().map_err(refused)? {
        let (open, sealed) = read(row, &journal).map_err(refused)?;
        let Some(mut open) = open else {
            return Err(damaged("a stage that this release does not know".to_owned()));
        };
        match keys.unseal(&sealed.key_id, &sealed.nonce, &sealed.bytes, &sealed.identity) {
            Ok(image) => open.image = Bytes::from(image),
            Err(Unsealed::NoKey) => {
                *wanted.entry(sealed.key_id).or_default() += 1;
                continue;
            }
            Err(error @ Unsealed::Tampered) => {
                return Err(damaged(format!("the image of row {}: {error}", open.row)));
            }
        }
        rows.push(open);
    }
    match wanted.into_iter().max_by_key(|(_, count)| *count) {
        None => Ok(rows),
        Some((key_id, count)) => {
            Err(JournalError::Sealed { path: path.clone(), key_id, count, keys: keys.place().to_owned() })
        }
    }
}

struct SealedRow {
    key_id: String,
    nonce: Vec<u8>,
    bytes: Vec<u8>,
    identity: Vec<u8>,
}

fn read(row: &rusqlite::Row<'_>, journal: &str) -> rusqlite::Result<(Option<OpenRow>, SealedRow)> {
    let digest = |at| digest(row, at);
    let (id, mti, received): (i64, String, i64) = (row.get(0)?, row.get(2)?, row.get(3)?);
    let sealed = SealedRow {
        key_id: row.get(14)?,
        nonce: row.get(15)?,
        bytes: row.get(16)?,
        identity: row_identity(journal, id, row.get(10)?, &mti, received),
    };
    let Some(mut stage) = Stage::of_number(row.get(5)?).and_then(Stage::open) else {
        return Ok((None, sealed));
    };
    let ordered: Option<String> = row.get(18)?;
    if stage == mux::Stage::Owed && ordered.is_some() {
        stage = mux::Stage::Ordered;
    }
    let open = OpenRow {
        row: id,
        was: row.get::<_, i64>(1)? as u64,
        mti,
        image: Bytes::new(),
        received_wall_ms: received,
        left_wall_ms: row.get(4)?,
        stage,
        attempts: row.get(6)?,
        rrn: row.get::<_, Option<String>>(7)?.map(Bytes::from),
        upstream: UpstreamIdentity { name: row.get(11)?, address: row.get(12)?, dialect: row.get(13)? },
        record: record(digest(8)?, digest(9)?),
        superseded: row.get(17)?,
        forced: match (ordered.as_deref() == Some(FORCED), row.get(19)?) {
            (false, _) => Forced::No,
            (true, None) => Forced::ToAny,
            (true, Some(name)) => {
                Forced::To(UpstreamIdentity { name, address: row.get(20)?, dialect: row.get(21)? })
            }
        },
    };
    Ok((Some(open), sealed))
}

/// A digest in column `at`.
fn digest(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<[u8; 32]>> {
    Ok(row.get::<_, Option<Vec<u8>>>(at)?.and_then(|bytes| bytes.try_into().ok()))
}

fn record(key: Option<[u8; 32]>, body: Option<[u8; 32]>) -> Option<Record> {
    body.map(|body| Record { key, body })
}

/// What has ended within `idempotencyTtl` and is remembered, oldest end first.
fn remembered(conn: &Connection, options: &Options, now: Now) -> rusqlite::Result<Vec<RememberedRow>> {
    let since = now.wall_ms.saturating_sub(connection::millis(options.idempotency_ttl));
    let mut statement = conn.prepare(schema::REMEMBERED)?;
    let mut found = statement.query([since, REMEMBERED_MAX])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        // A row that a person resolved may have no outcome of its own. Its key is not forgotten for that.
        let outcome = row.get::<_, Option<i64>>(3)?.and_then(outcome_of_number).unwrap_or(FinalState::Parked);
        let Some(record) = record(digest(row, 1)?, digest(row, 2)?) else { continue };
        let elements = Elements::read(&row.get::<_, String>(11)?, row.get(12)?)?;
        rows.push(RememberedRow {
            was: row.get::<_, i64>(0)? as u64,
            record,
            outcome,
            attempts: row.get(4)?,
            ended_wall_ms: row.get(5)?,
            dialect: row.get(6)?,
            answer: KeptAnswer {
                mti: row.get(7)?,
                processing_code: elements.processing_code,
                amount: elements.amount,
                transmission_time: elements.transmission_time,
                stan: elements.stan,
                local_time: elements.local_time,
                rrn: row.get::<_, Option<String>>(8)?.or(elements.rrn),
                approval_code: row.get(9)?,
                response_code: row.get(10)?,
                tid: elements.tid,
                mid: elements.mid,
                currency: elements.currency,
            },
        });
    }
    rows.sort_by_key(|row| row.ended_wall_ms);
    Ok(rows)
}
