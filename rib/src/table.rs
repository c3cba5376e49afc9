//! The table of destinations: a longest-prefix-match tree from prefix to slot, an index of slots by the hash of the prefix, and
//! a slab of destinations.
//!
//! What changes is found by the index: two loads that can be asked for ahead, where the tree takes five that wait for each other.
//! What covers an address, or comes after a prefix, the tree knows.
//!
//! The tree is `prefix-trie`'s `PrefixMap`. The classical structure here is a Patricia trie, one node per branching bit;
//! since its version 0.9 `prefix-trie` is a *tree bitmap*, a multi-bit trie that takes five bits per node. It gives the same
//! operations, in the same order of prefixes, and is three to five times faster than the one-bit tries that were measured
//! (one million IPv4 prefixes: about 300 ns per insert, 200 ns per lookup, 25 octets per prefix), so it is taken for the
//! Patricia trie. The value in the tree is a 32-bit slot: with the destination itself in the tree all of this is slower.

use std::fmt::Debug;
use std::hash::BuildHasher as _;

use prefix_trie::{Prefix as _, PrefixMap};
use smallvec::SmallVec;

use crate::family::{Family, V4, V6};
use crate::index::Index;
use crate::intern::{RouteId, Routes};
use crate::prefetch::prefetch;
use crate::route::Source;
use crate::slab::Slab;

/// A destination's number in its family's table.
pub type Slot = u32;

/// Longest-prefix match over one family: what the RIB needs of a tree, and nothing else.
pub trait Lpm<F: Family> {
    /// Sets the slot of `prefix` and returns the one it had.
    fn insert(&mut self, prefix: F::Prefix, slot: Slot) -> Option<Slot>;
    /// Removes exactly `prefix`.
    fn remove(&mut self, prefix: F::Prefix) -> Option<Slot>;
    /// The longest stored prefix that covers `prefix` (possibly itself).
    fn longest(&self, prefix: F::Prefix) -> Option<(F::Prefix, Slot)>;
    /// Every stored prefix that covers `prefix` (possibly itself), shortest first.
    fn covers(&self, prefix: F::Prefix) -> impl Iterator<Item = (F::Prefix, Slot)>;
    /// `prefix` itself if stored, and all longer ones under it, in order.
    fn children(&self, prefix: F::Prefix) -> impl Iterator<Item = (F::Prefix, Slot)>;
    /// Every stored prefix from `prefix` on, in order (by address, then the shorter first). `prefix` need not be stored, so
    /// a walk can be resumed after anything has happened in between.
    fn from(&self, prefix: F::Prefix, inclusive: bool) -> impl Iterator<Item = (F::Prefix, Slot)>;
    /// How many prefixes are stored.
    fn len(&self) -> usize;
    /// True if none is stored.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The longest stored prefix that covers `prefix` and is shorter than it.
    fn shorter(&self, prefix: F::Prefix) -> Option<(F::Prefix, Slot)> {
        let length = F::length(prefix).checked_sub(1)?;
        self.longest(F::Prefix::from_repr_len(prefix.repr(), length))
    }
}

/// [`Lpm`] by `prefix-trie`.
#[derive(Debug)]
pub struct PrefixTable<F: Family>(PrefixMap<F::Prefix, Slot>);

impl<F: Family> Default for PrefixTable<F> {
    fn default() -> Self {
        Self(PrefixMap::new())
    }
}

impl<F: Family> PrefixTable<F> {
    /// Octets held by the tree, as it counts them itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0.mem_size()
    }
}

impl<F: Family> Lpm<F> for PrefixTable<F> {
    fn insert(&mut self, prefix: F::Prefix, slot: Slot) -> Option<Slot> {
        self.0.insert(prefix, slot)
    }

    fn remove(&mut self, prefix: F::Prefix) -> Option<Slot> {
        self.0.remove(&prefix)
    }

    fn longest(&self, prefix: F::Prefix) -> Option<(F::Prefix, Slot)> {
        self.0.get_lpm(&prefix).map(|(prefix, slot)| (prefix, *slot))
    }

    fn covers(&self, prefix: F::Prefix) -> impl Iterator<Item = (F::Prefix, Slot)> {
        self.0.cover(&prefix).map(|(prefix, slot)| (prefix, *slot))
    }

    fn children(&self, prefix: F::Prefix) -> impl Iterator<Item = (F::Prefix, Slot)> {
        self.0.children(&prefix).map(|(prefix, slot)| (prefix, *slot))
    }

    fn from(&self, prefix: F::Prefix, inclusive: bool) -> impl Iterator<Item = (F::Prefix, Slot)> {
        self.0.iter_from(&prefix, inclusive).map(|(prefix, slot)| (prefix, *slot))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// One source's route for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cand {
    pub(crate) source: Source,
    pub(crate) route: RouteId,
}

/// How many candidates a destination has. With one, which is the usual case, it stands in the destination itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// The slot is free.
    Vacant,
    /// No candidate, kept until every reader has passed the removal.
    None,
    One(Source),
    Many,
}

