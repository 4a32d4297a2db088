//! What is wrong with a configuration, and where.

use std::fmt;

use crate::iso8583::mask::{self, MaskStyle};

/// One thing that refuses a configuration.
///
/// Both texts pass the mask for free text: a card number that slipped into a flag is not printed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `--upstreamPort`, `config.json: upstreamPort (line 3)`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub problem: String,
    /// Whether the command line could not be understood (exit code 2), rather than what it says refused (exit code 1).
    pub usage: bool,
}

impl Problem {
    /// A refused value or combination.
    pub fn new(place: impl AsRef<str>, problem: impl AsRef<str>) -> Problem {
        Problem { place: masked(place.as_ref()), problem: masked(problem.as_ref()), usage: false }
    }

    /// A command line that cannot be understood.
    pub fn usage(place: impl AsRef<str>, problem: impl AsRef<str>) -> Problem {
        Problem { usage: true, ..Problem::new(place, problem) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for Problem {}

/// Longest quotation of what was given.
const QUOTE_MAX: usize = 80;

/// `text` as it may be printed back: on one line, without card numbers, not longer than [`QUOTE_MAX`] characters.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("'");
    for letter in masked(text).chars().take(QUOTE_MAX) {
        match letter.is_control() {
            true => quoted.extend(letter.escape_default()),
            false => quoted.push(letter),
        }
    }
    if text.chars().count() > QUOTE_MAX {
        quoted.push('…');
    }
    quoted.push('\'');
    quoted
}

/// `text` without what looks like a card number, whatever `dangerous` says: it says it about logs.
pub fn masked(text: &str) -> String {
    mask::free_text(text, MaskStyle::default())
}
