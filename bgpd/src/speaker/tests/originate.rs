//! What is told although no neighbor said it: aggregates and default routes.

use std::net::Ipv4Addr;

use rib::{NextHop, NextHopSet, Protocol};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net, service};
use crate::config::{Aggregate, PolicyRef, SpeakerConfig};
use crate::speaker::message::{Input, LocalRoute, Query, Reply};
use crate::wire::attr::{Aggregator, Origin, PathAttributes};

const HOP: &str = "198.51.100.1";

fn with_aggregates(list: &[(&str, bool)]) -> SpeakerConfig {
    let aggregates =
        list.iter().map(|(prefix, summary_only)| Aggregate { prefix: net(prefix), summary_only: *summary_only });
    SpeakerConfig { aggregates: aggregates.collect(), ..config(vec![neighbor(1, 65001), neighbor(2, 65002)]) }
}

fn reason(rig: &Rig, prefix: &str, n: u8) -> String {
    let neighbor = std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
    match rig.view(&Query::Explain { prefix: net(prefix), neighbor: Some(neighbor.into()) }) {
        Reply::Explain(explanation) => explanation.exports[0].reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_aggregate_lives_as_long_as_a_more_specific_prefix() {
    let mut rig = Rig::up(with_aggregates(&[("198.51.100.0/22", false)]));
    assert_eq!(rig.told(2, "198.51.100.0/22"), None);
    rig.announce(1, "198.51.100.0/22", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), Some(vec![OUR_AS, 65001]), "the same prefix contributes nothing");
    rig.withdraw(1, "198.51.100.0/22");
    rig.announce(1, "198.51.101.0/24", &attributes(&[65001], HOP));
    rig.announce(1, "198.51.102.0/24", &PathAttributes { origin: Origin::Incomplete, ..attributes(&[65001], HOP) });
    rig.settle();
    let told = rig.told_attributes(2, "198.51.100.0/22").expect("the aggregate is announced");
    assert_eq!(told.origin, Origin::Incomplete, "the worst of all (RFC 4271 §9.2.2.2)");
    assert!(told.atomic_aggregate, "an AS_PATH was hidden (§5.1.6)");
    assert_eq!(told.aggregator, Some(Aggregator { asn: OUR_AS, router_id: Ipv4Addr::new(10, 0, 0, 100) }));
    assert_eq!(rig.told(2, "198.51.100.0/22"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(2, "198.51.101.0/24"), Some(vec![OUR_AS, 65001]), "the more specific ones are told too");
    let discard = NextHopSet::new([NextHop::Discard(rib::Discard::Blackhole).into()]).expect("a leg");
    assert_eq!(rig.rib[&net("198.51.100.0/22")].next_hops, discard, "what is attracted too much cannot loop");

    rig.withdraw(1, "198.51.102.0/24").settle();
    assert_eq!(rig.told_attributes(2, "198.51.100.0/22").expect("still there").origin, Origin::Igp);
    rig.lose(1).settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), None);
    assert!(rig.rib.is_empty());
    rig.assert_no_leak();
}

#[test]
fn summary_only_keeps_the_more_specific_ones_back() {
    let mut rig = Rig::up(with_aggregates(&[("198.51.100.0/22", true), ("2001:db8::/32", true)]));
    rig.announce(1, "198.51.101.0/24", &attributes(&[65001], HOP));
    rig.announce(1, "2001:db8:1::/48", &attributes(&[65001], "2001:db8::1"));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP));
    rig.settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(2, "2001:db8::/32"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(2, "198.51.101.0/24"), None);
    assert_eq!(rig.told(2, "2001:db8:1::/48"), None);
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]));
    assert!(rig.rib.contains_key(&net("198.51.101.0/24")), "we forward by them");
    assert_eq!(reason(&rig, "198.51.101.0/24", 2), "the aggregate 198.51.100.0/22 is announced instead (summary_only)");

    // A reload without it: they come out, the aggregate goes.
    rig.input(Input::Configure(Box::new(with_aggregates(&[]))));
    rig.settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), None);
    assert_eq!(rig.told(2, "198.51.101.0/24"), Some(vec![OUR_AS, 65001]));
    // And back.
    rig.input(Input::Configure(Box::new(with_aggregates(&[("198.51.100.0/22", true)]))));
    rig.settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(2, "198.51.101.0/24"), None);
    rig.assert_no_leak();
}

#[test]
fn a_route_of_our_own_for_the_same_prefix_comes_before_the_aggregate() {
    let mut rig = Rig::up(with_aggregates(&[("198.51.100.0/22", false)]));
    let own = LocalRoute { protocol: Protocol::Static, med: Some(5), ..service() };
    rig.local("198.51.100.0/22", Some(own.clone()));
    rig.announce(1, "198.51.101.0/24", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told_attributes(2, "198.51.100.0/22").expect("our own").med, Some(5));
    rig.local("198.51.100.0/22", None).settle();
    assert!(rig.told_attributes(2, "198.51.100.0/22").expect("the aggregate").aggregator.is_some());
    rig.local("198.51.100.0/22", Some(own)).settle();
    assert_eq!(rig.told_attributes(2, "198.51.100.0/22").expect("our own again").aggregator, None);
    rig.withdraw(1, "198.51.101.0/24").settle();
    assert_eq!(rig.told_attributes(2, "198.51.100.0/22").expect("our own stays").med, Some(5));
    rig.local("198.51.100.0/22", None).settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), None);
    rig.assert_no_leak();
}

#[test]
fn an_aggregate_asks_export_policy_like_any_route() {
    let mut config = with_aggregates(&[("198.51.100.0/22", false)]);
    config.neighbors[1].export = PolicyRef::Unset;
    let mut rig = Rig::up(config);
    rig.announce(1, "198.51.101.0/24", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, "198.51.100.0/22"), None, "RFC 8212");
    assert_eq!(rig.told(1, "198.51.100.0/22"), Some(vec![OUR_AS]));
}

#[test]
fn default_originate_tells_one_neighbor_a_default_whatever_the_table_and_policy_say() {
    let mut config = config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]);
    config.neighbors[1].default_originate = true;
    config.neighbors[1].export = PolicyRef::Unset;
    let mut rig = Rig::up(config.clone());
    assert_eq!(rig.told(2, "0.0.0.0/0"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(2, "::/0"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(3, "0.0.0.0/0"), None);
    assert_eq!(rig.told(1, "0.0.0.0/0"), None);
    assert_eq!(reason(&rig, "0.0.0.0/0", 2), "default_originate");
    assert!(rig.rib.is_empty());

    rig.announce(1, "0.0.0.0/0", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, "0.0.0.0/0"), Some(vec![OUR_AS]), "the learned one is not told here");
    assert_eq!(rig.told(3, "0.0.0.0/0"), Some(vec![OUR_AS, 65001]));
    rig.withdraw(1, "0.0.0.0/0").settle();
    assert_eq!(rig.told(2, "0.0.0.0/0"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(3, "0.0.0.0/0"), None);

    // A new session is told again; a reload takes it back.
    rig.lose(2).settle();
    rig.connect(1);
    rig.settle();
    assert_eq!(rig.told(2, "0.0.0.0/0"), Some(vec![OUR_AS]));
    config.neighbors[1].default_originate = false;
    rig.input(Input::Configure(Box::new(config.clone())));
    rig.settle();
    assert_eq!(rig.told(2, "0.0.0.0/0"), None);
    config.neighbors[2].default_originate = true;
    rig.input(Input::Configure(Box::new(config)));
    rig.settle();
    assert_eq!(rig.told(3, "0.0.0.0/0"), Some(vec![OUR_AS]));
}
