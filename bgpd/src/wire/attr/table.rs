//! One row per attribute: its code, its flags, from whom it is taken, what a fault in it means, how it is read and
//! written. Rows stand in ascending order of code, which is the order on the wire.

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::EncodeContext;
use super::{
    PathAttributes, aggregator, as_path, atomic_aggregate, cluster_list, code, communities, extended_communities,
    flags, ipv6_extended_communities, large_communities, local_pref, med, next_hop, only_to_customer, origin,
    originator_id,
};

/// From whom an attribute is taken; from others it is discarded (RFC 7606 §7.5, §7.9, §7.10; RFC 6793 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Everybody.
    Anybody,
    /// Neighbors in our AS or confederation.
    Confederation,
    /// Neighbors in our AS (or member AS).
    Internal,
    /// Neighbors that send AS numbers of two octets.
    TwoOctetSpeakers,
}

/// What a malformed attribute means (RFC 7606 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFault {
    /// The routes are withdrawn.
    Withdraw,
    /// The attribute is discarded.
    Discard,
}

/// Why a value is malformed, in words.
pub(super) type Malformed = &'static str;

pub(super) struct Row {
    pub(super) code: u8,
    pub(super) name: &'static str,
    /// Optional and Transitive as they have to be.
    pub(super) flags: u8,
    pub(super) from: From,
    pub(super) on_fault: OnFault,
    /// Reads a value into the draft.
    pub(super) decode: fn(&[u8], &DecodeContext, &mut Draft) -> Result<(), Malformed>,
    /// Appends the attribute, if it is there and due.
    pub(super) encode: fn(&PathAttributes, &EncodeContext, &mut BytesMut),
}

const WELL_KNOWN: u8 = flags::TRANSITIVE;
const TRANSITIVE: u8 = flags::OPTIONAL | flags::TRANSITIVE;
const NON_TRANSITIVE: u8 = flags::OPTIONAL;

/// `row!(CODE, "NAME", flags, from, on_fault, module)`.
macro_rules! row {
    ($code:ident, $name:literal, $flags:ident, $from:ident, $on_fault:ident, $decode:path, $encode:path) => {
        Row {
            code: code::$code,
            name: $name,
            flags: $flags,
            from: From::$from,
            on_fault: OnFault::$on_fault,
            decode: $decode,
            encode: $encode,
        }
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(ORIGIN, "ORIGIN", WELL_KNOWN, Anybody, Withdraw, origin::decode, origin::encode),
    row!(AS_PATH, "AS_PATH", WELL_KNOWN, Anybody, Withdraw, as_path::decode, as_path::encode),
    row!(NEXT_HOP, "NEXT_HOP", WELL_KNOWN, Anybody, Withdraw, next_hop::decode, next_hop::encode),
    row!(MED, "MULTI_EXIT_DISC", NON_TRANSITIVE, Anybody, Withdraw, med::decode, med::encode),
    row!(LOCAL_PREF, "LOCAL_PREF", WELL_KNOWN, Confederation, Withdraw, local_pref::decode, local_pref::encode),
    row!(ATOMIC_AGGREGATE, "ATOMIC_AGGREGATE", WELL_KNOWN, Anybody, Discard, atomic_aggregate::decode, atomic_aggregate::encode),
    row!(AGGREGATOR, "AGGREGATOR", TRANSITIVE, Anybody, Discard, aggregator::decode, aggregator::encode),
    row!(COMMUNITIES, "COMMUNITIES", TRANSITIVE, Anybody, Withdraw, communities::decode, communities::encode),
    row!(ORIGINATOR_ID, "ORIGINATOR_ID", NON_TRANSITIVE, Internal, Withdraw, originator_id::decode, originator_id::encode),
    row!(CLUSTER_LIST, "CLUSTER_LIST", NON_TRANSITIVE, Internal, Withdraw, cluster_list::decode, cluster_list::encode),
    row!(EXTENDED_COMMUNITIES, "EXTENDED_COMMUNITIES", TRANSITIVE, Anybody, Withdraw, extended_communities::decode, extended_communities::encode),
    row!(AS4_PATH, "AS4_PATH", TRANSITIVE, TwoOctetSpeakers, Discard, as_path::decode_as4, as_path::encode_as4),
    row!(AS4_AGGREGATOR, "AS4_AGGREGATOR", TRANSITIVE, TwoOctetSpeakers, Discard, aggregator::decode_as4, aggregator::encode_as4),
    row!(IPV6_EXTENDED_COMMUNITIES, "IPV6_EXTENDED_COMMUNITIES", TRANSITIVE, Anybody, Withdraw, ipv6_extended_communities::decode, ipv6_extended_communities::encode),
    row!(LARGE_COMMUNITIES, "LARGE_COMMUNITY", TRANSITIVE, Anybody, Withdraw, large_communities::decode, large_communities::encode),
    row!(ONLY_TO_CUSTOMER, "ONLY_TO_CUSTOMER", TRANSITIVE, Anybody, Withdraw, only_to_customer::decode, only_to_customer::encode),
];

/// Row numbers by code; 0xff where there is none.
const INDEX: [u8; 256] = {
    let mut index = [0xff; 256];
    let mut row = 0;
    while row < ROWS.len() {
        index[ROWS[row].code as usize] = row as u8;
        row += 1;
    }
    index
};

pub(super) fn row(code: u8) -> Option<&'static Row> {
    ROWS.get(usize::from(INDEX[usize::from(code)]))
}

/// The name of the attribute with this type code, `None` if we do not know it.
#[must_use]
pub fn name(code: u8) -> Option<&'static str> {
    match code {
        code::MP_REACH => Some("MP_REACH_NLRI"),
        code::MP_UNREACH => Some("MP_UNREACH_NLRI"),
        _ => row(code).map(|row| row.name),
    }
}
