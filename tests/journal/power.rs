//! Loss of power: what is left of the files is recovered or refused, never read by halves.

use std::fs;
use std::path::Path;

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

struct Crashed {
    desk: Desk,
    db: Vec<u8>,
    /// The log before the last commit and after it.
    before: usize,
    wal: Vec<u8>,
}

/// A journal killed after two commits: the first has rows 1 and 2; the second ends row 1 and has row 3.
fn crashed() -> Crashed {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let wal = desk.directory().join("test.journal-wal");
    submit(&mut journal, [intent(1), intent(2)]);
    verdicts(&mut journal, 2);
    let before = fs::read(&wal).unwrap().len();
    submit(&mut journal, [delivered(1), intent(3)]);
    verdicts(&mut journal, 1);
    let (db, wal) = (fs::read(desk.path()).unwrap(), fs::read(&wal).unwrap());
    assert!(wal.len() > before, "the last commit is in the log");
    Crashed { desk, db, before, wal }
}

impl Crashed {
    /// What a start finds in these files: the ids of the open rows.
    fn found(&self, directory: &Path, wal: &[u8]) -> Result<Vec<u64>, String> {
        let mut options = self.desk.options.clone();
        options.key_file = Some(self.desk.options.key_path());
        options.file = directory.join("torn.journal");
        fs::write(&options.file, &self.db).unwrap();
        fs::write(directory.join("torn.journal-wal"), wal).unwrap();
        let _ = fs::remove_file(directory.join("torn.journal-shm"));
        match self.desk.try_open(&options) {
            Ok((_, rows)) => Ok(rows.iter().map(|row| row.was).collect()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn is_whole(found: &Result<Vec<u64>, String>) -> bool {
    matches!(found.as_deref(), Err(_) | Ok([1, 2]) | Ok([2, 3]))
}

/// Every cut of the frame headers and around each block, and a seeded choice of all others; all of them with
/// `SOCKETQUEUE_LONG=1`.
#[test]
fn a_log_cut_anywhere_in_the_last_transaction_gives_the_state_before_or_after_it() {
    let crashed = crashed();
    let directory = tempfile::tempdir().unwrap();
    let all = std::env::var_os("SOCKETQUEUE_LONG").is_some();
    let mut chance = Chance(1);
    let (mut before, mut after) = (0, 0);
    for cut in crashed.before..=crashed.wal.len() {
        // Frames are 24 + 4096 bytes, after a header of 32 (sqlite.org/fileformat.html, 4).
        let within = (cut - 32) % 4120;
        let edge = within < 2 || (22..26).contains(&within) || within > 4117;
        if !(all || edge || chance.next().is_multiple_of(400)) {
            continue;
        }
        match crashed.found(directory.path(), &crashed.wal[..cut]) {
            Ok(rows) if rows == [1, 2] => before += 1,
            Ok(rows) if rows == [2, 3] => after += 1,
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    assert!(before > 20 && after >= 1, "{before} {after}");
}

#[test]
fn blocks_that_never_reached_the_disk_give_the_state_before_or_after_the_commit() {
    let crashed = crashed();
    let directory = tempfile::tempdir().unwrap();
    let blocks: Vec<usize> = (crashed.before..crashed.wal.len()).step_by(512).collect();
    let mut chance = Chance(2);
    for _ in 0..60 {
        let mut wal = crashed.wal.clone();
        for at in &blocks {
            if chance.next().is_multiple_of(4) {
                let end = (at + 512).min(wal.len());
                wal[*at..end].fill(0);
            }
        }
        let found = crashed.found(directory.path(), &wal);
        assert!(is_whole(&found), "{found:?}");
    }
}
