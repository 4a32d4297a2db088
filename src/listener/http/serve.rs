//! The task of one connection: hyper, the upstream's notices, and time, in turn.
//!
//! ```text
//!   Serving --(hyper is done: EOF | Connection: close | refused | stopping | too slow)--> Closing
//!   Closing --(FIN sent)--> Lingering --(EOF or LINGER, and all acknowledged)--> over
//!   any     --(connection failed)--> over: unacknowledged and unwritten answers count as not delivered
//! ```

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::Service;
use slog::{debug, info};
use tokio::io::AsyncWrite;
use tower::Service as _;

use super::Listener;
use super::body::Tracked;
use super::connection::{Client, Connection, Over, Receipt, Stage};
use super::io::Wire;
use crate::listener::deliveries::AckWatch;
use crate::listener::door::{self, Permit};
use crate::net::{Accept, Alarm, Stream};
use crate::upstream::{self, Who};

/// What clients speak here, as logs name it.
const SCHEME: &str = "http";
/// The head of a request has so many bytes at most, and hyper's buffer is as large.
const HEAD_MAX: usize = 16 * 1024;
/// Header fields of a request, at most.
const HEADERS_MAX: usize = 64;
/// A connection without a request ends after it, where `clientTimeout` says nothing.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// From the first byte that the socket did not take at once, a response must be out within it. (An answer of a
/// transaction must be by its own deadline, too.)
const RESPONSE_MAX: Duration = Duration::from_secs(60);
/// How long a closed connection waits for the client to close as well. Closing with unread bytes would be a reset, which
/// can destroy the response on its way.
const LINGER: Duration = Duration::from_secs(1);
/// So many bytes are read and thrown away meanwhile.
const DISCARD_MAX: usize = 1024 * 1024;
/// What a client gets whose request does not come.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n\
    content-length: 43\r\nconnection: close\r\n\r\n{\"result\":\"\",\"errors\":[\"Request timeout\"]}\n";

/// Accepts connections for as long as it is polled, and spawns a task for each. `routes`: what it answers.
pub async fn serve<A: Accept>(acceptor: A, listener: Arc<Listener>, routes: Router<Arc<Listener>>) {
    let router: Router = routes.with_state(listener.clone());
    let enter = |stream: A::Stream, peer: SocketAddr, permit: Permit<Listener>| {
        let session = permit.upstream.session_of(Who { scheme: SCHEME, peer });
        tokio::spawn(run(Box::new(stream), peer, permit, session, router.clone()));
    };
    door::serve(acceptor, listener, enter).await;
}

/// Serves one connection until it is over.
fn run(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    listener: Permit<Listener>,
    upstream: upstream::Session,
    router: Router,
) -> impl Future<Output = ()> + Send {
    debug!(listener.log, "client connected"; "peer" => %peer);
    let client = Client::new(stream, peer, listener, upstream);
    let mut http = http1::Builder::new();
    http.half_close(true).max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX).header_read_timeout(None);
    let answers = Answers { client: client.clone(), router };
    let mut task = Task {
        hyper: Box::pin(http.serve_connection(Wire(client.clone()), answers)),
        client,
        phase: Phase::Serving,
        discard_left: DISCARD_MAX,
        alarm: Alarm::default(),
        ack: None,
    };
    async move {
        let over = poll_fn(|cx| task.poll(cx)).await;
        task.finish(&over);
    }
}

