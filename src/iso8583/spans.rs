//! Where the fields of a message stand.

use smallvec::SmallVec;

use super::bitmap::Bitmap;
use super::field::FieldNumber;

/// The bytes of one field, its length prefix included. A message is at most 65,535 bytes long.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub start: u16,
    pub end: u16,
}

/// One span for each field of a bitmap.
///
/// Fields 1 to 64, which is nearly all that is ever asked for, have their places; the others follow in their order.
#[derive(Clone)]
pub(super) struct Spans {
    first: [Span; 64],
    others: SmallVec<[Span; 2]>,
}

/// What is noted of the fields while they are read, in ascending order.
pub(super) trait Track {
    /// The field of this bit (0: the leftmost) of this group is there.
    fn put(&mut self, group: usize, bit: u32, span: Span);
    /// Forgets everything.
    fn clear(&mut self);
}

/// Nothing is noted.
pub(super) struct Untracked;

impl Spans {
    pub(super) fn new() -> Spans {
        Spans { first: [Span::default(); 64], others: SmallVec::new() }
    }

    /// How many there are. (Looked for: only what is wrong with a message makes anybody ask.)
    pub(super) fn len(&self) -> usize {
        self.first.iter().filter(|span| span.end > 0).count() + self.others.len()
    }

    /// That of field `n`, if `fields` has it: the fields that were put in, and no others.
    #[inline(always)]
    pub(super) fn get(&self, fields: &Bitmap, n: FieldNumber) -> Option<Span> {
        if !fields.has(n) {
            return None;
        }
        match self.first.get(n.index().wrapping_sub(1)) {
            Some(span) => Some(*span),
            None => self.behind_64(fields, n),
        }
    }

    #[inline(never)]
    fn behind_64(&self, fields: &Bitmap, n: FieldNumber) -> Option<Span> {
        self.others.get(fields.rank_behind_64(n)?).copied()
    }
}

impl Track for Spans {
    #[inline]
    fn put(&mut self, group: usize, bit: u32, span: Span) {
        match self.first.get_mut(bit as usize) {
            Some(place) if group == 0 => *place = span,
            _ => self.others.push(span),
        }
    }

    fn clear(&mut self) {
        *self = Spans::new();
    }
}

impl Track for Untracked {
    #[inline]
    fn put(&mut self, _group: usize, _bit: u32, _span: Span) {}

    fn clear(&mut self) {}
}

impl Span {
    /// Every offset is at most the message's length, and that is held against `MESSAGE_MAX`; in a walk that fails it
    /// may be wrong, and is forgotten.
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u16, end: end as u16 }
    }
}
