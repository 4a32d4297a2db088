//! The whole program over real sockets: the commands of SocketQueue's README, hostile clients, and load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use socketqueue::net::clock::Clock;

use crate::exchange::post;
use crate::isoload::isoload;
use crate::process::{PATIENCE, Process};
use crate::support::skip;

/// A bank and a gateway in front of it; where HTTP clients connect.
struct Gateway {
    bank: Process,
    gateway: Process,
    http: SocketAddr,
}

fn start(flags: &[&str]) -> Gateway {
    let bank = Process::start(&["--echoServerPort=0".into(), "--timezone=UTC".into()]);
    let port = bank.address("bank").port();
    let mut args = vec![
        "--upstreamHost=127.0.0.1".to_owned(),
        format!("--upstreamPort={port}"),
        "--listenHttpPort=0".to_owned(),
        "--timezone=UTC".to_owned(),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let gateway = Process::start(&args);
    let http = gateway.address("http");
    Gateway { bank, gateway, http }
}

impl Gateway {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Status and body of the response to `POST path`.
    fn ask(&self, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(&post(path, body.as_bytes())).unwrap();
        response(&mut stream)
    }
}

/// The next response.
fn response(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "ended after {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

const ECHO: &str = r#"{"0":"0800","3":"990000","7":"1122032632","11":"000006","24":"831","41":"00000105"}"#;

/// Waits until the link to the bank stands: the first requests may come before.
fn wait_for_link(gateway: &Gateway) {
    let (status, body) = gateway.ask("/", ECHO);
    assert_eq!(status, 200, "{body}");
}

/// The two requests of the README, with DE 7 and 12 of now.
#[test]
fn the_commands_of_the_readme_are_answered_as_it_says() {
    let gateway = start(&["--vv"]);
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    let (date, moment) = (local.mmddhhmmss(), local.yymmddhhmmss());
    let emv = "9f2608571f1e10d4fa4aac9f2701809f100706010a03a4b8029f37045bb074729f3602000c950500800010009a031508189c01009f\
               02060000000010005f2a02064382023c009f1a0206439f03060000000000009f3303e0f0c89f34034403029f3501229f1e08353132\
               30323831358407a00000000310109f41030000565f340101";
    let purchase = format!(
        r#"{{ "0": "0200",  "3": "0",  "4": 1000,  "7": "{}",  "11": 618160,  "12": "{}",  "22": "056",  "24": "200",  "25": "00",  "35": "4850781234567891=19082012232800000037",  "41": 992468,  "42": 124642124643,  "49": "810",  "55": "{emv}" }}"#,
        String::from_utf8_lossy(&date),
        String::from_utf8_lossy(&moment),
    );
    let (status, body) = gateway.ask("/", &purchase);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let result = answer["result"].as_object().unwrap();
    let keys: Vec<&str> = result.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "0", "1", "2", "3", "4", "7", "11", "12", "22", "24", "25", "35", "37", "38", "39", "41", "42",
            "49", "55"
        ]
    );
    assert_eq!(result["0"], "0210");
    assert_eq!(result["2"], "4850781234567891", "DE 2 from track 2");
    assert_eq!(
        (&result["3"], &result["4"], &result["39"]),
        (&Value::from(0), &Value::from(1000), &Value::from(0))
    );
    assert_eq!((&result["49"], &result["55"]), (&Value::from("810"), &Value::from(emv)));
    assert_eq!((&result["41"], &result["42"]), (&Value::from("00992468"), &Value::from("000124642124643")));
    assert_eq!(answer["errors"], Value::Array(Vec::new()));

    let raw = "303830302220010000c00000303030303030303630373136313730303132333435363030303030313233343536313233\
               353637383930313234353637";
    let (status, body) = gateway.ask("/raw", raw);
    assert_eq!(status, 200, "{body}");
    assert!(
        body.starts_with("30383130") && body.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    );
    gateway.gateway.logs("ISO host to http:127.0.0.1:");
    let log = gateway.gateway.log();
    assert!(log.contains("[Purchase Request]") && log.contains("[Purchase Response]"));
    assert!(!log.contains("4850781234567891") && !log.contains("19082012232800000037"));
    drop(gateway.bank);
}

