//! ISO 8583 over TCP: one task a connection, many transactions on each.
//!
//! [`serve`] accepts, [`session`] reads, checks, submits and writes. What concerns only what a session writes (replies
//! in order, what was taken by the socket, what the peer acknowledged) is in [`output`].

mod output;
mod refusal;
mod session;
mod slots;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use slog::{Logger, warn};
use tokio::sync::Notify;

use crate::dialect::Dialect;
use crate::framing::Framing;
use crate::iso8583::mask::MaskStyle;
use crate::net::{Accept, TimeSource};
use crate::upstream::Handle;

/// One TCP listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in `listening NAME ADDRESS` and logs.
    pub name: String,
    /// `listenHost`.
    pub host: String,
    /// `listenPort`; 0: any.
    pub port: u16,
    /// `clientFraming`.
    pub framing: Framing,
    /// Largest payload taken from a client.
    pub frame_len_max: usize,
    /// `clientTimeout`: idle limit while no transaction of the client is open.
    pub idle_timeout: Option<Duration>,
    /// `maxClients`.
    pub connections_max: usize,
    /// `closeAfterReply`: one message a connection, as in SocketQueue. What the client writes behind it is not sent.
    pub close_after_reply: bool,
    /// `onReject`.
    pub on_reject: OnReject,
    /// `deliveryTimeout`.
    pub delivery_timeout: Duration,
}

/// What a refused client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReject {
    /// A closed connection; nothing more is read, what it had accepted before is answered first.
    Close,
    /// A response message with a response code of the dialect.
    Respond,
}

/// First pause after an error of `accept`; doubled up to [`ACCEPT_PAUSE_MAX`] while errors go on. Out of descriptors is
/// such an error, and it does not go away by asking again.
const ACCEPT_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Longest pause after an error of `accept`.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// A warning that anybody on the network can provoke is written at most once in so long.
const RARELY: Duration = Duration::from_secs(1);

/// A listener as its sessions see it: what it needs to know, and its counters. Shared by all of them.
pub struct Listener {
    settings: Settings,
    dialect: Arc<Dialect>,
    clock: TimeSource,
    log: Logger,
    mask: MaskStyle,
    counts: Counts,
    open: AtomicUsize,
    closed: Notify,
    turned_away: Rarely,
    accept_errors: Rarely,
    overload: Rarely,
    expired: Rarely,
}

/// Counters of one listener; they only grow.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted, those turned away included.
    pub accepted: AtomicU64,
    /// Connections closed at once, since `maxClients` were open.
    pub turned_away: AtomicU64,
    /// Messages read.
    pub messages: AtomicU64,
    /// Streams and messages that could not be read.
    pub unreadable: AtomicU64,
    /// Messages that broke a rule of the dialect.
    pub invalid: AtomicU64,
    /// Requests that ended in an error of the gateway (refused, timed out, link lost …).
    pub failed: AtomicU64,
    /// Replies whose every byte the client's socket took.
    pub delivered: AtomicU64,
    /// Bytes from clients.
    pub bytes_in: AtomicU64,
    /// Bytes to clients.
    pub bytes_out: AtomicU64,
}

impl Listener {
    /// A listener without connections.
    pub fn new(
        settings: Settings,
        dialect: Arc<Dialect>,
        clock: TimeSource,
        log: Logger,
        mask: MaskStyle,
    ) -> Arc<Listener> {
        Arc::new(Listener {
            settings,
            dialect,
            clock,
            log,
            mask,
            counts: Counts::default(),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            turned_away: Rarely::default(),
            accept_errors: Rarely::default(),
            overload: Rarely::default(),
            expired: Rarely::default(),
        })
    }

    /// Its counters.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open.
    pub async fn at_rest(&self) {
        loop {
            let closed = self.closed.notified();
            if self.connections() == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// Accepts connections for as long as it is polled, and spawns a session for each.
///
/// An error of `accept` never ends it, and never makes it spin.
pub async fn serve<A: Accept>(mut acceptor: A, listener: Arc<Listener>, upstream: Handle) {
    let mut pause = ACCEPT_PAUSE_FIRST;
    loop {
        match poll_fn(|cx| acceptor.poll_accept(cx)).await {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE_FIRST;
                listener.counts.accepted.fetch_add(1, Ordering::Relaxed);
                match Permit::take(&listener) {
                    Some(permit) => {
                        tokio::spawn(session::run(stream, peer, permit, upstream.session()));
                    }
                    None => listener.turn_away(peer),
                }
            }
            Err(error) => {
                listener.accept_failed(&error);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

impl Listener {
    fn turn_away(&self, peer: SocketAddr) {
        self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
        if let Some(skipped) = self.turned_away.now((self.clock)().uptime) {
            warn!(self.log, "client turned away: maxClients are connected";
                "peer" => %peer, "limit" => self.settings.connections_max, "more" => skipped);
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        if let Some(skipped) = self.accept_errors.now((self.clock)().uptime) {
            warn!(self.log, "no client could be accepted"; "reason" => %error, "more" => skipped);
        }
    }
}

/// A listener with one of its `maxClients` places taken; the place is given back when this is dropped.
struct Permit(Arc<Listener>);

impl Permit {
    fn take(listener: &Arc<Listener>) -> Option<Permit> {
        // Only the accepting task adds: the check and the addition need not be one step.
        if listener.open.load(Ordering::Relaxed) >= listener.settings.connections_max {
            return None;
        }
        listener.open.fetch_add(1, Ordering::Relaxed);
        Some(Permit(listener.clone()))
    }
}

impl std::ops::Deref for Permit {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.0
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.closed.notify_waiters();
        }
    }
}

/// Lets one of many through, at most once in [`RARELY`].
#[derive(Default)]
struct Rarely {
    /// Uptime in milliseconds from which on the next may pass.
    next: AtomicU64,
    skipped: AtomicU64,
}

impl Rarely {
    /// `Some` when it is time, with the number of those that were kept back since the last.
    fn now(&self, uptime: Duration) -> Option<u64> {
        let now = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        if now < self.next.load(Ordering::Relaxed) {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.next.store(now.saturating_add(RARELY.as_millis() as u64), Ordering::Relaxed);
        Some(self.skipped.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_that_anybody_can_provoke_passes_once_a_second_with_the_number_kept_back() {
        let rarely = Rarely::default();
        let at = |ms| rarely.now(Duration::from_millis(ms));
        assert_eq!(at(0), Some(0));
        assert_eq!(at(1), None);
        assert_eq!(at(999), None);
        assert_eq!(at(1000), Some(2));
        assert_eq!(at(1999), None);
        assert_eq!(at(5000), Some(1));
    }
}
