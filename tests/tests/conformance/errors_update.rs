//! Malformed UPDATEs (RFC 4271 §6.3, RFC 7606, RFC 4760, RFC 7607, RFC 5065, RFC 8092, RFC 9234): the session stays and the routes go,
//! or the exact NOTIFICATION comes.

use super::octets::{self, attribute, local_pref, med, mp_reach, mp_unreach, next_hop, nlri, origin, path, update, v6};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const SEER: u32 = 64599;
const ROUTE: &str = "192.0.2.0/24";
const HOP: &str = "10.0.0.9";

/// What has to become of the route.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The session stays, the route goes.
    Withdrawn,
    /// The route stays; the neighbor behind us does not see this attribute.
    Without(u8),
    /// The route stays with this attribute.
    With(u8),
}
use Fate::{With, Withdrawn, Without};

/// The mandatory attributes, one of them replaced.
fn replacing(code: u8, octets: &[u8]) -> Vec<u8> {
    let one = |number, good: Vec<u8>| if number == code { octets.to_vec() } else { good };
    [one(1, origin(0)), one(2, path(&[AS])), one(3, next_hop(HOP))].concat()
}

fn plus(octets: &[u8]) -> Vec<u8> {
    [&replacing(0, &[])[..], octets].concat()
}

/// An AS_PATH with this value.
fn raw_path(value: &[u8]) -> Vec<u8> {
    replacing(2, &attribute(0x40, 2, value))
}

/// Each row from a neighbor that had announced the route before, seen by a neighbor behind us.
fn run(sender: &mut Peer, seer: &mut Peer, good: &[Vec<u8>], rows: &[(&str, Vec<u8>, Fate)]) {
    for (name, attributes, fate) in rows {
        // Each time with another MED, so that this announcement is one.
        sender.announce(good, &[ROUTE]);
        seer.expect_route(ROUTE);
        sender.send(&update(&[], attributes, &nlri(&[ROUTE])));
        sender.flush_to(seer, good);
        match (fate, seer.route(ROUTE)) {
            (Withdrawn, None) => {}
            (Without(code), Some(route)) if !route.codes().contains(code) => {}
            (With(code), Some(route)) if route.codes().contains(code) => {}
            (fate, route) => panic!("{name}: expected {fate:?}, the neighbor has {route:?}"),
        }
        sender.withdraw(&[ROUTE]);
        seer.await_gone(ROUTE);
    }
}

