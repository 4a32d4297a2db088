//! A message as it came: spans over one `Bytes`, decoded when asked.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::bitmap::Bitmap;
use super::digits::hex_char;
use super::field::{self, FieldNumber};
use super::mti::Mti;
use super::plan::Check;
use super::scan::{self, Head, Unknown};
use super::schema::{Content, Schema};
use super::spans::{Spans, Untracked};
use super::value;

pub use super::parse_error::ParseError;

/// The most bytes that a message can have, framing not counted: what a two-byte length header can say.
pub const MESSAGE_MAX: usize = 65_535;

/// A parsed message. Cloning it copies no field.
///
/// Values are canonical: characters and digits as ASCII whatever the wire has (EBCDIC characters beyond ASCII as
/// Latin-1), binary fields as raw bytes. Text fields (`a`, `an`, `ans`) may hold any byte: what a peer put there is
/// not judged when it is read, only when we build it.
#[derive(Clone)]
pub struct Message {
    schema: Arc<Schema>,
    raw: Bytes,
    mti: Mti,
    bitmap: Bitmap,
    pub(super) shape: Shape,
    spans: Spans,
}

/// How the head of a message was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether all fields were read that the bitmap names.
    pub is_whole: bool,
    /// Where the bitmap begins.
    pub bitmap_at: u16,
    /// Where the fields begin.
    pub fields_at: u16,
    /// Where a tertiary bitmap in DE 65 begins; 0: there is none.
    pub tertiary_at: u16,
}

/// A host reply that was read as far as it goes.
#[derive(Clone, Debug)]
pub struct Lenient {
    /// The message; fields behind the trouble are missing from it, `raw()` is whole.
    pub message: Message,
    /// What stopped the reading, if anything did.
    pub trouble: Option<ParseError>,
}

/// How long the message at the front of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// That many bytes are the message, and all of them are there.
    Whole(usize),
    /// It can't be known yet, and won't be before so many bytes are there.
    AtLeast(usize),
}

impl Message {
    /// Parses one whole message strictly: every byte accounted for, every field of the dialect, every digit a digit.
    ///
    /// # Errors
    /// Any [`ParseError`]. A bit whose field the dialect lacks is found before any field is read.
    pub fn parse(schema: &Arc<Schema>, raw: Bytes) -> Result<Message, ParseError> {
        let mut message = Message::unread(schema, raw);
        message.read()?;
        Ok(message)
    }

    /// Parses a host's message as far as it goes: reading stops at the first trouble, for behind it nothing is sure.
    ///
    /// # Errors
    /// Only when MTI or bitmap cannot be read, or there are more than [`MESSAGE_MAX`] bytes.
    pub fn parse_lenient(schema: &Arc<Schema>, raw: Bytes) -> Result<Lenient, ParseError> {
        let mut message = Message::unread(schema, raw);
        let trouble = message.read_leniently()?;
        Ok(Lenient { message, trouble })
    }

    /// A message of which nothing was read yet: it has no fields. A message is large, so those who read many make it
    /// where it is to stay, and read it there.
    #[inline]
    pub(crate) fn unread(schema: &Arc<Schema>, raw: Bytes) -> Message {
        let shape = Shape { is_whole: true, bitmap_at: 0, fields_at: 0, tertiary_at: 0 };
        let (mti, bitmap) = (Mti::new(0), Bitmap::EMPTY);
        Message { schema: schema.clone(), raw, mti, bitmap, shape, spans: Spans::new() }
    }

    /// [`Message::parse`] in place. After an error it still has no fields.
    #[inline]
    pub(crate) fn read(&mut self) -> Result<(), ParseError> {
        let mut head = Head::empty();
        self.read_head(Unknown::Refused, &mut head)?;
        let end = scan::walk(&self.schema, &self.raw, &mut head, Unknown::Refused, &mut self.spans)?;
        if end < self.raw.len() {
            return Err(ParseError::TrailingBytes { offset: end, count: self.raw.len() - end });
        }
        self.note(&head);
        Ok(())
    }

