//! A speaker among hand-played neighbors: octets in, octets out, a RIB that knows the way to nearly everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ipnet::IpNet;
use rib::message::{Reach, Reachability};
use rib::{AddressFamily, Metric, Protocol, Route, V4, V6};

use crate::config::{AddPath, NeighborConfig, PolicyRef, RemoteAs, SpeakerConfig};
use crate::session::ConnId;
use crate::speaker::message::{Event, Input, LinkAddress, LocalBatch, LocalRoute, Output, Query, Reply, SessionState};
use crate::speaker::{Progress, Speaker};
use crate::wire::attr::{
    self, AsPath, DecodeContext, EncodeContext, NextHopAttr, Origin, PathAttributes, PeerKind, Segment, SegmentKind,
    Target,
};
use crate::wire::capability::{AddPathMode, Capability};
use crate::wire::header::{self, HEADER_LEN, MessageType};
use crate::wire::nlri::{NlriFamily, PrefixIter};
use crate::wire::open::Open;
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};
use crate::wire::update::{self, Packing};

pub(crate) const OUR_AS: u32 = 64512;

/// The one way to read a clock in these tests: time moves only when a test moves it.
#[allow(clippy::disallowed_methods)] // A starting point is all that is taken from it.
fn start_of_time() -> Instant {
    Instant::now()
}

/// A neighbor played by hand.
pub(crate) struct Fake {
    pub(crate) address: IpAddr,
    pub(crate) asn: u32,
    pub(crate) conn: ConnId,
    pub(crate) kind: PeerKind,
    /// What it was told and not yet told otherwise.
    pub(crate) view: BTreeMap<IpNet, PathAttributes>,
    /// The same in families where it is told several paths, by their identifiers.
    pub(crate) paths: BTreeMap<(IpNet, u32), PathAttributes>,
    /// It reads and writes path identifiers, in IPv4 and IPv6.
    pub(crate) reads_ids: [bool; 2],
    pub(crate) writes_ids: [bool; 2],
    pub(crate) end_of_rib: BTreeSet<AddressFamily>,
    pub(crate) notifications: usize,
    pub(crate) updates: usize,
    pub(crate) refreshes: usize,
    /// ROUTE-REFRESHs it was sent, each with the number of UPDATEs before it.
    pub(crate) marks: Vec<(RefreshKind, usize)>,
    /// The OPEN it was sent.
    pub(crate) open: Option<Open>,
    /// It does not read.
    pub(crate) deaf: bool,
    up: bool,
    /// AS numbers of four octets.
    as4: bool,
}

pub(crate) struct Rig {
    pub(crate) speaker: Speaker,
    pub(crate) config: SpeakerConfig,
    pub(crate) now: Instant,
    pub(crate) fakes: Vec<Fake>,
    pub(crate) rib: BTreeMap<IpNet, Route>,
    /// The way to these; others are reached at cost 0.
    pub(crate) metric: BTreeMap<IpAddr, Option<u32>>,
    pub(crate) tracked: BTreeSet<IpAddr>,
    /// What neighbors offer beside the usual, by their place.
    pub(crate) further: BTreeMap<usize, Vec<Capability>>,
    /// Routes taken back from the shared RIB.
    pub(crate) removed: usize,
    /// Prefixes that the shared RIB was asked about, each with the number of the batch, and the last number.
    pub(crate) asked: BTreeMap<IpNet, u64>,
    pub(crate) asks: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) finished: bool,
    /// What neighbors offer of add-path, by place in the configuration; otherwise all that the configuration has use for.
    pub(crate) offers: BTreeMap<usize, Vec<(AddressFamily, AddPathMode)>>,
    /// Neighbors, by place in the configuration, without AS numbers of four octets.
    pub(crate) two_octets: BTreeSet<usize>,
    /// Neighbors that take IPv6 next hops for IPv4 routes.
    pub(crate) extended_next_hops: BTreeSet<usize>,
    out: Vec<Output>,
    next_conn: u64,
}

fn address(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
}

fn address6(n: u8) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()))
}

