//! What describes the API: the OpenAPI document, made from the loaded dialect, and the page that shows it.
//!
//! Both are made once, at start, and are the same for everybody. Nothing on the page comes from elsewhere, and its policy
//! (CSP) lets it load and reach nothing but us.

mod document;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderValue};

use crate::dialect::Dialect;

pub use document::document;

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";
/// Where the page is, and what it consists of.
const PAGE: &str = "/docs";
const SCRIPT: &str = "/docs/page.js";
const STYLE: &str = "/docs/page.css";

/// What the page may do: run its own script, wear its own style, and ask us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The pages, ready to be sent.
pub struct Pages {
    document: Bytes,
}

impl Pages {
    /// For clients of a host with this dialect. `with_keys`: an API key is asked for.
    pub fn new(dialect: &Dialect, with_keys: bool) -> Pages {
        let document = format!("{:#}\n", document(dialect, with_keys));
        Pages { document: Bytes::from(document) }
    }

    /// Whether `path` is one of the pages.
    pub fn is_mine(path: &str) -> bool {
        matches!(path, DOCUMENT | PAGE | SCRIPT | STYLE)
    }

    /// The page at `path`.
    pub fn get(&self, path: &str) -> Option<Response<Bytes>> {
        let (content_type, body) = match path {
            DOCUMENT => ("application/json", self.document.clone()),
            PAGE => ("text/html; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.html"))),
            SCRIPT => ("text/javascript; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.js"))),
            STYLE => ("text/css; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.css"))),
            _ => return None,
        };
        let mut response = Response::new(body);
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            // The next release may have another page, the next start another dialect.
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_load_nothing_from_elsewhere_and_keep_nothing() {
        let pages = Pages::new(&Dialect::builtin("smartVista").unwrap(), true);
        for path in [DOCUMENT, PAGE, SCRIPT, STYLE] {
            assert!(Pages::is_mine(path));
            let page = pages.get(path).unwrap();
            let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
            let text = std::str::from_utf8(page.body()).unwrap();
            if path != DOCUMENT {
                for forbidden in
                    ["http://", "https://", "localStorage", "sessionStorage", "cookie", "innerHTML", "eval("]
                {
                    assert!(!text.contains(forbidden), "{path}: {forbidden}");
                }
            }
            if path == PAGE {
                assert!(
                    !text.contains(" style=") && !text.contains(" on") || !text.contains("onclick"),
                    "inline"
                );
                assert!(!text.contains("<style") && !text.contains("<script>"), "inline code would not run");
            }
        }
        assert!(!Pages::is_mine("/docs/") && pages.get("/docs/other").is_none());
    }
}
