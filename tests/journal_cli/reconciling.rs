//! `reconcile`: our records of today against a host's list.

use std::fs;

use serde_json::Value;
use socketqueue::net::clock::Clock;

use crate::process::Line;
use crate::world::{LEAVERS, PAN, World, answer, leave, sale};

/// Rows: 1 parked (TID 1), 2 delivered (TID 2), 3 declined (TID 3), 4 reversed (TID 4); all of STAN 7 and 10.00.
fn world() -> World {
    let world = World::new(&LEAVERS);
    let (gateway, mut link) = world.with_a_parked_reversal();
    for (tid, code) in [(2, "000"), (3, "116")] {
        let mut client = Line::connect(gateway.clients);
        client.write(&sale(tid, 7));
        let sent = link.frame();
        let reply = answer(&sent, code);
        link.send_frame(&reply);
        assert_eq!(client.read(reply.len()), reply);
    }
    let reversal = leave(&gateway, &mut link, 4);
    link.send_frame(&answer(&reversal, "000"));
    world.await_number("SELECT COUNT(*) FROM records WHERE stage = 7", 3);
    gateway.kill();
    // All hosts of these tests give the same RRN: one for each, as a real one does.
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    conn.execute("UPDATE records SET rrn = printf('%012d', id) WHERE id = 2", []).unwrap();
    world
}

fn today() -> String {
    let local = Clock::new(Some("UTC")).unwrap().now().local();
    format!("{:04}-{:02}-{:02}", local.year, local.month, local.day)
}

fn list(world: &World, text: &str) {
    fs::write(world.directory.path().join("bank.csv"), text).unwrap();
}

fn compare(world: &World, more: &[&str]) -> (i32, Value) {
    let today = format!("--date={}", today());
    let words = ["reconcile", "--bank-file=bank.csv", "--timezone=UTC", "--json", &today];
    let said = world.run(&[&words[..], more].concat());
    assert_eq!(said.err, "", "{said:?}");
    (said.code, said.json())
}

fn kinds(report: &Value) -> Vec<String> {
    let told = |one: &Value| format!("{} {} {}", one["kind"].as_str().unwrap(), one["row"], one["line"]);
    report["differences"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn what_differs_is_listed_with_row_and_line_and_the_exit_code_says_so() {
    let world = world();
    list(
        &world,
        "Terminal;Trace;Sum;Card;Ref\n\
         00000002;7;10,00;4850781234567891;2\n\
         3;000007;10,00;4850781234567891;\n\
         4;7;10,00;;\n\
         9;1;5,5;;\n",
    );
    let layout = ["--delimiter=;", "--decimal=,", "--columns=tid=terminal,stan=Trace,amount=3,rrn=Ref"];
    let (code, report) = compare(&world, &layout);
    assert_eq!(code, 1);
    assert_eq!(
        kinds(&report),
        [
            "open_and_not_in_bank 1 null",
            "bank_has_what_we_do_not 3 3",
            "bank_has_what_we_reversed 4 4",
            "in_bank_not_ours null 5",
        ]
    );
    assert_eq!(report["agreed"], 1);
    assert_eq!(
        report["differences"][2]["ours"],
        serde_json::json!({ "state": "reversed", "amount": "10.00" })
    );
    let total = &report["totals"]["bank"][0];
    assert_eq!(
        (&total["count"], &total["amount"], &total["currency"]),
        (&4.into(), &"35.50".into(), &"810".into())
    );
    let words = ["reconcile", "--bank-file=bank.csv", "--timezone=UTC", &format!("--date={}", today())];
    let said = world.run(&[&words[..], &layout].concat());
    assert_eq!(said.code, 1);
    for part in [
        "bank has a sale that we reversed",
        "in bank, not ours",
        "1 agree, 4 differ",
        "bank: 4 that stand, 35.50 810",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
}

#[test]
fn when_all_agree_the_exit_code_is_0() {
    let world = world();
    world.done(&["journal", "resolve", "1", "--reason=the bank has none"]);
    list(
        &world,
        "tid,stan,amount,code,mti\n2,7,10.00,000,0200\n3,7,10.00,116,0200\n4,7,10,000,0200\n4,7,10,000,0400\n",
    );
    let (code, report) = compare(&world, &[]);
    assert_eq!((code, kinds(&report)), (0, vec![]), "{report}");
    assert_eq!((&report["equal"], &report["agreed"]), (&true.into(), &4.into()));
    // In minor units, without a head, tabs between; only what the bank approved by its own codes.
    list(&world, "x\t2\t7\t1000\tA1\nx\t9\t9\t1000\tD2\n");
    let layout = [
        "--delimiter=tab",
        "--no-header",
        "--columns=tid=2,stan=3,amount=4,code=5",
        "--amounts=minor",
        "--approved=A1,A2",
    ];
    assert_eq!(compare(&world, &layout).0, 0);
    list(&world, "tid,stan,amount\n2,7,10.01\n");
    assert_eq!(kinds(&compare(&world, &[]).1), ["amount_differs 2 2"]);
    list(&world, "tid,stan,amount\n");
    assert_eq!(kinds(&compare(&world, &[]).1), ["ours_not_in_bank 2 null"]);
}

#[test]
fn what_cannot_be_compared_is_told_with_exit_code_2_and_no_value() {
    let world = world();
    let word = |words: &[&str]| {
        let said = world.run(&[&["reconcile", "--timezone=UTC"], words].concat());
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{words:?}: {said:?}");
        said.err
    };
    list(&world, &format!("tid,stan,amount\n1,{PAN},10\n2,7,{PAN}{PAN}\n3,7,x\n"));
    let told = word(&["--bank-file=bank.csv"]);
    for part in [
        "line 2, column stan (2): has 16 characters, 12 at most",
        "line 3, column amount (3)",
        "line 4, column amount (3)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    list(&world, "tid,stan,amount\n1,7,10\n");
    for (words, says) in [
        (&["--bank-file=none.csv"][..], "none.csv"),
        (&["--bank-file=bank.csv", "--date=today"], "--date"),
        (&["--bank-file=bank.csv", "--columns=pan=1"], "names are stan"),
        (&["--bank-file=bank.csv", "--columns=tid=Shop,stan=2"], "no column"),
        (&["--bank-file=bank.csv", "--delimiter=;;"], "--delimiter"),
        (&["--bank-file=bank.csv", "--no-header"], "by number"),
        (&["--bank-file=bank.csv", "--currency=EUR"], "--currency"),
        (&["--bank-file=bank.csv", "--hostConfig=nobody"], "--hostConfig"),
        (&["--bank-file=bank.csv", "--journalFile=none.journal"], "there is no such journal"),
        (&["--bank-file=bank.csv", "-c", "none.json"], "none.json"),
        (&[], "--bank-file"),
        (&["--bank-file=bank.csv", "--amounts=small"], "minor"),
    ] {
        let told = word(words);
        assert!(told.contains(says), "{words:?}: {told}");
    }
}

#[test]
fn without_a_date_it_is_yesterday() {
    let world = world();
    list(&world, "tid,stan,amount\n2,7,10\n");
    let said = world.run(&["reconcile", "--bank-file=bank.csv", "--timezone=UTC", "--json"]);
    let report = said.json();
    assert_ne!(report["date"], today());
    // Of today are all our records: they are not missed, and the line about one of them is explained.
    assert_eq!(
        (said.code, &report["of_other_days"], &report["agreed"]),
        (0, &1.into(), &0.into()),
        "{report}"
    );
    let help = world.done(&["reconcile", "--help"]);
    assert!(help.contains("Examples:") && help.contains("socketqueue reconcile --bank-file"), "{help}");
}
