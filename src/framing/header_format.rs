//! SocketQueue's `headerFormat`, as recorded from its version 1.4.0. What it cuts off silently is an error here.

use super::FramingSpecError;
use super::length::{Code, LengthField, hex_pairs};
use super::spec::{Counts, Delimiter, HEAD_LEN_MAX, LengthSpec, PARTS_MAX, Part, Spec};

/// The longest text that is read.
const TEXT_LEN_MAX: usize = 4096;

/// One entry of the list.
struct Field<'a> {
    name: &'a str,
    kind: &'a str,
    len: usize,
    default: Option<&'a str>,
}

/// Reads the list. What it gives is not checked yet: see [`Spec::check`].
pub(super) fn parse(format: &str, length_include_header: bool) -> Result<Spec, FramingSpecError> {
    if format.len() > TEXT_LEN_MAX {
        return Err(FramingSpecError::new(format!(
            "a headerFormat of {} characters, at most {TEXT_LEN_MAX} are read",
            format.len()
        )));
    }
    if format.trim().is_empty() {
        return Err(FramingSpecError::new("headerFormat is empty; without a header it is useHeader=false"));
    }
    let fields = format.split(',').map(Field::parse).collect::<Result<Vec<_>, _>>()?;
    if fields.len() > PARTS_MAX {
        return Err(FramingSpecError::new(format!(
            "headerFormat has {} fields, at most {PARTS_MAX} are allowed",
            fields.len()
        )));
    }
    if !fields.iter().any(|field| field.name == "length") {
        return Err(FramingSpecError::new(
            "headerFormat has no field `length`; a header without one is written as `header('...'), self` in upstreamFraming",
        ));
    }
    let head_len = fields.iter().fold(0_usize, |sum, field| sum.saturating_add(field.len));
    let counts = if length_include_header { Counts::ALL } else { Counts::PAYLOAD };
    let head = fields.iter().map(|field| field.part(head_len, counts)).collect::<Result<Vec<_>, _>>()?;
    Ok(Spec { head, delimiter: Delimiter::Length, trailer: Vec::new() })
}

impl<'a> Field<'a> {
    fn parse(text: &'a str) -> Result<Field<'a>, FramingSpecError> {
        let mut parts = text.trim().splitn(4, ':');
        let mut next = || parts.next().map(str::trim);
        let (Some(name), Some(kind), Some(len), default) = (next(), next(), next(), next()) else {
            return Err(FramingSpecError::new(format!(
                "headerFormat: `{}` is not name:type:length or name:type:length:default",
                text.trim()
            )));
        };
        match len.parse() {
            Ok(len) if (1..=HEAD_LEN_MAX).contains(&len) => Ok(Field { name, kind, len, default }),
            _ => Err(FramingSpecError::new(format!(
                "headerFormat: the length of `{name}` is a number of bytes from 1 to {HEAD_LEN_MAX}"
            ))),
        }
    }

    fn part(&self, head_len: usize, counts: Counts) -> Result<Part, FramingSpecError> {
        let bytes = match self.name {
            "length" => return self.length(counts),
            "headerLength" => self.number(head_len as u64)?,
            _ => self.constant()?,
        };
        Ok(Part::Header { bytes, choices: Vec::new(), echo: false })
    }

    fn length(&self, counts: Counts) -> Result<Part, FramingSpecError> {
        let code = self.number_code()?;
        if self.len > LengthField::WIDTH_MAX {
            return Err(self.error(format!("at most {} bytes are possible", LengthField::WIDTH_MAX)));
        }
        Ok(Part::Length(LengthSpec { code, width: self.len, counts, add: 0 }))
    }

    /// How the types that can hold a number write it. (`ans` fills with blanks, which nobody reads back as a number.)
    fn number_code(&self) -> Result<Code, FramingSpecError> {
        match self.kind {
            "n" | "an" => Ok(Code::Ascii),
            "b" => Ok(Code::Bcd),
            "b-hex" => Ok(Code::Big),
            _ => Err(self.error(format!("type `{}` holds no number; n, an, b and b-hex do", self.kind))),
        }
    }

    fn number(&self, number: u64) -> Result<Vec<u8>, FramingSpecError> {
        let code = self.number_code()?;
        // Wider than a number can be: zeros before it.
        let width = self.len.min(LengthField::WIDTH_MAX);
        if number > code.highest(width) {
            return Err(self.error(format!("{number} does not fit into {} bytes", self.len)));
        }
        let mut bytes = vec![if code == Code::Ascii { b'0' } else { 0 }; self.len];
        let field = LengthField { code, width, at: 0, empty: 0, nothing: 0, highest: code.highest(width) };
        field.write(number, &mut bytes[self.len - width..]);
        Ok(bytes)
    }

    /// The default, as its type writes it. What the original cuts off or drops is an error here.
    fn constant(&self) -> Result<Vec<u8>, FramingSpecError> {
        let Some(default) = self.default.filter(|text| !text.is_empty()) else {
            return Err(self.error("a default is needed, as in name:type:length:default"));
        };
        if !default.is_ascii() {
            return Err(self.error("the default is not ASCII"));
        }
        let bytes = match self.kind {
            "n" if !default.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(self.error("the default of type n has other characters than digits"));
            }
            "n" | "an" | "ans" | "a" => default.as_bytes().to_vec(),
            "b" => hex_pairs(default)
                .ok_or_else(|| self.error("the default of type b is not made of hex pairs"))?,
            "b-hex" => {
                let number =
                    default.parse().map_err(|_| self.error("the default of type b-hex is no number"))?;
                return self.number(number);
            }
            kind => {
                return Err(self.error(format!(
                    "type `{kind}` cannot stand in a header; n, a, an, ans, b and b-hex can"
                )));
            }
        };
        let fill = match self.kind {
            "n" | "an" => b'0',
            "ans" => b' ',
            "b" => 0,
            _ if bytes.len() == self.len => 0,
            _ => {
                return Err(
                    self.error(format!("type a is not filled up, the default must have {} bytes", self.len))
                );
            }
        };
        let Some(missing) = self.len.checked_sub(bytes.len()) else {
            return Err(self.error(format!("the default has {} bytes, the field {}", bytes.len(), self.len)));
        };
        Ok([vec![fill; missing], bytes].concat())
    }

    fn error(&self, problem: impl std::fmt::Display) -> FramingSpecError {
        FramingSpecError::new(format!("headerFormat: `{}`: {problem}", self.name))
    }
}
