//! The sales that the bank remembers: found by RRN or by what the terminal called them, and never too many.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::accounts::{AccountId, Pan};
use super::codes::Code;

/// How many sales are remembered unless set otherwise (about 250 bytes each). See [`Sales::insert`].
pub(crate) const REMEMBERED_MAX: usize = 2_000_000;

/// Characters of a terminal id, or digits of a time, as they stand; shorter ones are filled with NUL.
pub(crate) type Label<const N: usize> = [u8; N];

/// What a terminal calls a message of its own: equal for a sale, its repeats and a reversal that clones it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// DE 41.
    pub tid: Label<16>,
    /// DE 11.
    pub stan: u32,
    /// DE 12 (or DE 7, in the index by transmission time); NULs when it has none.
    pub time: Label<12>,
    /// Whether it is an advice: a sale and an advice do not repeat each other.
    pub is_advice: bool,
}

/// How a remembered sale stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Taken, and not undone.
    Booked,
    /// Its reversal came, and it has not.
    Awaited,
    /// Taken and undone.
    Reversed,
    /// Refused.
    Declined,
    /// Refused because its reversal had come before it.
    Refused,
    /// Lost by a fault before it was booked. Remembered, so that a second sending is still noticed.
    Lost,
}

impl State {
    /// Whether nothing can become of it any more.
    fn is_settled(self) -> bool {
        !matches!(self, State::Booked | State::Awaited)
    }
}

/// A sale, authorization or advice that the bank remembers.
#[derive(Clone, Debug)]
pub(crate) struct Sale {
    /// What its terminal calls it; `None` without a STAN: it is then found by its RRN only.
    pub name: Option<Name>,
    /// DE 7 of the original (NULs: none), by which DE 90 names it.
    pub sent_at: Label<12>,
    /// DE 4.
    pub amount: u64,
    /// Its card.
    pub pan: Option<Pan>,
    /// The account and what was taken from it (negative: given). Not the amount: magic answers take nothing.
    pub charged: Option<(AccountId, i128)>,
    /// The RRN given to it, if one was.
    pub rrn: Option<u64>,
    /// The answer that it got.
    pub code: Code,
    /// How it stands.
    pub state: State,
    /// Whether its first reversal was already refused by a fault.
    pub reversal_failed: bool,
}

/// The place of a sale in [`Sales`]; good until the sale is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaleId(u32);

const NONE: u32 = u32::MAX;

struct Slot {
    sale: Sale,
    // Its neighbours in the list of its age: of the live ones or of the settled ones.
    older: u32,
    newer: u32,
    in_settled: bool,
}

#[derive(Clone, Copy)]
struct AgeList {
    oldest: u32,
    newest: u32,
}

/// The remembered sales.
pub(crate) struct Sales {
    limit: usize,
    slots: Vec<Slot>,
    hasher: DefaultHashBuilder,
    by_rrn: HashTable<u32>,
    by_local_time: HashTable<u32>,
    by_sent_at: HashTable<u32>,
    live: AgeList,
    settled: AgeList,
}

