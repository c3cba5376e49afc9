//! One router: a speaker, a RIB and a data plane, wired as the daemon wires them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgpd::config::SpeakerConfig;
use bgpd::session::ConnId;
use bgpd::speaker::message::{self as bgp, LinkAddress};
use bgpd::speaker::{Progress, Speaker};
use bytes::BytesMut;
use fib_sync::memory::{MemoryBackend, Plane};
use fib_sync::sync::{self, Sync};
use ipnet::IpNet;
use rib::{
    BackendId, FibDelta, IfIndex, Metric, NextHop, NextHopSet, Protocol, Rib, RibConfig, Route, RouteBatch, Source,
};

use super::clock::Life;
use super::plan::{self, Peer};
use super::tcp::{Side, TcpId};

/// The one data plane.
pub const PLANE: BackendId = BackendId(0);

/// What an earlier life left in the data plane is swept this long after a start: the sessions have had time to come back, and until
/// then it forwards as before.
const SWEEP_AFTER: Duration = Duration::from_secs(15);

/// The number of every router's loopback link.
const LOOPBACK: u32 = 1000;

/// Changes pulled for the data plane at once: small, so that batches are seen half done.
const PULL: usize = 16;

/// A port of a router: one end of a cable.
#[derive(Clone, Debug)]
pub struct Port {
    /// The cable.
    pub link: usize,
    /// Its number.
    pub index: IfIndex,
    /// Our addresses: IPv4, IPv6.
    pub local: [IpAddr; 2],
    /// The other router's addresses: IPv4, IPv6.
    pub remote: [IpAddr; 2],
    /// The other router.
    pub node: usize,
    /// The networks that the addresses are in.
    pub networks: [IpNet; 2],
    /// It has carrier.
    pub up: bool,
}

/// What lives from start to crash.
pub struct Machines {
    /// BGP.
    pub speaker: Speaker,
    /// The RIB.
    pub rib: Rib,
    /// The way to the data plane.
    pub sync: Sync,
    /// When what an earlier life left in the data plane is swept, if that is still to come.
    pub sweep_at: Option<Instant>,
    bgp_out: Vec<bgp::Output>,
    rib_out: Vec<rib::message::Output>,
    sync_out: sync::Outbox,
}

/// A router.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its number and life.
    pub life: Life,
    /// The seed of this life.
    pub seed: u64,
    /// Its AS.
    pub asn: u32,
    /// Its BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Its cluster (RFC 4456).
    pub cluster_id: Ipv4Addr,
    /// It tells its AS of its best external path though an internal one is better (draft-ietf-idr-best-external).
    pub best_external: bool,
    /// Most paths used together: external, internal.
    pub multipath: [u16; 2],
    /// Addresses of its own that the interior routing carries: IPv4, IPv6.
    pub loopbacks: [IpAddr; 2],
    /// Its ports.
    pub ports: Vec<Port>,
    /// Its sessions.
    pub peers: Vec<Peer>,
    /// What interior routing says: metric and next hops.
    pub interior: BTreeMap<IpNet, (u32, NextHopSet)>,
    /// What it is to announce, whenever it lives.
    pub announced: BTreeMap<IpNet, Arc<bgp::LocalRoute>>,
    /// What its kernel would hold: it outlives a crash.
    pub plane: Plane,
    /// Its machines, while it lives.
    pub machines: Option<Machines>,
    /// The speaker's connections.
    pub conns: BTreeMap<ConnId, (TcpId, Side)>,
    /// Connections accepted in this life.
    pub accepted: u64,
    /// Its data plane has been forwarding since its last life: it says so when it comes back (RFC 4724 §4.1).
    pub forwarding: bool,
    /// When it is to be woken, if a wake is scheduled.
    pub wake_at: Option<Duration>,
    /// Routes given to the RIB, and sessions gained or lost: anything that is not keeping alive.
    pub activity: u64,
    /// Octets it reads per second, unless it reads at once.
    pub read_rate: Option<u32>,
}

