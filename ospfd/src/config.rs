//! What an instance is told: areas, interfaces, keys, limits and timers, as plain data. It comes from the daemon's
//! validated configuration; nothing here reads files. Defaults are the ones operators know (RFC 2328 §C) where a
//! neighbor must agree with them, and faster ones where only we are concerned.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rib::AdminDistance;

use crate::id::{AreaId, RouterId, Version};

/// One instance: one version, all its areas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceConfig {
    /// The version it speaks.
    pub version: Version,
    /// Our identity; a change restarts the instance.
    pub router_id: RouterId,
    /// v3: which instance on a link this is (RFC 5340 §2.4); 0 in v2.
    pub instance_id: u8,
    /// The bandwidth of cost 1, in Mbit/s, for interfaces without a configured cost.
    pub reference_bandwidth_mbps: u64,
    /// When we ask others to route around us (RFC 6987).
    pub max_metric: MaxMetric,
    /// Graceful restart (RFC 3623, RFC 5187).
    pub graceful_restart: GracefulRestart,
    /// How much others may make us remember.
    pub limits: Limits,
    /// Distance of our routes in the RIB.
    pub distance: AdminDistance,
    /// Areas, each once.
    pub areas: Vec<AreaConfig>,
    /// Interfaces by name, each once; one that is not here is not spoken on.
    pub interfaces: Vec<InterfaceConfig>,
    /// Pacing of origination and of the route calculation.
    pub pacing: Pacing,
    /// Greater at each start, and by more than the seconds that the last life lasted; the carrier sees to it. The high half of
    /// 64-bit cryptographic sequence numbers (RFC 7474 §2, RFC 7166 §4.1), and where the 32-bit ones begin, which count seconds.
    pub boot_count: u32,
    /// Seeds the jitter and first sequence numbers; nothing else is random.
    pub seed: u64,
    /// We come back from a graceful restart, and so much is left of the grace period.
    pub resume: Option<Duration>,
    /// Neighbors do not know that we restart: they are asked to keep us before our first hello (RFC 3623 §5).
    pub ask_at_start: bool,
}

impl InstanceConfig {
    /// An instance with defaults and no area.
    #[must_use]
    pub fn new(version: Version, router_id: RouterId) -> Self {
        Self {
            version,
            router_id,
            instance_id: 0,
            reference_bandwidth_mbps: 100_000,
            max_metric: MaxMetric::default(),
            graceful_restart: GracefulRestart::default(),
            limits: Limits::default(),
            distance: AdminDistance(110),
            areas: Vec::new(),
            interfaces: Vec::new(),
            pacing: Pacing::default(),
            boot_count: 0,
            seed: 1,
            resume: None,
            ask_at_start: false,
        }
    }
}

/// Stub router advertisement (RFC 6987).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxMetric {
    /// For so long after the start; zero is not at all.
    pub on_startup: Duration,
    /// While draining.
    pub on_drain: bool,
}

impl Default for MaxMetric {
    fn default() -> Self {
        Self { on_startup: Duration::ZERO, on_drain: true }
    }
}

/// Graceful restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// We restart gracefully ourselves.
    pub enabled: bool,
    /// We help neighbors that do.
    pub helper: bool,
    /// How long we ask neighbors to wait for us, and the longest we wait for them.
    pub grace_period: Duration,
}

impl Default for GracefulRestart {
    fn default() -> Self {
        Self { enabled: false, helper: true, grace_period: Duration::from_secs(120) }
    }
}

/// Caps on foreign LSAs; what is over them is not installed, an alarm is raised and adjacencies stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// LSAs in all databases of the instance.
    pub lsas: usize,
    /// LSAs of one originator.
    pub per_origin: usize,
    /// LSAs that came first from one neighbor.
    pub per_neighbor: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lsas: 500_000, per_origin: 100_000, per_neighbor: 200_000 }
    }
}

/// Delays of our own work. The first change always goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Least time between the second and third origination of one LSA; doubles up to `originate_max`.
    pub originate_step: Duration,
    /// Most time between two originations of one LSA: MinLSInterval (RFC 2328 §B).
    pub originate_max: Duration,
    /// A newer copy of an LSA is refused for so long after the last one (MinLSArrival, RFC 2328 §B) when it comes more
    /// often than a back-off of first-at-once senders explains.
    pub min_arrival: Duration,
    /// Longest time an acknowledgment waits for company.
    pub ack_delay: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            originate_step: Duration::from_millis(50),
            originate_max: Duration::from_secs(5),
            min_arrival: Duration::from_secs(1),
            ack_delay: Duration::from_millis(10),
        }
    }
}

/// What an area is (RFC 2328 §3.6, RFC 3101).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AreaKind {
    /// Takes AS-external-LSAs.
    #[default]
    Normal,
    /// Takes none; border routers originate a default route.
    Stub,
    /// Takes none, but has its own externals.
    Nssa,
}

