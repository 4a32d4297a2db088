//! The gateway as a process, over real sockets: start, stop, signals, hostile bytes, and what TCP itself does to clients.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/process.rs"]
mod process;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::{Host, Line, Process};
use rustix::process::Signal;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti};
use socketqueue::net::clock::Clock;

/// Request and reply of the recorded case tcp-014.
const ECHO: &str =
    "303830302220010000800000393930303030313132323033323634373030303037383833313030303030313737";
const ECHO_REPLY: &str = "30383130222000000a80000039393030303031313232303332363437303030303738313134343032363430363733303\
                          0303030303030313737";

fn hex(text: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

fn smartvista() -> Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

/// A sale of 10.00, now.
fn sale(tid: u32, stan: u32) -> Vec<u8> {
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    let mut draft = Draft::new(&smartvista().schema, Mti::new(0x0200));
    let mut set = |n: u16, value: &[u8]| {
        draft.set(FieldNumber::new(n).unwrap(), value);
    };
    set(3, b"000000");
    set(4, b"000000001000");
    set(7, &local.mmddhhmmss());
    set(11, format!("{stan:06}").as_bytes());
    set(12, &local.yymmddhhmmss());
    set(22, b"056");
    set(24, b"200");
    set(25, b"00");
    set(35, b"4850781234567891=19082012232800000037");
    set(41, format!("{tid:08}").as_bytes());
    set(42, b"000124642124643");
    set(49, b"810");
    draft.to_bytes().unwrap().to_vec()
}

/// The host's answer.
fn answer(request: &[u8], code: &str) -> Vec<u8> {
    let request = parse(request);
    let mut draft = Draft::of(&request);
    draft.set_mti(request.mti().response().unwrap());
    draft.set(FieldNumber::new(37).unwrap(), b"000000000042");
    draft.set(FieldNumber::new(39).unwrap(), code.as_bytes());
    draft.to_bytes().unwrap().to_vec()
}

fn parse(raw: &[u8]) -> Message {
    Message::parse(&smartvista().schema, raw.to_vec().into()).unwrap()
}

/// A gateway in front of a host that is moved by hand.
struct Scene {
    process: Process,
    host: Host,
    clients: std::net::SocketAddr,
}

fn scene(flags: &[&str]) -> Scene {
    let host = Host::new();
    let mut args = vec![
        "--upstreamHost=127.0.0.1".to_owned(),
        format!("--upstreamPort={}", host.port()),
        "--listenHost=127.0.0.1".to_owned(),
        "--listenPort=0".to_owned(),
        "--timezone=UTC".to_owned(),
        "--vv".to_owned(),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let process = Process::start(&args);
    let clients = process.address("clients");
    Scene { process, host, clients }
}

impl Scene {
    fn client(&self) -> Line {
        Line::connect(self.clients)
    }

    /// Nothing has been sent to the host: the next that it gets is an echo sent now.
    fn is_silent(&self, link: &mut Line) -> bool {
        let mut probe = self.client();
        probe.write(&hex(ECHO));
        let silent = link.frame() == hex(ECHO);
        link.send_frame(&hex(ECHO_REPLY));
        assert_eq!(probe.read(hex(ECHO_REPLY).len()), hex(ECHO_REPLY));
        silent
    }
}

// -- the first 0810 ----------------------------------------------------------------------------------------------------

#[test]
fn an_echo_is_answered_also_byte_by_byte_and_to_a_client_that_half_closed() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let (echo, reply) = (hex(ECHO), hex(ECHO_REPLY));
    let mut client = scene.client();
    for byte in &echo {
        client.write(&[*byte]);
    }
    client.half_close();
    assert_eq!(link.frame(), echo);
    link.send_frame(&reply);
    assert_eq!(client.end(), reply);
}

#[test]
fn gateway_and_bank_in_one_process_answer_each_other() {
    let bank_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Process::start(&[
        format!("--echoServerPort={bank_port}"),
        "--upstreamHost=127.0.0.1".into(),
        format!("--upstreamPort={bank_port}"),
        "--listenPort=0".into(),
        "--timezone=UTC".into(),
    ]);
    assert_eq!(process.address("bank").port(), bank_port);
    let mut client = Line::connect(process.address("clients"));
    client.write(&hex(ECHO));
    client.half_close();
    assert_eq!(parse(&client.end()).mti().to_string(), "0810");
}

#[test]
fn listening_for_the_host_works_the_same() {
    let process =
        Process::start(&["--upstreamListenPort=0".into(), "--listenPort=0".into(), "--timezone=UTC".into()]);
    // Printed in the order of binding: clients, then the upstream.
    let clients = process.address("clients");
    let mut link = Line::connect(process.address("upstream"));
    let mut client = Line::connect(clients);
    client.write(&hex(ECHO));
    assert_eq!(link.frame(), hex(ECHO));
    let mut second = Line::connect(link.stream.peer_addr().unwrap());
    assert_eq!(second.end(), b"");
    link.send_frame(&hex(ECHO_REPLY));
    assert_eq!(client.read(hex(ECHO_REPLY).len()), hex(ECHO_REPLY));
}

// -- start and stop ----------------------------------------------------------------------------------------------------

#[test]
fn a_port_in_use_is_refused_at_start_with_its_key_and_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (key, flags) in [
        ("listenPort", vec![format!("--listenPort={port}"), "--upstreamListenPort=0".into()]),
        ("upstreamListenPort", vec![format!("--upstreamListenPort={port}"), "--listenPort=0".into()]),
        ("echoServerPort", vec![format!("--echoServerPort={port}")]),
    ] {
        let mut process = Process::start(&[flags, vec!["--listenHost=127.0.0.1".into()]].concat());
        assert!(!process.exit().success());
        process.logs(key);
        process.logs(&format!("127.0.0.1:{port}"));
        process.logs("in use");
    }
}

