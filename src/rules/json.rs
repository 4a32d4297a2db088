//! Messages as JSON objects: by field number or name on the way in, by number on the way out.
//!
//! In: values are strings or whole numbers, as SocketQueue takes them. What it crashed on (an unknown field, a nested
//! value) or changed in silence (lists, booleans, doubles) is refused, all of it at once. Out: what SocketQueue gives
//! ([`Values::Original`]), or every value as it stands ([`Values::Exact`]).

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::{Invalid, KeyFields, Request, Rule, Violation, prepare_draft};
use crate::dialect::Dialect;
use crate::iso8583::schema::{Content, Length};
use crate::iso8583::{Draft, FieldNumber, Message, Mti, emv, field};
use crate::time::Now;

/// The most members that an object may have: twice the fields that there are.
pub const MEMBERS_MAX: usize = 2 * (FieldNumber::MAX as usize + 1);
/// The longest unknown key that an error repeats.
const SHOWN_KEY_MAX: usize = 48;
/// A key with so many digits is not repeated: it may be a card number put in the wrong place.
const SHOWN_DIGITS_MAX: usize = 5;

/// Names of DE 0, which a dialect need not name.
const MTI_NAMES: [&str; 2] = ["mti", "message type indicator"];

// -- out ---------------------------------------------------------------------------------------------------------------

/// How values are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// As SocketQueue: fixed numeric fields that the dialect does not pad are numbers (`"39": 0`), others strings.
    Original,
    /// Every value a string, leading zeros and all.
    Exact,
}

/// A message as a JSON object: the MTI as `"0"`, the bitmap in upper-case hex as `"1"`, then the fields in ascending
/// order; binary fields in lower-case hex.
pub fn to_json(dialect: &Dialect, message: &Message, values: Values) -> Value {
    // Only a key that is no string, or an error of ours, could fail.
    serde_json::to_value(Shown { dialect, message, values }).unwrap_or_default()
}

/// The same, for a serializer: no tree is built.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Its dialect.
    pub dialect: &'a Dialect,
    /// The message.
    pub message: &'a Message,
    /// How its values are given out.
    pub values: Values,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Shown { message, .. } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("0", &message.mti().to_string())?;
        // A dialect may have a DE 1 of its own; the bitmap is shown all the same, as SocketQueue does.
        object.serialize_entry("1", &message.bitmap_hex())?;
        for n in message.bitmap().iter().filter(|n| *n != field::BITMAP) {
            let Some(text) = message.text(n) else { continue };
            let key = n.get();
            match self.number(n, &text) {
                Some(number) => object.serialize_entry(&key, &number)?,
                None => object.serialize_entry(&key, &text)?,
            }
        }
        object.end()
    }
}

impl Shown<'_> {
    /// The value as a number, where SocketQueue gives one and no digit would be lost.
    fn number(&self, n: FieldNumber, text: &str) -> Option<u64> {
        if self.values == Values::Exact || self.dialect.pad_fields.contains(&n) {
            return None;
        }
        let spec = self.message.schema().field(n)?;
        let is_number = spec.content == Content::Digits && matches!(spec.length, Length::Fixed(_));
        if is_number { text.parse().ok() } else { None }
    }
}

/// DE 55 taken apart: `[{"tag": "9F26", "value": "…"}, …]`, a template followed by what is in it. `None` when the
/// message has no DE 55 that consists of data objects.
pub fn icc_to_json(message: &Message) -> Option<Value> {
    let data = message.value(field::ICC)?;
    let objects = emv::data_objects(&data).ok()?;
    serde_json::to_value(Icc(&data, &objects)).ok()
}

struct Icc<'a>(&'a [u8], &'a [emv::DataObject]);

impl Serialize for Icc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Icc(data, objects) = self;
        let mut list = serializer.serialize_seq(Some(objects.len()))?;
        for object in *objects {
            let value = data.get(object.value.clone()).unwrap_or_default();
            list.serialize_element(&DataObject { tag: format!("{:X}", object.tag), value: hex(value) })?;
        }
        list.end()
    }
}

#[derive(serde::Serialize)]
struct DataObject {
    tag: String,
    value: String,
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}

