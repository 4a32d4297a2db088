//! Reading the text form of a framing. The grammar stands in the [module](super)'s documentation.

use std::fmt;

use super::FramingSpecError;
use super::length::{Code, hex_pairs};
use super::preset::{self, PRESETS};
use super::spec::{ADD_MAX, CHOICES_MAX, Counts, Delimiter, HEAD_LEN_MAX, LengthSpec, PARTS_MAX, Part, Spec};

/// The longest text that is read.
const TEXT_LEN_MAX: usize = 4096;
/// The names of the parts.
const PARTS: [&str; 8] = ["fixed", "header", "echo", "tpdu", "length", "self", "until", "trailer"];
/// How like a name has to be to be proposed (Jaro-Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.75;

/// Reads a preset's name or a list of parts. What it gives is not checked yet: see [`Spec::check`].
pub(super) fn parse(text: &str) -> Result<Spec, FramingSpecError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(FramingSpecError::new(format!(
            "a framing of {} characters, at most {TEXT_LEN_MAX} are read",
            text.len()
        )));
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(FramingSpecError::new("no framing given; for messages without a header it is `none`"));
    }
    Reader { text: preset::text_of(text).unwrap_or(text), at: 0 }.spec()
}

/// A place in the text.
struct Reader<'a> {
    text: &'a str,
    /// In bytes, always at a character's first.
    at: usize,
}

impl<'a> Reader<'a> {
    /// The whole list of parts.
    fn spec(mut self) -> Result<Spec, FramingSpecError> {
        let mut head = Vec::new();
        let mut delimiter: Option<(&str, Delimiter)> = None;
        let mut trailer = Vec::new();
        loop {
            let name = self.name()?;
            if !trailer.is_empty() {
                return Err(self.error(name, "nothing can follow `trailer`"));
            }
            if matches!(name, "length" | "self" | "until")
                && let Some((other, _)) = &delimiter
            {
                return Err(
                    self.error(name, format!("stands beside `{other}`, only one of them can end a message"))
                );
            }
            let behind = delimiter.as_ref().filter(|(other, _)| *other != "length");
            match name {
                "trailer" => trailer = self.in_brackets(name, |reader| reader.bytes(name))?,
                "self" => delimiter = Some((name, Delimiter::Message)),
                "until" => {
                    let bytes = self.in_brackets(name, |reader| reader.bytes(name))?;
                    delimiter = Some((name, Delimiter::Until(bytes)));
                }
                _ if behind.is_some() => {
                    return Err(
                        self.error(name, "belongs to the header, which ends before `self` or `until`")
                    );
                }
                _ => {
                    let part = self.in_brackets(name, |reader| reader.part(name))?;
                    if let Part::Length(_) = part {
                        delimiter = Some((name, Delimiter::Length));
                    }
                    head.push(part);
                }
            }
            if head.len() > PARTS_MAX {
                return Err(FramingSpecError::new(format!("more than {PARTS_MAX} parts")));
            }
            match self.symbol() {
                None => break,
                Some(',') => {}
                Some(_) => return Err(self.error(name, "after it a comma and the next part are expected")),
            }
        }
        let Some((_, delimiter)) = delimiter else {
            return Err(FramingSpecError::new(
                "nothing tells where a message ends: `length(...)`, `until(...)` or `self` is needed",
            ));
        };
        Ok(Spec { head, delimiter, trailer })
    }

