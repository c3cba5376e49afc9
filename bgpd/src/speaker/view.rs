//! Answers to questions: what people and programs see of a speaker.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use rib::{AddressFamily, V4, V6};

use super::Speaker;
use super::message::{NeighborKey, NeighborView, PathView, Query, Reply, SessionState, Summary};
use super::neighbor::Neighbor;
use super::tables::{InTables, Tables};
use crate::config::{PolicyRef, RemoteAs};
use crate::export::Source;
use crate::export::transform;
use crate::intern::AttrId;
use crate::locrib::shard::PATHS_MAX;
use crate::locrib::{DestId, Path, PathId, PeerIndex, PeerKind};
use crate::wire::attr;

impl Speaker {
    /// Answers a question.
    #[must_use]
    pub fn view(&self, now: Instant, query: &Query) -> Reply {
        match query {
            Query::Neighbors(None) => {
                let mut neighbors: Vec<_> =
                    self.neighbors.iter().flatten().map(|n| self.neighbor_view(now, n)).collect();
                neighbors.sort_by(|a, b| a.key.cmp(&b.key));
                Reply::Neighbors(neighbors)
            }
            Query::Neighbors(Some(key)) => match self.find(key) {
                Some(neighbor) => Reply::Neighbors(vec![self.neighbor_view(now, neighbor)]),
                None => Reply::NoSuchNeighbor(key.clone()),
            },
            Query::AdjIn { neighbor, family, after, limit } => match self.find(neighbor) {
                Some(neighbor) => match family {
                    AddressFamily::Ipv4 => self.adj_in::<V4>(neighbor, *after, *limit),
                    AddressFamily::Ipv6 => self.adj_in::<V6>(neighbor, *after, *limit),
                },
                None => Reply::NoSuchNeighbor(neighbor.clone()),
            },
            Query::AdjOut { neighbor, family, after, limit } => match self.find(neighbor) {
                Some(neighbor) => match family {
                    AddressFamily::Ipv4 => self.adj_out::<V4>(neighbor, *after, *limit),
                    AddressFamily::Ipv6 => self.adj_out::<V6>(neighbor, *after, *limit),
                },
                None => Reply::NoSuchNeighbor(neighbor.clone()),
            },
            Query::Explain { prefix, neighbor } => {
                if let Some(key) = neighbor.as_ref().filter(|key| self.find(key).is_none()) {
                    return Reply::NoSuchNeighbor(key.clone());
                }
                Reply::Explain(match prefix {
                    IpNet::V4(prefix) => self.explain::<V4>(prefix.trunc(), neighbor.as_ref()),
                    IpNet::V6(prefix) => self.explain::<V6>(prefix.trunc(), neighbor.as_ref()),
                })
            }
            Query::History(key) => match self.find(key) {
                Some(neighbor) => Reply::History(neighbor.session.history(now)),
                None => Reply::NoSuchNeighbor(key.clone()),
            },
            Query::Summary => Reply::Summary(Summary {
                prefixes: (self.tables.shards.v4.prefix_count(), self.tables.shards.v6.prefix_count()),
                paths: (self.tables.shards.v4.path_count(), self.tables.shards.v6.path_count()),
                attribute_sets: self.tables.store.len(),
                groups: self.tables.groups.iter().flatten().count(),
                holding: self.tables.hold_rib || self.more,
            }),
        }
    }

    pub(super) fn find(&self, key: &NeighborKey) -> Option<&Neighbor> {
        self.by_key.get(key).and_then(|at| self.neighbors[*at].as_ref())
    }

