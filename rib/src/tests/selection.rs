use super::node::*;
use crate::message::{Input, Verdict};
use crate::*;

fn with(protocol: Protocol, distance: u8, metric: u32, gateway: &str) -> Route {
    Route { distance: AdminDistance(distance), metric: Metric(metric), ..route(protocol, via(gateway).into()) }
}

#[test]
fn the_lowest_distance_wins_then_the_metric_then_the_source() {
    let mut node = Node::with_links();
    node.add(Source::Bgp, "203.0.113.0/24", with(Protocol::Ebgp, 20, 0, "10.0.0.1"));
    node.add(Source::Static, "203.0.113.0/24", with(Protocol::Static, 20, 5, "10.0.0.2"));
    assert_eq!(node.best_source("203.0.113.0/24"), Some(Source::Bgp), "the lower metric wins");
    node.add(Source::Static, "203.0.113.0/24", with(Protocol::Static, 20, 0, "10.0.0.2"));
    assert_eq!(node.best_source("203.0.113.0/24"), Some(Source::Static), "all equal: the first source");
    node.add(Source::OspfV2, "203.0.113.0/24", with(Protocol::OspfIntra, 3, 900, "10.0.0.3"));
    assert_eq!(node.best_source("203.0.113.0/24"), Some(Source::OspfV2), "distance goes before metric");
    node.add(Source::Api, "203.0.113.0/24", with(Protocol::Api, 255, 0, "10.0.0.4"));
    assert_eq!(
        node.verdicts("203.0.113.0/24"),
        [
            (Source::OspfV2, Verdict::Best),
            (Source::Static, Verdict::HigherDistance),
            (Source::Bgp, Verdict::HigherDistance),
            (Source::Api, Verdict::NeverUsed),
        ]
    );
    node.remove(Source::OspfV2, "203.0.113.0/24");
    assert_eq!(
        node.verdicts("203.0.113.0/24"),
        [(Source::Static, Verdict::Best), (Source::Bgp, Verdict::LaterSource), (Source::Api, Verdict::NeverUsed)]
    );
    node.remove(Source::Static, "203.0.113.0/24").remove(Source::Bgp, "203.0.113.0/24");
    assert_eq!(node.best_source("203.0.113.0/24"), None, "255 is never used, even alone");
}

#[test]
fn a_route_that_does_not_resolve_leaves_the_prefix_to_a_worse_one() {
    let mut node = Node::with_links();
    node.static_route("203.0.113.0/24", via("192.0.2.1")).bgp("203.0.113.0/24", "10.0.0.1");
    assert_eq!(node.verdicts("203.0.113.0/24"), [(Source::Static, Verdict::Unresolved), (Source::Bgp, Verdict::Best)]);
    node.static_route("192.0.2.0/24", via("10.0.1.9"));
    assert_eq!(node.best_source("203.0.113.0/24"), Some(Source::Static));
    assert_eq!(node.legs("203.0.113.0/24"), [(3, Some(addr("10.0.1.9")), 1)]);
}

#[test]
fn a_later_change_for_the_same_prefix_wins_and_equal_routes_are_stored_once() {
    let mut node = Node::with_links();
    let mut batch = RouteBatch::new(Source::Bgp);
    for (prefix, gateway) in
        [("203.0.113.0/24", "10.0.0.1"), ("198.51.100.0/24", "10.0.0.1"), ("203.0.113.0/24", "10.0.0.2")]
    {
        batch.add(net(prefix), route(Protocol::Ebgp, via(gateway).into()));
    }
    node.give(Input::Routes(batch)).settle();
    assert_eq!(node.legs("203.0.113.0/24"), [(2, Some(addr("10.0.0.2")), 1)]);
    let interned = node.rib.routes.len();
    node.bgp_table(500, "10.0.0.1");
    assert_eq!(node.rib.routes.len(), interned, "500 prefixes more, no route more");
    node.give(Input::Flush(Source::Bgp)).settle();
    assert_eq!(node.rib.routes.len(), interned - 2, "the last reference takes the route along");
    assert_eq!(node.rib.summary().by_source, [(Source::Connected, 3)]);
}

#[test]
fn a_flush_takes_a_sources_routes_in_slices_and_leaves_those_given_after_it() {
    let mut node = Node::with_links();
    node.bgp_table(10_000, "10.0.0.1").static_route("100.0.5.0/24", via("10.0.1.1"));
    assert_eq!(node.rib.summary().ipv4, 10_002);
    node.give(Input::Flush(Source::Bgp));
    assert!(node.rib.has_work(), "10,000 removals do not fit one call");
    let mut batch = RouteBatch::new(Source::Bgp);
    batch.add(net("100.0.7.0/24"), route(Protocol::Ebgp, via("10.0.0.2").into()));
    node.give(Input::Routes(batch));
    node.static_route("192.0.2.0/24", via("10.0.1.1"));
    node.settle();
    assert_eq!(node.rib.summary().ipv4, 5, "two links, two static routes, and the one given after the flush");
    assert_eq!(node.legs("100.0.7.0/24"), [(2, Some(addr("10.0.0.2")), 1)]);
}

#[test]
fn a_short_batch_of_one_source_does_not_wait_for_the_long_one_of_another() {
    let mut node = Node::with_links();
    let mut long = RouteBatch::new(Source::Bgp);
    (0..50_000).for_each(|number| long.add(many(number), route(Protocol::Ebgp, via("10.0.0.1").into())));
    node.give(Input::Routes(long));
    assert!(node.rib.has_work());
    let mut short = RouteBatch::new(Source::Service);
    short.add(net("192.0.2.53/32"), route(Protocol::Service, NextHop::Local.into()));
    node.give(Input::Routes(short));
    assert!(node.rib.has_work(), "the long batch is not through");
    assert_eq!(node.get("192.0.2.53/32").expect("the short one is").forwarding, Forwarding::Local);
}
