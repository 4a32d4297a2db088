//! The bank's ledger: JSON lines as things happen, written by a thread of its own.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::books::{About, Note};
use crate::iso8583::Mti;

/// How long a line waits for others before it is written.
const FLUSH_PERIOD: Duration = Duration::from_millis(10);

/// How many bytes may wait for the disk. Above it the bank waits too: a ledger with holes is worse than none.
const WAITING_MAX: usize = 64 << 20;

/// Lines that wait, on the way from the bank to the thread that writes them.
struct Shared {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    is_closed: bool,
    error: Option<io::ErrorKind>,
}

/// A ledger file. Lines are in it at the latest 25 ms after their event (while the disk keeps up), and all of them
/// after [`Ledger::close`].
pub(crate) struct Ledger {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<io::Result<()>>>,
    line: Vec<u8>,
}

impl Ledger {
    /// Begins a ledger; a file of that name is emptied, for one file is one run. `on_failure` is called once, from the
    /// writing thread, when the file can no longer be written.
    pub fn create(path: &Path, on_failure: impl FnOnce() + Send + 'static) -> io::Result<Ledger> {
        let file = File::create(path)?;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let theirs = shared.clone();
        let writer = std::thread::Builder::new().name("bank-ledger".into()).spawn(move || {
            let done = write_all(&theirs, file);
            if done.is_err() {
                on_failure();
            }
            done
        })?;
        Ok(Ledger { shared, writer: Some(writer), line: Vec::new() })
    }

    /// Adds one line to the batch: no card data, the sale that it is about named by TID and STAN. Nothing is written
    /// for a message without a STAN, which no ledger can name.
    pub fn note(&mut self, wall_ms: i64, note: Note, about: &About, mti: Mti, code: Option<&str>) {
        let Some(stan) = about.stan else { return };
        let line = &mut self.line;
        // Writing to a Vec cannot fail.
        let _ = write!(
            line,
            "{{\"t_us\":{},\"event\":\"{}\",\"tid\":\"",
            i128::from(wall_ms) * 1000,
            note.name()
        );
        put_label(line, &about.tid);
        let _ = write!(line, "\",\"stan\":{stan},\"amount\":{},\"rrn\":", about.amount);
        let _ = match about.rrn {
            Some(rrn) => write!(line, "\"{rrn:012}\""),
            None => write!(line, "null"),
        };
        let _ = write!(line, ",\"mti\":\"{mti}\",\"rc\":");
        match code {
            Some(code) => {
                line.push(b'"');
                put_label(line, code.as_bytes());
                line.push(b'"');
            }
            None => line.extend_from_slice(b"null"),
        }
        line.extend_from_slice(b",\"de12\":");
        if about.local_time[0] == 0 {
            line.extend_from_slice(b"null");
        } else {
            line.push(b'"');
            put_label(line, &about.local_time);
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
    }

    /// Hands the batch over to the thread that writes.
    pub fn hand_over(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let mut state = lock(&self.shared);
        while state.bytes.len() >= WAITING_MAX && state.error.is_none() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_first = state.bytes.is_empty();
        if state.error.is_none() {
            state.bytes.extend_from_slice(&self.line);
        }
        self.line.clear();
        if is_first {
            self.shared.changed.notify_all();
        }
    }

    /// Writes what is left and ends the file. Blocks until it is written.
    pub fn close(&mut self) -> io::Result<()> {
        self.hand_over();
        lock(&self.shared).is_closed = true;
        self.shared.changed.notify_all();
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(io::Error::other("the ledger's thread died")),
            None => Ok(()),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Who did not close it does not want to know whether it was written.
        let _ = self.close();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Waiting> {
    // Nothing under this lock can panic half way.
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all(shared: &Shared, mut file: File) -> io::Result<()> {
    let mut batch = Vec::new();
    loop {
        let mut state = lock(shared);
        while state.bytes.is_empty() && !state.is_closed {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_closed {
            // Others that come meanwhile are written with it.
            state =
                shared.changed.wait_timeout(state, FLUSH_PERIOD).unwrap_or_else(PoisonError::into_inner).0;
        }
        let is_closed = state.is_closed;
        std::mem::swap(&mut batch, &mut state.bytes);
        drop(state);
        shared.changed.notify_all();
        if let Err(error) = file.write_all(&batch) {
            lock(shared).error = Some(error.kind());
            shared.changed.notify_all();
            return Err(error);
        }
        batch.clear();
        if is_closed {
            return Ok(());
        }
    }
}

/// A label without its filling, as it may stand between the quotes of JSON.
fn put_label(line: &mut Vec<u8>, label: &[u8]) {
    let shown =
        |byte: u8| if (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\' { byte } else { b'?' };
    line.extend(label.iter().take_while(|&&byte| byte != 0).map(|&byte| shown(byte)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            tid: *b"10\"0\\0\xff0\0\0\0\0\0\0\0\0",
            stan: Some(118),
            local_time: *b"261122032633",
            amount: 2985,
            rrn: Some(42),
        }
    }

    #[test]
    fn a_line_is_json_with_the_fields_of_the_audit_and_stands_in_the_file_while_the_bank_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.jsonl");
        let mut ledger = Ledger::create(&path, || {}).unwrap();
        ledger.note(1_795_316_645_123, Note::Booked, &about(), Mti::new(0x0200), Some("000"));
        let nameless = About { stan: None, ..about() };
        ledger.note(1_795_316_645_123, Note::Booked, &nameless, Mti::new(0x0200), Some("000"));
        ledger.hand_over();
        let begun = std::time::Instant::now();
        while std::fs::read_to_string(&path).unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing was written");
            std::thread::yield_now();
        }
        let unknown = About { rrn: None, local_time: [0; 12], ..about() };
        ledger.note(1_795_316_645_124, Note::Lost, &unknown, Mti::new(0x0400), None);
        ledger.close().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            concat!(
                r#"{"t_us":1795316645123000,"event":"booked","tid":"10?0?0?0","stan":118,"amount":2985,"#,
                r#""rrn":"000000000042","mti":"0200","rc":"000","de12":"261122032633"}"#,
                "\n",
                r#"{"t_us":1795316645124000,"event":"lost","tid":"10?0?0?0","stan":118,"amount":2985,"#,
                r#""rrn":null,"mti":"0400","rc":null,"de12":null}"#,
                "\n"
            )
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_disk_that_is_full_is_told_once_and_the_bank_does_not_hang() {
        let (told, hears) = std::sync::mpsc::channel();
        let mut ledger = Ledger::create(Path::new("/dev/full"), move || told.send(()).unwrap()).unwrap();
        ledger.note(0, Note::Booked, &about(), Mti::new(0x0200), Some("000"));
        ledger.hand_over();
        hears.recv_timeout(Duration::from_secs(10)).unwrap();
        ledger.note(0, Note::Booked, &about(), Mti::new(0x0200), Some("000"));
        assert_eq!(ledger.close().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
