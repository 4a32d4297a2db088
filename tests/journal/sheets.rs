//! Intents lie in sheets, those of a commit together: found there, taken out when that has to be, erased in time.

use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::journal::desk::{Filter, Reader, Which, verify};
use socketqueue::journal::seal::Keyring;
use socketqueue::journal::sqlite::Sqlite;
use socketqueue::journal::{JournalError, Stage};
use socketqueue::mux::{FinalState, JournalOp};
use socketqueue::rules::AnswerRecord;

use crate::desk::*;

const SHEETS: &str = "SELECT COUNT(*) FROM sheets";
const RECORDS: &str = "SELECT COUNT(*) FROM records";
const OWN_IMAGES: &str = "SELECT COUNT(*) FROM images";

/// Three intents in a sheet, of which these have ended.
fn with_a_sheet(desk: &Desk, ended: impl IntoIterator<Item = u64>) -> Sqlite {
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=3).map(intent));
    verdicts(&mut journal, 3);
    assert_eq!((number(desk.path(), SHEETS), number(desk.path(), RECORDS)), (1, 0));
    submit(&mut journal, ended.into_iter().map(delivered));
    flush(&mut journal);
    journal
}

/// When a sheet that was made now is looked at.
fn erased_after(desk: &Desk) -> Duration {
    desk.options.late_window + GRACE + SHEET_PATIENCE
}

/// Rows and their stages, as `journal list` has them.
fn listed(reader: &Reader, which: Which) -> Vec<(i64, Stage)> {
    reader.entries(Filter::of(which)).unwrap().map(|entry| entry.map(|e| (e.row, e.stage)).unwrap()).collect()
}

#[test]
fn a_sheet_is_erased_when_the_time_of_all_its_rows_is_over() {
    let desk = Desk::new();
    let journal = with_a_sheet(&desk, 1..=3);
    assert_eq!((number(desk.path(), OWN_IMAGES), number(desk.path(), RECORDS)), (0, 3));
    desk.later(erased_after(&desk) - Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 3);
    desk.later(Duration::from_millis(1));
    journal.sweep();
    assert_eq!((number(desk.path(), IMAGES), number(desk.path(), RECORDS)), (0, 3));
}

#[test]
fn a_sheet_is_unfolded_for_what_takes_longer() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, [1]);
    desk.later(Duration::from_secs(100));
    submit(&mut journal, [delivered(3)]);
    flush(&mut journal);
    desk.later(erased_after(&desk) - Duration::from_secs(100));
    journal.sweep();
    assert_eq!((number(desk.path(), SHEETS), number(desk.path(), OWN_IMAGES)), (0, 2));
    assert_eq!(number(desk.path(), "SELECT SUM(id) FROM images"), 2 + 3);
    assert_eq!(number(desk.path(), "SELECT stage FROM records WHERE id = 2"), Stage::Intent.number());
    // That of the one that ended later goes in its time, and that of the one that is open stays.
    desk.later(Duration::from_secs(100) - SHEET_PATIENCE - Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), OWN_IMAGES), 2);
    desk.later(Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), "SELECT id FROM images"), 2);
    // It ends as any other.
    submit(&mut journal, [delivered(2)]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT outcome FROM records WHERE id = 2"), 2);
    desk.later(desk.options.late_window + GRACE);
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 0);
}

#[test]
fn images_of_a_sheet_from_an_earlier_run_are_erased_in_time() {
    let desk = Desk::new();
    drop(with_a_sheet(&desk, 1..=3));
    desk.later(desk.options.late_window);
    let (mut journal, _) = desk.open();
    let row = journal.take_lately().first().map(|row| row.row).unwrap();
    assert_eq!((row, number(desk.path(), SHEETS)), (1, 1));
    // The host approves one after all: it has to go on under another id, and the others are over as they were.
    submit(
        &mut journal,
        [
            JournalOp::Adopt { id: id(9), row },
            JournalOp::Reopened { id: id(9), was: id(9) },
            JournalOp::Owed { id: id(9) },
        ],
    );
    flush(&mut journal);
    assert_eq!((number(desk.path(), SHEETS), number(desk.path(), OWN_IMAGES)), (0, 3));
    desk.later(GRACE - Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 3);
    desk.later(Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), "SELECT id FROM images"), 1);
    drop(journal);
    let rows = desk.open().1;
    assert_eq!(rows.iter().map(|row| row.was).collect::<Vec<_>>(), [id(1).bits()]);
    assert!(rows[0].image.starts_with(b"0200"));
}

