//! Path identifiers (RFC 7911 §2, §5): whose they are, when they change, and what a withdrawal names.

use super::octets::{
    communities, four_octet_as, local_pref, mp_reach, mp_unreach, multiprotocol, next_hop, nlri, origin, path, update,
    v6,
};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const ROUTE: &str = "192.0.2.0/24";
const OTHER: &str = "198.51.100.0/24";
const SIX: &str = "2001:db8:7::/48";
const BOTH: &str = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";

fn ways(mode: u8) -> (u8, Vec<u8>) {
    (69, vec![0, 1, 1, mode, 0, 2, 1, mode])
}

fn with_id(id: u32, prefix: &str) -> Vec<u8> {
    [&id.to_be_bytes()[..], &nlri(&[prefix])].concat()
}

fn say(peer: &mut Peer, id: u32, prefix: &str, asns: &[u32]) {
    let attributes = [origin(0), path(asns), next_hop("10.0.0.1")].concat();
    peer.send(&update(&[], &attributes, &with_id(id, prefix)));
}

fn unsay(peer: &mut Peer, id: u32, prefix: &str) {
    peer.send(&update(&with_id(id, prefix), &[], &[]));
}

/// Neighbors 1 and 2 say several paths, neighbor 3 is told up to eight.
fn rig() -> (Rig, Peer, Peer, Peer) {
    let receive = format!("{BOTH}\nadd_path = {{ receive = true }}");
    let send = format!("{BOTH}\nadd_path = {{ receive = false, send = 8 }}");
    let rig = Rig::new(&(neighbor(1, 64501, &receive) + &neighbor(2, 64502, &receive) + &neighbor(3, OUR_AS, &send)));
    let up = |number, asn, mode| {
        let capabilities = [multiprotocol(1), multiprotocol(2), four_octet_as(asn), ways(mode)];
        Peer::up_with(&rig, number, asn, &capabilities)
    };
    let (one, two, mut all) = (up(1, 64501, 2), up(2, 64502, 2), up(3, OUR_AS, 1));
    all.reading.add_path = [true, true];
    (rig, one, two, all)
}

/// Paths of `prefix` with the identifiers they were told with, by path.
fn told(peer: &Peer, prefix: &str) -> Vec<(String, u32)> {
    let prefix = prefix.parse().expect("a prefix");
    let of = |((id, net), route): (&(u32, ipnet::IpNet), &super::octets::Attributes)| {
        (*net == prefix).then(|| (route.path(), *id))
    };
    let mut list: Vec<_> = peer.table.iter().filter_map(of).collect();
    list.sort();
    list
}

