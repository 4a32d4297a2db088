//! A scene for the mux: a clock that is moved by hand, clients with one-letter names, a host that answers on request.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, FieldNumber, Message, Mti, field};
use socketqueue::mux::{
    Action, ClientTag, Event, Fact, JournalOp, Mux, Objection, Outcome, Record, Settings, State, Tally, TxId,
};
use socketqueue::rules::{self, Answer, KeyFields};
use socketqueue::time::Now;

/// 2026-11-22 03:04:05 UTC.
const START_MS: i64 = 1_795_316_645_000;

pub struct Scene {
    pub mux: Mux,
    pub now: Now,
    pub journal: Vec<JournalOp>,
    pub drained: Option<usize>,
    dialect: Arc<Dialect>,
    keys: KeyFields,
    ids: BTreeMap<char, TxId>,
    /// Who has said that the answer was delivered.
    has_it: BTreeSet<char>,
    replies: Vec<String>,
    facts: Vec<Fact>,
    /// What became of an operator's orders since the last look.
    pub operated: Vec<Result<(), Objection>>,
    /// Rows of the journal that were taken over.
    pub recovered: Vec<(TxId, i64)>,
    /// What the host got, oldest first, not yet asked for.
    wire: VecDeque<Message>,
    /// The last message of each kind that the host got, by MTI, TID and STAN.
    seen: BTreeMap<(String, String, String), Message>,
}

/// smartVista's settings with a link that is up.
pub fn scene() -> Scene {
    scene_with(|_| {})
}

pub fn scene_with(change: impl FnOnce(&mut Settings)) -> Scene {
    let mut scene = scene_without_link(change);
    scene.link_up();
    scene
}

pub fn scene_without_link(change: impl FnOnce(&mut Settings)) -> Scene {
    let mut dialect = Dialect::clone(&Dialect::builtin("smartVista").unwrap());
    // Balance inquiries, so that there is something that moves no money.
    dialect.no_money = vec!["310000".into()];
    let dialect = Arc::new(dialect);
    let mut settings = Settings {
        echoed: dialect.echoed.clone(),
        reversal: dialect.reversal.clone(),
        ..Settings::default()
    };
    change(&mut settings);
    Scene {
        keys: settings.key_fields.clone(),
        mux: Mux::new(settings),
        now: Now { uptime: Duration::ZERO, wall_ms: START_MS, offset_s: 0 },
        journal: Vec::new(),
        drained: None,
        dialect,
        ids: BTreeMap::new(),
        has_it: BTreeSet::new(),
        replies: Vec::new(),
        facts: Vec::new(),
        operated: Vec::new(),
        recovered: Vec::new(),
        wire: VecDeque::new(),
        seen: BTreeMap::new(),
    }
}

impl Scene {
    // -- time --------------------------------------------------------------------------------------------------------

    /// Moves the clock to `seconds` after the start, handling on the way what is due, each at its time.
    pub fn at(&mut self, seconds: f64) -> &mut Scene {
        let target = Duration::from_secs_f64(seconds);
        while let Some(due) = self.mux.poll_timeout().filter(|due| *due <= target) {
            self.set_clock(due.max(self.now.uptime));
            self.mux.handle_timeout(self.now);
            self.collect();
            self.pump();
        }
        self.set_clock(target);
        self
    }

    /// Moves the clock without handling anything: what is due has not been told yet.
    pub fn clock(&mut self, seconds: f64) -> &mut Scene {
        self.set_clock(Duration::from_secs_f64(seconds));
        self
    }

    fn set_clock(&mut self, to: Duration) {
        assert!(to >= self.now.uptime, "time does not go back");
        self.now = self.now.after(to - self.now.uptime);
    }

    // -- clients -----------------------------------------------------------------------------------------------------

    /// A sale of 10.00 at terminal `tid` with `stan`.
    pub fn sale(&mut self, client: char, tid: u32, stan: u32) -> &mut Scene {
        self.send(client, "0200", tid, stan, &[])
    }

    /// Any request; `changes` are set last (`""` removes a field).
    pub fn send(
        &mut self,
        client: char,
        mti: &str,
        tid: u32,
        stan: u32,
        changes: &[(u16, &str)],
    ) -> &mut Scene {
        let request = self.request(mti, tid, stan, changes);
        let event =
            Event::Submit { client: ClientTag(client as u64), request: Arc::new(request), record: None };
        self.handle(event)
    }

