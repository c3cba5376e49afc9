//! The octets of an attribute list to [`PathAttributes`], by RFC 4271 §6.3 as revised by RFC 7606.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use smallvec::SmallVec;

use super::fault::{AttrFault, FaultAction};
use super::scan::{Scan, Tlv};
use super::table::{self, From, OnFault, Row};
use super::{Aggregator, AsPath, NextHopAttr, Origin, Partial, PathAttributes, UnknownAttribute, as_path};
use super::{code, flags, next_hop, unknown};
use crate::wire::Notification;
use crate::wire::notification::update as subcode;

/// Where a neighbor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKind {
    /// In our AS (in a confederation: in our member AS).
    Internal,
    /// In another AS.
    External,
    /// In another member AS of our confederation (RFC 5065).
    Confed,
}

/// What reading attributes depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// AS numbers have four octets on this session (RFC 6793).
    pub as4: bool,
    /// Where the neighbor stands.
    pub peer: PeerKind,
    /// The AS that AS_PATH has to begin with (RFC 4271 §6.3), `None` to take any: internal neighbors, route servers.
    pub first_asn: Option<u32>,
    /// Our end of the session: a next hop that is our own is refused (RFC 4271 §5.1.3).
    pub local_address: Option<IpAddr>,
    /// IPv6 next hops for IPv4 prefixes were negotiated (RFC 8950).
    pub extended_next_hop: bool,
}

impl DecodeContext {
    /// A four-octet session with a neighbor of this kind, nothing else checked.
    #[must_use]
    pub const fn new(peer: PeerKind) -> Self {
        Self { as4: true, peer, first_asn: None, local_address: None, extended_next_hop: false }
    }
}

/// For which routes of the UPDATE the attributes are wanted: they differ in the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those in the NLRI field, whose next hop is NEXT_HOP.
    Plain,
    /// Those in MP_REACH_NLRI, whose next hop stands there; NEXT_HOP is ignored (RFC 4760 §3).
    Mp,
}

/// Attributes that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The attributes.
    pub attributes: PathAttributes,
    /// Attributes that were discarded, to be shown.
    pub discarded: SmallVec<[AttrFault; 1]>,
}

/// Attributes as they are read, before it is known whether the mandatory ones are there.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) origin: Option<Origin>,
    pub(super) as_path: Option<AsPath>,
    pub(super) as4_path: Option<AsPath>,
    pub(super) next_hop: Option<Ipv4Addr>,
    pub(super) med: Option<u32>,
    pub(super) local_pref: Option<u32>,
    pub(super) atomic_aggregate: bool,
    pub(super) aggregator: Option<Aggregator>,
    pub(super) as4_aggregator: Option<Aggregator>,
    pub(super) communities: Vec<u32>,
    pub(super) extended_communities: Vec<[u8; 8]>,
    pub(super) large_communities: Vec<[u32; 3]>,
    pub(super) originator_id: Option<Ipv4Addr>,
    pub(super) cluster_list: Vec<Ipv4Addr>,
    pub(super) only_to_customer: Option<u32>,
    pub(super) unknown: Vec<UnknownAttribute>,
    pub(super) partial: Partial,
}

/// The attributes of the routes that `target` names.
///
/// # Errors
/// The strongest fault: [`FaultAction::TreatAsWithdraw`] for nearly all, [`FaultAction::Reset`] for a well-known
/// attribute that we do not know (RFC 4271 §6.3). Never [`FaultAction::DiscardAttribute`].
pub fn decode(scan: &Scan<'_>, context: &DecodeContext, target: Target) -> Result<Decoded, AttrFault> {
    let mut faults = Faults { worst: scan.fault.clone(), discarded: SmallVec::new() };
    let mut draft = Draft::default();
    read_all(scan, context, target == Target::Mp, &mut draft, &mut faults);

    let mut missing = |code| faults.add(AttrFault::withdraw(code, "missing"));
    // RFC 7606 §3 d.
    if draft.origin.is_none() {
        missing(code::ORIGIN);
    }
    if draft.as_path.is_none() {
        missing(code::AS_PATH);
    }
    let next_hop = match target {
        Target::Plain => match draft.next_hop {
            Some(addr) => Some(NextHopAttr::V4(addr)),
            None => {
                missing(code::NEXT_HOP);
                None
            }
        },
        Target::Mp => match scan.mp_reach {
            Some(reach) => {
                next_hop::from_mp(&reach, context).map_err(|what| faults.withdraw(code::MP_REACH, what)).ok()
            }
            None => {
                missing(code::MP_REACH);
                None
            }
        },
    };
    if let Some(what) = next_hop.and_then(|next_hop| next_hop::refuse(&next_hop, context)) {
        faults.withdraw(if target == Target::Mp { code::MP_REACH } else { code::NEXT_HOP }, what);
    }
    if let (Some(expected), Some(path)) = (context.first_asn, &draft.as_path)
        && path.neighbor_as() != Some(expected)
    {
        faults.withdraw(code::AS_PATH, "does not begin with the neighbor's AS");
    }
    let (Some(origin), Some(as_path), Some(next_hop), None) = (draft.origin, draft.as_path, next_hop, &faults.worst)
    else {
        return Err(faults.worst.unwrap_or_else(|| AttrFault::withdraw(0, "incomplete")));
    };
    let (as_path, aggregator) = reconcile(as_path, draft.as4_path, draft.aggregator, draft.as4_aggregator);
    let attributes = PathAttributes {
        origin,
        as_path,
        next_hop,
        med: draft.med,
        local_pref: draft.local_pref,
        atomic_aggregate: draft.atomic_aggregate,
        aggregator,
        communities: sorted(draft.communities),
        extended_communities: sorted(draft.extended_communities),
        large_communities: sorted(draft.large_communities),
        originator_id: draft.originator_id,
        cluster_list: draft.cluster_list,
        only_to_customer: draft.only_to_customer,
        unknown: draft.unknown,
        partial: draft.partial,
    };
    Ok(Decoded { attributes, discarded: faults.discarded })
}

