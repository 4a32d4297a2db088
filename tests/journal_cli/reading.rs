//! `journal list`, `show`, `verify`, `export`: beside a running gateway, after its sudden end, after a stop.

use std::time::Duration;

use serde_json::Value;

use crate::process::Line;
use crate::world::{LEAVERS, PAN, TRACK_REST, World, answer, label, sale};

/// A parked reversal (row 1), a delivered sale (row 2) and a declined one (row 3).
fn with_three_rows() -> (World, crate::world::Gateway) {
    let world = World::new(&LEAVERS);
    let (gateway, mut link) = world.with_a_parked_reversal();
    for (tid, code) in [(2, "000"), (3, "116")] {
        let mut client = Line::connect(gateway.clients);
        client.write(&sale(tid, 7));
        let sent = link.frame();
        assert_eq!(label(&sent), format!("0200 {tid}/7"));
        let reply = answer(&sent, code);
        link.send_frame(&reply);
        assert_eq!(client.read(reply.len()), reply);
    }
    world.await_number("SELECT COUNT(*) FROM records WHERE stage = 7", 2);
    (world, gateway)
}

fn states(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| format!("{} {}", row["row"], row["state"].as_str().unwrap())).collect()
}

fn all_is_read(world: &World) {
    for (words, expected) in [
        (&[][..], &["1 parked"][..]),
        (&["--state=open"], &["1 parked"]),
        (&["--state=waiting"], &["1 parked"]),
        (&["--state=parked"], &["1 parked"]),
        (&["--state=listed"], &[]),
        (&["--state=closed"], &["2 delivered", "3 delivered"]),
        (&["--state=all"], &["1 parked", "2 delivered", "3 delivered"]),
        (&["--state=delivered", "--tid=00000003"], &["3 delivered"]),
        (&["--state=reversed"], &[]),
        (&["--state=all", "--tid=00000009"], &[]),
        (&["--state=all", "--since=1h"], &["1 parked", "2 delivered", "3 delivered"]),
        (&["--state=all", "--since=2050-01-01"], &[]),
        (&["--state=all", "--limit=2"], &["1 parked", "2 delivered"]),
    ] {
        assert_eq!(states(&world.rows(words)), expected, "{words:?}");
    }
    let row = world.run(&["journal", "show", "2", "--json"]).json();
    for (member, expected) in [
        ("mti", "0200"),
        ("tid", "00000002"),
        ("stan", "000007"),
        ("rrn", "000000000042"),
        ("amount", "000000001000"),
        ("currency", "810"),
        ("response_code", "000"),
        ("mid", "000124642124643"),
        ("upstream", "upstream"),
        ("dialect", "smartVista"),
    ] {
        assert_eq!(row[member], expected, "{member}");
    }
    let table = world.done(&["journal", "list", "--state=all"]);
    assert!(table.contains("3 rows") && table.contains("parked") && table.contains("00000003"), "{table}");
    let sound = world.run(&["journal", "verify", "--json"]).json();
    assert_eq!(
        (&sound["sound"], &sound["sealed"], &sound["rows"]["parked"]),
        (&true.into(), &3.into(), &1.into())
    );
    let csv = world.done(&["journal", "export"]);
    let mut lines = csv::Reader::from_reader(csv.as_bytes());
    let head = lines.headers().unwrap().clone();
    let at = |name: &str| head.iter().position(|column| column == name).unwrap();
    let found: Vec<String> = lines
        .records()
        .map(|line| {
            let line = line.unwrap();
            format!("{} {} {}", &line[at("row")], &line[at("state")], &line[at("response_code")])
        })
        .collect();
    assert_eq!(found, ["1 parked ", "2 delivered 000", "3 delivered 116"]);
    let json = world.done(&["journal", "export", "--json", "--from=1h", "--state=closed"]);
    assert_eq!(json.lines().count(), 2);
    assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["state"] == "delivered"));
}

#[test]
fn everything_can_be_read_beside_a_gateway_after_its_sudden_end_and_after_a_stop() {
    let (world, gateway) = with_three_rows();
    all_is_read(&world);
    let lock = std::fs::read_to_string(world.directory.path().join("test.journal.lock")).unwrap();
    assert!(lock.contains("adminSocket /"), "{lock}");
    gateway.kill();
    all_is_read(&world);
    let gateway = world.start();
    gateway.stop();
    all_is_read(&world);
}

#[test]
fn reading_takes_no_lock_and_leaves_nothing_that_a_start_would_mind() {
    let (world, gateway) = with_three_rows();
    gateway.stop();
    let reader = socketqueue::journal::desk::Reader::open(&world.journal()).unwrap();
    let gateway = world.start();
    assert_eq!(gateway.sample("socketqueue_transactions_recovered_total{upstream=\"upstream\"}"), 1.0);
    assert_eq!(gateway.sample("socketqueue_counting_gap{upstream=\"upstream\"}"), 0.0);
    assert_eq!(reader.entry(1).unwrap().unwrap().row, 1);
    gateway.stop();
}

