//! Findings: what is wrong with a dialect document, and where.

use std::fmt;

/// What is wrong with a dialect document, with its place (`fields.35.length`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path inside the document; empty: the whole.
    pub place: String,
    /// What is wrong, and what would be right.
    pub problem: String,
    /// Whether this refuses the dialect (else a warning).
    pub fatal: bool,
}

impl Finding {
    /// One that refuses the dialect.
    pub fn fatal(place: impl Into<String>, problem: impl Into<String>) -> Finding {
        Finding { place: place.into(), problem: problem.into(), fatal: true }
    }

    /// One that does not.
    pub fn warning(place: impl Into<String>, problem: impl Into<String>) -> Finding {
        Finding { place: place.into(), problem: problem.into(), fatal: false }
    }
}

impl fmt::Display for Finding {
    /// `error: fields.35.length: is missing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { place, problem, fatal } = self;
        let kind = if *fatal { "error" } else { "warning" };
        if place.is_empty() {
            write!(f, "{kind}: {problem}")
        } else {
            write!(f, "{kind}: {place}: {problem}")
        }
    }
}

/// A growing list of findings.
#[derive(Debug, Default)]
pub(super) struct Findings(pub Vec<Finding>);

impl Findings {
    pub(super) fn fatal(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Finding::fatal(place, problem));
    }

    pub(super) fn warning(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Finding::warning(place, problem));
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.0.iter().any(|finding| finding.fatal)
    }
}
