//! `socketqueue bench` over real sockets: against Socket Bank, against hosts that answer wrongly, and as a process.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/process.rs"]
mod process;

use std::future::pending;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use socketqueue::access::AllowList;
use socketqueue::bank::{self, Faults};
use socketqueue::bench::{self, Cause, Length, Pace, Report, Settings, Speech};
use socketqueue::dialect::Dialect;
use socketqueue::framing::{FRAME_LEN_CAP, Framing};
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::net::TimeSource;
use socketqueue::net::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use process::Process;

const PURCHASE: &[u8] = include_bytes!("../sample_payloads/sv_200_purchase.txt");
/// Longer than any answer takes that comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer is waited for that does not come. An answer that comes must not take as long on a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(3);
/// The card of the purchase.
const PAN: &str = "4850781234567891";

fn smart_vista() -> Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

fn ascii4() -> Framing {
    Framing::parse("ascii4").unwrap()
}

fn clock() -> TimeSource {
    let clock = Clock::new(Some("UTC")).unwrap();
    Arc::new(move || clock.now())
}

/// One connection, one request at a time, so many of them.
fn settings(target: SocketAddr, count: u64) -> Settings {
    let dialect = smart_vista();
    Settings {
        target,
        template: Message::parse(&dialect.schema, Bytes::from_static(PURCHASE)).unwrap(),
        dialect,
        speech: Speech::Frames(ascii4().into()),
        connections: 1,
        terminals: 1,
        first_terminal: 10_000_000,
        pipeline: 1,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        length: Length::Count(count),
        timeout: PATIENCE,
    }
}

async fn run(settings: Settings) -> Report {
    bench::run(settings, clock(), pending(), |_| {}).await.unwrap()
}

/// A bank, and what it did when it is told to stop.
struct Host {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<bank::Summary>,
}

impl Host {
    async fn start(faults: Faults) -> Host {
        let settings = bank::Settings {
            host: "127.0.0.1".into(),
            port: 0,
            framing: ascii4(),
            frame_len_max: FRAME_LEN_CAP,
            unlimited: true,
            magic: true,
            ledger: None,
            allowed: AllowList::default(),
            faults,
            seed: 1,
        };
        let listener = bank::bind(&settings).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            bank::serve(listener, settings, smart_vista(), clock(), stopped).await.unwrap()
        });
        Host { address, stop, serving }
    }

    async fn stop(self) -> bank::Summary {
        let _ = self.stop.send(());
        self.serving.await.unwrap()
    }
}

// -- loops -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_request_of_a_closed_loop_reaches_the_bank_once_and_is_answered() {
    let host = Host::start(Faults::default()).await;
    let report =
        run(Settings { connections: 5, terminals: 3, pipeline: 4, ..settings(host.address, 1000) }).await;
    assert_eq!((report.sent, report.answered, report.measured, report.error_count()), (1000, 1000, 1000, 0));
    assert_eq!(report.codes.get("000"), Some(&1000));
    assert!(report.per_second > 0.0 && report.latency.p50_us > 0 && report.corrected.is_some());
    let summary = host.stop().await;
    assert_eq!((summary.connections, summary.messages, summary.booked), (5, 1000, 1000));
    assert_eq!((summary.duplicate_sales, summary.sale_repeats), (0, 0));
}

#[tokio::test]
async fn an_open_loop_counts_latency_from_when_a_request_was_due() {
    // The host takes 20 ms for each, so 50 of them take a second; they are due within a quarter of a second.
    let delay = Duration::from_millis(20);
    let host = Host::start(Faults { delay: (delay, delay), ..Faults::default() }).await;
    let open = Settings { pace: Pace::Open { per_second: 200.0 }, ..settings(host.address, 50) };
    let report = run(open).await;
    assert_eq!((report.sent, report.answered, report.error_count()), (50, 50, 0));
    // The last is due at 245 ms and answered after 1,000 ms at the earliest.
    assert!(report.latency.max_us >= 750_000, "{report}");
    assert!(report.corrected.is_none() && report.lag.unwrap().max_us > 700_000, "{report}");
    host.stop().await;
}

