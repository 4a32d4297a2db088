//! Round trip times, counted in buckets.

use std::time::Duration;

/// Buckets in each doubling of the time: a percentile is at most 1/16 too high.
const STEPS: usize = 16;

/// Counts durations by their size in microseconds; the memory does not grow.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Latencies {
    /// Nothing counted.
    pub fn new() -> Latencies {
        // 64 bits of microseconds: 60 doublings above the first 16 buckets, which hold one value each.
        Latencies { counts: vec![0; STEPS * 61], total: 0, max: Duration::ZERO }
    }

    /// Counts one.
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(time);
    }

    /// The time below which so many of a hundred lie (the upper end of their bucket); zero when nothing was counted.
    pub fn percentile(&self, percent: u64) -> Duration {
        let wanted = (u128::from(self.total) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0_u128;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += u128::from(count);
            if seen >= wanted {
                return Duration::from_micros(upper_end(bucket)).min(self.max);
            }
        }
        self.max
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }
}

fn bucket(micros: u64) -> usize {
    let steps = STEPS as u64;
    if micros < steps {
        return micros as usize;
    }
    let doubling = micros.ilog2() - steps.ilog2();
    // The five leading bits: the first is always set.
    STEPS * (doubling as usize + 1) + ((micros >> doubling) - steps) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let (doubling, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    match doubling.checked_sub(1) {
        None => step,
        Some(shift) => {
            (STEPS as u64 + step + 1).checked_shl(shift as u32).map_or(u64::MAX, |end| end.wrapping_sub(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_every_time_and_their_ends_are_at_most_a_sixteenth_above_it() {
        let mut last = 0;
        for shift in 0..64 {
            for micros in [1_u64 << shift, (1 << shift) + (1 << shift) / 3, u64::MAX >> (63 - shift)] {
                let bucket = bucket(micros);
                assert!(bucket < STEPS * 61 && bucket >= last, "{micros}");
                last = bucket;
                let end = upper_end(bucket);
                assert!(end >= micros && end - micros <= micros / 16, "{micros} in the bucket up to {end}");
            }
        }
    }

    #[test]
    fn percentiles_are_those_of_the_times_counted() {
        let mut latencies = Latencies::new();
        assert_eq!((latencies.percentile(50), latencies.max()), (Duration::ZERO, Duration::ZERO));
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        for (percent, ms) in [(50, 50), (99, 99), (100, 100)] {
            let found = latencies.percentile(percent).as_secs_f64() * 1000.0;
            assert!(
                (ms as f64..ms as f64 * 17.0 / 16.0).contains(&found) || found == 100.0,
                "p{percent}: {found} ms"
            );
        }
        assert_eq!(latencies.max(), Duration::from_millis(100));
    }
}
