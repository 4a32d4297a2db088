//! One transaction id through every line of a transaction, in every sink.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::Line;
use crate::world::World;

/// A sale that is approved while its client has left, and the reversal of it: on the console, in the file and at
/// Logstash every line that is about it has its id, and says the key in words.
#[test]
fn every_line_of_a_transaction_has_its_id_in_every_sink() {
    let logstash = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = logstash.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--vv", "--logFile=log.txt", "--logstashHost=127.0.0.1", &format!("--logstashPort={port}")];
    let mut world = World::start(folder.path(), &flags);
    let (shipped, _) = logstash.accept().unwrap();
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    client.write(&world.sale(1, 7));
    let request = world.read(&mut link);
    client.reset();
    world.gateway.logs("client disconnected");
    link.send_frame(&world.answer_to(&request, "000"));
    world.answer(&mut link, "000");
    world.gateway.logs("state=reversed");
    world.gateway.signal(Signal::TERM);
    world.gateway.exit();

    let console = world.gateway.log();
    let accepted = console.lines().find(|line| line.contains("request accepted")).unwrap();
    let id = accepted.split("request=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(accepted.contains("mti=0200 stan=000007 tid=00000001"), "{accepted}");
    for (sink, text) in
        [("console", &console), ("file", &fs::read_to_string(folder.path().join("log.txt")).unwrap())]
    {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(" - ")).collect();
        for message in [
            "request accepted",
            "client was gone when its answer came",
            "in doubt, to be reversed",
            "reversal sent",
            "reversal accepted",
            "transaction ended",
        ] {
            let line = lines
                .iter()
                .find(|line| line.contains(message))
                .unwrap_or_else(|| panic!("{sink}: {message}"));
            assert!(line.contains(&format!("request={id}")), "{sink}: {line}");
        }
        // The dumps of request, answer, reversal and its answer.
        let dumps: Vec<_> = lines.iter().filter(|line| line.contains(" - verbose:")).collect();
        assert_eq!(dumps.len(), 4, "{sink}: {dumps:?}");
        assert!(dumps.iter().all(|line| line.contains(&format!("request={id}"))), "{sink}: {dumps:?}");
        for debug in ["MatchKey", "TxId(", "Some(", "key="] {
            assert!(!text.contains(debug), "{sink}: {debug} in {text}");
        }
    }
    let lines: Vec<Value> = BufReader::new(shipped)
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    let about: Vec<_> = lines.iter().filter(|line| line["request"] == id).collect();
    assert!(about.len() >= 10, "{lines:?}");
    let sent = lines.iter().find(|line| line["message"] == "reversal sent").unwrap();
    assert_eq!((&sent["stan"], &sent["tid"]), (&Value::from("000007"), &Value::from("00000001")));
    assert_eq!((&sent["request"], &sent["attempt"]), (&Value::from(id), &Value::from(1)));
}

/// An answer to a reversal is none to its sale, though both may come late: the line says which, and what it means.
#[test]
fn a_late_answer_is_told_with_its_kind_and_what_it_means_for_that() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--v", "--reversalOnDisconnect=immediate", "--reversalTimeout=100ms", "--reversalSchedule=300"];
    let world = World::start(folder.path(), &flags);
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    client.write(&world.sale(1, 7));
    let asked = world.read(&mut link);
    client.reset();
    let reversal = world.read(&mut link);
    world.gateway.logs("reversal not answered");
    link.send_frame(&world.answer_to(&asked, "000"));
    world.gateway.logs("late response upstream=");
    link.send_frame(&world.answer_to(&reversal, "000"));
    world.gateway.logs("reversal accepted");
    let log = world.gateway.log();
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap().to_owned();
    let (to_sale, to_reversal) =
        (line("late response upstream="), line("late response to a reversal or advice"));
    assert!(to_sale.contains("mti=0210") && to_sale.contains("class=approved"), "{to_sale}");
    assert!(to_reversal.contains("mti=0410") && to_reversal.contains("answer=accepted"), "{to_reversal}");
    assert!(!to_reversal.contains("class="), "{to_reversal}");
}

/// A client that waits in vain: the line about it has the id, too.
#[test]
fn the_client_side_names_the_transaction_whose_answer_did_not_come() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &["--vv", "--queueTimeout=300ms"]);
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    client.write(&world.sale(1, 1));
    world.read(&mut link);
    assert_eq!(client.end(), b"");
    world.gateway.logs("client gets no answer");
    let log = world.gateway.log();
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap().to_owned();
    let id = line("request accepted").split("request=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(line("client gets no answer").contains(&format!("request={id}")), "{log}");
}
