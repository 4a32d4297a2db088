//! Writing one field: from the canonical value to the bytes on the wire.

use super::arena::Arena;
use super::build_error::BuildError;
use super::digits::{all_digits, all_printable, hex_char, hex_digit};
use super::ebcdic;
use super::field::FieldNumber;
use super::plan::{Accept, Plan, Shape};
use super::prefix::{self, Extent};
use super::schema::{Content, Encoding, Side};

/// Appends a field whose value goes out as it is, length prefix first. `false`, and nothing appended, for every other
/// and for what is wrong.
#[inline]
pub(super) fn pack_plain(plan: &Plan, value: &[u8], out: &mut Arena) -> bool {
    let fine = match plan.accept {
        Accept::Digits => all_digits(value),
        Accept::Printable => all_printable(value),
        Accept::Bytes => true,
        Accept::Encoding => false,
    };
    let fits = value.len() >= usize::from(plan.min) && value.len() <= usize::from(plan.max);
    if !fine || !fits {
        return false;
    }
    if !plan.is_fixed() {
        push_prefix(plan, value.len(), out);
    }
    out.push(value);
    true
}

/// Appends field `n` with that canonical value, length prefix first. On an error `out` is as it was.
pub(super) fn pack(plan: &Plan, n: FieldNumber, value: &[u8], out: &mut Arena) -> Result<(), BuildError> {
    if pack_plain(plan, value, out) {
        return Ok(());
    }
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
    if !plan.is_fixed() || len == max {
        check(plan, n, value)?;
        encode(plan, value, out);
        return Ok(());
    }
    let pad = plan.pad.filter(|_| len > 0).ok_or(BuildError::TooShort { field: n, len, expected: max })?;
    check(plan, n, value)?;
    let filling = std::iter::repeat_n(pad.with, max - len);
    let padded: Vec<u8> = match pad.side {
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
    let number = number.to_be_bytes();
    let (front, back) = number.split_at(number.len() - bytes.min(number.len()));
    if front.iter().any(|byte| *byte != 0) {
        return Err(too_big);
    }
    out.push(back);
    Ok(())
}

/// Whether the value has only what the field may have.
fn check(plan: &Plan, n: FieldNumber, value: &[u8]) -> Result<(), BuildError> {
    let Some(index) = value.iter().position(|byte| !allows(plan, *byte)) else { return Ok(()) };
    match plan.content {
        Content::Digits => Err(BuildError::BadDigit { field: n, index }),
        _ => Err(BuildError::BadCharacter { field: n, index }),
    }
}

/// Whether one character or byte may stand in a value. Packed text is that of tracks 2 and 3.
fn allows(plan: &Plan, byte: u8) -> bool {
    match plan.encoding {
        Encoding::Bcd { .. } => plan.content.allows(byte) && (b'0'..=b'?').contains(&byte),
        _ => plan.content.allows(byte),
    }
}

#[inline]
fn push_prefix(plan: &Plan, units: usize, out: &mut Arena) {
    let mut prefix = [0; 4];
    let width = prefix::write(plan, Extent::of_units(plan, units), &mut prefix);
    out.push(&prefix[..width]);
}

/// Appends prefix and value, which has the right length and content.
fn encode(plan: &Plan, value: &[u8], out: &mut Arena) {
    push_prefix(plan, value.len(), out);
    match plan.encoding {
        Encoding::Ascii | Encoding::Binary | Encoding::BigEndian => out.push(value),
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
        out.push(&[fill << 4 | first & 0xF]);
        rest = others;
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| high << 4 | low & 0xF));
    out.extend(odd.iter().map(|last| last << 4 | fill));
}

/// The bytes that hex text of a binary field stands for.
pub(super) fn from_hex(plan: &Plan, n: FieldNumber, text: &[u8]) -> Result<Vec<u8>, BuildError> {
    if let Some(index) = text.iter().position(|byte| hex_digit(*byte).is_none()) {
        return Err(BuildError::BadHex { field: n, index });
    }
    let is_odd = text.len() % 2 == 1;
    if is_odd && plan.pad.is_none_or(|pad| pad.side == Side::Right) {
        return Err(BuildError::OddHex { field: n, len: text.len() });
    }
    let mut nibbles = is_odd.then_some(0).into_iter().chain(text.iter().filter_map(|byte| hex_digit(*byte)));
    let mut bytes = Vec::with_capacity(text.len().div_ceil(2));
    while let (Some(high), Some(low)) = (nibbles.next(), nibbles.next()) {
        bytes.push(high << 4 | low);
    }
    Ok(bytes)
}
