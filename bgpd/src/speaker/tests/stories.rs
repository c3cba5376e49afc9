//! One story each.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rib::{AddressFamily, Protocol};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net, service, update};
use crate::config::{AdjInKeep, PolicyRef};
use crate::policy::{Action, Policy, PolicySet, Rule, Set};
use crate::speaker::message::{Command, Event, Input, LocalBatch, LocalRoute, Query, Reply, SessionState};
use crate::wire::attr::PeerKind;

const HOP: &str = "198.51.100.1";

fn explain(rig: &Rig, prefix: &str) -> crate::speaker::message::Explanation {
    match rig.view(&Query::Explain { prefix: net(prefix), neighbor: None }) {
        Reply::Explain(explanation) => explanation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rfc_8212_nothing_passes_an_external_neighbor_without_policy_but_services() {
    let mut bare = neighbor(2, 65002);
    (bare.import, bare.export) = (PolicyRef::Unset, PolicyRef::Unset);
    let mut internal = neighbor(3, OUR_AS);
    (internal.import, internal.export) = (PolicyRef::Unset, PolicyRef::Unset);
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), bare, internal]));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP));
    rig.announce(2, "203.0.113.0/24", &attributes(&[65002], HOP));
    rig.local("198.51.100.53/32", Some(service()));
    rig.local("198.18.0.0/15", Some(LocalRoute { protocol: Protocol::Static, ..service() }));
    rig.settle();
    assert_eq!(rig.told(2, "198.51.100.53/32"), Some(vec![OUR_AS]), "services are exported by default");
    assert_eq!(rig.told(2, "192.0.2.0/24"), None);
    assert_eq!(rig.told(2, "198.18.0.0/15"), None, "only services are");
    assert_eq!(rig.told(1, "198.18.0.0/15"), Some(vec![OUR_AS]));
    assert_eq!(rig.told(1, "203.0.113.0/24"), None, "nothing is imported without policy");
    assert_eq!(rig.told(3, "198.18.0.0/15"), Some(vec![]), "internal neighbors need no policy");
    let explained = explain(&rig, "203.0.113.0/24");
    assert_eq!(explained.candidates[0].reason, "RFC 8212: no import policy");
    let explained = explain(&rig, "192.0.2.0/24");
    assert_eq!(explained.exports[1].reason, "RFC 8212: no export policy");
    assert_eq!(explained.exports[0].reason, "split horizon: the best path is its own");
    assert_eq!(explained.candidates[0].reason, "the only usable path");
}

#[test]
fn who_becomes_the_source_of_a_route_loses_ours() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001, 1, 2], HOP)).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001, 1, 2]));
    rig.announce(2, "192.0.2.0/24", &attributes(&[65002, 2], HOP)).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), None);
    assert_eq!(rig.told(1, "192.0.2.0/24"), Some(vec![OUR_AS, 65002, 2]));
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![OUR_AS, 65002, 2]));
    let explained = explain(&rig, "192.0.2.0/24");
    assert_eq!(explained.candidates[0].reason, "shorter AS_PATH");
    assert_eq!(explained.candidates[1].reason, "longer AS_PATH");
    rig.lose(2).settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![OUR_AS, 65001, 1, 2]));
    assert_eq!(rig.told(1, "192.0.2.0/24"), None);
    rig.withdraw(1, "192.0.2.0/24").settle();
    assert!(rig.rib.is_empty());
    rig.assert_no_leak();
}

#[test]
fn a_late_neighbor_is_told_everything_and_then_end_of_rib() {
    let mut rig = Rig::new(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, OUR_AS)]));
    rig.connect(0);
    rig.connect(1);
    rig.settle();
    for n in 0..50 {
        rig.announce(1, &format!("10.{n}.0.0/16"), &attributes(&[65001, 7 + n % 3], HOP));
        rig.announce(1, &format!("2001:db8:{n}::/48"), &attributes(&[65001, 7], "2001:db8::1"));
    }
    rig.settle();
    rig.connect(2);
    rig.settle();
    assert_eq!(rig.fake(3).view.len(), 100);
    assert_eq!(rig.fake(3).end_of_rib.len(), 2);
    rig.lose(2).settle();
    rig.connect(1);
    rig.settle();
    assert_eq!(rig.fake(2).view.len(), 100, "the dump of one that joins a group under way");
    assert_eq!(rig.fake(2).end_of_rib.len(), 2);
    // Same attributes, many prefixes: few messages.
    assert!(rig.fake(2).updates < 10, "{} messages", rig.fake(2).updates);
}

