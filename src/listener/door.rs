//! The door of a listener: how many are inside, who is turned away, and what is counted.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use slog::{Logger, warn};
use tokio::sync::Notify;

use super::Figures;
use crate::net::{Accept, Rarely, TimeSource};

/// First pause after an error of `accept`; doubled up to [`ACCEPT_PAUSE_MAX`] while errors go on. Out of descriptors is
/// such an error, and it does not go away by asking again.
const ACCEPT_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Longest pause after an error of `accept`.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

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

/// The door of one listener.
pub(super) struct Door {
    pub(super) counts: Counts,
    clock: TimeSource,
    log: Logger,
    connections_max: usize,
    open: AtomicUsize,
    closed: Notify,
    turned_away: Rarely,
    accept_errors: Rarely,
}

/// What has a door.
pub(super) trait HasDoor: Send + Sync + 'static {
    /// Its door.
    fn door(&self) -> &Door;
}

impl Door {
    /// With nobody inside.
    pub(super) fn new(connections_max: usize, clock: TimeSource, log: Logger) -> Door {
        Door {
            counts: Counts::default(),
            clock,
            log,
            connections_max,
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            turned_away: Rarely::default(),
            accept_errors: Rarely::default(),
        }
    }

    /// What the listener called `name` tells of itself.
    pub(super) fn figures(&self, name: &str) -> Figures {
        let Counts {
            accepted,
            turned_away,
            messages,
            unreadable,
            invalid,
            failed,
            delivered,
            bytes_in,
            bytes_out,
        } = &self.counts;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            name: name.to_owned(),
            open: self.connections() as u64,
            open_max: self.connections_max as u64,
            accepted: value(accepted),
            turned_away: value(turned_away),
            requests: value(messages),
            rejected: vec![("unreadable", value(unreadable)), ("invalid", value(invalid))],
            failed: value(failed),
            delivered: value(delivered),
            bytes_in: value(bytes_in),
            bytes_out: value(bytes_out),
        }
    }

    /// Connections open now.
    pub(super) fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open.
    pub(super) async fn at_rest(&self) {
        loop {
            let closed = self.closed.notified();
            if self.connections() == 0 {
                return;
            }
            closed.await;
        }
    }

    fn turn_away(&self, peer: SocketAddr) {
        self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
        if let Some(skipped) = self.turned_away.now((self.clock)().uptime) {
            warn!(self.log, "client turned away: maxClients are connected";
                "peer" => %peer, "limit" => self.connections_max, "more" => skipped);
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        if let Some(skipped) = self.accept_errors.now((self.clock)().uptime) {
            warn!(self.log, "no client could be accepted"; "reason" => %error, "more" => skipped);
        }
    }
}

/// Accepts connections for as long as it is polled, and hands each to `enter` with its permit.
///
/// An error of `accept` never ends it, and never makes it spin.
pub(super) async fn serve<A: Accept, L: HasDoor>(
    mut acceptor: A,
    listener: Arc<L>,
    enter: impl Fn(A::Stream, SocketAddr, Permit<L>),
) {
    let mut pause = ACCEPT_PAUSE_FIRST;
    loop {
        match poll_fn(|cx| acceptor.poll_accept(cx)).await {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE_FIRST;
                listener.door().counts.accepted.fetch_add(1, Ordering::Relaxed);
                match Permit::take(&listener) {
                    Some(permit) => enter(stream, peer, permit),
                    None => listener.door().turn_away(peer),
                }
            }
            Err(error) => {
                listener.door().accept_failed(&error);
                // Mostly no descriptor is free, and nothing tells when one is again.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

/// One of the `maxClients` places of a listener; given back when dropped.
pub(super) struct Permit<L: HasDoor>(pub(super) Arc<L>);

impl<L: HasDoor> Permit<L> {
    fn take(listener: &Arc<L>) -> Option<Permit<L>> {
        let door = listener.door();
        // Only the accepting task adds: the check and the addition need not be one step.
        if door.open.load(Ordering::Relaxed) >= door.connections_max {
            return None;
        }
        door.open.fetch_add(1, Ordering::Relaxed);
        Some(Permit(listener.clone()))
    }
}

impl<L: HasDoor> Deref for Permit<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.0
    }
}

impl<L: HasDoor> Drop for Permit<L> {
    fn drop(&mut self) {
        if self.0.door().open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.door().closed.notify_waiters();
        }
    }
}
