//! What the statistics server tells: amounts, faults and packets, counted where requests are taken and answers matched.
//!
//! The names and what they mean are SocketQueue's (`statServerPort`); amounts are integers in minor units. Two of its
//! defects are corrected: faults of reversals (0410) are counted too, and a reversal takes back exactly what its sale had
//! brought, so that undoing what was never approved changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::core::Mux;
use super::event::TxId;
use super::transaction::Owing;
use crate::dialect::{RequestClass, ReversalClass};
use crate::iso8583::{Message, Mti, decimal, field};
use crate::rules::{Answer, Request};
use crate::time::Now;

/// Kinds of messages counted apart; further ones count in the total only.
const PACKET_KINDS_MAX: usize = 64;
/// Response codes counted apart; further ones, and those too long to be a code, count as [`FaultCode::Other`].
const FAULT_CODES_MAX: usize = 1000;
/// DE 39 has two characters (1987) or three digits (1993).
const CODE_LEN_MAX: usize = 3;
/// DE 3 of a refund begins with these (ISO 8583, transaction type 20: returns).
const REFUND: &[u8] = b"20";

/// The numbers of the statistics server. Amounts are in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// `securedAmount`: approved sales, less approved refunds, less what was reversed of them.
    pub secured: i64,
    /// `processedAmount`: all sales taken, refunds included, whatever became of them.
    pub processed: i64,
    /// `refundAmount`: approved refunds.
    pub refunded: i64,
    /// `reversalAmount`: accepted reversals.
    pub reversed: i64,
    /// `faultStat`: answers to sales and reversals by response code, other than zero.
    pub faults: BTreeMap<FaultCode, u64>,
    /// `packetCount` by kind, in the order in which they first came.
    pub packets: Vec<(Mti, u64)>,
    /// `packetCount`, `total`.
    pub packets_total: u64,
}

/// A response code, as the statistics name it. Numbers come first, in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultCode {
    /// All digits; leading zeros do not count.
    Number(u16),
    /// Anything else.
    Text(SmallVec<[u8; 8]>),
    /// Too long for a code, or one too many.
    Other,
}

/// What is noted of one transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    /// Its amount, where it was read when it was taken.
    pub(super) amount: Option<i64>,
    /// What it brought to the secured amount and was not taken back yet.
    pub(super) secured: i64,
    /// What the host said of it.
    pub(super) class: Option<RequestClass>,
    /// When the answer came (uptime).
    pub(super) answered_at: Duration,
}

impl FaultCode {
    /// The code of a message; `None`: none, or zero.
    #[inline(always)]
    fn of(answer: &Message) -> Option<FaultCode> {
        let code = answer.value(field::RESPONSE_CODE)?;
        if code.len() > CODE_LEN_MAX {
            return Some(FaultCode::Other);
        }
        // Nearly all.
        if code.iter().all(|digit| *digit == b'0') {
            return None;
        }
        if !code.iter().all(u8::is_ascii_digit) {
            return Some(FaultCode::Text(SmallVec::from_slice(&code)));
        }
        let number = code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        (number != 0).then_some(FaultCode::Number(number))
    }
}

impl Statistics {
    /// Adds what another upstream counted.
    pub fn add(&mut self, other: &Statistics) {
        self.secured = self.secured.saturating_add(other.secured);
        self.processed = self.processed.saturating_add(other.processed);
        self.refunded = self.refunded.saturating_add(other.refunded);
        self.reversed = self.reversed.saturating_add(other.reversed);
        for (code, count) in &other.faults {
            self.fault(code.clone(), *count);
        }
        for (mti, count) in &other.packets {
            self.packet_kind(*mti, *count);
        }
        self.packets_total += other.packets_total;
    }

    /// A request was taken. The amount of a sale.
    pub(super) fn taken(&mut self, request: &Request) -> Option<i64> {
        self.packet(request.mti());
        let amount = if is_sale(request.mti()) { amount(request.message()) } else { None };
        self.processed = self.processed.saturating_add(amount.unwrap_or(0));
        amount
    }

    /// A message of this kind went or came.
    pub(super) fn packet(&mut self, mti: Mti) {
        self.packets_total += 1;
        self.packet_kind(mti, 1);
    }

    fn packet_kind(&mut self, mti: Mti, by: u64) {
        if let Some((_, count)) = self.packets.iter_mut().find(|(kind, _)| *kind == mti) {
            *count += by;
        } else if self.packets.len() < PACKET_KINDS_MAX {
            self.packets.push((mti, by));
        }
    }

    fn fault(&mut self, code: FaultCode, by: u64) {
        let has_room = self.faults.len() < FAULT_CODES_MAX || self.faults.contains_key(&code);
        *self.faults.entry(if has_room { code } else { FaultCode::Other }).or_default() += by;
    }

