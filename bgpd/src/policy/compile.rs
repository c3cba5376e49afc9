//! A chain of policies compiled: names resolved, sets turned into matchers.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use rib::AddressFamily;

use super::as_path::AsPathMatcher;
use super::community::{CommunityMatcher, CommunityPattern};
use super::prefix::{PrefixMatcher, PrefixPattern};
use super::set::{Action, Match, Policy, PolicySet, RouteKind, Set};

/// A policy or chain that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A chain names a policy that does not exist.
    #[error("there is no policy named {0:?}; define it in [[policy]], or use the built-in \"accept\" or \"reject\"")]
    UnknownPolicy(String),
    /// A rule names a set that does not exist.
    #[error("policy {policy:?}, rule {rule}: there is no {kind} named {set:?}; define it in [[{kind}]]")]
    UnknownSet {
        /// The policy.
        policy: String,
        /// The rule, from 1.
        rule: usize,
        /// `prefix_set`, `as_path_set` or `community_set`.
        kind: &'static str,
        /// The name that is not defined.
        set: String,
    },
    /// A set of AS-path patterns could not be compiled.
    #[error("as_path_set {set:?}: {reason}")]
    Patterns {
        /// The set.
        set: String,
        /// The reason.
        reason: String,
    },
    /// A policy bears the name of a built-in one.
    #[error("policy {0:?} is built in and cannot be defined; choose another name")]
    Reserved(String),
}

/// The policies of one neighbor and direction, ready to evaluate. A clone is a reference; equal content means equal chains, so
/// neighbors with equal policies can share an export group.
///
/// The policies are asked in order. The first rule that accepts or rejects decides for the whole chain. A policy whose rules do
/// not decide applies its default: accept and reject decide too, next asks the following policy with the changes made so
/// far. A chain at whose end nothing has decided, and an empty chain, reject.
#[derive(Clone, Debug)]
pub struct Chain(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// What was compiled: identity by content.
    content: Content,
    policies: Vec<CompiledPolicy>,
    reads_prefix: bool,
    reads_neighbor: bool,
}

/// The policies of a chain and every set they name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Content {
    policies: Vec<(Arc<str>, Policy)>,
    sets: PolicySet,
}

#[derive(Debug)]
pub(super) struct CompiledPolicy {
    pub(super) name: Arc<str>,
    pub(super) default: Action,
    pub(super) rules: Vec<CompiledRule>,
}

#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) conditions: Vec<Condition>,
    pub(super) set: Set,
    pub(super) delete: Option<Arc<CommunityMatcher>>,
    pub(super) action: Action,
}

/// One condition; they stand cheapest first.
#[derive(Debug)]
pub(super) enum Condition {
    Family(AddressFamily),
    Protocol(RouteKind),
    Neighbors(Vec<IpAddr>),
    NextHop(IpAddr),
    Med(u32),
    LocalPref(u32),
    Tag(u32),
    OriginAsn(u32),
    Prefix(PrefixPattern),
    PrefixSet(Arc<PrefixMatcher>),
    Communities(Arc<CommunityMatcher>),
    AsPath(Arc<AsPathMatcher>),
}

impl Chain {
    /// Compiles the policies `names` of `set`, in that order.
    ///
    /// # Errors
    /// Names the policy, rule and set that is missing or cannot be compiled.
    pub fn compile(set: &PolicySet, names: &[String]) -> Result<Self, PolicyError> {
        let mut compiler = Compiler {
            set,
            content: Content::default(),
            prefixes: BTreeMap::new(),
            communities: BTreeMap::new(),
            paths: BTreeMap::new(),
        };
        let policies = names.iter().map(|name| compiler.policy(name)).collect::<Result<Vec<_>, _>>()?;
        let any = |test: fn(&Condition) -> bool| {
            policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| &rule.conditions).any(test)
        };
        let reads_prefix = any(|condition| matches!(condition, Condition::Prefix(_) | Condition::PrefixSet(_)));
        let reads_neighbor = any(|condition| matches!(condition, Condition::Neighbors(_)));
        Ok(Self(Arc::new(Compiled { content: compiler.content, policies, reads_prefix, reads_neighbor })))
    }

    /// The chain that accepts every route as it is.
    #[must_use]
    pub fn accept() -> Self {
        Self::built_in("accept")
    }

    /// The chain that rejects every route.
    #[must_use]
    pub fn reject() -> Self {
        Self::built_in("reject")
    }

    fn built_in(name: &str) -> Self {
        Self::compile(&PolicySet::default(), &[name.to_owned()]).expect("built-in policies need no set")
    }

    /// True if the verdict can differ between two prefixes of one family that have equal attributes. Otherwise one evaluation serves
    /// all prefixes of a family that share an attribute set, neighbor and protocol.
    #[must_use]
    pub fn reads_prefix(&self) -> bool {
        self.0.reads_prefix
    }

    /// True if the verdict can differ between two neighbors: the neighbor's address then belongs into an export group's key.
    #[must_use]
    pub fn reads_neighbor(&self) -> bool {
        self.0.reads_neighbor
    }

    /// The policies' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.policies.iter().map(|policy| &*policy.name)
    }

    pub(super) fn policies(&self) -> &[CompiledPolicy] {
        &self.0.policies
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.content == other.0.content
    }
}

impl Eq for Chain {}

impl Hash for Chain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.content.hash(state);
    }
}

impl PolicySet {
    /// Compiles every policy and set, used or not.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn check(&self) -> Result<(), PolicyError> {
        if let Some(name) = self.policies.keys().find(|name| built_in(name).is_some()) {
            return Err(PolicyError::Reserved(name.clone()));
        }
        for (set, patterns) in &self.as_path_sets {
            AsPathMatcher::new(patterns)
                .map_err(|reason| PolicyError::Patterns { set: set.clone(), reason })
                .map(drop)?;
        }
        for name in self.policies.keys() {
            Chain::compile(self, std::slice::from_ref(name))?;
        }
        Ok(())
    }
}

