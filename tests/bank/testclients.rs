//! Test clients against the bank: SocketQueue's own smoke test, and real life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use socketqueue::bank::{Clock, Faults};
use socketqueue::testclients::{self, Pace, Settings, Summary, TestClientsError};
use socketqueue::time::Now;
use tokio::sync::Notify;

use crate::host::{Bank, PATIENCE, settings};

fn clock() -> Clock {
    Arc::new(|| Now { wall_ms: 1_795_316_645_000, ..Now::default() })
}

fn pace() -> Pace {
    let ms = Duration::from_millis;
    Pace { pause: (ms(1), ms(8)), answer_within: ms(5000), report_every: ms(20), seed: 7 }
}

/// Runs five clients against that bank until a report satisfies `enough`.
async fn run_until(bank: &Bank, real_life: bool, enough: impl Fn(&Summary) -> bool) -> Summary {
    let clients = Settings {
        count: 5,
        host: bank.address.ip().to_string(),
        port: bank.address.port(),
        real_life,
        framing: socketqueue::framing::Framing::parse("ascii4").unwrap(),
    };
    let done = Arc::new(Notify::new());
    let stop = done.clone();
    let report = move |summary: &Summary| {
        if enough(summary) {
            done.notify_one();
        }
    };
    let run = testclients::run(
        clients,
        pace(),
        bank.dialect.clone(),
        clock(),
        async move { stop.notified().await },
        report,
    );
    tokio::time::timeout(PATIENCE, run).await.expect("the clients did not get there").unwrap()
}

/// SocketQueue's `npm test`: 50 echo answers from 5 test clients.
#[tokio::test]
async fn five_clients_get_fifty_answers() {
    for dialect in ["smartVista", "openWay"] {
        let bank = Bank::start_with(settings(Faults::default()), dialect).await;
        let summary = run_until(&bank, false, |summary| summary.answered >= 50).await;
        assert_eq!((summary.errors(), summary.dropped), (0, 0), "{dialect}: {summary}");
        assert!(summary.p50 > Duration::ZERO && summary.p50 <= summary.p99 && summary.p99 <= summary.max);
        bank.stop().await;
    }
}

#[tokio::test]
async fn in_real_life_connections_are_dropped_on_both_sides_and_the_clients_go_on() {
    let bank = Bank::start(settings(Faults::real_life())).await;
    let summary = run_until(&bank, true, |summary| {
        summary.answered >= 50 && summary.dropped > 0 && summary.unanswered > 0
    })
    .await;
    assert_eq!((summary.wrong, summary.unconnected), (0, 0), "{summary}");
    bank.stop().await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_counted_as_an_error() {
    let bank = Bank::start(settings(Faults::default())).await;
    let address = bank.address;
    bank.stop().await;
    let clients = Settings {
        count: 1,
        host: address.ip().to_string(),
        port: address.port(),
        real_life: false,
        framing: socketqueue::framing::Framing::parse("ascii4").unwrap(),
    };
    let dialect = socketqueue::dialect::Dialect::builtin("smartVista").unwrap();
    let seen = Arc::new(AtomicU32::new(0));
    let stop = Arc::new(Notify::new());
    let (count, stopped) = (seen.clone(), stop.clone());
    let report = move |summary: &Summary| {
        count.store(summary.unconnected as u32, Ordering::Relaxed);
        if summary.unconnected >= 3 {
            stop.notify_one();
        }
    };
    let run =
        testclients::run(clients, pace(), dialect, clock(), async move { stopped.notified().await }, report);
    let summary = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    assert!(summary.errors() >= 3 && summary.sent == 0 && summary.answered == 0, "{summary}");
    assert!(seen.load(Ordering::Relaxed) >= 3);
}

#[tokio::test]
async fn more_clients_than_there_are_ports_are_refused() {
    let clients = Settings {
        count: testclients::CLIENTS_MAX + 1,
        host: "127.0.0.1".into(),
        port: 1,
        real_life: false,
        framing: socketqueue::framing::Framing::parse("ascii4").unwrap(),
    };
    let dialect = socketqueue::dialect::Dialect::builtin("smartVista").unwrap();
    let refused = testclients::run(clients, pace(), dialect, clock(), std::future::pending(), |_| {}).await;
    assert_eq!(refused, Err(TestClientsError::TooMany { count: testclients::CLIENTS_MAX + 1 }));
}