#[test]
fn a_deaf_neighbor_does_not_keep_the_others_waiting_and_gets_only_the_last_word() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]));
    rig.fake(2).deaf = true;
    let prefixes: Vec<_> = (0..3000u32).map(|n| net(&format!("10.{}.{}.0/24", n / 200, n % 200))).collect();
    for round in 0..200 {
        // Each round every prefix changes, in pieces that never pack well.
        for (n, some) in (0u32..).zip(prefixes.chunks(30)) {
            rig.send(1, update(PeerKind::External, some, Some(&attributes(&[65001, 1000 + round, 1 + n], HOP))));
        }
        rig.settle();
        rig.later(Duration::from_millis(20));
    }
    let told = rig.told(3, "10.7.5.0/24").expect("the reading neighbor is told");
    assert_eq!(told[2], 1000 + 199, "and has the last word although the other does not read");
    assert!(matches!(rig.view(&Query::Summary), Reply::Summary(summary) if summary.groups == 2));
    let heard = rig.fake(3).updates;
    rig.fake(2).deaf = false;
    rig.settle();
    assert_eq!(rig.fake(2).view.len(), 3000);
    assert_eq!(rig.told(2, "10.7.5.0/24"), Some(told));
    let caught_up = rig.fake(2).updates;
    assert!(caught_up * 2 < heard, "what it missed has coalesced: {caught_up} messages instead of {heard}");
    rig.later(Duration::from_secs(1));
    assert!(matches!(rig.view(&Query::Summary), Reply::Summary(summary) if summary.groups == 1), "and it is back");
    rig.announce(1, "10.7.5.0/24", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, "10.7.5.0/24"), Some(vec![OUR_AS, 65001]));
    rig.assert_no_leak();
}

#[test]
fn a_service_withdrawal_overtakes_a_full_table() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    rig.local("198.51.100.53/32", Some(service())).settle();
    rig.fake(2).deaf = true;
    for n in 0..400u32 {
        let some: Vec<_> = (0..20).map(|k| net(&format!("10.{}.{}.0/24", n / 10, n % 10 * 20 + k))).collect();
        rig.send(1, update(PeerKind::External, &some, Some(&attributes(&[65001, 1 + n], HOP))));
    }
    rig.local("198.51.100.53/32", None);
    let at = rig.fakes.iter().position(|fake| fake.asn == 65002).expect("neighbor 2");
    rig.read(at, 1);
    assert_eq!(rig.told(2, "198.51.100.53/32"), None, "the first octets after it are the withdrawal");
    assert!(rig.fake(2).view.is_empty(), "and nothing of the table stands before it");
    rig.fake(2).deaf = false;
    rig.settle();
    assert_eq!(rig.fake(2).view.len(), 8000);
}

#[test]
fn unresolved_next_hops_are_neither_used_nor_passed_on() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    rig.reach(HOP, None);
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), None);
    assert!(rig.rib.is_empty());
    assert_eq!(explain(&rig, "192.0.2.0/24").candidates[0].reason, format!("next hop {HOP} is unreachable"));
    rig.reach(HOP, Some(5)).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]));
    rig.reach(HOP, None).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), None);
    rig.withdraw(1, "192.0.2.0/24").settle();
    assert_eq!(rig.tracked.len(), 1, "a next hop stays tracked for a while");
    rig.later(Duration::from_secs(31)).later(Duration::from_secs(31));
    assert!(rig.tracked.is_empty(), "and is let go then");
}

#[test]
fn reflection_adds_originator_and_cluster_and_refuses_loops() {
    let mut client = neighbor(2, OUR_AS);
    client.route_reflector_client = true;
    let mut rig = Rig::up(config(vec![neighbor(1, OUR_AS), client, neighbor(3, OUR_AS)]));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP)).settle();
    let told = rig.fake(2).view.get(&net("192.0.2.0/24")).cloned().expect("clients are told of non-clients' routes");
    assert_eq!(told.originator_id, Some("10.0.0.1".parse().expect("id")));
    assert_eq!(told.cluster_list, ["10.0.0.100".parse::<std::net::Ipv4Addr>().expect("id")]);
    assert_eq!(told.next_hop.addr().to_string(), HOP, "reflection does not touch the next hop");
    assert!(rig.fake(3).view.is_empty(), "non-clients are not told of non-clients' routes");
    let mut looped = attributes(&[65001], HOP);
    looped.cluster_list = vec!["10.0.0.100".parse().expect("id")];
    rig.announce(1, "192.0.2.0/24", &looped).settle();
    assert!(rig.fake(2).view.is_empty());
    assert_eq!(explain(&rig, "192.0.2.0/24").candidates[0].reason, "our cluster is in the CLUSTER_LIST");
}

#[test]
fn well_known_communities_are_obeyed() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, OUR_AS)]));
    let mut said = attributes(&[65001], HOP);
    said.communities = vec![0xffff_ff01];
    rig.announce(1, "192.0.2.0/24", &said).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), None, "NO_EXPORT stays in the AS");
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![65001]));
    said.communities = vec![0xffff_ff02];
    rig.announce(1, "192.0.2.0/24", &said).settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), None, "NO_ADVERTISE goes nowhere");
    assert_eq!(rig.rib.len(), 1, "but is used");
}

