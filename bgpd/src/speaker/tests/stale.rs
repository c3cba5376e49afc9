//! Stories of routes that are kept though nobody says them at present.

use std::time::Duration;

use bytes::BytesMut;
use rib::{AddressFamily, Protocol};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, service};
use crate::config::{AdjInKeep, GracefulRestart, NeighborConfig};
use crate::session::{DownReason, StopCause};
use crate::speaker::message::{Command, Event, Input, LocalRoute, Query, Reply};
use crate::wire::capability::{Capability, LongLivedFamily, RestartFamily};
use crate::wire::header;
use crate::wire::notification::cease;
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};
use crate::wire::{AfiSafi, Notification, update};

const HOP: &str = "198.51.100.1";
const A: &str = "192.0.2.0/24";
const B: &str = "203.0.113.0/24";
const SIX: &str = "2001:db8:1::/48";
const LLGR_STALE: u32 = 0xffff_0006;
const NO_LLGR: u32 = 0xffff_0007;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// It restarts in 60 s; forwarding as said, for IPv4 and IPv6.
fn restart(restarted: bool, forwarding: [bool; 2]) -> Capability {
    let families = [AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST];
    let families =
        families.into_iter().zip(forwarding).map(|(family, forwarding)| RestartFamily { family, forwarding });
    Capability::GracefulRestart { restarted, notification: false, restart_secs: 60, families: families.collect() }
}

fn long_lived(forwarding: bool, stale_secs: u32) -> Capability {
    let entry = |family| LongLivedFamily { family, forwarding, stale_secs };
    Capability::LongLivedGracefulRestart([AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST].map(entry).to_vec())
}

fn end_of_rib(family: AddressFamily) -> BytesMut {
    let mut buf = BytesMut::new();
    update::encode_end_of_rib(family, &mut buf);
    buf
}

fn refresh(kind: RefreshKind, family: AfiSafi) -> BytesMut {
    BytesMut::from(&RouteRefresh { family, kind }.to_bytes()[..])
}

/// Neighbor 1 restarts gracefully and has said three prefixes, neighbor 2 listens.
fn helper(with: Vec<Capability>, ours: GracefulRestart) -> Rig {
    let one = NeighborConfig { graceful_restart: ours, ..neighbor(1, 65001) };
    let mut rig = Rig::new(config(vec![one, neighbor(2, 65002)]));
    rig.further.insert(0, with);
    rig.connect(0);
    rig.connect(1);
    rig.settle();
    say_all(&mut rig);
    rig.send(1, end_of_rib(AddressFamily::Ipv4)).send(1, end_of_rib(AddressFamily::Ipv6));
    rig.settle();
    assert_eq!(rig.rib.len(), 3);
    rig
}

/// Prefixes of neighbor 1 that people are told are stale.
fn stale(rig: &Rig) -> u64 {
    let address = std::net::Ipv4Addr::new(10, 0, 0, 1);
    match rig.view(&Query::Neighbors(Some(std::net::IpAddr::V4(address).into()))) {
        Reply::Neighbors(views) => views[0].stale,
        other => panic!("{other:?}"),
    }
}

fn say_all(rig: &mut Rig) {
    rig.announce(1, A, &attributes(&[65001], HOP));
    rig.announce(1, B, &attributes(&[65001, 7], HOP));
    rig.announce(1, SIX, &attributes(&[65001], "2001:db8::1"));
}

/// Time passes for a speaker whose neighbors say that they are alive.
fn pass(rig: &mut Rig, time: u64, alive: &[u8]) {
    let mut left = time;
    while left > 0 {
        let step = left.min(25);
        left -= step;
        rig.later(secs(step));
        for n in alive {
            rig.send(*n, BytesMut::from(&header::keepalive()[..]));
        }
    }
    rig.settle();
}

fn comes_back(rig: &mut Rig, with: Vec<Capability>) {
    rig.further.insert(0, with);
    rig.connect(0);
    rig.settle();
}

