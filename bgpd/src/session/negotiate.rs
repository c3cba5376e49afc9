//! What both OPENs together mean (RFC 4271 §4.2, §6.2; RFC 5492).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use rib::AddressFamily;

use super::SessionConfig;
use crate::wire::attr::{DecodeContext, PeerKind};
use crate::wire::capability::{self, AddPathMode, Capability, Role};
use crate::wire::family::AFI_IPV6;
use crate::wire::header::{MAX_LEN, MAX_LEN_EXTENDED};
use crate::wire::notification::open as subcode;
use crate::wire::open::Open;
use crate::wire::{AfiSafi, Notification};

/// What one end says of its restarts (RFC 4724 §3, RFC 8538 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// It has restarted.
    pub restarted: bool,
    /// It goes on gracefully after a NOTIFICATION and after a hold time that is over, too.
    pub notification: bool,
    /// How long it needs to come back.
    pub restart_time: Duration,
    /// The families that it restarts gracefully, and whether it kept forwarding over its last restart. None: it only
    /// helps others.
    pub families: Vec<(AddressFamily, bool)>,
}

impl Restart {
    /// It restarts `family` gracefully.
    #[must_use]
    pub fn covers(&self, family: AddressFamily) -> bool {
        self.families.iter().any(|(other, _)| *other == family)
    }

    /// It kept forwarding for `family` over its last restart.
    #[must_use]
    pub fn forwarded(&self, family: AddressFamily) -> bool {
        self.families.contains(&(family, true))
    }

    fn of(open: &Open) -> Option<Self> {
        // RFC 4724 §3: of several, the last counts.
        open.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::GracefulRestart { restarted, notification, restart_secs, families } => Some(Self {
                restarted: *restarted,
                notification: *notification,
                restart_time: Duration::from_secs(u64::from(*restart_secs)),
                families: families.iter().filter_map(|f| Some((f.family.unicast()?, f.forwarding))).collect(),
            }),
            _ => None,
        })
    }
}

/// What one end says of a family's long-lived stale routes (RFC 9494 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLived {
    /// Which.
    pub family: AddressFamily,
    /// It kept forwarding over its last restart.
    pub forwarding: bool,
    /// How long its routes may be kept once the restart time is over.
    pub stale_time: Duration,
}

