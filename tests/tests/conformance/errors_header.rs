//! Headers, OPENs and messages out of turn (RFC 4271 §6.1, §6.2, §6.6; RFC 6608; RFC 5492; RFC 6793; RFC 6286).

use std::net::Ipv4Addr;

use super::octets::{self, KEEPALIVE, NOTIFICATION, OPEN, REFRESH, UPDATE, four_octet_as, message, multiprotocol};
use super::peer::Peer;
use super::rig::{OUR_AS, OUR_ID, Rig, neighbor};

const AS: u32 = 64501;

/// How far the session has come.
#[derive(Clone, Copy, Debug)]
enum At {
    OpenSent,
    OpenConfirm,
    Established,
}
use At::{Established, OpenConfirm, OpenSent};

/// Where, what is sent, code, subcode and data that have to come back.
type Row = (At, Vec<u8>, u8, u8, &'static [u8]);

/// Runs each row with a neighbor of its own: one that failed has to wait before it may come again.
fn run(rows: &[Row]) {
    let neighbors: String = (1..=u8::try_from(rows.len()).expect("few")).map(|n| neighbor(n, AS, "")).collect();
    let rig = Rig::new(&neighbors);
    for (number, (at, sent, code, subcode, data)) in (1..).zip(rows) {
        let mut peer = Peer::connect(&rig, number);
        let capabilities = [multiprotocol(1), four_octet_as(AS)];
        match at {
            OpenSent => {}
            OpenConfirm => _ = peer.open(AS, &capabilities),
            Established => {
                peer.open(AS, &capabilities);
                peer.confirm();
            }
        }
        peer.send(sent);
        let told = peer.expect_notification(*code, *subcode);
        assert_eq!(told, *data, "data for {sent:?} in {at:?}");
    }
}

/// A header that says this length and type, and enough octets after it.
fn header(length: u16, kind: u8) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend(length.to_be_bytes());
    octets.push(kind);
    octets.resize(usize::from(length).clamp(19, 5000), 0);
    octets
}

fn unsynchronized(at: usize) -> Vec<u8> {
    let mut octets = message(KEEPALIVE, &[]);
    octets[at] = 0;
    octets
}

#[test]
fn headers() {
    let mut rows: Vec<Row> = vec![
        (OpenSent, unsynchronized(0), 1, 1, &[]),
        (OpenConfirm, unsynchronized(15), 1, 1, &[]),
        (Established, unsynchronized(7), 1, 1, &[]),
        (Established, vec![0; 19], 1, 1, &[]),
        (OpenSent, header(18, OPEN), 1, 2, &[0, 18]),
        (OpenSent, header(0, OPEN), 1, 2, &[0, 0]),
        (OpenSent, header(28, OPEN), 1, 2, &[0, 28]),
        (OpenSent, header(4097, OPEN), 1, 2, &[0x10, 1]),
        (OpenConfirm, header(20, KEEPALIVE), 1, 2, &[0, 20]),
        (Established, header(20, KEEPALIVE), 1, 2, &[0, 20]),
        (Established, header(18, KEEPALIVE), 1, 2, &[0, 18]),
        (Established, header(22, UPDATE), 1, 2, &[0, 22]),
        (Established, header(4097, UPDATE), 1, 2, &[0x10, 1]),
        (Established, header(65535, UPDATE), 1, 2, &[0xff, 0xff]),
        (Established, header(20, NOTIFICATION), 1, 2, &[0, 20]),
    ];
    rows.extend([(OpenSent, 0), (OpenConfirm, 6), (Established, 6), (Established, 200)].map(|(at, kind)| {
        let data: &[u8] = match kind {
            0 => &[0],
            6 => &[6],
            _ => &[200],
        };
        (at, header(19, kind), 1, 3, data)
    }));
    run(&rows);
}

