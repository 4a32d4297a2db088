//! The gateway's shell (driver, link, sessions) between a bank and terminals, on a network and a disk that fail.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use socketqueue::dialect::Dialect;
use socketqueue::framing::Framing;
use socketqueue::iso8583::mask::MaskStyle;
use socketqueue::listener::tcp::{self, Listener, OnReject};
use socketqueue::mux::Stage;
use socketqueue::net::{Accept, Connected, Dial, Dialling};
use socketqueue::time::Now;
use socketqueue::upstream::{self, Driver, Endpoint, Handle, Parts, Source};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bank::{self, Bank, Books};
use crate::chance::Chance;
use crate::clients::{Connect, Notes, Terminal};
use crate::journal::{self, Disk, SimulatedJournal};
use crate::net::{End, Fault, connection};

/// 2026-11-22 03:04:05 UTC.
const START_MS: i64 = 1_795_316_645_000;
const TERMINALS: u64 = 5;
/// How long terminals sell and things go wrong.
const BUSY: Duration = Duration::from_secs(90);
/// How long it may take until everything is settled after that: the whole schedule of a reversal, twice.
const REST: Duration = Duration::from_secs(1800);
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a run came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub sales: u64,
    pub approved_and_known: u64,
    pub reversed: u64,
    pub waiting_for_a_person: u64,
    /// Delivered and reversed, where a crash or a failed connection left the gateway not knowing.
    pub needless: u64,
    /// Delivered by the book (the socket had taken the answer), and lost with the gateway before the client's TCP had it.
    pub lost_with_the_gateway: u64,
    pub crashes: u64,
    pub link_losses: u64,
    pub journal_failures: u64,
    /// Everything that both sides know, line by line.
    pub trace: String,
}

/// What is running, and how to reach it.
struct Running {
    connects: mpsc::UnboundedSender<io::Result<End>>,
    driver: JoinHandle<()>,
    acceptor: JoinHandle<()>,
    handle: Handle,
}

struct World {
    dialect: Arc<Dialect>,
    bank: Bank,
    notes: Arc<Mutex<Notes>>,
    disk: Arc<Mutex<Disk>>,
    disk_habits: Arc<Mutex<journal::Habits>>,
    gateway: Mutex<Option<Running>>,
    /// Every connection that this gateway has: of its link, and of its clients.
    wires: Mutex<Vec<Fault>>,
    link: Mutex<Option<Fault>>,
    /// The bank's side of each link there was.
    served: Mutex<Vec<JoinHandle<()>>>,
    /// The bank takes no connections.
    refuses: Mutex<bool>,
    chance: Mutex<Chance>,
    begin: Instant,
}

