//! `socketqueue bank` as a process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn the_subcommand_prints_its_address_serves_and_tells_what_it_did_when_terminated() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("bank.jsonl");
    let mut bank = Command::new(env!("CARGO_BIN_EXE_socketqueue"))
        .args(["bank", "--port", "0", "--ledger"])
        .arg(&ledger)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(bank.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening bank ").unwrap_or_else(|| panic!("{line}"));

    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::host::PATIENCE)).unwrap();
    let sale = crate::host::sale(1, 1, 10);
    let frame = [format!("{:04}", sale.len()).as_bytes(), &sale].concat();
    std::io::Write::write_all(&mut stream, &frame).unwrap();
    let mut answer = [0; 174];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"01700210"));

    let pid = rustix::process::Pid::from_child(&bank);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(bank.wait().unwrap().success());
    let told: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!((&told["connections"], &told["messages"], &told["booked"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(std::fs::read_to_string(ledger).unwrap().lines().count(), 1);
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let bank =
        Command::new(env!("CARGO_BIN_EXE_socketqueue")).args(["bank", "--port", &port]).output().unwrap();
    assert!(!bank.status.success());
    let told = String::from_utf8_lossy(&bank.stderr);
    assert!(told.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{told}");
}
