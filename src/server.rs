//! Start, wire, drain: one process, made of what its configuration names.
//!
//! Gateway and links run on one thread: a second one costs half as many instructions again for no gain (measured, see
//! `docs/performance.md`). Bank and test clients have a thread of their own, so that they do not disturb it.

mod beside;
mod gateway;
mod limits;
mod observers;
mod restart;
mod signals;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use slog::{Logger, error, info, warn};

use crate::admin::Sources;
use crate::admin::dump::{self, DumpError};
use crate::config::Config;
use crate::log::{self, Logging};
use crate::mux::Statistics;
use crate::net::TimeSource;
use crate::net::clock::Clock;
use crate::output;
use crate::pidfile::{PidFile, PidFileError};
use beside::Beside;
use gateway::Gateway;
use observers::Observers;
use signals::{Signal, Signals};

/// Lets this process have as many open files as the system allows it: each connection is one.
pub fn raise_open_files() {
    limits::raise_open_files(&Logger::root(slog::Discard, slog::o!()));
}

/// Why a process did not start, or what it could not go on without.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// `timezone`.
    #[error("timezone: {0}")]
    Zone(#[from] crate::net::clock::ZoneError),
    /// The log.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// An address cannot be bound; most often another process has it.
    #[error("{key}: {address} cannot be listened on: {source}")]
    Bind {
        /// The configuration key that names the port.
        key: &'static str,
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// `pidFile` is held by a running process, or cannot be written.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// Runtime, thread, signals, or standard output.
    #[error("cannot start: {0}")]
    Shell(#[from] io::Error),
    /// The bank, the test clients or the admin server ended.
    #[error("{0}")]
    Beside(String),
    /// `statDumpFile`.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The task of an upstream panicked; what it knew is lost.
    #[error("the upstream {0} failed")]
    Driver(String),
}

/// Runs what `config` names until it is told to stop, and drains.
///
/// Prints `listening NAME ADDRESS` on standard output for each socket, when all of them are bound. The exit code is not
/// zero when something could not be started or went wrong, and when something is still owed and no journal keeps it.
pub fn run(config: Config) -> ExitCode {
    let clock = match Clock::new(config.timezone.as_deref()) {
        Ok(clock) => clock,
        Err(error) => return refuse(&error.into()),
    };
    let logging = match log::init(&config.log, clock.clone()) {
        Ok(logging) => logging,
        Err(error) => return refuse(&error.into()),
    };
    log::set_panic_hook(Some(logging.logger.clone()));
    let outcome = run_with(config, &logging, clock);
    // Last of all: it writes out what is waiting.
    drop(logging);
    match outcome {
        Ok(code) => code,
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &ServerError) -> ExitCode {
    output::complain(&format!("socketqueue: {error}\n"));
    ExitCode::FAILURE
}

fn run_with(config: Config, logging: &Logging, clock: Clock) -> Result<ExitCode, ServerError> {
    let log = &logging.logger;
    limits::raise_open_files(log);
    let pid_file = config.pid_file.as_deref().map(PidFile::hold).transpose()?;
    let clock: TimeSource = Arc::new(move || clock.now());
    // Before a socket is bound: whoever sees a port open may signal.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config, logging, clock));
    // What is left of tasks ends here, and with them their sockets.
    drop(runtime);
    drop(pid_file);
    outcome
}

async fn serve(config: Config, logging: &Logging, clock: TimeSource) -> Result<ExitCode, ServerError> {
    let log = &logging.logger;
    let mut signals = Signals::new()?;
    for notice in &config.notices {
        warn!(log, "{}", notice);
    }
    let restored = config.admin.dump_file.as_deref().map(dump::read).transpose()?.unwrap_or_default();
    let mut listening = Vec::new();
    let beside = Beside::bind(&config, &clock, log, &mut listening)?;
    let gateway = match &config.upstream {
        Some(upstream) => Some(Gateway::bind(upstream, &config, &clock, log, &mut listening).await?),
        None => None,
    };
    let observers = Observers::bind(&config, log, &mut listening)?;
    output::say(&listening.iter().map(|line| format!("listening {line}\n")).collect::<String>());
    info!(log, "started"; "pid" => std::process::id());
    let mut beside = beside.start();
    let mut gateway = gateway.map(Gateway::start);
    let mut sources = Sources {
        upstreams: Vec::new(),
        listeners: Vec::new(),
        journals: Vec::new(),
        log: logging.levels(),
        started_ms: clock().wall_ms,
        clock,
        idle: Statistics::default(),
    };
    match &gateway {
        Some(gateway) => gateway.show_in(&mut sources, restored),
        None => sources.idle = restored,
    }
    let idle = sources.idle.clone();
    let mut observers = observers.start(sources, log);
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reopen => {
                    info!(log, "got SIGHUP");
                    logging.reopen();
                    if let Some(gateway) = &gateway {
                        gateway.reset();
                    }
                }
                Signal::Stop(name) => {
                    info!(log, "got {}", name);
                    break;
                }
            },
            error = ended(&mut gateway) => return Err(error),
            problem = beside.ended() => return Err(ServerError::Beside(problem)),
            problem = observers.ended() => return Err(ServerError::Beside(problem)),
        }
    }
    let (stopped, statistics) = match gateway {
        Some(gateway) => gateway.stop(config.drain_timeout, &mut signals).await,
        None => (gateway::Stopped::AtRest, Some(idle)),
    };
    observers.stop().await;
    beside.stop().await;
    let dumped = save(&config, statistics, log);
    info!(log, "quitting");
    Ok(match stopped {
        gateway::Stopped::AtRest if dumped => ExitCode::SUCCESS,
        gateway::Stopped::AtRest | gateway::Stopped::Owing => ExitCode::FAILURE,
    })
}

/// Dumps the statistics, where that is wanted. `false`: that failed, and was logged.
fn save(config: &Config, statistics: Option<Statistics>, log: &Logger) -> bool {
    let Some(path) = &config.admin.dump_file else { return true };
    let Some(statistics) = statistics else {
        error!(log, "statistics are not dumped: the upstream does not tell them");
        return false;
    };
    match dump::write(path, &statistics) {
        Ok(()) => true,
        Err(error) => {
            error!(log, "statistics are not dumped"; "reason" => %error);
            false
        }
    }
}

/// The end of a gateway that should have gone on; never, if there is none.
async fn ended(gateway: &mut Option<gateway::Running>) -> ServerError {
    match gateway {
        Some(gateway) => gateway.failed().await,
        None => std::future::pending().await,
    }
}
