//! Several paths to a prefix: add-path (RFC 7911) received and sent, best-external, multipath.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bytes::BytesMut;
use rib::AddressFamily::{Ipv4, Ipv6};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net, service, update};
use crate::config::{AddPath, NeighborConfig, PolicyRef, SpeakerConfig};
use crate::speaker::message::{Command, Explanation, Input, NeighborKey, PathView, Query, Reply};
use crate::wire::attr::{PathAttributes, PeerKind};
use crate::wire::capability::AddPathMode;

const HOP: &str = "198.51.100.1";
const DEST: &str = "192.0.2.0/24";

fn receives(n: u8, asn: u32) -> NeighborConfig {
    NeighborConfig { add_path: AddPath { receive: true, send: 0 }, ..neighbor(n, asn) }
}

fn is_sent(n: u8, asn: u32, send: u16) -> NeighborConfig {
    NeighborConfig { add_path: AddPath { receive: false, send }, ..neighbor(n, asn) }
}

fn path(of: &PathAttributes) -> Vec<u32> {
    of.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect()
}

/// What neighbor `n` has of `prefix`: AS_PATHs by identifier.
fn told(rig: &mut Rig, n: u8, prefix: &str) -> BTreeMap<u32, Vec<u32>> {
    let of = net(prefix);
    rig.fake(n).paths.iter().filter(|((net, _), _)| *net == of).map(|((_, id), told)| (*id, path(told))).collect()
}

/// The AS_PATHs without their identifiers, sorted.
fn told_paths(rig: &mut Rig, n: u8, prefix: &str) -> Vec<Vec<u32>> {
    let mut paths: Vec<_> = told(rig, n, prefix).into_values().collect();
    paths.sort();
    paths
}

fn key(n: u8) -> NeighborKey {
    NeighborKey::Address(IpAddr::from([10, 0, 0, n]))
}

fn adj(rig: &Rig, n: u8, out: bool) -> Vec<PathView> {
    let (neighbor, family, after, limit) = (key(n), Ipv4, None, 100);
    let query = if out {
        Query::AdjOut { neighbor, family, after, limit }
    } else {
        Query::AdjIn { neighbor, family, after, limit }
    };
    match rig.view(&query) {
        Reply::Paths { paths, .. } => paths,
        other => panic!("{other:?}"),
    }
}

fn explain(rig: &Rig, n: u8) -> Explanation {
    match rig.view(&Query::Explain { prefix: net(DEST), neighbor: Some(key(n)) }) {
        Reply::Explain(explanation) => explanation,
        other => panic!("{other:?}"),
    }
}

