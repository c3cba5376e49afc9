//! The tables that must come out, computed naively from the plan: intra-area ways (RFC 2328 §16.1), those of other areas
//! through border routers (§16.2, §16.3, RFC 3509), those from outside (§16.4, RFC 3101). Every border router's summaries are
//! derived from its own naive table, in an order in which nobody needs what is not there yet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ospfd::AreaId;
use ospfd::config::{AreaKind, NetworkType};
use ospfd::message::{ExternalRoute, ServiceRoute};
use rib::Protocol;

use super::plan::{Plan, Router};
use super::truth::{FAR, Graph, Hop, Truth, Vertex};

/// The metric that stands for no way (RFC 2328 §B).
const INFINITY: u32 = 0x00ff_ffff;

/// A route that a router must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What kind of way it is.
    pub protocol: Protocol,
    /// Its metric.
    pub metric: u32,
    /// Its tag.
    pub tag: u32,
    /// First steps.
    pub hops: BTreeSet<Hop>,
}

/// Every router's table, of what is neither its own nor on a wire of its own.
#[must_use]
pub fn tables(plan: &Plan) -> Vec<BTreeMap<IpNet, Expected>> {
    Oracle::new(plan).tables()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Intra,
    Inter,
    External1,
    External2,
}

/// A way to a prefix.
#[derive(Clone, Debug)]
struct Way {
    kind: Kind,
    area: AreaId,
    cost: u32,
    outer: u32,
    /// From outside, and not by a way inside an area other than the backbone (RFC 2328 §16.4.1).
    second: bool,
    /// Of LSAs that say the same, a type-7 that is translated goes before a type-5, and that before another type-7.
    rank: u8,
    tag: u32,
    /// It is ours.
    own: bool,
    hops: BTreeSet<Hop>,
}

impl Way {
    fn order(&self) -> (Kind, u32, bool, u32, u8) {
        (self.kind, self.outer, self.second, self.cost, self.rank)
    }
}

type Ways = BTreeMap<IpNet, Way>;

fn offer(ways: &mut Ways, prefix: IpNet, way: Way) {
    match ways.get_mut(&prefix) {
        Some(held) if held.order() < way.order() => {}
        Some(held) if held.order() == way.order() => {
            held.own |= way.own;
            held.hops.extend(way.hops);
        }
        _ => {
            ways.insert(prefix, way);
        }
    }
}

/// What somebody says of the outside, as one LSA.
#[derive(Clone, Debug)]
struct Outside {
    origin: usize,
    prefix: IpNet,
    route: ExternalRoute,
    forwarding: Option<IpAddr>,
    propagates: bool,
}

struct Oracle<'a> {
    plan: &'a Plan,
    truth: Truth,
    /// What is told in each area: prefix, at which vertex, at what cost.
    told: BTreeMap<AreaId, Vec<(IpNet, Vertex, u32)>>,
    /// Intra- and inter-area ways, by router.
    inside: Vec<Ways>,
}

impl<'a> Oracle<'a> {
    fn new(plan: &'a Plan) -> Self {
        let truth = Truth::new(plan);
        let mut oracle = Self { plan, truth, told: BTreeMap::new(), inside: Vec::new() };
        oracle.tell_all();
        oracle.inside = (0..plan.routers.len()).map(|router| oracle.intra(router)).collect();
        // Border routers first, from what others know of their own areas; then who depends on them.
        let through: Vec<usize> = (0..plan.routers.len()).filter(|router| oracle.looks_at_backbone(*router)).collect();
        let found: Vec<(usize, Ways)> = through.iter().map(|router| (*router, oracle.inter(*router))).collect();
        oracle.add_inside(found);
        let rest = (0..plan.routers.len()).filter(|router| !through.contains(router));
        let found: Vec<(usize, Ways)> = rest.map(|router| (router, oracle.inter(router))).collect();
        oracle.add_inside(found);
        oracle
    }

    fn add_inside(&mut self, found: Vec<(usize, Ways)>) {
        for (router, ways) in found {
            for (prefix, way) in ways {
                self.inside[router].entry(prefix).or_insert(way);
            }
            self.shortcuts(router);
        }
    }

    fn graph(&self, area: AreaId) -> &Graph {
        &self.truth.graphs[&area]
    }

