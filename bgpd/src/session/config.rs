//! What a session needs of the configuration, and the OPEN it makes of that.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rib::AddressFamily;

use crate::config::{Confederation, GracefulRestart, NeighborConfig, RemoteAs, SpeakerConfig};
use crate::wire::AfiSafi;
use crate::wire::attr::PeerKind;
use crate::wire::capability::{AddPathMode, Capability, LongLivedFamily, RestartFamily, Role};
use crate::wire::family::AFI_IPV6;
use crate::wire::open::Open;

/// RFC 4724 §3: the restart time has 12 bits.
const RESTART_MAX_SECS: u64 = 0x0fff;
/// RFC 9494 §4.1: the stale time has 24 bits.
const LONG_LIVED_MAX_SECS: u32 = 0x00ff_ffff;

/// A session's part of the configuration. Two that are equal need no reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The speaker's number for this neighbor, below 2^31, never given to another while the speaker lives: the numbers
    /// of the connections that the session dials are made of it.
    pub number: u32,
    /// Where the neighbor is dialled.
    pub remote: SocketAddr,
    /// Our AS in the OPEN: towards members of our confederation our member AS, towards all others its identifier
    /// (RFC 5065 §4).
    pub local_asn: u32,
    /// The AS whose speakers are internal to us: [`Self::local_asn`] but for externals of a confederation.
    pub inner_asn: u32,
    /// The confederation we are in.
    pub confederation: Option<Confederation>,
    /// The AS the neighbor must be in.
    pub remote_as: RemoteAs,
    /// Our BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Proposed hold time, whole seconds: zero or at least 3.
    pub hold_time: Duration,
    /// Wait between attempts to connect, before back-off.
    pub connect_retry: Duration,
    /// Never dial.
    pub passive: bool,
    /// Families offered, at least one.
    pub families: Vec<AddressFamily>,
    /// Extended messages offered (RFC 8654).
    pub extended_messages: bool,
    /// Enhanced route refresh offered (RFC 7313).
    pub enhanced_refresh: bool,
    /// Several paths to a prefix offered (RFC 7911).
    pub add_path: Vec<(AddressFamily, AddPathMode)>,
    /// IPv6 next hops of IPv4 routes offered (RFC 8950).
    pub extended_next_hop: bool,
    /// Graceful restart offered (RFC 4724, RFC 8538, RFC 9494).
    pub graceful_restart: GracefulRestart,
    /// We come back from a restart over which forwarding was kept; that it is not over yet is said in the OPENs of the first
    /// session.
    pub restarting: bool,
    /// Our role (RFC 9234); never towards internals.
    pub role: Option<Role>,
}

impl SessionConfig {
    /// The part of the configuration that concerns the session with `neighbor`.
    #[must_use]
    pub fn of(speaker: &SpeakerConfig, neighbor: &NeighborConfig, number: u32) -> Self {
        let inner_asn = neighbor.local_asn.unwrap_or(speaker.asn);
        let members = |asn: &u32| speaker.confederation.as_ref().is_some_and(|c| c.members.contains(asn));
        let inside = match &neighbor.remote_as {
            RemoteAs::Internal => true,
            RemoteAs::External => false,
            RemoteAs::Number(asn) => *asn == inner_asn || members(asn),
        };
        let outer_asn = speaker.confederation.as_ref().map(|confederation| confederation.id);
        let local_asn = match (neighbor.local_asn, outer_asn) {
            (None, Some(id)) if !inside => id,
            _ => inner_asn,
        };
        let internal = neighbor.remote_as == RemoteAs::Internal || neighbor.remote_as == RemoteAs::Number(inner_asn);
        let mode = match (neighbor.add_path.receive, neighbor.add_path.send > 0) {
            (true, true) => Some(AddPathMode::Both),
            (true, false) => Some(AddPathMode::Receive),
            (false, true) => Some(AddPathMode::Send),
            (false, false) => None,
        };
        // A neighbor found on an interface is spoken to over IPv6 link-local addresses.
        let over_ipv6 = neighbor.interface.is_some() || neighbor.address.to_canonical().is_ipv6();
        Self {
            number,
            remote: neighbor.remote(),
            local_asn,
            inner_asn,
            confederation: speaker.confederation.clone(),
            remote_as: neighbor.remote_as,
            router_id: speaker.router_id,
            hold_time: neighbor.hold_time,
            connect_retry: neighbor.connect_retry,
            passive: neighbor.passive,
            families: neighbor.families.clone(),
            extended_messages: neighbor.extended_messages,
            enhanced_refresh: true,
            add_path: mode.map_or_else(Vec::new, |mode| neighbor.families.iter().map(|f| (*f, mode)).collect()),
            extended_next_hop: over_ipv6 && neighbor.families.contains(&AddressFamily::Ipv4),
            graceful_restart: neighbor.graceful_restart,
            restarting: speaker.restarting,
            role: neighbor.role.filter(|_| !internal),
        }
    }