/// One area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaConfig {
    /// Its number.
    pub id: AreaId,
    /// Its kind.
    pub kind: AreaKind,
    /// Stub, NSSA: as its border router, summarize nothing but the default route into it.
    pub no_summary: bool,
    /// Metric of the default route we originate into a stub area or NSSA.
    pub default_cost: u32,
    /// Prefixes summarized towards other areas (RFC 2328 §12.4.3).
    pub ranges: Vec<AreaRange>,
    /// Border routers we keep a virtual link to through this area.
    pub virtual_links: Vec<RouterId>,
    /// Keys of those virtual links that authenticate.
    pub virtual_auth: Vec<(RouterId, Vec<AuthKey>)>,
    /// NSSA: translate whatever the election says (RFC 3101 §2.2 NSSATranslatorRole always).
    pub always_translate: bool,
}

impl AreaConfig {
    /// A normal area.
    #[must_use]
    pub fn new(id: AreaId) -> Self {
        Self {
            id,
            kind: AreaKind::Normal,
            no_summary: false,
            default_cost: 1,
            ranges: Vec::new(),
            virtual_links: Vec::new(),
            virtual_auth: Vec::new(),
            always_translate: false,
        }
    }
}

/// An address range of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaRange {
    /// What it covers.
    pub prefix: IpNet,
    /// Told to other areas; hidden otherwise.
    pub advertise: bool,
    /// Cost to tell; the largest of the parts otherwise.
    pub cost: Option<u32>,
}

/// What a link is (RFC 2328 §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkType {
    /// Many routers, multicast, a Designated Router.
    #[default]
    Broadcast,
    /// Two routers.
    PointToPoint,
    /// Many routers, no multicast, a Designated Router.
    Nbma,
    /// Many routers, each a link of its own.
    PointToMultipoint,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// The kernel's name.
    pub name: String,
    /// The area it is in.
    pub area: AreaId,
    /// What the link is.
    pub network: NetworkType,
    /// Cost; from the bandwidth if absent.
    pub cost: Option<u16>,
    /// Router priority; 0 cannot become Designated Router.
    pub priority: u8,
    /// Announced, but not spoken on.
    pub passive: bool,
    /// Between hellos.
    pub hello_interval: Duration,
    /// A silent neighbor is down after so long.
    pub dead_interval: Duration,
    /// Between retransmissions.
    pub retransmit_interval: Duration,
    /// Added to the age of what is sent (InfTransDelay).
    pub transmit_delay: Duration,
    /// Between hellos to silent NBMA neighbors.
    pub poll_interval: Duration,
    /// Keys: the first sends, all are accepted; empty is no authentication.
    pub auth: Vec<AuthKey>,
    /// Do not compare MTUs.
    pub mtu_ignore: bool,
    /// Accept only packets that were not forwarded (TTL 255).
    pub ttl_security: bool,
    /// Neighbors on NBMA and on point-to-multipoint without multicast.
    pub neighbors: Vec<IpAddr>,
    /// A BFD session with every neighbor.
    pub bfd: Option<BfdConfig>,
}

impl InterfaceConfig {
    /// An interface with defaults.
    #[must_use]
    pub fn new(name: &str, area: AreaId, network: NetworkType) -> Self {
        Self {
            name: name.to_owned(),
            area,
            network,
            cost: None,
            priority: 1,
            passive: false,
            hello_interval: Duration::from_secs(10),
            dead_interval: Duration::from_secs(40),
            retransmit_interval: Duration::from_secs(5),
            transmit_delay: Duration::from_secs(1),
            poll_interval: Duration::from_secs(120),
            auth: Vec::new(),
            mtu_ignore: false,
            ttl_security: false,
            neighbors: Vec::new(),
            bfd: None,
        }
    }
}

/// How fast BFD looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdConfig {
    /// Desired transmit and required receive interval.
    pub interval: Duration,
    /// Missed packets until down.
    pub multiplier: u8,
}

/// How packets are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthKind {
    /// Nothing: among other keys, what is not authenticated is accepted too, for a change to or from authentication.
    None,
    /// v2: a password in clear (RFC 2328 §D.4.1).
    Simple,
    /// v2: keyed MD5 (RFC 2328 §D.4.3).
    Md5,
    /// HMAC-SHA-1 (RFC 5709, RFC 7166).
    HmacSha1,
    /// HMAC-SHA-256.
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthKey {
    /// How it is used.
    pub kind: AuthKind,
    /// Key id (8 bits in v2), or security association id (16 bits in v3).
    pub id: u16,
    /// The secret.
    pub secret: Secret,
    /// v2: with the 64-bit sequence numbers of RFC 7474, which no replay survives, not those of RFC 2328.
    pub extended: bool,
    /// v3: as FRR 8 computes it on most machines, with the octets of the protocol id (RFC 7166 §4.4) the wrong way round.
    pub frr8: bool,
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Keeps `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that computes digests.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}