/// The same, spoken to over IPv6.
pub(crate) fn neighbor6(n: u8, asn: u32) -> NeighborConfig {
    NeighborConfig { address: address6(n), ..neighbor(n, asn) }
}

pub(crate) fn neighbor(n: u8, asn: u32) -> NeighborConfig {
    let address = address(n);
    NeighborConfig {
        passive: true,
        families: vec![AddressFamily::Ipv4, AddressFamily::Ipv6],
        import: PolicyRef::Chain(vec!["accept".into()]),
        export: PolicyRef::Chain(vec!["accept".into()]),
        ..NeighborConfig::new(address, RemoteAs::Number(asn))
    }
}

pub(crate) fn config(neighbors: Vec<NeighborConfig>) -> SpeakerConfig {
    SpeakerConfig { neighbors, seed: 7, ..SpeakerConfig::new(OUR_AS, Ipv4Addr::new(10, 0, 0, 100)) }
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().expect("tests write prefixes correctly")
}

/// Attributes with this AS_PATH and next hop.
pub(crate) fn attributes(path: &[u32], next_hop: &str) -> PathAttributes {
    let asns = path.iter().copied().collect();
    let next_hop = match next_hop.parse().expect("tests write addresses correctly") {
        IpAddr::V4(addr) => NextHopAttr::V4(addr),
        IpAddr::V6(global) => NextHopAttr::V6 { global, link_local: None },
    };
    PathAttributes {
        as_path: AsPath {
            segments: if path.is_empty() {
                Default::default()
            } else {
                smallvec::smallvec![Segment { kind: SegmentKind::Sequence, asns }]
            },
        },
        ..PathAttributes::local(next_hop)
    }
}

pub(crate) fn service() -> LocalRoute {
    LocalRoute {
        protocol: Protocol::Service,
        origin: Origin::Igp,
        med: None,
        prepend: 0,
        communities: Vec::new(),
        large_communities: Vec::new(),
        extended_communities: Vec::new(),
        next_hop: None,
    }
}

/// An UPDATE that announces `prefixes` with `attributes`, or withdraws them.
pub(crate) fn update(kind: PeerKind, prefixes: &[IpNet], attributes: Option<&PathAttributes>) -> BytesMut {
    let routes: Vec<_> = prefixes.iter().map(|prefix| (0, *prefix)).collect();
    update_with_ids(kind, [false; 2], &routes, attributes)
}

/// The same, with path identifiers in the families that have them.
pub(crate) fn update_with_ids(
    kind: PeerKind,
    ids: [bool; 2],
    routes: &[(u32, IpNet)],
    attributes: Option<&PathAttributes>,
) -> BytesMut {
    let mut buf = BytesMut::new();
    let v4: Vec<_> =
        routes.iter().filter_map(|(id, p)| if let IpNet::V4(p) = p { Some((*id, *p)) } else { None }).collect();
    let v6: Vec<_> =
        routes.iter().filter_map(|(id, p)| if let IpNet::V6(p) = p { Some((*id, *p)) } else { None }).collect();
    let p4 = Packing { add_path: ids[0], ..Packing::new(AddressFamily::Ipv4) };
    let p6 = Packing { add_path: ids[1], ..Packing::new(AddressFamily::Ipv6) };
    let Some(attributes) = attributes else {
        update::encode_unreach::<V4>(v4, &p4, &mut buf);
        update::encode_unreach::<V6>(v6, &p6, &mut buf);
        return buf;
    };
    let mut encoded = BytesMut::new();
    if !v4.is_empty() {
        let plain = matches!(attributes.next_hop, NextHopAttr::V4(_));
        let p4 = Packing { plain, ..p4 };
        attributes.encode(&mut encoded, &EncodeContext { as4: true, peer: kind, plain });
        update::encode_reach::<V4>(&encoded, &attributes.next_hop, v4, &p4, &mut buf).expect("fits");
    }
    encoded.clear();
    if !v6.is_empty() {
        attributes.encode(&mut encoded, &EncodeContext { as4: true, peer: kind, plain: false });
        update::encode_reach::<V6>(&encoded, &attributes.next_hop, v6, &p6, &mut buf).expect("fits");
    }
    buf
}

