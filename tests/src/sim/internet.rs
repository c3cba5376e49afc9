//! Random internets: ASes of routers, sessions within and between them, and policies under which there is one outcome.
//!
//! Between ASes routes are preferred and passed on as between customers, peers and providers (Gao and Rexford, "Stable Internet
//! Routing without Global Coordination"), or everything is accepted and the shortest path wins; both always settle. Within an AS
//! there is a full mesh, or one or two clusters of reflectors. A reflecting AS has a cable between any two of its routers and counts every way alike,
//! for reflection with costs of its own may never settle (RFC 3345, RFC 4456 §11); MED is sent only to ASes where it cannot hide
//! one path behind another. Among customers, peers and providers, numbers may be taken out of paths or replaced in them, and our own
//! be allowed: what keeps routes from going round is whom they are told, not what their paths say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bgpd::config::{AddPath, AdjInKeep, GracefulRestart, Role};
use rib::AddressFamily;

use super::World;
use super::plan::{Filter, MARKS, NO_EXPORT, Peer, Rules};

/// The longest restart time drawn.
pub(super) const RESTART_MAX: Duration = Duration::from_secs(12);
/// Long lives are shorter than this.
pub(super) const LONG_LIVED_MAX: Duration = Duration::from_secs(60);

/// What the second AS of a pair is to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Pays the first.
    Customer,
    /// Neither pays.
    Equal,
    /// Is paid by the first.
    Provider,
}

impl Relation {
    fn reverse(self) -> Self {
        match self {
            Self::Customer => Self::Provider,
            Self::Equal => Self::Equal,
            Self::Provider => Self::Customer,
        }
    }

    fn mark(self) -> u32 {
        MARKS[self as usize]
    }

    /// Our role towards such an AS (RFC 9234).
    const fn role(self) -> Role {
        match self {
            Self::Customer => Role::Provider,
            Self::Equal => Role::Peer,
            Self::Provider => Role::Customer,
        }
    }
}

/// How IPv6 travels beside IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    /// Not at all.
    Ipv4,
    /// In a session of its own.
    Separate,
    /// In the same session, over IPv4.
    Shared,
    /// Both in one session over IPv6.
    SharedOverIpv6,
    /// Alone.
    Ipv6,
}

struct System {
    asn: u32,
    routers: Vec<usize>,
    reflects: bool,
}

struct Builder {
    world: World,
    rng: fastrand::Rng,
    systems: Vec<System>,
    dual: bool,
    relations: bool,
    /// Every external session has its roles, so that policies may forget to keep routes from those they are not for.
    roles: bool,
    /// Paths lose AS numbers on their way, or get others.
    alters: bool,
}

/// An internet of 3 to 30 routers.
#[must_use]
pub fn random_internet(seed: u64) -> World {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x696E_7465_726E_6574);
    let count = match rng.u8(0..100) {
        0..60 => rng.usize(3..=8),
        60..92 => rng.usize(9..=15),
        _ => rng.usize(16..=30),
    };
    let names = (0..count).map(|index| format!("r{index}"));
    let world = names.fold(World::seeded(seed), |world, name| world.node(&name));
    let (dual, relations) = (rng.u8(0..10) < 6, rng.u8(0..10) < 7);
    let roles = relations && rng.u8(0..10) < 4;
    let alters = relations && rng.u8(0..10) < 4;
    let mut builder = Builder { world, rng, systems: Vec::new(), dual, relations, roles, alters };
    builder.world.alters = alters;
    builder.draw_routers();
    for system in 0..builder.systems.len() {
        builder.draw_interior(system);
    }
    builder.draw_exterior();
    builder.world
}

