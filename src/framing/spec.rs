//! A framing as it is asked for: a list of parts, checked against each other and laid out.

use super::layout::{Choice, Echo, End, Fixed, Layout};
use super::length::{Code, LengthField};
use super::plain::Plain;
use super::{Framing, FramingSpecError};

/// The most bytes that the header of a frame may have.
pub(super) const HEAD_LEN_MAX: usize = 256;
/// The most parts that a header may have.
pub(super) const PARTS_MAX: usize = 32;
/// The most bytes that a trailer, or the end of an `until` frame, may have.
pub(super) const TRAILER_LEN_MAX: usize = 16;
/// The most alternatives that a header part may have.
pub(super) const CHOICES_MAX: usize = 16;
/// How far from zero the constant in a length may be.
pub(super) const ADD_MAX: i64 = 65_535;

/// A framing as a list of parts, in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) head: Vec<Part>,
    pub(super) delimiter: Delimiter,
    /// Empty: none.
    pub(super) trailer: Vec<u8>,
}

/// What tells where the payload ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// The [`Part::Length`] in the header.
    Length,
    /// The dialect.
    Message,
    /// The first occurrence of these bytes.
    Until(Vec<u8>),
}

/// One part of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fixed(Vec<u8>),
    /// `header` or, with `echo`, `echo`.
    Header {
        bytes: Vec<u8>,
        choices: Vec<(Vec<u8>, Vec<u8>)>,
        echo: bool,
    },
    Tpdu([u8; 5]),
    Length(LengthSpec),
}

/// A length field as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LengthSpec {
    pub(super) code: Code,
    pub(super) width: usize,
    pub(super) counts: Counts,
    pub(super) add: i64,
}

/// What a length counts besides the payload. All four: every byte of the frame, whatever parts it has; that is also the
/// normal form when every part that there is is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) itself: bool,
    pub(super) before: bool,
    pub(super) after: bool,
    pub(super) trailer: bool,
}

impl Counts {
    /// Nothing but the payload.
    pub(super) const PAYLOAD: Counts = Counts { itself: false, before: false, after: false, trailer: false };
    /// Every byte of the frame.
    pub(super) const ALL: Counts = Counts { itself: true, before: true, after: true, trailer: true };
}

impl Part {
    /// Its name in the text form.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Part::Fixed(_) => "fixed",
            Part::Header { echo: false, .. } => "header",
            Part::Header { echo: true, .. } => "echo",
            Part::Tpdu(_) => "tpdu",
            Part::Length(_) => "length",
        }
    }

    /// How many bytes it has on the wire.
    fn len(&self) -> usize {
        match self {
            Part::Fixed(bytes) | Part::Header { bytes, .. } => bytes.len(),
            Part::Tpdu(bytes) => bytes.len(),
            Part::Length(length) => length.width,
        }
    }
}

impl Spec {
    /// No header, no trailer.
    pub(super) fn bare() -> Spec {
        Spec { head: Vec::new(), delimiter: Delimiter::Message, trailer: Vec::new() }
    }

    /// Checks the parts against each other and lays the framing out.
    pub(super) fn check(mut self) -> Result<Framing, FramingSpecError> {
        self.check_bounds()?;
        let mut layout = Layout::bare();
        let mut before = 0;
        for part in &self.head {
            lay_out(part, &mut layout)?;
            if let Part::Length(_) = part {
                before = layout.head.len() - part.len();
            }
        }
        let head_len = layout.head.len();
        let trailer_len = self.trailer.len();
        for part in &mut self.head {
            if let Part::Length(length) = part {
                layout.end = End::Length(length.check(before, head_len, trailer_len)?);
            }
        }
        if let Delimiter::Until(bytes) = &self.delimiter {
            layout.end = End::Until(bytes.clone().into());
        }
        layout.trailer = self.trailer.clone().into();
        layout.plain = Plain::of(&layout);
        Ok(Framing { spec: self, layout })
    }

    /// Sizes, and how often each part may stand.
    fn check_bounds(&self) -> Result<(), FramingSpecError> {
        let count = |name: &str| self.head.iter().filter(|part| part.name() == name).count();
        for name in ["length", "tpdu"] {
            if count(name) > 1 {
                return Err(FramingSpecError::new(format!("`{name}` stands twice, a frame has one at most")));
            }
        }
        if let Delimiter::Until(bytes) = &self.delimiter {
            check_size("until", bytes.len(), TRAILER_LEN_MAX)?;
            if !self.trailer.is_empty() {
                return Err(FramingSpecError::new(
                    "`trailer` after `until`: what ends the payload is the trailer",
                ));
            }
        }
        if self.trailer.len() > TRAILER_LEN_MAX {
            check_size("trailer", self.trailer.len(), TRAILER_LEN_MAX)?;
        }
        for part in &self.head {
            check_size(part.name(), part.len(), HEAD_LEN_MAX)?;
        }
        check_size_of_header(self.head.iter().map(Part::len).sum())
    }
}

