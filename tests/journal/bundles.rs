//! What ends together stands in bundles: shown as any other record, taken out when there is more to tell of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::journal::desk::{Entry, Filter, Keeper, KeySource, Reader, Which, verify};
use socketqueue::journal::disk::Fate;
use socketqueue::journal::seal::Keyring;
use socketqueue::journal::sqlite::Sqlite;
use socketqueue::journal::{JournalError, Stage};
use socketqueue::mux::{FinalState, JournalOp};
use socketqueue::rules::AnswerRecord;

use crate::desk::*;

const SHEETS: &str = "SELECT COUNT(*) FROM sheets";
const RECORDS: &str = "SELECT COUNT(*) FROM records";
const BUNDLES: &str = "SELECT COUNT(*) FROM bundles";
const BUNDLED: &str = "SELECT COALESCE(SUM(LENGTH(rows)), 0) / 2 FROM bundles";

fn answered(n: u64) -> JournalOp {
    let rrn = format!("{n:012}");
    let answer = AnswerRecord::new(Some(rrn.as_bytes()), Some(b"A1"), Some(b"000"));
    JournalOp::Answered { id: id(n), class: RequestClass::Approved, answer }
}

/// Twelve intents in a sheet, of which the first ten have been answered and delivered.
fn with_a_bundle(desk: &Desk) -> Sqlite {
    let (mut journal, _) = desk.open();
    fill(&mut journal);
    assert_eq!((number(desk.path(), BUNDLED), number(desk.path(), RECORDS)), (10, 0));
    journal
}

fn fill(journal: &mut Sqlite) {
    submit(journal, (1..=12).map(intent));
    verdicts(journal, 12);
    // Some are answered in a commit of their own, the others together with their ends.
    submit(journal, (1..=5).map(answered));
    flush(journal);
    submit(journal, (6..=10).map(answered).chain((1..=10).rev().map(delivered)));
    flush(journal);
}

fn reader(desk: &Desk) -> Reader {
    Reader::open(desk.path()).unwrap()
}

fn rows(reader: &Reader, which: Which) -> Vec<i64> {
    reader.entries(Filter::of(which)).unwrap().map(|entry| entry.unwrap().row).collect()
}

fn entry(reader: &Reader, row: i64) -> Entry {
    reader.entry(row).unwrap().unwrap()
}

/// It is sound, and has so many rows at each stage.
#[track_caller]
fn assert_sound(desk: &Desk, closed: u64, intents: u64) {
    let keys = Keyring::load(&desk.options, false).unwrap();
    let findings = verify(&reader(desk), &keys).unwrap();
    assert!(findings.is_sound(), "{findings:?}");
    let count = |stage| findings.rows.iter().find(|(other, _)| *other == stage).map(|(_, count)| *count);
    assert_eq!((count(Stage::Closed), count(Stage::Intent)), (Some(closed), Some(intents)));
}

