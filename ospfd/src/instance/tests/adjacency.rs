//! Adjacencies come up, by network type and version, and say why if they do not.

use super::world::{World, id};
use crate::config::NetworkType::{Broadcast, PointToMultipoint, PointToPoint};
use crate::config::{AreaKind, NetworkType};
use crate::id::AreaId;
use crate::id::Version::{V2, V3};
use crate::interface::InterfaceState;
use crate::message::Alarm;
use crate::neighbor::NeighborState;
use crate::view::{Query, View};

#[test]
fn two_routers_are_adjacent_within_milliseconds_of_their_start() {
    for version in [V2, V3] {
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        world.start();
        world.run_ms(50);
        world.expect_full(&[1, 1]);
        world.expect_equal();
        // Both router-LSAs are there and name the other.
        let kind = if version == V2 { 1 } else { 0x2001 };
        assert_eq!(world.of_kind(0, kind).len(), 2);
        let unacked: usize = (0..2).flat_map(|router| world.neighbors(router)).map(|row| row.unacknowledged).sum();
        assert_eq!(unacked, 0);
    }
}

#[test]
fn a_line_has_one_database_and_keeps_it_for_an_hour() {
    for version in [V2, V3] {
        let mut world = World::new(version, 4);
        for pair in [[0, 1], [1, 2], [2, 3]] {
            world.wire(&pair, PointToPoint, 0);
        }
        world.start();
        world.run_secs(2);
        world.expect_full(&[1, 2, 2, 1]);
        world.expect_equal();
        let before = world.contents(0).len();
        world.run_secs(4000);
        world.expect_full(&[1, 2, 2, 1]);
        world.expect_equal();
        assert_eq!(world.contents(0).len(), before, "nothing has aged out");
        assert!(world.contents(0).iter().all(|row| row.4 > -0x7fff_ffff), "all were refreshed");
        assert!(world.neighbors(1).iter().all(|row| row.ups == 1 && row.retransmissions == 0));
    }
}

#[test]
fn a_lan_elects_and_its_designated_router_speaks_for_it() {
    for version in [V2, V3] {
        let mut world = World::new(version, 5);
        world.wire(&[0, 1, 2, 3, 4], Broadcast, 0);
        world.start();
        world.run_secs(60);
        // The two highest ids are designated and adjacent to all, the others only to them.
        world.expect_full(&[2, 2, 2, 4, 4]);
        world.expect_equal();
        let state = |world: &World, router: usize| {
            let View::Interfaces(rows) = world.routers[router].view(world.now, Query::Interfaces) else { panic!() };
            rows[0].state
        };
        assert_eq!(state(&world, 4), InterfaceState::Dr);
        assert_eq!(state(&world, 3), InterfaceState::Backup);
        assert_eq!(state(&world, 0), InterfaceState::DrOther);
        let networks = world.of_kind(0, if version == V2 { 2 } else { 0x2002 });
        assert_eq!(networks.len(), 1);
        assert_eq!(networks[0].header.key.adv, id(5));
        // The Designated Router dies: the backup takes over and nobody else loses an adjacency to it.
        world.kill(4);
        world.run_secs(60);
        assert_eq!(state(&world, 3), InterfaceState::Dr);
        assert_eq!(state(&world, 2), InterfaceState::Backup);
        let networks = world.of_kind(0, if version == V2 { 2 } else { 0x2002 });
        assert_eq!(networks.iter().filter(|row| row.header.key.adv == id(4)).count(), 1);
        assert!(world.neighbors(0).iter().filter(|row| row.router == id(4)).all(|row| row.ups == 1));
    }
}

#[test]
fn who_comes_late_to_a_lan_does_not_wait_and_does_not_take_over() {
    let mut world = World::new(V2, 3);
    let wire = world.wire(&[0, 1, 2], Broadcast, 0);
    world.start();
    world.kill(2);
    world.run_secs(60);
    world.expect_full(&[1, 1]);
    world.reboot(2, |_| {});
    world.run_ms(500);
    world.expect_full(&[2, 2, 2]);
    let View::Interfaces(rows) = world.routers[1].view(world.now, Query::Interfaces) else { panic!() };
    assert_eq!(rows[0].state, InterfaceState::Dr);
    assert!(!world.wires[wire].cut);
}

#[test]
fn multipoint_routers_are_adjacent_each_to_each_without_a_designated_one() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1, 2], PointToMultipoint, 0);
        world.start();
        world.run_secs(1);
        world.expect_full(&[2, 2, 2]);
        world.expect_equal();
        assert!(world.of_kind(0, if version == V2 { 2 } else { 0x2002 }).is_empty());
    }
}

