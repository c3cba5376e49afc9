//! Import (RFC 4271 §9.1.1): from attributes as received to attributes as the decision sees them, or to nothing.
//!
//! A path that import refuses stays in the Adj-RIB-In with [`AttrId::NONE`] for the result; the reason is found again when somebody
//! asks ([`Import::judge`]).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use rib::Protocol;
use smallvec::SmallVec;

use crate::attrs::{Extra, flag};
use crate::config::AdjInKeep;
use crate::intern::{AttrId, AttrStore, RawContext};
use crate::policy::{Chain, Outcome, RuleRef, Subject};
use crate::roles::{self, Leak};
use crate::wire::attr::{AsPath, DecodeContext, PathAttributes, PeerKind, community};
use crate::wire::capability::Role;

/// Which routes come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportFilter {
    /// All.
    All,
    /// None: an external neighbor without import policy (RFC 8212).
    NoPolicy,
    /// What the policies accept.
    Chain(Chain),
}

/// The AS numbers that make a loop in a path of this neighbor (RFC 4271 §9.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAs {
    /// Those the world sees: our AS or confederation, and the one we bear towards this neighbor.
    pub outside: SmallVec<[u32; 2]>,
    /// Our member AS, which is one in confederation segments only (RFC 5065 §4).
    pub member: Option<u32>,
    /// So many times each may occur.
    pub allowed: u8,
}

impl OwnAs {
    /// The AS number that occurs more often than allowed, and how often.
    #[must_use]
    pub fn excess(&self, path: &AsPath) -> Option<(u32, usize)> {
        let count = |asn: u32, confed: bool| {
            let segments = path.segments.iter().filter(|segment| segment.kind.is_confed() == confed);
            (asn, segments.flat_map(|segment| &segment.asns).filter(|other| **other == asn).count())
        };
        // Without a confederation its segments come from nobody; what is ours in them is a loop all the same.
        let anywhere = |asn: u32| match self.member {
            Some(_) => count(asn, false),
            None => (asn, path.asns().filter(|other| *other == asn).count()),
        };
        let outside = self.outside.iter().map(|asn| anywhere(*asn));
        outside.chain(self.member.map(|asn| count(asn, true))).find(|(_, times)| *times > usize::from(self.allowed))
    }
}

/// Everything import reads of a neighbor.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// How its UPDATEs are read.
    pub decode: DecodeContext,
    /// The policy.
    pub filter: ImportFilter,
    /// What is kept of what the policy refuses.
    pub keep: AdjInKeep,
    /// Its address.
    pub neighbor: IpAddr,
    /// Our AS towards it.
    pub local_asn: u32,
    /// Its AS.
    pub remote_asn: u32,
    /// Our address towards it.
    pub local_address: IpAddr,
    /// The number of the link that its link-local next hops are on; 0 if that is not known.
    pub link: u32,
    /// Families in use: IPv4, IPv6.
    pub families: [bool; 2],
    /// Prefixes come with path identifiers (RFC 7911): IPv4, IPv6.
    pub add_path: [bool; 2],
    /// Whatever is accepted gets LOCAL_PREF 0 (RFC 8326 §4.1): an operator moves traffic away from the session.
    pub drained: bool,
    /// What makes a loop.
    pub own: OwnAs,
    /// Our role towards it (RFC 9234); external neighbors only.
    pub role: Option<Role>,
    /// It is a client of our route server, which leaves communities to the clients (RFC 7947 §2.2.4).
    pub route_server_client: bool,
}

/// Why a path may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportRefusal {
    /// Our AS is in the path (RFC 4271 §9.1.2).
    OwnAs {
        /// Which of ours.
        asn: u32,
        /// How often.
        times: usize,
        /// How often it may be (`allow_as_in`).
        allowed: u8,
    },
    /// Reflected back to us (RFC 4456 §8).
    OwnOriginator,
    /// It has been through our cluster (RFC 4456 §8).
    OwnCluster,
    /// A route leak (RFC 9234 §5).
    Leak(Leak),
    /// No import policy (RFC 8212).
    NoPolicy,
    /// The policy says no.
    Policy(RuleRef),
}

