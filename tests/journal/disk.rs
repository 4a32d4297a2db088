//! Disks that are full, fail, or leave one in the dark.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;

use socketqueue::journal::Durability;
use socketqueue::journal::Verdict::{Durable, Failed, Unknown, Up};
use socketqueue::journal::disk::{Commit, Fate};
use socketqueue::journal::sqlite::Sqlite;
use socketqueue::mux::{FinalState, JournalOp, Stage};

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
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 32 << 20);
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
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 32 << 20);
}

/// A commit to a file without a name would be durable for nobody.
#[test]
fn a_journal_whose_file_is_deleted_takes_no_intents_until_it_is_back() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    let aside = desk.directory().join("aside");
    std::fs::rename(desk.path(), &aside).unwrap();
    journal.sweep();
    assert!(!journal.figures().up);
    submit(&mut journal, [intent(2), delivered(1)]);
    assert_eq!(verdicts(&mut journal, 1), [Failed(id(2))]);
    std::fs::rename(&aside, desk.path()).unwrap();
    assert_eq!(verdicts(&mut journal, 1), [Up]);
    submit(&mut journal, [intent(3)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(3))]);
    drop(journal);
    assert_eq!(desk.open().1.iter().map(|row| row.was).collect::<Vec<_>>(), [3]);
}

/// A disk that stalls for 40 s: the time is the journal's own clock, the disk is kept by the test.
#[test]
fn while_the_disk_stalls_new_intents_are_refused_and_what_was_handed_in_is_written_after_it() {
    let desk = Desk::new();
    let (begun, is_stuck) = std::sync::mpsc::channel::<()>();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let disk = move |commit: Commit| {
        if commit.intents == 2 {
            begun.send(()).unwrap();
            gate.recv().unwrap();
        }
        Fate::Normal
    };
    let (mut journal, _) = desk.open_on(&desk.options, disk).unwrap();
    submit(&mut journal, [intent(1)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(1))]);
    submit(&mut journal, [intent(2), intent(3)]);
    is_stuck.recv().unwrap();
    desk.later(Duration::from_millis(4999));
    submit(&mut journal, [intent(4), delivered(1)]);
    assert!(journal.figures().up);
    desk.later(Duration::from_secs(35));
    assert!(!journal.figures().up);
    assert_eq!(journal.figures().end_lag, Duration::from_secs(35));
    // They are told at once: nobody waits for what may take until their deadline.
    submit(&mut journal, [intent(5)]);
    submit(&mut journal, [intent(6), end(5, FinalState::NeverSent)]);
    assert_eq!(verdicts(&mut journal, 2), [Failed(id(5)), Failed(id(6))]);
    go.send(()).unwrap();
    let mut told = verdicts(&mut journal, 4);
    // It was handed in later: it may come with the same sync, or with the next.
    let later = told.iter().rposition(|verdict| *verdict == Durable(id(4)));
    told.remove(later.unwrap());
    assert_eq!(told, [Durable(id(2)), Durable(id(3)), Up]);
    flush(&mut journal);
    assert!(journal.figures().up && journal.figures().end_lag.is_zero());
    submit(&mut journal, [intent(7)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(7))]);
    drop(journal);
    assert_eq!(desk.open().1.iter().map(|row| row.was).collect::<Vec<_>>(), [2, 3, 4, 7]);
}

/// 1 and 5 ms for each sync: what queues up shares them.
#[test]
fn many_who_wait_share_a_slow_sync() {
    for delay in [1, 5] {
        let desk = Desk::new();
        let syncs = Arc::new(AtomicUsize::new(0));
        let counted = syncs.clone();
        let (mut journal, _) = desk.open_syncing(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            // This is the disk: the time is what is set up.
            std::thread::sleep(Duration::from_millis(delay));
            Ok(())
        });
        let intents: Vec<_> = (1..=1000).map(intent).collect();
        for intent in intents {
            submit(&mut journal, [intent]);
        }
        assert_eq!(verdicts(&mut journal, 1000), (1..=1000).map(|n| Durable(id(n))).collect::<Vec<_>>());
        let syncs = syncs.load(Ordering::Relaxed);
        assert!(syncs < 300, "{delay} ms: {syncs} syncs");
    }
}

