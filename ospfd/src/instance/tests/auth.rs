//! Authentication among instances: keys that agree and keys that do not, keys that change, and packets that come again.

use bytes::Bytes;

use super::world::{World, id};
use crate::config::NetworkType::{Broadcast, PointToPoint};
use crate::config::{AuthKey, AuthKind, Secret};
use crate::id::Version::{V2, V3};
use crate::message::{Alarm, Input};
use crate::view::{Query, View};

fn key(kind: AuthKind, id: u16, secret: &str) -> AuthKey {
    AuthKey { kind, id, secret: Secret::new(secret.as_bytes()), extended: false, frr8: false }
}

fn sha(id: u16, secret: &str) -> AuthKey {
    key(AuthKind::HmacSha256, id, secret)
}

fn extended(id: u16, secret: &str) -> AuthKey {
    AuthKey { extended: true, ..sha(id, secret) }
}

fn keys(world: &mut World, router: usize, keys: &[AuthKey]) {
    world.interface(router, 0, |config, _| config.auth = keys.to_vec());
}

fn drops(world: &World, router: usize, reason: &str) -> u64 {
    world.summary(router).drops.iter().find(|(text, _)| text.contains(reason)).map_or(0, |(_, count)| *count)
}

#[test]
fn routers_with_a_common_key_are_adjacent_and_others_are_told_why_not() {
    let simple = key(AuthKind::Simple, 0, "hush");
    let md5 = key(AuthKind::Md5, 1, "hush");
    for (version, right, wrong) in [
        (V2, simple.clone(), key(AuthKind::Simple, 0, "hash")),
        (V2, md5.clone(), key(AuthKind::Md5, 1, "hash")),
        (V2, key(AuthKind::HmacSha1, 1, "hush"), md5),
        (V2, sha(1, "hush"), sha(2, "hush")),
        (V2, key(AuthKind::HmacSha384, 1, "hush"), simple),
        (V2, key(AuthKind::HmacSha512, 1, "hush"), key(AuthKind::HmacSha512, 1, "hash")),
        (V2, extended(1, "hush"), sha(1, "hush")),
        (V3, key(AuthKind::HmacSha1, 1, "hush"), key(AuthKind::HmacSha1, 1, "hash")),
        (V3, sha(300, "hush"), key(AuthKind::HmacSha512, 300, "hush")),
        (V3, key(AuthKind::HmacSha384, 1, "hush"), key(AuthKind::HmacSha384, 2, "hush")),
        (V3, key(AuthKind::HmacSha512, 1, "hush"), key(AuthKind::None, 0, "")),
    ] {
        for network in [PointToPoint, Broadcast] {
            let mut world = World::new(version, 2);
            world.wire(&[0, 1], network, 0);
            keys(&mut world, 0, std::slice::from_ref(&right));
            keys(&mut world, 1, std::slice::from_ref(&right));
            world.start();
            world.run_secs(60);
            world.expect_full(&[1, 1]);
            world.expect_equal();
            assert_eq!((world.summary(0).drops, world.alarms.len()), (Vec::new(), 0), "{right:?}");
        }
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        keys(&mut world, 0, std::slice::from_ref(&right));
        keys(&mut world, 1, std::slice::from_ref(&wrong));
        world.start();
        world.run_secs(60);
        world.expect_full(&[0, 0]);
        let View::Interfaces(rows) = world.routers[0].view(world.now, Query::Interfaces) else { panic!() };
        let said = rows[0].obstacle.clone().unwrap_or_default();
        assert!(said.contains("10.0.0.2") && said.contains("set the same"), "{right:?} {wrong:?}: {said:?}");
        let counted: u64 =
            rows[0].drops.iter().filter(|(text, _)| text.contains("authentication")).map(|(_, n)| *n).sum();
        assert!(counted >= 5, "{:?}", rows[0].drops);
        let alarms =
            world.alarms.iter().filter(|(who, alarm)| *who == 0 && matches!(alarm, Alarm::Authentication { .. }));
        assert!((1..=2).contains(&alarms.count()), "{:?}", world.alarms);
        assert!(world.summary(0).problems.iter().any(|text| text.contains("set the same")));
        // The right key cures it.
        world.reconfigure(1, |config| config.interfaces[0].auth = vec![right.clone()]);
        world.run_secs(60);
        world.expect_full(&[1, 1]);
        let View::Interfaces(rows) = world.routers[0].view(world.now, Query::Interfaces) else { panic!() };
        assert_eq!(rows[0].obstacle, None);
    }
}

#[test]
fn keys_are_changed_on_one_router_after_the_other_and_no_adjacency_is_lost() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1, 2], Broadcast, 0);
        world.start();
        world.run_secs(60);
        world.expect_full(&[2, 2, 2]);
        let none = key(AuthKind::None, 0, "");
        let (old, new) = (sha(1, "old"), sha(2, "new"));
        // From nothing to a key, from a key to another, and back to nothing.
        let steps: [&[AuthKey]; 8] = [
            &[none.clone(), old.clone()],
            &[old.clone(), none.clone()],
            std::slice::from_ref(&old),
            &[old.clone(), new.clone()],
            &[new.clone(), old.clone()],
            std::slice::from_ref(&new),
            &[new.clone(), none.clone()],
            &[none, new.clone()],
        ];
        for step in steps {
            for router in 0..3 {
                world.reconfigure(router, |config| config.interfaces[0].auth = step.to_vec());
                world.run_secs(45);
                world.expect_full(&[2, 2, 2]);
            }
        }
        assert!((0..3).flat_map(|router| world.neighbors(router)).all(|row| row.ups == 1), "{version:?}");
        // Who does not follow is lost after the dead interval, and not before.
        world.reconfigure(0, |config| config.interfaces[0].auth = vec![sha(9, "else")]);
        world.run_secs(20);
        world.expect_full(&[2, 2, 2]);
        world.run_secs(40);
        world.expect_full(&[0, 1, 1]);
    }
}