// -- in ----------------------------------------------------------------------------------------------------------------

/// The members of a JSON object as they came, in their order, with duplicates. Deserializes from an object.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, Given)>);

/// A JSON value, as far as it matters here.
#[derive(Clone, PartialEq, Eq)]
enum Given {
    Text(String),
    Whole(u64),
    /// Counts as not given, as in SocketQueue.
    Null,
    /// What can be no value of a field, in words.
    Other(&'static str),
}

/// What an object gave.
#[derive(Clone, Debug)]
pub struct Drafted {
    /// The fields that could be taken over; an error where there is no usable message type.
    pub draft: Result<Draft, Violation>,
    /// Members that could not: unknown or double keys, values of a wrong type. In their order.
    pub malformed: Vec<Violation>,
}

/// Why an object is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Members that can be no fields, with everything else that is wrong: the sender's program is at fault.
    #[error("{}", super::prepare::list(.0))]
    Malformed(Vec<Violation>),
    /// No message type, or none that there could be.
    #[error("{}", .0.problem)]
    NoType(Violation),
    /// Rules of the dialect are broken.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// The draft of an object of fields.
///
/// # Errors
/// All members that can be no fields, and a missing or impossible message type.
pub fn from_json(dialect: &Dialect, fields: &Fields) -> Result<Draft, Vec<Violation>> {
    let Drafted { draft, mut malformed } = fields.draft(dialect);
    match draft {
        Ok(draft) if malformed.is_empty() => Ok(draft),
        Ok(_) => Err(malformed),
        Err(no_type) => {
            malformed.push(no_type);
            Err(malformed)
        }
    }
}

impl Fields {
    /// Lays the members out as fields.
    pub fn draft(&self, dialect: &Dialect) -> Drafted {
        let mut malformed = Vec::new();
        let mut fields: Vec<(FieldNumber, &Given)> = Vec::with_capacity(self.0.len());
        for (key, given) in &self.0 {
            let n = match number_of(dialect, key) {
                Ok(n) => n,
                Err(problem) => {
                    malformed.push(Violation { field: None, problem, rule: Rule::Unknown, limit: None });
                    continue;
                }
            };
            if fields.iter().any(|(other, _)| *other == n) {
                malformed.push(about(n, Rule::Once, "is given more than once"));
                continue;
            }
            if let Given::Other(what) = given {
                malformed.push(about(
                    n,
                    Rule::JsonType,
                    format!("must be a string or a whole number, not {what}"),
                ));
            }
            fields.push((n, given));
        }
        let mti = fields.iter().find(|(n, _)| *n == field::MTI).and_then(|(_, given)| given.text());
        let draft = match mti_of(mti.as_deref()) {
            Ok(mti) => Ok(mti),
            // Said already.
            Err(_) if malformed.iter().any(|violation| violation.field == Some(field::MTI)) => {
                return Drafted {
                    draft: Err(about(field::MTI, Rule::MessageType, "is not usable")),
                    malformed,
                };
            }
            Err(violation) => Err(violation),
        };
        let draft = draft.map(|mti| {
            // In ascending order, so that the draft lays them out as they come.
            fields.sort_by_key(|(n, _)| *n);
            let mut draft = Draft::new(&dialect.schema, mti);
            for (n, given) in fields {
                if let Some(text) = given.text().filter(|_| n != field::MTI) {
                    draft.set_text(n, &text);
                }
            }
            draft
        });
        Drafted { draft, malformed }
    }
}

impl Drafted {
    /// Checks what was given, and makes it a [`Request`].
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn prepare(self, dialect: &Dialect, keys: &KeyFields, now: Now) -> Result<Request, Refusal> {
        let Drafted { draft, mut malformed } = self;
        match draft {
            Err(no_type) if malformed.is_empty() => Err(Refusal::NoType(no_type)),
            Err(no_type) => {
                if malformed.iter().all(|violation| violation.field != Some(field::MTI)) {
                    malformed.push(no_type);
                }
                Err(Refusal::Malformed(malformed))
            }
            Ok(draft) if malformed.is_empty() => Ok(prepare_draft(dialect, keys, draft, now)?),
            Ok(draft) => {
                let others = prepare_draft(dialect, keys, draft, now).err().map(|invalid| invalid.violations);
                let known = malformed.len();
                for other in others.unwrap_or_default() {
                    let is_said = other.field.is_none()
                        || malformed[..known].iter().any(|violation| violation.field == other.field);
                    if !is_said {
                        malformed.push(other);
                    }
                }
                Err(Refusal::Malformed(malformed))
            }
        }
    }
}

fn about(n: FieldNumber, rule: Rule, problem: impl fmt::Display) -> Violation {
    Violation { field: Some(n), problem: format!("Field {n} {problem}"), rule, limit: None }
}

/// The field that a key names: its number in decimal, or its name in the dialect, in any case.
fn number_of(dialect: &Dialect, key: &str) -> Result<FieldNumber, String> {
    let is_canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
    if is_canonical && let Ok(number) = key.parse::<u16>() {
        let n = FieldNumber::new(number);
        let is_known = |n: &FieldNumber| *n == field::MTI || *n == field::BITMAP || dialect.schema.has(*n);
        return n
            .filter(is_known)
            .ok_or_else(|| format!("Field {number} is not part of the dialect {}", dialect.name));
    }
    let name = key.trim();
    let mut named = dialect.schema.fields().filter(|(_, spec)| spec.name.eq_ignore_ascii_case(name));
    match (named.next(), named.next()) {
        (Some((n, _)), None) => Ok(n),
        (Some((one, _)), Some((other, _))) => {
            Err(format!("{} names field {one} and field {other}: give the number", shown_key(key)))
        }
        (None, _) if MTI_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own)) => Ok(field::MTI),
        (None, _) => Err(format!(
            "{} is no field number and no field name of the dialect {}",
            shown_key(key),
            dialect.name
        )),
    }
}

