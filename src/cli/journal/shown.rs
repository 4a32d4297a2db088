//! A row in words: the same in tables, JSON and CSV. No card data: the record has none.

use serde_json::{Map, Value, json};

use super::when;
use crate::iso8583::mask::{self, MaskStyle};
use crate::journal::Stage;
use crate::journal::desk::{Entry, Note};
use crate::mux::{FinalState, TxId};
use crate::net::clock::Clock;
use crate::upstream::words;

/// The columns of an export, and the members of a row in JSON.
pub(super) const COLUMNS: [&str; 29] = [
    "row",
    "id",
    "client_id",
    "upstream",
    "host",
    "dialect",
    "mti",
    "state",
    "received",
    "left",
    "ended",
    "attempts",
    "superseded",
    "tid",
    "stan",
    "rrn",
    "amount",
    "currency",
    "response_code",
    "approval_code",
    "processing_code",
    "mid",
    "transmission_time",
    "local_time",
    "key_id",
    "decision",
    "decided",
    "operator",
    "reason",
];

/// Where it stands, in one word: of an open row its stage, else how it ended. `resolved`: a person has seen to it.
pub(in crate::cli) fn state(entry: &Entry) -> &'static str {
    match (entry.stage, entry.outcome) {
        (Stage::Closed, None | Some(FinalState::Parked | FinalState::Listed)) => "resolved",
        (Stage::Closed, Some(outcome)) => words::state(outcome),
        (stage, _) => stage.word(),
    }
}

/// One value of a row by the name of its column.
fn value(entry: &Entry, column: &str, clock: &Clock) -> Value {
    let text = |text: &Option<String>| match text {
        // Nothing of a card is in a record; a client may still write what it likes into its fields.
        Some(text) => Value::from(guarded(text)),
        None => Value::Null,
    };
    let moment = |ms: Option<i64>| ms.map_or(Value::Null, |ms| when::stamp(clock, ms).into());
    let decision = |of: &dyn Fn(&Note) -> Value| entry.decision.as_ref().map_or(Value::Null, of);
    match column {
        "row" => entry.row.into(),
        "id" => TxId::from_bits(entry.id).to_string().into(),
        "client_id" => TxId::from_bits(entry.told).to_string().into(),
        "upstream" => entry.upstream.name.as_str().into(),
        "host" => entry.upstream.address.as_str().into(),
        "dialect" => entry.upstream.dialect.as_str().into(),
        "mti" => entry.mti.as_str().into(),
        "state" => state(entry).into(),
        "received" => moment(Some(entry.received_ms)),
        "left" => moment(entry.left_ms),
        "ended" => moment(entry.ended_ms),
        "attempts" => entry.attempts.into(),
        "superseded" => entry.superseded.into(),
        "tid" => text(&entry.tid),
        "stan" => text(&entry.stan),
        "rrn" => text(&entry.rrn),
        "amount" => text(&entry.amount),
        "currency" => text(&entry.currency),
        "response_code" => text(&entry.response_code),
        "approval_code" => text(&entry.approval_code),
        "processing_code" => text(&entry.processing_code),
        "mid" => text(&entry.mid),
        "transmission_time" => text(&entry.transmission_time),
        "local_time" => text(&entry.local_time),
        "key_id" => text(&entry.key_id),
        // Of the last decision: `journal show` has all of them.
        "decision" => decision(&|note| note.what.as_str().into()),
        "decided" => decision(&|note| when::stamp(clock, note.at_ms).into()),
        "operator" => decision(&|note| note.operator.as_deref().map_or(Value::Null, Value::from)),
        "reason" => decision(&|note| note.reason.as_str().into()),
        _ => Value::Null,
    }
}

/// As JSON.
pub(super) fn json(entry: &Entry, clock: &Clock) -> Map<String, Value> {
    COLUMNS.iter().map(|column| ((*column).to_owned(), value(entry, column, clock))).collect()
}

/// As the fields of a line of CSV.
pub(super) fn fields(entry: &Entry, clock: &Clock) -> Vec<String> {
    let plain = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    COLUMNS.iter().map(|column| plain(value(entry, column, clock))).collect()
}

/// What persons did about it.
pub(super) fn notes(notes: &[Note], clock: &Clock) -> Value {
    let note = |note: &Note| {
        json!({
            "at": when::stamp(clock, note.at_ms),
            "what": note.what,
            "operator": note.operator,
            "reason": note.reason,
        })
    };
    notes.iter().map(note).collect()
}

/// Digits of a terminal's or merchant's number are shown as they are; sixteen and more in a row are not.
pub(super) fn guarded(text: &str) -> String {
    const MID_LEN: usize = 15;
    match text.len() <= MID_LEN && !text.chars().any(char::is_control) {
        true => text.to_owned(),
        false => mask::free_text(text, MaskStyle::default()),
    }
}
