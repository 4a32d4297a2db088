//! A directory with a journal, a host that is moved by hand, gateways that run there one after the other, and the
//! operator's commands.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::OptionalExtension;
use rustix::process::Signal;
use serde_json::Value;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti, field};
use socketqueue::net::clock::Clock;

use crate::process::{Host, Line, PATIENCE, Process};

/// The card of all sales here, and what else must be nowhere but at the host.
pub const PAN: &str = "4850781234567891";
pub const TRACK_REST: &str = "19082012232800000037";

/// A client that leaves has its sale reversed, without any time passing.
pub const LEAVERS: [&str; 1] = ["--reversalOnDisconnect=immediate"];
/// A host's code for a reversal that it will never accept: smartVista's 904, format error.
pub const REJECTED: &str = "904";

pub struct World {
    pub directory: tempfile::TempDir,
    pub host: Host,
    flags: Vec<String>,
}

pub struct Gateway {
    pub process: Process,
    pub clients: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl World {
    pub fn new(flags: &[&str]) -> World {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        World { directory: tempfile::tempdir().unwrap(), host: Host::new(), flags }
    }

    pub fn journal(&self) -> PathBuf {
        self.directory.path().join("test.journal")
    }

    /// A gateway in the directory.
    pub fn start(&self) -> Gateway {
        self.start_with(&[])
    }

    pub fn start_with(&self, more: &[&str]) -> Gateway {
        let mut args: Vec<String> = [
            "--upstreamHost=127.0.0.1",
            &format!("--upstreamPort={}", self.host.port()),
            "--listenHost=127.0.0.1",
            "--listenPort=0",
            "--listenHttpHost=127.0.0.1",
            "--listenHttpPort=0",
            "--adminPort=0",
            "--journalFile=test.journal",
            "--timezone=UTC",
            "--v",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(self.flags.iter().cloned());
        args.extend(more.iter().map(|flag| (*flag).to_owned()));
        self.start_as(&args)
    }

    /// With these flags and no others.
    pub fn start_as(&self, args: &[String]) -> Gateway {
        let process = Process::start_in(self.directory.path(), args);
        let clients = process.address("clients");
        let http = process.address("http");
        let admin = process.address("admin");
        Gateway { process, clients, http, admin }
    }

    /// `socketqueue WORDS` in the directory.
    pub fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, &[])
    }

    pub fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_socketqueue"))
            .current_dir(self.directory.path())
            .args(words)
            .env_remove("SOCKETQUEUE_JOURNAL_KEY")
            .env("USER", "jo")
            .env_remove("SUDO_USER")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said =
            Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
        for secret in [PAN, TRACK_REST, &PAN[6..]] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "{words:?}: {said:?}");
        }
        said
    }

    /// The same, which must succeed.
    pub fn done(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}: {said:?}");
        said.out
    }

    /// Rows of `journal list --json` with these words.
    pub fn rows(&self, words: &[&str]) -> Vec<Value> {
        let words = [&["journal", "list", "--json", "--timezone=UTC"], words].concat();
        let list: Value = serde_json::from_str(&self.done(&words)).unwrap();
        list["rows"].as_array().unwrap().clone()
    }

    /// A number from the file.
    pub fn number(&self, sql: &str) -> i64 {
        self.number_if_any(sql).unwrap()
    }

    fn number_if_any(&self, sql: &str) -> Option<i64> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let conn = rusqlite::Connection::open_with_flags(self.journal(), flags).unwrap();
        conn.query_row(sql, [], |row| row.get(0)).optional().unwrap()
    }

    /// Waits until the file has it so.
    pub fn await_number(&self, sql: &str, wanted: i64) {
        let begin = Instant::now();
        while self.number_if_any(sql) != Some(wanted) {
            assert!(begin.elapsed() < PATIENCE, "{sql} is {:?} and not {wanted}", self.number_if_any(sql));
        }
    }

    /// A sale (row 1) whose reversal the host has rejected; the gateway (of [`LEAVERS`]), and its link.
    pub fn with_a_parked_reversal(&self) -> (Gateway, Line) {
        let (gateway, mut link) = (self.start(), self.host.link());
        let reversal = leave(&gateway, &mut link, 1);
        self.reject(&mut link, &reversal, 1);
        (gateway, link)
    }

    /// The host rejects the reversal of row 1, its n-th sending, and it is parked for that.
    pub fn reject(&self, link: &mut Line, reversal: &[u8], attempt: i64) {
        assert_eq!(label(reversal), "0400 1/7");
        link.send_frame(&answer(reversal, REJECTED));
        self.await_number("SELECT attempts * 10 + stage FROM records WHERE id = 1", attempt * 10 + 5);
    }
}

