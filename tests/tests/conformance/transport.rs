//! Transports and next hops: IPv6 sessions, IPv4 routes with IPv6 next hops (RFC 8950), several next hops (multipath), none at all
//! (BLACKHOLE, RFC 7999), and members of a group that fall behind.

#![allow(clippy::disallowed_methods, reason = "a neighbor lives in real time")]

use std::net::TcpStream;

use super::octets::{
    self, REFRESH, communities, four_octet_as, message, mp_reach, multiprotocol, next_hop, nlri, origin, path, update,
    v6,
};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

/// `[[neighbor]]` ::1.
fn neighbor6(asn: u32, more: &str) -> String {
    neighbor(0, asn, more).replace("127.0.1.0", "::1")
}

/// Neighbor ::1 with number 9, opened with these capabilities.
fn connect6(rig: &Rig) -> Peer {
    Peer::on(TcpStream::connect(("::1", rig.port6())).expect("it listens"), 9)
}

#[test]
fn a_session_over_ipv6_speaks_ipv6() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::with_ipv6(&(neighbor6(AS, "") + &neighbor(2, OUR_AS, both)));
    let mut peer = connect6(&rig);
    let opened = peer.open(AS, &[multiprotocol(2), four_octet_as(AS)]);
    let families: Vec<_> = opened.capabilities.iter().filter(|(code, _)| *code == 1).collect();
    assert_eq!(families, [&(1, vec![0, 2, 0, 1])], "the transport's own family");
    peer.confirm();
    let mut seer = Peer::up_dual(&rig, 2, OUR_AS);
    let hop = mp_reach(2, &v6("2001:db8::9"), &nlri(&["2001:db8:7::/48"]));
    peer.send(&update(&[], &[hop, origin(0), path(&[AS])].concat(), &[]));
    assert_eq!(seer.expect_route("2001:db8:7::/48").path(), "64501");
    let hop = mp_reach(2, &v6("2001:db8::2"), &nlri(&["2001:db8:8::/48"]));
    seer.send(&update(&[], &[hop, origin(0), path(&[64700])].concat(), &[]));
    assert_eq!(peer.expect_route("2001:db8:8::/48").next_hop(), "::1", "our end of the session");
}

#[test]
fn ipv4_routes_go_over_ipv6_with_an_ipv6_next_hop_if_both_want_it() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::with_ipv6(&(neighbor6(AS, both) + &neighbor(2, 64502, "")));
    let mut sender = Peer::up(&rig, 2, 64502);
    sender.announce_plain(&[64502], "10.0.0.2", &[ROUTE]);
    let extended = (5, vec![0, 1, 0, 1, 0, 2]);
    let mut peer = connect6(&rig);
    let capabilities = [multiprotocol(1), multiprotocol(2), four_octet_as(AS), extended];
    let opened = peer.open(AS, &capabilities);
    assert_eq!(opened.capability(5), Some(&[0, 1, 0, 1, 0, 2][..]));
    peer.confirm();
    // The reader takes MP_REACH_NLRI of AFI 1, and no NEXT_HOP beside it.
    let told = peer.expect_route(ROUTE);
    assert_eq!((told.next_hop().as_str(), told.value(3)), ("::1", None));
    sender.withdraw(&[ROUTE]);
    peer.await_gone(ROUTE);
    // And the other way round: what comes with an IPv6 next hop is forwarded there.
    let hop = mp_reach(1, &v6("2001:db8::9"), &nlri(&["198.51.100.0/24"]));
    peer.send(&update(&[], &[hop, origin(0), path(&[AS])].concat(), &[]));
    assert_eq!(sender.expect_route("198.51.100.0/24").next_hop(), "127.0.0.1");
    rig.await_forwarding("198.51.100.0/24", "2001:db8::9*1");
}

