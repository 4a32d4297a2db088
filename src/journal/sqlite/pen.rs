//! Changes as statements: what one batch writes into its rows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use rusqlite::{CachedStatement, Connection, params};

use super::batch::{Change, End, FoundBy, Note};
use super::connection;
use super::rows::{Rows, Unfolded};
use super::store::since;
use crate::journal::codes::{Stage, outcome_number};
use crate::journal::seal::{NONCE_LEN, Sealer, write_row_identity};
use crate::journal::sheet::{self, Answered, Answers, Facts, Line, Lines, Sheet};
use crate::journal::{bundle, schema};
use crate::mux::Record;
use crate::rules::Request;
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
    /// Its image is in a sheet.
    pub(super) in_sheet: bool,
    /// What its record will have, of a row that has none yet.
    pub(super) facts: Option<Arc<[u8]>>,
    /// What its host answered, of a row that has no record yet.
    pub(super) answered: Option<Box<[u8]>>,
    /// Its record is in a bundle.
    pub(super) is_bundled: bool,
}

/// All that a batch wrote.
#[derive(Default)]
pub(super) struct Page {
    pub(super) written: Vec<Written>,
    /// Sheets that it made, and when the last intent of each came.
    pub(super) sheets: Vec<(i64, Now)>,
    /// The answers to rows without records that it wrote down.
    pub(super) answers: Option<i64>,
    /// Rows of the sheets that it unfolded, and when it did.
    pub(super) unfolded: Vec<(Vec<Unfolded>, Now)>,
    /// Transactions whose rows were refused by themselves.
    pub(super) bad: Vec<u64>,
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
    /// What a row is called, its image when it is sealed, a sheet, answers, a bundle and an answer in it: room for one after
    /// the other.
    identity: Vec<u8>,
    sealed: Vec<u8>,
    lines: Lines,
    answers: Answers,
    bundle: bundle::Lines,
    answered: Vec<u8>,
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
        let (identity, sealed, lines, answers, bundle, answered) = Default::default();
        Hand {
            sealer,
            journal,
            run,
            upstream,
            next_row,
            image,
            identity,
            sealed,
            lines,
            answers,
            bundle,
            answered,
        }
    }

    /// Seals what is kept of `request` for a row, into `self.sealed`. The nonce.
    fn seal(&mut self, row: i64, request: &Request, at: Now) -> rusqlite::Result<[u8; NONCE_LEN]> {
        let Hand { sealer, journal, upstream, image, identity, sealed, .. } = self;
        let mti = request.mti().digits();
        let mti = std::str::from_utf8(&mti).unwrap_or_default();
        write_row_identity(identity, journal, row, *upstream, mti, at.wall_ms);
        sealer.seal(&image(request), identity, sealed).map_err(connection::unsealable)
    }
}

/// The statements of one batch.
pub(super) struct Pen<'c> {
    conn: &'c Connection,
    hand: &'c mut Hand,
    rows: &'c Rows,
    now: Now,
    insert_sheet: CachedStatement<'c>,
    insert_record: CachedStatement<'c>,
    insert_image: CachedStatement<'c>,
    end_record: CachedStatement<'c>,
    update_record: CachedStatement<'c>,
    page: Page,
}

