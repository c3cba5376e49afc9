//! Path attributes as values (RFC 4271 §4.3, §5).
//!
//! [`scan()`] finds the bounds of the attributes in one pass, [`decode()`] makes [`PathAttributes`] of them by the rules
//! of RFC 7606, [`PathAttributes::encode`] is its mirror. One file per attribute, one row per attribute in `table`.

mod aggregator;
pub mod as_path;
mod atomic_aggregate;
mod cluster_list;
mod communities;
pub mod community;
mod decode;
mod encode;
mod extended_communities;
mod fault;
mod ipv6_extended_communities;
mod large_communities;
mod local_pref;
mod med;
pub(crate) mod mp_reach;
pub(crate) mod mp_unreach;
mod next_hop;
mod only_to_customer;
mod origin;
mod originator_id;
mod scan;
mod table;
mod unknown;

pub use community::{Community, ExtendedCommunity, LargeCommunity};
pub use decode::{DecodeContext, Decoded, PeerKind, Target, check_without_routes, decode};
pub use encode::EncodeContext;
pub use fault::{AttrFault, FaultAction};
pub use mp_reach::MpReach;
pub use mp_unreach::MpUnreach;
pub use scan::{Scan, Tlv, TlvIter, scan};
pub use table::name;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use smallvec::SmallVec;

use super::Notification;
use super::notification::update;

/// ORIGIN (RFC 4271 §5.1.1); lower is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Origin {
    /// Interior to the originating AS.
    Igp = 0,
    /// Learned by EGP (RFC 904).
    Egp = 1,
    /// By other means.
    Incomplete = 2,
}

/// The kind of an AS_PATH segment (RFC 4271 §4.3 b, RFC 5065 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// Unordered set.
    Set = 1,
    /// Ordered sequence.
    Sequence = 2,
    /// Ordered, within the confederation.
    ConfedSequence = 3,
    /// Unordered, within the confederation.
    ConfedSet = 4,
}

/// One segment of an AS_PATH.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// Its kind.
    pub kind: SegmentKind,
    /// Its AS numbers, four octets each whatever the session carried.
    pub asns: SmallVec<[u32; 6]>,
}

/// AS_PATH (RFC 4271 §5.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath {
    /// Segments, the nearest AS first.
    pub segments: SmallVec<[Segment; 1]>,
}

/// AGGREGATOR (RFC 4271 §5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// AS of the aggregating speaker.
    pub asn: u32,
    /// Its BGP Identifier.
    pub router_id: Ipv4Addr,
}

/// The next hop as the session carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHopAttr {
    /// NEXT_HOP, or MP_REACH with 4 octets.
    V4(Ipv4Addr),
    /// MP_REACH with 16 or 32 octets (RFC 2545 §3): the global address and, on a shared link, the link-local one.
    V6 {
        /// Global (or the only) address.
        global: Ipv6Addr,
        /// Link-local address.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHopAttr {
    /// The address that routes resolve through.
    #[must_use]
    pub fn addr(self) -> IpAddr {
        match self {
            Self::V4(addr) => IpAddr::V4(addr),
            Self::V6 { global, .. } => IpAddr::V6(global),
        }
    }
}

/// A set of known optional transitive attributes, by type code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Partial(u8);

impl Partial {
    const fn bit(code: u8) -> u8 {
        match code {
            code::AGGREGATOR => 1,
            code::COMMUNITIES => 2,
            code::EXTENDED_COMMUNITIES => 4,
            code::IPV6_EXTENDED_COMMUNITIES => 8,
            code::LARGE_COMMUNITIES => 16,
            code::ONLY_TO_CUSTOMER => 32,
            _ => 0,
        }
    }

    /// Adds an attribute; one that is not optional transitive has no Partial bit and is passed over.
    pub fn insert(&mut self, code: u8) {
        self.0 |= Self::bit(code);
    }

    /// The flags that the attribute is written with.
    const fn flags(self, code: u8) -> u8 {
        encode::TRANSITIVE | if self.0 & Self::bit(code) != 0 { flags::PARTIAL } else { 0 }
    }
}

/// An attribute this speaker does not know, carried on if transitive (RFC 4271 §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttribute {
    /// Flags as received; Partial is set on the way out.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// Value.
    pub value: Bytes,
}

