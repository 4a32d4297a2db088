//! A JSON object as a request of the HTTP service: what is taken is a message, and shown as JSON that gives the same.
//!
//! Input: one byte for the dialect, then the text.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/json_script.rs"]
mod json_script;

fuzz_target!(|data: &[u8]| {
    json_script::run(data);
});
