//! EMV data objects (BER-TLV, EMV 4.3 book 3, annex B), as DE 55 has them.

use std::ops::Range;

/// One data object: its tag, and where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataObject {
    /// The tag's bytes as a number, e.g. `0x9F26`.
    pub tag: u32,
    /// Where its tag begins.
    pub start: usize,
    /// Where its value stands in the data.
    pub value: Range<usize>,
    /// Whether its value consists of data objects, which follow it in the list.
    pub is_constructed: bool,
    /// In how many templates it stands.
    pub depth: usize,
}

impl DataObject {
    /// Whether its length is written in one byte.
    pub fn has_short_length(&self) -> bool {
        let tag_len = 4 - (self.tag.leading_zeros() / 8) as usize;
        self.value.start == self.start + tag_len + 1
    }
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
/// # Errors
/// [`NotTlv`] with the offset of the object that is cut off, reaches beyond its template or has another form.
pub fn data_objects(data: &[u8]) -> Result<Vec<DataObject>, NotTlv> {
    let mut objects = Vec::with_capacity(data.len() / 8);
    for object in DataObjects::new(data) {
        objects.push(object?);
    }
    Ok(objects)
}

/// The same, one after the other. After an error there is nothing more.
///
/// Tags have 1–4 bytes, lengths the short form or one or two bytes. Zero bytes between objects are filling.
pub struct DataObjects<'d> {
    data: &'d [u8],
    at: usize,
    /// Where the data end, and the templates that are open.
    ends: [usize; DEPTH_MAX + 1],
    depth: usize,
}

impl<'d> DataObjects<'d> {
    /// Those in `data`.
    pub fn new(data: &'d [u8]) -> DataObjects<'d> {
        DataObjects { data, at: 0, ends: [data.len(); DEPTH_MAX + 1], depth: 0 }
    }

    fn read(&mut self) -> Option<Result<DataObject, NotTlv>> {
        loop {
            let end = self.ends.get(self.depth).copied()?;
            if self.at == end {
                self.depth = self.depth.checked_sub(1)?;
                continue;
            }
            if self.data.get(self.at) == Some(&0) {
                self.at += 1;
                continue;
            }
            let wrong = NotTlv { offset: self.at };
            let object = self.data.get(..end).and_then(|data| data_object(data, self.at));
            let Some(mut object) = object else { return Some(Err(wrong)) };
            object.depth = self.depth;
            self.at = object.value.end;
            if object.is_constructed {
                self.depth += 1;
                let Some(inner) = self.ends.get_mut(self.depth) else { return Some(Err(wrong)) };
                *inner = object.value.end;
                self.at = object.value.start;
            }
            return Some(Ok(object));
        }
    }
}

impl Iterator for DataObjects<'_> {
    type Item = Result<DataObject, NotTlv>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read();
        if !matches!(next, Some(Ok(_))) {
            (self.at, self.depth) = (self.data.len(), 0);
        }
        next
    }
}

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
    let len = match length {
        0..=0x7F => usize::from(length),
        0x81 => usize::from(*data.get(next)?),
        0x82 => usize::from(u16::from_be_bytes([*data.get(next)?, *data.get(next + 1)?])),
        _ => return None,
    };
    let start = next + usize::from(length.saturating_sub(0x80));
    let value = start..start + len;
    data.get(value.clone())?;
    Some(DataObject { tag, start: at, value, is_constructed: first & 0x20 != 0, depth: 0 })
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
    fn where_an_object_begins_and_how_its_length_is_written_is_told() {
        let data =
            [0x82, 1, 7, 0x9F, 0x26, 1, 7, 0x70, 3, 0x5A, 1, 7, 0x82, 0x81, 1, 7, 0x9F, 0x26, 0x82, 0, 1, 7];
        let objects: Vec<(usize, usize, bool)> = data_objects(&data)
            .unwrap()
            .iter()
            .map(|object| (object.start, object.depth, object.has_short_length()))
            .collect();
        assert_eq!(
            objects,
            [(0, 0, true), (3, 0, true), (7, 0, true), (9, 1, true), (12, 0, false), (16, 0, false)]
        );
        let mut cut_off = DataObjects::new(&data[..5]);
        assert!(cut_off.next().is_some_and(|object| object.is_ok()));
        assert_eq!((cut_off.next(), cut_off.next()), (Some(Err(NotTlv { offset: 3 })), None));
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
