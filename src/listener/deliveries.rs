//! How far the answers on one connection have come.
//!
//! An answer is *written* when the socket has taken its last byte, and *acknowledged* when the peer's TCP has. Both are
//! offsets in the stream, so that one number from the socket settles any count of answers.

use std::collections::VecDeque;
use std::time::Duration;

use smallvec::SmallVec;

use crate::mux::TxId;
use crate::upstream::Slot;

/// So many replies may stand unacknowledged; at the bound nothing more is read from that client.
pub(super) const UNACKNOWLEDGED_MAX: usize = 256;
/// The socket is asked for acknowledgements when so many replies wait for one: a system call for every fourth
/// transaction at most.
const ASK_AT: usize = 4;

/// A transaction's answer on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The session's slot.
    pub(super) slot: Slot,
    /// The transaction.
    pub(super) id: TxId,
    /// Whether an undelivered approval is to be made good: only then the acknowledgement matters.
    pub(super) reversible: bool,
}

/// The answers that were given to one connection and are not settled.
#[derive(Default)]
pub(super) struct Deliveries {
    /// Bytes of this connection that its socket has taken so far.
    written: u64,
    /// Not wholly written, in order.
    writing: VecDeque<Writing>,
    /// Wholly written, in order.
    written_out: VecDeque<Written>,
    ask_at: usize,
}

struct Writing {
    end: u64,
    deadline: Duration,
    /// `None`: no transaction's answer.
    answer: Option<Answer>,
}

struct Written {
    end: u64,
    id: TxId,
    /// `Some`: not confirmed as delivered yet, since only the acknowledgement makes it so.
    unconfirmed: Option<Slot>,
}

/// What an acknowledgement settles.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Delivered now.
    pub(super) delivered: SmallVec<[(Slot, TxId); 4]>,
    /// Delivered before.
    pub(super) before: SmallVec<[TxId; 4]>,
}

impl Deliveries {
    /// Something to be written by `deadline` (uptime) ends where the stream will have `end` bytes. `None`: it is no
    /// transaction's answer.
    pub(super) fn push(&mut self, end: u64, deadline: Duration, answer: Option<Answer>) {
        self.writing.push_back(Writing { end, deadline, answer });
    }

    /// When the first of what is being written must be out.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.writing.front().map(|writing| writing.deadline)
    }

    /// The socket has taken `count` more bytes.
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// Bytes that the socket has taken so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The next answer that is wholly written. `confirm_by_ack`: the client has closed its sending side, so that only
    /// the acknowledgement is delivery; the answer then comes out of [`Deliveries::settle`].
    pub(super) fn next_delivered(&mut self, confirm_by_ack: bool) -> Option<Answer> {
        while let Some(writing) = self.writing.front()
            && writing.end <= self.written
        {
            let Writing { end, answer, .. } = self.writing.pop_front()?;
            let Some(answer) = answer else { continue };
            if confirm_by_ack || answer.reversible {
                let unconfirmed = confirm_by_ack.then_some(answer.slot);
                self.written_out.push_back(Written { end, id: answer.id, unconfirmed });
            }
            if !confirm_by_ack {
                return Some(answer);
            }
        }
        None
    }

    /// Whether answers wait for an acknowledgement.
    pub(super) fn awaits_acknowledgement(&self) -> bool {
        !self.written_out.is_empty()
    }

    /// Whether so many wait that nothing more should be read.
    pub(super) fn is_unacknowledged_full(&self) -> bool {
        self.written_out.len() >= UNACKNOWLEDGED_MAX
    }

    /// Whether it is worth asking the socket.
    pub(super) fn is_worth_asking(&self) -> bool {
        self.written_out.len() >= self.ask_at.max(ASK_AT)
    }

    /// The peer has acknowledged all but the last `unacknowledged` bytes written.
    #[inline(always)]
    pub(super) fn settle(&mut self, unacknowledged: usize) -> Settled {
        let acknowledged = self.written.saturating_sub(unacknowledged as u64);
        let mut settled = Settled::default();
        while let Some(written) = self.written_out.front()
            && written.end <= acknowledged
        {
            let Some(written) = self.written_out.pop_front() else { break };
            match written.unconfirmed {
                Some(slot) => settled.delivered.push((slot, written.id)),
                None => settled.before.push(written.id),
            }
        }
        // A peer that acknowledges late must not cost a call for each reply.
        self.ask_at = self.written_out.len() * 2;
        settled
    }

    /// The connection has failed: the answers that were delivered and never acknowledged.
    pub(super) fn undelivered(&mut self) -> SmallVec<[TxId; 4]> {
        self.written_out
            .drain(..)
            .filter(|written| written.unconfirmed.is_none())
            .map(|written| written.id)
            .collect()
    }
}

/// First pause between two looks at what the peer has acknowledged, where that is waited for; doubled up to
/// [`ACK_PAUSE_MAX`]. There is no event for it.
const ACK_PAUSE_FIRST: Duration = Duration::from_millis(1);
/// Longest pause between two such looks.
const ACK_PAUSE_MAX: Duration = Duration::from_millis(64);

