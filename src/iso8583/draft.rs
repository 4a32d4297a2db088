//! A message being made, or changed.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::arena::Arena;
use super::bitmap::Bitmap;
use super::digits::hex_char;
use super::ebcdic;
use super::field::{self, FieldNumber};
use super::message::{MESSAGE_MAX, Message, Shape};
use super::mti::Mti;
use super::pack;
use super::scan::group_len;
use super::schema::{Content, Encoding, Schema, Tertiary};
use super::value;

pub use super::build_error::BuildError;

/// A message being built. What was taken over from a [`Message`] and not changed is copied as it stood on the wire,
/// also where it could be encoded otherwise.
///
/// A field is encoded when it is set. What can't be encoded is kept as it was given, with the reason: see
/// [`Draft::errors`]. Nothing is ever cut to fit.
#[derive(Clone)]
pub struct Draft {
    schema: Arc<Schema>,
    mti: Mti,
    base: Option<Base>,
    /// In ascending order of fields.
    entries: SmallVec<[Entry; 32]>,
    fields: Bitmap,
    /// The last of them; DE 0 while there is none.
    last: FieldNumber,
    arena: Arena,
    /// The arena has the fields in ascending order, and the base has none of them.
    is_straight: bool,
    errors: Vec<(FieldNumber, BuildError)>,
}

/// The message that a draft began as.
#[derive(Clone)]
struct Base {
    raw: Bytes,
    fields: Bitmap,
    shape: Shape,
}

/// One field of a draft: where its bytes are.
#[derive(Clone, Copy)]
struct Entry {
    field: FieldNumber,
    source: Source,
    start: u32,
    end: u32,
}

/// What the bytes of an entry are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Wire bytes of the message that the draft began as.
    Base,
    /// Wire bytes in the arena.
    Arena,
    /// A canonical value, in the arena, that cannot be encoded.
    BadValue,
    /// A text, in the arena, that cannot be encoded.
    BadText,
}

impl Draft {
    /// An empty message.
    pub fn new(schema: &Arc<Schema>, mti: Mti) -> Draft {
        Draft {
            schema: schema.clone(),
            mti,
            base: None,
            entries: SmallVec::new(),
            fields: Bitmap::EMPTY,
            last: field::MTI,
            arena: Arena::new(),
            is_straight: true,
            errors: Vec::new(),
        }
    }

    /// The fields of `message`, as they stand; of a [`Lenient`](super::Lenient) one, those that were read.
    pub fn of(message: &Message) -> Draft {
        Draft::of_some(message, &message.bitmap())
    }

    /// Those of `fields` that `message` has, as they stand.
    pub fn of_some(message: &Message, fields: &Bitmap) -> Draft {
        // Each of them has a span.
        let fields = message.bitmap().and(fields);
        let entry = |field| {
            let (start, end) = message.span(field).unwrap_or_default();
            Entry { field, source: Source::Base, start: start as u32, end: end as u32 }
        };
        let entries: SmallVec<[Entry; 32]> = fields.iter().map(entry).collect();
        Draft {
            schema: message.schema().clone(),
            mti: message.mti(),
            base: Some(Base { raw: message.raw().clone(), fields: message.bitmap(), shape: message.shape }),
            last: entries.last().map_or(field::MTI, |last| last.field),
            entries,
            fields,
            arena: Arena::new(),
            is_straight: false,
            errors: Vec::new(),
        }
    }

    /// Empties the draft for another message; what it has allocated stays.
    pub fn clear(&mut self, mti: Mti) -> &mut Draft {
        self.mti = mti;
        self.base = None;
        self.entries.clear();
        self.fields = Bitmap::EMPTY;
        self.last = field::MTI;
        self.arena.clear();
        self.is_straight = true;
        self.errors.clear();
        self
    }

    /// The MTI.
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// Sets the MTI.
    pub fn set_mti(&mut self, mti: Mti) -> &mut Draft {
        self.mti = mti;
        self.forget_error(field::MTI);
        self
    }

    /// The table that it is built by.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Sets field `n` to a canonical value: ASCII characters or digits; raw bytes for a binary field. A short value of
    /// a fixed field is filled up as the dialect says. DE 0 sets the MTI; DE 1, being made from the others, nothing.
    #[inline]
    pub fn set(&mut self, n: FieldNumber, value: &[u8]) -> &mut Draft {
        let start = self.arena.len();
        if n > self.last && pack::pack_plain(self.schema.plan_if_known(n), value, &mut self.arena) {
            return self.insert(n, Source::Arena, start);
        }
        self.set_carefully(n, value)
    }

