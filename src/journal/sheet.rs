//! Sheets: what intents have of record and image, those of one commit together in one row.
//!
//! Nearly every sale is over a moment after its intent. So a record is written once, when there is an answer or more to tell,
//! and the image is never written alone. A row of a sheet that `records` does not have is an intent; one that it has stands
//! there as it is now. Images stay in the sheet until the time of all of them is over. Whoever has to change one, or to keep
//! one longer, [unfolds](unfold) the sheet first: then every row of it has a record and an image of its own, and the sheet
//! is gone.
//!
//! `lines` has one line for each row from `id` to `last`, in their order: length (two bytes) and content of its facts, its
//! nonce, length (four bytes) and content of its sealed image. Facts are the transaction id and the moment at which it came
//! (eight bytes each), the digits of the MTI, then the texts, each with a byte before it: its length, or 255 where there is
//! none. Numbers begin with their lowest byte.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema;
use super::seal::NONCE_LEN;
use crate::rules::{self, Request};
use crate::time::Now;

/// Lines of a sheet at most: so many are erased, or unfolded, at a time.
pub(super) const LINES_MAX: i64 = 128;
/// Length byte of a text that is not there.
const NONE: u8 = u8::MAX;
/// An image that is longer has a row of its own.
const IMAGE_MAX: usize = 64 << 10;

/// What a record has of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    pub(super) tx: u64,
    /// When it came, and was about to leave (wall, ms since 1970).
    pub(super) received_ms: i64,
    /// Its digits.
    mti: [u8; 4],
    pub(super) processing_code: Option<Cow<'a, str>>,
    pub(super) amount: Option<Cow<'a, str>>,
    pub(super) transmission_time: Option<Cow<'a, str>>,
    pub(super) stan: Option<Cow<'a, str>>,
    pub(super) local_time: Option<Cow<'a, str>>,
    pub(super) rrn: Option<Cow<'a, str>>,
    pub(super) tid: Option<Cow<'a, str>>,
    pub(super) mid: Option<Cow<'a, str>>,
    pub(super) currency: Option<Cow<'a, str>>,
}

