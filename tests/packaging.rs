//! What a user finds at the top of the repository and in SocketQueue's manual works as it stands there: command lines,
//! configuration, containers, sample payloads; and both dialects run from client to bank and back.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/process.rs"]
mod process;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use process::{Line, PATIENCE, Process};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, field};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn args(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_string).collect()
}

/// A port that was free a moment ago: for command lines that must name one port twice.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn socketqueue(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_socketqueue")).args(args(line)).current_dir(root()).output().unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Waits until a file has this text.
fn await_in(path: &PathBuf, wanted: &str) -> String {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(wanted) {
            return text;
        }
        assert!(begin.elapsed() < PATIENCE, "no {wanted:?} in {text}");
        std::thread::yield_now();
    }
}

// -- SocketQueue's manual --------------------------------------------------------------------------------------------

#[test]
fn two_instances_side_by_side_in_one_directory_as_the_manual_shows_them() {
    let directory = tempfile::tempdir().unwrap();
    let bank = free_port();
    // node socketQueue.js --upstreamHost=localhost --upstreamPort=5000 --listenPort=2014 --vv --echoServerPort=5000
    let gateway = Process::start_in(
        directory.path(),
        &args(&format!(
            "--upstreamHost=localhost --upstreamPort={bank} --listenPort=0 --vv --echoServerPort={bank}"
        )),
    );
    let clients = gateway.address("clients").port();
    // node socketQueue.js --testTargetHost=localhost --testTargetPort=2014 --testClients=10 --vv
    let ten = Process::start_in(
        directory.path(),
        &args(&format!("--testTargetHost=localhost --testTargetPort={clients} --testClients=10 --vv")),
    );
    for client in 1..=10 {
        gateway.logs(&format!("Card Acceptor Terminal Identification [41].......{client:08}"));
    }
    gateway.logs("[Echo Response]");
    drop(ten);
}

#[test]
fn the_echo_server_alone_and_everything_in_one_line() {
    // node socketQueue.js --vv --echoServerPort=5000
    let bank = Process::start(&args("--vv --echoServerPort=0"));
    let port = bank.address("bank").port();
    let one_line = Process::start(&args(&format!(
        "--upstreamHost=localhost --upstreamPort={port} --listenPort=0 --echoServerPort=0 --vv"
    )));
    one_line.logs("upstream link is up");
}

#[test]
fn a_log_file_and_a_silent_console() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    // node socketQueue.js --upstreamHost=… --upstreamPort=5000 --listenPort=2014 --vv --logFile=log.txt --silent
    let gateway = Process::start_in(
        directory.path(),
        &args(&format!(
            "--upstreamHost=localhost --upstreamPort={port} --echoServerPort={port} --listenPort=0 --vv --logFile=log.txt --silent"
        )),
    );
    let mut client = Line::connect(gateway.address("clients"));
    client.write(&echo());
    assert_eq!(client.message(&smartvista().schema).mti().bcd(), 0x0810);
    let log = await_in(&directory.path().join("log.txt"), "[Echo Response]");
    assert!(log.contains("[Echo Request]"));
    assert_eq!(gateway.log(), "", "nothing on the console");
}

#[test]
fn the_configuration_file_of_the_manual() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!(
        r#"{{ "upstreamHost": "127.0.0.1", "upstreamPort": {port}, "listenPort": 0, "vv": true, "logFile": "log.txt" }}"#
    );
    fs::write(directory.path().join("config.json"), config).unwrap();
    // node socketQueue.js --c=config.json
    let gateway = Process::start_in(directory.path(), &args("--c=config.json"));
    gateway.address("clients");
    await_in(&directory.path().join("log.txt"), "started");
    drop(gateway);
    // docker run … -c /etc/socket-queue/config.json
    let gateway = Process::start_in(directory.path(), &args("-c config.json"));
    gateway.address("clients");
}

