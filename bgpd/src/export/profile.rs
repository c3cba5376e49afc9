//! What export may read of a neighbor: the key of its group. What is not in here cannot make a difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use rib::AddressFamily;

use crate::intern::AttrId;
use crate::locrib::PeerKind;
use crate::locrib::journal::Scope;
use crate::policy::Chain;
use crate::wire::attr::NextHopAttr;

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
    /// Our address as next hop of IPv4 routes.
    pub own_v4: Ipv4Addr,
    /// Our address as next hop of IPv6 routes.
    pub own_v6: Ipv6Addr,
    /// Our address as next hop on internal sessions too.
    pub next_hop_self: bool,
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
}

impl ExportProfile {
    /// Our address as the next hop of routes of `family`.
    #[must_use]
    pub fn own(&self, family: AddressFamily) -> NextHopAttr {
        match family {
            AddressFamily::Ipv4 => NextHopAttr::V4(self.own_v4),
            AddressFamily::Ipv6 => NextHopAttr::V6 { global: self.own_v6, link_local: None },
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
        if self.paths(family) > 0 || self.best_external { Scope::Paths } else { Scope::Best }
    }

    /// The verdict on a route can depend on its prefix.
    #[must_use]
    pub fn reads_prefix(&self) -> bool {
        matches!(&self.filter, Filter::Chain(chain) if chain.reads_prefix())
    }
}
