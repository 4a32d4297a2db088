//! What a start refuses, and the way out that it names.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use socketqueue::journal::sqlite::Sqlite;
use socketqueue::journal::{JournalError, Options};
use socketqueue::mux::{JournalOp, Stage};

use crate::desk::*;

fn refused(desk: &Desk, options: &Options) -> (JournalError, String) {
    let Err(error) = desk.try_open(options) else { panic!("it was opened") };
    let text = error.to_string();
    (error, text)
}

#[test]
fn a_journal_in_use_is_refused_and_free_again_after_its_end() {
    let desk = Desk::new();
    let (journal, _) = desk.open();
    assert!(matches!(refused(&desk, &desk.options).0, JournalError::Locked { .. }));
    drop(journal);
    desk.open();
}

#[test]
fn two_names_of_one_journal_have_one_lock() {
    let desk = Desk::new();
    let (_journal, _) = desk.open();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("other.journal");
    std::os::unix::fs::symlink(desk.path(), &link).unwrap();
    assert!(matches!(refused(&desk, &Options::new(link)).0, JournalError::Locked { .. }));
    let directory = elsewhere.path().join("d");
    std::os::unix::fs::symlink(desk.directory(), &directory).unwrap();
    let options = Options::new(directory.join("test.journal"));
    assert!(matches!(refused(&desk, &options).0, JournalError::Locked { .. }));
    // A link that leads nowhere is no place for a journal.
    let nowhere = elsewhere.path().join("nowhere.journal");
    std::os::unix::fs::symlink(elsewhere.path().join("gone/x.journal"), &nowhere).unwrap();
    assert!(matches!(refused(&desk, &Options::new(nowhere)).0, JournalError::Unwritable { .. }));
}

#[test]
fn an_open_row_that_cannot_be_read_is_listed_for_a_person() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), intent(2), intent(3), JournalOp::Parked { id: id(3) }]);
    flush(&mut journal);
    drop(journal);
    let mut around = desk.surroundings();
    around.readable = Box::new(|row| row.was == 2);
    let (journal, rows) = Sqlite::open(&desk.options, &upstream(), around).unwrap();
    let stages: Vec<_> = rows.iter().map(|row| (row.was, row.stage)).collect();
    assert_eq!(stages, [(1, Stage::Listed), (2, Stage::Intent), (3, Stage::Parked)]);
    assert_eq!(journal.figures().unreadable, 2);
    drop(journal);
    // It says so in the file, and why; and it is still there for a start that can read it.
    assert_eq!(number(desk.path(), "SELECT record FROM notes WHERE what = 'listed'"), 1);
    let stages: Vec<_> = desk.open().1.iter().map(|row| row.stage).collect();
    assert_eq!(stages, [Stage::Listed, Stage::Intent, Stage::Parked]);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_naming_the_flag() {
    let desk = Desk::new();
    let options = Options::new(desk.directory().join("missing/test.journal"));
    let text = refused(&desk, &options).1;
    assert!(text.contains("--journalFile") && text.contains("\"none\""), "{text}");
    let directory = Options::new(desk.directory());
    assert!(matches!(refused(&desk, &directory).0, JournalError::Unwritable { .. }));
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    let desk = Desk::new();
    fs::write(desk.path(), "my diary, not a database at all").unwrap();
    assert!(matches!(refused(&desk, &desk.options).0, JournalError::Foreign { .. }));
    assert_eq!(fs::read(desk.path()).unwrap(), b"my diary, not a database at all");
    fs::remove_file(desk.path()).unwrap();
    let other = rusqlite::Connection::open(desk.path()).unwrap();
    other.execute_batch("CREATE TABLE mine (a); PRAGMA application_id = 7").unwrap();
    drop(other);
    let before = fs::read(desk.path()).unwrap();
    assert!(matches!(refused(&desk, &desk.options).0, JournalError::Foreign { .. }));
    assert_eq!(fs::read(desk.path()).unwrap(), before);
}

#[test]
fn a_newer_journal_is_refused_naming_both_schemas() {
    let desk = Desk::new();
    drop(desk.open());
    rusqlite::Connection::open(desk.path()).unwrap().execute_batch("PRAGMA user_version = 5").unwrap();
    let (error, text) = refused(&desk, &desk.options);
    assert!(matches!(error, JournalError::Newer { found: 5, known: 4, .. }), "{text}");
}

#[test]
fn a_journal_of_before_the_first_release_is_refused_with_the_way_out_and_left_as_it_is() {
    let desk = Desk::new();
    drop(desk.open());
    rusqlite::Connection::open(desk.path()).unwrap().execute_batch("PRAGMA user_version = 1").unwrap();
    let before = fs::read(desk.path()).unwrap();
    let (error, text) = refused(&desk, &desk.options);
    assert!(matches!(error, JournalError::Older { found: 1, known: 4, .. }), "{text}");
    assert!(text.contains("let the build that wrote it run until nothing is open"), "{text}");
    assert_eq!(fs::read(desk.path()).unwrap(), before);
}

#[test]
fn a_damaged_journal_is_refused() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, (1..=200).map(intent));
    verdicts(&mut journal, 200);
    drop(journal);
    let whole = fs::read(desk.path()).unwrap();
    let mut holed = whole.clone();
    holed[4096 * 3..4096 * 5].fill(0xA5);
    fs::write(desk.path(), &holed).unwrap();
    let (error, text) = refused(&desk, &desk.options);
    assert!(matches!(error, JournalError::Damaged { .. }), "{text}");
    fs::write(desk.path(), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(refused(&desk, &desk.options).0, JournalError::Damaged { .. }));
}

#[test]
fn a_journal_whose_file_is_gone_and_whose_log_is_not_is_refused() {
    let desk = Desk::new();
    fs::write(desk.directory().join("test.journal-wal"), [1; 4096]).unwrap();
    assert!(matches!(refused(&desk, &desk.options).0, JournalError::Lost { .. }));
}

#[test]
fn files_are_readable_by_their_owner_only() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    let mut seen = 0;
    for file in fs::read_dir(desk.directory()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        seen += 1;
    }
    // The journal, its log, its index, its lock, its reserve, its key.
    assert_eq!(seen, 6);
}
