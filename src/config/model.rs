//! The configuration as it is true: validated, complete, every default filled in, no trace of how it was written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bgpd::config::SpeakerConfig;
use bgpd::policy::MetricType;
use ipnet::IpNet;
use rib::{AdminDistance, Discard, Metric, Protocol, Source, Sources};

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
    /// `[ospf]`; `None`: OSPF is not spoken.
    pub ospf: Option<OspfModel>,
    /// `[fib]`.
    pub fib: FibModel,
    /// `[[service]]`, each name and each VIP once.
    pub services: Vec<ServiceSpec>,
    /// `[safety] budget`: most withdrawals by API and operators, and the time they are counted over.
    pub withdrawal_budget: Option<(u32, Duration)>,
}

/// `[ospf]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OspfModel {
    /// One per version that is spoken on some interface. Seed and boot count are the node's to set.
    pub versions: Vec<ospfd::config::InstanceConfig>,
    /// What becomes external routes.
    pub redistribute: Vec<Redistribute>,
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
    /// Where the node keeps what must outlive it.
    pub state_dir: PathBuf,
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

/// Routes of one origin that are given to a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redistribute {
    /// Where they come from.
    pub from: Origin,
    /// Policies, chained.
    pub policy: Vec<String>,
    /// The metric they begin with: MED in BGP, of an external route in OSPF. The route's own if it is not given.
    pub metric: Option<u32>,
    /// How OSPF counts it.
    pub metric_type: MetricType,
    /// The tag they begin with in OSPF.
    pub tag: Option<u32>,
    /// From BGP: those of internal neighbors too.
    pub internal: bool,
}

/// What can be redistributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Configured routes.
    Static,
    /// Prefixes of our interfaces.
    Connected,
    /// Foreign kernel routes.
    Kernel,
    /// Routes of the API.
    Api,
    /// OSPF's, of both versions.
    Ospf,
    /// BGP's.
    Bgp,
}

impl Origin {
    /// The RIB's sources behind the word.
    #[must_use]
    pub const fn sources(self) -> Sources {
        match self {
            Self::Static => Sources::of(&[Source::Static]),
            Self::Connected => Sources::of(&[Source::Connected]),
            Self::Kernel => Sources::of(&[Source::Kernel]),
            Self::Api => Sources::of(&[Source::Api]),
            Self::Ospf => Sources::of(&[Source::OspfV2, Source::OspfV3]),
            Self::Bgp => Sources::of(&[Source::Bgp]),
        }
    }
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
    /// Its metric.
    pub metric: Metric,
    /// Its tag; 0 is none.
    pub tag: u32,
    /// Its gateways are watched: ways whose path is broken are left out (RFC 5882 §4.3).
    pub bfd: Option<bgpd::config::Bfd>,
}

/// Where a configured route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaticTo {
    /// These ways, at least one and at most 64.
    Legs(Vec<StaticLeg>),
    /// Packets are dropped.
    Discard(Discard),
}

impl StaticTo {
    /// The ways that have a gateway, with it.
    pub fn gateways(&self) -> impl Iterator<Item = (&StaticLeg, IpAddr)> {
        let legs = match self {
            Self::Legs(legs) => legs.as_slice(),
            Self::Discard(_) => &[],
        };
        legs.iter().filter_map(|leg| Some((leg, leg.gateway?)))
    }
}

/// One way of a configured route: a gateway, an interface, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticLeg {
    /// The gateway; without it the destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// The interface's name; without it the gateway is looked up.
    pub interface: Option<String>,
    /// The gateway counts as on the link whatever the addresses there.
    pub onlink: bool,
    /// Share of the traffic, 1 to 256.
    pub weight: u16,
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
    /// `ospf_intra`, or `ospf`.
    pub ospf_intra: AdminDistance,
    /// `ospf_inter`, or `ospf`.
    pub ospf_inter: AdminDistance,
    /// `ospf_external`, or `ospf`.
    pub ospf_external: AdminDistance,
    /// `ospf_nssa`, or `ospf`.
    pub ospf_nssa: AdminDistance,
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
            ospf_intra: Protocol::OspfIntra.default_distance(),
            ospf_inter: Protocol::OspfInter.default_distance(),
            ospf_external: Protocol::OspfExternal.default_distance(),
            ospf_nssa: Protocol::OspfNssa.default_distance(),
        }
    }
}

impl Distances {
    /// The distance of routes of `protocol`.
    #[must_use]
    pub const fn of(&self, protocol: Protocol) -> AdminDistance {
        match protocol {
            Protocol::Connected => Protocol::Connected.default_distance(),
            Protocol::Static => self.statics,
            Protocol::Service => self.service,
            Protocol::Api => self.api,
            Protocol::Ebgp => self.ebgp,
            Protocol::Ibgp => self.ibgp,
            Protocol::OspfIntra => self.ospf_intra,
            Protocol::OspfInter => self.ospf_inter,
            Protocol::OspfExternal => self.ospf_external,
            Protocol::OspfNssa => self.ospf_nssa,
            Protocol::Kernel => self.kernel,
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
    /// `[fib.xdp]`.
    pub xdp: XdpModel,
    /// `[fib.dpdk]`.
    pub dpdk: DpdkModel,
    /// `[fib.fpm]`.
    pub fpm: FpmModel,
}

/// A kind of data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The Linux kernel over netlink.
    Kernel,
    /// A program in the drivers of some interfaces.
    Xdp,
    /// An agent in a DPDK process.
    Dpdk,
    /// Whoever listens for forwarding tables.
    Fpm,
    /// A table in memory, for a trial without the privilege: nothing is forwarded.
    Memory,
}

impl Backend {
    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Xdp => "xdp",
            Self::Dpdk => "dpdk",
            Self::Fpm => "fpm",
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

/// `[fib.xdp]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XdpModel {
    /// What the data plane is told.
    pub config: fib_sync::xdp::XdpConfig,
    /// Forwarding goes on at a clean stop.
    pub keep_on_exit: bool,
}

/// `[fib.dpdk]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DpdkModel {
    /// What the data plane is told.
    pub config: fib_sync::dpdk::DpdkConfig,
    /// Forwarding goes on at a clean stop.
    pub keep_on_exit: bool,
}

/// `[fib.fpm]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FpmModel {
    /// Who is told, and how.
    pub config: fib_sync::fpm::FpmConfig,
    /// The receiver keeps our routes at a clean stop.
    pub keep_on_exit: bool,
}
