//! What outlives the process of a request: the image from which it is sent again or reversed, and a record without card
//! data.
//!
//! The image is the message without what must not be kept once it has left: tracks (DE 35, 36, 45), PIN block (DE 52),
//! and the sensitive data objects of DE 55. PAN and expiry stay, in DE 2 and 14, where a reversal needs them. So what is
//! sent after a restart lacks the tracks and the PIN block that a reversal of the running process takes over where the
//! dialect's reversal profile clones the whole request (smartVista); a profile that names its elements (openWay) gives
//! the same either way.

use bytes::{BufMut, Bytes};
use smallvec::SmallVec;

use super::key::{KeyFields, MatchKey, Tid};
use super::{Answer, MakeGood, Request};
use crate::dialect::Dialect;
use crate::iso8583::mask::{Track2, is_sensitive_tag};
use crate::iso8583::schema::{FieldSpec, Length};
use crate::iso8583::{BuildError, Draft, FieldNumber, Message, emv, field};

/// Elements that are never kept (PCI DSS 3.3: sensitive authentication data).
const NEVER_KEPT: [FieldNumber; 4] = [field::TRACK_2, field::TRACK_3, field::TRACK_1, field::PIN_BLOCK];
/// Digits of DE 14, `YYMM`.
const EXPIRY_LEN: usize = 4;

/// What is kept of `request` until it has ended: its message, reduced. [`Restored::read`] makes a request of it again.
///
/// Never fails: everything in it was on the wire, but for DE 2 and 14 where they are taken from track 2; what the
/// dialect's fields cannot hold of these is left out.
pub fn image(request: &Request, dialect: &Dialect) -> Bytes {
    let message = &request.message;
    let mut kept = message.bitmap();
    NEVER_KEPT.iter().for_each(|n| kept.remove(*n));
    let mut draft = Draft::of_some(message, &kept);
    if let Some(track) = Track2::of(message) {
        keep_card(&mut draft, dialect, &track);
    }
    if let Some(icc) = message.value(field::ICC) {
        match without_sensitive(&icc) {
            Some(reduced) if reduced.is_empty() => {
                draft.remove(field::ICC);
            }
            Some(reduced) => {
                draft.set(field::ICC, &reduced).remove_bad(field::ICC);
            }
            None => {}
        }
    }
    draft.to_bytes().unwrap_or_else(|error: BuildError| {
        debug_assert!(false, "an image that can't be written: {error}");
        Bytes::new()
    })
}

/// PAN and expiry of the track go where they may stay, if they are not there.
fn keep_card(draft: &mut Draft, dialect: &Dialect, track: &Track2) {
    let mut keep = |n: FieldNumber, digits: &str| {
        // A dialect whose field has another length means something else by it (smartVista's DE 14 has six digits).
        let holds =
            |spec: &FieldSpec| !matches!(spec.length, Length::Fixed(len) if usize::from(len) != digits.len());
        if !draft.has(n) && dialect.schema.field(n).is_some_and(holds) {
            draft.set(n, digits.as_bytes()).remove_bad(n);
            if draft.value(n).is_some_and(|written| *written != *digits.as_bytes()) {
                draft.remove(n);
            }
        }
    };
    if let Some(pan) = track.pan() {
        keep(field::PAN, pan.expose());
    }
    let expiry = track.expose_rest().and_then(|rest| rest.get(..EXPIRY_LEN));
    if let Some(expiry) = expiry.filter(|expiry| expiry.bytes().all(|byte| byte.is_ascii_digit())) {
        keep(field::EXPIRATION_DATE, expiry);
    }
}

/// DE 55 without its sensitive data objects; `None` when there are none. A template that has one goes as a whole, and so
/// does everything where it is no TLV.
fn without_sensitive(icc: &[u8]) -> Option<Vec<u8>> {
    // Nearly all have none, and need no list to be looked through.
    let mut is_any = false;
    if emv::each(icc, |object| is_any |= is_sensitive_tag(object.tag)).is_ok() && !is_any {
        return None;
    }
    let Ok(objects) = emv::data_objects(icc) else { return Some(Vec::new()) };
    let mut kept = Vec::with_capacity(icc.len());
    let mut end = 0;
    for object in &objects {
        if object.value.start <= end {
            // Part of a template that was dealt with: what stands behind one has its tag and length in between.
            continue;
        }
        end = object.value.end;
        let within = |inner: &&emv::DataObject| {
            inner.value.start > object.value.start && inner.value.end <= object.value.end
        };
        let is_sensitive = is_sensitive_tag(object.tag)
            || object.is_constructed && objects.iter().filter(within).any(|o| is_sensitive_tag(o.tag));
        if let Some(value) = icc.get(object.value.clone()).filter(|_| !is_sensitive) {
            push_object(&mut kept, object.tag, value);
        }
    }
    Some(kept)
}

