//! `/metrics`: everything that is counted. Counters only grow, whatever HUP or an operator resets; labels come from bounded
//! sets (never a TID or a card number).

use super::exposition::{Form, Page};
use super::journal_metrics;
use super::sources::{Observed, Sources};
use crate::upstream::{ByCause, Snapshot, words};

/// The page.
pub(super) fn page(form: Form, sources: &Sources, observed: &Observed) -> String {
    let mut page = Page::new(form);
    process(&mut page, sources);
    let upstreams: Vec<(&str, &Snapshot)> = observed
        .upstreams
        .iter()
        .filter_map(|(name, snapshot)| Some((name.as_str(), snapshot.as_ref()?)))
        .collect();
    transactions(&mut page, &upstreams);
    queue(&mut page, &upstreams);
    link(&mut page, &upstreams);
    reversals(&mut page, &upstreams);
    journal_metrics::write(&mut page, observed);
    responses(&mut page, &upstreams);
    listeners(&mut page, observed);
    page.finish()
}

type Upstreams<'a> = [(&'a str, &'a Snapshot)];

fn process(page: &mut Page, sources: &Sources) {
    page.gauge("socketqueue_build_info", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.gauge("socketqueue_start_time_seconds", "When the process began, in seconds since 1970.")
        .sample(&[], sources.started_ms as f64 / 1e3);
    page.counter("socketqueue_log_lines_dropped", "Log lines lost because a sink could not keep up.")
        .sample(&[], sources.log.dropped());
}

fn transactions(page: &mut Page, upstreams: &Upstreams<'_>) {
    let mut samples = page.counter(
        "socketqueue_requests_received",
        "Requests that reached an upstream, refused ones included.",
    );
    for (name, snapshot) in upstreams {
        samples.sample(&[("upstream", name)], snapshot.tally.received);
    }
    let mut samples = page
        .counter("socketqueue_transactions_recovered", "Transactions taken over from the journal at start.");
    for (name, snapshot) in upstreams {
        samples.sample(&[("upstream", name)], snapshot.tally.recovered);
    }
    let mut samples = page.counter(
        "socketqueue_transactions",
        "Transactions that ended, by MTI, what the host said, and how they ended. One that is opened again ends again.",
    );
    for (name, snapshot) in upstreams {
        for row in snapshot.outcomes.rows() {
            let mti = row.mti.map_or_else(|| "other".to_owned(), |mti| mti.to_string());
            let class = row.class.map_or("none", words::class);
            let labels =
                [("upstream", *name), ("mti", &mti), ("class", class), ("state", words::state(row.state))];
            samples.sample(&labels, row.count);
        }
    }
    let mut samples = page.counter(
        "socketqueue_transactions_reopened",
        "Ended transactions that were opened again, by how they had ended.",
    );
    for (name, snapshot) in upstreams {
        for (state, count) in snapshot.outcomes.reopenings() {
            samples.sample(&[("upstream", name), ("state", words::state(state))], count);
        }
    }
    let mut samples = page.gauge("socketqueue_transactions_open", "Transactions that have not ended.");
    for (name, snapshot) in upstreams {
        samples.sample(&[("upstream", name)], snapshot.tally.open);
    }
    let mut samples = page.gauge(
        "socketqueue_counting_gap",
        "Received and recovered less ended and open: always 0, or a transaction was lost from the books.",
    );
    for (name, snapshot) in upstreams {
        samples.sample(&[("upstream", name)], counting_gap(snapshot));
    }
    let mut samples =
        page.counter("socketqueue_requests_unanswered", "Requests whose client got no answer, by reason.");
    for (name, snapshot) in upstreams {
        for (failure, count) in &snapshot.counts.failures {
            samples.sample(&[("upstream", name), ("reason", words::failure(*failure))], count);
        }
    }
}

/// The design's sum. It is taken by the two books that are kept apart, and by both it must come to nothing.
pub(super) fn counting_gap(snapshot: &Snapshot) -> i64 {
    let tally = &snapshot.tally;
    let came = i128::from(tally.received) + i128::from(tally.recovered);
    let by_tally = came - i128::from(tally.ended.iter().sum::<u64>()) - i128::from(tally.open);
    let by_outcomes = came - i128::from(snapshot.outcomes.balance()) - i128::from(tally.open);
    let gap = if by_tally == 0 { by_outcomes } else { by_tally };
    debug_assert_eq!(gap, 0, "a transaction was lost from the books");
    i64::try_from(gap).unwrap_or(i64::MAX)
}

fn queue(page: &mut Page, upstreams: &Upstreams<'_>) {
    gauge(
        page,
        upstreams,
        "socketqueue_queue_depth",
        "Transactions that wait for their turn or for the link.",
        |s| s.census.waiting,
    );
    gauge(page, upstreams, "socketqueue_queue_limit", "Transactions held at most (maxQueue).", |s| {
        s.queue_max as u64
    });
    let mut samples = page.gauge(
        "socketqueue_queue_oldest_age_seconds",
        "Since when the one that waits longest has waited; 0: none.",
    );
    for (name, snapshot) in upstreams {
        let oldest = snapshot.census.oldest_waiting.map(|arrived| snapshot.at.saturating_sub(arrived));
        samples.seconds(&[("upstream", name)], oldest.unwrap_or_default());
    }
    gauge(page, upstreams, "socketqueue_in_flight", "Requests sent and not answered.", |s| {
        s.census.in_flight
    });
    gauge(
        page,
        upstreams,
        "socketqueue_replies_being_delivered",
        "Answers that their clients have not taken yet.",
        |s| s.census.answered,
    );
    gauge(
        page,
        upstreams,
        "socketqueue_terminals_busy",
        "Terminals (TIDs) that have something to do.",
        |s| s.tally.terminals_busy,
    );
    gauge(
        page,
        upstreams,
        "socketqueue_tombstones",
        "Ended transactions remembered for late answers.",
        |s| s.tally.tombstones,
    );
    gauge(page, upstreams, "socketqueue_draining", "1 while the gateway stops and takes nothing new.", |s| {
        u64::from(s.draining)
    });
    let mut samples = page.histogram(
        "socketqueue_added_latency_seconds",
        "What the gateway adds to a delivered transaction: arrival to sending, and answer to delivery.",
    );
    for (name, snapshot) in upstreams {
        samples.buckets(&[("upstream", name)], &snapshot.timings.added);
    }
}

fn link(page: &mut Page, upstreams: &Upstreams<'_>) {
    gauge(page, upstreams, "socketqueue_link_up", "1 while the link to the host is up.", |s| {
        u64::from(s.link.up)
    });
    counter(
        page,
        upstreams,
        "socketqueue_link_connects",
        "Links that came up; all but the first are reconnects.",
        |s| s.link.connects,
    );
    counter(page, upstreams, "socketqueue_link_losses", "Links that were lost or closed.", |s| s.link.losses);
    counter(page, upstreams, "socketqueue_link_connect_failures", "Attempts to connect that failed.", |s| {
        s.link.failures
    });
    counter(
        page,
        upstreams,
        "socketqueue_link_refused",
        "Second connections of the host that were closed.",
        |s| s.link.refused,
    );
    counter(page, upstreams, "socketqueue_link_received_bytes", "Bytes from the host.", |s| s.link.bytes_in);
    counter(page, upstreams, "socketqueue_link_sent_bytes", "Bytes to the host.", |s| s.link.bytes_out);
    let mut samples =
        page.histogram("socketqueue_round_trip_seconds", "From sending a request to its answer.");
    for (name, snapshot) in upstreams {
        samples.buckets(&[("upstream", name)], &snapshot.timings.round_trip);
    }
}

fn reversals(page: &mut Page, upstreams: &Upstreams<'_>) {
    let mut samples = page.gauge(
        "socketqueue_reversals",
        "Reversals and advices that the host has not accepted, by where they are.",
    );
    for (name, snapshot) in upstreams {
        let census = &snapshot.census;
        for (state, count) in [
            ("waiting", census.owed_waiting),
            ("sent", census.owed_sent),
            ("parked", census.parked),
            ("listed", census.listed),
        ] {
            samples.sample(&[("upstream", name), ("state", state)], count);
        }
    }
    let mut samples = page.gauge(
        "socketqueue_reversals_oldest_age_seconds",
        "Since the arrival of the oldest transaction whose reversal or advice is still being sent; 0: none.",
    );
    for (name, snapshot) in upstreams {
        let oldest = snapshot.census.oldest_owed.map(|arrived| snapshot.at.saturating_sub(arrived));
        samples.seconds(&[("upstream", name)], oldest.unwrap_or_default());
    }
    by_cause(
        page,
        upstreams,
        "socketqueue_reversals_owed",
        "Transactions to be made good, by reason.",
        |s| &s.counts.owed,
        words::doubt,
    );
    counter(
        page,
        upstreams,
        "socketqueue_reversals_sent",
        "Sendings of reversals and carried-on advices.",
        |s| s.counts.reversals_sent,
    );
    let mut samples = page.counter(
        "socketqueue_reversals_answered",
        "Answers to reversals and carried-on advices, by what the host said.",
    );
    for (name, snapshot) in upstreams {
        for (class, count) in &snapshot.counts.reversals_answered {
            samples.sample(&[("upstream", name), ("answer", words::reversal_class(*class))], count);
        }
    }
    counter(
        page,
        upstreams,
        "socketqueue_reversals_unanswered",
        "Sendings of reversals and advices that were not answered in time.",
        |s| s.counts.reversals_unanswered,
    );
    counter(
        page,
        upstreams,
        "socketqueue_reversals_parked",
        "Reversals and advices that ran out of tries.",
        |s| s.counts.reversals_parked,
    );
    counter(
        page,
        upstreams,
        "socketqueue_reversals_cancelled",
        "Reversals not needed: a decline came before they were sent.",
        |s| s.counts.reversals_cancelled,
    );
}

fn responses(page: &mut Page, upstreams: &Upstreams<'_>) {
    by_cause(
        page,
        upstreams,
        "socketqueue_responses_unmatched",
        "Host messages that found nobody, by reason.",
        |s| &s.counts.unmatched,
        words::unmatched,
    );
    counter(page, upstreams, "socketqueue_responses_late", "Answers that came after their deadline.", |s| {
        s.tally.late
    });
    counter(page, upstreams, "socketqueue_responses_repeated", "Answers that came again.", |s| s.tally.again);
    counter(
        page,
        upstreams,
        "socketqueue_responses_unreadable",
        "Host messages that could not be read far enough.",
        |s| s.link.unparseable,
    );
    counter(
        page,
        upstreams,
        "socketqueue_responses_troubled",
        "Answers delivered although they could not be read to their end.",
        |s| s.link.troubled,
    );
    counter(page, upstreams, "socketqueue_responses_refused", "Answers refused by strictReplies.", |s| {
        s.link.strict_refused
    });
    counter(
        page,
        upstreams,
        "socketqueue_approved_after_decline",
        "Transactions that the host approved after it had declined them.",
        |s| s.counts.approved_after_decline,
    );
}

fn listeners(page: &mut Page, observed: &Observed) {
    let listeners = &observed.listeners;
    let mut samples = page.gauge("socketqueue_listener_connections", "Connections open.");
    for l in listeners {
        samples.sample(&[("listener", &l.name)], l.open);
    }
    let mut samples = page.gauge("socketqueue_listener_connections_limit", "Connections open at most.");
    for l in listeners {
        samples.sample(&[("listener", &l.name)], l.open_max);
    }
    for (name, help, value) in [
        (
            "socketqueue_listener_accepted",
            "Connections accepted, those turned away included.",
            (|l| l.accepted) as fn(&crate::listener::Figures) -> u64,
        ),
        ("socketqueue_listener_turned_away", "Connections closed at once, since too many were open.", |l| {
            l.turned_away
        }),
        ("socketqueue_listener_requests", "Messages or requests read.", |l| l.requests),
        ("socketqueue_listener_failed", "Requests that ended in an error of the gateway.", |l| l.failed),
        ("socketqueue_listener_delivered", "Replies whose every byte the client's socket took.", |l| {
            l.delivered
        }),
        ("socketqueue_listener_received_bytes", "Bytes from clients.", |l| l.bytes_in),
        ("socketqueue_listener_sent_bytes", "Bytes to clients.", |l| l.bytes_out),
    ] {
        let mut samples = page.counter(name, help);
        for l in listeners {
            samples.sample(&[("listener", &l.name)], value(l));
        }
    }
    let mut samples =
        page.counter("socketqueue_listener_rejected", "What never reached an upstream, by reason.");
    for listener in listeners {
        for (reason, count) in &listener.rejected {
            samples.sample(&[("listener", &listener.name), ("reason", reason)], count);
        }
    }
}

fn counter(page: &mut Page, upstreams: &Upstreams<'_>, name: &str, help: &str, value: fn(&Snapshot) -> u64) {
    let mut samples = page.counter(name, help);
    for (name, snapshot) in upstreams {
        samples.sample(&[("upstream", name)], value(snapshot));
    }
}

fn gauge(page: &mut Page, upstreams: &Upstreams<'_>, name: &str, help: &str, value: fn(&Snapshot) -> u64) {
    let mut samples = page.gauge(name, help);
    for (name, snapshot) in upstreams {
        samples.sample(&[("upstream", name)], value(snapshot));
    }
}

fn by_cause<T: Copy>(
    page: &mut Page,
    upstreams: &Upstreams<'_>,
    name: &str,
    help: &str,
    causes: fn(&Snapshot) -> &ByCause<T>,
    word: fn(T) -> &'static str,
) {
    let mut samples = page.counter(name, help);
    for (name, snapshot) in upstreams {
        for (cause, count) in causes(snapshot) {
            samples.sample(&[("upstream", name), ("reason", word(*cause))], count);
        }
    }
}
