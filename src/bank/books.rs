//! The bank's books: which sale is taken, which refused, which undone. Pure: no I/O, no clock, no chance.
//!
//! | message | answer | books |
//! |---|---|---|
//! | 0800 | 0810, approved | – |
//! | 0100, 0200, no card or no amount | 0110/0210, 005 (openWay: 14, 13) | declined |
//! | amount …777 | the leading digits as the code, if the dialect knows it (also below 100, D24), else approved | nothing is taken from the account |
//! | amount …888, the card has an account | approved | its balance becomes the leading digits |
//! | any other | approved with DE 2, 37, 38, or 116 (51) when the balance is too small | the account is debited |
//! | processing code 20xxxx | the same answer | the account is credited (SocketQueue's debits it) |
//! | 0101, 0201 of a known sale | as the first was | – |
//! | the same 0200 again (TID, STAN, DE 12) | as a new one | booked again, under another RRN, as by a host that does not look |
//! | 0120, 0220 | 0130/0230, approved | debited whatever the balance; again: the same answer, booked once |
//! | 0400, 0420 and repeats, original booked | 0410/0430, approved | undone; again: the same answer |
//! | …, original unknown | 914 (25) | remembered: its original is refused (100, 05) when it comes |
//! | …, original declined, refused or lost | 914 (25) | – |
//! | a broken message | 120 (30) | – |
//!
//! Whatever an 0100 or 0200 is approved with, magic or not, counts as booked and can be reversed (which gives back what
//! was taken: nothing, after a magic answer), so that the ledger never lacks an approval that went out.

use std::sync::Arc;

use super::accounts::{ACCOUNTS_MAX, AccountId, Accounts};
use super::codes::{AnswerCodes, Code};
use super::facts::{Facts, Kind};
use super::sales::{Label, Name, REMEMBERED_MAX, Sale, SaleId, Sales, State};
use crate::dialect::{Codes, Dialect, RequestClass};

/// What the bank allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Accounts never run dry.
    pub unlimited: bool,
    /// Amounts …777 and …888 play their tricks.
    pub magic: bool,
    /// How many sales are remembered.
    pub remembered_max: usize,
    /// How many accounts there can be.
    pub accounts_max: usize,
    /// Where the numbering of RRNs begins.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            unlimited: false,
            magic: true,
            remembered_max: REMEMBERED_MAX,
            accounts_max: ACCOUNTS_MAX,
            seed: 0,
        }
    }
}

/// What a fault does to a message before the books see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing.
    Open,
    /// It is lost: neither booked nor answered.
    Lose,
    /// The first reversal of a sale is answered with an error, undoing nothing.
    FailReversal,
}

/// What the ledger says of a message. The names are those of the independent bank's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Note {
    Booked,
    Declined,
    Lost,
    Reversed,
    ReversalRepeat,
    ReversalNotFound,
    ReversalError,
    LateOriginalRefused,
    DuplicateSale,
    SaleRepeat,
}

/// What the books say to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// The line for the ledger, if it gets one.
    pub note: Option<Note>,
    /// DE 39 of the answer; `None`: no answer.
    pub code: Option<Code>,
    /// DE 37 of the answer, when the bank gives one.
    pub rrn: Option<u64>,
    /// Whether the answer shows the card (DE 2) and an approval code (DE 38).
    pub is_debited: bool,
    /// The sale that it is about: for a reversal its original.
    pub about: About,
}

/// The sale that a line of the ledger is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct About {
    /// DE 41.
    pub tid: Label<16>,
    /// DE 11.
    pub stan: Option<u32>,
    /// DE 12.
    pub local_time: Label<12>,
    /// DE 4.
    pub amount: u64,
    /// The RRN that the bank gave.
    pub rrn: Option<u64>,
}

/// The books.
pub(crate) struct Books {
    policy: Policy,
    codes: Arc<AnswerCodes>,
    classes: Codes,
    accounts: Accounts,
    sales: Sales,
    rrns: u64,
}

/// RRNs have twelve digits.
const RRN_COUNT: u64 = 1_000_000_000_000;

impl Books {
    /// Empty books, with the codes of `dialect`.
    pub fn new(dialect: &Dialect, policy: Policy) -> Books {
        Books {
            policy,
            codes: Arc::new(AnswerCodes::of(dialect)),
            classes: dialect.codes.clone(),
            accounts: Accounts::new(policy.accounts_max),
            sales: Sales::new(policy.remembered_max),
            rrns: policy.seed % RRN_COUNT,
        }
    }

