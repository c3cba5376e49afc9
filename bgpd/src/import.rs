//! Import (RFC 4271 §9.1.1): from attributes as received to attributes as the decision sees them, or to nothing.
//!
//! A path that import refuses stays in the Adj-RIB-In with [`AttrId::NONE`] for the result; the reason is found again when somebody
//! asks ([`Import::judge`]).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use rib::Protocol;

use crate::attrs::{Extra, flag};
use crate::config::AdjInKeep;
use crate::intern::{AttrId, AttrStore, RawContext};
use crate::policy::{Chain, Outcome, RuleRef, Subject};
use crate::wire::attr::{DecodeContext, PathAttributes, PeerKind};

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
    /// Our address towards it.
    pub local_address: IpAddr,
    /// Families in use: IPv4, IPv6.
    pub families: [bool; 2],
    /// Prefixes come with path identifiers (RFC 7911), by family.
    pub add_path: [bool; 2],
    /// Whatever is accepted gets LOCAL_PREF 0 (RFC 8326 §4.1): an operator moves traffic away from the session.
    pub drained: bool,
}

/// Why a path may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportRefusal {
    /// Our AS is in the path (RFC 4271 §9.1.2).
    OwnAs,
    /// Reflected back to us (RFC 4456 §8).
    OwnOriginator,
    /// It has been through our cluster (RFC 4456 §8).
    OwnCluster,
    /// No import policy (RFC 8212).
    NoPolicy,
    /// The policy says no.
    Policy(RuleRef),
}

impl fmt::Display for ImportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAs => f.write_str("our own AS is in the AS_PATH"),
            Self::OwnOriginator => f.write_str("ORIGINATOR_ID is our router id"),
            Self::OwnCluster => f.write_str("our cluster is in the CLUSTER_LIST"),
            Self::NoPolicy => f.write_str("RFC 8212: no import policy"),
            Self::Policy(rule) => write!(f, "rejected by {rule}"),
        }
    }
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
        let own_next_hop = self.decode.local_address == Some(store.next_hops.addr(facts.next_hop));
        let first_as = self.decode.first_asn.is_none_or(|asn| facts.neighbor_as == asn);
        !own_next_hop && first_as
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
        let accepted = self.filtered(store, id, decoded, prefix);
        if !self.drained || !accepted.is_some() {
            return accepted;
        }
        let last = PathAttributes { local_pref: Some(0), ..store.attributes(accepted) };
        let drained = store.intern(&last, store.extra(accepted));
        store.release(accepted);
        drained
    }

    fn filtered(
        &self,
        store: &mut AttrStore,
        id: AttrId,
        decoded: &mut Option<PathAttributes>,
        prefix: IpNet,
    ) -> AttrId {
        if store.facts(id).flags & flag::LOOP != 0 {
            return AttrId::NONE;
        }
        match &self.filter {
            ImportFilter::All => {
                store.retain(id, 1);
                id
            }
            ImportFilter::NoPolicy => AttrId::NONE,
            ImportFilter::Chain(chain) => {
                let attributes = decoded.get_or_insert_with(|| store.attributes(id));
                match chain.evaluate(&self.subject(attributes, prefix)).outcome {
                    Outcome::Accept => {
                        store.retain(id, 1);
                        id
                    }
                    Outcome::AcceptChanged(changed) => {
                        store.intern(&changed.0, Extra { weight: changed.1, ..Extra::default() })
                    }
                    Outcome::Reject => AttrId::NONE,
                }
            }
        }
    }

    /// The same verdict in words: the rule that accepted, if a policy did.
    ///
    /// # Errors
    /// Why the path may not be used.
    pub fn judge(&self, store: &AttrStore, id: AttrId, prefix: IpNet) -> Result<Option<RuleRef>, ImportRefusal> {
        let flags = store.facts(id).flags;
        for (bit, refusal) in [
            (flag::OWN_AS, ImportRefusal::OwnAs),
            (flag::OWN_ORIGINATOR, ImportRefusal::OwnOriginator),
            (flag::OWN_CLUSTER, ImportRefusal::OwnCluster),
        ] {
            if flags & bit != 0 {
                return Err(refusal);
            }
        }
        match &self.filter {
            ImportFilter::All => Ok(None),
            ImportFilter::NoPolicy => Err(ImportRefusal::NoPolicy),
            ImportFilter::Chain(chain) => {
                let evaluation = chain.evaluate(&self.subject(&store.attributes(id), prefix));
                match evaluation.outcome {
                    Outcome::Reject => Err(ImportRefusal::Policy(evaluation.by)),
                    Outcome::Accept | Outcome::AcceptChanged(_) => Ok(Some(evaluation.by)),
                }
            }
        }
    }

    fn subject<'a>(&self, attributes: &'a PathAttributes, prefix: IpNet) -> Subject<'a> {
        Subject {
            prefix,
            attributes,
            weight: 0,
            protocol: if self.decode.peer == PeerKind::Internal { Protocol::Ibgp } else { Protocol::Ebgp },
            neighbor: self.neighbor,
            local_asn: self.local_asn,
            local_address: self.local_address,
        }
    }
}