impl fmt::Display for ImportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAs { asn, times: 1, allowed: 0 } => write!(f, "our own AS {asn} is in the AS_PATH"),
            Self::OwnAs { asn, times, allowed } => {
                write!(f, "our own AS {asn} is {times} times in the AS_PATH, {allowed} allowed (allow_as_in)")
            }
            Self::OwnOriginator => f.write_str("ORIGINATOR_ID is our router id"),
            Self::OwnCluster => f.write_str("our cluster is in the CLUSTER_LIST"),
            Self::Leak(leak) => leak.fmt(f),
            Self::NoPolicy => f.write_str("RFC 8212: no import policy"),
            Self::Policy(rule) => write!(f, "rejected by {rule}"),
        }
    }
}

/// A path that may be used.
#[derive(Default)]
struct Accepted {
    /// What it became, if that differs from what was received.
    changed: Option<(PathAttributes, u32)>,
    /// Packets are dropped here.
    discard: bool,
    /// The rule that accepted.
    by: Option<RuleRef>,
}

impl Import {
    /// The context that an UPDATE's octets are remembered in. The two checks that depend on the neighbor itself are not part of it:
    /// [`Self::shortcut_holds`].
    #[must_use]
    pub fn raw_context(&self) -> RawContext {
        let kind = match self.decode.peer {
            PeerKind::External => 0,
            PeerKind::Internal => 1,
            PeerKind::Confed => 2,
        };
        let exact = kind + if self.decode.extended_next_hop { 3 } else { 0 };
        RawContext(if self.decode.as4 { exact } else { RawContext::EXACT + exact })
    }

    /// True if a set known from another neighbor's UPDATE could have been decoded from this one too.
    #[must_use]
    pub fn shortcut_holds(&self, store: &AttrStore, id: AttrId) -> bool {
        let facts = store.facts(id);
        let addr = store.next_hops.addr(facts.next_hop);
        let own_next_hop = self.decode.local_address == Some(addr);
        let first_as = self.decode.first_asn.is_none_or(|asn| facts.neighbor_as == asn);
        // One link-local address may be there on several links.
        let link = !is_link_local(addr) || store.next_hops.link(facts.next_hop) == self.link;
        !own_next_hop && first_as && link
    }

    /// What is known of a set from this neighbor beside its attributes.
    #[must_use]
    pub fn extra(&self, attributes: &PathAttributes) -> Extra {
        let link = if is_link_local(attributes.next_hop.addr()) { self.link } else { 0 };
        Extra { link, ..Extra::default() }
    }

    /// The verdict can differ between the prefixes of an UPDATE.
    #[must_use]
    pub fn reads_prefix(&self) -> bool {
        matches!(&self.filter, ImportFilter::Chain(chain) if chain.reads_prefix())
    }

    /// What import makes of `id` for `prefix`: a set with one user more, or [`AttrId::NONE`]. `decoded` is filled when it is needed.
    pub fn apply(
        &self,
        store: &mut AttrStore,
        id: AttrId,
        decoded: &mut Option<PathAttributes>,
        prefix: IpNet,
    ) -> AttrId {
        let verdict = self.verdict(store, id, decoded, prefix).map(|mut accepted| {
            if self.drained {
                let received = decoded.get_or_insert_with(|| store.attributes(id));
                let (set, _) = accepted.changed.get_or_insert_with(|| (received.clone(), 0));
                set.local_pref = Some(0);
            }
            accepted
        });
        match verdict {
            Err(_) => AttrId::NONE,
            Ok(Accepted { changed: None, discard: false, .. }) => {
                store.retain(id, 1);
                id
            }
            Ok(Accepted { changed, discard, .. }) => {
                let received = decoded.get_or_insert_with(|| store.attributes(id));
                let (attributes, weight) = changed.as_ref().map_or((&*received, 0), |(set, weight)| (set, *weight));
                store.intern(attributes, Extra { weight, discard, ..self.extra(attributes) })
            }
        }
    }

    /// The same verdict in words: the rule that accepted, if a policy did.
    ///
    /// # Errors
    /// Why the path may not be used.
    pub fn judge(&self, store: &AttrStore, id: AttrId, prefix: IpNet) -> Result<Option<RuleRef>, ImportRefusal> {
        self.verdict(store, id, &mut None, prefix).map(|accepted| accepted.by)
    }

