//! SocketQueue's type names (`n`, `ll-an`, `ll-bin-hn` …) in terms of the general scheme.
//!
//! | name | content, encoding | length |
//! |---|---|---|
//! | `n` | digits, ASCII; zeros on the left | fixed |
//! | `a` | letters, ASCII | fixed |
//! | `an` | alphanumeric, ASCII; zeros on the left | fixed |
//! | `ans` | text, ASCII; blanks on the left | fixed |
//! | `ll-n` | digits, ASCII | 2 ASCII digits if max ≤ 99, else 3 |
//! | `ll-an` | text, ASCII | the same |
//! | `b` | bytes; zeros on the left | fixed, in bytes |
//! | `b-hex` | big-endian number | fixed, in bytes |
//! | `bitmap`, `bitmap-hex` | bytes, hex characters | fixed |
//! | `ll-b` | bytes | BCD count of bytes, 1 byte if ⌈max/2⌉ ≤ 99, else 2; max counts hex digits |
//! | `ll-bin-an`, `ll-bin-n` | bytes | BCD count of bytes, 1 byte if max ≤ 99, else 2 |
//! | `ll-bin-hn` | packed digits, an odd count with a zero on the left | the same, counting digits |
//! | `ll-bin-char` | text, ASCII | the same, counting characters |
//!
//! The original counts bytes when it writes `ll-bin-hn` and digits when it reads it; here it is digits both ways.
//! `ll-bin-char` has a name there and no code. `b` holds whatever the host means by it, PIN blocks as well as BCD
//! digits, so its value is bytes and its text their hex: BCD digits read as they are.

use super::schema::{
    BitmapForm, Content, Counts, Encoding, FieldSpec, Length, Pad, Prefix, Side, SpecError, Tertiary,
};

/// All type names, sorted.
pub const TYPE_NAMES: [&str; 15] = [
    "a",
    "an",
    "ans",
    "b",
    "b-hex",
    "bitmap",
    "bitmap-hex",
    "ll-an",
    "ll-b",
    "ll-bin-an",
    "ll-bin-char",
    "ll-bin-hn",
    "ll-bin-n",
    "ll-n",
    "n",
];

/// Why a type name and a length make no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypeError {
    /// No such type.
    #[error("unknown type {name:?}; there are {}", TYPE_NAMES.join(", "))]
    Unknown {
        /// The name given.
        name: String,
    },
    /// The length doesn't go with the type.
    #[error("type {name} can not have length {len}: {reason}")]
    Length {
        /// The type.
        name: String,
        /// The length given.
        len: u16,
        /// What is wrong with it.
        #[source]
        reason: SpecError,
    },
    /// A bitmap has 8 bytes, 16 (with a secondary) or 24 (with a tertiary).
    #[error("a bitmap has 8, 16 or 24 bytes, not {len}")]
    BitmapLength {
        /// The length given.
        len: u16,
    },
    /// A type that can't be that of the MTI, or not with that length.
    #[error("the message type is n, an, ans or a of length 4 or b of length 2, not {name} of length {len}")]
    Mti {
        /// The type given.
        name: String,
        /// The length given.
        len: u16,
    },
}

impl FieldSpec {
    /// The field that SocketQueue's `type_name` and `len` describe. For DE 0 and DE 1 see [`Encoding::of_mti`] and
    /// [`BitmapForm::of_type`].
    ///
    /// # Errors
    /// [`TypeError::Unknown`] or [`TypeError::Length`].
    pub fn from_type(name: &str, type_name: &str, len: u16) -> Result<FieldSpec, TypeError> {
        let packed = Encoding::Bcd { pad: Side::Left, fill: 0 };
        let fixed = Length::Fixed(len);
        let (content, encoding, length) = match type_name {
            "n" => (Content::Digits, Encoding::Ascii, fixed),
            "a" => (Content::Letters, Encoding::Ascii, fixed),
            "an" => (Content::Alphanumeric, Encoding::Ascii, fixed),
            "ans" => (Content::Text, Encoding::Ascii, fixed),
            "b" | "bitmap" => (Content::Binary, Encoding::Binary, fixed),
            "b-hex" => (Content::Digits, Encoding::BigEndian, fixed),
            "bitmap-hex" => (Content::Binary, Encoding::HexText, fixed),
            "ll-n" => (Content::Digits, Encoding::Ascii, characters(len)),
            "ll-an" => (Content::Text, Encoding::Ascii, characters(len)),
            "ll-b" => (Content::Binary, Encoding::Binary, bcd(len.div_ceil(2))),
            "ll-bin-an" | "ll-bin-n" => (Content::Binary, Encoding::Binary, bcd(len)),
            "ll-bin-hn" => (Content::Digits, packed, bcd(len)),
            "ll-bin-char" => (Content::Text, Encoding::Ascii, bcd(len)),
            _ => return Err(TypeError::Unknown { name: type_name.to_string() }),
        };
        let pad = match type_name {
            "n" | "an" => Some(b'0'),
            "ans" => Some(b' '),
            "b" | "ll-b" => Some(0),
            _ => None,
        };
        let pad = pad.map(|with| Pad { side: Side::Left, with });
        let spec =
            FieldSpec { name: name.into(), type_name: type_name.into(), content, encoding, length, pad };
        let refuse = |reason| TypeError::Length { name: type_name.to_string(), len, reason };
        spec.check().map_err(refuse)?;
        Ok(spec)
    }
}

/// 2 digits up to 99, else 3.
fn characters(max: u16) -> Length {
    let prefix = Prefix::Characters(if max <= 99 { 2 } else { 3 });
    Length::Variable { max, prefix, counts: Counts::Units }
}

/// 1 byte up to 99, else 2.
fn bcd(max: u16) -> Length {
    Length::Variable { max, prefix: Prefix::Bcd(if max <= 99 { 1 } else { 2 }), counts: Counts::Units }
}

impl Encoding {
    /// How an MTI of SocketQueue's `type_name` and `len` is written: four characters, or two bytes of BCD.
    ///
    /// # Errors
    /// [`TypeError::Mti`].
    pub fn of_mti(type_name: &str, len: u16) -> Result<Encoding, TypeError> {
        match (type_name, len) {
            ("n" | "an" | "ans" | "a", 4) => Ok(Encoding::Ascii),
            ("b", 2) => Ok(Encoding::Bcd { pad: Side::Left, fill: 0 }),
            _ => Err(TypeError::Mti { name: type_name.to_string(), len }),
        }
    }
}

impl BitmapForm {
    /// The bitmap of SocketQueue's `type_name` and `len`: `bitmap` and `bitmap-hex` have a secondary when bit 1 says
    /// so (24: and a tertiary when bit 65 does), whatever their length; `b` of 8 bytes is the fixed primary bitmap.
    ///
    /// # Errors
    /// [`TypeError::BitmapLength`], [`TypeError::Unknown`].
    pub fn of_type(type_name: &str, len: u16) -> Result<BitmapForm, TypeError> {
        let groups = match (type_name, len) {
            ("b", 8) => 1,
            ("b", 16) | ("bitmap" | "bitmap-hex", 8 | 16) => 2,
            ("b" | "bitmap" | "bitmap-hex", 24) => 3,
            ("b" | "bitmap" | "bitmap-hex", _) => return Err(TypeError::BitmapLength { len }),
            _ => return Err(TypeError::Unknown { name: type_name.to_string() }),
        };
        Ok(BitmapForm { hex: type_name == "bitmap-hex", groups, tertiary: Tertiary::Contiguous })
    }
}
