//! One of our interfaces (RFC 2328 §9): what it is configured as, what the kernel says of it, and where its machine
//! is. Events come to it through the instance; the election of its Designated Router is in [`election`].

pub(crate) mod election;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ipnet::{IpNet, Ipv4Net};

use crate::auth::{self, Seen};
use crate::config::{AuthKey, InterfaceConfig, NetworkType};
use crate::drops::Drops;
use crate::id::{AreaId, InterfaceId, RouterId, SequenceNumber, Version};
use crate::lsa::LsaHeader;
use crate::lsdb::Slot;
use crate::message::Link;

/// What an interface is doing (RFC 2328 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InterfaceState {
    /// Not there, or without what it needs.
    #[default]
    Down,
    /// Announced as a host, nothing spoken.
    Loopback,
    /// Listening who is Designated Router.
    Waiting,
    /// Speaking, without Designated Router: point-to-point, point-to-multipoint, virtual.
    PointToPoint,
    /// Neither Designated Router nor Backup.
    DrOther,
    /// Backup Designated Router.
    Backup,
    /// Designated Router.
    Dr,
}

/// The far end of a virtual link, and how it is reached now (RFC 2328 §15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtualEnd {
    pub(crate) transit: AreaId,
    pub(crate) endpoint: RouterId,
    /// Interface the path starts on, our address there, the endpoint's address.
    pub(crate) path: Option<(InterfaceId, IpAddr, IpAddr)>,
}

/// An interface.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) id: InterfaceId,
    pub(crate) config: InterfaceConfig,
    pub(crate) link: Link,
    pub(crate) up: bool,
    pub(crate) state: InterfaceState,
    pub(crate) virtual_end: Option<VirtualEnd>,
    /// v2: address, v3: router id; 0 is none.
    pub(crate) dr: u32,
    pub(crate) bdr: u32,
    pub(crate) cost: u16,
    /// Numbers of its neighbors.
    pub(crate) neighbors: Vec<u32>,
    /// Headers waiting for an acknowledgment in company.
    pub(crate) acks: Vec<LsaHeader>,
    /// LSAs waiting to be flooded out of it, with the instance that was meant.
    pub(crate) flood: VecDeque<(Slot, SequenceNumber)>,
    pub(crate) last_hello: Option<Instant>,
    /// Why somebody's hello was last refused.
    pub(crate) obstacle: Option<String>,
    pub(crate) drops: Drops,
    /// Sequence numbers of authentication that came in.
    pub(crate) seen: Seen,
    /// When wrong authentication was last raised.
    pub(crate) refused: Option<Instant>,
}

impl Interface {
    pub(crate) fn new(config: InterfaceConfig, link: Link, reference_mbps: u64) -> Self {
        let cost = cost(&config, &link, reference_mbps);
        Self {
            id: link.id,
            config,
            link,
            up: false,
            state: InterfaceState::Down,
            virtual_end: None,
            dr: 0,
            bdr: 0,
            cost,
            neighbors: Vec::new(),
            acks: Vec::new(),
            flood: VecDeque::new(),
            last_hello: None,
            obstacle: None,
            drops: Drops::default(),
            seen: Seen::default(),
            refused: None,
        }
    }

    pub(crate) fn area(&self) -> AreaId {
        self.config.area
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_end.is_some()
    }

    /// A Designated Router is elected here.
    pub(crate) fn elects(&self) -> bool {
        !self.is_virtual() && matches!(self.config.network, NetworkType::Broadcast | NetworkType::Nbma)
    }

    /// One neighbor at most is expected; it is known by its router id (RFC 2328 §10.5).
    pub(crate) fn point_to_point(&self) -> bool {
        self.is_virtual() || self.config.network == NetworkType::PointToPoint
    }

    /// Packets go to groups rather than to each neighbor.
    pub(crate) fn multicast(&self) -> bool {
        let listed = !self.config.neighbors.is_empty();
        match self.config.network {
            _ if self.is_virtual() => false,
            NetworkType::Broadcast | NetworkType::PointToPoint => true,
            NetworkType::Nbma => false,
            NetworkType::PointToMultipoint => !listed,
        }
    }

