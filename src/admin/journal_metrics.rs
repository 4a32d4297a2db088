//! The journal's part of `/metrics`.

use super::exposition::Page;
use super::sources::{JournalSeen, Observed};
use crate::journal::meters::{BATCH_BOUNDS, LATENCY_BOUNDS_US};

pub(super) fn write(page: &mut Page, observed: &Observed) {
    let journals = &observed.journals;
    let mut samples = page.gauge(
        "socketqueue_journal_up",
        "1 while the journal takes intents; at 0 new financial requests are refused.",
    );
    for (name, seen) in journals {
        let snapshot = observed.upstreams.iter().find(|(other, _)| other == name);
        let core = snapshot.and_then(|(_, snapshot)| snapshot.as_ref()).is_none_or(|s| s.journal_up);
        samples.sample(&[("upstream", name)], u64::from(core && seen.figures.up));
    }
    let mut samples = page.gauge(
        "socketqueue_journal_end_lag_seconds",
        "How long the oldest end that is not durable has waited: approvals delivered since then are reversed after a crash.",
    );
    for (name, seen) in journals {
        samples.seconds(&[("upstream", name)], seen.figures.end_lag);
    }
    let mut samples =
        page.histogram("socketqueue_journal_commit_seconds", "What a commit takes, its sync included.");
    for (name, seen) in journals {
        let bounds = LATENCY_BOUNDS_US.map(|bound| bound as f64 / 1e6);
        let sum = seen.figures.latency_sum.as_secs_f64();
        samples.buckets_of(&[("upstream", name)], &seen.figures.latency, &bounds, sum);
    }
    let mut samples =
        page.histogram("socketqueue_journal_batch_operations", "Operations that met in one commit.");
    for (name, seen) in journals {
        let bounds = BATCH_BOUNDS.map(|bound| bound as f64);
        samples.buckets_of(
            &[("upstream", name)],
            &seen.figures.batch,
            &bounds,
            seen.figures.operations as f64,
        );
    }
    let mut samples =
        page.counter("socketqueue_journal_intents", "Requests that became durable before they were sent.");
    for (name, seen) in journals {
        samples.sample(&[("upstream", name)], seen.figures.intents);
    }
    let mut samples = page.counter(
        "socketqueue_journal_commit_failures",
        "Commits that failed; of unknown outcome: an error of the sync, after which the file is read back.",
    );
    for (name, seen) in journals {
        for (outcome, count) in [("not_done", seen.figures.failures), ("unknown", seen.figures.unknown)] {
            samples.sample(&[("upstream", name), ("outcome", outcome)], count);
        }
    }
    let mut samples =
        page.counter("socketqueue_journal_rows_refused", "Rows that failed alone, not with their batch.");
    for (name, seen) in journals {
        samples.sample(&[("upstream", name)], seen.figures.bad_rows);
    }
    for (name, help, value) in [
        (
            "socketqueue_journal_open_rows",
            "Rows that are open: under way, owed, parked or listed.",
            (|seen| seen.figures.open) as fn(&JournalSeen) -> u64,
        ),
        (
            "socketqueue_journal_unreadable_rows",
            "Open rows that the start could not read: listed, for a person.",
            |seen| seen.figures.unreadable,
        ),
        ("socketqueue_journal_waiting_operations", "Operations that are not durable yet.", |seen| {
            seen.figures.waiting
        }),
        (
            "socketqueue_journal_wal_bytes",
            "Size of the write-ahead log; it is emptied every half minute.",
            |seen| seen.wal_bytes,
        ),
    ] {
        let mut samples = page.gauge(name, help);
        for (upstream, seen) in journals {
            samples.sample(&[("upstream", upstream)], value(seen));
        }
    }
}