    fn neighbor_view(&self, now: Instant, neighbor: &Neighbor) -> NeighborView {
        let session = &neighbor.session;
        let negotiated = neighbor.negotiated.as_deref();
        let counts = [self.tables.shards.v4.counts(neighbor.peer), self.tables.shards.v6.counts(neighbor.peer)];
        let advertised = self.tables.group(neighbor.peer).map_or(0, |group| group.counts(neighbor.peer).0);
        let configured = match neighbor.config.remote_as {
            RemoteAs::Number(asn) => Some(asn),
            RemoteAs::Internal => Some(neighbor.config.local_asn.unwrap_or(self.config.asn)),
            RemoteAs::External => None,
        };
        let counters = session.counters();
        NeighborView {
            key: neighbor.key.clone(),
            address: neighbor.address(),
            asn: negotiated.map(|negotiated| negotiated.peer_asn).or(configured),
            description: neighbor.config.description.clone(),
            state: session.state(),
            enabled: neighbor.enabled,
            up_for: session.established_at().map(|since| now.saturating_duration_since(since)),
            local: negotiated.map(|negotiated| negotiated.local),
            router_id: negotiated.map(|negotiated| negotiated.peer_router_id),
            hold_time: negotiated.map(|negotiated| negotiated.hold_time),
            families: negotiated.map(|negotiated| negotiated.families.clone()).unwrap_or_default(),
            received: counts.iter().map(|count| u64::from(count.received)).sum(),
            accepted: counts.iter().map(|count| u64::from(count.accepted)).sum(),
            advertised,
            updates_in: counters.received.update,
            updates_out: counters.sent.update,
            messages: (counters.received.total(), counters.sent.total()),
            established_count: session.established_count(),
            last_down: session.last_down().cloned(),
            notes: self.notes(neighbor),
            facts: self.facts(neighbor),
            config: Box::new(neighbor.config.clone()),
            negotiated: neighbor.negotiated.clone().filter(|_| neighbor.up.is_some()),
            draining: neighbor.draining,
            dynamic: neighbor.range.is_some(),
            received_by_family: (counts[0].received.into(), counts[1].received.into()),
            stale: [
                self.tables.shards.v4.stale_counts(neighbor.peer),
                self.tables.shards.v6.stale_counts(neighbor.peer),
            ]
            .iter()
            .map(|count| u64::from(count.received))
            .sum(),
            connect_error: session.last_connect_error().map(ToString::to_string),
            spoken: neighbor.has_spoken(),
        }
    }

    /// What is not wrong and may still surprise.
    fn facts(&self, neighbor: &Neighbor) -> Vec<String> {
        let held = "announcements are held until all neighbors have sent End-of-RIB (startup_delay)";
        let held = (self.tables.hold_exports && neighbor.up.is_some()).then(|| held.to_owned());
        self.arrival(neighbor).into_iter().chain(held).collect()
    }

    /// Why nothing is imported, exported or connected.
    fn notes(&self, neighbor: &Neighbor) -> Vec<String> {
        let mut notes = Vec::new();
        if !neighbor.enabled {
            notes.push("disabled".to_owned());
        }
        if neighbor.draining {
            notes.push("being drained: GRACEFUL_SHUTDOWN is sent, LOCAL_PREF 0 is given (RFC 8326)".to_owned());
        }
        notes.extend(self.absence(neighbor));
        let external = neighbor.negotiated.as_ref().map_or_else(
            || super::neighbor::ttl(&self.config, &neighbor.config).is_some(),
            |negotiated| negotiated.kind == attr::PeerKind::External,
        );
        if external && self.config.require_policy {
            if neighbor.config.import == PolicyRef::Unset {
                notes.push("no import policy: nothing is accepted (RFC 8212)".to_owned());
            }
            if neighbor.config.export == PolicyRef::Unset {
                notes.push("no export policy: only services are announced (RFC 8212)".to_owned());
            }
        }
        if let Some(error) = neighbor.session.last_connect_error()
            && neighbor.session.state() != SessionState::Established
        {
            notes.push(format!("cannot connect: {error}"));
        }
        if neighbor.faults.total > 0 {
            notes.push(format!("{} faults in its UPDATEs were tolerated (RFC 7606)", neighbor.faults.total));
        }
        let counts = [self.tables.shards.v4.counts(neighbor.peer), self.tables.shards.v6.counts(neighbor.peer)];
        let refused: u64 = counts.iter().map(|count| u64::from(count.refused)).sum();
        if refused > 0 {
            notes.push(format!(
                "{refused} paths were not taken: more than {PATHS_MAX} to one prefix (add_path.receive)"
            ));
        }
        if let (Some(negotiated), true) = (&neighbor.negotiated, neighbor.up.is_some()) {
            let missing: Vec<String> = neighbor
                .config
                .families
                .iter()
                .filter(|family| !negotiated.families.contains(family))
                .map(|family| crate::wire::AfiSafi::from(*family).to_string())
                .collect();
            if !missing.is_empty() {
                notes.push(format!("the neighbor does not speak {}", missing.join(", ")));
            }
        }
        notes.extend(neighbor.policy_errors.iter().cloned());
        notes
    }

    fn adj_in<F: InTables>(&self, neighbor: &Neighbor, after: Option<IpNet>, limit: usize) -> Reply {
        let shard = F::shard(&self.tables);
        let held = |dest| {
            shard
                .paths_of(dest, neighbor.peer)
                .filter(|(_, path)| self.tables.peers.is_usable(path.peer, F::FAMILY, path.generation))
        };
        let page = page::<F>(&self.tables, after, limit, |dest| held(dest).next().is_some());
        let paths = page.dests.iter().flat_map(|dest| {
            let mut views: Vec<_> = held(*dest).map(|(id, path)| self.path_view::<F>(*dest, id, path)).collect();
            views.sort_by_key(|view| view.path_id);
            views
        });
        Reply::Paths { paths: paths.collect(), next: page.next }
    }