#[test]
fn packets_that_come_again_are_refused_and_change_nothing() {
    for (version, key) in [(V2, key(AuthKind::Md5, 1, "hush")), (V2, extended(1, "hush")), (V3, sha(1, "hush"))] {
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        for router in 0..2 {
            keys(&mut world, router, std::slice::from_ref(&key));
        }
        world.tap = Some(Vec::new());
        world.start();
        world.run_secs(35);
        world.expect_full(&[1, 1]);
        let heard: Vec<Input> =
            world.tap.take().unwrap().into_iter().filter(|(to, _)| *to == 0).map(|(_, input)| input).collect();
        assert!(heard.len() > 8);
        world.run_secs(5);
        // Everything once more: an empty hello and a first description among it would end the adjacency.
        for input in heard.clone() {
            world.tell(0, input);
        }
        world.run_secs(20);
        assert!(world.neighbors(0).iter().all(|row| row.ups == 1), "{key:?}: {:?}", world.neighbors(0));
        assert_eq!(drops(&world, 0, "sequence number"), heard.len() as u64, "{key:?}");
        // The other one is gone for good, and somebody plays its part with what it said once.
        world.kill(1);
        world.run_secs(60);
        assert!(world.neighbors(0).is_empty());
        for input in heard {
            world.tell(0, input);
            world.run_ms(10);
        }
        let revived = !world.neighbors(0).is_empty();
        assert_eq!(revived, version == V2 && !key.extended, "only what has 64 bits is remembered: {key:?}");
    }
}

#[test]
fn who_comes_back_is_taken_if_its_boot_count_has_grown() {
    for (version, key, remembered) in
        [(V2, key(AuthKind::Md5, 1, "hush"), false), (V2, extended(1, "hush"), true), (V3, sha(1, "hush"), true)]
    {
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        for router in 0..2 {
            keys(&mut world, router, std::slice::from_ref(&key));
            world.config(router, |config| config.boot_count = 5000);
        }
        world.start();
        world.run_secs(100);
        // It has lost its count: as good as a replay, for a router whose counts are remembered.
        world.kill(1);
        world.run_secs(1);
        world.reboot(1, |config| config.boot_count = 4000);
        world.run_secs(20);
        world.expect_full(&[1, 0]);
        assert!(drops(&world, 0, "sequence number") > 0);
        world.run_secs(60);
        world.expect_full(if remembered { &[0, 0] } else { &[1, 1] });
        let said = world.summary(0).problems.join("\n");
        assert_eq!(said.contains("forgotten what it sent"), remembered, "{said}");
        // With a count as it should be it is back at once.
        world.reboot(1, |config| config.boot_count = 5300);
        world.run_secs(5);
        world.expect_full(&[1, 1]);
    }
}

#[test]
fn a_virtual_link_has_keys_of_its_own() {
    for version in [V2, V3] {
        let mut world = World::new(version, 3);
        world.wire(&[0, 1], PointToPoint, 0);
        world.wire(&[1, 2], PointToPoint, 1);
        for (router, peer, secret) in [(1, 3, "hush"), (2, 2, "hash")] {
            world.area(router, 1, |area| {
                area.virtual_links = vec![id(peer)];
                area.virtual_auth = vec![(id(peer), vec![sha(7, secret)])];
            });
        }
        world.start();
        world.run_secs(60);
        world.expect_full(&[1, 2, 1]);
        let said = world.summary(1).problems.join("\n");
        assert!(said.contains("hmac-sha-256 with key 7 is wrong"), "{version:?}: {said}");
        world.area(2, 1, |area| area.virtual_auth = vec![(id(2), vec![sha(7, "hush")])]);
        world.reconfigure(2, |_| {});
        world.run_secs(60);
        world.expect_full(&[1, 3, 2]);
    }
}

#[test]
fn large_packets_leave_room_for_their_digest() {
    for (version, key) in [(V2, extended(1, "hush")), (V3, key(AuthKind::HmacSha512, 1, "hush"))] {
        let mut world = World::new(version, 2);
        world.wire(&[0, 1], PointToPoint, 0);
        for router in 0..2 {
            keys(&mut world, router, std::slice::from_ref(&key));
        }
        world.tap = Some(Vec::new());
        world.start();
        let routes = (0..500u32).map(|number| {
            let prefix = if version == V2 {
                format!("172.{}.{}.0/24", 16 + number / 256, number % 256).parse().unwrap()
            } else {
                format!("2001:db8:{:x}::/64", 0x1000 + number).parse().unwrap()
            };
            (prefix, Some(crate::message::ExternalRoute { metric: 1, type2: true, tag: 0, forwarding: None }))
        });
        world.tell(0, Input::Redistribute(routes.collect()));
        world.run_secs(30);
        world.expect_full(&[1, 1]);
        world.expect_equal();
        let header = if version == V2 { 20 } else { 40 };
        let longest = |bytes: &Bytes| bytes.len() + header;
        let sizes = world.tap.take().unwrap();
        let longest = sizes.iter().filter_map(|(_, input)| match input {
            Input::Packet { bytes, .. } => Some(longest(bytes)),
            _ => None,
        });
        let longest = longest.max().unwrap();
        assert!((1400..=1500).contains(&longest), "{version:?}: {longest}");
    }
}
