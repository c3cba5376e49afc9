//! The network: routers, links, and the verbs of stories.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bgpd::speaker::message::{Input, LocalRoute, Query, Reply, SessionState};
use bgpd::wire::attr::Origin;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{IfIndex, Protocol};

use super::clock::{Clock, Event};
use super::internet::Relation;
use super::node::{Node, Port};
use super::plan::Peer;
use super::tcp::Tcp;
use super::unrest::Away;

/// Quiet is: every session as it should be, and nothing but keepalives for so long. Longer than a hold time, so that silence has been
/// noticed, and than any retry of a data plane.
const QUIET: Duration = Duration::from_secs(10);

/// A network that is not quiet after so long never will be.
const SETTLE_MAX: Duration = Duration::from_secs(3600);

/// Lines of the trace that a failure shows.
const TRACE_SHOWN: usize = 60;

/// What connections between two routers run over: a cable, or the way through their AS that interior routing keeps.
#[derive(Clone, Debug)]
pub struct Link {
    /// The routers.
    pub nodes: [usize; 2],
    /// It is a cable; otherwise it falls silent when the AS is torn between the two.
    pub cable: bool,
    /// What interior routing counts it as.
    pub metric: u32,
    /// Time that every chunk takes.
    pub delay: Duration,
    /// Up to so much more, drawn per chunk.
    pub jitter: Duration,
    /// Largest chunk, octets: 1 is a network of single octets.
    pub chunk_max: usize,
    /// Nothing passes, and nobody is told.
    pub silent: bool,
    /// Both ends have carrier.
    pub up: bool,
}

impl Link {
    /// The router at the other end.
    #[must_use]
    pub fn other(&self, node: usize) -> usize {
        if self.nodes[0] == node { self.nodes[1] } else { self.nodes[0] }
    }

    /// Packets get through.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.up && !self.silent
    }
}

/// A line of the trace; written out only if somebody reads it.
enum Line {
    Event(Event),
    Text(String),
}

/// A seeded network in virtual time.
pub struct World {
    seed: u64,
    /// How to run this world again, for failures.
    pub replay: String,
    pub(super) rng: fastrand::Rng,
    pub(super) clock: Clock,
    /// The routers.
    pub nodes: Vec<Node>,
    /// The lines.
    pub links: Vec<Link>,
    pub(super) tcps: Vec<Tcp>,
    /// Messages other than keepalives, and everything nodes count as activity.
    pub(super) activity: u64,
    started: bool,
    pub(super) away: Away,
    hash: DefaultHasher,
    recent: VecDeque<(Duration, Line)>,
    loud: bool,
    /// ASes whose routers count every way through them alike.
    pub flat: BTreeSet<u32>,
    /// ASes whose interior routing carries the networks of external links.
    pub carries_external: BTreeSet<u32>,
    /// Own routes may have a MED.
    pub meds: bool,
    /// What the second AS of a pair is to the first, where routes go from customer to provider and back as business has it.
    pub relations: BTreeMap<(u32, u32), Relation>,
    /// AS numbers are taken out of paths or replaced in them.
    pub alters: bool,
}

