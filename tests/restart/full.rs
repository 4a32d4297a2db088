//! A disk without space: a small tmpfs with the journal on it, filled up and emptied again.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use socketqueue::iso8583::field;

use crate::process::{Line, PATIENCE};
use crate::world::{World, approve, label, parse, read_message, sale};

/// A file system of its own; unmounted when dropped.
struct Small {
    directory: tempfile::TempDir,
}

impl Small {
    /// `None` where this user cannot mount: it needs root.
    fn mount() -> Option<Small> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(directory.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Small { directory })
    }

    /// Takes all the space that there is.
    fn fill(&self) {
        let mut filler = File::create(self.directory.path().join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.directory.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.directory.path()).output();
    }
}

/// Asks for it until it is `wanted`.
fn readiness(admin: SocketAddr, wanted: &str) {
    let begin = Instant::now();
    loop {
        let mut line = Line::connect(admin);
        line.write(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8(line.end()).unwrap();
        if answer.starts_with(&format!("HTTP/1.1 {wanted}")) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{wanted}: {answer}");
    }
}

/// Waits until one of them has something to read: whether it is the first.
fn is_first(one: &Line, other: &Line) -> bool {
    let has_news = |line: &Line| {
        line.stream.set_nonblocking(true).unwrap();
        let seen = line.stream.peek(&mut [0]).is_ok();
        line.stream.set_nonblocking(false).unwrap();
        seen
    };
    let begin = Instant::now();
    while !has_news(other) {
        if has_news(one) {
            return true;
        }
        assert!(begin.elapsed() < PATIENCE, "neither answer nor request");
    }
    false
}

#[test]
fn on_a_full_disk_new_sales_are_refused_what_is_in_flight_goes_on_and_no_end_is_lost() {
    let Some(small) = Small::mount() else {
        eprintln!("skipped: a full disk: this user cannot mount a tmpfs");
        return;
    };
    let journal = small.directory.path().join("sq.journal");
    let mut world =
        World::new(&[&format!("--journalFile={}", journal.display()), "--adminPort=0", "--onReject=respond"]);
    let (mut gateway, mut link) = world.start();
    let admin = gateway.process.address("admin");
    readiness(admin, "200");
    // Two are at the host when the space ends.
    let (mut delivered, mut lost) = (gateway.client(), gateway.client());
    let asked = [sale(1, 7), sale(2, 7)];
    for (client, asked) in [&mut delivered, &mut lost].into_iter().zip(&asked) {
        client.write(asked);
        assert_eq!(link.frame(), *asked);
    }
    small.fill();

    // The log that is there may have room for a few more; from then on none gets through.
    let mut tid = 10;
    let refusal = loop {
        tid += 1;
        let mut client = gateway.client();
        let asked = sale(tid, 1);
        client.write(&asked);
        if is_first(&client, &link) {
            break read_message(&mut client);
        }
        assert_eq!(link.frame(), asked);
        let reply = approve(&asked);
        link.send_frame(&reply);
        assert_eq!(client.read(reply.len()), reply);
        assert!(tid < 10_000, "it is refused some time");
    };
    assert_eq!(label(&refusal), format!("0210 {tid}/1"));
    assert_ne!(parse(&refusal).text(field::RESPONSE_CODE).unwrap(), "000");
    gateway.logs("the journal takes no new transactions");
    gateway.logs("reason=\"the disk is full\"");
    gateway.logs("the journal goes on when there is space for its reserve");
    readiness(admin, "503");

    // An answer is delivered, and a sale whose client left is reversed.
    let reply = approve(&asked[0]);
    link.send_frame(&reply);
    assert_eq!(delivered.read(reply.len()), reply);
    lost.reset();
    link.send_frame(&approve(&asked[1]));
    let reversal = link.frame();
    assert_eq!(label(&reversal), "0400 2/7");
    link.send_frame(&approve(&reversal));
    gateway.logs("reversal accepted");

    small.empty();
    readiness(admin, "200");
    gateway.logs("the journal takes new transactions again");
    let mut client = gateway.client();
    client.write(&sale(3, 7));
    assert_eq!(label(&link.frame()), "0200 3/7");
    gateway.kill();

    // What ended on the full disk has ended; the one of afterwards is made good.
    let (_gateway, mut link) = world.start();
    let reversal = link.frame();
    assert_eq!(label(&reversal), "0400 3/7");
    link.send_frame(&approve(&reversal));
    assert!(world.is_silent(&mut link));
}
