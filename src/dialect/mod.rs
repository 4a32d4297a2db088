//! A dialect: how one host writes ISO 8583, and its habits. Loaded from a JSON document; `smartVista` and `openWay` are
//! built in.
//!
//! `document` is the JSON as it is written, `read` finds what is no such document, `build` makes the [`Dialect`] and
//! finds what contradicts itself, `overrides` changes single fields as SocketQueue's flag does, and `pretty` shows
//! messages to people.

mod build;
mod codes;
mod document;
mod fields;
mod lint;
mod number;
mod overrides;
pub mod pretty;
mod read;
mod reversal;
mod shown;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use codes::{Codes, RequestClass, ReversalClass};
pub use lint::Finding;
pub use read::{is_javascript_path, javascript_finding};
pub use reversal::{OriginalData, ReversalProfile};

use crate::iso8583::{Bitmap, FieldNumber, Mti, Schema, field};

/// The documents built in, by name.
const BUILTIN: [(&str, &str); 2] = [
    ("smartVista", include_str!("builtin/smartvista.json")),
    ("openWay", include_str!("builtin/openway.json")),
];

/// One host's way of writing ISO 8583, with its rules. Immutable once loaded; shared as `Arc<Dialect>`.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Its name: `smartVista`, `openWay`, or what the file says.
    pub name: String,
    /// The fields and their encodings.
    pub schema: Arc<Schema>,
    /// The framing that its hosts use by default, as a `framing` DSL text or preset name (`ascii4`, `bin2`).
    pub framing: String,
    /// Fields padded to their length before validation. The schema pads them; this says which stay strings in JSON.
    pub pad_fields: Vec<FieldNumber>,
    /// Fields that must be there, by MTI.
    pub obligatory: BTreeMap<Mti, Obligatory>,
    /// Expiry of requests by their local time, if the dialect has it.
    pub expiration: Option<Expiration>,
    /// What DE 39 means.
    pub codes: Codes,
    /// Processing codes (DE 3), or their leading digits, that move no money.
    pub no_money: Vec<String>,
    /// Elements that a response echoes, compared where both have them.
    pub echoed: Vec<FieldNumber>,
    /// How a reversal is made; `None`: this host takes none.
    pub reversal: Option<Arc<ReversalProfile>>,
    /// How a host's own 0800 is answered.
    pub echo_reply: EchoReply,
    /// DE 39 for requests that the gateway itself refuses (`onReject: respond`), by reason.
    pub refusals: RefusalCodes,
    /// Captions of response codes, zero-filled to the field's length.
    pub code_captions: BTreeMap<String, String>,
    /// Captions of DE 22: by its first two digits, and by its last.
    pub pos_entry_captions: (BTreeMap<String, String>, BTreeMap<String, String>),
    /// How fields with card data are masked.
    pub masked: BTreeMap<FieldNumber, Masked>,
    /// Fields whose values may be shown as they are. What is in neither list is searched for card numbers.
    pub safe: Vec<FieldNumber>,
    /// What it was built from, for `overrides`.
    document: Arc<document::Document>,
}

/// Fields that a request must have.
#[derive(Clone, Debug, Default)]
pub struct Obligatory {
    numbers: Vec<FieldNumber>,
    /// Those of them that a bitmap tells of.
    pub(crate) set: Bitmap,
}

impl From<Vec<FieldNumber>> for Obligatory {
    fn from(numbers: Vec<FieldNumber>) -> Obligatory {
        let mut set = Bitmap::EMPTY;
        numbers.iter().filter(|n| **n != field::BITMAP).for_each(|n| set.insert(*n));
        Obligatory { numbers, set }
    }
}

impl Deref for Obligatory {
    type Target = [FieldNumber];

    /// In the order of the dialect's list.
    fn deref(&self) -> &[FieldNumber] {
        &self.numbers
    }
}