    /// A border router with somebody else in the backbone takes other areas from there alone (RFC 3509 §2.2).
    fn looks_at_backbone(&self, router: usize) -> bool {
        self.truth.border(router)
            && self.truth.attached[router].contains(&AreaId::BACKBONE)
            && self.graph(AreaId::BACKBONE).reached(router).next().is_some()
    }

    // What is told inside areas.

    fn tell_all(&mut self) {
        for area in self.plan.areas.keys() {
            self.told.insert(*area, Vec::new());
        }
        for router in 0..self.plan.routers.len() {
            self.tell_router(router);
        }
        for number in 0..self.truth.groups.len() {
            let group = &self.truth.groups[number];
            if group.transit {
                let (prefix, area) = (self.plan.subnet(group.wire), self.plan.wires[group.wire].area);
                self.tell(area, prefix, Vertex::Network(number), 0);
            }
        }
    }

    fn tell(&mut self, area: AreaId, prefix: IpNet, vertex: Vertex, cost: u32) {
        self.told.entry(area).or_default().push((prefix, vertex, cost));
    }

    fn tell_router(&mut self, router: usize) {
        let plan = self.plan;
        let held = &plan.routers[router];
        if !held.alive {
            return;
        }
        let vertex = Vertex::Router(router);
        self.tell(held.home, IpNet::from(plan.loopback(router)), vertex, 0);
        let areas = self.truth.attached[router].clone();
        for (prefix, route) in &held.services {
            if let ServiceRoute::Stub { metric } = route {
                for area in &areas {
                    self.tell(*area, *prefix, vertex, u32::from(*metric));
                }
            }
        }
        for (wire, place) in plan.ends_of(router) {
            let (cable, end) = (&plan.wires[wire], plan.wires[wire].ends[place]);
            let transit = self
                .truth
                .groups
                .iter()
                .any(|group| group.transit && group.wire == wire && group.ends.contains(&place));
            let Some(address) = plan.address(wire, place).filter(|_| end.carrier && !transit) else { continue };
            if cable.network == NetworkType::PointToMultipoint && !end.passive {
                self.tell(cable.area, IpNet::from(address.addr()), vertex, 0);
            } else {
                self.tell(cable.area, address.trunc(), vertex, u32::from(end.cost));
            }
        }
    }

    fn intra(&self, router: usize) -> Ways {
        let mut ways = Ways::new();
        let mut known: BTreeMap<(AreaId, Vertex), BTreeSet<Hop>> = BTreeMap::new();
        for area in &self.truth.attached[router] {
            let graph = self.graph(*area);
            for (prefix, vertex, cost) in &self.told[area] {
                let distance = graph.distance(router, *vertex);
                if distance == FAR {
                    continue;
                }
                let cost = distance + cost;
                if ways.get(prefix).is_some_and(|held| held.cost < cost) {
                    continue;
                }
                let hops = known
                    .entry((*area, *vertex))
                    .or_insert_with(|| graph.hops(self.plan, &self.truth.groups, router, *vertex));
                let own = *vertex == Vertex::Router(router);
                let hops = hops.clone();
                offer(
                    &mut ways,
                    *prefix,
                    Way { kind: Kind::Intra, area: *area, cost, outer: 0, second: false, rank: 0, tag: 0, own, hops },
                );
            }
        }
        ways
    }

    // Between areas.

    /// What a border router tells an area of the others (RFC 2328 §12.4.3; inter-area ways only from the backbone, RFC 3509
    /// §2.2, and none back to where they lead).
    fn summaries(&self, border: usize, area: AreaId) -> BTreeMap<IpNet, u32> {
        let mut told: BTreeMap<IpNet, u32> = BTreeMap::new();
        let kind = &self.plan.areas[&area];
        if !kind.no_summary || kind.kind == AreaKind::Normal {
            let mut ranges: BTreeMap<IpNet, u32> = BTreeMap::new();
            for (prefix, way) in &self.inside[border] {
                let goes = match way.kind {
                    Kind::Intra => way.area != area,
                    _ => way.area == AreaId::BACKBONE && area != AreaId::BACKBONE,
                };
                if !goes || self.leads_through(border, &way.hops, area) {
                    continue;
                }
                let through = way.area == AreaId::BACKBONE && self.is_transit(border, area);
                let range = self.plan.areas[&way.area]
                    .range
                    .filter(|range| way.kind == Kind::Intra && !through && range.prefix.contains(prefix));
                match range {
                    Some(range) if range.advertise => {
                        let cost = ranges.entry(range.prefix).or_default();
                        *cost = range.cost.unwrap_or((*cost).max(way.cost));
                    }
                    Some(_) => {}
                    None => {
                        told.insert(*prefix, way.cost);
                    }
                }
            }
            told.extend(ranges);
        }
        if kind.kind == AreaKind::Stub || (kind.kind == AreaKind::Nssa && kind.no_summary) {
            told.insert(self.default(), kind.default_cost);
        }
        told.retain(|_, cost| *cost < INFINITY);
        told
    }

