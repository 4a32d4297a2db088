//! Writing one field: from the canonical value to the bytes on the wire.

use smallvec::SmallVec;

use super::build_error::BuildError;
use super::digits::{all_digits, all_printable, hex_char, hex_digit};
use super::ebcdic;
use super::field::FieldNumber;
use super::plan::{Plan, Shape};
use super::prefix::{self, Extent};
use super::schema::{Content, Encoding, Side};

/// Room for the fields of an ordinary message without an allocation: the 0200 sample with EMV data has 251 bytes.
pub(super) const ARENA_INLINE: usize = 384;

/// Wire bytes of fields, one after the other.
pub(super) type Arena = SmallVec<[u8; ARENA_INLINE]>;

/// Appends field `n` with that canonical value, length prefix first. On an error `out` is as it was.
#[inline]
pub(super) fn pack(plan: &Plan, n: FieldNumber, value: &[u8], out: &mut Arena) -> Result<(), BuildError> {
    let max = usize::from(plan.max);
    if plan.encoding == Encoding::BigEndian || value.len() > max {
        return pack_slowly(plan, n, value, out);
    }
    if plan.shape == Shape::Fixed && value.len() < max {
        return pack_slowly(plan, n, value, out);
    }
    check(plan, n, value)?;
    encode(plan, value, out);
    Ok(())
}

/// What the dialect lacks, numbers, and values of another length.
#[inline(never)]
fn pack_slowly(plan: &Plan, n: FieldNumber, value: &[u8], out: &mut Arena) -> Result<(), BuildError> {
    let (len, max) = (value.len(), usize::from(plan.max));
    if plan.shape == Shape::Absent {
        return Err(BuildError::UnknownField { field: n });
    }
    if plan.encoding == Encoding::BigEndian {
        return pack_number(plan, n, value, out);
    }
    if len > max {
        return Err(BuildError::TooLong { field: n, len, max });
    }
    let pad = plan.pad.filter(|_| len > 0).ok_or(BuildError::TooShort { field: n, len, expected: max })?;
    check(plan, n, value)?;
    let filling = std::iter::repeat_n(pad.with, max - len);
    let padded: Arena = match pad.side {
        Side::Left => filling.chain(value.iter().copied()).collect(),
        Side::Right => value.iter().copied().chain(filling).collect(),
    };
    encode(plan, &padded, out);
    Ok(())
}

fn pack_number(plan: &Plan, n: FieldNumber, value: &[u8], out: &mut Arena) -> Result<(), BuildError> {
    let bytes = usize::from(plan.wire_max);
    if value.is_empty() {
        return Err(BuildError::TooShort { field: n, len: 0, expected: 1 });
    }
    check(plan, n, value)?;
    let too_big = BuildError::NumberTooBig { field: n, bytes };
    let number = value
        .iter()
        .try_fold(0u128, |number, digit| number.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
        .ok_or(too_big)?;
    let (front, back) = number.to_be_bytes().split_at_checked(16 - bytes.min(16)).map_or_else(
        || (Arena::new(), Arena::new()),
        |(front, back)| (Arena::from_slice(front), Arena::from_slice(back)),
    );
    if front.iter().any(|byte| *byte != 0) {
        return Err(too_big);
    }
    out.extend_from_slice(&back);
    Ok(())
}

/// Whether the value has only what the field may have.
#[inline]
fn check(plan: &Plan, n: FieldNumber, value: &[u8]) -> Result<(), BuildError> {
    let fine = match plan.content {
        Content::Binary => true,
        Content::Digits => all_digits(value),
        Content::Alphanumeric | Content::Text if plan.encoding == Encoding::Ascii => all_printable(value),
        _ => value.iter().all(|byte| allows(plan, *byte)),
    };
    if fine { Ok(()) } else { Err(complaint(plan, n, value)) }
}

/// Whether one character or byte may stand in a value. Packed text is that of tracks 2 and 3.
fn allows(plan: &Plan, byte: u8) -> bool {
    match plan.encoding {
        Encoding::Bcd { .. } => plan.content.allows(byte) && (b'0'..=b'?').contains(&byte),
        _ => plan.content.allows(byte),
    }
}

#[cold]
fn complaint(plan: &Plan, n: FieldNumber, value: &[u8]) -> BuildError {
    let index = value.iter().position(|byte| !allows(plan, *byte)).unwrap_or(0);
    match plan.content {
        Content::Digits => BuildError::BadDigit { field: n, index },
        _ => BuildError::BadCharacter { field: n, index },
    }
}

/// Appends prefix and value, which has the right length and content.
#[inline]
fn encode(plan: &Plan, value: &[u8], out: &mut Arena) {
    if plan.prefix_len > 0 {
        let mut prefix = [0; 4];
        let width = prefix::write(plan, Extent::of_units(plan, value.len()), &mut prefix);
        out.extend_from_slice(&prefix[..width]);
    }
    match plan.encoding {
        Encoding::Ascii | Encoding::Binary | Encoding::BigEndian => out.extend_from_slice(value),
        Encoding::Ebcdic => out.extend(value.iter().map(|character| ebcdic::encode(*character))),
        Encoding::Bcd { pad, fill } => pack_digits(pad, fill, value, out),
        Encoding::HexText => {
            let character = |nibble| {
                let character = hex_char(nibble);
                if plan.is_ebcdic { ebcdic::encode(character) } else { character }
            };
            out.extend(value.iter().flat_map(|byte| [character(byte >> 4), character(*byte)]));
        }
    }
}

/// Two to a byte. The characters of tracks 2 and 3 are those of ASCII column 3, so the low nibble is the value.
fn pack_digits(pad: Side, fill: u8, digits: &[u8], out: &mut Arena) {
    let mut rest = digits;
    if digits.len() % 2 == 1
        && pad == Side::Left
        && let Some((first, others)) = digits.split_first()
    {
        out.push(fill << 4 | first & 0xF);
        rest = others;
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| high << 4 | low & 0xF));
    out.extend(odd.iter().map(|last| last << 4 | fill));
}

/// The bytes that hex text of a binary field stands for.
pub(super) fn from_hex(plan: &Plan, n: FieldNumber, text: &[u8], out: &mut Arena) -> Result<(), BuildError> {
    if let Some(index) = text.iter().position(|byte| hex_digit(*byte).is_none()) {
        return Err(BuildError::BadHex { field: n, index });
    }
    let is_odd = text.len() % 2 == 1;
    if is_odd && plan.pad.is_none_or(|pad| pad.side == Side::Right) {
        return Err(BuildError::OddHex { field: n, len: text.len() });
    }
    let zero = is_odd.then_some(0);
    let mut nibbles = zero.into_iter().chain(text.iter().filter_map(|byte| hex_digit(*byte)));
    while let (Some(high), Some(low)) = (nibbles.next(), nibbles.next()) {
        out.push(high << 4 | low);
    }
    Ok(())
}
