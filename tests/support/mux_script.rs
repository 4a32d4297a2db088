//! Bytes as a sequence of events for a mux, in any order and with any ids, and what must hold whatever they are. Used by
//! the fuzz target `mux` and, with seeded bytes, by the test suite.
//!
//! Unlike the simulation there is no host with books and there are no honest clients: what comes is arbitrary, so only
//! what holds against everybody is checked. Nobody panics; the counters add up; the bounds hold; no sale leaves twice, or
//! before its intent is durable; nobody gets a second end of his request; and once the faults stop, everything ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, Mti, field};
use socketqueue::mux::{
    Action, ClientTag, Decision, Event, JournalOp, Mux, OnRestart, Order, Outcome, Record, Recovered,
    Settings, Stage, TxId, What, Withheld,
};
use socketqueue::rules::{self, Answer, KeyFields, Request};
use socketqueue::time::Now;

/// Events of one script at most: longer ones find nothing that shorter ones do not, only more slowly.
const EVENTS_MAX: usize = 400;
/// Steps within which everything must have ended after the faults stop.
const REST_MAX: usize = 20_000;
const QUEUE_MAX: usize = 8;
const SAF_MAX: usize = 10;
const TOMBSTONES_MAX: usize = 12;
/// Requests that the host, and answers that clients, are kept in mind.
const KEPT_MAX: usize = 12;

const MTIS: [&str; 10] = ["0200", "0200", "0200", "0100", "0201", "0220", "0221", "0400", "0420", "0800"];
const CODES: [&str; 9] = ["000", "000", "100", "909", "911", "914", "904", "999", "   "];

static SMART_VISTA: LazyLock<Arc<Dialect>> =
    LazyLock::new(|| Dialect::builtin("smartVista").expect("it is built in"));

struct Script<'d>(&'d [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }
    fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }
}

struct World {
    mux: Mux,
    now: Now,
    keys: KeyFields,
    journaled: bool,
    next_client: u64,
    /// What a client was told last: `true` is final.
    told: BTreeMap<u64, bool>,
    /// Answers handed to clients, of which nobody knows what became.
    given: VecDeque<TxId>,
    /// Ids there ever were, the latest.
    ids: VecDeque<TxId>,
    at_host: VecDeque<Message>,
    /// Intents without a verdict.
    committing: VecDeque<TxId>,
    durable: BTreeSet<TxId>,
    /// Sales and their like that left.
    left: BTreeSet<TxId>,
    link_up: bool,
    draining: bool,
}

/// Runs `data` as a script.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new(&mut script);
    for row in 0..script.below(4) {
        world.recover(row as i64, &mut script);
    }
    let mut events = 0;
    while !script.0.is_empty() && events < EVENTS_MAX {
        world.event(&mut script);
        world.settle();
        events += 1;
    }
    world.come_to_rest();
}

impl World {
    fn new(script: &mut Script<'_>) -> World {
        let flags = script.byte();
        let is = |bit: u8| flags >> bit & 1 == 1;
        let journaled = is(0);
        let settings = Settings {
            echoed: SMART_VISTA.echoed.clone(),
            reversal: if is(1) && is(2) && is(3) { None } else { SMART_VISTA.reversal.clone() },
            queue_max: QUEUE_MAX,
            saf_max: SAF_MAX,
            tombstones_max: TOMBSTONES_MAX,
            records_max: 4,
            lock_terminal: !is(4),
            key_fields: if is(4) && is(5) {
                KeyFields(vec![field::STAN])
            } else {
                Settings::default().key_fields
            },
            reverse_on_disconnect: is(5),
            no_auto_reversal: is(6) && is(3),
            reversal_hold: Duration::from_secs(if is(7) { 0 } else { 20 }),
            on_restart: if is(6) { OnRestart::List } else { OnRestart::Reverse },
            journaled,
            ..Settings::default()
        };
        World {
            keys: settings.key_fields.clone(),
            mux: Mux::new(settings),
            now: Now { uptime: Duration::ZERO, wall_ms: 1_795_316_645_000, offset_s: 0 },
            journaled,
            next_client: 0,
            told: BTreeMap::new(),
            given: VecDeque::new(),
            ids: VecDeque::new(),
            at_host: VecDeque::new(),
            committing: VecDeque::new(),
            durable: BTreeSet::new(),
            left: BTreeSet::new(),
            link_up: false,
            draining: false,
        }
    }

