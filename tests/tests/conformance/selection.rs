//! Each step of the decision with two neighbors that offer the same prefix and a third that is told the winner (RFC 4271 §9.1,
//! RFC 4456 §9), whichever of the two came first.

use super::octets::{self, attribute, clusters, local_pref, med, next_hop, origin, originator, path, segments};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, neighbor};

const ROUTE: &str = "192.0.2.0/24";

/// Attributes of the one that has to win and of the other.
struct Case {
    name: &'static str,
    winner: Vec<Vec<u8>>,
    loser: Vec<Vec<u8>>,
}

fn case(name: &'static str, winner: &[Vec<u8>], loser: &[Vec<u8>]) -> Case {
    Case { name, winner: winner.to_vec(), loser: loser.to_vec() }
}

/// The community that tells the two apart at the neighbor behind us.
fn marked(attributes: &[Vec<u8>], mark: u32) -> Vec<Vec<u8>> {
    let mut list = attributes.to_vec();
    list.push(octets::communities(&[mark]));
    list
}

fn run(first: &mut Peer, second: &mut Peer, seer: &mut Peer, cases: &[Case]) {
    const WON: u32 = 0xfbf0_0001;
    const LOST: u32 = 0xfbf0_0002;
    for Case { name, winner, loser } in cases {
        for winner_first in [true, false] {
            println!("{name}, the winner comes {}", if winner_first { "first" } else { "last" });
            let announce_winner = |first: &mut Peer| first.announce(&marked(winner, WON), &[ROUTE]);
            if winner_first {
                announce_winner(first);
                seer.await_route(ROUTE, |route| route.communities() == [WON]);
                second.announce(&marked(loser, LOST), &[ROUTE]);
                second.flush_to(seer, &loser[..]);
                assert_eq!(seer.expect_route(ROUTE).communities(), [WON], "{name}");
            } else {
                second.announce(&marked(loser, LOST), &[ROUTE]);
                seer.await_route(ROUTE, |route| route.communities() == [LOST]);
                announce_winner(first);
                seer.await_route(ROUTE, |route| route.communities() == [WON]);
            }
            // The other takes over when the winner goes, and all goes with it.
            first.withdraw(&[ROUTE]);
            seer.await_route(ROUTE, |route| route.communities() == [LOST]);
            second.withdraw(&[ROUTE]);
            seer.await_gone(ROUTE);
        }
    }
}

#[test]
fn between_external_neighbors_of_two_ases() {
    // The seer is internal: it is told as much as can be. Router ids: 10.255.1.1 and 10.255.1.2; the worse one wins.
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64502, "") + &neighbor(3, OUR_AS, "")));
    let (mut one, mut two) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64502));
    let mut seer = Peer::up(&rig, 3, OUR_AS);
    let hop = |n: u8| next_hop(&format!("10.0.0.{n}"));
    run(
        &mut two,
        &mut one,
        &mut seer,
        &[
            case("shorter path", &[origin(0), path(&[64502]), hop(2)], &[origin(0), path(&[64501, 7]), hop(1)]),
            case(
                "a set counts one",
                &[origin(0), segments(&[(2, &[64502]), (1, &[5, 6, 7, 8])]), hop(2)],
                &[origin(0), path(&[64501, 7, 8]), hop(1)],
            ),
            case("path before origin", &[origin(2), path(&[64502]), hop(2)], &[origin(0), path(&[64501, 7]), hop(1)]),
            case("IGP before EGP", &[origin(0), path(&[64502]), hop(2)], &[origin(1), path(&[64501]), hop(1)]),
            case("EGP before INCOMPLETE", &[origin(1), path(&[64502]), hop(2)], &[origin(2), path(&[64501]), hop(1)]),
            case(
                "LOCAL_PREF of an external neighbor is nothing",
                &[origin(0), path(&[64502]), hop(2)],
                &[origin(0), path(&[64501, 9]), hop(1), local_pref(900)],
            ),
        ],
    );
    let good = |n: u8| [origin(0), path(&[64500 + u32::from(n)]), hop(n)];
    run(
        &mut one,
        &mut two,
        &mut seer,
        &[
            case("lower router id", &good(1), &good(2)),
            // MED is not compared between two ASes.
            case(
                "MED of two ASes",
                &[good(1).to_vec(), vec![med(900)]].concat(),
                &[good(2).to_vec(), vec![med(1)]].concat(),
            ),
        ],
    );
}

#[test]
fn between_external_neighbors_of_one_as() {
    let rig = Rig::new(&(neighbor(1, 64501, "") + &neighbor(2, 64501, "") + &neighbor(3, OUR_AS, "")));
    let (mut one, mut two) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, 64501));
    let mut seer = Peer::up(&rig, 3, OUR_AS);
    let base = |n: u8, more: Vec<u8>| [origin(0), path(&[64501]), next_hop(&format!("10.0.0.{n}")), more];
    let plain = |n: u8| [origin(0), path(&[64501]), next_hop(&format!("10.0.0.{n}"))];
    run(
        &mut two,
        &mut one,
        &mut seer,
        &[
            case("lower MED", &base(2, med(5)), &base(1, med(6))),
            case("no MED is the lowest", &plain(2), &base(1, med(1))),
            case("MED is a number of 32 bits", &base(2, med(1)), &base(1, med(u32::MAX))),
        ],
    );
}

