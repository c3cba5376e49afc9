//! What each kind of neighbor is told of a route (RFC 4271 §5.1, §9.1.3; RFC 1997; RFC 4456; RFC 6793; RFC 8212; RFC 2545).

use super::octets::{
    self, attribute, clusters, communities, local_pref, med, mp_reach, next_hop, nlri, old_path, origin, originator,
    path, segments, update, v6,
};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, bare_neighbor, neighbor};

const ROUTE: &str = "192.0.2.0/24";

#[test]
fn attributes_by_kind_of_neighbor() {
    let client = "route_reflector_client = true";
    let rig = Rig::new(
        &(neighbor(1, 64501, "")
            + &neighbor(2, 64502, "")
            + &neighbor(3, OUR_AS, "")
            + &neighbor(4, OUR_AS, client)
            + &neighbor(5, OUR_AS, "next_hop_self = true")),
    );
    let mut external = Peer::up(&rig, 1, 64501);
    let mut other = Peer::up(&rig, 2, 64502);
    let mut internal = Peer::up(&rig, 3, OUR_AS);
    let mut client = Peer::up(&rig, 4, OUR_AS);
    let mut through_us = Peer::up(&rig, 5, OUR_AS);

    // From an external neighbor.
    external.announce(&[origin(1), path(&[64501, 70000]), next_hop("10.0.0.1"), med(77)], &[ROUTE]);
    let told = other.expect_route(ROUTE);
    assert_eq!((told.path().as_str(), told.next_hop().as_str()), ("65000 64501 70000", "127.0.0.1"));
    assert_eq!((told.med(), told.value(1)), (None, Some(&[1][..])), "MED of a neighbor is not passed to another AS");
    let told = internal.expect_route(ROUTE);
    assert_eq!((told.path().as_str(), told.next_hop().as_str()), ("64501 70000", "10.0.0.1"));
    assert_eq!((told.med(), told.local_pref(), told.reflection().as_str()), (Some(77), Some(100), ""));
    assert_eq!(through_us.expect_route(ROUTE).next_hop(), "127.0.0.1");
    assert_eq!(client.expect_route(ROUTE).codes(), [1, 2, 3, 4, 5]);
    // Never back to whom it is from.
    external.settle();
    assert!(external.table.is_empty(), "split horizon: {:?}", external.table);
    external.withdraw(&[ROUTE]);
    for peer in [&mut other, &mut internal, &mut client, &mut through_us] {
        peer.await_gone(ROUTE);
    }

    // From an internal neighbor that is no client: to external ones and clients only (RFC 4456 §6).
    let attributes = [origin(0), path(&[64700]), next_hop("10.0.0.3"), med(5), local_pref(300)];
    internal.announce(&attributes, &[ROUTE]);
    let told = other.expect_route(ROUTE);
    assert_eq!((told.path().as_str(), told.codes()), ("65000 64700", vec![1, 2, 3]), "nothing internal leaves the AS");
    let told = client.expect_route(ROUTE);
    assert_eq!((told.path().as_str(), told.next_hop().as_str()), ("64700", "10.0.0.3"));
    assert_eq!((told.med(), told.local_pref()), (Some(5), Some(300)));
    assert_eq!(told.reflection(), "10.255.1.3 10.255.0.1", "ORIGINATOR_ID and CLUSTER_LIST");
    through_us.settle();
    assert!(through_us.route(ROUTE).is_none(), "not from one non-client to another");
    internal.withdraw(&[ROUTE]);
    client.await_gone(ROUTE);

    // From a client: to everybody; what was reflected before keeps its originator (RFC 4456 §8).
    let reflected = [&attributes[..], &[originator("10.7.7.7"), clusters(&["10.8.8.8"])]].concat();
    client.announce(&reflected, &[ROUTE]);
    for peer in [&mut internal, &mut through_us] {
        let told = peer.expect_route(ROUTE);
        assert_eq!(told.reflection(), "10.7.7.7 10.255.0.1 10.8.8.8");
        assert_eq!(told.next_hop(), "10.0.0.3", "a reflected route keeps its next hop (RFC 4456 §10)");
    }
    assert_eq!(other.expect_route(ROUTE).codes(), [1, 2, 3]);
    client.settle();
    assert!(client.route(ROUTE).is_none());
    // The neighbor goes, its routes go.
    drop(client);
    for peer in [&mut other, &mut internal, &mut through_us] {
        peer.await_gone(ROUTE);
    }
}