#[test]
fn a_malformed_attribute_withdraws_the_routes_and_leaves_the_session() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    let good = update(PeerKind::External, &[net("192.0.2.0/24")], Some(&attributes(&[65001], HOP)));
    rig.send(1, good.clone()).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]));
    // ORIGIN is the first attribute: its value stands behind header, two lengths and the attribute's head.
    let mut bad = good.clone();
    bad[19 + 4 + 3] = 9;
    rig.send(1, bad).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), None);
    assert!(rig.events.iter().any(|event| matches!(event, Event::UpdateFault { .. })));
    rig.send(1, good).settle();
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]), "the session is still there");
    // NLRI longer than an address: nothing can be withdrawn, so the session ends.
    let mut broken = BytesMut::from(&[0xff; 16][..]);
    broken.extend_from_slice(&[0, 25, 2, 0, 0, 0, 0, 33, 1]);
    rig.send(1, broken).settle();
    assert_eq!(rig.fake(1).notifications, 1);
    assert_eq!(rig.told(2, "192.0.2.0/24"), None);
    rig.assert_no_leak();
}

#[test]
fn announcements_are_held_until_all_neighbors_have_spoken() {
    let mut held = config(vec![neighbor(1, 65001), neighbor(2, 65002)]);
    held.startup_delay = Duration::from_secs(60);
    let mut rig = Rig::up(held.clone());
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP)).settle();
    assert!(rig.fake(2).view.is_empty() && rig.fake(2).end_of_rib.is_empty());
    for n in [1, 2] {
        for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
            let mut buf = BytesMut::new();
            crate::wire::update::encode_end_of_rib(family, &mut buf);
            rig.send(n, buf).settle();
        }
    }
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]));
    let mut rig = Rig::up(held);
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP)).settle();
    rig.later(Duration::from_secs(61));
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]), "or until the time is over");
}

/// A policy that accepts and sets MED.
fn med_policy(med: u32) -> Arc<PolicySet> {
    let rule = Rule { set: Set { med: Some(med), ..Set::default() }, action: Action::Accept, ..Rule::default() };
    let policy = Policy { default: Action::Reject, rules: vec![rule] };
    Arc::new(PolicySet { policies: [("med".to_owned(), policy)].into(), ..PolicySet::default() })
}

#[test]
fn a_policy_change_is_told_without_a_new_session_and_only_where_it_matters() {
    let mut before = config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]);
    before.policies = med_policy(5);
    let mut rig = Rig::up(before.clone());
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP));
    rig.local("198.51.100.53/32", Some(service())).settle();
    let untouched = rig.fake(3).updates;
    let mut after = before.clone();
    after.neighbors[1].export = PolicyRef::Chain(vec!["med".into()]);
    rig.input(Input::Configure(Box::new(after.clone())));
    rig.settle();
    assert_eq!(rig.fake(2).view[&net("192.0.2.0/24")].med, Some(5));
    assert_eq!(rig.fake(3).updates, untouched);
    after.neighbors[1].export = PolicyRef::Chain(vec!["reject".into()]);
    rig.input(Input::Configure(Box::new(after.clone())));
    rig.settle();
    assert!(rig.fake(2).view.is_empty(), "what the new policy refuses is taken back");
    after.neighbors[0].import = PolicyRef::Chain(vec!["reject".into()]);
    rig.input(Input::Configure(Box::new(after)));
    rig.settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), None);
    rig.input(Input::Configure(Box::new(before)));
    rig.settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]), "what was refused is still known");
    assert_eq!(rig.told(2, "192.0.2.0/24"), Some(vec![OUR_AS, 65001]));
    assert_eq!(rig.fakes.iter().map(|fake| fake.notifications).sum::<usize>(), 0, "no session was touched");
    rig.assert_no_leak();
}

#[test]
fn what_is_not_kept_is_asked_for_again() {
    let mut lean = neighbor(1, 65001);
    lean.adj_in = AdjInKeep::Accepted;
    lean.import = PolicyRef::Chain(vec!["reject".into()]);
    let mut rig = Rig::up(config(vec![lean, neighbor(2, 65002)]));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP)).settle();
    assert!(matches!(rig.view(&Query::Summary), Reply::Summary(summary) if summary.paths == (0, 0)));
    rig.input(Input::Command(Command::SoftIn { neighbor: "10.0.0.1".parse().expect("address") }));
    rig.settle();
    assert_eq!(rig.fake(1).refreshes, 2, "a ROUTE-REFRESH for each family");
}

