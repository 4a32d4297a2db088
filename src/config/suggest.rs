//! Did you mean …?

use super::table::PARAMS;

/// The name among `names` that `given` was probably meant to be.
///
/// Letter case, dashes and underscores do not count; of what is left, a third of the letters may differ (at least one).
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > GIVEN_MAX {
        return None;
    }
    let given = folded(given);
    let letters = given.chars().count();
    let slack = (letters / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&given, &folded(name)), name))
        .filter(|(distance, _)| *distance <= slack && *distance < letters)
        .min()
        .map(|(_, name)| name)
}

/// The parameter that `given` was probably meant to be.
pub fn parameter(given: &str) -> Option<&'static str> {
    nearest(given, PARAMS.iter().map(|param| param.name))
}

/// Nobody mistypes a name that is so long; comparing costs the product of both lengths.
const GIVEN_MAX: usize = 64;

fn folded(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_finds_its_parameter() {
        for (given, meant) in [
            ("upstreamPrt", Some("upstreamPort")),
            ("upstreamhost", Some("upstreamHost")),
            ("upstream_host", Some("upstreamHost")),
            ("lisenPort", Some("listenPort")),
            ("queueLockTerminals", Some("queueLockTerminal")),
            ("verison", Some("version")),
            ("colour", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(parameter(given), meant, "{given}");
        }
        assert_eq!(parameter(&"x".repeat(1 << 20)), None);
    }
}
