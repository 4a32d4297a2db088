//! The one thread that writes.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};

use super::batch::{Batch, Entry};
use super::connection::Trouble;
use super::gather::{self, Pause, Waiting};
use super::store::{Applied, Done, Store};
use super::syncs::{Committed, Syncs};
use super::{Inbox, Shared, first_end};
use crate::journal::place::{Place, RESERVE_BYTES};
use crate::journal::{Durability, Verdict};
use crate::mux::{JournalOp, TxId};
use crate::net::TimeSource;

/// Operations of one commit at most: what waits longer than the disk needs for so many is served in turns.
const BATCH_MAX: usize = 4096;
/// From one sweep to the next, so that images are gone within a minute after `lateWindow`.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// After a failure: first pause before trying again; doubled up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The longest pause while the disk is full: ends go on being written then.
const RETRY_MAX_FULL: Duration = Duration::from_millis(250);
/// Attempts to write what is left when the process stops and the disk fails.
const LAST_ATTEMPTS: u32 = 3;

pub(super) struct Writer {
    store: Store,
    place: Place,
    /// The file that was opened.
    file_id: Option<(u64, u64)>,
    shared: Arc<Shared>,
    syncs: Syncs,
    clock: TimeSource,
    log: Logger,
    queue: VecDeque<Entry>,
    verdicts: Vec<Verdict>,
    /// Why intents are not taken.
    down: Option<Trouble>,
    /// Intents of which it is not known whether they are in the file.
    doubtful: Vec<TxId>,
    /// The file has to be closed and opened anew before it is written to again.
    must_reopen: bool,
    reserve_held: bool,
    retry_at: Instant,
    retry_after: Duration,
    sweep_at: Instant,
    sweep_wanted: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        place: Place,
        shared: Arc<Shared>,
        syncs: Syncs,
        clock: TimeSource,
        log: Logger,
    ) -> Writer {
        let now = Instant::now();
        let mut writer = Writer {
            store,
            file_id: place.file_id(),
            place,
            shared,
            syncs,
            clock,
            log,
            queue: VecDeque::new(),
            verdicts: Vec::new(),
            down: None,
            doubtful: Vec::new(),
            must_reopen: false,
            reserve_held: false,
            retry_at: now,
            retry_after: RETRY_FIRST,
            sweep_at: now + SWEEP_EVERY,
            sweep_wanted: None,
        };
        match writer.place.hold_reserve() {
            Ok(()) => writer.reserve_held = true,
            Err(error) => writer.fail(Trouble::of_io(&error)),
        }
        if let Err(error) = writer.store.leave_syncs() {
            writer.fail(Trouble::of(&error));
        }
        writer
    }

    pub(super) fn run(mut self) {
        let mut last_attempts = LAST_ATTEMPTS;
        loop {
            let stop = self.take();
            self.see_to_syncs();
            if self.down.is_some() {
                self.refuse_intents();
                self.repair(stop);
            }
            while self.down.is_none() && !self.queue.is_empty() {
                if !stop {
                    self.gather();
                }
                self.begin_work();
                self.commit_next();
                self.publish();
                if self.store.keep_log_short() {
                    self.begin_work();
                    self.store.begin_log_anew();
                    self.publish();
                }
            }
            self.sweep();
            self.publish();
            if stop {
                last_attempts -= 1;
                self.syncs.settle();
                let is_done = self.queue.is_empty() && !self.shared.lock().sync_failed;
                if is_done || last_attempts == 0 {
                    break;
                }
            }
        }
        self.end();
    }

    /// Waits until there is something to do, and takes over what was handed in. Whether to stop.
    fn take(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut inbox = shared.lock();
        loop {
            let now = Instant::now();
            let due = match (&self.down, self.queue.is_empty()) {
                (Some(_), _) => self.retry_at.min(self.sweep_at),
                (None, false) => now,
                (None, true) => self.sweep_at,
            };
            let news = !inbox.entries.is_empty()
                || inbox.stop
                || inbox.sync_failed
                || inbox.sweeps_wanted > inbox.sweeps_done;
            if news || due <= now {
                break;
            }
            inbox.wake_at = Some(0);
            let waited = shared.wake.wait_timeout(inbox, due - now);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inbox.wake_at = None;
        self.sweep_wanted = (inbox.sweeps_wanted > inbox.sweeps_done).then_some(inbox.sweeps_wanted);
        self.take_over(&mut inbox);
        inbox.stop
    }

    /// Tells what is known since the last time.
    fn publish(&mut self) {
        self.shared.meters.rests();
        self.shared.meters.state(self.store.rows.open(), self.down.is_none());
        let mut inbox = self.shared.lock();
        inbox.down = self.down.is_some();
        inbox.verdicts.append(&mut self.verdicts);
        inbox.taken = self.queue.len();
        inbox.taken_end = first_end(self.queue.iter());
        if let Some(done) = self.sweep_wanted.take() {
            inbox.sweeps_done = done;
            self.shared.done.notify_all();
        }
        self.shared.publish(inbox, (self.clock)().uptime);
    }

    /// Waits for company, as long as that is worth it.
    fn gather(&mut self) {
        let shared = self.shared.clone();
        while let Some(pause) = self.pause() {
            let mut inbox = shared.lock();
            if inbox.intents < pause.intents && !inbox.stop {
                inbox.wake_at = Some(pause.intents);
                let waited = shared.wake.wait_timeout(inbox, pause.time);
                inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
                inbox.wake_at = None;
            }
            if inbox.entries.is_empty() || inbox.stop {
                return;
            }
            self.take_over(&mut inbox);
        }
    }

    fn pause(&self) -> Option<Pause> {
        let (now, took) = ((self.clock)().uptime, self.syncs.took());
        gather::pause(now, waiting(self.queue.iter())?, self.store.rows.underway(), took)
    }

    fn take_over(&mut self, inbox: &mut Inbox) {
        self.queue.extend(inbox.entries.drain(..));
        inbox.intents = 0;
        inbox.taken = self.queue.len();
        inbox.taken_end = first_end(self.queue.iter());
    }

    /// From here on the disk may stall.
    fn begin_work(&self) {
        self.shared.meters.begun((self.clock)().uptime);
    }

    /// One commit of what has waited longest. Whatever becomes of it, the queue has what is still to be done.
    fn commit_next(&mut self) {
        let len = self.queue.len().min(BATCH_MAX);
        let entries = &self.queue.make_contiguous()[..len];
        let batch = Batch::of(entries, &self.store.rows);
        tell_strays(&self.log, &batch);
        let is_empty = batch.changes.is_empty();
        let (begun, begun_at) = ((self.clock)().uptime, Instant::now());
        match self.store.apply(&batch, self.reserve_held) {
            Applied::Done(done) => {
                tell_bad(&self.log, &self.shared, done.bad.len());
                // Before it can be told durable: who is told then finds them so.
                self.shared.meters.state(self.store.rows.open(), true);
                let committed = self.committed(len, done, begun, begun_at);
                if is_empty || self.store.options.durability == Durability::Process {
                    self.is_durable(committed, is_empty);
                } else {
                    self.syncs.hand_over(committed);
                }
            }
            Applied::NotDone(trouble) => {
                self.shared.meters.failed(false);
                self.fail(trouble);
                self.refuse_intents();
            }
            Applied::Unknown(trouble) => {
                self.shared.meters.failed(true);
                let rest = self.queue.split_off(len);
                for entry in std::mem::take(&mut self.queue) {
                    match intent(&entry) {
                        Some(id) => {
                            self.doubtful.push(id);
                            self.verdicts.push(Verdict::Unknown(id));
                        }
                        None => self.queue.push_back(entry),
                    }
                }
                self.queue.extend(rest);
                self.must_reopen = true;
                self.fail(trouble);
                self.refuse_intents();
            }
        }
    }

    /// The first `len` of the queue are committed.
    fn committed(&mut self, len: usize, done: Done, begun: Duration, begun_at: Instant) -> Committed {
        let Done { bad, intents, before } = done;
        let (mut verdicts, mut rest) = (Vec::with_capacity(intents.len()), Vec::new());
        for entry in self.queue.drain(..len) {
            match intent(&entry) {
                Some(id) if bad.contains(&id.bits()) => verdicts.push(Verdict::Failed(id)),
                Some(id) => verdicts.push(Verdict::Durable(id)),
                None => rest.push(entry),
            }
        }
        if !bad.is_empty() {
            // The core takes a failed intent for the journal's failure; only the row was.
            verdicts.push(Verdict::Up);
        }
        Committed { verdicts, rest, intents, before, operations: len, begun, begun_at }
    }

    /// A commit that waits for no sync.
    fn is_durable(&mut self, committed: Committed, is_empty: bool) {
        if !is_empty {
            let Committed { operations, intents, begun_at, .. } = &committed;
            self.shared.meters.committed(*operations, intents.len(), begun_at.elapsed());
        }
        self.verdicts.extend(committed.verdicts);
    }

    /// What a failed sync left in the dark: intents are read back when the journal is opened anew, all else is done again.
    fn see_to_syncs(&mut self) {
        let has_failed = self.shared.lock().sync_failed;
        let Some((trouble, mut left)) = has_failed.then(|| self.syncs.take_failure()).flatten() else {
            return;
        };
        for committed in left.iter_mut().rev() {
            let (intents, before) = (&mut committed.intents, &mut committed.before);
            self.store.doubt(std::mem::take(intents), std::mem::take(before));
        }
        let mut again = VecDeque::new();
        for committed in left {
            again.extend(committed.rest);
            for verdict in committed.verdicts {
                match verdict {
                    Verdict::Durable(id) => {
                        self.doubtful.push(id);
                        self.verdicts.push(Verdict::Unknown(id));
                    }
                    // It is told when it is so.
                    Verdict::Up => {}
                    other => self.verdicts.push(other),
                }
            }
        }
        again.append(&mut self.queue);
        self.queue = again;
        self.shared.meters.failed(true);
        self.must_reopen = true;
        self.fail(trouble);
    }

    fn fail(&mut self, trouble: Trouble) {
        if self.down.as_ref() != Some(&trouble) {
            error!(self.log, "the journal takes no new transactions"; "reason" => %trouble,
                "file" => %self.store.path().display());
            if trouble == Trouble::Full {
                warn!(self.log, "the journal goes on when there is space for its reserve"; "mib" => RESERVE_BYTES >> 20,
                    "file" => %self.store.path().display());
            }
        }
        if trouble == Trouble::Full && self.reserve_held {
            self.place.release_reserve();
            self.place.reserve_log();
            self.reserve_held = false;
            // There is room now for what must not wait.
            self.retry_at = Instant::now();
        } else {
            self.retry_at = Instant::now() + self.retry_after;
            let longest = if trouble == Trouble::Full { RETRY_MAX_FULL } else { RETRY_MAX };
            self.retry_after = (self.retry_after * 2).min(longest);
        }
        self.must_reopen |= trouble != Trouble::Full;
        self.down = Some(trouble);
    }

    /// Intents fail while the journal is down; everything else is kept.
    fn refuse_intents(&mut self) {
        let verdicts = &mut self.verdicts;
        self.queue.retain(|entry| match intent(entry) {
            Some(id) => {
                verdicts.push(Verdict::Failed(id));
                false
            }
            None => true,
        });
    }

    /// Tries to come back. `now`: without waiting for the time of the next attempt.
    fn repair(&mut self, now: bool) {
        if !now && Instant::now() < self.retry_at {
            return;
        }
        if let Err(trouble) = self.try_repair() {
            self.fail(trouble);
            return;
        }
        self.down = None;
        self.retry_after = RETRY_FIRST;
        self.verdicts.push(Verdict::Up);
        info!(self.log, "the journal takes new transactions again"; "file" => %self.store.path().display());
    }

    fn try_repair(&mut self) -> Result<(), Trouble> {
        // It is not closed then: as long as the process lives, what is in it can be saved (/proc/PID/fd).
        self.is_in_its_place()?;
        if self.must_reopen {
            // What is in the log and not synced yet, is synced or left in the dark before the log is closed.
            self.syncs.settle();
            self.see_to_syncs();
            self.syncs.log_is_new();
            self.store.reopen()?;
            self.read_back()?;
            self.must_reopen = false;
        }
        self.store.sync_itself().map_err(|error| Trouble::of(&error))?;
        // What was kept comes first, whether or not there is room for more.
        while !self.queue.is_empty() {
            let len = self.queue.len().min(BATCH_MAX);
            let batch = Batch::of(&self.queue.make_contiguous()[..len], &self.store.rows);
            let begun = Instant::now();
            match self.store.apply(&batch, self.reserve_held) {
                Applied::Done(done) => {
                    self.shared.meters.committed(len, 0, begun.elapsed());
                    tell_bad(&self.log, &self.shared, done.bad.len());
                    self.queue.drain(..len);
                }
                Applied::NotDone(trouble) => {
                    self.shared.meters.failed(false);
                    return Err(trouble);
                }
                Applied::Unknown(trouble) => {
                    self.shared.meters.failed(true);
                    // They are the same when they are done again.
                    self.must_reopen = true;
                    return Err(trouble);
                }
            }
        }
        self.place.hold_reserve().map_err(|error| Trouble::of_io(&error))?;
        self.reserve_held = true;
        self.store.probe(self.reserve_held)
    }

    /// Somebody may have deleted the file, or put another one in its place.
    fn is_in_its_place(&self) -> Result<(), Trouble> {
        match self.place.file_id() == self.file_id {
            true => Ok(()),
            false => Err(Trouble::Error("its file was deleted or replaced".to_owned())),
        }
    }

    fn read_back(&mut self) -> Result<(), Trouble> {
        while let Some(id) = self.doubtful.last().copied() {
            let is_there = self.store.read_back(id.bits()).map_err(|error| Trouble::of(&error))?;
            self.doubtful.pop();
            self.verdicts.push(if is_there { Verdict::Durable(id) } else { Verdict::Failed(id) });
        }
        Ok(())
    }

    fn sweep(&mut self) {
        let is_full = self.down == Some(Trouble::Full) && !self.must_reopen;
        let may = self.down.is_none() || is_full;
        if !may || (self.sweep_wanted.is_none() && Instant::now() < self.sweep_at) {
            return;
        }
        loop {
            self.begin_work();
            let now = (self.clock)();
            let swept = self.is_in_its_place().and_then(|()| match is_full {
                true => self.store.sweep_when_full(now),
                false => self.store.sweep(now),
            });
            match swept {
                // What was handed in meanwhile is not kept waiting by an old journal's thousands.
                Ok(more)
                    if more && (self.sweep_wanted.is_some() || self.shared.lock().entries.is_empty()) => {}
                Ok(more) => {
                    self.sweep_at = Instant::now() + if more { Duration::ZERO } else { SWEEP_EVERY };
                    return;
                }
                Err(trouble) => {
                    self.sweep_at = Instant::now() + SWEEP_EVERY;
                    warn!(self.log, "the sweep of the journal failed"; "reason" => %trouble);
                    self.fail(trouble);
                    return;
                }
            }
        }
    }

    fn end(mut self) {
        self.publish();
        if !self.queue.is_empty() {
            error!(self.log, "stopped with operations that the journal did not take"; "operations" => self.queue.len());
        }
        self.store.close();
    }
}

fn tell_bad(log: &Logger, shared: &Shared, rows: usize) {
    if rows > 0 {
        shared.meters.bad_rows(rows);
        error!(log, "rows refused by the journal"; "rows" => rows);
    }
}

fn tell_strays(log: &Logger, batch: &Batch<'_>) {
    for id in &batch.strays {
        error!(log, "the journal has no row of a transaction that is owed: it will not outlive this process";
            "request" => %TxId::from_bits(*id));
    }
}

/// What waits for a commit, if anything does.
fn waiting<'e>(entries: impl Iterator<Item = &'e Entry> + Clone) -> Option<Waiting> {
    let oldest = entries.clone().next()?.at.uptime;
    let mut intents = entries.filter(|entry| intent(entry).is_some());
    let Some(first) = intents.next() else {
        return Some(Waiting { intents: 0, oldest, oldest_intent: oldest });
    };
    Some(Waiting { intents: 1 + intents.count(), oldest, oldest_intent: first.at.uptime })
}

fn intent(entry: &Entry) -> Option<TxId> {
    match entry.op {
        JournalOp::Intent { id, .. } => Some(id),
        _ => None,
    }
}
