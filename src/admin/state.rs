//! `/v1/state`: what stands where, for people. Keys are masked as in the logs; nothing else of a message is in it.

use std::time::Duration;

use serde_json::{Value, json};

use super::sources::{JournalSeen, Observed, Sources};
use crate::upstream::{Snapshot, Standing};

/// Transactions shown of one upstream, the oldest first.
pub(super) const TRANSACTIONS_MAX: usize = 500;

pub(super) async fn document(sources: &Sources) -> Value {
    let observed = sources.observe().await;
    let mut upstreams = Vec::new();
    for ((name, snapshot), (_, handle)) in observed.upstreams.iter().zip(&sources.upstreams) {
        let transactions = sources.oldest(handle, TRANSACTIONS_MAX).await.unwrap_or_default();
        upstreams.push(match snapshot {
            Some(snapshot) => {
                let seen = observed.journals.iter().find(|(other, _)| other == name).map(|(_, seen)| seen);
                upstream(name, snapshot, seen, &transactions)
            }
            None => json!({ "name": name, "answers": false }),
        });
    }
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": millis((sources.clock)().uptime),
        "log_level": super::commands::level_name(sources.log.get()),
        "upstreams": upstreams,
        "listeners": listeners(&observed),
    })
}

fn upstream(
    name: &str,
    snapshot: &Snapshot,
    journal: Option<&JournalSeen>,
    transactions: &[Standing],
) -> Value {
    let Snapshot { census, tally, link, .. } = snapshot;
    let age = |arrived: Option<Duration>| arrived.map(|arrived| millis(snapshot.at.saturating_sub(arrived)));
    let shown = u64::try_from(transactions.len()).unwrap_or(u64::MAX);
    let all = census.waiting
        + census.in_flight
        + census.answered
        + census.owed_waiting
        + census.owed_sent
        + census.parked
        + census.listed;
    json!({
        "name": name,
        "answers": true,
        "draining": snapshot.draining,
        "link": { "up": link.up, "connects": link.connects, "losses": link.losses, "failures": link.failures },
        "queue": { "waiting": census.waiting, "limit": snapshot.queue_max, "oldest_ms": age(census.oldest_waiting) },
        "in_flight": census.in_flight,
        "being_delivered": census.answered,
        "terminals_busy": tally.terminals_busy,
        "reversals": {
            "waiting": census.owed_waiting,
            "sent": census.owed_sent,
            "parked": census.parked,
            "listed": census.listed,
            "oldest_ms": age(census.oldest_owed),
        },
        "journal": journal.map(|seen| journal_state(seen, snapshot.journal_up)),
        "transactions": transactions.iter().map(standing).collect::<Vec<_>>(),
        "transactions_left_out": all.saturating_sub(shown),
    })
}

fn journal_state(seen: &JournalSeen, takes_intents: bool) -> Value {
    let figures = &seen.figures;
    json!({
        "up": takes_intents && figures.up,
        "open_rows": figures.open,
        "waiting": figures.waiting,
        "end_lag_ms": millis(figures.end_lag),
        "commit_failures": figures.failures + figures.unknown,
        "wal_bytes": seen.wal_bytes,
    })
}

fn standing(standing: &Standing) -> Value {
    let key: serde_json::Map<_, _> =
        standing.key.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
    json!({
        "request": standing.request.to_string(),
        "mti": standing.mti.to_string(),
        "key": key,
        "state": standing.state,
        "age_ms": millis(standing.age),
        "attempts": standing.attempts,
    })
}

fn listeners(observed: &Observed) -> Value {
    let listener = |figures: &crate::listener::Figures| {
        json!({
            "name": figures.name,
            "connections": figures.open,
            "limit": figures.open_max,
            "requests": figures.requests,
        })
    };
    observed.listeners.iter().map(listener).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
