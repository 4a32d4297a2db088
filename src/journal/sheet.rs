//! Sheets: what intents have of record and image, those of one commit together in one row.
//!
//! Nearly every sale is over a moment after its intent. So its record is written once, at its end, and its image nowhere else.
//! What is more than an intent (it has an idempotency key, or has ended in the same commit) has both of its own at once. A row
//! of a sheet that has no record, neither in `records` nor in a bundle (`bundle.rs`), is an intent; one that has one stands there
//! as it is now. Images stay in the sheet until the time of all of them is over. Whoever has to change one, or to keep one
//! longer, [unfolds](unfold) the sheet first: then every row of it has a record and an image of its own, and the sheet is gone.
//!
//! `answers` has what hosts answered to rows that have no record yet: those of a commit together, as long as one of them has
//! none. What it has of rows with records counts for nothing.
//!
//! `lines` has one line for each row from `id` to `last`, in their order: length (two bytes) and content of its facts, its
//! nonce, length (four bytes) and content of its sealed image. Facts are the transaction id and the moment at which it came
//! (eight bytes each), the digits of the MTI, and the elements that its record will have. Answers are lines as well: row
//! (eight bytes), length (two bytes) and content: the number of the stage (one byte), then DE 37, 38 and 39, each with a
//! byte before it: its length, or 255 where there is none. Numbers begin with their lowest byte.

use std::sync::Arc;

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::bundle;
use super::codes::Stage;
use super::elements;
use super::schema;
use super::seal::NONCE_LEN;
use crate::rules::Request;
use crate::time::Now;

/// Lines of a sheet at most: so many are erased, or unfolded, at a time.
pub(super) const LINES_MAX: i64 = 128;
/// Where either is longer, the row has a record and an image of its own.
const FACTS_MAX: usize = u16::MAX as usize;
const IMAGE_MAX: usize = 64 << 10;

/// What a record will have of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    pub(super) tx: u64,
    /// When it came, and was about to leave (wall, ms since 1970).
    pub(super) received_ms: i64,
    pub(super) mti: &'a str,
    /// As [`elements::write`] writes them.
    pub(super) elements: &'a str,
}

/// Where elements begin in facts.
const ELEMENTS: usize = 20;

impl<'a> Facts<'a> {
    /// Those of the request of transaction `tx`, which came at `received_ms`, as they stand in a sheet.
    pub(super) fn write(tx: u64, received_ms: i64, request: &Request) -> Arc<[u8]> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&tx.to_le_bytes());
        out.extend_from_slice(&received_ms.to_le_bytes());
        out.extend_from_slice(&request.mti().digits());
        elements::write(request.message(), &mut out);
        out.into()
    }

    /// When it came, of facts as they stand in a sheet.
    pub(super) fn came(bytes: &[u8]) -> i64 {
        let came = bytes.get(8..16).and_then(|came| came.try_into().ok());
        came.map_or(i64::MAX, i64::from_le_bytes)
    }

    /// What [`write`](Facts::write) has written; `None` for anything else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Facts<'a>> {
        let (mut head, elements) = bytes.split_at_checked(ELEMENTS)?;
        Some(Facts {
            tx: u64::from_le_bytes(take_array(&mut head)?),
            received_ms: i64::from_le_bytes(take_array(&mut head)?),
            mti: std::str::from_utf8(head).ok()?,
            elements: std::str::from_utf8(elements).ok()?,
        })
    }
}

pub(super) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

pub(super) fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

/// The lines of a sheet that is being written.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Numbers of the first row and of the last, and when the last came.
    span: Option<(i64, i64, Now)>,
}