impl<'a> Facts<'a> {
    /// Those of the request of transaction `tx`, which came at `received_ms`.
    pub(super) fn of(tx: u64, received_ms: i64, request: &'a Request) -> Facts<'a> {
        let kept = rules::journal_record(request);
        Facts {
            tx,
            received_ms,
            mti: kept.mti.digits(),
            processing_code: kept.processing_code,
            amount: kept.amount,
            transmission_time: kept.transmission_time,
            stan: kept.stan,
            local_time: kept.local_time,
            rrn: kept.rrn,
            tid: kept.tid,
            mid: kept.mid,
            currency: kept.currency,
        }
    }

    /// The MTI of the request.
    pub(super) fn mti(&self) -> &str {
        std::str::from_utf8(&self.mti).unwrap_or_default()
    }

    fn texts(&self) -> [Option<&str>; 9] {
        [
            self.processing_code.as_deref(),
            self.amount.as_deref(),
            self.transmission_time.as_deref(),
            self.stan.as_deref(),
            self.local_time.as_deref(),
            self.rrn.as_deref(),
            self.tid.as_deref(),
            self.mid.as_deref(),
            self.currency.as_deref(),
        ]
    }

    /// As they stand in a sheet. `None`: a text is longer than a sheet has room for.
    pub(super) fn to_bytes(&self) -> Option<Box<[u8]>> {
        let texts = self.texts();
        let len = 20 + texts.iter().map(|text| 1 + text.map_or(0, str::len)).sum::<usize>();
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&self.tx.to_le_bytes());
        out.extend_from_slice(&self.received_ms.to_le_bytes());
        out.extend_from_slice(&self.mti);
        for text in texts {
            let text = text
                .map(|text| u8::try_from(text.len()).ok().filter(|len| *len < NONE).map(|len| (len, text)));
            match text {
                None => out.push(NONE),
                Some(None) => return None,
                Some(Some((len, text))) => {
                    out.push(len);
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        Some(out.into_boxed_slice())
    }

    /// What [`to_bytes`](Facts::to_bytes) has written; `None` for anything else.
    pub(super) fn of_bytes(bytes: &'a [u8]) -> Option<Facts<'a>> {
        let mut rest = bytes;
        let facts = Facts {
            tx: u64::from_le_bytes(take_array(&mut rest)?),
            received_ms: i64::from_le_bytes(take_array(&mut rest)?),
            mti: take_array(&mut rest).filter(|mti: &[u8; 4]| mti.is_ascii())?,
            processing_code: take_text(&mut rest)?,
            amount: take_text(&mut rest)?,
            transmission_time: take_text(&mut rest)?,
            stan: take_text(&mut rest)?,
            local_time: take_text(&mut rest)?,
            rrn: take_text(&mut rest)?,
            tid: take_text(&mut rest)?,
            mid: take_text(&mut rest)?,
            currency: take_text(&mut rest)?,
        };
        rest.is_empty().then_some(facts)
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

/// `Some(None)`: a text that is not there.
fn take_text<'a>(rest: &mut &'a [u8]) -> Option<Option<Cow<'a, str>>> {
    match take_array(rest)? {
        [NONE] => Some(None),
        [len] => {
            let text = std::str::from_utf8(take(rest, usize::from(len))?).ok()?;
            Some(Some(Cow::Borrowed(text)))
        }
    }
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

    /// Whether there is room for such an image.
    pub(super) fn takes(sealed: &[u8]) -> bool {
        sealed.len() <= IMAGE_MAX
    }

    /// That of `row`, the number after the last one.
    pub(super) fn push(&mut self, row: i64, at: Now, facts: &[u8], nonce: &[u8; NONCE_LEN], sealed: &[u8]) {
        // Nine texts of 254 bytes, two numbers and an MTI: 2,315 bytes at most.
        self.bytes.extend_from_slice(&(facts.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(facts);
        self.bytes.extend_from_slice(nonce);
        // 64 KiB at most.
        self.bytes.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(sealed);
        let first = self.span.map_or(row, |(first, ..)| first);
        self.span = Some((first, row, at));
    }
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
/// Whether rows of a sheet have no record.
const HAS_INTENTS: &str =
    "(SELECT COUNT(*) FROM records r WHERE r.id BETWEEN s.id AND s.last) <= s.last - s.id";

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
        lines.filter(|_| rest.is_empty()).ok_or_else(|| {
            let what = format!("the sheet of row {} is damaged", self.id);
            rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Blob, what.into())
        })
    }
}

fn line<'a>(row: i64, rest: &mut &'a [u8]) -> Option<Line<'a>> {
    let len = u16::from_le_bytes(take_array(rest)?);
    let bytes = take(rest, usize::from(len))?;
    let nonce = take(rest, NONCE_LEN)?;
    let len = usize::try_from(u32::from_le_bytes(take_array(rest)?)).ok()?;
    Some(Line { row, facts: Facts::of_bytes(bytes)?, bytes, nonce, sealed: take(rest, len)? })
}

/// Numbers of the sheets to which `condition` applies (`s` is the sheet), in their order.
pub(super) fn ids(conn: &Connection, condition: &str) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        conn.prepare(&format!("SELECT s.id FROM sheets s WHERE {condition} ORDER BY s.id"))?;
    let found = statement.query_map([], |row| row.get(0))?;
    found.collect()
}

/// The sheets with rows above `after` up to `to` of which some have no record.
pub(super) fn with_intents(conn: &Connection, after: i64, to: i64) -> rusqlite::Result<Vec<Sheet>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sheets s WHERE s.id > ?1 AND s.id <= ?2 AND s.last > ?3 AND {HAS_INTENTS} ORDER BY s.id"
    ))?;
    // No sheet is longer.
    let found = statement.query_map([after.saturating_sub(LINES_MAX), to, after], Sheet::read)?;
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

