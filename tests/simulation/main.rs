//! The mux against a world by seed: see `sim`.
//!
//! `SOCKETQUEUE_SEEDS=100000` runs more seeds; `SOCKETQUEUE_SEED=17` replays one and prints what happened, with
//! `SOCKETQUEUE_STEPS=3,14,15` only those steps of it. `examples/simulate.rs` runs a million by hand.

#![allow(clippy::unwrap_used)]

mod sim;

#[cfg(feature = "mutants")]
mod mutants;

/// Seeds in `cargo test`; without optimization they take three times as long. `.ci/run` wants more.
const SEEDS: u64 = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn steps_from_environment() -> Vec<u32> {
    let Ok(steps) = std::env::var("SOCKETQUEUE_STEPS") else { return sim::all_steps() };
    steps.split(',').filter_map(|step| step.parse().ok()).collect()
}

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = from_environment("SOCKETQUEUE_SEED") {
        let results = sim::on_threads(1, |_| sim::run(seed, &steps_from_environment(), None, true));
        for (result, trace) in results {
            println!("{trace}");
            if let Err(failure) = result {
                panic!("{failure}");
            }
        }
        return;
    }
    let seeds = from_environment("SOCKETQUEUE_SEEDS").unwrap_or(SEEDS);
    match sim::check_all(0..seeds, None) {
        Err(failure) => panic!("{failure}"),
        // A world in which nothing happens proves nothing.
        Ok(figures) => {
            println!("{seeds} seeds: {figures:?}");
            assert!(figures.approved > seeds && figures.reversed > seeds / 2 && figures.parked > seeds / 100);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let traces = |seed| sim::on_threads(2, |_| sim::run(seed, &sim::all_steps(), None, true).1);
    let mut lines = 0;
    for seed in 0..20 {
        let traces = traces(seed);
        lines += traces[0].lines().count();
        assert_eq!(traces[0], traces[1]);
    }
    assert!(lines > 1000, "traces that tell nothing prove nothing");
}

#[test]
fn the_deliberate_defects_are_never_a_default() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let features = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(features.contains("mutants = []"));
    let elsewhere = features.lines().filter(|line| !line.starts_with('#') && *line != "mutants = []");
    assert!(elsewhere.clone().all(|line| !line.contains("mutants")), "{:?}", elsewhere.collect::<Vec<_>>());
}
