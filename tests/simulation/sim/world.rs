//! The world: its clock, its link, its steps, and how it comes to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Message, field};
use socketqueue::mux::{
    Action, Decision, Event, JournalOp, Mux, OnRestart, OnUndelivered, Order, Settings, TxId, What,
};
use socketqueue::rules::{AdviceReply, KeyFields};
use socketqueue::time::Now;

use super::Mutant;
use super::chance::Chance;
use super::clients::Clients;
use super::host::{Booked, Host, WRONG};
use super::journal::Disk;
use super::watch::Watch;

/// 2026-11-22 03:04:05 UTC.
const START_MS: i64 = 1_795_316_645_000;
/// The streams of chance for what is no step.
const SETTINGS: u64 = u64::MAX;
const REST: u64 = u64::MAX - 1;
/// Most rounds until everything is at rest.
const ROUNDS_MAX: usize = 20_000;

/// A sale or advice, told apart from all others by its amount.
pub type Amount = u64;

/// What happened, in numbers.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub submitted: u64,
    pub approved: u64,
    pub reversed: u64,
    pub parked: u64,
    pub crashes: u64,
    /// Delivered and reversed: a crash came before it was written down.
    pub needless_after_crash: u64,
    /// Delivered and reversed: the connection failed before it had acknowledged.
    pub needless_unacknowledged: u64,
    /// Approved and forgotten: a crash came before it was written down that it was opened again.
    pub doubts_lost: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.submitted += other.submitted;
        self.approved += other.approved;
        self.reversed += other.reversed;
        self.parked += other.parked;
        self.crashes += other.crashes;
        self.needless_after_crash += other.needless_after_crash;
        self.needless_unacknowledged += other.needless_unacknowledged;
        self.doubts_lost += other.doubts_lost;
    }
}

pub struct World {
    pub seed: u64,
    pub chance: Chance,
    pub settings: Settings,
    pub mux: Mux,
    pub now: Now,
    pub dialect: Arc<Dialect>,
    pub keys: KeyFields,
    pub link_up: bool,
    /// The link takes no more bytes.
    pub congested: bool,
    /// The number of the connection: what is on the way on an older one is lost.
    pub connection: u64,
    pub clients: Clients,
    pub host: Host,
    pub disk: Disk,
    pub watch: Watch,
    pub faults: bool,
    pub draining: Option<Duration>,
    /// Set when the mux says that it is drained, with what it says is owed.
    pub drained: Option<usize>,
    trace: Option<String>,
}