impl Lines {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.span = None;
    }

    /// Numbers of the first row and of the last, and when the last came, if there are any.
    pub(super) fn span(&self) -> Option<(i64, i64, Now)> {
        self.span
    }

    pub(super) fn is_full(&self) -> bool {
        self.span.is_some_and(|(first, last, _)| last - first + 1 >= LINES_MAX)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is room for such a line.
    pub(super) fn takes(facts: &[u8], sealed: &[u8]) -> bool {
        facts.len() <= FACTS_MAX && sealed.len() <= IMAGE_MAX
    }

    /// That of `row`, the number after the last one.
    pub(super) fn push(&mut self, row: i64, at: Now, facts: &[u8], nonce: &[u8; NONCE_LEN], sealed: &[u8]) {
        // Both lengths fit (`takes`).
        self.bytes.extend_from_slice(&(facts.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(facts);
        self.bytes.extend_from_slice(nonce);
        self.bytes.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(sealed);
        let first = self.span.map_or(row, |(first, ..)| first);
        self.span = Some((first, row, at));
    }
}

/// What a host answered to a row that has no record yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered<'a> {
    pub(super) stage: Stage,
    pub(super) rrn: Option<&'a str>,
    pub(super) approval_code: Option<&'a str>,
    pub(super) response_code: Option<&'a str>,
}

/// Length byte of a text that is not there.
const NONE: u8 = u8::MAX;

impl<'a> Answered<'a> {
    /// As it stands among answers. `None`: a text is longer than there is room for.
    pub(super) fn to_bytes(self) -> Option<Box<[u8]>> {
        let mut out = Vec::with_capacity(32);
        self.write(&mut out)?;
        Some(out.into_boxed_slice())
    }

    /// The same behind what `out` has. `None`: `out` has a part of it.
    pub(super) fn write(self, out: &mut Vec<u8>) -> Option<()> {
        out.push(u8::try_from(self.stage.number()).ok()?);
        for text in [self.rrn, self.approval_code, self.response_code] {
            let Some(text) = text else {
                out.push(NONE);
                continue;
            };
            out.push(u8::try_from(text.len()).ok().filter(|len| *len != NONE)?);
            out.extend_from_slice(text.as_bytes());
        }
        Some(())
    }

    /// What [`to_bytes`](Answered::to_bytes) has written; `None` for anything else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Answered<'a>> {
        let mut rest = bytes;
        let [stage] = take_array(&mut rest)?;
        let mut text = || -> Option<Option<&'a str>> {
            match take_array(&mut rest)? {
                [NONE] => Some(None),
                [len] => Some(Some(std::str::from_utf8(take(&mut rest, usize::from(len))?).ok()?)),
            }
        };
        let (rrn, approval_code, response_code) = (text()?, text()?, text()?);
        let stage = Stage::of_number(i64::from(stage))?;
        rest.is_empty().then_some(Answered { stage, rrn, approval_code, response_code })
    }
}

/// The answers of a commit that is being written.
#[derive(Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    /// The first row.
    pub(super) id: Option<i64>,
}

impl Answers {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.id = None;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn push(&mut self, row: i64, answered: &[u8]) {
        self.bytes.extend_from_slice(&row.to_le_bytes());
        // Three texts of 254 bytes at most, and a stage.
        self.bytes.extend_from_slice(&(answered.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(answered);
        self.id.get_or_insert(row);
    }
}

/// All answers, by row.
pub(super) fn answers(conn: &Connection) -> rusqlite::Result<HashMap<i64, Box<[u8]>>> {
    let mut all = HashMap::new();
    let mut statement = conn.prepare_cached("SELECT id, lines FROM answers ORDER BY id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (id, lines): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let (row, answered) =
                answer(&mut rest).ok_or_else(|| damaged(format!("the answers of row {id} are damaged")))?;
            all.insert(row, answered.into());
        }
    }
    Ok(all)
}

fn answer<'a>(rest: &mut &'a [u8]) -> Option<(i64, &'a [u8])> {
    let row = i64::from_le_bytes(take_array(rest)?);
    let len = u16::from_le_bytes(take_array(rest)?);
    let answered = take(rest, usize::from(len))?;
    Answered::read(answered).map(|_| (row, answered))
}

/// What is in the file is none of what is written there.
pub(super) fn damaged(what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, what.into())
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) row: i64,
    pub(super) facts: Facts<'a>,
    /// The same as they stand there.
    pub(super) bytes: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) sealed: &'a [u8],
}

/// A sheet as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    /// Numbers of its first row and of its last.
    pub(super) id: i64,
    pub(super) last: i64,
    pub(super) run: i64,
    pub(super) upstream: i64,
    /// The key that seals its images.
    pub(super) key_id: String,
    lines: Vec<u8>,
}

/// Columns of a sheet, in the order in which [`Sheet::read`] wants them.
const COLUMNS: &str = "s.id, s.last, s.run, s.upstream, s.key_id, s.lines";
impl Sheet {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Sheet> {
        Ok(Sheet {
            id: row.get(0)?,
            last: row.get(1)?,
            run: row.get(2)?,
            upstream: row.get(3)?,
            key_id: row.get(4)?,
            lines: row.get(5)?,
        })
    }

    /// Its lines.
    ///
    /// # Errors
    /// That it is damaged.
    pub(super) fn lines(&self) -> rusqlite::Result<Vec<Line<'_>>> {
        let mut rest = &self.lines[..];
        let lines = (self.id..=self.last).map(|row| line(row, &mut rest)).collect::<Option<Vec<Line<'_>>>>();
        let lines = lines.filter(|_| rest.is_empty());
        lines.ok_or_else(|| damaged(format!("the sheet of row {} is damaged", self.id)))
    }
}

