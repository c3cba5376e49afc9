//! Routes: inside an area, between areas, from outside, by all ways of equal cost.

use super::world::World;
use crate::config::AreaKind;
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::id::Version::{V2, V3};
use crate::message::{ExternalRoute, Input, ServiceRoute};

fn net(world: &World, wire: usize) -> String {
    if world.version == V2 { format!("10.1.{wire}.0/24") } else { format!("2001:db8:{wire}::/64") }
}

fn address(world: &World, wire: usize, router: usize) -> String {
    if world.version == V2 { format!("10.1.{wire}.{}", router + 1) } else { format!("fe80::{wire}:{}", router + 1) }
}

fn vip(world: &World) -> String {
    if world.version == V2 { "192.0.2.53/32" } else { "2001:db8:53::53/128" }.to_owned()
}

#[test]
fn a_square_has_two_ways_to_its_far_side_and_one_when_a_side_is_cut() {
    for version in [V2, V3] {
        for network in [PointToPoint, Broadcast] {
            let mut world = World::new(version, 4);
            for pair in [[0, 1], [1, 2], [2, 3], [3, 0]] {
                world.wire(&pair, network, 0);
            }
            world.start();
            world.run_secs(60);
            let vip = vip(&world);
            world.tell(
                2,
                Input::Service { prefix: vip.parse().unwrap(), announce: Some(ServiceRoute::Stub { metric: 5 }) },
            );
            world.run_ms(20);
            let both = vec![address(&world, 1, 1), address(&world, 4, 3)];
            assert_eq!(world.way(0, &vip), Some((both.clone(), 25)));
            assert_eq!(world.way(0, &net(&world, 2)), Some((vec![address(&world, 1, 1)], 20)));
            assert_eq!(world.way(0, &net(&world, 1)), None, "connected");
            world.carrier(1, false);
            world.run_ms(20);
            assert_eq!(world.way(0, &vip), Some((vec![address(&world, 4, 3)], 25)));
            assert_eq!(world.way(1, &vip), Some((vec![address(&world, 1, 0)], 35)));
            world.carrier(1, true);
            world.run_secs(60);
            assert_eq!(world.way(0, &vip), Some((both, 25)));
            world.tell(2, Input::Service { prefix: vip.parse().unwrap(), announce: None });
            world.run_ms(20);
            assert!((0..4).all(|router| world.way(router, &vip).is_none()));
        }
    }
}

#[test]
fn a_lan_is_crossed_in_one_step_though_most_of_its_routers_are_not_adjacent() {
    for version in [V2, V3] {
        let mut world = World::new(version, 5);
        world.wire(&[0, 1, 2, 3, 4], Broadcast, 0);
        world.start();
        world.run_secs(60);
        let vip = vip(&world);
        world
            .tell(1, Input::Service { prefix: vip.parse().unwrap(), announce: Some(ServiceRoute::Stub { metric: 1 }) });
        world.run_secs(1);
        for router in [0, 2, 3, 4] {
            assert_eq!(world.way(router, &vip), Some((vec![address(&world, 1, 1)], 11)), "router {router}");
        }
    }
}

#[test]
fn areas_hear_of_each_other_through_their_border_routers() {
    for version in [V2, V3] {
        // Area 1: 0-1, backbone: 1-2, area 2: 2-3.
        let mut world = World::new(version, 4);
        world.wire(&[0, 1], PointToPoint, 1);
        world.wire(&[1, 2], PointToPoint, 0);
        world.wire(&[2, 3], PointToPoint, 2);
        world.start();
        world.run_secs(5);
        assert!(world.summary(1).border && !world.summary(0).border);
        assert_eq!(world.way(0, &net(&world, 3)), Some((vec![address(&world, 1, 1)], 30)));
        assert_eq!(world.way(3, &net(&world, 1)), Some((vec![address(&world, 3, 2)], 30)));
        // From outside, through two borders.
        let vip = vip(&world);
        for (type2, metric) in [(true, 20), (false, 50)] {
            let route = ExternalRoute { metric: 20, type2, tag: 9, forwarding: None };
            world.tell(
                3,
                Input::Service { prefix: vip.parse().unwrap(), announce: Some(ServiceRoute::External(route)) },
            );
            world.run_secs(1);
            assert_eq!(world.way(0, &vip), Some((vec![address(&world, 1, 1)], metric)));
        }
        world.carrier(2, false);
        world.run_secs(1);
        assert_eq!(world.way(0, &net(&world, 3)), None);
        assert_eq!(world.way(0, &vip), None);
    }
}

#[test]
fn an_external_is_reached_inside_an_area_though_another_is_nearer_through_the_backbone() {
    for version in [V2, V3] {
        for type2 in [false, true] {
            // The backbone: 1-0-2. Area 1: 0-3, which is expensive, and 1-3. Area 2: 2-4. Both 3 and 4 lead to the same prefix.
            let mut world = World::new(version, 5);
            world.wire(&[0, 1], PointToPoint, 0);
            world.wire(&[0, 2], PointToPoint, 0);
            world.wire(&[0, 3], PointToPoint, 1);
            world.wire(&[1, 3], PointToPoint, 1);
            world.wire(&[2, 4], PointToPoint, 2);
            world.config(0, |config| config.interfaces[2].cost = Some(58));
            world.start();
            world.run_secs(5);
            let vip = vip(&world);
            for (router, metric) in [(3, 20), (4, if type2 { 20 } else { 45 })] {
                let route = ExternalRoute { metric, type2, tag: 0, forwarding: None };
                let announce = Some(ServiceRoute::External(route));
                world.tell(router, Input::Service { prefix: vip.parse().unwrap(), announce });
            }
            world.run_secs(5);
            // By cost alone 0 would go to 4 through 2, and 2, which may not know how dear 0's own way is, to 3 through 0.
            let metrics = if type2 { [20, 20] } else { [78, 55] };
            assert_eq!(world.way(0, &vip), Some((vec![address(&world, 3, 3)], metrics[0])));
            assert_eq!(world.way(2, &vip), Some((vec![address(&world, 5, 4)], metrics[1])));
        }
    }
}

