//! The session machine over sockets: the daemon dials, retries, and both ends dial at once (RFC 4271 §6.8, §8.2; RFC 6286 §2.3).

#![allow(clippy::disallowed_methods, reason = "timers are measured in real time")]

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bgpd::speaker::message::SessionState;

use super::octets::{self, KEEPALIVE, OPEN, four_octet_as, message, multiprotocol};
use super::peer::{Event, Peer};
use super::rig::{OUR_AS, Rig, dialled, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

fn capabilities() -> [(u8, Vec<u8>); 2] {
    [multiprotocol(1), four_octet_as(AS)]
}

fn listen(number: u8) -> (TcpListener, u16) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 1, number], 0))).expect("an address of loopback");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

#[test]
fn a_neighbor_is_dialled_from_the_address_configured_and_again_when_it_is_gone() {
    let (listener, port) = listen(1);
    let rig = Rig::new(&(dialled(1, AS, port, "local_address = \"127.0.0.7\"") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    for round in 1..=2 {
        let mut peer = Peer::accept(&listener, 1);
        assert_eq!(peer.daemon().ip().to_string(), "127.0.0.7");
        // It does not wait for our OPEN with its own.
        let opened = peer.expect_open();
        assert_eq!((u32::from(opened.my_as), opened.hold), (OUR_AS, 90));
        peer.open_after(AS, &capabilities());
        peer.confirm();
        peer.announce_plain(&[AS, round], "10.0.0.1", &[ROUTE]);
        seer.await_route(ROUTE, |route| route.path() == format!("65000 64501 {round}"));
        drop(peer);
        seer.await_gone(ROUTE);
    }
}

#[test]
fn what_cannot_be_reached_is_tried_again_and_people_see_why() {
    let (listener, port) = listen(1);
    drop(listener);
    let rig = Rig::new(&dialled(1, AS, port, ""));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !rig.neighbor(1).connect_error.is_some_and(|error| error.contains("refused")) {
        assert!(Instant::now() < deadline, "{:?}", rig.neighbor(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 1, 1], port))).expect("it is free again");
    let mut peer = Peer::accept(&listener, 1);
    peer.expect_open();
    peer.open_after(AS, &capabilities());
    peer.confirm();
    rig.until(1, SessionState::Established);
    assert_eq!(rig.neighbor(1).connect_error, None);
}

#[test]
fn a_connection_that_ends_before_open_is_no_reason_to_wait_long() {
    let (listener, port) = listen(1);
    let rig = Rig::new(&dialled(1, AS, port, ""));
    for _ in 0..3 {
        let began = Instant::now();
        let mut peer = Peer::accept(&listener, 1);
        peer.expect_open();
        drop(peer);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    let mut peer = Peer::connect(&rig, 1);
    peer.open(AS, &capabilities());
    peer.confirm();
    rig.until(1, SessionState::Established);
}

#[test]
fn a_passive_neighbor_is_never_dialled() {
    let (listener, port) = listen(1);
    let _rig = Rig::new(&neighbor(1, AS, &format!("port = {port}\nconnect_retry = \"1s\"")));
    listener.set_nonblocking(true).expect("a socket");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(listener.accept().is_err(), "it was dialled");
}

/// Both connections with one neighbor.
struct Collision {
    rig: Rig,
    _listener: TcpListener,
    /// The one that stays.
    winner: Peer,
    loser: Peer,
}

/// Both ends have dialled. The connection of the higher identifier wins: the neighbor's is 10.255.1.1.
fn collision(theirs_wins: bool) -> Collision {
    let (listener, port) = listen(1);
    let id = if theirs_wins { "10.255.0.1" } else { "10.255.2.1" };
    let rig = Rig::with_node(&format!("asn = {OUR_AS}\nrouter_id = \"{id}\""), "", &dialled(1, AS, port, ""));
    let mut from_daemon = Peer::accept(&listener, 1);
    from_daemon.expect_open();
    let mut to_daemon = Peer::connect(&rig, 1);
    to_daemon.expect_open();
    let (winner, loser) = if theirs_wins { (to_daemon, from_daemon) } else { (from_daemon, to_daemon) };
    Collision { rig, _listener: listener, winner, loser }
}

impl Collision {
    /// The winner is in use, on its own.
    #[track_caller]
    fn established(&mut self) {
        self.winner.keepalive();
        self.rig.until(1, SessionState::Established);
        assert_eq!(self.rig.neighbor(1).established_count, 1);
        self.winner.settle();
    }
}

#[test]
fn both_in_open_sent_the_loser_is_told_when_the_winner_says_open() {
    for theirs_wins in [true, false] {
        let mut case = collision(theirs_wins);
        case.winner.open_after(AS, &capabilities());
        assert!(case.loser.expect_notification(6, 7).is_empty(), "Connection Collision Resolution");
        case.winner.expect_keepalive();
        case.established();
    }
}

#[test]
fn open_on_the_loser_first_waits_for_the_winner() {
    for theirs_wins in [true, false] {
        let mut case = collision(theirs_wins);
        case.loser.open_after(AS, &capabilities());
        case.winner.open_after(AS, &capabilities());
        case.loser.expect_notification(6, 7);
        case.winner.expect_keepalive();
        case.established();
    }
}

#[test]
fn open_on_both_at_once_leaves_the_winner() {
    for theirs_wins in [true, false] {
        let mut case = collision(theirs_wins);
        // A neighbor that confirms at once on both, before it has looked at either.
        for peer in [&mut case.loser, &mut case.winner] {
            peer.open_after(AS, &capabilities());
            peer.keepalive();
        }
        case.loser.expect_notification(6, 7);
        case.winner.expect_keepalive();
        case.established();
    }
}

#[test]
fn a_winner_that_stays_silent_or_dies_leaves_the_session_to_the_loser() {
    for theirs_wins in [true, false] {
        for dies in [true, false] {
            let Collision { rig, _listener, winner, mut loser } = collision(theirs_wins);
            loser.open_after(AS, &capabilities());
            let silent = if dies {
                drop(winner);
                None
            } else {
                Some(winner)
            };
            loser.expect_keepalive();
            loser.keepalive();
            rig.until(1, SessionState::Established);
            if let Some(mut silent) = silent {
                silent.expect_notification(6, 7);
            }
            loser.settle();
        }
    }
}

#[test]
fn a_connection_made_while_another_is_confirmed_is_judged_by_the_identifiers() {
    for theirs_wins in [true, false] {
        let (listener, port) = listen(1);
        let id = if theirs_wins { "10.255.0.1" } else { "10.255.2.1" };
        let rig = Rig::with_node(&format!("asn = {OUR_AS}\nrouter_id = \"{id}\""), "", &dialled(1, AS, port, ""));
        // OpenConfirm on the connection that the daemon made.
        let mut from_daemon = Peer::accept(&listener, 1);
        from_daemon.expect_open();
        from_daemon.open_after(AS, &capabilities());
        from_daemon.expect_keepalive();
        let mut to_daemon = Peer::connect(&rig, 1);
        to_daemon.send(&message(OPEN, &octets::open(64501, 90, [10, 255, 1, 1].into(), &capabilities())));
        let (mut winner, mut loser) = if theirs_wins { (to_daemon, from_daemon) } else { (from_daemon, to_daemon) };
        loser.expect_notification(6, 7);
        if theirs_wins {
            winner.expect_open();
            winner.expect_keepalive();
        }
        winner.keepalive();
        rig.until(1, SessionState::Established);
        winner.settle();
    }
}

#[test]
fn equal_identifiers_collide_by_as_number() {
    // RFC 6286 §2.3: the larger AS wins. Ours is 65000, the neighbor's 64501: what the daemon dialled stays.
    let (listener, port) = listen(1);
    let rig = Rig::with_node(&format!("asn = {OUR_AS}\nrouter_id = \"10.255.1.1\""), "", &dialled(1, AS, port, ""));
    let mut from_daemon = Peer::accept(&listener, 1);
    from_daemon.expect_open();
    let mut to_daemon = Peer::connect(&rig, 1);
    to_daemon.expect_open();
    to_daemon.open_after(AS, &capabilities());
    from_daemon.open_after(AS, &capabilities());
    to_daemon.expect_notification(6, 7);
    from_daemon.expect_keepalive();
    from_daemon.keepalive();
    rig.until(1, SessionState::Established);
}

#[test]
fn while_it_stands_open_and_unconfirmed_the_daemon_keeps_it_alive() {
    let rig = Rig::new(&neighbor(1, AS, "hold_time = \"3s\""));
    let mut peer = Peer::connect(&rig, 1);
    peer.open(AS, &capabilities());
    peer.expect_keepalive();
    // OpenConfirm: KEEPALIVEs go on, and the hold time is over when nothing confirms (RFC 4271 §8.2.2).
    let mut keepalives = 0;
    loop {
        match peer.next(Duration::from_secs(5)) {
            Event::Message(KEEPALIVE, _) => keepalives += 1,
            Event::Message(octets::NOTIFICATION, body) => {
                assert_eq!(body, [4, 0]);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((2..=4).contains(&keepalives), "{keepalives}");
}
