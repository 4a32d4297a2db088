//! A gateway as a process, with a host moved by hand and everything that lets it be looked at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, Schema, field};
use socketqueue::time::Now;

use crate::process::{Host, Line, PATIENCE, Process};

/// The card of all sales here. It must be nowhere but at the host.
pub const CANARY: &str = "4850781234567891";

pub struct World {
    pub gateway: Process,
    pub host: Host,
    pub clients: SocketAddr,
    pub statistics: SocketAddr,
    pub admin: SocketAddr,
    pub dialect: Arc<Dialect>,
}

/// What an HTTP server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl World {
    /// With its working directory, and more flags.
    pub fn start(directory: &Path, more: &[&str]) -> World {
        let host = Host::new();
        let mut args: Vec<String> = [
            "--upstreamHost=127.0.0.1",
            &format!("--upstreamPort={}", host.port()),
            "--listenHost=127.0.0.1",
            "--listenPort=0",
            "--timezone=UTC",
            "--statServerPort=0",
            "--adminPort=0",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(more.iter().map(|flag| (*flag).to_owned()));
        let gateway = Process::start_in(directory, &args);
        let (clients, statistics) = (gateway.address("clients"), gateway.address("statistics"));
        let admin = gateway.address("admin");
        World { gateway, host, clients, statistics, admin, dialect: Dialect::builtin("smartVista").unwrap() }
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.dialect.schema
    }

    /// A client's sale of 10.00.
    pub fn sale(&self, tid: u32, stan: u32) -> Vec<u8> {
        self.request("0200", tid, stan)
    }

    pub fn request(&self, mti: &str, tid: u32, stan: u32) -> Vec<u8> {
        let wall_ms =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let local = Now { wall_ms, ..Now::default() }.local();
        let mut draft = Draft::new(self.schema(), socketqueue::iso8583::Mti::parse(mti.as_bytes()).unwrap());
        let (stan, tid) = (format!("{stan:06}"), format!("{tid:08}"));
        let track2 = format!("{CANARY}=19082012232800000037");
        for (n, value) in [
            (3, if mti == "0800" { &b"990000"[..] } else { b"000000" }),
            (4, b"000000001000"),
            (7, &local.mmddhhmmss()[..]),
            (11, stan.as_bytes()),
            (12, &local.yymmddhhmmss()[..]),
            (22, b"056"),
            (24, b"200"),
            (25, b"00"),
            (35, track2.as_bytes()),
            (41, tid.as_bytes()),
            (42, b"000124642124643"),
            (49, b"810"),
        ] {
            let for_echo = matches!(n, 3 | 7 | 11 | 12 | 24 | 41);
            if mti != "0800" || for_echo {
                draft.set(socketqueue::iso8583::FieldNumber::new(n).unwrap(), value);
            }
        }
        draft.to_bytes().unwrap().to_vec()
    }

    /// The host reads a message and answers it with `code`.
    pub fn answer(&self, link: &mut Line, code: &str) -> Message {
        let request = self.read(link);
        link.send_frame(&self.answer_to(&request, code));
        request
    }

    pub fn read(&self, link: &mut Line) -> Message {
        Message::parse(self.schema(), link.frame().into()).unwrap()
    }

    pub fn answer_to(&self, request: &Message, code: &str) -> Vec<u8> {
        let mut draft = Draft::of(request);
        draft.set_mti(request.mti().response().unwrap());
        draft.set(field::RRN, b"000000000042");
        draft.set(field::RESPONSE_CODE, code.as_bytes());
        draft.to_bytes().unwrap().to_vec()
    }

    /// The statistics server's line: whoever connects gets it, and the end.
    pub fn statistics(&self) -> String {
        String::from_utf8(Line::connect(self.statistics).end()).unwrap()
    }

    /// Waits until the statistics are so: what a client has seen may be counted a moment later.
    pub fn statistics_are(&self, wanted: &str) {
        let begin = Instant::now();
        loop {
            let line = self.statistics();
            if line == format!("{wanted}\n") {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{line} is not {wanted}");
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    pub fn ask(&self, request: &str) -> Answer {
        ask(TcpStream::connect(self.admin).unwrap(), request)
    }

    /// The value of a sample, by its whole name with labels; 0 when it is not there yet.
    pub fn sample(&self, name: &str) -> f64 {
        let page = self.get("/metrics").body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    pub fn await_sample(&self, name: &str, wanted: f64) {
        let begin = Instant::now();
        while self.sample(name) != wanted {
            assert!(begin.elapsed() < PATIENCE, "{name} is not {wanted}: {}", self.get("/metrics").body);
        }
    }
}

pub fn ask_socket(path: &Path, request: &str) -> Answer {
    ask(UnixStream::connect(path).unwrap(), request)
}

pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ask(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
