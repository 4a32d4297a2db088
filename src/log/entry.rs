//! One record as values: what the sinks write, each in its form.

use std::fmt::{self, Write};

use serde_json::{Map, Value as Json};
use slog::{KV, Key, Level, OwnedKVList, Record, Serializer};

use crate::net::clock::Clock;
use crate::time::Civil;

/// The key under which [`super::sink::Bounded`] hands the moment of the record through the channel.
pub(super) const AT: &str = "\u{1}at";

/// A record, collected.
pub(super) struct Entry {
    /// When it was logged, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) at_ms: i64,
    pub(super) level: Level,
    pub(super) message: String,
    /// Outermost context first, each key once.
    pub(super) pairs: Vec<(&'static str, Json)>,
}

impl Entry {
    /// Collects a record and the context of its logger; `now_ms` counts when the record brings no time.
    pub(super) fn collect(record: &Record<'_>, context: &OwnedKVList, now_ms: i64) -> Entry {
        let mut own = Pairs::default();
        // The serializer below never fails.
        let _ = record.kv().serialize(record, &mut own);
        let mut outer = Pairs::default();
        let _ = context.serialize(record, &mut outer);
        // slog hands pairs over in reverse.
        let mut pairs: Vec<(&'static str, Json)> = outer.0.into_iter().rev().collect();
        let mut at_ms = now_ms;
        for (key, value) in own.0.into_iter().rev() {
            if key == AT {
                at_ms = value.as_i64().unwrap_or(now_ms);
            } else {
                pairs.push((key, value));
            }
        }
        Entry { at_ms, level: record.level(), message: record.msg().to_string(), pairs: last_of_each(pairs) }
    }

    /// `2026-11-22 03:34:37 - warn: text key=value…` and a line break. `colour` puts the level into ANSI colour.
    pub(super) fn line(&self, clock: &Clock, colour: bool) -> String {
        let seconds = self.at_ms.div_euclid(1000);
        let civil = Civil::from_seconds(seconds + i64::from(clock.offset_at(seconds)));
        let (name, paint) = level_name(self.level);
        let mut line = String::with_capacity(self.message.len() + 96);
        // Writing to a String cannot fail.
        let _ = match colour {
            true => write!(line, "{civil} - \x1b[{paint}m{name}\x1b[0m:"),
            false => write!(line, "{civil} - {name}:"),
        };
        // The values of a dump stand on its first line, not behind its last.
        let (first, rest) = self.message.split_at(self.message.find('\n').unwrap_or(self.message.len()));
        if !first.is_empty() {
            line.push(' ');
            push_text(&mut line, first, false);
        }
        for (key, value) in &self.pairs {
            line.push(' ');
            line.push_str(key);
            line.push('=');
            match value {
                Json::String(text) => push_value(&mut line, text),
                other => {
                    let _ = write!(line, "{other}");
                }
            }
        }
        push_text(&mut line, rest, true);
        line.push('\n');
        line
    }

    /// One JSON object on one line, as Logstash's `json_lines` codec reads it.
    pub(super) fn json_line(&self, node: &str) -> String {
        let mut object = Map::new();
        let utc = Civil::from_seconds(self.at_ms.div_euclid(1000)).to_string().replacen(' ', "T", 1);
        object.insert("@timestamp".to_owned(), format!("{utc}.{:03}Z", self.at_ms.rem_euclid(1000)).into());
        object.insert("@version".to_owned(), "1".into());
        object.insert("level".to_owned(), level_name(self.level).0.into());
        object.insert("message".to_owned(), self.message.clone().into());
        object.insert("node".to_owned(), node.into());
        for (key, value) in &self.pairs {
            // A key of ours never replaces one of the envelope.
            object.entry(*key).or_insert_with(|| value.clone());
        }
        let mut line = Json::Object(object).to_string();
        line.push('\n');
        line
    }
}

/// SocketQueue's names of the levels, and their colours.
fn level_name(level: Level) -> (&'static str, u8) {
    match level {
        Level::Critical | Level::Error => ("error", 31),
        Level::Warning => ("warn", 33),
        Level::Info => ("info", 32),
        Level::Debug => ("debug", 36),
        Level::Trace => ("verbose", 36),
    }
}

fn last_of_each(pairs: Vec<(&'static str, Json)>) -> Vec<(&'static str, Json)> {
    let mut kept: Vec<(&'static str, Json)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        match kept.iter_mut().find(|(other, _)| *other == key) {
            Some(pair) => pair.1 = value,
            None => kept.push((key, value)),
        }
    }
    kept
}

/// A value as it stands behind its `=`: in quotes when it is empty or has a space, quote or `=` in it.
fn push_value(line: &mut String, text: &str) {
    let bare = !text.is_empty() && !text.contains([' ', '"', '=', '\n']);
    if bare {
        return push_text(line, text, false);
    }
    line.push('"');
    for part in text.split_inclusive('"') {
        match part.strip_suffix('"') {
            Some(part) => {
                push_text(line, part, false);
                line.push_str("\\\"");
            }
            None => push_text(line, part, false),
        }
    }
    line.push('"');
}

/// Text with its control characters escaped; line breaks stay where a dump has them.
fn push_text(line: &mut String, text: &str, line_breaks: bool) {
    for letter in text.chars() {
        match letter {
            '\n' if line_breaks => line.push('\n'),
            _ if is_control(letter) => line.extend(letter.escape_default()),
            _ => line.push(letter),
        }
    }
}

/// C0, C1, and the line and direction marks that make a terminal show something else than is written.
fn is_control(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Collects pairs as JSON values: numbers and booleans stay what they are.
#[derive(Default)]
struct Pairs(Vec<(&'static str, Json)>);

impl Pairs {
    fn push(&mut self, key: Key, value: Json) -> slog::Result {
        self.0.push((key, value));
        Ok(())
    }
}

macro_rules! emit {
    ($($method:ident: $type:ty;)*) => {
        $(fn $method(&mut self, key: Key, value: $type) -> slog::Result {
            self.push(key, value.into())
        })*
    };
}

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.push(key, value.to_string().into())
    }

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.push(key, Json::Null)
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        self.push(key, Json::Null)
    }

    emit! {
        emit_str: &str;
        emit_bool: bool;
        emit_u8: u8;
        emit_u16: u16;
        emit_u32: u32;
        emit_u64: u64;
        emit_usize: usize;
        emit_i8: i8;
        emit_i16: i16;
        emit_i32: i32;
        emit_i64: i64;
        emit_isize: isize;
        emit_f32: f32;
        emit_f64: f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &str, pairs: Vec<(&'static str, Json)>) -> Entry {
        // 2026-11-22T03:04:05.678Z, from `date -u -d @1795316645`.
        Entry { at_ms: 1_795_316_645_678, level: Level::Warning, message: message.to_owned(), pairs }
    }

    #[test]
    fn a_line_has_the_form_of_the_original_in_local_time() {
        let clock = Clock::new(Some("+07:00")).unwrap();
        let entry = entry("link lost", vec![("peer", "10.0.0.1:5000".into()), ("waited_ms", 7.into())]);
        assert_eq!(
            entry.line(&clock, false),
            "2026-11-22 10:04:05 - warn: link lost peer=10.0.0.1:5000 waited_ms=7\n"
        );
        assert!(
            entry.line(&clock, true).starts_with("2026-11-22 10:04:05 - \x1b[33mwarn\x1b[0m: link lost ")
        );
    }

    #[test]
    fn nobody_can_forge_a_line_or_colour_it() {
        let clock = Clock::new(Some("UTC")).unwrap();
        let evil = "1\n2026-11-22 03:04:05 - error: \"\u{1b}[2J\u{9b}\u{202e}";
        let line = entry("closed", vec![("tid", evil.into()), ("empty", "".into())]).line(&clock, false);
        assert_eq!(
            line,
            "2026-11-22 03:04:05 - warn: closed tid=\"1\\n2026-11-22 03:04:05 - error: \\\"\\u{1b}[2J\\u{9b}\\u{202e}\" empty=\"\"\n"
        );
        let line = entry("a\n  dump\u{1b}\r", vec![]).line(&clock, false);
        assert_eq!(line, "2026-11-22 03:04:05 - warn: a\n  dump\\u{1b}\\r\n");
    }

    #[test]
    fn the_values_of_a_dump_stand_on_its_first_line() {
        let clock = Clock::new(Some("UTC")).unwrap();
        let line = entry("\n\n  dump", vec![("peer", "p".into())]).line(&clock, false);
        assert_eq!(line, "2026-11-22 03:04:05 - warn: peer=p\n\n  dump\n");
    }

    #[test]
    fn a_logstash_line_is_one_json_object_in_utc() {
        let line =
            entry("a\nb", vec![("level", "mine".into()), ("stan", "001001".into()), ("attempt", 2.into())])
                .json_line("node 7");
        assert_eq!(line.matches('\n').count(), 1);
        let json: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "@timestamp": "2026-11-22T03:04:05.678Z", "@version": "1", "level": "warn", "message": "a\nb",
                "node": "node 7", "stan": "001001", "attempt": 2 })
        );
    }

    #[test]
    fn the_inner_value_of_a_key_wins() {
        let pairs = vec![("peer", Json::from("outer")), ("tid", "1".into()), ("peer", "inner".into())];
        assert_eq!(last_of_each(pairs), [("peer", Json::from("inner")), ("tid", "1".into())]);
    }
}
