//! Bytes as a JSON request, and what must hold whatever they are. Used by the fuzz target `json` and, with seeded bytes,
//! by the test suite. The first byte says which dialect.

use std::sync::{Arc, LazyLock};

use socketqueue::dialect::Dialect;
use socketqueue::iso8583::Message;
use socketqueue::rules::KeyFields;
use socketqueue::rules::json::{self, Fields, Values};
use socketqueue::time::Now;

static DIALECTS: LazyLock<Vec<Arc<Dialect>>> = LazyLock::new(|| {
    ["smartVista", "openWay"].iter().map(|name| Dialect::builtin(name).expect("it is built in")).collect()
});

/// Reads `data` as a request. Whether it is a message.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) -> bool {
    let [which, text @ ..] = data else { return false };
    let dialect = &DIALECTS[usize::from(*which) % DIALECTS.len()];
    let Ok(fields) = serde_json::from_slice::<Fields>(text) else { return false };
    let now = Now { uptime: std::time::Duration::ZERO, wall_ms: 1_795_316_645_000, offset_s: 0 };
    if let Ok(request) = fields.draft(dialect).prepare(dialect, &KeyFields::default(), now) {
        let again = Message::parse(&dialect.schema, request.bytes().clone()).expect("a request is a message");
        shown_and_read_again_is_the_same(dialect, &again);
    }
    let Ok(draft) = json::from_json(dialect, &fields) else { return false };
    let Ok(message) = draft.finish() else { return false };
    shown_and_read_again_is_the_same(dialect, &message);
    true
}

fn shown_and_read_again_is_the_same(dialect: &Dialect, message: &Message) {
    for values in [Values::Exact, Values::Original] {
        let shown = json::to_json(dialect, message, values);
        let text = serde_json::to_vec(&shown).expect("it is JSON");
        let fields: Fields = serde_json::from_slice(&text).expect("what is shown is an object of fields");
        if values == Values::Exact {
            let draft = json::from_json(dialect, &fields).expect("what is shown can be read");
            assert_eq!(draft.to_bytes().expect("and written"), *message.raw());
        }
    }
}