impl Rig {
    /// A speaker with these neighbors; none has connected.
    pub(crate) fn new(config: SpeakerConfig) -> Self {
        let now = start_of_time();
        let mut out = Vec::new();
        let mut speaker = Speaker::new(now, config.clone(), &mut out);
        let addresses = ["10.0.0.100/24", "2001:db8::100/64"];
        let addresses = addresses.map(|address| LinkAddress { link: 2, address: net(address) });
        speaker.handle(now, Input::Addresses(addresses.into()), &mut out);
        Self {
            speaker,
            config,
            now,
            fakes: Vec::new(),
            rib: BTreeMap::new(),
            metric: BTreeMap::new(),
            tracked: BTreeSet::new(),
            further: BTreeMap::new(),
            removed: 0,
            asked: BTreeMap::new(),
            asks: 0,
            events: Vec::new(),
            finished: false,
            offers: BTreeMap::new(),
            two_octets: BTreeSet::new(),
            extended_next_hops: BTreeSet::new(),
            out,
            next_conn: 0,
        }
    }

    /// A speaker with these neighbors, all sessions established and quiet.
    pub(crate) fn up(config: SpeakerConfig) -> Self {
        let mut rig = Self::new(config);
        for at in 0..rig.config.neighbors.len() {
            rig.connect(at);
        }
        rig.settle();
        rig
    }

    /// The neighbor with this place in the configuration connects and opens.
    pub(crate) fn connect(&mut self, at: usize) {
        let neighbor = &self.config.neighbors[at];
        let RemoteAs::Number(asn) = neighbor.remote_as else { panic!("tests name AS numbers") };
        let member = |members: &crate::config::Confederation| members.members.contains(&asn);
        let kind = match &self.config.confederation {
            _ if asn == neighbor.local_asn.unwrap_or(OUR_AS) => PeerKind::Internal,
            Some(confederation) if member(confederation) => PeerKind::Confed,
            _ => PeerKind::External,
        };
        let as4 = !self.two_octets.contains(&at);
        let conn = ConnId::accepted(self.next_conn);
        self.next_conn += 1;
        let all = || neighbor.families.iter().map(|family| (*family, AddPathMode::Both)).collect();
        let offers: Vec<(AddressFamily, AddPathMode)> = match self.offers.get(&at) {
            Some(offers) => offers.clone(),
            None if neighbor.add_path == AddPath::default() => Vec::new(),
            None => all(),
        };
        let of = |mode: fn(AddPathMode) -> bool| {
            [AddressFamily::Ipv4, AddressFamily::Ipv6]
                .map(|family| offers.iter().any(|(of, offered)| *of == family && mode(*offered)))
        };
        let fake = Fake {
            address: neighbor.address,
            asn,
            conn,
            kind,
            view: BTreeMap::new(),
            paths: BTreeMap::new(),
            reads_ids: of(AddPathMode::receives).map(|offered| offered && neighbor.add_path.send > 0),
            writes_ids: of(AddPathMode::sends).map(|offered| offered && neighbor.add_path.receive),
            end_of_rib: BTreeSet::new(),
            notifications: 0,
            updates: 0,
            refreshes: 0,
            marks: Vec::new(),
            open: None,
            deaf: false,
            up: true,
            as4,
        };
        let (router_id, local) = match neighbor.address {
            IpAddr::V4(address) => (address, "10.0.0.100:179"),
            IpAddr::V6(address) => (Ipv4Addr::new(10, 0, 0, address.octets()[15]), "[2001:db8::100]:179"),
        };
        let mut capabilities: Vec<Capability> =
            neighbor.families.iter().map(|family| Capability::MultiProtocol((*family).into())).collect();
        capabilities.extend([Capability::RouteRefresh, Capability::ExtendedMessages]);
        capabilities.extend(as4.then_some(Capability::FourOctetAs(asn)));
        if self.extended_next_hops.contains(&at) {
            let list = vec![(crate::wire::AfiSafi::IPV4_UNICAST, crate::wire::family::AFI_IPV6)];
            capabilities.push(Capability::ExtendedNextHop(list));
        }
        if !offers.is_empty() {
            capabilities
                .push(Capability::AddPath(offers.iter().map(|(family, mode)| ((*family).into(), *mode)).collect()));
        }
        capabilities.extend(self.further.get(&at).into_iter().flatten().cloned());
        let open = Open { asn, hold_secs: 90, router_id, capabilities };
        match self.fakes.iter().position(|known| known.address == fake.address) {
            Some(known) => self.fakes[known] = fake,
            None => self.fakes.push(fake),
        }
        let remote = SocketAddr::new(neighbor.address, 40_000);
        let local = local.parse().expect("an address");
        self.input(Input::Accepted { conn, remote, local, interface: None });
        let mut octets = BytesMut::from(&open.to_bytes()[..]);
        octets.extend_from_slice(&header::keepalive());
        self.octets(conn, octets);
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.speaker.handle(self.now, input, &mut self.out);
    }

