//! What is built is read again, and what nobody changed leaves as it came.

use std::sync::Arc;

use socketqueue::iso8583::schema::{BitmapForm, Encoding, Tertiary};
use socketqueue::iso8583::{Draft, FieldNumber, Measure, Message, Mti, ParseError, Schema};

use crate::generate::{self, Chance};
use crate::{de, hex, parse, smartvista, unhex, with_types};

#[test]
fn generated_messages_of_generated_dialects_come_back_as_they_were() {
    let mut chance = Chance::new(8583);
    for _ in 0..120 {
        let schema = generate::schema(&mut chance);
        for _ in 0..4 {
            let (message, values) = generate::message(&mut chance, &schema);
            let read: Vec<(FieldNumber, Vec<u8>)> =
                message.bitmap().iter().map(|n| (n, message.value(n).unwrap().into_owned())).collect();
            assert_eq!(read, values, "{schema:?}");
            check_splits(&schema, message.raw(), &mut chance);
            check_draft(&message, &mut chance);
        }
    }
}

/// Every split point of a short message, some of a long one.
fn check_splits(schema: &Arc<Schema>, bytes: &[u8], chance: &mut Chance) {
    let step = 1 + chance.below(bytes.len().div_ceil(20));
    for split in (0..bytes.len()).step_by(step) {
        let cut = &bytes[..split];
        let measured = Message::measure_at_least(schema, cut);
        assert!(
            matches!(measured, Ok(Measure::AtLeast(needed)) if needed > split),
            "{schema:?} {measured:?}"
        );
        assert!(matches!(parse(schema, cut), Err(ParseError::Truncated { .. })), "{schema:?}");
    }
    let stream = [bytes, &chance.bytes(3)].concat();
    assert_eq!(Message::measure(schema, &stream), Ok(Some(bytes.len())), "{schema:?}");
}

fn check_draft(message: &Message, chance: &mut Chance) {
    let mut taken = Draft::of(message);
    assert_eq!(taken.to_bytes().unwrap(), message.raw(), "taken over");
    let fields: Vec<FieldNumber> = message.bitmap().iter().collect();
    let n = chance.of(&fields);
    let wire = message.wire(n).unwrap().to_vec();
    taken.remove(n);
    assert_eq!(taken.fields().count(), fields.len() - 1);
    taken.take(message, n);
    assert_eq!(taken.to_bytes().unwrap(), message.raw(), "removed and taken again");
    // By text it is the same value; it may be written otherwise, but is read as it was.
    taken.set_text(n, &message.text(n).unwrap());
    let again = taken.finish().unwrap();
    assert_eq!(again.value(n), message.value(n));
    assert_eq!(again.wire(n).unwrap(), wire);
    let mut copied = Draft::new(message.schema(), message.mti());
    fields.iter().rev().for_each(|n| {
        copied.take(message, *n);
    });
    assert_eq!(copied.to_bytes().unwrap(), message.raw(), "field by field");
    fields.iter().for_each(|n| assert_eq!(copied.text(*n), message.text(*n)));
    copied.clear(message.mti());
    assert_eq!(copied.fields().count(), 0);
}

/// Bytes that we would write otherwise.
#[test]
fn a_message_that_nobody_changed_leaves_as_it_came() {
    let binary = smartvista::schema();
    let hex_bitmap = smartvista::with_bitmap("bitmap-hex");
    let tertiary = with_tertiary(Tertiary::Contiguous, true);
    let in_65 = with_tertiary(Tertiary::InField65, true);
    for (schema, bytes) in [
        // A secondary bitmap that names no field.
        (&binary, &b"0200\xa0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x00000000"[..]),
        // Upper case, mixed case.
        // Upper case, mixed case: DE 37, 39, 41; 3, 37, 39, 41, 70; a tertiary bitmap in either place.
        (&hex_bitmap, b"0200000000000A800000"),
        (&hex_bitmap, b"0200A00000000a8000000400000000000000"),
        (&tertiary, b"0200A0000000000000008000000000000000A0000000000000aB"),
        (&in_65, b"0200A0000000000000008000000000000000123456A0000000000000aB"),
    ] {
        let message = parse(schema, &complete(schema, bytes)).unwrap();
        let mut draft = Draft::of(&message);
        assert_eq!(draft.to_bytes().unwrap(), message.raw(), "{}", bytes.escape_ascii());
        // Another MTI changes the MTI only.
        draft.set_mti(Mti::new(0x0201));
        let repeat = draft.to_bytes().unwrap();
        assert_eq!(repeat[..4], b"0201"[..]);
        assert_eq!(repeat[4..], message.raw()[4..]);
    }
}

/// `bytes` and as many digits more as its fields need.
fn complete(schema: &Schema, bytes: &[u8]) -> Vec<u8> {
    let mut whole = bytes.to_vec();
    while let Measure::AtLeast(needed) = Message::measure_at_least(schema, &whole).unwrap() {
        whole.resize(needed, b'0');
    }
    whole
}

