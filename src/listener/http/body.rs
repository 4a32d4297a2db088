//! Bodies: of requests, within limits of size and time; of responses, with an eye on their end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::Listener;
use super::connection::{Client, Receipt};

/// Most bytes of a request's body.
pub const BODY_MAX: usize = 1_000_000;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// More than [`BODY_MAX`] bytes, announced or sent.
    #[error("the body has more than {BODY_MAX} bytes")]
    TooLarge,
    /// It did not come in time.
    #[error("Request timeout")]
    TimedOut,
    /// The connection failed, or its chunks are not well-formed.
    #[error("the body can not be read")]
    Unreadable,
}

/// Reads the body of the request that `client` has sent.
///
/// # Errors
/// [`BodyError`]. The connection is then closed behind the response, since the rest of the body is not read.
pub async fn read(client: &Client, listener: &Listener, mut body: Body) -> Result<Bytes, BodyError> {
    let settings = &listener.settings;
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(BodyError::TooLarge);
    }
    let now = (listener.clock)().uptime;
    let left = (client.request_begin() + settings.request_timeout).saturating_sub(now);
    let end = Instant::now() + left;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        // The whole request has its time, and each next byte has the idle time.
        let next = settings.idle_timeout.map_or(end, |idle| end.min(Instant::now() + idle));
        let frame = match timeout_at(next, body.frame()).await {
            Err(_) => return Err(BodyError::TimedOut),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(BodyError::Unreadable),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > BODY_MAX {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() && rest.is_empty() {
            // Most bodies come in one piece, and are not copied.
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// A response's body: tells the connection when hyper has all of it.
pub(super) struct Tracked {
    body: Body,
    receipt: Option<Receipt>,
    client: Client,
    is_over: bool,
}

impl Tracked {
    pub(super) fn new(body: Body, receipt: Option<Receipt>, client: Client) -> Tracked {
        Tracked { body, receipt, client, is_over: false }
    }

    /// hyper has all of it.
    fn is_whole(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.hand_over();
        }
        self.over();
    }

    fn over(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.client.lock().responded();
        }
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let is_last = match &frame {
            None => true,
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if is_last {
            self.is_whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // An empty body is not asked for a frame, nor is that of an answer to HEAD.
        self.over();
    }
}
