//! What is written, and what a reply gives back.

use super::cases::{CASES, messages};
use super::golden::smart_vista;
use super::*;

fn encoded(text: &str, payload: &[u8], envelope: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = BytesMut::new();
    framing(text).encode(payload, envelope, &mut out).map(|()| out.to_vec())
}

#[test]
fn a_message_of_ours_is_written_as_derived_by_hand() {
    for case in CASES.iter().filter(|case| case.ours) {
        for message in messages() {
            assert_eq!(encoded(case.text, &message, b"").unwrap(), (case.frame)(&message), "{}", case.text);
        }
    }
}

#[test]
fn messages_are_appended_and_the_overhead_is_what_stands_around_them() {
    for case in CASES {
        let framing = framing(case.text);
        let mut out = BytesMut::from(&b"before"[..]);
        let messages = messages();
        for message in &messages {
            framing.encode(message, b"", &mut out).unwrap();
        }
        let len: usize = messages.iter().map(|message| message.len() + framing.overhead()).sum();
        assert_eq!(out.len(), b"before".len() + len, "{}", case.text);
        assert!(out.starts_with(b"before"));
    }
}

/// Request TPDU 60 0003 1234 (to 0003 from 1234), reply 60 1234 0003.
#[test]
fn a_reply_swaps_the_addresses_of_the_request_that_it_answers() {
    let mut buf = BytesMut::from(&hex("00096000031234")[..]);
    buf.extend_from_slice(b"0800");
    let nac = framing("nac");
    let request = nac.next_frame(&smart_vista(), LIMIT, &mut buf).unwrap().unwrap();
    assert_eq!(request.envelope, hex("6000031234"));
    let expected = [hex("00096012340003"), b"0810".to_vec()].concat();
    assert_eq!(encoded("nac", b"0810", &request.envelope).unwrap(), expected);
}

#[test]
fn a_message_of_our_own_carries_the_configured_tpdu_unswapped() {
    let text = "length(bin 2, counts=payload+after), tpdu(6000010002)";
    assert_eq!(encoded(text, b"0800", b"").unwrap(), [hex("00096000010002"), b"0800".to_vec()].concat());
}

#[test]
fn a_reply_gives_an_echoed_header_back_and_writes_its_own_fixed_and_skipped_parts() {
    let text = "header('H1'), echo('....'), length(ascii 4), fixed('F'), echo('++')";
    let mut buf = BytesMut::from(&b"h9wxyz0004Fab0800"[..]);
    let request = framing(text).next_frame(&smart_vista(), LIMIT, &mut buf).unwrap().unwrap();
    assert_eq!(request.payload, "0800");
    assert_eq!(encoded(text, b"08100", &request.envelope).unwrap(), b"H1wxyz0005Fab08100");
    assert_eq!(encoded(text, b"08100", b"").unwrap(), b"H1....0005F++08100");
}

#[test]
fn a_length_inside_the_envelope_is_the_replys_own() {
    let text = "echo('AB'), length(bcd 2, counts=payload+before+after), tpdu(6000031234)";
    // 2 + 5 + 4 bytes are counted.
    let mut buf = BytesMut::from(&[b"CD".to_vec(), hex("00116000031234"), b"0800".to_vec()].concat()[..]);
    let request = framing(text).next_frame(&smart_vista(), LIMIT, &mut buf).unwrap().unwrap();
    // 2 + 5 + 6 bytes.
    let expected = [b"CD".to_vec(), hex("00136012340003"), b"081000".to_vec()].concat();
    assert_eq!(encoded(text, b"081000", &request.envelope).unwrap(), expected);
}

#[test]
fn a_header_can_depend_on_how_the_message_begins() {
    let text = "header('ISO041000017', '08': 'ISO041000067', '0400': 'ISO041000099'), self";
    for (message, header) in [("0800", "ISO041000067"), ("0400", "ISO041000099"), ("0401", "ISO041000017")] {
        assert_eq!(encoded(text, message.as_bytes(), b"").unwrap(), format!("{header}{message}").as_bytes());
    }
    // Of two that fit, the one that stands first.
    let text = "length(bin 1), header(00, '080': 01, '08': 02)";
    for (message, header) in [("0800", 1), ("0810", 2), ("0200", 0)] {
        assert_eq!(encoded(text, message.as_bytes(), b"").unwrap()[1], header, "{message}");
    }
}

/// Framing, longest payload, and the length written for it. One byte more is refused, not written modulo something
/// (jPOS's HEXChannel makes 0 of 65535, its NCCChannel 0 of 10000; the Indonesian forwarder writes five digits).
#[test]
fn a_payload_longer_than_the_length_can_say_is_refused() {
    let cases: &[(&str, usize, &str)] = &[
        ("ascii4", 9999, "39393939"),
        ("ascii4-inclusive", 9995, "39393939"),
        ("bin2", 65535, "ffff"),
        ("bin2-inclusive", 65533, "ffff"),
        ("bcd2", 9999, "9999"),
        ("hex4", 65535, "46464646"),
        ("nac", 65530, "ffff"),
        ("length(ascii 1)", 9, "39"),
        ("length(bin 1, counts=payload+trailer), trailer(03)", 254, "ff"),
        ("length(bcd 1)", 99, "99"),
        ("length(ascii 4, add=-10)", 10009, "39393939"),
        ("length(bin 3)", 65535, "00ffff"),
        ("bin4", 65535, "0000ffff"),
        ("none", 65535, ""),
    ];
    for (text, longest, length) in cases {
        let written = encoded(text, &vec![b'x'; *longest], b"").unwrap();
        assert!(written.starts_with(&hex(length)), "{text}: {:02x?}", &written[..4]);
        let error = FrameError::TooLong { limit: *longest, actual: *longest as u64 + 1 };
        assert_eq!(encoded(text, &vec![b'x'; *longest + 1], b""), Err(error), "{text}");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_buffer_as_it_was() {
    let cases: &[(&str, &[u8], &[u8], FrameError)] = &[
        ("ascii4", b"", b"", FrameError::Empty),
        ("none", b"", b"", FrameError::Empty),
        ("until(03)", b"08\x0300", b"", FrameError::HoldsDelimiter { offset: 2 }),
        ("until(03)", b"0800\x03", b"", FrameError::HoldsDelimiter { offset: 4 }),
        // Followed by ABA it would end after the first two bytes.
        ("until('ABA')", b"00AB", b"", FrameError::HoldsDelimiter { offset: 2 }),
        ("ascii4", b"0800", b"\x60", FrameError::ForeignEnvelope { expected: 0, actual: 1 }),
        ("nac", b"0800", b"\x60\x00", FrameError::ForeignEnvelope { expected: 5, actual: 2 }),
        ("length(ascii 4, add=-2)", b"0", b"", FrameError::TooShort { offset: 0, actual: 1, least: 2 }),
    ];
    for (text, payload, envelope, error) in cases {
        let mut out = BytesMut::from(&b"before"[..]);
        assert_eq!(framing(text).encode(payload, envelope, &mut out), Err(error.clone()), "{text}");
        assert_eq!(out, "before", "{text}");
    }
    // A delimiter that only begins at the end of the message is no trouble.
    assert_eq!(encoded("until(0d0a)", b"0800\r", b"").unwrap(), b"0800\r\r\n");
}
