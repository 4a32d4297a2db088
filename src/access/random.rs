//! Random bytes of the operating system.

use std::fs::File;
use std::io::{self, Read};

/// `N` random bytes of the operating system.
///
/// # Errors
/// The system has no `/dev/urandom`, or does not let us read it.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A fresh API key: `sq_` and 32 random bytes in hex. Nobody guesses it, so one pass of SHA-256 hides it well enough.
///
/// # Errors
/// Those of [`random_bytes`].
pub fn fresh_key() -> io::Result<String> {
    let bytes: [u8; 32] = random_bytes()?;
    Ok(bytes.iter().fold(String::from("sq_"), |key, byte| format!("{key}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (one, other) = (fresh_key().unwrap(), fresh_key().unwrap());
        assert_eq!(one.len(), 67);
        assert_ne!(one, other);
    }
}
