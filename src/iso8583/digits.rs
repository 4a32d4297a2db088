//! Digits: checked eight at a time, packed and unpacked.

/// Whether all of `bytes` are ASCII digits.
#[inline]
pub(super) fn all_digits(bytes: &[u8]) -> bool {
    all(bytes, no_digits, |byte| byte.is_ascii_digit())
}

/// So many digits fit into an `i64` whatever they are.
const DECIMAL_MAX: usize = 18;

/// The number that ASCII digits say; `None` for anything else, and for more than 18 of them.
#[inline]
pub fn decimal(digits: &[u8]) -> Option<i64> {
    if digits.len() > DECIMAL_MAX || !all_digits(digits) {
        return None;
    }
    let (eights, rest) = digits.as_chunks::<8>();
    let number = eights
        .iter()
        .fold(0, |number, eight| number * 100_000_000 + eight_digits(u64::from_le_bytes(*eight)));
    Some(rest.iter().fold(number, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// The number that eight digits say, the first in the lowest byte: neighbours become pairs, pairs fours, fours eight.
#[inline]
fn eight_digits(word: u64) -> i64 {
    let ones = word & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (ones * 10 + (ones >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    i64::from((fours * 10_000 + (fours >> 32)) as u32)
}

/// Whether all of `bytes` are printable ASCII, 0x20 to 0x7E.
#[inline]
pub(super) fn all_printable(bytes: &[u8]) -> bool {
    all(bytes, not_printable, |byte| is_printable(*byte))
}

/// Whether a test holds for all of `bytes`. `eight` looks at eight at a time, and sets the top bit of one that fails.
/// The last eight (or four) may be looked at twice: that is cheaper than one by one.
#[inline]
fn all(bytes: &[u8], eight: impl Fn(u64) -> u64, one: impl Fn(&u8) -> bool) -> bool {
    const TOP: u64 = 0x8080_8080_8080_8080;
    let (eights, _) = bytes.as_chunks::<8>();
    if let Some(last) = bytes.last_chunk::<8>() {
        let last = eight(u64::from_le_bytes(*last));
        let wrong = eights.iter().fold(last, |wrong, word| wrong | eight(u64::from_le_bytes(*word)));
        return wrong & TOP == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
        return eight(word) & TOP == 0;
    }
    bytes.iter().all(one)
}

/// What is left of a digit without its 3 is at most 9, and 0x76 more does not reach the top bit. A carry into a
/// neighbour comes only from a byte that is itself found out.
#[inline]
fn no_digits(word: u64) -> u64 {
    let digits = word ^ 0x3030_3030_3030_3030;
    digits | digits.wrapping_add(0x7676_7676_7676_7676)
}

/// Whether `byte` is printable ASCII, 0x20 to 0x7E.
pub(super) fn is_printable(byte: u8) -> bool {
    (0x20..0x7F).contains(&byte)
}

/// The top bit of a byte is set by itself, by borrowing below 0x20, or by one more than 0x7E. A borrow or carry into a
/// neighbour comes only from a byte that is itself found out.
#[inline]
fn not_printable(word: u64) -> u64 {
    word | word.wrapping_sub(0x2020_2020_2020_2020) | word.wrapping_add(0x0101_0101_0101_0101)
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
    fn a_number_of_any_length_is_what_its_digits_say() {
        let text = b"987654321012345678";
        for len in 1..=text.len() {
            for from in 0..=text.len() - len {
                let digits = &text[from..from + len];
                let number = std::str::from_utf8(digits).unwrap().parse().ok();
                assert_eq!(decimal(digits), number, "{from} {len}");
            }
        }
        assert_eq!(decimal(b"999999999999999999"), Some(999_999_999_999_999_999));
        assert_eq!(decimal(b""), Some(0));
        for none in [&b"0000000000000000001"[..], b"1234567/", b"12345678:", b"-1", b" 1", b"12345678901a"] {
            assert_eq!(decimal(none), None, "{none:?}");
        }
    }

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
