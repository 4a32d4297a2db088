//! A host's settlement list: lines of separated values. What is wrong with a line is told by line, column and limit,
//! never with the value, which may be anything.

use std::fmt;
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::money::{Amount, Currency};

/// Lines of a list.
pub const LINES_MAX: u64 = 10_000_000;
/// Bytes of a list: what is longer is something else.
pub const FILE_LEN_MAX: u64 = 4 << 30;
/// Wrong lines that are told one by one; more are counted.
const TOLD_MAX: usize = 20;

/// What a column can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meaning {
    /// DE 11.
    Stan,
    /// DE 41.
    Tid,
    /// DE 37.
    Rrn,
    /// DE 4.
    Amount,
    /// DE 39.
    Code,
    /// DE 49, as three digits.
    Currency,
    /// The message type, by which reversals are known.
    Mti,
}

impl Meaning {
    /// All of them.
    pub const ALL: [Meaning; 7] = [
        Meaning::Stan,
        Meaning::Tid,
        Meaning::Rrn,
        Meaning::Amount,
        Meaning::Code,
        Meaning::Currency,
        Meaning::Mti,
    ];

    /// What it is called in `--columns`.
    pub const fn name(self) -> &'static str {
        match self {
            Meaning::Stan => "stan",
            Meaning::Tid => "tid",
            Meaning::Rrn => "rrn",
            Meaning::Amount => "amount",
            Meaning::Code => "code",
            Meaning::Currency => "currency",
            Meaning::Mti => "mti",
        }
    }

    /// Characters of its values. Longer ones are something else, a card number for instance.
    const fn len_max(self) -> usize {
        match self {
            Meaning::Stan | Meaning::Rrn | Meaning::Tid => 12,
            Meaning::Amount => 20,
            Meaning::Code | Meaning::Mti => 4,
            Meaning::Currency => 3,
        }
    }
}

/// Where a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By its name in the first line.
    Named(String),
    /// By its number, from 1.
    Numbered(usize),
}

/// How a list is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Which columns mean what; none: those of the head that have the names of [`Meaning`].
    pub columns: Vec<(Meaning, Place)>,
    /// Between values.
    pub delimiter: u8,
    /// Whether the first line names the columns.
    pub has_head: bool,
    /// The decimal point of amounts.
    pub point: char,
    /// Whether amounts are in minor units.
    pub in_minor: bool,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { columns: Vec::new(), delimiter: b',', has_head: true, point: '.', in_minor: false }
    }
}

impl Layout {
    /// `stan=STAN,tid=3`: names of the head, or numbers from 1.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_columns(text: &str) -> Result<Vec<(Meaning, Place)>, String> {
        let names = || Meaning::ALL.map(Meaning::name).join(", ");
        let mut columns: Vec<(Meaning, Place)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, place) = part.split_once('=').ok_or("each is written NAME=COLUMN")?;
            let meaning = Meaning::ALL
                .into_iter()
                .find(|meaning| meaning.name() == name.trim())
                .ok_or_else(|| format!("names are {}", names()))?;
            if columns.iter().any(|(other, _)| *other == meaning) {
                return Err(format!("{} is given twice", meaning.name()));
            }
            let place = match place.trim() {
                "" => return Err(format!("{} has no column", meaning.name())),
                number if number.bytes().all(|byte| byte.is_ascii_digit()) => match number.parse() {
                    Ok(number @ 1..=10_000) => Place::Numbered(number),
                    _ => return Err(format!("{}: columns are numbered from 1", meaning.name())),
                },
                name => Place::Named(name.to_owned()),
            };
            columns.push((meaning, place));
        }
        Ok(columns)
    }
}

/// One line of a host's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// DE 41.
    pub tid: Option<String>,
    /// DE 11.
    pub stan: Option<String>,
    /// DE 37.
    pub rrn: Option<String>,
    /// DE 4.
    pub amount: Option<Amount>,
    /// DE 39.
    pub code: Option<String>,
    /// DE 49.
    pub currency: Option<Currency>,
    /// Whether it undoes a sale: by its message type, or by the minus of its amount.
    pub is_reversal: bool,
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its number in the file, from 1.
    pub line: u64,
    /// Which column, and where it is (from 1).
    pub column: Option<(Meaning, usize)>,
    /// What, without the value.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some((meaning, number)) = self.column {
            write!(f, ", column {} ({number})", meaning.name())?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BankFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A column is not there, or there are too few to find anything by.
    #[error("{0}")]
    Columns(String),
    /// Lines that cannot be used, the first of them.
    #[error("{}", told(.first, *.count))]
    Lines {
        /// The first of them.
        first: Vec<Wrong>,
        /// All of them.
        count: u64,
    },
}

