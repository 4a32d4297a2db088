//! The process and its files: pid file, log file, standard output and error.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A bank by itself on a free port, once it listens.
struct Bank {
    child: Child,
    out: BufReader<ChildStdout>,
    listening: String,
}

impl Bank {
    fn start(directory: &Path, flags: &[&str]) -> Bank {
        let mut child =
            command(directory, flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut listening = String::new();
        out.read_line(&mut listening).unwrap();
        Bank { child, out, listening }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it; exit code, the rest of standard output, standard error.
    fn stop(mut self) -> (i32, String, String) {
        self.signal(Signal::TERM);
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code().unwrap(), out, err)
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_socketqueue"));
    command.arg("--echoServerPort=0").args(flags).current_dir(directory).stdin(Stdio::null());
    command
}

/// Waits for what another process does.
fn await_that(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come");
        std::thread::yield_now();
    }
}

/// Defect D12 of the original: `pidFile` killed its start. And a pid file that is left behind must not stop a container.
#[test]
fn a_pid_file_keeps_a_second_instance_out_and_is_gone_after_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bank.pid");
    std::fs::write(&path, "1\n").unwrap();
    let bank = Bank::start(directory.path(), &["--pidFile=bank.pid"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", bank.child.id()));

    let second = command(directory.path(), &["--pidFile=bank.pid"]).output().unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert_eq!((second.status.code(), second.stdout.len()), (Some(1), 0), "{told}");
    let expected = format!("pidFile bank.pid is held by another instance (process {})", bank.child.id());
    assert!(told.contains(&expected), "{told}");

    assert_eq!(bank.stop().0, 0);
    assert!(!path.exists());
    assert_eq!(Bank::start(directory.path(), &["--pidFile=bank.pid"]).stop().0, 0);
}

#[test]
fn standard_output_says_where_it_listens_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let bank = Bank::start(directory.path(), &["--silent", "--vv"]);
    assert!(bank.listening.starts_with("listening bank 127.0.0.1:"), "{}", bank.listening);
    let (code, _, err) = bank.stop();
    assert_eq!((code, err.as_str()), (0, ""));

    let (_, out, err) = Bank::start(directory.path(), &["--v", "--openWay"]).stop();
    assert!(!out.contains(" - info: ") && err.contains(" - info: "), "{out}{err}");
    assert!(err.contains(" - warn: openWay has no effect"), "{err}");
    assert!(!err.contains('\u{1b}'), "no colour into a pipe: {err}");
}

/// Case lc-006 of the recordings.
#[test]
fn hup_opens_the_log_file_anew_under_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("bank.log"), directory.path().join("bank.log.1"));
    let bank = Bank::start(directory.path(), &["--silent", "--v", "--logFile=bank.log"]);
    await_that(|| std::fs::read_to_string(&path).unwrap().contains(" - info: started pid="));
    std::fs::rename(&path, &moved).unwrap();
    bank.signal(Signal::HUP);
    await_that(|| path.exists());
    assert_eq!(bank.stop().0, 0);
    let (old, new) = (std::fs::read_to_string(moved).unwrap(), std::fs::read_to_string(path).unwrap());
    assert!(!old.contains("got SIGTERM"), "{old}");
    assert!(new.contains("log file reopened") && new.contains("got SIGTERM"), "{new}");
}
