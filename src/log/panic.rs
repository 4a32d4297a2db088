//! What is said of a panic: where it happened and what it says, never what was being handled.

use std::io::Write;
use std::panic::PanicHookInfo;

use slog::{Drain, Logger};

use super::LOG_THREAD;
use crate::iso8583::mask::{self, MaskStyle};

/// Longest message of a panic that is logged, in characters.
const MESSAGE_MAX: usize = 200;

/// From now on panics go to `logger` (to standard error if there is none, or it has no sink), described by [`describe_panic`].
pub fn set_panic_hook(logger: Option<Logger>) {
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
        let text = describe_panic(message(panic));
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        // The log thread cannot report its own end, and with `silent` and no file nobody else would.
        let reporting =
            logger.as_ref().filter(|logger| logger.is_enabled(slog::Level::Critical) && thread != LOG_THREAD);
        match reporting {
            Some(logger) => slog::crit!(logger, "panic: {}", text; "at" => location, "thread" => thread),
            None => {
                let line = format!("socketqueue: panic at {location} in thread {thread}: {text}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
        }
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("")
}

/// The message of a panic as it may be logged: its first line, masked, and without what stands in quotes or brackets,
/// where the standard library quotes the value at fault (`byte index 3 is out of bounds of `…``, `left: [1, 2]`).
pub fn describe_panic(message: &str) -> String {
    let mut kept = String::new();
    let mut closing = None;
    for letter in message.lines().next().unwrap_or_default().chars() {
        match closing {
            Some(end) if letter == end => closing = None,
            Some(_) => {}
            None => {
                closing = match letter {
                    '`' => Some('`'),
                    '"' => Some('"'),
                    '[' => Some(']'),
                    '{' => Some('}'),
                    _ => None,
                };
                kept.push(if closing.is_some() { '…' } else { letter });
            }
        }
    }
    let masked = mask::free_text(&kept, MaskStyle::default());
    masked.chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_panic_keeps_its_words_and_loses_its_values() {
        for (message, described) in [
            (
                "index out of bounds: the len is 3 but the index is 5",
                "index out of bounds: the len is 3 but the index is 5",
            ),
            (
                "byte index 3 is not a char boundary; it is inside 'é' of `48é507812345`",
                "byte index 3 is not a char boundary; it is inside 'é' of …",
            ),
            (
                "called `Result::unwrap()` on an `Err` value: Utf8Error { valid_up_to: 1 }",
                "called … on an … value: Utf8Error …",
            ),
            ("assertion failed\n  left: [52, 56, 53]", "assertion failed"),
            ("open `never closed 4850781234567891", "open …"),
        ] {
            assert_eq!(describe_panic(message), described);
        }
        assert!(!describe_panic("pan 4850781234567891 is bad").contains("4850781234567891"));
        assert_eq!(describe_panic(&"x".repeat(10_000)).len(), MESSAGE_MAX);
    }
}
