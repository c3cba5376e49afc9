//! What is rarer: virtual links, passive interfaces and loopbacks, reloads, old age, packets that overtake each other.

use ipnet::IpNet;

use super::world::{World, id};
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::config::{AreaKind, InterfaceConfig};
use crate::id::Version::{V2, V3};
use crate::id::{AreaId, InterfaceId};
use crate::interface::InterfaceState;
use crate::lsa::{LinkKind, LsaBody, PREFIX_LA, RouterLsa};
use crate::message::{ExternalRoute, Input, Link};
use crate::view::{LsaView, Query, View};
use crate::wire;

const ROUTE: ExternalRoute = ExternalRoute { metric: 20, type2: true, tag: 0, forwarding: None };

fn read(world: &World, row: &LsaView) -> LsaBody {
    wire::decode_lsa(world.version, &row.raw).unwrap().body
}

/// The router-LSA of `of` in `area`, as `router` has it.
fn said(world: &World, router: usize, area: u32, of: u8) -> RouterLsa {
    let kind = if world.version == V2 { 1 } else { 0x2001 };
    let rows = world.of_kind(router, kind);
    let row = rows.iter().find(|row| row.header.key.adv == id(of) && row.area == Some(AreaId(area))).unwrap();
    match read(world, row) {
        LsaBody::Router(lsa) => lsa,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_virtual_link_joins_an_area_to_the_backbone() {
    for version in [V2, V3] {
        // Backbone between 0 and 1, transit area 1 between 1 and 2.
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[1, 2], PointToPoint, 1);
        world.area(1, 1, |area| area.virtual_links = vec![id(3)]);
        world.area(2, 1, |area| area.virtual_links = vec![id(2)]);
        world.start();
        world.run_secs(15);
        world.expect_full(&[1, 3, 2]);
        // Routes lead over it.
        let first = if version == V2 { "10.1.1.0/24" } else { "2001:db8:1::/64" };
        assert!(world.way(2, first).is_some());
        // The backbone's database is at its far end, and says so.
        assert_eq!(said(&world, 2, 0, 1), said(&world, 0, 0, 1));
        let far = said(&world, 0, 0, 3);
        assert!(
            far.flags.border
                && far
                    .links
                    .iter()
                    .any(|link| link.kind == LinkKind::Virtual && link.id == id(2).0 && link.metric == 10)
        );
        assert!(said(&world, 1, 1, 3).flags.virtual_link);
        assert!(!said(&world, 0, 0, 3).flags.virtual_link);
        // Externals do not take it, for they go through the transit area.
        world.tell(
            0,
            Input::Redistribute(vec![(
                if version == V2 { "172.16.0.0/24" } else { "2001:db8:99::/64" }.parse().unwrap(),
                Some(ROUTE),
            )]),
        );
        world.run_secs(2);
        assert_eq!(world.of_kind(2, if version == V2 { 5 } else { 0x4005 }).len(), 1);
        world.carrier(1, false);
        world.run_secs(60);
        world.expect_full(&[1, 1, 0]);
        assert!(world.way(2, first).is_none());
        world.carrier(1, true);
        world.run_secs(15);
        world.expect_full(&[1, 3, 2]);
    }
}

#[test]
fn passive_interfaces_and_loopbacks_are_told_and_silent() {
    for version in [V2, V3] {
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[0, 1], Broadcast, 0);
        world.interface(0, 1, |config, _| config.passive = true);
        world.start();
        world.reconfigure(0, |config| config.interfaces.push(InterfaceConfig::new("lo", AreaId(0), Broadcast)));
        let addresses: [IpNet; 2] = match version {
            V2 => ["192.0.2.1/32".parse().unwrap(), "127.0.0.1/8".parse().unwrap()],
            V3 => ["2001:db8:53::1/128".parse().unwrap(), "::1/128".parse().unwrap()],
        };
        let lo = Link {
            id: InterfaceId(77),
            name: "lo".to_owned(),
            mtu: 65535,
            bandwidth_mbps: None,
            addresses: addresses.to_vec(),
            link_local: None,
            loopback: true,
            borrowed: None,
        };
        world.tell(0, Input::InterfaceUp(lo));
        world.run_secs(60);
        world.expect_full(&[1, 1]);
        let View::Interfaces(rows) = world.routers[0].view(world.now, Query::Interfaces) else { panic!() };
        let states: Vec<InterfaceState> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [InterfaceState::PointToPoint, InterfaceState::PointToPoint, InterfaceState::Loopback]);
        if version == V2 {
            let stubs: Vec<(u32, u32, u16)> = said(&world, 1, 0, 1)
                .links
                .iter()
                .filter(|link| link.kind == LinkKind::Stub)
                .map(|link| (link.id, link.data, link.metric))
                .collect();
            assert_eq!(
                stubs,
                [(0x0a01_0100, 0xffff_ff00, 10), (0x0a01_0200, 0xffff_ff00, 10), (0xc000_0201, u32::MAX, 0)]
            );
        } else {
            let rows = world.of_kind(1, 0x2009);
            let LsaBody::IntraAreaPrefix(lsa) =
                read(&world, rows.iter().find(|row| row.header.key.adv == id(1)).unwrap())
            else {
                panic!()
            };
            let told: Vec<(String, u8, u16)> =
                lsa.prefixes.iter().map(|prefix| (prefix.prefix.to_string(), prefix.options, prefix.metric)).collect();
            let wanted = [("2001:db8:1::/64", 0, 10), ("2001:db8:2::/64", 0, 10), ("2001:db8:53::1/128", PREFIX_LA, 0)];
            assert_eq!(told, wanted.map(|(prefix, options, metric)| (prefix.to_owned(), options, metric)));
            assert_eq!(lsa.referenced.adv, id(1));
        }
    }
}

