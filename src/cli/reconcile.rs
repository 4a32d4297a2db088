//! `socketqueue reconcile`: our records of a day against a host's settlement list.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::USAGE;
use super::journal::{self, At, Failure, Found};
use crate::config::dialects;
use crate::dialect::{Dialect, RequestClass, ReversalClass};
use crate::journal::Stage;
use crate::journal::desk::{Entry, Filter, Reader, Which};
use crate::mux::FinalState;
use crate::output;
use crate::reconcile::bank_file::{self, BankLine, Layout, Meaning, Place};
use crate::reconcile::money::{Currency, decimal};
use crate::reconcile::{self, Compared, Difference, Fate, Ours, Total};

/// Both lists agree.
const EQUAL: u8 = 0;
/// They differ.
const DIFFERS: u8 = 1;
/// They cannot be compared.
const CANNOT: u8 = USAGE;
/// Records of the day before and the day after only explain lines of the bank's.
const BESIDE_MS: i64 = 24 * 3_600_000;
/// Differences shown in the table; JSON has all of them.
const SHOWN_MAX: usize = 1000;

/// Compares our records of a day with a host's settlement list, and lists what differs.
///
/// Each line of the list is about the record with its RRN, where both have one, else with its terminal and STAN. Told are:
/// in bank, not ours; ours, not in bank; another amount; a sale at the bank that we reversed, or that failed with us; one
/// that the bank undid and that stands for us; what is still open with us. Lines with a message type 04xx, or with a
/// negative amount, undo a sale of the list. Records of the day before and after explain lines about them and are not
/// missed. Works beside a running gateway. Exit codes: 0 both agree, 1 something differs, 2 they cannot be compared.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue reconcile --bank-file settlement.csv --date 2026-11-22
  socketqueue reconcile --bank-file list.txt --delimiter ';' --decimal , --columns stan=TRACE,tid=TERMINAL,amount=SUM,rrn=RRN
  socketqueue reconcile --bank-file list.tsv --delimiter tab --no-header --columns tid=2,stan=3,amount=5,code=7 --json")]
