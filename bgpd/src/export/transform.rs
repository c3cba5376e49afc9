//! From the best path to what a neighbor is told: the rules of RFC 4271 §5 and §9.2, RFC 1997, RFC 4456, RFC 5065, RFC 7947,
//! RFC 8212 and RFC 9234, and the export policy between them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rib::{AddressFamily, Protocol};

use super::profile::{ExportProfile, Filter};
use crate::attrs::{DEFAULT_LOCAL_PREF, Facts, flag};
use crate::intern::{AttrId, AttrStore, is_own};
use crate::locrib::{PeerFacts, PeerIndex, PeerKind};
use crate::policy::{NextHopMode, Outcome, RuleRef, Subject};
use crate::roles::{self, Leak};
use crate::wire::attr::{NextHopAttr, PathAttributes, community};

/// Where the path to be told comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Whose path it is.
    pub peer: PeerIndex,
    /// What is known of that neighbor.
    pub facts: &'a PeerFacts,
}

/// Why a route is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Well-known community (RFC 1997).
    Community(&'static str),
    /// Internal routes are not passed on to internal neighbors without reflection (RFC 4271 §9.2).
    InternalToInternal,
    /// No export policy to an external neighbor (RFC 8212).
    NoPolicy,
    /// The policy says no.
    Policy(RuleRef),
    /// An aggregate is told instead (`summary_only`).
    Summarised(IpNet),
    /// It would be a route leak (RFC 9234 §5).
    Leak(Leak),
    /// The next hop would be the neighbor itself (RFC 4271 §5.1.3).
    OwnNextHop(IpAddr),
    /// We have no address that the neighbor could use as next hop of routes of this family.
    NoNextHop(AddressFamily),
    /// The attributes leave no room for a prefix in a message (RFC 4271 §9.2).
    TooLong,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Community(name) => f.write_str(name),
            Self::InternalToInternal => f.write_str("internal routes are not passed on to internal neighbors"),
            Self::NoPolicy => f.write_str("RFC 8212: no export policy"),
            Self::Policy(rule) => rule.fmt(f),
            Self::Summarised(aggregate) => write!(f, "the aggregate {aggregate} is announced instead (summary_only)"),
            Self::Leak(leak) => leak.fmt(f),
            Self::OwnNextHop(addr) => write!(f, "its next hop {addr} is the neighbor itself (RFC 4271 section 5.1.3)"),
            Self::NoNextHop(family) => write!(
                f,
                "no address of ours is known that could be the next hop of {} routes on this session; \
                 put one on its interface, or set next_hop in the export policy",
                crate::wire::AfiSafi::from(*family)
            ),
            Self::TooLong => f.write_str("attributes too long for a message"),
        }
    }
}

/// What the rules before policy say, from the facts alone.
#[must_use]
pub fn refused_early(profile: &ExportProfile, facts: &Facts, source: Source<'_>) -> Option<Refusal> {
    // RFC 7947 §2.2.4: between clients a route server leaves communities to them.
    if !transparent(profile, source) {
        let refused = |flag: u16, name| (facts.flags & flag != 0).then_some(Refusal::Community(name));
        // RFC 1997: "another AS" of NO_EXPORT is outside the confederation, that of NO_EXPORT_SUBCONFED the next member.
        let (outside, next_as) = match profile.kind {
            PeerKind::External | PeerKind::Local => (flag::NO_EXPORT, flag::NO_EXPORT_SUBCONFED),
            PeerKind::Confed => (0, flag::NO_EXPORT_SUBCONFED),
            PeerKind::Internal { .. } => (0, 0),
        };
        let refusal = refused(flag::NO_ADVERTISE, "NO_ADVERTISE")
            .or_else(|| refused(outside, "NO_EXPORT"))
            .or_else(|| refused(next_as, "NO_EXPORT_SUBCONFED"));
        if refusal.is_some() {
            return refusal;
        }
    }
    if let Some(role) = profile.role
        && let Err(leak) = roles::egress(role, facts.flags & flag::ONLY_TO_CUSTOMER != 0)
    {
        return Some(Refusal::Leak(leak));
    }
    // RFC 9494 §4.3.
    if facts.flags & flag::LLGR_STALE != 0 && !profile.long_lived {
        return Some(Refusal::Community("LLGR_STALE, which the neighbor does not know"));
    }
    if let (PeerKind::Internal { client: from }, PeerKind::Internal { client: to }) = (source.facts.kind, profile.kind)
        && !from
        && !to
    {
        return Some(Refusal::InternalToInternal);
    }
    if profile.filter == Filter::ServicesOnly && facts.protocol != Some(Protocol::Service) {
        return Some(Refusal::NoPolicy);
    }
    None
}

