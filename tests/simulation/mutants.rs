//! The simulation catches every deliberate defect.

use socketqueue::mux::Mutant;

use super::sim;

/// Every one is caught within so many seeds.
const SEEDS: u64 = 1_000;
/// At least so many are wanted (issue 4 of this project).
const AT_LEAST: usize = 20;

#[test]
fn every_deliberate_defect_is_caught() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let caught = sim::on_threads(threads, |n| {
        let mine = Mutant::ALL.iter().skip(n).step_by(threads);
        mine.map(|mutant| (*mutant, first_failure(*mutant))).collect::<Vec<_>>()
    });
    let mut missed = Vec::new();
    let mut most = 0;
    for (mutant, failure) in caught.into_iter().flatten() {
        match failure {
            Some((seed, what)) => {
                println!("{mutant:?}: seed {seed}: {}", sim::kind_of(&what));
                most = most.max(seed + 1);
            }
            None => missed.push(mutant),
        }
    }
    println!("{} defects, each caught within {most} seeds", Mutant::ALL.len());
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
    assert!(Mutant::ALL.len() >= AT_LEAST);
}

fn first_failure(mutant: Mutant) -> Option<(u64, String)> {
    let steps = sim::all_steps();
    let fails =
        |seed| sim::run(seed, &steps, Some(mutant), false).0.err().map(|failure| (seed, failure.what));
    (0..SEEDS).find_map(fails)
}
