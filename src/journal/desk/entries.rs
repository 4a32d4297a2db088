//! Rows as an operator sees them: what the record has, and where the row stands. No card data.

use std::collections::VecDeque;

use hashbrown::HashSet;
use rusqlite::{OptionalExtension, Row, named_params};

use super::Reader;
use crate::journal::codes::{Stage, outcome_of_number};
use crate::journal::elements::Elements;
use crate::journal::sheet::{self, Answered, Facts};
use crate::journal::sqlite::connection;
use crate::journal::{JournalError, UpstreamIdentity, bundle};
use crate::mux::FinalState;

/// Row numbers looked through in one statement: it must be short, for the log of a gateway beside it is not emptied
/// meanwhile.
const WINDOW: i64 = 5000;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the journal, for ever.
    pub row: i64,
    /// The id that it has in the process that runs, as in its logs; the id that it had, when it is over.
    pub id: u64,
    /// Whether a process that was started since has not taken it over (yet): that one knows it by another id.
    pub is_of_before: bool,
    /// The id under which its client knows it.
    pub told: u64,
    /// Whose it is.
    pub upstream: UpstreamIdentity,
    /// The MTI of its request.
    pub mti: String,
    /// How far it has come.
    pub stage: Stage,
    /// How it ended, or was parked or listed.
    pub outcome: Option<FinalState>,
    /// When it came (wall, ms since 1970).
    pub received_ms: i64,
    /// When it was about to leave.
    pub left_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
    /// Whether its key was used again while it waited for a person.
    pub superseded: bool,
    /// DE 3.
    pub processing_code: Option<String>,
    /// DE 4, in minor units.
    pub amount: Option<String>,
    /// DE 7.
    pub transmission_time: Option<String>,
    /// DE 11.
    pub stan: Option<String>,
    /// DE 12.
    pub local_time: Option<String>,
    /// DE 37.
    pub rrn: Option<String>,
    /// DE 38.
    pub approval_code: Option<String>,
    /// DE 39.
    pub response_code: Option<String>,
    /// DE 41.
    pub tid: Option<String>,
    /// DE 42.
    pub mid: Option<String>,
    /// DE 49.
    pub currency: Option<String>,
    /// The key that its sealed message wants; `None`: the message was erased, or never kept.
    pub key_id: Option<String>,
    /// The last that was decided about it.
    pub decision: Option<Note>,
}

impl Entry {
    /// Whether it is open: waits for the host or for a person.
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Closed
    }

    /// Whether it waits for a person.
    pub fn waits_for_a_person(&self) -> bool {
        matches!(self.stage, Stage::Parked | Stage::Listed)
    }
}

/// What a person decided, or why a start set a row aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When (wall, ms since 1970).
    pub at_ms: i64,
    /// What was decided: `retried`, `forced` (retried with force), `resolved`; `listed` by a start.
    pub what: String,
    /// Who; `None`: no person.
    pub operator: Option<String>,
    /// Why.
    pub reason: String,
}

impl Note {
    /// What stands in the columns from `first` on.
    fn of(row: &Row<'_>, first: usize, at_ms: i64) -> rusqlite::Result<Note> {
        Ok(Note {
            at_ms,
            what: row.get(first + 1)?,
            operator: row.get(first + 2)?,
            reason: row.get(first + 3)?,
        })
    }
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that is open.
    Open,
    /// What waits for a person: parked and listed.
    Waiting,
    /// What is over.
    Closed,
    /// Of one stage.
    At(Stage),
    /// What ended so.
    Ended(FinalState),
    /// Everything.
    All,
}

/// Which rows are wanted: those to which all of it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// By state.
    pub which: Which,
    /// By terminal.
    pub tid: Option<String>,
    /// Came at this moment or later (wall, ms since 1970).
    pub since_ms: Option<i64>,
    /// Came before this moment.
    pub before_ms: Option<i64>,
}

impl Filter {
    /// All rows in this state.
    pub fn of(which: Which) -> Filter {
        Filter { which, tid: None, since_ms: None, before_ms: None }
    }

    fn takes(&self, entry: &Entry) -> bool {
        let state = match &self.which {
            Which::All => true,
            Which::Open => entry.is_open(),
            Which::Closed => !entry.is_open(),
            Which::Waiting => entry.waits_for_a_person(),
            Which::At(stage) => entry.stage == *stage,
            Which::Ended(state) => !entry.is_open() && entry.outcome == Some(*state),
        };
        let tid = match (&self.tid, &entry.tid) {
            (None, _) => true,
            (Some(wanted), Some(tid)) => wanted.trim() == tid.trim(),
            (Some(_), None) => false,
        };
        state && tid
    }

