//! The frames that nearly all streams are made of: four digits or two bytes of length, then the payload.
//!
//! A way of their own, for each transaction has four of them. Whatever is unusual about one (bytes that are missing, no
//! digit, a keep-alive, a size out of bounds) is left to the general way, which knows what to call it.

use bytes::BytesMut;

use super::FRAME_LEN_CAP;
use super::layout::{End, Layout};
use super::length::Code;

/// A header that is such a length and nothing else, without a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    code: PlainCode,
    /// What the length says for an empty payload: 0, or its own size.
    empty: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainCode {
    FourDigits,
    TwoBytes,
}

impl Plain {
    /// Frames of this layout, if they are plain.
    pub(super) fn of(layout: &Layout) -> Option<Plain> {
        let End::Length(field) = &layout.end else { return None };
        let is_all = layout.head.len() == field.width
            && layout.fixed.is_empty()
            && layout.choices.is_empty()
            && layout.echoes.is_empty()
            && layout.trailer.is_empty();
        let code = match (field.code, field.width) {
            (Code::Ascii, 4) if is_all => PlainCode::FourDigits,
            (Code::Big, 2) if is_all => PlainCode::TwoBytes,
            _ => return None,
        };
        Some(Plain { code, empty: usize::try_from(field.empty).ok()? })
    }

    /// How long the payload at the front of `buf` is, if all of it is there and it has 1 to `limit` bytes.
    #[inline]
    pub(super) fn payload_len(&self, limit: usize, buf: &[u8]) -> Option<usize> {
        let (number, rest) = match self.code {
            PlainCode::FourDigits => {
                let (digits, rest) = buf.split_first_chunk()?;
                (number_of(*digits)?, rest)
            }
            PlainCode::TwoBytes => {
                let (bytes, rest) = buf.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*bytes)), rest)
            }
        };
        let len = number.checked_sub(self.empty)?;
        (len > 0 && len <= limit && len <= rest.len()).then_some(len)
    }

    /// Appends a frame to `out`. `false`: its payload can't be written, and nothing was.
    #[inline(always)]
    pub(super) fn write(&self, payload: &[u8], out: &mut BytesMut) -> bool {
        let number = payload.len() + self.empty;
        let highest = match self.code {
            PlainCode::FourDigits => 9999,
            PlainCode::TwoBytes => usize::from(u16::MAX),
        };
        if payload.is_empty() || payload.len() > FRAME_LEN_CAP || number > highest {
            return false;
        }
        let number = number as u16;
        match self.code {
            PlainCode::FourDigits => {
                out.reserve(4 + payload.len());
                out.extend_from_slice(&digits_of(number));
            }
            PlainCode::TwoBytes => {
                out.reserve(2 + payload.len());
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        true
    }
}

/// The number that four digits say.
fn number_of(digits: [u8; 4]) -> Option<usize> {
    let digits = digits.map(|digit| digit.wrapping_sub(b'0'));
    let is_number = digits.iter().all(|digit| *digit <= 9);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + usize::from(*digit)))
}

/// The four digits of a number up to 9999.
fn digits_of(number: u16) -> [u8; 4] {
    [number / 1000, number / 100 % 10, number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8)
}

#[cfg(test)]
mod tests {
    use super::super::Framing;
    use super::*;
    use crate::dialect::Dialect;

    /// The same framing, which goes the general way.
    fn general(framing: &Framing) -> Framing {
        let mut general = framing.clone();
        general.layout.plain = None;
        general
    }

    #[test]
    fn only_a_length_and_nothing_else_is_plain() {
        let is_plain = |text: &str| Framing::parse(text).unwrap().layout.plain.is_some();
        for text in ["ascii4", "ascii4-inclusive", "bin2", "bin2-inclusive"] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "bin4",
            "hex4",
            "nac",
            "none",
            "length(bin 2 le)",
            "length(ascii 4, add=-1)",
            "length(ascii 4), trailer(03)",
            "length(bin 2, counts=payload+after), tpdu(6000010000)",
            "fixed(0000), length(bin 2)",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn plain_frames_are_read_as_in_the_general_way() {
        let schema = &Dialect::builtin("smartVista").unwrap().schema;
        let streams: [&[u8]; 12] = [
            b"00040800",
            b"00080800",
            b"0004080000040810",
            b"0000000400080800",
            b"0003080",
            b"00x40800",
            b"0005080012",
            b"0006080012",
            b"99990800",
            b"\x00\x040800\x00\x00\x00\x060800",
            b"\x00\x01\x00\x02\x00\x03",
            b"\xff\xff0800",
        ];
        for text in ["ascii4", "ascii4-inclusive", "bin2", "bin2-inclusive"] {
            let framing = Framing::parse(text).unwrap();
            for stream in streams {
                for (len, limit) in (0..=stream.len()).flat_map(|len| [(len, 4), (len, 5), (len, 9999)]) {
                    let (mut plainly, mut generally) = (&stream[..len], &stream[..len]);
                    let expected = general(&framing).copy_frame(schema, limit, &mut generally);
                    assert_eq!(
                        framing.copy_frame(schema, limit, &mut plainly),
                        expected,
                        "{text} {stream:?}"
                    );
                    assert_eq!(plainly, generally, "{text} {stream:?} {len}");
                }
            }
        }
    }

    #[test]
    fn plain_frames_are_written_as_in_the_general_way() {
        for text in ["ascii4", "ascii4-inclusive", "bin2", "bin2-inclusive"] {
            let framing = Framing::parse(text).unwrap();
            for len in [
                0, 1, 9, 10, 263, 1234, 9994, 9995, 9996, 9999, 10_000, 65_532, 65_533, 65_534, 65_535,
                65_536,
            ] {
                let payload = vec![b'8'; len];
                let mut plainly = BytesMut::from(&b"before"[..]);
                let mut generally = plainly.clone();
                let expected = general(&framing).encode(&payload, b"", &mut generally);
                assert_eq!(framing.encode(&payload, b"", &mut plainly), expected, "{text} {len}");
                assert_eq!(plainly, generally, "{text} {len}");
                assert_eq!(
                    framing.encode(&payload, b"x", &mut plainly),
                    general(&framing).encode(&payload, b"x", &mut generally),
                    "{text} {len}, with an envelope that is not its own"
                );
            }
        }
    }
}