    /// Sets field `n` to a text as [`Message::text`] gives it: hex (either case) for a binary field, else the value's
    /// characters. Where the dialect pads a binary field on the left, an odd number of hex digits gets a zero in front.
    pub fn set_text(&mut self, n: FieldNumber, text: &str) -> &mut Draft {
        let plan = *self.schema.plan_if_known(n);
        if plan.content != Content::Binary || !self.schema.has(n) {
            return self.set(n, text.as_bytes());
        }
        // A hex text longer than any message is not worth decoding.
        let len = text.len().div_ceil(2);
        if len > MESSAGE_MAX {
            let error = BuildError::TooLong { field: n, len, max: usize::from(plan.max) };
            return self.remove(n).insert_bad(n, Source::BadText, text.as_bytes(), error);
        }
        match pack::from_hex(&plan, n, text.as_bytes()) {
            Ok(bytes) => self.set(n, &bytes),
            Err(error) => self.remove(n).insert_bad(n, Source::BadText, text.as_bytes(), error),
        }
    }

    /// Takes field `n` over from `message`: as it stands on the wire where both have it the same way, else its value.
    /// Removes it where `message` lacks it.
    pub fn take(&mut self, message: &Message, n: FieldNumber) -> &mut Draft {
        let Some(wire) = message.wire(n) else { return self.remove(n) };
        let same = Arc::ptr_eq(&self.schema, message.schema())
            || self.schema.plan_if_known(n) == message.schema().plan_if_known(n);
        if !same {
            let text = message.text(n).unwrap_or_default();
            return self.set_text(n, &text);
        }
        self.remove(n);
        let start = self.arena.len();
        self.arena.push(wire);
        self.insert(n, Source::Arena, start)
    }

    /// Removes field `n`.
    pub fn remove(&mut self, n: FieldNumber) -> &mut Draft {
        if !self.fields.has(n) {
            return self;
        }
        let Ok(index) = self.entries.binary_search_by_key(&n, |entry| entry.field) else { return self };
        let removed = self.entries.remove(index);
        self.fields.remove(n);
        self.last = self.entries.last().map_or(field::MTI, |last| last.field);
        self.forget_error(n);
        if removed.source != Source::Base {
            let (start, end) = (removed.start as usize, removed.end as usize);
            self.arena.cut(start..end);
            for entry in self.entries.iter_mut().filter(|entry| entry.source != Source::Base) {
                if entry.start >= removed.end {
                    entry.start -= removed.end - removed.start;
                    entry.end -= removed.end - removed.start;
                }
            }
        }
        self
    }

    /// Removes field `n` if what it was set to can't be encoded.
    pub fn remove_bad(&mut self, n: FieldNumber) -> &mut Draft {
        if self.errors.iter().any(|(bad, _)| *bad == n) {
            self.remove(n);
        }
        self
    }

    /// Whether field `n` is set.
    pub fn has(&self, n: FieldNumber) -> bool {
        self.fields.has(n)
    }

    /// Which fields are set.
    pub fn fields(&self) -> Bitmap {
        self.fields
    }

