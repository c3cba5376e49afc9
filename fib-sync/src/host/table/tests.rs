//! A host lives through its day; the RIB hears what matters.

use rib::message::Input;
use rib::{IfIndex, Metric, NextHop, NextHopSet, Protocol, Route, Source};

use super::HostTable;
use crate::host::{HostEvent, Link};

const ETH0: IfIndex = IfIndex(2);
const ETH1: IfIndex = IfIndex(3);
const LO: IfIndex = IfIndex(1);

fn link(index: IfIndex, up: bool) -> HostEvent {
    let name = if index == LO { "lo".into() } else { format!("eth{}", index.0 - 2) };
    HostEvent::Link(Link { index, name, up, mtu: 1500, loopback: index == LO })
}

fn address(index: IfIndex, address: &str, present: bool) -> HostEvent {
    HostEvent::Address { index, address: address.parse().unwrap(), present }
}

fn foreign(metric: u32, via: Option<&str>) -> HostEvent {
    let route = via.map(|via| Route {
        protocol: Protocol::Kernel,
        distance: Protocol::Kernel.default_distance(),
        metric: Metric(metric),
        tag: 0,
        next_hops: NextHop::via(via.parse().unwrap()).into(),
    });
    HostEvent::Foreign { prefix: "198.51.100.0/24".parse().unwrap(), metric, route }
}

