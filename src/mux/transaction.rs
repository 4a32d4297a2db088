//! What the mux holds of one transaction.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::action::{Failure, FinalState};
use super::arena::{Link, Linked};
use super::event::{ClientTag, TxId};
use super::keys::KeyIndex;
use super::records::{State, Status};
use super::statistics::Noted;
use super::terminals::TerminalIndex;
use crate::dialect::RequestClass;
use crate::iso8583::{FieldNumber, Mti};
use crate::rules::{Answer, MakeGood, Request, ReversalImage};

/// List kind: the list that will time the transaction out.
pub(super) const TIMER: usize = 0;
/// List kind: where it waits its turn, or the list of what is in flight.
pub(super) const PLACE: usize = 1;

/// One transaction: a request and all that follows from it.
pub(super) struct Transaction {
    pub(super) id: TxId,
    /// The id that it had before it was opened again.
    pub(super) was: Option<TxId>,
    /// Who waits; `None` once nobody does.
    pub(super) client: Option<ClientTag>,
    pub(super) request: Arc<Request>,
    pub(super) key: KeyIndex,
    /// Its terminal's queue; `None` with the lock off.
    pub(super) terminal: Option<TerminalIndex>,
    pub(super) arrived: Duration,
    pub(super) deadline: Duration,
    /// When its bytes were pulled for a link.
    pub(super) left_at: Option<Duration>,
    /// Whether its intent is in the journal (or none is wanted).
    pub(super) durable: bool,
    /// Whether the journal has said that it is.
    pub(super) committed: bool,
    /// Whether it asked for what we were doing already: nothing is owed for it.
    pub(super) joined: bool,
    /// The host's answer, from then on until nobody may want it any more.
    pub(super) answer: Option<Bytes>,
    /// Whether it is remembered for those who ask.
    pub(super) recorded: bool,
    /// The host has answered after the deadline.
    pub(super) late: bool,
    /// What its client was told instead of an answer.
    pub(super) failure: Option<Failure>,
    /// It was taken over from the journal: what its client was told, if anything, is not known.
    pub(super) restarted: bool,
    /// The same request came again by its idempotency key while its answer was being delivered.
    pub(super) next_client: Option<ClientTag>,
    /// Clients that were given its answer and have not lost it, once it was delivered to the first.
    pub(super) holders: u32,
    /// How many of them have not said yet whether they have it.
    pub(super) unheard: u32,
    /// All who said that they have it have lost it, and another has not been heard: perhaps nobody has it.
    pub(super) is_unsure: bool,
    /// Until when the last of them may take to say whether it was.
    pub(super) given_until: Duration,
    pub(super) phase: Phase,
    /// What the counters need of it.
    pub(super) noted: Noted,
    pub(super) timer: Timer,
    pub(super) place: Place,
    timer_link: Link,
    place_link: Link,
}

/// Where a transaction is in its life (`design.md`, Life of a transaction).
pub(super) enum Phase {
    /// Waiting for its turn: its terminal is busy, or no link is up.
    Queued,
    /// Its turn has come, its intent is with the journal.
    Committing,
    /// Waiting to be pulled.
    Ready,
    /// Pulled for a link, no answer yet.
    InFlight,
    /// A session has the answer and has not said yet what became of it.
    Answered(RequestClass),
    /// Delivered, and watched until the client's TCP has acknowledged it.
    Delivered(RequestClass),
    /// A client's own reversal that waits for the answer to ours.
    Joined(TxId),
    /// To be made good: a reversal or a carried-on advice.
    Owed(Box<Owed>),
}

/// The list that will time it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    None,
    Deadline,
    Delivery,
}

/// The list it waits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    None,
    /// Its terminal's queue of requests.
    Waiting,
    /// Its terminal's queue of reversals.
    OwedWaiting,
    /// Its turn has come, but there is no link to commit for.
    Turn,
    /// The requests to be pulled.
    Ready,
    /// The reversals and advices to be pulled.
    OwedReady,
    /// In flight.
    InFlight,
}

