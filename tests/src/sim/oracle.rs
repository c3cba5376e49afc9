//! What must be true of a network at rest, computed from its plan alone by means that share nothing with the product.
//!
//! Route by route and router by router, every router asks its neighbors again and again what they would tell it, until nobody
//! changes their mind. The plans of [`super::internet`] are such that there is exactly one outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bgpd::config::Role;
use ipnet::IpNet;
use rib::{AddressFamily, Protocol};

use super::World;
use super::plan::{Filter, GRACEFUL_SHUTDOWN, MARKS, NO_ADVERTISE, NO_EXPORT, Peer, Rules};

/// LOCAL_PREF of a route that says nothing.
const LOCAL_PREF: u32 = 100;

/// A route as a router holds it after import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The neighbor's address; `None` for a route of its own.
    pub from: Option<IpAddr>,
    /// AS_PATH.
    pub as_path: Vec<u32>,
    /// ORIGIN.
    pub origin: u8,
    /// NEXT_HOP; nothing for a route of its own.
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// COMMUNITIES.
    pub communities: BTreeSet<u32>,
    /// ORIGINATOR_ID.
    pub originator: Option<Ipv4Addr>,
    /// CLUSTER_LIST.
    pub clusters: Vec<Ipv4Addr>,
    /// ONLY_TO_CUSTOMER.
    pub otc: Option<u32>,
    /// The identifier it came with (RFC 7911); the sender's to choose, and read from what it said.
    path_id: u32,
    internal: bool,
    client: bool,
    /// A route of its own that is a service.
    service: bool,
    prepend: u8,
    metric: u32,
    router_id: Ipv4Addr,
}

impl Path {
    /// In words, as the checker has them for what a speaker shows.
    pub(super) fn describe(&self) -> String {
        let Self { from, as_path, origin, next_hop, med, local_pref, communities, originator, clusters, otc, .. } =
            self;
        format!(
            "from {from:?} path {as_path:?} origin {origin} via {next_hop:?} med {med:?} pref {local_pref:?} {communities:x?} {originator:?} {clusters:?} otc {otc:?}"
        )
    }
}

/// What a router has chosen for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The best path.
    pub best: Path,
    /// Next hops that may be used together, the best path's among them.
    pub equal: BTreeSet<IpAddr>,
    /// How many of them are used.
    pub used: usize,
}

/// Each router's choice, where it must have one, and what each is told of the prefix by its neighbors, by their addresses.
pub struct Outcome {
    /// The choices.
    pub choices: BTreeMap<usize, Choice>,
    /// What is said, in the words of [`Path::describe`].
    pub told: BTreeMap<(usize, IpAddr), Vec<String>>,
}

/// Path identifiers by who heard them from whom, and the paths that they were for: several may look alike.
type PathIds = BTreeMap<(usize, IpAddr), BTreeMap<(IpNet, String), Vec<u32>>>;

/// For every prefix that anybody announces, the outcome. `None` where routers never agree.
#[must_use]
pub fn outcomes(world: &World) -> BTreeMap<IpNet, Option<Outcome>> {
    let alive = world.nodes.iter().filter(|node| node.machines.is_some());
    let prefixes: BTreeSet<IpNet> = alive.flat_map(|node| node.announced.keys().copied()).collect();
    let metrics: Vec<BTreeMap<IpAddr, u32>> = (0..world.nodes.len()).map(|_| BTreeMap::new()).collect();
    let sessions = sessions(world);
    let path_ids = path_ids(world, &sessions);
    let mut network = Network { world, sessions, path_ids, metrics };
    prefixes.into_iter().map(|prefix| (prefix, network.settle(prefix))).collect()
}

/// Per router, the sessions that stand: its own side and the other one's.
fn sessions(world: &World) -> Vec<Vec<(&Peer, &Peer)>> {
    fn side<'a>(world: &'a World, peer: &'a Peer) -> Option<(&'a Peer, &'a Peer)> {
        let theirs = world.nodes[peer.node].peer_of(peer.local, peer.remote)?;
        world.can_stand(peer).then_some((peer, theirs))
    }
    world.nodes.iter().map(|node| node.peers.iter().filter_map(|peer| side(world, peer)).collect()).collect()
}

/// Both sides agree on several paths in the direction to `ours`.
fn several(ours: &Peer, theirs: &Peer) -> bool {
    ours.add_path.receive && theirs.add_path.send > 0
}

