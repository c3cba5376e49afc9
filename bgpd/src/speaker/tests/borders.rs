//! What happens at borders: of the AS, of the confederation, of a route server, of an address family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::BytesMut;
use rib::{Discard, IfIndex, NextHop};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, neighbor6, net, service};
use crate::config::{Confederation, NeighborConfig, PolicyRef, Role, SpeakerConfig};
use crate::policy::{Action, NextHopSetting, Policy, PolicySet, Rule, Set};
use crate::speaker::message::{Explanation, LocalRoute, Query, Reply};
use crate::wire::attr::{
    Aggregator, EncodeContext, NextHopAttr, PathAttributes, PeerKind, Segment, SegmentKind, community,
};
use crate::wire::update::{self, Packing};

const HOP: &str = "198.51.100.1";
const PREFIX: &str = "192.0.2.0/24";

fn explain(rig: &Rig) -> Explanation {
    match rig.view(&Query::Explain { prefix: net(PREFIX), neighbor: None }) {
        Reply::Explain(explanation) => explanation,
        other => panic!("{other:?}"),
    }
}

/// What neighbor `n` was told for [`PREFIX`].
fn told(rig: &mut Rig, n: u8) -> Option<PathAttributes> {
    rig.fake(n).view.get(&net(PREFIX)).cloned()
}

fn with(path: &[u32], change: impl FnOnce(&mut PathAttributes)) -> PathAttributes {
    let mut attributes = attributes(path, HOP);
    change(&mut attributes);
    attributes
}

fn policies(rules: Vec<(&str, Set)>) -> Arc<PolicySet> {
    let mut policies = PolicySet::default();
    for (name, set) in rules {
        let rule = Rule { set, action: Action::Accept, ..Rule::default() };
        policies.policies.insert(name.into(), Policy { rules: vec![rule], ..Policy::default() });
    }
    Arc::new(policies)
}

fn chain(name: &str) -> PolicyRef {
    PolicyRef::Chain(vec![name.into()])
}

/// RFC 9234 §5 from neighbor to neighbor: for each of our roles on both sides, what becomes of a route without
/// ONLY_TO_CUSTOMER, with the sender's AS in it, and with another.
#[test]
fn routes_marked_only_to_customer_go_down_only() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    let roles = [Provider, Customer, Peer, RouteServer, RouteServerClient];
    for from in roles {
        for to in roles {
            let role = |role, neighbor: NeighborConfig| NeighborConfig { role: Some(role), ..neighbor };
            let mut rig = Rig::up(config(vec![role(from, neighbor(1, 65001)), role(to, neighbor(2, 65002))]));
            for received in [None, Some(65001), Some(7)] {
                rig.announce(1, PREFIX, &with(&[65001], |set| set.only_to_customer = received)).settle();
                // From below nothing marked is taken, from a peer only its own mark.
                let leak = match from {
                    Provider | RouteServer => received.is_some(),
                    Peer => received == Some(7),
                    Customer | RouteServerClient => false,
                };
                let marked = match from {
                    Provider | RouteServer => None,
                    Customer | Peer | RouteServerClient => received.or(Some(65001)),
                };
                let expected = match to {
                    _ if leak => None,
                    Provider | RouteServer => Some(marked.or(Some(OUR_AS))),
                    Customer | RouteServerClient if marked.is_none() => Some(None),
                    Peer if marked.is_none() => Some(Some(OUR_AS)),
                    Customer | RouteServerClient | Peer => None,
                };
                let told = told(&mut rig, 2).map(|set| set.only_to_customer);
                assert_eq!(told, expected, "we are {from:?} to the sender, {to:?} to the receiver, OTC {received:?}");
                let explained = explain(&rig);
                if leak {
                    assert!(explained.candidates[0].reason.starts_with("route leak (RFC 9234)"), "{explained:?}");
                } else if expected.is_none() {
                    assert!(explained.exports[1].reason.starts_with("RFC 9234:"), "{explained:?}");
                }
            }
        }
    }
}

