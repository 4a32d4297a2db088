//! Logs: what is said where, without ever holding the gateway up.
//!
//! A [`slog::Logger`] is passed down, never global. A record that passes the level goes into a bounded channel, in its
//! caller's thread no more than its own formatting; a thread of its own writes it out to the console (standard error:
//! standard output has the `listening …` lines only), to the file, and to Logstash. A full channel drops and counts; the
//! count is logged as soon as there is room. For a level that is off nothing is formatted at all.
//!
//! **What may be in a record.** Numbers and names of ours, addresses, MTI, STAN, TID, RRN, amounts. Whatever may hold the
//! content of a message goes in only as the dialect's masked dump or summary, and whatever a peer or a person wrote only
//! through [`crate::iso8583::mask::free_text`]. A dump is made only behind `logger.is_trace_enabled()`.
//! Control characters in values are written escaped, so that nobody can forge a line.

mod entry;
mod file;
mod logstash;
mod panic;
mod sink;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use slog::{Drain, LevelFilter, Logger};
use slog_async::{AsyncCore, AsyncGuard};

use self::file::LogFile;
use self::logstash::Shipper;
use self::sink::{Bounded, Console, Sinks};
use crate::iso8583::mask::MaskStyle;
use crate::net::clock::Clock;

pub use self::panic::{describe_panic, set_panic_hook};

/// What is logged where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much.
    pub level: Level,
    /// `silent`: nothing on the console.
    pub silent: bool,
    /// `logFile`.
    pub file: Option<PathBuf>,
    /// `logstashHost`/`logstashPort`/`logstashNode`.
    pub logstash: Option<Logstash>,
    /// How card numbers are shown; `--dangerous` reveals.
    pub mask: MaskStyle,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Warnings and errors (the default).
    Warn,
    /// `v`.
    Info,
    /// `vv`: with a dump of every message.
    Verbose,
}

/// A Logstash TCP input taking JSON lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logstash {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What the lines call this process.
    pub node: String,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// `logFile` cannot be opened.
    #[error("logFile {} cannot be opened: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("the {thread} thread cannot be started: {source}")]
    Thread {
        /// Which one.
        thread: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Records that may wait for the log thread. One is a few hundred bytes; the dump of a message a few thousand.
pub const CHANNEL_LEN_MAX: usize = 8192;

/// The name of the thread that writes.
const LOG_THREAD: &str = "log";

/// How long the end of the process waits for what is still to be written, when a console or disk hangs.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The logs of this process. Dropped last: it writes out what is still waiting.
pub struct Logging {
    /// The root logger. Children add their keys: `logging.logger.new(o!("upstream" => name))`.
    pub logger: Logger,
    guard: Option<AsyncGuard>,
    file: Option<Arc<LogFile>>,
    shipper: Option<Shipper>,
    dropped: Arc<AtomicU64>,
}

/// Opens the log file, starts the threads. Says at warn that `dangerous` is on.
///
/// # Errors
/// [`LogError`].
pub fn init(settings: &Settings, clock: Clock) -> Result<Logging, LogError> {
    let console = (!settings.silent).then(Console::stderr);
    init_with(settings, clock, console)
}

fn init_with(settings: &Settings, clock: Clock, console: Option<Console>) -> Result<Logging, LogError> {
    let file = match &settings.file {
        Some(path) => Some(Arc::new(LogFile::open(path)?)),
        None => None,
    };
    let dropped = Arc::new(AtomicU64::new(0));
    let shipper = match &settings.logstash {
        Some(logstash) => Some(Shipper::start(logstash, Arc::clone(&dropped))?),
        None => None,
    };
    if console.is_none() && file.is_none() && shipper.is_none() {
        // Nobody listens: not even the levels that are on are formatted.
        let logger = Logger::root(slog::Discard, slog::o!());
        return Ok(Logging { logger, guard: None, file, shipper, dropped });
    }
    let lines = shipper.as_ref().and_then(Shipper::lines);
    let sinks = Sinks::new(clock.clone(), console, file.clone(), lines, Arc::clone(&dropped));
    let (core, guard) = AsyncCore::custom(sinks)
        .chan_size(CHANNEL_LEN_MAX)
        .blocking(false)
        .thread_name(LOG_THREAD.to_owned())
        .build_with_guard();
    let bounded = Bounded::new(core, clock, Arc::clone(&dropped));
    let logger = Logger::root(LevelFilter::new(bounded, settings.level.as_slog()).fuse(), slog::o!());
    if settings.mask.reveal {
        slog::warn!(logger, "dangerous: card data is logged unmasked; never with real cards");
    }
    Ok(Logging { logger, guard: Some(guard), file, shipper, dropped })
}

impl Logging {
    /// Opens the log file anew under its name, after it was moved away (HUP). If that fails, the old one is kept and an
    /// error logged.
    pub fn reopen(&self) {
        let Some(file) = &self.file else { return };
        match file.reopen() {
            Ok(()) => slog::info!(self.logger, "log file reopened"),
            Err(error) => slog::error!(self.logger, "log file kept"; "error" => %error),
        }
    }

    /// Lines lost so far: the channel or the Logstash queue was full, or the file could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        // The guard waits for the log thread, which may hang in a write to a pipe that nobody reads.
        let (done, wait) = mpsc::channel::<()>();
        let (guard, shipper) = (self.guard.take(), self.shipper.take());
        let flush = std::thread::Builder::new().name("log-flush".to_owned()).spawn(move || {
            drop(guard);
            drop(shipper);
            drop(done);
        });
        if flush.is_ok() {
            // Disconnected is the good end.
            let _ = wait.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Level {
    /// The least severe slog level that is on.
    pub fn as_slog(self) -> slog::Level {
        match self {
            Level::Warn => slog::Level::Warning,
            Level::Info => slog::Level::Info,
            Level::Verbose => slog::Level::Trace,
        }
    }
}

#[cfg(test)]
mod tests;
