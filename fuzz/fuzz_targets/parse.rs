//! Bytes as a message of each built-in dialect: what parses comes back byte by byte, what is read leniently is no worse.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message};

/// Read once: that takes far longer than a message.
static DIALECTS: LazyLock<Vec<Arc<Dialect>>> =
    LazyLock::new(|| ["smartVista", "openWay"].into_iter().filter_map(Dialect::builtin).collect());

fuzz_target!(|data: &[u8]| {
    for dialect in DIALECTS.iter() {
        let raw = Bytes::copy_from_slice(data);
        let strict = Message::parse(&dialect.schema, raw.clone());
        let lenient = Message::parse_lenient(&dialect.schema, raw.clone());
        if let Ok(message) = &strict {
            let again = Draft::of(message).to_bytes().expect("what was parsed can be built");
            assert_eq!(again, raw);
            let lenient = lenient.as_ref().expect("what parses strictly parses leniently");
            assert!(lenient.trouble.is_none());
        }
        for message in strict.iter().chain(lenient.iter().map(|lenient| &lenient.message)) {
            for n in (0..=u16::from(FieldNumber::MAX)).filter_map(FieldNumber::new) {
                let value = message.value(n);
                assert_eq!(value.is_some(), message.text(n).is_some());
            }
            // What a stray debug print shows.
            let _ = format!("{message:?}");
        }
    }
});
