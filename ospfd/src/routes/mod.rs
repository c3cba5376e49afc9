//! Where the databases lead (RFC 2328 §16, RFC 5340 §4.8, RFC 3101 §2.5). An LSA is read once, when it comes: what it says of
//! links goes into its area's graph, what it says of prefixes to their destinations. A calculation then looks only at what
//! changed: trees incrementally, destinations of vertices that moved, externals of boundary routers and forwarding
//! addresses that are reached otherwise (RFC 2328 §16.5, §16.6).
//!
//! | question | room |
//! |---|---|
//! | what does an LSA say, and what no longer? | `facts` |
//! | which prefixes are there, and what leads to them? | `dests` |
//! | which way inside the domain? | `inside` |
//! | which way out of it? | `external` |
//! | what do other areas hear of it? | `summaries` |

mod dests;
mod external;
mod facts;
mod inside;
mod summaries;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt};

use crate::config::AreaConfig;
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::spf::{Around, Graph, HopSets, HopsId, OwnLink, Run};
use dests::Dests;
use external::Boundary;
use facts::Fact;
pub(crate) use summaries::Telling;

/// How preferred a path is (RFC 2328 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PathKind {
    Intra,
    Inter,
    External1,
    External2,
}

/// The best paths to a prefix. 100,000 of them are 2.4 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) kind: PathKind,
    /// Externals: 0 is a type-7 LSA to be translated, 1 a type-5, 2 another type-7 (RFC 3101 §2.5 6e).
    pub(crate) rank: u8,
    /// Externals: the boundary router or the forwarding address is not inside an area other than the backbone (RFC 2328 §16.4.1).
    pub(crate) afar: bool,
    /// The area it leads through; of externals the one that the boundary router is reached through.
    pub(crate) area: AreaId,
    /// Cost inside, for type-1 externals with the outside added.
    pub(crate) cost: u32,
    /// Cost of a type-2 external.
    pub(crate) outer: u32,
    pub(crate) tag: u32,
    /// First steps; none if the prefix is ours.
    pub(crate) hops: HopsId,
}

impl Path {
    /// Of externals, those inside an area come before nearer ones (RFC 2328 §16.4 6c): whoever the backbone lies between does not
    /// know what the ways inside our areas cost us, and might send back what we send there.
    fn order(&self) -> (PathKind, u32, bool, u32, u8) {
        (self.kind, self.outer, self.afar, self.cost, self.rank)
    }

    /// It leads to a destination inside the domain.
    pub(crate) fn inside(&self) -> bool {
        self.kind <= PathKind::Inter
    }
}

/// Offers a path; equally good ones are used together, what is ours alone stays that. Of equals, the area is the first one
/// in the order of calculation and the tag the lowest, so that nothing depends on when which LSA came.
fn offer(best: &mut Option<Path>, path: Path, sets: &mut HopSets) {
    let Some(held) = best else {
        *best = Some(path);
        return;
    };
    match path.order().cmp(&held.order()) {
        std::cmp::Ordering::Less => *held = path,
        std::cmp::Ordering::Greater => {}
        std::cmp::Ordering::Equal => {
            let ours = held.hops == HopsId::NONE || path.hops == HopsId::NONE;
            held.hops = if ours { HopsId::NONE } else { sets.union(held.hops, path.hops) };
            // Areas in order, the backbone last (its virtual links lead through the others), for what they say themselves.
            let turn = |path: &Path| (path.kind == PathKind::Intra && path.area == AreaId::BACKBONE, path.area);
            if turn(&path) < turn(held) {
                held.area = path.area;
            }
            held.tag = held.tag.min(path.tag);
        }
    }
}

/// Our own side of things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) links: Vec<OwnLink>,
    /// Areas with a link that is up.
    pub(crate) areas: BTreeMap<AreaId, AreaConfig>,
}

impl Surroundings {
    /// The area of a link of ours.
    fn area_of(&self, interface: InterfaceId) -> Option<AreaId> {
        self.links.iter().find(|own| own.interface == interface).map(|own| own.area)
    }
}

/// An area's graph, and who builds on its vertices.
#[derive(Debug)]
struct Area {
    id: AreaId,
    graph: Graph,
    /// By vertex: slots of LSAs that lead to something through it.
    users: Vec<Vec<u32>>,
}

/// How much a calculation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Trees calculated as a whole.
    pub(crate) full: u32,
    /// Trees calculated in part.
    pub(crate) incremental: u32,
    /// Vertices, destinations and boundary routers looked at.
    pub(crate) items: usize,
}

