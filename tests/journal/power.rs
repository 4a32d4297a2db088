//! Loss of power: what is left of the files is recovered or refused, never read by halves.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use socketqueue::journal::Verdict;
use socketqueue::journal::sqlite::Sqlite;
use socketqueue::mux::{JournalOp, Stage};

use crate::desk::*;

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// What a start finds: transaction, stage, sendings.
type State = Vec<(u64, Stage, u32)>;

/// The files after each of several commits, and what is open then.
struct History {
    desk: Desk,
    db: Vec<u8>,
    wal: Vec<u8>,
    /// Length of the log after each commit, the first without any.
    commits: Vec<usize>,
    states: Vec<State>,
}

const AT_A_TIME: u64 = 32;

/// What each commit does: eight sales more, the eight before them answered, owed, sent and ended.
fn commit(journal: &mut Sqlite, round: u64) {
    let ids = |round: u64| round * AT_A_TIME..(round + 1) * AT_A_TIME;
    let mut ops: Vec<JournalOp> = ids(round).map(intent).collect();
    for n in ids(round.saturating_sub(1)).filter(|_| round > 0) {
        match n % 4 {
            0 => ops.push(delivered(n)),
            1 => ops.extend([JournalOp::Owed { id: id(n) }, JournalOp::Sent { id: id(n), attempt: 1 }]),
            2 => ops.push(JournalOp::Parked { id: id(n) }),
            _ => {}
        }
    }
    // What an earlier round had delivered turns out lost.
    if round > 2 {
        ops.push(JournalOp::Owed { id: id((round - 2) * AT_A_TIME) });
    }
    submit(journal, ops);
    verdicts(journal, AT_A_TIME as usize);
}

fn state_after(rounds: u64) -> State {
    let mut state = State::new();
    for n in 0..rounds * AT_A_TIME {
        let (round, is_newest) = (n / AT_A_TIME, n / AT_A_TIME + 1 == rounds);
        let reopened = n.is_multiple_of(AT_A_TIME) && round >= 1 && round + 3 <= rounds;
        let found = match n % 4 {
            _ if is_newest => (Stage::Intent, 0),
            0 if reopened => (Stage::Owed, 0),
            0 => continue,
            1 => (Stage::Owed, 1),
            2 => (Stage::Parked, 0),
            _ => (Stage::Intent, 0),
        };
        state.push((n, found.0, found.1));
    }
    state
}

fn history(rounds: u64) -> History {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let wal = desk.directory().join("test.journal-wal");
    let length = || fs::metadata(&wal).unwrap().len() as usize;
    let (mut commits, mut states) = (vec![length()], vec![State::new()]);
    for round in 0..rounds {
        commit(&mut journal, round);
        commits.push(length());
        states.push(state_after(round + 1));
    }
    let (db, wal) = (fs::read(desk.path()).unwrap(), fs::read(&wal).unwrap());
    History { desk, db, wal, commits, states }
}

impl History {
    fn found(&self, directory: &Path, wal: &[u8]) -> Result<State, String> {
        found(&self.desk, directory, &self.db, wal)
    }

    /// How many commits are whole in a log cut at `cut`.
    fn whole_at(&self, cut: usize) -> usize {
        self.commits.iter().rposition(|len| *len <= cut).unwrap_or(0)
    }
}

/// What a start finds in these files.
fn found(desk: &Desk, directory: &Path, db: &[u8], wal: &[u8]) -> Result<State, String> {
    let mut options = desk.options.clone();
    options.key_file = Some(desk.options.key_path());
    options.file = directory.join("torn.journal");
    fs::write(&options.file, db).unwrap();
    fs::write(directory.join("torn.journal-wal"), wal).unwrap();
    let _ = fs::remove_file(directory.join("torn.journal-shm"));
    match desk.try_open(&options) {
        Ok((_, rows)) => Ok(rows.iter().map(|row| (row.was, row.stage, row.attempts)).collect()),
        Err(error) => Err(error.to_string()),
    }
}

fn long() -> bool {
    std::env::var_os("SOCKETQUEUE_LONG").is_some()
}

/// A directory in memory where there is one: thousands of starts are about what they find, not about the disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A log cut at a byte has the commits that are whole in it, all of them and no more: nothing that was acknowledged
/// before is lost, nothing is half read. Every cut in the headers of frames and around each block, and a seeded choice
/// of all others; all of them in the last transaction with `SOCKETQUEUE_LONG=1`.
#[test]
fn a_log_cut_at_any_byte_has_exactly_the_commits_that_are_whole() {
    let history = history(6);
    let directory = scratch();
    let mut chance = Chance(1);
    let last = history.commits[5];
    let mut seen = [0; 7];
    for cut in history.commits[0]..=history.wal.len() {
        // Frames are 24 + 4096 bytes, after a header of 32 (sqlite.org/fileformat.html, 4).
        let within = cut.saturating_sub(32) % 4120;
        let edge = cut < 34 || within < 2 || (22..26).contains(&within) || within > 4117;
        if !(cut >= last && (edge || long()) || chance.next().is_multiple_of(2500)) {
            continue;
        }
        let whole = history.whole_at(cut);
        let found = history.found(directory.path(), &history.wal[..cut]);
        assert_eq!(found.as_ref(), Ok(&history.states[whole]), "cut at {cut}, {whole} commits");
        seen[whole] += 1;
    }
    assert!(seen[1..].iter().all(|count| *count > 0) && seen[5] > 20, "{seen:?}");
}