    fn octets(&mut self, conn: ConnId, mut octets: BytesMut) {
        while self.speaker.receive(self.now, conn, &mut octets, &mut self.out) == Progress::More {}
    }

    /// What the neighbor wrote is read; how often in a row the speaker was asked to take from it and took nothing.
    pub(crate) fn receive(&mut self, n: u8, mut octets: BytesMut) -> Vec<usize> {
        let conn = self.fake(n).conn;
        let mut waits = vec![0];
        loop {
            let before = octets.len();
            let progress = self.speaker.receive(self.now, conn, &mut octets, &mut self.out);
            match waits.last_mut() {
                Some(in_a_row) if octets.len() == before => *in_a_row += 1,
                _ => waits.push(0),
            }
            if progress == Progress::Drained {
                return waits;
            }
        }
    }

    fn at(&self, n: u8) -> usize {
        let addresses = [address(n), address6(n)];
        self.fakes.iter().position(|f| addresses.contains(&f.address)).expect("a known neighbor")
    }

    pub(crate) fn fake(&mut self, n: u8) -> &mut Fake {
        let at = self.at(n);
        &mut self.fakes[at]
    }

    pub(crate) fn send(&mut self, n: u8, octets: BytesMut) -> &mut Self {
        let conn = self.fake(n).conn;
        self.octets(conn, octets);
        self
    }

    pub(crate) fn announce(&mut self, n: u8, prefix: &str, attributes: &PathAttributes) -> &mut Self {
        self.announce_path(n, 0, prefix, attributes)
    }

    pub(crate) fn announce_path(&mut self, n: u8, id: u32, prefix: &str, attributes: &PathAttributes) -> &mut Self {
        self.say(n, &[(id, net(prefix))], Some(attributes))
    }

    /// The neighbor announces or withdraws, with path identifiers where its session has them.
    pub(crate) fn say(&mut self, n: u8, routes: &[(u32, IpNet)], attributes: Option<&PathAttributes>) -> &mut Self {
        let fake = self.fake(n);
        let octets = update_with_ids(fake.kind, fake.writes_ids, routes, attributes);
        self.send(n, octets)
    }

    pub(crate) fn withdraw(&mut self, n: u8, prefix: &str) -> &mut Self {
        self.say(n, &[(0, net(prefix))], None)
    }

    pub(crate) fn local(&mut self, prefix: &str, route: Option<LocalRoute>) -> &mut Self {
        self.input(Input::Local(LocalBatch { changes: vec![(net(prefix), route.map(Arc::new))] }));
        self
    }

    /// The neighbor's connection fails.
    pub(crate) fn lose(&mut self, n: u8) -> &mut Self {
        let fake = self.fake(n);
        fake.up = false;
        fake.view.clear();
        fake.paths.clear();
        let conn = fake.conn;
        self.input(Input::Closed { conn });
        self
    }

    /// The way to `addr` is there or not from now on.
    pub(crate) fn reach(&mut self, addr: &str, metric: Option<u32>) -> &mut Self {
        let addr = addr.parse().expect("an address");
        self.metric.insert(addr, metric);
        self.input(Input::Reach(vec![Reachability { addr, reach: metric.map(way) }]));
        self
    }

