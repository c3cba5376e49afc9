//! From the best path to what a neighbor is told: the rules of RFC 4271 §5 and §9.2, RFC 1997, RFC 4456 and RFC 8212, and the
//! export policy between them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use rib::{AddressFamily, Protocol};

use super::profile::{ExportProfile, Filter};
use crate::attrs::{DEFAULT_LOCAL_PREF, Facts, flag};
use crate::intern::{AttrId, AttrStore, is_own};
use crate::locrib::{PeerFacts, PeerIndex, PeerKind};
use crate::policy::{NextHopMode, Outcome, RuleRef, Subject};
use crate::wire::attr::{AsPath, NextHopAttr, PathAttributes, Segment, SegmentKind, community};

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
            Self::TooLong => f.write_str("attributes too long for a message"),
        }
    }
}

/// What the rules before policy say, from the facts alone.
#[must_use]
pub fn refused_early(profile: &ExportProfile, facts: &Facts, source: Source<'_>) -> Option<Refusal> {
    if facts.flags & flag::NO_ADVERTISE != 0 {
        return Some(Refusal::Community("NO_ADVERTISE"));
    }
    if profile.kind == PeerKind::External {
        // Without a confederation "another AS" and "outside the confederation" are the same (RFC 1997).
        if facts.flags & flag::NO_EXPORT != 0 {
            return Some(Refusal::Community("NO_EXPORT"));
        }
        if facts.flags & flag::NO_EXPORT_SUBCONFED != 0 {
            return Some(Refusal::Community("NO_EXPORT_SUBCONFED"));
        }
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
    // RFC 4271 §5.1.4: MED of one neighbor AS is not passed on to another. Before policy, which may set one of our own.
    if profile.kind == PeerKind::External && source.peer != PeerIndex::LOCAL {
        attributes.med = None;
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
            neighbor: profile.neighbor.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            local_asn: profile.local_asn,
            local_address: profile.own(family).addr(),
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
    next_hop(profile, &mut attributes, mode, source, AddressFamily::of(&prefix));
    match profile.kind {
        PeerKind::Internal { .. } => to_internal(profile, &mut attributes, source),
        PeerKind::External | PeerKind::Local => to_external(profile, &mut attributes, facts.prepend),
    }
    Ok((attributes, rule))
}

/// What the route came from, as policies match it.
#[must_use]
pub fn protocol(facts: &Facts, source: Source<'_>) -> Protocol {
    facts.protocol.unwrap_or(match source.facts.kind {
        PeerKind::Internal { .. } => Protocol::Ibgp,
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
) {
    let ours = is_own(attributes.next_hop);
    let take_own = match mode {
        NextHopMode::Own => true,
        NextHopMode::Unchanged | NextHopMode::Address => ours,
        NextHopMode::Default => match profile.kind {
            // A next hop given for a route of our own stands; others are replaced on the way out of the AS.
            PeerKind::External | PeerKind::Local => ours || source.peer != PeerIndex::LOCAL,
            // Reflected routes keep their next hop (RFC 4456 §10).
            PeerKind::Internal { .. } => ours || (profile.next_hop_self && source.facts.kind == PeerKind::External),
        },
    };
    let fits = AddressFamily::of_addr(&attributes.next_hop.addr()) == family;
    if take_own || !fits {
        attributes.next_hop = profile.own(family);
    } else if let NextHopAttr::V6 { link_local, .. } = &mut attributes.next_hop {
        // RFC 2545 §3: the link-local address is only for a link that all three share.
        *link_local = None;
    }
}

fn to_external(profile: &ExportProfile, attributes: &mut PathAttributes, prepend: u8) {
    // RFC 4271 §5.1.2 b, §5.1.5; RFC 4456 §8: the two others do not leave the AS.
    prepend_as(&mut attributes.as_path, profile.local_asn, 1 + usize::from(prepend));
    attributes.local_pref = None;
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

fn prepend_as(path: &mut AsPath, asn: u32, count: usize) {
    const SEGMENT_MAX: usize = 255;
    let fits = path
        .segments
        .first()
        .is_some_and(|first| first.kind == SegmentKind::Sequence && first.asns.len() + count <= SEGMENT_MAX);
    if fits {
        path.segments[0].asns.insert_many(0, std::iter::repeat_n(asn, count));
    } else {
        let asns = std::iter::repeat_n(asn, count.min(SEGMENT_MAX)).collect();
        path.segments.insert(0, Segment { kind: SegmentKind::Sequence, asns });
    }
}
