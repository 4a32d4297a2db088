//! The driver's side of the link: bytes in, bytes out, links that come and go.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::super::incoming::{self, Incoming};
use super::super::link::LinkEvent;
use super::super::report::Down;
use super::{Driver, Settings};
use crate::framing::Frame;
use crate::mux::{Event, Transmit};
use crate::net::Stream;
use crate::rules::{self, Answer};
use crate::time::Now;

/// Host messages taken in one pass.
const FRAMES_MAX: usize = 512;
/// Second connections turned away, or attempts noted, in one pass.
const LINK_EVENTS_MAX: usize = 8;
/// Above so many bytes in the output buffer nothing more is pulled from the core.
const OUT_HIGH_WATER: usize = 64 * 1024;
/// Envelopes of host requests remembered until their replies are pulled.
const ENVELOPES_MAX: usize = 16;

impl<S: Stream> Driver<S> {
    pub(super) fn take_link_events(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        for _ in 0..LINK_EVENTS_MAX {
            let Poll::Ready(event) = self.link.poll_event(cx) else { return false };
            match event {
                LinkEvent::Up(peer) => {
                    self.report.link_up(peer);
                    self.active = now.uptime;
                    self.mux.handle(now, Event::LinkUp);
                }
                LinkEvent::Failed { error, pause } => self.report.link_failed(&error, pause),
                LinkEvent::Refused(peer) => self.report.link_refused(peer),
            }
        }
        true
    }

