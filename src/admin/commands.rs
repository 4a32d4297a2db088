//! What an operator may change while the process runs. Every command says who asks and why; both are logged at warn.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use slog::{Logger, o, warn};

use super::routes::{App, problem};
use super::serve::Peer;
use crate::iso8583::mask::{self, MaskStyle};
use crate::log::Level;
use crate::mux::Statistics;

/// Longest operator or reason.
const TEXT_LEN_MAX: usize = 200;

/// Who asks, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) operator: String,
    pub(super) reason: String,
}

/// The same with a level of the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedLevel {
    operator: String,
    reason: String,
    level: String,
}

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

/// `POST /v1/statistics/reset`: as HUP does, without reopening the log.
pub(super) async fn reset_statistics(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Body<Asked>,
) -> Response {
    let asked = match checked(body) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    note(&app.log, "operator resets the statistics", &asked, &peer);
    for (_, handle) in &app.sources.upstreams {
        handle.set_statistics(Statistics::default());
    }
    Json(json!({ "done": true })).into_response()
}

/// `POST /v1/log/level`.
pub(super) async fn set_log_level(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Body<AskedLevel>,
) -> Response {
    let Json(AskedLevel { operator, reason, level }) = match body {
        Ok(body) => body,
        Err(rejection) => return refused(&rejection),
    };
    let asked = match checked(Ok(Json(Asked { operator, reason }))) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let Some(wanted) = level_of(&level) else {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "level: warn, info or verbose");
    };
    let log = app.log.new(o!("to" => level_name(wanted)));
    note(&log, "operator changes the log level", &asked, &peer);
    app.sources.log.set(wanted);
    Json(json!({ "done": true })).into_response()
}

/// `POST /v1/log/forget-causes`: each cause of trouble with host messages is logged once more.
pub(super) async fn forget_causes(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Body<Asked>,
) -> Response {
    let asked = match checked(body) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    note(&app.log, "operator wants causes logged again", &asked, &peer);
    for (_, handle) in &app.sources.upstreams {
        handle.forget_causes();
    }
    Json(json!({ "done": true })).into_response()
}

/// The name of a level, as commands and `/v1/state` have it.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Verbose => "verbose",
    }
}

fn level_of(name: &str) -> Option<Level> {
    [Level::Warn, Level::Info, Level::Verbose].into_iter().find(|level| level_name(*level) == name)
}

// A refusal is a whole response; commands are rare.
#[allow(clippy::result_large_err)]
pub(super) fn checked(body: Body<Asked>) -> Result<Asked, Response> {
    let Json(asked) = body.map_err(|rejection| refused(&rejection))?;
    for (name, text) in [("operator", &asked.operator), ("reason", &asked.reason)] {
        if text.trim().is_empty() || text.len() > TEXT_LEN_MAX {
            let problem_text = format!("{name}: 1 to {TEXT_LEN_MAX} bytes, not all blank");
            return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, &problem_text));
        }
    }
    Ok(asked)
}

/// Says what is wrong without repeating what was sent.
pub(super) fn refused(rejection: &JsonRejection) -> Response {
    let status = rejection.status();
    let text = match rejection {
        JsonRejection::JsonDataError(_) => {
            "the body lacks a member, has one too many, or one of the wrong type"
        }
        JsonRejection::JsonSyntaxError(_) => "the body is not JSON",
        JsonRejection::MissingJsonContentType(_) => "the body must be application/json",
        _ if status == StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
        _ => "the body cannot be read",
    };
    problem(status, text)
}

/// At warn, which is always on.
pub(super) fn note(log: &Logger, what: &'static str, asked: &Asked, peer: &Peer) {
    let shown = |text: &str| mask::free_text(text, MaskStyle::default());
    warn!(log, "{}", what; "operator" => shown(&asked.operator), "reason" => shown(&asked.reason),
        "uid" => peer.uid, "pid" => peer.pid);
}
