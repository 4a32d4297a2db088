//! What ended less than `lateWindow` before a start: an answer to it may still come.

use bytes::Bytes;
use rusqlite::Connection;

use super::connection;
use crate::journal::codes::outcome_of_number;
use crate::journal::seal::{Keyring, row_identity};
use crate::journal::{LatelyRow, Options, UpstreamIdentity, schema};
use crate::time::Now;

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
    let mut statement = conn.prepare(schema::LATELY)?;
    let mut found = statement.query([since])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let Some(outcome) = row.get::<_, Option<i64>>(4)?.and_then(outcome_of_number) else { continue };
        let (id, mti, received): (i64, String, i64) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let identity = row_identity(&journal, id, row.get(9)?, &mti, received);
        let (key_id, nonce, sealed): (String, Vec<u8>, Vec<u8>) = (row.get(13)?, row.get(14)?, row.get(15)?);
        rows.push(LatelyRow {
            row: id,
            was: row.get::<_, i64>(1)? as u64,
            outcome,
            attempts: row.get(5)?,
            rrn: row.get::<_, Option<String>>(6)?.map(Bytes::from),
            response_code: row.get(7)?,
            ended_wall_ms: row.get(8)?,
            upstream: UpstreamIdentity { name: row.get(10)?, address: row.get(11)?, dialect: row.get(12)? },
            image: keys.unseal(&key_id, &nonce, &sealed, &identity).ok().map(Bytes::from),
        });
    }
    rows.sort_by_key(|row: &LatelyRow| (row.ended_wall_ms, row.row));
    Ok(rows)
}
