//! Syncs of the log, by threads of their own.
//!
//! The thread that writes commits into the log, which then is in the kernel's memory, and hands the commit over. It does not
//! wait for the disk: while one commit is synced it prepares the next. A sync makes durable whatever was committed before it
//! began, so one tells of all of them.
//!
//! On a fast disk one sync is under way at a time, and what is committed meanwhile is left to the one after it. Where a sync
//! is slow, that would have everybody wait for the rest of one sync and for the whole of another. There the next begins
//! before the last is done: whoever waits, waits for little more than one.
//!
//! A sync that fails leaves all in the dark that were not durable by then: the kernel tells of an error once, and may hold
//! for clean what it could not write. So nothing is told durable after it until the journal was opened anew.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Entry;
use super::connection::Trouble;
use super::rows::Before;
use super::{Shared, first_end};
use crate::journal::Verdict;
use crate::journal::disk::SyncSeam;
use crate::net::TimeSource;

/// Syncs that take so long are slow.
const SLOW: Duration = Duration::from_micros(500);
/// Syncs under way at a time, where they are slow.
const SYNCS_MAX: usize = 8;

/// A commit that is in the log.
pub(super) struct Committed {
    /// What is told when it is durable.
    pub(super) verdicts: Vec<Verdict>,
    /// All of it that is not an intent: it is done again should it get lost.
    pub(super) rest: Vec<Entry>,
    /// Rows of its intents, by transaction.
    pub(super) intents: Vec<(u64, i64)>,
    /// What was known of its rows before it, in the order in which it changed them.
    pub(super) before: Vec<Before>,
    pub(super) operations: usize,
    /// When it began: by the journal's clock, and by the processor's.
    pub(super) begun: Duration,
    pub(super) begun_at: Instant,
}

/// The commits that wait for the disk, and the threads that wait for it.
pub(super) struct Syncs {
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

struct Line {
    state: Mutex<State>,
    /// There may be something to sync.
    work: Condvar,
    /// A sync is done.
    done: Condvar,
    log: PathBuf,
    seam: SyncSeam,
    clock: TimeSource,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Committed>,
    /// How many commits were handed over, and how many of them are covered by a sync that has begun, or durable.
    handed: u64,
    covered: u64,
    durable: u64,
    running: usize,
    idle: usize,
    /// A thread waits for its turn to begin while another sync runs: one is enough.
    is_paced: bool,
    /// When the last sync began; how long the last one took that ended.
    begun: Option<Instant>,
    took: Duration,
    failed: Option<Trouble>,
    /// How often the log was opened anew.
    generation: u64,
    stop: bool,
}

impl Syncs {
    pub(super) fn new(log: PathBuf, seam: SyncSeam, clock: TimeSource, shared: Arc<Shared>) -> Syncs {
        let (state, work, done) = (Mutex::default(), Condvar::new(), Condvar::new());
        let line = Arc::new(Line { state, work, done, log, seam, clock, shared });
        Syncs { line, threads: Vec::new() }
    }

    /// Takes over a commit: it is told of when it is durable.
    pub(super) fn hand_over(&mut self, committed: Committed) {
        let mut state = self.line.lock();
        if state.waiting.is_empty() {
            self.line.shared.meters.sync_awaited(Some(committed.begun));
        }
        self.line.shared.unsynced(committed.operations, &committed.rest);
        state.waiting.push_back(committed);
        state.handed += 1;
        // Who runs comes back for it at once, unless that takes long.
        let wanted = state.running == 0 || state.took >= SLOW;
        let missing = wanted && state.idle == 0 && self.threads.len() < SYNCS_MAX;
        drop(state);
        if missing {
            let line = self.line.clone();
            match std::thread::Builder::new().name("journal-sync".to_owned()).spawn(move || line.run()) {
                Ok(thread) => self.threads.push(thread),
                Err(error) if self.threads.is_empty() => self.line.fail(&mut self.line.lock(), &error),
                // Those that there are will do.
                Err(_) => {}
            }
        } else if wanted {
            self.line.work.notify_one();
        }
    }

    /// How long the last sync took.
    pub(super) fn took(&self) -> Duration {
        self.line.lock().took
    }

