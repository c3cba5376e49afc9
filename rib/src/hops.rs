//! The table of interned next-hop sets: each distinct set once, with its state and its users.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use crate::delta::BackendId;
use crate::nexthop::{Forwarding, NextHopId, NextHopSet};
use crate::table::Key;
use crate::track::Dep;

/// Up to this many prefixes a set knows its users by name, so that when it becomes usable or unusable they are selected
/// anew at once. Beyond, the whole table is walked instead, in slices. A list of all users would cost at least 8 octets per
/// candidate (10 MB at 1.2 million) and its upkeep on every change; the walk is a linear scan of the slab, once for all sets
/// that changed together (1.16 million destinations: 45 ms on a busy machine of two cores, and 190 ms when every one
/// of them changes), and the users of such a set are a good part of the table anyway.
const USERS_BY_NAME: usize = 16;

/// Data planes by number, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackendMask(u32);

impl BackendMask {
    /// Numbers must be below this.
    pub(crate) const BITS: u8 = 32;

    pub(crate) fn has(self, backend: BackendId) -> bool {
        self.0 & (1 << backend.0) != 0
    }

    pub(crate) fn set(&mut self, backend: BackendId) {
        self.0 |= 1 << backend.0;
    }

    pub(crate) fn clear(&mut self, backend: BackendId) {
        self.0 &= !(1 << backend.0);
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Who uses a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    /// These destinations, one entry per candidate.
    Named(SmallVec<[Key; 2]>),
    /// Too many to name.
    Many,
}

/// An interned set.
#[derive(Debug)]
pub(crate) struct Hop {
    /// `None`: the number is free.
    pub(crate) set: Option<NextHopSet>,
    /// Interned routes with this set.
    refs: u32,
    /// Candidates with this set.
    candidates: u32,
    pub(crate) users: Users,
    /// How it forwards, or, if it does not resolve, how it last did.
    pub(crate) forwarding: Option<Forwarding>,
    /// It waits to be resolved anew.
    pub(crate) dirty: bool,
    /// Its resolution ran into a loop, so that the outcome may not stand for it inside another resolution.
    pub(crate) cyclic: bool,
    /// What the outcome depends on.
    pub(crate) deps: SmallVec<[Dep; 2]>,
    /// Data planes that have been given the object and not yet confirmed its removal.
    pub(crate) held: BackendMask,
    /// Data planes in whose queue of changed objects it stands.
    pub(crate) queued: BackendMask,
}

impl Hop {
    fn vacant() -> Self {
        Self {
            set: None,
            refs: 0,
            candidates: 0,
            users: Users::Named(SmallVec::new()),
            forwarding: None,
            dirty: false,
            cyclic: false,
            deps: SmallVec::new(),
            held: BackendMask::default(),
            queued: BackendMask::default(),
        }
    }
}

/// The interned sets. Number 0 is never given.
#[derive(Debug)]
pub(crate) struct Hops {
    index: HashTable<u32>,
    hasher: FixedState,
    hops: Vec<Hop>,
    /// Whether the set resolves: apart, because selection reads it for every candidate.
    usable: Vec<bool>,
    free: Vec<u32>,
}

impl Hops {
    pub(crate) fn new() -> Self {
        Self {
            index: HashTable::new(),
            hasher: FixedState::default(),
            hops: vec![Hop::vacant()],
            usable: vec![false],
            free: Vec::new(),
        }
    }

