//! Generated messages against pyiso8583 (PyPI), in a Python process of its own: it reads what we build and builds the
//! same again.
//!
//! It is asked for all that it can express: ASCII and EBCDIC, packed digits with a filler on either side, bytes, hex
//! text; length prefixes as characters, BCD and binary; binary and hex bitmaps up to the tertiary. Not for big-endian
//! numbers, and hex text only where its prefix counts characters.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use socketqueue::iso8583::schema::{BitmapForm, Content, Counts, Encoding, Length, Prefix, Side, Tertiary};
use socketqueue::iso8583::{Draft, FieldSpec, Message, Schema};

use crate::generate::{self, Chance};
use crate::support::skip;
use crate::{de, hex, parse, unhex};

#[test]
fn generated_messages_are_read_and_written_alike_by_pyiso8583() {
    if !has_pyiso8583() {
        return skip("comparison with pyiso8583", "python3 with the PyPI package pyiso8583 is not here");
    }
    let mut chance = Chance::new(401);
    let mut cases = Vec::new();
    for _ in 0..40 {
        let (schema, spec) = dialect(&mut chance);
        for _ in 0..5 {
            let (message, _) = generate::message(&mut chance, &schema);
            cases.push((message, spec.clone()));
        }
    }
    let answers = ask(&cases);
    assert_eq!(answers.len(), cases.len());
    for ((message, spec), answer) in cases.iter().zip(answers) {
        assert_eq!(answer["error"], Value::Null, "{spec} {}", hex(message.raw()));
        let mut expected = json!({ "t": message.mti().to_string() });
        for n in message.bitmap().iter() {
            expected[n.to_string()] =
                as_there(message.schema().field(n).unwrap(), &message.text(n).unwrap()).into();
        }
        assert_eq!(answer["fields"], expected, "{spec}");
        check_written(message, &unhex(answer["hex"].as_str().unwrap()));
    }
}

/// It writes hex in upper case, so that is compared as we would write it.
fn check_written(message: &Message, written: &[u8]) {
    let theirs = parse(message.schema(), written).unwrap();
    assert_eq!(Draft::of(&theirs).to_bytes().unwrap(), written);
    let mut rewritten = Draft::new(message.schema(), theirs.mti());
    for n in theirs.bitmap().iter() {
        rewritten.set(n, &theirs.value(n).unwrap());
    }
    assert_eq!(hex(&rewritten.to_bytes().unwrap()), hex(message.raw()));
    if !message.schema().bitmap.hex {
        assert_eq!(hex(written), hex(message.raw()));
    }
}

fn has_pyiso8583() -> bool {
    let asked = Command::new("python3").args(["-c", "import iso8583; iso8583.encode, iso8583.pp"]).output();
    asked.is_ok_and(|output| output.status.success())
}

fn ask(cases: &[(Message, Value)]) -> Vec<Value> {
    let mut python = Command::new("python3")
        .args(["-c", include_str!("pyiso8583.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    for (message, spec) in cases {
        writeln!(input, "{}", json!({ "spec": spec, "hex": hex(message.raw()) })).unwrap();
    }
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A dialect in our words and in its.
fn dialect(chance: &mut Chance) -> (Arc<Schema>, Value) {
    let packed = Encoding::Bcd { pad: Side::Left, fill: 0 };
    let mti = chance.of(&[Encoding::Ascii, Encoding::Ebcdic, packed]);
    // We have page 037; where the characters are the same, 500 does as well.
    let characters = match mti {
        Encoding::Ebcdic => chance.of(&["cp037", "cp500"]),
        _ => "ascii",
    };
    let hex = chance.one_in(3);
    let groups = chance.of(&[2, 3]);
    let mut schema = Schema::new(mti, BitmapForm { hex, groups, tertiary: Tertiary::Contiguous });
    let bitmap_encoding = if hex { characters } else { "b" };
    let bitmap = json!({ "data_enc": bitmap_encoding, "len_enc": "ascii", "len_type": 0, "max_len": 8 });
    let mti_encoding = if mti == packed { "b" } else { characters };
    let mut spec = json!({
        "h": { "data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 0 },
        "t": { "data_enc": mti_encoding, "len_enc": "ascii", "len_type": 0, "max_len": 4 },
        "p": bitmap,
        "1": bitmap,
    });
    for number in (2..=64 * u16::from(groups)).filter(|number| *number != 65) {
        let (field, there) = loop {
            let field = generate::field(chance);
            if let Some(there) = in_its_words(&field, characters) {
                break (field, there);
            }
        };
        schema.set(de(number), field);
        spec[number.to_string()] = there;
    }
    (Arc::new(schema), spec)
}

/// A field in its words; `None` if it has none.
fn in_its_words(field: &FieldSpec, mti_characters: &str) -> Option<Value> {
    let (data_encoding, characters) = match field.encoding {
        Encoding::Ascii => ("ascii", "ascii"),
        Encoding::Ebcdic => ("cp037", "cp037"),
        Encoding::Bcd { .. } | Encoding::Binary => ("b", mti_characters),
        Encoding::HexText => (mti_characters, mti_characters),
        Encoding::BigEndian => return None,
    };
    let (len_type, len_encoding, counts) = match field.length {
        Length::Fixed(_) => (0, "ascii", Counts::Units),
        Length::Variable { prefix: Prefix::Characters(width), counts, .. } => (width, characters, counts),
        Length::Variable { prefix: Prefix::Bcd(width), counts, .. } => (width, "bcd", counts),
        Length::Variable { prefix: Prefix::Binary(width), counts, .. } => (width, "b", counts),
    };
    let is_fixed = len_type == 0;
    let max = field.max();
    let mut there =
        json!({ "data_enc": data_encoding, "len_enc": len_encoding, "len_type": len_type, "max_len": max });
    match (field.encoding, counts) {
        (Encoding::HexText, Counts::Units) if !is_fixed => return None,
        (Encoding::HexText, _) => there["max_len"] = (max * 2).into(),
        (Encoding::Bcd { pad, fill }, Counts::Units) => {
            there["len_count"] = "nibbles".into();
            let side = if pad == Side::Left { "left_pad" } else { "right_pad" };
            there[side] = if fill == 0 { "0" } else { "F" }.into();
        }
        // The filler is a digit like others there.
        (Encoding::Bcd { fill: 0xF, .. }, Counts::Bytes) => return None,
        (Encoding::Bcd { .. }, Counts::Bytes) => there["max_len"] = max.div_ceil(2).into(),
        _ => (),
    }
    Some(there)
}

/// A text in its words: what is packed and what is bytes is hex in upper case.
fn as_there(field: &FieldSpec, text: &str) -> String {
    match (field.content, field.encoding) {
        (Content::Binary, Encoding::Binary) => text.to_uppercase(),
        (_, Encoding::Bcd { .. }) => {
            let hex = |digit: char| match digit {
                ':'..='?' => char::from(b'A' + (digit as u8 - b':')),
                decimal => decimal,
            };
            text.chars().map(hex).collect()
        }
        _ => text.to_string(),
    }
}
