//! Interior routing: what an IGP would tell the routers of an AS, computed at once whenever a cable or a router changes.
//!
//! It carries the routers' loopbacks, and the networks of external links where next hops are left as they are. Sessions between
//! loopbacks hear each other as long as there is a way.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use rib::{Leg, NextHop, NextHopSet};

use super::World;

impl World {
    /// Everything anew; what changed is told.
    pub(super) fn route_interior(&mut self) {
        if self.links.iter().all(|link| link.cable) {
            return;
        }
        let reached: Vec<Vec<Option<u32>>> = (0..self.nodes.len()).map(|node| self.distances_from(node)).collect();
        for node in 0..self.nodes.len() {
            let interior = self.interior_of(node, &reached);
            if interior != self.nodes[node].interior {
                let now = self.clock.now();
                self.nodes[node].tell_interior(now, interior);
                let outputs = self.nodes[node].pump(now);
                self.carry(node, outputs);
            }
        }
        for link in 0..self.links.len() {
            let [a, b] = self.links[link].nodes;
            let silent = reached[a][b].is_none();
            if !self.links[link].cable && self.links[link].silent != silent {
                self.silence(link, silent);
            }
        }
    }

    /// The cost from one router to each of its AS, as everybody in the AS knows it.
    fn distances_from(&self, from: usize) -> Vec<Option<u32>> {
        let mut distances = vec![None; self.nodes.len()];
        if self.nodes[from].machines.is_none() && self.has_begun() {
            return distances;
        }
        let mut open = BTreeSet::from([(0, from)]);
        while let Some((distance, node)) = open.pop_first() {
            if distances[node].is_some() {
                continue;
            }
            distances[node] = Some(distance);
            for (next, metric) in self.steps(node) {
                open.insert((distance + metric, next));
            }
        }
        distances
    }

    /// Neighbors within the AS, and the cost to each.
    fn steps(&self, node: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.nodes[node].ports.iter().filter_map(move |port| {
            let (link, next) = (&self.links[port.link], &self.nodes[port.node]);
            let passes = link.passes() && next.asn == self.nodes[node].asn;
            (passes && (next.machines.is_some() || !self.has_begun())).then_some((port.node, link.metric))
        })
    }

    fn interior_of(&self, node: usize, reached: &[Vec<Option<u32>>]) -> BTreeMap<IpNet, (u32, NextHopSet)> {
        let mut interior = BTreeMap::new();
        let asn = self.nodes[node].asn;
        for (target, other) in self.nodes.iter().enumerate() {
            let Some(distance) = reached[node][target].filter(|_| target != node && other.asn == asn) else { continue };
            let mut networks: Vec<IpNet> = other.loopbacks.map(IpNet::from).to_vec();
            if self.carries_external.contains(&asn) {
                let external = other.ports.iter().filter(|port| port.up && self.nodes[port.node].asn != asn);
                networks.extend(external.flat_map(|port| port.networks));
            }
            let cost = if self.flat.contains(&asn) { 1 } else { distance };
            for network in networks {
                let family = usize::from(matches!(network, IpNet::V6(_)));
                let legs = self.nodes[node].ports.iter().filter_map(|port| {
                    let step = self.steps(node).find(|(next, _)| *next == port.node);
                    let metric = self.links[port.link].metric;
                    let usable = step.is_some() && self.links[port.link].passes();
                    let shortest = reached[port.node][target].is_some_and(|rest| rest + metric == distance);
                    let addr = port.remote[family];
                    (usable && shortest)
                        .then(|| Leg::from(NextHop::Gateway { addr, interface: Some(port.index), onlink: false }))
                });
                if let Some(legs) = NextHopSet::new(legs) {
                    interior.insert(network, (cost, legs));
                }
            }
        }
        interior
    }
}
