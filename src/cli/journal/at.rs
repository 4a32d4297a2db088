//! Which journal is meant, and what is needed beside it.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config;
use crate::journal::Options;
use crate::journal::options::Secret;
use crate::journal::seal::KEY_VARIABLE;
use crate::net::clock::Clock;

/// The end of the names that journals have where none is configured.
const ENDING: &str = ".journal";

/// Which journal.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which journal")]
pub struct At {
    /// Configuration file of the gateway; the flags below win over it
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<String>,
    /// The journal; without it and -c, the only *.journal of the working directory
    #[arg(long = "journalFile", alias = "journal-file", value_name = "FILE")]
    journal_file: Option<PathBuf>,
    /// File with its key; SOCKETQUEUE_JOURNAL_KEY in the environment wins
    #[arg(long = "journalKeyFile", alias = "journal-key-file", value_name = "FILE")]
    journal_key_file: Option<PathBuf>,
    /// Operator's socket of the gateway that has the journal; without it, the one that the lock file names
    #[arg(long = "adminSocket", alias = "admin-socket", value_name = "FILE")]
    admin_socket: Option<PathBuf>,
    /// Zone of days and times; the system's unless given
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// What was meant.
pub(in crate::cli) struct Found {
    pub(in crate::cli) options: Options,
    pub(in crate::cli) admin_socket: Option<PathBuf>,
    pub(in crate::cli) clock: Clock,
    /// The dialect of the configuration, if one was given.
    pub(in crate::cli) dialect: Option<std::sync::Arc<crate::dialect::Dialect>>,
}

impl At {
    /// Finds it.
    pub(in crate::cli) fn find(&self) -> Result<Found, Failure> {
        let config = match &self.config {
            Some(file) => {
                let args = ["-c".to_owned(), file.clone()];
                Some(config::load(&args).map_err(Failure::Configuration)?)
            }
            None => None,
        };
        let named = config.as_ref().and_then(|config| config.journal.clone());
        let mut options = match (&self.journal_file, named) {
            (Some(file), Some(named)) => Options { file: file.clone(), ..named },
            (Some(file), None) => Options::new(file),
            (None, Some(named)) => named,
            (None, None) if config.is_some() => {
                return Err(Failure::refused("the configuration has no journal; give --journalFile"));
            }
            (None, None) => Options::new(only_journal_here()?),
        };
        if let Some(file) = &self.journal_key_file {
            options.key_file = Some(file.clone());
        }
        options.key_variable =
            std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(Secret::new);
        let zone = self.timezone.as_deref().or(config.as_ref().and_then(|config| config.timezone.as_deref()));
        let clock = Clock::new(zone).map_err(|error| Failure::refused(format!("timezone: {error}")))?;
        // (The default belongs to the journal, and the lock file of that names it.)
        let configured = config.as_ref().and_then(|config| config.admin.socket.clone());
        let configured = configured.filter(|socket| !socket.is_default).map(|socket| socket.path);
        Ok(Found {
            options,
            admin_socket: self.admin_socket.clone().or(configured),
            clock,
            dialect: config.map(|config| config.dialect),
        })
    }
}

fn only_journal_here() -> Result<PathBuf, Failure> {
    let here = std::fs::read_dir(".")
        .map_err(|error| Failure::refused(format!("the working directory cannot be read: {error}")))?;
    let mut found: Vec<String> = here
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(ENDING))
        .collect();
    found.sort();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(PathBuf::from(only)),
        (None, _) => Err(Failure::refused(
            "there is no journal in the working directory; give --journalFile, or -c with the gateway's configuration",
        )),
        (Some(last), false) => {
            found.push(last);
            let text = format!("there are several journals here ({}); give --journalFile", found.join(", "));
            Err(Failure::refused(text))
        }
    }
}