#[test]
fn from_an_external_neighbor() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, SEER, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, SEER));
    let rows: Vec<(&str, Vec<u8>, Fate)> = vec![
        ("no ORIGIN", replacing(1, &[]), Withdrawn),
        ("no AS_PATH", replacing(2, &[]), Withdrawn),
        ("no NEXT_HOP", replacing(3, &[]), Withdrawn),
        ("no attribute at all", Vec::new(), Withdrawn),
        ("ORIGIN 3", replacing(1, &[0x40, 1, 1, 3]), Withdrawn),
        ("ORIGIN 255", replacing(1, &[0x40, 1, 1, 255]), Withdrawn),
        ("ORIGIN of 0 octets", replacing(1, &[0x40, 1, 0]), Withdrawn),
        ("ORIGIN of 2 octets", replacing(1, &[0x40, 1, 2, 0, 0]), Withdrawn),
        ("ORIGIN optional", replacing(1, &[0xc0, 1, 1, 0]), Withdrawn),
        ("ORIGIN not transitive", replacing(1, &[0, 1, 1, 0]), Withdrawn),
        ("segment type 0", raw_path(&[0, 1, 0, 0, 0xfb, 0xf5]), Withdrawn),
        ("segment type 5", raw_path(&[2, 1, 0, 0, 0xfb, 0xf5, 5, 1, 0, 0, 0, 1]), Withdrawn),
        ("segment of no AS", raw_path(&[2, 1, 0, 0, 0xfb, 0xf5, 2, 0]), Withdrawn),
        ("segment overruns", raw_path(&[2, 2, 0, 0, 0xfb, 0xf5]), Withdrawn),
        ("segment underruns", raw_path(&[2, 1, 0, 0, 0xfb, 0xf5, 2]), Withdrawn),
        ("AS 0", raw_path(&[2, 2, 0, 0, 0xfb, 0xf5, 0, 0, 0, 0]), Withdrawn),
        ("AS 0 in a set", raw_path(&[2, 1, 0, 0, 0xfb, 0xf5, 1, 1, 0, 0, 0, 0]), Withdrawn),
        ("confederation sequence", raw_path(&[3, 1, 0, 0, 0xfb, 0xf5]), Withdrawn),
        ("confederation set", raw_path(&[2, 1, 0, 0, 0xfb, 0xf5, 4, 1, 0, 0, 0, 7]), Withdrawn),
        ("empty AS_PATH", raw_path(&[]), Withdrawn),
        ("another first AS", replacing(2, &path(&[64777, AS])), Withdrawn),
        ("AS_PATH optional", replacing(2, &attribute(0xc0, 2, &[2, 1, 0, 0, 0xfb, 0xf5])), Withdrawn),
        ("NEXT_HOP of 3 octets", replacing(3, &[0x40, 3, 3, 10, 0, 0]), Withdrawn),
        ("NEXT_HOP of 5 octets", replacing(3, &[0x40, 3, 5, 10, 0, 0, 9, 0]), Withdrawn),
        ("NEXT_HOP of 16 octets", replacing(3, &attribute(0x40, 3, &v6("2001:db8::1"))), Withdrawn),
        ("NEXT_HOP optional", replacing(3, &[0x80, 3, 4, 10, 0, 0, 9]), Withdrawn),
        ("NEXT_HOP 0.0.0.0", replacing(3, &next_hop("0.0.0.0")), Withdrawn),
        ("NEXT_HOP multicast", replacing(3, &next_hop("224.0.0.1")), Withdrawn),
        ("NEXT_HOP class E", replacing(3, &next_hop("255.255.255.255")), Withdrawn),
        ("NEXT_HOP is ours", replacing(3, &next_hop("127.0.0.1")), Withdrawn),
        ("MED of 3 octets", plus(&[0x80, 4, 3, 0, 0, 1]), Withdrawn),
        ("MED of 0 octets", plus(&[0x80, 4, 0]), Withdrawn),
        ("MED transitive", plus(&[0xc0, 4, 4, 0, 0, 0, 1]), Withdrawn),
        ("LOCAL_PREF", plus(&local_pref(500)), Without(5)),
        ("LOCAL_PREF malformed", plus(&[0x40, 5, 1, 9]), Without(5)),
        ("ATOMIC_AGGREGATE", plus(&[0x40, 6, 0]), With(6)),
        ("ATOMIC_AGGREGATE of 1 octet", plus(&[0x40, 6, 1, 0]), Without(6)),
        ("ATOMIC_AGGREGATE optional", plus(&[0xc0, 6, 0]), Withdrawn),
        ("AGGREGATOR", plus(&[0xc0, 7, 8, 0, 0, 0, 9, 192, 0, 2, 1]), With(7)),
        ("AGGREGATOR of 6 octets", plus(&[0xc0, 7, 6, 0, 9, 192, 0, 2, 1]), Without(7)),
        ("AGGREGATOR of 9 octets", plus(&[0xc0, 7, 9, 0, 0, 0, 9, 192, 0, 2, 1, 0]), Without(7)),
        ("AGGREGATOR AS 0", plus(&[0xc0, 7, 8, 0, 0, 0, 0, 192, 0, 2, 1]), Without(7)),
        ("AGGREGATOR well-known", plus(&[0x40, 7, 8, 0, 0, 0, 9, 192, 0, 2, 1]), Withdrawn),
        ("COMMUNITIES", plus(&octets::communities(&[0xfbf5_0001])), With(8)),
        ("COMMUNITIES of 0 octets", plus(&[0xc0, 8, 0]), Withdrawn),
        ("COMMUNITIES of 6 octets", plus(&[0xc0, 8, 6, 0, 0, 0, 1, 0, 0]), Withdrawn),
        ("COMMUNITIES not transitive", plus(&[0x80, 8, 4, 0, 0, 0, 1]), Withdrawn),
        ("ORIGINATOR_ID", plus(&octets::originator("10.9.9.9")), Without(9)),
        ("ORIGINATOR_ID malformed", plus(&[0x80, 9, 1, 0]), Without(9)),
        ("CLUSTER_LIST", plus(&octets::clusters(&["10.9.9.9"])), Without(10)),
        ("CLUSTER_LIST malformed", plus(&[0x80, 10, 3, 0, 0, 0]), Without(10)),
        ("EXTENDED COMMUNITIES", plus(&[0xc0, 16, 8, 0, 2, 0xfb, 0xf5, 0, 0, 0, 1]), With(16)),
        ("EXTENDED COMMUNITIES of 4 octets", plus(&[0xc0, 16, 4, 0, 2, 0, 0]), Withdrawn),
        ("EXTENDED COMMUNITIES of 0 octets", plus(&[0xc0, 16, 0]), Withdrawn),
        ("EXTENDED COMMUNITIES well-known", plus(&[0x40, 16, 8, 0, 2, 0xfb, 0xf5, 0, 0, 0, 1]), Withdrawn),
        ("AS4_PATH of a four-octet speaker", plus(&[0xc0, 17, 6, 2, 1, 0, 0, 0, 9]), Without(17)),
        ("AS4_AGGREGATOR of a four-octet speaker", plus(&[0xc0, 18, 8, 0, 0, 0, 9, 192, 0, 2, 1]), Without(18)),
        ("IPv6 extended community of 8 octets", plus(&[0xc0, 25, 8, 0, 2, 0, 0, 0, 0, 0, 0]), Withdrawn),
        ("LARGE_COMMUNITY", plus(&[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]), With(32)),
        ("LARGE_COMMUNITY of 0 octets", plus(&[0xc0, 32, 0]), Withdrawn),
        ("LARGE_COMMUNITY of 16 octets", plus(&attribute(0xc0, 32, &[0; 16])), Withdrawn),
        ("OTC of 3 octets", plus(&[0xc0, 35, 3, 0, 0, 1]), Withdrawn),
        ("unknown optional transitive", plus(&[0xc0, 99, 2, 1, 2]), With(99)),
        ("unknown optional non-transitive", plus(&[0x80, 99, 2, 1, 2]), Without(99)),
        ("AIGP, non-transitive", plus(&[0x80, 26, 11, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 5]), Without(26)),
        ("MED twice", plus(&[med(7), med(8)].concat()), With(1)),
        ("ORIGIN twice", plus(&origin(2)), With(1)),
        ("an attribute overruns the field", plus(&[0xc0, 8, 8, 0, 0, 0, 1]), Withdrawn),
        ("an attribute without length", plus(&[0xc0, 8]), Withdrawn),
        ("an attribute of a type only", plus(&[0xc0]), Withdrawn),
        ("an extended length cut", plus(&[0xd0, 8, 0]), Withdrawn),
        ("MED with a two-octet length", plus(&[0x90, 4, 0, 4, 0, 0, 0, 7]), With(1)),
        ("unused flags set", replacing(1, &[0x4f, 1, 1, 0][..]), With(1)),
        (
            "flags of MP_REACH wrong",
            {
                let mut reach = mp_reach(1, &[10, 0, 0, 9], &nlri(&["198.18.0.0/24"]));
                reach[0] = 0xc0;
                [reach, replacing(0, &[])].concat()
            },
            Withdrawn,
        ),
    ];
    let good = [origin(0), path(&[AS]), next_hop(HOP)];
    // "unused flags" would read as an extended length in bit 0x10; the other four are without meaning.
    run(&mut sender, &mut seer, &good, &rows);
    assert_eq!(rig.neighbor(1).established_count, 1);
}