#[test]
fn a_restarting_neighbor_keeps_its_routes_and_loses_what_it_does_not_say_again() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    let heard = rig.fake(2).updates;
    assert_eq!(stale(&rig), 0);
    rig.lose(1).settle();
    assert_eq!(stale(&rig), 3);
    rig.later(secs(50));
    assert_eq!((rig.rib.len(), rig.removed, rig.fake(2).updates), (3, 0, heard), "nobody notices");
    comes_back(&mut rig, vec![restart(true, [true; 2])]);
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    assert_eq!((rig.rib.len(), rig.removed, rig.fake(2).updates), (3, 0, heard), "the same word changes nothing");
    rig.send(1, end_of_rib(AddressFamily::Ipv4)).settle();
    assert_eq!((rig.told(2, A), rig.told(2, B)), (Some(vec![OUR_AS, 65001]), None), "B was not said again");
    assert!(rig.told(2, SIX).is_some(), "the other family has its own end");
    rig.send(1, end_of_rib(AddressFamily::Ipv6)).settle();
    assert_eq!((rig.told(2, SIX), rig.rib.len(), rig.removed), (None, 1, 2));
    pass(&mut rig, 1000, &[1, 2]);
    assert_eq!((rig.rib.len(), stale(&rig)), (1, 0), "no timer is left");
    rig.withdraw(1, A).settle();
    rig.assert_no_leak();
}

#[test]
fn a_neighbor_that_does_not_come_back_in_time_loses_its_routes() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    rig.lose(1).settle();
    rig.later(secs(59));
    assert_eq!(rig.rib.len(), 3);
    rig.later(secs(2));
    assert!(rig.rib.is_empty() && rig.fake(2).view.is_empty());
    rig.assert_no_leak();
}

#[test]
fn families_without_forwarding_or_not_listed_go_as_soon_as_the_neighbor_is_back() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    rig.lose(1).settle();
    comes_back(&mut rig, vec![restart(true, [true, false])]);
    assert_eq!((rig.rib.len(), rig.told(2, SIX)), (2, None), "F=0 in IPv6");
    rig.lose(1).settle();
    comes_back(&mut rig, vec![]);
    assert!(rig.rib.is_empty(), "no capability at all");
}

#[test]
fn end_of_rib_that_never_comes_is_waited_for_a_bounded_time() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    rig.lose(1).settle();
    comes_back(&mut rig, vec![restart(true, [true; 2])]);
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    pass(&mut rig, 350, &[1, 2]);
    assert_eq!(rig.rib.len(), 3);
    rig.later(secs(20));
    assert_eq!(rig.rib.len(), 1, "360 s after it came back");
}

#[test]
fn a_second_restart_drops_what_was_stale_from_the_first() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    rig.lose(1).settle();
    comes_back(&mut rig, vec![restart(true, [true; 2])]);
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    rig.lose(1).settle();
    assert_eq!(rig.rib.keys().map(ToString::to_string).collect::<Vec<_>>(), [A], "RFC 4724 §4.2");
}

#[test]
fn a_notification_ends_the_routes_unless_both_ends_flag_n() {
    let ended = |notification: bool, subcode: u8| {
        let Capability::GracefulRestart { restarted, restart_secs, families, .. } = restart(false, [true; 2]) else {
            unreachable!("that is what it makes")
        };
        let offer = Capability::GracefulRestart { restarted, notification, restart_secs, families };
        let mut rig = helper(vec![offer], GracefulRestart::default());
        let mut octets = BytesMut::new();
        Notification::cease(subcode).encode(&mut octets);
        rig.send(1, octets).settle();
        rig.rib.len()
    };
    assert_eq!(ended(false, cease::RESET), 0, "RFC 4724 §4.2");
    assert_eq!(ended(true, cease::RESET), 3, "RFC 8538 §4");
    assert_eq!(ended(true, cease::HARD_RESET), 0, "RFC 8538 §3");
}

#[test]
fn who_is_no_helper_keeps_nothing() {
    let ours = GracefulRestart { helper: false, ..GracefulRestart::default() };
    let mut rig = helper(vec![restart(false, [true; 2])], ours);
    rig.lose(1).settle();
    assert!(rig.rib.is_empty());
}

