//! Forwarding addresses: others go to the next hop of what is redistributed themselves, where they can.

use std::net::IpAddr;

use ipnet::IpNet;

use super::world::World;
use crate::config::AreaKind;
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::id::Version::{self, V2, V3};
use crate::lsa::{ExternalLsa, LsaBody};
use crate::message::{ExternalRoute, Input};
use crate::wire;

fn prefix(version: Version) -> IpNet {
    if version == V2 { "172.16.0.0/24" } else { "2001:db8:99::/64" }.parse().unwrap()
}

/// Somebody who speaks no OSPF, on the network of a wire.
fn outsider(version: Version, wire: u8) -> IpAddr {
    match version {
        V2 => format!("10.1.{wire}.99"),
        V3 => format!("2001:db8:{wire}::99"),
    }
    .parse()
    .unwrap()
}

fn redistribute(world: &mut World, router: usize, gateway: Option<IpAddr>) {
    let route = ExternalRoute { metric: 5, type2: true, tag: 0, forwarding: gateway };
    let prefix = prefix(world.version);
    world.tell(router, Input::Redistribute(vec![(prefix, Some(route))]));
    world.run_secs(7);
}

/// The external LSAs of a type, as a router has them.
fn externals(world: &World, router: usize, kinds: (u16, u16)) -> Vec<(u8, ExternalLsa)> {
    let kind = if world.version == V2 { kinds.0 } else { kinds.1 };
    let said = world.of_kind(router, kind);
    let read = said.iter().filter_map(|row| match wire::decode_lsa(world.version, &row.raw).unwrap().body {
        LsaBody::External(lsa) => Some((u8::try_from(row.header.key.adv.0 & 0xff).unwrap(), lsa)),
        _ => None,
    });
    read.collect()
}

#[test]
fn others_go_to_the_next_hop_of_an_external_themselves_if_it_is_on_a_network_of_ours() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], Broadcast, 0);
        world.wire(&[1, 2], PointToPoint, 0);
        world.wire(&[0, 2], PointToPoint, 0);
        world.start();
        world.run_secs(60);
        let told = |world: &World| externals(world, 2, (5, 0x4005)).first().map(|(_, lsa)| lsa.forwarding);
        let hops = |world: &World, router| world.way(router, &prefix(version).to_string()).map(|(hops, _)| hops);
        // On the broadcast network: its own router is spared the way.
        let beside = outsider(version, 1);
        redistribute(&mut world, 0, Some(beside));
        assert_eq!(told(&world), Some(Some(beside)));
        assert_eq!(hops(&world, 1), Some(vec![beside.to_string()]), "{version:?}");
        assert_eq!(hops(&world, 2).map(|hops| hops.len()), Some(2), "over both routers that are on the network");
        // Somewhere else, on a line, nowhere, or we ourselves: over us.
        let ourselves: IpAddr = if version == V2 { "10.1.1.1" } else { "2001:db8:1::1" }.parse().unwrap();
        for gateway in [Some(outsider(version, 77)), Some(outsider(version, 3)), None, Some(ourselves)] {
            redistribute(&mut world, 0, gateway);
            assert_eq!(told(&world), Some(None), "{gateway:?}");
            assert_eq!(hops(&world, 2).map(|hops| hops.len()), Some(1));
            assert_ne!(hops(&world, 1), Some(vec![beside.to_string()]));
        }
        // The network is lost and comes back, and so does what is said of it.
        redistribute(&mut world, 0, Some(beside));
        assert_eq!(told(&world), Some(Some(beside)));
        world.carrier(0, false);
        world.run_secs(7);
        assert_eq!(told(&world), Some(None));
        assert!(hops(&world, 2).is_some());
        world.carrier(0, true);
        world.run_secs(60);
        assert_eq!(told(&world), Some(Some(beside)));
        assert_eq!(hops(&world, 1), Some(vec![beside.to_string()]));
        world.expect_equal();
    }
}

#[test]
fn an_nssa_keeps_the_forwarding_address_when_it_is_translated() {
    for version in [V2, V3] {
        // 0 and the border router 1 share a network in the NSSA; 2 is in the backbone.
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], Broadcast, 1);
        world.wire(&[1, 2], PointToPoint, 0);
        for router in 0..2 {
            world.area(router, 1, |area| area.kind = AreaKind::Nssa);
            if router == 1 {
                world.area(router, 0, |_| ());
            }
        }
        world.start();
        world.run_secs(60);
        for gateway in [outsider(version, 1), outsider(version, 77)] {
            redistribute(&mut world, 0, Some(gateway));
            let own: IpAddr = if version == V2 { "10.1.1.1" } else { "2001:db8:1::1" }.parse().unwrap();
            // RFC 3101 §2.3: the next hop if the NSSA has its network, an address of the router's own otherwise.
            let expected = if gateway == outsider(version, 1) { gateway } else { own };
            let of = |kinds, router| {
                let all = externals(&world, router, kinds);
                all.iter().map(|(adv, lsa)| (*adv, lsa.forwarding)).collect::<Vec<_>>()
            };
            assert_eq!(of((7, 0x2007), 1).into_iter().find(|(adv, _)| *adv == 1), Some((1, Some(expected))));
            assert_eq!(of((5, 0x4005), 2), [(2, Some(expected))], "{version:?}");
            let (hops, _) = world.way(1, &prefix(version).to_string()).unwrap();
            assert_eq!(hops, [expected.to_string()]);
            assert!(world.way(2, &prefix(version).to_string()).is_some());
        }
    }
}