    /// The name of a part.
    fn name(&mut self) -> Result<&'a str, FramingSpecError> {
        let word = self.word();
        if let Some(name) = PARTS.iter().find(|name| **name == word) {
            return Ok(name);
        }
        if word.is_empty() {
            return Err(FramingSpecError::new(format!("a part is expected {}", self.place())));
        }
        // Presets have hyphens in their names.
        let word = self.text.get(self.at - word.len()..).unwrap_or(word);
        let word = word.split([',', '(', ' ']).next().unwrap_or(word);
        if let Some(text) = preset::text_of(word) {
            return Err(FramingSpecError::new(format!(
                "`{word}` is a whole framing and stands alone; in a list of parts write `{text}`"
            )));
        }
        let names = || PRESETS.iter().map(|(name, _)| *name).chain(PARTS);
        let likeness = |name: &str| strsim::jaro_winkler(name, word);
        let nearest = names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = match nearest.filter(|name| likeness(name) >= LIKENESS_MIN) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err(FramingSpecError::new(format!("`{}` is no framing and no part of one; {hint}", shown(word))))
    }

    /// What stands between the brackets of a part of the header.
    fn part(&mut self, name: &str) -> Result<Part, FramingSpecError> {
        match name {
            "length" => self.length().map(Part::Length),
            "fixed" => self.bytes(name).map(Part::Fixed),
            "tpdu" => match <[u8; 5]>::try_from(self.bytes(name)?) {
                Ok(bytes) => Ok(Part::Tpdu(bytes)),
                Err(bytes) => Err(self.error(name, format!("has {} bytes, a TPDU has 5", bytes.len()))),
            },
            _ => {
                let bytes = self.bytes(name)?;
                let mut choices = Vec::new();
                while self.take(',') {
                    let when = self.bytes(name)?;
                    self.expect(name, ':')?;
                    choices.push((when, self.bytes(name)?));
                    if choices.len() > CHOICES_MAX {
                        return Err(self.error(name, format!("has more than {CHOICES_MAX} alternatives")));
                    }
                }
                Ok(Part::Header { bytes, choices, echo: name == "echo" })
            }
        }
    }

    /// `ascii 4, counts=payload+trailer, add=-2`
    fn length(&mut self) -> Result<LengthSpec, FramingSpecError> {
        let code = match self.word() {
            "ascii" => Code::Ascii,
            "hex" => Code::Hex,
            "bcd" => Code::Bcd,
            "bin" => Code::Big,
            _ => return Err(self.error("length", "begins with its code: ascii, hex, bcd or bin")),
        };
        let Ok(width) = self.word().parse::<usize>() else {
            return Err(self.error("length", "its size in bytes follows the code, as in `ascii 4`"));
        };
        let code = match self.word() {
            "" => code,
            "le" if code == Code::Big => Code::Little,
            _ => return Err(self.error("length", "only `le` can follow the size, and only with bin")),
        };
        let (mut counts, mut add) = (None, None);
        while self.take(',') {
            match self.word() {
                "counts" if counts.is_none() => {
                    self.expect("length", '=')?;
                    counts = Some(self.counts()?);
                }
                "add" if add.is_none() => {
                    self.expect("length", '=')?;
                    add = Some(self.signed()?);
                }
                "counts" | "add" => return Err(self.error("length", "an option stands twice")),
                _ => return Err(self.error("length", "its options are counts=... and add=...")),
            }
        }
        Ok(LengthSpec { code, width, counts: counts.unwrap_or(Counts::PAYLOAD), add: add.unwrap_or(0) })
    }

    fn counts(&mut self) -> Result<Counts, FramingSpecError> {
        let mut counts = Counts::PAYLOAD;
        let mut payload = false;
        loop {
            let counted = match self.word() {
                "all" if !payload && counts == Counts::PAYLOAD => return Ok(Counts::ALL),
                "payload" => &mut payload,
                "itself" => &mut counts.itself,
                "before" => &mut counts.before,
                "after" => &mut counts.after,
                "trailer" => &mut counts.trailer,
                _ => {
                    let problem =
                        "counts can be payload, itself, before, after and trailer joined by +, or all";
                    return Err(self.error("length", problem));
                }
            };
            if std::mem::replace(counted, true) {
                return Err(self.error("length", "counts something twice"));
            }
            if !self.take('+') {
                break;
            }
        }
        match payload {
            true => Ok(counts),
            false => Err(self.error("length", "counts must have payload in it, or be all")),
        }
    }

    fn signed(&mut self) -> Result<i64, FramingSpecError> {
        let sign = if self.take('-') { -1 } else { 1 };
        match self.word().parse::<i64>() {
            Ok(number) if number <= ADD_MAX => Ok(sign * number),
            _ => Err(self.error("length", format!("add is a number from -{ADD_MAX} to {ADD_MAX}"))),
        }
    }

    /// Hex pairs and quoted characters, at least one byte.
    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, FramingSpecError> {
        let mut bytes = Vec::new();
        loop {
            if self.take('\'') {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let Some((quoted, _)) = rest.split_once('\'') else {
                    return Err(self.error(name, "the closing ' is missing"));
                };
                if !quoted.bytes().all(is_quotable) {
                    return Err(self.error(
                        name,
                        "between ' and ' only printable ASCII can stand, write the rest as hex",
                    ));
                }
                bytes.extend_from_slice(quoted.as_bytes());
                self.at += quoted.len() + 1;
            } else {
                let word = self.word();
                if word.is_empty() {
                    break;
                }
                let Some(decoded) = hex_pairs(word) else {
                    return Err(
                        self.error(name, "bytes are hex pairs, as in 6000010000, or characters in ' '")
                    );
                };
                bytes.extend_from_slice(&decoded);
            }
        }
        match bytes.len() {
            0 => Err(self.error(name, "bytes are expected, as hex pairs or characters in ' '")),
            len if len > HEAD_LEN_MAX => {
                Err(self.error(name, format!("has {len} bytes, at most {HEAD_LEN_MAX} are allowed")))
            }
            _ => Ok(bytes),
        }
    }

    fn in_brackets<T>(
        &mut self,
        name: &str,
        content: impl FnOnce(&mut Self) -> Result<T, FramingSpecError>,
    ) -> Result<T, FramingSpecError> {
        self.expect(name, '(')?;
        let content = content(self)?;
        self.expect(name, ')')?;
        Ok(content)
    }

    fn expect(&mut self, name: &str, symbol: char) -> Result<(), FramingSpecError> {
        match self.take(symbol) {
            true => Ok(()),
            false => Err(self.error(name, format!("`{symbol}` is expected"))),
        }
    }

    /// Steps over `symbol`, if that is what comes next.
    fn take(&mut self, symbol: char) -> bool {
        self.skip_blanks();
        let is_next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(symbol));
        if is_next {
            self.at += symbol.len_utf8();
        }
        is_next
    }

    /// Steps over the next character, whatever it is.
    fn symbol(&mut self) -> Option<char> {
        self.skip_blanks();
        let symbol = self.text.get(self.at..)?.chars().next()?;
        self.at += symbol.len_utf8();
        Some(symbol)
    }

    /// Steps over letters and digits; empty where there are none.
    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, name: &str, problem: impl fmt::Display) -> FramingSpecError {
        FramingSpecError::new(format!("`{name}`: {problem} ({})", self.place()))
    }

    fn place(&self) -> String {
        match self.text.get(self.at..).unwrap_or_default().trim_start() {
            "" => "at the end".to_owned(),
            rest => format!("before `{}`", shown(rest)),
        }
    }
}

/// The first characters of what a user wrote.
fn shown(text: &str) -> String {
    let shown: String = text.chars().take(20).collect();
    if shown.len() < text.len() { format!("{shown}...") } else { shown }
}

pub(super) fn is_quotable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'\''
}
