//! What a connection of the bank still has to write, and when. Pure: time is an argument.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::faults::Plan;

/// How many answers may wait for their time on one connection. Above it the connection is not read on.
pub(crate) const WAITING_MAX: usize = 100_000;

/// How long an answer is held back for the next one to be joined or swapped with.
pub(crate) const HOLD: Duration = Duration::from_millis(500);

/// Something to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// In one go.
    Bulk(BytesMut),
    /// Byte by byte.
    Single(Bytes),
    /// Nothing more: close.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hold {
    Join,
    Swap,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    at: Duration,
    order: u64,
    bytes: Bytes,
    in_single_bytes: bool,
    hold: Option<Hold>,
}

/// Answers on their way out.
#[derive(Default)]
pub(crate) struct Outbox {
    ready: VecDeque<Piece>,
    held: Option<Answer>,
    waiting: BinaryHeap<Reverse<Answer>>,
    order: u64,
    spare: BytesMut,
}

impl Outbox {
    /// Where an answer without a fault is written to, at once.
    pub fn bulk(&mut self) -> &mut BytesMut {
        if !matches!(self.ready.back(), Some(Piece::Bulk(_))) {
            self.ready.push_back(Piece::Bulk(std::mem::take(&mut self.spare)));
        }
        match self.ready.back_mut() {
            Some(Piece::Bulk(bulk)) => bulk,
            _ => &mut self.spare, // cannot be: a bulk was just put there
        }
    }

    /// Whether an answer without a fault may go to [`Outbox::bulk`]: nothing waits to be joined or swapped with it.
    pub fn is_plain(&self) -> bool {
        self.held.is_none()
    }

    /// Takes an answer with its faults. One that waits comes out of [`Outbox::pop`] when [`Outbox::release`] was told that
    /// it is time.
    pub fn put(&mut self, now: Duration, plan: &Plan, bytes: Bytes) {
        let hold = match plan {
            Plan { is_coalesced: true, .. } => Some(Hold::Join),
            Plan { is_swapped: true, .. } => Some(Hold::Swap),
            _ => None,
        };
        self.release(now);
        let at = now.saturating_add(plan.delay);
        self.wait(now, at, bytes.clone(), plan.in_single_bytes, hold);
        if let Some(after) = plan.again_after {
            self.wait(now, at.saturating_add(after), bytes, false, None);
        }
    }

    /// Closes after what is ready now. What waits is lost.
    pub fn close(&mut self) {
        self.ready.push_back(Piece::Close);
    }

    /// Makes ready what is due.
    pub fn release(&mut self, now: Duration) {
        while self.waiting.peek().is_some_and(|Reverse(answer)| answer.at <= now) {
            let Some(Reverse(answer)) = self.waiting.pop() else { return };
            self.emit(answer);
        }
        if let Some(held) = self.held.take_if(|held| held.at.saturating_add(HOLD) <= now) {
            self.write(held);
        }
    }

