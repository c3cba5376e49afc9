//! What both OPENs together mean (RFC 4271 §4.2, §6.2; RFC 5492).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use rib::AddressFamily;

use super::SessionConfig;
use crate::wire::attr::{DecodeContext, PeerKind};
use crate::wire::capability::{AddPathMode, Capability};
use crate::wire::header::{MAX_LEN, MAX_LEN_EXTENDED};
use crate::wire::notification::open as subcode;
use crate::wire::open::Open;
use crate::wire::{AfiSafi, Notification};

/// What was agreed on for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Our AS towards the neighbor.
    pub local_asn: u32,
    /// The neighbor's AS.
    pub peer_asn: u32,
    /// Our BGP Identifier.
    pub local_router_id: Ipv4Addr,
    /// The neighbor's BGP Identifier.
    pub peer_router_id: Ipv4Addr,
    /// Where the neighbor stands.
    pub kind: PeerKind,
    /// The lower of both proposals; zero: the session needs no KEEPALIVEs.
    pub hold_time: Duration,
    /// A third of the hold time, before jitter (RFC 4271 §4.4).
    pub keepalive: Duration,
    /// AS numbers have four octets (RFC 6793).
    pub as4: bool,
    /// Families both speak, in the order of our configuration; never empty.
    pub families: Vec<AddressFamily>,
    /// Families with several paths to a prefix, and what *we* do: receive, send or both (RFC 7911).
    pub add_path: Vec<(AddressFamily, AddPathMode)>,
    /// Messages may have 65,535 octets in both directions (RFC 8654).
    pub extended_messages: bool,
    /// The neighbor understands ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// Both speak enhanced route refresh (RFC 7313).
    pub enhanced_refresh: bool,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// The neighbor's end.
    pub remote: SocketAddr,
    /// Everything the neighbor offered.
    pub peer_capabilities: Vec<Capability>,
}

impl Negotiated {
    /// The longest message, in octets.
    #[must_use]
    pub const fn max_message(&self) -> usize {
        if self.extended_messages { MAX_LEN_EXTENDED } else { MAX_LEN }
    }

    /// Prefixes of `family` come with path identifiers.
    #[must_use]
    pub fn receives_paths(&self, family: AddressFamily) -> bool {
        self.add_path.iter().any(|(other, mode)| *other == family && mode.receives())
    }

    /// Prefixes of `family` are sent with path identifiers.
    #[must_use]
    pub fn sends_paths(&self, family: AddressFamily) -> bool {
        self.add_path.iter().any(|(other, mode)| *other == family && mode.sends())
    }

    /// How attributes from this neighbor are read. The first AS of external paths has to be the neighbor's.
    #[must_use]
    pub fn decode_context(&self) -> DecodeContext {
        let local: IpAddr = self.local.ip();
        DecodeContext {
            as4: self.as4,
            peer: self.kind,
            first_asn: (self.kind == PeerKind::External).then_some(self.peer_asn),
            local_address: Some(local),
            extended_next_hop: false,
        }
    }
}

/// Judges the neighbor's OPEN by the configuration.
///
/// # Errors
/// 2/2 if the AS is not the one configured, 2/3 if an internal neighbor has our own identifier (RFC 6286 §2.2), 2/7 with
/// the capabilities we miss if there is no common family (RFC 5492 §5).
pub(super) fn negotiate(
    config: &SessionConfig,
    open: &Open,
    local: SocketAddr,
    remote: SocketAddr,
) -> Result<Negotiated, Notification> {
    let kind = config.kind_of(open.asn).ok_or_else(|| Notification::open(subcode::BAD_PEER_AS))?;
    if kind == PeerKind::Internal && open.router_id == config.router_id {
        return Err(Notification::open(subcode::BAD_IDENTIFIER));
    }
    let theirs = open.families();
    let families: Vec<AddressFamily> =
        config.families.iter().copied().filter(|family| theirs.contains(&AfiSafi::from(*family))).collect();
    if families.is_empty() {
        let mut missed = BytesMut::new();
        for family in &config.families {
            Capability::MultiProtocol((*family).into()).encode(&mut missed);
        }
        return Err(Notification::open(subcode::UNSUPPORTED_CAPABILITY).with_data(missed.freeze()));
    }
    let hold_time = Duration::from_secs(u64::from(config.hold_secs().min(open.hold_secs)));
    Ok(Negotiated {
        local_asn: config.local_asn,
        peer_asn: open.asn,
        local_router_id: config.router_id,
        peer_router_id: open.router_id,
        kind,
        hold_time,
        keepalive: hold_time / 3,
        as4: open.as4(),
        add_path: add_path(config, open, &families),
        families,
        extended_messages: config.extended_messages && open.has(&Capability::ExtendedMessages),
        route_refresh: open.has(&Capability::RouteRefresh),
        enhanced_refresh: config.enhanced_refresh && open.has(&Capability::EnhancedRouteRefresh),
        local,
        remote,
        peer_capabilities: open.capabilities.clone(),
    })
}

/// RFC 7911 §4: a direction is in use if one end offers to send and the other to receive.
fn add_path(config: &SessionConfig, open: &Open, families: &[AddressFamily]) -> Vec<(AddressFamily, AddPathMode)> {
    let theirs = |family: AddressFamily| {
        open.capabilities.iter().find_map(|capability| match capability {
            Capability::AddPath(list) => list.iter().find(|(other, _)| *other == AfiSafi::from(family)),
            _ => None,
        })
    };
    let both = |(family, ours): &(AddressFamily, AddPathMode)| {
        let (_, theirs) = theirs(*family).filter(|_| families.contains(family))?;
        let mode = match (ours.receives() && theirs.sends(), ours.sends() && theirs.receives()) {
            (true, true) => AddPathMode::Both,
            (true, false) => AddPathMode::Receive,
            (false, true) => AddPathMode::Send,
            (false, false) => return None,
        };
        Some((*family, mode))
    };
    config.add_path.iter().filter_map(both).collect()
}
