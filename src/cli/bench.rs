//! `socketqueue bench`: drives a gateway or a bank, and measures it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;

use super::sample::{self, SampleError};
use crate::bench::{
    self, BenchError, Length, Ourselves, OurselvesError, Pace, Progress, Report, Settings, Speech,
};
use crate::config::{self, dialects};
use crate::dialect::Dialect;
use crate::framing::{Framing, FramingSpecError};
use crate::iso8583::{BuildError, Message, ParseError};
use crate::net::TimeSource;
use crate::net::clock::{Clock, ZoneError};
use crate::output::{complain, say};
use crate::testclients::echo;

/// Below the flags.
pub const EXAMPLES: &str = "\
Examples:
  socketqueue bench                                      a gateway and a bank of our own
  socketqueue bench localhost:2014 -n 100                closed loop
  socketqueue bench localhost:2014 -n 500 --rate 10000   open loop: 10,000 requests a second
  socketqueue bench localhost:5000 --framing ascii4      a bank, over its own framing
  socketqueue bench localhost:8080 --http                a gateway, by JSON over HTTP
  socketqueue bench localhost:2014 -n 10 --pipeline 32 --terminals 32
  socketqueue bench 10.0.0.7:2014 --echo --yes --html report.html --json

Closed loop: a stalled target is asked less, so latencies are shown as measured and corrected for that (coordinated omission). \
Open loop: latency counts from when a request was due. Over a gateway a terminal has one request out at a time: to pipeline, \
give each connection as many --terminals. The exit code is 0 when all answers were right.";

