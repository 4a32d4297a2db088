//! End to end: a gateway and a bank in this process, over loopback, driven by the load generator of `socketqueue bench`;
//! closed loop, every answer checked. Journal off, as rows 1 to 9 of the goals have it.
//!
//! All three share the machine's cores, so the figures are what the whole does. Ratios to other gateways, over processes of
//! their own, are `scripts/compare`'s business.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a bench is a test

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use socketqueue::bench::{self, Length, Ourselves, Pace, Settings, Speech};
use socketqueue::config;
use socketqueue::dialect::Dialect;
use socketqueue::framing::Framing;
use socketqueue::iso8583::Message;
use socketqueue::net::TimeSource;
use socketqueue::net::clock::Clock;

/// The 0200 of `sample_payloads`.
const PURCHASE: &[u8] = include_bytes!("../sample_payloads/sv_200_purchase.txt");
/// Connections, requests out on each, terminals of each.
const LOADS: [(usize, usize); 4] = [(1, 1), (100, 1), (1000, 1), (10, 32)];

fn end_to_end(c: &mut Criterion) {
    let dialect = Dialect::builtin("smartVista").unwrap();
    let clock = Clock::new(Some("UTC")).unwrap();
    let clock: TimeSource = Arc::new(move || clock.now());
    let template = Message::parse(&dialect.schema, Bytes::from_static(PURCHASE)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("end-to-end");
    group.throughput(Throughput::Elements(1));
    for (connections, pipeline) in LOADS {
        let id = BenchmarkId::new(format!("{connections}-connections"), format!("{pipeline}-out"));
        let mut ourselves = None;
        group.bench_function(id, |b| {
            let gateway = ourselves.get_or_insert_with(|| Ourselves::start(&dialect, &clock, flags).unwrap());
            let settings = Settings {
                target: gateway.address,
                dialect: dialect.clone(),
                speech: Speech::Frames(Framing::none().into()),
                template: template.clone(),
                connections,
                terminals: pipeline,
                first_terminal: 10_000_000,
                pipeline,
                pace: Pace::Closed,
                warmup: Duration::ZERO,
                length: Length::Count(0),
                timeout: Duration::from_secs(40),
            };
            b.iter_custom(|iterations| {
                // Several per connection, or it is the making of connections that is measured.
                let count = iterations.max(4 * (connections * pipeline) as u64);
                let settings = Settings { length: Length::Count(count), ..settings.clone() };
                let run = bench::run(settings, clock.clone(), std::future::pending(), |_| {});
                let report = runtime.block_on(run).unwrap();
                assert_eq!((report.answered, report.error_count()), (count, 0), "{report}");
                Duration::from_secs_f64(report.seconds * iterations as f64 / count as f64)
            });
        });
    }
    group.finish();
}

/// The settings of a gateway before the bank on this port.
fn flags(
    bank: u16,
) -> Result<(socketqueue::upstream::Settings, socketqueue::listener::tcp::Settings), String> {
    let flags = [
        "--upstreamHost=127.0.0.1",
        &format!("--upstreamPort={bank}"),
        "--listenHost=127.0.0.1",
        "--listenPort=0",
        "--journalFile=none",
        "--maxQueue=20000",
    ];
    let config = config::load(&flags.map(str::to_owned)).map_err(|problems| format!("{problems:?}"))?;
    Ok((config.upstream.unwrap(), config.tcp.into_iter().next().unwrap()))
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(10)
        .without_plots();
    targets = end_to_end
}
criterion_main!(benches);
