//! What undoes a request.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::key::{KeyFields, MatchKey};
use super::{Request, with_mti};
use crate::dialect::{OriginalData, ReversalProfile};
use crate::iso8583::{BuildError, Draft, FieldNumber, Message, Mti, field};
use crate::time::{Civil, Now};

/// DE 7 in the original data elements.
const TRANSMISSION_TIME_LEN: usize = 10;
/// STAN in the original data elements.
const STAN_LEN: usize = 6;
/// An institution in DE 90; the most that one has in DE 56.
const INSTITUTION_LEN: usize = 11;
/// Local date and time in DE 56.
const LOCAL_TIME_LEN: usize = 12;

/// What a reversal of one request is made from.
#[derive(Clone)]
pub struct ReversalImage {
    pub(crate) original: Message,
    pub(crate) profile: Arc<ReversalProfile>,
}

impl ReversalImage {
    /// What reverses `request`, by `profile`.
    pub fn of(request: &Request, profile: &Arc<ReversalProfile>) -> ReversalImage {
        ReversalImage { original: request.message.clone(), profile: profile.clone() }
    }

    /// The reversal's bytes: DE 7 fresh from `now`; as a repeat or not; with the RRN of a late approval if one is known.
    ///
    /// Never fails. The original's elements are taken over as they stood on the wire, and what a profile adds has been
    /// tried with the codec when the dialect was loaded, so only a foreign `rrn` could be unwritable: it is then left
    /// out. Should all that ever be wrong, what goes out is the original under the reversal's MTI, which the host can
    /// at least read.
    pub fn render(&self, now: Now, repeat: bool, rrn: Option<&[u8]>) -> Bytes {
        let mti = self.mti(repeat);
        let learned = rrn.filter(|_| self.profile.with_learned_rrn);
        let rendered = match self.draft(mti, now, learned).to_bytes() {
            Err(_) if learned.is_some() => self.draft(mti, now, None).to_bytes(),
            rendered => rendered,
        };
        rendered.unwrap_or_else(|error: BuildError| {
            debug_assert!(false, "a reversal that can't be written: {error}");
            with_mti(&self.original, mti)
        })
    }

    /// Its own MTI: of the first sending, or of a repeat.
    pub fn mti(&self, repeat: bool) -> Mti {
        if repeat { self.profile.repeat } else { self.profile.first }
    }

    /// The MTI that answers it.
    pub fn response_mti(&self) -> Mti {
        self.profile.response
    }

    fn draft(&self, mti: Mti, now: Now, rrn: Option<&[u8]>) -> Draft {
        let ReversalImage { original, profile } = self;
        let mut draft = match &profile.clone {
            Some(wanted) => Draft::of_some(original, &wanted.iter().copied().collect()),
            None => Draft::of(original),
        };
        draft.set_mti(mti);
        let local = now.local();
        if original.schema().field(field::TRANSMISSION_TIME).is_some() {
            set_digits(&mut draft, field::TRANSMISSION_TIME, &local.mmddhhmmss());
        }
        for (n, value) in &profile.set {
            draft.set_text(*n, value);
        }
        match profile.original_data {
            OriginalData::Absent => {}
            OriginalData::De90 => {
                set_digits(&mut draft, field::ORIGINAL_DATA_87, &original_data_87(original))
            }
            OriginalData::De56 => {
                set_digits(&mut draft, field::ORIGINAL_DATA_93, &original_data_93(original, local))
            }
        }
        if let Some(rrn) = rrn {
            draft.set(field::RRN, rrn);
        }
        draft
    }
}

/// Sets a field to digits, whether the dialect calls it digits or (packed) bytes.
fn set_digits(draft: &mut Draft, n: FieldNumber, digits: &[u8]) {
    draft.set_text(n, &String::from_utf8_lossy(digits));
}

/// DE 90: MTI 4, STAN 6, DE 7 10, DE 32 11, DE 33 11, each filled up with zeros on the left (ISO 8583:1987, 4.3.9).
fn original_data_87(original: &Message) -> Vec<u8> {
    let mut data = original.mti().digits().to_vec();
    push_digits(&mut data, original, field::STAN, STAN_LEN);
    push_digits(&mut data, original, field::TRANSMISSION_TIME, TRANSMISSION_TIME_LEN);
    push_digits(&mut data, original, field::ACQUIRER, INSTITUTION_LEN);
    push_digits(&mut data, original, field::FORWARDER, INSTITUTION_LEN);
    data
}

