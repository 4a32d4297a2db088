//! Every recorded row of SocketQueue's packers: where it was right we agree byte for byte, where not it is said why.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use socketqueue::iso8583::schema::{BitmapForm, Encoding, TypeError};
use socketqueue::iso8583::{BuildError, Draft, FieldSpec, Message, Mti, ParseError, Schema};

use crate::{de, golden, hex, parse, unhex};

/// What comes of a row, as the table of differences writes it.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Bytes in hex (`pack`), or the value as text with the rest in hex (`unpack`).
    Is(String),
    /// Building refuses the value.
    NotBuilt(BuildError),
    /// Reading refuses the bytes.
    NotRead(ParseError),
    /// The original threw.
    Threw,
}

#[test]
fn packers_agree_with_the_recorded_ones_but_where_those_are_wrong() {
    let mut differences = BTreeMap::new();
    for (index, row) in golden("socketqueue-packers.jsonl").iter().enumerate() {
        let (ours, theirs) = match row["op"].as_str().unwrap() {
            "pack" => (pack(row), packed(row)),
            _ => (unpack(row), unpacked(row)),
        };
        if ours != theirs {
            differences.insert(index + 1, ours);
        }
    }
    let field = de(2);
    let offset = 12;
    let is = |text: &str| Outcome::Is(text.to_string());
    let expected = [
        // Cut from the left: another number (D19).
        (2, Outcome::NotBuilt(BuildError::TooLong { field, len: 7, max: 6 })),
        // `-` is no digit.
        (3, Outcome::NotBuilt(BuildError::BadDigit { field, index: 0 })),
        (6, Outcome::NotBuilt(BuildError::TooLong { field, len: 8, max: 6 })),
        // A fixed field that is written short: everything behind it would be misread.
        (9, Outcome::NotBuilt(BuildError::TooShort { field, len: 2, expected: 6 })),
        // Threw for a typing error.
        (10, is("AB ")),
        // Written 4 bytes long in 3, and its last digit dropped.
        (13, Outcome::NotBuilt(BuildError::TooLong { field, len: 5, max: 3 })),
        // Cut from the right.
        (23, Outcome::NotBuilt(BuildError::TooLong { field, len: 21, max: 19 })),
        // 99 announced where at most 19 are possible, and none there; 21 announced, 19 taken.
        (26, Outcome::NotRead(ParseError::TooLong { field, offset, len: 99, max: 19 })),
        (27, Outcome::NotRead(ParseError::TooLong { field, offset, len: 21, max: 19 })),
        // 130 bytes announced where at most 128 (255 hex digits) are possible.
        (33, Outcome::NotRead(ParseError::TooLong { field, offset, len: 130, max: 128 })),
        // 255 announced, 254 written (D18).
        (35, Outcome::NotBuilt(BuildError::TooLong { field, len: 300, max: 255 })),
        // Counts bytes when it writes, digits when it reads: digits on both sides here (D13).
        (40, is("164850781234567891")),
        (41, is("05012345")),
        (42, Outcome::NotBuilt(BuildError::TooLong { field, len: 25, max: 19 })),
        // Takes a third bitmap when field 9 is set (D26).
        (44, is("80800000000000000400000000000000 3132333435363738393a3b3c")),
    ];
    assert_eq!(differences, BTreeMap::from(expected));
}

/// A schema whose only field is DE 2.
fn schema(row: &Value) -> Arc<Schema> {
    let mut schema = Schema::new(Encoding::Ascii, BitmapForm::of_type("bitmap", 8).unwrap());
    let spec =
        FieldSpec::from_type("x", row["type"].as_str().unwrap(), row["length"].as_u64().unwrap() as u16);
    schema.set(de(2), spec.unwrap());
    Arc::new(schema)
}

/// The row's value in our API: raw bytes are a value, hex text of `b` a text, all else the characters.
fn set(draft: &mut Draft, row: &Value) {
    match &row["value"] {
        Value::Object(bytes) => draft.set(de(2), &unhex(bytes["hex"].as_str().unwrap())),
        Value::String(text) if matches!(row["type"].as_str(), Some("b" | "ll-b")) => {
            draft.set_text(de(2), text)
        }
        Value::String(text) => draft.set(de(2), text.as_bytes()),
        number => draft.set_text(de(2), &number.to_string()),
    };
}

fn pack(row: &Value) -> Outcome {
    if row["type"] == "bitmap" {
        return Outcome::Is(packed_bitmap(row["value"]["hex"].as_str().unwrap()));
    }
    let mut draft = Draft::new(&schema(row), Mti::new(0x0200));
    set(&mut draft, row);
    match draft.finish() {
        Ok(message) => Outcome::Is(hex(message.wire(de(2)).unwrap())),
        Err(error) => Outcome::NotBuilt(error),
    }
}