#[test]
fn messages_out_of_turn() {
    let update = octets::update(&[], &[], &[]);
    let refresh = message(REFRESH, &[0, 1, 0, 1]);
    let open = message(OPEN, &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 1), &[]));
    // RFC 6608 §3: the data is the type of the message.
    run(&[
        (OpenSent, message(KEEPALIVE, &[]), 5, 1, &[4]),
        (OpenSent, update.clone(), 5, 1, &[2]),
        (OpenSent, refresh.clone(), 5, 1, &[5]),
        (OpenConfirm, update, 5, 2, &[2]),
        (OpenConfirm, refresh, 5, 2, &[5]),
        (OpenConfirm, open.clone(), 5, 2, &[1]),
        (Established, open, 5, 3, &[1]),
    ]);
}

/// An OPEN of AS 64501 with these octets in place of its version, AS, hold time or identifier.
fn altered(at: usize, octets_: &[u8]) -> Vec<u8> {
    let mut body = octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 9), &[multiprotocol(1), four_octet_as(AS)]);
    body[at..at + octets_.len()].copy_from_slice(octets_);
    message(OPEN, &body)
}

/// An OPEN of AS 64501 with these octets as its optional parameters, and their length.
fn parameters(length: u8, octets_: &[u8]) -> Vec<u8> {
    let mut body = octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 9), &[]);
    body[9] = length;
    body.extend(octets_);
    message(OPEN, &body)
}

fn with_capabilities(my_as: u16, list: &[(u8, Vec<u8>)]) -> Vec<u8> {
    message(OPEN, &octets::open(my_as, 90, Ipv4Addr::new(10, 255, 1, 9), list))
}

#[test]
fn opens_that_are_refused() {
    run(&[
        // RFC 4271 §6.2: the data is the largest version we speak.
        (OpenSent, altered(0, &[3]), 2, 1, &[0, 4]),
        (OpenSent, altered(0, &[5]), 2, 1, &[0, 4]),
        (OpenSent, altered(0, &[0]), 2, 1, &[0, 4]),
        (OpenSent, with_capabilities(64502, &[multiprotocol(1)]), 2, 2, &[]),
        (OpenSent, with_capabilities(64502, &[multiprotocol(1), four_octet_as(64502)]), 2, 2, &[]),
        (OpenSent, with_capabilities(64501, &[multiprotocol(1), four_octet_as(64502)]), 2, 2, &[]),
        (OpenSent, with_capabilities(0, &[multiprotocol(1)]), 2, 2, &[]),
        // RFC 7607 §2 and RFC 6793 §4.1.
        (OpenSent, with_capabilities(64501, &[multiprotocol(1), four_octet_as(0)]), 2, 2, &[]),
        (OpenSent, with_capabilities(23456, &[multiprotocol(1)]), 2, 2, &[]),
        (OpenSent, altered(5, &[0, 0, 0, 0]), 2, 3, &[]),
        (OpenSent, altered(3, &[0, 1]), 2, 6, &[]),
        (OpenSent, altered(3, &[0, 2]), 2, 6, &[]),
        (OpenSent, parameters(2, &[9, 0]), 2, 4, &[]),
        (OpenSent, parameters(4, &[1, 2, 0, 0]), 2, 4, &[]),
        (OpenSent, parameters(1, &[2]), 2, 0, &[]),
        (OpenSent, parameters(4, &[2, 9, 1, 4]), 2, 0, &[]),
        (OpenSent, parameters(4, &[2, 2, 1, 4]), 2, 0, &[]),
        (OpenSent, parameters(9, &[2, 0]), 2, 0, &[]),
    ]);
}

#[test]
fn our_own_identifier_is_refused_within_the_as_only() {
    // RFC 6286 §2.1: unique within an AS.
    let rig = Rig::new(&(neighbor(1, OUR_AS, "") + &neighbor(2, AS, "")));
    let id = OUR_ID.parse().expect("an address");
    let mut internal = Peer::connect(&rig, 1);
    internal.send(&message(OPEN, &octets::open(65000, 90, id, &[multiprotocol(1), four_octet_as(OUR_AS)])));
    assert!(internal.expect_notification(2, 3).is_empty());
    let mut external = Peer::connect(&rig, 2);
    external.send(&message(OPEN, &octets::open(64501, 90, id, &[multiprotocol(1), four_octet_as(AS)])));
    external.expect_open();
    external.confirm();
}