    /// [`Message::parse_lenient`] in place: what stopped the reading, if anything did.
    #[inline]
    pub(crate) fn read_leniently(&mut self) -> Result<Option<ParseError>, ParseError> {
        let mut head = Head::empty();
        self.read_head(Unknown::Met, &mut head)?;
        let end = scan::walk(&self.schema, &self.raw, &mut head, Unknown::Met, &mut self.spans);
        self.note(&head);
        let len = self.raw.len();
        let trouble = match end {
            Ok(end) if end == len && self.bitmap != Bitmap::EMPTY => return Ok(None),
            Err(trouble) => trouble,
            Ok(end) if end < len => ParseError::TrailingBytes { offset: end, count: len - end },
            Ok(_) => ParseError::NoFields,
        };
        let unread: Vec<FieldNumber> = self.bitmap.iter().skip(self.spans.len()).collect();
        let lacks_bitmap = head.announces_65 && head.tertiary_at == 0;
        self.shape.is_whole = unread.is_empty() && !lacks_bitmap;
        unread.into_iter().for_each(|n| self.bitmap.remove(n));
        Ok(Some(trouble))
    }

    /// How many bytes the message at the front of `buf` has; `None` while that cannot be known yet. For streams
    /// without a header. Errors as soon as the bytes there can be no message.
    pub fn measure(schema: &Schema, buf: &[u8]) -> Result<Option<usize>, ParseError> {
        match Message::measure_at_least(schema, buf)? {
            Measure::Whole(len) => Ok(Some(len)),
            Measure::AtLeast(_) => Ok(None),
        }
    }

