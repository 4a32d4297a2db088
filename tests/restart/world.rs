//! A directory with a journal, a host that is moved by hand, and the gateways that run there one after the other.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti, field};
use socketqueue::net::clock::Clock;

use crate::process::{Host, Line, Process};

pub struct World {
    directory: tempfile::TempDir,
    host: Host,
    flags: Vec<String>,
    clients: Option<SocketAddr>,
    next_tid: u32,
}

pub struct Gateway {
    pub process: Process,
    clients: SocketAddr,
}

impl World {
    pub fn new(flags: &[&str]) -> World {
        World {
            directory: tempfile::tempdir().unwrap(),
            host: Host::new(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            clients: None,
            next_tid: 1000,
        }
    }

    /// A gateway in the directory, and its link to the host.
    pub fn start(&mut self) -> (Gateway, Line) {
        let mut args = vec![
            "--upstreamHost=127.0.0.1".to_owned(),
            format!("--upstreamPort={}", self.host.port()),
            "--listenHost=127.0.0.1".to_owned(),
            "--listenPort=0".to_owned(),
            "--timezone=UTC".to_owned(),
            "--v".to_owned(),
        ];
        args.extend(self.flags.iter().cloned());
        let gateway = Gateway::of(Process::start_in(self.directory.path(), &args));
        self.clients = Some(gateway.clients);
        (gateway, self.host.link())
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn another_host(&mut self) {
        self.host = Host::new();
    }

    /// Nothing has been sent to the host: the next that it gets is a sale of a new terminal, sent now.
    pub fn is_silent(&mut self, link: &mut Line) -> bool {
        self.next_tid += 1;
        let probe = sale(self.next_tid, 1);
        let mut client = Line::connect(self.clients.unwrap());
        client.write(&probe);
        link.frame() == probe
    }
}

impl Gateway {
    pub fn of(process: Process) -> Gateway {
        let clients = process.address("clients");
        Gateway { process, clients }
    }

    pub fn client(&self) -> Line {
        Line::connect(self.clients)
    }

    pub fn logs(&self, text: &str) {
        self.process.logs(text);
    }

    /// SIGTERM, and wait for a good end.
    pub fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        assert!(self.process.exit().success(), "{}", self.process.log());
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        assert!(!self.process.exit().success());
    }
}

fn smartvista() -> Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

pub fn parse(raw: &[u8]) -> Message {
    Message::parse(&smartvista().schema, raw.to_vec().into()).unwrap()
}

/// A sale of 10.00, now.
pub fn sale(tid: u32, stan: u32) -> Vec<u8> {
    message("0200", tid, stan)
}

pub fn message(mti: &str, tid: u32, stan: u32) -> Vec<u8> {
    message_with(mti, tid, stan, &[])
}

/// With these fields besides or instead.
pub fn message_with(mti: &str, tid: u32, stan: u32, fields: &[(u16, &[u8])]) -> Vec<u8> {
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    let mut draft = Draft::new(&smartvista().schema, Mti::parse(mti.as_bytes()).unwrap());
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
    fields.iter().for_each(|(n, value)| set(*n, value));
    draft.to_bytes().unwrap().to_vec()
}

/// The host's approval, or its acceptance of a reversal.
pub fn approve(request: &[u8]) -> Vec<u8> {
    let request = parse(request);
    let mut draft = Draft::of(&request);
    draft.set_mti(request.mti().response().unwrap());
    draft.set(field::RRN, b"000000000042").set(field::RESPONSE_CODE, b"000");
    draft.to_bytes().unwrap().to_vec()
}

/// The next message that a client gets; nothing tells its length but itself.
pub fn read_message(client: &mut Line) -> Vec<u8> {
    client.message(&smartvista().schema).raw().to_vec()
}

/// `0200 1/7`: TID 1, STAN 7.
pub fn label(raw: &[u8]) -> String {
    let message = parse(raw);
    let number = |n| message.text(n).unwrap_or_default().parse::<u64>().unwrap_or_default();
    format!("{} {}/{}", message.mti(), number(field::TID), number(field::STAN))
}

/// A port that was free a moment ago: for what must be told one.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