/// The neighbor at `address` would be told that it is itself the next hop.
#[must_use]
pub fn names_itself(profile: &ExportProfile, next_hop: NextHopAttr, address: IpAddr) -> bool {
    next_hop.addr() == address
        && ![AddressFamily::Ipv4, AddressFamily::Ipv6].map(|family| profile.own(family)).contains(&Some(next_hop))
}

/// It is the default route that the neighbor asked for (`default_originate`): of our own, from no protocol, and no aggregate.
fn is_default_route(profile: &ExportProfile, id: AttrId, source: Source<'_>) -> bool {
    source.peer == PeerIndex::LOCAL && profile.default_originate.is_some_and(|routes| routes.contains(&id))
}

/// What a neighbor of this profile is told of a path, and the policy rule that accepted it.
///
/// # Errors
/// Why it is told nothing.
pub fn outgoing(
    profile: &ExportProfile,
    store: &AttrStore,
    id: AttrId,
    source: Source<'_>,
    prefix: IpNet,
) -> Result<(PathAttributes, Option<RuleRef>), Refusal> {
    let facts = store.facts(id);
    let default_route = is_default_route(profile, id, source);
    if let Some(refusal) = refused_early(profile, facts, source).filter(|_| !default_route) {
        return Err(refusal);
    }
    let mut attributes = store.attributes(id);
    if profile.kind == PeerKind::External && !transparent(profile, source) {
        leave_as(profile, &mut attributes, source);
    }
    let mut mode = NextHopMode::Default;
    let mut rule = None;
    if let Filter::Chain(chain) = &profile.filter
        && !default_route
    {
        let family = AddressFamily::of(&prefix);
        let subject = Subject {
            prefix,
            attributes: &attributes,
            weight: facts.weight,
            protocol: protocol(facts, source),
            tag: 0,
            gateways: &[],
            neighbor: profile.neighbor.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            local_asn: profile.local_asn,
            local_address: profile.own(family).map_or(unspecified(family), NextHopAttr::addr),
        };
        let evaluation = chain.evaluate(&subject);
        mode = evaluation.next_hop;
        match evaluation.outcome {
            Outcome::Accept => {}
            Outcome::AcceptChanged(changed) => attributes = changed.0,
            Outcome::Reject => return Err(Refusal::Policy(evaluation.by)),
        }
        rule = Some(evaluation.by);
    }
    if profile.drained {
        attributes.add_community(community::GRACEFUL_SHUTDOWN);
        // Inside the AS it is this that moves traffic; towards others it is not sent.
        attributes.local_pref = Some(0);
    }
    next_hop(profile, &mut attributes, mode, source, AddressFamily::of(&prefix))?;
    match profile.kind {
        PeerKind::Internal { .. } => to_internal(profile, &mut attributes, source),
        PeerKind::Confed => to_confed(profile, &mut attributes),
        PeerKind::External | PeerKind::Local => to_external(profile, &mut attributes, source, facts.prepend),
    }
    if let Some(role) = profile.role
        && roles::egress(role, attributes.only_to_customer.is_some()) == Ok(true)
    {
        attributes.only_to_customer = Some(profile.local_asn);
    }
    Ok((attributes, rule))
}

/// RFC 7947 §2.2: between clients of a route server next hop, path, MED and communities stay as they are.
fn transparent(profile: &ExportProfile, source: Source<'_>) -> bool {
    profile.route_server_client && source.facts.route_server_client
}

