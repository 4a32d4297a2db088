//! Is it alive, and is it worth sending to?

use super::sources::Observed;

/// Why the process is not healthy, if so: a restart would help.
pub(super) fn why_not_alive(observed: &Observed) -> Option<String> {
    let stuck = observed.upstreams.iter().find(|(_, snapshot)| snapshot.is_none());
    stuck.map(|(name, _)| format!("{name} does not answer"))
}

/// Why the gateway is not ready for requests, if so: other instances should get them.
pub(super) fn why_not_ready(observed: &Observed) -> Option<String> {
    if let Some(why) = why_not_alive(observed) {
        return Some(why);
    }
    let mut upstreams = observed.upstreams.iter().filter_map(|(_, snapshot)| snapshot.as_ref()).peekable();
    upstreams.peek()?;
    if upstreams.clone().all(|snapshot| snapshot.draining) {
        return Some("draining".to_owned());
    }
    // The core hears of a failure by the intents that fail; the journal itself also by what nobody waits for.
    let is_down = observed.journals.iter().any(|(_, seen)| !seen.figures.up);
    if is_down || upstreams.clone().any(|snapshot| !snapshot.journal_up) {
        return Some("the journal takes no intents".to_owned());
    }
    match upstreams.any(|snapshot| snapshot.link.up && !snapshot.draining) {
        true => None,
        false => Some("no upstream link is up".to_owned()),
    }
}
