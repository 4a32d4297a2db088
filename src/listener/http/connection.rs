//! One connection: its socket, its session with the upstream, its transactions, and how far their answers have come.
//!
//! hyper (by [`super::io::Wire`]), the handlers (by [`Client`]) and the task that runs both ([`super::serve`]) all act on
//! the one [`Connection`]. They are parts of one task, so its mutex is never waited for.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::response::Response;
use bytes::BytesMut;
use smallvec::SmallVec;

use super::Listener;
use crate::dialect::RequestClass;
use crate::listener::deliveries::{Answer, Deliveries};
use crate::listener::door::{Counts, Permit};
use crate::listener::slots::{Concerns, Open, Slots};
use crate::mux::{Failure, Outcome, Record, TxId};
use crate::net::Stream;
use crate::rules::{MakeGood, Request};
use crate::upstream::{self, Notice, Slot};

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Over {
    #[error("closed")]
    Closed,
    #[error("the client closed its sending side, and reversalOnDisconnect is immediate")]
    Left,
    #[error("connection failed: {0}")]
    Failed(#[from] io::Error),
    #[error("a response was not taken in time")]
    TooLate,
    #[error("the last bytes were not acknowledged in time")]
    Unacknowledged,
    #[error("the upstream is no more")]
    Orphaned,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing of a (next) request has come since (uptime).
    Idle { since: Duration },
    /// The head of a request is coming, whose first byte came then; the last byte came then.
    Head { since: Duration, last: Duration },
    /// A request is being handled whose first byte came then.
    Busy { since: Duration },
    /// All of its response is with hyper.
    Responded,
}

/// One connection. Its fields are for this module, `io` and `serve`.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) peer: SocketAddr,
    pub(super) upstream: upstream::Session,
    pub(super) stage: Stage,
    /// Bytes read while a transaction was open, so that the client's leaving is noticed.
    pub(super) ahead: BytesMut,
    pub(super) eof: bool,
    pub(super) draining: bool,
    /// There was a request.
    pub(super) served: bool,
    /// Since when the socket has not taken all that there is (uptime).
    pub(super) blocked: Option<Duration>,
    slots: Slots<Waiting>,
    /// Answers that a handler has, or whose response is with hyper, not wholly written.
    handed: SmallVec<[Handed; 2]>,
    pub(super) deliveries: Deliveries,
    /// After the stream, so that it is dropped after it: `maxClients` bounds descriptors.
    pub(super) listener: Permit<Listener>,
}

/// What is known of a transaction whose handler waits.
#[derive(Default)]
struct Waiting {
    outcome: Option<(Option<TxId>, Outcome)>,
    waker: Option<Waker>,
    /// Nobody waits any more.
    is_abandoned: bool,
}

struct Handed {
    answer: Answer,
    deadline: Duration,
    /// All of its response is with hyper: what is flushed next has its last byte.
    is_whole: bool,
}

/// The connection of one client, as handlers see it: an extension of each request.
#[derive(Clone)]
pub struct Client(Arc<Mutex<Connection>>);

