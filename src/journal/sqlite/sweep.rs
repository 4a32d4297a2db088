//! The sweep: what is over long enough goes, and the log is moved into the database.

use rusqlite::{OptionalExtension, params};

use super::connection::{self, Trouble};
use super::pen;
use super::rows::{ERASE_GRACE, Unfolded};
use super::store::Store;
use crate::journal::{bundle, schema, sheet};
use crate::time::Now;

/// Images erased, and records deleted, in one commit: it must not keep intents waiting.
const SWEEP_MAX: usize = 1000;
/// Bundles deleted, of at most [`ROWS_MAX`](bundle::ROWS_MAX) records each.
const BUNDLES_MAX: usize = 20;
/// Sheets erased, of at most [`LINES_MAX`](sheet::LINES_MAX) images each.
const SHEETS_MAX: usize = 20;

impl Store {
    /// Erases images and deletes records whose time is over, then empties the log into the database. Whether there is
    /// more to do at once.
    pub(super) fn sweep(&mut self, now: Now) -> Result<bool, Trouble> {
        let images = self.erase_images(now).map_err(|error| self.rolled_back(&error))?;
        let records = self.delete_records(now).map_err(|error| self.rolled_back(&error))?;
        let bundles = self.delete_bundles(now).map_err(|error| self.rolled_back(&error))?;
        if !images && !records && !bundles {
            self.be_alone();
            connection::checkpoint(&self.conn).map_err(|error| Trouble::of(&error))?;
        }
        Ok(images || records || bundles)
    }

    /// Erases images while the disk is full. The log keeps its length: what is taken of it might not be had again.
    pub(super) fn sweep_when_full(&mut self, now: Now) -> Result<bool, Trouble> {
        self.erase_images(now).map_err(|error| self.rolled_back(&error))
    }

    fn rolled_back(&self, error: &rusqlite::Error) -> Trouble {
        let _ = self.conn.execute_batch("ROLLBACK");
        Trouble::of(error)
    }

    fn erase_images(&mut self, now: Now) -> rusqlite::Result<bool> {
        let due = self.rows.due(now.uptime, SWEEP_MAX, SHEETS_MAX);
        let mut unfolded = Vec::new();
        if !due.images.is_empty() || !due.sheets.is_empty() {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            let mut statement = self.conn.prepare_cached(schema::ERASE_IMAGE)?;
            for row in &due.images {
                statement.execute([row])?;
            }
            drop(statement);
            unfolded = self.erase_sheets(&due.sheets, now)?;
            self.conn.execute_batch("COMMIT")?;
        }
        self.rows.erased(now.uptime, &due);
        self.rows.unfolded(now.uptime, &unfolded);
        Ok(self.rows.is_due(now.uptime))
    }

    /// Erases each sheet if the time of all its rows is over, else unfolds it: those rows.
    fn erase_sheets(&self, ids: &[i64], now: Now) -> rusqlite::Result<Vec<Unfolded>> {
        let kept_for = self.options.late_window + ERASE_GRACE;
        let ended_by = now.wall_ms.saturating_sub(connection::millis(kept_for));
        let mut span = self.conn.prepare_cached(schema::SHEET_SPAN)?;
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for id in ids {
            // One that is not there any more was unfolded.
            spans.extend(span.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?);
        }
        let first = spans.iter().map(|(first, _)| *first).min().unwrap_or(0);
        let last = spans.iter().map(|(_, last)| *last).max().unwrap_or(0);
        let bundled = bundle::rows(&self.conn, first, last)?;
        let mut by_themselves = self.conn.prepare_cached(schema::ENDED_BY)?;
        let mut unfolded = Vec::new();
        for (first, last) in spans {
            let is_over = |row: &i64| bundled.get(row).is_some_and(|ended_ms| *ended_ms <= ended_by);
            let over = (first..=last).filter(is_over).count() as i64
                + by_themselves.query_row([first, last, ended_by], |row| row.get::<_, i64>(0))?;
            if over > last - first {
                self.conn.prepare_cached(schema::DELETE_SHEET)?.execute([first])?;
            } else {
                unfolded.extend(self.unfold(first, now)?);
            }
        }
        Ok(unfolded)
    }

