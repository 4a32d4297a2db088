//! Values as a log, or anybody who may not see card data, may show them.

use std::borrow::Cow;

use super::{Dialect, Masked};
use crate::iso8583::mask::{self, MaskStyle};
use crate::iso8583::schema::Content;
use crate::iso8583::{FieldNumber, Message, field};

impl Dialect {
    /// The value of field `n` as it may be shown; `None` if the message has no such field.
    ///
    /// Fields that the dialect calls safe are shown as they are, but for card numbers in their text. Those that it
    /// masks are masked as it says. All others are searched for card numbers, and starred if they are binary, where a
    /// card number could hide in any form. `style.reveal` shows everything. Control characters come out as `\xNN`
    /// always.
    pub fn shown<'m>(&self, message: &'m Message, n: FieldNumber, style: MaskStyle) -> Option<Cow<'m, str>> {
        let text = message.text(n)?;
        if style.reveal || n == field::MTI {
            return Some(on_one_line(text));
        }
        let content = message.schema().field(n).map_or(Content::Text, |spec| spec.content);
        Some(match self.masked.get(&n) {
            Some(Masked::Pan) => mask::pan(&text, style).into(),
            Some(Masked::Track) => mask::track2(&text, style).into(),
            Some(Masked::Icc) if content == Content::Binary => mask::icc(&message.value(n)?, style).into(),
            Some(Masked::Icc | Masked::Secret) => "*".repeat(text.chars().count()).into(),
            None if self.safe.contains(&n) && matches!(content, Content::Digits | Content::Binary) => text,
            None if content == Content::Binary => mask::binary(&message.value(n)?, style).into(),
            None => mask::free_text(&text, style).into(),
        })
    }
}

/// With control characters as `\xNN`: what a peer sends makes no line of its own in a log.
fn on_one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            control if control.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    Cow::Owned(out)
}
