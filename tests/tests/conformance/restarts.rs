//! What stays over a restart and for how long: RFC 4724, RFC 8538, RFC 9494, and a refresh that is cut short (RFC 7313).

#![allow(clippy::disallowed_methods, reason = "timers are measured in real time")]

use std::time::{Duration, Instant};

use super::octets::{
    self, REFRESH, communities, four_octet_as, message, multiprotocol, next_hop, nlri, origin, path, update,
};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const A: &str = "192.0.2.0/24";
const B: &str = "198.51.100.0/24";
const LLGR_STALE: u32 = 0xffff_0006;
const NO_LLGR: u32 = 0xffff_0007;

/// Graceful restart of IPv4, forwarding kept.
fn graceful(restarted: bool, secs: u8) -> (u8, Vec<u8>) {
    (64, vec![if restarted { 0x80 } else { 0 }, secs, 0, 1, 1, 0x80])
}

fn long_lived(secs: u8) -> (u8, Vec<u8>) {
    (71, vec![0, 1, 1, 0x80, 0, 0, secs])
}

fn end_of_rib() -> Vec<u8> {
    update(&[], &[], &[])
}

#[test]
fn a_neighbor_that_comes_too_late_has_lost_its_routes() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let capabilities = [multiprotocol(1), four_octet_as(AS), graceful(false, 1)];
    let mut sender = Peer::up_with(&rig, 1, AS, &capabilities);
    let mut seer = Peer::up(&rig, 2, 64502);
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.expect_route(A);
    drop(sender);
    let began = Instant::now();
    seer.await_gone(A);
    let kept = began.elapsed();
    assert!(kept > Duration::from_millis(900) && kept < Duration::from_millis(2500), "{kept:?}");
}

#[test]
fn forwarding_that_was_lost_takes_the_routes_at_once() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let with = |restart| [multiprotocol(1), four_octet_as(AS), restart];
    let mut seer = Peer::up(&rig, 2, 64502);
    // RFC 4724 §4.2: the F bit clear, the family not listed, no capability at all.
    for back in [(64, vec![0x80, 120, 0, 1, 1, 0]), (64, vec![0x80, 120]), (2, vec![])] {
        let mut sender = Peer::up_with(&rig, 1, AS, &with(graceful(false, 120)));
        sender.announce_plain(&[AS], "10.0.0.1", &[A]);
        seer.expect_route(A);
        drop(sender);
        seer.settle();
        assert!(seer.route(A).is_some());
        let mut sender = Peer::up_with(&rig, 1, AS, &with(back));
        seer.await_gone(A);
        sender.send(&message(octets::NOTIFICATION, &[6, 3]));
        sender.settle_closed();
    }
}

#[test]
fn a_new_connection_takes_the_place_of_one_that_is_dead_unnoticed() {
    // RFC 4724 §5: it is no collision, the neighbor has restarted.
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let with = |restarted| [multiprotocol(1), four_octet_as(AS), graceful(restarted, 120)];
    let mut old = Peer::up_with(&rig, 1, AS, &with(false));
    let mut seer = Peer::up(&rig, 2, 64502);
    old.announce_plain(&[AS], "10.0.0.1", &[A, B]);
    seer.expect_route(A);
    seer.expect_route(B);
    let mut new = Peer::up_with(&rig, 1, AS, &with(true));
    new.announce_plain(&[AS], "10.0.0.1", &[A]);
    new.send(&end_of_rib());
    seer.await_gone(B);
    assert!(seer.route(A).is_some() && seer.withdrawals.iter().all(|prefix| prefix.to_string() == B));
    old.settle_closed();
}