    /// Waits until all is durable, or a sync has failed and none is under way.
    pub(super) fn settle(&self) {
        let mut state = self.line.lock();
        while state.running > 0 || (state.failed.is_none() && !state.waiting.is_empty()) {
            state = self.line.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why a sync has failed, if one has, and the commits that are left in the dark, oldest first. From then on the log is
    /// another.
    pub(super) fn take_failure(&self) -> Option<(Trouble, VecDeque<Committed>)> {
        self.settle();
        let mut state = self.line.lock();
        let trouble = state.failed.take()?;
        let left = std::mem::take(&mut state.waiting);
        (state.covered, state.durable) = (state.handed, state.handed);
        self.line.shared.meters.sync_awaited(None);
        let operations = left.iter().map(|committed| committed.operations).sum();
        self.line.shared.not_unsynced(operations);
        Some((trouble, left))
    }

    /// The log is opened anew: it may be another file.
    pub(super) fn log_is_new(&self) {
        self.line.lock().generation += 1;
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        self.line.lock().stop = true;
        self.line.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is in it is whole after each of the few statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        // Each thread has an opening of its own, which is told of every error since; of one that is shared, only the first
        // who asks would be told (fsync(2)).
        let mut log = None;
        while let Some((covers, generation)) = self.next() {
            let begun = Instant::now();
            let synced = (self.seam)().and_then(|()| self.sync(&mut log, generation));
            self.end(covers, begun.elapsed(), synced);
        }
    }

    /// What the next sync covers, and which log it is for, when there is something to sync and it is time. `None`: it is
    /// over.
    fn next(&self) -> Option<(u64, u64)> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            let pause = state.pause();
            if pause == Some(Duration::ZERO) {
                state.covered = state.handed;
                state.running += 1;
                state.begun = Some(Instant::now());
                return Some((state.covered, state.generation));
            }
            match pause.filter(|_| !state.is_paced) {
                Some(pause) => {
                    state.is_paced = true;
                    state = self.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
                    state.is_paced = false;
                }
                None => {
                    state.idle += 1;
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
            }
        }
    }

    fn sync(&self, log: &mut Option<(u64, File)>, generation: u64) -> io::Result<()> {
        if log.as_ref().is_none_or(|(opened, _)| *opened != generation) {
            *log = Some((generation, OpenOptions::new().write(true).open(&self.log)?));
        }
        log.as_ref().map_or(Ok(()), |(_, file)| file.sync_data())
    }

    /// A sync has ended, which covers all up to this one.
    fn end(&self, covers: u64, took: Duration, synced: io::Result<()>) {
        let mut state = self.lock();
        state.running -= 1;
        state.took = took;
        match synced {
            Ok(()) if state.failed.is_none() => self.tell(&mut state, covers),
            Ok(()) => {}
            Err(error) => self.fail(&mut state, &error),
        }
        drop(state);
        self.done.notify_all();
    }

    fn fail(&self, state: &mut State, error: &io::Error) {
        state.failed.get_or_insert_with(|| Trouble::of_io(error));
        self.shared.sync_failed();
    }

    /// All up to this one is durable.
    fn tell(&self, state: &mut State, covers: u64) {
        let count = usize::try_from(covers.saturating_sub(state.durable)).unwrap_or(0);
        if count == 0 {
            return;
        }
        state.durable = covers;
        let durable: Vec<Committed> = state.waiting.drain(..count.min(state.waiting.len())).collect();
        let oldest = state.waiting.front().map(|committed| committed.begun);
        self.shared.meters.sync_awaited(oldest);
        let end = state.waiting.iter().find_map(|committed| first_end(committed.rest.iter()));
        // Under this lock, so that verdicts are told in the order of the commits.
        self.shared.durable(durable, end, (self.clock)().uptime);
    }
}

impl State {
    /// How long until the next sync may begin; `None`: there is nothing to sync, or nobody may.
    fn pause(&self) -> Option<Duration> {
        if self.failed.is_some() || self.covered == self.handed {
            return None;
        }
        match self.begun.filter(|_| self.running > 0) {
            None => Some(Duration::ZERO),
            Some(_) if self.took < SLOW || self.running == SYNCS_MAX => None,
            // Evenly over the time that one takes.
            Some(begun) => {
                let pace = (self.took / SYNCS_MAX as u32).max(SLOW);
                Some(pace.saturating_sub(begun.elapsed()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(handed: u64, covered: u64, running: usize, took: Duration) -> State {
        State { handed, covered, running, took, begun: Some(Instant::now()), ..State::default() }
    }

    #[test]
    fn on_a_fast_disk_one_sync_is_under_way_at_a_time() {
        assert_eq!(state(1, 0, 0, Duration::ZERO).pause(), Some(Duration::ZERO));
        assert_eq!(state(2, 1, 1, SLOW - Duration::from_nanos(1)).pause(), None);
        assert_eq!(state(2, 2, 1, SLOW).pause(), None);
    }

    #[test]
    fn on_a_slow_disk_the_next_begins_before_the_last_is_done_but_not_at_once() {
        let pause = |running, took| state(2, 1, running, took).pause();
        let eighth = Duration::from_millis(5);
        assert!(pause(1, 8 * eighth).is_some_and(|pause| pause > eighth / 2 && pause <= eighth));
        assert!(pause(SYNCS_MAX - 1, SLOW).is_some_and(|pause| pause > Duration::ZERO && pause <= SLOW));
        assert_eq!(pause(SYNCS_MAX, 8 * eighth), None);
        let mut late = state(2, 1, 1, SLOW);
        late.begun = Instant::now().checked_sub(SLOW);
        assert_eq!(late.pause(), Some(Duration::ZERO));
    }

    #[test]
    fn after_a_failure_nothing_is_synced() {
        let failed = State { failed: Some(Trouble::Full), ..state(1, 0, 0, Duration::ZERO) };
        assert_eq!(failed.pause(), None);
    }
}
