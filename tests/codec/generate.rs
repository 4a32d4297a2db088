//! Dialects and messages by chance, from a seed.

use std::sync::Arc;

use socketqueue::iso8583::schema::{
    BitmapForm, Content, Counts, Encoding, Length, Pad, Prefix, Side, Tertiary,
};
use socketqueue::iso8583::{Draft, FieldNumber, FieldSpec, Message, Mti, Schema};

use crate::de;

/// Splitmix64.
pub struct Chance(u64);

impl Chance {
    /// From `SOCKETQUEUE_SEED`, else from `seed`; printed, so that a failure can be replayed.
    pub fn new(seed: u64) -> Chance {
        let seed = std::env::var("SOCKETQUEUE_SEED").map_or(seed, |text| text.parse().unwrap());
        println!("SOCKETQUEUE_SEED={seed}");
        Chance(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// 0 to `limit` - 1.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    pub fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.bits() as u8).collect()
    }
}

/// Any schema that there can be.
pub fn schema(chance: &mut Chance) -> Arc<Schema> {
    let packed = bcd(chance);
    let mti = chance.of(&[Encoding::Ascii, Encoding::Ebcdic, packed]);
    let bitmap = BitmapForm {
        hex: chance.one_in(3),
        groups: chance.of(&[1, 2, 2, 3, 3]),
        tertiary: chance.of(&[Tertiary::Contiguous, Tertiary::InField65]),
    };
    let mut schema = Schema::new(mti, bitmap);
    for number in 1..=192 {
        if !chance.one_in(4) {
            schema.set(de(number), field(chance));
        }
    }
    // So that no schema is without a field.
    schema.set(de(3), field(chance));
    Arc::new(schema)
}

fn bcd(chance: &mut Chance) -> Encoding {
    Encoding::Bcd { pad: chance.of(&[Side::Left, Side::Right]), fill: chance.of(&[0, 0xF]) }
}

/// Any field that there can be.
pub fn field(chance: &mut Chance) -> FieldSpec {
    loop {
        let content = chance.of(&[
            Content::Digits,
            Content::Digits,
            Content::Letters,
            Content::Alphanumeric,
            Content::Text,
            Content::Binary,
        ]);
        let packed = bcd(chance);
        let encoding = chance.of(&[
            Encoding::Ascii,
            Encoding::Ebcdic,
            packed,
            Encoding::Binary,
            Encoding::HexText,
            Encoding::BigEndian,
        ]);
        let units = chance.of(&[1, 2, 3, 6, 12, 12, 19, 19, 37, 37, 99, 300]);
        let units = 1 + chance.below(units) as u16;
        let prefix = match chance.below(3) {
            0 => Prefix::Characters(1 + chance.below(4) as u8),
            1 => Prefix::Bcd(1 + chance.below(2) as u8),
            _ => Prefix::Binary(1 + chance.below(2) as u8),
        };
        let counts = chance.of(&[Counts::Units, Counts::Bytes]);
        let length = match chance.one_in(2) {
            true => Length::Fixed(units),
            false => Length::Variable { max: units, prefix, counts },
        };
        let with = chance.of(b"0 A\0");
        let pad = chance.one_in(2).then_some(Pad { side: chance.of(&[Side::Left, Side::Right]), with });
        let spec = FieldSpec {
            name: "generated".into(),
            type_name: "generated".into(),
            content,
            encoding,
            length,
            pad,
        };
        if spec.check().is_ok() {
            return spec;
        }
    }
}

/// A value that comes out as it went in: a full one of a fixed field.
pub fn value(chance: &mut Chance, spec: &FieldSpec) -> Vec<u8> {
    if spec.encoding == Encoding::BigEndian {
        let number = u128::from(chance.bits()) << 64 | u128::from(chance.bits());
        return (number >> (128 - 8 * spec.max())).to_string().into_bytes();
    }
    let mut len = match spec.length {
        Length::Fixed(units) => usize::from(units),
        Length::Variable { max, .. } => chance.below(usize::from(max.min(60)) + 1),
    };
    if let (Encoding::Bcd { fill: 0, .. }, Length::Variable { counts: Counts::Bytes, .. }) =
        (spec.encoding, spec.length)
    {
        // A filler 0 that is counted can't be told from a digit.
        len &= !1;
    }
    let characters: &[u8] = match (spec.content, spec.encoding) {
        (Content::Binary, _) => return chance.bytes(len),
        (Content::Digits, _) => b"0123456789",
        (Content::Letters, _) => b"abcXYZ ",
        // Tracks 2 and 3 without `?`, nibble F, which is a filler.
        (_, Encoding::Bcd { .. }) => b"0123456789:;<=>",
        // The same in all EBCDIC code pages.
        _ => b"0123456789ABCxyz =/-+:,.",
    };
    (0..len).map(|_| chance.of(characters)).collect()
}

/// A message with some of the fields of its dialect, set in any order, and those fields with their values.
pub fn message(chance: &mut Chance, schema: &Arc<Schema>) -> (Message, Vec<(FieldNumber, Vec<u8>)>) {
    let known: Vec<FieldNumber> = schema.known().iter().collect();
    let share = chance.of(&[2, 4, 16, 64]);
    let mut fields: Vec<FieldNumber> = known.iter().copied().filter(|_| chance.one_in(share)).collect();
    if fields.is_empty() {
        fields.push(chance.of(&known));
    }
    let mut values: Vec<(FieldNumber, Vec<u8>)> =
        fields.into_iter().map(|n| (n, value(chance, schema.field(n).unwrap()))).collect();
    let mut draft = Draft::new(schema, chance.of(&[Mti::new(0x0200), Mti::new(0x1814), Mti::new(0x0421)]));
    let mut order: Vec<usize> = (0..values.len()).collect();
    if chance.one_in(2) {
        order.sort_by_cached_key(|_| chance.bits());
    }
    for index in order {
        if chance.one_in(8) {
            // Set twice: the last one stands.
            draft.set(values[index].0, b"1");
        }
        draft.set(values[index].0, &values[index].1);
    }
    values.sort();
    (draft.finish().unwrap(), values)
}
