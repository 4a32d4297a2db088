//! What comes from a client: bytes, messages, requests, and what becomes of those that are refused.

use std::mem::MaybeUninit;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use slog::{Drain, info, warn};

use super::super::output::OUT_HIGH_WATER;
use super::super::{OnReject, Settings};
use super::{Kept, Over, Phase, Session, Step};
use crate::dialect::pretty::Remarks;
use crate::framing::Frame;
use crate::iso8583::Message;
use crate::listener::refusal;
use crate::listener::slots::Open;
use crate::mux::{Failure, TxId};
use crate::net::Stream;
use crate::rules::{self, MakeGood, Unchecked};

/// Bytes taken from the socket at a time, on the stack.
const CHUNK: usize = 8 * 1024;

impl<S: Stream> Session<S> {
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Step {
        if self.more_frames && self.has_room() {
            self.take_kept();
            return Ok(true);
        }
        if !self.wants_bytes() || (self.is_told_of_bytes && !self.stream.may_have_come()) {
            return Ok(false);
        }
        // On the stack, and messages are copied from there: an idle connection owns no buffer, and a message kept for its
        // reversal keeps its own bytes and no more.
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let came = self.stream.poll_recv(cx, &mut chunk);
        self.is_told_of_bytes = came.is_pending();
        match came {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Ready(Ok([])) => self.on_eof(),
            Poll::Ready(Ok(bytes)) => {
                self.on_bytes(bytes);
                Ok(true)
            }
        }
    }

    fn wants_bytes(&self) -> bool {
        if self.eof || self.more_frames {
            return false;
        }
        if self.deaf || self.phase != Phase::Serving { self.discard_left > 0 } else { self.has_room() }
    }

    /// Whether one more message may be taken. If not, the client's bytes stay in its own kernel.
    pub(super) fn has_room(&self) -> bool {
        self.slots.has_room()
            && self.output.bytes().len() < OUT_HIGH_WATER
            && !self.output.deliveries.is_unacknowledged_full()
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        self.count(|counts| &counts.bytes_in, bytes.len() as u64);
        self.touch();
        if self.deaf || self.phase != Phase::Serving {
            self.discard_left = self.discard_left.saturating_sub(bytes.len());
            return;
        }
        // A client that sends again has most likely acknowledged what it got before.
        if self.output.deliveries.is_worth_asking() {
            self.settle_acknowledged();
        }
        if self.input.is_empty() {
            let rest = self.take_frames(bytes);
            self.input.extend_from_slice(rest);
        } else {
            self.input.extend_from_slice(bytes);
            self.take_kept();
        }
    }

    fn on_eof(&mut self) -> Step {
        self.eof = true;
        if self.slots.open() > 0 && self.upstream.reverses_on_disconnect() {
            return Err(Over::Left);
        }
        if !self.input.is_empty() && !self.more_frames {
            info!(self.listener.log, "client closed in the middle of a message"; "peer" => %self.peer,
                "bytes" => self.input.len());
        }
        Ok(true)
    }

    /// Takes messages from what was kept.
    fn take_kept(&mut self) {
        let mut input = std::mem::take(&mut self.input);
        let rest = self.take_frames(&input).len();
        if rest > 0 {
            input.advance(input.len() - rest);
            self.input = input;
        }
    }