    /// The host answered a request, of which `asked` is the amount if it is known. What a sale brings to the secured
    /// amount.
    fn answered(&mut self, request: &Message, asked: Option<i64>, answer: &Answer) -> i64 {
        self.packet(answer.mti());
        let mti = request.mti();
        if (is_sale(mti) || mti.is_reversal())
            && let Some(code) = FaultCode::of(answer.message())
        {
            self.fault(code, 1);
        }
        if !is_sale(mti) || answer.request_class() != RequestClass::Approved {
            return 0;
        }
        // A partial approval says what it approves.
        let amount = match asked {
            Some(asked) if answer.agrees_with(request, &[field::AMOUNT]) => asked,
            _ => amount(answer.message()).or_else(|| amount(request)).unwrap_or(0),
        };
        let mut secured = amount;
        if is_refund(request) {
            secured = -amount;
            self.refunded = self.refunded.saturating_add(amount);
        }
        self.secured = self.secured.saturating_add(secured);
        secured
    }

    /// The host accepted a reversal: `undone` is what its sale had brought.
    fn reversal_accepted(&mut self, amount: i64, undone: i64) {
        self.reversed = self.reversed.saturating_add(amount);
        self.secured = self.secured.saturating_sub(undone);
    }
}

/// 0200 and its repeat, of any version: what the original's amounts are about.
fn is_sale(mti: Mti) -> bool {
    mti.class() == 2 && !mti.is_advice()
}

#[inline(always)]
fn is_refund(message: &Message) -> bool {
    message.value(field::PROCESSING_CODE).is_some_and(|code| code.starts_with(REFUND))
}

/// DE 4: at most twelve digits in every dialect. `None` when it is not there or no number.
#[inline(always)]
fn amount(message: &Message) -> Option<i64> {
    let digits = message.value(field::AMOUNT)?;
    decimal(&digits)
}

impl Mux {
    /// The numbers of the statistics server.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Sets them: to zero (`Default`), or to what they were before a restart. Nothing else is touched.
    pub fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
        // What was brought before belongs to numbers that are gone.
        self.transactions.iter_mut().for_each(|transaction| transaction.noted.secured = 0);
        self.keys.forget_secured();
    }

    /// The host answered the request of `id`.
    pub(super) fn note_answer(&mut self, now: Now, id: TxId, answer: &Answer) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.noted.class = Some(answer.request_class());
        transaction.noted.answered_at = now.uptime;
        if let Some(left_at) = transaction.left_at {
            self.timings.round_trip.record(now.uptime.saturating_sub(left_at));
        }
        let (request, asked) = (transaction.request.message(), transaction.noted.amount);
        let secured = self.statistics.answered(request, asked, answer);
        transaction.noted.secured += secured;
        if transaction.request.mti().is_reversal() && answer.reversal_class() == ReversalClass::Accepted {
            self.note_own_reversal(id);
        }
    }

    /// The host answered the reversal, or the carried-on advice, of `id`.
    pub(super) fn note_owed_answer(&mut self, id: TxId, answer: &Answer) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let ours = matches!(transaction.owed().map(|owed| &owed.what), Some(Owing::Reversal(_)));
        let own = !ours && transaction.request.mti().is_reversal();
        self.statistics.packet(answer.mti());
        if !ours && !own {
            return;
        }
        if let Some(code) = FaultCode::of(answer.message()) {
            self.statistics.fault(code, 1);
        }
        if answer.reversal_class() != ReversalClass::Accepted {
            return;
        }
        if own {
            return self.note_own_reversal(id);
        }
        let undone = std::mem::take(&mut transaction.noted.secured);
        let amount = amount(transaction.request.message()).unwrap_or(0);
        self.statistics.reversal_accepted(amount, undone);
    }

    /// The host accepted a reversal of the client's own: it takes back what the sale that it names had brought. Of a sale
    /// that is not remembered, the host's word is taken that there was something to undo.
    fn note_own_reversal(&mut self, id: TxId) {
        let Some(request) = self.transactions.get(id).map(|transaction| &transaction.request) else { return };
        let amount = amount(request.message()).unwrap_or(0);
        let unknown = if is_refund(request.message()) { -amount } else { amount };
        let index = request.original_key(&self.settings.key_fields).and_then(|key| self.keys.find(&key));
        let Some(index) = index else { return self.statistics.reversal_accepted(amount, unknown) };
        let live = self.keys.get(index).map(|slot| slot.live.clone()).unwrap_or_default();
        let mut found = None;
        for other in live {
            let Some(sale) = self.transactions.get_mut(other).filter(|sale| is_sale(sale.request.mti()))
            else {
                continue;
            };
            *found.get_or_insert(0) += std::mem::take(&mut sale.noted.secured);
        }
        if let Some(secured) = self.keys.take_secured(index, |mti| is_sale(mti) || mti.is_reversal()) {
            *found.get_or_insert(0) += secured;
        }
        self.statistics.reversal_accepted(amount, found.unwrap_or(unknown));
    }
}