/// A reversal, or an advice of the client's, that the host has not accepted yet.
pub(super) struct Owed {
    pub(super) what: Owing,
    /// How often it was written to a link.
    pub(super) attempts: u32,
    pub(super) state: OwedState,
    /// Whether the host is known to have approved: no decline that comes later cancels it then.
    pub(super) approved: bool,
    /// The RRN that a late approval told.
    pub(super) rrn: Option<Bytes>,
    /// How much longer its terminal waits for it; zero: not at all.
    pub(super) hold_left: Duration,
    /// Until when its terminal waits for it, while the hold runs.
    pub(super) hold_until: Option<Duration>,
    /// Clients' own reversals that wait for its answer.
    pub(super) joined: SmallVec<[TxId; 1]>,
    /// Whether it may have been sent before a restart, so that each sending is a repeat.
    pub(super) maybe_sent: bool,
    /// How many of the attempts were made before a restart, or before a person sent it on its way again: the schedule
    /// counts from there.
    pub(super) given_up: u32,
    /// How much of `notFoundSettle` was over when this process took it over.
    pub(super) settled_before: Duration,
    /// Whether its key was used again while it was parked or listed.
    pub(super) superseded: bool,
    /// Whether it was for another upstream.
    pub(super) is_foreign: bool,
    /// Whether the one more repeat after a late approval was given already.
    pub(super) reopened: bool,
    /// Whether a sending of it has been answered, or had its time, in this process.
    pub(super) tried: bool,
    /// An entry in the agenda that stands for it, so that it can be taken out.
    pub(super) due: Option<Duration>,
}

/// What is owed. (Stands in a box already, and almost always is a reversal.)
#[allow(clippy::large_enum_variant)]
pub(super) enum Owing {
    /// Our own reversal of the transaction's request.
    Reversal(ReversalImage),
    /// The request itself, as a repeat.
    Advice,
    /// A reversal that the host does not take: only a person can see to it.
    Nothing,
}

/// Where an owed reversal or advice is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OwedState {
    /// Waiting: for its time, its terminal or the link.
    Waiting,
    /// Written to a link, no answer yet.
    InFlight,
    /// Out of tries.
    Parked,
    /// Not to be sent until a person says so.
    Listed,
}

