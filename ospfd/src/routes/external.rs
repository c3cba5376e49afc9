//! Ways out of the domain: boundary routers, AS-external-LSAs (RFC 2328 §16.4) and type-7 LSAs (RFC 3101 §2.5).

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::dests::Source;
use super::facts::Fact;
use super::{Outcome, Path, PathKind, Routes, Share, offer};
use crate::config::AreaKind;
use crate::id::{AreaId, RouterId};
use crate::lsa::{ExternalLsa, LS_INFINITY, LsaHeader, PREFIX_NU, PREFIX_P};
use crate::lsdb::Slot;
use crate::packet::OPTION_N;
use crate::spf::{Hop, HopsId};
use crate::view::Vertex;

/// What an external LSA says.
#[derive(Debug)]
pub(super) struct External {
    dest: u32,
    adv: RouterId,
    /// It is a type-7 LSA of this area.
    nssa: Option<u16>,
    type2: bool,
    /// It is to be translated (RFC 3101 §2.4).
    propagates: bool,
    metric: u32,
    tag: u32,
    forwarding: Option<IpAddr>,
    /// Its place among its originator's.
    at: u32,
}

/// The way to a boundary router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) area: AreaId,
    /// It is inside an area of ours.
    pub(crate) intra: bool,
    pub(crate) cost: u32,
    pub(crate) hops: HopsId,
}

/// A boundary router.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// Slots of border routers' words on it.
    pub(super) summaries: SmallVec<[u32; 2]>,
    /// Slots of its externals.
    externals: Vec<u32>,
    /// The best way (§16.4.1) through areas that take type-5 LSAs, and every way inside NSSAs.
    best: Option<Way>,
    nssa: SmallVec<[Way; 1]>,
    dirty: bool,
}

impl Boundary {
    pub(super) fn hops_mut(&mut self) -> impl Iterator<Item = &mut HopsId> {
        self.best.iter_mut().chain(&mut self.nssa).map(|way| &mut way.hops)
    }
}

impl Routes {
    pub(super) fn learn_external(
        &mut self,
        slot: Slot,
        nssa: Option<u16>,
        header: &LsaHeader,
        lsa: &ExternalLsa,
    ) -> Fact {
        let adv = header.key.adv;
        if lsa.metric >= LS_INFINITY || adv == self.router || lsa.prefix_options & PREFIX_NU != 0 {
            return Fact::Nothing;
        }
        let dest = self.dests.add(lsa.prefix, Source::External(slot.0));
        self.dirty_dest(dest);
        if let Some(address) = lsa.forwarding {
            self.forwarders.entry(address).or_default().push(slot.0);
        }
        if nssa.is_some() {
            self.nssa.insert(slot.0);
        }
        if !self.boundaries.contains_key(&adv) {
            self.dirty_boundary(adv);
        }
        let externals = &mut self.boundaries.entry(adv).or_default().externals;
        externals.push(slot.0);
        Fact::External(External {
            dest,
            adv,
            nssa,
            type2: lsa.type2,
            propagates: u32::from(header.options) & OPTION_N != 0 || lsa.prefix_options & PREFIX_P != 0,
            metric: lsa.metric,
            tag: lsa.tag,
            forwarding: lsa.forwarding,
            at: u32::try_from(externals.len() - 1).unwrap_or(0),
        })
    }

    pub(super) fn unlearn_external(&mut self, slot: Slot, external: &External) {
        self.dests.take(external.dest, Source::External(slot.0));
        self.dirty_dest(external.dest);
        if let Some(address) = external.forwarding
            && let Some(held) = self.forwarders.get_mut(&address)
        {
            held.retain(|held| *held != slot.0);
            if held.is_empty() {
                self.forwarders.remove(&address);
            }
        }
        self.nssa.remove(&slot.0);
        let Some(boundary) = self.boundaries.get_mut(&external.adv) else { return };
        boundary.externals.swap_remove(external.at as usize);
        if let Some(moved) = boundary.externals.get(external.at as usize).copied()
            && let Some(Fact::External(held)) = self.facts.get_mut(moved as usize)
        {
            held.at = external.at;
        }
        if self.boundaries.get(&external.adv).is_some_and(|boundary| boundary.externals.is_empty()) {
            self.dirty_boundary(external.adv);
        }
    }

    pub(super) fn dirty_boundary(&mut self, router: RouterId) {
        let boundary = self.boundaries.entry(router).or_default();
        if !boundary.dirty {
            boundary.dirty = true;
            self.dirty_boundaries.push(router);
        }
    }