impl<'c> Pen<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        hand: &'c mut Hand,
        rows: &'c Rows,
        now: Now,
    ) -> rusqlite::Result<Pen<'c>> {
        // Of a batch that failed half-way.
        hand.lines.clear();
        hand.answers.clear();
        Ok(Pen {
            conn,
            hand,
            rows,
            now,
            insert_sheet: conn.prepare_cached(schema::INSERT_SHEET)?,
            insert_record: conn.prepare_cached(schema::INSERT_RECORD)?,
            insert_image: conn.prepare_cached(schema::INSERT_IMAGE)?,
            end_record: conn.prepare_cached(schema::END_RECORD)?,
            update_record: conn.prepare_cached(schema::UPDATE_RECORD)?,
            page: Page::default(),
        })
    }

    /// All of `changes`.
    pub(super) fn write_all(mut self, changes: &[Change<'_>]) -> rusqlite::Result<Page> {
        self.page.written.reserve(changes.len());
        // Sheets are unfolded first: which rows have records is settled then.
        for change in changes.iter().filter(|change| change.unfolds()) {
            self.write_by_itself(change)?;
        }
        let mut ends = Vec::new();
        for change in changes.iter().filter(|change| !change.unfolds()) {
            if self.fold(change)? || self.note_answer(change) {
                continue;
            }
            match self.may_be_bundled(change) {
                Some(row) => ends.push((row, change)),
                None => self.write_by_itself(change)?,
            }
        }
        self.end_sheet()?;
        self.bundle(ends)?;
        self.end_answers()?;
        Ok(self.page)
    }

    /// All but what is refused by itself, which leaves no trace. Each row has a record and an image of its own after it.
    pub(super) fn write_singly(mut self, changes: &[Change<'_>]) -> rusqlite::Result<Page> {
        for change in changes {
            self.conn.execute_batch("SAVEPOINT one")?;
            let unfolded = self.page.unfolded.len();
            let one = self.write(change);
            self.conn.execute_batch(match one {
                Ok(_) => "RELEASE one",
                Err(_) => "ROLLBACK TO one; RELEASE one",
            })?;
            match one {
                Ok(written) => self.page.written.push(written),
                Err(error) if connection::is_of_the_row(&error) => {
                    self.page.unfolded.truncate(unfolded);
                    self.page.bad.push(change.tx);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.page)
    }

    // -- intents -----------------------------------------------------------------------------------------------------

    /// Puts what is an intent and nothing more into the sheet that is being written: nearly all are. `false`: it needs a
    /// record and an image of its own, or is no intent.
    fn fold(&mut self, change: &Change<'_>) -> rusqlite::Result<bool> {
        let Some((request, None, at)) = &change.request else { return Ok(false) };
        if !change.is_plain_intent() {
            return Ok(false);
        }
        let facts = Facts::write(change.tx, at.wall_ms, request);
        let row = self.hand.next_row;
        let nonce = self.hand.seal(row, request, *at)?;
        if !Lines::takes(&facts, &self.hand.sealed) {
            return Ok(false);
        }
        self.hand.next_row += 1;
        self.hand.lines.push(row, *at, &facts, &nonce, &self.hand.sealed);
        self.page.written.push(Written { in_sheet: true, facts: Some(facts), ..Written::of(change, row) });
        if self.hand.lines.is_full() {
            self.end_sheet()?;
        }
        Ok(true)
    }

    /// Writes the sheet, if it has any lines.
    fn end_sheet(&mut self) -> rusqlite::Result<()> {
        let Hand { lines, run, upstream, sealer, .. } = &mut *self.hand;
        if let Some((first, last, at)) = lines.span() {
            let sheet = params![first, last, *run, *upstream, at.wall_ms, sealer.key_id(), lines.bytes()];
            self.insert_sheet.execute(sheet)?;
            self.page.sheets.push((first, at));
            lines.clear();
        }
        Ok(())
    }

    /// Notes what is an answer and nothing more, to a row that has no record yet. `false`: it belongs into the record.
    fn note_answer(&mut self, change: &Change<'_>) -> bool {
        let (FoundBy::Row(row), true) = (change.found_by, change.is_plain_answer()) else { return false };
        let is_first = !self.has_record(change.tx, row) && self.rows.answered(change.tx).is_none();
        let answered = Answered {
            stage: change.stage.unwrap_or(Stage::Intent),
            rrn: change.rrn.as_deref(),
            approval_code: change.approval_code.as_deref(),
            response_code: change.response_code.as_deref(),
        };
        let Some(bytes) = answered.to_bytes().filter(|_| is_first && change.notes.is_empty()) else {
            return false;
        };
        self.hand.answers.push(row, &bytes);
        self.page.written.push(Written { answered: Some(bytes), ..Written::of(change, row) });
        true
    }

    /// Writes down the answers, and forgets those of before whose rows all have records.
    fn end_answers(&mut self) -> rusqlite::Result<()> {
        let Hand { answers, .. } = &mut *self.hand;
        if let Some(id) = answers.id {
            self.conn.prepare_cached(schema::INSERT_ANSWERS)?.execute(params![id, answers.bytes()])?;
            self.page.answers = Some(id);
            answers.clear();
        }
        for id in self.rows.spent_answers() {
            self.conn.prepare_cached(schema::DELETE_ANSWERS)?.execute([id])?;
        }
        Ok(())
    }

    /// Whether a row of a transaction has a record by now.
    fn has_record(&self, tx: u64, row: i64) -> bool {
        let mut unfolded = self.page.unfolded.iter().flat_map(|(rows, _)| rows);
        self.rows.facts(tx).is_none() || unfolded.any(|other| other.row == row)
    }

    // -- ends --------------------------------------------------------------------------------------------------------

    /// The row of what has ended, of which there is nothing more to tell, and which has no record yet.
    fn may_be_bundled(&self, change: &Change<'_>) -> Option<i64> {
        let FoundBy::Row(row) = change.found_by else { return None };
        (change.plain_end().is_some() && !self.has_record(change.tx, row)).then_some(row)
    }

    /// Writes the records of what has ended: those of rows that are near each other in bundles, if they are worth one.
    fn bundle(&mut self, mut ends: Vec<(i64, &Change<'_>)>) -> rusqlite::Result<()> {
        ends.sort_unstable_by_key(|(row, _)| *row);
        let from = ends.last().map_or(0, |(last, _)| last - bundle::SPAN_MAX + 1);
        let near = ends.split_off(ends.partition_point(|(row, _)| *row < from));
        for ends in near.chunks(bundle::ROWS_MAX) {
            if ends.len() < bundle::ROWS_MIN {
                ends.iter().try_for_each(|(_, change)| self.write_by_itself(change))?;
                continue;
            }
            self.hand.bundle.clear();
            for (row, change) in ends {
                if self.add_to_bundle(*row, change).is_none() {
                    self.write_by_itself(change)?;
                }
            }
            let Hand { bundle, run, upstream, .. } = &*self.hand;
            bundle.write(self.conn, *run, *upstream)?;
        }
        ends.into_iter().try_for_each(|(_, change)| self.write_by_itself(change))
    }

    /// `None`: there is something that a bundle has no room for.
    fn add_to_bundle(&mut self, row: i64, change: &Change<'_>) -> Option<()> {
        let (state, at) = change.plain_end()?;
        let outcome = u8::try_from(outcome_number(state)?).ok()?;
        let facts = self.rows.facts(change.tx)?;
        let Hand { bundle, answered, .. } = &mut *self.hand;
        answered.clear();
        last_answer(self.rows, change).write(answered)?;
        bundle.push(row, facts, answered, outcome, at.wall_ms);
        self.page.written.push(Written { is_bundled: true, ..Written::of(change, row) });
        Some(())
    }

    // -- records and images of their own -----------------------------------------------------------------------------

    fn insert(&mut self, change: &Change<'_>) -> rusqlite::Result<i64> {
        let Some((request, record, at)) = &change.request else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        // The rows of a sheet follow each other.
        self.end_sheet()?;
        let row = self.hand.next_row;
        self.hand.next_row += 1;
        if !change.needs_no_image() {
            let nonce = self.hand.seal(row, request, *at)?;
            let Hand { run, sealer, sealed, .. } = &*self.hand;
            self.insert_image.execute(params![row, run, change.tx as i64, sealer.key_id(), nonce, sealed])?;
        }
        self.record(row, &Facts::write(change.tx, at.wall_ms, request), change, *record)?;
        Ok(row)
    }

    /// The record of a row that has none yet.
    fn record(
        &mut self,
        row: i64,
        facts: &[u8],
        change: &Change<'_>,
        record: Option<&Record>,
    ) -> rusqlite::Result<()> {
        let Facts { tx, received_ms, mti, elements } =
            Facts::read(facts).ok_or(rusqlite::Error::InvalidQuery)?;
        let answered = last_answer(self.rows, change);
        let (_, outcome, ended_ms) = ended(change);
        let key = record.and_then(|record| record.key);
        let values = params![
            row,
            self.hand.run,
            tx as i64,
            self.hand.upstream,
            mti,
            answered.stage.number(),
            outcome,
            received_ms,
            ended_ms,
            change.attempts.unwrap_or(0),
            answered.rrn,
            answered.approval_code,
            answered.response_code,
            key.as_ref().map(|key| &key[..]),
            record.map(|record| &record.body[..]),
            elements,
        ];
        match self.insert_record.execute(values) {
            Err(error) if connection::is_there_already(&error) => {
                // This is done again after a commit of unknown outcome: what it tells now is all there is to tell. Inserting
                // with OR REPLACE would have SQLite keep a copy of each page, every time.
                self.conn.prepare_cached(schema::DELETE_RECORD)?.execute([row])?;
                self.insert_record.execute(values).map(drop)
            }
            inserted => inserted.map(drop),
        }
    }

    // -- what becomes of them ----------------------------------------------------------------------------------------

    fn write_by_itself(&mut self, change: &Change<'_>) -> rusqlite::Result<()> {
        let written = self.write(change)?;
        self.page.written.push(written);
        Ok(())
    }

    fn write(&mut self, change: &Change<'_>) -> rusqlite::Result<Written> {
        let row = match change.found_by {
            FoundBy::New => self.insert(change)?,
            FoundBy::Row(row) => self.update(row, change)?,
        };
        for Note { what, operator, reason, at } in &change.notes {
            let mut insert = self.conn.prepare_cached(schema::INSERT_NOTE)?;
            insert.execute(params![row, at.wall_ms, what, operator, reason, self.hand.upstream])?;
        }
        Ok(Written::of(change, row))
    }

    fn update(&mut self, row: i64, change: &Change<'_>) -> rusqlite::Result<i64> {
        let (how, outcome, ended_ms) = ended(change);
        let known_as = change.renamed.unwrap_or(change.tx);
        if change.unfolds() {
            // From here on it has a record of its own, too.
            self.unfold(row)?;
        } else if self.rows.is_bundled(known_as) {
            bundle::take_out(self.conn, row, row, |_| true)?;
        }
        if let Some(facts) = self.rows.facts(known_as) {
            self.record(row, facts, change, None)?;
            if change.superseded.is_none() && !change.unfolds() {
                return Ok(row);
            }
        } else if change.is_plain_end() {
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
        if change.unfolds() {
            let tx = change.tx as i64;
            self.conn.prepare_cached(schema::RENAME_IMAGE)?.execute(params![row, self.hand.run, tx])?;
        }
        Ok(row)
    }

    /// The image of this row will be changed: it must not be in a sheet.
    fn unfold(&mut self, row: i64) -> rusqlite::Result<()> {
        if let Some(sheet) = sheet::of_row(self.conn, row)? {
            sheet::unfold(self.conn, &sheet)?;
            let rows = rows_of(self.conn, &sheet, self.hand.run, self.now)?;
            self.page.unfolded.push((rows, self.now));
        }
        Ok(())
    }
}

/// The rows of a sheet that was unfolded in this run.
pub(super) fn rows_of(
    conn: &Connection,
    sheet: &Sheet,
    run: i64,
    now: Now,
) -> rusqlite::Result<Vec<Unfolded>> {
    let mut statement = conn.prepare_cached(schema::ENDED_BETWEEN)?;
    let ended =
        statement.query_map([sheet.id, sheet.last], |row| Ok((row.get(0)?, since(now, row.get(1)?))))?;
    let ended: HashMap<i64, Duration> = ended.collect::<rusqlite::Result<_>>()?;
    let row = |line: Line<'_>| Unfolded {
        row: line.row,
        tx: (sheet.run == run).then_some(line.facts.tx),
        ended_ago: ended.get(&line.row).copied(),
    };
    Ok(sheet.lines()?.into_iter().map(row).collect())
}

impl Written {
    fn of(change: &Change<'_>, row: i64) -> Written {
        Written {
            tx: change.tx,
            was: change.renamed,
            row,
            is_new: change.found_by == FoundBy::New,
            is_underway: change.is_underway(),
            closed_at: change.closed_at(),
            in_sheet: false,
            facts: None,
            answered: None,
            is_bundled: false,
        }
    }
}

/// What is known of the answer to a row that has no record yet: what this change tells, and was noted before.
fn last_answer<'a>(rows: &'a Rows, change: &'a Change<'_>) -> Answered<'a> {
    let before = rows.answered(change.renamed.unwrap_or(change.tx)).and_then(Answered::read);
    Answered {
        stage: change.stage.or(before.map(|before| before.stage)).unwrap_or(Stage::Intent),
        rrn: change.rrn.as_deref().or(before.and_then(|before| before.rrn)),
        approval_code: change.approval_code.as_deref().or(before.and_then(|before| before.approval_code)),
        response_code: change.response_code.as_deref().or(before.and_then(|before| before.response_code)),
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
