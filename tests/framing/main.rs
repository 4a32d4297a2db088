//! Framing: every preset and the text form, at every split point, at the bounds, against recorded streams and noise.

// Clippy lets test functions unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use socketqueue::framing::{Frame, FrameError, Framing};
use socketqueue::iso8583::Schema;

mod bounds;
mod cases;
mod golden;
mod noise;
mod spec_text;
mod split;
mod writing;

/// Larger than every message here.
const LIMIT: usize = 9999;

fn framing(text: &str) -> Framing {
    Framing::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd hex text");
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// All frames that `buf` holds, and the error that ended the reading.
fn drain(framing: &Framing, schema: &Schema, buf: &mut BytesMut) -> (Vec<Frame>, Option<FrameError>) {
    let mut frames = Vec::new();
    loop {
        match framing.next_frame(schema, LIMIT, buf) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

fn payloads(frames: Vec<Frame>) -> Vec<Bytes> {
    frames.into_iter().map(|frame| frame.payload).collect()
}