#[test]
fn paths_with_ipv6_next_hops_stay_over_a_restart() {
    // RFC 4724, RFC 7911 and RFC 8950 at once.
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let several = format!("{both}\nadd_path = {{ receive = true, send = 4 }}");
    let rig = Rig::with_ipv6(&(neighbor6(AS, &several) + &neighbor(2, OUR_AS, "add_path = { send = 4 }")));
    let ways = |mode| (69, vec![0, 1, 1, mode]);
    let mut seer = Peer::up_with(&rig, 2, OUR_AS, &[multiprotocol(1), four_octet_as(OUR_AS), ways(1)]);
    seer.reading.add_path = [true, false];
    let with = |restarted: bool| {
        let restart = (64, vec![if restarted { 0x80 } else { 0 }, 120, 0, 1, 1, 0x80, 0, 2, 1, 0x80]);
        let extended = (5, vec![0, 1, 0, 1, 0, 2]);
        [multiprotocol(1), multiprotocol(2), four_octet_as(AS), extended, restart, ways(3)]
    };
    let say = |peer: &mut Peer, id: u32, asn: u32| {
        let routes = [&id.to_be_bytes()[..], &nlri(&[ROUTE])].concat();
        let reach = mp_reach(1, &v6("2001:db8::9"), &routes);
        peer.send(&update(&[], &[reach, origin(0), path(&[AS, asn])].concat(), &[]));
    };
    let paths = |peer: &Peer| {
        let mut paths: Vec<String> = peer.table.values().map(octets::Attributes::path).collect();
        paths.sort();
        paths
    };
    let come = |restarted| {
        let mut peer = connect6(&rig);
        peer.open(AS, &with(restarted));
        peer.confirm();
        peer
    };
    let mut sender = come(false);
    for (id, asn) in [(1, 11), (2, 12), (3, 13)] {
        say(&mut sender, id, asn);
    }
    seer.await_table(|peer| paths(peer) == ["64501 11", "64501 12", "64501 13"]);
    rig.await_forwarding(ROUTE, "2001:db8::9*1");
    drop(sender);
    seer.settle();
    assert_eq!(seer.table.len(), 3);
    let mut sender = come(true);
    // The identifiers are others now; what was said with the old ones goes with End-of-RIB.
    say(&mut sender, 2, 12);
    say(&mut sender, 9, 13);
    seer.await_table(|peer| paths(peer) == ["64501 11", "64501 12", "64501 13", "64501 13"]);
    sender.send(&update(&[], &[], &[]));
    seer.await_table(|peer| paths(peer) == ["64501 12", "64501 13"]);
    rig.await_forwarding(ROUTE, "2001:db8::9*1");
    // And what this neighbor is told has both, too.
    sender.reading.add_path = [true, false];
    seer.send(&update(
        &[],
        &[origin(0), path(&[7]), next_hop("10.0.0.2"), octets::local_pref(100)].concat(),
        &nlri(&["198.51.100.0/24"]),
    ));
    sender.await_table(|peer| peer.table.len() == 1);
    let told = sender.table.values().next().expect("there").clone();
    assert_eq!((told.next_hop().as_str(), told.path().as_str(), told.value(3)), ("::1", "65000 7", None));
}

/// Two external neighbors that announce the same prefix, and what is forwarded.
fn two(bgp: &str, ases: [u32; 2], paths: [&[u32]; 2], expected: &str) {
    let rig = Rig::with_bgp(bgp, &(neighbor(1, ases[0], "") + &neighbor(2, ases[1], "")));
    let (mut one, mut other) = (Peer::up(&rig, 1, ases[0]), Peer::up(&rig, 2, ases[1]));
    one.announce_plain(paths[0], "10.0.0.1", &[ROUTE]);
    rig.await_forwarding(ROUTE, "10.0.0.1*1");
    other.announce_plain(paths[1], "10.0.0.2", &[ROUTE]);
    other.announce_plain(paths[1], "10.0.0.2", &["198.51.100.0/24"]);
    rig.await_forwarding("198.51.100.0/24", "10.0.0.2*1");
    rig.await_forwarding(ROUTE, expected);
    one.withdraw(&[ROUTE]);
    rig.await_forwarding(ROUTE, "10.0.0.2*1");
}

#[test]
fn equal_paths_are_forwarded_together_if_configured() {
    let (one, two_hops) = ("10.0.0.1*1", "10.0.0.1*1 10.0.0.2*1");
    two("", [AS, AS], [&[AS], &[AS]], one);
    two("multipath = { ebgp = 2 }", [AS, AS], [&[AS], &[AS]], two_hops);
    // Strict: through one neighbor AS only. Relaxed: equal length is enough.
    two("multipath = { ebgp = 2 }", [AS, 64502], [&[AS], &[64502]], one);
    two("multipath = { ebgp = 2, relax = true }", [AS, 64502], [&[AS], &[64502]], two_hops);
    two("multipath = { ebgp = 2, relax = true }", [AS, 64502], [&[AS], &[64502, 7]], one);
    // Internal paths have a number of their own.
    two("multipath = { ebgp = 2 }", [OUR_AS, OUR_AS], [&[7], &[7]], one);
    two("multipath = { ibgp = 2 }", [OUR_AS, OUR_AS], [&[7], &[7]], two_hops);
}

#[test]
fn the_number_of_paths_used_together_is_the_one_configured() {
    let neighbors: String = (1..=4).map(|n| neighbor(n, AS, "")).collect();
    let rig = Rig::with_bgp("multipath = { ebgp = 3 }", &neighbors);
    let mut peers: Vec<Peer> = (1..=4).map(|n| Peer::up(&rig, n, AS)).collect();
    for (peer, n) in peers.iter_mut().zip(1..) {
        peer.announce_plain(&[AS], &format!("10.0.0.{n}"), &[ROUTE]);
    }
    rig.await_forwarding(ROUTE, "10.0.0.1*1 10.0.0.2*1 10.0.0.3*1");
    peers[1].withdraw(&[ROUTE]);
    rig.await_forwarding(ROUTE, "10.0.0.1*1 10.0.0.3*1 10.0.0.4*1");
}

