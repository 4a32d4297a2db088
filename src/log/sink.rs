//! The two ends of the log's channel: what drops and counts on one side, what writes on the other.

use std::io::{self, IsTerminal, Write};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use slog::{BorrowedKV, Drain, Never, OwnedKVList, Record, RecordStatic, SingleKV};
use slog_async::AsyncCore;

use super::entry::{AT, Entry};
use super::file::LogFile;
use super::logstash::Lines;
use crate::net::clock::Clock;

/// The callers' end: stamps the record with its time and puts it into the channel, or drops and counts it.
pub(super) struct Bounded {
    core: AsyncCore,
    clock: Clock,
    dropped: Arc<AtomicU64>,
}

impl Bounded {
    pub(super) fn new(core: AsyncCore, clock: Clock, dropped: Arc<AtomicU64>) -> Bounded {
        Bounded { core, clock, dropped }
    }
}

impl Drain for Bounded {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), Never> {
        let fixed = RecordStatic { location: record.location(), tag: record.tag(), level: record.level() };
        let own = record.kv();
        let stamped = (SingleKV(AT, self.clock.now().wall_ms), own);
        let record = Record::new(&fixed, record.msg(), BorrowedKV(&stamped));
        if self.core.log(&record, context).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

// A clock is read-only but for one atomic, the channel is made for threads: a panic elsewhere leaves both whole.
impl UnwindSafe for Bounded {}
impl RefUnwindSafe for Bounded {}

/// The log thread's end.
pub(super) struct Sinks {
    clock: Clock,
    console: Option<Mutex<Console>>,
    file: Option<Arc<LogFile>>,
    logstash: Option<Lines>,
    dropped: Arc<AtomicU64>,
    told: AtomicU64,
}

impl Sinks {
    pub(super) fn new(
        clock: Clock,
        console: Option<Console>,
        file: Option<Arc<LogFile>>,
        logstash: Option<Lines>,
        dropped: Arc<AtomicU64>,
    ) -> Sinks {
        Sinks { clock, console: console.map(Mutex::new), file, logstash, dropped, told: AtomicU64::new(0) }
    }

    fn write(&self, entry: &Entry) {
        if let Some(console) = &self.console
            && let Ok(mut console) = console.lock()
        {
            let line = entry.line(&self.clock, console.colour);
            // A closed console is nobody's loss, and there is no place left to say so.
            let _ = console.out.write_all(line.as_bytes());
        }
        if let Some(file) = &self.file
            && !file.write(entry.line(&self.clock, false).as_bytes())
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(lines) = &self.logstash {
            lines.send(entry);
        }
    }

    /// Lines lost since this was last said.
    fn tell_dropped(&self, at_ms: i64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let told = self.told.swap(dropped, Ordering::Relaxed);
        if dropped > told {
            self.write(&Entry {
                at_ms,
                level: slog::Level::Warning,
                message: "log lines were dropped".to_owned(),
                pairs: vec![("count", (dropped - told).into()), ("total", dropped.into())],
            });
        }
    }
}

impl Drain for Sinks {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), Never> {
        let entry = Entry::collect(record, context, self.clock.now().wall_ms);
        self.tell_dropped(entry.at_ms);
        self.write(&entry);
        Ok(())
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.tell_dropped(self.clock.now().wall_ms);
    }
}

/// Where console lines go.
pub(super) struct Console {
    out: Box<dyn Write + Send>,
    colour: bool,
}

impl Console {
    /// Standard error; in colour when that is a terminal and `NO_COLOR` is not set.
    pub(super) fn stderr() -> Console {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Console { colour: !plain && io::stderr().is_terminal(), out: Box::new(io::stderr()) }
    }

    #[cfg(test)]
    pub(super) fn to(out: impl Write + Send + 'static) -> Console {
        Console { out: Box::new(out), colour: false }
    }
}
