//! A hash table of places in a slab.
//!
//! Hash and place stand side by side, so that finding, entering and removing touch one cache line each: the table of a
//! quarter of a million keys does not fit into the caches, and a general one touches two. What stands at a place is only
//! looked at when the whole hash is the same, and not at all when the table grows.

/// Places by the hash of what stands there.
pub(super) struct Places {
    /// A power of two of them, at most two thirds in use. Who finds its cell taken stands in the next free one, with no
    /// free one between it and its own.
    cells: Vec<Cell>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Cell {
    hash: u32,
    place: u32,
}

/// No place.
const NONE: u32 = u32::MAX;
const FREE: Cell = Cell { hash: 0, place: NONE };
const CELLS_MIN: usize = 16;

impl Places {
    pub(super) fn new() -> Places {
        Places { cells: vec![FREE; CELLS_MIN], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The place with this hash that `is_it`.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let cell = self.cells[at];
            if cell.place == NONE {
                return None;
            }
            if cell.hash == hash && is_it(cell.place) {
                return Some(cell.place);
            }
            at = self.after(at);
        }
    }

    /// Enters a place that is not there.
    #[inline]
    pub(super) fn insert(&mut self, hash: u32, place: u32) {
        self.len += 1;
        if self.len * 3 > self.cells.len() * 2 {
            self.grow();
        }
        self.put(Cell { hash, place });
    }

    /// Takes out a place that was entered with this hash.
    pub(super) fn remove(&mut self, hash: u32, place: u32) {
        let mut free = self.home(hash);
        while self.cells[free].place != place {
            if self.cells[free].place == NONE {
                return;
            }
            free = self.after(free);
        }
        self.len -= 1;
        let mut at = self.after(free);
        while self.cells[at].place != NONE {
            // It moves up, unless its own cell lies behind the free one.
            let from_home = self.distance(self.home(self.cells[at].hash), at);
            if from_home >= self.distance(free, at) {
                self.cells[free] = self.cells[at];
                free = at;
            }
            at = self.after(at);
        }
        self.cells[free] = FREE;
    }

    fn put(&mut self, cell: Cell) {
        let mut at = self.home(cell.hash);
        while self.cells[at].place != NONE {
            at = self.after(at);
        }
        self.cells[at] = cell;
    }

    #[cold]
    fn grow(&mut self) {
        let cells = vec![FREE; self.cells.len() * 2];
        for cell in std::mem::replace(&mut self.cells, cells) {
            if cell.place != NONE {
                self.put(cell);
            }
        }
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.cells.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    /// How many cells `to` lies behind `from`, round the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.cells.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a hash, and whether nothing else is found.
    fn all(places: &Places, hash: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let none = places.find(hash, |place| {
            found.push(place);
            false
        });
        assert_eq!(none, None);
        found.sort_unstable();
        found
    }

    #[test]
    fn what_was_entered_is_found_until_it_is_removed() {
        let mut places = Places::new();
        let mut known: Vec<(u32, u32)> = Vec::new();
        let mut state = 1u32;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for step in 0..20_000 {
            // Few hashes, at both ends of the table too, so that they crowd and wrap around.
            let grows = step < 2_000 || random(2) == 0;
            if grows && known.len() < 700 {
                let hash = [random(40), u32::MAX - random(8), random(u32::MAX)][random(3) as usize];
                places.insert(hash, step);
                known.push((hash, step));
            } else if !known.is_empty() {
                let (hash, place) = known.swap_remove(random(known.len() as u32) as usize);
                places.remove(hash, place);
            }
            assert_eq!(places.len(), known.len());
            let (hash, place) = known.last().copied().unwrap_or((7, NONE));
            assert_eq!(places.find(hash, |other| other == place).is_some(), !known.is_empty());
            if step % 500 == 0 {
                for hash in known.iter().map(|(hash, _)| *hash).chain([3, u32::MAX]) {
                    let mut of_hash: Vec<u32> =
                        known.iter().filter(|(other, _)| *other == hash).map(|(_, place)| *place).collect();
                    of_hash.sort_unstable();
                    assert_eq!(all(&places, hash), of_hash);
                }
            }
        }
    }

    #[test]
    fn two_thirds_of_the_cells_are_used_at_most() {
        let mut places = Places::new();
        for place in 0..10 {
            places.insert(place, place);
        }
        assert_eq!(places.cells.len(), CELLS_MIN);
        places.insert(10, 10);
        assert_eq!(places.cells.len(), 2 * CELLS_MIN);
        assert!((0..11).all(|place| all(&places, place) == [place]));
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut places = Places::new();
        places.insert(1, 1);
        places.remove(1, 2);
        places.remove(2, 1);
        assert_eq!((places.len(), all(&places, 1)), (1, vec![1]));
    }
}
