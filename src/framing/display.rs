//! Showing a framing in its text form.

use std::fmt;

use super::Framing;
use super::length::Code;
use super::preset::PRESETS;
use super::spec::{Counts, Delimiter, LengthSpec, Part, Spec};
use super::text::is_quotable;

impl fmt::Display for Framing {
    /// A preset's name where it is one, else the list of parts. Parses to an equal framing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in PRESETS {
            if Framing::parse(text).is_ok_and(|preset| preset == *self) {
                return f.write_str(name);
            }
        }
        fmt::Display::fmt(&self.spec, f)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.head.iter().map(Part::to_string).collect();
        match &self.delimiter {
            Delimiter::Length => {}
            Delimiter::Message => parts.push("self".to_owned()),
            Delimiter::Until(bytes) => parts.push(format!("until({})", Bytes(bytes))),
        }
        if !self.trailer.is_empty() {
            parts.push(format!("trailer({})", Bytes(&self.trailer)));
        }
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name())?;
        match self {
            Part::Fixed(bytes) => write!(f, "{}", Bytes(bytes))?,
            Part::Tpdu(bytes) => write!(f, "{}", Bytes(bytes))?,
            Part::Header { bytes, choices, .. } => {
                write!(f, "{}", Bytes(bytes))?;
                for (when, bytes) in choices {
                    write!(f, ", {}: {}", Bytes(when), Bytes(bytes))?;
                }
            }
            Part::Length(length) => write!(f, "{length}")?,
        }
        f.write_str(")")
    }
}

impl fmt::Display for LengthSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, order) = match self.code {
            Code::Ascii => ("ascii", ""),
            Code::Hex => ("hex", ""),
            Code::Bcd => ("bcd", ""),
            Code::Big => ("bin", ""),
            Code::Little => ("bin", " le"),
        };
        write!(f, "{code} {}{order}", self.width)?;
        match self.counts {
            Counts::PAYLOAD => {}
            Counts::ALL => f.write_str(", counts=all")?,
            Counts { itself, before, after, trailer } => {
                f.write_str(", counts=payload")?;
                let terms = [("itself", itself), ("before", before), ("after", after), ("trailer", trailer)];
                for (name, _) in terms.iter().filter(|(_, counted)| *counted) {
                    write!(f, "+{name}")?;
                }
            }
        }
        match self.add {
            0 => Ok(()),
            add => write!(f, ", add={add}"),
        }
    }
}

/// Bytes as the text form has them.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.bytes().all(is_quotable) => write!(f, "'{text}'"),
            _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
