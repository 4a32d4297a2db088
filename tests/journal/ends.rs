//! What is over: opened again while it can be, erased in time, and nothing of it left.

use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::mux::{FinalState, JournalOp, Stage};
use socketqueue::rules::AnswerRecord;

use crate::desk::*;

fn flush_if(journal: &mut socketqueue::journal::sqlite::Sqlite, now: bool) {
    if now {
        flush(journal);
    }
}

#[test]
fn one_that_had_ended_is_open_again_under_its_new_id() {
    for in_one_batch in [true, false] {
        let desk = Desk::new();
        let (mut journal, _) = desk.open();
        submit(&mut journal, [intent(1), delivered(1)]);
        if !in_one_batch {
            flush(&mut journal);
        }
        submit(&mut journal, [JournalOp::Reopened { id: id(2), was: id(1) }, JournalOp::Owed { id: id(2) }]);
        flush(&mut journal);
        drop(journal);
        let rows = desk.open().1;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].stage, Stage::Owed);
    }
}

/// An approval was delivered, so the journal has its end; then its connection failed before the client's TCP had it.
#[test]
fn one_that_had_ended_is_open_again_under_the_same_id() {
    type Op = fn(u64) -> JournalOp;
    let cases: [(Op, Stage); 3] = [
        (|n| JournalOp::Owed { id: id(n) }, Stage::Owed),
        (|n| JournalOp::Listed { id: id(n) }, Stage::Listed),
        (|n| JournalOp::Parked { id: id(n) }, Stage::Parked),
    ];
    for (op, stage) in cases {
        for in_one_batch in [true, false] {
            let desk = Desk::new();
            let (mut journal, _) = desk.open();
            submit(&mut journal, [intent(1), intent(2), delivered(1), delivered(2)]);
            flush_if(&mut journal, !in_one_batch);
            submit(&mut journal, [op(1)]);
            flush(&mut journal);
            assert_eq!(journal.figures().open, 1);
            assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records WHERE outcome IS NULL"), 1);
            assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records WHERE ended_ms IS NULL"), 1);
            // Its image stays, whatever time goes by.
            desk.later(desk.options.late_window * 2);
            journal.sweep();
            drop(journal);
            let (mut journal, rows) = desk.open();
            assert_eq!(rows.iter().map(|row| (row.was, row.stage)).collect::<Vec<_>>(), [(1, stage)]);
            submit(
                &mut journal,
                [JournalOp::Adopt { id: id(9), row: rows[0].row }, end(9, FinalState::Reversed)],
            );
            drop(journal);
            assert!(desk.open().1.is_empty());
        }
    }
}

#[test]
fn one_opened_again_goes_on_and_ends_as_any_other() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), delivered(1)]);
    flush(&mut journal);
    submit(&mut journal, [JournalOp::Owed { id: id(1) }]);
    flush(&mut journal);
    submit(&mut journal, [JournalOp::Sent { id: id(1), attempt: 1 }]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT attempts FROM records"), 1);
    submit(&mut journal, [end(1, FinalState::Reversed)]);
    flush(&mut journal);
    assert_eq!(journal.figures().open, 0);
    assert_eq!(number(desk.path(), "SELECT outcome FROM records"), 5);
    drop(journal);
    assert!(desk.open().1.is_empty());
}

#[test]
fn the_last_end_of_several_is_the_outcome() {
    for in_one_batch in [true, false] {
        let desk = Desk::new();
        let (mut journal, _) = desk.open();
        submit(&mut journal, [intent(1), delivered(1)]);
        flush_if(&mut journal, !in_one_batch);
        submit(&mut journal, [end(1, FinalState::Unanswered)]);
        flush(&mut journal);
        assert_eq!(number(desk.path(), "SELECT outcome FROM records"), 4);
        drop(journal);
        assert!(desk.open().1.is_empty());
    }
}

#[test]
fn what_is_told_of_one_that_is_over_does_not_open_it() {
    for in_one_batch in [true, false] {
        let desk = Desk::new();
        let (mut journal, _) = desk.open();
        submit(&mut journal, [intent(1), delivered(1)]);
        flush_if(&mut journal, !in_one_batch);
        let answer = AnswerRecord::default();
        submit(
            &mut journal,
            [
                JournalOp::Answered { id: id(1), class: RequestClass::Approved, answer },
                JournalOp::Sent { id: id(1), attempt: 3 },
                JournalOp::Learned { id: id(1), rrn: "000000000001".into() },
                JournalOp::Superseded { id: id(1) },
            ],
        );
        flush(&mut journal);
        assert_eq!(journal.figures().open, 0);
        drop(journal);
        assert!(desk.open().1.is_empty());
    }
}

