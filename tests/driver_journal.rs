//! The driver while its journal fails: a disk that stalls, fills up, leaves one in the dark, and comes back. The journal
//! is the real one with its own thread; the time of everything else is paused and moved by hand, so that a stall of 40 s
//! takes moments.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/plumbing.rs"]
mod plumbing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use plumbing::{Peer, START_MS, World, label, start_with};
use slog::{Discard, Logger, o};
use socketqueue::dialect::Dialect;
use socketqueue::journal::disk::{Commit, Fate};
use socketqueue::journal::sqlite::{Sqlite, Surroundings};
use socketqueue::journal::{Options, UpstreamIdentity};
use socketqueue::listener::tcp::OnReject;
use socketqueue::mux::FinalState;
use socketqueue::rules::{self, Request};
use socketqueue::time::Now;

/// What the disk does with a commit.
type Fates = Arc<Mutex<Box<dyn FnMut() -> Fate + Send>>>;

struct Bench {
    directory: tempfile::TempDir,
    ms: Arc<AtomicU64>,
    fates: Fates,
    /// A commit is about to be done.
    begun: mpsc::Receiver<Commit>,
    /// While this stands, paused time goes on only when it is told to: the journal's thread is at work meanwhile.
    _clock_stands: mpsc::Sender<()>,
    world: World,
    link: Peer,
}

impl Bench {
    async fn new() -> Bench {
        let (clock_stands, gone) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || gone.recv());
        let directory = tempfile::tempdir().unwrap();
        let ms = Arc::<AtomicU64>::default();
        let fates: Fates = Arc::new(Mutex::new(Box::new(|| Fate::Normal)));
        let (tell, begun) = mpsc::channel();
        let disk = {
            let fates = fates.clone();
            move |commit: Commit| {
                let mut fate = fates.lock().unwrap();
                let _ = tell.send(commit);
                fate()
            }
        };
        let journal = open(&directory, &ms, disk);
        let mut world = start_with(|setup| {
            setup.upstream.mux.journaled = true;
            setup.journal = Some(Box::new(journal));
            setup.tcp.on_reject = OnReject::Respond;
        });
        let link = world.link().await;
        Bench { directory, ms, fates, begun, _clock_stands: clock_stands, world, link }
    }

    /// From now on each commit waits for what becomes of it. Dropping the sender lets all of them go.
    fn gate(&self) -> mpsc::Sender<Fate> {
        let (tell, fates) = mpsc::channel();
        while self.begun.try_recv().is_ok() {}
        self.disk(move || fates.recv().unwrap_or(Fate::Normal));
        tell
    }

    fn disk(&self, fate: impl FnMut() -> Fate + Send + 'static) {
        *self.fates.lock().unwrap() = Box::new(fate);
    }

    async fn later(&self, by: Duration) {
        self.ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
        tokio::time::advance(by).await;
        // Everybody who is due gets his turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn is_ready(&self) -> bool {
        self.world.snapshot().await.journal_up
    }

    async fn becomes_ready(&self) {
        while !self.is_ready().await {
            tokio::task::yield_now().await;
        }
    }

    /// A sale that is approved, as any other.
    async fn sells(&mut self, tid: u32) {
        let mut client = self.world.client();
        client.send(&self.world.sale(tid, 9)).await;
        let request = self.link.message().await;
        assert_eq!(label(&request), format!("0200 {tid}/9"));
        self.link.send(&self.world.answer(&request, "000")).await;
        assert_eq!(label(&client.message().await), format!("0210 000 {tid}/9"));
    }

    /// An echo and a sale in flight are answered whatever the journal does.
    async fn goes_on(&mut self, in_flight: &socketqueue::iso8583::Message, client: &mut Peer) {
        let mut other = self.world.client();
        other.send(&self.world.echo(8, 1)).await;
        let echo = self.link.expect("0800").await;
        self.link.send(&self.world.answer(&echo, "000")).await;
        other.expect("0810").await;
        self.link.send(&self.world.answer(in_flight, "000")).await;
        client.expect("0210").await;
    }

    /// A new sale is refused at once, in words.
    async fn refuses(&self, tid: u32) {
        let mut client = self.world.client();
        client.send(&self.world.sale(tid, 1)).await;
        let answer = client.expect("0210").await;
        assert!(label(&answer).starts_with("0210 9"), "{}", label(&answer));
        assert!(!self.is_ready().await);
        assert!(self.world.logged("the journal takes no intents") || self.world.logged("journal_down"));
    }

    /// How many rows there are in each stage and outcome, when the gateway is gone.
    async fn rows(self) -> Vec<(i64, Option<i64>)> {
        let Bench { directory, world, link, ms, .. } = self;
        drop(link);
        world.driver.abort();
        let _ = world.driver.await;
        // It can be opened: its lock is free, and nothing in it is open.
        open(&directory, &ms, |_: Commit| Fate::Normal);
        let conn = rusqlite::Connection::open(directory.path().join("test.journal")).unwrap();
        let mut rows = conn.prepare("SELECT stage, outcome FROM records ORDER BY id").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

fn open(
    directory: &tempfile::TempDir,
    ms: &Arc<AtomicU64>,
    disk: impl FnMut(Commit) -> Fate + Send + 'static,
) -> Sqlite {
    let dialect = Dialect::builtin("smartVista").unwrap();
    let image = Box::new(move |request: &Request| rules::image(request, &dialect));
    let ms = ms.clone();
    let clock = Arc::new(move || {
        let now = Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 };
        now.after(Duration::from_millis(ms.load(Ordering::SeqCst)))
    });
    let mut around = Surroundings::new(clock, image, Logger::root(Discard, o!()));
    around.disk = Box::new(disk);
    let upstream = UpstreamIdentity {
        name: "host".into(),
        address: "host.invalid:5000".into(),
        dialect: "smartVista".into(),
    };
    Sqlite::open(&Options::new(directory.path().join("test.journal")), &upstream, around).unwrap().0
}

