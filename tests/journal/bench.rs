//! How many pairs of intent and end go through in a second. Compared with 13,158 (one at a time) and 113,313 (16 at a
//! time), measured on an idle machine in release mode with bare SQLite.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socketqueue::journal::sqlite::Sqlite;
use socketqueue::journal::{Durability, Journal, Verdict};
use socketqueue::mux::JournalOp;
use socketqueue::time::Now;

use crate::desk::*;

#[test]
#[ignore = "a measurement: cargo test --release --test journal bench -- --ignored --nocapture"]
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

/// A hundred clients, each of which comes again half a millisecond after its intent is durable, on a disk whose syncs take
/// `delay`: against N / (delay + round trip), what nobody can pass.
#[test]
#[ignore = "a measurement: cargo test --release --test journal bench -- --ignored --nocapture"]
#[allow(clippy::print_stdout)]
fn closed_loop_with_slow_syncs() {
    const CLIENTS: u64 = 100;
    const ROUND_TRIP: Duration = Duration::from_micros(500);
    const TIME: Duration = Duration::from_secs(3);
    for delay in [100, 1000, 5000].map(Duration::from_micros) {
        let desk = Desk::new();
        let begin = Instant::now();
        let sync = move || {
            // This is the disk: the time is what is set up.
            std::thread::sleep(delay);
            Ok(())
        };
        let mut around = desk.surroundings();
        around.clock = Arc::new(move || Now { uptime: begin.elapsed(), wall_ms: START_MS, offset_s: 0 });
        around.sync = Arc::new(sync);
        let (mut journal, _) = Sqlite::open(&desk.options, &upstream(), around).unwrap();
        let (sale, mut next, mut done) = (sale(1), 0, 0);
        let mut coming: VecDeque<(Instant, u64)> = (0..CLIENTS).map(|_| (begin, 0)).collect();
        let (mut told, mut cx) = (Vec::new(), std::task::Context::from_waker(std::task::Waker::noop()));
        while begin.elapsed() < TIME {
            let mut ops = Vec::new();
            while coming.front().is_some_and(|(at, _)| *at <= Instant::now()) {
                let (_, before) = coming.pop_front().unwrap();
                if before > 0 {
                    ops.push(delivered(before));
                }
                next += 1;
                ops.push(JournalOp::Intent { id: id(next), request: sale.clone(), record: None });
            }
            journal.submit(&mut ops);
            if journal.poll_verdicts(&mut cx, &mut told).is_ready() {
                done += told.len();
                coming.extend(told.drain(..).map(|verdict| match verdict {
                    Verdict::Durable(id) => (Instant::now() + ROUND_TRIP, id.bits()),
                    other => panic!("{other:?}"),
                }));
            }
            // The load's clock: the next client comes at a time, not upon an event.
            std::thread::sleep(Duration::from_micros(30));
        }
        let rate = done as f64 / TIME.as_secs_f64();
        let bound = CLIENTS as f64 / (delay + ROUND_TRIP).as_secs_f64();
        let figures = journal.figures();
        println!(
            "sync delay {delay:?}: {rate:.0}/s, {:.2} of the bound, {:.0} intents a commit, mean commit {:?}",
            rate / bound,
            figures.intents as f64 / figures.commits as f64,
            figures.latency_sum / figures.commits.max(1) as u32
        );
    }
}
