//! Words for what happens on an upstream: the core's facts and the link's troubles, as log lines and counters.
//!
//! Message texts are constant and values stand in keys. A key may hold a PAN where `queueMessageKeyFields` names DE 2 or
//! 35; it is masked like any free text.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use slog::{Drain, Logger, debug, error, info, warn};

use super::counts::Counts;
use super::shown_key::Shown;
use super::words;
use crate::dialect::{RequestClass, ReversalClass};
use crate::iso8583::mask::MaskStyle;
use crate::iso8583::{Mti, ParseError};
use crate::mux::{Doubt, Fact, Failure, FinalState, TxId};
use crate::rules::{KeyFields, MatchKey};

/// Causes of trouble that are remembered as logged; when there are more, further ones are only counted.
const CAUSES_MAX: usize = 64;

/// Counters of the link itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTally {
    /// Whether there is a link now.
    pub up: bool,
    /// Links that came up.
    pub connects: u64,
    /// Links that were lost or closed.
    pub losses: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Second connections turned away.
    pub refused: u64,
    /// Bytes from the host.
    pub bytes_in: u64,
    /// Bytes to the host.
    pub bytes_out: u64,
    /// Host messages that could not be read at all, or not far enough to be matched.
    pub unparseable: u64,
    /// Host replies that were delivered although they could not be read to their end.
    pub troubled: u64,
    /// Host replies refused by `strictReplies`.
    pub strict_refused: u64,
}

/// Logs and counts.
pub(super) struct Report {
    log: Logger,
    mask: MaskStyle,
    key_fields: KeyFields,
    causes: HashSet<String>,
    last_reversal: Option<TxId>,
    about: Option<TxId>,
    pub(super) link: LinkTally,
    pub(super) counts: Counts,
}

impl Report {
    pub(super) fn new(log: Logger, mask: MaskStyle, key_fields: KeyFields) -> Report {
        Report {
            log,
            mask,
            key_fields,
            causes: HashSet::new(),
            last_reversal: None,
            about: None,
            link: LinkTally::default(),
            counts: Counts::default(),
        }
    }

    /// Logs each cause of trouble once more.
    pub(super) fn forget_causes(&mut self) {
        self.causes.clear();
    }

    pub(super) fn link_up(&mut self, peer: SocketAddr) {
        self.link.connects += 1;
        self.link.up = true;
        info!(self.log, "upstream link is up"; "peer" => %peer);
    }

    pub(super) fn link_down(&mut self, why: &Down, pause: Duration) {
        self.link.up = false;
        self.link.losses += 1;
        match why {
            Down::Idle | Down::Stopped => info!(self.log, "upstream link closed"; "reason" => %why),
            _ => warn!(self.log, "upstream link lost"; "reason" => %why, "retry_ms" => millis(pause)),
        }
    }

    pub(super) fn link_failed(&mut self, failure: &std::io::Error, pause: Duration) {
        self.link.failures += 1;
        warn!(self.log, "no upstream link"; "reason" => %failure, "retry_ms" => millis(pause));
    }

    pub(super) fn link_refused(&mut self, peer: SocketAddr) {
        self.link.refused += 1;
        warn!(self.log, "second upstream connection closed: one link at a time"; "peer" => %peer);
    }

    pub(super) fn unparseable(&mut self, error: &ParseError) {
        self.link.unparseable += 1;
        if self.is_new_cause("unparseable", error) {
            warn!(self.log, "host message is not readable, dropped"; "reason" => %error);
        }
    }

    pub(super) fn troubled(&mut self, mti: Mti, trouble: &ParseError) {
        self.link.troubled += 1;
        if self.is_new_cause("troubled", trouble) {
            warn!(self.log, "host reply is not readable to its end, matched all the same";
                "mti" => %mti, "reason" => %trouble);
        }
    }

    pub(super) fn strict_refused(&mut self, mti: Mti, trouble: &ParseError) {
        self.link.strict_refused += 1;
        if self.is_new_cause("strict", trouble) {
            warn!(self.log, "host reply refused by strictReplies"; "mti" => %mti, "reason" => %trouble);
        }
    }

    pub(super) fn not_framed(&self, error: &crate::framing::FrameError) {
        error!(self.log, "a message could not be framed and was not sent"; "reason" => %error);
    }

    /// An answer that nobody waits for any more: the session ended in the same moment.
    pub(super) fn nobody_waits(&self, request: Option<TxId>) {
        debug!(self.log, "reply has no taker"; "request" => %OrNone(request));
    }