/// The reversal of a sale whose client has left ([`LEAVERS`]): STAN 7 of this terminal.
pub fn leave(gateway: &Gateway, link: &mut Line, tid: u32) -> Vec<u8> {
    let mut client = Line::connect(gateway.clients);
    client.write(&sale(tid, 7));
    assert_eq!(label(&link.frame()), format!("0200 {tid}/7"));
    client.reset();
    let reversal = link.frame();
    assert_eq!(label(&reversal), format!("0400 {tid}/7"));
    reversal
}

impl Gateway {
    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) {
        self.process.signal(Signal::KILL);
        assert!(!self.process.exit().success());
    }

    /// TERM, and wait until it is gone.
    pub fn stop(mut self) {
        self.process.signal(Signal::TERM);
        assert!(self.process.exit().success(), "{}", self.process.log());
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        ask(self.http, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    /// What the admin server says.
    pub fn look(&self, path: &str) -> (u16, Value) {
        ask(self.admin, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    /// The value of a sample, by its whole name with labels.
    pub fn sample(&self, name: &str) -> f64 {
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let page = talk(self.admin, request);
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    }

    /// Begins `POST /v1/transactions` under an idempotency key; the answer is read later.
    pub fn begin(&self, key: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /v1/transactions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream
    }

    pub fn post(&self, key: &str, body: &Value) -> (u16, Value) {
        read_answer(self.begin(key, body))
    }
}

pub fn read_answer(mut stream: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    parse_answer(&text)
}

fn parse_answer(text: &str) -> (u16, Value) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}")))
}

fn ask(address: SocketAddr, request: &str) -> (u16, Value) {
    parse_answer(&talk(address, request))
}

fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn smartvista() -> Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

pub fn parse(raw: &[u8]) -> Message {
    Message::parse(&smartvista().schema, raw.to_vec().into()).unwrap()
}

/// `0200 1/7`: TID 1, STAN 7.
pub fn label(raw: &[u8]) -> String {
    let message = parse(raw);
    let number = |n| message.text(n).unwrap_or_default().parse::<u64>().unwrap_or_default();
    format!("{} {}/{}", message.mti(), number(field::TID), number(field::STAN))
}

/// A sale of 10.00, now.
pub fn sale(tid: u32, stan: u32) -> Vec<u8> {
    let fields = sale_fields(tid, stan);
    let mut draft = Draft::new(&smartvista().schema, Mti::parse(b"0200").unwrap());
    for (number, value) in fields.as_object().unwrap().iter().filter(|(number, _)| *number != "0") {
        draft.set(FieldNumber::new(number.parse().unwrap()).unwrap(), value.as_str().unwrap().as_bytes());
    }
    draft.to_bytes().unwrap().to_vec()
}

/// The same as the fields of `/v1`.
pub fn sale_fields(tid: u32, stan: u32) -> Value {
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    serde_json::json!({
        "0": "0200",
        "2": PAN,
        "3": "000000",
        "4": "000000001000",
        "7": text(&local.mmddhhmmss()),
        "11": format!("{stan:06}"),
        "12": text(&local.yymmddhhmmss()),
        "22": "056",
        "24": "200",
        "25": "00",
        "35": format!("{PAN}={TRACK_REST}"),
        "41": format!("{tid:08}"),
        "42": "000124642124643",
        "49": "810",
    })
}

/// The host's answer with this code.
pub fn answer(request: &[u8], code: &str) -> Vec<u8> {
    let request = parse(request);
    let mut draft = Draft::of(&request);
    draft.set_mti(request.mti().response().unwrap());
    draft.set(field::RRN, b"000000000042").set(field::RESPONSE_CODE, code.as_bytes());
    draft.to_bytes().unwrap().to_vec()
}