/// Blocks of the last commit that were not synced before the power went: zeros, or what stood there before the log was
/// begun anew. Before its sync nothing was acknowledged, so the state before it and the one after it are both right.
#[test]
fn blocks_that_never_reached_the_disk_give_the_state_before_or_after_the_commit() {
    let history = history(6);
    let directory = scratch();
    // What the blocks had before: the log of an earlier time with other salts, as long as this one.
    let earlier = self::history(7).wal;
    let last = history.commits[5];
    let mut chance = Chance(2);
    let (mut before, mut after) = (0, 0);
    for round in 0..if long() { 2000 } else { 120 } {
        let size = [512, 4096][round % 2];
        let mut wal = history.wal.clone();
        // The first block of the commit may be half old: it is written whole.
        for at in (last / size * size..wal.len()).step_by(size) {
            if !chance.next().is_multiple_of(4) {
                continue;
            }
            let (from, to) = (at.max(last), (at + size).min(wal.len()));
            match round % 3 {
                0 => wal[from..to].copy_from_slice(&earlier[from..to]),
                _ => wal[from..to].fill(0),
            }
        }
        match history.found(directory.path(), &wal) {
            Ok(state) if state == history.states[5] => before += 1,
            Ok(state) if state == history.states[6] => after += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert!(before > 20, "{before} {after}");
}

/// What a sync makes durable at the least is the log as it was when it began. Whatever is told durable has to be in that,
/// also while other commits go into the log behind it.
#[test]
fn what_is_told_durable_is_in_the_log_as_it_was_when_its_sync_began() {
    let desk = Desk::new();
    let wal = desk.directory().join("test.journal-wal");
    let (begun, syncs) = std::sync::mpsc::channel();
    let begun = Mutex::new(begun);
    let (mut journal, _) = desk.open_syncing(move || {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        begun.lock().unwrap().send((fs::read(&wal).unwrap(), end)).unwrap();
        ended.recv().unwrap();
        Ok(())
    });
    let db = fs::read(desk.path()).unwrap();
    let directory = scratch();
    let mut told = Vec::new();
    for round in 0..8 {
        submit(&mut journal, (0..4).map(|n| intent(8 * round + n)));
        let first = syncs.recv().unwrap();
        // These go into the log while it is synced, and are not covered.
        submit(&mut journal, (4..8).map(|n| intent(8 * round + n)));
        await_number(desk.path(), ROWS, 8 * (round as i64 + 1));
        // The second sync may begin before the first has ended, or after it.
        let mut next = Some(first);
        for _ in 0..2 {
            let (log, end) = next.take().unwrap_or_else(|| syncs.recv().unwrap());
            end.send(()).unwrap();
            let verdicts = verdicts(&mut journal, 4);
            assert_eq!(verdicts.len(), 4, "round {round}");
            for verdict in verdicts {
                match verdict {
                    Verdict::Durable(id) => told.push(id.bits()),
                    other => panic!("{other:?}"),
                }
            }
            let found = found(&desk, directory.path(), &db, &log).unwrap();
            let found: Vec<u64> = found.into_iter().map(|(was, ..)| was).collect();
            assert_eq!(found, told, "round {round}");
        }
    }
}

/// The power goes while the log is moved into the database: its pages are there in any mixture of old and new.
#[test]
fn a_database_half_written_by_a_checkpoint_is_made_whole_by_its_log() {
    let history = history(6);
    let directory = scratch();
    // The same log moved into the same database, by SQLite itself.
    let moved = directory.path().join("moved.journal");
    fs::write(&moved, &history.db).unwrap();
    fs::write(directory.path().join("moved.journal-wal"), &history.wal).unwrap();
    let conn = rusqlite::Connection::open(&moved).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    let new = fs::read(&moved).unwrap();
    drop(conn);
    assert!(new.len() > history.db.len());
    let mut chance = Chance(3);
    for round in 0..if long() { 1000 } else { 60 } {
        let mut db = history.db.clone();
        if round % 2 == 0 {
            db.resize(new.len(), 0);
        }
        for at in (0..db.len()).step_by(512) {
            if chance.next().is_multiple_of(2) {
                db[at..at + 512].copy_from_slice(&new[at..at + 512]);
            }
        }
        let found = found(&history.desk, directory.path(), &db, &history.wal);
        assert_eq!(found.as_ref(), Ok(&history.states[6]), "round {round}");
    }
}

/// The database without its log has what was moved into it; with another journal's log it is refused, since that one's
/// rows are sealed with another key.
#[test]
fn a_log_that_is_not_its_own_is_not_taken_for_it() {
    let history = history(6);
    let directory = scratch();
    for wal in [&[][..], &[0xA5; 8192]] {
        assert_eq!(history.found(directory.path(), wal).as_ref(), Ok(&history.states[0]));
    }
    let text = history.found(directory.path(), &self::history(6).wal).unwrap_err();
    assert!(text.contains("sealed with key"), "{text}");
}
