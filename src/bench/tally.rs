//! Counting while a run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::report::{self, Latency, Report, Slice};
use super::requests::Outstanding;
use super::{Length, Pace, Settings};
use crate::time::Now;

/// The longest latency that is told apart, in microseconds: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Significant digits of latencies.
const DIGITS: u8 = 3;
/// Most slices of time that a report has; longer runs have longer slices.
const SLICES_MAX: u32 = 240;
/// Response codes told apart; a host that makes up new ones is no reason to grow.
const CODES_MAX: usize = 200;

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection could be made.
    NotConnected,
    /// The connection ended before the answer.
    ConnectionLost,
    /// No answer in time.
    NoAnswer,
    /// What came is no message, or no frame.
    Unreadable,
    /// An answer whose STAN and TID are out nowhere on this connection.
    Unexpected,
    /// An answer of another message type.
    WrongType,
    /// An answer with another amount.
    WrongAmount,
    /// An HTTP status other than 200.
    Refused,
    /// The request could not be written.
    NotWritten,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 9] = [
        Cause::NotConnected,
        Cause::ConnectionLost,
        Cause::NoAnswer,
        Cause::Unreadable,
        Cause::Unexpected,
        Cause::WrongType,
        Cause::WrongAmount,
        Cause::Refused,
        Cause::NotWritten,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::NotConnected => "no connection",
            Cause::ConnectionLost => "connection lost before the answer",
            Cause::NoAnswer => "no answer in time",
            Cause::Unreadable => "unreadable answer",
            Cause::Unexpected => "answer to nothing that was asked (STAN, TID)",
            Cause::WrongType => "answer of another message type",
            Cause::WrongAmount => "answer with another amount",
            Cause::Refused => "refused by its HTTP status",
            Cause::NotWritten => "request not written",
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Since its start, the warm-up included.
    pub elapsed: Duration,
    /// Requests sent.
    pub sent: u64,
    /// Requests rightly answered.
    pub answered: u64,
    /// Answers a second since progress was last told.
    pub per_second: f64,
    /// Half of the measured requests were faster.
    pub p50: Duration,
    /// 99 of 100 were.
    pub p99: Duration,
    /// What went wrong.
    pub errors: u64,
}