impl Builder {
    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    /// ASes, and what routers are.
    fn draw_routers(&mut self) {
        let count = self.world.nodes.len();
        let mut ids: Vec<u8> = (1..=u8::try_from(count).expect("at most 30 routers")).collect();
        self.rng.shuffle(&mut ids);
        let mut next = 0;
        while next < count {
            let size = if self.chance(50) { 1 } else { self.rng.usize(2..=6) };
            let routers: Vec<usize> = (next..count.min(next + size)).collect();
            next += routers.len();
            let number = u32::try_from(self.systems.len()).expect("at most 30 ASes");
            let asn = if self.chance(30) { 4_200_000_000 + number } else { 64_513 + number };
            let reflects = routers.len() > 2 && self.chance(50);
            for router in &routers {
                let node = &mut self.world.nodes[*router];
                node.asn = asn;
                node.router_id = Ipv4Addr::new(192, 0, 0, ids[*router]);
                node.cluster_id = node.router_id;
                if self.rng.u8(0..100) < 30 {
                    node.multipath = [self.rng.u16(1..5), self.rng.u16(1..5)];
                }
            }
            self.systems.push(System { asn, routers, reflects });
        }
    }

    fn draw_interior(&mut self, system: usize) {
        let System { asn, routers, reflects } = &self.systems[system];
        let (asn, routers, reflects) = (*asn, routers.clone(), *reflects);
        if routers.len() < 2 {
            return;
        }
        self.lay_cables(&routers, reflects);
        let next_hop_self = self.chance(60);
        if reflects {
            self.world.flat.insert(asn);
        }
        if !next_hop_self {
            self.world.carries_external.insert(asn);
        }
        let families = match self.rng.u8(0..4) {
            _ if !self.dual => Families::Ipv4,
            0 => Families::Shared,
            1 => Families::SharedOverIpv6,
            _ => Families::Separate,
        };
        for router in routers.iter().filter(|_| !reflects) {
            self.world.nodes[*router].best_external = self.rng.u8(0..100) < 30;
        }
        for (pair, clients) in self.interior_pairs(&routers, reflects) {
            let way = self.world.add_way(pair);
            let keep = self.chance(30);
            // Where everybody reaches what is outside, each session may have it its own way.
            let mixed = [self.chance(40), self.chance(40)];
            self.add_sessions(way, families, |peer, end| {
                peer.next_hop_self = next_hop_self || !reflects && mixed[end];
                peer.client = clients[end];
                peer.export = if end == 0 { Filter::Unset } else { Filter::Accept };
                peer.adj_in = if keep { AdjInKeep::Accepted } else { AdjInKeep::All };
            });
        }
    }

    fn lay_cables(&mut self, routers: &[usize], all: bool) {
        for (index, router) in routers.iter().enumerate().skip(1) {
            let linked = self.rng.usize(0..index);
            for (other, end) in routers.iter().enumerate().take(index) {
                let wanted = all || other == linked || self.chance(20);
                let metric = if all { 1 } else { self.rng.u32(1..=10) };
                if wanted {
                    self.world.add_cable([*router, *end], metric);
                }
            }
        }
    }

    /// Who has a session with whom, and who is whose client: for each end, whether the other one is.
    fn interior_pairs(&mut self, routers: &[usize], reflects: bool) -> Vec<([usize; 2], [bool; 2])> {
        let mut pairs = Vec::new();
        if !reflects {
            for (index, router) in routers.iter().enumerate() {
                pairs.extend(routers[..index].iter().map(|other| ([*router, *other], [false, false])));
            }
            return pairs;
        }
        let clusters = if routers.len() > 3 { self.rng.usize(1..=2) } else { 1 };
        let share = routers.len().div_ceil(clusters);
        let mut all_reflectors: Vec<usize> = Vec::new();
        for members in routers.chunks(share) {
            let reflectors = if members.len() > 2 { self.rng.usize(1..=2) } else { 1 };
            let (reflectors, clients) = members.split_at(reflectors);
            if self.chance(50) {
                let cluster = self.world.nodes[reflectors[0]].router_id;
                for reflector in reflectors {
                    self.world.nodes[*reflector].cluster_id = cluster;
                }
            }
            for reflector in reflectors {
                pairs.extend(clients.iter().map(|client| ([*reflector, *client], [true, false])));
                pairs.extend(all_reflectors.iter().map(|other| ([*reflector, *other], [false, false])));
                all_reflectors.push(*reflector);
            }
        }
        pairs
    }