fn told(first: &[Wrong], count: u64) -> String {
    let mut lines: Vec<String> = first.iter().map(Wrong::to_string).collect();
    let more = count.saturating_sub(first.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n  ")
}

/// Reads a whole list.
///
/// # Errors
/// [`BankFileError`]: all lines are usable, or none is used.
pub fn read(file: impl Read, layout: &Layout) -> Result<Vec<BankLine>, BankFileError> {
    let mut reader = ReaderBuilder::new()
        .delimiter(layout.delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(file.take(FILE_LEN_MAX));
    let mut record = ByteRecord::new();
    let mut columns = if layout.has_head { None } else { Some(placed(layout, None)?) };
    let (mut lines, mut first, mut count) = (Vec::new(), Vec::new(), 0_u64);
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        let line = record.position().map_or(0, csv::Position::line);
        let Some(columns) = &columns else {
            columns = Some(placed(layout, Some(&record))?);
            continue;
        };
        if lines.len() as u64 >= LINES_MAX {
            return Err(BankFileError::Columns(format!("has more than {LINES_MAX} lines")));
        }
        match read_line(&record, columns, layout, line) {
            Ok(line) => lines.push(line),
            Err(wrong) => {
                count += 1;
                if first.len() < TOLD_MAX {
                    first.push(wrong);
                }
            }
        }
    }
    if columns.is_none() {
        return Err(BankFileError::Columns("has no line with the names of the columns".to_owned()));
    }
    if count > 0 { Err(BankFileError::Lines { first, count }) } else { Ok(lines) }
}

fn unreadable(error: csv::Error) -> BankFileError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => BankFileError::Read(error),
        // Its words quote nothing, but they may in another release.
        _ => BankFileError::Columns("is no list of separated values".to_owned()),
    }
}

type Columns = Vec<(Meaning, usize)>;

/// Which columns mean what, by number from 0.
fn placed(layout: &Layout, head: Option<&ByteRecord>) -> Result<Columns, BankFileError> {
    let name_at = |name: &str| {
        let wanted = name.trim();
        head.and_then(|head| {
            head.iter().position(|column| {
                let text = String::from_utf8_lossy(column);
                text.trim_start_matches('\u{feff}').trim().eq_ignore_ascii_case(wanted)
            })
        })
    };
    let mut columns = Vec::new();
    for (meaning, place) in &layout.columns {
        let number = match place {
            Place::Numbered(number) => number - 1,
            Place::Named(name) => name_at(name).ok_or_else(|| {
                let why = if head.is_some() {
                    "its first line has no column"
                } else {
                    "it has no head with a column"
                };
                BankFileError::Columns(format!("{}: {why} of that name", meaning.name()))
            })?,
        };
        columns.push((*meaning, number));
    }
    if layout.columns.is_empty() {
        columns.extend(Meaning::ALL.iter().filter_map(|meaning| Some((*meaning, name_at(meaning.name())?))));
    }
    let has = |meaning| columns.iter().any(|(other, _)| *other == meaning);
    if !(has(Meaning::Rrn) || has(Meaning::Tid) && has(Meaning::Stan)) {
        let text = "needs the columns tid and stan, or rrn; --columns says which they are (stan=…,tid=…)";
        return Err(BankFileError::Columns(text.to_owned()));
    }
    Ok(columns)
}

