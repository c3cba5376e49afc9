//! The next-hop tracker: resolves each interned set once, whatever number of prefixes uses it.
//!
//! A recursive gateway is looked up in the table; the candidates of the longest covering prefix are tried in order of
//! preference, then those of shorter prefixes, until one resolves. A chain of routes that comes back to a set it started
//! from resolves nothing: RFC 4271 §9.1.2.1 has mutually recursive routes fail, and routes that would become unresolvable
//! by being installed. The outcome is a function of the candidates alone, not of what happens to be selected, so that
//! selection, which depends on it, cannot swing.

use std::collections::VecDeque;
use std::net::IpAddr;

use smallvec::SmallVec;

use crate::family::{V4, V6};
use crate::hops::Hops;
use crate::intern::Routes;
use crate::legs::{self, Found, LegOutcome};
use crate::nexthop::{Forwarding, IfIndex, Leg, NextHop, NextHopId, NextHopSet, ResolvedLeg};
use crate::route::{AdminDistance, Protocol};
use crate::table::{Lpm, Tabled, Tables};
use crate::track::{Dep, Tracker};

/// A route of this distance is never used for forwarding.
pub(crate) const NEVER: AdminDistance = AdminDistance(255);

/// Longest chain of sets that is followed; a longer one does not resolve.
const MAX_DEPTH: usize = 64;

/// Most prefixes read for one set; a tangle that needs more does not resolve.
const MAX_STEPS: u32 = 4096;

/// No loop was met.
const NO_LOOP: usize = usize::MAX;

/// The outcome for a set or a leg.
struct Answer<T> {
    found: Option<T>,
    /// The lowest place on the chain that was come back to: outcomes of sets above it hold only within this chain.
    lowest: usize,
}

/// What became of a set when it was resolved anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It became usable or unusable: prefixes are to be selected anew.
    Flipped,
    /// It forwards otherwise: data planes that hold the object are to be told.
    Moved,
}

/// What resolution reads.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) routes: &'a Routes,
}

/// The tracker.
#[derive(Debug)]
pub(crate) struct NexthopTracker {
    pub(crate) hops: Hops,
    pub(crate) tracker: Tracker,
    dirty: VecDeque<NextHopId>,
    effects: Vec<(NextHopId, Effect)>,
    /// The chain from the set being resolved down.
    chain: Vec<NextHopId>,
    /// What has been looked at since the chain began.
    trail: Vec<Dep>,
    steps: u32,
}

impl NexthopTracker {
    pub(crate) fn new() -> Self {
        Self {
            hops: Hops::new(),
            tracker: Tracker::default(),
            dirty: VecDeque::new(),
            effects: Vec::new(),
            chain: Vec::new(),
            trail: Vec::new(),
            steps: 0,
        }
    }

