//! What stands around a message on a stream: length headers, TPDU, fixed headers, trailers, or nothing. Pure.
//!
//! A [`Framing`] is made once, at start, from a preset's name, from the text form below or from SocketQueue's
//! `headerFormat`; after that nothing is interpreted any more: reading is one length field, a few comparisons and two
//! splits of the buffer, writing is one copy of a template and a few patched bytes.
//!
//! # The text form
//! ```text
//! framing  = preset | part { "," part }
//! preset   = "none" | "ascii4" | "ascii4-inclusive" | "bin2" | "bin2-inclusive" | "bin4" | "bcd2" | "hex4" | "nac"
//! part     = "fixed"   "(" bytes ")"                      these bytes; on reading anything else is an error
//!          | "header"  "(" bytes { "," choice } ")"       written; on reading any bytes, skipped
//!          | "echo"    "(" bytes { "," choice } ")"       written; on reading any bytes, given back in the reply
//!          | "tpdu"    "(" bytes ")"                      as echo, 5 bytes, the two addresses swapped in the reply
//!          | "length"  "(" code width { "," option } ")"  how many bytes there are
//!          | "self"                                       no length: the dialect tells where a message ends
//!          | "until"   "(" bytes ")"                      no length: the payload ends where these bytes stand
//!          | "trailer" "(" bytes ")"                      these bytes after the payload; anything else is an error
//! choice   = bytes ":" bytes                              for payloads that begin so, these bytes instead
//! code     = "ascii" | "hex" | "bcd" | "bin"              decimal characters, hex characters, packed BCD, binary
//! width    = 1 … 8 bytes, for "bin" optionally followed by "le" (little-endian)
//! option   = "counts" "=" what { "+" what } | "add" "=" [ "-" ] number
//! what     = "payload" | "itself" | "before" | "after" | "trailer" | "all"
//! bytes    = { hex pairs, bare | printable characters in ' ' }
//! ```
//! The parts are given in the order in which they stand on the wire; the payload follows the last part of the header
//! and only a trailer follows the payload. Exactly one of `length`, `self` and `until` says where the payload ends.
//! The number in the length field is the size of what it counts (the payload alone unless `counts` says more: the
//! field itself, the parts before it, the header's parts after it, the trailer, or all) plus `add`.
//!
//! | text | whose |
//! | --- | --- |
//! | `length(bin 2, counts=payload+after), tpdu(6000010000)` | a POS network with network address 0001 |
//! | `length(bin 2, counts=payload+trailer), trailer(03)` | BASE24 over TCP |
//! | `until(03)` | BASE24 on a line |
//! | `fixed(0000), length(bin 2)`, `length(bin 3)` | two zero bytes first; three bytes of length |
//! | `length(ascii 4, counts=payload+trailer), trailer(03)` | BJB with suffix |
//! | `length(bin 2 le)` | PT Pos |
//! | `header('ISO041000017', '08': 'ISO041000067'), self` | Bank Kaltim: originator 6 for network messages |
//! | `fixed('ISO'), echo('000000000'), self` | BRI |
//!
//! # Keep-alives
//! A length that says that nothing follows it (`0000`; where it counts itself also that number, `0004`) is a keep-alive
//! by itself: no part after it and no trailer is expected. A length that says 'header and trailer, but no payload' is
//! an empty frame, taken off with both. `until` with nothing before it is one too. All are skipped, however many.
//!
//! # Who swaps the TPDU
//! [`Frame::envelope`] is what the peer wrote in the `tpdu` and `echo` parts. Whoever answers a frame gives that
//! frame's envelope to [`Framing::encode`], which swaps the TPDU's addresses; whoever writes a frame of its own (a
//! request, also a request that is passed on) gives an empty one and gets the configured bytes. So a listener passes
//! the envelope of the request that it answers, an upstream passes none, save when it answers the host's own 0800.
//! The envelope of a reply is of no use to anyone.

use bytes::Bytes;

use crate::iso8583::ParseError;
use layout::Layout;
use spec::Spec;

mod decode;
mod display;
mod encode;
mod header_format;
mod layout;
mod length;
mod plain;
mod preset;
mod spec;
mod text;

/// The largest frame payload that can be configured, and that is ever written.
pub const FRAME_LEN_CAP: usize = 65_535;

/// A framing, checked. Made from a preset name, SocketQueue's `headerFormat`, or the text form of the
/// [module](crate::framing). Its `Display` gives back a text that parses to an equal framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing {
    /// What was asked for, in normal form; only for display.
    spec: Spec,
    layout: Layout,
}

/// What a framing could not be made from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct FramingSpecError {
    /// What is wrong, with the part that is, and what would be right.
    pub problem: String,
}

impl FramingSpecError {
    fn new(problem: impl Into<String>) -> FramingSpecError {
        FramingSpecError { problem: problem.into() }
    }
}

