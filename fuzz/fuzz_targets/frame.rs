//! A stream under each framing: the same frames come out in one piece and in many, the limit holds, nothing grows.
//!
//! Input: one byte for the framing, two for the limit, one for the size of the pieces, then the stream.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use socketqueue::dialect::Dialect;
use socketqueue::framing::{Frame, Framing};

const FRAMINGS: [&str; 16] = [
    "none",
    "ascii4",
    "ascii4-inclusive",
    "bin2",
    "bin2-inclusive",
    "bin4",
    "bcd2",
    "hex4",
    "nac",
    "length(bin 2, counts=payload+trailer), trailer(03)",
    "fixed('ISO'), length(bin 2 le, counts=all, add=10), echo('ABCD'), trailer(0d0a)",
    "length(ascii 4, add=-2)",
    "length(bin 8 le), tpdu(6000000000), fixed(00)",
    "until(0d0a)",
    "fixed('ISO'), echo('011000017'), self",
    "tpdu(6000000000), self, trailer(03)",
];

/// Read once: that takes far longer than a stream.
static SMART_VISTA: LazyLock<Arc<Dialect>> =
    LazyLock::new(|| Dialect::builtin("smartVista").expect("it is built in"));

/// The frames up to the end or an error, whether there was one, and what is left.
fn read(
    framing: &Framing,
    dialect: &Dialect,
    limit: usize,
    stream: &[u8],
    piece: usize,
) -> (Vec<Frame>, bool, BytesMut) {
    let mut buf = BytesMut::with_capacity(stream.len());
    let capacity = buf.capacity();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        buf.extend_from_slice(piece);
        loop {
            let before = buf.len();
            match framing.next_frame(&dialect.schema, limit, &mut buf) {
                Ok(Some(frame)) => {
                    assert!((1..=limit).contains(&frame.payload.len()));
                    assert!(buf.len() < before);
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(_) => return (frames, true, buf),
            }
        }
    }
    assert!(buf.capacity() <= capacity);
    (frames, false, buf)
}

fuzz_target!(|data: &[u8]| {
    let [framing, limit_high, limit_low, piece, stream @ ..] = data else { return };
    let framing =
        Framing::parse(FRAMINGS[usize::from(*framing) % FRAMINGS.len()]).expect("it is in the list above");
    let limit = usize::from(u16::from_be_bytes([*limit_high, *limit_low]));
    let (frames, failed, rest) = read(&framing, &SMART_VISTA, limit, stream, stream.len().max(1));
    let (frames_in_pieces, failed_in_pieces, rest_in_pieces) =
        read(&framing, &SMART_VISTA, limit, stream, usize::from(*piece).max(1));
    assert_eq!(frames, frames_in_pieces);
    assert_eq!(failed, failed_in_pieces);
    if !failed {
        assert_eq!(rest, rest_in_pieces);
    }
    for frame in frames {
        // What was read can be written; only what ends a frame cannot stand in it.
        let mut out = BytesMut::new();
        framing.encode(&frame.payload, &frame.envelope, &mut out).expect("what was read can be written");
        assert_eq!(out.len(), frame.payload.len() + framing.overhead());
    }
});