#[test]
fn notifications_leave_the_routes_where_both_ends_say_so() {
    // RFC 8538: the N bit (0x40), and the Hard Reset, 6/9.
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let n_bit = (64, vec![0x40, 120, 0, 1, 1, 0x80]);
    let capabilities = [multiprotocol(1), four_octet_as(AS), n_bit];
    let mut seer = Peer::up(&rig, 2, 64502);
    for (words, kept) in [(&[6, 4][..], true), (&[6, 9, 6, 2, 0], false)] {
        let mut sender = Peer::up_with(&rig, 1, AS, &capabilities);
        sender.announce_plain(&[AS], "10.0.0.1", &[A]);
        seer.expect_route(A);
        sender.send(&message(octets::NOTIFICATION, words));
        drop(sender);
        if kept {
            seer.settle();
            assert!(seer.route(A).is_some(), "{words:?}");
        } else {
            seer.await_gone(A);
        }
    }
}

#[test]
fn a_hold_time_that_is_over_leaves_the_routes_where_both_ends_say_so() {
    // RFC 8538 §4: with the N bit of both; RFC 4724 alone keeps nothing after a NOTIFICATION, and 4/0 is one.
    let short = "hold_time = \"3s\"";
    let rig = Rig::new(&(neighbor(1, AS, short) + &neighbor(2, 64502, "") + &neighbor(3, AS, short)));
    let mut seer = Peer::up(&rig, 2, 64502);
    let with = |flags| [multiprotocol(1), four_octet_as(AS), (64, vec![flags, 120, 0, 1, 1, 0x80])];
    let (mut flagged, mut plain) = (Peer::up_with(&rig, 1, AS, &with(0x40)), Peer::up_with(&rig, 3, AS, &with(0)));
    flagged.announce_plain(&[AS], "10.0.0.1", &[A]);
    plain.announce_plain(&[AS], "10.0.0.3", &[B]);
    seer.expect_route(A);
    seer.expect_route(B);
    assert!(flagged.expect_notification(4, 0).is_empty());
    assert!(plain.expect_notification(4, 0).is_empty());
    seer.await_gone(B);
    seer.settle();
    assert!(seer.route(A).is_some());
    assert_eq!((rig.neighbor(1).stale, rig.neighbor(3).stale), (1, 0));
}

#[test]
fn a_second_loss_before_everything_was_said_again_takes_what_was_stale() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let with = |restarted| [multiprotocol(1), four_octet_as(AS), graceful(restarted, 120)];
    let mut seer = Peer::up(&rig, 2, 64502);
    let mut sender = Peer::up_with(&rig, 1, AS, &with(false));
    sender.announce_plain(&[AS], "10.0.0.1", &[A, B]);
    seer.expect_route(A);
    seer.expect_route(B);
    drop(sender);
    let mut sender = Peer::up_with(&rig, 1, AS, &with(true));
    sender.announce_plain(&[AS, 9], "10.0.0.1", &[A]);
    seer.await_route(A, |route| route.path().ends_with('9'));
    drop(sender);
    // RFC 4724 §4.2: routes marked before are deleted, those of the second session are kept.
    seer.await_gone(B);
    seer.settle();
    assert!(seer.route(A).is_some());
}

