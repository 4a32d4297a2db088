//! From the text of a flag, or a JSON value, to a value of a parameter's type.

use std::time::Duration;

use serde_json::Value as Json;

use super::param::{Kind, show_time};
use super::problem::quote;

/// A value of its parameter's [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// [`Kind::Text`], [`Kind::Path`].
    Text(String),
    /// [`Kind::Port`], [`Kind::ListenPort`].
    Port(u16),
    /// [`Kind::Switch`].
    Switch(bool),
    /// [`Kind::Count`].
    Count(u64),
    /// [`Kind::Time`], [`Kind::Limit`].
    Time(Duration),
    /// [`Kind::Times`].
    Times(Vec<Duration>),
    /// [`Kind::Fields`].
    Fields(Vec<u8>),
    /// [`Kind::Choice`].
    Choice(&'static str),
}

/// Longest text of one value, in bytes.
const TEXT_LEN_MAX: usize = 4096;

/// Reads a value from text.
///
/// # Errors
/// What is wrong, in words, with the value masked and shortened.
pub fn from_text(kind: Kind, text: &str) -> Result<Value, String> {
    if text.len() > TEXT_LEN_MAX {
        return Err(format!("is {} bytes long; at most {TEXT_LEN_MAX} are taken", text.len()));
    }
    let text = text.trim();
    match kind {
        Kind::Text(_) | Kind::Path => plain(text).map(Value::Text),
        Kind::Port => whole(text, 1, u64::from(u16::MAX), "a port").map(|port| Value::Port(port as u16)),
        Kind::ListenPort => {
            whole(text, 0, u64::from(u16::MAX), "a port").map(|port| Value::Port(port as u16))
        }
        Kind::Switch => match text {
            "true" => Ok(Value::Switch(true)),
            "false" => Ok(Value::Switch(false)),
            _ => Err(format!("must be true or false, not {}", quote(text))),
        },
        Kind::Count { min, max } => whole(text, min, max, "a number").map(Value::Count),
        Kind::Time { min, max } => time(text, min, max).map(Value::Time),
        Kind::Limit { max } => time(text, Duration::ZERO, max).map(Value::Time),
        Kind::Times { count_max } => {
            let longest = Duration::from_secs(SCHEDULE_DELAY_MAX_S);
            list(text, count_max, |item| time(item, Duration::ZERO, longest)).map(Value::Times)
        }
        Kind::Fields { count_max } => {
            let fields =
                list(text, count_max, |item| whole(item, 2, 128, "a field number").map(|field| field as u8))?;
            match (1..fields.len()).find(|&at| fields[..at].contains(&fields[at])) {
                Some(at) => Err(format!("names field {} twice", fields[at])),
                None => Ok(Value::Fields(fields)),
            }
        }
        Kind::Choice(words) => match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Value::Choice(word)),
            None => Err(format!("must be {}, not {}", words.join(" or "), quote(text))),
        },
    }
}

/// Reads a value from the configuration file. Numbers and booleans may be texts, as in SocketQueue; lists may be arrays.
/// `None`: `null`, or an empty text where that is no value; it counts as not given.
///
/// # Errors
/// As [`from_text`].
pub fn from_json(kind: Kind, json: &Json) -> Result<Option<Value>, String> {
    let is_list = matches!(kind, Kind::Times { .. } | Kind::Fields { .. });
    match json {
        Json::Null => Ok(None),
        Json::String(text) if text.is_empty() && kind != Kind::Switch => Ok(None),
        Json::String(text) => from_text(kind, text).map(Some),
        Json::Bool(on) if kind == Kind::Switch => Ok(Some(Value::Switch(*on))),
        Json::Number(number) if takes_numbers(kind) => from_text(kind, &number.to_string()).map(Some),
        Json::Array(items) if is_list => {
            let texts: Option<Vec<String>> = items.iter().map(scalar_text).collect();
            let texts =
                texts.ok_or_else(|| format!("must be a {}, without anything nested", kind.describe()))?;
            from_text(kind, &texts.join(",")).map(Some)
        }
        other => Err(format!("must be a {}, not {}", kind.describe(), type_name(other))),
    }
}

/// Longest delay inside a schedule: a day.
const SCHEDULE_DELAY_MAX_S: u64 = 24 * 3600;

fn takes_numbers(kind: Kind) -> bool {
    match kind {
        Kind::Text(_) | Kind::Path | Kind::Switch => false,
        Kind::Choice(words) => words.iter().all(|word| word.parse::<u64>().is_ok()),
        Kind::Port | Kind::ListenPort | Kind::Count { .. } => true,
        Kind::Time { .. } | Kind::Limit { .. } | Kind::Times { .. } | Kind::Fields { .. } => true,
    }
}

fn scalar_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn type_name(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

fn plain(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.chars().any(char::is_control) => {
            Err(format!("has a control character in it: {}", quote(text)))
        }
        _ => Ok(text.to_owned()),
    }
}

fn whole(text: &str, min: u64, max: u64, what: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("must be {what} from {min} to {max}, not {}", quote(text)));
    }
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be {what} from {min} to {max}; {} is outside", quote(text))),
    }
}

fn list<T>(text: &str, count_max: usize, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let count = text.split(',').count();
    if count > count_max {
        return Err(format!("has {count} items; at most {count_max} are taken"));
    }
    text.split(',').map(|part| item(part.trim())).collect()
}

