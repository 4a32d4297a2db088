//! What a journal counts. Written by its thread, read by whoever asks, without waiting.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of commit latency, in microseconds; one more bucket has the rest.
pub const LATENCY_BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// Upper bounds of the buckets of batch size, in operations; one more bucket has the rest.
pub const BATCH_BOUNDS: [u64; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// The counters of one journal.
#[derive(Debug, Default)]
pub struct Meters {
    commits: AtomicU64,
    operations: AtomicU64,
    intents: AtomicU64,
    batch_max: AtomicU64,
    batch: [AtomicU64; BATCH_BOUNDS.len() + 1],
    latency_us: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    failures: AtomicU64,
    unknown: AtomicU64,
    bad_rows: AtomicU64,
    open: AtomicU64,
    waiting: AtomicU64,
    /// Uptime in microseconds, plus one, of the oldest end that is not durable; 0: none.
    oldest_end: AtomicU64,
    /// Open rows that a start could not read.
    unreadable: AtomicU64,
    /// Uptime in microseconds, plus one, at which the work that the disk has not done yet was given to it, by the thread
    /// that writes, and of what waits for a sync, the oldest; 0: none.
    busy_since: AtomicU64,
    sync_awaited_since: AtomicU64,
    down: AtomicBool,
}

/// The disk has not done its work for so long: nobody should wait for it any more.
pub const STALL: Duration = Duration::from_secs(5);

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits done.
    pub commits: u64,
    /// Operations in them: their sum over `commits` is the mean size of a batch.
    pub operations: u64,
    /// Intents among them.
    pub intents: u64,
    /// Operations of the largest commit.
    pub batch_max: u64,
    /// Commits by their operations, by [`BATCH_BOUNDS`], not cumulated; the last has those above.
    pub batch: [u64; BATCH_BOUNDS.len() + 1],
    /// Time spent in commits.
    pub latency_sum: Duration,
    /// Commits by latency, by [`LATENCY_BOUNDS_US`], not cumulated; the last has those above.
    pub latency: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// Commits that failed.
    pub failures: u64,
    /// Commits of unknown outcome.
    pub unknown: u64,
    /// Rows that were refused by themselves.
    pub bad_rows: u64,
    /// Open rows of this process.
    pub open: u64,
    /// Operations handed over and not durable yet.
    pub waiting: u64,
    /// How long the oldest end that is not durable has waited: an approval delivered in this time is reversed after a crash.
    pub end_lag: Duration,
    /// Open rows that the start could not read: no messages of the dialect that it was given. Listed, for a person.
    pub unreadable: u64,
    /// Whether intents are taken.
    pub up: bool,
}

