//! HTTP: ISO 8583 fields as a JSON object (`POST /`), whole messages as hex or bytes (`POST /raw`).
//!
//! One task a connection, as for TCP: [`connection`] owns the socket and the session with the upstream, hyper reads
//! requests and writes responses through it, and handlers reach it by a [`Client`], which they find among the request's
//! extensions. Neither a handler that has returned nor a body that was taken is delivery: an answer counts as delivered
//! when the connection's own socket has taken the last byte of its response.

mod body;
mod connection;
mod guard;
mod io;
mod openapi;
mod plain;
mod serve;
pub mod v1;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use slog::Logger;

pub use body::{BODY_MAX, BodyError, read as read_body};
pub use connection::{Client, Receipt, Reply, Submission};
pub use serve::serve;

use super::Figures;
use super::door::{Counts, Door, HasDoor};
use crate::dialect::Dialect;
use crate::iso8583::mask::MaskStyle;
use crate::net::{Rarely, TimeSource};
use crate::rules::json::Values;
use crate::upstream::Handle;

/// One HTTP listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in `listening NAME ADDRESS` and logs.
    pub name: String,
    /// `listenHttpHost`.
    pub host: String,
    /// `listenHttpPort`; 0: any.
    pub port: u16,
    /// `clientTimeout`: a connection without a request, or a request without a further byte, ends after it.
    pub idle_timeout: Option<Duration>,
    /// `httpTimeout`: from the first byte of a request to its last.
    pub request_timeout: Duration,
    /// `maxClients`.
    pub connections_max: usize,
    /// `exactValues`.
    pub exact_values: bool,
    /// `deliveryTimeout`.
    pub delivery_timeout: Duration,
}

/// A listener as its handlers see it: the state of all routes. Shared.
pub struct Listener {
    pub(super) settings: Settings,
    pub(super) dialect: Arc<Dialect>,
    pub(super) clock: TimeSource,
    pub(super) log: Logger,
    pub(super) mask: MaskStyle,
    pub(super) upstream: Handle,
    door: Door,
    overload: Rarely,
    expired: Rarely,
}

impl Listener {
    /// A listener without connections.
    pub fn new(
        settings: Settings,
        dialect: Arc<Dialect>,
        upstream: Handle,
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
            upstream,
            door,
            overload: Rarely::default(),
            expired: Rarely::default(),
        })
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The dialect of its clients.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// The upstream that it submits to.
    pub fn upstream(&self) -> &Handle {
        &self.upstream
    }

    /// Its clock.
    pub fn clock(&self) -> &TimeSource {
        &self.clock
    }

    /// Its logger.
    pub fn log(&self) -> &Logger {
        &self.log
    }

    /// How card data is masked in logs.
    pub fn mask(&self) -> MaskStyle {
        self.mask
    }

    /// Its counters.
    pub fn counts(&self) -> &Counts {
        &self.door.counts
    }

    /// Its name and figures, for metrics.
    pub fn figures(&self) -> Figures {
        self.door.figures(&self.settings.name)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.door.connections()
    }

    /// Waits until no connection is open.
    pub async fn at_rest(&self) {
        self.door.at_rest().await;
    }

    fn values(&self) -> Values {
        if self.settings.exact_values { Values::Exact } else { Values::Original }
    }
}

impl HasDoor for Listener {
    fn door(&self) -> &Door {
        &self.door
    }
}

/// The routes of SocketQueue's service: `/` and `/raw`, and what every other path gets. Merge others in before the state
/// is given.
pub fn routes() -> Router<Arc<Listener>> {
    plain::routes()
}

/// The same with `/v1` beside them. Where API keys are configured, everything but the description of the API asks for one.
pub fn routes_with(api: Arc<v1::Api>) -> Router<Arc<Listener>> {
    guard::guarded(routes(), api.clone()).merge(v1::routes(api))
}