    fn default(&self) -> IpNet {
        match self.plan.version {
            ospfd::Version::V2 => "0.0.0.0/0",
            ospfd::Version::V3 => "::/0",
        }
        .parse()
        .expect("a prefix")
    }

    /// First steps out of interfaces in an area.
    fn leads_through(&self, router: usize, hops: &BTreeSet<Hop>, area: AreaId) -> bool {
        hops.iter().any(|(id, _)| {
            self.plan
                .ends_of(router)
                .any(|(wire, place)| self.plan.wires[wire].ends[place].id == *id && self.plan.wires[wire].area == area)
        })
    }

    /// A virtual link goes through the area, as far as a router there can know.
    fn is_transit(&self, router: usize, area: AreaId) -> bool {
        let ends = self.truth.transits.get(&area);
        ends.is_some_and(|ends| ends.iter().any(|end| self.graph(area).distance(router, Vertex::Router(*end)) < FAR))
    }

    /// Other border routers of an area that are reached in it, with the distance.
    fn borders(&self, router: usize, area: AreaId) -> Vec<(usize, u32, BTreeSet<Hop>)> {
        let graph = self.graph(area);
        let others = graph.reached(router).filter(|other| self.truth.border(*other));
        others
            .map(|other| {
                let vertex = Vertex::Router(other);
                (other, graph.distance(router, vertex), graph.hops(self.plan, &self.truth.groups, router, vertex))
            })
            .collect()
    }

    /// Areas whose summaries a router looks at.
    fn examined(&self, router: usize) -> Vec<AreaId> {
        if self.looks_at_backbone(router) {
            return vec![AreaId::BACKBONE];
        }
        self.truth.attached[router].iter().copied().collect()
    }

    fn inter(&self, router: usize) -> Ways {
        let mut ways = Ways::new();
        for area in self.examined(router) {
            for (border, distance, hops) in self.borders(router, area) {
                for (prefix, cost) in self.summaries(border, area) {
                    // The default route of a stub area is for those inside, not for another of its border routers.
                    if self.truth.border(router) && prefix == self.default() {
                        continue;
                    }
                    let cost = distance + cost;
                    let hops = hops.clone();
                    let way = Way {
                        kind: Kind::Inter,
                        area,
                        cost,
                        outer: 0,
                        second: false,
                        rank: 0,
                        tag: 0,
                        own: false,
                        hops,
                    };
                    offer(&mut ways, prefix, way);
                }
            }
        }
        ways
    }

    /// §16.3: what a border router reaches through the backbone may have a shorter way through a transit area.
    fn shortcuts(&mut self, router: usize) {
        if !self.looks_at_backbone(router) {
            return;
        }
        let transits: Vec<AreaId> = self.truth.attached[router]
            .iter()
            .copied()
            .filter(|area| *area != AreaId::BACKBONE && self.is_transit(router, *area))
            .collect();
        for area in transits {
            for (border, distance, hops) in self.borders(router, area) {
                for (prefix, cost) in self.summaries(border, area) {
                    let cost = distance + cost;
                    let Some(held) = self.inside[router].get_mut(&prefix) else { continue };
                    if held.area != AreaId::BACKBONE || held.own {
                        continue;
                    }
                    if cost < held.cost {
                        (held.cost, held.hops) = (cost, hops.clone());
                    } else if cost == held.cost {
                        held.hops.extend(hops.iter().copied());
                    }
                }
            }
        }
    }

    // From outside.

