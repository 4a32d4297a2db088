//! SocketQueue's service: `POST /` takes fields as a JSON object, `POST /raw` a whole message as hex or bytes.
//!
//! Its statuses and texts are SocketQueue's (`a5` of its recorded behaviour); what crashed it or hung it up is answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use serde::Serialize;
use serde_json::error::Category;
use slog::{Drain, info, trace, warn};

use super::connection::{Client, Receipt, Reply};
use super::{BodyError, Listener, body};
use crate::dialect::pretty::{self, Remarks};
use crate::iso8583::{Message, ParseError};
use crate::listener::refusal;
use crate::mux::{Failure, Outcome, TxId};
use crate::rules::json::{self, Drafted, Fields, Refusal, Shown};
use crate::rules::{self, Invalid, Violation};

/// What SocketQueue says to what it cannot make a message of.
const NO_PACKET: &str = "Failed to parse packet!";
/// What it says to a request whose local time is too far from now.
const EXPIRED: &str = "Packet is expired!";
/// Seconds after which a client that was refused may try again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// `/`, `/raw`, and what every other path gets.
pub(super) fn routes() -> Router<Arc<Listener>> {
    Router::new()
        .route("/", post(post_fields).fallback(other_method))
        .route("/raw", post(post_raw).fallback(other_method))
        .fallback(|| async { Form::Json.error(StatusCode::NOT_FOUND, &["Not Found".into()]) })
}

/// Who asks for `path` may not.
pub(super) fn denied(path: &str, status: u16, text: String) -> Response {
    let form = if path == "/raw" { Form::Hex } else { Form::Json };
    form.error(StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN), &[text])
}

async fn other_method() -> Response {
    let mut response = Form::Json.error(StatusCode::METHOD_NOT_ALLOWED, &["Method Not Allowed".into()]);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn post_fields(
    State(listener): State<Arc<Listener>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let call = Call { listener, client, form: Form::Json };
    let has_length =
        [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
    let body = match body::read(&call.client, &call.listener, request.into_body()).await {
        Ok(body) => body,
        Err(error) => return call.unread(error),
    };
    let fields: Fields = match serde_json::from_slice(&body) {
        Ok(fields) => fields,
        // Whatever else JSON has (a number, a list) is no message; `null` never was an object to SocketQueue.
        Err(error) if error.classify() == Category::Data && is_other_than_object(&body) => {
            return call.unreadable(NO_PACKET, &error);
        }
        Err(error) => {
            let mut response = call.malformed(vec![in_words(&error)]);
            if !has_length {
                // What was meant as the body stands where the next request would: it is not taken for one.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
    };
    let drafted = fields.draft(&call.listener.dialect);
    call.submit_fields(drafted).await
}

/// Whether the JSON value at the front of `body` is none of: an object, `null`.
fn is_other_than_object(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_some_and(|byte| !matches!(byte, b'{' | b'n'))
}

/// What is wrong with JSON, without a piece of it.
fn in_words(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("the JSON of the body ends too early ({place})"),
        Category::Syntax | Category::Io => format!("the body is no well-formed JSON in UTF-8, see {place}"),
        Category::Data => {
            format!("the body is no JSON object of at most {} members ({place})", json::MEMBERS_MAX)
        }
    }
}

async fn post_raw(
    State(listener): State<Arc<Listener>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let call = Call { listener, client, form: Form::Hex };
    let is_binary =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.trim_start().to_ascii_lowercase().starts_with("application/octet-stream")
        });
    let body = match body::read(&call.client, &call.listener, request.into_body()).await {
        Ok(body) => body,
        Err(error) => return call.unread(error),
    };
    // A copy of its own: what the message keeps for its reversal is not hyper's whole buffer.
    let message = if is_binary { Ok(Bytes::copy_from_slice(&body)) } else { from_hex(&body) };
    match message {
        Ok(message) => call.submit_message(message).await,
        Err(problem) => call.unreadable(&problem, &problem),
    }
}

/// The bytes of a hex text; white space around it is no part of it.
fn from_hex(text: &[u8]) -> Result<Bytes, String> {
    let text = text.trim_ascii();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if let Some(at) = text.iter().position(|byte| digit(*byte).is_none()) {
        return Err(format!("{NO_PACKET} The body must be hex, see character {}", at + 1));
    }
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!(
            "{NO_PACKET} The body must have an even number of hex digits, not {}",
            text.len()
        ));
    }
    let byte = |[high, low]: &[u8; 2]| digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0);
    Ok(pairs.iter().map(byte).collect())
}

/// What a client wants to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{"result":…,"errors":[…]}`
    Json,
    /// Lower-case hex; errors as text, one a line.
    Hex,
}

/// One request being served.
struct Call {
    listener: Arc<Listener>,
    client: Client,
    form: Form,
}

impl Call {
    // -- what was asked ----------------------------------------------------------------------------------------------

