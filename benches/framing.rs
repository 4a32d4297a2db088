//! Framing: taking 64 frames off a buffer, as one read brings them, and writing as many; per frame of 263 bytes.
//!
//! `none` has no header: there the dialect reads the message to find its end.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a bench is a test

use std::time::Duration;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use socketqueue::dialect::Dialect;
use socketqueue::framing::{FRAME_LEN_CAP, Framing};

/// The 0200 of `sample_payloads`.
const PURCHASE: &[u8] = include_bytes!("../sample_payloads/sv_200_purchase.txt");
/// Frames in one buffer.
const FRAMES: usize = 64;

fn framing(c: &mut Criterion) {
    let dialect = Dialect::builtin("smartVista").unwrap();
    for name in ["ascii4", "bin2", "bcd2", "hex4", "nac", "none"] {
        let framing = Framing::parse(name).unwrap();
        let mut full = BytesMut::new();
        (0..FRAMES).for_each(|_| framing.encode(PURCHASE, &[], &mut full).unwrap());

        let mut group = c.benchmark_group("framing");
        group.throughput(Throughput::Elements(FRAMES as u64));
        let read = |buf: &mut BytesMut| {
            let mut frames = 0;
            while let Some(frame) = framing.next_frame(&dialect.schema, FRAME_LEN_CAP, buf).unwrap() {
                frames += usize::from(frame.payload.len() == PURCHASE.len());
            }
            frames
        };
        assert_eq!(read(&mut full.clone()), FRAMES);
        group.bench_function(BenchmarkId::new("read", name), |b| {
            b.iter_batched_ref(|| full.clone(), read, BatchSize::SmallInput);
        });
        let mut out = BytesMut::with_capacity(full.len());
        group.bench_function(BenchmarkId::new("write", name), |b| {
            b.iter(|| {
                out.clear();
                (0..FRAMES).for_each(|_| framing.encode(PURCHASE, &[], &mut out).unwrap());
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .without_plots();
    targets = framing
}
criterion_main!(benches);
