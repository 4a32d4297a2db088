//! A slab whose items can stand in linked lists: O(1) removal from anywhere, no allocation per item, and an order that
//! never depends on a hash.

use super::event::TxId;

/// Bits of a [`TxId`] that hold the place in the slab: four million items at most.
pub(super) const INDEX_BITS: u32 = 22;
/// No item.
const NIL: u32 = u32::MAX;

/// Neighbours of an item in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    pub(super) const LOOSE: Link = Link { prev: NIL, next: NIL };
}

/// Gives the link of list kind `KIND`.
pub(super) trait Linked<const KIND: usize> {
    fn link(&mut self) -> &mut Link;
}

/// Items by [`TxId`]; an id of an item that is gone finds nothing, ever.
pub(super) struct Arena<T> {
    slots: Vec<(u64, Option<T>)>,
    free: Vec<u32>,
    serial: u64,
    most: usize,
}

impl<T> Arena<T> {
    pub(super) fn new() -> Arena<T> {
        Arena::with_capacity(0)
    }

    /// With room for `count` items before it has to grow.
    pub(super) fn with_capacity(count: usize) -> Arena<T> {
        Arena { slots: Vec::with_capacity(count), free: Vec::new(), serial: 0, most: 1 << INDEX_BITS }
    }

    /// How many more items there is room for.
    pub(super) fn room(&self) -> usize {
        self.free.len() + (self.most - self.slots.len().min(self.most))
    }

    /// Numbers further items after `id`, which named one in a process before: no id names two.
    pub(super) fn number_after(&mut self, id: TxId) {
        self.serial = self.serial.max(id.0 >> INDEX_BITS);
    }

    /// Puts in what `make` makes of its id. The caller has checked [`Arena::room`].
    #[inline(always)]
    pub(super) fn insert(&mut self, make: impl FnOnce(TxId) -> T) -> TxId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        self.serial += 1;
        let id = TxId(self.serial << INDEX_BITS | u64::from(index));
        self.slots[index as usize] = (id.0, Some(make(id)));
        id
    }

    fn index(id: TxId) -> usize {
        (id.0 & ((1 << INDEX_BITS) - 1)) as usize
    }

    pub(super) fn get(&self, id: TxId) -> Option<&T> {
        match self.slots.get(Self::index(id)) {
            Some((owner, Some(item))) if *owner == id.0 => Some(item),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, id: TxId) -> Option<&mut T> {
        match self.slots.get_mut(Self::index(id)) {
            Some((owner, Some(item))) if *owner == id.0 => Some(item),
            _ => None,
        }
    }

    /// Takes the item out. It must stand in no list any more.
    pub(super) fn remove(&mut self, id: TxId) -> Option<T> {
        let (owner, item) = self.slots.get_mut(Self::index(id))?;
        if *owner != id.0 {
            return None;
        }
        let item = item.take()?;
        self.free.push(Self::index(id) as u32);
        Some(item)
    }

    /// All items, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, item)| item.as_ref())
    }

    /// All items, in the order of their places, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|(_, item)| item.as_mut())
    }

    fn at(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize).and_then(|(_, item)| item.as_mut())
    }

    fn id_at(&self, index: u32) -> Option<TxId> {
        self.slots.get(index as usize).filter(|(_, item)| item.is_some()).map(|(owner, _)| TxId(*owner))
    }
}

/// A doubly linked list through the items of an arena, by their link of kind `KIND`.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<const KIND: usize> {
    head: u32,
    tail: u32,
    len: u32,
}

