//! Where the numbers come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::statistics;
use crate::journal;
use crate::journal::meters::Meters;
use crate::journal::sqlite::Sqlite;
use crate::listener::Figures;
use crate::log::Levels;
use crate::mux::Statistics;
use crate::net::TimeSource;
use crate::upstream::{Handle, Snapshot, Standing};

/// How long a driver may take to tell of itself. One that takes longer is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Gives the figures of one listener.
pub type ListenerSource = Arc<dyn Fn() -> Figures + Send + Sync>;

/// Where the numbers of one journal come from.
#[derive(Clone, Debug)]
pub struct JournalSource {
    meters: Arc<Meters>,
    wal: PathBuf,
}

/// What is to be seen of one journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournalSeen {
    pub(super) figures: journal::meters::Figures,
    /// Bytes of its write-ahead log.
    pub(super) wal_bytes: u64,
}

impl JournalSource {
    /// Those of `journal`; they stay when it is handed on.
    pub fn of(journal: &Sqlite) -> JournalSource {
        JournalSource { meters: journal.meters(), wal: journal::place::beside(journal.path(), "-wal") }
    }

    fn look(&self, uptime: Duration) -> JournalSeen {
        let wal_bytes = std::fs::metadata(&self.wal).map_or(0, |wal| wal.len());
        JournalSeen { figures: self.meters.figures(uptime), wal_bytes }
    }
}

/// All that is to be seen, and the little that may be changed.
#[derive(Clone)]
pub struct Sources {
    /// The upstreams, by name.
    pub upstreams: Vec<(String, Handle)>,
    /// The listeners.
    pub listeners: Vec<ListenerSource>,
    /// The journals, by the name of their upstream.
    pub journals: Vec<(String, JournalSource)>,
    /// The log's level and losses.
    pub log: Levels,
    /// The time.
    pub clock: TimeSource,
    /// When the process began, in milliseconds since 1970-01-01T00:00:00Z.
    pub started_ms: i64,
    /// Statistics of a process without an upstream: what its dump had.
    pub idle: Statistics,
}

/// Everything at one moment. `None`: that upstream is no more, or stuck.
pub(super) struct Observed {
    pub(super) upstreams: Vec<(String, Option<Snapshot>)>,
    pub(super) listeners: Vec<Figures>,
    pub(super) journals: Vec<(String, JournalSeen)>,
}

impl Sources {
    pub(super) async fn observe(&self) -> Observed {
        let asked = self.upstreams.iter().map(|(name, handle)| async move {
            (name.clone(), timeout(ANSWER_TIMEOUT, handle.snapshot()).await.ok().flatten())
        });
        let upstreams = futures::future::join_all(asked).await;
        let uptime = (self.clock)().uptime;
        let look = |(name, source): &(String, JournalSource)| (name.clone(), source.look(uptime));
        Observed {
            upstreams,
            listeners: self.listeners.iter().map(|figures| figures()).collect(),
            journals: self.journals.iter().map(look).collect(),
        }
    }

    /// The line of the statistics server; `None` when an upstream does not tell.
    pub(super) async fn statistics(&self) -> Option<String> {
        let mut sum = self.idle.clone();
        for (_, snapshot) in self.observe().await.upstreams {
            sum.add(&snapshot?.statistics);
        }
        Some(statistics::to_json(&sum))
    }

    pub(super) async fn oldest(&self, handle: &Handle, most: usize) -> Option<Vec<Standing>> {
        timeout(ANSWER_TIMEOUT, handle.oldest(most)).await.ok().flatten()
    }
}
