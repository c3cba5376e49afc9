//! Interned attribute sets: each distinct set once, known by a 32-bit id, with a count of its users.
//!
//! A set is kept as octets, in the form in which a four-octet-AS speaker sends it, because a decoded value takes five times
//! as much and is needed once per neighbor at most. That form is also the key: an UPDATE whose attributes arrive in it is recognised
//! by one hash and one comparison, without decoding ([`AttrStore::find_raw`]). Other spellings of a set are remembered in a small
//! bounded table.

use std::hash::BuildHasher;

use bytes::BytesMut;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::attrs::{Extra, Facts, Identity};
use crate::locrib::nexthop::NextHops;
use crate::wire::attr::PathAttributes;

mod canonical;

pub use canonical::RawKey;
pub(crate) use canonical::is_own;

/// An attribute set's number. Reused after its last user is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttrId(pub u32);

impl AttrId {
    /// No set: a path that may not be used, a route that was not told.
    pub const NONE: Self = Self(0);

    /// True unless [`Self::NONE`].
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// How the octets of an UPDATE are to be read; the same octets may mean different sets in different contexts.
/// Those below [`Self::EXACT`] read AS numbers of four octets, so that a set's own octets are unambiguous in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawContext(pub u8);

impl RawContext {
    /// Contexts below this one may use the set's own octets as the key.
    pub const EXACT: u8 = 8;

    fn bit(self) -> u8 {
        if self.0 < Self::EXACT { 1 << self.0 } else { 0 }
    }
}

struct Set {
    octets: Box<[u8]>,
    hash: u64,
    /// Contexts in which these very octets were decoded to this set without a fault.
    verified: u8,
}

/// Another spelling of a set.
struct Alias {
    octets: Box<[u8]>,
    hash: u64,
    context: RawContext,
    id: AttrId,
    /// The set's hash, to notice that the id means another set now.
    set_hash: u64,
}

/// Other spellings remembered; a power of two.
const ALIASES: usize = 4096;

/// The store.
pub struct AttrStore {
    sets: Vec<Option<Set>>,
    refs: Vec<u32>,
    facts: Vec<Facts>,
    free: Vec<u32>,
    table: HashTable<u32>,
    aliases: Vec<Option<Alias>>,
    hasher: FixedState,
    identity: Identity,
    scratch: BytesMut,
    len: usize,
    /// The next hops that the sets name.
    pub next_hops: NextHops,
}

impl AttrStore {
    /// An empty store. `seed` keeps neighbors from choosing attributes that collide.
    #[must_use]
    pub fn new(seed: u64, identity: Identity) -> Self {
        Self {
            sets: Vec::new(),
            refs: Vec::new(),
            facts: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            aliases: Vec::new(),
            hasher: FixedState::with_seed(seed),
            identity,
            scratch: BytesMut::new(),
            len: 0,
            next_hops: NextHops::default(),
        }
    }

    /// The id of a set, with one user more: the caller.
    pub fn intern(&mut self, attributes: &PathAttributes, extra: Extra) -> AttrId {
        let mut scratch = std::mem::take(&mut self.scratch);
        canonical::encode(attributes, extra, &mut scratch);
        let hash = self.hasher.hash_one(&scratch[..]);
        let id = match self.find(hash, &scratch) {
            Some(id) => {
                self.retain(id, 1);
                id
            }
            None => {
                let next_hop = self.next_hops.acquire(attributes.next_hop.addr(), extra.link);
                let facts = Facts::new(attributes, extra, next_hop, &self.identity);
                self.add(Set { octets: scratch[..].into(), hash, verified: 0 }, facts)
            }
        };
        self.scratch = scratch;
        id
    }

    fn find(&self, hash: u64, octets: &[u8]) -> Option<AttrId> {
        self.table.find(hash, |&id| self.is(id, hash, octets)).map(|&id| AttrId(id))
    }

    fn is(&self, id: u32, hash: u64, octets: &[u8]) -> bool {
        self.sets[id as usize - 1].as_ref().is_some_and(|set| set.hash == hash && *set.octets == *octets)
    }

    fn add(&mut self, set: Set, facts: Facts) -> AttrId {
        let hash = set.hash;
        let id = match self.free.pop() {
            Some(id) => {
                let place = id as usize - 1;
                self.sets[place] = Some(set);
                self.facts[place] = facts;
                self.refs[place] = 1;
                id
            }
            None => {
                self.sets.push(Some(set));
                self.facts.push(facts);
                self.refs.push(1);
                u32::try_from(self.sets.len()).expect("fewer than 2^32 attribute sets")
            }
        };
        let sets = &self.sets;
        self.table.insert_unique(hash, id, |&id| sets[id as usize - 1].as_ref().map_or(0, |set| set.hash));
        self.len += 1;
        AttrId(id)
    }

