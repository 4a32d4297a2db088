//! The desk: where connections bring messages to the books, and the ledger is written.

use std::sync::Arc;

use bytes::Bytes;

use super::Summary;
use super::books::{Books, Gate, Note, Policy, Ruling};
use super::codes::AnswerCodes;
use super::facts::{Facts, Kind};
use super::faults::{Dice, Faults, Plan};
use super::ledger::Ledger;
use crate::dialect::Dialect;
use crate::framing::Frame;
use crate::iso8583::{Message, ParseError};
use crate::time::Now;

/// A message as it came to the bank.
pub(crate) struct Incoming {
    /// The message, as far as it could be read.
    pub message: Message,
    /// What the books look at.
    pub facts: Facts,
    /// What its answer has to give back of the frame.
    pub envelope: Bytes,
}

/// What the desk says to a message.
pub(crate) struct Outcome {
    /// The message.
    pub incoming: Incoming,
    /// What the books say.
    pub ruling: Ruling,
    /// What faults strike its answer.
    pub plan: Plan,
}

/// Books, dice and ledger: what all connections share.
pub(crate) struct Desk {
    books: Books,
    dice: Option<Dice>,
    ledger: Option<Ledger>,
    pub summary: Summary,
}

impl Incoming {
    /// Reads a frame. What stands behind a field that cannot be read is missing, and a sale is then answered as a broken
    /// message.
    pub fn read(dialect: &Dialect, frame: Frame) -> Result<Incoming, ParseError> {
        let lenient = Message::parse_lenient(&dialect.schema, frame.payload)?;
        let facts = Facts::of(dialect, &lenient.message, lenient.trouble.is_some());
        Ok(Incoming { message: lenient.message, facts, envelope: frame.envelope })
    }
}

impl Desk {
    /// A desk with empty books.
    pub fn new(dialect: &Dialect, policy: Policy, faults: Faults, ledger: Option<Ledger>) -> Desk {
        let dice = Dice::new(faults, policy.seed);
        Desk { books: Books::new(dialect, policy), dice, ledger, summary: Summary::default() }
    }

    /// The codes that the outcomes speak of.
    pub fn codes(&self) -> &Arc<AnswerCodes> {
        self.books.codes()
    }

    /// Takes one message. `None`: it waits for its reversal and was put into `parked`, as a fault wants.
    pub fn take(&mut self, now: Now, incoming: Incoming, parked: &mut Vec<Incoming>) -> Option<Outcome> {
        self.summary.messages += 1;
        let facts = &incoming.facts;
        let is_network = facts.kind == Kind::Network;
        let plan = match &mut self.dice {
            None => Plan::default(),
            Some(dice) => dice.plan(&facts.tid, facts.stan, is_network),
        };
        let may_wait = facts.kind == Kind::Sale && !facts.mti.is_repeat() && parked.len() < PARKED_MAX;
        if plan.awaits_reversal && may_wait && !plan.is_dropped {
            parked.push(incoming);
            return None;
        }
        Some(self.rule(now, incoming, plan))
    }

    /// Takes a sale that waited: its reversal has come, or will not.
    pub fn take_parked(&mut self, now: Now, incoming: Incoming) -> Outcome {
        self.rule(now, incoming, Plan::default())
    }

    /// Has the ledger written.
    pub fn hand_over(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.hand_over();
        }
    }

    /// Gives the ledger away, to be closed.
    pub fn take_ledger(&mut self) -> Option<Ledger> {
        self.ledger.take()
    }

    fn rule(&mut self, now: Now, incoming: Incoming, plan: Plan) -> Outcome {
        let gate = match plan {
            Plan { is_dropped: true, .. } => Gate::Lose,
            Plan { fails_reversal: true, .. } => Gate::FailReversal,
            _ => Gate::Open,
        };
        let ruling = self.books.take(&incoming.facts, gate);
        if let Some(note) = ruling.note {
            self.summary.count(note);
            if let Some(ledger) = &mut self.ledger {
                let code = ruling.code.map(|code| self.books.codes().text(code));
                ledger.note(now.wall_ms, note, &ruling.about, incoming.facts.mti, code);
            }
        }
        Outcome { incoming, ruling, plan }
    }
}

/// How many sales of one connection may wait for their reversals at a time. More are not kept waiting.
const PARKED_MAX: usize = 1000;

impl Summary {
    fn count(&mut self, note: Note) {
        *match note {
            Note::Booked => &mut self.booked,
            Note::Declined => &mut self.declined,
            Note::Lost => &mut self.lost,
            Note::Reversed => &mut self.reversed,
            Note::ReversalRepeat => &mut self.reversal_repeats,
            Note::ReversalNotFound => &mut self.reversals_not_found,
            Note::ReversalError => &mut self.reversal_errors,
            Note::LateOriginalRefused => &mut self.late_originals_refused,
            Note::DuplicateSale => &mut self.duplicate_sales,
            Note::SaleRepeat => &mut self.sale_repeats,
        } += 1;
    }
}