#[tokio::test]
async fn a_run_ends_when_it_is_told_to_and_waits_for_what_is_out() {
    let host = Host::start(Faults::default()).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let endless = Settings { length: Length::Time(Duration::from_secs(3600)), ..settings(host.address, 0) };
    let stopped = async { stopped.await.unwrap_or_default() };
    let report = bench::run(endless, clock(), stopped, |progress| {
        if progress.answered > 0 {
            drop(stop.take());
        }
    });
    let report = report.await.unwrap();
    assert_eq!((report.sent, report.error_count()), (report.answered, 0));
    host.stop().await;
}

#[tokio::test]
async fn a_target_that_takes_no_connections_is_an_error() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = bench::run(settings(address, 1), clock(), pending(), |_| {}).await;
    assert!(matches!(refused, Err(bench::BenchError::NotConnected { .. })));
}

#[tokio::test]
async fn terminals_that_do_not_fit_are_refused_before_anything_is_sent() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for (first, fits) in [(99_999_998, true), (99_999_999, false)] {
        let two = Settings { connections: 2, first_terminal: first, ..settings(address, 1) };
        let refused = bench::run(two, clock(), pending(), |_| {}).await;
        assert_eq!(matches!(refused, Err(bench::BenchError::Template(_))), !fits, "{refused:?}");
    }
}

// -- wrong answers -----------------------------------------------------------------------------------------------------

/// What a host does wrong with its third request.
#[derive(Clone, Copy)]
enum Wrong {
    Amount,
    Type,
    Stan,
    Garbage,
    BadFrame,
    Close,
    Silence,
}

/// The right answer but for what is wrong.
fn answer(request: &Bytes, wrong: Option<Wrong>) -> Bytes {
    let request = Message::parse(&smart_vista().schema, request.clone()).unwrap();
    let mut answer = Draft::of(&request);
    answer.set_mti(request.mti().response().unwrap()).set(field::RESPONSE_CODE, b"000");
    match wrong {
        Some(Wrong::Amount) => _ = answer.set(field::AMOUNT, b"000000000001"),
        Some(Wrong::Type) => _ = answer.set_mti(Mti::new(0x0410)),
        Some(Wrong::Stan) => _ = answer.set(field::STAN, b"000000"),
        Some(Wrong::Garbage) => return Bytes::from_static(b"no message"),
        _ => {}
    }
    answer.to_bytes().unwrap()
}