/// A length of time: digits, optionally a point and up to three decimals, then `ms`, `s` (or nothing), `m` or `h`.
fn time(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let time = milliseconds(text).ok_or_else(|| {
        format!("must be a time in seconds (35, 0.5) or with a unit (500ms, 2s, 5m, 1h), not {}", quote(text))
    })?;
    if (min..=max).contains(&time) {
        return Ok(time);
    }
    Err(format!("must be a time from {} to {}; {} is outside", show_time(min), show_time(max), quote(text)))
}

/// Exact to the millisecond; `None` for anything finer, and for what does not fit.
fn milliseconds(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit.trim_start() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    let mut place = unit_ms;
    for digit in decimals.chars() {
        let digit = u64::from(digit.to_digit(10)?);
        // A digit that is worth less than a millisecond is refused, unless it is a zero.
        match place % 10 {
            0 => place /= 10,
            _ if digit == 0 => continue,
            _ => return None,
        }
        total = total.checked_add(digit.checked_mul(place)?)?;
    }
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::table::find;

    fn ms(text: &str) -> Option<u64> {
        milliseconds(text).map(|time| time.as_millis() as u64)
    }

    #[test]
    fn times_are_seconds_unless_they_name_a_unit() {
        for (text, expected) in [
            ("35", Some(35_000)),
            ("0.5", Some(500)),
            ("35.0", Some(35_000)),
            ("0.001", Some(1)),
            ("1.5m", Some(90_000)),
            ("500ms", Some(500)),
            ("500 ms", Some(500)),
            ("2s", Some(2000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("0", Some(0)),
            ("0.0005", None),
            ("0.5000", Some(500)),
            ("0.5ms", None),
            ("-1", None),
            ("+1", None),
            ("1.", None),
            (".5", None),
            ("1e3", None),
            ("1.2.3", None),
            ("2d", None),
            ("", None),
            ("18446744073709551615", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(ms(text), expected, "{text}");
        }
    }

    #[test]
    fn bounds_are_included_and_one_past_them_is_refused() {
        let port = Kind::Port;
        assert_eq!(from_text(port, "1"), Ok(Value::Port(1)));
        assert_eq!(from_text(port, "65535"), Ok(Value::Port(65535)));
        assert!(from_text(port, "0").is_err());
        assert!(from_text(port, "65536").is_err());
        assert_eq!(from_text(Kind::ListenPort, "0"), Ok(Value::Port(0)));

        let limit = find("frameLimit").unwrap().kind;
        assert_eq!(from_text(limit, "65535"), Ok(Value::Count(65_535)));
        assert!(from_text(limit, "65536").is_err());
        assert_eq!(from_text(limit, "64"), Ok(Value::Count(64)));
        assert!(from_text(limit, "63").is_err());

        let timeout = find("queueTimeout").unwrap().kind;
        assert!(from_text(timeout, "1ms").is_ok());
        assert!(from_text(timeout, "0").is_err());
        assert!(from_text(timeout, "744h").is_ok());
        assert!(from_text(timeout, "44640.001m").is_err());
    }

    #[test]
    fn the_file_may_write_numbers_and_booleans_as_texts() {
        let count = find("maxQueue").unwrap().kind;
        assert_eq!(from_json(count, &json!(7)), Ok(Some(Value::Count(7))));
        assert_eq!(from_json(count, &json!("7")), Ok(Some(Value::Count(7))));
        assert_eq!(from_json(count, &json!("")), Ok(None));
        assert_eq!(from_json(count, &json!(null)), Ok(None));
        assert!(from_json(count, &json!(7.5)).is_err());
        assert!(from_json(count, &json!(true)).is_err());
        assert!(from_json(count, &json!({})).is_err());

        assert_eq!(from_json(Kind::Switch, &json!("false")), Ok(Some(Value::Switch(false))));
        for wrong in [json!("yes"), json!(1), json!(""), json!("True"), json!([])] {
            assert!(from_json(Kind::Switch, &wrong).is_err(), "{wrong}");
        }

        let time = find("queueTimeout").unwrap().kind;
        assert_eq!(from_json(time, &json!(0.5)), Ok(Some(Value::Time(Duration::from_millis(500)))));
        assert_eq!(from_json(time, &json!("2s")), Ok(Some(Value::Time(Duration::from_secs(2)))));
        assert!(from_json(time, &json!(1e300)).is_err());
        assert!(from_json(time, &json!(-1)).is_err());

        let fields = find("queueMessageKeyFields").unwrap().kind;
        let expected = Ok(Some(Value::Fields(vec![11, 41])));
        assert_eq!(from_json(fields, &json!("11, 41")), expected);
        assert_eq!(from_json(fields, &json!([11, "41"])), expected);
        assert!(from_json(fields, &json!([[11]])).is_err());
        assert!(from_json(fields, &json!("11,11")).is_err());
        assert!(from_json(fields, &json!("1,2,3,4,5,6,7,8,9")).is_err());
    }

    #[test]
    fn a_refusal_never_quotes_a_card_number() {
        for param in crate::config::table::PARAMS {
            for text in ["4850781234567891", "x4850781234567891=19082012232800000037"] {
                if let Err(problem) = from_text(param.kind, text) {
                    assert!(!problem.contains("4850781234567891"), "{}: {problem}", param.name);
                }
            }
        }
    }
}