#[test]
fn what_is_in_a_bundle_is_shown_as_any_other_record() {
    let desk = Desk::new();
    let mut journal = with_a_bundle(&desk);
    let of_bundle = reader(&desk);
    assert_eq!(rows(&of_bundle, Which::All), (1..=12).collect::<Vec<_>>());
    assert_eq!(rows(&of_bundle, Which::Closed), (1..=10).collect::<Vec<_>>());
    assert_eq!(rows(&of_bundle, Which::Ended(FinalState::Delivered)), (1..=10).collect::<Vec<_>>());
    assert_eq!(rows(&of_bundle, Which::Ended(FinalState::Reversed)), [0; 0]);
    assert_eq!(rows(&of_bundle, Which::Open), [11, 12]);
    for (filter, found) in [
        (Filter { tid: Some("10000001".into()), ..Filter::of(Which::Closed) }, 10),
        (Filter { tid: Some("10000002".into()), ..Filter::of(Which::Closed) }, 0),
        (Filter { since_ms: Some(START_MS), ..Filter::of(Which::Closed) }, 10),
        (Filter { since_ms: Some(START_MS + 1), ..Filter::of(Which::Closed) }, 0),
        (Filter { before_ms: Some(START_MS), ..Filter::of(Which::Closed) }, 0),
    ] {
        assert_eq!(of_bundle.entries(filter.clone()).unwrap().count(), found, "{filter:?}");
    }
    assert_eq!([1, 10, 11, 13].map(|id| of_bundle.row_of(id).unwrap()), [Some(1), Some(10), Some(11), None]);
    assert_sound(&desk, 10, 2);
    let bundled = [1, 5, 6, 10].map(|row| entry(&of_bundle, row));
    for (entry, n) in bundled.iter().zip([1, 5, 6, 10]) {
        assert_eq!((entry.rrn.as_deref(), entry.id), (Some(&*format!("{n:012}")), n));
        assert_eq!((entry.stage, entry.outcome), (Stage::Closed, Some(FinalState::Delivered)));
        assert_eq!((entry.stan.as_deref(), entry.ended_ms), (Some(&*format!("{n:06}")), Some(START_MS)));
        assert!(entry.key_id.is_some() && !entry.is_of_before);
    }
    // By itself each is the same.
    let all: Vec<Entry> = of_bundle.entries(Filter::of(Which::All)).unwrap().map(Result::unwrap).collect();
    submit(&mut journal, [JournalOp::Reopened { id: id(99), was: id(11) }]);
    flush(&mut journal);
    assert_eq!((number(desk.path(), BUNDLES), number(desk.path(), SHEETS)), (0, 0));
    let again: Vec<Entry> =
        reader(&desk).entries(Filter::of(Which::All)).unwrap().map(Result::unwrap).collect();
    assert_eq!(all[..10], again[..10]);
    assert_sound(&desk, 10, 1);
}

#[test]
fn a_few_ends_have_records_of_their_own() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=8).map(intent));
    verdicts(&mut journal, 8);
    submit(&mut journal, (1..=7).map(delivered));
    flush(&mut journal);
    assert_eq!((number(desk.path(), BUNDLED), number(desk.path(), RECORDS)), (0, 7));
}

#[test]
fn what_is_far_from_the_others_has_a_record_of_its_own() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let last = 8192 + 9;
    submit(&mut journal, (1..=last).map(intent));
    verdicts(&mut journal, last as usize);
    submit(&mut journal, [1, 9, 10].into_iter().chain(last - 7..=last).map(delivered));
    flush(&mut journal);
    assert_eq!(
        (number(desk.path(), BUNDLED), number(desk.path(), "SELECT SUM(id) FROM records")),
        (9, 1 + 9)
    );
    let closed: Vec<i64> = [1, 9, 10].into_iter().chain(last as i64 - 7..=last as i64).collect();
    assert_eq!(rows(&reader(&desk), Which::Closed), closed);
    assert_eq!(entry(&reader(&desk), 10).stage, Stage::Closed);
    // Many are more than one bundle.
    submit(&mut journal, (11..=300).map(delivered));
    flush(&mut journal);
    assert_eq!((number(desk.path(), BUNDLED), number(desk.path(), BUNDLES)), (9 + 290, 1 + 3));
    assert_sound(&desk, 11 + 290, last - 11 - 290);
}

#[test]
fn a_sheet_is_erased_when_all_its_rows_are_over_and_their_bundle_stays() {
    let desk = Desk::new();
    let mut journal = with_a_bundle(&desk);
    desk.later(Duration::from_millis(1));
    submit(&mut journal, [delivered(11), delivered(12)]);
    flush(&mut journal);
    desk.later(desk.options.late_window + GRACE + SHEET_PATIENCE - Duration::from_millis(2));
    journal.sweep();
    assert_eq!(number(desk.path(), IMAGES), 12);
    desk.later(Duration::from_millis(2));
    journal.sweep();
    assert_eq!((number(desk.path(), IMAGES), number(desk.path(), BUNDLED)), (0, 10));
    let of_bundle = entry(&reader(&desk), 3);
    assert_eq!((of_bundle.key_id, of_bundle.outcome), (None, Some(FinalState::Delivered)));
    assert_sound(&desk, 12, 0);
}

