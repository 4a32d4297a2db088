//! How many pairs of intent and end go through in a second. Compared with 13,158 (one at a time) and 113,313 (16 at a
//! time), measured on an idle machine in release mode with bare SQLite.

use std::time::Instant;

use socketqueue::journal::Durability;
use socketqueue::mux::JournalOp;

use crate::desk::*;

#[test]
#[ignore = "a measurement: run by hand, with --nocapture"]
#[allow(clippy::print_stdout)]
fn pairs_per_second() {
    for durability in [Durability::Power, Durability::Process] {
        for at_a_time in [1u64, 16, 256] {
            let mut desk = Desk::new();
            desk.options.durability = durability;
            let (mut journal, _) = desk.open_plain(&desk.options);
            let rounds = 100_000 / (at_a_time + 40);
            let sale = sale(1);
            let intent = |n| JournalOp::Intent { id: id(n), request: sale.clone(), record: None };
            let begun = Instant::now();
            for round in 0..rounds {
                let ids = round * at_a_time..(round + 1) * at_a_time;
                submit(&mut journal, ids.clone().map(intent));
                verdicts(&mut journal, at_a_time as usize);
                submit(&mut journal, ids.map(delivered));
            }
            flush(&mut journal);
            let took = begun.elapsed().as_secs_f64();
            let figures = journal.figures();
            println!(
                "{durability:?} at a time {at_a_time}: {:.0} pairs/s, {:.0} commits/s, mean commit {:?}",
                (rounds * at_a_time) as f64 / took,
                figures.commits as f64 / took,
                figures.latency_sum / figures.commits.max(1) as u32
            );
        }
    }
}