fn received(rig: &Rig, n: u8) -> u64 {
    match rig.view(&Query::Neighbors(Some(key(n)))) {
        Reply::Neighbors(neighbors) => neighbors[0].received,
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_of_one_neighbor_live_and_die_by_their_identifiers() {
    let mut rig = Rig::up(config(vec![receives(1, 65001), neighbor(2, 65002)]));
    rig.announce_path(1, 7, DEST, &attributes(&[65001, 1, 2], HOP));
    rig.announce_path(1, 0, DEST, &attributes(&[65001, 1], HOP));
    rig.announce_path(1, u32::MAX, DEST, &attributes(&[65001, 1, 2, 3], HOP)).settle();
    assert_eq!(rig.told(2, DEST), Some(vec![OUR_AS, 65001, 1]));
    assert_eq!(received(&rig, 1), 3);
    let held: Vec<_> = adj(&rig, 1, false).iter().map(|view| (view.path_id, view.best)).collect();
    assert_eq!(held, [(Some(0), true), (Some(7), false), (Some(u32::MAX), false)]);
    // Implicit replacement by identifier: the best one becomes the worst.
    rig.announce_path(1, 0, DEST, &attributes(&[65001, 1, 2, 3, 4], HOP)).settle();
    assert_eq!(rig.told(2, DEST), Some(vec![OUR_AS, 65001, 1, 2]));
    assert_eq!(received(&rig, 1), 3);
    // An identifier that never was is no withdrawal of another.
    rig.say(1, &[(8, net(DEST))], None).settle();
    assert_eq!(received(&rig, 1), 3);
    rig.say(1, &[(7, net(DEST))], None).settle();
    assert_eq!(rig.told(2, DEST), Some(vec![OUR_AS, 65001, 1, 2, 3]));
    rig.say(1, &[(u32::MAX, net(DEST)), (0, net(DEST))], None).settle();
    assert_eq!(rig.told(2, DEST), None);
    assert!(rig.rib.is_empty());
    rig.assert_no_leak();
}

#[test]
fn a_lost_session_takes_all_its_paths_and_repeated_import_judges_each() {
    let mut rig = Rig::up(config(vec![receives(1, 65001), neighbor(2, 65002)]));
    for id in 1..4 {
        rig.announce_path(1, id, DEST, &attributes(&[65001, id], HOP));
    }
    rig.settle();
    let mut stricter = rig.config.clone();
    stricter.neighbors[0].import = PolicyRef::Chain(vec!["reject".into()]);
    rig.input(Input::Configure(Box::new(stricter)));
    rig.settle();
    assert_eq!(rig.told(2, DEST), None);
    assert_eq!(adj(&rig, 1, false).iter().filter(|view| view.imported.is_none()).count(), 3);
    rig.input(Input::Configure(Box::new(rig.config.clone())));
    rig.settle();
    assert_eq!(rig.told(2, DEST), Some(vec![OUR_AS, 65001, 1]), "all else equal, the lower identifier is best");
    assert_eq!(explain(&rig, 2).candidates[1].reason, "higher path identifier");
    rig.lose(1).settle();
    assert_eq!(rig.told(2, DEST), None);
    assert_eq!(received(&rig, 1), 0);
    rig.assert_no_leak();
}

#[test]
fn the_best_paths_are_told_each_with_an_identifier_of_its_own() {
    let neighbors =
        vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003), is_sent(4, OUR_AS, 2), neighbor(5, OUR_AS)];
    let mut rig = Rig::up(config(neighbors));
    rig.announce(1, DEST, &attributes(&[65001, 9, 9, 9], HOP)).settle();
    let first = told(&mut rig, 4, DEST);
    assert_eq!(first.len(), 1);
    rig.announce(2, DEST, &attributes(&[65002, 9, 9], HOP)).settle();
    let second = told(&mut rig, 4, DEST);
    assert_eq!(second.len(), 2);
    assert!(first.iter().all(|(id, path)| second.get(id) == Some(path)), "an identifier stays while its path is there");
    assert_eq!(rig.told(5, DEST), Some(vec![65002, 9, 9]), "without add-path: the best one");
    // A third, better than both: the worst goes, the other keeps its identifier.
    rig.announce(3, DEST, &attributes(&[65003, 9], HOP)).settle();
    let third = told(&mut rig, 4, DEST);
    assert_eq!(told_paths(&mut rig, 4, DEST), [vec![65002, 9, 9], vec![65003, 9]]);
    let kept = second.iter().find(|(_, path)| path[0] == 65002).expect("told");
    assert_eq!(third.get(kept.0), Some(kept.1));
    // New attributes of a path under its old identifier.
    rig.announce(2, DEST, &attributes(&[65002, 8, 8], HOP)).settle();
    assert_eq!(told(&mut rig, 4, DEST).get(kept.0), Some(&vec![65002, 8, 8]));
    let explained = explain(&rig, 4).exports;
    assert_eq!(explained.iter().map(|verdict| verdict.announced).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(explained[2].reason, "2 better paths are told (add_path.send)");
    let out: BTreeMap<_, _> =
        adj(&rig, 4, true).iter().map(|v| (v.path_id.expect("ids"), path(&v.attributes))).collect();
    assert_eq!(out, told(&mut rig, 4, DEST), "the view is what it was told");
    // One of the two goes: the third comes back.
    rig.withdraw(3, DEST).settle();
    assert_eq!(told_paths(&mut rig, 4, DEST), [vec![65001, 9, 9, 9], vec![65002, 8, 8]]);
    rig.lose(1).lose(2).settle();
    assert!(rig.fake(4).paths.is_empty());
    assert_eq!(rig.fake(4).end_of_rib.len(), 2);
    rig.assert_no_leak();
}

#[test]
fn a_change_that_tells_nothing_new_is_not_told() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), is_sent(3, 65003, 4)]));
    rig.announce(1, DEST, &attributes(&[65001, 9], HOP));
    rig.announce(2, DEST, &attributes(&[65002, 9], HOP)).settle();
    let before = rig.fake(3).updates;
    // MED and LOCAL_PREF do not leave the AS.
    let mut same = attributes(&[65002, 9], HOP);
    same.med = Some(7);
    rig.announce(2, DEST, &same).settle();
    assert_eq!(rig.fake(3).updates, before);
    assert_eq!(told_paths(&mut rig, 3, DEST), [vec![OUR_AS, 65001, 9], vec![OUR_AS, 65002, 9]]);
}

