//! One test client: connect, one 0800, its answer, close, and again.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::echo;
use super::{Pace, Settings, Tally};
use crate::bank::Clock;
use crate::bank::chance::Chance;
use crate::dialect::Dialect;
use crate::framing::FRAME_LEN_CAP;
use crate::iso8583::Message;

/// The last STAN; the first one comes after it.
const STAN_MAX: u32 = 999_999;

/// In permille of the connections in real life mode: closed without waiting for the answer.
const DROPPED: u16 = 100;

/// In permille of the connections in real life mode: the same message once more on the next connection.
const REPEATED: u16 = 200;

/// What became of one request.
enum Outcome {
    Answered(Duration),
    Dropped,
    Unconnected,
    Unanswered,
    WrongAnswer,
}

/// Runs the client with that number until it is dropped.
pub(crate) async fn run(
    number: u32,
    settings: &Settings,
    pace: &Pace,
    dialect: &Dialect,
    clock: &Clock,
    tally: &Mutex<Tally>,
) {
    let mut chance = Chance::new(pace.seed).stir(&number.to_be_bytes());
    let mut stan = 1;
    loop {
        let is_dropped = settings.real_life && chance.permille(DROPPED);
        let is_repeated = settings.real_life && chance.permille(REPEATED);
        let outcome = one_echo(number, stan, is_dropped, settings, pace, dialect, clock).await;
        super::lock(tally).count(&outcome);
        if !is_repeated {
            stan = if stan < STAN_MAX { stan + 1 } else { 1 };
        }
        let (min, max) = pace.pause;
        let micros = |pause: Duration| u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        sleep(Duration::from_micros(chance.between(micros(min), micros(max)))).await;
    }
}

async fn one_echo(
    number: u32,
    stan: u32,
    is_dropped: bool,
    settings: &Settings,
    pace: &Pace,
    dialect: &Dialect,
    clock: &Clock,
) -> Outcome {
    // What a dialect cannot say is refused before the clients start.
    let Ok(payload) = echo::request(dialect, number, stan, clock()) else { return Outcome::WrongAnswer };
    let target = (settings.host.as_str(), settings.port);
    let Ok(Ok(stream)) = timeout(pace.answer_within, TcpStream::connect(target)).await else {
        return Outcome::Unconnected;
    };
    let sent = Instant::now();
    match timeout(pace.answer_within, ask(stream, payload.clone(), is_dropped, settings, dialect)).await {
        Ok(Ok(None)) => Outcome::Dropped,
        Ok(Ok(Some(answer))) => {
            let request = Message::parse(&dialect.schema, payload);
            let answer = Message::parse(&dialect.schema, answer);
            match (request, answer) {
                (Ok(request), Ok(answer)) if echo::is_answer(&request, &answer) => {
                    Outcome::Answered(sent.elapsed())
                }
                _ => Outcome::WrongAnswer,
            }
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Outcome::WrongAnswer,
        Ok(Err(_)) | Err(_) => Outcome::Unanswered,
    }
}

/// Writes a request and reads the first answer; `None` when the connection is dropped instead.
async fn ask(
    mut stream: TcpStream,
    payload: Bytes,
    is_dropped: bool,
    settings: &Settings,
    dialect: &Dialect,
) -> io::Result<Option<Bytes>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    stream.set_nodelay(true)?;
    let mut buf = BytesMut::with_capacity(1024);
    settings.framing.encode(&payload, &[], &mut buf).map_err(invalid)?;
    stream.write_all(&buf).await?;
    if is_dropped {
        return Ok(None);
    }
    buf.clear();
    loop {
        if let Some(frame) =
            settings.framing.next_frame(&dialect.schema, FRAME_LEN_CAP, &mut buf).map_err(invalid)?
        {
            return Ok(Some(frame.payload));
        }
        if stream.read_buf(&mut buf).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.sent += u64::from(!matches!(outcome, Outcome::Unconnected));
        match outcome {
            Outcome::Answered(after) => {
                self.answered += 1;
                self.latencies.record(*after);
            }
            Outcome::Dropped => self.dropped += 1,
            Outcome::Unconnected => self.unconnected += 1,
            Outcome::Unanswered => self.unanswered += 1,
            Outcome::WrongAnswer => self.wrong += 1,
        }
    }
}
