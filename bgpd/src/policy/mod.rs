//! Policy: named sets and rules, compiled once, evaluated on attributes first and on prefixes only where a rule asks.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rib::Protocol;

use crate::wire::attr::PathAttributes;

/// Named policies and sets as configured, names checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySet {}

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

/// A rule of a policy, counted from 1; `None` is the policy's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The rule's number.
    pub rule: Option<u32>,
}