#[test]
fn the_sample_payload_sent_with_netcat_is_answered() {
    let port = free_port();
    let gateway = Process::start(&args(&format!(
        "--upstreamHost=localhost --upstreamPort={port} --echoServerPort={port} --listenPort=0"
    )));
    let address = gateway.address("clients");
    // cat ./sample_payloads/sv_800_echo.txt - | nc …
    let answered = netcat(address, &echo());
    let Some(answered) = answered else { return };
    assert_eq!(&answered[..4], b"0810");
}

fn netcat(address: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let nc = Command::new("nc")
        .args(["-N", "127.0.0.1", &address.port().to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut nc) = nc else {
        support::skip("the sample payload through nc", "nc (netcat-openbsd) is not installed");
        return None;
    };
    nc.stdin.take().unwrap().write_all(payload).unwrap();
    Some(nc.wait_with_output().unwrap().stdout)
}

fn smartvista() -> std::sync::Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

fn echo() -> Vec<u8> {
    fs::read(root().join("sample_payloads/sv_800_echo.txt")).unwrap()
}

// -- the top of the repository ---------------------------------------------------------------------------------------

#[test]
fn the_configuration_of_the_one_command_is_accepted() {
    let output = socketqueue("check config.json");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_command_lines_of_the_containers_are_accepted() {
    let compose = text("docker-compose.yml");
    let commands: Vec<&str> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("command: ")).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let output = socketqueue(&format!("check {command}"));
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_stop_gets_more_time_than_the_drain() {
    // queueTimeout 35 s and drainTimeout 5 s more, by default.
    let supervisor = text("supervisor.conf");
    let wait = supervisor.lines().find_map(|line| line.strip_prefix("stopwaitsecs=")).unwrap();
    assert!(wait.parse::<u32>().unwrap() > 40);
    let compose = text("docker-compose.yml");
    let grace = compose.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")).unwrap();
    assert!(grace.trim_end_matches('s').parse::<u32>().unwrap() > 40);
    assert!(text("Dockerfile").contains("VOLUME /var/lib/socketqueue"));
}

#[test]
fn the_journal_survives_its_container_and_goes_neither_into_images_nor_into_the_repository() {
    // It lies in the working directory, which is on a volume.
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains("WORKDIR /var/lib/socketqueue"));
    assert!(text("docker-compose.yml").contains("- gateway:/var/lib/socketqueue"));
    assert!(text("supervisor.conf").contains("directory=/var/lib/socketqueue"));
    // Journal, log, key, lock and reserve.
    for ignored in [".gitignore", ".dockerignore"] {
        assert!(text(ignored).lines().any(|line| line == "*.journal*"), "{ignored}");
    }
}

#[test]
fn the_compose_file_is_one() {
    match Command::new("docker-compose")
        .args(["-f", "docker-compose.yml", "config"])
        .current_dir(root())
        .output()
    {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).contains("--testClients=10"));
        }
        Err(_) => support::skip("the compose file", "docker-compose is not installed"),
    }
}

// -- both dialects, from client to bank and back ---------------------------------------------------------------------

