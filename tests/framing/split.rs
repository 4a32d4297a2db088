//! The same frames come out wherever the stream is cut.

use super::cases::{CASES, Case, messages};
use super::golden::smart_vista;
use super::*;

/// Framings whose messages end where the dialect says.
const SELF_DELIMITING: &[Case] = &[
    Case { text: "none", frame: |m| m.to_vec(), keep_alives: &[], envelope: "", ours: true },
    Case {
        text: "fixed('ISO'), echo('011000017'), self",
        frame: |m| [b"ISO011000017", m].concat(),
        keep_alives: &[],
        envelope: "303131303030303137",
        ours: true,
    },
    Case {
        text: "tpdu(6000031234), self, trailer(03)",
        frame: |m| [&[0x60, 0, 3, 0x12, 0x34], m, &[3]].concat(),
        keep_alives: &[],
        envelope: "6000031234",
        ours: true,
    },
];

/// Three messages with keep-alives before, between and behind them; where each message is complete.
fn stream(case: &Case) -> (Vec<u8>, Vec<usize>) {
    let mut stream = Vec::new();
    let mut ends = Vec::new();
    for message in messages() {
        for keep_alive in case.keep_alives.iter().chain(case.keep_alives.iter().rev()) {
            stream.extend(hex(keep_alive));
        }
        stream.extend((case.frame)(&message));
        ends.push(stream.len());
    }
    case.keep_alives.iter().for_each(|keep_alive| stream.extend(hex(keep_alive)));
    (stream, ends)
}

fn check_frames(case: &Case, frames: &[Frame]) {
    let got: Vec<_> = frames.iter().map(|frame| frame.payload.to_vec()).collect();
    assert_eq!(got, messages(), "{}", case.text);
    // A case with a length inside its envelope is checked in `writing`.
    if !case.text.contains("echo('AB')") {
        assert!(frames.iter().all(|frame| frame.envelope == hex(case.envelope)), "{}", case.text);
    }
}

#[test]
fn three_messages_come_out_at_every_split_in_two() {
    let schema = smart_vista();
    for case in CASES.iter().chain(SELF_DELIMITING) {
        let framing = framing(case.text);
        let (stream, _) = stream(case);
        for split in 0..=stream.len() {
            let (first, second) = stream.split_at(split);
            let mut buf = BytesMut::from(first);
            let (mut frames, error) = drain(&framing, &schema, &mut buf);
            assert_eq!(error, None, "{} cut at {split}", case.text);
            buf.extend_from_slice(second);
            let (rest, error) = drain(&framing, &schema, &mut buf);
            assert_eq!(error, None, "{} cut at {split}", case.text);
            frames.extend(rest);
            check_frames(case, &frames);
            assert!(buf.is_empty(), "{} cut at {split}: {} bytes are left", case.text, buf.len());
        }
    }
}

#[test]
fn byte_by_byte_each_message_comes_out_with_its_last_byte() {
    let schema = smart_vista();
    for case in CASES.iter().chain(SELF_DELIMITING) {
        let framing = framing(case.text);
        let (stream, ends) = stream(case);
        let mut buf = BytesMut::new();
        let (mut frames, mut seen_at) = (Vec::new(), Vec::new());
        for (i, byte) in stream.iter().enumerate() {
            buf.extend_from_slice(&[*byte]);
            let (some, error) = drain(&framing, &schema, &mut buf);
            assert_eq!(error, None, "{} at byte {i}", case.text);
            seen_at.extend(some.iter().map(|_| i + 1));
            frames.extend(some);
        }
        check_frames(case, &frames);
        assert_eq!(seen_at, ends, "{}", case.text);
        assert!(buf.is_empty(), "{}", case.text);
    }
}

#[test]
fn a_frame_shares_the_memory_of_the_buffer() {
    let schema = smart_vista();
    for case in CASES.iter().chain(SELF_DELIMITING) {
        let bytes = (case.frame)(&messages()[1]);
        let mut buf = BytesMut::from(&bytes[..]);
        let place = buf.as_ptr_range();
        let frame = framing(case.text).next_frame(&schema, LIMIT, &mut buf).unwrap().unwrap();
        assert!(place.contains(&frame.payload.as_ptr()), "{}", case.text);
        assert!(frame.envelope.is_empty() || place.contains(&frame.envelope.as_ptr()), "{}", case.text);
    }
}

#[test]
fn ten_thousand_keep_alives_in_one_buffer_are_skipped_in_one_call() {
    let mut buf = BytesMut::from(&b"0000".repeat(10_000)[..]);
    buf.extend_from_slice(b"00040800");
    let frame = framing("ascii4").next_frame(&smart_vista(), LIMIT, &mut buf).unwrap().unwrap();
    assert_eq!(frame.payload, "0800");
    assert!(buf.is_empty());
}
