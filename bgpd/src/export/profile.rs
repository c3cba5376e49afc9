//! What export may read of a neighbor: the key of its group. What is not in here cannot make a difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use rib::AddressFamily;

use crate::intern::AttrId;
use crate::locrib::journal::Scope;
use crate::locrib::{PeerIndex, PeerKind};
use crate::policy::Chain;
use crate::wire::attr::NextHopAttr;
use crate::wire::capability::Role;

/// Which routes may leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// All.
    All,
    /// An external neighbor without export policy (RFC 8212): services only.
    ServicesOnly,
    /// What the policies accept.
    Chain(Chain),
}

/// The key of an export group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExportProfile {
    /// Relation to us.
    pub kind: PeerKind,
    /// Our AS towards it.
    pub local_asn: u32,
    /// Our cluster (RFC 4456).
    pub cluster_id: Ipv4Addr,
    /// Our address as next hop of IPv4 routes, if we have one there.
    pub own_v4: Option<Ipv4Addr>,
    /// Our address as next hop of IPv6 routes, if we have one there.
    pub own_v6: Option<Ipv6Addr>,
    /// Our address on the link that we share with it (RFC 2545 §3).
    pub own_link_local: Option<Ipv6Addr>,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Our address as next hop on internal sessions too.
    pub next_hop_self: bool,
    /// Our role towards it (RFC 9234); external neighbors only.
    pub role: Option<Role>,
    /// It is a client of our route server (RFC 7947).
    pub route_server_client: bool,
    /// The client itself, if the best path is chosen for each client of our route server by its own policy (RFC 7947 §2.3): it is
    /// alone in its group.
    pub client: Option<PeerIndex>,
    /// Private AS numbers are taken out of the path, but for this one: the neighbor's own, by which it finds loops.
    pub remove_private_as: Option<u32>,
    /// This AS number in the path, the neighbor's, is replaced by ours.
    pub as_override: Option<u32>,
    /// The policy.
    pub filter: Filter,
    /// The neighbor's address, only if the policy reads it.
    pub neighbor: Option<IpAddr>,
    /// AS numbers of four octets.
    pub as4: bool,
    /// Octets in a message at most.
    pub max_message: usize,
    /// IPv4 routes are exchanged.
    pub ipv4: bool,
    /// IPv6 routes are exchanged.
    pub ipv6: bool,
    /// Long-lived stale routes are told (RFC 9494 §4.3).
    pub long_lived: bool,
    /// A refresh has marks at its ends (RFC 7313).
    pub marked_refresh: bool,
    /// Everything told gets GRACEFUL_SHUTDOWN (RFC 8326 §4.2): an operator moves traffic away from the session.
    pub drained: bool,
    /// A default route of ours is told instead of any other, past the policy: its attributes, for IPv4 and IPv6.
    pub default_originate: Option<[AttrId; 2]>,
    /// Aggregates whose more specific prefixes are not told (`summary_only`).
    pub summaries: Arc<[IpNet]>,
    /// Paths told of a prefix at most (RFC 7911), IPv4 and IPv6; 0: the best one, without path identifiers.
    pub several: [u16; 2],
    /// Where the best path is not passed on inside the AS, the best that is stands in for it (draft-ietf-idr-best-external).
    pub best_external: bool,
    /// Only what every data plane holds is told.
    pub only_installed: bool,
}

impl ExportProfile {
    /// Our address as the next hop of routes of `family`, if we have one that the neighbor can use.
    #[must_use]
    pub fn own(&self, family: AddressFamily) -> Option<NextHopAttr> {
        match (family, self.own_v4) {
            (AddressFamily::Ipv4, Some(addr)) => return Some(NextHopAttr::V4(addr)),
            (AddressFamily::Ipv4, None) if !self.extended_next_hop => return None,
            _ => {}
        }
        match (self.own_v6, self.own_link_local) {
            (Some(global), link_local) => Some(NextHopAttr::V6 { global, link_local }),
            // On a link without global addresses the link-local one is all there is.
            (None, Some(global)) => Some(NextHopAttr::V6 { global, link_local: None }),
            (None, None) => None,
        }
    }

    /// A route of `family` may be told with this next hop: of its family or negotiated, and not of another link.
    #[must_use]
    pub fn may_carry(&self, next_hop: NextHopAttr, family: AddressFamily) -> bool {
        match (next_hop, family) {
            (NextHopAttr::V4(_), AddressFamily::Ipv4) => true,
            (NextHopAttr::V4(_), AddressFamily::Ipv6) => false,
            (NextHopAttr::V6 { global, .. }, AddressFamily::Ipv6) => !global.is_unicast_link_local(),
            (NextHopAttr::V6 { global, .. }, AddressFamily::Ipv4) => {
                self.extended_next_hop && !global.is_unicast_link_local()
            }
        }
    }

    /// Routes of `family` are exchanged.
    #[must_use]
    pub fn speaks(&self, family: AddressFamily) -> bool {
        match family {
            AddressFamily::Ipv4 => self.ipv4,
            AddressFamily::Ipv6 => self.ipv6,
        }
    }

    /// The attributes of the default route that is told of `prefix` instead of any other.
    #[must_use]
    pub fn originates(&self, prefix: IpNet) -> Option<AttrId> {
        let routes = self.default_originate.filter(|_| prefix.prefix_len() == 0)?;
        Some(match prefix {
            IpNet::V4(_) => routes[0],
            IpNet::V6(_) => routes[1],
        })
    }

    /// The aggregate that is told instead of `prefix`.
    #[must_use]
    pub fn summarised_by(&self, prefix: IpNet) -> Option<IpNet> {
        self.summaries.iter().find(|summary| summary.contains(&prefix) && **summary != prefix).copied()
    }

    /// Paths told of a prefix of `family` at most, each with its identifier; 0: the best one without.
    #[must_use]
    pub fn paths(&self, family: AddressFamily) -> u16 {
        match family {
            AddressFamily::Ipv4 => self.several[0],
            AddressFamily::Ipv6 => self.several[1],
        }
    }

    /// Which changes of the Loc-RIB can make a difference.
    #[must_use]
    pub fn scope(&self, family: AddressFamily) -> Scope {
        if self.paths(family) > 0 || self.best_external || self.client.is_some() { Scope::Paths } else { Scope::Best }
    }

    /// The verdict on a route can depend on its prefix.
    #[must_use]
    pub fn reads_prefix(&self) -> bool {
        matches!(&self.filter, Filter::Chain(chain) if chain.reads_prefix())
    }
}
