//! Bundles: the records of what ended in one commit, together in one row.
//!
//! Under load nearly all that a commit has is ends of sales that had an intent, perhaps an answer, and nothing else. One
//! statement writes all their records then, in place of one for each. A row is in `records` or in one bundle, never in
//! both, and what is in a bundle is over: whoever has more to say of a row [takes it out](take_out) first. So a row with
//! an image of its own has a record of its own.
//!
//! `rows` has the row numbers, ascending, two bytes each: what they are more than `id`, which is the first of them. `lines` has
//! a line for each: length (two bytes) and content of its facts, length (two bytes) and content of its answer, both as in
//! sheets (`sheet.rs`), the number of its outcome (one byte), and when it ended (eight bytes). Numbers begin with their
//! lowest byte. `rows` stands in front, and so lines are read only where they are wanted.

use hashbrown::HashMap;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::codes::Stage;
use super::schema;
use super::sheet::{Answered, Facts, damaged, take, take_array};

/// Fewer are not worth a bundle.
pub(super) const ROWS_MIN: usize = 8;
/// Rows of a bundle at most, and how far apart they are at most: so many numbers before a row a bundle with it may begin.
pub(super) const ROWS_MAX: usize = 128;
pub(super) const SPAN_MAX: i64 = 8192;

/// The record of a row that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended<'a> {
    pub(super) row: i64,
    pub(super) facts: Facts<'a>,
    facts_bytes: &'a [u8],
    /// Its stage is the last.
    pub(super) answered: Answered<'a>,
    answered_bytes: &'a [u8],
    /// The number of its outcome.
    pub(super) outcome: u8,
    /// When it ended (wall, ms since 1970).
    pub(super) ended_ms: i64,
}

/// A bundle that is being written.
#[derive(Default)]
pub(super) struct Lines {
    rows: Vec<u8>,
    lines: Vec<u8>,
    /// The first row and the last.
    span: Option<(i64, i64)>,
    received_ms: i64,
    ended_ms: i64,
}

impl Lines {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.lines.clear();
        (self.span, self.received_ms, self.ended_ms) = (None, i64::MIN, i64::MIN);
    }

    /// Adds a row: facts and answer as they stand in sheets, how and when it ended. Rows come in their order, and not too
    /// many or too far apart.
    pub(super) fn push(&mut self, row: i64, facts: &[u8], answered: &[u8], outcome: u8, ended_ms: i64) {
        let first = self.span.map_or(row, |(first, _)| first);
        debug_assert!(row >= first && row - first < SPAN_MAX);
        self.rows.extend_from_slice(&((row - first) as u16).to_le_bytes());
        // Both are short enough for a sheet.
        for part in [facts, answered] {
            self.lines.extend_from_slice(&(part.len() as u16).to_le_bytes());
            self.lines.extend_from_slice(part);
        }
        self.lines.push(outcome);
        self.lines.extend_from_slice(&ended_ms.to_le_bytes());
        self.span = Some((first, row));
        self.received_ms = self.received_ms.max(Facts::came(facts));
        self.ended_ms = self.ended_ms.max(ended_ms);
    }

    /// Writes it, if it has any rows.
    pub(super) fn write(&self, conn: &Connection, run: i64, upstream: i64) -> rusqlite::Result<()> {
        let Some((first, last)) = self.span else { return Ok(()) };
        let mut insert = conn.prepare_cached(schema::INSERT_BUNDLE)?;
        let (received_ms, ended_ms) = (self.received_ms, self.ended_ms);
        insert
            .execute(params![first, last, run, upstream, received_ms, ended_ms, self.rows, self.lines])
            .map(drop)
    }
}

/// A bundle as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    /// The number of its first row.
    pub(super) id: i64,
    pub(super) run: i64,
    pub(super) upstream: i64,
    rows: Vec<u8>,
    lines: Vec<u8>,
}

impl Bundle {
    /// That of this number, if there is one.
    pub(super) fn read(conn: &Connection, id: i64) -> rusqlite::Result<Option<Bundle>> {
        conn.prepare_cached("SELECT run, upstream, rows, lines FROM bundles WHERE id = ?1")?
            .query_row([id], |row| {
                let (run, upstream) = (row.get(0)?, row.get(1)?);
                Ok(Bundle { id, run, upstream, rows: row.get(2)?, lines: row.get(3)? })
            })
            .optional()
    }

    /// Its records.
    ///
    /// # Errors
    /// That it is damaged.
    pub(super) fn records(&self) -> rusqlite::Result<Vec<Ended<'_>>> {
        let mut rest = &self.lines[..];
        let records = numbers(self.id, &self.rows).map(|row| record(row, &mut rest));
        let records =
            records.collect::<Option<Vec<_>>>().filter(|records| rest.is_empty() && !records.is_empty());
        let is_whole = self.rows.len().is_multiple_of(2);
        records
            .filter(|_| is_whole)
            .ok_or_else(|| damaged(format!("the bundle of row {} is damaged", self.id)))
    }
}