impl World {
    pub fn new(seed: u64, mutant: Mutant, traced: bool) -> World {
        let mut chance = Chance::of(seed, SETTINGS);
        let dialect = Dialect::builtin("smartVista").unwrap();
        let settings = settings(&mut chance, &dialect, mutant);
        let start = Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 };
        World {
            seed,
            keys: settings.key_fields.clone(),
            mux: Mux::new(settings.clone()),
            watch: Watch::default(),
            now: start,
            dialect,
            link_up: false,
            congested: false,
            connection: 0,
            clients: Clients::default(),
            host: Host::new(&mut chance),
            disk: Disk::default(),
            faults: true,
            draining: None,
            drained: None,
            trace: traced.then(String::new),
            settings,
            chance,
        }
    }

    /// Writes a line of the trace, if there is one.
    pub fn note(&mut self, what: std::fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{:>9.3} {what}", self.now.uptime.as_secs_f64());
        }
    }

    pub fn into_trace(self) -> String {
        self.trace.unwrap_or_default()
    }

    /// One thing happens.
    pub fn step(&mut self, step: u32) {
        self.chance = Chance::of(self.seed, u64::from(step));
        if self.drained.is_some() {
            // Without a journal nothing comes after the end.
            if self.settings.journaled && self.chance.permille(200) {
                self.restart_in_order();
            }
            return;
        }
        // What is down comes back soon, or nothing would happen.
        if self.chance.permille(300) {
            self.congested = false;
        }
        if !self.link_up && self.chance.permille(300) {
            self.flap();
            self.settle();
        }
        match self.chance.below(1000) {
            0..280 => self.submit(),
            280..410 => self.confirm(),
            410..450 => self.client_leaves(),
            450..480 => self.flap(),
            480..620 => self.journal_works(),
            620..660 => self.late_acknowledgement(),
            660..665 => self.drain(),
            665..680 => self.crash(),
            680..710 => self.congested = !self.congested,
            710..720 => self.person(),
            _ => self.time_passes(),
        }
        self.settle();
    }

    pub fn flap(&mut self) {
        if self.link_up && !self.faults {
            return;
        }
        self.link_up = !self.link_up;
        self.connection += 1;
        self.watch.link(self.now.uptime, self.link_up);
        self.note(format_args!("link {}", if self.link_up { "up" } else { "down" }));
        self.mux.handle(self.now, if self.link_up { Event::LinkUp } else { Event::LinkDown });
    }

    /// A person sends a parked or listed one on its way again, or has seen to it.
    fn person(&mut self) {
        let mut views = self.mux.transactions();
        views.retain(|view| matches!(view.state, "parked" | "listed"));
        if views.is_empty() {
            return;
        }
        views.sort_by_key(|view| view.id);
        let id = views[self.chance.below(views.len() as u64) as usize].id;
        let what = match self.chance.below(3) {
            0 => What::Resolve,
            n => What::Retry { force: n == 1 },
        };
        self.note(format_args!("a person: {what:?} {id}"));
        let decision = Decision { operator: "ops".into(), reason: "seen".into() };
        self.mux.handle(self.now, Event::Operator(Order { id, what, decision }));
    }

    fn drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
        let deadline = self.now.uptime + Duration::from_secs(self.chance.below(30));
        self.note(format_args!("drain until {deadline:?}"));
        self.draining = Some(deadline);
        self.mux.handle(self.now, Event::Drain { deadline });
    }

    /// The clock moves on: a little, to the next deadline, or to just before or after it.
    fn time_passes(&mut self) {
        let nearest = self.next_event();
        let little = self.now.uptime + Duration::from_millis(self.chance.below(3000));
        let tick = Duration::from_nanos(1);
        let to = match (nearest, self.chance.below(4)) {
            (Some(at), 0) => at,
            (Some(at), 1) => at.saturating_sub(tick),
            (Some(at), 2) => at + tick,
            _ => little,
        };
        self.move_clock(to);
        // Events and timers of one instant come in either order.
        if self.chance.permille(500) {
            self.timeouts();
            self.settle();
        }
        self.host_works();
        self.timeouts();
    }

    fn next_event(&self) -> Option<Duration> {
        [self.mux.poll_timeout(), self.host.next_event()].into_iter().flatten().min()
    }

    fn move_clock(&mut self, to: Duration) {
        let to = to.max(self.now.uptime);
        self.now = self.now.after(to - self.now.uptime);
    }

    fn timeouts(&mut self) {
        self.mux.handle_timeout(self.now);
        self.collect();
        self.everybody_was_told();
        let in_time = self.draining.is_none_or(|deadline| self.now.uptime < deadline);
        assert!(in_time || self.drained.is_some(), "drained: it is not by its deadline");
    }

    /// Carries out all that the mux wants, until it wants nothing more.
    pub fn settle(&mut self) {
        loop {
            self.collect();
            // After the drain the process goes, and nothing more is written.
            if self.drained.is_some() || self.congested {
                break;
            }
            self.watch.pulls += 1;
            let transmit = self.mux.poll_transmit(self.now);
            self.collect();
            let Some(transmit) = transmit else { break };
            let message = Message::parse(&self.dialect.schema, transmit.bytes).unwrap();
            self.note(format_args!("out: {} {}", message.mti(), name_of(&message)));
            self.check_pulled(transmit.id, &message);
            self.carry_to_host(message);
        }
        self.check_figures();
    }

    pub fn collect(&mut self) {
        while let Some(action) = self.mux.poll_action() {
            match action {
                Action::Accepted { id, client } => self.accepted(id, client),
                Action::Reply { id, client, outcome } => self.reply(id, client, &outcome),
                Action::Journal(op) => self.journaled(op),
                Action::Fact(fact) => self.fact(fact),
                Action::Recovered { id, row } => self.watch.recovered(id, row),
                Action::Operated { .. } => {}
                Action::Drained { owed } => {
                    self.note(format_args!("drained, owed {owed}"));
                    assert_eq!(self.drained, None, "drained: comes once");
                    self.check_drained();
                    self.drained = Some(owed);
                }
            }
        }
    }

    fn journaled(&mut self, op: JournalOp) {
        self.check_journaled(&op);
        self.disk.take(self.now.uptime, op, &self.dialect);
    }

    /// Faults off: everything comes to rest in bounded time.
    pub fn come_to_rest(&mut self) {
        self.chance = Chance::of(self.seed, REST);
        (self.faults, self.congested) = (false, false);
        self.note(format_args!("-- faults off"));
        if !self.link_up && self.drained.is_none() {
            self.flap();
            self.settle();
        }
        for _ in 0..ROUNDS_MAX {
            if self.drained.is_some() {
                if !self.settings.journaled {
                    return;
                }
                self.restart_in_order();
                self.flap();
                self.settle();
            }
            self.confirm_all();
            self.journal_catches_up();
            while !self.clients.are_quiet() {
                self.late_acknowledgement();
                self.settle();
                self.confirm_all();
            }
            self.settle();
            if !self.is_quiet() {
                continue;
            }
            if self.host.is_idle() && self.mux.tally().open == 0 {
                return;
            }
            let Some(next) = self.next_event() else { break };
            self.move_clock(next);
            self.host_works();
            self.timeouts();
            self.settle();
        }
        let (due, now) = (self.mux.poll_timeout(), self.now.uptime);
        let open = self.mux.transactions();
        panic!("no rest: next due {due:?}, now {now:?}, open {open:#?}, {:?}", self.mux.tally());
    }

    /// Draining is over before its time only when everything that is owed had a try.
    fn check_drained(&self) {
        let in_time = self.draining.is_some_and(|deadline| self.now.uptime < deadline);
        assert!(!in_time || self.watch.all_tried(), "drained: before what is owed had its try");
        let rests = ["owed", "sent", "parked", "listed", "delivered"];
        let waits = self.mux.transactions().into_iter().find(|view| !rests.contains(&view.state));
        assert!(waits.is_none(), "drained: and there is {waits:?}");
        self.clients.all_were_told();
    }

    fn is_quiet(&self) -> bool {
        self.clients.are_quiet() && self.disk.is_idle()
    }

    pub fn figures(&self) -> Figures {
        Figures {
            submitted: self.clients.count(),
            approved: self.host.count(Booked::Approved),
            reversed: self.host.count(Booked::Reversed),
            parked: self.watch.parked,
            crashes: self.watch.crashes,
            needless_after_crash: self.watch.windows[0],
            needless_unacknowledged: self.watch.windows[1],
            doubts_lost: self.watch.windows[2],
        }
    }
}

