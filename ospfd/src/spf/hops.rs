//! First steps. Most of a domain is reached by a few sets of them, so that each distinct set stands once and has a number.

use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::id::{AreaId, InterfaceId, RouterId};

/// A first step; without an address the destination is on the link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Out of this interface.
    pub interface: InterfaceId,
    /// To this neighbor.
    pub via: Option<IpAddr>,
}

/// First steps of equal cost, sorted; none at all is here, or nowhere.
pub type Hops = SmallVec<[Hop; 2]>;

/// One of our links that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnLink {
    /// Its interface.
    pub interface: InterfaceId,
    /// Its area.
    pub area: AreaId,
    /// What our router-LSA says of it: an address or an interface id.
    pub data: u32,
    /// It is a virtual link, and this is where its packets go.
    pub virtual_to: Option<RouterId>,
    /// Its addresses with the length of their prefix.
    pub nets: Vec<IpNet>,
    /// Who is heard on it, with the address to send to.
    pub neighbors: Vec<(RouterId, IpAddr)>,
}

/// The number of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopsId(u32);

impl HopsId {
    /// The empty set.
    pub const NONE: Self = Self(0);

    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(0))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Sets kept before those that nobody uses are forgotten.
const SETS_MAX: usize = 4096;

/// The sets that are in use, and some that were.
#[derive(Debug)]
pub struct HopSets {
    sets: Vec<Hops>,
    index: HashMap<Hops, HopsId>,
    unions: HashMap<(HopsId, HopsId), HopsId>,
    crowded: usize,
}

impl Default for HopSets {
    fn default() -> Self {
        Self {
            sets: vec![Hops::new()],
            index: std::iter::once((Hops::new(), HopsId::NONE)).collect(),
            unions: HashMap::new(),
            crowded: SETS_MAX,
        }
    }
}

impl HopSets {
    /// The steps of a set.
    #[must_use]
    pub fn get(&self, id: HopsId) -> &[Hop] {
        self.sets.get(id.index()).map_or(&[], |hops| hops.as_slice())
    }

    /// The number of the set of `hops`.
    pub fn intern(&mut self, mut hops: Hops) -> HopsId {
        hops.sort_unstable();
        hops.dedup();
        if let Some(id) = self.index.get(&hops) {
            return *id;
        }
        let id = HopsId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        self.sets.push(hops.clone());
        self.index.insert(hops, id);
        id
    }

    /// The steps of both.
    pub fn union(&mut self, a: HopsId, b: HopsId) -> HopsId {
        let (a, b) = (a.min(b), a.max(b));
        if a == b || a == HopsId::NONE {
            return b;
        }
        if let Some(id) = self.unions.get(&(a, b)) {
            return *id;
        }
        let hops = self.get(a).iter().chain(self.get(b)).copied().collect();
        let id = self.intern(hops);
        self.unions.insert((a, b), id);
        id
    }

    /// There are so many sets that those nobody uses should go: see [`HopSets::keep`].
    pub(crate) fn crowded(&self) -> bool {
        self.sets.len() > self.crowded
    }

    /// Forgets all sets but `used`. The answer is every old number's new one; it is meaningless for sets that went.
    pub(crate) fn keep(&mut self, used: impl Iterator<Item = HopsId>) -> Vec<HopsId> {
        let mut moved = vec![HopsId::NONE; self.sets.len()];
        let mut kept = Self::default();
        for id in used {
            if let Some(place) = moved.get_mut(id.index())
                && *place == HopsId::NONE
                && id != HopsId::NONE
            {
                *place = kept.intern(self.get(id).into());
            }
        }
        kept.crowded = SETS_MAX.max(kept.sets.len() * 2);
        *self = kept;
        moved
    }
}
