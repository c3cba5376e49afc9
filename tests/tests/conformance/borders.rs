//! Borders: roles and OTC (RFC 9234 §5), confederations (RFC 5065), route servers (RFC 7947), graceful shutdown (RFC 8326), graceful
//! restart (RFC 4724), AS-path keys, aggregates.

use super::octets::{
    self, attribute, communities, four_octet_as, local_pref, med, multiprotocol, next_hop, origin, path, segments,
    update,
};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const ROUTE: &str = "192.0.2.0/24";
/// Our role towards neighbors 1 to 5 and, in the same order, 11 to 15.
const ROLES: [&str; 5] = ["provider", "rs", "rs-client", "customer", "peer"];

/// RFC 9234 §5, ingress: what a route has for OTC afterwards; `None` if it is a leak.
fn taken(role: &str, otc: Option<u32>, remote: u32) -> Option<Option<u32>> {
    match (role, otc) {
        ("provider" | "rs", Some(_)) => None,
        ("peer", Some(other)) if other != remote => None,
        ("customer" | "peer" | "rs-client", None) => Some(Some(remote)),
        (_, otc) => Some(otc),
    }
}

/// RFC 9234 §5, egress: what the route is told with; `None` if it is not told.
fn told(role: &str, otc: Option<u32>) -> Option<Option<u32>> {
    match (role, otc) {
        ("customer" | "peer" | "rs-client", Some(_)) => None,
        ("provider" | "peer" | "rs", None) => Some(Some(OUR_AS)),
        (_, otc) => Some(otc),
    }
}

#[test]
fn routes_leak_past_no_role() {
    let config: String = (1..=5_u8)
        .flat_map(|n| [n, n + 10])
        .map(|n| neighbor(n, 64500 + u32::from(n), &format!("role = \"{}\"", ROLES[usize::from((n - 1) % 10)])))
        .collect();
    let rig = Rig::new(&(config + &neighbor(30, OUR_AS, "")));
    let mut inside = Peer::up(&rig, 30, OUR_AS);
    let mut seers: Vec<Peer> = (11..=15).map(|n| Peer::up(&rig, n, 64500 + u32::from(n))).collect();
    for n in 1..=5_u8 {
        let remote = 64500 + u32::from(n);
        let role = ROLES[usize::from(n - 1)];
        let mut sender = Peer::up(&rig, n, remote);
        let good = [origin(0), path(&[remote]), next_hop("10.0.0.1")];
        for otc in [None, Some(remote), Some(64999)] {
            let more: Vec<Vec<u8>> = otc.map(|asn: u32| attribute(0xc0, 35, &asn.to_be_bytes())).into_iter().collect();
            sender.announce(&[&good[..], &more].concat(), &[ROUTE]);
            sender.flush_to(&mut inside, &good);
            let held = taken(role, otc, remote);
            assert_eq!(
                inside.route(ROUTE).map(|route| route.number(35)),
                held,
                "from a neighbor to which we are {role}, {otc:?}"
            );
            for (seer, their) in seers.iter_mut().zip(ROLES) {
                let expected = held.and_then(|otc| told(their, otc));
                if let Some(otc) = expected {
                    seer.await_route(ROUTE, |route| route.number(35) == otc);
                } else {
                    seer.calm(20);
                    assert!(seer.route(ROUTE).is_none(), "{role} to {their} with {otc:?}: {:?}", seer.route(ROUTE));
                }
            }
            sender.withdraw(&[ROUTE]);
            inside.await_gone(ROUTE);
            for seer in &mut seers {
                seer.await_gone(ROUTE);
            }
        }
    }
}

