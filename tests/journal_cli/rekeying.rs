//! `journal rekey`: a new key for everything, readable at every moment.

use std::fs;
use std::process::{Command, Stdio};

use socketqueue::journal::Options;
use socketqueue::journal::desk::{Keeper, KeySource, Reader, Step, verify};
use socketqueue::journal::options::Secret;
use socketqueue::journal::seal::{KEY_VARIABLE, Keyring};

use crate::desk::{Desk, flush, intent, submit};
use crate::world::{LEAVERS, World};

const NEW: &str = "0102030405060708091011121314151617181920212223242526272829303132";

/// A journal with a parked reversal that nobody has open.
fn world() -> World {
    let world = World::new(&LEAVERS);
    let (gateway, _link) = world.with_a_parked_reversal();
    gateway.stop();
    world
}

fn key_file(world: &World) -> String {
    fs::read_to_string(world.directory.path().join("test.journal.key")).unwrap()
}

/// With the keys that are there: the journal is sound, and a gateway sends what is in it, for the n-th time.
fn is_usable(world: &World, attempt: i64) {
    let options = Options::new(world.journal());
    let keys = Keyring::load(&options, false).unwrap();
    let reader = Reader::open(&world.journal()).unwrap();
    assert!(verify(&reader, &keys).unwrap().is_sound());
    drop(reader);
    let gateway = world.start();
    let mut link = world.host.link();
    world.done(&["journal", "retry", "1", "--reason=after rekeying"]);
    let reversal = link.frame();
    world.reject(&mut link, &reversal, attempt);
    gateway.stop();
}

#[test]
fn a_key_in_a_file_is_replaced_and_the_old_one_opens_nothing_any_more() {
    let world = world();
    let old = key_file(&world);
    let said = world.done(&["journal", "rekey"]);
    assert!(said.contains("sealed anew with key ") && said.contains(": 1 messages"), "{said}");
    let new = key_file(&world);
    assert!(new != old && new.lines().count() == 1 && !said.contains(new.trim()));
    let with_old = world.run_with(&["journal", "verify", "--json"], &[(KEY_VARIABLE, old.trim())]);
    assert_eq!((with_old.code, &with_old.json()["without_key"].as_object().unwrap().len()), (1, &1));
    is_usable(&world, 2);
}

#[test]
fn interrupted_at_any_moment_the_keys_that_are_there_open_the_journal() {
    for stop_at in [Step::BothKeys, Step::Sealed, Step::Committed, Step::NewKeyOnly] {
        let world = world();
        let options = Options::new(world.journal());
        let mut steps = Vec::new();
        let source = KeySource::Made(options.key_path());
        let done = Keeper::take(&options)
            .unwrap()
            .rekey(&options, &source, &mut |step| {
                steps.push(step);
                step != stop_at
            })
            .unwrap();
        assert_eq!((done.is_some(), steps.last()), (stop_at == Step::NewKeyOnly, Some(&stop_at)));
        let lines = if stop_at == Step::NewKeyOnly { 1 } else { 2 };
        assert_eq!(key_file(&world).lines().count(), lines, "{stop_at:?}");
        is_usable(&world, 2);
        // And once more, to its end.
        world.done(&["journal", "rekey"]);
        assert_eq!(key_file(&world).lines().count(), 1);
        is_usable(&world, 3);
    }
}

#[test]
fn a_key_of_the_environment_is_the_first_of_several_and_no_file_is_written() {
    let world = world();
    let old = key_file(&world);
    fs::remove_file(world.directory.path().join("test.journal.key")).unwrap();
    let old = old.trim();
    let rekey = |keys: &str| world.run_with(&["journal", "rekey"], &[(KEY_VARIABLE, keys)]);
    let one = rekey(old);
    assert!(one.code == 1 && one.err.contains("has one key only"), "{one:?}");
    let wrong = rekey(NEW);
    assert!(wrong.code == 1 && wrong.err.contains("1 open rows are sealed with key"), "{wrong:?}");
    let both = rekey(&format!("{NEW} {old}"));
    assert_eq!(both.code, 0, "{both:?}");
    assert!(!both.out.contains(&NEW[..16]));
    for (key, code) in [(NEW, 0), (old, 1)] {
        assert_eq!(world.run_with(&["journal", "verify"], &[(KEY_VARIABLE, key)]).code, code);
    }
    assert!(!world.directory.path().join("test.journal.key").exists());
}

#[test]
fn a_file_that_somebody_else_writes_has_the_new_key_first() {
    let world = world();
    let path = world.directory.path().join("test.journal.key");
    let both = format!("{NEW}\n{}", key_file(&world));
    fs::write(&path, &both).unwrap();
    world.done(&["journal", "rekey", "--use-first"]);
    assert_eq!(key_file(&world), both);
    fs::write(&path, NEW).unwrap();
    is_usable(&world, 2);
}

#[test]
fn what_cannot_be_unsealed_stops_it_before_anything_changes() {
    let world = world();
    let options = Options { key_variable: Some(Secret::new(NEW)), ..Options::new(world.journal()) };
    let error = Keeper::take(&options)
        .unwrap()
        .rekey(&options, &KeySource::First, &mut |_| true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("sealed with key"), "{error}");
    is_usable(&world, 2);
}

#[test]
fn killed_at_any_moment_it_leaves_a_journal_that_its_keys_open() {
    let desk = Desk::new();
    let (mut journal, _) = desk.open();
    for n in 1..=1500 {
        submit(&mut journal, [intent(n)]);
    }
    flush(&mut journal);
    drop(journal);
    let key_path = desk.directory().join("test.journal.key");
    let log_path = desk.directory().join("test.journal-wal");
    let lines = || fs::read_to_string(&key_path).unwrap().lines().count();
    let log_len = || fs::metadata(&log_path).map_or(0, |log| log.len());
    // Killed at once, when the key file has both keys, when the log has something of the rows, and not at all.
    for round in 0..4 {
        let mut rekey = Command::new(env!("CARGO_BIN_EXE_socketqueue"))
            .args(["journal", "rekey", "--journalFile"])
            .arg(desk.path())
            .env_remove(KEY_VARIABLE)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut ended = false;
        let far_enough = || match round {
            0 => true,
            1 => lines() == 2,
            2 => lines() == 2 && log_len() > 0,
            _ => false,
        };
        while !ended && !far_enough() {
            ended = rekey.try_wait().unwrap().is_some();
        }
        let _ = rekey.kill();
        let status = rekey.wait().unwrap();
        assert!(status.success() || !ended, "round {round}");
        assert!(round < 3 || ended);
        let keys = Keyring::load(&desk.options, false).unwrap();
        let found = verify(&Reader::open(desk.path()).unwrap(), &keys).unwrap();
        assert!(found.is_sound() && found.sealed == 1500, "round {round}: {found:?}");
    }
    assert_eq!(lines(), 1);
    let (_, rows) = desk.open();
    assert_eq!(rows.len(), 1500);
}
