//! How the gateway's own reversals are made for one host.

use crate::iso8583::{FieldNumber, Mti, field};

/// How the gateway's own reversal is made from the original request.
#[derive(Clone, Debug)]
pub struct ReversalProfile {
    /// MTI of the first sending, e.g. 0400.
    pub first: Mti,
    /// MTI of repeats, e.g. 0401 (smartVista: 0400).
    pub repeat: Mti,
    /// MTI of the answer: 0410, or 0430 where a host answers a 0400 so.
    pub response: Mti,
    /// Which of the original's elements are taken over; `None`: all.
    pub clone: Option<Vec<FieldNumber>>,
    /// Elements set to a constant, e.g. DE 24 = 400, DE 25 = 4021.
    pub set: Vec<(FieldNumber, String)>,
    /// Whether and how the original data elements are written.
    pub original_data: OriginalData,
    /// Whether the RRN of a late approval is put into DE 37 of later repeats.
    pub with_learned_rrn: bool,
}

/// Original data elements of a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginalData {
    /// None.
    Absent,
    /// DE 90, n 42: MTI 4, STAN 6, DE 7 10, DE 32 11, DE 33 11, zero-filled on the left (ISO 8583:1987).
    De90,
    /// DE 56, n ..35: MTI 4, STAN 6, DE 12 12, LLVAR acquirer ≤ 11 (ISO 8583:1993).
    De56,
}

impl OriginalData {
    /// What they are made of, and how many digits each has in them.
    pub(super) const PARTS: [(FieldNumber, usize); 4] =
        [(field::STAN, 6), (field::TRANSMISSION_TIME, 10), (field::ACQUIRER, 11), (field::FORWARDER, 11)];

    /// The field, and the longest value that it may get.
    pub(super) fn longest(self) -> Option<(FieldNumber, Vec<u8>)> {
        match self {
            OriginalData::Absent => None,
            OriginalData::De90 => Some((field::ORIGINAL_DATA_87, vec![b'9'; 42])),
            OriginalData::De56 => Some((field::ORIGINAL_DATA_93, vec![b'9'; 35])),
        }
    }
}
