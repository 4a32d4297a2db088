//! The simulation of `tests/simulation`, for as long as one likes:
//!
//!     cargo run --release --example simulate -- [SEEDS [FIRST]]
//!
//! A million seeds from 0 unless said otherwise. Prints figures, or the first failing seed with its trace, shrunk, and
//! how to replay it; exits with 1 then.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/simulation/sim/mod.rs"]
mod sim;

use std::process::ExitCode;
use std::time::Instant;

/// Seeds between two lines of figures.
const PIECE: u64 = 100_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let seeds = arguments.next().unwrap_or(1_000_000);
    let first = arguments.next().unwrap_or(0);
    let (started, end) = (Instant::now(), first + seeds);
    let mut figures = sim::Figures::default();
    for from in (first..end).step_by(PIECE as usize) {
        let to = (from + PIECE).min(end);
        match sim::check_all(from..to, None) {
            Ok(more) => figures.add(&more),
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
        println!("{} seeds in {:.1} s: {figures:?}", to - first, started.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}
