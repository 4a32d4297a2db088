//! Seeded chance: the same seed and the same words give the same numbers, on every machine.

/// One step of splitmix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// A row of numbers that hangs on a seed and on what was stirred in.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(mix(seed))
    }

    /// Stirs bytes in.
    pub fn stir(mut self, bytes: &[u8]) -> Chance {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(chunk.len() as u64, |word, &byte| word << 8 | u64::from(byte));
            self.0 = mix(self.0 ^ word);
        }
        self
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        let out = mix(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        out
    }

    /// A number of `from..=to` (`from` when the range is empty).
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        let count = to.saturating_sub(from).saturating_add(1);
        from.saturating_add(self.next() % count)
    }

    /// True in so many of a thousand.
    pub fn permille(&mut self, permille: u16) -> bool {
        self.next() % 1000 < u64::from(permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_numbers() {
        // The first three outputs for seed 1234567, as in the test vectors of Rosetta Code's "Pseudo-random
        // numbers/Splitmix64".
        let mut state = 1_234_567_u64;
        let outputs = [(); 3].map(|()| {
            let out = mix(state);
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            out
        });
        assert_eq!(
            outputs,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_permille_is_about_that_often_and_0_and_1000_are_never_and_always() {
        let mut chance = Chance::new(7).stir(b"00000001");
        let hits = (0..100_000).filter(|_| chance.permille(100)).count();
        assert!((9_000..11_000).contains(&hits), "{hits}");
        assert!(!(0..1000).any(|_| chance.permille(0)));
        assert!((0..1000).all(|_| chance.permille(1000)));
    }
}