#[test]
fn what_ended_lately_is_told_to_the_next_start_and_can_be_opened_again() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let answer = AnswerRecord::new(None, None, Some(b"116"));
    let declined = JournalOp::Answered { id: id(1), class: RequestClass::Declined, answer };
    submit(&mut journal, [intent(1), declined, delivered(1), intent(2)]);
    drop(journal);

    let (mut journal, open) = desk.open();
    let lately = journal.take_lately();
    assert_eq!((lately.len(), open.len()), (1, 1));
    assert_eq!((lately[0].was, lately[0].outcome), (id(1).bits(), FinalState::Delivered));
    assert_eq!(lately[0].response_code.as_deref(), Some("116"));
    assert!(lately[0].image.is_some());
    // The host approves it after all.
    let (new, row) = (id(9), lately[0].row);
    submit(&mut journal, [JournalOp::Adopt { id: new, row }, JournalOp::Reopened { id: new, was: new }]);
    submit(&mut journal, [JournalOp::Owed { id: new }]);
    flush(&mut journal);
    drop(journal);

    let (mut journal, open) = desk.open();
    assert_eq!(open.iter().map(|row| row.stage).collect::<Vec<_>>(), [Stage::Owed, Stage::Intent]);
    assert!(journal.take_lately().is_empty());
    submit(&mut journal, [JournalOp::Adopt { id: id(10), row }, delivered(10)]);
    drop(journal);
    desk.later(desk.options.late_window + Duration::from_millis(1));
    assert!(desk.open().0.take_lately().is_empty(), "its time is over");
}

#[test]
fn what_ended_lately_comes_in_the_order_of_its_end() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=4).map(intent));
    verdicts(&mut journal, 4);
    for ended in [3, 1, 4] {
        desk.later(Duration::from_millis(1));
        submit(&mut journal, [delivered(ended)]);
    }
    // In the same millisecond: in the order in which they came.
    submit(&mut journal, [delivered(2)]);
    drop(journal);
    let lately = desk.open().0.take_lately();
    let found: Vec<(u64, i64)> = lately.iter().map(|row| (row.was, row.ended_wall_ms - START_MS)).collect();
    assert_eq!(found, [(3, 1), (1, 2), (2, 3), (4, 3)].map(|(n, ms)| (id(n).bits(), ms)));
}

#[test]
fn images_are_erased_after_the_late_window_and_records_after_theirs() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), intent(2), delivered(1)]);
    flush(&mut journal);
    // What the core decides in the last moment of its window must still find the image.
    desk.later(desk.options.late_window);
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 2);
    desk.later(GRACE);
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 1);
    desk.later(SHEET_PATIENCE);
    journal.sweep();
    assert_eq!(number(desk.path(), "SELECT id FROM images"), 2);
    assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records"), 2);
    desk.later(desk.options.keep_records);
    journal.sweep();
    // What is open stays, however old.
    assert_eq!(number(desk.path(), "SELECT id FROM records"), 2);
    let wal = desk.path().with_extension("journal-wal");
    assert_eq!(std::fs::metadata(wal).unwrap().len(), 0);
}

#[test]
fn a_wall_clock_that_is_set_back_keeps_no_image_longer() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), delivered(1)]);
    flush(&mut journal);
    desk.set_back(Duration::from_secs(3600));
    desk.later(desk.options.late_window + GRACE);
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 0);
}

#[test]
fn images_that_ended_in_an_earlier_run_are_erased_in_time() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), intent(2), delivered(1)]);
    drop(journal);
    desk.later(desk.options.late_window);
    let (journal, _) = desk.open();
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 2);
    desk.later(GRACE);
    journal.sweep();
    assert_eq!(number(desk.path(), "SELECT id FROM images"), 2);
}

#[test]
fn what_a_person_decided_is_kept_as_long_as_its_record() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(
        &mut journal,
        [intent(1), intent(2), JournalOp::Parked { id: id(1) }, JournalOp::Parked { id: id(2) }],
    );
    submit(&mut journal, [JournalOp::Resolved { id: id(1), decision: decision("refunded") }]);
    submit(&mut journal, [JournalOp::Retried { id: id(2), decision: decision("again"), force: false }]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM notes"), 2);
    desk.later(desk.options.keep_records + Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), "SELECT record FROM notes"), 2);
}

/// As much as a busy minute leaves: the sweep takes it in several commits.
#[test]
fn thousands_of_images_are_erased_in_one_sweep() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=2500).map(intent));
    submit(&mut journal, (1..=2500).map(delivered));
    flush(&mut journal);
    desk.later(desk.options.late_window + GRACE + SHEET_PATIENCE);
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 0);
    assert_eq!(number(desk.path(), RECORDS), 2500);
}
