//! What must be true of a network at rest, and what must not last in one that is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use ospfd::AreaId;
use ospfd::InterfaceId;
use ospfd::config::AreaKind;
use ospfd::lsa::MAX_AGE;
use ospfd::neighbor::NeighborState;
use ospfd::view::{LsaView, Query, View};
use rib::NextHop;

use super::World;
use super::oracle::{self, Expected};
use super::truth::{Hop, Truth, Vertex};

/// Prefixes whose forwarding is looked at in large networks.
const LOOKED_AT: usize = 24;

/// How long routers may send packets around among themselves: MinLSInterval, for which the second of two changes of an LSA waits
/// (RFC 2328 §12.4), and a second for the way to all and for looking only every half second.
const LOOP_BOUND: Duration = Duration::from_secs(6);

/// `RouterDeadInterval` of every plan: for so long nobody need know who is there and who is not.
const DEAD: Duration = Duration::from_secs(40);

/// An LSA without its age: type, id, originator, sequence number, checksum.
type Content = (u16, u32, u32, i32, u16);

impl World {
    /// After quiet: equal databases, right tables, no loop.
    pub fn check_quiet(&mut self) -> &mut Self {
        self.check_databases();
        self.check_tables();
        self.check_loops();
        if let Some(((prefix, routers), _)) = self.loops.iter().next() {
            self.fail(&format!("a loop at rest: {prefix} among {routers:?}"));
        }
        self
    }

    fn lsdb(&self, router: usize) -> Vec<LsaView> {
        let Some(instance) = &self.nodes[router].instance else { return Vec::new() };
        let query = Query::Lsdb { area: None, kind: None, adv: None };
        let View::Lsdb(rows) = instance.view(self.clock.now(), query) else {
            unreachable!("the answer to the question")
        };
        rows
    }

    /// Routers that are connected within an area, or through normal areas, have the same to say.
    fn check_databases(&self) {
        let truth = Truth::new(&self.plan);
        let databases: Vec<Vec<LsaView>> = (0..self.nodes.len()).map(|router| self.lsdb(router)).collect();
        for (router, rows) in databases.iter().enumerate() {
            if let Some(row) = rows.iter().find(|row| row.header.age >= MAX_AGE) {
                self.fail(&format!("r{router} still has {:?}, which is flushed", row.header));
            }
        }
        let content = |router: usize, area: Option<AreaId>| -> BTreeSet<Content> {
            let rows = databases[router].iter().filter(|row| row.interface.is_none() && row.area == area);
            rows.map(|row| {
                let key = row.header.key;
                (key.kind.0, key.id, key.adv.0, row.header.seq.0, row.header.checksum)
            })
            .collect()
        };
        let mut together: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (area, graph) in &truth.graphs {
            let mut seen: BTreeSet<usize> = BTreeSet::new();
            for router in 0..self.nodes.len() {
                if !graph.has(router) || !seen.insert(router) {
                    continue;
                }
                let ours = content(router, Some(*area));
                for other in graph.reached(router) {
                    seen.insert(other);
                    let theirs = content(other, Some(*area));
                    self.compare(&format!("area {area}"), router, &ours, other, &theirs);
                }
            }
        }
        // Externals do not take virtual links, whose transit areas carry them.
        for (area, graph) in &truth.graphs {
            if self.plan.areas[area].kind != AreaKind::Normal {
                continue;
            }
            for group in truth.groups.iter().filter(|group| self.plan.wires[group.wire].area == *area) {
                let ends = &self.plan.wires[group.wire].ends;
                let routers: Vec<usize> = group.ends.iter().map(|place| ends[*place].router).collect();
                for pair in routers.windows(2) {
                    if graph.distance(pair[0], Vertex::Router(pair[1])) < super::truth::FAR {
                        together.entry(pair[0]).or_default().insert(pair[1]);
                        together.entry(pair[1]).or_default().insert(pair[0]);
                    }
                }
            }
        }
        for (router, others) in &together {
            let ours = content(*router, None);
            for other in others {
                self.compare("the outside", *router, &ours, *other, &content(*other, None));
            }
        }
    }

    fn compare(&self, what: &str, a: usize, ours: &BTreeSet<Content>, b: usize, theirs: &BTreeSet<Content>) {
        if ours != theirs {
            let only = |one: &BTreeSet<Content>, other: &BTreeSet<Content>| {
                let rows: Vec<String> = one
                    .difference(other)
                    .map(|(kind, id, adv, seq, sum)| {
                        format!(
                            "{kind:#x} {} {} {seq:#x} {sum:#x}",
                            std::net::Ipv4Addr::from(*id),
                            std::net::Ipv4Addr::from(*adv)
                        )
                    })
                    .collect();
                rows.join(", ")
            };
            self.fail(&format!(
                "databases of {what} differ: r{a} alone has [{}], r{b} alone has [{}]",
                only(ours, theirs),
                only(theirs, ours)
            ));
        }
    }

    /// Every table is what the oracle says.
    fn check_tables(&self) {
        for (router, expected) in oracle::tables(&self.plan).into_iter().enumerate() {
            if !self.plan.routers[router].alive {
                continue;
            }
            let held: BTreeMap<IpNet, Expected> =
                self.nodes[router].routes.iter().map(|(prefix, route)| (*prefix, as_expected(route))).collect();
            if held == expected {
                continue;
            }
            let prefixes: BTreeSet<&IpNet> = held.keys().chain(expected.keys()).collect();
            let wrong = prefixes.into_iter().filter(|prefix| held.get(prefix) != expected.get(prefix));
            let lines: Vec<String> = wrong
                .take(8)
                .map(|prefix| {
                    format!("{prefix}: has {:?}\n      expected {:?}", held.get(prefix), expected.get(prefix))
                })
                .collect();
            self.fail(&format!(
                "the table of r{router} ({}) is wrong:\n  {}",
                self.plan.routers[router].id,
                lines.join("\n  ")
            ));
        }
    }

