//! Who may talk to us: networks by listener ([`AllowList`], [`Guarded`]), API keys ([`ApiKeys`]), and how often a wrong
//! one may be tried ([`Failures`]).
//!
//! A foreign address is turned away on accept, before a byte of it is read. A wrong key costs its address one of
//! [`FAILURES_MAX`] tries; then that address is not looked at any more for [`PENALTY`].

mod failures;
mod keys;
mod random;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use ipnet::IpNet;
use slog::{Logger, warn};

pub use failures::{ADDRESSES_MAX, FAILURES_MAX, Failures, PENALTY, WINDOW};
pub use keys::{ApiKey, ApiKeys, Denied, Guard, Identity, KEY_ID_LEN_MAX, KEY_LEN_MAX};
pub use random::{fresh_key, random_bytes};

use crate::net::{Accept, Connected, Rarely, TimeSource};

/// The networks from which a listener takes connections (`allowedIp`). Without any, it takes them from everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<IpNet>);

impl AllowList {
    /// These networks; none: everywhere.
    pub fn new(networks: Vec<IpNet>) -> AllowList {
        AllowList(networks)
    }

    /// Whether everybody may come.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` may come. An IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`, as a dual-stack socket shows it)
    /// counts as what it is.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.is_open() || self.0.iter().any(|network| network.contains(&address))
    }
}

/// The door of one listener: its networks, and how many were turned away.
#[derive(Debug)]
pub struct Gate {
    allowed: AllowList,
    refused: AtomicU64,
    warned: Rarely,
}

impl Gate {
    /// A door that lets these in.
    pub fn new(allowed: AllowList) -> Arc<Gate> {
        Arc::new(Gate { allowed, refused: AtomicU64::new(0), warned: Rarely::default() })
    }

    /// Whether a connection from `peer` is taken. One that is not is counted, and logged once a second at most; it is for
    /// the caller to close it unread.
    pub fn lets_in(&self, peer: SocketAddr, clock: &TimeSource, log: &Logger) -> bool {
        if self.allowed.allows(peer.ip()) {
            return true;
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(skipped) = self.warned.now(clock().uptime) {
            warn!(log, "connection refused: its address is not in allowedIp"; "peer" => %peer, "more" => skipped);
        }
        false
    }

    /// How many connections were turned away for their address.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Takes in from another acceptor what its [`Gate`] allows. What it does not is closed before a byte of it is read,
/// counted, and logged once a second at most.
pub struct Guarded<A> {
    inner: A,
    gate: Arc<Gate>,
    clock: TimeSource,
    log: Logger,
}

impl<A: Accept> Guarded<A> {
    /// Stands in front of `inner`.
    pub fn new(inner: A, gate: Arc<Gate>, clock: TimeSource, log: Logger) -> Guarded<A> {
        Guarded { inner, gate, clock, log }
    }

    /// Its door.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }
}

impl<A: Accept> Accept for Guarded<A> {
    type Stream = A::Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Connected<A::Stream>> {
        loop {
            let (stream, peer) = match std::task::ready!(self.inner.poll_accept(cx)) {
                Ok(accepted) => accepted,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if self.gate.lets_in(peer, &self.clock, &self.log) {
                return Poll::Ready(Ok((stream, peer)));
            }
            drop(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(networks: &[&str]) -> AllowList {
        AllowList::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn an_address_is_allowed_by_any_network_that_contains_it_and_everywhere_without_one() {
        let some = list(&["10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32"]);
        for (address, allowed) in [
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("10.0.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:10.2.2.3", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(some.allows(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(list(&[]).allows("203.0.113.9".parse().unwrap()));
        assert!(!list(&["0.0.0.0/0"]).allows("2001:db8::1".parse().unwrap()));
    }
}
