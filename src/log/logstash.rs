//! Shipping to Logstash: a thread of its own with a bounded queue. It connects, reconnects, and loses lines with a count
//! rather than hold anything up.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::{LogError, Logstash};

/// Lines that may wait while the connection is away.
const QUEUE_LEN_MAX: usize = 10_000;
/// Time for one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A write that makes no progress for so long ends the connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses between attempts, doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How long the end of the process waits for lines to be shipped.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
/// Lines put into one write.
const BATCH_LEN_MAX: usize = 256;

/// The handle of the shipping thread. Dropping it ships what a living connection still takes.
pub(super) struct Shipper {
    lines: Option<Lines>,
    finishing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where lines are handed in.
#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<String>,
    node: String,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    pub(super) fn send(&self, entry: &Entry) {
        match self.queue.try_send(entry.json_line(&self.node)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Shipper {
    pub(super) fn start(to: &Logstash, dropped: Arc<AtomicU64>) -> Result<Shipper, LogError> {
        let (queue, items) = sync_channel(QUEUE_LEN_MAX);
        let lines = Lines { queue, node: to.node.clone(), dropped: Arc::clone(&dropped) };
        let finishing = Arc::new(AtomicBool::new(false));
        let mut shipping = Shipping {
            target: (to.host.clone(), to.port),
            items,
            waiting: VecDeque::new(),
            link: None,
            attempt_at: Instant::now(),
            pause: BACKOFF.0,
            finishing: Arc::clone(&finishing),
            finish_by: None,
            dropped,
        };
        let thread = std::thread::Builder::new()
            .name("logstash".to_owned())
            .spawn(move || shipping.run())
            .map_err(|source| LogError::Thread { thread: "logstash", source })?;
        Ok(Shipper { lines: Some(lines), finishing, thread: Some(thread) })
    }

    pub(super) fn lines(&self) -> Option<Lines> {
        self.lines.clone()
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.finishing.store(true, Ordering::Release);
        // The last sender's end wakes a thread that waits for lines; one that waits for its next attempt is unparked.
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// The state of the shipping thread.
struct Shipping {
    target: (String, u16),
    items: Receiver<String>,
    /// Taken off the queue, not yet written whole: a line whose write failed goes out again on the next connection.
    waiting: VecDeque<String>,
    link: Option<TcpStream>,
    attempt_at: Instant,
    pause: Duration,
    finishing: Arc<AtomicBool>,
    finish_by: Option<Instant>,
    dropped: Arc<AtomicU64>,
}

impl Shipping {
    fn run(&mut self) {
        loop {
            self.take();
            self.ship();
            if self.is_finishing()
                && let Some(finish_by) = self.finish_by
                && (self.waiting.is_empty() || Instant::now() >= finish_by)
            {
                let left = self.waiting.len() + self.items.try_iter().count();
                self.dropped.fetch_add(left as u64, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Waits for lines, takes a batch off the queue, and waits until something can be tried.
    fn take(&mut self) {
        if self.waiting.is_empty() && !self.is_finishing() {
            match self.items.recv_timeout(BACKOFF.1) {
                Ok(line) => self.waiting.push_back(line),
                Err(RecvTimeoutError::Timeout) => return,
                // No sender is left: the process ends.
                Err(RecvTimeoutError::Disconnected) => self.finishing.store(true, Ordering::Release),
            }
        }
        // While the link is away the rest stays in the bounded queue.
        while self.waiting.len() < BATCH_LEN_MAX
            && let Ok(line) = self.items.try_recv()
        {
            self.waiting.push_back(line);
        }
        if self.link.is_none() && !self.waiting.is_empty() {
            let now = Instant::now();
            let until_end = self.is_finishing().then_some(self.finish_by).flatten();
            let until = until_end.map_or(self.attempt_at, |end| end.min(self.attempt_at));
            std::thread::park_timeout(until.saturating_duration_since(now));
        }
    }

    /// Whether the process ends; from the first time on the clock runs.
    fn is_finishing(&mut self) -> bool {
        let finishing = self.finishing.load(Ordering::Acquire);
        if finishing {
            self.finish_by.get_or_insert_with(|| Instant::now() + FINISH_TIMEOUT);
        }
        finishing
    }

    fn ship(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.link.as_ref().is_some_and(is_closed) {
            self.link = None;
        }
        if self.link.is_none() {
            self.connect();
        }
        let Some(link) = &mut self.link else { return };
        let batch: String = self.waiting.iter().map(String::as_str).collect();
        match link.write_all(batch.as_bytes()) {
            Ok(()) => self.waiting.clear(),
            Err(_) => {
                self.link = None;
                self.fail();
            }
        }
    }

    fn connect(&mut self) {
        if Instant::now() < self.attempt_at {
            return;
        }
        match dial(&self.target, self.finish_by) {
            Ok(link) => {
                self.link = Some(link);
                self.pause = BACKOFF.0;
            }
            Err(_) => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.attempt_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACKOFF.1);
    }
}

fn dial((host, port): &(String, u16), finish_by: Option<Instant>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host.as_str(), *port).to_socket_addrs()? {
        let left = finish_by.map_or(CONNECT_TIMEOUT, |by| by.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left.min(CONNECT_TIMEOUT)) {
            Ok(link) => {
                link.set_write_timeout(Some(WRITE_TIMEOUT))?;
                link.set_nodelay(true)?;
                return Ok(link);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether Logstash has closed: a write would still succeed, and its lines be lost.
fn is_closed(mut link: &TcpStream) -> bool {
    if link.set_nonblocking(true).is_err() {
        return true;
    }
    let mut ignored = [0; 512];
    let closed = match link.read(&mut ignored) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    };
    closed || link.set_nonblocking(false).is_err()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{Shutdown, TcpListener};

    use super::*;

    fn entry(number: u64) -> Entry {
        let message = "line".to_owned();
        Entry { at_ms: 0, level: slog::Level::Info, message, pairs: vec![("number", number.into())] }
    }

    fn number(line: &str) -> u64 {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64().unwrap()
    }

    fn shipper_to(port: u16) -> (Shipper, Arc<AtomicU64>) {
        let dropped = Arc::new(AtomicU64::new(0));
        let to = Logstash { host: "127.0.0.1".to_owned(), port, node: "n".to_owned() };
        (Shipper::start(&to, Arc::clone(&dropped)).unwrap(), dropped)
    }

    #[test]
    fn lines_arrive_in_order_and_after_logstash_was_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (shipper, dropped) = shipper_to(listener.local_addr().unwrap().port());
        shipper.lines().unwrap().send(&entry(1));
        let (link, _) = listener.accept().unwrap();
        let mut first = BufReader::new(link);
        let mut line = String::new();
        first.read_line(&mut line).unwrap();
        assert_eq!(number(&line), 1);
        // Logstash restarts: its end is closed before the next line is sent.
        first.get_ref().shutdown(Shutdown::Both).unwrap();
        drop(first);
        shipper.lines().unwrap().send(&entry(2));
        shipper.lines().unwrap().send(&entry(3));
        let (link, _) = listener.accept().unwrap();
        let mut second = BufReader::new(link);
        drop(shipper);
        let mut numbers = Vec::new();
        loop {
            line.clear();
            if second.read_line(&mut line).unwrap() == 0 {
                break;
            }
            numbers.push(number(&line));
        }
        assert_eq!(numbers, [2, 3]);
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_logstash_that_is_away_costs_lines_not_time() {
        // Bound and then let go of: nobody listens there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (shipper, dropped) = shipper_to(port);
        let lines = shipper.lines().unwrap();
        let begin = Instant::now();
        let sent = QUEUE_LEN_MAX as u64 * 2;
        for number in 0..sent {
            lines.send(&entry(number));
        }
        drop(lines);
        drop(shipper);
        assert!(begin.elapsed() < Duration::from_secs(30));
        let lost = dropped.load(Ordering::Relaxed);
        assert!(lost >= sent - (QUEUE_LEN_MAX + BATCH_LEN_MAX) as u64 && lost <= sent, "{lost}");
    }
}
