//! Arguments → command; nothing else. And the allocator, which only a program can choose.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The C library's has seven free blocks of a size at hand, and searches for the eighth; a burst of transactions has more.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    socketqueue::cli::main(std::env::args_os().skip(1))
}