fn push_object(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    let tag = tag.to_be_bytes();
    let first = tag.iter().position(|byte| *byte != 0).unwrap_or(tag.len() - 1);
    out.extend_from_slice(&tag[first..]);
    match value.len() {
        len @ 0..=0x7F => out.push(len as u8),
        len @ 0x80..=0xFF => out.extend_from_slice(&[0x81, len as u8]),
        len => {
            out.push(0x82);
            out.put_u16(len.min(usize::from(u16::MAX)) as u16);
        }
    }
    out.extend_from_slice(value);
}

/// Reads what [`image`] has written.
pub struct Restored;

impl Restored {
    /// The request of an image, for a mux of this dialect and these key fields.
    ///
    /// It is not checked again: it had been let in, and perhaps sent. `None` when the bytes are no message of the dialect
    /// (any more), no request, or lack a key field, as after a change of configuration: then nobody but a person can
    /// see to it.
    pub fn read(dialect: &Dialect, keys: &KeyFields, image: Bytes) -> Option<Request> {
        let message = Message::parse(&dialect.schema, image).ok()?;
        if !message.mti().is_request() {
            return None;
        }
        let key = MatchKey::of(&message, keys)?;
        let (tid, make_good) = (Tid::of(&message), MakeGood::of(dialect, &message));
        Some(Request { message, key, tid, make_good })
    }
}

/// What an answer adds to the record: no card data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerRecord {
    /// DE 37.
    pub rrn: Option<Value>,
    /// DE 38.
    pub approval_code: Option<Value>,
    /// DE 39.
    pub response_code: Option<Value>,
}

/// A short value, which is kept where it stands.
pub type Value = SmallVec<[u8; 16]>;

impl AnswerRecord {
    /// With these values.
    pub fn new(
        rrn: Option<&[u8]>,
        approval_code: Option<&[u8]>,
        response_code: Option<&[u8]>,
    ) -> AnswerRecord {
        let [rrn, approval_code, response_code] =
            [rrn, approval_code, response_code].map(|value| value.map(Value::from_slice));
        AnswerRecord { rrn, approval_code, response_code }
    }

