//! What listeners tell the driver: one queue in, from many.
//!
//! Not a channel, as the mailbox is none: the driver takes all that waits at once by exchanging two buffers, and whoever
//! puts something in pays for a push. The lock is held for as long as that takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The way in. The queue is over when the last is gone.
pub(super) struct Sender<T>(Arc<Shared<T>>);

/// The way out. Nothing more is taken when it is gone.
pub(super) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T>(Mutex<Inner<T>>);

struct Inner<T> {
    waiting: VecDeque<T>,
    reader: Option<Waker>,
    senders: usize,
    is_closed: bool,
}

/// Both ends of a new queue. It has no bound of its own: what is put in is bounded by those who do.
pub(super) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let inner = Inner { waiting: VecDeque::new(), reader: None, senders: 1, is_closed: false };
    let shared = Arc::new(Shared(Mutex::new(inner)));
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Puts one in and wakes the reader. `false`: there is none any more.
    #[inline(always)]
    pub(super) fn send(&self, item: T) -> bool {
        let mut inner = self.0.lock();
        if inner.is_closed {
            return false;
        }
        inner.waiting.push_back(item);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.lock().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.senders -= 1;
        let reader = if inner.senders == 0 { inner.reader.take() } else { None };
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Exchanges `empty` for all that waits. `false`: nothing waits, and nothing will. Nothing yet: the task is woken when
    /// something does.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, empty: &mut VecDeque<T>) -> Poll<bool> {
        let mut inner = self.0.lock();
        if !inner.waiting.is_empty() {
            std::mem::swap(&mut inner.waiting, empty);
            return Poll::Ready(true);
        }
        if inner.senders == 0 {
            return Poll::Ready(false);
        }
        if !inner.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.is_closed = true;
        let left = std::mem::take(&mut inner.waiting);
        drop(inner);
        // Outside the lock: what is dropped may hold a sender.
        drop(left);
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing in here panics between two states.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::woken::Woken;
    use super::*;

    #[test]
    fn all_that_waits_comes_out_at_once_and_in_order() {
        let (sender, mut receiver) = queue();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut taken = VecDeque::new();
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Pending);
        assert!(sender.send(1) && sender.clone().send(2));
        assert_eq!(woken.times(), 1, "it is woken once");
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Ready(true));
        assert_eq!(taken, [1, 2]);
        taken.clear();
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Pending);
    }

    #[test]
    fn it_is_over_with_the_last_sender_once_all_was_taken() {
        let (sender, mut receiver) = queue();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut taken = VecDeque::new();
        let other = sender.clone();
        drop(sender);
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Pending);
        drop(other);
        assert_eq!(woken.times(), 1);
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Ready(false));
        let (sender, mut receiver) = queue();
        sender.send(1);
        drop(sender);
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Ready(true));
        taken.clear();
        assert_eq!(receiver.poll_take(&mut cx, &mut taken), Poll::Ready(false));
    }

    #[test]
    fn without_a_reader_nothing_is_taken_and_what_waited_is_dropped() {
        let (sender, receiver) = queue();
        let item = Arc::new(());
        assert!(sender.send(item.clone()));
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!sender.send(item.clone()));
        assert_eq!(Arc::strong_count(&item), 1);
    }
}