    /// Routes that a router brings in.
    fn brings(router: &Router) -> BTreeMap<IpNet, ExternalRoute> {
        let mut routes = router.externals.clone();
        for (prefix, route) in &router.services {
            if let ServiceRoute::External(route) = route {
                routes.insert(*prefix, *route);
            }
        }
        routes
    }

    fn attached_to(&self, router: usize, kind: AreaKind) -> Vec<AreaId> {
        self.truth.attached[router].iter().copied().filter(|area| self.plan.areas[area].kind == kind).collect()
    }

    /// Type-5 LSAs, translated ones left out.
    fn type_5(&self) -> Vec<Outside> {
        let mut found = Vec::new();
        for (origin, held) in self.plan.routers.iter().enumerate() {
            if self.attached_to(origin, AreaKind::Normal).is_empty() {
                continue;
            }
            for (prefix, route) in Self::brings(held) {
                found.push(Outside { origin, prefix, route, forwarding: route.forwarding, propagates: false });
            }
        }
        found
    }

    /// Type-7 LSAs of an NSSA (RFC 3101 §2.4), and the default routes that its border routers say (§2.7).
    fn type_7(&self, area: AreaId) -> Vec<Outside> {
        let mut found = Vec::new();
        for (origin, held) in self.plan.routers.iter().enumerate() {
            if !self.truth.attached[origin].contains(&area) {
                continue;
            }
            let normal = !self.attached_to(origin, AreaKind::Normal).is_empty();
            let address = self.address_in(origin, area);
            let propagates = !(self.truth.border(origin) && normal) && address.is_some();
            let routes = Self::brings(held);
            let config = &self.plan.areas[&area];
            if self.truth.border(origin) && !config.no_summary && !routes.contains_key(&self.default()) {
                let route = ExternalRoute { metric: config.default_cost, type2: false, tag: 0, forwarding: None };
                let prefix = self.default();
                found.push(Outside { origin, prefix, route, forwarding: None, propagates: false });
            }
            for (prefix, route) in routes {
                let forwarding = if propagates { route.forwarding.or(address) } else { route.forwarding };
                found.push(Outside { origin, prefix, route, forwarding, propagates });
            }
        }
        found
    }

    /// The address that a router gives as forwarding address in an area: its own if that is in the area, or its lowest.
    fn address_in(&self, router: usize, area: AreaId) -> Option<IpAddr> {
        if self.plan.routers[router].home == area {
            return Some(self.plan.loopback(router));
        }
        let ends = self
            .plan
            .ends_of(router)
            .filter(|(wire, place)| self.plan.wires[*wire].area == area && self.plan.wires[*wire].ends[*place].carrier);
        ends.filter_map(|(wire, place)| self.plan.address(wire, place)).map(|net| net.addr()).min()
    }

    /// Who translates for an NSSA, as one of its border routers sees it (RFC 3101 §3.1).
    fn translates(&self, router: usize, area: AreaId) -> bool {
        let id = |router: usize| self.plan.routers[router].id;
        self.truth.border(router)
            && self.truth.attached[router].contains(&area)
            && !self.attached_to(router, AreaKind::Normal).is_empty()
            && self.borders(router, area).iter().all(|(other, ..)| id(*other) < id(router))
    }

    /// Ways to a boundary router through areas that take type-5 LSAs (§16.4.1): inside areas other than the backbone first.
    fn to_boundary(&self, router: usize, boundary: usize, asbrs: &Asbrs) -> Option<(AreaId, u32, BTreeSet<Hop>)> {
        let vertex = Vertex::Router(boundary);
        let mut best = None;
        for area in self.attached_to(router, AreaKind::Normal) {
            let distance = self.graph(area).distance(router, vertex);
            if distance < FAR {
                let hops = self.graph(area).hops(self.plan, &self.truth.groups, router, vertex);
                consider(&mut best, (area == AreaId::BACKBONE, distance), area, hops);
            }
        }
        if best.is_some() {
            return best.map(|((_, cost, _), area, hops)| (area, cost, hops));
        }
        for area in self.examined(router).into_iter().filter(|area| self.plan.areas[area].kind == AreaKind::Normal) {
            for (border, distance, hops) in self.borders(router, area) {
                if let Some(cost) = asbrs.get(&(border, area)).and_then(|told| told.get(&boundary)) {
                    consider(&mut best, (true, distance + cost), area, hops);
                }
            }
        }
        best.map(|((_, cost, _), area, hops)| (area, cost, hops))
    }