/// What a calculation changed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Destinations with the path they had.
    pub(crate) dests: Vec<(u32, Option<Path>)>,
    /// Boundary routers that are reached otherwise.
    pub(crate) boundaries: Vec<RouterId>,
    /// Areas, or what they are to each other, changed: everything that is told of them is to be looked at.
    pub(crate) all: bool,
    /// Our own links changed.
    pub(crate) links: bool,
    pub(crate) work: Work,
    /// Sets of first steps have other numbers now.
    pub(crate) moved: Option<Vec<HopsId>>,
}

/// What areas are to each other (RFC 2328 §16.2, §16.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Share {
    /// Its summaries are not looked at.
    #[default]
    Hidden,
    /// They are.
    Examined,
    /// They are where they shorten a way through the backbone.
    Transit,
}

/// The routing table, with everything it rests on.
#[derive(Debug)]
pub(crate) struct Routes {
    version: Version,
    router: RouterId,
    areas: Vec<Area>,
    numbers: BTreeMap<AreaId, u16>,
    /// By slot of the database.
    facts: Vec<Fact>,
    dests: Dests,
    boundaries: HashMap<RouterId, Boundary>,
    /// Externals by the forwarding address they name.
    forwarders: BTreeMap<IpAddr, Vec<u32>>,
    /// Type-7 LSAs.
    nssa: BTreeSet<u32>,
    sets: HopSets,
    link_locals: BTreeMap<(InterfaceId, RouterId), IpAddr>,
    around: Surroundings,
    /// By area: what it is to the others, and whether virtual links go through it.
    shares: Vec<(Share, bool)>,
    far_ends: BTreeMap<RouterId, HopsId>,
    dirty: Vec<u32>,
    dirty_boundaries: Vec<RouterId>,
    /// Neighbors' addresses on our links changed.
    direct: bool,
    /// Nothing was calculated yet.
    fresh: bool,
}

impl Routes {
    pub(crate) fn new(version: Version, router: RouterId) -> Self {
        Self {
            version,
            router,
            areas: Vec::new(),
            numbers: BTreeMap::new(),
            facts: Vec::new(),
            dests: Dests::default(),
            boundaries: HashMap::new(),
            forwarders: BTreeMap::new(),
            nssa: BTreeSet::new(),
            sets: HopSets::default(),
            link_locals: BTreeMap::new(),
            around: Surroundings::default(),
            shares: Vec::new(),
            far_ends: BTreeMap::new(),
            dirty: Vec::new(),
            dirty_boundaries: Vec::new(),
            direct: false,
            fresh: true,
        }
    }

    /// We are in more than one area.
    pub(crate) fn border(&self) -> bool {
        self.around.areas.len() > 1
    }

    /// The areas we are in.
    pub(crate) fn attached(&self) -> &BTreeMap<AreaId, AreaConfig> {
        &self.around.areas
    }

    /// The graph of an area we are in.
    pub(crate) fn graph(&self, area: AreaId) -> Option<&Graph> {
        self.around.areas.get(&area)?;
        Some(&self.areas.get(usize::from(*self.numbers.get(&area)?))?.graph)
    }

    pub(crate) fn sets(&self) -> &HopSets {
        &self.sets
    }

    /// A destination: its prefix and the path it has now.
    pub(crate) fn dest(&self, number: u32) -> Option<(ipnet::IpNet, Option<Path>)> {
        self.dests.get(number).map(|dest| (dest.prefix, dest.path))
    }

    /// The path to a prefix.
    pub(crate) fn path(&self, prefix: &ipnet::IpNet) -> Option<Path> {
        self.dests.get(self.dests.find(prefix)?)?.path
    }

    /// All destinations.
    pub(crate) fn all_dests(&self) -> impl Iterator<Item = (u32, ipnet::IpNet, Option<Path>)> {
        self.dests.iter().map(|(number, dest)| (number, dest.prefix, dest.path))
    }

    /// Slots of type-7 LSAs.
    pub(crate) fn nssa(&self) -> impl Iterator<Item = u32> {
        self.nssa.iter().copied()
    }

    fn area_number(&mut self, id: AreaId) -> u16 {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let number = u16::try_from(self.areas.len()).unwrap_or(u16::MAX);
        self.areas.push(Area { id, graph: Graph::new(self.version, self.router), users: Vec::new() });
        self.shares.push((Share::default(), false));
        self.numbers.insert(id, number);
        number
    }

    fn area(&self, number: u16) -> Option<&Area> {
        self.areas.get(usize::from(number))
    }