#[test]
fn an_internal_route_stays_away_from_internal_neighbors_without_reflection() {
    let rig = Rig::new(&(neighbor(1, OUR_AS, "") + &neighbor(2, OUR_AS, "") + &neighbor(3, 64503, "")));
    let (mut one, mut two, mut seer) = (Peer::up(&rig, 1, OUR_AS), Peer::up(&rig, 2, OUR_AS), Peer::up(&rig, 3, 64503));
    one.announce(&[origin(0), path(&[]), next_hop("10.0.0.1"), local_pref(100)], &[ROUTE]);
    assert_eq!(seer.expect_route(ROUTE).path(), "65000");
    two.settle();
    assert!(two.table.is_empty());
}

#[test]
fn well_known_communities() {
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, "") + &neighbor(3, OUR_AS, "")));
    let (mut sender, mut external, mut internal) =
        (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502), Peer::up(&rig, 3, OUR_AS));
    let good = [origin(0), path(&[64501]), next_hop("10.0.0.1")];
    // Community, told outside, told inside.
    for (community, outside, inside) in [
        (0xffff_ff01, false, true),
        (0xffff_ff02, false, false),
        (0xffff_ff03, false, true),
        (0xfbf5_0001, true, true),
        (0xffff_1234, true, true),
    ] {
        sender.announce(&good, &[ROUTE]);
        external.expect_route(ROUTE);
        internal.expect_route(ROUTE);
        sender.announce(&[&good[..], &[communities(&[0x0001_0001, community])]].concat(), &[ROUTE]);
        sender.flush_to(&mut external, &good);
        internal.settle();
        for (peer, told) in [(&external, outside), (&internal, inside)] {
            let route = peer.route(ROUTE);
            assert_eq!(route.is_some(), told, "{community:08x} at neighbor {}", peer.number);
            if let Some(route) = route {
                assert_eq!(route.communities(), [0x0001_0001, community]);
            }
        }
        // Without it again.
        sender.announce(&good, &[ROUTE]);
        external.await_route(ROUTE, |route| route.communities().is_empty());
        internal.await_route(ROUTE, |route| route.communities().is_empty());
    }
    // Twice the same community, in no order: each once.
    sender.announce(&[&good[..], &[communities(&[9, 7, 9, 7, 8])]].concat(), &[ROUTE]);
    external.await_route(ROUTE, |route| route.communities() == [7, 8, 9]);
    let large = |list: &[u32]| attribute(0xc0, 32, &list.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>());
    sender.announce(&[&good[..], &[large(&[1, 2, 3, 1, 2, 3])]].concat(), &[ROUTE]);
    external.await_route(ROUTE, |route| route.value(32).is_some_and(|value| value.len() == 12));
    // Non-transitive extended communities stay within the AS (RFC 4360 §6).
    let extended = [0x40, 2, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 2];
    sender.announce(&[&good[..], &[attribute(0xc0, 16, &extended)]].concat(), &[ROUTE]);
    external.await_route(ROUTE, |route| route.value(16) == Some(&extended[8..]));
}

#[test]
fn optional_attributes_are_passed_on_by_their_flags() {
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502));
    let more = [
        attribute(0xc0, 99, &[1, 2, 3]),
        attribute(0xe0, 100, &[0; 300]),
        attribute(0x80, 101, &[1]),
        attribute(0xe0, 8, &[0, 1, 0, 1]),
        attribute(0xc0, 7, &[0, 0, 0, 9, 192, 0, 2, 1]),
        attribute(0x40, 6, &[]),
    ];
    sender.announce(&[&[origin(0), path(&[64501]), next_hop("10.0.0.1")][..], &more].concat(), &[ROUTE]);
    let told = seer.expect_route(ROUTE);
    let flags: Vec<_> = told.by_code.iter().map(|(code, (flags, _))| (*code, *flags)).collect();
    // RFC 4271 §5: unknown ones get Partial, Partial stays where it was, the optional non-transitive one goes.
    let expected = [(1, 0x40), (2, 0x40), (3, 0x40), (6, 0x40), (7, 0xc0), (8, 0xe0), (99, 0xe0), (100, 0xe0)];
    assert_eq!(flags, expected);
    assert_eq!((told.value(99), told.value(100)), (Some(&[1, 2, 3][..]), Some(&[0; 300][..])));
}

