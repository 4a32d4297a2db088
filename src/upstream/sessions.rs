//! The driver's table of sessions: who waits for which transaction.
//!
//! A [`ClientTag`] is the place of its session in the table (index and generation) and the slot that the session chose:
//! a reply finds its session by two array accesses. The transaction id stands beside the slot, and a reply that does
//! not carry the same id goes to nobody.

use std::sync::Arc;

use smallvec::SmallVec;

use super::handle::{Notice, Seat, Slot, Who};
use crate::mux::{ClientTag, Outcome, TxId};

const SLOT_BITS: u32 = 16;
const GENERATION_BITS: u32 = 24;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
/// An index that no session gets: what a seat has before it is opened.
const INDEX_MAX: usize = (1 << 24) - 1;

/// All sessions of one upstream.
#[derive(Default)]
pub(super) struct Sessions {
    entries: Vec<Entry>,
    free: Vec<u32>,
}

struct Entry {
    generation: u64,
    seat: Option<Arc<Seat>>,
    /// By slot. Slots are small numbers that are used again; two stand inline.
    open: SmallVec<[Open; 2]>,
}

/// What a session waits for in one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Open {
    Nothing,
    Submitted,
    Accepted(TxId),
    Answered(TxId),
}

/// What a session that ended leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Orphan {
    /// No answer yet.
    Waiting(TxId),
    /// Answered, not confirmed.
    Unconfirmed(TxId),
}