/// Syncs that wait for each other: none of them ends before the second has begun.
#[test]
fn on_a_slow_disk_the_next_sync_begins_before_the_last_is_done() {
    let desk = Desk::new();
    let syncs = Arc::new(AtomicUsize::new(0));
    let both = Arc::new(Barrier::new(2));
    let (begun, second) = std::sync::mpsc::channel();
    let (mut journal, _) = desk.open_syncing(move || {
        match syncs.fetch_add(1, Ordering::Relaxed) {
            // By this one it is known to be slow.
            0 => std::thread::sleep(Duration::from_millis(4)),
            at => {
                begun.send(at).unwrap();
                both.wait();
            }
        }
        Ok(())
    });
    submit(&mut journal, [intent(1)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(1))]);
    submit(&mut journal, [intent(2)]);
    assert_eq!(second.recv(), Ok(1));
    submit(&mut journal, [intent(3)]);
    assert_eq!(verdicts(&mut journal, 2), [Durable(id(2)), Durable(id(3))]);
}

/// Syncs that wait to be told how they go.
#[derive(Default)]
struct Gate {
    fate: Mutex<Option<Result<(), ErrorKind>>>,
    told: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    fn pass(&self) -> std::io::Result<()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let fate = self.told.wait_while(self.fate.lock().unwrap(), |fate| fate.is_none()).unwrap();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        fate.unwrap().map_err(Into::into)
    }

    /// From now on; `None`: they wait.
    fn tell(&self, fate: Option<Result<(), ErrorKind>>) {
        *self.fate.lock().unwrap() = fate;
        self.told.notify_all();
    }

    fn await_one(&self) {
        while self.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
    }
}

/// A journal whose syncs pass a gate.
fn gated(desk: &Desk) -> (Sqlite, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let passed = gate.clone();
    (desk.open_syncing(move || passed.pass()).0, gate)
}

#[test]
fn commits_that_wait_for_a_sync_which_fails_are_read_back_and_the_rest_is_done_again() {
    let desk = Desk::new();
    let (mut journal, gate) = gated(&desk);
    gate.tell(Some(Ok(())));
    submit(&mut journal, [intent(1), intent(2)]);
    assert_eq!(verdicts(&mut journal, 2), [Durable(id(1)), Durable(id(2))]);
    gate.tell(None);
    submit(&mut journal, [intent(3), delivered(1)]);
    gate.await_one();
    // In the log, but not for sure on the disk: nobody is told.
    submit(&mut journal, [intent(4), JournalOp::Owed { id: id(2) }]);
    await_number(desk.path(), ROWS, 4);
    assert_eq!((journal.figures().waiting, journal.figures().commits), (4, 1));
    gate.tell(Some(Err(ErrorKind::Other)));
    let mut told = verdicts(&mut journal, 2);
    gate.tell(Some(Ok(())));
    while told.len() < 5 {
        told.extend(verdicts(&mut journal, 1));
    }
    assert_eq!(told[..2], [Unknown(id(3)), Unknown(id(4))]);
    assert!(told[2..4].contains(&Durable(id(3))) && told[2..4].contains(&Durable(id(4))), "{told:?}");
    assert_eq!(told[4], Up);
    assert_eq!(journal.figures().unknown, 1);
    flush(&mut journal);
    // The next sync is that of a log opened anew.
    submit(&mut journal, [delivered(3)]);
    drop(journal);
    let rows: Vec<_> = desk.open().1.iter().map(|row| (row.was, row.stage)).collect();
    assert_eq!(rows, [(2, Stage::Owed), (4, Stage::Intent)]);
}