    pub(super) fn take_bytes(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.more_frames {
            self.take_frames(now);
            return true;
        }
        match self.link.poll_read(cx, &mut self.input) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.lose_link(Down::Eof, now);
                true
            }
            Poll::Ready(Ok(read)) => {
                self.report.link.bytes_in += read as u64;
                self.active = now.uptime;
                self.take_frames(now);
                true
            }
            Poll::Ready(Err(error)) => {
                self.lose_link(Down::Read(error), now);
                true
            }
        }
    }

    fn take_frames(&mut self, now: Now) {
        self.more_frames = false;
        for _ in 0..FRAMES_MAX {
            let Settings { framing, frame_len_max, .. } = &self.settings;
            match framing.next_frame(&self.dialect.schema, *frame_len_max, &mut self.input) {
                Ok(Some(frame)) => self.on_frame(frame, now),
                Ok(None) => return,
                Err(error) => return self.lose_link(Down::Frame(error), now),
            }
        }
        self.more_frames = true;
    }

    fn on_frame(&mut self, frame: Frame, now: Now) {
        let keys = &self.settings.mux.key_fields;
        let mut answer = Answer::unread(&self.dialect.schema, frame.payload);
        let strict = self.settings.strict_replies;
        match incoming::read(&self.dialect, keys, strict, &mut answer, &mut self.report) {
            None => {}
            Some(Incoming::Answer(answer)) => {
                let shown = self.logs_trace.then(|| answer.message().clone());
                self.report.take_about();
                self.mux.receive(now, answer);
                if let Some(message) = shown
                    && self.carry_out() == 0
                {
                    self.dump_incoming(&message);
                }
            }
            Some(Incoming::Request(message)) => {
                if self.logs_trace {
                    self.dump_incoming(&message);
                }
                let reply = rules::echo_reply(&self.dialect, &message, now, self.next_rrn);
                if let Some(reply) = &reply {
                    self.next_rrn += 1;
                    self.keep_envelope(reply, frame.envelope);
                }
                self.mux.handle(now, Event::HostRequest { reply });
            }
        }
    }

    /// The reply to a host's request goes out with that request's envelope (a TPDU with its addresses swapped). The
    /// core knows no envelopes; they wait here until it yields the reply, the very same bytes.
    fn keep_envelope(&mut self, reply: &Bytes, envelope: Bytes) {
        if envelope.is_empty() {
            return;
        }
        if self.envelopes.len() == ENVELOPES_MAX {
            self.envelopes.pop_front();
        }
        self.envelopes.push_back((reply.clone(), envelope));
    }

    /// Pulls messages from the core while there is room for them. From here on they count as sent.
    pub(super) fn pull(&mut self, now: Now) {
        while self.link.is_up() && self.output.len() < OUT_HIGH_WATER {
            let is_shown = self.logs_trace;
            let Driver { mux, settings, output, envelopes, .. } = self;
            let written = mux.transmit_with(now, |id, bytes| {
                let envelope = match id {
                    None if !envelopes.is_empty() => envelope_of(envelopes, bytes),
                    _ => Bytes::new(),
                };
                let shown = is_shown.then(|| Transmit { id, bytes: bytes.clone() });
                (shown, settings.framing.encode(bytes, &envelope, output))
            });
            let Some((shown, written)) = written else { return };
            if let Some(transmit) = shown {
                self.dump_transmit(&transmit);
            }
            if let Err(error) = written {
                // Checked at start: the largest message fits the length field. Were it not so, silence on the link is
                // what the core knows to deal with: the transaction is in doubt and is made good.
                debug_assert!(false, "a message cannot be framed: {error}");
                self.report.not_framed(&error);
            }
        }
    }

    /// Writes all that was pulled, in one call while the socket takes it.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.output.is_empty() {
            return false;
        }
        match self.link.poll_write(cx, &mut self.output) {
            Poll::Pending => {
                self.stalled.get_or_insert(now.uptime);
                false
            }
            Poll::Ready(Ok(written)) => {
                self.report.link.bytes_out += written as u64;
                self.active = now.uptime;
                self.stalled = None;
                true
            }
            Poll::Ready(Err(error)) => {
                self.read_what_came(cx, now);
                self.lose_link(Down::Write(error), now);
                true
            }
        }
    }

    /// The host may have answered before it closed: each answer taken is a transaction less in doubt.
    fn read_what_came(&mut self, cx: &mut Context<'_>, now: Now) {
        while self.link.is_up()
            && let Poll::Ready(Ok(1..)) = self.link.poll_read(cx, &mut self.input)
        {
            self.more_frames = true;
            while self.more_frames {
                self.take_frames(now);
            }
        }
    }

    pub(super) fn lose_link(&mut self, why: Down, now: Now) {
        if !self.link.is_up() {
            return;
        }
        let pause = self.link.down();
        self.report.link_down(&why, pause);
        // What was pulled belonged to that connection and dies with it; so does half a frame of the host's.
        self.output = BytesMut::new();
        self.input = BytesMut::new();
        self.more_frames = false;
        self.envelopes.clear();
        self.stalled = None;
        self.mux.handle(now, Event::LinkDown);
        self.carry_out();
    }

    /// Ends a link that takes no bytes, or on which nothing has happened for `idle_timeout`. `true`: it did, and the next
    /// one has to be begun: nothing else would wake the driver for it.
    pub(super) fn check_link(&mut self, now: Now) -> bool {
        if self.stalled.is_some_and(|since| since + self.settings.write_stall <= now.uptime) {
            self.lose_link(Down::Stalled, now);
            return true;
        }
        let Some(idle_timeout) = self.settings.idle_timeout else { return false };
        if self.link.is_up() && self.active + idle_timeout <= now.uptime {
            self.active = now.uptime;
            if self.mux.tally().in_flight == 0 {
                self.lose_link(Down::Idle, now);
                return true;
            }
        }
        false
    }
}

/// The envelope that was kept for this reply to a host's request.
fn envelope_of(envelopes: &mut VecDeque<(Bytes, Bytes)>, reply: &Bytes) -> Bytes {
    let same = |(kept, _): &(Bytes, Bytes)| std::ptr::eq(kept.as_ptr(), reply.as_ptr());
    let found = envelopes.iter().position(same);
    found.and_then(|at| envelopes.remove(at)).map(|(_, envelope)| envelope).unwrap_or_default()
}