/// The row numbers in `rows` of bundle `id`.
fn numbers(id: i64, rows: &[u8]) -> impl Iterator<Item = i64> {
    let (pairs, _) = rows.as_chunks();
    pairs.iter().map(move |pair| id.saturating_add(i64::from(u16::from_le_bytes(*pair))))
}

fn record<'a>(row: i64, rest: &mut &'a [u8]) -> Option<Ended<'a>> {
    let mut part = || {
        let len = u16::from_le_bytes(take_array(rest)?);
        take(rest, usize::from(len))
    };
    let (facts_bytes, answered_bytes) = (part()?, part()?);
    let ([outcome], ended_ms) = (take_array(rest)?, take_array(rest)?);
    Some(Ended {
        row,
        facts: Facts::read(facts_bytes)?,
        facts_bytes,
        answered: Answered::read(answered_bytes).filter(|answered| answered.stage == Stage::Closed)?,
        answered_bytes,
        outcome,
        ended_ms: i64::from_le_bytes(ended_ms),
    })
}

/// Goes through the bundles that may have rows from `first` to `last`: number, when the youngest of it ended, and the rows
/// that are among these.
fn each(
    conn: &Connection,
    first: i64,
    last: i64,
    mut each: impl FnMut(i64, i64, &mut dyn Iterator<Item = i64>),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT id, ended_ms, rows FROM bundles WHERE id > ?1 AND id <= ?2 AND last >= ?3 ORDER BY id",
    )?;
    let mut found = statement.query([first.saturating_sub(SPAN_MAX), last, first])?;
    while let Some(row) = found.next()? {
        let (id, ended_ms) = (row.get(0)?, row.get(1)?);
        let rows = row.get_ref(2)?.as_blob().unwrap_or_default();
        each(id, ended_ms, &mut numbers(id, rows).filter(|row| (first..=last).contains(row)));
    }
    Ok(())
}

/// Rows from `first` to `last` that are in bundles, and when they had ended (wall, ms since 1970).
pub(super) fn rows(conn: &Connection, first: i64, last: i64) -> rusqlite::Result<HashMap<i64, i64>> {
    let mut all = HashMap::new();
    each(conn, first, last, |_, ended_ms, rows| all.extend(rows.map(|row| (row, ended_ms))))?;
    Ok(all)
}

/// The bundles with rows from `first` to `last`; they may have others too.
pub(super) fn of_rows(conn: &Connection, first: i64, last: i64) -> rusqlite::Result<Vec<Bundle>> {
    let mut ids = Vec::new();
    each(conn, first, last, |id, _, rows| ids.extend(rows.next().map(|_| id)))?;
    let bundles = ids.into_iter().map(|id| Bundle::read(conn, id));
    bundles.filter_map(Result::transpose).collect()
}

/// How many rows are in bundles.
pub(super) fn count(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT COALESCE(SUM(LENGTH(rows)), 0) / 2 FROM bundles", [], |row| row.get(0))
}

/// The last row in any bundle.
pub(super) fn last(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let last = "SELECT MAX(last) FROM bundles WHERE id > (SELECT MAX(id) FROM bundles) - ?1";
    conn.query_row(last, [SPAN_MAX], |row| row.get(0))
}