    /// A sale under idempotency key `key`, with a body told apart by `body`.
    pub fn keyed_sale(&mut self, client: char, tid: u32, stan: u32, key: u8, body: u8) -> &mut Scene {
        let request = Arc::new(self.request("0200", tid, stan, &[]));
        let record = Some(Record { key: Some([key; 32]), body: [body; 32] });
        self.handle(Event::Submit { client: ClientTag(client as u64), request, record })
    }

    /// Where the transaction of `client` is now.
    pub fn state(&self, client: char) -> Option<State> {
        self.mux.status(self.ids[&client]).map(|status| status.state)
    }

    /// A client sends the last `0200` of that TID and STAN again, under another MTI.
    pub fn again(&mut self, client: char, mti: &str, tid: u32, stan: u32) -> &mut Scene {
        let mut draft = Draft::of(self.message("0200", tid, stan));
        draft.set_mti(Mti::parse(mti.as_bytes()).unwrap());
        let request = rules::prepare(&self.dialect, &self.keys, draft.finish().unwrap(), self.now).unwrap();
        let event =
            Event::Submit { client: ClientTag(client as u64), request: Arc::new(request), record: None };
        self.handle(event)
    }

    fn request(&self, mti: &str, tid: u32, stan: u32, changes: &[(u16, &str)]) -> rules::Request {
        let local = self.now.local();
        let mut draft = Draft::new(&self.dialect.schema, Mti::parse(mti.as_bytes()).unwrap());
        let mut set = |n: u16, value: &[u8]| {
            draft.set(FieldNumber::new(n).unwrap(), value);
        };
        set(3, b"000000");
        set(7, &local.mmddhhmmss());
        set(11, format!("{stan:06}").as_bytes());
        set(24, b"200");
        set(41, format!("{tid:08}").as_bytes());
        if !mti.starts_with("08") {
            set(4, b"000000001000");
            set(12, &local.yymmddhhmmss());
            set(22, b"056");
            set(25, b"00");
            set(35, b"4850781234567891=19082012232800000037");
            set(42, b"000124642124643");
            set(49, b"810");
        }
        for (n, value) in changes {
            match value.is_empty() {
                true => draft.remove(FieldNumber::new(*n).unwrap()),
                false => draft.set(FieldNumber::new(*n).unwrap(), value.as_bytes()),
            };
        }
        rules::prepare(&self.dialect, &self.keys, draft.finish().unwrap(), self.now).unwrap()
    }

    pub fn delivered(&mut self, client: char) -> &mut Scene {
        self.has_it.insert(client);
        self.handle(Event::Delivered { id: self.ids[&client] })
    }

    /// Its answer could not be written; or, if it was, is lost.
    pub fn delivery_failed(&mut self, client: char) -> &mut Scene {
        let id = self.ids[&client];
        let is_lost = self.has_it.remove(&client);
        self.handle(if is_lost { Event::DeliveryLost { id } } else { Event::DeliveryFailed { id } })
    }

    pub fn acknowledged(&mut self, client: char) -> &mut Scene {
        self.handle(Event::Acknowledged { id: self.ids[&client] })
    }

    pub fn gone(&mut self, client: char) -> &mut Scene {
        self.handle(Event::ClientGone { id: self.ids[&client] })
    }

