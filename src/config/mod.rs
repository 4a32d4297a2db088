//! Flags and file → checked [`Config`].
//!
//! One [table] of parameters drives everything: the flags ([`argv`]), the keys of the file ([`file`]), the types and
//! their bounds ([`value`]), `--help` and `--helpJson`, and `docs/configuration.md` ([`reference`]). What was given is
//! laid together (a flag wins over the file), checked as a whole ([`contradictions`]) and translated ([`flat`]) into the
//! settings that the rooms understand. Nothing stops at the first problem: all are told together, each with its place.

mod access;
pub mod argv;
pub mod contradictions;
pub mod dialects;
pub mod file;
pub mod flat;
pub mod given;
pub mod param;
pub mod problem;
pub mod reference;
pub mod suggest;
mod summary;
pub mod table;
pub mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::problem::Problem;

use self::given::Values;
use self::value::Value;
use crate::access::{AllowList, ApiKeys};
use crate::dialect::Dialect;

/// A checked configuration: what `server::run` starts. Flat SocketQueue keys make one listener and one upstream.
#[derive(Clone, Debug)]
pub struct Config {
    /// The dialect of everything in this process (flat form).
    pub dialect: Arc<Dialect>,
    /// The upstream, if there is a gateway.
    pub upstream: Option<crate::upstream::Settings>,
    /// The journal; `None` without an upstream, and with `journalFile` `none`.
    pub journal: Option<crate::journal::Options>,
    /// TCP listeners.
    pub tcp: Vec<crate::listener::tcp::Settings>,
    /// `echoServerPort`.
    pub bank: Option<crate::bank::Settings>,
    /// `testClients`.
    pub test_clients: Option<crate::testclients::Settings>,
    /// Logs.
    pub log: crate::log::Settings,
    /// `pidFile`.
    pub pid_file: Option<PathBuf>,
    /// `drainTimeout`.
    pub drain_timeout: Duration,
    /// `timezone`: an IANA name, or the system's.
    pub timezone: Option<String>,
    /// HTTP listeners.
    pub http: Vec<crate::listener::http::Settings>,
    /// Statistics and admin servers.
    pub admin: crate::admin::Settings,
    /// `allowedIp` and those of single listeners.
    pub allowed: Allowed,
    /// `apiKeys`.
    pub api_keys: ApiKeys,
    /// `apiDocs`.
    pub api_docs: bool,
    /// Things to say at start (a key given both by flag and file, `--dangerous` …).
    pub notices: Vec<String>,
}

/// From where each listener takes connections.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// `listenPort`.
    pub clients: AllowList,
    /// `listenHttpPort`.
    pub http: AllowList,
    /// `upstreamListenPort`.
    pub upstream: AllowList,
    /// `statServerPort`.
    pub stat: AllowList,
    /// `adminPort`.
    pub admin: AllowList,
}

/// A configuration that was accepted, with what would run, for `socketqueue check`.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// The file it came from, if one was named.
    pub file: Option<String>,
    /// One line for each thing that would run.
    pub summary: Vec<String>,
}

/// Reads flags (without program name and subcommand) and the file that `-c` names, and checks them.
///
/// # Errors
/// All problems together.
pub fn load(args: &[String]) -> Result<Config, Vec<Problem>> {
    let mut argv = argv::read(args);
    for stray in &argv.positional {
        argv.problems
            .push(Problem::usage(problem::quote(stray), "unexpected argument; flags begin with two dashes"));
    }
    resolve(argv, None).map(|checked| checked.config)
}

/// The same for `socketqueue check [FILE] [flags]`; nothing is started.
///
/// # Errors
/// All problems together.
pub fn check(args: &[String]) -> Result<Checked, Vec<Problem>> {
    let mut argv = argv::read(args);
    let mut positional = std::mem::take(&mut argv.positional).into_iter();
    let file = positional.next();
    if file.is_some() && argv.values.has("c") {
        argv.problems.push(argv.values.problem("c", "a file is already named without it"));
    }
    for stray in positional {
        argv.problems.push(Problem::usage(
            problem::quote(&stray),
            "unexpected argument; one file is checked at a time",
        ));
    }
    resolve(argv, file)
}

fn resolve(argv: argv::Argv, file: Option<String>) -> Result<Checked, Vec<Problem>> {
    let argv::Argv { values: flags, mut notices, mut problems, .. } = argv;
    let file = file.or_else(|| flags.text("c"));
    let mut values = Values::default();
    if let Some(path) = &file {
        let read = file::read(Path::new(path));
        problems.extend(read.problems);
        if !read.readable {
            // Whatever it would have said is unknown, so nothing can be said about the whole.
            return Err(problems);
        }
        values = read.values;
    }
    values.overlay(flags, |name| {
        let path = problem::masked(file.as_deref().unwrap_or_default());
        notices.push(format!(
            "{name} is given by flag and in {path}: the flag wins (in SocketQueue the file did)"
        ));
    });
    notices.extend(flat::notices(&values));
    contradictions::find(&values, &mut problems);
    let built = flat::build(&values, notices, &mut problems);
    match built {
        Some(config) if problems.is_empty() => {
            let summary = summary::lines(&config);
            Ok(Checked { config, file, summary })
        }
        _ => Err(problems),
    }
}

/// Whether a switch that only makes sense on the command line (`help`, `helpJson`, `version`) is among the flags.
pub fn asks_for(args: &[String], switch: &str) -> bool {
    argv::read(args).values.given(switch).is_some_and(|given| given.value == Value::Switch(true))
}

#[cfg(test)]
mod tests;
