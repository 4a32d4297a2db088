//! From a request on a connection to its response.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderValue};
use slog::{info, warn};

use super::submission::{self, Submission, What};
use super::{Api, Cause, Problem};
use crate::access::Identity;
use crate::listener::http::connection::{Client, Reply};
use crate::listener::http::{BodyError, Listener, read_body};
use crate::listener::refusal;
use crate::mux::{Failure, Outcome, TxId};

/// `/v1` and the pages that describe it.
pub(in super::super) fn routes(api: Arc<Api>) -> Router<Arc<Listener>> {
    let mut router = Router::new();
    for path in ["/v1", "/v1/", "/v1/{*rest}", "/openapi.json", "/docs", "/docs/page.js", "/docs/page.css"] {
        router = router.route(path, any(handle));
    }
    router.layer(Extension(api))
}

async fn handle(
    State(listener): State<Arc<Listener>>,
    Extension(api): Extension<Arc<Api>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let owner = match api.head(&parts, client.peer().ip()).await {
        Ok(owner) => owner,
        Err(answer) => return answer.map(Body::from),
    };
    let call = Call { listener, api, client };
    let body = match read_body(&call.client, &call.listener, body).await {
        Ok(body) => body,
        Err(error) => return call.unread(error),
    };
    match call.prepare(&parts.headers, &body, owner) {
        Ok(submission) => call.submit(submission).await,
        Err(problem) => call.refused(problem),
    }
}

/// One request being served.
struct Call {
    listener: Arc<Listener>,
    api: Arc<Api>,
    client: Client,
}

impl Call {
    fn prepare(
        &self,
        headers: &hyper::HeaderMap,
        body: &Bytes,
        owner: Identity,
    ) -> Result<Submission, Problem> {
        let keys = &self.listener.upstream.policy().key_fields;
        let now = (self.listener.clock)();
        submission::prepare(&self.listener.dialect, keys, headers, body, owner, now)
    }

    async fn submit(self, mut submission: Submission) -> Response {
        let waiting = match submission.take_request() {
            Some(request) => self.client.submit(request, Some(submission.record)),
            None => self.client.recall(submission.record),
        };
        let Reply { id, outcome, receipt } = waiting.await;
        if let Outcome::Failed(failure) = &outcome {
            self.log_failure(id, *failure, &submission);
        }
        let mut response = self.api.finish(&submission, id, outcome).await.map(Body::from);
        if let Some(receipt) = receipt {
            receipt.attach(&mut response);
        }
        response
    }

    fn refused(&self, problem: Problem) -> Response {
        let log = &self.listener.log;
        match problem.cause() {
            Cause::Invalid => self.client.count(|counts| &counts.invalid),
            _ => self.client.count(|counts| &counts.unreadable),
        }
        info!(log, "request is not valid"; "peer" => %self.client.peer(), "violations" => problem.in_words());
        problem.into_response().map(Body::from)
    }

    fn unread(&self, error: BodyError) -> Response {
        self.client.count(|counts| &counts.unreadable);
        info!(self.listener.log, "client's request has no usable body"; "peer" => %self.client.peer(),
            "reason" => %error);
        let cause = match error {
            BodyError::TooLarge => Cause::TooLarge,
            BodyError::TimedOut => Cause::RequestTimeout,
            BodyError::Unreadable => Cause::Malformed,
        };
        let mut response = Problem::new(cause, error.to_string()).into_response().map(Body::from);
        // The rest of the body is not waited for.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn log_failure(&self, id: Option<TxId>, failure: Failure, submission: &Submission) {
        let (listener, peer) = (&self.listener, self.client.peer());
        if let (What::Recalled(invalid), Failure::Expired) = (&submission.what, failure) {
            self.client.count(|counts| &counts.invalid);
            info!(listener.log, "request is not valid"; "peer" => %peer, "violations" => %invalid);
            return;
        }
        self.client.count(|counts| &counts.failed);
        let reason = refusal::reason(failure);
        if refusal::is_overload(failure) {
            if let Some(skipped) = listener.overload.now((listener.clock)().uptime) {
                warn!(listener.log, "requests refused"; "reason" => reason, "peer" => %peer, "more" => skipped);
            }
        } else {
            info!(listener.log, "client gets no answer"; "request" => id.map(|id| id.to_string()),
                "cause" => Cause::of(failure).name(), "reason" => reason, "peer" => %peer);
        }
    }
}