    /// Where a virtual link leads to now.
    pub(crate) fn far_end(&self) -> Option<IpAddr> {
        self.virtual_end.as_ref()?.path.map(|(_, _, to)| to)
    }

    /// Floods and acknowledgments go to groups.
    pub(crate) fn groups(&self) -> bool {
        !self.is_virtual() && matches!(self.config.network, NetworkType::Broadcast | NetworkType::PointToPoint)
    }

    /// Our IPv4 address with the subnet's length.
    pub(crate) fn subnet(&self) -> Option<Ipv4Net> {
        self.link.addresses.iter().find_map(|net| match net {
            IpNet::V4(net) => Some(*net),
            IpNet::V6(_) => None,
        })
    }

    /// A point-to-point link without a subnet of its own (RFC 2328 §1.2, §A.3.2).
    pub(crate) fn unnumbered(&self) -> bool {
        self.config.network == NetworkType::PointToPoint && self.subnet().is_none_or(|net| net.prefix_len() == 32)
    }

    /// The address it speaks from, if it has what its version needs.
    pub(crate) fn source(&self, version: Version) -> Option<IpAddr> {
        if let Some(end) = &self.virtual_end {
            return end.path.map(|(_, from, _)| from);
        }
        match version {
            Version::V2 => self.subnet().map(|net| IpAddr::V4(net.addr())).or(self.link.borrowed),
            Version::V3 => self.link.link_local.map(IpAddr::V6),
        }
    }

    /// Our IPv4 address as 32 bits.
    pub(crate) fn address_bits(&self) -> u32 {
        match self.source(Version::V2) {
            Some(IpAddr::V4(address)) => address.into(),
            _ => 0,
        }
    }

    /// What we are called as a Designated Router: the address in v2, the router id in v3.
    pub(crate) fn self_id(&self, version: Version, router: RouterId) -> u32 {
        match version {
            Version::V2 => self.address_bits(),
            Version::V3 => router.0,
        }
    }

    /// Octets of payload after the IP header that fit.
    pub(crate) fn payload_max(&self, version: Version) -> usize {
        let header = match version {
            Version::V2 => 20,
            Version::V3 => 40,
        };
        // A virtual link's path may be narrow anywhere; 576 always passes in v2, 1280 in v3.
        let mtu = match (self.is_virtual(), version) {
            (true, Version::V2) => 576,
            (true, Version::V3) => 1280,
            _ => usize::from(self.link.mtu).max(576),
        };
        mtu - header - auth::overhead(version, self.config.auth.first())
    }

    /// Whether packets to AllDRouters are for us.
    pub(crate) fn designated(&self) -> bool {
        matches!(self.state, InterfaceState::Dr | InterfaceState::Backup)
    }

    /// Takes other keys; adjacencies stay, and hold if the neighbors have one of them.
    pub(crate) fn set_auth(&mut self, keys: Vec<AuthKey>) {
        if self.config.auth != keys {
            self.seen.keep(&self.config.auth, &keys);
            self.config.auth = keys;
            self.obstacle = None;
            self.refused = None;
        }
    }

    /// Hellos are spoken here.
    pub(crate) fn speaks(&self) -> bool {
        !self.config.passive && !matches!(self.state, InterfaceState::Down | InterfaceState::Loopback)
    }

    /// The v2 address of `self` if it is on the same subnet as `address`.
    pub(crate) fn on_subnet(&self, address: Ipv4Addr) -> bool {
        self.subnet().is_some_and(|net| net.contains(&address))
    }
}

/// Configured, or the reference bandwidth over the link's; never 0.
pub(crate) fn cost(config: &InterfaceConfig, link: &Link, reference_mbps: u64) -> u16 {
    let by_bandwidth = || {
        let mbps = link.bandwidth_mbps.filter(|mbps| *mbps > 0)?;
        u16::try_from((reference_mbps / mbps).clamp(1, u64::from(u16::MAX) - 1)).ok()
    };
    config.cost.or_else(by_bandwidth).unwrap_or(10).max(1)
}
