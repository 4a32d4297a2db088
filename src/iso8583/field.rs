//! The numbers of data elements, and the names of those that the gateway itself reads.

use std::fmt;

/// The number of a data element: 0 (the MTI) to 192 (the last that a tertiary bitmap can announce).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldNumber(u8);

impl FieldNumber {
    /// The highest number that there can be.
    pub const MAX: u8 = 192;

    /// `None` above [`FieldNumber::MAX`].
    pub const fn new(number: u16) -> Option<FieldNumber> {
        if number <= FieldNumber::MAX as u16 { Some(FieldNumber(number as u8)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The number as an index into a table of [`FieldNumber::MAX`] + 1.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $($(#[$doc])* pub const $name: FieldNumber = FieldNumber($number);)*
    };
}

named! {
    /// Message type identifier.
    MTI = 0;
    /// Bitmap.
    BITMAP = 1;
    /// Primary account number (PAN).
    PAN = 2;
    /// Processing code.
    PROCESSING_CODE = 3;
    /// Amount, transaction.
    AMOUNT = 4;
    /// Transmission date and time.
    TRANSMISSION_TIME = 7;
    /// System trace audit number (STAN).
    STAN = 11;
    /// Time, local transaction (with the date in the 1993 style).
    LOCAL_TIME = 12;
    /// Date, local transaction.
    LOCAL_DATE = 13;
    /// Expiration date.
    EXPIRATION_DATE = 14;
    /// Point-of-service entry mode.
    POS_ENTRY_MODE = 22;
    /// Function code (1993 style).
    FUNCTION_CODE = 24;
    /// Point-of-service condition code, message reason code in the 1993 style.
    REASON = 25;
    /// Acquiring institution identification code.
    ACQUIRER = 32;
    /// Forwarding institution identification code.
    FORWARDER = 33;
    /// Track 2 data.
    TRACK_2 = 35;
    /// Track 3 data.
    TRACK_3 = 36;
    /// Retrieval reference number (RRN).
    RRN = 37;
    /// Approval code.
    APPROVAL_CODE = 38;
    /// Response code.
    RESPONSE_CODE = 39;
    /// Card acceptor terminal identification (TID).
    TID = 41;
    /// Card acceptor identification (MID).
    MID = 42;
    /// Track 1 data.
    TRACK_1 = 45;
    /// Currency code, transaction.
    CURRENCY = 49;
    /// PIN block.
    PIN_BLOCK = 52;
    /// Additional amounts.
    ADDITIONAL_AMOUNTS = 54;
    /// ICC (EMV) data.
    ICC = 55;
    /// Original data elements (1993 style).
    ORIGINAL_DATA_93 = 56;
    /// Tertiary bitmap, where the dialect has one.
    TERTIARY_BITMAP = 65;
    /// Network management information code.
    NETWORK_CODE = 70;
    /// Original data elements (1987 style).
    ORIGINAL_DATA_87 = 90;
}

impl fmt::Display for FieldNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for FieldNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DE {}", self.0)
    }
}
