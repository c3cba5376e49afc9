//! What is compared when the network is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd::speaker::message::{PathView, Query, Reply, SessionState};
use ipnet::IpNet;
use rib::{AddressFamily, Forwarding, NextHop, Source, WalkQuery};

use super::World;
use super::node::Node;
use super::oracle::{self, Choice};

/// Small pages, so that paging is walked too.
const PAGE: usize = 7;

impl World {
    /// Fails if anything that must be true of a network at rest is not.
    pub fn check(&self) {
        self.check_conversations();
        self.check_choices();
        self.check_planes();
        self.check_ways();
    }

    fn node_name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    fn pages(&self, node: &Node, question: impl Fn(Option<IpNet>) -> Query) -> Vec<PathView> {
        let Some(machines) = &node.machines else { return Vec::new() };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let Reply::Paths { paths, next } = machines.speaker.view(self.clock.now(), &question(after)) else {
                self.fail(&format!("{} gives no page", node.name));
            };
            if paths.len() > PAGE {
                self.fail(&format!("{} gives a page of {} routes when {PAGE} were asked for", node.name, paths.len()));
            }
            all.extend(paths);
            match next {
                Some(next) if after.is_none_or(|after| next > after) => after = Some(next),
                Some(next) => self.fail(&format!("{}: the page after {after:?} is said to begin at {next}", node.name)),
                None => return all,
            }
        }
    }

    fn adj_in(&self, node: &Node, neighbor: IpAddr) -> Vec<PathView> {
        let family = AddressFamily::Ipv4;
        self.pages(node, |after| Query::AdjIn { neighbor: neighbor.into(), family, after, limit: PAGE })
    }

    fn adj_out(&self, node: &Node, neighbor: IpAddr) -> Vec<PathView> {
        let family = AddressFamily::Ipv4;
        self.pages(node, |after| Query::AdjOut { neighbor: neighbor.into(), family, after, limit: PAGE })
    }

    /// What a router says to have told its neighbor is what the neighbor says to have heard.
    fn check_conversations(&self) {
        for node in &self.nodes {
            for port in &node.ports {
                if self.session(node, port.peer) != Some(SessionState::Established) {
                    if !self.adj_in(node, port.peer).is_empty() {
                        self.fail(&format!("{} holds routes of {} without a session", node.name, port.peer));
                    }
                    continue;
                }
                let link = &self.links[port.link];
                let peer = &self.nodes[if link.nodes[0] == node.life.node { link.nodes[1] } else { link.nodes[0] }];
                let told = self.adj_out(node, port.peer);
                let heard = self.adj_in(peer, port.address);
                let by_prefix = |views: &[PathView]| -> BTreeMap<IpNet, _> {
                    views.iter().map(|view| (view.prefix, view.attributes.clone())).collect()
                };
                let (told_by_prefix, heard_by_prefix) = (by_prefix(&told), by_prefix(&heard));
                if told_by_prefix.len() != told.len() || heard_by_prefix.len() != heard.len() {
                    self.fail(&format!("a prefix stands twice between {} and {}", node.name, peer.name));
                }
                if told_by_prefix != heard_by_prefix {
                    self.fail(&format!(
                        "AdjRibOut({0} -> {1}) is not AdjRibIn({1} <- {0}):\n  told {told_by_prefix:?}\n  heard {heard_by_prefix:?}",
                        node.name, peer.name
                    ));
                }
            }
        }
    }

    /// Every speaker has chosen what the oracle says, and nothing else.
    fn check_choices(&self) {
        let expected = oracle::choices(self);
        for (index, node) in self.nodes.iter().enumerate() {
            if node.machines.is_none() {
                continue;
            }
            let mut best: BTreeMap<IpNet, Vec<(IpAddr, Vec<u32>)>> = BTreeMap::new();
            for port in &node.ports {
                for view in self.adj_in(node, port.peer) {
                    if view.best {
                        let path =
                            view.attributes.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied());
                        best.entry(view.prefix).or_default().push((port.peer, path.collect()));
                    }
                }
            }
            let wanted: BTreeMap<IpNet, Vec<(IpAddr, Vec<u32>)>> = expected
                .iter()
                .filter_map(|(prefix, chosen)| match chosen.get(&index)? {
                    Choice::Own => None,
                    Choice::Learned { address, as_path, .. } => Some((*prefix, vec![(*address, as_path.clone())])),
                })
                .collect();
            if best != wanted {
                self.fail(&format!("{} has chosen\n  {best:?}\nand should have chosen\n  {wanted:?}", node.name));
            }
            self.check_rib(node, &wanted);
        }
    }

    /// The RIB holds of BGP exactly what the speaker chose.
    fn check_rib(&self, node: &Node, wanted: &BTreeMap<IpNet, Vec<(IpAddr, Vec<u32>)>>) {
        let Some(machines) = &node.machines else { return };
        let held: BTreeMap<IpNet, Vec<IpAddr>> = self
            .rib_routes(node)
            .into_iter()
            .filter(|view| view.source == Source::Bgp)
            .map(|view| {
                (view.prefix, view.route.next_hops.legs().iter().filter_map(|leg| gateway(leg.next_hop)).collect())
            })
            .collect();
        let wanted: BTreeMap<IpNet, Vec<IpAddr>> = wanted
            .iter()
            .map(|(prefix, chosen)| (*prefix, chosen.iter().map(|(address, _)| *address).collect()))
            .collect();
        if held != wanted {
            self.fail(&format!("{}'s RIB holds of BGP {held:?}, the speaker chose {wanted:?}", node.name));
        }
        for (prefix, _) in wanted {
            let Some(best) = machines.rib.lookup(prefix.addr()) else {
                self.fail(&format!("{} finds nothing for {}", node.name, prefix.addr()));
            };
            if !best.prefix.contains(&prefix.addr()) {
                self.fail(&format!("{} looks up {} and finds {}", node.name, prefix.addr(), best.prefix));
            }
        }
    }

    fn rib_routes(&self, node: &Node) -> Vec<rib::message::RouteView> {
        let Some(machines) = &node.machines else { return Vec::new() };
        let (mut all, mut query) = (Vec::new(), WalkQuery { limit: PAGE, ..WalkQuery::default() });
        loop {
            let page = machines.rib.walk(&query);
            all.extend(page.routes);
            match page.next {
                Some(next) => query.start = Some(next),
                None => return all,
            }
        }
    }

    /// The data plane forwards exactly as the RIB says.
    fn check_planes(&self) {
        for node in self.nodes.iter().filter(|node| node.machines.is_some()) {
            let chosen: BTreeMap<IpNet, Forwarding> = self
                .rib_routes(node)
                .into_iter()
                // The memory plane, like the kernel, keeps no route for what is local.
                .filter(|view| view.forwarding != Forwarding::Local)
                .map(|view| (view.prefix, view.forwarding))
                .collect();
            let held: BTreeMap<IpNet, Forwarding> = node.plane.routes().into_iter().collect();
            if chosen != held {
                self.fail(&format!("{}'s data plane holds\n  {held:?}\nand the RIB says\n  {chosen:?}", node.name));
            }
        }
    }

    /// A packet to any announced prefix arrives at one who announces it, wherever it starts, on the path that was chosen.
    fn check_ways(&self) {
        for (prefix, chosen) in oracle::choices(self) {
            for start in (0..self.nodes.len()).filter(|node| self.nodes[*node].machines.is_some()) {
                let way = self.walk(start, prefix);
                let end = *way.last().expect("a way has a start");
                let arrived = self.nodes[end].announced.contains_key(&prefix) && self.nodes[end].machines.is_some();
                let expected = chosen.contains_key(&start);
                if arrived != expected {
                    let names: Vec<&str> = way.iter().map(|node| self.node_name(*node)).collect();
                    let should = if expected { "must arrive" } else { "can arrive nowhere" };
                    self.fail(&format!(
                        "a packet from {} to {prefix} {should}; it passes {names:?}",
                        self.node_name(start)
                    ));
                }
            }
        }
    }

    /// The routers that a packet to `prefix` passes, by what their data planes hold; ends where it is delivered, dropped, or would
    /// pass a router twice.
    #[must_use]
    pub fn walk(&self, start: usize, prefix: IpNet) -> Vec<usize> {
        let (mut way, mut seen) = (vec![start], BTreeSet::from([start]));
        let mut at = start;
        loop {
            let node = &self.nodes[at];
            if node.announced.contains_key(&prefix) {
                return way;
            }
            let Some((_, Forwarding::Legs(legs))) = node.plane.lookup(prefix.addr()) else { return way };
            let Some(gateway) = legs.first().and_then(|leg| leg.gateway) else { return way };
            let Some(port) = node.port_towards(gateway).filter(|port| self.links[port.link].up) else { return way };
            let link = &self.links[port.link];
            at = if link.nodes[0] == at { link.nodes[1] } else { link.nodes[0] };
            way.push(at);
            if !seen.insert(at) {
                return way;
            }
        }
    }
}

fn gateway(next_hop: NextHop) -> Option<IpAddr> {
    match next_hop {
        NextHop::Gateway { addr, .. } => Some(addr),
        NextHop::Interface(_) | NextHop::Discard(_) | NextHop::Local => None,
    }
}