    /// That of `answer`.
    pub fn of(answer: &Answer) -> AnswerRecord {
        let value = |n| answer.message.value(n).map(|value| Value::from_slice(&value));
        AnswerRecord {
            rrn: value(field::RRN),
            approval_code: value(field::APPROVAL_CODE),
            response_code: value(field::RESPONSE_CODE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::Mti;
    use crate::rules::prepare;
    use crate::time::Now;

    const TRACK: &[u8] = b"4850781234567891=19082012232800000037";

    fn request(dialect: &Dialect, changes: &[(u16, &[u8])]) -> Request {
        let mut draft = Draft::new(&dialect.schema, Mti::new(0x0200));
        for (n, value) in [
            (field::PROCESSING_CODE, &b"000000"[..]),
            (field::AMOUNT, b"000000001000"),
            (field::TRANSMISSION_TIME, b"1122030405"),
            (field::STAN, b"000007"),
            (field::TID, b"00000001"),
            (field::CURRENCY, b"810"),
        ] {
            draft.set(n, value);
        }
        for (n, value) in changes {
            draft.set(FieldNumber::new(*n).unwrap(), value);
        }
        // Not by the dialect's rules for obligatory fields: these are about what is kept.
        let message = draft.finish().unwrap();
        let key = MatchKey::of(&message, &KeyFields::default()).unwrap();
        let (tid, make_good) = (Tid::of(&message), MakeGood::of(dialect, &message));
        Request { message, key, tid, make_good }
    }

    fn kept(dialect: &Dialect, changes: &[(u16, &[u8])]) -> Message {
        let before = request(dialect, changes);
        let restored = Restored::read(dialect, &KeyFields::default(), image(&before, dialect)).unwrap();
        assert_eq!(restored.key(), before.key());
        assert_eq!(restored.tid(), before.tid());
        assert_eq!(restored.make_good(), before.make_good());
        assert_eq!(restored.mti(), before.mti());
        restored.message
    }

    fn smart_vista() -> Dialect {
        Dialect::clone(&Dialect::builtin("smartVista").unwrap())
    }

    #[test]
    fn tracks_and_pin_block_go_and_the_card_number_stays() {
        let dialect = smart_vista();
        let message = kept(&dialect, &[(35, TRACK), (52, b"ABCDEFGH")]);
        for n in NEVER_KEPT {
            assert!(!message.has(n), "{n}");
        }
        assert_eq!(message.text(field::PAN).unwrap(), "4850781234567891");
        let bytes = message.raw();
        for secret in [&TRACK[16..], b"ABCDEFGH"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
    }

    #[test]
    fn a_card_number_and_expiry_that_are_there_stay_as_they_are() {
        let message = kept(&smart_vista(), &[(2, b"5100000000000008"), (35, TRACK)]);
        assert_eq!(message.text(field::PAN).unwrap(), "5100000000000008");
    }

    #[test]
    fn the_expiry_is_taken_from_the_track_where_the_field_holds_just_that() {
        let open_way = Dialect::builtin("openWay").unwrap();
        assert_eq!(kept(&open_way, &[(35, TRACK)]).text(field::EXPIRATION_DATE).unwrap(), "1908");
        // smartVista's DE 14 has six digits: nobody knows what the other two would be.
        assert!(!kept(&smart_vista(), &[(35, TRACK)]).has(field::EXPIRATION_DATE));
    }

    #[test]
    fn a_track_without_a_card_number_gives_none() {
        for track in [&b"=1908"[..], b"48507812", b"4850D", b"ABC=1908"] {
            let message = kept(&smart_vista(), &[(35, track)]);
            assert!(!message.has(field::TRACK_2));
            assert!(message.text(field::PAN).is_none_or(|pan| pan == "4850"));
        }
    }

    #[test]
    fn sensitive_data_objects_go_and_the_others_stay() {
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            // 9F26 02 AABB, 95 01 07: nothing to hide.
            (&[0x9F, 0x26, 2, 0xAA, 0xBB, 0x95, 1, 7], None),
            // 5A (PAN) goes.
            (&[0x5A, 2, 0x48, 0x50, 0x95, 1, 7], Some(&[0x95, 1, 7])),
            // 57, 5F24 and 5F20 go from between others; filling goes too.
            (
                &[0x82, 1, 0xFF, 0x57, 1, 0x48, 0, 0x5F, 0x24, 1, 0x19, 0x5F, 0x20, 1, 0x41, 0x95, 1, 7],
                Some(&[0x82, 1, 0xFF, 0x95, 1, 7]),
            ),
            // A template with a PAN in it goes as a whole; one without stays as a whole, its last object empty.
            (&[0x70, 3, 0x5A, 1, 0x12, 0x70, 5, 0x95, 1, 7, 0x82, 0], Some(&[0x70, 5, 0x95, 1, 7, 0x82, 0])),
            // Lengths get their shortest form.
            (&[0x5A, 1, 0x12, 0x82, 0x81, 1, 0xFF], Some(&[0x82, 1, 0xFF])),
            (&[0x5A, 1, 0x12], Some(&[])),
            // No TLV: nobody knows what is in it.
            (&[0x5A, 9, 0x12], Some(&[])),
        ];
        for (icc, expected) in cases {
            assert_eq!(without_sensitive(icc).as_deref(), expected, "{icc:02x?}");
        }
    }

    #[test]
    fn long_data_objects_keep_their_length() {
        for len in [0x7F, 0x80, 0xFF, 0x100] {
            let value = vec![7; len];
            let mut icc = vec![0x5A, 1, 0x12];
            push_object(&mut icc, 0x9F10, &value);
            let kept = without_sensitive(&icc).unwrap();
            assert_eq!(kept, icc[3..], "{len}");
            let objects = emv::data_objects(&kept).unwrap();
            assert_eq!((objects.len(), objects[0].tag, objects[0].value.len()), (1, 0x9F10, len));
        }
    }

    #[test]
    fn what_is_no_image_is_no_request() {
        let dialect = smart_vista();
        let keys = KeyFields::default();
        let good = image(&request(&dialect, &[]), &dialect);
        assert!(Restored::read(&dialect, &keys, good.clone()).is_some());
        for len in 0..good.len() {
            assert!(Restored::read(&dialect, &keys, good.slice(..len)).is_none(), "{len}");
        }
        let mut response = good.to_vec();
        response[2] = b'1';
        assert!(Restored::read(&dialect, &keys, response.into()).is_none());
        assert!(Restored::read(&dialect, &KeyFields(vec![field::RRN]), good).is_none());
    }

    #[test]
    fn an_untouched_message_is_kept_byte_for_byte() {
        let dialect = smart_vista();
        let request = request(&dialect, &[]);
        assert_eq!(image(&request, &dialect), *request.bytes());
        assert!(prepare(&dialect, &KeyFields::default(), request.message, Now::default()).is_err());
    }
}
