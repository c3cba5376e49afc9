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

/// An edge: what it leads to, its cost, and the link that is it (from a network: the router's link to it).
type Edge<'a> = (Vertex, u32, &'a RouterLink);

impl Graph<'_> {
    fn edges(&self, vertex: Vertex, root: RouterId) -> Vec<Edge<'_>> {
        match vertex {
            Vertex::Router(router) => {
                let Some(lsa) = self.routers.get(&router).filter(|lsa| router == root || self.forwards(lsa)) else {
                    return Vec::new();
                };
                let of_link = |link| Some((self.far_end(router, link)?, u32::from(link.metric), link));
                lsa.links.iter().filter_map(of_link).collect()
            }
            Vertex::Network(id, adv) => {
                let Some(lsa) = self.networks.get(&(id, adv)) else { return Vec::new() };
                let of_router = |to: &RouterId| Some((Vertex::Router(*to), 0, self.joins(*to, (id, adv))?));
                lsa.attached.iter().filter_map(of_router).collect()
            }
        }
    }

    /// What a link leads to, if that says so too.
    fn far_end(&self, router: RouterId, link: &RouterLink) -> Option<Vertex> {
        match link.kind {
            LinkKind::Stub => None,
            LinkKind::PointToPoint | LinkKind::Virtual => {
                let far = self.routers.get(&RouterId(link.id))?;
                let back = far.links.iter().any(|own| own.kind == link.kind && own.id == router.0);
                back.then_some(Vertex::Router(RouterId(link.id)))
            }
            LinkKind::Transit => {
                let (id, adv) = self.network(link)?;
                let joined = self.networks.get(&(id, adv))?.attached.contains(&router);
                joined.then_some(Vertex::Network(id, adv))
            }
        }
    }
}

/// Grows the tree of `area`. `far_ends` tells how the far ends of virtual links are reached, for the backbone.
pub(super) fn grow(snapshot: &Snapshot, area: AreaId, lsas: &Lsas, far_ends: &BTreeMap<RouterId, Hops>) -> Tree {
    let graph = Graph::new(snapshot.version, lsas);
    let root = snapshot.router;
    let own = |edge: &Edge<'_>| own_steps(snapshot, area, edge, far_ends);
    // Distances first.
    let mut best: BTreeMap<Vertex, u32> = BTreeMap::from([(Vertex::Router(root), 0)]);
    let mut heap = BinaryHeap::from([Reverse((0, Vertex::Router(root)))]);
    while let Some(Reverse((cost, vertex))) = heap.pop() {
        if best.get(&vertex) != Some(&cost) {
            continue;
        }
        for edge in graph.edges(vertex, root) {
            let (to, there) = (edge.0, cost + edge.1);
            let usable = vertex != Vertex::Router(root) || !own(&edge).is_empty();
            if usable && best.get(&to).is_none_or(|held| there < *held) {
                best.insert(to, there);
                heap.push(Reverse((there, to)));
            }
        }
    }
    // Then first steps, passed on along shortest paths until nobody learns any more.
    let mut hops: BTreeMap<Vertex, Hops> = BTreeMap::new();
    let mut more = true;
    while more {
        more = false;
        for (vertex, cost) in &best {
            for edge in graph.edges(*vertex, root) {
                if edge.0 == Vertex::Router(root) || best.get(&edge.0) != Some(&(cost + edge.1)) {
                    continue;
                }
                let steps = match vertex {
                    Vertex::Router(router) if *router == root => own(&edge),
                    Vertex::Router(_) => hops.get(vertex).cloned().unwrap_or_default(),
                    Vertex::Network(..) => {
                        let onto = hops.get(vertex).cloned().unwrap_or_default();
                        onto.iter().filter_map(|hop| beyond(snapshot, hop, &edge)).collect()
                    }
                };
                let held = hops.entry(edge.0).or_default();
                let before = held.len();
                merge(held, &steps);
                more |= held.len() != before;
            }
        }
    }
    let mut tree = Tree { transit: graph.routers.values().any(|lsa| lsa.flags.virtual_link), ..Tree::default() };
    for (vertex, cost) in best {
        let hops = hops.remove(&vertex).unwrap_or_default();
        if hops.is_empty() && vertex != Vertex::Router(root) {
            continue;
        }
        match vertex {
            Vertex::Router(router) => {
                if let Some(lsa) = graph.routers.get(&router) {
                    tree.routers.insert(router, (Reach { cost, hops }, lsa.flags));
                }
            }
            Vertex::Network(id, adv) => _ = tree.networks.insert((id, adv), Reach { cost, hops }),
        }
    }
    tree
}

/// From a network next to us, the first step is the router's address on it (§16.1.1).
fn beyond(snapshot: &Snapshot, hop: &Hop, edge: &Edge<'_>) -> Option<Hop> {
    let Vertex::Router(router) = edge.0 else { return None };
    match hop.via {
        Some(_) => Some(*hop),
        None => Some(Hop { via: Some(address_on(snapshot, hop, router, edge.2)?), ..*hop }),
    }
}

/// First steps over a link of ours.
fn own_steps(snapshot: &Snapshot, area: AreaId, edge: &Edge<'_>, far_ends: &BTreeMap<RouterId, Hops>) -> Hops {
    let link = edge.2;
    if link.kind != LinkKind::Transit {
        return first_steps(snapshot, area, link, far_ends);
    }
    let own = snapshot.links.iter().find(|own| own.area == area && own.data == link.data);
    own.map(|own| Hop { interface: own.interface, via: None }).into_iter().collect()
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
