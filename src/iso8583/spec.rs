//! One data element: what it may hold and how it is written.

use super::digits::is_printable;
use super::message::MESSAGE_MAX;

/// What the characters of a field may be (ISO 8583-1, 4.2 attribute letters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `n`: decimal digits.
    Digits,
    /// `a`: letters and blanks.
    Letters,
    /// `an`: letters and digits. Hosts put punctuation in as well: any printable character is taken.
    Alphanumeric,
    /// `ans`: any printable character. In packed BCD the code set of tracks 2 and 3 (`z`: `0`–`9`, `:;<=>?`).
    Text,
    /// `b`: bytes; canonical value: lower-case hex in JSON, raw bytes inside.
    Binary,
}

/// How the value's units become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One ASCII character a unit.
    Ascii,
    /// One EBCDIC (code page 037; 500 and 1047 agree in the invariant set) character a unit.
    Ebcdic,
    /// Two digits a byte; an odd count is filled on `pad` with nibble `fill`.
    Bcd {
        /// Where the filler nibble of an odd count stands.
        pad: Side,
        /// The filler nibble, 0 or 0xF.
        fill: u8,
    },
    /// Bytes as they are.
    Binary,
    /// Two hex characters a byte (read in either case, written in lower case), in the character set of the MTI.
    HexText,
    /// Unsigned big-endian binary number; canonical value: decimal digits (SocketQueue's `b-hex`). Its length is in
    /// bytes, 1–16.
    BigEndian,
}

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// How long a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Exactly so many units (digits, characters, bytes).
    Fixed(u16),
    /// A prefix says how many.
    Variable {
        /// At most so many units.
        max: u16,
        /// How the count is written.
        prefix: Prefix,
        /// What the count counts.
        counts: Counts,
    },
}

/// How a length prefix is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// 1–4 decimal digits in the field's character set; where the field has none (BCD, binary), in that of the MTI.
    Characters(u8),
    /// 1–2 bytes of packed BCD.
    Bcd(u8),
    /// 1–2 bytes, big-endian binary.
    Binary(u8),
}

/// What a length prefix counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Units of the value: characters, digits, bytes of a binary value.
    Units,
    /// Bytes on the wire. Packed BCD so counted has no odd number of digits: with filler 0 the filler is read as a
    /// digit, with filler 0xF it is recognised.
    Bytes,
}

/// How a fixed field's short value is filled up when we build it. An empty value never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Where the filling goes.
    pub side: Side,
    /// The filling character (as ASCII whatever the wire has), or byte of a binary field.
    ///
    /// A binary field padded on the left takes hex text with an odd number of digits: a zero nibble goes in front.
    pub with: u8,
}

/// One data element of a dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name, e.g. `System Trace Audit Number`.
    pub name: Box<str>,
    /// SocketQueue's type name, e.g. `ll-an`, for display and `overrides`.
    pub type_name: Box<str>,
    /// What it may hold.
    pub content: Content,
    /// How it is written.
    pub encoding: Encoding,
    /// How long it is.
    pub length: Length,
    /// How a short value of a fixed field is filled up. `None`: must be exact.
    pub pad: Option<Pad>,
}

/// Why a [`FieldSpec`] describes no field that could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Length or maximum is 0.
    #[error("a field has at least one character, digit or byte")]
    NoLength,
    /// More than a message can hold.
    #[error("{bytes} bytes on the wire, but a whole message has at most {MESSAGE_MAX}")]
    TooLong {
        /// Bytes that the field can take up.
        bytes: usize,
    },
    /// Such values can't be written in that way.
    #[error("{content:?} can not be written as {encoding:?}")]
    NotWritable {
        /// What the field holds.
        content: Content,
        /// How it is to be written.
        encoding: Encoding,
    },
    /// The filler nibble of packed BCD is neither 0 nor 0xF.
    #[error("the filler nibble of packed BCD is 0 or 15, not {fill}")]
    BadFill {
        /// The nibble given.
        fill: u8,
    },
    /// A binary number has a fixed length of 1–16 bytes.
    #[error("a binary number has a fixed length of 1 to 16 bytes")]
    NumberLength,
    /// A length prefix has 1–4 characters, or 1–2 bytes.
    #[error("a length prefix has 1 to 4 characters, or 1 to 2 bytes")]
    PrefixWidth,
    /// The prefix can't count up to the maximum.
    #[error("the length prefix counts up to {limit}, but the longest value counts {max}")]
    PrefixTooNarrow {
        /// The highest count that it can hold.
        limit: usize,
        /// The count of the longest value.
        max: usize,
    },
    /// The padding character may not stand in the field.
    #[error("the padding character may not stand in such a field")]
    BadPad,
}