impl Client {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        peer: SocketAddr,
        listener: Permit<Listener>,
        upstream: upstream::Session,
    ) -> Client {
        let since = (listener.clock)().uptime;
        Client(Arc::new(Mutex::new(Connection {
            stream,
            peer,
            upstream,
            stage: Stage::Idle { since },
            ahead: BytesMut::new(),
            eof: false,
            draining: false,
            served: false,
            blocked: None,
            slots: Slots::default(),
            handed: SmallVec::new(),
            deliveries: Deliveries::default(),
            listener,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic ends the task, and with it everything that could look at the connection again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.lock().peer
    }

    /// When the first byte of the request came that is being handled (uptime).
    pub fn request_begin(&self) -> Duration {
        match self.lock().stage {
            Stage::Idle { since } | Stage::Head { since, .. } | Stage::Busy { since } => since,
            Stage::Responded => Duration::ZERO,
        }
    }

    pub(super) fn count(&self, counter: impl FnOnce(&Counts) -> &AtomicU64) {
        self.lock().count(counter, 1);
    }

    /// Submits a request, and waits for how it ends. `record`: it is to be remembered.
    ///
    /// The answer is delivered by the response that [`Receipt::attach`] was called for, and by nothing else.
    pub fn submit(&self, request: Arc<Request>, record: Option<Record>) -> Submission {
        let state = match self.lock().submit(request, record) {
            Ok(slot) => State::Open(slot),
            Err(failure) => State::Refused(failure),
        };
        Submission { client: self.clone(), state }
    }

    /// Asks again for what was submitted with this record before. Nothing is sent; what is not known by it ends in
    /// [`Failure::Expired`].
    pub fn recall(&self, record: Record) -> Submission {
        let state = match self.lock().recall(record) {
            Ok(slot) => State::Open(slot),
            Err(failure) => State::Refused(failure),
        };
        Submission { client: self.clone(), state }
    }
}

/// How a submitted request ended.
#[must_use]
#[derive(Debug)]
pub struct Reply {
    /// The transaction, if it was accepted.
    pub id: Option<TxId>,
    /// How it ended.
    pub outcome: Outcome,
    /// With an answer of the host: to be attached to the response that gives it to the client. Dropped without, the
    /// answer counts as not delivered.
    pub receipt: Option<Receipt>,
}

/// A request on its way; gives its [`Reply`].
#[must_use = "nobody gets the answer unless it is awaited"]
pub struct Submission {
    client: Client,
    state: State,
}

enum State {
    Open(Slot),
    Refused(Failure),
    Done,
}

impl Future for Submission {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let reply = match self.state {
            State::Open(slot) => std::task::ready!(self.client.lock().poll_reply(cx, slot)),
            State::Refused(failure) => (None, Outcome::Failed(failure), None),
            State::Done => return Poll::Pending,
        };
        self.state = State::Done;
        let (id, outcome, answer) = reply;
        let receipt = answer.map(|answer| Receipt(Arc::new(Slip { client: self.client.clone(), answer })));
        Poll::Ready(Reply { id, outcome, receipt })
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if let State::Open(slot) = self.state {
            self.client.lock().abandon(slot);
        }
    }
}

/// The right to say that an answer was delivered.
#[must_use]
#[derive(Clone)]
pub struct Receipt(Arc<Slip>);

struct Slip {
    client: Client,
    answer: Answer,
}

impl Receipt {
    /// `response` gives the answer: when its last byte was taken by the client's socket, the answer is delivered.
    pub fn attach(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }

    /// All of the response is with hyper.
    pub(super) fn hand_over(&self) {
        self.0.client.lock().handed_over(self.0.answer);
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt({})", self.0.answer.id)
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        self.client.lock().let_go(self.answer);
    }
}

impl Connection {
    /// The head of a request is whole.
    pub(super) fn request_came(&mut self) {
        self.count(|counts| &counts.messages, 1);
        self.served = true;
        let since = match self.stage {
            Stage::Head { since, .. } => since,
            _ => (self.listener.clock)().uptime,
        };
        self.stage = Stage::Busy { since };
    }

    /// All of its response is with hyper, or will never be.
    pub(super) fn responded(&mut self) {
        self.stage = Stage::Responded;
    }

    // -- requests ----------------------------------------------------------------------------------------------------

    fn submit(&mut self, request: Arc<Request>, record: Option<Record>) -> Result<Slot, Failure> {
        if self.deliveries.is_worth_asking() {
            self.settle_acknowledged();
        }
        if !self.slots.has_room() || self.deliveries.is_unacknowledged_full() {
            return Err(Failure::QueueFull);
        }
        let deadline = (self.listener.clock)().uptime + self.upstream.queue_timeout();
        let reversible = request.make_good() == MakeGood::Reverse;
        let slot = self.slots.insert(Open { kept: Waiting::default(), deadline, reversible, answered: None });
        let submitted = match record {
            Some(record) => self.upstream.submit_recorded(slot, request, record),
            None => self.upstream.submit(slot, request),
        };
        submitted.map(|()| slot).inspect_err(|_| {
            self.slots.remove(slot, None);
        })
    }

    fn recall(&mut self, record: Record) -> Result<Slot, Failure> {
        if !self.slots.has_room() || self.deliveries.is_unacknowledged_full() {
            return Err(Failure::QueueFull);
        }
        let deadline = (self.listener.clock)().uptime + self.upstream.queue_timeout();
        // Whether its approval can be reversed is not known here: as if it could.
        let open = Open { kept: Waiting::default(), deadline, reversible: true, answered: None };
        let slot = self.slots.insert(open);
        self.upstream.recall(slot, record);
        Ok(slot)
    }

    fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
        slot: Slot,
    ) -> Poll<(Option<TxId>, Outcome, Option<Answer>)> {
        let Some(open) = self.slots.get_mut(slot) else { return Poll::Pending };
        let Some((id, outcome)) = open.kept.outcome.take() else {
            open.kept.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let answer = match (open.answered, &outcome) {
            (Some(id), Outcome::Answered { class, .. }) => {
                let reversible = open.reversible && *class != RequestClass::Declined;
                let answer = Answer { slot, id, reversible };
                self.handed.push(Handed { answer, deadline: open.deadline, is_whole: false });
                Some(answer)
            }
            _ => {
                self.slots.remove(slot, None);
                None
            }
        };
        Poll::Ready((id, outcome, answer))
    }

    fn abandon(&mut self, slot: Slot) {
        let Some(open) = self.slots.get_mut(slot) else { return };
        match (open.kept.outcome.take(), open.answered) {
            // It goes on without a client that would listen; what comes is not delivered.
            (None, _) => open.kept.is_abandoned = true,
            (Some(_), Some(id)) => self.failed_to_deliver(slot, id),
            (Some(_), None) => {
                self.slots.remove(slot, None);
            }
        }
    }

    fn failed_to_deliver(&mut self, slot: Slot, id: TxId) {
        self.upstream.delivery_failed(slot, id);
        self.slots.remove(slot, Some(id));
    }

    // -- from the upstream -------------------------------------------------------------------------------------------

    /// Whether a transaction waits for its outcome.
    pub(super) fn is_waiting(&self) -> bool {
        self.slots.open() > self.handed.len()
    }

    pub(super) fn take_notices(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while let Poll::Ready(notices) = self.upstream.poll_notices(cx) {
            for notice in notices {
                match notice {
                    Notice::Reply { slot, id, outcome } => self.on_reply(slot, id, outcome)?,
                    Notice::Draining => self.draining = true,
                    Notice::Gone if self.slots.open() > 0 => return Err(Over::Orphaned),
                    Notice::Gone => self.draining = true,
                }
            }
        }
        Ok(())
    }

    fn on_reply(&mut self, slot: Slot, id: Option<TxId>, outcome: Outcome) -> Result<(), Over> {
        let is_answer = matches!(outcome, Outcome::Answered { .. });
        match self.slots.concerns(slot, id, is_answer) {
            Concerns::Waiting(open) if open.kept.outcome.is_none() => {
                if let Outcome::Answered { .. } = outcome {
                    open.answered = id;
                }
                if open.kept.is_abandoned {
                    match open.answered {
                        Some(id) => self.failed_to_deliver(slot, id),
                        None => drop(self.slots.remove(slot, None)),
                    }
                    return Ok(());
                }
                open.kept.outcome = Some((id, outcome));
                if let Some(waker) = open.kept.waker.take() {
                    waker.wake();
                }
            }
            // The core has given up on an answer that is not wholly written. Nothing of it may arrive any more.
            Concerns::Writing if matches!(outcome, Outcome::Failed(_)) => return Err(Over::TooLate),
            Concerns::Waiting(_) | Concerns::Writing | Concerns::Past => {}
        }
        Ok(())
    }

    // -- delivery ----------------------------------------------------------------------------------------------------

    /// By when the first answer that is not wholly written must be.
    pub(super) fn answer_deadline(&self) -> Option<Duration> {
        self.handed.first().map(|handed| handed.deadline)
    }

    fn handed_over(&mut self, answer: Answer) {
        if let Some(handed) = self.handed.iter_mut().find(|handed| handed.answer == answer) {
            handed.is_whole = true;
        }
    }

    /// The last of a response's receipts is gone.
    fn let_go(&mut self, answer: Answer) {
        let Some(at) = self.handed.iter().position(|handed| handed.answer == answer) else { return };
        if self.handed[at].is_whole {
            return;
        }
        self.handed.remove(at);
        self.failed_to_deliver(answer.slot, answer.id);
    }

    /// The socket has taken `count` bytes.
    pub(super) fn wrote(&mut self, count: usize) {
        self.deliveries.wrote(count);
        self.count(|counts| &counts.bytes_out, count as u64);
    }

    /// Everything that hyper had was taken by the socket.
    pub(super) fn flushed(&mut self) {
        self.blocked = None;
        if self.stage == Stage::Responded {
            self.stage = Stage::Idle { since: (self.listener.clock)().uptime };
        }
        if self.handed.is_empty() {
            return;
        }
        let end = self.deliveries.written();
        let deliveries = &mut self.deliveries;
        self.handed.retain(|handed| {
            if handed.is_whole {
                deliveries.push(end, handed.deadline, Some(handed.answer));
            }
            !handed.is_whole
        });
        while let Some(Answer { slot, id, .. }) = self.deliveries.next_delivered(self.eof) {
            self.confirm(slot, id);
        }
    }

    fn confirm(&mut self, slot: Slot, id: TxId) {
        self.count(|counts| &counts.delivered, 1);
        self.upstream.delivered(slot, id);
        self.slots.remove(slot, Some(id));
    }

    /// Asks the socket what the peer has acknowledged. `true`: something new.
    pub(super) fn settle_acknowledged(&mut self) -> bool {
        if !self.deliveries.awaits_acknowledgement() {
            return false;
        }
        let unacknowledged = self.stream.unacknowledged().unwrap_or(usize::MAX);
        let settled = self.deliveries.settle(unacknowledged);
        let news = !settled.delivered.is_empty() || !settled.before.is_empty();
        let mut acknowledged = settled.before;
        for (slot, id) in settled.delivered {
            self.confirm(slot, id);
            acknowledged.push(id);
        }
        if !acknowledged.is_empty() {
            self.upstream.acknowledged(acknowledged);
        }
        news
    }

    pub(super) fn count(&self, counter: impl FnOnce(&Counts) -> &AtomicU64, by: u64) {
        counter(self.listener.counts()).fetch_add(by, Ordering::Relaxed);
    }
}