    /// The codes that [`Ruling::code`] speaks of.
    pub fn codes(&self) -> &Arc<AnswerCodes> {
        &self.codes
    }

    /// Takes a message into the books.
    pub fn take(&mut self, facts: &Facts, gate: Gate) -> Ruling {
        match facts.kind {
            Kind::Other => self.silence(facts, None),
            Kind::Network if gate == Gate::Lose => self.silence(facts, None),
            Kind::Network => {
                let rrn = Some(self.next_rrn());
                Ruling { rrn, ..self.answer(facts, None, self.codes.approved) }
            }
            Kind::Sale => self.sale(facts, gate),
            Kind::Advice => self.advice(facts, gate),
            Kind::Reversal => self.reversal(facts, gate),
        }
    }

    fn sale(&mut self, facts: &Facts, gate: Gate) -> Ruling {
        let known = facts.name().and_then(|name| self.known(&name, facts));
        if gate == Gate::Lose {
            if known.is_none() {
                self.remember(facts, State::Lost, self.codes.approved, None, None);
            }
            return self.silence(facts, Some(Note::Lost));
        }
        if facts.is_broken {
            return self.answer(facts, Some(Note::Declined), self.codes.invalid);
        }
        let Some(id) = known else { return self.authorize(facts, None) };
        match self.sales.get(id).state {
            State::Awaited | State::Refused => {
                self.refuse_late_original(id, facts);
                self.rule_on(id, Note::LateOriginalRefused, self.codes.not_honoured)
            }
            State::Lost if facts.mti.is_repeat() => self.authorize(facts, Some(id)),
            _ if facts.mti.is_repeat() => {
                let first = self.sales.get(id);
                if first.state == State::Reversed {
                    return self.rule_on(id, Note::SaleRepeat, self.codes.not_honoured);
                }
                let (code, rrn, is_debited) = (first.code, first.rrn, first.charged.is_some());
                Ruling { rrn, is_debited, ..self.rule_on(id, Note::SaleRepeat, code) }
            }
            _ => {
                let ruling = self.authorize(facts, None);
                let note =
                    if ruling.note == Some(Note::Booked) { Some(Note::DuplicateSale) } else { ruling.note };
                Ruling { note, ..ruling }
            }
        }
    }

    /// Decides on a sale that is new, or that a fault had lost (`lost`).
    fn authorize(&mut self, facts: &Facts, lost: Option<SaleId>) -> Ruling {
        let (state, code, charge) = self.decide(facts);
        if facts.is_inquiry && state == State::Booked {
            return self.answer(facts, None, code);
        }
        let account = charge.and_then(|_| self.accounts.find(facts.pan?));
        let charged = account.zip(charge);
        if let Some((account, charge)) = charged {
            self.accounts.charge(account, charge);
        }
        // SocketQueue gives an RRN to what it debits only.
        let rrn = charged.is_some().then(|| self.next_rrn());
        let id = match lost {
            None => self.remember(facts, state, code, charged, rrn),
            Some(id) => {
                self.sales.change(id, |sale| {
                    (sale.state, sale.code, sale.charged, sale.rrn) = (state, code, charged, rrn);
                    (sale.amount, sale.pan) = (facts.amount.unwrap_or(0), facts.pan);
                });
                id
            }
        };
        let note = if state == State::Booked { Note::Booked } else { Note::Declined };
        Ruling { rrn, is_debited: charged.is_some(), ..self.rule_on(id, note, code) }
    }