/// Policies by seed; most often the usual ones.
fn settings(chance: &mut Chance, dialect: &Dialect, mutant: Mutant) -> Settings {
    let seconds = Duration::from_secs;
    let defaults = Settings::default();
    let by_stan_only = chance.permille(80);
    let few = |chance: &mut Chance, few: usize, usual: usize| if chance.permille(80) { few } else { usual };
    #[cfg(not(feature = "mutants"))]
    let _ = mutant;
    Settings {
        key_fields: if by_stan_only { KeyFields(vec![field::STAN]) } else { KeyFields::default() },
        echoed: dialect.echoed.clone(),
        reversal: dialect.reversal.clone(),
        queue_max: few(chance, 3, 12),
        lock_terminal: !chance.permille(120),
        queue_timeout: seconds(20),
        min_response_time: seconds(4),
        no_auto_reversal: chance.permille(40),
        reverse_on_disconnect: chance.permille(250),
        reversal_hold: seconds(chance.one_of(&[0, 5, 60])),
        reversal_schedule: match chance.below(3) {
            0 => [0, 2, 60].map(seconds).to_vec(),
            _ => defaults.reversal_schedule.clone(),
        },
        reversal_timeout: seconds(3),
        journaled: chance.permille(700),
        tombstones_max: few(chance, 4, defaults.tombstones_max),
        records_max: few(chance, 3, defaults.records_max),
        idempotency_ttl: seconds(chance.one_of(&[30, 86_400])),
        saf_max: few(chance, 2, defaults.saf_max),
        on_undelivered: if chance.permille(100) { OnUndelivered::List } else { OnUndelivered::Reverse },
        on_restart: if chance.permille(150) { OnRestart::List } else { OnRestart::Reverse },
        advice_reply: AdviceReply::of(dialect).filter(|_| chance.permille(200)).map(Arc::new),
        #[cfg(feature = "mutants")]
        mutant,
        ..defaults
    }
}

/// A message as the trace names it.
pub fn name_of(message: &Message) -> String {
    let text = |n| message.text(n).unwrap_or_default().trim_start_matches('0').to_owned();
    format!("{}/{} amount {}", text(field::TID), text(field::STAN), text(field::AMOUNT))
}

/// The amount that names the transaction; 0 without one.
pub fn amount_of(message: &Message) -> Amount {
    message.text(field::AMOUNT).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The transaction that an answer is the answer to, by what the host calls it; `None`: it answers nothing.
pub fn whose(answer: &Message) -> Option<Amount> {
    match answer.text(field::RRN).as_deref() {
        Some(WRONG) => None,
        Some(name) => name.parse().ok(),
        // One that we have made ourselves.
        None => answer.text(field::AMOUNT).and_then(|text| text.parse().ok()),
    }
}

/// Ids by serial, for tables that are walked in order.
pub type ById<T> = BTreeMap<TxId, T>;
/// A set of sales.
pub type Amounts = BTreeSet<Amount>;
