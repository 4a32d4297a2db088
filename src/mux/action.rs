//! What comes out of the mux.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::event::{ClientTag, TxId};
use super::records::{Record, Status};
use super::recovery::{Decision, Stage, Withheld};
use crate::dialect::{RequestClass, ReversalClass};
use crate::iso8583::Mti;
use crate::rules::{AnswerRecord, MatchKey, Request};

/// What a client is told.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The host's answer, byte for byte. To be answered with `Delivered` or `DeliveryFailed`.
    Answered {
        /// The host's bytes, untouched.
        bytes: Bytes,
        /// What its response code means.
        class: RequestClass,
    },
    /// No answer: why. Nothing to confirm.
    Failed(Failure),
    /// The request was known by its idempotency key and has no answer to give (any more): the truth about it. Nothing
    /// to confirm.
    Known(Status),
}

/// Why a client gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// `maxQueue` reached.
    QueueFull,
    /// Going away.
    Draining,
    /// A reversal or advice with this key is still open.
    KeyReserved,
    /// A table that must not forget is full.
    TableFull,
    /// The journal takes no intents.
    JournalDown,
    /// Never sent: the deadline passed (or too little was left) while it waited.
    Expired,
    /// Never sent: the deadline passed while its terminal was held by a reversal.
    TerminalHeld,
    /// Never sent: no link until the deadline.
    LinkDown,
    /// Sent, no answer by the deadline.
    TimedOut,
    /// Sent, then the link was lost.
    LinkLost,
    /// A repeat of a transaction that is being reversed.
    BeingReversed,
    /// A repeat of a transaction that was reversed.
    Reversed,
    /// A repeat of the same transaction took this client's place.
    Superseded,
    /// The answer came but could not be delivered by the deadline.
    TooLate,
    /// The client left before anything was sent.
    ClientGone,
    /// The idempotency key came with another body before.
    KeyReused,
    /// No room to remember another idempotency key.
    RecordsFull,
}

/// What a mux wants done.
#[derive(Debug)]
pub enum Action {
    /// The transaction of `Submit{client}` was accepted under this id (given before any `Reply` for it).
    Accepted {
        /// The transaction.
        id: TxId,
        /// Who waits.
        client: ClientTag,
    },
    /// Tell that client. After `Failed` nothing more comes for `id`; refusals at once have no `Accepted` and `id` is None.
    Reply {
        /// The transaction.
        id: Option<TxId>,
        /// Who waits.
        client: ClientTag,
        /// What it is told.
        outcome: Outcome,
    },
    /// Journal this. Order matters.
    Journal(JournalOp),
    /// For log and metrics.
    Fact(Fact),
    /// [`Event::Recover`](super::Event::Recover) was taken: the row goes on under this id.
    Recovered {
        /// The transaction.
        id: TxId,
        /// The row.
        row: i64,
    },
    /// What became of an [`Event::Operator`](super::Event::Operator).
    Operated {
        /// The transaction.
        id: TxId,
        /// Done, or why not.
        result: Result<(), Objection>,
    },
    /// Draining is over: at rest, or out of time. `owed`: reversals and advices not yet accepted.
    Drained {
        /// Reversals and advices not accepted yet.
        owed: usize,
    },
}

