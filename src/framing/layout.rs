//! A framing laid out: what is copied, compared and patched for each frame.

use super::length::LengthField;
use super::plain::Plain;

/// A framing as reading and writing use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The whole header as it is written, with zeros where the length stands.
    pub(super) head: Vec<u8>,
    /// What is compared on reading.
    pub(super) fixed: Vec<Fixed>,
    /// What depends on the payload when a header is written.
    pub(super) choices: Vec<Choice>,
    /// What is given back in a reply, in the order of the wire.
    pub(super) echoes: Vec<Echo>,
    pub(super) end: End,
    /// Empty: none.
    pub(super) trailer: Box<[u8]>,
    /// That there is nothing but a length of a common kind.
    pub(super) plain: Option<Plain>,
}

/// What tells where the payload ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Length(LengthField),
    Message,
    Until(Box<[u8]>),
}

/// Bytes of the header that must be these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) at: usize,
    pub(super) bytes: Box<[u8]>,
}

/// Bytes of the header for payloads that begin with `when`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) at: usize,
    pub(super) when: Box<[u8]>,
    pub(super) bytes: Box<[u8]>,
}

/// Bytes of the header that a reply gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo {
    pub(super) at: usize,
    pub(super) len: usize,
    /// A TPDU, whose addresses change places.
    pub(super) swap: bool,
}

impl Layout {
    /// No header, no trailer.
    pub(super) fn bare() -> Layout {
        Layout {
            head: Vec::new(),
            fixed: Vec::new(),
            choices: Vec::new(),
            echoes: Vec::new(),
            end: End::Message,
            trailer: Box::default(),
            plain: None,
        }
    }

    /// How many bytes stand after the payload.
    pub(super) fn after_payload(&self) -> usize {
        match &self.end {
            End::Until(bytes) => bytes.len(),
            End::Length(_) | End::Message => self.trailer.len(),
        }
    }

    /// Which bytes of the header an envelope holds: from the first that a reply gives back to the last.
    pub(super) fn envelope(&self) -> Option<std::ops::Range<usize>> {
        let (first, last) = (self.echoes.first()?, self.echoes.last()?);
        Some(first.at..last.at + last.len)
    }
}
