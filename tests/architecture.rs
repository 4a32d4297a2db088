//! Reads the sources and holds the walls of the house: who may import whom, and what pure rooms must not name.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import of ours. A room that is not listed may import anything but `cli`, `server` and `config`.
const PURE: [(&str, &[&str]); 6] = [
    ("time", &[]),
    ("iso8583", &["time"]),
    ("dialect", &["iso8583", "time"]),
    ("framing", &["iso8583"]),
    ("rules", &["dialect", "iso8583", "time"]),
    ("mux", &["rules", "dialect", "iso8583", "time"]),
];

/// Names that a pure room must not have: a runtime, a logger, clocks, sockets, files, locks, randomness.
const BANNED: [&str; 12] = [
    "tokio",
    "slog",
    "std::net",
    "std::fs",
    "std::io::",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "std::thread",
    "fastrand",
    "unsafe ",
];

fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(&root).unwrap().to_path_buf(), text);
            }
        }
    }
    assert!(found.len() > 30, "the sources were found");
    found
}

/// The room of a file: its first folder, or the file itself at the top.
fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

#[test]
fn pure_rooms_import_pure_rooms_only() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some((own, allowed)) = PURE.iter().find(|(name, _)| *name == room(&path)) else { continue };
        for (number, line) in code(&text) {
            for part in line.split("crate::").skip(1) {
                let other: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if other != *own && !allowed.contains(&other.as_str()) {
                    broken.push(format!("{}:{number}: {own} imports {other}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn pure_rooms_name_no_runtime_clock_socket_lock_or_chance() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if !PURE.iter().any(|(name, _)| *name == room(&path)) {
            continue;
        }
        for (number, line) in code(&text) {
            for banned in BANNED {
                if line.contains(banned) {
                    broken.push(format!("{}:{number}: {banned}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn only_the_top_knows_the_configuration() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        for (number, line) in code(&text) {
            for (name, by) in [
                ("cli", &["main", "lib", "cli"][..]),
                ("server", &["lib", "cli", "server"][..]),
                ("config", &["lib", "cli", "server", "config"][..]),
            ] {
                let names_it = line.contains(&format!("crate::{name}::"))
                    || line.contains(&format!("socketqueue::{name}::"))
                    || line.contains(&format!("use crate::{name};"));
                if names_it && !by.contains(&room.as_str()) {
                    broken.push(format!("{}:{number}: {room} imports {name}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn unsafe_code_stays_in_the_one_file_that_asks_the_kernel() {
    let with_unsafe: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| {
            code(text).any(|(_, line)| line.contains("unsafe ") || line.contains("allow(unsafe_code)"))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(with_unsafe, ["net/peer.rs"]);
}
