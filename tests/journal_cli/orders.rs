//! `journal retry` and `resolve`: over the socket of a running gateway, and into the file without one.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use crate::process::{Host, Line};
use crate::world::{LEAVERS, REJECTED, World, answer, label, leave, sale};

const WHY: &str = "--reason=ticket 12, card 4850781234567891";

#[test]
fn a_running_gateway_sends_a_parked_reversal_again_and_says_who_wanted_it() {
    let world = World::new(&LEAVERS);
    let (gateway, mut link) = world.with_a_parked_reversal();
    let said = world.done(&["journal", "retry", "1", WHY]);
    assert_eq!(said, "row 1: the gateway sends it again\n");
    let again = link.frame();
    assert_eq!(label(&again), "0400 1/7");
    link.send_frame(&answer(&again, "000"));
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    let row = world.run(&["journal", "show", "1", "--json"]).json();
    assert_eq!((&row["state"], &row["attempts"]), (&"reversed".into(), &2.into()));
    let note = &row["notes"][0];
    assert_eq!((&note["what"], &note["operator"]), (&"retried".into(), &"jo".into()));
    assert_eq!(note["reason"], "ticket 12, card 485078******7891");
    gateway.process.logs("operator sends a reversal or advice again");
    // It is over now.
    let late = world.run(&["journal", "resolve", "1", WHY]);
    assert_eq!(late.code, 1);
    assert!(late.err.contains("it is over"), "{late:?}");
    assert_eq!(gateway.sample("socketqueue_counting_gap{upstream=\"upstream\"}"), 0.0);
}

