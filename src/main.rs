//! Arguments → command; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    socketqueue::cli::main(std::env::args_os().skip(1))
}
