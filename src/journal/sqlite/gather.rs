//! How long a commit waits for company.
//!
//! A commit costs some 100 µs of processor time however few rows it has, so it waits for an eighth of the transactions
//! underway, for half a millisecond at most: as arrivals go, that makes none of them an eighth longer. Who is alone, or one
//! of a few, does not wait. How long syncs take has no part in that: nobody's commit waits for another's sync.
//!
//! What nobody waits for is kept for a moment, for an intent to come by: a commit of its own would cost as much, and have the
//! next intents wait for its sync.

use std::time::Duration;

/// This part of the transactions underway is waited for, so many at most, and so long at most.
const PART: usize = 8;
const COMPANY_MAX: usize = 64;
const COMPANY_PATIENCE: Duration = Duration::from_micros(500);
/// What nobody waits for is kept so long at least, for an intent to come by, and at most.
const PATIENCE_MIN: Duration = Duration::from_millis(2);
const PATIENCE_MAX: Duration = Duration::from_millis(5);

/// What waits. Times are uptimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) intents: usize,
    /// When the first operation was handed in.
    pub(super) oldest: Duration,
    /// When the first intent was.
    pub(super) oldest_intent: Duration,
}

/// To wait, so long, or until so many more intents have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) time: Duration,
    pub(super) intents: usize,
}

/// How long to wait for company before this is committed, while `underway` transactions are with the host or wait to leave,
/// on a disk whose last sync took so long. `None`: not at all.
pub(super) fn pause(now: Duration, waiting: Waiting, underway: usize, sync_took: Duration) -> Option<Pause> {
    let company = ((underway + waiting.intents) / PART).min(COMPANY_MAX);
    let (until, intents) = match waiting.intents {
        0 => (waiting.oldest + (sync_took / 2).clamp(PATIENCE_MIN, PATIENCE_MAX), 1),
        here if here < company => (waiting.oldest_intent + COMPANY_PATIENCE, company - here),
        _ => return None,
    };
    let time = until.checked_sub(now).filter(|left| !left.is_zero())?;
    Some(Pause { time, intents })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = us(50);

    const fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn waiting(intents: usize, oldest: u64) -> Waiting {
        Waiting { intents, oldest: us(oldest), oldest_intent: us(oldest) }
    }

    const fn wait(time: u64, intents: usize) -> Option<Pause> {
        Some(Pause { time: us(time), intents })
    }

    #[test]
    fn an_eighth_of_those_underway_is_waited_for_and_not_for_long() {
        assert_eq!(pause(us(510), waiting(1, 505), 199, FAST), wait(495, 24));
        assert_eq!(pause(us(1004), waiting(24, 505), 176, FAST), wait(1, 1));
        assert_eq!(pause(us(1005), waiting(24, 505), 176, FAST), None);
        assert_eq!(pause(us(600), waiting(25, 505), 175, FAST), None);
        assert_eq!(pause(us(510), waiting(63, 505), 5000, FAST), wait(495, 1));
        assert_eq!(pause(us(510), waiting(64, 505), 5000, FAST), None);
    }

    #[test]
    fn one_of_a_few_does_not_wait() {
        assert_eq!(pause(us(0), waiting(1, 0), 0, FAST), None);
        assert_eq!(pause(us(110), waiting(1, 105), 14, FAST), None);
        assert_eq!(pause(us(110), waiting(1, 105), 15, FAST), wait(495, 1));
    }

    #[test]
    fn what_nobody_waits_for_is_kept_for_a_moment_and_no_longer() {
        assert_eq!(pause(us(100), waiting(0, 100), 90, FAST), wait(2000, 1));
        assert_eq!(pause(us(1900), waiting(0, 100), 90, FAST), wait(200, 1));
        assert_eq!(pause(us(2100), waiting(0, 100), 90, FAST), None);
        assert_eq!(pause(us(4000), waiting(0, 4000), 0, us(6000)), wait(3000, 1));
        assert_eq!(pause(us(0), waiting(0, 0), 0, us(40_000_000)), wait(5000, 1));
    }
}
