//! How listeners and admin reach an upstream: a [`Handle`] to clone, and a [`Session`] for each client.
//!
//! Everything goes through one queue, so that its order holds: a session's `delivered` comes before its next `submit`,
//! and its end after all that it has submitted. The queue is unbounded by type and bounded by construction: at most
//! [`Policy::submits_max`] requests wait in it (more are refused), and each has at most a delivery and an acknowledgement to follow.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::counts::Counts;
use super::mailbox::{Mailbox, Notices};
use super::queue;
use super::report::LinkTally;
use crate::iso8583::Mti;
use crate::mux::{
    Census, Failure, Objection, Order, Outcome, Outcomes, Record, Statistics, Status, Tally, Timings, TxId,
};
use crate::rules::{KeyFields, Request};

/// So many requests may wait for the driver's attention, however small `maxQueue` is.
pub const SUBMITS_MIN: usize = 8192;

/// Reaches one upstream. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: queue::Sender<Command>,
    shared: Arc<Shared>,
}

/// What a listener must know of an upstream's policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The fields by which it finds answers.
    pub key_fields: KeyFields,
    /// Arrival to deadline.
    pub queue_timeout: Duration,
    /// `maxQueue`.
    pub queue_max: usize,
    /// `reversalOnDisconnect: immediate`: a client that closes its sending side counts as gone, as in SocketQueue.
    pub reverse_on_disconnect: bool,
}

impl Policy {
    /// Requests that may wait for the driver's attention: as many as the core may hold, so that this bound is not the
    /// one that is met first, and at least [`SUBMITS_MIN`]. Reaching it refuses with [`Failure::QueueFull`].
    pub fn submits_max(&self) -> usize {
        self.queue_max.max(SUBMITS_MIN)
    }
}

/// Number of an open transaction within its session, chosen by the session. It may be used again as soon as its
/// transaction was confirmed ([`Session::delivered`], [`Session::delivery_failed`]) or failed.
pub type Slot = u16;

/// What an upstream tells a session.
#[derive(Debug)]
pub enum Notice {
    /// The end of a transaction. An answer is to be confirmed with [`Session::delivered`] or
    /// [`Session::delivery_failed`]; a failure needs nothing. A failure can follow an answer that was not confirmed in
    /// time; what was not written of that answer by then must not be written any more.
    Reply {
        /// Whose.
        slot: Slot,
        /// The transaction, if it was accepted.
        id: Option<TxId>,
        /// How it ended.
        outcome: Outcome,
    },
    /// The gateway is stopping: nothing new is taken.
    Draining,
    /// The upstream is no more: no reply will come.
    Gone,
}

/// Counters and gauges of one upstream.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken (uptime).
    pub at: Duration,
    /// Whether it takes no new requests any more.
    pub draining: bool,
    /// `maxQueue`.
    pub queue_max: usize,
    /// The counters of its core.
    pub tally: Tally,
    /// What stands where in it. Walked through at most once in [`CENSUS_AGE_MAX`]; else the one before.
    pub census: Census,
    /// How transactions ended.
    pub outcomes: Outcomes,
    /// How long things took.
    pub timings: Timings,
    /// What happened, by cause.
    pub counts: Counts,
    /// Those of its link.
    pub link: LinkTally,
    /// Whether the journal takes intents. While it does not, financial requests are refused.
    pub journal_up: bool,
    /// The numbers of the statistics server.
    pub statistics: Statistics,
}

/// A census may be so old.
pub const CENSUS_AGE_MAX: Duration = Duration::from_secs(1);

/// One open or parked transaction, for people: nothing in it is card data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id, as in the logs.
    pub request: TxId,
    /// Its request's MTI.
    pub mti: Mti,
    /// Its key fields by name, masked.
    pub key: Vec<(&'static str, String)>,
    /// Where it is (see [`crate::mux::View::state`]).
    pub state: &'static str,
    /// Since its arrival.
    pub age: Duration,
    /// How often its reversal or advice was sent.
    pub attempts: u32,
}

