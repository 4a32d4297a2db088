//! No bytes whatever make the codec panic, and its readings agree with each other.

use std::sync::Arc;

use socketqueue::iso8583::mask::{self, MaskStyle};
use socketqueue::iso8583::{Draft, FieldNumber, MESSAGE_MAX, Measure, Message, ParseError, Schema};

use crate::generate::{self, Chance};
use crate::{golden, parse, smartvista, unhex};

#[test]
fn no_bytes_make_the_codec_panic() {
    let mut chance = Chance::new(20_261_122);
    let mut schemas = vec![smartvista::schema(), smartvista::with_bitmap("bitmap-hex")];
    schemas.extend((0..30).map(|_| generate::schema(&mut chance)));
    for schema in &schemas {
        for _ in 0..60 {
            check(schema, &noise(&mut chance));
            let (message, _) = generate::message(&mut chance, schema);
            let mut bytes = message.raw().to_vec();
            for _ in 0..1 + chance.below(4) {
                mutate(&mut chance, &mut bytes);
                check(schema, &bytes);
            }
        }
    }
    for len in [MESSAGE_MAX - 1, MESSAGE_MAX, MESSAGE_MAX + 1] {
        let start = chance.of(&[&b"0200"[..], b"0800\x20", b"\x02\x00\xc0", b"\xf0\xf8\xf0\xf0"]);
        let mut bytes = start.to_vec();
        bytes.extend(chance.bytes(len - start.len()));
        schemas.iter().for_each(|schema| check(schema, &bytes));
        bytes[start.len()..].fill(b'0');
        schemas.iter().for_each(|schema| check(schema, &bytes));
    }
}

#[test]
fn no_change_of_a_recorded_message_makes_the_codec_panic() {
    let mut chance = Chance::new(42);
    let schema = smartvista::schema();
    for line in golden("smartvista-messages.jsonl") {
        let recorded = unhex(line["hex"].as_str().unwrap());
        for _ in 0..20 {
            let mut bytes = recorded.clone();
            (0..1 + chance.below(3)).for_each(|_| mutate(&mut chance, &mut bytes));
            check(&schema, &bytes);
        }
    }
}

/// Mostly short; now and then with a head that reads like one.
fn noise(chance: &mut Chance) -> Vec<u8> {
    let limit = chance.of(&[1, 4, 20, 100, 1000]);
    let len = chance.below(limit + 1);
    let mut bytes = match chance.below(3) {
        0 => chance.bytes(len),
        1 => vec![chance.of(&[0, b'0', b'1', 0xF0, 0xFF]); len],
        _ => (0..len).map(|_| chance.of(b"0123456789 =AZ\xf0\xf1")).collect(),
    };
    let head = chance.of(&[&b""[..], b"0200", b"0800\x82\x20\0\0", b"\x02\x00", b"\xf0\xf2\xf0\xf0"]);
    bytes.splice(0..0, head.iter().copied());
    bytes
}

fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(chance.bits() as u8);
    }
    // Head and first fields more often than what is far behind.
    let reach = chance.of(&[4, 20, bytes.len()]).min(bytes.len());
    let at = chance.below(reach);
    match chance.below(5) {
        0 => bytes[at] ^= 1 << chance.below(8),
        1 => bytes[at] = chance.of(b"\0\xff09A\x99\xf9"),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, chance.bits() as u8),
        _ => {
            bytes.remove(at);
        }
    }
}

/// Strict, lenient and measuring reading of the same bytes, and what comes after them.
fn check(schema: &Arc<Schema>, bytes: &[u8]) {
    let strict = parse(schema, bytes);
    let lenient = Message::parse_lenient(schema, bytes.to_vec().into());
    let measured = Message::measure_at_least(schema, bytes);
    match &strict {
        Ok(message) => {
            assert_eq!(measured, Ok(Measure::Whole(bytes.len())));
            assert_eq!(lenient.as_ref().unwrap().trouble, None);
            assert_eq!(Draft::of(message).to_bytes().unwrap(), bytes);
        }
        Err(error) => {
            assert_ne!(measured, Ok(Measure::Whole(bytes.len())), "{error}");
            assert!(lenient.as_ref().is_ok_and(|lenient| lenient.trouble.is_some()) || lenient.is_err());
        }
    }
    match measured {
        Ok(Measure::Whole(len)) => assert!(parse(schema, &bytes[..len]).is_ok()),
        Ok(Measure::AtLeast(needed)) => assert!(needed > bytes.len() && needed <= MESSAGE_MAX),
        // Where the bytes behind are no matter, a strict reading fails with the same. (It knows of no more to come,
        // so a message that must become too long is one cut off.)
        Err(error) => match strict.err() {
            Some(ParseError::MessageTooLong { .. } | ParseError::Truncated { .. }) => (),
            trouble => assert_eq!(trouble, Some(error)),
        },
    }
    if let Ok(lenient) = lenient {
        if lenient.message.bitmap().count() > 0 {
            let again = Draft::of(&lenient.message).finish().unwrap();
            assert_eq!(again.bitmap(), lenient.message.bitmap());
        }
        use_all(&lenient.message);
    }
}

/// Everything that can be asked of a message.
fn use_all(message: &Message) {
    let mut behind = 0;
    for n in (0..=u16::from(FieldNumber::MAX)).filter_map(FieldNumber::new) {
        let text = message.text(n);
        assert_eq!(message.value(n).is_some(), message.has(n) || n.get() == 0);
        assert_eq!(text.is_some(), message.has(n) || n.get() == 0);
        assert_eq!(message.wire(n).is_some(), message.has(n));
        behind += message.wire(n).map_or(0, <[u8]>::len);
        if let Some(text) = text.filter(|text| text.len() < 200) {
            mask::free_text(&text, MaskStyle::default());
            mask::track2(&text, MaskStyle::default());
        }
    }
    assert!(behind < message.raw().len());
    mask::icc(&message.raw()[..message.raw().len().min(300)], MaskStyle::default());
    assert!(!message.bitmap_hex().is_empty());
}
