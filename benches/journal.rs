//! The journal: a batch of intents is handed over and waited for, then its ends; in both durabilities. The time of one
//! iteration is what the last transaction of a batch waits for its intent, and the hand-over of the ends.
//!
//! Compared with: bare SQLite on the machine of the goals, 1.0 to 1.1 million records a second in batches of 100 with a
//! sync of some 20 µs. What syncs cost differs a hundredfold between disks; the directory is that of TMPDIR.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a bench is a test

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slog::{Discard, Logger, o};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::Message;
use socketqueue::journal::sqlite::{Sqlite, Surroundings};
use socketqueue::journal::{Durability, Journal, Options, UpstreamIdentity, Verdict};
use socketqueue::mux::{FinalState, JournalOp, TxId};
use socketqueue::rules::{self, KeyFields, Request};
use socketqueue::time::Now;

/// The 0200 of `sample_payloads`.
const PURCHASE: &[u8] = include_bytes!("../sample_payloads/sv_200_purchase.txt");
/// 2026-11-22 03:26:46 UTC, when it was made (its DE 12).
const START_MS: i64 = 1_795_318_006_000;
/// Transactions in a batch.
const BATCHES: [u64; 4] = [1, 10, 100, 1000];

fn open(options: &Options, dialect: &Arc<Dialect>) -> Sqlite {
    let begun = Instant::now();
    let clock = Arc::new(move || {
        let uptime = begun.elapsed();
        Now { uptime, wall_ms: START_MS + uptime.as_millis() as i64, offset_s: 0 }
    });
    let dialect = dialect.clone();
    let image = Box::new(move |request: &Request| rules::image(request, &dialect));
    let upstream = UpstreamIdentity {
        name: "bank".into(),
        address: "127.0.0.1:5000".into(),
        dialect: "smartVista".into(),
    };
    let around = Surroundings::new(clock, image, Logger::root(Discard, o!()));
    Sqlite::open(options, &upstream, around).unwrap().0
}

/// Waits until all of `count` intents are durable.
fn await_durable(journal: &mut Sqlite, count: usize) {
    let mut durable = 0;
    while durable < count {
        let mut verdicts = Vec::new();
        futures::executor::block_on(poll_fn(|cx| journal.poll_verdicts(cx, &mut verdicts)));
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Durable(_))));
        durable += verdicts.len();
    }
}

fn journal(c: &mut Criterion) {
    let dialect = Dialect::builtin("smartVista").unwrap();
    let message = Message::parse(&dialect.schema, Bytes::from_static(PURCHASE)).unwrap();
    let now = Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 };
    let request = Arc::new(rules::prepare(&dialect, &KeyFields::default(), message, now).unwrap());
    for durability in [Durability::Process, Durability::Power] {
        let mut group = c.benchmark_group(format!("journal-{durability:?}").to_lowercase());
        for batch in BATCHES {
            let directory = tempfile::tempdir().unwrap();
            let options = Options { durability, ..Options::new(directory.path().join("bench.journal")) };
            let mut journal = open(&options, &dialect);
            let (mut next, mut ops) = (1, Vec::new());
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new("batch", batch), |b| {
                b.iter(|| {
                    let ids = next..next + batch;
                    next += batch;
                    ops.extend(ids.clone().map(|id| JournalOp::Intent {
                        id: TxId::from_bits(id),
                        request: request.clone(),
                        record: None,
                    }));
                    journal.submit(&mut ops);
                    await_durable(&mut journal, batch as usize);
                    ops.extend(
                        ids.map(|id| JournalOp::End {
                            id: TxId::from_bits(id),
                            state: FinalState::Delivered,
                        }),
                    );
                    journal.submit(&mut ops);
                });
            });
            futures::executor::block_on(poll_fn(|cx| journal.poll_flush(cx)));
            let figures = journal.figures();
            if figures.commits > 0 {
                println!(
                    "{durability:?}, batches of {batch}: {} commits, {:.1} µs each",
                    figures.commits,
                    figures.latency_sum.as_secs_f64() * 1e6 / figures.commits as f64
                );
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .without_plots();
    targets = journal
}
criterion_main!(benches);
