//! What goes into an [`Instance`](crate::instance::Instance) and what comes out. Carriers (the daemon's threads, the
//! simulator) move these values; the instance does nothing else.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use ipnet::IpNet;
use rib::RouteBatch;

use crate::config::{BfdConfig, InstanceConfig};
use crate::id::{AreaId, InterfaceId, LsaKey, RouterId};
use crate::lsa::LsaHeader;
use crate::neighbor::NeighborState;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// An OSPF packet, without its IP header.
    Packet {
        /// The interface it came in on.
        interface: InterfaceId,
        /// IP source.
        src: IpAddr,
        /// IP destination.
        dst: IpAddr,
        /// TTL or hop limit on arrival, if the carrier knows it.
        ttl: Option<u8>,
        /// From the OSPF header on, with authentication data.
        bytes: Bytes,
    },
    /// A link has carrier, or is there at all. Repeating it with other facts is a change of them.
    InterfaceUp(Link),
    /// A link lost its carrier or went away.
    InterfaceDown(InterfaceId),
    /// Addresses, MTU or bandwidth of a link changed.
    AddressesChanged(Link),
    /// Routes of other protocols to announce as externals; `None` withdraws.
    Redistribute(Vec<(IpNet, Option<ExternalRoute>)>),
    /// A service's prefix; `None` withdraws it, in this very call.
    Service {
        /// The VIP.
        prefix: IpNet,
        /// How it is announced.
        announce: Option<ServiceRoute>,
    },
    /// Ask others to route around us (RFC 6987), or no longer.
    Drain(bool),
    /// A new configuration; router id and version must be the same (the carrier makes a new instance otherwise).
    Config(Box<InstanceConfig>),
    /// BFD lost a neighbor (RFC 5882 §4).
    BfdDown {
        /// On this interface.
        interface: InterfaceId,
        /// Its address.
        address: IpAddr,
    },
    /// Time passed up to [`deadline`](crate::instance::Instance::deadline).
    Tick,
    /// We stop for good: our LSAs are flushed and neighbors told by an empty hello.
    Shutdown,
    /// We stop and come back: neighbors get grace-LSAs (RFC 3623 §2.1) and keep us.
    PrepareRestart,
    /// Emit [`Event::Lsa`] for every change of a database, or no longer.
    WatchLsdb(bool),
}

/// What the kernel knows of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub id: InterfaceId,
    /// Its name, which the configuration goes by.
    pub name: String,
    /// In octets.
    pub mtu: u16,
    /// For the cost, if known.
    pub bandwidth_mbps: Option<u64>,
    /// Addresses with the length of their prefix, host bits kept, the primary one first; IPv6 link-local ones left out.
    pub addresses: Vec<IpNet>,
    /// The IPv6 link-local address (v3 speaks from it).
    pub link_local: Option<Ipv6Addr>,
    /// A loopback: its addresses are announced as hosts, and nothing is spoken.
    pub loopback: bool,
    /// Without an IPv4 address of its own it sends from this one (an unnumbered link).
    pub borrowed: Option<IpAddr>,
}

/// An external destination we announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalRoute {
    /// Cost, 24 bits.
    pub metric: u32,
    /// Type 2: larger than any cost inside.
    pub type2: bool,
    /// Tag; 0 is none.
    pub tag: u32,
    /// The route's next hop: others are sent there directly if it is on a network of ours that they reach.
    pub forwarding: Option<IpAddr>,
}

/// How a service is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceRoute {
    /// As a stub host route of our router, in every area.
    Stub {
        /// Its cost.
        metric: u16,
    },
    /// As an external.
    External(ExternalRoute),
}

/// Something to do, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a packet.
    Send {
        /// Out of this interface (for a virtual link: where the path to its endpoint starts).
        interface: InterfaceId,
        /// IP source.
        src: IpAddr,
        /// IP destination; multicast or a neighbor's address.
        dst: IpAddr,
        /// TTL or hop limit: 1, or 255 with TTL security and on virtual links.
        ttl: u8,
        /// From the OSPF header on.
        bytes: Bytes,
    },
    /// Changed routes, for the RIB.
    Routes(RouteBatch),
    /// Something an operator must know.
    Alarm(Alarm),
    /// Something that is good to know.
    Event(Event),
    /// A BFD session is wanted with a neighbor, or (`None`) no longer.
    BfdWanted {
        /// On this interface.
        interface: InterfaceId,
        /// With this address.
        address: IpAddr,
        /// How fast.
        session: Option<BfdConfig>,
    },
}

/// The reused buffer that [`handle`](crate::instance::Instance::handle) fills.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// What to do, in order; the carrier drains it.
    pub outputs: Vec<Output>,
}

impl Outbox {
    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }
}

/// What needs an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Another router has our id.
    DuplicateRouterId {
        /// Where it was seen.
        interface: InterfaceId,
        /// Its address.
        address: IpAddr,
        /// The id.
        router: RouterId,
    },
    /// Packets come whose authentication is wrong; the first of the last minute on this interface.
    Authentication {
        /// On this interface.
        interface: InterfaceId,
        /// From this address.
        address: IpAddr,
        /// In this router's name.
        router: RouterId,
        /// What is wrong, in words that say what to do.
        reason: String,
    },
    /// Somebody originates LSAs in our name and does not stop.
    ForeignSelfLsa {
        /// Which.
        key: LsaKey,
    },
    /// A limit of the database is reached; further LSAs are not installed.
    LsdbLimit {
        /// `lsas`, `per_origin` or `per_neighbor`.
        which: &'static str,
        /// The first LSA that was refused.
        key: LsaKey,
        /// The configured number.
        limit: usize,
    },
    /// The limit is no longer reached.
    LsdbLimitCleared {
        /// Which.
        which: &'static str,
    },
    /// An adjacency cannot form; see the reason.
    AdjacencyStuck {
        /// On this interface.
        interface: InterfaceId,
        /// With this router.
        router: RouterId,
        /// Why, in words that say what to do.
        reason: String,
    },
}

/// What is good to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A neighbor went from one state to another.
    Neighbor {
        /// On this interface.
        interface: InterfaceId,
        /// Who.
        router: RouterId,
        /// Its address.
        address: IpAddr,
        /// Before.
        from: NeighborState,
        /// Now.
        to: NeighborState,
        /// Why.
        reason: &'static str,
    },
    /// A database changed (only while watched).
    Lsa {
        /// The area; `None` for AS scope.
        area: Option<AreaId>,
        /// The interface of a link-scoped one.
        interface: Option<InterfaceId>,
        /// Its header now.
        header: LsaHeader,
        /// It left the database.
        gone: bool,
    },
    /// Our graceful restart has ended.
    RestartEnded {
        /// Why.
        reason: &'static str,
    },
    /// We help, or no longer help, a restarting neighbor.
    Helping {
        /// Whom.
        router: RouterId,
        /// Now.
        helping: bool,
        /// Why.
        reason: &'static str,
    },
    /// All our grace-LSAs are acknowledged, or waited for long enough: the carrier may stop.
    ReadyToRestart,
}