    /// What becomes of a sale, its answer, and what its account is charged (nothing by magic answers and inquiries).
    fn decide(&mut self, facts: &Facts) -> (State, Code, Option<i128>) {
        let codes = &self.codes;
        let Some(pan) = facts.pan else { return (State::Declined, codes.no_account, None) };
        if facts.is_inquiry {
            return (State::Booked, codes.approved, None);
        }
        let Some(amount) = facts.amount.filter(|&amount| amount > 0) else {
            return (State::Declined, codes.no_amount, None);
        };
        let (leading, trick) = (amount / 1000, if self.policy.magic { amount % 1000 } else { 0 });
        if trick == 777 {
            let code = codes.numbered(leading).unwrap_or(codes.approved);
            let is_approved =
                self.classes.of_request(Some(codes.text(code).as_bytes())) == RequestClass::Approved;
            return (if is_approved { State::Booked } else { State::Declined }, code, None);
        }
        if trick == 888
            && let Some(account) = self.accounts.find(pan)
        {
            self.accounts.set_balance(account, i128::from(leading));
            return (State::Booked, codes.approved, None);
        }
        let Some(account) = self.accounts.open(pan) else { return (State::Declined, codes.no_account, None) };
        let amount = i128::from(amount);
        let charge = if facts.is_refund { -amount } else { amount };
        if !self.policy.unlimited && charge > 0 && charge > self.accounts.balance(account) {
            return (State::Declined, codes.funds, None);
        }
        (State::Booked, codes.approved, Some(charge))
    }

    fn advice(&mut self, facts: &Facts, gate: Gate) -> Ruling {
        if gate == Gate::Lose {
            return self.silence(facts, None);
        }
        if facts.is_broken {
            return self.answer(facts, None, self.codes.invalid);
        }
        let approved = self.codes.approved;
        if let Some(id) = facts.name().and_then(|name| self.known(&name, facts)) {
            let mut note = None;
            if self.sales.get(id).state == State::Awaited {
                // It may not be declined, and its reversal is already here: both together are nothing.
                self.refuse_late_original(id, facts);
                note = Some(Note::LateOriginalRefused);
            }
            return self.answer(facts, note, approved);
        }
        let amount =
            facts.amount.map(|amount| if facts.is_refund { -i128::from(amount) } else { i128::from(amount) });
        let account = facts.pan.and_then(|pan| self.accounts.open(pan));
        let charged = account.zip(amount);
        if let Some((account, charge)) = charged {
            self.accounts.charge(account, charge);
        }
        self.remember(facts, State::Booked, approved, charged, None);
        self.answer(facts, None, approved)
    }

    fn reversal(&mut self, facts: &Facts, gate: Gate) -> Ruling {
        if gate == Gate::Lose {
            return self.silence(facts, Some(Note::Lost));
        }
        if facts.is_broken {
            return self.answer(facts, Some(Note::ReversalError), self.codes.invalid);
        }
        let Some(id) = self.original(facts) else {
            self.await_original(facts);
            return self.answer(facts, Some(Note::ReversalNotFound), self.codes.not_found);
        };
        let sale = self.sales.get(id);
        match sale.state {
            State::Booked if gate == Gate::FailReversal && !sale.reversal_failed => {
                self.sales.change(id, |sale| sale.reversal_failed = true);
                self.rule_on(id, Note::ReversalError, self.codes.try_again)
            }
            State::Booked => {
                if let Some((account, charge)) = sale.charged {
                    self.accounts.charge(account, -charge);
                }
                self.sales.change(id, |sale| sale.state = State::Reversed);
                self.rule_on(id, Note::Reversed, self.codes.approved)
            }
            State::Reversed => self.rule_on(id, Note::ReversalRepeat, self.codes.approved),
            State::Awaited | State::Declined | State::Refused | State::Lost => {
                self.rule_on(id, Note::ReversalNotFound, self.codes.not_found)
            }
        }
    }

    /// The sale that a reversal undoes: by RRN and card (its TID where one of them has no card), else by the names that
    /// it gives and the TID. The amount must be the same wherever the reversal has one.
    fn original(&self, facts: &Facts) -> Option<SaleId> {
        let is_same_amount = |sale: &Sale| facts.amount.is_none_or(|amount| amount == sale.amount);
        let by_rrn = facts.rrn.and_then(|rrn| self.sales.by_rrn(rrn)).filter(|&id| {
            let sale = self.sales.get(id);
            is_same_amount(sale)
                && match (sale.pan, facts.pan) {
                    (Some(its), Some(given)) => its == given,
                    _ => sale.name.is_some_and(|name| name.tid == facts.tid),
                }
        });
        by_rrn.or_else(|| {
            facts.original_names().find_map(|(name, by_sent_at)| {
                let id =
                    if by_sent_at { self.sales.by_sent_at(&name) } else { self.sales.by_local_time(&name) };
                id.filter(|&id| {
                    self.sales.get(id).state == State::Awaited || is_same_amount(self.sales.get(id))
                })
            })
        })
    }

