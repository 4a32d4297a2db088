//! The servers as monitoring sees them: real processes, real sockets.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::process::{Line, Process};
use crate::support::skip;
use crate::world::{CANARY, World};

const ZEROS: &str = "{\"securedAmount\":0,\"processedAmount\":0,\"refundAmount\":0,\"reversalAmount\":0,\"faultStat\":{},\"packetCount\":{\"total\":0}}";

/// One approved and one declined sale of 10.00, and an approved one whose client is reset before it can read its answer.
fn some_traffic(world: &World) -> Line {
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    for (stan, code) in [(1, "000"), (2, "116")] {
        client.write(&world.sale(1, stan));
        world.answer(&mut link, code);
        client.message(world.schema());
    }
    let mut leaving = Line::connect(world.clients);
    leaving.write(&world.sale(2, 1));
    let request = world.read(&mut link);
    leaving.reset();
    world.gateway.logs("client disconnected");
    link.send_frame(&world.answer_to(&request, "000"));
    let reversal = world.answer(&mut link, "000");
    assert_eq!(reversal.mti().to_string(), "0400");
    link
}

const TRAFFIC: &str = "{\"securedAmount\":10,\"processedAmount\":30,\"refundAmount\":0,\"reversalAmount\":10,\"faultStat\":{\"116\":1},\"packetCount\":{\"total\":8,\"0200\":3,\"0210\":3,\"0400\":1,\"0410\":1}}";

#[test]
fn statistics_are_told_dumped_restored_and_reset_by_hup_while_metrics_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--vv", "--statDumpFile=stat.json"];
    let mut world = World::start(folder.path(), &flags);
    assert_eq!(world.statistics(), format!("{ZEROS}\n"));
    let _link = some_traffic(&world);
    world.statistics_are(TRAFFIC);
    assert_eq!(world.get("/stats").body, format!("{TRAFFIC}\n"));
    world.gateway.signal(Signal::TERM);
    assert_eq!(world.gateway.exit().code(), Some(0), "{}", world.gateway.log());
    let dumped = fs::read_to_string(folder.path().join("stat.json")).unwrap();
    assert_eq!(dumped, format!("{TRAFFIC}\n"));
    let names =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| !name.contains(".journal")).collect();
    assert_eq!(left, ["stat.json"], "beside the journal nothing else is left");

    let world = World::start(folder.path(), &flags);
    assert_eq!(world.statistics(), dumped);
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    client.write(&world.request("0800", 1, 1));
    world.answer(&mut link, "000");
    client.message(world.schema());
    let delivered = "socketqueue_transactions_total{upstream=\"upstream\",mti=\"0800\",class=\"approved\",state=\"delivered\"}";
    world.await_sample(delivered, 1.0);
    world.gateway.signal(Signal::HUP);
    world.statistics_are(ZEROS);
    assert_eq!(world.sample(delivered), 1.0, "HUP resets the statistics and nothing else");
}

#[test]
fn a_broken_dump_is_refused_at_start_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stat.json");
    fs::write(&path, "{\"securedAmount\":").unwrap();
    let flags = ["--echoServerPort=0", "--statServerPort=0", "--statDumpFile=stat.json"].map(str::to_owned);
    let mut gateway = Process::start_in(folder.path(), &flags);
    assert_eq!(gateway.exit().code(), Some(1));
    gateway.logs("statDumpFile: stat.json is not a dump of the statistics");
    gateway.logs("move it away to begin with zeros");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"securedAmount\":");
}

#[test]
fn a_process_without_a_gateway_keeps_its_dump() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stat.json");
    fs::write(&path, TRAFFIC).unwrap();
    let flags = ["--echoServerPort=0", "--statServerPort=0", "--adminPort=0", "--statDumpFile=stat.json"]
        .map(str::to_owned);
    let mut bank = Process::start_in(folder.path(), &flags);
    let statistics = bank.address("statistics");
    assert_eq!(Line::connect(statistics).end(), format!("{TRAFFIC}\n").as_bytes());
    bank.signal(Signal::TERM);
    assert_eq!(bank.exit().code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{TRAFFIC}\n"));
}

/// What a reader sends does not turn its line into a reset.
#[test]
fn a_talkative_reader_of_the_statistics_gets_its_line_too() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &[]);
    let mut reader = Line::connect(world.statistics);
    reader.write(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(reader.end(), format!("{ZEROS}\n").as_bytes());
}