/// Checks the attributes of an UPDATE that announces nothing. They are allowed there, but RFC 7606 §5.2 wants a reset if
/// they are malformed, because the routes to be withdrawn may be in what could not be read.
///
/// # Errors
/// The NOTIFICATION that ends the session: 3/1.
pub fn check_without_routes(scan: &Scan<'_>, context: &DecodeContext) -> Result<(), AttrFault> {
    let mut faults = Faults { worst: scan.fault.clone(), discarded: SmallVec::new() };
    read_all(scan, context, true, &mut Draft::default(), &mut faults);
    match faults.worst {
        None => Ok(()),
        Some(AttrFault { code, what, action: FaultAction::TreatAsWithdraw | FaultAction::DiscardAttribute }) => {
            Err(AttrFault::reset(code, what, Notification::update(subcode::MALFORMED_LIST)))
        }
        Some(reset) => Err(reset),
    }
}

struct Faults {
    worst: Option<AttrFault>,
    discarded: SmallVec<[AttrFault; 1]>,
}

impl Faults {
    fn add(&mut self, fault: AttrFault) {
        if fault.action == FaultAction::DiscardAttribute {
            self.discarded.push(fault);
        } else if self.worst.as_ref().is_none_or(|worst| worst.strength() < fault.strength()) {
            self.worst = Some(fault);
        }
    }

    fn withdraw(&mut self, code: u8, what: &'static str) {
        self.add(AttrFault::withdraw(code, what));
    }
}

fn read_all(scan: &Scan<'_>, context: &DecodeContext, skip_next_hop: bool, draft: &mut Draft, faults: &mut Faults) {
    let mut seen = [false; 256];
    for tlv in scan.attributes() {
        if tlv.code == code::NEXT_HOP && skip_next_hop {
            continue;
        }
        // RFC 7606 §3 g: the first counts.
        if std::mem::replace(&mut seen[usize::from(tlv.code)], true) {
            faults.add(AttrFault::discard(tlv.code, "appears more than once"));
            continue;
        }
        let outcome = match table::row(tlv.code) {
            Some(row) => read(row, &tlv, context, draft),
            None => read_unknown(&tlv, draft),
        };
        if let Err(fault) = outcome {
            faults.add(fault);
        }
    }
    draft.unknown.sort_by_key(|attribute| attribute.code);
}

fn read(row: &Row, tlv: &Tlv<'_>, context: &DecodeContext, draft: &mut Draft) -> Result<(), AttrFault> {
    let taken = match row.from {
        From::Anybody => true,
        From::Confederation => context.peer != PeerKind::External,
        From::Internal => context.peer == PeerKind::Internal,
        From::TwoOctetSpeakers => !context.as4,
    };
    if !taken {
        return Err(AttrFault::discard(row.code, "not expected from this neighbor"));
    }
    // RFC 7606 §3 c, whatever a malformed value of the attribute means.
    if tlv.flags & (flags::OPTIONAL | flags::TRANSITIVE) != row.flags {
        return Err(AttrFault::withdraw(row.code, "Optional or Transitive flag is wrong"));
    }
    (row.decode)(tlv.value, context, draft).map_err(|what| match row.on_fault {
        OnFault::Withdraw => AttrFault::withdraw(row.code, what),
        OnFault::Discard => AttrFault::discard(row.code, what),
    })?;
    if tlv.flags & flags::PARTIAL != 0 {
        draft.partial.insert(row.code);
    }
    Ok(())
}

fn read_unknown(tlv: &Tlv<'_>, draft: &mut Draft) -> Result<(), AttrFault> {
    if tlv.flags & flags::OPTIONAL == 0 {
        let data = Bytes::copy_from_slice(tlv.whole);
        let notification = Notification::update(subcode::UNRECOGNIZED_WELL_KNOWN).with_data(data);
        return Err(AttrFault::reset(tlv.code, "is marked well-known, but is not known", notification));
    }
    draft.unknown.extend(unknown::keep(tlv));
    Ok(())
}

/// RFC 6793 §4.2.3. On a four-octet session there is nothing to reconcile.
fn reconcile(
    path: AsPath,
    as4_path: Option<AsPath>,
    aggregator: Option<Aggregator>,
    as4_aggregator: Option<Aggregator>,
) -> (AsPath, Option<Aggregator>) {
    if let (Some(aggregator), Some(_)) = (aggregator, as4_aggregator)
        && aggregator.asn != u32::from(crate::wire::AS_TRANS)
    {
        // Somebody of two octets aggregated anew: what the four-octet attributes say is of the past.
        return (path, Some(aggregator));
    }
    let aggregator = aggregator.map(|old| as4_aggregator.unwrap_or(old));
    match as4_path {
        Some(as4_path) => (as_path::reconcile(path, as4_path), aggregator),
        None => (path, aggregator),
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