    /// Marks `id` to be resolved anew.
    pub(crate) fn mark(&mut self, id: NextHopId) {
        let hop = self.hops.get_mut(id);
        if !hop.dirty {
            hop.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// A prefix changed: marks the sets that looked at it.
    pub(crate) fn touched(&mut self, prefix: ipnet::IpNet, what: crate::track::Change) {
        let (hops, dirty) = (&mut self.hops, &mut self.dirty);
        self.tracker.touched(prefix, what, |id| {
            let hop = hops.get_mut(id);
            if !hop.dirty {
                hop.dirty = true;
                dirty.push_back(id);
            }
        });
    }

    /// An interface changed: marks the sets that looked at it.
    pub(crate) fn set_interface(&mut self, index: IfIndex, up: bool) {
        for id in self.tracker.set_interface(index, up) {
            self.mark(id);
        }
    }

    pub(crate) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Resolves the next marked set; returns how many prefixes were read for it.
    pub(crate) fn resolve_next(&mut self, world: World<'_>) -> usize {
        self.steps = 0;
        if let Some(id) = self.dirty.pop_front()
            && self.hops.is_live(id)
            && self.hops.get(id).dirty
        {
            self.resolve(id, world);
        }
        self.steps as usize
    }

    /// What resolving has brought about since the last call.
    pub(crate) fn take_effects(&mut self) -> Vec<(NextHopId, Effect)> {
        std::mem::take(&mut self.effects)
    }

    /// Resolves `id` now.
    pub(crate) fn resolve(&mut self, id: NextHopId, world: World<'_>) {
        debug_assert!(self.chain.is_empty(), "a resolution is over before the next begins");
        self.trail.clear();
        self.steps = 0;
        self.set(id, world);
    }

    /// Forgets what a released set depends on.
    pub(crate) fn forget(&mut self, id: NextHopId) {
        let old = std::mem::take(&mut self.hops.get_mut(id).deps);
        self.tracker.depend(id, &old, &[]);
        self.hops.get_mut(id).dirty = false;
    }

    /// The outcome for `id` within the chain; what holds outside of it too is kept.
    fn set(&mut self, id: NextHopId, world: World<'_>) -> Answer<Forwarding> {
        let hop = self.hops.get(id);
        if !hop.dirty && !hop.cyclic && !self.chain.is_empty() {
            self.trail.extend_from_slice(&hop.deps);
            return Answer { found: self.hops.resolved(id).cloned(), lowest: NO_LOOP };
        }
        let depth = self.chain.len();
        if depth == MAX_DEPTH {
            return Answer { found: None, lowest: 0 };
        }
        let legs: SmallVec<[Leg; 4]> = hop.set.as_ref().map_or(&[][..], NextHopSet::legs).iter().copied().collect();
        let start = self.trail.len();
        self.chain.push(id);
        let mut lowest = NO_LOOP;
        let mut outcomes: SmallVec<[LegOutcome; 2]> = SmallVec::new();
        for leg in &legs {
            let answer = self.leg(&leg.next_hop, world);
            lowest = lowest.min(answer.lowest);
            outcomes.extend(answer.found.map(|found| LegOutcome { weight: leg.weight(), found }));
        }
        self.chain.pop();
        let found = legs::join(outcomes);
        if lowest < depth {
            return Answer { found, lowest };
        }
        let mut deps = SmallVec::from_slice(&self.trail[start..]);
        Dep::fold(&mut deps);
        self.keep(id, found.as_ref(), deps, lowest != NO_LOOP);
        Answer { found, lowest: NO_LOOP }
    }

    /// Keeps an outcome that holds by itself.
    fn keep(&mut self, id: NextHopId, found: Option<&Forwarding>, deps: SmallVec<[Dep; 2]>, cyclic: bool) {
        let was_usable = self.hops.is_usable(id);
        let hop = self.hops.get_mut(id);
        hop.dirty = false;
        hop.cyclic = cyclic;
        self.tracker.depend(id, &hop.deps, &deps);
        hop.deps = deps;
        if let Some(found) = found
            && (!was_usable || hop.forwarding.as_ref() != Some(found))
        {
            // Who follows an address under such a route hears of it, though no best route changes. A set that is now local
            // delivery and now not is so rare that all of them are answered anew.
            let was_local = was_usable && hop.forwarding == Some(Forwarding::Local);
            if was_usable && was_local != (*found == Forwarding::Local) {
                self.tracker.doubt_all();
            }
            hop.forwarding = Some(found.clone());
            self.effects.push((id, Effect::Moved));
        }
        if was_usable != found.is_some() {
            self.hops.set_usable(id, found.is_some());
            self.effects.push((id, Effect::Flipped));
        }
    }

    fn leg(&mut self, next_hop: &NextHop, world: World<'_>) -> Answer<Found> {
        let plain = |found| Answer { found, lowest: NO_LOOP };
        match *next_hop {
            NextHop::Discard(how) => plain(Some(Found::Discard(how))),
            NextHop::Local => plain(Some(Found::Local)),
            NextHop::Interface(interface) => {
                self.trail.push(Dep::Interface(interface));
                let up = self.tracker.is_up(interface);
                plain(up.then(|| Found::leg(interface, None, false)))
            }
            NextHop::Gateway { addr, interface: Some(interface), onlink } => {
                self.trail.push(Dep::Interface(interface));
                let near = onlink || is_link_local(addr) || {
                    match addr {
                        IpAddr::V4(addr) => self.is_on_link::<V4>(addr, interface, world),
                        IpAddr::V6(addr) => self.is_on_link::<V6>(addr, interface, world),
                    }
                };
                let usable = near && self.tracker.is_up(interface);
                plain(usable.then(|| Found::leg(interface, Some(addr), onlink)))
            }
            // RFC 4291 §2.5.6: a link-local address means nothing without its link.
            NextHop::Gateway { addr, interface: None, .. } if is_link_local(addr) => plain(None),
            NextHop::Gateway { addr: IpAddr::V4(addr), .. } => self.gateway::<V4>(addr, world),
            NextHop::Gateway { addr: IpAddr::V6(addr), .. } => self.gateway::<V6>(addr, world),
        }
    }

    /// Whether a route says that `addr` is directly on `interface`.
    fn is_on_link<F: Tabled>(&mut self, addr: F::Addr, interface: IfIndex, world: World<'_>) -> bool {
        let table = F::table(world.tables);
        let direct = NextHop::Interface(interface);
        let host = F::host(addr);
        let mut cover = table.tree.longest(host);
        while let Some((prefix, slot)) = cover {
            let found = table.first(slot, |cand| {
                world.routes.route(cand.route).next_hops.legs().iter().any(|leg| leg.next_hop == direct)
            });
            if found.is_some() {
                self.trail.push(Dep::Addr(addr.into(), F::length(prefix)));
                return true;
            }
            cover = table.tree.shorter(prefix);
        }
        self.trail.push(Dep::Addr(addr.into(), 0));
        false
    }

    /// The way to a recursive gateway.
    fn gateway<F: Tabled>(&mut self, addr: F::Addr, world: World<'_>) -> Answer<Found> {
        let table = F::table(world.tables);
        let mut lowest = NO_LOOP;
        let mut cover = table.tree.longest(F::host(addr));
        while let Some((prefix, slot)) = cover {
            let read = Dep::Addr(addr.into(), F::length(prefix));
            for cand in table.candidates(slot) {
                if world.routes.distance(cand.route) == NEVER {
                    continue;
                }
                self.steps += 1;
                let next_hop = world.routes.next_hop(cand.route);
                let back_at = self.chain.iter().position(|on_chain| *on_chain == next_hop);
                if let Some(place) = back_at.or((self.steps > MAX_STEPS).then_some(0)) {
                    self.trail.push(read);
                    return Answer { found: None, lowest: lowest.min(place) };
                }
                let answer = self.set(next_hop, world);
                lowest = lowest.min(answer.lowest);
                match answer.found {
                    Some(forwarding) => {
                        self.trail.push(read);
                        // A gateway under an interface route that no address made is on the link only because that route
                        // says so; the kernel wants to hear it too.
                        let connected = world.routes.route(cand.route).protocol == Protocol::Connected;
                        return Answer { found: through(&forwarding, addr.into(), !connected), lowest };
                    }
                    None if answer.lowest != NO_LOOP => {
                        self.trail.push(read);
                        return Answer { found: None, lowest };
                    }
                    None => {}
                }
            }
            cover = table.tree.shorter(prefix);
        }
        self.trail.push(Dep::Addr(addr.into(), 0));
        Answer { found: None, lowest }
    }
}

/// `gateway` reached by a route that forwards so. A gateway that is this host itself leads nowhere.
fn through(forwarding: &Forwarding, gateway: IpAddr, onlink: bool) -> Option<Found> {
    match forwarding {
        Forwarding::Legs(legs) => Some(Found::Legs(
            legs.iter()
                .map(|leg| match leg.gateway {
                    Some(_) => *leg,
                    None => ResolvedLeg { gateway: Some(gateway), onlink, ..*leg },
                })
                .collect(),
        )),
        Forwarding::Discard(how) => Some(Found::Discard(*how)),
        Forwarding::Local => None,
    }
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}