#[test]
fn metrics_tell_what_happened_and_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &["--vv"]);
    let _link = some_traffic(&world);
    let row = |class, state| {
        format!(
            "socketqueue_transactions_total{{upstream=\"upstream\",mti=\"0200\",class=\"{class}\",state=\"{state}\"}}"
        )
    };
    world.await_sample(&row("approved", "reversed"), 1.0);
    for (name, wanted) in [
        (&*row("approved", "delivered"), 1.0),
        (&row("declined", "delivered"), 1.0),
        ("socketqueue_requests_received_total{upstream=\"upstream\"}", 3.0),
        ("socketqueue_transactions_open{upstream=\"upstream\"}", 0.0),
        ("socketqueue_link_up{upstream=\"upstream\"}", 1.0),
        ("socketqueue_link_connects_total{upstream=\"upstream\"}", 1.0),
        ("socketqueue_round_trip_seconds_count{upstream=\"upstream\"}", 3.0),
        ("socketqueue_added_latency_seconds_count{upstream=\"upstream\"}", 2.0),
        ("socketqueue_reversals_owed_total{upstream=\"upstream\",reason=\"client_gone\"}", 1.0),
        ("socketqueue_reversals_sent_total{upstream=\"upstream\"}", 1.0),
        ("socketqueue_reversals_answered_total{upstream=\"upstream\",answer=\"accepted\"}", 1.0),
        ("socketqueue_listener_requests_total{listener=\"clients\"}", 3.0),
        ("socketqueue_listener_delivered_total{listener=\"clients\"}", 2.0),
        ("socketqueue_log_lines_dropped_total", 0.0),
    ] {
        assert_eq!(world.sample(name), wanted, "{name}");
        assert!(world.get("/metrics").body.contains(name), "{name}");
    }
    let gap = "\nsocketqueue_counting_gap{upstream=\"upstream\"} 0\n";
    assert!(world.get("/metrics").body.contains(gap));
    assert_eq!(world.get("/metrics").body.matches("\nsocketqueue_build_info{").count(), 1);
}

#[test]
fn metrics_come_in_the_form_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &[]);
    let plain = world.get("/metrics");
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", plain.head);
    let open = world.ask("GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\nconnection: close\r\n\r\n");
    assert!(
        open.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        open.head
    );
    assert!(
        open.body.ends_with("# EOF\n") && open.body.contains("\n# TYPE socketqueue_transactions counter\n")
    );
    assert!(!plain.body.contains("# EOF"));
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    if Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    {
        return skip("promtool check metrics", "there is no promtool (Debian: prometheus)");
    }
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &["--vv"]);
    let _link = some_traffic(&world);
    world.await_sample("socketqueue_reversals_sent_total{upstream=\"upstream\"}", 1.0);
    let page = world.get("/metrics").body;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}\n{page}", String::from_utf8_lossy(&said));
}

#[test]
fn ready_is_only_who_has_a_link_and_does_not_drain() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path(), &["--vv", "--drainTimeout=60"]);
    // The host's socket accepts by itself; what is no link is seen once it is gone for good.
    let mut link = world.host.link();
    world.await_sample("socketqueue_link_up{upstream=\"upstream\"}", 1.0);
    let ready = world.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({ "ready": true })));
    assert_eq!(
        (world.get("/healthz").status, world.get("/healthz").json()),
        (200, json!({ "healthy": true }))
    );

    let mut client = Line::connect(world.clients);
    client.write(&world.sale(1, 1));
    let request = world.read(&mut link);
    world.gateway.signal(Signal::TERM);
    world.await_sample("socketqueue_draining{upstream=\"upstream\"}", 1.0);
    let draining = world.get("/readyz");
    assert_eq!((draining.status, draining.json()), (503, json!({ "ready": false, "reason": "draining" })));
    assert_eq!(world.get("/healthz").status, 200, "it is alive while it drains");
    link.send_frame(&world.answer_to(&request, "000"));
    client.message(world.schema());
    assert_eq!(world.gateway.exit().code(), Some(0));
}

#[test]
fn not_ready_without_a_link() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody connects to us.
    let flags = ["--upstreamListenPort=0", "--listenHost=127.0.0.1", "--listenPort=0", "--adminPort=0"]
        .map(str::to_owned);
    let gateway = Process::start_in(folder.path(), &flags);
    let mut admin = Line::connect(gateway.address("admin"));
    admin.write(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(admin.end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("{\"ready\":false,\"reason\":\"no upstream link is up\"}"), "{answer}");
}

