//! Which fields a message has: up to three groups of 64 bits, bit 1 leftmost.

use super::field::FieldNumber;

/// A set of data elements. Bits that only announce a further bitmap (1, 65 where the dialect says so) are not in it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bitmap([u64; 3]);

impl Bitmap {
    /// No field.
    pub const EMPTY: Bitmap = Bitmap([0; 3]);

    /// Whether field `n` is there. DE 0 never is: the MTI has no bit.
    #[inline(always)]
    pub fn has(&self, n: FieldNumber) -> bool {
        let bit = n.index().wrapping_sub(1);
        self.0.get(bit / 64).is_some_and(|group| group << (bit % 64) >> 63 == 1)
    }

    /// Whether all fields of `others` are there.
    #[inline]
    pub fn has_all(&self, others: &Bitmap) -> bool {
        self.0.iter().zip(others.0).all(|(own, others)| others & !own == 0)
    }

    /// How many fields stand before field `n`; `None` if it is not there.
    pub(super) fn rank(&self, n: FieldNumber) -> Option<usize> {
        let bit = usize::from(n.get()).checked_sub(1)?;
        let (group, bit) = (bit / 64, bit % 64);
        if self.0[group] & (1 << (63 - bit)) == 0 {
            return None;
        }
        // A shift by 64 would be for no bit at all: they are left out of the word.
        let before = if bit == 0 { 0 } else { self.0[group] >> (64 - bit) };
        let groups = self.0[..group].iter().map(|group| group.count_ones()).sum::<u32>();
        Some((groups + before.count_ones()) as usize)
    }

    /// How many fields above 64 stand before field `n`; `None` if it is not there, or is none of them.
    pub(super) fn rank_behind_64(&self, n: FieldNumber) -> Option<usize> {
        self.rank(n)?.checked_sub(self.0[0].count_ones() as usize)
    }

    /// Adds field `n` (nothing for DE 0).
    pub fn insert(&mut self, n: FieldNumber) {
        let Some(bit) = usize::from(n.get()).checked_sub(1) else { return };
        self.0[bit / 64] |= 1 << (63 - bit % 64);
    }

    /// Removes field `n`.
    pub fn remove(&mut self, n: FieldNumber) {
        let Some(bit) = usize::from(n.get()).checked_sub(1) else { return };
        self.0[bit / 64] &= !(1 << (63 - bit % 64));
    }

    /// The fields that are in `others` as well.
    pub fn and(&self, others: &Bitmap) -> Bitmap {
        let (own, others) = (self.0, others.0);
        Bitmap(std::array::from_fn(|group| own[group] & others[group]))
    }

    /// The three groups, bit 1 being the most significant bit of the first.
    pub fn groups(&self) -> [u64; 3] {
        self.0
    }

    /// From three groups.
    pub fn from_groups(groups: [u64; 3]) -> Bitmap {
        Bitmap(groups)
    }

    /// The fields in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = FieldNumber> + use<> {
        let groups = self.0;
        let (mut rest, mut group) = (groups[0], 0);
        std::iter::from_fn(move || {
            while rest == 0 {
                group += 1;
                rest = *groups.get(group)?;
            }
            let bit = rest.leading_zeros();
            rest ^= 1 << (63 - bit);
            FieldNumber::new((group * 64) as u16 + bit as u16 + 1)
        })
    }

    /// How many fields there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|group| group.count_ones() as usize).sum()
    }
}

impl FromIterator<FieldNumber> for Bitmap {
    fn from_iter<I: IntoIterator<Item = FieldNumber>>(fields: I) -> Bitmap {
        let mut bitmap = Bitmap::EMPTY;
        fields.into_iter().for_each(|n| bitmap.insert(n));
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_in_ascending_order() {
        let numbers = [192, 129, 128, 70, 65, 64, 41, 2, 1, 3].map(FieldNumber::new);
        let mut bitmap: Bitmap = numbers.into_iter().flatten().collect();
        let numbers: Vec<u8> = bitmap.iter().map(FieldNumber::get).collect();
        assert_eq!(numbers, [1, 2, 3, 41, 64, 65, 70, 128, 129, 192]);
        assert_eq!(bitmap.count(), 10);
        for (before, n) in bitmap.iter().enumerate() {
            assert_eq!(bitmap.rank(n), Some(before), "{n}");
            assert_eq!(bitmap.rank_behind_64(n), before.checked_sub(5), "{n}");
        }
        assert_eq!(bitmap.rank(FieldNumber::new(4).unwrap()), None);
        assert_eq!(bitmap.rank(FieldNumber::new(0).unwrap()), None);
        bitmap.remove(FieldNumber::new(41).unwrap());
        assert!(!bitmap.has(FieldNumber::new(41).unwrap()));
        let mut others = bitmap;
        assert!(bitmap.has_all(&others) && bitmap.has_all(&Bitmap::EMPTY));
        others.insert(FieldNumber::new(130).unwrap());
        assert_eq!(others.and(&bitmap), bitmap);
        assert!(!bitmap.has_all(&others) && others.has_all(&bitmap));
        assert!(!bitmap.has(FieldNumber::new(0).unwrap()));
    }

    #[test]
    fn bit_one_is_the_leftmost() {
        let mut bitmap = Bitmap::EMPTY;
        bitmap.insert(FieldNumber::new(1).unwrap());
        bitmap.insert(FieldNumber::new(64).unwrap());
        assert_eq!(bitmap.groups(), [0x8000_0000_0000_0001, 0, 0]);
    }
}
