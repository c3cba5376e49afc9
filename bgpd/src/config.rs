//! The speaker's configuration as plain data: validated, complete, without a trace of the file it came from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rib::AddressFamily;

use crate::policy::PolicySet;

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
    /// Neighbors, each address once.
    pub neighbors: Vec<NeighborConfig>,
    /// Seed of the jitter in timers.
    pub seed: u64,
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
    /// Its address.
    pub address: IpAddr,
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
}

impl NeighborConfig {
    /// Where to dial.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}
