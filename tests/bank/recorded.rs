//! What SocketQueue's own bank was asked and answered, recorded on the wire, in the order recorded.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::Value;
use socketqueue::iso8583::Message;
use socketqueue::time::Civil;

use crate::host::{Bank, settings, text, verdict};
use socketqueue::bank::Faults;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The message in a recorded frame: four digits of length, and so many bytes.
fn payload(frame: &[u8]) -> &[u8] {
    let len: usize = std::str::from_utf8(&frame[..4]).unwrap().parse().unwrap();
    assert_eq!(len, frame.len() - 4);
    &frame[4..]
}

/// `bytes` with the first `from` in it put as `to`.
fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

/// The wall time that an answer's DE 7 tells, in the year of the recording.
fn wall_ms(de_7: &str) -> i64 {
    let civil = Civil::parse_yymmddhhmmss(format!("26{de_7}").as_bytes()).unwrap();
    civil.to_seconds() * 1000
}

/// Byte for byte, but for DE 37 and 38, which are random: those are put into the recorded answer as the bank chose them,
/// and an RRN that a later request repeats is followed. DE 7 is the bank's clock, set to the moment of the recording.
#[tokio::test]
async fn recorded_requests_get_the_recorded_answers() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut link = bank.connect().await;
    let mut rrns: BTreeMap<String, String> = BTreeMap::new();
    let mut compared = 0;
    for line in include_str!("../golden/bank.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let mut request = payload(&hex(case["request"].as_str().unwrap())).to_vec();
        for (recorded, ours) in &rrns {
            if request.windows(12).any(|window| window == recorded.as_bytes()) {
                request = replace(&request, recorded, ours);
            }
        }
        let recorded = case["answer"].as_str().map(|answer| payload(&hex(answer)).to_vec());
        if case.get("differs").is_none() {
            let recorded = recorded.as_ref().unwrap();
            let recorded = Message::parse(&bank.dialect.schema, Bytes::from(recorded.clone())).unwrap();
            bank.wall_ms.store(wall_ms(&text(&recorded, 7)), Ordering::Relaxed);
        }
        link.send(&[request]).await;
        let answer = link.answer().await;
        match id {
            // An 0100 is answered here.
            "bank-012-other-mti-0100" => assert_eq!(verdict(&answer), "0110 000"),
            // DE 52 comes back whole (the original's answer lacks its first byte, D18).
            "bin-001-52" => assert_eq!(
                (verdict(&answer), text(&answer, 52)),
                ("0210 000".into(), "0123456789abcdef".into())
            ),
            // DE 55 and 52 promise a byte that is not there: a broken message.
            "bin-006-55-300bytes" | "bin-007-52-9bytes" => assert_eq!(verdict(&answer), "0210 120"),
            _ => {
                let mut expected = recorded.unwrap();
                let theirs = Message::parse(&bank.dialect.schema, Bytes::from(expected.clone())).unwrap();
                for (n, is_right) in [(37, is_rrn as fn(&str) -> bool), (38, is_approval_code)] {
                    let (recorded, ours) = (text(&theirs, n), text(&answer, n));
                    assert_eq!(recorded.len(), ours.len(), "{id}: DE {n}");
                    if !recorded.is_empty() {
                        assert!(is_right(&ours), "{id}: DE {n}");
                        expected = replace(&expected, &recorded, &ours);
                    }
                    if n == 37 {
                        rrns.insert(recorded, ours);
                    }
                }
                assert_eq!(
                    answer.raw().escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    "{id}"
                );
                compared += 1;
            }
        }
        rrns.remove("");
    }
    assert_eq!(compared, 32);
    let summary = bank.stop().await;
    assert_eq!((summary.messages, summary.answers, summary.unreadable, summary.reversed), (36, 36, 0, 1));
}

fn is_rrn(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_approval_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// SocketQueue's bank died of a purchase without DE 35 (D12, http-003).
#[tokio::test]
async fn a_purchase_without_any_card_is_refused_and_the_bank_lives() {
    let bank = Bank::start(settings(Faults::default())).await;
    let mut link = bank.connect().await;
    let mut cardless = crate::host::sale(117, 19, 100);
    // Without bit 35 (the third bit of the fifth byte) and its 39 bytes.
    cardless[8] &= !0x20;
    cardless.drain(66..105);
    link.send(&[cardless, crate::host::echo(117, 20)]).await;
    assert_eq!(link.verdict().await, "0210 005");
    assert_eq!(link.verdict().await, "0810 000");
    bank.stop().await;
}
