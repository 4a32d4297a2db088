//! Two ways to do the same, measured in turns, so that a busy machine is busy for both.

use std::hint::black_box;

use crate::stopwatch;

/// Batches of each.
const ROUNDS: usize = 41;
/// Calls in a batch: some 100 microseconds' worth.
const CALLS: u32 = 1000;

/// Prints what a call of each costs (medians), their ratio with its bar, and the spread of the ratios of single rounds (the
/// middle four fifths). Nothing in a test.
pub fn print<A, B>(what: &str, bar: f64, mut ours: impl FnMut() -> A, mut other: impl FnMut() -> B) {
    if !is_measuring() {
        return;
    }
    let mut measured: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (cost(&mut ours), cost(&mut other))).collect();
    let mut ratios: Vec<f64> = measured.iter().map(|(ours, other)| ours / other).collect();
    ratios.sort_by(f64::total_cmp);
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ours = measured[ROUNDS / 2].0;
    measured.sort_by(|a, b| a.1.total_cmp(&b.1));
    let other = measured[ROUNDS / 2].1;
    let ratio = ours / other;
    println!(
        "{what}: {ours:.0} ns / {other:.0} ns = {ratio:.2} ({:.2}–{:.2}), bar {bar}: {}",
        ratios[ROUNDS / 10],
        ratios[ROUNDS - 1 - ROUNDS / 10],
        if ratio <= bar { "ok" } else { "MISSED" }
    );
}

/// Nanoseconds of one call.
fn cost<T>(work: &mut impl FnMut() -> T) -> f64 {
    let whole = stopwatch::cost(|| (0..CALLS).for_each(|_| _ = black_box(work())));
    whole.as_nanos() as f64 / f64::from(CALLS)
}

/// Whether this is `cargo bench`, not a test that the bench runs.
pub fn is_measuring() -> bool {
    let has = |flag: &str| std::env::args().any(|arg| arg == flag);
    has("--bench") && !has("--test") && !has("--list")
}
