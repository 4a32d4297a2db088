//! API keys for SocketQueue's routes, which have none of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::connection::Client;
use super::v1::Api;
use super::{Listener, plain};

/// `routes`, for those who have an API key if any are configured. Others get 401, 403 or 429, and their body is not read.
pub(super) fn guarded(routes: Router<Arc<Listener>>, api: Arc<Api>) -> Router<Arc<Listener>> {
    routes.layer(from_fn_with_state(api, ask))
}

async fn ask(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<Client>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match api.admit(&parts, client.peer().ip()) {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(denied) => {
            let mut response = plain::denied(parts.uri.path(), denied.status(), denied.to_string());
            if denied.status() == 401 {
                let challenge = HeaderValue::from_static("Bearer realm=\"socketqueue\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            if let Some(seconds) = denied.retry_after() {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}
