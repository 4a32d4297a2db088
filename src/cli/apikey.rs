//! `apikey`: a fresh API key and its hash.

use std::process::ExitCode;

use sha2::{Digest, Sha256};

use super::{REFUSED, refuse};
use crate::access::fresh_key;
use crate::config::problem::{Problem, quote};
use crate::output::{complain, say};

/// Makes a key. The key itself, for its client, comes first; then its entry in `apiKeys`.
pub(super) fn run(args: &[String]) -> ExitCode {
    let id = match args {
        [] => "client",
        [id] if !id.starts_with('-') => id.as_str(),
        [other, ..] => {
            return refuse(&[Problem::usage(
                quote(other),
                "apikey takes the name of the key, and nothing else",
            )]);
        }
    };
    match fresh_key() {
        Ok(key) => {
            say(&entry(id, &key));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("socketqueue: no random numbers: {error}\n"));
            ExitCode::from(REFUSED)
        }
    }
}

fn entry(id: &str, key: &str) -> String {
    let hash = Sha256::digest(key).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let entry = serde_json::json!({ "id": id, "sha256": hash });
    format!("{key}\n\"apiKeys\": [{entry}]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_has_the_hash_of_the_key() {
        // SHA-256 of `abc` (FIPS 180-2, appendix B.1).
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            entry("shop", "abc"),
            format!("abc\n\"apiKeys\": [{{\"id\":\"shop\",\"sha256\":\"{hash}\"}}]\n")
        );
    }
}
