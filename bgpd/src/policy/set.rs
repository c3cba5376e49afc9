//! Policies and sets as plain data: what the configuration says, each value parsed, names not yet resolved.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use rib::{AddressFamily, Protocol};

use super::as_path::AsPathPattern;
use super::community::{Community, CommunityPattern};
use super::prefix::PrefixPattern;
use crate::wire::attr::Origin;

/// Named policies and sets as configured. Equal values mean that a reload changes no verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PolicySet {
    /// Prefix sets by name; a prefix is in the set if any pattern matches.
    pub prefix_sets: BTreeMap<String, Vec<PrefixPattern>>,
    /// AS-path sets by name; a path is in the set if any pattern matches somewhere in it.
    pub as_path_sets: BTreeMap<String, Vec<AsPathPattern>>,
    /// Community sets by name; a route is in the set if it has any community that any pattern matches.
    pub community_sets: BTreeMap<String, Vec<CommunityPattern>>,
    /// Policies by name. `accept` and `reject` are built in and cannot be redefined.
    pub policies: BTreeMap<String, Policy>,
}

/// Rules in order and what holds when none of them decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Holds when no rule accepts or rejects: [`Action::Next`] asks the next policy of the chain.
    pub default: Action,
    /// Rules, tried in order. A later rule sees the changes of an earlier one.
    pub rules: Vec<Rule>,
}

/// If the route matches, change it and act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The conditions.
    pub matches: Match,
    /// The changes.
    pub set: Set,
    /// What then.
    pub action: Action,
}

/// What a matching rule or a policy's end does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Take the route, with the changes made so far; no further rule or policy is asked.
    Accept,
    /// Refuse the route; no further rule or policy is asked.
    Reject,
    /// Go on with the changes made so far: to the next rule, and as a default to the chain's next policy.
    #[default]
    Next,
}

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "accept" => Ok(Self::Accept),
            "reject" => Ok(Self::Reject),
            "next" => Ok(Self::Next),
            _ => Err(ParseError::new(text, "an action is \"accept\", \"reject\" or \"next\"")),
        }
    }
}

/// The conditions of a rule: all that are given must hold; none given matches every route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// The destination matches this pattern.
    pub prefix: Option<PrefixPattern>,
    /// The destination is in the named prefix set.
    pub prefix_set: Option<String>,
    /// The AS path is in the named AS-path set.
    pub as_path_set: Option<String>,
    /// The path's origin AS (RFC 6811 §2): the last of its AS_SEQUENCE, none after an AS_SET, our own for an empty path.
    pub origin_asn: Option<u32>,
    /// The route has a community that matches.
    pub community: Option<CommunityPattern>,
    /// The route is in the named community set.
    pub community_set: Option<String>,
    /// The neighbor, from (import) or to (export), is one of these. The configuration resolves a group to its members.
    pub neighbors: Option<Vec<IpAddr>>,
    /// The destination's family.
    pub family: Option<AddressFamily>,
    /// What the route came from.
    pub protocol: Option<RouteKind>,
    /// The next hop is exactly this address.
    pub next_hop: Option<IpAddr>,
    /// The MED; a route without one counts as 0, as in the decision (RFC 4271 §9.1.2.2 c).
    pub med: Option<u32>,
    /// The LOCAL_PREF; a route without one counts as 100.
    pub local_pref: Option<u32>,
    /// The tag in the shared RIB; a route without one has 0.
    pub tag: Option<u32>,
}

/// The changes of a rule, made in the order of these fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set {
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MED.
    pub med: Option<u32>,
    /// ORIGIN.
    pub origin: Option<Origin>,
    /// Local weight, higher preferred, never sent.
    pub weight: Option<u32>,
    /// AS numbers in front of the path.
    pub prepend: Option<Prepend>,
    /// The next hop.
    pub next_hop: Option<NextHopSetting>,
    /// Communities in the named set are removed.
    pub delete_communities: Option<String>,
    /// Communities that are added, after the removal.
    pub add_communities: Vec<Community>,
    /// Metric of a redistributed route: MED in BGP.
    pub metric: Option<u32>,
    /// How OSPF counts that metric.
    pub metric_type: Option<MetricType>,
    /// Tag of a redistributed route.
    pub tag: Option<u32>,
}

