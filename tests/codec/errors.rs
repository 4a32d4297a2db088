//! The encodings of the general scheme, byte by byte, and what is refused. Bytes derived by hand.

use std::sync::Arc;

use socketqueue::iso8583::schema::{
    BitmapForm, Content, Counts, Encoding, Length, Pad, Prefix, Side, Tertiary,
};
use socketqueue::iso8583::{BuildError, Draft, FieldSpec, Message, Mti, ParseError, Schema};

use crate::{de, hex, parse, smartvista, unhex, with_types};

const PRIMARY: BitmapForm = BitmapForm { hex: false, groups: 1, tertiary: Tertiary::Contiguous };

fn spec(content: Content, encoding: Encoding, length: Length, pad: Option<Pad>) -> FieldSpec {
    FieldSpec { name: "x".into(), type_name: "x".into(), content, encoding, length, pad }
}

fn variable(max: u16, prefix: Prefix, counts: Counts) -> Length {
    Length::Variable { max, prefix, counts }
}

/// A schema whose only field is DE 2, written by `mti`'s character set.
fn only(mti: Encoding, spec: FieldSpec) -> Arc<Schema> {
    let mut schema = Schema::new(mti, PRIMARY);
    schema.set(de(2), spec);
    Arc::new(schema)
}

/// MTI 0200 and a bitmap with DE 2.
fn head(mti: Encoding) -> Vec<u8> {
    let mti = match mti {
        Encoding::Ebcdic => "f0f2f0f0",
        Encoding::Ascii => "30323030",
        _ => "0200",
    };
    unhex(&format!("{mti} 4000000000000000"))
}

const LEFT_0: Encoding = Encoding::Bcd { pad: Side::Left, fill: 0 };
const RIGHT_0: Encoding = Encoding::Bcd { pad: Side::Right, fill: 0 };
const RIGHT_F: Encoding = Encoding::Bcd { pad: Side::Right, fill: 0xF };
const LEFT_F: Encoding = Encoding::Bcd { pad: Side::Left, fill: 0xF };