#[test]
fn a_confederation() {
    let bgp = "confederation = { id = 65000, members = [65001, 65002] }";
    let rig = Rig::with_node(
        "asn = 65001\nrouter_id = \"10.255.0.1\"",
        bgp,
        &(neighbor(1, 64501, "") + &neighbor(2, 65002, "") + &neighbor(3, 65001, "") + &neighbor(4, 64504, "")),
    );
    let mut external = Peer::connect(&rig, 1);
    let opened = external.open(64501, &[multiprotocol(1), four_octet_as(64501)]);
    assert_eq!(opened.my_as, 65000, "outside, the confederation is one AS (RFC 5065 §4)");
    external.confirm();
    let mut member = Peer::connect(&rig, 2);
    assert_eq!(member.open(65002, &[multiprotocol(1), four_octet_as(65002)]).my_as, 65001);
    member.confirm();
    let (mut internal, mut seer) = (Peer::up(&rig, 3, 65001), Peer::up(&rig, 4, 64504));
    member.reading.internal = true;
    internal.reading.internal = true;

    external.announce(&[origin(0), path(&[64501]), next_hop("10.0.0.1"), med(7)], &[ROUTE]);
    let route = member.expect_route(ROUTE);
    assert_eq!((route.path().as_str(), route.local_pref()), ("(65001) 64501", Some(100)));
    assert_eq!((route.next_hop().as_str(), route.med()), ("10.0.0.1", Some(7)));
    assert_eq!(internal.expect_route(ROUTE).path(), "64501");
    assert_eq!(seer.expect_route(ROUTE).path(), "65000 64501");
    external.withdraw(&[ROUTE]);
    seer.await_gone(ROUTE);

    let from_member = [origin(0), segments(&[(3, &[65002]), (2, &[64700])]), next_hop("10.0.0.2"), local_pref(200)];
    member.announce(&from_member, &[ROUTE]);
    assert_eq!(seer.expect_route(ROUTE).path(), "65000 64700");
    let route = internal.await_route(ROUTE, |route| route.local_pref() == Some(200));
    assert_eq!(route.path(), "(65002) 64700");
    // Our member AS in a confederation segment is a loop, and a path without such a segment is malformed (§5).
    for bad in
        [segments(&[(3, &[65002, 65001]), (2, &[64700])]), path(&[64700]), segments(&[(3, &[65002]), (2, &[65000])])]
    {
        member.announce(&from_member, &[ROUTE]);
        seer.expect_route(ROUTE);
        member.announce(&[origin(0), bad, next_hop("10.0.0.2"), local_pref(200)], &[ROUTE]);
        seer.await_gone(ROUTE);
    }
    // NO_EXPORT stays within the confederation, NO_EXPORT_SUBCONFED within the member AS (RFC 1997).
    for (community, to_member) in [(0xffff_ff01_u32, true), (0xffff_ff03, false)] {
        external.announce(&[origin(0), path(&[64501]), next_hop("10.0.0.1"), communities(&[community])], &[ROUTE]);
        internal.await_route(ROUTE, |route| route.communities() == [community]);
        external.flush_to(&mut member, &[origin(0), path(&[64501]), next_hop("10.0.0.1")]);
        seer.calm(20);
        assert_eq!((member.route(ROUTE).is_some(), seer.route(ROUTE).is_some()), (to_member, false), "{community:08x}");
    }
}

#[test]
fn a_route_server_is_not_seen() {
    let client = "route_server_client = true";
    let rig = Rig::new(&(neighbor(1, 64501, client) + &neighbor(2, 64502, client)));
    let (mut one, mut two) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502));
    // RFC 7947 §2.2: next hop, path and MED as they came.
    one.announce(&[origin(0), path(&[64501, 7]), next_hop("10.0.0.1"), med(9), communities(&[5])], &[ROUTE]);
    let route = two.expect_route(ROUTE);
    assert_eq!((route.path().as_str(), route.next_hop().as_str(), route.med()), ("64501 7", "10.0.0.1", Some(9)));
    assert_eq!(route.communities(), [5]);
}

#[test]
fn graceful_shutdown_is_honoured() {
    // RFC 8326 §4.1.
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, OUR_AS, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, OUR_AS));
    let good = [origin(0), path(&[64501]), next_hop("10.0.0.1")];
    sender.announce(&[&good[..], &[communities(&[0xffff_0000])]].concat(), &[ROUTE]);
    let route = seer.expect_route(ROUTE);
    assert_eq!((route.local_pref(), route.communities()), (Some(0), vec![0xffff_0000]));
    sender.announce(&good, &[ROUTE]);
    seer.await_route(ROUTE, |route| route.local_pref() == Some(100));
}

