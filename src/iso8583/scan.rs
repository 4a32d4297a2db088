//! Reading: where MTI, bitmap and fields stand, and whether their bytes are what the schema says. Decodes no value.

use super::bitmap::Bitmap;
use super::digits::{all_digits, hex_digit};
use super::ebcdic;
use super::field::{self, FieldNumber};
use super::mti::Mti;
use super::parse_error::ParseError;
use super::plan::{Check, Plan, Shape};
use super::prefix;
use super::schema::{Content, Counts, Encoding, Schema, Side, Tertiary};
use super::spans::{Span, Track};

const FIRST_BIT: u64 = 1 << 63;

/// What stands in front of the fields. Made empty, and read in place: it is too large to be handed on and on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub mti: Mti,
    /// The fields by group, without the bits that announce a further group.
    pub fields: [u64; 3],
    /// Groups that stand here, in front of the fields.
    pub groups: u8,
    /// DE 65 is the tertiary bitmap.
    pub announces_65: bool,
    /// Where that bitmap stands, once it was read; 0 before.
    pub tertiary_at: usize,
    /// Where the fields begin.
    pub end: usize,
}

/// How strictly a bitmap is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// A bit whose field the dialect lacks is an error at once.
    Refused,
    /// It is an error only when its turn comes.
    Met,
}

/// Reads MTI and bitmap into an empty head. What is there of a truncated one is checked first: the error is then the more
/// telling one.
#[inline(always)]
pub(super) fn read_head(
    schema: &Schema,
    buf: &[u8],
    unknown: Unknown,
    head: &mut Head,
) -> Result<(), ParseError> {
    (head.mti, head.end) = read_mti(schema, buf)?;
    for group in 0..schema.groups() {
        let announcer = schema.announcer(group);
        let bits = read_group(schema, buf, head.end, group, schema.known_in(group) | announcer, unknown)?;
        head.fields[group] = bits & !announcer;
        head.end += group_len(schema);
        head.groups += 1;
        if bits & announcer == 0 {
            break;
        }
        if group == 1 && schema.bitmap.tertiary == Tertiary::InField65 {
            head.announces_65 = true;
            break;
        }
    }
    if unknown == Unknown::Refused && head.fields == [0; 3] && !head.announces_65 {
        return Err(ParseError::NoFields);
    }
    Ok(())
}

/// Bytes that a group of 64 bits takes up.
pub(super) fn group_len(schema: &Schema) -> usize {
    if schema.bitmap.hex { 16 } else { 8 }
}

/// Goes through the fields. Returns where the last ends; on an error `track` has the fields in front of the trouble.
///
/// With [`Unknown::Refused`] the tertiary bitmap in DE 65 is held to the fields known too; those of `head` were.
#[inline]
pub(super) fn walk(
    schema: &Schema,
    buf: &[u8],
    head: &mut Head,
    unknown: Unknown,
    track: &mut impl Track,
) -> Result<usize, ParseError> {
    if let Some(end) = walk_fast(schema, buf, head, track) {
        return Ok(end);
    }
    track.clear();
    walk_carefully(schema, buf, head, unknown, track)
}

/// `None` as soon as anything is out of the ordinary or wrong. Digits of neighbouring fixed fields are checked in one
/// go.
#[inline]
fn walk_fast(schema: &Schema, buf: &[u8], head: &Head, track: &mut impl Track) -> Option<usize> {
    if head.announces_65 {
        return None;
    }
    let mut at = head.end;
    // From here on there are digits still to be checked.
    let mut unchecked = at;
    for group in 0..usize::from(head.groups) {
        // Backwards, since the lowest bit is the one that is cheap to take off.
        let mut rest = head.fields.get(group)?.reverse_bits();
        let plans = schema.plans_of(group)?;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            let plan = plans.get(bit as usize)?;
            let start = at;
            let len = match plan.shape {
                Shape::FixedDigits => {
                    at += usize::from(plan.wire_max);
                    track.put(group, bit, Span::new(start, at));
                    continue;
                }
                Shape::Fixed => usize::from(plan.wire_max),
                Shape::Ascii => prefix::ascii(plan, buf, start)?,
                Shape::Packed => prefix::packed(plan, buf, start)?,
                Shape::Variable | Shape::Absent => return None,
            };
            let value = start + usize::from(plan.prefix_len);
            at = value + len;
            let bytes = buf.get(value..at)?;
            let fine = match plan.check {
                Check::None => true,
                Check::Digits => all_digits(bytes),
                Check::Encoding => false,
            };
            if !fine || !all_digits(buf.get(unchecked..start)?) {
                return None;
            }
            track.put(group, bit, Span::new(start, at));
            unchecked = at;
        }
    }
    all_digits(buf.get(unchecked..at)?).then_some(at)
}

