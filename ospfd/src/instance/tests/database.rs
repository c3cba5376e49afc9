//! What one says, all have; what is forged, is healed; what is too much, is refused.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use super::world::{World, id};
use crate::config::AreaKind;
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::id::Version::{V2, V3};
use crate::id::{AreaId, InterfaceId, LsaKey, LsaType, RouterId, SequenceNumber, Version};
use crate::lsa::{LinkKind, Lsa, LsaBody, LsaHeader, MAX_AGE, NetworkLsa, RouterLsa};
use crate::message::{Alarm, ExternalRoute, Input, ServiceRoute};
use crate::packet::{Body, Packet};
use crate::wire;

const ROUTE: ExternalRoute = ExternalRoute { metric: 20, type2: true, tag: 0, forwarding: None };

fn line(version: Version, count: u32) -> World {
    let mut world = World::new(version, count);
    for left in 0..count as usize - 1 {
        world.wire(&[left, left + 1], PointToPoint, 0);
    }
    world
}

fn prefix(version: Version, number: u32) -> IpNet {
    match version {
        V2 => format!("172.{}.{}.0/24", 16 + number / 256, number % 256).parse().unwrap(),
        V3 => format!("2001:db8:{:x}::/64", 0x1000 + number).parse().unwrap(),
    }
}

/// An update from the neighbor behind `router`'s last interface, as if that neighbor had sent it.
fn inject(world: &mut World, router: usize, lsas: Vec<Lsa>) {
    let neighbor = world.neighbors(router).pop().unwrap();
    let dst: IpAddr = if world.version == V2 { "224.0.0.5" } else { "ff02::5" }.parse().unwrap();
    let packet =
        Packet { router: neighbor.router, area: neighbor.area, instance_id: 0, body: Body::LinkStateUpdate(lsas) };
    let bytes = wire::encode_packet(world.version, &packet, neighbor.address, dst);
    let input = Input::Packet { interface: neighbor.interface, src: neighbor.address, dst, ttl: Some(1), bytes };
    world.tell(router, input);
}

fn router_kind(version: Version) -> u16 {
    if version == V2 { 1 } else { 0x2001 }
}

fn external_kind(version: Version) -> u16 {
    if version == V2 { 5 } else { 0x4005 }
}

