//! Prefix, AS-path and community sets and `[[policy]]`: values are parsed by the policy engine itself, names are
//! checked here, where their place in the file is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

use bgpd::policy::{
    Action, Chain, Community, CommunityPattern, Match, MetricType, NextHopSetting, Policy, PolicySet, PrefixPattern,
    Prepend, RouteKind, Rule, Set,
};
use bgpd::wire::attr::Origin;

use super::file::{self, Keys};
use super::neighbors::{self, Group, Neighbor};
use super::read::{At, Table, Text};

/// Policies that need no definition.
const BUILT_IN: [&str; 2] = ["accept", "reject"];

/// Who asks for a policy, and so what its rules can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// `import` and `export` of neighbors.
    Neighbor,
    /// `redistribute` of `[bgp]`.
    Bgp,
    /// `redistribute` of `[ospf]`.
    Ospf,
}

/// The policies that may stand where one is asked for.
pub(super) struct Names(BTreeMap<String, Option<(Use, &'static str)>>);

/// The policies of `set` and those that need no definition.
pub(super) fn names(set: &PolicySet) -> Names {
    let built_in = BUILT_IN.into_iter().map(|name| (name.to_owned(), None));
    Names(set.policies.iter().map(|(name, policy)| (name.clone(), needs(policy))).chain(built_in).collect())
}

/// Who a policy is for, if one of its rules sets what not everybody has a use for: the key, and the least of those who have.
fn needs(policy: &Policy) -> Option<(Use, &'static str)> {
    let of = |set: &Set| {
        let keys = [
            (set.metric_type.is_some(), Use::Ospf, "metric_type"),
            (set.tag.is_some(), Use::Ospf, "tag"),
            (set.metric.is_some(), Use::Bgp, "metric"),
        ];
        keys.into_iter().find(|(said, ..)| *said).map(|(_, least, key)| (least, key))
    };
    policy.rules.iter().filter_map(|rule| of(&rule.set)).max()
}

/// Notes a policy that does not exist, or whose changes would be lost on who asks for it.
pub(super) fn known(table: &Table<'_>, key: &str, name: &At<String>, policies: &Names, by: Use) {
    match policies.0.get(&name.value) {
        None => undefined(table, key, name, "policy", policies.0.keys().map(String::as_str)),
        Some(Some((least, set))) if by < *least => {
            let right = match (by, *set) {
                (Use::Neighbor, "metric") => "only redistribution has a metric; MED is set by \"med\"",
                _ => "only redistribution into OSPF has one",
            };
            table.wrong(name.span.clone(), key, format!("policy {:?} sets {set}: {right}", name.value));
        }
        Some(_) => {}
    }
}

fn undefined<'n>(table: &Table<'_>, key: &str, name: &At<String>, kind: &str, names: impl Iterator<Item = &'n str>) {
    let hint = super::read::nearest(&name.value, names)
        .map_or_else(|| format!("define it in [[{kind}]]"), |near| format!("did you mean {near:?}?"));
    table.wrong(name.span.clone(), key, format!("there is no {kind} named {:?}; {hint}", name.value));
}

/// The sets and policies of the file.
pub(super) fn policies(root: &Table<'_>, groups: &[Group<'_>], neighbors: &[Neighbor<'_>]) -> PolicySet {
    let mut set = PolicySet {
        prefix_sets: named(root, "prefix_set", file::PREFIX_SET, "prefixes"),
        as_path_sets: named(root, "as_path_set", file::AS_PATH_SET, "patterns"),
        community_sets: named(root, "community_set", file::COMMUNITY_SET, "communities"),
        policies: BTreeMap::new(),
    };
    let scope = Scope {
        prefix_sets: set.prefix_sets.keys().cloned().collect(),
        as_path_sets: set.as_path_sets.keys().cloned().collect(),
        community_sets: set.community_sets.keys().cloned().collect(),
        groups: groups
            .iter()
            .map(|group| {
                let of = |neighbor: &&Neighbor<'_>| neighbor.group.as_deref() == Some(group.name.as_str());
                (group.name.clone(), neighbors.iter().filter(of).map(|neighbor| neighbor.config.address).collect())
            })
            .collect(),
    };
    for table in root.tables("policy", "policy", file::POLICY) {
        let policy = policy(&table, &scope);
        if !table.has("name") {
            table.missing("name", "neighbors refer to it by import and export");
        }
        let Some(name) = table.at::<String>("name") else { continue };
        if BUILT_IN.contains(&name.value.as_str()) {
            table.wrong(name.span, "name", format!("{:?} is built in; choose another name", name.value));
        } else if set.policies.contains_key(&name.value) {
            table.wrong(name.span, "name", format!("{:?} stands twice; each may stand once", name.value));
        } else {
            set.policies.insert(name.value.clone(), policy);
            // AS-path patterns are compiled here, so that a bad one is reported with its policy and not at run time.
            let alone = std::slice::from_ref(&name.value);
            if let Err(error) = Chain::compile(&set, alone)
                && matches!(error, bgpd::policy::PolicyError::Patterns { .. })
            {
                table.wrong(name.span, "name", error.to_string());
            }
        }
    }
    set
}

fn named<T: FromStr<Err: std::fmt::Display>>(
    root: &Table<'_>,
    kind: &'static str,
    keys: Keys,
    list: &str,
) -> BTreeMap<String, Vec<T>> {
    let mut all = BTreeMap::new();
    for table in root.tables(kind, kind, keys) {
        let values = table.list::<Text<T>>(list);
        if !table.has(list) {
            table.missing(list, "the list of what is in the set");
        }
        if !table.has("name") {
            table.missing("name", "policies refer to it by name");
        }
        let Some(name) = table.at::<String>("name") else { continue };
        if all.contains_key(&name.value) {
            table.wrong(name.span, "name", format!("{:?} stands twice; each may stand once", name.value));
            continue;
        }
        all.insert(name.value, values.unwrap_or_default().into_iter().map(|at| at.value.0).collect());
    }
    all
}

/// What a rule can refer to.
struct Scope {
    prefix_sets: BTreeSet<String>,
    as_path_sets: BTreeSet<String>,
    community_sets: BTreeSet<String>,
    groups: BTreeMap<String, Vec<IpAddr>>,
}

fn policy(table: &Table<'_>, scope: &Scope) -> Policy {
    let default = table.get::<Text<Action>>("default").map_or(Action::Reject, |text| text.0);
    let rules = table.tables("rules", "policy.rules", file::RULE);
    Policy { default, rules: rules.iter().map(|rule| self::rule(rule, scope)).collect() }
}

fn rule(table: &Table<'_>, scope: &Scope) -> Rule {
    Rule {
        matches: table
            .table("match", "policy.rules.match", file::MATCH)
            .map(|conditions| matches(&conditions, scope))
            .unwrap_or_default(),
        set: table.table("set", "policy.rules.set", file::SET).map(|set| changes(&set, scope)).unwrap_or_default(),
        action: table.get::<Text<Action>>("action").map_or(Action::Next, |text| text.0),
    }
}

fn reference(table: &Table<'_>, key: &str, kind: &str, known: &BTreeSet<String>) -> Option<String> {
    let name = table.at::<String>(key)?;
    if !known.contains(&name.value) {
        undefined(table, key, &name, kind, known.iter().map(String::as_str));
    }
    Some(name.value)
}

fn text<T: FromStr<Err: std::fmt::Display>>(table: &Table<'_>, key: &str) -> Option<T> {
    table.get::<Text<T>>(key).map(|text| text.0)
}

fn number(table: &Table<'_>, key: &str) -> Option<u32> {
    table.int(key, 0..=0xffff_ffff).map(|at| at.value)
}

fn matches(table: &Table<'_>, scope: &Scope) -> Match {
    let mut neighbors =
        table.one_or_more::<IpAddr>("neighbor").map(|list| list.into_iter().map(|at| at.value).collect());
    if let Some(group) = table.at::<String>("neighbor_group") {
        match scope.groups.get(&group.value) {
            // Both keys given: all conditions hold, so only neighbors that are in both.
            Some(members) => {
                neighbors = Some(match neighbors {
                    Some(named) => {
                        let named: Vec<IpAddr> = named;
                        named.into_iter().filter(|addr| members.contains(addr)).collect()
                    }
                    None => members.clone(),
                });
            }
            None => {
                undefined(table, "neighbor_group", &group, "neighbor_group", scope.groups.keys().map(String::as_str));
            }
        }
    }
    let family = table
        .at::<String>("family")
        .and_then(|at| neighbors::family(&at.value).map_err(|message| table.wrong(at.span, "family", message)).ok());
    Match {
        prefix: text::<PrefixPattern>(table, "prefix"),
        prefix_set: reference(table, "prefix_set", "prefix_set", &scope.prefix_sets),
        as_path_set: reference(table, "as_path_set", "as_path_set", &scope.as_path_sets),
        origin_asn: number(table, "origin_asn"),
        community: text::<CommunityPattern>(table, "community"),
        community_set: reference(table, "community_set", "community_set", &scope.community_sets),
        neighbors,
        family,
        protocol: text::<RouteKind>(table, "protocol"),
        next_hop: table.get("next_hop"),
        med: number(table, "med"),
        local_pref: number(table, "local_pref"),
        tag: number(table, "tag"),
    }
}

/// `metric_type`, 1 or 2 (RFC 2328 §2.3).
pub(super) fn metric_type(table: &Table<'_>) -> Option<MetricType> {
    let number = table.int::<u8>("metric_type", 1..=2)?;
    Some(if number.value == 1 { MetricType::One } else { MetricType::Two })
}

fn changes(table: &Table<'_>, scope: &Scope) -> Set {
    const ORIGINS: &[(&str, Origin)] =
        &[("igp", Origin::Igp), ("egp", Origin::Egp), ("incomplete", Origin::Incomplete)];
    let prepend = table.table("prepend", "policy.rules.set.prepend", file::PREPEND).map(|prepend| Prepend {
        asn: prepend.int("asn", 1..=4_294_967_294).map(|at| at.value),
        count: prepend.int("count", 1..=32).map_or(1, |at| at.value),
    });
    let communities = table.one_or_more::<Text<Community>>("add_communities").unwrap_or_default();
    Set {
        local_pref: number(table, "local_pref"),
        med: number(table, "med"),
        origin: table.word("origin", ORIGINS),
        weight: number(table, "weight"),
        prepend,
        next_hop: text::<NextHopSetting>(table, "next_hop"),
        delete_communities: reference(table, "delete_communities", "community_set", &scope.community_sets),
        add_communities: communities.into_iter().map(|at| at.value.0).collect(),
        metric: number(table, "metric"),
        metric_type: metric_type(table),
        tag: number(table, "tag"),
    }
}
