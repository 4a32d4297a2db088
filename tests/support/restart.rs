//! A world in which the process can be killed: a scene, and a journal of rows that outlives it.
//!
//! The journal obeys the contract of a durable one: operations apply in their order when they are committed, what is not
//! committed is lost with the process, an intent is answered when it is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socketqueue::dialect::RequestClass;
use socketqueue::mux::{
    Event, FinalState, JournalOp, Lately, Record, Recovered, Remembered, Settings, Stage, State, TxId,
    Withheld,
};
use socketqueue::rules::{self, AnswerRecord, Restored};

use crate::scene::{Scene, scene_without_link};

/// One row, as a table would have it.
#[derive(Clone, Debug)]
pub struct Row {
    pub was: TxId,
    pub image: Bytes,
    pub received_ms: i64,
    /// When it left for the host, where the test says that the journal has it.
    pub left_ms: Option<i64>,
    pub stage: Stage,
    pub attempts: u32,
    pub rrn: Option<Bytes>,
    pub record: Option<Record>,
    pub answer: Option<AnswerRecord>,
    pub superseded: bool,
    pub foreign: bool,
    pub reasons: Vec<String>,
    /// How it ended, and when.
    pub ended: Option<(State, i64)>,
}

#[derive(Default)]
pub struct Rows {
    pub rows: BTreeMap<i64, Row>,
    by_id: BTreeMap<TxId, i64>,
}

pub struct World {
    pub scene: Scene,
    pub journal: Rows,
    change: fn(&mut Settings),
}

/// smartVista's settings with a journal and a link that is up.
pub fn world() -> World {
    world_with(|_| {})
}

pub fn world_with(change: fn(&mut Settings)) -> World {
    let mut world = World { scene: new_scene(change), journal: Rows::default(), change };
    world.scene.link_up();
    world
}

fn new_scene(change: fn(&mut Settings)) -> Scene {
    scene_without_link(|settings| {
        settings.journaled = true;
        change(settings);
    })
}

impl World {
    /// The journal commits all that it was handed, and says so, until nothing is left.
    pub fn commit(&mut self) -> &mut Scene {
        while !self.scene.journal.is_empty() {
            for op in std::mem::take(&mut self.scene.journal) {
                let intent = match &op {
                    JournalOp::Intent { id, .. } => Some(*id),
                    _ => None,
                };
                self.journal.apply(&self.scene, op);
                if let Some(id) = intent {
                    self.scene.handle(Event::Durable { id });
                }
            }
        }
        &mut self.scene
    }

    /// The process is killed: what was not committed is gone. Another starts `after` so many seconds, with the same
    /// settings; it has no link yet.
    pub fn kill(&mut self, after: u64) -> &mut Scene {
        self.kill_and_change(after, self.change)
    }

    pub fn kill_and_change(&mut self, after: u64, change: fn(&mut Settings)) -> &mut Scene {
        let before = std::mem::replace(&mut self.scene, new_scene(change));
        self.scene.follows(before, Duration::from_secs(after));
        let wall = self.scene.now.wall_ms;
        let ended = self.journal.rows.iter().filter_map(|(number, row)| Some((row.ended?.1, *number, row)));
        let mut ended: Vec<(i64, i64, &Row)> = ended.collect();
        ended.sort_by_key(|(at, number, _)| (*at, *number));
        let remembered: Vec<Remembered> =
            ended.iter().filter_map(|(_, number, row)| row.remembered(*number, wall, &self.scene)).collect();
        for remembered in remembered {
            self.scene.handle(Event::Remember(Box::new(remembered)));
        }
        let open: Vec<(i64, Row)> = self
            .journal
            .rows
            .iter()
            .filter(|(_, row)| row.ended.is_none())
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        self.journal.by_id.clear();
        for (row, kept) in open {
            let recovered = kept.recovered(row, &self.scene);
            self.scene.handle(Event::Recover(Box::new(recovered)));
        }
        &mut self.scene
    }

    /// The only row.
    pub fn row(&self) -> &Row {
        assert_eq!(self.journal.rows.len(), 1);
        self.journal.rows.values().next().unwrap()
    }

    /// The transaction that the n-th row taken over goes on under.
    pub fn recovered(&self, n: usize) -> TxId {
        self.scene.recovered[n].0
    }
}

impl Row {
    fn recovered(&self, row: i64, scene: &Scene) -> Recovered {
        let request = Restored::read(scene.dialect(), scene.keys(), self.image.clone()).unwrap();
        let age_ms = scene.now.wall_ms - self.received_ms;
        let withheld = match self.foreign {
            true => Some(Withheld::OtherUpstream),
            false => (age_ms < 0).then_some(Withheld::FromTheFuture),
        };
        Recovered {
            row,
            was: self.was,
            request: Arc::new(request),
            attempts: self.attempts,
            rrn: self.rrn.clone(),
            stage: self.stage,
            age: ago(scene.now.wall_ms, self.received_ms),
            left_ago: self.left_ms.map(|left| ago(scene.now.wall_ms, left)),
            record: self.record,
            withheld,
            superseded: self.superseded,
        }
    }