    /// Takes the messages off the front of `bytes` for which there is room. What is to be kept of them.
    fn take_frames<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        self.more_frames = false;
        while !self.deaf && !bytes.is_empty() {
            if !self.has_room() {
                self.more_frames = true;
                return bytes;
            }
            let Settings { framing, frame_len_max, .. } = &self.listener.settings;
            match framing.copy_frame(&self.listener.dialect.schema, *frame_len_max, &mut bytes) {
                Ok(Some(frame)) => self.on_frame(frame),
                Ok(None) => return bytes,
                Err(error) => {
                    self.count(|counts| &counts.unreadable, 1);
                    info!(self.listener.log, "client's bytes are no message"; "peer" => %self.peer, "reason" => %error);
                    self.deaf = true;
                }
            }
        }
        &[]
    }

    fn on_frame(&mut self, frame: Frame) {
        self.count(|counts| &counts.messages, 1);
        let dialect = self.listener.dialect.clone();
        let unchecked = match Unchecked::read(&dialect.schema, frame.payload) {
            Ok(unchecked) => unchecked,
            Err((error, raw)) => {
                self.count(|counts| &counts.unreadable, 1);
                info!(self.listener.log, "client's message is not readable"; "peer" => %self.peer, "reason" => %error);
                // As far as it can be read, it may tell enough for a response.
                let readable = Message::parse_lenient(&dialect.schema, raw).ok();
                let request = readable.map(|lenient| Box::new(lenient.message));
                return self.reject(&dialect.refusals.invalid, request, &frame.envelope);
            }
        };
        let now = (self.listener.clock)();
        let copy = || Box::new(unchecked.message().clone());
        let shown = self.listener.log.is_trace_enabled().then(copy);
        let kept = (self.listener.settings.on_reject == OnReject::Respond).then(copy);
        let prepared = unchecked.check(&dialect, self.upstream.key_fields(), now);
        let request = match prepared {
            Ok(request) => request,
            Err(invalid) => {
                // What is submitted is dumped by the driver, under its transaction's id.
                if let Some(message) = shown {
                    let remarks = Remarks { expired: invalid.expired, ..Remarks::default() };
                    self.dump(&message, remarks);
                }
                self.count(|counts| &counts.invalid, 1);
                self.log_invalid(&invalid, now.uptime);
                return self.reject(&dialect.refusals.invalid, kept, &frame.envelope);
            }
        };
        let slot = self.slots.insert(Open {
            kept: Kept { envelope: frame.envelope, request: kept },
            deadline: now.uptime + self.upstream.queue_timeout(),
            reversible: request.make_good() == MakeGood::Reverse,
            answered: None,
        });
        // One message a connection, as SocketQueue has it: what stands behind it is not sent.
        self.deaf |= self.listener.settings.close_after_reply;
        if let Err(failure) = self.upstream.submit(slot, request)
            && let Some(open) = self.slots.remove(slot, None)
        {
            self.refuse(failure, None, open.kept.request, &open.kept.envelope);
        }
    }

    // -- refusing ----------------------------------------------------------------------------------------------------

    /// Tells the client of a failure, as `onReject` says.
    pub(super) fn refuse(
        &mut self,
        failure: Failure,
        id: Option<TxId>,
        request: Option<Box<Message>>,
        envelope: &Bytes,
    ) {
        self.count(|counts| &counts.failed, 1);
        let listener = self.listener.0.clone();
        if refusal::is_overload(failure) {
            if let Some(skipped) = listener.overload.now((listener.clock)().uptime) {
                warn!(listener.log, "requests refused"; "reason" => refusal::reason(failure), "peer" => %self.peer,
                    "more" => skipped);
            }
        } else if let Some(id) = id {
            info!(listener.log, "client gets no answer"; "request" => %id, "reason" => refusal::reason(failure),
                "peer" => %self.peer);
        } else {
            info!(listener.log, "client gets no answer"; "reason" => refusal::reason(failure), "peer" => %self.peer);
        }
        self.reject(refusal::code(&listener.dialect.refusals, failure), request, envelope);
    }

    /// `close`: nothing more is taken from this client; it is closed when what it had accepted is answered. `respond`:
    /// it gets a response; if none can be made, it is closed as well.
    fn reject(&mut self, code: &str, request: Option<Box<Message>>, envelope: &Bytes) {
        let listener = self.listener.0.clone();
        if listener.settings.on_reject == OnReject::Respond
            && let Some(request) = request
        {
            let now = (listener.clock)();
            let response = rules::refusal(&listener.dialect, &request, code, now);
            let deadline = now.uptime + self.upstream.queue_timeout();
            if let Some(response) = response
                && self.output.push(&listener.settings.framing, envelope, &response, deadline, None).is_ok()
            {
                self.deaf |= listener.settings.close_after_reply;
                return;
            }
        }
        self.deaf = true;
    }

    fn log_invalid(&self, invalid: &rules::Invalid, uptime: Duration) {
        let log = &self.listener.log;
        if invalid.expired {
            // Every sale of a terminal whose zone is not ours is 'expired': worth a line that is seen.
            if let Some(skipped) = self.listener.expired.now(uptime) {
                warn!(log, "request is expired by its local time; is `timezone` that of the terminals?";
                    "peer" => %self.peer, "more" => skipped);
            }
            return;
        }
        info!(log, "request is not valid"; "peer" => %self.peer,
            "violations" => %Violations(invalid));
    }
}

/// The violations of a request in one line.
struct Violations<'a>(&'a rules::Invalid);

impl std::fmt::Display for Violations<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, violation) in self.0.violations.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { "; " }, violation.problem)?;
        }
        Ok(())
    }
}
