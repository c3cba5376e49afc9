//! Sessions: what is offered, timers, collisions, refreshes, limits, the end (RFC 4271 §4.4, §6.5, §6.8, §10; RFC 2918; RFC 7313;
//! RFC 8654; RFC 4486; RFC 9003; RFC 9234 §4.2).

#![allow(clippy::disallowed_methods, reason = "timers are measured in real time")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::octets::{
    self, KEEPALIVE, NOTIFICATION, OPEN, REFRESH, UPDATE, attribute, four_octet_as, message, multiprotocol, next_hop,
    nlri, origin, path, update,
};
use super::peer::{Event, Peer};
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

#[test]
fn capabilities_offered() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::new(&(neighbor(1, AS, both) + &neighbor(2, AS, "extended_messages = false\nrole = \"provider\"")));
    let mut peer = Peer::connect(&rig, 1);
    let opened = peer.open(AS, &[multiprotocol(1), multiprotocol(2), four_octet_as(AS)]);
    let families: Vec<_> =
        opened.capabilities.iter().filter(|(code, _)| *code == 1).map(|(_, value)| value.clone()).collect();
    assert_eq!(families, [vec![0, 1, 0, 1], vec![0, 2, 0, 1]]);
    for code in [2, 6, 65, 70] {
        assert!(opened.capability(code).is_some(), "capability {code}");
    }
    assert_eq!(opened.capability(9), None, "no role is configured");
    let mut peer = Peer::connect(&rig, 2);
    let opened = peer.open(AS, &[multiprotocol(1), four_octet_as(AS)]);
    assert_eq!((opened.capability(6), opened.capability(9)), (None, Some(&[0][..])));
}

#[test]
fn roles_that_do_not_match_are_refused() {
    // RFC 9234 §4.2: our role, the neighbor's, and whether the session may stand. 0 provider, 1 RS, 2 RS-client, 3 customer, 4 peer.
    let roles = ["provider", "rs", "rs-client", "customer", "peer"];
    let right = [3, 2, 1, 0, 4];
    let neighbors: String =
        (1..=25).map(|n: u8| neighbor(n, AS, &format!("role = \"{}\"", roles[usize::from((n - 1) / 5)]))).collect();
    let rig = Rig::new(&neighbors);
    for n in 1..=25 {
        let (ours, theirs) = (usize::from((n - 1) / 5), (n - 1) % 5);
        let mut peer = Peer::connect(&rig, n);
        let capabilities = [multiprotocol(1), four_octet_as(AS), (9, vec![theirs])];
        let id = Ipv4Addr::new(10, 255, 1, n);
        peer.send(&message(OPEN, &octets::open(64501, 90, id, &capabilities)));
        if right[ours] == theirs {
            peer.expect_open();
            peer.confirm();
        } else {
            assert!(peer.expect_notification(2, 11).is_empty(), "{} and {theirs}", roles[ours]);
        }
    }
}

#[test]
fn hold_and_keepalive_timers() {
    let rig = Rig::new(
        &(neighbor(1, AS, "hold_time = \"3s\"") + &neighbor(2, AS, "") + &neighbor(3, AS, "hold_time = \"3s\"")),
    );
    // A silent neighbor is told 4/0 after three seconds; meanwhile it hears from us three times as often.
    let mut silent = Peer::up(&rig, 1, AS);
    let began = Instant::now();
    let mut keepalives = 0;
    let mut last = began;
    loop {
        match silent.next(Duration::from_secs(5)) {
            Event::Message(KEEPALIVE, _) => {
                let gap = last.elapsed();
                assert!(gap < Duration::from_millis(1300), "KEEPALIVEs are {gap:?} apart");
                last = Instant::now();
                keepalives += 1;
            }
            Event::Message(UPDATE, _) => {}
            Event::Message(NOTIFICATION, body) => {
                assert_eq!(body, [4, 0]);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let lasted = began.elapsed();
    assert!(lasted > Duration::from_millis(2900) && lasted < Duration::from_millis(3900), "{lasted:?}");
    assert!((2..=5).contains(&keepalives), "{keepalives} KEEPALIVEs");
    silent.expect_closed();
}

#[test]
fn the_smaller_hold_time_counts_and_zero_is_none() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, AS, "") + &neighbor(3, AS, "hold_time = \"0s\"")));
    let open = |n: u8, hold: u16| {
        message(OPEN, &octets::open(64501, hold, Ipv4Addr::new(10, 255, 1, n), &[four_octet_as(AS)]))
    };
    for (n, theirs, agreed) in [(1, 9, 9), (2, 0, 0), (3, 90, 0)] {
        let mut peer = Peer::connect(&rig, n);
        peer.send(&open(n, theirs));
        peer.expect_open();
        peer.confirm();
        let deadline = Instant::now() + Duration::from_secs(3);
        let hold = loop {
            let view = rig.neighbor(n);
            match view.hold_time {
                Some(hold) => break hold,
                None if Instant::now() > deadline || agreed == 0 => break Duration::ZERO,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(hold, Duration::from_secs(agreed), "neighbor {n}");
        if agreed == 0 {
            assert!(matches!(peer.next_but_updates(Duration::from_millis(300)), Event::Nothing), "no KEEPALIVEs");
        }
    }
}

#[test]
fn a_second_connection_of_an_established_neighbor_is_refused() {
    // RFC 4271 §6.8: the established one stays.
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let (mut first, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    first.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
    seer.expect_route(ROUTE);
    let mut second = Peer::connect(&rig, 1);
    second.send(&message(
        OPEN,
        &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, 1), &[multiprotocol(1), four_octet_as(AS)]),
    ));
    loop {
        match second.next(Duration::from_secs(5)) {
            Event::Message(OPEN, _) => {}
            Event::Message(NOTIFICATION, body) => {
                assert_eq!(body[..2], [6, 7], "Connection Collision Resolution");
                break;
            }
            Event::Closed => break,
            other => panic!("{other:?}"),
        }
    }
    first.withdraw(&[ROUTE]);
    seer.await_gone(ROUTE);
}

