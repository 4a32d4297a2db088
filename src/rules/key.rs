//! What a response is matched by: key fields, and the terminal.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use crate::iso8583::{FieldNumber, Message, Schema, field};

/// A terminal id (DE 41).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Tid(pub(crate) SmallVec<[u8; 16]>);

/// The values of the key fields of one message, in the order configured; equal for a request and its response.
///
/// Values stand one after the other, each closed with `|`; `|` and `\` inside a value have a `\` before them. So no
/// two lists of values give the same key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchKey(pub(crate) SmallVec<[u8; INLINE]>);

/// Keys of so many bytes stand in place.
const INLINE: usize = 32;

/// The fields by which a response finds its request (`queueMessageKeyFields`, default 11,41).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFields(pub Vec<FieldNumber>);

impl Tid {
    /// The terminal of `message`, if it names one.
    #[inline]
    pub fn of(message: &Message) -> Option<Tid> {
        message.value(field::TID).map(|value| Tid(SmallVec::from_slice(&value)))
    }

    /// The characters as they are.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Clone for Tid {
    /// As that of [`MatchKey`].
    fn clone(&self) -> Tid {
        Tid(SmallVec::from_slice(&self.0))
    }
}

impl MatchKey {
    /// That of no key fields.
    pub(super) fn empty() -> MatchKey {
        MatchKey(SmallVec::new())
    }

    /// The key of `message`; `None` when it lacks a key field.
    #[inline(always)]
    pub fn of(message: &Message, keys: &KeyFields) -> Option<MatchKey> {
        MatchKey::in_place(keys, |n| message.plain(n), |n| message.is_digits(n))
            .or_else(|| MatchKey::from_values(keys, |n| message.value(n)))
    }

    /// The key with these values, if it fits in place and has no character to be escaped, as nearly all do.
    #[inline(always)]
    fn in_place<'m>(
        keys: &KeyFields,
        value: impl Fn(FieldNumber) -> Option<&'m [u8]>,
        is_digits: impl Fn(FieldNumber) -> bool,
    ) -> Option<MatchKey> {
        let mut bytes = [0; INLINE];
        let mut len = 0;
        for n in &keys.0 {
            let value = value(*n)?;
            if !is_digits(*n) && value.iter().any(is_special) {
                return None;
            }
            let (end, place) = bytes.get_mut(len..=len + value.len())?.split_last_mut()?;
            place.copy_from_slice(value);
            *end = b'|';
            len += value.len() + 1;
        }
        Some(MatchKey(SmallVec::from_buf_and_len(bytes, len)))
    }

    /// The key with what `value` says of each key field.
    #[inline(never)]
    pub(super) fn from_values<'m>(
        keys: &KeyFields,
        value: impl Fn(FieldNumber) -> Option<Cow<'m, [u8]>>,
    ) -> Option<MatchKey> {
        let mut key = MatchKey::empty();
        for n in &keys.0 {
            key.push(&value(*n)?);
        }
        Some(key)
    }

    /// The values of the key fields, in the order configured.
    pub fn values(&self) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        let mut value = Vec::new();
        let mut bytes = self.0.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'|' => values.push(std::mem::take(&mut value)),
                b'\\' => value.extend(bytes.next()),
                _ => value.push(*byte),
            }
        }
        values
    }

    fn push(&mut self, value: &[u8]) {
        for byte in value {
            if is_special(byte) {
                self.0.push(b'\\');
            }
            self.0.push(*byte);
        }
        self.0.push(b'|');
    }
}

fn is_special(byte: &u8) -> bool {
    matches!(byte, b'|' | b'\\')
}

impl Hash for Tid {
    /// As that of [`MatchKey`].
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Hash for MatchKey {
    /// The bytes alone; what is derived hashes their number as well.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Clone for MatchKey {
    /// A copy of the bytes at once; what is derived copies them one by one.
    fn clone(&self) -> MatchKey {
        MatchKey(SmallVec::from_slice(&self.0))
    }
}

impl KeyFields {
    /// Key fields that a dialect of this schema does not have: with them no message could ever be matched.
    pub fn missing_from(&self, schema: &Schema) -> Vec<FieldNumber> {
        self.0.iter().copied().filter(|n| schema.field(*n).is_none()).collect()
    }
}

impl Default for KeyFields {
    /// 11 and 41, SocketQueue's default.
    fn default() -> KeyFields {
        KeyFields(vec![field::STAN, field::TID])
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tid({self})")
    }
}

impl fmt::Debug for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatchKey({})", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&str]) -> MatchKey {
        let keys = KeyFields((1..=values.len() as u16).filter_map(FieldNumber::new).collect());
        let value = |n: FieldNumber| Some(values[n.index() - 1].as_bytes());
        let key = MatchKey::from_values(&keys, |n| value(n).map(Cow::Borrowed)).unwrap();
        if let Some(in_place) = MatchKey::in_place(&keys, value, |_| false) {
            assert_eq!(in_place, key);
        }
        key
    }

    #[test]
    fn values_can_not_run_into_each_other() {
        let lists: [&[&str]; 11] = [
            &["12", "3"],
            &["1", "23"],
            &["123", ""],
            &["", "123"],
            &["1|2", "3"],
            &["1", "2|3"],
            &["1\\", "|23"],
            &["1\\|", "23"],
            &["1", "2", "3"],
            &["1|2|3"],
            &["1\\|2\\|3"],
        ];
        for (at, left) in lists.iter().enumerate() {
            for (other, right) in lists.iter().enumerate() {
                assert_eq!(key(left) == key(right), at == other, "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn the_values_come_out_as_they_went_in() {
        for values in [&["12", "3"][..], &["", "|", "\\"], &["1\\|2", "a b"], &[]] {
            let parts: Vec<_> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            assert_eq!(key(values).values(), parts);
        }
    }

    #[test]
    fn a_key_stands_in_place_if_it_fits_and_nothing_is_escaped() {
        let keys = KeyFields(vec![field::STAN]);
        let is_in_place = |value: &[u8]| MatchKey::in_place(&keys, |_| Some(value), |_| false).is_some();
        assert!(is_in_place(b"") && is_in_place(&[b'1'; INLINE - 1]));
        assert!(!is_in_place(&[b'1'; INLINE]));
        assert!(!is_in_place(b"1|2") && !is_in_place(b"1\\2"));
    }

    #[test]
    fn a_missing_key_field_gives_no_key() {
        let keys = KeyFields::default();
        let stan_only = |n| (n == field::STAN).then_some(&b"000001"[..]);
        assert_eq!(MatchKey::from_values(&keys, |n| stan_only(n).map(Cow::Borrowed)), None);
        assert_eq!(MatchKey::in_place(&keys, stan_only, |_| true), None);
    }
}