#[test]
fn every_encoding_is_written_and_read_as_derived_by_hand() {
    use Content::{Binary, Digits, Letters, Text};
    use Counts::{Bytes, Units};
    use Encoding::{Ascii, Ebcdic, HexText};
    let chars = Prefix::Characters;
    let cases = [
        // Character sets; prefixes of 1 to 4 characters.
        (Ascii, Digits, Ascii, Length::Fixed(6), "123456", "313233343536"),
        (Ascii, Text, Ascii, variable(9, chars(1), Units), "A=1", "33 413d31"),
        (Ascii, Text, Ascii, variable(99, chars(2), Bytes), "A=1", "3033 413d31"),
        (Ascii, Text, Ascii, variable(9999, chars(4), Units), "A=1", "30303033 413d31"),
        (Ebcdic, Letters, Ebcdic, Length::Fixed(4), "Ab z", "c1824 0a9"),
        (Ebcdic, Text, Ebcdic, variable(99, chars(2), Units), "A=1", "f0f3 c17ef1"),
        (Ebcdic, Digits, Ebcdic, variable(999, chars(3), Units), "90", "f0f0f2 f9f0"),
        // A binary field among EBCDIC: its prefix is EBCDIC, its hex text as well.
        (Ebcdic, Binary, Encoding::Binary, variable(999, chars(3), Units), "c0ff", "f0f0f2 c0ff"),
        (Ebcdic, Binary, HexText, Length::Fixed(2), "c0ff", "83f08686"),
        // Packed digits.
        (LEFT_0, Digits, LEFT_0, Length::Fixed(4), "1234", "1234"),
        (LEFT_0, Digits, LEFT_0, Length::Fixed(3), "123", "0123"),
        (LEFT_0, Digits, RIGHT_0, Length::Fixed(3), "123", "1230"),
        (LEFT_0, Digits, RIGHT_F, Length::Fixed(3), "123", "123f"),
        (LEFT_0, Digits, LEFT_F, Length::Fixed(3), "123", "f123"),
        (LEFT_0, Digits, RIGHT_F, variable(19, Prefix::Bcd(1), Units), "123", "03 123f"),
        (LEFT_0, Digits, LEFT_0, variable(19, Prefix::Binary(1), Units), "12345678901", "0b 012345678901"),
        (LEFT_0, Digits, RIGHT_F, variable(19, Prefix::Bcd(1), Bytes), "123", "02 123f"),
        (LEFT_0, Digits, LEFT_F, variable(19, Prefix::Bcd(1), Bytes), "123", "02 f123"),
        (LEFT_0, Digits, RIGHT_F, variable(19, Prefix::Bcd(1), Bytes), "1234", "02 1234"),
        (LEFT_0, Digits, LEFT_0, variable(19, Prefix::Binary(2), Bytes), "1234", "0002 1234"),
        (LEFT_0, Digits, LEFT_0, variable(19, Prefix::Bcd(1), Units), "", "00"),
        // Track 2: nibble D is `=`.
        (LEFT_0, Text, RIGHT_F, variable(37, Prefix::Bcd(1), Units), "4850=19", "07 4850d19f"),
        (LEFT_0, Text, RIGHT_F, variable(37, Prefix::Bcd(1), Bytes), "4850=19", "04 4850d19f"),
        (Ascii, Digits, LEFT_0, variable(19, chars(2), Units), "123", "3033 0123"),
        // Bytes, as hex, and counted either way.
        (Ascii, Binary, Encoding::Binary, Length::Fixed(3), "00ff7f", "00ff7f"),
        (Ascii, Binary, Encoding::Binary, variable(9999, Prefix::Bcd(2), Units), "c0ff", "0002 c0ff"),
        (Ascii, Binary, Encoding::Binary, variable(300, Prefix::Binary(2), Units), "c0ff", "0002 c0ff"),
        (Ascii, Binary, HexText, Length::Fixed(2), "c0ff", "63306666"),
        (Ascii, Binary, HexText, variable(99, chars(2), Units), "c0ff", "3032 63306666"),
        (Ascii, Binary, HexText, variable(49, chars(2), Bytes), "c0ff", "3034 63306666"),
        // Numbers.
        (Ascii, Digits, Encoding::BigEndian, Length::Fixed(2), "65535", "ffff"),
        (Ascii, Digits, Encoding::BigEndian, Length::Fixed(3), "60", "00003c"),
        (Ascii, Digits, Encoding::BigEndian, Length::Fixed(1), "0", "00"),
    ];
    for (mti, content, encoding, length, text, wire) in cases {
        let what = format!("{content:?} {encoding:?} {length:?} {text}");
        let schema = only(mti, spec(content, encoding, length, None));
        let mut draft = Draft::new(&schema, Mti::new(0x0200));
        draft.set_text(de(2), text);
        let bytes = draft.to_bytes().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(hex(&bytes), hex(&head(mti)) + &hex(&unhex(wire)), "{what}");
        let message = parse(&schema, &bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(message.text(de(2)).unwrap(), text, "{what}");
        assert_eq!(draft.text(de(2)).unwrap(), text, "{what}");
    }
}

#[test]
fn short_fixed_values_are_filled_up_as_the_dialect_says() {
    use Content::{Alphanumeric, Binary, Digits, Text};
    let pad = |side, with| Some(Pad { side, with });
    for (content, encoding, pad, text, wire) in [
        (Digits, Encoding::Ascii, pad(Side::Left, b'0'), "12", "303030303132"),
        (Digits, Encoding::Ascii, pad(Side::Right, b'0'), "12", "313230303030"),
        (Alphanumeric, Encoding::Ebcdic, pad(Side::Right, b' '), "AB", "c1c240404040"),
        (Text, Encoding::Ascii, pad(Side::Left, b' '), "AB", "202020204142"),
        (Digits, LEFT_0, pad(Side::Left, b'0'), "12", "000012"),
        (Binary, Encoding::Binary, pad(Side::Left, 0), "abc", "000000000abc"),
        (Binary, Encoding::Binary, pad(Side::Right, 0xFF), "abcd", "abcdffffffff"),
    ] {
        let schema = only(Encoding::Ascii, spec(content, encoding, Length::Fixed(6), pad));
        let message = Draft::new(&schema, Mti::new(0x0200)).set_text(de(2), text).finish().unwrap();
        assert_eq!(hex(message.wire(de(2)).unwrap()), wire, "{content:?} {encoding:?} {pad:?}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_and_never_cut() {
    use Content::{Alphanumeric, Binary, Digits, Letters, Text};
    use Encoding::{Ascii, BigEndian};
    let field = de(2);
    let zeros = Some(Pad { side: Side::Left, with: b'0' });
    let two = variable(19, Prefix::Characters(2), Counts::Units);
    for (spec, text, error) in [
        (spec(Digits, Ascii, Length::Fixed(3), zeros), "1234", BuildError::TooLong { field, len: 4, max: 3 }),
        (
            spec(Digits, Ascii, Length::Fixed(3), zeros),
            "",
            BuildError::TooShort { field, len: 0, expected: 3 },
        ),
        (
            spec(Digits, Ascii, Length::Fixed(3), None),
            "12",
            BuildError::TooShort { field, len: 2, expected: 3 },
        ),
        (spec(Digits, Ascii, Length::Fixed(3), zeros), "1x", BuildError::BadDigit { field, index: 1 }),
        (
            spec(Digits, Ascii, two, None),
            "12345678901234567890",
            BuildError::TooLong { field, len: 20, max: 19 },
        ),
        (spec(Digits, Ascii, two, None), "-5", BuildError::BadDigit { field, index: 0 }),
        (spec(Text, Ascii, two, None), "a\u{7f}", BuildError::BadCharacter { field, index: 1 }),
        (spec(Text, Ascii, two, None), "é", BuildError::BadCharacter { field, index: 0 }),
        (
            spec(Alphanumeric, Encoding::Ebcdic, two, None),
            "a\n",
            BuildError::BadCharacter { field, index: 1 },
        ),
        (spec(Letters, Ascii, two, None), "a1", BuildError::BadCharacter { field, index: 1 }),
        (spec(Text, LEFT_0, two, None), "12A", BuildError::BadCharacter { field, index: 2 }),
        (spec(Binary, Encoding::Binary, two, None), "0g", BuildError::BadHex { field, index: 1 }),
        (spec(Binary, Encoding::Binary, two, None), "0123456", BuildError::OddHex { field, len: 7 }),
        (
            spec(Digits, BigEndian, Length::Fixed(2), None),
            "65536",
            BuildError::NumberTooBig { field, bytes: 2 },
        ),
        (
            spec(Digits, BigEndian, Length::Fixed(16), None),
            "999999999999999999999999999999999999999",
            BuildError::NumberTooBig { field, bytes: 16 },
        ),
        (
            spec(Digits, BigEndian, Length::Fixed(2), None),
            "",
            BuildError::TooShort { field, len: 0, expected: 1 },
        ),
    ] {
        let schema = only(Ascii, spec);
        let mut draft = Draft::new(&schema, Mti::new(0x0200));
        draft.set_text(field, text);
        assert_eq!(draft.to_bytes(), Err(error));
        // What was given is still there to be looked at.
        assert_eq!(draft.value(field).unwrap(), text.as_bytes(), "{error}");
        assert_eq!(draft.errors(), [(field, error)]);
        // And a good value puts it right.
        assert_eq!(draft.remove(field).errors(), []);
        assert_eq!(draft.to_bytes(), Err(BuildError::NoFields));
    }
}

#[test]
fn all_troubles_of_a_draft_are_told_together() {
    let schema = smartvista::schema();
    let mut draft = Draft::new(&schema, Mti::new(0x0200));
    draft
        .set_text(de(48), "x")
        .set_text(de(4), "1e3")
        .set_text(de(41), "123456789")
        .set_text(de(0), "0000")
        .set_text(de(3), "0");
    let expected = [
        (de(0), BuildError::BadMti),
        (de(4), BuildError::BadDigit { field: de(4), index: 1 }),
        (de(41), BuildError::TooLong { field: de(41), len: 9, max: 8 }),
        (de(48), BuildError::UnknownField { field: de(48) }),
    ];
    assert_eq!(draft.errors(), expected);
    let mut out = bytes::BytesMut::from(&b"before"[..]);
    assert_eq!(draft.encode(&mut out), Err(BuildError::BadMti));
    assert_eq!(out, &b"before"[..]);
    draft.set_text(de(0), "0100").set_text(de(4), "100").set_text(de(41), "1").remove(de(48));
    draft.encode(&mut out).unwrap();
    let rest = b"before0100\x30\0\0\0\0\x80\0\x00000000000000000100";
    assert_eq!(out, [&rest[..], b"00000001"].concat());
}

#[test]
fn what_is_wrong_on_the_wire_is_named_with_field_and_offset() {
    use Content::{Binary, Digits, Text};
    use Encoding::{Ascii, Ebcdic, HexText};
    let field = de(2);
    let two = |counts| variable(19, Prefix::Characters(2), counts);
    let bcd1 = |counts| variable(19, Prefix::Bcd(1), counts);
    let truncated = |offset, needed, have| ParseError::Truncated { field, offset, needed, have };
    for (mti, content, encoding, length, wire, error) in [
        (Ascii, Digits, Ascii, Length::Fixed(3), "3132", truncated(12, 15, 14)),
        (Ascii, Digits, Ascii, Length::Fixed(3), "", truncated(12, 15, 12)),
        (Ascii, Digits, Ascii, Length::Fixed(3), "312d33", ParseError::BadDigit { field, offset: 13 }),
        // Found though the field is not whole.
        (Ascii, Digits, Ascii, Length::Fixed(3), "2d", ParseError::BadDigit { field, offset: 12 }),
        (
            Ascii,
            Digits,
            Ascii,
            Length::Fixed(3),
            "31323334",
            ParseError::TrailingBytes { offset: 15, count: 1 },
        ),
        (Ascii, Digits, Ascii, two(Counts::Units), "30", truncated(12, 14, 13)),
        (Ascii, Digits, Ascii, two(Counts::Units), "3033 31", truncated(12, 17, 15)),
        (Ascii, Digits, Ascii, two(Counts::Units), "3033 313241", ParseError::BadDigit { field, offset: 16 }),
        (Ascii, Text, Ascii, two(Counts::Units), "78", ParseError::BadLengthDigit { field, offset: 12 }),
        (Ascii, Text, Ascii, two(Counts::Units), "302d", ParseError::BadLengthDigit { field, offset: 13 }),
        (
            Ascii,
            Text,
            Ascii,
            two(Counts::Units),
            "3230",
            ParseError::TooLong { field, offset: 12, len: 20, max: 19 },
        ),
        (Ascii, Text, Ascii, bcd1(Counts::Units), "1a", ParseError::BadLengthDigit { field, offset: 12 }),
        (
            Ascii,
            Text,
            Ascii,
            bcd1(Counts::Units),
            "20",
            ParseError::TooLong { field, offset: 12, len: 20, max: 19 },
        ),
        (
            Ascii,
            Binary,
            Encoding::Binary,
            variable(200, Prefix::Binary(1), Counts::Units),
            "c9",
            ParseError::TooLong { field, offset: 12, len: 201, max: 200 },
        ),
        // Packed digits counted in bytes: 19 digits are 10 bytes.
        (
            Ascii,
            Digits,
            LEFT_0,
            bcd1(Counts::Bytes),
            "11",
            ParseError::TooLong { field, offset: 12, len: 11, max: 10 },
        ),
        (Ascii, Digits, LEFT_0, Length::Fixed(3), "1123", ParseError::BadNibble { field, offset: 12 }),
        (Ascii, Digits, LEFT_0, Length::Fixed(4), "123a", ParseError::BadNibble { field, offset: 13 }),
        (Ascii, Digits, RIGHT_F, Length::Fixed(3), "1230", ParseError::BadNibble { field, offset: 13 }),
        // 0xF is a filler only where a filler stands.
        (Ascii, Digits, RIGHT_F, bcd1(Counts::Bytes), "02 12f3", ParseError::BadNibble { field, offset: 14 }),
        (Ascii, Digits, RIGHT_F, bcd1(Counts::Units), "04 123f", ParseError::BadNibble { field, offset: 14 }),
        (Ascii, Binary, HexText, Length::Fixed(2), "63307867", ParseError::BadDigit { field, offset: 14 }),
        (
            Ascii,
            Binary,
            HexText,
            two(Counts::Bytes),
            "3033",
            ParseError::OddHex { field, offset: 12, len: 3 },
        ),
        (Ebcdic, Digits, Ebcdic, Length::Fixed(3), "f1f231", ParseError::BadDigit { field, offset: 14 }),
        (Ebcdic, Text, Ebcdic, two(Counts::Units), "3033", ParseError::BadLengthDigit { field, offset: 12 }),
    ] {
        let schema = only(mti, spec(content, encoding, length, None));
        let bytes = [head(mti), unhex(wire)].concat();
        assert_eq!(parse(&schema, &bytes).unwrap_err(), error, "{content:?} {encoding:?} {length:?} {wire}");
    }
}

#[test]
fn what_is_wrong_in_mti_and_bitmap_is_named_with_its_offset() {
    let ascii = smartvista::schema();
    let hex_bitmap = smartvista::with_bitmap("bitmap-hex");
    let unknown = |field, offset| ParseError::UnknownField { field: de(field), offset };
    for (schema, bytes, error) in [
        (&ascii, &b"02x0"[..], ParseError::BadMti { offset: 2 }),
        (&ascii, b"0", ParseError::Truncated { field: de(0), offset: 0, needed: 4, have: 1 }),
        (&ascii, b"", ParseError::Truncated { field: de(0), offset: 0, needed: 4, have: 0 }),
        (&ascii, b"0200\0\0\0\0\0\0\0\0", ParseError::NoFields),
        (&ascii, b"0200\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", ParseError::NoFields),
        // DE 16 and 48 are not smartVista's; 48 is told where it stands, though the bitmap is not whole.
        (&ascii, b"0200\0\x01\0\0\0\0\0\0", unknown(16, 5)),
        (&ascii, b"0200\x20\0\0\0\0\x01", unknown(48, 9)),
        (&ascii, b"0200\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", unknown(128, 19)),
        (&ascii, b"0200\xff\xff\xff\xff\xff\xff\xff\xff", unknown(16, 5)),
        (&hex_bitmap, b"02002000000g", ParseError::BadBitmap { offset: 11 }),
        (&hex_bitmap, b"02000001", unknown(16, 7)),
        // Two troubles: the byte that is wrong in itself comes first.
        (&hex_bitmap, b"0200000100000000000q", ParseError::BadBitmap { offset: 19 }),
    ] {
        assert_eq!(parse(schema, bytes).unwrap_err(), error, "{}", hex(bytes));
    }
    let long = [&b"0200\0\0\0\0\0\0\0\x01"[..], &[b'0'; 65_524]].concat();
    assert_eq!(parse(&ascii, &long).unwrap_err(), ParseError::MessageTooLong { len: 65_536 });
}

#[test]
fn a_lenient_reading_stops_at_the_trouble_and_keeps_what_it_has() {
    let schema = smartvista::schema();
    let lenient = |bytes: &[u8]| Message::parse_lenient(&schema, bytes.to_vec().into());
    // DE 3, 11, 39, 41 and 48, which the dialect lacks; 49 behind it.
    let bytes =
        [&b"0210\x20\x20\0\0\x02\x81\x80\0"[..], b"000000", b"000077", b"000", b"00000152", b"abc643"]
            .concat();
    let read = lenient(&bytes).unwrap();
    let fields: Vec<u16> = read.message.bitmap().iter().map(|n| n.get().into()).collect();
    assert_eq!(fields, [3, 11, 39, 41]);
    assert_eq!(read.message.text(de(11)).unwrap(), "000077");
    assert_eq!(read.message.text(de(41)).unwrap(), "00000152");
    assert_eq!(read.message.raw(), &bytes);
    assert_eq!(read.trouble, Some(ParseError::UnknownField { field: de(48), offset: 35 }));
    assert_eq!(read.message.wire(de(49)), None);
    // A draft of it is a message of what was read.
    let draft = Draft::of(&read.message).finish().unwrap();
    assert_eq!(draft.bitmap(), read.message.bitmap());
    assert_eq!(draft.raw()[12..], bytes[12..35]);

    // Bytes left over: all fields are there.
    let read = lenient(b"0210\x20\0\0\0\0\0\0\x00000000more").unwrap();
    assert_eq!(read.message.text(de(3)).unwrap(), "000000");
    assert_eq!(read.trouble, Some(ParseError::TrailingBytes { offset: 18, count: 4 }));

    // Cut off inside the second field.
    let read = lenient(b"0210\x20\x20\0\0\0\0\0\x00000000012").unwrap();
    assert!(read.message.has(de(3)) && !read.message.has(de(11)));
    assert!(matches!(read.trouble, Some(ParseError::Truncated { .. })));

    assert_eq!(lenient(b"0210\0\0\0\0\0\0\0\0").unwrap().trouble, Some(ParseError::NoFields));
    assert_eq!(
        lenient(b"0210\x20\0").unwrap_err(),
        ParseError::Truncated { field: de(1), offset: 4, needed: 12, have: 6 }
    );
    assert_eq!(lenient(b"GET / HT").unwrap_err(), ParseError::BadMti { offset: 0 });
}

#[test]
fn nothing_printed_has_a_value_in_it() {
    let schema = smartvista::schema();
    let mut draft = Draft::new(&schema, Mti::new(0x0200));
    draft.set_text(de(2), "4850781234567891").set_text(de(35), "4850781234567891=1908\n");
    let printed = format!("{draft:?} {:?} {}", draft.errors(), draft.errors()[0].1);
    assert!(!printed.contains("4850"), "{printed}");
    draft.remove(de(35));
    let message = draft.finish().unwrap();
    assert_eq!(format!("{message:?}"), "Message(0200 2)");
    let mut bytes = message.raw().to_vec();
    bytes[16] = b'x';
    let error = parse(&schema, &bytes).unwrap_err();
    assert_eq!(format!("{error}"), "field 2 has no digit at byte 16");
}

#[test]
fn a_field_is_taken_over_between_dialects_by_its_value() {
    let ascii = smartvista::schema();
    let mut original = Draft::new(&ascii, Mti::new(0x0200));
    original
        .set_text(de(3), "1")
        .set_text(de(11), "42")
        .set_text(de(52), "0123456789abcdef")
        .set_text(de(37), "AB");
    let original = original.finish().unwrap();
    let mti = Encoding::of_mti("b", 2).unwrap();
    let packed = with_types(
        Schema::new(mti, BitmapForm::of_type("b", 8).unwrap()),
        "3 b 3; 11 b 3; 37 ans 12; 52 b 8; 55 ll-bin-an 255",
    );
    let mut draft = Draft::new(&packed, Mti::new(0x0200));
    draft.set_text(de(55), "9f");
    for number in [3, 11, 37, 52, 55] {
        draft.take(&original, de(number));
    }
    let expected = "0200 2020000008001000 000001 000042 20202020202020202020 4142 0123456789abcdef";
    assert_eq!(hex(&draft.to_bytes().unwrap()), hex(&unhex(expected)));
}
