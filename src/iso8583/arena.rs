//! Bytes gathered one run after the other, in place as long as they are few.

use std::ops::{Deref, Range};

/// Room for the fields of an ordinary message without an allocation: the 0200 sample with EMV data has 251 bytes.
const INLINE: usize = 384;

/// A growing run of bytes. Up to [`INLINE`] they are in the arena itself.
#[derive(Clone)]
pub(super) struct Arena {
    inline: [u8; INLINE],
    len: usize,
    /// All the bytes, once there are more than `INLINE`.
    heap: Vec<u8>,
}

impl Arena {
    pub(super) fn new() -> Arena {
        Arena { inline: [0; INLINE], len: 0, heap: Vec::new() }
    }

    /// How many bytes there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends `bytes`.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self.inline.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => room.copy_from_slice(bytes),
            None => self.spill(bytes),
        }
        self.len += bytes.len();
    }

    /// The bytes no longer fit, or did not before.
    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.len <= INLINE {
            self.heap.clear();
            self.heap.extend_from_slice(&self.inline[..self.len]);
        }
        self.heap.extend_from_slice(bytes);
    }

    /// Forgets all bytes; what was allocated stays.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.heap.clear();
    }

    /// Takes the bytes of `range` out. Those behind move up.
    pub(super) fn cut(&mut self, range: Range<usize>) {
        if self.get(range.clone()).is_none() {
            return;
        }
        let rest = self.len - range.len();
        if self.len <= INLINE {
            self.inline.copy_within(range.end..self.len, range.start);
        } else {
            self.heap.drain(range);
            if rest <= INLINE {
                self.inline[..rest].copy_from_slice(&self.heap);
            }
        }
        self.len = rest;
    }
}

impl Deref for Arena {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.len <= INLINE { &self.inline[..self.len] } else { &self.heap }
    }
}

impl Extend<u8> for Arena {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        bytes.into_iter().for_each(|byte| self.push(&[byte]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain vector, around the size at which the bytes move out.
    #[test]
    fn it_holds_what_a_vector_would_hold() {
        let mut arena = Arena::new();
        let mut plain = Vec::new();
        for step in 0..2000usize {
            let bytes = vec![step as u8; step * 7 % 90];
            arena.push(&bytes);
            plain.extend_from_slice(&bytes);
            if plain.len() > INLINE - 100 && step % 3 > 0 {
                let start = step * 31 % plain.len();
                let end = start + step * 17 % (plain.len() - start + 1);
                arena.cut(start..end);
                plain.drain(start..end);
            }
            assert_eq!(*arena, plain[..], "step {step}");
            if step % 250 == 0 {
                arena.clear();
                plain.clear();
            }
        }
        arena.cut(0..plain.len() + 1);
        assert_eq!(*arena, plain[..]);
    }
}