pub struct ReconcileArgs {
    /// The host's list: lines of separated values
    #[arg(long, value_name = "FILE")]
    bank_file: PathBuf,
    /// The day, in the zone; yesterday unless given
    #[arg(long, value_name = "DAY")]
    date: Option<String>,
    /// Which columns mean what, by their names in the first line or by their numbers from 1: stan, tid, rrn, amount, code,
    /// currency, mti; those names themselves unless given
    #[arg(long, value_name = "stan=…,tid=…", default_value = "")]
    columns: String,
    /// Between values: one character, or tab
    #[arg(long, default_value = ",", value_name = "CHAR")]
    delimiter: String,
    /// The first line is no head
    #[arg(long)]
    no_header: bool,
    /// Decimal point of amounts: . or ,
    #[arg(long, default_value = ".", value_name = "CHAR", value_parser = ["." , ","])]
    decimal: String,
    /// major: 10.00; minor: 1000, in the smallest unit of the currency
    #[arg(long, default_value = "major", value_parser = ["major", "minor"])]
    amounts: String,
    /// Currency of lines that name none, as three digits (ISO 4217); that of our records unless given
    #[arg(long, value_name = "NUMBER")]
    currency: Option<String>,
    /// Response codes of the list that mean an approval; by the dialect unless given
    #[arg(long, value_name = "CODE,…", value_delimiter = ',')]
    approved: Vec<String>,
    /// Dialect of the records: smartVista, openWay, or a dialect document; that of -c or of the records unless given
    #[arg(long = "hostConfig", alias = "host-config", value_name = "NAME|FILE")]
    host_config: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Runs `socketqueue reconcile`.
pub(super) fn run(args: ReconcileArgs) -> ExitCode {
    match reconciled(&args).map_err(|failure| failure.coded(CANNOT)) {
        Err(Failure::Configuration(problems)) => {
            super::refuse(&problems);
            ExitCode::from(CANNOT)
        }
        other => journal::finish(other),
    }
}

fn reconciled(args: &ReconcileArgs) -> Result<ExitCode, Failure> {
    let layout = layout(args)?;
    let found = args.at.find()?;
    let (begin, end, day) = day(args, &found)?;
    let bank = bank_lines(args, &layout)?;
    let reader = Reader::open(&found.options.file)?;
    let mut filter = Filter::of(Which::All);
    (filter.since_ms, filter.before_ms) = (Some(begin - BESIDE_MS), Some(end + BESIDE_MS));
    let entries: Vec<Entry> = reader.entries(filter)?.collect::<Result<_, _>>()?;
    let dialect = dialect(args, &found, &entries)?;
    let ours: Vec<Ours> = entries
        .iter()
        .map(|entry| ours(entry, &dialect, (begin..end).contains(&entry.received_ms)))
        .collect();
    let fallback = match &args.currency {
        Some(text) => Some(
            Currency::parse(text).ok_or_else(|| Failure::refused("--currency: three digits, such as 978"))?,
        ),
        None => only_currency(&ours),
    };
    let approved = |code: &str| match args.approved.is_empty() {
        true => dialect.codes.of_request(Some(code.as_bytes())) == RequestClass::Approved,
        false => args.approved.iter().any(|listed| listed.trim() == code),
    };
    let compared = reconcile::compare(&ours, &bank, approved, fallback);
    let report = Report { day, reader: &reader, args, ours: &ours, bank: &bank, compared: &compared };
    output::say(&if args.json { format!("{:#}\n", report.json()) } else { report.text() });
    Ok(ExitCode::from(if compared.differences.is_empty() { EQUAL } else { DIFFERS }))
}

fn layout(args: &ReconcileArgs) -> Result<Layout, Failure> {
    let columns = Layout::parse_columns(&args.columns)
        .map_err(|problem| Failure::refused(format!("--columns: {problem}")))?;
    let delimiter = match args.delimiter.as_bytes() {
        b"tab" | b"\\t" => b'\t',
        [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && !matches!(one, b'"' | b'\n' | b'\r') => {
            *one
        }
        _ => {
            return Err(Failure::refused(
                "--delimiter: one character that is no letter, digit or quote, or tab",
            ));
        }
    };
    let numbered = columns.iter().all(|(_, place): &(Meaning, Place)| matches!(place, Place::Numbered(_)));
    if args.no_header && (columns.is_empty() || !numbered) {
        return Err(Failure::refused(
            "--no-header: then --columns gives the columns by number, such as tid=2,stan=3",
        ));
    }
    Ok(Layout {
        columns,
        delimiter,
        has_head: !args.no_header,
        point: if args.decimal == "," { ',' } else { '.' },
        in_minor: args.amounts == "minor",
    })
}

/// First moment, first moment after it, and how it is written.
fn day(args: &ReconcileArgs, found: &Found) -> Result<(i64, i64, String), Failure> {
    let text = match &args.date {
        Some(text) => text.clone(),
        None => {
            let today = journal::date_of(&found.clock, found.clock.now().wall_ms);
            let begin = journal::day(&found.clock, &today).map_or(0, |(begin, _)| begin);
            journal::date_of(&found.clock, begin - 1)
        }
    };
    let (begin, end) =
        journal::day(&found.clock, &text).ok_or_else(|| Failure::refused("--date: a day like 2026-11-22"))?;
    Ok((begin, end, text))
}

fn bank_lines(args: &ReconcileArgs, layout: &Layout) -> Result<Vec<BankLine>, Failure> {
    let name = args.bank_file.display();
    let file = File::open(&args.bank_file).map_err(|error| Failure::refused(format!("{name}: {error}")))?;
    let lines = bank_file::read(std::io::BufReader::new(file), layout);
    lines.map_err(|error| match error {
        error @ bank_file::BankFileError::Lines { .. } => Failure::refused(format!("{name}:\n  {error}")),
        error => Failure::refused(format!("{name}: {error}")),
    })
}

fn dialect(args: &ReconcileArgs, found: &Found, entries: &[Entry]) -> Result<Arc<Dialect>, Failure> {
    if let Some(name) = &args.host_config {
        return dialects::named(name)
            .map_err(|problem| Failure::refused(format!("--hostConfig: {}", problem.join("; "))));
    }
    if let Some(dialect) = &found.dialect {
        return Ok(dialect.clone());
    }
    let name = entries.last().map_or("smartVista", |entry| entry.upstream.dialect.as_str());
    Dialect::builtin(name).ok_or_else(|| {
        Failure::refused(format!("the records are of the dialect {name}, which is not built in; give --hostConfig with its document"))
    })
}

/// What a record says about money.
fn ours(entry: &Entry, dialect: &Dialect, is_of_the_day: bool) -> Ours {
    let class = entry.mti.as_bytes().get(1).copied();
    let is_reversal = class == Some(b'4');
    // Authorisations hold money and settle none.
    let settles = class != Some(b'1');
    let code = entry.response_code.as_deref().map(str::as_bytes);
    let accepted = match (is_reversal, dialect.codes.of_request(code), dialect.codes.of_reversal(code)) {
        (true, _, ReversalClass::Accepted) | (false, RequestClass::Approved, _) => Fate::Stands,
        (true, ..) | (false, RequestClass::Declined, _) => Fate::Nothing,
        (false, RequestClass::InDoubt, _) => Fate::Open,
    };
    let fate = match (entry.stage, entry.outcome) {
        (Stage::Closed, Some(FinalState::Delivered)) => accepted,
        (Stage::Closed, Some(FinalState::AdviceAccepted)) => Fate::Stands,
        (Stage::Closed, Some(FinalState::Reversed)) => Fate::Undone,
        // A person has seen to it that the bank has it not.
        (Stage::Closed, None | Some(FinalState::Parked | FinalState::Listed)) => Fate::Undone,
        (Stage::Closed, Some(_)) => Fate::Nothing,
        _ => Fate::Open,
    };
    Ours {
        row: entry.row,
        tid: entry.tid.clone(),
        stan: entry.stan.clone(),
        rrn: entry.rrn.clone(),
        amount: entry.amount.as_deref().and_then(|amount| amount.trim().parse().ok()),
        currency: entry.currency.as_deref().and_then(Currency::parse),
        fate,
        state: journal::state(entry),
        is_reversal,
        is_of_the_day: is_of_the_day && settles,
    }
}

/// The currency of all records, if it is one.
fn only_currency(ours: &[Ours]) -> Option<Currency> {
    let mut currencies = ours.iter().filter_map(|own| own.currency);
    let first = currencies.next()?;
    currencies.all(|other| other == first).then_some(first)
}

/// What is told.
struct Report<'a> {
    day: String,
    reader: &'a Reader,
    args: &'a ReconcileArgs,
    ours: &'a [Ours],
    bank: &'a [BankLine],
    compared: &'a Compared,
}

/// One difference in words.
struct Told<'a> {
    kind: reconcile::Kind,
    line: Option<u64>,
    own: Option<&'a Ours>,
    tid: Option<&'a str>,
    stan: Option<&'a str>,
    rrn: Option<&'a str>,
    our_amount: Option<String>,
    bank_amount: Option<String>,
    code: Option<&'a str>,
}

