//! `/v1` across `kill -9`: names, answers and idempotency keys of before the crash tell the truth, and nothing is sent
//! twice. And what monitoring sees of the journal meanwhile.

use std::time::Instant;

use serde_json::json;

use crate::process::PATIENCE;
use crate::world::{World, answer, label, read_answer, sale_fields};

/// Nothing of TID 1 is waiting to be sent: the next that the host gets is this probe.
fn only_the_probe_is_sent(gateway: &crate::world::Gateway, link: &mut crate::process::Line, tid: u32) {
    let probe = gateway.begin(&format!("probe-{tid}"), &sale_fields(tid, 1));
    let sent = link.frame();
    assert_eq!(label(&sent), format!("0200 {tid}/1"));
    link.send_frame(&answer(&sent, "000"));
    assert_eq!(read_answer(probe).0, 200);
}

#[test]
fn a_delivered_answer_is_told_after_a_crash_by_name_and_by_key_and_nothing_is_sent() {
    let world = World::new(&[]);
    for (code, class) in [("000", "approved"), ("116", "declined")] {
        let (gateway, mut link) = (world.start(), world.host.link());
        let stan = if code == "000" { 7 } else { 8 };
        let (key, request) = (format!("order-{code}"), sale_fields(1, stan));
        let asked = gateway.begin(&key, &request);
        let sent = link.frame();
        link.send_frame(&answer(&sent, code));
        let (status, first) = read_answer(asked);
        assert_eq!((status, &first["answer"]["class"]), (200, &json!(class)));
        assert_eq!(first["answer"].get("restored"), None);
        let row = if code == "000" { 1 } else { 3 };
        world.await_number(&format!("SELECT stage FROM records WHERE id = {row}"), 7);
        gateway.kill();

        let (gateway, mut link) = (world.start(), world.host.link());
        let name = first["id"].as_str().unwrap();
        let (status, now) = gateway.get(&format!("/v1/transactions/{name}"));
        assert_eq!((status, &now["state"], &now["cause"]), (200, &json!("delivered"), &json!(null)));
        let kept = &now["answer"];
        assert_eq!((&kept["class"], &kept["restored"]), (&json!(class), &json!(true)));
        for n in ["3", "4", "11", "12", "37", "39", "41", "49"] {
            assert_eq!(kept["fields"][n], first["answer"]["fields"][n], "{n}");
        }
        assert_eq!(kept["fields"].get("35").or(kept["fields"].get("2")), None, "card data is not kept");
        let (status, again) = gateway.post(&key, &request);
        assert_eq!((status, &again["id"], &again["answer"]), (200, &first["id"], kept));
        let (status, other) = gateway.post(&key, &sale_fields(1, 99));
        assert_eq!((status, &other["cause"]), (409, &json!("idempotency_key_reused")));
        only_the_probe_is_sent(&gateway, &mut link, 100 + stan);
        world.await_number("SELECT COUNT(*) FROM records WHERE stage <> 7", 0);
        gateway.kill();
    }
}

#[test]
fn killed_in_flight_a_retry_is_told_of_the_reversal_and_never_sent_again() {
    let world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let request = sale_fields(1, 7);
    let _cut = gateway.begin("order-1", &request);
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();

    let (gateway, mut link) = (world.start(), world.host.link());
    let reversal = link.frame();
    assert_eq!(label(&reversal), "0400 1/7");
    let (status, told) = gateway.post("order-1", &request);
    assert_eq!((status, &told["state"]), (409, &json!("reversal_pending")), "{told}");
    assert_eq!(told["cause"], "restarted");
    link.send_frame(&answer(&reversal, "000"));
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    let (status, told) = gateway.post("order-1", &request);
    assert_eq!(
        (status, &told["state"], &told["reversal"]["state"]),
        (409, &json!("reversed"), &json!("accepted"))
    );
    let name = told["id"].as_str().unwrap().to_owned();
    // And so it is after another crash.
    gateway.kill();
    let (gateway, mut link) = (world.start(), world.host.link());
    let (status, now) = gateway.get(&format!("/v1/transactions/{name}"));
    assert_eq!((status, &now["state"], &now["answer"]), (200, &json!("reversed"), &json!(null)));
    assert_eq!(now["cause"], "restarted");
    assert_eq!(gateway.post("order-1", &request).0, 409);
    only_the_probe_is_sent(&gateway, &mut link, 101);
}

