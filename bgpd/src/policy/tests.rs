//! Stories of policies: what people write, a route, and the verdict.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;
use rib::{AddressFamily, Protocol};
use smallvec::SmallVec;

use super::*;
use crate::wire::attr::{AsPath, NextHopAttr, Origin, Segment, SegmentKind};

fn path(text: &str) -> AsPath {
    let asns: SmallVec<[u32; 6]> = text.split_whitespace().map(|asn| asn.parse().unwrap()).collect();
    if asns.is_empty() {
        return AsPath::default();
    }
    AsPath { segments: [Segment { kind: SegmentKind::Sequence, asns }].into_iter().collect() }
}

fn attributes() -> PathAttributes {
    PathAttributes {
        origin: Origin::Igp,
        as_path: path("64500 3356 64510"),
        next_hop: NextHopAttr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        med: None,
        local_pref: None,
        atomic_aggregate: false,
        aggregator: None,
        communities: vec![0xFC00_0064], // 64512:100
        extended_communities: vec![[0, 2, 0xFC, 0, 0, 0, 0, 100]],
        large_communities: vec![[64512, 1, 2]],
        originator_id: None,
        cluster_list: Vec::new(),
        only_to_customer: None,
        unknown: Vec::new(),
        partial: Default::default(),
    }
}

fn subject<'a>(prefix: &str, attributes: &'a PathAttributes) -> Subject<'a> {
    Subject {
        prefix: prefix.parse().unwrap(),
        attributes,
        weight: 0,
        protocol: Protocol::Ebgp,
        tag: 0,
        gateways: &[],
        neighbor: "10.0.0.1".parse().unwrap(),
        local_asn: 64512,
        local_address: "10.0.0.2".parse().unwrap(),
    }
}

/// The sets that the stories share.
fn sets() -> PolicySet {
    let mut set = PolicySet::default();
    set.prefix_sets.insert(
        "mine".into(),
        ["192.0.2.0/24 le 32", "2001:db8::/32 ge 48 le 128"].map(|text| text.parse().unwrap()).into(),
    );
    set.as_path_sets.insert("tier1".into(), vec!["_(174|1299|3356)_".parse().unwrap()]);
    set.as_path_sets.insert("customer".into(), vec!["^64500(_64500)*$".parse().unwrap()]);
    set.community_sets
        .insert("ours".into(), ["64512:*", "large:64512:*:2", "rt:64512:100"].map(|text| text.parse().unwrap()).into());
    set
}

/// A chain of one policy `p` with one rule that accepts, everything else rejected.
fn accepts(matches: Match) -> Chain {
    let mut set = sets();
    let rule = Rule { matches, action: Action::Accept, ..Rule::default() };
    set.policies.insert("p".into(), Policy { default: Action::Reject, rules: vec![rule] });
    Chain::compile(&set, &["p".into()]).unwrap()
}

/// What one rule that accepts makes of the attributes.
fn changed_by(set: Set) -> Evaluation {
    let mut sets = sets();
    let rule = Rule { set, action: Action::Accept, ..Rule::default() };
    sets.policies.insert("p".into(), Policy { default: Action::Reject, rules: vec![rule] });
    Chain::compile(&sets, &["p".into()]).unwrap().evaluate(&subject("192.0.2.0/24", &attributes()))
}

fn attributes_of(evaluation: Evaluation) -> PathAttributes {
    match evaluation.outcome {
        Outcome::AcceptChanged(changed) => changed.0,
        other => panic!("expected a change, got {other:?}"),
    }
}