/// Field by field, for every encoding and with every trouble named.
#[inline(never)]
fn walk_carefully(
    schema: &Schema,
    buf: &[u8],
    head: &mut Head,
    unknown: Unknown,
    track: &mut impl Track,
) -> Result<usize, ParseError> {
    let mut at = head.end;
    for group in 0..3 {
        if group == 1 && head.announces_65 {
            let known = schema.known().groups()[2];
            head.fields[2] = read_group(schema, buf, at, 2, known, unknown)?;
            head.tertiary_at = at;
            at += group_len(schema);
        }
        let mut rest = head.fields[group];
        while rest != 0 {
            let bit = rest.leading_zeros();
            rest &= !(FIRST_BIT >> bit);
            let n = number(group, bit);
            let end = field_end(schema.plan(n), n, buf, at)?;
            track.put(group, bit, Span::new(at, end));
            at = end;
        }
    }
    Ok(at)
}

/// Where the field at `at` ends, its bytes checked.
fn field_end(plan: &Plan, n: FieldNumber, buf: &[u8], at: usize) -> Result<usize, ParseError> {
    if plan.shape == Shape::Absent {
        return Err(ParseError::UnknownField { field: n, offset: at });
    }
    let len = prefix::read(plan, n, buf, at)?;
    let value = at + usize::from(plan.prefix_len);
    let end = value + len.bytes;
    let there = buf.get(value..end.min(buf.len())).unwrap_or_default();
    check_bytes(plan, n, there, value, len)?;
    if end > buf.len() {
        return Err(ParseError::Truncated { field: n, offset: at, needed: end, have: buf.len() });
    }
    Ok(end)
}

/// Looks through the bytes of a value, or through those that have arrived; `offset` is where they stand.
fn check_bytes(
    plan: &Plan,
    n: FieldNumber,
    there: &[u8],
    offset: usize,
    len: prefix::Extent,
) -> Result<(), ParseError> {
    let bad_digit = |at| Err(ParseError::BadDigit { field: n, offset: offset + at });
    let wrong = match (plan.encoding, plan.content) {
        (Encoding::Ascii, Content::Digits) => there.iter().position(|byte| !byte.is_ascii_digit()),
        (Encoding::Ebcdic, Content::Digits) => there.iter().position(|byte| !(0xF0..=0xF9).contains(byte)),
        (Encoding::HexText, _) => {
            let character = |byte| if plan.is_ebcdic { ebcdic::decode(byte) } else { byte };
            there.iter().position(|byte| hex_digit(character(*byte)).is_none())
        }
        (Encoding::Bcd { pad, fill }, content) => {
            let wrong = wrong_nibble(pad, fill, content == Content::Digits, plan.counts, there, len);
            let Some(at) = wrong else { return Ok(()) };
            return Err(ParseError::BadNibble { field: n, offset: offset + at });
        }
        _ => None,
    };
    wrong.map_or(Ok(()), bad_digit)
}

/// The byte of the first nibble that is neither digit nor the filler in its place.
fn wrong_nibble(
    pad: Side,
    fill: u8,
    digits_only: bool,
    counts: Counts,
    there: &[u8],
    len: prefix::Extent,
) -> Option<usize> {
    let filler = match pad {
        Side::Left => 0,
        Side::Right => (len.bytes * 2).saturating_sub(1),
    };
    let is_odd = len.units % 2 == 1;
    let may_be_filled = counts == Counts::Bytes && fill == 0xF;
    let nibbles = there.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
    let wrong = nibbles.enumerate().position(|(at, nibble)| {
        if at == filler && is_odd {
            return nibble != fill;
        }
        digits_only && nibble > 9 && !(at == filler && may_be_filled && nibble == fill)
    });
    wrong.map(|nibble| nibble / 2)
}

#[inline]
fn read_mti(schema: &Schema, buf: &[u8]) -> Result<(Mti, usize), ParseError> {
    if schema.mti == Encoding::Ascii
        && let Some(four) = buf.first_chunk::<4>()
        && let Some(mti) = Mti::parse(four)
        && mti.class() > 0
    {
        return Ok((mti, 4));
    }
    read_mti_carefully(schema, buf)
}

