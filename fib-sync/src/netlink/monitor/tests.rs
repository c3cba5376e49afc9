//! What the monitor tells, from messages as the kernel sends them.

use rib::{Leg, ResolvedLeg};

use super::*;
use crate::netlink::NexthopCompat;
use crate::netlink::encode::Target;

const KERNEL: KernelConfig =
    KernelConfig { table: 254, metric: 20, protocol: 179, nexthop_compat: NexthopCompat::Leave };

fn config() -> MonitorConfig {
    MonitorConfig { kernel: KERNEL, learn: true, own_ports: vec![77] }
}

/// A route event: of this protocol and metric, over these gateways.
fn event(known: &mut Known, kind: u16, flags: u16, protocol: u8, metric: u32, gateways: &[&str]) -> Vec<HostEvent> {
    let legs: Vec<ResolvedLeg> = (2..)
        .zip(gateways)
        .map(|(n, gateway)| ResolvedLeg {
            interface: IfIndex(n),
            gateway: Some(gateway.parse().unwrap()),
            onlink: false,
            weight: 1,
        })
        .collect();
    let prefix = if gateways[0].contains(':') { "2001:db8::/32" } else { "192.0.2.0/24" };
    let as_theirs = KernelConfig { protocol, metric, ..KERNEL };
    let mut buf = Vec::new();
    encode::route(&mut buf, 1, &as_theirs, prefix.parse().unwrap(), Target::Legs(&legs));
    let message = decode::messages(&buf).next().unwrap();
    let message = Message { kind, flags, ..message };
    let mut told = Vec::new();
    known.take(&config(), &message, &mut told);
    told
}

fn legs(told: &[HostEvent]) -> usize {
    match told {
        [HostEvent::Foreign { route: Some(route), .. }] => route.next_hops.legs().len(),
        [HostEvent::Foreign { route: None, .. }] => 0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn foreign_routes_are_told_once_and_ours_are_disturbances() {
    let mut known = Known::default();
    assert_eq!(legs(&event(&mut known, RTM_NEWROUTE, 0, 186, 50, &["10.0.0.9"])), 1);
    assert_eq!(event(&mut known, RTM_NEWROUTE, 0, 186, 50, &["10.0.0.9"]), []);
    assert_eq!(legs(&event(&mut known, RTM_DELROUTE, 0, 186, 50, &["10.0.0.9"])), 0);
    assert_eq!(event(&mut known, RTM_DELROUTE, 0, 186, 50, &["10.0.0.9"]), []);
    let ours = HostEvent::Disturbed("192.0.2.0/24".parse().unwrap());
    assert_eq!(event(&mut known, RTM_DELROUTE, 0, 179, 20, &["10.0.0.9"]), std::slice::from_ref(&ours));
    assert_eq!(event(&mut known, RTM_DELROUTE, 0, 179, 21, &["10.0.0.9"]), [], "not our metric: not ours");
    assert_eq!(event(&mut known, RTM_NEWROUTE, 0, 186, 20, &["10.0.0.9"])[0], ours, "our metric taken");
}

#[test]
fn what_the_kernel_makes_of_addresses_is_not_foreign() {
    let mut known = Known::default();
    assert_eq!(event(&mut known, RTM_NEWROUTE, 0, 2, 0, &["10.0.0.9"]), []);
}

#[test]
fn ipv6_legs_come_and_go_one_by_one() {
    let mut known = Known::default();
    event(&mut known, RTM_NEWROUTE, 0, 186, 50, &["fd00::1", "fd00::2"]);
    assert_eq!(legs(&event(&mut known, RTM_NEWROUTE, NLM_F_APPEND, 186, 50, &["fd00::3"])), 3);
    assert_eq!(legs(&event(&mut known, RTM_DELROUTE, 0, 186, 50, &["fd00::3"])), 2);
    assert_eq!(legs(&event(&mut known, RTM_DELROUTE, 0, 186, 50, &["fd00::1", "fd00::2"])), 0);
}

#[test]
fn after_lost_events_only_the_difference_is_told() {
    let link = |index, up| Link { index: IfIndex(index), name: format!("eth{index}"), up, mtu: 1500, loopback: false };
    let route = |via: &str| rib::Route {
        protocol: Protocol::Kernel,
        distance: Protocol::Kernel.default_distance(),
        metric: Metric(0),
        tag: 0,
        next_hops: NextHopSet::from(NextHop::via(via.parse().unwrap())),
    };
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let mut known = Known {
        links: [1, 2, 3].map(|n| (IfIndex(n), link(n, true))).into(),
        addresses: [(IfIndex(2), net("10.0.0.1/24")), (IfIndex(3), net("10.0.1.1/24"))].into(),
        foreign: [((net("192.0.2.0/24"), 0), route("10.0.0.9")), ((net("198.51.100.0/24"), 0), route("10.0.0.9"))]
            .into(),
    };
    let now = Known {
        links: [(IfIndex(1), link(1, true)), (IfIndex(2), link(2, false))].into(),
        addresses: [(IfIndex(2), net("10.0.0.1/24")), (IfIndex(2), net("10.0.0.2/24"))].into(),
        foreign: [((net("198.51.100.0/24"), 0), route("10.0.0.8"))].into(),
    };
    let mut told = Vec::new();
    known.become_(now, &mut told);
    assert_eq!(
        told,
        [
            HostEvent::Foreign { prefix: net("192.0.2.0/24"), metric: 0, route: None },
            HostEvent::Address { index: IfIndex(3), address: net("10.0.1.1/24"), present: false },
            HostEvent::LinkGone(IfIndex(3)),
            HostEvent::Link(link(2, false)),
            HostEvent::Address { index: IfIndex(2), address: net("10.0.0.2/24"), present: true },
            HostEvent::Foreign { prefix: net("198.51.100.0/24"), metric: 0, route: Some(route("10.0.0.8")) },
        ]
    );
}

#[test]
fn a_route_on_somebodys_object_is_spelled_out() {
    let mut buf = Vec::new();
    encode::route(&mut buf, 1, &KERNEL, "192.0.2.0/24".parse().unwrap(), Target::Object(7));
    let mut route = decode::route(decode::messages(&buf).next().unwrap().payload).unwrap();
    let leg = |id, n| decode::NextHop {
        id,
        family: AF_INET,
        protocol: 4,
        body: Body::Leg { interface: IfIndex(n), gateway: Some("10.0.0.9".parse().unwrap()), onlink: false },
    };
    let group = decode::NextHop { id: 7, family: 0, protocol: 4, body: Body::Group(vec![(5, 1), (6, 9)]) };
    resolve(&mut route, &[leg(5, 2), leg(6, 3), group]);
    let weights: Vec<u16> = legs_of(&route).map(|leg: Leg| leg.weight()).collect();
    assert_eq!(weights, [1, 9]);
}