#[test]
fn the_prefixes_of_a_v3_lan_are_told_by_its_designated_router() {
    let mut world = World::new(V3, 3);
    world.wire(&[0, 1, 2], Broadcast, 0);
    // One router has a prefix there that the others do not have.
    world.interface(0, 0, |_, link| link.addresses.push("2001:db8:aaaa::1/64".parse().unwrap()));
    world.start();
    world.run_secs(60);
    let rows = world.of_kind(0, 0x2009);
    assert_eq!(rows.len(), 1, "nobody has a prefix of its own: {rows:?}");
    let LsaBody::IntraAreaPrefix(lsa) = read(&world, &rows[0]) else { panic!() };
    assert_eq!((rows[0].header.key.adv, lsa.referenced.adv, lsa.referenced.kind.0), (id(3), id(3), 0x2002));
    let told: Vec<String> = lsa.prefixes.iter().map(|prefix| prefix.prefix.to_string()).collect();
    assert_eq!(told, ["2001:db8:1::/64", "2001:db8:aaaa::/64"]);
    // It is renumbered, and that is told in milliseconds.
    let View::Interfaces(_) = world.routers[0].view(world.now, Query::Interfaces) else { panic!() };
    let link = Link {
        id: InterfaceId(1),
        name: "eth1".to_owned(),
        mtu: 1500,
        bandwidth_mbps: None,
        addresses: vec!["2001:db8:1::1/64".parse().unwrap(), "2001:db8:bbbb::1/64".parse().unwrap()],
        link_local: Some("fe80::1:1".parse().unwrap()),
        loopback: false,
        borrowed: None,
    };
    world.tell(0, Input::AddressesChanged(link));
    world.run_ms(5);
    let rows = world.of_kind(1, 0x2009);
    let LsaBody::IntraAreaPrefix(lsa) = read(&world, &rows[0]) else { panic!() };
    let told: Vec<String> = lsa.prefixes.iter().map(|prefix| prefix.prefix.to_string()).collect();
    assert_eq!(told, ["2001:db8:1::/64", "2001:db8:bbbb::/64"]);
    world.expect_full(&[2, 2, 2]);
}