#[test]
fn from_an_internal_neighbor() {
    let rig = Rig::new(
        &(neighbor(1, OUR_AS, "") + &neighbor(2, SEER, "") + &neighbor(3, OUR_AS, "route_reflector_client = true")),
    );
    let (mut sender, mut seer) = (Peer::up(&rig, 3, OUR_AS), Peer::up(&rig, 1, OUR_AS));
    let base = |more: &[u8]| [&origin(0)[..], &path(&[64700]), &next_hop(HOP), &local_pref(100), more].concat();
    let without_pref = [origin(0), path(&[64700]), next_hop(HOP)].concat();
    let rows: Vec<(&str, Vec<u8>, Fate)> = vec![
        ("no LOCAL_PREF", without_pref.clone(), With(5)),
        ("LOCAL_PREF of 3 octets", [&without_pref[..], &[0x40, 5, 3, 0, 0, 1]].concat(), Withdrawn),
        ("LOCAL_PREF optional", [&without_pref[..], &[0xc0, 5, 4, 0, 0, 0, 1]].concat(), Withdrawn),
        ("ORIGINATOR_ID of 3 octets", base(&[0x80, 9, 3, 0, 0, 1]), Withdrawn),
        ("ORIGINATOR_ID transitive", base(&[0xc0, 9, 4, 0, 0, 0, 1]), Withdrawn),
        ("CLUSTER_LIST of 0 octets", base(&[0x80, 10, 0]), Withdrawn),
        ("CLUSTER_LIST of 5 octets", base(&[0x80, 10, 5, 0, 0, 0, 1, 0]), Withdrawn),
        ("CLUSTER_LIST transitive", base(&[0xc0, 10, 4, 0, 0, 0, 1]), Withdrawn),
        ("empty AS_PATH", [origin(0), path(&[]), next_hop(HOP), local_pref(100)].concat(), With(2)),
        ("NEXT_HOP is ours", [origin(0), path(&[]), next_hop("127.0.0.1"), local_pref(100)].concat(), Withdrawn),
        ("OTC of 5 octets", base(&[0xc0, 35, 5, 0, 0, 0, 1, 0]), Withdrawn),
    ];
    let good = [origin(0), path(&[64700]), next_hop(HOP), local_pref(100)];
    run(&mut sender, &mut seer, &good, &rows);
}