    fn request(&self, script: &mut Script<'_>) -> Option<Arc<Request>> {
        let (mti, place) = (MTIS[script.below(MTIS.len())], script.byte());
        let mut draft = Draft::new(&SMART_VISTA.schema, Mti::parse(mti.as_bytes())?);
        let local = self.now.local();
        // Few terminals, numbers and amounts, so that they meet.
        let (tid, stan, amount) = (place & 3, place >> 2 & 3, place >> 4 & 3);
        draft.set(field::PROCESSING_CODE, b"000000");
        draft.set(field::TRANSMISSION_TIME, &local.mmddhhmmss());
        draft.set(field::STAN, format!("{stan:06}").as_bytes());
        draft.set(field::FUNCTION_CODE, b"200");
        draft.set(field::TID, format!("{tid:08}").as_bytes());
        if mti != "0800" {
            draft.set(field::AMOUNT, format!("{amount:012}").as_bytes());
            draft.set(field::LOCAL_TIME, &local.yymmddhhmmss());
            draft.set(field::POS_ENTRY_MODE, b"056");
            draft.set(field::REASON, b"00");
            draft.set(field::MID, b"000124642124643");
            draft.set(field::CURRENCY, b"810");
        }
        rules::prepare(&SMART_VISTA, &self.keys, draft.finish().ok()?, self.now).ok().map(Arc::new)
    }

    fn client(&mut self) -> ClientTag {
        self.next_client += 1;
        self.told.insert(self.next_client, false);
        ClientTag(self.next_client)
    }

    fn record(script: &mut Script<'_>) -> Option<Record> {
        let byte = script.byte();
        (byte & 3 == 0)
            .then(|| Record { key: (byte & 4 == 0).then_some([byte >> 3 & 3; 32]), body: [byte >> 5; 32] })
    }

    /// One of the ids there ever were; sometimes one that there never was.
    fn any_id(&self, script: &mut Script<'_>) -> TxId {
        let at = script.below(self.ids.len() + 1);
        self.ids.get(at).copied().unwrap_or(TxId::from_bits(u64::from(script.byte())))
    }

    fn recover(&mut self, row: i64, script: &mut Script<'_>) {
        let Some(request) = self.request(script) else { return };
        let stages = [
            Stage::Intent,
            Stage::AnsweredApproved,
            Stage::AnsweredInDoubt,
            Stage::AnsweredDeclined,
            Stage::Owed,
            Stage::Parked,
            Stage::Listed,
        ];
        let recovered = Recovered {
            row,
            was: TxId::from_bits(u64::from(script.byte())),
            request,
            attempts: u32::from(script.byte() & 15),
            rrn: script.coin().then(|| Bytes::from_static(b"000000000042")),
            stage: stages[script.below(stages.len())],
            age: Duration::from_secs(u64::from(script.byte()) * 600),
            left_ago: script.coin().then_some(Duration::from_secs(3)),
            record: World::record(script),
            withheld: (script.byte() & 7 == 0).then_some(Withheld::OtherUpstream),
            superseded: script.byte() & 7 == 0,
        };
        self.mux.handle(self.now, Event::Recover(Box::new(recovered)));
        self.settle();
    }