fn path_ids(world: &World, sessions: &[Vec<(&Peer, &Peer)>]) -> PathIds {
    let mut ids = PathIds::new();
    for (node, sessions) in sessions.iter().enumerate() {
        for (ours, _) in sessions.iter().filter(|(ours, theirs)| several(ours, theirs)) {
            let heard = world.adj_in(&world.nodes[node], ours.remote);
            let named: &mut BTreeMap<_, Vec<u32>> = ids.entry((node, ours.remote)).or_default();
            for view in heard {
                let path = (view.prefix, super::checker::describe(ours.remote, &view.attributes));
                named.entry(path).or_default().extend(view.path_id);
            }
        }
    }
    ids
}

struct Network<'a> {
    world: &'a World,
    sessions: Vec<Vec<(&'a Peer, &'a Peer)>>,
    path_ids: PathIds,
    /// The cost of next hops that were asked for before.
    metrics: Vec<BTreeMap<IpAddr, u32>>,
}

impl Network<'_> {
    fn settle(&mut self, prefix: IpNet) -> Option<Outcome> {
        // Each router's paths, the best one first; those after it only where somebody may be told of them.
        let mut chosen: Vec<Vec<Path>> = vec![Vec::new(); self.world.nodes.len()];
        for _ in 0..10 * self.world.nodes.len() + 20 {
            let mut changed = false;
            for node in 0..chosen.len() {
                let mut paths = self.candidates(node, prefix, &chosen);
                let router = &self.world.nodes[node];
                let says_more = router.best_external || router.peers.iter().any(|peer| peer.add_path.send > 0);
                let order = if says_more { ranking(paths) } else { decide(&mut paths).into_iter().take(1).collect() };
                changed |= order != chosen[node];
                chosen[node] = order;
            }
            if !changed {
                let choice = |node: usize| {
                    let mut paths = self.candidates(node, prefix, &chosen);
                    self.choice(node, &mut paths).map(|choice| (node, choice))
                };
                let choices = (0..chosen.len()).filter_map(choice).collect();
                let mut told: BTreeMap<_, Vec<String>> = BTreeMap::new();
                for (node, sessions) in self.sessions.iter().enumerate() {
                    for (ours, theirs) in sessions {
                        let said = self.told(ours, theirs, &chosen[ours.node], prefix);
                        let mut said: Vec<String> = said.iter().map(Path::describe).collect();
                        said.sort_unstable();
                        if !said.is_empty() {
                            told.insert((node, ours.remote), said);
                        }
                    }
                }
                return Some(Outcome { choices, told });
            }
        }
        None
    }

    fn choice(&mut self, node: usize, paths: &mut Vec<Path>) -> Option<Choice> {
        let equals = decide(paths);
        let best = equals.first()?.clone();
        let most = match best.from {
            None => 1,
            Some(_) => usize::from(self.world.nodes[node].multipath[usize::from(best.internal)]),
        };
        let alike = |path: &&Path| path.internal == best.internal && path.from.is_some();
        let equal: BTreeSet<IpAddr> = equals.iter().filter(alike).filter_map(|path| path.next_hop).collect();
        let used = most.min(equal.len());
        Some(Choice { best, equal, used })
    }

    /// The paths that a router may use.
    fn candidates(&mut self, node: usize, prefix: IpNet, chosen: &[Vec<Path>]) -> Vec<Path> {
        let router = &self.world.nodes[node];
        let mut paths = Vec::new();
        if router.machines.is_none() {
            return paths;
        }
        if let Some(own) = router.announced.get(&prefix) {
            paths.push(Path {
                from: None,
                as_path: Vec::new(),
                origin: own.origin as u8,
                next_hop: None,
                med: own.med,
                local_pref: None,
                communities: own.communities.iter().copied().collect(),
                originator: None,
                clusters: Vec::new(),
                otc: None,
                path_id: 0,
                internal: false,
                client: false,
                service: own.protocol == Protocol::Service,
                prepend: own.prepend,
                metric: 0,
                router_id: router.router_id,
            });
        }
        for at in 0..self.sessions[node].len() {
            let (ours, theirs) = self.sessions[node][at];
            let mut named = BTreeMap::new();
            for mut told in self.told(ours, theirs, &chosen[ours.node], prefix) {
                if several(ours, theirs) {
                    let ids = self.path_ids.get(&(node, ours.remote));
                    let name = (prefix, told.describe());
                    let alike = named.entry(name.1.clone()).or_insert(0_usize);
                    let id = ids.and_then(|ids| ids.get(&name)?.get(*alike));
                    told.path_id = id.copied().unwrap_or(u32::MAX);
                    *alike += 1;
                }
                let Some(mut path) = self.import(node, ours, told, prefix) else { continue };
                if let Some(metric) = self.metric(node, path.next_hop) {
                    path.metric = metric;
                    paths.push(path);
                }
            }
        }
        paths
    }

    /// What is said over a session by a router that has these paths.
    fn told(&self, ours: &Peer, theirs: &Peer, order: &[Path], prefix: IpNet) -> Vec<Path> {
        let family = AddressFamily::of(&prefix);
        if !ours.families.contains(&family) || !theirs.families.contains(&family) {
            return Vec::new();
        }
        let router = &self.world.nodes[ours.node];
        let (count, most) = match several(ours, theirs) {
            true => (order.len(), usize::from(theirs.add_path.send)),
            false => (1, 1),
        };
        let stays = |path: &Path| path.internal && !path.client;
        let inside = router.best_external && theirs.asn == router.asn && !theirs.client && count == 1;
        let in_its_stead = order.first().filter(|best| inside && stays(best));
        let skipped = in_its_stead.map_or(0, |_| order.iter().take_while(|path| stays(path)).count());
        let said = order.iter().skip(skipped).take(count);
        let said = said.filter_map(|path| Some((path.from, self.export(ours.node, theirs, path, prefix)?))).take(most);
        // Split horizon; and nobody is told that it is itself the next hop (RFC 4271 §5.1.3).
        let for_them = said.filter(|(from, told)| *from != Some(theirs.remote) && told.next_hop != Some(theirs.remote));
        for_them.map(|(_, told)| Path { from: Some(ours.remote), path_id: 0, ..told }).collect()
    }

    /// RFC 4271 §9.2 and §5, RFC 1997, RFC 4456 §8, RFC 8212.
    fn export(&self, node: usize, session: &Peer, path: &Path, prefix: IpNet) -> Option<Path> {
        let router = &self.world.nodes[node];
        let external = session.asn != router.asn;
        let own = path.from.is_none();
        if path.communities.contains(&NO_ADVERTISE) || external && path.communities.contains(&NO_EXPORT) {
            return None;
        }
        if !external && !own && path.internal && !path.client && !session.client {
            return None;
        }
        // RFC 9234 §5: what is only for customers is not for anybody else.
        if session.role.is_some_and(|role| !is_above(role)) && path.otc.is_some() {
            return None;
        }
        let mut told = path.clone();
        if external && !own {
            told.med = None;
        }
        if session.remove_private_as {
            told.as_path.retain(|asn| !is_private(*asn) || *asn == session.asn);
        }
        if session.as_override {
            told.as_path.iter_mut().filter(|asn| **asn == session.asn).for_each(|asn| *asn = router.asn);
        }
        match &session.export {
            Filter::Unset if external && !(own && path.service) => return None,
            Filter::Unset | Filter::Accept => {}
            Filter::Rules(rules) => told = apply(rules, told, prefix, router.asn)?,
        }
        // RFC 8326 §4.2.
        if session.drained {
            told.communities.insert(GRACEFUL_SHUTDOWN);
            told.local_pref = Some(0);
        }
        if session.role.is_some_and(|role| role != Role::Customer) {
            told.otc.get_or_insert(router.asn);
        }
        // RFC 8950 §4: over IPv6, the session's own address for both families.
        let ours = match prefix {
            IpNet::V4(_) => session.local,
            IpNet::V6(_) => router.address_on(session.link, 1),
        };
        if external {
            let times = 1 + usize::from(if own { path.prepend } else { 0 });
            told.as_path.splice(0..0, std::iter::repeat_n(router.asn, times));
            told.local_pref = None;
            told.originator = None;
            told.clusters.clear();
            told.next_hop = Some(ours);
        } else {
            told.local_pref.get_or_insert(LOCAL_PREF);
            // An IPv6 next hop of an IPv4 route cannot be told over IPv4.
            let told_well =
                session.local.is_ipv6() || path.next_hop.is_none_or(|addr| addr.is_ipv6() == prefix.addr().is_ipv6());
            if own || session.next_hop_self && !path.internal || !told_well {
                told.next_hop = Some(ours);
            }
            if !own && path.internal {
                told.originator.get_or_insert(path.router_id);
                told.clusters.insert(0, router.cluster_id);
            }
        }
        Some(told)
    }

    /// RFC 4271 §9.1.1 and §9.1.2, RFC 4456 §8, RFC 8212.
    fn import(&self, node: usize, session: &Peer, mut told: Path, prefix: IpNet) -> Option<Path> {
        let router = &self.world.nodes[node];
        let external = session.asn != router.asn;
        let times = told.as_path.iter().filter(|asn| **asn == router.asn).count();
        let looped = times > usize::from(session.allow_as_in)
            || told.originator == Some(router.router_id)
            || told.clusters.contains(&router.cluster_id);
        if looped {
            return None;
        }
        told.from = Some(session.remote);
        told.internal = !external;
        told.metric = 0;
        told.client = session.client;
        told.service = false;
        told.prepend = 0;
        told.router_id = self.world.nodes[session.node].router_id;
        match (session.role, told.otc) {
            (Some(Role::Provider), Some(_)) => return None,
            (Some(Role::Peer), Some(otc)) if otc != session.asn => return None,
            (Some(Role::Customer | Role::Peer), None) => told.otc = Some(session.asn),
            _ => {}
        }
        if external && told.communities.contains(&GRACEFUL_SHUTDOWN) {
            told.local_pref = Some(0);
        }
        let mut imported = match &session.import {
            Filter::Unset if external => return None,
            Filter::Unset | Filter::Accept => told,
            Filter::Rules(rules) => apply(rules, told, prefix, router.asn)?,
        };
        if session.drained {
            imported.local_pref = Some(0);
        }
        Some(imported)
    }

    /// The cost of a next hop: a port's network costs nothing, interior routing says the rest.
    fn metric(&mut self, node: usize, next_hop: Option<IpAddr>) -> Option<u32> {
        let next_hop = next_hop?;
        let router = &self.world.nodes[node];
        if let Some(metric) = self.metrics[node].get(&next_hop) {
            return (*metric != u32::MAX).then_some(*metric);
        }
        let connected = router.ports.iter().filter(|port| port.up).flat_map(|port| port.networks);
        let interior = router.interior.iter().map(|(network, (metric, _))| (*network, *metric));
        let covers = |(network, _): &(IpNet, u32)| network.contains(&next_hop);
        let metric = connected.map(|network| (network, 0)).chain(interior).find(covers).map(|(_, metric)| metric);
        self.metrics[node].insert(next_hop, metric.unwrap_or(u32::MAX));
        metric
    }
}