#[test]
fn the_state_tells_what_stands_where_and_no_card_is_in_anything() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(
        folder.path(),
        &["--vv", "--queueMessageKeyFields=11,41,35", "--statDumpFile=stat.json", "--drainTimeout=1ms"],
    );
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    client.write(&[world.sale(1, 1), world.sale(1, 2)].concat());
    world.read(&mut link);
    // A census may be a second old.
    world.await_sample("socketqueue_queue_depth{upstream=\"upstream\"}", 1.0);
    let state = world.get("/v1/state");
    assert_eq!(state.status, 200);
    let json = state.json();
    let upstream = &json["upstreams"][0];
    assert_eq!(upstream["link"], json!({ "up": true, "connects": 1, "losses": 0, "failures": 0 }));
    assert_eq!((&upstream["in_flight"], &upstream["queue"]["waiting"]), (&json!(1), &json!(1)));
    let transactions = upstream["transactions"].as_array().unwrap();
    let shown: Vec<_> = transactions.iter().map(|one| (&one["mti"], &one["state"], &one["key"])).collect();
    let key = |stan: &str| json!({ "stan": stan, "tid": "00000001", "track2": "485078******7891=********************" });
    let (mti, in_flight, queued) = (json!("0200"), json!("in flight"), json!("queued"));
    assert_eq!(shown, [(&mti, &in_flight, &key("000001")), (&mti, &queued, &key("000002"))]);
    assert_eq!(json["listeners"][0]["connections"], 1);

    let mut seen = vec![state.body, world.statistics()];
    seen.extend(
        ["/metrics", "/stats", "/healthz", "/readyz", "/openapi.json"].map(|path| world.get(path).body),
    );
    world.gateway.signal(Signal::TERM);
    world.gateway.exit();
    seen.push(world.gateway.log());
    seen.push(fs::read_to_string(folder.path().join("stat.json")).unwrap());
    for text in seen {
        assert!(!text.contains(CANARY), "{text}");
        assert!(!text.contains("19082012232800000037"), "{text}");
    }
}

#[test]
fn over_tcp_nothing_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &[]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"] {
        for path in ["/metrics", "/stats", "/v1/state", "/v1/statistics/reset", "/"] {
            let answer = world.ask(&format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            ));
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.head.contains("\r\nallow: get, head"), "{}", answer.head);
            assert!(answer.json()["error"].is_string());
        }
    }
    assert_eq!(world.get("/v1/statistics/reset").status, 404);
    let head = world.ask("HEAD /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

/// Everything that is served stands in the document, and nothing else does.
#[test]
fn the_document_names_what_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &[]);
    let document = world.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 6);
    for (path, methods) in paths {
        let answer = world.get(path);
        let responses = &methods["get"]["responses"];
        let described = &responses[answer.status.to_string()];
        assert!(described.is_object(), "{path} {}", answer.status);
        let content = described["content"].as_object().unwrap();
        assert!(
            content.keys().any(|kind| answer.head.contains(&format!("content-type: {kind}"))),
            "{path}: {}",
            answer.head
        );
        if content.contains_key("application/json") {
            let mut schema = content["application/json"]["schema"].clone();
            schema["components"] = document["components"].clone();
            let problems: Vec<_> = jsonschema::validator_for(&schema)
                .unwrap()
                .iter_errors(&answer.json())
                .map(|error| error.to_string())
                .collect();
            assert!(problems.is_empty(), "{path}: {problems:?}");
        }
    }
}

#[test]
fn whoever_sends_no_request_is_let_go_and_takes_no_place_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &[]);
    // As many as there are places; the next are closed at once, and the gateway goes on.
    let waiting: Vec<Line> = (0..64).map(|_| Line::connect(world.admin)).collect();
    let mut refused = Line::connect(world.admin);
    assert_eq!(refused.end(), b"");
    drop(waiting);
    let begin = std::time::Instant::now();
    loop {
        let mut client = Line::connect(world.admin);
        let asked = std::io::Write::write_all(&mut client.stream, b"GET /healthz HTTP/1.0\r\n\r\n");
        if asked.is_ok() && client.end().starts_with(b"HTTP/1.0 200") {
            break;
        }
        assert!(begin.elapsed() < crate::process::PATIENCE);
    }
}

#[test]
fn a_foreign_address_gets_nothing_of_statistics_admin_or_the_gateway_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--statAllowedIp=192.0.2.1", "--allowedIp=192.0.2.1", "--adminAllowedIp=127.0.0.0/8"];
    let world = World::start(folder.path(), &flags);
    assert_eq!(Line::connect(world.statistics).end(), b"");
    assert_eq!(Line::connect(world.clients).end(), b"");
    assert_eq!(world.get("/healthz").status, 200);
    let turned_away = "socketqueue_listener_rejected_total{listener=\"clients\",reason=\"foreign_address\"}";
    assert_eq!(world.sample(turned_away), 1.0);
}
