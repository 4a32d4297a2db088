//! Amounts as lists write them, and currencies.

use std::fmt;

/// Digits of an amount: those of DE 4, and some for a list that writes more decimals.
const DIGITS_MAX: usize = 16;
/// ISO 4217 currencies whose minor unit is not a hundredth, by their number: with none, three or four decimals.
const OTHER_EXPONENTS: [(u16, u8); 27] = [
    (108, 0), // BIF
    (152, 0), // CLP
    (174, 0), // KMF
    (262, 0), // DJF
    (324, 0), // GNF
    (352, 0), // ISK
    (392, 0), // JPY
    (410, 0), // KRW
    (548, 0), // VUV
    (600, 0), // PYG
    (646, 0), // RWF
    (704, 0), // VND
    (800, 0), // UGX
    (940, 0), // UYI
    (950, 0), // XAF
    (952, 0), // XOF
    (953, 0), // XPF
    (48, 3),  // BHD
    (368, 3), // IQD
    (400, 3), // JOD
    (414, 3), // KWD
    (434, 3), // LYD
    (512, 3), // OMR
    (788, 3), // TND
    (927, 4), // UYW
    (990, 4), // CLF
    (999, 0), // no currency
];

/// A currency by its ISO 4217 number, as DE 49 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(u16);

impl Currency {
    /// Three digits.
    pub fn parse(text: &str) -> Option<Currency> {
        let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten().map(Currency)
    }

    /// Decimals of its amounts: two, but for those of the standard's list that have others.
    pub fn exponent(self) -> u8 {
        OTHER_EXPONENTS.iter().find(|(number, _)| *number == self.0).map_or(2, |(_, exponent)| *exponent)
    }

    /// An amount in minor units, with its decimal point.
    pub fn shown(self, minor: u64) -> String {
        decimal(minor, self.exponent())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// `1000` with two decimals is `10.00`.
pub fn decimal(minor: u64, exponent: u8) -> String {
    let Some(unit) = 10_u64.checked_pow(u32::from(exponent)).filter(|unit| *unit > 1) else {
        return minor.to_string();
    };
    format!("{}.{:0width$}", minor / unit, minor % unit, width = usize::from(exponent))
}

/// A number as a list writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    digits: u64,
    /// Decimals that were written; `None`: it is in minor units.
    decimals: Option<u8>,
    /// Whether it has a minus.
    pub is_negative: bool,
}

impl Amount {
    /// `10`, `10.00`, `-10.5` with this decimal point; or, `in_minor` units, digits only.
    ///
    /// # Errors
    /// What is wrong, without the value.
    pub fn parse(text: &str, point: char, in_minor: bool) -> Result<Amount, &'static str> {
        let text = text.trim();
        let (is_negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = match rest.split_once(point) {
            Some(_) if in_minor => return Err("has a decimal point, though amounts are in minor units"),
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (rest, None),
        };
        let digits: String = whole.chars().chain(fraction.unwrap_or_default().chars()).collect();
        let is_number = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || fraction == Some("") {
            return Err("is no amount (digits, one decimal point, a minus in front)");
        }
        if digits.len() > DIGITS_MAX {
            return Err("has more than 16 digits");
        }
        let decimals = fraction.map_or(0, |fraction| fraction.len() as u8);
        let digits = digits.parse().map_err(|_| "is no amount")?;
        Ok(Amount { digits, decimals: (!in_minor).then_some(decimals), is_negative })
    }

    /// In minor units of a currency with so many decimals; `None` where it is finer than those.
    pub fn minor(self, exponent: u8) -> Option<u64> {
        let Some(decimals) = self.decimals else { return Some(self.digits) };
        let scale = |by: u8| 10_u64.checked_pow(u32::from(by));
        match exponent.checked_sub(decimals) {
            Some(missing) => self.digits.checked_mul(scale(missing)?),
            None => {
                let too_many = scale(decimals - exponent)?;
                self.digits.is_multiple_of(too_many).then_some(self.digits / too_many)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_the_decimals_of_their_currency() {
        for (text, exponent, minor) in [
            ("10", 2, Some(1000)),
            ("10.00", 2, Some(1000)),
            ("10.5", 2, Some(1050)),
            ("-10.50", 2, Some(1050)),
            (" +0.01 ", 2, Some(1)),
            ("10.000", 2, Some(1000)),
            ("10.001", 2, None),
            ("1000", 0, Some(1000)),
            ("1000.00", 0, Some(1000)),
            ("1.234", 3, Some(1234)),
            ("9999999999999999", 2, Some(999_999_999_999_999_900)),
            ("9999999999999999", 4, None),
        ] {
            assert_eq!(Amount::parse(text, '.', false).unwrap().minor(exponent), minor, "{text}");
        }
        assert_eq!(Amount::parse("10,50", ',', false).unwrap().minor(2), Some(1050));
        assert_eq!(Amount::parse("000000001000", '.', true).unwrap().minor(2), Some(1000));
        assert!(Amount::parse("-1", '.', false).unwrap().is_negative);
        for wrong in ["", "-", ".", "10.", ".5", "1,000", "1.2.3", "1e3", "٣", "10 000", "12345678901234567"]
        {
            assert!(Amount::parse(wrong, '.', false).is_err(), "{wrong}");
        }
        assert!(Amount::parse("10.00", '.', true).is_err());
    }

    #[test]
    fn decimals_are_those_of_iso_4217() {
        // ISO 4217, list one: JPY 392 has no minor unit, KWD 414 three decimals, EUR 978 and IDR 360 two.
        for (number, shown) in
            [("392", "1000"), ("414", "1.000"), ("978", "10.00"), ("360", "10.00"), ("990", "0.1000")]
        {
            let currency = Currency::parse(number).unwrap();
            assert_eq!(currency.shown(1000), shown, "{number}");
            assert_eq!(currency.to_string(), number);
        }
        assert_eq!(Currency::parse("048").unwrap().shown(5), "0.005");
        for wrong in ["", "EUR", "97", "9788", "-97"] {
            assert_eq!(Currency::parse(wrong), None);
        }
    }
}
