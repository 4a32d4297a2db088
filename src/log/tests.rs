use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use slog::{debug, error, info, o, trace, warn};

use super::*;

fn settings(level: Level) -> Settings {
    Settings { level, silent: true, file: None, logstash: None, mask: MaskStyle::default() }
}

fn clock() -> Clock {
    Clock::new(Some("UTC")).unwrap()
}

/// A console that is a buffer, and that can be made to hang.
#[derive(Clone, Default)]
struct Screen {
    text: Arc<Mutex<Vec<u8>>>,
    gate: Arc<Mutex<()>>,
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        drop(self.gate.lock().unwrap());
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_level_lets_its_own_through() {
    for (level, expected) in [
        (Level::Warn, vec!["error: e", "warn: w"]),
        (Level::Info, vec!["error: e", "warn: w", "info: i"]),
        (Level::Verbose, vec!["error: e", "warn: w", "info: i", "debug: d", "verbose: t"]),
    ] {
        let screen = Screen::default();
        let logging = init_with(&settings(level), clock(), Some(Console::to(screen.clone()))).unwrap();
        let logger = &logging.logger;
        error!(logger, "e");
        warn!(logger, "w");
        info!(logger, "i");
        debug!(logger, "d");
        trace!(logger, "t");
        assert_eq!(logger.is_trace_enabled(), level == Level::Verbose);
        drop(logging);
        let lines: Vec<String> = screen.text().lines().map(|line| line[22..].to_owned()).collect();
        assert_eq!(lines, expected);
    }
}

/// Something that notices being formatted.
struct Witness(Arc<AtomicBool>);

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.store(true, Ordering::SeqCst);
        f.write_str("formatted")
    }
}

#[test]
fn nothing_is_formatted_for_a_level_that_is_off_or_without_a_sink() {
    let formatted = Arc::new(AtomicBool::new(false));
    let witness = || Witness(Arc::clone(&formatted));
    let screen = Screen::default();
    let logging = init_with(&settings(Level::Warn), clock(), Some(Console::to(screen))).unwrap();
    info!(logging.logger, "{}", witness(); "value" => %witness());
    drop(logging);
    let deaf = init_with(&settings(Level::Verbose), clock(), None).unwrap();
    error!(deaf.logger, "{}", witness(); "value" => %witness());
    drop(deaf);
    assert!(!formatted.load(Ordering::SeqCst));
}

#[test]
fn context_comes_first_and_types_survive() {
    let screen = Screen::default();
    let logging = init_with(&settings(Level::Warn), clock(), Some(Console::to(screen.clone()))).unwrap();
    let child =
        logging.logger.new(o!("upstream" => "bank", "link" => 3)).new(o!("request" => "00000000002a"));
    warn!(child, "late response"; "mti" => "0210", "waited_ms" => 35_001_u64, "held" => true, "rrn" => None::<&str>);
    drop(child);
    drop(logging);
    assert_eq!(
        &screen.text()[19..],
        " - warn: late response upstream=bank link=3 request=00000000002a mti=0210 waited_ms=35001 held=true rrn=null\n"
    );
}

#[test]
fn a_full_channel_drops_counts_and_says_so() {
    let screen = Screen::default();
    let stuck = Arc::clone(&screen.gate);
    let held = stuck.lock().unwrap();
    let logging = init_with(&settings(Level::Warn), clock(), Some(Console::to(screen.clone()))).unwrap();
    // The channel, and at most one that the log thread already holds.
    let sent = CHANNEL_LEN_MAX as u64 + 100;
    for _ in 0..sent {
        warn!(logging.logger, "w");
    }
    let dropped = logging.dropped();
    assert!((99..=100).contains(&dropped), "{dropped}");
    drop(held);
    drop(logging);
    let text = screen.text();
    assert_eq!(text.matches("warn: w\n").count() as u64, sent - dropped);
    assert!(
        text.contains(&format!("warn: log lines were dropped count={dropped} total={dropped}\n")),
        "{dropped}"
    );
}

#[test]
fn the_file_is_appended_to_and_opened_anew_under_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.log");
    std::fs::write(&path, "before\n").unwrap();
    let mut with_file = settings(Level::Info);
    with_file.file = Some(path.clone());
    let logging = init_with(&with_file, clock(), None).unwrap();
    warn!(logging.logger, "one");
    drop(logging);

    let logging = init_with(&with_file, clock(), None).unwrap();
    let moved = directory.path().join("gateway.log.1");
    std::fs::rename(&path, &moved).unwrap();
    logging.reopen();
    warn!(logging.logger, "two");
    drop(logging);
    let old = std::fs::read_to_string(&moved).unwrap();
    let new = std::fs::read_to_string(&path).unwrap();
    assert!(old.starts_with("before\n") && old.contains(" - warn: one\n"), "{old}");
    assert!(new.contains(" - info: log file reopened\n") && new.contains(" - warn: two\n"), "{new}");
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept_and_an_error_said() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut with_file = settings(Level::Warn);
    with_file.file = Some(logs.join("gateway.log"));
    let logging = init_with(&with_file, clock(), None).unwrap();
    let moved = directory.path().join("moved");
    std::fs::rename(&logs, &moved).unwrap();
    logging.reopen();
    drop(logging);
    let text = std::fs::read_to_string(moved.join("gateway.log")).unwrap();
    assert!(text.contains("error: log file kept"), "{text}");
}

#[test]
fn a_missing_directory_is_refused_naming_the_parameter() {
    let mut with_file = settings(Level::Warn);
    with_file.file = Some(PathBuf::from("/nonexistent/gateway.log"));
    let error = init_with(&with_file, clock(), None).unwrap_err();
    assert!(error.to_string().starts_with("logFile /nonexistent/gateway.log cannot be opened: "), "{error}");
}

#[test]
fn dangerous_is_said_at_warn() {
    let screen = Screen::default();
    let mut dangerous = settings(Level::Warn);
    dangerous.mask.reveal = true;
    drop(init_with(&dangerous, clock(), Some(Console::to(screen.clone()))).unwrap());
    assert!(screen.text().contains(" - warn: dangerous: "), "{}", screen.text());
}

#[test]
fn the_end_waits_for_what_was_logged_though_loggers_live_on() {
    let screen = Screen::default();
    let logging = init_with(&settings(Level::Warn), clock(), Some(Console::to(screen.clone()))).unwrap();
    let outlives = logging.logger.clone();
    for _ in 0..1000 {
        warn!(outlives, "w");
    }
    drop(logging);
    assert_eq!(screen.text().matches("warn: w\n").count(), 1000);
    warn!(outlives, "into the void");
}
