//! Graceful restart, on both sides of it.

use std::time::Duration;

use super::world::{World, id};
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::id::Version::{self, V2, V3};
use crate::message::{Event, ExternalRoute, Input, ServiceRoute};
use crate::view::LsaView;

fn graceful(world: &mut World) {
    for router in 0..world.routers_wanted() {
        world.config(router, |config| config.graceful_restart.enabled = true);
    }
}

/// The router-LSA of `of` as `router` has it.
fn said(world: &World, router: usize, of: u8) -> LsaView {
    let kind = if world.version == V2 { 1 } else { 0x2001 };
    world.of_kind(router, kind).into_iter().find(|row| row.header.key.adv == id(of)).unwrap()
}

fn restart(world: &mut World, router: usize, away_ms: u64) {
    world.tell(router, Input::PrepareRestart);
    world.run_ms(100);
    assert!(world.events.iter().any(|(who, event)| *who == router && matches!(event, Event::ReadyToRestart)));
    world.kill(router);
    world.run_ms(away_ms);
    world.reboot(router, |config| config.resume = Some(Duration::from_secs(100)));
}

#[test]
fn nobody_beyond_the_neighbors_notices_a_graceful_restart() {
    for version in [V2, V3] {
        for network in [PointToPoint, Broadcast] {
            let mut world = World::new(version, 4);
            world.wire(&[0, 1], network, 0);
            world.wire(&[1, 2], network, 0);
            world.wire(&[2, 3], network, 0);
            graceful(&mut world);
            world.start();
            world.run_secs(100);
            world.expect_full(&[1, 2, 2, 1]);
            let before: Vec<i32> = [1, 2, 3].map(|of| said(&world, 3, of).header.seq.0).to_vec();
            // Longer than the dead interval of 40 s.
            restart(&mut world, 1, 60_000);
            world.run_ms(200);
            assert_eq!(
                [1, 2, 3].map(|of| said(&world, 3, of).header.seq.0).to_vec(),
                before,
                "{version:?} {network:?}"
            );
            world.run_secs(60);
            world.expect_full(&[1, 2, 2, 1]);
            world.expect_equal();
            let ended = world.events.iter().find_map(|(who, event)| match event {
                Event::RestartEnded { reason } if *who == 1 => Some(*reason),
                _ => None,
            });
            assert_eq!(ended, Some("all adjacencies are back"));
            let helped = world.events.iter().filter(|(_, event)| matches!(event, Event::Helping { helping: false, reason, .. } if *reason == "it is back")).count();
            assert_eq!(helped, 2, "{version:?} {network:?} {:?}", world.events);
            // Its neighbors say of their links what they said before; only refreshes may have passed.
            for of in [1, 3] {
                assert_eq!(said(&world, 3, of).header.seq.0, before[usize::from(of) - 1], "{version:?} {network:?}");
            }
            assert!(world.alarms.is_empty());
        }
    }
}

#[test]
fn who_does_not_come_back_is_given_up_when_its_time_is_over() {
    let mut world = World::new(V2, 3);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[1, 2], PointToPoint, 0);
    graceful(&mut world);
    world.start();
    world.run_secs(5);
    world.tell(1, Input::PrepareRestart);
    world.run_ms(100);
    world.kill(1);
    world.run_secs(100);
    assert!(world.neighbors(0)[0].helping);
    world.run_secs(25);
    assert!(world.neighbors(0).is_empty());
}

#[test]
fn a_change_of_the_topology_ends_the_help() {
    let mut world = World::new(V2, 4);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[0, 2], PointToPoint, 0);
    world.wire(&[2, 3], PointToPoint, 0);
    graceful(&mut world);
    world.start();
    world.run_secs(10);
    world.tell(1, Input::PrepareRestart);
    world.run_ms(100);
    world.kill(1);
    world.run_secs(5);
    assert!(world.neighbors(0).iter().any(|row| row.helping));
    world.carrier(2, false);
    world.run_ms(50);
    assert!(world.neighbors(0).iter().all(|row| !row.helping));
    world.run_secs(45);
    world.expect_full(&[1]);
}

#[test]
fn nobody_helps_who_is_told_not_to() {
    let mut world = World::new(V2, 2);
    world.wire(&[0, 1], PointToPoint, 0);
    graceful(&mut world);
    world.config(0, |config| config.graceful_restart.helper = false);
    world.start();
    world.run_secs(5);
    world.tell(1, Input::PrepareRestart);
    world.run_ms(100);
    world.kill(1);
    world.run_secs(45);
    assert!(world.neighbors(0).is_empty());
}

/// Why the restart of a router ended.
fn ended(world: &World, router: usize) -> Option<&'static str> {
    world.events.iter().rev().find_map(|(who, event)| match event {
        Event::RestartEnded { reason } if *who == router => Some(*reason),
        _ => None,
    })
}

/// 0 - 1 - 2 - 3, everybody graceful, router 1 dies without a word and is away for so long.
fn lost(version: Version, network: crate::config::NetworkType, away_secs: u64) -> (World, Vec<i32>) {
    let mut world = World::new(version, 4);
    world.wire(&[0, 1], network, 0);
    world.wire(&[1, 2], network, 0);
    world.wire(&[2, 3], network, 0);
    graceful(&mut world);
    world.start();
    world.run_secs(100);
    world.expect_full(&[1, 2, 2, 1]);
    let before = [1, 2, 3].map(|of| said(&world, 3, of).header.seq.0).to_vec();
    world.kill(1);
    world.run_secs(away_secs);
    world.reboot(1, |config| (config.resume, config.ask_at_start) = (Some(Duration::from_secs(100)), true));
    (world, before)
}