#[test]
fn a_sheet_whose_rows_a_start_finds_closed_stays_until_its_time() {
    let desk = Desk::new();
    drop(with_a_sheet(&desk, 1..=3));
    let (journal, open) = desk.open();
    assert!(open.is_empty());
    desk.later(erased_after(&desk) - Duration::from_millis(1));
    journal.sweep();
    assert_eq!((number(desk.path(), IMAGES), number(desk.path(), SHEETS)), (3, 1));
    desk.later(Duration::from_millis(1));
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 0);
}

/// A row of a sheet that has no record is an intent. So a record is never deleted before its sheet, or what was delivered
/// would be reversed after the next start.
#[test]
fn what_was_over_does_not_come_back_when_its_record_goes_first() {
    let mut desk = Desk::new();
    desk.options.keep_records = Duration::from_secs(60);
    let journal = with_a_sheet(&desk, [1, 3]);
    desk.later(Duration::from_secs(61));
    journal.sweep();
    assert_eq!((number(desk.path(), "SELECT id FROM records"), number(desk.path(), SHEETS)), (2, 0));
    assert_eq!(number(desk.path(), "SELECT id FROM images"), 2);
    drop(journal);
    let open = desk.open().1;
    assert_eq!(open.iter().map(|row| row.was).collect::<Vec<_>>(), [id(2).bits()]);
}

#[test]
fn what_was_opened_again_in_the_same_run_leaves_its_sheet_and_the_others_do_too() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, [1, 2]);
    submit(&mut journal, [JournalOp::Reopened { id: id(8), was: id(1) }]);
    flush(&mut journal);
    assert_eq!((number(desk.path(), SHEETS), number(desk.path(), OWN_IMAGES)), (0, 3));
    submit(&mut journal, [end(8, FinalState::Reversed), delivered(3)]);
    flush(&mut journal);
    desk.later(desk.options.late_window + GRACE);
    journal.sweep();
    assert_eq!((number(desk.path(), IMAGES), number(desk.path(), RECORDS)), (0, 3));
    assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records WHERE stage = 7"), 3);
}

#[test]
fn intents_are_shown_beside_the_gateway_that_has_them() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, [1]);
    let answer = AnswerRecord::new(None, None, Some(b"000"));
    submit(&mut journal, [JournalOp::Answered { id: id(2), class: RequestClass::Approved, answer }]);
    flush(&mut journal);
    let reader = Reader::open(desk.path()).unwrap();
    let (closed, approved, intent) = ((1, Stage::Closed), (2, Stage::AnsweredApproved), (3, Stage::Intent));
    assert_eq!(listed(&reader, Which::All), [closed, approved, intent]);
    assert_eq!(listed(&reader, Which::Open), [approved, intent]);
    assert_eq!(listed(&reader, Which::At(Stage::Intent)), [intent]);
    assert_eq!(listed(&reader, Which::Closed), [closed]);
    for (filter, rows) in [
        (Filter { tid: Some("10000001".into()), ..Filter::of(Which::Open) }, 2),
        (Filter { tid: Some("10000002".into()), ..Filter::of(Which::Open) }, 0),
        (Filter { since_ms: Some(START_MS), ..Filter::of(Which::Open) }, 2),
        (Filter { since_ms: Some(START_MS + 1), ..Filter::of(Which::Open) }, 0),
        (Filter { before_ms: Some(START_MS), ..Filter::of(Which::Open) }, 0),
    ] {
        assert_eq!(reader.entries(filter.clone()).unwrap().count(), rows, "{filter:?}");
    }
    let entries = [1, 2, 3].map(|row| reader.entry(row).unwrap().unwrap());
    assert!(entries.iter().all(|entry| entry.key_id.is_some() && entry.key_id == entries[0].key_id));
    let of_intent = &entries[2];
    assert_eq!((of_intent.id, of_intent.told, of_intent.is_of_before), (3, 3, false));
    assert_eq!((of_intent.mti.as_str(), of_intent.stan.as_deref()), ("0200", Some("000003")));
    assert_eq!(
        (of_intent.amount.as_deref(), of_intent.tid.as_deref()),
        (Some("000000001000"), Some("10000001"))
    );
    assert_eq!(of_intent.upstream, upstream());
    // What an intent has, its record has.
    let told = |entry: &socketqueue::journal::desk::Entry| {
        let entry = entry.clone();
        (
            entry.mid,
            entry.currency,
            entry.processing_code,
            entry.transmission_time,
            entry.local_time,
            entry.received_ms,
        )
    };
    assert_eq!(told(&entries[0]), told(of_intent));
    assert_eq!(reader.entry(4).unwrap(), None);
    assert_eq!([1, 2, 3, 4].map(|id| reader.row_of(id).unwrap()), [Some(1), Some(2), Some(3), None]);
    let counts = reader.counts().unwrap();
    for (stage, count) in counts {
        let expected = matches!(stage, Stage::Closed | Stage::AnsweredApproved | Stage::Intent);
        assert_eq!(count, u64::from(expected), "{stage:?}");
    }
    let keys = Keyring::load(&desk.options, false).unwrap();
    let findings = verify(&reader, &keys).unwrap();
    assert!(findings.is_sound() && findings.sealed == 3, "{findings:?}");
    // After a sudden end they are of before.
    drop(journal);
    let _started = desk.open();
    assert!(Reader::open(desk.path()).unwrap().entry(3).unwrap().unwrap().is_of_before);
}