#[test]
fn internal_neighbors_and_those_without_role_only_pass_otc_on() {
    let provider = NeighborConfig { role: Some(Role::Customer), ..neighbor(1, 65001) };
    let internal = NeighborConfig { role: Some(Role::Provider), ..neighbor(3, OUR_AS) };
    let mut rig = Rig::up(config(vec![provider, neighbor(2, 65002), internal]));
    rig.announce(1, PREFIX, &attributes(&[65001], HOP)).settle();
    assert_eq!(told(&mut rig, 2).expect("told").only_to_customer, Some(65001));
    assert_eq!(told(&mut rig, 3).expect("told").only_to_customer, Some(65001));
    rig.announce(2, "203.0.113.0/24", &attributes(&[65002], HOP)).settle();
    assert_eq!(rig.fake(3).view[&net("203.0.113.0/24")].only_to_customer, None);
}

#[test]
fn two_neighbors_that_send_the_same_octets_are_judged_each_by_its_own_rules() {
    let lenient = NeighborConfig { allow_as_in: 1, ..neighbor(1, OUR_AS) };
    let mut rig = Rig::up(config(vec![lenient, neighbor(2, OUR_AS), neighbor(3, 65003)]));
    let own = attributes(&[65009, OUR_AS], HOP);
    rig.announce(2, PREFIX, &own).settle();
    assert_eq!(told(&mut rig, 3), None);
    rig.announce(1, PREFIX, &own).settle();
    assert_eq!(rig.told(3, PREFIX), Some(vec![OUR_AS, 65009, OUR_AS]));
    let explained = explain(&rig);
    assert_eq!(explained.candidates[0].reason, "the only usable path");
    assert_eq!(explained.candidates[1].reason, "our own AS 64512 is in the AS_PATH");
    rig.announce(1, PREFIX, &attributes(&[65009, OUR_AS, 65010, OUR_AS], HOP)).settle();
    assert_eq!(told(&mut rig, 3), None);
    let reason = "our own AS 64512 is 2 times in the AS_PATH, 1 allowed (allow_as_in)";
    assert!(explain(&rig).candidates.iter().any(|candidate| candidate.reason == reason));
    rig.assert_no_leak();
}

#[test]
fn graceful_shutdown_from_outside_means_the_last_resort_unless_policy_says_otherwise() {
    let mut own_mind = neighbor(3, 65003);
    own_mind.import = chain("prefer");
    let mut config = config(vec![neighbor(1, 65001), neighbor(2, OUR_AS), own_mind, neighbor(4, OUR_AS)]);
    config.policies = policies(vec![("prefer", Set { local_pref: Some(150), ..Set::default() })]);
    let mut rig = Rig::up(config);
    let leaving = |path: &[u32]| with(path, |set| set.communities = vec![community::GRACEFUL_SHUTDOWN]);
    rig.announce(1, PREFIX, &leaving(&[65001])).settle();
    let heard = told(&mut rig, 2).expect("told");
    assert_eq!((heard.local_pref, heard.communities), (Some(0), vec![community::GRACEFUL_SHUTDOWN]));
    rig.announce(3, PREFIX, &leaving(&[65003])).settle();
    assert_eq!(told(&mut rig, 2).expect("told").local_pref, Some(150));
    // Within the AS the border router has decided: LOCAL_PREF counts as it came.
    rig.withdraw(1, PREFIX).withdraw(3, PREFIX);
    rig.announce(
        4,
        PREFIX,
        &with(&[65009], |set| {
            set.communities = vec![community::GRACEFUL_SHUTDOWN];
            set.local_pref = Some(200);
        }),
    );
    rig.settle();
    assert_eq!(explain(&rig).candidates[0].path.imported.as_ref().expect("used").local_pref, Some(200));
    rig.assert_no_leak();
}