    /// The canonical value of field `n`, as it goes out: filled up where it was short. Of a field that can't be
    /// encoded, what it was set to. DE 0 gives the MTI's digits.
    pub fn value(&self, n: FieldNumber) -> Option<Cow<'_, [u8]>> {
        if n == field::MTI {
            return Some(Cow::Owned(self.mti.digits().to_vec()));
        }
        let (entry, bytes) = self.entry(n)?;
        match entry.source {
            Source::Base | Source::Arena => Some(value::decode(self.schema.plan(n), bytes)),
            Source::BadValue | Source::BadText => Some(Cow::Borrowed(bytes)),
        }
    }

    /// The canonical value as text, as [`Message::text`] gives it. Of a field that can't be encoded, what it was set to.
    pub fn text(&self, n: FieldNumber) -> Option<Cow<'_, str>> {
        if n == field::MTI {
            return Some(value::text(Content::Digits, self.value(n)?));
        }
        let (entry, _) = self.entry(n)?;
        let content =
            if entry.source == Source::BadText { Content::Text } else { self.schema.plan(n).content };
        Some(value::text(content, self.value(n)?))
    }

    /// Everything that keeps the draft from being encoded, field by field in ascending order.
    pub fn errors(&self) -> Vec<(FieldNumber, BuildError)> {
        let mut errors = self.errors.clone();
        errors.sort_by_key(|(n, _)| *n);
        errors
    }

    /// Appends the message's bytes to `out`. On an error `out` is as it was. A secondary bitmap is written when a
    /// field needs it, or when the draft still has just the fields of a message that had one.
    ///
    /// # Errors
    /// The first of [`Draft::errors`]; [`BuildError::NoFields`]; [`BuildError::MessageTooLong`].
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), BuildError> {
        if !self.errors.is_empty() {
            let first = self.errors.iter().min_by_key(|(n, _)| *n);
            return first.map_or(Ok(()), |(_, error)| Err(*error));
        }
        if self.mti.class() == 0 {
            return Err(BuildError::BadMti);
        }
        if self.entries.is_empty() {
            return Err(BuildError::NoFields);
        }
        let before = out.len();
        // MTI, three groups in hex, and what the fields need at most.
        let base = self.base.as_ref().map_or(0, |base| base.raw.len());
        out.reserve(4 + 48 + self.arena.len() + base);
        self.write_mti(out);
        self.write_bitmap(out);
        self.write_fields(out);
        let len = out.len() - before;
        if len > MESSAGE_MAX {
            out.truncate(before);
            return Err(BuildError::MessageTooLong { len });
        }
        Ok(())
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// Those of [`Draft::encode`].
    pub fn to_bytes(&self) -> Result<Bytes, BuildError> {
        let mut out = BytesMut::with_capacity(512);
        self.encode(&mut out)?;
        Ok(out.freeze())
    }

    /// Encodes and parses: the message itself.
    ///
    /// # Errors
    /// Those of [`Draft::encode`].
    pub fn finish(&self) -> Result<Message, BuildError> {
        Message::parse(&self.schema, self.to_bytes()?).map_err(BuildError::NotReadable)
    }
}

impl Draft {
    /// What is no field of its own: DE 0, and a DE 1 that is the bitmap.
    fn is_head(&self, n: FieldNumber) -> bool {
        n == field::MTI || (n == field::BITMAP && !self.schema.has(n))
    }

    fn set_head(&mut self, n: FieldNumber, value: &[u8]) -> &mut Draft {
        if n != field::MTI {
            return self;
        }
        match Mti::parse(value).filter(|mti| mti.class() > 0) {
            Some(mti) => self.set_mti(mti),
            None => {
                self.forget_error(n);
                self.errors.push((n, BuildError::BadMti));
                self
            }
        }
    }

    /// In any order, and every encoding.
    #[inline(never)]
    fn set_carefully(&mut self, n: FieldNumber, value: &[u8]) -> &mut Draft {
        if self.is_head(n) {
            return self.set_head(n, value);
        }
        self.remove(n);
        let start = self.arena.len();
        match pack::pack(self.schema.plan_if_known(n), n, value, &mut self.arena) {
            Ok(()) => self.insert(n, Source::Arena, start),
            Err(error) => self.insert_bad(n, Source::BadValue, value, error),
        }
    }

    /// Adds the entry of field `n`, which has none, with what the arena has from `start` on.
    #[inline]
    fn insert(&mut self, n: FieldNumber, source: Source, start: usize) -> &mut Draft {
        let end = self.arena.len() as u32;
        let entry = Entry { field: n, source, start: start as u32, end };
        if n > self.last && self.entries.len() < self.entries.capacity() {
            self.entries.push(entry);
            self.last = n;
        } else {
            self.insert_anywhere(entry);
        }
        self.fields.insert(n);
        self
    }

    #[inline(never)]
    fn insert_anywhere(&mut self, entry: Entry) {
        let index = self.entries.partition_point(|other| other.field < entry.field);
        self.is_straight &= index == self.entries.len();
        self.entries.insert(index, entry);
        self.last = self.last.max(entry.field);
    }

    fn insert_bad(&mut self, n: FieldNumber, source: Source, value: &[u8], error: BuildError) -> &mut Draft {
        let start = self.arena.len();
        // It is kept to be looked at only; a longer one would be wrong for its length alone.
        self.arena.push(value.get(..MESSAGE_MAX).unwrap_or(value));
        self.errors.push((n, error));
        self.insert(n, source, start)
    }

    fn forget_error(&mut self, n: FieldNumber) {
        if !self.errors.is_empty() {
            self.errors.retain(|(wrong, _)| *wrong != n);
        }
    }

