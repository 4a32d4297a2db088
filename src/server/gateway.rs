//! The gateway of a process: one upstream, its listeners, and how they end.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, error, info, o, warn};
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};

use super::ServerError;
use super::restart::{self, Found, Opened};
use super::signals::Signals;
use crate::access::{Gate, Guard, Guarded};
use crate::admin::{JournalSource, ListenerSource, Sources};
use crate::config::Config;
use crate::journal::Journal;
use crate::journal::sqlite::Names;
use crate::listener::{Figures, http, tcp};
use crate::mux::{Statistics, TxId};
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
    tcp: Vec<(Guarded<Acceptor>, Arc<tcp::Listener>)>,
    http: Vec<Http>,
    durable: bool,
    looked_at: Option<JournalSource>,
    log: Logger,
}

/// An HTTP listener whose socket is bound.
type Http = (Guarded<Acceptor>, Arc<http::Listener>, Arc<http::v1::Api>);

/// A gateway at work.
pub(super) struct Running {
    name: String,
    driver: JoinHandle<()>,
    handle: Handle,
    /// Those of TCP stop at the beginning of a drain, those of HTTP go on to its end: a new request is told.
    tcp_acceptors: Vec<JoinHandle<()>>,
    http_acceptors: Vec<JoinHandle<()>>,
    tcp: Vec<Arc<tcp::Listener>>,
    http: Vec<Arc<http::Listener>>,
    /// Whether a journal keeps what is open for the next start.
    durable: bool,
    /// What metrics tell of that journal.
    looked_at: Option<JournalSource>,
    /// What metrics tell of them.
    figures: Vec<ListenerSource>,
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
        let mut tcp = Vec::new();
        for settings in &config.tcp {
            // Before `deliveryTimeout` is over: a peer that has vanished is to be noticed within it.
            let user_timeout = settings.delivery_timeout * 4 / 5;
            let acceptor = bind("listenPort", &settings.host, settings.port, Some(user_timeout)).await?;
            listening.push(format!("{} {}", settings.name, acceptor.local_addr()?));
            let log = log.new(o!("listener" => settings.name.clone()));
            let listener = tcp::Listener::new(
                settings.clone(),
                config.dialect.clone(),
                clock.clone(),
                log.clone(),
                config.log.mask,
            );
            let gate = Gate::new(config.allowed.clients.clone());
            tcp.push((Guarded::new(acceptor, gate, clock.clone(), log), listener));
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
                let log = log.new(o!("upstream" => upstream.name.clone()));
                let gate = Gate::new(config.allowed.upstream.clone());
                Source::Accept(Box::new(Guarded::new(acceptor, gate, clock.clone(), log)))
            }
        };
        let opened = match config.journal.as_ref().filter(|_| upstream.mux.journaled) {
            Some(options) => {
                let log = log.new(o!("upstream" => upstream.name.clone()));
                Some(restart::open(options, upstream, config, clock, &log)?)
            }
            None => None,
        };
        let durable = opened.is_some();
        let looked_at = opened.as_ref().map(|opened| JournalSource::of(&opened.journal));
        let names = opened.as_ref().map(|opened| opened.journal.names());
        let (journal, found) = match opened {
            Some(Opened { journal, found }) => (Some(Box::new(journal) as Box<dyn Journal>), found),
            None => (None, Found::default()),
        };
        let parts = Parts {
            dialect: config.dialect.clone(),
            source,
            clock: clock.clone(),
            journal,
            log: log.new(o!("upstream" => upstream.name.clone())),
            mask: config.log.mask,
            seed: clock().wall_ms.unsigned_abs() ^ u64::from(std::process::id()) << 32,
        };
        let (mut driver, handle) = Driver::new(upstream.clone(), parts);
        // Before the link is dialled and before anybody can submit.
        if let Some(names) = names {
            driver.number_after(TxId::from_bits(names.last));
        }
        driver.recover(found.open, found.remembered);
        for (was, answer, class) in found.answers {
            driver.remember_answer(was, answer, class);
        }
        let http = bind_http(config, &handle, names, clock, log, listening).await?;
        let (name, log) = (upstream.name.clone(), log.clone());
        Ok(Gateway { name, driver, handle, tcp, http, durable, looked_at, log })
    }

    /// Begins to serve.
    pub(super) fn start(self) -> Running {
        let driver = tokio::spawn(self.driver.run());
        let mut running = Running {
            name: self.name,
            driver,
            handle: self.handle,
            tcp_acceptors: Vec::new(),
            http_acceptors: Vec::new(),
            tcp: Vec::new(),
            http: Vec::new(),
            durable: self.durable,
            looked_at: self.looked_at,
            figures: Vec::new(),
            log: self.log,
        };
        for (acceptor, listener) in self.tcp {
            let (shown, gate) = (listener.clone(), acceptor.gate());
            running.figures.push(Arc::new(move || with_gate(shown.figures(), &gate)));
            let serving = tcp::serve(acceptor, listener.clone(), running.handle.clone());
            running.tcp_acceptors.push(tokio::spawn(serving));
            running.tcp.push(listener);
        }
        for (acceptor, listener, api) in self.http {
            let (shown, gate) = (listener.clone(), acceptor.gate());
            running.figures.push(Arc::new(move || with_gate(shown.figures(), &gate)));
            let serving = http::serve(acceptor, listener.clone(), http::routes_with(api));
            running.http_acceptors.push(tokio::spawn(serving));
            running.http.push(listener);
        }
        running
    }
}