    /// What is open is found without looking at all records.
    fn only_open(&self) -> bool {
        match &self.which {
            Which::Open | Which::Waiting => true,
            Which::At(stage) => *stage != Stage::Closed,
            Which::Closed | Which::Ended(_) | Which::All => false,
        }
    }

    /// Whether it came when it should have.
    fn takes_time(&self, entry: &Entry) -> bool {
        self.since_ms.is_none_or(|since| entry.received_ms >= since)
            && self.before_ms.is_none_or(|before| entry.received_ms < before)
    }
}

const COLUMNS: &str =
    "r.id, i.tx, r.tx, u.name, u.address, u.dialect, r.mti, r.stage, r.outcome, r.received_ms,
    r.left_ms, r.ended_ms, r.attempts, r.superseded, r.rrn, r.approval_code, r.response_code, r.elements,
    COALESCE(i.key_id, s.key_id),
    COALESCE(i.run, s.run) < (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'run'),
    n.at_ms, n.what, n.operator, n.reason";
const JOINED: &str = "JOIN upstreams u ON u.id = r.upstream LEFT JOIN images i ON i.id = r.id
    LEFT JOIN sheets s ON s.id = (SELECT MAX(x.id) FROM sheets x WHERE x.id <= r.id) AND s.last >= r.id
    LEFT JOIN notes n ON n.id = (SELECT MAX(m.id) FROM notes m WHERE m.record = r.id)";
const ALL: &str = "records r";
const OPEN: &str = "records r INDEXED BY records_open";

/// The rows of a journal that a filter takes, in the order in which they came.
pub struct Entries<'r> {
    reader: &'r Reader,
    filter: Filter,
    sql: String,
    /// The last row number that was looked at, and the last that there is.
    at: i64,
    last: i64,
    found: VecDeque<Entry>,
    failed: bool,
}

