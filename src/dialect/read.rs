//! From a document's text to its model, with every finding that reading alone can make.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::Finding;
use super::document::Document;

/// The longest document that is read, in bytes.
const DOCUMENT_LEN_MAX: usize = 1 << 20;

/// No more findings than this are made while reading; a text with more of them is no dialect document at all.
const FINDINGS_MAX: usize = 100;

/// Names less like an unknown one than this are not suggested (0: nothing alike, 1: the same; letters exchanged, left out
/// or added, by length).
const LIKENESS_MIN: f64 = 0.5;

/// Reads a document.
///
/// serde stops at the first error. To find them all, what it stopped at is taken out, and the rest is read again.
/// `None`: the text is not JSON, or not an object.
pub(super) fn read(text: &str) -> (Option<Document>, Vec<Finding>) {
    if text.len() > DOCUMENT_LEN_MAX {
        let problem = format!("the document has {} bytes, at most {DOCUMENT_LEN_MAX} are read", text.len());
        return (None, vec![Finding::fatal("", problem)]);
    }
    if is_javascript(text) {
        return (None, vec![javascript_finding()]);
    }
    let (value, mut findings) = match read_value(text.trim_start_matches('\u{feff}')) {
        Ok(read) => read,
        Err(finding) => return (None, vec![finding]),
    };
    let Some(mut value) = value.filter(Value::is_object) else {
        findings.push(Finding::fatal("", "a dialect document is a JSON object"));
        return (None, findings);
    };
    let mut removed = Vec::new();
    while findings.len() < FINDINGS_MAX {
        let error = match serde_path_to_error::deserialize::<_, Document>(&value) {
            Ok(document) => return (Some(document), findings),
            Err(error) => error,
        };
        let place = place_of(error.path(), &mut removed);
        findings.push(Finding::fatal(place, explain(&error.inner().to_string())));
        if !remove(&mut value, error.path()) {
            break;
        }
    }
    (None, findings)
}

/// Whether a file of this name would be one of SocketQueue's templates, which are programs.
pub fn is_javascript_path(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("js" | "cjs" | "mjs" | "ts"))
}

/// Whether `text` begins as a JavaScript file does.
fn is_javascript(text: &str) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "//",
        "/*",
        "'use strict'",
        "\"use strict\"",
        "module.exports",
        "exports.",
        "require(",
        "var ",
        "let ",
        "const ",
        "function",
        "class ",
    ];
    let text = text.trim_start_matches('\u{feff}').trim_start();
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

/// What a user of SocketQueue's own templates is told.
pub fn javascript_finding() -> Finding {
    Finding::fatal(
        "",
        "this is JavaScript, as SocketQueue's host templates are; a dialect is a JSON document here: print one with \
         `socketqueue dialect show smartVista --json` and change that",
    )
}

/// `unknown field …, expected one of …` and the like, with the nearest of the names that would be right.
fn explain(message: &str) -> String {
    let Some(rest) =
        message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))
    else {
        return message.to_owned();
    };
    let mut names = rest.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next() else { return message.to_owned() };
    let expected: Vec<&str> = names.collect();
    let what = if message.starts_with("unknown field") { "key" } else { "value" };
    match nearest(unknown, expected.iter().copied()) {
        Some(near) => format!("unknown {what} `{unknown}`: did you mean `{near}`?"),
        None => format!("unknown {what} `{unknown}`: there are {}", expected.join(", ")),
    }
}

/// The name most like `unknown`, if one is like it at all.
pub(super) fn nearest<'a>(unknown: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = unknown.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

/// Where in the text `path` leads to. `removed`: elements of arrays that were taken out before, as (array, index in the
/// text); what stands behind them has moved up since.
fn place_of(path: &Path, removed: &mut Vec<(String, usize)>) -> String {
    let mut place = String::new();
    for segment in path.iter() {
        let segment = match segment {
            Segment::Seq { index } => {
                let mut index = *index;
                for (_, gone) in removed.iter().filter(|(array, _)| *array == place) {
                    index += usize::from(*gone <= index);
                }
                removed.push((place.clone(), index));
                removed.sort();
                index.to_string()
            }
            segment => segment.to_string(),
        };
        if !place.is_empty() {
            place.push('.');
        }
        place.push_str(&segment);
    }
    place
}

/// Takes what `path` leads to out of `value`; false when that leads nowhere.
fn remove(value: &mut Value, path: &Path) -> bool {
    let mut segments: Vec<&Segment> = path.iter().collect();
    let Some(last) = segments.pop() else { return false };
    let mut parent = value;
    for segment in segments {
        let child = match segment {
            Segment::Map { key } => parent.get_mut(key),
            Segment::Seq { index } => parent.get_mut(*index),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        let Some(child) = child else { return false };
        parent = child;
    }
    match (last, parent) {
        (Segment::Map { key }, Value::Object(object)) => object.shift_remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(array)) if *index < array.len() => {
            array.remove(*index);
            true
        }
        _ => false,
    }
}

/// Parses JSON, keeping the first of keys that are there twice, and finding the others.
fn read_value(text: &str) -> Result<(Option<Value>, Vec<Finding>), Finding> {
    let findings = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Unique { place: String::new(), findings: &findings }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| Finding::fatal("", format!("not JSON: {error}")))?;
    Ok((Some(value), findings.into_inner()))
}

/// Makes a [`Value`], noticing keys that are there twice (of which serde_json silently keeps the last).
struct Unique<'a> {
    place: String,
    findings: &'a RefCell<Vec<Finding>>,
}

impl Unique<'_> {
    fn child(&self, segment: &str) -> Unique<'_> {
        let place =
            if self.place.is_empty() { segment.to_owned() } else { format!("{}.{segment}", self.place) };
        Unique { place, findings: self.findings }
    }
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(self.child(&values.len().to_string()))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let child = self.child(&key);
            let place = child.place.clone();
            let value = access.next_value_seed(child)?;
            if object.contains_key(&key) {
                if self.findings.borrow().len() >= FINDINGS_MAX {
                    return Err(A::Error::custom("too many keys are there twice"));
                }
                self.findings.borrow_mut().push(Finding::fatal(place, "is there twice"));
            } else {
                object.insert(key, value);
            }
        }
        Ok(Value::Object(object))
    }
}