#[test]
fn split_horizon_and_the_rules_inside_an_as_hold_path_by_path() {
    let mut both = neighbor(3, OUR_AS);
    both.add_path = AddPath { receive: true, send: 8 };
    let mut client = neighbor(4, OUR_AS);
    client.add_path = both.add_path;
    client.route_reflector_client = true;
    let mut external = neighbor(5, 65005);
    external.add_path = both.add_path;
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, OUR_AS), both, client, external]));
    rig.announce(1, DEST, &attributes(&[65001], HOP));
    rig.announce(2, DEST, &attributes(&[65002], HOP));
    rig.announce_path(3, 1, DEST, &attributes(&[65003, 1], HOP));
    rig.announce_path(3, 2, DEST, &attributes(&[65003, 2], HOP));
    rig.announce_path(4, 1, DEST, &attributes(&[65004], HOP));
    rig.announce_path(5, 1, DEST, &attributes(&[65005], HOP)).settle();
    let internal = [vec![65001], vec![65004], vec![65005]];
    assert_eq!(told_paths(&mut rig, 3, DEST), internal, "of internal paths only the client's are reflected to others");
    let reflected = [vec![65001], vec![65002], vec![65003, 1], vec![65003, 2], vec![65005]];
    assert_eq!(told_paths(&mut rig, 4, DEST), reflected, "a client is told all but its own");
    let outside = [65001, 65002, 65004].map(|asn| vec![OUR_AS, asn]);
    let paths: Vec<_> = told_paths(&mut rig, 5, DEST).into_iter().filter(|path| path.len() == 2).collect();
    assert_eq!(paths, outside);
    assert_eq!(told(&mut rig, 5, DEST).len(), 5);
    let originators: Vec<_> =
        rig.fake(4).paths.values().filter_map(|told| told.originator_id).map(|id| id.to_string()).collect();
    assert_eq!(originators.len(), 3, "reflection marks each path by its own originator: {originators:?}");
    assert_eq!(originators.iter().filter(|id| *id == "10.0.0.3").count(), 2);
    let own = explain(&rig, 4).exports.into_iter().find(|verdict| verdict.reason.starts_with("split horizon"));
    assert_eq!(own.expect("a verdict on its own path").reason, "split horizon: the path is its own");
    rig.lose(3).settle();
    assert_eq!(told_paths(&mut rig, 4, DEST), [vec![65001], vec![65002], vec![65005]]);
    rig.assert_no_leak();
}

#[test]
fn a_family_without_identifiers_stays_without_beside_one_that_has_them() {
    let mut both = neighbor(1, 65001);
    both.add_path = AddPath { receive: true, send: 4 };
    let mut rig = Rig::new(config(vec![both, neighbor(2, 65002), neighbor(3, 65003)]));
    rig.offers.insert(0, vec![(Ipv4, AddPathMode::Both), (Ipv6, AddPathMode::Receive)]);
    (0..3).for_each(|at| rig.connect(at));
    rig.settle();
    assert_eq!((rig.fake(1).reads_ids, rig.fake(1).writes_ids), ([true, true], [true, false]));
    let six = "2001:db8:1::/48";
    rig.announce_path(1, 5, DEST, &attributes(&[65001, 1], HOP));
    rig.announce_path(1, 6, DEST, &attributes(&[65001, 2], HOP));
    rig.announce(1, six, &attributes(&[65001, 3], "2001:db8::1"));
    rig.announce(1, six, &attributes(&[65001, 4], "2001:db8::1")).settle();
    assert_eq!(received(&rig, 1), 3, "without identifiers the second word replaces the first");
    assert_eq!(rig.told(2, six), Some(vec![OUR_AS, 65001, 4]));
    rig.announce(2, six, &attributes(&[65002, 1], "2001:db8::1"));
    rig.announce(3, six, &attributes(&[65003, 1], "2001:db8::1")).settle();
    assert_eq!(told_paths(&mut rig, 1, six), [vec![OUR_AS, 65002, 1], vec![OUR_AS, 65003, 1]]);
}

