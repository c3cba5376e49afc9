//! Where the databases lead: runs the calculation of [`crate::routes`] when something changed, at once unless it has just done
//! much, passes what changed of its routes to the RIB (`export`), its summaries and translations to origination (`tell`), and
//! paths of virtual links to their interfaces.

mod export;
mod tell;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::id::AreaId;
use crate::instance::Instance;
use crate::lsa::{Lsa, MAX_AGE};
use crate::lsdb::{Home, Slot};
use crate::message::Outbox;
use crate::neighbor::NeighborState;
use crate::routes::{Outcome, Routes, Surroundings};
use crate::spf::OwnLink;
use crate::view::{SpfRuns, SpfView};
use export::Exported;

/// Pause after a run for each vertex, destination and boundary router it looked at: some ten times what that takes, so that no
/// more than a tenth of the time is spent however often something changes. A small change is answered at once; to wait longer
/// (RFC 8405) protects routers that calculate slowly, and only keeps wrong routes alive in those that do not.
const PAUSE_PER_ITEM: Duration = Duration::from_micros(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Looking at so few is no reason for a pause.
const ITEMS_FREE: usize = 1000;

/// What stands between two calculations.
#[derive(Debug)]
pub(crate) struct Routing {
    dirty: bool,
    not_before: Instant,
    /// Somebody was adjacent at the last calculation.
    adjacent: bool,
    routes: Routes,
    exported: Exported,
    /// All summaries are to be looked at, whatever changed.
    summaries: bool,
    /// Type-7 LSAs that we say as type 5 (RFC 3101 §3.2).
    translated: BTreeSet<IpNet>,
    runs: Runs,
    /// Tells how long calculations take, to be shown; nothing depends on it.
    stopwatch: Option<fn() -> Instant>,
}

/// Calculations, by how much of the trees they did.
#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    full: SpfRuns,
    incremental: SpfRuns,
    partial: SpfRuns,
}

impl Routing {
    pub(crate) fn new(now: Instant, routes: Routes) -> Self {
        Self {
            dirty: false,
            not_before: now,
            adjacent: false,
            routes,
            exported: Exported::default(),
            summaries: false,
            translated: BTreeSet::new(),
            runs: Runs::default(),
            stopwatch: None,
        }
    }

    /// Areas, our links, or who is heard on them changed.
    pub(crate) fn neighborhood_changed(&mut self) {
        self.dirty = true;
    }

    /// What we announce ourselves changed, so translations may.
    pub(crate) fn externals_changed(&mut self) {
        self.dirty = true;
    }

    /// Summaries have to be said again.
    pub(crate) fn summaries_changed(&mut self) {
        self.dirty = true;
        self.summaries = true;
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.dirty.then_some(self.not_before)
    }

    /// We say others' type-7 LSAs as type 5, which makes us a boundary router.
    pub(crate) fn translates(&self) -> bool {
        !self.translated.is_empty()
    }

    /// Calculates, and takes note of how much that was.
    fn run(&mut self, now: Instant, around: Surroundings) -> Outcome {
        let started = self.stopwatch.map(|clock| clock());
        let outcome = self.routes.calculate(around);
        let spent = started.zip(self.stopwatch).map(|(started, clock)| clock().saturating_duration_since(started));
        let work = outcome.work;
        let runs = match (work.full, work.incremental) {
            (0, 0) => &mut self.runs.partial,
            (0, _) => &mut self.runs.incremental,
            _ => &mut self.runs.full,
        };
        runs.count += 1;
        runs.last = spent.or(runs.last);
        runs.longest = runs.longest.max(spent);
        let items = u32::try_from(work.items.saturating_sub(ITEMS_FREE)).unwrap_or(u32::MAX);
        self.not_before = now + PAUSE_PER_ITEM.saturating_mul(items).min(PAUSE_MAX);
        self.dirty = false;
        outcome
    }
}

impl Instance {
    /// Measures calculations by this clock, for [`SpfView`].
    pub fn set_stopwatch(&mut self, clock: fn() -> Instant) {
        self.routing.stopwatch = Some(clock);
    }

    /// Contents of a database changed.
    pub(crate) fn routing_changed(&mut self, home: Home, slot: Slot, lsa: &Lsa) {
        if lsa.header.age >= MAX_AGE {
            return self.routing_gone(home, slot);
        }
        self.routing.routes.learn(slot, home, lsa);
        self.routing.dirty = true;
        self.links_said(home, slot);
    }

    /// An LSA is flushed, or left.
    pub(crate) fn routing_gone(&mut self, home: Home, slot: Slot) {
        self.routing.routes.forget(slot);
        self.routing.dirty = true;
        self.links_said(home, slot);
    }

    /// A link-LSA tells the Designated Router what to say of the network (RFC 5340 §4.4.3.9).
    fn links_said(&mut self, home: Home, slot: Slot) {
        if let Home::Link(id) = home
            && self.db.get(slot).is_none_or(|entry| Some(entry.key.kind) == self.kinds().link)
            && let Some(area) = self.interfaces.get(&id).map(|interface| interface.area())
        {
            self.own.dirty_area(area);
        }
    }

    /// Calculates routes if it is time. True if something may have to be originated.
    pub(super) fn calculate(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if !self.routing.dirty || self.routing.not_before > now || self.stopping || self.awaits_neighbors() {
            return false;
        }
        self.routing.adjacent = self.has_adjacency();
        let around = self.surroundings();
        let outcome = self.routing.run(now, around);
        self.find_virtual_ends(now, out);
        // RFC 3623 §2.2: what forwards goes on as it did until the restart is over.
        if self.resuming() {
            self.routing.summaries = true;
            self.routing.routes.forget_gone(&outcome);
            return false;
        }
        self.export(&outcome, out);
        let before = self.stats.originated;
        self.tell_areas(now, &outcome, out);
        self.translate(now, out);
        self.routing.routes.forget_gone(&outcome);
        self.stats.originated != before
    }

    /// Nobody is adjacent, and was not before: until the first neighbor's database is here it leads nowhere, and is read in one go
    /// at the end.
    pub(super) fn awaits_neighbors(&self) -> bool {
        !self.routing.adjacent && !self.resuming() && self.exchanging() && !self.has_adjacency()
    }

    fn has_adjacency(&self) -> bool {
        self.each_neighbor().any(|(_, neighbor)| neighbor.adjacent())
    }

    /// The tree of an area as it is now.
    pub(super) fn spf_view(&self, area: AreaId) -> Option<SpfView> {
        let graph = self.routing.routes.graph(area)?;
        let mut vertices: Vec<_> = graph.tree().map(|(_, vertex, cost, _)| (vertex, cost)).collect();
        vertices.sort_by_key(|(vertex, cost)| (*cost, *vertex));
        let Runs { full, incremental, partial } = self.routing.runs;
        Some(SpfView { full, incremental, partial, vertices })
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routing.routes
    }

    /// Our own side of things, as it is now.
    fn surroundings(&self) -> Surroundings {
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
        let areas = self.attached_areas().filter_map(|area| Some((area, self.areas.get(&area)?.config.clone())));
        Surroundings { links: links.collect(), areas: areas.collect() }
    }
}
