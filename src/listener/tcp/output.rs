//! What a session writes: replies in order, and how far each has come.
//!
//! A reply is *written* when the socket has taken its last byte, and *acknowledged* when the peer's TCP has. Both are
//! offsets in the stream, so that one number from the socket settles any count of replies.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::framing::{FrameError, Framing};
use crate::mux::TxId;
use crate::upstream::Slot;

/// Above so many bytes not yet written, nothing more is read from that client.
pub(super) const OUT_HIGH_WATER: usize = 64 * 1024;
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

/// The way out of one session.
#[derive(Default)]
pub(super) struct Output {
    bytes: BytesMut,
    /// Bytes of this connection appended and written so far.
    appended: u64,
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
    /// `None`: a refusal of ours.
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

impl Output {
    /// Appends a message. `deadline`: when it must have been written (uptime).
    ///
    /// # Errors
    /// The message does not fit the client's framing; nothing was appended.
    pub(super) fn push(
        &mut self,
        framing: &Framing,
        envelope: &Bytes,
        message: &[u8],
        deadline: Duration,
        answer: Option<Answer>,
    ) -> Result<(), FrameError> {
        let before = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(message.len() + framing.overhead() + envelope.len());
        }
        if let Err(error) = framing.encode(message, envelope, &mut self.bytes) {
            self.bytes.truncate(before);
            return Err(error);
        }
        self.appended += (self.bytes.len() - before) as u64;
        self.writing.push_back(Writing { end: self.appended, deadline, answer });
        Ok(())
    }

    /// What is to be written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether everything was written.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// When the first of the messages being written must be out.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.writing.front().map(|writing| writing.deadline)
    }

    /// The socket has taken `count` bytes from the front.
    pub(super) fn wrote(&mut self, count: usize) {
        self.bytes.advance(count);
        self.written += count as u64;
        if self.bytes.is_empty() {
            // An idle connection holds no buffer.
            self.bytes = BytesMut::new();
        }
    }

    /// The next answer that is wholly written. `confirm_by_ack`: the client has closed its sending side, so that only
    /// the acknowledgement is delivery; the answer then comes out of [`Output::settle`].
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

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(35);

    fn answer(slot: Slot, id: u64, reversible: bool) -> Option<Answer> {
        Some(Answer { slot, id: TxId(id), reversible })
    }

    /// Replies of ten bytes each.
    fn push(output: &mut Output, answer: Option<Answer>) {
        output.push(&Framing::none(), &Bytes::new(), b"0123456789", LATER, answer).unwrap();
    }

    #[test]
    fn a_reply_is_delivered_with_its_last_byte_and_not_before() {
        let mut output = Output::default();
        push(&mut output, answer(0, 1, true));
        push(&mut output, None);
        push(&mut output, answer(1, 2, true));
        output.wrote(9);
        assert_eq!(output.next_delivered(false), None);
        output.wrote(1);
        assert_eq!(output.next_delivered(false), answer(0, 1, true));
        output.wrote(19);
        assert_eq!(output.next_delivered(false), None);
        output.wrote(1);
        assert_eq!(output.next_delivered(false), answer(1, 2, true));
        assert!(output.is_empty() && output.deadline().is_none());
    }

    #[test]
    fn an_acknowledgement_settles_what_lies_wholly_before_it() {
        let mut output = Output::default();
        for id in 1..=3 {
            push(&mut output, answer(0, id, true));
            output.wrote(10);
            output.next_delivered(false);
        }
        let settled =
            |ids: &[u64]| Settled { before: ids.iter().map(|id| TxId(*id)).collect(), ..Settled::default() };
        assert_eq!(output.settle(21), settled(&[]));
        assert_eq!(output.settle(20), settled(&[1]));
        assert_eq!(output.settle(1), settled(&[2]));
        assert_eq!(output.undelivered().as_slice(), [TxId(3)]);
        assert_eq!(output.settle(usize::MAX), settled(&[]));
        assert!(!output.awaits_acknowledgement());
    }

    #[test]
    fn with_a_closed_sending_side_the_acknowledgement_is_the_delivery_of_any_reply() {
        let mut output = Output::default();
        push(&mut output, answer(4, 1, false));
        output.wrote(10);
        assert_eq!(output.next_delivered(true), None);
        assert_eq!(output.settle(5), Settled::default());
        assert_eq!(output.settle(0).delivered.as_slice(), [(4, TxId(1))]);
    }

    #[test]
    fn only_what_can_be_reversed_is_watched() {
        let mut output = Output::default();
        push(&mut output, answer(0, 1, false));
        output.wrote(10);
        assert!(output.next_delivered(false).is_some());
        assert!(!output.awaits_acknowledgement());
    }

    #[test]
    fn the_socket_is_asked_for_every_fourth_reply_and_less_often_when_it_has_no_news() {
        let mut output = Output::default();
        let mut asked = Vec::new();
        for n in 1..=100 {
            push(&mut output, answer(0, n, true));
            output.wrote(10);
            output.next_delivered(false);
            if output.is_worth_asking() {
                asked.push(n);
                output.settle(usize::MAX);
            }
        }
        assert_eq!(asked, [4, 8, 16, 32, 64]);
        output.settle(0);
        assert!(!output.is_worth_asking());
    }

    #[test]
    fn at_the_bound_of_unacknowledged_replies_it_is_full() {
        let mut output = Output::default();
        for n in 1..=UNACKNOWLEDGED_MAX as u64 {
            assert!(!output.is_unacknowledged_full());
            push(&mut output, answer(0, n, true));
            output.wrote(10);
            output.next_delivered(false);
        }
        assert!(output.is_unacknowledged_full());
        output.settle(10);
        assert!(!output.is_unacknowledged_full());
    }

    #[test]
    fn a_reply_that_does_not_fit_the_framing_leaves_no_trace() {
        let mut output = Output::default();
        let framing = Framing::parse("ascii4").unwrap();
        let long = vec![b'x'; 10_000];
        assert!(output.push(&framing, &Bytes::new(), &long, LATER, answer(0, 1, true)).is_err());
        assert!(output.is_empty() && output.deadline().is_none());
    }
}
