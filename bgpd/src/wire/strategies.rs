//! Arbitrary values for the properties of codecs.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::AfiSafi;
use super::attr::{
    Aggregator, AsPath, NextHopAttr, Origin, Partial, PathAttributes, Segment, SegmentKind, UnknownAttribute, flags,
    name,
};
use super::capability::{AddPathMode, Capability, LongLivedFamily, RestartFamily, Role};
use super::notification::Notification;
use super::open::Open;
use super::route_refresh::{RefreshKind, RouteRefresh};

pub(crate) fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

pub(crate) fn ipv4_net() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0..=32_u8).prop_map(|(bits, length)| Ipv4Net::new_assert(Ipv4Addr::from(bits), length).trunc())
}

pub(crate) fn ipv6_net() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0..=128_u8).prop_map(|(bits, length)| Ipv6Net::new_assert(Ipv6Addr::from(bits), length).trunc())
}

pub(crate) fn notification() -> impl Strategy<Value = Notification> {
    (any::<u8>(), any::<u8>(), bytes(300)).prop_map(|(code, sub, data)| Notification::new(code, sub).with_data(data))
}

fn family() -> impl Strategy<Value = AfiSafi> {
    (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| AfiSafi { afi, safi })
}

pub(crate) fn route_refresh() -> impl Strategy<Value = RouteRefresh> {
    let kind = prop_oneof![
        Just(RefreshKind::Request),
        Just(RefreshKind::Begin),
        Just(RefreshKind::End),
        (3..=255_u8).prop_map(RefreshKind::Unknown)
    ];
    (family(), kind).prop_map(|(family, kind)| RouteRefresh { family, kind })
}

pub(crate) fn capability() -> impl Strategy<Value = Capability> {
    let role = prop_oneof![
        Just(Role::Provider),
        Just(Role::RouteServer),
        Just(Role::RouteServerClient),
        Just(Role::Customer),
        Just(Role::Peer)
    ];
    let mode = prop_oneof![Just(AddPathMode::Receive), Just(AddPathMode::Send), Just(AddPathMode::Both)];
    let restart = (family(), any::<bool>()).prop_map(|(family, forwarding)| RestartFamily { family, forwarding });
    let graceful = (any::<bool>(), any::<bool>(), 0..4096_u16, vec(restart, 0..4)).prop_map(
        |(restarted, notification, restart_secs, families)| Capability::GracefulRestart {
            restarted,
            notification,
            restart_secs,
            families,
        },
    );
    let long_lived = (family(), any::<bool>(), 0..0x0100_0000_u32)
        .prop_map(|(family, forwarding, stale_secs)| LongLivedFamily { family, forwarding, stale_secs });
    prop_oneof![
        family().prop_map(Capability::MultiProtocol),
        Just(Capability::RouteRefresh),
        vec((family(), any::<u16>()), 0..4).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessages),
        role.prop_map(Capability::Role),
        graceful,
        (1..=u32::MAX).prop_map(Capability::FourOctetAs),
        vec((family(), mode), 0..4).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        vec(long_lived, 0..4).prop_map(Capability::LongLivedGracefulRestart),
        ("[a-z0-9-]{0,64}", "[a-z0-9.]{0,64}").prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (100..=255_u8, bytes(256)).prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// OPENs as a speaker sends them: its AS number in the capability where two octets do not do.
pub(crate) fn open() -> impl Strategy<Value = Open> {
    let hold = prop_oneof![Just(0), 3..=u16::MAX];
    (1..=u32::MAX, hold, 1..=u32::MAX, vec(capability(), 0..12)).prop_map(|(asn, hold_secs, id, mut capabilities)| {
        capabilities.retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
        capabilities.push(Capability::FourOctetAs(asn));
        Open { asn, hold_secs, router_id: Ipv4Addr::from(id), capabilities }
    })
}

fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![1..=65535_u32, 1..=u32::MAX, Just(23456)]
}

/// Paths without confederation segments, no two sequences side by side.
pub(crate) fn as_path() -> impl Strategy<Value = AsPath> {
    let segment = (any::<bool>(), vec(asn(), 1..8)).prop_map(|(set, asns)| Segment {
        kind: if set { SegmentKind::Set } else { SegmentKind::Sequence },
        asns: asns.into(),
    });
    vec(segment, 0..4).prop_map(|segments| {
        let mut path = AsPath::default();
        for segment in segments {
            if segment.kind == SegmentKind::Sequence
                && path.segments.last().is_some_and(|last| last.kind == segment.kind)
            {
                continue;
            }
            path.segments.push(segment);
        }
        path
    })
}

/// Next hops of hosts.
pub(crate) fn next_hop() -> impl Strategy<Value = NextHopAttr> {
    let v4 = (1..224_u32, 0..1_u32 << 24)
        .prop_map(|(net, host)| if net == 127 { 128 << 24 | host } else { net << 24 | host })
        .prop_map(|bits| NextHopAttr::V4(Ipv4Addr::from(bits)));
    let global = any::<u128>().prop_map(|bits| Ipv6Addr::from(bits >> 3 | 1 << 125));
    let link_local = any::<u64>().prop_map(|bits| Ipv6Addr::from(0xfe80 << 112 | u128::from(bits)));
    let v6 = (global, option::of(link_local)).prop_map(|(global, link_local)| NextHopAttr::V6 { global, link_local });
    prop_oneof![v4, v6]
}

prop_compose! {
    /// Attribute sets as `decode` makes them: lists sorted and unique, unknown ones transitive with Partial set.
    pub(crate) fn attributes()(
        origin in prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)],
        as_path in as_path(),
        next_hop in next_hop(),
        (med, local_pref, only_to_customer) in (option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>())),
        atomic_aggregate in any::<bool>(),
        aggregator in option::of((asn(), any::<u32>())),
        communities in btree_set(any::<u32>(), 0..80),
        extended_communities in btree_set(any::<[u8; 8]>(), 0..40),
        large_communities in btree_set(any::<[u32; 3]>(), 0..30),
        (originator_id, cluster_list) in (option::of(any::<u32>()), vec(any::<u32>(), 0..4)),
        unknown in btree_map(any::<u8>().prop_filter("unknown", |code| name(*code).is_none()), bytes(300), 0..3),
    ) -> PathAttributes {
        PathAttributes {
            origin, as_path, next_hop, med, local_pref, atomic_aggregate, only_to_customer,
            aggregator: aggregator.map(|(asn, id)| Aggregator { asn, router_id: Ipv4Addr::from(id) }),
            communities: communities.into_iter().collect(),
            extended_communities: extended_communities.into_iter().collect(),
            large_communities: large_communities.into_iter().collect(),
            originator_id: originator_id.map(Ipv4Addr::from),
            cluster_list: cluster_list.into_iter().map(Ipv4Addr::from).collect(),
            partial: Partial::default(),
            unknown: unknown.into_iter().map(|(code, value)| UnknownAttribute {
                flags: flags::OPTIONAL | flags::TRANSITIVE | flags::PARTIAL, code, value,
            }).collect(),
        }
    }
}