    /// The same, and while it cannot be known, how many bytes must be there before asking again makes sense.
    ///
    /// # Errors
    /// Those of [`Message::parse`] but for [`ParseError::TrailingBytes`] and [`ParseError::Truncated`], and
    /// [`ParseError::MessageTooLong`] as soon as the message must become longer than [`MESSAGE_MAX`].
    pub fn measure_at_least(schema: &Schema, buf: &[u8]) -> Result<Measure, ParseError> {
        let buf = buf.get(..MESSAGE_MAX).unwrap_or(buf);
        let mut head = Head::empty();
        let end = scan::read_head(schema, buf, Unknown::Refused, &mut head)
            .and_then(|()| scan::walk(schema, buf, &mut head, Unknown::Refused, &mut Untracked));
        match end {
            Ok(len) => Ok(Measure::Whole(len)),
            Err(ParseError::Truncated { needed, .. }) if needed > MESSAGE_MAX => {
                Err(ParseError::MessageTooLong { len: needed })
            }
            Err(ParseError::Truncated { needed, .. }) => Ok(Measure::AtLeast(needed)),
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads MTI and bitmap.
    #[inline(always)]
    fn read_head(&mut self, unknown: Unknown, head: &mut Head) -> Result<(), ParseError> {
        if self.raw.len() > MESSAGE_MAX {
            return Err(ParseError::MessageTooLong { len: self.raw.len() });
        }
        scan::read_head(&self.schema, &self.raw, unknown, head)?;
        self.mti = head.mti;
        self.shape.bitmap_at = offset(scan::mti_len(&self.schema));
        self.shape.fields_at = offset(head.end);
        Ok(())
    }

    /// What the head has learned from the fields: the tertiary bitmap in DE 65.
    #[inline]
    fn note(&mut self, head: &Head) {
        self.bitmap = head.bitmap();
        self.shape.tertiary_at = offset(head.tertiary_at);
    }

    /// The MTI.
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// Which fields there are. Bits that announce a further bitmap (1, and 65 where the dialect has a tertiary one)
    /// are not among them.
    pub fn bitmap(&self) -> Bitmap {
        self.bitmap
    }

    /// The bitmaps in front of the fields as they came, announcing bits included, as upper-case hex: what SocketQueue
    /// shows as field 1.
    pub fn bitmap_hex(&self) -> String {
        let (from, to) = (usize::from(self.shape.bitmap_at), usize::from(self.shape.fields_at));
        let bytes = self.raw.get(from..to).unwrap_or_default();
        if !self.schema.bitmap.hex {
            let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
            return nibbles.map(|nibble| char::from(hex_char(nibble).to_ascii_uppercase())).collect();
        }
        let is_ebcdic = self.schema.mti == super::schema::Encoding::Ebcdic;
        let ascii = bytes.iter().map(|byte| if is_ebcdic { super::ebcdic::decode(*byte) } else { *byte });
        ascii.map(|character| char::from(character.to_ascii_uppercase())).collect()
    }

    /// Whether field `n` is there.
    #[inline(always)]
    pub fn has(&self, n: FieldNumber) -> bool {
        self.bitmap.has(n)
    }

    /// The canonical value of field `n`. DE 0 gives the MTI's digits.
    #[inline(always)]
    pub fn value(&self, n: FieldNumber) -> Option<Cow<'_, [u8]>> {
        match self.wire(n) {
            Some(wire) => Some(value::decode(self.schema.plan(n), wire)),
            None if n == field::MTI => Some(Cow::Owned(self.mti.digits().to_vec())),
            None => None,
        }
    }

    /// Whether field `n` has the same value here and in `other`, or is missing in one of them.
    #[inline(always)]
    pub fn agrees_with(&self, other: &Message, n: FieldNumber) -> bool {
        let Some(own) = self.wire(n) else { return true };
        let Some(others) = other.wire(n) else { return true };
        // The same bytes under the same table are the same value; other bytes can still be (a filler, an EBCDIC blank).
        (own == others && Arc::ptr_eq(&self.schema, &other.schema)) || self.means_the_same(other, n)
    }

    #[inline(never)]
    fn means_the_same(&self, other: &Message, n: FieldNumber) -> bool {
        self.value(n) == other.value(n)
    }

    /// The canonical value of field `n`, if it stands on the wire as it is: most do.
    #[inline(always)]
    pub(crate) fn plain(&self, n: FieldNumber) -> Option<&[u8]> {
        value::plain(self.schema.plan(n), self.wire(n)?)
    }

    /// Whether field `n`, if it is there, is known to have nothing but ASCII digits: they were looked at when it was read.
    #[inline(always)]
    pub(crate) fn is_digits(&self, n: FieldNumber) -> bool {
        self.schema.plan(n).check == Check::Digits
    }

    /// The characters of field `n`, if it has such, and they stand on the wire as they are. Any byte can be among them.
    #[inline]
    pub(crate) fn plain_text(&self, n: FieldNumber) -> Option<&[u8]> {
        self.plain(n).filter(|_| self.schema.plan(n).content != Content::Binary)
    }

    /// The canonical value as text; binary fields as lower-case hex. Bytes outside ASCII are shown as `\xNN`.
    ///
    /// By it fields compare alike in every dialect: digits that one dialect writes as characters and another keeps in
    /// a binary field (openWay's `b`: BCD) are the same text, but for leading zeros.
    pub fn text(&self, n: FieldNumber) -> Option<Cow<'_, str>> {
        let content = if n == field::MTI { Content::Digits } else { self.schema.plan(n).content };
        Some(value::text(content, self.value(n)?))
    }

    /// Field `n` as it stands on the wire, length prefix included.
    #[inline(always)]
    pub fn wire(&self, n: FieldNumber) -> Option<&[u8]> {
        let (start, end) = self.span(n)?;
        self.raw.get(start..end)
    }

    /// Where field `n` begins, its length prefix included, and ends.
    #[inline(always)]
    pub(super) fn span(&self, n: FieldNumber) -> Option<(usize, usize)> {
        let span = self.spans.get(&self.bitmap, n)?;
        Some((usize::from(span.start), usize::from(span.end)))
    }

    /// The whole message as it came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The table it was read by.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

/// Every offset is at most the message's length, and that was held against [`MESSAGE_MAX`].
fn offset(at: usize) -> u16 {
    at as u16
}

impl std::fmt::Debug for Message {
    /// MTI and field numbers only: a stray debug print must not leak.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({}", self.mti)?;
        for n in self.bitmap.iter() {
            write!(f, " {n}")?;
        }
        write!(f, ")")
    }
}
