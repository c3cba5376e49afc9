use super::node::*;
use crate::message::{Input, Reach, Verdict};
use crate::*;

#[test]
fn a_gateway_on_a_connected_prefix_is_a_neighbor_on_that_link() {
    let mut node = Node::with_links();
    node.bgp("203.0.113.0/24", "10.0.0.1").bgp("2001:db8:f::/48", "2001:db8:a::1");
    assert_eq!(node.legs("203.0.113.0/24"), [(2, Some(addr("10.0.0.1")), 1)]);
    assert_eq!(node.legs("2001:db8:f::/48"), [(2, Some(addr("2001:db8:a::1")), 1)]);
    let Forwarding::Legs(legs) = node.get("203.0.113.0/24").expect("resolved").forwarding else { panic!("legs") };
    assert!(!legs[0].onlink, "a connected prefix needs no onlink");
}

#[test]
fn a_chain_of_gateways_is_followed_to_its_end_over_families() {
    let mut node = Node::with_links();
    node.bgp("203.0.113.0/24", "192.0.2.1");
    assert_eq!(node.verdicts("203.0.113.0/24"), [(Source::Bgp, Verdict::Unresolved)]);
    node.static_route("192.0.2.0/24", via("198.51.100.1"));
    node.static_route("198.51.100.1/32", via("2001:db8:b::1"));
    assert_eq!(node.best_source("203.0.113.0/24"), None, "the end of the chain is missing");
    node.static_route("2001:db8:b::/64", via("2001:db8:a::7"));
    assert_eq!(
        node.legs("203.0.113.0/24"),
        [(2, Some(addr("2001:db8:a::7")), 1)],
        "RFC 8950: IPv4 over an IPv6 gateway"
    );
}

#[test]
fn routes_that_resolve_through_themselves_or_each_other_fail() {
    let mut node = Node::with_links();
    node.bgp("203.0.113.0/24", "203.0.113.1");
    assert_eq!(node.verdicts("203.0.113.0/24"), [(Source::Bgp, Verdict::Unresolved)]);
    // RFC 4271 §9.1.2.1: nor may a shorter route help, because installing the longer would end that.
    node.static_route("0.0.0.0/0", via("10.0.0.254"));
    assert_eq!(node.verdicts("203.0.113.0/24"), [(Source::Bgp, Verdict::Unresolved)]);
    node.bgp("198.18.0.0/16", "198.19.0.1").bgp("198.19.0.0/16", "198.18.0.1");
    assert_eq!(node.best_source("198.18.0.0/16"), None);
    assert_eq!(node.best_source("198.19.0.0/16"), None);
    // A third that leans on the pair sees them as not there and goes by the default route.
    node.bgp("192.0.2.0/24", "198.18.5.5");
    assert_eq!(node.legs("192.0.2.0/24"), [(2, Some(addr("10.0.0.254")), 1)]);
    // A longer prefix breaks the circle; taking it away closes it again.
    node.static_route("198.19.0.1/32", via("10.0.1.1"));
    assert_eq!(node.legs("198.18.0.0/16"), [(3, Some(addr("10.0.1.1")), 1)]);
    assert_eq!(node.legs("198.19.0.0/16"), [(3, Some(addr("10.0.1.1")), 1)]);
    assert_eq!(node.legs("192.0.2.0/24"), [(3, Some(addr("10.0.1.1")), 1)]);
    node.remove(Source::Static, "198.19.0.1/32");
    assert_eq!(node.best_source("198.18.0.0/16"), None);
    assert_eq!(node.legs("192.0.2.0/24"), [(2, Some(addr("10.0.0.254")), 1)]);
}

