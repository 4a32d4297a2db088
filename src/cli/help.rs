//! `--help`, made from the table of parameters.

use std::process::ExitCode;

use clap::{Arg, ArgAction, Args, Command};

use crate::config::param::{Group, Param};
use crate::config::problem::{Problem, quote};
use crate::config::reference;
use crate::config::table::PARAMS;
use crate::output;

/// What is said when nothing can be done, as short as the original's usage text.
pub(super) const SHORT_USAGE: &str = "\
usage: socketqueue --upstreamHost=10.0.0.1 --upstreamPort=5000 --listenPort=2014
       socketqueue -c config.json          (all parameters: socketqueue --help)
";

const ABOUT: &str = "An ISO 8583 payment gateway: many clients, one bank link, nothing lost.";

const AFTER: &str = "\
Every flag can be written --upstreamHost=X, --upstreamHost X or --upstream-host=X, and is a key of the configuration file. \
A flag wins over the file. Times are seconds, or have a unit: 500ms, 2s, 5m, 1h.

Logs go to standard error; standard output has one line `listening NAME ADDRESS` for each socket.";

/// The whole command line, for `--help`. Parsing it is the business of [`crate::config::argv`], which tells all problems
/// at once.
pub fn command() -> Command {
    let mut command = Command::new("socketqueue")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER)
        .override_usage("socketqueue [COMMAND] [--name=value …]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .subcommand_help_heading("Commands")
        .max_term_width(120);
    for group in Group::ALL {
        for param in PARAMS.iter().filter(|param| param.group == group) {
            command = command.arg(arg(param));
        }
    }
    command
        .subcommand(
            Command::new("run").about("Runs the gateway (the same as no command)").disable_help_flag(true),
        )
        .subcommand(
            Command::new("check")
                .about("Checks a configuration and says what it would run")
                .override_usage("socketqueue check [FILE] [--name=value …]")
                .disable_help_flag(true),
        )
        .subcommand(
            Command::new("dialect")
                .about("Lints, shows and describes dialect documents")
                .override_usage(
                    "socketqueue dialect check FILE          lints a dialect document
       socketqueue dialect show NAME [--json]  prints a dialect, built in or of a file, as tables or as its document
       socketqueue dialect schema              prints the JSON Schema of dialect documents",
                )
                .disable_help_flag(true),
        )
        .subcommand(
            Command::new("sample")
                .about("Writes the bytes of a current message, to pipe into nc")
                .override_usage(
                    "socketqueue sample echo|purchase|reversal [--hostConfig=smartVista|openWay] [--timezone=ZONE]",
                )
                .disable_help_flag(true),
        )
        .subcommand(
            Command::new("apikey")
                .about("Makes a fresh API key, and the entry of apiKeys that knows it by its hash")
                .override_usage("socketqueue apikey [ID]")
                .disable_help_flag(true),
        )
        .subcommand(super::bank::BankArgs::augment_args(Command::new("bank")))
        .subcommand(
            super::journal::JournalArgs::augment_args(Command::new("journal"))
                .disable_help_subcommand(true)
                .subcommand_required(true)
                .arg_required_else_help(true),
        )
        .subcommand(super::reconcile::ReconcileArgs::augment_args(Command::new("reconcile")))
        .subcommand(
            super::bench::BenchArgs::augment_args(Command::new("bench")).after_help(super::bench::EXAMPLES),
        )
        .subcommand(
            Command::new("help")
                .about("Prints this, or the help of a command")
                .override_usage("socketqueue help [COMMAND]")
                .disable_help_flag(true),
        )
}

fn arg(param: &'static Param) -> Arg {
    let mut help = reference::help(param);
    if let Some(default) = param.fallback_text().filter(|default| *default != "false") {
        help.push_str(&format!(" [default: {default}]"));
    }
    let arg = Arg::new(param.name).long(param.name).help(help).help_heading(param.group.heading());
    let arg = match param.kebab() {
        kebab if kebab != param.name => arg.alias(kebab),
        _ => arg,
    };
    let arg = match param.name {
        "c" => arg.short('c'),
        "v" => arg.short('v'),
        "help" => arg.short('h'),
        "version" => arg.short('V'),
        _ => arg,
    };
    match param.is_switch() {
        true => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true)
            .value_name("BOOL"),
        false => arg.action(ArgAction::Set).value_name(param.kind.placeholder()),
    }
}

/// The names of all subcommands.
pub(super) fn subcommands() -> Vec<String> {
    command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// One subcommand, as a command of its own.
pub(super) fn subcommand(name: &str) -> Option<Command> {
    let mut command = command();
    command.build();
    command.find_subcommand(name).cloned()
}

/// Prints the help of the command that `path` names; of everything without one.
pub(super) fn show(path: &[String]) -> ExitCode {
    let mut command = command();
    command.build();
    for name in path.iter().take_while(|name| !name.starts_with('-')) {
        match command.find_subcommand(name) {
            Some(found) => command = found.clone(),
            None => {
                return super::refuse(&[Problem::usage(
                    quote(name),
                    "unknown command; `socketqueue help` lists all",
                )]);
            }
        }
    }
    // What an operator decides about deserves whole sentences, and its exit codes.
    let help = match path.first().map(String::as_str) {
        Some("journal" | "reconcile") => command.render_long_help(),
        _ => command.render_help(),
    };
    output::say(&help.to_string());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_command_takes_what_the_reader_of_flags_takes() {
        for param in PARAMS {
            let text = param.fallback_text().filter(|_| param.is_switch()).unwrap_or("1");
            for name in [param.name.to_owned(), param.kebab()] {
                let line = format!("--{name}={text}");
                let matches = command().try_get_matches_from(["socketqueue", line.as_str()]);
                assert!(matches.is_ok(), "{line}");
                let read = crate::config::argv::read(std::slice::from_ref(&line));
                assert!(read.problems.iter().all(|problem| !problem.usage), "{line}: {:?}", read.problems);
            }
        }
    }

    #[test]
    fn every_parameter_is_in_the_help_under_its_heading() {
        let help = command().render_help().to_string();
        for param in PARAMS {
            assert!(help.contains(&format!("--{}", param.name)), "{}", param.name);
        }
        for group in Group::ALL {
            assert!(help.contains(&format!("\n{}:\n", group.heading())), "{group:?}");
        }
    }
}
