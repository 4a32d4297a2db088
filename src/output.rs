//! What the process says on standard output and standard error by itself: `listening …` lines, refusals, help.
//! Everything else is a log line.

use std::io::Write;

use crate::iso8583::mask::{self, MaskStyle};

/// Writes to standard output. A reader that has gone away is no error of ours.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard error. What was typed may stand in the text: a card number is not given back.
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(masked_lines(text).as_bytes());
}

/// Text that may quote what somebody typed, without card numbers; line by line, since line breaks are kept.
pub fn masked_lines(text: &str) -> String {
    text.lines().map(|line| mask::free_text(line, MaskStyle::default()) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_card_numbers_go() {
        assert_eq!(masked_lines("a\n4850781234567891 b\n\nc"), "a\n485078******7891 b\n\nc\n");
    }
}
