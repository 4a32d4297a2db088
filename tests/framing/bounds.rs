//! Limits at the bound and one past it; what is wrong is found as soon as it is there.

use super::cases::{CASES, messages};
use super::golden::smart_vista;
use super::*;

fn next(text: &str, limit: usize, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    framing(text).next_frame(&smart_vista(), limit, &mut BytesMut::from(bytes))
}

#[test]
fn a_payload_of_exactly_the_limit_is_read_and_one_more_byte_is_refused() {
    let schema = smart_vista();
    for case in CASES {
        let framing = framing(case.text);
        for len in [5, 57, 99, 250] {
            let message = vec![b'x'; len];
            let bytes = (case.frame)(&message);
            let mut buf = BytesMut::from(&bytes[..]);
            let frame = framing.next_frame(&schema, len, &mut buf).unwrap().unwrap();
            assert_eq!(frame.payload, message, "{}", case.text);

            let mut buf = BytesMut::from(&bytes[..]);
            match framing.next_frame(&schema, len - 1, &mut buf) {
                Err(FrameError::TooLong { limit, actual }) => {
                    assert_eq!((limit, actual >= len as u64), (len - 1, true), "{}", case.text);
                }
                other => panic!("{}: {other:?}", case.text),
            }
            assert_eq!(buf, bytes, "{}: the bad frame stays", case.text);
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_by_its_header_alone_and_nothing_is_reserved() {
    let cases: &[(&str, &str, u64)] = &[
        ("ascii4", "34303937", 4097),
        ("ascii4-inclusive", "34313031", 4097),
        ("bin2", "1001", 4097),
        ("bin4", "ffffffff", 0xFFFF_FFFF),
        ("length(bin 8)", "ffffffffffffffff", u64::MAX),
        ("length(bin 8 le)", "ffffffffffffffff", u64::MAX),
        ("length(bcd 8)", "9999999999999999", 9_999_999_999_999_999),
        ("length(hex 8)", "4646464646464646", 0xFFFF_FFFF),
        ("length(ascii 8, add=-2)", "3939393939393939", 100_000_001),
        ("nac", "1006", 4097),
    ];
    for (text, header, actual) in cases {
        let mut buf = BytesMut::with_capacity(64);
        buf.extend_from_slice(&hex(header));
        let capacity = buf.capacity();
        let error = FrameError::TooLong { limit: 4096, actual: *actual };
        assert_eq!(framing(text).next_frame(&smart_vista(), 4096, &mut buf), Err(error), "{text}");
        assert_eq!(buf.capacity(), capacity);
    }
    // One byte less, and the rest is waited for; nothing is reserved either.
    let mut buf = BytesMut::with_capacity(64);
    buf.extend_from_slice(b"4096");
    let capacity = buf.capacity();
    assert_eq!(framing("ascii4").next_frame(&smart_vista(), 4096, &mut buf), Ok(None));
    assert_eq!((buf.capacity(), &buf[..]), (capacity, &b"4096"[..]));
}

#[test]
fn a_payload_without_its_end_is_refused_when_it_cannot_end_within_the_limit() {
    for len in 0..=10 {
        assert_eq!(next("until(0d0a)", 10, &vec![b'x'; len]), Ok(None));
    }
    // 10 bytes and the first of the two that end it.
    assert_eq!(next("until(0d0a)", 10, b"xxxxxxxxxx\r"), Ok(None));
    for body in [&b"xxxxxxxxxx\rx"[..], b"xxxxxxxxxxx\r", b"xxxxxxxxxxx\r\n"] {
        assert!(
            matches!(next("until(0d0a)", 10, body), Err(FrameError::TooLong { limit: 10, .. })),
            "{body:?}"
        );
    }
}

#[test]
fn a_message_that_the_dialect_ends_is_refused_when_it_cannot_end_within_the_limit() {
    let [message, ..] = messages();
    assert_eq!(next("none", message.len(), &message).unwrap().unwrap().payload, message);
    let error = FrameError::TooLong { limit: message.len() - 1, actual: message.len() as u64 };
    assert_eq!(next("none", message.len() - 1, &message), Err(error.clone()));
    // The last byte is not needed to know it, and one before that is not enough.
    assert_eq!(next("none", message.len() - 1, &message[..message.len() - 1]), Err(error));
    assert_eq!(next("none", message.len() - 1, &message[..message.len() - 2]), Ok(None));
}

#[test]
fn what_is_wrong_is_an_error_with_its_offset_as_soon_as_it_is_there() {
    let bad_digit = |offset| FrameError::BadDigit { offset };
    let bad_header = |offset| FrameError::BadHeader { offset };
    let bad_trailer = |offset| FrameError::BadTrailer { offset };
    let too_short = |offset, actual, least| FrameError::TooShort { offset, actual, least };
    let cases: &[(&str, &[u8], FrameError)] = &[
        ("ascii4", b"G", bad_digit(0)),
        ("ascii4", b"00 5", bad_digit(2)),
        ("ascii4", b"-001", bad_digit(0)),
        ("ascii4", b"+001", bad_digit(0)),
        ("ascii4", b"  55", bad_digit(0)),
        ("ascii4", b"004\xb2", bad_digit(3)),
        ("hex4", b"00fg", bad_digit(3)),
        ("bcd2", b"\x00\x0a", bad_digit(1)),
        ("bcd2", b"\xa0", bad_digit(0)),
        ("ascii4-inclusive", b"0003", too_short(0, 3, 4)),
        ("bin2-inclusive", b"\x00\x01", too_short(0, 1, 2)),
        ("nac", b"\x00\x04", too_short(0, 4, 5)),
        ("fixed('AB'), length(bcd 1, counts=payload+itself+before)", b"AB\x02", too_short(2, 2, 3)),
        ("fixed('ISO'), length(ascii 4)", b"IX", bad_header(1)),
        ("fixed('ISO'), length(ascii 4)", b"GET / HTTP/1.1\r\n", bad_header(0)),
        ("length(bin 2), fixed(0000)", b"\x00\x04\x00\x01", bad_header(3)),
        ("fixed('ISO'), self", b"ISX", bad_header(2)),
        ("fixed('ISO'), until(03)", b"\x03", bad_header(0)),
        ("length(ascii 4, counts=payload+trailer), trailer(03)", b"00050800\x04", bad_trailer(8)),
        ("length(ascii 4), trailer(0d0a)", b"00040800\rx", bad_trailer(9)),
    ];
    for (text, bytes, error) in cases {
        assert_eq!(next(text, LIMIT, bytes), Err(error.clone()), "{text} {bytes:?}");
        // Every byte before the last was right, so without it nothing is wrong yet.
        let (_, before) = bytes.split_last().unwrap();
        let early = next(text, LIMIT, before);
        assert!(
            early == Ok(None) || bytes.len() > 10 || early == Err(error.clone()),
            "{text} {before:?}: {early:?}"
        );
    }
}

#[test]
fn offsets_count_from_the_first_byte_of_the_bad_frame() {
    let mut buf = BytesMut::from(&b"0004080000000000004x"[..]);
    let framing = framing("ascii4");
    assert_eq!(framing.next_frame(&smart_vista(), LIMIT, &mut buf).unwrap().unwrap().payload, "0800");
    let error = framing.next_frame(&smart_vista(), LIMIT, &mut buf);
    // Two keep-alives were skipped: `0000 0000`, then `004x`.
    assert_eq!(error, Err(FrameError::BadDigit { offset: 3 }));
    assert_eq!(buf, "004x");
}

#[test]
fn strangers_are_turned_away_by_their_first_bytes() {
    // A TLS hello, an HTTP request, an SSH banner: none is a decimal number.
    for hello in [&b"\x16\x03\x01\x02\x00"[..], b"GET / HTTP/1.1\r\n", b"SSH-2.0-x"] {
        assert!(matches!(next("ascii4", LIMIT, hello), Err(FrameError::BadDigit { offset: 0 })));
        assert!(matches!(next("none", LIMIT, hello), Err(FrameError::NoMessage(_))), "{hello:?}");
    }
    for byte in [0, 0xFF] {
        assert!(matches!(next("none", LIMIT, &[byte; 64]), Err(FrameError::NoMessage(_))));
    }
}

#[test]
fn errors_say_where_and_how_much() {
    let text = |error: FrameError| error.to_string();
    assert_eq!(
        text(FrameError::TooLong { limit: 9999, actual: 10000 }),
        "frame of 10000 bytes, at most 9999 are allowed"
    );
    assert_eq!(text(FrameError::BadDigit { offset: 2 }), "no digit at offset 2 of the length field");
}
