//! Why a draft is no message of its dialect.

use super::field::FieldNumber;
use super::message::{MESSAGE_MAX, ParseError};

/// Why a draft is no message of its dialect. Never holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The dialect lacks the field, or its bitmap has no room for it.
    #[error("field {field} is not part of the dialect")]
    UnknownField {
        /// The field.
        field: FieldNumber,
    },
    /// The value is longer than the field can be. Nothing is ever cut.
    #[error("field {field} is {len} long, at most {max} allowed")]
    TooLong {
        /// The field.
        field: FieldNumber,
        /// Digits, characters or bytes of the value.
        len: usize,
        /// The most that there may be.
        max: usize,
    },
    /// The value of a fixed field is shorter than the field and the dialect does not say how to fill it up; or empty.
    #[error("field {field} is {len} long, must be {expected}")]
    TooShort {
        /// The field.
        field: FieldNumber,
        /// Digits, characters or bytes of the value.
        len: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A character that is no decimal digit.
    #[error("field {field} must have digits only, see character {}", .index + 1)]
    BadDigit {
        /// The field.
        field: FieldNumber,
        /// Its index in the value.
        index: usize,
    },
    /// A character that the field may not have: what we build has printable ASCII only.
    #[error("field {field} may not have character {} of its value", .index + 1)]
    BadCharacter {
        /// The field.
        field: FieldNumber,
        /// Its index in the value.
        index: usize,
    },
    /// Text of a binary field that is not hex.
    #[error("field {field} must be hex, see character {}", .index + 1)]
    BadHex {
        /// The field.
        field: FieldNumber,
        /// The index of the first character that is no hex digit.
        index: usize,
    },
    /// Hex text of a binary field with half a byte too few.
    #[error("field {field} must have an even number of hex digits, not {len}")]
    OddHex {
        /// The field.
        field: FieldNumber,
        /// How many there are.
        len: usize,
    },
    /// A number that the bytes of the field can't hold.
    #[error("field {field} is too big a number for {bytes} bytes")]
    NumberTooBig {
        /// The field.
        field: FieldNumber,
        /// How many bytes it has.
        bytes: usize,
    },
    /// DE 0 was set to what is no MTI.
    #[error("the message type must be four digits with a class (second digit) above 0")]
    BadMti,
    /// There is no field at all.
    #[error("a message must have a field")]
    NoFields,
    /// Longer than a message can be.
    #[error("the message is {len} bytes long, at most {MESSAGE_MAX} allowed")]
    MessageTooLong {
        /// How long it would be.
        len: usize,
    },
    /// What was built is not read again: an inconsistent schema.
    #[error("what was built can not be read again")]
    NotReadable(#[source] ParseError),
}
