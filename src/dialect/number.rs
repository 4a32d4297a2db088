//! Numbers of data elements as a dialect document has them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::iso8583::FieldNumber;

/// The number of a data element as a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub FieldNumber);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        let number = u16::deserialize(deserializer)?;
        FieldNumber::new(number).map(Number).ok_or_else(|| {
            de::Error::custom(format_args!(
                "there is no data element {number}, the last is {}",
                FieldNumber::MAX
            ))
        })
    }
}

impl JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": FieldNumber::MAX })
    }
}

/// The number of a data element as the key of a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub FieldNumber);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let number = text.parse::<u16>().ok().filter(|number| number.to_string() == *text);
        number.and_then(FieldNumber::new).map(Key).ok_or_else(|| {
            de::Error::custom(format_args!(
                "no number of a data element: 2 to {}, without leading zeros",
                FieldNumber::MAX
            ))
        })
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // 2 to 192: DE 0 is the MTI, DE 1 the bitmap; both have keys of their own.
        json_schema!({ "type": "string", "pattern": "^([2-9]|[1-9][0-9]|1[0-8][0-9]|19[0-2])$" })
    }
}