impl Sessions {
    /// Gives a seat its place. `false`: the table is full (16 million sessions), and the session is told that it is over.
    pub(super) fn open(&mut self, seat: Arc<Seat>) -> bool {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.entries.len() < INDEX_MAX => {
                self.entries.push(Entry { generation: 0, seat: None, open: SmallVec::new() });
                self.entries.len() - 1
            }
            None => {
                seat.tell(Notice::Gone);
                return false;
            }
        };
        let entry = &mut self.entries[index];
        seat.set_place((index as u64) << GENERATION_BITS | entry.generation);
        entry.seat = Some(seat);
        true
    }

    /// Ends a session and appends what it leaves behind.
    pub(super) fn close(&mut self, seat: &Seat, orphans: &mut Vec<Orphan>) {
        let place = seat.place();
        let Some(entry) = self.entry(place) else { return };
        orphans.extend(entry.open.iter().filter_map(|open| match *open {
            Open::Accepted(id) => Some(Orphan::Waiting(id)),
            Open::Answered(id) => Some(Orphan::Unconfirmed(id)),
            Open::Nothing | Open::Submitted => None,
        }));
        entry.open = SmallVec::new();
        entry.seat = None;
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        self.free.push((place >> GENERATION_BITS) as u32);
    }

    /// Notes a request about to be handed to the core, and gives the tag it is known by. `None`: the session has ended,
    /// or the slot is taken (a defect of the session: its transaction there must not lose its client).
    #[inline(always)]
    pub(super) fn submitted(&mut self, seat: &Seat, slot: Slot) -> Option<ClientTag> {
        let place = seat.place();
        let entry = self.entry(place)?;
        let slot_index = usize::from(slot);
        if entry.open.len() <= slot_index {
            entry.open.resize(slot_index + 1, Open::Nothing);
        }
        let open = &mut entry.open[slot_index];
        debug_assert_eq!(*open, Open::Nothing, "a session reuses a slot too early");
        if *open != Open::Nothing {
            return None;
        }
        *open = Open::Submitted;
        Some(ClientTag(place << SLOT_BITS | u64::from(slot)))
    }

    /// The core has accepted the request behind `tag` as `id`. `false`: nobody waits for it.
    pub(super) fn accepted(&mut self, tag: ClientTag, id: TxId) -> bool {
        let Some(open) = self.slot(tag) else { return false };
        *open = Open::Accepted(id);
        true
    }

    /// Hands an outcome to the session behind `tag`. `false`: nobody waits for it (the session ended meanwhile, or the
    /// slot is about another transaction).
    pub(super) fn reply(&mut self, tag: ClientTag, id: Option<TxId>, outcome: Outcome) -> bool {
        let slot = (tag.0 & u64::from(Slot::MAX)) as Slot;
        let Some(entry) = self.entry(tag.0 >> SLOT_BITS) else { return false };
        let (Some(seat), Some(open)) = (&entry.seat, entry.open.get_mut(usize::from(slot))) else {
            return false;
        };
        let next = match (*open, id, &outcome) {
            // Refused at once, or answered with what was delivered before: nothing to confirm.
            (Open::Submitted, None, _) => Open::Nothing,
            (Open::Accepted(waiting) | Open::Answered(waiting), Some(id), Outcome::Failed(_))
                if waiting == id =>
            {
                Open::Nothing
            }
            (Open::Accepted(waiting), Some(id), Outcome::Answered { .. }) if waiting == id => {
                Open::Answered(id)
            }
            _ => return false,
        };
        *open = next;
        seat.tell(Notice::Reply { slot, id, outcome });
        true
    }

    /// Who the session behind `tag` is, if the driver dumps for it.
    pub(super) fn who(&self, tag: ClientTag) -> Option<Who> {
        let place = tag.0 >> SLOT_BITS;
        let entry = self.entries.get(usize::try_from(place >> GENERATION_BITS).ok()?)?;
        let seat = entry.seat.as_ref().filter(|_| entry.generation == place & GENERATION_MASK)?;
        seat.who()
    }

    /// A session has confirmed an answer (delivered or not). `false`: that answer was no longer open.
    pub(super) fn confirmed(&mut self, seat: &Seat, slot: Slot, id: TxId) -> bool {
        let Some(open) = self.entry(seat.place()).and_then(|entry| entry.open.get_mut(usize::from(slot)))
        else {
            return false;
        };
        if *open != Open::Answered(id) {
            return false;
        }
        *open = Open::Nothing;
        true
    }

    /// Tells every session.
    pub(super) fn tell_all(&self, notice: impl Fn() -> Notice) {
        for seat in self.entries.iter().filter_map(|entry| entry.seat.as_ref()) {
            seat.tell(notice());
        }
    }

    fn entry(&mut self, place: u64) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(usize::try_from(place >> GENERATION_BITS).ok()?)?;
        (entry.seat.is_some() && entry.generation == place & GENERATION_MASK).then_some(entry)
    }

    fn slot(&mut self, tag: ClientTag) -> Option<&mut Open> {
        self.entry(tag.0 >> SLOT_BITS)?.open.get_mut((tag.0 & u64::from(Slot::MAX)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::handle::{Handle, Policy, Session};
    use super::*;
    use crate::mux::Failure;
    use crate::rules::KeyFields;

    fn handle() -> Handle {
        let policy = Policy {
            name: "host".into(),
            key_fields: KeyFields(Vec::new()),
            queue_timeout: std::time::Duration::from_secs(35),
            queue_max: 100,
            reverse_on_disconnect: false,
        };
        Handle::new(policy).0
    }

    fn answered() -> Outcome {
        Outcome::Answered { bytes: bytes::Bytes::new(), class: crate::dialect::RequestClass::Approved }
    }

    /// What the session was told, e.g. `3 answered`.
    fn told(session: &mut Session) -> Vec<String> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut notices = Vec::new();
        let std::task::Poll::Ready(all) = session.poll_notices(&mut cx) else { return notices };
        for notice in all {
            let Notice::Reply { slot, outcome, .. } = notice else { continue };
            let outcome = match outcome {
                Outcome::Answered { .. } => "answered".to_owned(),
                Outcome::Failed(failure) => format!("{failure:?}"),
                Outcome::Known(status) => format!("{:?}", status.state),
            };
            notices.push(format!("{slot} {outcome}"));
        }
        notices
    }

    #[test]
    fn a_reply_reaches_the_session_and_the_slot_whose_transaction_it_answers() {
        let (handle, mut sessions) = (handle(), Sessions::default());
        let (mut one, mut two) = (handle.session(), handle.session());
        assert!(sessions.open(one.seat().clone()) && sessions.open(two.seat().clone()));
        let first = sessions.submitted(one.seat(), 0).unwrap();
        let second = sessions.submitted(two.seat(), 7).unwrap();
        assert!(sessions.accepted(first, TxId(1)) && sessions.accepted(second, TxId(2)));
        assert!(sessions.reply(second, Some(TxId(2)), answered()));
        assert!(sessions.reply(first, Some(TxId(1)), Outcome::Failed(Failure::TimedOut)));
        assert_eq!(told(&mut two), ["7 answered"]);
        assert_eq!(told(&mut one), ["0 TimedOut"]);
    }

    #[test]
    fn a_reply_to_another_transaction_than_the_one_that_waits_goes_to_nobody() {
        let (handle, mut sessions) = (handle(), Sessions::default());
        let mut session = handle.session();
        sessions.open(session.seat().clone());
        let tag = sessions.submitted(session.seat(), 0).unwrap();
        sessions.accepted(tag, TxId(1));
        assert!(!sessions.reply(tag, Some(TxId(9)), answered()));
        assert!(!sessions.reply(tag, None, Outcome::Failed(Failure::QueueFull)));
        assert!(told(&mut session).is_empty());
        assert!(sessions.reply(tag, Some(TxId(1)), answered()));
        // Nor does it get a second answer.
        assert!(!sessions.reply(tag, Some(TxId(1)), answered()));
        assert!(sessions.confirmed(session.seat(), 0, TxId(1)));
        assert!(!sessions.confirmed(session.seat(), 0, TxId(1)));
    }

    #[test]
    fn a_session_that_ends_leaves_what_it_waited_for_and_its_place_to_another() {
        let (handle, mut sessions) = (handle(), Sessions::default());
        let session = handle.session();
        sessions.open(session.seat().clone());
        let tags = [0, 1, 2].map(|slot| sessions.submitted(session.seat(), slot).unwrap());
        for (tag, id) in tags.iter().zip([TxId(1), TxId(2), TxId(3)]) {
            sessions.accepted(*tag, id);
        }
        sessions.reply(tags[1], Some(TxId(2)), answered());
        sessions.reply(tags[2], Some(TxId(3)), Outcome::Failed(Failure::TimedOut));
        let mut orphans = Vec::new();
        sessions.close(session.seat(), &mut orphans);
        assert_eq!(orphans, [Orphan::Waiting(TxId(1)), Orphan::Unconfirmed(TxId(2))]);
        sessions.close(session.seat(), &mut orphans);
        assert_eq!(orphans.len(), 2, "it ends once");
        let mut next = handle.session();
        sessions.open(next.seat().clone());
        let tag = sessions.submitted(next.seat(), 0).unwrap();
        assert_ne!(tag, tags[0], "the place has another generation");
        assert!(!sessions.reply(tags[0], Some(TxId(1)), answered()));
        assert!(sessions.submitted(session.seat(), 0).is_none());
        assert!(told(&mut next).is_empty());
    }
}
