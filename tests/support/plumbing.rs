//! A gateway over in-memory streams under paused time: clients and a host that are moved by hand.
//!
//! The fakes obey the contract of what they stand for and misbehave on request: a host that refuses, closes or stops
//! reading; a client whose connection is reset or whose TCP stops to acknowledge.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socketqueue::dialect::Dialect;
use socketqueue::framing::Framing;
use socketqueue::iso8583::mask::MaskStyle;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti};
use socketqueue::listener::tcp::{self, Listener, OnReject};
use socketqueue::net::{Accept, Connected, Dial, Dialling, Stream, TimeSource};
use socketqueue::time::Now;
use socketqueue::upstream::{self, Driver, Endpoint, Handle, Parts, Snapshot, Source};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// 2026-11-22 03:04:05 UTC.
pub const START_MS: i64 = 1_795_316_645_000;
/// Longer than anything that is waited for in virtual time.
pub const PATIENCE: Duration = Duration::from_secs(3600);
/// How long the silence is watched where nothing must come.
pub const SILENCE: Duration = Duration::from_secs(3);

// -- streams -----------------------------------------------------------------------------------------------------------

/// What a test does to one connection.
#[derive(Default)]
pub struct Control {
    written: AtomicU64,
    /// Bytes acknowledged, when the peer's TCP has stopped; else everything is.
    acknowledged: Mutex<Option<u64>>,
    reset: AtomicBool,
    aborted: AtomicBool,
}

/// The gateway's end of a connection.
pub struct MemoryStream {
    stream: DuplexStream,
    control: Arc<Control>,
}