    /// The sessions over a link; `refine` sees each end's side.
    fn add_sessions(&mut self, link: usize, families: Families, mut refine: impl FnMut(&mut Peer, usize)) {
        let nodes = self.world.links[link].nodes;
        let transports: &[usize] = match families {
            Families::Ipv4 | Families::Shared => &[0],
            Families::Separate => &[0, 1],
            Families::Ipv6 | Families::SharedOverIpv6 => &[1],
        };
        for transport in transports {
            self.world.add_session(link, *transport);
            let (extended, several) = (self.rng.bool(), self.chance(30));
            let passive = if self.chance(20) { self.rng.usize(0..2) } else { 2 };
            for (end, node) in nodes.into_iter().enumerate() {
                let Some(peer) = self.world.nodes[node].peers.last_mut() else { continue };
                peer.extended_messages = extended;
                peer.passive = passive == end;
                peer.graceful_restart = random_graceful_restart(&mut self.rng);
                if several {
                    peer.add_path = random_add_path(&mut self.rng);
                }
                if matches!(families, Families::Shared | Families::SharedOverIpv6) {
                    peer.families = vec![AddressFamily::Ipv4, AddressFamily::Ipv6];
                }
                refine(peer, end);
            }
        }
    }

    fn draw_exterior(&mut self) {
        let count = self.systems.len();
        let mut pairs: BTreeMap<(usize, usize), Relation> = BTreeMap::new();
        for system in 1..count {
            let customer = if self.chance(85) { Relation::Customer } else { Relation::Equal };
            pairs.insert((self.rng.usize(0..system), system), customer);
        }
        for _ in 0..self.rng.usize(0..=count) {
            let (a, b) = (self.rng.usize(0..count), self.rng.usize(0..count));
            let relation = if self.rng.bool() { Relation::Customer } else { Relation::Equal };
            if a != b {
                // The provider always has the lower number: nobody is their own provider's provider.
                pairs.entry((a.min(b), a.max(b))).or_insert(relation);
            }
        }
        let mut cables = Vec::new();
        for ((a, b), relation) in pairs {
            for _ in 0..self.rng.usize(1..=2) {
                let ends = [a, b].map(|system| {
                    let routers = &self.systems[system].routers;
                    routers[self.rng.usize(0..routers.len())]
                });
                cables.push((self.world.add_cable(ends, 1), [a, b], relation));
            }
        }
        let takes_med: Vec<bool> = (0..count).map(|system| self.takes_med(system)).collect();
        self.world.meds = takes_med.iter().all(|takes| *takes);
        for (_, [a, b], relation) in cables.iter().filter(|_| self.relations) {
            let (a, b) = (self.systems[*a].asn, self.systems[*b].asn);
            self.world.relations.extend([((a, b), *relation), ((b, a), relation.reverse())]);
        }
        for (cable, systems, relation) in cables {
            self.draw_external_sessions(cable, systems, relation, &takes_med);
        }
    }

    /// MED can only be told to an AS whose routers, each, have but one neighbor AS, or to a single router.
    fn takes_med(&self, system: usize) -> bool {
        let System { asn, routers, reflects } = &self.systems[system];
        let one_neighbor = |router: &usize| {
            let ports = &self.world.nodes[*router].ports;
            let mut asns: Vec<u32> = ports.iter().map(|port| self.world.nodes[port.node].asn).collect();
            asns.retain(|other| other != asn);
            asns.sort_unstable();
            asns.dedup();
            asns.len() <= 1
        };
        routers.len() == 1 || !reflects && routers.iter().all(one_neighbor)
    }

