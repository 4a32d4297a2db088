//! Digits: checked eight at a time, packed and unpacked.

/// Whether all of `bytes` are ASCII digits.
#[inline]
pub(super) fn all_digits(bytes: &[u8]) -> bool {
    all(bytes, eight_digits, |byte| byte.is_ascii_digit())
}

/// Whether all of `bytes` are printable ASCII, 0x20 to 0x7E.
#[inline]
pub(super) fn all_printable(bytes: &[u8]) -> bool {
    all(bytes, eight_printable, |byte| is_printable(*byte))
}

/// Whether a test holds for all of `bytes`, which is told for eight at a time or for one. The last eight (or four) may
/// be looked at twice: that is cheaper than one by one.
#[inline]
fn all(bytes: &[u8], eight: impl Fn(u64) -> bool, one: impl Fn(&u8) -> bool) -> bool {
    let (eights, _) = bytes.as_chunks::<8>();
    if let Some(last) = bytes.last_chunk::<8>() {
        return eights.iter().all(|word| eight(u64::from_le_bytes(*word)))
            && eight(u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
        return eight(word);
    }
    bytes.iter().all(one)
}

/// A byte is a digit when its high nibble is 3 and stays 3 with 6 added. No byte that passes the first test carries
/// into its neighbour in the second.
#[inline]
fn eight_digits(word: u64) -> bool {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    const THREES: u64 = 0x3030_3030_3030_3030;
    word & HIGH == THREES && word.wrapping_add(0x0606_0606_0606_0606) & HIGH == THREES
}

/// Whether `byte` is printable ASCII, 0x20 to 0x7E.
pub(super) fn is_printable(byte: u8) -> bool {
    (0x20..0x7F).contains(&byte)
}

/// The top bit of a byte is set by itself, by borrowing below 0x20, or by one more than 0x7E. A borrow or carry into a
/// neighbour comes only from a byte that is itself found out.
#[inline]
fn eight_printable(word: u64) -> bool {
    const TOP: u64 = 0x8080_8080_8080_8080;
    let below = word.wrapping_sub(0x2020_2020_2020_2020);
    let above = word.wrapping_add(0x0101_0101_0101_0101);
    (word | below | above) & TOP == 0
}

/// The value of an ASCII hex digit, either case.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The lower-case ASCII hex digit of the low nibble.
pub(super) fn hex_char(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 0xF)]
}

/// `bytes` as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [hex_char(byte >> 4), hex_char(*byte)]).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_alike_at_every_place_of_every_length() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=255 {
                    let mut digits = vec![b'7'; len];
                    digits[at] = byte;
                    assert_eq!(all_digits(&digits), byte.is_ascii_digit(), "{byte} at {at} of {len}");
                    assert_eq!(all_printable(&digits), is_printable(byte), "{byte} at {at} of {len}");
                }
            }
        }
    }
}
