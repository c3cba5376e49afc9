//! One neighbor as the speaker knows it: configuration, session, and what both mean for import and export.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rib::AddressFamily;
use smallvec::SmallVec;

use super::addresses::{self, LinkAddress};
use super::keeping::Keeping;
use super::limits::Warned;
use crate::config::{NeighborConfig, PolicyRef, RemoteAs, SpeakerConfig};
use crate::export::{ExportProfile, Filter};
use crate::import::{Import, ImportFilter, OwnAs};
use crate::intern::AttrId;
use crate::locrib::{PeerIndex, PeerKind};
use crate::policy::Chain;
use crate::session::{ConnId, Negotiated, Session};
use crate::speaker::message::{NeighborKey, Protection};
use crate::wire::attr;
use crate::wire::capability::{Capability, Role};

/// A neighbor.
pub(super) struct Neighbor {
    pub(super) config: NeighborConfig,
    pub(super) key: NeighborKey,
    /// The address and scope of a neighbor that is found on an interface.
    pub(super) found: Option<(Ipv6Addr, u32)>,
    /// The range it came out of; such a one is forgotten after it has left.
    pub(super) range: Option<IpNet>,
    /// Since when one out of a range has no session, or when it last came.
    pub(super) away_since: Option<Instant>,
    pub(super) session: Session,
    pub(super) peer: PeerIndex,
    /// As configured, or as an operator wants it since.
    pub(super) enabled: bool,
    /// The connection of the established session.
    pub(super) up: Option<ConnId>,
    pub(super) negotiated: Option<Arc<Negotiated>>,
    pub(super) import: Option<Arc<Import>>,
    /// End-of-RIB was received in this session, by family.
    pub(super) spoken: [bool; 2],
    /// What is kept of it beyond its word.
    pub(super) keeping: Keeping,
    pub(super) faults: FaultEvents,
    pub(super) warned: Warned,
    /// An operator moves traffic away from it (RFC 8326).
    pub(super) draining: bool,
    /// Policies that could not be compiled: nothing passes, and people are told why.
    pub(super) policy_errors: Vec<String>,
}

impl Neighbor {
    /// Its address: of the session if there is one, else as configured or found.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let spoken = self.negotiated.as_ref().map(|negotiated| negotiated.remote.ip().to_canonical());
        let found = || self.found.map(|(address, _)| IpAddr::V6(address));
        spoken.or_else(|| self.key.address()).or_else(found)
    }

    /// RFC 4724 §4.1: End-of-RIB is not waited for from a neighbor that has restarted itself, or knows nothing of restarts.
    pub(super) fn is_excused(&self) -> bool {
        let said =
            |negotiated: &Arc<Negotiated>| negotiated.peer_restart.as_ref().is_none_or(|restart| restart.restarted);
        self.negotiated.as_ref().is_some_and(said)
    }

    /// End-of-RIB of every family was received.
    pub(super) fn has_spoken(&self) -> bool {
        self.negotiated.as_ref().is_some_and(|negotiated| {
            negotiated.families.iter().all(|family| match family {
                AddressFamily::Ipv4 => self.spoken[0],
                AddressFamily::Ipv6 => self.spoken[1],
            })
        })
    }
}

impl Neighbor {
    /// What import and export read of the session: configuration, what was agreed on, and what an operator wants now. Policies
    /// that cannot be compiled are noted.
    pub(super) fn rules(
        &mut self,
        speaker: &SpeakerConfig,
        negotiated: &Negotiated,
        addresses: &[LinkAddress],
    ) -> (Import, ExportProfile) {
        self.policy_errors.clear();
        let errors = &mut self.policy_errors;
        let import = import(speaker, &self.config, negotiated, addresses, errors);
        let profile = profile(speaker, &self.config, negotiated, addresses, errors);
        (
            Import { drained: self.draining, ..import },
            ExportProfile {
                drained: self.draining,
                client: profile.route_server_client.then_some(self.peer),
                ..profile
            },
        )
    }
}