#[test]
fn an_approval_whose_delivery_the_journal_does_not_know_is_reversed_and_the_retry_says_so() {
    let world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let request = sale_fields(1, 7);
    let asked = gateway.begin("order-1", &request);
    let sent = link.frame();
    link.send_frame(&answer(&sent, "000"));
    assert_eq!(read_answer(asked).0, 200);
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    gateway.kill();
    // As if the crash had come between the answer's commit and the end's.
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    conn.execute("UPDATE records SET stage = 1, outcome = NULL, ended_ms = NULL", []).unwrap();
    drop(conn);
    let (gateway, mut link) = (world.start(), world.host.link());
    assert_eq!(label(&link.frame()), "0400 1/7");
    let (status, told) = gateway.post("order-1", &request);
    assert_eq!(
        (status, &told["state"], told.get("answer")),
        (409, &json!("reversal_pending"), None),
        "{told}"
    );
}

#[test]
fn what_a_person_resolved_keeps_its_key() {
    let world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let request = sale_fields(1, 7);
    let asked = gateway.begin("order-1", &request);
    assert_eq!(label(&link.frame()), "0200 1/7");
    drop(link);
    let (status, first) = read_answer(asked);
    assert_eq!((status, &first["cause"]), (504, &json!("sent_no_reply")));
    link = world.host.link();
    let reversal = link.frame();
    world.reject(&mut link, &reversal, 1);
    world.done(&["journal", "resolve", "1", "--reason=the bank has none"]);
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    gateway.kill();
    let (gateway, mut link) = (world.start(), world.host.link());
    let (status, told) = gateway.post("order-1", &request);
    assert_eq!((status, &told["state"], &told["id"]), (409, &json!("parked"), &first["id"]), "{told}");
    assert_eq!(told["cause"], "restarted", "that the host had not answered is not kept");
    only_the_probe_is_sent(&gateway, &mut link, 101);
}