#[test]
fn a_signal_ends_an_idle_gateway_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut scene = scene(&[]);
        let _link = scene.host.link();
        let mut idle = scene.client();
        scene.process.logs("client connected");
        scene.process.signal(signal);
        assert_eq!(idle.end(), b"");
        assert_eq!(scene.process.exit().code(), Some(0), "{}", scene.process.log());
        scene.process.logs(if signal == Signal::TERM { "got SIGTERM" } else { "got SIGINT" });
        scene.process.logs("quitting");
    }
}

#[test]
fn what_is_in_flight_is_answered_before_the_end_and_nothing_new_is_taken() {
    let mut scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&sale(1, 1));
    let request = link.frame();
    scene.process.signal(Signal::TERM);
    scene.process.logs("draining");
    // The listening socket is closed, sooner or later.
    let begin = Instant::now();
    while std::net::TcpStream::connect(scene.clients).is_ok() {
        assert!(begin.elapsed() < process::PATIENCE);
    }
    link.send_frame(&answer(&request, "000"));
    assert_eq!(parse(&client.end()).mti().to_string(), "0210");
    assert_eq!(scene.process.exit().code(), Some(0), "{}", scene.process.log());
}

#[test]
fn what_is_owed_at_the_end_without_a_journal_is_an_error_and_no_success() {
    let mut scene = scene(&["--drainTimeout=1", "--queueTimeout=5", "--journalFile=none"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&sale(1, 1));
    link.frame();
    scene.process.signal(Signal::TERM);
    assert_eq!(client.end(), b"");
    assert_eq!(scene.process.exit().code(), Some(1), "{}", scene.process.log());
    scene.process.logs("in doubt when the gateway stopped");
    scene.process.logs("stopped with reversals owed and no journal");
}

#[test]
fn a_second_signal_stops_at_once() {
    for (flags, code, says) in [
        (&["--journalFile=none"][..], 1, "stopped with transactions open and no journal"),
        (&[], 0, "stopped with transactions open: the journal has them"),
    ] {
        let mut scene = scene(flags);
        let mut link = scene.host.link();
        let mut client = scene.client();
        client.write(&sale(1, 1));
        link.frame();
        scene.process.signal(Signal::TERM);
        scene.process.logs("draining");
        let begin = Instant::now();
        scene.process.signal(Signal::INT);
        assert_eq!(scene.process.exit().code(), Some(code));
        assert!(begin.elapsed() < Duration::from_secs(5));
        scene.process.logs(says);
    }
}

#[test]
fn a_hangup_reopens_the_log_file() {
    let folder = tempfile::tempdir().unwrap();
    let (log, moved) = (folder.path().join("gateway.log"), folder.path().join("gateway.log.1"));
    let mut scene = scene(&[&format!("--logFile={}", log.display())]);
    let _link = scene.host.link();
    while !std::fs::read_to_string(&log).unwrap().contains("started") {
        std::thread::yield_now();
    }
    std::fs::rename(&log, &moved).unwrap();
    scene.process.signal(Signal::HUP);
    scene.process.logs("log file reopened");
    scene.process.signal(Signal::TERM);
    scene.process.exit();
    assert!(std::fs::read_to_string(&log).unwrap().contains("quitting"));
    assert!(std::fs::read_to_string(&moved).unwrap().contains("started"));
}

#[test]
fn a_pid_file_admits_one_process_and_names_nobody_when_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.pid");
    let flag = format!("--pidFile={}", path.display());
    let mut first = scene(&[&flag]);
    let _link = first.host.link();
    let number: u32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    assert!(number > 1);
    let mut second = Process::start(&["--echoServerPort=0".into(), flag.clone()]);
    assert!(!second.exit().success());
    second.logs("is held by another instance");
    first.process.signal(Signal::TERM);
    assert!(first.process.exit().success());
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), "");
}