#[test]
fn routes_of_a_restarting_neighbor_are_kept() {
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, "")));
    let capability = |restarted: bool| (64, vec![if restarted { 0x80 } else { 0 }, 120, 0, 1, 1, 0x80]);
    let capabilities = |restarted| [multiprotocol(1), four_octet_as(64501), capability(restarted)];
    let mut sender = Peer::up_with(&rig, 1, 64501, &capabilities(false));
    let mut seer = Peer::up(&rig, 2, 64502);
    sender.announce_plain(&[64501], "10.0.0.1", &[ROUTE, "198.51.100.0/24"]);
    seer.expect_route(ROUTE);
    seer.expect_route("198.51.100.0/24");
    drop(sender);
    seer.settle();
    assert_eq!(seer.table.len(), 2, "nothing is withdrawn (RFC 4724 §4.2)");
    let mut sender = Peer::up_with(&rig, 1, 64501, &capabilities(true));
    sender.announce_plain(&[64501], "10.0.0.1", &[ROUTE]);
    seer.settle();
    assert_eq!(seer.table.len(), 2, "not before End-of-RIB");
    sender.send(&update(&[], &[], &[]));
    seer.await_gone("198.51.100.0/24");
    assert!(seer.route(ROUTE).is_some());
    // A NOTIFICATION ends it all: the N bit was not agreed on (RFC 8538).
    sender.send(&octets::message(octets::NOTIFICATION, &[6, 2]));
    seer.await_gone(ROUTE);
}

#[test]
fn keys_of_the_as_path() {
    let rig = Rig::new(
        &(neighbor(1, 64501, "allow_as_in = 1")
            + &neighbor(2, 64502, "as_override = true")
            + &neighbor(3, 64503, "remove_private_as = true")
            + &neighbor(4, 64504, "default_originate = true\nexport = \"reject\"")
            + &neighbor(5, OUR_AS, "")),
    );
    let mut sender = Peer::up(&rig, 1, 64501);
    let (mut overridden, mut public) = (Peer::up(&rig, 2, 64502), Peer::up(&rig, 3, 64503));
    let mut inside = Peer::up(&rig, 5, OUR_AS);
    sender.announce_plain(&[64501, OUR_AS], "10.0.0.1", &[ROUTE]);
    assert_eq!(inside.expect_route(ROUTE).path(), "64501 65000");
    sender.announce_plain(&[64501, OUR_AS, OUR_AS], "10.0.0.1", &[ROUTE]);
    inside.await_gone(ROUTE);
    sender.announce_plain(&[64501, 64502], "10.0.0.1", &[ROUTE]);
    assert_eq!(overridden.await_route(ROUTE, |_| true).path(), "65000 64501 65000");
    sender.announce_plain(&[64501, 64512, 65534], "10.0.0.1", &[ROUTE]);
    public.await_route(ROUTE, |route| route.path() == "65000 64501");
    let mut default = Peer::up(&rig, 4, 64504);
    assert_eq!(default.expect_route("0.0.0.0/0").path(), "65000");
    default.settle();
    assert_eq!(default.table.len(), 1);
}

#[test]
fn aggregates() {
    let aggregate = "[[aggregate]]\nprefix = \"198.51.100.0/22\"\nsummary_only = true\n";
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, "") + aggregate));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502));
    sender.announce_plain(&[64501], "10.0.0.1", &["198.51.100.0/24"]);
    let route = seer.expect_route("198.51.100.0/22");
    assert_eq!((route.value(7).map(<[u8]>::len), route.next_hop().as_str()), (Some(8), "127.0.0.1"));
    seer.calm(30);
    assert!(seer.route("198.51.100.0/24").is_none(), "summary only");
    sender.withdraw(&["198.51.100.0/24"]);
    seer.await_gone("198.51.100.0/22");
}