async fn serve(mut stream: TcpStream, wrong: Wrong, seen: &mut u32) {
    let (framing, schema) = (ascii4(), smart_vista().schema.clone());
    let mut buf = BytesMut::new();
    loop {
        while let Some(frame) = framing.next_frame(&schema, FRAME_LEN_CAP, &mut buf).unwrap() {
            *seen += 1;
            let wrong = (*seen == 3).then_some(wrong);
            match wrong {
                Some(Wrong::Close) => return,
                Some(Wrong::Silence) => continue,
                Some(Wrong::BadFrame) => return stream.write_all(b"oops").await.unwrap(),
                _ => {}
            }
            let mut out = BytesMut::new();
            framing.encode(&answer(&frame.payload, wrong), &[], &mut out).unwrap();
            if stream.write_all(&out).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut buf).await, Ok(1..)) {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_counted_by_its_cause_and_the_run_goes_on() {
    for (wrong, cause) in [
        (Wrong::Amount, Cause::WrongAmount),
        (Wrong::Type, Cause::WrongType),
        (Wrong::Garbage, Cause::Unreadable),
        (Wrong::BadFrame, Cause::Unreadable),
        (Wrong::Close, Cause::ConnectionLost),
        (Wrong::Silence, Cause::NoAnswer),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = tokio::spawn(async move {
            let mut seen = 0;
            loop {
                serve(listener.accept().await.unwrap().0, wrong, &mut seen).await;
            }
        });
        let timeout = if matches!(wrong, Wrong::Silence) { GIVEN_UP } else { PATIENCE };
        let report = run(Settings { timeout, ..settings(address, 10) }).await;
        assert_eq!((report.sent, report.answered), (10, 9), "{cause:?}: {report}");
        assert_eq!(report.errors.iter().collect::<Vec<_>>(), [(&cause.as_str(), &1)], "{report}");
        host.abort();
    }
}

#[tokio::test]
async fn an_answer_to_nothing_that_was_asked_leaves_its_request_without_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let host = tokio::spawn(async move {
        let mut seen = 0;
        loop {
            serve(listener.accept().await.unwrap().0, Wrong::Stan, &mut seen).await;
        }
    });
    let report = run(Settings { timeout: GIVEN_UP, ..settings(address, 10) }).await;
    assert_eq!((report.sent, report.answered), (10, 9), "{report}");
    assert_eq!(report.errors[Cause::Unexpected.as_str()], 1);
    assert_eq!(report.errors[Cause::NoAnswer.as_str()], 1);
    host.abort();
}

// -- the command -------------------------------------------------------------------------------------------------------

fn command(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_socketqueue")).arg("bench").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_a_target_it_drives_a_gateway_and_a_bank_of_its_own() {
    let page = tempfile::tempdir().unwrap();
    let page = page.path().join("report.html");
    for dialect in ["smartVista", "openWay"] {
        let html = format!("--html={}", page.display());
        let output = command(&[
            "--count=200",
            "-n",
            "4",
            "--json",
            &format!("--dialect={dialect}"),
            &html,
            "--timezone=UTC",
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["answered"], &report["errors"]), (&200.into(), &serde_json::json!({})));
        assert_eq!(report["run"]["connections"], 4);
        // A page by itself: drawn, without scripts or anything from elsewhere, and without card data.
        let page = std::fs::read_to_string(&page).unwrap();
        assert_eq!(page.matches("<svg").count(), 3, "{dialect}");
        for stranger in ["<script", "src=", "href=", "url(", PAN] {
            assert!(!page.contains(stranger), "{stranger}");
        }
        assert!(!text(&output.stdout).contains(PAN));
    }
}

#[test]
fn echoes_and_the_open_loop_report_as_text() {
    let output = command(&["--echo", "--rate=500", "--duration=300ms", "--warmup=0", "--timezone=UTC"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    for part in [
        "0800 to 127.0.0.1:",
        "open loop, 500 a second",
        "150 sent, 150 answered, 0 errors",
        "of it: sent late",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn a_gateway_is_driven_by_json_over_http() {
    let bank = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gateway = Process::start(&[
        format!("--echoServerPort={bank}"),
        "--upstreamHost=127.0.0.1".into(),
        format!("--upstreamPort={bank}"),
        "--listenHttpPort=0".into(),
        "--journalFile=none".into(),
        "--timezone=UTC".into(),
    ]);
    let target = gateway.address("http").to_string();
    let output = command(&[&target, "--http", "--count=100", "-n", "3", "--json", "--timezone=UTC"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("each may be booked there"), "it warns");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["answered"], &report["errors"]), (&100.into(), &serde_json::json!({})));
    assert_eq!(report["run"]["speech"], "JSON over HTTP");
    // What is refused is counted by its cause: without an amount it is no purchase.
    let message = tempfile::NamedTempFile::new().unwrap();
    let mut draft = Draft::of(&settings(([127, 0, 0, 1], 1).into(), 1).template);
    std::fs::write(message.path(), draft.remove(field::AMOUNT).to_bytes().unwrap()).unwrap();
    let message = format!("--message={}", message.path().display());
    let output = command(&[&target, "--http", "--count=10", "-n", "1", "--json", "--timezone=UTC", &message]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"], serde_json::json!({ "refused by its HTTP status": 10 }));
}

#[test]
fn another_machine_is_refused_without_a_yes_and_nothing_is_sent() {
    // TEST-NET-1 (RFC 5737): nobody is there, so that a connection would take its 10 s.
    let output = command(&["192.0.2.1:2014"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(complaint.contains("not this machine") && complaint.contains("--yes"), "{complaint}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_run_is_refused() {
    for (args, complaint) in [
        (&["nowhere"][..], "HOST:PORT"),
        (&["--rate=0"], "requests a second"),
        (&["--connections=0"], "connections"),
        (&["--pipeline=4097"], "pipeline"),
        (&["--duration=soon"], "time"),
        (&["--count=1", "--duration=1"], "cannot be used with"),
        (&["--message=/nowhere/at/all"], "--message"),
        (&["--framing=sideways"], "--framing"),
        (&["--dialect=nobody's"], "--dialect"),
    ] {
        let output = command(args);
        assert!(!output.status.success(), "{args:?}");
        assert!(text(&output.stderr).contains(complaint), "{args:?}: {}", text(&output.stderr));
    }
}