/// Why a stream cannot be read on, or a message not be written.
///
/// On reading, the position of the next frame is unknown: the connection must end. Offsets count from the first byte
/// of the frame. On writing, nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload is longer than allowed (reading), or than the length field can say or [`FRAME_LEN_CAP`] (writing).
    #[error("frame of {actual} bytes, at most {limit} are allowed")]
    TooLong {
        /// The most bytes of payload.
        limit: usize,
        /// How many there are; where there is no length, how many were seen until it was certain.
        actual: u64,
    },
    /// The length is smaller than what it counts besides the payload.
    #[error(
        "length field at offset {offset} says {actual}, less than the {least} that it counts besides the message"
    )]
    TooShort {
        /// Where the length field stands.
        offset: usize,
        /// What it says.
        actual: u64,
        /// What it says for an empty payload.
        least: u64,
    },
    /// A byte of the length field is no digit of its code.
    #[error("no digit at offset {offset} of the length field")]
    BadDigit {
        /// Which byte.
        offset: usize,
    },
    /// A byte of a fixed part of the header is another one.
    #[error("unexpected byte at offset {offset} of the frame header")]
    BadHeader {
        /// Which byte.
        offset: usize,
    },
    /// What stands behind the payload is not the trailer.
    #[error("unexpected byte at offset {offset}, where the frame trailer should be")]
    BadTrailer {
        /// Which byte.
        offset: usize,
    },
    /// Bytes of a self-delimiting stream that are no message of its dialect.
    #[error("no message of the dialect: {0}")]
    NoMessage(#[from] ParseError),
    /// A message to be written has no bytes. The peer would take it for a keep-alive.
    #[error("an empty message cannot be framed")]
    Empty,
    /// A message to be written holds the bytes that would end it.
    #[error("the message holds the end-of-frame bytes at offset {offset}")]
    HoldsDelimiter {
        /// Where, from the first byte of the message.
        offset: usize,
    },
    /// The envelope is of a frame of another framing.
    #[error("an envelope of {actual} bytes, this framing's have {expected}")]
    ForeignEnvelope {
        /// The size of this framing's envelopes.
        expected: usize,
        /// The size of the one given.
        actual: usize,
    },
}

/// One frame taken off a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The message, without what stood around it. Never empty.
    pub payload: Bytes,
    /// The header bytes that a reply has to give back (TPDU, echoed header); empty for most framings.
    pub envelope: Bytes,
}

impl Framing {
    /// From a preset name (`none`, `ascii4`, `ascii4-inclusive`, `bin2`, `bin2-inclusive`, `bin4`, `bcd2`, `hex4`,
    /// `nac`) or the text form of the [module](crate::framing).
    ///
    /// # Errors
    /// An unknown name, or a text that is no framing, is contradictory or out of bounds; the message names the part.
    ///
    /// # Examples
    /// ```
    /// # use socketqueue::framing::Framing;
    /// let framing = Framing::parse("length(bin 2, counts=payload+after), tpdu(6000010000)").unwrap();
    /// let mut out = bytes::BytesMut::new();
    /// framing.encode(b"0800", b"", &mut out).unwrap();
    /// assert_eq!(&out[..], b"\x00\x09\x60\x00\x01\x00\x000800");
    /// ```
    pub fn parse(text: &str) -> Result<Framing, FramingSpecError> {
        text::parse(text)?.check()
    }

    /// From SocketQueue's `headerFormat` and `lengthIncludeHeader`.
    ///
    /// The format is a comma list of `name:type:length:default`. The field `length` holds the number of bytes: of the
    /// message alone, or with `length_include_header` of the message and all header fields. `headerLength` holds the
    /// size of the header. Every other field is written as its default and skipped on reading. So the original writes
    /// (recorded from SocketQueue 1.4.0); when it reads it does not subtract the header again (its defect D16), while
    /// here both directions count alike.
    ///
    /// # Errors
    /// An unknown type, a missing or unfitting default, no field `length` or two; the message names the field.
    ///
    /// # Examples
    /// ```
    /// # use socketqueue::framing::Framing;
    /// let framing = Framing::from_header_format("length:n:4", true).unwrap();
    /// assert_eq!(framing.to_string(), "ascii4-inclusive");
    /// ```
    pub fn from_header_format(
        format: &str,
        length_include_header: bool,
    ) -> Result<Framing, FramingSpecError> {
        header_format::parse(format, length_include_header)?.check()
    }

    /// No header (SocketQueue's `useHeader=false`): the dialect tells where a message ends.
    pub fn none() -> Framing {
        Framing { spec: Spec::bare(), layout: Layout::bare() }
    }

    /// How many bytes stand around a payload, whatever its size.
    pub fn overhead(&self) -> usize {
        self.layout.head.len() + self.layout.after_payload()
    }
}
