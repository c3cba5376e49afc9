//! Octets from those who mean no good, or do not know better: damaged packets, LSAs that lie, and packets that fit nowhere.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;

use super::world::{World, id};
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::id::Version::{V2, V3};
use crate::id::{AreaId, InterfaceId, LsaKey, LsaType, RouterId, SequenceNumber, Version};
use crate::lsa::{Lsa, LsaBody, LsaHeader, MAX_AGE, NetworkLsa};
use crate::message::{Alarm, ExternalRoute, Input};
use crate::neighbor::NeighborState;
use crate::packet::{Body, DatabaseDescription, Hello, Packet};
use crate::wire;

/// A switch with three routers, and a cable from the last of them to a fourth, which brings something in.
fn small(version: Version) -> World {
    let mut world = World::new(version, 4);
    world.wire(&[0, 1, 2], Broadcast, 0);
    world.wire(&[2, 3], PointToPoint, 0);
    world.start();
    let routes = (0..4).map(|number| {
        let prefix = match version {
            V2 => format!("172.16.{number}.0/24"),
            V3 => format!("2001:db8:{:x}::/64", 0x1000 + number),
        };
        (prefix.parse().unwrap(), Some(ExternalRoute { metric: 20, type2: true, tag: 0, forwarding: None }))
    });
    world.tell(3, Input::Redistribute(routes.collect()));
    world.run_secs(60);
    world.expect_full(&[2, 2, 3, 1]);
    world
}

/// Nobody ever lost a neighbor.
fn expect_untouched(world: &World) {
    world.expect_full(&[2, 2, 3, 1]);
    assert!((0..4).flat_map(|router| world.neighbors(router)).all(|row| row.ups == 1));
}

/// What everybody takes from the others, by name.
fn routes(world: &World) -> Vec<BTreeMap<ipnet::IpNet, rib::Route>> {
    world.routes.clone()
}

/// Packets as routers really get them, while one of them comes up again.
fn overheard(version: Version) -> (World, Vec<(usize, Input)>) {
    let mut world = small(version);
    world.tap = Some(Vec::new());
    world.reboot(3, |_| {});
    world.run_secs(100);
    let tap = world.tap.take().unwrap();
    let kinds: std::collections::BTreeSet<u8> = tap
        .iter()
        .filter_map(|(_, input)| match input {
            Input::Packet { bytes, .. } => Some(bytes[1]),
            _ => None,
        })
        .collect();
    assert_eq!(kinds.len(), 5, "packets of every type were heard");
    (small(version), tap)
}

#[test]
fn damaged_packets_are_dropped_with_their_reason_and_change_nothing() {
    for version in [V2, V3] {
        let (mut world, tap) = overheard(version);
        let before: Vec<_> = (0..4).map(|router| world.contents(router)).collect();
        let table = routes(&world);
        let drops =
            |world: &World, router: usize| -> u64 { world.summary(router).drops.iter().map(|(_, count)| count).sum() };
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let (router, input) = tap[rng.usize(..tap.len())].clone();
            let Input::Packet { interface, src, dst, bytes, .. } = input else { continue };
            let mut damaged = bytes.to_vec();
            if rng.u8(..4) == 0 {
                damaged.truncate(rng.usize(..bytes.len()));
            } else {
                // v2's authentication is not under the checksum.
                let at = rng.usize(..bytes.len());
                if version == V2 && (14..24).contains(&at) {
                    continue;
                }
                damaged[at] ^= 1 << rng.u8(..8);
            }
            let count = drops(&world, router);
            world.tell(router, Input::Packet { interface, src, dst, ttl: Some(1), bytes: damaged.into() });
            assert_eq!(drops(&world, router), count + 1, "{version:?}: one packet, one reason");
        }
        world.run_secs(5);
        expect_untouched(&world);
        assert_eq!((0..4).map(|router| world.contents(router)).collect::<Vec<_>>(), before);
        assert_eq!(routes(&world), table);
    }
}

/// A packet to `router`, as if its neighbor number `which` had sent it.
fn from_neighbor(world: &mut World, router: usize, which: usize, body: Body) {
    let rows = world.neighbors(router);
    let row = &rows[which % rows.len()];
    let dst: IpAddr = if world.version == V2 { "224.0.0.5" } else { "ff02::5" }.parse().unwrap();
    let packet = Packet { router: row.router, area: row.area, instance_id: 0, body };
    let bytes = wire::encode_packet(world.version, &packet, row.address, dst);
    let (interface, src) = (row.interface, row.address);
    world.tell(router, Input::Packet { interface, src, dst, ttl: Some(1), bytes });
}