#[test]
fn nbma_routers_find_each_other_by_their_lists() {
    let mut world = World::new(V2, 3);
    world.wire(&[0, 1, 2], NetworkType::Nbma, 0);
    for router in 0..3 {
        let others = (0..3).filter(|other| *other != router);
        let neighbors = others.map(|other| format!("10.1.1.{}", other + 1).parse().unwrap()).collect();
        world.interface(router, 0, |config, _| config.neighbors = neighbors);
    }
    world.start();
    world.run_secs(60);
    world.expect_full(&[2, 2, 2]);
    world.expect_equal();
    // One goes and comes back.
    world.kill(0);
    world.run_secs(100);
    world.reboot(0, |_| {});
    world.run_secs(130);
    world.expect_full(&[2, 2, 2]);
}

#[test]
fn nbma_routers_ask_all_of_their_list_though_some_cannot_be_designated() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1, 2], NetworkType::Nbma, 0);
        for router in 0..3 {
            let others = (1..=3).filter(|other| *other != router + 1);
            let address = |other| if version == V2 { format!("10.1.1.{other}") } else { format!("fe80::1:{other}") };
            let neighbors = others.map(|other| address(other).parse().unwrap()).collect();
            world.interface(router, 0, |config, _| {
                config.neighbors = neighbors;
                config.priority = u8::from(router != 1);
            });
        }
        world.start();
        world.run_secs(20);
        // Who waits for a Designated Router is no cause for alarm.
        assert!(world.alarms.is_empty(), "{version:?}: {:?}", world.alarms);
        world.run_secs(100);
        world.expect_full(&[2, 2, 2]);
        world.expect_equal();
        assert!((0..3).all(|router| world.neighbors(router).len() == 2), "{version:?}");
    }
}

#[test]
fn who_may_no_longer_be_designated_gives_the_office_up_at_once() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1, 2], Broadcast, 0);
        world.interface(1, 0, |config, _| config.priority = 0);
        world.interface(2, 0, |config, _| config.priority = 0);
        world.start();
        world.run_secs(60);
        world.expect_full(&[2, 1, 1]);
        // Nobody may be designated: no adjacency is left, and nobody waits for acknowledgments that do not come.
        world.reconfigure(0, |config| config.interfaces[0].priority = 0);
        world.run_ms(50);
        world.expect_full(&[0, 0, 0]);
        world.packets.clear();
        world.run_secs(60);
        assert_eq!(world.packets.keys().copied().collect::<Vec<_>>(), [1], "{version:?}: only hellos");
        // Somebody may: it is designated without waiting for an interval to pass.
        world.reconfigure(1, |config| config.interfaces[0].priority = 1);
        world.run_ms(50);
        world.expect_full(&[1, 2, 1]);
        world.expect_equal();
    }
}

#[test]
fn an_unnumbered_link_needs_no_subnet() {
    let mut world = World::new(V2, 2);
    world.wire(&[0, 1], PointToPoint, 0);
    for router in 0..2 {
        world.interface(router, 0, |_, link| {
            link.addresses.clear();
            link.borrowed = Some(format!("192.0.2.{}", router + 1).parse().unwrap());
        });
    }
    world.start();
    world.run_ms(100);
    world.expect_full(&[1, 1]);
}

#[test]
fn a_larger_mtu_stops_the_adjacency_and_both_the_reason_and_the_cure_are_said() {
    for version in [V2, V3] {
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        world.interface(0, 0, |_, link| link.mtu = 9000);
        world.start();
        world.run_secs(60);
        world.expect_full(&[0, 0]);
        let stuck = world.neighbors(1)[0].stuck.clone().unwrap();
        assert!(stuck.contains("MTU is 9000") && stuck.contains("ours is 1500"), "{stuck}");
        let stuck = world.neighbors(0)[0].stuck.clone().unwrap();
        assert!(stuck.contains("MTU is 1500") && stuck.contains("ours is 9000"), "{stuck}");
        assert!(
            world.alarms.iter().any(|(router, alarm)| *router == 1 && matches!(alarm, Alarm::AdjacencyStuck { .. }))
        );
        assert!(world.summary(1).drops.iter().any(|(reason, _)| reason.contains("MTU")));
        world.reconfigure(1, |config| config.interfaces[0].mtu_ignore = true);
        world.run_secs(10);
        world.expect_full(&[1, 1]);
    }
}

