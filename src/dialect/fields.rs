//! Data elements: from the document to what the codec takes.

use super::document::{
    BitmapDocument, BitmapForm as Form, ContentDocument, CountsDocument, EncodingDocument, FieldDocument,
    MtiEncoding, NibbleDocument, OddDocument, PadDocument, PrefixDocument, PrefixForm, SideDocument,
    TertiaryDocument, TypeName,
};
use super::lint::Findings;
use crate::iso8583::schema::{
    BitmapForm, Content, Counts, Encoding, FieldSpec, Length, Pad, Prefix, Side, Tertiary,
};

/// How the MTI is written.
pub(super) fn mti_encoding(encoding: Option<MtiEncoding>) -> Encoding {
    match encoding {
        None | Some(MtiEncoding::Ascii) => Encoding::Ascii,
        Some(MtiEncoding::Ebcdic) => Encoding::Ebcdic,
        Some(MtiEncoding::Bcd) => PACKED,
    }
}

/// Packed digits, an odd count filled with a zero on the left.
pub(super) const PACKED: Encoding = Encoding::Bcd { pad: Side::Left, fill: 0 };

/// How the bitmap is written.
pub(super) fn bitmap_form(document: &BitmapDocument, findings: &mut Findings) -> BitmapForm {
    let groups = document.groups.unwrap_or(2);
    if !(1..=3).contains(&groups) {
        findings.fatal("bitmap.groups", format!("{groups} groups: a bitmap has 1, 2 or 3 of them"));
    }
    if document.tertiary.is_some() && groups != 3 {
        findings.fatal("bitmap.tertiary", "there is no third group: that takes `\"groups\": 3`");
    }
    BitmapForm {
        hex: document.form == Some(Form::Hex),
        groups: groups.clamp(1, 3),
        tertiary: match document.tertiary {
            None | Some(TertiaryDocument::Contiguous) => Tertiary::Contiguous,
            Some(TertiaryDocument::Field65) => Tertiary::InField65,
        },
    }
}

/// One data element. `None` when the document does not say enough; the findings say what is missing.
pub(super) fn field_spec(
    document: &FieldDocument,
    place: &str,
    findings: &mut Findings,
) -> Option<FieldSpec> {
    if document.name.trim().is_empty() {
        findings.fatal(format!("{place}.name"), "a field has a name");
    }
    let Some(length) = document.length else {
        findings.fatal(format!("{place}.length"), "is missing");
        return None;
    };
    let spec = match document.type_name {
        Some(type_name) => of_type(document, type_name, length, place, findings)?,
        None => spelled_out(document, length, place, findings)?,
    };
    if let Err(error) = spec.check() {
        findings.fatal(place, error.to_string());
        return None;
    }
    Some(spec)
}

fn of_type(
    document: &FieldDocument,
    type_name: TypeName,
    length: u16,
    place: &str,
    findings: &mut Findings,
) -> Option<FieldSpec> {
    for (key, given) in [
        ("content", document.content.is_some()),
        ("encoding", document.encoding.is_some()),
        ("prefix", document.prefix.is_some()),
        ("counts", document.counts.is_some()),
        ("odd", document.odd.is_some()),
        ("pad", document.pad.is_some()),
    ] {
        if given {
            findings.fatal(format!("{place}.{key}"), "the type says that already: give one or the other");
        }
    }
    typed(&document.name, type_name, length).map_err(|problem| findings.fatal(place, problem)).ok()
}

/// A field of a SocketQueue type.
pub(super) fn typed(name: &str, type_name: TypeName, length: u16) -> Result<FieldSpec, String> {
    FieldSpec::from_type(name, type_name.as_str(), length).map_err(|error| error.to_string())
}