/// What was told, as words: `PREFIX = NEXT HOPS` or `PREFIX gone`, `IF up`.
fn words(inputs: Vec<Input>) -> Vec<String> {
    let mut words = Vec::new();
    for input in inputs {
        match input {
            Input::Interface { index, up } => words.push(format!("{} {}", index.0, if up { "up" } else { "down" })),
            Input::Routes(batch) => {
                assert!(matches!(batch.source, Source::Connected | Source::Kernel));
                for change in &batch.changes {
                    let hops = change.route.map(|n| hops(&batch.routes[n as usize].next_hops));
                    words.push(hops.map_or(format!("{} gone", change.prefix), |h| format!("{} = {h}", change.prefix)));
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    words
}

fn hops(set: &NextHopSet) -> String {
    let one = |hop: &NextHop| match hop {
        NextHop::Gateway { addr, .. } => addr.to_string(),
        NextHop::Interface(index) => format!("if{}", index.0),
        NextHop::Discard(_) => "discard".into(),
        NextHop::Local => "local".into(),
    };
    set.legs().iter().map(|leg| one(&leg.next_hop)).collect::<Vec<_>>().join(" ")
}

fn table() -> HostTable {
    HostTable::new(Protocol::Kernel.default_distance())
}

#[test]
fn two_links_in_one_network_are_two_legs_and_a_fallen_one_leaves() {
    let mut host = table();
    assert_eq!(words(host.handle(link(ETH0, true))), ["2 up"]);
    assert_eq!(words(host.handle(link(ETH1, true))), ["3 up"]);
    assert_eq!(words(host.handle(address(ETH0, "10.0.0.1/24", true))), ["10.0.0.0/24 = if2"]);
    assert_eq!(words(host.handle(address(ETH1, "10.0.0.2/24", true))), ["10.0.0.0/24 = if2 if3"]);
    assert_eq!(words(host.handle(link(ETH0, false))), ["2 down", "10.0.0.0/24 = if3"]);
    assert_eq!(words(host.handle(HostEvent::LinkGone(ETH1))), ["3 down", "10.0.0.0/24 gone"]);
    assert_eq!(words(host.handle(link(ETH0, true))), ["2 up", "10.0.0.0/24 = if2"]);
    assert!(host.is_local("10.0.0.1".parse().unwrap()));
    assert!(!host.is_local("10.0.0.2".parse().unwrap()));
}

#[test]
fn repeated_events_say_nothing() {
    let mut host = table();
    host.handle(link(ETH0, true));
    host.handle(address(ETH0, "10.0.0.1/24", true));
    assert!(host.handle(link(ETH0, true)).is_empty());
    assert!(host.handle(address(ETH0, "10.0.0.1/24", true)).is_empty());
    assert!(host.handle(address(ETH0, "10.9.0.1/24", false)).is_empty());
    assert!(host.handle(HostEvent::Synced).is_empty());
}

#[test]
fn a_second_address_keeps_the_network_when_the_first_goes() {
    let mut host = table();
    host.handle(link(ETH0, true));
    host.handle(address(ETH0, "10.0.0.1/24", true));
    host.handle(address(ETH0, "10.0.0.9/24", true));
    assert_eq!(words(host.handle(address(ETH0, "10.0.0.1/24", false))), ["10.0.0.0/24 = if2"]);
    assert_eq!(words(host.handle(address(ETH0, "10.0.0.9/24", false))), ["10.0.0.0/24 gone"]);
}

#[test]
fn loopback_host_addresses_are_this_host_and_link_local_ones_are_no_routes() {
    let mut host = table();
    host.handle(link(LO, true));
    host.handle(link(ETH0, true));
    assert!(host.handle(address(LO, "127.0.0.1/8", true)).is_empty());
    assert!(host.handle(address(LO, "::1/128", true)).is_empty());
    assert_eq!(words(host.handle(address(LO, "192.0.2.1/32", true))), ["192.0.2.1/32 = local"]);
    assert!(host.handle(address(ETH0, "fe80::1/64", true)).is_empty());
    assert!(host.is_local("fe80::1".parse().unwrap()));
    assert!(host.is_local("127.0.0.1".parse().unwrap()));
    assert_eq!(words(host.handle(address(ETH0, "2001:db8::1/64", true))), ["2001:db8::/64 = if2"]);
}

#[test]
fn a_vip_on_the_loopback_link_is_no_connected_route_while_a_service_claims_it() {
    let claim = |vips: &[&str]| vips.iter().map(|vip| vip.parse().unwrap()).collect();
    let mut host = table();
    host.handle(link(LO, true));
    host.handle(link(ETH0, true));
    host.handle(address(ETH0, "198.51.100.1/24", true));
    assert_eq!(words(host.handle(address(LO, "192.0.2.53/32", true))), ["192.0.2.53/32 = local"]);
    assert_eq!(
        words(host.claim(claim(&["192.0.2.53/32", "198.51.100.0/24"]))),
        ["192.0.2.53/32 gone", "198.51.100.0/24 = if2"]
    );
    // The service is gone, its address is not: announcing it as a connected route would undo the withdrawal.
    assert!(host.claim(claim(&[])).iter().all(|input| !words(vec![input.clone()])[0].contains("192.0.2.53/32 =")));
    assert_eq!(words(host.handle(address(LO, "192.0.2.53/32", false))), ["192.0.2.53/32 gone"]);
    host.claim(claim(&[]));
    assert_eq!(words(host.handle(address(LO, "192.0.2.53/32", true))), ["192.0.2.53/32 = local"]);
}

#[test]
fn a_renamed_link_is_found_by_its_new_name_only() {
    let mut host = table();
    host.handle(link(ETH0, true));
    host.handle(HostEvent::Link(Link { index: ETH0, name: "wan".into(), up: true, mtu: 1500, loopback: false }));
    assert_eq!(host.index_of("wan"), Some(ETH0));
    assert_eq!(host.index_of("eth0"), None);
    assert_eq!(host.name_of(ETH0), Some("wan"));
}

#[test]
fn of_several_foreign_routes_the_lowest_metric_counts() {
    let mut host = table();
    assert_eq!(words(host.handle(foreign(100, Some("10.0.0.7")))), ["198.51.100.0/24 = 10.0.0.7"]);
    assert!(host.handle(foreign(200, Some("10.0.0.8"))).is_empty());
    assert_eq!(words(host.handle(foreign(50, Some("10.0.0.6")))), ["198.51.100.0/24 = 10.0.0.6"]);
    assert_eq!(words(host.handle(foreign(50, None))), ["198.51.100.0/24 = 10.0.0.7"]);
    assert_eq!(words(host.handle(foreign(100, None))), ["198.51.100.0/24 = 10.0.0.8"]);
    assert_eq!(words(host.handle(foreign(200, None))), ["198.51.100.0/24 gone"]);
    assert!(host.handle(foreign(200, None)).is_empty());
}

#[test]
fn foreign_routes_get_the_configured_distance() {
    let mut host = HostTable::new(rib::AdminDistance(9));
    let Some(Input::Routes(batch)) = host.handle(foreign(7, Some("10.0.0.7"))).pop() else { panic!("nothing told") };
    assert_eq!(
        (batch.routes[0].distance.0, batch.routes[0].metric, batch.routes[0].protocol),
        (9, Metric(7), Protocol::Kernel)
    );
}
