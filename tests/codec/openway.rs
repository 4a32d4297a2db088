//! SocketQueue's `openWay` template: BCD and binary, a fixed bitmap of 64 bits. Messages derived by hand.

use std::sync::Arc;

use socketqueue::iso8583::schema::{BitmapForm, Encoding};
use socketqueue::iso8583::{BuildError, Draft, Mti, ParseError, Schema};

use crate::{de, hex, parse, unhex, with_types};

const FIELDS: &str = "2 ll-bin-hn 19; 3 b 3; 4 b 6; 5 b 6; 6 b 6; 7 b 5; 8 b 4; 9 b 4; 10 b 4; 11 b 3; 12 b 3; 13 b 2; \
    14 b 2; 15 b 3; 16 b 2; 17 b 2; 18 b 2; 19 b 2; 20 b 2; 21 b 2; 22 b 2; 23 b 2; 24 b 2; 25 b 1; 26 b 1; 27 b 1; \
    28 ans 9; 29 b 2; 30 b 12; 31 ll-bin-char 999; 32 ll-n 11; 33 ll-n 11; 34 ll-bin-char 11; 35 ll-bin-char 37; \
    36 ll-bin-char 104; 37 ans 12; 38 ans 6; 39 ans 2; 40 b 1; 41 ans 8; 42 ans 15; 43 ans 40; 44 ll-bin-char 99; \
    45 ll-bin-char 75; 46 ll-bin-char 206; 47 ll-bin-char 999; 48 ll-bin-char 999; 49 b 2; 50 b 2; 51 b 2; 52 b 8; \
    53 b 8; 54 ll-bin-char 120; 55 ll-bin-char 255; 56 ll-n 35; 57 b 2; 58 ll-n 11; 59 ll-bin-char 999; \
    60 ll-bin-char 999; 61 ll-bin-char 255; 62 ll-bin-char 999; 63 ll-bin-char 999; 64 b 4";

fn schema() -> Arc<Schema> {
    let mti = Encoding::of_mti("b", 2).unwrap();
    // DE 1, `b` of 8 bytes, is the bitmap itself, also when the table has it.
    with_types(Schema::new(mti, BitmapForm::of_type("b", 8).unwrap()), &format!("1 b 8; {FIELDS}"))
}

/// The 0200 of case ow-004, where the original wrote everything right but the count of DE 2 (08 for 16 digits) and
/// lacked DE 35: MTI 0200; bits 2, 3, 4, 7 (72), 11, 12, 13 (38), 22 (04), 35 (20), 41, 42 (c0), 49 (80).
const PURCHASE: &str = "0200 7238040020c08000 \
    16 4850781234567891 000000 000000001000 1122033518 000077 130600 1122 0051 \
    37 343835303738313233343536373839313d3139303832303132323332383030303030303337 \
    5445524d30303031 4d45524348414e5430303030303031 0643";

#[test]
fn a_purchase_is_read_and_built() {
    let schema = schema();
    let message = parse(&schema, &unhex(PURCHASE)).unwrap();
    let fields = [
        (0, "0200"),
        (2, "4850781234567891"),
        (3, "000000"),
        (4, "000000001000"),
        (7, "1122033518"),
        (11, "000077"),
        (12, "130600"),
        (13, "1122"),
        (22, "0051"),
        (35, "4850781234567891=19082012232800000037"),
        (41, "TERM0001"),
        (42, "MERCHANT0000001"),
        (49, "0643"),
    ];
    let mut draft = Draft::new(&schema, Mti::new(0x0200));
    for (number, text) in fields {
        assert_eq!(message.text(de(number)).unwrap(), text, "DE {number}");
        draft.set_text(de(number), text);
    }
    assert_eq!(message.bitmap().count(), fields.len() - 1);
    assert_eq!(hex(&draft.to_bytes().unwrap()), hex(&unhex(PURCHASE)));
}

/// 0800 with the fields that openWay requires: 3, 7 (22), 11 (20), 41 (80), 63 (02).
#[test]
fn an_echo_with_the_type_that_nobody_wrote_is_read_and_built() {
    let bytes = unhex("0800 2220000000800002 990000 1122033518 000078 5445524d30303031 0004 4543484f");
    let schema = schema();
    let message = parse(&schema, &bytes).unwrap();
    assert_eq!(message.text(de(63)).unwrap(), "ECHO");
    let mut draft = Draft::new(&schema, Mti::new(0x0800));
    for (number, text) in [(3, "990000"), (7, "1122033518"), (11, "78"), (41, "TERM0001"), (63, "ECHO")] {
        draft.set_text(de(number), text);
    }
    assert_eq!(hex(&draft.to_bytes().unwrap()), hex(&bytes));
}

/// An odd count of digits in `ll-bin-hn` has a zero in front: 19 digits in 10 bytes.
#[test]
fn a_pan_of_odd_length_has_a_leading_zero() {
    let bytes = unhex("0200 4000000000000000 19 04850781234567891234");
    let schema = schema();
    let message = parse(&schema, &bytes).unwrap();
    assert_eq!(message.text(de(2)).unwrap(), "4850781234567891234");
    let mut draft = Draft::new(&schema, Mti::new(0x0200));
    draft.set_text(de(2), "4850781234567891234");
    assert_eq!(draft.to_bytes().unwrap(), bytes);
    let filled_otherwise = unhex("0200 4000000000000000 19 f4850781234567891234");
    assert_eq!(
        parse(&schema, &filled_otherwise).unwrap_err(),
        ParseError::BadNibble { field: de(2), offset: 11 }
    );
}

#[test]
fn a_secondary_bitmap_is_announced_to_nobody() {
    let schema = schema();
    let bytes = unhex("0800 a220000000800002");
    assert_eq!(parse(&schema, &bytes).unwrap_err(), ParseError::UnknownField { field: de(1), offset: 2 });
    let error = Draft::new(&schema, Mti::new(0x0800)).set_text(de(70), "301").to_bytes().unwrap_err();
    assert_eq!(error, BuildError::UnknownField { field: de(70) });
}

/// What the original wrote itself (ow-004): 08 says 8 digits, so DE 3 begins inside the PAN; the bytes run on until
/// they do not fit.
#[test]
fn a_pan_counted_in_bytes_is_refused() {
    let bytes = unhex(
        "02007238040000c080000848507812345678910000000000000010001122033518000077130600112200515445524d3030\
         30314d45524348414e54303030303030310643",
    );
    assert!(matches!(parse(&schema(), &bytes), Err(ParseError::TrailingBytes { count: 4, .. })));
}

/// DE 1 as a field of its own where the bitmap has no second half.
#[test]
fn bit_one_is_a_field_where_the_dialect_has_one() {
    let mti = Encoding::of_mti("n", 4).unwrap();
    let schema = with_types(Schema::new(mti, BitmapForm::of_type("b", 8).unwrap()), "1 n 2; 3 n 6");
    let bytes = b"0200\xa0\0\0\0\0\0\0\x0042123456";
    let message = parse(&schema, bytes).unwrap();
    assert_eq!(message.text(de(1)).unwrap(), "42");
    let mut draft = Draft::new(&schema, Mti::new(0x0200));
    draft.set_text(de(1), "42").set_text(de(3), "123456");
    assert_eq!(draft.to_bytes().unwrap(), &bytes[..]);
}
