//! Who can hear whom, and what follows for one area: shortest distances between all pairs, and the first steps that lead along
//! them. From the plan alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;

use ospfd::config::{AreaKind, NetworkType};
use ospfd::{AreaId, InterfaceId};

use super::plan::Plan;

/// Not reached.
pub const FAR: u32 = u32::MAX;

/// The metric of a last resort (RFC 6987).
const LAST_RESORT: u32 = 0xffff;

/// A first step: out of an interface, to an address; without one the destination is on the link itself.
pub type Hop = (InterfaceId, Option<IpAddr>);

/// Ends of a wire whose routers hear each other.
#[derive(Clone, Debug)]
pub struct Group {
    /// The wire.
    pub wire: usize,
    /// Places on it.
    pub ends: Vec<usize>,
    /// A Designated Router speaks for it.
    pub transit: bool,
}

/// Groups of speaking routers on all wires.
#[must_use]
pub fn groups(plan: &Plan) -> Vec<Group> {
    let mut groups = Vec::new();
    for (wire, held) in plan.wires.iter().enumerate() {
        let mut parts: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (place, end) in held.ends.iter().enumerate() {
            if end.carrier && !end.passive && plan.routers[end.router].alive {
                parts.entry(end.part).or_default().push(place);
            }
        }
        for ends in parts.into_values() {
            let elects = matches!(held.network, NetworkType::Broadcast | NetworkType::Nbma);
            let eligible = ends.iter().any(|place| held.ends[*place].priority > 0);
            groups.push(Group { wire, transit: elects && eligible && ends.len() > 1, ends });
        }
    }
    groups
}

/// Areas that a router has a live interface in, virtual links left out.
#[must_use]
pub fn areas_of(plan: &Plan, router: usize) -> BTreeSet<AreaId> {
    if !plan.routers[router].alive {
        return BTreeSet::new();
    }
    let wires = plan.ends_of(router).filter(|(wire, end)| plan.wires[*wire].ends[*end].carrier);
    wires.map(|(wire, _)| plan.wires[wire].area).chain([plan.routers[router].home]).collect()
}

/// A router or a network of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vertex {
    /// By its number in the plan.
    Router(usize),
    /// By its number among the groups.
    Network(usize),
}

/// A step from a router to another.
#[derive(Clone, Debug)]
struct Step {
    to: usize,
    cost: u32,
    /// The network it goes over.
    over: Option<usize>,
    hops: BTreeSet<Hop>,
}

/// One area.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    numbers: BTreeMap<Vertex, usize>,
    arcs: Vec<Vec<(usize, u32)>>,
    /// By router.
    steps: BTreeMap<usize, Vec<Step>>,
    distances: Vec<Vec<u32>>,
}

impl Graph {
    /// An area as its routers are connected; `far_ends` are virtual links of the backbone: from, to, cost and first steps.
    #[must_use]
    pub fn new(plan: &Plan, groups: &[Group], area: AreaId, far_ends: &[(usize, usize, u32, BTreeSet<Hop>)]) -> Self {
        let mut graph = Self::default();
        for router in 0..plan.routers.len() {
            if areas_of(plan, router).contains(&area) {
                graph.vertex(Vertex::Router(router));
            }
        }
        for (number, group) in groups.iter().enumerate().filter(|(_, group)| plan.wires[group.wire].area == area) {
            graph.add_group(plan, number, group);
        }
        for (from, to, cost, hops) in far_ends {
            let cost = if plan.routers[*from].drained { LAST_RESORT } else { *cost };
            let (a, b) = (graph.vertex(Vertex::Router(*from)), graph.vertex(Vertex::Router(*to)));
            graph.arcs[a].push((b, cost));
            graph.step(*from, Step { to: *to, cost, over: None, hops: hops.clone() });
        }
        graph.distances = (0..graph.arcs.len()).map(|root| graph.from(root)).collect();
        graph
    }

    fn vertex(&mut self, vertex: Vertex) -> usize {
        let next = self.numbers.len();
        let number = *self.numbers.entry(vertex).or_insert(next);
        if number == next {
            self.arcs.push(Vec::new());
        }
        number
    }

    fn step(&mut self, from: usize, step: Step) {
        self.steps.entry(from).or_default().push(step);
    }

    fn add_group(&mut self, plan: &Plan, number: usize, group: &Group) {
        let held = &plan.wires[group.wire];
        let pairs = matches!(held.network, NetworkType::PointToPoint | NetworkType::PointToMultipoint);
        if !pairs && !group.transit {
            return;
        }
        for place in &group.ends {
            let end = held.ends[*place];
            let cost = if plan.routers[end.router].drained { LAST_RESORT } else { u32::from(end.cost) };
            let own = self.vertex(Vertex::Router(end.router));
            if group.transit {
                let network = self.vertex(Vertex::Network(number));
                self.arcs[own].push((network, cost));
                self.arcs[network].push((own, 0));
            }
            for other in group.ends.iter().filter(|other| *other != place) {
                let to = held.ends[*other].router;
                let hops = BTreeSet::from([(end.id, Some(plan.speaker(group.wire, *other)))]);
                if pairs {
                    let far = self.vertex(Vertex::Router(to));
                    self.arcs[own].push((far, cost));
                }
                self.step(end.router, Step { to, cost, over: group.transit.then_some(number), hops });
            }
        }
    }

