//! The OpenAPI 3.1 document.

use serde_json::{Map, Value, json};

use crate::dialect::Dialect;
use crate::iso8583::schema::{Content, Encoding, FieldSpec, Length};
use crate::iso8583::{FieldNumber, Mti, field};
use crate::listener::http::v1::{self, Cause, IDEMPOTENCY_KEY_LEN_MAX};
use crate::rules::Rule;

/// Describes the API for clients of a host with this dialect. `with_keys`: an API key is asked for.
pub fn document(dialect: &Dialect, with_keys: bool) -> Value {
    let security = match with_keys {
        true => json!([{ "bearer": [] }, { "apiKey": [] }]),
        false => json!([]),
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "socketqueue",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "ISO 8583 transactions as JSON",
            "description": description(dialect, with_keys),
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": security,
        "tags": [{ "name": "transactions", "description": "Requests to the host, and what became of them" }],
        "paths": {
            "/v1/transactions": { "post": submit(dialect, with_keys) },
            "/v1/transactions/{id}": { "get": look(with_keys) },
        },
        "components": {
            "securitySchemes": schemes(with_keys),
            "schemas": schemas(dialect),
            "headers": headers(),
            "responses": responses(),
        },
    })
}

fn description(dialect: &Dialect, with_keys: bool) -> String {
    let mut text = format!(
        "Transactions with a host that speaks the dialect {}. Every value of an answer is a string with all its zeros. \
         Every error is a `Problem` with one `cause`.\n\nObligatory fields of a request, by its type (field 0):\n",
        dialect.name
    );
    for (mti, fields) in &dialect.obligatory {
        let list: Vec<String> = fields
            .iter()
            .filter(|n| **n != field::MTI && **n != field::BITMAP)
            .map(|n| format!("{n} ({})", field_name(dialect, *n)))
            .collect();
        text.push_str(&format!("\n* `{mti}`: {}", list.join(", ")));
    }
    if let Some(expiration) = dialect.expiration {
        text.push_str(&format!(
            "\n\nField {} is the local time, YYMMDDhhmmss; a request is refused if it is more than {} s from the gateway's.",
            expiration.field,
            expiration.within.as_secs()
        ));
    }
    if with_keys {
        text.push_str("\n\nEvery request needs an API key: `Authorization: Bearer KEY` or `X-Api-Key: KEY`.");
    }
    text
}

fn field_name(dialect: &Dialect, n: FieldNumber) -> &str {
    dialect.schema.field(n).map_or("", |spec| &spec.name)
}

// -- paths -------------------------------------------------------------------------------------------------------------

fn submit(dialect: &Dialect, with_keys: bool) -> Value {
    json!({
        "tags": ["transactions"],
        "operationId": "submitTransaction",
        "summary": "Send a request to the host and wait for its answer",
        "description": "The connection must stand until the answer was read: an approval that could not be delivered is reversed. \
            With an Idempotency-Key the request can be repeated: it is sent once, and the repetition gets what holds then. \
            Once a reversal is on its way that is never the approval.",
        "parameters": [{
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names this request; belongs to the API key. 1 to 128 visible ASCII characters.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": IDEMPOTENCY_KEY_LEN_MAX,
                "pattern": "^[!-~]+$",
            },
        }],
        "requestBody": {
            "required": true,
            "description": "Fields by number, or by name in any case.",
            "content": {
                "application/json": {
                    "schema": reference("schemas", "Request"),
                    "examples": { "echo": { "summary": "An echo, which moves no money", "value": echo(dialect) } },
                },
            },
        },
        "responses": answers(with_keys, "The host's answer", &[400, 408, 409, 413, 415, 422, 503, 504]),
    })
}

fn look(with_keys: bool) -> Value {
    json!({
        "tags": ["transactions"],
        "operationId": "getTransaction",
        "summary": "What holds for a transaction now",
        "parameters": [{
            "name": "id",
            "in": "path",
            "required": true,
            "description": "As an answer, a problem or a Location header gave it.",
            "schema": reference("schemas", "TransactionId"),
        }],
        "responses": answers(with_keys, "State, answer and reversal", &[404]),
    })
}

