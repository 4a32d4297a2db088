//! What is known of a request's key: whether it is one of its own, repeats another one, joins what is under way, or must
//! not go out.

use bytes::Bytes;

use super::action::{Fact, Failure, JournalOp};
use super::core::Mux;
use super::event::TxId;
use super::keys::{KeyIndex, TombKind};
use super::mutant::Mutant;
use super::transaction::{OwedState, Phase};
use crate::dialect::RequestClass;
use crate::rules::{MakeGood, Request};

/// What the mux knows of a request's key.
pub(super) enum Known {
    /// Nothing that matters: it is a transaction of its own.
    Stranger,
    /// It repeats a transaction that is still on its way.
    Repeats(TxId),
    /// It repeats a transaction whose answer was delivered, and can still turn out undelivered.
    WasDelivered(TxId),
    /// It repeats a transaction whose answer was delivered; here it is again.
    HasAnswer(Bytes, RequestClass),
    /// It asks for what we are doing already.
    Joins(TxId),
    /// It must not go out.
    Refused(Failure),
}

impl Mux {
    /// What is known of a request's key, which stands at `index`, itself (`except`) left aside.
    pub(super) fn known(&mut self, request: &Request, index: KeyIndex, except: Option<TxId>) -> Known {
        let Some(slot) = self.keys.get(index) else { return Known::Stranger };
        let mti = request.mti();
        let repeats = mti.is_repeat() && request.make_good() != MakeGood::Nothing;
        let mut superseded = None;
        for id in slot.live.iter().copied().filter(|id| Some(*id) != except) {
            let Some(other) = self.transactions.get(id) else { continue };
            let same = other.request.mti().first() == mti.first();
            let repeats = repeats && same && request.is_same_as(&other.request, &self.settings.echoed);
            match &other.phase {
                _ if repeats && self.mutant(Mutant::RepeatIsStranger) => {}
                Phase::Queued | Phase::Committing | Phase::Ready | Phase::InFlight if repeats => {
                    return Known::Repeats(id);
                }
                Phase::Delivered(_) if repeats => return Known::WasDelivered(id),
                // With the lock on it waits behind that answer and finds out on its turn what became of it.
                Phase::Answered(_) if repeats && other.terminal.is_none() => {
                    return Known::Refused(Failure::KeyReserved);
                }
                Phase::Owed(owed) => {
                    let reversing = other.make_good() == MakeGood::Reverse;
                    if repeats && reversing {
                        return Known::Refused(Failure::BeingReversed);
                    }
                    match owed.state {
                        OwedState::Parked | OwedState::Listed => superseded = Some(id),
                        // For that sale, not for another one with its key: by terminal and amount, for a client may
                        // give its reversal a time of its own.
                        _ if reversing && mti.is_reversal() && request.is_same_as(&other.request, &[]) => {
                            return Known::Joins(id);
                        }
                        // The same advice again, not another one that happens to have its key.
                        _ if !reversing
                            && same
                            && request.is_same_as(&other.request, &self.settings.echoed) =>
                        {
                            return Known::Joins(id);
                        }
                        _ if self.mutant(Mutant::ReservedKeyIgnored) => {}
                        _ => return Known::Refused(Failure::KeyReserved),
                    }
                }
                _ => {}
            }
        }
        if repeats {
            let echoed = &self.settings.echoed;
            for (_, tomb) in self.keys.tombs(index).filter(|(_, tomb)| tomb.mti.first() == mti.first()) {
                match &tomb.kind {
                    TombKind::Settled(Some((bytes, class))) if request.is_answered_in(bytes, echoed) => {
                        return Known::HasAnswer(bytes.clone(), *class);
                    }
                    TombKind::Unsettled(ended, Some((bytes, class))) if request.is_same_as(ended, echoed) => {
                        return Known::HasAnswer(bytes.clone(), *class);
                    }
                    TombKind::Reversed(ended) if request.is_same_as(&ended.0, echoed) => {
                        return Known::Refused(Failure::Reversed);
                    }
                    _ => {}
                }
            }
        }
        if let Some(id) = superseded {
            self.supersede(id);
        }
        Known::Stranger
    }

    /// The key of a parked or listed one is used again: a repeat of it could undo the new transaction.
    fn supersede(&mut self, id: TxId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Some(key) = self.keys.get(transaction.key).map(|slot| slot.key.clone()) else { return };
        let Some(owed) = transaction.owed_mut() else { return };
        let is_news = !std::mem::replace(&mut owed.superseded, true);
        if is_news {
            self.journal(|| JournalOp::Superseded { id });
        }
        self.fact(Fact::Superseded { id, key });
    }
}
