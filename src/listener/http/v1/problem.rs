//! Errors as `application/problem+json` (RFC 9457), all of one shape.

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::cause::Cause;
use crate::access::Denied;
use crate::iso8583::mask::{self, MaskStyle};
use crate::rules::Violation;

/// An error as a client of `/v1` gets it.
///
/// No value of a request stands in it. Its texts are searched for card numbers all the same before they go out.
#[derive(Clone, Debug)]
pub struct Problem {
    cause: Cause,
    detail: String,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    /// `id`, `state`, `reversal`, `violations`.
    more: Vec<(&'static str, Value)>,
}

impl Problem {
    /// With a sentence about this case.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Problem {
        Problem {
            cause,
            detail: detail.into(),
            retry_after: cause.retry_after(),
            allow: None,
            more: Vec::new(),
        }
    }

    /// Nothing is there.
    pub fn not_found(detail: &str) -> Problem {
        Problem::new(Cause::NotFound, detail)
    }

    /// The page takes other methods.
    pub fn method_not_allowed(allow: &'static str) -> Problem {
        let problem = Problem::new(Cause::MethodNotAllowed, format!("this page takes {allow}"));
        Problem { allow: Some(allow), ..problem }
    }

    /// Who asks may not.
    pub fn denied(denied: Denied) -> Problem {
        let cause = match denied {
            Denied::NoKey => Cause::NoApiKey,
            Denied::WrongKey => Cause::WrongApiKey,
            Denied::NotFromHere => Cause::NotFromHere,
            Denied::TooMany { .. } => Cause::TooManyFailures,
        };
        Problem { retry_after: denied.retry_after(), ..Problem::new(cause, denied.to_string()) }
    }

    /// The request breaks these rules: as [`Cause::Malformed`] or [`Cause::Invalid`].
    pub fn violations(cause: Cause, violations: &[Violation]) -> Problem {
        let detail = match violations {
            [one] => one.problem.clone(),
            several => format!("{} violations", several.len()),
        };
        let list = violations.iter().map(|violation| {
            json!({
                "field": violation.field.map(|n| n.to_string()),
                "rule": violation.rule.name(),
                "limit": violation.limit,
                "detail": masked(&violation.problem),
            })
        });
        Problem::new(cause, detail).with("violations", Value::Array(list.collect()))
    }

    /// Asking again does not help.
    pub fn for_good(self) -> Problem {
        Problem { retry_after: None, ..self }
    }

    /// With one more member.
    pub fn with(mut self, name: &'static str, value: Value) -> Problem {
        self.more.push((name, value));
        self
    }

    /// Its cause.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// What is wrong, for the log.
    pub(super) fn in_words(&self) -> String {
        let violations = self.more.iter().find(|(name, _)| *name == "violations");
        let list = violations.and_then(|(_, list)| list.as_array()).map(Vec::as_slice).unwrap_or_default();
        let details: Vec<&str> = list.iter().filter_map(|one| one["detail"].as_str()).collect();
        if details.is_empty() { masked(&self.detail) } else { details.join("; ") }
    }

    /// As the answer.
    pub fn into_response(self) -> Response<Bytes> {
        let cause = self.cause;
        let mut body = json!({
            "type": format!("/docs#{}", cause.name()),
            "title": cause.title(),
            "status": cause.status(),
            "cause": cause.name(),
            "detail": masked(&self.detail),
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        let mut response = json_response(cause.status(), "application/problem+json", &body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if cause.status() == 401 {
            let challenge = HeaderValue::from_static("Bearer realm=\"socketqueue\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A JSON body with its headers. What `/v1` says is for one client at one moment: nobody stores it.
pub(super) fn json_response(status: u16, content_type: &'static str, body: &Value) -> Response<Bytes> {
    let mut text = body.to_string();
    text.push('\n');
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn masked(text: &str) -> String {
    mask::free_text(text, MaskStyle::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_type_title_status_cause_and_detail_and_no_card_number() {
        let response = Problem::new(Cause::Malformed, "key 4850781234567891").into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            body,
            json!({"type": "/docs#malformed", "title": "The request cannot be read", "status": 400,
                "cause": "malformed", "detail": "key 485078******7891"})
        );
    }

    #[test]
    fn who_is_denied_learns_how_to_ask_and_when() {
        let response = Problem::denied(Denied::NoKey).into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"socketqueue\"");
        let again = std::time::Duration::from_millis(1500);
        let response = Problem::denied(Denied::TooMany { again }).into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header::RETRY_AFTER]),
            (429, &"2".parse().unwrap())
        );
    }
}