fn approved(n: u64) -> JournalOp {
    let rrn = format!("{n:012}");
    let answer = AnswerRecord::new(Some(rrn.as_bytes()), Some(b"A1"), Some(b"000"));
    JournalOp::Answered { id: id(n), class: RequestClass::Approved, answer }
}

const ANSWERS: &str = "SELECT COUNT(*) FROM answers";

#[test]
fn answers_are_noted_until_there_are_records() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, []);
    submit(&mut journal, [approved(1), approved(3)]);
    flush(&mut journal);
    assert_eq!((number(desk.path(), ANSWERS), number(desk.path(), RECORDS)), (1, 0));
    submit(&mut journal, [delivered(1), JournalOp::Owed { id: id(2) }]);
    flush(&mut journal);
    assert_eq!(
        number(desk.path(), "SELECT SUM(id) FROM records WHERE elements ->> '4' = '000000001000'"),
        1 + 2
    );
    assert_eq!(
        number(
            desk.path(),
            "SELECT CAST(rrn AS INTEGER) FROM records WHERE approval_code = 'A1' AND response_code = '000'"
        ),
        1
    );
    let reader = Reader::open(desk.path()).unwrap();
    let told =
        |row| reader.entry(row).unwrap().map(|entry| (entry.stage, entry.rrn, entry.response_code)).unwrap();
    let answered = |n: u64| (Some(format!("{n:012}")), Some("000".to_owned()));
    let of = |stage, (rrn, code)| (stage, rrn, code);
    assert_eq!(told(1), of(Stage::Closed, answered(1)));
    assert_eq!(told(2), of(Stage::Owed, (None, None)));
    assert_eq!(told(3), of(Stage::AnsweredApproved, answered(3)));
    assert_eq!(listed(&reader, Which::At(Stage::AnsweredApproved)), [(3, Stage::AnsweredApproved)]);
    // Answered again: that belongs into the record.
    submit(&mut journal, [approved(3)]);
    flush(&mut journal);
    assert_eq!((number(desk.path(), RECORDS), number(desk.path(), ANSWERS)), (3, 1));
    // All of them have records, so the next commit takes the answers away.
    submit(&mut journal, [intent(4)]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), ANSWERS), 0);
}

