//! The command line: flags to values, all problems at once.

use super::given::{Given, Values};
use super::param::Param;
use super::problem::{Problem, masked, quote};
use super::value::Value;
use super::{suggest, table, value};

/// What the flags say.
#[derive(Debug, Default)]
pub struct Argv {
    /// Their values.
    pub values: Values,
    /// What stands between them.
    pub positional: Vec<String>,
    /// Things to say at start.
    pub notices: Vec<String>,
    /// Everything wrong.
    pub problems: Vec<Problem>,
}

/// Reads flags: `--name=value`, `--name value`, `--name` for a switch, the kebab-case aliases, and `-c`, `-v`, `-h`, `-V`.
/// `args` come without the name of the program and without a subcommand.
pub fn read(args: &[String]) -> Argv {
    let mut argv = Argv::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if let Some(flag) = arg.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match table::find_flag(name) {
                Some(param) => argv.flag(param, value, &mut rest),
                None => argv.unknown(name, value.is_some()),
            }
        } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty()) {
            argv.short(short, &mut rest);
        } else {
            argv.positional.push(arg.clone());
        }
    }
    argv
}

impl Argv {
    fn flag(
        &mut self,
        param: &'static Param,
        value: Option<String>,
        rest: &mut std::slice::Iter<'_, String>,
    ) {
        let place = format!("--{}", param.name);
        let text = match value {
            Some(value) => value,
            None if param.is_switch() => {
                // `--vv false` would switch on and leave a stray word behind.
                if let Some(word @ ("true" | "false")) = rest.as_slice().first().map(String::as_str) {
                    rest.next();
                    self.broken(param, Problem::usage(&place, format!("write --{}={word}", param.name)));
                    return;
                }
                "true".to_owned()
            }
            None => match rest.as_slice().first().filter(|next| !next.starts_with('-')) {
                Some(next) => {
                    rest.next();
                    next.clone()
                }
                None => {
                    let example =
                        format!("has no value; write --{}={}", param.name, param.kind.placeholder());
                    self.broken(param, Problem::usage(&place, example));
                    return;
                }
            },
        };
        // Start scripts fill flags from variables, and an empty one means that there is nothing to say.
        if text.is_empty() && !param.is_switch() {
            return;
        }
        match value::from_text(param.kind, &text) {
            Ok(value) => self.keep(param, Given { value, place }),
            Err(problem) => self.broken(param, Problem::new(place, problem)),
        }
    }

    fn broken(&mut self, param: &'static Param, problem: Problem) {
        self.values.set_broken(param);
        self.problems.push(problem);
    }

    fn keep(&mut self, param: &'static Param, given: Given) {
        let value = given.value.clone();
        if let Some(before) = self.values.set(param, given)
            && before.value != value
        {
            self.notices
                .push(format!("{} is given twice on the command line; the last one counts", param.name));
        }
    }

    /// One dash: `-c FILE`, `-c=FILE`, `-cFILE`, and single letters for switches.
    fn short(&mut self, short: &str, rest: &mut std::slice::Iter<'_, String>) {
        let switch = match short {
            "v" | "vv" => short,
            "h" => "help",
            "V" => "version",
            _ => {
                match (short.strip_prefix('c'), table::find("c")) {
                    (Some(file), Some(param)) => {
                        let file = file.strip_prefix('=').unwrap_or(file);
                        self.flag(param, (!file.is_empty()).then(|| file.to_owned()), rest);
                    }
                    _ => self.problems.push(Problem::usage(
                        format!("-{}", masked(short)),
                        "unknown flag; there are -c, -v, -vv, -h and -V, and long ones with two dashes",
                    )),
                }
                return;
            }
        };
        if let Some(param) = table::find(switch) {
            self.keep(param, Given { value: Value::Switch(true), place: format!("-{short}") });
        }
    }

    fn unknown(&mut self, name: &str, has_value: bool) {
        // `--noAutoReversal` has no counterpart; people try `--no-x` for what is on by default.
        let negated = name.strip_prefix("no-").and_then(table::find_flag).filter(|param| param.is_switch());
        let hint = match (negated, suggest::parameter(name)) {
            (Some(param), _) => format!("unknown flag; write --{}=false", param.name),
            (None, Some(meant)) => format!("unknown flag; did you mean --{meant}?"),
            (None, None) => "unknown flag; `socketqueue --help` lists all".to_owned(),
        };
        if let Some(meant) = negated.or_else(|| suggest::parameter(name).and_then(table::find)) {
            self.values.set_broken(meant);
        }
        let place = quote(&format!("--{name}{}", if has_value { "=…" } else { "" }));
        self.problems.push(Problem::usage(place.trim_matches('\''), hint));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_way_of_writing_a_flag_is_read() {
        for line in
            ["--upstreamPort=5000", "--upstream-port=5000", "--upstreamPort 5000", "--upstream-port 5000"]
        {
            let argv = read(&args(line));
            assert_eq!(argv.problems, [], "{line}");
            assert_eq!(argv.values.port("upstreamPort"), Some(5000), "{line}");
        }
        for line in
            ["-c config.json", "--c=config.json", "-c=config.json", "-cconfig.json", "--c config.json"]
        {
            let argv = read(&args(line));
            assert_eq!(argv.problems, [], "{line}");
            assert_eq!(argv.values.text("c").as_deref(), Some("config.json"), "{line}");
        }
        for (line, on) in [("--vv", true), ("--vv=true", true), ("--vv=false", false), ("-vv", true)] {
            let argv = read(&args(line));
            assert_eq!(argv.problems, [], "{line}");
            assert_eq!(argv.values.is_on("vv"), on, "{line}");
        }
        assert!(!read(&args("--queueLockTerminal=false")).values.is_on("queueLockTerminal"));
        assert!(read(&[]).values.is_on("queueLockTerminal"));
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_a_did_you_mean() {
        let argv = read(&args(
            "--upstreamPrt=5 --vv=maybe --listenPort=99999 --no-use-header -x --vv false --maxQueue",
        ));
        let told: Vec<String> = argv.problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            told,
            [
                "--upstreamPrt=…: unknown flag; did you mean --upstreamPort?",
                "--vv: must be true or false, not 'maybe'",
                "--listenPort: must be a port from 0 to 65535; '99999' is outside",
                "--no-use-header: unknown flag; write --useHeader=false",
                "-x: unknown flag; there are -c, -v, -vv, -h and -V, and long ones with two dashes",
                "--vv: write --vv=false",
                "--maxQueue: has no value; write --maxQueue=N",
            ]
        );
        assert!(argv.problems[0].usage && !argv.problems[1].usage);
    }

    #[test]
    fn the_last_of_two_equal_flags_counts_and_says_so() {
        let argv = read(&args("--queueTimeout=1 --queueTimeout=9"));
        assert_eq!(argv.values.time("queueTimeout"), Some(Duration::from_secs(9)));
        assert_eq!(argv.notices.len(), 1);
        assert_eq!(read(&args("--vv --vv")).notices.len(), 0);
    }

    #[test]
    fn an_empty_value_is_no_value() {
        let argv = read(&args("--logstashHost= --upstreamPort="));
        assert_eq!(argv.problems, []);
        assert!(!argv.values.has("logstashHost") && !argv.values.has("upstreamPort"));
        assert_eq!(read(&args("--vv=")).problems.len(), 1);
    }
}