    /// A path as people see it, with attributes as received.
    pub(super) fn path_view<F: InTables>(&self, dest: DestId, id: PathId, path: &Path) -> PathView {
        let attributes = Arc::new(self.tables.store.attributes(path.received));
        let imported = match path.imported {
            AttrId::NONE => None,
            same if same == path.received => Some(Arc::clone(&attributes)),
            other => Some(Arc::new(self.tables.store.attributes(other))),
        };
        let shard = F::shard(&self.tables);
        let import = self.tables.imports[usize::from(path.peer.0)].as_ref();
        PathView {
            prefix: F::net(shard.prefix(dest)),
            from: self.key_of(path.peer),
            // Kept paths of a lost session show what they came with, too.
            path_id: Some(shard.path_id(id))
                .filter(|id| *id != 0 || import.is_some_and(|import| import.add_path[F::AT])),
            attributes,
            imported,
            best: shard.best_id(dest) == Some(id),
        }
    }

    pub(super) fn key_of(&self, peer: PeerIndex) -> Option<NeighborKey> {
        let facts = self.tables.peers.get(peer);
        let at = self.by_peer.get(usize::from(peer.0));
        let neighbor = at.and_then(|at| self.neighbors[*at].as_ref()).filter(|neighbor| neighbor.peer == peer);
        // The paths of a neighbor that was removed are on their way out: its address must do.
        let key = || neighbor.map_or(NeighborKey::Address(facts.address), |neighbor| neighbor.key.clone());
        (facts.kind != PeerKind::Local).then(key)
    }

    fn adj_out<F: InTables>(&self, neighbor: &Neighbor, after: Option<IpNet>, limit: usize) -> Reply {
        let Some(group) = self.tables.group(neighbor.peer) else {
            return Reply::Paths { paths: Vec::new(), next: None };
        };
        let told = |dest| group.told(F::FAMILY, dest, neighbor.peer);
        let page = page::<F>(&self.tables, after, limit, |dest| told(dest).next().is_some());
        let shard = F::shard(&self.tables);
        let every = page.dests.iter().flat_map(|dest| told(*dest).map(|told| (*dest, told)));
        let paths = every.filter_map(|(dest, told)| {
            let prefix = F::net(shard.prefix(dest));
            let source = Source { peer: told.source, facts: self.tables.peers.get(told.source) };
            let (attributes, _) =
                transform::outgoing(&group.profile, &self.tables.store, told.attr, source, prefix).ok()?;
            let best = shard.best_id(dest).is_some_and(|best| match told.path_id {
                Some(number) => best.number() == number,
                None => shard.path(best).peer == told.source,
            });
            Some(PathView {
                prefix,
                from: self.key_of(told.source),
                path_id: told.path_id,
                attributes: Arc::new(attributes),
                imported: None,
                best,
            })
        });
        Reply::Paths { paths: paths.collect(), next: page.next }
    }
}

struct PageOf {
    dests: Vec<DestId>,
    next: Option<IpNet>,
}

/// The first `limit` destinations in prefix order, after `after`, that `is` wanted. One pass over the table with a bounded heap: the
/// table is hashed, and nobody else needs an order.
fn page<F: InTables>(tables: &Tables, after: Option<IpNet>, limit: usize, is: impl Fn(DestId) -> bool) -> PageOf {
    let shard = F::shard(tables);
    let after = after.and_then(F::prefix);
    let limit = limit.clamp(1, 10_000);
    let mut first: BinaryHeap<(F::Prefix, DestId)> = BinaryHeap::new();
    let mut more = false;
    for dest in (0..shard.end()).map(DestId).filter(|dest| shard.is_used(*dest)) {
        let prefix = shard.prefix(dest);
        if after.is_some_and(|after| prefix <= after) {
            continue;
        }
        let full = first.len() == limit;
        if full && first.peek().is_some_and(|(last, _)| prefix > *last) && more {
            continue;
        }
        if is(dest) {
            first.push((prefix, dest));
            if full {
                more = true;
                first.pop();
            }
        }
    }
    let first = first.into_sorted_vec();
    let next = first.last().filter(|_| more).map(|(prefix, _)| F::net(*prefix));
    PageOf { dests: first.into_iter().map(|(_, dest)| dest).collect(), next }
}