#[test]
fn several_paths_survive_refresh_late_joiners_and_a_lower_limit() {
    let mut rig =
        Rig::new(config(vec![neighbor(1, 65001), neighbor(2, 65002), is_sent(3, OUR_AS, 4), is_sent(4, OUR_AS, 4)]));
    (0..3).for_each(|at| rig.connect(at));
    rig.settle();
    for n in 0..40 {
        rig.announce(1, &format!("10.{n}.0.0/16"), &attributes(&[65001, 7], HOP));
        rig.announce(2, &format!("10.{n}.0.0/16"), &attributes(&[65002, 1 + n], HOP));
    }
    rig.local("10.1.0.0/16", Some(service()));
    rig.settle();
    assert_eq!(rig.fake(3).paths.len(), 81);
    rig.connect(3);
    rig.settle();
    assert_eq!(rig.fakes[2].paths, rig.fakes[3].paths, "who comes later is told the same, with the same identifiers");
    let before = rig.fake(3).paths.clone();
    rig.fake(3).paths.clear();
    rig.input(Input::Command(Command::SoftOut { neighbor: key(3) }));
    rig.settle();
    assert_eq!(rig.fake(3).paths, before);
    let mut fewer = rig.config.clone();
    fewer.neighbors[2].add_path.send = 1;
    rig.input(Input::Configure(Box::new(fewer)));
    rig.settle();
    assert_eq!(rig.fake(3).notifications, 0, "another limit needs no new session");
    assert_eq!(rig.fake(3).paths.len(), 40);
    assert_eq!(rig.fake(4).paths.len(), 81);
    rig.local("10.1.0.0/16", None);
    rig.lose(2).settle();
    assert_eq!(rig.fake(4).paths.len(), 40);
    rig.lose(1).settle();
    assert!(rig.fake(3).paths.is_empty() && rig.fake(4).paths.is_empty());
    rig.assert_no_leak();
}

#[test]
fn best_external_is_told_inside_though_an_internal_path_is_best() {
    let story = |best_external: bool| {
        let neighbors = vec![neighbor(1, 65001), neighbor(2, OUR_AS), neighbor(3, OUR_AS), neighbor(4, 65004)];
        let mut rig = Rig::up(SpeakerConfig { best_external, ..config(neighbors) });
        let mut better = attributes(&[65009], HOP);
        better.local_pref = Some(200);
        rig.announce(2, DEST, &better);
        rig.announce(1, DEST, &attributes(&[65001, 1, 2], HOP)).settle();
        rig
    };
    let mut off = story(false);
    assert_eq!(off.told(3, DEST), None, "off by default");
    let mut rig = story(true);
    for n in [2, 3] {
        assert_eq!(rig.told(n, DEST), Some(vec![65001, 1, 2]));
    }
    assert_eq!(rig.told(4, DEST), Some(vec![OUR_AS, 65009]), "others are told the best one");
    assert!(explain(&rig, 3).exports[0].announced);
    // A change of a path that is not the best one.
    rig.announce(1, DEST, &attributes(&[65001, 1], HOP)).settle();
    assert_eq!(rig.told(3, DEST), Some(vec![65001, 1]));
    rig.announce(4, DEST, &attributes(&[65004], HOP)).settle();
    assert_eq!(rig.told(3, DEST), Some(vec![65004]));
    rig.lose(4).settle();
    assert_eq!(rig.told(3, DEST), Some(vec![65001, 1]));
    let without = SpeakerConfig { best_external: false, ..rig.config.clone() };
    rig.input(Input::Configure(Box::new(without)));
    rig.settle();
    assert_eq!(rig.told(3, DEST), None, "switched off without a new session");
    rig.input(Input::Configure(Box::new(rig.config.clone())));
    rig.settle();
    assert_eq!(rig.told(3, DEST), Some(vec![65001, 1]));
    rig.withdraw(1, DEST).settle();
    assert_eq!(rig.told(3, DEST), None);
    assert_eq!(rig.fakes.iter().map(|fake| fake.notifications).sum::<usize>(), 0);
    rig.assert_no_leak();
}