#[test]
fn a_sheet_that_is_unfolded_for_what_takes_longer_takes_its_rows_out_of_bundles() {
    let desk = Desk::new();
    let journal = with_a_bundle(&desk);
    desk.later(desk.options.late_window + GRACE + SHEET_PATIENCE);
    journal.sweep();
    // What was over is erased at once, and what is open stays.
    assert_eq!((number(desk.path(), SHEETS), number(desk.path(), BUNDLED)), (0, 0));
    assert_eq!(number(desk.path(), "SELECT SUM(id) FROM images"), 11 + 12);
    assert_sound(&desk, 10, 2);
    drop(journal);
    assert_eq!(desk.open().1.len(), 2);
}

#[test]
fn a_start_finds_open_what_is_in_no_bundle_and_what_ended_lately() {
    let desk = Desk::new();
    drop(with_a_bundle(&desk));
    desk.later(Duration::from_secs(5));
    let (mut journal, open) = desk.open();
    assert_eq!(open.iter().map(|row| row.was).collect::<Vec<_>>(), [11, 12]);
    assert_eq!(number(desk.path(), BUNDLED), 0, "their sheet was unfolded");
    let lately = journal.take_lately();
    assert_eq!(lately.iter().map(|row| row.row).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}

#[test]
fn what_ended_lately_comes_from_sheet_and_bundle_and_can_go_on() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=10).map(intent));
    verdicts(&mut journal, 10);
    submit(&mut journal, (1..=10).map(answered).chain((1..=10).map(delivered)));
    flush(&mut journal);
    drop(journal);
    desk.later(Duration::from_secs(5));
    let (mut journal, open) = desk.open();
    assert_eq!((open.len(), number(desk.path(), BUNDLED)), (0, 10));
    let lately = journal.take_lately();
    assert_eq!(lately.len(), 10);
    for (row, n) in lately.iter().zip(1..) {
        assert_eq!((row.row, row.was, row.outcome), (n, n as u64, FinalState::Delivered));
        assert!(row.image.as_ref().is_some_and(|image| image.starts_with(b"0200")));
        assert_eq!(row.rrn.as_deref(), Some(format!("{n:012}").as_bytes()));
        assert_eq!((row.response_code.as_deref(), row.ended_wall_ms), (Some("000"), START_MS));
        assert_eq!(row.upstream, upstream());
    }
    // Its client never got the answer after all.
    let (new, row) = (id(77), lately[3].row);
    submit(&mut journal, [JournalOp::Adopt { id: new, row }, JournalOp::Owed { id: new }]);
    flush(&mut journal);
    assert_sound(&desk, 9, 0);
    assert_eq!(entry(&reader(&desk), row).stage, Stage::Owed);
    // Row numbers go on behind those in bundles.
    submit(&mut journal, [intent(78)]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT MAX(last) FROM sheets"), 11);
    drop(journal);
    let open = desk.open().1;
    assert_eq!(open.iter().map(|row| row.row).collect::<Vec<_>>(), [4, 11]);
    assert_eq!(open[0].rrn.as_deref(), Some(&b"000000000004"[..]));
}

#[test]
fn ids_and_rows_go_on_behind_those_that_only_bundles_have() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let high = 1 << 60;
    submit(
        &mut journal,
        (1..=10).map(|n| JournalOp::Intent { id: id(high + n), request: sale(n as u32), record: None }),
    );
    verdicts(&mut journal, 10);
    submit(&mut journal, (1..=10).map(|n| delivered(high + n)));
    flush(&mut journal);
    desk.later(desk.options.late_window + GRACE + SHEET_PATIENCE);
    journal.sweep();
    assert_eq!((number(desk.path(), IMAGES), number(desk.path(), RECORDS)), (0, 0));
    drop(journal);
    let (mut journal, _) = desk.open();
    assert!(journal.names().last >= high + 10);
    assert_eq!(reader(&desk).row_of(high + 7).unwrap(), Some(7));
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    assert_eq!(number(desk.path(), "SELECT id FROM sheets"), 11);
}

