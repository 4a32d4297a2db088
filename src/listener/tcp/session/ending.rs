//! How a connection ends, what time brings, and what the peer has acknowledged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use slog::{debug, info};

use super::{Over, Phase, Session, Step};
use crate::net::Stream;

/// How long a closed connection waits for the client to close as well. Closing with unread bytes would be a reset, which
/// can destroy the reply on its way.
const LINGER: Duration = Duration::from_secs(1);
/// First pause between two looks at what the peer has acknowledged, where that is waited for; doubled up to
/// [`ACK_PAUSE_MAX`]. There is no event for it.
const ACK_PAUSE_FIRST: Duration = Duration::from_millis(1);
/// Longest pause between two such looks.
const ACK_PAUSE_MAX: Duration = Duration::from_millis(64);

/// Looking at what the peer acknowledges.
#[derive(Clone, Copy)]
pub(super) struct AckWatch {
    next: Duration,
    pause: Duration,
    give_up: Duration,
}

impl<S: Stream> Session<S> {
    /// Moves on towards the end, when everything is done.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> Step {
        match self.phase {
            Phase::Serving if self.is_done() => {
                self.phase = Phase::Closing;
                // Before our FIN, which counts as one more byte to be acknowledged.
                self.settle_acknowledged();
                // Nothing is under way in either direction: no farewell is needed.
                if self.eof && !self.output.awaits_acknowledgement() {
                    return Err(Over::Closed);
                }
                Ok(true)
            }
            Phase::Serving => Ok(false),
            Phase::Closing => match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(error)) => Err(error.into()),
                Poll::Ready(Ok(())) => {
                    self.phase = Phase::Lingering { until: (self.listener.clock)().uptime + LINGER };
                    self.settle_acknowledged();
                    Ok(true)
                }
            },
            Phase::Lingering { .. } if self.eof && !self.output.awaits_acknowledgement() => Err(Over::Closed),
            Phase::Lingering { .. } => Ok(false),
        }
    }

    fn is_done(&self) -> bool {
        let no_more = self.deaf || self.draining || (self.eof && !self.more_frames);
        no_more && self.slots.open() == 0 && self.output.is_empty()
    }

    /// Settles with the connection gone or about to go.
    pub(super) fn finish(&mut self, over: &Over) {
        self.settle_acknowledged();
        if matches!(over, Over::TooLate | Over::Unacknowledged | Over::Orphaned) {
            self.stream.abort_on_close();
        }
        let undelivered = self.output.undelivered();
        if !undelivered.is_empty() {
            self.upstream.undelivered(undelivered);
        }
        debug!(self.listener.log, "client disconnected"; "peer" => %self.peer, "reason" => %over);
        // Answers that are not wholly written, and requests without an answer, are settled by the end of the session.
    }

    // -- time --------------------------------------------------------------------------------------------------------

    /// Looks at what time has brought, and sets the alarm. `true`: look again.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.is_timed() {
            return Ok(false);
        }
        let now = (self.listener.clock)().uptime;
        if self.blocked && self.output.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(Over::TooLate);
        }
        if let Phase::Lingering { until } = self.phase
            && until <= now
            && !self.output.awaits_acknowledgement()
        {
            return Err(Over::Closed);
        }
        if self.is_idle() && self.idle_end().is_some_and(|end| end <= now) {
            info!(self.listener.log, "idle client closed"; "peer" => %self.peer);
            self.deaf = true;
            return Ok(true);
        }
        if self.watch_acknowledgements(now)? {
            return Ok(true);
        }
        let next = [
            self.blocked.then(|| self.output.deadline()).flatten(),
            self.ack.map(|ack| ack.next),
            match self.phase {
                Phase::Lingering { until } if !self.output.awaits_acknowledgement() => Some(until),
                _ => None,
            },
            self.idle_end().filter(|_| self.is_idle()),
        ];
        Ok(self.alarm.poll(cx, next.into_iter().flatten().min(), now).is_ready())
    }

    /// Whether time matters at all; without this a busy session would read the clock for nothing.
    fn is_timed(&self) -> bool {
        self.blocked
            || self.phase != Phase::Serving
            || self.needs_acknowledgement()
            || (self.listener.settings.idle_timeout.is_some() && self.is_idle())
    }

    fn is_idle(&self) -> bool {
        self.phase == Phase::Serving && !self.deaf && self.slots.open() == 0
    }

    fn idle_end(&self) -> Option<Duration> {
        self.listener.settings.idle_timeout.map(|timeout| self.active + timeout)
    }

    /// Whether progress depends on what the peer acknowledges.
    fn needs_acknowledgement(&self) -> bool {
        self.output.awaits_acknowledgement()
            && (self.eof || self.phase != Phase::Serving || self.output.is_unacknowledged_full())
    }

    /// Asks the socket, with growing pauses, while progress depends on the answer. `true`: there was progress.
    fn watch_acknowledgements(&mut self, now: Duration) -> Step {
        if !self.needs_acknowledgement() {
            self.ack = None;
            return Ok(false);
        }
        let mut watch = self.ack.unwrap_or_else(|| AckWatch {
            next: now,
            pause: ACK_PAUSE_FIRST,
            // Before the core's own watch ends, which would take the reply for delivered.
            give_up: now + self.listener.settings.delivery_timeout * 9 / 10,
        });
        if watch.next > now {
            return Ok(false);
        }
        if self.settle_acknowledged() {
            self.ack = None;
            return Ok(true);
        }
        if self.stream.has_failed() {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        if watch.give_up <= now {
            return Err(Over::Unacknowledged);
        }
        watch.next = now + watch.pause;
        watch.pause = (watch.pause * 2).min(ACK_PAUSE_MAX);
        self.ack = Some(watch);
        Ok(false)
    }

    /// Asks the socket what the peer has acknowledged. `true`: something new.
    pub(super) fn settle_acknowledged(&mut self) -> bool {
        if !self.output.awaits_acknowledgement() {
            return false;
        }
        let unacknowledged = self.stream.unacknowledged().unwrap_or(usize::MAX);
        let settled = self.output.settle(unacknowledged);
        let news = !settled.delivered.is_empty() || !settled.before.is_empty();
        let mut acknowledged = settled.before;
        self.count(|counts| &counts.delivered, settled.delivered.len() as u64);
        for (slot, id) in settled.delivered {
            self.confirm(slot, id);
            acknowledged.push(id);
        }
        if !acknowledged.is_empty() {
            self.upstream.acknowledged(acknowledged);
        }
        news
    }
}
