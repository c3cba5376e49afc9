//! Policy: named sets and rules, compiled once, evaluated on attributes first and on prefixes only where a rule asks.
//!
//! A [`PolicySet`] is plain data, as configured. A [`Chain`] is one neighbor's policies of one direction compiled from it: names
//! resolved, prefix sets as tries, communities as masks, AS-path patterns as automata. Evaluation is a pure function of a
//! [`Subject`]; nothing here knows of sessions or tables.

mod as_path;
mod community;
mod compile;
mod eval;
mod prefix;
mod set;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rib::Protocol;

pub use as_path::AsPathPattern;
pub use community::{Community, CommunityPattern};
pub use compile::{Chain, PolicyError};
pub use prefix::PrefixPattern;
pub use set::{
    Action, Match, MetricType, NextHopSetting, ParseError, Policy, PolicySet, Prepend, RouteKind, Rule, Set,
};

use crate::wire::attr::PathAttributes;

/// What a policy looks at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The destination.
    pub prefix: IpNet,
    /// The attributes before the policy.
    pub attributes: &'a PathAttributes,
    /// Local weight before the policy.
    pub weight: u32,
    /// What the route came from.
    pub protocol: Protocol,
    /// Its tag in the shared RIB; 0 is none, and BGP's own routes have none.
    pub tag: u32,
    /// Its gateways in the shared RIB, where it is redistributed from there: `next_hop` matches any of them.
    pub gateways: &'a [IpAddr],
    /// The neighbor it comes from (import) or goes to (export).
    pub neighbor: IpAddr,
    /// Our AS towards that neighbor, for prepending.
    pub local_asn: u32,
    /// Our address towards that neighbor, for next hop "self".
    pub local_address: IpAddr,
}

/// What a policy decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Accepted, possibly changed, or rejected.
    pub outcome: Outcome,
    /// The rule that decided.
    pub by: RuleRef,
    /// Whether a rule spoke about the next hop: export leaves its own default then.
    pub next_hop: NextHopMode,
    /// What rules said that only a redistribution has a use for.
    pub route: RouteChanges,
}

/// What a redistribution can be told beside attributes. The last word counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteChanges {
    /// The metric: of an external route in OSPF, MED in BGP.
    pub metric: Option<u32>,
    /// How OSPF counts it.
    pub metric_type: Option<MetricType>,
    /// The tag that goes with it.
    pub tag: Option<u32>,
}

/// Accepted or rejected.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As it is.
    Accept,
    /// With these attributes and weight instead.
    AcceptChanged(Box<(PathAttributes, u32)>),
    /// No.
    Reject,
}

/// What the rules that applied said about the next hop; the last word counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NextHopMode {
    /// Nothing: the session's default holds (RFC 4271 §5.1.3).
    #[default]
    Default,
    /// Our own address. It stands in the attributes already if [`Subject::local_address`] is of the route's family; otherwise
    /// the caller puts its own address of that family there.
    Own,
    /// The next hop in the attributes stays as it is, also towards an external neighbor.
    Unchanged,
    /// A given address, which stands in the attributes already.
    Address,
}

/// A rule of a policy, counted from 1; `None` is the policy's default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleRef {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The rule's number.
    pub rule: Option<u32>,
}

impl std::fmt::Display for RuleRef {
    /// Reads after "by": `policy from-transit, rule 2`, `policy from-transit, default`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "policy {}, rule {rule}", self.policy),
            None => write!(f, "policy {}, default", self.policy),
        }
    }
}
