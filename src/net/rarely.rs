//! Warnings that anybody on the network can provoke.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A warning that anybody on the network can provoke is written at most once in so long.
const RARELY: Duration = Duration::from_secs(1);

/// Lets one of many through, at most once in [`RARELY`].
#[derive(Debug, Default)]
pub struct Rarely {
    /// Uptime in milliseconds from which on the next may pass.
    next: AtomicU64,
    skipped: AtomicU64,
}

impl Rarely {
    /// `Some` when it is time, with the number of those that were kept back since the last.
    pub fn now(&self, uptime: Duration) -> Option<u64> {
        let now = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        if now < self.next.load(Ordering::Relaxed) {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.next.store(now.saturating_add(RARELY.as_millis() as u64), Ordering::Relaxed);
        Some(self.skipped.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_that_anybody_can_provoke_passes_once_a_second_with_the_number_kept_back() {
        let rarely = Rarely::default();
        let at = |ms| rarely.now(Duration::from_millis(ms));
        assert_eq!(at(0), Some(0));
        assert_eq!(at(1), None);
        assert_eq!(at(999), None);
        assert_eq!(at(1000), Some(2));
        assert_eq!(at(1999), None);
        assert_eq!(at(5000), Some(1));
    }
}
