//! The shortest-path tree of one area (RFC 2328 §16.1, RFC 5340 §4.8.1), with all first steps of equal cost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::{Hop, Hops, Lsas, Snapshot, merge};
use crate::id::{AreaId, RouterId, Version};
use crate::lsa::{LinkKind, LsaBody, NetworkLsa, RouterFlags, RouterLink, RouterLsa};
use crate::packet::{OPTION_R, OPTION_V6};

/// A vertex; networks come before routers of equal cost, so that all equal paths are found (§16.1 (3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Vertex {
    /// By Link State ID and originator, so that nobody else's LSA takes its place.
    Network(u32, RouterId),
    Router(RouterId),
}

/// How a vertex is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) cost: u32,
    pub(crate) hops: Hops,
}

/// The tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) routers: BTreeMap<RouterId, (Reach, RouterFlags)>,
    pub(crate) networks: BTreeMap<(u32, RouterId), Reach>,
    /// A virtual link goes through the area (TransitCapability).
    pub(crate) transit: bool,
}

/// What the area's LSAs say, by vertex.
struct Graph<'a> {
    version: Version,
    routers: HashMap<RouterId, RouterLsa>,
    networks: HashMap<(u32, RouterId), &'a NetworkLsa>,
    /// v2: originators of network-LSAs by Link State ID.
    by_id: HashMap<u32, Vec<RouterId>>,
}

impl<'a> Graph<'a> {
    fn new(version: Version, lsas: &'a Lsas) -> Self {
        let mut graph = Self { version, routers: HashMap::new(), networks: HashMap::new(), by_id: HashMap::new() };
        for (header, body) in &lsas.0 {
            let key = header.key;
            match body {
                LsaBody::Router(lsa) => {
                    // v3: all of one router's are one (RFC 5340 §4.8.1).
                    let held =
                        graph.routers.entry(key.adv).or_insert_with(|| RouterLsa { links: Vec::new(), ..lsa.clone() });
                    held.links.extend_from_slice(&lsa.links);
                }
                LsaBody::Network(lsa) => {
                    graph.networks.insert((key.id, key.adv), lsa);
                    graph.by_id.entry(key.id).or_default().push(key.adv);
                }
                _ => {}
            }
        }
        graph
    }

    /// The network a transit link leads to: one that its Designated Router is on by its own router-LSA.
    fn network(&self, link: &RouterLink) -> Option<(u32, RouterId)> {
        match self.version {
            Version::V3 => Some((link.neighbor_interface, RouterId(link.id))),
            Version::V2 => self.by_id.get(&link.id)?.iter().map(|adv| (link.id, *adv)).find(|(id, adv)| {
                self.routers.get(adv).is_some_and(|lsa| {
                    lsa.links.iter().any(|own| own.kind == LinkKind::Transit && own.id == *id && own.data == *id)
                })
            }),
        }
    }

    fn joins(&self, router: RouterId, network: (u32, RouterId)) -> Option<&RouterLink> {
        let links = &self.routers.get(&router)?.links;
        links.iter().find(|link| link.kind == LinkKind::Transit && self.network(link) == Some(network))
    }

    /// v3: it forwards for others (RFC 5340 §A.2 R, V6).
    fn forwards(&self, lsa: &RouterLsa) -> bool {
        let bits = OPTION_R | OPTION_V6;
        self.version == Version::V2 || lsa.options & bits == bits
    }
}