#[test]
fn a_running_gateway_resolves_by_the_id_of_its_logs_and_sends_nothing_any_more() {
    let world = World::new(&LEAVERS);
    let (gateway, mut link) = world.with_a_parked_reversal();
    let id = world.rows(&["--state=waiting"])[0]["id"].as_str().unwrap().to_owned();
    assert!(gateway.process.log().contains(&format!("request={id}")));
    let said = world.done(&[
        "journal",
        "resolve",
        &id,
        "--operator=night shift: ann",
        "--reason=booked back: by hand",
    ]);
    assert_eq!(said, "row 1: resolved\n");
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    assert_eq!(world.rows(&[]), [] as [serde_json::Value; 0]);
    let shown = world.done(&["journal", "show", "1"]);
    assert!(shown.contains("resolved by night shift: ann: booked back: by hand"), "{shown}");
    let exported = world.done(&["journal", "export", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&exported).unwrap();
    let decided = ["decision", "operator", "reason"].map(|name| row[name].as_str().unwrap());
    assert_eq!(decided, ["resolved", "night shift: ann", "booked back: by hand"]);
    assert!(row["decided"].is_string());
    gateway.kill();
    let gateway = world.start();
    let mut link_after = world.host.link();
    let mut client = Line::connect(gateway.clients);
    client.write(&sale(2, 1));
    assert_eq!(label(&link_after.frame()), "0200 2/1", "nothing of it comes before");
    assert!(link.end().is_empty());
}

#[test]
fn without_a_gateway_an_order_is_written_and_the_next_start_carries_it_out() {
    let world = World::new(&LEAVERS);
    let (gateway, _link) = world.with_a_parked_reversal();
    gateway.kill();
    let said = world.done(&["journal", "retry", "1", WHY]);
    assert_eq!(said, "row 1: the next gateway that opens this journal sends it again\n");
    assert_eq!(world.rows(&[])[0]["state"], "owed");
    // Until then it is not a person's affair any more.
    let twice = world.run(&["journal", "retry", "1", WHY]);
    assert!(twice.code == 1 && twice.err.contains("neither parked nor listed"), "{twice:?}");
    let gateway = world.start();
    let mut link = world.host.link();
    let again = link.frame();
    world.reject(&mut link, &again, 2);
    gateway.stop();
    let said = world.done(&["journal", "resolve", "1", WHY]);
    assert_eq!(said, "row 1: resolved\n");
    assert_eq!(world.number("SELECT COUNT(*) FROM images"), 0, "nothing of the message is left");
    let row = world.run(&["journal", "show", "1", "--json"]).json();
    let whats: Vec<&str> =
        row["notes"].as_array().unwrap().iter().map(|note| note["what"].as_str().unwrap()).collect();
    assert_eq!((&row["state"], whats), (&"resolved".into(), vec!["retried", "resolved"]));
}

#[test]
fn an_order_outlives_a_crash_of_the_gateway_that_carries_it_out() {
    let world = World::new(&[LEAVERS[0], "--reversalMaxAge=1"]);
    let (gateway, mut link) = (world.start(), world.host.link());
    leave(&gateway, &mut link, 1);
    world.await_number("SELECT attempts FROM records WHERE id = 1", 1);
    gateway.kill();
    // Older than reversalMaxAge by now: it is listed.
    world.await_number("SELECT unixepoch('subsec') * 1000 > received_ms + 1500 FROM records", 1);
    let gateway = world.start();
    let _link = world.host.link();
    gateway.process.logs("listed, not sent");
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    world.done(&["journal", "retry", "1", WHY]);
    world.await_number("SELECT stage FROM records WHERE id = 1", 4);
    gateway.kill();
    let gateway = world.start();
    let mut link = world.host.link();
    assert_eq!(label(&link.frame()), "0400 1/7", "too old, and ordered all the same");
    gateway.kill();
}

#[test]
fn what_was_for_another_host_is_sent_to_this_one_by_force_only() {
    let mut world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    Line::connect(gateway.clients).write(&sale(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    world.host = Host::new();
    let gateway = world.start();
    let mut link = world.host.link();
    gateway.process.logs("listed, not sent");
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    assert_eq!(gateway.sample("socketqueue_reversals{upstream=\"upstream\",state=\"listed\"}"), 1.0);
    assert_eq!(world.rows(&["--state=listed"]).len(), 1);
    let refused = world.run(&["journal", "retry", "1", WHY]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("it was for another upstream; --force sends it"), "{refused:?}");
    gateway.kill();
    // In the file: an order without force is for the host that the row is of.
    world.done(&["journal", "retry", "1", WHY]);
    let gateway = world.start();
    drop((link, world.host.link()));
    gateway.process.logs("listed, not sent");
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    gateway.kill();
    world.done(&["journal", "retry", "1", WHY, "--force"]);
    let gateway = world.start();
    link = world.host.link();
    assert_eq!(label(&link.frame()), "0400 1/7");
    gateway.kill();
}

#[test]
fn an_order_by_force_outlives_a_crash_for_the_host_of_the_gateway_that_took_it_and_no_other() {
    let mut world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let mut client = Line::connect(gateway.clients);
    client.write(&sale(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    world.host = Host::new();
    let gateway = world.start();
    let mut link = world.host.link();
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    world.done(&["journal", "retry", "1", WHY, "--force"]);
    assert_eq!(label(&link.frame()), "0400 1/7");
    // What is sent does not wait for the journal; the commit of the attempt is behind that of the order.
    world.await_number("SELECT stage * 10 + attempts FROM records WHERE id = 1", 41);
    gateway.kill();
    let gateway = world.start();
    let mut link = world.host.link();
    assert_eq!(label(&link.frame()), "0400 1/7", "it is carried on");
    gateway.kill();
    let there = std::mem::replace(&mut world.host, Host::new());
    let gateway = world.start();
    let _link = world.host.link();
    gateway.process.logs("listed, not sent");
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    gateway.kill();
    world.host = there;
    // It waits for a person again, wherever it is.
    let gateway = world.start();
    let mut link = world.host.link();
    world.done(&["journal", "retry", "1", WHY, "--force"]);
    assert_eq!(label(&link.frame()), "0400 1/7");
    world.await_number("SELECT COUNT(*) FROM notes", 2);
    gateway.kill();
    let row = world.run(&["journal", "show", "1", "--json"]).json();
    let whats: Vec<&str> =
        row["notes"].as_array().unwrap().iter().map(|note| note["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["forced", "forced"]);
}

#[test]
fn a_parked_reversal_whose_key_was_used_again_goes_by_force_only() {
    let world = World::new(&LEAVERS);
    let (gateway, mut link) = world.with_a_parked_reversal();
    let mut client = Line::connect(gateway.clients);
    client.write(&sale(1, 7));
    let again = link.frame();
    assert_eq!(label(&again), "0200 1/7");
    link.send_frame(&answer(&again, "116"));
    world.await_number("SELECT COUNT(*) FROM records WHERE stage = 7", 1);
    world.await_number("SELECT superseded FROM records WHERE id = 1", 1);
    assert_eq!(world.rows(&[])[0]["superseded"], true);
    for words in [&["journal", "retry", "1", WHY][..], &["journal", "retry", "1", WHY, "--force"]] {
        let said = world.run(words);
        assert_eq!(said.code, i32::from(words.len() == 4), "{said:?}");
        assert!(
            said.code == 0 || said.err.contains("find out from the bank what it has of both"),
            "{said:?}"
        );
    }
    let reversal = link.frame();
    world.reject(&mut link, &reversal, 2);
    gateway.stop();
    // The same in the file, where a new use of the key is noted as well.
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    conn.execute("UPDATE records SET superseded = 1 WHERE id = 1", []).unwrap();
    drop(conn);
    assert_eq!(world.run(&["journal", "retry", "1", WHY]).code, 1);
    world.done(&["journal", "retry", "1", WHY, "--force"]);
}

#[test]
fn what_the_process_itself_listed_is_resolved_while_it_runs() {
    let world = World::new(&[LEAVERS[0], "--noAutoReversal"]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let mut client = Line::connect(gateway.clients);
    client.write(&sale(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    client.reset();
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    let refused = world.run(&["journal", "retry", "1", WHY]);
    assert!(refused.code == 1 && refused.err.contains("after the gateway's next start"), "{refused:?}");
    world.done(&["journal", "resolve", "1", WHY]);
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    gateway.kill();
}

#[test]
fn gateways_in_one_directory_have_a_socket_each_beside_their_journals() {
    let world = World::new(&[]);
    let path = |name: &str| world.directory.path().join(name);
    let start = |tid: u32, more: &str| {
        let config = format!(
            r#"{{ "upstreamHost": "127.0.0.1", "upstreamPort": {}, "listenHost": "127.0.0.1", "listenPort": 0,
                "listenHttpPort": 0, "adminPort": 0, "journalFile": "{tid}.journal", {more}
                "reversalOnDisconnect": "immediate" }}"#,
            world.host.port()
        );
        std::fs::write(path(&format!("{tid}.json")), config).unwrap();
        let gateway = world.start_as(&["-c".to_owned(), format!("{tid}.json")]);
        let mut link = world.host.link();
        let reversal = leave(&gateway, &mut link, tid);
        link.send_frame(&answer(&reversal, REJECTED));
        gateway.process.logs("reversal parked");
        (gateway, link)
    };
    let gateways = [start(1, ""), start(2, ""), start(3, r#""adminSocket": "third","#)];
    for socket in ["1.journal.admin", "2.journal.admin", "third"] {
        let file = std::fs::symlink_metadata(path(socket)).unwrap();
        assert!(file.file_type().is_socket(), "{socket}");
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{socket}");
    }
    assert!(!path("3.journal.admin").exists());
    // However the journal is named, the order goes to the gateway that has it.
    let named =
        [&["-c", "1.json"][..], &["-c", "1.json", "--journalFile=2.journal"], &["--journalFile=3.journal"]];
    for ((tid, (gateway, mut link)), by) in (1..).zip(gateways).zip(named) {
        let said = world.done(&[&["journal", "retry", "1", WHY], by].concat());
        assert_eq!(said, "row 1: the gateway sends it again\n");
        assert_eq!(label(&link.frame()), format!("0400 {tid}/7"));
        gateway.kill();
    }
}

#[test]
fn the_socket_of_a_killed_gateway_makes_way_and_what_is_no_socket_is_named() {
    let world = World::new(&LEAVERS);
    let socket = world.directory.path().join("test.journal.admin");
    let (gateway, _link) = world.with_a_parked_reversal();
    gateway.kill();
    assert!(socket.exists(), "a killed process leaves its file");
    let gateway = world.start();
    let mut link = world.host.link();
    world.done(&["journal", "retry", "1", WHY]);
    let again = link.frame();
    world.reject(&mut link, &again, 2);
    gateway.stop();
    assert!(!socket.exists(), "one that stops takes it away");
    // Nobody named it, so the gateway works without it, and says what to do.
    std::fs::write(&socket, "").unwrap();
    let gateway = world.start();
    let _link = world.host.link();
    gateway.process.logs("no adminSocket: orders for the journal are not taken while this process runs");
    gateway.process.logs("there is a file that is no socket");
    let said = world.run(&["journal", "retry", "1", WHY]);
    assert!(said.code == 1 && said.err.contains("test.journal.admin does not answer"), "{said:?}");
    assert_eq!(std::fs::read(&socket).unwrap(), b"");
    gateway.kill();
}

#[test]
fn a_journal_too_far_down_has_no_socket_until_one_is_named() {
    let world = World::new(&LEAVERS);
    let deep = world.directory.path().join("d".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    let args = |more: &[&str]| -> Vec<String> {
        let port = format!("--upstreamPort={}", world.host.port());
        let journal = format!("--journalFile={}/test.journal", deep.display());
        let flags = [
            "--upstreamHost=127.0.0.1",
            &port,
            "--listenPort=0",
            "--listenHttpPort=0",
            "--adminPort=0",
            &journal,
        ];
        flags.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
    };
    let gateway = world.start_as(&args(&[]));
    gateway.process.logs("adminSocket has no default here");
    assert!(deep.join("test.journal").exists() && !deep.join("test.journal.admin").exists());
    gateway.stop();
    let named = format!("--adminSocket={}/test.journal.admin", deep.display());
    let refused = world.run(&["check", "--upstreamHost=h", "--upstreamPort=1", "--listenPort=2", &named]);
    assert!(refused.code == 1 && refused.err.contains("--adminSocket: is too long"), "{refused:?}");
    let gateway = world.start_as(&args(&["--adminSocket=admin.sock"]));
    assert!(world.directory.path().join("admin.sock").exists());
    gateway.kill();
}

#[test]
fn a_gateway_without_a_socket_is_named_with_the_way_out() {
    let world = World::new(&LEAVERS);
    let gateway = world.start_with(&["--adminSocket=none"]);
    let mut link = world.host.link();
    let reversal = leave(&gateway, &mut link, 1);
    world.reject(&mut link, &reversal, 1);
    for (words, says) in [
        (&["journal", "retry", "1", WHY][..], "no adminSocket"),
        (&["journal", "resolve", "1", WHY], "no adminSocket"),
        (&["journal", "resolve", "1", WHY, "--adminSocket=none.sock"], "does not answer"),
        (&["journal", "rekey"], "stop it, run this, and start it again"),
    ] {
        let said = world.run(words);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(says) && said.err.contains("process "), "{says}: {said:?}");
    }
    gateway.kill();
    // What it left behind is not in the way.
    world.done(&["journal", "retry", "1", WHY]);
}
