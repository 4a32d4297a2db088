//! The link to a host: dialled or awaited, one at a time, and made again when it is lost.
//!
//! A link moves bytes; what they mean is the driver's business. It is polled, never awaited, so that the driver can look
//! at its commands, its reads and its writes in one pass.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;

use super::backoff::Backoff;
use crate::net::{Accept, Dial, Dialling, Stream};

/// A link that stood so long has lived: losing it is no reason to hold back.
const LIVED: Duration = Duration::from_secs(1);

/// Room made for reading. Replies are slices of such a chunk.
const READ_CHUNK: usize = 64 * 1024;
/// With less room than this left in a chunk, the next is begun.
const READ_MIN: usize = 4 * 1024;

/// Where links come from.
pub enum Source<S> {
    /// We connect.
    Dial(Box<dyn Dial<Stream = S>>),
    /// The host connects to us.
    Accept(Box<dyn Accept<Stream = S>>),
}

/// What happened to a link.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// It can be written to.
    Up(SocketAddr),
    /// An attempt failed; another follows after `pause`.
    Failed { error: io::Error, pause: Duration },
    /// A second connection came in and was closed.
    Refused(SocketAddr),
}

/// The one link of an upstream.
pub(super) struct Link<S> {
    source: Source<S>,
    state: State<S>,
    backoff: Backoff,
}

enum State<S> {
    /// Until the next attempt.
    Pausing(Pin<Box<Sleep>>),
    Dialling(Dialling<S>),
    Listening,
    Up(Up<S>),
    /// For good.
    Closed,
}

struct Up<S> {
    stream: S,
    since: Instant,
    heard: bool,
}

impl<S: Stream> Link<S> {
    /// Down; the first attempt begins with the first poll.
    pub(super) fn new(source: Source<S>, backoff: Backoff) -> Link<S> {
        let mut link = Link { source, state: State::Listening, backoff };
        link.begin(Duration::ZERO);
        link
    }

    /// Whether it can be written to.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Makes progress on getting a link, and turns away a second one.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        loop {
            match &mut self.state {
                State::Closed => return Poll::Pending,
                State::Pausing(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.begin(Duration::ZERO);
                }
                State::Dialling(dialling) => match ready!(dialling.as_mut().poll(cx)) {
                    Ok((stream, peer)) => return Poll::Ready(self.up(stream, peer)),
                    Err(error) => return Poll::Ready(self.failed(error)),
                },
                State::Listening => {
                    let Source::Accept(acceptor) = &mut self.source else { return Poll::Pending };
                    match ready!(acceptor.poll_accept(cx)) {
                        Ok((stream, peer)) => return Poll::Ready(self.up(stream, peer)),
                        Err(error) => return Poll::Ready(self.failed(error)),
                    }
                }
                State::Up(_) => {
                    let Source::Accept(acceptor) = &mut self.source else { return Poll::Pending };
                    // The one that was there first stays, as in SocketQueue (case ul-002): a stranger who can connect
                    // must not take the link away. A dead one is found by keep-alive and write stall.
                    match ready!(acceptor.poll_accept(cx)) {
                        Ok((_, peer)) => return Poll::Ready(LinkEvent::Refused(peer)),
                        Err(_) => return Poll::Pending,
                    }
                }
            }
        }
    }

    /// Reads what has come into `into`. `Ok(0)`: the host has closed.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        let State::Up(up) = &mut self.state else { return Poll::Pending };
        if into.capacity() - into.len() < READ_MIN {
            into.reserve(READ_CHUNK);
        }
        let read = ready!(poll_read_buf(Pin::new(&mut up.stream), cx, into))?;
        up.heard |= read > 0;
        Poll::Ready(Ok(read))
    }

    /// Writes from the front of `out` and takes off what was written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<usize>> {
        let State::Up(up) = &mut self.state else { return Poll::Pending };
        let written = ready!(Pin::new(&mut up.stream).poll_write(cx, out))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        out.advance(written);
        Poll::Ready(Ok(written))
    }

    /// Gives the link up and begins anew, at once if it had lived, else after a growing pause, which is returned.
    pub(super) fn down(&mut self) -> Duration {
        let State::Up(up) = &self.state else { return Duration::ZERO };
        if up.heard || up.since.elapsed() >= LIVED {
            self.backoff.lived();
        } else {
            self.backoff.failed();
        }
        let pause = self.backoff.pause();
        self.begin(pause);
        pause
    }

    /// Closes the link for good.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    fn up(&mut self, stream: S, peer: SocketAddr) -> LinkEvent {
        self.state = State::Up(Up { stream, since: Instant::now(), heard: false });
        LinkEvent::Up(peer)
    }

    fn failed(&mut self, error: io::Error) -> LinkEvent {
        self.backoff.failed();
        let pause = self.backoff.pause();
        self.begin(pause);
        LinkEvent::Failed { error, pause }
    }

    /// Waits for `pause`, then dials; or awaits the host (after a pause only if accepting itself failed).
    fn begin(&mut self, pause: Duration) {
        self.state = match &mut self.source {
            _ if !pause.is_zero() => State::Pausing(Box::pin(sleep(pause))),
            Source::Dial(dialler) => State::Dialling(dialler.dial()),
            Source::Accept(_) => State::Listening,
        };
    }
}