#[test]
fn a_reload_touches_only_what_differs() {
    let mut world = World::new(V2, 3);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[0, 2], PointToPoint, 0);
    world.start();
    world.run_secs(20);
    world.reconfigure(0, |config| config.interfaces[0].cost = Some(77));
    world.run_ms(2);
    assert!(said(&world, 2, 0, 1).links.iter().any(|link| link.kind == LinkKind::PointToPoint && link.metric == 77));
    world.expect_full(&[2, 1, 1]);
    assert!(world.neighbors(0).iter().all(|row| row.ups == 1));
    // An interface leaves, and another changes its area on both ends.
    world.reconfigure(0, |config| drop(config.interfaces.remove(0)));
    world.run_secs(50);
    world.expect_full(&[1, 0, 1]);
    world.reconfigure(0, |config| config.interfaces[0].area = AreaId(5));
    world.reconfigure(2, |config| config.interfaces[0].area = AreaId(5));
    world.run_secs(60);
    world.expect_full(&[1, 0, 1]);
    assert!(world.lsdb(0).iter().all(|row| row.area != Some(AreaId(0)) || row.own), "{:?}", world.lsdb(0));
    // An area changes its kind on both ends.
    for router in [0, 2] {
        world.area(router, 5, |area| area.kind = AreaKind::Stub);
        world.reconfigure(router, |_| {});
    }
    world.run_secs(60);
    world.expect_full(&[1, 0, 1]);
}

#[test]
fn what_the_dead_said_ages_out_an_hour_later() {
    let mut world = World::new(V2, 3);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[1, 2], PointToPoint, 0);
    world.start();
    world.run_secs(10);
    world.kill(2);
    world.run_secs(3500);
    assert!(world.lsdb(0).iter().any(|row| row.header.key.adv == id(3)));
    world.run_secs(150);
    for router in 0..2 {
        assert!(world.lsdb(router).iter().all(|row| row.header.key.adv != id(3)), "router {router}");
    }
}

#[test]
fn forwarded_packets_are_refused_with_ttl_security_and_other_instances_are_left_alone() {
    let mut world = World::new(V2, 2);
    world.wire(&[0, 1], PointToPoint, 0);
    world.interface(0, 0, |config, _| config.ttl_security = true);
    world.start();
    world.run_secs(30);
    world.expect_full(&[0, 0]);
    assert!(world.summary(0).drops.iter().any(|(reason, _)| reason.contains("TTL")));
    world.reconfigure(1, |config| config.interfaces[0].ttl_security = true);
    world.run_secs(30);
    world.expect_full(&[1, 1]);

    let mut world = World::new(V3, 2);
    world.wire(&[0, 1], PointToPoint, 0);
    world.config(1, |config| config.instance_id = 5);
    world.start();
    world.run_secs(30);
    world.expect_full(&[0, 0]);
    assert!(world.summary(0).drops.iter().any(|(reason, _)| reason.contains("instance")));
}

#[test]
fn packets_that_overtake_each_other_do_no_harm() {
    for version in [V2, V3] {
        for seed in 0..10 {
            let mut world = World::new(version, 4);
            for pair in [[0, 1], [1, 2], [2, 3], [3, 0]] {
                world.wire(&pair, PointToPoint, 0);
            }
            world.wire(&[0, 1, 2, 3], Broadcast, 0);
            world.jitter = Some((fastrand::Rng::with_seed(seed), 80));
            world.start();
            world.run_secs(60);
            let mut rng = fastrand::Rng::with_seed(seed + 50);
            for _ in 0..40 {
                let number = rng.u32(..30);
                let prefix: IpNet = match version {
                    V2 => format!("172.16.{number}.0/24").parse().unwrap(),
                    V3 => format!("2001:db8:{:x}::/64", 0x1000 + number).parse().unwrap(),
                };
                world.tell(rng.usize(..4), Input::Redistribute(vec![(prefix, rng.bool().then_some(ROUTE))]));
                world.run_ms(rng.u64(1..300));
            }
            world.run_secs(30);
            world.expect_equal();
            assert!((0..4).flat_map(|router| world.neighbors(router)).all(|row| row.unacknowledged == 0));
        }
    }
}
