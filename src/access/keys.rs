//! API keys.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use slog::{Logger, warn};
use subtle::{Choice, ConstantTimeEq};

use super::{AllowList, Failures};
use crate::net::Rarely;

/// Longest key that is looked at, in bytes; [`fresh_key`](super::fresh_key) makes 67.
pub const KEY_LEN_MAX: usize = 256;
/// Longest name of a key.
pub const KEY_ID_LEN_MAX: usize = 64;

/// One API key, of which only the hash is known.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name, in logs, and the scope of idempotency.
    pub id: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// From where it may be used.
    pub allowed: AllowList,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// The API keys of a listener. Without any, no key is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// These keys.
    pub fn new(keys: Vec<ApiKey>) -> ApiKeys {
        ApiKeys(keys)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that was presented. All are compared, each in constant time: how long it takes does not tell how close a
    /// guess was, nor which key it was.
    fn find(&self, presented: &[u8]) -> Option<&ApiKey> {
        let hash: [u8; 32] = Sha256::digest(presented).into();
        let mut found = None;
        for key in &self.0 {
            let is_it: Choice = key.sha256.ct_eq(&hash);
            if bool::from(is_it) {
                found = Some(key);
            }
        }
        found
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No keys are configured.
    Anybody,
    /// The bearer of this key.
    Key(Arc<str>),
}

impl Identity {
    /// The name of the key; empty where none are configured.
    pub fn id(&self) -> &str {
        match self {
            Identity::Anybody => "",
            Identity::Key(id) => id,
        }
    }
}

/// Why somebody may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No key was presented: 401.
    #[error("an API key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY")]
    NoKey,
    /// What was presented is no key of ours: 401.
    #[error("the API key is not known")]
    WrongKey,
    /// The key may not be used from this address: 403.
    #[error("the API key may not be used from this address")]
    NotFromHere,
    /// Too many wrong keys from this address: 429.
    #[error("too many wrong API keys from this address; try again in {} s", .again.as_secs().max(1))]
    TooMany {
        /// When it may try again.
        again: Duration,
    },
}

impl Denied {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Denied::NoKey | Denied::WrongKey => 401,
            Denied::NotFromHere => 403,
            Denied::TooMany { .. } => 429,
        }
    }

    /// Its name in answers and logs.
    pub fn cause(self) -> &'static str {
        match self {
            Denied::NoKey => "no_api_key",
            Denied::WrongKey => "wrong_api_key",
            Denied::NotFromHere => "not_from_here",
            Denied::TooMany { .. } => "too_many_failures",
        }
    }

    /// `Retry-After`, in seconds, where waiting helps.
    pub fn retry_after(self) -> Option<u64> {
        match self {
            Denied::TooMany { again } => Some(again.as_secs().saturating_add(1)),
            _ => None,
        }
    }
}

/// Decides who may ask: keys, and the failures of each address. One for each listener.
pub struct Guard {
    keys: ApiKeys,
    failures: Failures,
    denied: AtomicU64,
    warned: Rarely,
    log: Logger,
}

impl Guard {
    /// Asks for one of `keys`; for none, if there are none.
    pub fn new(keys: ApiKeys, log: Logger) -> Arc<Guard> {
        let (failures, warned) = (Failures::default(), Rarely::default());
        Arc::new(Guard { keys, failures, denied: AtomicU64::new(0), warned, log })
    }

    /// Whether keys are asked for.
    pub fn asks(&self) -> bool {
        !self.keys.is_empty()
    }

    /// How many were denied.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Who `presented` a key from `address`.
    ///
    /// # Errors
    /// Why they may not ask; counted, and logged once a second at most. A missing key is no try; a wrong one is.
    pub fn admit(
        &self,
        presented: Option<&[u8]>,
        address: IpAddr,
        uptime: Duration,
    ) -> Result<Identity, Denied> {
        if !self.asks() {
            return Ok(Identity::Anybody);
        }
        self.decide(presented, address, uptime).inspect_err(|denied| {
            self.denied.fetch_add(1, Ordering::Relaxed);
            if let Some(skipped) = self.warned.now(uptime) {
                warn!(self.log, "API request denied"; "peer" => %address, "cause" => denied.cause(), "more" => skipped);
            }
        })
    }

    fn decide(
        &self,
        presented: Option<&[u8]>,
        address: IpAddr,
        uptime: Duration,
    ) -> Result<Identity, Denied> {
        if let Some(again) = self.failures.penalty(address, uptime) {
            return Err(Denied::TooMany { again });
        }
        let presented = presented.ok_or(Denied::NoKey)?;
        match self.keys.find(presented).filter(|_| presented.len() <= KEY_LEN_MAX) {
            Some(key) if key.allowed.allows(address) => Ok(Identity::Key(key.id.as_str().into())),
            Some(_) => Err(Denied::NotFromHere),
            None => {
                self.failures.add(address, uptime);
                Err(Denied::WrongKey)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FAILURES_MAX;
    use super::*;

    /// SHA-256 of `abc` (FIPS 180-2, appendix B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn hash(text: &str) -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap())
    }

    fn guard(allowed: AllowList) -> Arc<Guard> {
        let other = ApiKey { id: "other".into(), sha256: [7; 32], allowed: AllowList::default() };
        let keys = vec![ApiKey { id: "shop".into(), sha256: hash(ABC), allowed }, other];
        Guard::new(ApiKeys::new(keys), Logger::root(slog::Discard, slog::o!()))
    }

    #[test]
    fn a_key_is_known_by_its_hash() {
        let guard = guard(AllowList::default());
        let here = "127.0.0.1".parse().unwrap();
        let ask = |key: Option<&[u8]>| guard.admit(key, here, Duration::ZERO);
        assert_eq!(ask(Some(b"abc")), Ok(Identity::Key("shop".into())));
        assert_eq!(ask(Some(b"abC")), Err(Denied::WrongKey));
        assert_eq!(ask(Some(b"")), Err(Denied::WrongKey));
        assert_eq!(ask(None), Err(Denied::NoKey));
        assert_eq!(guard.denied(), 3);
    }

    #[test]
    fn after_too_many_wrong_keys_the_right_one_is_not_looked_at_either() {
        let guard = guard(AllowList::default());
        let here = "127.0.0.1".parse().unwrap();
        let ask = |key: &[u8], at| guard.admit(Some(key), here, Duration::from_secs(at));
        for _ in 0..FAILURES_MAX {
            assert_eq!(ask(b"guess", 0), Err(Denied::WrongKey));
        }
        let denied = ask(b"abc", 10).unwrap_err();
        assert_eq!((denied.status(), denied.retry_after()), (429, Some(51)));
        assert!(ask(b"abc", 60).is_ok());
    }

    #[test]
    fn a_key_bound_to_a_network_is_forbidden_elsewhere_and_that_is_no_guess() {
        let guard = guard(AllowList::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let ask = |address: &str| guard.admit(Some(b"abc"), address.parse().unwrap(), Duration::ZERO);
        for _ in 0..2 * FAILURES_MAX {
            assert_eq!(ask("192.0.2.1"), Err(Denied::NotFromHere));
        }
        assert!(ask("10.1.2.3").is_ok());
    }

    #[test]
    fn without_keys_everybody_may_ask() {
        let guard = Guard::new(ApiKeys::default(), Logger::root(slog::Discard, slog::o!()));
        assert_eq!(guard.admit(None, "192.0.2.1".parse().unwrap(), Duration::ZERO), Ok(Identity::Anybody));
    }
}