#[test]
fn ranges_stand_for_what_they_cover_and_stub_areas_get_a_default() {
    for version in [V2, V3] {
        let mut world = World::new(version, 4);
        world.wire(&[0, 1], PointToPoint, 1);
        world.wire(&[1, 2], PointToPoint, 0);
        world.wire(&[2, 3], PointToPoint, 2);
        let (range, default) = if version == V2 { ("10.1.2.0/23", "0.0.0.0/0") } else { ("2001:db8:2::/47", "::/0") };
        let prefix = range.parse().unwrap();
        world.area(2, 2, |area| area.ranges.push(crate::config::AreaRange { prefix, advertise: true, cost: None }));
        for router in [0, 1] {
            world.area(router, 1, |area| (area.kind, area.no_summary) = (AreaKind::Stub, true));
        }
        world.start();
        world.run_secs(5);
        assert_eq!(world.way(1, range), Some((vec![address(&world, 2, 2)], 20)));
        assert_eq!(world.way(1, &net(&world, 3)), None);
        assert_eq!(world.way(0, default), Some((vec![address(&world, 1, 1)], 11)));
        assert_eq!(world.routes[0].len(), 1);
    }
}

#[test]
fn an_nssa_is_translated_by_its_border_router_and_gets_a_default() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[1, 2], PointToPoint, 1);
        for router in 1..3 {
            world.area(router, 1, |area| area.kind = AreaKind::Nssa);
        }
        world.start();
        world.run_secs(5);
        let vip = vip(&world);
        let route = ExternalRoute { metric: 20, type2: true, tag: 9, forwarding: None };
        world.tell(2, Input::Service { prefix: vip.parse().unwrap(), announce: Some(ServiceRoute::External(route)) });
        world.run_secs(5);
        assert_eq!(world.way(1, &vip).map(|way| way.1), Some(20));
        assert_eq!(world.way(0, &vip), Some((vec![address(&world, 1, 1)], 20)));
        let default = if version == V2 { "0.0.0.0/0" } else { "::/0" };
        assert_eq!(world.way(2, default), Some((vec![address(&world, 2, 1)], 11)));
        world.tell(2, Input::Service { prefix: vip.parse().unwrap(), announce: None });
        world.run_secs(5);
        assert!((0..3).all(|router| world.way(router, &vip).is_none()));
    }
}

#[test]
fn a_ring_is_right_again_in_milliseconds_whatever_changes() {
    for version in [V2, V3] {
        let mut world = World::new(version, 5);
        for pair in [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]] {
            world.wire(&pair, PointToPoint, 0);
        }
        world.start();
        world.run_secs(10);
        let far = net(&world, 2);
        assert_eq!(world.way(0, &far), Some((vec![address(&world, 1, 1)], 20)));
        for round in 0..3 {
            world.carrier(0, false);
            world.run_ms(50);
            assert_eq!(world.way(0, &far), Some((vec![address(&world, 5, 4)], 40)), "{version:?} {round} down");
            world.run_secs(6);
            world.carrier(0, true);
            world.run_ms(200);
            assert_eq!(world.way(0, &far), Some((vec![address(&world, 1, 1)], 20)), "{version:?} {round} up");
            world.run_secs(6);
            for cost in [50, 10] {
                for (router, wire) in [(0, 0), (1, 0)] {
                    world.reconfigure(router, |config| config.interfaces[wire].cost = Some(cost));
                }
                world.run_ms(50);
                let (via, metric) = if cost == 10 { (address(&world, 1, 1), 20) } else { (address(&world, 5, 4), 40) };
                assert_eq!(world.way(0, &far), Some((vec![via], metric)), "{version:?} {round} cost {cost}");
                world.run_secs(6);
            }
        }
    }
}

#[test]
fn a_ring_that_starts_one_after_another_is_right_as_soon_as_the_last_is_there() {
    for version in [V2, V3] {
        let mut world = World::new(version, 5);
        for pair in [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]] {
            world.wire(&pair, PointToPoint, 0);
        }
        world.start();
        (0..5).for_each(|router| world.kill(router));
        world.run_ms(1);
        // Links come one by one, and what is said of them meanwhile is heard by nobody: it holds up nothing.
        for router in 0..5 {
            world.reboot(router, |_| {});
            world.run_ms(15);
        }
        world.run_ms(60);
        world.expect_full(&[2; 5]);
        let far = net(&world, 2);
        assert_eq!(world.way(0, &far), Some((vec![address(&world, 1, 1)], 20)), "{version:?}");
        let both = vec![address(&world, 4, 3), address(&world, 5, 0)];
        assert_eq!(world.way(4, &far), Some((both, 30)), "{version:?}");
    }
}
