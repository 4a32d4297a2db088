//! What tests of messages share: moments, hex, the golden files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti};
use socketqueue::rules::{Invalid, KeyFields, Request, prepare};
use socketqueue::time::{Civil, Now};

/// The moment `YYMMDDhhmmss`, in a zone without offset.
pub fn at(moment: &str) -> Now {
    let civil = Civil::parse_yymmddhhmmss(moment.as_bytes()).unwrap();
    Now { uptime: Duration::ZERO, wall_ms: civil.to_seconds() * 1000, offset_s: 0 }
}

/// Bytes from hex, blanks ignored.
pub fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Hex of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A field's number.
pub fn de(n: u16) -> FieldNumber {
    FieldNumber::new(n).unwrap()
}

/// A built-in dialect.
pub fn dialect(name: &str) -> Arc<Dialect> {
    Dialect::builtin(name).unwrap()
}

/// A message of `dialect`.
pub fn message(dialect: &Dialect, bytes: Bytes) -> Message {
    Message::parse(&dialect.schema, bytes).unwrap()
}

/// The text of a golden file.
pub fn golden_text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of a file of JSON lines.
pub fn golden_lines(name: &str) -> Vec<Value> {
    golden_text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One message of a file of `name hex` lines.
pub fn golden_message(file: &str, name: &str) -> Bytes {
    let text = golden_text(file);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    unhex(line)
}

/// When the sales of these tests are made.
pub const NOW: &str = "261122033000";

/// A smartVista sale at [`NOW`], with fields changed; an empty text removes one.
pub fn sale(changes: &[(u16, &str)]) -> Draft {
    let smart_vista = dialect("smartVista");
    let mut draft = Draft::new(&smart_vista.schema, Mti::new(0x0200));
    for (n, text) in [
        (3, "0"),
        (4, "1000"),
        (7, "1122033000"),
        (11, "618160"),
        (12, NOW),
        (22, "056"),
        (24, "200"),
        (25, "00"),
        (35, "4850781234567891=19082012232800000037"),
        (41, "992468"),
        (42, "124642124643"),
        (49, "810"),
    ]
    .iter()
    .chain(changes)
    {
        match text.is_empty() {
            true => draft.remove(de(*n)),
            false => draft.set_text(de(*n), text),
        };
    }
    draft
}

/// A message as a request at [`NOW`].
pub fn prepared(draft: &Draft) -> Result<Request, Invalid> {
    let smart_vista = dialect("smartVista");
    prepare(&smart_vista, &KeyFields::default(), draft.finish().unwrap(), at(NOW))
}
