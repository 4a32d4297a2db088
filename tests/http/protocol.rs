//! HTTP/1.1 and 1.0: keep-alive, pipelining, chunks, pieces.

use crate::exchange::{bytes, echo, post, response};
use crate::plumbing::{label, start};

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_request_after_another() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    for stan in 1..=20 {
        client.write(&post("/", &bytes(&echo(1, stan)))).await;
        let request = link.expect("0800").await;
        assert_eq!(label(&request), format!("0800 1/{stan}"));
        link.send(&world.answer(&request, "000")).await;
        let response = response(&mut client).await;
        assert_eq!(response.json()["result"]["11"], format!("{stan:06}"));
    }
    assert_eq!(world.http.connections(), 1);
    assert_eq!(world.snapshot().await.tally.open, 0);
}

/// D17: SocketQueue sends the second to the host and loses its answer.
#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_their_order() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let mut segment = Vec::new();
    for stan in 1..=40 {
        segment.extend(post("/", &bytes(&echo(stan, stan))));
    }
    client.write(&segment).await;
    for stan in 1..=40 {
        let request = link.expect("0800").await;
        assert_eq!(label(&request), format!("0800 {stan}/{stan}"));
        link.send(&world.answer(&request, "000")).await;
        assert_eq!(response(&mut client).await.json()["result"]["11"], format!("{stan:06}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_pieces_or_chunks_is_one_request_at_every_split() {
    let mut world = start();
    let mut link = world.link().await;
    let mut client = world.http_client();
    let body = bytes(&echo(1, 1));
    let mut chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(7) {
        chunked.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\nTrailer: ignored\r\n\r\n");
    for request in [post("/", &body), chunked] {
        for split in 1..request.len() {
            client.write(&request[..split]).await;
            tokio::task::yield_now().await;
            client.write(&request[split..]).await;
            let request = link.expect("0800").await;
            link.send(&world.answer(&request, "000")).await;
            assert_eq!(response(&mut client).await.status, 200, "{split}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_0_is_answered_and_closed_unless_it_asks_to_stay() {
    let mut world = start();
    let mut link = world.link().await;
    let body = String::from_utf8(bytes(&echo(1, 1))).unwrap();
    let mut client = world.http_client();
    for stays in [true, false] {
        let header = if stays { "Connection: keep-alive\r\n" } else { "" };
        let length = body.len();
        client
            .write(format!("POST / HTTP/1.0\r\n{header}Content-Length: {length}\r\n\r\n{body}").as_bytes())
            .await;
        let request = link.expect("0800").await;
        link.send(&world.answer(&request, "000")).await;
        assert_eq!(response(&mut client).await.status, 200);
    }
    assert!(client.end().await.is_empty());
}

/// The recorded case hp-012: what stands behind a request without a length is not taken for the next one.
#[tokio::test(start_paused = true)]
async fn a_body_without_a_length_is_none() {
    let world = start();
    let mut client = world.http_client();
    client.write(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"0\":\"0800\"}").await;
    assert_eq!(response(&mut client).await.status, 400);
    assert!(client.end().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_100_continue_gets_it_and_not_for_a_body_that_is_too_large() {
    let mut world = start();
    let mut link = world.link().await;
    let body = bytes(&echo(1, 1));
    let head = |length: usize| {
        format!("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes()
    };
    let mut client = world.http_client();
    client.write(&head(body.len())).await;
    assert_eq!(response(&mut client).await.status, 100);
    client.write(&body).await;
    let request = link.expect("0800").await;
    link.send(&world.answer(&request, "000")).await;
    assert_eq!(response(&mut client).await.status, 200);
    client.write(&head(2_000_000)).await;
    assert_eq!(response(&mut client).await.status, 413);
    assert!(client.end().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_is_400_or_431_and_closed() {
    let world = start();
    let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(65));
    for (bytes, status) in [
        (&b"0800\x22\x20\x01\x00\x00\x80\x00\x00990000\r\n\r\n"[..], 400),
        (b"POST / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (long.as_bytes(), 431),
        (many.as_bytes(), 431),
    ] {
        let mut client = world.http_client();
        client.write(bytes).await;
        assert_eq!(
            response(&mut client).await.status,
            status,
            "{:?}",
            String::from_utf8_lossy(&bytes[..20.min(bytes.len())])
        );
        assert!(client.end().await.is_empty());
    }
    world.http.at_rest().await;
}