#[test]
fn long_lived_routes_are_told_as_such_to_those_who_know_and_end() {
    let ours = "graceful_restart = { long_lived = \"1h\" }";
    let rig = Rig::new(
        &(neighbor(1, AS, ours) + &neighbor(2, OUR_AS, ours) + &neighbor(3, 64503, "") + &neighbor(4, 64504, "")),
    );
    let capabilities = [multiprotocol(1), four_octet_as(AS), graceful(false, 1), long_lived(2)];
    let mut sender = Peer::connect(&rig, 1);
    let opened = sender.open(AS, &capabilities);
    assert_eq!(opened.capability(71), Some(&[0, 1, 1, 0, 0, 0x0e, 0x10][..]), "we keep for an hour at most");
    sender.confirm();
    let knows = [multiprotocol(1), four_octet_as(OUR_AS), graceful(false, 0), long_lived(60)];
    let mut knowing = Peer::up_with(&rig, 2, OUR_AS, &knows);
    let mut other = Peer::up(&rig, 3, 64503);
    let mut rival = Peer::up(&rig, 4, 64504);
    sender.announce_plain(&[AS], "10.0.0.1", &[A, B]);
    // A rival whose path is longer.
    rival.announce_plain(&[64504, 5, 6, 7], "10.0.0.4", &[B]);
    let never = "203.0.113.0/24";
    sender.announce(&[origin(0), path(&[AS]), next_hop("10.0.0.1"), communities(&[NO_LLGR])], &[never]);
    for peer in [&mut knowing, &mut other] {
        peer.expect_route(A);
        peer.await_route(B, |route| route.path().ends_with("64501"));
        peer.expect_route(never);
    }
    drop(sender);
    let began = Instant::now();
    let stale = knowing.await_route(A, |route| route.communities() == [LLGR_STALE]);
    assert!(began.elapsed() > Duration::from_millis(900), "not before the restart time is over");
    assert_eq!(stale.path(), "64501");
    // Whoever does not know what it means is not told (RFC 9494 §4.3), what does not want to live long goes (NO_LLGR), and anything
    // else is better.
    other.await_gone(A);
    other.await_gone(never);
    knowing.await_gone(never);
    other.await_route(B, |route| route.path() == "65000 64504 5 6 7");
    knowing.await_route(B, |route| route.path() == "64504 5 6 7");
    knowing.await_gone(A);
    let lived = began.elapsed();
    assert!(lived > Duration::from_millis(2900) && lived < Duration::from_millis(4500), "{lived:?}");
}

#[test]
fn of_several_paths_those_said_again_stay() {
    let rig =
        Rig::new(&(neighbor(1, AS, "add_path = { receive = true }") + &neighbor(2, OUR_AS, "add_path = { send = 4 }")));
    let add_path = |mode| (69, vec![0, 1, 1, mode]);
    let with = |restarted| [multiprotocol(1), four_octet_as(AS), graceful(restarted, 120), add_path(2)];
    let said = |id: u32, asns: &[u32]| {
        let attributes = [origin(0), path(asns), next_hop("10.0.0.1")].concat();
        update(&[], &attributes, &[&id.to_be_bytes()[..], &nlri(&[A])].concat())
    };
    let mut sender = Peer::up_with(&rig, 1, AS, &with(false));
    let mut seer = Peer::up_with(&rig, 2, OUR_AS, &[multiprotocol(1), four_octet_as(OUR_AS), add_path(1)]);
    seer.reading.add_path = [true, false];
    sender.send(&said(1, &[AS, 1]));
    sender.send(&said(2, &[AS, 2]));
    seer.await_table(|peer| peer.table.len() == 2);
    drop(sender);
    seer.settle();
    assert_eq!((seer.table.len(), rig.neighbor(1).stale), (2, 2));
    let mut sender = Peer::up_with(&rig, 1, AS, &with(true));
    sender.send(&said(2, &[AS, 2]));
    seer.settle();
    assert_eq!((seer.table.len(), seer.withdrawals.len()), (2, 0));
    sender.send(&end_of_rib());
    seer.await_table(|peer| peer.table.len() == 1 && peer.table.values().all(|route| route.path() == "64501 2"));
    assert_eq!(rig.neighbor(1).stale, 0);
}

#[test]
fn a_session_lost_within_a_refresh_loses_or_keeps_all_of_it() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let mark = |subtype| message(REFRESH, &[0, 1, subtype, 1]);
    for keeps in [false, true] {
        let restart = |restarted| if keeps { graceful(restarted, 120) } else { (2, vec![]) };
        let with = |restarted| [multiprotocol(1), four_octet_as(AS), (70, vec![]), restart(restarted)];
        let mut sender = Peer::up_with(&rig, 1, AS, &with(false));
        sender.announce_plain(&[AS], "10.0.0.1", &[A, B]);
        sender.send(&end_of_rib());
        seer.expect_route(A);
        seer.expect_route(B);
        sender.send(&mark(1));
        sender.announce_plain(&[AS, 9], "10.0.0.1", &[A]);
        seer.await_route(A, |route| route.path().ends_with("9"));
        drop(sender);
        if keeps {
            seer.settle();
            assert_eq!(seer.table.len(), 2, "what was not said again before the end is kept like the rest");
            let mut sender = Peer::up_with(&rig, 1, AS, &with(true));
            // The end of a refresh of the session before means nothing in this one.
            sender.send(&mark(2));
            sender.announce_plain(&[AS, 9], "10.0.0.1", &[A]);
            seer.settle();
            assert_eq!(seer.table.len(), 2);
            sender.send(&end_of_rib());
            seer.await_gone(B);
            assert!(seer.route(A).is_some());
        } else {
            seer.await_gone(A);
            seer.await_gone(B);
            let mut sender = Peer::up_with(&rig, 1, AS, &with(false));
            sender.send(&mark(2));
            sender.announce_plain(&[AS], "10.0.0.1", &[A]);
            seer.expect_route(A);
            sender.send(&message(octets::NOTIFICATION, &[6, 3]));
            seer.await_gone(A);
        }
    }
}

