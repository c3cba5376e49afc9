//! Messages as long as they may be, and much to say in few of them (RFC 4271 §4.1, §9.2; RFC 8654), AS paths longer than a segment.

use std::time::Duration;

use super::octets::{
    UPDATE, attribute, four_octet_as, multiprotocol, next_hop, nlri, origin, path, read_update, segments, update,
};
use super::peer::{Event, Peer};
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

/// An UPDATE of exactly so many octets that announces [`ROUTE`], filled up with an attribute nobody knows.
fn filled(length: usize) -> Vec<u8> {
    let base = [origin(0), path(&[AS]), next_hop("10.0.0.1")].concat();
    let prefix = nlri(&[ROUTE]);
    let rest = length - 23 - base.len() - 4 - prefix.len();
    let message = update(&[], &[base, attribute(0xc0, 99, &vec![7; rest])].concat(), &prefix);
    assert_eq!(message.len(), length);
    message
}

#[test]
fn messages_of_the_greatest_length_are_taken() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, AS, "") + &neighbor(3, OUR_AS, "")));
    let extended = |asn| [multiprotocol(1), four_octet_as(asn), (6, vec![])];
    let mut plain = Peer::up(&rig, 1, AS);
    let mut able = Peer::up_with(&rig, 2, AS, &extended(AS));
    let mut seer = Peer::up_with(&rig, 3, OUR_AS, &extended(OUR_AS));
    plain.send(&filled(4096));
    seer.await_route(ROUTE, |route| route.value(99).is_some_and(|value| value.len() > 4000));
    plain.withdraw(&[ROUTE]);
    seer.await_gone(ROUTE);
    for length in [4097, 30_000, 65_000] {
        able.send(&filled(length));
        seer.await_route(ROUTE, |route| route.value(99).is_some_and(|value| value.len() > length - 100));
    }
    // As long as can be: with LOCAL_PREF it does not fit on, so the route goes there (RFC 4271 §9.2).
    able.send(&filled(65_535));
    seer.await_gone(ROUTE);
    able.send(&filled(65_500));
    seer.await_route(ROUTE, |_| true);
    // Only between those who both said so.
    assert_eq!(rig.neighbor(2).established_count, 1);
    plain.send(&filled(4097));
    assert_eq!(plain.expect_notification(1, 2), [0x10, 1]);
}

#[test]
fn attributes_that_leave_room_for_one_prefix_are_told_one_by_one() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    // Told with our AS in the path: 23 octets of frame, 24 of ORIGIN, AS_PATH and NEXT_HOP, 4 of the filler's head. Room for any prefix
    // of the family is asked for, so that all routes with these attributes fare alike.
    for (room, expected) in [(5, true), (4, false), (9, true), (64, true)] {
        let filler = attribute(0xc0, 99, &vec![7; 4096 - 23 - 4 - 13 - 7 - 4 - room]);
        let attributes = [origin(0), path(&[AS]), next_hop("10.0.0.1"), filler];
        sender.announce(&attributes[..3], &[ROUTE]);
        seer.expect_route(ROUTE);
        sender.announce(&attributes, &[ROUTE]);
        if expected {
            seer.await_route(ROUTE, |route| route.value(99).is_some());
        } else {
            seer.await_gone(ROUTE);
        }
        sender.withdraw(&[ROUTE]);
        seer.await_gone(ROUTE);
    }
}

#[test]
fn thousands_of_routes_travel_in_few_messages() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    seer.await_end_of_rib(1);
    let prefixes: Vec<String> = (0..4000).map(|n| format!("198.18.{}.{}/32", n / 250, n % 250)).collect();
    let listed: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let say = |sender: &mut Peer, announced: bool| {
        for some in listed.chunks(700) {
            if announced {
                sender.announce_plain(&[AS], "10.0.0.1", some);
            } else {
                sender.withdraw(some);
            }
        }
    };
    for announced in [true, false] {
        say(&mut sender, announced);
        let (mut routes, mut messages) = (0, 0);
        while routes < prefixes.len() {
            match seer.next(Duration::from_secs(5)) {
                Event::Message(UPDATE, body) => {
                    let update = read_update(&body, seer.reading);
                    let (said, other) = (update.announced.len(), update.withdrawn.len());
                    assert_eq!(if announced { other } else { said }, 0);
                    routes += said + other;
                    messages += 1;
                }
                Event::Message(4, _) => {}
                other => panic!("{other:?} after {routes}"),
            }
        }
        // Six arrived; not many more go out, though each may be split where the neighbor reads faster than the other writes.
        assert!(routes == prefixes.len() && messages <= 20, "{routes} routes in {messages} messages");
    }
}

#[test]
fn paths_of_more_than_255_are_cut_into_segments_that_can_be_counted() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64503, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    let mut old = Peer::up_with(&rig, 3, 64503, &[multiprotocol(1)]);
    for count in [254_u32, 255, 256, 509, 510, 600] {
        let asns: Vec<u32> = std::iter::once(AS).chain((1..count).map(|n| 100_000 + n)).collect();
        let pieces: Vec<(u8, &[u32])> = asns.chunks(255).map(|piece| (2, piece)).collect();
        sender.announce(&[origin(0), segments(&pieces), next_hop("10.0.0.1")], &[ROUTE]);
        // RFC 4271 §5.1.2: one more in front, in a segment of its own if the first is full.
        let expected = |text: fn(u32) -> u32| {
            std::iter::once(OUR_AS)
                .chain(asns.iter().copied())
                .map(|asn| text(asn).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let full = expected(|asn| asn);
        seer.await_route(ROUTE, |route| route.path() == full);
        // RFC 6793 §4.2.2: the same for a neighbor of two octets, in both attributes.
        let told = old.await_route(ROUTE, |route| route.as4_path().as_deref() == Some(&full));
        assert_eq!(told.path(), expected(|asn| if asn > 65535 { 23456 } else { asn }));
    }
}