/// Malformed beyond what can be withdrawn: octets of the UPDATE, subcode, data.
#[test]
fn what_resets() {
    let fine = replacing(0, &[]);
    let route = nlri(&[ROUTE]);
    let well_known = |code: u8| attribute(0x40, code, &[1, 2]);
    let reach = mp_reach(1, &[10, 0, 0, 9], &nlri(&["198.18.0.0/24"]));
    let v6_reach = |hop: &[u8]| mp_reach(2, hop, &nlri(&["2001:db8:9::/48"]));
    let body = |octets: &[u8]| octets::message(octets::UPDATE, octets);
    let rows: Vec<(&str, Vec<u8>, u8, Vec<u8>)> = vec![
        ("withdrawn length too large", body(&[0xff, 0xff, 0, 0]), 1, vec![]),
        ("attribute length too large", body(&[0, 0, 0xff, 0xff]), 1, vec![]),
        ("no room for the attribute length", body(&[0, 2, 8, 10]), 1, vec![]),
        ("unknown well-known", update(&[], &plus(&well_known(99)), &route), 2, well_known(99)),
        ("well-known of code 0", update(&[], &plus(&well_known(0)), &route), 2, well_known(0)),
        ("prefix of 33 bits", update(&[], &fine, &[33, 192, 0, 2, 0, 0]), 10, vec![]),
        ("prefix cut", update(&[], &fine, &[24, 192, 0]), 10, vec![]),
        ("prefix without octets", update(&[], &fine, &[24]), 10, vec![]),
        ("good prefix, then one cut", update(&[], &fine, &[24, 192, 0, 2, 24, 1]), 10, vec![]),
        ("withdrawn prefix of 255 bits", update(&[255, 1, 2, 3, 4], &[], &[]), 10, vec![]),
        ("withdrawn prefix cut", update(&[32, 1, 2, 3], &[], &[]), 10, vec![]),
        ("MP_REACH twice", update(&[], &[&reach[..], &reach, &fine].concat(), &[]), 1, vec![]),
        ("MP_UNREACH twice", update(&[], &[mp_unreach(1, &[]), mp_unreach(1, &[])].concat(), &[]), 1, vec![]),
        ("MP_REACH overruns", update(&[], &[&fine[..], &reach[..9]].concat(), &[]), 1, vec![]),
        ("only MP_REACH, and it overruns", update(&[], &reach[..9], &[]), 1, vec![]),
        ("MP_REACH empty", update(&[], &[&attribute(0x80, 14, &[])[..], &fine].concat(), &[]), 9, vec![0x80, 14, 0]),
        (
            "MP_REACH without reserved octet",
            update(&[], &[0x80, 14, 8, 0, 1, 1, 4, 10, 0, 0, 9], &[]),
            9,
            vec![0x80, 14, 8, 0, 1, 1, 4, 10, 0, 0, 9],
        ),
        (
            "next hop of 5 octets",
            update(&[], &mp_reach(1, &[10, 0, 0, 9, 1], &route), &[]),
            9,
            mp_reach(1, &[10, 0, 0, 9, 1], &route),
        ),
        ("IPv6 next hop of 4 octets", update(&[], &v6_reach(&[10, 0, 0, 9]), &[]), 9, v6_reach(&[10, 0, 0, 9])),
        ("IPv6 next hop of 24 octets", update(&[], &v6_reach(&[1; 24]), &[]), 9, v6_reach(&[1; 24])),
        ("IPv6 next hop of 0 octets", update(&[], &v6_reach(&[]), &[]), 9, v6_reach(&[])),
        ("MP_UNREACH of 2 octets", update(&[], &[0x80, 15, 2, 0, 1], &[]), 9, vec![0x80, 15, 2, 0, 1]),
        (
            "IPv6 prefix of 129 bits",
            update(&[], &[&mp_reach(2, &v6("2001:db8::9"), &[129; 18])[..], &fine].concat(), &[]),
            9,
            mp_reach(2, &v6("2001:db8::9"), &[129; 18]),
        ),
        ("IPv6 withdrawal cut", update(&[], &mp_unreach(2, &[64, 0x20]), &[]), 9, mp_unreach(2, &[64, 0x20])),
        // RFC 7606 §5.2: no routes to be found and something malformed.
        ("malformed without routes", update(&[], &[0x40, 1, 1, 9], &[]), 1, vec![]),
        ("overrun without routes", update(&[], &[0xc0, 8, 8, 0], &[]), 1, vec![]),
    ];
    let neighbors: String = (1..=u8::try_from(rows.len()).expect("few"))
        .map(|n| neighbor(n, AS, "families = [\"ipv4-unicast\", \"ipv6-unicast\"]"))
        .collect();
    let rig = Rig::new(&(neighbors + &neighbor(200, SEER, "")));
    let mut seer = Peer::up(&rig, 200, SEER);
    for (number, (name, sent, subcode, data)) in (1..).zip(&rows) {
        let mut sender = Peer::up_dual(&rig, number, AS);
        sender.announce_plain(&[AS], HOP, &[ROUTE]);
        seer.expect_route(ROUTE);
        sender.send(sent);
        println!("{name}");
        assert_eq!(sender.expect_notification(3, *subcode), *data, "{name}");
        seer.await_gone(ROUTE);
    }
}