fn links(world: &World, router: usize, of: RouterId) -> RouterLsa {
    let rows = world.of_kind(router, router_kind(world.version));
    let row = rows.iter().find(|row| row.header.key.adv == of).unwrap();
    match wire::decode_lsa(world.version, &row.raw).unwrap().body {
        LsaBody::Router(lsa) => lsa,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_carrier_is_known_at_the_far_end_in_milliseconds_and_so_is_its_return() {
    for version in [V2, V3] {
        let mut world = line(version, 4);
        world.start();
        world.run_secs(30);
        let links_of_third = |world: &World| {
            links(world, 0, id(3)).links.iter().filter(|link| link.kind == LinkKind::PointToPoint).count()
        };
        assert_eq!(links_of_third(&world), 2);
        world.carrier(2, false);
        world.run_ms(3);
        assert_eq!(links_of_third(&world), 1);
        world.run_secs(30);
        world.carrier(2, true);
        world.run_ms(50);
        assert_eq!(links_of_third(&world), 2);
        world.expect_equal();
    }
}

#[test]
fn a_service_is_withdrawn_everywhere_in_the_time_of_flight() {
    for version in [V2, V3] {
        let mut world = line(version, 4);
        world.start();
        world.run_secs(2);
        let announce = Some(ServiceRoute::External(ROUTE));
        world.tell(0, Input::Service { prefix: prefix(version, 1), announce });
        world.run_ms(2);
        assert_eq!(world.of_kind(3, external_kind(version)).len(), 1);
        assert!(links(&world, 3, id(1)).flags.external);
        world.tell(0, Input::Service { prefix: prefix(version, 1), announce: None });
        world.run_ms(2);
        assert!(world.of_kind(3, external_kind(version)).iter().all(|row| row.header.age == MAX_AGE));
        // Acknowledged everywhere, it leaves.
        world.run_ms(100);
        for router in 0..4 {
            assert!(world.of_kind(router, external_kind(version)).is_empty(), "router {router}");
        }
        // It may come back at once, with a number that everybody takes for new.
        world.tell(0, Input::Service { prefix: prefix(version, 1), announce });
        world.run_ms(100);
        assert_eq!(world.of_kind(3, external_kind(version)).len(), 1);
        world.expect_equal();
    }
}

#[test]
fn a_stub_service_is_part_of_what_the_router_is() {
    let mut world = line(V2, 3);
    world.start();
    world.run_secs(20);
    let vip: IpNet = "192.0.2.53/32".parse().unwrap();
    world.tell(2, Input::Service { prefix: vip, announce: Some(ServiceRoute::Stub { metric: 7 }) });
    world.run_ms(2);
    let has = |world: &World| {
        links(world, 0, id(3))
            .links
            .iter()
            .any(|link| link.kind == LinkKind::Stub && link.id == 0xc000_0235 && link.metric == 7)
    };
    assert!(has(&world));
    world.tell(2, Input::Service { prefix: vip, announce: None });
    world.run_ms(2);
    assert!(!has(&world));
}

#[test]
fn a_flapping_link_is_told_at_once_at_first_and_ever_more_slowly() {
    let mut world = line(V2, 3);
    world.start();
    world.run_secs(60);
    // The end of the line has nobody to tell while its only link is down; its neighbor always has.
    let (before, heard) = (world.summary(1).originated, world.summary(2).installed);
    for _ in 0..600 {
        world.carrier(0, false);
        world.run_ms(50);
        world.carrier(0, true);
        world.run_ms(50);
    }
    let (said, heard) = (world.summary(1).originated - before, world.summary(2).installed - heard);
    assert!((5..40).contains(&said), "{said} in a minute");
    assert!((5..80).contains(&heard), "{heard} of both ends heard in a minute");
    world.run_secs(60);
    world.expect_full(&[1, 2, 1]);
    world.expect_equal();
}

#[test]
fn many_externals_are_loaded_flooded_and_flushed() {
    for version in [V2, V3] {
        let mut world = line(version, 3);
        let routes = |route| (0..3000).map(|number| (prefix(version, number), route)).collect::<Vec<_>>();
        world.start();
        world.kill(2);
        world.run_secs(1);
        world.tell(0, Input::Redistribute(routes(Some(ROUTE))));
        world.run_secs(1);
        assert_eq!(world.of_kind(1, external_kind(version)).len(), 3000);
        world.reboot(2, |_| {});
        world.run_secs(1);
        world.expect_full(&[1, 2, 1]);
        world.expect_equal();
        world.tell(0, Input::Redistribute(routes(None)));
        world.run_secs(2);
        for router in 0..3 {
            assert!(world.of_kind(router, external_kind(version)).is_empty(), "router {router}");
        }
        assert!(world.neighbors(1).iter().all(|row| row.unacknowledged == 0 && row.retransmissions == 0));
    }
}

#[test]
fn prefixes_with_one_first_address_have_ids_of_their_own() {
    let mut world = line(V2, 2);
    world.start();
    world.run_secs(1);
    let nets = ["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.0.0/31", "10.0.0.0/32", "0.0.0.0/0"];
    let routes =
        |which: &[&str], route| which.iter().map(|net| (net.parse().unwrap(), route)).collect::<Vec<(IpNet, _)>>();
    world.tell(0, Input::Redistribute(routes(&nets, Some(ROUTE))));
    world.run_secs(10);
    let told = |world: &World| -> Vec<IpNet> {
        let mut nets: Vec<IpNet> = world
            .of_kind(1, 5)
            .iter()
            .filter(|row| row.header.age < MAX_AGE)
            .map(|row| match wire::decode_lsa(V2, &row.raw).unwrap().body {
                LsaBody::External(lsa) => lsa.prefix,
                other => panic!("{other:?}"),
            })
            .collect();
        nets.sort_unstable();
        nets
    };
    let mut wanted: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
    wanted.sort_unstable();
    assert_eq!(told(&world), wanted);
    world.tell(0, Input::Redistribute(routes(&nets[1..5], None)));
    world.run_secs(10);
    assert_eq!(
        told(&world),
        routes(&["0.0.0.0/0", "10.0.0.0/8"], Some(ROUTE)).iter().map(|row| row.0).collect::<Vec<_>>()
    );
}

/// A router-LSA in the name of router 1 that says that it has no links.
fn forged(version: Version, seq: SequenceNumber, age: u16) -> Lsa {
    let key = LsaKey { kind: LsaType(router_kind(version)), id: if version == V2 { id(1).0 } else { 0 }, adv: id(1) };
    let options = if version == V2 { 2 } else { 0 };
    let header = LsaHeader { age, options, key, seq, checksum: 0, length: 0 };
    let body = RouterLsa { options: if version == V2 { 2 } else { 0x13 }, ..RouterLsa::default() };
    wire::encode_lsa(version, header, &LsaBody::Router(body))
}

#[test]
fn forged_copies_of_our_own_are_healed_within_a_second() {
    for version in [V2, V3] {
        let forgeries = [
            (SequenceNumber(-0x7fff_ff00), 0),
            (SequenceNumber(-0x7fff_ff00), MAX_AGE),
            (SequenceNumber(SequenceNumber::MAX.0 - 1), 0),
            (SequenceNumber::MAX, 0),
            (SequenceNumber::MAX, MAX_AGE),
        ];
        for (seq, age) in forgeries {
            let mut world = line(version, 4);
            world.start();
            world.run_secs(20);
            let right = links(&world, 3, id(1));
            assert!(!right.links.is_empty());
            // Through the middle: router 2 believes it comes from router 1, and floods it both ways.
            inject(&mut world, 1, vec![forged(version, seq, age)]);
            world.run_ms(1100);
            for router in 0..4 {
                assert_eq!(links(&world, router, id(1)), right, "router {router}, {seq:?} at age {age}");
                let rows = world.of_kind(router, router_kind(version));
                let row = rows.iter().find(|row| row.header.key.adv == id(1)).unwrap();
                assert!(row.header.age < MAX_AGE);
            }
            world.expect_equal();
            world.expect_full(&[1, 2, 2, 1]);
        }
    }
}

#[test]
fn a_stubborn_forger_is_reported_and_does_not_make_us_flood_without_end() {
    let mut world = line(V2, 3);
    world.start();
    world.run_secs(20);
    let before = world.summary(0).originated;
    for round in 0..200 {
        inject(&mut world, 1, vec![forged(V2, SequenceNumber(-0x7fff_ff00 + round * 16), 0)]);
        world.run_ms(100);
    }
    assert!(world.summary(0).originated - before <= 30, "{}", world.summary(0).originated - before);
    assert!(world.alarms.iter().any(|(router, alarm)| *router == 0 && matches!(alarm, Alarm::ForeignSelfLsa { .. })));
    world.run_secs(2);
    assert!(!links(&world, 2, id(1)).links.is_empty());
    world.expect_equal();
}

#[test]
fn what_the_last_life_said_is_taken_back() {
    for version in [V2, V3] {
        let mut world = line(version, 3);
        world.start();
        world.run_secs(1);
        world.tell(0, Input::Redistribute((0..20).map(|number| (prefix(version, number), Some(ROUTE))).collect()));
        world.run_secs(5);
        // A crash: no word to anybody, and all is forgotten.
        world.reboot(0, |_| {});
        world.run_secs(5);
        world.expect_full(&[1, 2, 1]);
        for router in 0..3 {
            assert!(world.of_kind(router, external_kind(version)).is_empty(), "router {router}");
        }
        world.expect_equal();
        assert!(!links(&world, 2, id(1)).links.is_empty());
        assert!(world.alarms.is_empty(), "{:?}", world.alarms);
    }
}

#[test]
fn limits_hold_the_adjacency_stays_and_the_operator_is_told_once() {
    for (version, external) in [(V2, 5), (V3, 0x4005)] {
        for (which, set) in [
            ("lsas", (|limits| limits.lsas = 50) as fn(&mut crate::config::Limits)),
            ("per_origin", |limits| limits.per_origin = 40),
            ("per_neighbor", |limits| limits.per_neighbor = 45),
        ] {
            let mut world = line(version, 3);
            world.config(2, |config| set(&mut config.limits));
            world.start();
            world.run_secs(1);
            let routes = |route: Option<ExternalRoute>| {
                Input::Redistribute((0..500).map(|number| (prefix(version, number), route)).collect())
            };
            world.tell(0, routes(Some(ROUTE)));
            world.run_secs(60);
            world.expect_full(&[1, 2, 1]);
            assert!(world.lsdb(2).len() <= 60, "{which}: {}", world.lsdb(2).len());
            assert_eq!(world.of_kind(1, external).len(), 500);
            let alarms: Vec<_> = world.alarms.iter().filter(|(router, _)| *router == 2).collect();
            assert!(matches!(alarms[..], [(2, Alarm::LsdbLimit { which: said, .. })] if *said == which), "{alarms:?}");
            assert!(world.summary(2).problems.iter().any(|problem| problem.contains(which)));
            // It is over when what was too much is gone.
            world.tell(0, routes(None));
            world.run_secs(60);
            assert_eq!(world.alarms.last(), Some(&(2, Alarm::LsdbLimitCleared { which })));
            assert_eq!(world.summary(2).problems, Vec::<String>::new());
            // Also for who comes up with a database that is too large already.
            world.tell(0, routes(Some(ROUTE)));
            world.reboot(2, |_| {});
            world.run_secs(60);
            world.expect_full(&[1, 2, 1]);
            assert!(world.summary(2).problems.iter().any(|problem| problem.contains(which)));
        }
    }
}

#[test]
fn stub_areas_take_no_externals_and_unknown_types_go_as_far_as_they_say() {
    let mut world = World::new(V2, 4);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[1, 2], PointToPoint, 1);
    world.wire(&[0, 3], PointToPoint, 0);
    for router in 1..3 {
        world.area(router, 1, |area| area.kind = AreaKind::Stub);
    }
    world.start();
    world.run_secs(1);
    world.tell(0, Input::Redistribute(vec![(prefix(V2, 1), Some(ROUTE))]));
    let opaque = |kind: u16| {
        let key = LsaKey { kind: LsaType(kind), id: 0x0100_0000, adv: id(9) };
        let header = LsaHeader { age: 1, options: 2, key, seq: SequenceNumber::INITIAL, checksum: 0, length: 0 };
        wire::encode_lsa(V2, header, &LsaBody::Opaque(Bytes::from_static(b"four")))
    };
    inject(&mut world, 0, vec![opaque(9), opaque(10), opaque(11)]);
    world.run_secs(1);
    let kinds = |router: usize| -> Vec<u16> {
        let mut kinds: Vec<u16> =
            world.lsdb(router).iter().map(|row| row.header.key.kind.0).filter(|kind| *kind >= 5).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(3), [5]); // it gave them
    assert_eq!(kinds(0), [5, 9, 10, 11]);
    assert_eq!(kinds(1), [5, 10, 11]);
    assert!(kinds(2).is_empty());
    // An external pushed into the stub area all the same changes nothing and costs no adjacency.
    let header = LsaHeader { key: LsaKey { kind: LsaType(5), id: 0x0a00_0000, adv: id(2) }, ..opaque(10).header };
    let body = LsaBody::Opaque(Bytes::from_static(&[255, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    inject(&mut world, 2, vec![wire::encode_lsa(V2, header, &body)]);
    world.run_secs(60);
    world.expect_full(&[2, 2, 1, 1]);
}

#[test]
fn an_nssa_hears_of_externals_in_its_own_way() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[1, 2], PointToPoint, 1);
        for router in 1..3 {
            world.area(router, 1, |area| area.kind = AreaKind::Nssa);
        }
        world.start();
        world.run_secs(1);
        world.tell(2, Input::Redistribute(vec![(prefix(version, 1), Some(ROUTE))]));
        world.run_secs(1);
        world.expect_full(&[1, 2, 1]);
        let nssa = if version == V2 { 7 } else { 0x2007 };
        let rows: Vec<_> = world.of_kind(1, nssa).into_iter().filter(|row| row.header.key.adv == id(3)).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].area, Some(AreaId(1)));
        let lsa = wire::decode_lsa(version, &rows[0].raw).unwrap();
        let LsaBody::External(external) = lsa.body else { panic!() };
        assert!(external.forwarding.is_some());
        assert!(lsa.header.options & 8 != 0 || external.prefix_options & crate::lsa::PREFIX_P != 0);
        assert!(world.of_kind(0, nssa).is_empty());
        assert!(world.of_kind(2, external_kind(version)).is_empty());
    }
}