#[test]
fn each_condition_holds_and_fails_where_it_should() {
    let m = Match::default;
    let rows: &[(&str, Match, &str, bool)] = &[
        ("no condition", m(), "198.51.100.0/24", true),
        ("prefix exact", Match { prefix: "192.0.2.0/24".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("prefix exact, longer", Match { prefix: "192.0.2.0/24".parse().ok(), ..m() }, "192.0.2.0/25", false),
        ("prefix ge", Match { prefix: "10.0.0.0/8 ge 24".parse().ok(), ..m() }, "10.1.2.0/24", true),
        ("prefix ge, shorter", Match { prefix: "10.0.0.0/8 ge 24".parse().ok(), ..m() }, "10.1.0.0/23", false),
        ("default route alone", Match { prefix: "0.0.0.0/0".parse().ok(), ..m() }, "0.0.0.0/0", true),
        ("default route is not all", Match { prefix: "0.0.0.0/0".parse().ok(), ..m() }, "10.0.0.0/8", false),
        ("all of a family", Match { prefix: "::/0 le 128".parse().ok(), ..m() }, "2001:db8::1/128", true),
        ("not of the other", Match { prefix: "::/0 le 128".parse().ok(), ..m() }, "192.0.2.0/24", false),
        ("set", Match { prefix_set: Some("mine".into()), ..m() }, "192.0.2.53/32", true),
        ("set, outside", Match { prefix_set: Some("mine".into()), ..m() }, "192.0.3.0/32", false),
        ("set, too short", Match { prefix_set: Some("mine".into()), ..m() }, "2001:db8::/47", false),
        ("set, IPv6", Match { prefix_set: Some("mine".into()), ..m() }, "2001:db8:1::/48", true),
        ("as path", Match { as_path_set: Some("tier1".into()), ..m() }, "192.0.2.0/24", true),
        ("as path, other", Match { as_path_set: Some("customer".into()), ..m() }, "192.0.2.0/24", false),
        ("origin", Match { origin_asn: Some(64510), ..m() }, "192.0.2.0/24", true),
        ("origin is not the neighbor", Match { origin_asn: Some(64500), ..m() }, "192.0.2.0/24", false),
        ("community", Match { community: "64512:100".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("community, other", Match { community: "64512:101".parse().ok(), ..m() }, "192.0.2.0/24", false),
        ("community, any of an AS", Match { community: "64512:*".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("large", Match { community: "large:64512:1:2".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("large, other", Match { community: "large:64512:1:3".parse().ok(), ..m() }, "192.0.2.0/24", false),
        ("route target", Match { community: "rt:64512:100".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("site of origin is another", Match { community: "soo:64512:100".parse().ok(), ..m() }, "192.0.2.0/24", false),
        ("community set", Match { community_set: Some("ours".into()), ..m() }, "192.0.2.0/24", true),
        (
            "neighbor",
            Match { neighbors: Some(vec!["10.0.0.9".parse().unwrap(), "10.0.0.1".parse().unwrap()]), ..m() },
            "192.0.2.0/24",
            true,
        ),
        ("neighbor, other", Match { neighbors: Some(vec!["10.0.0.9".parse().unwrap()]), ..m() }, "192.0.2.0/24", false),
        ("family", Match { family: Some(AddressFamily::Ipv4), ..m() }, "192.0.2.0/24", true),
        ("family, other", Match { family: Some(AddressFamily::Ipv6), ..m() }, "192.0.2.0/24", false),
        ("protocol", Match { protocol: "bgp".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("protocol, other", Match { protocol: "service".parse().ok(), ..m() }, "192.0.2.0/24", false),
        ("next hop", Match { next_hop: "10.0.0.1".parse().ok(), ..m() }, "192.0.2.0/24", true),
        ("next hop, other", Match { next_hop: "10.0.0.2".parse().ok(), ..m() }, "192.0.2.0/24", false),
        ("a missing MED is 0", Match { med: Some(0), ..m() }, "192.0.2.0/24", true),
        ("MED, other", Match { med: Some(1), ..m() }, "192.0.2.0/24", false),
        ("a missing LOCAL_PREF is 100", Match { local_pref: Some(100), ..m() }, "192.0.2.0/24", true),
        ("LOCAL_PREF, other", Match { local_pref: Some(200), ..m() }, "192.0.2.0/24", false),
        (
            "all of several",
            Match { prefix_set: Some("mine".into()), origin_asn: Some(64510), ..m() },
            "192.0.2.0/24",
            true,
        ),
        (
            "one of several fails",
            Match { prefix_set: Some("mine".into()), origin_asn: Some(64511), ..m() },
            "192.0.2.0/24",
            false,
        ),
    ];
    let attributes = attributes();
    for (name, matches, prefix, expected) in rows {
        let verdict = accepts(matches.clone()).evaluate(&subject(prefix, &attributes));
        assert_eq!(verdict.outcome == Outcome::Accept, *expected, "{name}: {verdict:?}");
        let rule = expected.then_some(1);
        assert_eq!(verdict.by, RuleRef { policy: "p".into(), rule }, "{name}");
    }
}

#[test]
fn an_ipv6_next_hop_matches_by_its_global_address() {
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let link_local = "fe80::1".parse().ok();
    let attributes = PathAttributes { next_hop: NextHopAttr::V6 { global, link_local }, ..attributes() };
    let chain = accepts(Match { next_hop: Some(IpAddr::V6(global)), ..Match::default() });
    assert_eq!(chain.evaluate(&subject("2001:db8:1::/48", &attributes)).outcome, Outcome::Accept);
}

#[test]
fn the_origin_of_an_aggregate_is_nobody_and_of_an_own_route_ourselves() {
    let ours = accepts(Match { origin_asn: Some(64512), ..Match::default() });
    let own = PathAttributes { as_path: AsPath::default(), ..attributes() };
    assert_eq!(ours.evaluate(&subject("192.0.2.0/24", &own)).outcome, Outcome::Accept);

    let mut aggregate = attributes();
    let asns = [64510, 64512].into_iter().collect();
    aggregate.as_path.segments.push(Segment { kind: SegmentKind::Set, asns });
    assert_eq!(ours.evaluate(&subject("192.0.2.0/24", &aggregate)).outcome, Outcome::Reject);
}

#[test]
fn as_path_patterns_see_borders_where_operators_expect_them() {
    let mut with_set = path("64500 64501");
    let asns = [64510, 174].into_iter().collect();
    with_set.segments.push(Segment { kind: SegmentKind::Set, asns });
    let rows: &[(&str, AsPath, bool)] = &[
        ("_174_", path("64500 174 64510"), true),
        ("_174_", path("174"), true),
        ("_174_", path("64500 1740 64510"), false),
        ("_174_", path("64500 5174"), false),
        ("_174_", with_set.clone(), true),
        ("^64500_", path("64500 64501"), true),
        ("^64500_", path("64501 64500"), false),
        ("_64510$", path("64500 64510"), true),
        ("_64510$", path("64510 64500"), false),
        ("^$", AsPath::default(), true),
        ("^$", path("64500"), false),
        ("_64500_64501_", path("64499 64500 64501 64502"), true),
        ("^[0-9]+$", path("64500"), true),
        ("^[0-9]+$", path("64500 64501"), false),
        ("[{]64510,174[}]", with_set.clone(), true),
        ("^645[0-9_]+", path("64500"), true),
    ];
    for (pattern, path, expected) in rows {
        let mut set = PolicySet::default();
        set.as_path_sets.insert("s".into(), vec![pattern.parse().unwrap()]);
        let matches = Match { as_path_set: Some("s".into()), ..Match::default() };
        let rule = Rule { matches, action: Action::Accept, ..Rule::default() };
        set.policies.insert("p".into(), Policy { rules: vec![rule], ..Policy::default() });
        let attributes = PathAttributes { as_path: path.clone(), ..attributes() };
        let verdict = Chain::compile(&set, &["p".into()]).unwrap().evaluate(&subject("192.0.2.0/24", &attributes));
        assert_eq!(verdict.outcome == Outcome::Accept, *expected, "{pattern} on {path:?}");
    }
}

#[test]
fn each_change_is_made() {
    let before = attributes();
    let rows: Vec<(&str, Set, PathAttributes)> = vec![
        (
            "local_pref",
            Set { local_pref: Some(200), ..Set::default() },
            PathAttributes { local_pref: Some(200), ..before.clone() },
        ),
        ("med", Set { med: Some(10), ..Set::default() }, PathAttributes { med: Some(10), ..before.clone() }),
        (
            "origin",
            Set { origin: Some(Origin::Incomplete), ..Set::default() },
            PathAttributes { origin: Origin::Incomplete, ..before.clone() },
        ),
        (
            "prepend our own",
            Set { prepend: Some(Prepend { asn: None, count: 2 }), ..Set::default() },
            PathAttributes { as_path: path("64512 64512 64500 3356 64510"), ..before.clone() },
        ),
        (
            "prepend another",
            Set { prepend: Some(Prepend { asn: Some(64999), count: 1 }), ..Set::default() },
            PathAttributes { as_path: path("64999 64500 3356 64510"), ..before.clone() },
        ),
        (
            "delete, then add",
            Set {
                delete_communities: Some("ours".into()),
                add_communities: ["64512:7", "no-export", "large:1:2:3", "rt:70000:5"]
                    .map(|t| t.parse().unwrap())
                    .into(),
                ..Set::default()
            },
            PathAttributes {
                communities: vec![0xFC00_0007, 0xFFFF_FF01],
                large_communities: vec![[1, 2, 3]],
                extended_communities: vec![[2, 2, 0, 1, 0x11, 0x70, 0, 5]],
                ..before.clone()
            },
        ),
        (
            "added once and sorted",
            Set { add_communities: ["64512:100", "1:1"].map(|t| t.parse().unwrap()).into(), ..Set::default() },
            PathAttributes { communities: vec![0x0001_0001, 0xFC00_0064], ..before.clone() },
        ),
    ];
    for (name, set, after) in rows {
        let evaluation = changed_by(set);
        assert_eq!(evaluation.next_hop, NextHopMode::Default, "{name}");
        assert_eq!(attributes_of(evaluation), after, "{name}");
    }
    let evaluation = changed_by(Set { weight: Some(7), ..Set::default() });
    assert_eq!(evaluation.outcome, Outcome::AcceptChanged(Box::new((before, 7))));
}

#[test]
fn a_change_that_changes_nothing_makes_no_second_attribute_set() {
    let evaluation = changed_by(Set { origin: Some(Origin::Igp), weight: Some(0), ..Set::default() });
    assert_eq!(evaluation.outcome, Outcome::Accept);
}

#[test]
fn the_next_hop_is_set_in_its_own_family_only() {
    let own = changed_by(Set { next_hop: Some(NextHopSetting::Own), ..Set::default() });
    assert_eq!(own.next_hop, NextHopMode::Own);
    assert_eq!(attributes_of(own).next_hop.addr(), "10.0.0.2".parse::<IpAddr>().unwrap());

    let unchanged = changed_by(Set { next_hop: "unchanged".parse().ok(), ..Set::default() });
    assert_eq!((unchanged.next_hop, &unchanged.outcome), (NextHopMode::Unchanged, &Outcome::Accept));

    let given = changed_by(Set { next_hop: "192.0.2.9".parse().ok(), ..Set::default() });
    assert_eq!(given.next_hop, NextHopMode::Address);
    assert_eq!(attributes_of(given).next_hop, NextHopAttr::V4(Ipv4Addr::new(192, 0, 2, 9)));

    // A dual-stack neighbor: the IPv6 next hop does not fit this IPv4 route.
    let other = changed_by(Set { next_hop: "2001:db8::9".parse().ok(), ..Set::default() });
    assert_eq!((other.next_hop, &other.outcome), (NextHopMode::Default, &Outcome::Accept));
}

#[test]
fn prepending_makes_one_sequence_however_long() {
    let mut attributes = attributes();
    attributes.as_path.segments[0].asns = (1..=254).collect();
    let mut sets = PolicySet::default();
    let set = Set { prepend: Some(Prepend { asn: Some(65000), count: 3 }), ..Set::default() };
    let rule = Rule { set, action: Action::Accept, ..Rule::default() };
    sets.policies.insert("p".into(), Policy { rules: vec![rule], ..Policy::default() });
    let chain = Chain::compile(&sets, &["p".into()]).unwrap();
    let changed = attributes_of(chain.evaluate(&subject("192.0.2.0/24", &attributes)));
    // Cut into segments of 255 on the wire only: equal paths are equal values.
    let segments = &changed.as_path.segments;
    assert_eq!(segments.iter().map(|segment| segment.asns.len()).collect::<Vec<_>>(), [257]);
    assert_eq!(segments[0].asns[..4], [65000, 65000, 65000, 1]);
}

#[test]
fn next_falls_through_with_its_changes_and_later_rules_see_them() {
    let mut set = PolicySet::default();
    let mark = Rule {
        set: Set {
            add_communities: vec!["64512:1".parse().unwrap()],
            prepend: Some(Prepend { asn: None, count: 1 }),
            ..Set::default()
        },
        action: Action::Next,
        ..Rule::default()
    };
    let marked = Match { community: "64512:1".parse().ok(), as_path_set: Some("us".into()), ..Match::default() };
    let take = Rule { matches: marked, action: Action::Accept, ..Rule::default() };
    set.as_path_sets.insert("us".into(), vec!["^64512_64500_".parse().unwrap()]);
    set.policies.insert("p".into(), Policy { default: Action::Reject, rules: vec![take.clone(), mark, take] });
    let verdict = Chain::compile(&set, &["p".into()]).unwrap().evaluate(&subject("192.0.2.0/24", &attributes()));
    assert_eq!(verdict.by.rule, Some(3));
    assert_eq!(attributes_of(verdict).communities, [0xFC00_0001, 0xFC00_0064]);
}

#[test]
fn a_chain_asks_the_next_policy_only_when_one_does_not_decide() {
    let mut set = sets();
    let only_mine = |action, default| Policy {
        default,
        rules: vec![Rule {
            matches: Match { prefix_set: Some("mine".into()), ..Match::default() },
            action,
            ..Rule::default()
        }],
    };
    set.policies.insert("drop-mine".into(), only_mine(Action::Reject, Action::Next));
    set.policies.insert("mine-or-nothing".into(), only_mine(Action::Accept, Action::Reject));
    set.policies.insert("mine-or-all".into(), only_mine(Action::Accept, Action::Accept));
    type Row<'a> = (&'a [&'a str], &'a str, bool, &'a str, Option<u32>);
    let rows: &[Row<'_>] = &[
        (&["accept"], "192.0.2.0/24", true, "accept", None),
        (&["reject"], "192.0.2.0/24", false, "reject", None),
        (&["reject", "accept"], "192.0.2.0/24", false, "reject", None),
        (&["drop-mine", "accept"], "192.0.2.0/24", false, "drop-mine", Some(1)),
        (&["drop-mine", "accept"], "10.0.0.0/8", true, "accept", None),
        (&["drop-mine"], "10.0.0.0/8", false, "drop-mine", None), // nobody decided
        (&["mine-or-nothing", "accept"], "192.0.2.0/24", true, "mine-or-nothing", Some(1)),
        (&["mine-or-nothing", "accept"], "10.0.0.0/8", false, "mine-or-nothing", None),
        (&["mine-or-all", "reject"], "10.0.0.0/8", true, "mine-or-all", None),
        (&[], "10.0.0.0/8", false, "reject", None),
    ];
    let attributes = attributes();
    for (names, prefix, accepted, policy, rule) in rows {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let verdict = Chain::compile(&set, &names).unwrap().evaluate(&subject(prefix, &attributes));
        assert_eq!(verdict.outcome == Outcome::Accept, *accepted, "{names:?} on {prefix}");
        assert_eq!(verdict.by, RuleRef { policy: (*policy).into(), rule: *rule }, "{names:?} on {prefix}");
    }
    assert_eq!(RuleRef { policy: "a".into(), rule: Some(2) }.to_string(), "policy a, rule 2");
}

#[test]
fn a_rejected_route_carries_no_changes() {
    let mut set = PolicySet::default();
    let change = Rule { set: Set { med: Some(1), ..Set::default() }, ..Rule::default() };
    set.policies.insert("p".into(), Policy { default: Action::Reject, rules: vec![change] });
    let verdict = Chain::compile(&set, &["p".into()]).unwrap().evaluate(&subject("192.0.2.0/24", &attributes()));
    assert_eq!(verdict.outcome, Outcome::Reject);
}

#[test]
fn a_missing_name_is_named() {
    let mut set = PolicySet::default();
    let names = ["edge".to_owned()];
    let error = Chain::compile(&set, &names).unwrap_err();
    assert_eq!(error, PolicyError::UnknownPolicy("edge".into()));

    let matches = Match { community_set: Some("blackhole".into()), ..Match::default() };
    let rule = Rule { matches, ..Rule::default() };
    set.policies.insert("edge".into(), Policy { rules: vec![Rule::default(), rule], ..Policy::default() });
    let error = Chain::compile(&set, &names).unwrap_err().to_string();
    assert!(error.contains("\"edge\", rule 2") && error.contains("community_set named \"blackhole\""), "{error}");
    assert_eq!(set.check().unwrap_err().to_string(), error);

    set.policies.clear();
    set.policies.insert("accept".into(), Policy::default());
    assert_eq!(set.check(), Err(PolicyError::Reserved("accept".into())));
}

#[test]
fn chains_are_equal_by_what_they_say() {
    let set = sets();
    let with = |set: &PolicySet| {
        let mut set = set.clone();
        let matches = Match { prefix_set: Some("mine".into()), ..Match::default() };
        let rule = Rule { matches, action: Action::Accept, ..Rule::default() };
        set.policies.insert("p".into(), Policy { rules: vec![rule], ..Policy::default() });
        set
    };
    let compile = |set: &PolicySet| Chain::compile(set, &["p".into()]).unwrap();
    let first = compile(&with(&set));

    // Another set changes: not ours to care about.
    let mut unrelated = with(&set);
    unrelated.community_sets.clear();
    assert_eq!(first, compile(&unrelated));

    // The set that the policy names changes: another chain, though the policy is the same.
    let mut related = with(&set);
    related.prefix_sets.get_mut("mine").unwrap().push("10.0.0.0/8".parse().unwrap());
    assert_ne!(first, compile(&related));

    let hash = |chain: &Chain| {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(chain)
    };
    assert_eq!(hash(&first), hash(&compile(&unrelated)));
    assert!(first.reads_prefix() && !first.reads_neighbor());
    assert!(!Chain::accept().reads_prefix());
    let neighbors = Some(vec!["10.0.0.1".parse().unwrap()]);
    assert!(accepts(Match { neighbors, ..Match::default() }).reads_neighbor());
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_would_be_right() {
    fn prefix(text: &str) -> String {
        text.parse::<PrefixPattern>().unwrap_err().to_string()
    }
    fn community(text: &str) -> String {
        text.parse::<CommunityPattern>().unwrap_err().to_string()
    }
    let rows: &[(String, &str)] = &[
        (prefix("192.0.2.1/24"), "the network is 192.0.2.0/24"),
        (prefix("192.0.2.0"), "ADDRESS/LENGTH"),
        (prefix(""), "ADDRESS/LENGTH"),
        (prefix("192.0.2.0/24 le 33"), "from 24 to 32, not \"33\""),
        (prefix("192.0.2.0/24 ge 20"), "from 24 to 32, not \"20\""),
        (prefix("192.0.2.0/24 ge"), "not \"\""),
        (prefix("192.0.2.0/24 le 25 le 26"), "le stands twice"),
        (prefix("192.0.2.0/24 ge 30 le 28"), "nothing would match"),
        (prefix("192.0.2.0/24 upto 32"), "\"upto\" is neither"),
        (community("64512"), "a community is"),
        (community("70000:1"), "0 to 65535"),
        (community("64512:+1"), "a community is"),
        (community("large:1:2"), "a community is"),
        (community("large:1:2:4294967296"), "0 to 4294967295"),
        (community("rt:70000:70000"), "at most 65535"),
        (community("nonsense"), "a community is"),
        ("64512:*".parse::<Community>().unwrap_err().to_string(), "no *"),
        ("_(174_".parse::<AsPathPattern>().unwrap_err().to_string(), "not a regular expression"),
        ("me".parse::<NextHopSetting>().unwrap_err().to_string(), "\"self\""),
        ("0.0.0.0".parse::<NextHopSetting>().unwrap_err().to_string(), "unicast"),
        ("rip".parse::<RouteKind>().unwrap_err().to_string(), "connected, static"),
        ("permit".parse::<Action>().unwrap_err().to_string(), "\"accept\""),
    ];
    for (error, part) in rows {
        assert!(error.contains(part), "{error:?} should say {part:?}");
    }
}

#[test]
fn well_known_names_stand_for_their_numbers() {
    let rows = [("no-export", 0xFFFF_FF01), ("NO_ADVERTISE", 0xFFFF_FF02), ("blackhole", 0xFFFF_029A)];
    for (name, value) in rows {
        assert_eq!(name.parse(), Ok(Community::Standard(value)), "{name}");
    }
    assert_eq!(Community::Standard(0xFFFF_0000).to_string(), "graceful-shutdown");
}

fn any_v4() -> impl Strategy<Value = IpNet> {
    // Few distinct bits, so that prefixes overlap often.
    (0_u32..8, 0_u8..=32)
        .prop_map(|(bits, length)| Ipv4Net::new((bits << 28 | bits << 4).into(), length).unwrap().trunc().into())
}

fn any_v6() -> impl Strategy<Value = IpNet> {
    (0_u128..8, 0_u8..=128).prop_map(|(bits, length)| {
        Ipv6Net::new((bits << 124 | bits << 60 | bits).into(), length).unwrap().trunc().into()
    })
}

fn any_net() -> impl Strategy<Value = IpNet> {
    prop_oneof![any_v4(), any_v6()]
}

fn any_pattern() -> impl Strategy<Value = String> {
    (any_net(), any::<u8>(), any::<u8>(), 0..4).prop_map(|(net, a, b, form)| {
        let span = net.max_prefix_len() - net.prefix_len() + 1;
        let (a, b) = (net.prefix_len() + a % span, net.prefix_len() + b % span);
        match form {
            0 => format!("{net}"),
            1 => format!("{net} ge {a}"),
            2 => format!("{net} le {b}"),
            _ => format!("{net} ge {} le {}", a.min(b), a.max(b)),
        }
    })
}

/// The meaning of a pattern, read from its text by other means than the parser's.
fn naive_prefix(pattern: &str, prefix: &IpNet) -> bool {
    let words: Vec<&str> = pattern.split(' ').collect();
    let net: IpNet = words[0].parse().unwrap();
    let bound = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1].parse::<u8>().unwrap());
    let (ge, le) = (bound("ge"), bound("le"));
    let (min, max) = if words.len() == 1 {
        (net.prefix_len(), net.prefix_len())
    } else {
        (ge.unwrap_or(net.prefix_len()), le.unwrap_or(net.max_prefix_len()))
    };
    let same_family = net.addr().is_ipv4() == prefix.addr().is_ipv4();
    let covered = net.prefix_len() <= prefix.prefix_len() && {
        IpNet::new(prefix.addr(), net.prefix_len()).is_ok_and(|cut| cut.trunc() == net)
    };
    same_family && covered && min <= prefix.prefix_len() && prefix.prefix_len() <= max
}

proptest! {
    /// One longest-prefix match gives what a scan of all patterns gives.
    #[test]
    fn a_compiled_prefix_set_is_its_patterns(patterns in vec(any_pattern(), 0..24), prefixes in vec(any_net(), 1..64)) {
        let parsed: Vec<PrefixPattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        let matcher = prefix::PrefixMatcher::new(&parsed);
        for candidate in prefixes {
            let expected = patterns.iter().any(|pattern| naive_prefix(pattern, &candidate));
            prop_assert_eq!(matcher.matches(&candidate), expected, "{} in {:?}", candidate, patterns);
            prop_assert_eq!(parsed.iter().any(|pattern| pattern.matches(&candidate)), expected);
        }
    }

    /// A pattern written out is the same pattern.
    #[test]
    fn patterns_survive_being_written_out(text in any_pattern()) {
        let pattern: PrefixPattern = text.parse().unwrap();
        prop_assert_eq!(pattern.to_string().parse::<PrefixPattern>(), Ok(pattern));
    }

    /// A community matches the pattern that it is, and each pattern with fields replaced by `*`.
    #[test]
    fn communities_match_by_field(fields in any::<[u16; 3]>(), other in any::<[u16; 3]>(), stars in any::<[bool; 3]>(), kind in 0..4) {
        let number = |index: usize, starred: bool| if starred && stars[index] { "*".to_owned() } else { (fields[index] % 4).to_string() };
        let write = |starred: bool| match kind {
            0 => format!("{}:{}", number(0, starred), number(1, starred)),
            1 => format!("large:{}:{}:{}", number(0, starred), number(1, starred), number(2, starred)),
            2 => format!("rt:{}:{}", number(0, starred), number(1, starred)),
            _ => format!("soo:{}:{}", number(0, starred), number(1, starred)),
        };
        let (exact, pattern) = (write(false), write(true));
        let value: Community = exact.parse().unwrap();
        prop_assert_eq!(value.to_string().parse::<Community>(), Ok(value));
        let written = pattern.parse::<CommunityPattern>().unwrap();
        prop_assert_eq!(&written.to_string(), &pattern);

        // The same kind with other numbers: it matches exactly if every field is starred or equal.
        let mut attributes = attributes();
        attributes.communities.clear();
        attributes.large_communities.clear();
        attributes.extended_communities.clear();
        let low = other.map(|field| field % 4);
        let text = match kind {
            0 => format!("{}:{}", low[0], low[1]),
            1 => format!("large:{}:{}:{}", low[0], low[1], low[2]),
            2 => format!("rt:{}:{}", low[0], low[1]),
            _ => format!("soo:{}:{}", low[0], low[1]),
        };
        match text.parse().unwrap() {
            Community::Standard(value) => attributes.communities.push(value),
            Community::Large(value) => attributes.large_communities.push(value),
            Community::Extended(value) => attributes.extended_communities.push(value),
        }
        let used = if kind == 1 { 3 } else { 2 };
        let expected = (0..used).all(|index| stars[index] || fields[index] % 4 == low[index]);
        let matcher = community::CommunityMatcher::new(&[written]);
        prop_assert_eq!(matcher.matches(&attributes), expected, "{} on {}", pattern, text);
        matcher.delete_from(&mut attributes);
        let left = attributes.communities.len() + attributes.large_communities.len() + attributes.extended_communities.len();
        prop_assert_eq!(left, usize::from(!expected));
    }

    /// Whatever stands in the configuration, parsing gives a value or a sentence.
    #[test]
    fn no_text_panics(text in "[0-9a-z:*./ _()\\[\\]{}^$|+?\\\\-]{0,40}") {
        let _ = text.parse::<PrefixPattern>();
        let _ = text.parse::<CommunityPattern>();
        let _ = text.parse::<Community>();
        let _ = text.parse::<AsPathPattern>();
        let _ = text.parse::<NextHopSetting>();
    }
}
