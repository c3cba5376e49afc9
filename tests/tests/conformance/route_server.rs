//! A route server (RFC 7947): what its clients say is told as they said it, and each is told the best that its policies leave to it.

use super::octets::{
    attribute, communities, four_octet_as, med, mp_reach, multiprotocol, next_hop, nlri, origin, path, update, v6,
};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const ROUTE: &str = "192.0.2.0/24";
const CLIENT: &str = "route_server_client = true";

fn clients(count: u8) -> String {
    (1..=count).map(|n| neighbor(n, 64500 + u32::from(n), CLIENT)).collect()
}

#[test]
fn attributes_pass_as_they_are_and_others_are_told_as_by_any_router() {
    let rig = Rig::new(&(clients(2) + &neighbor(3, 64503, "") + &neighbor(4, OUR_AS, "")));
    let (mut one, mut two) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502));
    let (mut outside, mut inside) = (Peer::up(&rig, 3, 64503), Peer::up(&rig, 4, OUR_AS));
    let large = attribute(0xc0, 32, &[0, 0, 0xfb, 0xf5, 0, 0, 0, 1, 0, 0, 0, 2]);
    let unknown = attribute(0xc0, 99, &[1, 2, 3]);
    // RFC 7947 §2.2.1 to §2.2.4, NO_EXPORT among the communities: they are for the clients.
    let all = [origin(1), path(&[64501, 64999]), next_hop("10.0.0.1"), med(9)];
    let optional = [communities(&[0x0001_0002, 0xffff_ff01]), large, unknown];
    one.announce(&[&all[..], &optional].concat(), &[ROUTE]);
    let told = two.expect_route(ROUTE);
    assert_eq!((told.path().as_str(), told.next_hop().as_str(), told.med()), ("64501 64999", "10.0.0.1", Some(9)));
    assert_eq!((told.communities(), told.codes()), (vec![0x0001_0002, 0xffff_ff01], vec![1, 2, 3, 4, 8, 32, 99]));
    assert_eq!(inside.expect_route(ROUTE).path(), "64501 64999");
    // For who is no client it is an ordinary route: NO_EXPORT counts, then our AS and next hop are put in.
    outside.settle();
    assert!(outside.route(ROUTE).is_none());
    one.announce(&all, &[ROUTE]);
    let told = outside.expect_route(ROUTE);
    assert_eq!((told.path().as_str(), told.next_hop().as_str(), told.med()), ("65000 64501 64999", "127.0.0.1", None));
    // And what comes from such a one is told to clients as by any router.
    outside.announce_plain(&[64503], "10.0.0.3", &["198.51.100.0/24"]);
    let told = two.expect_route("198.51.100.0/24");
    assert_eq!((told.path().as_str(), told.next_hop().as_str()), ("65000 64503", "127.0.0.1"));
}

#[test]
fn each_client_is_told_the_best_that_its_policy_leaves_to_it() {
    let policy = "[[policy]]\nname = \"picky\"\ndefault = \"accept\"\n\
                  rules = [ { match = { community = \"0:1\" }, action = \"reject\" } ]\n";
    let picky = format!("{CLIENT}\nexport = \"picky\"");
    let rig = Rig::new(&(clients(2) + &neighbor(3, 64503, &picky) + &neighbor(4, 64504, CLIENT) + policy));
    let mut peers: Vec<Peer> = (1..=4).map(|n| Peer::up(&rig, n, 64500 + u32::from(n))).collect();
    let best = [origin(0), path(&[64501]), next_hop("10.0.0.1"), communities(&[1])];
    peers[0].announce(&best, &[ROUTE]);
    peers[1].announce_plain(&[64502, 7], "10.0.0.2", &[ROUTE]);
    // RFC 7947 §2.3.1: the path that is kept from the third, and from its own author, hides nothing from them.
    for (at, expected) in [(0, "64502 7"), (1, "64501"), (2, "64502 7"), (3, "64501")] {
        peers[at].await_route(ROUTE, |route| route.path() == expected);
    }
    // Each loses or keeps what it was told, not what somebody else was.
    peers[1].withdraw(&[ROUTE]);
    peers[0].await_gone(ROUTE);
    peers[2].await_gone(ROUTE);
    peers[3].settle();
    assert_eq!(peers[3].route(ROUTE).map(super::octets::Attributes::path).as_deref(), Some("64501"));
    assert!(peers[3].withdrawals.is_empty());
    // Without the mark it is for all.
    peers[0].announce(&best[..3], &[ROUTE]);
    peers[2].await_route(ROUTE, |route| route.path() == "64501");
}

#[test]
fn ipv6_keeps_its_next_hop_and_our_own_as_in_a_path_is_a_loop() {
    let both = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]\nroute_server_client = true";
    let rig = Rig::new(&(neighbor(1, 64501, both) + &neighbor(2, 64502, both)));
    let (mut one, mut two) = (Peer::up_dual(&rig, 1, 64501), Peer::up_dual(&rig, 2, 64502));
    let say = |peer: &mut Peer, asns: &[u32]| {
        let reach = mp_reach(2, &v6("2001:db8::1"), &nlri(&["2001:db8:7::/48"]));
        peer.send(&update(&[], &[reach, origin(0), path(asns)].concat(), &[]));
    };
    say(&mut one, &[64501, 64777]);
    let told = two.expect_route("2001:db8:7::/48");
    assert_eq!((told.next_hop().as_str(), told.path().as_str()), ("2001:db8::1", "64501 64777"));
    say(&mut one, &[64501, OUR_AS]);
    two.await_gone("2001:db8:7::/48");
}

#[test]
fn a_client_with_path_identifiers_is_told_all_paths() {
    let several = format!("{CLIENT}\nadd_path = {{ send = 8 }}");
    let rig = Rig::new(&(clients(3) + &neighbor(4, 64504, &several)));
    let mut peers: Vec<Peer> = (1..=3).map(|n| Peer::up(&rig, n, 64500 + u32::from(n))).collect();
    let receives = [multiprotocol(1), four_octet_as(64504), (69, vec![0, 1, 1, 1])];
    let mut several = Peer::up_with(&rig, 4, 64504, &receives);
    several.reading.add_path = [true, false];
    for (peer, n) in peers.iter_mut().zip(1_u32..) {
        peer.announce_plain(&[64500 + n, 9], &format!("10.0.0.{n}"), &[ROUTE]);
    }
    several.await_table(|peer| peer.table.len() == 3);
    let mut told: Vec<_> = several.table.values().map(|route| (route.path(), route.next_hop())).collect();
    told.sort();
    let expected = [1, 2, 3].map(|n| (format!("{} 9", 64500 + n), format!("10.0.0.{n}")));
    assert_eq!(told, expected);
}
