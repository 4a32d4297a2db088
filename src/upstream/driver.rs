//! The driver: the one task that owns an upstream's core, its link and the table of its sessions.
//!
//! It is one poll function. A pass looks at each source once, with a bound on how much it takes (no source can starve
//! another), hands everything to the core, carries out what the core yields, pulls messages into the output buffer and
//! writes them in one go. It goes round until nothing is left to do. Nothing in it awaits: a write that blocks never
//! keeps it from reading.

mod dump;
mod snapshot;
mod wire;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use slog::{Drain, Logger};
use tokio::sync::oneshot;

use super::Settings;
use super::backoff::Backoff;
use super::handle::{Command, Drained, Handle, Notice, Policy, Shared};
use super::link::{Link, Source};
use super::queue;
use super::report::{Down, Report};
use super::sessions::{Orphan, Sessions};
use crate::dialect::{Dialect, RequestClass};
use crate::iso8583::mask::MaskStyle;
use crate::journal::{Journal, Verdict};
use crate::mux::{Action, Census, Event, JournalOp, Mux, Objection, Outcome, Recovered, Remembered, TxId};
use crate::net::{Alarm, Stream, TimeSource};
use crate::time::Now;

/// Commands taken in one pass.
const COMMANDS_MAX: usize = 512;
/// Passes before other tasks get their turn.
const PASSES_MAX: usize = 8;
/// After the core has come to rest: how long the last bytes and the journal may still take.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// What a driver is made of, besides its settings.
pub struct Parts<S> {
    /// How the host writes.
    pub dialect: Arc<Dialect>,
    /// Where links come from.
    pub source: Source<S>,
    /// The time.
    pub clock: TimeSource,
    /// The journal; `None` when the core is not `journaled`.
    pub journal: Option<Box<dyn Journal>>,
    /// Where it logs.
    pub log: Logger,
    /// How card numbers in keys are shown.
    pub mask: MaskStyle,
    /// Seed of the jitter between attempts to connect.
    pub seed: u64,
}

/// The task of one upstream. Made by [`Driver::new`], run by [`Driver::run`].
pub struct Driver<S> {
    settings: Settings,
    dialect: Arc<Dialect>,
    clock: TimeSource,
    mux: Mux,
    link: Link<S>,
    sessions: Sessions,
    journal: Option<Box<dyn Journal>>,
    report: Report,
    log: Logger,
    /// Whether it logs so much, as of the last poll.
    logs_debug: bool,
    logs_trace: bool,
    mask: MaskStyle,

    queue: queue::Receiver<Command>,
    shared: Arc<Shared>,
    /// The last handle is gone.
    abandoned: bool,

    /// Bytes from the host that are not taken yet, and whether whole frames may be among them.
    input: BytesMut,
    more_frames: bool,
    /// Bytes pulled for the link that is there now. They die with it.
    output: BytesMut,
    envelopes: VecDeque<(Bytes, Bytes)>,
    next_rrn: u64,

    /// Taken off the queue, not carried out yet.
    commands: VecDeque<Command>,
    orphans: Vec<Orphan>,
    ops: Vec<JournalOp>,
    verdicts: Vec<Verdict>,

    /// The census taken last, and when.
    census: Option<(Duration, Census)>,
    /// The transaction accepted last.
    last_accepted: Option<TxId>,

    alarm: Alarm,
    /// Since when the output could not be written.
    stalled: Option<Duration>,
    /// Bytes either way, or the last time that idleness was looked at.
    active: Duration,

    /// What became of a person's order just given.
    operated: Option<Result<(), Objection>>,
    draining: Option<oneshot::Sender<Drained>>,
    /// What the core owes, once it has come to rest; and until when the last bytes may take.
    rest: Option<(usize, Duration)>,
}

