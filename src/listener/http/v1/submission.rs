//! `POST /v1/transactions`: from its head and body to what is submitted.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::{Api, Cause, view};
use crate::access::Identity;
use crate::dialect::Dialect;
use crate::mux::{Failure, Outcome, Record, TxId};
use crate::rules::json::{Fields, Refusal};
use crate::rules::{Invalid, KeyFields, Request};
use crate::time::Now;

/// The longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request that may be submitted, and what is needed to word its outcome.
pub(super) struct Submission {
    pub(super) what: What,
    pub(super) record: Record,
    owner: Identity,
}

/// What is asked for.
pub(super) enum What {
    /// `None` once it was submitted.
    New(Option<Arc<Request>>),
    /// Its local time is over, so it is sent no more; but it may be the repetition of one that was.
    Recalled(Invalid),
}

impl Submission {
    /// What is to be sent; `None`: nothing, what is known is asked for.
    pub(super) fn take_request(&mut self) -> Option<Arc<Request>> {
        match &mut self.what {
            What::New(request) => request.take(),
            What::Recalled(_) => None,
        }
    }
}

/// What the headers alone tell: media type and idempotency key.
pub(super) fn check_head(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // Not out of pedantry: a page in somebody's browser can send other types here without being asked.
    if !essence.eq_ignore_ascii_case(b"application/json") {
        return Err(Problem::new(Cause::UnsupportedType, "Content-Type must be application/json"));
    }
    idempotency_key(headers).map(drop)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = values.next().map(|value| value.as_bytes()) else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Cause::Malformed, "Idempotency-Key is given more than once"));
    }
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LEN_MAX || !key.iter().all(u8::is_ascii_graphic) {
        let detail =
            format!("Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_LEN_MAX} visible ASCII characters");
        return Err(Problem::new(Cause::Malformed, detail));
    }
    Ok(Some(key))
}

/// Reads and checks a body.
pub(super) fn prepare(
    dialect: &Dialect,
    keys: &KeyFields,
    headers: &HeaderMap,
    body: &[u8],
    owner: Identity,
    now: Now,
) -> Result<Submission, Problem> {
    let key = idempotency_key(headers)?.map(|key| scoped(&owner, key));
    let fields: Fields = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let drafted = fields.draft(dialect);
    let canonical = drafted.draft.as_ref().ok().and_then(|draft| draft.to_bytes().ok());
    match drafted.prepare(dialect, keys, now) {
        Ok(request) => {
            let record = Record { key, body: digest(request.bytes()) };
            Ok(Submission { what: What::New(Some(Arc::new(request))), record, owner })
        }
        Err(Refusal::Malformed(violations)) => Err(Problem::violations(Cause::Malformed, &violations)),
        Err(Refusal::NoType(violation)) => Err(Problem::violations(Cause::Invalid, &[violation])),
        Err(Refusal::Invalid(invalid)) => match (key, canonical) {
            (Some(key), Some(canonical)) if invalid.expired => {
                let record = Record { key: Some(key), body: digest(&canonical) };
                Ok(Submission { what: What::Recalled(invalid), record, owner })
            }
            _ => Err(Problem::violations(Cause::Invalid, &invalid.violations)),
        },
    }
}

/// An idempotency key belongs to its API key. The length in front keeps `a` + `bc` apart from `ab` + `c`.
fn scoped(owner: &Identity, key: &[u8]) -> [u8; 32] {
    let owner = owner.id().as_bytes();
    let mut hash = Sha256::new();
    hash.update((owner.len() as u64).to_be_bytes());
    hash.update(owner);
    hash.update(key);
    hash.finalize().into()
}

/// The same message is the same body, however its JSON was written.
fn digest(canonical: &Bytes) -> [u8; 32] {
    Sha256::digest(canonical).into()
}

/// Where the JSON goes wrong, without a word of it.
fn unreadable(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the body ends before its JSON does",
        serde_json::error::Category::Syntax => "the body is no JSON",
        serde_json::error::Category::Data | serde_json::error::Category::Io => {
            "the body must be one JSON object of fields"
        }
    };
    Problem::new(Cause::Malformed, format!("{what} (line {}, column {})", error.line(), error.column()))
}

impl Api {
    /// The answer for the outcome of a submission. `id`: as the notice has it.
    ///
    /// An answer of the host's that comes with an `id` is to be confirmed as delivered or not; all others are not.
    pub(super) async fn finish(
        &self,
        submission: &Submission,
        id: Option<TxId>,
        outcome: Outcome,
    ) -> Response<Bytes> {
        let owner = submission.owner.id();
        match outcome {
            Outcome::Answered { bytes, class } => {
                let known = self.id_of(submission, id).await;
                let name = known.map(|id| self.names.name(id, owner));
                view::answered(&self.words(known), name.as_deref(), id.is_none(), &bytes, class)
            }
            Outcome::Failed(failure) => match (&submission.what, failure) {
                (What::Recalled(invalid), Failure::Expired) => {
                    Problem::violations(Cause::Invalid, &invalid.violations).into_response()
                }
                (_, failure) => {
                    let status = match id {
                        Some(id) => self.upstream.status(id).await,
                        None => None,
                    };
                    let name = id.map(|id| self.names.name(id, owner));
                    view::failed(Cause::of(failure), failure, name.as_deref(), status.as_ref())
                }
            },
            Outcome::Known(status) => {
                let known = self.id_of(submission, id).await;
                let name = known.map(|id| self.names.name(id, owner));
                view::known(&self.words(known), name.as_deref(), &status)
            }
        }
    }