/// Gives each row of a sheet a record, if it has none, and an image of its own, and takes the sheet away.
pub(super) fn unfold(conn: &Connection, sheet: &Sheet) -> rusqlite::Result<()> {
    let mut record = conn.prepare_cached(schema::UNFOLD_RECORD)?;
    let mut image = conn.prepare_cached(schema::UNFOLD_IMAGE)?;
    for Line { row, facts, nonce, sealed, .. } in sheet.lines()? {
        record.execute(params![
            row,
            sheet.run,
            facts.tx as i64,
            sheet.upstream,
            facts.mti(),
            facts.received_ms,
            facts.amount,
            facts.transmission_time,
            facts.stan,
            facts.local_time,
            facts.rrn,
            facts.tid,
            facts.currency,
            facts.processing_code,
            facts.mid,
        ])?;
        image.execute(params![row, sheet.run, facts.tx as i64, sheet.key_id, nonce, sealed])?;
    }
    conn.prepare_cached(schema::DELETE_SHEET)?.execute([sheet.id])?;
    Ok(())
}

/// Unfolds all sheets with rows that are open: after it, what `records` and `images` have is all that is open.
pub(super) fn unfold_open(conn: &Connection) -> rusqlite::Result<()> {
    const OPEN: &str = "EXISTS (SELECT 1 FROM records r WHERE r.id BETWEEN s.id AND s.last AND r.stage <> 7)";
    unfold_where(conn, &format!("{HAS_INTENTS} OR {OPEN}"))
}

/// Unfolds all sheets.
pub(super) fn unfold_all(conn: &Connection) -> rusqlite::Result<()> {
    unfold_where(conn, "TRUE")
}

fn unfold_where(conn: &Connection, condition: &str) -> rusqlite::Result<()> {
    for id in ids(conn, condition)? {
        if let Some(sheet) = of_row(conn, id)? {
            unfold(conn, &sheet)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            tx: 0x0102_0304_0506_0708,
            received_ms: 1_795_316_645_000,
            mti: *b"0200",
            amount: Some("000000001000".into()),
            tid: Some("".into()),
            mid: Some("é".repeat(127).into()),
            ..Facts::default()
        }
    }

    /// Written by hand.
    const BYTES: &[u8] = b"\x08\x07\x06\x05\x04\x03\x02\x01\x08\x4F\x63\x01\xA2\x01\0\0\
        0200\xFF\x01x\xFF\xFF\xFF\xFF\x00\xFF\x02\xC3\xA9";

    #[test]
    fn facts_are_read_as_they_were_written() {
        let bytes = facts().to_bytes().unwrap();
        assert_eq!(Facts::of_bytes(&bytes), Some(facts()));
        for len in 0..bytes.len() {
            assert_eq!(Facts::of_bytes(&bytes[..len]), None, "{len}");
        }
        assert_eq!(Facts::of_bytes(&[&bytes[..], b"\0"].concat()), None);
        let too_long = Facts { stan: Some("1".repeat(255).into()), ..facts() };
        assert_eq!(too_long.to_bytes(), None);
    }

    #[test]
    fn facts_stand_in_the_file_as_described() {
        let facts = Facts::of_bytes(BYTES).unwrap();
        assert_eq!((facts.tx, facts.received_ms), (0x0102_0304_0506_0708, 0x01A2_0163_4F08));
        assert_eq!((facts.mti(), facts.amount.as_deref()), ("0200", Some("x")));
        assert_eq!((facts.tid.as_deref(), facts.mid.as_deref()), (Some(""), None));
        assert_eq!(facts.currency.as_deref(), Some("é"));
        assert_eq!(facts.to_bytes().as_deref(), Some(BYTES));
    }

    #[test]
    fn a_sheet_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
        let (nonce, facts) = ([7; NONCE_LEN], facts());
        let mut lines = Lines::default();
        for n in 0..3_u8 {
            lines.push(
                5 + i64::from(n),
                Now::default(),
                &facts.to_bytes().unwrap(),
                &nonce,
                &vec![n; usize::from(n) * 300],
            );
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
        assert!(read.iter().all(|line| line.facts == facts
            && line.nonce == nonce
            && line.sealed.iter().all(|byte| i64::from(*byte) == line.row - 5)));
        for len in 0..lines.bytes().len() {
            assert!(sheet(7, &lines.bytes()[..len]).lines().is_err(), "{len}");
        }
        assert!(sheet(6, lines.bytes()).lines().is_err() && sheet(8, lines.bytes()).lines().is_err());
    }
}