/// The shortest echo that the dialect takes.
fn echo(dialect: &Dialect) -> Value {
    let mti = Mti::new(0x0800);
    let mut example = Map::new();
    example.insert("0".to_owned(), Value::from(mti.to_string()));
    let obligatory = dialect.obligatory.get(&mti).map(|list| &list[..]).unwrap_or_default();
    let keys = [field::STAN, field::TID];
    let wanted = obligatory.iter().chain(keys.iter().filter(|n| !obligatory.contains(n)));
    for n in wanted.filter(|n| **n != field::MTI && **n != field::BITMAP) {
        let Some(spec) = dialect.schema.field(*n) else { continue };
        let (max, least) = bounds(spec);
        let usual = match *n {
            field::PROCESSING_CODE => "990000",
            field::TRANSMISSION_TIME => "1122030405",
            field::LOCAL_TIME => "261122030405",
            field::FUNCTION_CODE => "831",
            field::NETWORK_CODE => "301",
            _ => "1",
        };
        let len = usual.len().clamp(least, max);
        let value = usual.get(usual.len().saturating_sub(len)..).unwrap_or(usual);
        example.insert(n.to_string(), Value::from(format!("{value:0>len$}")));
    }
    Value::Object(example)
}

/// The responses of an operation.
fn answers(with_keys: bool, ok: &str, statuses: &[u16]) -> Value {
    let mut all = Map::new();
    all.insert(
        "200".to_owned(),
        json!({
            "description": ok,
            "headers": { "Location": reference("headers", "Location") },
            "content": { "application/json": { "schema": reference("schemas", "Transaction") } },
        }),
    );
    let mut statuses = statuses.to_vec();
    if with_keys {
        statuses.extend([401, 403, 429]);
    }
    statuses.sort_unstable();
    for status in statuses {
        all.insert(status.to_string(), reference("responses", &format!("Problem{status}")));
    }
    Value::Object(all)
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn schemes(with_keys: bool) -> Value {
    match with_keys {
        true => json!({
            "bearer": { "type": "http", "scheme": "bearer" },
            "apiKey": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
        }),
        false => json!({}),
    }
}

fn headers() -> Value {
    json!({
        "Location": { "description": "Where to ask for the transaction", "schema": { "type": "string" } },
        "Retry-After": {
            "description": "After how many seconds it makes sense to ask again",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "WWW-Authenticate": { "description": "How to ask with an API key", "schema": { "type": "string" } },
    })
}

/// One response for each status that a problem can have, with its causes.
fn responses() -> Value {
    let mut all = Map::new();
    for cause in Cause::ALL {
        let status = cause.status();
        let name = format!("Problem{status}");
        if all.contains_key(&name) {
            continue;
        }
        let causes: Vec<&Cause> = Cause::ALL.iter().filter(|other| other.status() == status).collect();
        let names: Vec<&str> = causes.iter().map(|cause| cause.name()).collect();
        let described: Vec<String> =
            causes.iter().map(|cause| format!("`{}`: {}", cause.name(), cause.title())).collect();
        let mut headers = Map::new();
        match status {
            401 => {
                drop(headers.insert("WWW-Authenticate".to_owned(), reference("headers", "WWW-Authenticate")))
            }
            429 | 503 => drop(headers.insert("Retry-After".to_owned(), reference("headers", "Retry-After"))),
            409 | 504 => drop(headers.insert("Location".to_owned(), reference("headers", "Location"))),
            _ => {}
        }
        let schema = json!({
            "allOf": [
                reference("schemas", "Problem"),
                { "type": "object", "properties": { "status": { "const": status }, "cause": { "enum": names } } },
            ],
        });
        let response = json!({
            "description": described.join(". "),
            "headers": headers,
            "content": { "application/problem+json": { "schema": schema } },
        });
        all.insert(name, response);
    }
    Value::Object(all)
}

// -- schemas -----------------------------------------------------------------------------------------------------------

fn schemas(dialect: &Dialect) -> Value {
    json!({
        "TransactionId": { "type": "string", "pattern": v1::ID_PATTERN },
        "Request": request(dialect),
        "Fields": fields(dialect),
        "Transaction": transaction(),
        "Answer": answer(),
        "Reversal": reversal(),
        "Problem": problem(),
        "Violation": violation(),
    })
}

fn transaction() -> Value {
    json!({
        "type": "object",
        "required": ["id", "state", "cause", "answer", "reversal"],
        "additionalProperties": false,
        "properties": {
            "id": { "anyOf": [reference("schemas", "TransactionId"), { "type": "null" }] },
            "state": { "enum": v1::STATES },
            "cause": {
                "description": "Why there is no answer, once that is sure",
                "anyOf": [{ "enum": cause_names() }, { "type": "null" }],
            },
            "answer": {
                "description": "null while there is none, and when it is not valid (any more)",
                "anyOf": [reference("schemas", "Answer"), { "type": "null" }],
            },
            "reversal": {
                "description": "null where nothing has to be undone",
                "anyOf": [reference("schemas", "Reversal"), { "type": "null" }],
            },
        },
    })
}

fn answer() -> Value {
    json!({
        "type": "object",
        "required": ["class", "fields", "icc"],
        "additionalProperties": false,
        "properties": {
            "class": {
                "enum": ["approved", "declined", "in_doubt"],
                "description": "What the response code (field 39) means; in_doubt: the host does not say whether it acted",
            },
            "fields": reference("schemas", "Fields"),
            "restored": {
                "const": true,
                "description": "The gateway was restarted since: fields are those that its journal keeps (3, 4, 7, 11, 12, 37, 38, \
                    39, 41, 42, 49), and no others. Missing where the answer is whole",
            },
            "icc": {
                "description": "Field 55 taken apart (EMV, BER-TLV), each template followed by what is in it; null where there is none",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "required": ["tag", "value"],
                    "properties": {
                        "tag": { "type": "string", "pattern": "^[0-9A-F]{2,8}$" },
                        "value": { "type": "string", "pattern": "^([0-9a-f]{2})*$" },
                    },
                },
            },
        },
    })
}

fn reversal() -> Value {
    json!({
        "type": "object",
        "required": ["state", "attempts"],
        "additionalProperties": false,
        "description": "What is done about a request that stayed in doubt: its reversal, or the carrying on of an advice",
        "properties": {
            "state": {
                "enum": ["pending", "accepted", "parked", "listed"],
                "description": "pending: on its way; accepted: by the host; parked: not accepted, waits for a person; \
                    listed: the gateway is told not to reverse",
            },
            "attempts": { "type": "integer", "minimum": 0, "description": "How often it was sent" },
        },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "cause", "detail"],
        "additionalProperties": false,
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "cause": { "enum": cause_names() },
            "detail": { "type": "string" },
            "id": { "anyOf": [reference("schemas", "TransactionId"), { "type": "null" }] },
            "state": { "enum": v1::STATES },
            "reversal": { "anyOf": [reference("schemas", "Reversal"), { "type": "null" }] },
            "violations": { "type": "array", "items": reference("schemas", "Violation") },
        },
    })
}