fn read_line(record: &ByteRecord, columns: &Columns, layout: &Layout, line: u64) -> Result<BankLine, Wrong> {
    let mut read = BankLine { line, ..BankLine::default() };
    for (meaning, at) in columns {
        let wrong = |what: String| Wrong { line, column: Some((*meaning, at + 1)), what };
        let value = record
            .get(*at)
            .ok_or_else(|| wrong(format!("is missing: the line has {} columns", record.len())))?;
        let text = std::str::from_utf8(value).map_err(|_| wrong("is no UTF-8 text".to_owned()))?.trim();
        let (len, len_max) = (text.chars().count(), meaning.len_max());
        if len > len_max {
            return Err(wrong(format!("has {len} characters, {len_max} at most")));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("has control characters".to_owned()));
        }
        if text.is_empty() {
            continue;
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match meaning {
            Meaning::Stan if !digits => return Err(wrong("is no number".to_owned())),
            Meaning::Mti if !digits || len != 4 => return Err(wrong("is not four digits".to_owned())),
            Meaning::Stan => read.stan = Some(text.to_owned()),
            Meaning::Tid => read.tid = Some(text.to_owned()),
            Meaning::Rrn => read.rrn = Some(text.to_owned()),
            Meaning::Code => read.code = Some(text.to_owned()),
            Meaning::Amount => {
                let amount = Amount::parse(text, layout.point, layout.in_minor);
                let amount = amount.map_err(|what| wrong(what.to_owned()))?;
                read.is_reversal |= amount.is_negative;
                read.amount = Some(amount);
            }
            Meaning::Currency => {
                let currency = Currency::parse(text);
                read.currency = Some(currency.ok_or_else(|| {
                    wrong("is not three digits (the number of ISO 4217, as in DE 49)".to_owned())
                })?);
            }
            Meaning::Mti => read.is_reversal |= text.as_bytes().get(1) == Some(&b'4'),
        }
    }
    if read.keys() == (None, None) {
        let what = "has neither an rrn nor tid and stan, so it can be about anything".to_owned();
        return Err(Wrong { line, column: None, what });
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(columns: &str) -> Layout {
        Layout { columns: Layout::parse_columns(columns).unwrap(), ..Layout::default() }
    }

    fn error(text: &str, layout: &Layout) -> String {
        read(text.as_bytes(), layout).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name_by_number_and_by_themselves() {
        let list = "\u{feff}Date;Terminal;TRACE;Sum;Card\n22.11.;00000001;000007;10,00;4850781234567891\n";
        let by_name = Layout { delimiter: b';', point: ',', ..layout("tid=terminal, stan=Trace,amount=Sum") };
        let by_number = Layout { has_head: false, ..by_name.clone() };
        let by_number =
            Layout { columns: Layout::parse_columns("tid=2,stan=3,amount=4").unwrap(), ..by_number };
        let expected = BankLine {
            line: 2,
            tid: Some("00000001".into()),
            stan: Some("000007".into()),
            amount: Some(Amount::parse("10.00", '.', false).unwrap()),
            ..BankLine::default()
        };
        assert_eq!(read(list.as_bytes(), &by_name).unwrap(), std::slice::from_ref(&expected));
        let body = list.split_once('\n').unwrap().1;
        assert_eq!(read(body.as_bytes(), &by_number).unwrap(), [BankLine { line: 1, ..expected.clone() }]);
        let own = "STAN,Tid,amount,other\n000007,00000001,10.00,x\n";
        assert_eq!(read(own.as_bytes(), &Layout::default()).unwrap(), [expected]);
        assert_eq!(read("tid,stan\n".as_bytes(), &Layout::default()).unwrap(), []);
    }

    #[test]
    fn a_minus_and_a_message_type_make_a_reversal() {
        let list = "tid,stan,amount,mti\n1,1,10,0200\n1,2,-10,0200\n1,3,10,0420\n1,4,10,\n";
        let found: Vec<bool> =
            read(list.as_bytes(), &Layout::default()).unwrap().iter().map(|line| line.is_reversal).collect();
        assert_eq!(found, [false, true, true, false]);
    }

    #[test]
    fn what_is_wrong_is_told_by_line_column_and_limit_and_never_with_the_value() {
        const CARD: &str = "4850781234567891";
        for (list, says) in [
            (format!("tid,stan\n1,{CARD}\n"), "line 2, column stan (2): has 16 characters, 12 at most"),
            (format!("tid,stan\n{CARD},1\n"), "line 2, column tid (1): has 16 characters, 12 at most"),
            ("tid,stan\n\n1,1\n1,x\n".into(), "line 4, column stan (2): is no number"),
            ("tid,stan,amount\n1,1,ten\n".into(), "line 2, column amount (3): is no amount"),
            ("tid,stan,currency\n1,1,EUR\n".into(), "line 2, column currency (3): is not three digits"),
            ("tid,stan,mti\n1,1,sale\n".into(), "line 2, column mti (3): is not four digits"),
            ("tid,stan\n1\n".into(), "line 2, column stan (2): is missing: the line has 1 columns"),
            ("tid,stan\n,\n".into(), "line 2: has neither an rrn nor tid and stan"),
            ("tid,stan\n1,\n".into(), "line 2: has neither"),
            ("a,b\n1,2\n".into(), "needs the columns tid and stan, or rrn"),
            (String::new(), "has no line with the names"),
        ] {
            let error = error(&list, &Layout::default());
            assert!(error.contains(says), "{says}: {error}");
            assert!(!error.contains("4850"), "{error}");
        }
        let many = format!("tid,stan\n{}", "1,x\n".repeat(25));
        let error = error(&many, &Layout::default());
        assert!(
            error.contains("line 21,") && error.contains("and 5 more") && !error.contains("line 22,"),
            "{error}"
        );
        assert!(
            read(&b"tid,stan\n1,\xff\n"[..], &Layout::default()).unwrap_err().to_string().contains("UTF-8")
        );
    }

    #[test]
    fn a_mapping_is_checked_before_anything_is_read() {
        for (text, says) in [
            ("stan", "NAME=COLUMN"),
            ("pan=2", "names are stan, tid"),
            ("stan=1,stan=2", "twice"),
            ("stan=", "no column"),
            ("stan=0", "from 1"),
            ("stan=99999999999999999999", "from 1"),
        ] {
            let error = Layout::parse_columns(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(error("a,b\n", &layout("tid=Terminal,stan=2")).contains("no column of that name"));
        let headless = Layout { has_head: false, ..layout("tid=Terminal,stan=2") };
        assert!(error("1,2\n", &headless).contains("no head"));
    }
}