/// RFC 6996 §5.
fn is_private(asn: u32) -> bool {
    (64_512..65_535).contains(&asn) || (4_200_000_000..u32::MAX).contains(&asn)
}

/// We are the provider of somebody in our role.
fn is_above(role: Role) -> bool {
    role == Role::Provider
}

fn apply(rules: &Rules, mut path: Path, prefix: IpNet, asn: u32) -> Option<Path> {
    if rules.deny.contains(&prefix) || rules.deny_marks.iter().any(|mark| path.communities.contains(mark)) {
        return None;
    }
    path.local_pref = rules.local_pref.or(path.local_pref);
    path.med = rules.med.or(path.med);
    path.as_path.splice(0..0, std::iter::repeat_n(asn, usize::from(rules.prepend)));
    if rules.unmark {
        path.communities.retain(|community| !MARKS.contains(community));
    }
    path.communities.extend(&rules.add);
    Some(path)
}

/// RFC 4271 §9.1.2.2 with RFC 4456 §9: the paths that are equal up to the interior cost, the best one first.
fn decide(paths: &mut Vec<Path>) -> Vec<Path> {
    keep_lowest(paths, |path| u64::from(path.from.is_some()));
    keep_lowest(paths, |path| u64::from(u32::MAX - path.local_pref.unwrap_or(LOCAL_PREF)));
    keep_lowest(paths, |path| path.as_path.len() as u64);
    keep_lowest(paths, |path| u64::from(path.origin));
    let all = paths.clone();
    paths.retain(|path| {
        let neighbor = path.as_path.first();
        all.iter().filter(|other| other.as_path.first() == neighbor).all(|other| med(path) <= med(other))
    });
    keep_lowest(paths, |path| u64::from(path.internal));
    keep_lowest(paths, |path| u64::from(path.metric));
    let mut equal = paths.clone();
    equal.sort_by_key(rank);
    equal
}

fn med(path: &Path) -> u32 {
    path.med.unwrap_or(0)
}

/// Every path, each the winner among those after it.
fn ranking(mut paths: Vec<Path>) -> Vec<Path> {
    let mut order = Vec::new();
    while let Some(best) = decide(&mut paths.clone()).into_iter().next() {
        if let Some(at) = paths.iter().position(|path| *path == best) {
            paths.remove(at);
        }
        order.push(best);
    }
    order
}

fn rank(path: &Path) -> (Ipv4Addr, usize, Option<IpAddr>, u32) {
    (path.originator.unwrap_or(path.router_id), path.clusters.len(), path.from, path.path_id)
}

fn keep_lowest(paths: &mut Vec<Path>, key: impl Fn(&Path) -> u64) {
    if let Some(lowest) = paths.iter().map(&key).min() {
        paths.retain(|path| key(path) == lowest);
    }
}
