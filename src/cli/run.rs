//! `socketqueue [run] [flags]`: the gateway, the bank, the test clients, or all of them.

use std::process::ExitCode;

/// Runs what flags and file say.
pub(super) fn run(args: &[String]) -> ExitCode {
    match crate::config::load(args) {
        Ok(config) => crate::server::run(config),
        Err(problems) => super::refuse(&problems),
    }
}