/// The same, as if the neighbor `giver` had.
fn from_router(world: &mut World, router: usize, giver: RouterId, body: Body) {
    let which = world.neighbors(router).iter().position(|row| row.router == giver).unwrap();
    from_neighbor(world, router, which, body);
}

/// An LSA like one of those held, changed at random, with a right checksum.
fn lie(rng: &mut fastrand::Rng, version: Version, held: &[Bytes]) -> Lsa {
    let raw = &held[rng.usize(..held.len())];
    let mut header = wire::decode_header(version, raw).unwrap();
    let mut body = raw[20..].to_vec();
    for _ in 0..rng.usize(..4) {
        match rng.u8(..6) {
            0 if !body.is_empty() => {
                let at = rng.usize(..body.len());
                body[at] = rng.u8(..);
            }
            1 => body.truncate(rng.usize(..=body.len())),
            2 => body.extend((0..rng.usize(..40)).map(|_| rng.u8(..))),
            3 => header.key.id = rng.u32(..),
            4 => header.key.adv = RouterId(if rng.bool() { 0x0a00_0000 + rng.u32(..6) } else { rng.u32(..) }),
            _ => header.key.kind = LsaType(if rng.bool() { rng.u16(..) } else { rng.u16(..12) }),
        }
    }
    header.age = *rng.choice([0, 1, 3599, MAX_AGE, 0x7fff].iter()).unwrap();
    header.seq = match rng.u8(..5) {
        0 => SequenceNumber::MAX,
        1 => SequenceNumber(i32::MIN),
        _ => SequenceNumber(header.seq.0.saturating_add(rng.i32(-2..4))),
    };
    wire::encode_lsa(version, header, &LsaBody::Opaque(body.into()))
}

#[test]
fn lies_with_right_checksums_cost_no_adjacency_and_the_truth_comes_back() {
    for version in [V2, V3] {
        for seed in 0..4 {
            let mut world = small(version);
            let table = routes(&world);
            let held: Vec<Bytes> = world.lsdb(0).into_iter().map(|row| row.raw).collect();
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..400 {
                let lsas: Vec<Lsa> = (0..rng.usize(1..5)).map(|_| lie(&mut rng, version, &held)).collect();
                let headers: Vec<LsaHeader> = lsas.iter().map(|lsa| lsa.header).collect();
                let body = if rng.u8(..5) == 0 { Body::LinkStateAck(headers) } else { Body::LinkStateUpdate(lsas) };
                let (router, which) = (rng.usize(..4), rng.usize(..4));
                from_neighbor(&mut world, router, which, body);
                if rng.u8(..8) == 0 {
                    world.run_ms(rng.u64(..300));
                }
            }
            expect_untouched(&world);
            // What was said in the name of nobody ages out; what was said to one alone, in the name of the neighbor that then
            // does not get it, is healed by the next refresh.
            world.run_secs(3700);
            expect_untouched(&world);
            world.expect_equal();
            assert_eq!(routes(&world), table, "{version:?} seed {seed}");
        }
    }
}

#[test]
fn packets_of_every_type_that_fit_nowhere_do_no_lasting_harm() {
    for version in [V2, V3] {
        let mut world = small(version);
        let table = routes(&world);
        let held: Vec<Bytes> = world.lsdb(0).into_iter().map(|row| row.raw).collect();
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..3000 {
            let header = |rng: &mut fastrand::Rng| lie(rng, version, &held).header;
            let headers: Vec<LsaHeader> = (0..rng.usize(..4)).map(|_| header(&mut rng)).collect();
            let body = match rng.u8(..4) {
                0 => Body::Hello(Hello {
                    mask_len: if rng.bool() { 24 } else { rng.u8(..33) },
                    interface_id: rng.u32(..4),
                    options: if version == V2 { 2 } else { 0x13 },
                    priority: rng.u8(..),
                    hello_interval_secs: 10,
                    dead_interval_secs: 40,
                    dr: if rng.bool() { 0 } else { rng.u32(..) },
                    bdr: 0x0a01_0100 + rng.u32(..4),
                    neighbors: (0..rng.u32(..5)).map(|number| RouterId(0x0a00_0000 + number)).collect(),
                }),
                1 => Body::DatabaseDescription(DatabaseDescription {
                    mtu: if rng.bool() { 1500 } else { rng.u16(..) },
                    options: 2,
                    init: rng.bool(),
                    more: rng.bool(),
                    master: rng.bool(),
                    seq: rng.u32(..4),
                    headers,
                }),
                2 => Body::LinkStateRequest(headers.iter().map(|header| header.key).collect()),
                _ => Body::LinkStateAck(headers),
            };
            let (router, which) = (rng.usize(..4), rng.usize(..4));
            if !world.neighbors(router).is_empty() {
                from_neighbor(&mut world, router, which, body);
            }
            if rng.u8(..6) == 0 {
                world.run_ms(rng.u64(..100));
            }
        }
        world.run_secs(200);
        world.expect_full(&[2, 2, 3, 1]);
        world.expect_equal();
        assert_eq!(routes(&world), table, "{version:?}");
    }
}