/// Drives a gateway or a bank with requests over TCP, checks each answer, and measures.
///
/// It sends purchases (0200) unless --echo is given: a gateway passes them on to its host, and a host books them. Point it at
/// a test system only. A target that is not this machine is refused without --yes.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Whom to drive; left out: a gateway and a bank of our own, in this process, without a journal
    #[arg(value_name = "HOST:PORT")]
    pub target: Option<String>,
    /// Yes, send them to another machine
    #[arg(long)]
    pub yes: bool,
    /// Connections
    #[arg(short = 'n', long, default_value_t = 10, value_parser = connections())]
    pub connections: u32,
    /// Requests that a connection has out at a time
    #[arg(long, default_value_t = 1, value_parser = pipeline())]
    pub pipeline: u32,
    /// Terminals (TIDs) of each connection, used in turn
    #[arg(long, default_value_t = 1, value_parser = pipeline())]
    pub terminals: u32,
    /// TID of the first terminal; the others count up from it
    #[arg(long, default_value_t = 10_000_000, value_name = "TID")]
    pub first_terminal: u64,
    /// Open loop with so many requests a second over all connections; left out: closed loop
    #[arg(long, value_name = "PER-SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// How long to measure: 10, 500ms, 2m
    #[arg(long, short = 'd', default_value = "10", value_name = "TIME", value_parser = time, conflicts_with = "count")]
    pub duration: Duration,
    /// So many requests, in place of a time
    #[arg(long)]
    pub count: Option<u64>,
    /// Not measured at the beginning; 0 with --count
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub warmup: Option<Duration>,
    /// How long an answer is waited for
    #[arg(long, default_value = "40", value_name = "TIME", value_parser = time)]
    pub timeout: Duration,
    /// Echoes (0800), which move no money, in place of purchases
    #[arg(long)]
    pub echo: bool,
    /// File with one message (bytes without framing) to make the requests from, in place of the dialect's sample
    #[arg(long, value_name = "FILE", conflicts_with = "echo")]
    pub message: Option<PathBuf>,
    /// smartVista, openWay, or the path of a dialect file
    #[arg(long, default_value = "smartVista")]
    pub dialect: String,
    /// What stands around a message, as preset or text; none is what a gateway takes unless told otherwise
    #[arg(long, default_value = "none")]
    pub framing: String,
    /// JSON over HTTP (POST /), in place of messages in frames
    #[arg(long, conflicts_with = "framing", requires = "target")]
    pub http: bool,
    /// Time zone of the terminals; the system's unless given
    #[arg(long)]
    pub timezone: Option<String>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write the report with plots to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchCommandError {
    /// The dialect is neither built in nor a readable file.
    #[error("--dialect: {problem}")]
    Dialect {
        /// What is wrong with it.
        problem: String,
    },
    /// The framing cannot be read.
    #[error("--framing: {0}")]
    Framing(#[from] FramingSpecError),
    /// The dialect has no sample to make requests from.
    #[error("{0}; give --message FILE, or --echo")]
    Sample(#[from] SampleError),
    /// The dialect cannot write an echo.
    #[error("the dialect {0} cannot write an 0800")]
    Echo(String, #[source] BuildError),
    /// The message cannot be read from its file.
    #[error("--message {path}")]
    Message {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no message of the dialect.
    #[error("what the requests are made from is no message of the dialect")]
    NoMessage(#[from] ParseError),
    /// The target is no host and port, or is not known.
    #[error("{target}: HOST:PORT is wanted")]
    Target {
        /// What was given.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// The target is another machine, and nobody said yes.
    #[error(
        "{0} is not this machine, and {1} messages would be sent to it: whoever receives them may act on them. \
         If it is a test system, say --yes"
    )]
    NotHere(SocketAddr, String),
    /// The time zone.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// Gateway and bank of our own.
    #[error(transparent)]
    Ourselves(#[from] OurselvesError),
    /// The run.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The report cannot be written.
    #[error("--html {path}")]
    Html {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runtime or the signals cannot be set up.
    #[error("cannot run")]
    Shell(#[from] io::Error),
    /// Something was wrong with the answers; the report said what.
    #[error("{0} errors")]
    Errors(u64),
    /// Nothing was answered.
    #[error("not one answer")]
    Nothing,
}

/// Runs until it is over, or TERM or INT ends it early. The report goes to standard output.
///
/// # Errors
/// What it was given cannot be used; the target takes no connections; an answer was wrong or missing.
pub fn run(args: BenchArgs) -> Result<(), BenchCommandError> {
    let dialect = dialects::named(&args.dialect)
        .map_err(|found| BenchCommandError::Dialect { problem: found.join("; ") })?;
    let framing = Framing::parse(&args.framing)?;
    let clock = Clock::new(args.timezone.as_deref())?;
    let clock: TimeSource = Arc::new(move || clock.now());
    let template = template(&args, &dialect, &clock)?;
    let (target, ourselves) = match &args.target {
        Some(target) => (resolve(target)?, None),
        None => {
            let ourselves = Ourselves::start(&dialect, &clock, |bank| gateway(&args, bank))?;
            (ourselves.address, Some(ourselves))
        }
    };
    let mti = template.mti();
    if !target.ip().is_loopback() && !args.yes {
        return Err(BenchCommandError::NotHere(target, mti.to_string()));
    }
    if mti.is_financial() && ourselves.is_none() {
        complain(&format!("{mti} messages go to {target}, and on to its host: each may be booked there\n"));
    }
    crate::server::raise_open_files();
    let settings = Settings {
        target,
        dialect,
        speech: if args.http { Speech::Http } else { Speech::Frames(framing.into()) },
        template,
        connections: args.connections as usize,
        terminals: args.terminals as usize,
        first_terminal: args.first_terminal,
        pipeline: args.pipeline as usize,
        pace: args.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second }),
        warmup: args.warmup.unwrap_or(Duration::from_secs(if args.count.is_some() { 0 } else { 1 })),
        length: args.count.map_or(Length::Time(args.duration), Length::Count),
        timeout: args.timeout,
    };
    let report = measure(settings, clock)?;
    drop(ourselves);
    say(&if args.json { report.to_json() + "\n" } else { report.to_string() });
    if let Some(path) = args.html {
        std::fs::write(&path, bench::page(&report))
            .map_err(|source| BenchCommandError::Html { path, source })?;
    }
    match report.error_count() {
        0 if report.answered == 0 => Err(BenchCommandError::Nothing),
        0 => Ok(()),
        errors => Err(BenchCommandError::Errors(errors)),
    }
}

/// The run, with its progress on a terminal.
fn measure(settings: Settings, clock: TimeSource) -> Result<Report, BenchCommandError> {
    let whole = match settings.length {
        Length::Time(time) => (settings.warmup + time).as_millis() as u64,
        Length::Count(count) => count,
    };
    let is_timed = matches!(settings.length, Length::Time(_));
    let bar = ProgressBar::new(whole);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
        bar.set_style(style);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let stop = async move {
            signals.next().await;
        };
        let progress = |progress: &Progress| {
            bar.set_position(if is_timed { progress.elapsed.as_millis() as u64 } else { progress.answered });
            bar.set_message(in_words(progress));
        };
        Ok::<_, BenchCommandError>(bench::run(settings, clock, stop, progress).await?)
    });
    bar.finish_and_clear();
    report
}

fn in_words(progress: &Progress) -> String {
    let Progress { per_second, p50, p99, errors, .. } = progress;
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    format!("{per_second:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {errors} errors", ms(p50), ms(p99))
}

/// The message that requests are made from.
fn template(
    args: &BenchArgs,
    dialect: &Arc<Dialect>,
    clock: &TimeSource,
) -> Result<Message, BenchCommandError> {
    let bytes = match &args.message {
        Some(path) => {
            let read = std::fs::read(path);
            Bytes::from(read.map_err(|source| BenchCommandError::Message { path: path.clone(), source })?)
        }
        None if args.echo => echo::request(dialect, 1, 1, clock())
            .map_err(|error| BenchCommandError::Echo(dialect.name.clone(), error))?,
        None => sample::sample(sample::Kind::Purchase, dialect, clock())?,
    };
    Ok(Message::parse(&dialect.schema, bytes)?)
}

fn resolve(target: &str) -> Result<SocketAddr, BenchCommandError> {
    let failed = |source| BenchCommandError::Target { target: target.to_owned(), source };
    let addresses: Vec<SocketAddr> = target.to_socket_addrs().map_err(failed)?.collect();
    // A name may have several; the product listens on IPv4 first.
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.copied().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// The settings of a gateway of our own: those of the flags that the product would be started with.
fn gateway(
    args: &BenchArgs,
    bank: u16,
) -> Result<(crate::upstream::Settings, crate::listener::tcp::Settings), String> {
    let flags = [
        "--upstreamHost=127.0.0.1".to_owned(),
        format!("--upstreamPort={bank}"),
        "--listenHost=127.0.0.1".to_owned(),
        "--listenPort=0".to_owned(),
        format!("--clientFraming={}", args.framing),
        format!("--hostConfig={}", args.dialect),
        "--journalFile=none".to_owned(),
        "--maxQueue=100000".to_owned(),
        "--maxClients=20000".to_owned(),
    ];
    let config = config::load(&flags)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    match (config.upstream, config.tcp.into_iter().next()) {
        (Some(upstream), Some(tcp)) => Ok((upstream, tcp)),
        _ => Err("no gateway".to_owned()),
    }
}

fn connections() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=bench::CONNECTIONS_MAX as i64)
}

fn pipeline() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=bench::PIPELINE_MAX as i64)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= bench::RATE_MAX => Ok(rate),
        _ => Err(format!("wanted are requests a second, more than 0 and at most {}", bench::RATE_MAX)),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("wanted is a time: 10, 500ms, 2m".into()),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * factor);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "wanted is a time of at most a day: 10, 500ms, 2m".into())
}
