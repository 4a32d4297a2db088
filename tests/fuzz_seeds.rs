//! The fuzz targets of `fuzz/` that have no seeded version elsewhere, fed with seeded bytes.
//! `SOCKETQUEUE_SEEDS=100000` runs more, `SOCKETQUEUE_SEED=7` begins elsewhere.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/json_script.rs"]
mod json_script;
#[path = "support/mux_script.rs"]
mod mux_script;

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

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// Runs `check` on the data of each seed. How many got to the end of it.
#[allow(clippy::print_stdout)]
fn for_each_seed(seeds: u64, data: fn(&mut Chance) -> Vec<u8>, check: fn(&[u8]) -> bool) -> u64 {
    let first = from_environment("SOCKETQUEUE_SEED", 0);
    let mut through = 0;
    for seed in first..first + from_environment("SOCKETQUEUE_SEEDS", seeds) {
        let data = data(&mut Chance(seed));
        match std::panic::catch_unwind(|| check(&data)) {
            Ok(got_there) => through += u64::from(got_there),
            Err(panic) => {
                println!("replay with SOCKETQUEUE_SEED={seed} SOCKETQUEUE_SEEDS=1");
                std::panic::resume_unwind(panic);
            }
        }
    }
    through
}

#[test]
fn no_sequence_of_events_breaks_the_mux() {
    let data = |chance: &mut Chance| {
        let length = chance.next() % 2000;
        (0..length).map(|_| chance.next() as u8).collect()
    };
    for_each_seed(150, data, |data| {
        mux_script::run(data);
        true
    });
}

#[test]
fn what_is_taken_as_json_is_shown_as_the_same_json() {
    let messages = for_each_seed(3000, json, json_script::run);
    assert!(messages >= 20, "{messages} messages");
}

/// A dialect, and an object of fields as a careless or hostile hand would write it.
fn json(chance: &mut Chance) -> Vec<u8> {
    const VALUES: [&str; 14] = [
        "\"000000001000\"",
        "1000",
        "\"4850781234567891=19082012232800000037\"",
        "\"9f2701809f1a020643\"",
        "\"\"",
        "null",
        "true",
        "-1",
        "1.5",
        "18446744073709551616",
        "[]",
        "{}",
        "\"\\u0000\\ud83d\\ude00\"",
        "\"1122030405\"",
    ];
    const KEYS: [&str; 7] = ["0", "mti", "1", "Amount", "system trace audit number", "007", "129"];
    const TYPES: [&str; 6] = ["\"0200\"", "\"0800\"", "800", "\"0210\"", "\"020\"", "\"9999\""];
    let mut members = Vec::new();
    if chance.below(8) > 0 {
        members.push(format!("\"0\":{}", TYPES[chance.below(TYPES.len())]));
    }
    for _ in 0..chance.below(12) {
        let key = match chance.below(4) {
            0 => KEYS[chance.below(KEYS.len())].to_owned(),
            _ => chance.below(66).to_string(),
        };
        let value = match chance.below(3) {
            0 => VALUES[chance.below(VALUES.len())].to_owned(),
            1 => format!("\"{}\"", "0123456789".repeat(12).split_at(chance.below(40)).0),
            _ => format!("\"{}\"", chance.next() % 1_000_000),
        };
        members.push(format!("\"{key}\":{value}"));
    }
    let mut data = vec![chance.next() as u8];
    data.extend_from_slice(format!("{{{}}}", members.join(",")).as_bytes());
    if chance.below(10) == 0 {
        let at = chance.below(data.len());
        data[at] = chance.next() as u8;
    }
    data
}
