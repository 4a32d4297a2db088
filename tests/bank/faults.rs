//! Every fault, seen from the other end of a real socket.

use std::time::{Duration, Instant};

use socketqueue::bank::Faults;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::host::{Bank, PATIENCE, echo, reversal, sale, settings, text, verdict};

const ALWAYS: u16 = 1000;

#[tokio::test]
async fn delay_holds_every_answer_back() {
    let ms = Duration::from_millis(60);
    let bank = Bank::start(settings(Faults { delay: (ms, ms), ..Faults::default() })).await;
    let mut link = bank.connect().await;
    let begun = Instant::now();
    link.send(&[sale(1, 1, 10), echo(1, 2)]).await;
    assert_eq!((link.verdict().await, link.verdict().await), ("0210 000".into(), "0810 000".into()));
    assert!(begun.elapsed() >= ms, "{:?}", begun.elapsed());
    bank.stop().await;
}

#[tokio::test]
async fn drop_neither_books_nor_answers() {
    let bank = Bank::start(settings(Faults { drop: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), echo(1, 2)]).await;
    assert_eq!(link.verdict().await, "0810 000");
    let summary = bank.stop().await;
    assert_eq!((summary.messages, summary.answers, summary.booked, summary.lost), (2, 1, 0, 1));
}

#[tokio::test]
async fn duplicate_answers_twice_and_books_once() {
    let bank = Bank::start(settings(Faults { duplicate: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), echo(1, 2)]).await;
    let (first, second) = (link.answer().await, link.answer().await);
    assert_eq!(first.raw(), second.raw());
    assert_eq!(verdict(&first), "0210 000");
    assert_eq!(link.verdict().await, "0810 000");
    assert_eq!(bank.stop().await.booked, 1);
}

#[tokio::test]
async fn a_second_answer_can_come_later() {
    let after = Duration::from_millis(60);
    let faults = Faults { duplicate: ALWAYS, duplicate_after: after, ..Faults::default() };
    let bank = Bank::start(settings(faults)).await;
    let mut link = bank.connect().await;
    let begun = Instant::now();
    link.send(&[sale(1, 1, 10), echo(1, 2)]).await;
    assert_eq!(link.verdict().await, "0210 000");
    assert_eq!(link.verdict().await, "0810 000");
    assert_eq!(link.verdict().await, "0210 000");
    assert!(begun.elapsed() >= after);
    bank.stop().await;
}

#[tokio::test]
async fn single_bytes_arrive_in_pieces() {
    let bank = Bank::start(settings(Faults { single_bytes: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10)]).await;
    let mut reads = 0;
    while link.buf.len() < 4 + 170 {
        let read =
            tokio::time::timeout(PATIENCE, link.stream.read_buf(&mut link.buf)).await.unwrap().unwrap();
        assert!(read > 0);
        reads += 1;
    }
    assert!(reads > 1, "the answer came in one piece");
    assert_eq!(link.verdict().await, "0210 000");
    bank.stop().await;
}