impl LongLived {
    /// None without graceful restart: RFC 9494 §4.2 has the capability ignored then.
    fn of(open: &Open) -> Vec<Self> {
        let lists = open.capabilities.iter().rev().filter(|_| Restart::of(open).is_some());
        let of = |f: &capability::LongLivedFamily| {
            let stale_time = Duration::from_secs(u64::from(f.stale_secs));
            Some(Self { family: f.family.unicast()?, forwarding: f.forwarding, stale_time })
        };
        let list = |capability: &Capability| match capability {
            Capability::LongLivedGracefulRestart(list) => Some(list.iter().filter_map(of).collect()),
            _ => None,
        };
        lists.into_iter().find_map(list).unwrap_or_default()
    }
}

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
    /// IPv4 routes may have IPv6 next hops in both directions (RFC 8950).
    pub extended_next_hop: bool,
    /// What we said of our restarts.
    pub our_restart: Option<Restart>,
    /// What the neighbor said of its own.
    pub peer_restart: Option<Restart>,
    /// The neighbor's routes are kept while it restarts (RFC 4724 §4.2).
    pub helper: bool,
    /// How long the neighbor may keep our stale routes (RFC 9494).
    pub our_long_lived: Vec<LongLived>,
    /// How long we may keep the neighbor's.
    pub peer_long_lived: Vec<LongLived>,
    /// Our role (RFC 9234); counts even if the neighbor named none.
    pub role: Option<Role>,
    /// The neighbor's role, if it named one and we have one: then they fit.
    pub peer_role: Option<Role>,
    /// The identifier of the confederation we are in (RFC 5065); [`Self::kind`] tells whether the neighbor is inside.
    pub confederation: Option<u32>,
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

    /// Both ends go on gracefully after a NOTIFICATION (RFC 8538 §2).
    #[must_use]
    pub fn notifies_gracefully(&self) -> bool {
        let flagged = |restart: &Option<Restart>| restart.as_ref().is_some_and(|restart| restart.notification);
        flagged(&self.our_restart) && flagged(&self.peer_restart)
    }

    /// The neighbor may restart without our noticing, and come with a new connection (RFC 4724 §5).
    #[must_use]
    pub fn peer_may_come_back(&self) -> bool {
        self.our_restart.is_some() && self.peer_restart.as_ref().is_some_and(|restart| !restart.families.is_empty())
    }

    /// The neighbor keeps our routes while we restart, as we asked it to (RFC 4724 §4.2).
    #[must_use]
    pub fn is_helped(&self) -> bool {
        self.peer_restart.is_some() && self.our_restart.as_ref().is_some_and(|restart| !restart.families.is_empty())
    }

    /// At least one end restarts some family gracefully; the other helps it.
    pub(super) fn restarts_any(&self) -> bool {
        [&self.our_restart, &self.peer_restart].into_iter().flatten().any(|restart| !restart.families.is_empty())
    }

    /// Routes of `family` are kept when the session is lost (RFC 4724 §4.2).
    #[must_use]
    pub fn helps(&self, family: AddressFamily) -> bool {
        self.helper
            && self.families.contains(&family)
            && (self.peer_restart.as_ref().is_some_and(|restart| restart.covers(family)) || self.helps_long(family))
    }

    /// Routes of `family` are kept beyond the restart time (RFC 9494 §4.2), also where that is zero or not given.
    #[must_use]
    pub fn helps_long(&self, family: AddressFamily) -> bool {
        let kept = |list: &[LongLived]| list.iter().any(|one| one.family == family && !one.stale_time.is_zero());
        kept(&self.our_long_lived) && kept(&self.peer_long_lived)
    }

    /// Routes of some family are kept when the session is lost.
    #[must_use]
    pub fn helps_any(&self) -> bool {
        self.families.iter().any(|family| self.helps(*family))
    }

    /// How attributes from this neighbor are read. The first AS of external paths has to be the neighbor's, unless it
    /// is a route server (RFC 7947 §2.2.2.1), which our role tells.
    #[must_use]
    pub fn decode_context(&self) -> DecodeContext {
        let local: IpAddr = self.local.ip();
        DecodeContext {
            as4: self.as4,
            peer: self.kind,
            first_asn: (self.kind == PeerKind::External && self.role != Some(Role::RouteServerClient))
                .then_some(self.peer_asn),
            local_address: Some(local),
            extended_next_hop: self.extended_next_hop,
        }
    }
}