/// A key, as an error may repeat it.
fn shown_key(key: &str) -> Cow<'_, str> {
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    let is_harmless = key.len() <= SHOWN_KEY_MAX
        && digits <= SHOWN_DIGITS_MAX
        && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match is_harmless {
        true => Cow::Owned(format!("{key:?}")),
        false => Cow::Owned(format!("a key of {} characters", key.chars().count())),
    }
}

/// The message type, filled up with zeros on the left.
fn mti_of(text: Option<&str>) -> Result<Mti, Violation> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Err(Violation {
            field: Some(field::MTI),
            problem: "No field 0".into(),
            rule: Rule::Required,
            limit: None,
        });
    };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(about(field::MTI, Rule::MessageType, "expected to be numeric"));
    }
    let mti = if text.len() <= 4 { Mti::parse(format!("{text:0>4}").as_bytes()) } else { None };
    mti.filter(|mti| mti.class() > 0)
        .ok_or_else(|| about(field::MTI, Rule::MessageType, "is no message type of four digits"))
}

impl Given {
    /// The text that a field is set to.
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Given::Text(text) => Some(Cow::Borrowed(text)),
            Given::Whole(number) => Some(Cow::Owned(number.to_string())),
            Given::Null | Given::Other(_) => None,
        }
    }
}