#[test]
fn legs_that_do_not_resolve_are_left_out_and_weights_are_kept() {
    let mut node = Node::with_links();
    let leg = |gateway: &str, weight: u8| Leg { next_hop: via(gateway), weight_less_one: weight - 1 };
    let set = NextHopSet::new([leg("10.0.0.1", 3), leg("10.0.1.1", 5), leg("192.0.2.1", 7)]).expect("legs");
    node.add(Source::Static, "203.0.113.0/24", route(Protocol::Static, set));
    assert_eq!(node.legs("203.0.113.0/24"), [(2, Some(addr("10.0.0.1")), 3), (3, Some(addr("10.0.1.1")), 5)]);
    node.link(ETH1, false);
    assert_eq!(node.legs("203.0.113.0/24"), [(2, Some(addr("10.0.0.1")), 3)]);
    node.link(ETH0, false);
    assert_eq!(node.best_source("203.0.113.0/24"), None);
    node.link(ETH0, true).link(ETH1, true);
    assert_eq!(node.legs("203.0.113.0/24").len(), 2);
}

#[test]
fn a_gateway_over_several_paths_shares_its_weight_among_them() {
    let mut node = Node::with_links();
    node.add(Source::OspfV2, "192.0.2.1/32", route(Protocol::OspfIntra, ecmp(&[via("10.0.0.1"), via("10.0.1.1")])));
    let leg = |gateway: &str, weight: u8| Leg { next_hop: via(gateway), weight_less_one: weight - 1 };
    let set = NextHopSet::new([leg("192.0.2.1", 1), leg("10.0.0.9", 2)]).expect("legs");
    node.add(Source::Bgp, "203.0.113.0/24", route(Protocol::Ibgp, set));
    assert_eq!(
        node.legs("203.0.113.0/24"),
        [(2, Some(addr("10.0.0.1")), 1), (2, Some(addr("10.0.0.9")), 4), (3, Some(addr("10.0.1.1")), 1)],
        "one third of the traffic in two halves, two thirds by the other"
    );
    // Two gateways that lead the same way are one leg.
    node.add(Source::Static, "192.0.2.2/32", route(Protocol::Static, via("10.0.0.9").into()));
    let set = NextHopSet::new([leg("192.0.2.2", 1), leg("10.0.0.9", 1)]).expect("legs");
    node.add(Source::Bgp, "198.51.100.0/24", route(Protocol::Ibgp, set));
    assert_eq!(node.legs("198.51.100.0/24"), [(2, Some(addr("10.0.0.9")), 1)]);
}

#[test]
fn link_local_and_onlink_gateways_need_their_interface_up() {
    let mut node = Node::with_links();
    let gateway = |text: &str, interface, onlink| NextHop::Gateway { addr: addr(text), interface, onlink };
    node.static_route("2001:db8:1::/48", gateway("fe80::1", Some(ETH0), false));
    node.static_route("2001:db8:2::/48", gateway("fe80::1", None, false));
    node.static_route("203.0.113.0/24", gateway("192.0.2.1", Some(ETH1), true));
    node.static_route("198.51.100.0/24", gateway("192.0.2.1", Some(ETH1), false));
    node.static_route("198.18.0.0/16", gateway("10.0.0.1", Some(ETH0), false));
    node.static_route("198.19.0.0/16", gateway("10.0.0.1", Some(ETH1), false));
    assert_eq!(node.legs("2001:db8:1::/48"), [(2, Some(addr("fe80::1")), 1)]);
    assert_eq!(node.best_source("2001:db8:2::/48"), None, "a link-local address without a link");
    assert_eq!(node.legs("203.0.113.0/24"), [(3, Some(addr("192.0.2.1")), 1)]);
    assert_eq!(node.best_source("198.51.100.0/24"), None, "no prefix on eth1 covers it");
    assert_eq!(node.legs("198.18.0.0/16"), [(2, Some(addr("10.0.0.1")), 1)]);
    assert_eq!(node.best_source("198.19.0.0/16"), None, "that neighbor is on the other link");
    node.link(ETH1, false);
    assert_eq!(node.best_source("203.0.113.0/24"), None);
    node.connect("192.0.2.0/24", ETH1).link(ETH1, true);
    assert_eq!(node.legs("198.51.100.0/24"), [(3, Some(addr("192.0.2.1")), 1)]);
}

