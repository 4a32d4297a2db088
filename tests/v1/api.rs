//! A client of `/v1`, and a gateway with a host.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message};
use socketqueue::net::clock::Clock;

use crate::process::{Host, Line, PATIENCE, Process};

/// The card number of every request here. It must be in no error body.
pub const CANARY: &str = "4850781234567891";

pub fn smartvista() -> Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

/// A sale of 10.00, now.
pub fn sale(tid: u32, stan: u32) -> Value {
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    let text = |digits: &[u8]| String::from_utf8(digits.to_vec()).unwrap();
    json!({
        "0": "0200", "3": "000000", "4": "000000001000", "7": text(&local.mmddhhmmss()), "11": format!("{stan:06}"),
        "12": text(&local.yymmddhhmmss()), "22": "056", "24": "200", "25": "00",
        "35": format!("{CANARY}=19082012232800000037"), "41": format!("{tid:08}"), "42": "000124642124643", "49": "810",
    })
}

/// An echo, which moves no money.
pub fn echo(tid: u32, stan: u32) -> Value {
    json!({
        "mti": "0800", "Processing Code": "990000", "7": "1122030405", "11": stan, "24": "831",
        "Card Acceptor Terminal Identification": format!("{tid:08}"),
    })
}

/// The host's answer.
pub fn answer(request: &[u8], code: &str) -> Vec<u8> {
    let request = Message::parse(&smartvista().schema, request.to_vec().into()).unwrap();
    let mut draft = Draft::of(&request);
    draft.set_mti(request.mti().response().unwrap());
    draft.set(FieldNumber::new(37).unwrap(), b"000000000042");
    draft.set(FieldNumber::new(39).unwrap(), code.as_bytes());
    draft.to_bytes().unwrap().to_vec()
}

pub fn mti(message: &[u8]) -> &str {
    std::str::from_utf8(&message[..4]).unwrap()
}

// -- the gateway -------------------------------------------------------------------------------------------------------

/// A gateway in front of a host that is moved by hand.
pub struct Scene {
    pub process: Process,
    pub host: Host,
    pub http: SocketAddr,
}

pub fn flags(upstream_port: u16, flags: &[&str]) -> Vec<String> {
    let mut args = vec![
        "--upstreamHost=127.0.0.1".to_owned(),
        format!("--upstreamPort={upstream_port}"),
        "--listenHttpHost=127.0.0.1".to_owned(),
        "--listenHttpPort=0".to_owned(),
        "--timezone=UTC".to_owned(),
        "--vv".to_owned(),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    args
}

pub fn scene(given: &[&str]) -> Scene {
    let host = Host::new();
    let process = Process::start(&flags(host.port(), given));
    let http = process.address("http");
    Scene { process, host, http }
}

/// A gateway in front of the bank emulator.
pub fn with_bank(given: &[&str]) -> (Process, SocketAddr) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut args = flags(port, given);
    args.push(format!("--echoServerPort={port}"));
    let process = Process::start(&args);
    let http = process.address("http");
    (process, http)
}

impl Scene {
    pub fn client(&self) -> Client {
        Client::connect(self.http)
    }

    pub fn get(&self, id: &str) -> Reply {
        self.client().get(&format!("/v1/transactions/{id}"))
    }

    /// Asks for the transaction until `is_it`.
    pub fn until(&self, id: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let begin = std::time::Instant::now();
        loop {
            let body = self.get(id).body;
            if is_it(&body) {
                return body;
            }
            assert!(begin.elapsed() < PATIENCE, "{body}: {}", self.process.log());
        }
    }
}

/// Reads what the host gets, and answers it.
pub fn serve_one(link: &mut Line, expected: &str, code: &str) -> Vec<u8> {
    let request = link.frame();
    assert_eq!(mti(&request), expected);
    link.send_frame(&answer(&request, code));
    request
}

// -- the client --------------------------------------------------------------------------------------------------------

pub struct Client {
    pub stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub text: String,
    /// `null` where it is no JSON.
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// A problem with this cause and status.
    pub fn is_problem(&self, status: u16, cause: &str) {
        assert_eq!((self.status, self.body["cause"].as_str()), (status, Some(cause)), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{}", self.text);
    }

    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text)).to_owned()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client { stream: BufReader::new(Line::connect(address).stream) }
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub fn reply(&mut self) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut head).unwrap() > 0, "an answer comes: {head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, text: String::new(), body: Value::Null };
        let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        reply.text = String::from_utf8(bytes).unwrap();
        reply.body = serde_json::from_str(&reply.text).unwrap_or_default();
        if status >= 400 {
            assert!(!reply.text.contains(CANARY) && !reply.text.contains(&CANARY[6..12]), "{}", reply.text);
            assert!(!reply.head.contains(CANARY));
        }
        reply
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.get_with(path, &[])
    }

    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", path, headers, "");
        self.reply()
    }

    /// Posts a transaction and does not wait.
    pub fn begin(&mut self, body: &Value, headers: &[(&str, &str)]) {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", "/v1/transactions", &all, &body.to_string());
    }

    pub fn post(&mut self, body: &Value) -> Reply {
        self.post_with(body, &[])
    }

    pub fn post_with(&mut self, body: &Value, headers: &[(&str, &str)]) -> Reply {
        self.begin(body, headers);
        self.reply()
    }

    /// The connection is reset.
    pub fn reset(self) {
        socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
