//! What a person decides about a reversal or advice that waits for one, while the gateway runs.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use slog::o;

use super::commands::{Asked, Body, checked, note, refused};
use super::routes::{App, problem};
use super::serve::Peer;
use crate::mux::{Decision, Objection, Order, TxId, What};

/// Which transaction, who asks, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedOrder {
    operator: String,
    reason: String,
    /// Its id in this process, as in the logs.
    request: String,
    /// Whose it is, where there are several.
    upstream: Option<String>,
    #[serde(default)]
    force: bool,
}

/// `POST /v1/journal/retry`: it is sent again, its tries beginning anew.
pub(super) async fn retry(state: State<App>, peer: Extension<Peer>, body: Body<AskedOrder>) -> Response {
    let what = |asked: &AskedOrder| What::Retry { force: asked.force };
    carry_out(state, peer, body, what, "operator sends a reversal or advice again").await
}

/// `POST /v1/journal/resolve`: it was seen to by other means.
pub(super) async fn resolve(state: State<App>, peer: Extension<Peer>, body: Body<AskedOrder>) -> Response {
    carry_out(state, peer, body, |_| What::Resolve, "operator resolves a reversal or advice").await
}

async fn carry_out(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Body<AskedOrder>,
    what: impl Fn(&AskedOrder) -> What,
    text: &'static str,
) -> Response {
    let Json(order) = match body {
        Ok(body) => body,
        Err(rejection) => return refused(&rejection),
    };
    let what = what(&order);
    let AskedOrder { operator, reason, request, upstream, force } = order;
    let asked = match checked(Ok(Json(Asked { operator, reason }))) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let Some(id) = id_of(&request) else {
        return problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "request: the id as the logs have it, 12 to 16 hex digits",
        );
    };
    // What was for an upstream that is no more is kept by the one that there is.
    let found = match (&app.sources.upstreams[..], &upstream) {
        ([only], _) => Some(only),
        (all, Some(wanted)) => all.iter().find(|(name, _)| name == wanted),
        (_, None) => None,
    };
    let Some((_, handle)) = found else { return problem(StatusCode::NOT_FOUND, "there is no such upstream") };
    let log = app.log.new(o!("request" => id.to_string(), "force" => force));
    note(&log, text, &asked, &peer);
    let decision = Decision { operator: asked.operator.into(), reason: asked.reason.into() };
    match handle.operate(Order { id, what, decision }).await {
        Ok(()) => Json(json!({ "done": true })).into_response(),
        Err(objection) => {
            let (status, name) = match objection {
                Objection::Unknown => (StatusCode::NOT_FOUND, "unknown"),
                Objection::NotWaiting => (StatusCode::CONFLICT, "not_waiting"),
                Objection::KeyUsedAgain => (StatusCode::CONFLICT, "key_used_again"),
                Objection::OtherUpstream => (StatusCode::CONFLICT, "other_upstream"),
                Objection::NothingToSend => (StatusCode::CONFLICT, "nothing_to_send"),
            };
            (status, Json(json!({ "error": objection.to_string(), "objection": name }))).into_response()
        }
    }
}

/// Ids are shown with 12 to 16 hex digits.
fn id_of(text: &str) -> Option<TxId> {
    let is_id = (12..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(TxId::from_bits)
}