impl Node {
    /// A router that is not running.
    #[must_use]
    pub fn new(node: usize, name: &str) -> Self {
        let number = u8::try_from(node + 1).expect("a simulated network has under 255 routers");
        Self {
            name: name.to_owned(),
            life: Life { node, life: 0 },
            seed: 0,
            asn: 64512 + u32::from(number),
            router_id: Ipv4Addr::new(192, 0, 0, number),
            cluster_id: Ipv4Addr::new(192, 0, 0, number),
            best_external: false,
            multipath: [1, 1],
            loopbacks: [
                Ipv4Addr::new(172, 16, 0, number).into(),
                Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, u16::from(number)).into(),
            ],
            ports: Vec::new(),
            peers: Vec::new(),
            interior: BTreeMap::new(),
            announced: BTreeMap::new(),
            plane: Plane::new(),
            machines: None,
            conns: BTreeMap::new(),
            accepted: 0,
            forwarding: false,
            wake_at: None,
            activity: 0,
            read_rate: None,
        }
    }

    /// What the speaker is to be configured with.
    #[must_use]
    pub fn config(&self, seed: u64) -> SpeakerConfig {
        SpeakerConfig {
            cluster_id: self.cluster_id,
            multipath_ebgp: self.multipath[0],
            multipath_ibgp: self.multipath[1],
            multipath_relax: true,
            best_external: self.best_external,
            policies: Arc::new(plan::policies(&self.peers)),
            neighbors: self.peers.iter().filter(|peer| peer.configured).map(Peer::config).collect(),
            restarting: self.forwarding && self.peers.iter().any(|peer| peer.graceful_restart.restarting),
            seed,
            ..SpeakerConfig::new(self.asn, self.router_id)
        }
    }

    /// Starts the router: ports, own routes, sessions.
    pub fn start(&mut self, now: Instant, seed: u64) -> Vec<bgp::Output> {
        let mut bgp_out = Vec::new();
        self.seed = seed;
        let speaker = Speaker::new(now, self.config(seed), &mut bgp_out);
        let mut rib = Rib::new(RibConfig::default());
        rib.add_standalone_backend(PLANE);
        let sync = Sync::new(PLANE, Box::new(MemoryBackend::new(self.plane.clone())));
        let sync_out = sync::Outbox::default();
        self.machines = Some(Machines {
            speaker,
            rib,
            sync,
            sweep_at: Some(now + SWEEP_AFTER),
            bgp_out,
            rib_out: Vec::new(),
            sync_out,
        });
        for port in self.ports.clone() {
            self.tell_port(now, &port);
        }
        let addresses = bgp::Input::Addresses(self.addresses());
        if let Some(machines) = &mut self.machines {
            machines.speaker.handle(now, addresses, &mut machines.bgp_out);
        }
        let interior = std::mem::take(&mut self.interior);
        self.tell_interior(now, interior);
        for (prefix, route) in self.announced.clone() {
            self.tell_own(now, prefix, Some(route));
        }
        self.pump(now)
    }

    /// The RIB learns of a port's state.
    pub fn tell_port(&mut self, now: Instant, port: &Port) {
        let Some(machines) = &mut self.machines else { return };
        let mut batch = RouteBatch::new(Source::Connected);
        for network in port.networks {
            if port.up {
                batch.add(network, own_route(Protocol::Connected, NextHop::Interface(port.index)));
            } else {
                batch.remove(network);
            }
        }
        let interface = rib::message::Input::Interface { index: port.index, up: port.up };
        machines.rib.handle(now, interface, &mut machines.rib_out);
        machines.rib.handle(now, rib::message::Input::Routes(batch), &mut machines.rib_out);
    }

    /// The RIB learns what interior routing says now.
    pub fn tell_interior(&mut self, now: Instant, interior: BTreeMap<IpNet, (u32, NextHopSet)>) {
        let before = std::mem::replace(&mut self.interior, interior);
        let Some(machines) = &mut self.machines else { return };
        let mut batch = RouteBatch::new(Source::OspfV2);
        for gone in before.keys().filter(|prefix| !self.interior.contains_key(prefix)) {
            batch.remove(*gone);
        }
        for (prefix, way) in self.interior.iter().filter(|(prefix, way)| before.get(prefix) != Some(way)) {
            batch.add(
                *prefix,
                Route {
                    protocol: Protocol::OspfIntra,
                    distance: Protocol::OspfIntra.default_distance(),
                    metric: Metric(way.0),
                    tag: 0,
                    next_hops: way.1.clone(),
                },
            );
        }
        machines.rib.handle(now, rib::message::Input::Routes(batch), &mut machines.rib_out);
    }

    /// The speaker and the RIB learn of a route of our own.
    pub fn tell_own(&mut self, now: Instant, prefix: IpNet, route: Option<Arc<bgp::LocalRoute>>) {
        let Some(machines) = &mut self.machines else { return };
        let present = route.is_some();
        let mut batch = RouteBatch::new(Source::Service);
        if present {
            batch.add(prefix, own_route(Protocol::Service, NextHop::Local));
        } else {
            batch.remove(prefix);
        }
        let address = sync::Input::LocalAddress { addr: prefix.addr(), present };
        machines.sync.handle(now, address, &mut machines.sync_out);
        machines.rib.handle(now, rib::message::Input::Routes(batch), &mut machines.rib_out);
        let local = bgp::Input::Local(bgp::LocalBatch { changes: vec![(prefix, route)] });
        machines.speaker.handle(now, local, &mut machines.bgp_out);
    }

    /// Gives the speaker an input; what the world has to do comes back.
    pub fn bgp(&mut self, now: Instant, input: bgp::Input) -> Vec<bgp::Output> {
        if let Some(machines) = &mut self.machines {
            machines.speaker.handle(now, input, &mut machines.bgp_out);
        }
        self.pump(now)
    }

    /// One slice of a connection's octets.
    pub fn receive(&mut self, now: Instant, conn: ConnId, buf: &mut BytesMut) -> (Progress, Vec<bgp::Output>) {
        let Some(machines) = &mut self.machines else { return (Progress::Drained, Vec::new()) };
        let progress = machines.speaker.receive(now, conn, buf, &mut machines.bgp_out);
        (progress, self.pump(now))
    }

    /// Carries out what is due.
    pub fn wake(&mut self, now: Instant) -> Vec<bgp::Output> {
        if let Some(machines) = &mut self.machines {
            if machines.speaker.deadline().is_some_and(|at| at <= now) {
                machines.speaker.handle(now, bgp::Input::Work, &mut machines.bgp_out);
            }
            if machines.sweep_at.is_some_and(|at| at <= now) {
                machines.sweep_at = None;
                machines.rib.handle(now, rib::message::Input::FibResync(PLANE), &mut machines.rib_out);
            }
            if machines.sync.has_work() || machines.sync.deadline().is_some_and(|at| at <= now) {
                machines.sync.handle(now, sync::Input::Tick, &mut machines.sync_out);
            }
        }
        self.pump(now)
    }

    /// Somebody else touched a route in the data plane.
    pub fn disturbed(&mut self, now: Instant, prefix: IpNet) -> Vec<bgp::Output> {
        if let Some(machines) = &mut self.machines {
            machines.sync.handle(now, sync::Input::Disturbed(prefix), &mut machines.sync_out);
        }
        self.pump(now)
    }

    /// The next time at which [`Node::wake`] has something to do.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let machines = self.machines.as_ref()?;
        let work = machines.sync.has_work().then_some(now);
        [machines.speaker.deadline(), machines.sync.deadline(), work, machines.sweep_at].into_iter().flatten().min()
    }

    /// Moves outputs to the machine they are for until there are none, as the daemon's channels do; what is for the network comes
    /// back.
    pub fn pump(&mut self, now: Instant) -> Vec<bgp::Output> {
        let mut network = Vec::new();
        let Some(Machines { speaker, rib, sync, bgp_out, rib_out, sync_out, .. }) = &mut self.machines else {
            return network;
        };
        loop {
            let mut idle = true;
            for output in std::mem::take(bgp_out) {
                idle = false;
                match output {
                    bgp::Output::Rib(batch) => {
                        self.activity += 1;
                        rib.handle(now, rib::message::Input::Routes(batch), rib_out);
                    }
                    bgp::Output::Track { add, remove } => {
                        let track = rib::message::Input::Track { client: Source::Bgp, add, remove };
                        rib.handle(now, track, rib_out);
                    }
                    output => network.push(output),
                }
            }
            for output in std::mem::take(rib_out) {
                idle = false;
                match output {
                    rib::message::Output::Reach { client: Source::Bgp, states } => {
                        self.activity += 1;
                        speaker.handle(now, bgp::Input::Reach(states), bgp_out);
                    }
                    rib::message::Output::Answers { through, answers, .. } => {
                        self.activity += 1;
                        let answers = answers.into_iter().map(|answer| (through, answer)).collect();
                        speaker.handle(now, bgp::Input::Answers(answers), bgp_out);
                    }
                    rib::message::Output::Reach { .. } | rib::message::Output::Installed { .. } => {}
                }
            }
            if rib.has_work() {
                idle = false;
                rib.handle(now, rib::message::Input::Work, rib_out);
            }
            if rib.fib_pending(PLANE) {
                // A pull may find nothing to tell and not be the last.
                idle = false;
                let mut delta = FibDelta::default();
                rib.pull_fib(PLANE, PULL, &mut delta);
                if !delta.is_empty() {
                    self.activity += 1;
                    sync.handle(now, sync::Input::Delta(delta), sync_out);
                }
            }
            for progress in sync_out.progress.drain(..) {
                idle = false;
                rib.handle(now, rib::message::Input::Fib(progress), rib_out);
            }
            if idle {
                return network;
            }
        }
    }

    /// The port on whose link `address` is.
    #[must_use]
    pub fn port_towards(&self, address: IpAddr) -> Option<&Port> {
        self.ports.iter().find(|port| port.remote.contains(&address))
    }

    /// Our address on a link, or our loopback's for the way through the AS.
    #[must_use]
    pub fn address_on(&self, link: usize, family: usize) -> IpAddr {
        let port = self.ports.iter().find(|port| port.link == link);
        port.map_or(self.loopbacks[family], |port| port.local[family])
    }

    /// Every address with its link, as the host watch tells it.
    fn addresses(&self) -> Vec<LinkAddress> {
        let ports = self.ports.iter().flat_map(|port| {
            let net = |family: usize| IpNet::new_assert(port.local[family], port.networks[family].prefix_len());
            [0, 1].map(|family| LinkAddress { link: port.index.0, address: net(family) })
        });
        let loopbacks = self.loopbacks.map(|addr| LinkAddress { link: LOOPBACK, address: addr.into() });
        ports.chain(loopbacks).collect()
    }

    /// The session with `remote`.
    #[must_use]
    pub fn peer(&self, remote: IpAddr) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.remote == remote)
    }

    /// The session between two addresses, the other router's first.
    #[must_use]
    pub fn peer_of(&self, remote: IpAddr, local: IpAddr) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.remote == remote && peer.local == local)
    }
}

fn own_route(protocol: Protocol, next_hop: NextHop) -> Route {
    Route { protocol, distance: protocol.default_distance(), metric: Metric(0), tag: 0, next_hops: next_hop.into() }
}