/// Who is at the other end of a session, as logs name it: `tcp:127.0.0.1:4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// What it speaks.
    pub scheme: &'static str,
    /// Its address.
    pub peer: SocketAddr,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.peer)
    }
}

/// What remained when an upstream came to rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Reversals and advices not yet accepted by the host.
    pub owed: usize,
    /// Whether a journal keeps them for the next start.
    pub durable: bool,
    /// The numbers of the statistics server, for their dump.
    pub statistics: Statistics,
}

/// What goes to the driver.
pub(super) enum Command {
    Open(Arc<Seat>),
    Closed(Arc<Seat>),
    Submit { seat: Arc<Seat>, slot: Slot, request: Arc<Request>, record: Option<Box<Record>> },
    Recall { seat: Arc<Seat>, slot: Slot, record: Box<Record> },
    Delivered { seat: Arc<Seat>, slot: Slot, id: TxId },
    DeliveryFailed { seat: Arc<Seat>, slot: Slot, id: TxId },
    Acknowledged(SmallVec<[TxId; 4]>),
    Undelivered(SmallVec<[TxId; 4]>),
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    Oldest { most: usize, reply: oneshot::Sender<Vec<Standing>> },
    SetStatistics(Box<Statistics>),
    Status { id: TxId, reply: oneshot::Sender<Option<Status>> },
    Operate { order: Order, reply: oneshot::Sender<Result<(), Objection>> },
    Find { key: [u8; 32], reply: oneshot::Sender<Option<TxId>> },
    ForgetCauses,
    Drain { within: Duration, done: oneshot::Sender<Drained> },
}

/// What handle, sessions and driver share.
pub(super) struct Shared {
    policy: Policy,
    /// Requests in the queue.
    waiting: AtomicUsize,
}