const fn unspecified(family: AddressFamily) -> IpAddr {
    match family {
        AddressFamily::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// What does not leave our AS, before policy, which may put something of its own in its place.
fn leave_as(profile: &ExportProfile, attributes: &mut PathAttributes, source: Source<'_>) {
    let path = &mut attributes.as_path;
    path.strip_confed();
    if let Some(keep) = profile.remove_private_as {
        path.remove_private(keep);
    }
    if let Some(theirs) = profile.as_override {
        path.replace(theirs, profile.local_asn);
    }
    if source.peer != PeerIndex::LOCAL {
        // RFC 4271 §5.1.4: MED of one neighbor AS is not passed on to another.
        attributes.med = None;
        // RFC 4360 §6: the second highest bit says non-transitive.
        attributes.extended_communities.retain(|community| community[0] & 0x40 == 0);
    }
}

/// What the route came from, as policies match it.
#[must_use]
pub fn protocol(facts: &Facts, source: Source<'_>) -> Protocol {
    facts.protocol.unwrap_or(match source.facts.kind {
        PeerKind::Internal { .. } | PeerKind::Confed => Protocol::Ibgp,
        PeerKind::External | PeerKind::Local => Protocol::Ebgp,
    })
}

/// RFC 4271 §5.1.3.
fn next_hop(
    profile: &ExportProfile,
    attributes: &mut PathAttributes,
    mode: NextHopMode,
    source: Source<'_>,
    family: AddressFamily,
) -> Result<(), Refusal> {
    let ours = is_own(attributes.next_hop);
    let take_own = match mode {
        NextHopMode::Own => true,
        NextHopMode::Unchanged | NextHopMode::Address => ours,
        NextHopMode::Default => match profile.kind {
            // A next hop given for a route of our own stands; others are replaced on the way out of the AS.
            PeerKind::External | PeerKind::Local => {
                ours || (source.peer != PeerIndex::LOCAL && !transparent(profile, source))
            }
            // Reflected routes keep their next hop (RFC 4456 §10).
            PeerKind::Internal { .. } => ours || (profile.next_hop_self && !source.facts.kind.is_internal()),
            PeerKind::Confed => ours || profile.next_hop_self,
        },
    };
    if take_own || !profile.may_carry(attributes.next_hop, family) {
        attributes.next_hop = profile.own(family).ok_or(Refusal::NoNextHop(family))?;
    } else if let NextHopAttr::V6 { link_local, .. } = &mut attributes.next_hop {
        // RFC 2545 §3: the link-local address is only for a link that all three share.
        *link_local = None;
    }
    Ok(())
}

fn to_external(profile: &ExportProfile, attributes: &mut PathAttributes, source: Source<'_>, prepend: u8) {
    // RFC 4271 §5.1.2 b, §5.1.5; RFC 4456 §8: the two others do not leave the AS.
    if !transparent(profile, source) {
        attributes.as_path.strip_confed();
        attributes.as_path.prepend(profile.local_asn, 1 + usize::from(prepend));
    }
    inside_only(attributes);
    attributes.local_pref = None;
}

fn to_confed(profile: &ExportProfile, attributes: &mut PathAttributes) {
    // RFC 5065 §4.1: LOCAL_PREF, MED and the next hop go on as they are.
    attributes.as_path.prepend_confed(profile.local_asn);
    attributes.local_pref.get_or_insert(DEFAULT_LOCAL_PREF);
    inside_only(attributes);
}

/// RFC 4456 §8: what reflection uses does not leave the (member) AS.
fn inside_only(attributes: &mut PathAttributes) {
    attributes.originator_id = None;
    attributes.cluster_list.clear();
}

fn to_internal(profile: &ExportProfile, attributes: &mut PathAttributes, source: Source<'_>) {
    // RFC 4271 §5.1.5: LOCAL_PREF is always sent.
    attributes.local_pref.get_or_insert(DEFAULT_LOCAL_PREF);
    if source.facts.kind.is_internal() {
        // RFC 4456 §8.
        attributes.originator_id.get_or_insert(source.facts.router_id);
        attributes.cluster_list.insert(0, profile.cluster_id);
    }
}