/// Grows the tree of `area`. `far_ends` tells how the far ends of virtual links are reached, for the backbone.
pub(crate) fn grow(snapshot: &Snapshot, area: AreaId, lsas: &Lsas, far_ends: &BTreeMap<RouterId, Hops>) -> Tree {
    let graph = Graph::new(snapshot.version, lsas);
    let root = snapshot.router;
    let mut tree = Tree { transit: graph.routers.values().any(|lsa| lsa.flags.virtual_link), ..Tree::default() };
    let mut best: HashMap<Vertex, Reach> = HashMap::new();
    let mut heap: BinaryHeap<Reverse<(u32, Vertex)>> = BinaryHeap::new();
    let start = Vertex::Router(root);
    best.insert(start, Reach { cost: 0, hops: Hops::new() });
    heap.push(Reverse((0, start)));
    let mut done: std::collections::HashSet<Vertex> = std::collections::HashSet::new();
    while let Some(Reverse((cost, vertex))) = heap.pop() {
        if !done.insert(vertex) {
            continue;
        }
        let Some(reach) = best.get(&vertex).cloned() else { continue };
        let mut relax = |to: Vertex, cost: u32, hops: &[Hop]| {
            if done.contains(&to) {
                return;
            }
            match best.get_mut(&to) {
                Some(held) if held.cost < cost => {}
                Some(held) if held.cost == cost => merge(&mut held.hops, hops),
                _ => {
                    best.insert(to, Reach { cost, hops: hops.into() });
                    heap.push(Reverse((cost, to)));
                }
            }
        };
        match vertex {
            Vertex::Router(router) => {
                let Some(lsa) = graph.routers.get(&router) else { continue };
                tree.routers.insert(router, (reach.clone(), lsa.flags));
                if router != root && !graph.forwards(lsa) {
                    continue;
                }
                for link in &lsa.links {
                    let cost = cost.saturating_add(u32::from(link.metric));
                    match link.kind {
                        LinkKind::Stub => {}
                        LinkKind::PointToPoint | LinkKind::Virtual => {
                            let to = RouterId(link.id);
                            let back = graph.routers.get(&to).is_some_and(|far| {
                                far.links.iter().any(|own| own.kind == link.kind && own.id == router.0)
                            });
                            if !back {
                                continue;
                            }
                            let hops = if router == root {
                                first_steps(snapshot, area, link, far_ends)
                            } else {
                                reach.hops.clone()
                            };
                            if !hops.is_empty() {
                                relax(Vertex::Router(to), cost, &hops);
                            }
                        }
                        LinkKind::Transit => {
                            let Some(network) = graph.network(link) else { continue };
                            let joined = graph.networks.get(&network).is_some_and(|lsa| lsa.attached.contains(&router));
                            if !joined {
                                continue;
                            }
                            let own = snapshot.links.iter().find(|own| own.area == area && own.data == link.data);
                            let hops: Hops = match own.filter(|_| router == root) {
                                Some(own) => std::iter::once(Hop { interface: own.interface, via: None }).collect(),
                                None => reach.hops.clone(),
                            };
                            if !hops.is_empty() {
                                relax(Vertex::Network(network.0, network.1), cost, &hops);
                            }
                        }
                    }
                }
            }
            Vertex::Network(id, adv) => {
                tree.networks.insert((id, adv), reach.clone());
                let Some(lsa) = graph.networks.get(&(id, adv)) else { continue };
                for router in &lsa.attached {
                    let Some(link) = graph.joins(*router, (id, adv)) else { continue };
                    // Next to us: the first step is the router's address on the network (§16.1.1).
                    let hops: Hops = reach
                        .hops
                        .iter()
                        .filter_map(|hop| match hop.via {
                            Some(_) => Some(*hop),
                            None => Some(Hop { via: Some(address_on(snapshot, hop, *router, link)?), ..*hop }),
                        })
                        .collect();
                    if !hops.is_empty() {
                        relax(Vertex::Router(*router), cost, &hops);
                    }
                }
            }
        }
    }
    tree
}

/// First steps over one of our own links to another router.
fn first_steps(snapshot: &Snapshot, area: AreaId, link: &RouterLink, far_ends: &BTreeMap<RouterId, Hops>) -> Hops {
    let to = RouterId(link.id);
    if link.kind == LinkKind::Virtual {
        return far_ends.get(&to).cloned().unwrap_or_default();
    }
    let own = snapshot.links.iter().filter(|own| own.area == area && own.data == link.data && own.virtual_to.is_none());
    own.flat_map(|own| {
        let found = own.neighbors.iter().find(|(router, _)| *router == to);
        found.map(|(_, address)| Hop { interface: own.interface, via: Some(*address) })
    })
    .collect()
}

/// The address of a router on a network that we are on too.
fn address_on(snapshot: &Snapshot, hop: &Hop, router: RouterId, link: &RouterLink) -> Option<std::net::IpAddr> {
    match snapshot.version {
        Version::V2 => Some(std::net::Ipv4Addr::from(link.data).into()),
        Version::V3 => {
            let own = snapshot.links.iter().find(|own| own.interface == hop.interface)?;
            let heard = own.neighbors.iter().find(|(id, _)| *id == router).map(|(_, address)| *address);
            heard.or_else(|| snapshot.link_locals.get(&(hop.interface, router)).copied())
        }
    }
}