/// Events about faults in UPDATEs are for people: a neighbor that sends nothing else must not drown the rest.
#[derive(Default)]
pub(super) struct FaultEvents {
    window: Option<Instant>,
    shown: u32,
    /// All faults, shown or not.
    pub(super) total: u64,
}

impl FaultEvents {
    const WINDOW: Duration = Duration::from_secs(10);
    const SHOWN_MAX: u32 = 10;

    /// Counts a fault; true if it may be shown.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        self.total += 1;
        if self.window.is_none_or(|since| now >= since + Self::WINDOW) {
            self.window = Some(now);
            self.shown = 0;
        }
        self.shown += 1;
        self.shown <= Self::SHOWN_MAX
    }
}

/// The relation of a session's neighbor to us.
pub(super) fn kind(negotiated: &Negotiated, config: &NeighborConfig) -> PeerKind {
    match negotiated.kind {
        attr::PeerKind::Internal => PeerKind::Internal { client: config.route_reflector_client },
        attr::PeerKind::External => PeerKind::External,
        attr::PeerKind::Confed => PeerKind::Confed,
    }
}

/// The time to live towards a neighbor: 1 keeps an external session on the link, `None` is the host's own.
pub(super) fn ttl(speaker: &SpeakerConfig, neighbor: &NeighborConfig) -> Option<u8> {
    let external = match neighbor.remote_as {
        RemoteAs::Number(asn) => asn != neighbor.local_asn.unwrap_or(speaker.asn),
        RemoteAs::External => true,
        RemoteAs::Internal => false,
    };
    external.then(|| neighbor.multihop.unwrap_or(1))
}

/// How connections with a neighbor are protected.
pub(super) fn protection(speaker: &SpeakerConfig, neighbor: &NeighborConfig) -> Protection {
    Protection {
        // RFC 5082 §3: what is protected is sent with the greatest TTL.
        ttl: if neighbor.ttl_security.is_some() { Some(255) } else { ttl(speaker, neighbor) },
        hops_max: neighbor.ttl_security,
        password: neighbor.password.clone(),
    }
}

/// A direction's policies, compiled.
enum Compiled {
    All,
    Unset,
    Chain(Chain),
}

fn compile(speaker: &SpeakerConfig, policy: &PolicyRef, errors: &mut Vec<String>) -> Compiled {
    match policy {
        PolicyRef::Unset => Compiled::Unset,
        PolicyRef::Chain(names) => match Chain::compile(&speaker.policies, names) {
            Ok(chain) if chain == Chain::accept() => Compiled::All,
            Ok(chain) => Compiled::Chain(chain),
            Err(error) => {
                errors.push(error.to_string());
                Compiled::Chain(Chain::reject())
            }
        },
    }
}

/// What import reads of a session.
fn import(
    speaker: &SpeakerConfig,
    config: &NeighborConfig,
    negotiated: &Negotiated,
    addresses: &[LinkAddress],
    errors: &mut Vec<String>,
) -> Import {
    let filter = match compile(speaker, &config.import, errors) {
        Compiled::Chain(chain) => ImportFilter::Chain(chain),
        // RFC 8212 §2.
        Compiled::Unset if speaker.require_policy && kind(negotiated, config) == PeerKind::External => {
            ImportFilter::NoPolicy
        }
        Compiled::All | Compiled::Unset => ImportFilter::All,
    };
    Import {
        drained: false,
        decode: negotiated.decode_context(),
        filter,
        keep: config.adj_in,
        neighbor: negotiated.remote.ip().to_canonical(),
        local_asn: negotiated.local_asn,
        remote_asn: negotiated.peer_asn,
        local_address: negotiated.local.ip().to_canonical(),
        link: addresses::link_of(negotiated.local, negotiated.remote, addresses),
        own: own_as(speaker, config),
        role: role(negotiated),
        route_server_client: config.route_server_client && negotiated.kind == attr::PeerKind::External,
        families: [AddressFamily::Ipv4, AddressFamily::Ipv6].map(|family| negotiated.families.contains(&family)),
        add_path: [AddressFamily::Ipv4, AddressFamily::Ipv6].map(|family| negotiated.receives_paths(family)),
    }
}

