//! The journal in an embedded SQLite database.
//!
//! One thread writes, others sync what it has written: a commit goes into the log without waiting for the disk, and is told
//! of when a sync of the log that began after it has ended (`syncs.rs`). Whatever was handed over meanwhile makes the next
//! commit. Nobody else waits: operations go in through a list under a lock that is held for moments only, verdicts come out
//! the same way.
//!
//! When a commit or a sync fails, intents fail from then on, and everything else is kept in its order and tried again: on a full
//! disk after the reserve was let go, after any other error when the file has been closed, opened, verified and probed
//! with a synced write. What is in a commit of unknown outcome, or was not synced when a sync failed, is read back then.

mod batch;
pub(super) mod connection;
mod gather;
mod lately;
mod mover;
mod names;
mod opening;
mod pen;
mod rows;
mod store;
mod sweep;
mod syncs;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slog::{Logger, error, info};

pub use names::Names;
pub use pen::ImageOf;

use super::disk::{Disk, Plain, SyncSeam};
use super::meters::{Figures, Meters};
use super::{
    Journal, JournalError, LatelyRow, OpenRow, Options, RememberedRow, UpstreamIdentity, Verdict, place,
};
use crate::mux::JournalOp;
use crate::net::TimeSource;
use batch::Entry;
use syncs::{Committed, Syncs};

/// How long the end of the process may be held up by what is not durable yet.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Operations that may wait for the disk; intents beyond it fail. All others belong to transactions that are held already.
pub const WAITING_MAX: usize = 200_000;

/// Whether an open row is a message that can be sent.
pub type Readable = Box<dyn Fn(&OpenRow) -> bool + Send>;

/// What a journal needs of the world.
pub struct Surroundings {
    /// The time.
    pub clock: TimeSource,
    /// What is kept of a request.
    pub image: ImageOf,
    /// Whether an open row can be read. One that cannot is listed for a person.
    pub readable: Readable,
    /// Where it logs.
    pub log: Logger,
    /// How its disk fares: at commits, and at syncs.
    pub disk: Box<dyn Disk>,
    /// See [`SyncSeam`].
    pub sync: SyncSeam,
}

impl Surroundings {
    /// With the disk as it is.
    pub fn new(clock: TimeSource, image: ImageOf, log: Logger) -> Surroundings {
        Surroundings {
            clock,
            image,
            readable: Box::new(|_| true),
            log,
            disk: Box::new(Plain),
            sync: Arc::new(|| Ok(())),
        }
    }
}

/// A durable journal. Dropping it makes durable what is waiting, for up to [`CLOSE_PATIENCE`].
pub struct Sqlite {
    shared: Arc<Shared>,
    clock: TimeSource,
    remembered: Vec<RememberedRow>,
    lately: Vec<LatelyRow>,
    names: Names,
    thread: Option<JoinHandle<()>>,
}

/// What the journal's threads share with those who use it.
struct Shared {
    inbox: Mutex<Inbox>,
    /// Something is there to do.
    wake: Condvar,
    /// A sweep was done, or the thread has ended.
    done: Condvar,
    meters: Arc<Meters>,
    log: Logger,
    path: PathBuf,
}

#[derive(Default)]
struct Inbox {
    entries: Vec<Entry>,
    verdicts: Vec<Verdict>,
    /// Operations taken by the thread and not committed yet; committed and not durable yet.
    taken: usize,
    unsynced: usize,
    /// Uptime of the oldest end among either.
    taken_end: Option<Duration>,
    unsynced_end: Option<Duration>,
    /// A sync has failed: the thread has to see to it.
    sync_failed: bool,
    verdict_waker: Option<Waker>,
    flush_waker: Option<Waker>,
    sweeps_wanted: u64,
    sweeps_done: u64,
    /// The thread waits to be woken, when so many intents are there; 0: when anything is.
    wake_at: Option<usize>,
    /// Intents among `entries`.
    intents: usize,
    /// Intents were refused because the disk stalls: it has to be told when it goes on.
    stalled: bool,
    /// Intents fail; the thread knows why.
    down: bool,
    stop: bool,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // What is in it is whole after each of the few statements that change it.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit waits for its sync.
    fn unsynced(&self, operations: usize, rest: &[Entry]) {
        let mut inbox = self.lock();
        inbox.taken = inbox.taken.saturating_sub(operations);
        inbox.unsynced += operations;
        inbox.unsynced_end = inbox.unsynced_end.or_else(|| first_end(rest.iter()));
    }

