//! The state machine alone: what one transaction costs it (submit, transmit, match, reply, delivered) while so many
//! others are pending; what it costs to time all of them out, and to reverse them.
//!
//! All of it is processor time: what others do on the machine is not in it, but for what they push out of the caches.
//! Requests and answers are made beforehand: parsing is measured in `codec`. The transaction that is answered is always
//! the oldest, so that nothing is warm in a cache by chance. Row 13 of the goals: at 1,000,000 pending a transaction costs
//! at most three times what it costs at 100; timing all of them out is linear, and no step takes over 10 ms.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a bench is a test

#[allow(dead_code)] // one of its functions is for others
mod ratio;
mod stopwatch;

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti, field};
use socketqueue::mux::{Action, ClientTag, Event, FinalState, Mux, Outcome, Settings};
use socketqueue::rules::{Answer, KeyFields, Request, prepare_draft};
use socketqueue::time::Now;

/// 2026-11-22 03:04:05 UTC.
const START_MS: i64 = 1_795_316_645_000;
/// Transactions that are made beforehand and then measured in one go.
const BATCH: usize = 1000;
/// How far the clock moves with each transaction: 100,000 a second, so that a million pending ones do not time out.
const STEP: Duration = Duration::from_micros(10);
/// How many others are pending.
const PENDING: [usize; 4] = [100, 10_000, 100_000, 1_000_000];
/// The same where only that it works is looked at.
const PENDING_IN_TESTS: [usize; 1] = [100];

fn pending() -> &'static [usize] {
    if ratio::is_measuring() { &PENDING } else { &PENDING_IN_TESTS }
}

/// A mux with a link, a clock that is moved by hand, and terminals that each have one sale in flight.
struct House {
    mux: Mux,
    now: Now,
    dialect: Arc<Dialect>,
    keys: KeyFields,
    /// What is in flight, oldest first: terminal and STAN.
    in_flight: VecDeque<(u32, u32)>,
}

impl House {
    /// With `pending` sales in flight.
    fn new(pending: usize) -> House {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let settings = Settings {
            echoed: dialect.echoed.clone(),
            reversal: dialect.reversal.clone(),
            queue_max: 2_000_000,
            saf_max: 2_000_000,
            tombstones_max: 2_000_000,
            // As many tombstones in each case: those of the last 100,000 transactions.
            late_window: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(1),
            ..Settings::default()
        };
        let keys = settings.key_fields.clone();
        let now = Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 };
        let mut house = House { mux: Mux::new(settings), now, dialect, keys, in_flight: VecDeque::new() };
        house.mux.handle(now, Event::LinkUp);
        let mut first = 0;
        while first < pending {
            let last = (first + BATCH).min(pending);
            for terminal in first..last {
                let request = house.sale(terminal as u32, 1);
                house.submit(request);
                house.in_flight.push_back((terminal as u32, 1));
            }
            first = last;
        }
        assert_eq!(house.mux.tally().in_flight as usize, pending);
        house
    }

    fn message(&self, mti: u16, terminal: u32, stan: u32) -> Draft {
        let mut draft = Draft::new(&self.dialect.schema, Mti::new(mti));
        let (terminal, stan) = (format!("{terminal:08}"), format!("{stan:06}"));
        for (n, value) in [
            (field::PROCESSING_CODE, &b"000000"[..]),
            (field::AMOUNT, b"000000001000"),
            (field::TRANSMISSION_TIME, b"1122030405"),
            (field::STAN, stan.as_bytes()),
            (field::LOCAL_TIME, b"261122030405"),
            (field::POS_ENTRY_MODE, b"056"),
            (field::FUNCTION_CODE, b"200"),
            (field::REASON, b"00"),
            (field::TRACK_2, b"4850781234567891=19082012232800000037"),
            (field::TID, terminal.as_bytes()),
            (field::MID, b"000124642124643"),
            (field::CURRENCY, b"810"),
        ] {
            draft.set(n, value);
        }
        draft
    }

    fn sale(&self, terminal: u32, stan: u32) -> Arc<Request> {
        let draft = self.message(0x0200, terminal, stan);
        let now = Now { wall_ms: START_MS, ..self.now };
        Arc::new(prepare_draft(&self.dialect, &self.keys, draft, now).unwrap())
    }

    fn answer(&self, mti: u16, terminal: u32, stan: u32) -> Box<Answer> {
        let mut draft = self.message(mti, terminal, stan);
        draft.set(field::RRN, b"000000000042").set(field::RESPONSE_CODE, b"000");
        let lenient = Message::parse_lenient(&self.dialect.schema, draft.to_bytes().unwrap()).unwrap();
        Box::new(Answer::read(&self.dialect, &self.keys, lenient))
    }

    /// A request comes in, and goes out.
    fn submit(&mut self, request: Arc<Request>) {
        self.now = self.now.after(STEP);
        self.mux.handle(self.now, Event::Submit { client: ClientTag(0), request, record: None });
        while let Some(sent) = self.mux.poll_transmit(self.now) {
            black_box(sent);
        }
        self.act();
    }

    /// A host's answer comes in, and is delivered.
    fn receive(&mut self, answer: Box<Answer>) {
        self.mux.handle(self.now, Event::Received(answer));
        self.act();
    }

    /// Carries out what the mux wants, as a driver with clients that take everything.
    fn act(&mut self) {
        while let Some(action) = self.mux.poll_action() {
            if let Action::Reply { id: Some(id), outcome: Outcome::Answered { .. }, .. } = action {
                self.mux.handle(self.now, Event::Delivered { id });
                self.mux.handle(self.now, Event::Acknowledged { id });
            }
        }
        if self.mux.poll_timeout().is_some_and(|due| due <= self.now.uptime) {
            self.mux.handle_timeout(self.now);
        }
    }

    /// The oldest in flight is answered and its terminal comes with the next sale, `count` times; how long that took.
    fn transactions(&mut self, count: usize) -> Duration {
        let mut script = Vec::with_capacity(count);
        for _ in 0..count {
            let (terminal, stan) = self.in_flight.pop_front().unwrap();
            let next = stan % 999_999 + 1;
            script.push((self.answer(0x0210, terminal, stan), self.sale(terminal, next)));
            self.in_flight.push_back((terminal, next));
        }
        stopwatch::cost(|| {
            for (answer, sale) in script {
                self.receive(answer);
                self.submit(sale);
            }
        })
    }

    /// Every deadline passes: how long all of it took, and the longest step.
    fn time_out(&mut self) -> (Duration, Duration) {
        self.now = self.now.after(Duration::from_secs(36));
        let (mut whole, mut longest) = (Duration::ZERO, Duration::ZERO);
        while self.mux.poll_timeout().is_some_and(|due| due <= self.now.uptime) {
            let took = stopwatch::cost(|| {
                self.mux.handle_timeout(self.now);
                while let Some(action) = self.mux.poll_action() {
                    black_box(action);
                }
            });
            whole += took;
            longest = longest.max(took);
        }
        (whole, longest)
    }

    /// What is owed goes out and is accepted: how long that took.
    fn reverse(&mut self) -> Duration {
        let mut whole = Duration::ZERO;
        loop {
            let mut sent = Vec::new();
            whole += stopwatch::cost(|| {
                while sent.len() < BATCH
                    && let Some(transmit) = self.mux.poll_transmit(self.now)
                {
                    sent.push(transmit.bytes);
                }
            });
            if sent.is_empty() {
                return whole;
            }
            let number = |reversal: &Message, n: FieldNumber| reversal.text(n).unwrap().parse().unwrap();
            let answers: Vec<Box<Answer>> = sent
                .into_iter()
                .map(|bytes| {
                    let reversal = Message::parse(&self.dialect.schema, bytes).unwrap();
                    self.answer(0x0410, number(&reversal, field::TID), number(&reversal, field::STAN))
                })
                .collect();
            whole += stopwatch::cost(|| {
                for answer in answers {
                    self.mux.handle(self.now, Event::Received(answer));
                    while let Some(action) = self.mux.poll_action() {
                        black_box(action);
                    }
                }
            });
        }
    }
}