#[test]
fn a_refresh_tells_everything_again() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64503, "")));
    let mut sender = Peer::up(&rig, 1, AS);
    let plain = [multiprotocol(1), four_octet_as(64502), (2, vec![])];
    let enhanced = [multiprotocol(1), four_octet_as(64503), (2, vec![]), (70, vec![])];
    let mut asker = Peer::up_with(&rig, 2, 64502, &plain);
    let mut enhanced_asker = Peer::up_with(&rig, 3, 64503, &enhanced);
    sender.announce_plain(&[AS], "10.0.0.1", &[ROUTE, "198.51.100.0/24"]);
    for peer in [&mut asker, &mut enhanced_asker] {
        peer.expect_route(ROUTE);
        peer.expect_route("198.51.100.0/24");
        peer.settle();
        peer.table.clear();
    }
    asker.send(&message(REFRESH, &[0, 1, 0, 1]));
    asker.expect_route(ROUTE);
    asker.expect_route("198.51.100.0/24");
    // RFC 7313 §4: Begin, the routes, End.
    enhanced_asker.send(&message(REFRESH, &[0, 1, 0, 1]));
    let mut told = Vec::new();
    while told.last() != Some(&(REFRESH, vec![0, 1, 2, 1])) {
        match enhanced_asker.next(Duration::from_secs(5)) {
            Event::Message(KEEPALIVE, _) => {}
            Event::Message(kind, body) => told.push((kind, body)),
            other => panic!("{other:?} after {told:?}"),
        }
    }
    assert_eq!(told[0], (REFRESH, vec![0, 1, 1, 1]), "Begin comes first");
    assert!(told[1..told.len() - 1].iter().all(|(kind, _)| *kind == UPDATE) && told.len() >= 3, "{told:?}");
    // Families that are not in use and subtypes nobody knows are ignored (RFC 2918 §4, RFC 7313 §5).
    asker.send(&message(REFRESH, &[0, 2, 0, 1]));
    enhanced_asker.send(&message(REFRESH, &[0, 1, 9, 1]));
    sender.withdraw(&[ROUTE]);
    asker.await_gone(ROUTE);
    // RFC 7313 §5: a wrong length of Begin or End, the whole message as data; of a request, RFC 4271 §6.1.
    let bad = message(REFRESH, &[0, 1, 1, 1, 0]);
    enhanced_asker.send(&bad);
    assert_eq!(enhanced_asker.expect_notification(7, 1), bad);
    asker.send(&message(REFRESH, &[0, 1, 0]));
    assert_eq!(asker.expect_notification(1, 2), [0, 22]);
}

#[test]
fn extended_messages() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64503, "")));
    let mut sender = Peer::up_with(&rig, 1, AS, &[multiprotocol(1), four_octet_as(AS), (6, vec![])]);
    let mut able = Peer::up_with(&rig, 2, 64502, &[multiprotocol(1), four_octet_as(64502), (6, vec![])]);
    let mut unable = Peer::up(&rig, 3, 64503);
    let attributes = [origin(0), path(&[AS]), next_hop("10.0.0.1")];
    let large = [&attributes[..], &[attribute(0xc0, 99, &[7; 5000])]].concat();
    sender.announce(&attributes, &[ROUTE]);
    unable.expect_route(ROUTE);
    sender.announce(&large, &[ROUTE]);
    able.await_route(ROUTE, |route| route.value(99).is_some_and(|value| value.len() == 5000));
    // RFC 8654 §4: whom it cannot be sent has it withdrawn.
    unable.await_gone(ROUTE);
    sender.announce(&attributes, &[ROUTE]);
    unable.expect_route(ROUTE);
}

