//! Distinct routes, each once: a full table of a million prefixes has some thousands of them.
//!
//! What selection reads stands apart from the routes themselves in 16 octets each, so that a walk over all destinations
//! stays in the cache.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::nexthop::NextHopId;
use crate::route::{AdminDistance, Metric, Route, Source};

/// An interned route's number; used again after the last reference is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteId(pub(crate) u32);

/// What selection reads of a route.
#[derive(Clone, Copy, Debug)]
struct Brief {
    refs: u32,
    next_hop: NextHopId,
    metric: Metric,
    distance: AdminDistance,
}

/// The interned routes.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    index: HashTable<u32>,
    hasher: FixedState,
    briefs: Vec<Brief>,
    bodies: Vec<Option<Route>>,
    free: Vec<u32>,
}

impl Routes {
    /// The number of `route`, with one more reference. `next_hop` is asked for the number of its next hops if the route is
    /// new.
    pub(crate) fn intern(&mut self, route: &Route, next_hop: impl FnOnce() -> NextHopId) -> RouteId {
        let (hasher, bodies) = (&self.hasher, &self.bodies);
        let hash = hasher.hash_one(route);
        let same = |number: &u32| bodies[*number as usize].as_ref() == Some(route);
        let rehash = |number: &u32| bodies[*number as usize].as_ref().map_or(0, |route| hasher.hash_one(route));
        match self.index.entry(hash, same, rehash) {
            Entry::Occupied(entry) => {
                let number = *entry.get();
                self.briefs[number as usize].refs += 1;
                RouteId(number)
            }
            Entry::Vacant(entry) => {
                let brief = Brief { refs: 1, next_hop: next_hop(), metric: route.metric, distance: route.distance };
                let number = self
                    .free
                    .pop()
                    .unwrap_or_else(|| u32::try_from(self.bodies.len()).expect("under 2^32 distinct routes"));
                entry.insert(number);
                if number as usize == self.bodies.len() {
                    self.bodies.push(Some(route.clone()));
                    self.briefs.push(brief);
                } else {
                    self.bodies[number as usize] = Some(route.clone());
                    self.briefs[number as usize] = brief;
                }
                RouteId(number)
            }
        }
    }

    pub(crate) fn acquire(&mut self, id: RouteId) {
        self.briefs[id.0 as usize].refs += 1;
    }

    /// Drops one reference; if it was the last, returns the next hops whose user is gone.
    #[must_use]
    pub(crate) fn release(&mut self, id: RouteId) -> Option<NextHopId> {
        let brief = &mut self.briefs[id.0 as usize];
        brief.refs -= 1;
        if brief.refs > 0 {
            return None;
        }
        let next_hop = brief.next_hop;
        let route = self.bodies[id.0 as usize].take().expect("a referenced route is there");
        let hash = self.hasher.hash_one(&route);
        if let Ok(entry) = self.index.find_entry(hash, |number| *number == id.0) {
            entry.remove();
        }
        self.free.push(id.0);
        Some(next_hop)
    }

    pub(crate) fn route(&self, id: RouteId) -> &Route {
        self.bodies[id.0 as usize].as_ref().expect("a referenced route is there")
    }

    pub(crate) fn next_hop(&self, id: RouteId) -> NextHopId {
        self.briefs[id.0 as usize].next_hop
    }

    pub(crate) fn distance(&self, id: RouteId) -> AdminDistance {
        self.briefs[id.0 as usize].distance
    }

    /// The order of candidates: the lowest distance, then the lowest metric, then the lowest source.
    pub(crate) fn preference(&self, id: RouteId, source: Source) -> (AdminDistance, Metric, Source) {
        let brief = &self.briefs[id.0 as usize];
        (brief.distance, brief.metric, source)
    }

    /// How many distinct routes there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}