    fn event(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        match script.below(16) {
            0..5 => {
                let record = World::record(script);
                let Some(request) = self.request(script) else { return };
                let client = self.client();
                self.mux.handle(now, Event::Submit { client, request, record });
            }
            5..8 => self.host_answers(script),
            8 => {
                let id = match self.given.pop_front() {
                    Some(id) if script.coin() => id,
                    _ => self.any_id(script),
                };
                let events = [
                    Event::Delivered { id },
                    Event::DeliveryFailed { id },
                    Event::DeliveryLost { id },
                    Event::Acknowledged { id },
                    Event::ClientGone { id },
                ];
                let which = script.below(events.len());
                self.mux.handle(now, events.into_iter().nth(which).unwrap_or(Event::JournalUp));
            }
            9 => self.flap(!self.link_up),
            10 | 11 => self.journal_answers(script),
            12 | 13 => self.time_passes(script),
            14 => {
                let what = if script.coin() { What::Resolve } else { What::Retry { force: script.coin() } };
                let id = self.any_id(script);
                let decision = Decision { operator: "ops".into(), reason: "seen".into() };
                self.mux.handle(now, Event::Operator(Order { id, what, decision }));
            }
            _ => match script.below(8) {
                0 if !self.draining => {
                    self.draining = true;
                    let deadline = now.uptime + Duration::from_secs(u64::from(script.byte()));
                    self.mux.handle(now, Event::Drain { deadline });
                }
                1 => self.mux.handle(now, Event::HostRequest { reply: Some(Bytes::from_static(b"0810")) }),
                _ => {
                    let Some(record) = World::record(script) else { return };
                    let client = self.client();
                    self.mux.handle(now, Event::Recall { client, record });
                }
            },
        }
    }

    /// An answer to something that left, right or wrong; it may be answered again later.
    fn host_answers(&mut self, script: &mut Script<'_>) {
        let at = script.below(self.at_host.len());
        let Some(message) = self.at_host.get(at).cloned() else { return };
        let (code, how) = (CODES[script.below(CODES.len())], script.byte());
        self.answer(&message, code, how);
        if how & 0x80 == 0 {
            self.at_host.remove(at);
        }
    }

    fn answer(&mut self, message: &Message, code: &str, how: u8) {
        let Some(mti) = message.mti().response() else { return };
        let mut draft = Draft::of(message);
        draft.set_mti(mti).set(field::RRN, b"000000012345");
        if code != "   " {
            draft.set(field::RESPONSE_CODE, code.as_bytes());
        }
        match how & 7 {
            1 => drop(draft.set(field::AMOUNT, b"000000000009")),
            2 => drop(draft.set(field::STAN, b"000001")),
            3 => drop(draft.set(field::TID, b"00000001")),
            4 => drop(draft.set_mti(Mti::parse(b"0210").expect("it is one"))),
            _ => {}
        }
        let Ok(bytes) = draft.to_bytes() else { return };
        let Ok(lenient) = Message::parse_lenient(&SMART_VISTA.schema, bytes) else { return };
        let answer = Answer::read(&SMART_VISTA, &self.keys, lenient);
        self.mux.handle(self.now, Event::Received(Box::new(answer)));
    }

    fn flap(&mut self, up: bool) {
        self.link_up = up;
        self.mux.handle(self.now, if up { Event::LinkUp } else { Event::LinkDown });
    }

    fn journal_answers(&mut self, script: &mut Script<'_>) {
        let Some(id) = self.committing.pop_front() else {
            return self.mux.handle(self.now, Event::JournalUp);
        };
        match script.below(6) {
            0 => self.mux.handle(self.now, Event::JournalFailed { id, unknown: false }),
            1 => {
                self.committing.push_back(id);
                self.mux.handle(self.now, Event::JournalFailed { id, unknown: true });
            }
            _ => self.is_durable(id),
        }
    }

    fn is_durable(&mut self, id: TxId) {
        self.durable.insert(id);
        self.mux.handle(self.now, Event::Durable { id });
    }

    fn time_passes(&mut self, script: &mut Script<'_>) {
        let tick = Duration::from_nanos(1);
        let due = self.mux.poll_timeout().unwrap_or(self.now.uptime);
        let to = match script.below(5) {
            0 => due,
            1 => due.saturating_sub(tick),
            2 => due + tick,
            3 => self.now.uptime + Duration::from_secs(u64::from(script.byte()) * 10),
            _ => self.now.uptime + Duration::from_millis(u64::from(script.byte()) * 40),
        };
        self.now = self.now.after(to.saturating_sub(self.now.uptime));
        if script.coin() {
            self.mux.handle_timeout(self.now);
        }
    }

