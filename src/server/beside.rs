//! Bank and test clients beside the gateway: on a thread and a runtime of their own.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use slog::{Logger, info};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::ServerError;
use crate::bank;
use crate::config::Config;
use crate::dialect::Dialect;
use crate::net::TimeSource;
use crate::testclients::{self, Pace};

/// How long bank and test clients may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

type Job = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What is to run beside the gateway; its sockets are bound.
pub(super) struct Beside {
    bank: Option<(TcpListener, bank::Settings)>,
    test_clients: Option<testclients::Settings>,
    dialect: Arc<Dialect>,
    clock: TimeSource,
    log: Logger,
}

/// What runs beside the gateway.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    ended: Option<oneshot::Receiver<Result<(), String>>>,
}

impl Beside {
    /// Binds the bank's socket and appends what it is called.
    pub(super) fn bind(
        config: &Config,
        clock: &TimeSource,
        log: &Logger,
        listening: &mut Vec<String>,
    ) -> Result<Beside, ServerError> {
        let bank = match &config.bank {
            None => None,
            Some(settings) => {
                let bound = bind(settings).map_err(|source| ServerError::Bind {
                    key: "echoServerPort",
                    address: format!("{}:{}", settings.host, settings.port),
                    source,
                })?;
                listening.push(format!("bank {}", bound.local_addr()?));
                Some((bound, settings.clone()))
            }
        };
        Ok(Beside {
            bank,
            test_clients: config.test_clients.clone(),
            dialect: config.dialect.clone(),
            clock: clock.clone(),
            log: log.clone(),
        })
    }

    /// Begins to run, on a thread of its own if there is anything.
    pub(super) fn start(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut jobs: Vec<Job> = Vec::new();
        if let Some((listener, settings)) = self.bank {
            jobs.push(Box::pin(run_bank(
                listener,
                settings,
                self.dialect.clone(),
                self.clock.clone(),
                self.log.clone(),
                stopped.clone(),
            )));
        }
        if let Some(settings) = self.test_clients {
            jobs.push(Box::pin(run_clients(settings, self.dialect, self.clock, self.log, stopped)));
        }
        if jobs.is_empty() {
            return Running { stop, ended: None };
        }
        let (tell, ended) = oneshot::channel();
        let failed_to_start = |error: io::Error| Err(format!("bank and test clients cannot run: {error}"));
        let spawned = thread::Builder::new().name("beside".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let _ = tell.send(match runtime {
                Ok(runtime) => runtime.block_on(futures::future::try_join_all(jobs)).map(drop),
                Err(error) => failed_to_start(error),
            });
        });
        match spawned {
            Ok(_) => Running { stop, ended: Some(ended) },
            Err(error) => {
                let (tell, ended) = oneshot::channel();
                let _ = tell.send(failed_to_start(error));
                Running { stop, ended: Some(ended) }
            }
        }
    }
}

impl Running {
    /// What went wrong; never, while all is well.
    pub(super) async fn ended(&mut self) -> String {
        let Some(ended) = &mut self.ended else { return std::future::pending().await };
        match ended.await {
            Ok(Err(problem)) => problem,
            Ok(Ok(())) | Err(_) => "bank and test clients ended".into(),
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

fn bind(settings: &bank::Settings) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((settings.host.as_str(), settings.port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn run_bank(
    listener: TcpListener,
    settings: bank::Settings,
    dialect: Arc<Dialect>,
    clock: TimeSource,
    log: Logger,
    stopped: watch::Receiver<bool>,
) -> Result<(), String> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
    let served = bank::serve(listener, settings, dialect, clock, until(stopped)).await;
    let summary = served.map_err(|error| error.to_string())?;
    info!(log, "bank closed"; "summary" => ?summary);
    Ok(())
}

async fn run_clients(
    settings: testclients::Settings,
    dialect: Arc<Dialect>,
    clock: TimeSource,
    log: Logger,
    stopped: watch::Receiver<bool>,
) -> Result<(), String> {
    let report = |summary: &testclients::Summary| info!(log, "test clients"; "summary" => ?summary);
    let pace = Pace { seed: clock().wall_ms.unsigned_abs(), ..Pace::default() };
    let ran = testclients::run(settings, pace, dialect, clock, until(stopped), report).await;
    let summary = ran.map_err(|error| error.to_string())?;
    info!(log, "test clients ended"; "summary" => ?summary);
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error: the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