fn violation() -> Value {
    let rules: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    json!({
        "type": "object",
        "required": ["field", "rule", "limit", "detail"],
        "additionalProperties": false,
        "properties": {
            "field": { "type": ["string", "null"], "pattern": "^[0-9]{1,3}$" },
            "rule": { "enum": rules },
            "limit": { "type": ["integer", "null"], "description": "Characters, digits or bytes; seconds for age" },
            "detail": { "type": "string" },
        },
    })
}

fn cause_names() -> Vec<&'static str> {
    Cause::ALL.iter().map(|cause| cause.name()).collect()
}

// -- fields ------------------------------------------------------------------------------------------------------------

/// A request: every field by its number, and by its name where that is unique.
fn request(dialect: &Dialect) -> Value {
    let mut properties = Map::new();
    properties.insert("0".to_owned(), message_type());
    for (n, spec) in dialect.schema.fields().filter(|(n, _)| dialect.schema.has(*n)) {
        properties.insert(n.to_string(), given(n, spec));
    }
    for (n, spec) in dialect.schema.fields().filter(|(n, _)| dialect.schema.has(*n)) {
        let named =
            dialect.schema.fields().filter(|(_, other)| other.name.eq_ignore_ascii_case(&spec.name)).count();
        // A name of digits would be read as a number.
        if named == 1 && !spec.name.bytes().all(|byte| byte.is_ascii_digit()) {
            properties.insert(spec.name.trim().to_owned(), given(n, spec));
        }
    }
    json!({
        "type": "object",
        "description": "Each field once, by its number or by its name. A whole number stands for its digits; short values \
            of fixed fields are filled up.",
        "required": ["0"],
        "minProperties": 2,
        "additionalProperties": false,
        "properties": properties,
    })
}

/// The fields of an answer: by number, and nothing but strings. A host may send what breaks its own rules, so they have
/// no patterns.
fn fields(dialect: &Dialect) -> Value {
    let mut properties = Map::new();
    properties.insert(
        "0".to_owned(),
        json!({ "type": "string", "title": "Message type", "pattern": "^[0-9]{4}$" }),
    );
    properties
        .insert("1".to_owned(), json!({ "type": "string", "title": "Bitmap", "pattern": "^[0-9A-F]+$" }));
    for (n, spec) in dialect.schema.fields().filter(|(n, _)| dialect.schema.has(*n) && *n != field::BITMAP) {
        properties.insert(n.to_string(), json!({ "type": "string", "title": &*spec.name }));
    }
    json!({
        "type": "object",
        "required": ["0", "1"],
        "additionalProperties": false,
        "properties": properties,
    })
}