fn sample(kind: &str, dialect: &str) -> Vec<u8> {
    let output = socketqueue(&format!("sample {kind} --hostConfig={dialect}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn an_echo_and_a_purchase_are_answered_in_both_dialects() {
    for dialect in ["smartVista", "openWay"] {
        let port = free_port();
        let gateway = Process::start(&args(&format!(
            "--hostConfig={dialect} --upstreamHost=localhost --upstreamPort={port} --echoServerPort={port} --listenPort=0"
        )));
        let schema = Dialect::builtin(dialect).unwrap().schema.clone();
        let mut client = Line::connect(gateway.address("clients"));
        for (kind, mti, code) in [("echo", 0x0810, None), ("purchase", 0x0210, Some(["000", "00"]))] {
            client.write(&sample(kind, dialect));
            let answer = client.message(&schema);
            assert_eq!(answer.mti().bcd(), mti, "{dialect} {kind}");
            let said = answer.text(field::RESPONSE_CODE).unwrap();
            assert!(code.is_none_or(|codes| codes.contains(&&*said)), "{dialect} {kind}: {said}");
        }
    }
}

#[test]
fn a_silent_bank_has_the_sale_reversed_in_both_dialects() {
    for dialect in ["smartVista", "openWay"] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger.jsonl");
        let bank = Process::start(&args(&format!(
            "bank --port 0 --dialect {dialect} --silent 1000 --ledger {}",
            ledger.display()
        )));
        let gateway = Process::start(&args(&format!(
            "--hostConfig={dialect} --upstreamHost=127.0.0.1 --upstreamPort={} --listenPort=0 --queueTimeout=1",
            bank.address("bank").port()
        )));
        let mut client = Line::connect(gateway.address("clients"));
        client.write(&sample("purchase", dialect));
        let log = await_in(&ledger, "\"reversed\"");
        assert!(log.contains("\"booked\""), "{dialect}: {log}");
    }
}

// -- no card data ----------------------------------------------------------------------------------------------------

#[test]
fn a_card_number_sent_through_every_path_appears_nowhere_but_masked() {
    const CANARY: &str = "4850781122334455";
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut gateway = Process::start_in(
        directory.path(),
        &args(&format!(
            "--upstreamHost=localhost --upstreamPort={port} --echoServerPort={port} --listenPort=0 --vv \
             --logFile=log.txt --onReject=respond"
        )),
    );
    let address = gateway.address("clients");
    let dialect = Dialect::builtin("smartVista").unwrap();
    let purchase = Message::parse(&dialect.schema, sample("purchase", "smartVista").into()).unwrap();
    let with = |changes: &[(socketqueue::iso8583::FieldNumber, &str)]| {
        let mut draft = Draft::of(&purchase);
        draft.set(field::TRACK_2, format!("{CANARY}=19082012232800000037").as_bytes());
        for (n, value) in changes {
            match value.is_empty() {
                true => draft.remove(*n),
                false => draft.set_text(*n, value),
            };
        }
        draft.to_bytes().unwrap()
    };
    let de = |n| socketqueue::iso8583::FieldNumber::new(n).unwrap();
    let cards = format!("card {CANARY} expires 1908");
    let mut client = Line::connect(address);
    for (bytes, mti) in [
        (with(&[]), 0x0210),
        (with(&[(field::PAN, CANARY)]), 0x0210),
        (with(&[(de(46), &cards), (de(62), &cards), (field::ADDITIONAL_AMOUNTS, &cards)]), 0x0210),
        // Refused: no terminal, no amount, expired. The refusal must not carry it back.
        (with(&[(field::AMOUNT, "")]), 0x0210),
        (with(&[(field::LOCAL_TIME, "150820130600")]), 0x0210),
    ] {
        client.write(&bytes);
        let answer = client.message(&dialect.schema);
        assert_eq!(answer.mti().bcd(), mti);
        if answer.text(field::RESPONSE_CODE).unwrap() != "000" {
            let raw = String::from_utf8_lossy(answer.raw()).into_owned();
            assert!(!raw.contains(CANARY), "a refusal");
        }
    }
    // Not a message at all, a reversal nobody knows, and a client that leaves.
    for bytes in [CANARY.as_bytes().to_vec(), format!("0200{CANARY}{CANARY}").into_bytes()] {
        let mut client = Line::connect(address);
        client.write(&bytes);
        client.end();
    }
    gateway.signal(rustix::process::Signal::TERM);
    gateway.exit();
    let log = fs::read_to_string(directory.path().join("log.txt")).unwrap();
    for (name, text) in [("stderr", gateway.log()), ("log file", log.clone()), ("stdout", gateway.said())] {
        for hidden in [CANARY, "81122334455", "19082012232800000037"] {
            assert!(!text.contains(hidden), "{hidden} in {name}");
        }
    }
    assert!(log.contains("485078******4455"), "the masked form is there");
}