    /// Distances from one vertex to all.
    fn from(&self, root: usize) -> Vec<u32> {
        let mut distances = vec![FAR; self.arcs.len()];
        let mut open = BinaryHeap::from([Reverse((0, root))]);
        while let Some(Reverse((distance, vertex))) = open.pop() {
            if distances[vertex] <= distance {
                continue;
            }
            distances[vertex] = distance;
            for (to, cost) in &self.arcs[vertex] {
                if distance + cost < distances[*to] {
                    open.push(Reverse((distance + cost, *to)));
                }
            }
        }
        distances
    }

    /// The area has this router.
    #[must_use]
    pub fn has(&self, router: usize) -> bool {
        self.numbers.contains_key(&Vertex::Router(router))
    }

    /// How far `to` is from a router; [`FAR`] if there is no way.
    #[must_use]
    pub fn distance(&self, router: usize, to: Vertex) -> u32 {
        match (self.numbers.get(&Vertex::Router(router)), self.numbers.get(&to)) {
            (Some(from), Some(to)) => self.distances[*from][*to],
            _ => FAR,
        }
    }

    /// Other routers that are reached from one.
    pub fn reached(&self, router: usize) -> impl Iterator<Item = usize> {
        self.numbers.keys().filter_map(move |vertex| match vertex {
            Vertex::Router(other) if *other != router && self.distance(router, *vertex) < FAR => Some(*other),
            _ => None,
        })
    }

    /// All first steps of shortest ways from a router: every neighbor that is as far from the destination as it should be.
    #[must_use]
    pub fn hops(&self, plan: &Plan, groups: &[Group], router: usize, to: Vertex) -> BTreeSet<Hop> {
        let distance = self.distance(router, to);
        let mut hops = BTreeSet::new();
        if distance == FAR {
            return hops;
        }
        for step in self.steps.get(&router).into_iter().flatten() {
            let rest = self.distance(step.to, to);
            if rest < FAR && step.cost + rest == distance {
                hops.extend(step.hops.iter().copied());
            }
            // The network itself, when the way over our own interface is a shortest one.
            if to == step.over.map_or(Vertex::Router(usize::MAX), Vertex::Network) && step.cost == distance {
                let group = &groups[step.over.expect("it goes over one")];
                let ends = &plan.wires[group.wire].ends;
                let own = group.ends.iter().map(|place| ends[*place]).find(|end| end.router == router);
                hops.extend(own.map(|end| (end.id, None)));
            }
        }
        hops
    }
}

/// The areas of a network, and the virtual links that are up.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Who hears whom.
    pub groups: Vec<Group>,
    /// The areas.
    pub graphs: BTreeMap<AreaId, Graph>,
    /// Areas of each router, the backbone included if a virtual link leads to it.
    pub attached: Vec<BTreeSet<AreaId>>,
    /// Areas that virtual links go through, with their ends.
    pub transits: BTreeMap<AreaId, BTreeSet<usize>>,
}

impl Truth {
    /// Of the network as it is now.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let groups = groups(plan);
        let mut attached: Vec<BTreeSet<AreaId>> =
            (0..plan.routers.len()).map(|router| areas_of(plan, router)).collect();
        let backbone = AreaId::BACKBONE;
        let mut graphs: BTreeMap<AreaId, Graph> = BTreeMap::new();
        for area in plan.areas.keys().filter(|area| **area != backbone) {
            graphs.insert(*area, Graph::new(plan, &groups, *area, &[]));
        }
        let mut far_ends = Vec::new();
        let mut transits: BTreeMap<AreaId, BTreeSet<usize>> = BTreeMap::new();
        for (router, held) in plan.routers.iter().enumerate().filter(|(_, held)| held.alive) {
            for (area, far) in &held.virtual_links {
                if plan.areas[area].kind != AreaKind::Normal {
                    continue;
                }
                let graph = &graphs[area];
                let cost = graph.distance(router, Vertex::Router(*far));
                if cost >= LAST_RESORT {
                    continue;
                }
                attached[router].insert(backbone);
                // It needs both.
                let back = graph.distance(*far, Vertex::Router(router));
                if back < LAST_RESORT && plan.routers[*far].virtual_links.contains(&(*area, router)) {
                    transits.entry(*area).or_default().extend([router, *far]);
                    let hops = graph.hops(plan, &groups, router, Vertex::Router(*far));
                    far_ends.push((router, *far, cost, hops));
                }
            }
        }
        if plan.areas.contains_key(&backbone) {
            graphs.insert(backbone, Graph::new(plan, &groups, backbone, &far_ends));
        }
        Self { groups, graphs, attached, transits }
    }

    /// A router is in more than one area.
    #[must_use]
    pub fn border(&self, router: usize) -> bool {
        self.attached[router].len() > 1
    }
}
