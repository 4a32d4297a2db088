//! What is served where.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use slog::Logger;

use super::exposition::Form;
use super::sources::Sources;
use super::{commands, health, metrics, openapi, orders, state};

/// A command's body.
const BODY_LEN_MAX: usize = 4 * 1024;
/// The methods that change nothing.
const READING: &str = "GET, HEAD";

/// What the handlers share.
#[derive(Clone)]
pub(super) struct App {
    pub(super) sources: Arc<Sources>,
    pub(super) log: Logger,
}

/// What is served over TCP: nothing that changes anything.
pub(super) fn read_only(app: App) -> Router {
    reading()
        .layer(middleware::from_fn(only_reading))
        .layer(middleware::map_response(never_cached))
        .with_state(app)
}

/// What is served over the Unix socket: the same, and the commands.
pub(super) fn with_commands(app: App) -> Router {
    let commands = Router::new()
        .route("/v1/statistics/reset", post(commands::reset_statistics))
        .route("/v1/log/level", post(commands::set_log_level))
        .route("/v1/log/forget-causes", post(commands::forget_causes))
        .route("/v1/journal/retry", post(orders::retry))
        .route("/v1/journal/resolve", post(orders::resolve))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX));
    reading()
        .merge(commands)
        .method_not_allowed_fallback(not_this_way)
        .layer(middleware::map_response(never_cached))
        .with_state(app)
}

fn reading() -> Router<App> {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .route("/stats", get(show_statistics))
        .route("/v1/state", get(show_state))
        .route("/openapi.json", get(show_openapi))
        .fallback(not_found)
}

/// `{"error": …}`.
pub(super) fn problem(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

async fn only_reading(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let mut response = not_allowed().await;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(READING));
    response
}

async fn never_cached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing here; /openapi.json tells what there is")
}

async fn not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "read-only here; what changes anything goes over adminSocket")
}

async fn not_this_way() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "not with this method; Allow tells with which")
}

async fn show_metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = Form::for_accept(accept);
    let observed = app.sources.observe().await;
    let page = metrics::page(form, &app.sources, &observed);
    ([(CONTENT_TYPE, form.content_type())], page).into_response()
}

async fn show_health(State(app): State<App>) -> Response {
    match health::why_not_alive(&app.sources.observe().await) {
        None => Json(json!({ "healthy": true })).into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "healthy": false, "reason": why })))
            .into_response(),
    }
}

async fn show_readiness(State(app): State<App>) -> Response {
    match health::why_not_ready(&app.sources.observe().await) {
        None => Json(json!({ "ready": true })).into_response(),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reason": why }))).into_response()
        }
    }
}

async fn show_statistics(State(app): State<App>) -> Response {
    match app.sources.statistics().await {
        Some(line) => ([(CONTENT_TYPE, "application/json")], line).into_response(),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "an upstream does not answer"),
    }
}

async fn show_state(State(app): State<App>) -> Response {
    Json(state::document(&app.sources).await).into_response()
}

async fn show_openapi() -> Response {
    Json(openapi::document()).into_response()
}
