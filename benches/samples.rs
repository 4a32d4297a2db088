//! The messages that are measured: a purchase (0200) with DE 55 in each dialect, and smartVista's echo (0800).

use std::sync::Arc;

use bytes::Bytes;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti};

/// The 0200 of `sample_payloads`: 263 bytes, 13 elements, ICC data of 130 bytes.
pub const PURCHASE: &[u8] = include_bytes!("../sample_payloads/sv_200_purchase.txt");
/// Its 0800: 60 bytes, 6 elements.
pub const ECHO: &[u8] = include_bytes!("../sample_payloads/sv_800_echo.txt");

/// A dialect and one message of it.
pub struct Sample {
    pub name: &'static str,
    pub dialect: Arc<Dialect>,
    pub bytes: Bytes,
}

impl Sample {
    /// The message.
    pub fn message(&self) -> Message {
        Message::parse(&self.dialect.schema, self.bytes.clone()).unwrap()
    }

    /// What a builder is given: the elements with their canonical values, in ascending order.
    pub fn values(&self) -> Vec<(FieldNumber, Vec<u8>)> {
        let message = self.message();
        message.bitmap().iter().map(|n| (n, message.value(n).unwrap().into_owned())).collect()
    }
}

/// All of them.
pub fn samples() -> Vec<Sample> {
    let smart_vista = Dialect::builtin("smartVista").unwrap();
    let read = |json: &str| Arc::new(Dialect::from_json(json).unwrap());
    let sample = |name, dialect: Arc<Dialect>, bytes| Sample { name, dialect, bytes };
    let translated = |name, dialect: Arc<Dialect>| {
        let bytes = purchase_in(&dialect);
        Sample { name, dialect, bytes }
    };
    vec![
        sample("smartVista-0800", smart_vista.clone(), Bytes::from_static(ECHO)),
        sample("smartVista-0200", smart_vista, Bytes::from_static(PURCHASE)),
        translated("openWay-0200", Dialect::builtin("openWay").unwrap()),
        translated("ebcdic-0200", read(include_str!("ebcdic.json"))),
        translated("bcd-0200", read(include_str!("bcd.json"))),
    ]
}

/// The purchase of the sample with the elements and widths of `dialect`.
fn purchase_in(dialect: &Dialect) -> Bytes {
    let smart_vista = Dialect::builtin("smartVista").unwrap();
    let purchase = Message::parse(&smart_vista.schema, Bytes::from_static(PURCHASE)).unwrap();
    let mut draft = Draft::new(&dialect.schema, Mti::new(0x0200));
    for n in purchase.bitmap().iter().filter(|n| dialect.schema.has(*n)) {
        let text = purchase.text(n).unwrap();
        let max = dialect.schema.field(n).unwrap().max();
        let is_local_time = n.get() == 12 && max == 6;
        draft.set_text(n, if is_local_time { &text[6..] } else { &text });
    }
    if dialect.schema.field(FieldNumber::new(12).unwrap()).unwrap().max() == 6 {
        draft.set_text(FieldNumber::new(13).unwrap(), "1122");
    }
    draft.to_bytes().unwrap()
}