#[test]
fn answers_outlive_the_process() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, [2]);
    submit(&mut journal, [approved(1)]);
    flush(&mut journal);
    drop(journal);
    let rows = desk.open().1;
    let found: Vec<_> = rows.iter().map(|row| (row.was, row.stage, row.rrn.as_deref())).collect();
    use socketqueue::mux::Stage::{AnsweredApproved, Intent};
    assert_eq!(found, [(1, AnsweredApproved, Some(&b"000000000001"[..])), (3, Intent, None)]);
    assert_eq!(number(desk.path(), ANSWERS), 0);
    assert_eq!(number(desk.path(), "SELECT approval_code = 'A1' FROM records WHERE id = 1"), 1);
}

/// A sheet that is unfolded takes the answers to its rows with it.
#[test]
fn what_was_answered_before_its_sheet_was_unfolded_goes_on_as_any_other() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, [2]);
    submit(&mut journal, [approved(1)]);
    flush(&mut journal);
    submit(&mut journal, [JournalOp::Reopened { id: id(8), was: id(2) }]);
    flush(&mut journal);
    assert_eq!(
        number(desk.path(), "SELECT stage FROM records WHERE id = 1"),
        Stage::AnsweredApproved.number()
    );
    assert_eq!(number(desk.path(), "SELECT stage FROM records WHERE id = 3"), Stage::Intent.number());
    submit(&mut journal, [approved(3), delivered(1)]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT outcome FROM records WHERE id = 1 AND rrn = '000000000001'"), 2);
    assert_eq!(
        number(desk.path(), "SELECT stage FROM records WHERE id = 3"),
        Stage::AnsweredApproved.number()
    );
    assert_eq!(number(desk.path(), ANSWERS), 0);
}

/// In one commit with it, on either side.
#[test]
fn what_is_answered_while_its_sheet_is_unfolded_is_not_lost() {
    let desk = Desk::new();
    let mut journal = with_a_sheet(&desk, [2]);
    submit(&mut journal, [approved(1), JournalOp::Reopened { id: id(8), was: id(2) }, approved(3)]);
    flush(&mut journal);
    assert_eq!((number(desk.path(), ANSWERS), number(desk.path(), SHEETS)), (0, 0));
    submit(&mut journal, [delivered(3)]);
    drop(journal);
    let of = "SELECT COUNT(*) FROM records WHERE CAST(rrn AS INTEGER) = id AND response_code = '000'";
    assert_eq!(number(desk.path(), of), 2);
    let rows: Vec<_> = desk.open().1.iter().map(|row| (row.was, row.stage)).collect();
    assert_eq!(rows, [(1, socketqueue::mux::Stage::AnsweredApproved), (2, socketqueue::mux::Stage::Owed)]);
}

#[test]
fn what_a_failed_sync_left_in_the_dark_is_written_again_over_what_is_there() {
    let desk = Desk::new();
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let left = fails.clone();
    let (mut journal, _) = desk.open_syncing(move || {
        use std::sync::atomic::Ordering::SeqCst;
        match left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(std::io::Error::other("injected")),
            Err(_) => Ok(()),
        }
    });
    submit(&mut journal, (1..=4).map(intent));
    verdicts(&mut journal, 4);
    submit(&mut journal, [approved(1), approved(2)]);
    flush(&mut journal);
    fails.store(1, std::sync::atomic::Ordering::SeqCst);
    // All of it stands in the log, and is taken for lost.
    submit(
        &mut journal,
        [
            delivered(1),
            approved(3),
            JournalOp::Owed { id: id(4) },
            JournalOp::Reopened { id: id(8), was: id(2) },
        ],
    );
    flush(&mut journal);
    assert_eq!(journal.figures().unknown, 1);
    submit(&mut journal, [delivered(3), delivered(8)]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records WHERE stage = 7 AND outcome = 2"), 3);
    assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records WHERE CAST(rrn AS INTEGER) = id"), 3);
    drop(journal);
    let rows: Vec<_> = desk.open().1.iter().map(|row| (row.was, row.stage)).collect();
    assert_eq!(rows, [(4, socketqueue::mux::Stage::Owed)]);
}

