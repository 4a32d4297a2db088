//! `journal list`, `show`, `verify`.

use std::process::ExitCode;

use clap::Args;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use serde_json::{Value, json};

use super::at::{At, Found};
use super::{Failure, shown, when};
use crate::cli::{REFUSED, USAGE};
use crate::journal::Stage;
use crate::journal::desk::{self, Entry, Filter, Findings, Reader, Which};
use crate::journal::seal::Keyring;
use crate::mux::{FinalState, TxId};
use crate::output;
use crate::reconcile::money::Currency;
use crate::upstream::words;

/// Rows of a list, unless more are asked for.
const LIMIT: usize = 200;
/// Rows that can be asked for: a table is laid out as a whole.
const LIMIT_MAX: u64 = 100_000;

/// Lists the rows of a journal: what is open, unless another state is asked for.
///
/// Works beside a running gateway. No card data is shown; none is unsealed. Exit codes: 0 done, 1 the journal cannot be
/// read, 2 the command line cannot be understood.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal list
  socketqueue journal list -c config.json --state waiting
  socketqueue journal list --state all --tid 00000001 --since 2h --json")]
pub(super) struct ListArgs {
    /// open, waiting (parked and listed: for a person), closed, all; or one state, such as parked, owed, delivered, reversed
    #[arg(long, default_value = "open", value_parser = which)]
    state: Which,
    /// Of this terminal
    #[arg(long)]
    tid: Option<String>,
    /// That came since: 2026-11-22, 2026-11-22T10:30, or so long ago: 90m, 2h, 3d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// At most so many, the oldest
    #[arg(long, default_value_t = LIMIT as u64, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Shows one row, and what persons did about it.
///
/// ROW is its number (`journal list` shows it), or the id of the transaction as logs have it. Exit codes: 0 done, 1 there
/// is no such row or the journal cannot be read, 2 the command line cannot be understood.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal show 4711
  socketqueue journal show 000000400000 --json")]
pub(super) struct ShowArgs {
    /// Number of the row, or id of the transaction
    row: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Checks a journal: the file, every sealed message with its key, and that what is open can be sent.
///
/// Works beside a running gateway. Exit codes: 0 sound, 1 something is wrong (it says what), 2 it cannot be checked (no
/// journal, no key).
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal verify
  socketqueue journal verify --journalFile backup/socketqueue-2014.journal --journalKeyFile keys/journal.key --json")]
pub(super) struct VerifyArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// The states that can be asked for.
pub(super) fn which(text: &str) -> Result<Which, String> {
    let stage = Stage::ALL.into_iter().find(|stage| *stage != Stage::Closed && stage.word() == text);
    const ENDS: [FinalState; 7] = [
        FinalState::Refused,
        FinalState::NeverSent,
        FinalState::Delivered,
        FinalState::DeclinedUndelivered,
        FinalState::Unanswered,
        FinalState::Reversed,
        FinalState::AdviceAccepted,
    ];
    match text {
        "open" => Ok(Which::Open),
        "waiting" => Ok(Which::Waiting),
        "closed" => Ok(Which::Closed),
        "all" => Ok(Which::All),
        _ => stage
            .map(Which::At)
            .or_else(|| ENDS.into_iter().find(|end| words::state(*end) == text).map(Which::Ended))
            .ok_or_else(|| {
                let stages =
                    Stage::ALL.iter().filter(|stage| **stage != Stage::Closed).map(|stage| stage.word());
                let words: Vec<&str> = ["open", "waiting", "closed", "all"]
                    .into_iter()
                    .chain(stages)
                    .chain(ENDS.into_iter().map(words::state))
                    .collect();
                format!("one of {}", words.join(", "))
            }),
    }
}

pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let mut filter = Filter::of(args.state.clone());
    filter.tid.clone_from(&args.tid);
    filter.since_ms = args.since.as_deref().map(|text| since(&found, text)).transpose()?;
    let reader = Reader::open(&found.options.file)?;
    let limit = usize::try_from(args.limit).unwrap_or(LIMIT);
    let mut rows = Vec::new();
    let mut left_out = 0_u64;
    for entry in reader.entries(filter)? {
        let entry = entry?;
        if rows.len() < limit { rows.push(entry) } else { left_out += 1 }
    }
    if args.json {
        let rows: Vec<Value> =
            rows.iter().map(|entry| Value::Object(shown::json(entry, &found.clock))).collect();
        let list =
            json!({ "journal": reader.path().display().to_string(), "rows": rows, "left_out": left_out });
        output::say(&format!("{list:#}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    output::say(&table(&rows, &found));
    if left_out > 0 {
        output::say(&format!("{left_out} more; --limit, --since or --tid choose among them\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn since(found: &Found, text: &str) -> Result<i64, Failure> {
    when::moment(&found.clock, text, found.clock.now().wall_ms).ok_or_else(|| {
        Failure::refused(
            "--since: a date (2026-11-22), a moment (2026-11-22T10:30), or so long ago (90m, 2h, 3d)",
        )
        .coded(USAGE)
    })
}

fn table(rows: &[Entry], found: &Found) -> String {
    let mut table = new_table(&[
        "row", "id", "received", "upstream", "mti", "TID", "STAN", "RRN", "amount", "code", "state", "tries",
    ]);
    let text = |text: &Option<String>| text.as_deref().map(shown::guarded).unwrap_or_default();
    for entry in rows {
        let state = match entry.superseded {
            true => format!("{}, key used again", shown::state(entry)),
            false => shown::state(entry).to_owned(),
        };
        table.add_row([
            entry.row.to_string(),
            TxId::from_bits(entry.id).to_string(),
            when::short(&found.clock, entry.received_ms),
            entry.upstream.name.clone(),
            entry.mti.clone(),
            text(&entry.tid),
            text(&entry.stan),
            text(&entry.rrn),
            amount(entry),
            text(&entry.response_code),
            state,
            entry.attempts.to_string(),
        ]);
    }
    let count = match rows.len() {
        0 => return "no such rows\n".to_owned(),
        1 => "1 row".to_owned(),
        count => format!("{count} rows"),
    };
    format!("{table}\n{count}\n")
}

/// With the decimals of its currency, and its number.
fn amount(entry: &Entry) -> String {
    let currency = entry.currency.as_deref().and_then(Currency::parse);
    match (entry.amount.as_deref().and_then(|amount| amount.parse().ok()), currency) {
        (Some(minor), Some(currency)) => format!("{} {currency}", currency.shown(minor)),
        _ => entry.amount.as_deref().map(shown::guarded).unwrap_or_default(),
    }
}

fn new_table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    table
}

/// The row that `text` names: by its number, or by an id of at least twelve hexadecimal digits.
pub(super) fn row_of(reader: &Reader, text: &str) -> Result<Entry, Failure> {
    let is_id = (12..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let row = match is_id {
        true => match u64::from_str_radix(text, 16) {
            Ok(id) => reader.row_of(id)?,
            Err(_) => None,
        },
        false => match text.parse::<i64>() {
            Ok(row) => Some(row),
            Err(_) => {
                let text =
                    "ROW: the number of a row, or the id of a transaction (12 to 16 hexadecimal digits)";
                return Err(Failure::refused(text).coded(USAGE));
            }
        },
    };
    let entry = match row {
        Some(row) => reader.entry(row)?,
        None => None,
    };
    entry.ok_or_else(|| {
        Failure::refused(format!("{text}: there is no such row; `journal list --state all` shows them"))
    })
}

pub(super) fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let reader = Reader::open(&found.options.file)?;
    let entry = row_of(&reader, &args.row)?;
    let notes = reader.notes(entry.row)?;
    let mut document = shown::json(&entry, &found.clock);
    if args.json {
        document.insert("notes".to_owned(), shown::notes(&notes, &found.clock));
        output::say(&format!("{:#}\n", Value::Object(document)));
        return Ok(ExitCode::SUCCESS);
    }
    let width = shown::COLUMNS.iter().map(|column| column.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in document.iter().filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{name:width$}  {value}\n"));
    }
    for note in &notes {
        let who = note.operator.as_deref().map(|who| format!(" by {who}")).unwrap_or_default();
        let at = when::short(&found.clock, note.at_ms);
        text.push_str(&format!("{:width$}  {at} {}{who}: {}\n", "note", note.what, note.reason));
    }
    output::say(&text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let cannot = |error: crate::journal::JournalError| Failure::from(error).coded(USAGE);
    let reader = match Reader::open(&found.options.file) {
        Ok(reader) => reader,
        // That is the answer, not a reason for not having one.
        Err(error @ crate::journal::JournalError::Damaged { .. }) => return Err(error.into()),
        Err(error) => return Err(cannot(error)),
    };
    let keys = Keyring::load(&found.options, false).map_err(cannot)?;
    let findings = desk::verify(&reader, &keys).map_err(cannot)?;
    match args.json {
        true => output::say(&format!("{:#}\n", findings_json(&reader, &findings))),
        false => output::say(&findings_text(&reader, &findings)),
    }
    Ok(if findings.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

fn findings_json(reader: &Reader, findings: &Findings) -> Value {
    let rows: serde_json::Map<String, Value> =
        findings.rows.iter().map(|(stage, count)| (stage.word().to_owned(), (*count).into())).collect();
    json!({
        "journal": reader.path().display().to_string(),
        "sound": findings.is_sound(),
        "damage": findings.damage,
        "rows": rows,
        "sealed": findings.sealed,
        "by_key": findings.by_key,
        "without_key": findings.without_key,
        "changed": { "count": findings.tampered_count, "rows": findings.tampered },
        "open_without_message": findings.empty,
    })
}

fn findings_text(reader: &Reader, findings: &Findings) -> String {
    let mut text = format!("{}\n", reader.path().display());
    text.push_str(match &findings.damage {
        None => "file: sound\n",
        Some(_) => "file: DAMAGED\n",
    });
    if let Some(damage) = &findings.damage {
        text.push_str(&format!(
            "  {damage}\n  keep it with its -wal file, and save what can be read (`sqlite3 FILE .recover`)\n"
        ));
    }
    let all: u64 = findings.rows.iter().map(|(_, count)| count).sum();
    text.push_str(&format!("rows: {all}\n"));
    for (stage, count) in findings.rows.iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!("  {}: {count}\n", stage.word()));
    }
    text.push_str(&format!("sealed messages: {}\n", findings.sealed));
    for (key, count) in &findings.by_key {
        let missing = if findings.without_key.contains_key(key) { ", WHICH WAS NOT GIVEN" } else { "" };
        text.push_str(&format!("  {count} with key {key}{missing}\n"));
    }
    if findings.tampered_count > 0 {
        text.push_str(&format!(
            "  {} DO NOT UNSEAL: changed, or of another row: {:?}\n",
            findings.tampered_count, findings.tampered
        ));
    }
    if findings.empty > 0 {
        text.push_str(&format!("  {} OPEN ROWS HAVE NONE\n", findings.empty));
    }
    text.push_str(if findings.is_sound() { "sound\n" } else { "NOT SOUND\n" });
    text
}
