//! What the machines say, in the API's words.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bgpd::wire::attr::{
    Aggregator, AsPath, NextHopAttr, Origin, PathAttributes, Segment, SegmentKind, UnknownAttribute,
};
use proto::v1;
use rib::message::{Candidate, FibState, RouteView, Verdict};
use rib::{
    AdminDistance, BackendId, FibFault, Forwarding, IfIndex, Metric, NextHop, NextHopId, NextHopSet, Protocol,
    ResolvedLeg, Route, Source,
};

use crate::api::convert::{self, Names};
use crate::daemon::handles::NodeInfo;

fn names() -> Names {
    Names::new(&Arc::new(NodeInfo {
        version: "0",
        hostname: "r1".to_owned(),
        asn: 64512,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        site: String::new(),
        started: SystemTime::UNIX_EPOCH,
        config: None,
        bgp_listen: Vec::new(),
        api_listen: Vec::new(),
        backends: vec!["kernel", "memory"],
    }))
}

fn route(protocol: Protocol, next_hop: NextHop) -> Route {
    Route { protocol, distance: AdminDistance(20), metric: Metric(7), tag: 9, next_hops: NextHopSet::from(next_hop) }
}

#[test]
fn a_route_tells_what_was_stated_what_it_resolves_to_and_each_data_plane() {
    let gateway = "10.0.0.1".parse().unwrap();
    let leg = ResolvedLeg { interface: IfIndex(1), gateway: Some(gateway), onlink: false, weight: 1 };
    let view = RouteView {
        prefix: "192.0.2.0/24".parse().unwrap(),
        route: route(Protocol::Ebgp, NextHop::via(gateway)),
        source: Source::Bgp,
        next_hop_id: NextHopId(5),
        forwarding: Forwarding::Legs([leg].into_iter().collect()),
        fib: vec![(BackendId(0), FibState::Installed), (BackendId(1), FibState::Failed(FibFault::CapacityExceeded))],
    };
    let told = names().route(&view);
    assert_eq!(told.prefix, "192.0.2.0/24");
    assert_eq!((told.protocol(), told.kind()), (v1::Protocol::Bgp, v1::RouteKind::Ebgp));
    assert_eq!((told.distance, told.metric, told.tag, told.next_hop_id), (20, 7, 9, 5));
    assert_eq!((told.next_hops[0].gateway.as_str(), told.next_hops[0].interface_index), ("10.0.0.1", 0));
    // Interface 1 is the loopback of every namespace.
    assert_eq!((told.resolved[0].interface.as_str(), told.resolved[0].interface_index), ("lo", 1));
    assert_eq!((told.fib[0].backend.as_str(), told.fib[0].state()), ("kernel", v1::FibState::Installed));
    assert_eq!((told.fib[1].backend.as_str(), told.fib[1].state()), ("memory", v1::FibState::Failed));
    assert!(told.fib[1].reason.contains("full"), "{}", told.fib[1].reason);
}

#[test]
fn an_interface_that_is_gone_keeps_its_number() {
    let told = names().next_hops(&NextHopSet::from(NextHop::Interface(IfIndex(4_000_000))));
    assert_eq!((told[0].interface.as_str(), told[0].interface_index), ("", 4_000_000));
}

#[test]
fn every_verdict_has_words_of_its_own() {
    let verdicts = [
        Verdict::Best,
        Verdict::Unresolved,
        Verdict::HigherDistance,
        Verdict::NeverUsed,
        Verdict::HigherMetric,
        Verdict::LaterSource,
    ];
    let words: std::collections::BTreeSet<_> = verdicts
        .iter()
        .map(|verdict| {
            let route = route(Protocol::Static, NextHop::Local);
            let told = names().candidate(&Candidate { source: Source::Static, route, verdict: *verdict });
            assert_eq!(told.chosen, *verdict == Verdict::Best);
            told.reason
        })
        .collect();
    assert_eq!(words.len(), verdicts.len());
}

#[test]
fn attributes_are_written_as_operators_write_them() {
    let segment = |kind, asns: &[u32]| Segment { kind, asns: asns.iter().copied().collect() };
    let attributes = PathAttributes {
        origin: Origin::Incomplete,
        as_path: AsPath {
            segments: [
                segment(SegmentKind::ConfedSequence, &[65001]),
                segment(SegmentKind::Sequence, &[64500, 4_200_000_000]),
                segment(SegmentKind::Set, &[1, 2]),
            ]
            .into_iter()
            .collect(),
        },
        next_hop: NextHopAttr::V6 {
            global: "2001:db8::1".parse().unwrap(),
            link_local: Some("fe80::1".parse().unwrap()),
        },
        med: Some(0),
        local_pref: None,
        atomic_aggregate: true,
        aggregator: Some(Aggregator { asn: 64500, router_id: Ipv4Addr::new(192, 0, 2, 1) }),
        communities: vec![(64500 << 16) | 100, 0xFFFF_FF01],
        extended_communities: vec![[0, 2, 0xFB, 0xF4, 0, 0, 0, 100]],
        large_communities: vec![[64500, 1, 2]],
        originator_id: None,
        cluster_list: vec![Ipv4Addr::new(10, 0, 0, 9)],
        only_to_customer: None,
        unknown: vec![UnknownAttribute { flags: 0xE0, code: 99, value: bytes::Bytes::from_static(&[1, 2]) }],
        partial: Default::default(),
    };
    let told = convert::attributes(&attributes);
    assert_eq!(told.origin(), v1::Origin::Incomplete);
    assert_eq!(told.as_path_text, "(65001) 64500 4200000000 {1 2}");
    assert_eq!(told.as_path.len(), 3);
    assert_eq!((told.next_hop.as_str(), told.next_hop_link_local.as_str()), ("2001:db8::1", "fe80::1"));
    // Sent as zero is not the same as not sent.
    assert_eq!((told.med, told.local_pref), (Some(0), None));
    assert_eq!(told.aggregator, "64500 192.0.2.1");
    // Numbers, also for those that have names: programs need no table.
    assert_eq!(told.communities, ["64500:100", "65535:65281"]);
    assert_eq!(told.extended_communities, ["rt:64500:100"]);
    assert_eq!(told.large_communities, ["64500:1:2"]);
    assert_eq!(told.cluster_list, ["10.0.0.9"]);
    assert_eq!((told.unknown[0].code, told.unknown[0].value.as_slice()), (99, &[1, 2][..]));
}

#[test]
fn machine_times_become_wall_times_on_either_side_of_now() {
    let clock = convert::Clock::now();
    #[allow(clippy::disallowed_methods, reason = "a time to convert")]
    let (now, wall) = (std::time::Instant::now(), SystemTime::now());
    for (at, expected) in [
        (now - Duration::from_secs(60), wall - Duration::from_secs(60)),
        (now + Duration::from_secs(60), wall + Duration::from_secs(60)),
    ] {
        let told = SystemTime::try_from(clock.timestamp(at)).unwrap();
        let off = told.duration_since(expected).unwrap_or_else(|err| err.duration());
        assert!(off < Duration::from_secs(1), "{off:?}");
    }
}