#[test]
fn between_internal_neighbors() {
    let rig = Rig::new(&(neighbor(1, OUR_AS, "") + &neighbor(2, OUR_AS, "") + &neighbor(3, 64599, "")));
    let (mut one, mut two) = (Peer::up(&rig, 1, OUR_AS), Peer::up(&rig, 2, OUR_AS));
    let mut seer = Peer::up(&rig, 3, 64599);
    let base = |n: u8, pref: u32| [origin(0), path(&[64700]), next_hop(&format!("10.0.0.{n}")), local_pref(pref)];
    let with = |n: u8, more: &[Vec<u8>]| [&base(n, 100)[..], more].concat();
    run(
        &mut two,
        &mut one,
        &mut seer,
        &[
            case("higher LOCAL_PREF", &base(2, 101), &base(1, 100)),
            case(
                "LOCAL_PREF before path",
                &[origin(2), path(&[64700, 8, 9]), next_hop("10.0.0.2"), local_pref(101)],
                &base(1, 100),
            ),
            case("no LOCAL_PREF is 100", &base(2, 101), &[origin(0), path(&[64700]), next_hop("10.0.0.1")]),
            case("LOCAL_PREF is a number of 32 bits", &base(2, u32::MAX), &base(1, 1)),
            // ORIGINATOR_ID stands for the router id (RFC 4456 §9).
            case("lower ORIGINATOR_ID", &with(2, &[originator("10.1.0.1")]), &with(1, &[originator("10.1.0.2")])),
            case(
                "shorter CLUSTER_LIST",
                &with(2, &[originator("10.1.0.1"), clusters(&["10.2.0.1"])]),
                &with(1, &[originator("10.1.0.1"), clusters(&["10.2.0.2", "10.2.0.3"])]),
            ),
        ],
    );
    run(
        &mut one,
        &mut two,
        &mut seer,
        &[
            case("lower router id", &base(1, 100), &base(2, 100)),
            case("lower address", &with(1, &[originator("10.1.0.1")]), &with(2, &[originator("10.1.0.1")])),
        ],
    );
}

#[test]
fn an_external_path_is_preferred_to_an_internal_one() {
    let rig = Rig::new(&(neighbor(1, OUR_AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64599, "")));
    let (mut internal, mut external) = (Peer::up(&rig, 1, OUR_AS), Peer::up(&rig, 2, 64502));
    let mut seer = Peer::up(&rig, 3, 64599);
    let external_path = [origin(0), path(&[64502]), next_hop("10.0.0.2")];
    run(
        &mut external,
        &mut internal,
        &mut seer,
        &[case(
            "eBGP before iBGP",
            &external_path,
            &[origin(0), path(&[64700]), next_hop("10.0.0.1"), local_pref(100)],
        )],
    );
    run(
        &mut internal,
        &mut external,
        &mut seer,
        &[case(
            "LOCAL_PREF before eBGP",
            &[origin(0), path(&[64700]), next_hop("10.0.0.1"), local_pref(101)],
            &external_path,
        )],
    );
}

#[test]
fn what_cannot_be_reached_is_not_passed_on() {
    let rig = Rig::new(&(neighbor(1, OUR_AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64599, "")));
    let (mut internal, mut external) = (Peer::up(&rig, 1, OUR_AS), Peer::up(&rig, 2, 64502));
    let mut seer = Peer::up(&rig, 3, 64599);
    let external_path = [origin(0), path(&[64502]), next_hop("10.0.0.2")];
    // 172.16.0.1 does not resolve: however good, the path does not count (RFC 4271 §9.1.2).
    internal.announce(&[origin(0), path(&[]), next_hop("172.16.0.1"), local_pref(900)], &[ROUTE]);
    internal.flush_to(&mut seer, &[origin(0), path(&[]), next_hop("10.0.0.1"), local_pref(100)]);
    assert!(seer.route(ROUTE).is_none());
    external.announce(&external_path, &[ROUTE]);
    assert_eq!(seer.expect_route(ROUTE).path(), "65000 64502");
    external.withdraw(&[ROUTE]);
    seer.await_gone(ROUTE);
}

#[test]
fn loops_are_refused() {
    let rig = Rig::with_bgp(
        "cluster_id = \"10.255.0.9\"",
        &(neighbor(1, 64501, "") + &neighbor(2, OUR_AS, "route_reflector_client = true") + &neighbor(3, 64599, "")),
    );
    let (mut external, mut internal) = (Peer::up(&rig, 1, 64501), Peer::up(&rig, 2, OUR_AS));
    let mut seer = Peer::up(&rig, 3, 64599);
    let good = [origin(0), path(&[64501]), next_hop("10.0.0.1")];
    let inside = [origin(0), path(&[64700]), next_hop("10.0.0.2"), local_pref(100)];
    for bad in [path(&[64501, 65000]), path(&[64501, 7, 65000, 8]), segments(&[(2, &[64501]), (1, &[3, 65000])])] {
        external.announce(&good, &[ROUTE]);
        seer.expect_route(ROUTE);
        external.announce(&[origin(0), bad, next_hop("10.0.0.1")], &[ROUTE]);
        external.flush_to(&mut seer, &good);
        assert!(seer.route(ROUTE).is_none(), "our AS is in the path");
    }
    for bad in [originator("10.255.0.1"), [originator("10.1.1.1"), clusters(&["10.4.4.4", "10.255.0.9"])].concat()] {
        internal.announce(&inside, &[ROUTE]);
        seer.expect_route(ROUTE);
        internal.announce(&[&inside[..], &[bad]].concat(), &[ROUTE]);
        internal.flush_to(&mut seer, &inside);
        assert!(seer.route(ROUTE).is_none(), "it has been here (RFC 4456 §8)");
    }
    // AS_TRANS, private and documentation AS numbers are no loops.
    for fine in [path(&[64501, 23456]), path(&[64501, 64512, 65534]), attribute(0x40, 2, &[2, 1, 0, 0, 0xfb, 0xf5])] {
        external.announce(&[origin(0), fine, next_hop("10.0.0.1")], &[ROUTE]);
        seer.expect_route(ROUTE);
    }
}