#[test]
fn draining_and_starting_routers_ask_to_be_routed_around() {
    let mut world = line(V2, 3);
    world.config(1, |config| config.max_metric.on_startup = Duration::from_secs(30));
    world.start();
    world.run_secs(2);
    let metrics = |world: &World| -> Vec<u16> {
        let lsa = links(world, 0, id(2));
        lsa.links.iter().filter(|link| link.kind == LinkKind::PointToPoint).map(|link| link.metric).collect()
    };
    assert_eq!(metrics(&world), [0xffff, 0xffff]);
    assert!(links(&world, 0, id(2)).links.iter().any(|link| link.kind == LinkKind::Stub && link.metric == 10));
    world.run_secs(40);
    assert_eq!(metrics(&world), [10, 10]);
    world.tell(1, Input::Drain(true));
    world.run_ms(2);
    assert_eq!(metrics(&world), [0xffff, 0xffff]);
    world.tell(1, Input::Drain(false));
    world.run_secs(5);
    assert_eq!(metrics(&world), [10, 10]);
}

#[test]
fn who_stops_takes_back_what_it_said_and_is_left_at_once() {
    for version in [V2, V3] {
        let mut world = line(version, 3);
        world.start();
        world.run_secs(1);
        world.tell(2, Input::Redistribute(vec![(prefix(version, 1), Some(ROUTE))]));
        world.run_secs(1);
        world.tell(2, Input::Shutdown);
        world.run_ms(20);
        assert_eq!(world.states(1).iter().filter(|state| **state == crate::neighbor::NeighborState::Full).count(), 1);
        for router in 0..2 {
            assert!(world.lsdb(router).iter().all(|row| row.header.key.adv != id(3)), "router {router}");
        }
    }
}

