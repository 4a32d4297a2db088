//! A journal in a directory of its own, driven by hand.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rusqlite::OptionalExtension;
use slog::{Discard, Logger, o};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Mti, field};
use socketqueue::journal::disk::{Commit, Fate, Plain};
use socketqueue::journal::sqlite::{Sqlite, Surroundings};
use socketqueue::journal::{Journal, JournalError, OpenRow, Options, UpstreamIdentity, Verdict};
use socketqueue::mux::{Decision, FinalState, JournalOp, Record, TxId};
use socketqueue::rules::{self, KeyFields, Request};
use socketqueue::time::Now;

/// Rows that have a sealed message, of their own or in a sheet.
pub const IMAGES: &str =
    "SELECT (SELECT COUNT(*) FROM images) + (SELECT COALESCE(SUM(last - id + 1), 0) FROM sheets)";
/// Rows that were ever written.
pub const ROWS: &str = "SELECT MAX((SELECT COALESCE(MAX(id), 0) FROM records),
    (SELECT COALESCE(MAX(last), 0) FROM sheets), (SELECT COALESCE(MAX(last), 0) FROM bundles))";
/// Records, by themselves or in bundles.
pub const RECORDS: &str =
    "SELECT (SELECT COUNT(*) FROM records) + (SELECT COALESCE(SUM(LENGTH(rows)), 0) / 2 FROM bundles)";
/// An image is erased so long after its window. With the half minute between two sweeps, and what sheets take, it makes
/// less than the minute that is promised.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long after the grace a sheet is erased.
pub const SHEET_PATIENCE: Duration = Duration::from_secs(15);

/// 2026-11-22 03:04:05 UTC.
pub const START_MS: i64 = 1_795_316_645_000;
pub const PAN: &str = "4850781234567891";
pub const TRACK: &str = "4850781234567891=19082012232800000037";
pub const PIN_BLOCK: &[u8; 8] = b"\xC0\xFF\xEEPINBL";

pub struct Desk {
    directory: tempfile::TempDir,
    pub options: Options,
    /// Milliseconds since the start.
    ms: Arc<AtomicU64>,
    /// By how many of them the wall clock was set back.
    behind_ms: Arc<AtomicU64>,
    /// How the next commits go, first first; then as they do.
    fates: Arc<Mutex<Vec<Fate>>>,
}

