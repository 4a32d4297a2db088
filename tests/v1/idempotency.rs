//! `Idempotency-Key`: sent once, and the current truth for whoever asks again.

use serde_json::{Value, json};
use socketqueue::net::clock::Clock;
use socketqueue::time::Now;

use crate::api::{Client, answer, mti, sale, scene, serve_one, with_bank};
use crate::process::PATIENCE;

const KEY: (&str, &str) = ("Idempotency-Key", "order-4711");

#[test]
fn in_flight_the_new_request_becomes_the_client_and_gets_the_answer() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let (mut first, mut second) = (scene.client(), scene.client());
    let request = sale(1, 1);
    first.begin(&request, &[KEY]);
    let sent = link.frame();
    second.begin(&request, &[KEY]);
    first.reply().is_problem(409, "superseded");
    link.send_frame(&answer(&sent, "000"));
    let reply = second.reply();
    assert_eq!((reply.status, &reply.body["answer"]["class"]), (200, &json!("approved")), "{}", reply.text);
    // It was delivered: nothing is reversed, and the next that the host gets is the next sale.
    second.begin(&sale(1, 2), &[]);
    serve_one(&mut link, "0200", "000");
    assert_eq!(second.reply().status, 200);
}

#[test]
fn delivery_to_the_new_client_is_what_counts() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let (mut first, mut second) = (scene.client(), scene.client());
    let request = sale(1, 1);
    first.begin(&request, &[KEY]);
    let sent = link.frame();
    second.begin(&request, &[KEY]);
    first.reply().is_problem(409, "superseded");
    second.reset();
    // Both connections are known to be gone before the approval comes.
    drop(first);
    let mut log = String::new();
    let begin = std::time::Instant::now();
    while log.matches("client disconnected").count() < 2 {
        log = scene.process.log();
        assert!(begin.elapsed() < PATIENCE, "{log}");
    }
    link.send_frame(&answer(&sent, "000"));
    serve_one(&mut link, "0400", "000");
}

#[test]
fn after_delivery_it_is_the_same_answer_however_the_body_is_written_and_the_host_gets_nothing() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    let request = sale(1, 1);
    client.begin(&request, &[KEY]);
    serve_one(&mut link, "0200", "116");
    let first = client.reply();
    assert_eq!((first.status, &first.body["answer"]["class"]), (200, &json!("declined")));
    let mut other = request.clone();
    other["4"] = 1000.into();
    other.as_object_mut().unwrap().remove("11");
    other["System Trace Audit Number"] = 1.into();
    let again = client.post_with(&other, &[KEY]);
    assert_eq!((again.status, &again.body["state"]), (200, &json!("delivered")), "{}", again.text);
    assert_eq!((again.id(), &again.body["answer"]), (first.id(), &first.body["answer"]));
    other["4"] = 1001.into();
    client.post_with(&other, &[KEY]).is_problem(409, "idempotency_key_reused");
    client.begin(&sale(2, 2), &[]);
    let next = serve_one(&mut link, "0200", "000");
    assert!(next.windows(8).any(|part| part == b"00000002"), "the host got nothing in between");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn once_a_reversal_is_on_its_way_it_is_never_the_approval() {
    let scene = scene(&["--queueTimeout=1"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    let request = sale(1, 1);
    client.begin(&request, &[KEY]);
    let sent = link.frame();
    let first = client.reply();
    first.is_problem(504, "sent_no_reply");
    let reversal = link.frame();
    assert_eq!(mti(&reversal), "0400");
    link.send_frame(&answer(&sent, "000"));
    scene.until(&first.id(), |body| body["cause"] == "reply_late");
    let again = client.post_with(&request, &[KEY]);
    again.is_problem(504, "reply_late");
    assert_eq!((again.id(), &again.body["state"]), (first.id(), &json!("reversal_pending")));
    assert_eq!(again.body["answer"], Value::Null);
    link.send_frame(&answer(&reversal, "000"));
    scene.until(&first.id(), |body| body["state"] == "reversed");
    let again = client.post_with(&request, &[KEY]);
    again.is_problem(504, "reply_late");
    assert_eq!(
        (&again.body["state"], &again.body["reversal"]["state"]),
        (&json!("reversed"), &json!("accepted"))
    );
    assert_eq!(again.header("retry-after"), None);
}

#[test]
fn a_refused_reversal_makes_it_parked() {
    let scene = scene(&["--queueTimeout=1"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    let request = sale(1, 1);
    client.begin(&request, &[KEY]);
    link.frame();
    let first = client.reply();
    serve_one(&mut link, "0400", "904");
    scene.until(&first.id(), |body| body["state"] == "parked");
    let again = client.post_with(&request, &[KEY]);
    again.is_problem(504, "sent_no_reply");
    assert_eq!(
        (&again.body["state"], &again.body["reversal"]["state"]),
        (&json!("parked"), &json!("parked"))
    );
}

#[test]
fn a_repetition_is_known_also_when_its_local_time_has_expired() {
    let (_process, http) = with_bank(&[]);
    let mut client = Client::connect(http);
    // 28 s ago: valid for two more seconds (the dialect allows 30).
    let aged = |tid: u32| {
        let now = Clock::new(Some("UTC")).unwrap().now();
        let then = Now { wall_ms: now.wall_ms - 28_000, ..now };
        let mut request = sale(tid, 1);
        request["12"] = String::from_utf8(then.local().yymmddhhmmss().to_vec()).unwrap().into();
        request
    };
    let (request, mut control) = (aged(1), aged(2));
    let first = client.post_with(&request, &[KEY]);
    assert_eq!(first.status, 200, "{}", first.text);
    let begin = std::time::Instant::now();
    for stan in 2.. {
        control["11"] = format!("{stan:06}").into();
        if client.post(&control).status == 422 {
            break;
        }
        assert!(begin.elapsed() < PATIENCE);
    }
    let again = client.post_with(&request, &[KEY]);
    assert_eq!((again.status, again.id()), (200, first.id()), "{}", again.text);
    // Under another key it is new, and too old.
    let other = client.post_with(&request, &[("Idempotency-Key", "another")]);
    other.is_problem(422, "invalid");
    assert_eq!(other.body["violations"][0]["rule"], "age");
    // With another body it is told so, not sent.
    control["41"] = "00000001".into();
    client.post_with(&control, &[KEY]).is_problem(409, "idempotency_key_reused");
}

#[test]
fn when_no_more_keys_can_be_remembered_new_ones_are_refused_and_known_ones_are_not() {
    let scene = scene(&["--idempotencyMax=1"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    let request = sale(1, 1);
    client.begin(&request, &[KEY]);
    serve_one(&mut link, "0200", "000");
    assert_eq!(client.reply().status, 200);
    let refused = client.post_with(&sale(2, 2), &[("Idempotency-Key", "another")]);
    refused.is_problem(503, "idempotency_store_full");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(client.post_with(&request, &[KEY]).status, 200);
    // Without a key it is taken, and cannot be asked for afterwards.
    client.begin(&sale(3, 3), &[]);
    serve_one(&mut link, "0200", "000");
    assert_eq!(client.reply().status, 200);
}
