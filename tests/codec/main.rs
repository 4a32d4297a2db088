//! The codec, held to what others wrote and to itself.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod errors;
mod fuzz;
mod generate;
mod measure;
mod openway;
mod packers;
mod pyiso8583;
mod recorded;
mod round_trip;
mod smartvista;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use socketqueue::iso8583::{FieldNumber, Message, ParseError, Schema};

/// DE `number`.
fn de(number: u16) -> FieldNumber {
    FieldNumber::new(number).unwrap()
}

/// The bytes that `text` has in hex; blanks between them.
fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "{text}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// `bytes` in hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(schema: &Arc<Schema>, bytes: &[u8]) -> Result<Message, ParseError> {
    Message::parse(schema, bytes.to_vec().into())
}

/// The lines of a file under `tests/golden`, each a JSON document.
fn golden(name: &str) -> Vec<serde_json::Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Fields as they are written in tables of SocketQueue's types: `2 ll-n 19; 3 n 6`.
fn with_types(mut schema: Schema, table: &str) -> Arc<Schema> {
    for entry in table.split(';') {
        let [number, type_name, len] = entry.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let number = number.parse().unwrap();
        let spec = socketqueue::iso8583::FieldSpec::from_type(
            &format!("DE {number}"),
            type_name,
            len.parse().unwrap(),
        );
        schema.set(de(number), spec.unwrap());
    }
    Arc::new(schema)
}
