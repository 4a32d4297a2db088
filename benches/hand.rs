//! What one would write by hand for smartVista alone, with the checks that the codec makes: what a general codec is held
//! against (rows 8 and 9 of the goals in docs/performance.md).
//!
//! The checks: MTI and numeric elements have digits only, every bit has an element of the dialect, no length is above its
//! maximum, nothing is missing and nothing is left over.

/// How an element stands on the wire.
#[derive(Clone, Copy)]
enum Kind {
    Absent,
    /// Digits, so many.
    Digits(usize),
    /// Characters of any kind, so many.
    Text(usize),
    /// A length of so many digits, then digits or characters up to a maximum.
    Counted {
        digits: usize,
        max: usize,
        numeric: bool,
    },
    /// A length of so many bytes of packed digits, then bytes up to a maximum.
    Packed {
        bytes: usize,
        max: usize,
    },
}

/// smartVista's table.
const TABLE: [Kind; 129] = {
    use Kind::*;
    let mut table = [Absent; 129];
    table[2] = Counted { digits: 2, max: 19, numeric: true };
    table[3] = Digits(6);
    table[4] = Digits(12);
    table[5] = Digits(12);
    table[6] = Digits(12);
    table[7] = Digits(10);
    table[8] = Digits(8);
    table[9] = Digits(8);
    table[10] = Digits(8);
    table[11] = Digits(6);
    table[12] = Digits(12);
    table[13] = Digits(4);
    table[14] = Digits(6);
    table[15] = Digits(4);
    table[22] = Digits(3);
    table[24] = Digits(3);
    table[25] = Digits(2);
    table[32] = Counted { digits: 2, max: 11, numeric: true };
    table[35] = Counted { digits: 2, max: 37, numeric: false };
    table[37] = Text(12);
    table[38] = Text(6);
    table[39] = Digits(3);
    table[41] = Digits(8);
    table[42] = Digits(15);
    table[46] = Counted { digits: 3, max: 999, numeric: false };
    table[49] = Digits(3);
    table[52] = Packed { bytes: 1, max: 8 };
    table[54] = Counted { digits: 3, max: 120, numeric: false };
    table[55] = Packed { bytes: 2, max: 255 };
    table[62] = Counted { digits: 3, max: 999, numeric: false };
    table[64] = Text(8);
    table[70] = Digits(3);
    table
};

/// A message that was scanned: where each element's value is.
pub struct Scanned {
    pub mti: u16,
    pub bitmap: u128,
    pub spans: [(u16, u16); 64],
    pub count: usize,
}

/// Scans a whole message; `None` when it is none.
pub fn scan(raw: &[u8]) -> Option<Scanned> {
    if raw.len() > 65_535 {
        return None;
    }
    let mti = number(raw.get(..4)?, 16)? as u16;
    if (mti >> 8) & 0xF == 0 {
        return None;
    }
    let mut bitmap = u128::from(u64::from_be_bytes(raw.get(4..12)?.try_into().ok()?)) << 64;
    let mut at = 12;
    if bitmap >> 127 == 1 {
        bitmap |= u128::from(u64::from_be_bytes(raw.get(12..20)?.try_into().ok()?));
        at = 20;
    }
    let mut scanned = Scanned { mti, bitmap, spans: [(0, 0); 64], count: 0 };
    let mut left = bitmap & !(1 << 127);
    while left != 0 {
        let n = left.leading_zeros() as usize + 1;
        left &= !(1 << (128 - n));
        let (from, to) = match TABLE[n] {
            Kind::Absent => return None,
            Kind::Digits(len) => is_numeric(raw.get(at..at + len)?).then_some((at, at + len))?,
            Kind::Text(len) => {
                raw.get(at..at + len)?;
                (at, at + len)
            }
            Kind::Counted { digits, max, numeric } => {
                let from = at + digits;
                let len = number(raw.get(at..from)?, 10)?;
                let value = raw.get(from..from + len)?;
                if len > max || (numeric && !is_numeric(value)) {
                    return None;
                }
                (from, from + len)
            }
            Kind::Packed { bytes, max } => {
                let from = at + bytes;
                let len = packed(raw.get(at..from)?)?;
                raw.get(from..from + len)?;
                if len > max {
                    return None;
                }
                (from, from + len)
            }
        };
        *scanned.spans.get_mut(scanned.count)? = (from as u16, to as u16);
        scanned.count += 1;
        at = to;
    }
    (at == raw.len() && scanned.count > 0).then_some(scanned)
}

/// Appends a message of these elements (ascending, full width) to `out`; `None` when one of them does not fit.
pub fn build(mti: u16, elements: &[(usize, &[u8])], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&[12, 8, 4, 0].map(|shift| b'0' + (mti >> shift & 0xF) as u8));
    let mut bitmap = 0_u64;
    out.extend_from_slice(&[0; 8]);
    for (n, value) in elements {
        bitmap |= 1 << (64 - n);
        match TABLE[*n] {
            Kind::Absent => return None,
            Kind::Digits(len) if value.len() != len || !is_numeric(value) => return None,
            Kind::Text(len) if value.len() != len || !value.is_ascii() => return None,
            Kind::Digits(_) | Kind::Text(_) => {}
            Kind::Counted { digits, max, numeric } => {
                let len = value.len();
                if len > max || (numeric && !is_numeric(value)) || !value.is_ascii() {
                    return None;
                }
                let written = [len / 100, len / 10 % 10, len % 10].map(|digit| b'0' + digit as u8);
                out.extend_from_slice(&written[3 - digits..]);
            }
            Kind::Packed { bytes, max } => {
                let len = value.len();
                if len > max {
                    return None;
                }
                let written = [(len / 100) as u8, (len / 10 % 10 * 16 + len % 10) as u8];
                out.extend_from_slice(&written[2 - bytes..]);
            }
        }
        out.extend_from_slice(value);
    }
    out[4..12].copy_from_slice(&bitmap.to_be_bytes());
    Some(())
}

/// Without a branch for each byte.
fn is_numeric(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |so_far, byte| so_far & byte.is_ascii_digit())
}

/// Digits as a number, each worth `base`.
fn number(digits: &[u8], base: usize) -> Option<usize> {
    let mut number = 0;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        number = number * base + usize::from(value);
    }
    Some(number)
}

/// Packed digits as a number.
fn packed(bytes: &[u8]) -> Option<usize> {
    let mut number = 0;
    for byte in bytes {
        let (high, low) = (byte >> 4, byte & 0xF);
        if high > 9 || low > 9 {
            return None;
        }
        number = number * 100 + usize::from(high) * 10 + usize::from(low);
    }
    Some(number)
}