/// Counts of one run.
pub(super) struct Tally {
    start: Instant,
    /// Measured is what was due from here on.
    from: Instant,
    sent: u64,
    answered: u64,
    /// Right answers that came in since `from`, and when the last did.
    measured: u64,
    last: Instant,
    errors: [u64; Cause::ALL.len()],
    codes: BTreeMap<Box<str>, u64>,
    latency: Histogram<u64>,
    /// How late requests were handed to the socket.
    lag: Histogram<u64>,
    slice_len: Duration,
    slices: Vec<Slice>,
    slice: Histogram<u64>,
    slice_errors: u64,
    told: (Instant, u64),
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS).expect("the bounds are constants that it takes")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Tally {
    /// For a run that starts at `start`.
    pub fn new(settings: &Settings, start: Instant) -> Tally {
        let from = start + settings.warmup;
        let slice_len = match settings.length {
            Length::Time(time) => (time / SLICES_MAX).max(Duration::from_millis(250)),
            Length::Count(_) => Duration::from_secs(1),
        };
        Tally {
            start,
            from,
            sent: 0,
            answered: 0,
            measured: 0,
            last: from,
            errors: [0; Cause::ALL.len()],
            codes: BTreeMap::new(),
            latency: histogram(),
            lag: histogram(),
            slice_len,
            slices: Vec::new(),
            slice: histogram(),
            slice_errors: 0,
            told: (start, 0),
        }
    }

    /// A request was handed to the socket.
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// The right answer came.
    pub fn answered(&mut self, asked: &Outstanding, code: Option<&str>, now: Instant) {
        self.answered += 1;
        self.count_code(code.unwrap_or("none"));
        if now < self.from {
            return;
        }
        self.measured += 1;
        self.last = now;
        if asked.due < self.from {
            return;
        }
        self.roll(now);
        let latency = micros(now.saturating_duration_since(asked.due));
        self.latency.saturating_record(latency);
        self.slice.saturating_record(latency);
        self.lag.saturating_record(micros(asked.sent.saturating_duration_since(asked.due)));
    }

    /// Something went wrong.
    pub fn failed(&mut self, cause: Cause) {
        self.errors[cause as usize] += 1;
        self.slice_errors += 1;
    }

    /// How far it has come.
    pub fn progress(&mut self, now: Instant) -> Progress {
        let (told, answered) = std::mem::replace(&mut self.told, (now, self.answered));
        let since = now.saturating_duration_since(told).as_secs_f64().max(1e-3);
        let at = |quantile| Duration::from_micros(self.latency.value_at_quantile(quantile));
        Progress {
            elapsed: now.saturating_duration_since(self.start),
            sent: self.sent,
            answered: self.answered,
            per_second: (self.answered - answered) as f64 / since,
            p50: at(0.5),
            p99: at(0.99),
            errors: self.errors.iter().sum(),
        }
    }

    /// What came of it. `begun`: when it started, by the clock on the wall.
    pub fn report(&mut self, settings: &Settings, begun: Now) -> Report {
        self.end_slices();
        let elapsed = match settings.length {
            // The tail, in which only stragglers are waited for, is not part of the rate.
            Length::Time(time) => time.min(self.last.saturating_duration_since(self.from)),
            Length::Count(_) => self.last.saturating_duration_since(self.from),
        };
        let seconds = elapsed.as_secs_f64();
        let per_second = if seconds > 0.0 { self.measured as f64 / seconds } else { 0.0 };
        let slots = (settings.connections * settings.pipeline) as f64;
        let corrected = match settings.pace {
            Pace::Open { .. } => None,
            // The usual interval of a slot, in which it sends one request and gets its answer.
            Pace::Closed if per_second > 0.0 => {
                Some(Latency::of(&self.latency.clone_correct((slots / per_second * 1e6) as u64)))
            }
            Pace::Closed => None,
        };
        Report {
            run: report::What::of(settings, begun),
            seconds,
            sent: self.sent,
            answered: self.answered,
            measured: self.measured,
            per_second,
            latency: Latency::of(&self.latency),
            corrected,
            lag: matches!(settings.pace, Pace::Open { .. }).then(|| Latency::of(&self.lag)),
            codes: self.codes.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            errors: Cause::ALL
                .iter()
                .zip(self.errors)
                .filter(|(_, count)| *count > 0)
                .map(|(cause, count)| (cause.as_str(), count))
                .collect(),
            curve: report::curve(&self.latency),
            slices: std::mem::take(&mut self.slices),
        }
    }

    fn count_code(&mut self, code: &str) {
        if let Some(count) = self.codes.get_mut(code) {
            *count += 1;
            return;
        }
        let code = if self.codes.len() < CODES_MAX { code } else { "other" };
        *self.codes.entry(code.into()).or_default() += 1;
    }

    /// Closes the slices that are over.
    fn roll(&mut self, now: Instant) {
        while self.slices.len() < SLICES_MAX as usize && now >= self.slice_begin() + self.slice_len {
            self.close_slice(self.slice_len);
        }
    }

    fn slice_begin(&self) -> Instant {
        self.from + self.slice_len * self.slices.len() as u32
    }

    /// The run is over. Part of a slice would look like a slump; if there is nothing else, it is a slice by itself.
    fn end_slices(&mut self) {
        let len = self.last.saturating_duration_since(self.slice_begin());
        if self.slices.is_empty() && !len.is_zero() {
            self.close_slice(len);
        }
    }

    fn close_slice(&mut self, len: Duration) {
        let at = |quantile| self.slice.value_at_quantile(quantile);
        self.slices.push(Slice {
            at_s: self.slices.len() as f64 * self.slice_len.as_secs_f64(),
            per_second: self.slice.len() as f64 / len.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: self.slice.max(),
            errors: std::mem::take(&mut self.slice_errors),
        });
        self.slice.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::bench::Speech;
    use crate::dialect::Dialect;
    use crate::iso8583::Message;

    fn settings() -> Settings {
        let dialect: Arc<Dialect> = Dialect::builtin("smartVista").unwrap();
        let echo = Bytes::from_static(include_bytes!("../../sample_payloads/sv_800_echo.txt"));
        Settings {
            target: ([127, 0, 0, 1], 1).into(),
            template: Message::parse(&dialect.schema, echo).unwrap(),
            dialect,
            speech: Speech::Http,
            connections: 1,
            terminals: 1,
            first_terminal: 1,
            pipeline: 1,
            pace: Pace::Closed,
            warmup: Duration::from_secs(1),
            length: Length::Time(Duration::from_secs(10)),
            timeout: Duration::from_secs(40),
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One slot that asks from `from` to `to` (ms), each answer after `took`.
    fn ask(tally: &mut Tally, start: Instant, from: u64, to: u64, took: u64) {
        for at in (from..to).step_by(took as usize) {
            tally.sent();
            let due = start + ms(at);
            let asked = Outstanding::of_nobody(due);
            tally.answered(&asked, Some("000"), due + ms(took));
        }
    }

    const NOW: Now = Now { uptime: Duration::ZERO, wall_ms: 0, offset_s: 0 };

    #[test]
    fn a_stall_counts_for_each_request_that_it_kept_from_being_sent() {
        let (start, settings) = (Instant::now(), settings());
        let mut tally = Tally::new(&settings, start);
        // Answers after 1 ms, but for a stall of 5 s in the middle of 10: as many requests met the stall as did not.
        ask(&mut tally, start, 1000, 3500, 1);
        ask(&mut tally, start, 3500, 8500, 5000);
        ask(&mut tally, start, 8500, 11_000, 1);
        let report = tally.report(&settings, NOW);
        assert_eq!((report.measured, report.sent), (5001, 5001));
        assert!((report.per_second - 500.1).abs() < 0.1, "{report}");
        assert_eq!(report.latency.p90_us, 1000);
        // Of the requests that should have been sent, those in the stall waited for what was left of it, 2.5 s on average.
        let corrected = report.corrected.unwrap();
        assert!((3_000_000..5_010_000).contains(&corrected.p90_us), "{report}");
    }

    #[test]
    fn the_warm_up_is_not_measured_but_its_errors_count() {
        let (start, settings) = (Instant::now(), settings());
        let mut tally = Tally::new(&settings, start);
        ask(&mut tally, start, 0, 1000, 100);
        tally.failed(Cause::NoAnswer);
        ask(&mut tally, start, 1000, 2000, 10);
        let report = tally.report(&settings, NOW);
        // The answer to the last request of the warm-up came when it was over: it counts for the rate only.
        assert_eq!((report.answered, report.measured, report.error_count()), (110, 101, 1));
        assert_eq!(report.latency.max_us, 10_007, "to three digits");
        assert_eq!(report.slices.len(), 4);
        assert_eq!(report.slices[1].per_second, 100.0);
    }

    #[test]
    fn a_host_that_makes_up_response_codes_does_not_make_the_table_grow() {
        let (start, settings) = (Instant::now(), settings());
        let mut tally = Tally::new(&settings, start);
        for code in 0..1000 {
            tally.answered(&Outstanding::of_nobody(start), Some(&code.to_string()), start + ms(1));
        }
        assert_eq!(tally.codes.len(), CODES_MAX + 1);
        assert_eq!(tally.codes["other"], 800);
    }
}
