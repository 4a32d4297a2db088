//! Recorded streams: what SocketQueue wrote and read, what Indonesian biller hosts write and read.

use std::collections::BTreeMap;

use serde_json::Value;
use socketqueue::iso8583::schema::{BitmapForm, Content, Counts, Encoding, Length, Prefix, Tertiary};
use socketqueue::iso8583::{FieldNumber, FieldSpec, Schema};

use super::*;

/// One line: headerFormat and so on, the messages, the frames that the original made of them, the host's bytes as they
/// were sent, and the messages in them (for hd-004 and ul-003, where the original loses some, by its own header rules).
const SOCKET_QUEUE: &str = include_str!("../golden/framing/socketqueue-headers.jsonl");
/// Chunks and what the Python 2 forwarder made of each.
const INDONESIA_STREAMS: &str = include_str!("../golden/framing/indonesia-streams.jsonl");
/// Messages and what the forwarder put around them.
const INDONESIA_FRAMES: &str = include_str!("../golden/framing/indonesia-frames.jsonl");

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}"))
}

fn list(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(|item| hex(item.as_str().unwrap())).collect()
}

fn characters(n: u16, name: &str, max: u16, prefix: Option<u8>) -> (FieldNumber, FieldSpec) {
    let length = match prefix {
        None => Length::Fixed(max),
        Some(digits) => Length::Variable { max, prefix: Prefix::Characters(digits), counts: Counts::Units },
    };
    let spec = FieldSpec {
        name: name.into(),
        type_name: "ans".into(),
        content: Content::Text,
        encoding: Encoding::Ascii,
        length,
        pad: None,
    };
    (FieldNumber::new(n).unwrap(), spec)
}

fn schema(hex_bitmap: bool, fields: &[(u16, u16, Option<u8>)]) -> Schema {
    let bitmap = BitmapForm { hex: hex_bitmap, groups: 2, tertiary: Tertiary::Contiguous };
    let mut schema = Schema::new(Encoding::Ascii, bitmap);
    for (n, max, prefix) in fields {
        let (n, spec) = characters(*n, "field", *max, *prefix);
        schema.set(n, spec);
    }
    schema
}

/// The fields of SocketQueue's smartVista table that the recorded messages have.
pub fn smart_vista() -> Schema {
    schema(
        false,
        &[
            (2, 19, Some(2)),
            (3, 6, None),
            (4, 12, None),
            (7, 10, None),
            (11, 6, None),
            (12, 12, None),
            (22, 3, None),
            (24, 3, None),
            (25, 2, None),
            (35, 37, Some(2)),
            (37, 12, None),
            (38, 6, None),
            (39, 3, None),
            (41, 8, None),
            (42, 15, None),
            (49, 3, None),
        ],
    )
}

/// The fields of the Indonesian `network` messages.
fn network() -> Schema {
    schema(true, &[(7, 10, None), (11, 6, None), (39, 2, None), (70, 3, None)])
}