impl Report<'_> {
    fn told(&self, difference: &Difference) -> Told<'_> {
        let own = difference.ours.and_then(|row| self.ours.get(row));
        let line = difference.bank.and_then(|line| self.bank.get(line));
        let currency = own.and_then(|own| own.currency).or(line.and_then(|line| line.currency));
        let exponent = currency.map_or(2, Currency::exponent);
        let amount = line.and_then(|line| line.amount);
        // What is finer than the currency is told as such.
        let bank_amount = amount.map(|amount| {
            amount
                .minor(exponent)
                .map_or_else(|| "finer than its currency".to_owned(), |minor| decimal(minor, exponent))
        });
        let of_line = |get: fn(&BankLine) -> &Option<String>| line.and_then(|line| get(line).as_deref());
        Told {
            kind: difference.kind,
            line: line.map(|line| line.line),
            own,
            tid: own.and_then(|own| own.tid.as_deref()).or(of_line(|line| &line.tid)),
            stan: own.and_then(|own| own.stan.as_deref()).or(of_line(|line| &line.stan)),
            rrn: own.and_then(|own| own.rrn.as_deref()).or(of_line(|line| &line.rrn)),
            our_amount: own.and_then(|own| own.amount).map(|minor| decimal(minor, exponent)),
            bank_amount,
            code: of_line(|line| &line.code),
        }
    }

    fn json(&self) -> Value {
        let difference = |difference: &Difference| {
            let told = self.told(difference);
            json!({
                "kind": told.kind.name(),
                "line": told.line,
                "row": told.own.map(|own| own.row),
                "tid": told.tid,
                "stan": told.stan,
                "rrn": told.rrn,
                "ours": told.own.map(|own| json!({ "state": own.state, "amount": told.our_amount })),
                "bank": told.line.map(|_| json!({ "amount": told.bank_amount, "code": told.code })),
            })
        };
        let totals = |totals: &std::collections::BTreeMap<Option<Currency>, Total>| -> Value {
            let total = |(currency, total): (&Option<Currency>, &Total)| {
                json!({
                    "currency": currency.map(|currency| currency.to_string()),
                    "count": total.count,
                    "amount": sum(*currency, *total),
                })
            };
            totals.iter().map(total).collect()
        };
        json!({
            "date": self.day,
            "journal": self.reader.path().display().to_string(),
            "bank_file": self.args.bank_file.display().to_string(),
            "equal": self.compared.differences.is_empty(),
            "agreed": self.compared.agreed,
            "lines": self.bank.len(),
            "of_other_days": self.compared.of_other_days,
            "differences": self.compared.differences.iter().map(difference).collect::<Vec<_>>(),
            "totals": { "ours": totals(&self.compared.ours), "bank": totals(&self.compared.bank) },
        })
    }

    fn text(&self) -> String {
        let compared = self.compared;
        let mut text = String::new();
        if !compared.differences.is_empty() {
            let mut table = Table::new();
            table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(["what", "line", "row", "TID", "STAN", "RRN", "ours", "amount", "bank", "code"]);
            for difference in compared.differences.iter().take(SHOWN_MAX) {
                let told = self.told(difference);
                let number = |number: Option<String>| number.unwrap_or_default();
                let words = |words: Option<&str>| words.unwrap_or_default().to_owned();
                table.add_row([
                    told.kind.words().to_owned(),
                    number(told.line.map(|line| line.to_string())),
                    number(told.own.map(|own| own.row.to_string())),
                    words(told.tid),
                    words(told.stan),
                    words(told.rrn),
                    words(told.own.map(|own| own.state)),
                    number(told.our_amount),
                    number(told.bank_amount),
                    words(told.code),
                ]);
            }
            text.push_str(&format!("{table}\n"));
            let more = compared.differences.len().saturating_sub(SHOWN_MAX);
            if more > 0 {
                text.push_str(&format!("and {more} more; --json has all of them\n"));
            }
        }
        for (whose, totals) in [("ours", &compared.ours), ("bank", &compared.bank)] {
            for (currency, total) in totals {
                let name =
                    currency.map_or_else(|| "of no currency".to_owned(), |currency| currency.to_string());
                text.push_str(&format!(
                    "{whose}: {} that stand, {} {name}\n",
                    total.count,
                    sum(*currency, *total)
                ));
            }
        }
        if compared.of_other_days > 0 {
            text.push_str(&format!("bank: {} of them of the day before or after\n", compared.of_other_days));
        }
        let differ = compared.differences.len();
        text.push_str(&format!("{}: {} agree, {differ} differ\n", self.day, compared.agreed));
        text
    }
}

/// A sum with the decimals of its currency.
fn sum(currency: Option<Currency>, total: Total) -> String {
    let exponent = currency.map_or(2, Currency::exponent);
    u64::try_from(total.minor)
        .map_or_else(|_| "more than can be said".to_owned(), |minor| decimal(minor, exponent))
}
