//! The codec: parse, build into a reused buffer, match key, request, padding, masking; in nanoseconds a message.
//!
//! `parse/hand` and `build/hand` are what one would write by hand for smartVista alone, with the same checks: rows 8 and
//! 9 of the goals, printed with their bars at the end, and how often one call of each allocates.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a bench is a test

mod allocations;
mod hand;
mod ratio;
mod samples;
mod stopwatch;

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use socketqueue::dialect::pretty::{self, Remarks};
use socketqueue::iso8583::mask::MaskStyle;
use socketqueue::iso8583::{Draft, FieldNumber, Message};
use socketqueue::rules::{KeyFields, MatchKey, prepare};
use socketqueue::time::Now;

use allocations::allocations;
use samples::{PURCHASE, Sample, samples};

/// 2026-11-22 03:26:46 UTC, when the sample's purchase was made (its DE 12).
const NOW: Now = Now { uptime: Duration::ZERO, wall_ms: 1_795_318_006_000, offset_s: 0 };

/// Encodes as the gateway builds a message: a draft that is used again, a buffer that is used again.
fn build(draft: &mut Draft, message: &Message, values: &[(FieldNumber, Vec<u8>)], out: &mut BytesMut) {
    out.clear();
    draft.clear(message.mti());
    for (n, value) in values {
        draft.set(*n, value);
    }
    draft.encode(out).unwrap();
}

/// The same values without leading zeros where the dialect fills up: what a JSON client gives.
fn unpadded(sample: &Sample) -> Vec<(FieldNumber, Vec<u8>)> {
    let shorten = |(n, value): (FieldNumber, Vec<u8>)| match sample.dialect.pad_fields.contains(&n) {
        true => {
            let zeros = value.iter().take(value.len() - 1).take_while(|digit| **digit == b'0').count();
            (n, value[zeros..].to_vec())
        }
        false => (n, value),
    };
    sample.values().into_iter().map(shorten).collect()
}

fn codec(c: &mut Criterion) {
    let keys = KeyFields::default();
    for sample in samples() {
        let Sample { name, dialect, bytes } = &sample;
        let (message, values, short) = (sample.message(), sample.values(), unpadded(&sample));
        let (mut draft, mut out) =
            (Draft::new(&dialect.schema, message.mti()), BytesMut::with_capacity(1024));
        let parse = || Message::parse(&dialect.schema, bytes.clone()).unwrap();

        let mut group = c.benchmark_group(*name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("parse", |b| b.iter(|| black_box(parse())));
        group.bench_function("measure", |b| b.iter(|| Message::measure(&dialect.schema, black_box(bytes))));
        group.bench_function("build", |b| b.iter(|| build(&mut draft, &message, &values, &mut out)));
        group.bench_function("build-padding", |b| b.iter(|| build(&mut draft, &message, &short, &mut out)));
        group.bench_function("key", |b| b.iter(|| MatchKey::of(black_box(&message), &keys)));
        group.bench_function("request", |b| b.iter(|| prepare(dialect, &keys, message.clone(), NOW).is_ok()));
        group.bench_function("masked-dump", |b| {
            b.iter(|| pretty::dump(dialect, &message, "", MaskStyle::default(), Remarks::default()))
        });
        group.finish();

        println!(
            "{name}: allocations: parse {}, measure {}, build {}, build-padding {}, key {}, request {}",
            allocations(|| drop(black_box(parse()))),
            allocations(|| _ = black_box(Message::measure(&dialect.schema, bytes))),
            allocations(|| build(&mut draft, &message, &values, &mut out)),
            allocations(|| build(&mut draft, &message, &short, &mut out)),
            allocations(|| drop(black_box(MatchKey::of(&message, &keys)))),
            allocations(|| drop(black_box(prepare(dialect, &keys, message.clone(), NOW)))),
        );
    }
}

fn hand_written(c: &mut Criterion) {
    let purchase = samples().into_iter().find(|sample| sample.name == "smartVista-0200").unwrap();
    let Sample { dialect, bytes, .. } = &purchase;
    let (message, values) = (purchase.message(), purchase.values());
    let elements: Vec<(usize, &[u8])> = values.iter().map(|(n, value)| (n.index(), &value[..])).collect();
    let (mut draft, mut out) = (Draft::new(&dialect.schema, message.mti()), BytesMut::with_capacity(1024));
    let mut plain = Vec::with_capacity(1024);
    let mut build_by_hand = || {
        plain.clear();
        hand::build(0x0200, black_box(&elements), &mut plain).unwrap();
        plain.len()
    };

    // They do the same as the codec.
    let scanned = hand::scan(PURCHASE).unwrap();
    assert_eq!((scanned.mti, scanned.count), (0x0200, values.len()));
    assert_eq!(scanned.bitmap.count_ones() as usize, values.len());
    for ((from, to), (_, value)) in scanned.spans.iter().zip(&values) {
        assert_eq!(PURCHASE[usize::from(*from)..usize::from(*to)], value[..]);
    }
    assert!(hand::scan(&PURCHASE[..262]).is_none() && hand::scan(&[PURCHASE, b"0"].concat()).is_none());
    let mut built = Vec::new();
    hand::build(0x0200, &elements, &mut built).unwrap();
    assert_eq!(built, PURCHASE);
    build(&mut draft, &message, &values, &mut out);
    assert_eq!(out, PURCHASE);

    let mut group = c.benchmark_group("hand");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("scan", |b| b.iter(|| hand::scan(black_box(PURCHASE)).unwrap().count));
    group.bench_function("build", |b| b.iter(&mut build_by_hand));
    group.finish();

    let parse = |bytes: &Bytes| Message::parse(&dialect.schema, bytes.clone()).unwrap();
    let parse_allocates = allocations(|| drop(black_box(parse(bytes))));
    let build_allocates = allocations(|| build(&mut draft, &message, &values, &mut out));
    ratio::print(
        &format!("row 8, parse / hand-written scan ({parse_allocates} allocations)"),
        2.5,
        || parse(black_box(bytes)),
        || hand::scan(black_box(PURCHASE)),
    );
    ratio::print(
        &format!("row 9, build / hand-written build ({build_allocates} allocations)"),
        3.0,
        || build(&mut draft, black_box(&message), black_box(&values), &mut out),
        &mut build_by_hand,
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .without_plots();
    targets = codec, hand_written
}
criterion_main!(benches);