#[test]
fn the_originals_headers_are_written_and_read_as_recorded() {
    let schema = smart_vista();
    let mut cases = 0;
    for case in lines(SOCKET_QUEUE) {
        let id = text(&case, "id");
        let format = text(&case, "header_format");
        let include = case["length_include_header"].as_bool().unwrap();
        let framing = match case["use_header"].as_bool().unwrap() {
            true => Framing::from_header_format(format, include).unwrap(),
            false => Framing::none(),
        };
        for (message, frame) in list(&case["messages_hex"]).iter().zip(list(&case["frames_hex"])) {
            let mut out = BytesMut::new();
            framing.encode(message, b"", &mut out).unwrap();
            assert_eq!(out, frame, "{id}");
        }
        let mut buf = BytesMut::new();
        let mut replies = Vec::new();
        for segment in list(&case["host_segments_hex"]) {
            buf.extend_from_slice(&segment);
            let (frames, error) = drain(&framing, &schema, &mut buf);
            assert_eq!(error, None, "{id}");
            replies.extend(payloads(frames));
        }
        assert_eq!(replies, list(&case["replies_hex"]), "{id}");
        assert!(buf.is_empty(), "{id}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}

/// up-017: the original drops the reply that follows a zero length in the same chunk.
#[test]
fn a_zero_length_in_front_of_a_reply_does_not_lose_it() {
    let mut buf = BytesMut::from(&b"0000000000040810"[..]);
    let (frames, error) = drain(&framing("ascii4"), &smart_vista(), &mut buf);
    assert_eq!((payloads(frames), error), (vec![Bytes::from("0810")], None));
}

/// The text form of each Indonesian header (`iso8583-forwarder`, its `streamers`).
fn streamer(name: &str) -> &'static str {
    match name {
        "bjb" | "bjt" | "bsb" | "bsm" | "btn" | "depok" => "ascii4",
        "bjb_with_suffix" => "length(ascii 4, counts=payload+trailer), trailer(03)",
        "mitracomm" | "bri_way4" => "bin2",
        "pos" => "length(bin 2 le)",
        "bri" => "fixed('ISO'), echo('000000000'), self",
        "bank_kaltim" => "header('ISO041000017', '08': 'ISO041000067'), self",
        "iso12:ISO011000017" => "header('ISO011000017'), self",
        "none" => "none",
        _ => panic!("unknown header {name}"),
    }
}

#[test]
fn indonesian_frames_are_written_as_recorded() {
    let mut seen = BTreeMap::new();
    for vector in lines(INDONESIA_FRAMES) {
        let name = text(&vector, "streamer");
        let mut out = BytesMut::new();
        framing(streamer(name)).encode(&hex(text(&vector, "iso_hex")), b"", &mut out).unwrap();
        assert_eq!(out, hex(text(&vector, "wire_hex")), "{}", text(&vector, "id"));
        *seen.entry(name.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 14, "{seen:?}");
}

/// For each chunk the messages that it completes, as first byte and end in the stream; or the error.
type Given = Result<&'static [&'static [(usize, usize)]], FrameError>;

/// Where we differ on purpose: recorded stream, and what we give.
const DIFFERENT: &[(&str, Given)] = &[
    // Without a length the original takes what one read gives for one message; we read by the dialect, so that two
    // messages in one read are two, and one in two reads is one.
    ("stream-bank_kaltim-two-in-one-read", Ok(&[&[(12, 67), (79, 136)]])),
    ("stream-bank_kaltim-split-read", Ok(&[&[], &[(12, 67)]])),
    ("stream-bri-two-in-one-read", Ok(&[&[(12, 67), (79, 136)]])),
    ("stream-bri-split-read", Ok(&[&[], &[(12, 67)]])),
    ("stream-none-two-in-one-read", Ok(&[&[(0, 55), (55, 112)]])),
    ("stream-none-split-read", Ok(&[&[], &[(0, 55)]])),
    // The original's thread dies.
    ("stream-bjb-bad-length", Err(FrameError::BadDigit { offset: 0 })),
    // The original waits for the next read.
    ("stream-bjb-zero-length-then-frame", Ok(&[&[(8, 63)], &[]])),
    // Python's int() takes blanks for digits, and the trailer is dropped unread: a stream that is out of step.
    ("stream-bjb-space-padded-length", Err(FrameError::BadDigit { offset: 0 })),
    ("stream-bjb_with_suffix-missing-etx", Err(FrameError::BadTrailer { offset: 58 })),
];

#[test]
fn indonesian_streams_are_read_as_recorded_or_better() {
    let schema = network();
    let (mut cases, mut different) = (0, 0);
    for case in lines(INDONESIA_STREAMS) {
        let id = text(&case, "id");
        let framing = framing(streamer(text(&case, "streamer")));
        let chunks = list(&case["chunks_hex"]);
        let stream = chunks.concat();
        let difference = DIFFERENT.iter().find(|(name, _)| *name == id).map(|(_, what)| what);
        let expected: Vec<Vec<Vec<u8>>> = match difference {
            Some(Ok(frames)) => frames
                .iter()
                .map(|part| part.iter().map(|&(from, to)| stream[from..to].to_vec()).collect())
                .collect(),
            Some(Err(_)) => vec![vec![]],
            None => case["frames_hex"].as_array().unwrap().iter().map(list).collect(),
        };
        let mut buf = BytesMut::new();
        for (chunk, expected) in chunks.iter().zip(&expected) {
            buf.extend_from_slice(chunk);
            let (frames, error) = drain(&framing, &schema, &mut buf);
            let expected_error = difference.and_then(|what| what.as_ref().err());
            assert_eq!((payloads(frames), error.as_ref()), (to_bytes(expected), expected_error), "{id}");
        }
        assert_eq!(chunks.len(), expected.len(), "{id}");
        cases += 1;
        different += usize::from(difference.is_some());
    }
    assert_eq!((cases, different), (48, DIFFERENT.len()));
}

fn to_bytes(frames: &[Vec<u8>]) -> Vec<Bytes> {
    frames.iter().cloned().map(Bytes::from).collect()
}