#[test]
fn opens_that_are_taken() {
    let unknown = (200, vec![1, 2, 3]);
    let rows = [
        // Without any capability: RFC 4271 alone, IPv4 unicast.
        message(OPEN, &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 1), &[])),
        message(OPEN, &octets::open(64501, 0, Ipv4Addr::new(10, 255, 1, 2), &[four_octet_as(AS)])),
        message(OPEN, &octets::open(64501, 3, Ipv4Addr::new(10, 255, 1, 3), &[four_octet_as(AS)])),
        // Unknown and repeated capabilities, and a capability of another family beside ours (RFC 5492 §3, RFC 4760 §8).
        with_capabilities(64501, &[unknown, multiprotocol(1), multiprotocol(1), four_octet_as(AS), multiprotocol(2)]),
        // AS_TRANS in the old field (RFC 6793 §4.2.1).
        with_capabilities(23456, &[multiprotocol(1), four_octet_as(AS)]),
        // Class E and multicast identifiers are numbers like others (RFC 6286).
        altered(5, &[240, 0, 0, 1]),
        // All capabilities in one parameter.
        parameters(14, &[2, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfb, 0xf5]),
        // RFC 9072: the extended format of optional parameters.
        parameters(255, &[255, 0, 15, 2, 0, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfb, 0xf5]),
    ];
    let neighbors: String = (1..=u8::try_from(rows.len()).expect("few")).map(|n| neighbor(n, AS, "")).collect();
    let rig = Rig::new(&neighbors);
    for (number, open) in (1..).zip(&rows) {
        let mut peer = Peer::connect(&rig, number);
        peer.send(open);
        let opened = peer.expect_open();
        assert_eq!((opened.my_as, opened.hold, opened.id.to_string().as_str()), (65000, 90, OUR_ID), "{open:?}");
        assert_eq!(opened.capability(65), Some(&OUR_AS.to_be_bytes()[..]));
        assert_eq!(opened.capability(1), Some(&[0, 1, 0, 1][..]));
        peer.confirm();
    }
}

#[test]
fn a_notification_ends_the_session_without_an_answer() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, AS, "") + &neighbor(3, AS, "")));
    let mut peer = Peer::up(&rig, 1, AS);
    peer.send(&message(NOTIFICATION, &[6, 4]));
    peer.settle_closed();
    // Codes that nobody knows are no reason to answer (RFC 4271 §6.4).
    let mut peer = Peer::up(&rig, 2, AS);
    peer.send(&message(NOTIFICATION, &[99, 99, 1, 2, 3]));
    peer.settle_closed();
    let mut peer = Peer::connect(&rig, 3);
    peer.open(AS, &[multiprotocol(1), four_octet_as(AS)]);
    peer.send(&message(NOTIFICATION, &[2, 0]));
    peer.settle_closed();
}

#[test]
fn a_message_may_come_octet_by_octet_and_many_at_once() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    let attributes = [octets::origin(0), octets::path(&[AS]), octets::next_hop("10.0.0.1")].concat();
    let update = octets::update(&[], &attributes, &octets::nlri(&["192.0.2.0/24"]));
    for octet in &update {
        sender.send(&[*octet]);
    }
    seer.expect_route("192.0.2.0/24");
    let keepalive = message(KEEPALIVE, &[]);
    let more = octets::update(&octets::nlri(&["192.0.2.0/24"]), &attributes, &octets::nlri(&["198.51.100.0/24"]));
    let cut = more.len() / 2;
    sender.send(&[&keepalive[..], &keepalive, &more[..cut]].concat());
    sender.send(&more[cut..]);
    seer.expect_route("198.51.100.0/24");
    seer.await_gone("192.0.2.0/24");
}

#[test]
fn connections_from_nobody_are_closed() {
    let rig = Rig::new(&neighbor(1, AS, ""));
    // It may be reset before it stands; otherwise it ends without a word.
    match rig.try_connect(77) {
        Ok(stream) => Peer::on(stream, 77).settle_closed(),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    Peer::up(&rig, 1, AS);
}
