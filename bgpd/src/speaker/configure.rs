//! A new configuration is a difference: what is equal is not touched, policies are repeated over what is there, and only what two
//! OPENs agreed on needs a new session.

use std::sync::Arc;

use hashbrown::HashSet;
use ipnet::IpNet;

use super::arrivals;
use super::keeping::Keeping;
use super::limits::Warned;
use super::message::{Event, LinkAddress, NeighborKey, Output};
use super::neighbor::{FaultEvents, Neighbor};
use super::tables::{AggregateSettings, Settings};
use super::{Speaker, Tables};
use crate::attrs::Identity;
use crate::config::{AdjInKeep, NeighborConfig, SpeakerConfig};
use crate::locrib::{PeerFacts, PeerIndex, PeerKind};
use crate::session::{Session, SessionConfig, SessionInput, StopCause};

/// Who we are, for finding loops.
pub(super) fn identity(config: &SpeakerConfig) -> Identity {
    let mut asns = vec![config.asn];
    asns.extend(config.confederation.as_ref().map(|confederation| confederation.id));
    let ranges = config.ranges.iter().map(|range| &range.template);
    asns.extend(config.neighbors.iter().chain(ranges).filter_map(|neighbor| neighbor.local_asn));
    asns.sort_unstable();
    asns.dedup();
    Identity { asns, router_id: config.router_id.to_bits(), cluster_id: config.cluster_id.to_bits() }
}

impl Settings {
    pub(super) fn of(config: &SpeakerConfig) -> Self {
        Self {
            multipath_ebgp: config.multipath_ebgp.max(1),
            multipath_ibgp: config.multipath_ibgp.max(1),
            multipath_relax: config.multipath_relax,
            distance_ebgp: config.distance_ebgp,
            distance_ibgp: config.distance_ibgp,
        }
    }
}

/// Equal parts need no new session.
fn needs_reset(old: &SessionConfig, new: &SessionConfig, before: &NeighborConfig, after: &NeighborConfig) -> bool {
    let settle = |config: &SessionConfig| SessionConfig {
        // These count from the next attempt on.
        connect_retry: std::time::Duration::ZERO,
        passive: false,
        restarting: false,
        ..config.clone()
    };
    settle(old) != settle(new)
        || before.local_address != after.local_address
        || before.multihop != after.multihop
        // A connection stands under the key and the distance it was made with.
        || before.password != after.password
        || before.ttl_security != after.ttl_security
        || before.route_reflector_client != after.route_reflector_client
        || before.route_server_client != after.route_server_client
}

/// What a new configuration does to a neighbor that stays, the gentlest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The session goes on: routes are judged anew where that matters, and only what comes out differently is sent.
    Live,
    /// The session goes on, and the neighbor is asked to say everything again (RFC 2918).
    Refresh,
    /// The session ends with a Cease and, if the neighbor is enabled, begins anew.
    Reset,
}

/// What a reload from `old` to `new` does to one neighbor; `None`: nothing.
#[must_use]
pub fn effect(
    (old, before): (&SpeakerConfig, &NeighborConfig),
    (new, after): (&SpeakerConfig, &NeighborConfig),
) -> Option<Effect> {
    let session =
        |speaker: &SpeakerConfig, neighbor: &NeighborConfig| arrivals::session_config(speaker, neighbor, None, 0);
    if before.enabled != after.enabled || needs_reset(&session(old, before), &session(new, after), before, after) {
        return Some(Effect::Reset);
    }
    let policies = old.policies != new.policies;
    let import = before.import != after.import
        || before.allow_as_in != after.allow_as_in
        || policies
        || old.require_policy != new.require_policy;
    let forgotten = before.adj_in == AdjInKeep::Accepted;
    // What was dropped before it could be judged anew has to be asked for.
    if forgotten && (import || after.adj_in == AdjInKeep::All) {
        return Some(Effect::Refresh);
    }
    let summaries = old.aggregates != new.aggregates || old.best_external != new.best_external;
    (before != after || import || summaries).then_some(Effect::Live)
}