    /// The way to a boundary router that others are told of.
    pub(crate) fn boundary(&self, router: RouterId) -> Option<Way> {
        self.boundaries.get(&router)?.best
    }

    /// All boundary routers that are reached.
    pub(crate) fn all_boundaries(&self) -> Vec<RouterId> {
        let mut all: Vec<RouterId> =
            self.boundaries.iter().filter(|(_, held)| held.best.is_some()).map(|(router, _)| *router).collect();
        all.sort_unstable();
        all
    }

    /// Finds the ways to boundary routers; externals of those reached otherwise are to be looked at (RFC 2328 §16.5).
    pub(super) fn find_boundaries(&mut self, outcome: &mut Outcome) {
        for router in std::mem::take(&mut self.dirty_boundaries) {
            outcome.work.items += 1;
            let (best, nssa) = self.ways(router);
            let Some(boundary) = self.boundaries.get_mut(&router) else { continue };
            boundary.dirty = false;
            if boundary.best != best {
                outcome.boundaries.push(router);
            }
            let same = (boundary.best, &boundary.nssa) == (best, &nssa);
            (boundary.best, boundary.nssa) = (best, nssa);
            let unused = boundary.externals.is_empty() && boundary.summaries.is_empty();
            if !same {
                let dests: Vec<u32> = boundary
                    .externals
                    .iter()
                    .filter_map(|slot| match self.facts.get(*slot as usize) {
                        Some(Fact::External(external)) => Some(external.dest),
                        _ => None,
                    })
                    .collect();
                for dest in dests {
                    self.dirty_dest(dest);
                }
            }
            if unused && best.is_none() {
                self.boundaries.remove(&router);
            }
        }
    }

    /// The best way to a boundary router through areas that take type-5 LSAs (RFC 3101 §2.5 (3): the transit topology), by §16.4.1:
    /// inside areas other than the backbone first, then by cost, then by the highest area; all equal ones together. And the ways
    /// inside NSSAs, which lead to what is said there.
    fn ways(&mut self, router: RouterId) -> (Option<Way>, SmallVec<[Way; 1]>) {
        let mut ways: SmallVec<[Way; 4]> = SmallVec::new();
        let mut nssa: SmallVec<[Way; 1]> = SmallVec::new();
        if router == self.router {
            return (None, SmallVec::new());
        }
        for area in self.areas.iter().filter(|area| self.around.areas.contains_key(&area.id)) {
            if let Some(vertex) = area.graph.number(Vertex::Router(router))
                && let Some((cost, hops)) = area.graph.reach(vertex)
                && area.graph.flags(vertex).external
            {
                let way = Way { area: area.id, intra: true, cost, hops };
                match self.kind(area.id) {
                    Some(AreaKind::Normal) => ways.push(way),
                    Some(AreaKind::Nssa) => nssa.push(way),
                    Some(AreaKind::Stub) | None => {}
                }
            }
        }
        for slot in self.boundaries.get(&router).into_iter().flat_map(|boundary| &boundary.summaries) {
            if let Some(Fact::Boundary { user, metric, .. }) = self.facts.get(*slot as usize)
                && self.share(user.area) == Share::Examined
                && self.area_kind(user.area) == Some(AreaKind::Normal)
                && self.area(user.area).is_some_and(|area| area.graph.flags(user.vertex).border)
                && let Some((area, cost, hops)) = self.reach(user.area, user.vertex)
                // §16.2 (6): in one area, the way inside is always preferred.
                && !ways.iter().any(|way| way.intra && way.area == area)
            {
                ways.push(Way { area, intra: false, cost: cost.saturating_add(*metric), hops });
            }
        }
        let order = |way: &Way| (!(way.intra && way.area != AreaId::BACKBONE), way.cost, Reverse(way.area), !way.intra);
        let Some(mut best) = ways.iter().min_by_key(|way| order(way)).copied() else { return (None, nssa) };
        let first = order(&best);
        for way in ways.iter().filter(|way| order(way) == first) {
            best.hops = self.sets.union(best.hops, way.hops);
        }
        (Some(best), nssa)
    }

    /// What an area of ours takes, by its number here.
    pub(super) fn area_kind(&self, number: u16) -> Option<AreaKind> {
        self.kind(self.area(number)?.id)
    }

