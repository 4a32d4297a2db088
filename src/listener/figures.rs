//! What a listener tells of itself, whatever its clients speak.

/// The counters (they only grow) and gauges of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Its name, as in `listening NAME ADDRESS`.
    pub name: String,
    /// Connections open now.
    pub open: u64,
    /// Most of them at a time.
    pub open_max: u64,
    /// Connections accepted, those turned away included.
    pub accepted: u64,
    /// Connections closed at once.
    pub turned_away: u64,
    /// Messages or requests read.
    pub requests: u64,
    /// What never reached an upstream, by reason (one word each).
    pub rejected: Vec<(&'static str, u64)>,
    /// Requests that ended in an error of the gateway.
    pub failed: u64,
    /// Replies whose every byte the client's socket took.
    pub delivered: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}