/// DE 56: MTI 4, STAN 6, local date and time 12, and the acquirer (DE 32) after its length of two digits, 00 without
/// one (ISO 8583:1993).
fn original_data_93(original: &Message, now: Civil) -> Vec<u8> {
    let mut data = original.mti().digits().to_vec();
    push_digits(&mut data, original, field::STAN, STAN_LEN);
    data.extend_from_slice(&local_time_93(original, now));
    let acquirer = digits(original, field::ACQUIRER).unwrap_or_default();
    let acquirer = if acquirer.len() <= INSTITUTION_LEN { acquirer.as_bytes() } else { b"" };
    data.extend_from_slice(format!("{:02}", acquirer.len()).as_bytes());
    data.extend_from_slice(acquirer);
    data
}

/// `YYMMDDhhmmss` of the original. Where DE 12 has the time only, as in the 1987 standard, month and day are DE 13's,
/// or DE 7's, and the year is the one in which that day is nearest to now. Zeros where nothing is known.
fn local_time_93(original: &Message, now: Civil) -> [u8; LOCAL_TIME_LEN] {
    let time = digits(original, field::LOCAL_TIME).unwrap_or_default();
    if let Ok(whole) = <[u8; LOCAL_TIME_LEN]>::try_from(time.as_bytes()) {
        return whole;
    }
    let date = digits(original, field::LOCAL_DATE).or_else(|| digits(original, field::TRANSMISSION_TIME));
    let mut out = [b'0'; LOCAL_TIME_LEN];
    if let Some(date) = date.as_deref().and_then(|date| date.as_bytes().first_chunk::<4>()) {
        let year = nearest_year(pair(date[0], date[1]), pair(date[2], date[3]), now);
        out[0] = b'0' + (year.rem_euclid(100) / 10) as u8;
        out[1] = b'0' + (year.rem_euclid(10)) as u8;
        out[2..6].copy_from_slice(date);
    }
    if let Ok(time) = <[u8; 6]>::try_from(time.as_bytes()) {
        out[6..].copy_from_slice(&time);
    }
    out
}

fn pair(tens: u8, ones: u8) -> u8 {
    (tens.wrapping_sub(b'0')).wrapping_mul(10).wrapping_add(ones.wrapping_sub(b'0'))
}

/// The year in which that day is nearest to now: a message of 31 December is of last year on 1 January.
fn nearest_year(month: u8, day: u8, now: Civil) -> i32 {
    let distance =
        |year: &i32| Civil { year: *year, month, day, ..now }.to_seconds().abs_diff(now.to_seconds());
    [now.year, now.year - 1, now.year + 1].into_iter().min_by_key(distance).unwrap_or(now.year)
}

/// The digits of field `n`, if it is there and has nothing but digits.
fn digits(message: &Message, n: FieldNumber) -> Option<Cow<'_, str>> {
    message.text(n).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Adds the digits of field `n`, filled up with zeros on the left; zeros alone where it is missing or too long.
fn push_digits(data: &mut Vec<u8>, message: &Message, n: FieldNumber, len: usize) {
    let digits = digits(message, n).filter(|digits| digits.len() <= len).unwrap_or_default();
    data.extend(std::iter::repeat_n(b'0', len - digits.len()));
    data.extend_from_slice(digits.as_bytes());
}

/// The key of what `message` points at: see [`Request::original_key`].
pub(super) fn original_key(message: &Message, keys: &KeyFields) -> Option<MatchKey> {
    let data = OriginalElements::of(message);
    MatchKey::from_values(keys, |n| match data.as_ref().and_then(|data| data.value(n)) {
        Some(value) => Some(Cow::Owned(value)),
        None => message.value(n),
    })
}

/// What DE 90 or DE 56 says of the original.
struct OriginalElements {
    /// The digits of the field.
    data: Vec<u8>,
    is_87: bool,
}

impl OriginalElements {
    fn of(message: &Message) -> Option<OriginalElements> {
        let (is_87, data) = match digits(message, field::ORIGINAL_DATA_87) {
            Some(data) => (true, data),
            None => (false, digits(message, field::ORIGINAL_DATA_93)?),
        };
        let stan = data.as_bytes().get(4..4 + STAN_LEN)?;
        let is_known = stan.iter().any(|digit| *digit != b'0');
        is_known.then(|| OriginalElements { data: data.into_owned().into_bytes(), is_87 })
    }

    /// The original's value of field `n`, where the original data elements have it.
    fn value(&self, n: FieldNumber) -> Option<Vec<u8>> {
        let part = |from: usize, len: usize| self.data.get(from..from + len).map(<[u8]>::to_vec);
        match n {
            field::STAN => part(4, STAN_LEN),
            field::TRANSMISSION_TIME if self.is_87 => part(10, TRANSMISSION_TIME_LEN),
            field::LOCAL_TIME if !self.is_87 => part(10, LOCAL_TIME_LEN),
            _ => None,
        }
    }
}
