//! ISO 8583 over TCP: one task a connection, many transactions on each.
//!
//! [`serve`] accepts, [`session`] reads, checks, submits and writes.

mod output;
mod session;

use std::sync::Arc;
use std::time::Duration;

use slog::Logger;

use super::Figures;
pub use super::door::Counts;
use super::door::{self, Door, HasDoor, Permit};
use crate::dialect::Dialect;
use crate::framing::Framing;
use crate::iso8583::mask::MaskStyle;
use crate::net::{Accept, Rarely, TimeSource};
use crate::upstream::{Handle, Who};

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

/// What clients speak here, as logs name it.
const SCHEME: &str = "tcp";

/// A listener as its sessions see it: what it needs to know, and its counters. Shared by all of them.
pub struct Listener {
    settings: Settings,
    dialect: Arc<Dialect>,
    clock: TimeSource,
    log: Logger,
    mask: MaskStyle,
    door: Door,
    overload: Rarely,
    expired: Rarely,
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
        let door = Door::new(settings.connections_max, clock.clone(), log.clone());
        Arc::new(Listener {
            settings,
            dialect,
            clock,
            log,
            mask,
            door,
            overload: Rarely::default(),
            expired: Rarely::default(),
        })
    }

    /// Its counters.
    pub fn counts(&self) -> &Counts {
        &self.door.counts
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.door.connections()
    }

    /// Its name and figures, for metrics.
    pub fn figures(&self) -> Figures {
        self.door.figures(&self.settings.name)
    }

    /// Waits until no connection is open.
    pub async fn at_rest(&self) {
        self.door.at_rest().await;
    }
}

/// Accepts connections for as long as it is polled, and spawns a session for each.
pub async fn serve<A: Accept>(acceptor: A, listener: Arc<Listener>, upstream: Handle) {
    let enter = |stream, peer, permit: Permit<Listener>| {
        let session = upstream.session_of(Who { scheme: SCHEME, peer });
        tokio::spawn(session::run(stream, peer, permit, session));
    };
    door::serve(acceptor, listener, enter).await;
}

impl HasDoor for Listener {
    fn door(&self) -> &Door {
        &self.door
    }
}
