//! How long to wait before dialling again: exponential, with jitter, and at once after a link that has lived.

use std::time::Duration;

/// The pauses between attempts to reach one host.
///
/// The first attempt, and the first one after a link that has lived, goes out at once: a host that restarts is back
/// soon. Each failure in a row doubles the pause, so that a host which accepts and closes is not hit thousands of times
/// a second (SocketQueue's defect D21). The jitter keeps many gateways from dialling in step.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Pauses from `first` to `longest`; the same `seed` gives the same jitter.
    pub(super) fn new(first: Duration, longest: Duration, seed: u64) -> Backoff {
        Backoff { first, longest: longest.max(first), failures: 0, random: seed }
    }

    /// An attempt failed, or a link died before it had lived.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// A link has lived.
    pub(super) fn lived(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt: zero, or between three quarters and five quarters of the doubled pause.
    pub(super) fn pause(&mut self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(factor).min(self.longest);
        let permille = 750 + (self.next_random() % 501) as u32;
        (pause.saturating_mul(permille) / 1000).min(self.longest)
    }

    /// splitmix64 (S. Vigna, public domain): good enough to spread attempts.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    fn near(pause: Duration, expected: Duration) -> bool {
        pause >= expected * 3 / 4 && pause <= expected * 5 / 4
    }

    #[test]
    fn the_first_attempt_and_the_first_after_a_link_that_lived_go_out_at_once() {
        let mut backoff = Backoff::new(FIRST, LONGEST, 1);
        assert_eq!(backoff.pause(), Duration::ZERO);
        backoff.failed();
        assert!(near(backoff.pause(), FIRST));
        backoff.lived();
        assert_eq!(backoff.pause(), Duration::ZERO);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_never_pass_it() {
        let mut backoff = Backoff::new(FIRST, LONGEST, 7);
        for doubled in [100, 200, 400, 800, 1600, 3200, 6400] {
            backoff.failed();
            let pause = backoff.pause();
            assert!(near(pause, Duration::from_millis(doubled)), "{pause:?} {doubled}");
        }
        for _ in 0..100 {
            backoff.failed();
            let pause = backoff.pause();
            assert!(pause <= LONGEST && pause >= LONGEST * 3 / 4, "{pause:?}");
        }
    }

    #[test]
    fn the_jitter_is_that_of_the_seed() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(FIRST, LONGEST, seed);
            (0..8).map(|_| (backoff.failed(), backoff.pause()).1).collect::<Vec<_>>()
        };
        assert_eq!(pauses(3), pauses(3));
        assert_ne!(pauses(3), pauses(4));
    }
}
