//! Every message that was recorded on the wires of SocketQueue with its smartVista template.
//!
//! `golden/smartvista-messages.jsonl` has the distinct ones of `socketqueue.jsonl`, length headers taken off, with the
//! ids of their cases, who wrote them (`client`, `gateway` to the host, `host`) and, where it is a message, MTI and
//! fields as pyiso8583 4.0.1 reads them by the same table (binary fields as lower-case hex).

use bytes::Bytes;
use socketqueue::iso8583::{Draft, FieldNumber, Message, ParseError};

use crate::{de, golden, hex, parse, smartvista, unhex};

#[test]
fn recorded_messages_have_the_fields_that_another_codec_reads() {
    let schema = smartvista::schema();
    let mut count = 0;
    for line in golden("smartvista-messages.jsonl").iter().filter(|line| line.get("fields").is_some()) {
        let message = parse(&schema, &unhex(line["hex"].as_str().unwrap())).unwrap();
        assert_eq!(message.mti().to_string(), line["mti"], "{line}");
        let expected: Vec<(u16, &str)> = line["fields"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(number, value)| (number.parse().unwrap(), value.as_str().unwrap()))
            .collect();
        let read: Vec<(u16, String)> = message
            .bitmap()
            .iter()
            .map(|n| (n.get().into(), message.text(n).unwrap().into_owned()))
            .collect();
        let read: Vec<(u16, &str)> = read.iter().map(|(n, value)| (*n, value.as_str())).collect();
        assert_eq!(read, expected, "{}", line["ids"]);
        count += 1;
    }
    assert_eq!(count, 288);
}

#[test]
fn recorded_messages_are_built_again_to_the_same_bytes() {
    let schema = smartvista::schema();
    for line in golden("smartvista-messages.jsonl").iter().filter(|line| line.get("fields").is_some()) {
        let bytes = unhex(line["hex"].as_str().unwrap());
        let message = parse(&schema, &bytes).unwrap();
        assert_eq!(hex(&Draft::of(&message).to_bytes().unwrap()), hex(&bytes), "taken over: {}", line["ids"]);
        let mut built = Draft::new(&schema, message.mti());
        for (number, value) in line["fields"].as_object().unwrap() {
            built.set_text(de(number.parse().unwrap()), value.as_str().unwrap());
        }
        assert_eq!(built.errors(), []);
        assert_eq!(hex(&built.to_bytes().unwrap()), hex(&bytes), "built anew: {}", line["ids"]);
    }
}

/// What is recorded and is no message: fragments, garbage, and what the original wrote wrong.
#[test]
fn recorded_troubles_are_refused_with_field_and_offset() {
    let schema = smartvista::schema();
    let truncated =
        |field, offset, needed, have| ParseError::Truncated { field: de(field), offset, needed, have };
    let trailing = |offset, count| ParseError::TrailingBytes { offset, count };
    let unknown = |field, offset| ParseError::UnknownField { field: de(field), offset };
    let expected = [
        // The original cuts DE 55 and DE 52 by a byte more than it says (D18).
        ("bin-006-55-300bytes", truncated(55, 131, 388, 387)),
        ("bin-007-52-9bytes", truncated(52, 131, 140, 139)),
        ("raw-006-short", truncated(1, 4, 12, 4)),
        ("raw-008-trailing", trailing(45, 4)),
        ("raw-008-trailing", trailing(45, 4)),
        // "0060" "0800…": a length header where none is spoken is MTI 0060, class 0.
        ("tcp-004-sample-echo-header", ParseError::BadMti { offset: 1 }),
        ("tcp-006-garbage-short", ParseError::BadMti { offset: 0 }),
        ("tcp-007-garbage-long", ParseError::BadMti { offset: 0 }),
        ("tcp-010-partial-writes", truncated(7, 18, 28, 20)),
        // MTI 2203, bitmap "26470000": its third byte, "4" (0x34), is bits 19, 20 and 22.
        ("tcp-010-partial-writes", unknown(19, 6)),
        ("tcp-011-partial-tiny", truncated(1, 4, 12, 10)),
        ("tcp-011-partial-tiny", ParseError::BadMti { offset: 0 }),
        ("tcp-012-partial-purchase", truncated(42, 113, 128, 121)),
        ("tcp-012-partial-purchase", unknown(19, 6)),
        ("tcp-013-two-in-one", trailing(45, 45)),
        ("tcp-013-two-in-one", trailing(45, 45)),
        ("up-008-host-garbage", ParseError::BadMti { offset: 0 }),
    ];
    let lines = golden("smartvista-messages.jsonl");
    let troubles: Vec<_> = lines.iter().filter(|line| line.get("fields").is_none()).collect();
    let found: Vec<(&str, ParseError)> = troubles
        .iter()
        .map(|line| {
            (
                line["ids"][0].as_str().unwrap(),
                parse(&schema, &unhex(line["hex"].as_str().unwrap())).unwrap_err(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

/// `overrides=1:bitmap-hex:8` (ov-001): request and reply.
#[test]
fn messages_recorded_with_a_hex_bitmap_are_read_and_built() {
    let schema = smartvista::with_bitmap("bitmap-hex");
    for (text, fields) in [
        ("08002220010000800000990000112203351600110683100000606", &[3, 7, 11, 24, 41][..]),
        ("081022200000 0A800000 990000 1122033516 001106 RRN082971370 000 00000606", &[3, 7, 11, 37, 39, 41]),
    ] {
        let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        let message = parse(&schema, &bytes).unwrap();
        let read: Vec<u16> = message.bitmap().iter().map(|n| n.get().into()).collect();
        assert_eq!(read, fields);
        assert_eq!(message.bitmap_hex(), text.replace(' ', "")[4..20]);
        assert_eq!(Draft::of(&message).to_bytes().unwrap(), bytes);
        let rebuilt = rebuild(&message);
        assert_eq!(rebuilt[..4], bytes[..4]);
        // Written in lower case.
        assert_eq!(rebuilt[4..20], bytes[4..20].to_ascii_lowercase());
        assert_eq!(rebuilt[20..], bytes[20..]);
    }
}

fn rebuild(message: &Message) -> Bytes {
    let mut draft = Draft::new(message.schema(), message.mti());
    let fields: Vec<FieldNumber> = message.bitmap().iter().collect();
    fields.into_iter().for_each(|n| {
        draft.set(n, &message.value(n).unwrap());
    });
    draft.to_bytes().unwrap()
}
