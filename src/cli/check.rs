//! `socketqueue check [FILE] [flags]`: everything that the start would refuse, without starting.

use std::process::ExitCode;

use crate::config::problem::masked;
use crate::output;

/// Checks and says what would run.
pub(super) fn run(args: &[String]) -> ExitCode {
    match crate::config::check(args) {
        Ok(checked) => {
            let what = checked.file.as_deref().map_or_else(|| "command line".to_owned(), masked);
            let mut text = format!("{what}: ok\n");
            for line in &checked.summary {
                text.push_str(&format!("  {line}\n"));
            }
            output::say(&text);
            ExitCode::SUCCESS
        }
        Err(problems) => super::refuse(&problems),
    }
}