    fn entry(&self, n: FieldNumber) -> Option<(Entry, &[u8])> {
        let entry = *self.entries.get(self.fields.rank(n)?)?;
        let bytes = match entry.source {
            Source::Base => self.base.as_ref()?.raw.as_ref(),
            _ => &self.arena,
        };
        Some((entry, bytes.get(entry.start as usize..entry.end as usize)?))
    }

    fn write_mti(&self, out: &mut BytesMut) {
        match self.schema.mti {
            Encoding::Bcd { .. } | Encoding::Binary => out.extend_from_slice(&self.mti.bcd().to_be_bytes()),
            Encoding::Ebcdic => out.extend_from_slice(&self.mti.digits().map(ebcdic::encode)),
            _ => out.extend_from_slice(&self.mti.digits()),
        }
    }

    /// The base, if the draft still has just the fields that its bitmap names.
    fn same_fields(&self) -> Option<&Base> {
        self.base.as_ref().filter(|base| base.shape.is_whole && base.fields == self.fields)
    }

    fn write_bitmap(&self, out: &mut BytesMut) {
        if let Some(base) = self.same_fields() {
            let bitmap = usize::from(base.shape.bitmap_at)..usize::from(base.shape.fields_at);
            return out.extend_from_slice(base.raw.get(bitmap).unwrap_or_default());
        }
        const ANNOUNCES_NEXT: u64 = 1 << 63;
        let [mut first, mut second, third] = self.fields.groups();
        if third != 0 {
            second |= ANNOUNCES_NEXT;
        }
        if second != 0 {
            first |= ANNOUNCES_NEXT;
        }
        self.write_group(first, out);
        if second != 0 {
            self.write_group(second, out);
        }
        if third != 0 && self.schema.bitmap.tertiary == Tertiary::Contiguous {
            self.write_group(third, out);
        }
    }

    fn write_group(&self, group: u64, out: &mut BytesMut) {
        let bytes = group.to_be_bytes();
        if !self.schema.bitmap.hex {
            return out.extend_from_slice(&bytes);
        }
        let is_ebcdic = self.schema.mti == Encoding::Ebcdic;
        let characters = bytes.iter().flat_map(|byte| [hex_char(byte >> 4), hex_char(*byte)]);
        out.extend(characters.map(|character| if is_ebcdic { ebcdic::encode(character) } else { character }));
    }

    /// The fields in ascending order, neighbours of one source in one go.
    fn write_fields(&self, out: &mut BytesMut) {
        let base = self.base.as_ref().map_or(&[][..], |base| &base.raw);
        let mut tertiary_due = self.schema.bitmap.tertiary == Tertiary::InField65 && self.has_tertiary();
        if self.is_straight && !tertiary_due {
            return out.extend_from_slice(&self.arena);
        }
        let mut run = (Source::Arena, 0, 0);
        let flush = |(source, start, end): (Source, u32, u32), out: &mut BytesMut| {
            let bytes = if source == Source::Base { base } else { &self.arena };
            out.extend_from_slice(bytes.get(start as usize..end as usize).unwrap_or_default());
        };
        for entry in &self.entries {
            let after_65 = tertiary_due && entry.field > field::TERTIARY_BITMAP;
            if !after_65 && entry.source == run.0 && entry.start == run.2 {
                run.2 = entry.end;
                continue;
            }
            flush(run, out);
            if after_65 {
                self.write_tertiary(out);
                tertiary_due = false;
            }
            run = (entry.source, entry.start, entry.end);
        }
        flush(run, out);
        if tertiary_due {
            self.write_tertiary(out);
        }
    }

    fn has_tertiary(&self) -> bool {
        let taken_over = self.same_fields().is_some_and(|base| base.shape.tertiary_at > 0);
        taken_over || self.fields.groups()[2] != 0
    }

    /// DE 65, where it is the tertiary bitmap.
    fn write_tertiary(&self, out: &mut BytesMut) {
        match self.same_fields() {
            Some(base) if base.shape.tertiary_at > 0 => {
                let at = usize::from(base.shape.tertiary_at);
                let bitmap = base.raw.get(at..at + group_len(&self.schema));
                out.extend_from_slice(bitmap.unwrap_or_default());
            }
            _ => self.write_group(self.fields.groups()[2], out),
        }
    }
}

impl std::fmt::Debug for Draft {
    /// MTI and field numbers only: a stray debug print must not leak.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({}", self.mti)?;
        for n in self.fields.iter() {
            write!(f, " {n}")?;
        }
        write!(f, ")")
    }
}