/// When to look at what the peer has acknowledged, while progress depends on it (uptimes).
#[derive(Clone, Copy)]
pub(super) struct AckWatch {
    next: Duration,
    pause: Duration,
    give_up: Duration,
}

impl AckWatch {
    /// Looks at once, and gives up before `delivery_timeout` has passed: at its end the core takes the answer for
    /// delivered.
    pub(super) fn new(now: Duration, delivery_timeout: Duration) -> AckWatch {
        AckWatch { next: now, pause: ACK_PAUSE_FIRST, give_up: now + delivery_timeout * 9 / 10 }
    }

    /// When to look next.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// Looked, and there was nothing new. `false`: it is given up.
    pub(super) fn wait_on(&mut self, now: Duration) -> bool {
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(ACK_PAUSE_MAX);
        now < self.give_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(35);

    fn answer(slot: Slot, id: u64, reversible: bool) -> Option<Answer> {
        Some(Answer { slot, id: TxId(id), reversible })
    }

    /// Replies of ten bytes each.
    fn push(deliveries: &mut Deliveries, answer: Option<Answer>) {
        let end = deliveries.writing.back().map_or(deliveries.written, |writing| writing.end) + 10;
        deliveries.push(end, LATER, answer);
    }

    #[test]
    fn a_reply_is_delivered_with_its_last_byte_and_not_before() {
        let mut deliveries = Deliveries::default();
        push(&mut deliveries, answer(0, 1, true));
        push(&mut deliveries, None);
        push(&mut deliveries, answer(1, 2, true));
        deliveries.wrote(9);
        assert_eq!(deliveries.next_delivered(false), None);
        deliveries.wrote(1);
        assert_eq!(deliveries.next_delivered(false), answer(0, 1, true));
        deliveries.wrote(19);
        assert_eq!(deliveries.next_delivered(false), None);
        deliveries.wrote(1);
        assert_eq!(deliveries.next_delivered(false), answer(1, 2, true));
        assert!(deliveries.deadline().is_none());
    }

    #[test]
    fn an_acknowledgement_settles_what_lies_wholly_before_it() {
        let mut deliveries = Deliveries::default();
        for id in 1..=3 {
            push(&mut deliveries, answer(0, id, true));
            deliveries.wrote(10);
            deliveries.next_delivered(false);
        }
        let settled =
            |ids: &[u64]| Settled { before: ids.iter().map(|id| TxId(*id)).collect(), ..Settled::default() };
        assert_eq!(deliveries.settle(21), settled(&[]));
        assert_eq!(deliveries.settle(20), settled(&[1]));
        assert_eq!(deliveries.settle(1), settled(&[2]));
        assert_eq!(deliveries.undelivered().as_slice(), [TxId(3)]);
        assert_eq!(deliveries.settle(usize::MAX), settled(&[]));
        assert!(!deliveries.awaits_acknowledgement());
    }

    #[test]
    fn with_a_closed_sending_side_the_acknowledgement_is_the_delivery_of_any_reply() {
        let mut deliveries = Deliveries::default();
        push(&mut deliveries, answer(4, 1, false));
        deliveries.wrote(10);
        assert_eq!(deliveries.next_delivered(true), None);
        assert_eq!(deliveries.settle(5), Settled::default());
        assert_eq!(deliveries.settle(0).delivered.as_slice(), [(4, TxId(1))]);
    }

    #[test]
    fn only_what_can_be_reversed_is_watched() {
        let mut deliveries = Deliveries::default();
        push(&mut deliveries, answer(0, 1, false));
        deliveries.wrote(10);
        assert!(deliveries.next_delivered(false).is_some());
        assert!(!deliveries.awaits_acknowledgement());
    }

    #[test]
    fn the_socket_is_asked_for_every_fourth_reply_and_less_often_when_it_has_no_news() {
        let mut deliveries = Deliveries::default();
        let mut asked = Vec::new();
        for n in 1..=100 {
            push(&mut deliveries, answer(0, n, true));
            deliveries.wrote(10);
            deliveries.next_delivered(false);
            if deliveries.is_worth_asking() {
                asked.push(n);
                deliveries.settle(usize::MAX);
            }
        }
        assert_eq!(asked, [4, 8, 16, 32, 64]);
        deliveries.settle(0);
        assert!(!deliveries.is_worth_asking());
    }

    #[test]
    fn at_the_bound_of_unacknowledged_replies_it_is_full() {
        let mut deliveries = Deliveries::default();
        for n in 1..=UNACKNOWLEDGED_MAX as u64 {
            assert!(!deliveries.is_unacknowledged_full());
            push(&mut deliveries, answer(0, n, true));
            deliveries.wrote(10);
            deliveries.next_delivered(false);
        }
        assert!(deliveries.is_unacknowledged_full());
        deliveries.settle(10);
        assert!(!deliveries.is_unacknowledged_full());
    }
}