/// A destination: 24 octets for IPv4, 32 for IPv6 (a full table of 1,000,000 and 200,000: 30 MB), beside about 25 and 47 in
/// the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dest<F: Family> {
    /// The journal position of the last change of the best route; older entries for this slot are stale.
    pub(crate) seq: u64,
    /// The only candidate's route, or the number of the spilled candidates.
    content: u32,
    pub(crate) prefix: F::Prefix,
    held: Held,
    /// Whose candidate is the best.
    pub(crate) best: Option<Source>,
    /// See [`marks`].
    pub(crate) marks: u8,
}

/// What is noted of a destination beside its routes.
pub(crate) mod marks {
    /// Somebody waits for this prefix to be installed.
    pub(crate) const AWAITED: u8 = 1;
    /// Its source asked what became of its route.
    pub(crate) const ASKED_OWN: u8 = 2;
    /// A source asked what became of whatever route it has.
    pub(crate) const ASKED_ANY: u8 = 4;
    /// It is in the queue of what is to be answered.
    pub(crate) const QUEUED: u8 = 8;
}

impl<F: Family> Dest<F> {
    /// At least one of `marks` is set.
    pub(crate) fn is_marked(&self, marks: u8) -> bool {
        self.marks & marks != 0
    }
}

/// The most preferred first.
type Spill = SmallVec<[Cand; 2]>;

/// All destinations of one family.
#[derive(Debug)]
pub(crate) struct Table<F: Family> {
    pub(crate) tree: PrefixTable<F>,
    index: Index,
    seed: u64,
    dests: Slab<Dest<F>>,
    spill: Slab<Spill>,
}

impl<F: Family> Table<F> {
    fn new() -> Self {
        Self {
            tree: PrefixTable::default(),
            index: Index::new(),
            seed: foldhash::quality::RandomState::default().hash_one(0),
            dests: Slab::new(),
            spill: Slab::new(),
        }
    }

    /// The hash to find `prefix` by.
    pub(crate) fn hash(&self, prefix: F::Prefix) -> u32 {
        F::hash(prefix, self.seed)
    }

