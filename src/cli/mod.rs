//! Arguments → command. One file per subcommand; without one, the gateway runs.
//!
//! Exit codes: 0 done; 1 refused (configuration, port in use, failure); 2 the command line could not be understood.

mod apikey;
pub mod bank;
pub mod bench;
mod check;
pub mod dialect;
pub mod help;
mod journal;
mod reconcile;
mod run;
pub mod sample;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::config::problem::{Problem, quote};
use crate::config::{self, contradictions, suggest};
use crate::net::clock::Clock;
use crate::output::{complain, say};

/// What the command line names did not do what it was asked.
pub const REFUSED: u8 = 1;
/// The command line could not be understood.
pub const USAGE: u8 = 2;

/// Runs the command that `args` (without the name of the program) name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::log::set_panic_hook(None);
    let mut texts = Vec::new();
    for (at, arg) in args.into_iter().enumerate() {
        match arg.into_string() {
            Ok(text) => texts.push(text),
            Err(_) => return refuse(&[Problem::usage(format!("argument {}", at + 1), "is not UTF-8 text")]),
        }
    }
    dispatch(&texts)
}

fn dispatch(args: &[String]) -> ExitCode {
    // Flags without a subcommand run the gateway, as in SocketQueue.
    let (name, rest) = match args.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (first.as_str(), rest),
        _ => ("run", args),
    };
    if config::asks_for(args, "version") && matches!(name, "run" | "check") {
        say(&format!("socketqueue {}\n", env!("CARGO_PKG_VERSION")));
        return ExitCode::SUCCESS;
    }
    match name {
        "run" if config::asks_for(rest, "help") => help::show(&[]),
        "check" if config::asks_for(rest, "help") => help::show(&["check".to_owned()]),
        "run" if config::asks_for(rest, "helpJson") => {
            say(&config::reference::template());
            ExitCode::SUCCESS
        }
        "run" => run::run(rest),
        "check" => check::run(rest),
        "bank" => with_args(name, rest, |args| finish(bank::run(args))),
        "journal" if asks_for_help(rest) => {
            help::show(&args.iter().filter(|word| *word != "help").cloned().collect::<Vec<_>>())
        }
        "journal" => with_args(name, rest, journal::run),
        "reconcile" => with_args(name, rest, reconcile::run),
        "bench" => with_args(name, rest, |args| finish(bench::run(args))),
        "apikey" if asks_for_help(rest) => help::show(&args[..1]),
        "apikey" => apikey::run(rest),
        "dialect" | "sample" if asks_for_help(rest) => help::show(&args[..1]),
        "dialect" => dialect::run(rest),
        "sample" => sample_now(rest),
        "help" => help::show(rest),
        unknown => refuse(&[unknown_command(unknown)]),
    }
}

/// Reads the flags of a subcommand that has its own, and runs it.
fn with_args<T: clap::Args>(name: &str, rest: &[String], run: impl FnOnce(T) -> ExitCode) -> ExitCode {
    if asks_for_help(rest) {
        return help::show(&[name.to_owned()]);
    }
    let Some(command) = help::subcommand(name) else { return refuse(&[unknown_command(name)]) };
    let words = std::iter::once(name).chain(rest.iter().map(String::as_str));
    match command.try_get_matches_from(words).and_then(|matches| T::from_arg_matches(&matches)) {
        Ok(args) => run(args),
        Err(error) => {
            complain(&error.render().to_string());
            ExitCode::from(USAGE)
        }
    }
}

fn asks_for_help(args: &[String]) -> bool {
    args.iter().any(|word| matches!(word.as_str(), "--help" | "-h"))
}

/// `sample`, with the clock of the zone that `--timezone` names, or of the system's.
fn sample_now(args: &[String]) -> ExitCode {
    let is_zone = |arg: &&String| arg.starts_with("--timezone=");
    let zone = args.iter().rfind(is_zone).and_then(|arg| arg.split_once('=')).map(|(_, zone)| zone);
    let rest: Vec<String> = args.iter().filter(|arg| !is_zone(arg)).cloned().collect();
    match Clock::new(zone) {
        Ok(clock) => sample::run(&rest, clock.now()),
        Err(error) => refuse(&[Problem::new("--timezone", error.to_string())]),
    }
}

/// The exit code of a subcommand; its error, with what caused it, goes to standard error.
fn finish<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    complain(&format!("socketqueue: {text}\n"));
    ExitCode::from(REFUSED)
}

fn unknown_command(name: &str) -> Problem {
    let names: Vec<String> = help::subcommands();
    let hint = match suggest::nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("unknown command; did you mean {meant}?"),
        None if name.ends_with(".json") => format!("unknown command; did you mean -c {name}?"),
        None => format!("unknown command; there are {}", names.join(", ")),
    };
    Problem::usage(quote(name), hint)
}

/// Prints problems to standard error; the exit code that fits them.
pub(crate) fn refuse(problems: &[Problem]) -> ExitCode {
    let mut text = String::new();
    match problems {
        [problem] => text.push_str(&format!("socketqueue: {}\n", problem_line(problem))),
        several => {
            text.push_str(&format!("socketqueue: {} problems\n", several.len()));
            for problem in several {
                text.push_str(&format!("  {problem}\n"));
            }
        }
    }
    if problems.iter().any(|problem| problem.usage) {
        text.push_str(help::SHORT_USAGE);
    }
    complain(&text);
    ExitCode::from(if problems.iter().any(|problem| problem.usage) { USAGE } else { REFUSED })
}

fn problem_line(problem: &Problem) -> String {
    // That nothing is to be done has no place on the command line.
    match problem.problem == contradictions::NOTHING_TO_DO {
        true => problem.problem.clone(),
        false => problem.to_string(),
    }
}