    /// Runs everything until nothing moves: work, the RIB's answers, and every neighbor that reads.
    pub(crate) fn settle(&mut self) -> &mut Self {
        loop {
            let mut moved = !self.out.is_empty();
            for output in std::mem::take(&mut self.out) {
                self.output(output);
            }
            for at in 0..self.fakes.len() {
                moved |= !self.fakes[at].deaf && self.read(at, usize::MAX);
            }
            if self.speaker.deadline().is_some_and(|deadline| deadline <= self.now) {
                self.input(Input::Work);
                moved = true;
            }
            if !moved {
                return self;
            }
        }
    }

    pub(crate) fn later(&mut self, by: Duration) -> &mut Self {
        self.now += by;
        self.input(Input::Work);
        self.settle()
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Rib(batch) => {
                if let Some(number) = batch.ask {
                    self.asks = number;
                    let told = batch.changes.iter().filter(|change| change.route.is_some()).map(|change| change.prefix);
                    self.asked.extend(told.chain(batch.ask_of.iter().copied()).map(|prefix| (prefix, number)));
                }
                for change in batch.changes {
                    match change.route {
                        Some(route) => self.rib.insert(change.prefix, batch.routes[route as usize].clone()),
                        None => {
                            self.removed += 1;
                            self.rib.remove(&change.prefix)
                        }
                    };
                }
            }
            Output::Track { add, remove } => {
                let states = add
                    .iter()
                    .map(|addr| Reachability {
                        addr: *addr,
                        reach: self.metric.get(addr).copied().unwrap_or(Some(0)).map(way),
                    })
                    .collect();
                for addr in &remove {
                    assert!(self.tracked.remove(addr), "only tracked addresses are let go");
                }
                for addr in add {
                    assert!(self.tracked.insert(addr), "an address is tracked once");
                }
                self.input(Input::Reach(states));
            }
            Output::Event(event) => self.events.push(event),
            Output::Close { conn } => {
                if let Some(at) = self.fakes.iter().position(|fake| fake.conn == conn) {
                    while self.read(at, usize::MAX) {}
                    self.fakes[at].up = false;
                    self.fakes[at].view.clear();
                    self.fakes[at].paths.clear();
                }
            }
            Output::Finished => self.finished = true,
            Output::Connect { .. } | Output::Writable { .. } => {}
        }
    }

    /// The neighbor reads about so many octets; true if there were any.
    pub(crate) fn read(&mut self, at: usize, octets: usize) -> bool {
        let mut pieces = Vec::new();
        self.speaker.transmit(self.fakes[at].conn, octets, &mut pieces);
        for piece in &pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let head = header::decode(rest, true).expect("valid header").expect("whole messages");
                assert!(head.length <= rest.len(), "pieces are whole messages");
                let (message, after) = rest.split_at(head.length);
                rest = after;
                self.fakes[at].message(head.kind, &message[HEADER_LEN..]);
            }
        }
        !pieces.is_empty()
    }

    pub(crate) fn view(&self, query: &Query) -> Reply {
        self.speaker.view(self.now, query)
    }

    /// The AS_PATH that neighbor `n` was told for `prefix`.
    pub(crate) fn told(&mut self, n: u8, prefix: &str) -> Option<Vec<u32>> {
        let told = self.fake(n).view.get(&net(prefix))?;
        Some(told.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect())
    }

    /// The state of the session with neighbor `n`.
    pub(crate) fn state(&self, n: u8) -> SessionState {
        let key = IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)).into();
        match self.view(&Query::Neighbors(Some(key))) {
            Reply::Neighbors(views) => views[0].state,
            other => panic!("{other:?}"),
        }
    }

    /// What neighbor `n` was told for `prefix`.
    pub(crate) fn told_attributes(&mut self, n: u8, prefix: &str) -> Option<PathAttributes> {
        self.fake(n).view.get(&net(prefix)).cloned()
    }

    /// Every user of an attribute set accounted for: paths (two each) and told entries.
    pub(crate) fn assert_no_leak(&self) {
        let tables = &self.speaker.tables;
        let mut users = 0;
        let mut count = |received: crate::intern::AttrId, imported: crate::intern::AttrId| {
            users += u64::from(received.is_some()) + u64::from(imported.is_some());
        };
        for dest in (0..tables.shards.v4.end()).map(crate::locrib::DestId).filter(|d| tables.shards.v4.is_used(*d)) {
            tables.shards.v4.paths(dest).for_each(|(_, path)| count(path.received, path.imported));
        }
        for dest in (0..tables.shards.v6.end()).map(crate::locrib::DestId).filter(|d| tables.shards.v6.is_used(*d)) {
            tables.shards.v6.paths(dest).for_each(|(_, path)| count(path.received, path.imported));
        }
        users += tables.groups.iter().flatten().map(|group| group.told_len() as u64).sum::<u64>();
        assert_eq!(tables.store.users(), users, "users of attribute sets");
    }
}