#[test]
fn what_an_operator_disables_is_not_kept() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    rig.lose(1).settle();
    let neighbor = rig.config.neighbors[0].key();
    rig.input(Input::Command(Command::SetEnabled { neighbor, enabled: false, message: String::new() }));
    rig.settle();
    assert!(rig.rib.is_empty());
    assert!(StopCause::Deconfigured.notification().is_some());
}

#[test]
fn a_broken_path_ends_the_session_with_its_routes_though_the_neighbor_restarts_gracefully() {
    let mut rig = helper(vec![restart(false, [true; 2])], GracefulRestart::default());
    let neighbor = rig.config.neighbors[0].key();
    rig.input(Input::Command(Command::PathDown { neighbor }));
    rig.settle();
    assert!(rig.rib.is_empty(), "nothing is forwarded into the hole");
    assert_eq!(rig.fake(1).notifications, 1);
    let down = rig
        .events
        .iter()
        .any(|event| matches!(event, Event::Neighbor { reason: Some(DownReason::Stopped(StopCause::BfdDown)), .. }));
    assert!(down, "{:?}", rig.events);
    rig.lose(1).settle();
    comes_back(&mut rig, vec![restart(true, [true; 2])]);
    say_all(&mut rig);
    rig.settle();
    assert_eq!(rig.rib.len(), 3, "it begins anew by itself");
}

#[test]
fn long_lived_routes_are_the_last_choice_and_only_for_those_who_know() {
    let ours = GracefulRestart { long_lived: Some(secs(600)), ..GracefulRestart::default() };
    let one = NeighborConfig { graceful_restart: ours, ..neighbor(1, 65001) };
    let three = NeighborConfig { graceful_restart: ours, ..neighbor(3, 65003) };
    let mut rig = Rig::new(config(vec![one, neighbor(2, 65002), three]));
    rig.further.insert(0, vec![restart(false, [true; 2]), long_lived(true, 3600)]);
    rig.further.insert(2, vec![restart(false, [true; 2]), long_lived(true, 3600)]);
    (0..3).for_each(|at| rig.connect(at));
    rig.settle();
    rig.announce(1, A, &attributes(&[65001], HOP));
    let never = crate::wire::attr::PathAttributes { communities: vec![NO_LLGR], ..attributes(&[65001], HOP) };
    rig.announce(1, B, &never).settle();
    rig.lose(1).settle();
    rig.later(secs(59));
    assert_eq!((rig.fake(2).view.len(), rig.fake(3).view.len()), (2, 2));
    rig.later(secs(2));
    assert_eq!(rig.rib.len(), 1, "NO_LLGR is not kept");
    assert_eq!(rig.told(2, A), None, "neighbor 2 does not know LLGR_STALE");
    assert_eq!(rig.fake(3).view[&A.parse().expect("a prefix")].communities, [LLGR_STALE]);
    // A worse path in all else wins against it.
    rig.announce(2, A, &attributes(&[65002, 1, 2, 3, 4, 5], HOP)).settle();
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65002, 1, 2, 3, 4, 5]));
    rig.withdraw(2, A).settle();
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65001]));
    pass(&mut rig, 590, &[2, 3]);
    assert_eq!(rig.rib.len(), 1);
    pass(&mut rig, 10, &[2, 3]);
    assert!(rig.rib.is_empty(), "ours of 600 s is shorter than theirs");
    rig.assert_no_leak();
}

#[test]
fn a_neighbor_back_from_a_long_absence_is_fresh_again() {
    let ours = GracefulRestart { long_lived: Some(secs(600)), ..GracefulRestart::default() };
    let offer = || vec![restart(true, [true; 2]), long_lived(true, 3600)];
    let mut rig = helper(offer(), ours);
    rig.lose(1).settle();
    rig.later(secs(61));
    assert_eq!((rig.rib.len(), rig.removed), (3, 0));
    comes_back(&mut rig, offer());
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.told(2, A), Some(vec![OUR_AS, 65001]), "without the mark");
    assert_eq!((rig.rib.len(), rig.told(2, B)), (3, None), "the rest still has it");
    rig.send(1, end_of_rib(AddressFamily::Ipv4)).send(1, end_of_rib(AddressFamily::Ipv6)).settle();
    assert_eq!(rig.rib.len(), 1);
    rig.lose(1).settle();
    comes_back(&mut rig, vec![restart(true, [true; 2]), long_lived(false, 3600)]);
    assert_eq!(rig.rib.len(), 1, "within the restart time its own F flag counts");
}

