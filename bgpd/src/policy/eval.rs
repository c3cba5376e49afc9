//! Evaluation of a chain: a pure function from a subject to a verdict. Attributes are copied only when a rule changes them.

use std::cell::OnceCell;
use std::net::IpAddr;

use rib::AddressFamily;

use super::as_path::{origin, render};
use super::compile::{Chain, CompiledPolicy, CompiledRule, Condition};
use super::set::{Action, NextHopSetting, Prepend};
use super::{Community, Evaluation, NextHopMode, Outcome, RouteChanges, RuleRef, Subject};
use crate::wire::attr::{NextHopAttr, PathAttributes};

/// LOCAL_PREF of a route that has none, the value every implementation uses.
const DEFAULT_LOCAL_PREF: u32 = 100;

impl Chain {
    /// Asks the policies in order until one decides.
    #[must_use]
    pub fn evaluate(&self, subject: &Subject<'_>) -> Evaluation {
        let mut run = Run {
            subject,
            changed: None,
            path: OnceCell::new(),
            next_hop: NextHopMode::Default,
            route: RouteChanges::default(),
        };
        for policy in self.policies() {
            if let Some((action, rule)) = run.policy(policy) {
                return run.finish(action, policy, rule);
            }
        }
        match self.policies().last() {
            Some(last) => run.finish(Action::Reject, last, None),
            None => Evaluation {
                outcome: Outcome::Reject,
                by: RuleRef { policy: "reject".into(), rule: None },
                next_hop: NextHopMode::Default,
                route: RouteChanges::default(),
            },
        }
    }
}

/// One evaluation under way.
struct Run<'s, 'a> {
    subject: &'s Subject<'a>,
    changed: Option<Box<(PathAttributes, u32)>>,
    /// The path as text, if a rule has asked for it and none has changed it since.
    path: OnceCell<String>,
    next_hop: NextHopMode,
    route: RouteChanges,
}

impl Run<'_, '_> {
    /// The action that decides and the rule's number, if this policy does.
    fn policy(&mut self, policy: &CompiledPolicy) -> Option<(Action, Option<u32>)> {
        for (rule, number) in policy.rules.iter().zip(1_u32..) {
            if !rule.conditions.iter().all(|condition| self.holds(condition)) {
                continue;
            }
            if rule.action == Action::Reject {
                return Some((Action::Reject, Some(number)));
            }
            self.change(rule);
            if rule.action == Action::Accept {
                return Some((Action::Accept, Some(number)));
            }
        }
        (policy.default != Action::Next).then_some((policy.default, None))
    }

    fn attributes(&self) -> &PathAttributes {
        self.changed.as_ref().map_or(self.subject.attributes, |changed| &changed.0)
    }

    fn holds(&self, condition: &Condition) -> bool {
        let attributes = self.attributes();
        match condition {
            Condition::Family(family) => AddressFamily::of(&self.subject.prefix) == *family,
            Condition::Protocol(kind) => kind.includes(self.subject.protocol),
            Condition::Neighbors(sorted) => sorted.binary_search(&self.subject.neighbor).is_ok(),
            Condition::NextHop(addr) => attributes.next_hop.addr() == *addr || self.subject.gateways.contains(addr),
            Condition::Med(med) => attributes.med.unwrap_or(0) == *med,
            Condition::LocalPref(local_pref) => attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF) == *local_pref,
            Condition::Tag(tag) => self.route.tag.unwrap_or(self.subject.tag) == *tag,
            Condition::OriginAsn(asn) => origin(&attributes.as_path, self.subject.local_asn) == Some(*asn),
            Condition::Prefix(pattern) => pattern.matches(&self.subject.prefix),
            Condition::PrefixSet(matcher) => matcher.matches(&self.subject.prefix),
            Condition::Communities(matcher) => matcher.matches(attributes),
            Condition::AsPath(matcher) => matcher.matches(self.path.get_or_init(|| render(&attributes.as_path))),
        }
    }

    fn change(&mut self, rule: &CompiledRule) {
        let set = &rule.set;
        if set.is_empty() {
            return;
        }
        self.route.metric = set.metric.or(self.route.metric);
        self.route.metric_type = set.metric_type.or(self.route.metric_type);
        self.route.tag = set.tag.or(self.route.tag);
        let subject = self.subject;
        let changed = self.changed.get_or_insert_with(|| Box::new((subject.attributes.clone(), subject.weight)));
        let attributes = &mut changed.0;
        attributes.local_pref = set.local_pref.or(attributes.local_pref);
        attributes.med = set.med.or(attributes.med);
        attributes.origin = set.origin.unwrap_or(attributes.origin);
        if let Some(Prepend { asn, count }) = set.prepend {
            attributes.as_path.prepend(asn.unwrap_or(subject.local_asn), usize::from(count));
            self.path.take();
        }
        if let Some(setting) = set.next_hop {
            let family = AddressFamily::of(&subject.prefix);
            let (mode, addr) = match setting {
                NextHopSetting::Own => (NextHopMode::Own, Some(subject.local_address)),
                NextHopSetting::Unchanged => (NextHopMode::Unchanged, None),
                NextHopSetting::Address(addr) => (NextHopMode::Address, Some(addr)),
            };
            let addr = addr.filter(|addr| AddressFamily::of_addr(addr) == family);
            if let Some(addr) = addr {
                attributes.next_hop = next_hop(addr);
            }
            if addr.is_some() || mode != NextHopMode::Address {
                self.next_hop = mode;
            }
        }
        if let Some(matcher) = &rule.delete {
            matcher.delete_from(attributes);
        }
        for community in &set.add_communities {
            add_community(attributes, *community);
        }
        changed.1 = set.weight.unwrap_or(changed.1);
    }

    fn finish(self, action: Action, policy: &CompiledPolicy, rule: Option<u32>) -> Evaluation {
        let by = RuleRef { policy: policy.name.clone(), rule };
        if action != Action::Accept {
            let (next_hop, route) = (NextHopMode::Default, RouteChanges::default());
            return Evaluation { outcome: Outcome::Reject, by, next_hop, route };
        }
        let outcome = match self.changed {
            // Rules that set what was there already do not make a second attribute set.
            Some(changed) if changed.1 != self.subject.weight || changed.0 != *self.subject.attributes => {
                Outcome::AcceptChanged(changed)
            }
            _ => Outcome::Accept,
        };
        Evaluation { outcome, by, next_hop: self.next_hop, route: self.route }
    }
}

fn next_hop(addr: IpAddr) -> NextHopAttr {
    match addr {
        IpAddr::V4(addr) => NextHopAttr::V4(addr),
        IpAddr::V6(global) => NextHopAttr::V6 { global, link_local: None },
    }
}

/// Inserts in order, once: equal sets stay equal values.
fn add_community(attributes: &mut PathAttributes, community: Community) {
    fn insert<T: Ord>(list: &mut Vec<T>, value: T) {
        if let Err(at) = list.binary_search(&value) {
            list.insert(at, value);
        }
    }
    match community {
        Community::Standard(value) => insert(&mut attributes.communities, value),
        Community::Large(value) => insert(&mut attributes.large_communities, value),
        Community::Extended(value) => insert(&mut attributes.extended_communities, value),
    }
}
