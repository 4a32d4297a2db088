//! `socketqueue bank`: the Socket Bank by itself.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;

use crate::bank::{self, BankError, Faults, Settings, Summary};
use crate::config::dialects;
use crate::dialect::Dialect;
use crate::framing::{FRAME_LEN_CAP, Framing};
use crate::net::clock::{Clock, ZoneError};

/// Runs an ISO 8583 host to test against: accounts, magic amounts, reversals, a ledger and faults.
///
/// Rates of faults are in permille of the financial messages and reversals; the same seed strikes the same messages.
#[derive(Args, Clone, Debug)]
pub struct BankArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes any free one, which is printed
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    /// smartVista, openWay, or the path of a dialect file
    #[arg(long, default_value = "smartVista")]
    pub dialect: String,
    /// What stands around a message, as preset or text; the dialect's own unless given
    #[arg(long)]
    pub framing: Option<String>,
    /// Accounts never run dry
    #[arg(long)]
    pub unlimited: bool,
    /// Amounts …777 and …888 are amounts like others
    #[arg(long)]
    pub no_magic: bool,
    /// File for one JSON line per booked, declined, reversed … sale; it is emptied first
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Each answer waits so many milliseconds, or between so many
    #[arg(long, value_name = "MS[..MS]", default_value = "0", value_parser = delay)]
    pub delay: (Duration, Duration),
    /// Neither books nor answers
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub drop: u16,
    /// Answers twice
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub duplicate: u16,
    /// The second answer comes so many milliseconds after the first
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub duplicate_after: u32,
    /// Writes the answer byte by byte
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub single_bytes: u16,
    /// Holds the answer back and writes it together with the next
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub coalesce: u16,
    /// Swaps the answer with the next
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub reorder: u16,
    /// Processes a sale only after its reversal
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub reorder_reversal: u16,
    /// Books, and answers late
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub late: u16,
    /// So many milliseconds late
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub late_by: u32,
    /// Books, and closes the link
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub close: u16,
    /// Writes garbage before the answer
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub garbage: u16,
    /// Books, and never answers
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub silent: u16,
    /// Answers the first reversal of a sale with an error, undoing nothing
    #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = permille())]
    pub reversal_error: u16,
    /// Faults strike network management too
    #[arg(long)]
    pub strike_all: bool,
    /// A tenth of the connections is closed and a fifth of the answers repeated, as with testRealLife; instead of the rates
    #[arg(long)]
    pub real_life: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum BankCommandError {
    /// The dialect is neither built in nor a readable file.
    #[error("--dialect: {problem}")]
    Dialect {
        /// What is wrong with it.
        problem: String,
    },
    /// The framing cannot be read.
    #[error("framing {text}: {problem}")]
    Framing {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The time zone of the machine is not known.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The runtime or the signals cannot be set up, or standard output is gone.
    #[error("cannot run")]
    Shell(#[from] io::Error),
    /// The bank ended.
    #[error(transparent)]
    Bank(#[from] BankError),
}

/// Runs the bank until TERM or INT. Prints `listening bank ADDRESS`, and at the end what it did as one JSON object.
///
/// # Errors
/// What it was given cannot be used, the address cannot be bound, the ledger cannot be written.
pub fn run(args: BankArgs) -> Result<(), BankCommandError> {
    let dialect = dialect(&args.dialect)?;
    let settings = settings(&args, &dialect)?;
    let clock = Clock::new(None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = format!("{}:{}", settings.host, settings.port);
        let bound = bank::bind(&settings).await;
        let listener = bound.map_err(|source| BankCommandError::Bind { address, source })?;
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        say(&format!("listening bank {}", listener.local_addr()?))?;
        let stopped = async move {
            signals.next().await;
        };
        let summary =
            bank::serve(listener, settings, dialect, Arc::new(move || clock.now()), stopped).await?;
        say(&json(&summary))?;
        Ok(())
    })
}

/// The settings that the flags mean.
///
/// # Errors
/// A framing that cannot be read.
pub fn settings(args: &BankArgs, dialect: &Dialect) -> Result<Settings, BankCommandError> {
    let text = args.framing.as_deref().unwrap_or(&dialect.framing);
    let framing = Framing::parse(text)
        .map_err(|error| BankCommandError::Framing { text: text.to_owned(), problem: error.to_string() })?;
    let ms = |ms: u32| Duration::from_millis(ms.into());
    let faults = Faults {
        delay: args.delay,
        drop: args.drop,
        duplicate: args.duplicate,
        duplicate_after: ms(args.duplicate_after),
        single_bytes: args.single_bytes,
        coalesce: args.coalesce,
        reorder: args.reorder,
        reorder_reversal: args.reorder_reversal,
        late: args.late,
        late_by: ms(args.late_by),
        close: args.close,
        garbage: args.garbage,
        silent: args.silent,
        reversal_error: args.reversal_error,
        of_all: args.strike_all,
    };
    Ok(Settings {
        host: args.host.clone(),
        port: args.port,
        framing,
        frame_len_max: FRAME_LEN_CAP,
        unlimited: args.unlimited,
        magic: !args.no_magic,
        ledger: args.ledger.clone(),
        faults: if args.real_life { Faults { delay: args.delay, ..Faults::real_life() } } else { faults },
        seed: args.seed,
    })
}

fn dialect(name: &str) -> Result<Arc<Dialect>, BankCommandError> {
    dialects::named(name).map_err(|found| BankCommandError::Dialect { problem: found.join("; ") })
}

fn json(summary: &Summary) -> String {
    let &Summary { connections, messages, answers, unreadable, booked, declined, lost, reversed, .. } =
        summary;
    let &Summary { reversal_repeats, reversals_not_found, reversal_errors, .. } = summary;
    let &Summary { late_originals_refused, duplicate_sales, sale_repeats, .. } = summary;
    serde_json::json!({
        "connections": connections,
        "messages": messages,
        "answers": answers,
        "unreadable": unreadable,
        "booked": booked,
        "declined": declined,
        "lost": lost,
        "reversed": reversed,
        "reversal_repeats": reversal_repeats,
        "reversals_not_found": reversals_not_found,
        "reversal_errors": reversal_errors,
        "late_originals_refused": late_originals_refused,
        "duplicate_sales": duplicate_sales,
        "sale_repeats": sale_repeats,
    })
    .to_string()
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn permille() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(0..=1000)
}

fn delay(text: &str) -> Result<(Duration, Duration), String> {
    let ms =
        |text: &str| text.parse::<f64>().ok().and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    match (ms(min), ms(max)) {
        (Some(min), Some(max)) if min <= max => Ok((min, max)),
        _ => Err("wanted are milliseconds, as in 20 or 0.5..20".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: BankArgs,
    }

    fn parse(flags: &str) -> Result<BankArgs, clap::Error> {
        Command::try_parse_from(["bank"].into_iter().chain(flags.split_whitespace()))
            .map(|command| command.args)
    }

    #[test]
    fn flags_say_what_the_bank_does() {
        let args =
            parse("--port 0 --unlimited --no-magic --delay 0.5..20 --drop 2 --late 1000 --seed 42").unwrap();
        assert_eq!((args.port, args.unlimited, args.no_magic, args.seed), (0, true, true, 42));
        assert_eq!(args.delay, (Duration::from_micros(500), Duration::from_millis(20)));
        assert_eq!((args.drop, args.late, args.late_by), (2, 1000, 5000));
        assert_eq!(parse("--delay 7").unwrap().delay, (Duration::from_millis(7), Duration::from_millis(7)));
    }

    #[test]
    fn a_rate_above_1000_and_a_delay_that_is_none_are_refused() {
        for flags in
            ["--drop 1001", "--silent -1", "--delay 20..10", "--delay soon", "--delay -1", "--delay inf"]
        {
            assert!(parse(flags).is_err(), "{flags}");
        }
    }
}
