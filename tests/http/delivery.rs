//! What counts as delivered, and what the host gets when a client is gone.

use std::time::Duration;

use socketqueue::mux::FinalState;

use crate::exchange::{bytes, post, response, sale};
use crate::plumbing::{Peer, World, label, start, start_with};

/// A sale that has reached the host.
async fn sale_in_flight(
    world: &World,
    link: &mut Peer,
    client: &mut Peer,
    tid: u32,
) -> socketqueue::iso8583::Message {
    client.write(&post("/", &bytes(&sale(world, tid, 1)))).await;
    link.expect("0200").await
}

/// How many transactions count as delivered.
async fn delivered(world: &World) -> u64 {
    world.snapshot().await.tally.ended[FinalState::Delivered as usize]
}

/// Enough turns for every task to do what it can do now: the clock is paused, and goes on when all tasks wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_delivered_when_the_socket_has_taken_its_last_byte_and_not_before() {
    // A socket that holds less than the response.
    let mut world = start_with(|setup| setup.client_window = 64);
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    link.send(&world.answer(&request, "000")).await;
    settle().await;
    // The handler has returned, and hyper has the body.
    assert_eq!(delivered(&world).await, 0);
    client.bytes(100).await;
    settle().await;
    assert_eq!(delivered(&world).await, 0);
    client.until(b"\"errors\":[]}\n").await;
    settle().await;
    assert_eq!(delivered(&world).await, 1);
    assert!(link.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_the_client_never_reads_is_reversed_at_its_deadline_and_cut_off() {
    let mut world = start_with(|setup| setup.client_window = 256);
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    link.send(&world.answer(&request, "000")).await;
    let reversal = link.expect("0400").await;
    assert_eq!((label(&reversal), world.elapsed().as_secs()), ("0400 1/1".to_owned(), 35));
    world.http.at_rest().await;
    assert!(client.was_aborted());
    assert_eq!(delivered(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_reset_while_its_sale_is_in_flight_gets_its_approval_reversed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    client.reset();
    world.http.at_rest().await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(label(&link.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn a_sale_that_waits_for_its_terminal_is_not_sent_when_its_client_is_gone() {
    let mut world = start();
    let mut link = world.link().await;
    let (mut client, mut waiting) = (world.http_client(), world.http_client());
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    waiting.write(&post("/", &bytes(&sale(&world, 1, 2)))).await;
    settle().await;
    waiting.reset();
    settle().await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
    assert!(link.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_decline_whose_client_is_gone_is_not_reversed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    client.reset();
    world.http.at_rest().await;
    link.send(&world.answer(&request, "116")).await;
    assert!(link.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_at_once_though_it_had_sent_more() {
    let mut world = start_with(|setup| setup.upstream.mux.reverse_on_disconnect = true);
    let mut link = world.link().await;
    let mut client = world.http_client();
    sale_in_flight(&world, &mut link, &mut client, 1).await;
    client.write(&post("/", &bytes(&sale(&world, 2, 2)))[..50]).await;
    settle().await;
    client.half_close().await;
    assert_eq!(label(&link.message().await), "0400 1/1");
    assert_eq!(world.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_its_answer_which_is_delivered_when_it_is_acknowledged() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    client.stop_acknowledging();
    client.half_close().await;
    settle().await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
    settle().await;
    assert_eq!(delivered(&world).await, 0);
    client.acknowledge();
    world.http.at_rest().await;
    assert_eq!(delivered(&world).await, 1);
    assert!(link.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_that_acknowledges_nothing_gets_its_approval_reversed() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    client.stop_acknowledging();
    client.half_close().await;
    settle().await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(label(&link.message().await), "0400 1/1");
    world.http.at_rest().await;
}

/// The design's `deliveryTimeout`: written, and then the connection fails before the peer's TCP has it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_written_and_never_acknowledged_is_reopened_when_the_connection_fails() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let request = sale_in_flight(&world, &mut link, &mut client, 1).await;
    client.stop_acknowledging();
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
    settle().await;
    assert_eq!(delivered(&world).await, 1);
    client.reset();
    assert_eq!(label(&link.message().await), "0400 1/1");
}

#[tokio::test(start_paused = true)]
async fn pipelined_answers_that_a_full_socket_holds_back_are_delivered_one_by_one() {
    // Room for the requests, and for less than half of the answers.
    let mut world = start_with(|setup| setup.client_window = 1600);
    let mut link = world.link().await;
    let mut client = world.http_client();
    let mut segment = Vec::new();
    for tid in 1..=5 {
        segment.extend(post("/", &bytes(&sale(&world, tid, 1))));
    }
    let (write, answer) = tokio::join!(
        async {
            client.write(&segment).await;
            for tid in 1..=5 {
                let response = response(&mut client).await;
                assert_eq!(response.json()["result"]["41"], format!("{tid:08}"));
            }
        },
        async {
            for tid in 1..=5 {
                let request = link.expect("0200").await;
                assert_eq!(label(&request), format!("0200 {tid}/1"));
                link.send(&world.answer(&request, "000")).await;
            }
        }
    );
    let ((), ()) = (write, answer);
    settle().await;
    assert_eq!(delivered(&world).await, 5);
    assert!(link.is_silent().await);
}
