//! The table of parameters as text: `--helpJson`, and `docs/configuration.md`.

use std::fmt::Write;

use serde_json::{Map, Value as Json};

use super::param::{Fallback, Group, Kind, Param, Status};
use super::table::PARAMS;
use super::value::{self, Value};

/// A template of the configuration file: every key with its default; `null` where there is none.
///
/// It can be used as it is: `null` counts as not given.
pub fn template() -> String {
    let mut object = Map::new();
    for param in PARAMS {
        object.insert(param.name.to_owned(), default_json(param));
    }
    let mut text = serde_json::to_string_pretty(&Json::Object(object)).unwrap_or_default();
    text.push('\n');
    text
}

fn default_json(param: &Param) -> Json {
    let Fallback::Value(text) = param.fallback else { return Json::Null };
    match value::from_text(param.kind, text) {
        Ok(Value::Switch(on)) => Json::from(on),
        Ok(Value::Count(count)) => Json::from(count),
        Ok(Value::Time(time)) if time.subsec_millis() == 0 => Json::from(time.as_secs()),
        Ok(Value::Choice(word)) => word.parse::<u64>().map_or_else(|_| Json::from(word), Json::from),
        _ => Json::from(text),
    }
}

/// The reference of all parameters, as `docs/configuration.md` has it below its introduction.
pub fn markdown() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {}\n\n| key | type | default | since | |\n|---|---|---|---|---|\n",
            group.heading()
        );
        for param in PARAMS.iter().filter(|param| param.group == group) {
            let default = match param.fallback {
                Fallback::Value(value) => format!("`{value}`"),
                Fallback::Derived(words) => words.to_owned(),
                Fallback::Nothing => "–".to_owned(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {default} | {} | {} |",
                param.name,
                kind(param.kind),
                param.since.text(),
                describe(param).replace('|', "\\|"),
            );
        }
    }
    text
}

fn describe(param: &Param) -> String {
    match param.status {
        Status::CommandLine => format!("{} (command line only)", param.help),
        Status::Active => param.help.to_owned(),
        Status::Deprecated(_) | Status::Reserved => help(param),
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        other => other.describe(),
    }
}

/// The help line, with what the parameter's status adds to it.
pub fn help(param: &Param) -> String {
    let mut help = match param.status {
        Status::Active | Status::CommandLine => param.help.to_owned(),
        Status::Deprecated(instead) => format!("deprecated, no effect (as in SocketQueue): use {instead}"),
        Status::Reserved => format!("{} (accepted, not served by this version yet)", param.help),
    };
    if let Kind::Choice(words) = param.kind
        && !words.iter().all(|word| help.contains(word))
    {
        // Writing to a String cannot fail.
        let _ = write!(help, " ({})", words.join(", "));
    }
    help
}
