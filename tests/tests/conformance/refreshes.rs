//! ROUTE-REFRESH in its corners (RFC 2918, RFC 7313 §5): what is a request, what is ignored, what ends the session.

use std::time::Duration;

use super::octets::{KEEPALIVE, REFRESH, UPDATE, four_octet_as, message, multiprotocol};
use super::peer::{Event, Peer};
use super::rig::{Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";
const BOTH: &str = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";

/// Types of what comes until it is quiet, KEEPALIVEs aside.
fn answer(peer: &mut Peer) -> Vec<u8> {
    let mut kinds = Vec::new();
    loop {
        match peer.next(Duration::from_millis(200)) {
            Event::Message(KEEPALIVE, _) => {}
            Event::Message(kind, _) => kinds.push(kind),
            Event::Nothing => return kinds,
            Event::Closed => panic!("the session ended"),
        }
    }
}

/// Neighbor 2 has offered this and been told of a route.
fn told(more: &[(u8, Vec<u8>)]) -> (Rig, Peer, Peer) {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, BOTH)));
    let mut sender = Peer::up(&rig, 1, AS);
    let mut asker = Peer::up_with(&rig, 2, 64502, &[&[multiprotocol(1), four_octet_as(64502)], more].concat());
    sender.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
    asker.expect_route(ROUTE);
    asker.settle();
    (rig, sender, asker)
}

#[test]
fn without_enhanced_refresh_the_reserved_octet_means_nothing() {
    // RFC 2918 §3: ignored by the receiver, whatever RFC 7313 makes of it between others.
    let (_rig, _sender, mut asker) = told(&[(2, vec![])]);
    for reserved in [0, 1, 2, 7, 255] {
        asker.send(&message(REFRESH, &[0, 1, reserved, 1]));
        assert_eq!(answer(&mut asker), [UPDATE], "reserved octet {reserved}");
    }
    // Who has not offered the capability may ask as well.
    let (_rig, _sender, mut asker) = told(&[]);
    asker.send(&message(REFRESH, &[0, 1, 0, 1]));
    assert_eq!(answer(&mut asker), [UPDATE]);
}

#[test]
fn families_that_are_not_in_use_and_unknown_subtypes_are_ignored() {
    let (rig, _sender, mut asker) = told(&[(2, vec![]), (70, vec![])]);
    let families = [[0, 2, 0, 1], [0, 1, 0, 2], [0, 0, 0, 0], [255, 255, 0, 255], [0, 25, 0, 65], [0, 2, 1, 1]];
    let subtypes = [3, 4, 128, 254, 255].map(|subtype| [0, 1, subtype, 1]);
    for body in families.iter().chain(&subtypes) {
        asker.send(&message(REFRESH, body));
        assert_eq!(answer(&mut asker), [0_u8; 0], "{body:?}");
    }
    asker.send(&message(REFRESH, &[0, 1, 0, 1]));
    assert_eq!(answer(&mut asker), [REFRESH, UPDATE, REFRESH]);
    assert_eq!(rig.neighbor(2).established_count, 1);
}

#[test]
fn a_family_without_routes_is_refreshed_too() {
    let (_rig, _sender, mut asker) = told(&[multiprotocol(2), (2, vec![]), (70, vec![])]);
    asker.send(&message(REFRESH, &[0, 2, 0, 1]));
    assert_eq!(answer(&mut asker), [REFRESH, REFRESH], "Begin and End");
}

#[test]
fn wrong_lengths_end_the_session() {
    // Body, code and subcode; the data is the length field, or all of the message (RFC 7313 §5).
    let rows: [(bool, &[u8], u8, u8); 6] = [
        (false, &[], 1, 2),
        (false, &[0, 1, 0], 1, 2),
        (true, &[0, 1, 1], 7, 1),
        (true, &[0, 1, 2, 1, 0], 7, 1),
        (true, &[0, 1, 1, 1, 1, 2, 3, 4], 7, 1),
        (true, &[0, 1], 1, 2),
    ];
    for (enhanced, body, code, subcode) in rows {
        let more = if enhanced { vec![(70, vec![])] } else { vec![] };
        let (_rig, _sender, mut asker) = told(&more);
        let bad = message(REFRESH, body);
        asker.send(&bad);
        let data = asker.expect_notification(code, subcode);
        assert_eq!(data, if code == 7 { bad } else { bad[16..18].to_vec() }, "{body:?}");
    }
}