    /// First half of warming the cache for several prefixes: the index.
    pub(crate) fn prefetch_index(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// Second half: the destination that the index most likely leads to.
    pub(crate) fn prefetch_dest(&self, hash: u32) {
        if let Some(slot) = self.index.guess(hash) {
            prefetch(self.dests.get(slot));
        }
    }

    /// The slot of exactly `prefix`, by its hash.
    pub(crate) fn find(&self, hash: u32, prefix: F::Prefix) -> Option<Slot> {
        self.index.find(hash, |slot| self.dests.get(slot).prefix == prefix)
    }

    /// The slot of exactly `prefix`.
    pub(crate) fn get(&self, prefix: F::Prefix) -> Option<Slot> {
        self.find(self.hash(prefix), prefix)
    }

    /// The slot of `prefix`, made empty if there is none.
    pub(crate) fn ensure(&mut self, hash: u32, prefix: F::Prefix, awaited: impl FnOnce() -> bool) -> Slot {
        if let Some(slot) = self.find(hash, prefix) {
            return slot;
        }
        let slot = self.dests.insert(Dest {
            seq: 0,
            content: 0,
            prefix,
            held: Held::None,
            best: None,
            marks: if awaited() { marks::AWAITED } else { 0 },
        });
        self.index.insert(hash, slot);
        self.tree.insert(prefix, slot);
        slot
    }

    pub(crate) fn dest(&self, slot: Slot) -> &Dest<F> {
        self.dests.get(slot)
    }

    pub(crate) fn dest_mut(&mut self, slot: Slot) -> &mut Dest<F> {
        self.dests.get_mut(slot)
    }

    /// One more than the highest slot in use; vacant slots below it have no candidates.
    pub(crate) fn slots(&self) -> u32 {
        self.dests.slots()
    }

    /// Frees a slot without candidates.
    pub(crate) fn bury(&mut self, slot: Slot) {
        let dest = *self.dests.get(slot);
        debug_assert!(dest.held == Held::None, "only a destination without candidates is freed");
        self.tree.remove(dest.prefix);
        self.index.remove(self.hash(dest.prefix), slot);
        self.dests.release(slot, Dest { seq: 0, held: Held::Vacant, best: None, marks: 0, ..dest });
    }

    /// True if no source has a route.
    pub(crate) fn is_bare(&self, slot: Slot) -> bool {
        self.dests.get(slot).held == Held::None
    }

    /// True if the slot is free.
    pub(crate) fn is_vacant(&self, slot: Slot) -> bool {
        self.dests.get(slot).held == Held::Vacant
    }

    /// The candidates, most preferred first by distance, metric and source; whether they resolve is not looked at.
    pub(crate) fn candidates(&self, slot: Slot) -> SmallVec<[Cand; 2]> {
        let dest = self.dests.get(slot);
        match dest.held {
            Held::None | Held::Vacant => SmallVec::new(),
            Held::One(source) => SmallVec::from_slice(&[Cand { source, route: RouteId(dest.content) }]),
            Held::Many => self.spill.get(dest.content).clone(),
        }
    }

    /// The first candidate that `accept` takes.
    pub(crate) fn first(&self, slot: Slot, mut accept: impl FnMut(Cand) -> bool) -> Option<Cand> {
        let dest = self.dests.get(slot);
        match dest.held {
            Held::None | Held::Vacant => None,
            Held::One(source) => Some(Cand { source, route: RouteId(dest.content) }).filter(|cand| accept(*cand)),
            Held::Many => self.spill.get(dest.content).iter().copied().find(|cand| accept(*cand)),
        }
    }

    /// The route of `source`.
    pub(crate) fn route_of(&self, slot: Slot, source: Source) -> Option<RouteId> {
        self.first(slot, |cand| cand.source == source).map(|cand| cand.route)
    }

    /// The best candidate as last selected.
    pub(crate) fn best(&self, slot: Slot) -> Option<Cand> {
        let source = self.dests.get(slot).best?;
        self.route_of(slot, source).map(|route| Cand { source, route })
    }

    /// Sets or removes the route of `source` and returns the one it had.
    pub(crate) fn set(
        &mut self,
        slot: Slot,
        source: Source,
        route: Option<RouteId>,
        routes: &Routes,
    ) -> Option<RouteId> {
        let dest = self.dests.get_mut(slot);
        match (dest.held, route) {
            (Held::None | Held::Vacant, Some(route)) => {
                (dest.held, dest.content) = (Held::One(source), route.0);
                None
            }
            (Held::One(only), route) if only == source => {
                let old = RouteId(dest.content);
                match route {
                    Some(route) => dest.content = route.0,
                    None => dest.held = Held::None,
                }
                Some(old)
            }
            (Held::None | Held::Vacant | Held::One(_), None) => None,
            (Held::One(only), Some(route)) => {
                let mut both: Spill = SmallVec::new();
                both.push(Cand { source: only, route: RouteId(dest.content) });
                both.push(Cand { source, route });
                both.sort_by_key(|cand| routes.preference(cand.route, cand.source));
                (dest.held, dest.content) = (Held::Many, self.spill.insert(both));
                None
            }
            (Held::Many, route) => {
                let number = dest.content;
                let cands = self.spill.get_mut(number);
                let at = cands.iter().position(|cand| cand.source == source);
                let old = at.map(|at| cands.remove(at).route);
                if let Some(route) = route {
                    let key = routes.preference(route, source);
                    let at = cands.partition_point(|cand| routes.preference(cand.route, cand.source) < key);
                    cands.insert(at, Cand { source, route });
                }
                if let [only] = cands[..] {
                    (dest.held, dest.content) = (Held::One(only.source), only.route.0);
                    self.spill.release(number, SmallVec::new());
                }
                old
            }
        }
    }
}

/// Both families' tables.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) v4: Table<V4>,
    pub(crate) v6: Table<V6>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self { v4: Table::new(), v6: Table::new() }
    }
}

/// A family that has a table: picks it out of [`Tables`].
pub(crate) trait Tabled: Family {
    fn table(tables: &Tables) -> &Table<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
}

impl Tabled for V4 {
    fn table(tables: &Tables) -> &Table<Self> {
        &tables.v4
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.v4
    }
}

impl Tabled for V6 {
    fn table(tables: &Tables) -> &Table<Self> {
        &tables.v6
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.v6
    }
}

/// A destination of either family in 32 bits: what the journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u32);

impl Key {
    /// An entry that names no destination: it only moves the journal on.
    pub(crate) const MARKER: Self = Self(u32::MAX);
    const V6_BIT: u32 = 1 << 31;

    pub(crate) fn new<F: Family>(slot: Slot) -> Self {
        debug_assert!(slot < Self::V6_BIT - 1, "a family has under 2^31 destinations");
        match F::FAMILY {
            crate::AddressFamily::Ipv4 => Self(slot),
            crate::AddressFamily::Ipv6 => Self(slot | Self::V6_BIT),
        }
    }

    pub(crate) fn is_v6(self) -> bool {
        self.0 & Self::V6_BIT != 0
    }

    pub(crate) fn slot(self) -> Slot {
        self.0 & !Self::V6_BIT
    }
}