fn message_type() -> Value {
    json!({ "type": "string", "title": "Message type (MTI)", "pattern": "^[0-9][1-8][0-9]{2}$", "examples": ["0200"] })
}

/// One field of a request.
fn given(n: FieldNumber, spec: &FieldSpec) -> Value {
    let (max, least) = bounds(spec);
    let (characters, unit) = match (spec.content, spec.encoding) {
        (Content::Digits, _) => ("[0-9]", "digits"),
        (Content::Letters, _) => ("[A-Za-z ]", "letters"),
        (Content::Binary, _) => ("[0-9A-Fa-f]", "hex digits"),
        (Content::Alphanumeric | Content::Text, Encoding::Bcd { .. }) => ("[0-9:;<=>?]", "characters"),
        (Content::Alphanumeric | Content::Text, _) => ("[ -~]", "characters"),
    };
    let length = if least == max { format!("{max}") } else { format!("{least} to {max}") };
    let pattern = match spec.content {
        Content::Binary if least == max => format!("^({characters}{{2}}){{{}}}$", max / 2),
        Content::Binary => format!("^({characters}{{2}}){{{},{}}}$", least.div_ceil(2), max / 2),
        _ => format!("^{characters}{{{least},{max}}}$"),
    };
    let text = json!({ "type": "string", "minLength": least, "maxLength": max, "pattern": pattern });
    let mut schema = match spec.content {
        // What a double holds exactly, in JSON of any make.
        Content::Digits => {
            json!({ "anyOf": [text, { "type": "integer", "minimum": 0, "maximum": largest(max) }] })
        }
        _ => text,
    };
    if let Some(members) = schema.as_object_mut() {
        members.insert("title".to_owned(), Value::from(&*spec.name));
        members.insert(
            "description".to_owned(),
            Value::from(format!("Field {n}, {} ({length} {unit})", spec.type_name)),
        );
    }
    schema
}

/// The longest and the shortest text of a value.
fn bounds(spec: &FieldSpec) -> (usize, usize) {
    let per_unit = if spec.content == Content::Binary { 2 } else { 1 };
    match spec.length {
        // A number of so many bytes: at most 2.41 digits each.
        Length::Fixed(bytes) | Length::Variable { max: bytes, .. }
            if spec.encoding == Encoding::BigEndian =>
        {
            (usize::from(bytes) * 241 / 100 + 1, 1)
        }
        Length::Fixed(units) => {
            let max = usize::from(units) * per_unit;
            (max, if spec.pad.is_some() { per_unit } else { max })
        }
        Length::Variable { max, .. } => (usize::from(max) * per_unit, per_unit),
    }
}

/// The largest number of so many digits that every JSON reader keeps exact.
fn largest(digits: usize) -> u64 {
    const EXACT_MAX: u64 = (1 << 53) - 1;
    let digits = u32::try_from(digits).unwrap_or(u32::MAX);
    10_u64.checked_pow(digits).map_or(EXACT_MAX, |limit| (limit - 1).min(EXACT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_dialect_is_there_with_its_bounds() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let document = document(&dialect, false);
        let request = &document["components"]["schemas"]["Request"]["properties"];
        for (n, spec) in dialect.schema.fields().filter(|(n, _)| dialect.schema.has(*n)) {
            assert_eq!(request[n.to_string()]["title"], &*spec.name, "{n}");
        }
        assert_eq!(request["4"]["anyOf"][1]["maximum"], 999_999_999_999_u64);
        assert_eq!(request["35"]["pattern"], "^[ -~]{1,37}$");
        assert_eq!(request["55"]["maxLength"], 510);
        assert_eq!(request["System Trace Audit Number"]["title"], "System Trace Audit Number");
        let text = document["info"]["description"].as_str().unwrap();
        assert!(text.contains("`0200`: 3 (Processing Code), 4 ("), "{text}");
    }

    #[test]
    fn keys_are_described_where_they_are_asked_for() {
        let dialect = Dialect::builtin("openWay").unwrap();
        let (open, closed) = (document(&dialect, false), document(&dialect, true));
        assert_eq!(open["security"], json!([]));
        assert_eq!(closed["security"].as_array().unwrap().len(), 2);
        let answers = |document: &Value| document["paths"]["/v1/transactions"]["post"]["responses"].clone();
        assert!(answers(&open).get("401").is_none() && answers(&closed).get("401").is_some());
    }
}