    fn verdict(
        &self,
        store: &AttrStore,
        id: AttrId,
        decoded: &mut Option<PathAttributes>,
        prefix: IpNet,
    ) -> Result<Accepted, ImportRefusal> {
        let flags = store.facts(id).flags;
        if flags & flag::LOOP != 0 {
            self.refuse_loop(flags, decoded.get_or_insert_with(|| store.attributes(id)))?;
        }
        let mut adjusted = None;
        if self.may_adjust(flags) {
            adjusted = self.adjust(decoded.get_or_insert_with(|| store.attributes(id)))?;
        }
        let chain = match &self.filter {
            ImportFilter::All => {
                return Ok(Accepted { changed: adjusted.map(|set| (set, 0)), ..Accepted::default() });
            }
            ImportFilter::NoPolicy => return Err(ImportRefusal::NoPolicy),
            ImportFilter::Chain(chain) => chain,
        };
        let attributes = adjusted.as_ref().unwrap_or(decoded.get_or_insert_with(|| store.attributes(id)));
        let evaluation = chain.evaluate(&self.subject(attributes, prefix));
        let changed = match evaluation.outcome {
            Outcome::Reject => return Err(ImportRefusal::Policy(evaluation.by)),
            Outcome::AcceptChanged(changed) => Some(*changed),
            Outcome::Accept => adjusted.map(|set| (set, 0)),
        };
        let set = changed.as_ref().map(|(set, _)| set).or(decoded.as_ref());
        // RFC 7999 §3.3: only what an operator's own policy let in is dropped, never what comes through for want of one.
        let discard = self.heeds_communities() && set.is_some_and(|set| set.has_community(community::BLACKHOLE));
        Ok(Accepted { changed, discard, by: Some(evaluation.by) })
    }

    fn refuse_loop(&self, flags: u16, attributes: &PathAttributes) -> Result<(), ImportRefusal> {
        if flags & flag::OWN_AS != 0
            && let Some((asn, times)) = self.own.excess(&attributes.as_path)
        {
            return Err(ImportRefusal::OwnAs { asn, times, allowed: self.own.allowed });
        }
        if flags & flag::OWN_ORIGINATOR != 0 {
            return Err(ImportRefusal::OwnOriginator);
        }
        if flags & flag::OWN_CLUSTER != 0 { Err(ImportRefusal::OwnCluster) } else { Ok(()) }
    }

    /// GRACEFUL_SHUTDOWN and BLACKHOLE mean something from this neighbor.
    fn heeds_communities(&self) -> bool {
        self.decode.peer == PeerKind::External && !self.route_server_client
    }

    /// [`Self::adjust`] may have something to do.
    fn may_adjust(&self, flags: u16) -> bool {
        let communities = flags & (flag::GRACEFUL_SHUTDOWN | flag::BLACKHOLE) != 0;
        self.role.is_some() || (communities && self.heeds_communities())
    }

    /// What is done at the border of the AS before policy, which may override it; `None` for nothing.
    fn adjust(&self, received: &PathAttributes) -> Result<Option<PathAttributes>, ImportRefusal> {
        let otc = match self.role {
            Some(role) => {
                roles::ingress(role, self.remote_asn, received.only_to_customer).map_err(ImportRefusal::Leak)?
            }
            None => None,
        };
        let has = |community| self.heeds_communities() && received.has_community(community);
        let shutdown = has(community::GRACEFUL_SHUTDOWN);
        let blackhole = has(community::BLACKHOLE)
            && !has(community::NO_ADVERTISE)
            && !has(community::NO_EXPORT)
            && !has(community::NO_EXPORT_SUBCONFED);
        if otc.is_none() && !shutdown && !blackhole {
            return Ok(None);
        }
        let mut adjusted = received.clone();
        adjusted.only_to_customer = otc.or(adjusted.only_to_customer);
        if shutdown {
            // RFC 8326 §4.2: the lowest preference.
            adjusted.local_pref = Some(0);
        }
        if blackhole {
            // RFC 7999 §3.2: it stays within our AS unless a policy takes this away.
            adjusted.add_community(community::NO_EXPORT);
        }
        Ok(Some(adjusted))
    }

    fn subject<'a>(&self, attributes: &'a PathAttributes, prefix: IpNet) -> Subject<'a> {
        Subject {
            prefix,
            attributes,
            weight: 0,
            protocol: if self.decode.peer == PeerKind::External { Protocol::Ebgp } else { Protocol::Ibgp },
            tag: 0,
            gateways: &[],
            neighbor: self.neighbor,
            local_asn: self.local_asn,
            local_address: self.local_address,
        }
    }
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}
