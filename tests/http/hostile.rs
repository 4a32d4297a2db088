//! Clients that dribble, never read, send too much, or are too many: each gets its documented refusal, and nobody else
//! is disturbed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::exchange::{bytes, echo, post, response};
use crate::plumbing::{Peer, World, start, start_with};

/// Another client is served meanwhile.
async fn others_are_served(world: &World, link: &mut Peer, stan: u32) {
    let mut client = world.http_client();
    client.write(&post("/", &bytes(&echo(7, stan)))).await;
    let begin = Instant::now();
    let request = link.expect("0800").await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
    assert!(begin.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn one_byte_a_second_is_408_after_http_timeout_in_the_head_and_in_the_body() {
    let mut world = start();
    let mut link = world.link().await;
    for (whole, at_once) in [(post("/", &[b' '; 500]), 1), (post("/", &[b' '; 500]), 60)] {
        let begin = Instant::now();
        let mut client = world.http_client();
        client.write(&whole[..at_once]).await;
        for (n, byte) in whole[at_once..].iter().take(29).enumerate() {
            sleep(Duration::from_secs(1)).await;
            client.write(&[*byte]).await;
            if n % 10 == 0 {
                others_are_served(&world, &mut link, 1 + n as u32).await;
            }
        }
        let response = response(&mut client).await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (408, "{\"result\":\"\",\"errors\":[\"Request timeout\"]}\n")
        );
        assert_eq!(begin.elapsed().as_secs(), 30);
        assert!(client.end().await.is_empty());
    }
    world.http.at_rest().await;
}

/// The recorded cases ct-003 and ct-004.
#[tokio::test(start_paused = true)]
async fn client_timeout_ends_a_request_without_a_further_byte_with_408_and_an_idle_connection_without_a_word()
{
    let world = start_with(|setup| setup.http.idle_timeout = Some(Duration::from_secs(1)));
    for partial in
        [&b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"0\":"[..], b"POST / HT", b""]
    {
        let begin = Instant::now();
        let mut client = world.http_client();
        client.write(partial).await;
        if !partial.is_empty() {
            assert_eq!(response(&mut client).await.status, 408);
        }
        assert!(client.end().await.is_empty());
        assert_eq!(begin.elapsed().as_secs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn client_timeout_does_not_run_while_a_transaction_is_open() {
    let mut world = start_with(|setup| setup.http.idle_timeout = Some(Duration::from_secs(1)));
    let mut link = world.link().await;
    let mut client = world.http_client();
    client.write(&post("/", &bytes(&echo(1, 1)))).await;
    let request = link.expect("0800").await;
    sleep(Duration::from_secs(20)).await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_2_mb_is_413_whether_it_is_announced_or_not() {
    let world = start();
    let body = vec![b'x'; 2_000_000];
    let mut chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1e8480\r\n".to_vec();
    chunked.extend_from_slice(&body);
    for request in [post("/", &body), post("/raw", &body), chunked] {
        let mut client = world.http_client();
        // The client's writing stops when we do not take more; its own end is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), client.try_write(&request)).await;
        let response = response(&mut client).await;
        assert_eq!(response.status, 413);
        assert!(response.body.contains("more than 1000000 bytes"), "{}", response.body);
        assert!(response.head.contains("connection: close"));
        assert!(client.end().await.is_empty());
    }
    world.http.at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_the_limit_is_taken_and_one_byte_more_is_not() {
    let world = start_with(|setup| setup.client_window = 1 << 21);
    for (len, status) in [(1_000_000, 400), (1_000_001, 413)] {
        let mut client = world.http_client();
        client.write(&post("/", &vec![b' '; len])).await;
        assert_eq!(response(&mut client).await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_cut_off_and_disturbs_nobody() {
    let mut world = start_with(|setup| setup.client_window = 4096);
    let mut link = world.link().await;
    let mut client = world.http_client();
    // Requests without end, none of whose responses are read.
    let request = post("/nope", b"{}");
    let begin = Instant::now();
    let wrote = async {
        loop {
            if client.try_write(&request).await.is_err() {
                return;
            }
        }
    };
    let served = async {
        for stan in 1..=5 {
            others_are_served(&world, &mut link, stan).await;
        }
    };
    tokio::join!(wrote, served);
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert!(client.was_aborted());
}

#[tokio::test(start_paused = true)]
async fn beyond_max_clients_connections_are_closed_at_once_and_others_go_on() {
    let mut world = start_with(|setup| setup.http.connections_max = 10);
    let mut link = world.link().await;
    let mut first = world.http_client();
    let idle: Vec<Peer> = (0..9).map(|_| world.http_client()).collect();
    let mut turned_away: Vec<Peer> = (0..4990).map(|_| world.http_client()).collect();
    for client in &mut turned_away {
        assert!(client.end().await.is_empty());
    }
    assert_eq!(world.http.connections(), 10);
    first.write(&post("/", &bytes(&echo(1, 1)))).await;
    let request = link.expect("0800").await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut first).await.status, 200);
    drop(idle);
}