#[inline(never)]
fn read_mti_carefully(schema: &Schema, buf: &[u8]) -> Result<(Mti, usize), ParseError> {
    let width = mti_len(schema);
    let there = buf.get(..width.min(buf.len())).unwrap_or_default();
    let mut digits = [b'0'; 4];
    let mut count = 0;
    for (offset, byte) in there.iter().enumerate() {
        let (byte, packed) = match schema.mti {
            Encoding::Bcd { .. } | Encoding::Binary => (b'0' + (byte & 0xF), Some(b'0' + (byte >> 4))),
            Encoding::Ebcdic => (ebcdic::decode(*byte), None),
            _ => (*byte, None),
        };
        for digit in packed.into_iter().chain([byte]) {
            // The second digit is the class; 0 is reserved (ISO 8583-1, 4.1), and zero bytes must be no message.
            if !digit.is_ascii_digit() || (count == 1 && digit == b'0') {
                return Err(ParseError::BadMti { offset });
            }
            digits[count] = digit;
            count += 1;
        }
    }
    if there.len() < width {
        return Err(ParseError::Truncated { field: field::MTI, offset: 0, needed: width, have: buf.len() });
    }
    let mti = Mti::parse(&digits).ok_or(ParseError::BadMti { offset: 0 })?;
    Ok((mti, width))
}

/// Bytes that the MTI takes up.
pub(super) fn mti_len(schema: &Schema) -> usize {
    match schema.mti {
        Encoding::Bcd { .. } | Encoding::Binary => 2,
        _ => 4,
    }
}

#[inline]
fn read_group(
    schema: &Schema,
    buf: &[u8],
    at: usize,
    group: usize,
    known: u64,
    unknown: Unknown,
) -> Result<u64, ParseError> {
    let whole = buf.get(at..).unwrap_or_default();
    if !schema.bitmap.hex
        && let Some(eight) = whole.first_chunk::<8>()
    {
        let bits = u64::from_be_bytes(*eight);
        if bits & !known == 0 || unknown == Unknown::Met {
            return Ok(bits);
        }
    }
    read_group_carefully(schema, whole, at, group, known, unknown)
}

/// Hex, truncated and wrong bitmaps.
#[inline(never)]
fn read_group_carefully(
    schema: &Schema,
    there: &[u8],
    at: usize,
    group: usize,
    known: u64,
    unknown: Unknown,
) -> Result<u64, ParseError> {
    let width = group_len(schema);
    let there = there.get(..width).unwrap_or(there);
    let bits_per_byte = 64 / width;
    let mut bits = 0;
    for (index, byte) in there.iter().enumerate() {
        let character = if schema.mti == Encoding::Ebcdic { ebcdic::decode(*byte) } else { *byte };
        let value = match schema.bitmap.hex {
            true => hex_digit(character).ok_or(ParseError::BadBitmap { offset: at + index })?,
            false => *byte,
        };
        bits |= u64::from(value) << (64 - bits_per_byte * (index + 1));
    }
    let strange = bits & !known;
    if unknown == Unknown::Refused && strange != 0 {
        let bit = strange.leading_zeros();
        let offset = at + bit as usize / bits_per_byte;
        return Err(ParseError::UnknownField { field: number(group, bit), offset });
    }
    if there.len() < width {
        let (field, needed, have) = (announced_by(group), at + width, at + there.len());
        return Err(ParseError::Truncated { field, offset: at, needed, have });
    }
    Ok(bits)
}

/// The element that a group of the bitmap is counted as.
fn announced_by(group: usize) -> FieldNumber {
    if group == 2 { field::TERTIARY_BITMAP } else { field::BITMAP }
}

/// The field of a bit: `group` is below 3 and `bit` below 64.
fn number(group: usize, bit: u32) -> FieldNumber {
    FieldNumber::new((group * 64) as u16 + bit as u16 + 1).unwrap_or(field::BITMAP)
}

impl Head {
    /// Nothing was read yet.
    pub(super) fn empty() -> Head {
        Head { mti: Mti::new(0), fields: [0; 3], groups: 0, announces_65: false, tertiary_at: 0, end: 0 }
    }

    /// The fields, as far as they are known.
    pub(super) fn bitmap(&self) -> Bitmap {
        Bitmap::from_groups(self.fields)
    }
}
