//! A running bank, and a connection to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socketqueue::bank::{self, BankError, Clock, Faults, Settings, Summary};
use socketqueue::dialect::Dialect;
use socketqueue::framing::Framing;
use socketqueue::iso8583::{FieldNumber, Message};
use socketqueue::time::Now;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A bank in this process.
pub struct Bank {
    pub address: SocketAddr,
    pub dialect: Arc<Dialect>,
    /// Its wall clock, in milliseconds since 1970.
    pub wall_ms: Arc<AtomicI64>,
    framing: Framing,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Summary, BankError>>,
}

pub fn settings(faults: Faults) -> Settings {
    Settings {
        host: "127.0.0.1".into(),
        port: 0,
        framing: Framing::parse("ascii4").unwrap(),
        frame_len_max: 9999,
        unlimited: false,
        magic: true,
        ledger: None,
        faults,
        seed: 42,
    }
}

impl Bank {
    pub async fn start(settings: Settings) -> Bank {
        Bank::start_with(settings, "smartVista").await
    }

    pub async fn start_with(settings: Settings, dialect: &str) -> Bank {
        let dialect = Dialect::builtin(dialect).unwrap();
        let listener = bank::bind(&settings).await.unwrap();
        let address = listener.local_addr().unwrap();
        let framing = settings.framing.clone();
        let wall_ms = Arc::new(AtomicI64::new(1_795_316_645_000));
        let theirs = wall_ms.clone();
        let clock: Clock =
            Arc::new(move || Now { wall_ms: theirs.load(Ordering::Relaxed), ..Now::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(bank::serve(listener, settings, dialect.clone(), clock, shutdown));
        Bank { address, dialect, wall_ms, framing, stop, task }
    }

    pub async fn connect(&self) -> Link {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Link { stream, framing: self.framing.clone(), dialect: self.dialect.clone(), buf: BytesMut::new() }
    }

    pub async fn stop(self) -> Summary {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap()
    }
}

/// A connection to a bank.
pub struct Link {
    pub stream: TcpStream,
    pub framing: Framing,
    pub dialect: Arc<Dialect>,
    pub buf: BytesMut,
}

impl Link {
    pub async fn send(&mut self, messages: &[Vec<u8>]) {
        let mut out = BytesMut::new();
        for message in messages {
            self.framing.encode(message, &[], &mut out).unwrap();
        }
        self.stream.write_all(&out).await.unwrap();
    }

    /// The next frame's payload; `None` when the bank has closed.
    pub async fn payload(&mut self) -> Option<Bytes> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(frame) =
                    self.framing.next_frame(&self.dialect.schema, 9999, &mut self.buf).unwrap()
                {
                    return Some(frame.payload);
                }
                if self.stream.read_buf(&mut self.buf).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
        .expect("no answer")
    }

    pub async fn answer(&mut self) -> Message {
        let payload = self.payload().await.expect("the bank has closed");
        Message::parse(&self.dialect.schema, payload).unwrap()
    }

    /// MTI and DE 39 of the next answer.
    pub async fn verdict(&mut self) -> String {
        verdict(&self.answer().await)
    }
}

pub fn verdict(answer: &Message) -> String {
    format!("{} {}", answer.mti(), text(answer, 39))
}

pub fn text(message: &Message, n: u16) -> String {
    message.text(FieldNumber::new(n).unwrap()).unwrap_or_default().into_owned()
}

/// A purchase as SocketQueue's bank got it (recorded case bank-005, without its header), by another terminal, with another
/// STAN and amount. Offsets: DE 3 at 12, DE 4 at 18, DE 7 at 30, DE 11 at 40, DE 12 at 46, DE 22 at 58, DE 24 at 61, DE 25
/// at 64, DE 35 at 66 with its length, DE 41 at 105, DE 42 at 113, DE 49 at 128.
pub fn sale(tid: u32, stan: u32, amount: u64) -> Vec<u8> {
    let mut message = b"0200\x32\x30\x05\x80\x20\xc0\x80\x00\
        000000000000000001112203263300001826112203263305620000374850781234567900=1908201223280000003700000117\
        000124642124643810"
        .to_vec();
    assert_eq!(message.len(), 131);
    message[18..30].copy_from_slice(format!("{amount:012}").as_bytes());
    message[40..46].copy_from_slice(format!("{stan:06}").as_bytes());
    message[105..113].copy_from_slice(format!("{tid:08}").as_bytes());
    message
}

/// The reversal of that sale as SocketQueue makes it: a clone with another MTI and DE 24 = 400.
pub fn reversal(tid: u32, stan: u32, amount: u64) -> Vec<u8> {
    let mut message = sale(tid, stan, amount);
    message[..4].copy_from_slice(b"0400");
    message[61..64].copy_from_slice(b"400");
    message
}

/// An echo (recorded case tcp-014): DE 3, 7, 11, 24, 41.
pub fn echo(tid: u32, stan: u32) -> Vec<u8> {
    let head = b"0800\x22\x20\x01\x00\x00\x80\x00\x00";
    [&head[..], format!("9900001122032647{stan:06}831{tid:08}").as_bytes()].concat()
}
