//! A global allocator that counts, so that a bench can say how often it allocated.
#![allow(unsafe_code)] // GlobalAlloc is an unsafe trait; everything is handed on to the system's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting calls of this thread.
pub struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // At the end of a thread its counter may be gone; nobody asks for it then.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and growths of this thread in one call of `work`, the least of a few: the first may fill a cache.
pub fn allocations(mut work: impl FnMut()) -> u64 {
    let once = |work: &mut dyn FnMut()| {
        let before = CALLS.get();
        work();
        CALLS.get() - before
    };
    (0..5).map(|_| once(&mut work)).min().unwrap_or_default()
}