fn way(metric: u32) -> Reach {
    Reach { metric: Metric(metric), protocol: Protocol::Static, connected: false }
}

impl Fake {
    fn message(&mut self, kind: MessageType, body: &[u8]) {
        match kind {
            MessageType::Update => self.update(body),
            MessageType::Open => self.open = Some(Open::decode(body).expect("a valid OPEN")),
            MessageType::Notification => self.notifications += 1,
            MessageType::RouteRefresh => {
                self.refreshes += 1;
                let refresh = RouteRefresh::decode(body, true).expect("a valid ROUTE-REFRESH");
                self.marks.push((refresh.kind, self.updates));
            }
            _ => {}
        }
    }

    fn update(&mut self, body: &[u8]) {
        self.updates += 1;
        let body = update::split(body).expect("a valid UPDATE");
        if let Some(family) = body.end_of_rib() {
            self.end_of_rib.extend(family.unicast());
            return;
        }
        let scan = attr::scan(body.attributes).expect("valid attributes");
        self.withdrawn(AddressFamily::Ipv4, body.withdrawn);
        if let Some(unreach) = scan.mp_unreach {
            self.withdrawn(unreach.family.unicast().expect("a known family"), unreach.nlri);
        }
        let context = DecodeContext { as4: self.as4, extended_next_hop: true, ..DecodeContext::new(self.kind) };
        if !body.nlri.is_empty() {
            let decoded = attr::decode(&scan, &context, Target::Plain).expect("attributes without fault");
            assert!(decoded.discarded.is_empty(), "{:?}", decoded.discarded);
            self.announced(AddressFamily::Ipv4, body.nlri, &decoded.attributes);
        }
        if let Some(reach) = scan.mp_reach {
            let decoded = attr::decode(&scan, &context, Target::Mp).expect("attributes without fault");
            self.announced(reach.family.unicast().expect("a known family"), reach.nlri, &decoded.attributes);
        }
    }

    fn reads_ids_of(&self, family: AddressFamily) -> bool {
        self.reads_ids[usize::from(family == AddressFamily::Ipv6)]
    }

    fn withdrawn(&mut self, family: AddressFamily, field: &[u8]) {
        let ids = self.reads_ids_of(family);
        for (id, prefix) in prefixes(family, field, ids) {
            if ids {
                assert!(self.paths.remove(&(prefix, id)).is_some(), "path {id} of {prefix} was never told");
            } else {
                self.view.remove(&prefix);
            }
        }
    }

    fn announced(&mut self, family: AddressFamily, field: &[u8], attributes: &PathAttributes) {
        let ids = self.reads_ids_of(family);
        for (id, prefix) in prefixes(family, field, ids) {
            if ids {
                self.paths.insert((prefix, id), attributes.clone());
            } else {
                self.view.insert(prefix, attributes.clone());
            }
        }
    }
}

fn prefixes(family: AddressFamily, field: &[u8], ids: bool) -> Vec<(u32, IpNet)> {
    fn read<F: NlriFamily>(field: &[u8], ids: bool) -> Vec<(u32, IpNet)> {
        let routes = PrefixIter::<F>::new(field, ids).map(|route| route.expect("valid NLRI"));
        routes.map(|(id, prefix)| (id, F::net(prefix))).collect()
    }
    match family {
        AddressFamily::Ipv4 => read::<V4>(field, ids),
        AddressFamily::Ipv6 => read::<V6>(field, ids),
    }
}
