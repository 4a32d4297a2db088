//! Disks that are full, fail, or leave one in the dark.

use socketqueue::journal::Verdict::{Durable, Failed, Unknown, Up};
use socketqueue::journal::disk::{Commit, Fate};

use crate::desk::*;

#[test]
fn an_intent_that_fails_is_not_there_and_the_journal_comes_back() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    desk.fates(&[Fate::Error]);
    submit(&mut journal, [intent(1)]);
    assert_eq!(verdicts(&mut journal, 2), [Failed(id(1)), Up]);
    submit(&mut journal, [intent(2)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(2))]);
    drop(journal);
    assert_eq!(desk.open().1.iter().map(|row| row.was).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_commit_of_unknown_outcome_is_read_back() {
    for (fate, kept) in [(Fate::UnknownAndKept, true), (Fate::UnknownAndLost, false)] {
        let desk = Desk::new();
        let (mut journal, _) = desk.open();
        desk.fates(&[fate]);
        submit(&mut journal, [intent(1)]);
        let told = if kept { Durable(id(1)) } else { Failed(id(1)) };
        assert_eq!(verdicts(&mut journal, 3), [Unknown(id(1)), told, Up]);
        assert_eq!(journal.figures().unknown, 1);
        // It can be ended whatever had become of it.
        submit(&mut journal, [delivered(1)]);
        drop(journal);
        assert!(desk.open().1.is_empty());
        assert_eq!(number(desk.path(), "SELECT COUNT(*) FROM records"), i64::from(kept));
    }
}

#[test]
fn ends_are_kept_in_memory_and_tried_again_until_the_disk_takes_them() {
    for fate in [Fate::Error, Fate::UnknownAndLost, Fate::UnknownAndKept] {
        let desk = Desk::new();
        let (mut journal, _) = desk.open();
        submit(&mut journal, [intent(1)]);
        verdicts(&mut journal, 1);
        desk.fates(&[fate, fate, fate]);
        submit(&mut journal, [delivered(1)]);
        flush(&mut journal);
        assert_eq!(number(desk.path(), "SELECT outcome FROM records"), 2, "{fate:?}");
    }
}

#[test]
fn on_a_full_disk_intents_fail_and_ends_are_written_from_the_reserve() {
    let desk = Desk::new();
    let reserve = desk.directory().join("test.journal.reserve");
    let (space, comes_back) = std::sync::mpsc::channel::<()>();
    let mut full = false;
    let disk = move |commit: Commit| {
        full |= commit.intents > 1;
        if comes_back.try_recv().is_ok() {
            full = false;
        }
        match full && (commit.reserve_held || commit.probe) {
            true => Fate::Full,
            false => Fate::Normal,
        }
    };
    let (mut journal, _) = desk.open_on(&desk.options, disk).unwrap();
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 8 << 20);
    submit(&mut journal, [intent(1)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(1))]);
    submit(&mut journal, [intent(2), intent(3), delivered(1)]);
    assert_eq!(verdicts(&mut journal, 2), [Failed(id(2)), Failed(id(3))]);
    flush(&mut journal);
    assert_eq!(number(desk.path(), "SELECT outcome FROM records"), 2);
    assert!(!journal.figures().up);
    space.send(()).unwrap();
    assert_eq!(verdicts(&mut journal, 1), [Up]);
    submit(&mut journal, [intent(4)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(4))]);
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 8 << 20);
}

#[test]
fn the_lag_of_ends_shows_while_the_disk_stalls() {
    let desk = Desk::new();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let disk = move |commit: Commit| {
        if commit.intents == 0 {
            gate.recv().unwrap();
        }
        Fate::Normal
    };
    let (mut journal, _) = desk.open_on(&desk.options, disk).unwrap();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    submit(&mut journal, [delivered(1)]);
    // A disk that stalls for 40 s.
    desk.later(std::time::Duration::from_secs(40));
    assert_eq!(journal.figures().end_lag, std::time::Duration::from_secs(40));
    go.send(()).unwrap();
    flush(&mut journal);
    assert!(journal.figures().end_lag.is_zero());
}