    fn draw_external_sessions(&mut self, cable: usize, systems: [usize; 2], relation: Relation, takes_med: &[bool]) {
        let families = match self.rng.u8(0..10) {
            _ if !self.dual => Families::Ipv4,
            0..4 => Families::Separate,
            4..6 => Families::Shared,
            6..8 => Families::SharedOverIpv6,
            8 => Families::Ipv4,
            _ => Families::Ipv6,
        };
        // What the AS at the other end is to this one.
        let other_is = [relation, relation.reverse()];
        let mut rng = self.rng.fork();
        let (relations, roles, alters) = (self.relations, self.roles, self.alters);
        self.add_sessions(cable, families, |peer, end| {
            let to_is_provider_like = other_is[end] != Relation::Customer;
            let mut export = random_rules(&mut rng, takes_med[systems[1 - end]]);
            if roles || relations && rng.u8(0..100) < 25 {
                peer.role = Some(other_is[end].role());
            }
            peer.drains = relations && to_is_provider_like;
            if alters {
                // Paths lose what loops are found by. Where routes never go up again, none come of it.
                peer.allow_as_in = if rng.u8(0..100) < 20 { rng.u8(1..3) } else { 0 };
                peer.remove_private_as = rng.u8(0..100) < 20;
                peer.as_override = rng.u8(0..100) < 20;
            }
            let forgets = roles && rng.bool();
            if relations && to_is_provider_like && !forgets {
                export.deny_marks = vec![Relation::Equal.mark(), Relation::Provider.mark()];
            }
            let mut import = Rules::default();
            if relations {
                // Below the default, which routes of the AS's own have within it.
                let class = match other_is[end] {
                    Relation::Customer => 90,
                    Relation::Equal => 80,
                    Relation::Provider => 70,
                };
                import.unmark = true;
                import.add = vec![other_is[end].mark()];
                import.local_pref = Some(class + rng.u32(0..3));
            }
            if rng.u8(0..100) < 15 {
                import.deny = random_prefixes(&mut rng);
            }
            peer.import = filter(&mut rng, import);
            peer.export = filter(&mut rng, export);
            peer.adj_in = if rng.u8(0..10) < 3 { AdjInKeep::Accepted } else { AdjInKeep::All };
        });
    }
}

fn filter(rng: &mut fastrand::Rng, rules: Rules) -> Filter {
    match rng.u8(0..100) {
        0..4 => Filter::Unset,
        _ if rules == Rules::default() => Filter::Accept,
        _ => Filter::Rules(rules),
    }
}

fn random_graceful_restart(rng: &mut fastrand::Rng) -> GracefulRestart {
    GracefulRestart {
        helper: rng.u8(0..100) < 85,
        restarting: rng.bool(),
        restart_time: Duration::from_secs(rng.u64(1..=RESTART_MAX.as_secs())),
        long_lived: (rng.u8(0..100) < 40).then(|| Duration::from_secs(rng.u64(3..LONG_LIVED_MAX.as_secs()))),
    }
}

pub(super) fn random_add_path(rng: &mut fastrand::Rng) -> AddPath {
    AddPath { receive: rng.u8(0..4) > 0, send: [0, 1, 2, 3, 8][rng.usize(0..5)] }
}

/// What may change of an export policy without harm to the one outcome.
pub(super) fn random_rules(rng: &mut fastrand::Rng, med: bool) -> Rules {
    let mut rules = Rules::default();
    if rng.u8(0..100) < 20 {
        rules.deny = random_prefixes(rng);
    }
    if rng.u8(0..100) < 20 {
        rules.prepend = rng.u8(1..4);
    }
    if rng.u8(0..100) < 5 {
        rules.add = vec![NO_EXPORT];
    }
    if med && rng.u8(0..100) < 40 {
        rules.med = Some(rng.u32(0..4) * 10);
    }
    rules
}

fn random_prefixes(rng: &mut fastrand::Rng) -> Vec<ipnet::IpNet> {
    let mut prefixes: Vec<ipnet::IpNet> = (0..rng.usize(1..4)).map(|_| random_prefix(rng)).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// One of a few prefixes, none within another, so that several routers announce the same and packets follow one prefix.
pub(super) fn random_prefix(rng: &mut fastrand::Rng) -> ipnet::IpNet {
    let text = match rng.u8(0..5) {
        0 => format!("192.0.2.{}/32", rng.u8(0..4)),
        1 => format!("198.51.{}.0/24", rng.u8(100..108)),
        2 => format!("203.0.113.{}/28", rng.u8(0..4) * 16),
        3 => format!("2001:db8:{}::/48", rng.u8(1..6)),
        _ => format!("2001:db8:53::{}/128", rng.u8(1..4)),
    };
    text.parse().expect("a prefix")
}