impl Set {
    /// True if nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How OSPF counts an external route's metric (RFC 2328 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Type 1: the way to the router that redistributes is added.
    One,
    /// Type 2: greater than any way within the AS.
    Two,
}

/// An AS number put in front of the path several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prepend {
    /// The number; our own towards the neighbor if not given.
    pub asn: Option<u32>,
    /// How often.
    pub count: u8,
}

/// The next hop as a rule sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHopSetting {
    /// Our own address towards the neighbor.
    Own,
    /// As received, also towards an external neighbor.
    Unchanged,
    /// This address. A route of the other family is left as it is, so one rule serves a dual-stack neighbor.
    Address(IpAddr),
}

impl FromStr for NextHopSetting {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "self" => Ok(Self::Own),
            "unchanged" => Ok(Self::Unchanged),
            _ => match text.parse::<IpAddr>() {
                Ok(addr) if !addr.is_unspecified() && !addr.is_multicast() => Ok(Self::Address(addr)),
                _ => Err(ParseError::new(text, "a next hop is \"self\", \"unchanged\" or a unicast address")),
            },
        }
    }
}

/// What a route came from, as policies name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// A prefix of an interface.
    Connected,
    /// A static route.
    Static,
    /// A service's VIP.
    Service,
    /// Added through the API.
    Api,
    /// Any BGP neighbor.
    Bgp,
    /// An external BGP neighbor.
    Ebgp,
    /// An internal BGP neighbor.
    Ibgp,
    /// OSPF, whatever its kind.
    Ospf,
    /// OSPF, within an area.
    OspfIntra,
    /// OSPF, between areas.
    OspfInter,
    /// OSPF, external.
    OspfExternal,
    /// OSPF, external through an NSSA.
    OspfNssa,
    /// Somebody else's kernel route.
    Kernel,
}

impl RouteKind {
    /// True if a route of `protocol` is of this kind.
    #[must_use]
    pub fn includes(self, protocol: Protocol) -> bool {
        let (wide, exact) = match protocol {
            Protocol::Connected => (Self::Connected, Self::Connected),
            Protocol::Static => (Self::Static, Self::Static),
            Protocol::Service => (Self::Service, Self::Service),
            Protocol::Api => (Self::Api, Self::Api),
            Protocol::Ebgp => (Self::Bgp, Self::Ebgp),
            Protocol::Ibgp => (Self::Bgp, Self::Ibgp),
            Protocol::OspfIntra => (Self::Ospf, Self::OspfIntra),
            Protocol::OspfInter => (Self::Ospf, Self::OspfInter),
            Protocol::OspfExternal => (Self::Ospf, Self::OspfExternal),
            Protocol::OspfNssa => (Self::Ospf, Self::OspfNssa),
            Protocol::Kernel => (Self::Kernel, Self::Kernel),
        };
        self == wide || self == exact
    }

    const WORDS: [(&'static str, Self); 13] = [
        ("connected", Self::Connected),
        ("static", Self::Static),
        ("service", Self::Service),
        ("api", Self::Api),
        ("bgp", Self::Bgp),
        ("ebgp", Self::Ebgp),
        ("ibgp", Self::Ibgp),
        ("ospf", Self::Ospf),
        ("ospf-intra", Self::OspfIntra),
        ("ospf-inter", Self::OspfInter),
        ("ospf-external", Self::OspfExternal),
        ("ospf-nssa", Self::OspfNssa),
        ("kernel", Self::Kernel),
    ];
}

impl FromStr for RouteKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::WORDS.into_iter().find(|(word, _)| *word == text).map(|(_, kind)| kind).ok_or_else(|| {
            let words = Self::WORDS.map(|(word, _)| word).join(", ");
            ParseError::new(text, format!("a protocol is one of {words}"))
        })
    }
}

/// A value of the configuration that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?}: {right}")]
pub struct ParseError {
    /// What was written.
    pub value: String,
    /// What would be right, as a sentence.
    pub right: String,
}

impl ParseError {
    pub(super) fn new(value: &str, right: impl Into<String>) -> Self {
        Self { value: value.to_owned(), right: right.into() }
    }
}
