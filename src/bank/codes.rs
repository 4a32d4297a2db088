//! The response codes (DE 39) that the bank gives, in the words of its dialect.

use std::collections::BTreeSet;

use crate::dialect::Dialect;
use crate::iso8583::field;

/// A response code of the bank's dialect: a place in [`AnswerCodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u16);

/// Every response code that the dialect knows, and which of them the bank gives when.
#[derive(Debug)]
pub(crate) struct AnswerCodes {
    known: Vec<Box<str>>,
    width: usize,
    /// Taken.
    pub approved: Code,
    /// No card in the request, or no room for another account.
    pub no_account: Code,
    /// No amount, or zero.
    pub no_amount: Code,
    /// A broken message: a field missing, or bytes that are no field.
    pub invalid: Code,
    /// Not enough money.
    pub funds: Code,
    /// Refused without a reason: the original of a reversal that came before it.
    pub not_honoured: Code,
    /// The reversal's original is not known.
    pub not_found: Code,
    /// Try the reversal again.
    pub try_again: Code,
}

/// The widest DE 39 that is filled with zeros.
const WIDTH_MAX: usize = 4;

impl AnswerCodes {
    /// The codes of `dialect`. Where it has a class for what the bank means, the code is one of that class; the names
    /// are those of the 1993 style (three digits, as smartVista has them) or of the 1987 style (two, as openWay).
    pub fn of(dialect: &Dialect) -> AnswerCodes {
        let width =
            dialect.schema.field(field::RESPONSE_CODE).map_or(3, |spec| spec.max()).clamp(1, WIDTH_MAX);
        let classes = &dialect.codes;
        let mut known = BTreeSet::new();
        known.extend(dialect.code_captions.keys().map(|code| fill(code, width)));
        for class in [
            &classes.approved,
            &classes.declined,
            &classes.in_doubt,
            &classes.accepted,
            &classes.not_found,
            &classes.retry,
            &classes.reject,
        ] {
            known.extend(class.iter().map(|code| fill(code, width)));
        }
        let mut codes = AnswerCodes {
            known: known.into_iter().take(usize::from(u16::MAX) - 16).map(String::into_boxed_str).collect(),
            width,
            approved: Code(0),
            no_account: Code(0),
            no_amount: Code(0),
            invalid: Code(0),
            funds: Code(0),
            not_honoured: Code(0),
            not_found: Code(0),
            try_again: Code(0),
        };
        let wide = width >= 3;
        let of = |three: &'static str, two: &'static str| if wide { three } else { two };
        codes.approved = codes.one_of(&classes.approved, "0");
        codes.no_account = codes.one_of(&[], of("005", "14"));
        codes.no_amount = codes.one_of(&[], of("005", "13"));
        codes.invalid = codes.one_of(&[], of("120", "30"));
        codes.funds = codes.one_of(&classes.declined, of("116", "51"));
        codes.not_honoured = codes.one_of(&classes.declined, of("100", "05"));
        codes.not_found = codes.one_of(&classes.not_found, of("914", "25"));
        codes.try_again = codes.one_of(&classes.retry, of("909", "96"));
        codes
    }

    /// The characters of a code.
    pub fn text(&self, code: Code) -> &str {
        self.known.get(usize::from(code.0)).map_or("", |text| text)
    }

    /// The code that is this number, zero-filled, if the dialect knows it.
    pub fn numbered(&self, number: u64) -> Option<Code> {
        self.find(&fill(&number.to_string(), self.width))
    }

    fn find(&self, text: &str) -> Option<Code> {
        let place = self.known.iter().position(|known| **known == *text)?;
        Some(Code(u16::try_from(place).ok()?))
    }

    /// `usual`, unless the class is listed without it: then the first of the class. What the dialect does not know is
    /// added, because the bank has to say something.
    fn one_of(&mut self, class: &[String], usual: &str) -> Code {
        let usual = fill(usual, self.width);
        let listed: Vec<String> = class.iter().map(|code| fill(code, self.width)).collect();
        let text = if listed.is_empty() || listed.contains(&usual) { usual } else { listed[0].clone() };
        self.find(&text).unwrap_or_else(|| {
            self.known.push(text.into_boxed_str());
            Code((self.known.len() - 1) as u16)
        })
    }
}

#[cfg(test)]
impl Code {
    /// Any code.
    pub fn for_tests() -> Code {
        Code(0)
    }
}

fn fill(code: &str, width: usize) -> String {
    format!("{code:0>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_code_only_if_the_dialect_knows_it() {
        let codes = AnswerCodes::of(&Dialect::builtin("smartVista").unwrap());
        let text = |number| codes.numbered(number).map(|code| codes.text(code));
        assert_eq!((text(0), text(5), text(116)), (Some("000"), Some("005"), Some("116")));
        assert_eq!((text(555), text(1_000), text(u64::MAX)), (None, None, None));
    }

    #[test]
    fn a_dialect_with_classes_of_its_own_is_answered_from_them() {
        let mut dialect = (*Dialect::builtin("smartVista").unwrap()).clone();
        dialect.codes.approved = vec!["7".into()];
        dialect.codes.declined = vec!["701".into(), "116".into()];
        dialect.codes.not_found = vec!["702".into(), "703".into()];
        let codes = AnswerCodes::of(&dialect);
        let told =
            [codes.approved, codes.funds, codes.not_honoured, codes.not_found].map(|code| codes.text(code));
        assert_eq!(told, ["007", "116", "701", "702"]);
    }
}
