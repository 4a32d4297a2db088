//! Keys for people: `stan=000001 tid=00000001`, each value under its own name, masked where it may be card data.

use std::fmt;

use slog::{KV, Record, Serializer};

use crate::iso8583::mask::{self, MaskStyle};
use crate::iso8583::{FieldNumber, field};
use crate::rules::{KeyFields, MatchKey};

/// The name under which key fields without one of their own stand together.
const OTHERS: &str = "key";

/// A key, put into words when it is written and not before.
pub(super) struct Shown<'a> {
    pub(super) key: &'a MatchKey,
    pub(super) fields: &'a KeyFields,
    pub(super) mask: MaskStyle,
}

impl Shown<'_> {
    /// Name and value of each key field, in the order configured.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        let mut others = Vec::new();
        for (number, value) in self.fields.0.iter().zip(self.key.values()) {
            let text = value.escape_ascii().to_string();
            match name(*number) {
                Some(name) => pairs.push((name, masked(*number, &text, self.mask))),
                None => others.push(format!("{}:{}", number.get(), masked(*number, &text, self.mask))),
            }
        }
        if !others.is_empty() {
            pairs.push((OTHERS, others.join(",")));
        }
        pairs
    }
}

fn name(number: FieldNumber) -> Option<&'static str> {
    Some(match number {
        field::STAN => "stan",
        field::TID => "tid",
        field::RRN => "rrn",
        field::MID => "mid",
        field::PAN => "pan",
        field::TRACK_2 => "track2",
        field::AMOUNT => "amount",
        _ => return None,
    })
}

fn masked(number: FieldNumber, text: &str, style: MaskStyle) -> String {
    match number {
        field::PAN => mask::pan(text, style),
        field::TRACK_2 => mask::track2(text, style),
        _ => mask::free_text(text, style),
    }
}

impl KV for Shown<'_> {
    fn serialize(&self, _record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // slog hands pairs over in reverse.
        self.pairs().iter().rev().try_for_each(|(name, value)| serializer.emit_str(name, value))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.pairs().iter().enumerate() {
            write!(f, "{}{name}={value}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