    async fn submit_fields(self, drafted: Drafted) -> Response {
        let now = (self.listener.clock)();
        let (dialect, policy) = (&self.listener.dialect, self.listener.upstream.policy());
        let shown = if self.listener.log.is_trace_enabled() {
            drafted.draft.as_ref().ok().and_then(|draft| draft.finish().ok())
        } else {
            None
        };
        let prepared = drafted.prepare(dialect, &policy.key_fields, now);
        // What is accepted is dumped by the upstream, with its transaction's id.
        if let (Some(message), Err(refusal)) = (shown, &prepared) {
            let expired = matches!(refusal, Refusal::Invalid(invalid) if invalid.expired);
            self.dump(&message, format!("http:{}", self.client.peer()), expired);
        }
        match prepared {
            Ok(request) => self.submit(request).await,
            Err(Refusal::Malformed(violations)) => self.malformed(problems(&violations)),
            Err(Refusal::NoType(violation)) if violation.problem.ends_with("numeric") => {
                self.invalid(&Invalid { violations: vec![violation], expired: false })
            }
            Err(Refusal::NoType(violation)) => self.unreadable(NO_PACKET, &violation.problem),
            Err(Refusal::Invalid(invalid)) => self.invalid(&invalid),
        }
    }

    async fn submit_message(self, bytes: Bytes) -> Response {
        let dialect = &self.listener.dialect;
        let message = match Message::parse(&dialect.schema, bytes) {
            Ok(message) => message,
            Err(error) => return self.unreadable(&format!("{NO_PACKET} {}", capitalized(&error)), &error),
        };
        let now = (self.listener.clock)();
        let shown = self.listener.log.is_trace_enabled().then(|| message.clone());
        let keys = &self.listener.upstream.policy().key_fields;
        let prepared = rules::prepare(dialect, keys, message, now);
        if let (Some(message), Err(invalid)) = (shown, &prepared) {
            let expired = invalid.expired;
            self.dump(&message, format!("http:{}", self.client.peer()), expired);
        }
        match prepared {
            Ok(request) => self.submit(request).await,
            Err(invalid) => self.invalid(&invalid),
        }
    }

    async fn submit(self, request: rules::Request) -> Response {
        let Reply { id, outcome, receipt } = self.client.submit(Arc::new(request), None).await;
        match outcome {
            Outcome::Answered { bytes, .. } => self.answer(&bytes, receipt),
            Outcome::Failed(failure) => self.failed(id, failure),
            Outcome::Known(_) => {
                debug_assert!(false, "no record was given");
                self.failed(id, Failure::Superseded)
            }
        }
    }

    // -- what is answered --------------------------------------------------------------------------------------------

    fn answer(&self, bytes: &Bytes, receipt: Option<Receipt>) -> Response {
        let lenient = Message::parse_lenient(&self.listener.dialect.schema, bytes.clone());
        let mut response = match (self.form, &lenient) {
            (Form::Hex, _) => respond(StatusCode::OK, TEXT, hex(bytes)),
            (Form::Json, Ok(lenient)) => self.object(&lenient.message, lenient.trouble.as_ref()),
            // Without MTI and bitmap no answer is matched to a request.
            (Form::Json, Err(error)) => {
                return self.form.error(StatusCode::BAD_GATEWAY, &[error.to_string()]);
            }
        };
        if let Some(receipt) = receipt {
            receipt.attach(&mut response);
        }
        response
    }