fn packed(row: &Value) -> Outcome {
    row["result"]["hex"].as_str().map_or(Outcome::Threw, |text| Outcome::Is(text.to_string()))
}

fn unpack(row: &Value) -> Outcome {
    let input = unhex(row["input_hex"].as_str().unwrap());
    let (schema, mut bytes, shown) = match row["type"].as_str().unwrap() {
        "bitmap" => (every_field(), b"0200".to_vec(), None),
        _ => (schema(row), b"0200\x40\0\0\0\0\0\0\0".to_vec(), Some(de(2))),
    };
    bytes.extend(&input);
    if shown.is_none() {
        // The fields that the bitmap names, behind what the row has.
        bytes.extend([b'1'; 192]);
    }
    let len = match Message::measure(&schema, &bytes) {
        Ok(len) => len.unwrap(),
        Err(error) => return Outcome::NotRead(error),
    };
    let message = parse(&schema, &bytes[..len]).unwrap();
    let Some(field) = shown else {
        let bitmap = message.bitmap_hex().to_lowercase();
        let rest = &input[bitmap.len() / 2..];
        return Outcome::Is(format!("{bitmap} {}", hex(rest)));
    };
    Outcome::Is(format!("{} {}", message.text(field).unwrap(), hex(&bytes[len..])))
}

fn unpacked(row: &Value) -> Outcome {
    let data = match &row["result"]["data"] {
        Value::Null => return Outcome::Threw,
        Value::Object(bytes) => bytes["hex"].as_str().unwrap().to_string(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    Outcome::Is(format!("{data} {}", row["result"]["rest_hex"].as_str().unwrap()))
}

/// All fields there can be, one character each.
fn every_field() -> Arc<Schema> {
    let mut schema = Schema::new(Encoding::Ascii, BitmapForm::of_type("bitmap", 8).unwrap());
    for number in 2..=192 {
        schema.set(de(number), FieldSpec::from_type("x", "ans", 1).unwrap());
    }
    Arc::new(schema)
}

fn packed_bitmap(bits: &str) -> String {
    let mut draft = Draft::new(&every_field(), Mti::new(0x0200));
    for (byte, bits) in unhex(bits).into_iter().enumerate() {
        for bit in (0..8).filter(|bit| bits & (0x80 >> bit) != 0) {
            draft.set(de(byte as u16 * 8 + bit + 1), b"x");
        }
    }
    hex(&draft.to_bytes().unwrap()[4..12])
}

#[test]
fn what_is_no_type_is_refused_by_name() {
    for (type_name, len, message) in [
        (
            "ll",
            6,
            "unknown type \"ll\"; there are a, an, ans, b, b-hex, bitmap, bitmap-hex, ll-an, ll-b, ll-bin-an, \
            ll-bin-char, ll-bin-hn, ll-bin-n, ll-n, n",
        ),
        ("n", 0, "type n can not have length 0: a field has at least one character, digit or byte"),
        (
            "ll-an",
            1000,
            "type ll-an can not have length 1000: the length prefix counts up to 999, but the longest \
            value counts 1000",
        ),
        (
            "b-hex",
            17,
            "type b-hex can not have length 17: a binary number has a fixed length of 1 to 16 bytes",
        ),
    ] {
        let error = FieldSpec::from_type("x", type_name, len).unwrap_err();
        let shown = match &error {
            TypeError::Length { reason, .. } => format!("{error}|{reason}"),
            _ => error.to_string(),
        };
        assert_eq!(shown.split('|').next().unwrap(), message);
    }
}

#[test]
fn mti_and_bitmap_have_types_of_their_own() {
    assert_eq!(Encoding::of_mti("n", 4), Ok(Encoding::Ascii));
    assert!(matches!(Encoding::of_mti("b", 2), Ok(Encoding::Bcd { .. })));
    assert!(Encoding::of_mti("n", 3).is_err());
    for (type_name, len, hex, groups) in [
        ("bitmap", 8, false, 2),
        ("bitmap-hex", 8, true, 2),
        ("bitmap", 16, false, 2),
        ("bitmap", 24, false, 3),
        ("b", 8, false, 1),
    ] {
        let form = BitmapForm::of_type(type_name, len).unwrap();
        assert_eq!((form.hex, form.groups), (hex, groups), "{type_name} {len}");
    }
    assert_eq!(BitmapForm::of_type("bitmap", 9), Err(TypeError::BitmapLength { len: 9 }));
    assert!(matches!(BitmapForm::of_type("n", 16), Err(TypeError::Unknown { .. })));
}
