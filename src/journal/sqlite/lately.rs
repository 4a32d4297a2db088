//! What ended less than `lateWindow` before a start: an answer to it may still come.

use bytes::Bytes;
use hashbrown::HashMap;
use rusqlite::{Connection, Row};

use super::connection;
use crate::journal::bundle::{self, Ended};
use crate::journal::codes::outcome_of_number;
use crate::journal::seal::{Keyring, row_identity};
use crate::journal::sheet::{self, Facts, Sheet};
use crate::journal::{LatelyRow, Options, UpstreamIdentity, schema};
use crate::time::Now;

/// Sheets whose ends are read together.
const CHUNK: usize = 512;

/// Every such row, the oldest end first. One whose message cannot be unsealed comes without it: nothing is owed for it
/// now, so that is no reason not to start.
pub(super) fn lately(
    conn: &Connection,
    options: &Options,
    keys: &Keyring,
    now: Now,
) -> rusqlite::Result<Vec<LatelyRow>> {
    let journal: String =
        conn.query_row("SELECT value FROM settings WHERE name = 'journal'", [], |row| row.get(0))?;
    let since = now.wall_ms.saturating_sub(connection::millis(options.late_window));
    let image = |row: &Record, key_id: &str, nonce: &[u8], sealed: &[u8]| {
        let identity = row_identity(&journal, row.0.row, row.1, &row.2, row.3);
        keys.unseal(key_id, nonce, sealed, &identity).ok().map(Bytes::from)
    };
    let mut rows = Vec::new();
    let mut statement = conn.prepare(schema::LATELY)?;
    let mut found = statement.query([since])?;
    while let Some(row) = found.next()? {
        let Some(mut record) = read(row)? else { continue };
        let (key_id, nonce, sealed): (String, Vec<u8>, Vec<u8>) = (row.get(13)?, row.get(14)?, row.get(15)?);
        record.0.image = image(&record, &key_id, &nonce, &sealed);
        rows.push(record.0);
    }
    let mut statement = conn.prepare(schema::LATELY_BETWEEN)?;
    for ids in sheet::ids(conn, "TRUE")?.chunks(CHUNK) {
        let sheets = ids.iter().map(|id| sheet::of_row(conn, *id)).filter_map(Result::transpose);
        let sheets: Vec<Sheet> = sheets.collect::<rusqlite::Result<_>>()?;
        let ends = Ends::of(conn, &sheets, since)?;
        for sheet in sheets {
            let lines = sheet.lines()?;
            let mut found = statement.query([since, sheet.id, sheet.last])?;
            let mut records = Vec::new();
            while let Some(row) = found.next()? {
                records.extend(read(row)?);
            }
            for row in sheet.id..=sheet.last {
                records.extend(ends.record(row));
            }
            for mut record in records {
                let at = usize::try_from(record.0.row - sheet.id).unwrap_or(usize::MAX);
                record.0.image =
                    lines.get(at).and_then(|line| image(&record, &sheet.key_id, line.nonce, line.sealed));
                rows.push(record.0);
            }
        }
    }
    rows.sort_by_key(|row: &LatelyRow| (row.ended_wall_ms, row.row));
    Ok(rows)
}

/// What ended lately of the rows of some sheets, and is in bundles.
struct Ends {
    rows: HashMap<i64, Record>,
}

impl Ends {
    fn of(conn: &Connection, sheets: &[Sheet], since: i64) -> rusqlite::Result<Ends> {
        let mut rows = HashMap::new();
        let (Some(first), Some(last)) = (sheets.first(), sheets.last()) else { return Ok(Ends { rows }) };
        for bundle in bundle::of_rows(conn, first.id, last.last)? {
            let upstream = connection::upstream(conn, bundle.upstream)?;
            let records = bundle.records()?.into_iter().filter(|record| record.ended_ms >= since);
            let lately = |record: &Ended<'_>| {
                Some(LatelyRow {
                    row: record.row,
                    was: record.facts.tx,
                    image: None,
                    outcome: outcome_of_number(i64::from(record.outcome))?,
                    attempts: 0,
                    rrn: record.answered.rrn.map(|rrn| Bytes::copy_from_slice(rrn.as_bytes())),
                    response_code: record.answered.response_code.map(str::to_owned),
                    ended_wall_ms: record.ended_ms,
                    upstream: upstream.clone(),
                })
            };
            for record in records {
                let Facts { mti, received_ms, .. } = record.facts;
                let lately = lately(&record);
                rows.extend(
                    lately.map(|row| (record.row, (row, bundle.upstream, mti.to_owned(), received_ms))),
                );
            }
        }
        Ok(Ends { rows })
    }

    fn record(&self, row: i64) -> Option<Record> {
        self.rows.get(&row).cloned()
    }
}

/// A row without its image, the number of its upstream, its MTI, and when it came.
type Record = (LatelyRow, i64, String, i64);

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Record>> {
    let Some(outcome) = row.get::<_, Option<i64>>(4)?.and_then(outcome_of_number) else { return Ok(None) };
    let lately = LatelyRow {
        row: row.get(0)?,
        was: row.get::<_, i64>(1)? as u64,
        outcome,
        attempts: row.get(5)?,
        rrn: row.get::<_, Option<String>>(6)?.map(Bytes::from),
        response_code: row.get(7)?,
        ended_wall_ms: row.get(8)?,
        upstream: UpstreamIdentity { name: row.get(10)?, address: row.get(11)?, dialect: row.get(12)? },
        image: None,
    };
    Ok(Some((lately, row.get(9)?, row.get(2)?, row.get(3)?)))
}
