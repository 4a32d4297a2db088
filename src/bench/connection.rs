//! One connection: requests out, answers in.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};

use super::requests::{Judgement, Requests};
use super::speech::{Broken, Heard};
use super::tally::Cause;
use super::{Run, connect};

/// How much is read at once.
const READ_LEN: usize = 4 * 1024;
/// How long a connection that was lost waits before it comes back.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// One connection of a run.
pub(super) struct Connection {
    run: Arc<Run>,
    requests: Requests,
    /// Open loop: when requests are due. Its end is the end of the run.
    times: Option<UnboundedReceiver<Instant>>,
}

/// How a conversation ended.
#[derive(PartialEq, Eq)]
enum End {
    /// Nothing more is to be sent, and nothing is out.
    Done,
    /// The stream cannot go on.
    Broken,
}

impl Connection {
    /// With its requests and, in an open loop, their times.
    pub fn new(run: Arc<Run>, requests: Requests, times: Option<UnboundedReceiver<Instant>>) -> Connection {
        Connection { run, requests, times }
    }

    /// Talks until the run is over; comes back when the connection is lost.
    pub async fn run(mut self, first: TcpStream) {
        let mut stream = Some(first);
        loop {
            if let Some(stream) = stream.take()
                && self.talk(stream).await == End::Done
            {
                return;
            }
            if self.run.is_over() {
                return self.give_up();
            }
            sleep(RECONNECT_PAUSE).await;
            match connect(self.run.settings.target).await {
                Ok(new) => stream = Some(new),
                Err(_) => self.run.tally().failed(Cause::NotConnected),
            }
        }
    }

    /// What was due and found no connection.
    fn give_up(&mut self) {
        let Some(times) = &mut self.times else { return };
        while times.try_recv().is_ok() {
            self.run.tally().failed(Cause::NotConnected);
        }
    }

    /// One conversation. What is out when it breaks is counted as lost.
    async fn talk(&mut self, stream: TcpStream) -> End {
        let end = self.exchange(stream).await;
        let mut tally = self.run.tally();
        self.requests.out.drain(..).for_each(|_| tally.failed(Cause::ConnectionLost));
        end
    }

    async fn exchange(&mut self, mut stream: TcpStream) -> End {
        let (mut reader, mut writer) = stream.split();
        let (mut out, mut buf) = (BytesMut::new(), BytesMut::with_capacity(READ_LEN));
        let patience = self.run.settings.timeout;
        let alarm = sleep(patience);
        tokio::pin!(alarm);
        let mut is_over = false;
        loop {
            if self.times.is_none() && !is_over {
                is_over = !self.fill(&mut out);
            }
            if is_over && self.requests.out.is_empty() {
                return End::Done;
            }
            let has_room = self.requests.out.len() < self.run.settings.pipeline;
            buf.reserve(READ_LEN);
            tokio::select! {
                read = reader.read_buf(&mut buf) => match read {
                    Ok(1..) => if self.take(&mut buf) == Err(Broken) { return End::Broken },
                    Ok(0) | Err(_) => return End::Broken,
                },
                written = writer.write_buf(&mut out), if !out.is_empty() => if written.is_err() {
                    return End::Broken;
                },
                due = next(&mut self.times), if has_room && !is_over => match due {
                    Some(due) => self.send(due, &mut out),
                    None => is_over = true,
                },
                () = &mut alarm => {
                    let Some(oldest) = self.requests.out.front().copied() else {
                        alarm.as_mut().reset(Instant::now() + patience);
                        continue;
                    };
                    if oldest.sent + patience <= Instant::now() {
                        self.requests.out.pop_front();
                        self.run.tally().failed(Cause::NoAnswer);
                        return End::Broken;
                    }
                    alarm.as_mut().reset(oldest.sent + patience);
                }
            }
        }
    }

    /// Closed loop: sends as many as may be out. `false`: the run is over.
    fn fill(&mut self, out: &mut BytesMut) -> bool {
        while self.requests.out.len() < self.run.settings.pipeline {
            if self.run.is_over() || !self.run.take_ticket() {
                return false;
            }
            self.send(Instant::now(), out);
        }
        true
    }

    fn send(&mut self, due: Instant, out: &mut BytesMut) {
        // That requests can be written was tried when they were set up.
        match self.requests.push((self.run.clock)(), due, out) {
            Ok(()) => self.run.tally().sent(),
            Err(_) => self.run.tally().failed(Cause::NotWritten),
        }
    }

    /// Takes the answers in `buf`.
    fn take(&mut self, buf: &mut BytesMut) -> Result<(), Broken> {
        let settings = &self.run.settings;
        let now = Instant::now();
        let mut tally = self.run.tally();
        loop {
            let heard = settings.speech.next(&settings.dialect, buf);
            let is_broken = heard == Err(Broken);
            let verdict = match heard {
                Ok(None) => return Ok(()),
                Ok(Some(Heard::Message(payload))) => self.requests.judge(payload),
                Ok(Some(Heard::Instead(cause))) => Judgement::Wrong(cause),
                Err(Broken) => Judgement::Wrong(Cause::Unreadable),
            };
            match verdict {
                Judgement::Answered(asked, code) => tally.answered(&asked, code.as_deref(), now),
                Judgement::Wrong(cause @ (Cause::Unreadable | Cause::Refused)) => {
                    // Whose it is cannot be told: the oldest's, for want of a better guess.
                    self.requests.out.pop_front();
                    tally.failed(cause);
                }
                Judgement::Wrong(cause) => tally.failed(cause),
            }
            if is_broken {
                return Err(Broken);
            }
        }
    }
}

/// The next due time; never, in a closed loop.
async fn next(times: &mut Option<UnboundedReceiver<Instant>>) -> Option<Instant> {
    match times {
        Some(times) => times.recv().await,
        None => std::future::pending().await,
    }
}
