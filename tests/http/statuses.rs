//! The table of statuses (a5 of SocketQueue's recorded behaviour, and what it crashed on or hung up).

use std::time::Duration;

use serde_json::json;

use crate::exchange::{ask, bytes, echo, hex, post, response, sale};
use crate::plumbing::{start, start_with};

#[tokio::test(start_paused = true)]
async fn what_can_be_no_message_gets_the_status_and_the_text_of_the_table() {
    let world = start();
    let mut huge = b"{\"0\":\"0800\",\"11\":".to_vec();
    huge.resize(900_000, b'7');
    huge.push(b'}');
    for (body, status, error) in [
        (&b""[..], 400, "the JSON of the body ends too early (line 1, column 0)"),
        (b"{\"0\": \"0800\",", 400, "the JSON of the body ends too early (line 1, column 13)"),
        (b"{\"0\": 0800}", 400, "the body is no well-formed JSON in UTF-8, see line 1, column 8"),
        (b"{\"0\": \"0800\xFF\"}", 400, "the body is no well-formed JSON in UTF-8, see line 1, column 12"),
        (b"null", 400, "the body is no JSON object of at most 386 members (line 1, column 4)"),
        (&huge, 400, "the body is no well-formed JSON in UTF-8, see line 1, column 900000"),
        (b"123", 500, "Failed to parse packet!"),
        (b"[]", 500, "Failed to parse packet!"),
        (b"\"0800\"", 500, "Failed to parse packet!"),
        (b"{}", 500, "Failed to parse packet!"),
        (b"{\"3\":\"990000\"}", 500, "Failed to parse packet!"),
        (b"{\"0\":\"0000\",\"3\":\"990000\"}", 500, "Failed to parse packet!"),
        (b"{\"0\":\"02000\",\"3\":\"990000\"}", 500, "Failed to parse packet!"),
        (b"{\"0\":\"xxxx\"}", 500, "Field 0 expected to be numeric"),
    ] {
        let response = ask(&world, "/", body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!((response.status, response.errors()), (status, vec![error.to_owned()]), "{shown}");
        assert_eq!(response.json()["result"], "");
        assert!(
            response.body.ends_with("}\n") && response.head.contains("content-type: application/json\r\n")
        );
    }
}

/// D10 and D19: unknown fields and nested values, each of which killed SocketQueue or went to the host.
#[tokio::test(start_paused = true)]
async fn members_that_can_be_no_fields_are_all_told_at_once_with_what_else_is_wrong() {
    let world = start();
    let body = br#"{"0":"0800","48":"ABC","foo":1,"4":{"a":[1]},"5":[1,2],"6":true,"8":1.5,"9":-1,"10":18446744073709551616,
        "11":"1","11":"2","System Trace Audit Number":3,"193":"1","4850781234567891":"x","24":"831","3":"99 000","41":null}"#;
    let response = ask(&world, "/", body).await;
    assert_eq!(response.status, 400);
    assert_eq!(
        response.errors(),
        [
            "Field 48 is not part of the dialect smartVista",
            "\"foo\" is no field number and no field name of the dialect smartVista",
            "Field 4 must be a string or a whole number, not an object",
            "Field 5 must be a string or a whole number, not a list",
            "Field 6 must be a string or a whole number, not true or false",
            "Field 8 must be a string or a whole number, not a number with a fraction, an exponent or more than 19 digits",
            "Field 9 must be a string or a whole number, not a negative number",
            "Field 10 must be a string or a whole number, not a number with a fraction, an exponent or more than 19 digits",
            "Field 11 is given more than once",
            "Field 11 is given more than once",
            "Field 193 is not part of the dialect smartVista",
            "a key of 16 characters is no field number and no field name of the dialect smartVista",
            "No field 7",
            "No field 41",
            "Field 3 expected to be numeric",
        ]
    );
    assert!(!world.log().iter().any(|line| line.contains("4850781234567891")));
}