impl MemoryStream {
    fn check(&self) -> io::Result<()> {
        match self.control.reset.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.control.written.fetch_add(written as u64, Ordering::SeqCst);
        Poll::Ready(Ok(written))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Stream for MemoryStream {
    fn unacknowledged(&self) -> io::Result<usize> {
        let written = self.control.written.load(Ordering::SeqCst);
        let acknowledged = self.control.acknowledged.lock().unwrap().unwrap_or(written);
        Ok((written - acknowledged) as usize)
    }
    fn has_failed(&self) -> bool {
        self.control.reset.load(Ordering::SeqCst)
    }
    fn abort_on_close(&self) {
        self.control.aborted.store(true, Ordering::SeqCst);
    }
}

/// The test's end of a connection.
pub struct Peer {
    stream: DuplexStream,
    control: Arc<Control>,
    buffer: BytesMut,
    dialect: Arc<Dialect>,
    /// Messages have a header of four digits.
    headed: bool,
}

pub fn connection(window: usize, dialect: &Arc<Dialect>, headed: bool) -> (MemoryStream, Peer) {
    let (ours, theirs) = duplex(window);
    let control = Arc::new(Control::default());
    let peer = Peer {
        stream: theirs,
        control: control.clone(),
        buffer: BytesMut::new(),
        dialect: dialect.clone(),
        headed,
    };
    (MemoryStream { stream: ours, control }, peer)
}

impl Peer {
    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends one message.
    pub async fn send(&mut self, message: &[u8]) {
        let framed = framed(message, self.headed);
        self.write(&framed).await;
    }

    /// The next message.
    pub async fn message(&mut self) -> Message {
        let raw =
            timeout(PATIENCE, self.raw()).await.expect("a message comes").expect("the connection stands");
        Message::parse(&self.dialect.schema, raw).unwrap()
    }

    /// The next message, which must be `mti`.
    pub async fn expect(&mut self, mti: &str) -> Message {
        let message = self.message().await;
        assert_eq!(message.mti().to_string(), mti, "{message:?}");
        message
    }

    /// The bytes of the next message; `None`: the connection ended.
    async fn raw(&mut self) -> Option<Bytes> {
        loop {
            let whole = match self.headed {
                true if self.buffer.len() < 4 => None,
                true => {
                    let length: usize = std::str::from_utf8(&self.buffer[..4]).unwrap().parse().unwrap();
                    (self.buffer.len() >= 4 + length).then_some(4 + length)
                }
                false => Message::measure(&self.dialect.schema, &self.buffer).unwrap(),
            };
            if let Some(len) = whole {
                let mut raw = self.buffer.split_to(len).freeze();
                return Some(raw.split_off(if self.headed { 4 } else { 0 }));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// One read; `false`: the connection ended.
    async fn fill(&mut self) -> bool {
        self.buffer.reserve(4096);
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// The bytes of exactly one read.
    pub async fn one_read(&mut self) -> Bytes {
        assert!(timeout(PATIENCE, self.fill()).await.expect("bytes come"), "the connection stands");
        self.buffer.split().freeze()
    }

    /// Waits until the gateway has closed, and gives what came before.
    pub async fn end(&mut self) -> Bytes {
        timeout(PATIENCE, async { while self.fill().await {} }).await.expect("the gateway closes");
        self.buffer.split().freeze()
    }

    /// Nothing comes for a while, not even an end.
    pub async fn is_silent(&mut self) -> bool {
        self.is_silent_for(SILENCE).await
    }

    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && timeout(time, self.fill()).await.is_err()
    }

    /// Closes the sending side.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The connection is reset: what was not read is lost, what was not acknowledged never will be.
    pub fn reset(self) {
        self.stop_acknowledging();
        self.control.reset.store(true, Ordering::SeqCst);
    }

    /// From now on the peer's TCP acknowledges nothing.
    pub fn stop_acknowledging(&self) {
        let mut acknowledged = self.control.acknowledged.lock().unwrap();
        acknowledged.get_or_insert(self.control.written.load(Ordering::SeqCst));
    }

    /// It acknowledges everything again.
    pub fn acknowledge(&self) {
        *self.control.acknowledged.lock().unwrap() = None;
    }

    /// Whether the gateway aborted the connection rather than close it.
    pub fn was_aborted(&self) -> bool {
        self.control.aborted.load(Ordering::SeqCst)
    }
}

pub fn framed(message: &[u8], headed: bool) -> Vec<u8> {
    let mut bytes = if headed { format!("{:04}", message.len()).into_bytes() } else { Vec::new() };
    bytes.extend_from_slice(message);
    bytes
}

// -- the host ----------------------------------------------------------------------------------------------------------

/// How the next attempts to connect end.
#[derive(Clone, Default)]
pub struct Refusals(Arc<AtomicUsize>);

impl Refusals {
    /// The next `count` attempts are refused.
    pub fn next(&self, count: usize) {
        self.0.store(count, Ordering::SeqCst);
    }
}

struct HostDial {
    dialect: Arc<Dialect>,
    window: usize,
    refusals: Refusals,
    links: mpsc::UnboundedSender<Peer>,
    attempts: Arc<Mutex<Vec<Instant>>>,
}

impl Dial for HostDial {
    type Stream = MemoryStream;

    fn dial(&mut self) -> Dialling<MemoryStream> {
        self.attempts.lock().unwrap().push(Instant::now());
        let refused =
            self.refusals.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if refused {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (ours, theirs) = connection(self.window, &self.dialect, true);
        let _ = self.links.send(theirs);
        Box::pin(async move { Ok((ours, address(5000))) })
    }
}

struct Queue(mpsc::UnboundedReceiver<io::Result<MemoryStream>>);

impl Accept for Queue {
    type Stream = MemoryStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Connected<MemoryStream>> {
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(accepted)) => Poll::Ready(accepted.map(|stream| (stream, address(40_000)))),
            _ => Poll::Pending,
        }
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

// -- the gateway -------------------------------------------------------------------------------------------------------

/// What a scenario changes.
pub struct Setup {
    pub upstream: upstream::Settings,
    pub tcp: tcp::Settings,
    /// Bytes that a link, and a client's connection, hold without being read.
    pub link_window: usize,
    pub client_window: usize,
    pub journal: Option<Box<dyn socketqueue::journal::Journal>>,
    /// The host connects to us.
    pub listen: bool,
    pub refuse_first: usize,
}

/// A running gateway.
pub struct World {
    pub handle: Handle,
    pub listener: Arc<Listener>,
    pub dialect: Arc<Dialect>,
    pub refusals: Refusals,
    pub driver: JoinHandle<()>,
    acceptor: JoinHandle<()>,
    links: mpsc::UnboundedReceiver<Peer>,
    host_connects: mpsc::UnboundedSender<io::Result<MemoryStream>>,
    client_connects: mpsc::UnboundedSender<io::Result<MemoryStream>>,
    attempts: Arc<Mutex<Vec<Instant>>>,
    log: Arc<Mutex<VecDeque<String>>>,
    begin: Instant,
    link_window: usize,
    client_window: usize,
}

pub fn start() -> World {
    start_with(|_| {})
}

pub fn start_with(change: impl FnOnce(&mut Setup)) -> World {
    let dialect = Dialect::builtin("smartVista").unwrap();
    let mut setup = Setup {
        upstream: upstream::Settings {
            name: "host".into(),
            endpoint: Endpoint::Connect { host: "host.invalid".into(), port: 5000 },
            framing: Framing::parse("ascii4").unwrap(),
            frame_len_max: 9999,
            idle_timeout: None,
            strict_replies: false,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            write_stall: Duration::from_secs(10),
            mux: socketqueue::mux::Settings {
                echoed: dialect.echoed.clone(),
                reversal: dialect.reversal.clone(),
                ..socketqueue::mux::Settings::default()
            },
        },
        tcp: tcp::Settings {
            name: "client".into(),
            host: "127.0.0.1".into(),
            port: 0,
            framing: Framing::none(),
            frame_len_max: 9999,
            idle_timeout: None,
            connections_max: 100,
            close_after_reply: false,
            on_reject: OnReject::Close,
            delivery_timeout: Duration::from_secs(10),
        },
        link_window: 1 << 20,
        client_window: 1 << 16,
        journal: None,
        listen: false,
        refuse_first: 0,
    };
    change(&mut setup);
    let begin = Instant::now();
    let clock: TimeSource = Arc::new(move || {
        let now = Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 };
        now.after(begin.elapsed())
    });
    let log = Arc::new(Mutex::new(VecDeque::new()));
    let logger = slog::Logger::root(Capture(log.clone()), slog::o!());
    let (to_test, links) = mpsc::unbounded_channel();
    let (host_connects, connects) = mpsc::unbounded_channel();
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let refusals = Refusals::default();
    refusals.next(setup.refuse_first);
    let source = match setup.listen {
        true => Source::Accept(Box::new(Queue(connects))),
        false => Source::Dial(Box::new(HostDial {
            dialect: dialect.clone(),
            window: setup.link_window,
            refusals: refusals.clone(),
            links: to_test,
            attempts: attempts.clone(),
        })),
    };
    let parts = Parts {
        dialect: dialect.clone(),
        source,
        clock: clock.clone(),
        journal: setup.journal,
        log: logger.clone(),
        mask: MaskStyle::default(),
        seed: 1,
    };
    let (driver, handle) = Driver::new(setup.upstream, parts);
    let listener = Listener::new(setup.tcp, dialect.clone(), clock, logger, MaskStyle::default());
    let (client_connects, connects) = mpsc::unbounded_channel();
    World {
        driver: tokio::spawn(driver.run()),
        acceptor: tokio::spawn(tcp::serve(Queue(connects), listener.clone(), handle.clone())),
        handle,
        listener,
        dialect,
        refusals,
        links,
        host_connects,
        client_connects,
        attempts,
        log,
        begin,
        link_window: setup.link_window,
        client_window: setup.client_window,
    }
}

impl World {
    /// A client connects.
    pub fn client(&self) -> Peer {
        let (ours, theirs) = connection(self.client_window, &self.dialect, false);
        self.client_connects.send(Ok(ours)).unwrap();
        theirs
    }

    /// Accepting a client fails.
    pub fn accept_fails(&self) {
        self.client_connects.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }

    /// The next link that the gateway makes.
    pub async fn link(&mut self) -> Peer {
        timeout(PATIENCE, self.links.recv()).await.expect("the gateway connects").expect("it runs")
    }

    /// The host connects to the gateway.
    pub fn host_connects(&self) -> Peer {
        let (ours, theirs) = connection(self.link_window, &self.dialect, true);
        self.host_connects.send(Ok(ours)).unwrap();
        theirs
    }

    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// When the gateway tried to connect, since the start.
    pub fn attempts(&self) -> Vec<Duration> {
        self.attempts.lock().unwrap().iter().map(|at| *at - self.begin).collect()
    }

    pub async fn snapshot(&self) -> Snapshot {
        let snapshot = self.handle.snapshot().await.expect("the driver runs");
        assert!(snapshot.tally.adds_up(), "{:?}", snapshot.tally);
        snapshot
    }

    /// Whether a line with this text was logged.
    pub fn logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().cloned().collect()
    }

    pub fn now(&self) -> Now {
        Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 }.after(self.begin.elapsed())
    }

    pub fn stop_accepting(&self) {
        self.acceptor.abort();
    }

    // -- messages --------------------------------------------------------------------------------------------------------

    /// A sale of 10.00, now.
    pub fn sale(&self, tid: u32, stan: u32) -> Bytes {
        self.request("0200", tid, stan)
    }

    /// An 0800.
    pub fn echo(&self, tid: u32, stan: u32) -> Bytes {
        self.request("0800", tid, stan)
    }

    pub fn request(&self, mti: &str, tid: u32, stan: u32) -> Bytes {
        let mut draft = Draft::new(&self.dialect.schema, Mti::parse(mti.as_bytes()).unwrap());
        let local = self.now().local();
        let mut set = |n: u16, value: &[u8]| {
            draft.set(FieldNumber::new(n).unwrap(), value);
        };
        set(3, if mti.starts_with("08") { b"990000" } else { b"000000" });
        set(7, &local.mmddhhmmss());
        set(11, format!("{stan:06}").as_bytes());
        set(24, b"200");
        set(41, format!("{tid:08}").as_bytes());
        if !mti.starts_with("08") {
            set(4, b"000000001000");
            set(12, &local.yymmddhhmmss());
            set(22, b"056");
            set(25, b"00");
            set(35, b"4850781234567891=19082012232800000037");
            set(42, b"000124642124643");
            set(49, b"810");
        }
        draft.to_bytes().unwrap()
    }

    /// The host's answer to `request`.
    pub fn answer(&self, request: &Message, code: &str) -> Bytes {
        let mut draft = Draft::of(request);
        draft.set_mti(request.mti().response().unwrap());
        draft.set(FieldNumber::new(37).unwrap(), b"000000000042");
        draft.set(FieldNumber::new(39).unwrap(), code.as_bytes());
        draft.to_bytes().unwrap()
    }
}

/// `0210 000 1/7`: MTI, DE 39, TID and STAN.
pub fn label(message: &Message) -> String {
    let text = |n: u16| message.text(FieldNumber::new(n).unwrap()).unwrap_or_default().into_owned();
    let number = |n: u16| text(n).trim_start_matches('0').to_owned();
    match text(39).as_str() {
        "" => format!("{} {}/{}", message.mti(), number(41), number(11)),
        code => format!("{} {code} {}/{}", message.mti(), number(41), number(11)),
    }
}

/// The value of a field.
pub fn field(message: &Message, n: u16) -> String {
    message.text(FieldNumber::new(n).unwrap()).unwrap_or_default().into_owned()
}

// -- the log -----------------------------------------------------------------------------------------------------------

struct Capture(Arc<Mutex<VecDeque<String>>>);

impl slog::Drain for Capture {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, values: &slog::OwnedKVList) -> Result<(), slog::Never> {
        struct Line(String);
        impl slog::Serializer for Line {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        use slog::KV;
        let mut line = Line(format!("{} {}", record.level().as_short_str(), record.msg()));
        record.kv().serialize(record, &mut line).unwrap();
        values.serialize(record, &mut line).unwrap();
        self.0.lock().unwrap().push_back(line.0);
        Ok(())
    }
}
