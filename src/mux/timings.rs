//! How long things take, in buckets: a few increments a transaction, nothing allocated.

use std::time::Duration;

/// Upper bounds of the buckets in microseconds, ascending; above the last there is one more bucket.
pub const BOUNDS_US: [u64; 20] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 20_000_000, 30_000_000, 60_000_000,
];

/// Durations by bucket. A duration that equals a bound belongs under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket (not cumulated).
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// Their sum.
    pub sum: Duration,
}

/// The durations of one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the pull of a request for the link to its answer.
    pub round_trip: Histogram,
    /// What the gateway adds to that, of transactions that were delivered: from arrival to the pull (waiting for the
    /// terminal and the link included), and from the answer to its delivery.
    pub added: Histogram,
}

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_under_the_first_bound_that_it_does_not_exceed() {
        for (us, bucket) in [(0, 0), (50, 0), (51, 1), (60_000_000, 19), (60_000_001, 20), (u64::MAX, 20)] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(us));
            assert_eq!(histogram.buckets[bucket], 1, "{us}");
            assert_eq!((histogram.count(), histogram.sum), (1, Duration::from_micros(us)));
        }
    }
}
