//! What was given: the values of flags and file, each with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::param::{Fallback, Param};
use super::problem::Problem;
use super::table::{self, PARAMS};
use super::value::{self, Value};

/// A value and the place it came from.
#[derive(Clone, Debug)]
pub struct Given {
    /// The value.
    pub value: Value,
    /// `--upstreamPort`, or `config.json: upstreamPort (line 3)`.
    pub place: String,
}

/// The values of all parameters given, by name.
#[derive(Clone, Debug, Default)]
pub struct Values {
    given: BTreeMap<&'static str, Given>,
    broken: BTreeSet<&'static str>,
}

impl Values {
    /// Sets a value; gives back the one that stood there.
    pub fn set(&mut self, param: &'static Param, given: Given) -> Option<Given> {
        self.given.insert(param.name, given)
    }

    /// Remembers that a parameter was given, with a value that cannot be used (a problem says so). What would follow
    /// from its absence is then no problem of its own.
    pub fn set_broken(&mut self, param: &'static Param) {
        self.broken.insert(param.name);
    }

    /// Lays `over` on top; calls `replaced` for each parameter that had another value here.
    pub fn overlay(&mut self, over: Values, mut replaced: impl FnMut(&'static str)) {
        for (name, given) in over.given {
            let value = given.value.clone();
            if self.given.insert(name, given).is_some_and(|below| below.value != value) {
                replaced(name);
            }
        }
        self.broken.extend(over.broken);
    }

    /// What was given under this name.
    pub fn given(&self, name: &str) -> Option<&Given> {
        debug_assert!(table::find(name).is_some(), "{name} is not in the table");
        self.given.get(name)
    }

    /// Whether it was given, readable or not.
    pub fn has(&self, name: &str) -> bool {
        self.given(name).is_some() || self.broken.contains(name)
    }

    /// Whether it was given as something else than its default.
    pub fn differs(&self, name: &str) -> bool {
        match self.given(name) {
            Some(given) => Some(&given.value) != table::find(name).and_then(fallback).as_ref(),
            None => self.broken.contains(name),
        }
    }

    /// Everything that was given, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Param, &Given)> {
        PARAMS.iter().filter_map(|param| self.given.get(param.name).map(|given| (param, given)))
    }

    /// A problem at the place of `name`; at the flag of that name if it was not given.
    pub fn problem(&self, name: &str, text: impl AsRef<str>) -> Problem {
        match self.given(name) {
            Some(given) => Problem::new(&given.place, text),
            None => Problem::new(format!("--{name}"), text),
        }
    }

    /// The value given, else the default of the table.
    fn value(&self, name: &str) -> Option<Value> {
        if let Some(given) = self.given(name) {
            return Some(given.value.clone());
        }
        table::find(name).and_then(fallback)
    }

    /// A text or path.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => mistyped(name),
        }
    }

    /// A port.
    pub fn port(&self, name: &str) -> Option<u16> {
        match self.value(name)? {
            Value::Port(port) => Some(port),
            _ => mistyped(name),
        }
    }

    /// A switch; off if it has no default.
    pub fn is_on(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Switch(on)) => on,
            None => false,
            Some(_) => mistyped(name).unwrap_or(false),
        }
    }

    /// A number.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Count(count) => Some(count),
            _ => mistyped(name),
        }
    }

    /// A length of time.
    pub fn time(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Time(time) => Some(time),
            _ => mistyped(name),
        }
    }

    /// A limit: `None` when it is switched off.
    pub fn limit(&self, name: &str) -> Option<Duration> {
        self.time(name).filter(|limit| !limit.is_zero())
    }

    /// A list of times.
    pub fn times(&self, name: &str) -> Option<Vec<Duration>> {
        match self.value(name)? {
            Value::Times(times) => Some(times),
            _ => mistyped(name),
        }
    }

    /// A list of field numbers.
    pub fn fields(&self, name: &str) -> Option<Vec<u8>> {
        match self.value(name)? {
            Value::Fields(fields) => Some(fields),
            _ => mistyped(name),
        }
    }

    /// One of several words.
    pub fn choice(&self, name: &str) -> Option<&'static str> {
        match self.value(name)? {
            Value::Choice(word) => Some(word),
            _ => mistyped(name),
        }
    }
}

fn fallback(param: &Param) -> Option<Value> {
    match param.fallback {
        Fallback::Value(text) => value::from_text(param.kind, text).ok(),
        Fallback::Derived(_) | Fallback::Nothing => None,
    }
}

/// A name asked for with the type of another: a mistake of ours, which any test of a whole configuration finds.
fn mistyped<T>(name: &str) -> Option<T> {
    debug_assert!(false, "{name} has another type in the table");
    None
}