impl World {
    fn now(&self) -> Now {
        Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 }.after(self.begin.elapsed())
    }

    fn chance(&self) -> Chance {
        self.chance.lock().unwrap().branch()
    }

    /// The log of a run that is replayed goes to standard output, with the time of the run.
    fn log(self: &Arc<World>) -> slog::Logger {
        match std::env::var_os("SOCKETQUEUE_SEED") {
            Some(_) => slog::Logger::root(Shown(self.begin), slog::o!()),
            None => slog::Logger::root(slog::Discard, slog::o!()),
        }
    }

    // -- the gateway -------------------------------------------------------------------------------------------------

    fn start(self: &Arc<World>) {
        let dialect = self.dialect.clone();
        let clock = {
            let world = self.clone();
            Arc::new(move || world.now())
        };
        let settings = upstream::Settings {
            name: "host".into(),
            endpoint: Endpoint::Connect { host: "host.invalid".into(), port: 5000 },
            framing: Framing::parse("ascii4").unwrap(),
            frame_len_max: 9999,
            idle_timeout: None,
            strict_replies: false,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            write_stall: Duration::from_secs(10),
            mux: socketqueue::mux::Settings {
                echoed: dialect.echoed.clone(),
                reversal: dialect.reversal.clone(),
                journaled: true,
                queue_timeout: QUEUE_TIMEOUT,
                min_response_time: Duration::from_secs(2),
                ..socketqueue::mux::Settings::default()
            },
        };
        let keys = settings.mux.key_fields.clone();
        let open = self.disk.lock().unwrap().open(&dialect, &keys, self.now().wall_ms);
        let world = self.clone();
        let journal = SimulatedJournal::new(
            self.disk.clone(),
            self.disk_habits.clone(),
            dialect.clone(),
            self.chance(),
            move || world.now().wall_ms,
        );
        let log = self.log();
        let parts = Parts {
            dialect: dialect.clone(),
            source: Source::Dial(Box::new(ToBank(self.clone()))),
            clock: clock.clone(),
            journal: Some(Box::new(journal)),
            log: log.clone(),
            mask: MaskStyle::default(),
            seed: self.chance().next(),
        };
        let (mut driver, handle) = Driver::new(settings, parts);
        driver.recover(open, Vec::new());
        let tcp = tcp::Settings {
            name: "client".into(),
            host: "127.0.0.1".into(),
            port: 0,
            framing: Framing::none(),
            frame_len_max: 9999,
            idle_timeout: None,
            connections_max: 100,
            close_after_reply: false,
            on_reject: OnReject::Close,
            delivery_timeout: Duration::from_secs(10),
        };
        let listener = Listener::new(tcp, dialect, clock, log, MaskStyle::default());
        let (connects, queue) = mpsc::unbounded_channel();
        let running = Running {
            connects,
            driver: tokio::spawn(driver.run()),
            acceptor: tokio::spawn(tcp::serve(Door(queue), listener, handle.clone())),
            handle,
        };
        *self.gateway.lock().unwrap() = Some(running);
    }

    /// Kills the gateway: its process, whose kernel still sends what it has, or its whole machine.
    async fn crash(&self, machine: bool) {
        let Some(running) = self.gateway.lock().unwrap().take() else { return };
        {
            let mut notes = self.notes.lock().unwrap();
            let open: Vec<_> = notes.open.values().cloned().collect();
            for (amount, fault) in open {
                notes.sales.entry(amount).or_default().under_way |= fault.under_way(0) > 0;
            }
        }
        for wire in self.wires.lock().unwrap().drain(..) {
            if machine { wire.reset() } else { wire.kill(0) }
        }
        running.driver.abort();
        running.acceptor.abort();
        let end = running.driver.await;
        assert!(end.is_err_and(|error| error.is_cancelled()), "the driver ended by itself");
        let now = Instant::now();
        let mut notes = self.notes.lock().unwrap();
        for known in notes.sales.values_mut().filter(|known| known.since(now) < Duration::from_secs(30)) {
            known.troubled = true;
        }
    }

    // -- what goes wrong ---------------------------------------------------------------------------------------------

    async fn weather(self: Arc<World>, end: Instant, report: Arc<Mutex<Report>>) {
        let mut chance = self.chance();
        while Instant::now() < end {
            let pause = chance.millis(50, 2500);
            sleep(pause).await;
            let link = self.link.lock().unwrap().clone();
            match chance.below(100) {
                0..30 => {
                    let time = chance.millis(10, 6000);
                    link.into_iter().for_each(|link| link.hold(time));
                }
                30..40 => {
                    link.into_iter().for_each(|link| link.reset());
                    report.lock().unwrap().link_losses += 1;
                }
                40..45 => {
                    *self.refuses.lock().unwrap() = true;
                    let time = chance.millis(100, 8000);
                    sleep(time).await;
                    *self.refuses.lock().unwrap() = false;
                }
                45..90 => self.trouble_a_client(&mut chance),
                _ => {
                    report.lock().unwrap().crashes += 1;
                    self.crash(chance.permille(300)).await;
                    let pause = chance.millis(100, 5000);
                    sleep(pause).await;
                    self.start();
                }
            }
        }
    }

    fn trouble_a_client(&self, chance: &mut Chance) {
        let mut notes = self.notes.lock().unwrap();
        let tid = 1 + chance.below(TERMINALS);
        let Some((amount, fault)) = notes.open.get(&tid).cloned() else { return };
        if chance.permille(500) {
            let time = chance.millis(10, 5000);
            return fault.hold(time);
        }
        notes.sales.entry(amount).or_default().troubled = true;
        fault.reset();
    }
}

struct Shown(Instant);

impl slog::Drain for Shown {
    type Ok = ();
    type Err = slog::Never;

    #[allow(clippy::print_stdout)]
    fn log(&self, record: &slog::Record<'_>, values: &slog::OwnedKVList) -> Result<(), slog::Never> {
        struct Line(String);
        impl slog::Serializer for Line {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                let _ = write!(self.0, " {key}={value}");
                Ok(())
            }
        }
        if record.level() == slog::Level::Trace && std::env::var_os("T").is_none() {
            return Ok(());
        }
        let mut line = Line(format!("{:>9.3} {}", self.0.elapsed().as_secs_f64(), record.msg()));
        let _ = slog::KV::serialize(&record.kv(), record, &mut line);
        let _ = slog::KV::serialize(values, record, &mut line);
        println!("{}", line.0);
        Ok(())
    }
}

impl Connect for Arc<World> {
    fn connect(&self, slow: bool) -> Option<(End, Fault)> {
        let gateway = self.gateway.lock().unwrap();
        let (ours, theirs, fault) = connection(self.chance(), if slow { 64 } else { 1 << 16 });
        gateway.as_ref()?.connects.send(Ok(ours)).ok()?;
        self.wires.lock().unwrap().push(fault.clone());
        Some((theirs, fault))
    }
}

struct Door(mpsc::UnboundedReceiver<io::Result<End>>);

impl Accept for Door {
    type Stream = End;
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Connected<End>> {
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(accepted)) => Poll::Ready(accepted.map(|end| (end, address(40_000)))),
            _ => Poll::Pending,
        }
    }
}

struct ToBank(Arc<World>);

