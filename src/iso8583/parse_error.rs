//! Why bytes are no message of a dialect.

use super::field::FieldNumber;
use super::message::MESSAGE_MAX;

/// Why bytes are no message of a dialect. Never holds card data. Offsets count from the first byte of the MTI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end inside MTI (DE 0), bitmap (DE 1) or a field.
    #[error("field {field} at byte {offset} is cut off: {needed} bytes needed so far, {have} there")]
    Truncated {
        /// The field that is cut off.
        field: FieldNumber,
        /// Where it begins, length prefix included.
        offset: usize,
        /// How many bytes the message must have at least.
        needed: usize,
        /// How many there are.
        have: usize,
    },
    /// Bytes after the last field.
    #[error("{count} bytes left over after the last field, from byte {offset} on")]
    TrailingBytes {
        /// Where they begin.
        offset: usize,
        /// How many.
        count: usize,
    },
    /// The bitmap names a field that the dialect lacks.
    #[error("field {field} is not part of the dialect (byte {offset})")]
    UnknownField {
        /// The field.
        field: FieldNumber,
        /// The byte of the bitmap that names it; in lenient reading the byte where the field begins.
        offset: usize,
    },
    /// A length prefix above the field's maximum.
    #[error("field {field} at byte {offset} is {len} long, at most {max} allowed")]
    TooLong {
        /// The field.
        field: FieldNumber,
        /// Where it begins.
        offset: usize,
        /// What its prefix says, in what it counts.
        len: usize,
        /// The most that it may say.
        max: usize,
    },
    /// A byte of a length prefix that is no digit.
    #[error("the length of field {field} has no digit at byte {offset}")]
    BadLengthDigit {
        /// The field.
        field: FieldNumber,
        /// The offending byte.
        offset: usize,
    },
    /// An odd count of hex characters.
    #[error("field {field} at byte {offset} has an odd number of hex characters ({len})")]
    OddHex {
        /// The field.
        field: FieldNumber,
        /// Where it begins.
        offset: usize,
        /// What its prefix says.
        len: usize,
    },
    /// A byte that is no decimal digit where one must stand; for hex text, no hex digit.
    #[error("field {field} has no digit at byte {offset}")]
    BadDigit {
        /// The field.
        field: FieldNumber,
        /// The offending byte.
        offset: usize,
    },
    /// A nibble of packed BCD that is no decimal digit, or a filler nibble that is not the dialect's.
    #[error("field {field} has no packed digit or a wrong filler at byte {offset}")]
    BadNibble {
        /// The field.
        field: FieldNumber,
        /// The byte that has it.
        offset: usize,
    },
    /// The MTI is not four digits, or its class (second digit) is 0, which the standard reserves.
    #[error("no message type at byte {offset}")]
    BadMti {
        /// The offending byte.
        offset: usize,
    },
    /// A byte of a hex bitmap that is no hex digit.
    #[error("the bitmap has no hex digit at byte {offset}")]
    BadBitmap {
        /// The offending byte.
        offset: usize,
    },
    /// A bitmap that names no field at all.
    #[error("the bitmap names no field")]
    NoFields,
    /// More than a message can have.
    #[error("{len} bytes, at most {MESSAGE_MAX} allowed")]
    MessageTooLong {
        /// The length, as far as it is known.
        len: usize,
    },
}
