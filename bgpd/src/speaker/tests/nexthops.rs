//! Who is told which next hop: never a neighbor its own address (RFC 4271 §5.1.3), what is dropped needs none (RFC 7999), and
//! clients of a route server are each told the best they may be told (RFC 7947 §2.3).

use std::net::IpAddr;

use rib::{Discard, NextHop};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net};
use crate::config::{AddPath, NeighborConfig, PolicyRef};
use crate::policy::{Action, Match, Policy, PolicySet, Rule, Set};
use crate::speaker::message::{ExportVerdict, Input, LinkAddress, NeighborKey, Query, Reply};
use crate::wire::attr::{PathAttributes, community};

const PREFIX: &str = "192.0.2.0/24";

fn client(n: u8) -> NeighborConfig {
    NeighborConfig { route_reflector_client: true, ..neighbor(n, OUR_AS) }
}

fn key(n: u8) -> NeighborKey {
    IpAddr::from([10, 0, 0, n]).into()
}

/// Prefixes that people are shown as told to neighbor `n`, and how many the table of neighbors says.
fn adj_out(rig: &Rig, n: u8) -> (Vec<ipnet::IpNet>, u64) {
    let query = Query::AdjOut { neighbor: key(n), family: rib::AddressFamily::Ipv4, after: None, limit: 100 };
    let Reply::Paths { paths, .. } = rig.view(&query) else { panic!("no paths") };
    let Reply::Neighbors(views) = rig.view(&Query::Neighbors(Some(key(n)))) else { panic!("no neighbor") };
    (paths.into_iter().map(|path| path.prefix).collect(), views[0].advertised)
}

fn verdicts(rig: &Rig, n: u8) -> Vec<ExportVerdict> {
    match rig.view(&Query::Explain { prefix: net(PREFIX), neighbor: Some(key(n)) }) {
        Reply::Explain(explanation) => explanation.exports,
        other => panic!("{other:?}"),
    }
}

fn via(next_hop: &str) -> PathAttributes {
    attributes(&[65009], next_hop)
}

#[test]
fn nobody_is_told_that_it_is_itself_the_next_hop() {
    let mut rig = Rig::up(config(vec![client(1), client(2), client(3)]));
    rig.announce(1, PREFIX, &via("10.0.0.2")).settle();
    assert_eq!((rig.told(2, PREFIX), rig.told(3, PREFIX)), (None, Some(vec![65009])));
    assert_eq!(rig.fake(2).updates, 2, "only End-of-RIB, of both families");
    assert_eq!((adj_out(&rig, 2), adj_out(&rig, 3)), ((vec![], 0), (vec![net(PREFIX)], 1)));
    let reason = "its next hop 10.0.0.2 is the neighbor itself (RFC 4271 section 5.1.3)";
    assert_eq!(verdicts(&rig, 2)[0].reason, reason);

    // Another next hop is news to it, and the old one means that it goes again; nobody else notices.
    rig.announce(1, PREFIX, &via("10.0.0.3")).settle();
    assert_eq!((rig.told(2, PREFIX), rig.told(3, PREFIX)), (Some(vec![65009]), None));
    rig.announce(1, PREFIX, &via("10.0.0.9")).settle();
    assert_eq!((rig.told(2, PREFIX), rig.told(3, PREFIX)), (Some(vec![65009]), Some(vec![65009])));
    rig.announce(1, PREFIX, &via("10.0.0.2")).settle();
    let heard = rig.fake(2).updates;
    assert_eq!((rig.told(2, PREFIX), rig.told(3, PREFIX)), (None, Some(vec![65009])));
    rig.withdraw(1, PREFIX).settle();
    assert_eq!((rig.fake(2).updates, rig.told(3, PREFIX)), (heard, None), "it has nothing to withdraw");

    // Who comes late is told no more.
    rig.announce(1, PREFIX, &via("10.0.0.2")).settle();
    rig.lose(2).settle().connect(1);
    rig.settle();
    assert_eq!((rig.told(2, PREFIX), adj_out(&rig, 2).1), (None, 0));
    // The best path may be somebody's whose next hop it is not.
    rig.announce(3, PREFIX, &via("10.0.0.3")).settle();
    rig.withdraw(1, PREFIX).settle();
    assert_eq!(rig.told(2, PREFIX), Some(vec![65009]));
    rig.assert_no_leak();
}

