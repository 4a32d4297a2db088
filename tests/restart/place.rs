//! Where the journal lies and who may have it: by default, beside another one, where it cannot be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::process::{Host, Process};
use crate::world::{Gateway, World, approve, free_port, label, sale};

/// Runs the program to its end in `directory`.
fn refused(directory: &Path, args: &[&str]) -> (Output, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_socketqueue")).args(args).current_dir(directory).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

fn journals(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<String> = files
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".journal"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_flat_configuration_has_a_journal_that_only_its_owner_reads_and_tells_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (host, port) = (Host::new(), free_port());
    // SocketQueue's keys and nothing else.
    let config = format!(
        r#"{{ "upstreamHost": "127.0.0.1", "upstreamPort": {}, "listenPort": {port}, "v": true }}"#,
        host.port()
    );
    fs::write(directory.path().join("config.json"), config).unwrap();
    let args = ["-c".to_owned(), "config.json".to_owned()];
    let journal = directory.path().join(format!("socketqueue-{port}.journal"));
    let mut gateway = Gateway::of(Process::start_in(directory.path(), &args));
    let mut link = host.link();
    gateway.logs(&format!("path={} open_rows=0", journal.display()));
    for file in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        let ours = file.file_name().to_string_lossy().starts_with("socketqueue-");
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert!(!ours || mode == 0o600, "{:?} has {mode:o}", file.file_name());
    }
    let mut client = gateway.client();
    client.write(&sale(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    let gateway = Gateway::of(Process::start_in(directory.path(), &args));
    gateway.logs(&format!("path={} open_rows=1", journal.display()));
}

#[test]
fn two_gateways_in_one_directory_have_a_journal_each_named_by_their_ports() {
    let directory = tempfile::tempdir().unwrap();
    let mut ports = [free_port(), free_port()];
    ports.sort_by_key(u16::to_string);
    let hosts = [Host::new(), Host::new()];
    let mut pairs = Vec::new();
    for (host, port) in hosts.iter().zip(ports) {
        let args = [format!("--upstreamPort={}", host.port()), format!("--listenPort={port}")];
        let args = [vec!["--upstreamHost=localhost".to_owned(), "--v".to_owned()], args.to_vec()].concat();
        let gateway = Gateway::of(Process::start_in(directory.path(), &args));
        pairs.push((args, gateway, host.link()));
    }
    for (n, (_, gateway, link)) in (1..).zip(&mut pairs) {
        let mut client = gateway.client();
        let asked = sale(n, 7);
        client.write(&asked);
        assert_eq!(link.frame(), asked);
    }
    assert_eq!(journals(directory.path()), ports.map(|port| format!("socketqueue-{port}.journal")));
    // Each makes good what was its own, at its own host.
    for (n, (host, (args, mut gateway, _))) in (1..).zip(hosts.iter().zip(pairs)) {
        gateway.kill();
        let _gateway = Gateway::of(Process::start_in(directory.path(), &args));
        assert_eq!(label(&host.link().frame()), format!("0400 {n}/7"));
    }
}

#[test]
fn a_second_process_on_the_same_journal_is_refused_and_the_first_goes_on() {
    let mut world = World::new(&["--journalFile=ours.journal"]);
    let (gateway, mut link) = world.start();
    let second =
        ["--upstreamHost=127.0.0.1", "--upstreamPort=1", "--listenPort=0", "--journalFile=ours.journal"];
    let (output, text) = refused(world.directory(), &second);
    assert_eq!(output.status.code(), Some(1));
    let journal = world.directory().join("ours.journal");
    let says = format!("journalFile {}: is in use by another process", journal.display());
    assert!(text.contains(&says), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "it never listened");
    let mut client = gateway.client();
    client.write(&sale(1, 7));
    let reply = approve(&link.frame());
    link.send_frame(&reply);
    assert_eq!(client.read(reply.len()), reply);
}

#[test]
fn without_a_journal_there_is_a_warning_and_no_file() {
    let world = &mut World::new(&["--journalFile=none"]);
    let (gateway, _link) = world.start();
    gateway.logs("warn: journalFile is none: what is owed to the host is forgotten when the process ends");
    assert_eq!(fs::read_dir(world.directory()).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_written_is_refused_with_the_name_of_the_flag() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody writes to /proc, not even root.
    for (file, says) in [
        (
            "/proc/x.journal",
            "journalFile /proc/x.journal: cannot be written; give journalFile (--journalFile) in",
        ),
        ("no/such/x.journal", "--journalFile: there is no directory no/such"),
        (".", "--journalFile: is a directory"),
    ] {
        let flag = format!("--journalFile={file}");
        let args = ["--upstreamHost=127.0.0.1", "--upstreamPort=1", "--listenPort=0", &flag];
        let (output, text) = refused(directory.path(), &args);
        assert!(text.contains(says), "{file}: {text}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
