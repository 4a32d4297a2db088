//! No text makes the configuration panic, as a file or as flags: by seed, up to 64 KiB.
//! `SOCKETQUEUE_SEED=7` begins elsewhere.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;

use socketqueue::config::{self, reference, table};

const ROUNDS: usize = 400;
const LONGEST: u64 = 64 * 1024;

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

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

fn chance() -> Chance {
    let seed = std::env::var("SOCKETQUEUE_SEED").ok().and_then(|seed| seed.parse().ok());
    Chance(seed.unwrap_or(1))
}

/// A value as a careless or hostile hand would write it.
fn value(chance: &mut Chance) -> String {
    let texts = [
        "",
        "0",
        "-1",
        "1e99",
        "99999999999999999999",
        "true",
        "TRUE",
        "null",
        "5000",
        "0.5",
        "1h",
        "5s,7",
        "11,41",
        "11,999",
        "length:n:4",
        "length:b-hex:2,tpdu:b:5:6000010000",
        "smartVista",
        "openWay",
        "/dev/null",
        "..",
        "55:ll-b:9",
        "length(ascii 4, counts=all), trailer(03)",
        "::1",
        "256.1.1.1",
        "\u{0}",
        "é",
        "4850781122334455",
    ];
    match chance.below(4) {
        0 => "9".repeat(chance.below(300) as usize),
        1 => (0..chance.below(40)).map(|_| char::from(chance.below(128) as u8)).collect(),
        _ => (*chance.pick(&texts)).to_string(),
    }
}

fn json(chance: &mut Chance, depth: u32) -> serde_json::Value {
    match chance.below(if depth == 0 { 5 } else { 7 }) {
        0 => serde_json::Value::Null,
        1 => chance.below(2).eq(&0).into(),
        2 => (chance.next() as i64 >> chance.below(64)).into(),
        3 => (chance.next() as f64 / 1e9).into(),
        4 => value(chance).into(),
        5 => (0..chance.below(4)).map(|_| json(chance, depth - 1)).collect(),
        _ => serde_json::json!({ value(chance): json(chance, depth - 1) }),
    }
}

#[test]
fn no_file_makes_it_panic() {
    let mut chance = chance();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let arguments = [path.display().to_string()];
    let template = reference::template();
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let bytes: Vec<u8> = match round % 4 {
            // Noise.
            0 => (0..chance.below(LONGEST)).map(|_| chance.next() as u8).collect(),
            // Keys that there are, values that there should not be.
            1 | 2 => {
                let mut object = serde_json::Map::new();
                for _ in 0..chance.below(8) {
                    object.insert(chance.pick(table::PARAMS).name.to_string(), json(&mut chance, 2));
                }
                serde_json::to_vec(&object).unwrap()
            }
            // The whole template with some bytes broken.
            _ => {
                let mut bytes = template.clone().into_bytes();
                for _ in 0..chance.below(6) {
                    let at = chance.below(bytes.len() as u64) as usize;
                    bytes[at] = chance.next() as u8;
                }
                bytes
            }
        };
        fs::write(&path, &bytes).unwrap();
        match config::check(&arguments) {
            Ok(_) => accepted += 1,
            Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
        }
    }
    assert!(accepted < ROUNDS, "some of it is refused");
}

#[test]
fn no_flags_make_it_panic() {
    let mut chance = chance();
    for _ in 0..ROUNDS * 4 {
        let flags: Vec<String> = (0..chance.below(8))
            .map(|_| {
                let name = chance.pick(table::PARAMS).name;
                match chance.below(5) {
                    0 => value(&mut chance),
                    1 => format!("--{name}"),
                    2 => format!("--{}={}", value(&mut chance), value(&mut chance)),
                    _ => format!("--{name}={}", value(&mut chance)),
                }
            })
            .collect();
        if let Err(problems) = config::check(&flags) {
            assert!(!problems.is_empty(), "refused without a reason: {flags:?}");
        }
    }
}