    /// So many operations do not wait for a sync any more, and are not durable.
    fn not_unsynced(&self, operations: usize) {
        let mut inbox = self.lock();
        inbox.unsynced -= operations;
        inbox.unsynced_end = None;
        inbox.sync_failed = false;
    }

    /// The thread has to see to it.
    fn sync_failed(&self) {
        self.lock().sync_failed = true;
        self.wake.notify_one();
    }

    /// These commits are durable; `oldest_end`: of those that still wait.
    fn durable(&self, commits: Vec<Committed>, oldest_end: Option<Duration>, now: Duration) {
        let mut inbox = self.lock();
        for commit in &commits {
            self.meters.committed(commit.operations, commit.intents.len(), commit.begun_at.elapsed());
            inbox.unsynced -= commit.operations;
            inbox.verdicts.extend_from_slice(&commit.verdicts);
        }
        inbox.unsynced_end = oldest_end;
        self.publish(inbox, now);
        // What they hold is let go when nobody waits for the lock.
        drop(commits);
    }

    /// Tells what is known since the last time.
    fn publish(&self, mut guard: MutexGuard<'_, Inbox>, now: Duration) {
        let inbox = &mut *guard;
        if inbox.stalled && !self.meters.is_stalled(now) {
            inbox.stalled = false;
            // If it has failed since, it is told when that is over.
            if !inbox.down {
                info!(self.log, "the journal takes new transactions again"; "file" => %self.path.display());
                inbox.verdicts.push(Verdict::Up);
            }
        }
        self.meters.waiting(inbox.waiting(), inbox.oldest_end());
        let verdict_waker = if inbox.verdicts.is_empty() { None } else { inbox.verdict_waker.take() };
        let flush_waker = if inbox.waiting() == 0 { inbox.flush_waker.take() } else { None };
        drop(guard);
        for waker in [verdict_waker, flush_waker].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Inbox {
    fn waiting(&self) -> usize {
        self.entries.len() + self.taken + self.unsynced
    }

    fn oldest_end(&self) -> Option<Duration> {
        self.unsynced_end.or(self.taken_end).or_else(|| first_end(self.entries.iter()))
    }
}

fn first_end<'e>(mut entries: impl Iterator<Item = &'e Entry>) -> Option<Duration> {
    entries.find(|entry| matches!(entry.op, JournalOp::End { .. })).map(|entry| entry.at.uptime)
}

impl Sqlite {
    /// Opens the journal, or makes it; starts its thread. What is open comes with it, oldest first.
    ///
    /// Blocks: it checks the file, and syncs.
    ///
    /// # Errors
    /// [`JournalError`]: each names the file and the way out.
    pub fn open(
        options: &Options,
        upstream: &UpstreamIdentity,
        surroundings: Surroundings,
    ) -> Result<(Sqlite, Vec<OpenRow>), JournalError> {
        let Surroundings { clock, image, readable, log, disk, sync } = surroundings;
        let opened = opening::open(options, upstream, image, &readable, disk, clock())?;
        let path = opened.place.path().to_owned();
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            meters: Arc::default(),
            log: log.clone(),
            path: path.clone(),
        });
        shared.meters.unreadable(opened.unreadable);
        shared.meters.state(opened.rows.len(), true);
        let syncs = Syncs::new(place::beside(&path, "-wal"), sync, clock.clone(), shared.clone());
        let writer = writer::Writer::new(
            opened.store,
            opened.place,
            shared.clone(),
            syncs,
            clock.clone(),
            log.clone(),
        );
        let gone = Gone(shared.clone());
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                // After the writer, whose end lets go of the lock; also when it panics.
                let _gone = gone;
                writer.run();
            })
            .map_err(|error| JournalError::Failed { path: path.clone(), what: error.to_string() })?;
        let (remembered, lately, names) = (opened.remembered, opened.lately, opened.names);
        Ok((Sqlite { shared, clock, remembered, lately, names, thread: Some(thread) }, opened.rows))
    }

    /// Where it lies, absolutely.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// What ended within `idempotencyTtl` before this start and is remembered for those who ask, oldest end first. Once.
    pub fn take_remembered(&mut self) -> Vec<RememberedRow> {
        std::mem::take(&mut self.remembered)
    }

    /// What ended within `lateWindow` before this start, oldest end first. Once.
    pub fn take_lately(&mut self) -> Vec<LatelyRow> {
        std::mem::take(&mut self.lately)
    }

    /// What outlives the process so that transactions can be asked for by name.
    pub fn names(&self) -> Names {
        self.names
    }

    /// Its counters, to be read by others later.
    pub fn meters(&self) -> Arc<Meters> {
        self.shared.meters.clone()
    }

    /// Its counters now.
    pub fn figures(&self) -> Figures {
        self.shared.meters.figures((self.clock)().uptime)
    }

    /// Erases and deletes now what is due, without waiting for the minute's sweep, and waits until that is done (or the
    /// thread has ended).
    pub fn sweep(&self) {
        let mut inbox = self.shared.lock();
        inbox.sweeps_wanted += 1;
        let wanted = inbox.sweeps_wanted;
        self.shared.wake.notify_one();
        while inbox.sweeps_done < wanted && !inbox.stopped {
            inbox = self.shared.done.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Journal for Sqlite {
    fn submit(&mut self, ops: &mut Vec<JournalOp>) {
        if ops.is_empty() {
            return;
        }
        let at = (self.clock)();
        let is_stalled = self.shared.meters.is_stalled(at.uptime);
        let mut guard = self.shared.lock();
        let inbox = &mut *guard;
        for op in ops.drain(..) {
            match op {
                JournalOp::Intent { id, .. }
                    if is_stalled || inbox.stopped || inbox.waiting() >= WAITING_MAX =>
                {
                    inbox.verdicts.push(Verdict::Failed(id));
                    if is_stalled && !inbox.stalled && !inbox.stopped {
                        error!(self.shared.log, "the journal takes no new transactions"; "reason" => "the disk stalls",
                            "file" => %self.shared.path.display());
                        inbox.stalled = true;
                    }
                }
                // Nobody is there to write it; the start after this reads what was written.
                _ if inbox.stopped => {}
                op => {
                    inbox.intents += usize::from(matches!(op, JournalOp::Intent { .. }));
                    inbox.entries.push(Entry { op, at });
                }
            }
        }
        self.shared.meters.waiting(inbox.waiting(), inbox.oldest_end());
        let intents = inbox.intents;
        let wake = inbox.wake_at.take_if(|wake_at| intents >= *wake_at);
        drop(guard);
        if wake.is_some() {
            self.shared.wake.notify_one();
        }
    }

    fn poll_verdicts(&mut self, cx: &mut Context<'_>, verdicts: &mut Vec<Verdict>) -> Poll<()> {
        let mut inbox = self.shared.lock();
        if inbox.verdicts.is_empty() {
            inbox.verdict_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        verdicts.append(&mut inbox.verdicts);
        Poll::Ready(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inbox = self.shared.lock();
        if inbox.waiting() == 0 || inbox.stopped {
            return Poll::Ready(());
        }
        inbox.flush_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let until = Instant::now() + CLOSE_PATIENCE;
        let mut inbox = self.shared.lock();
        inbox.stop = true;
        self.shared.wake.notify_one();
        while !inbox.stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.done.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(inbox);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells those who wait that the thread has ended.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        let mut inbox = self.0.lock();
        inbox.stopped = true;
        for entry in std::mem::take(&mut inbox.entries) {
            if let JournalOp::Intent { id, .. } = entry.op {
                inbox.verdicts.push(Verdict::Failed(id));
            }
        }
        let wakers = [inbox.verdict_waker.take(), inbox.flush_waker.take()];
        drop(inbox);
        self.0.meters.ended();
        self.0.done.notify_all();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