impl World {
    /// An empty network whose every accident follows from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            replay: format!("World::seeded({seed}) in the test that failed"),
            rng: fastrand::Rng::with_seed(seed),
            clock: Clock::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            tcps: Vec::new(),
            activity: 0,
            started: false,
            away: Away::new(),
            hash: DefaultHasher::new(),
            recent: VecDeque::new(),
            loud: std::env::var_os("ANYHOP_TRACE").is_some(),
            flat: BTreeSet::new(),
            carries_external: BTreeSet::new(),
            meds: false,
            relations: BTreeMap::new(),
            alters: false,
        }
    }

    /// Adds a router with an AS of its own.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        assert!(!self.started, "routers are added before time begins");
        let index = self.nodes.len();
        self.nodes.push(Node::new(index, name));
        self
    }

    /// Adds a line between two routers, who become neighbors over it.
    #[must_use]
    pub fn link(mut self, a: &str, b: &str) -> Self {
        let nodes = [self.index(a), self.index(b)];
        let link = self.add_cable(nodes, 1);
        self.add_session(link, 0);
        self
    }

    fn add_link(&mut self, nodes: [usize; 2], cable: bool, metric: u32) -> usize {
        let delay = Duration::from_micros(self.rng.u64(100..5_000));
        let jitter = Duration::from_micros(self.rng.u64(0..2_000));
        let chunk_max = self.rng.usize(64..4096);
        self.links.push(Link { nodes, cable, metric, delay, jitter, chunk_max, silent: false, up: true });
        self.links.len() - 1
    }

    /// A cable between two routers: both get a port with an IPv4 and an IPv6 address.
    pub fn add_cable(&mut self, nodes: [usize; 2], metric: u32) -> usize {
        let link = self.add_link(nodes, true, metric);
        let number = u16::try_from(link).expect("a simulated network has under 65,536 links");
        let [high, low] = number.to_be_bytes();
        let v4 = |host: u8| Ipv4Addr::new(10, high, low, host);
        let v6 = |host: u16| Ipv6Addr::new(0xfd00, number, 0, 0, 0, 0, 0, host);
        let networks = [Ipv4Net::new_assert(v4(0), 24).into(), Ipv6Net::new_assert(v6(0), 64).into()];
        let addresses = |end: usize| -> [IpAddr; 2] {
            if end == 0 { [v4(1).into(), v6(1).into()] } else { [v4(2).into(), v6(2).into()] }
        };
        for end in 0..2 {
            let node = &mut self.nodes[nodes[end]];
            let index = IfIndex(u32::try_from(node.ports.len()).expect("few ports") + 1);
            let (local, remote) = (addresses(end), addresses(1 - end));
            node.ports.push(Port { link, index, local, remote, node: nodes[1 - end], networks, up: true });
        }
        link
    }

    /// The way between two routers of an AS, kept by interior routing.
    pub fn add_way(&mut self, nodes: [usize; 2]) -> usize {
        self.add_link(nodes, false, 1)
    }

    /// A session over a link, by IPv4 (0) or IPv6 (1), that accepts and tells everything. Both configurations are at the end of their
    /// routers' lists, to be refined.
    pub fn add_session(&mut self, link: usize, family: usize) {
        let nodes = self.links[link].nodes;
        let addresses = nodes.map(|node| self.nodes[node].address_on(link, family));
        for end in 0..2 {
            let asn = self.nodes[nodes[1 - end]].asn;
            let peer = Peer::new(link, nodes[1 - end], asn, addresses[end], addresses[1 - end]);
            self.nodes[nodes[end]].peers.push(peer);
        }
    }

    /// Routers in a row.
    #[must_use]
    pub fn line<const N: usize>(mut self, names: [&str; N]) -> Self {
        for name in names {
            self = self.node(name);
        }
        for pair in names.windows(2) {
            self = self.link(pair[0], pair[1]);
        }
        self
    }

    /// Routers in a circle.
    #[must_use]
    pub fn ring<const N: usize>(self, names: [&str; N]) -> Self {
        self.line(names).link(names[N - 1], names[0])
    }

    /// Every chunk of the link is a single octet.
    #[must_use]
    pub fn octet_by_octet(mut self, a: &str, b: &str) -> Self {
        let link = self.link_between(a, b);
        self.links[link].chunk_max = 1;
        self
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A router's number.
    #[must_use]
    pub fn index(&self, name: &str) -> usize {
        self.nodes.iter().position(|node| node.name == name).unwrap_or_else(|| panic!("there is no router {name}"))
    }

    /// The number of the (first) link between two routers.
    #[must_use]
    pub fn link_between(&self, a: &str, b: &str) -> usize {
        let pair = [self.index(a), self.index(b)];
        let joins = |link: &Link| link.nodes == pair || link.nodes == [pair[1], pair[0]];
        self.links.iter().position(joins).unwrap_or_else(|| panic!("no link joins {a} and {b}"))
    }

    /// A number that is equal for two runs only if everything that happened was.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.hash.finish()
    }

    /// Ends the test with everything needed to see it again.
    pub fn fail(&self, what: &str) -> ! {
        let line = |(at, line): &(Duration, Line)| match line {
            Line::Event(event) => format!("{at:?} {event:?}"),
            Line::Text(text) => format!("{at:?} {text}"),
        };
        let recent: Vec<String> = self.recent.iter().map(line).collect();
        let (seed, replay) = (self.seed, &self.replay);
        panic!(
            "{what}\n  seed {seed} at {:?}; replay: {replay}\n  last events:\n    {}",
            self.clock.elapsed(),
            recent.join("\n    ")
        );
    }

    pub(super) fn record(&mut self, what: impl Hash, line: impl FnOnce() -> String) {
        (self.clock.elapsed(), what).hash(&mut self.hash);
        let line = line();
        if self.loud {
            println!("{:?} {line}", self.clock.elapsed());
        }
        self.remember(Line::Text(line));
    }

    /// As [`Self::record`] for what happens a million times: nothing is written out.
    pub(super) fn record_event(&mut self, event: Event) {
        (self.clock.elapsed(), event).hash(&mut self.hash);
        if self.loud {
            println!("{:?} {event:?}", self.clock.elapsed());
        }
        self.remember(Line::Event(event));
    }

    /// The octets that travel are part of the trace.
    pub(super) fn record_octets(&mut self, octets: &[u8]) {
        self.hash.write(octets);
    }

    fn remember(&mut self, line: Line) {
        if self.recent.len() == TRACE_SHOWN {
            self.recent.pop_front();
        }
        self.recent.push_back((self.clock.elapsed(), line));
    }

    pub(super) fn begin(&mut self) {
        if !self.started {
            self.route_interior();
            for node in 0..self.nodes.len() {
                self.boot(node);
            }
            self.started = true;
        }
    }

    /// Time has begun: a router that is not running is down.
    pub(super) fn has_begun(&self) -> bool {
        self.started
    }

    pub(super) fn boot(&mut self, node: usize) {
        let (now, seed) = (self.clock.now(), self.rng.u64(..));
        let outputs = self.nodes[node].start(now, seed);
        self.carry(node, outputs);
    }

    /// A route of the router's own, as a service announces it.
    pub fn announce(&mut self, name: &str, prefix: &str) -> &mut Self {
        let route = LocalRoute {
            protocol: Protocol::Service,
            origin: Origin::Igp,
            med: None,
            prepend: 0,
            communities: vec![0xFC00_0035],
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            next_hop: None,
        };
        let (node, prefix) = (self.index(name), prefix.parse().expect("a prefix"));
        self.own(node, prefix, Some(Arc::new(route)))
    }

    /// The router's own route is withdrawn.
    pub fn withdraw(&mut self, name: &str, prefix: &str) -> &mut Self {
        let (node, prefix) = (self.index(name), prefix.parse().expect("a prefix"));
        self.own(node, prefix, None)
    }

    pub(super) fn own(&mut self, index: usize, prefix: IpNet, route: Option<Arc<LocalRoute>>) -> &mut Self {
        self.begin();
        let now = self.clock.now();
        let name = self.nodes[index].name.clone();
        self.record((index, prefix, &route), || format!("{name}: own {prefix} {route:?}"));
        let node = &mut self.nodes[index];
        match &route {
            Some(route) => node.announced.insert(prefix, Arc::clone(route)),
            None => node.announced.remove(&prefix),
        };
        node.tell_own(now, prefix, route);
        let outputs = node.pump(now);
        self.activity += 1;
        self.carry(index, outputs);
        self
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) -> &mut Self {
        self.begin();
        let limit = self.clock.elapsed() + time;
        while let Some(event) = self.clock.next(limit) {
            self.happen(event);
        }
        self
    }

    /// Lets time pass until every session that can stand does, no other one does, and nothing but keepalives has been said for a
    /// while; then checks everything that must be true.
    pub fn settle(&mut self) -> &mut Self {
        self.begin();
        let limit = self.clock.elapsed() + SETTLE_MAX;
        let (mut activity, mut since) = (self.total_activity(), self.clock.elapsed());
        loop {
            if self.clock.elapsed() >= limit {
                self.fail(&format!(
                    "the network does not come to rest: {}",
                    self.unsettled().unwrap_or_else(|| "updates go on".into())
                ));
            }
            self.run_for(Duration::from_secs(1));
            self.check_unrest();
            let current = self.total_activity();
            if current != activity {
                (activity, since) = (current, self.clock.elapsed());
            } else if self.clock.elapsed() - since >= QUIET && self.unsettled().is_none() {
                break;
            }
        }
        self.check();
        self
    }

    fn total_activity(&self) -> u64 {
        self.activity + self.nodes.iter().map(|node| node.activity).sum::<u64>()
    }

    /// What is not yet as it must be: a sweep to come, a session that stands and should not, or the other way round.
    fn unsettled(&self) -> Option<String> {
        for node in &self.nodes {
            if node.machines.as_ref().is_some_and(|machines| machines.sweep_at.is_some()) {
                return Some(format!("{} has not swept its data plane yet", node.name));
            }
            if node.machines.as_ref().is_some_and(|machines| machines.sync.has_work()) {
                return Some(format!("{} is still writing to its data plane", node.name));
            }
            if node.machines.as_ref().is_some_and(|machines| machines.sync.view().failed > 0) {
                return Some(format!("{}'s data plane still refuses routes", node.name));
            }
            if let Some(neighbor) = self.keeps_stale(node) {
                return Some(format!("{} keeps stale routes of {neighbor}", node.name));
            }
            for peer in node.peers.iter().filter(|_| node.machines.is_some()) {
                let stands = self.session(node, peer.remote) == Some(SessionState::Established);
                if self.can_stand(peer) != stands {
                    let state = self.session(node, peer.remote);
                    return Some(format!("{}'s session with {} is {state:?}", node.name, peer.remote));
                }
            }
        }
        None
    }

    /// A neighbor whose routes a router keeps though they are not said at present.
    fn keeps_stale(&self, node: &Node) -> Option<IpAddr> {
        match node.machines.as_ref()?.speaker.view(self.clock.now(), &Query::Neighbors(None)) {
            Reply::Neighbors(views) => views.iter().find(|view| view.stale > 0).and_then(|view| view.address),
            _ => None,
        }
    }

    /// Both sides of a session want it, have a family in common and live, and packets pass between them.
    #[must_use]
    pub fn can_stand(&self, peer: &Peer) -> bool {
        let nodes = self.links[peer.link].nodes;
        let alive = nodes.iter().all(|end| self.nodes[*end].machines.is_some());
        let theirs = self.nodes[peer.node].peer_of(peer.local, peer.remote);
        let agreed =
            |theirs: &Peer| theirs.is_wanted() && theirs.families.iter().any(|family| peer.families.contains(family));
        alive && self.links[peer.link].passes() && peer.is_wanted() && theirs.is_some_and(agreed)
    }

    /// The state of a session, if the router lives and has that neighbor.
    #[must_use]
    pub fn session(&self, node: &Node, neighbor: IpAddr) -> Option<SessionState> {
        let machines = node.machines.as_ref()?;
        match machines.speaker.view(self.clock.now(), &Query::Neighbors(Some(neighbor.into()))) {
            Reply::Neighbors(views) => views.first().map(|view| view.state),
            _ => None,
        }
    }

    /// Fails unless the router's data plane or its own services hold the prefix.
    pub fn expect_route(&mut self, name: &str, prefix: &str) -> &mut Self {
        if !self.has_route(name, prefix) {
            self.fail(&format!("{name} should have a route to {prefix}"));
        }
        self
    }

    /// Fails if the router has a route to the prefix.
    pub fn expect_no_route(&mut self, name: &str, prefix: &str) -> &mut Self {
        if self.has_route(name, prefix) {
            self.fail(&format!("{name} should have no route to {prefix}"));
        }
        self
    }

    fn has_route(&self, name: &str, prefix: &str) -> bool {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        let node = &self.nodes[self.index(name)];
        node.announced.contains_key(&prefix) || node.plane.routes().iter().any(|(held, _)| *held == prefix)
    }

    /// Fails unless packets from the first router to the prefix pass exactly the others, in order.
    pub fn expect_path<const N: usize>(&mut self, names: [&str; N], prefix: &str) -> &mut Self {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        let walked = self.walk(self.index(names[0]), prefix);
        let found: Vec<&str> = walked.iter().map(|node| self.nodes[*node].name.as_str()).collect();
        if found != names {
            self.fail(&format!("the way to {prefix} should be {names:?}, it is {found:?}"));
        }
        self
    }

    /// Gives a speaker an input of any kind.
    pub fn tell(&mut self, name: &str, input: Input) -> &mut Self {
        self.begin();
        let (now, node) = (self.clock.now(), self.index(name));
        let outputs = self.nodes[node].bgp(now, input);
        self.carry(node, outputs);
        self
    }
}