#[test]
fn a_limit_on_prefixes() {
    let rig = Rig::new(&(neighbor(1, AS, "max_prefix = { limit = 3 }") + &neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    sender.announce_plain(&[AS], "10.0.0.1", &["198.18.1.0/24", "198.18.2.0/24", "198.18.3.0/24"]);
    for prefix in ["198.18.1.0/24", "198.18.2.0/24", "198.18.3.0/24"] {
        seer.expect_route(prefix);
    }
    // The same again is no new prefix.
    sender.announce_plain(&[AS, 9], "10.0.0.1", &["198.18.1.0/24"]);
    seer.await_route("198.18.1.0/24", |route| route.path() == "65000 64501 9");
    sender.announce_plain(&[AS], "10.0.0.1", &["198.18.4.0/24"]);
    // RFC 4486 §4: AFI, SAFI and the limit.
    assert_eq!(sender.expect_notification(6, 1), [0, 1, 1, 0, 0, 0, 3]);
    for prefix in ["198.18.1.0/24", "198.18.2.0/24", "198.18.3.0/24"] {
        seer.await_gone(prefix);
    }
    assert!(seer.route("198.18.4.0/24").is_none());
}

#[test]
fn a_stop_withdraws_nothing_by_halves() {
    let mut rig =
        Rig::with_bgp("shutdown_message = \"moving house\"", &(neighbor(1, AS, "") + &neighbor(2, OUR_AS, "")));
    let mut external = Peer::up(&rig, 1, AS);
    let mut internal = Peer::up(&rig, 2, OUR_AS);
    rig.stop();
    for peer in [&mut external, &mut internal] {
        // RFC 9003: the length and the text.
        assert_eq!(peer.expect_notification(6, 2), b"\x0cmoving house");
    }
}

#[test]
fn paths_with_identifiers() {
    // RFC 7911: 1:1:1 receive, 1:1:2 send, 1:1:3 both.
    let rig = Rig::new(
        &(neighbor(1, AS, "add_path = { receive = true }")
            + &neighbor(2, OUR_AS, "add_path = { receive = false, send = 4 }")
            + &neighbor(3, OUR_AS, "")),
    );
    let add_path = |mode| (69, vec![0, 1, 1, mode]);
    let mut sender = Peer::connect(&rig, 1);
    let opened = sender.open(AS, &[multiprotocol(1), four_octet_as(AS), add_path(2)]);
    assert_eq!(opened.capability(69), Some(&[0, 1, 1, 1][..]), "we receive");
    sender.confirm();
    sender.reading.add_path = [false; 2];
    let mut all = Peer::connect(&rig, 2);
    let opened = all.open(OUR_AS, &[multiprotocol(1), four_octet_as(OUR_AS), add_path(1)]);
    assert_eq!(opened.capability(69), Some(&[0, 1, 1, 2][..]), "we send");
    all.confirm();
    all.reading.add_path = [true, false];
    let mut best = Peer::up(&rig, 3, OUR_AS);
    let announced = |id: u32, asns: &[u32]| {
        let attributes = [origin(0), path(asns), next_hop("10.0.0.1")].concat();
        update(&[], &attributes, &[&id.to_be_bytes()[..], &nlri(&[ROUTE])].concat())
    };
    sender.send(&announced(7, &[AS, 1, 2]));
    sender.send(&announced(8, &[AS, 1]));
    best.await_route(ROUTE, |route| route.path() == "64501 1");
    let paths = |peer: &Peer| {
        let mut paths: Vec<String> = peer.table.values().map(octets::Attributes::path).collect();
        paths.sort();
        paths
    };
    all.await_table(|peer| paths(peer) == ["64501 1", "64501 1 2"]);
    sender.send(&update(&[&8_u32.to_be_bytes()[..], &nlri(&[ROUTE])].concat(), &[], &[]));
    all.await_table(|peer| paths(peer) == ["64501 1 2"]);
    best.await_route(ROUTE, |route| route.path() == "64501 1 2");
    sender.send(&update(&[&7_u32.to_be_bytes()[..], &nlri(&[ROUTE])].concat(), &[], &[]));
    all.await_table(|peer| peer.table.is_empty());
    best.await_gone(ROUTE);
    // A path identifier that is cut cannot be read.
    sender.send(&update(&[0, 0, 0], &[], &[]));
    sender.expect_notification(3, 10);
}