fn check_size(name: &str, len: usize, limit: usize) -> Result<(), FramingSpecError> {
    match len {
        0 => Err(FramingSpecError::new(format!("`{name}` has no bytes"))),
        _ if len > limit => {
            Err(FramingSpecError::new(format!("`{name}` has {len} bytes, at most {limit} are allowed")))
        }
        _ => Ok(()),
    }
}

fn check_size_of_header(len: usize) -> Result<(), FramingSpecError> {
    if len > HEAD_LEN_MAX {
        return Err(FramingSpecError::new(format!(
            "the header has {len} bytes in all, at most {HEAD_LEN_MAX} are allowed"
        )));
    }
    Ok(())
}

/// Appends one part to the header's template and notes what has to be done with it.
fn lay_out(part: &Part, layout: &mut Layout) -> Result<(), FramingSpecError> {
    let at = layout.head.len();
    match part {
        Part::Fixed(bytes) => {
            layout.fixed.push(Fixed { at, bytes: bytes.clone().into() });
            layout.head.extend_from_slice(bytes);
        }
        Part::Header { bytes, choices, echo } => {
            check_choices(part.name(), bytes.len(), choices)?;
            layout.choices.extend(choices.iter().map(|(when, bytes)| Choice {
                at,
                when: when.clone().into(),
                bytes: bytes.clone().into(),
            }));
            layout.head.extend_from_slice(bytes);
            if *echo {
                layout.echoes.push(Echo { at, len: bytes.len(), swap: false });
            }
        }
        Part::Tpdu(bytes) => {
            layout.echoes.push(Echo { at, len: bytes.len(), swap: true });
            layout.head.extend_from_slice(bytes);
        }
        Part::Length(length) => layout.head.resize(at + length.width, 0),
    }
    Ok(())
}

fn check_choices(name: &str, len: usize, choices: &[(Vec<u8>, Vec<u8>)]) -> Result<(), FramingSpecError> {
    if choices.len() > CHOICES_MAX {
        return Err(FramingSpecError::new(format!("`{name}` has more than {CHOICES_MAX} alternatives")));
    }
    for (i, (when, bytes)) in choices.iter().enumerate() {
        check_size(name, when.len(), HEAD_LEN_MAX)?;
        if bytes.len() != len {
            return Err(FramingSpecError::new(format!(
                "`{name}` has {len} bytes, but alternative {} has {}: all must be of one size",
                i + 1,
                bytes.len()
            )));
        }
        if choices[..i].iter().any(|(earlier, _)| when.starts_with(earlier)) {
            return Err(FramingSpecError::new(format!(
                "`{name}`: alternative {} is never reached, an earlier one takes its payloads",
                i + 1
            )));
        }
    }
    Ok(())
}

impl LengthSpec {
    /// The field at its place, and `counts` in normal form.
    fn check(
        &mut self,
        before_len: usize,
        head_len: usize,
        trailer_len: usize,
    ) -> Result<LengthField, FramingSpecError> {
        let LengthSpec { code, width, add, .. } = *self;
        if !(1..=LengthField::WIDTH_MAX).contains(&width) {
            return Err(FramingSpecError::new(format!(
                "`length` has {width} bytes, 1 to {} are possible",
                LengthField::WIDTH_MAX
            )));
        }
        if add.abs() > ADD_MAX {
            return Err(FramingSpecError::new(format!(
                "`length` adds {add}, at most {ADD_MAX} either way is possible"
            )));
        }
        let after_len = head_len - before_len - width;
        let (up_to_field, behind_field) = self.counted(before_len, after_len, trailer_len)?;
        let empty = (up_to_field + behind_field) as i64 + add;
        let nothing = u64::try_from(up_to_field as i64 + add).unwrap_or(0);
        let field = LengthField { code, width, at: before_len, empty, nothing, highest: code.highest(width) };
        if field.payload_max() == 0 {
            return Err(FramingSpecError::new(format!(
                "`length` says at most {} and {empty} for an empty payload: no payload fits",
                code.highest(width)
            )));
        }
        Ok(field)
    }

    /// How many bytes besides the payload are counted: up to the end of the field, and behind it.
    fn counted(
        &mut self,
        before_len: usize,
        after_len: usize,
        trailer_len: usize,
    ) -> Result<(usize, usize), FramingSpecError> {
        let part = |name, counted, len| match (counted, len) {
            (false, _) => Ok(0),
            (true, 0) if self.counts != Counts::ALL => {
                Err(FramingSpecError::new(format!("`length` counts `{name}`, but there is no such part")))
            }
            (true, len) => Ok(len),
        };
        let itself = if self.counts.itself { self.width } else { 0 };
        let up_to_field = part("before", self.counts.before, before_len)? + itself;
        let behind_field =
            part("after", self.counts.after, after_len)? + part("trailer", self.counts.trailer, trailer_len)?;
        if up_to_field + behind_field == before_len + self.width + after_len + trailer_len {
            self.counts = Counts::ALL;
        }
        Ok((up_to_field, behind_field))
    }
}