impl Speaker {
    pub(super) fn add_neighbor(&mut self, config: NeighborConfig, range: Option<IpNet>, out: &mut Vec<Output>) {
        let number = self.next_number;
        let session = arrivals::session_config(&self.config, &config, None, number);
        let place = self.tables.add_peer(PeerFacts {
            // Known with the session.
            kind: PeerKind::External,
            epochs: crate::locrib::Epochs::default(),
            route_server_client: config.route_server_client,
            up: false,
            router_id: std::net::Ipv4Addr::UNSPECIFIED,
            address: config.address,
        });
        let Some(peer) = place else {
            return out.push(Output::Event(Event::NoPlace { neighbor: config.key() }));
        };
        self.next_number = self.next_number.wrapping_add(1);
        let mut neighbor = Neighbor {
            session: Session::new(session, self.config.seed.wrapping_add(u64::from(number))),
            peer,
            enabled: config.enabled,
            up: None,
            negotiated: None,
            import: None,
            spoken: [false; 2],
            keeping: Keeping::default(),
            faults: FaultEvents::default(),
            warned: Warned::default(),
            draining: false,
            policy_errors: Vec::new(),
            key: config.key(),
            found: None,
            range,
            away_since: None,
            config,
        };
        if !self.hold.is_restarting() {
            neighbor.session.restart_is_over();
        }
        // A place is not used again while a connection of its last holder is being closed.
        let in_use = |at: usize, speaker: &Self| speaker.conns.values().any(|conn| conn.neighbor == at);
        let free = (0..self.neighbors.len()).find(|at| self.neighbors[*at].is_none() && !in_use(*at, self));
        let key = neighbor.key.clone();
        let at = match free {
            Some(at) => {
                self.neighbors[at] = Some(neighbor);
                at
            }
            None => {
                self.neighbors.push(Some(neighbor));
                self.neighbors.len() - 1
            }
        };
        self.by_key.insert(key, at);
        let place = usize::from(peer.0);
        self.by_peer.resize(self.by_peer.len().max(place + 1), 0);
        self.by_peer[place] = at;
        self.start(at, out);
    }

    pub(super) fn remove_neighbor(&mut self, at: usize, out: &mut Vec<Output>) {
        self.tell_session(at, SessionInput::Stop(StopCause::Deconfigured), out);
        self.forget(at);
        if let Some(neighbor) = self.neighbors[at].take() {
            self.tables.peer_down(neighbor.peer);
            self.tables.remove_peer(neighbor.peer);
            self.by_key.remove(&neighbor.key);
        }
    }

    /// Carries out the difference between the running configuration and `config`.
    pub(super) fn configure(&mut self, mut config: SpeakerConfig, out: &mut Vec<Output>) {
        // What is true of a start is not for a reload to change.
        config.restarting = self.config.restarting;
        if self.shutting_down || config == self.config {
            return;
        }
        let old = std::mem::replace(&mut self.config, config);
        self.configure_tables(&old);
        if self
            .config
            .neighbors
            .iter()
            .chain(self.config.ranges.iter().map(|range| &range.template))
            .all(|neighbor| !neighbor.advertise_only_installed)
        {
            self.tables.forget_installed();
        }

        let configured: HashSet<NeighborKey> = self.config.neighbors.iter().map(NeighborConfig::key).collect();
        let gone: Vec<usize> =
            self.by_key.iter().filter(|(key, _)| !configured.contains(*key)).map(|(_, at)| *at).collect();
        let mut profiles = Vec::new();
        for at in gone {
            match self.range_now(at) {
                Some((range, config)) => {
                    if let Some(neighbor) = &mut self.neighbors[at] {
                        neighbor.range = Some(range);
                    }
                    self.change_neighbor(at, config, &mut profiles, out);
                }
                None => self.remove_neighbor(at, out),
            }
        }
        for config in self.config.neighbors.clone() {
            if let Some(neighbor) = self.by_key.get(&config.key()).and_then(|at| self.neighbors[*at].as_mut()) {
                // Out of a range it may have come: now it is here to stay.
                (neighbor.range, neighbor.away_since) = (None, None);
            }
            match self.by_key.get(&config.key()).copied() {
                None => self.add_neighbor(config, None, out),
                Some(at) => self.change_neighbor(at, config, &mut profiles, out),
            }
        }
        self.tables.reprofile(&profiles);
    }

    /// The range that a neighbor which came out of one belongs to now, and what it is to be like.
    fn range_now(&self, at: usize) -> Option<(IpNet, NeighborConfig)> {
        let neighbor = self.neighbors[at].as_ref().filter(|neighbor| neighbor.range.is_some())?;
        let address = neighbor.key.address()?;
        let range = arrivals::range_of(&self.config, address)?;
        Some((range.range, arrivals::of_template(range, address, neighbor.config.interface.clone())))
    }

