//! Attribute sets as the tables hold them: the attributes, what the speaker knows beside them, and the facts that the decision
//! and export read of them in one 32-octet record.

use std::net::Ipv4Addr;

use rib::Protocol;

use crate::locrib::nexthop::NextHopId;
use crate::wire::attr::{AsPath, PathAttributes, SegmentKind};

/// LOCAL_PREF of a path that has none.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// Well-known communities (RFC 1997) and what else a set may say of itself.
pub mod flag {
    /// NO_EXPORT: not to another AS (RFC 1997).
    pub const NO_EXPORT: u8 = 1;
    /// NO_ADVERTISE: to nobody (RFC 1997).
    pub const NO_ADVERTISE: u8 = 2;
    /// NO_EXPORT_SUBCONFED: not to another AS, not within a confederation (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: u8 = 4;
    /// One of our AS numbers is in the AS_PATH (RFC 4271 §9.1.2).
    pub const OWN_AS: u8 = 8;
    /// ORIGINATOR_ID is our router id (RFC 4456 §8).
    pub const OWN_ORIGINATOR: u8 = 16;
    /// CLUSTER_LIST holds our cluster id (RFC 4456 §8).
    pub const OWN_CLUSTER: u8 = 32;
    /// Any of the three loops.
    pub const LOOP: u8 = OWN_AS | OWN_ORIGINATOR | OWN_CLUSTER;
}

const NO_EXPORT: u32 = 0xffff_ff01;
const NO_ADVERTISE: u32 = 0xffff_ff02;
const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;

/// What the speaker knows of a set beside its attributes; part of its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extra {
    /// Local weight; higher is preferred before anything else.
    pub weight: u32,
    /// For our own routes: what they are.
    pub protocol: Option<Protocol>,
    /// For our own routes: times our AS is prepended beside the one due.
    pub prepend: u8,
}

/// Who we are, for finding loops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Our AS numbers: the speaker's, and those used towards single neighbors.
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
    /// Length of CLUSTER_LIST.
    pub cluster_length: u16,
    /// ORIGIN.
    pub origin: u8,
    /// See [`flag`].
    pub flags: u8,
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
        let small = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Self {
            weight: extra.weight,
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            med: attributes.med.unwrap_or(0),
            neighbor_as: neighbor_as(&attributes.as_path),
            originator: attributes.originator_id.map_or(0, Ipv4Addr::to_bits),
            next_hop,
            path_length: small(path_length(&attributes.as_path)),
            cluster_length: small(attributes.cluster_list.len()),
            origin: attributes.origin as u8,
            flags: flags(attributes, identity),
            prepend: extra.prepend,
            protocol: extra.protocol,
        }
    }
}

/// RFC 4271 §9.1.2.2 a: an AS_SET counts as 1; RFC 5065 §5.3: confederation segments count nothing.
fn path_length(path: &AsPath) -> usize {
    path.segments
        .iter()
        .map(|segment| match segment.kind {
            SegmentKind::Sequence => segment.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        })
        .sum()
}

/// The AS the path was learned from (RFC 4271 §9.1.2.2 c).
fn neighbor_as(path: &AsPath) -> u32 {
    path.segments
        .iter()
        .find(|segment| matches!(segment.kind, SegmentKind::Sequence | SegmentKind::Set))
        .filter(|segment| segment.kind == SegmentKind::Sequence)
        .and_then(|segment| segment.asns.first().copied())
        .unwrap_or(0)
}

fn flags(attributes: &PathAttributes, identity: &Identity) -> u8 {
    let mut flags = 0;
    // Sorted: the well-known ones are at the end.
    for community in attributes.communities.iter().rev().take_while(|community| **community >= NO_EXPORT) {
        flags |= match *community {
            NO_EXPORT => flag::NO_EXPORT,
            NO_ADVERTISE => flag::NO_ADVERTISE,
            NO_EXPORT_SUBCONFED => flag::NO_EXPORT_SUBCONFED,
            _ => 0,
        };
    }
    if attributes.as_path.segments.iter().flat_map(|segment| &segment.asns).any(|asn| identity.asns.contains(asn)) {
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
