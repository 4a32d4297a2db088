//! Sessions of TCP clients, over in-memory streams under paused time: what a client gets, and what its fate makes the
//! host get.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/plumbing.rs"]
mod plumbing;

use std::time::Duration;

use plumbing::{Peer, World, field, label, start, start_with};
use socketqueue::iso8583::Message;
use socketqueue::listener::tcp::OnReject;
use tokio::time::{Instant, sleep};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A sale that has reached the host.
async fn sale_in_flight(world: &World, link: &mut Peer, client: &mut Peer, tid: u32, stan: u32) -> Message {
    client.send(&world.sale(tid, stan)).await;
    link.expect("0200").await
}

/// Enough turns for every task to do what it can do now.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

// -- many requests on one connection -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn requests_pipelined_in_one_segment_are_all_sent_and_answered() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let segment: Vec<u8> = (1..=50).flat_map(|tid| world.sale(tid, 9)).collect();
    client.write(&segment).await;
    for _ in 1..=50 {
        let sale = link.expect("0200").await;
        link.send(&world.answer(&sale, "000")).await;
    }
    for tid in 1..=50 {
        assert_eq!(label(&client.message().await), format!("0210 000 {tid}/9"));
    }
    settle().await;
    assert_eq!(world.snapshot().await.tally.open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_transaction_after_another() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    for stan in 1..=20 {
        let sale = sale_in_flight(&world, &mut link, &mut client, 1, stan).await;
        link.send(&world.answer(&sale, "000")).await;
        assert_eq!(label(&client.message().await), format!("0210 000 1/{stan}"));
    }
    assert_eq!(world.listener.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_pieces_is_one_message_at_every_split() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let len = world.echo(1, 1).len();
    for split in 1..len {
        let echo = world.echo(1, split as u32);
        client.write(&echo[..split]).await;
        settle().await;
        client.write(&echo[split..]).await;
        let request = link.expect("0800").await;
        assert_eq!(*request.raw(), echo);
        link.send(&world.answer(&request, "000")).await;
        client.expect("0810").await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_of_open_transactions_reading_stops_and_goes_on_when_one_ends() {
    let mut world = start_with(|setup| {
        setup.upstream.mux.queue_max = 1000;
        setup.client_window = 1 << 20;
    });
    let mut link = world.link().await;
    let mut client = world.client();
    let segment: Vec<u8> = (1..=300).flat_map(|tid| world.echo(tid, 9)).collect();
    client.write(&segment).await;
    let mut requests = Vec::new();
    for _ in 0..256 {
        requests.push(link.expect("0800").await);
    }
    assert!(link.is_silent().await, "OPEN_MAX are in flight");
    link.send(&world.answer(&requests[0], "000")).await;
    client.expect("0810").await;
    requests.push(link.expect("0800").await);
    assert!(link.is_silent().await);
    for request in &requests[1..] {
        link.send(&world.answer(request, "000")).await;
    }
    for _ in 257..300 {
        let request = link.expect("0800").await;
        link.send(&world.answer(&request, "000")).await;
    }
    for _ in 1..300 {
        client.expect("0810").await;
    }
}

// -- ends of clients ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_client_that_half_closes_gets_its_reply() {
    // Case tcp-017: SocketQueue closes without an answer; the design answers.
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = {
        client.send(&world.sale(1, 1)).await;
        client.half_close().await;
        link.expect("0200").await
    };
    sleep(seconds(5)).await;
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    assert_eq!(client.end().await.len(), 0);
    assert!(link.is_silent_for(seconds(120)).await, "nothing is reversed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_half_closed_has_its_reply_only_when_its_tcp_says_so() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.half_close().await;
    client.stop_acknowledging();
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    let begin = Instant::now();
    let reversal = link.expect("0400").await;
    assert_eq!(begin.elapsed().as_secs(), 9, "nine tenths of deliveryTimeout");
    assert_eq!(label(&reversal), "0400 1/1");
    settle().await;
    assert!(client.was_aborted(), "what the client has not got must not come any more");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closed_altogether_is_found_out_by_the_reset_to_its_reply() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.half_close().await;
    settle().await;
    client.stop_acknowledging();
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    client.reset();
    let begin = Instant::now();
    link.expect("0400").await;
    assert!(begin.elapsed() < seconds(1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_lost_in_flight_makes_an_approval_be_reversed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.reset();
    assert!(link.is_silent().await, "its answer is awaited");
    link.send(&world.answer(&sale, "000")).await;
    assert_eq!(label(&link.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn a_client_lost_in_flight_leaves_a_decline_alone() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.reset();
    settle().await;
    link.send(&world.answer(&sale, "116")).await;
    assert!(link.is_silent_for(seconds(120)).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_lost_while_its_request_waits_leaves_no_trace_at_the_host() {
    let mut world = start();
    let mut link = world.link().await;
    let (mut first, mut second) = (world.client(), world.client());
    let sale = sale_in_flight(&world, &mut link, &mut first, 1, 1).await;
    second.send(&world.sale(1, 2)).await;
    settle().await;
    second.reset();
    settle().await;
    link.send(&world.answer(&sale, "000")).await;
    first.expect("0210").await;
    assert!(link.is_silent_for(seconds(120)).await);
}

#[tokio::test(start_paused = true)]
async fn with_reversal_on_disconnect_immediate_a_closed_sending_side_is_a_client_lost() {
    // Case rv-001: the 0400 goes out when the client closes, before any answer.
    let mut world = start_with(|setup| setup.upstream.mux.reverse_on_disconnect = true);
    let mut link = world.link().await;
    let mut client = world.client();
    sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    let begin = Instant::now();
    client.half_close().await;
    assert_eq!(label(&link.message().await), "0400 1/1");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(client.end().await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_before_its_reply_is_acknowledged_is_an_undelivered_approval() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.stop_acknowledging();
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    sleep(seconds(9)).await;
    client.reset();
    assert_eq!(label(&link.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_after_its_reply_was_acknowledged_has_delivered_it() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    client.reset();
    assert!(link.is_silent_for(seconds(120)).await);
}

#[tokio::test(start_paused = true)]
async fn of_several_replies_only_the_unacknowledged_are_undelivered() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    for stan in 1..=3 {
        let sale = sale_in_flight(&world, &mut link, &mut client, 1, stan).await;
        if stan == 3 {
            client.stop_acknowledging();
        }
        link.send(&world.answer(&sale, "000")).await;
        client.expect("0210").await;
    }
    client.reset();
    assert_eq!(label(&link.message().await), "0400 1/3");
    assert!(link.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_declined_sale_that_was_not_acknowledged_is_not_reversed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.stop_acknowledging();
    link.send(&world.answer(&sale, "116")).await;
    client.expect("0210").await;
    client.reset();
    assert!(link.is_silent_for(seconds(120)).await);
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_told_without_an_end_of_the_connection() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    for stan in 1..=20 {
        let sale = sale_in_flight(&world, &mut link, &mut client, 1, stan).await;
        link.send(&world.answer(&sale, "000")).await;
        client.expect("0210").await;
    }
    settle().await;
    // What is acknowledged leaves a tombstone; at most a handful are not told yet.
    let tally = world.snapshot().await.tally;
    assert!(tally.tombstones >= 16, "{tally:?}");
}

// -- clients that do not read ------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_loses_its_sale_at_the_deadline_and_holds_nobody_up() {
    let mut world = start_with(|setup| setup.client_window = 64);
    let mut link = world.link().await;
    let (mut deaf, mut other) = (world.client(), world.client());
    deaf.write(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    let begin = Instant::now();
    // Its reply is longer than the window.
    link.send(&world.answer(&sale, "000")).await;
    let sale = sale_in_flight(&world, &mut link, &mut other, 2, 1).await;
    link.send(&world.answer(&sale, "000")).await;
    other.expect("0210").await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(label(&link.message().await), "0400 1/1");
    assert_eq!(begin.elapsed().as_secs(), 35, "its deadline");
    assert!(deaf.end().await.len() < 100, "no whole reply");
    assert!(deaf.was_aborted());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_but_in_time_gets_its_reply() {
    let mut world = start_with(|setup| setup.client_window = 64);
    let mut link = world.link().await;
    let mut slow = world.client();
    slow.write(&world.sale(1, 1)).await;
    let sale = link.expect("0200").await;
    link.send(&world.answer(&sale, "000")).await;
    sleep(seconds(30)).await;
    slow.expect("0210").await;
    assert!(link.is_silent_for(seconds(120)).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_not_read_from_for_ever() {
    let mut world = start_with(|setup| {
        setup.client_window = 4096;
        setup.upstream.mux.queue_timeout = seconds(3600);
        setup.upstream.mux.queue_max = 100_000;
    });
    let mut link = world.link().await;
    let mut client = world.client();
    let flood = tokio::spawn({
        let echoes: Vec<_> = (1..=20_000).map(|stan| world.echo(stan % 1000 + 1, stan)).collect();
        async move {
            for echo in echoes {
                client.send(&echo).await;
            }
        }
    });
    let mut answered = 0;
    while answered < 20_000 {
        let request = tokio::select! {
            request = link.message() => request,
            () = sleep(seconds(5)) => break,
        };
        link.send(&world.answer(&request, "000")).await;
        answered += 1;
    }
    assert!(answered < 3000, "{answered} requests were taken from a client that reads nothing");
    assert!(!flood.is_finished());
}

// -- refusing ----------------------------------------------------------------------------------------------------------

/// A sale without its amount.
fn invalid(world: &World, tid: u32, stan: u32) -> Vec<u8> {
    let sale = Message::parse(&world.dialect.schema, world.sale(tid, stan)).unwrap();
    let mut draft = socketqueue::iso8583::Draft::of(&sale);
    draft.remove(socketqueue::iso8583::field::AMOUNT);
    draft.to_bytes().unwrap().to_vec()
}

#[tokio::test(start_paused = true)]
async fn an_invalid_request_closes_the_connection_and_the_host_gets_nothing() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&invalid(&world, 1, 1)).await;
    assert_eq!(client.end().await.len(), 0);
    assert!(link.is_silent().await);
    assert!(world.logged("request is not valid"));
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_client_had_accepted_is_answered_before_it_is_closed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&world.sale(1, 1)).await;
    client.send(&invalid(&world, 2, 1)).await;
    client.send(&world.sale(3, 1)).await;
    let sale = link.expect("0200").await;
    assert!(link.is_silent().await, "nothing more is read");
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    assert_eq!(client.end().await.len(), 0);
    assert!(link.is_silent_for(seconds(120)).await, "and nothing is reversed");
}

#[tokio::test(start_paused = true)]
async fn on_reject_respond_answers_an_invalid_request_and_reads_on() {
    let mut world = start_with(|setup| setup.tcp.on_reject = OnReject::Respond);
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&invalid(&world, 1, 1)).await;
    let response = client.expect("0210").await;
    assert_eq!(field(&response, 39), world.dialect.refusals.invalid);
    assert_eq!((field(&response, 11), field(&response, 35)), ("000001".into(), String::new()));
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 2).await;
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
}

#[tokio::test(start_paused = true)]
async fn on_reject_respond_names_full_queues_and_time_outs_by_the_codes_of_the_dialect() {
    let mut world = start_with(|setup| {
        setup.tcp.on_reject = OnReject::Respond;
        setup.upstream.mux.queue_max = 1;
    });
    let mut link = world.link().await;
    let mut client = world.client();
    let begin = Instant::now();
    client.send(&world.sale(1, 1)).await;
    client.send(&world.sale(2, 1)).await;
    let full = client.expect("0210").await;
    assert_eq!(
        (field(&full, 41), field(&full, 39)),
        ("00000002".into(), world.dialect.refusals.unavailable.clone())
    );
    let timeout = client.expect("0210").await;
    assert_eq!(
        (field(&timeout, 41), field(&timeout, 39)),
        ("00000001".into(), world.dialect.refusals.timeout.clone())
    );
    assert_eq!(begin.elapsed().as_secs(), 35);
    assert_eq!(label(&link.message().await), "0200 1/1");
    assert_eq!(label(&link.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_closes_the_client_at_once() {
    // Case q-006.
    let mut world = start_with(|setup| setup.upstream.mux.queue_max = 2);
    let mut link = world.link().await;
    let (mut a, mut b, mut c) = (world.client(), world.client(), world.client());
    let first = sale_in_flight(&world, &mut link, &mut a, 1, 1).await;
    sale_in_flight(&world, &mut link, &mut b, 2, 1).await;
    c.send(&world.sale(3, 1)).await;
    assert_eq!(c.end().await.len(), 0);
    assert!(link.is_silent().await);
    assert!(world.logged("requests refused") && world.logged("queue full"));
    link.send(&world.answer(&first, "000")).await;
    a.expect("0210").await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_message_close_the_connection_and_the_host_gets_none() {
    let mut world = start();
    let mut link = world.link().await;
    let mut other = world.client();
    for hostile in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        vec![0; 4096],
        vec![0xFF; 4096],
        b"hello".to_vec(),
    ] {
        let mut client = world.client();
        client.write(&hostile).await;
        assert_eq!(client.end().await.len(), 0);
    }
    let sale = sale_in_flight(&world, &mut link, &mut other, 1, 1).await;
    link.send(&world.answer(&sale, "000")).await;
    other.expect("0210").await;
    assert_eq!(world.listener.counts().unreadable.load(std::sync::atomic::Ordering::Relaxed), 6);
}

// -- closing -----------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn close_after_reply_serves_one_message_a_connection() {
    // Cases tcp-013 to tcp-015: the first is answered, then the connection is closed; what stands behind is not sent.
    let mut world = start_with(|setup| setup.tcp.close_after_reply = true);
    let mut link = world.link().await;
    let mut client = world.client();
    client.write(&[world.echo(1, 1), world.echo(2, 2)].concat()).await;
    let request = link.expect("0800").await;
    client.send(&world.echo(3, 3)).await;
    link.send(&world.answer(&request, "000")).await;
    client.expect("0810").await;
    assert_eq!(client.end().await.len(), 0);
    assert!(link.is_silent().await);
    assert_eq!(label(&request), "0800 1/1");
}

#[tokio::test(start_paused = true)]
async fn close_after_reply_waits_for_the_acknowledgement_and_takes_its_lack_as_undelivered() {
    let mut world = start_with(|setup| setup.tcp.close_after_reply = true);
    let mut link = world.link().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.stop_acknowledging();
    let begin = Instant::now();
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    assert_eq!(label(&link.message().await), "0400 1/1");
    assert_eq!(begin.elapsed().as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn close_after_reply_still_notices_a_client_lost_in_flight() {
    let mut world = start_with(|setup| {
        setup.tcp.close_after_reply = true;
        setup.upstream.mux.reverse_on_disconnect = true;
    });
    let mut link = world.link().await;
    let mut client = world.client();
    sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.reset();
    assert_eq!(label(&link.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_closed_but_not_while_its_transaction_is_open() {
    let mut world = start_with(|setup| setup.tcp.idle_timeout = Some(seconds(2)));
    let mut link = world.link().await;
    let mut client = world.client();
    let begin = Instant::now();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    sleep(seconds(20)).await;
    link.send(&world.answer(&sale, "000")).await;
    client.expect("0210").await;
    assert_eq!(client.end().await.len(), 0);
    assert_eq!(begin.elapsed().as_secs(), 22);
    // One that never says a word, and one that says half of one.
    let (mut mute, mut half) = (world.client(), world.client());
    half.write(b"0800").await;
    let begin = Instant::now();
    assert_eq!(mute.end().await.len(), 0);
    assert_eq!(half.end().await.len(), 0);
    assert_eq!(begin.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn beyond_max_clients_a_connection_is_closed_at_once_and_counted() {
    let world = start_with(|setup| setup.tcp.connections_max = 2);
    let (first, _second) = (world.client(), world.client());
    for _ in 0..5 {
        assert_eq!(world.client().end().await.len(), 0);
    }
    assert_eq!(world.listener.connections(), 2);
    assert_eq!(world.listener.counts().turned_away.load(std::sync::atomic::Ordering::Relaxed), 5);
    assert_eq!(
        world.log().iter().filter(|line| line.contains("turned away")).count(),
        1,
        "not a line for each"
    );
    drop(first);
    sleep(seconds(2)).await;
    assert!(world.client().is_silent().await, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn errors_of_accept_are_paused_over_and_never_end_the_listener() {
    let mut world = start();
    let mut link = world.link().await;
    let begin = Instant::now();
    for _ in 0..20 {
        world.accept_fails();
    }
    let mut client = world.client();
    client.send(&world.echo(1, 1)).await;
    link.expect("0800").await;
    assert!(begin.elapsed() > seconds(10), "it does not spin: {:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_gone_leaves_no_client_waiting() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    world.driver.abort();
    assert_eq!(client.end().await.len(), 0);
    assert!(client.was_aborted());
}

#[tokio::test(start_paused = true)]
async fn the_pan_stands_in_no_line_of_the_log() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.client();
    client.send(&invalid(&world, 2, 1)).await;
    client.end().await;
    let mut client = world.client();
    let sale = sale_in_flight(&world, &mut link, &mut client, 1, 1).await;
    client.reset();
    settle().await;
    link.send(&world.answer(&sale, "000")).await;
    link.expect("0400").await;
    let log = world.log().join("\n");
    assert!(!log.contains("4850781234567891"), "{log}");
    assert!(log.contains("485078******7891"), "its masked form is in the dumps: {log}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pipelines_more_than_may_be_open_and_half_closes_gets_all_its_replies() {
    let mut world = start_with(|setup| {
        setup.upstream.mux.queue_max = 1000;
        setup.client_window = 1 << 20;
    });
    let mut link = world.link().await;
    let mut client = world.client();
    let segment: Vec<u8> = (1..=300).flat_map(|tid| world.echo(tid, 9)).collect();
    client.write(&segment).await;
    client.half_close().await;
    for _ in 1..=300 {
        let request = link.expect("0800").await;
        link.send(&world.answer(&request, "000")).await;
    }
    for _ in 1..=300 {
        client.expect("0810").await;
    }
    assert_eq!(client.end().await.len(), 0);
}