#[test]
fn parted_networks_grow_together_again() {
    for version in [V2, V3] {
        let mut world = line(version, 6);
        world.start();
        world.run_secs(5);
        world.wires[2].cut = true; // silently
        world.run_secs(60);
        world.expect_full(&[1, 2, 1, 1, 2, 1]);
        world.tell(0, Input::Redistribute(vec![(prefix(version, 1), Some(ROUTE))]));
        world.tell(5, Input::Redistribute(vec![(prefix(version, 2), Some(ROUTE))]));
        world.carrier(0, false);
        world.run_secs(10);
        world.wires[2].cut = false;
        world.run_secs(15);
        world.carrier(0, true);
        world.run_secs(15);
        world.expect_full(&[1, 2, 2, 2, 2, 1]);
        world.expect_equal();
        assert_eq!(world.of_kind(3, external_kind(version)).len(), 2);
    }
}

#[test]
fn a_network_said_under_our_old_router_id_is_flushed() {
    let mut world = World::new(V2, 2);
    world.wire(&[0, 1], Broadcast, 0);
    world.start();
    world.run_secs(60);
    // 10.1.1.2 is Designated Router; somebody has a network-LSA with that address by another id.
    let key = LsaKey { kind: LsaType(2), id: 0x0a01_0102, adv: id(99) };
    let header = LsaHeader { age: 5, options: 2, key, seq: SequenceNumber(7), checksum: 0, length: 0 };
    let body = NetworkLsa { mask_len: Some(24), options: 2, attached: vec![id(99), id(1)] };
    inject(&mut world, 1, vec![wire::encode_lsa(V2, header, &LsaBody::Network(body))]);
    world.run_secs(2);
    for router in 0..2 {
        assert_eq!(world.of_kind(router, 2).len(), 1);
        assert_eq!(world.of_kind(router, 2)[0].header.key.adv, id(2));
    }
}

