//! The seam between the gateway and the network: what it needs of a stream, and how streams come about.
//!
//! The driver of an upstream and the sessions of clients know only these traits, so that they run over real sockets,
//! `tokio::io::duplex` and a simulated network alike. [`tcp`] has the real ones.

mod alarm;
pub mod clock;
pub mod peer;
mod rarely;
pub mod tcp;

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use alarm::Alarm;
pub use rarely::Rarely;

use crate::time::Now;

/// Reads the time: the real clock in the binary, the runtime's (which can be paused) in tests, a made one in a
/// simulation. Uptime never goes back.
pub type TimeSource = Arc<dyn Fn() -> Now + Send + Sync>;

/// One connection, of a client or of a host.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// How many of the bytes written so far the peer's TCP has not acknowledged. It still answers after the connection
    /// has failed: what was not acknowledged by then never will be.
    ///
    /// # Errors
    /// Those of the system call. The caller then takes everything as not acknowledged.
    fn unacknowledged(&self) -> io::Result<usize>;

    /// Whether the connection is known to have failed, also where the failure cannot be read any more because the peer
    /// had closed its sending side before.
    fn has_failed(&self) -> bool;

    /// Makes the coming close an abort: what the peer has not got yet is thrown away, and it sees a reset. For bytes
    /// that must not arrive any more, since the transaction they belong to is being made good.
    fn abort_on_close(&self);

    /// Reads what has come, up to what there is room for; nothing: the end. Pending: the task is woken when something
    /// has.
    ///
    /// For readers that come often and keep no buffer: a real socket is asked straight away, and does not count as work of
    /// the task, which has to see to it that others get their turn.
    fn poll_recv<'b>(
        &mut self,
        cx: &mut Context<'_>,
        room: &'b mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<&'b mut [u8]>> {
        let mut came = vec![0; room.len()];
        let mut came = ReadBuf::new(&mut came);
        ready!(Pin::new(self).poll_read(cx, &mut came))?;
        let came = came.filled();
        Poll::Ready(Ok(room[..came.len()].write_copy_of_slice(came)))
    }

    /// Whether [`Stream::poll_recv`] may give something. While it would not, a task that was told so before need not ask
    /// again: it will be woken.
    fn may_have_come(&self) -> bool {
        true
    }

    /// Writes as much as the other side takes just now: how many bytes. As with [`Stream::poll_recv`], it does not count.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }
}

/// A stream and who is at its other end.
pub type Connected<S> = io::Result<(S, SocketAddr)>;

/// A connection being made.
pub type Dialling<S> = Pin<Box<dyn Future<Output = Connected<S>> + Send>>;

/// Makes connections to one host.
pub trait Dial: Send + 'static {
    /// What it makes.
    type Stream: Stream;

    /// Begins one attempt. A name is looked up each time: hosts move.
    fn dial(&mut self) -> Dialling<Self::Stream>;
}

/// Takes connections in.
pub trait Accept: Send + 'static {
    /// What it takes in.
    type Stream: Stream;

    /// The next connection. An error is about one attempt (or about the process being out of descriptors); the acceptor
    /// goes on.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Connected<Self::Stream>>;
}