    /// Looks for loops that live too long.
    pub fn check_loops(&mut self) {
        let mut prefixes: BTreeSet<IpNet> = BTreeSet::new();
        for node in &self.nodes {
            prefixes.extend(node.routes.keys());
        }
        let step = (prefixes.len() / LOOKED_AT).max(1);
        let first = if step > 1 { self.plan.routers.len() % step } else { 0 };
        let mut found: BTreeSet<(IpNet, BTreeSet<usize>)> = BTreeSet::new();
        for prefix in prefixes.into_iter().skip(first).step_by(step) {
            if let Some(routers) = self.cycle(prefix) {
                found.insert((prefix, routers));
            }
        }
        let now = self.clock.elapsed();
        self.loops.retain(|name, _| found.contains(name));
        if !found.is_empty() && self.is_unsettled() {
            self.unsettled_at = now;
        }
        for name in found {
            let since = *self.loops.entry(name.clone()).or_insert(now);
            if now > since.max(self.unsettled_at) + LOOP_BOUND || now > since + DEAD + LOOP_BOUND {
                let (prefix, routers) = name;
                self.fail(&format!("a loop for {:?}: {prefix} among {routers:?}", now - since));
            }
        }
    }

    /// Somebody has a neighbor that is silent and not missed yet, or has not met one that is there: what others tell does not
    /// pass between them, and a backbone may be in parts, which no rule of the protocol keeps free of loops.
    fn is_unsettled(&self) -> bool {
        let mut met: BTreeSet<(usize, usize, usize)> = BTreeSet::new();
        for (router, node) in self.nodes.iter().enumerate() {
            let Some(instance) = &node.instance else { continue };
            let View::Neighbors(rows) = instance.view(self.clock.now(), Query::Neighbors) else {
                unreachable!("the answer to the question")
            };
            for row in rows.iter().filter(|row| row.state >= NeighborState::TwoWay) {
                let Some(&(wire, place)) = self.places.get(&(router, row.interface)) else { continue };
                let ends = &self.plan.wires[wire].ends;
                let other = ends.iter().position(|end| self.plan.routers[end.router].id == row.router);
                let Some(other) = other.filter(|other| self.may_meet(wire, *other, place)) else { return true };
                if matches!(row.state, NeighborState::TwoWay | NeighborState::Full) {
                    met.insert((wire, other, place));
                }
            }
        }
        let places = |wire: usize| 0..self.plan.wires[wire].ends.len();
        (0..self.plan.wires.len()).any(|wire| {
            places(wire)
                .any(|from| places(wire).any(|to| self.may_meet(wire, from, to) && !met.contains(&(wire, from, to))))
        })
    }

    /// Two ends of a wire are neighbors, once they have heard each other.
    fn may_meet(&self, wire: usize, from: usize, to: usize) -> bool {
        let speaks = |place: usize| {
            let end = &self.plan.wires[wire].ends[place];
            self.plan.routers[end.router].alive && !end.passive
        };
        from != to && speaks(from) && speaks(to) && self.hears(wire, from, to)
    }

    /// Routers that send packets for a prefix around among themselves.
    fn cycle(&self, prefix: IpNet) -> Option<BTreeSet<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        for start in 0..self.nodes.len() {
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::Open;
            let mut path = vec![(start, self.next_routers(start, prefix))];
            while let Some((router, open)) = path.last_mut() {
                let Some(next) = open.pop() else {
                    marks[*router] = Mark::Done;
                    path.pop();
                    continue;
                };
                match marks[next] {
                    Mark::Done => {}
                    Mark::Open => {
                        let around = path.iter().map(|(router, _)| *router).skip_while(|router| *router != next);
                        return Some(around.collect());
                    }
                    Mark::New => {
                        marks[next] = Mark::Open;
                        path.push((next, self.next_routers(next, prefix)));
                    }
                }
            }
        }
        None
    }

    /// Where a router may send packets for the first address of a prefix.
    fn next_routers(&self, router: usize, prefix: IpNet) -> Vec<usize> {
        let ends = || self.plan.ends_of(router);
        let connected = ends().any(|(wire, place)| {
            self.plan.wires[wire].ends[place].carrier
                && self
                    .plan
                    .address(wire, place)
                    .is_some_and(|net| net.trunc() == prefix || net.addr() == prefix.addr())
        });
        if connected || IpNet::from(self.plan.loopback(router)) == prefix || self.serves(router, &prefix) {
            return Vec::new();
        }
        let Some((_, route)) = self.best_match(router, prefix.addr()) else { return Vec::new() };
        self.legs(router, route)
            .filter(|(wire, from, to)| self.hears(*wire, *from, *to))
            .map(|(wire, _, to)| self.plan.wires[wire].ends[to].router)
            .collect()
    }

    fn serves(&self, router: usize, prefix: &IpNet) -> bool {
        let held = &self.plan.routers[router];
        held.externals.contains_key(prefix) || held.services.contains_key(prefix)
    }
}

fn as_expected(route: &rib::Route) -> Expected {
    let hops = route.next_hops.legs().iter().map(|leg| -> Hop {
        match leg.next_hop {
            NextHop::Gateway { addr, interface, .. } => (InterfaceId(interface.map_or(0, |index| index.0)), Some(addr)),
            _ => (InterfaceId(0), None),
        }
    });
    Expected { protocol: route.protocol, metric: route.metric.0, tag: route.tag, hops: hops.collect() }
}