#[test]
fn what_must_agree_and_does_not_is_said() {
    type Change = fn(&mut World);
    let cases: [(Change, &str); 4] = [
        (
            |world| world.interface(0, 0, |config, _| config.hello_interval = std::time::Duration::from_secs(5)),
            "hello_interval",
        ),
        (
            |world| world.interface(0, 0, |config, _| config.dead_interval = std::time::Duration::from_secs(20)),
            "dead_interval",
        ),
        (|world| world.area(0, 1, |area| area.kind = AreaKind::Stub), "same type"),
        (|world| world.interface(0, 0, |config, _| config.area = AreaId(2)), "in area 0.0.0.2, we have it in 0.0.0.1"),
    ];
    for (change, words) in cases {
        let mut world = World::new(V2, 2);
        world.wire(&[0, 1], PointToPoint, 1);
        change(&mut world);
        world.start();
        world.run_secs(30);
        world.expect_full(&[0, 0]);
        let problems = world.summary(1).problems;
        assert!(problems.iter().any(|problem| problem.contains(words)), "{problems:?}");
        let alarms = world.alarms.iter().filter(|(router, _)| *router == 1);
        let said =
            alarms.filter(|(_, alarm)| matches!(alarm, Alarm::AdjacencyStuck { reason, .. } if reason.contains(words)));
        assert_eq!(said.count(), 1, "said once: {:?}", world.alarms);
    }
}

#[test]
fn two_routers_with_one_id_are_told_apart_and_reported() {
    let mut world = World::new(V2, 2);
    world.wire(&[0, 1], PointToPoint, 0);
    world.config(1, |config| config.router_id = id(1));
    world.start();
    world.run_secs(11);
    assert!(world.alarms.iter().any(|(_, alarm)| matches!(alarm, Alarm::DuplicateRouterId { .. })));
    assert!(world.summary(0).problems.iter().any(|problem| problem.contains("our router id")));
}

#[test]
fn a_lossy_wire_delays_an_adjacency_but_does_not_stop_it() {
    for version in [V2, V3] {
        for seed in 0..20 {
            let mut world = World::new(version, 3);
            world.wire(&[0, 1], PointToPoint, 0);
            world.wire(&[1, 2], PointToPoint, 0);
            let mut rng = fastrand::Rng::with_seed(seed);
            world.loss = Some(Box::new(move |_, _, _| rng.u8(..) < 76)); // 30 %
            world.start();
            world.run_secs(120);
            world.loss = None;
            world.run_secs(60);
            world.expect_full(&[1, 2, 1]);
            world.expect_equal();
        }
    }
}

#[test]
fn a_silent_neighbor_is_gone_after_the_dead_interval_and_bfd_is_faster() {
    let mut world = World::new(V2, 2);
    let wire = world.wire(&[0, 1], PointToPoint, 0);
    for router in 0..2 {
        world.interface(router, 0, |config, _| {
            config.bfd =
                Some(crate::config::BfdConfig { interval: std::time::Duration::from_millis(50), multiplier: 3 });
        });
    }
    world.start();
    world.run_secs(1);
    assert!(world.bfd.contains(&(0, true)));
    world.wires[wire].cut = true;
    world.run_secs(29);
    world.expect_full(&[1, 1]);
    world.run_secs(12);
    assert!(world.states(0).is_empty());
    assert_eq!(world.bfd.last().map(|(_, wanted)| *wanted), Some(false));
    world.wires[wire].cut = false;
    world.run_secs(11);
    world.expect_full(&[1, 1]);
    let (interface, address) = (crate::id::InterfaceId(1), world.neighbors(0)[0].address);
    world.tell(0, crate::message::Input::BfdDown { interface, address });
    assert!(world.states(0).iter().all(|state| *state < NeighborState::Full));
}

#[test]
fn a_lan_is_ready_as_soon_as_its_waiting_is_over_though_not_all_began_together() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1, 2], Broadcast, 0);
        world.start();
        // The one with the highest id, master of all its exchanges, began a little earlier and describes first.
        world.kill(0);
        world.kill(1);
        world.run_ms(700);
        world.reboot(0, |_| {});
        world.reboot(1, |_| {});
        world.run_ms(41_000);
        world.expect_full(&[2, 2, 2]);
        assert!((0..3).flat_map(|router| world.neighbors(router)).all(|row| row.retransmissions == 0));
    }
}