#[test]
fn lossy_wires_end_with_equal_databases() {
    for version in [V2, V3] {
        for seed in 0..10 {
            let mut world = World::new(version, 6);
            for pair in [[0, 1], [1, 2], [2, 3], [3, 0], [1, 4]] {
                world.wire(&pair, PointToPoint, 0);
            }
            world.wire(&[3, 4, 5], Broadcast, 0);
            let mut rng = fastrand::Rng::with_seed(seed);
            world.start();
            let mut dice = fastrand::Rng::with_seed(seed + 100);
            world.loss = Some(Box::new(move |_, _, _| dice.u8(..) < 25));
            world.run_secs(60);
            for round in 0..60 {
                match rng.u8(..4) {
                    0 => world.carrier(rng.usize(..5), rng.bool()),
                    1 => {
                        let route = rng.bool().then_some(ROUTE);
                        let number = rng.u32(..40);
                        world.tell(rng.usize(..6), Input::Redistribute(vec![(prefix(version, number), route)]));
                    }
                    2 if round % 10 == 0 => world.reboot(rng.usize(..6), |_| {}),
                    _ => {}
                }
                world.run_ms(rng.u64(1..1500));
            }
            for wire in 0..5 {
                world.carrier(wire, true);
            }
            world.loss = None;
            world.run_secs(90);
            world.expect_equal();
            assert!(
                (0..6)
                    .flat_map(|router| world.neighbors(router))
                    .all(|row| row.unacknowledged == 0 && row.requested == 0)
            );
        }
    }
}