#[test]
fn what_is_no_error() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::new(&(neighbor(1, AS, both) + &neighbor(2, OUR_AS, both)));
    let (mut sender, mut seer) = (Peer::up_dual(&rig, 1, AS), Peer::up_dual(&rig, 2, OUR_AS));
    let good = [origin(0), path(&[AS]), next_hop(HOP)];
    let fine = good.concat();
    // Host bits are masked.
    sender.send(&update(&[], &fine, &[24, 192, 0, 2, 31, 198, 51, 100, 1, 0]));
    seer.expect_route("192.0.2.0/24");
    seer.expect_route("198.51.100.0/31");
    // The default route and a host.
    sender.announce(&good, &["0.0.0.0/0", "192.0.2.1/32"]);
    seer.expect_route("0.0.0.0/0");
    seer.expect_route("192.0.2.1/32");
    // Withdrawn and announced in one UPDATE: it is announced (RFC 4271 §4.3).
    sender.send(&update(&nlri(&["192.0.2.0/24"]), &[&fine[..], &med(5)].concat(), &nlri(&["192.0.2.0/24"])));
    sender.flush_to(&mut seer, &good);
    assert!(seer.route("192.0.2.0/24").is_some());
    // A prefix that was never announced is withdrawn; one twice in an UPDATE.
    sender.withdraw(&["203.0.113.128/25"]);
    sender.announce(&good, &["203.0.113.0/25", "203.0.113.0/25"]);
    seer.expect_route("203.0.113.0/25");
    assert!(!seer.withdrawals.contains(&"203.0.113.128/25".parse().expect("a prefix")), "nobody was told of it");
    // Families that nobody speaks are ignored, whatever is in them (RFC 4760 §6, §7).
    for (afi, safi) in [(3, 1), (1, 2), (25, 65), (1, 128)] {
        let value = [&[0, afi, safi, 4, 10, 0, 0, 9, 0][..], &[255, 255, 255]].concat();
        sender.send(&update(&[], &[&attribute(0x80, 14, &value)[..], &fine].concat(), &[]));
        sender.send(&update(&[], &attribute(0x80, 15, &[0, afi, safi, 99, 99]), &[]));
    }
    // Routes of both families in one UPDATE, the IPv6 ones last; MP_UNREACH with them.
    let reach = mp_reach(2, &v6("2001:db8::9"), &nlri(&["2001:db8:1::/48"]));
    sender.send(&update(&[], &[&fine[..], &reach].concat(), &nlri(&["198.18.1.0/24"])));
    seer.expect_route("198.18.1.0/24");
    assert_eq!(seer.expect_route("2001:db8:1::/48").path(), "64501");
    let unreach = mp_unreach(2, &nlri(&["2001:db8:1::/48"]));
    let other = mp_reach(2, &[v6("2001:db8::9"), v6("fe80::9")].concat(), &nlri(&["2001:db8:2::/48"]));
    sender.send(&update(&[], &[&other[..], &fine, &unreach].concat(), &[]));
    seer.expect_route("2001:db8:2::/48");
    seer.await_gone("2001:db8:1::/48");
    // IPv4 in MP_REACH, and withdrawn in the old field.
    sender.send(&update(&[], &[&mp_reach(1, &[10, 0, 0, 9], &nlri(&["198.18.2.0/24"]))[..], &fine].concat(), &[]));
    seer.expect_route("198.18.2.0/24");
    sender.withdraw(&["198.18.2.0/24"]);
    seer.await_gone("198.18.2.0/24");
    // Attributes in any order, and without routes.
    sender.announce(&[next_hop(HOP), path(&[AS]), origin(2)], &["198.18.3.0/24"]);
    assert_eq!(seer.expect_route("198.18.3.0/24").value(1), Some(&[2][..]));
    sender.send(&update(&[], &fine, &[]));
    // End-of-RIB of either family and of neither.
    sender.send(&update(&[], &[], &[]));
    sender.send(&update(&[], &mp_unreach(2, &[]), &[]));
    sender.send(&update(&[], &attribute(0x80, 15, &[0, 9, 9]), &[]));
    sender.flush_to(&mut seer, &good);
    assert_eq!(rig.neighbor(1).established_count, 1);
}

