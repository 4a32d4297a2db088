//! `journal export`: records of a day or a range, as CSV or JSON lines.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::at::{At, Found};
use super::view::which;
use super::{Failure, shown, when};
use crate::cli::USAGE;
use crate::journal::desk::{Filter, Reader, Which};

/// Writes records, as CSV with a head, or as JSON lines: all that is remembered of transactions, without card data.
///
/// Works beside a running gateway. Days and times are those of the zone. Exit codes: 0 done, 1 the journal cannot be read
/// or the file not be written, 2 the command line cannot be understood.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  socketqueue journal export --date 2026-11-22 > records.csv
  socketqueue journal export --from 2026-11-01 --to 2026-11-30 --json --output november.jsonl")]
pub(super) struct ExportArgs {
    /// That came on this day: 2026-11-22
    #[arg(long, value_name = "DAY", conflicts_with_all = ["from", "to"])]
    date: Option<String>,
    /// That came at this moment or later: 2026-11-22, 2026-11-22T10:30, or so long ago: 90m, 2h, 3d
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// That came before this moment; of a day: before its end
    #[arg(long, value_name = "WHEN")]
    to: Option<String>,
    /// all, open, waiting, closed, or one state
    #[arg(long, default_value = "all", value_parser = which)]
    state: Which,
    /// Of this terminal
    #[arg(long)]
    tid: Option<String>,
    /// JSON, one row a line
    #[arg(long)]
    json: bool,
    /// Into this file, which must not be there; standard output unless given
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

pub(super) fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let found = args.at.find()?;
    let mut filter = Filter::of(args.state.clone());
    filter.tid.clone_from(&args.tid);
    (filter.since_ms, filter.before_ms) = range(args, &found)?;
    let reader = Reader::open(&found.options.file)?;
    let failed = |error: io::Error| match &args.output {
        Some(file) => Failure::refused(format!("--output {}: {error}", file.display())),
        None => Failure::refused(format!("standard output: {error}")),
    };
    let out: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout().lock()),
        Some(file) => {
            let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
            Box::new(made.map_err(failed)?)
        }
    };
    let mut out = io::BufWriter::new(out);
    let entries = reader.entries(filter)?;
    let written = match args.json {
        true => lines(&mut out, entries, &found),
        false => table(&mut out, entries, &found),
    };
    match written.and_then(|()| out.flush().map_err(Stop::Out)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever reads has seen enough.
        Err(Stop::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(Stop::Out(error)) => Err(failed(error)),
        Err(Stop::Journal(error)) => Err(error.into()),
    }
}

/// What ended an export early.
enum Stop {
    Out(io::Error),
    Journal(crate::journal::JournalError),
}

type Rows<'a> = crate::journal::desk::Entries<'a>;

fn lines(out: &mut impl Write, rows: Rows<'_>, found: &Found) -> Result<(), Stop> {
    for row in rows {
        let row = Value::Object(shown::json(&row.map_err(Stop::Journal)?, &found.clock));
        writeln!(out, "{row}").map_err(Stop::Out)?;
    }
    Ok(())
}

fn table(out: &mut impl Write, rows: Rows<'_>, found: &Found) -> Result<(), Stop> {
    let of_csv = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Stop::Out(error),
        other => Stop::Out(io::Error::other(format!("{other:?}"))),
    };
    let mut out = csv::Writer::from_writer(out);
    out.write_record(shown::COLUMNS).map_err(of_csv)?;
    for row in rows {
        let row = row.map_err(Stop::Journal)?;
        out.write_record(shown::fields(&row, &found.clock)).map_err(of_csv)?;
    }
    out.flush().map_err(Stop::Out)
}

fn range(args: &ExportArgs, found: &Found) -> Result<(Option<i64>, Option<i64>), Failure> {
    let wrong = |name: &str| {
        let text = "a date (2026-11-22), a moment (2026-11-22T10:30), or so long ago (90m, 2h, 3d)";
        Failure::refused(format!("--{name}: {text}")).coded(USAGE)
    };
    if let Some(text) = &args.date {
        let (begin, end) = when::day(&found.clock, text)
            .ok_or_else(|| Failure::refused("--date: a day like 2026-11-22").coded(USAGE))?;
        return Ok((Some(begin), Some(end)));
    }
    let now_ms = found.clock.now().wall_ms;
    let moment = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => when::moment(&found.clock, text, now_ms).map(Some).ok_or_else(|| wrong(name)),
    };
    // A whole day is meant with its last moment.
    let to = match args.to.as_deref().and_then(|text| when::day(&found.clock, text)) {
        Some((_, end)) => Some(end),
        None => moment("to", &args.to)?,
    };
    Ok((moment("from", &args.from)?, to))
}
