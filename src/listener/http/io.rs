//! The socket as hyper sees it: what it takes is counted, what came early is given first.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use hyper::rt::{self, ReadBufCursor};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Client, Connection, Over, Stage};

/// Bytes read ahead while a transaction is open; at the bound the rest stays in the client's kernel.
const AHEAD_MAX: usize = 16 * 1024;
/// Bytes taken from the socket at a time when reading ahead or throwing away.
const CHUNK: usize = 4 * 1024;

/// hyper's end of a connection.
pub(super) struct Wire(pub(super) Client);

impl rt::Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut connection = self.0.lock();
        let connection = &mut *connection;
        if !connection.ahead.is_empty() {
            let count = connection.ahead.len().min(buf.remaining());
            buf.put_slice(&connection.ahead[..count]);
            connection.ahead.advance(count);
            connection.began();
            return Poll::Ready(Ok(()));
        }
        if connection.eof {
            return Poll::Ready(Ok(()));
        }
        // On the stack, and copied from there: tokio's and hyper's cursors do not fit without unsafe code.
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let room = buf.remaining().min(CHUNK);
        let mut chunk = ReadBuf::uninit(&mut chunk[..room]);
        std::task::ready!(Pin::new(&mut connection.stream).poll_read(cx, &mut chunk))?;
        let count = chunk.filled().len();
        if count == 0 {
            connection.eof = true;
            return Poll::Ready(Ok(()));
        }
        buf.put_slice(chunk.filled());
        connection.count(|counts| &counts.bytes_in, count as u64);
        connection.began();
        Poll::Ready(Ok(()))
    }
}

impl rt::Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut connection = self.0.lock();
        match Pin::new(&mut connection.stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(count)) => {
                connection.wrote(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if connection.blocked.is_none() {
                    connection.blocked = Some((connection.listener.clock)().uptime);
                }
                Poll::Pending
            }
        }
    }

    /// hyper flushes when its own buffer is empty: all that it had was taken by the socket.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut connection = self.0.lock();
        std::task::ready!(Pin::new(&mut connection.stream).poll_flush(cx))?;
        connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut connection = self.0.lock();
        // Before our FIN, which counts as one more byte to be acknowledged.
        connection.settle_acknowledged();
        Pin::new(&mut connection.stream).poll_shutdown(cx)
    }
}

impl Connection {
    /// Bytes of a request have come.
    fn began(&mut self) {
        let now = || (self.listener.clock)().uptime;
        match self.stage {
            Stage::Idle { .. } => {
                let since = now();
                self.stage = Stage::Head { since, last: since };
            }
            Stage::Head { since, .. } => self.stage = Stage::Head { since, last: now() },
            Stage::Busy { .. } | Stage::Responded => {}
        }
    }

    /// While a transaction is open, hyper does not read; we do, so that the client's leaving is noticed. `true`: there
    /// was something.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        if self.eof || !self.is_waiting() || self.ahead.len() >= AHEAD_MAX {
            return Ok(false);
        }
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        match Pin::new(&mut self.stream).poll_read(cx, &mut chunk) {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read?,
        }
        if chunk.filled().is_empty() {
            self.eof = true;
            if self.upstream.reverses_on_disconnect() {
                return Err(Over::Left);
            }
            return Ok(true);
        }
        self.count(|counts| &counts.bytes_in, chunk.filled().len() as u64);
        self.ahead.extend_from_slice(chunk.filled());
        Ok(true)
    }

    /// Reads and throws away, so that the client's close is noticed and ours is no reset. `true`: there was something.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Result<bool, Over> {
        if self.eof || *left == 0 {
            return Ok(false);
        }
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        match Pin::new(&mut self.stream).poll_read(cx, &mut chunk) {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read?,
        }
        *left = left.saturating_sub(chunk.filled().len());
        self.eof = chunk.filled().is_empty();
        Ok(true)
    }
}