/// Our role towards the neighbor. RFC 9234 §5: roles are for sessions between ASes; within a confederation OTC is passed on.
fn role(negotiated: &Negotiated) -> Option<Role> {
    negotiated.role.filter(|_| negotiated.kind == attr::PeerKind::External)
}

/// What makes a loop in a path of this neighbor.
fn own_as(speaker: &SpeakerConfig, config: &NeighborConfig) -> OwnAs {
    let world = speaker.confederation.as_ref().map_or(speaker.asn, |confederation| confederation.id);
    let mut outside: SmallVec<[u32; 2]> = [Some(world), config.local_asn].into_iter().flatten().collect();
    outside.dedup();
    OwnAs { outside, member: speaker.confederation.is_some().then_some(speaker.asn), allowed: config.allow_as_in }
}

/// What export reads of a session.
fn profile(
    speaker: &SpeakerConfig,
    config: &NeighborConfig,
    negotiated: &Negotiated,
    addresses: &[LinkAddress],
    errors: &mut Vec<String>,
) -> ExportProfile {
    let kind = kind(negotiated, config);
    let filter = match compile(speaker, &config.export, errors) {
        Compiled::Chain(chain) => Filter::Chain(chain),
        Compiled::Unset if speaker.require_policy && kind == PeerKind::External => Filter::ServicesOnly,
        Compiled::All | Compiled::Unset => Filter::All,
    };
    let reads_neighbor = matches!(&filter, Filter::Chain(chain) if chain.reads_neighbor());
    let own = addresses::own(negotiated.local, negotiated.remote, speaker.router_id, addresses);
    let external = kind == PeerKind::External;
    ExportProfile {
        kind,
        local_asn: negotiated.local_asn,
        cluster_id: speaker.cluster_id,
        // RFC 8950 §4: over IPv6 the address of the session is the better one, if the neighbor understands it.
        own_v4: own.v4.filter(|addr| !(negotiated.extended_next_hop && negotiated.local.ip().to_canonical() != *addr)),
        own_v6: own.v6,
        own_link_local: own.link_local,
        extended_next_hop: negotiated.extended_next_hop,
        next_hop_self: config.next_hop_self,
        role: role(negotiated),
        route_server_client: config.route_server_client && external,
        client: None,
        remove_private_as: (config.remove_private_as && external).then_some(negotiated.peer_asn),
        as_override: (config.as_override && external).then_some(negotiated.peer_asn),
        filter,
        neighbor: reads_neighbor.then_some(negotiated.remote.ip().to_canonical()),
        as4: negotiated.as4,
        max_message: negotiated.max_message(),
        ipv4: negotiated.families.contains(&AddressFamily::Ipv4),
        ipv6: negotiated.families.contains(&AddressFamily::Ipv6),
        // RFC 9494 §4.3: whoever has the capability, with whichever families and times in it.
        long_lived: negotiated.peer_restart.is_some()
            && negotiated.peer_capabilities.iter().any(|one| matches!(one, Capability::LongLivedGracefulRestart(_))),
        marked_refresh: negotiated.enhanced_refresh,
        drained: false,
        // Which attributes that route has is for the tables to say.
        default_originate: config.default_originate.then_some([AttrId::NONE; 2]),
        summaries: speaker.aggregates.iter().filter(|one| one.summary_only).map(|one| one.prefix.trunc()).collect(),
        several: [AddressFamily::Ipv4, AddressFamily::Ipv6]
            .map(|family| if negotiated.sends_paths(family) { config.add_path.send.max(1) } else { 0 }),
        only_installed: config.advertise_only_installed,
        best_external: speaker.best_external && kind == PeerKind::Internal { client: false },
    }
}
