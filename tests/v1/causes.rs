//! Each cause, made by a real fault.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::api::{CANARY, Client, answer, echo, flags, mti, sale, scene, serve_one};
use crate::process::Process;

const PENDING: &str = "pending";

fn reversal_state(body: &Value) -> &str {
    body["reversal"]["state"].as_str().unwrap_or("none")
}

#[test]
fn an_approval_has_every_value_as_a_string_and_field_55_taken_apart() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    let mut request = sale(1, 7);
    // Application cryptogram 9F26, and template 70 with the PAN's tag 5A in it.
    request["55"] = "9F2602AABB70045A021234".into();
    client.begin(&request, &[]);
    serve_one(&mut link, "0200", "000");
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let answer = &reply.body["answer"];
    assert_eq!((&answer["class"], &reply.body["state"]), (&json!("approved"), &json!("answered")));
    for (field, value) in
        [("0", "0210"), ("4", "000000001000"), ("11", "000007"), ("39", "000"), ("41", "00000001")]
    {
        assert_eq!(answer["fields"][field], value, "{field}");
    }
    let objects = json!([
        {"tag": "9F26", "value": "aabb"}, {"tag": "70", "value": "5a021234"}, {"tag": "5A", "value": "1234"},
    ]);
    assert_eq!(answer["icc"], objects);
    let location = format!("/v1/transactions/{}", reply.id());
    assert_eq!(reply.header("location"), Some(location.as_str()));
    // On the same connection: kept alive.
    let looked = client.get(&location);
    assert_eq!((looked.status, &looked.body["state"]), (200, &json!("delivered")));
    assert_eq!(looked.body["answer"], reply.body["answer"]);
    // The log names the transaction by the number that stands in its id.
    let number = reply.id().split('_').nth(1).unwrap().to_owned();
    scene.process.logs(&number);
}

#[test]
fn not_sent_link_down() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Process::start(&flags(port, &["--queueTimeout=1"]));
    let reply = Client::connect(process.address("http")).post(&sale(1, 1));
    reply.is_problem(503, "not_sent_link_down");
    assert!(reply.header("retry-after").is_some());
    assert_eq!((&reply.body["state"], &reply.body["reversal"]), (&json!("never_sent"), &Value::Null));
}

#[test]
fn not_sent_queue_full() {
    let scene = scene(&["--maxQueue=1"]);
    let mut link = scene.host.link();
    let mut first = scene.client();
    first.begin(&sale(1, 1), &[]);
    let request = link.frame();
    let reply = scene.client().post(&sale(2, 2));
    reply.is_problem(503, "not_sent_queue_full");
    assert!(reply.header("retry-after").is_some());
    link.send_frame(&answer(&request, "000"));
    assert_eq!(first.reply().status, 200);
}

#[test]
fn not_sent_expired() {
    let scene = scene(&["--queueTimeout=1"]);
    let mut link = scene.host.link();
    let (mut first, mut second) = (scene.client(), scene.client());
    first.begin(&echo(1, 1), &[]);
    link.frame();
    // Its terminal is busy until the first gives up; then too little of its own time is left.
    second.begin(&echo(1, 2), &[]);
    let reply = first.reply();
    reply.is_problem(504, "sent_no_reply");
    assert_eq!((&reply.body["state"], &reply.body["reversal"]), (&json!("unanswered"), &Value::Null));
    second.reply().is_problem(503, "not_sent_expired");
}