impl fmt::Debug for Given {
    /// The kind only: a stray debug print must not leak.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Given::Text(_) => "a string",
            Given::Whole(_) => "a whole number",
            Given::Null => "null",
            Given::Other(what) => what,
        })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of fields")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if fields.len() == MEMBERS_MAX {
                        return Err(de::Error::custom(format_args!("more than {MEMBERS_MAX} members")));
                    }
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Given;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                Ok(Given::Text(text.to_owned()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Given, E> {
                Ok(Given::Text(text))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Given, E> {
                Ok(Given::Whole(number))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Given, E> {
                Ok(Given::Other("a negative number"))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Given, E> {
                // Also whole numbers that no double holds exactly: their digits are lost already.
                Ok(Given::Other("a number with a fraction, an exponent or more than 19 digits"))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Given, E> {
                Ok(Given::Other("true or false"))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Given, E> {
                Ok(Given::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Given, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Given::Other("a list"))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Given::Other("an object"))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        serde_json::from_str(text).unwrap()
    }

    fn problems(dialect: &Dialect, text: &str) -> Vec<String> {
        let violations = from_json(dialect, &fields(text)).err().unwrap_or_default();
        violations.into_iter().map(|violation| violation.problem).collect()
    }

    #[test]
    fn a_message_type_is_filled_up_and_anything_else_is_refused() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        for (given, mti) in [("\"800\"", 0x0800), ("800", 0x0800), ("\"0200\"", 0x0200), ("1804", 0x1804)] {
            let draft = from_json(&dialect, &fields(&format!("{{\"0\":{given}}}"))).unwrap();
            assert_eq!(draft.mti(), Mti::new(mti), "{given}");
        }
        for (text, problem) in [
            ("{}", "No field 0"),
            ("{\"0\":null}", "No field 0"),
            ("{\"0\":\"\"}", "No field 0"),
            ("{\"0\":\"08x0\"}", "Field 0 expected to be numeric"),
            ("{\"0\":\"00800\"}", "Field 0 is no message type of four digits"),
            ("{\"0\":99}", "Field 0 is no message type of four digits"),
        ] {
            assert_eq!(problems(&dialect, text), [problem], "{text}");
        }
    }

    #[test]
    fn a_key_is_a_number_without_leading_zeros_or_a_name_that_only_one_field_has() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        for key in ["41", "Card Acceptor Terminal Identification", " card acceptor terminal identification"] {
            assert_eq!(number_of(&dialect, key), Ok(field::TID), "{key}");
        }
        assert_eq!(number_of(&dialect, "MTI"), Ok(field::MTI));
        for key in ["041", "+41", "4.1", "", "-1", "65", "193", "99999", "Terminal"] {
            assert!(number_of(&dialect, key).is_err(), "{key}");
        }
        // openWay's table has one name for two fields, as SocketQueue's.
        let dialect = Dialect::builtin("openWay").unwrap();
        let mut names = std::collections::BTreeMap::new();
        for (n, spec) in dialect.schema.fields() {
            names.entry(spec.name.to_ascii_lowercase()).or_insert_with(Vec::new).push(n);
        }
        for (name, numbers) in names {
            assert_eq!(number_of(&dialect, &name).is_ok(), numbers.len() == 1, "{name}");
        }
    }

    #[test]
    fn a_key_that_may_be_a_card_number_is_not_repeated() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        for key in ["4850781234567891", "pan 4850781234567891", "4850781234567891=1908"] {
            let problems = problems(&dialect, &format!("{{\"0\":800,\"{key}\":1}}"));
            assert!(problems.len() == 1 && !problems[0].contains("4850"), "{problems:?}");
        }
    }

    #[test]
    fn an_object_has_members_to_the_bound_and_no_more() {
        let object = |members: usize| {
            let members: Vec<String> = (0..members).map(|n| format!("\"k{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(serde_json::from_str::<Fields>(&object(MEMBERS_MAX)).is_ok());
        assert!(serde_json::from_str::<Fields>(&object(MEMBERS_MAX + 1)).is_err());
    }

    #[test]
    fn damaged_json_is_refused_or_read_and_never_worse() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let whole = br#"{"0":"0200","3":0,"4":1000,"11":618160,"35":"4850781234567891=1908","55":"9f2701","a":[{"b":1.5}]}"#;
        // splitmix64
        let mut state = 0x5EED_u64;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ mixed >> 31) as usize
        };
        let (mut read, mut refused) = (0, 0);
        for _ in 0..5_000 {
            let mut damaged = whole.to_vec();
            for _ in 0..next() % 3 {
                let at = next() % damaged.len();
                damaged[at] = b"\"{}[],:0e-.\xFF\\u9"[next() % 15];
            }
            damaged.truncate(damaged.len() - (next() % 8).saturating_sub(5));
            match serde_json::from_slice::<Fields>(&damaged) {
                Ok(fields) => {
                    read += 1;
                    let problems: String =
                        fields.draft(&dialect).malformed.into_iter().map(|wrong| wrong.problem).collect();
                    assert!(!problems.contains("4850781234567891"), "{problems}");
                }
                Err(_) => refused += 1,
            }
        }
        assert!(read > 500 && refused > 500, "{read} {refused}");
    }
}