#[test]
fn a_blackhole_route_drops_packets_where_a_policy_let_it_in_and_stays_in_our_as() {
    let mut customer = neighbor(1, 65001);
    customer.import = chain("blackholes");
    let mut config = config(vec![customer, neighbor(2, 65002), neighbor(3, OUR_AS)]);
    config.policies = policies(vec![("blackholes", Set { med: Some(5), ..Set::default() })]);
    let mut rig = Rig::up(config);
    let hole = with(&[65001], |set| set.communities = vec![community::BLACKHOLE]);
    rig.announce(1, PREFIX, &hole).settle();
    let drop = NextHop::Discard(Discard::Blackhole);
    assert_eq!(rig.rib[&net(PREFIX)].next_hops.legs()[0].next_hop, drop);
    assert_eq!(told(&mut rig, 3).expect("told").communities, [community::BLACKHOLE, community::NO_EXPORT]);
    assert_eq!(told(&mut rig, 2), None);
    assert_eq!(explain(&rig).exports[1].reason, "NO_EXPORT");
    // "accept" is no policy about blackholes: the route forwards as any other, and stays in our AS all the same.
    let hole = with(&[65002], |set| set.communities = vec![community::BLACKHOLE]);
    rig.withdraw(1, PREFIX).announce(2, PREFIX, &hole).settle();
    assert_eq!(rig.rib[&net(PREFIX)].next_hops.legs()[0].next_hop, NextHop::via(HOP.parse().expect("an address")));
    assert_eq!(told(&mut rig, 1), None);
    rig.withdraw(2, PREFIX).settle();
    assert!(rig.rib.is_empty());
    rig.assert_no_leak();
}

#[test]
fn a_route_server_is_not_seen_between_its_clients() {
    let client = |n, asn| NeighborConfig { route_server_client: true, ..neighbor(n, asn) };
    let mut rig = Rig::up(config(vec![client(1, 65001), client(2, 65002), neighbor(3, 65003)]));
    let sent = with(&[65001, 65010], |set| {
        set.med = Some(70);
        set.communities = vec![65001 << 16 | 1, community::NO_EXPORT];
        set.extended_communities = vec![[0x43, 0, 0, 0, 0, 0, 0, 1]];
    });
    rig.announce(1, PREFIX, &sent).settle();
    assert_eq!(told(&mut rig, 2), Some(sent), "next hop, path, MED and communities are the sender's");
    assert_eq!(told(&mut rig, 3), None, "who is no client is an ordinary neighbor");
    rig.announce(1, PREFIX, &with(&[65001, 65010], |set| set.med = Some(70))).settle();
    let ordinary = told(&mut rig, 3).expect("told");
    assert_eq!((ordinary.as_path.to_string(), ordinary.med), (format!("{OUR_AS} 65001 65010"), None));
    assert_eq!(ordinary.next_hop.addr(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)));
    rig.local("203.0.113.0/24", Some(service())).settle();
    assert_eq!(rig.told(2, "203.0.113.0/24"), Some(vec![OUR_AS]), "our own routes have our AS");
    rig.announce(1, PREFIX, &attributes(&[65001, OUR_AS], HOP)).settle();
    assert_eq!(told(&mut rig, 2), None, "loops are found as usual");
}

#[test]
fn a_client_of_a_route_server_takes_paths_that_begin_with_others() {
    let server = NeighborConfig { role: Some(Role::RouteServerClient), ..neighbor(1, 65001) };
    let mut rig = Rig::up(config(vec![server, neighbor(2, 65002)]));
    rig.announce(1, PREFIX, &attributes(&[65010, 65011], HOP)).settle();
    assert_eq!(rig.told(2, PREFIX), Some(vec![OUR_AS, 65010, 65011]));
    rig.announce(2, "203.0.113.0/24", &attributes(&[65010], HOP)).settle();
    assert!(!rig.rib.contains_key(&net("203.0.113.0/24")), "others have to begin with their own AS");
}

const CONFEDERATION: u32 = 64999;
const MEMBER: u32 = 64513;

fn confederation(neighbors: Vec<NeighborConfig>) -> SpeakerConfig {
    let confederation = Confederation { id: CONFEDERATION, members: vec![MEMBER, 64514] };
    SpeakerConfig { confederation: Some(confederation), ..config(neighbors) }
}

fn segment(kind: SegmentKind, asns: &[u32]) -> Segment {
    Segment { kind, asns: asns.iter().copied().collect() }
}

