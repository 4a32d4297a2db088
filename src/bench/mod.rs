//! A load generator for users: drives a gateway or a bank over TCP and measures it.
//!
//! ```text
//! metronome (open loop: when each request is due) ─► connection, one task each: requests out, answers in and checked
//!                                                        └─► tally: latencies, errors by cause ─► report ─► text, JSON, page
//! ```
//!
//! **Closed loop**: each connection sends the next request when an answer is in. A stalled target is then asked less, so
//! that its stall counts as one slow answer: the coordinated omission. The report has the latencies as measured, and
//! corrected: for each answer slower than the usual interval of a slot, those that it kept from being sent are added as
//! HdrHistogram does it.
//!
//! **Open loop** ([`Pace::Open`]): requests are due at fixed times, whatever the target does, and latency counts from
//! when a request was due. Nothing has to be corrected; what our own clock was late is in it, and told apart.

mod connection;
mod metronome;
mod ourselves;
mod page;
mod report;
mod requests;
mod speech;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::dialect::Dialect;
use crate::iso8583::Message;
use crate::net::TimeSource;

pub use ourselves::{Ourselves, OurselvesError};
pub use page::page;
pub use report::{Latency, Report, Slice};
pub use requests::TemplateError;
pub use speech::Speech;
pub use tally::{Cause, Progress};

use connection::Connection;
use requests::Requests;
use tally::Tally;

/// The most connections: more would run out of ports towards one target.
pub const CONNECTIONS_MAX: usize = 20_000;
/// The most requests that a connection has out at a time.
pub const PIPELINE_MAX: usize = 4096;
/// The most requests a second.
pub const RATE_MAX: f64 = 10_000_000.0;
/// The longest that an answer is waited for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Connections that are made at a time.
const CONNECTING_MAX: usize = 64;
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// One run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to drive.
    pub target: SocketAddr,
    /// How it writes messages.
    pub dialect: Arc<Dialect>,
    /// How they are put on a connection.
    pub speech: Speech,
    /// What each request is made from: DE 4, 7, 11, 12, 13 and 41 are set anew where it has them, DE 11 and 41 always.
    pub template: Message,
    /// Connections, at most [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Terminals of each connection, used in turn.
    pub terminals: usize,
    /// TID of the first terminal.
    pub first_terminal: u64,
    /// Requests that a connection has out at a time, at most [`PIPELINE_MAX`].
    pub pipeline: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// What comes before is not measured.
    pub warmup: Duration,
    /// How long it goes on.
    pub length: Length,
    /// How long an answer is waited for; then the connection is given up.
    pub timeout: Duration,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The next when an answer is in.
    Closed,
    /// So many a second over all connections, evenly, in turn.
    Open {
        /// At most [`RATE_MAX`].
        per_second: f64,
    },
}

/// How long a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So long after the warm-up.
    Time(Duration),
    /// So many requests, the warm-up's included.
    Count(u64),
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The requests cannot be made.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Not one connection could be made.
    #[error("{target} takes no connections")]
    NotConnected {
        /// Whom we wanted.
        target: SocketAddr,
        /// What the first attempt said.
        source: io::Error,
    },
    /// The thread of the open loop.
    #[error("cannot run")]
    Shell(#[from] io::Error),
}

/// What the connections of a run share.
struct Run {
    settings: Settings,
    clock: TimeSource,
    tally: Mutex<Tally>,
    /// Requests that may still be sent, where they are counted.
    tickets: Option<AtomicU64>,
    /// No further requests after it.
    end: Option<Instant>,
    /// Told to stop.
    stopped: AtomicBool,
}

impl Run {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counting cannot stop half way.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no further requests are sent.
    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || self.end.is_some_and(|end| Instant::now() >= end)
            || self.tickets.as_ref().is_some_and(|tickets| tickets.load(Ordering::Relaxed) == 0)
    }

    /// Takes the leave to send one request, if there is any. Whether the time is over is not looked at: what was due
    /// before the end is sent, however late we are.
    fn take_ticket(&self) -> bool {
        let take_one = |left: &AtomicU64| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        !self.stopped.load(Ordering::Relaxed) && self.tickets.as_ref().is_none_or(take_one)
    }
}

/// Connects, sends, and tells at the end what came of it. `progress` hears of it four times a second. When `stop` ends, no
/// further requests are sent; what is out is still waited for.
///
/// # Errors
/// Before anything is sent: [`BenchError`].
pub async fn run(
    settings: Settings,
    clock: TimeSource,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&Progress),
) -> Result<Report, BenchError> {
    let requests: Vec<Requests> =
        (0..settings.connections).map(|number| Requests::new(&settings, number)).collect::<Result<_, _>>()?;
    let (streams, refused) = connect_all(&settings).await?;
    let begun_wall = clock();
    let start = Instant::now();
    let (tickets, end) = match settings.length {
        Length::Time(time) => (None, Some(start + settings.warmup + time)),
        Length::Count(count) => (Some(AtomicU64::new(count)), None),
    };
    let mut tally = Tally::new(&settings, start);
    (0..refused).for_each(|_| tally.failed(Cause::NotConnected));
    let pace = settings.pace;
    let run = Arc::new(Run {
        settings,
        clock,
        tally: Mutex::new(tally),
        tickets,
        end,
        stopped: AtomicBool::new(false),
    });
    let mut connections = JoinSet::new();
    let mut due = Vec::new();
    for (stream, requests) in streams.into_iter().zip(requests) {
        let times = matches!(pace, Pace::Open { .. }).then(|| {
            let (tell, times) = mpsc::unbounded_channel();
            due.push(tell);
            times
        });
        connections.spawn(Connection::new(run.clone(), requests, times).run(stream));
    }
    if let Pace::Open { per_second } = pace {
        metronome::start(run.clone(), due, per_second, start)?;
    }
    let mut ticks = interval(PROGRESS_EVERY);
    let mut stop = std::pin::pin!(stop);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { break },
            _ = ticks.tick() => progress(&run.tally().progress(Instant::now())),
            () = &mut stop, if !is_stopping => {
                is_stopping = true;
                run.stopped.store(true, Ordering::Relaxed);
            }
        }
    }
    progress(&run.tally().progress(Instant::now()));
    let report = run.tally().report(&run.settings, begun_wall);
    Ok(report)
}

/// Makes the connections of a run; how many could not be made.
async fn connect_all(settings: &Settings) -> Result<(Vec<TcpStream>, usize), BenchError> {
    let attempts = (0..settings.connections).map(|_| connect(settings.target));
    let mut attempts = futures::stream::iter(attempts).buffer_unordered(CONNECTING_MAX);
    let (mut streams, mut refused) = (Vec::with_capacity(settings.connections), Vec::new());
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => streams.push(stream),
            Err(error) => refused.push(error),
        }
    }
    if streams.is_empty() {
        let source = refused.into_iter().next().unwrap_or_else(|| io::ErrorKind::NotConnected.into());
        return Err(BenchError::NotConnected { target: settings.target, source });
    }
    Ok((streams, refused.len()))
}

/// One connection to the target.
async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let attempt = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
    let stream = attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
