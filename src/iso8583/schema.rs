//! How one host writes its messages: the encoding of the MTI, the bitmap and each field.

use super::bitmap::Bitmap;
use super::field::{self, FieldNumber};
use super::plan::{Plan, Shape};

pub use super::packer::TypeError;
pub use super::spec::{Content, Counts, Encoding, FieldSpec, Length, Pad, Prefix, Side, SpecError};

/// How the bitmap is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapForm {
    /// Raw bytes or hex characters (read in either case, written in lower case) in the character set of the MTI.
    pub hex: bool,
    /// How many groups of 64 there can be: 1 (fixed primary: bit 1 is then an error, unless the dialect has a DE 1
    /// that is not the bitmap itself), 2, or 3.
    pub groups: u8,
    /// Where the third group stands, if there is one.
    pub tertiary: Tertiary,
}

/// Where a tertiary bitmap stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tertiary {
    /// Right after the secondary, announced by its first bit (65).
    Contiguous,
    /// As the content of DE 65.
    InField65,
}

/// A table of fields, with the encodings of MTI and bitmap.
#[derive(Clone, PartialEq, Eq)]
pub struct Schema {
    /// How the MTI is written: ASCII, EBCDIC or BCD (as which [`Encoding::Binary`] counts here). What is none of these
    /// is taken for ASCII.
    pub mti: Encoding,
    /// How the bitmap is written.
    pub bitmap: BitmapForm,
    fields: Vec<Option<FieldSpec>>,
    plans: Box<[Plan; FIELDS]>,
    known: Bitmap,
}

/// By it a group announces the next one.
const FIRST_BIT: u64 = 1 << 63;

/// DE 0 to 192.
const FIELDS: usize = FieldNumber::MAX as usize + 1;

impl Schema {
    /// A schema without fields.
    pub fn new(mti: Encoding, bitmap: BitmapForm) -> Schema {
        Schema {
            mti,
            bitmap,
            fields: vec![None; FIELDS],
            plans: Box::new([Plan::ABSENT; FIELDS]),
            known: Bitmap::EMPTY,
        }
    }

    /// Sets what field `n` is. The MTI's encoding must be set before: its character set is that of the length
    /// prefixes of binary fields.
    ///
    /// A spec that [`FieldSpec::check`] refuses is kept for display only: such a field is unknown on the wire. So are
    /// those of DE 0 and of a DE 1 that is the bitmap itself (binary, 8, 16 or 24 bytes).
    pub fn set(&mut self, n: FieldNumber, spec: FieldSpec) {
        let is_field = n != field::MTI && !(n == field::BITMAP && is_bitmap(&spec));
        if is_field && spec.check().is_ok() {
            self.plans[n.index()] = Plan::of(&spec, self.mti == Encoding::Ebcdic);
            self.known.insert(n);
        } else {
            self.plans[n.index()] = Plan::ABSENT;
            self.known.remove(n);
        }
        self.fields[n.index()] = Some(spec);
    }

    /// What field `n` is, if the dialect has it.
    pub fn field(&self, n: FieldNumber) -> Option<&FieldSpec> {
        self.fields[n.index()].as_ref()
    }

    /// All fields that the dialect has, in ascending order.
    pub fn fields(&self) -> impl Iterator<Item = (FieldNumber, &FieldSpec)> {
        let numbered = (0..).map_while(FieldNumber::new).zip(&self.fields);
        numbered.filter_map(|(n, spec)| Some((n, spec.as_ref()?)))
    }

    /// The data elements that a message can have: bits that announce a further bitmap are not among them.
    pub fn known(&self) -> Bitmap {
        let [first, second, third] = self.known.groups();
        Bitmap::from_groups(match self.groups() {
            1 => [first, 0, 0],
            2 => [first & !FIRST_BIT, second, 0],
            _ => [first & !FIRST_BIT, second & !FIRST_BIT, third],
        })
    }

    /// How many groups of 64 there can be, 1–3.
    pub(super) fn groups(&self) -> usize {
        usize::from(self.bitmap.groups.clamp(1, 3))
    }

    /// The bit by which a group announces the next one, if there can be one.
    #[inline]
    pub(super) fn announcer(&self, group: usize) -> u64 {
        if group + 1 < self.groups() { FIRST_BIT } else { 0 }
    }

    /// The fields of a group that the dialect has; its announcing bit may be among them.
    #[inline]
    pub(super) fn known_in(&self, group: usize) -> u64 {
        self.known.groups().get(group).copied().unwrap_or(0)
    }

    /// Whether a message can have field `n`.
    pub fn has(&self, n: FieldNumber) -> bool {
        self.plan_if_known(n).shape != Shape::Absent
    }

    /// The plan of a field for which the bitmap has room; else that of an absent one.
    #[inline]
    pub(super) fn plan_if_known(&self, n: FieldNumber) -> &Plan {
        let groups = self.groups();
        let fits = match n {
            field::BITMAP => groups == 1,
            field::TERTIARY_BITMAP => groups == 2,
            n => n.index() <= groups * 64,
        };
        if fits { self.plan(n) } else { &Plan::ABSENT }
    }

    /// The plans of the fields of a group of 64.
    #[inline]
    pub(super) fn plans_of(&self, group: usize) -> Option<&[Plan; 64]> {
        self.plans.get(group * 64 + 1..)?.first_chunk()
    }

    #[inline]
    pub(super) fn plan(&self, n: FieldNumber) -> &Plan {
        &self.plans[n.index()]
    }
}

impl std::fmt::Debug for Schema {
    /// The fields that there are, by number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema")
            .field("mti", &self.mti)
            .field("bitmap", &self.bitmap)
            .field("known", &self.known.iter().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn is_bitmap(spec: &FieldSpec) -> bool {
    spec.content == Content::Binary && matches!(spec.length, Length::Fixed(8 | 16 | 24))
}