/// The network of RFC 5065: an outside neighbor, one in another member AS, one in ours, and another outside.
#[test]
fn a_confederation_is_one_as_from_outside_and_several_within() {
    let neighbors = vec![neighbor(1, 65001), neighbor(2, MEMBER), neighbor(3, OUR_AS), neighbor(4, 65004)];
    let mut rig = Rig::up(confederation(neighbors));
    rig.announce(1, PREFIX, &with(&[65001], |set| set.med = Some(9))).settle();
    let inside = told(&mut rig, 2).expect("told");
    assert_eq!(inside.as_path.to_string(), format!("({OUR_AS}) 65001"));
    assert_eq!(
        (inside.local_pref, inside.med, inside.next_hop.addr()),
        (Some(100), Some(9), HOP.parse::<IpAddr>().expect("an address"),)
    );
    assert_eq!(told(&mut rig, 3).expect("told").as_path.to_string(), "65001");
    assert_eq!(told(&mut rig, 4).expect("told").as_path.to_string(), format!("{CONFEDERATION} 65001"));

    // From the other member: its segments go no further than the confederation.
    rig.withdraw(1, PREFIX);
    let far = with(&[65009], |set| {
        set.local_pref = Some(130);
        set.as_path.segments.insert(0, segment(SegmentKind::ConfedSequence, &[MEMBER, 64514]));
    });
    rig.announce(2, PREFIX, &far).settle();
    let within = told(&mut rig, 3).expect("told");
    assert_eq!((within.as_path.to_string(), within.local_pref), (format!("({MEMBER} 64514) 65009"), Some(130)));
    assert_eq!(told(&mut rig, 4).expect("told").as_path.to_string(), format!("{CONFEDERATION} 65009"));
    assert_eq!(rig.rib[&net(PREFIX)].protocol, rib::Protocol::Ibgp);

    // A loop is our member AS in their segments, and the confederation in the others; not the other way round.
    let rows = [
        (vec![MEMBER, OUR_AS], vec![65009], Some("our own AS 64512 is in the AS_PATH")),
        (vec![MEMBER], vec![65009, CONFEDERATION], Some("our own AS 64999 is in the AS_PATH")),
        (vec![MEMBER], vec![65009, OUR_AS], None),
    ];
    for (confed, path, refusal) in rows {
        let set = with(&path, |set| set.as_path.segments.insert(0, segment(SegmentKind::ConfedSequence, &confed)));
        rig.announce(2, PREFIX, &set).settle();
        let reason = explain(&rig).candidates[0].reason.clone();
        assert_eq!(reason, refusal.unwrap_or("the only usable path"), "({confed:?}) {path:?}");
    }
    rig.assert_no_leak();
}

#[test]
fn communities_know_the_confederation() {
    let neighbors = vec![neighbor(1, OUR_AS), neighbor(2, MEMBER), neighbor(4, 65004)];
    let mut rig = Rig::up(confederation(neighbors));
    let rows = [
        (community::NO_EXPORT, true, ["", "NO_EXPORT"]),
        (community::NO_EXPORT_SUBCONFED, false, ["NO_EXPORT_SUBCONFED", "NO_EXPORT_SUBCONFED"]),
        (community::NO_ADVERTISE, false, ["NO_ADVERTISE", "NO_ADVERTISE"]),
    ];
    for (community, to_member, reasons) in rows {
        rig.announce(1, PREFIX, &with(&[65001], |set| set.communities = vec![community])).settle();
        assert_eq!(told(&mut rig, 2).is_some(), to_member, "{community:x}");
        assert_eq!(told(&mut rig, 4), None);
        let exports = explain(&rig).exports;
        for (export, reason) in exports[1..].iter().zip(reasons) {
            assert!(export.announced || export.reason == reason, "{export:?}");
        }
    }
    rig.announce(1, PREFIX, &with(&[65001], |set| set.communities = vec![community::NO_PEER])).settle();
    assert_eq!(told(&mut rig, 4).expect("told").communities, [community::NO_PEER]);
}