impl FieldSpec {
    /// The most units (digits, characters, bytes) that the value may have.
    pub fn max(&self) -> usize {
        match self.length {
            Length::Fixed(units) | Length::Variable { max: units, .. } => usize::from(units),
        }
    }

    /// Whether such a field can be written at all. What is not, is not part of a [`super::Schema`].
    pub fn check(&self) -> Result<(), SpecError> {
        if self.max() == 0 {
            return Err(SpecError::NoLength);
        }
        self.check_encoding()?;
        let bytes = self.encoding.wire_len(self.max());
        if bytes > MESSAGE_MAX {
            return Err(SpecError::TooLong { bytes });
        }
        if let Length::Variable { max, prefix, counts } = self.length {
            let limit = prefix.limit().ok_or(SpecError::PrefixWidth)?;
            let max = match counts {
                Counts::Units => usize::from(max),
                Counts::Bytes => bytes,
            };
            if max > limit {
                return Err(SpecError::PrefixTooNarrow { limit, max });
            }
        }
        match self.pad {
            Some(pad) if !self.content.allows(pad.with) => Err(SpecError::BadPad),
            _ => Ok(()),
        }
    }

    fn check_encoding(&self) -> Result<(), SpecError> {
        let writable = match self.encoding {
            Encoding::Ascii | Encoding::Ebcdic => self.content != Content::Binary,
            Encoding::Bcd { .. } => matches!(self.content, Content::Digits | Content::Text),
            Encoding::Binary | Encoding::HexText => self.content == Content::Binary,
            Encoding::BigEndian => self.content == Content::Digits,
        };
        if !writable {
            return Err(SpecError::NotWritable { content: self.content, encoding: self.encoding });
        }
        match self.encoding {
            Encoding::Bcd { fill, .. } if fill != 0 && fill != 0xF => Err(SpecError::BadFill { fill }),
            Encoding::BigEndian if !matches!(self.length, Length::Fixed(1..=16)) => {
                Err(SpecError::NumberLength)
            }
            _ => Ok(()),
        }
    }
}

impl Content {
    /// Whether a value that we build may have this character or byte.
    pub fn allows(self, byte: u8) -> bool {
        match self {
            Content::Digits => byte.is_ascii_digit(),
            Content::Letters => byte.is_ascii_alphabetic() || byte == b' ',
            Content::Alphanumeric | Content::Text => is_printable(byte),
            Content::Binary => true,
        }
    }
}

impl Encoding {
    /// How many bytes so many units take up.
    pub(super) fn wire_len(self, units: usize) -> usize {
        match self {
            Encoding::Ascii | Encoding::Ebcdic | Encoding::Binary | Encoding::BigEndian => units,
            Encoding::Bcd { .. } => units.div_ceil(2),
            Encoding::HexText => units * 2,
        }
    }
}

impl Prefix {
    /// The highest count that it can hold; `None` if it has no such width.
    fn limit(self) -> Option<usize> {
        match self {
            Prefix::Characters(digits @ 1..=4) => Some(10usize.pow(u32::from(digits)) - 1),
            Prefix::Bcd(1) => Some(99),
            Prefix::Bcd(2) => Some(9_999),
            Prefix::Binary(1) => Some(0xFF),
            Prefix::Binary(2) => Some(0xFFFF),
            _ => None,
        }
    }