#[test]
fn foreign_interfaces_and_strangers_are_not_listened_to() {
    let mut world = line(V2, 2);
    world.start();
    world.run_secs(1);
    let before = world.contents(0);
    let (src, dst): (IpAddr, IpAddr) = ("10.1.1.77".parse().unwrap(), "224.0.0.5".parse().unwrap());
    let lsa = forged(V2, SequenceNumber::MAX, 0);
    let packet = |area, router| {
        let body = Body::LinkStateUpdate(vec![lsa.clone()]);
        let packet = Packet { router, area: AreaId(area), instance_id: 0, body };
        wire::encode_packet(V2, &packet, src, dst)
    };
    for (interface, area, router) in [(1, 0, id(66)), (1, 5, id(2)), (9, 0, id(2)), (1, 0, RouterId(0))] {
        let interface = InterfaceId(interface);
        world.tell(0, Input::Packet { interface, src, dst, ttl: Some(1), bytes: packet(area, router) });
    }
    world.tell(
        0,
        Input::Packet { interface: InterfaceId(1), src, dst, ttl: Some(1), bytes: Bytes::from_static(b"\x02\x01") },
    );
    world.run_secs(5);
    assert_eq!(world.contents(0), before);
    let drops = world.summary(0).drops;
    assert_eq!(drops.iter().map(|(_, count)| count).sum::<u64>(), 5, "{drops:?}");
}

