//! What the tests share.

/// Says that `what` is not tested here and why. Under `SOCKETQUEUE_NO_SKIP=1` that is a failure.
#[allow(clippy::print_stdout)]
pub fn skip(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
    assert!(
        std::env::var_os("SOCKETQUEUE_NO_SKIP").is_none_or(|value| value != "1"),
        "{what} was skipped: {why}"
    );
}