    /// A client is told that it gets no answer.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.counts.failure(failure);
    }

    /// What the last fact was about, since this was asked before.
    pub(super) fn take_about(&mut self) -> Option<TxId> {
        self.about.take()
    }

    /// A key, for people.
    pub(super) fn key_pairs(&self, key: &MatchKey) -> Vec<(&'static str, String)> {
        self.shown(key).pairs()
    }

    /// At `vv`: the line that ties a transaction's id to its key.
    pub(super) fn accepted(&self, id: TxId, mti: Mti, key: &MatchKey) {
        debug!(self.log, "request accepted"; "request" => %id, "mti" => %mti, self.shown(key));
    }

    pub(super) fn drained(&self, owed: usize, durable: bool) {
        if owed == 0 {
            info!(self.log, "upstream is at rest");
        } else if durable {
            warn!(self.log, "stopped with reversals owed; they are in the journal"; "owed" => owed);
        } else {
            error!(self.log, "stopped with reversals owed and no journal: reverse them by hand"; "owed" => owed);
        }
    }

    /// Whose reversal was pulled last.
    pub(super) fn last_reversal(&self) -> Option<TxId> {
        self.last_reversal
    }

    /// Counts and words one fact of the core.
    pub(super) fn fact(&mut self, fact: &Fact) {
        self.counts.fact(fact);
        if let Fact::ReversalSent { id, .. } = fact {
            self.last_reversal = Some(*id);
        }
        self.about = about(fact).or(self.about);
        let log = &self.log;
        match fact {
            Fact::Ended { id, mti, key, state, age } => match state {
                FinalState::DeclinedUndelivered | FinalState::Unanswered | FinalState::NeverSent => {
                    info!(log, "transaction ended"; "request" => %id, "mti" => %mti, self.shown(key),
                        "state" => words::state(*state), "age_ms" => millis(*age));
                }
                // What is not logged is not put together: this is each transaction's line.
                _ if !log.is_debug_enabled() => {}
                _ => {
                    debug!(log, "transaction ended"; "request" => %id, "mti" => %mti, self.shown(key),
                        "state" => words::state(*state), "age_ms" => millis(*age));
                }
            },
            Fact::Refused { mti, key, failure } => {
                info!(log, "request refused"; "mti" => %mti, self.shown(key), "reason" => words::failure(*failure));
            }
            Fact::Superseded { id, key } => {
                warn!(log, "a new request uses the key of a parked entry"; "request" => %id, self.shown(key));
            }
            Fact::Reopened { id, was } => {
                warn!(log, "an ended transaction is open again"; "request" => %id, "was" => %was);
            }
            Fact::Recovered { id, was, mti, key, stage } => {
                info!(log, "taken over from the journal"; "request" => %id, "was" => %was, "mti" => %mti,
                    self.shown(key), "stage" => words::stage(*stage));
            }
            Fact::NotRecovered { row } => {
                error!(log, "no room to take a transaction over from the journal"; "row" => row);
            }
            Fact::Listed { id, key, why } => {
                error!(log, "listed, not sent: a person must act"; "request" => %id, self.shown(key),
                    "reason" => words::withheld(*why));
            }
            Fact::Retried { id, key } => {
                warn!(log, "sent on its way again by a person"; "request" => %id, self.shown(key));
            }
            Fact::Resolved { id, key } => {
                warn!(log, "resolved by a person"; "request" => %id, self.shown(key));
            }
            Fact::Owed { id, mti, key, why: Doubt::Advice } => {
                info!(log, "advice is stored and will be forwarded"; "request" => %id, "mti" => %mti, self.shown(key));
            }
            Fact::Owed { id, mti, key, why: Doubt::Stopped } => {
                error!(log, "in doubt when the gateway stopped"; "request" => %id, "mti" => %mti, self.shown(key));
            }
            Fact::Owed { id, mti, key, why } => {
                warn!(log, "in doubt, to be reversed"; "request" => %id, "mti" => %mti, self.shown(key),
                    "reason" => words::doubt(*why));
            }
            Fact::ReversalSent { id, key, attempt } => {
                info!(log, "reversal sent"; "request" => %id, self.shown(key), "attempt" => attempt);
            }
            Fact::ReversalAnswered { id, key, class: ReversalClass::Accepted, attempt } => {
                info!(log, "reversal accepted"; "request" => %id, self.shown(key), "attempt" => attempt);
            }
            Fact::ReversalAnswered { id, key, class, attempt } => {
                warn!(log, "reversal not accepted"; "request" => %id, self.shown(key),
                    "answer" => words::reversal_class(*class), "attempt" => attempt);
            }
            Fact::ReversalUnanswered { id, key, attempt } => {
                warn!(log, "reversal not answered"; "request" => %id, self.shown(key), "attempt" => attempt);
            }
            Fact::Parked { id, key, attempts } => {
                error!(log, "reversal parked: out of tries, a person must act"; "request" => %id, self.shown(key),
                    "attempt" => attempts);
            }
            Fact::ReversalCancelled { id, key } => {
                info!(log, "reversal not needed: the host declined"; "request" => %id, self.shown(key));
            }
            Fact::NotReversed { id, key } => {
                error!(log, "owed and not reversed: noAutoReversal is set"; "request" => %id, self.shown(key));
            }
            Fact::Late { id, mti, key, class } => {
                warn!(log, "late response"; "request" => %id, "mti" => %mti, self.shown(key),
                    "class" => words::class(*class));
            }
            Fact::OwedLate { id, mti, key, class } => {
                warn!(log, "late response to a reversal or advice"; "request" => %id, "mti" => %mti, self.shown(key),
                    "answer" => words::reversal_class(*class));
            }
            Fact::Again { key, mti } => {
                info!(log, "the same response again"; "mti" => %mti, self.shown(key));
            }
            Fact::ApprovedAfterDecline { id, key } => {
                warn!(log, "host approved what it had declined"; "request" => %id, self.shown(key));
            }
            Fact::Unmatched { mti, key: Some(key), nearest, why } => {
                warn!(log, "host message matches nothing"; "mti" => %mti, "reason" => words::unmatched(*why),
                    self.shown(key), "nearest" => %OrNone(nearest.as_ref().map(|key| self.shown(key))));
            }
            Fact::Unmatched { mti, key: None, why, .. } => {
                warn!(log, "host message matches nothing"; "mti" => %mti, "reason" => words::unmatched(*why));
            }
            Fact::ClientGone { id, key, class: RequestClass::Declined } => {
                info!(log, "client was gone when its decline came"; "request" => %id, self.shown(key));
            }
            Fact::ClientGone { id, key, class } => {
                warn!(log, "client was gone when its answer came"; "request" => %id, self.shown(key),
                    "class" => words::class(*class));
            }
        }
    }

    fn is_new_cause(&mut self, kind: &str, error: &ParseError) -> bool {
        let cause = format!("{kind}: {error}");
        if self.causes.contains(&cause) || self.causes.len() >= CAUSES_MAX {
            return false;
        }
        self.causes.insert(cause)
    }

    fn shown<'a>(&'a self, key: &'a MatchKey) -> Shown<'a> {
        Shown { key, fields: &self.key_fields, mask: self.mask }
    }
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Down {
    #[error("the host closed it")]
    Eof,
    #[error("read failed: {0}")]
    Read(std::io::Error),
    #[error("write failed: {0}")]
    Write(std::io::Error),
    #[error("unreadable frame: {0}")]
    Frame(crate::framing::FrameError),
    #[error("no byte could be written for too long")]
    Stalled,
    #[error("idle")]
    Idle,
    #[error("stopping")]
    Stopped,
}

/// The transaction that a fact is about.
fn about(fact: &Fact) -> Option<TxId> {
    match fact {
        Fact::Ended { id, .. }
        | Fact::Superseded { id, .. }
        | Fact::Reopened { id, .. }
        | Fact::Recovered { id, .. }
        | Fact::Listed { id, .. }
        | Fact::Retried { id, .. }
        | Fact::Resolved { id, .. }
        | Fact::Owed { id, .. }
        | Fact::ReversalSent { id, .. }
        | Fact::ReversalAnswered { id, .. }
        | Fact::ReversalUnanswered { id, .. }
        | Fact::Parked { id, .. }
        | Fact::ReversalCancelled { id, .. }
        | Fact::NotReversed { id, .. }
        | Fact::Late { id, .. }
        | Fact::OwedLate { id, .. }
        | Fact::ApprovedAfterDecline { id, .. }
        | Fact::ClientGone { id, .. } => Some(*id),
        Fact::Refused { .. } | Fact::NotRecovered { .. } | Fact::Again { .. } | Fact::Unmatched { .. } => {
            None
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A value, or a dash.
struct OrNone<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}