    /// Remembers a reversal whose original has not come, under the name by which it will.
    fn await_original(&mut self, facts: &Facts) {
        let Some((name, by_sent_at)) = facts.original_names().next() else { return };
        let sent_at = if by_sent_at { name.time } else { [0; 12] };
        // DE 90 does not tell the original's DE 12; a clone of the original has it all the same.
        let name = if by_sent_at { Name { time: facts.local_time, ..name } } else { name };
        // A sale of that name with another amount is here, and must not be hidden by what never comes.
        if self.sales.by_local_time(&name).is_some() {
            return;
        }
        let id = self.remember(facts, State::Awaited, self.codes.not_found, None, None);
        self.sales.change(id, |sale| (sale.name, sale.sent_at) = (Some(name), sent_at));
    }

    /// What the bank remembers under that name. What it only awaits may be known by DE 7 alone, and is remembered as a
    /// sale: a reversal does not say whether its original is an advice.
    fn known(&self, name: &Name, facts: &Facts) -> Option<SaleId> {
        if let Some(id) = self.sales.by_local_time(name) {
            return Some(id);
        }
        let is_awaited = |id: &SaleId| self.sales.get(*id).state == State::Awaited;
        let sale = Name { is_advice: false, ..*name };
        let by_local_time = if name.is_advice { self.sales.by_local_time(&sale) } else { None };
        let by_sent_at = || self.sales.by_sent_at(&Name { time: facts.sent_at, ..sale });
        by_local_time.filter(is_awaited).or_else(|| by_sent_at().filter(is_awaited))
    }

    fn refuse_late_original(&mut self, id: SaleId, facts: &Facts) {
        let code = self.codes.not_honoured;
        self.sales.change(id, |sale| {
            (sale.state, sale.code, sale.name, sale.sent_at) =
                (State::Refused, code, facts.name(), facts.sent_at);
            (sale.amount, sale.pan) = (facts.amount.unwrap_or(0), facts.pan);
        });
    }

    fn remember(
        &mut self,
        facts: &Facts,
        state: State,
        code: Code,
        charged: Option<(AccountId, i128)>,
        rrn: Option<u64>,
    ) -> SaleId {
        self.sales.insert(Sale {
            name: facts.name(),
            sent_at: facts.sent_at,
            amount: facts.amount.unwrap_or(0),
            pan: facts.pan,
            charged,
            rrn,
            code,
            state,
            reversal_failed: false,
        })
    }

    /// A twelve-digit number that was not given before: a walk through all of them in big steps.
    fn next_rrn(&mut self) -> u64 {
        // Odd and no multiple of five, so that the walk meets every number before it meets one twice.
        const STEP: u64 = 618_033_988_749;
        self.rrns = (self.rrns + STEP) % RRN_COUNT;
        self.rrns
    }

    fn answer(&self, facts: &Facts, note: Option<Note>, code: Code) -> Ruling {
        Ruling { code: Some(code), ..self.silence(facts, note) }
    }

    fn silence(&self, facts: &Facts, note: Option<Note>) -> Ruling {
        let about = About {
            tid: facts.tid,
            stan: facts.stan,
            local_time: facts.local_time,
            amount: facts.amount.unwrap_or(0),
            rrn: None,
        };
        Ruling { note, code: None, rrn: None, is_debited: false, about }
    }

    fn rule_on(&self, id: SaleId, note: Note, code: Code) -> Ruling {
        let sale = self.sales.get(id);
        let mut about = About { amount: sale.amount, rrn: sale.rrn, ..About::default() };
        if let Some(name) = sale.name {
            (about.tid, about.stan, about.local_time) = (name.tid, Some(name.stan), name.time);
        }
        Ruling { note: Some(note), code: Some(code), rrn: None, is_debited: false, about }
    }
}

impl Note {
    /// Its name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Note::Booked => "booked",
            Note::Declined => "declined",
            Note::Lost => "lost",
            Note::Reversed => "reversed",
            Note::ReversalRepeat => "reversal_repeat",
            Note::ReversalNotFound => "reversal_not_found",
            Note::ReversalError => "reversal_error",
            Note::LateOriginalRefused => "late_original_refused",
            Note::DuplicateSale => "duplicate_sale",
            Note::SaleRepeat => "sale_repeat",
        }
    }
}

#[cfg(test)]
mod tests;
