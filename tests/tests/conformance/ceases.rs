//! Cease (RFC 4486, RFC 8538, RFC 9003, RFC 9384): every subcode that comes, and those that go in a hard reset.

use bgpd::speaker::message::{Command, SessionState};

use super::octets::{self, four_octet_as, message, multiprotocol};
use super::peer::Peer;
use super::rig::{Rig, key, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

/// Graceful restart of IPv4 with the N bit (RFC 8538 §2).
fn graceful() -> (u8, Vec<u8>) {
    (64, vec![0x40, 120, 0, 1, 1, 0x80])
}

#[test]
fn every_subcode_ends_the_session_without_an_answer_and_the_neighbor_may_come_back() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    // The text of a shutdown may be missing, too long for its message, or no UTF-8 (RFC 9003 §3): the session ends the same way.
    let texts: [&[u8]; 5] = [&[], &[0], b"\x03bye", b"\x80short", b"\x02\xff\xfe"];
    let subcodes = (0..=10).chain([255]).map(|subcode| (subcode, &[][..]));
    let shutdowns = texts.into_iter().flat_map(|text| [(2, text), (4, text)]);
    for (count, (subcode, data)) in (1..).zip(subcodes.chain(shutdowns)) {
        let mut peer = Peer::up(&rig, 1, AS);
        peer.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
        seer.expect_route(ROUTE);
        peer.send(&message(octets::NOTIFICATION, &[&[6, subcode], data].concat()));
        peer.settle_closed();
        seer.await_gone(ROUTE);
        assert_ne!(rig.neighbor(1).state, SessionState::Established, "6/{subcode}");
        assert_eq!(rig.neighbor(1).established_count, count);
    }
}

#[test]
fn what_takes_the_routes_with_it_is_said_in_a_hard_reset_where_they_would_be_kept() {
    let rig = Rig::new(&(neighbor(1, AS, "max_prefix = { limit = 1, restart = \"1s\" }") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let capabilities = [multiprotocol(1), four_octet_as(AS), graceful()];
    let disable = Command::SetEnabled { neighbor: key(1), enabled: false, message: "bye".to_owned() };
    let rows: [(Option<Command>, &[u8]); 4] = [
        (Some(disable), b"\x06\x02\x03bye"),
        (Some(Command::Reset { neighbor: key(1) }), &[6, 4]),
        (Some(Command::PathDown { neighbor: key(1) }), &[6, 10]),
        (None, &[6, 1, 0, 1, 1, 0, 0, 0, 1]),
    ];
    for (command, inner) in rows {
        let mut peer = Peer::up_with(&rig, 1, AS, &capabilities);
        peer.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
        seer.expect_route(ROUTE);
        match command {
            Some(command) => rig.command(command),
            None => peer.announce_plain(&[AS], "10.0.0.1", &["198.51.100.0/24"]),
        }
        // RFC 8538 §3.1: code and subcode of what it is, and its data.
        assert_eq!([&[6, 9], &peer.expect_notification(6, 9)[..]].concat()[2..], *inner);
        seer.await_gone(ROUTE);
        rig.command(Command::SetEnabled { neighbor: key(1), enabled: true, message: String::new() });
    }
}

#[test]
fn a_stop_that_keeps_forwarding_says_nothing_to_those_who_keep_our_routes() {
    let asks = "graceful_restart = { enabled = true, restart_time = \"60s\" }";
    let keep = "[fib.kernel]\non_exit = \"keep\"\n";
    let neighbors = neighbor(1, AS, asks) + &neighbor(2, 64502, asks) + &neighbor(3, 64503, "");
    let graceful = |asn| [multiprotocol(1), four_octet_as(asn), graceful()];
    for kept in [true, false] {
        let mut rig = Rig::new(&(neighbors.clone() + if kept { keep } else { "" }));
        let mut helper = Peer::up_with(&rig, 1, AS, &graceful(AS));
        let (mut plain, mut unasked) = (Peer::up(&rig, 2, 64502), Peer::up_with(&rig, 3, 64503, &graceful(64503)));
        plain.announce_plain(&[64502], "10.0.0.2", &[ROUTE]);
        helper.expect_route(ROUTE);
        rig.await_forwarding(ROUTE, "10.0.0.2*1");
        rig.stop();
        if kept {
            // RFC 4724 §4.1.
            helper.settle_closed();
            assert_eq!(rig.neighbor_routes(), 1, "the data plane forwards on");
        } else {
            assert_eq!(helper.expect_notification(6, 9)[..2], [6, 2]);
            assert_eq!(rig.neighbor_routes(), 0);
        }
        plain.expect_notification(6, 2);
        unasked.expect_notification(6, 9);
    }
}
