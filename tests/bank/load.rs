//! Many messages, many connections, and streams that are none.

use std::collections::BTreeSet;

use bytes::BytesMut;
use socketqueue::bank::{Faults, Settings};
use socketqueue::iso8583::Message;
use tokio::io::AsyncWriteExt;

use crate::host::{Bank, Link, echo, reversal, sale, settings, text, verdict};

#[tokio::test]
async fn ten_thousand_pipelined_requests_are_answered_right_and_in_order() {
    const COUNT: u32 = 10_000;
    let bank = Bank::start(Settings { unlimited: true, ..settings(Faults::default()) }).await;
    let Link { stream, framing, dialect, buf } = bank.connect().await;
    let (reading, mut writing) = stream.into_split();
    let schema = dialect.schema.clone();
    let amount = |stan: u32| u64::from(stan) * 10 + 1;
    let writer = {
        let framing = framing.clone();
        tokio::spawn(async move {
            let mut out = BytesMut::new();
            for stan in 1..=COUNT {
                framing.encode(&sale(stan % 7 + 1, stan, amount(stan)), &[], &mut out).unwrap();
            }
            writing.write_all(&out).await.unwrap();
            writing
        })
    };
    let mut reading = reading;
    let mut buf = buf;
    let mut rrns = BTreeSet::new();
    let mut stan = 0;
    while stan < COUNT {
        let Some(frame) = framing.next_frame(&schema, 9999, &mut buf).unwrap() else {
            assert!(tokio::io::AsyncReadExt::read_buf(&mut reading, &mut buf).await.unwrap() > 0);
            continue;
        };
        stan += 1;
        let answer = Message::parse(&schema, frame.payload).unwrap();
        let its = [11, 41, 4].map(|n| text(&answer, n));
        assert_eq!(
            its,
            [format!("{stan:06}"), format!("{:08}", stan % 7 + 1), format!("{:012}", amount(stan))]
        );
        assert_eq!(verdict(&answer), "0210 000");
        assert!(rrns.insert(text(&answer, 37)), "an RRN came twice");
    }
    drop(writer.await.unwrap());
    let summary = bank.stop().await;
    assert_eq!(
        (summary.messages, summary.booked, summary.answers),
        (COUNT.into(), COUNT.into(), COUNT.into())
    );
}

#[tokio::test]
async fn connections_do_not_hear_each_other() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut links = Vec::new();
    for tid in 1..=50 {
        let mut link = bank.connect().await;
        link.send(&[echo(tid, 1), sale(tid, 2, 10)]).await;
        links.push((tid, link));
    }
    for (tid, link) in &mut links {
        for expected in ["0810 000", "0210 000"] {
            let answer = link.answer().await;
            assert_eq!((verdict(&answer).as_str(), text(&answer, 41)), (expected, format!("{tid:08}")));
        }
    }
    assert_eq!(bank.stop().await.connections, 50);
}

#[tokio::test]
async fn a_message_in_single_bytes_is_one_message() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut link = bank.connect().await;
    let mut out = BytesMut::new();
    link.framing.encode(&sale(1, 1, 10), &[], &mut out).unwrap();
    for byte in out {
        link.stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(link.verdict().await, "0210 000");
    bank.stop().await;
}

#[tokio::test]
async fn what_is_no_message_is_counted_and_what_is_no_frame_ends_the_connection() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut link = bank.connect().await;
    link.send(&[vec![0xFF; 24], b"0210".to_vec(), echo(1, 1)]).await;
    assert_eq!(link.verdict().await, "0810 000");
    link.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(link.payload().await, None);
    let mut other = bank.connect().await;
    other.send(&[echo(1, 2)]).await;
    assert_eq!(other.verdict().await, "0810 000");
    assert_eq!(bank.stop().await.unreadable, 3);
}

#[tokio::test]
async fn a_client_that_closed_its_sending_side_gets_its_answers() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), echo(1, 2)]).await;
    link.stream.shutdown().await.unwrap();
    assert_eq!((link.verdict().await, link.verdict().await), ("0210 000".into(), "0810 000".into()));
    assert_eq!(link.payload().await, None);
    bank.stop().await;
}

/// Messages with bytes changed, cut and grown by chance: the bank answers or not, and goes on.
#[tokio::test]
async fn no_message_however_mangled_ends_the_bank_or_its_connection() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut link = bank.connect().await;
    let mut seed = 0x5EED_u64;
    let mut chance = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..200 {
        let mangled: Vec<Vec<u8>> = (0..50)
            .map(|_| {
                let stan = chance(20) as u32;
                let mut message = if chance(2) == 0 { sale(1, stan, 10) } else { reversal(1, stan, 10) };
                match chance(4) {
                    0 => message.truncate(chance(message.len())),
                    1 => message.extend(std::iter::repeat_n(b'9', chance(300))),
                    // The MTI and the bitmap.
                    2 => message[chance(12)] = chance(256) as u8,
                    _ => {
                        for _ in 0..=chance(5) {
                            let at = chance(message.len());
                            message[at] = chance(256) as u8;
                        }
                    }
                }
                message
            })
            .filter(|message| !message.is_empty())
            .collect();
        link.send(&mangled).await;
        link.send(&[echo(9, 900_000 + round)]).await;
        loop {
            let payload = link.payload().await.expect("the bank has closed");
            let Ok(answer) = Message::parse(&bank.dialect.schema, payload) else { continue };
            if text(&answer, 11) == format!("{}", 900_000 + round) && text(&answer, 41) == "00000009" {
                break;
            }
        }
    }
    assert!(bank.stop().await.messages > 5_000);
}