    fn unfold(&self, id: i64, now: Now) -> rusqlite::Result<Vec<Unfolded>> {
        let Some(sheet) = sheet::of_row(&self.conn, id)? else { return Ok(Vec::new()) };
        sheet::unfold(&self.conn, &sheet)?;
        pen::rows_of(&self.conn, &sheet, self.run(), now)
    }

    fn delete_records(&mut self, now: Now) -> rusqlite::Result<bool> {
        let before = now.wall_ms.saturating_sub(connection::millis(self.options.keep_records));
        let mut old: Vec<(i64, bool)> = Vec::new();
        {
            let mut statement = self.conn.prepare_cached(schema::OLD_RECORDS)?;
            let mut rows = statement.query(params![self.swept, before, SWEEP_MAX as i64])?;
            while let Some(row) = rows.next()? {
                if !row.get::<_, bool>(1)? {
                    break;
                }
                old.push((row.get(0)?, row.get(2)?));
            }
        }
        let Some((last, _)) = old.last().copied() else { return Ok(false) };
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut unfolded = Vec::new();
        {
            // What a sheet has and no record is an intent: so no record goes before its sheet.
            for id in self.sheets_up_to(last)? {
                unfolded.extend(self.unfold(id, now)?);
            }
            let mut delete = self.conn.prepare_cached("DELETE FROM records WHERE id = ?1")?;
            let mut erase = self.conn.prepare_cached("DELETE FROM images WHERE id = ?1")?;
            for (row, _) in old.iter().filter(|(_, closed)| *closed) {
                delete.execute([row])?;
                erase.execute([row])?;
            }
            self.conn.prepare_cached(schema::DELETE_NOTES)?.execute([last])?;
        }
        self.conn.execute_batch("COMMIT")?;
        self.rows.unfolded(now.uptime, &unfolded);
        // What is old and open stays until somebody deals with it, and is looked at again after the next start.
        self.swept = last;
        Ok(old.len() == SWEEP_MAX)
    }

    fn sheets_up_to(&self, row: i64) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.conn.prepare_cached(schema::SHEETS_UP_TO)?;
        let found = statement.query_map([row], |row| row.get(0))?;
        found.collect()
    }

    /// Deletes bundles whose records are all old.
    fn delete_bundles(&mut self, now: Now) -> rusqlite::Result<bool> {
        let before = now.wall_ms.saturating_sub(connection::millis(self.options.keep_records));
        let mut old: Vec<(i64, i64)> = Vec::new();
        {
            let mut statement = self.conn.prepare_cached(schema::OLD_BUNDLES)?;
            let mut found = statement.query(params![before, BUNDLES_MAX as i64])?;
            while let Some(row) = found.next()? {
                if !row.get::<_, bool>(2)? {
                    break;
                }
                old.push((row.get(0)?, row.get(1)?));
            }
        }
        let Some(last) = old.iter().map(|(_, last)| *last).max() else { return Ok(false) };
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let sheets = self.sheets_up_to(last)?;
        let mut unfolded = Vec::new();
        for id in &sheets {
            // What it takes out of its bundles is deleted with the other records.
            unfolded.extend(self.unfold(*id, now)?);
        }
        {
            let mut delete = self.conn.prepare_cached("DELETE FROM bundles WHERE id = ?1")?;
            for (id, _) in &old {
                delete.execute([id])?;
            }
        }
        self.conn.execute_batch("COMMIT")?;
        self.rows.unfolded(now.uptime, &unfolded);
        Ok(!sheets.is_empty() || old.len() == BUNDLES_MAX)
    }
}
