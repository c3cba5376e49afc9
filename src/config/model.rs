//! The configuration as it is true: validated, complete, every default filled in, no trace of how it was written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bgpd::config::SpeakerConfig;
use ipnet::IpNet;
use rib::{AdminDistance, Protocol};

use crate::anycast::ServiceSpec;

/// Everything a node does.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `[node]`.
    pub node: NodeModel,
    /// `[api]`.
    pub api: Vec<ApiListen>,
    /// `[log]`.
    pub log: LogModel,
    /// `[bgp]`, as far as the speaker does not know it.
    pub bgp: BgpModel,
    /// The speaker: neighbors, policies, sets.
    pub speaker: SpeakerConfig,
    /// `[[static]]`, each prefix once.
    pub statics: Vec<StaticRoute>,
    /// `[rib]`.
    pub distances: Distances,
    /// `[fib]`.
    pub fib: FibModel,
    /// `[[service]]`, each name and each VIP once.
    pub services: Vec<ServiceSpec>,
    /// `[safety] budget`: most withdrawals by API and operators, and the time they are counted over.
    pub withdrawal_budget: Option<(u32, Duration)>,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeModel {
    /// Our AS number.
    pub asn: u32,
    /// BGP Identifier, not zero.
    pub router_id: Ipv4Addr,
    /// Label of this site; may be empty.
    pub site: String,
}

/// An address the API listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiListen {
    /// A Unix socket, absolute path.
    Unix(PathBuf),
    /// A loopback address.
    Tcp(SocketAddr),
}

impl fmt::Display for ApiListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(addr) => write!(f, "{addr}"),
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogModel {
    /// A level or a filter, as in `info` or `info,bgpd=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// What the daemon, not the speaker, does for BGP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpModel {
    /// Addresses listened on.
    pub listen: Vec<SocketAddr>,
    /// What of the RIB is announced.
    pub redistribute: Vec<Redistribute>,
}

/// Routes of one origin that are given to BGP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redistribute {
    /// Where they come from.
    pub from: Protocol,
    /// Policies, chained.
    pub policy: Vec<String>,
}

/// A configured route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// The destination, host bits zero.
    pub prefix: IpNet,
    /// Where to.
    pub to: StaticTo,
    /// Its administrative distance.
    pub distance: AdminDistance,
}

/// Where a configured route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaticTo {
    /// These gateways, over one interface if it is named.
    Via {
        /// Gateways, at least one.
        gateways: Vec<IpAddr>,
        /// The interface's name.
        interface: Option<String>,
    },
    /// The destinations are on this link.
    Interface(String),
    /// Packets are dropped.
    Blackhole,
}

/// How far each protocol is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distances {
    /// `static`.
    pub statics: AdminDistance,
    /// `service`.
    pub service: AdminDistance,
    /// `api`.
    pub api: AdminDistance,
    /// `ebgp`.
    pub ebgp: AdminDistance,
    /// `ibgp`.
    pub ibgp: AdminDistance,
    /// `kernel`.
    pub kernel: AdminDistance,
}

impl Default for Distances {
    fn default() -> Self {
        Self {
            statics: Protocol::Static.default_distance(),
            service: Protocol::Service.default_distance(),
            api: Protocol::Api.default_distance(),
            ebgp: Protocol::Ebgp.default_distance(),
            ibgp: Protocol::Ibgp.default_distance(),
            kernel: Protocol::Kernel.default_distance(),
        }
    }
}

/// `[fib]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibModel {
    /// The data planes by number.
    pub backends: Vec<Backend>,
    /// `[fib.kernel]`.
    pub kernel: KernelModel,
}

/// A kind of data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The Linux kernel over netlink.
    Kernel,
    /// A table in memory, for a trial without the privilege: nothing is forwarded.
    Memory,
}

impl Backend {
    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Memory => "memory",
        }
    }
}

/// `[fib.kernel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelModel {
    /// Routing table.
    pub table: u32,
    /// Priority of our routes.
    pub metric: u32,
    /// `rtm_protocol` that marks our routes.
    pub protocol: u8,
    /// Our routes stay at a clean stop.
    pub keep_on_exit: bool,
    /// Switch the kernel's `nexthop_compat_mode` off.
    pub nexthop_compat_off: bool,
    /// Foreign routes enter the RIB.
    pub learn: bool,
}

impl Default for KernelModel {
    fn default() -> Self {
        Self { table: 254, metric: 20, protocol: 179, keep_on_exit: false, nexthop_compat_off: false, learn: true }
    }
}
