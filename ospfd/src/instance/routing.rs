//! Where the databases lead: runs the calculation of [`crate::routes`] when something changed, at once unless it has
//! just been done, passes what changed of its routes to the RIB, its summaries and
//! translations to origination, and paths of virtual links to their interfaces.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rib::{IfIndex, Metric, NextHop, NextHopSet, Protocol, Route, RouteBatch, Source};

use crate::config::{AreaKind, InstanceConfig};
use crate::id::{AreaId, LsaKey, RouterId, Version};
use crate::lsa::{ExternalLsa, LinkKind, Lsa, LsaBody, MAX_AGE, PREFIX_LA};
use crate::lsdb::Home;
use crate::message::{Outbox, Output};
use crate::neighbor::NeighborState;
use crate::packet::OPTION_E;
use crate::routes::{self, Hop, Lsas, OwnLink, Path, PathKind, Snapshot, Table};

use crate::view::{SpfView, Vertex};

use super::virtual_link::VirtualPath;
use super::{Area, Instance};

/// Pause after a run for each LSA of the databases: some ten times what it takes to calculate with one, so that no more than a
/// tenth of the time is spent however often something changes. In small networks every change is answered at once; to wait longer
/// (RFC 8405) protects routers that calculate slowly, and only keeps wrong routes alive in those that do not.
const PAUSE_PER_LSA: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What stands between two calculations.
#[derive(Debug)]
pub(crate) struct Routing {
    dirty: bool,
    not_before: Instant,
    runs: u64,
    /// What the RIB has of us.
    exported: BTreeMap<IpNet, Route>,
    /// Type-7 LSAs that we say as type 5 (RFC 3101 §3.2).
    translated: BTreeSet<IpNet>,
}

impl Routing {
    pub(crate) fn new(now: Instant, _config: &InstanceConfig) -> Self {
        Self { dirty: false, not_before: now, runs: 0, exported: BTreeMap::new(), translated: BTreeSet::new() }
    }

    pub(crate) fn set_areas(&mut self, _version: Version, _router: RouterId, _areas: &BTreeMap<AreaId, Area>) {
        self.dirty = true;
    }

