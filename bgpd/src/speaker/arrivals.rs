//! Whom a connection belongs to: configured neighbors, those that come out of a range, and those found on an interface.
//!
//! A neighbor out of a range is made when it connects and forgotten when it has been away for a while, so that its number and
//! its place in the tables serve the next one. How an interface is searched is the carrier's business.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::message::{Event, NeighborKey, Output, Protection, SessionState};
use super::neighbor::{self, Neighbor};
use super::{Conn, Speaker};
use crate::config::{NeighborConfig, NeighborRange, Secret, SpeakerConfig};
use crate::session::{ConnId, SessionConfig, SessionInput, StopCause};

/// A neighbor out of a range that was up and has been away for so long is forgotten.
const LINGER: Duration = Duration::from_secs(60);
/// One that never came up is forgotten so long after its connection ended: long enough for people to see why.
const LINGER_FAILED: Duration = Duration::from_secs(5);
/// A connection from a range has so long to become a session.
const OPENING: Duration = Duration::from_secs(30);

/// What the session with a neighbor needs; one that is to be found on an interface is dialled where it was found.
pub(super) fn session_config(
    speaker: &SpeakerConfig,
    config: &NeighborConfig,
    found: Option<(Ipv6Addr, u32)>,
    number: u32,
) -> SessionConfig {
    let mut session = SessionConfig::of(speaker, config, number);
    if config.address.is_unspecified() {
        match found {
            // The scope tells which link next hops of its are on.
            Some((address, scope)) => session.remote = SocketAddrV6::new(address, config.port, 0, scope).into(),
            None => session.passive = true,
        }
    }
    session
}

/// A neighbor out of a range.
pub(super) fn of_template(range: &NeighborRange, address: IpAddr, interface: Option<Arc<str>>) -> NeighborConfig {
    NeighborConfig { address, interface, passive: true, ..range.template.clone() }
}

/// The range that `address` belongs to: the longest.
pub(super) fn range_of(speaker: &SpeakerConfig, address: IpAddr) -> Option<&NeighborRange> {
    let holding = speaker.ranges.iter().filter(|range| range.range.contains(&address));
    holding.max_by_key(|range| range.range.prefix_len())
}

/// The TCP-MD5 passwords that connections to a speaker with `config` must be signed with, by where they come from; those of
/// neighbors that are still to be found are not among them.
#[must_use]
pub fn passwords(config: &SpeakerConfig) -> BTreeMap<IpNet, Secret> {
    let ranges = config.ranges.iter().map(|range| (range.range.trunc(), range.template.password.clone()));
    let neighbors = config.neighbors.iter().filter_map(|neighbor| {
        Some((IpNet::from(neighbor.key().address()?.to_canonical()), neighbor.password.clone()))
    });
    ranges.chain(neighbors).filter_map(|(from, password)| Some((from, password?))).collect()
}

/// GTSM is used with somebody (RFC 5082).
#[must_use]
pub fn has_ttl_security(config: &SpeakerConfig) -> bool {
    let templates = config.ranges.iter().map(|range| &range.template);
    config.neighbors.iter().chain(templates).any(|neighbor| neighbor.ttl_security.is_some())
}

impl Neighbor {
    /// Somebody is at the other end of a connection, whoever it is.
    fn is_connected(&self) -> bool {
        !matches!(self.session.state(), SessionState::Idle | SessionState::Active)
    }

    /// When one that came out of a range and has no session is to be forgotten.
    fn forget_at(&self) -> Option<Instant> {
        let patience = match (self.is_connected(), self.session.established_count()) {
            (true, _) => OPENING,
            (false, 0) => LINGER_FAILED,
            (false, _) => LINGER,
        };
        self.away_since.map(|since| since + patience)
    }
}

impl Speaker {
    /// The neighbor that a connection from `address` belongs to. `interface` is where it came in if the address is link-local.
    fn from(&self, address: IpAddr, interface: Option<&Arc<str>>) -> Option<usize> {
        let named = self.by_key.get(&NeighborKey::of(address, interface));
        let found = || match (address, interface) {
            // Whoever speaks on the interface of an unnumbered neighbor is that neighbor.
            (IpAddr::V6(v6), Some(interface)) if v6.is_unicast_link_local() => {
                self.by_key.get(&NeighborKey::Interface(Arc::clone(interface)))
            }
            _ => None,
        };
        named.or_else(found).copied()
    }