impl<const KIND: usize> List<KIND> {
    pub(super) const fn new() -> Self {
        List { head: NIL, tail: NIL, len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn front<T>(&self, arena: &Arena<T>) -> Option<TxId> {
        arena.id_at(self.head)
    }

    pub(super) fn back<T>(&self, arena: &Arena<T>) -> Option<TxId> {
        arena.id_at(self.tail)
    }

    pub(super) fn push_back<T: Linked<KIND>>(&mut self, arena: &mut Arena<T>, id: TxId) {
        let index = Arena::<T>::index(id) as u32;
        let Some(item) = arena.get_mut(id) else { return };
        *item.link() = Link { prev: self.tail, next: NIL };
        match arena.at(self.tail) {
            Some(last) => last.link().next = index,
            None => self.head = index,
        }
        self.tail = index;
        self.len += 1;
    }

    pub(super) fn push_front<T: Linked<KIND>>(&mut self, arena: &mut Arena<T>, id: TxId) {
        let index = Arena::<T>::index(id) as u32;
        let Some(item) = arena.get_mut(id) else { return };
        *item.link() = Link { prev: NIL, next: self.head };
        match arena.at(self.head) {
            Some(first) => first.link().prev = index,
            None => self.tail = index,
        }
        self.head = index;
        self.len += 1;
    }

    /// Takes `id`, which must stand in this list, out of it.
    pub(super) fn remove<T: Linked<KIND>>(&mut self, arena: &mut Arena<T>, id: TxId) {
        let Some(item) = arena.get_mut(id) else { return };
        let Link { prev, next } = std::mem::replace(item.link(), Link::LOOSE);
        match arena.at(prev) {
            Some(before) => before.link().next = next,
            None => self.head = next,
        }
        match arena.at(next) {
            Some(after) => after.link().prev = prev,
            None => self.tail = prev,
        }
        self.len -= 1;
    }

    /// The ids from front to back.
    pub(super) fn iter<'a, T: Linked<KIND>>(
        &self,
        arena: &'a mut Arena<T>,
    ) -> impl Iterator<Item = TxId> + 'a {
        let mut index = self.head;
        std::iter::from_fn(move || {
            let id = arena.id_at(index)?;
            index = arena.at(index)?.link().next;
            Some(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(u32, Link);
    impl Linked<0> for Item {
        fn link(&mut self) -> &mut Link {
            &mut self.1
        }
    }

    fn values(list: &List<0>, arena: &mut Arena<Item>) -> Vec<u32> {
        let ids: Vec<TxId> = list.iter(arena).collect();
        ids.into_iter().map(|id| arena.get(id).unwrap().0).collect()
    }

    #[test]
    fn a_list_keeps_its_order_through_removals_anywhere() {
        let mut arena = Arena::new();
        let mut list = List::<0>::new();
        let ids: Vec<TxId> = (0..5).map(|n| arena.insert(|_| Item(n, Link::LOOSE))).collect();
        for id in &ids[1..] {
            list.push_back(&mut arena, *id);
        }
        list.push_front(&mut arena, ids[0]);
        assert_eq!(values(&list, &mut arena), [0, 1, 2, 3, 4]);
        list.remove(&mut arena, ids[2]);
        list.remove(&mut arena, ids[0]);
        list.remove(&mut arena, ids[4]);
        assert_eq!(values(&list, &mut arena), [1, 3]);
        assert_eq!(list.len(), 2);
        list.remove(&mut arena, ids[1]);
        list.remove(&mut arena, ids[3]);
        assert!(list.is_empty());
        assert_eq!(list.front(&arena), None);
    }

    #[test]
    fn room_is_what_is_left_and_what_was_freed() {
        let mut arena = Arena { most: 2, ..Arena::new() };
        assert_eq!(arena.room(), 2);
        let first = arena.insert(|_| Item(1, Link::LOOSE));
        arena.insert(|_| Item(2, Link::LOOSE));
        assert_eq!(arena.room(), 0);
        arena.remove(first);
        assert_eq!(arena.room(), 1);
    }

    #[test]
    fn an_old_id_finds_nothing_after_its_place_was_taken_again() {
        let mut arena = Arena::new();
        let first = arena.insert(|_| Item(1, Link::LOOSE));
        arena.remove(first);
        let second = arena.insert(|_| Item(2, Link::LOOSE));
        assert!(arena.get(first).is_none());
        assert!(arena.remove(first).is_none());
        assert_eq!(arena.get(second).unwrap().0, 2);
    }
}
