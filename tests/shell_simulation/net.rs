//! A network of connections with delays, partitions and ends, in the runtime's paused time.
//!
//! It behaves as TCP does: bytes arrive in their order or the connection fails; what has arrived is acknowledged; a
//! partition holds bytes back, and they come when it is healed; of a connection that was reset, what had arrived can
//! still be read.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socketqueue::net::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::chance::Chance;

/// One direction.
struct Pipe {
    /// Bytes, and when they arrive.
    segments: VecDeque<(Instant, Vec<u8>)>,
    /// What the two buffers hold at most.
    window: usize,
    /// The writer has closed: when that arrives.
    end: Option<Instant>,
    /// Bytes that will never arrive.
    lost: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn waiting(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

struct Wire {
    pipes: [Pipe; 2],
    chance: Chance,
    /// Until then nothing arrives, in either direction.
    held: Instant,
    reset: bool,
    /// The end of this side was dropped.
    gone: [bool; 2],
}

impl Wire {
    fn reset(&mut self, now: Instant) {
        if std::mem::replace(&mut self.reset, true) {
            return;
        }
        for pipe in &mut self.pipes {
            while pipe.segments.back().is_some_and(|(at, _)| *at > now) {
                pipe.lost += pipe.segments.pop_back().map_or(0, |(_, bytes)| bytes.len());
            }
            pipe.reader.take().into_iter().chain(pipe.writer.take()).for_each(Waker::wake);
        }
    }
}

/// What the world does to a connection, and sees of it.
#[derive(Clone)]
pub struct Fault(Arc<Mutex<Wire>>);

impl Fault {
    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    /// Nothing arrives for so long, in either direction; then everything does.
    pub fn hold(&self, time: Duration) {
        let mut wire = self.lock();
        let until = Instant::now() + time;
        wire.held = wire.held.max(until);
        for pipe in &mut wire.pipes {
            for (at, _) in &mut pipe.segments {
                if *at > Instant::now() {
                    *at = (*at).max(until);
                }
            }
        }
    }

    /// It fails at both sides. What has not arrived never will.
    pub fn reset(&self) {
        self.lock().reset(Instant::now());
    }

    /// The process of `side` is killed: what its kernel has still goes out, and then the end.
    pub fn kill(&self, side: usize) {
        let mut wire = self.lock();
        let last = wire.pipes[side].segments.back().map_or_else(Instant::now, |(at, _)| *at);
        wire.pipes[side].end.get_or_insert(last);
        wire.gone[side] = true;
        for pipe in &mut wire.pipes {
            pipe.reader.take().into_iter().chain(pipe.writer.take()).for_each(Waker::wake);
        }
    }

    /// Bytes that `side` has written and that have not arrived.
    pub fn under_way(&self, side: usize) -> usize {
        let (wire, now) = (self.lock(), Instant::now());
        let under_way = wire.pipes[side].segments.iter().filter(|(at, _)| *at > now);
        wire.pipes[side].lost + under_way.map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// What has arrived at `side` and was not read there.
    pub fn arrived(&self, side: usize) -> Vec<u8> {
        let (wire, now) = (self.lock(), Instant::now());
        let arrived = wire.pipes[1 - side].segments.iter().filter(|(at, _)| *at <= now);
        arrived.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// One end of a connection.
pub struct End {
    wire: Fault,
    side: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    aborts: Mutex<bool>,
}

/// A connection: the first end is the side 0. `window`: what it holds in each direction.
pub fn connection(chance: Chance, window: usize) -> (End, End, Fault) {
    let pipe = || Pipe { segments: VecDeque::new(), window, end: None, lost: 0, reader: None, writer: None };
    let wire = Wire { pipes: [pipe(), pipe()], chance, held: Instant::now(), reset: false, gone: [false; 2] };
    let fault = Fault(Arc::new(Mutex::new(wire)));
    let end = |side| End { wire: fault.clone(), side, sleep: None, aborts: Mutex::new(false) };
    (end(0), end(1), fault)
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let due = {
            let (mut guard, now, from) = (self.wire.lock(), Instant::now(), 1 - self.side);
            let wire = &mut *guard;
            if wire.gone[self.side] {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let pipe = &mut wire.pipes[from];
            match pipe.segments.front_mut() {
                Some((at, bytes)) if *at <= now => {
                    let take = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes[..take]);
                    bytes.drain(..take);
                    if bytes.is_empty() {
                        pipe.segments.pop_front();
                    }
                    pipe.writer.take().into_iter().for_each(Waker::wake);
                    return Poll::Ready(Ok(()));
                }
                None if wire.reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None if pipe.end.is_some_and(|at| at <= now) => return Poll::Ready(Ok(())),
                front => {
                    let due = front.map(|(at, _)| *at).or(pipe.end);
                    pipe.reader = Some(cx.waker().clone());
                    due
                }
            }
        };
        if let Some(due) = due {
            let mut sleep = Box::pin(sleep_until(due));
            if sleep.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            self.sleep = Some(sleep);
        }
        Poll::Pending
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (mut guard, now, side) = (self.wire.lock(), Instant::now(), self.side);
        let wire = &mut *guard;
        if wire.reset || wire.gone[side] || wire.pipes[side].end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if wire.gone[1 - side] {
            // The kernel takes them, and hears that nobody is there.
            wire.pipes[side].lost += bytes.len();
            wire.reset(now);
            return Poll::Ready(Ok(bytes.len()));
        }
        let latency = Duration::from_micros(50 + wire.chance.below(20_000));
        let pipe = &mut wire.pipes[side];
        let room = pipe.window.saturating_sub(pipe.waiting());
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = room.min(bytes.len());
        let after = pipe.segments.back().map_or(now, |(at, _)| *at);
        // In two pieces sometimes: nobody may take a read for a message.
        let cut = if wire.chance.permille(100) { wire.chance.below(taken as u64) as usize } else { taken };
        for piece in [&bytes[..cut], &bytes[cut..taken]] {
            if !piece.is_empty() {
                let at = (now + latency).max(after).max(wire.held);
                pipe.segments.push_back((at, piece.to_vec()));
            }
        }
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.lock();
        let pipe = &mut wire.pipes[self.side];
        let last = pipe.segments.back().map_or_else(Instant::now, |(at, _)| *at);
        pipe.end.get_or_insert(last);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Stream for End {
    fn unacknowledged(&self) -> io::Result<usize> {
        Ok(self.wire.under_way(self.side))
    }
    fn has_failed(&self) -> bool {
        self.wire.lock().reset
    }
    fn abort_on_close(&self) {
        *self.aborts.lock().unwrap() = true;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (mut guard, now) = (self.wire.lock(), Instant::now());
        let wire = &mut *guard;
        wire.gone[self.side] = true;
        // What it has not read, or comes when nobody is there, is answered with a reset.
        let unread = !wire.pipes[1 - self.side].segments.is_empty();
        if *self.aborts.lock().unwrap() || unread {
            return wire.reset(now);
        }
        let pipe = &mut wire.pipes[self.side];
        let last = pipe.segments.back().map_or(now, |(at, _)| *at);
        pipe.end.get_or_insert(last);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        // Who waits to write to it hears that it is gone.
        wire.pipes[1 - self.side].writer.take().into_iter().for_each(Waker::wake);
    }
}