#[test]
fn shutdown_withdraws_our_routes_then_ceases() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    rig.local("198.51.100.53/32", Some(service())).settle();
    let before = rig.fake(1).updates;
    rig.input(Input::Command(Command::Shutdown));
    rig.settle();
    assert!(rig.finished);
    for n in [1, 2] {
        assert_eq!(rig.fake(n).notifications, 1);
    }
    assert_eq!(rig.fake(1).updates, before + 1, "the withdrawal came before it");
    assert!(rig.events.iter().any(|event| matches!(event, Event::Neighbor { to: SessionState::Idle, .. })));
}

#[test]
fn views_page_in_prefix_order() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    for n in [5, 3, 9, 1, 7] {
        rig.announce(1, &format!("10.{n}.0.0/16"), &attributes(&[65001], HOP));
    }
    rig.settle();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let family = AddressFamily::Ipv4;
        let query = Query::AdjOut { neighbor: "10.0.0.2".parse().expect("address"), family, after, limit: 2 };
        let Reply::Paths { paths, next } = rig.view(&query) else { panic!("paths") };
        seen.extend(paths.iter().map(|path| path.prefix.to_string()));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["10.1.0.0/16", "10.3.0.0/16", "10.5.0.0/16", "10.7.0.0/16", "10.9.0.0/16"]);
    let Reply::Neighbors(neighbors) = rig.view(&Query::Neighbors(None)) else { panic!("neighbors") };
    assert_eq!((neighbors[0].received, neighbors[0].accepted, neighbors[0].advertised), (5, 5, 0));
    assert_eq!(neighbors[1].advertised, 5);
}

#[test]
fn a_big_local_batch_reaches_everybody_in_one_go() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001)]));
    let route = Arc::new(service());
    let changes = (0..5000u32).map(|n| (net(&format!("10.{}.{}.0/24", n / 250, n % 250)), Some(Arc::clone(&route))));
    rig.input(Input::Local(LocalBatch { changes: changes.collect() }));
    rig.settle();
    assert_eq!(rig.fake(1).view.len(), 5000);
    assert!(rig.fake(1).updates < 20, "packed: {} messages", rig.fake(1).updates);
    rig.assert_no_leak();
}

#[test]
fn the_history_of_a_neighbor_tells_what_both_said() {
    let mut lean = neighbor(1, 65001);
    lean.adj_in = AdjInKeep::Accepted;
    let mut rig = Rig::up(config(vec![lean, neighbor(2, 65002)]));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001, 7], HOP)).settle();
    let keys = [0, 1].map(|at| crate::speaker::message::NeighborKey::from(rig.fakes[at].address));
    rig.input(Input::Command(Command::SoftIn { neighbor: keys[0].clone() }));
    rig.settle();
    let history = |at: usize| match rig.view(&Query::History(keys[at].clone())) {
        Reply::History(entries) => entries,
        other => panic!("{other:?}"),
    };
    let said = |at: usize, sent: bool, words: &str| {
        let entries = history(at);
        assert!(
            entries.iter().any(|entry| entry.sent == sent && entry.description.contains(words)),
            "no {words} in {entries:#?}"
        );
    };
    said(0, false, "UPDATE: announce 192.0.2.0/24; origin igp, as-path \"65001 7\", next-hop 198.51.100.1");
    said(0, true, "ROUTE-REFRESH: send ipv4-unicast again");
    said(1, true, &format!("announce 192.0.2.0/24; origin igp, as-path \"{OUR_AS} 65001 7\""));
    for at in [0, 1] {
        said(at, true, "OPEN: AS 64512");
        said(at, false, "KEEPALIVE");
        let opens = history(at).iter().filter(|entry| entry.description.starts_with("OPEN")).count();
        assert_eq!(opens, 2, "each message is noted once");
    }
    let nobody = "203.0.113.99".parse::<std::net::IpAddr>().expect("an address");
    assert!(matches!(rig.view(&Query::History(nobody.into())), Reply::NoSuchNeighbor(_)));
}

#[test]
fn a_walk_over_the_table_misses_nothing_though_prefixes_come_meanwhile() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]));
    let say = |rig: &mut Rig, n: u8, net_of: u32, count: u32| {
        let asn = 65000 + u32::from(n);
        let routes: Vec<_> = (0..count).map(|n| (0, net(&format!("{net_of}.{}.{}.0/24", n / 250, n % 250)))).collect();
        for part in routes.chunks(250) {
            rig.say(n, part, Some(&attributes(&[asn], HOP)));
        }
    };
    say(&mut rig, 1, 10, 5000);
    rig.settle();
    // One walk is under way when another begins, and the table grows while it goes round.
    rig.lose(3).lose(1);
    say(&mut rig, 2, 11, 1500);
    rig.settle();
    let Reply::Summary(summary) = rig.view(&Query::Summary) else { panic!("no summary") };
    assert_eq!((summary.paths, rig.rib.len()), ((1500, 0), 1500));
}