    fn kind(&self, area: AreaId) -> Option<AreaKind> {
        self.around.areas.get(&area).map(|config| config.kind)
    }

    /// Externals that name a forwarding address in `prefix` are to be looked at.
    pub(super) fn dirty_forwarders(&mut self, prefix: &IpNet) {
        if self.forwarders.is_empty() {
            return;
        }
        self.dirty_forwarders_in(prefix.network(), prefix.broadcast());
    }

    /// All that name a forwarding address are.
    pub(super) fn dirty_all_forwarders(&mut self) {
        let ends = (self.forwarders.keys().next().copied(), self.forwarders.keys().next_back().copied());
        if let (Some(first), Some(last)) = ends {
            self.dirty_forwarders_in(first, last);
        }
    }

    fn dirty_forwarders_in(&mut self, first: IpAddr, last: IpAddr) {
        let slots = self.forwarders.range(first..=last).flat_map(|(_, slots)| slots);
        let dests: Vec<u32> = slots
            .filter_map(|slot| match self.facts.get(*slot as usize) {
                Some(Fact::External(external)) => Some(external.dest),
                _ => None,
            })
            .collect();
        for dest in dests {
            self.dirty_dest(dest);
        }
    }

    /// The best way out to a destination that is not inside.
    pub(super) fn outside(&mut self, number: u32) -> Option<Path> {
        let dest = self.dests.get(number)?;
        let prefix = dest.prefix;
        let mut best = None;
        for source in dest.sources.clone() {
            if let Source::External(slot) = source
                && let Some(path) = self.exit(slot, &prefix)
            {
                offer(&mut best, path, &mut self.sets);
            }
        }
        best
    }

    fn exit(&mut self, slot: u32, prefix: &IpNet) -> Option<Path> {
        let Some(Fact::External(lsa)) = self.facts.get(slot as usize) else { return None };
        let nssa = match lsa.nssa {
            None => None,
            Some(area) => {
                let area = self.area(area)?.id;
                Some(area).filter(|area| self.kind(*area) == Some(AreaKind::Nssa)).map(Some)?
            }
        };
        let boundary = self.boundaries.get(&lsa.adv)?;
        let way = match nssa {
            None => boundary.best?,
            Some(area) => *boundary.nssa.iter().find(|way| way.area == area)?,
        };
        let rank = match nssa {
            None => 1,
            Some(_) if lsa.propagates && lsa.forwarding.is_some() => 0,
            Some(_) => 2,
        };
        // RFC 3101 §2.5 (3): a border router does not take defaults from the NSSA that are not meant for it.
        if nssa.is_some() && rank == 2 && self.border() && prefix.prefix_len() == 0 {
            return None;
        }
        let (type2, metric, tag) = (lsa.type2, lsa.metric, lsa.tag);
        let (intra, area, cost, hops) = match lsa.forwarding {
            None => (way.intra, way.area, way.cost, way.hops),
            Some(address) => self.forwarded(address, nssa)?,
        };
        let (kind, cost, outer) = if type2 {
            (PathKind::External2, cost, metric)
        } else {
            (PathKind::External1, cost.saturating_add(metric), 0)
        };
        let afar = !intra || area == AreaId::BACKBONE;
        Some(Path { kind, rank, afar, area, cost, outer, tag, hops })
    }

    /// The way to a forwarding address, and whether it stays inside an area.
    fn forwarded(&mut self, address: IpAddr, nssa: Option<AreaId>) -> Option<(bool, AreaId, u32, HopsId)> {
        let path = *self.dests.longest(address)?;
        if nssa.is_some_and(|area| path.kind != PathKind::Intra || path.area != area) {
            return None;
        }
        // On a link of ours the forwarding address itself is the first step.
        let steps = self.sets.get(path.hops);
        let hops = if steps.is_empty() {
            let on = |own: &&crate::spf::OwnLink| {
                own.area == path.area && own.nets.iter().any(|held| held.contains(&address))
            };
            let own = self.around.links.iter().find(on)?;
            self.sets.intern(std::iter::once(Hop { interface: own.interface, via: Some(address) }).collect())
        } else if steps.iter().any(|hop| hop.via.is_none()) {
            let steps = steps.iter().map(|hop| Hop { via: hop.via.or(Some(address)), ..*hop }).collect();
            self.sets.intern(steps)
        } else {
            path.hops
        };
        Some((path.kind == PathKind::Intra, path.area, path.cost, hops))
    }
}
