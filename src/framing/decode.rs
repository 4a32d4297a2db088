//! Reading: frames off a stream.

use bytes::{Buf, Bytes, BytesMut};

use super::layout::{End, Layout};
use super::length::{BadDigit, LengthField};
use super::{Frame, FrameError, Framing};
use crate::iso8583::{Message, Schema};

/// What stands at the front of a buffer.
enum Found {
    /// A frame with so many bytes of payload, all there.
    Frame(usize),
    /// A keep-alive of so many bytes, all there.
    KeepAlive(usize),
    /// Not enough to tell, or not all of it.
    Incomplete,
}

impl Framing {
    /// Takes the next frame off `buf`. Nothing is copied: payload and envelope share the buffer's memory.
    ///
    /// Returns `Ok(None)` while the frame is incomplete; `buf` then keeps it. Keep-alives are taken off and skipped.
    /// `buf` is never reserved for: the reader reads into it as much as it likes, and has all it needs when
    /// [`overhead`](Framing::overhead) + `limit` bytes are in it. `schema` is used when the dialect tells where a
    /// message ends.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the payload has more than `limit` bytes, as soon as that is known; a byte of the
    /// length, of a fixed part or of the trailer that is wrong, as soon as it is there, whatever is missing; bytes that
    /// are no message of `schema`. The stream cannot be read on after any of them; `buf` keeps the bad frame.
    ///
    /// # Examples
    /// ```
    /// # use socketqueue::framing::Framing;
    /// # use socketqueue::iso8583::schema::{BitmapForm, Encoding, Schema, Tertiary};
    /// # let schema = Schema::new(Encoding::Ascii, BitmapForm { hex: true, groups: 2, tertiary: Tertiary::Contiguous });
    /// let framing = Framing::parse("ascii4").unwrap();
    /// let mut buf = bytes::BytesMut::from(&b"0000000408000004"[..]);
    /// assert_eq!(framing.next_frame(&schema, 9999, &mut buf).unwrap().unwrap().payload, "0800");
    /// assert_eq!(framing.next_frame(&schema, 9999, &mut buf), Ok(None));
    /// assert_eq!(buf, "0004");
    /// ```
    #[inline]
    pub fn next_frame(
        &self,
        schema: &Schema,
        limit: usize,
        buf: &mut BytesMut,
    ) -> Result<Option<Frame>, FrameError> {
        if let Some(len) = self.layout.plain_payload_len(limit, buf) {
            return Ok(Some(self.layout.take(len, buf)));
        }
        self.next_frame_general(schema, limit, buf)
    }

    #[inline(never)]
    fn next_frame_general(
        &self,
        schema: &Schema,
        limit: usize,
        buf: &mut BytesMut,
    ) -> Result<Option<Frame>, FrameError> {
        loop {
            match self.layout.find(schema, limit, buf)? {
                Found::Frame(len) => return Ok(Some(self.layout.take(len, buf))),
                // At least one byte each, so the loop ends with the buffer.
                Found::KeepAlive(len) => buf.advance(len),
                Found::Incomplete => return Ok(None),
            }
        }
    }

    /// The same from bytes that stay where they are: payload and envelope are copies, and `bytes` goes on behind the
    /// frame. For readers that keep no buffer of their own.
    ///
    /// # Errors
    /// As [`Framing::next_frame`].
    #[inline]
    pub fn copy_frame(
        &self,
        schema: &Schema,
        limit: usize,
        bytes: &mut &[u8],
    ) -> Result<Option<Frame>, FrameError> {
        if let Some(len) = self.layout.plain_payload_len(limit, bytes) {
            return Ok(Some(self.layout.copy(len, bytes)));
        }
        self.copy_frame_general(schema, limit, bytes)
    }

    #[inline(never)]
    fn copy_frame_general(
        &self,
        schema: &Schema,
        limit: usize,
        bytes: &mut &[u8],
    ) -> Result<Option<Frame>, FrameError> {
        loop {
            match self.layout.find(schema, limit, bytes)? {
                Found::Frame(len) => return Ok(Some(self.layout.copy(len, bytes))),
                Found::KeepAlive(len) => bytes.advance(len),
                Found::Incomplete => return Ok(None),
            }
        }
    }
}

impl Layout {
    /// How long the payload at the front of `buf` is, if its frame is a plain one, whole and in order.
    #[inline]
    fn plain_payload_len(&self, limit: usize, buf: &[u8]) -> Option<usize> {
        self.plain.as_ref()?.payload_len(limit, buf)
    }

    fn find(&self, schema: &Schema, limit: usize, buf: &[u8]) -> Result<Found, FrameError> {
        if buf.is_empty() {
            return Ok(Found::Incomplete);
        }
        match &self.end {
            End::Length(field) => self.find_by_length(field, limit, buf),
            End::Until(bytes) => self.find_until(bytes, limit, buf),
            End::Message => self.find_message(schema, limit, buf),
        }
    }

    fn find_by_length(&self, field: &LengthField, limit: usize, buf: &[u8]) -> Result<Found, FrameError> {
        self.check_fixed(buf.get(..field.at).unwrap_or(buf))?;
        let number = match field.read(buf) {
            Ok(Some(number)) => number,
            Ok(None) => return Ok(Found::Incomplete),
            Err(BadDigit(offset)) => return Err(FrameError::BadDigit { offset }),
        };
        let payload = field.payload_of(number);
        // Where a constant is subtracted, 0 can also mean a payload.
        if payload.is_none_or(|len| len == 0) && (number == 0 || number == field.nothing) {
            return Ok(Found::KeepAlive(field.end()));
        }
        let Some(payload) = payload else {
            let least = field.empty.unsigned_abs();
            return Err(FrameError::TooShort { offset: field.at, actual: number, least });
        };
        let len = match usize::try_from(payload) {
            Ok(len) if len <= limit => len,
            _ => return Err(FrameError::TooLong { limit, actual: payload }),
        };
        self.check_fixed(buf)?;
        self.complete(len, buf)
    }

