//! The length in front of a variable field.

use super::ebcdic;
use super::field::FieldNumber;
use super::parse_error::ParseError;
use super::plan::Plan;
use super::schema::{Counts, Encoding, Prefix};

/// How long a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Digits, characters or bytes.
    pub units: usize,
    /// Bytes on the wire, the prefix not counted.
    pub bytes: usize,
}

impl Extent {
    /// That of a value of so many units.
    pub(super) fn of_units(plan: &Plan, units: usize) -> Extent {
        Extent { units, bytes: plan.encoding.wire_len(units) }
    }
}

/// How many bytes follow the prefix of an [`Ascii`](super::plan::Shape::Ascii) field at `at`; `None` if anything is
/// wrong with it.
#[inline]
pub(super) fn ascii(plan: &Plan, buf: &[u8], at: usize) -> Option<usize> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    let &[a, b] = buf.get(at..)?.first_chunk::<2>()?;
    let (a, b) = (digit(a), digit(b));
    let two = a * 10 + b;
    let (len, last) = match plan.prefix_len {
        2 => (two, 0),
        _ => {
            let c = digit(*buf.get(at + 2)?);
            (two * 10 + c, c)
        }
    };
    (a <= 9 && b <= 9 && last <= 9 && len <= usize::from(plan.max)).then_some(len)
}

/// The same for a [`Packed`](super::plan::Shape::Packed) field.
#[inline]
pub(super) fn packed(plan: &Plan, buf: &[u8], at: usize) -> Option<usize> {
    let first = *buf.get(at)?;
    let mut len = two_digits(first)?;
    if plan.prefix_len == 2 {
        len = len * 100 + two_digits(*buf.get(at + 1)?)?;
    }
    (len <= usize::from(plan.max)).then_some(len)
}

#[inline]
fn two_digits(byte: u8) -> Option<usize> {
    let (high, low) = (byte >> 4, byte & 0xF);
    (high <= 9 && low <= 9).then_some(usize::from(high) * 10 + usize::from(low))
}

/// The length of the field at `at`, whatever its form. Of a prefix cut off, what is there is checked first.
pub(super) fn read(plan: &Plan, n: FieldNumber, buf: &[u8], at: usize) -> Result<Extent, ParseError> {
    if plan.is_fixed() {
        return Ok(Extent::of_units(plan, usize::from(plan.max)));
    }
    let needed = at + usize::from(plan.prefix_len);
    let there = buf.get(at..needed.min(buf.len())).unwrap_or_default();
    let count =
        count(plan, there).map_err(|index| ParseError::BadLengthDigit { field: n, offset: at + index })?;
    if buf.len() < needed {
        return Err(ParseError::Truncated { field: n, offset: at, needed, have: buf.len() });
    }
    let max = match plan.counts {
        Counts::Units => usize::from(plan.max),
        Counts::Bytes => usize::from(plan.wire_max),
    };
    if count > max {
        return Err(ParseError::TooLong { field: n, offset: at, len: count, max });
    }
    match (plan.counts, plan.encoding) {
        (Counts::Units, _) => Ok(Extent::of_units(plan, count)),
        (Counts::Bytes, Encoding::HexText) if count % 2 == 1 => {
            Err(ParseError::OddHex { field: n, offset: at, len: count })
        }
        (Counts::Bytes, Encoding::HexText) => Ok(Extent { units: count / 2, bytes: count }),
        (Counts::Bytes, Encoding::Bcd { .. }) => Ok(Extent { units: count * 2, bytes: count }),
        (Counts::Bytes, _) => Ok(Extent { units: count, bytes: count }),
    }
}

/// The count that the bytes of a prefix say, or the index of the first that is no digit.
fn count(plan: &Plan, prefix: &[u8]) -> Result<usize, usize> {
    let mut count = 0;
    for (index, byte) in prefix.iter().enumerate() {
        count = match plan.prefix {
            Prefix::Binary(_) => count << 8 | usize::from(*byte),
            Prefix::Bcd(_) => count * 100 + two_digits(*byte).ok_or(index)?,
            Prefix::Characters(_) => {
                let character = if plan.is_ebcdic { ebcdic::decode(*byte) } else { *byte };
                if !character.is_ascii_digit() {
                    return Err(index);
                }
                count * 10 + usize::from(character - b'0')
            }
        };
    }
    Ok(count)
}

/// Writes the prefix of a value of that length, at most 4 bytes, into the front of `out`; returns how many. Nothing
/// for a fixed field.
pub(super) fn write(plan: &Plan, len: Extent, out: &mut [u8; 4]) -> usize {
    let mut count = match plan.counts {
        Counts::Units => len.units,
        Counts::Bytes => len.bytes,
    };
    let width = usize::from(plan.prefix_len).min(out.len());
    for byte in out[..width].iter_mut().rev() {
        match plan.prefix {
            Prefix::Binary(_) => {
                *byte = (count & 0xFF) as u8;
                count >>= 8;
            }
            Prefix::Bcd(_) => {
                *byte = (count / 10 % 10) as u8 * 0x10 + (count % 10) as u8;
                count /= 100;
            }
            Prefix::Characters(_) => {
                let digit = b'0' + (count % 10) as u8;
                *byte = if plan.is_ebcdic { ebcdic::encode(digit) } else { digit };
                count /= 10;
            }
        }
    }
    width
}