/// Who is told, and in whose name.
const TOLD: [(usize, usize); 8] = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 3), (3, 2)];

/// Every LSA of everybody, told to anybody in the name of any neighbor, its owner, the Designated Router and the Backup among them,
/// is as it was a second later: newer, at the last sequence number and the one before, and at MaxAge.
fn forged_everywhere(version: Version, forge: usize) {
    let mut world = small(version);
    let table = routes(&world);
    let rows: Vec<_> = world.lsdb(0).into_iter().filter(|row| row.interface.is_none()).collect();
    for ((told, giver), row) in TOLD.into_iter().flat_map(|told| rows.iter().map(move |row| (told, row))) {
        let key = row.header.key;
        // Who stands alone between an owner and the one that is told passes nothing on that was said in its own name.
        let owner = key.adv.0 as usize & 0xff;
        if giver == 2 && owner != 3 && told != owner - 1 && (owner == 4) != (told == 3) {
            continue;
        }
        let held = |world: &World| {
            let held = world.lsdb(0).into_iter().find(|held| held.header.key == key && held.area == row.area);
            held.unwrap_or_else(|| panic!("{version:?} {forge} {told} by {giver}: {key:?} is gone"))
        };
        let mut header = held(&world).header;
        header.age = 1;
        match forge {
            0 => header.seq = SequenceNumber(header.seq.0 + 1),
            1 | 2 => header.seq = SequenceNumber::MAX,
            // Healed once, it has the last number itself, and this is no news.
            3 if header.seq == SequenceNumber::MAX => continue,
            3 => header.seq = SequenceNumber(SequenceNumber::MAX.0 - 1),
            _ => (header.seq, header.age) = (SequenceNumber(header.seq.0 + 1), MAX_AGE),
        }
        let body = if forge == 2 { Bytes::copy_from_slice(&row.raw[20..]) } else { damaged(version, &row.raw) };
        let lsa = wire::encode_lsa(version, header, &LsaBody::Opaque(body));
        let giver_id = id(u8::try_from(giver + 1).unwrap());
        from_router(&mut world, told, giver_id, Body::LinkStateUpdate(vec![lsa]));
        world.run_ms(1000);
        world.expect_equal();
        let healed = held(&world);
        assert_eq!(healed.raw[20..], row.raw[20..], "{version:?} {forge} {told} by {giver}: {:?}", row.header);
        assert!(healed.header.age < 4, "{version:?} {forge} {told} by {giver}: {:?}", healed.header);
        assert_eq!(routes(&world), table, "{version:?} {forge} {told} by {giver}: {key:?}");
        world.run_secs(2);
    }
    expect_untouched(&world);
}

#[test]
fn what_is_forged_in_a_routers_name_is_healed_within_a_second() {
    for forge in 0..5 {
        forged_everywhere(V2, forge);
    }
}

#[test]
fn what_is_forged_in_a_routers_name_is_healed_within_a_second_ospfv3() {
    for forge in 0..5 {
        forged_everywhere(V3, forge);
    }
}

/// The octets of an LSA after its header, with one of them another.
fn damaged(version: Version, raw: &[u8]) -> Bytes {
    let mut body = raw[20..].to_vec();
    let header = wire::decode_header(version, raw).unwrap();
    for at in (0..body.len()).rev() {
        let before = body[at];
        body[at] ^= 2;
        let lsa = wire::encode_lsa(version, header, &LsaBody::Opaque(body.clone().into()));
        if wire::decode_lsa(version, &lsa.raw).is_ok() {
            return body.into();
        }
        body[at] = before;
    }
    panic!("nothing can be changed in {raw:?}");
}

