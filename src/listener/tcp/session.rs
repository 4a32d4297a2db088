//! One client's connection.
//!
//! A poll function, like the driver: what the upstream says, what the socket takes, what it gives, in turn, until
//! nothing is left to do. An idle session holds no buffer and no timer.
//!
//! ```text
//!   Serving --(all answered and written, and: EOF | refused | closeAfterReply | stopping | idle)--> Closing
//!   Closing --(FIN sent)--> Lingering --(EOF or LINGER, and all acknowledged)--> over
//!   any     --(connection failed)--> over: unacknowledged and unwritten replies count as not delivered
//! ```

mod ending;
mod intake;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use slog::{debug, trace, warn};

use super::Listener;
use super::output::Output;
use crate::dialect::RequestClass;
use crate::dialect::pretty::{self, Remarks};
use crate::iso8583::Message;
use crate::listener::deliveries::{AckWatch, Answer};
use crate::listener::door::{Counts, Permit};
use crate::listener::slots::{Concerns, Slots};
use crate::mux::{Outcome, TxId};
use crate::net::{Alarm, Stream};
use crate::upstream::{self, Notice, Slot};

/// Of a client that is not listened to any more, so many bytes are read and thrown away, so that its end is noticed and
/// a close is no reset; then its window closes.
const DISCARD_MAX: usize = 1024 * 1024;

/// Passes before other tasks get their turn.
const PASSES_MAX: usize = 32;

/// Serves one connection until it is over.
///
/// No `async fn`: its arguments would stand in the future a second time, once for each idle client.
pub(super) fn run<S: Stream>(
    stream: S,
    peer: SocketAddr,
    permit: Permit<Listener>,
    upstream: upstream::Session,
) -> impl Future<Output = ()> + Send {
    let mut session = Session::new(stream, peer, permit, upstream);
    async move {
        let over = poll_fn(|cx| session.poll(cx)).await;
        session.finish(&over);
    }
}

struct Session<S> {
    stream: S,
    peer: SocketAddr,
    upstream: upstream::Session,
    phase: Phase,

    /// Bytes not taken yet; `more_frames`: whole messages may be among them.
    input: BytesMut,
    more_frames: bool,
    /// The socket had none, and wakes the task when some come. (tokio tells a task that does too much in one go to ask
    /// again instead; what [`PASSES_MAX`] passes do is less than that.)
    is_told_of_bytes: bool,
    /// Nothing more is taken from this client; what comes is thrown away, so many bytes of it at most.
    deaf: bool,
    discard_left: usize,
    eof: bool,
    draining: bool,

    slots: Slots<Kept>,
    output: Output,
    /// The socket takes no more bytes just now.
    blocked: bool,

    alarm: Alarm,
    ack: Option<AckWatch>,
    /// Last bytes from or to the client (uptime).
    active: Duration,
    /// After the stream, so that it is dropped after it: `maxClients` bounds descriptors.
    listener: Permit<Listener>,
}

/// What is kept of a request until it is answered.
struct Kept {
    /// Header bytes of the request that the reply gives back.
    envelope: Bytes,
    /// The request, where a refusal is to be made from it.
    request: Option<Box<Message>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Closing,
    Lingering { until: Duration },
}

/// How a session ended.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error("closed")]
    Closed,
    #[error("the client closed its sending side, and reversalOnDisconnect is immediate")]
    Left,
    #[error("connection failed: {0}")]
    Failed(#[from] io::Error),
    #[error("a reply was not taken by its deadline")]
    TooLate,
    #[error("the last bytes were not acknowledged in time")]
    Unacknowledged,
    #[error("the upstream is no more")]
    Orphaned,
}

type Step = Result<bool, Over>;

