//! The driver and its link, over in-memory streams under paused time: what reaches the host, and when.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/plumbing.rs"]
mod plumbing;

use std::time::Duration;

use plumbing::{SILENCE, START_MS, World, field, label, start, start_with};
use socketqueue::iso8583::Message;
use tokio::time::{Instant, sleep};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A client's echo that is answered: the link has lived.
async fn warm_up(world: &World, link: &mut plumbing::Peer) {
    let mut client = world.client();
    client.send(&world.echo(99, 1)).await;
    let request = link.expect("0800").await;
    link.send(&world.answer(&request, "000")).await;
    client.expect("0810").await;
}

#[tokio::test(start_paused = true)]
async fn an_echo_crosses_byte_by_byte_in_both_directions() {
    // Case tcp-014 of the recording: request, frame at the host, its reply, what the client got.
    let request =
        hex("303830302220010000800000393930303030313132323033323634373030303037383833313030303030313737");
    let reply = hex(
        "30383130222000000a800000393930303030313132323033323634373030303037383131343430323634303637333030303030303030313\
         737",
    );
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    for byte in &request {
        client.write(&[*byte]).await;
        sleep(Duration::from_millis(1)).await;
    }
    let framed = link.one_read().await;
    assert_eq!(&framed[..4], b"0045");
    assert_eq!(&framed[4..], request);
    for byte in plumbing::framed(&reply, true) {
        link.write(&[byte]).await;
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.one_read().await, reply);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_repeat_gets_the_stored_answer_on_the_same_connection_and_on_another() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    client.stop_acknowledging();
    client.send(&world.sale(1, 7)).await;
    let request = link.expect("0200").await;
    link.send(&world.answer(&request, "000")).await;
    client.expect("0210").await;
    client.send(&world.request("0201", 1, 7)).await;
    client.expect("0210").await;
    let mut other = world.client();
    other.send(&world.request("0201", 1, 7)).await;
    other.expect("0210").await;
    // The first connection fails without an acknowledgement; the other has the approval.
    client.reset();
    assert!(link.is_silent_for(seconds(60)).await);
    assert_eq!(world.snapshot().await.tally.open, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_goes_to_the_host_in_one_write() {
    let mut world = start();
    let mut link = world.link().await;
    let mut clients: Vec<_> = (1..=20).map(|_| world.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&world.echo(n as u32 + 1, 7)).await;
    }
    let frame = world.echo(1, 7).len() + 4;
    assert_eq!(link.one_read().await.len(), 20 * frame);
}

#[tokio::test(start_paused = true)]
async fn each_reply_goes_to_the_client_whose_request_it_answers_whatever_their_order() {
    let mut world = start();
    let mut link = world.link().await;
    let mut clients: Vec<_> = (1..=5).map(|_| world.client()).collect();
    let mut requests = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&world.sale(n as u32 + 1, 7)).await;
        requests.push(link.expect("0200").await);
    }
    requests.reverse();
    let replies: Vec<u8> =
        requests.iter().flat_map(|request| plumbing::framed(&world.answer(request, "000"), true)).collect();
    link.write(&replies).await;
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(label(&client.message().await), format!("0210 000 {}/7", n + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_link_until_its_deadline_and_no_longer() {
    let mut world = start_with(|setup| setup.refuse_first = 20);
    let (mut early, begin) = (world.client(), Instant::now());
    early.send(&world.sale(1, 1)).await;
    assert_eq!(early.end().await.len(), 0);
    assert_eq!(begin.elapsed().as_secs(), 35);
    world.refusals.next(1);
    let mut late = world.client();
    late.send(&world.sale(1, 2)).await;
    let mut link = world.link().await;
    assert_eq!(label(&link.message().await), "0200 1/2");
}

#[tokio::test(start_paused = true)]
async fn a_sale_in_flight_when_the_link_is_lost_is_reversed_on_the_next_link_and_never_sent_again() {
    // Case rv-015 of the recording: the client is closed, the 0400 goes out on connection 2.
    let mut world = start();
    let mut link = world.link().await;
    warm_up(&world, &mut link).await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    let lost = Instant::now();
    drop(link);
    assert_eq!(client.end().await.len(), 0);
    let mut next = world.link().await;
    let reversal = next.expect("0400").await;
    // At once, since the link had lived.
    assert_eq!(lost.elapsed(), Duration::ZERO);
    assert_eq!(field(&reversal, 11), field(&sale, 11));
    assert_eq!(field(&reversal, 24), "400");
    next.send(&world.answer(&reversal, "000")).await;
    assert!(next.is_silent_for(seconds(600)).await);
}

#[tokio::test(start_paused = true)]
async fn pulled_bytes_die_with_their_connection() {
    // A link that takes 100 bytes and stops: the sale is half written when it is lost.
    let mut world = start_with(|setup| setup.link_window = 100);
    let link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    client.half_close().await;
    sleep(seconds(1)).await;
    drop(link);
    let mut next = world.link().await;
    assert_eq!(next.message().await.mti().to_string(), "0400");
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_the_link_is_lost_is_sent_on_the_next() {
    let mut world = start();
    let mut link = world.link().await;
    let (mut first, mut second) = (world.client(), world.client());
    first.send(&world.echo(1, 1)).await;
    link.expect("0800").await;
    // Its terminal is busy.
    second.send(&world.echo(1, 2)).await;
    assert!(link.is_silent().await);
    drop(link);
    let mut next = world.link().await;
    assert_eq!(label(&next.message().await), "0800 1/2");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_accepts_and_closes_is_not_stormed() {
    // SocketQueue's defect D21: 5,650 connections a second.
    let mut world = start();
    while world.elapsed() < seconds(60) {
        drop(world.link().await);
    }
    let attempts = world.attempts();
    assert!((10..25).contains(&attempts.len()), "{attempts:?}");
    assert!(attempts[1] < Duration::from_millis(200), "the first attempts are quick: {attempts:?}");
    assert!(attempts.windows(2).all(|pair| pair[1] - pair[0] <= seconds(10)), "{attempts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_is_tried_again_and_found_when_it_is_there() {
    let mut world = start_with(|setup| setup.refuse_first = 5);
    let mut client = world.client();
    client.send(&world.echo(1, 1)).await;
    let mut link = world.link().await;
    assert_eq!(label(&link.message().await), "0800 1/1");
    assert_eq!(world.attempts().len(), 6);
    assert!(world.elapsed() < seconds(5), "{:?}", world.elapsed());
    let tally = world.snapshot().await.link;
    assert_eq!((tally.up, tally.connects, tally.failures), (true, 1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_no_bytes_is_given_up_and_what_was_pulled_is_made_good() {
    let mut world = start_with(|setup| setup.link_window = 100);
    let link = world.link().await;
    let begin = Instant::now();
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    assert_eq!(client.end().await.len(), 0);
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert!(world.logged("no byte could be written for too long"));
    drop(link);
    let mut next = world.link().await;
    assert_eq!(label(&next.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_no_stall() {
    let mut world = start_with(|setup| setup.link_window = 16);
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    let mut got = 0;
    while got < 100 {
        sleep(seconds(2)).await;
        got += link.one_read().await.len();
    }
    assert!(world.elapsed() > seconds(10));
    assert!(!world.logged("upstream link lost"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_is_closed_and_made_again_but_not_while_an_answer_is_awaited() {
    let mut world = start_with(|setup| setup.upstream.idle_timeout = Some(seconds(5)));
    let mut link = world.link().await;
    let begin = Instant::now();
    let mut client = world.client();
    client.send(&world.echo(1, 1)).await;
    let request = link.expect("0800").await;
    assert!(link.is_silent_for(seconds(20)).await);
    link.send(&world.answer(&request, "000")).await;
    client.expect("0810").await;
    // Idle from here on.
    assert_eq!(link.end().await.len(), 0);
    assert_eq!(begin.elapsed().as_secs(), 25);
    world.link().await;
    assert_eq!(begin.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_is_made_again_though_nothing_else_happens() {
    let mut world = start_with(|setup| setup.upstream.idle_timeout = Some(seconds(5)));
    // Kept, so that its own end wakes nobody.
    let mut link = world.link().await;
    assert_eq!(link.end().await.len(), 0);
    let mut next = world.link().await;
    next.send(&world.echo(1, 77)).await;
    next.expect("0810").await;
}

#[tokio::test(start_paused = true)]
async fn a_hosts_own_echo_is_answered_by_the_gateway() {
    // Case up-009: same fields, 7 := now, 37 := 12 digits, 39 := 000; 24 and 42 left out.
    let mut world = start();
    let mut link = world.link().await;
    link.send(&world.echo(1, 77)).await;
    let first = link.expect("0810").await;
    assert_eq!(label(&first), "0810 000 1/77");
    assert_eq!(field(&first, 24), "");
    assert_eq!(field(&first, 37).len(), 12);
    link.send(&world.echo(1, 78)).await;
    let second = link.expect("0810").await;
    let rrn = |message: &Message| field(message, 37).parse::<u64>().unwrap();
    assert_eq!(rrn(&second), rrn(&first) + 1, "a counter, so that no two are alike");
    assert_eq!(rrn(&first), START_MS as u64 % 1_000_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_hosts_other_requests_are_dropped() {
    let mut world = start();
    let mut link = world.link().await;
    link.send(&world.sale(1, 77)).await;
    assert!(link.is_silent().await);
    warm_up(&world, &mut link).await;
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_in_a_readable_frame_is_dropped_and_the_link_stays() {
    // Case up-008.
    let mut world = start();
    let mut link = world.link().await;
    link.write(b"0020HELLO WORLD 12345678").await;
    warm_up(&world, &mut link).await;
    let tally = world.snapshot().await.link;
    assert_eq!((tally.connects, tally.unparseable), (1, 1));
    assert!(world.logged("host message is not readable"));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_frame_header_ends_the_link_and_a_new_one_is_made() {
    let mut world = start();
    let mut link = world.link().await;
    warm_up(&world, &mut link).await;
    link.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(link.end().await.len(), 0);
    assert!(world.logged("unreadable frame"));
    let mut next = world.link().await;
    warm_up(&world, &mut next).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_above_the_limit_ends_the_link() {
    let mut world = start_with(|setup| setup.upstream.frame_len_max = 1000);
    let mut link = world.link().await;
    link.write(b"1001").await;
    assert_eq!(link.end().await.len(), 0);
}

/// A reply with an extra byte behind its last field.
fn with_trailing_byte(reply: &[u8]) -> Vec<u8> {
    [reply, b"x"].concat()
}

#[tokio::test(start_paused = true)]
async fn a_reply_with_bytes_after_its_last_field_is_delivered_as_it_came_and_logged_once() {
    let mut world = start();
    let mut link = world.link().await;
    for stan in 1..=3 {
        let mut client = world.client();
        client.send(&world.sale(1, stan)).await;
        let sale = link.expect("0200").await;
        let reply = with_trailing_byte(&world.answer(&sale, "000"));
        link.send(&reply).await;
        assert_eq!(client.one_read().await, reply);
    }
    assert!(link.is_silent().await, "nothing is reversed");
    assert_eq!(world.snapshot().await.link.troubled, 3);
    assert_eq!(world.log().iter().filter(|line| line.contains("not readable to its end")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn strict_replies_refuses_what_cannot_be_read_to_its_end() {
    let mut world = start_with(|setup| setup.upstream.strict_replies = true);
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    link.send(&with_trailing_byte(&world.answer(&sale, "000"))).await;
    assert_eq!(client.end().await.len(), 0);
    assert_eq!(label(&link.message().await), "0400 1/1");
    assert_eq!(world.snapshot().await.link.strict_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_and_closes_in_one_breath_is_heard() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    link.send(&world.answer(&sale, "000")).await;
    drop(link);
    client.expect("0210").await;
    let mut next = world.link().await;
    assert!(next.is_silent_for(seconds(120)).await, "nothing is in doubt");
}

#[tokio::test(start_paused = true)]
async fn listening_the_first_connection_is_the_link_and_a_second_one_is_closed() {
    // Case ul-002.
    let world = start_with(|setup| setup.listen = true);
    let mut client = world.client();
    client.send(&world.echo(1, 1)).await;
    let mut first = world.host_connects();
    let request = first.expect("0800").await;
    let mut second = world.host_connects();
    assert_eq!(second.end().await.len(), 0);
    first.send(&world.answer(&request, "000")).await;
    client.expect("0810").await;
    assert_eq!(world.snapshot().await.link.refused, 1);
    assert!(world.logged("second upstream connection closed"));
    // When the first is gone, the next may come.
    drop(first);
    sleep(SILENCE).await;
    let mut third = world.host_connects();
    warm_up(&world, &mut third).await;
}

#[tokio::test(start_paused = true)]
async fn a_hosts_flood_does_not_keep_requests_from_the_wire() {
    let mut world = start();
    let mut link = world.link().await;
    // 20,000 zero-length frames and unmatched replies in front of the answer.
    let stray = plumbing::framed(&world.answer(&parse(&world, &world.echo(5, 5)), "000"), true);
    let flood: Vec<u8> = (0..2000).flat_map(|_| [b"0000".as_slice(), stray.as_slice()].concat()).collect();
    let mut client = world.client();
    client.send(&world.echo(1, 1)).await;
    link.write(&flood).await;
    let request = link.expect("0800").await;
    link.send(&world.answer(&request, "000")).await;
    client.expect("0810").await;
    assert_eq!(world.snapshot().await.tally.unmatched, 2000);
}

fn parse(world: &World, raw: &[u8]) -> Message {
    Message::parse(&world.dialect.schema, raw.to_vec().into()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn draining_answers_what_is_in_flight_and_refuses_what_is_new() {
    let mut world = start();
    let mut link = world.link().await;
    let (mut busy, mut idle) = (world.client(), world.client());
    busy.send(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    let drained = tokio::spawn({
        let handle = world.handle.clone();
        async move { handle.drain(seconds(40)).await }
    });
    // The idle one is let go.
    assert_eq!(idle.end().await.len(), 0);
    let mut late = world.client();
    let _ = late.end().await;
    sleep(seconds(3)).await;
    link.send(&world.answer(&sale, "000")).await;
    busy.expect("0210").await;
    assert_eq!(busy.end().await.len(), 0);
    let drained = drained.await.unwrap().expect("it drained");
    assert_eq!(drained.owed, 0);
    assert_eq!(link.end().await.len(), 0);
    world.driver.await.unwrap();
    world.listener.at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn draining_ends_in_time_and_tells_what_is_owed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    link.expect("0200").await;
    let begin = Instant::now();
    let drained = world.handle.drain(seconds(20)).await.expect("it drained");
    assert_eq!(begin.elapsed().as_secs(), 20);
    assert_eq!(drained, socketqueue::upstream::Drained { owed: 1, durable: false });
    assert!(world.logged("in doubt when the gateway stopped"), "{:?}", world.log());
    assert_eq!(client.end().await.len(), 0);
    world.driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_journaled_sale_goes_out_when_its_intent_is_durable() {
    let mut world = start_with(|setup| {
        setup.upstream.mux.journaled = true;
        setup.journal = Some(Box::new(socketqueue::journal::memory::Memory::new()));
    });
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    world.snapshot().await;
}