    /// How a connection from there has to be protected; `None` if nobody is expected from there now.
    #[must_use]
    pub fn protection(&self, address: IpAddr, interface: Option<&Arc<str>>) -> Option<Protection> {
        let address = address.to_canonical();
        if let Some(at) = self.from(address, interface) {
            let neighbor = self.neighbors[at].as_ref()?;
            return Some(neighbor::protection(&self.config, &neighbor.config));
        }
        let range = range_of(&self.config, address).filter(|range| self.has_room(range))?;
        Some(neighbor::protection(&self.config, &range.template))
    }

    /// The TCP-MD5 passwords that connections to us must be signed with, by where they come from.
    #[must_use]
    pub fn passwords(&self) -> BTreeMap<IpNet, Secret> {
        let mut passwords = passwords(&self.config);
        passwords.extend(self.neighbors.iter().flatten().filter_map(|neighbor| {
            let (address, _) = neighbor.found?;
            Some((IpNet::from(IpAddr::V6(address)), neighbor.config.password.clone()?))
        }));
        passwords
    }

    /// GTSM is used with somebody (RFC 5082).
    #[must_use]
    pub fn has_ttl_security(&self) -> bool {
        has_ttl_security(&self.config)
    }

    /// Interfaces on which neighbors are to be found.
    #[must_use]
    pub fn searched(&self) -> Vec<Arc<str>> {
        let keys = self.by_key.keys();
        keys.filter_map(|key| if let NeighborKey::Interface(name) = key { Some(Arc::clone(name)) } else { None })
            .collect()
    }

    fn out_of(&self, range: &NeighborRange) -> impl Iterator<Item = (usize, &Neighbor)> {
        let net = range.range;
        let all = self.neighbors.iter().enumerate();
        all.filter_map(move |(at, neighbor)| Some((at, neighbor.as_ref().filter(|n| n.range == Some(net))?)))
    }

    /// One that is away gives its place to one that comes: the one away for longest.
    fn replaceable(&self, range: &NeighborRange) -> Option<usize> {
        let away = self.out_of(range).filter(|(_, neighbor)| self.is_forgettable(neighbor));
        away.min_by_key(|(_, neighbor)| neighbor.away_since).map(|(at, _)| at)
    }

    fn has_room(&self, range: &NeighborRange) -> bool {
        let free = self.tables.has_place() && self.out_of(range).count() < range.limit as usize;
        free || self.replaceable(range).is_some()
    }

    /// Nothing would be lost with it: no connection, no routes kept over a restart, no operator's wish.
    fn is_forgettable(&self, neighbor: &Neighbor) -> bool {
        !neighbor.is_connected() && self.is_expendable(neighbor)
    }

    fn is_expendable(&self, neighbor: &Neighbor) -> bool {
        let tables = &self.tables;
        neighbor.range.is_some()
            && neighbor.away_since.is_some()
            && neighbor.enabled == neighbor.config.enabled
            && !neighbor.draining
            && tables.shards.v4.counts(neighbor.peer).received == 0
            && tables.shards.v6.counts(neighbor.peer).received == 0
    }

    /// Somebody connected to us.
    pub(super) fn accepted(
        &mut self,
        conn: ConnId,
        remote: SocketAddr,
        local: SocketAddr,
        interface: Option<&Arc<str>>,
        out: &mut Vec<Output>,
    ) {
        let address = remote.ip().to_canonical();
        let at = if self.shutting_down {
            None
        } else {
            self.from(address, interface).or_else(|| self.come(address, interface, out))
        };
        let Some(at) = at else {
            out.push(Output::Close { conn });
            if !self.shutting_down {
                out.push(Output::Event(Event::UnknownPeer { remote: address }));
            }
            return;
        };
        self.conns.insert(conn, Conn { neighbor: at, control: VecDeque::new(), closing: false });
        if let Some(neighbor) = self.neighbors[at].as_mut().filter(|neighbor| neighbor.range.is_some()) {
            neighbor.away_since = Some(self.now);
        }
        self.tell_session(at, SessionInput::Accepted { conn, local, remote }, out);
    }