struct Task {
    client: Client,
    hyper: Pin<Box<http1::Connection<Wire, Answers>>>,
    phase: Phase,
    discard_left: usize,
    alarm: Alarm,
    ack: Option<AckWatch>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// What is to be written before the end, where hyper does not write it, and until when.
    Closing {
        rest: &'static [u8],
        until: Duration,
    },
    Lingering {
        until: Duration,
    },
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            match self.pass(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(over) => return Poll::Ready(over),
            }
        }
    }

    /// Looks at everything once. `true`: something was done, look again.
    fn pass(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        self.client.lock().take_notices(cx)?;
        let mut busy = false;
        match self.phase {
            Phase::Serving => {
                busy |= self.serve(cx)?;
                busy |= self.client.lock().read_ahead(cx)?;
            }
            Phase::Closing { rest, until } => busy |= self.close(cx, rest, until)?,
            Phase::Lingering { .. } => {
                let mut connection = self.client.lock();
                busy |= connection.discard(cx, &mut self.discard_left)?;
                if connection.eof && !connection.deliveries.awaits_acknowledgement() {
                    return Err(Over::Closed);
                }
            }
        }
        Ok(busy || self.wait(cx)?)
    }

    fn serve(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        match self.hyper.as_mut().poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => {
                self.phase = Phase::Closing { rest: b"", until: Duration::MAX };
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                let connection = self.client.lock();
                connection.count(|counts| &counts.unreadable, 1);
                info!(connection.listener.log, "client's bytes are no request, or its connection failed";
                    "peer" => %connection.peer, "reason" => %error);
                drop(connection);
                self.phase = Phase::Closing { rest: b"", until: Duration::MAX };
                Ok(true)
            }
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, rest: &'static [u8], until: Duration) -> Result<bool, Over> {
        let mut connection = self.client.lock();
        if !rest.is_empty() {
            return match Pin::new(&mut connection.stream).poll_write(cx, rest) {
                Poll::Pending => Ok(false),
                Poll::Ready(written) => {
                    let written = written?;
                    connection.wrote(written);
                    let rest = rest.get(written.max(1)..).unwrap_or_default();
                    self.phase = Phase::Closing { rest, until };
                    Ok(true)
                }
            };
        }
        connection.settle_acknowledged();
        // Nothing is under way in either direction: no farewell is needed.
        if connection.eof && !connection.deliveries.awaits_acknowledgement() {
            return Err(Over::Closed);
        }
        match Pin::new(&mut connection.stream).poll_shutdown(cx) {
            Poll::Pending => return Ok(false),
            // hyper may have closed it already; then this says so, and nothing else is wrong.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {}
            Poll::Ready(closed) => closed?,
        }
        let until = (connection.listener.clock)().uptime + LINGER;
        self.phase = Phase::Lingering { until };
        Ok(true)
    }

    /// Settles with the connection gone or about to go.
    fn finish(&mut self, over: &Over) {
        let mut connection = self.client.lock();
        connection.settle_acknowledged();
        if matches!(over, Over::TooLate | Over::Unacknowledged | Over::Orphaned) {
            connection.stream.abort_on_close();
        }
        let undelivered = connection.deliveries.undelivered();
        if !undelivered.is_empty() {
            connection.upstream.undelivered(undelivered);
        }
        debug!(connection.listener.log, "client disconnected"; "peer" => %connection.peer, "reason" => %over);
        // Answers that are not wholly written, and requests without an answer, are settled by the end of the session.
    }

    // -- time --------------------------------------------------------------------------------------------------------

    /// Looks at what time has brought, and sets the alarm. `true`: look again.
    fn wait(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        let mut connection = self.client.lock();
        let now = (connection.listener.clock)().uptime;
        let is_due = |moment: &Option<Duration>| moment.is_some_and(|moment| moment <= now);
        let response_end = connection.blocked.map(|since| since + RESPONSE_MAX);
        let answer_end = connection.answer_deadline();
        if is_due(&response_end) || is_due(&answer_end) {
            return Err(Over::TooLate);
        }
        let request_end = match self.phase {
            Phase::Serving => connection.request_end(),
            _ => None,
        };
        if is_due(&request_end) {
            let is_idle = matches!(connection.stage, Stage::Idle { .. });
            info!(connection.listener.log, "slow or idle client closed"; "peer" => %connection.peer);
            let rest: &[u8] = if is_idle { b"" } else { TOO_SLOW };
            self.phase = Phase::Closing { rest, until: now + LINGER };
            return Ok(true);
        }
        let awaits = connection.deliveries.awaits_acknowledgement();
        let linger_end = match self.phase {
            Phase::Lingering { until } if !awaits => Some(until),
            // It does not even take that.
            Phase::Closing { rest, until } if !rest.is_empty() => Some(until),
            _ => None,
        };
        if is_due(&linger_end) {
            return Err(Over::Closed);
        }
        let ack_next = if awaits && (connection.eof || self.phase != Phase::Serving) {
            let timeout = connection.listener.settings.delivery_timeout;
            let mut watch = self.ack.unwrap_or_else(|| AckWatch::new(now, timeout));
            if watch.next() <= now {
                if connection.settle_acknowledged() {
                    self.ack = None;
                    return Ok(true);
                }
                if connection.stream.has_failed() {
                    return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
                }
                if !watch.wait_on(now) {
                    return Err(Over::Unacknowledged);
                }
            }
            self.ack = Some(watch);
            Some(watch.next())
        } else {
            self.ack = None;
            None
        };
        let next = [response_end, answer_end, request_end, linger_end, ack_next];
        drop(connection);
        Ok(self.alarm.poll(cx, next.into_iter().flatten().min(), now).is_ready())
    }
}

impl Connection {
    /// When a connection that sends no request, or not all of one's head, is given up (uptime).
    fn request_end(&self) -> Option<Duration> {
        let settings = &self.listener.settings;
        match self.stage {
            // It may send one request yet, which is told that nothing is taken any more.
            Stage::Idle { since } if self.draining => Some(if self.served { since } else { since + LINGER }),
            Stage::Idle { since } => Some(since + settings.idle_timeout.unwrap_or(IDLE_MAX)),
            Stage::Head { since, last } => {
                let whole = since + settings.request_timeout;
                Some(settings.idle_timeout.map_or(whole, |idle| whole.min(last + idle)))
            }
            Stage::Busy { .. } | Stage::Responded => None,
        }
    }
}

/// What hyper asks for the response to a request.
struct Answers {
    client: Client,
    router: Router,
}

impl Service<hyper::Request<Incoming>> for Answers {
    type Response = hyper::Response<Tracked>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let client = self.client.clone();
        client.lock().request_came();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client.clone());
        // A router is always ready.
        let response = self.router.clone().call(request);
        Box::pin(async move {
            let mut response: Response = response.await?;
            let receipt = response.extensions_mut().remove::<Receipt>();
            if client.lock().draining {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Tracked::new(body, receipt, client)))
        })
    }
}
