//! `hostConfig` and `overrides` → a dialect.

use std::path::Path;
use std::sync::Arc;

use super::file::read_text;
use super::given::Values;
use super::problem::{Problem, quote};
use super::suggest;
use crate::dialect::{Dialect, Finding, is_javascript_path, javascript_finding};

/// Largest dialect document, in bytes.
const DOCUMENT_LEN_MAX: u64 = 1 << 20;

/// Where a stranger to dialect documents begins.
const BEGIN: &str = "`socketqueue dialect show smartVista --json` prints one to begin with";

/// The dialect that the configuration names, with its overrides; `None` when problems were added.
pub(super) fn load(values: &Values, problems: &mut Vec<Problem>) -> Option<Arc<Dialect>> {
    let name = values.text("hostConfig")?;
    let dialect = match named(&name) {
        Ok(dialect) => dialect,
        Err(found) => {
            problems.extend(found.into_iter().map(|text| values.problem("hostConfig", text)));
            return None;
        }
    };
    let Some(overrides) = values.text("overrides") else { return Some(dialect) };
    match dialect.with_overrides(&overrides) {
        Ok(changed) => Some(Arc::new(changed)),
        Err(findings) => {
            problems.extend(fatal(findings).map(|text| values.problem("overrides", text)));
            None
        }
    }
}

/// A dialect by name or path.
///
/// # Errors
/// Everything wrong with it, in words.
pub fn named(name: &str) -> Result<Arc<Dialect>, Vec<String>> {
    if let Some(dialect) = Dialect::builtin(name) {
        return Ok(dialect);
    }
    if is_javascript_path(name) {
        return Err(vec![format!("{}: {}", quote(name), javascript_finding().problem)]);
    }
    let path = Path::new(name);
    if !path.exists() {
        return Err(vec![unknown(name)]);
    }
    let text = read_text(path, DOCUMENT_LEN_MAX).map_err(|problem| vec![format!("{name}: {problem}")])?;
    Dialect::from_json(&text)
        .map(Arc::new)
        .map_err(|findings| fatal(findings).map(|finding| format!("{name}: {finding}")).collect())
}

fn unknown(name: &str) -> String {
    let built_in = Dialect::builtin_names().collect::<Vec<_>>().join(" and ");
    match suggest::nearest(name, Dialect::builtin_names()) {
        Some(meant) => format!("unknown dialect {}; did you mean {meant}?", quote(name)),
        None => format!("{} is neither built in ({built_in} are) nor a file; {BEGIN}", quote(name)),
    }
}

fn fatal(findings: Vec<Finding>) -> impl Iterator<Item = String> {
    findings.into_iter().filter(|finding| finding.fatal).map(|finding| match finding.place.as_str() {
        "" => finding.problem,
        place => format!("{place}: {}", finding.problem),
    })
}