fn paths(peer: &Peer, prefix: &str) -> Vec<String> {
    told(peer, prefix).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn identifiers_belong_to_a_neighbor_and_a_prefix() {
    let (_rig, mut one, mut two, mut all) = rig();
    // The same ones from two neighbors and for two prefixes; 0 and the greatest are like others.
    for (peer, asn) in [(&mut one, 64501), (&mut two, 64502)] {
        for id in [0, 1, u32::MAX] {
            say(peer, id, ROUTE, &[asn, 1000 + id % 7]);
        }
        say(peer, 1, OTHER, &[asn]);
    }
    all.await_table(|peer| paths(peer, ROUTE).len() == 6 && paths(peer, OTHER).len() == 2);
    unsay(&mut one, 1, ROUTE);
    all.await_table(|peer| paths(peer, ROUTE).len() == 5);
    assert!(!paths(&all, ROUTE).contains(&"64501 1001".to_owned()), "{:?}", told(&all, ROUTE));
    assert_eq!(paths(&all, OTHER).len(), 2, "the other prefix keeps its path");
    drop(one);
    all.await_table(|peer| paths(peer, ROUTE).len() == 3 && paths(peer, OTHER) == ["64502"]);
}

#[test]
fn what_is_said_again_replaces_and_what_was_never_said_is_no_loss() {
    let (rig, mut one, mut two, mut all) = rig();
    say(&mut one, 7, ROUTE, &[64501, 1]);
    say(&mut one, 8, ROUTE, &[64501, 2, 2]);
    all.await_table(|peer| paths(peer, ROUTE).len() == 2);
    let before = told(&all, ROUTE);
    // RFC 7911 §5: other attributes with the same identifier; then a withdrawal with one that was never seen.
    say(&mut one, 7, ROUTE, &[64501, 3]);
    unsay(&mut one, 9, ROUTE);
    unsay(&mut two, 7, ROUTE);
    say(&mut two, 1, OTHER, &[64502]);
    all.await_table(|peer| paths(peer, ROUTE) == ["64501 2 2", "64501 3"] && !paths(peer, OTHER).is_empty());
    let after = told(&all, ROUTE);
    assert_eq!(before[1].1, after[0].1, "a path that stays keeps the identifier that we gave it");
    // The same path twice in one UPDATE, and withdrawn and announced in one.
    let attributes = [origin(0), path(&[64501, 4]), next_hop("10.0.0.1")].concat();
    let twice = [with_id(7, ROUTE), with_id(7, ROUTE)].concat();
    one.send(&update(&with_id(7, ROUTE), &attributes, &twice));
    all.await_table(|peer| paths(peer, ROUTE) == ["64501 2 2", "64501 4"]);
    assert_eq!(rig.neighbor(1).established_count, 1);
}

#[test]
fn a_malformed_attribute_takes_the_one_path_only() {
    let (_rig, mut one, _two, mut all) = rig();
    say(&mut one, 1, ROUTE, &[64501, 1]);
    say(&mut one, 2, ROUTE, &[64501, 2]);
    all.await_table(|peer| paths(peer, ROUTE).len() == 2);
    let bad = [&[0x40, 1, 1, 9][..], &path(&[64501, 2]), &next_hop("10.0.0.1")].concat();
    one.send(&update(&[], &bad, &with_id(2, ROUTE)));
    all.await_table(|peer| paths(peer, ROUTE) == ["64501 1"]);
}

#[test]
fn ipv6_has_identifiers_of_its_own() {
    let (_rig, mut one, _two, mut all) = rig();
    for (id, asn) in [(1, 11), (2, 12)] {
        let reach = mp_reach(2, &v6("2001:db8::1"), &with_id(id, SIX));
        one.send(&update(&[], &[reach, origin(0), path(&[64501, asn])].concat(), &[]));
    }
    all.await_table(|peer| paths(peer, SIX) == ["64501 11", "64501 12"]);
    one.send(&update(&[], &mp_unreach(2, &with_id(1, SIX)), &[]));
    all.await_table(|peer| paths(peer, SIX) == ["64501 12"]);
}

#[test]
fn a_reflector_tells_all_paths_and_gives_them_identifiers_of_its_own() {
    let client = "route_reflector_client = true\nadd_path = { receive = true, send = 8 }";
    let rig = Rig::new(&(1..=3).map(|n| neighbor(n, OUR_AS, client)).collect::<String>());
    let up = |number| {
        let mode = (69, vec![0, 1, 1, 3]);
        let mut peer = Peer::up_with(&rig, number, OUR_AS, &[multiprotocol(1), four_octet_as(OUR_AS), mode]);
        peer.reading.add_path = [true, false];
        peer
    };
    let (mut one, mut two, mut three) = (up(1), up(2), up(3));
    let said = |peer: &mut Peer, id, asn| {
        let attributes = [origin(0), path(&[asn]), next_hop("10.0.0.1"), local_pref(100), communities(&[asn])].concat();
        peer.send(&update(&[], &attributes, &with_id(id, ROUTE)));
    };
    // Both choose the same identifiers.
    for id in [1, 2] {
        said(&mut one, id, 1000 + id);
        said(&mut two, id, 2000 + id);
    }
    three.await_table(|peer| paths(peer, ROUTE) == ["1001", "1002", "2001", "2002"]);
    one.await_table(|peer| paths(peer, ROUTE) == ["2001", "2002"]);
    two.await_table(|peer| paths(peer, ROUTE) == ["1001", "1002"]);
    let origins: Vec<String> = three.table.values().map(super::octets::Attributes::reflection).collect();
    for whose in ["10.255.1.1 10.255.0.1", "10.255.1.2 10.255.0.1"] {
        assert_eq!(origins.iter().filter(|origin| *origin == whose).count(), 2, "{origins:?}");
    }
    unsay(&mut two, 2, ROUTE);
    three.await_table(|peer| paths(peer, ROUTE) == ["1001", "1002", "2001"]);
    drop(one);
    three.await_table(|peer| paths(peer, ROUTE) == ["2001"]);
}