#[test]
fn an_external_path_wins_over_one_of_another_member_as() {
    let mut rig = Rig::up(confederation(vec![neighbor(1, 65001), neighbor(2, MEMBER), neighbor(3, OUR_AS)]));
    let confed = with(&[65009], |set| {
        set.as_path.segments.insert(0, segment(SegmentKind::ConfedSequence, &[MEMBER]));
    });
    rig.announce(2, PREFIX, &confed).announce(1, PREFIX, &attributes(&[65001], HOP)).settle();
    let explained = explain(&rig);
    assert_eq!(explained.candidates[0].path.attributes.as_path.to_string(), "65001");
    assert_eq!(explained.candidates[0].reason, "external over internal");
}

#[test]
fn private_numbers_are_removed_and_the_neighbors_own_is_replaced() {
    let clean = NeighborConfig { remove_private_as: true, ..neighbor(2, 3356) };
    let kept = NeighborConfig { remove_private_as: true, ..neighbor(3, 65003) };
    let customer = NeighborConfig { as_override: true, ..neighbor(4, 65010) };
    let internal = NeighborConfig { remove_private_as: true, as_override: true, ..neighbor(5, OUR_AS) };
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), clean, kept, customer, internal]));
    let path = [65001, 174, 64511, 65003, 65534, 65535, 65010, 4_199_999_999, 4_200_000_000, 4_294_967_294];
    rig.announce(1, PREFIX, &attributes(&path, HOP)).settle();
    let whole = |rig: &mut Rig, n| rig.told(n, PREFIX).expect("told");
    assert_eq!(whole(&mut rig, 2), [OUR_AS, 174, 64511, 65535, 4_199_999_999], "RFC 6996 §5, to the number");
    assert_eq!(whole(&mut rig, 3), [OUR_AS, 174, 64511, 65003, 65535, 4_199_999_999], "but for its own");
    let mut overridden = vec![OUR_AS];
    overridden.extend(path.map(|asn| if asn == 65010 { OUR_AS } else { asn }));
    assert_eq!(whole(&mut rig, 4), overridden);
    assert_eq!(whole(&mut rig, 5), path, "within the AS nothing is touched");
}

#[test]
fn the_local_as_is_all_that_its_neighbor_sees_and_a_loop_there_only() {
    let old = NeighborConfig { local_asn: Some(65100), ..neighbor(1, 65001) };
    let mut rig = Rig::up(config(vec![old, neighbor(2, 65002), neighbor(3, 65003)]));
    rig.announce(2, PREFIX, &attributes(&[65002], HOP)).settle();
    assert_eq!(rig.told(1, PREFIX), Some(vec![65100, 65002]));
    rig.announce(2, PREFIX, &attributes(&[65002, 65100], HOP)).settle();
    assert_eq!(rig.told(3, PREFIX), Some(vec![OUR_AS, 65002, 65100]), "another AS, seen from others");
    rig.withdraw(2, PREFIX).announce(1, PREFIX, &attributes(&[65001, 65100], HOP)).settle();
    assert_eq!(explain(&rig).candidates[0].reason, "our own AS 65100 is in the AS_PATH");
}

#[test]
fn med_and_non_transitive_communities_end_at_the_border_unless_policy_sets_them() {
    let mut engineered = neighbor(3, 65003);
    engineered.export = chain("med");
    let mut config = config(vec![neighbor(1, 65001), neighbor(2, 65002), engineered, neighbor(4, OUR_AS)]);
    config.policies = policies(vec![("med", Set { med: Some(33), ..Set::default() })]);
    let mut rig = Rig::up(config);
    let (target, bandwidth) = ([0, 2, 0, 1, 0, 0, 0, 1], [0x40, 4, 0, 1, 0, 0, 0, 1]);
    rig.announce(
        1,
        PREFIX,
        &with(&[65001], |set| {
            set.med = Some(9);
            set.extended_communities = vec![target, bandwidth];
        }),
    );
    rig.settle();
    let outside = told(&mut rig, 2).expect("told");
    assert_eq!((outside.med, outside.extended_communities), (None, vec![target]));
    assert_eq!(told(&mut rig, 3).expect("told").med, Some(33));
    let inside = told(&mut rig, 4).expect("told");
    assert_eq!((inside.med, inside.local_pref), (Some(9), Some(100)));
    assert_eq!(inside.extended_communities, [target, bandwidth]);
}