fn built_in(name: &str) -> Option<Policy> {
    let default = match name {
        "accept" => Action::Accept,
        "reject" => Action::Reject,
        _ => return None,
    };
    Some(Policy { default, rules: Vec::new() })
}

/// Resolves names; each set is compiled once per chain however many rules name it.
struct Compiler<'a> {
    set: &'a PolicySet,
    content: Content,
    prefixes: BTreeMap<String, Arc<PrefixMatcher>>,
    communities: BTreeMap<String, Arc<CommunityMatcher>>,
    paths: BTreeMap<String, Arc<AsPathMatcher>>,
}

/// The rule that is being compiled, for errors.
#[derive(Clone, Copy)]
struct At<'a> {
    policy: &'a str,
    rule: usize,
}

impl At<'_> {
    fn unknown(self, kind: &'static str, set: &str) -> PolicyError {
        PolicyError::UnknownSet { policy: self.policy.to_owned(), rule: self.rule, kind, set: set.to_owned() }
    }
}

impl Compiler<'_> {
    fn policy(&mut self, name: &str) -> Result<CompiledPolicy, PolicyError> {
        let policy = built_in(name)
            .or_else(|| self.set.policies.get(name).cloned())
            .ok_or_else(|| PolicyError::UnknownPolicy(name.to_owned()))?;
        let mut rules = Vec::with_capacity(policy.rules.len());
        for (index, rule) in policy.rules.iter().enumerate() {
            let at = At { policy: name, rule: index + 1 };
            let delete = rule.set.delete_communities.as_deref().map(|set| self.communities(at, set)).transpose()?;
            let conditions = self.conditions(at, &rule.matches)?;
            rules.push(CompiledRule { conditions, set: rule.set.clone(), delete, action: rule.action });
        }
        let compiled = CompiledPolicy { name: name.into(), default: policy.default, rules };
        self.content.policies.push((Arc::clone(&compiled.name), policy));
        Ok(compiled)
    }

    fn conditions(&mut self, at: At<'_>, matches: &Match) -> Result<Vec<Condition>, PolicyError> {
        // Every key is named here, so that a new one cannot be forgotten.
        let Match {
            prefix,
            prefix_set,
            as_path_set,
            origin_asn,
            community,
            community_set,
            neighbors,
            family,
            protocol,
            next_hop,
            med,
            local_pref,
            tag,
        } = matches;
        let mut conditions = Vec::new();
        conditions.extend(family.map(Condition::Family));
        conditions.extend(protocol.map(Condition::Protocol));
        conditions.extend(neighbors.clone().map(|mut addresses| {
            addresses.sort_unstable();
            Condition::Neighbors(addresses)
        }));
        conditions.extend(next_hop.map(Condition::NextHop));
        conditions.extend(med.map(Condition::Med));
        conditions.extend(local_pref.map(Condition::LocalPref));
        conditions.extend(tag.map(Condition::Tag));
        conditions.extend(origin_asn.map(Condition::OriginAsn));
        conditions.extend(prefix.map(Condition::Prefix));
        if let Some(set) = prefix_set {
            conditions.push(Condition::PrefixSet(self.prefixes(at, set)?));
        }
        conditions.extend(
            community
                .map(|pattern: CommunityPattern| Condition::Communities(Arc::new(CommunityMatcher::new(&[pattern])))),
        );
        if let Some(set) = community_set {
            conditions.push(Condition::Communities(self.communities(at, set)?));
        }
        if let Some(set) = as_path_set {
            conditions.push(Condition::AsPath(self.paths(at, set)?));
        }
        Ok(conditions)
    }

    fn prefixes(&mut self, at: At<'_>, name: &str) -> Result<Arc<PrefixMatcher>, PolicyError> {
        if let Some(matcher) = self.prefixes.get(name) {
            return Ok(Arc::clone(matcher));
        }
        let patterns = self.set.prefix_sets.get(name).ok_or_else(|| at.unknown("prefix_set", name))?;
        let matcher = Arc::new(PrefixMatcher::new(patterns));
        self.content.sets.prefix_sets.insert(name.to_owned(), patterns.clone());
        self.prefixes.insert(name.to_owned(), Arc::clone(&matcher));
        Ok(matcher)
    }

    fn communities(&mut self, at: At<'_>, name: &str) -> Result<Arc<CommunityMatcher>, PolicyError> {
        if let Some(matcher) = self.communities.get(name) {
            return Ok(Arc::clone(matcher));
        }
        let patterns = self.set.community_sets.get(name).ok_or_else(|| at.unknown("community_set", name))?;
        let matcher = Arc::new(CommunityMatcher::new(patterns));
        self.content.sets.community_sets.insert(name.to_owned(), patterns.clone());
        self.communities.insert(name.to_owned(), Arc::clone(&matcher));
        Ok(matcher)
    }

    fn paths(&mut self, at: At<'_>, name: &str) -> Result<Arc<AsPathMatcher>, PolicyError> {
        if let Some(matcher) = self.paths.get(name) {
            return Ok(Arc::clone(matcher));
        }
        let patterns = self.set.as_path_sets.get(name).ok_or_else(|| at.unknown("as_path_set", name))?;
        let matcher = AsPathMatcher::new(patterns)
            .map(Arc::new)
            .map_err(|reason| PolicyError::Patterns { set: name.to_owned(), reason })?;
        self.content.sets.as_path_sets.insert(name.to_owned(), patterns.clone());
        self.paths.insert(name.to_owned(), Arc::clone(&matcher));
        Ok(matcher)
    }
}
