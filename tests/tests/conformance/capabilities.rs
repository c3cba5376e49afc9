//! Capabilities said twice, wrongly, or of things nobody knows (RFC 5492 §3, §4; RFC 4724 §3; RFC 7911 §4; RFC 9494 §3.1; RFC 9234 §4.2).

use std::net::Ipv4Addr;

use super::octets::{self, OPEN, four_octet_as, message, multiprotocol, nlri, origin, path, update};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

/// Codes and values.
type Capabilities = Vec<(u8, Vec<u8>)>;

#[test]
fn what_is_said_twice_or_not_understood_is_no_reason_to_refuse() {
    let rows: Vec<(&str, Capabilities)> = vec![
        ("everything twice", vec![multiprotocol(1), four_octet_as(AS), multiprotocol(1), four_octet_as(AS)]),
        ("route refresh twice, and the old one of Cisco", vec![(2, vec![]), (2, vec![]), (128, vec![])]),
        ("nobody's", vec![(0, vec![]), (3, vec![1, 2, 3]), (130, vec![0; 40]), (255, vec![9])]),
        ("families nobody speaks", vec![(1, vec![0, 25, 0, 70]), (1, vec![0x40, 4, 0, 71]), (1, vec![0, 1, 0, 128])]),
        ("reserved octet of a family set", vec![(1, vec![0, 1, 77, 1])]),
        ("ways of paths nobody knows", vec![(69, vec![0, 1, 1, 0]), (69, vec![0, 1, 1, 4, 0, 2, 1, 255])]),
        ("reserved bits of graceful restart", vec![(64, vec![0x30, 0, 0, 1, 1, 0x7f])]),
        ("graceful restart of a family nobody speaks", vec![(64, vec![0, 120, 0, 25, 70, 0x80])]),
        ("long-lived graceful restart of no family", vec![(64, vec![0, 120]), (71, vec![])]),
        ("long-lived graceful restart alone", vec![(71, vec![0, 1, 1, 0x80, 0, 1, 0])]),
        ("a role, though we have none", vec![(9, vec![3])]),
        ("no role that is assigned, though we have none", vec![(9, vec![77])]),
        ("names of no length", vec![(73, vec![0, 0])]),
        ("names that are cut", vec![(73, vec![9, b'x'])]),
        ("next hops of other families", vec![(5, vec![0, 1, 0, 128, 0, 2, 0, 2, 0, 1, 0, 1])]),
    ];
    let count = u8::try_from(rows.len()).expect("few");
    let neighbors: String = (1..=count).map(|n| neighbor(n, AS, "")).collect();
    let rig = Rig::new(&(neighbors + &neighbor(200, OUR_AS, "")));
    let mut seer = Peer::up(&rig, 200, OUR_AS);
    for (number, (name, more)) in (1..).zip(&rows) {
        println!("{name}");
        let base = if more.iter().any(|(code, _)| *code == 1) { vec![] } else { vec![multiprotocol(1)] };
        let ipv4 = if name.contains("nobody speaks") { vec![multiprotocol(1)] } else { vec![] };
        let capabilities = [base, ipv4, vec![four_octet_as(AS)], more.clone()].concat();
        let mut peer = Peer::up_with(&rig, number, AS, &capabilities);
        // And no path identifiers are read or sent for it.
        peer.announce_plain(&[AS, 9], "10.0.0.1", &[ROUTE]);
        assert_eq!(seer.expect_route(ROUTE).path(), "64501 9", "{name}");
        peer.withdraw(&[ROUTE]);
        seer.await_gone(ROUTE);
        peer.settle();
    }
}

#[test]
fn of_several_graceful_restart_capabilities_the_last_counts() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let (keeps, plain) = ((64, vec![0, 120, 0, 1, 1, 0x80]), (64, vec![0, 120]));
    for (list, kept) in [([plain.clone(), keeps.clone()], true), ([keeps, plain], false)] {
        let capabilities = [&[multiprotocol(1), four_octet_as(AS)][..], &list].concat();
        let mut sender = Peer::up_with(&rig, 1, AS, &capabilities);
        sender.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
        seer.expect_route(ROUTE);
        drop(sender);
        if kept {
            seer.settle();
            assert!(seer.route(ROUTE).is_some(), "RFC 4724 §3");
        } else {
            seer.await_gone(ROUTE);
        }
    }
}