#[test]
fn next_hops_of_both_families_over_either_transport() {
    let mut rig = Rig::new(config(vec![neighbor(1, 65001), neighbor6(2, 65002), neighbor6(3, 65003)]));
    rig.extended_next_hops.insert(2);
    for at in 0..3 {
        rig.connect(at);
    }
    rig.settle();
    rig.announce(1, PREFIX, &attributes(&[65001], HOP));
    rig.announce(1, "2001:db8:1::/48", &attributes(&[65001], "2001:db8::1")).settle();
    let ours = Ipv6Addr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let plain = NextHopAttr::V4(Ipv4Addr::new(10, 0, 0, 100));
    let over_ipv6 = NextHopAttr::V6 { global: ours, link_local: None };
    assert_eq!(told(&mut rig, 2).expect("told").next_hop, plain, "the address of the link, not the router id");
    assert_eq!(told(&mut rig, 3).expect("told").next_hop, over_ipv6, "RFC 8950");
    assert_eq!(rig.fake(2).view[&net("2001:db8:1::/48")].next_hop, over_ipv6);
    // And in: an IPv4 route through an IPv6 next hop, which others are told with an address of ours.
    let sent = PathAttributes { next_hop: attributes(&[], "2001:db8::3").next_hop, ..attributes(&[65003], HOP) };
    rig.announce(3, "203.0.113.0/24", &sent).settle();
    let through = NextHop::via("2001:db8::3".parse().expect("an address"));
    assert_eq!(rig.rib[&net("203.0.113.0/24")].next_hops.legs()[0].next_hop, through);
    assert_eq!(rig.fake(2).view[&net("203.0.113.0/24")].next_hop, plain);
    assert_eq!(rig.fake(1).view[&net("203.0.113.0/24")].next_hop, plain);
    rig.withdraw(3, "203.0.113.0/24").settle();
    assert_eq!(rig.fake(1).view.get(&net("203.0.113.0/24")), None);

    // Without an address of the family nothing invalid is said, and people are told why.
    let link = |address: &str| crate::speaker::message::LinkAddress { link: 2, address: net(address) };
    rig.input(crate::speaker::message::Input::Addresses(vec![link("2001:db8::100/64")]));
    rig.settle();
    assert_eq!(told(&mut rig, 2), None);
    assert_eq!(told(&mut rig, 3).expect("told").next_hop, over_ipv6);
    assert!(explain(&rig).exports[1].reason.starts_with("no address of ours is known"), "{:?}", explain(&rig).exports);
    rig.input(crate::speaker::message::Input::Addresses(vec![link("2001:db8::100/64"), link("10.0.0.100/24")]));
    rig.settle();
    assert_eq!(told(&mut rig, 2).expect("told").next_hop, plain);
}

#[test]
fn a_link_local_next_hop_is_on_the_link_of_its_session_and_goes_no_further() {
    let mut rig = Rig::up(config(vec![neighbor6(1, 65001), neighbor(2, OUR_AS)]));
    rig.announce(1, "2001:db8:1::/48", &attributes(&[65001], "fe80::1")).settle();
    let leg = rig.rib[&net("2001:db8:1::/48")].next_hops.legs()[0].next_hop;
    let addr = "fe80::1".parse().expect("an address");
    assert_eq!(leg, NextHop::Gateway { addr, interface: Some(IfIndex(2)), onlink: false });
    let told = rig.fake(2).view[&net("2001:db8:1::/48")].next_hop.addr();
    assert_eq!(told, "2001:db8::100".parse::<IpAddr>().expect("an address"), "ours instead");
    rig.withdraw(1, "2001:db8:1::/48").settle();
    assert!(rig.rib.is_empty());
    rig.assert_no_leak();
}

