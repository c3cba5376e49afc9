//! An area as a graph: a dense number for each router and network, and rows of edges between them. An edge is in a row only if
//! the far end's LSA names this end too; that is found out once, when one of the two LSAs comes or goes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use foldhash::{HashMap, HashMapExt};
use smallvec::SmallVec;

use super::hops::{Hop, HopSets, Hops, HopsId, OwnLink};
use super::rows::{Edge, Rows};
use super::{UNREACHED, incremental::Scratch};
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::lsa::{LinkKind, RouterFlags, RouterLink, RouterLsa};
use crate::packet::{OPTION_R, OPTION_V6};
use crate::view::Vertex;

/// What a calculation needs beyond LSAs: our own side of our links.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The area of the graph.
    pub area: AreaId,
    /// Our links, of all areas.
    pub links: &'a [OwnLink],
    /// v3: link-local addresses from link-LSAs.
    pub link_locals: &'a BTreeMap<(InterfaceId, RouterId), IpAddr>,
    /// How the far ends of virtual links are reached, for the backbone.
    pub far_ends: &'a BTreeMap<RouterId, HopsId>,
}

/// How much was calculated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// No edge changed.
    Nothing,
    /// What hangs on the edges that changed.
    Incremental,
    /// The whole tree.
    Full,
}

/// One of a router's LSAs; v3 allows several (RFC 5340 §4.8.1).
#[derive(Clone, Debug)]
pub(super) struct Part {
    id: u32,
    flags: RouterFlags,
    options: u32,
    links: Box<[RouterLink]>,
}

/// What the LSAs of a vertex say.
#[derive(Clone, Debug, Default)]
pub(super) enum Said {
    /// There is none.
    #[default]
    Nothing,
    /// By Link State ID; the first one's flags and options count (RFC 5340 §A.4.3).
    Router(SmallVec<[Part; 1]>),
    /// Routers on a network, sorted.
    Network(Box<[RouterId]>),
}

#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: Vertex,
    /// LSAs and others that use the number.
    pub(super) users: u32,
    pub(super) said: Said,
    pub(super) dirty: bool,
    pub(super) touched: bool,
}

/// The number of our own vertex.
pub(super) const ROOT: u32 = 0;

/// The graph, and the tree in it.
#[derive(Debug)]
pub struct Graph {
    pub(super) version: Version,
    pub(super) places: Vec<Place>,
    index: HashMap<Vertex, u32>,
    free: Vec<u32>,
    /// v2: networks by Link State ID, in order of their originators.
    pub(super) by_id: HashMap<u32, SmallVec<[(RouterId, u32); 1]>>,
    /// Networks by their Designated Router.
    pub(super) led: HashMap<RouterId, SmallVec<[u32; 1]>>,
    pub(super) rows: Rows,
    /// First steps over the edges of our own row.
    pub(super) first: Vec<HopsId>,
    pub(super) dist: Vec<u32>,
    pub(super) hops: Vec<HopsId>,
    /// A bit per vertex that is a router, for the order of calculation.
    pub(super) router: Vec<bool>,
    pub(super) scratch: Scratch,
    pub(super) dirty: Vec<u32>,
    renewed: Vec<u32>,
    pub(super) changed: Vec<u32>,
    /// Addresses of routers on our links changed, so first steps may have.
    direct: bool,
    /// Edges of routers that cost nothing, which RFC 2328 §C.3 forbids.
    pub(super) zeros: usize,
    /// Routers with bit V.
    virtuals: usize,
    grown: bool,
}

impl Graph {
    /// The graph of an area that `root` is in, with nothing in it.
    #[must_use]
    pub fn new(version: Version, root: RouterId) -> Self {
        let mut graph = Self {
            version,
            places: Vec::new(),
            index: HashMap::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            led: HashMap::new(),
            rows: Rows::default(),
            first: Vec::new(),
            dist: Vec::new(),
            hops: Vec::new(),
            router: Vec::new(),
            scratch: Scratch::default(),
            dirty: Vec::new(),
            renewed: Vec::new(),
            changed: Vec::new(),
            direct: false,
            zeros: 0,
            virtuals: 0,
            grown: false,
        };
        graph.acquire(Vertex::Router(root));
        if let Some(dist) = graph.dist.first_mut() {
            *dist = 0;
        }
        graph
    }