#[test]
fn only_the_first_of_two_counts() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, OUR_AS, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, OUR_AS));
    sender.announce(&[origin(1), path(&[AS]), next_hop(HOP), med(7), med(8), origin(2)], &[ROUTE]);
    let route = seer.expect_route(ROUTE);
    assert_eq!((route.med(), route.value(1)), (Some(7), Some(&[1][..])));
}

#[test]
fn a_fault_takes_the_routes_of_every_field() {
    // RFC 7606 §2: all routes of the UPDATE.
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let rig = Rig::new(&(neighbor(1, AS, both) + &neighbor(2, OUR_AS, both)));
    let (mut sender, mut seer) = (Peer::up_dual(&rig, 1, AS), Peer::up_dual(&rig, 2, OUR_AS));
    let reach = mp_reach(2, &v6("2001:db8::9"), &nlri(&["2001:db8:1::/48"]));
    let fine = replacing(0, &[]);
    for bad in [replacing(3, &[0x40, 3, 3, 1, 2, 3]), replacing(1, &[0x40, 1, 1, 7]), plus(&[0xc0, 8, 9, 0])] {
        sender.send(&update(&[], &[&reach[..], &fine].concat(), &nlri(&[ROUTE])));
        seer.expect_route(ROUTE);
        seer.expect_route("2001:db8:1::/48");
        sender.send(&update(&[], &[&reach[..], &bad].concat(), &nlri(&[ROUTE])));
        seer.await_gone(ROUTE);
        seer.await_gone("2001:db8:1::/48");
    }
}