impl Shared {
    /// The driver has taken `count` requests off the queue.
    pub(super) fn taken(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

/// A session's place in the driver's table, and its mailbox.
pub(super) struct Seat {
    /// Index and generation, written and read by the driver alone.
    place: AtomicU64,
    mailbox: Mailbox,
    who: Option<Who>,
}

impl Seat {
    /// Who it is, if the driver is to dump what it says and gets at `vv`.
    pub(super) fn who(&self) -> Option<Who> {
        self.who
    }

    pub(super) fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    pub(super) fn set_place(&self, place: u64) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// Tells the session. One that is gone has said or will say so by [`Command::Closed`]; nobody misses the notice.
    #[inline(always)]
    pub(super) fn tell(&self, notice: Notice) {
        self.mailbox.put(notice);
    }
}

impl Handle {
    /// A handle, and the driver's end of it.
    pub(super) fn new(policy: Policy) -> (Handle, queue::Receiver<Command>, Arc<Shared>) {
        let (commands, queue) = queue::queue();
        let shared = Arc::new(Shared { policy, waiting: AtomicUsize::new(0) });
        (Handle { commands, shared: shared.clone() }, queue, shared)
    }

    /// The upstream's policy, as far as it concerns a listener.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Opens a session for one client. Dropping it ends it: requests without an answer lose their client, answers that
    /// were not confirmed count as not delivered.
    pub fn session(&self) -> Session {
        self.seat(None)
    }

    /// The same for a client that the log names: at `vv` the driver dumps its requests and their answers, each with its
    /// transaction's id, and the listener does not.
    pub fn session_of(&self, who: Who) -> Session {
        self.seat(Some(who))
    }

    fn seat(&self, who: Option<Who>) -> Session {
        let seat = Arc::new(Seat { place: AtomicU64::new(u64::MAX), mailbox: Mailbox::default(), who });
        let session = Session { handle: self.clone(), seat };
        session.send(Command::Open(session.seat.clone()));
        session
    }

    /// Counters and gauges; `None` when the upstream is no more.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (reply, snapshot) = oneshot::channel();
        self.send(Command::Snapshot(reply));
        snapshot.await.ok().map(|snapshot| *snapshot)
    }

    /// The oldest `most` open or parked transactions; `None` when the upstream is no more.
    pub async fn oldest(&self, most: usize) -> Option<Vec<Standing>> {
        let (reply, oldest) = oneshot::channel();
        self.send(Command::Oldest { most, reply });
        oldest.await.ok()
    }

    /// Sets the numbers of the statistics server: to zero, or to what they were before a restart. Metrics go on.
    pub fn set_statistics(&self, statistics: Statistics) {
        self.send(Command::SetStatistics(Box::new(statistics)));
    }

    /// The truth about one transaction: open, or remembered because it was submitted with a [`Record`].
    pub async fn status(&self, id: TxId) -> Option<Status> {
        let (reply, status) = oneshot::channel();
        self.send(Command::Status { id, reply });
        status.await.ok().flatten()
    }

    /// A person decides about a parked or listed transaction.
    ///
    /// # Errors
    /// Why the order is not carried out; [`Objection::Unknown`] also when the upstream is no more.
    pub async fn operate(&self, order: Order) -> Result<(), Objection> {
        let (reply, result) = oneshot::channel();
        self.send(Command::Operate { order, reply });
        result.await.unwrap_or(Err(Objection::Unknown))
    }

    /// The transaction that is remembered under this key of a [`Record`].
    pub async fn find(&self, key: [u8; 32]) -> Option<TxId> {
        let (reply, found) = oneshot::channel();
        self.send(Command::Find { key, reply });
        found.await.ok().flatten()
    }

    /// Forgets which causes of trouble were logged before, so that each is logged once more.
    pub fn forget_causes(&self) {
        self.send(Command::ForgetCauses);
    }

    /// Takes no new requests, and comes to rest within `within`: what is in flight is answered, what is queued is sent
    /// while there is time, reversals get a try. `None` when the upstream was no more.
    pub async fn drain(&self, within: Duration) -> Option<Drained> {
        let (done, drained) = oneshot::channel();
        self.send(Command::Drain { within, done });
        drained.await.ok()
    }

    /// A driver that is no more has nothing left to be told; who waits for its reply finds the way back closed.
    fn send(&self, command: Command) {
        self.commands.send(command);
    }
}

/// One client's connection to an upstream.
pub struct Session {
    handle: Handle,
    seat: Arc<Seat>,
}

impl Session {
    /// Submits a request under `slot`. Exactly one [`Notice::Reply`] follows when this is `Ok`.
    ///
    /// # Errors
    /// [`Failure::QueueFull`] when [`Policy::submits_max`] requests wait for the driver; [`Failure::Draining`] when it is no more.
    /// The request then has gone nowhere.
    pub fn submit(&self, slot: Slot, request: Arc<Request>) -> Result<(), Failure> {
        self.submit_with(slot, request, None)
    }

    /// The same for a request that is to be remembered: see [`Record`].
    ///
    /// # Errors
    /// As [`Session::submit`].
    pub fn submit_recorded(&self, slot: Slot, request: Arc<Request>, record: Record) -> Result<(), Failure> {
        self.submit_with(slot, request, Some(Box::new(record)))
    }

    fn submit_with(
        &self,
        slot: Slot,
        request: Arc<Request>,
        record: Option<Box<Record>>,
    ) -> Result<(), Failure> {
        let shared = &self.handle.shared;
        if shared.waiting.fetch_add(1, Ordering::Relaxed) >= shared.policy.submits_max() {
            shared.taken(1);
            return Err(Failure::QueueFull);
        }
        let command = Command::Submit { seat: self.seat.clone(), slot, request, record };
        if !self.handle.commands.send(command) {
            shared.taken(1);
            return Err(Failure::Draining);
        }
        Ok(())
    }

