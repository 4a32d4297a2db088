//! What reading and writing one field takes, worked out once when a schema is made.

use super::spec::{Content, Counts, Encoding, FieldSpec, Length, Pad, Prefix};

/// A field's spec in the form that reading and writing work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub shape: Shape,
    pub check: Check,
    pub accept: Accept,
    pub content: Content,
    pub encoding: Encoding,
    pub counts: Counts,
    pub prefix: Prefix,
    /// Bytes of the length prefix; 0 for a fixed field.
    pub prefix_len: u8,
    /// Whether characters of prefix and hex text are EBCDIC.
    pub is_ebcdic: bool,
    /// Whether the value stands on the wire as it is, whatever length there is before it.
    pub is_plain: bool,
    /// The fewest units that are not filled up: all of a fixed field.
    pub min: u16,
    /// The most units.
    pub max: u16,
    /// The most bytes without the prefix.
    pub wire_max: u16,
    pub pad: Option<Pad>,
}

/// The ways to find a field's end, the common ones apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The dialect lacks the field.
    Absent,
    /// Always `wire_max` bytes, all of them ASCII digits.
    FixedDigits,
    /// Always `wire_max` bytes.
    Fixed,
    /// So many ASCII digits, 2 or 3, say how many bytes follow.
    Ascii,
    /// So many bytes of packed digits, 1 or 2, say how many bytes follow.
    Packed,
    /// Any other length prefix.
    Variable,
}

/// The ways to look through a field's bytes, the common ones apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Any byte will do.
    None,
    /// ASCII digits.
    Digits,
    /// As the encoding says.
    Encoding,
}

/// The ways to build a value, the common ones apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    /// Digits, as they are.
    Digits,
    /// Printable ASCII, as it is.
    Printable,
    /// Bytes, as they are.
    Bytes,
    /// As content and encoding say.
    Encoding,
}

impl Plan {
    /// Whether the field has no length prefix.
    pub(super) fn is_fixed(&self) -> bool {
        self.prefix_len == 0
    }

    /// The plan of a field that the dialect lacks.
    pub(super) const ABSENT: Plan = Plan {
        shape: Shape::Absent,
        check: Check::None,
        accept: Accept::Encoding,
        content: Content::Binary,
        encoding: Encoding::Binary,
        counts: Counts::Bytes,
        prefix: Prefix::Binary(0),
        prefix_len: 0,
        is_ebcdic: false,
        is_plain: true,
        min: 0,
        max: 0,
        wire_max: 0,
        pad: None,
    };

    /// The plan of a field whose spec was checked. `mti_is_ebcdic`: the character set of what has none of its own.
    pub(super) fn of(spec: &FieldSpec, mti_is_ebcdic: bool) -> Plan {
        let is_ebcdic = match spec.encoding {
            Encoding::Ascii => false,
            Encoding::Ebcdic => true,
            _ => mti_is_ebcdic,
        };
        let check = match (spec.encoding, spec.content) {
            (Encoding::Ascii, Content::Digits) => Check::Digits,
            (Encoding::Ebcdic, Content::Digits) | (Encoding::Bcd { .. } | Encoding::HexText, _) => {
                Check::Encoding
            }
            // What hosts put into text is not ours to judge; what we build is checked when it is built.
            _ => Check::None,
        };
        let accept = match (spec.encoding, spec.content) {
            (Encoding::Ascii, Content::Digits) => Accept::Digits,
            (Encoding::Ascii, Content::Alphanumeric | Content::Text) => Accept::Printable,
            (Encoding::Binary, _) => Accept::Bytes,
            _ => Accept::Encoding,
        };
        let max = u16::try_from(spec.max()).unwrap_or(u16::MAX);
        let wire_max = u16::try_from(spec.encoding.wire_len(spec.max())).unwrap_or(u16::MAX);
        let plan = Plan {
            shape: if check == Check::Digits { Shape::FixedDigits } else { Shape::Fixed },
            check,
            accept,
            content: spec.content,
            encoding: spec.encoding,
            is_ebcdic,
            is_plain: matches!(spec.encoding, Encoding::Ascii | Encoding::Binary),
            min: max,
            max,
            wire_max,
            pad: spec.pad,
            ..Plan::ABSENT
        };
        let Length::Variable { prefix, counts, .. } = spec.length else { return plan };
        let unit_is_byte = matches!(spec.encoding, Encoding::Ascii | Encoding::Binary);
        let shape = match prefix {
            Prefix::Characters(2 | 3) if unit_is_byte && !is_ebcdic => Shape::Ascii,
            Prefix::Bcd(_) if unit_is_byte => Shape::Packed,
            _ => Shape::Variable,
        };
        let prefix_len = prefix.wire_len() as u8;
        Plan { shape, prefix, prefix_len, counts, min: 0, ..plan }
    }
}