#[test]
fn without_a_restart_time_the_long_life_begins_at_once() {
    let ours = GracefulRestart { long_lived: Some(secs(600)), ..GracefulRestart::default() };
    let bare =
        Capability::GracefulRestart { restarted: false, notification: false, restart_secs: 0, families: Vec::new() };
    let mut rig = helper(vec![bare, long_lived(true, 100)], ours);
    rig.lose(1).settle();
    rig.later(secs(0));
    assert_eq!((rig.rib.len(), rig.fake(2).view.len()), (3, 0), "kept, and not told to who does not know");
    rig.later(secs(101));
    assert!(rig.rib.is_empty(), "theirs is shorter");
}

#[test]
fn a_route_that_comes_long_lived_stale_is_the_last_choice_and_stays_among_those_who_know() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]));
    let stale = crate::wire::attr::PathAttributes { communities: vec![LLGR_STALE], ..attributes(&[65001], HOP) };
    rig.announce(1, A, &stale).settle();
    assert_eq!((rig.rib.len(), rig.told(3, A)), (1, None));
    rig.announce(2, A, &attributes(&[65002, 9, 9, 9], HOP)).settle();
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65002, 9, 9, 9]));
}

#[test]
fn a_refresh_is_marked_at_both_ends_and_comes_after_end_of_rib() {
    let mut rig = Rig::new(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    rig.further.insert(1, vec![Capability::EnhancedRouteRefresh]);
    rig.connect(0);
    rig.connect(1);
    rig.settle();
    rig.announce(1, A, &attributes(&[65001], HOP)).local(B, Some(service())).settle();
    let before = rig.fake(2).updates;
    rig.send(2, refresh(RefreshKind::Request, AfiSafi::IPV4_UNICAST)).settle();
    let marks = rig.fake(2).marks.clone();
    assert_eq!(marks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [RefreshKind::Begin, RefreshKind::End]);
    assert_eq!(marks[0].1, before);
    assert_eq!(marks[1].1, before + 2, "both routes stand between the marks");
    // Who does not know marks gets none.
    rig.send(1, refresh(RefreshKind::Request, AfiSafi::IPV4_UNICAST)).settle();
    assert!(rig.fake(1).marks.is_empty());
}

#[test]
fn a_marked_refresh_sweeps_what_is_not_said_again() {
    let mut rig = Rig::new(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    rig.further.insert(0, vec![Capability::EnhancedRouteRefresh]);
    rig.connect(0);
    rig.connect(1);
    rig.settle();
    say_all(&mut rig);
    rig.send(1, refresh(RefreshKind::Begin, AfiSafi::IPV4_UNICAST)).settle();
    assert_eq!((rig.rib.len(), rig.removed), (3, 0), "still used");
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    // A second beginning: what was said between counts no more.
    rig.send(1, refresh(RefreshKind::Begin, AfiSafi::IPV4_UNICAST)).settle();
    rig.announce(1, B, &attributes(&[65001, 7], HOP)).settle();
    assert_eq!((rig.rib.len(), rig.removed), (3, 0));
    rig.send(1, refresh(RefreshKind::End, AfiSafi::IPV4_UNICAST)).settle();
    assert_eq!((rig.told(2, A), rig.told(2, B)), (None, Some(vec![OUR_AS, 65001, 7])));
    assert!(rig.told(2, SIX).is_some(), "the other family is not concerned");
    // An end that is lost.
    rig.send(1, refresh(RefreshKind::Begin, AfiSafi::IPV4_UNICAST)).settle();
    pass(&mut rig, 290, &[1, 2]);
    assert!(rig.told(2, B).is_some());
    rig.later(secs(20));
    assert_eq!(rig.told(2, B), None, "300 s after it began");
    rig.assert_no_leak();
}

#[test]
fn marks_out_of_place_and_families_not_in_use_are_ignored_and_told_to_people() {
    let mut one = neighbor(1, 65001);
    one.families = vec![AddressFamily::Ipv4];
    let mut rig = Rig::new(config(vec![one, neighbor(2, 65002)]));
    rig.further.insert(0, vec![Capability::EnhancedRouteRefresh, restart(false, [true; 2])]);
    rig.connect(0);
    rig.settle();
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    rig.events.clear();
    let vpn = AfiSafi { afi: 1, safi: 128 };
    for (kind, family) in [
        (RefreshKind::Begin, AfiSafi::IPV4_UNICAST),
        (RefreshKind::End, AfiSafi::IPV4_UNICAST),
        (RefreshKind::Request, AfiSafi::IPV6_UNICAST),
        (RefreshKind::Request, vpn),
    ] {
        rig.send(1, refresh(kind, family)).settle();
    }
    assert_eq!(rig.rib.len(), 1, "before End-of-RIB a mark means nothing");
    assert_eq!(rig.fake(1).notifications, 0);
    let told = rig.events.iter().filter(|event| matches!(event, Event::UpdateFault { .. })).count();
    assert_eq!(told, 4);
}

#[test]
fn soft_in_with_marks_sweeps_what_the_neighbor_no_longer_says() {
    let one = NeighborConfig { adj_in: AdjInKeep::Accepted, ..neighbor(1, 65001) };
    let mut rig = Rig::new(config(vec![one, neighbor(2, 65002)]));
    rig.further.insert(0, vec![Capability::EnhancedRouteRefresh]);
    rig.connect(0);
    rig.settle();
    say_all(&mut rig);
    let neighbor = rig.config.neighbors[0].key();
    rig.input(Input::Command(Command::SoftIn { neighbor }));
    rig.settle();
    assert_eq!(rig.fake(1).marks.iter().filter(|(kind, _)| *kind == RefreshKind::Request).count(), 2);
    rig.send(1, refresh(RefreshKind::Begin, AfiSafi::IPV4_UNICAST));
    rig.announce(1, A, &attributes(&[65001], HOP));
    rig.send(1, refresh(RefreshKind::End, AfiSafi::IPV4_UNICAST)).settle();
    assert_eq!(rig.rib.len(), 2);
}

#[test]
fn a_restarted_speaker_tells_nobody_anything_before_its_neighbors_have_spoken() {
    let ours = GracefulRestart { restarting: true, ..GracefulRestart::default() };
    let with = |n, asn| NeighborConfig { graceful_restart: ours, ..neighbor(n, asn) };
    let mut config = config(vec![with(1, 65001), with(2, 65002), with(3, 65003)]);
    config.restarting = true;
    let mut rig = Rig::new(config);
    rig.further.insert(0, vec![restart(false, [true; 2])]);
    // It has restarted, too, and waits for us.
    rig.further.insert(1, vec![restart(true, [true; 2])]);
    (0..3).for_each(|at| rig.connect(at));
    rig.settle();
    rig.announce(1, A, &attributes(&[65001], HOP)).announce(2, B, &attributes(&[65002], HOP)).settle();
    assert!(rig.rib.is_empty(), "the routes left in the kernel stand");
    assert!(rig.fake(2).view.is_empty() && rig.fake(2).end_of_rib.is_empty());
    rig.send(1, end_of_rib(AddressFamily::Ipv4)).settle();
    assert!(rig.rib.is_empty(), "one family of it is missing");
    rig.send(1, end_of_rib(AddressFamily::Ipv6)).settle();
    assert_eq!((rig.rib.len(), rig.fake(2).view.len(), rig.fake(2).end_of_rib.len()), (2, 1, 2));
}

#[test]
fn a_restarted_speaker_does_not_wait_for_ever() {
    let ours = GracefulRestart { restarting: true, ..GracefulRestart::default() };
    let mut config = config(vec![NeighborConfig { graceful_restart: ours, ..neighbor(1, 65001) }, neighbor(2, 65002)]);
    config.restarting = true;
    let mut rig = Rig::new(config);
    rig.connect(1);
    rig.settle();
    rig.announce(2, A, &attributes(&[65002], HOP)).settle();
    pass(&mut rig, 115, &[2]);
    assert!(rig.rib.is_empty());
    let flags = |rig: &mut Rig, n| {
        let open = rig.fake(n).open.clone().expect("sent");
        open.capabilities.iter().find_map(|capability| match capability {
            Capability::GracefulRestart { restarted, families, .. } => {
                Some((*restarted, families.iter().all(|family| family.forwarding)))
            }
            _ => None,
        })
    };
    rig.later(secs(6));
    assert_eq!(rig.rib.len(), 1, "its restart time of 120 s is over");
    // Who comes only now need not be told that we restart: nobody waits for anybody any more. Forwarding was kept all the same.
    rig.connect(0);
    rig.settle();
    assert_eq!(flags(&mut rig, 1), Some((false, true)));
    let mut early = Rig::new(rig.config.clone());
    early.connect(0);
    early.settle();
    assert_eq!(flags(&mut early, 1), Some((true, true)));
}

#[test]
fn a_restart_that_is_planned_leaves_our_routes_with_those_who_keep_them_but_no_service() {
    let asks = GracefulRestart { restarting: true, ..GracefulRestart::default() };
    let of = |n: u8| NeighborConfig { graceful_restart: asks, ..neighbor(n, 65000 + u32::from(n)) };
    let mut rig = Rig::new(config(vec![of(1), of(2), neighbor(3, 65003)]));
    // The first helps; the second knows nothing of it; the third was not asked to.
    rig.further.insert(0, vec![restart(false, [false; 2])]);
    rig.further.insert(2, vec![restart(false, [false; 2])]);
    (0..3).for_each(|at| rig.connect(at));
    for n in 1..=3 {
        rig.send(n, end_of_rib(AddressFamily::Ipv4)).send(n, end_of_rib(AddressFamily::Ipv6));
    }
    let network = LocalRoute { protocol: Protocol::Static, ..service() };
    rig.local(A, Some(network)).local("198.51.100.53/32", Some(service())).settle();
    assert_eq!(rig.fake(1).view.len(), 2);
    let before = rig.fake(1).updates;
    rig.input(Input::Command(Command::Restart));
    rig.settle();
    assert!(rig.finished);
    let heard = [1, 2, 3].map(|n| (rig.fake(n).notifications, rig.fake(n).updates - before));
    assert_eq!(
        (heard[0], heard[1].0, heard[2].0),
        ((0, 1), 1, 1),
        "one withdrawal, and no Cease for who keeps the rest"
    );
}

#[test]
fn generations_come_round_without_mixing_paths_up() {
    let mut rig = Rig::new(config(vec![neighbor(1, 65001), neighbor(2, 65002)]));
    rig.further.insert(0, vec![Capability::EnhancedRouteRefresh]);
    rig.connect(0);
    rig.settle();
    rig.announce(1, A, &attributes(&[65001], HOP)).announce(1, B, &attributes(&[65001], HOP)).settle();
    for round in 0..600 {
        rig.send(1, refresh(RefreshKind::Begin, AfiSafi::IPV4_UNICAST));
        rig.announce(1, A, &attributes(&[65001], HOP));
        if round % 3 == 0 {
            rig.send(1, refresh(RefreshKind::End, AfiSafi::IPV4_UNICAST));
        }
    }
    rig.settle();
    assert_eq!(rig.rib.keys().map(ToString::to_string).collect::<Vec<_>>(), [A]);
    // Beginnings without an end are no way to lose count either.
    for _ in 0..300 {
        rig.send(1, refresh(RefreshKind::Begin, AfiSafi::IPV4_UNICAST));
    }
    rig.announce(1, B, &attributes(&[65001], HOP));
    rig.send(1, refresh(RefreshKind::End, AfiSafi::IPV4_UNICAST)).settle();
    assert_eq!(rig.rib.keys().map(ToString::to_string).collect::<Vec<_>>(), [B]);
    rig.withdraw(1, B).settle();
    rig.assert_no_leak();
}
