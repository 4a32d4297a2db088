//! ISO 8583 as the standard has it: message type, bitmap, fields. No host's habits: those are in [`crate::dialect`].

mod arena;
mod build_error;
mod digits;
mod ebcdic;
mod pack;
mod parse_error;
mod plan;
mod prefix;
mod scan;
mod spans;
mod spec;
mod value;

pub mod bitmap;
pub mod draft;
pub mod emv;
pub mod field;
pub mod mask;
pub mod message;
pub mod mti;
pub mod packer;
pub mod schema;

pub use bitmap::Bitmap;
pub use digits::decimal;
pub use draft::{BuildError, Draft};
pub use field::FieldNumber;
pub use message::{Lenient, MESSAGE_MAX, Measure, Message, ParseError};
pub use mti::Mti;
pub use packer::TypeError;
pub use schema::{BitmapForm, FieldSpec, Schema, SpecError};
