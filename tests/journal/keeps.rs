//! What is kept, in which order, and for how long.

use std::sync::mpsc;
use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::journal::Verdict::{Durable, Failed, Up};
use socketqueue::journal::disk::{Commit, Fate};
use socketqueue::mux::{FinalState, JournalOp, Record, Stage};
use socketqueue::rules::AnswerRecord;

use crate::desk::*;

fn approved(n: u64) -> JournalOp {
    let answer = AnswerRecord::new(Some(b"000000000042"), None, None);
    JournalOp::Answered { id: id(n), class: RequestClass::Approved, answer }
}

#[test]
fn what_is_open_comes_back_oldest_first_with_how_far_it_had_come() {
    let desk = Desk::new();
    let (mut journal, rows) = desk.open();
    assert!(rows.is_empty());
    submit(&mut journal, (1..=6).map(intent));
    assert_eq!(verdicts(&mut journal, 6), (1..=6).map(|n| Durable(id(n))).collect::<Vec<_>>());
    submit(
        &mut journal,
        [
            approved(2),
            approved(3),
            delivered(3),
            JournalOp::Owed { id: id(4) },
            JournalOp::Sent { id: id(4), attempt: 2 },
            JournalOp::Parked { id: id(5) },
            end(5, FinalState::Parked),
            JournalOp::Listed { id: id(6) },
        ],
    );
    flush(&mut journal);
    drop(journal);
    let (_journal, rows) = desk.open();
    let found: Vec<_> = rows.iter().map(|row| (row.was, row.stage, row.attempts)).collect();
    assert_eq!(
        found,
        [
            (1, Stage::Intent, 0),
            (2, Stage::AnsweredApproved, 0),
            (4, Stage::Owed, 2),
            (5, Stage::Parked, 0),
            (6, Stage::Listed, 0)
        ]
    );
    assert_eq!(rows[1].rrn.as_deref(), Some(&b"000000000042"[..]));
    assert_eq!((rows[0].received_wall_ms, rows[0].mti.as_str()), (START_MS, "0200"));
    assert_eq!(rows[0].upstream, upstream());
    assert!(rows[0].image.starts_with(b"0200"));
}

#[test]
fn a_transaction_goes_on_under_its_new_id_after_a_restart() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    drop(journal);
    let (mut journal, rows) = desk.open();
    submit(
        &mut journal,
        [
            JournalOp::Adopt { id: id(9), row: rows[0].row },
            JournalOp::Owed { id: id(9) },
            JournalOp::Sent { id: id(9), attempt: 1 },
        ],
    );
    flush(&mut journal);
    submit(&mut journal, [end(9, FinalState::Reversed)]);
    drop(journal);
    assert!(desk.open().1.is_empty());
    assert_eq!(number(desk.path(), "SELECT outcome FROM records"), 5);
}

#[test]
fn what_was_given_up_before_its_intent_was_durable_costs_one_row_and_no_image() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), end(1, FinalState::NeverSent)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(1))]);
    assert_eq!(journal.figures().commits, 1);
    assert_eq!(number(desk.path(), IMAGES), 0);
    assert_eq!(number(desk.path(), "SELECT outcome FROM records"), 1);
}

#[test]
fn what_queues_up_while_a_commit_runs_makes_the_next_one() {
    let desk = Desk::new();
    let (begun, first) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let disk = move |_: Commit| {
        begun.send(()).unwrap();
        gate.recv().unwrap();
        Fate::Normal
    };
    let (mut journal, _) = desk.open_on(&desk.options, disk).unwrap();
    submit(&mut journal, [intent(1)]);
    first.recv().unwrap();
    for n in 2..=50 {
        submit(&mut journal, [intent(n)]);
    }
    go.send(()).unwrap();
    first.recv().unwrap();
    go.send(()).unwrap();
    assert_eq!(verdicts(&mut journal, 50), (1..=50).map(|n| Durable(id(n))).collect::<Vec<_>>());
    flush(&mut journal);
    let figures = journal.figures();
    assert_eq!((figures.commits, figures.intents, figures.batch_max), (2, 50, 49));
}

#[test]
fn a_bad_row_fails_alone() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    rusqlite::Connection::open(desk.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER bad BEFORE INSERT ON records WHEN NEW.elements ->> '11' = '000002' BEGIN SELECT RAISE(ABORT, 'bad'); END;
             CREATE TRIGGER bad_too BEFORE INSERT ON sheets BEGIN SELECT RAISE(ABORT, 'bad'); END",
        )
        .unwrap();
    submit(&mut journal, (1..=3).map(intent));
    assert_eq!(verdicts(&mut journal, 4), [Durable(id(1)), Failed(id(2)), Durable(id(3)), Up]);
    assert_eq!(journal.figures().bad_rows, 1);
    assert_eq!(number(desk.path(), IMAGES), 2);
}

#[test]
fn keys_and_outcomes_are_told_to_the_next_start_for_their_time() {
    let desk = Desk::new();
    let record = Record { key: Some([7; 32]), body: [8; 32] };
    let (mut journal, _) = desk.open();
    submit(
        &mut journal,
        [keyed(1, record), keyed(2, record), intent(3), end(1, FinalState::Reversed), delivered(3)],
    );
    drop(journal);
    let (mut journal, rows) = desk.open();
    assert_eq!((rows.len(), rows[0].record), (1, Some(record)));
    let remembered = journal.take_remembered();
    assert_eq!(remembered.len(), 1);
    assert_eq!((remembered[0].was, remembered[0].record), (1, record));
    assert_eq!(remembered[0].outcome, FinalState::Reversed);
    drop(journal);
    desk.later(desk.options.idempotency_ttl + Duration::from_millis(1));
    assert!(desk.open().0.take_remembered().is_empty());
}

#[test]
fn what_a_person_decides_is_kept_with_the_reason_without_card_numbers() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), JournalOp::Parked { id: id(1) }, end(1, FinalState::Parked)]);
    submit(&mut journal, [JournalOp::Resolved { id: id(1), decision: decision(&format!("refunded {PAN}")) }]);
    drop(journal);
    assert!(desk.open().1.is_empty());
    let sql = "SELECT operator, reason FROM notes WHERE what = 'resolved'";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (operator, reason): (String, String) =
        rusqlite::Connection::open(desk.path()).unwrap().query_row(sql, [], read).unwrap();
    assert!(reason.starts_with("refunded 485078") && !reason.contains(PAN), "{reason}");
    assert_eq!(operator, "ops: night shift", "whatever it has in it");
}
