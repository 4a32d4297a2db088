//! The gateway of a process: one upstream, its listeners, and how they end.

use std::time::Duration;

use slog::{Logger, error, info, o, warn};
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};

use super::ServerError;
use super::signals::Signals;
use crate::config::Config;
use crate::journal::Journal;
use crate::journal::memory::Memory;
use crate::listener::tcp::{self, Listener};
use crate::net::TimeSource;
use crate::net::tcp::{Acceptor, Dialler};
use crate::upstream::{Driver, Endpoint, Handle, Parts, Settings, Source};

/// After the drain: how long clients may still take what was written to them.
const LAST_WRITES: Duration = Duration::from_secs(1);
/// How long the state of the upstream is waited for when a second signal asks to stop at once.
const LAST_LOOK: Duration = Duration::from_millis(200);

/// A gateway whose sockets are bound and not yet served.
pub(super) struct Gateway {
    name: String,
    driver: Driver<TcpStream>,
    handle: Handle,
    listeners: Vec<(Acceptor, std::sync::Arc<Listener>)>,
    log: Logger,
}

/// A gateway at work.
pub(super) struct Running {
    name: String,
    driver: JoinHandle<()>,
    handle: Handle,
    acceptors: Vec<JoinHandle<()>>,
    listeners: Vec<std::sync::Arc<Listener>>,
    log: Logger,
}

/// How a gateway stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Nothing is owed, or a journal keeps it.
    AtRest,
    /// Something is owed and will be forgotten; it was logged.
    Owing,
}

impl Gateway {
    /// Binds all its sockets and appends what they are called.
    pub(super) async fn bind(
        upstream: &Settings,
        config: &Config,
        clock: &TimeSource,
        log: &Logger,
        listening: &mut Vec<String>,
    ) -> Result<Gateway, ServerError> {
        let mut listeners = Vec::new();
        for settings in &config.tcp {
            // Before `deliveryTimeout` is over: a peer that has vanished is to be noticed within it.
            let user_timeout = settings.delivery_timeout * 4 / 5;
            let acceptor = bind("listenPort", &settings.host, settings.port, Some(user_timeout)).await?;
            listening.push(format!("{} {}", settings.name, acceptor.local_addr()?));
            let log = log.new(o!("listener" => settings.name.clone()));
            let listener =
                Listener::new(settings.clone(), config.dialect.clone(), clock.clone(), log, config.log.mask);
            listeners.push((acceptor, listener));
        }
        // Bytes that the host does not acknowledge are a stalled write as well, only that the kernel has them.
        let stall = Some(upstream.write_stall);
        let source = match &upstream.endpoint {
            Endpoint::Connect { host, port } => {
                Source::Dial(Box::new(Dialler::new(host.clone(), *port, stall)))
            }
            Endpoint::Listen { host, port } => {
                let acceptor = bind("upstreamListenPort", host, *port, stall).await?;
                listening.push(format!("{} {}", upstream.name, acceptor.local_addr()?));
                Source::Accept(Box::new(acceptor))
            }
        };
        let journal: Option<Box<dyn Journal>> =
            upstream.mux.journaled.then(|| Box::new(Memory::new()) as Box<dyn Journal>);
        let parts = Parts {
            dialect: config.dialect.clone(),
            source,
            clock: clock.clone(),
            journal,
            log: log.new(o!("upstream" => upstream.name.clone())),
            mask: config.log.mask,
            seed: clock().wall_ms.unsigned_abs() ^ u64::from(std::process::id()) << 32,
        };
        let (driver, handle) = Driver::new(upstream.clone(), parts);
        Ok(Gateway { name: upstream.name.clone(), driver, handle, listeners, log: log.clone() })
    }

    /// Begins to serve.
    pub(super) fn start(self) -> Running {
        let driver = tokio::spawn(self.driver.run());
        let (mut acceptors, mut listeners) = (Vec::new(), Vec::new());
        for (acceptor, listener) in self.listeners {
            acceptors.push(tokio::spawn(tcp::serve(acceptor, listener.clone(), self.handle.clone())));
            listeners.push(listener);
        }
        Running { name: self.name, driver, handle: self.handle, acceptors, listeners, log: self.log }
    }
}

async fn bind(
    key: &'static str,
    host: &str,
    port: u16,
    user_timeout: Option<Duration>,
) -> Result<Acceptor, ServerError> {
    let bound = Acceptor::bind(host, port, user_timeout).await;
    bound.map_err(|source| ServerError::Bind { key, address: format!("{host}:{port}"), source })
}

impl Running {
    /// The end of the upstream's task while it should run.
    pub(super) async fn failed(&mut self) -> ServerError {
        let ended: Result<(), JoinError> = (&mut self.driver).await;
        if let Err(panic) = ended {
            error!(self.log, "the task of the upstream panicked"; "upstream" => &self.name, "reason" => %panic);
        }
        ServerError::Driver(self.name.clone())
    }

    /// HUP.
    pub(super) fn reset(&self) {
        self.handle.forget_causes();
    }

    /// No new connections, no new requests; what is in flight gets its answer. At once with a second signal.
    pub(super) async fn stop(self, drain_timeout: Duration, signals: &mut Signals) -> Stopped {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
        info!(self.log, "draining"; "at_most_s" => drain_timeout.as_secs());
        let end = Instant::now() + drain_timeout + LAST_WRITES;
        tokio::select! {
            stopped = self.drain(drain_timeout, end) => stopped,
            signal = signals.stop() => {
                warn!(self.log, "got a second signal: stopping at once"; "signal" => signal);
                self.last_look().await
            }
        }
    }

    async fn drain(&self, drain_timeout: Duration, end: Instant) -> Stopped {
        // The driver keeps its own time; the limit here is for one that does not answer.
        let drained = timeout_at(end + LAST_WRITES, self.handle.drain(drain_timeout)).await;
        let Ok(Some(drained)) = drained else {
            error!(self.log, "the upstream did not come to rest"; "upstream" => &self.name);
            return Stopped::Owing;
        };
        for listener in &self.listeners {
            if timeout_at(end.max(Instant::now() + LAST_WRITES), listener.at_rest()).await.is_err() {
                warn!(self.log, "clients cut off"; "connections" => listener.connections());
            }
        }
        if drained.owed == 0 || drained.durable { Stopped::AtRest } else { Stopped::Owing }
    }

    /// What is given up by stopping now.
    async fn last_look(&self) -> Stopped {
        let tally =
            timeout(LAST_LOOK, self.handle.snapshot()).await.ok().flatten().map(|snapshot| snapshot.tally);
        match tally {
            Some(tally) if tally.open == 0 => Stopped::AtRest,
            Some(tally) => {
                error!(self.log, "stopped with transactions open and no journal";
                    "in_flight" => tally.in_flight, "owed" => tally.owed, "open" => tally.open);
                Stopped::Owing
            }
            None => Stopped::Owing,
        }
    }
}
