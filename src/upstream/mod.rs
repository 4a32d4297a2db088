//! One upstream: the driver task that owns its mux and its link, and the handle by which listeners reach it.

mod backoff;
mod counts;
mod driver;
mod handle;
mod incoming;
mod link;
mod mailbox;
mod queue;
mod report;
mod sessions;
mod shown_key;
#[cfg(test)]
mod woken;
pub mod words;

use std::time::Duration;

pub use counts::{ByCause, Counts};
pub use driver::{Driver, Parts};
pub use handle::{Drained, Handle, Notice, Policy, SUBMITS_MIN, Session, Slot, Snapshot, Standing, Who};
pub use link::Source;
pub use mailbox::Notices;
pub use report::LinkTally;

use crate::framing::Framing;

/// Everything one upstream needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in logs and metrics.
    pub name: String,
    /// Where the host is.
    pub endpoint: Endpoint,
    /// What stands around its messages.
    pub framing: Framing,
    /// Largest payload taken from the host.
    pub frame_len_max: usize,
    /// `upstreamTimeout`: a link without bytes either way for so long, with no answer awaited, is closed.
    pub idle_timeout: Option<Duration>,
    /// `strictReplies`: a reply that cannot be read to its end is refused, not delivered.
    pub strict_replies: bool,
    /// First pause before dialling again; doubled up to `backoff_max`, with jitter.
    pub backoff_first: Duration,
    /// Longest pause before dialling again.
    pub backoff_max: Duration,
    /// A write that makes no progress for so long ends the link.
    pub write_stall: Duration,
    /// The policy of its mux.
    pub mux: crate::mux::Settings,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// We connect.
    Connect {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// The host connects to us; one link at a time, a second connection is closed.
    Listen {
        /// Address to bind.
        host: String,
        /// Port; 0: any.
        port: u16,
    },
}
