//! Attribute sets as the tables hold them: the attributes, what the speaker knows beside them, and the facts that the decision
//! and export read of them in one 32-octet record.

use std::net::Ipv4Addr;

use rib::Protocol;

use crate::locrib::nexthop::NextHopId;
use crate::wire::attr::{PathAttributes, community};

/// LOCAL_PREF of a path that has none.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// Well-known communities and what else a set may say of itself.
pub mod flag {
    /// NO_EXPORT: not to another AS (RFC 1997).
    pub const NO_EXPORT: u16 = 1;
    /// NO_ADVERTISE: to nobody (RFC 1997).
    pub const NO_ADVERTISE: u16 = 2;
    /// NO_EXPORT_SUBCONFED: not to another AS, not within a confederation (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: u16 = 4;
    /// One of the AS numbers we bear somewhere is in the AS_PATH; whether that is a loop depends on the neighbor.
    pub const OWN_AS: u16 = 8;
    /// ORIGINATOR_ID is our router id (RFC 4456 §8).
    pub const OWN_ORIGINATOR: u16 = 16;
    /// CLUSTER_LIST holds our cluster id (RFC 4456 §8).
    pub const OWN_CLUSTER: u16 = 32;
    /// Any of what makes a loop, or may.
    pub const LOOP: u16 = OWN_AS | OWN_ORIGINATOR | OWN_CLUSTER;
    /// GRACEFUL_SHUTDOWN (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: u16 = 64;
    /// BLACKHOLE (RFC 7999).
    pub const BLACKHOLE: u16 = 128;
    /// LLGR_STALE (RFC 9494).
    pub const LLGR_STALE: u16 = 256;
    /// NO_LLGR (RFC 9494).
    pub const NO_LLGR: u16 = 512;
    /// ONLY_TO_CUSTOMER is there (RFC 9234).
    pub const ONLY_TO_CUSTOMER: u16 = 1024;
    /// Packets are dropped here: [`Extra::discard`](super::Extra::discard).
    pub const DISCARD: u16 = 2048;
}

/// Well-known communities by the flag that says they are there.
const WELL_KNOWN: [(u32, u16); 7] = [
    (community::GRACEFUL_SHUTDOWN, flag::GRACEFUL_SHUTDOWN),
    (community::LLGR_STALE, flag::LLGR_STALE),
    (community::NO_LLGR, flag::NO_LLGR),
    (community::BLACKHOLE, flag::BLACKHOLE),
    (community::NO_EXPORT, flag::NO_EXPORT),
    (community::NO_ADVERTISE, flag::NO_ADVERTISE),
    (community::NO_EXPORT_SUBCONFED, flag::NO_EXPORT_SUBCONFED),
];

/// What the speaker knows of a set beside its attributes; part of its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extra {
    /// Local weight; higher is preferred before anything else.
    pub weight: u32,
    /// For our own routes: what they are.
    pub protocol: Option<Protocol>,
    /// For our own routes: times our AS is prepended beside the one due.
    pub prepend: u8,
    /// Packets to its destinations are dropped here: an accepted BLACKHOLE route (RFC 7999).
    pub discard: bool,
    /// The number of the link that a link-local next hop is on; 0 for other next hops.
    pub link: u32,
}

/// Who we are, for finding loops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Our AS numbers: the speaker's, the confederation's, and those used towards single neighbors.
    pub asns: Vec<u32>,
    /// Our router id.
    pub router_id: u32,
    /// Our cluster id.
    pub cluster_id: u32,
}

/// What the decision and export read of a set.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Local weight.
    pub weight: u32,
    /// LOCAL_PREF, the default if absent.
    pub local_pref: u32,
    /// MULTI_EXIT_DISC, 0 if absent (RFC 4271 §9.1.2.2 c).
    pub med: u32,
    /// The first AS of the path; 0 if the path is empty or begins with a set.
    pub neighbor_as: u32,
    /// ORIGINATOR_ID; 0 if absent.
    pub originator: u32,
    /// The next hop's number.
    pub next_hop: NextHopId,
    /// Length of the AS_PATH as §9.1.2.2 a counts it.
    pub path_length: u16,
    /// See [`flag`].
    pub flags: u16,
    /// Length of CLUSTER_LIST, 255 for all above.
    pub cluster_length: u8,
    /// ORIGIN.
    pub origin: u8,
    /// [`Extra::prepend`].
    pub prepend: u8,
    /// [`Extra::protocol`].
    pub protocol: Option<Protocol>,
}

const _: () = assert!(size_of::<Facts>() == 32);

impl Facts {
    /// The facts of a set.
    #[must_use]
    pub fn new(attributes: &PathAttributes, extra: Extra, next_hop: NextHopId, identity: &Identity) -> Self {
        Self {
            weight: extra.weight,
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            med: attributes.med.unwrap_or(0),
            neighbor_as: attributes.as_path.neighbor_as_outside().unwrap_or(0),
            originator: attributes.originator_id.map_or(0, Ipv4Addr::to_bits),
            next_hop,
            path_length: u16::try_from(attributes.as_path.length()).unwrap_or(u16::MAX),
            flags: flags(attributes, identity) | if extra.discard { flag::DISCARD } else { 0 },
            cluster_length: u8::try_from(attributes.cluster_list.len()).unwrap_or(u8::MAX),
            origin: attributes.origin as u8,
            prepend: extra.prepend,
            protocol: extra.protocol,
        }
    }
}

fn flags(attributes: &PathAttributes, identity: &Identity) -> u16 {
    let mut flags = 0;
    // Sorted: the well-known ones, 65535:0 and above, are at the end.
    for community in attributes.communities.iter().rev().take_while(|community| **community >= WELL_KNOWN[0].0) {
        flags |= WELL_KNOWN.iter().find(|(known, _)| known == community).map_or(0, |(_, flag)| *flag);
    }
    if attributes.only_to_customer.is_some() {
        flags |= flag::ONLY_TO_CUSTOMER;
    }
    if attributes.as_path.asns().any(|asn| identity.asns.contains(&asn)) {
        flags |= flag::OWN_AS;
    }
    if attributes.originator_id.is_some_and(|id| id.to_bits() == identity.router_id) {
        flags |= flag::OWN_ORIGINATOR;
    }
    if attributes.cluster_list.iter().any(|id| id.to_bits() == identity.cluster_id) {
        flags |= flag::OWN_CLUSTER;
    }
    flags
}