impl Transaction {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        id: TxId,
        client: ClientTag,
        request: Arc<Request>,
        key: KeyIndex,
        terminal: Option<TerminalIndex>,
        arrived: Duration,
        deadline: Duration,
        phase: Phase,
    ) -> Transaction {
        Transaction {
            id,
            was: None,
            client: Some(client),
            request,
            key,
            terminal,
            arrived,
            deadline,
            left_at: None,
            durable: false,
            committed: false,
            joined: false,
            answer: None,
            recorded: false,
            late: false,
            failure: None,
            restarted: false,
            next_client: None,
            holders: 1,
            unheard: 0,
            is_unsure: false,
            given_until: Duration::ZERO,
            phase,
            noted: Noted::default(),
            timer: Timer::None,
            place: Place::None,
            timer_link: Link::LOOSE,
            place_link: Link::LOOSE,
        }
    }

    /// One that had ended, to be made good.
    pub(super) fn reopened(
        id: TxId,
        was: TxId,
        request: Arc<Request>,
        key: KeyIndex,
        now: Duration,
    ) -> Transaction {
        let phase = Phase::Delivered(RequestClass::InDoubt);
        let mut transaction = Transaction::new(id, ClientTag(0), request, key, None, now, now, phase);
        transaction.client = None;
        transaction.durable = true;
        transaction.was = Some(was);
        transaction
    }

    pub(super) fn make_good(&self) -> MakeGood {
        self.request.make_good()
    }

    pub(super) fn owed(&self) -> Option<&Owed> {
        match &self.phase {
            Phase::Owed(owed) => Some(owed),
            _ => None,
        }
    }

    pub(super) fn owed_mut(&mut self) -> Option<&mut Owed> {
        match &mut self.phase {
            Phase::Owed(owed) => Some(owed),
            _ => None,
        }
    }

    pub(super) fn state_name(&self) -> &'static str {
        match &self.phase {
            Phase::Queued => "queued",
            Phase::Committing => "committing",
            Phase::Ready => "ready",
            Phase::InFlight => "in flight",
            Phase::Answered(_) => "answered",
            Phase::Delivered(_) => "delivered",
            Phase::Joined(_) => "joined",
            Phase::Owed(owed) => match owed.state {
                OwedState::Waiting => "owed",
                OwedState::InFlight => "sent",
                OwedState::Parked => "parked",
                OwedState::Listed => "listed",
            },
        }
    }

    /// The truth about it while it is open or parked.
    pub(super) fn status(&self) -> Status {
        let reverses = self.make_good() == MakeGood::Reverse;
        let (state, answer, attempts) = match &self.phase {
            Phase::Queued | Phase::Committing | Phase::Ready => (State::Queued, None, 0),
            Phase::InFlight | Phase::Joined(_) => (State::InFlight, None, 0),
            Phase::Answered(class) => (State::Answered, self.answered(*class), 0),
            Phase::Delivered(class) => (State::Delivered, self.answered(*class), 0),
            Phase::Owed(owed) => {
                let state = match owed.state {
                    OwedState::Parked => State::Parked,
                    OwedState::Listed => State::Listed,
                    _ if reverses => State::ReversalPending,
                    _ => State::AdvicePending,
                };
                (state, None, owed.attempts)
            }
        };
        Status { state, failure: self.failure, answer, attempts, late: self.late, restarted: self.restarted }
    }

    fn answered(&self, class: RequestClass) -> Option<(Bytes, RequestClass)> {
        self.answer.clone().map(|answer| (answer, class))
    }

    /// The truth about it at its end.
    pub(super) fn final_status(&self, state: FinalState) -> Status {
        let Status { answer, attempts, .. } = self.status();
        let (state, answer) = match state {
            FinalState::Refused | FinalState::NeverSent => (State::NeverSent, None),
            FinalState::Delivered => (State::Delivered, answer),
            FinalState::DeclinedUndelivered => (State::DeclinedUndelivered, answer),
            FinalState::Unanswered => (State::Unanswered, None),
            FinalState::Reversed => (State::Reversed, None),
            FinalState::AdviceAccepted => (State::AdviceAccepted, answer),
            FinalState::Parked => (State::Parked, None),
            FinalState::Listed => (State::Listed, None),
        };
        Status { state, failure: self.failure, answer, attempts, late: self.late, restarted: self.restarted }
    }

    /// The MTI of the answer that it awaits from the host right now.
    pub(super) fn awaited(&self) -> Option<Mti> {
        match &self.phase {
            Phase::InFlight => self.request.mti().response(),
            Phase::Owed(owed) if owed.state == OwedState::InFlight => match &owed.what {
                Owing::Reversal(image) => Some(image.response_mti()),
                Owing::Advice => self.request.mti().response(),
                Owing::Nothing => None,
            },
            _ => None,
        }
    }

    /// Whether `answer` can be the answer to its request: the MTI answers it, and what is compared agrees.
    pub(super) fn is_answered_by(&self, answer: &Answer, compared: &[FieldNumber]) -> bool {
        self.request.mti().response() == Some(answer.mti())
            && answer.agrees_with(self.request.message(), compared)
    }
}

impl Linked<TIMER> for Transaction {
    fn link(&mut self) -> &mut Link {
        &mut self.timer_link
    }
}

impl Linked<PLACE> for Transaction {
    fn link(&mut self) -> &mut Link {
        &mut self.place_link
    }
}

impl Owed {
    /// Whether it surely was never written to a link.
    pub(super) fn was_never_sent(&self) -> bool {
        self.attempts == 0 && !self.maybe_sent
    }

    pub(super) fn new(what: Owing, attempts: u32, hold_left: Duration) -> Owed {
        Owed {
            what,
            attempts,
            state: OwedState::Waiting,
            approved: false,
            rrn: None,
            hold_left,
            hold_until: None,
            joined: SmallVec::new(),
            maybe_sent: false,
            given_up: 0,
            settled_before: Duration::ZERO,
            superseded: false,
            is_foreign: false,
            reopened: false,
            tried: false,
            due: None,
        }
    }
}
