//! Signals, as the server takes them.

use std::io;

use futures::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// TERM, INT: drain; a second one: stop at once.
    Stop(&'static str),
    /// HUP: reopen the log, reset the statistics.
    Reopen,
}

/// The signals of this process.
pub(super) struct Signals(signal_hook_tokio::Signals);

impl Signals {
    /// From now on these signals are ours.
    pub(super) fn new() -> io::Result<Signals> {
        signal_hook_tokio::Signals::new([SIGTERM, SIGINT, SIGHUP]).map(Signals)
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        match self.0.next().await {
            Some(SIGTERM) => Signal::Stop("SIGTERM"),
            Some(SIGINT) => Signal::Stop("SIGINT"),
            Some(_) => Signal::Reopen,
            // The stream ends only when its handle is closed, and nobody has one.
            None => std::future::pending().await,
        }
    }

    /// The next one that asks for a stop.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Signal::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