    /// The number of `set` with one more reference, and whether it is new.
    pub(crate) fn intern(&mut self, set: &NextHopSet) -> (NextHopId, bool) {
        let (hasher, hops) = (&self.hasher, &self.hops);
        let hash = hasher.hash_one(set);
        let same = |number: &u32| hops[*number as usize].set.as_ref() == Some(set);
        let rehash = |number: &u32| hops[*number as usize].set.as_ref().map_or(0, |set| hasher.hash_one(set));
        match self.index.entry(hash, same, rehash) {
            Entry::Occupied(entry) => {
                let number = *entry.get();
                self.hops[number as usize].refs += 1;
                (NextHopId(number), false)
            }
            Entry::Vacant(entry) => {
                let number = self
                    .free
                    .pop()
                    .unwrap_or_else(|| u32::try_from(self.hops.len()).expect("under 2^32 next-hop sets"));
                entry.insert(number);
                let hop = Hop { set: Some(set.clone()), refs: 1, ..Hop::vacant() };
                if number as usize == self.hops.len() {
                    self.hops.push(hop);
                    self.usable.push(false);
                } else {
                    self.hops[number as usize] = hop;
                    self.usable[number as usize] = false;
                }
                (NextHopId(number), true)
            }
        }
    }

    /// Drops one reference. True if it was the last: the set is found no more, and its number is to be given back by
    /// [`Hops::free`] once no data plane holds the object.
    pub(crate) fn release(&mut self, id: NextHopId) -> bool {
        let hop = &mut self.hops[id.0 as usize];
        hop.refs -= 1;
        if hop.refs > 0 {
            return false;
        }
        let hash = self.hasher.hash_one(hop.set.as_ref().expect("a referenced set is there"));
        if let Ok(entry) = self.index.find_entry(hash, |number| *number == id.0) {
            entry.remove();
        }
        self.usable[id.0 as usize] = false;
        true
    }

    /// Gives the number back.
    pub(crate) fn free(&mut self, id: NextHopId) {
        debug_assert!(self.get(id).refs == 0, "a set in use is not freed");
        *self.get_mut(id) = Hop::vacant();
        self.free.push(id.0);
    }

    pub(crate) fn get(&self, id: NextHopId) -> &Hop {
        &self.hops[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: NextHopId) -> &mut Hop {
        &mut self.hops[id.0 as usize]
    }

    /// The set is referenced: it has not been released for good.
    pub(crate) fn is_live(&self, id: NextHopId) -> bool {
        self.get(id).refs > 0
    }

    /// Whether the set resolves.
    pub(crate) fn is_usable(&self, id: NextHopId) -> bool {
        self.usable[id.0 as usize]
    }

    /// How the set forwards now.
    pub(crate) fn resolved(&self, id: NextHopId) -> Option<&Forwarding> {
        self.get(id).forwarding.as_ref().filter(|_| self.is_usable(id))
    }

    pub(crate) fn set_usable(&mut self, id: NextHopId, usable: bool) {
        self.usable[id.0 as usize] = usable;
    }

    /// A candidate of `key` uses the set now.
    pub(crate) fn add_user(&mut self, id: NextHopId, key: Key) {
        let hop = self.get_mut(id);
        hop.candidates += 1;
        if let Users::Named(keys) = &mut hop.users {
            if keys.len() < USERS_BY_NAME {
                keys.push(key);
            } else {
                hop.users = Users::Many;
            }
        }
    }

    /// A candidate of `key` uses the set no more.
    pub(crate) fn drop_user(&mut self, id: NextHopId, key: Key) {
        let hop = self.get_mut(id);
        hop.candidates -= 1;
        if let Users::Named(keys) = &mut hop.users {
            if let Some(at) = keys.iter().position(|user| *user == key) {
                keys.swap_remove(at);
            }
        } else if hop.candidates == 0 {
            hop.users = Users::Named(SmallVec::new());
        }
    }

    /// Every live set.
    pub(crate) fn live(&self) -> impl Iterator<Item = NextHopId> {
        (1u32..).zip(&self.hops[1..]).filter(|(_, hop)| hop.refs > 0).map(|(number, _)| NextHopId(number))
    }

    /// Every number in use, released sets that a data plane still holds among them.
    pub(crate) fn all(&self) -> impl Iterator<Item = NextHopId> + use<> {
        (1..u32::try_from(self.hops.len()).expect("under 2^32 next-hop sets")).map(NextHopId)
    }

    /// How many distinct sets are referenced.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}
