//! What came of a run: as values, as text, as JSON. No message and no card data are in it.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Length, Pace, Settings};
use crate::time::Now;

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was run.
    pub run: What,
    /// How long was measured, in seconds: without the warm-up, and without the wait for the last stragglers.
    pub seconds: f64,
    /// Requests sent, the warm-up's included.
    pub sent: u64,
    /// Of them rightly answered.
    pub answered: u64,
    /// Right answers that came while it was measured.
    pub measured: u64,
    /// Those, a second.
    pub per_second: f64,
    /// Closed loop: from sending to the answer. Open loop: from when a request was due.
    pub latency: Latency,
    /// Closed loop: with the requests that slow answers kept from being sent.
    pub corrected: Option<Latency>,
    /// Open loop: how late requests were handed to the socket; it is part of the latency.
    pub lag: Option<Latency>,
    /// Answers by response code (DE 39).
    pub codes: BTreeMap<String, u64>,
    /// What went wrong, by cause, the warm-up included.
    pub errors: BTreeMap<&'static str, u64>,
    /// Latency in microseconds by quantile.
    pub curve: Vec<(f64, u64)>,
    /// How it went over time.
    pub slices: Vec<Slice>,
}

/// What was run.
#[derive(Clone, Debug, Serialize)]
pub struct What {
    /// Whom it drove.
    pub target: String,
    /// The dialect's name.
    pub dialect: String,
    /// How messages are put on a connection: `framing …` or `JSON over HTTP`.
    pub speech: String,
    /// The message type.
    pub mti: String,
    /// Connections.
    pub connections: usize,
    /// Requests that each had out at a time.
    pub pipeline: usize,
    /// Terminals of each.
    pub terminals: usize,
    /// Open loop: requests a second.
    pub rate: Option<f64>,
    /// Not measured at the beginning.
    pub warmup_s: f64,
    /// How long it was to go on, in seconds.
    pub duration_s: Option<f64>,
    /// Or how many requests.
    pub count: Option<u64>,
    /// When it began, local time.
    pub begun: String,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// The fastest.
    pub min_us: u64,
    /// The mean.
    pub mean_us: f64,
    /// Half were faster.
    pub p50_us: u64,
    /// 9 of 10 were.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1,000.
    pub p999_us: u64,
    /// 9,999 of 10,000.
    pub p9999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// One slice of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// When it began, in seconds from the end of the warm-up.
    pub at_s: f64,
    /// Right answers a second.
    pub per_second: f64,
    /// Half of its latencies were less.
    pub p50_us: u64,
    /// 99 of 100 were.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// What went wrong in it.
    pub errors: u64,
}

impl What {
    pub(super) fn of(settings: &Settings, begun: Now) -> What {
        let (duration_s, count) = match settings.length {
            Length::Time(time) => (Some(time.as_secs_f64()), None),
            Length::Count(count) => (None, Some(count)),
        };
        What {
            target: settings.target.to_string(),
            dialect: settings.dialect.name.clone(),
            speech: settings.speech.to_string(),
            mti: settings.template.mti().to_string(),
            connections: settings.connections,
            pipeline: settings.pipeline,
            terminals: settings.terminals,
            rate: match settings.pace {
                Pace::Open { per_second } => Some(per_second),
                Pace::Closed => None,
            },
            warmup_s: settings.warmup.as_secs_f64(),
            duration_s,
            count,
            begun: begun.local().to_string(),
        }
    }
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Latency {
        if histogram.is_empty() {
            return Latency::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        Latency {
            min_us: histogram.min(),
            mean_us: histogram.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: histogram.max(),
        }
    }
}

impl Report {
    /// Errors of all causes.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// As one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// The latency at quantiles that come closer and closer to 1: 60 points, dense where it matters.
pub(super) fn curve(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    // Ten points for each nine, as far as there are measurements for it.
    let nines = (histogram.len() as f64).log10();
    let quantiles = (0..=60).map(|step| f64::from(step) / 10.0).take_while(|nine| *nine <= nines);
    quantiles.map(|nine| 1.0 - 10_f64.powf(-nine)).map(|q| (q, histogram.value_at_quantile(q))).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let What { target, mti, connections, pipeline, rate, .. } = &self.run;
        let loop_kind = match rate {
            Some(rate) => format!("open loop, {rate} a second"),
            None => "closed loop".to_owned(),
        };
        writeln!(f, "{mti} to {target}: {connections} connections × {pipeline} at a time, {loop_kind}")?;
        writeln!(
            f,
            "{} sent, {} answered, {} errors; {:.1} answers a second over {:.1} s",
            self.sent,
            self.answered,
            self.error_count(),
            self.per_second,
            self.seconds
        )?;
        writeln!(
            f,
            "\n{:<22}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )?;
        write_row(f, if rate.is_some() { "from when it was due" } else { "as measured" }, &self.latency)?;
        if let Some(corrected) = &self.corrected {
            write_row(f, "corrected", corrected)?;
        }
        if let Some(lag) = &self.lag {
            write_row(f, "of it: sent late", lag)?;
        }
        let codes = self.codes.iter().map(|(code, count)| format!("{code}: {count}")).collect::<Vec<_>>();
        writeln!(f, "\nresponse codes  {}", codes.join(", "))?;
        for (cause, count) in &self.errors {
            writeln!(f, "error  {count} × {cause}")?;
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    write!(f, "{name:<22}")?;
    let Latency { p50_us, p90_us, p99_us, p999_us, p9999_us, max_us, .. } = *latency;
    for us in [p50_us, p90_us, p99_us, p999_us, p9999_us, max_us] {
        write!(f, "{:>10.3}", us as f64 / 1000.0)?;
    }
    writeln!(f)
}
