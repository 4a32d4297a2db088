//! Where a message at the front of a stream ends: what is measured parses, and nothing shorter does.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::Message;

/// Up to here every shorter front is tried as well; the work grows with the square.
const FRONTS_MAX: usize = 300;

/// Read once: that takes far longer than a message.
static DIALECTS: LazyLock<Vec<Arc<Dialect>>> =
    LazyLock::new(|| ["smartVista", "openWay"].into_iter().filter_map(Dialect::builtin).collect());

fuzz_target!(|data: &[u8]| {
    for dialect in DIALECTS.iter() {
        let Ok(Some(len)) = Message::measure(&dialect.schema, data) else { continue };
        let message = Bytes::copy_from_slice(&data[..len]);
        assert!(
            Message::parse(&dialect.schema, message).is_ok(),
            "{}: {len} bytes were measured, but are no message",
            dialect.name
        );
        for front in 0..len.min(FRONTS_MAX) {
            assert_eq!(
                Message::measure(&dialect.schema, &data[..front]),
                Ok(None),
                "{}: {front} of {len} bytes",
                dialect.name
            );
        }
    }
});
