//! The speaker's configuration as plain data: validated, complete, without a trace of the file it came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rib::AddressFamily;

use crate::policy::PolicySet;
use crate::speaker::message::NeighborKey;
pub use crate::wire::capability::Role;

/// Everything a speaker needs to know. Handing a new one to a running speaker is a reload: neighbors whose own part is equal
/// are not touched.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakerConfig {
    /// Our AS number (RFC 6793: four octets).
    pub asn: u32,
    /// BGP Identifier, unique in our AS, not zero (RFC 6286).
    pub router_id: Ipv4Addr,
    /// Cluster identifier for reflection (RFC 4456); the router id unless configured.
    pub cluster_id: Ipv4Addr,
    /// RFC 8212: an eBGP neighbor without policy imports and exports nothing.
    pub require_policy: bool,
    /// Most equal-cost paths from external neighbors.
    pub multipath_ebgp: u16,
    /// Most equal-cost paths from internal neighbors.
    pub multipath_ibgp: u16,
    /// Paths of equal length through different neighbor ASes may be used together.
    pub multipath_relax: bool,
    /// The best external path is told to internal neighbors though an internal one is best.
    pub best_external: bool,
    /// The confederation we are in (RFC 5065); `asn` is then our member AS.
    pub confederation: Option<Confederation>,
    /// Prefixes made of more specific ones.
    pub aggregates: Vec<Aggregate>,
    /// Administrative distance of external routes.
    pub distance_ebgp: u8,
    /// Administrative distance of internal routes.
    pub distance_ibgp: u8,
    /// Hold announcements until every neighbor has sent End-of-RIB, at most this long.
    pub startup_delay: Duration,
    /// Text sent with an administrative shutdown (RFC 9003); may be empty.
    pub shutdown_message: String,
    /// The named policies and sets.
    pub policies: Arc<PolicySet>,
    /// Neighbors, each address or interface once.
    pub neighbors: Vec<NeighborConfig>,
    /// Neighbors that are not known before they connect; the longest range that holds the address counts.
    pub ranges: Vec<NeighborRange>,
    /// We come back from a restart over which forwarding was kept: neighbors are told so (RFC 4724 §4.1).
    pub restarting: bool,
    /// Seed of the jitter in timers.
    pub seed: u64,
}

impl SpeakerConfig {
    /// A speaker without neighbors, with the defaults of everything else.
    #[must_use]
    pub fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        Self {
            asn,
            router_id,
            cluster_id: router_id,
            require_policy: true,
            multipath_ebgp: 1,
            multipath_ibgp: 1,
            multipath_relax: false,
            best_external: false,
            confederation: None,
            aggregates: Vec::new(),
            distance_ebgp: 20,
            distance_ibgp: 200,
            startup_delay: Duration::ZERO,
            shutdown_message: String::new(),
            policies: Arc::default(),
            neighbors: Vec::new(),
            ranges: Vec::new(),
            restarting: false,
            seed: 0,
        }
    }
}

/// A confederation (RFC 5065 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confederation {
    /// The AS number that all the world sees.
    pub id: u32,
    /// The member ASes beside our own.
    pub members: Vec<u32>,
}

/// A prefix announced while a more specific one is there (RFC 4271 §9.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The prefix.
    pub prefix: IpNet,
    /// The more specific ones are not announced.
    pub summary_only: bool,
}

/// Neighbors that are taken as they come.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborRange {
    /// Addresses they may come from.
    pub range: IpNet,
    /// Most of them at a time.
    pub limit: u32,
    /// What each is like; its address is not looked at, and it is passive.
    pub template: NeighborConfig,
}

/// A limit on what a neighbor may announce, per family (RFC 4486 §4, subcode 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPrefix {
    /// Prefixes; one more ends the session.
    pub limit: u32,
    /// Prefixes from which on people are warned; at most `limit`.
    pub warn: u32,
    /// The session may come up again after so long; `None`: when an operator says so.
    pub restart: Option<Duration>,
}

/// Several paths to a prefix (RFC 7911).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddPath {
    /// The neighbor may send several.
    pub receive: bool,
    /// The neighbor is sent so many at most; 0: only the best, without path identifiers.
    pub send: u16,
}

/// BFD towards a neighbor (RFC 5882 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bfd {
    /// Desired transmit and required receive interval.
    pub interval: Duration,
    /// Packets missed until the path is down; not zero.
    pub multiplier: u8,
    /// Over several hops (RFC 5883) or over one (RFC 5881); `None`: by what is known of the neighbor.
    pub multihop: Option<bool>,
}

impl Default for Bfd {
    fn default() -> Self {
        Self { interval: Duration::from_millis(300), multiplier: 3, multihop: None }
    }
}

/// Graceful restart (RFC 4724, RFC 8538, RFC 9494).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// The neighbor's routes are kept while it restarts.
    pub helper: bool,
    /// The neighbor is asked to keep ours while we restart.
    pub restarting: bool,
    /// How long we need to come back, whole seconds below 4096.
    pub restart_time: Duration,
    /// How long stale routes may be kept after that (RFC 9494); `None`: no longer.
    pub long_lived: Option<Duration>,
}

