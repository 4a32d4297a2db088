//! Text as a configuration file: settings or problems, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use socketqueue::config::file;

fuzz_target!(|text: &str| {
    let read = file::parse("config.json", text);
    assert!(read.readable || !read.problems.is_empty(), "refused without a reason");
});
