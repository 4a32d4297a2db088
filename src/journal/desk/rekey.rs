//! Rotation of the key: everything sealed anew with another one, so that the old one is no longer needed.
//!
//! Where the key stands in a file of ours, the file gets the new key before the old one first, then everything is sealed
//! anew in one transaction, then the old key leaves the file. Whatever the moment at which this is interrupted: the keys
//! that are there unseal what is there.

use std::path::PathBuf;

use rusqlite::{Connection, params};

use super::Keeper;
use crate::journal::seal::{Key, Keyring, Unsealed, row_identity, write_key_file};
use crate::journal::{JournalError, Options, sheet};

/// Sealed messages that are read at a time.
const WINDOW: i64 = 1000;

/// Where the new key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// It is made, and written to this file, in which the old one stands.
    Made(PathBuf),
    /// It is the first of the keys that were given: they stand where only their owner changes them.
    First,
}

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The key file has both keys.
    BothKeys,
    /// Everything is sealed anew, and not committed.
    Sealed,
    /// It is committed.
    Committed,
    /// The key file has the new key only.
    NewKeyOnly,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// The key that seals everything now.
    pub key_id: String,
    /// How many were sealed with another one before.
    pub resealed: u64,
    /// The keys that are no longer needed.
    pub retired: Vec<String>,
}

impl Keeper {
    /// Seals everything anew. `go_on` is asked after each step; `false` leaves everything as it is at that moment, as
    /// a crash would.
    ///
    /// # Errors
    /// Something cannot be unsealed with the keys of `options` (nothing has changed then), the key file cannot be
    /// written, or the disk fails.
    pub fn rekey(
        mut self,
        options: &Options,
        source: &KeySource,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Option<Rekeyed>, JournalError> {
        let path = self.path().to_owned();
        let old = Keyring::load(&Options { file: path.clone(), ..options.clone() }, false)?;
        let failed = |what: String| JournalError::Failed { path: path.clone(), what };
        let ring = match source {
            KeySource::First => old.clone(),
            KeySource::Made(_) => old.with_first(Key::generate().map_err(|error| failed(error.to_string()))?),
        };
        let key = ring.first().cloned().ok_or_else(|| failed("no key".to_owned()))?;
        let retired: Vec<String> = ring.ids().filter(|id| *id != key.id()).map(str::to_owned).collect();
        self.unseals_with(&old)?;
        let in_file = |error: std::io::Error, file: &PathBuf| JournalError::Key {
            place: file.display().to_string(),
            problem: error.to_string(),
        };
        if let KeySource::Made(file) = source {
            write_key_file(file, &ring.expose()).map_err(|error| in_file(error, file))?;
            if !go_on(Step::BothKeys) {
                return Ok(None);
            }
        }
        let mut stopped = false;
        let resealed = self.change(|conn| {
            sheet::unfold_all(conn)?;
            let resealed = reseal(conn, &ring, key.id())?;
            stopped = !go_on(Step::Sealed);
            // What has no commit is gone with the connection, as in a crash.
            if stopped { Err(rusqlite::Error::ExecuteReturnedResults) } else { Ok(resealed) }
        });
        if stopped {
            return Ok(None);
        }
        let resealed = resealed?;
        if !go_on(Step::Committed) {
            return Ok(None);
        }
        if let KeySource::Made(file) = source {
            write_key_file(file, &format!("{}\n", key.expose())).map_err(|error| in_file(error, file))?;
            go_on(Step::NewKeyOnly);
        }
        Ok(Some(Rekeyed { key_id: key.id().to_owned(), resealed, retired }))
    }

    /// Everything that is sealed unseals.
    fn unseals_with(&self, keys: &Keyring) -> Result<(), JournalError> {
        let findings = super::verify(&self.reader()?, keys)?;
        let path = self.path().to_owned();
        if let Some((key_id, count)) = findings.without_key.into_iter().max_by_key(|(_, count)| *count) {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            return Err(JournalError::Sealed { path, key_id, count, keys: keys.place().to_owned() });
        }
        match findings.tampered.first() {
            None => Ok(()),
            Some(row) => {
                let what = format!("the image of row {row}: {}", Unsealed::Tampered);
                Err(JournalError::Damaged { path, what })
            }
        }
    }
}

/// Seals anew what another key seals; how many those were.
fn reseal(conn: &Connection, ring: &Keyring, key_id: &str) -> rusqlite::Result<u64> {
    let unusable = |error: String| rusqlite::Error::ToSqlConversionFailure(error.into());
    let journal: String =
        conn.query_row("SELECT value FROM settings WHERE name = 'journal'", [], |row| row.get(0))?;
    let mut select = conn.prepare(
        "SELECT i.id, r.upstream, r.mti, r.received_ms, i.key_id, i.nonce, i.sealed
         FROM images i JOIN records r ON r.id = i.id WHERE i.id > ?1 AND i.key_id <> ?2 ORDER BY i.id LIMIT ?3",
    )?;
    let mut update = conn.prepare("UPDATE images SET key_id = ?2, nonce = ?3, sealed = ?4 WHERE id = ?1")?;
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let mut anew = Vec::new();
        let mut rows = select.query(params![after, key_id, WINDOW])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let identity = row_identity(&journal, id, row.get(1)?, &row.get::<_, String>(2)?, row.get(3)?);
            let (key, nonce, sealed): (String, Vec<u8>, Vec<u8>) = (row.get(4)?, row.get(5)?, row.get(6)?);
            let image = ring
                .unseal(&key, &nonce, &sealed, &identity)
                .map_err(|error| unusable(format!("the image of row {id}: {error}")))?;
            let sealed = ring.seal(&image, &identity).map_err(|error| unusable(error.to_string()))?;
            anew.push((id, sealed));
            after = id;
        }
        drop(rows);
        if anew.is_empty() {
            return Ok(count);
        }
        count += anew.len() as u64;
        for (id, sealed) in anew {
            update.execute(params![id, sealed.key_id, &sealed.nonce[..], sealed.bytes])?;
        }
    }
}
