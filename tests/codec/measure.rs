//! Messages that tell their own end, on streams without a header.

use socketqueue::iso8583::{Measure, Message, ParseError};

use crate::{golden, parse, smartvista, unhex};

/// At every split point: not known yet, then right; whatever follows.
#[test]
fn a_message_is_measured_right_at_every_split_point() {
    let schema = smartvista::schema();
    for line in golden("smartvista-messages.jsonl").iter().filter(|line| line.get("fields").is_some()) {
        let bytes = unhex(line["hex"].as_str().unwrap());
        let mut needed = 0;
        for split in 0..bytes.len() {
            let cut = &bytes[..split];
            let Ok(Measure::AtLeast(at_least)) = Message::measure_at_least(&schema, cut) else {
                panic!("{} measured at {split}", line["ids"]);
            };
            assert!(at_least > split && at_least >= needed && at_least <= bytes.len(), "{}", line["ids"]);
            needed = at_least;
            assert_eq!(Message::measure(&schema, cut), Ok(None));
            assert!(matches!(parse(&schema, cut), Err(ParseError::Truncated { .. })), "{}", line["ids"]);
        }
        assert_eq!(Message::measure(&schema, &bytes), Ok(Some(bytes.len())));
        for tail in [&b"0"[..], b"0200", b"\0", &bytes] {
            let stream = [&bytes, tail].concat();
            assert_eq!(Message::measure(&schema, &stream), Ok(Some(bytes.len())));
        }
    }
}

#[test]
fn what_can_be_no_message_is_found_out_at_the_first_byte_that_says_so() {
    let schema = smartvista::schema();
    for (stream, known_at) in [
        (&b"GET / HTTP/1.1\r\n"[..], 1),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 1),
        // A TLS client hello.
        (b"\x16\x03\x01\x02\0\x01\0", 1),
        (b"\0\0\0\0\0\0\0\0", 1),
        (b"\xff\xff\xff\xff", 1),
        // Digits, but not a message type: class 0; a length header in front of an 0800.
        (b"0060", 2),
        (b"00450800", 2),
        // The bitmap's second byte has DE 16, which the dialect lacks.
        (b"0200\xff\xff\xff\xff\xff\xff\xff\xff", 6),
        (b"0200\0\0\0\0\0\0\0\0", 12),
        // DE 2: a length that is none, and one above 19; DE 3 with a letter.
        (b"0200\x40\0\0\0\0\0\0\0a", 13),
        (b"0200\x40\0\0\0\0\0\0\x0029", 14),
        (b"0200\x20\0\0\0\0\0\0\x0012x", 15),
    ] {
        for split in 0..known_at {
            assert_eq!(Message::measure(&schema, &stream[..split]), Ok(None), "{}", stream.escape_ascii());
        }
        for split in known_at..=stream.len() {
            assert!(
                Message::measure(&schema, &stream[..split]).is_err(),
                "{} at {split}",
                stream.escape_ascii()
            );
        }
    }
}

/// A message that must become longer than any frame is not waited for.
#[test]
fn no_more_is_waited_for_than_a_frame_can_have() {
    use socketqueue::iso8583::schema::{BitmapForm, Content, Counts, Encoding, Length, Prefix};
    let length = Length::Variable { max: 65_535, prefix: Prefix::Binary(2), counts: Counts::Units };
    let spec = socketqueue::iso8583::FieldSpec {
        name: "long".into(),
        type_name: "long".into(),
        content: Content::Binary,
        encoding: Encoding::Binary,
        length,
        pad: None,
    };
    let mut schema = socketqueue::iso8583::Schema::new(Encoding::Ascii, BitmapForm::of_type("b", 8).unwrap());
    schema.set(crate::de(2), spec);
    let head = b"0200\x40\0\0\0\0\0\0\0";
    // 12 bytes of head and 2 of length leave 65,521 (fff1) for the value.
    let longest = [&head[..], b"\xff\xf1"].concat();
    assert_eq!(Message::measure_at_least(&schema, &longest), Ok(Measure::AtLeast(65_535)));
    let whole = [&longest[..], &[0; 65_521 + 7]].concat();
    assert_eq!(Message::measure(&schema, &whole), Ok(Some(65_535)));
    let too_long = [&head[..], b"\xff\xf2"].concat();
    assert_eq!(Message::measure(&schema, &too_long), Err(ParseError::MessageTooLong { len: 65_536 }));
    let all_there = [&too_long[..], &[0; 70_000]].concat();
    assert_eq!(Message::measure(&schema, &all_there), Err(ParseError::MessageTooLong { len: 65_536 }));
}