    /// Asks again for what was submitted with this record before: nothing is sent. What is not known by it is refused
    /// with [`Failure::Expired`]. Exactly one [`Notice::Reply`] follows.
    pub fn recall(&self, slot: Slot, record: Record) {
        self.send(Command::Recall { seat: self.seat.clone(), slot, record: Box::new(record) });
    }

    /// Every byte of the reply was taken by the client's socket (and acknowledged, where the client has closed its
    /// sending side). `slot` is free again.
    pub fn delivered(&self, slot: Slot, id: TxId) {
        self.send(Command::Delivered { seat: self.seat.clone(), slot, id });
    }

    /// The reply could not be written. `slot` is free again.
    pub fn delivery_failed(&self, slot: Slot, id: TxId) {
        self.send(Command::DeliveryFailed { seat: self.seat.clone(), slot, id });
    }

    /// The client's TCP has acknowledged these replies, delivered before.
    pub fn acknowledged(&self, ids: SmallVec<[TxId; 4]>) {
        self.send(Command::Acknowledged(ids));
    }

    /// The connection failed, and the last bytes of these replies, delivered before, were not acknowledged.
    pub fn undelivered(&self, ids: SmallVec<[TxId; 4]>) {
        self.send(Command::Undelivered(ids));
    }

    /// The fields by which the upstream finds answers.
    pub fn key_fields(&self) -> &KeyFields {
        &self.handle.shared.policy.key_fields
    }

    /// Arrival to deadline.
    pub fn queue_timeout(&self) -> Duration {
        self.handle.shared.policy.queue_timeout
    }

    /// Whether a client that closes its sending side counts as gone.
    pub fn reverses_on_disconnect(&self) -> bool {
        self.handle.shared.policy.reverse_on_disconnect
    }

    /// The notices that wait, in order. The task is woken when the next one comes.
    pub fn poll_notices(&mut self, cx: &mut Context<'_>) -> Poll<Notices> {
        self.seat.mailbox.poll_take(cx)
    }

    /// Its place in the driver's table.
    #[cfg(test)]
    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    fn send(&self, command: Command) {
        self.handle.send(command);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.send(Command::Closed(self.seat.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::iso8583::{Draft, Mti, field};
    use crate::rules;
    use crate::time::Now;

    fn echo() -> Arc<Request> {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let mut draft = Draft::new(&dialect.schema, Mti::new(0x0800));
        draft.set(field::PROCESSING_CODE, b"990000").set(field::TRANSMISSION_TIME, b"1122030405");
        draft.set(field::STAN, b"000001").set(field::FUNCTION_CODE, b"831").set(field::TID, b"00000001");
        let keys = KeyFields(vec![field::STAN, field::TID]);
        Arc::new(rules::prepare(&dialect, &keys, draft.finish().unwrap(), Now::default()).unwrap())
    }

    fn policy(queue_max: usize) -> Policy {
        Policy {
            name: "host".into(),
            key_fields: KeyFields(Vec::new()),
            queue_timeout: Duration::ZERO,
            queue_max,
            reverse_on_disconnect: false,
        }
    }

    #[test]
    fn as_many_requests_may_wait_for_the_driver_as_the_core_may_hold_and_no_few() {
        for (queue_max, submits_max) in [(0, 8192), (100, 8192), (8192, 8192), (8193, 8193), (20_000, 20_000)]
        {
            assert_eq!(policy(queue_max).submits_max(), submits_max);
        }
    }

    #[test]
    fn at_the_bound_of_waiting_requests_one_more_is_refused_at_once() {
        let queue_max = SUBMITS_MIN + 1;
        let (handle, queue, shared) = Handle::new(policy(queue_max));
        let session = handle.session();
        for _ in 0..queue_max {
            assert_eq!(session.submit(0, echo()), Ok(()));
        }
        assert_eq!(session.submit(0, echo()), Err(Failure::QueueFull));
        shared.taken(1);
        assert_eq!(session.submit(0, echo()), Ok(()));
        drop(queue);
        shared.taken(1);
        assert_eq!(session.submit(0, echo()), Err(Failure::Draining));
    }
}