#[test]
fn while_a_sync_stalls_new_intents_are_refused() {
    let desk = Desk::new();
    let (mut journal, gate) = gated(&desk);
    submit(&mut journal, [intent(1)]);
    gate.await_one();
    desk.later(Duration::from_millis(4999));
    assert!(journal.figures().up);
    desk.later(Duration::from_millis(1));
    assert!(!journal.figures().up);
    submit(&mut journal, [intent(2)]);
    assert_eq!(verdicts(&mut journal, 1), [Failed(id(2))]);
    gate.tell(Some(Ok(())));
    assert_eq!(verdicts(&mut journal, 2), [Durable(id(1)), Up]);
    assert!(journal.figures().up);
}

/// `durability: process`: what is in the kernel's memory survives the process.
#[test]
fn without_loss_of_power_to_survive_nothing_is_synced() {
    let mut desk = Desk::new();
    desk.options.durability = Durability::Process;
    let (mut journal, _) = desk.open_syncing(|| panic!("synced"));
    submit(&mut journal, [intent(1)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(1))]);
    submit(&mut journal, [delivered(1)]);
    flush(&mut journal);
    assert_eq!(journal.figures().commits, 2);
}

#[test]
fn images_are_erased_while_the_disk_is_full() {
    let desk = Desk::new();
    let mut full = false;
    let disk = move |commit: Commit| {
        full |= commit.intents > 1;
        if full && (commit.reserve_held || commit.probe) { Fate::Full } else { Fate::Normal }
    };
    let (mut journal, _) = desk.open_on(&desk.options, disk).unwrap();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    submit(&mut journal, [delivered(1), intent(2), intent(3)]);
    verdicts(&mut journal, 2);
    flush(&mut journal);
    desk.later(desk.options.late_window + GRACE + SHEET_PATIENCE);
    journal.sweep();
    assert!(!journal.figures().up);
    assert_eq!(number(desk.path(), IMAGES), 0);
}

/// The reserve becomes blocks of the log: another process that fills the disk does not get them.
#[test]
fn on_a_full_disk_the_log_has_its_space_before_it_needs_it() {
    use std::os::unix::fs::MetadataExt;
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    let log = desk.directory().join("test.journal-wal");
    let allocated = || std::fs::metadata(&log).unwrap().blocks() * 512;
    assert!(allocated() < 1 << 20);
    desk.fates(&[Fate::Full, Fate::Full, Fate::Full, Fate::Full]);
    submit(&mut journal, [intent(2)]);
    assert_eq!(verdicts(&mut journal, 1), [Failed(id(2))]);
    assert!(allocated() >= 16 << 20, "{}", allocated());
}

/// It is moved into the database beside the commits, and begun anew, long before SQLite would do that within one, at 4,000
/// pages.
#[test]
fn the_log_stays_short_between_sweeps() {
    const PAGE: u64 = 4096;
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let log = desk.directory().join("test.journal-wal");
    // A commit of one intent has a page or two.
    for n in 1..=1500 {
        submit(&mut journal, [intent(n)]);
        assert_eq!(verdicts(&mut journal, 1), [Durable(id(n))]);
    }
    let pages = std::fs::metadata(&log).unwrap().len() / PAGE;
    assert!((100..1200).contains(&pages), "{pages} pages");
}

/// A tool or a backup that reads for long must not keep intents waiting when the log is to be emptied.
#[test]
fn a_reader_that_stays_does_not_hold_up_the_sweep() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1)]);
    verdicts(&mut journal, 1);
    let reader = rusqlite::Connection::open(desk.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM records").unwrap();
    submit(&mut journal, [intent(2)]);
    verdicts(&mut journal, 1);
    let begun = std::time::Instant::now();
    journal.sweep();
    // SQLite's own wait for a reader would be 5 s here.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(journal.figures().up);
    submit(&mut journal, [intent(3)]);
    assert_eq!(verdicts(&mut journal, 1), [Durable(id(3))]);
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
    desk.later(Duration::from_secs(40));
    assert_eq!(journal.figures().end_lag, Duration::from_secs(40));
    go.send(()).unwrap();
    flush(&mut journal);
    assert!(journal.figures().end_lag.is_zero());
}
