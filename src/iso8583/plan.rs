//! What reading and writing one field takes, worked out once when a schema is made.

use super::spec::{Content, Counts, Encoding, FieldSpec, Length, Pad, Prefix};

/// A field's spec in the form that reading and writing work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub shape: Shape,
    pub check: Check,
    pub content: Content,
    pub encoding: Encoding,
    pub counts: Counts,
    pub prefix: Prefix,
    /// Bytes of the length prefix; 0 for a fixed field.
    pub prefix_len: u8,
    /// Whether characters of prefix and hex text are EBCDIC.
    pub is_ebcdic: bool,
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
    /// Always `wire_max` bytes.
    Fixed,
    /// Two ASCII digits say how many bytes follow.
    Ascii2,
    /// Three ASCII digits say how many bytes follow.
    Ascii3,
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

impl Plan {
    /// The plan of a field that the dialect lacks.
    pub(super) const ABSENT: Plan = Plan {
        shape: Shape::Absent,
        check: Check::None,
        content: Content::Binary,
        encoding: Encoding::Binary,
        counts: Counts::Bytes,
        prefix: Prefix::Binary(0),
        prefix_len: 0,
        is_ebcdic: false,
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
        let max = u16::try_from(spec.max()).unwrap_or(u16::MAX);
        let wire_max = u16::try_from(spec.encoding.wire_len(spec.max())).unwrap_or(u16::MAX);
        let plan = Plan {
            shape: Shape::Fixed,
            check,
            content: spec.content,
            encoding: spec.encoding,
            is_ebcdic,
            max,
            wire_max,
            pad: spec.pad,
            ..Plan::ABSENT
        };
        let Length::Variable { prefix, counts, .. } = spec.length else { return plan };
        let unit_is_byte = matches!(spec.encoding, Encoding::Ascii | Encoding::Binary);
        let shape = match prefix {
            Prefix::Characters(2) if unit_is_byte && !is_ebcdic => Shape::Ascii2,
            Prefix::Characters(3) if unit_is_byte && !is_ebcdic => Shape::Ascii3,
            _ => Shape::Variable,
        };
        let prefix_len = prefix.wire_len() as u8;
        Plan { shape, prefix, prefix_len, counts, ..plan }
    }
}