#[test]
fn a_direction_of_path_identifiers_needs_both_ends() {
    // What we are configured for, what the neighbor offers, and whether its identifiers are read.
    let rows = [
        ("receive = true", 2, true),
        ("receive = true", 3, true),
        ("receive = true", 1, false),
        ("send = 2", 2, false),
    ];
    let neighbors: String =
        (1..).zip(&rows).map(|(n, (ours, ..))| neighbor(n, AS, &format!("add_path = {{ {ours} }}"))).collect();
    let rig = Rig::new(&(neighbors + &neighbor(200, OUR_AS, "")));
    let mut seer = Peer::up(&rig, 200, OUR_AS);
    for (number, (ours, theirs, read)) in (1..).zip(rows) {
        println!("{ours} and {theirs}");
        let capabilities = [multiprotocol(1), four_octet_as(AS), (69, vec![0, 1, 1, theirs])];
        let mut peer = Peer::connect(&rig, number);
        peer.open(AS, &capabilities);
        peer.confirm();
        let id: &[u8] = if read { &[0, 0, 0, 7] } else { &[] };
        let attributes = [origin(0), path(&[AS]), octets::next_hop("10.0.0.1")].concat();
        peer.send(&update(&[], &attributes, &[id, &nlri(&[ROUTE])].concat()));
        seer.expect_route(ROUTE);
        peer.send(&update(&[id, &nlri(&[ROUTE])].concat(), &[], &[]));
        seer.await_gone(ROUTE);
    }
}

#[test]
fn capabilities_whose_length_is_wrong_are_malformed() {
    let wrong: [(u8, Vec<u8>); 8] = [
        (1, vec![0, 1, 0]),
        (1, vec![0, 1, 0, 1, 0]),
        (2, vec![1]),
        (64, vec![0]),
        (64, vec![0, 120, 0, 1, 1]),
        (65, vec![0, 0, 1]),
        (69, vec![0, 1, 1]),
        (71, vec![0, 1, 1, 0, 0, 0]),
    ];
    let neighbors: String = (1..=8).map(|n| neighbor(n, AS, "")).collect();
    let rig = Rig::new(&neighbors);
    for (number, bad) in (1..).zip(wrong) {
        let list = [multiprotocol(1), four_octet_as(AS), bad.clone()];
        let mut peer = Peer::connect(&rig, number);
        peer.send(&message(OPEN, &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, number), &list)));
        assert!(peer.expect_notification(2, 0).is_empty(), "{bad:?}");
    }
}

#[test]
fn no_common_family_names_what_is_missed() {
    let rig = Rig::new(&neighbor(1, AS, "families = [\"ipv4-unicast\", \"ipv6-unicast\"]"));
    let mut peer = Peer::connect(&rig, 1);
    let list = [(1, vec![0, 25, 0, 70]), four_octet_as(AS)];
    peer.send(&message(OPEN, &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 1), &list)));
    // RFC 5492 §5: the capabilities that cause it.
    assert_eq!(peer.expect_notification(2, 7), [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]);
}

#[test]
fn roles_said_twice_have_to_be_the_same() {
    // RFC 9234 §4.2: several that are equal are one.
    let rig = Rig::new(&(neighbor(1, AS, "role = \"provider\"") + &neighbor(2, AS, "role = \"provider\"")));
    Peer::up_with(&rig, 1, AS, &[multiprotocol(1), four_octet_as(AS), (9, vec![3]), (9, vec![3])]);
    let mut other = Peer::connect(&rig, 2);
    let list = [multiprotocol(1), four_octet_as(AS), (9, vec![3]), (9, vec![4])];
    other.send(&message(OPEN, &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 2), &list)));
    assert!(other.expect_notification(2, 11).is_empty());
}
