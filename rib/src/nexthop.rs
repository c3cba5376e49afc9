//! Next hops: as a protocol states them, and as a data plane can use them.
//!
//! A [`NextHopSet`] is what a route says (possibly recursive, possibly several weighted legs). The RIB interns each
//! distinct set once, resolves it once however many prefixes use it, and hands every data plane the same
//! [`NextHopId`], so that a failed next hop is one write in each of them.

use std::net::IpAddr;

use smallvec::SmallVec;

/// The kernel's number of an interface; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

/// What happens to a packet that is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discard {
    /// Dropped in silence.
    Blackhole,
    /// Dropped, ICMP "host unreachable" sent.
    Unreachable,
    /// Dropped, ICMP "administratively prohibited" sent.
    Prohibit,
}

/// One next hop as a protocol states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// A gateway. Without an interface it is recursive: the RIB looks the address up.
    Gateway {
        /// The gateway's address, possibly of the other family than the prefix (RFC 8950).
        addr: IpAddr,
        /// The interface it is reached through; required for link-local addresses.
        interface: Option<IfIndex>,
        /// The gateway counts as reachable on `interface` although no connected prefix covers it.
        onlink: bool,
    },
    /// The destination is directly on this link.
    Interface(IfIndex),
    /// Packets are dropped.
    Discard(Discard),
    /// Packets are for this host (a service's VIP).
    Local,
}

impl NextHop {
    /// A recursive gateway, as BGP gives them.
    #[must_use]
    pub fn via(addr: IpAddr) -> Self {
        Self::Gateway { addr, interface: None, onlink: false }
    }
}

/// One next hop with its share of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leg {
    /// Where to.
    pub next_hop: NextHop,
    /// Relative weight, 1 to 256 as the kernel has it, stored less one.
    pub weight_less_one: u8,
}

impl Leg {
    /// The leg's relative weight, 1 to 256.
    #[must_use]
    pub fn weight(&self) -> u16 {
        u16::from(self.weight_less_one) + 1
    }
}

impl From<NextHop> for Leg {
    fn from(next_hop: NextHop) -> Self {
        Self { next_hop, weight_less_one: 0 }
    }
}

/// The legs of a route: at least one, sorted, no leg twice. Equal sets are equal values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHopSet(SmallVec<[Leg; 1]>);

impl NextHopSet {
    /// At most this many legs are kept; further ones are dropped in sort order.
    pub const MAX_LEGS: usize = 64;

    /// The set of `legs`, sorted; `None` when there is none.
    pub fn new(legs: impl IntoIterator<Item = Leg>) -> Option<Self> {
        let mut legs: SmallVec<[Leg; 1]> = legs.into_iter().collect();
        legs.sort_unstable();
        legs.dedup_by_key(|leg| leg.next_hop);
        legs.truncate(Self::MAX_LEGS);
        (!legs.is_empty()).then_some(Self(legs))
    }

    /// The legs in sort order.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        &self.0
    }
}

impl From<NextHop> for NextHopSet {
    fn from(next_hop: NextHop) -> Self {
        Self(SmallVec::from_buf([next_hop.into()]))
    }
}

/// A next-hop object's number: given by the RIB, used as it is by every data plane. Never 0. Reused only after every
/// data plane has acknowledged its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHopId(pub u32);

/// One resolved leg: what a data plane needs to forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolvedLeg {
    /// The interface the packet leaves by.
    pub interface: IfIndex,
    /// The neighbor on that link; `None` when the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// The gateway is to be taken as on the link whatever the addresses there.
    pub onlink: bool,
    /// Relative weight, 1 to 256.
    pub weight: u16,
}

/// What a next-hop object means to a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Forwarding {
    /// Forward over these legs: at least one, sorted.
    Legs(SmallVec<[ResolvedLeg; 1]>),
    /// Drop.
    Discard(Discard),
    /// Give to this host.
    Local,
}