/// DE 3, 66, 128 and 129–192 of two digits each.
fn with_tertiary(tertiary: Tertiary, hex: bool) -> Arc<Schema> {
    let table: String = (129..=192).map(|n| format!("; {n} n 2")).collect();
    let bitmap = BitmapForm { hex, groups: 3, tertiary };
    with_types(Schema::new(Encoding::Ascii, bitmap), &format!("3 n 6; 66 n 2; 128 n 2{table}"))
}

/// Derived by hand: bit 1 announces the secondary, bit 65 the tertiary bitmap; 3, 66, 128, 129 and 192 are there.
#[test]
fn a_tertiary_bitmap_stands_behind_the_secondary_or_in_field_65() {
    let set = [(3, "123456"), (66, "66"), (128, "28"), (129, "29"), (192, "92")];
    for (tertiary, expected) in [
        (
            Tertiary::Contiguous,
            "30323030 a000000000000000 c000000000000001 8000000000000001 313233343536 3636 3238 3239 3932",
        ),
        (
            Tertiary::InField65,
            "30323030 a000000000000000 c000000000000001 313233343536 8000000000000001 3636 3238 3239 3932",
        ),
    ] {
        let schema = with_tertiary(tertiary, false);
        let mut draft = Draft::new(&schema, Mti::new(0x0200));
        for (number, text) in set {
            draft.set_text(de(number), text);
        }
        let bytes = draft.to_bytes().unwrap();
        assert_eq!(hex(&bytes), hex(&unhex(expected)));
        let message = parse(&schema, &bytes).unwrap();
        for (number, text) in set {
            assert_eq!(message.text(de(number)).unwrap(), text);
        }
        assert!(!message.has(de(1)) && !message.has(de(65)));
        // Without a field above 128 there is no tertiary bitmap; without one above 64 no secondary.
        draft.remove(de(129)).remove(de(192));
        let less = "30323030 a000000000000000 4000000000000001 313233343536 3636 3238";
        assert_eq!(hex(&draft.to_bytes().unwrap()), hex(&unhex(less)));
        draft.remove(de(66)).remove(de(128));
        assert_eq!(hex(&draft.to_bytes().unwrap()), hex(&unhex("30323030 2000000000000000 313233343536")));
        // Only one above 128: DE 65 comes last.
        draft.remove(de(3)).set_text(de(130), "30");
        let only = match tertiary {
            Tertiary::Contiguous => "30323030 8000000000000000 8000000000000000 4000000000000000 3330",
            Tertiary::InField65 => "30323030 8000000000000000 8000000000000000 4000000000000000 3330",
        };
        assert_eq!(hex(&draft.to_bytes().unwrap()), hex(&unhex(only)));
    }
}

#[test]
fn a_tertiary_bitmap_in_field_65_is_checked_in_its_place() {
    let schema = with_tertiary(Tertiary::InField65, false);
    let head = unhex("30323030 a000000000000000 8000000000000000 313233343536");
    let cut = [&head[..], &[0x80, 0]].concat();
    let truncated = ParseError::Truncated { field: de(65), offset: 26, needed: 34, have: 28 };
    assert_eq!(parse(&schema, &cut).unwrap_err(), truncated);
    let lenient = Message::parse_lenient(&schema, cut.into()).unwrap();
    assert_eq!(lenient.trouble, Some(truncated));
    assert_eq!(lenient.message.text(de(3)).unwrap(), "123456");
    let expected = unhex("30323030 2000000000000000 313233343536");
    assert_eq!(Draft::of(&lenient.message).to_bytes().unwrap(), expected);
    // Announced, and naming nothing: read, and left as it is.
    let empty = [&head[..], &[0; 8]].concat();
    let message = parse(&schema, &empty).unwrap();
    assert_eq!(Draft::of(&message).to_bytes().unwrap(), empty);
}

#[test]
fn a_change_leaves_the_other_fields_as_they_came() {
    // DE 2 is hex text, which is read in either case: here it is upper case.
    let mut schema = Schema::new(Encoding::Ascii, BitmapForm::of_type("bitmap", 8).unwrap());
    let hex_text = socketqueue::iso8583::FieldSpec::from_type("x", "bitmap-hex", 2).unwrap();
    schema.set(de(2), hex_text);
    let schema = with_types(schema, "3 n 6; 39 n 3; 70 n 3");
    // An empty secondary bitmap besides.
    let bytes = b"0200\xe0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0CAFE000000";
    let message = parse(&schema, bytes).unwrap();
    let mut draft = Draft::of(&message);
    draft.set_text(de(3), "1");
    assert_eq!(draft.to_bytes().unwrap(), &b"0200\xe0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0CAFE000001"[..]);
    // With other fields than it came with, it has the bitmap that it needs.
    draft.set_text(de(39), "0");
    assert_eq!(draft.to_bytes().unwrap(), &b"0200\x60\0\0\0\x02\0\0\0CAFE000001000"[..]);
    draft.set_text(de(70), "301").remove(de(2));
    assert_eq!(draft.to_bytes().unwrap(), &b"0200\xa0\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\x00000001000301"[..]);
}