#[test]
fn without_a_policy_an_external_neighbor_gives_and_gets_nothing() {
    // RFC 8212; an internal one needs none.
    let rig = Rig::new(
        &(neighbor(1, 64501, "")
            + &bare_neighbor(2, 64502, "")
            + &bare_neighbor(3, OUR_AS, "")
            + &neighbor(4, 64504, "")),
    );
    let (mut sender, mut bare) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502));
    let (mut internal, mut seer) = (Peer::up(&rig, 3, OUR_AS), Peer::up(&rig, 4, 64504));
    sender.announce_plain(&[64501], "10.0.0.1", &[ROUTE]);
    internal.expect_route(ROUTE);
    seer.expect_route(ROUTE);
    bare.announce_plain(&[64502], "10.0.0.2", &["198.51.100.0/24"]);
    internal.announce(&[origin(0), path(&[]), next_hop("10.0.0.3"), local_pref(100)], &["203.0.113.0/24"]);
    seer.expect_route("203.0.113.0/24");
    bare.settle();
    seer.settle();
    assert!(bare.table.is_empty() && seer.route("198.51.100.0/24").is_none());
    assert_eq!((rig.neighbor(2).received, rig.neighbor(2).accepted), (1, 0));

    let open = Rig::with_bgp("require_policy = false", &(bare_neighbor(1, 64501, "") + &bare_neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&open, 1, 64501), Peer::up(&open, 2, 64502));
    sender.announce_plain(&[64501], "10.0.0.1", &[ROUTE]);
    seer.expect_route(ROUTE);
}

#[test]
fn neighbors_of_two_octets() {
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, "") + &neighbor(3, 64503, "")));
    let mut old = Peer::up_with(&rig, 1, 64501, &[octets::multiprotocol(1)]);
    let mut new = Peer::up(&rig, 2, 64502);
    let mut also_old = Peer::up_with(&rig, 3, 64503, &[octets::multiprotocol(1)]);
    let hop = next_hop("10.0.0.1");
    let as4 = |list: &[(u8, &[u32])]| {
        let mut octets = segments(list);
        octets[..2].copy_from_slice(&[0xc0, 17]);
        octets
    };
    // AS_PATH, AS4_PATH, and the path that a four-octet neighbor is told (RFC 6793 §4.2.3, §6).
    type Row = (Vec<u8>, Option<Vec<u8>>, &'static str);
    let rows: &[Row] = &[
        (old_path(&[64501, 7]), None, "65000 64501 7"),
        (old_path(&[64501, 23456]), Some(as4(&[(2, &[64501, 70000])])), "65000 64501 70000"),
        (old_path(&[64501, 23456]), Some(as4(&[(2, &[70000])])), "65000 64501 70000"),
        (old_path(&[64501, 9, 23456, 8]), Some(as4(&[(2, &[70000, 8])])), "65000 64501 9 70000 8"),
        (old_path(&[64501, 23456]), Some(as4(&[(2, &[1, 2, 70000])])), "65000 64501 23456"),
        (old_path(&[64501, 23456]), Some(as4(&[(3, &[66000]), (2, &[70000])])), "65000 64501 70000"),
        (old_path(&[64501, 23456]), Some(as4(&[(3, &[66000])])), "65000 64501 23456"),
        (old_path(&[64501, 23456]), Some(attribute(0xc0, 17, &[2, 2, 0, 1, 0x11, 0x70])), "65000 64501 23456"),
        (old_path(&[64501, 23456]), Some(attribute(0xc0, 17, &[9, 1, 0, 1, 0x11, 0x70])), "65000 64501 23456"),
        (old_path(&[64501, 23456]), Some(attribute(0xc0, 17, &[])), "65000 64501 23456"),
        (old_path(&[64501, 23456]), Some(attribute(0xc0, 17, &[2, 1, 0, 0, 0, 0])), "65000 64501 23456"),
        (old_path(&[64501, 10, 11]), Some(as4(&[(1, &[5, 6])])), "65000 64501 10 {5,6}"),
    ];
    for (path, as4, expected) in rows {
        let list: Vec<Vec<u8>> = [origin(0), path.clone(), hop.clone()].into_iter().chain(as4.clone()).collect();
        old.announce(&list, &[ROUTE]);
        let told = new.await_route(ROUTE, |_| true);
        assert_eq!(told.path(), *expected, "{as4:?}");
        assert_eq!(told.as4_path(), None);
        let told = also_old.expect_route(ROUTE);
        let large = expected.contains("70000");
        assert_eq!(told.path(), expected.replace("70000", "23456"));
        assert_eq!(told.as4_path().as_deref(), large.then_some(*expected));
        old.withdraw(&[ROUTE]);
        new.await_gone(ROUTE);
        also_old.await_gone(ROUTE);
    }
    // AGGREGATOR: AS_TRANS gives way to AS4_AGGREGATOR; another AS means that both four-octet attributes are of the past.
    let base = [origin(0), old_path(&[64501, 23456]), hop];
    let as4_path = as4(&[(2, &[64501, 70000])]);
    let as4_aggregator = attribute(0xc0, 18, &[0, 1, 0x11, 0x70, 10, 1, 1, 1]);
    let rows = [
        (attribute(0xc0, 7, &[0x5b, 0xa0, 10, 2, 2, 2]), vec![0, 1, 0x11, 0x70, 10, 1, 1, 1], "65000 64501 70000"),
        (attribute(0xc0, 7, &[0, 99, 10, 2, 2, 2]), vec![0, 0, 0, 99, 10, 2, 2, 2], "65000 64501 23456"),
    ];
    for (aggregator, expected, path) in rows {
        let list = [&base[..], &[aggregator, as4_path.clone(), as4_aggregator.clone()]].concat();
        old.announce(&list, &[ROUTE]);
        let told = new.await_route(ROUTE, |route| route.value(7) == Some(&expected[..]));
        assert_eq!(told.path(), path);
    }
    // From a four-octet neighbor to one of two octets.
    let aggregator = attribute(0xc0, 7, &[0, 1, 0x11, 0x70, 10, 1, 1, 1]);
    new.announce(&[origin(0), path(&[64502, 70000]), next_hop("10.0.0.2"), aggregator], &["198.51.100.0/24"]);
    let told = also_old.expect_route("198.51.100.0/24");
    assert_eq!((told.path().as_str(), told.as4_path().as_deref()), ("65000 64502 23456", Some("65000 64502 70000")));
    assert_eq!(told.value(7), Some(&[0x5b, 0xa0, 10, 1, 1, 1][..]));
    assert_eq!(told.value(18), Some(&[0, 1, 0x11, 0x70, 10, 1, 1, 1][..]));
}