/// The attributes of a path. Equal sets are equal values: communities are sorted and unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathAttributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, reconciled with AS4_PATH (RFC 6793 §4.2.3).
    pub as_path: AsPath,
    /// NEXT_HOP or the next hop of MP_REACH_NLRI.
    pub next_hop: NextHopAttr,
    /// MULTI_EXIT_DISC; lower is preferred.
    pub med: Option<u32>,
    /// LOCAL_PREF; higher is preferred. Only between internal speakers.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, reconciled with AS4_AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES (RFC 1997).
    pub communities: Vec<u32>,
    /// EXTENDED COMMUNITIES (RFC 4360); their IPv6 form (RFC 5701) is carried among the unknown.
    pub extended_communities: Vec<[u8; 8]>,
    /// LARGE_COMMUNITY (RFC 8092).
    pub large_communities: Vec<[u32; 3]>,
    /// ORIGINATOR_ID (RFC 4456).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456).
    pub cluster_list: Vec<Ipv4Addr>,
    /// ONLY_TO_CUSTOMER (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// Unknown transitive attributes, by code.
    pub unknown: Vec<UnknownAttribute>,
    /// Which known optional transitive attributes came with the Partial bit: it is never cleared (RFC 4271 §5).
    pub partial: Partial,
}

impl PathAttributes {
    /// A path of our own: origin IGP, empty AS_PATH, nothing else.
    #[must_use]
    pub fn local(next_hop: NextHopAttr) -> Self {
        Self {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            next_hop,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            extended_communities: Vec::new(),
            large_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            only_to_customer: None,
            unknown: Vec::new(),
            partial: Partial::default(),
        }
    }

    /// Adds `community`, keeping the list sorted and unique.
    pub fn add_community(&mut self, community: u32) {
        if let Err(at) = self.communities.binary_search(&community) {
            self.communities.insert(at, community);
        }
    }

    /// Whether `community` is there.
    #[must_use]
    pub fn has_community(&self, community: u32) -> bool {
        self.communities.binary_search(&community).is_ok()
    }
}

/// 3/9 with the attribute (RFC 4271 §6.3, RFC 4760 §7): MP_REACH_NLRI or MP_UNREACH_NLRI whose routes cannot be read.
#[must_use]
pub fn optional_fault(whole: &[u8]) -> Notification {
    Notification::update(update::OPTIONAL).with_data(Bytes::copy_from_slice(whole))
}

/// Attribute type codes.
pub mod code {
    /// ORIGIN.
    pub const ORIGIN: u8 = 1;
    /// AS_PATH.
    pub const AS_PATH: u8 = 2;
    /// NEXT_HOP.
    pub const NEXT_HOP: u8 = 3;
    /// MULTI_EXIT_DISC.
    pub const MED: u8 = 4;
    /// LOCAL_PREF.
    pub const LOCAL_PREF: u8 = 5;
    /// ATOMIC_AGGREGATE.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// AGGREGATOR.
    pub const AGGREGATOR: u8 = 7;
    /// COMMUNITIES.
    pub const COMMUNITIES: u8 = 8;
    /// ORIGINATOR_ID.
    pub const ORIGINATOR_ID: u8 = 9;
    /// CLUSTER_LIST.
    pub const CLUSTER_LIST: u8 = 10;
    /// MP_REACH_NLRI.
    pub const MP_REACH: u8 = 14;
    /// MP_UNREACH_NLRI.
    pub const MP_UNREACH: u8 = 15;
    /// EXTENDED COMMUNITIES.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// AS4_PATH.
    pub const AS4_PATH: u8 = 17;
    /// AS4_AGGREGATOR.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// IPv6 Address Specific Extended Communities (RFC 5701).
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    /// LARGE_COMMUNITY.
    pub const LARGE_COMMUNITIES: u8 = 32;
    /// ONLY_TO_CUSTOMER.
    pub const ONLY_TO_CUSTOMER: u8 = 35;
}

/// Attribute flags (RFC 4271 §4.3 a).
pub mod flags {
    /// Optional, not well-known.
    pub const OPTIONAL: u8 = 0x80;
    /// Transitive.
    pub const TRANSITIVE: u8 = 0x40;
    /// Somebody on the way did not know it.
    pub const PARTIAL: u8 = 0x20;
    /// The length has two octets.
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

#[cfg(test)]
mod tests;
