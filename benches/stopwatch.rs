//! Processor time of this thread: what a piece of code costs, also on a machine that does other things beside it.
#![allow(unsafe_code)] // one call of the C library

use std::time::Duration;

/// Processor time that this thread has used so far.
pub fn spent() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time`, which is there for longer than it takes.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "this system has a clock for each thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What `work` costs.
pub fn cost(work: impl FnOnce()) -> Duration {
    let before = spent();
    work();
    spent() - before
}