#[test]
fn a_network_that_its_designated_router_does_not_name_is_ignored() {
    let mut world = small(V2);
    let table = routes(&world);
    let dr = designated(&world);
    for adv in [id(77), id(4), id(1)] {
        // The network of the switch, by somebody else, with nobody on it but the forger's friends.
        let key = LsaKey { kind: LsaType(2), id: dr, adv };
        let header = LsaHeader { age: 1, options: 2, key, seq: SequenceNumber(5), checksum: 0, length: 0 };
        let body = NetworkLsa { mask_len: Some(24), options: 2, attached: vec![adv, id(4)] };
        let lsa = wire::encode_lsa(V2, header, &LsaBody::Network(body));
        from_neighbor(&mut world, 3, 0, Body::LinkStateUpdate(vec![lsa]));
        for _ in 0..40 {
            world.run_ms(5);
            assert_eq!(routes(&world), table, "{adv}");
        }
        world.run_secs(2);
    }
    expect_untouched(&world);
}

/// The address of the switch's Designated Router.
fn designated(world: &World) -> u32 {
    world.neighbors(0).into_iter().find(|row| row.state == NeighborState::Full).unwrap().dr
}

#[test]
fn unknown_types_of_v3_are_carried_as_far_as_their_scope_says() {
    let mut world = World::new(V3, 4);
    world.wire(&[0, 1], PointToPoint, 0);
    world.wire(&[1, 2], PointToPoint, 0);
    world.wire(&[1, 3], PointToPoint, 1);
    world.start();
    world.run_secs(2);
    let unknown = |kind: u16| {
        let key = LsaKey { kind: LsaType(kind), id: 7, adv: id(9) };
        let header = LsaHeader { age: 1, options: 0, key, seq: SequenceNumber::INITIAL, checksum: 0, length: 0 };
        wire::encode_lsa(V3, header, &LsaBody::Opaque(Bytes::from_static(b"what is this")))
    };
    // Without the U-bit as if of the link, with it by the scope; the reserved scope goes nowhere.
    let lsas = [0x0123, 0x2123, 0x8123, 0xa123, 0xc123, 0xe123].map(unknown);
    from_neighbor(&mut world, 1, 0, Body::LinkStateUpdate(lsas.to_vec()));
    world.run_secs(1);
    let kinds = |router: usize| -> Vec<u16> {
        let rows = world.lsdb(router);
        let mut kinds: Vec<u16> =
            rows.iter().filter(|row| row.header.key.adv == id(9)).map(|row| row.header.key.kind.0).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(1), [0x0123, 0x2123, 0x8123, 0xa123, 0xc123]);
    assert_eq!(kinds(2), [0xa123, 0xc123]);
    assert_eq!(kinds(3), [0xc123]);
    world.expect_full(&[1, 3, 1, 1]);
}

#[test]
fn two_routers_far_apart_with_one_id_are_reported_and_do_not_flood_without_end() {
    for version in [V2, V3] {
        let mut world = World::new(version, 4);
        for left in 0..3 {
            world.wire(&[left, left + 1], PointToPoint, 0);
        }
        world.config(3, |config| config.router_id = id(1));
        world.start();
        world.run_secs(120);
        for router in [0, 3] {
            let said = |alarm: &Alarm| matches!(alarm, Alarm::ForeignSelfLsa { key } if key.adv == id(1));
            assert!(world.alarms.iter().any(|(who, alarm)| *who == router && said(alarm)), "{version:?} {router}");
            // Once a second at most, of each LSA in dispute.
            let said = world.summary(router).originated;
            assert!(said < 120 * 3, "{version:?}: {said} in two minutes");
        }
        world.expect_full(&[1, 2, 2, 1]);
    }
}

#[test]
fn a_flood_of_strangers_is_bounded() {
    // Hellos from a thousand routers on one switch.
    let mut world = small(V2);
    let dst: IpAddr = "224.0.0.5".parse().unwrap();
    for number in 0..1000_u32 {
        let src: IpAddr = format!("10.1.1.{}", 5 + number % 250).parse().unwrap();
        let hello = Hello {
            mask_len: 24,
            interface_id: 0,
            options: 2,
            priority: 0,
            hello_interval_secs: 10,
            dead_interval_secs: 40,
            dr: 0,
            bdr: 0,
            neighbors: Vec::new(),
        };
        let router = RouterId(0x0b00_0000 + number);
        let packet = Packet { router, area: AreaId(0), instance_id: 0, body: Body::Hello(hello) };
        let bytes = wire::encode_packet(V2, &packet, src, dst);
        world.tell(0, Input::Packet { interface: InterfaceId(1), src, dst, ttl: Some(1), bytes });
    }
    assert!(world.neighbors(0).len() <= 350);
    world.run_secs(100);
    expect_untouched(&world);
}