#[test]
fn ipv6_over_an_ipv4_session() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::new(&(neighbor(1, 64501, both) + &neighbor(2, OUR_AS, both) + &neighbor(3, OUR_AS, "")));
    let (mut sender, mut seer) = (Peer::up_dual(&rig, 1, 64501), Peer::up_dual(&rig, 2, OUR_AS));
    let mut ipv4_only = Peer::up(&rig, 3, OUR_AS);
    for (hop, told) in
        [(v6("2001:db8::9"), "2001:db8::9"), ([v6("2001:db8::9"), v6("fe80::9")].concat(), "2001:db8::9")]
    {
        let reach = mp_reach(2, &hop, &nlri(&["2001:db8:1::/48", "::/0"]));
        sender.send(&update(&[], &[reach, origin(0), path(&[64501])].concat(), &[]));
        let route = seer.expect_route("2001:db8:1::/48");
        assert!(route.next_hop().starts_with(told), "{}", route.next_hop());
        seer.expect_route("::/0");
        sender.send(&update(&[], &octets::mp_unreach(2, &nlri(&["2001:db8:1::/48", "::/0"])), &[]));
        seer.await_gone("2001:db8:1::/48");
        seer.await_gone("::/0");
    }
    ipv4_only.settle();
    assert!(ipv4_only.table.is_empty(), "a family that was not negotiated is not sent");
}

#[test]
fn a_neighbor_gets_what_is_there_and_end_of_rib() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, both)));
    let mut sender = Peer::up(&rig, 1, 64501);
    let prefixes: Vec<String> = (0..2000).map(|n| format!("100.{}.{}.0/24", 64 + n / 256, n % 256)).collect();
    let listed: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    for some in listed.chunks(900) {
        sender.announce_plain(&[64501], "10.0.0.1", some);
    }
    sender.await_end_of_rib(1);
    let graceful = (64, vec![0, 120, 0, 1, 1, 0]);
    let capabilities = [octets::multiprotocol(1), octets::multiprotocol(2), octets::four_octet_as(64502), graceful];
    let mut late = Peer::up_with(&rig, 2, 64502, &capabilities);
    late.await_end_of_rib(2);
    late.await_end_of_rib(1);
    late.await_route(prefixes[1999].as_str(), |_| true);
    assert_eq!(late.table.len(), 2000);
    // All of them go with their neighbor, in few messages.
    drop(sender);
    for prefix in [&prefixes[0], &prefixes[1000], &prefixes[1999]] {
        late.await_gone(prefix);
    }
    late.settle();
    assert!(late.table.is_empty());
}