    /// What the clients were told since the last call, e.g. `A: 0210 000` or `B: QueueFull`.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.replies)
    }

    // -- link and host -----------------------------------------------------------------------------------------------

    pub fn link_up(&mut self) -> &mut Scene {
        self.handle(Event::LinkUp)
    }

    pub fn link_down(&mut self) -> &mut Scene {
        self.handle(Event::LinkDown)
    }

    /// What the host got since the last call, e.g. `0200 1/7` (TID 1, STAN 7).
    pub fn host_got(&mut self) -> Vec<String> {
        self.pump();
        self.wire.drain(..).map(|message| label(&message)).collect()
    }

    /// The last message `mti tid/stan` that the host got.
    pub fn message(&self, mti: &str, tid: u32, stan: u32) -> &Message {
        &self.seen[&(mti.into(), format!("{tid:08}"), format!("{stan:06}"))]
    }

    /// The host answers the last message `mti` of that TID and STAN with `code`.
    pub fn answer(&mut self, mti: &str, tid: u32, stan: u32, code: &str) -> &mut Scene {
        self.answer_with(mti, tid, stan, code, &[])
    }

    pub fn answer_with(
        &mut self,
        mti: &str,
        tid: u32,
        stan: u32,
        code: &str,
        changes: &[(u16, &str)],
    ) -> &mut Scene {
        self.pump();
        let request = self.message(mti, tid, stan).clone();
        let mut draft = Draft::of(&request);
        draft.set_mti(request.mti().response().unwrap());
        draft.set(field::RRN, b"000000012345");
        draft.set(field::RESPONSE_CODE, code.as_bytes());
        for (n, value) in changes {
            match (*n, value.is_empty()) {
                (0, _) => {
                    draft.set_mti(Mti::parse(value.as_bytes()).unwrap());
                }
                (n, true) => {
                    draft.remove(FieldNumber::new(n).unwrap());
                }
                (n, false) => {
                    draft.set(FieldNumber::new(n).unwrap(), value.as_bytes());
                }
            }
        }
        let lenient = Message::parse_lenient(&self.dialect.schema, draft.to_bytes().unwrap()).unwrap();
        let answer = Answer::read(&self.dialect, &self.keys, lenient);
        self.handle(Event::Received(Box::new(answer)))
    }

    // -- everything --------------------------------------------------------------------------------------------------

    pub fn handle(&mut self, event: Event) -> &mut Scene {
        self.mux.handle(self.now, event);
        self.collect();
        self.pump();
        self
    }

    /// What the process before knew of the world outside: the messages that the host has seen.
    pub fn follows(&mut self, before: Scene, after: Duration) -> &mut Scene {
        self.now.wall_ms = before.now.wall_ms + i64::try_from(after.as_millis()).unwrap();
        self.seen = before.seen;
        self
    }

    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    pub fn keys(&self) -> &KeyFields {
        &self.keys
    }

    /// The id of the transaction of `client`.
    pub fn id(&self, client: char) -> TxId {
        self.ids[&client]
    }

    pub fn tally(&self) -> Tally {
        self.mux.tally()
    }

    /// The names of the facts since the last call, in order, without the given ones.
    pub fn facts(&mut self) -> Vec<String> {
        let facts = std::mem::take(&mut self.facts);
        facts
            .iter()
            .map(|fact| format!("{fact:?}"))
            .map(|text| text.split([' ', '{']).next().unwrap().into())
            .collect()
    }

    pub fn whole_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// Carries bytes to the host while the link takes them.
    fn pump(&mut self) {
        while let Some(transmit) = self.mux.poll_transmit(self.now) {
            let message = Message::parse(&self.dialect.schema, transmit.bytes).unwrap();
            let text = |n| message.text(n).unwrap_or_default().into_owned();
            let key = (message.mti().to_string(), text(field::TID), text(field::STAN));
            self.seen.insert(key, message.clone());
            self.wire.push_back(message);
        }
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(action) = self.mux.poll_action() {
            match action {
                Action::Accepted { id, client } => {
                    self.ids.insert(name(client), id);
                }
                Action::Reply { client, outcome, .. } => {
                    let told = match outcome {
                        Outcome::Answered { bytes, .. } => {
                            let message = Message::parse(&self.dialect.schema, bytes).unwrap();
                            format!(
                                "{} {}",
                                message.mti(),
                                message.text(field::RESPONSE_CODE).unwrap_or_default()
                            )
                        }
                        Outcome::Failed(failure) => format!("{failure:?}"),
                        Outcome::Known(status) => format!("known {:?}", status.state),
                    };
                    self.replies.push(format!("{}: {told}", name(client)));
                }
                Action::Journal(op) => self.journal.push(op),
                Action::Fact(fact) => self.facts.push(fact),
                Action::Recovered { id, row } => self.recovered.push((id, row)),
                Action::Operated { result, .. } => self.operated.push(result),
                Action::Drained { owed } => {
                    assert_eq!(self.drained, None, "drained comes once");
                    self.drained = Some(owed);
                }
            }
        }
        assert!(self.tally().adds_up(), "{:?}", self.tally());
        let (tally, ended) = (self.tally(), self.mux.outcomes().balance());
        assert_eq!(
            tally.received + tally.recovered,
            ended + tally.open,
            "the books by kind agree: {tally:?}"
        );
    }
}

fn name(client: ClientTag) -> char {
    char::from_u32(client.0 as u32).unwrap()
}

fn label(message: &Message) -> String {
    let number = |n| message.text(n).unwrap_or_default().parse::<u64>().unwrap_or_default();
    format!("{} {}/{}", message.mti(), number(field::TID), number(field::STAN))
}
