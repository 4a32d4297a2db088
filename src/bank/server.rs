//! The bank's listener.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::books::Policy;
use super::desk::Desk;
use super::ledger::Ledger;
use super::session::{self, Office};
use super::{Settings, Summary};
use crate::access::AllowList;
use crate::dialect::Dialect;
use crate::time::Now;

/// How the time is read.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// How many connections a bank holds at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 65_536;

/// How long the listener rests after an error (out of files, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a bank ended that should have gone on.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// The ledger's file can't be made or written.
    #[error("the ledger {path} can't be written")]
    Ledger {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Binds where `settings` say; port 0 takes any free port, which [`TcpListener::local_addr`] then tells.
///
/// # Errors
/// Those of looking the host up and of binding.
pub async fn bind(settings: &Settings) -> io::Result<TcpListener> {
    TcpListener::bind((settings.host.as_str(), settings.port)).await
}

/// Runs a bank on `listener` until `shutdown` ends, and tells what it did. Host and port of `settings` are not looked at.
///
/// Prints nothing. At the end connections are cut and the ledger is whole.
///
/// # Errors
/// [`BankError::Ledger`] when the ledger's file cannot be made, at once, or cannot be written, when that is noticed: a
/// bank whose ledger has holes is of no use.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    dialect: Arc<Dialect>,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, BankError> {
    let path = settings.ledger.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let ledger_error = |source| BankError::Ledger { path: path.clone(), source };
    let (tell_failure, failure) = tokio::sync::oneshot::channel();
    let create = |file: &PathBuf| {
        // Nobody listens any more when the bank is stopping: then closing the ledger tells the error.
        Ledger::create(file, move || tell_failure.send(()).unwrap_or_default())
    };
    let ledger = settings.ledger.as_ref().map(create).transpose().map_err(ledger_error)?;
    let policy = Policy {
        unlimited: settings.unlimited,
        magic: settings.magic,
        seed: settings.seed,
        ..Policy::default()
    };
    let desk = Desk::new(&dialect, policy, settings.faults, ledger);
    let office = Arc::new(Office {
        codes: desk.codes().clone(),
        desk: Mutex::new(desk),
        answers: AtomicU64::new(0),
        dialect,
        framing: settings.framing,
        frame_len_max: settings.frame_len_max,
        clock,
    });
    let mut sessions = JoinSet::new();
    tokio::select! {
        never = accept(&listener, &settings.allowed, &office, &mut sessions) => match never {},
        () = shutdown => {}
        // Without a ledger the sender is gone, and this branch with it.
        Ok(()) = failure => {}
    }
    drop(listener);
    sessions.shutdown().await;
    let (summary, ledger) = {
        let mut desk = office.desk();
        let answers = office.answers.load(Ordering::Relaxed);
        (Summary { answers, ..desk.summary }, desk.take_ledger())
    };
    if let Some(mut ledger) = ledger {
        let closed = tokio::task::spawn_blocking(move || ledger.close()).await;
        closed.map_err(io::Error::other).flatten().map_err(ledger_error)?;
    }
    Ok(summary)
}

async fn accept(
    listener: &TcpListener,
    allowed: &AllowList,
    office: &Arc<Office>,
    sessions: &mut JoinSet<()>,
) -> std::convert::Infallible {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if !allowed.allows(peer.ip()) => continue,
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Mostly no descriptor is free, and nothing tells when one is again.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = sessions.join_next() => continue,
        };
        office.desk().summary.connections += 1;
        // A peer that is already gone shows itself at the first read.
        let _ = stream.set_nodelay(true);
        if sessions.len() < CONNECTIONS_MAX {
            let office = office.clone();
            sessions.spawn(async move { session::talk(stream, &office).await });
        }
    }
}
