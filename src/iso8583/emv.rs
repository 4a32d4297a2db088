//! EMV data objects (BER-TLV, EMV 4.3 book 3, annex B), as DE 55 has them.

use std::ops::Range;

/// One data object: its tag, and where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataObject {
    /// The tag's bytes as a number, e.g. `0x9F26`.
    pub tag: u32,
    /// Where its value stands in the data.
    pub value: Range<usize>,
    /// Whether its value consists of data objects, which follow it in the list.
    pub is_constructed: bool,
}

/// Data that are no data objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no data object at byte {offset}")]
pub struct NotTlv {
    /// Where it goes wrong.
    pub offset: usize,
}

/// How deep templates may nest. Real ones have one level, issuer scripts two.
const DEPTH_MAX: usize = 8;

/// The data objects in `data`, each template followed by what is in it.
///
/// Tags have 1–4 bytes, lengths the short form or one or two bytes. Zero bytes between objects are filling.
///
/// # Errors
/// [`NotTlv`] with the offset of the object that is cut off, reaches beyond its template or has another form.
pub fn data_objects(data: &[u8]) -> Result<Vec<DataObject>, NotTlv> {
    let mut objects = Vec::with_capacity(data.len() / 4);
    each(data, |object| objects.push(object))?;
    Ok(objects)
}

/// Shows each of [`data_objects`] to `see`, without a list of them; after an error, those in front of the trouble.
///
/// # Errors
/// Those of [`data_objects`].
#[inline]
pub fn each(data: &[u8], mut see: impl FnMut(DataObject)) -> Result<(), NotTlv> {
    // Where what is being read ends, and where the templates end that it is in, the innermost last.
    let mut end = data.len();
    let mut outer = [0; DEPTH_MAX];
    let mut depth = 0;
    let mut at = 0;
    loop {
        if at == end {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            end = outer[depth];
            continue;
        }
        if data.get(at) == Some(&0) {
            at += 1;
            continue;
        }
        let wrong = NotTlv { offset: at };
        let object = data.get(..end).and_then(|data| data_object(data, at)).ok_or(wrong)?;
        at = object.value.end;
        if object.is_constructed {
            *outer.get_mut(depth).ok_or(wrong)? = end;
            depth += 1;
            (at, end) = (object.value.start, object.value.end);
        }
        see(object);
    }
}

#[inline]
fn data_object(data: &[u8], at: usize) -> Option<DataObject> {
    let first = *data.get(at)?;
    let mut tag = u32::from(first);
    let mut next = at + 1;
    if first & 0x1F == 0x1F {
        loop {
            let byte = *data.get(next)?;
            tag = tag.checked_mul(0x100)? | u32::from(byte);
            next += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let length = *data.get(next)?;
    next += 1;
    let (start, len) = match length {
        0..=0x7F => (next, usize::from(length)),
        0x81 => (next + 1, usize::from(*data.get(next)?)),
        0x82 => (next + 2, usize::from(u16::from_be_bytes([*data.get(next)?, *data.get(next + 1)?]))),
        _ => return None,
    };
    let value = start..start + len;
    data.get(value.clone())?;
    Some(DataObject { tag, value, is_constructed: first & 0x20 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(data: &[u8]) -> Result<Vec<(u32, Range<usize>)>, NotTlv> {
        Ok(data_objects(data)?.into_iter().map(|object| (object.tag, object.value)).collect())
    }

    #[test]
    fn tags_and_lengths_of_one_and_more_bytes_are_read() {
        // 9F26 02 AABB; filling; 70 { 5A 01 12 }; 82 81 01 FF; 5F20 82 0001 41.
        let data = [
            0x9F, 0x26, 2, 0xAA, 0xBB, 0, 0x70, 3, 0x5A, 1, 0x12, 0x82, 0x81, 1, 0xFF, 0x5F, 0x20, 0x82, 0,
            1, 0x41,
        ];
        let expected = [(0x9F26, 3..5), (0x70, 8..11), (0x5A, 10..11), (0x82, 14..15), (0x5F20, 20..21)];
        assert_eq!(tags(&data).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_off_or_reaches_too_far_is_refused() {
        for (data, offset) in [
            (&[0x9F][..], 0),
            (&[0x9F, 0x26], 0),
            (&[0x5A, 2, 0x12], 0),
            (&[0x5A, 0x80, 0, 0], 0),
            (&[0x5A, 0x81], 0),
            (&[0x5A, 0x82, 0], 0),
            (&[0x95, 1, 7, 0x70, 2, 0x5A, 1, 0x12], 5),
            (&[0x9F, 0xFF, 0xFF, 0xFF, 0x01, 0], 0),
        ] {
            assert_eq!(tags(data), Err(NotTlv { offset }), "{data:02x?}");
        }
        // Nine templates, each in the other.
        let nested: Vec<u8> = (0..9).rev().flat_map(|inner| [0x70, 2 * inner]).collect();
        assert_eq!(tags(&nested), Err(NotTlv { offset: 16 }));
    }
}