    /// How many bytes it takes up.
    pub(super) fn wire_len(self) -> usize {
        match self {
            Prefix::Characters(bytes) | Prefix::Bcd(bytes) | Prefix::Binary(bytes) => usize::from(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(content: Content, encoding: Encoding, length: Length) -> FieldSpec {
        FieldSpec { name: "x".into(), type_name: "x".into(), content, encoding, length, pad: None }
    }

    fn variable(max: u16, prefix: Prefix, counts: Counts) -> Length {
        Length::Variable { max, prefix, counts }
    }

    #[test]
    fn a_prefix_must_be_able_to_count_to_the_maximum() {
        let bcd = Encoding::Bcd { pad: Side::Left, fill: 0 };
        for (content, encoding, length, expected) in [
            (Content::Text, Encoding::Ascii, variable(99, Prefix::Characters(2), Counts::Units), Ok(())),
            (
                Content::Text,
                Encoding::Ascii,
                variable(100, Prefix::Characters(2), Counts::Units),
                Err(SpecError::PrefixTooNarrow { limit: 99, max: 100 }),
            ),
            (Content::Text, Encoding::Ascii, variable(255, Prefix::Binary(1), Counts::Bytes), Ok(())),
            (
                Content::Text,
                Encoding::Ascii,
                variable(256, Prefix::Binary(1), Counts::Bytes),
                Err(SpecError::PrefixTooNarrow { limit: 255, max: 256 }),
            ),
            (Content::Digits, bcd, variable(198, Prefix::Bcd(1), Counts::Bytes), Ok(())),
            (
                Content::Digits,
                bcd,
                variable(199, Prefix::Bcd(1), Counts::Bytes),
                Err(SpecError::PrefixTooNarrow { limit: 99, max: 100 }),
            ),
            (
                Content::Binary,
                Encoding::HexText,
                variable(50, Prefix::Characters(2), Counts::Bytes),
                Err(SpecError::PrefixTooNarrow { limit: 99, max: 100 }),
            ),
            (
                Content::Text,
                Encoding::Ascii,
                variable(9, Prefix::Characters(5), Counts::Units),
                Err(SpecError::PrefixWidth),
            ),
            (
                Content::Text,
                Encoding::Ascii,
                variable(9, Prefix::Binary(0), Counts::Units),
                Err(SpecError::PrefixWidth),
            ),
        ] {
            assert_eq!(spec(content, encoding, length).check(), expected, "{encoding:?} {length:?}");
        }
    }

    #[test]
    fn what_can_not_be_written_is_refused() {
        let bcd = |fill| Encoding::Bcd { pad: Side::Right, fill };
        for (content, encoding, length, expected) in [
            (Content::Digits, Encoding::Ascii, Length::Fixed(0), Err(SpecError::NoLength)),
            (Content::Digits, bcd(1), Length::Fixed(3), Err(SpecError::BadFill { fill: 1 })),
            (Content::Digits, bcd(0xF), Length::Fixed(3), Ok(())),
            (Content::Text, bcd(0xF), Length::Fixed(37), Ok(())),
            (Content::Digits, Encoding::BigEndian, Length::Fixed(16), Ok(())),
            (Content::Digits, Encoding::BigEndian, Length::Fixed(17), Err(SpecError::NumberLength)),
            (
                Content::Binary,
                Encoding::HexText,
                Length::Fixed(40_000),
                Err(SpecError::TooLong { bytes: 80_000 }),
            ),
        ] {
            assert_eq!(
                spec(content, encoding, length).check(),
                expected,
                "{content:?} {encoding:?} {length:?}"
            );
        }
        for (content, encoding) in [
            (Content::Binary, Encoding::Ascii),
            (Content::Binary, bcd(0)),
            (Content::Letters, bcd(0)),
            (Content::Text, Encoding::Binary),
            (Content::Digits, Encoding::HexText),
            (Content::Text, Encoding::BigEndian),
        ] {
            let expected = Err(SpecError::NotWritable { content, encoding });
            assert_eq!(spec(content, encoding, Length::Fixed(4)).check(), expected);
        }
        let mut padded = spec(Content::Digits, Encoding::Ascii, Length::Fixed(4));
        padded.pad = Some(Pad { side: Side::Left, with: b' ' });
        assert_eq!(padded.check(), Err(SpecError::BadPad));
    }
}
