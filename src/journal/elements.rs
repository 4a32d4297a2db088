//! What a record has of its request: elements without card data, as JSON by their numbers.

use std::borrow::Cow;

use serde::Deserialize;

use crate::rules::{self, Request};

/// Data elements of a request, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Elements<'m> {
    #[serde(rename = "3", default)]
    pub(super) processing_code: Option<Cow<'m, str>>,
    #[serde(rename = "4", default)]
    pub(super) amount: Option<Cow<'m, str>>,
    #[serde(rename = "7", default)]
    pub(super) transmission_time: Option<Cow<'m, str>>,
    #[serde(rename = "11", default)]
    pub(super) stan: Option<Cow<'m, str>>,
    #[serde(rename = "12", default)]
    pub(super) local_time: Option<Cow<'m, str>>,
    #[serde(rename = "37", default)]
    pub(super) rrn: Option<Cow<'m, str>>,
    #[serde(rename = "41", default)]
    pub(super) tid: Option<Cow<'m, str>>,
    #[serde(rename = "42", default)]
    pub(super) mid: Option<Cow<'m, str>>,
    #[serde(rename = "49", default)]
    pub(super) currency: Option<Cow<'m, str>>,
}

impl<'m> Elements<'m> {
    /// Those of `request`.
    pub(super) fn of(request: &'m Request) -> Elements<'m> {
        let kept = rules::journal_record(request);
        Elements {
            processing_code: kept.processing_code,
            amount: kept.amount,
            transmission_time: kept.transmission_time,
            stan: kept.stan,
            local_time: kept.local_time,
            rrn: kept.rrn,
            tid: kept.tid,
            mid: kept.mid,
            currency: kept.currency,
        }
    }

    /// Writes them behind what `out` has.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let elements = [
            ("3", &self.processing_code),
            ("4", &self.amount),
            ("7", &self.transmission_time),
            ("11", &self.stan),
            ("12", &self.local_time),
            ("37", &self.rrn),
            ("41", &self.tid),
            ("42", &self.mid),
            ("49", &self.currency),
        ];
        let mut before = b'{';
        for (number, value) in elements {
            let Some(value) = value else { continue };
            out.extend_from_slice(&[before, b'"']);
            out.extend_from_slice(number.as_bytes());
            out.extend_from_slice(b"\":");
            write_text(value, out);
            before = b',';
        }
        out.extend_from_slice(if before == b'{' { b"{}" } else { b"}" });
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b' ';
    if text.bytes().all(is_plain) {
        // Nearly always, and several times as fast.
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // Strings go into a vector always.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok());
}

impl Elements<'static> {
    /// What [`write`](Elements::write) has written; `None` for anything else.
    pub(super) fn read(json: &str) -> Option<Elements<'static>> {
        serde_json::from_str(json).ok()
    }

    /// The same from a column of a row.
    ///
    /// # Errors
    /// That the row is damaged.
    pub(super) fn of_column(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Elements<'static>> {
        let json: String = row.get(at)?;
        Elements::read(&json).ok_or_else(|| {
            let what = "a record with elements that are none".into();
            rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_in_the_file_by_their_numbers() {
        for (elements, json) in [
            (Elements::default(), "{}"),
            (
                Elements {
                    processing_code: Some("000000".into()),
                    amount: Some("000000001000".into()),
                    transmission_time: Some("1122030405".into()),
                    stan: Some("000007".into()),
                    local_time: Some("030405".into()),
                    rrn: Some("".into()),
                    tid: Some("10000001".into()),
                    mid: Some("10\"\\\u{1}é".into()),
                    currency: Some("980".into()),
                },
                r#"{"3":"000000","4":"000000001000","7":"1122030405","11":"000007","12":"030405","37":"","41":"10000001","42":"10\"\\\u0001é","49":"980"}"#,
            ),
        ] {
            let mut out = Vec::new();
            elements.write(&mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(json));
            assert_eq!(Elements::read(json), Some(elements));
        }
        for bad in ["", "{", r#"{"3":1}"#] {
            assert_eq!(Elements::read(bad), None, "{bad}");
        }
    }
}