    /// Makes a neighbor out of the range that `address` is in, if there is room.
    fn come(&mut self, address: IpAddr, interface: Option<&Arc<str>>, out: &mut Vec<Output>) -> Option<usize> {
        let range = range_of(&self.config, address)?.clone();
        if !self.tables.has_place() || self.out_of(&range).count() >= range.limit as usize {
            let away = self.replaceable(&range)?;
            self.remove_neighbor(away, out);
        }
        let config = of_template(&range, address, interface.cloned());
        let key = config.key();
        self.add_neighbor(config, Some(range.range), out);
        self.by_key.get(&key).copied()
    }

    /// Who came out of a range and has left is forgotten after a while, and who never became a session too.
    pub(super) fn forget_absent(&mut self, out: &mut Vec<Output>) {
        for at in 0..self.neighbors.len() {
            let Some(neighbor) = self.neighbors[at].as_mut().filter(|neighbor| neighbor.range.is_some()) else {
                continue;
            };
            if neighbor.session.state() == SessionState::Established {
                neighbor.away_since = None;
                continue;
            }
            neighbor.away_since.get_or_insert(self.now);
            if neighbor.forget_at().is_none_or(|due| self.now < due) {
                continue;
            }
            let expendable = self.neighbors[at].as_ref().is_some_and(|neighbor| self.is_expendable(neighbor));
            if expendable {
                self.remove_neighbor(at, out);
            } else if let Some(neighbor) = &mut self.neighbors[at] {
                // Looked at again after as long.
                neighbor.away_since = Some(self.now);
            }
        }
    }

    /// When somebody is to be forgotten next.
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.neighbors.iter().flatten().filter_map(Neighbor::forget_at).min()
    }

    /// Takes up where a neighbor was found.
    pub(super) fn discovered(&mut self, interface: &Arc<str>, address: Ipv6Addr, scope: u32, out: &mut Vec<Output>) {
        let Some(&at) = self.by_key.get(&NeighborKey::Interface(Arc::clone(interface))) else { return };
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        // One that speaks is there: several routers on a link do not take its place in turns.
        if neighbor.found == Some((address, scope)) || neighbor.found.is_some() && neighbor.up.is_some() {
            return;
        }
        neighbor.found = Some((address, scope));
        self.search_changed(at, out);
    }

    /// The link is down: so is what stands over it, and the neighbor has to be found again.
    pub(super) fn vanished(&mut self, interface: &Arc<str>, out: &mut Vec<Output>) {
        let Some(&at) = self.by_key.get(&NeighborKey::Interface(Arc::clone(interface))) else { return };
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        neighbor.found = None;
        let number = neighbor.session.config().number;
        let config = session_config(&self.config, &neighbor.config, None, number);
        neighbor.session.set_config(config);
        let ours = self.conns.iter().filter(|(_, conn)| conn.neighbor == at && !conn.closing).map(|(id, _)| *id);
        for conn in ours.collect::<Vec<_>>() {
            self.conns.remove(&conn);
            out.push(Output::Close { conn });
            self.tell_session(at, SessionInput::Closed { conn }, out);
        }
    }

    fn search_changed(&mut self, at: usize, out: &mut Vec<Output>) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let number = neighbor.session.config().number;
        let config = session_config(&self.config, &neighbor.config, neighbor.found, number);
        neighbor.session.set_config(config);
        // It waits for a connection: now there is somebody to dial. Whatever else goes on takes its course.
        if neighbor.session.state() == SessionState::Active {
            self.tell_session(at, SessionInput::Stop(StopCause::ConfigChange), out);
            self.start(at, out);
        }
    }

    /// How it came to be.
    pub(super) fn arrival(&self, neighbor: &Neighbor) -> Option<String> {
        match (&neighbor.key, neighbor.range, neighbor.found) {
            (_, Some(range), _) => Some(format!("dynamic, out of {range}")),
            (NeighborKey::Interface(name), _, Some((address, _))) => Some(format!("found at {address}%{name}")),
            _ => None,
        }
    }

    /// Why it has not come yet.
    pub(super) fn absence(&self, neighbor: &Neighbor) -> Option<String> {
        match (&neighbor.key, neighbor.found) {
            (NeighborKey::Interface(name), None) => Some(format!(
                "nobody was found on {name} yet: no router advertisement was received, or the link is down"
            )),
            _ => None,
        }
    }
}