impl<S: Stream> Driver<S> {
    /// A driver and the handle to it. Nothing happens before [`Driver::run`].
    pub fn new(settings: Settings, parts: Parts<S>) -> (Driver<S>, Handle) {
        let policy = Policy {
            name: settings.name.clone(),
            key_fields: settings.mux.key_fields.clone(),
            queue_timeout: settings.mux.queue_timeout,
            queue_max: settings.mux.queue_max,
            reverse_on_disconnect: settings.mux.reverse_on_disconnect,
        };
        let (handle, queue, shared) = Handle::new(policy);
        let backoff = Backoff::new(settings.backoff_first, settings.backoff_max, parts.seed);
        let now = (parts.clock)();
        let driver = Driver {
            mux: Mux::new(settings.mux.clone()),
            link: Link::new(parts.source, backoff),
            sessions: Sessions::default(),
            journal: parts.journal,
            report: Report::new(parts.log.clone(), parts.mask, settings.mux.key_fields.clone()),
            logs_debug: parts.log.is_debug_enabled(),
            logs_trace: parts.log.is_trace_enabled(),
            log: parts.log,
            mask: parts.mask,
            queue,
            shared,
            abandoned: false,
            input: BytesMut::new(),
            more_frames: false,
            output: BytesMut::new(),
            envelopes: VecDeque::new(),
            // Twelve digits that go on from where the process before stood, as long as it gave out fewer than a
            // thousand a second.
            next_rrn: now.wall_ms.unsigned_abs(),
            commands: VecDeque::new(),
            orphans: Vec::new(),
            ops: Vec::new(),
            verdicts: Vec::new(),
            census: None,
            last_accepted: None,
            alarm: Alarm::default(),
            stalled: None,
            active: now.uptime,
            operated: None,
            draining: None,
            rest: None,
            dialect: parts.dialect,
            clock: parts.clock,
            settings,
        };
        (driver, handle)
    }

    /// Takes over what the journal had open at start, and those that it remembers for those who ask: the open ones in
    /// the order in which they came, the others oldest end first. Before [`Driver::run`].
    pub fn recover(&mut self, open: Vec<Recovered>, remembered: Vec<Remembered>) {
        let now = (self.clock)();
        for remembered in remembered {
            self.mux.handle(now, Event::Remember(Box::new(remembered)));
        }
        for recovered in open {
            self.mux.handle(now, Event::Recover(Box::new(recovered)));
            self.carry_out();
        }
        self.journal_ops();
    }

    /// Numbers its transactions after `id`, the last of the processes before. Before [`Driver::run`].
    pub fn number_after(&mut self, id: TxId) {
        self.mux.number_after(id);
    }

    /// What is left of the answer of one that was handed to [`Driver::recover`] as remembered.
    pub fn remember_answer(&mut self, was: TxId, answer: Bytes, class: RequestClass) {
        self.mux.remember_answer(was, answer, class);
    }

