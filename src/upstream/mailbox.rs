//! What the driver tells a session.
//!
//! Not a channel: most of the time one notice waits for a session that holds one transaction, so there is room for one
//! in place, and neither an idle session nor a transaction costs an allocation. The lock is held for as long as it takes
//! to move a notice, and the gateway's tasks share one thread, so nobody waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::handle::Notice;

/// Notices in the order in which they were given. Not bounded by itself: each answers a request or is one of three kinds
/// that come once.
pub type Notices = SmallVec<[Notice; 1]>;

/// The mailbox of one session: the driver puts in, the session takes out.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    notices: Notices,
    reader: Option<Waker>,
}

impl Mailbox {
    /// Puts a notice in and wakes the session.
    #[inline(always)]
    pub(super) fn put(&self, notice: Notice) {
        let mut inner = self.lock();
        inner.notices.push(notice);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// All that waits. The task is woken when there is more, or anything at all.
    #[inline(always)]
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Notices> {
        let mut inner = self.lock();
        if !inner.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        if inner.notices.is_empty() { Poll::Pending } else { Poll::Ready(std::mem::take(&mut inner.notices)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics between two states.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::woken::Woken;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn notices_come_out_in_order_and_wake_the_reader_once() {
        let (mailbox, woken) = (Mailbox::default(), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(mailbox.poll_take(&mut cx).is_pending());
        mailbox.put(Notice::Draining);
        mailbox.put(Notice::Gone);
        assert_eq!(woken.times(), 1);
        let Poll::Ready(notices) = mailbox.poll_take(&mut cx) else { panic!("two wait") };
        assert!(matches!(notices[..], [Notice::Draining, Notice::Gone]));
        assert!(mailbox.poll_take(&mut cx).is_pending());
        mailbox.put(Notice::Gone);
        assert_eq!(woken.times(), 2);
    }
}