#[test]
fn of_several_paths_a_neighbor_is_told_those_through_others() {
    let several = |n| NeighborConfig { add_path: AddPath { receive: true, send: 4 }, ..client(n) };
    let mut rig = Rig::up(config(vec![several(1), several(2), several(3)]));
    rig.announce_path(1, 1, PREFIX, &via("10.0.0.2")).announce_path(1, 2, PREFIX, &via("10.0.0.9")).settle();
    assert_eq!((rig.fake(2).paths.len(), rig.fake(3).paths.len()), (1, 2));
    assert_eq!(adj_out(&rig, 2), (vec![net(PREFIX)], 1));
    // Its double asserts that only what was told is withdrawn.
    rig.announce_path(1, 2, PREFIX, &via("10.0.0.2")).settle();
    assert_eq!((rig.fake(2).paths.len(), rig.fake(3).paths.len()), (0, 2));
    rig.announce_path(1, 1, PREFIX, &via("10.0.0.8")).settle();
    assert_eq!((rig.fake(2).paths.len(), rig.fake(3).paths.len()), (1, 2));
    rig.lose(2).settle().connect(1);
    rig.settle();
    assert_eq!(rig.fake(2).paths.len(), 1);
    rig.lose(1).settle();
    assert_eq!((rig.fake(2).paths.len(), rig.fake(3).paths.len()), (0, 0));
    rig.assert_no_leak();
}

#[test]
fn what_is_dropped_here_needs_no_way_to_its_next_hop() {
    let mut customer = neighbor(1, 65001);
    customer.import = PolicyRef::Chain(vec!["blackholes".into()]);
    let mut config = config(vec![customer, neighbor(2, OUR_AS)]);
    let rule = Rule { set: Set { med: Some(5), ..Set::default() }, action: Action::Accept, ..Rule::default() };
    let mut policies = PolicySet::default();
    policies.policies.insert("blackholes".into(), Policy { rules: vec![rule], ..Policy::default() });
    config.policies = policies.into();
    let mut rig = Rig::up(config);
    rig.metric.insert("198.51.100.66".parse().unwrap(), None);
    let attributes = attributes(&[65001], "198.51.100.66");
    rig.announce(1, PREFIX, &attributes).settle();
    assert!(rig.rib.is_empty(), "an ordinary route does");
    let hole = PathAttributes { communities: vec![community::BLACKHOLE], ..attributes };
    rig.announce(1, PREFIX, &hole).settle();
    let route = rig.rib.get(&net(PREFIX)).expect("installed");
    assert_eq!(route.next_hops.legs()[0].next_hop, NextHop::Discard(Discard::Blackhole));
    assert_eq!(rig.told(2, PREFIX), Some(vec![65001]));
    // The next hop comes and goes: nothing changes.
    rig.reach("198.51.100.66", Some(3)).settle().reach("198.51.100.66", None).settle();
    assert!(rig.rib.contains_key(&net(PREFIX)));
    assert_eq!(rig.removed, 0);
    rig.withdraw(1, PREFIX).settle();
    assert!(rig.rib.is_empty());
    rig.assert_no_leak();
}

/// Clients of a route server: the third one's export policy takes nothing of AS 65001.
fn route_server() -> Rig {
    let mut policies = PolicySet::default();
    let from = |asn| Match { origin_asn: Some(asn), ..Match::default() };
    let rules = vec![
        Rule { matches: from(65001), action: Action::Reject, ..Rule::default() },
        Rule { action: Action::Accept, ..Rule::default() },
    ];
    policies.policies.insert("picky".into(), Policy { rules, ..Policy::default() });
    let of = |n: u8| NeighborConfig { route_server_client: true, ..neighbor(n, 65000 + u32::from(n)) };
    let picky = NeighborConfig { export: PolicyRef::Chain(vec!["picky".into()]), ..of(3) };
    let mut config = config(vec![of(1), of(2), picky, of(4)]);
    config.policies = policies.into();
    Rig::up(config)
}

