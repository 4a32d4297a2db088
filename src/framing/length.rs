//! The length field: reading and writing its number.

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// Decimal digits as ASCII characters.
    Ascii,
    /// Hexadecimal digits as ASCII characters; read in either case, written in upper case.
    Hex,
    /// Two decimal digits a byte.
    Bcd,
    /// Binary, most significant byte first.
    Big,
    /// Binary, least significant byte first.
    Little,
}

impl Code {
    /// The highest number that `width` bytes can say. `width` is at most [`LengthField::WIDTH_MAX`].
    pub(super) fn highest(self, width: usize) -> u64 {
        let (base, digits) = match self {
            Code::Ascii => (10, width),
            Code::Hex => (16, width),
            Code::Bcd => (10, 2 * width),
            Code::Big | Code::Little => (256, width),
        };
        (0..digits).fold(0_u64, |number, _| number.saturating_mul(base).saturating_add(base - 1))
    }
}

/// A length field at its place in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LengthField {
    pub(super) code: Code,
    /// How many bytes it has: 1 to [`LengthField::WIDTH_MAX`].
    pub(super) width: usize,
    /// How many bytes of header stand before it.
    pub(super) at: usize,
    /// What it says for an empty payload. Below zero where a constant is subtracted.
    pub(super) empty: i64,
    /// What it says when nothing at all follows it, where that is no valid length of a payload.
    pub(super) nothing: u64,
    /// The highest number that it can say: [`Code::highest`].
    pub(super) highest: u64,
}

/// The byte at this offset is no digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadDigit(pub(super) usize);

impl LengthField {
    /// The most bytes that a length field may have: what fits into 64 bits.
    pub(super) const WIDTH_MAX: usize = 8;

    /// Where the field ends.
    pub(super) fn end(&self) -> usize {
        self.at + self.width
    }

    /// The number at its place in `frame`. `None` while bytes of it are missing; a bad digit among those that are there
    /// is an error at once, so that a stranger's first bytes suffice to turn him away.
    pub(super) fn read(&self, frame: &[u8]) -> Result<Option<u64>, BadDigit> {
        let rest = frame.get(self.at..).unwrap_or_default();
        let field = rest.get(..self.width).unwrap_or(rest);
        // No overflow: 8 bytes hold at most 16 decimal digits or 64 bits.
        let number = match self.code {
            Code::Ascii => self.fold(field, |number, byte| {
                byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
            }),
            Code::Hex => self.fold(field, |number, byte| Some(number << 4 | u64::from(hex_digit(byte)?))),
            Code::Bcd => self.fold(field, |number, byte| {
                let (high, low) = (u64::from(byte >> 4), u64::from(byte & 0xF));
                (high <= 9 && low <= 9).then_some(number * 100 + high * 10 + low)
            }),
            Code::Big => self.fold(field, |number, byte| Some(number << 8 | u64::from(byte))),
            Code::Little => Ok(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))),
        };
        number.map(|number| (field.len() == self.width).then_some(number))
    }

    /// From the first byte to the last; `None` from `step`: the byte is none that may stand there.
    #[inline]
    fn fold(&self, field: &[u8], step: impl Fn(u64, u8) -> Option<u64>) -> Result<u64, BadDigit> {
        field
            .iter()
            .enumerate()
            .try_fold(0, |number, (at, byte)| step(number, *byte).ok_or(BadDigit(self.at + at)))
    }

    /// Writes `number`, which must be at most [`Code::highest`], into `field`, which has `width` bytes.
    pub(super) fn write(&self, mut number: u64, field: &mut [u8]) {
        let mut digit = |base: u64| {
            let digit = (number % base) as u8;
            number /= base;
            digit
        };
        // The last first, save in little-endian.
        let last_first = field.iter_mut().rev();
        match self.code {
            Code::Ascii => last_first.for_each(|byte| *byte = b'0' + digit(10)),
            Code::Hex => last_first.for_each(|byte| *byte = HEX_DIGITS[usize::from(digit(16))]),
            Code::Bcd => last_first.for_each(|byte| *byte = digit(10) | digit(10) << 4),
            Code::Big => last_first.for_each(|byte| *byte = digit(256)),
            Code::Little => field.iter_mut().for_each(|byte| *byte = digit(256)),
        }
    }

    /// How many bytes of payload there are when the field says `number`; `None` when it says less than it must.
    pub(super) fn payload_of(&self, number: u64) -> Option<u64> {
        if self.empty >= 0 {
            number.checked_sub(self.empty.unsigned_abs())
        } else {
            number.checked_add(self.empty.unsigned_abs())
        }
    }

    /// What the field has to say for a payload of `len` bytes; `None` when it cannot.
    pub(super) fn number_of(&self, len: usize) -> Option<u64> {
        let number = u64::try_from(len).ok()?.checked_add_signed(self.empty)?;
        (number <= self.highest).then_some(number)
    }

    /// The longest payload that the field can speak of.
    pub(super) fn payload_max(&self) -> u64 {
        self.payload_of(self.highest).unwrap_or(match self.empty {
            1.. => 0,
            _ => u64::MAX,
        })
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// The value of a hex character of either case.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The bytes that hex text of an even number of characters stands for.
pub(super) fn hex_pairs(word: &str) -> Option<Vec<u8>> {
    let (pairs, []) = word.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?)).collect()
}