fn spelled_out(
    document: &FieldDocument,
    length: u16,
    place: &str,
    findings: &mut Findings,
) -> Option<FieldSpec> {
    if document.content.is_none() && document.encoding.is_none() {
        findings.fatal(place, "neither a type nor a content and an encoding");
        return None;
    }
    let (Some(content), Some(encoding)) = (document.content, document.encoding) else {
        let key = if document.content.is_none() { "content" } else { "encoding" };
        findings.fatal(format!("{place}.{key}"), "is missing");
        return None;
    };
    let content = match content {
        ContentDocument::N => Content::Digits,
        ContentDocument::A => Content::Letters,
        ContentDocument::An => Content::Alphanumeric,
        ContentDocument::Ans => Content::Text,
        ContentDocument::B => Content::Binary,
    };
    if document.odd.is_some() && encoding != EncodingDocument::Bcd {
        findings.fatal(format!("{place}.odd"), "is about packed digits (encoding bcd) only");
    }
    let encoding = match encoding {
        EncodingDocument::Ascii => Encoding::Ascii,
        EncodingDocument::Ebcdic => Encoding::Ebcdic,
        EncodingDocument::Bcd => document.odd.as_ref().map_or(PACKED, odd),
        EncodingDocument::Binary => Encoding::Binary,
        EncodingDocument::Hex => Encoding::HexText,
        EncodingDocument::BigEndian => Encoding::BigEndian,
    };
    let length = match &document.prefix {
        Some(prefix) => Length::Variable {
            max: length,
            prefix: length_prefix(prefix, place, findings)?,
            counts: match document.counts {
                None | Some(CountsDocument::Units) => Counts::Units,
                Some(CountsDocument::Bytes) => Counts::Bytes,
            },
        },
        None => Length::Fixed(length),
    };
    if document.prefix.is_none() && document.counts.is_some() {
        findings.fatal(format!("{place}.counts"), "there is no length prefix that could count");
    }
    let pad = match &document.pad {
        Some(_) if document.prefix.is_some() => {
            findings.fatal(format!("{place}.pad"), "a field of variable length is not filled up");
            None
        }
        Some(pad) => padding(pad, content, place, findings),
        None => None,
    };
    Some(FieldSpec {
        name: document.name.as_str().into(),
        type_name: describe(content, encoding, length).into(),
        content,
        encoding,
        length,
        pad,
    })
}

fn odd(document: &OddDocument) -> Encoding {
    let fill = if document.nibble == Some(NibbleDocument::F) { 0xF } else { 0 };
    Encoding::Bcd { pad: side(document.side), fill }
}

fn side(side: Option<SideDocument>) -> Side {
    if side == Some(SideDocument::Right) { Side::Right } else { Side::Left }
}

fn length_prefix(document: &PrefixDocument, place: &str, findings: &mut Findings) -> Option<Prefix> {
    let (Some(form), Some(size)) = (document.form, document.size) else {
        let key = if document.form.is_none() { "form" } else { "size" };
        findings.fatal(format!("{place}.prefix.{key}"), "is missing");
        return None;
    };
    Some(match form {
        PrefixForm::Characters => Prefix::Characters(size),
        PrefixForm::Bcd => Prefix::Bcd(size),
        PrefixForm::Binary => Prefix::Binary(size),
    })
}

fn padding(document: &PadDocument, content: Content, place: &str, findings: &mut Findings) -> Option<Pad> {
    let with = match (document.with.as_bytes(), content) {
        ([b'0'], Content::Binary) => 0,
        ([byte], _) if byte.is_ascii() => *byte,
        _ => {
            findings.fatal(format!("{place}.pad.with"), "must be one ASCII character");
            return None;
        }
    };
    Some(Pad { side: side(document.side), with })
}

/// A short name of an encoding that is no SocketQueue type: `n bcd`, `ans ebcdic ll`.
fn describe(content: Content, encoding: Encoding, length: Length) -> String {
    let content = match content {
        Content::Digits => "n",
        Content::Letters => "a",
        Content::Alphanumeric => "an",
        Content::Text => "ans",
        Content::Binary => "b",
    };
    let encoding = match encoding {
        Encoding::Ascii => " ascii",
        Encoding::Ebcdic => " ebcdic",
        Encoding::Bcd { .. } => " bcd",
        Encoding::Binary => "",
        Encoding::HexText => " hex",
        Encoding::BigEndian => " big-endian",
    };
    let prefix = match length {
        Length::Fixed(_) => String::new(),
        Length::Variable { prefix: Prefix::Characters(digits), .. } => {
            format!(" {}", "l".repeat(usize::from(digits)))
        }
        Length::Variable { prefix: Prefix::Bcd(bytes), .. } => {
            format!(" {}-bcd", "l".repeat(usize::from(bytes) * 2))
        }
        Length::Variable { prefix: Prefix::Binary(bytes), .. } => format!(" {bytes}-byte"),
    };
    format!("{content}{encoding}{prefix}")
}