/// Real sockets, each with its own refusal, while another client is served.
#[test]
fn hostile_clients_on_real_sockets_do_not_disturb_others() {
    let mut gateway = start(&["--maxClients=300", "--httpTimeout=2"]);
    wait_for_link(&gateway);
    let mut dribbler = gateway.connect();
    dribbler.write_all(b"POST / HTTP/1.1\r\nContent-Le").unwrap();
    // Requests without end, and no answer is ever read.
    let mut deaf = gateway.connect();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let many: Vec<u8> = post("/nope", b"{}").repeat(1000);
    while deaf.write_all(&many).is_ok() {}
    // 2 MB that nobody asked for.
    let mut large = gateway.connect();
    large.write_all(&post("/", &[])[..17]).unwrap();
    let _ = large.write_all(b"Host: x\r\nContent-Length: 2000000\r\n\r\n");
    let _ = large.write_all(&vec![b'x'; 2_000_000]);
    assert_eq!(response(&mut large).0, 413);
    // More connections than there may be: those beyond are closed.
    let crowd: Vec<TcpStream> = (0..600).map(|_| gateway.connect()).collect();
    let closed = crowd.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        let begin = Instant::now();
        loop {
            match (&mut &**stream).read(&mut [0]) {
                Ok(0) => return true,
                Ok(_) => panic!("an answer to nothing"),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    // Those that were let in stay open; the rest is closed as soon as it was accepted.
                    if begin.elapsed() > Duration::from_millis(20) {
                        return false;
                    }
                }
                Err(_) => return true,
            }
        }
    });
    assert!(closed.count() >= 250);
    drop(crowd);
    assert_eq!(response(&mut dribbler), (408, "{\"result\":\"\",\"errors\":[\"Request timeout\"]}\n".into()));
    wait_for_link(&gateway);
    gateway.gateway.signal(Signal::TERM);
    assert!(gateway.gateway.exit().success());
}

/// A client that is gone when its approval comes: the kernel says so, and the host gets a reversal.
#[test]
fn an_approval_for_a_client_that_has_closed_its_socket_is_reversed() {
    let host = crate::process::Host::new();
    let gateway = Process::start(&[
        "--upstreamHost=127.0.0.1".into(),
        format!("--upstreamPort={}", host.port()),
        "--listenHttpPort=0".into(),
        "--timezone=UTC".into(),
    ]);
    let mut link = host.link();
    let mut client = TcpStream::connect(gateway.address("http")).unwrap();
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    let sale = serde_json::json!({
        "0": "0200", "3": "0", "4": 1000, "7": String::from_utf8_lossy(&local.mmddhhmmss()), "11": 1,
        "12": String::from_utf8_lossy(&local.yymmddhhmmss()), "22": "056", "24": "200", "25": "00",
        "35": "4850781234567891=19082012232800000037", "41": 1, "42": 2, "49": "810",
    });
    client.write_all(&post("/", sale.to_string().as_bytes())).unwrap();
    let mut answer = link.frame();
    assert!(answer.starts_with(b"0200"));
    drop(client);
    answer[2] = b'1';
    // DE 39 behind DE 35: bit 39, and its value before DE 41.
    answer[4 + 4] |= 0x02;
    let at = answer.len() - 3 - 15 - 8;
    answer.splice(at..at, *b"000");
    link.send_frame(&answer);
    let reversal = link.frame();
    assert!(reversal.starts_with(b"0400"), "{:?}", String::from_utf8_lossy(&reversal[..4]));
}

/// 10,000 requests over 200 connections, every answer checked by an independent tool.
#[test]
fn ten_thousand_requests_over_two_hundred_connections_are_all_right() {
    let tool = match isoload() {
        Ok(tool) => tool,
        Err(reason) => return skip("HTTP under load", &reason),
    };
    let gateway = start(&["--maxQueue=1000"]);
    wait_for_link(&gateway);
    let mut transactions = 0;
    let begin = Instant::now();
    while transactions < 10_000 {
        assert!(begin.elapsed() < Duration::from_secs(240), "{transactions} transactions only");
        let output = Command::new(&tool)
            .args([
                "clients",
                "--http",
                "--conns",
                "200",
                "--mti",
                "0800",
                "--duration",
                "3",
                "--warmup",
                "0",
            ])
            .args(["--persistent", "--target", &gateway.http.to_string()])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told} {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_str(&told).unwrap();
        let count = ["transactions", "ok", "count", "tx"].iter().find_map(|key| report[*key].as_u64());
        transactions += count.unwrap_or_else(|| panic!("no count in {told}"));
    }
}