const CLOSED: i64 = 7;
const NEVER_SENT: Option<i64> = Some(1);
const DELIVERED: Option<i64> = Some(2);

#[tokio::test(start_paused = true)]
async fn a_disk_that_stalls_for_40_s_refuses_new_sales_and_keeps_nothing_else_waiting() {
    let mut bench = Bench::new().await;
    let mut in_flight = bench.world.client();
    in_flight.send(&bench.world.sale(1, 1)).await;
    let request = bench.link.expect("0200").await;
    let gate = bench.gate();
    let mut stuck = bench.world.client();
    stuck.send(&bench.world.sale(2, 1)).await;
    while bench.begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    // Until somebody asks for more than the disk has done in five seconds, nobody can tell.
    assert!(bench.is_ready().await);
    bench.later(Duration::from_secs(6)).await;
    bench.refuses(3).await;
    bench.refuses(4).await;
    bench.goes_on(&request, &mut in_flight).await;
    bench.later(Duration::from_secs(34)).await;
    // Its deadline passed while its intent waited: it was never sent, and it is told so.
    assert!(label(&stuck.message().await).starts_with("0210 9"));
    bench.refuses(5).await;
    drop(gate);
    bench.becomes_ready().await;
    bench.sells(6).await;
    let ended = bench.world.snapshot().await.tally.ended;
    assert_eq!(ended[FinalState::Delivered as usize], 3, "{ended:?}");
    // 1 delivered, 2 never sent, and the one after it. What was refused left no trace.
    let rows = bench.rows().await;
    assert_eq!(rows, [(CLOSED, DELIVERED), (CLOSED, NEVER_SENT), (CLOSED, DELIVERED)]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_refuses_new_sales_until_there_is_space() {
    let mut bench = Bench::new().await;
    let mut in_flight = bench.world.client();
    in_flight.send(&bench.world.sale(1, 1)).await;
    let request = bench.link.expect("0200").await;
    bench.disk(|| Fate::Full);
    let mut refused = bench.world.client();
    refused.send(&bench.world.sale(2, 1)).await;
    assert!(label(&refused.message().await).starts_with("0210 9"));
    bench.refuses(3).await;
    bench.goes_on(&request, &mut in_flight).await;
    bench.refuses(4).await;
    bench.disk(|| Fate::Normal);
    bench.becomes_ready().await;
    bench.sells(6).await;
    let rows = bench.rows().await;
    assert_eq!(rows, [(CLOSED, DELIVERED), (CLOSED, DELIVERED)]);
}

#[tokio::test(start_paused = true)]
async fn a_sale_whose_commit_is_in_the_dark_goes_out_when_it_is_found_and_not_before() {
    for (fate, is_there) in [(Fate::UnknownAndKept, true), (Fate::UnknownAndLost, false)] {
        let mut bench = Bench::new().await;
        bench.sells(5).await;
        let gate = bench.gate();
        let mut client = bench.world.client();
        client.send(&bench.world.sale(1, 1)).await;
        gate.send(fate).unwrap();
        drop(gate);
        if is_there {
            let request = bench.link.expect("0200").await;
            bench.link.send(&bench.world.answer(&request, "000")).await;
            client.expect("0210").await;
        } else {
            assert!(label(&client.message().await).starts_with("0210 9"));
        }
        bench.becomes_ready().await;
        bench.sells(6).await;
        let rows = bench.rows().await;
        assert_eq!(rows.len(), if is_there { 3 } else { 2 });
        assert!(rows.iter().all(|row| *row == (CLOSED, DELIVERED)), "{rows:?}");
    }
}