    fn object(&self, message: &Message, trouble: Option<&ParseError>) -> Response {
        #[derive(Serialize)]
        struct Answer<'a> {
            result: Shown<'a>,
            errors: &'a [String],
            /// DE 55 taken apart, with `exactValues`.
            #[serde(skip_serializing_if = "Option::is_none")]
            icc: Option<serde_json::Value>,
        }
        let values = self.listener.values();
        let errors: Vec<String> = trouble
            .map(|trouble| format!("the host's reply is read in part: {trouble}"))
            .into_iter()
            .collect();
        let icc = if values == json::Values::Exact { json::icc_to_json(message) } else { None };
        let result = Shown { dialect: &self.listener.dialect, message, values };
        respond(StatusCode::OK, JSON, to_line(&Answer { result, errors: &errors, icc }))
    }

    fn failed(&self, id: Option<TxId>, failure: Failure) -> Response {
        self.client.count(|counts| &counts.failed);
        let (listener, peer) = (&self.listener, self.client.peer());
        let reason = refusal::reason(failure);
        if refusal::is_overload(failure) {
            if let Some(skipped) = listener.overload.now((listener.clock)().uptime) {
                warn!(listener.log, "requests refused"; "reason" => reason, "peer" => %peer, "more" => skipped);
            }
        } else {
            info!(listener.log, "client gets no answer"; "request" => id.map(|id| id.to_string()),
                "reason" => reason, "peer" => %peer);
        }
        let (status, text) = status(failure);
        let mut response = self.form.error(status, &[text.to_owned()]);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }

    fn unread(&self, error: BodyError) -> Response {
        self.client.count(|counts| &counts.unreadable);
        info!(self.listener.log, "client's request has no usable body"; "peer" => %self.client.peer(),
            "reason" => %error);
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
            BodyError::Unreadable => StatusCode::BAD_REQUEST,
        };
        let mut response = self.form.error(status, &[error.to_string()]);
        // The rest of the body is not waited for.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// The sender's program is at fault.
    fn malformed(&self, problems: Vec<String>) -> Response {
        self.client.count(|counts| &counts.unreadable);
        info!(self.listener.log, "client's request is malformed"; "peer" => %self.client.peer(),
            "violations" => problems.join("; "));
        self.form.error(StatusCode::BAD_REQUEST, &problems)
    }

    fn unreadable(&self, text: &str, reason: &dyn std::fmt::Display) -> Response {
        self.client.count(|counts| &counts.unreadable);
        info!(self.listener.log, "client's message is not readable"; "peer" => %self.client.peer(),
            "reason" => %reason);
        self.form.error(StatusCode::INTERNAL_SERVER_ERROR, &[text.to_owned()])
    }

    fn invalid(&self, invalid: &Invalid) -> Response {
        self.client.count(|counts| &counts.invalid);
        let (listener, peer) = (&self.listener, self.client.peer());
        if invalid.expired {
            // Every sale of a terminal whose zone is not ours is 'expired': worth a line that is seen.
            if let Some(skipped) = listener.expired.now((listener.clock)().uptime) {
                warn!(listener.log, "request is expired by its local time; is `timezone` that of the terminals?";
                    "peer" => %peer, "more" => skipped);
            }
            return self.form.error(StatusCode::INTERNAL_SERVER_ERROR, &[EXPIRED.to_owned()]);
        }
        info!(listener.log, "request is not valid"; "peer" => %peer, "violations" => %invalid);
        self.form.error(StatusCode::INTERNAL_SERVER_ERROR, &problems(&invalid.violations))
    }

    /// At `vv`: the message with all its fields, masked.
    fn dump(&self, message: &Message, who: String, expired: bool) {
        let listener = &self.listener;
        let remarks = Remarks { expired, ..Remarks::default() };
        trace!(listener.log, "{}", pretty::dump(&listener.dialect, message, &who, listener.mask, remarks));
    }
}

/// Status and text of a failure. 503: nothing was sent, and trying again is safe. 504: it may have been. 409: this
/// transaction's fate is decided elsewhere.
fn status(failure: Failure) -> (StatusCode, &'static str) {
    match failure {
        Failure::Draining => (StatusCode::SERVICE_UNAVAILABLE, "Service Temporarily Unavailable"),
        Failure::QueueFull => (StatusCode::SERVICE_UNAVAILABLE, "Queue is full"),
        Failure::LinkDown => (StatusCode::SERVICE_UNAVAILABLE, "No link to the host; nothing was sent"),
        Failure::TableFull | Failure::JournalDown | Failure::RecordsFull => {
            (StatusCode::SERVICE_UNAVAILABLE, "Temporarily out of resources; nothing was sent")
        }
        Failure::Expired
        | Failure::TerminalHeld
        | Failure::TimedOut
        | Failure::TooLate
        | Failure::ClientGone => (StatusCode::GATEWAY_TIMEOUT, "Gateway timeout"),
        Failure::LinkLost => {
            (StatusCode::GATEWAY_TIMEOUT, "The link to the host was lost; the outcome is not known")
        }
        Failure::KeyReused => (StatusCode::CONFLICT, "The idempotency key belongs to another request"),
        Failure::KeyReserved => (StatusCode::CONFLICT, "A reversal or advice with this key is open"),
        Failure::BeingReversed => (StatusCode::CONFLICT, "This transaction is being reversed"),
        Failure::Reversed => (StatusCode::CONFLICT, "This transaction was reversed"),
        Failure::Superseded => (StatusCode::CONFLICT, "A repeat of this transaction took its place"),
    }
}

fn problems(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|violation| violation.problem.clone()).collect()
}

fn capitalized(error: &ParseError) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

// -- responses ---------------------------------------------------------------------------------------------------------

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Form {
    fn error(self, status: StatusCode, errors: &[String]) -> Response {
        #[derive(Serialize)]
        struct Failed<'a> {
            result: &'static str,
            errors: &'a [String],
        }
        match self {
            Form::Json => respond(status, JSON, to_line(&Failed { result: "", errors })),
            Form::Hex => respond(status, TEXT, errors.join("\n") + "\n"),
        }
    }
}

fn respond(status: StatusCode, content_type: HeaderValue, body: String) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// JSON with a line feed behind it, as SocketQueue writes it.
fn to_line(value: &impl Serialize) -> String {
    // Strings, numbers and lists only: nothing in them can fail.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}