impl Reader {
    /// The rows that `filter` takes, in the order in which they came.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self, filter: Filter) -> Result<Entries<'_>, JournalError> {
        let (from, state) = if filter.only_open() { (OPEN, "r.stage <> 7") } else { (ALL, "TRUE") };
        let range = format!(
            "SELECT MIN(first), MAX(last) FROM (SELECT MIN(r.id) AS first, MAX(r.id) AS last FROM {from} WHERE {state}
             UNION ALL SELECT MIN(id), MAX(last) FROM sheets{bundles})",
            bundles = if filter.only_open() { "" } else { " UNION ALL SELECT MIN(id), NULL FROM bundles" },
        );
        let range = || -> rusqlite::Result<(Option<i64>, Option<i64>)> {
            let (first, last) = self.conn.query_row(&range, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let bundled = if filter.only_open() { None } else { bundle::last(&self.conn)? };
            Ok((first, bundled.max(last)))
        };
        let (first, last) = range().map_err(|error| self.refused(&error))?;
        let (first, last) = (first.unwrap_or(1), last.unwrap_or(0));
        let sql = format!(
            "SELECT {COLUMNS} FROM {from} {JOINED} WHERE {state} AND r.id > :after AND r.id <= :to
             AND r.received_ms >= :since AND r.received_ms < :before ORDER BY r.id"
        );
        Ok(Entries { reader: self, filter, sql, at: first - 1, last, found: VecDeque::new(), failed: false })
    }

    /// The row of this number.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entry(&self, row: i64) -> Result<Option<Entry>, JournalError> {
        let find = || {
            let _snapshot = self.conn.unchecked_transaction()?;
            let sql = format!("SELECT {COLUMNS} FROM {ALL} {JOINED} WHERE r.id = ?1");
            match self.conn.query_row(&sql, [row], read).optional()? {
                Some(found) => Ok(found),
                None => match self.bundled(row - 1, row)?.pop() {
                    Some(found) => Ok(Some(found)),
                    None => Ok(self.intents(row - 1, row)?.pop()),
                },
            }
        };
        find().map_err(|error| self.refused(&error))
    }

    fn run(&self) -> rusqlite::Result<i64> {
        let run = "SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'run'";
        self.conn.prepare_cached(run)?.query_row([], |row| row.get(0))
    }

    /// The rows above `after` up to `to` whose records are in bundles.
    fn bundled(&self, after: i64, to: i64) -> rusqlite::Result<Vec<Entry>> {
        let (first, run) = (after.saturating_add(1), self.run()?);
        let sealed = sheet::keys(&self.conn, first, to)?;
        let mut entries = Vec::new();
        for bundle in bundle::of_rows(&self.conn, first, to)? {
            let upstream = connection::upstream(&self.conn, bundle.upstream)?;
            for record in bundle.records()?.iter().filter(|record| (first..=to).contains(&record.row)) {
                let before = sealed.partition_point(|sheet| sheet.first <= record.row);
                let sheet = before.checked_sub(1).and_then(|at| sealed.get(at));
                let sheet = sheet.filter(|sheet| sheet.last >= record.row);
                let entry = Entry {
                    outcome: outcome_of_number(i64::from(record.outcome)),
                    ended_ms: Some(record.ended_ms),
                    is_of_before: sheet.is_some_and(|sheet| sheet.run < run),
                    key_id: sheet.map(|sheet| sheet.key_id.clone()),
                    ..Entry::of(record.row, &record.facts, Some(record.answered), &upstream)
                };
                entries.push(entry.with(Elements::read(record.facts.elements, record.row)?));
            }
        }
        Ok(entries)
    }

    /// Intents of the rows above `after` up to `to` that have no record yet.
    fn intents(&self, after: i64, to: i64) -> rusqlite::Result<Vec<Entry>> {
        let run = self.run()?;
        let mut entries = Vec::new();
        let answers = sheet::answers(&self.conn)?;
        for sheet in sheet::with_intents(&self.conn, after, to)? {
            let upstream = connection::upstream(&self.conn, sheet.upstream)?;
            let mut records =
                self.conn.prepare_cached("SELECT id FROM records WHERE id BETWEEN ?1 AND ?2")?;
            let records = records.query_map([sheet.id, sheet.last], |row| row.get(0))?;
            let records: HashSet<i64> = records.collect::<rusqlite::Result<_>>()?;
            let bundled = bundle::rows(&self.conn, sheet.id, sheet.last)?;
            let has_none = |row: i64| !records.contains(&row) && !bundled.contains_key(&row);
            let lines = sheet.lines()?.into_iter();
            for line in lines.filter(|line| line.row > after && line.row <= to && has_none(line.row)) {
                let answered = answers.get(&line.row).and_then(|answered| Answered::read(answered));
                let entry = Entry {
                    is_of_before: sheet.run < run,
                    key_id: Some(sheet.key_id.clone()),
                    ..Entry::of(line.row, &line.facts, answered, &upstream)
                };
                entries.push(entry.with(Elements::read(line.facts.elements, line.row)?));
            }
        }
        Ok(entries)
    }

    /// The youngest row of this id: as the process that runs has it, else as its client was told.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn row_of(&self, id: u64) -> Result<Option<i64>, JournalError> {
        const NOW: &str = "SELECT MAX(id) FROM images WHERE tx = ?1
            AND run = (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'run')";
        const TOLD: &str = "SELECT MAX(id) FROM records WHERE tx = ?1";
        let find = || {
            let _snapshot = self.conn.unchecked_transaction()?;
            let row = |sql| self.conn.query_row(sql, [id as i64], |row| row.get::<_, Option<i64>>(0));
            if let Some(row) = row(NOW)? {
                return Ok(Some(row));
            }
            let intents = self.intents(i64::MIN, i64::MAX)?.into_iter();
            match intents.filter(|entry| entry.id == id && !entry.is_of_before).map(|entry| entry.row).max() {
                Some(row) => Ok(Some(row)),
                None => Ok(row(TOLD)?.max(bundle::of_tx(&self.conn, id)?)),
            }
        };
        find().map_err(|error| self.refused(&error))
    }

    /// What persons did about a row, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn notes(&self, row: i64) -> Result<Vec<Note>, JournalError> {
        let read = || -> rusqlite::Result<Vec<Note>> {
            let sql = "SELECT at_ms, what, operator, reason FROM notes WHERE record = ?1 ORDER BY id";
            let mut statement = self.conn.prepare_cached(sql)?;
            let notes = statement.query_map([row], |row| Note::of(row, 0, row.get(0)?))?;
            notes.collect()
        };
        read().map_err(|error| self.refused(&error))
    }

    /// How many rows stand at each stage, in the order of [`Stage::ALL`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn counts(&self) -> Result<Vec<(Stage, u64)>, JournalError> {
        let read = || -> rusqlite::Result<Vec<(i64, i64)>> {
            let _snapshot = self.conn.unchecked_transaction()?;
            let mut statement = self.conn.prepare("SELECT stage, COUNT(*) FROM records GROUP BY stage")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let mut found = rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
            found.push((Stage::Closed.number(), bundle::count(&self.conn)?));
            found.extend(self.intents(i64::MIN, i64::MAX)?.iter().map(|entry| (entry.stage.number(), 1)));
            Ok(found)
        };
        let found = read().map_err(|error| self.refused(&error))?;
        let count = |stage: Stage| {
            found.iter().filter(|(number, _)| *number == stage.number()).map(|(_, count)| *count).sum::<i64>()
        };
        Ok(Stage::ALL.into_iter().map(|stage| (stage, count(stage).unsigned_abs())).collect())
    }
}