#[test]
fn many_clients_of_a_route_server_share_a_slice() {
    let of = |n: u8| NeighborConfig { route_server_client: true, ..neighbor(n, 65000 + u32::from(n)) };
    let mut rig = Rig::up(config((1..=41).map(of).collect()));
    let routes: Vec<_> = (0..1500_u32).map(|n| (0, net(&format!("10.{}.{}.0/24", n / 250, n % 250)))).collect();
    // The way to the next hop is known.
    rig.announce(41, PREFIX, &attributes(&[65041], "10.0.0.41")).settle();
    for part in routes.chunks(250) {
        rig.say(41, part, Some(&attributes(&[65041], "10.0.0.41")));
    }
    let told = |rig: &Rig| match rig.view(&Query::Neighbors(None)) {
        Reply::Neighbors(views) => views.iter().map(|view| view.advertised).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    // 60,000 routes are to be told; no slice may take long over them, and all get on alike.
    let (mut before, mut slices) = (told(&rig).iter().sum::<u64>(), 0);
    while before < 40 * 1501 {
        rig.input(Input::Work);
        let now = told(&rig);
        let sum: u64 = now.iter().sum();
        assert!(sum - before <= 10_000, "{} routes in a slice", sum - before);
        let ahead = now[..40].iter().max().unwrap() - now[..40].iter().min().unwrap();
        assert!(ahead <= 1024, "one is {ahead} routes ahead of another");
        (before, slices) = (sum, slices + 1);
        assert!(slices < 100, "{now:?}");
    }
    rig.settle();
    assert_eq!(rig.fake(7).view.len(), 1501);
}

#[test]
fn a_path_kept_from_one_client_of_a_route_server_does_not_hide_others_from_it() {
    let mut rig = route_server();
    rig.announce(1, PREFIX, &attributes(&[65001], "10.0.0.1")).settle();
    assert_eq!((rig.told(1, PREFIX), rig.told(3, PREFIX)), (None, None));
    rig.announce(2, PREFIX, &attributes(&[65002, 65010], "10.0.0.2")).settle();
    // The best path is the first one's: everybody else has it who may, and itself the next best.
    assert_eq!(rig.told(1, PREFIX), Some(vec![65002, 65010]));
    assert_eq!(rig.told(2, PREFIX), Some(vec![65001]));
    assert_eq!(rig.told(3, PREFIX), Some(vec![65002, 65010]));
    assert_eq!(rig.told(4, PREFIX), Some(vec![65001]));
    let explained = verdicts(&rig, 3);
    let said: Vec<_> = explained.iter().map(|one| (one.announced, one.reason.as_str())).collect();
    assert_eq!(said, [(false, "policy picky, rule 1"), (true, "policy picky, rule 2")]);
    assert_eq!(adj_out(&rig, 3), (vec![net(PREFIX)], 1));

    // A path that is nobody's best still counts for those who are told it.
    rig.announce(2, PREFIX, &attributes(&[65002, 65010, 65011], "10.0.0.2")).settle();
    assert_eq!(rig.told(3, PREFIX), Some(vec![65002, 65010, 65011]));
    rig.withdraw(1, PREFIX).settle();
    assert_eq!((rig.told(1, PREFIX), rig.told(2, PREFIX)), (Some(vec![65002, 65010, 65011]), None));
    assert_eq!(rig.told(4, PREFIX), Some(vec![65002, 65010, 65011]));
    // A client that announces another one's address as the next hop keeps nothing from the others.
    rig.announce(1, PREFIX, &attributes(&[65001], "10.0.0.4")).settle();
    assert_eq!((rig.told(2, PREFIX), rig.told(4, PREFIX)), (Some(vec![65001]), Some(vec![65002, 65010, 65011])));
    rig.lose(1).lose(2).settle();
    assert_eq!((rig.told(3, PREFIX), rig.told(4, PREFIX)), (None, None));
    rig.assert_no_leak();
}

#[test]
fn addresses_of_ours_lead_nowhere_and_what_is_ours_may_change() {
    let own = |addresses: &[&str]| {
        let link = |text: &&str| LinkAddress { link: 2, address: net(text) };
        Input::Addresses(addresses.iter().map(link).collect())
    };
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, OUR_AS)]));
    rig.announce(1, PREFIX, &attributes(&[65001], "10.0.0.77")).settle();
    assert_eq!(rig.told(2, PREFIX), Some(vec![65001]));
    rig.input(own(&["10.0.0.77/24"]));
    rig.settle();
    assert_eq!((rig.told(2, PREFIX), rig.rib.len()), (None, 0));
    let Reply::Explain(explanation) = rig.view(&Query::Explain { prefix: net(PREFIX), neighbor: None }) else {
        panic!("no explanation")
    };
    let text = format!("{explanation:?}");
    assert!(text.contains("next hop 10.0.0.77 is an address of ours (RFC 4271 section 5.1.3)"), "{text}");
    // What the RIB says of it meanwhile changes nothing, and counts when it is somebody else's.
    rig.reach("10.0.0.77", Some(3)).settle();
    assert_eq!(rig.rib.len(), 0);
    rig.input(own(&["10.0.0.78/24"]));
    rig.settle();
    assert_eq!((rig.told(2, PREFIX), rig.rib.len()), (Some(vec![65001]), 1));
    // One that is named for the first time.
    rig.announce(1, PREFIX, &attributes(&[65001], "10.0.0.78")).settle();
    assert_eq!((rig.told(2, PREFIX), rig.rib.len()), (None, 0));
    rig.assert_no_leak();
}
