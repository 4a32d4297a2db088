//! The binary as a process of its own, a host and clients on real sockets.
#![allow(dead_code, clippy::unwrap_used)] // helpers of tests are tests

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::SockRef;

/// Far more than any of this takes; it is waited for events.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running `socketqueue`; killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    /// Its working directory, where it is its own: gone when it is dropped.
    home: Option<tempfile::TempDir>,
}

impl Process {
    /// In a directory of its own, so that its journal is nobody else's.
    pub fn start(args: &[String]) -> Process {
        let home = tempfile::tempdir().unwrap();
        let mut process = Process::start_in(home.path(), args);
        process.home = Some(home);
        process
    }

    /// With `directory` as its working directory.
    pub fn start_in(directory: &std::path::Path, args: &[String]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_socketqueue"))
            .current_dir(directory)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (pipe, kept) = (BufReader::new(child.stderr.take().unwrap()), stderr.clone());
        thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Process { child, lines, stderr, home: None }
    }

    /// The address of `listening NAME ADDRESS`.
    pub fn address(&self, name: &str) -> SocketAddr {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name}: {}", self.log()));
            let Some(rest) = line.strip_prefix("listening ") else { continue };
            if let Some(address) = rest.strip_prefix(name) {
                let address: SocketAddr = address.trim().parse().unwrap();
                return SocketAddr::from(([127, 0, 0, 1], address.port()));
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn exit(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it ends: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The lines of standard output that nobody has asked for.
    pub fn said(&self) -> String {
        self.lines.try_iter().collect::<Vec<_>>().join("\n")
    }

    pub fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until the log has this text.
    pub fn logs(&self, text: &str) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "no {text:?} in: {}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A host that is moved by hand: it accepts one link.
pub struct Host {
    listener: TcpListener,
}

impl Host {
    pub fn new() -> Host {
        Host { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub fn link(&self) -> Line {
        let (stream, _) = self.listener.accept().unwrap();
        Line::new(stream)
    }
}

/// One connection, of a client or of a host.
pub struct Line {
    pub stream: TcpStream,
}

impl Line {
    fn new(stream: TcpStream) -> Line {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Line { stream }
    }

    pub fn connect(address: SocketAddr) -> Line {
        Line::new(TcpStream::connect(address).unwrap())
    }

    /// With a receive buffer of about `bytes`.
    pub fn connect_with_window(address: SocketAddr, bytes: usize) -> Line {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&address.into()).unwrap();
        Line::new(socket.into())
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Exactly so many bytes.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A message behind four digits.
    pub fn frame(&mut self) -> Vec<u8> {
        let header = self.read(4);
        let length = std::str::from_utf8(&header).unwrap().parse().unwrap();
        self.read(length)
    }

    pub fn send_frame(&mut self, message: &[u8]) {
        self.write(&[format!("{:04}", message.len()).as_bytes(), message].concat());
    }

    /// The next message without a header.
    pub fn message(&mut self, schema: &Arc<socketqueue::iso8583::Schema>) -> socketqueue::iso8583::Message {
        let mut bytes = Vec::new();
        loop {
            bytes.extend(self.read(1));
            if let Some(length) = socketqueue::iso8583::Message::measure(schema, &bytes).unwrap() {
                assert_eq!(length, bytes.len());
                return socketqueue::iso8583::Message::parse(schema, bytes.into()).unwrap();
            }
        }
    }

    /// All that comes until the other side closes; a reset is an end as well.
    pub fn end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the gateway closes: {error}"),
        }
        bytes
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