#[test]
fn sent_no_reply_says_how_its_reversal_stands_and_holds_terminal_and_key() {
    let scene = scene(&["--queueTimeout=1", "--reversalTimeout=20"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.begin(&sale(1, 1), &[]);
    assert_eq!(mti(&link.frame()), "0200");
    let reply = client.reply();
    reply.is_problem(504, "sent_no_reply");
    assert_eq!((&reply.body["state"], reversal_state(&reply.body)), (&json!("reversal_pending"), PENDING));
    let reversal = link.frame();
    assert_eq!(mti(&reversal), "0400");
    client.post(&sale(1, 1)).is_problem(409, "key_reserved");
    client.post(&sale(1, 2)).is_problem(503, "terminal_held");
    link.send_frame(&answer(&reversal, "000"));
    let body = scene.until(&reply.id(), |body| body["state"] == "reversed");
    assert_eq!(body["reversal"], json!({"state": "accepted", "attempts": 1}));
    assert_eq!((&body["cause"], &body["answer"]), (&json!("sent_no_reply"), &Value::Null));
}

#[test]
fn a_lost_link_is_sent_no_reply_and_a_refused_reversal_is_parked() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.begin(&sale(1, 1), &[]);
    link.frame();
    drop(link);
    let reply = client.reply();
    reply.is_problem(504, "sent_no_reply");
    assert_eq!(reversal_state(&reply.body), PENDING);
    let mut link = scene.host.link();
    // 904, format error: the host will never take it (the dialect's `reject`).
    serve_one(&mut link, "0400", "904");
    let body = scene.until(&reply.id(), |body| body["state"] == "parked");
    assert_eq!(body["reversal"], json!({"state": "parked", "attempts": 1}));
}

#[test]
fn without_automatic_reversals_it_is_listed() {
    let scene = scene(&["--queueTimeout=1", "--noAutoReversal"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.begin(&sale(1, 1), &[]);
    link.frame();
    let reply = client.reply();
    reply.is_problem(504, "sent_no_reply");
    assert_eq!(reversal_state(&reply.body), "listed");
}

#[test]
fn reply_late() {
    let scene = scene(&["--queueTimeout=1"]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.begin(&sale(1, 1), &[]);
    let request = link.frame();
    let reply = client.reply();
    reply.is_problem(504, "sent_no_reply");
    let reversal = link.frame();
    link.send_frame(&answer(&request, "000"));
    let body = scene.until(&reply.id(), |body| body["cause"] == "reply_late");
    assert_eq!((&body["answer"], reversal_state(&body)), (&Value::Null, PENDING));
    link.send_frame(&answer(&reversal, "000"));
    let body = scene.until(&reply.id(), |body| body["state"] == "reversed");
    assert_eq!(body["cause"], "reply_late");
}

#[test]
fn client_gone() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    let request = sale(1, 1);
    client.begin(&request, &[("Idempotency-Key", "gone")]);
    let sent = link.frame();
    client.reset();
    scene.process.logs("client disconnected");
    link.send_frame(&answer(&sent, "000"));
    let reversal = link.frame();
    assert_eq!(mti(&reversal), "0400");
    let again = scene.client().post_with(&request, &[("Idempotency-Key", "gone")]);
    again.is_problem(409, "client_gone");
    assert_eq!((&again.body["state"], reversal_state(&again.body)), (&json!("reversal_pending"), PENDING));
    link.send_frame(&answer(&reversal, "000"));
    scene.until(&again.id(), |body| body["state"] == "reversed");
}

#[test]
fn draining() {
    let scene = scene(&[]);
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.begin(&sale(1, 1), &[]);
    let request = link.frame();
    scene.process.signal(Signal::TERM);
    scene.process.logs("draining");
    let reply = scene.client().post(&sale(2, 2));
    reply.is_problem(503, "draining");
    assert!(reply.header("retry-after").is_some());
    link.send_frame(&answer(&request, "000"));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn invalid_names_every_field_rule_and_limit() {
    let scene = scene(&[]);
    let mut request = sale(1, 1);
    request["4"] = "1x".into();
    request["42"] = "1".repeat(16).into();
    request.as_object_mut().unwrap().remove("49");
    let reply = scene.client().post(&request);
    reply.is_problem(422, "invalid");
    let violations: Vec<(&str, &str, &Value)> = reply.body["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["field"].as_str().unwrap(), one["rule"].as_str().unwrap(), &one["limit"]))
        .collect();
    assert_eq!(
        violations,
        [("49", "required", &Value::Null), ("4", "digits", &Value::Null), ("42", "max_length", &json!(15))]
    );
    let mut old = sale(1, 1);
    old["12"] = "260101000000".into();
    let reply = scene.client().post(&old);
    reply.is_problem(422, "invalid");
    assert_eq!(
        (&reply.body["violations"][0]["rule"], &reply.body["violations"][0]["limit"]),
        (&json!("age"), &json!(30))
    );
}

#[test]
fn what_can_not_be_read_is_answered_and_the_process_lives() {
    let scene = scene(&[]);
    let json = [("Content-Type", "application/json")];
    let post = |body: &str, headers: &[(&str, &str)]| {
        let mut client = scene.client();
        client.send("POST", "/v1/transactions", headers, body);
        client.reply()
    };
    post(&format!("{{\"2\":\"{CANARY}\""), &json).is_problem(400, "malformed");
    post(&format!("[\"{CANARY}\"]"), &json).is_problem(400, "malformed");
    post(&format!("{{\"0\":\"0200\",\"{CANARY}\":\"1\"}}"), &json).is_problem(400, "malformed");
    post(&format!("{{\"0\":\"0200\",\"2\":[\"{CANARY}\"]}}"), &json).is_problem(400, "malformed");
    post(&format!("{{\"0\":\"0200\",\"2\":\"{CANARY}\",\"2\":\"{CANARY}\"}}"), &json)
        .is_problem(400, "malformed");
    post(&format!("{{\"0\":\"0200\",\"3\":{}}}", "9".repeat(500_000)), &json).is_problem(400, "malformed");
    post(&"[".repeat(100_000), &json).is_problem(400, "malformed");
    post(&sale(1, 1).to_string(), &[]).is_problem(415, "unsupported_type");
    post(&sale(1, 1).to_string(), &[("Content-Type", "text/plain")]).is_problem(415, "unsupported_type");
    for key in ["", "a b", "ü", &"k".repeat(129)] {
        post(&sale(1, 1).to_string(), &[json[0], ("Idempotency-Key", key)]).is_problem(400, "malformed");
    }
    let mut client = scene.client();
    client.send("POST", "/v1/transactions", &json, &" ".repeat(1_000_001));
    client.reply().is_problem(413, "too_large");
    let mut client = scene.client();
    for (method, path, status, cause, allow) in [
        ("GET", "/v1/transactions", 405, "method_not_allowed", Some("POST")),
        ("DELETE", "/v1/transactions/x", 405, "method_not_allowed", Some("GET, HEAD")),
        ("POST", "/docs", 405, "method_not_allowed", Some("GET, HEAD")),
        ("GET", "/v1", 404, "not_found", None),
        ("GET", "/v1/nothing", 404, "not_found", None),
        ("GET", "/v1/transactions/tx_000000000000_0000000000000000", 404, "not_found", None),
        ("GET", "/v1/transactions/a/b", 404, "not_found", None),
    ] {
        client.send(method, path, &[], "");
        let reply = client.reply();
        reply.is_problem(status, cause);
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
    }
    let mut link = scene.host.link();
    client.begin(&echo(1, 1), &[]);
    serve_one(&mut link, "0800", "000");
    assert_eq!(client.reply().status, 200);
}