#[test]
fn who_refuses_a_second_instance_within_a_second_gets_it_right_after_that() {
    // What other implementations do (RFC 2328 §13 5a): we feed them through a wire that loses the second update.
    let mut world = line(V2, 2);
    world.start();
    world.run_secs(30);
    let metric = |world: &World| links(world, 1, id(1)).links[0].metric;
    world.reconfigure(0, |config| config.interfaces[0].cost = Some(20));
    world.run_ms(100);
    assert_eq!(metric(&world), 20);
    world.loss = Some(Box::new(|_, _, kind| kind == 4));
    world.reconfigure(0, |config| config.interfaces[0].cost = Some(30));
    world.run_ms(500);
    world.loss = None;
    assert_eq!(metric(&world), 20);
    world.run_ms(700);
    assert_eq!(metric(&world), 30);
    // One that is lost without such a cause waits for the retransmission interval.
    world.run_secs(30);
    world.loss = Some(Box::new(|_, _, kind| kind == 4));
    world.reconfigure(0, |config| config.interfaces[0].cost = Some(40));
    world.run_ms(500);
    world.loss = None;
    world.run_ms(4000);
    assert_eq!(metric(&world), 30);
    world.run_ms(600);
    assert_eq!(metric(&world), 40);
}

#[test]
fn an_old_copy_that_comes_after_the_flush_is_no_news_and_who_has_it_is_told() {
    for version in [V2, V3] {
        let mut world = line(version, 3);
        world.start();
        world.run_secs(1);
        let kind = external_kind(version);
        world.tell(0, Input::Redistribute(vec![(prefix(version, 1), Some(ROUTE))]));
        world.run_secs(1);
        let old = world.of_kind(1, kind).pop().unwrap();
        let old = wire::decode_lsa(version, &old.raw).unwrap();
        world.tell(0, Input::Redistribute(vec![(prefix(version, 1), None)]));
        world.run_secs(1);
        assert!((0..3).all(|router| world.of_kind(router, kind).is_empty()));
        // The last router's neighbor sends it a copy that was overtaken by the flush.
        inject(&mut world, 2, vec![old.clone()]);
        world.run_ms(100);
        assert!((0..3).all(|router| world.of_kind(router, kind).is_empty()), "{version:?}");
        let drops = world.summary(2).drops;
        assert!(drops.iter().any(|(reason, count)| reason.contains("flushed") && *count == 1), "{drops:?}");
        // It may be said again at once, with a number that nobody takes for old.
        world.tell(0, Input::Redistribute(vec![(prefix(version, 1), Some(ROUTE))]));
        world.run_ms(100);
        for router in 0..3 {
            let rows = world.of_kind(router, kind);
            // v3 names it anew.
            let news = |row: &crate::view::LsaView| row.header.key != old.header.key || row.header.seq > old.header.seq;
            assert!(rows.len() == 1 && news(&rows[0]), "{version:?} router {router}: {rows:?}");
        }
        assert!(world.alarms.is_empty(), "{:?}", world.alarms);
        world.expect_equal();
    }
}

#[test]
fn who_describes_what_was_flushed_hears_of_it_though_packets_are_lost() {
    for version in [V2, V3] {
        let mut world = line(version, 3);
        world.start();
        world.run_secs(1);
        let kind = external_kind(version);
        world.tell(1, Input::Redistribute(vec![(prefix(version, 1), Some(ROUTE))]));
        world.run_secs(1);
        // Nobody hears that it is taken back.
        world.carrier(0, false);
        world.carrier(1, false);
        world.tell(1, Input::Redistribute(vec![(prefix(version, 1), None)]));
        world.run_ms(100);
        assert_eq!([0, 1, 2].map(|router| world.of_kind(router, kind).len()), [1, 0, 1]);
        // Both bring the old copy, each once, because it is asked of them; the answers to both are lost.
        world.loss = Some(Box::new(|router, _, kind| router == 1 && kind == 4));
        world.carrier(0, true);
        world.carrier(1, true);
        world.run_secs(4);
        assert_eq!([0, 1, 2].map(|router| world.of_kind(router, kind).len()), [1, 1, 1]);
        assert!(world.of_kind(1, kind)[0].header.age == MAX_AGE);
        world.loss = None;
        world.run_secs(10);
        assert!((0..3).all(|router| world.of_kind(router, kind).is_empty()), "{version:?}");
        world.expect_full(&[1, 2, 1]);
        world.expect_equal();
    }
}