impl Desk {
    pub fn new() -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new(directory.path().join("test.journal"));
        Desk { directory, options, ms: Arc::default(), behind_ms: Arc::default(), fates: Arc::default() }
    }

    pub fn path(&self) -> &Path {
        &self.options.file
    }

    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub fn later(&self, by: Duration) {
        self.ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// The wall clock is set back.
    pub fn set_back(&self, by: Duration) {
        self.behind_ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// The next commits go so, the first first.
    pub fn fates(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.iter().rev().copied().collect();
    }

    pub fn open(&self) -> (Sqlite, Vec<OpenRow>) {
        self.try_open(&self.options).unwrap()
    }

    pub fn try_open(&self, options: &Options) -> Result<(Sqlite, Vec<OpenRow>), JournalError> {
        let fates = self.fates.clone();
        self.open_on(options, move |_: Commit| fates.lock().unwrap().pop().unwrap_or(Fate::Normal))
    }

    pub fn open_plain(&self, options: &Options) -> (Sqlite, Vec<OpenRow>) {
        self.open_with(options, Box::new(Plain)).unwrap()
    }

    pub fn open_on(
        &self,
        options: &Options,
        disk: impl FnMut(Commit) -> Fate + Send + 'static,
    ) -> Result<(Sqlite, Vec<OpenRow>), JournalError> {
        self.open_with(options, Box::new(disk))
    }

    /// On a disk whose syncs go so.
    pub fn open_syncing(
        &self,
        sync: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> (Sqlite, Vec<OpenRow>) {
        let mut around = self.surroundings();
        around.sync = Arc::new(sync);
        Sqlite::open(&self.options, &upstream(), around).unwrap()
    }

    fn open_with(
        &self,
        options: &Options,
        disk: Box<dyn socketqueue::journal::disk::Disk>,
    ) -> Result<(Sqlite, Vec<OpenRow>), JournalError> {
        let mut around = self.surroundings();
        around.disk = disk;
        Sqlite::open(options, &upstream(), around)
    }

    pub fn surroundings(&self) -> Surroundings {
        let (ms, behind_ms, dialect) = (self.ms.clone(), self.behind_ms.clone(), dialect());
        let clock = Arc::new(move || {
            let ms = ms.load(Ordering::SeqCst);
            let wall_ms = START_MS + ms as i64 - behind_ms.load(Ordering::SeqCst) as i64;
            Now { uptime: Duration::from_millis(ms), wall_ms, offset_s: 0 }
        });
        let image = Box::new(move |request: &Request| rules::image(request, &dialect));
        Surroundings::new(clock, image, Logger::root(Discard, o!()))
    }
}

pub fn decision(reason: &str) -> Decision {
    Decision { operator: "ops: night shift".into(), reason: reason.into() }
}

pub fn upstream() -> UpstreamIdentity {
    UpstreamIdentity { name: "bank".into(), address: "127.0.0.1:5000".into(), dialect: "smartVista".into() }
}

fn dialect() -> Arc<Dialect> {
    static READ: OnceLock<Arc<Dialect>> = OnceLock::new();
    READ.get_or_init(|| Dialect::builtin("smartVista").unwrap()).clone()
}

/// A sale of 10.00 with card data in it that must not be kept.
pub fn sale(stan: u32) -> Arc<Request> {
    let dialect = dialect();
    let mut draft = Draft::new(&dialect.schema, Mti::parse(b"0200").unwrap());
    let stan = format!("{stan:06}");
    for (n, value) in [
        (field::PROCESSING_CODE, &b"000000"[..]),
        (field::AMOUNT, b"000000001000"),
        (field::TRANSMISSION_TIME, b"1122030405"),
        (field::STAN, stan.as_bytes()),
        (field::LOCAL_TIME, b"261122030405"),
        (FieldNumber::new(22).unwrap(), b"021"),
        (FieldNumber::new(24).unwrap(), b"200"),
        (FieldNumber::new(25).unwrap(), b"00"),
        (FieldNumber::new(42).unwrap(), b"100000000000001"),
        (field::TRACK_2, TRACK.as_bytes()),
        (field::PIN_BLOCK, PIN_BLOCK),
        (field::TID, b"10000001"),
        (field::CURRENCY, b"980"),
    ] {
        draft.set(n, value);
    }
    let now = Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 };
    Arc::new(rules::prepare_draft(&dialect, &KeyFields::default(), draft, now).unwrap())
}

pub fn id(n: u64) -> TxId {
    TxId::from_bits(n)
}

pub fn intent(n: u64) -> JournalOp {
    JournalOp::Intent { id: id(n), request: sale(n as u32), record: None }
}

pub fn keyed(n: u64, record: Record) -> JournalOp {
    JournalOp::Intent { id: id(n), request: sale(n as u32), record: Some(record) }
}

pub fn end(n: u64, state: FinalState) -> JournalOp {
    JournalOp::End { id: id(n), state }
}

pub fn delivered(n: u64) -> JournalOp {
    end(n, FinalState::Delivered)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Hands in one batch.
pub fn submit(journal: &mut Sqlite, ops: impl IntoIterator<Item = JournalOp>) {
    journal.submit(&mut ops.into_iter().collect());
}

/// Waits for `n` verdicts.
pub fn verdicts(journal: &mut Sqlite, n: usize) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    while verdicts.len() < n {
        block_on(poll_fn(|cx| journal.poll_verdicts(cx, &mut verdicts)));
    }
    verdicts
}

pub fn flush(journal: &mut Sqlite) {
    block_on(poll_fn(|cx| journal.poll_flush(cx)));
}

/// A number from the file, read beside whoever has it open.
pub fn number(path: &Path, sql: &str) -> i64 {
    number_if_any(path, sql).unwrap()
}

fn number_if_any(path: &Path, sql: &str) -> Option<i64> {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).optional().unwrap()
}

/// Waits until the file has it.
pub fn await_number(path: &Path, sql: &str, wanted: i64) {
    let begin = std::time::Instant::now();
    while number_if_any(path, sql) != Some(wanted) {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{sql} is {:?} and not {wanted}",
            number_if_any(path, sql)
        );
    }
}
