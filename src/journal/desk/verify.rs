//! Whether a journal is what it should be: the file as SQLite knows it, and every sealed message.

use std::collections::BTreeMap;

use super::Reader;
use crate::journal::JournalError;
use crate::journal::codes::Stage;
use crate::journal::seal::{Keyring, Unsealed, row_identity};
use crate::journal::sheet;
use crate::journal::sqlite::connection;

/// Sealed messages looked at in one statement.
const WINDOW: i64 = 1000;
/// Rows named one by one; more are counted.
const NAMED_MAX: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What SQLite's integrity check says first, if anything is wrong.
    pub damage: Option<String>,
    /// Rows by stage.
    pub rows: Vec<(Stage, u64)>,
    /// Sealed messages.
    pub sealed: u64,
    /// How many of them each key seals.
    pub by_key: BTreeMap<String, u64>,
    /// Those whose key was not given, by the key's id.
    pub without_key: BTreeMap<String, u64>,
    /// Those that do not unseal with their key, the first [`NAMED_MAX`] of them by row.
    pub tampered: Vec<i64>,
    /// How many those are.
    pub tampered_count: u64,
    /// Open rows that have no sealed message, so that nothing could be sent for them.
    pub empty: u64,
}

impl Findings {
    /// Whether all is well.
    pub fn is_sound(&self) -> bool {
        self.damage.is_none() && self.without_key.is_empty() && self.tampered_count == 0 && self.empty == 0
    }
}

/// Looks through the whole journal. What is unsealed is dropped at once.
///
/// # Errors
/// The file cannot be read so far that there is anything to say.
pub fn verify(reader: &Reader, keys: &Keyring) -> Result<Findings, JournalError> {
    let mut findings = Findings { damage: connection::verify(&reader.conn).err(), ..Findings::default() };
    let looked = reader.counts().and_then(|rows| {
        findings.rows = rows;
        unseal_all(reader, keys, &mut findings).map_err(|error| reader.refused(&error))
    });
    match looked {
        // What SQLite says of the damage is enough.
        Err(_) if findings.damage.is_some() => Ok(findings),
        Err(JournalError::Damaged { what, .. }) => Ok(Findings { damage: Some(what), ..findings }),
        Err(error) => Err(error),
        Ok(()) => Ok(findings),
    }
}

fn unseal_all(reader: &Reader, keys: &Keyring, findings: &mut Findings) -> rusqlite::Result<()> {
    let conn = &reader.conn;
    let journal: String =
        conn.query_row("SELECT value FROM settings WHERE name = 'journal'", [], |row| row.get(0))?;
    let mut look = |row: i64, identity: &[u8], key_id: &str, nonce: &[u8], sealed: &[u8]| {
        match keys.unseal(key_id, nonce, sealed, identity) {
            Ok(_) => {}
            Err(Unsealed::NoKey) => *findings.without_key.entry(key_id.to_owned()).or_default() += 1,
            Err(Unsealed::Tampered) => {
                findings.tampered_count += 1;
                if findings.tampered.len() < NAMED_MAX {
                    findings.tampered.push(row);
                }
            }
        }
        findings.sealed += 1;
        *findings.by_key.entry(key_id.to_owned()).or_default() += 1;
    };
    let mut statement = conn.prepare(
        "SELECT i.id, r.upstream, r.mti, r.received_ms, i.key_id, i.nonce, i.sealed
         FROM images i JOIN records r ON r.id = i.id WHERE i.id > ?1 ORDER BY i.id LIMIT ?2",
    )?;
    let mut after = i64::MIN;
    loop {
        let mut rows = statement.query([after, WINDOW])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let identity = row_identity(&journal, id, row.get(1)?, &row.get::<_, String>(2)?, row.get(3)?);
            let (key_id, nonce, sealed): (String, Vec<u8>, Vec<u8>) = (row.get(4)?, row.get(5)?, row.get(6)?);
            look(id, &identity, &key_id, &nonce, &sealed);
            (after, seen) = (id, seen + 1);
        }
        if seen < WINDOW {
            break;
        }
    }
    for id in sheet::ids(conn, "TRUE")? {
        // One that was unfolded meanwhile is as good as its rows were.
        let Some(sheet) = sheet::of_row(conn, id)? else { continue };
        for line in sheet.lines()? {
            let (mti, received_ms) = (line.facts.mti, line.facts.received_ms);
            let identity = row_identity(&journal, line.row, sheet.upstream, mti, received_ms);
            look(line.row, &identity, &sheet.key_id, line.nonce, line.sealed);
        }
    }
    let empty = "SELECT COUNT(*) FROM records r INDEXED BY records_open WHERE r.stage <> 7
        AND NOT EXISTS (SELECT 1 FROM images i WHERE i.id = r.id)
        AND NOT EXISTS (SELECT 1 FROM sheets s WHERE s.id = (SELECT MAX(x.id) FROM sheets x WHERE x.id <= r.id)
            AND s.last >= r.id)";
    findings.empty = conn.query_row(empty, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    Ok(())
}
