//! What a session needs of the configuration, and the OPEN it makes of that.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rib::AddressFamily;

use crate::config::{NeighborConfig, RemoteAs, SpeakerConfig};
use crate::wire::attr::PeerKind;
use crate::wire::capability::{AddPathMode, Capability};
use crate::wire::open::Open;

/// A session's part of the configuration. Two that are equal need no reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The speaker's number for this neighbor, below 2^31, never given to another while the speaker lives: the numbers
    /// of the connections that the session dials are made of it.
    pub number: u32,
    /// Where the neighbor is dialled.
    pub remote: SocketAddr,
    /// Our AS towards the neighbor.
    pub local_asn: u32,
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
    /// Capabilities offered beside those above: graceful restart, roles and what else others act on.
    pub further_capabilities: Vec<Capability>,
}

/// RFC 7911 §4, for every family alike.
fn add_path(neighbor: &NeighborConfig) -> Vec<(AddressFamily, AddPathMode)> {
    let mode = match (neighbor.add_path.receive, neighbor.add_path.send > 0) {
        (true, true) => AddPathMode::Both,
        (true, false) => AddPathMode::Receive,
        (false, true) => AddPathMode::Send,
        (false, false) => return Vec::new(),
    };
    neighbor.families.iter().map(|family| (*family, mode)).collect()
}

impl SessionConfig {
    /// The part of the configuration that concerns the session with `neighbor`.
    #[must_use]
    pub fn of(speaker: &SpeakerConfig, neighbor: &NeighborConfig, number: u32) -> Self {
        Self {
            number,
            remote: neighbor.remote(),
            local_asn: neighbor.local_asn.unwrap_or(speaker.asn),
            remote_as: neighbor.remote_as,
            router_id: speaker.router_id,
            hold_time: neighbor.hold_time,
            connect_retry: neighbor.connect_retry,
            passive: neighbor.passive,
            families: neighbor.families.clone(),
            extended_messages: neighbor.extended_messages,
            enhanced_refresh: false,
            add_path: add_path(neighbor),
            further_capabilities: Vec::new(),
        }
    }

    /// Where a neighbor in `asn` stands; `None` if the neighbor must not be in that AS.
    #[must_use]
    pub fn kind_of(&self, asn: u32) -> Option<PeerKind> {
        let kind = if asn == self.local_asn { PeerKind::Internal } else { PeerKind::External };
        let allowed = match self.remote_as {
            RemoteAs::Number(number) => number == asn,
            RemoteAs::External => kind == PeerKind::External,
            RemoteAs::Internal => kind == PeerKind::Internal,
        };
        allowed.then_some(kind)
    }

    /// The hold time we propose, in seconds.
    #[must_use]
    pub fn hold_secs(&self) -> u16 {
        u16::try_from(self.hold_time.as_secs()).unwrap_or(u16::MAX)
    }

    /// Our OPEN.
    #[must_use]
    pub fn open(&self) -> Open {
        let mut capabilities: Vec<Capability> =
            self.families.iter().map(|family| Capability::MultiProtocol((*family).into())).collect();
        capabilities.push(Capability::RouteRefresh);
        if self.extended_messages {
            capabilities.push(Capability::ExtendedMessages);
        }
        capabilities.push(Capability::FourOctetAs(self.local_asn));
        if !self.add_path.is_empty() {
            let list = self.add_path.iter().map(|(family, mode)| ((*family).into(), *mode)).collect();
            capabilities.push(Capability::AddPath(list));
        }
        if self.enhanced_refresh {
            capabilities.push(Capability::EnhancedRouteRefresh);
        }
        capabilities.extend(self.further_capabilities.iter().cloned());
        Open { asn: self.local_asn, hold_secs: self.hold_secs(), router_id: self.router_id, capabilities }
    }
}
