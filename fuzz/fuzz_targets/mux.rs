//! A sequence of events for the state machine, in any order and with any ids: it keeps its promises, and comes to rest.
//!
//! Input: flags of the settings, how many rows it finds at its start, then a few bytes for each event; see the script.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/mux_script.rs"]
mod mux_script;

fuzz_target!(|data: &[u8]| mux_script::run(data));