/// A journal operation. `Intent` is answered with `Durable` or `JournalFailed`; the others are not awaited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum JournalOp {
    /// About to be sent.
    Intent {
        /// The transaction.
        id: TxId,
        /// The request.
        request: Arc<Request>,
        /// Under what it is remembered for those who ask later, if it is: to be kept in the same commit.
        record: Option<Record>,
    },
    /// A row of a journal opened at start goes on under this id. Comes first of all that is journaled of it.
    Adopt {
        /// The transaction.
        id: TxId,
        /// The row.
        row: i64,
    },
    /// The host answered.
    Answered {
        /// The transaction.
        id: TxId,
        /// What its response code means.
        class: RequestClass,
        /// What of the answer belongs into the record.
        answer: AnswerRecord,
    },
    /// The transaction has reached its final state.
    End {
        /// The transaction.
        id: TxId,
        /// How it ended.
        state: FinalState,
    },
    /// A reversal or advice is owed for it from now on.
    Owed {
        /// The transaction.
        id: TxId,
    },
    /// The reversal or advice was sent for the n-th time.
    Sent {
        /// The transaction.
        id: TxId,
        /// Which sending this is, from 1.
        attempt: u32,
    },
    /// A late approval told its RRN.
    Learned {
        /// The transaction.
        id: TxId,
        /// DE 37 of the late approval.
        rrn: Bytes,
    },
    /// Out of tries.
    Parked {
        /// The transaction.
        id: TxId,
    },
    /// Owed, and not sent until a person says so. It stays open, and comes back at the next start.
    Listed {
        /// The transaction.
        id: TxId,
    },
    /// The key of a parked or listed one was used again.
    Superseded {
        /// The transaction.
        id: TxId,
    },
    /// A person has sent a parked or listed one on its way again.
    Retried {
        /// The transaction.
        id: TxId,
        /// Who and why.
        decision: Decision,
        /// Also if it was for another host: it goes to the one that there is.
        force: bool,
    },
    /// A person has seen to a parked or listed one: it is over.
    Resolved {
        /// The transaction.
        id: TxId,
        /// Who and why.
        decision: Decision,
    },
    /// One that had ended (`was`) is open again, to be made good.
    Reopened {
        /// The transaction.
        id: TxId,
        /// The id that it had.
        was: TxId,
    },
}

/// Why an operator's order is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Objection {
    /// It is unknown.
    #[error("no such transaction")]
    Unknown,
    /// It is neither parked nor listed: it is still being seen to, or over.
    #[error("neither parked nor listed")]
    NotWaiting,
    /// Its key was used again: a repeat could undo the new transaction.
    #[error("its key was used again, so a repeat could undo the later transaction")]
    KeyUsedAgain,
    /// It was for another upstream, which this one need not know.
    #[error("it was for another upstream")]
    OtherUpstream,
    /// There is nothing that could be sent: the dialect has no reversals.
    #[error("this upstream takes no reversals")]
    NothingToSend,
}

/// How a transaction ended, for the tally. Each is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinalState {
    /// Refused on arrival.
    Refused,
    /// Accepted, never sent.
    NeverSent,
    /// The answer was delivered.
    Delivered,
    /// Declined, and the client did not get it.
    DeclinedUndelivered,
    /// No answer, nothing owed.
    Unanswered,
    /// Reversed: the host accepted.
    Reversed,
    /// An advice or reversal of the client's was accepted.
    AdviceAccepted,
    /// Out of tries.
    Parked,
    /// Owed but not sent by us (`noAutoReversal`).
    Listed,
}