    /// What border routers say of boundary routers: who, into which area, of whom, at what cost.
    fn asbr_summaries(&self, boundaries: &BTreeSet<usize>) -> Asbrs {
        let mut told = Asbrs::new();
        let first = |router: &usize| self.looks_at_backbone(*router);
        let borders = || (0..self.plan.routers.len()).filter(|router| self.truth.border(*router));
        // Ways inside areas go everywhere, those through the backbone to the other areas.
        for round in 0..2 {
            let mut fresh = Asbrs::new();
            for border in borders() {
                for boundary in boundaries.iter().filter(|boundary| **boundary != border) {
                    let Some((from, cost, hops)) = self.to_boundary(border, *boundary, &told) else { continue };
                    let intra = self.graph(from).distance(border, Vertex::Router(*boundary)) < FAR;
                    if !intra && (from != AreaId::BACKBONE || round == 0 || !first(&border)) {
                        continue;
                    }
                    for area in self.attached_to(border, AreaKind::Normal) {
                        if area == from
                            || (!intra && area == AreaId::BACKBONE)
                            || self.leads_through(border, &hops, area)
                        {
                            continue;
                        }
                        fresh.entry((border, area)).or_default().insert(*boundary, cost);
                    }
                }
            }
            told = fresh;
        }
        told
    }

    fn tables(&self) -> Vec<BTreeMap<IpNet, Expected>> {
        let type_5 = self.type_5();
        let nssas: Vec<(AreaId, Vec<Outside>)> = self
            .plan
            .areas
            .iter()
            .filter(|(_, area)| area.kind == AreaKind::Nssa)
            .map(|(area, _)| (*area, self.type_7(*area)))
            .collect();
        let translated = self.translated(&nssas);
        let all: Vec<Outside> = type_5.into_iter().chain(translated).collect();
        let boundaries: BTreeSet<usize> = all.iter().map(|outside| outside.origin).collect();
        let asbrs = self.asbr_summaries(&boundaries);
        let mut tables = Vec::new();
        for router in 0..self.plan.routers.len() {
            let mut ways = Ways::new();
            if !self.attached_to(router, AreaKind::Normal).is_empty() {
                let known: BTreeMap<usize, _> = boundaries
                    .iter()
                    .filter(|boundary| **boundary != router)
                    .filter_map(|boundary| Some((*boundary, self.to_boundary(router, *boundary, &asbrs)?)))
                    .collect();
                for outside in all.iter().filter(|outside| outside.origin != router) {
                    if let Some((area, cost, hops)) = known.get(&outside.origin) {
                        self.take_outside(router, outside, (*area, *cost, hops), None, &mut ways);
                    }
                }
            }
            for (area, outsides) in nssas.iter().filter(|(area, _)| self.truth.attached[router].contains(area)) {
                self.take_nssa(router, *area, outsides, &mut ways);
            }
            let mut table = self.inside[router].clone();
            for (prefix, way) in ways {
                table.entry(prefix).or_insert(way);
            }
            tables.push(table.into_iter().filter_map(|(prefix, way)| Some((prefix, expected(way)?))).collect());
        }
        tables
    }

    fn take_nssa(&self, router: usize, area: AreaId, outsides: &[Outside], ways: &mut Ways) {
        for outside in outsides.iter().filter(|outside| outside.origin != router) {
            let vertex = Vertex::Router(outside.origin);
            let distance = self.graph(area).distance(router, vertex);
            // RFC 3101 §2.5 (3): a border router takes no default that is not meant for it.
            let default = outside.prefix.prefix_len() == 0 && !outside.propagates && self.truth.border(router);
            if distance < FAR && !default {
                let hops = self.graph(area).hops(self.plan, &self.truth.groups, router, vertex);
                self.take_outside(router, outside, (area, distance, &hops), Some(area), ways);
            }
        }
    }

