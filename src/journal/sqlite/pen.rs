//! Changes as statements: what one batch writes into its rows.

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, params};

use super::batch::{Change, End, FoundBy, Note};
use super::connection;
use crate::journal::codes::{Stage, outcome_number};
use crate::journal::schema;
use crate::journal::seal::{Sealer, write_row_identity};
use crate::rules::{self, Request};
use crate::time::Now;

/// What is kept of a request so that it can be made good: reduced as its dialect allows.
pub type ImageOf = Box<dyn Fn(&Request) -> Bytes + Send>;

/// One row as a batch left it, taken over when the batch is durable.
pub(super) struct Written {
    pub(super) tx: u64,
    pub(super) was: Option<u64>,
    pub(super) row: i64,
    pub(super) is_new: bool,
    /// It is with the host, or its answer with the client.
    pub(super) is_underway: bool,
    pub(super) closed_at: Option<Now>,
}

/// What rows are written with, beside a connection.
pub(super) struct Hand {
    sealer: Sealer,
    /// The name of the journal, to which images are bound.
    journal: String,
    /// Ids of transactions are unique within a run.
    pub(super) run: i64,
    /// Rows of this host.
    upstream: i64,
    next_row: i64,
    image: ImageOf,
    /// What a row is called, and its image when it is sealed: room for one after the other.
    identity: Vec<u8>,
    sealed: Vec<u8>,
}

impl Hand {
    pub(super) fn new(
        sealer: Sealer,
        journal: String,
        run: i64,
        upstream: i64,
        next_row: i64,
        image: ImageOf,
    ) -> Hand {
        Hand { sealer, journal, run, upstream, next_row, image, identity: Vec::new(), sealed: Vec::new() }
    }
}

/// The statements of one batch.
pub(super) struct Pen<'c> {
    conn: &'c Connection,
    hand: &'c mut Hand,
    insert_intent: CachedStatement<'c>,
    insert_record: CachedStatement<'c>,
    insert_image: CachedStatement<'c>,
    end_record: CachedStatement<'c>,
    update_record: CachedStatement<'c>,
}

impl<'c> Pen<'c> {
    pub(super) fn new(conn: &'c Connection, hand: &'c mut Hand) -> rusqlite::Result<Pen<'c>> {
        Ok(Pen {
            conn,
            hand,
            insert_intent: conn.prepare_cached(schema::INSERT_INTENT)?,
            insert_record: conn.prepare_cached(schema::INSERT_RECORD)?,
            insert_image: conn.prepare_cached(schema::INSERT_IMAGE)?,
            end_record: conn.prepare_cached(schema::END_RECORD)?,
            update_record: conn.prepare_cached(schema::UPDATE_RECORD)?,
        })
    }

    /// A change that leaves no trace when it is refused.
    pub(super) fn write_alone(&mut self, change: &Change<'_>) -> rusqlite::Result<Written> {
        self.conn.execute_batch("SAVEPOINT one")?;
        let written = self.write(change);
        self.conn.execute_batch(match written {
            Ok(_) => "RELEASE one",
            Err(_) => "ROLLBACK TO one; RELEASE one",
        })?;
        written
    }

    pub(super) fn write(&mut self, change: &Change<'_>) -> rusqlite::Result<Written> {
        let row = match change.found_by {
            FoundBy::New => self.insert(change)?,
            FoundBy::Row(row) => self.update(row, change)?,
        };
        for Note { what, operator, reason, at } in &change.notes {
            let mut insert = self.conn.prepare_cached(schema::INSERT_NOTE)?;
            insert.execute(params![row, at.wall_ms, what, operator, reason, self.hand.upstream])?;
        }
        let is_new = change.found_by == FoundBy::New;
        let (is_underway, closed_at) = (change.is_underway(), change.closed_at());
        Ok(Written { tx: change.tx, was: change.renamed, row, is_new, is_underway, closed_at })
    }

    fn update(&mut self, row: i64, change: &Change<'_>) -> rusqlite::Result<i64> {
        let (how, outcome, ended_ms) = ended(change);
        if change.is_plain_end() {
            self.end_record.execute(params![
                row,
                change.stage.map(Stage::number),
                outcome,
                ended_ms,
                change.rrn,
                change.approval_code,
                change.response_code,
            ])?;
            return Ok(row);
        }
        self.update_record.execute(params![
            row,
            change.stage.map(Stage::number),
            change.attempts,
            change.rrn,
            change.approval_code,
            change.response_code,
            outcome,
            ended_ms,
            how,
            change.superseded,
        ])?;
        if change.renamed.is_some() || change.adopted {
            let tx = change.tx as i64;
            self.conn.prepare_cached(schema::RENAME_IMAGE)?.execute(params![row, self.hand.run, tx])?;
        }
        Ok(row)
    }

    fn insert(&mut self, change: &Change<'_>) -> rusqlite::Result<i64> {
        let Some((request, record, at)) = &change.request else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        let row = self.hand.next_row;
        self.hand.next_row += 1;
        let (tx, mti) = (change.tx as i64, request.mti().digits());
        let mti = std::str::from_utf8(&mti).unwrap_or_default();
        if !change.needs_no_image() {
            self.insert_image(row, tx, mti, request, *at)?;
        }
        let kept = rules::journal_record(request);
        if record.is_none() && change.is_plain_intent() {
            self.insert_intent.execute(params![
                row,
                self.hand.run,
                tx,
                self.hand.upstream,
                mti,
                at.wall_ms,
                kept.amount,
                kept.transmission_time,
                kept.stan,
                kept.local_time,
                kept.rrn,
                kept.tid,
                kept.currency,
                kept.processing_code,
                kept.mid,
            ])?;
            return Ok(row);
        }
        let (_, outcome, ended_ms) = ended(change);
        self.insert_record.execute(params![
            row,
            self.hand.run,
            tx,
            self.hand.upstream,
            mti,
            change.stage.unwrap_or(Stage::Intent).number(),
            outcome,
            at.wall_ms,
            at.wall_ms,
            ended_ms,
            change.attempts.unwrap_or(0),
            kept.amount,
            kept.transmission_time,
            kept.stan,
            kept.local_time,
            change.rrn.as_deref().or(kept.rrn.as_deref()),
            change.approval_code,
            change.response_code,
            kept.tid,
            kept.currency,
            record.and_then(|record| record.key).as_ref().map(|key| &key[..]),
            record.as_ref().map(|record| &record.body[..]),
            kept.processing_code,
            kept.mid,
        ])?;
        Ok(row)
    }

    fn insert_image(
        &mut self,
        row: i64,
        tx: i64,
        mti: &str,
        request: &Request,
        at: Now,
    ) -> rusqlite::Result<()> {
        let Hand { sealer, journal, run, upstream, image, identity, sealed, .. } = &mut *self.hand;
        write_row_identity(identity, journal, row, *upstream, mti, at.wall_ms);
        let nonce = sealer.seal(&image(request), identity, sealed).map_err(connection::unsealable)?;
        self.insert_image.execute(params![row, *run, tx, sealer.key_id(), nonce, &sealed[..]])?;
        Ok(())
    }
}

/// How outcome and end change (see the statement), and to what.
fn ended(change: &Change<'_>) -> (i64, Option<i64>, Option<i64>) {
    match change.end {
        None => (0, None, None),
        Some(End::In(state, at)) => (1, outcome_number(state), Some(at.wall_ms)),
        Some(End::No) => (2, None, None),
        Some(End::Seen(at)) => (3, None, Some(at.wall_ms)),
    }
}