/// With those whom the door turned away for their address.
fn with_gate(mut figures: Figures, gate: &Gate) -> Figures {
    figures.rejected.push(("foreign_address", gate.refused()));
    figures
}

/// The HTTP listeners, bound.
async fn bind_http(
    config: &Config,
    handle: &Handle,
    names: Option<Names>,
    clock: &TimeSource,
    log: &Logger,
    listening: &mut Vec<String>,
) -> Result<Vec<Http>, ServerError> {
    let mut bound = Vec::new();
    for settings in &config.http {
        let user_timeout = settings.delivery_timeout * 4 / 5;
        let acceptor = bind("listenHttpPort", &settings.host, settings.port, Some(user_timeout)).await?;
        listening.push(format!("{} {}", settings.name, acceptor.local_addr()?));
        let log = log.new(o!("listener" => settings.name.clone()));
        let listener = http::Listener::new(
            settings.clone(),
            config.dialect.clone(),
            handle.clone(),
            clock.clone(),
            log.clone(),
            config.log.mask,
        );
        let gate = Gate::new(config.allowed.http.clone());
        let guard = Guard::new(config.api_keys.clone(), log.clone());
        let api = http::v1::Api::new(
            config.dialect.clone(),
            handle.clone(),
            clock.clone(),
            guard,
            config.api_docs,
        )?;
        let api = match names {
            Some(names) => api.with_names(names.secret, TxId::from_bits(names.last)),
            None => api,
        };
        bound.push((Guarded::new(acceptor, gate, clock.clone(), log), listener, Arc::new(api)));
    }
    Ok(bound)
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
        self.handle.set_statistics(Statistics::default());
    }

    /// Lets itself be looked at, and goes on counting where `statistics` stood.
    pub(super) fn show_in(&self, sources: &mut Sources, statistics: Statistics) {
        self.handle.set_statistics(statistics);
        sources.upstreams.push((self.name.clone(), self.handle.clone()));
        sources.listeners.extend(self.figures.iter().cloned());
        sources.journals.extend(self.looked_at.iter().map(|source| (self.name.clone(), source.clone())));
    }

    /// No new connections, no new requests; what is in flight gets its answer. At once with a second signal.
    /// With the last statistics, unless the upstream does not tell them any more.
    pub(super) async fn stop(
        self,
        drain_timeout: Duration,
        signals: &mut Signals,
    ) -> (Stopped, Option<Statistics>) {
        for acceptor in &self.tcp_acceptors {
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

    async fn drain(&self, drain_timeout: Duration, end: Instant) -> (Stopped, Option<Statistics>) {
        // The driver keeps its own time; the limit here is for one that does not answer.
        let drained = timeout_at(end + LAST_WRITES, self.handle.drain(drain_timeout)).await;
        let Ok(Some(drained)) = drained else {
            error!(self.log, "the upstream did not come to rest"; "upstream" => &self.name);
            return (Stopped::Owing, None);
        };
        for acceptor in &self.http_acceptors {
            acceptor.abort();
        }
        let rest = end.max(Instant::now() + LAST_WRITES);
        for listener in &self.tcp {
            if timeout_at(rest, listener.at_rest()).await.is_err() {
                warn!(self.log, "clients cut off"; "connections" => listener.connections());
            }
        }
        for listener in &self.http {
            if timeout_at(rest, listener.at_rest()).await.is_err() {
                warn!(self.log, "HTTP clients cut off"; "connections" => listener.connections());
            }
        }
        let owing = drained.owed > 0 && !drained.durable;
        (if owing { Stopped::Owing } else { Stopped::AtRest }, Some(drained.statistics))
    }

    /// What is given up by stopping now.
    async fn last_look(&self) -> (Stopped, Option<Statistics>) {
        let Some(snapshot) = timeout(LAST_LOOK, self.handle.snapshot()).await.ok().flatten() else {
            return (Stopped::Owing, None);
        };
        let tally = snapshot.tally;
        if tally.open == 0 {
            return (Stopped::AtRest, Some(snapshot.statistics));
        }
        if self.durable {
            // The journal is flushed as the driver goes; the next start makes good what is open.
            warn!(self.log, "stopped with transactions open: the journal has them";
                "in_flight" => tally.in_flight, "owed" => tally.owed, "open" => tally.open);
            return (Stopped::AtRest, Some(snapshot.statistics));
        }
        error!(self.log, "stopped with transactions open and no journal";
            "in_flight" => tally.in_flight, "owed" => tally.owed, "open" => tally.open);
        (Stopped::Owing, Some(snapshot.statistics))
    }
}