    /// Type-5 LSAs that border routers of NSSAs make of type-7 ones (RFC 3101 §3.2).
    fn translated(&self, nssas: &[(AreaId, Vec<Outside>)]) -> Vec<Outside> {
        let mut found = Vec::new();
        for (area, outsides) in nssas {
            for router in (0..self.plan.routers.len()).filter(|router| self.translates(*router, *area)) {
                let mut ways = Ways::new();
                self.take_nssa(router, *area, outsides, &mut ways);
                for outside in outsides.iter().filter(|outside| outside.propagates && outside.origin != router) {
                    let used = ways.contains_key(&outside.prefix) && !self.inside[router].contains_key(&outside.prefix);
                    if used && !Self::brings(&self.plan.routers[router]).contains_key(&outside.prefix) {
                        found.push(Outside { origin: router, ..outside.clone() });
                    }
                }
            }
        }
        found
    }

    fn take_outside(
        &self,
        router: usize,
        outside: &Outside,
        (area, cost, hops): (AreaId, u32, &BTreeSet<Hop>),
        nssa: Option<AreaId>,
        ways: &mut Ways,
    ) {
        if outside.route.metric >= INFINITY {
            return;
        }
        let (intra, area, cost, hops) = match outside.forwarding {
            None => {
                let intra = self.graph(area).distance(router, Vertex::Router(outside.origin)) < FAR;
                (intra, area, cost, hops.clone())
            }
            Some(address) => {
                let longest = self.inside[router].iter().filter(|(prefix, _)| prefix.contains(&address));
                let Some((_, way)) = longest.max_by_key(|(prefix, _)| prefix.prefix_len()) else { return };
                let fits = match nssa {
                    Some(area) => way.kind == Kind::Intra && way.area == area,
                    None => way.kind <= Kind::Inter,
                };
                if !fits {
                    return;
                }
                let mut hops: BTreeSet<Hop> = way.hops.iter().map(|(id, via)| (*id, via.or(Some(address)))).collect();
                if way.own {
                    hops = self.direct(router, address);
                }
                (way.kind == Kind::Intra, way.area, way.cost, hops)
            }
        };
        let rank = match nssa {
            None => 1,
            Some(_) if outside.propagates && outside.forwarding.is_some() => 0,
            Some(_) => 2,
        };
        let (kind, cost, outer) = if outside.route.type2 {
            (Kind::External2, cost, outside.route.metric)
        } else {
            (Kind::External1, cost + outside.route.metric, 0)
        };
        let second = !intra || area == AreaId::BACKBONE;
        let way = Way { kind, area, cost, outer, second, rank, tag: outside.route.tag, own: hops.is_empty(), hops };
        offer(ways, outside.prefix, way);
    }

    /// The step to an address on one of a router's own wires.
    fn direct(&self, router: usize, address: IpAddr) -> BTreeSet<Hop> {
        let on = self
            .plan
            .ends_of(router)
            .filter(|(wire, place)| self.plan.address(*wire, *place).is_some_and(|net| net.contains(&address)));
        on.map(|(wire, place)| (self.plan.wires[wire].ends[place].id, Some(address))).collect()
    }
}

/// Through the backbone, the cost, and, of equal ones, the area with the highest number (RFC 2328 §16.4 (3)).
type Rank = (bool, u32, Reverse<AreaId>);
type Best = Option<(Rank, AreaId, BTreeSet<Hop>)>;

fn consider(best: &mut Best, (backbone, cost): (bool, u32), area: AreaId, hops: BTreeSet<Hop>) {
    let rank = (backbone, cost, Reverse(area));
    match best {
        Some((held, ..)) if *held < rank => {}
        Some((held, _, all)) if *held == rank => all.extend(hops),
        _ => *best = Some((rank, area, hops)),
    }
}

type Asbrs = BTreeMap<(usize, AreaId), BTreeMap<usize, u32>>;

/// As a router has it, if it is neither its own nor on a wire of its own.
fn expected(way: Way) -> Option<Expected> {
    if way.own || way.hops.is_empty() || way.hops.iter().any(|(_, via)| via.is_none()) {
        return None;
    }
    let protocol = match (way.kind, way.rank) {
        (Kind::Intra, _) => Protocol::OspfIntra,
        (Kind::Inter, _) => Protocol::OspfInter,
        (_, 1) => Protocol::OspfExternal,
        _ => Protocol::OspfNssa,
    };
    let metric = if way.kind == Kind::External2 { way.outer } else { way.cost };
    Some(Expected { protocol, metric, tag: way.tag, hops: way.hops })
}