// -- what TCP does to clients ------------------------------------------------------------------------------------------

#[test]
fn a_client_reset_in_flight_makes_the_approval_be_reversed() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&sale(1, 1));
    let request = link.frame();
    client.reset();
    scene.process.logs("client disconnected");
    link.send_frame(&answer(&request, "000"));
    assert_eq!(parse(&link.frame()).mti().to_string(), "0400");
}

#[test]
fn a_client_that_closed_in_flight_is_found_out_by_its_reset_to_the_reply() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&sale(1, 1));
    let request = link.frame();
    drop(client);
    assert!(scene.is_silent(&mut link), "a closed sending side is no reason yet");
    let begin = Instant::now();
    link.send_frame(&answer(&request, "000"));
    assert_eq!(parse(&link.frame()).mti().to_string(), "0400");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_client_that_half_closed_and_has_its_reply_is_not_reversed() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&sale(1, 1));
    client.half_close();
    let request = link.frame();
    link.send_frame(&answer(&request, "000"));
    assert_eq!(parse(&client.end()).mti().to_string(), "0210");
    drop(client);
    scene.process.logs("client disconnected");
    assert!(scene.is_silent(&mut link));
}

#[test]
fn a_client_that_resets_after_its_tcp_has_the_reply_is_not_reversed() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&sale(1, 1));
    let request = link.frame();
    let reply = answer(&request, "000");
    link.send_frame(&reply);
    assert_eq!(client.read(reply.len()), reply);
    client.reset();
    scene.process.logs("client disconnected");
    assert!(scene.is_silent(&mut link));
}

#[cfg(target_os = "linux")]
#[test]
fn replies_that_a_client_s_tcp_does_not_take_within_the_delivery_timeout_are_undelivered() {
    // A client whose window is full stands for one that has vanished: our kernel has the bytes, its own never acknowledges.
    let scene = scene(&["--deliveryTimeout=5", "--queueTimeout=300"]);
    let mut link = scene.host.link();
    let mut client = Line::connect_with_window(scene.clients, 2048);
    for tid in 1..=60 {
        client.write(&sale(tid, 1));
        let request = link.frame();
        link.send_frame(&answer(&request, "000"));
    }
    scene.process.logs("client disconnected");
    let reversal = parse(&link.frame());
    assert_eq!(reversal.mti().to_string(), "0400");
}

#[test]
fn a_client_reset_while_it_sends_leaves_the_host_alone() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let sale = sale(1, 1);
    for split in [0, 1, 17, sale.len() - 1] {
        let mut client = scene.client();
        client.write(&sale[..split]);
        client.reset();
    }
    assert!(scene.is_silent(&mut link));
}