#[test]
fn a_refresh_that_is_not_begun_or_not_ended_sweeps_nothing() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let mark = |subtype| message(REFRESH, &[0, 1, subtype, 1]);
    let with = [multiprotocol(1), four_octet_as(AS), (70, vec![]), graceful(false, 120)];
    let mut sender = Peer::up_with(&rig, 1, AS, &with);
    sender.announce_plain(&[AS], "10.0.0.1", &[A, B]);
    // RFC 7313 §4: before End-of-RIB of a graceful neighbor there is no beginning.
    sender.send(&mark(1));
    sender.send(&mark(2));
    seer.expect_route(A);
    seer.expect_route(B);
    seer.settle();
    assert_eq!(seer.table.len(), 2);
    sender.send(&end_of_rib());
    // A second beginning counts from itself on.
    sender.send(&mark(1));
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    sender.send(&mark(1));
    sender.announce_plain(&[AS], "10.0.0.1", &[B]);
    sender.send(&mark(2));
    seer.await_gone(A);
    assert!(seer.route(B).is_some());
}

#[test]
fn the_bits_of_our_own_restart() {
    let ours = "graceful_restart = { enabled = true, restart_time = \"60s\" }";
    let first = Rig::new(&(neighbor(1, AS, ours) + &neighbor(2, 64502, "")));
    let open = |rig: &Rig| {
        let mut peer = Peer::connect(rig, 1);
        let opened = peer.open(AS, &[multiprotocol(1), four_octet_as(AS), graceful(false, 120)]);
        let (flags, families) = opened.capability(64).expect("offered").split_at(2);
        // N is always set (RFC 8538), the time is ours.
        assert_eq!((flags[0] & 0x4f, flags[1]), (0x40, 60));
        peer.confirm();
        (peer, flags[0] & 0x80 != 0, families.to_vec())
    };
    let (mut peer, restarted, families) = open(&first);
    assert_eq!((restarted, families), (false, vec![0, 1, 1, 0]), "nothing was kept before a first start");
    peer.announce_plain(&[AS], "10.0.0.1", &[A]);
    first.await_forwarding(A, "10.0.0.1*1");

    // The next daemon finds the routes in the data plane.
    let second = first.again();
    let (mut peer, restarted, families) = open(&second);
    assert_eq!((restarted, families), (true, vec![0, 1, 1, 0x80]));
    // RFC 4724 §4.1: nobody is told anything, and nothing is changed, before we have been told everything.
    let mut other = Peer::up(&second, 2, 64502);
    peer.announce_plain(&[AS], "10.0.0.2", &[A]);
    other.settle();
    assert!(other.table.is_empty() && other.end_of_rib.is_empty());
    second.await_forwarding(A, "10.0.0.1*1");
    peer.send(&end_of_rib());
    other.expect_route(A);
    other.await_end_of_rib(1);
    second.await_forwarding(A, "10.0.0.2*1");
    // Once it is over, the next session knows nothing of a restart; forwarding has gone on.
    drop(peer);
    let (_, restarted, families) = open(&second);
    assert_eq!((restarted, families), (false, vec![0, 1, 1, 0x80]));
}