#[test]
fn a_gateway_under_a_blackhole_is_dropped_and_one_that_is_this_host_leads_nowhere() {
    let mut node = Node::with_links();
    node.static_route("192.0.2.1/32", NextHop::Discard(Discard::Blackhole));
    node.bgp("203.0.113.9/32", "192.0.2.1");
    let view = node.get("203.0.113.9/32").expect("remotely triggered blackholing works by this");
    assert_eq!(view.forwarding, Forwarding::Discard(Discard::Blackhole));
    node.add(Source::Service, "192.0.2.53/32", route(Protocol::Service, NextHop::Local.into()));
    node.bgp("198.51.100.0/24", "192.0.2.53");
    assert_eq!(node.best_source("198.51.100.0/24"), None);
    node.track(Source::Bgp, &["192.0.2.53"]);
    assert_eq!(node.reaches(Source::Bgp)[&addr("192.0.2.53")], None);
}

#[test]
fn clients_hear_of_tracked_addresses_at_once_and_on_change_only() {
    let mut node = Node::with_links();
    node.track(Source::Bgp, &["10.0.0.1", "192.0.2.1"]).track(Source::Static, &["192.0.2.1"]);
    let reaches = node.reaches(Source::Bgp);
    let on_link = Reach { metric: Metric(0), protocol: Protocol::Connected, connected: true };
    assert_eq!(reaches[&addr("10.0.0.1")], Some(on_link));
    assert_eq!(reaches[&addr("192.0.2.1")], None);
    node.reaches(Source::Static);

    node.static_route("0.0.0.0/0", via("10.0.0.254"));
    let by_default = Reach { metric: Metric(0), protocol: Protocol::Static, connected: false };
    assert_eq!(node.reaches(Source::Bgp), [(addr("192.0.2.1"), Some(by_default))].into());
    assert_eq!(node.reaches(Source::Static), [(addr("192.0.2.1"), Some(by_default))].into());

    let igp = |metric| Route { metric: Metric(metric), ..route(Protocol::OspfIntra, via("10.0.1.1").into()) };
    node.add(Source::OspfV2, "192.0.2.0/24", igp(10));
    let by_igp = |metric| Reach { metric: Metric(metric), protocol: Protocol::OspfIntra, connected: false };
    assert_eq!(node.reaches(Source::Bgp), [(addr("192.0.2.1"), Some(by_igp(10)))].into());
    node.add(Source::OspfV2, "192.0.2.0/24", igp(30));
    assert_eq!(node.reaches(Source::Bgp), [(addr("192.0.2.1"), Some(by_igp(30)))].into());
    node.static_route("0.0.0.0/0", via("10.0.0.253"));
    assert!(node.reaches(Source::Bgp).is_empty(), "a shorter prefix than the one in use does not matter");
    node.remove(Source::OspfV2, "192.0.2.0/24");
    assert_eq!(node.reaches(Source::Bgp), [(addr("192.0.2.1"), Some(by_default))].into());
    node.link(ETH0, false);
    assert_eq!(node.reaches(Source::Bgp), [(addr("10.0.0.1"), None), (addr("192.0.2.1"), None)].into());
    node.give(Input::Track { client: Source::Bgp, add: vec![], remove: vec![addr("10.0.0.1"), addr("192.0.2.1")] });
    node.link(ETH0, true);
    assert!(node.reaches(Source::Bgp).is_empty());
}

#[test]
fn interned_sets_and_their_traces_go_with_the_last_route() {
    let mut node = Node::with_links();
    let before = node.rib.summary().next_hops;
    for round in 0..50 {
        node.bgp("203.0.113.0/24", &format!("10.0.0.{}", round % 7 + 1));
    }
    node.remove(Source::Bgp, "203.0.113.0/24");
    assert_eq!(node.rib.summary().next_hops, before);
    node.bgp("198.51.100.0/24", "10.0.0.1");
    let id = node.get("198.51.100.0/24").expect("chosen").next_hop_id;
    assert!(id.0 < 12, "numbers are used again: {id:?}");
}
