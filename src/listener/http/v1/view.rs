//! Transactions as `/v1` shows them.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{HeaderValue, LOCATION};
use serde_json::{Value, json};

use super::TRANSACTIONS;
use super::cause::Cause;
use super::problem::{Problem, json_response};
use crate::dialect::{Dialect, RequestClass};
use crate::iso8583::Message;
use crate::mux::{Failure, State, Status};
use crate::rules::json::{Values, icc_to_json, to_json};

/// The names of all states.
pub(in super::super) const STATES: [&str; 13] = [
    "queued",
    "in_flight",
    "answered",
    "delivered",
    "never_sent",
    "declined_undelivered",
    "unanswered",
    "reversal_pending",
    "reversed",
    "advice_pending",
    "advice_accepted",
    "parked",
    "listed",
];

fn state_name(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::InFlight => "in_flight",
        State::Answered => "answered",
        State::Delivered => "delivered",
        State::NeverSent => "never_sent",
        State::DeclinedUndelivered => "declined_undelivered",
        State::Unanswered => "unanswered",
        State::ReversalPending => "reversal_pending",
        State::Reversed => "reversed",
        State::AdvicePending => "advice_pending",
        State::AdviceAccepted => "advice_accepted",
        State::Parked => "parked",
        State::Listed => "listed",
    }
}

/// What became of the reversal (or of the advice that is carried on): `null` where there is none.
fn reversal(status: &Status) -> Value {
    let state = match status.state {
        State::ReversalPending | State::AdvicePending => "pending",
        State::Reversed | State::AdviceAccepted => "accepted",
        State::Parked => "parked",
        State::Listed => "listed",
        _ => return Value::Null,
    };
    json!({ "state": state, "attempts": status.attempts })
}

/// How an answer is worded.
pub(super) struct Words<'a> {
    pub(super) dialect: &'a Dialect,
    /// A process before had it: what its journal has kept of it is there, and nothing else.
    pub(super) is_restored: bool,
}

/// The host's answer: its class, every value exactly as it stands, and DE 55 taken apart.
fn answer(words: &Words<'_>, bytes: &Bytes, class: RequestClass) -> Value {
    let Words { dialect, is_restored } = *words;
    let class = match class {
        RequestClass::Approved => "approved",
        RequestClass::Declined => "declined",
        RequestClass::InDoubt => "in_doubt",
    };
    // It has been read before, by whoever matched it.
    let Ok(lenient) = Message::parse_lenient(&dialect.schema, bytes.clone()) else {
        return json!({ "class": class, "fields": {}, "icc": null });
    };
    let message = lenient.message;
    let mut answer = json!({
        "class": class,
        "fields": to_json(dialect, &message, Values::Exact),
        "icc": icc_to_json(&message),
    });
    if is_restored {
        answer["restored"] = true.into();
    }
    answer
}

fn transaction(
    name: Option<&str>,
    state: &str,
    cause: Option<Cause>,
    answer: Value,
    reversal: Value,
) -> Response<Bytes> {
    let body = json!({
        "id": name,
        "state": state,
        "cause": cause.map(Cause::name),
        "answer": answer,
        "reversal": reversal,
    });
    with_location(json_response(200, "application/json", &body), name)
}