    /// Runs until it has been drained, or until the last handle and session are gone.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (self.logs_debug, self.logs_trace) = (self.log.is_debug_enabled(), self.log.is_trace_enabled());
        self.mux.tell_deliveries(self.logs_debug);
        for _ in 0..PASSES_MAX {
            let now = (self.clock)();
            let mut busy = self.take_commands(cx, now);
            busy |= self.take_link_events(cx, now);
            busy |= self.take_bytes(cx, now);
            busy |= self.take_verdicts(cx, now);
            // Events first: what came before the deadline is not late because the timer was looked at before.
            if self.mux.poll_timeout().is_some_and(|due| due <= now.uptime) {
                self.mux.handle_timeout(now);
                busy = true;
            }
            self.carry_out();
            self.pull(now);
            self.carry_out();
            busy |= self.journal_ops();
            busy |= self.write(cx, now);
            busy |= self.check_link(now);
            if self.is_over(cx, now) {
                return Poll::Ready(());
            }
            if !busy && self.arm(cx, now).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_commands(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.commands.is_empty() && !self.abandoned {
            match self.queue.poll_take(cx, &mut self.commands) {
                Poll::Ready(more) => self.abandoned = !more,
                Poll::Pending => return false,
            }
        }
        let mut submits = 0;
        let mut taken = 0;
        while taken < COMMANDS_MAX
            && let Some(command) = self.commands.pop_front()
        {
            taken += 1;
            submits += usize::from(matches!(command, Command::Submit { .. }));
            self.on_command(command, now);
        }
        if submits > 0 {
            self.shared.taken(submits);
        }
        taken > 0
    }

    fn on_command(&mut self, command: Command, now: Now) {
        match command {
            Command::Recall { seat, slot, record } => {
                if let Some(client) = self.sessions.submitted(&seat, slot) {
                    self.mux.handle(now, Event::Recall { client, record: *record });
                    self.carry_out();
                }
            }
            Command::Find { key, reply } => drop(reply.send(self.mux.find(&key))),
            Command::Submit { seat, slot, request, record } => {
                if let Some(client) = self.sessions.submitted(&seat, slot) {
                    let shown = seat.who().filter(|_| self.logs_trace);
                    let shown = shown.map(|who| (who, request.message().clone()));
                    self.mux
                        .handle(now, Event::Submit { client, request, record: record.map(|record| *record) });
                    if let Some((who, message)) = shown {
                        self.dump_request(who, &message);
                    }
                    // At once: its acceptance must be noted before the session's end can follow in the same batch.
                    self.carry_out();
                }
            }
            Command::Delivered { seat, slot, id } => {
                self.sessions.confirmed(&seat, slot, id);
                self.mux.handle(now, Event::Delivered { id });
            }
            Command::DeliveryFailed { seat, slot, id } => {
                self.sessions.confirmed(&seat, slot, id);
                self.mux.handle(now, Event::DeliveryFailed { id });
            }
            Command::Acknowledged(ids) => {
                for id in ids {
                    self.mux.handle(now, Event::Acknowledged { id });
                }
            }
            Command::Undelivered(ids) => {
                for id in ids {
                    self.mux.handle(now, Event::DeliveryLost { id });
                }
            }
            Command::Open(seat) => {
                let notice = self.draining.is_some().then(|| seat.clone());
                if self.sessions.open(seat)
                    && let Some(seat) = notice
                {
                    seat.tell(Notice::Draining);
                }
            }
            Command::Closed(seat) => {
                self.sessions.close(&seat, &mut self.orphans);
                for orphan in self.orphans.drain(..) {
                    let event = match orphan {
                        Orphan::Waiting(id) => Event::ClientGone { id },
                        Orphan::Unconfirmed(id) => Event::DeliveryFailed { id },
                    };
                    self.mux.handle(now, event);
                }
            }
            Command::Snapshot(reply) => {
                let _ = reply.send(Box::new(self.snapshot(now)));
            }
            Command::Oldest { most, reply } => {
                let _ = reply.send(self.oldest(most, now));
            }
            Command::SetStatistics(statistics) => self.mux.set_statistics(*statistics),
            Command::Status { id, reply } => {
                let _ = reply.send(self.mux.status(id));
            }
            Command::Operate { order, reply } => {
                self.mux.handle(now, Event::Operator(order));
                self.carry_out();
                let _ = reply.send(self.operated.take().unwrap_or(Err(Objection::Unknown)));
            }
            Command::ForgetCauses => self.report.forget_causes(),
            Command::Drain { within, done } => {
                self.draining = Some(done);
                self.mux.handle(now, Event::Drain { deadline: now.uptime + within });
                self.sessions.tell_all(|| Notice::Draining);
            }
        }
    }

    fn take_verdicts(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        if journal.poll_verdicts(cx, &mut self.verdicts).is_pending() {
            return false;
        }
        for verdict in self.verdicts.drain(..) {
            let event = match verdict {
                Verdict::Durable(id) => Event::Durable { id },
                Verdict::Failed(id) => Event::JournalFailed { id, unknown: false },
                Verdict::Unknown(id) => Event::JournalFailed { id, unknown: true },
                Verdict::Up => Event::JournalUp,
            };
            self.mux.handle(now, event);
        }
        true
    }

    /// Carries out what the core wants done. The number of replies handed to sessions.
    fn carry_out(&mut self) -> usize {
        let mut replies = 0;
        while let Some(action) = self.mux.poll_action() {
            match action {
                Action::Accepted { id, client } => {
                    self.sessions.accepted(client, id);
                    self.last_accepted = Some(id);
                    if self.logs_debug
                        && let Some(view) = self.mux.view(id)
                    {
                        self.report.accepted(id, view.mti, &view.key);
                    }
                }
                Action::Reply { id, client, outcome } => {
                    match &outcome {
                        Outcome::Answered { bytes, .. } if self.logs_trace => {
                            self.dump_reply(client, id, bytes);
                        }
                        Outcome::Answered { .. } | Outcome::Known(_) => {}
                        Outcome::Failed(failure) => self.report.failed(*failure),
                    }
                    match self.sessions.reply(client, id, outcome) {
                        true => replies += 1,
                        false => self.report.nobody_waits(id),
                    }
                }
                Action::Journal(op) => self.ops.push(op),
                Action::Fact(fact) => self.report.fact(&fact),
                // The journal was told by an operation of its own.
                Action::Recovered { .. } => {}
                Action::Operated { result, .. } => self.operated = Some(result),
                Action::Drained { owed } => {
                    let now = (self.clock)();
                    self.rest = Some((owed, now.uptime + LAST_BYTES));
                }
            }
        }
        replies
    }

    /// Hands what is to be journaled over, in one batch. `true`: verdicts may be in.
    fn journal_ops(&mut self) -> bool {
        if self.ops.is_empty() {
            return false;
        }
        match &mut self.journal {
            Some(journal) => {
                journal.submit(&mut self.ops);
                true
            }
            None => {
                debug_assert!(false, "the core journals and there is no journal");
                self.ops.clear();
                false
            }
        }
    }

    /// Whether the work is done: everything at rest and written, or nobody left to work for.
    fn is_over(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.abandoned && self.draining.is_none() {
            return true;
        }
        let Some((owed, until)) = self.rest else { return false };
        let in_time = now.uptime < until;
        if in_time && self.link.is_up() && !self.output.is_empty() {
            return false;
        }
        let durable = self.journal.as_ref().is_some_and(|journal| journal.is_durable());
        if let Some(journal) = &mut self.journal
            && in_time
            && journal.poll_flush(cx).is_pending()
        {
            return false;
        }
        if self.link.is_up() {
            self.report.link_down(&Down::Stopped, Duration::ZERO);
        }
        self.link.close();
        self.report.drained(owed, durable);
        if let Some(done) = self.draining.take() {
            let _ = done.send(Drained { owed, durable, statistics: self.mux.statistics().clone() });
        }
        true
    }

    /// Sets the alarm to the next moment at which something is due. Ready: that moment may have come.
    fn arm(&mut self, cx: &mut Context<'_>, now: Now) -> Poll<()> {
        let idle =
            self.settings.idle_timeout.filter(|_| self.link.is_up()).map(|timeout| self.active + timeout);
        let stall = self.stalled.map(|since| since + self.settings.write_stall);
        let rest = self.rest.map(|(_, until)| until);
        let next = [self.mux.poll_timeout(), idle, stall, rest].into_iter().flatten().min();
        self.alarm.poll(cx, next, now.uptime)
    }
}

impl<S> Drop for Driver<S> {
    /// Also when it panics: sessions must not wait for replies that will not come.
    fn drop(&mut self) {
        self.sessions.tell_all(|| Notice::Gone);
    }
}