    /// Where a neighbor in `asn` stands; `None` if the neighbor must not be in that AS.
    #[must_use]
    pub fn kind_of(&self, asn: u32) -> Option<PeerKind> {
        let kind = if asn == self.inner_asn {
            PeerKind::Internal
        } else if self.confederation.as_ref().is_some_and(|confederation| confederation.members.contains(&asn)) {
            PeerKind::Confed
        } else {
            PeerKind::External
        };
        let allowed = match self.remote_as {
            RemoteAs::Number(number) => number == asn,
            // Members of the confederation are configured by number: our OPEN to them differs. RFC 6793 §4.1: AS_TRANS is nobody.
            RemoteAs::External => {
                kind == PeerKind::External && asn != self.local_asn && asn != u32::from(crate::wire::AS_TRANS)
            }
            RemoteAs::Internal => kind == PeerKind::Internal,
        };
        allowed.then_some(kind)
    }

    /// The hold time we propose, in seconds.
    #[must_use]
    pub fn hold_secs(&self) -> u16 {
        u16::try_from(self.hold_time.as_secs()).unwrap_or(u16::MAX)
    }

    /// Our OPEN. `first` if there was no session since the speaker started: afterwards we are not restarting any more
    /// (RFC 4724 §4.1), and forwarding has gone on all the time. `settled` if all other neighbors have said what they know, or had
    /// the time: nobody has to be kept from waiting for us (RFC 4724 §3, Restart State).
    #[must_use]
    pub fn open(&self, first: bool, settled: bool) -> Open {
        let mut capabilities: Vec<Capability> =
            self.families.iter().map(|family| Capability::MultiProtocol((*family).into())).collect();
        capabilities.push(Capability::RouteRefresh);
        if self.extended_next_hop {
            capabilities.push(Capability::ExtendedNextHop(vec![(AfiSafi::IPV4_UNICAST, AFI_IPV6)]));
        }
        if self.extended_messages {
            capabilities.push(Capability::ExtendedMessages);
        }
        capabilities.extend(self.role.map(Capability::Role));
        let restarted = first && !settled && self.restarting && self.graceful_restart.restarting;
        let forwarding = self.restarting || !first;
        let graceful = self.graceful_restart.helper || self.graceful_restart.restarting;
        if graceful {
            capabilities.push(self.graceful_restart(restarted, forwarding));
        }
        capabilities.push(Capability::FourOctetAs(self.local_asn));
        if !self.add_path.is_empty() {
            let list = self.add_path.iter().map(|(family, mode)| ((*family).into(), *mode)).collect();
            capabilities.push(Capability::AddPath(list));
        }
        if self.enhanced_refresh {
            capabilities.push(Capability::EnhancedRouteRefresh);
        }
        // RFC 9494 §4.2: not without graceful restart.
        if let Some(stale) = self.graceful_restart.long_lived.filter(|_| graceful) {
            let stale_secs = u32::try_from(stale.as_secs()).unwrap_or(u32::MAX).min(LONG_LIVED_MAX_SECS);
            let entry = |family: &AddressFamily| LongLivedFamily { family: (*family).into(), forwarding, stale_secs };
            capabilities.push(Capability::LongLivedGracefulRestart(self.families.iter().map(entry).collect()));
        }
        Open { asn: self.local_asn, hold_secs: self.hold_secs(), router_id: self.router_id, capabilities }
    }

    /// RFC 4724 §3: a helper that does not restart gracefully itself names no family. We are able to go on after
    /// NOTIFICATIONs always (RFC 8538 §2).
    fn graceful_restart(&self, restarted: bool, forwarding: bool) -> Capability {
        let (restart_secs, families) = if self.graceful_restart.restarting {
            let secs = self.graceful_restart.restart_time.as_secs().min(RESTART_MAX_SECS);
            let entry = |family: &AddressFamily| RestartFamily { family: (*family).into(), forwarding };
            (u16::try_from(secs).unwrap_or(0), self.families.iter().map(entry).collect())
        } else {
            (0, Vec::new())
        };
        Capability::GracefulRestart { restarted, notification: true, restart_secs, families }
    }
}
