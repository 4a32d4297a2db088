//! Text as a dialect document: findings or a dialect that can be used, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::Message;

fuzz_target!(|text: &str| {
    match Dialect::from_json(text) {
        Ok(dialect) => {
            let _ = Message::measure(&dialect.schema, text.as_bytes());
        }
        Err(findings) => assert!(!findings.is_empty(), "refused without a reason"),
    }
});
