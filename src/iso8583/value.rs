//! From a field's bytes to its canonical value and text. The bytes were checked when they were read.

use std::borrow::Cow;

use super::digits::{hex, hex_digit};
use super::ebcdic;
use super::field;
use super::plan::Plan;
use super::prefix;
use super::schema::{Content, Counts, Encoding, Side};

/// The canonical value of a field that stands on the wire as `wire`, its length prefix included.
#[inline(always)]
pub(super) fn decode<'a>(plan: &Plan, wire: &'a [u8]) -> Cow<'a, [u8]> {
    match plain(plan, wire) {
        Some(body) => Cow::Borrowed(body),
        None => Cow::Owned(converted(plan, wire)),
    }
}

/// The same, if it needs no conversion.
#[inline(always)]
pub(super) fn plain<'a>(plan: &Plan, wire: &'a [u8]) -> Option<&'a [u8]> {
    plan.is_plain.then(|| body(plan, wire))
}

#[inline(always)]
fn body<'a>(plan: &Plan, wire: &'a [u8]) -> &'a [u8] {
    wire.get(usize::from(plan.prefix_len)..).unwrap_or_default()
}

#[inline(never)]
fn converted(plan: &Plan, wire: &[u8]) -> Vec<u8> {
    let body = body(plan, wire);
    match plan.encoding {
        Encoding::Ascii | Encoding::Binary => body.to_vec(),
        Encoding::Ebcdic => from_ebcdic(body),
        Encoding::Bcd { pad, fill } => unpack(plan, wire, body, pad, fill),
        Encoding::HexText => from_hex(plan, body),
        Encoding::BigEndian => decimal(body),
    }
}

fn from_ebcdic(body: &[u8]) -> Vec<u8> {
    body.iter().map(|byte| ebcdic::decode(*byte)).collect()
}

/// Packed digits without their filler. Nibbles above 9 (tracks 2 and 3) are `:;<=>?`.
fn unpack(plan: &Plan, wire: &[u8], body: &[u8], pad: Side, fill: u8) -> Vec<u8> {
    let mut digits: Vec<u8> =
        body.iter().flat_map(|byte| [byte >> 4, byte & 0xF]).map(|nibble| b'0' + nibble).collect();
    // The plan's own prefix cannot fail here; should it, every nibble is shown.
    let units = prefix::read(plan, field::MTI, wire, 0).map_or(digits.len(), |len| len.units);
    let at = match pad {
        Side::Left => 0,
        Side::Right => digits.len().saturating_sub(1),
    };
    let is_counted_filler = plan.prefix_len > 0
        && plan.counts == Counts::Bytes
        && fill == 0xF
        && digits.get(at) == Some(&(b'0' + fill));
    if digits.len() == units + 1 || is_counted_filler {
        digits.remove(at);
    }
    digits
}

fn from_hex(plan: &Plan, body: &[u8]) -> Vec<u8> {
    let nibble = |byte: u8| hex_digit(if plan.is_ebcdic { ebcdic::decode(byte) } else { byte }).unwrap_or(0);
    let (pairs, _) = body.as_chunks::<2>();
    pairs.iter().map(|[high, low]| nibble(*high) << 4 | nibble(*low)).collect()
}

fn decimal(body: &[u8]) -> Vec<u8> {
    // At most 16 bytes (`FieldSpec::check`).
    let number = body.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    number.to_string().into_bytes()
}

/// The text of a canonical value: hex of a binary one; of others the characters, `\xNN` for what is not ASCII.
pub(super) fn text(content: Content, value: Cow<'_, [u8]>) -> Cow<'_, str> {
    if content == Content::Binary {
        return Cow::Owned(hex(&value));
    }
    if !value.is_ascii() {
        return Cow::Owned(escaped(&value));
    }
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(std::str::from_utf8(value).unwrap_or_default()),
        Cow::Owned(value) => Cow::Owned(String::from_utf8(value).unwrap_or_default()),
    }
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len() * 4);
    for byte in value {
        match byte {
            0..0x80 => text.push(char::from(*byte)),
            0x80.. => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}