    pub(crate) fn neighborhood_changed(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn virtual_links_changed(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn summaries_changed(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.dirty.then_some(self.not_before)
    }

    /// We say others' type-7 LSAs as type 5, which makes us a boundary router.
    pub(crate) fn translates(&self) -> bool {
        !self.translated.is_empty()
    }

    fn began(&mut self, now: Instant, lsas: usize) {
        let lsas = u32::try_from(lsas).unwrap_or(u32::MAX);
        self.not_before = now + PAUSE_PER_LSA.saturating_mul(lsas).min(PAUSE_MAX);
        self.dirty = false;
        self.runs += 1;
    }
}

impl Instance {
    /// Contents of a database changed.
    pub(crate) fn routing_changed(&mut self, now: Instant, home: Home, lsa: &Lsa) {
        if lsa.header.age >= MAX_AGE {
            return self.routing_gone(now, home, &lsa.header.key);
        }
        if !matches!(lsa.body, LsaBody::Opaque(_)) {
            self.routing.dirty = true;
        }
        self.links_said(home, lsa.header.key);
    }

    /// An LSA is flushed, or left.
    pub(crate) fn routing_gone(&mut self, _now: Instant, home: Home, key: &LsaKey) {
        self.routing.dirty = true;
        self.links_said(home, *key);
    }

    /// A link-LSA tells the Designated Router what to say of the network (RFC 5340 §4.4.3.9).
    fn links_said(&mut self, home: Home, key: LsaKey) {
        if Some(key.kind) == self.kinds().link
            && let Home::Link(id) = home
            && let Some(area) = self.interfaces.get(&id).map(|interface| interface.area())
        {
            self.own.dirty_area(area);
        }
    }

    /// Calculates routes if it is time. True if something may have to be originated.
    pub(super) fn calculate(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if !self.routing.dirty || self.routing.not_before > now || self.stopping {
            return false;
        }
        self.routing.began(now, self.db.len());
        let snapshot = self.snapshot();
        let table = routes::calculate(&snapshot);
        self.find_virtual_ends(now, &snapshot, &table, out);
        // RFC 3623 §2.2: what forwards goes on as it did until the restart is over.
        if self.resuming() {
            return false;
        }
        self.export(&table, out);
        let before = self.stats.originated;
        let areas: Vec<AreaId> = snapshot.areas.keys().copied().collect();
        for area in areas {
            let bodies = routes::summaries(&snapshot, &table, area);
            self.reconcile_summaries(now, area, bodies, out);
        }
        self.translate(now, &snapshot, &table, out);
        self.stats.originated != before
    }

    /// The tree of an area as the databases have it now.
    pub(super) fn spf_view(&self, area: AreaId) -> Option<SpfView> {
        let table = routes::calculate(&self.snapshot());
        let tree = table.trees.get(&area)?;
        let routers = tree.routers.iter().map(|(router, (reach, _))| (Vertex::Router(*router), reach.cost));
        let networks = tree.networks.iter().map(|((id, adv), reach)| (Vertex::Network(*id, *adv), reach.cost));
        let mut vertices: Vec<_> = routers.chain(networks).collect();
        vertices.sort_by_key(|(vertex, cost)| (*cost, *vertex));
        Some(SpfView { runs: self.routing.runs, vertices })
    }

    fn snapshot(&self) -> Snapshot {
        let areas: Vec<AreaId> = self.attached_areas().collect();
        let mut lsas: BTreeMap<AreaId, Lsas> = areas.iter().map(|area| (*area, Lsas::default())).collect();
        let mut externals = Lsas::default();
        let mut link_locals = HashMap::new();
        for (_, entry) in self.db.iter() {
            if entry.flushing {
                continue;
            }
            let header = crate::lsa::LsaHeader {
                age: 0,
                options: entry.options,
                key: entry.key,
                seq: entry.seq,
                checksum: entry.checksum,
                length: entry.length,
            };
            let Some(body) = self.read(&entry.raw) else { continue };
            match (entry.home, body) {
                (_, LsaBody::Opaque(_)) => {}
                (Home::Area(area), body) => {
                    if let Some(held) = lsas.get_mut(&area) {
                        held.0.push((header, body));
                    }
                }
                (Home::As, body) => externals.0.push((header, body)),
                (Home::Link(id), LsaBody::Link(link)) => {
                    link_locals.insert((id, entry.key.adv), IpAddr::V6(link.link_local));
                }
                (Home::Link(_), _) => {}
            }
        }
        let links = self.interfaces.values().filter(|held| held.up).map(|held| {
            let neighbors = self
                .neighbors_on(held)
                .filter(|neighbor| neighbor.adjacent() || (held.elects() && neighbor.state >= NeighborState::TwoWay))
                .map(|neighbor| (neighbor.router, neighbor.address));
            OwnLink {
                interface: held.id,
                area: held.area(),
                data: self.link_data(held),
                virtual_to: held.virtual_end.as_ref().map(|end| end.endpoint),
                nets: held.link.addresses.clone(),
                neighbors: neighbors.collect(),
            }
        });
        let config = |area: &AreaId| self.areas.get(area).map(|held| held.config.clone());
        Snapshot {
            version: self.version,
            router: self.router,
            links: links.collect(),
            areas: lsas.into_iter().filter_map(|(area, lsas)| Some((area, (config(&area)?, lsas)))).collect(),
            externals,
            link_locals,
            is_router: |key| matches!(key.kind.0, 1 | 0x2001),
        }
    }

    /// Tells the RIB what differs from what it has.
    fn export(&mut self, table: &Table, out: &mut Outbox) {
        let source = if self.is_v2() { Source::OspfV2 } else { Source::OspfV3 };
        let routes: BTreeMap<IpNet, Route> =
            table.prefixes.iter().filter_map(|(prefix, path)| Some((*prefix, self.route(path)?))).collect();
        let mut batch = RouteBatch::new(source);
        for prefix in self.routing.exported.keys().filter(|prefix| !routes.contains_key(prefix)) {
            batch.remove(*prefix);
        }
        for (prefix, route) in &routes {
            if self.routing.exported.get(prefix) != Some(route) {
                batch.add(*prefix, route.clone());
            }
        }
        self.routing.exported = routes;
        if !batch.changes.is_empty() {
            out.push(Output::Routes(batch));
        }
    }

    /// A path as the RIB has it; `None` for what is ours or on a link of ours, which is connected.
    fn route(&self, path: &Path) -> Option<Route> {
        let legs = path.hops.iter().map(|hop| Some(self.next_hop(hop, hop.via?).into()));
        let next_hops = NextHopSet::new(legs.collect::<Option<Vec<_>>>()?)?;
        let protocol = match (path.kind, path.rank) {
            (PathKind::Intra, _) => Protocol::OspfIntra,
            (PathKind::Inter, _) => Protocol::OspfInter,
            (_, 1) => Protocol::OspfExternal,
            _ => Protocol::OspfNssa,
        };
        let metric = if path.kind == PathKind::External2 { path.outer } else { path.cost };
        Some(Route { protocol, distance: self.config.distance, metric: Metric(metric), tag: path.tag, next_hops })
    }

    fn next_hop(&self, hop: &Hop, addr: IpAddr) -> NextHop {
        let held = self.interfaces.get(&hop.interface);
        let onlink = match addr {
            IpAddr::V4(address) => held.is_some_and(|held| !held.on_subnet(address)),
            IpAddr::V6(_) => false,
        };
        NextHop::Gateway { addr, interface: Some(IfIndex(hop.interface.0)), onlink }
    }

    /// How the far ends of virtual links are reached now (RFC 2328 §15).
    fn find_virtual_ends(&mut self, now: Instant, snapshot: &Snapshot, table: &Table, out: &mut Outbox) {
        let ends: Vec<(AreaId, RouterId)> = self
            .interfaces
            .values()
            .filter_map(|held| held.virtual_end.as_ref().map(|end| (end.transit, end.endpoint)))
            .collect();
        for (transit, endpoint) in ends {
            let path = self.virtual_path(snapshot, table, transit, endpoint);
            self.set_virtual_path(now, transit, endpoint, path, out);
        }
    }

    fn virtual_path(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        transit: AreaId,
        endpoint: RouterId,
    ) -> Option<VirtualPath> {
        let (reach, _) = table.trees.get(&transit)?.routers.get(&endpoint)?;
        let interface = reach.hops.first()?.interface;
        let (_, lsas) = snapshot.areas.get(&transit)?;
        let own = self.interfaces.get(&interface)?;
        let from = match self.version {
            Version::V2 => own.source(Version::V2)?,
            Version::V3 => global(lsas, self.router)?,
        };
        let to = match self.version {
            Version::V2 => lsas.0.iter().find_map(|(header, body)| match body {
                LsaBody::Router(lsa) if header.key.adv == endpoint => lsa
                    .links
                    .iter()
                    .find(|link| {
                        link.kind != LinkKind::Stub && link.kind != LinkKind::Virtual && link.data > 0x00ff_ffff
                    })
                    .map(|link| IpAddr::V4(Ipv4Addr::from(link.data))),
                _ => None,
            })?,
            Version::V3 => global(lsas, endpoint)?,
        };
        Some(VirtualPath { interface, from, to, cost: reach.cost })
    }

    /// Type-7 LSAs of our NSSAs that go on as type 5, if it is for us to translate (RFC 3101 §3), and the default route of
    /// NSSAs (§2.7).
    fn translate(&mut self, now: Instant, snapshot: &Snapshot, table: &Table, out: &mut Outbox) {
        let mut wanted: BTreeMap<IpNet, ExternalLsa> = BTreeMap::new();
        let normal = snapshot.areas.values().any(|(config, _)| config.kind == AreaKind::Normal);
        for (area, (config, lsas)) in &snapshot.areas {
            if config.kind != AreaKind::Nssa {
                continue;
            }
            let default = (snapshot.border() && !config.no_summary).then_some(config.default_cost);
            self.nssa_default(now, *area, default, out);
            if !snapshot.border() || !normal || !self.translator(*area, config.always_translate, table) {
                continue;
            }
            for (header, body) in &lsas.0 {
                let LsaBody::External(lsa) = body else { continue };
                let propagates = u32::from(header.options) & crate::packet::OPTION_N != 0
                    || lsa.prefix_options & crate::lsa::PREFIX_P != 0;
                let foreign = header.key.adv != self.router && lsa.forwarding.is_some();
                // Only what is the way we go ourselves (§3.2).
                let used =
                    table.prefixes.get(&lsa.prefix).is_some_and(|path| path.rank == 0 && path.kind > PathKind::Inter);
                if propagates && foreign && used && self.external_route(&lsa.prefix).is_none() {
                    let better = wanted.get(&lsa.prefix).is_none_or(|held| lsa.metric < held.metric);
                    if better {
                        wanted.insert(lsa.prefix, ExternalLsa { prefix_options: 0, ..*lsa });
                    }
                }
            }
        }
        let kind = self.kinds().external;
        let stale: Vec<IpNet> =
            self.routing.translated.iter().filter(|net| !wanted.contains_key(net)).copied().collect();
        for prefix in stale {
            if self.external_route(&prefix).is_none() {
                self.reconcile_prefix(now, Home::As, kind, prefix, None, out);
            }
        }
        self.routing.translated = wanted.keys().copied().collect();
        for (prefix, lsa) in wanted {
            self.reconcile_prefix(now, Home::As, kind, prefix, Some((OPTION_E, LsaBody::External(lsa))), out);
        }
    }

    /// Whether we translate for an NSSA: always, or as its border router with the highest id if nobody does always (§3.1).
    fn translator(&self, area: AreaId, always: bool, table: &Table) -> bool {
        let Some(tree) = table.trees.get(&area) else { return false };
        let others = || tree.routers.iter().filter(|(router, (_, flags))| **router != self.router && flags.border);
        always || others().all(|(router, (_, flags))| *router < self.router && !flags.translator)
    }

    fn nssa_default(&mut self, now: Instant, area: AreaId, cost: Option<u32>, out: &mut Outbox) {
        let prefix =
            if self.is_v2() { IpNet::V4(ipnet::Ipv4Net::default()) } else { IpNet::V6(ipnet::Ipv6Net::default()) };
        if self.external_route(&prefix).is_some() {
            return;
        }
        let body = cost.map(|metric| {
            let lsa = ExternalLsa {
                prefix,
                prefix_options: 0,
                type2: false,
                metric,
                forwarding: None,
                tag: 0,
                referenced: None,
            };
            (0, LsaBody::External(lsa))
        });
        self.reconcile_prefix(now, Home::Area(area), self.kinds().nssa, prefix, body, out);
    }
}

/// v3: an address of `router` that the area knows (RFC 5340 §4.7).
fn global(lsas: &Lsas, router: RouterId) -> Option<IpAddr> {
    lsas.0.iter().find_map(|(header, body)| match body {
        LsaBody::IntraAreaPrefix(lsa) if header.key.adv == router => lsa
            .prefixes
            .iter()
            .find(|prefix| prefix.options & PREFIX_LA != 0 && prefix.prefix.prefix_len() == 128)
            .map(|prefix| IpAddr::V6(prefix.prefix.addr())),
        _ => None,
    })
}