    fn remembered(&self, row: i64, wall: i64, scene: &Scene) -> Option<Remembered> {
        let (state, ended) = self.ended?;
        let request = Restored::read(scene.dialect(), scene.keys(), self.image.clone()).unwrap();
        let code = self.answer.as_ref().and_then(|answer| answer.response_code.clone());
        Some(Remembered {
            was: self.was,
            record: self.record,
            state,
            attempts: self.attempts,
            ended_ago: ago(wall, ended),
            lately: Some(Box::new(Lately {
                row,
                request,
                class: code.map(|code| scene.dialect().codes.of_request(Some(&code))),
                rrn: self.rrn.clone(),
            })),
        })
    }
}

impl Rows {
    fn apply(&mut self, scene: &Scene, op: JournalOp) {
        let now = scene.now.wall_ms;
        match op {
            JournalOp::Intent { id, request, record } => {
                let number = self.rows.len() as i64 + 1;
                let row = Row {
                    was: id,
                    image: rules::image(&request, scene.dialect()),
                    received_ms: now,
                    left_ms: None,
                    stage: Stage::Intent,
                    attempts: 0,
                    rrn: None,
                    record,
                    answer: None,
                    superseded: false,
                    foreign: false,
                    reasons: Vec::new(),
                    ended: None,
                };
                self.rows.insert(number, row);
                self.by_id.insert(id, number);
            }
            JournalOp::Adopt { id, row } => {
                assert!(self.rows.contains_key(&row));
                self.by_id.insert(id, row);
            }
            JournalOp::Answered { id, class, answer } => self.change(id, |row| {
                row.rrn = answer.rrn.as_deref().map(Bytes::copy_from_slice);
                row.answer = Some(answer);
                row.stage = match class {
                    RequestClass::Approved => Stage::AnsweredApproved,
                    RequestClass::InDoubt => Stage::AnsweredInDoubt,
                    RequestClass::Declined => Stage::AnsweredDeclined,
                };
            }),
            JournalOp::End { id, state } => self.change(id, |row| row.ended = Some((state_of(state), now))),
            // What a person ordered stays ordered.
            JournalOp::Owed { id } => self.change(id, |row| {
                if row.stage != Stage::Ordered {
                    row.stage = Stage::Owed;
                }
            }),
            JournalOp::Sent { id, attempt } => self.change(id, |row| row.attempts = attempt),
            JournalOp::Learned { id, rrn } => self.change(id, |row| row.rrn = Some(rrn)),
            JournalOp::Parked { id } => self.change(id, |row| row.stage = Stage::Parked),
            JournalOp::Listed { id } => self.change(id, |row| row.stage = Stage::Listed),
            JournalOp::Superseded { id } => self.change(id, |row| row.superseded = true),
            JournalOp::Retried { id, decision, force } => self.change(id, |row| {
                row.stage = Stage::Ordered;
                // For the host that there is now.
                row.foreign &= !force;
                row.superseded = false;
                row.reasons.push(decision.reason.into());
            }),
            JournalOp::Resolved { id, decision } => self.change(id, |row| {
                row.reasons.push(decision.reason.into());
                row.ended = Some((State::Parked, now));
            }),
            JournalOp::Reopened { id, was } => {
                if let Some(number) = self.by_id.remove(&was) {
                    self.by_id.insert(id, number);
                    if let Some(row) = self.rows.get_mut(&number) {
                        (row.stage, row.ended) = (Stage::Owed, None);
                    }
                }
            }
            other => panic!("an operation that this journal does not know: {other:?}"),
        }
    }

    /// What has no row (an inquiry, one that joined another) leaves no trace; nor does what comes for one that is over.
    fn change(&mut self, id: TxId, change: impl FnOnce(&mut Row)) {
        let row = self.by_id.get(&id).and_then(|number| self.rows.get_mut(number));
        if let Some(row) = row.filter(|row| row.ended.is_none()) {
            change(row);
        }
    }
}

/// Zero for what lies in the future.
fn ago(wall_ms: i64, then_ms: i64) -> Duration {
    Duration::from_millis((wall_ms - then_ms).max(0).unsigned_abs())
}

fn state_of(state: FinalState) -> State {
    match state {
        FinalState::Refused | FinalState::NeverSent => State::NeverSent,
        FinalState::Delivered => State::Delivered,
        FinalState::DeclinedUndelivered => State::DeclinedUndelivered,
        FinalState::Unanswered => State::Unanswered,
        FinalState::Reversed => State::Reversed,
        FinalState::AdviceAccepted => State::AdviceAccepted,
        FinalState::Parked => State::Parked,
        FinalState::Listed => State::Listed,
    }
}