fn line<'a>(row: i64, rest: &mut &'a [u8]) -> Option<Line<'a>> {
    let len = u16::from_le_bytes(take_array(rest)?);
    let bytes = take(rest, usize::from(len))?;
    let nonce = take(rest, NONCE_LEN)?;
    let len = usize::try_from(u32::from_le_bytes(take_array(rest)?)).ok()?;
    Some(Line { row, facts: Facts::read(bytes)?, bytes, nonce, sealed: take(rest, len)? })
}

/// Numbers of the sheets to which `condition` applies (`s` is the sheet), in their order.
pub(super) fn ids(conn: &Connection, condition: &str) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        conn.prepare(&format!("SELECT s.id FROM sheets s WHERE {condition} ORDER BY s.id"))?;
    let found = statement.query_map([], |row| row.get(0))?;
    found.collect()
}

/// Sheets of which it is found out together whether they have intents.
const CHUNK: usize = 512;

/// Numbers of the sheets with rows above `after` up to `to` of which some have no record: neither one of their own nor one in a
/// bundle.
fn ids_with_intents(conn: &Connection, after: i64, to: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = conn
        .prepare_cached("SELECT id, last FROM sheets WHERE id > ?1 AND id <= ?2 AND last > ?3 ORDER BY id")?;
    // No sheet is longer.
    let found = statement
        .query_map([after.saturating_sub(LINES_MAX), to, after], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let spans: Vec<(i64, i64)> = found.collect::<rusqlite::Result<_>>()?;
    let mut records = conn.prepare_cached("SELECT id FROM records WHERE id BETWEEN ?1 AND ?2")?;
    let mut ids = Vec::new();
    for chunk in spans.chunks(CHUNK) {
        let ends = chunk.iter().map(|(_, last)| *last).max().unwrap_or(i64::MAX);
        let bundled = bundle::rows(conn, chunk[0].0, ends)?;
        for (id, last) in chunk {
            let mut with_record = (*id..=*last).filter(|row| bundled.contains_key(row)).count();
            let mut found = records.query([id, last])?;
            while let Some(row) = found.next()? {
                with_record += usize::from(!bundled.contains_key(&row.get::<_, i64>(0)?));
            }
            ids.extend(Some(*id).filter(|_| with_record as i64 <= last - id));
        }
    }
    Ok(ids)
}

/// The sheets with rows above `after` up to `to` of which some have no record.
pub(super) fn with_intents(conn: &Connection, after: i64, to: i64) -> rusqlite::Result<Vec<Sheet>> {
    let ids = ids_with_intents(conn, after, to)?.into_iter();
    ids.map(|id| of_row(conn, id)).filter_map(Result::transpose).collect()
}

/// Which rows a sheet has, of which run, and the key that seals their images.
pub(super) struct SealedRows {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) run: i64,
    pub(super) key_id: String,
}

/// The sheets that have rows from `first` to `last`, in their order.
pub(super) fn keys(conn: &Connection, first: i64, last: i64) -> rusqlite::Result<Vec<SealedRows>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, last, run, key_id FROM sheets WHERE id > ?1 AND id <= ?2 AND last >= ?3 ORDER BY id",
    )?;
    // No sheet is longer.
    let found = statement.query_map([first.saturating_sub(LINES_MAX), last, first], |row| {
        Ok(SealedRows { first: row.get(0)?, last: row.get(1)?, run: row.get(2)?, key_id: row.get(3)? })
    })?;
    found.collect()
}

/// The sheet that has this row.
pub(super) fn of_row(conn: &Connection, row: i64) -> rusqlite::Result<Option<Sheet>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sheets s WHERE s.id = (SELECT MAX(id) FROM sheets WHERE id <= ?1) AND s.last >= ?1"
    ))?
    .query_row([row], Sheet::read)
    .optional()
}

/// Gives each row of a sheet a record and an image of its own, and takes the sheet away.
pub(super) fn unfold(conn: &Connection, sheet: &Sheet) -> rusqlite::Result<()> {
    bundle::take_out(conn, sheet.id, sheet.last, |_| true)?;
    let answers = answers(conn)?;
    let mut record = conn.prepare_cached(schema::UNFOLD_RECORD)?;
    let mut image = conn.prepare_cached(schema::UNFOLD_IMAGE)?;
    for Line { row, facts, nonce, sealed, .. } in sheet.lines()? {
        let Facts { tx, received_ms, mti, elements } = facts;
        let answered = answers.get(&row).and_then(|answered| Answered::read(answered));
        record.execute(params![
            row,
            sheet.run,
            tx as i64,
            sheet.upstream,
            mti,
            answered.map_or(Stage::Intent, |answered| answered.stage).number(),
            received_ms,
            answered.and_then(|answered| answered.rrn),
            answered.and_then(|answered| answered.approval_code),
            answered.and_then(|answered| answered.response_code),
            elements,
        ])?;
        image.execute(params![row, sheet.run, tx as i64, sheet.key_id, nonce, sealed])?;
    }
    conn.prepare_cached(schema::DELETE_SHEET)?.execute([sheet.id])?;
    Ok(())
}

