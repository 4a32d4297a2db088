//! The API key of a request.

use hyper::header::{AUTHORIZATION, HeaderMap};

/// The other header that may have it.
const X_API_KEY: &str = "x-api-key";

/// The API key that a request presents: `Authorization: Bearer KEY` or `X-Api-Key: KEY`. Of several, the first.
pub(super) fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let (scheme, key) = authorization.as_bytes().split_at_checked(b"Bearer ".len())?;
        return scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii());
    }
    headers.get(X_API_KEY).map(|key| key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_as_bearer_token_or_in_a_header_of_its_own() {
        for (name, value, expected) in [
            ("authorization", "Bearer abc", Some(&b"abc"[..])),
            ("authorization", "bearer  abc ", Some(b"abc")),
            ("authorization", "Basic abc", None),
            ("authorization", "Bearer", None),
            ("authorization", "", None),
            ("x-api-key", "abc", Some(b"abc")),
            ("cookie", "abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(presented(&headers), expected, "{name}: {value}");
        }
    }
}
