//! Writing: frames onto a stream.

use bytes::BytesMut;

use super::decode::position_of;
use super::layout::{Echo, End, Layout};
use super::{FRAME_LEN_CAP, FrameError, Framing};

impl Framing {
    /// Appends one framed message to `out`, which grows at most once.
    ///
    /// `envelope` is that of the frame which is answered (its TPDU addresses are swapped), or empty for a frame of our
    /// own, which carries the configured header.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the payload is longer than the length field can say or than [`FRAME_LEN_CAP`];
    /// [`FrameError::TooShort`] when a subtracted constant would make the length negative; [`FrameError::Empty`];
    /// [`FrameError::HoldsDelimiter`] when the payload holds what would end it; [`FrameError::ForeignEnvelope`]. `out`
    /// is then as it was.
    #[inline]
    pub fn encode(&self, payload: &[u8], envelope: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
        if envelope.is_empty()
            && let Some(plain) = &self.layout.plain
            && plain.write(payload, out)
        {
            return Ok(());
        }
        self.encode_general(payload, envelope, out)
    }

    #[inline(never)]
    fn encode_general(&self, payload: &[u8], envelope: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
        let number = self.layout.check_payload(payload)?;
        self.layout.check_envelope(envelope)?;
        out.reserve(self.overhead() + payload.len());
        let start = out.len();
        out.extend_from_slice(&self.layout.head);
        if let Some(head) = out.get_mut(start..) {
            self.layout.fill(number, payload, envelope, head);
        }
        out.extend_from_slice(payload);
        let after: &[u8] = match &self.layout.end {
            End::Until(bytes) => bytes,
            End::Length(_) | End::Message => &self.layout.trailer,
        };
        if !after.is_empty() {
            out.extend_from_slice(after);
        }
        Ok(())
    }
}

impl Layout {
    /// What the length field has to say; 0 where there is none.
    fn check_payload(&self, payload: &[u8]) -> Result<u64, FrameError> {
        let len = payload.len();
        let too_long = |limit| FrameError::TooLong { limit, actual: len as u64 };
        if len == 0 {
            return Err(FrameError::Empty);
        }
        if len > FRAME_LEN_CAP {
            return Err(too_long(FRAME_LEN_CAP));
        }
        match &self.end {
            End::Length(field) => match field.number_of(len) {
                Some(number) => Ok(number),
                None if (len as i64) < -field.empty => {
                    let least = field.empty.unsigned_abs();
                    Err(FrameError::TooShort { offset: field.at, actual: len as u64, least })
                }
                None => Err(too_long(usize::try_from(field.payload_max()).unwrap_or(FRAME_LEN_CAP))),
            },
            End::Until(bytes) => match position_of(bytes, payload).or_else(|| overlap_of(bytes, payload)) {
                Some(offset) => Err(FrameError::HoldsDelimiter { offset }),
                None => Ok(0),
            },
            End::Message => Ok(0),
        }
    }

    fn check_envelope(&self, envelope: &[u8]) -> Result<(), FrameError> {
        if envelope.is_empty() {
            return Ok(());
        }
        let expected = self.envelope().map_or(0, |range| range.len());
        if envelope.len() == expected {
            return Ok(());
        }
        Err(FrameError::ForeignEnvelope { expected, actual: envelope.len() })
    }

    /// Turns the template in `head` into the header of this frame.
    fn fill(&self, number: u64, payload: &[u8], envelope: &[u8], head: &mut [u8]) {
        // The later of two that fit must not win, so the last is written first.
        for choice in self.choices.iter().rev().filter(|choice| payload.starts_with(&choice.when)) {
            put(head, choice.at, &choice.bytes);
        }
        if !envelope.is_empty()
            && let Some(range) = self.envelope()
        {
            for echo in &self.echoes {
                let at = echo.at - range.start;
                if let Some(bytes) = envelope.get(at..at + echo.len) {
                    echo.put_back(bytes, head);
                }
            }
        }
        if let End::Length(field) = &self.end
            && let Some(bytes) = head.get_mut(field.at..field.end())
        {
            field.write(number, bytes);
        }
    }
}

impl Echo {
    /// Writes what the peer sent; a TPDU (identifier 1 byte, destination 2, source 2) with destination and source
    /// exchanged.
    fn put_back(&self, bytes: &[u8], head: &mut [u8]) {
        match *bytes {
            [id, to_high, to_low, from_high, from_low] if self.swap => {
                put(head, self.at, &[id, from_high, from_low, to_high, to_low]);
            }
            _ => put(head, self.at, bytes),
        }
    }
}

/// Where at the end of `payload` the bytes `end` begin, so that they are complete too early once `end` follows.
fn overlap_of(end: &[u8], payload: &[u8]) -> Option<usize> {
    let first = payload.len().saturating_sub(end.len() - 1);
    (first..payload.len()).find(|&at| {
        let (seen, rest) = end.split_at(payload.len() - at);
        payload.ends_with(seen) && end.starts_with(rest)
    })
}

/// Overwrites bytes of the header, which the layout made long enough for each of its parts.
fn put(head: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = head.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