#[test]
fn close_after_reply_lets_the_client_read_though_it_has_written_more() {
    let scene = scene(&["--closeAfterReply"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.write(&hex(ECHO));
    assert_eq!(link.frame(), hex(ECHO));
    client.write(&vec![b'x'; 100_000]);
    link.send_frame(&hex(ECHO_REPLY));
    assert_eq!(client.end(), hex(ECHO_REPLY));
    assert!(scene.is_silent(&mut link));
}

#[test]
fn two_hundred_clients_get_their_own_replies() {
    let scene = scene(&["--maxQueue=500"]);
    let mut link = scene.host.link();
    let mut clients: Vec<Line> = (1..=200).map(|_| scene.client()).collect();
    for (tid, client) in clients.iter_mut().enumerate() {
        client.write(&sale(tid as u32 + 1, 7));
    }
    let mut requests: Vec<Vec<u8>> = (1..=200).map(|_| link.frame()).collect();
    requests.reverse();
    for request in &requests {
        link.send_frame(&answer(request, "000"));
    }
    for (tid, client) in clients.iter_mut().enumerate() {
        let expected = answer(&sale(tid as u32 + 1, 7), "000");
        let reply = parse(&client.read(expected.len()));
        assert_eq!(reply.text(FieldNumber::new(41).unwrap()).unwrap(), format!("{:08}", tid + 1));
    }
}

// -- hostile bytes -----------------------------------------------------------------------------------------------------

/// splitmix64.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

#[test]
fn hostile_bytes_reach_no_host_and_disturb_nobody() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut honest = scene.client();
    let tls_hello = [&hex("1603010200010001fc0303")[..], &noise(1, 508)].concat();
    let attacks = [
        tls_hello,
        b"GET / HTTP/1.1\r\nHost: gateway\r\nUser-Agent: curl/8\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec(),
        vec![0; 65_536],
        vec![0xFF; 65_536],
        noise(2, 1 << 20),
    ];
    for (stan, attack) in attacks.iter().enumerate() {
        let mut hostile = scene.client();
        // The gateway may close while we write.
        let _ = std::io::Write::write_all(&mut hostile.stream, attack);
        let begin = Instant::now();
        honest.write(&sale(1, stan as u32 + 1));
        let request = link.frame();
        assert_eq!(parse(&request).mti().to_string(), "0200", "the honest one's is the next that comes");
        let reply = answer(&request, "000");
        link.send_frame(&reply);
        assert_eq!(honest.read(reply.len()), reply);
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!(hostile.end(), b"", "no answer");
    }
    assert!(scene.is_silent(&mut link));
    assert!(!scene.process.log().contains("panic"), "{}", scene.process.log());
}

#[test]
fn beyond_max_clients_connections_are_closed_at_once() {
    let scene = scene(&["--maxClients=3"]);
    let mut link = scene.host.link();
    let mut clients: Vec<Line> = (0..3).map(|_| scene.client()).collect();
    for _ in 0..5 {
        assert_eq!(scene.client().end(), b"");
    }
    clients[2].write(&hex(ECHO));
    assert_eq!(link.frame(), hex(ECHO));
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_client_costs_little_memory() {
    // The goal is 1.5 KiB in a release build at 9,800 clients; twice that here leaves room for a debug build and a small
    // number of clients.
    const CLIENTS: u64 = 1000;
    let host = Host::new();
    let process = Process::start(&[
        "--upstreamHost=127.0.0.1".into(),
        format!("--upstreamPort={}", host.port()),
        "--listenPort=0".into(),
        "--timezone=UTC".into(),
    ]);
    let address = process.address("clients");
    let mut link = host.link();
    let mut served = |client: &mut Line| {
        client.write(&hex(ECHO));
        assert_eq!(link.frame(), hex(ECHO));
        link.send_frame(&hex(ECHO_REPLY));
        client.read(hex(ECHO_REPLY).len());
    };
    served(&mut Line::connect(address));
    let before = process.rss_kib();
    let mut clients: Vec<Line> = (0..CLIENTS).map(|_| Line::connect(address)).collect();
    // Accepted in order: with the last one all are.
    served(clients.last_mut().unwrap());
    let each = (process.rss_kib() - before) * 1024 / CLIENTS;
    assert!(each < 3072, "{each} bytes for each idle client");
}