fn transactions(c: &mut Criterion) {
    let mut group = c.benchmark_group("transaction");
    group.throughput(Throughput::Elements(1));
    let mut costs = Vec::new();
    for &pending in pending() {
        let mut house = House::new(pending);
        // Once around, and until there are as many tombstones as there will be.
        let before = if ratio::is_measuring() { pending.max(200_000) } else { pending };
        (0..before / pending.min(BATCH)).for_each(|_| _ = house.transactions(pending.min(BATCH)));
        let mut measured = Vec::new();
        group.bench_function(BenchmarkId::new("pending", pending), |b| {
            b.iter_custom(|iterations| {
                let (mut whole, mut left) = (Duration::ZERO, iterations as usize);
                while left > 0 {
                    let count = left.min(BATCH).min(pending);
                    let took = house.transactions(count);
                    measured.push(took.as_nanos() as f64 / count as f64);
                    whole += took;
                    left -= count;
                }
                whole
            });
        });
        measured.sort_by(f64::total_cmp);
        costs.extend(measured.get(measured.len() / 2).map(|cost| (pending, *cost)));
        assert_eq!(house.mux.tally().in_flight as usize, pending);
    }
    group.finish();
    if let [(few, least), .., (many, most)] = &costs[..] {
        let ratio = most / least;
        let verdict = if ratio <= 3.0 { "ok" } else { "MISSED" };
        println!(
            "row 13, transaction at {many} pending / at {few}: {most:.0} ns / {least:.0} ns = {ratio:.2}, bar 3: {verdict}"
        );
    }
}

/// Once for each size: a million sales that time out are not made a hundred times.
fn time_outs(_: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_some_and(|filter| !"time-out".contains(&filter)) {
        return;
    }
    for &pending in pending() {
        let mut house = House::new(pending);
        let (whole, longest) = house.time_out();
        let owed = house.mux.tally().owed as usize;
        assert_eq!(owed, pending, "a sale that timed out is owed a reversal");
        let reversing = house.reverse();
        let tally = house.mux.tally();
        assert_eq!((tally.owed, tally.ended[FinalState::Reversed as usize] as usize), (0, pending));
        let each = |whole: Duration| whole.as_nanos() as f64 / pending as f64;
        println!(
            "row 13, time-out of {pending}: {:.0} ns each, longest step {longest:?}, bar 10 ms: {}; reversal {:.0} ns each",
            each(whole),
            if longest <= Duration::from_millis(10) { "ok" } else { "MISSED" },
            each(reversing),
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .without_plots();
    targets = transactions, time_outs
}
criterion_main!(benches);