#[test]
fn what_turns_out_lost_is_taken_out_alone_and_can_end_again() {
    let desk = Desk::new();
    let mut journal = with_a_bundle(&desk);
    submit(&mut journal, [JournalOp::Owed { id: id(1) }, JournalOp::Owed { id: id(7) }]);
    flush(&mut journal);
    assert_eq!(
        (number(desk.path(), BUNDLED), number(desk.path(), "SELECT SUM(id) FROM records")),
        (8, 1 + 7)
    );
    assert_eq!(rows(&reader(&desk), Which::At(Stage::Owed)), [1, 7]);
    assert_eq!(entry(&reader(&desk), 7).rrn.as_deref(), Some("000000000007"));
    assert_sound(&desk, 8, 2);
    submit(&mut journal, [end(1, FinalState::Reversed), end(7, FinalState::Reversed)]);
    flush(&mut journal);
    assert_eq!(rows(&reader(&desk), Which::Ended(FinalState::Reversed)), [1, 7]);
    assert_sound(&desk, 10, 2);
    // A second end of what is in a bundle.
    submit(&mut journal, [end(2, FinalState::Unanswered)]);
    flush(&mut journal);
    assert_eq!(rows(&reader(&desk), Which::Ended(FinalState::Unanswered)), [2]);
    assert_sound(&desk, 10, 2);
    // All of them: there is no bundle any more.
    submit(&mut journal, (1..=10).map(|n| JournalOp::Owed { id: id(n) }));
    flush(&mut journal);
    assert_eq!((number(desk.path(), BUNDLES), number(desk.path(), RECORDS)), (0, 10));
    assert_sound(&desk, 0, 2);
    drop(journal);
    assert_eq!(desk.open().1.len(), 12);
}

/// The commit that has a bundle is there or not; whichever, its ends come once.
#[test]
fn a_bundle_of_unknown_outcome_is_not_written_twice() {
    for fate in [Fate::UnknownAndKept, Fate::UnknownAndLost, Fate::Error, Fate::Full] {
        let desk = Desk::new();
        let (mut journal, _) = desk.open();
        submit(&mut journal, (1..=12).map(intent));
        verdicts(&mut journal, 12);
        desk.fates(&[fate]);
        submit(&mut journal, (1..=10).map(answered).chain((1..=10).map(delivered)));
        flush(&mut journal);
        assert_sound(&desk, 10, 2);
        assert_eq!(rows(&reader(&desk), Which::Ended(FinalState::Delivered)), (1..=10).collect::<Vec<_>>());
        assert_eq!(entry(&reader(&desk), 9).rrn.as_deref(), Some("000000000009"), "{fate:?}");
        // And what had ended before goes on as any other.
        submit(&mut journal, [JournalOp::Owed { id: id(3) }, delivered(11)]);
        flush(&mut journal);
        assert_sound(&desk, 10, 1);
        drop(journal);
        let open: Vec<u64> = desk.open().1.iter().map(|row| row.was).collect();
        assert_eq!(open, [3, 12], "{fate:?}");
    }
}

#[test]
fn a_bundle_that_a_failed_sync_left_in_the_dark_is_not_there_twice() {
    let desk = Desk::new();
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let fails_at = left.clone();
    let (mut journal, _) = desk.open_syncing(move || {
        let failed = fails_at.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failed == Ok(1) { Err(std::io::Error::other("injected")) } else { Ok(()) }
    });
    submit(&mut journal, (1..=12).map(intent));
    verdicts(&mut journal, 12);
    left.store(1, Ordering::SeqCst);
    submit(&mut journal, (1..=10).map(answered).chain((1..=10).map(delivered)));
    flush(&mut journal);
    assert_sound(&desk, 10, 2);
    assert_eq!(number(desk.path(), BUNDLED), 0, "each was written again by itself");
    assert_eq!(entry(&reader(&desk), 9).rrn.as_deref(), Some("000000000009"));
    drop(journal);
    assert_eq!(desk.open().1.len(), 2);
}