    /// Which transaction it is; that of a repetition is found by its idempotency key.
    async fn id_of(&self, submission: &Submission, id: Option<TxId>) -> Option<TxId> {
        match (id, submission.record.key) {
            (Some(id), _) => Some(id),
            (None, Some(key)) => self.upstream.find(key).await,
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::field;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn told(pairs: &[(&'static str, &str)], body: &str) -> Result<Submission, (u16, String)> {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let keys = KeyFields(vec![field::STAN, field::TID]);
        let headers = headers(pairs);
        check_head(&headers)
            .and_then(|()| {
                prepare(&dialect, &keys, &headers, body.as_bytes(), Identity::Anybody, Now::default())
            })
            .map_err(|problem| {
                let response = problem.into_response();
                (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
            })
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    const ECHO: &str = r#"{"0":"0800","3":"990000","7":"1122030405","11":1,"24":"831","41":"1"}"#;

    #[test]
    fn the_same_message_is_the_same_body_however_it_is_written() {
        let other = r#" {"mti": "800", "card acceptor terminal identification": 1, "24": 831, "11": "000001", "7": "1122030405",
            "3": "990000"} "#;
        let record = |body: &str| told(&[JSON, ("idempotency-key", "k")], body).ok().unwrap().record;
        assert_eq!(record(ECHO), record(other));
        assert_ne!(record(ECHO), record(&ECHO.replace("831", "832")));
        assert!(record(ECHO).key.is_some());
    }

    #[test]
    fn an_idempotency_key_belongs_to_its_api_key() {
        let key = |owner: &str| Identity::Key(owner.into());
        assert_ne!(scoped(&key("a"), b"bc"), scoped(&key("ab"), b"c"));
        assert_ne!(scoped(&key("a"), b"k"), scoped(&Identity::Anybody, b"k"));
        assert_eq!(scoped(&key("a"), b"k"), scoped(&key("a"), b"k"));
    }

    #[test]
    fn what_can_not_be_read_is_told_without_repeating_it() {
        let long = "k".repeat(IDEMPOTENCY_KEY_LEN_MAX + 1);
        for (headers, body, status, word) in [
            (&[][..], ECHO, 415, "unsupported_type"),
            (&[("content-type", "text/plain")], ECHO, 415, "unsupported_type"),
            (&[JSON, ("idempotency-key", &long)], ECHO, 400, "Idempotency-Key"),
            (&[JSON, ("idempotency-key", "a b")], ECHO, 400, "Idempotency-Key"),
            (&[JSON, ("idempotency-key", "")], ECHO, 400, "Idempotency-Key"),
            (&[JSON, ("idempotency-key", "a"), ("idempotency-key", "b")], ECHO, 400, "more than once"),
            (&[JSON], "", 400, "ends before"),
            (&[JSON], "{\"2\":\"4850781234567891\"", 400, "ends before"),
            (&[JSON], "4850781234567891", 400, "one JSON object"),
            (&[JSON], "\"4850781234567891\"", 400, "one JSON object"),
            (&[JSON], "[4850781234567891]", 400, "one JSON object"),
            (&[JSON], "4850781234567891x", 400, "(line 1"),
            (&[JSON], r#"{"4850781234567891":"1"}"#, 400, "unknown_field"),
            (&[JSON], r#"{"0":"0800","2":{"x":"4850781234567891"}}"#, 400, "json_type"),
            (&[JSON], r#"{"0":"0800","2":"1","2":"4850781234567891"}"#, 400, "once"),
            (&[JSON], r#"{"0":"4850781234567891"}"#, 422, "message_type"),
            (&[JSON], r#"{"2":"4850781234567891"}"#, 422, "required"),
            (&[JSON], r#"{"0":"0800","3":"4850781234567891"}"#, 422, "max_length"),
        ] {
            let (got, text) = told(headers, body).err().unwrap();
            assert_eq!(got, status, "{body}: {text}");
            assert!(text.contains(word), "{word}: {text}");
            assert!(!text.contains("4850781234567891") && !text.contains("81234567"), "{text}");
        }
    }

    #[test]
    fn all_violations_are_told_with_field_rule_and_limit() {
        let body = r#"{"0":"0800","3":"9900000","7":"1122030405","11":"x","41":"1"}"#;
        let (status, text) = told(&[JSON], body).err().unwrap();
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status, 422);
        let rules: Vec<String> = body["violations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {} {}", one["field"], one["rule"], one["limit"]))
            .collect();
        assert_eq!(rules, [r#""24" "required" null"#, r#""3" "max_length" 6"#, r#""11" "digits" null"#]);
    }
}