#[tokio::test]
async fn coalesce_keeps_an_answer_for_the_next_one() {
    let bank = Bank::start(settings(Faults { coalesce: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    let begun = Instant::now();
    link.send(&[sale(1, 1, 10)]).await;
    assert_eq!(link.verdict().await, "0210 000");
    // Nothing came that it could be joined with.
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    link.send(&[sale(1, 2, 10)]).await;
    link.send(&[echo(1, 3)]).await;
    link.buf.reserve(4096);
    let read = tokio::time::timeout(PATIENCE, link.stream.read_buf(&mut link.buf)).await.unwrap().unwrap();
    assert_eq!(read, 4 + 170 + 4 + 57, "both answers in one go");
    assert_eq!((link.verdict().await, link.verdict().await), ("0210 000".into(), "0810 000".into()));
    bank.stop().await;
}

#[tokio::test]
async fn reorder_swaps_an_answer_with_the_next_one() {
    let bank = Bank::start(settings(Faults { reorder: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), echo(1, 2), echo(1, 3)]).await;
    let order =
        [link.answer().await, link.answer().await, link.answer().await].map(|answer| text(&answer, 11));
    assert_eq!(order, ["000002", "000001", "000003"]);
    bank.stop().await;
}

#[tokio::test]
async fn reorder_reversal_takes_a_reversal_before_its_sale() {
    let bank = Bank::start(settings(Faults { reorder_reversal: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), sale(2, 1, 10)]).await;
    link.send(&[reversal(1, 1, 10)]).await;
    assert_eq!(link.verdict().await, "0410 914");
    let refused = link.answer().await;
    assert_eq!((verdict(&refused).as_str(), text(&refused, 41).as_str()), ("0210 100", "00000001"));
    // The other sale is still waiting; when its client can send nothing more, it is taken.
    link.stream.shutdown().await.unwrap();
    let booked = link.answer().await;
    assert_eq!((verdict(&booked).as_str(), text(&booked, 41).as_str()), ("0210 000", "00000002"));
    assert_eq!(link.payload().await, None);
    let summary = bank.stop().await;
    assert_eq!((summary.booked, summary.late_originals_refused, summary.reversals_not_found), (1, 1, 1));
}

#[tokio::test]
async fn late_books_at_once_and_answers_later() {
    let late_by = Duration::from_millis(80);
    let bank = Bank::start(settings(Faults { late: ALWAYS, late_by, ..Faults::default() })).await;
    let (mut link, mut other) = (bank.connect().await, bank.connect().await);
    let begun = Instant::now();
    link.send(&[sale(1, 1, 100_000), echo(1, 2)]).await;
    assert_eq!(link.verdict().await, "0810 000");
    // The money is gone although nobody was told.
    other.send(&[sale(2, 1, 1)]).await;
    assert_eq!(other.verdict().await, "0210 116");
    assert_eq!(link.verdict().await, "0210 000");
    assert!(begun.elapsed() >= late_by);
    bank.stop().await;
}

#[tokio::test]
async fn close_books_and_closes() {
    let bank = Bank::start(settings(Faults { close: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[echo(1, 1), sale(1, 2, 10)]).await;
    assert_eq!(link.verdict().await, "0810 000");
    assert_eq!(link.payload().await, None);
    assert_eq!(bank.stop().await.booked, 1);
}

#[tokio::test]
async fn garbage_comes_before_the_answer_as_a_frame_or_bare() {
    let bank = Bank::start(settings(Faults { garbage: ALWAYS, ..Faults::default() })).await;
    let noise = [0xFF; 24];
    let (mut framed, mut bare) = (0, 0);
    for stan in 1..=20 {
        let mut link = bank.connect().await;
        link.send(&[sale(1, stan, 10)]).await;
        while link.buf.len() < 24 + 174 {
            let read =
                tokio::time::timeout(PATIENCE, link.stream.read_buf(&mut link.buf)).await.unwrap().unwrap();
            assert!(read > 0);
        }
        if link.buf.starts_with(b"0024") {
            assert_eq!(link.payload().await.unwrap(), noise[..]);
            framed += 1;
        } else {
            assert_eq!(link.buf.split_to(24), noise[..]);
            bare += 1;
        }
        assert_eq!(link.verdict().await, "0210 000");
    }
    assert!(framed > 0 && bare > 0, "{framed} framed, {bare} bare");
    bank.stop().await;
}

#[tokio::test]
async fn silent_books_and_says_nothing() {
    let bank = Bank::start(settings(Faults { silent: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), echo(1, 2)]).await;
    assert_eq!(link.verdict().await, "0810 000");
    let summary = bank.stop().await;
    assert_eq!((summary.booked, summary.answers), (1, 1));
}

#[tokio::test]
async fn reversal_error_strikes_the_first_reversal() {
    let bank = Bank::start(settings(Faults { reversal_error: ALWAYS, ..Faults::default() })).await;
    let mut link = bank.connect().await;
    link.send(&[sale(1, 1, 10), reversal(1, 1, 10), reversal(1, 1, 10), reversal(1, 1, 10)]).await;
    assert_eq!(link.verdict().await, "0210 000");
    for code in ["909", "000", "000"] {
        assert_eq!(link.verdict().await, format!("0410 {code}"));
    }
    let summary = bank.stop().await;
    assert_eq!((summary.reversal_errors, summary.reversed, summary.reversal_repeats), (1, 1, 1));
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_messages() {
    let faults = Faults { silent: 300, duplicate: 300, reorder: 300, ..Faults::default() };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let bank = Bank::start(socketqueue::bank::Settings { seed, ..settings(faults) }).await;
        let mut link = bank.connect().await;
        let sales: Vec<Vec<u8>> = (1..=50).map(|stan| sale(1, stan, 10)).collect();
        link.send(&sales).await;
        link.send(&[echo(1, 999), echo(1, 1000)]).await;
        let mut order = Vec::new();
        while order.last().map(String::as_str) != Some("001000") {
            order.push(text(&link.answer().await, 11));
        }
        runs.push(order);
        bank.stop().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
