//! Statistics and admin servers: on a thread and a runtime of their own, so that looking at the gateway does not hold it
//! up.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use slog::{Logger, o, warn};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::ServerError;
use crate::access::Gate;
use crate::admin::socket::AdminSocket;
use crate::admin::{self, Doors, OperatorSocket, Sources};
use crate::config::Config;

/// How long they may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The sockets, bound.
pub(super) struct Observers(Doors);

/// The servers at work.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    ended: Option<oneshot::Receiver<Result<(), String>>>,
}

impl Observers {
    /// Binds what `config` names and appends what it is called.
    pub(super) fn bind(
        config: &Config,
        log: &Logger,
        listening: &mut Vec<String>,
    ) -> Result<Observers, ServerError> {
        let Config { admin: settings, allowed, .. } = config;
        let mut doors = Doors::default();
        for (key, name, address, allowed, door) in [
            ("statServerPort", "statistics", &settings.statistics, &allowed.stat, &mut doors.statistics),
            ("adminPort", "admin", &settings.admin, &allowed.admin, &mut doors.admin),
        ] {
            let Some(address) = address else { continue };
            let bound = TcpListener::bind((address.host.as_str(), address.port)).and_then(|listener| {
                listener.set_nonblocking(true)?;
                listening.push(format!("{name} {}", listener.local_addr()?));
                Ok(listener)
            });
            let failed = |source| ServerError::Bind { key, address: address.to_string(), source };
            *door = Some((bound.map_err(failed)?, Gate::new(allowed.clone())));
        }
        if let Some(OperatorSocket { path, is_default }) = &settings.socket {
            let shown = path.display();
            match AdminSocket::bind(path) {
                Ok(socket) => {
                    doors.socket = Some(socket);
                    listening.push(format!("admin-socket {shown}"));
                }
                // A full disk, or one that has no sockets, is no reason not to make good what is owed.
                Err(error) if *is_default => {
                    warn!(log, "no adminSocket: orders for the journal are not taken while this process runs; \
                        give adminSocket another place, or none"; "path" => %shown, "reason" => %error);
                }
                Err(source) => {
                    return Err(ServerError::Bind { key: "adminSocket", address: shown.to_string(), source });
                }
            }
        }
        Ok(Observers(doors))
    }

    /// Begins to serve, if there is anything.
    pub(super) fn start(self, sources: Sources, log: &Logger) -> Running {
        let (stop, mut stopped) = watch::channel(false);
        if self.0.is_empty() {
            return Running { stop, ended: None };
        }
        let (tell, ended) = oneshot::channel();
        let log = log.new(o!("listener" => "admin"));
        let spawned = thread::Builder::new().name("admin".into()).spawn(move || {
            let until = async move {
                // An error: the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served =
                runtime.and_then(|runtime| runtime.block_on(admin::serve(self.0, sources, log, until)));
            let _ = tell.send(served.map_err(|error| format!("the admin server cannot run: {error}")));
        });
        if let Err(error) = spawned {
            let (tell, ended) = oneshot::channel();
            let _ = tell.send(Err(format!("the admin server cannot run: {error}")));
            return Running { stop, ended: Some(ended) };
        }
        Running { stop, ended: Some(ended) }
    }
}

impl Running {
    /// What went wrong; never, while all is well.
    pub(super) async fn ended(&mut self) -> String {
        let Some(ended) = &mut self.ended else { return std::future::pending().await };
        match ended.await {
            Ok(Err(problem)) => problem,
            Ok(Ok(())) | Err(_) => "the admin server ended".into(),
        }
    }

    /// Ends them.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true);
        if let Some(ended) = self.ended {
            let _ = timeout(STOP_TIMEOUT, ended).await;
        }
    }
}