/// Judges the neighbor's OPEN by the configuration and by `ours`, the OPEN that we sent.
///
/// # Errors
/// 2/2 if the AS is not the one configured, 2/3 if an internal neighbor has our own identifier (RFC 6286 §2.2), 2/7 with
/// the capabilities we miss if there is no common family (RFC 5492 §5), 2/11 if the roles do not fit (RFC 9234 §4.2).
pub(super) fn negotiate(
    config: &SessionConfig,
    ours: &Open,
    open: &Open,
    local: SocketAddr,
    remote: SocketAddr,
) -> Result<Negotiated, Notification> {
    let kind = config.kind_of(open.asn).ok_or_else(|| Notification::open(subcode::BAD_PEER_AS))?;
    if kind == PeerKind::Internal && open.router_id == config.router_id {
        return Err(Notification::open(subcode::BAD_IDENTIFIER));
    }
    let (offered, theirs) = (ours.families(), open.families());
    let both = |family: &AddressFamily| [&offered, &theirs].iter().all(|f| f.contains(&AfiSafi::from(*family)));
    let families: Vec<AddressFamily> = config.families.iter().copied().filter(both).collect();
    if families.is_empty() {
        let mut missed = BytesMut::new();
        for family in &config.families {
            Capability::MultiProtocol((*family).into()).encode(&mut missed);
        }
        return Err(Notification::open(subcode::UNSUPPORTED_CAPABILITY).with_data(missed.freeze()));
    }
    let role = if kind == PeerKind::Internal { None } else { config.role };
    let peer_role = role.map_or(Ok(None), |role| peer_role(role, open))?;
    let hold_time = Duration::from_secs(u64::from(config.hold_secs().min(open.hold_secs)));
    let agreed = |capability: &Capability| ours.has(capability) && open.has(capability);
    let ipv6_next_hops = |open: &Open| {
        open.capabilities.iter().any(|capability| match capability {
            Capability::ExtendedNextHop(list) => list.contains(&(AfiSafi::IPV4_UNICAST, AFI_IPV6)),
            _ => false,
        })
    };
    Ok(Negotiated {
        local_asn: config.local_asn,
        peer_asn: open.asn,
        local_router_id: config.router_id,
        peer_router_id: open.router_id,
        kind,
        hold_time,
        keepalive: hold_time / 3,
        as4: ours.as4() && open.as4(),
        add_path: add_path(ours, open, &families),
        extended_next_hop: families.contains(&AddressFamily::Ipv4) && ipv6_next_hops(ours) && ipv6_next_hops(open),
        families,
        extended_messages: agreed(&Capability::ExtendedMessages),
        route_refresh: open.has(&Capability::RouteRefresh),
        enhanced_refresh: agreed(&Capability::EnhancedRouteRefresh),
        our_restart: Restart::of(ours),
        peer_restart: Restart::of(open),
        helper: config.graceful_restart.helper && Restart::of(ours).is_some(),
        our_long_lived: LongLived::of(ours),
        peer_long_lived: LongLived::of(open),
        role,
        peer_role,
        confederation: config.confederation.as_ref().map(|confederation| confederation.id),
        local,
        remote,
        peer_capabilities: open.capabilities.clone(),
    })
}

/// The neighbor's role, if it fits ours (RFC 9234 §4.2, table 2). A neighbor that names none is taken as it is.
fn peer_role(ours: Role, open: &Open) -> Result<Option<Role>, Notification> {
    let fitting = match ours {
        Role::Provider => Role::Customer,
        Role::Customer => Role::Provider,
        Role::RouteServer => Role::RouteServerClient,
        Role::RouteServerClient => Role::RouteServer,
        Role::Peer => Role::Peer,
    };
    let mut found = None;
    for capability in &open.capabilities {
        match capability {
            Capability::Role(role) if *role == fitting => found = Some(*role),
            // Another one, several different ones, or one that is not assigned.
            Capability::Role(_) | Capability::Unknown { code: capability::code::ROLE, .. } => {
                return Err(Notification::open(subcode::ROLE_MISMATCH));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// RFC 7911 §4: a direction is in use if one end offers to send and the other to receive.
fn add_path(ours: &Open, theirs: &Open, families: &[AddressFamily]) -> Vec<(AddressFamily, AddPathMode)> {
    let mode = |open: &Open, family: AddressFamily| {
        open.capabilities.iter().find_map(|capability| match capability {
            Capability::AddPath(list) => list.iter().find(|(f, _)| *f == AfiSafi::from(family)).map(|(_, mode)| *mode),
            _ => None,
        })
    };
    let both = |family: &AddressFamily| {
        let (ours, theirs) = (mode(ours, *family)?, mode(theirs, *family)?);
        let mode = match (ours.receives() && theirs.sends(), ours.sends() && theirs.receives()) {
            (true, true) => AddPathMode::Both,
            (true, false) => AddPathMode::Receive,
            (false, true) => AddPathMode::Send,
            (false, false) => return None,
        };
        Some((*family, mode))
    };
    families.iter().filter_map(both).collect()
}
