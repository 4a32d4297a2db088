//! `socketqueue journal …`: looking at a journal, and deciding about what waits in it.
//!
//! Reading works beside a running gateway and without one. Orders go to the gateway over its operator's socket while it
//! has the journal, and into the file when nobody has it.

mod at;
mod export;
mod order;
mod shown;
mod socket;
mod view;
mod when;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::REFUSED;
use crate::journal::JournalError;
use crate::mux::Objection;
use crate::output;

pub(super) use at::{At, Found};
pub(super) use shown::state;
pub(super) use when::{date_of, day};

/// Looks at a journal, and decides about reversals and advices that wait for a person.
#[derive(Args, Clone, Debug)]
pub struct JournalArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    List(view::ListArgs),
    Show(view::ShowArgs),
    Retry(order::RetryArgs),
    Resolve(order::ResolveArgs),
    Verify(view::VerifyArgs),
    Export(export::ExportArgs),
    Rekey(order::RekeyArgs),
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalCommandError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An order is not carried out.
    #[error("{what}: {objection}{way_out}")]
    Objection {
        /// The row or id, as it was given.
        what: String,
        /// Why not.
        objection: Objection,
        /// What can be done.
        way_out: &'static str,
    },
    /// Anything else, said with the way out.
    #[error("{0}")]
    Refused(String),
}

/// Runs `socketqueue journal …`.
pub(super) fn run(args: JournalArgs) -> ExitCode {
    let done = match args.action {
        Action::List(args) => view::list(&args),
        Action::Show(args) => view::show(&args),
        Action::Verify(args) => view::verify(&args),
        Action::Export(args) => export::export(&args),
        Action::Retry(args) => order::retry(&args),
        Action::Resolve(args) => order::resolve(&args),
        Action::Rekey(args) => order::rekey(&args),
    };
    finish(done)
}

/// The exit code, and what is to be said of a failure.
pub(super) fn finish(done: Result<ExitCode, Failure>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(Failure::Configuration(problems)) => super::refuse(&problems),
        Err(Failure::Command(error, code)) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            output::complain(&format!("socketqueue: {text}\n"));
            ExitCode::from(code)
        }
    }
}

/// How a command failed, with its exit code.
pub(super) enum Failure {
    Configuration(Vec<crate::config::problem::Problem>),
    Command(JournalCommandError, u8),
}

impl Failure {
    /// With this text, which says the way out.
    pub(super) fn refused(text: impl Into<String>) -> Failure {
        JournalCommandError::Refused(text.into()).into()
    }

    /// The same, with this exit code.
    pub(super) fn coded(self, code: u8) -> Failure {
        match self {
            Failure::Command(error, _) => Failure::Command(error, code),
            configuration => configuration,
        }
    }
}

impl<E: Into<JournalCommandError>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Command(error.into(), REFUSED)
    }
}
