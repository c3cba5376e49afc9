//! Next hops that nobody can be forwarded to, and whose they are (RFC 4271 §5.1.3, §6.3; RFC 4760 §3; RFC 2545 §3; RFC 8950 §4).

use super::octets::{self, mp_reach, next_hop, nlri, origin, path, update, v6};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";
const SIX: &str = "2001:db8:7::/48";
const BOTH: &str = "families = [\"ipv4-unicast\", \"ipv6-unicast\"]";

fn good() -> [Vec<u8>; 3] {
    [origin(0), path(&[AS]), next_hop("10.0.0.1")]
}

#[test]
fn an_address_of_this_host_is_no_next_hop() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, OUR_AS, "") + &neighbor(3, 64503, "")));
    rig.set_address("10.0.0.77/24", true);
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, OUR_AS));
    let mut rival = Peer::up(&rig, 3, 64503);
    sender.announce_plain(&[AS], "10.0.0.77", &[ROUTE]);
    sender.flush_to(&mut seer, &good());
    assert!(seer.route(ROUTE).is_none());
    // Whatever else there is is used.
    rival.announce_plain(&[64503, 1, 2, 3], "10.0.0.3", &[ROUTE]);
    seer.await_route(ROUTE, |route| route.path() == "64503 1 2 3");
    rig.await_forwarding(ROUTE, "10.0.0.3*1");
    // It may become somebody else's address, and ours again.
    rig.set_address("10.0.0.77/24", false);
    seer.await_route(ROUTE, |route| route.path() == "64501");
    rig.set_address("10.0.0.77/24", true);
    seer.await_route(ROUTE, |route| route.path() == "64503 1 2 3");
    rival.withdraw(&[ROUTE]);
    seer.await_gone(ROUTE);
}

#[test]
fn next_hops_that_are_no_hosts_are_refused() {
    let rig = Rig::new(&(neighbor(1, AS, BOTH) + &neighbor(2, OUR_AS, BOTH)));
    let (mut sender, mut seer) = (Peer::up_dual(&rig, 1, AS), Peer::up_dual(&rig, 2, OUR_AS));
    for hop in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.5", "239.255.255.255", "240.0.0.1"] {
        sender.announce(&good(), &[ROUTE]);
        seer.expect_route(ROUTE);
        sender.announce_plain(&[AS], hop, &[ROUTE]);
        seer.await_gone(ROUTE);
        // The same in MP_REACH_NLRI.
        let octets = hop.parse::<std::net::Ipv4Addr>().expect("an address").octets();
        sender.announce(&good(), &[ROUTE]);
        seer.expect_route(ROUTE);
        let reach = mp_reach(1, &octets, &nlri(&[ROUTE]));
        sender.send(&update(&[], &[reach, origin(0), path(&[AS])].concat(), &[]));
        seer.await_gone(ROUTE);
    }
    let six = |hop: &[u8]| update(&[], &[mp_reach(2, hop, &nlri(&[SIX])), origin(0), path(&[AS])].concat(), &[]);
    for hop in ["::", "::1", "ff02::1", "ff0e::7"] {
        sender.send(&six(&v6("2001:db8::1")));
        seer.expect_route(SIX);
        sender.send(&six(&v6(hop)));
        seer.await_gone(SIX);
    }
    assert_eq!(rig.neighbor(1).established_count, 1);
}

#[test]
fn an_ipv6_next_hop_of_ipv4_routes_that_was_not_agreed_on_withdraws_them() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, OUR_AS, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, OUR_AS));
    sender.announce(&good(), &[ROUTE]);
    seer.expect_route(ROUTE);
    let reach = mp_reach(1, &v6("2001:db8::1"), &nlri(&[ROUTE]));
    sender.send(&update(&[], &[reach, origin(0), path(&[AS])].concat(), &[]));
    seer.await_gone(ROUTE);
    sender.announce(&good(), &[ROUTE]);
    seer.expect_route(ROUTE);
}

#[test]
fn next_hop_beside_mp_reach_counts_for_the_other_routes_only() {
    // RFC 4760 §3: to be ignored for what is in MP_REACH_NLRI, even if it is malformed where there are no other routes.
    let rig = Rig::new(&(neighbor(1, AS, BOTH) + &neighbor(2, OUR_AS, BOTH)));
    let (mut sender, mut seer) = (Peer::up_dual(&rig, 1, AS), Peer::up_dual(&rig, 2, OUR_AS));
    let reach = mp_reach(2, &v6("2001:db8::1"), &nlri(&[SIX]));
    for beside in [next_hop("10.0.0.1"), next_hop("0.0.0.0"), octets::attribute(0x40, 3, &[1, 2, 3])] {
        sender.send(&update(&[], &[reach.clone(), origin(0), path(&[AS]), beside].concat(), &[]));
        assert_eq!(seer.expect_route(SIX).next_hop(), "2001:db8::1");
        sender.send(&update(&[], &octets::mp_unreach(2, &nlri(&[SIX])), &[]));
        seer.await_gone(SIX);
    }
    sender.send(&update(&[], &[reach, good().concat()].concat(), &nlri(&[ROUTE])));
    assert_eq!(seer.expect_route(SIX).next_hop(), "2001:db8::1");
    assert_eq!(seer.expect_route(ROUTE).next_hop(), "10.0.0.1");
}
