//! What the decision reads of a neighbor, in a dense array.

use std::net::{IpAddr, Ipv4Addr};

use rib::AddressFamily;

use super::stale::Epochs;

/// A neighbor's place in the speaker's tables. 0 is the speaker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(pub u16);

impl PeerIndex {
    /// The speaker itself: its paths are its own routes.
    pub const LOCAL: Self = Self(0);
}

/// Where a path comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// Our own route.
    Local,
    /// Another AS; with a confederation, outside of it.
    External,
    /// Another member AS of our confederation (RFC 5065).
    Confed,
    /// Our AS.
    Internal {
        /// It is our route-reflection client (RFC 4456).
        client: bool,
    },
}

impl PeerKind {
    /// In our AS (with a confederation: our member AS), but not ourselves.
    #[must_use]
    pub fn is_internal(self) -> bool {
        matches!(self, Self::Internal { .. })
    }

    /// In our AS or confederation, but not ourselves: what the decision and the shared RIB take for internal
    /// (RFC 5065 §5.3).
    #[must_use]
    pub fn is_inside(self) -> bool {
        matches!(self, Self::Internal { .. } | Self::Confed)
    }
}

/// What the decision reads of a neighbor.
#[derive(Clone, Copy, Debug)]
pub struct PeerFacts {
    /// Its relation to us.
    pub kind: PeerKind,
    /// Which of its paths count.
    pub epochs: Epochs,
    /// It is a client of our route server (RFC 7947).
    pub route_server_client: bool,
    /// It has a session now.
    pub up: bool,
    /// Its BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Its address.
    pub address: IpAddr,
}

/// All neighbors' facts by [`PeerIndex`].
#[derive(Clone, Debug)]
pub struct Peers(Vec<PeerFacts>);

impl Peers {
    /// Only the speaker itself.
    #[must_use]
    pub fn new(router_id: Ipv4Addr) -> Self {
        Self(vec![PeerFacts {
            kind: PeerKind::Local,
            epochs: Epochs::default(),
            route_server_client: false,
            up: true,
            router_id,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }])
    }

    /// The facts of `peer`.
    #[must_use]
    pub fn get(&self, peer: PeerIndex) -> &PeerFacts {
        &self.0[usize::from(peer.0)]
    }

    /// The facts of `peer`, to change.
    pub fn get_mut(&mut self, peer: PeerIndex) -> &mut PeerFacts {
        &mut self.0[usize::from(peer.0)]
    }

    /// Adds a neighbor in the next place; `None` if all 65,536 are taken, ours among them.
    pub fn push(&mut self, facts: PeerFacts) -> Option<PeerIndex> {
        let index = u16::try_from(self.0.len()).ok()?;
        self.0.push(facts);
        Some(PeerIndex(index))
    }

    /// There is a next place.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.len() <= usize::from(u16::MAX)
    }

    /// True if a path of this generation of `peer` may be used.
    #[inline]
    #[must_use]
    pub fn is_usable(&self, peer: PeerIndex, family: AddressFamily, generation: u8) -> bool {
        self.get(peer).epochs.of(family).is_usable(generation)
    }
}