/// The highest id of a transaction in the youngest bundles, `most` of them.
pub(super) fn last_tx(conn: &Connection, most: i64) -> rusqlite::Result<Option<u64>> {
    let mut statement = conn.prepare("SELECT id FROM bundles ORDER BY id DESC LIMIT ?1")?;
    let ids: Vec<i64> = statement.query_map([most], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut highest = None;
    for id in ids {
        let Some(bundle) = Bundle::read(conn, id)? else { continue };
        highest = highest.max(bundle.records()?.iter().map(|record| record.facts.tx).max());
    }
    Ok(highest)
}

/// The youngest row of transaction `tx` among bundles.
pub(super) fn of_tx(conn: &Connection, tx: u64) -> rusqlite::Result<Option<i64>> {
    let mut youngest = None;
    for id in ids(conn)? {
        let Some(bundle) = Bundle::read(conn, id)? else { continue };
        let records = bundle.records()?.into_iter().filter(|record| record.facts.tx == tx);
        youngest = youngest.max(records.map(|record| record.row).max());
    }
    Ok(youngest)
}

/// Numbers of all bundles.
pub(super) fn ids(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement = conn.prepare("SELECT id FROM bundles ORDER BY id")?;
    let found = statement.query_map([], |row| row.get(0))?;
    found.collect()
}

/// Gives what is in bundles of the rows from `first` to `last`, and is `wanted`, a record of its own.
pub(super) fn take_out(
    conn: &Connection,
    first: i64,
    last: i64,
    wanted: impl Fn(i64) -> bool,
) -> rusqlite::Result<()> {
    let wanted = |row: i64| (first..=last).contains(&row) && wanted(row);
    let mut insert = conn.prepare_cached(schema::INSERT_RECORD)?;
    let mut delete = conn.prepare_cached("DELETE FROM bundles WHERE id = ?1")?;
    let mut rest = Lines::default();
    for bundle in of_rows(conn, first, last)? {
        let records = bundle.records()?;
        if !records.iter().any(|record| wanted(record.row)) {
            continue;
        }
        delete.execute([bundle.id])?;
        rest.clear();
        for record in records {
            if wanted(record.row) {
                insert_record(&mut insert, &bundle, &record)?;
                continue;
            }
            rest.push(record.row, record.facts_bytes, record.answered_bytes, record.outcome, record.ended_ms);
        }
        rest.write(conn, bundle.run, bundle.upstream)?;
    }
    Ok(())
}

fn insert_record(
    insert: &mut CachedStatement<'_>,
    bundle: &Bundle,
    record: &Ended<'_>,
) -> rusqlite::Result<()> {
    let Ended { row, facts, answered, outcome, ended_ms, .. } = record;
    let none = None::<Vec<u8>>;
    insert
        .execute(params![
            row,
            bundle.run,
            facts.tx as i64,
            bundle.upstream,
            facts.mti,
            answered.stage.number(),
            outcome,
            facts.received_ms,
            ended_ms,
            0,
            answered.rrn,
            answered.approval_code,
            answered.response_code,
            none,
            none,
            facts.elements,
        ])
        .map(drop)
}

/// Reads them all.
///
/// # Errors
/// That one is damaged, or has a row that has a record of its own.
pub(super) fn verify(conn: &Connection) -> rusqlite::Result<()> {
    let mut has_record = conn.prepare_cached("SELECT 1 FROM records WHERE id BETWEEN ?1 AND ?2")?;
    let mut ids_between = conn.prepare_cached("SELECT id FROM records WHERE id BETWEEN ?1 AND ?2")?;
    for id in ids(conn)? {
        let Some(bundle) = Bundle::read(conn, id)? else { continue };
        let records = bundle.records()?;
        let last = records.last().map_or(id, |record| record.row);
        if !has_record.exists([id, last])? {
            continue;
        }
        let mut found = ids_between.query([id, last])?;
        while let Some(row) = found.next()? {
            let row: i64 = row.get(0)?;
            if records.iter().any(|record| record.row == row) {
                return Err(damaged(format!("row {row} has a record and is in a bundle")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand.
    const FACTS: &[u8] = b"\x07\0\0\0\0\0\0\0\xE8\x03\0\0\0\0\0\x000200{}";
    const ANSWERED: &[u8] = b"\x07\x02AB\xFF\x0200";
    const LINE: &[u8] = b"\x16\0\x07\0\0\0\0\0\0\0\xE8\x03\0\0\0\0\0\x000200{}\
        \x08\0\x07\x02AB\xFF\x0200\
        \x02\xD0\x07\0\0\0\0\0\0";

    fn bundle(rows: &[u8], lines: &[u8]) -> Bundle {
        Bundle { id: 300, run: 1, upstream: 1, rows: rows.to_vec(), lines: lines.to_vec() }
    }

    #[test]
    fn records_stand_in_the_file_as_described() {
        let mut lines = Lines::default();
        lines.push(300, FACTS, ANSWERED, 2, 2000);
        lines.push(300 + 0x0102, FACTS, ANSWERED, 2, 2000);
        assert_eq!((&lines.rows[..], &lines.lines[..]), (&b"\0\0\x02\x01"[..], &[LINE, LINE].concat()[..]));
        assert_eq!((lines.span, lines.received_ms, lines.ended_ms), (Some((300, 558)), 1000, 2000));
        let read = bundle(&lines.rows, &lines.lines);
        let records = read.records().unwrap();
        assert_eq!(records.iter().map(|record| record.row).collect::<Vec<_>>(), [300, 558]);
        let Ended { facts, answered, outcome, ended_ms, .. } = records[1];
        assert_eq!(facts, Facts { tx: 7, received_ms: 1000, mti: "0200", elements: "{}" });
        assert_eq!(
            (answered.stage, answered.rrn, answered.response_code),
            (Stage::Closed, Some("AB"), Some("00"))
        );
        assert_eq!((answered.approval_code, outcome, ended_ms), (None, 2, 2000));
    }

    #[test]
    fn a_damaged_bundle_is_refused() {
        for len in 0..LINE.len() {
            assert!(bundle(b"\0\0", &LINE[..len]).records().is_err(), "{len}");
        }
        for rows in [&b""[..], b"\0", b"\0\0\x01", b"\0\0\x01\0"] {
            assert!(bundle(rows, LINE).records().is_err(), "{rows:?}");
        }
        // What is not over is in no bundle.
        let open = [&LINE[..26], &[0], &LINE[27..]].concat();
        assert!(bundle(b"\0\0", LINE).records().is_ok() && bundle(b"\0\0", &open).records().is_err());
    }
}