/// Requests whose local time is too far from now are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiration {
    /// The field with the local time, `YYMMDDhhmmss`.
    pub field: FieldNumber,
    /// How far from now, past or future, it may be.
    pub within: Duration,
}

/// How a host's own network management request is answered by the gateway.
#[derive(Clone, Debug, Default)]
pub struct EchoReply {
    /// Elements left out of the answer.
    pub drop: Vec<FieldNumber>,
    /// DE 39 of the answer; `None`: the gateway does not answer.
    pub code: Option<String>,
}

/// DE 39 of refusals by the gateway.
#[derive(Clone, Debug, Default)]
pub struct RefusalCodes {
    /// Invalid or unparseable request.
    pub invalid: String,
    /// Duplicate or reserved key.
    pub duplicate: String,
    /// Time-out, link down, link lost.
    pub timeout: String,
    /// Queue full, draining, journal or tables unavailable.
    pub unavailable: String,
}

/// How a field with card data is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masked {
    /// A card number: head and last four digits are shown.
    Pan,
    /// A track: the card number as above, nothing behind it.
    Track,
    /// Stars only.
    Secret,
    /// ICC data: tags that are known to be harmless are shown, PAN and track masked, the others starred.
    Icc,
}

impl Masked {
    /// What is card data by the standard, in whatever dialect (ISO 8583-1; PCI DSS 3.3, 3.4).
    pub(crate) const BY_STANDARD: [(FieldNumber, Masked); 7] = [
        (field::PAN, Masked::Pan),
        (field::EXPIRATION_DATE, Masked::Secret),
        (field::TRACK_2, Masked::Track),
        (field::TRACK_3, Masked::Track),
        (field::TRACK_1, Masked::Track),
        (field::PIN_BLOCK, Masked::Secret),
        (field::ICC, Masked::Icc),
    ];
}

impl Dialect {
    /// The names of the built-in dialects.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// The document of a built-in dialect, by name, case-insensitively.
    pub fn builtin_document(name: &str) -> Option<&'static str> {
        BUILTIN.iter().find(|(builtin, _)| builtin.eq_ignore_ascii_case(name)).map(|(_, document)| *document)
    }

    /// A built-in dialect by name (`smartVista`, `openWay`), case-insensitively.
    pub fn builtin(name: &str) -> Option<Arc<Dialect>> {
        let document = Dialect::builtin_document(name)?;
        Some(Arc::new(
            Dialect::from_json(document).expect("the built-in documents are dialects, as a test proves"),
        ))
    }

    /// The built-in name most like `name`, for a 'did you mean'.
    pub fn nearest_builtin(name: &str) -> Option<&'static str> {
        read::nearest(name, Dialect::builtin_names())
    }

    /// Reads a dialect document.
    ///
    /// # Errors
    /// All findings together, warnings included, if one of them is fatal.
    pub fn from_json(text: &str) -> Result<Dialect, Vec<Finding>> {
        let (dialect, findings) = Dialect::check_json(text);
        dialect.ok_or(findings)
    }

    /// Reads a dialect document, and says all that there is to say about it. No dialect if a finding is fatal.
    pub fn check_json(text: &str) -> (Option<Dialect>, Vec<Finding>) {
        let (document, findings) = read::read(text);
        let mut findings = lint::Findings(findings);
        let dialect = document.and_then(|document| build::build(document, &mut findings));
        (dialect, findings.0)
    }

    /// The JSON Schema of dialect documents, as pretty-printed JSON.
    pub fn json_schema() -> String {
        format!("{:#}", document::json_schema())
    }

    /// Applies SocketQueue's `overrides`: `field:type[:len],…` on existing fields.
    ///
    /// # Errors
    /// All findings together; their place is the part of `overrides` that they are about.
    pub fn with_overrides(&self, overrides: &str) -> Result<Dialect, Vec<Finding>> {
        overrides::apply(self, overrides)
    }
}

#[cfg(test)]
mod tests;