/// Something worth a log line or a counter. The shell words it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// A transaction reached a final state.
    Ended {
        /// The transaction.
        id: TxId,
        /// The MTI.
        mti: Mti,
        /// Its key.
        key: MatchKey,
        /// How it ended.
        state: FinalState,
        /// From arrival to its end.
        age: Duration,
    },
    /// A request was refused on arrival.
    Refused {
        /// The MTI.
        mti: Mti,
        /// Its key.
        key: MatchKey,
        /// Why.
        failure: Failure,
    },
    /// A new request uses the key of a parked entry.
    Superseded {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
    },
    /// One that had ended (`was`) is open again.
    Reopened {
        /// The transaction.
        id: TxId,
        /// The id that it had.
        was: TxId,
    },
    /// Taken over from the journal at start.
    Recovered {
        /// The transaction.
        id: TxId,
        /// The id that it had.
        was: TxId,
        /// The MTI.
        mti: Mti,
        /// Its key.
        key: MatchKey,
        /// How far it had come.
        stage: Stage,
    },
    /// No room to take a row of the journal over: it stays there.
    NotRecovered {
        /// The row.
        row: i64,
    },
    /// Taken over from the journal at start, and not sent until a person says so.
    Listed {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
        /// Why.
        why: Withheld,
    },
    /// A person has sent a parked or listed one on its way again.
    Retried {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
    },
    /// A person has seen to a parked or listed one.
    Resolved {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
    },
    /// A reversal (or carried-on advice) is owed.
    Owed {
        /// The transaction.
        id: TxId,
        /// The MTI.
        mti: Mti,
        /// Its key.
        key: MatchKey,
        /// Why.
        why: Doubt,
    },
    /// It was written to a link.
    ReversalSent {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
        /// Which sending this is, from 1.
        attempt: u32,
    },
    /// The host answered it.
    ReversalAnswered {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
        /// What its response code means.
        class: ReversalClass,
        /// Which sending this is, from 1.
        attempt: u32,
    },
    /// No answer in time.
    ReversalUnanswered {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
        /// Which sending this is, from 1.
        attempt: u32,
    },
    /// Out of tries, waiting for a person.
    Parked {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
        /// How often it was sent.
        attempts: u32,
    },
    /// Cancelled before it was sent: a late decline came.
    ReversalCancelled {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
    },
    /// `noAutoReversal`: owed, and nobody sends it.
    NotReversed {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
    },
    /// An answer to a request after its deadline.
    Late {
        /// The transaction.
        id: TxId,
        /// The answer's MTI.
        mti: Mti,
        /// Its key.
        key: MatchKey,
        /// What its response code means.
        class: RequestClass,
    },
    /// An answer to our reversal, or to an advice that is carried on, after the time of that sending.
    OwedLate {
        /// The transaction.
        id: TxId,
        /// The answer's MTI.
        mti: Mti,
        /// Its key.
        key: MatchKey,
        /// What its response code means.
        class: ReversalClass,
    },
    /// The same answer again, or an answer to an ended transaction that changes nothing.
    Again {
        /// Its key.
        key: MatchKey,
        /// The MTI.
        mti: Mti,
    },
    /// The host approved what it had declined (or said not to know) before.
    ApprovedAfterDecline {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
    },
    /// No transaction has this key.
    Unmatched {
        /// The MTI.
        mti: Mti,
        /// Its key.
        key: Option<MatchKey>,
        /// The pending key most like it.
        nearest: Option<MatchKey>,
        /// Why.
        why: Unmatched,
    },
    /// The client was gone when its answer came.
    ClientGone {
        /// The transaction.
        id: TxId,
        /// Its key.
        key: MatchKey,
        /// What its response code means.
        class: RequestClass,
    },
}

/// Why a transaction is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// No answer by the deadline.
    NoReply,
    /// The link was lost.
    LinkLost,
    /// The client was gone.
    ClientGone,
    /// Approved, but not delivered.
    Undelivered,
    /// Approved after a decline.
    ApprovedAfterDecline,
    /// Approved after its reversal had been answered.
    ApprovedAfterReversal,
    /// The process was stopped.
    Stopped,
    /// Several requests with one key, and no unique best.
    Ambiguous,
    /// An advice of the client's, accepted by us.
    Advice,
    /// Found open in the journal at start.
    Restarted,
    /// A person said so.
    Operator,
}

/// Why a host's message found nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unmatched {
    /// A key field is missing.
    NoKey,
    /// No such key, now or lately.
    UnknownKey,
    /// The key is in flight, but the MTI does not answer it.
    WrongMti,
    /// The key is in flight, but echoed elements differ.
    Disagrees,
    /// Several candidates, none the best.
    Ambiguous,
    /// A host's own request that is not answered.
    HostRequest,
}

/// What was pulled for the link.
#[derive(Debug)]
pub struct Transmit {
    /// Whose it is; `None` for an answer to a host's own request.
    pub id: Option<TxId>,
    /// The message, unframed.
    pub bytes: Bytes,
}