impl Entries<'_> {
    fn look_on(&mut self) -> rusqlite::Result<()> {
        let to = self.at.saturating_add(WINDOW).min(self.last);
        let _snapshot = self.reader.conn.unchecked_transaction()?;
        let takes = |entry: &Entry| self.filter.takes(entry);
        let mut found = self.reader.intents(self.at, to)?;
        if !self.filter.only_open() {
            found.extend(self.reader.bundled(self.at, to)?);
        }
        found.retain(|entry| takes(entry) && self.filter.takes_time(entry));
        let mut statement = self.reader.conn.prepare_cached(&self.sql)?;
        let mut rows = statement.query(named_params! {
            ":after": self.at,
            ":to": to,
            ":since": self.filter.since_ms.unwrap_or(i64::MIN),
            ":before": self.filter.before_ms.unwrap_or(i64::MAX),
        })?;
        while let Some(row) = rows.next()? {
            found.extend(read(row)?.filter(takes));
        }
        found.sort_by_key(|entry| entry.row);
        self.found.extend(found);
        self.at = to;
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() && self.at < self.last && !self.failed {
            if let Err(error) = self.look_on() {
                self.failed = true;
                return Some(Err(self.reader.refused(&error)));
            }
        }
        self.found.pop_front().map(Ok)
    }
}

/// `None`: a stage that this release does not know.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let Some(stage) = Stage::of_number(row.get(7)?) else { return Ok(None) };
    let told = row.get::<_, i64>(2)? as u64;
    let entry = Entry {
        row: row.get(0)?,
        id: row.get::<_, Option<i64>>(1)?.map_or(told, |id| id as u64),
        told,
        upstream: UpstreamIdentity { name: row.get(3)?, address: row.get(4)?, dialect: row.get(5)? },
        mti: row.get(6)?,
        stage,
        outcome: row.get::<_, Option<i64>>(8)?.and_then(outcome_of_number),
        received_ms: row.get(9)?,
        left_ms: row.get(10)?,
        ended_ms: row.get(11)?,
        attempts: row.get(12)?,
        superseded: row.get(13)?,
        rrn: row.get(14)?,
        approval_code: row.get(15)?,
        response_code: row.get(16)?,
        key_id: row.get(18)?,
        is_of_before: row.get::<_, Option<bool>>(19)?.unwrap_or(false),
        decision: row.get::<_, Option<i64>>(20)?.map(|at_ms| Note::of(row, 20, at_ms)).transpose()?,
        processing_code: None,
        amount: None,
        transmission_time: None,
        stan: None,
        local_time: None,
        tid: None,
        mid: None,
        currency: None,
    };
    let elements = Elements::read(&row.get::<_, String>(17)?, entry.row)?;
    Ok(Some(entry.with(elements)))
}

impl Entry {
    /// One that has no record of its own.
    fn of(row: i64, facts: &Facts<'_>, answered: Option<Answered<'_>>, upstream: &UpstreamIdentity) -> Entry {
        let text = |of: fn(Answered<'_>) -> Option<&str>| answered.and_then(of).map(str::to_owned);
        Entry {
            row,
            id: facts.tx,
            is_of_before: false,
            told: facts.tx,
            upstream: upstream.clone(),
            mti: facts.mti.to_owned(),
            stage: answered.map_or(Stage::Intent, |answered| answered.stage),
            outcome: None,
            received_ms: facts.received_ms,
            left_ms: Some(facts.received_ms),
            ended_ms: None,
            attempts: 0,
            superseded: false,
            processing_code: None,
            amount: None,
            transmission_time: None,
            stan: None,
            local_time: None,
            rrn: text(|answered| answered.rrn),
            approval_code: text(|answered| answered.approval_code),
            response_code: text(|answered| answered.response_code),
            tid: None,
            mid: None,
            currency: None,
            key_id: None,
            decision: None,
        }
    }

    /// With what its request had; an answer's RRN stays.
    fn with(self, elements: Elements) -> Entry {
        Entry {
            processing_code: elements.processing_code,
            amount: elements.amount,
            transmission_time: elements.transmission_time,
            stan: elements.stan,
            local_time: elements.local_time,
            rrn: self.rrn.or(elements.rrn),
            tid: elements.tid,
            mid: elements.mid,
            currency: elements.currency,
            ..self
        }
    }
}