    fn configure_tables(&mut self, old: &SpeakerConfig) {
        let tables: &mut Tables = &mut self.tables;
        let settings = Settings::of(&self.config);
        if settings != tables.settings {
            tables.settings = settings;
            tables.feed_again();
            tables.redecide_all();
        }
        tables.set_aggregates(AggregateSettings::of(&self.config));
        if identity(&self.config) != identity(old) {
            tables.store.set_identity(identity(&self.config));
            tables.peers.get_mut(PeerIndex::LOCAL).router_id = self.config.router_id;
            for neighbor in self.neighbors.iter().flatten().filter(|neighbor| neighbor.up.is_some()) {
                tables.soft_in(neighbor.peer);
            }
        }
    }

    fn change_neighbor(
        &mut self,
        at: usize,
        config: NeighborConfig,
        profiles: &mut Vec<(PeerIndex, crate::export::ExportProfile)>,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let number = neighbor.session.config().number;
        let session = arrivals::session_config(&self.config, &config, neighbor.found, number);
        let before = std::mem::replace(&mut neighbor.config, config);
        let limit_changed = before.max_prefix != neighbor.config.max_prefix;
        let reset = needs_reset(neighbor.session.config(), &session, &before, &neighbor.config);
        let was_enabled = neighbor.enabled;
        // What an operator said counts until the configuration says something new.
        if before.enabled != neighbor.config.enabled {
            neighbor.enabled = neighbor.config.enabled;
        }
        let enabled = neighbor.enabled;
        let set = |speaker: &mut Self| {
            if let Some(neighbor) = &mut speaker.neighbors[at] {
                neighbor.session.set_config(session.clone());
            }
        };
        if !enabled && was_enabled {
            let message = self.config.shutdown_message.clone();
            self.tell_session(at, SessionInput::Stop(StopCause::AdminShutdown { message }), out);
            self.forget(at);
            return set(self);
        }
        if reset {
            self.tell_session(at, SessionInput::Stop(StopCause::ConfigChange), out);
            set(self);
            return self.start(at, out);
        }
        if neighbor.session.config() != &session {
            neighbor.session.set_config(session);
        }
        // One that went over its limit may try the new one.
        if enabled && (!was_enabled || limit_changed) {
            self.start(at, out);
        }
        self.repolicy(at, before.adj_in, profiles, out);
        self.check_limit(at, out);
    }

    /// The host's addresses are these now: our next hops may be others.
    pub(super) fn readdress(&mut self, mut addresses: Vec<LinkAddress>, out: &mut Vec<Output>) {
        addresses.sort_unstable();
        addresses.dedup();
        if self.addresses == addresses {
            return;
        }
        self.tables.host_addresses(&addresses);
        self.addresses = addresses;
        let mut profiles = Vec::new();
        for at in 0..self.neighbors.len() {
            if let Some(keep) = self.neighbors[at].as_ref().map(|neighbor| neighbor.config.adj_in) {
                self.repolicy(at, keep, &mut profiles, out);
            }
        }
        self.tables.reprofile(&profiles);
    }

    /// What the present session's routes are judged by.
    pub(super) fn repolicy(
        &mut self,
        at: usize,
        kept: AdjInKeep,
        profiles: &mut Vec<(PeerIndex, crate::export::ExportProfile)>,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let Some(negotiated) = neighbor.negotiated.clone() else { return };
        let (import, profile) = neighbor.rules(&self.config, &negotiated, &self.addresses);
        profiles.push((neighbor.peer, profile));
        if neighbor.import.as_deref() == Some(&import) {
            return;
        }
        let import = Arc::new(import);
        neighbor.import = Some(Arc::clone(&import));
        self.tables.imports[usize::from(neighbor.peer.0)] = Some(import);
        // What was dropped before cannot be judged anew: it has to be asked for.
        let now_kept = neighbor.config.adj_in;
        if kept != now_kept && now_kept == AdjInKeep::All {
            neighbor.config.adj_in = AdjInKeep::Accepted;
            self.soft_in(at, out);
            if let Some(neighbor) = &mut self.neighbors[at] {
                neighbor.config.adj_in = now_kept;
            }
        } else {
            self.soft_in(at, out);
        }
    }
}