#[test]
fn after_its_ttl_a_key_is_forgotten_and_a_name_names_nothing_else() {
    let world = World::new(&["--idempotencyTtl=1h"]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let asked = gateway.begin("order-1", &sale_fields(1, 7));
    let sent = link.frame();
    link.send_frame(&answer(&sent, "000"));
    let (_, first) = read_answer(asked);
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    gateway.kill();
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    conn.execute("UPDATE records SET received_ms = received_ms - 3700000, ended_ms = ended_ms - 3700000", [])
        .unwrap();
    drop(conn);
    let (gateway, mut link) = (world.start(), world.host.link());
    let name = first["id"].as_str().unwrap();
    assert_eq!(gateway.get(&format!("/v1/transactions/{name}")).0, 404);
    let asked = gateway.begin("order-2", &sale_fields(1, 8));
    let sent = link.frame();
    link.send_frame(&answer(&sent, "000"));
    let (_, second) = read_answer(asked);
    assert_ne!(first["id"], second["id"], "numbers go on across processes");
    assert_eq!(gateway.get(&format!("/v1/transactions/{name}")).0, 404);
}

#[test]
fn the_books_add_up_with_what_was_recovered() {
    let world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let _cut = gateway.begin("order-1", &sale_fields(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    let (gateway, mut link) = (world.start(), world.host.link());
    let sample = |name: &str| gateway.sample(&format!("socketqueue_{name}"));
    assert_eq!(sample("transactions_recovered_total{upstream=\"upstream\"}"), 1.0);
    assert_eq!(sample("journal_open_rows{upstream=\"upstream\"}"), 1.0);
    assert_eq!(sample("counting_gap{upstream=\"upstream\"}"), 0.0);
    let reversal = link.frame();
    link.send_frame(&answer(&reversal, "000"));
    world.await_number("SELECT stage FROM records WHERE id = 1", 7);
    let reversed = "transactions_total{upstream=\"upstream\",mti=\"0200\",class=\"none\",state=\"reversed\"}";
    assert_eq!(sample(reversed), 1.0);
    assert_eq!(sample("counting_gap{upstream=\"upstream\"}"), 0.0);
    assert_eq!(sample("transactions_open{upstream=\"upstream\"}"), 0.0);
    // What can be read is in the log, and durable with the next sync.
    let begin = Instant::now();
    while sample("journal_end_lag_seconds{upstream=\"upstream\"}") != 0.0 {
        assert!(begin.elapsed() < PATIENCE, "an end does not become durable");
    }
    assert!(sample("journal_commit_seconds_count{upstream=\"upstream\"}") >= 1.0);
    assert!(sample("journal_batch_operations_sum{upstream=\"upstream\"}") >= 1.0);
}

#[test]
fn while_intents_fail_it_is_not_ready_and_afterwards_it_is_again() {
    let world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    gateway.process.logs("upstream link is up");
    assert_eq!(gateway.look("/readyz").0, 200);
    // Another program keeps the file to itself: commits fail after five seconds.
    let conn = rusqlite::Connection::open(world.journal()).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (status, told) = gateway.post("order-1", &sale_fields(1, 7));
    assert_eq!((status, &told["cause"]), (503, &json!("not_sent_journal_down")), "{told}");
    let (status, why) = gateway.look("/readyz");
    assert_eq!((status, &why["reason"]), (503, &json!("the journal takes no intents")));
    assert_eq!(gateway.sample("socketqueue_journal_up{upstream=\"upstream\"}"), 0.0);
    let failures = "socketqueue_journal_commit_failures_total{upstream=\"upstream\",outcome=\"not_done\"}";
    assert!(gateway.sample(failures) >= 1.0);
    let (_, state) = gateway.look("/v1/state");
    assert_eq!(state["upstreams"][0]["journal"]["up"], false);
    conn.execute_batch("ROLLBACK").unwrap();
    drop(conn);
    let begin = Instant::now();
    while gateway.look("/readyz").0 != 200 {
        assert!(begin.elapsed() < PATIENCE, "{}", gateway.process.log());
    }
    only_the_probe_is_sent(&gateway, &mut link, 101);
}

#[test]
fn what_a_new_configuration_cannot_read_keeps_its_key_and_waits_for_a_person() {
    let world = World::new(&[]);
    let (gateway, mut link) = (world.start(), world.host.link());
    let request = sale_fields(1, 7);
    let _cut = gateway.begin("order-1", &request);
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    // Keys of the links have DE 38 from now on, which the sale did not have: nobody could match its answers.
    let gateway = world.start_with(&["--queueMessageKeyFields=11,38,41"]);
    let _link = world.host.link();
    gateway.process.logs("a person must act");
    world.await_number("SELECT stage FROM records WHERE id = 1", 6);
    assert_eq!(world.rows(&["--state=listed"]).len(), 1);
    let mut with_key = request.clone();
    with_key["38"] = "123456".into();
    let (status, told) = gateway.post("order-1", &with_key);
    assert_eq!((status, &told["cause"]), (409, &json!("idempotency_key_reused")), "{told}");
    let refused = world.run(&["journal", "resolve", "1", "--reason=x"]);
    assert!(refused.code == 1 && refused.err.contains("stop the gateway, and decide then"), "{refused:?}");
    gateway.kill();
    let gateway = world.start();
    let mut link = world.host.link();
    // Read again, it still waits for a person: it was listed.
    let (status, told) = gateway.post("order-1", &request);
    assert_eq!((status, &told["state"]), (409, &json!("listed")), "{told}");
    world.done(&["journal", "retry", "1", "--reason=the configuration is back"]);
    assert_eq!(label(&link.frame()), "0400 1/7");
}