    /// Cost and first steps to a vertex of an area we are in.
    fn reach(&self, area: u16, vertex: u32) -> Option<(AreaId, u32, HopsId)> {
        let area = self.area(area).filter(|area| self.around.areas.contains_key(&area.id))?;
        let (cost, hops) = area.graph.reach(vertex)?;
        Some((area.id, cost, hops))
    }

    /// Takes everything that changed into account.
    pub(crate) fn calculate(&mut self, around: Surroundings) -> Outcome {
        let mut outcome = Outcome { moved: self.tidy_sets(), ..Outcome::default() };
        outcome.links = self.around.links != around.links;
        outcome.all = self.around.areas != around.areas || std::mem::take(&mut self.fresh);
        self.around = around;
        let direct = outcome.links || outcome.all || std::mem::take(&mut self.direct);
        self.grow_trees(direct, &mut outcome);
        outcome.all |= self.share_out();
        if outcome.all {
            self.dirty_everything();
        } else if outcome.links {
            self.dirty_all_forwarders();
        }
        self.find_boundaries(&mut outcome);
        self.find_paths(&mut outcome);
        outcome
    }

    fn grow_trees(&mut self, direct: bool, outcome: &mut Outcome) {
        let attached: Vec<AreaId> = self.around.areas.keys().copied().collect();
        for id in &attached {
            self.area_number(*id);
        }
        // The backbone last: its virtual links lead through the others.
        let outer = attached.iter().copied().filter(|id| *id != AreaId::BACKBONE);
        let backbone = attached.iter().copied().filter(|id| *id == AreaId::BACKBONE);
        let mut far_ends: BTreeMap<RouterId, HopsId> = BTreeMap::new();
        for id in outer.chain(backbone) {
            let Some(number) = self.numbers.get(&id).copied() else { continue };
            let far_ends_moved = id == AreaId::BACKBONE && far_ends != self.far_ends;
            if id == AreaId::BACKBONE {
                self.far_ends.clone_from(&far_ends);
            }
            let Some(area) = self.areas.get_mut(usize::from(number)) else { continue };
            if direct || far_ends_moved {
                area.graph.surroundings_changed();
            }
            let around = Around {
                area: id,
                links: &self.around.links,
                link_locals: &self.link_locals,
                far_ends: &self.far_ends,
            };
            match area.graph.run(&around, &mut self.sets) {
                Run::Nothing => {}
                Run::Incremental => outcome.work.incremental += 1,
                Run::Full => {
                    outcome.work.full += 1;
                    outcome.work.items += area.graph.len();
                }
            }
            outcome.work.items += area.graph.changed().len();
            for end in self.around.areas.get(&id).into_iter().flat_map(|config| &config.virtual_links) {
                if let Some((_, hops)) = area.graph.router(*end) {
                    far_ends.entry(*end).or_insert(hops);
                }
            }
            self.dirty_users(number);
        }
    }

    /// Decides which areas' summaries are looked at; true if that is not as it was.
    fn share_out(&mut self) -> bool {
        // RFC 3509 §2.2: a border router without a live backbone looks into all its areas.
        let live = self.border() && self.graph(AreaId::BACKBONE).is_some_and(Graph::reaches_others);
        let share = |area: &Area| match area.id {
            id if !self.around.areas.contains_key(&id) => Share::Hidden,
            AreaId::BACKBONE => Share::Examined,
            _ if !live => Share::Examined,
            _ if area.graph.transit() => Share::Transit,
            _ => Share::Hidden,
        };
        let shares: Vec<_> = self.areas.iter().map(|area| (share(area), area.graph.transit())).collect();
        let other = shares != self.shares;
        self.shares = shares;
        other
    }

    fn share(&self, area: u16) -> Share {
        self.shares.get(usize::from(area)).map_or(Share::Hidden, |(share, _)| *share)
    }

    /// Forgets sets of first steps that nobody uses, if there are many.
    fn tidy_sets(&mut self) -> Option<Vec<HopsId>> {
        if !self.sets.crowded() {
            return None;
        }
        let mut ids: Vec<&mut HopsId> = Vec::new();
        ids.extend(self.areas.iter_mut().flat_map(|area| area.graph.hops_mut()));
        ids.extend(self.dests.hops_mut());
        ids.extend(self.boundaries.values_mut().flat_map(Boundary::hops_mut));
        ids.extend(self.far_ends.values_mut());
        let moved = self.sets.keep(ids.iter().map(|id| **id));
        for id in ids {
            *id = moved.get(id.index()).copied().unwrap_or_default();
        }
        Some(moved)
    }
}