#[test]
fn a_blackhole_drops_even_if_its_next_hop_leads_nowhere() {
    let policy = "[[policy]]\nname = \"holes\"\ndefault = \"accept\"\n";
    let rig = Rig::new(
        &(neighbor(1, AS, "import = \"holes\"") + &neighbor(2, 64502, "") + &neighbor(3, OUR_AS, "") + policy),
    );
    let mut customer = Peer::up(&rig, 1, AS);
    let (mut outside, mut inside) = (Peer::up(&rig, 2, 64502), Peer::up(&rig, 3, OUR_AS));
    let blackhole = communities(&[0xffff_029a]);
    customer.announce(&[origin(0), path(&[AS]), next_hop("172.16.0.66"), blackhole], &["192.0.2.66/32"]);
    rig.await_forwarding("192.0.2.66/32", "blackhole");
    // RFC 7999 §3.2: not to other ASes.
    let told = inside.expect_route("192.0.2.66/32");
    assert_eq!(told.communities(), [0xffff_029a, 0xffff_ff01]);
    outside.settle();
    assert!(outside.table.is_empty());
    customer.withdraw(&["192.0.2.66/32"]);
    rig.await_forwarding("192.0.2.66/32", "nothing");
}

#[test]
fn a_member_that_falls_behind_within_its_refresh_is_told_all_of_it() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64502, "")));
    let mut sender = Peer::up(&rig, 1, AS);
    let enhanced = [multiprotocol(1), four_octet_as(64502), (2, vec![]), (70, vec![])];
    let mut quick = Peer::up_with(&rig, 2, 64502, &enhanced);
    // What it does not read stays with the daemon.
    let mut slow = Peer::on(rig.connect_narrow(3), 3);
    slow.open(64502, &enhanced);
    slow.confirm();
    // Distinct paths, so that a full table is some megabytes on the wire.
    let prefix = |n: u32| format!("{}.{}.{}.0/24", 100 + n / 65536, n / 256 % 256, n % 256);
    const COUNT: u32 = 20_000;
    let say = |sender: &mut Peer, n: u32, last: u32| {
        sender.announce(
            &[origin(0), path(&[AS, 1_000_000 + n, last, 1, 2, 3, 4, 5, 6, 7, 8, 9]), next_hop("10.0.0.1")],
            &[&prefix(n)],
        );
    };
    for n in 0..COUNT {
        say(&mut sender, n, 1);
        if n % 1000 == 0 {
            quick.calm(1);
            slow.calm(1);
        }
    }
    for peer in [&mut quick, &mut slow] {
        peer.await_table(|peer| peer.table.len() == COUNT as usize);
    }
    // Both ask for everything again; the slow one does not read meanwhile, and routes change.
    quick.send(&message(REFRESH, &[0, 1, 0, 1]));
    slow.send(&message(REFRESH, &[0, 1, 0, 1]));
    for n in 0..COUNT {
        if n % 10 == 0 {
            say(&mut sender, n, 2);
        } else if n % 10 == 1 {
            sender.withdraw(&[&prefix(n)]);
        }
        if n % 500 == 0 {
            quick.calm(1);
        }
    }
    let marker = "203.0.113.0/24";
    sender.announce_plain(&[AS], "10.0.0.1", &[marker]);
    quick.expect_route(marker);
    // What the slow one has at the end of its refresh is what RFC 7313 leaves it with.
    let (mut fresh, mut ended) = (std::collections::BTreeMap::new(), false);
    let mut begun = 0;
    while !(ended && fresh.contains_key(marker)) {
        match slow.next(std::time::Duration::from_secs(20)) {
            super::peer::Event::Message(REFRESH, body) if body[2] == 1 => {
                begun += 1;
                ended = false;
                fresh.clear();
            }
            super::peer::Event::Message(REFRESH, _) => ended = true,
            super::peer::Event::Message(octets::UPDATE, body) => {
                let update = octets::read_update(&body, slow.reading);
                for (_, prefix) in update.withdrawn {
                    fresh.remove(&prefix.to_string());
                }
                let path = update.attributes.value(2).map(|_| update.attributes.path()).unwrap_or_default();
                for (_, prefix) in update.announced {
                    fresh.insert(prefix.to_string(), path.clone());
                }
            }
            super::peer::Event::Message(octets::KEEPALIVE, _) => {}
            other => panic!("{other:?} after {} routes", fresh.len()),
        }
    }
    assert!(begun >= 1);
    let expected: std::collections::BTreeMap<String, String> =
        quick.table.iter().map(|((_, prefix), route)| (prefix.to_string(), route.path())).collect();
    assert_eq!(fresh.len(), expected.len());
    assert!(fresh == expected, "what both have been told is the same");
}