/// The recorded cases val-001, val-002 and val-006, val-010 with the limit that SocketQueue cut at.
#[tokio::test(start_paused = true)]
async fn broken_rules_of_the_dialect_are_500_with_all_of_them() {
    let world = start();
    let response = ask(&world, "/", br#"{"0":"0200","3":0,"4":100}"#).await;
    let missing = [7, 11, 12, 22, 24, 25, 41, 42, 49].map(|n| format!("No field {n}"));
    assert_eq!((response.status, response.errors()), (500, missing.to_vec()));

    let mut sale = sale(&world, 1, 1);
    sale["4"] = json!("12A4");
    sale["41"] = json!("123456789");
    let response = ask(&world, "/", &bytes(&sale)).await;
    let errors = ["Field 4 expected to be numeric", "Field 41 is 9 long, at most 8 allowed"];
    assert_eq!((response.status, response.errors()), (500, errors.map(str::to_owned).to_vec()));
}

#[tokio::test(start_paused = true)]
async fn an_expired_request_is_500_with_socketqueues_words() {
    let world = start();
    let mut sale = sale(&world, 1, 1);
    sale["12"] = json!("150820130600");
    let response = ask(&world, "/", &bytes(&sale)).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (500, "{\"result\":\"\",\"errors\":[\"Packet is expired!\"]}\n")
    );
    let mut image = world.sale(1, 1).to_vec();
    // DE 12 begins behind MTI, bitmap and DE 3, 4, 7, 11.
    let at = 4 + 8 + 6 + 12 + 10 + 6;
    image[at..at + 12].copy_from_slice(b"150820130600");
    let response = ask(&world, "/raw", hex(&image).as_bytes()).await;
    assert_eq!((response.status, response.body.as_str()), (500, "Packet is expired!\n"));
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_405_and_other_paths_404() {
    let world = start();
    for (request, status, error) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Method Not Allowed"),
        ("PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "Method Not Allowed"),
        ("POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404, "Not Found"),
        ("GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, "Not Found"),
    ] {
        let mut client = world.http_client();
        client.write(request.as_bytes()).await;
        let response = response(&mut client).await;
        assert_eq!((response.status, response.errors()), (status, vec![error.to_owned()]), "{request}");
        assert_eq!(response.head.contains("allow: POST"), status == 405);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_raw_have_a_text() {
    let world = start();
    for (body, error) in [
        ("hello world", "Failed to parse packet! The body must be hex, see character 1\n"),
        ("303", "Failed to parse packet! The body must have an even number of hex digits, not 3\n"),
        (
            "30383030",
            "Failed to parse packet! Field 1 at byte 4 is cut off: 12 bytes needed so far, 4 there\n",
        ),
    ] {
        let response = ask(&world, "/raw", body.as_bytes()).await;
        assert_eq!((response.status, response.body.as_str()), (500, error), "{body}");
        assert!(response.head.contains("content-type: text/plain"));
    }
    let mut trailing = world.echo(1, 1).to_vec();
    trailing.extend_from_slice(b"JUNK");
    let response = ask(&world, "/raw", hex(&trailing).as_bytes()).await;
    assert_eq!(response.status, 500);
    assert!(response.body.contains("4 bytes"), "{}", response.body);
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_504_and_the_sale_is_reversed() {
    let mut world = start();
    let mut link = world.link().await;
    let response = ask(&world, "/", &bytes(&sale(&world, 1, 1))).await;
    assert_eq!((response.status, response.errors()), (504, vec!["Gateway timeout".to_owned()]));
    assert_eq!(world.elapsed().as_secs(), 35);
    link.expect("0200").await;
    link.expect("0400").await;
}

#[tokio::test(start_paused = true)]
async fn no_link_is_503_to_be_tried_again() {
    let world = start_with(|setup| setup.refuse_first = usize::MAX);
    for path in ["/", "/raw"] {
        let body = if path == "/" { bytes(&echo(1, 1)) } else { hex(&world.echo(1, 1)).into_bytes() };
        let response = ask(&world, path, &body).await;
        assert_eq!(response.status, 503);
        assert!(response.body.contains("No link to the host; nothing was sent"), "{}", response.body);
        assert!(response.head.contains("retry-after: 1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_under_a_sale_is_504_and_says_that_the_outcome_is_not_known() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    client.write(&post("/", &bytes(&sale(&world, 1, 1)))).await;
    link.expect("0200").await;
    drop(link);
    let response = response(&mut client).await;
    let error = "The link to the host was lost; the outcome is not known".to_owned();
    assert_eq!((response.status, response.errors()), (504, vec![error]));
    world.link().await.expect("0400").await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_503() {
    let mut world = start_with(|setup| setup.upstream.mux.queue_max = 1);
    let mut link = world.link().await;
    let mut first = world.http_client();
    first.write(&post("/", &bytes(&echo(1, 1)))).await;
    let held = link.expect("0800").await;
    let refused = ask(&world, "/", &bytes(&echo(2, 2))).await;
    assert_eq!((refused.status, refused.errors()), (503, vec!["Queue is full".to_owned()]));
    link.send(&world.answer(&held, "000")).await;
    assert_eq!(response(&mut first).await.status, 200);
}

/// The recorded case lc-002: what is in flight is answered, what is new is told.
#[tokio::test(start_paused = true)]
async fn while_the_gateway_drains_new_requests_are_503_and_the_connection_closes() {
    let mut world = start();
    let mut link = world.link().await;
    let (mut busy, mut idle) = (world.http_client(), world.http_client());
    idle.write(&post("/", b"{}")).await;
    response(&mut idle).await;
    busy.write(&post("/", &bytes(&echo(1, 1)))).await;
    let held = link.expect("0800").await;
    let handle = world.handle.clone();
    let drained = tokio::spawn(async move { handle.drain(Duration::from_secs(20)).await });
    assert!(idle.end().await.is_empty());
    let refused = ask(&world, "/", &bytes(&echo(2, 2))).await;
    assert_eq!((refused.status, refused.errors()), (503, vec!["Service Temporarily Unavailable".to_owned()]));
    link.send(&world.answer(&held, "000")).await;
    let answered = response(&mut busy).await;
    assert_eq!(answered.status, 200);
    assert!(answered.head.contains("connection: close"), "{}", answered.head);
    assert!(busy.end().await.is_empty());
    assert!(drained.await.unwrap().is_some());
    world.http.at_rest().await;
}