impl<S: Stream> Session<S> {
    fn new(
        stream: S,
        peer: SocketAddr,
        listener: Permit<Listener>,
        upstream: upstream::Session,
    ) -> Session<S> {
        let active = match listener.settings.idle_timeout {
            Some(_) => (listener.clock)().uptime,
            None => Duration::ZERO,
        };
        debug!(listener.log, "client connected"; "peer" => %peer);
        Session {
            stream,
            peer,
            upstream,
            phase: Phase::Serving,
            input: BytesMut::new(),
            more_frames: false,
            is_told_of_bytes: false,
            deaf: false,
            discard_left: DISCARD_MAX,
            eof: false,
            draining: false,
            slots: Slots::default(),
            output: Output::default(),
            blocked: false,
            alarm: Alarm::default(),
            ack: None,
            active,
            listener,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        // Once: the next notice wakes the task.
        if let Err(over) = self.take_notices(cx) {
            return Poll::Ready(over);
        }
        for _ in 0..PASSES_MAX {
            match self.pass(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(over) => return Poll::Ready(over),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks at everything else once. `true`: something was done that leaves more to do, look again. What is written
    /// does not: reading and all that is behind it looks at it in the same pass.
    fn pass(&mut self, cx: &mut Context<'_>) -> Step {
        self.write(cx)?;
        let mut busy = self.read(cx)?;
        busy |= self.advance(cx)?;
        Ok(busy || self.wait(cx)?)
    }

    // -- from the upstream -------------------------------------------------------------------------------------------

    fn take_notices(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        if let Poll::Ready(notices) = self.upstream.poll_notices(cx) {
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

    /// The answer to a repeat of a transaction whose answer was delivered before: nobody is told what becomes of it.
    fn write_stored_answer(&mut self, slot: Slot, bytes: &[u8]) {
        let Some(open) = self.slots.remove(slot, None) else { return };
        let framing = &self.listener.settings.framing;
        if let Err(error) = self.output.push(framing, &open.kept.envelope, bytes, open.deadline, None) {
            warn!(self.listener.log, "reply does not fit the client's framing";
                "peer" => %self.peer, "reason" => %error);
            self.deaf = true;
        }
    }

    fn on_reply(&mut self, slot: Slot, id: Option<TxId>, outcome: Outcome) -> Result<(), Over> {
        let is_answer = matches!(outcome, Outcome::Answered { .. });
        match (self.slots.concerns(slot, id, is_answer), outcome) {
            (Concerns::Waiting(open), Outcome::Answered { bytes, class }) => {
                let Some(id) = id else {
                    self.write_stored_answer(slot, &bytes);
                    return Ok(());
                };
                open.answered = Some(id);
                let reversible = open.reversible && class != RequestClass::Declined;
                let (envelope, deadline) = (std::mem::take(&mut open.kept.envelope), open.deadline);
                open.kept.request = None;
                let answer = Answer { slot, id, reversible };
                let framing = &self.listener.settings.framing;
                if let Err(error) = self.output.push(framing, &envelope, &bytes, deadline, Some(answer)) {
                    warn!(self.listener.log, "reply does not fit the client's framing";
                        "request" => %id, "peer" => %self.peer, "reason" => %error);
                    self.upstream.delivery_failed(slot, id);
                    self.slots.remove(slot, Some(id));
                    self.deaf = true;
                }
            }
            (Concerns::Waiting(_), Outcome::Failed(failure)) => {
                if let Some(open) = self.slots.remove(slot, None) {
                    self.refuse(failure, id, open.kept.request, &open.kept.envelope);
                }
            }
            // Only what was submitted with a record is known by it.
            (Concerns::Waiting(_), Outcome::Known(_)) => {
                debug_assert!(false, "no record was given");
                self.slots.remove(slot, None);
            }
            // The core has given up on an answer that is not wholly written. Nothing of it may arrive any more.
            (Concerns::Writing, Outcome::Failed(_)) => return Err(Over::TooLate),
            (Concerns::Writing | Concerns::Past, _) => {}
        }
        Ok(())
    }

    /// At `vv`: a message that is not submitted, with all its fields, masked.
    fn dump(&self, message: &Message, remarks: Remarks) {
        let listener = &self.listener;
        let who = format!("tcp:{}", self.peer);
        trace!(listener.log, "{}", pretty::dump(&listener.dialect, message, &who, listener.mask, remarks));
    }

    // -- to the client -----------------------------------------------------------------------------------------------

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while !self.output.is_empty() {
            match self.stream.poll_send(cx, self.output.bytes()) {
                Poll::Pending => {
                    self.blocked = true;
                    return Ok(());
                }
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(count)) => self.wrote(count),
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        self.blocked = false;
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        self.count(|counts| &counts.bytes_out, count as u64);
        self.touch();
        self.output.wrote(count);
        let mut delivered = 0;
        while let Some(Answer { slot, id, .. }) = self.output.deliveries.next_delivered(self.eof) {
            self.confirm(slot, id);
            delivered += 1;
        }
        if delivered > 0 {
            self.count(|counts| &counts.delivered, delivered);
        }
    }

    fn confirm(&mut self, slot: Slot, id: TxId) {
        self.upstream.delivered(slot, id);
        self.slots.confirm(slot, id);
    }

    // -- small things ------------------------------------------------------------------------------------------------

    fn touch(&mut self) {
        if self.listener.settings.idle_timeout.is_some() {
            self.active = (self.listener.clock)().uptime;
        }
    }

    fn count(&self, counter: impl FnOnce(&Counts) -> &AtomicU64, by: u64) {
        counter(self.listener.counts()).fetch_add(by, Ordering::Relaxed);
    }
}
