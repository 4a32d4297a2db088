//! A timer that is moved rarely.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes its task at the latest when something is due.
///
/// The timer is moved only to an earlier moment. With a steady stream of transactions the next deadline moves on all the
/// time; then it goes off once in a while for nothing, which is cheaper than to move it for each. Nothing is allocated
/// before it is used.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// When it goes off (uptime).
    armed: Option<Duration>,
}

impl Alarm {
    /// Ready when `next` (uptime) may have come: look what is due and poll again. `None`: nothing is due.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, next: Option<Duration>, now: Duration) -> Poll<()> {
        let Some(next) = next else { return Poll::Pending };
        let earlier = self.armed.is_none_or(|armed| next < armed);
        let moment = || Instant::now() + next.saturating_sub(now);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(moment())));
        if earlier {
            self.armed = Some(next);
            sleep.as_mut().reset(moment());
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.armed = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Sets it without waiting, and tells whether it waits.
    async fn is_waiting(alarm: &mut Alarm, next: Option<Duration>) -> bool {
        poll_fn(|cx| Poll::Ready(alarm.poll(cx, next, Duration::ZERO).is_pending())).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_earliest_moment_it_was_given_and_can_be_set_again() {
        let begin = Instant::now();
        let seconds = |n| Some(Duration::from_secs(n));
        let mut alarm = Alarm::default();
        assert!(is_waiting(&mut alarm, None).await);
        assert!(is_waiting(&mut alarm, seconds(30)).await);
        poll_fn(|cx| alarm.poll(cx, seconds(5), begin.elapsed())).await;
        assert_eq!(begin.elapsed().as_secs(), 5);
        poll_fn(|cx| alarm.poll(cx, seconds(30), begin.elapsed())).await;
        assert_eq!(begin.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_moved_on_makes_it_go_off_early_once() {
        let begin = Instant::now();
        let seconds = |n| Some(Duration::from_secs(n));
        let mut alarm = Alarm::default();
        assert!(is_waiting(&mut alarm, seconds(5)).await);
        poll_fn(|cx| alarm.poll(cx, seconds(9), begin.elapsed())).await;
        assert_eq!(begin.elapsed().as_secs(), 5);
        poll_fn(|cx| alarm.poll(cx, seconds(9), begin.elapsed())).await;
        assert_eq!(begin.elapsed().as_secs(), 9);
    }
}
