//! What a record has of its request: elements without card data, as JSON by their numbers.

use serde::Deserialize;

use super::sheet::damaged;
use crate::rules::JournalRecord;

/// Data elements of a request as a record has them, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Elements {
    #[serde(rename = "3")]
    pub(super) processing_code: Option<String>,
    #[serde(rename = "4")]
    pub(super) amount: Option<String>,
    #[serde(rename = "7")]
    pub(super) transmission_time: Option<String>,
    #[serde(rename = "11")]
    pub(super) stan: Option<String>,
    #[serde(rename = "12")]
    pub(super) local_time: Option<String>,
    #[serde(rename = "37")]
    pub(super) rrn: Option<String>,
    #[serde(rename = "41")]
    pub(super) tid: Option<String>,
    #[serde(rename = "42")]
    pub(super) mid: Option<String>,
    #[serde(rename = "49")]
    pub(super) currency: Option<String>,
}

impl Elements {
    /// What [`write`] has written.
    ///
    /// # Errors
    /// That row `row` is damaged.
    pub(super) fn read(json: &str, row: i64) -> rusqlite::Result<Elements> {
        serde_json::from_str(json).map_err(|_| damaged(format!("the elements of row {row} are damaged")))
    }
}

/// Writes those of `record` behind what `out` has.
pub(super) fn write(record: &JournalRecord<'_>, out: &mut Vec<u8>) {
    let elements = [
        ("3", &record.processing_code),
        ("4", &record.amount),
        ("7", &record.transmission_time),
        ("11", &record.stan),
        ("12", &record.local_time),
        ("37", &record.rrn),
        ("41", &record.tid),
        ("42", &record.mid),
        ("49", &record.currency),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::Mti;

    #[test]
    fn elements_stand_in_the_file_by_their_numbers() {
        let none = JournalRecord {
            mti: Mti::parse(b"0200").unwrap(),
            processing_code: None,
            amount: None,
            transmission_time: None,
            stan: None,
            local_time: None,
            rrn: None,
            tid: None,
            mid: None,
            currency: None,
        };
        let all = JournalRecord {
            processing_code: Some("000000".into()),
            amount: Some("000000001000".into()),
            transmission_time: Some("1122030405".into()),
            stan: Some("000007".into()),
            local_time: Some("030405".into()),
            rrn: Some("".into()),
            tid: Some("10000001".into()),
            mid: Some("10\"\\\u{1}é".into()),
            currency: Some("980".into()),
            ..none.clone()
        };
        let json = r#"{"3":"000000","4":"000000001000","7":"1122030405","11":"000007","12":"030405","37":"","41":"10000001","42":"10\"\\\u0001é","49":"980"}"#;
        for (record, json) in [(&none, "{}"), (&all, json)] {
            let mut out = Vec::new();
            write(record, &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(json));
            let read = Elements::read(json, 1).unwrap();
            for (read, written) in [
                (read.processing_code, &record.processing_code),
                (read.amount, &record.amount),
                (read.transmission_time, &record.transmission_time),
                (read.stan, &record.stan),
                (read.local_time, &record.local_time),
                (read.rrn, &record.rrn),
                (read.tid, &record.tid),
                (read.mid, &record.mid),
                (read.currency, &record.currency),
            ] {
                assert_eq!(read.as_deref(), written.as_deref());
            }
        }
        for bad in ["", "{", r#"{"3":1}"#] {
            assert!(Elements::read(bad, 1).is_err(), "{bad}");
        }
    }
}