impl Dial for ToBank {
    type Stream = End;
    fn dial(&mut self) -> Dialling<End> {
        let world = self.0.clone();
        Box::pin(async move {
            let mut chance = world.chance();
            sleep(chance.millis(1, 200)).await;
            if *world.refuses.lock().unwrap() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs, fault) = connection(chance.branch(), 1 << 20);
            let served = tokio::spawn(world.bank.clone().serve(theirs, chance));
            world.served.lock().unwrap().push(served);
            world.wires.lock().unwrap().push(fault.clone());
            *world.link.lock().unwrap() = Some(fault);
            Ok((ours, address(5000)))
        })
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs a seed.
///
/// # Panics
/// When a promise is broken.
pub async fn play(seed: u64) -> Report {
    let mut chance = Chance(seed);
    let dialect = Dialect::builtin("smartVista").unwrap();
    let bank = Bank {
        books: Arc::new(Mutex::new(Books::default())),
        habits: Arc::new(Mutex::new(bank::Habits {
            silent: 40,
            slow: 80,
            declines: 100,
            twice: 40,
            not_now: 200,
        })),
        dialect: dialect.clone(),
    };
    let disk_habits = journal::Habits { fails: 15, unknown: 15, stalls: 10 };
    let world = Arc::new(World {
        dialect: dialect.clone(),
        bank,
        notes: Arc::default(),
        disk: Arc::default(),
        disk_habits: Arc::new(Mutex::new(disk_habits)),
        gateway: Mutex::new(None),
        wires: Mutex::default(),
        link: Mutex::default(),
        served: Mutex::default(),
        refuses: Mutex::new(false),
        chance: Mutex::new(chance.branch()),
        begin: Instant::now(),
    });
    let report = Arc::new(Mutex::new(Report::default()));
    world.start();
    let end = Instant::now() + BUSY;
    let mut tasks = vec![tokio::spawn(world.clone().weather(end, report.clone()))];
    for tid in 1..=TERMINALS {
        let clock = world.clone();
        let terminal = Terminal {
            tid,
            dialect: dialect.clone(),
            gateway: world.clone(),
            notes: world.notes.clone(),
            chance: chance.branch(),
            clock: Arc::new(move || clock.now()),
            // Its deadline, and what a held connection adds.
            patience: QUEUE_TIMEOUT + Duration::from_secs(50),
        };
        tasks.push(tokio::spawn(terminal.run(end)));
    }
    sleep_until(end).await;
    for task in tasks {
        task.await.unwrap();
    }
    world.come_to_rest().await;
    let mut report = report.lock().unwrap().clone();
    world.audit(&mut report);
    report
}

impl World {
    /// Nothing goes wrong any more: everything that is open is settled in bounded time.
    async fn come_to_rest(self: &Arc<World>) {
        *self.bank.habits.lock().unwrap() = bank::FAULTLESS;
        *self.disk_habits.lock().unwrap() = journal::Habits { fails: 0, unknown: 0, stalls: 0 };
        let handle = self.gateway.lock().unwrap().as_ref().map(|running| running.handle.clone()).unwrap();
        let until = Instant::now() + REST;
        loop {
            let snapshot = handle.snapshot().await.expect("the driver runs");
            assert!(snapshot.tally.adds_up(), "{:?}", snapshot.tally);
            if snapshot.tally.open == 0 {
                break;
            }
            assert!(Instant::now() < until, "it does not come to rest: {:?}", snapshot.tally);
            sleep(Duration::from_secs(5)).await;
        }
        for served in self.served.lock().unwrap().drain(..).filter(JoinHandle::is_finished) {
            served.now_or_never().unwrap().expect("the bank understands what it gets");
        }
        // The journal has the last ends, too.
        sleep(Duration::from_secs(20)).await;
    }

    fn audit(&self, report: &mut Report) {
        let (books, notes, disk) =
            (self.bank.books.lock().unwrap(), self.notes.lock().unwrap(), self.disk.lock().unwrap());
        let waiting: Vec<u64> =
            disk.rows.values().filter(|row| !row.ended).map(|row| row.amount(&self.dialect)).collect();
        for row in disk.rows.values().filter(|row| !row.ended) {
            assert!(matches!(row.stage, Stage::Parked | Stage::Listed), "left open: {:?}", row.stage);
        }
        report.journal_failures = disk.failures;
        report.waiting_for_a_person = waiting.len() as u64;
        for (amount, known) in &notes.sales {
            let booked = books.sales.get(amount).copied().unwrap_or_default();
            let _ = writeln!(report.trace, "{amount} {booked:?} {} {}", known.approved, known.declined);
            report.sales += 1;
            report.reversed += u64::from(booked.reversed);
            assert!(booked.asked <= 1, "sale {amount} was sent {} times", booked.asked);
            assert!(
                !known.approved || booked.approved,
                "sale {amount}: an approval that the bank never gave"
            );
            assert!(!known.declined || !booked.approved, "sale {amount}: a decline that the bank never gave");
            match (booked.approved && !booked.reversed, known.approved) {
                (true, true) => report.approved_and_known += 1,
                (true, false) if known.under_way => report.lost_with_the_gateway += 1,
                (true, false) => {
                    assert!(waiting.contains(amount), "orphan: sale {amount} {known:?} {booked:?}")
                }
                (false, true) => {
                    assert!(known.troubled, "needless: sale {amount} was delivered and reversed");
                    report.needless += 1;
                }
                (false, false) => {}
            }
        }
    }
}