#[test]
fn policies_set_next_hops_on_export_and_next_hop_self_leaves_reflected_routes_alone() {
    let set = |next_hop| Set { next_hop: Some(next_hop), ..Set::default() };
    let export = |n, asn, name| NeighborConfig { export: chain(name), ..neighbor(n, asn) };
    let client = NeighborConfig { route_reflector_client: true, next_hop_self: true, ..neighbor(5, OUR_AS) };
    let neighbors = vec![
        neighbor(1, 65001),
        export(2, 65002, "unchanged"),
        export(3, 65003, "given"),
        export(4, OUR_AS, "self"),
        client,
        neighbor(6, OUR_AS),
    ];
    let mut config = config(neighbors);
    let given: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
    config.policies = policies(vec![
        ("unchanged", set(NextHopSetting::Unchanged)),
        ("given", set(NextHopSetting::Address(given.into()))),
        ("self", set(NextHopSetting::Own)),
    ]);
    let mut rig = Rig::up(config);
    rig.announce(1, PREFIX, &attributes(&[65001], HOP)).settle();
    let ours: IpAddr = "10.0.0.100".parse().expect("an address");
    let hop: IpAddr = HOP.parse().expect("an address");
    for (n, expected) in [(2, hop), (3, given.into()), (4, ours), (5, ours), (6, hop)] {
        assert_eq!(told(&mut rig, n).expect("told").next_hop.addr(), expected, "neighbor {n}");
    }
    rig.withdraw(1, PREFIX).announce(6, PREFIX, &attributes(&[65001], HOP)).settle();
    assert_eq!(told(&mut rig, 5).expect("told").next_hop.addr(), hop, "RFC 4456 §10");
}

/// RFC 6793: AS_TRANS where two octets do not do, the truth beside it, and both put together again.
#[test]
fn a_neighbor_of_two_octets_loses_nothing() {
    let wide = NeighborConfig { local_asn: Some(4_200_000_100), ..neighbor(2, 65002) };
    let mut rig = Rig::new(config(vec![neighbor(1, 65001), wide, neighbor(3, 65003)]));
    rig.two_octets.extend([1, 2]);
    for at in 0..3 {
        rig.connect(at);
    }
    rig.settle();
    let aggregator = Some(Aggregator { asn: 196_613, router_id: Ipv4Addr::new(10, 9, 9, 9) });
    rig.announce(1, PREFIX, &with(&[65001, 196_612, 174], |set| set.aggregator = aggregator)).settle();
    // The fake reads as a two-octet speaker that knows AS4_PATH.
    assert_eq!(rig.told(2, PREFIX), Some(vec![4_200_000_100, 65001, 196_612, 174]));
    assert_eq!(told(&mut rig, 2).expect("told").aggregator, aggregator);
    assert_eq!(rig.told(3, PREFIX), Some(vec![OUR_AS, 65001, 196_612, 174]));
    // And back: what it sends is the two-octet form.
    let sent = with(&[65003, 196_620], |set| set.aggregator = aggregator);
    let mut encoded = BytesMut::new();
    sent.encode(&mut encoded, &EncodeContext { as4: false, peer: PeerKind::External, plain: true });
    let mut octets = BytesMut::new();
    let ipnet::IpNet::V4(prefix) = net("203.0.113.0/24") else { return };
    let packing = Packing::new(rib::AddressFamily::Ipv4);
    update::encode_reach::<rib::V4>(&encoded, &sent.next_hop, [(0, prefix)], &packing, &mut octets).expect("fits");
    rig.send(3, octets).settle();
    assert_eq!(rig.told(1, "203.0.113.0/24"), Some(vec![OUR_AS, 65003, 196_620]));
    assert_eq!(rig.fake(1).view[&net("203.0.113.0/24")].aggregator, aggregator);
}

#[test]
fn a_role_takes_effect_on_our_own_routes() {
    let customer = NeighborConfig { role: Some(Role::Provider), ..neighbor(1, 65001) };
    let provider = NeighborConfig { role: Some(Role::Customer), ..neighbor(2, 65002) };
    let mut rig = Rig::up(config(vec![customer, provider]));
    rig.local(PREFIX, Some(LocalRoute { protocol: rib::Protocol::Static, ..service() })).settle();
    assert_eq!(told(&mut rig, 1).expect("told").only_to_customer, Some(OUR_AS));
    assert_eq!(told(&mut rig, 2).expect("told").only_to_customer, None);
}