#[test]
fn bundles_are_deleted_when_all_in_them_is_old() {
    let mut desk = Desk::new();
    desk.options.keep_records = Duration::from_secs(3600);
    let mut journal = with_a_bundle(&desk);
    submit(&mut journal, [delivered(11), delivered(12)]);
    flush(&mut journal);
    desk.later(Duration::from_secs(1800));
    submit(&mut journal, (21..=40).map(intent));
    verdicts(&mut journal, 20);
    submit(&mut journal, (21..=40).map(delivered));
    flush(&mut journal);
    desk.later(Duration::from_secs(1800));
    journal.sweep();
    assert_eq!(number(desk.path(), BUNDLES), 2);
    desk.later(Duration::from_millis(1));
    journal.sweep();
    assert_eq!((number(desk.path(), BUNDLED), number(desk.path(), RECORDS)), (20, 0));
    assert_eq!(rows(&reader(&desk), Which::All), (13..=32).collect::<Vec<_>>());
    assert_sound(&desk, 20, 0);
    desk.later(Duration::from_secs(1800));
    journal.sweep();
    assert_eq!(number(desk.path(), BUNDLES), 0);
}

/// A row of a sheet that has no record is an intent. So no bundle is deleted before the sheets of its rows, or what was
/// delivered would be reversed after the next start.
#[test]
fn what_was_over_does_not_come_back_when_its_bundle_goes_first() {
    let mut desk = Desk::new();
    desk.options.keep_records = Duration::from_secs(60);
    let journal = with_a_bundle(&desk);
    desk.later(Duration::from_secs(61));
    journal.sweep();
    assert_eq!(
        (number(desk.path(), "SELECT SUM(id) FROM records"), number(desk.path(), BUNDLES)),
        (11 + 12, 0)
    );
    assert_eq!(
        (number(desk.path(), SHEETS), number(desk.path(), "SELECT SUM(id) FROM images")),
        (0, 11 + 12)
    );
    drop(journal);
    let open: Vec<u64> = desk.open().1.iter().map(|row| row.was).collect();
    assert_eq!(open, [11, 12]);
}

#[test]
fn a_new_key_seals_the_images_of_what_is_in_bundles_too() {
    let desk = Desk::new();
    drop(with_a_bundle(&desk));
    let keeper = Keeper::take(&desk.options).unwrap();
    let source = KeySource::Made(desk.options.key_path());
    let done = keeper.rekey(&desk.options, &source, &mut |_| true).unwrap().unwrap();
    assert_eq!(done.resealed, 12);
    assert_sound(&desk, 10, 2);
    assert_eq!(desk.open().0.take_lately().iter().filter(|row| row.image.is_some()).count(), 10);
}

#[test]
fn a_damaged_bundle_is_said_to_be_and_no_start_goes_by_it() {
    for damage in [
        "UPDATE bundles SET lines = substr(lines, 1, LENGTH(lines) - 1)",
        "UPDATE bundles SET rows = substr(rows, 1, LENGTH(rows) - 1)",
        "UPDATE bundles SET rows = x''",
        "INSERT INTO records (id, run, tx, upstream, mti, stage, received_ms, attempts, elements)
            VALUES (3, 1, 3, 1, '0200', 0, 0, 0, '{}')",
    ] {
        let desk = Desk::new();
        drop(with_a_bundle(&desk));
        rusqlite::Connection::open(desk.path()).unwrap().execute_batch(damage).unwrap();
        let keys = Keyring::load(&desk.options, false).unwrap();
        let found = verify(&reader(&desk), &keys).unwrap();
        assert!(found.damage.as_ref().is_some_and(|what| what.contains("bundle")), "{damage}: {found:?}");
        assert!(matches!(desk.try_open(&desk.options), Err(JournalError::Damaged { .. })), "{damage}");
    }
}
