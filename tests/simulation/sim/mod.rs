//! A small world of clients, a link, a host and a journal that all misbehave, by seed, around one mux.
//!
//! After every step what the mux promises is checked by somebody who only watches what goes in and out (`watch`). At the
//! end the faults are switched off, everything has to come to rest, and the host's books must equal what the clients
//! know, plus what was reversed, plus what waits for a person (`audit`).
//!
//! A run is a seed and a list of steps. Each step draws from a stream of its own, so a failing run is shrunk by leaving
//! steps out while it still fails.

mod audit;
mod chance;
mod clients;
mod host;
mod journal;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use world::Figures;
use world::World;

/// How many steps a run has.
pub const STEPS: u32 = 100;
/// Most runs that shrinking takes.
const SHRINK_RUNS: usize = 600;

/// What is wrong with the mux on purpose.
#[cfg(feature = "mutants")]
pub type Mutant = Option<socketqueue::mux::Mutant>;
/// Nothing is wrong with the mux on purpose.
#[cfg(not(feature = "mutants"))]
pub type Mutant = Option<std::convert::Infallible>;

/// A run that broke a promise.
pub struct Failure {
    pub seed: u64,
    pub steps: Vec<u32>,
    pub what: String,
    pub trace: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = self.steps.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        writeln!(f, "{}", self.trace)?;
        writeln!(f, "seed {}, {} steps: {}", self.seed, self.steps.len(), self.what)?;
        write!(f, "replay: SOCKETQUEUE_SEED={} SOCKETQUEUE_STEPS={steps}", self.seed)
    }
}

/// Runs the given steps of one seed. With `traced` the failure tells what happened, and the trace of a run that holds is
/// given too.
pub fn run(seed: u64, steps: &[u32], mutant: Mutant, traced: bool) -> (Result<Figures, Failure>, String) {
    let mut world = World::new(seed, mutant, traced);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for step in steps {
            world.step(*step);
        }
        world.come_to_rest();
        world.audit();
    }));
    match outcome {
        Ok(()) => (Ok(world.figures()), world.into_trace()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let what = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let (what, trace) = (what.unwrap_or_default(), world.into_trace());
            (Err(Failure { seed, steps: steps.to_vec(), what, trace }), String::new())
        }
    }
}

/// All steps of a run.
pub fn all_steps() -> Vec<u32> {
    (0..STEPS).collect()
}

/// Runs one seed; a failure comes back shrunk and with its trace.
pub fn check(seed: u64, mutant: Mutant) -> Result<Figures, Failure> {
    match run(seed, &all_steps(), mutant, false).0 {
        Ok(figures) => Ok(figures),
        Err(failure) => Err(shrink(failure, mutant)),
    }
}

/// Leaves out steps, in ever smaller pieces, while the run still breaks the same promise.
pub fn shrink(mut failure: Failure, mutant: Mutant) -> Failure {
    let kind = kind_of(&failure.what).to_owned();
    let mut piece = failure.steps.len().div_ceil(2);
    let mut runs = 0;
    while piece > 0 && runs < SHRINK_RUNS {
        let mut at = 0;
        while at < failure.steps.len() && runs < SHRINK_RUNS {
            let mut fewer = failure.steps.clone();
            fewer.drain(at..(at + piece).min(fewer.len()));
            runs += 1;
            match run(failure.seed, &fewer, mutant, false).0 {
                Err(smaller) if kind_of(&smaller.what) == kind => failure = smaller,
                _ => at += piece,
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    match run(failure.seed, &failure.steps, mutant, true).0 {
        Err(traced) => traced,
        Ok(_) => failure,
    }
}

/// The promise that was broken: what stands before the colon.
pub fn kind_of(what: &str) -> &str {
    what.split(':').next().unwrap_or(what)
}

/// Runs `work` on threads of the simulation, whose panics are results and not told on standard error.
pub fn on_threads<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    static QUIET: std::sync::Once = std::sync::Once::new();
    const NAME: &str = "simulation";
    QUIET.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(NAME) {
                before(info);
            }
        }));
    });
    std::thread::scope(|scope| {
        let work = &work;
        let spawn = |n| std::thread::Builder::new().name(NAME.into()).spawn_scoped(scope, move || work(n));
        let threads: Vec<_> = (0..count).map(|n| spawn(n).expect("a thread")).collect();
        threads.into_iter().map(|thread| thread.join().expect("panics are caught inside")).collect()
    })
}

/// Runs all `seeds` on as many threads as the machine has; the failure of the lowest seed that failed, if one did.
pub fn check_all(seeds: std::ops::Range<u64>, mutant: Mutant) -> Result<Figures, Failure> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let results = on_threads(count, |n| {
        let mut figures = Figures::default();
        for seed in seeds.clone().skip(n).step_by(count) {
            match check(seed, mutant) {
                Ok(more) => figures.add(&more),
                Err(failure) => return Err(failure),
            }
        }
        Ok(figures)
    });
    let mut figures = Figures::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(more) => figures.add(&more),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.into_iter().min_by_key(|failure| failure.seed) {
        Some(failure) => Err(failure),
        None => Ok(figures),
    }
}
