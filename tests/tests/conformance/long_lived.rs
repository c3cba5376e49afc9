//! The corners of long-lived graceful restart (RFC 9494 §4): what the capability needs beside it, times of zero, forwarding that was
//! lost, and routes that come marked already.

#![allow(clippy::disallowed_methods, reason = "timers are measured in real time")]

use std::time::{Duration, Instant};

use super::octets::{communities, four_octet_as, multiprotocol, next_hop, origin, path, update};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const A: &str = "192.0.2.0/24";
const LLGR_STALE: u32 = 0xffff_0006;
const OURS: &str = "graceful_restart = { long_lived = \"1h\" }";

/// Graceful restart; `family`: of IPv4, forwarding kept.
fn graceful(restarted: bool, secs: u8, family: bool) -> (u8, Vec<u8>) {
    let head = vec![if restarted { 0x80 } else { 0 }, secs];
    (64, if family { [head, vec![0, 1, 1, 0x80]].concat() } else { head })
}

fn long_lived(forwarding: bool, secs: u8) -> (u8, Vec<u8>) {
    (71, vec![0, 1, 1, if forwarding { 0x80 } else { 0 }, 0, 0, secs])
}

fn with(more: &[(u8, Vec<u8>)]) -> Vec<(u8, Vec<u8>)> {
    [&[multiprotocol(1), four_octet_as(AS)], more].concat()
}

/// Neighbor 1 may be kept for an hour, neighbor 2 is internal and knows what that means.
fn rig() -> (Rig, Peer) {
    let rig = Rig::new(&(neighbor(1, AS, OURS) + &neighbor(2, OUR_AS, OURS) + &neighbor(3, 64503, "")));
    let knows = [multiprotocol(1), four_octet_as(OUR_AS), graceful(false, 0, false), long_lived(true, 60)];
    let seer = Peer::up_with(&rig, 2, OUR_AS, &knows);
    (rig, seer)
}

#[test]
fn without_graceful_restart_the_capability_means_nothing() {
    let (rig, mut seer) = rig();
    let mut sender = Peer::up_with(&rig, 1, AS, &with(&[long_lived(true, 60)]));
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.expect_route(A);
    drop(sender);
    seer.await_gone(A);
}

#[test]
fn without_a_restart_time_routes_are_marked_at_once() {
    let (rig, mut seer) = rig();
    let mut other = Peer::up(&rig, 3, 64503);
    for restart in [graceful(false, 0, true), graceful(false, 9, false)] {
        let mut sender = Peer::up_with(&rig, 1, AS, &with(&[restart, long_lived(true, 60)]));
        sender.announce_plain(&[AS], "10.0.0.1", &[A]);
        seer.await_route(A, |route| route.communities().is_empty());
        other.expect_route(A);
        drop(sender);
        seer.await_route(A, |route| route.communities() == [LLGR_STALE]);
        other.await_gone(A);
        // It comes back without having kept anything.
        let sender = Peer::up_with(&rig, 1, AS, &with(&[graceful(true, 0, false), long_lived(false, 60)]));
        seer.await_gone(A);
        drop(sender);
    }
}

#[test]
fn the_time_runs_on_until_everything_was_said_again() {
    let (rig, mut seer) = rig();
    let terms = |restarted| with(&[graceful(restarted, 0, true), long_lived(true, 2)]);
    let mut sender = Peer::up_with(&rig, 1, AS, &terms(false));
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.expect_route(A);
    drop(sender);
    seer.await_route(A, |route| route.communities() == [LLGR_STALE]);
    let began = Instant::now();
    // It comes back, says nothing and is gone again, and stays then: RFC 9494 §4.2 has the timer run on through all of it.
    std::thread::sleep(Duration::from_secs(1));
    drop(Peer::up_with(&rig, 1, AS, &terms(true)));
    let sender = Peer::up_with(&rig, 1, AS, &terms(true));
    seer.settle();
    assert_eq!(seer.route(A).map(super::octets::Attributes::communities), Some(vec![LLGR_STALE]));
    seer.await_gone(A);
    let kept = began.elapsed();
    assert!(kept > Duration::from_millis(1800) && kept < Duration::from_millis(3000), "{kept:?}");
    drop(sender);
}

#[test]
fn a_neighbor_lost_again_before_it_has_said_everything_loses_all_once_its_time_is_over() {
    let (rig, mut seer) = rig();
    let terms = |restarted| with(&[graceful(restarted, 0, true), long_lived(true, 2)]);
    let b = "198.51.100.0/24";
    let mut sender = Peer::up_with(&rig, 1, AS, &terms(false));
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.expect_route(A);
    drop(sender);
    seer.await_route(A, |route| route.communities() == [LLGR_STALE]);
    // It comes back and says one thing, but never that it has said all. Meanwhile the time is over.
    let mut sender = Peer::up_with(&rig, 1, AS, &terms(true));
    sender.announce_plain(&[AS], "10.0.0.1", &[b]);
    seer.expect_route(b);
    seer.await_gone(A);
    assert!(seer.route(b).is_some_and(|route| route.communities().is_empty()));
    // RFC 9494 §4.2: what there is goes with the session, and is not kept a second time.
    drop(sender);
    seer.await_gone(b);
    // The next session begins anew.
    let mut sender = Peer::up_with(&rig, 1, AS, &terms(true));
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.expect_route(A);
    drop(sender);
    seer.await_route(A, |route| route.communities() == [LLGR_STALE]);
}

#[test]
fn end_of_rib_ends_the_mark_of_what_was_said_again_and_the_life_of_the_rest() {
    let (rig, mut seer) = rig();
    let terms = |restarted| with(&[graceful(restarted, 0, true), long_lived(true, 60)]);
    let b = "198.51.100.0/24";
    let mut sender = Peer::up_with(&rig, 1, AS, &terms(false));
    sender.announce_plain(&[AS], "10.0.0.1", &[A, b]);
    drop({
        seer.expect_route(b);
        sender
    });
    seer.await_route(b, |route| route.communities() == [LLGR_STALE]);
    let mut sender = Peer::up_with(&rig, 1, AS, &terms(true));
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.await_route(A, |route| route.communities().is_empty());
    assert_eq!(seer.route(b).map(super::octets::Attributes::communities), Some(vec![LLGR_STALE]));
    sender.send(&update(&[], &[], &[]));
    seer.await_gone(b);
    assert!(seer.route(A).is_some());
}

#[test]
fn what_comes_marked_is_the_last_choice_keeps_its_mark_and_goes_to_those_who_know() {
    let (rig, mut seer) = rig();
    let mut other = Peer::up(&rig, 3, 64503);
    let mut sender = Peer::up(&rig, 1, AS);
    sender.announce(&[origin(0), path(&[AS]), next_hop("10.0.0.1"), communities(&[5, LLGR_STALE])], &[A]);
    let told = seer.expect_route(A);
    assert_eq!(told.communities(), [5, LLGR_STALE]);
    other.settle();
    assert!(other.route(A).is_none(), "RFC 9494 §4.3");
    // Whatever else there is is better, be it as long as it may.
    other.announce(&[origin(2), path(&[64503, 1, 2, 3, 4, 5, 6]), next_hop("10.0.0.3")], &[A]);
    seer.await_route(A, |route| route.path() == "64503 1 2 3 4 5 6");
    other.withdraw(&[A]);
    seer.await_route(A, |route| route.communities() == [5, LLGR_STALE]);
    // Said again without the mark it is as good as any.
    sender.announce_plain(&[AS], "10.0.0.1", &[A]);
    seer.await_route(A, |route| route.communities().is_empty());
    other.expect_route(A);
}