/// Next hops of the route in the RIB, with their weights.
fn legs(rig: &Rig) -> BTreeMap<String, u16> {
    let route = rig.rib.get(&net(DEST));
    let legs = route.iter().flat_map(|route| route.next_hops.legs());
    legs.map(|leg| match leg.next_hop {
        rib::NextHop::Gateway { addr, .. } => (addr.to_string(), leg.weight()),
        ref other => panic!("{other:?}"),
    })
    .collect()
}

fn hop(n: u8) -> String {
    format!("198.51.100.{n}")
}

fn hops(of: &[(u8, u16)]) -> BTreeMap<String, u16> {
    of.iter().map(|(n, weight)| (hop(*n), *weight)).collect()
}

#[test]
fn equal_paths_are_one_route_and_their_set_follows_each_of_them() {
    let neighbors = vec![neighbor(1, 65001), neighbor(2, 65001), neighbor(3, 65002), neighbor(4, 65003)];
    let several = SpeakerConfig { multipath_ebgp: 3, ..config(neighbors) };
    let mut rig = Rig::up(several.clone());
    for n in 1..4 {
        rig.announce(n, DEST, &attributes(&[if n == 3 { 65002 } else { 65001 }, 9], &hop(n)));
    }
    rig.settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1)]), "strict: one neighbor AS");
    let relaxed = SpeakerConfig { multipath_relax: true, ..several };
    rig.input(Input::Configure(Box::new(relaxed)));
    rig.settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1), (3, 1)]), "relaxed: equal length");
    let updates = rig.fake(4).updates;
    // The set changes though the best path does not.
    rig.announce(3, DEST, &attributes(&[65002, 9], &hop(7))).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1), (7, 1)]));
    rig.withdraw(2, DEST).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (7, 1)]));
    rig.reach(&hop(7), None).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1)]), "a next hop that is not reached takes no traffic");
    rig.reach(&hop(7), Some(0)).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (7, 1)]));
    rig.reach(&hop(7), Some(5)).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1)]), "nor one that is further");
    rig.reach(&hop(7), Some(0)).settle();
    rig.lose(3).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1)]));
    assert_eq!(rig.fake(4).updates, updates, "neighbors are told of the best path alone: nothing changed");
    rig.assert_no_leak();
}

#[test]
fn inside_the_as_strict_means_the_same_as_path() {
    let neighbors = vec![neighbor(1, OUR_AS), neighbor(2, OUR_AS), neighbor(3, OUR_AS)];
    let mut rig = Rig::up(SpeakerConfig { multipath_ibgp: 8, multipath_ebgp: 1, ..config(neighbors) });
    rig.announce(1, DEST, &attributes(&[65001, 8], &hop(1)));
    rig.announce(2, DEST, &attributes(&[65001, 8], &hop(2)));
    rig.announce(3, DEST, &attributes(&[65001, 9], &hop(3))).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1)]));
    rig.announce(3, DEST, &attributes(&[65001, 8], &hop(3))).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1), (3, 1)]));
}

#[test]
fn paths_of_one_add_path_neighbor_are_used_together() {
    let mut rig = Rig::up(SpeakerConfig { multipath_ebgp: 8, ..config(vec![receives(1, 65001), neighbor(2, 65002)]) });
    for id in 1..4u8 {
        rig.announce_path(1, id.into(), DEST, &attributes(&[65001], &hop(id)));
    }
    rig.settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1), (3, 1)]));
    rig.say(1, &[(1, net(DEST))], None).settle();
    assert_eq!(legs(&rig), hops(&[(2, 1), (3, 1)]));
}

#[test]
fn link_bandwidths_weight_the_next_hops_if_all_have_one() {
    let neighbors = vec![neighbor(1, 65001), neighbor(2, 65001), neighbor(3, 65001)];
    let mut rig = Rig::up(SpeakerConfig { multipath_ebgp: 3, ..config(neighbors) });
    let with = |n: u8, kind: u8, bandwidth: Option<f32>| {
        let mut said = attributes(&[65001], &hop(n));
        let community = |value: f32| {
            let [a, b, c, d] = value.to_be_bytes();
            [kind, 4, 0xfd, 0xe9, a, b, c, d]
        };
        said.extended_communities = bandwidth.map(community).into_iter().collect();
        said
    };
    // Our own encoder lets no such community out of an AS: these neighbors do.
    let say = |rig: &mut Rig, n: u8, said: PathAttributes| {
        rig.send(n, update(PeerKind::Internal, &[net(DEST)], Some(&said))).settle();
    };
    say(&mut rig, 1, with(1, 0x40, Some(125e6)));
    say(&mut rig, 2, with(2, 0x40, Some(375e6)));
    say(&mut rig, 3, with(3, 0x00, Some(250e6)));
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 3), (3, 2)]));
    say(&mut rig, 3, with(3, 0x00, None));
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1), (3, 1)]), "one without: equal shares");
    say(&mut rig, 3, with(3, 0x40, Some(0.0)));
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 1), (3, 1)]), "no bandwidth is none");
    rig.withdraw(3, DEST).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1), (2, 3)]));
    rig.withdraw(2, DEST).settle();
    assert_eq!(legs(&rig), hops(&[(1, 1)]));
}