    /// The number of a vertex, which somebody uses until [`Graph::release`].
    pub fn acquire(&mut self, name: Vertex) -> u32 {
        if let Some(number) = self.index.get(&name) {
            if let Some(place) = self.places.get_mut(*number as usize) {
                place.users += 1;
            }
            return *number;
        }
        let place = Place { name, users: 1, said: Said::Nothing, dirty: false, touched: false };
        let router = matches!(name, Vertex::Router(_));
        let number = match self.free.pop() {
            Some(number) => {
                if let (Some(held), Some(is_router)) =
                    (self.places.get_mut(number as usize), self.router.get_mut(number as usize))
                {
                    (*held, *is_router) = (place, router);
                }
                number
            }
            None => {
                self.places.push(place);
                self.router.push(router);
                self.dist.push(UNREACHED);
                self.hops.push(HopsId::NONE);
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(name, number);
        if let Vertex::Network(id, adv) = name {
            self.led.entry(adv).or_default().push(number);
            if self.version == Version::V2 {
                let same = self.by_id.entry(id).or_default();
                same.push((adv, number));
                same.sort_unstable();
            }
        }
        number
    }

    /// One user less.
    pub fn release(&mut self, number: u32) {
        let Some(place) = self.places.get_mut(number as usize) else { return };
        place.users = place.users.saturating_sub(1);
        if place.users == 0 {
            self.soil(number);
        }
    }

    /// A vertex with no users, no edges and no LSA is forgotten.
    pub(super) fn forget(&mut self, number: u32) {
        let Some(place) = self.places.get_mut(number as usize).filter(|place| place.users == 0) else { return };
        let name = place.name;
        if self.index.get(&name) != Some(&number) {
            return;
        }
        self.index.remove(&name);
        self.free.push(number);
        if let Vertex::Network(id, adv) = name {
            if let Some(led) = self.led.get_mut(&adv) {
                led.retain(|held| *held != number);
                if led.is_empty() {
                    self.led.remove(&adv);
                }
            }
            if let Some(same) = self.by_id.get_mut(&id) {
                same.retain(|(_, held)| *held != number);
                if same.is_empty() {
                    self.by_id.remove(&id);
                }
            }
        }
    }

    fn soil(&mut self, number: u32) {
        let Some(place) = self.places.get_mut(number as usize).filter(|place| !place.dirty) else { return };
        place.dirty = true;
        self.dirty.push(number);
    }

    /// A router-LSA with this Link State ID came; the number of its vertex.
    pub fn set_router(&mut self, adv: RouterId, id: u32, lsa: &RouterLsa) -> u32 {
        let number = self.acquire(Vertex::Router(adv));
        let before = self.said_flags(number);
        let links = lsa.links.iter().filter(|link| link.kind != LinkKind::Stub).copied().collect();
        let part = Part { id, flags: lsa.flags, options: lsa.options, links };
        let Some(place) = self.places.get_mut(number as usize) else { return number };
        if !matches!(place.said, Said::Router(_)) {
            place.said = Said::Router(SmallVec::new());
        }
        if let Said::Router(parts) = &mut place.said {
            if let Some(held) = parts.iter_mut().find(|held| held.id == id) {
                *held = part;
                place.users -= 1; // it was counted when it came first
            } else {
                parts.push(part);
                parts.sort_by_key(|part| part.id);
            }
        }
        self.soil(number);
        self.flags_were(number, before);
        number
    }

    /// A router-LSA went.
    pub fn remove_router(&mut self, adv: RouterId, id: u32) {
        let Some(number) = self.number(Vertex::Router(adv)) else { return };
        let before = self.said_flags(number);
        let Some(place) = self.places.get_mut(number as usize) else { return };
        let Said::Router(parts) = &mut place.said else { return };
        let Some(at) = parts.iter().position(|part| part.id == id) else { return };
        parts.remove(at);
        if parts.is_empty() {
            place.said = Said::Nothing;
        }
        self.soil(number);
        self.flags_were(number, before);
        self.release(number);
    }

    fn flags_were(&mut self, number: u32, before: Option<RouterFlags>) {
        let now = self.said_flags(number);
        let virtual_link = |flags: Option<RouterFlags>| usize::from(flags.is_some_and(|flags| flags.virtual_link));
        self.virtuals = self.virtuals + virtual_link(now) - virtual_link(before);
        if now != before {
            self.renewed.push(number);
        }
    }

    /// A network-LSA came; the number of its vertex.
    pub fn set_network(&mut self, id: u32, adv: RouterId, attached: &[RouterId]) -> u32 {
        let number = self.acquire(Vertex::Network(id, adv));
        let Some(place) = self.places.get_mut(number as usize) else { return number };
        if matches!(place.said, Said::Network(_)) {
            place.users -= 1;
        } else {
            self.renewed.push(number);
        }
        let mut attached: Box<[RouterId]> = attached.into();
        attached.sort_unstable();
        place.said = Said::Network(attached);
        self.soil(number);
        number
    }

    /// A network-LSA went.
    pub fn remove_network(&mut self, id: u32, adv: RouterId) {
        let Some(number) = self.number(Vertex::Network(id, adv)) else { return };
        let Some(place) = self.places.get_mut(number as usize) else { return };
        if !matches!(place.said, Said::Network(_)) {
            return;
        }
        place.said = Said::Nothing;
        self.soil(number);
        self.renewed.push(number);
        self.release(number);
    }

    /// Our own side of our links changed, or the way to the far end of a virtual link.
    pub fn surroundings_changed(&mut self) {
        self.soil(ROOT);
        self.direct = true;
    }

    /// The number of a vertex that is used.
    #[must_use]
    pub fn number(&self, name: Vertex) -> Option<u32> {
        self.index.get(&name).copied()
    }

    /// What vertex has this number.
    #[must_use]
    pub fn name(&self, number: u32) -> Option<Vertex> {
        self.places.get(number as usize).map(|place| place.name)
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing but ourselves is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.len() <= 1
    }

    /// Cost and first steps, if the vertex is in the tree.
    #[must_use]
    pub fn reach(&self, number: u32) -> Option<(u32, HopsId)> {
        let dist = *self.dist.get(number as usize)?;
        let hops = *self.hops.get(number as usize)?;
        let said = !matches!(self.places.get(number as usize)?.said, Said::Nothing);
        (said && dist != UNREACHED && (number == ROOT || hops != HopsId::NONE)).then_some((dist, hops))
    }

    /// Cost and first steps to a router in the tree.
    #[must_use]
    pub fn router(&self, router: RouterId) -> Option<(u32, HopsId)> {
        self.reach(self.number(Vertex::Router(router))?)
    }

    /// What a router says of itself.
    #[must_use]
    pub fn flags(&self, number: u32) -> RouterFlags {
        self.said_flags(number).unwrap_or_default()
    }

    /// The tree: vertices with their costs and first steps.
    pub fn tree(&self) -> impl Iterator<Item = (u32, Vertex, u32, HopsId)> {
        (0..).zip(&self.places).filter_map(|(number, place)| {
            let (dist, hops) = self.reach(number)?;
            Some((number, place.name, dist, hops))
        })
    }

    /// A virtual link goes through the area (TransitCapability, RFC 2328 §16.1).
    #[must_use]
    pub fn transit(&self) -> bool {
        self.virtuals > 0
    }

    /// Some other router is in the tree.
    #[must_use]
    pub fn reaches_others(&self) -> bool {
        self.tree().any(|(number, vertex, ..)| number != ROOT && matches!(vertex, Vertex::Router(_)))
    }

    /// Vertices that the last run found nearer, further, or to be reached otherwise, and those that call themselves other
    /// things than before.
    #[must_use]
    pub fn changed(&self) -> &[u32] {
        &self.changed
    }

    /// Numbers of sets of first steps, all that are kept.
    pub(crate) fn hops_mut(&mut self) -> impl Iterator<Item = &mut HopsId> {
        self.hops.iter_mut().chain(&mut self.first)
    }

    /// The next run finds the whole tree anew, whatever changed.
    pub fn forget_tree(&mut self) {
        self.grown = false;
    }

    /// Brings the tree up to date.
    pub fn run(&mut self, around: &Around<'_>, sets: &mut HopSets) -> Run {
        self.changed.clear();
        self.changed.append(&mut self.renewed);
        let changes = self.resolve(around, sets);
        let direct = std::mem::take(&mut self.direct);
        let run = if changes.is_empty() && !direct && self.grown {
            Run::Nothing
        } else if self.grown
            && self.zeros == 0
            && changes.len() <= self.places.len()
            && self.incremental(&changes, direct, around, sets)
        {
            Run::Incremental
        } else {
            self.full(around, sets);
            Run::Full
        };
        self.grown = true;
        run
    }

    pub(super) fn said(&self, number: u32) -> &Said {
        self.places.get(number as usize).map_or(&Said::Nothing, |place| &place.said)
    }

    fn parts(&self, number: u32) -> &[Part] {
        if let Said::Router(parts) = self.said(number) { parts } else { &[] }
    }

    pub(super) fn links(&self, number: u32) -> impl Iterator<Item = &RouterLink> {
        self.parts(number).iter().flat_map(|part| part.links.iter())
    }

    fn said_flags(&self, number: u32) -> Option<RouterFlags> {
        self.parts(number).first().map(|part| part.flags)
    }

    /// It forwards for others (v3: RFC 5340 §A.2 R, V6), as seen from us.
    pub(super) fn forwards(&self, number: u32) -> bool {
        let bits = OPTION_R | OPTION_V6;
        number == ROOT
            || self.version == Version::V2
            || self.parts(number).first().is_some_and(|part| part.options & bits == bits)
    }

    /// The network a transit link leads to. v2: one that its Designated Router is on by its own router-LSA.
    pub(super) fn network(&self, link: &RouterLink) -> Option<u32> {
        match self.version {
            Version::V3 => self.number(Vertex::Network(link.neighbor_interface, RouterId(link.id))),
            Version::V2 => {
                let same = self.by_id.get(&link.id)?.iter();
                let counts = |adv, number| matches!(self.said(number), Said::Network(_)) && self.is_on(adv, link.id);
                same.copied().find(|(adv, number)| counts(*adv, *number)).map(|(_, number)| number)
            }
        }
        .filter(|number| matches!(self.said(*number), Said::Network(_)))
    }

    fn is_on(&self, designated: RouterId, id: u32) -> bool {
        self.number(Vertex::Router(designated)).is_some_and(|number| {
            self.links(number).any(|link| link.kind == LinkKind::Transit && link.id == id && link.data == id)
        })
    }

    /// First steps to `to` over `from`, whose own first steps are known, by the edge at `at` of `from`'s row.
    pub(super) fn steps(&self, from: u32, at: usize, edge: &Edge, around: &Around<'_>, sets: &mut HopSets) -> HopsId {
        if from == ROOT {
            return self.first.get(at).copied().unwrap_or_default();
        }
        let hops = self.hops.get(from as usize).copied().unwrap_or_default();
        self.steps_beyond(from, hops, edge.to, edge.data, around, sets)
    }

    /// First steps to `to` beyond `from`. From a network next to us the first step is the router's address on it (RFC 2328
    /// §16.1.1).
    pub(super) fn steps_beyond(
        &self,
        from: u32,
        hops: HopsId,
        to: u32,
        data: u32,
        around: &Around<'_>,
        sets: &mut HopSets,
    ) -> HopsId {
        if self.router.get(from as usize) != Some(&false) || sets.get(hops).iter().all(|hop| hop.via.is_some()) {
            return hops;
        }
        let Some(Vertex::Router(router)) = self.name(to) else { return hops };
        let address = |hop: &Hop| match self.version {
            Version::V2 => Some(Ipv4Addr::from(data).into()),
            Version::V3 => {
                let own = around.links.iter().find(|own| own.interface == hop.interface)?;
                let heard = own.neighbors.iter().find(|(id, _)| *id == router).map(|(_, address)| *address);
                heard.or_else(|| around.link_locals.get(&(hop.interface, router)).copied())
            }
        };
        let hops: Hops = sets
            .get(hops)
            .iter()
            .filter_map(|hop| match hop.via {
                Some(_) => Some(*hop),
                None => Some(Hop { via: Some(address(hop)?), ..*hop }),
            })
            .collect();
        sets.intern(hops)
    }
}