impl Default for GracefulRestart {
    /// Helper only.
    fn default() -> Self {
        Self { helper: true, restarting: false, restart_time: Duration::from_secs(120), long_lived: None }
    }
}

/// A password. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The password itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which AS a neighbor may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAs {
    /// Exactly this one.
    Number(u32),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

/// The policies of one direction, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyRef {
    /// Nothing configured: RFC 8212 decides for external neighbors, all for internal ones.
    Unset,
    /// The named policies, chained; names have been checked against the set. `accept` and `reject` are built in.
    Chain(Vec<String>),
}

/// What is kept of what a neighbor said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjInKeep {
    /// Everything: a policy change needs no route refresh.
    All,
    /// Only what the import policy accepted.
    Accepted,
}

/// One neighbor.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborConfig {
    /// Its address; unspecified for a neighbor that is found on an interface.
    pub address: IpAddr,
    /// The interface it is found on (unnumbered), or that its link-local address belongs to.
    pub interface: Option<Arc<str>>,
    /// TCP port dialled.
    pub port: u16,
    /// The AS it must be in.
    pub remote_as: RemoteAs,
    /// Our AS towards it, if not the speaker's.
    pub local_asn: Option<u32>,
    /// The address we speak from.
    pub local_address: Option<IpAddr>,
    /// For people.
    pub description: String,
    /// Never dial, only listen.
    pub passive: bool,
    /// Administratively up.
    pub enabled: bool,
    /// Proposed hold time: zero or at least 3 s (RFC 4271 §4.2).
    pub hold_time: Duration,
    /// Wait between attempts to connect, before back-off.
    pub connect_retry: Duration,
    /// Families offered.
    pub families: Vec<AddressFamily>,
    /// Import policy.
    pub import: PolicyRef,
    /// Export policy.
    pub export: PolicyRef,
    /// What is kept of its routes.
    pub adj_in: AdjInKeep,
    /// Set our address as next hop on internal sessions.
    pub next_hop_self: bool,
    /// It is our route-reflection client (RFC 4456).
    pub route_reflector_client: bool,
    /// Offer messages of up to 65,535 octets (RFC 8654).
    pub extended_messages: bool,
    /// Hops allowed to an external neighbor that is not on our link; `None` = directly connected.
    pub multihop: Option<u8>,
    /// Its packets must have come over at most so many hops (GTSM, RFC 5082).
    pub ttl_security: Option<u8>,
    /// TCP-MD5 (RFC 2385).
    pub password: Option<Secret>,
    /// Our role towards it (RFC 9234).
    pub role: Option<Role>,
    /// How much it may announce.
    pub max_prefix: Option<MaxPrefix>,
    /// It is our route server client (RFC 7947).
    pub route_server_client: bool,
    /// Several paths to a prefix.
    pub add_path: AddPath,
    /// Graceful restart.
    pub graceful_restart: GracefulRestart,
    /// It is told a default route of ours.
    pub default_originate: bool,
    /// Times our AS may be in the AS_PATH of what it says.
    pub allow_as_in: u8,
    /// Private AS numbers are taken out of the AS_PATH (RFC 6996).
    pub remove_private_as: bool,
    /// Its AS in the AS_PATH is replaced by ours.
    pub as_override: bool,
    /// It is told only of routes that every data plane holds.
    pub advertise_only_installed: bool,
    /// The session falls when BFD says that the path is broken; the carrier's owner runs BFD and sends
    /// [`Command::PathDown`](crate::speaker::message::Command::PathDown).
    pub bfd: Option<Bfd>,
}

impl NeighborConfig {
    /// A neighbor with the defaults of everything else.
    #[must_use]
    pub fn new(address: IpAddr, remote_as: RemoteAs) -> Self {
        Self {
            address,
            interface: None,
            port: 179,
            remote_as,
            local_asn: None,
            local_address: None,
            description: String::new(),
            passive: false,
            enabled: true,
            hold_time: Duration::from_secs(90),
            connect_retry: Duration::from_secs(5),
            families: vec![AddressFamily::of_addr(&address)],
            import: PolicyRef::Unset,
            export: PolicyRef::Unset,
            adj_in: AdjInKeep::All,
            next_hop_self: false,
            route_reflector_client: false,
            extended_messages: true,
            multihop: None,
            ttl_security: None,
            password: None,
            role: None,
            max_prefix: None,
            route_server_client: false,
            add_path: AddPath::default(),
            graceful_restart: GracefulRestart::default(),
            default_originate: false,
            allow_as_in: 0,
            remove_private_as: false,
            as_override: false,
            advertise_only_installed: false,
            bfd: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> NeighborKey {
        NeighborKey::of(self.address, self.interface.as_ref())
    }

    /// Where to dial.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}