    /// The next thing to write.
    pub fn pop(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// Gives a written buffer back, to be filled again.
    pub fn recycle(&mut self, mut bulk: BytesMut) {
        bulk.clear();
        self.spare = bulk;
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Duration> {
        let waiting = self.waiting.peek().map(|Reverse(answer)| answer.at);
        let held = self.held.as_ref().map(|held| held.at.saturating_add(HOLD));
        waiting.into_iter().chain(held).min()
    }

    /// Whether so much waits that nothing more may be asked.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    fn wait(&mut self, now: Duration, at: Duration, bytes: Bytes, in_single_bytes: bool, hold: Option<Hold>) {
        let order = self.order;
        self.order += 1;
        let answer = Answer { at, order, bytes, in_single_bytes, hold };
        if at <= now {
            self.emit(answer);
        } else {
            self.waiting.push(Reverse(answer));
        }
    }

    fn emit(&mut self, answer: Answer) {
        match (self.held.take(), answer.hold) {
            (None, None) => self.write(answer),
            (None, Some(_)) => self.held = Some(answer),
            (Some(held), _) if held.hold == Some(Hold::Swap) => {
                self.write(answer);
                self.write(held);
            }
            (Some(held), _) => {
                self.write(held);
                self.write(answer);
            }
        }
    }

    fn write(&mut self, answer: Answer) {
        if answer.in_single_bytes {
            self.ready.push_back(Piece::Single(answer.bytes));
        } else {
            self.bulk().extend_from_slice(&answer.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn written(outbox: &mut Outbox) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(piece) = outbox.pop() {
            out.push(match piece {
                Piece::Bulk(bulk) => String::from_utf8(bulk.to_vec()).unwrap(),
                Piece::Single(bytes) => format!("single {}", std::str::from_utf8(&bytes).unwrap()),
                Piece::Close => "close".into(),
            });
        }
        out
    }

    /// Puts answers `a`, `b`, … at 0 ms with these plans; what is written at 0 ms, and at each time that is due.
    fn story(plans: &[Plan]) -> Vec<(u128, Vec<String>)> {
        let mut outbox = Outbox::default();
        for (name, plan) in ["a", "b", "c", "d"].into_iter().zip(plans) {
            outbox.put(Duration::ZERO, plan, Bytes::from(name));
            outbox.release(Duration::ZERO);
        }
        let mut story = vec![(0, written(&mut outbox))];
        while let Some(due) = outbox.next_due() {
            outbox.release(due - MS / 2);
            assert_eq!(written(&mut outbox), Vec::<String>::new(), "before its time");
            outbox.release(due);
            story.push((due.as_millis(), written(&mut outbox)));
        }
        story
    }

    fn delayed(ms: u64) -> Plan {
        Plan { delay: Duration::from_millis(ms), ..Plan::default() }
    }

    #[test]
    fn answers_leave_in_the_order_of_their_times_and_what_is_ready_leaves_in_one_go() {
        let lines = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
        let plain = Plan::default();
        let joined = Plan { is_coalesced: true, ..Plan::default() };
        let swapped = Plan { is_swapped: true, ..Plan::default() };
        let single = Plan { in_single_bytes: true, ..Plan::default() };
        let again = |ms| Plan { again_after: Some(Duration::from_millis(ms)), ..Plan::default() };
        for (plans, expected) in [
            (vec![plain.clone(), plain.clone()], vec![(0, lines(&["ab"]))]),
            (
                vec![delayed(20), delayed(10), plain.clone()],
                vec![(0, lines(&["c"])), (10, lines(&["b"])), (20, lines(&["a"]))],
            ),
            (vec![delayed(10), delayed(10)], vec![(0, lines(&[])), (10, lines(&["ab"]))]),
            (vec![joined.clone(), plain.clone()], vec![(0, lines(&["ab"]))]),
            (vec![joined.clone()], vec![(0, lines(&[])), (500, lines(&["a"]))]),
            (vec![swapped.clone(), plain.clone(), plain.clone()], vec![(0, lines(&["bac"]))]),
            (vec![swapped.clone(), swapped.clone(), plain.clone()], vec![(0, lines(&["bac"]))]),
            (vec![swapped.clone()], vec![(0, lines(&[])), (500, lines(&["a"]))]),
            (vec![plain.clone(), single.clone(), plain.clone()], vec![(0, lines(&["a", "single b", "c"]))]),
            (vec![again(0), plain.clone()], vec![(0, lines(&["aab"]))]),
            (vec![again(500), plain.clone()], vec![(0, lines(&["ab"])), (500, lines(&["a"]))]),
        ] {
            assert_eq!(story(&plans), expected, "{plans:?}");
        }
    }

    #[test]
    fn too_many_waiting_answers_stop_the_reading_until_one_has_left() {
        let mut outbox = Outbox::default();
        for n in 1..=WAITING_MAX {
            assert!(!outbox.is_full(), "{n}");
            outbox.put(Duration::ZERO, &delayed(n as u64), Bytes::from_static(b"x"));
        }
        assert!(outbox.is_full());
        outbox.release(MS);
        assert!(!outbox.is_full());
    }
}