impl Sales {
    /// Remembers at most `limit` sales (at least one).
    pub fn new(limit: usize) -> Sales {
        let empty = AgeList { oldest: NONE, newest: NONE };
        Sales {
            limit: limit.clamp(1, NONE as usize),
            slots: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            by_rrn: HashTable::new(),
            by_local_time: HashTable::new(),
            by_sent_at: HashTable::new(),
            live: empty,
            settled: empty,
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Remembers one more. Among equal names the newest is found. At the limit the oldest settled one (reversed,
    /// declined, refused, lost) is forgotten for it; where nothing is settled, the oldest of all. What was forgotten is
    /// answered like what never was.
    pub fn insert(&mut self, sale: Sale) -> SaleId {
        if self.slots.is_empty() {
            self.reserve();
        }
        let in_settled = sale.state.is_settled();
        let slot = Slot { sale, older: NONE, newer: NONE, in_settled };
        let place = if self.slots.len() < self.limit {
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        } else {
            let place = if self.settled.oldest != NONE { self.settled.oldest } else { self.live.oldest };
            self.unlink(place);
            self.unindex(place);
            self.slots[place as usize] = slot;
            place
        };
        self.link(place);
        self.index(place);
        SaleId(place)
    }

    /// The sale at that place.
    pub fn get(&self, id: SaleId) -> &Sale {
        &self.slots[id.0 as usize].sale
    }

    /// Changes a sale; its indexes and its age follow.
    pub fn change(&mut self, id: SaleId, change: impl FnOnce(&mut Sale)) {
        let place = id.0;
        let identity = |sale: &Sale| (sale.name, sale.sent_at, sale.rrn);
        let mut changed = self.get(id).clone();
        change(&mut changed);
        // A sale that keeps its names keeps its place in the indexes: behind a newer one of the same name.
        let is_renamed = identity(&changed) != identity(self.get(id));
        if is_renamed {
            self.unindex(place);
        }
        self.slots[place as usize].sale = changed;
        if is_renamed {
            self.index(place);
        }
        let slot = &self.slots[place as usize];
        if slot.sale.state.is_settled() != slot.in_settled {
            self.unlink(place);
            self.slots[place as usize].in_settled ^= true;
            self.link(place);
        }
    }

    /// The sale to which that RRN was given.
    pub fn by_rrn(&self, rrn: u64) -> Option<SaleId> {
        let hash = self.hasher.hash_one(rrn);
        self.by_rrn
            .find(hash, |&place| self.slots[place as usize].sale.rrn == Some(rrn))
            .map(|&place| SaleId(place))
    }

    /// The newest sale of that name, its time being DE 12.
    pub fn by_local_time(&self, name: &Name) -> Option<SaleId> {
        let hash = self.hasher.hash_one(name);
        let is_it = |&place: &u32| self.slots[place as usize].sale.name.as_ref() == Some(name);
        self.by_local_time.find(hash, is_it).map(|&place| SaleId(place))
    }

    /// The newest sale of that name, its time being DE 7.
    pub fn by_sent_at(&self, name: &Name) -> Option<SaleId> {
        let hash = self.hasher.hash_one(name);
        let is_it = |&place: &u32| self.slots[place as usize].sale.name_sent_at().as_ref() == Some(name);
        self.by_sent_at.find(hash, is_it).map(|&place| SaleId(place))
    }

    /// Takes the room for all at the first sale, so that growing never stops the bank for a tenth of a second in the
    /// middle of a load run. Pages that are not written cost nothing; where there is no room, it grows as it has to.
    fn reserve(&mut self) {
        let _ = self.slots.try_reserve_exact(self.limit);
        for table in [&mut self.by_rrn, &mut self.by_local_time, &mut self.by_sent_at] {
            // They are empty: nothing is hashed.
            let _ = table.try_reserve(self.limit, |_| 0);
        }
    }

    fn index(&mut self, place: u32) {
        let Sales { slots, hasher, by_rrn, by_local_time, by_sent_at, .. } = self;
        let sale = &slots[place as usize].sale;
        if let Some(rrn) = sale.rrn {
            by_rrn.insert_unique(hasher.hash_one(rrn), place, |&at| {
                hasher.hash_one(slots[at as usize].sale.rrn.unwrap_or(0))
            });
        }
        if let Some(name) = sale.name {
            put(by_local_time, hasher, slots, place, name, |sale| sale.name);
        }
        if let Some(name) = sale.name_sent_at() {
            put(by_sent_at, hasher, slots, place, name, Sale::name_sent_at);
        }
    }

    fn unindex(&mut self, place: u32) {
        let Sales { slots, hasher, by_rrn, by_local_time, by_sent_at, .. } = self;
        let sale = &slots[place as usize].sale;
        let take = |table: &mut HashTable<u32>, hash: u64| {
            // A newer sale of the same name may have taken the entry over: then there is nothing to take out.
            if let Ok(entry) = table.find_entry(hash, |&at| at == place) {
                entry.remove();
            }
        };
        if let Some(rrn) = sale.rrn {
            take(by_rrn, hasher.hash_one(rrn));
        }
        if let Some(name) = sale.name {
            take(by_local_time, hasher.hash_one(name));
        }
        if let Some(name) = sale.name_sent_at() {
            take(by_sent_at, hasher.hash_one(name));
        }
    }

    fn list(&mut self, place: u32) -> &mut AgeList {
        if self.slots[place as usize].in_settled { &mut self.settled } else { &mut self.live }
    }

    fn link(&mut self, place: u32) {
        let list = self.list(place);
        let before = std::mem::replace(&mut list.newest, place);
        if before == NONE {
            list.oldest = place;
        } else {
            self.slots[before as usize].newer = place;
        }
        let slot = &mut self.slots[place as usize];
        (slot.older, slot.newer) = (before, NONE);
    }

    fn unlink(&mut self, place: u32) {
        let Slot { older, newer, .. } = self.slots[place as usize];
        let list = self.list(place);
        if older == NONE {
            list.oldest = newer;
        }
        if newer == NONE {
            list.newest = older;
        }
        if older != NONE {
            self.slots[older as usize].newer = newer;
        }
        if newer != NONE {
            self.slots[newer as usize].older = older;
        }
    }
}

/// Indexes `place` under `name`, in place of an older sale of that name.
fn put(
    table: &mut HashTable<u32>,
    hasher: &DefaultHashBuilder,
    slots: &[Slot],
    place: u32,
    name: Name,
    name_of: impl Fn(&Sale) -> Option<Name>,
) {
    let hash = hasher.hash_one(name);
    match table.find_mut(hash, |&at| name_of(&slots[at as usize].sale) == Some(name)) {
        Some(at) => *at = place,
        None => {
            let rehash =
                |&at: &u32| name_of(&slots[at as usize].sale).map_or(0, |name| hasher.hash_one(name));
            table.insert_unique(hash, place, rehash);
        }
    }
}

impl Sale {
    /// The name with DE 7 for its time, if it has one.
    fn name_sent_at(&self) -> Option<Name> {
        let name = self.name?;
        (self.sent_at != [0; 12]).then_some(Name { time: self.sent_at, ..name })
    }
}

#[cfg(test)]
mod tests {
    use super::super::codes::Code;
    use super::*;

    fn name(stan: u32) -> Name {
        Name { tid: *b"00000001\0\0\0\0\0\0\0\0", stan, time: *b"261122032633", is_advice: false }
    }

    fn sale(stan: u32, rrn: u64, state: State) -> Sale {
        Sale {
            name: Some(name(stan)),
            sent_at: *b"1122032633\0\0",
            amount: 100,
            pan: None,
            charged: None,
            rrn: Some(rrn),
            code: Code::for_tests(),
            state,
            reversal_failed: false,
        }
    }

    fn stans(sales: &Sales, among: std::ops::Range<u32>) -> Vec<u32> {
        among.filter(|&stan| sales.by_local_time(&name(stan)).is_some()).collect()
    }

    #[test]
    fn the_oldest_settled_sale_is_forgotten_first_and_then_the_oldest() {
        let mut sales = Sales::new(3);
        sales.insert(sale(1, 1, State::Booked));
        let second = sales.insert(sale(2, 2, State::Booked));
        sales.insert(sale(3, 3, State::Declined));
        sales.change(second, |sale| sale.state = State::Reversed);
        // 3 was settled before 2 was; 1 is the oldest, but still open.
        sales.insert(sale(4, 4, State::Booked));
        assert_eq!(stans(&sales, 0..9), [1, 2, 4]);
        sales.insert(sale(5, 5, State::Awaited));
        assert_eq!(stans(&sales, 0..9), [1, 4, 5]);
        sales.insert(sale(6, 6, State::Booked));
        assert_eq!(stans(&sales, 0..9), [4, 5, 6]);
        assert_eq!(sales.len(), 3);
        assert_eq!((sales.by_rrn(1), sales.by_rrn(3)), (None, None));
    }

    #[test]
    fn a_sale_is_found_by_rrn_by_local_time_and_by_transmission_time() {
        let mut sales = Sales::new(10);
        let id = sales.insert(sale(7, 70, State::Booked));
        let by_de_7 = Name { time: *b"1122032633\0\0", ..name(7) };
        assert_eq!(
            (sales.by_rrn(70), sales.by_local_time(&name(7)), sales.by_sent_at(&by_de_7)),
            (Some(id), Some(id), Some(id))
        );
        assert_eq!(
            (sales.by_rrn(71), sales.by_local_time(&by_de_7), sales.by_sent_at(&name(7))),
            (None, None, None)
        );
        let other_terminal = Name { tid: *b"00000002\0\0\0\0\0\0\0\0", ..name(7) };
        assert_eq!(sales.by_local_time(&other_terminal), None);
        assert_eq!(sales.by_local_time(&Name { is_advice: true, ..name(7) }), None);
    }

    #[test]
    fn of_two_sales_with_one_name_the_newest_is_found_and_forgetting_the_older_leaves_it() {
        let mut sales = Sales::new(2);
        sales.insert(sale(7, 1, State::Booked));
        let older = sales.by_rrn(1).unwrap();
        let newer = sales.insert(sale(7, 2, State::Booked));
        assert_eq!(sales.by_local_time(&name(7)), Some(newer));
        sales.change(older, |sale| sale.state = State::Reversed);
        assert_eq!(sales.by_local_time(&name(7)), Some(newer));
        sales.insert(sale(8, 3, State::Booked));
        assert_eq!(sales.by_local_time(&name(7)), Some(newer));
        assert_eq!((sales.by_rrn(1), sales.by_rrn(2)), (None, Some(newer)));
    }

    #[test]
    fn many_changes_keep_the_indexes_and_the_ages_whole() {
        // A model: what is remembered, oldest first, settled and live.
        let mut sales = Sales::new(50);
        let (mut live, mut settled) = (Vec::new(), Vec::new());
        let mut seed = 42_u64;
        for rrn in 0..20_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if seed >> 33 & 1 == 0 && !live.is_empty() {
                let at = (seed >> 40) as usize % live.len();
                let rrn = live.remove(at);
                settled.push(rrn);
                let id = sales.by_rrn(rrn).unwrap();
                sales.change(id, |sale| sale.state = State::Reversed);
                continue;
            }
            if live.len() + settled.len() == 50 {
                if settled.is_empty() {
                    live.remove(0)
                } else {
                    settled.remove(0)
                };
            }
            live.push(rrn);
            sales.insert(sale(rrn as u32, rrn, State::Booked));
            assert_eq!(sales.len(), live.len() + settled.len());
        }
        let known: Vec<u64> = (0..20_000).filter(|&rrn| sales.by_rrn(rrn).is_some()).collect();
        let mut model: Vec<u64> = live.into_iter().chain(settled).collect();
        model.sort_unstable();
        assert_eq!(known, model);
        assert!(known.iter().all(|&rrn| sales.by_local_time(&name(rrn as u32)) == sales.by_rrn(rrn)));
    }
}
