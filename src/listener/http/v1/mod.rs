//! `/v1`: transactions with exact values, named causes and idempotency keys.
//!
//! ```text
//! POST /v1/transactions       fields in, answer out; Idempotency-Key
//! GET  /v1/transactions/{id}  its truth at this moment
//! GET  /openapi.json, /docs   what all this looks like (apiDocs)
//! ```

mod cause;
mod credentials;
mod handler;
mod ids;
mod problem;
mod submission;
mod view;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response};

pub use cause::Cause;
pub(super) use handler::routes;
pub(super) use ids::PATTERN as ID_PATTERN;
pub use problem::Problem;
pub use submission::IDEMPOTENCY_KEY_LEN_MAX;
pub(super) use view::STATES;

use super::openapi;
use crate::access::{Denied, Guard, Identity, random_bytes};
use crate::dialect::Dialect;
use crate::mux::TxId;
use crate::net::TimeSource;
use crate::upstream::Handle;
use ids::Names;

/// The `/v1` API of one HTTP listener.
pub struct Api {
    dialect: Arc<Dialect>,
    upstream: Handle,
    clock: TimeSource,
    guard: Arc<Guard>,
    names: Names,
    last_before: TxId,
    /// The pages that describe it, if they are served.
    pages: Option<openapi::Pages>,
}

/// The path of transactions.
pub(super) const TRANSACTIONS: &str = "/v1/transactions";
const TRANSACTION: &str = "/v1/transactions/";

impl Api {
    /// The API in front of `upstream`. `with_pages`: `/openapi.json` and `/docs` are served.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(
        dialect: Arc<Dialect>,
        upstream: Handle,
        clock: TimeSource,
        guard: Arc<Guard>,
        with_pages: bool,
    ) -> io::Result<Api> {
        let pages = with_pages.then(|| openapi::Pages::new(&dialect, guard.asks()));
        let names = Names::new(random_bytes()?);
        Ok(Api { dialect, upstream, clock, guard, names, last_before: TxId::from_bits(0), pages })
    }

    /// The same with the secret of names that the processes before had: what they named is named so for ever.
    /// `last_before`: no transaction of theirs has a higher id.
    pub fn with_names(self, secret: [u8; 32], last_before: TxId) -> Api {
        Api { names: Names::new(secret), last_before, ..self }
    }

    /// Whether a process before had this transaction.
    fn is_from_before(&self, id: TxId) -> bool {
        id <= self.last_before
    }

    /// Who asks, by the headers of the request.
    ///
    /// # Errors
    /// Why they may not.
    pub fn admit(&self, request: &Parts, peer: IpAddr) -> Result<Identity, Denied> {
        let uptime = (self.clock)().uptime;
        self.guard.admit(credentials::presented(&request.headers), peer, uptime)
    }

    /// What the head of a request tells: who submits, or else the answer, before a byte of the body is read.
    async fn head(&self, request: &Parts, peer: IpAddr) -> Result<Identity, Response<Bytes>> {
        let path = request.uri.path();
        if openapi::Pages::is_mine(path) {
            return Err(self.page(request, path));
        }
        let owner = self.admit(request, peer).map_err(|denied| Problem::denied(denied).into_response())?;
        let name = path.strip_prefix(TRANSACTION).filter(|name| !name.contains('/'));
        match (&request.method, path, name) {
            (&Method::POST, TRANSACTIONS, _) => match submission::check_head(&request.headers) {
                Ok(()) => Ok(owner),
                Err(problem) => Err(problem.into_response()),
            },
            (_, TRANSACTIONS, _) => Err(Problem::method_not_allowed("POST").into_response()),
            (&Method::GET | &Method::HEAD, _, Some(name)) => Err(self.transaction(name, &owner).await),
            (_, _, Some(_)) => Err(Problem::method_not_allowed("GET, HEAD").into_response()),
            _ => Err(Problem::not_found("there is no such page").into_response()),
        }
    }

    fn page(&self, request: &Parts, path: &str) -> Response<Bytes> {
        let Some(page) = self.pages.as_ref().and_then(|pages| pages.get(path)) else {
            return Problem::not_found("there is no such page").into_response();
        };
        match request.method {
            Method::GET | Method::HEAD => page,
            _ => Problem::method_not_allowed("GET, HEAD").into_response(),
        }
    }

    /// How the answer of this transaction is worded.
    fn words(&self, id: Option<TxId>) -> view::Words<'_> {
        view::Words { dialect: &self.dialect, is_restored: id.is_some_and(|id| self.is_from_before(id)) }
    }

    async fn transaction(&self, name: &str, owner: &Identity) -> Response<Bytes> {
        let Some(id) = self.names.id(name, owner.id()) else { return unknown_transaction() };
        match self.upstream.status(id).await {
            Some(status) => view::of_status(&self.words(Some(id)), name, &status),
            None => unknown_transaction(),
        }
    }
}

fn unknown_transaction() -> Response<Bytes> {
    Problem::not_found("no transaction of this API key has this id, or it is forgotten").into_response()
}
