//! The configuration file: one JSON object with the keys of the table.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use super::given::{Given, Values};
use super::param::{Param, Status};
use super::problem::{Problem, masked};
use super::{suggest, table, value};

/// Largest configuration file, in bytes.
pub const FILE_LEN_MAX: u64 = 1 << 20;

/// What a configuration file says.
#[derive(Debug, Default)]
pub struct File {
    /// The values that could be read.
    pub values: Values,
    /// Everything wrong, each with its key and line.
    pub problems: Vec<Problem>,
    /// Whether it is an object of settings at all.
    pub readable: bool,
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> File {
    let place = path.display().to_string();
    match read_text(path, FILE_LEN_MAX) {
        Ok(text) => parse(&place, &text),
        Err(problem) => File { problems: vec![Problem::new(&place, problem)], ..File::default() },
    }
}

/// Reads a text file of at most `len_max` bytes.
///
/// # Errors
/// Why not, in words.
pub(super) fn read_text(path: &Path, len_max: u64) -> Result<String, String> {
    use std::io::Read;

    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(len_max + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > len_max {
        return Err(format!("is longer than {len_max} bytes"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 text (at byte {})", error.utf8_error().valid_up_to()))?;
    // Some editors put a byte order mark in front.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads the text of a configuration file; `place` names it in problems.
pub fn parse(place: &str, text: &str) -> File {
    let mut file = File::default();
    let pairs = match serde_json::from_str::<Pairs>(text) {
        Ok(Pairs(pairs)) => pairs,
        Err(error) => {
            file.problems.push(Problem::new(place, format!("is not a JSON object of settings: {error}")));
            return file;
        }
    };
    file.readable = true;
    let lines = key_lines(text);
    for (at, (key, json)) in pairs.iter().enumerate() {
        let line = lines.get(at).copied().unwrap_or(1);
        let place = format!("{place}: {} (line {line})", masked(key).escape_debug());
        match table::find(key) {
            Some(param) => file.take(param, json, place),
            None => file.unknown(key, place),
        }
    }
    file
}

impl File {
    fn take(&mut self, param: &'static Param, json: &Json, place: String) {
        let problem = match value::from_json(param.kind, json) {
            Ok(None) => return,
            Ok(Some(_)) if param.status == Status::CommandLine => match is_off(json) {
                true => return,
                false => "belongs on the command line, not into the file".to_owned(),
            },
            Ok(Some(value)) => match self.values.set(param, Given { value, place: place.clone() }) {
                None => return,
                Some(_) => "is given twice in the file".to_owned(),
            },
            Err(problem) => problem,
        };
        self.values.set_broken(param);
        self.problems.push(Problem::new(place, problem));
    }

    fn unknown(&mut self, key: &str, place: String) {
        let meant = suggest::parameter(key).and_then(table::find);
        let hint = match meant {
            Some(param) => format!("unknown key; did you mean {}?", param.name),
            None => "unknown key; `socketqueue --help` lists all".to_owned(),
        };
        if let Some(param) = meant {
            self.values.set_broken(param);
        }
        self.problems.push(Problem::new(place, hint));
    }
}

/// `false`, as the template of `--helpJson` has it for `help`.
fn is_off(json: &Json) -> bool {
    matches!(json, Json::Bool(false)) || json.as_str() == Some("false")
}

/// The pairs of a JSON object in their order, a key given twice included (a map would silently keep the last).
struct Pairs(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: { \"upstreamHost\": …, … }")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// The line (from 1) of each key of the outermost object, in order. The text has been parsed: it is valid JSON.
fn key_lines(text: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    let (mut line, mut depth, mut awaits_key) = (1_usize, 0_usize, false);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\n' => line += 1,
            b'{' | b'[' => {
                depth += 1;
                awaits_key = depth == 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => awaits_key = depth == 1,
            b'"' => {
                if awaits_key && depth == 1 {
                    lines.push(line);
                    awaits_key = false;
                }
                // To the end of the string; a JSON string has no raw line break in it.
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        parse("config.json", text).problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn problems_name_key_and_line_all_at_once() {
        let text = "{\n \"upstreamPrt\": 5000,\n \"logFile\": \"a\\\"{,\\n.txt\",\n \"vv\": \"yes\", \"maxQueue\": {\"a\": [1,\n2]},\n \
            \"vv\": true,\n \"vv\": false,\n \"help\": true, \"c\": null, \"helpJson\": false }";
        assert_eq!(
            told(text),
            [
                "config.json: upstreamPrt (line 2): unknown key; did you mean upstreamPort?",
                "config.json: logFile (line 3): has a control character in it: 'a\"{,\\x0a.txt'",
                "config.json: vv (line 4): must be true or false, not 'yes'",
                "config.json: maxQueue (line 4): must be a number, 1–10000000, not an object",
                "config.json: vv (line 7): is given twice in the file",
                "config.json: help (line 8): belongs on the command line, not into the file",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_line() {
        for (text, start) in [
            (
                "{\n \"vv\": true,\n}",
                "config.json: is not a JSON object of settings: trailing comma at line 3",
            ),
            (
                "[1]",
                "config.json: is not a JSON object of settings: invalid type: sequence, expected an object",
            ),
            ("", "config.json: is not a JSON object of settings: EOF"),
            ("{} {}", "config.json: is not a JSON object of settings: trailing characters"),
        ] {
            let told = told(text);
            assert!(told.len() == 1 && told[0].starts_with(start), "{text}: {told:?}");
        }
        let deep = format!("{{\"vv\":{}", "[".repeat(100_000));
        assert!(told(&deep)[0].contains("recursion limit"));
    }

    #[test]
    fn no_text_makes_the_reader_panic_or_quote_a_card_number() {
        // splitmix64 (S. Vigna): the same texts in every run.
        let mut state = 0x5eed_u64;
        let mut next = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let canary = "4850781234567891";
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\n",
            "null",
            "true",
            "-",
            "1e9",
            "\u{0}",
            "é",
            "\"vv\":",
            "\"queueTimeout\":",
            "\"reversalSchedule\":",
            "\"4850781234567891\"",
            "4850781234567891",
            "\"timezone\":",
            "\"c\":",
            "\"\\u00e9\"",
            " ",
        ];
        for _ in 0..20_000 {
            let count = next() % 24;
            let mut text = String::from(if next() % 4 == 0 { "" } else { "{" });
            for _ in 0..count {
                text.push_str(pieces[(next() % pieces.len() as u64) as usize]);
            }
            if next() % 2 == 0 {
                text.push('}');
            }
            for problem in parse("config.json", &text).problems {
                assert!(!problem.to_string().contains(canary), "{text:?}: {problem}");
            }
        }
        for param in table::PARAMS {
            for value in [
                format!("\"{canary}\""),
                format!("\"x{canary}=1908\""),
                canary.to_owned(),
                format!("[{canary}]"),
            ] {
                let text = format!("{{\"{}\": {value}, \"{canary}\": 1}}", param.name);
                for problem in parse("config.json", &text).problems {
                    assert!(!problem.to_string().contains(canary), "{text}: {problem}");
                }
            }
        }
    }
}