    /// The set that these octets meant before in this context, if it still exists. Adds no user.
    #[must_use]
    pub fn find_raw(&self, raw: &RawKey, context: RawContext) -> Option<AttrId> {
        let octets = raw.octets();
        let hash = self.hasher.hash_one(octets);
        if let Some(id) = self.find(hash, octets)
            && self.sets[id.0 as usize - 1].as_ref().is_some_and(|set| set.verified & context.bit() != 0)
        {
            return Some(id);
        }
        let alias = self.aliases.get(hash as usize & (ALIASES - 1))?.as_ref()?;
        let same = alias.hash == hash && alias.context == context && *alias.octets == *octets;
        let alive = self.sets[alias.id.0 as usize - 1].as_ref().is_some_and(|set| set.hash == alias.set_hash);
        (same && alive).then_some(alias.id)
    }

    /// These octets were decoded in this context to `id`, without a fault.
    pub fn remember_raw(&mut self, raw: &RawKey, context: RawContext, id: AttrId) {
        let octets = raw.octets();
        let Some(set) = &mut self.sets[id.0 as usize - 1] else { return };
        if context.bit() != 0 && *set.octets == *octets {
            set.verified |= context.bit();
            return;
        }
        let (hash, set_hash) = (self.hasher.hash_one(octets), set.hash);
        if self.aliases.is_empty() {
            self.aliases.resize_with(ALIASES, || None);
        }
        self.aliases[hash as usize & (ALIASES - 1)] =
            Some(Alias { octets: octets.into(), hash, context, id, set_hash });
    }

    /// `count` users more.
    #[inline]
    pub fn retain(&mut self, id: AttrId, count: u32) {
        if id.is_some() {
            self.refs[id.0 as usize - 1] += count;
        }
    }

    /// One user less; the last one frees the set.
    #[inline]
    pub fn release(&mut self, id: AttrId) {
        if id == AttrId::NONE {
            return;
        }
        let refs = &mut self.refs[id.0 as usize - 1];
        debug_assert!(*refs > 0, "a set is released as often as retained");
        *refs -= 1;
        if *refs == 0 {
            self.remove(id);
        }
    }

    #[cold]
    fn remove(&mut self, id: AttrId) {
        let place = id.0 as usize - 1;
        if let Some(set) = self.sets[place].take()
            && let Ok(found) = self.table.find_entry(set.hash, |&other| other == id.0)
        {
            found.remove();
        }
        self.next_hops.release(self.facts[place].next_hop);
        self.free.push(id.0);
        self.len -= 1;
    }

    /// What the decision and export read of a set.
    #[inline]
    #[must_use]
    pub fn facts(&self, id: AttrId) -> &Facts {
        &self.facts[id.0 as usize - 1]
    }

    /// The set, decoded.
    #[must_use]
    pub fn attributes(&self, id: AttrId) -> PathAttributes {
        let octets = self.sets[id.0 as usize - 1].as_ref().map(|set| &*set.octets);
        canonical::decode(octets.expect("an id in use has a set"))
    }

    /// What is known of the set beside its attributes.
    #[must_use]
    pub fn extra(&self, id: AttrId) -> Extra {
        self.sets[id.0 as usize - 1].as_ref().map_or(Extra::default(), |set| canonical::extra(&set.octets))
    }

    /// Who we are changed: every set's facts are read anew. Decisions based on them have to be repeated by the caller.
    pub fn set_identity(&mut self, identity: Identity) {
        if identity == self.identity {
            return;
        }
        self.identity = identity;
        for place in 0..self.sets.len() {
            if let Some(set) = &self.sets[place] {
                let attributes = canonical::decode(&set.octets);
                let extra = canonical::extra(&set.octets);
                self.facts[place] = Facts::new(&attributes, extra, self.facts[place].next_hop, &self.identity);
            }
        }
    }

    /// Distinct sets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// No set is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Users of all sets together, for finding leaks in tests.
    #[cfg(test)]
    pub(crate) fn users(&self) -> u64 {
        self.refs.iter().map(|refs| u64::from(*refs)).sum()
    }
}
