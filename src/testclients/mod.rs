//! Test clients: load and a self test from the client's side.
//!
//! As in SocketQueue (a1 of the reference): each client opens a connection, sends one 0800 (TID: its number, STAN from
//! 000001 on), reads the answer, closes, and comes back after a random 1 to 8 s. In real life mode a tenth of the
//! connections is dropped before the answer, and a fifth of the messages is sent again on the next connection; the bank's
//! side of it is [`crate::bank::Faults::real_life`].

mod client;
pub(crate) mod echo;
mod latency;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use crate::bank::Clock;
use crate::dialect::Dialect;
use crate::framing::Framing;
use crate::iso8583::BuildError;
use latency::Latencies;

/// How many test clients there can be; more would run out of ports towards one target.
pub const CLIENTS_MAX: u32 = 20_000;

/// A set of test clients.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many (`testClients`).
    pub count: u32,
    /// `testTargetHost`.
    pub host: String,
    /// `testTargetPort`.
    pub port: u16,
    /// `testRealLife`: clients drop connections, the bank misbehaves.
    pub real_life: bool,
    /// Framing towards the target.
    pub framing: Framing,
}

/// How fast test clients go. The default is SocketQueue's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Pause of a client between two connections, drawn between these two.
    pub pause: (Duration, Duration),
    /// How long connecting may take, and then the answer.
    pub answer_within: Duration,
    /// How often a summary is reported.
    pub report_every: Duration,
    /// Seed of the pauses and drops.
    pub seed: u64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            pause: (Duration::from_secs(1), Duration::from_secs(8)),
            // Longer than a gateway's queueTimeout (35 s): its own answer comes first.
            answer_within: Duration::from_secs(60),
            report_every: Duration::from_secs(60),
            seed: 0,
        }
    }
}

/// Why test clients did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestClientsError {
    /// More than [`CLIENTS_MAX`].
    #[error("{count} test clients, at most {CLIENTS_MAX} can be")]
    TooMany {
        /// How many were asked for.
        count: u32,
    },
    /// The dialect cannot write their 0800.
    #[error("the dialect {dialect} cannot write an 0800")]
    NoEcho {
        /// Its name.
        dialect: String,
        /// Why.
        source: BuildError,
    },
}

/// What test clients have seen since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests sent.
    pub sent: u64,
    /// Requests rightly answered.
    pub answered: u64,
    /// Connections dropped on purpose (real life).
    pub dropped: u64,
    /// Connections that were refused or took too long.
    pub unconnected: u64,
    /// Requests without an answer: the connection ended, or it took too long.
    pub unanswered: u64,
    /// Answers to something else, or unreadable.
    pub wrong: u64,
    /// Half of the round trips were faster.
    pub p50: Duration,
    /// 99 of 100 round trips were faster.
    pub p99: Duration,
    /// The slowest round trip.
    pub max: Duration,
}

impl Summary {
    /// What should not have been: unconnected, unanswered and wrong.
    pub fn errors(&self) -> u64 {
        self.unconnected + self.unanswered + self.wrong
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { sent, answered, dropped, unconnected, unanswered, wrong, p50, p99, max } = self;
        write!(f, "test clients: {sent} sent, {answered} answered, {} errors", self.errors())?;
        if self.errors() > 0 {
            write!(
                f,
                " ({unconnected} not connected, {unanswered} without an answer, {wrong} wrong answers)"
            )?;
        }
        if *dropped > 0 {
            write!(f, ", {dropped} dropped on purpose")?;
        }
        let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
        write!(f, "; round trip p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", ms(p50), ms(p99), ms(max))
    }
}

/// What the clients share.
struct Tally {
    sent: u64,
    answered: u64,
    dropped: u64,
    unconnected: u64,
    unanswered: u64,
    wrong: u64,
    latencies: Latencies,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            sent: 0,
            answered: 0,
            dropped: 0,
            unconnected: 0,
            unanswered: 0,
            wrong: 0,
            latencies: Latencies::new(),
        }
    }

    fn summary(&self) -> Summary {
        let &Tally { sent, answered, dropped, unconnected, unanswered, wrong, ref latencies } = self;
        let (p50, p99, max) = (latencies.percentile(50), latencies.percentile(99), latencies.max());
        Summary { sent, answered, dropped, unconnected, unanswered, wrong, p50, p99, max }
    }
}

/// Runs test clients until `shutdown` ends; tells what they have seen at the end, and `report` every
/// [`Pace::report_every`].
///
/// # Errors
/// Before anything is sent: too many clients, or a dialect that cannot write an 0800.
pub async fn run(
    settings: Settings,
    pace: Pace,
    dialect: Arc<Dialect>,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
    mut report: impl FnMut(&Summary),
) -> Result<Summary, TestClientsError> {
    if settings.count > CLIENTS_MAX {
        return Err(TestClientsError::TooMany { count: settings.count });
    }
    echo::request(&dialect, settings.count, 1, clock())
        .map_err(|source| TestClientsError::NoEcho { dialect: dialect.name.clone(), source })?;
    let tally = Arc::new(Mutex::new(Tally::new()));
    let settings = Arc::new(settings);
    let mut clients = JoinSet::new();
    for number in 1..=settings.count {
        let (settings, dialect, clock, tally) =
            (settings.clone(), dialect.clone(), clock.clone(), tally.clone());
        clients.spawn(async move { client::run(number, &settings, &pace, &dialect, &clock, &tally).await });
    }
    let every = pace.report_every.max(Duration::from_millis(1));
    let mut reports = interval_at(Instant::now() + every, every);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = reports.tick() => report(&lock(&tally).summary()),
        }
    }
    clients.shutdown().await;
    Ok(lock(&tally).summary())
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    // Counting cannot stop half way.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
