//! SocketQueue's `overrides`: other types and lengths for single fields of a dialect.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::build::build;
use super::document::{BitmapForm, Document, FieldDocument, Key, MtiEncoding, TypeName};
use super::lint::Findings;
use super::read::nearest;
use super::{Dialect, Finding};
use crate::iso8583::schema::{Content, Encoding};
use crate::iso8583::{FieldNumber, FieldSpec, field};

/// More than this many parts are refused: there are not more fields.
const PARTS_MAX: usize = 192;

/// `dialect` with the fields changed that `overrides` names.
///
/// They are changed in the document, which is then built again, so that an override is checked like a document is.
pub(super) fn apply(dialect: &Dialect, overrides: &str) -> Result<Dialect, Vec<Finding>> {
    let mut findings = Findings::default();
    let mut document = Document::clone(&dialect.document);
    let parts: Vec<&str> = overrides.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > PARTS_MAX {
        findings.fatal("overrides", format!("{} parts, at most {PARTS_MAX}", parts.len()));
        return Err(findings.0);
    }
    for part in parts {
        if let Err(problem) = apply_one(dialect, &mut document, part) {
            findings.fatal(part, problem);
        }
    }
    if findings.is_fatal() {
        return Err(findings.0);
    }
    build(document, &mut findings).ok_or(findings.0)
}

fn apply_one(dialect: &Dialect, document: &mut Document, part: &str) -> Result<(), String> {
    let mut parts = part.split(':').map(str::trim);
    let (Some(number), Some(type_name), length, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("an override is field:type or field:type:length, e.g. 41:ans:8".to_owned());
    };
    let n = number
        .parse()
        .ok()
        .and_then(FieldNumber::new)
        .ok_or_else(|| format!("`{number}` is no field: 0 to {}", FieldNumber::MAX))?;
    let length = match length {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| format!("`{text}` is no length"))?),
    };
    match n {
        field::MTI => mti(document, type_name, length),
        field::BITMAP => bitmap(document, type_name, length),
        n => data_element(dialect, document, n, type_name, length),
    }
}

/// DE 0: `n:4` or `b:2`.
fn mti(document: &mut Document, type_name: &str, length: Option<u16>) -> Result<(), String> {
    document.mti.encoding = Some(match (type_name, length) {
        ("n" | "an", None | Some(4)) => MtiEncoding::Ascii,
        ("b", None | Some(2)) => MtiEncoding::Bcd,
        _ => return Err("the MTI can be n:4 (characters) or b:2 (packed digits)".to_owned()),
    });
    Ok(())
}

/// DE 1: `bitmap:8`, `bitmap-hex:8`, or `b:8` (fixed, no secondary bitmap).
fn bitmap(document: &mut Document, type_name: &str, length: Option<u16>) -> Result<(), String> {
    let groups = document.bitmap.groups.map_or(2, |groups| groups.max(2));
    let (form, groups) = match (type_name, length) {
        ("bitmap", None | Some(8)) => (BitmapForm::Binary, groups),
        ("bitmap-hex", None | Some(8)) => (BitmapForm::Hex, groups),
        ("b", None | Some(8)) => (BitmapForm::Binary, 1),
        _ => return Err("the bitmap can be bitmap:8, bitmap-hex:8 or b:8 (fixed, no secondary)".to_owned()),
    };
    document.bitmap.form = Some(form);
    document.bitmap.groups = Some(groups);
    Ok(())
}

fn data_element(
    dialect: &Dialect,
    document: &mut Document,
    n: FieldNumber,
    type_name: &str,
    length: Option<u16>,
) -> Result<(), String> {
    let (Some(old), Some(spec)) = (document.fields.get_mut(&Key(n)), dialect.schema.field(n)) else {
        return Err(format!(
            "{} has no field {n}: what it has can be overridden, more fields take a dialect of your own",
            dialect.name
        ));
    };
    let deserializer: StrDeserializer<'_, ValueError> = type_name.into_deserializer();
    let new_type = TypeName::deserialize(deserializer).map_err(|_| {
        let types = TypeName::ALL.map(TypeName::as_str);
        match nearest(type_name, types) {
            Some(near) => format!("there is no type `{type_name}`: did you mean `{near}`?"),
            None => format!("there is no type `{type_name}`: there are {}", types.join(", ")),
        }
    })?;
    *old = FieldDocument {
        name: std::mem::take(&mut old.name),
        type_name: Some(new_type),
        length: Some(length.unwrap_or_else(|| same_length(spec, new_type))),
        ..FieldDocument::default()
    };
    Ok(())
}

/// The length that holds as many digits as `old` does: the types `b` and `ll-b` count bytes, of two digits each.
fn same_length(old: &FieldSpec, new_type: TypeName) -> u16 {
    let units = old.max() as u16;
    match (old.content, old.encoding, new_type) {
        (Content::Digits, Encoding::Bcd { .. }, TypeName::B | TypeName::LlB) => units.div_ceil(2),
        _ => units,
    }
}