#[test]
fn who_dies_without_a_word_and_is_back_in_time_is_kept_too() {
    for version in [V2, V3] {
        for network in [PointToPoint, Broadcast] {
            let (mut world, before) = lost(version, network, 20);
            world.run_ms(100);
            assert!(world.routes[1].is_empty() || ended(&world, 1).is_some(), "nothing is exported before the end");
            world.run_secs(60);
            world.expect_full(&[1, 2, 2, 1]);
            world.expect_equal();
            assert_eq!(ended(&world, 1), Some("all adjacencies are back"), "{version:?} {network:?}");
            assert!(!world.routes[1].is_empty());
            for of in [1, 3] {
                assert_eq!(
                    said(&world, 3, of).header.seq.0,
                    before[usize::from(of) - 1],
                    "{version:?} {network:?}: {of}"
                );
            }
            let left = if version == V2 { 9 } else { 0x000b };
            assert!((0..4).all(|router| world.of_kind(router, left).is_empty()), "grace-LSAs are flushed");
        }
    }
}

#[test]
fn who_is_back_too_late_says_everything_anew_at_once() {
    for version in [V2, V3] {
        for network in [PointToPoint, Broadcast] {
            // After the dead interval of 40 s neighbors have let it go.
            let (mut world, _) = lost(version, network, 55);
            world.run_secs(if network == PointToPoint { 3 } else { 50 });
            assert_eq!(ended(&world, 1), Some("a neighbor did not wait for us"), "{version:?} {network:?}");
            world.run_secs(5);
            world.expect_full(&[1, 2, 2, 1]);
            world.expect_equal();
            // After two hours nobody has anything of it.
            let (mut world, _) = lost(version, network, 7200);
            world.run_secs(if network == PointToPoint { 3 } else { 50 });
            assert_eq!(ended(&world, 1), Some("nobody remembers us"), "{version:?} {network:?}");
            world.run_secs(5);
            world.expect_full(&[1, 2, 2, 1]);
            world.expect_equal();
        }
    }
}

#[test]
fn what_is_taken_back_before_a_restart_is_gone_for_everybody() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[1, 2], PointToPoint, 0);
        graceful(&mut world);
        world.start();
        world.run_secs(5);
        let prefix: ipnet::IpNet = if version == V2 { "192.0.2.53/32" } else { "2001:db8:53::1/128" }.parse().unwrap();
        // It flaps, so that its last word would have to wait.
        for number in 0..9 {
            let announce = (number % 2 == 0).then_some(ServiceRoute::Stub { metric: 1 });
            world.tell(1, Input::Service { prefix, announce });
            world.run_ms(3);
        }
        world.tell(1, Input::Service { prefix, announce: None });
        restart(&mut world, 1, 1000);
        world.run_secs(5);
        world.expect_full(&[1, 2, 1]);
        assert!(world.way(0, &prefix.to_string()).is_none());
        assert_eq!(ended(&world, 1), Some("all adjacencies are back"));
        world.expect_equal();
    }
}

#[test]
fn a_restart_that_nobody_completes_ends_with_its_time() {
    let mut world = World::new(V2, 4);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[1, 2], PointToPoint, 0);
    world.wire(&[2, 3], PointToPoint, 0);
    graceful(&mut world);
    world.start();
    world.run_secs(5);
    world.tell(1, Input::PrepareRestart);
    world.run_ms(100);
    world.kill(1);
    // One of the two is gone for good meanwhile.
    world.kill(0);
    world.run_secs(10);
    world.reboot(1, |config| config.resume = Some(Duration::from_secs(100)));
    world.run_secs(95);
    assert_eq!(ended(&world, 1), None);
    assert!(world.routes[1].is_empty(), "what forwards goes on as it did");
    world.run_secs(6);
    assert_eq!(ended(&world, 1), Some("the grace period is over"));
    assert!(!world.routes[1].is_empty());
}

#[test]
fn externals_stay_until_they_have_been_told_again() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[1, 2], PointToPoint, 0);
        graceful(&mut world);
        world.start();
        let route = Some(ExternalRoute { metric: 3, type2: true, tag: 0, forwarding: None });
        let net = |number: u8| -> ipnet::IpNet {
            if version == V2 { format!("172.16.{number}.0/24") } else { format!("2001:db8:{}::/64", 100 + number) }
                .parse()
                .unwrap()
        };
        world.tell(1, Input::Redistribute(vec![(net(1), route), (net(2), route)]));
        world.run_secs(5);
        let known = |world: &World, number| world.way(0, &net(number).to_string()).is_some();
        assert!(known(&world, 1) && known(&world, 2));
        restart(&mut world, 1, 2000);
        // Nobody has told it of its externals yet, though it is back; one of them comes after a while, the other is no more.
        for _ in 0..200 {
            world.run_ms(50);
            assert!(known(&world, 1) && known(&world, 2), "{version:?}");
        }
        assert_eq!(ended(&world, 1), Some("all adjacencies are back"));
        world.tell(1, Input::Redistribute(vec![(net(1), route)]));
        for _ in 0..600 {
            world.run_ms(50);
            assert!(known(&world, 1), "{version:?}");
        }
        assert!(!known(&world, 2), "{version:?}");
        world.expect_equal();
    }
}