fn with_location(mut response: Response<Bytes>, name: Option<&str>) -> Response<Bytes> {
    let location = name.and_then(|name| HeaderValue::try_from(format!("{TRANSACTIONS}/{name}")).ok());
    if let Some(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The host has answered. `again`: it was delivered before.
pub(super) fn answered(
    words: &Words<'_>,
    name: Option<&str>,
    again: bool,
    bytes: &Bytes,
    class: RequestClass,
) -> Response<Bytes> {
    let state = if again { State::Delivered } else { State::Answered };
    transaction(name, state_name(state), None, answer(words, bytes, class), Value::Null)
}

/// There is no answer: why, and what is done about it.
pub(super) fn failed(
    cause: Cause,
    failure: Failure,
    name: Option<&str>,
    status: Option<&Status>,
) -> Response<Bytes> {
    let mut problem = Problem::new(cause, detail(failure, status));
    if let Some(name) = name {
        problem = problem.with("id", name.into());
    }
    if let Some(status) = status {
        problem = problem.with("state", state_name(status.state).into()).with("reversal", reversal(status));
    }
    with_location(problem.into_response(), name)
}

fn detail(failure: Failure, status: Option<&Status>) -> String {
    let what = match failure {
        Failure::QueueFull => "maxQueue transactions are open; nothing was sent",
        Failure::TableFull => "a table that must not forget is full; nothing was sent",
        Failure::Draining => "the gateway is stopping; nothing was sent",
        Failure::KeyReserved => {
            "a reversal or advice with the same key (queueMessageKeyFields) is still open; nothing was sent. Use another STAN"
        }
        Failure::JournalDown => "the journal takes no intents; nothing was sent",
        Failure::Expired => "too little of queueTimeout was left when its turn came; nothing was sent",
        Failure::TerminalHeld => "a reversal of the same terminal had to go first; nothing was sent",
        Failure::LinkDown => "there was no link to the host within queueTimeout; nothing was sent",
        Failure::TimedOut => "it was sent, and the host did not reply within queueTimeout",
        Failure::LinkLost => "it was sent, and the link was lost before a reply came",
        Failure::BeingReversed => "the transaction that it repeats is being reversed; nothing was sent",
        Failure::Reversed => "the transaction that it repeats was reversed; nothing was sent",
        Failure::Superseded => "the same request came on another connection, which gets the answer",
        Failure::TooLate => "the host replied, and the reply could not be delivered within queueTimeout",
        Failure::ClientGone => "the client left before anything was sent",
        Failure::KeyReused => "this Idempotency-Key came with another body before; nothing was sent",
        Failure::RecordsFull => "no more idempotency keys can be remembered; nothing was sent",
    };
    let then = match status.map(|status| status.state) {
        Some(State::ReversalPending) => ". Its reversal is on its way",
        Some(State::Reversed) => ". It was reversed",
        Some(State::Parked) => ". Its reversal was not accepted and waits for a person",
        Some(State::Listed) => ". It is not reversed by the gateway, and waits for a person",
        Some(State::AdvicePending) => ". It is carried on until the host accepts it",
        Some(State::Unanswered) => ". Nothing is owed for it",
        _ => "",
    };
    format!("{what}{then}")
}

/// The same request came again by its idempotency key: what holds now.
pub(super) fn known(words: &Words<'_>, name: Option<&str>, status: &Status) -> Response<Bytes> {
    match (&status.answer, Cause::of_status(status)) {
        (Some((bytes, class)), None) => {
            let answer = answer(words, bytes, *class);
            transaction(name, state_name(status.state), None, answer, reversal(status))
        }
        (_, None) => transaction(name, state_name(status.state), None, Value::Null, reversal(status)),
        (_, Some(cause)) => {
            let detail = format!("{}; this is what holds now", over(status.state));
            let problem = Problem::new(cause, detail)
                .for_good()
                .with("id", name.into())
                .with("state", state_name(status.state).into())
                .with("reversal", reversal(status));
            with_location(problem.into_response(), name)
        }
    }
}

fn over(state: State) -> &'static str {
    match state {
        State::ReversalPending => "the transaction has no valid answer: its reversal is on its way",
        State::Reversed => "the transaction was reversed",
        State::Parked => "the transaction's reversal was not accepted and waits for a person",
        State::Listed => {
            "the transaction is in doubt; the gateway does not reverse it, and it waits for a person"
        }
        State::AdvicePending => "the advice is carried on until the host accepts it",
        State::AdviceAccepted => "the host has accepted the advice",
        State::NeverSent => "the transaction was never sent; use another Idempotency-Key to send it",
        State::DeclinedUndelivered => "the transaction was declined",
        _ => "the transaction ended without an answer",
    }
}

/// `GET /v1/transactions/{id}`. The answer is shown once it was delivered: before, its fate is still open.
pub(super) fn of_status(words: &Words<'_>, name: &str, status: &Status) -> Response<Bytes> {
    let is_final =
        matches!(status.state, State::Delivered | State::DeclinedUndelivered | State::AdviceAccepted);
    let answer = match &status.answer {
        Some((bytes, class)) if is_final => answer(words, bytes, *class),
        _ => Value::Null,
    };
    transaction(Some(name), state_name(status.state), Cause::of_status(status), answer, reversal(status))
}
