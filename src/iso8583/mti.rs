//! The message type identifier (ISO 8583-1, 4.1): version, class, function, origin.

use std::fmt;

/// A message type identifier: four decimal digits, kept as packed BCD (`0x0200` is 0200).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mti(u16);

impl Mti {
    /// From packed BCD, e.g. `Mti::new(0x0200)`. Panics (at compile time in a const) when a nibble is above 9.
    pub const fn new(bcd: u16) -> Mti {
        let mut rest = bcd;
        while rest > 0 {
            assert!(rest & 0xF <= 9, "an MTI has decimal digits only");
            rest >>= 4;
        }
        Mti(bcd)
    }

    /// From four ASCII digits.
    pub fn parse(text: &[u8]) -> Option<Mti> {
        let digits = u32::from_be_bytes(text.try_into().ok()?) ^ 0x3030_3030;
        // What is left of a digit is at most 9: 0x76 more does not reach the top bit.
        if (digits | digits.wrapping_add(0x7676_7676)) & 0x8080_8080 != 0 {
            return None;
        }
        Some(Mti((digits >> 12 & 0xF000 | digits >> 8 & 0xF00 | digits >> 4 & 0xF0 | digits & 0xF) as u16))
    }

    /// The four ASCII digits.
    pub fn digits(self) -> [u8; 4] {
        [12, 8, 4, 0].map(|shift| b'0' + (self.0 >> shift & 0xF) as u8)
    }

    /// Packed BCD.
    pub fn bcd(self) -> u16 {
        self.0
    }

    /// First digit: 0 = 1987, 1 = 1993, 2 = 2003.
    pub fn version(self) -> u8 {
        (self.0 >> 12) as u8
    }

    /// Second digit: 1 authorization, 2 financial, 4 reversal, 8 network management …
    pub fn class(self) -> u8 {
        (self.0 >> 8 & 0xF) as u8
    }

    /// Third digit: 0 request, 1 request response, 2 advice, 3 advice response, 4 notification …
    pub fn function(self) -> u8 {
        (self.0 >> 4 & 0xF) as u8
    }

    /// Fourth digit: 0 acquirer, 1 acquirer repeat, 2 issuer, 3 issuer repeat, 4 other, 5 other repeat.
    pub fn origin(self) -> u8 {
        (self.0 & 0xF) as u8
    }

    /// Whether this asks for an answer: an even function below 8 (request, advice) that is no notification.
    pub fn is_request(self) -> bool {
        matches!(self.function(), 0 | 2)
    }

    /// Whether this answers something: 1 (request response) or 3 (advice response).
    pub fn is_response(self) -> bool {
        matches!(self.function(), 1 | 3)
    }

    /// Whether this is an advice (x2x) or its repeat.
    pub fn is_advice(self) -> bool {
        self.function() == 2
    }

    /// Whether this is authorization (x1xx) or financial (x2xx).
    pub fn is_financial(self) -> bool {
        matches!(self.class(), 1 | 2)
    }

    /// Whether this is of the reversal class (x4xx).
    pub fn is_reversal(self) -> bool {
        self.class() == 4
    }

    /// Whether this is network management (x8xx).
    pub fn is_network(self) -> bool {
        self.class() == 8
    }

    /// Whether the origin digit says repeat (1, 3, 5).
    pub fn is_repeat(self) -> bool {
        matches!(self.origin(), 1 | 3 | 5)
    }

    /// The same message marked as a repeat: 0400 → 0401, 0420 → 0421. A repeat stays what it is.
    pub fn repeat(self) -> Mti {
        if self.is_repeat() { self } else { Mti(self.0 + 1) }
    }

    /// The message that a repeat repeats: 0401 → 0400. Another stays what it is.
    pub fn first(self) -> Mti {
        if self.is_repeat() { Mti(self.0 - 1) } else { self }
    }

    /// The response to this request, repeats folded: 0200/0201 → 0210, 0420/0421 → 0430, 1804 → 1814.
    /// `None` for what is no request or advice.
    pub fn response(self) -> Option<Mti> {
        self.is_request().then(|| Mti(self.first().0 + 0x10))
    }
}

impl fmt::Display for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Debug for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mti({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_the_request_with_its_function_plus_one_and_repeats_folded() {
        for (request, response) in [
            ("0200", "0210"),
            ("0201", "0210"),
            ("0100", "0110"),
            ("0101", "0110"),
            ("0120", "0130"),
            ("0220", "0230"),
            ("0221", "0230"),
            ("0400", "0410"),
            ("0401", "0410"),
            ("0420", "0430"),
            ("0421", "0430"),
            ("0800", "0810"),
            ("1804", "1814"),
            ("1805", "1814"),
        ] {
            let request = Mti::parse(request.as_bytes()).unwrap();
            assert_eq!(request.response().unwrap().to_string(), response, "{request}");
        }
        for other in ["0210", "0230", "0240"] {
            assert_eq!(Mti::parse(other.as_bytes()).unwrap().response(), None);
        }
    }

    #[test]
    fn repeats_fold_both_ways() {
        assert_eq!(Mti::new(0x0400).repeat(), Mti::new(0x0401));
        assert_eq!(Mti::new(0x0401).repeat(), Mti::new(0x0401));
        assert_eq!(Mti::new(0x0421).first(), Mti::new(0x0420));
        assert_eq!(Mti::new(0x0420).first(), Mti::new(0x0420));
    }

    #[test]
    fn what_is_not_four_digits_is_no_mti() {
        for text in ["", "020", "02000", "02a0", "０200"] {
            assert_eq!(Mti::parse(text.as_bytes()), None);
        }
    }
}