#[test]
fn internal_paths_are_passed_on_when_their_next_hop_resolves_and_not_before() {
    let mut client = neighbor(2, OUR_AS);
    client.route_reflector_client = true;
    let mut rig = Rig::up(config(vec![neighbor(1, OUR_AS), client, neighbor(3, 65003), is_sent(4, 65004, 4)]));
    rig.reach(HOP, None);
    rig.announce(1, DEST, &attributes(&[65001], HOP)).settle();
    assert!(rig.fakes.iter().all(|fake| fake.view.is_empty() && fake.paths.is_empty()));
    assert!(rig.rib.is_empty());
    rig.reach(HOP, Some(3)).settle();
    assert_eq!(rig.told(2, DEST), Some(vec![65001]));
    assert_eq!(rig.told(3, DEST), Some(vec![OUR_AS, 65001]));
    assert_eq!(told_paths(&mut rig, 4, DEST), [vec![OUR_AS, 65001]]);
    assert_eq!(rig.rib.len(), 1);
    rig.reach(HOP, None).settle();
    assert!(rig.fakes.iter().all(|fake| fake.view.is_empty() && fake.paths.is_empty()));
    assert!(rig.rib.is_empty());
}

#[test]
fn a_neighbor_has_no_more_paths_to_a_prefix_than_can_be_looked_through() {
    let mut rig = Rig::up(config(vec![receives(1, 65001), neighbor(2, 65002)]));
    for id in 1..=1100 {
        rig.announce_path(1, id, DEST, &attributes(&[65001, id], HOP));
    }
    rig.settle();
    assert_eq!(received(&rig, 1), 1024);
    let Reply::Neighbors(views) = rig.view(&Query::Neighbors(Some(key(1)))) else { panic!("neighbors") };
    assert!(views[0].notes.iter().any(|note| note.starts_with("76 paths were not taken")), "{:?}", views[0].notes);
    rig.announce_path(1, 5, DEST, &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, DEST), Some(vec![OUR_AS, 65001]), "those that are there can be replaced");
    rig.lose(1).settle();
    assert_eq!(received(&rig, 1), 0);
    rig.assert_no_leak();
}

#[test]
fn a_congested_speaker_takes_less_in_but_always_goes_on() {
    // So many groups, each with its own way to say "we": export is slower than what comes in.
    let mut neighbors: Vec<_> = (2..20).map(|n| neighbor(n, 65000 + u32::from(n))).collect();
    for (one, asn) in neighbors.iter_mut().zip(64600..) {
        one.local_asn = Some(asn);
    }
    neighbors.push(neighbor(1, 65001));
    let mut rig = Rig::up(config(neighbors));
    let prefixes: Vec<_> =
        (0..120_000u32).map(|n| net(&format!("{}/26", Ipv4Addr::from_bits(0x0a00_0000 + n * 64)))).collect();
    let mut octets = BytesMut::new();
    for (n, some) in (0u32..).zip(prefixes.chunks(1000)) {
        octets.extend_from_slice(&update(PeerKind::External, some, Some(&attributes(&[65001, 1 + n], HOP))));
    }
    rig.announce(1, DEST, &attributes(&[65001], HOP)).settle();
    let waits = rig.receive(1, octets);
    assert!(waits.iter().any(|in_a_row| *in_a_row > 0), "it was congested");
    // While nothing is taken in, export goes on: the carrier that asks again and again does not ask in vain.
    assert!(waits.iter().all(|in_a_row| *in_a_row < 300), "{:?}", waits.iter().max());
    rig.settle();
    assert_eq!(rig.fake(2).view.len(), prefixes.len() + 1);
}