/// Unfolds all sheets with rows that are open: after it, what `records` and `images` have is all that is open.
pub(super) fn unfold_open(conn: &Connection) -> rusqlite::Result<()> {
    const OPEN: &str = "EXISTS (SELECT 1 FROM records r WHERE r.id BETWEEN s.id AND s.last AND r.stage <> 7)";
    unfold_these(conn, ids(conn, OPEN)?)?;
    unfold_these(conn, ids_with_intents(conn, i64::MIN, i64::MAX)?)?;
    conn.execute("DELETE FROM answers", []).map(drop)
}

/// Unfolds all sheets.
pub(super) fn unfold_all(conn: &Connection) -> rusqlite::Result<()> {
    unfold_these(conn, ids(conn, "TRUE")?)
}

fn unfold_these(conn: &Connection, ids: Vec<i64>) -> rusqlite::Result<()> {
    for id in ids {
        if let Some(sheet) = of_row(conn, id)? {
            unfold(conn, &sheet)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand.
    const FACTS: &[u8] = b"\x08\x07\x06\x05\x04\x03\x02\x01\x08\x4F\x63\x01\xA2\x01\0\0\
        0200{\"41\":\"1\"}";

    #[test]
    fn facts_stand_in_the_file_as_described() {
        let (tx, received_ms) = (0x0102_0304_0506_0708, 0x01A2_0163_4F08);
        let facts = Facts { tx, received_ms, mti: "0200", elements: r#"{"41":"1"}"# };
        assert_eq!(Facts::read(FACTS), Some(facts));
        assert_eq!(Facts::read(&FACTS[..ELEMENTS - 1]), None);
        assert_eq!(Facts::read(&[FACTS, b"\xFF"].concat()), None);
    }

    #[test]
    fn answers_stand_in_the_file_as_described() {
        let answered = Answered {
            stage: Stage::AnsweredApproved,
            rrn: Some("000000000042"),
            approval_code: None,
            response_code: Some("000"),
        };
        let bytes = b"\x01\x0C000000000042\xFF\x03000";
        assert_eq!(answered.to_bytes().as_deref(), Some(&bytes[..]));
        assert_eq!(Answered::read(bytes), Some(answered));
        for len in 0..bytes.len() {
            assert_eq!(Answered::read(&bytes[..len]), None, "{len}");
        }
        assert_eq!(Answered::read(&[&bytes[..], b"\0"].concat()), None);
        let long = "1".repeat(255);
        assert_eq!(Answered { rrn: Some(&long), ..answered }.to_bytes(), None);
        let (mut answers, mut all) =
            (Answers::default(), &b"\x07\0\0\0\0\0\0\0\x13\0\x01\x0C000000000042\xFF\x03000"[..]);
        answers.push(7, bytes);
        assert_eq!((answers.id, answers.bytes()), (Some(7), all));
        assert_eq!((answer(&mut all), all), (Some((7, &bytes[..])), &b""[..]));
    }

    #[test]
    fn a_sheet_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
        let nonce = [7; NONCE_LEN];
        let mut lines = Lines::default();
        for n in 0..3_u8 {
            lines.push(5 + i64::from(n), Now::default(), FACTS, &nonce, &vec![n; usize::from(n) * 300]);
        }
        let sheet = |last, lines: &[u8]| Sheet {
            id: 5,
            last,
            run: 1,
            upstream: 1,
            key_id: "k".to_owned(),
            lines: lines.to_vec(),
        };
        let whole = sheet(7, lines.bytes());
        let read = whole.lines().unwrap();
        assert_eq!(
            read.iter().map(|line| (line.row, line.sealed.len())).collect::<Vec<_>>(),
            [(5, 0), (6, 300), (7, 600)]
        );
        assert!(read.iter().all(|line| line.bytes == FACTS
            && line.nonce == nonce
            && line.sealed.iter().all(|byte| i64::from(*byte) == line.row - 5)));
        for len in 0..lines.bytes().len() {
            assert!(sheet(7, &lines.bytes()[..len]).lines().is_err(), "{len}");
        }
        assert!(sheet(6, lines.bytes()).lines().is_err() && sheet(8, lines.bytes()).lines().is_err());
    }
}