#[test]
fn a_damaged_sheet_with_an_open_row_is_refused() {
    let desk = Desk::new();
    drop(with_a_sheet(&desk, [1]));
    let conn = rusqlite::Connection::open(desk.path()).unwrap();
    conn.execute("UPDATE sheets SET lines = substr(lines, 2)", []).unwrap();
    drop(conn);
    match desk.try_open(&desk.options).map(drop) {
        Err(JournalError::Damaged { what, .. }) => assert_eq!(what, "the sheet of row 1 is damaged"),
        other => panic!("{other:?}"),
    }
}

/// A sweep that took a sheet apart is lost indeed, and nobody does it again: what is in the file is looked up when the journal
/// is opened anew.
#[test]
fn what_was_unfolded_by_a_sweep_that_is_lost_lies_in_its_sheet_again() {
    let desk = Desk::new();
    let (path, lose) =
        (desk.path().to_owned(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let loses = lose.clone();
    let (mut journal, _) = desk.open_syncing(move || {
        if !loses.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Ok(());
        }
        // As the file was before the sweep.
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(
            "BEGIN IMMEDIATE;
             INSERT INTO sheets SELECT * FROM before;
             DELETE FROM images;
             DELETE FROM records WHERE id <> 2;
             UPDATE records SET stage = 7, outcome = 2, ended_ms = received_ms;
             COMMIT",
        )
        .unwrap();
        Err(std::io::Error::other("injected"))
    });
    submit(&mut journal, (1..=3).map(intent));
    verdicts(&mut journal, 3);
    submit(&mut journal, [delivered(2)]);
    flush(&mut journal);
    let conn = rusqlite::Connection::open(desk.path()).unwrap();
    conn.execute_batch("CREATE TABLE before AS SELECT * FROM sheets").unwrap();
    desk.later(erased_after(&desk));
    journal.sweep();
    assert_eq!((number(desk.path(), SHEETS), number(desk.path(), OWN_IMAGES)), (0, 2));
    lose.store(true, std::sync::atomic::Ordering::SeqCst);
    submit(&mut journal, [JournalOp::Sent { id: id(3), attempt: 1 }]);
    flush(&mut journal);
    assert_eq!(journal.figures().unknown, 1);
    submit(&mut journal, [approved(1), delivered(1)]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT outcome FROM records WHERE id = 1 AND response_code = '000'"), 2);
    drop(journal);
    let open: Vec<_> = desk.open().1.iter().map(|row| (row.was, row.attempts)).collect();
    assert_eq!(open, [(3, 1)]);
}

/// It must not be left out of a list: somebody may wait for it.
#[test]
fn an_intent_that_cannot_be_read_is_an_error_and_not_hidden() {
    let desk = Desk::new();
    let journal = with_a_sheet(&desk, [1]);
    let conn = rusqlite::Connection::open(desk.path()).unwrap();
    let whole: Vec<u8> = conn.query_row("SELECT lines FROM sheets", [], |row| row.get(0)).unwrap();
    // The brace behind the last line's facts' last text.
    let at = whole.windows(2).rposition(|pair| pair == b"\"}").unwrap() + 1;
    let damaged = [&whole[..at], b"]", &whole[at + 1..]].concat();
    conn.execute("UPDATE sheets SET lines = ?1", [damaged]).unwrap();
    let reader = Reader::open(desk.path()).unwrap();
    let listed: Result<Vec<_>, _> = reader.entries(Filter::of(Which::Open)).unwrap().collect();
    match listed {
        Err(JournalError::Damaged { what, .. }) => assert_eq!(what, "the elements of row 3 are damaged"),
        other => panic!("{other:?}"),
    }
    drop(journal);
}

/// More than one sheet has room for, and messages that have none in any.
#[test]
fn a_long_commit_makes_several_sheets() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=300).map(intent));
    verdicts(&mut journal, 300);
    assert_eq!(number(desk.path(), SHEETS), 3);
    assert_eq!(number(desk.path(), "SELECT MAX(last - id + 1) FROM sheets"), 128);
    let reader = Reader::open(desk.path()).unwrap();
    assert_eq!(listed(&reader, Which::Open), (1..=300).map(|row| (row, Stage::Intent)).collect::<Vec<_>>());
    drop((reader, journal));
    let open = desk.open().1;
    assert_eq!(open.iter().map(|row| row.was).collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
    assert_eq!(number(desk.path(), SHEETS), 0);
}