impl Meters {
    /// The counters at uptime `now`.
    pub fn figures(&self, now: Duration) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let end_lag = elapsed(&self.oldest_end, now).unwrap_or_default();
        Figures {
            commits: read(&self.commits),
            operations: read(&self.operations),
            intents: read(&self.intents),
            batch_max: read(&self.batch_max),
            batch: std::array::from_fn(|at| self.batch.get(at).map_or(0, read)),
            latency_sum: Duration::from_micros(read(&self.latency_us)),
            latency: std::array::from_fn(|at| self.latency.get(at).map_or(0, read)),
            failures: read(&self.failures),
            unknown: read(&self.unknown),
            bad_rows: read(&self.bad_rows),
            open: read(&self.open),
            waiting: read(&self.waiting),
            end_lag,
            unreadable: read(&self.unreadable),
            up: !self.down.load(Ordering::Relaxed) && !self.is_stalled(now),
        }
    }

    /// Whether the disk has kept its work for [`STALL`] or longer.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        let marks = [&self.busy_since, &self.sync_awaited_since];
        marks.into_iter().filter_map(|mark| elapsed(mark, now)).any(|busy| busy >= STALL)
    }

    /// The disk is given work.
    pub(super) fn begun(&self, now: Duration) {
        mark(&self.busy_since, Some(now));
    }

    /// It has done it.
    pub(super) fn rests(&self) {
        mark(&self.busy_since, None);
    }

    /// Since when the oldest commit has been waiting for its sync, if one is.
    pub(super) fn sync_awaited(&self, since: Option<Duration>) {
        mark(&self.sync_awaited_since, since);
    }

    /// The thread is gone.
    pub(super) fn ended(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    pub(super) fn unreadable(&self, rows: usize) {
        self.unreadable.store(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, operations: usize, intents: usize, took: Duration) {
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.commits, 1);
        add(&self.operations, operations as u64);
        add(&self.intents, intents as u64);
        add(&self.latency_us, us);
        self.batch_max.fetch_max(operations as u64, Ordering::Relaxed);
        let bucket = BATCH_BOUNDS.partition_point(|bound| *bound < operations as u64);
        if let Some(counter) = self.batch.get(bucket) {
            add(counter, 1);
        }
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = self.latency.get(bucket) {
            add(counter, 1);
        }
    }

    pub(super) fn failed(&self, unknown: bool) {
        let counter = if unknown { &self.unknown } else { &self.failures };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bad_rows(&self, count: usize) {
        self.bad_rows.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn state(&self, open: usize, up: bool) {
        self.open.store(open as u64, Ordering::Relaxed);
        self.down.store(!up, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self, operations: usize, oldest_end: Option<Duration>) {
        self.waiting.store(operations as u64, Ordering::Relaxed);
        mark(&self.oldest_end, oldest_end);
    }
}

/// Keeps a moment in one number.
fn mark(kept: &AtomicU64, uptime: Option<Duration>) {
    let since =
        uptime.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1).saturating_add(1));
    kept.store(since, Ordering::Relaxed);
}

/// How long ago the moment was that is kept, if one is.
fn elapsed(kept: &AtomicU64, now: Duration) -> Option<Duration> {
    match kept.load(Ordering::Relaxed) {
        0 => None,
        since => Some(now.saturating_sub(Duration::from_micros(since - 1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_at_the_bound_of_a_bucket_is_in_it_and_one_above_all_is_in_the_last() {
        let meters = Meters::default();
        meters.committed(3, 1, Duration::from_micros(100));
        meters.committed(5, 2, Duration::from_micros(101));
        meters.committed(1, 0, Duration::from_secs(40));
        let figures = meters.figures(Duration::ZERO);
        assert_eq!((figures.latency[0], figures.latency[1], figures.latency[12]), (1, 1, 1));
        // Of 1, of 3 and of 5 operations.
        assert_eq!((figures.batch[0], figures.batch[2], figures.batch[3]), (1, 1, 1));
        assert_eq!((figures.commits, figures.operations, figures.intents, figures.batch_max), (3, 9, 3, 5));
    }

    #[test]
    fn the_lag_of_ends_grows_until_none_waits() {
        let meters = Meters::default();
        meters.waiting(2, Some(Duration::ZERO));
        assert_eq!(meters.figures(Duration::from_secs(3)).end_lag, Duration::from_secs(3));
        meters.waiting(0, None);
        assert_eq!(meters.figures(Duration::from_secs(4)).end_lag, Duration::ZERO);
    }

    #[test]
    fn a_disk_that_keeps_its_work_stalls_at_the_bound_and_not_before() {
        let meters = Meters::default();
        meters.begun(Duration::from_secs(7));
        assert!(!meters.is_stalled(Duration::from_secs(12) - Duration::from_micros(1)));
        assert!(meters.is_stalled(Duration::from_secs(12)) && !meters.figures(Duration::from_secs(12)).up);
        meters.rests();
        assert!(meters.figures(Duration::from_secs(99)).up);
        meters.sync_awaited(Some(Duration::from_secs(99)));
        assert!(!meters.is_stalled(Duration::from_secs(103)) && meters.is_stalled(Duration::from_secs(104)));
        meters.sync_awaited(None);
        assert!(meters.figures(Duration::from_secs(999)).up);
    }
}