    fn find_until(&self, end: &[u8], limit: usize, buf: &[u8]) -> Result<Found, FrameError> {
        self.check_fixed(buf)?;
        let body = buf.get(self.head.len()..).unwrap_or_default();
        // A payload of `limit` bytes and what ends it must be found in as many bytes.
        let window_len = limit.saturating_add(end.len());
        let window = body.get(..window_len).unwrap_or(body);
        match position_of(end, window) {
            Some(0) => Ok(Found::KeepAlive(self.head.len() + end.len())),
            Some(len) => Ok(Found::Frame(len)),
            None if window.len() == window_len => {
                Err(FrameError::TooLong { limit, actual: body.len() as u64 })
            }
            None => Ok(Found::Incomplete),
        }
    }

    fn find_message(&self, schema: &Schema, limit: usize, buf: &[u8]) -> Result<Found, FrameError> {
        self.check_fixed(buf)?;
        let body = buf.get(self.head.len()..).unwrap_or_default();
        if body.is_empty() {
            return Ok(Found::Incomplete);
        }
        match Message::measure(schema, body)? {
            Some(len) if len > limit => Err(FrameError::TooLong { limit, actual: len as u64 }),
            Some(len @ 1..) => self.complete(len, buf),
            // It has at least one byte more than are there.
            _ if body.len() >= limit => Err(FrameError::TooLong { limit, actual: body.len() as u64 + 1 }),
            _ => Ok(Found::Incomplete),
        }
    }

    /// Whether a frame with `len` bytes of payload is there as a whole, and its trailer right.
    fn complete(&self, len: usize, buf: &[u8]) -> Result<Found, FrameError> {
        let trailer_at = self.head.len() + len;
        let trailer = buf.get(trailer_at..).unwrap_or_default();
        if let Some(i) = mismatch(&self.trailer, trailer) {
            return Err(FrameError::BadTrailer { offset: trailer_at + i });
        }
        let total = trailer_at + self.trailer.len();
        Ok(match len {
            _ if buf.len() < total => Found::Incomplete,
            0 => Found::KeepAlive(total),
            _ => Found::Frame(len),
        })
    }

    /// Compares the fixed parts of the header as far as they are there.
    fn check_fixed(&self, buf: &[u8]) -> Result<(), FrameError> {
        for fixed in &self.fixed {
            let there = buf.get(fixed.at..).unwrap_or_default();
            if let Some(i) = mismatch(&fixed.bytes, there) {
                return Err(FrameError::BadHeader { offset: fixed.at + i });
            }
        }
        Ok(())
    }

    /// Splits a frame off that [`Layout::find`] has found whole.
    #[inline(always)]
    fn take(&self, len: usize, buf: &mut BytesMut) -> Frame {
        let mut payload = buf.split_to(self.head.len() + len + self.after_payload()).freeze();
        let envelope = self.envelope().map_or_else(Bytes::new, |range| payload.slice(range));
        payload.advance(self.head.len());
        payload.truncate(len);
        Frame { payload, envelope }
    }

    /// Copies a frame that [`Layout::find`] has found whole, and goes on behind it.
    #[inline(always)]
    fn copy(&self, len: usize, bytes: &mut &[u8]) -> Frame {
        let copy = |range| Bytes::copy_from_slice(bytes.get(range).unwrap_or_default());
        let envelope = self.envelope().map_or_else(Bytes::new, copy);
        let payload_at = self.head.len();
        let payload = copy(payload_at..payload_at + len);
        bytes.advance(payload_at + len + self.after_payload());
        Frame { payload, envelope }
    }
}

/// Where `there` first differs from `expected`, as far as both reach.
fn mismatch(expected: &[u8], there: &[u8]) -> Option<usize> {
    expected.iter().zip(there).position(|(expected, there)| expected != there)
}

/// Where `needle`, which is not empty, first stands in `bytes`.
pub(super) fn position_of(needle: &[u8], bytes: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    #[test]
    fn a_frame_copied_off_a_slice_is_the_one_that_would_be_split_off() {
        let schema = &Dialect::builtin("smartVista").unwrap().schema;
        let message = include_bytes!("../../sample_payloads/sv_200_purchase.txt");
        let tpdu = "length(bin 2, counts=payload+after), tpdu(6000010000)";
        for text in [
            "ascii4",
            "ascii4-inclusive",
            "bin2",
            tpdu,
            "length(bin 2), trailer(03)",
            "until('#EOM#')",
            "none",
        ] {
            let framing = Framing::parse(text).unwrap();
            let mut stream = BytesMut::new();
            for _ in 0..2 {
                framing.encode(message, b"", &mut stream).unwrap();
            }
            if text == "ascii4" {
                stream.extend_from_slice(b"0000000x");
            }
            for len in 0..=stream.len() {
                let mut split = BytesMut::from(&stream[..len]);
                let mut copied = &stream[..len];
                for _ in 0..3 {
                    let next = framing.next_frame(schema, 9999, &mut split);
                    assert_eq!(framing.copy_frame(schema, 9999, &mut copied), next, "{text} {len}");
                    assert_eq!(copied, split, "{text} {len}");
                }
            }
        }
    }
}
