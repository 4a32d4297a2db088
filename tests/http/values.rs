//! What an answer looks like.

use serde_json::json;

use crate::exchange::{ask, bytes, echo, hex, post, response, sale};
use crate::plumbing::{Peer, World, start, start_with};

async fn sale_answered(world: &World, link: &mut Peer) -> String {
    let mut client = world.http_client();
    let mut request = sale(world, 992_468, 618_160);
    request["55"] = json!("9f2701809f1a020643");
    client.write(&post("/", &bytes(&request))).await;
    let request = link.expect("0200").await;
    // As the host of the seed answers: DE 2 from track 2, DE 49 as sent, 37, 38 and 39 of its own.
    let mut answer = socketqueue::iso8583::Draft::of(&request);
    answer.set_mti(socketqueue::iso8583::Mti::new(0x0210));
    for (n, value) in [(2, "4850781234567891"), (37, "708981921851"), (38, "VaHYUU"), (39, "000")] {
        answer.set_text(socketqueue::iso8583::FieldNumber::new(n).unwrap(), value);
    }
    link.send(&answer.to_bytes().unwrap()).await;
    response(&mut client).await.body
}

/// The answer of the seed's README, but for the times, and the masked DE 2 of its printed page.
#[tokio::test(start_paused = true)]
async fn an_answer_has_the_keys_the_order_and_the_types_of_socketqueue() {
    let mut world = start();
    let mut link = world.link().await;
    assert_eq!(
        sale_answered(&world, &mut link).await,
        "{\"result\":{\"0\":\"0210\",\"1\":\"723005802EC08200\",\"2\":\"4850781234567891\",\"3\":0,\"4\":1000,\
         \"7\":\"1122030405\",\"11\":\"618160\",\"12\":\"261122030405\",\"22\":\"056\",\"24\":200,\"25\":0,\
         \"35\":\"4850781234567891=19082012232800000037\",\"37\":\"708981921851\",\"38\":\"VaHYUU\",\"39\":0,\
         \"41\":\"00992468\",\"42\":\"000124642124643\",\"49\":\"810\",\"55\":\"9f2701809f1a020643\"},\"errors\":[]}\n"
    );
}

#[tokio::test(start_paused = true)]
async fn with_exact_values_everything_is_a_string_and_de_55_is_taken_apart() {
    let mut world = start_with(|setup| setup.http.exact_values = true);
    let mut link = world.link().await;
    assert_eq!(
        sale_answered(&world, &mut link).await,
        "{\"result\":{\"0\":\"0210\",\"1\":\"723005802EC08200\",\"2\":\"4850781234567891\",\"3\":\"000000\",\
         \"4\":\"000000001000\",\"7\":\"1122030405\",\"11\":\"618160\",\"12\":\"261122030405\",\"22\":\"056\",\
         \"24\":\"200\",\"25\":\"00\",\"35\":\"4850781234567891=19082012232800000037\",\"37\":\"708981921851\",\
         \"38\":\"VaHYUU\",\"39\":\"000\",\"41\":\"00992468\",\"42\":\"000124642124643\",\"49\":\"810\",\
         \"55\":\"9f2701809f1a020643\"},\"errors\":[],\"icc\":[{\"tag\":\"9F27\",\"value\":\"80\"},\
         {\"tag\":\"9F1A\",\"value\":\"0643\"}]}\n"
    );
}

#[tokio::test(start_paused = true)]
async fn fields_may_be_given_by_name_in_any_case_and_any_order() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let body = br#"{"card acceptor terminal identification":105,"System Trace Audit Number":"6","Function Code":831,
        "Transmission Date and Time":"1122032632","Processing Code":"990000","Message Type Indicator":800, "1":"ffff"}"#;
    client.write(&post("/", body)).await;
    let request = link.expect("0800").await;
    // Case http-005 with the same values: its bytes at the host.
    let at_the_host =
        "303830302220010000800000393930303030313132323033323633323030303030363833313030303030313035";
    assert_eq!(hex(request.raw()), at_the_host);
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
}

/// Case raw-001: the bytes reach the host as they are, the answer comes as lower-case hex.
#[tokio::test(start_paused = true)]
async fn raw_takes_hex_in_either_case_or_bytes_and_answers_in_hex() {
    let mut world = start();
    let mut link = world.link().await;
    for (n, is_binary) in [(1, false), (2, true), (3, false)] {
        let echo = world.echo(1, n);
        let mut client = world.http_client();
        let body = match (is_binary, n) {
            (true, _) => echo.to_vec(),
            (false, 1) => format!("\n{} \n", hex(&echo)).into_bytes(),
            (false, _) => hex(&echo).to_ascii_uppercase().into_bytes(),
        };
        let kind = if is_binary { "Application/Octet-Stream" } else { "text/plain" };
        let head = format!(
            "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.write(head.as_bytes()).await;
        client.write(&body).await;
        let request = link.expect("0800").await;
        assert_eq!(*request.raw(), echo);
        let answer = world.answer(&request, "000");
        link.send(&answer).await;
        let response = response(&mut client).await;
        assert_eq!((response.status, response.body), (200, hex(&answer)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_read_in_part_says_so() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    client.write(&post("/", &bytes(&echo(1, 1)))).await;
    let request = link.expect("0800").await;
    let mut answer = world.answer(&request, "000").to_vec();
    answer.extend_from_slice(b"??");
    link.send(&answer).await;
    let response = response(&mut client).await;
    assert_eq!((response.status, &response.json()["result"]["39"]), (200, &json!(0)));
    assert!(response.errors()[0].starts_with("the host's reply is read in part: "), "{}", response.body);
}

#[tokio::test(start_paused = true)]
async fn dumps_name_the_client_and_show_no_card_number() {
    let mut world = start();
    let mut link = world.link().await;
    sale_answered(&world, &mut link).await;
    assert!(world.logged("http:"));
    assert!(world.logged("ISO host to http:"));
    assert!(world.logged("485078******7891"));
    assert!(!world.logged("4850781234567891"));
    // A refused request names none either.
    let mut request = sale(&world, 1, 1);
    request["2"] = json!("48507812345678914850781234567891");
    let refused = ask(&world, "/", &bytes(&request)).await;
    assert_eq!(refused.errors(), ["Field 2 is 32 long, at most 19 allowed"]);
    assert!(!world.logged("4850781234567891"));
}