#[test]
fn a_day_is_that_of_the_zone() {
    let (world, gateway) = with_three_rows();
    gateway.kill();
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    // 2026-11-21T23:59:59.999Z, and the next millisecond.
    conn.execute("UPDATE records SET received_ms = 1795305599999 WHERE id = 2", []).unwrap();
    conn.execute("UPDATE records SET received_ms = 1795305600000 WHERE id = 3", []).unwrap();
    drop(conn);
    for (words, rows) in [
        (&["--date=2026-11-21", "--timezone=UTC"][..], &["2"][..]),
        (&["--date=2026-11-22", "--timezone=UTC", "--state=closed"], &["3"]),
        (&["--date=2026-11-22", "--timezone=+07:00", "--state=closed"], &["2", "3"]),
        (&["--from=2026-11-21", "--to=2026-11-21", "--timezone=UTC"], &["2"]),
        (&["--from=2026-11-22T00:00", "--to=2026-11-22T00:00:01", "--timezone=UTC"], &["3"]),
        (&["--date=2026-11-20", "--timezone=UTC"], &[]),
    ] {
        let out = world.done(&[&["journal", "export"], words].concat());
        let found: Vec<&str> = out.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(found, rows, "{words:?}");
    }
    world.done(&["journal", "export", "--output=records.csv"]);
    let twice = world.run(&["journal", "export", "--output=records.csv"]);
    assert!(twice.code == 1 && twice.err.contains("records.csv"), "an export is not written over: {twice:?}");
}

#[test]
fn verify_says_what_is_wrong_and_its_exit_code_too() {
    let (world, gateway) = with_three_rows();
    gateway.stop();
    let verify = |variables: &[(&str, &str)]| world.run_with(&["journal", "verify", "--json"], variables);
    let other_key = "00".repeat(32);
    let said = verify(&[("SOCKETQUEUE_JOURNAL_KEY", &other_key)]);
    assert_eq!((said.code, said.json()["sound"].as_bool()), (1, Some(false)));
    assert_eq!(said.json()["without_key"].as_object().unwrap().values().next(), Some(&3.into()));
    assert_eq!(verify(&[("SOCKETQUEUE_JOURNAL_KEY", "no key")]).code, 2);
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    // The last byte of the only line.
    let of_two: Vec<u8> =
        conn.query_row("SELECT lines FROM sheets WHERE id = 2", [], |row| row.get(0)).unwrap();
    let (last, rest) = of_two.split_last().unwrap();
    conn.execute("UPDATE sheets SET lines = ?1 WHERE id = 2", [[rest, &[last ^ 1]].concat()]).unwrap();
    let said = verify(&[]);
    assert_eq!((said.code, &said.json()["changed"]["rows"]), (1, &serde_json::json!([2])));
    let moved = "INSERT INTO images SELECT 1, 1, 1, key_id, x'', x'' FROM sheets WHERE id = 1";
    conn.execute(moved, []).unwrap();
    conn.execute("DELETE FROM sheets WHERE id = 1", []).unwrap();
    assert_eq!(verify(&[]).json()["changed"]["rows"], serde_json::json!([1, 2]));
    conn.execute("DELETE FROM images WHERE id = 1", []).unwrap();
    assert_eq!(verify(&[]).json()["open_without_message"], 1);
    conn.execute("UPDATE sheets SET lines = ?1 WHERE id = 2", [rest]).unwrap();
    assert_eq!(verify(&[]).json()["damage"], "the sheet of row 2 is damaged");
    conn.execute("INSERT INTO images VALUES (9, 1, 9, 'k', x'', x'')", []).unwrap();
    assert_eq!(verify(&[]).json()["damage"], "1 images without a record");
    drop(conn);
    let key = world.directory.path().join("test.journal.key");
    std::fs::rename(&key, world.directory.path().join("elsewhere")).unwrap();
    let said = world.run(&["journal", "verify"]);
    assert!(said.code == 2 && said.err.contains("its key is not at"), "{said:?}");
    assert_eq!(world.run(&["journal", "verify", "--journalKeyFile=elsewhere"]).code, 1);
}

#[test]
fn no_file_of_a_journal_has_card_data_and_no_command_shows_any() {
    let (world, gateway) = with_three_rows();
    // Every output of every command is searched as well, by the world.
    all_is_read(&world);
    world.run(&["journal", "retry", "1", "--reason", &format!("card {PAN}={TRACK_REST}")]);
    gateway.process.logs("operator sends");
    gateway.kill();
    world.run(&["journal", "show", "1"]);
    world.run(&["journal", "show", PAN]);
    world.run(&["journal", "list", "--tid", PAN]);
    world.run(&["journal", "list", "--state", PAN]);
    world.run(&["journal", "list", "--journalFile", PAN]);
    for entry in std::fs::read_dir(world.directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        for secret in [PAN, TRACK_REST] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
}

#[test]
fn a_long_journal_is_listed_to_its_end_and_a_start_is_not_kept_waiting() {
    let (world, gateway) = with_three_rows();
    gateway.stop();
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    // Holes among the row numbers, more rows than one statement looks at.
    conn.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         INSERT INTO records (id, run, tx, upstream, mti, stage, outcome, received_ms, attempts, elements)
         SELECT 100 + i * 3, 1, i, 1, '0200', 7, 2, 1795305600000 + i, 0, json_object('41', 'T' || (i % 10)) FROM n",
    )
    .unwrap();
    drop(conn);
    let begin = std::time::Instant::now();
    let list = world.run(&["journal", "list", "--state=all", "--json", "--limit=5"]).json();
    assert_eq!((list["rows"].as_array().unwrap().len(), &list["left_out"]), (5, &11_998.into()));
    assert_eq!(world.done(&["journal", "export", "--tid=T3"]).lines().count(), 1 + 1200);
    assert!(begin.elapsed() < Duration::from_secs(20));
}
