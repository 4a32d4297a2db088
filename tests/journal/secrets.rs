//! What is sealed, and with which key.

use std::fs;

use socketqueue::journal::JournalError;
use socketqueue::journal::options::Secret;

use crate::desk::*;

const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn no_file_has_card_data_in_it_at_any_time() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    let contains = |what: &[u8]| {
        fs::read_dir(desk.directory()).unwrap().any(|file| {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            bytes.windows(what.len()).any(|window| window == what)
        })
    };
    submit(&mut journal, (1..=20).map(intent));
    verdicts(&mut journal, 20);
    // The search finds what is kept in the clear.
    assert!(contains(b"10000001"));
    for _ in 0..2 {
        for secret in [PAN.as_bytes(), TRACK.as_bytes(), &PAN.as_bytes()[6..], PIN_BLOCK] {
            assert!(!contains(secret));
        }
        submit(&mut journal, (1..=20).map(delivered));
        flush(&mut journal);
        journal.sweep();
    }
}

#[test]
fn an_open_row_whose_key_is_gone_stops_the_start_naming_key_and_count() {
    let mut desk = Desk::new();
    desk.options.key_variable = Some(Secret::new(ONE));
    let (mut journal, _) = desk.open();
    submit(&mut journal, [intent(1), intent(2)]);
    verdicts(&mut journal, 2);
    drop(journal);
    assert!(!desk.directory().join("test.journal.key").exists());
    let key: String = rusqlite::Connection::open(desk.path())
        .unwrap()
        .query_row("SELECT key_id FROM sheets", [], |row| row.get(0))
        .unwrap();
    desk.options.key_variable = Some(Secret::new(TWO));
    let text = desk.try_open(&desk.options).err().unwrap().to_string();
    assert!(text.contains(&format!("2 open rows are sealed with key {key}")), "{text}");
    assert!(!text.contains("0102030405"), "{text}");
    // Rotation: the new key first, the old one still there.
    desk.options.key_variable = Some(Secret::new(format!("{TWO},{ONE}")));
    assert_eq!(desk.open().1.len(), 2);
}

#[test]
fn a_key_is_made_only_together_with_a_new_journal() {
    let desk = Desk::new();
    drop(desk.open());
    let key = desk.directory().join("test.journal.key");
    assert_eq!(fs::read_to_string(&key).unwrap().trim().len(), 64);
    fs::remove_file(&key).unwrap();
    assert!(matches!(desk.try_open(&desk.options), Err(JournalError::NoKey { .. })));
    assert!(!key.exists());
}
