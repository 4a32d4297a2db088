//! How long a commit waits for company.
//!
//! Who is answered by one commit soon comes with the next request. A commit that began with the first of them would leave
//! all others to the one after it, and each would wait for two syncs instead of one. So on a disk whose syncs are slow, a
//! commit waits for those who are expected back, as long as they keep coming.
//!
//! On a fast disk it is the processor that commits cost: some 100 µs each, however few rows it has. There a commit waits for
//! a quarter of the transactions underway, for half a millisecond at most: as arrivals go, that makes none of them a quarter
//! longer. Who is alone, or one of a few, does not wait.
//!
//! What nobody waits for is kept for a moment, for an intent to come by.

use std::time::Duration;

/// Syncs from here on are slow.
const SLOW: Duration = Duration::from_micros(500);
/// On a fast disk: this part of the transactions underway is waited for, so many at most, and so long at most.
const PART: usize = 4;
const COMPANY_MAX: usize = 64;
const COMPANY_PATIENCE: Duration = Duration::from_micros(500);
/// What nobody waits for is kept so long at least, for an intent to come by, and at most.
const PATIENCE_MIN: Duration = Duration::from_micros(500);
const PATIENCE_MAX: Duration = Duration::from_millis(5);

/// What the last commit tells about the next one. Times are uptimes.
#[derive(Debug, Default)]
pub(super) struct Gather {
    ended: Duration,
    took: Duration,
    /// Intents that are expected: those that were answered, and those that wait already.
    expected: usize,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) intents: usize,
    /// When the first operation was handed in, and the last.
    pub(super) oldest: Duration,
    pub(super) newest: Duration,
    /// When the first intent was.
    pub(super) oldest_intent: Duration,
}

/// To wait, so long, or until so many more intents have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) time: Duration,
    pub(super) intents: usize,
}

impl Gather {
    /// A commit of `intents` ended, whose sync had taken so long; this waited by then.
    pub(super) fn ended(&mut self, now: Duration, took: Duration, intents: usize, waiting: Option<Waiting>) {
        self.ended = now;
        self.took = took;
        // When nobody came in the last quarter of it, all wait for us: those whom it answered, too. Else they come by
        // themselves, in whatever number.
        let all_wait = waiting.filter(|waiting| now.saturating_sub(waiting.newest) > took / 4);
        self.expected = intents + all_wait.map_or(0, |waiting| waiting.intents);
    }

    /// How long to wait for company before this is committed, while `underway` transactions are with the host. `None`:
    /// not at all.
    pub(super) fn pause(&self, now: Duration, waiting: Waiting, underway: usize) -> Option<Pause> {
        let company = ((underway + waiting.intents) / PART).min(COMPANY_MAX);
        let (until, intents) = match waiting.intents {
            0 => (waiting.oldest + (self.took / 2).clamp(PATIENCE_MIN, PATIENCE_MAX), 1),
            here if self.took >= SLOW => {
                let missing = self.expected.saturating_sub(here);
                let pause = Pause { time: self.took / 8, intents: missing };
                return (missing > 0 && self.ended_lately(now)).then_some(pause);
            }
            here if here < company => (waiting.oldest_intent + COMPANY_PATIENCE, company - here),
            _ => return None,
        };
        let time = until.checked_sub(now).filter(|left| !left.is_zero())?;
        Some(Pause { time, intents })
    }

    fn ended_lately(&self, now: Duration) -> bool {
        now < self.ended + self.took / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn waiting(intents: usize, oldest: u64, newest: u64) -> Waiting {
        Waiting { intents, oldest: us(oldest), newest: us(newest), oldest_intent: us(oldest) }
    }

    const fn pause(time: u64, intents: usize) -> Option<Pause> {
        Some(Pause { time: us(time), intents })
    }

    /// A commit of `intents` from 0 to `took`, and what waits at its end.
    fn after(took: u64, intents: usize, others: Option<Waiting>) -> Gather {
        let mut gather = Gather::default();
        gather.ended(us(took), us(took), intents, others);
        gather
    }

    #[test]
    fn on_a_fast_disk_a_quarter_of_those_underway_is_waited_for_and_not_for_long() {
        let gather = after(499, 100, None);
        assert_eq!(gather.pause(us(510), waiting(1, 505, 505), 99), pause(495, 24));
        assert_eq!(gather.pause(us(1004), waiting(24, 505, 1000), 76), pause(1, 1));
        assert_eq!(gather.pause(us(1005), waiting(24, 505, 1000), 76), None);
        assert_eq!(gather.pause(us(600), waiting(25, 505, 600), 75), None);
        assert_eq!(gather.pause(us(510), waiting(63, 505, 505), 5000), pause(495, 1));
        assert_eq!(gather.pause(us(510), waiting(64, 505, 505), 5000), None);
    }

    #[test]
    fn on_a_fast_disk_one_of_a_few_does_not_wait() {
        assert_eq!(Gather::default().pause(us(0), waiting(1, 0, 0), 0), None);
        assert_eq!(after(100, 1, None).pause(us(110), waiting(1, 105, 105), 6), None);
        assert_eq!(after(100, 1, None).pause(us(110), waiting(1, 105, 105), 7), pause(495, 1));
    }

    #[test]
    fn on_a_slow_disk_those_who_were_answered_are_waited_for_while_they_keep_coming() {
        let gather = after(4000, 100, None);
        assert_eq!(gather.pause(us(4100), waiting(1, 4100, 4100), 0), pause(500, 99));
        assert_eq!(gather.pause(us(5999), waiting(99, 4100, 5999), 0), pause(500, 1));
        assert_eq!(gather.pause(us(4200), waiting(100, 4100, 4200), 0), None);
        assert_eq!(gather.pause(us(6000), waiting(99, 4100, 5999), 0), None);
    }

    #[test]
    fn two_groups_that_take_turns_become_one() {
        // Fifty are answered, and fifty wait, the last of them for long.
        let others = waiting(50, 1000, 2000);
        assert_eq!(after(4000, 50, Some(others)).pause(us(4000), others, 50), pause(500, 50));
        // They kept coming to the end: so they will.
        let others = waiting(50, 100, 3500);
        assert_eq!(after(4000, 50, Some(others)).pause(us(4000), others, 50), None);
    }

    #[test]
    fn one_who_is_alone_does_not_wait() {
        assert_eq!(after(5000, 1, None).pause(us(5050), waiting(1, 5050, 5050), 0), None);
        assert_eq!(after(5000, 0, None).pause(us(5050), waiting(1, 5050, 5050), 0), None);
    }

    #[test]
    fn what_nobody_waits_for_is_kept_for_a_moment_and_no_longer() {
        let fast = after(50, 10, None);
        assert_eq!(fast.pause(us(100), waiting(0, 100, 100), 90), pause(500, 1));
        assert_eq!(fast.pause(us(400), waiting(0, 100, 400), 90), pause(200, 1));
        assert_eq!(fast.pause(us(600), waiting(0, 100, 600), 90), None);
        let slow = after(4000, 10, None);
        assert_eq!(slow.pause(us(4000), waiting(0, 4000, 4000), 0), pause(2000, 1));
        let stalled = after(40_000_000, 10, None);
        assert_eq!(stalled.pause(us(40_000_000), waiting(0, 40_000_000, 40_000_000), 0), pause(5000, 1));
    }
}