    // -- what the mux wants ------------------------------------------------------------------------------------------

    fn settle(&mut self) {
        loop {
            self.collect();
            let Some(transmit) = self.mux.poll_transmit(self.now) else { break };
            assert!(self.link_up, "nothing leaves without a link");
            let Ok(message) = Message::parse(&SMART_VISTA.schema, transmit.bytes) else { continue };
            if let Some(id) = transmit.id {
                self.leaves(id, &message);
            }
            self.at_host.push_back(message);
            if self.at_host.len() > KEPT_MAX {
                self.at_host.pop_front();
            }
        }
        let tally = self.mux.tally();
        assert!(tally.adds_up(), "every transaction is counted once: {tally:?}");
        assert_eq!(tally.received + tally.recovered, self.mux.outcomes().balance() + tally.open, "{tally:?}");
        // Full, it takes no new sales; those that it has taken may still need theirs.
        assert!(tally.tombstones <= (TOMBSTONES_MAX + QUEUE_MAX + SAF_MAX) as u64, "{tally:?}");
        assert!(tally.in_flight <= (QUEUE_MAX + SAF_MAX) as u64, "{tally:?}");
    }

    /// A sale or a pre-authorisation leaves once, and not before its intent is durable. Advices and reversals repeat.
    fn leaves(&mut self, id: TxId, message: &Message) {
        let mti = message.mti();
        if mti.is_advice() || !(mti.class() == 1 || mti.class() == 2) {
            return;
        }
        assert!(self.left.insert(id), "{id} left twice");
        assert!(!self.journaled || self.durable.contains(&id), "{id} left before it was durable");
    }

    fn collect(&mut self) {
        while let Some(action) = self.mux.poll_action() {
            match action {
                Action::Accepted { id, .. } | Action::Recovered { id, .. } => {
                    self.ids.push_back(id);
                    if self.ids.len() > KEPT_MAX {
                        self.ids.pop_front();
                    }
                }
                Action::Reply { id, client, outcome } => {
                    let told = self.told.get_mut(&client.0).expect("only who asked is told");
                    assert!(!*told, "{client:?} is told after the end of its request");
                    match (outcome, id) {
                        (Outcome::Answered { .. }, Some(id)) => self.given.push_back(id),
                        _ => *told = true,
                    }
                }
                Action::Journal(op) => {
                    assert!(self.journaled);
                    if let JournalOp::Intent { id, .. } = op {
                        self.committing.push_back(id);
                    }
                }
                Action::Drained { .. } | Action::Fact(_) | Action::Operated { .. } => {}
            }
        }
    }

    // -- the end -----------------------------------------------------------------------------------------------------

    /// The link is up, the journal takes everything, the host approves, clients take what they are given.
    fn come_to_rest(&mut self) {
        self.mux.handle(self.now, Event::JournalUp);
        for _ in 0..REST_MAX {
            if !self.link_up {
                self.flap(true);
            }
            self.settle();
            while let Some(id) = self.committing.pop_front() {
                self.is_durable(id);
                self.settle();
            }
            while let Some(message) = self.at_host.pop_front() {
                self.answer(&message, "000", 0);
                self.settle();
            }
            while let Some(id) = self.given.pop_front() {
                self.mux.handle(self.now, Event::Delivered { id });
                self.mux.handle(self.now, Event::Acknowledged { id });
                self.settle();
            }
            let Some(due) = self.mux.poll_timeout() else { break };
            if self.mux.tally().open == 0 {
                break;
            }
            self.now = self.now.after(due.saturating_sub(self.now.uptime));
            self.mux.handle_timeout(self.now);
        }
        let open = self.mux.transactions();
        if self.draining {
            // What is owed after a drain is the next start's.
            let waits = open
                .iter()
                .find(|open| !matches!(open.state, "owed" | "sent" | "parked" | "listed" | "delivered"));
            assert!(waits.is_none(), "after the drain: {waits:?}");
        } else {
            assert_eq!(self.mux.tally().open, 0, "everything comes to rest: {open:#?}");
        }
    }
}
