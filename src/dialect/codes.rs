//! What response codes (DE 39) mean.

/// The classes of response codes. Codes are kept as text, zero-filled to DE 39's length.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    /// Requests: approved, partial approvals included.
    pub approved: Vec<String>,
    /// Requests: declined, that is: the host surely did not act.
    pub declined: Vec<String>,
    /// Requests: the host does not know. What is in no list is in doubt as well.
    pub in_doubt: Vec<String>,
    /// Reversals: done, or had been done before.
    pub accepted: Vec<String>,
    /// Reversals: original not found.
    pub not_found: Vec<String>,
    /// Reversals: try again. What is in no list is tried again as well.
    pub retry: Vec<String>,
    /// Reversals: will never be accepted; parked at once.
    pub reject: Vec<String>,
}

/// What a response code means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestClass {
    /// The host acted.
    Approved,
    /// The host did not act.
    Declined,
    /// Unlisted, missing, or a code by which the host says that it does not know.
    InDoubt,
}

/// What a response code means for a reversal or advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReversalClass {
    /// Done (already reversed included).
    Accepted,
    /// The host has no such original (yet).
    NotFound,
    /// Try again; also unlisted and missing codes.
    Retry,
    /// Will never be accepted.
    Reject,
}

impl Codes {
    /// The class of a response code for a request; `None` (no DE 39) and unlisted codes are in doubt.
    #[inline]
    pub fn of_request(&self, code: Option<&[u8]>) -> RequestClass {
        let Some(code) = code else { return RequestClass::InDoubt };
        if lists(&self.approved, code) {
            RequestClass::Approved
        } else if lists(&self.declined, code) {
            RequestClass::Declined
        } else {
            RequestClass::InDoubt
        }
    }

    /// The class of a response code for a reversal or advice; `None` and unlisted codes are `Retry`.
    #[inline]
    pub fn of_reversal(&self, code: Option<&[u8]>) -> ReversalClass {
        let Some(code) = code else { return ReversalClass::Retry };
        if lists(&self.accepted, code) {
            ReversalClass::Accepted
        } else if lists(&self.not_found, code) {
            ReversalClass::NotFound
        } else if lists(&self.reject, code) {
            ReversalClass::Reject
        } else {
            ReversalClass::Retry
        }
    }
}

fn lists(codes: &[String], code: &[u8]) -> bool {
    codes.iter().any(|listed| listed.as_bytes() == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    fn requests(dialect: &str, expected: RequestClass, codes: &[&str]) {
        let dialect = Dialect::builtin(dialect).unwrap();
        for code in codes {
            assert_eq!(dialect.codes.of_request(Some(code.as_bytes())), expected, "{} {code}", dialect.name);
        }
    }

    fn reversals(dialect: &str, expected: ReversalClass, codes: &[&str]) {
        let dialect = Dialect::builtin(dialect).unwrap();
        for code in codes {
            assert_eq!(dialect.codes.of_reversal(Some(code.as_bytes())), expected, "{} {code}", dialect.name);
        }
    }

    #[test]
    fn smart_vista_has_the_classes_of_the_design() {
        requests("smartVista", RequestClass::Approved, &["000", "001", "002", "003", "020"]);
        requests("smartVista", RequestClass::Declined, &["100", "116", "117", "120", "200", "904", "914"]);
        requests("smartVista", RequestClass::InDoubt, &["909", "911", "912", "923"]);
        reversals("smartVista", ReversalClass::Accepted, &["000", "020", "400", "913"]);
        reversals("smartVista", ReversalClass::NotFound, &["914"]);
        reversals("smartVista", ReversalClass::Reject, &["904", "915"]);
        // The original's system errors, and what says that the host does not know.
        let retry = ["005", "120", "902", "903", "907", "910", "912", "909", "911", "923"];
        reversals("smartVista", ReversalClass::Retry, &retry);
    }

    #[test]
    fn an_error_without_a_ruling_is_no_decline() {
        requests("smartVista", RequestClass::InDoubt, &["005", "907", "910", "913"]);
        requests("openWay", RequestClass::InDoubt, &["06", "68", "82", "91", "94", "96"]);
    }

    #[test]
    fn open_way_has_two_digit_classes() {
        requests("openWay", RequestClass::Approved, &["00", "08", "10", "11", "16"]);
        requests(
            "openWay",
            RequestClass::Declined,
            &["05", "12", "14", "30", "41", "51", "55", "61", "65", "75"],
        );
        reversals("openWay", ReversalClass::Accepted, &["00", "94"]);
        reversals("openWay", ReversalClass::NotFound, &["25"]);
        reversals("openWay", ReversalClass::Retry, &["68", "82", "91", "96", "05"]);
        reversals("openWay", ReversalClass::Reject, &["13", "21", "30"]);
    }

    #[test]
    fn an_unlisted_or_missing_code_is_never_done() {
        for dialect in ["smartVista", "openWay"] {
            let codes = &Dialect::builtin(dialect).unwrap().codes;
            for code in [None, Some(&b""[..]), Some(b"ZZZ"), Some(b"0"), Some(b"999"), Some(b"0000")] {
                assert_eq!(codes.of_request(code), RequestClass::InDoubt);
                assert_eq!(codes.of_reversal(code), ReversalClass::Retry);
            }
        }
    }
}
