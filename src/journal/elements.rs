//! What a record has of its request, for reconciliation: elements without card data, as JSON by their numbers.

use serde::Deserialize;

use super::sheet::damaged;
use crate::iso8583::{FieldNumber, Message, field};

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

/// The same elements, by their names in JSON, each with the comma in front.
const NAMES: [(FieldNumber, &[u8]); 9] = [
    (field::PROCESSING_CODE, b",\"3\":"),
    (field::AMOUNT, b",\"4\":"),
    (field::TRANSMISSION_TIME, b",\"7\":"),
    (field::STAN, b",\"11\":"),
    (field::LOCAL_TIME, b",\"12\":"),
    (field::RRN, b",\"37\":"),
    (field::TID, b",\"41\":"),
    (field::MID, b",\"42\":"),
    (field::CURRENCY, b",\"49\":"),
];

/// Writes those of `request` behind what `out` has.
pub(super) fn write(request: &Message, out: &mut Vec<u8>) {
    let first = out.len();
    for (n, name) in &NAMES {
        // Nearly always, and several times as fast.
        let is_plain = |text: &[u8]| request.is_digits(*n) || text.iter().all(needs_no_escape);
        if let Some(plain) = request.plain_text(*n).filter(|text| is_plain(text)) {
            out.extend_from_slice(name);
            out.push(b'"');
            out.extend_from_slice(plain);
            out.push(b'"');
        } else if let Some(text) = request.text(*n) {
            out.extend_from_slice(name);
            write_any(&text, out);
        }
    }
    match out.get_mut(first) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

#[inline(never)]
fn write_any(text: &str, out: &mut Vec<u8>) {
    // Strings go into a vector always.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok());
}

fn needs_no_escape(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b' '
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::dialect::Dialect;
    use crate::iso8583::{Draft, Mti, Schema};

    fn written(request: &Message) -> String {
        let mut out = b"facts".to_vec();
        write(request, &mut out);
        String::from_utf8(out.split_off(5)).unwrap()
    }

    fn request(schema: &Arc<Schema>, values: &[(u16, &str)]) -> Message {
        let mut draft = Draft::new(schema, Mti::new(0x0200));
        for (n, value) in values {
            draft.set_text(FieldNumber::new(*n).unwrap(), value);
        }
        draft.finish().unwrap()
    }

    const SALE: [(u16, &str); 11] = [
        (2, "4850781234567891"),
        (3, "000000"),
        (4, "000000001000"),
        (7, "1122030405"),
        (11, "000007"),
        (12, "030405"),
        (35, "4850781234567891=19082012232800000037"),
        (37, "A 0000000042"),
        (41, "10000001"),
        (42, "000000000000007"),
        (49, "980"),
    ];

    #[test]
    fn elements_stand_in_the_file_by_their_numbers_and_no_card_data() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let json = r#"{"3":"000000","4":"000000001000","7":"1122030405","11":"000007","12":"000000030405","37":"A 0000000042","41":"10000001","42":"000000000000007","49":"980"}"#;
        assert_eq!(written(&request(&dialect.schema, &SALE)), json);
        assert_eq!(written(&request(&dialect.schema, &SALE[..1])), "{}");
        assert_eq!(written(&request(&dialect.schema, &SALE[4..5])), r#"{"11":"000007"}"#);
    }

    /// What a peer has put there.
    #[test]
    fn any_value_is_read_as_the_text_that_it_was() {
        let smart_vista = Dialect::builtin("smartVista").unwrap();
        let whole = request(&smart_vista.schema, &SALE);
        let mut messages = vec![whole.clone()];
        for rrn in [b"10\"\\\x01\xE9\x7F\n  0=", b"            ", b"00000000000/", b"abcXYZ:00000"] {
            let at = whole.raw().windows(12).position(|part| part == b"A 0000000042").unwrap();
            let mut raw = whole.raw().to_vec();
            raw[at..at + 12].copy_from_slice(rrn);
            messages.push(Message::parse(&smart_vista.schema, Bytes::from(raw)).unwrap());
        }
        // Its digits are packed, and its texts hex of bytes.
        let open_way = Dialect::builtin("openWay").unwrap();
        let values: Vec<_> =
            SALE.into_iter().filter(|(n, _)| open_way.schema.has(FieldNumber::new(*n).unwrap())).collect();
        messages.push(request(&open_way.schema, &values));
        for message in messages {
            let read = Elements::read(&written(&message), 1).unwrap();
            for (n, read) in [
                (field::PROCESSING_CODE, read.processing_code),
                (field::AMOUNT, read.amount),
                (field::TRANSMISSION_TIME, read.transmission_time),
                (field::STAN, read.stan),
                (field::LOCAL_TIME, read.local_time),
                (field::RRN, read.rrn),
                (field::TID, read.tid),
                (field::MID, read.mid),
                (field::CURRENCY, read.currency),
            ] {
                assert_eq!(read.as_deref(), message.text(n).as_deref(), "{n}");
            }
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        for bad in ["", "{", r#"{"3":1}"#] {
            assert!(Elements::read(bad, 1).is_err(), "{bad}");
        }
    }
}
