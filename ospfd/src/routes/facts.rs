//! What LSAs say, by their slot of the database: read once when they come, taken back when they go.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::Routes;
use super::dests::Source;
use super::external::External;
use crate::id::{InterfaceId, RouterId, Version};
use crate::lsa::{LS_INFINITY, LinkKind, Lsa, LsaBody, PREFIX_NU};
use crate::lsdb::{Home, Slot};
use crate::view::Vertex;

/// What one LSA says. 100,000 of them are 6.4 MB.
#[derive(Debug, Default)]
pub(super) enum Fact {
    #[default]
    Nothing,
    /// A vertex's links and prefixes.
    Vertex {
        user: User,
        id: u32,
        says: Box<[(u32, u32)]>,
    },
    /// Prefixes of a vertex: v3's intra-area-prefix-LSAs.
    Prefixes {
        user: User,
        says: Box<[(u32, u32)]>,
    },
    /// A border router's word on a prefix.
    Summary {
        user: User,
        dest: u32,
        metric: u32,
    },
    /// A border router's word on a boundary router.
    Boundary {
        user: User,
        router: RouterId,
        metric: u32,
    },
    External(External),
    /// v3: a neighbor's address on a link.
    LinkLocal {
        interface: InterfaceId,
        router: RouterId,
    },
}

/// A vertex that something builds on, and where the vertex has that among its users.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) area: u16,
    pub(super) vertex: u32,
    at: u32,
}

impl Routes {
    /// An LSA came, or another instance of it.
    pub(crate) fn learn(&mut self, slot: Slot, home: Home, lsa: &Lsa) {
        self.unlearn(slot, true);
        let key = lsa.header.key;
        let fact = match (home, &lsa.body) {
            (Home::Area(area), body) => {
                let area = self.area_number(area);
                self.learn_in_area(slot, area, &lsa.header, body)
            }
            (Home::As, LsaBody::External(external)) => self.learn_external(slot, None, &lsa.header, external),
            (Home::Link(interface), LsaBody::Link(link)) => {
                self.link_locals.insert((interface, key.adv), IpAddr::V6(link.link_local));
                self.direct = true;
                Fact::LinkLocal { interface, router: key.adv }
            }
            _ => Fact::Nothing,
        };
        let at = slot.0 as usize;
        if self.facts.len() <= at {
            if matches!(fact, Fact::Nothing) {
                return;
            }
            self.facts.resize_with(at + 1, Fact::default);
        }
        if let Some(place) = self.facts.get_mut(at) {
            *place = fact;
        }
    }

    fn learn_in_area(&mut self, slot: Slot, area: u16, header: &crate::lsa::LsaHeader, body: &LsaBody) -> Fact {
        let key = header.key;
        match body {
            LsaBody::Router(lsa) => {
                let Some(vertex) = self.graph_mut(area).map(|graph| graph.set_router(key.adv, key.id, lsa)) else {
                    return Fact::Nothing;
                };
                let stubs = lsa.links.iter().filter(|link| link.kind == LinkKind::Stub);
                let prefixes = stubs.filter_map(|link| {
                    let length = u8::try_from(link.data.leading_ones()).unwrap_or(32);
                    let net = Ipv4Net::new(Ipv4Addr::from(link.id), length).ok()?;
                    Some((IpNet::V4(net.trunc()), u32::from(link.metric)))
                });
                let prefixes = if self.version == Version::V2 { prefixes.collect() } else { Vec::new() };
                let says = self.say(area, vertex, &prefixes);
                if lsa.flags.external {
                    self.dirty_boundary(key.adv);
                }
                Fact::Vertex { user: self.enlist(slot, area, vertex), id: key.id, says }
            }
            LsaBody::Network(lsa) => {
                let Some(vertex) = self.graph_mut(area).map(|graph| graph.set_network(key.id, key.adv, &lsa.attached))
                else {
                    return Fact::Nothing;
                };
                let net = lsa.mask_len.and_then(|length| Ipv4Net::new(Ipv4Addr::from(key.id), length).ok());
                let prefixes: Vec<_> = net.into_iter().map(|net| (IpNet::V4(net.trunc()), 0)).collect();
                let says = self.say(area, vertex, &prefixes);
                Fact::Vertex { user: self.enlist(slot, area, vertex), id: key.id, says }
            }
            LsaBody::IntraAreaPrefix(lsa) => {
                let to = lsa.referenced;
                if to.adv != key.adv {
                    return Fact::Nothing; // RFC 5340 §A.4.10: of the same originator
                }
                let router = matches!(to.kind.0, 1 | 0x2001);
                let name = if router { Vertex::Router(to.adv) } else { Vertex::Network(to.id, to.adv) };
                let Some(vertex) = self.graph_mut(area).map(|graph| graph.acquire(name)) else { return Fact::Nothing };
                let useful = lsa.prefixes.iter().filter(|prefix| prefix.options & PREFIX_NU == 0);
                let prefixes: Vec<_> =
                    useful.map(|prefix| (IpNet::V6(prefix.prefix), u32::from(prefix.metric))).collect();
                let says = self.say(area, vertex, &prefixes);
                Fact::Prefixes { user: self.enlist(slot, area, vertex), says }
            }
            LsaBody::Summary(lsa)
                if lsa.metric < LS_INFINITY && lsa.prefix_options & PREFIX_NU == 0 && key.adv != self.router =>
            {
                let Some(vertex) = self.graph_mut(area).map(|graph| graph.acquire(Vertex::Router(key.adv))) else {
                    return Fact::Nothing;
                };
                let dest = self.dests.add(lsa.prefix, Source::Inter { area, vertex, metric: lsa.metric });
                self.dirty_dest(dest);
                Fact::Summary { user: self.enlist(slot, area, vertex), dest, metric: lsa.metric }
            }
            LsaBody::AsbrSummary(lsa)
                if lsa.metric < LS_INFINITY && key.adv != self.router && lsa.router != self.router =>
            {
                let Some(vertex) = self.graph_mut(area).map(|graph| graph.acquire(Vertex::Router(key.adv))) else {
                    return Fact::Nothing;
                };
                self.boundaries.entry(lsa.router).or_default().summaries.push(slot.0);
                self.dirty_boundary(lsa.router);
                Fact::Boundary { user: self.enlist(slot, area, vertex), router: lsa.router, metric: lsa.metric }
            }
            LsaBody::External(lsa) => self.learn_external(slot, Some(area), header, lsa),
            _ => Fact::Nothing,
        }
    }

    /// An LSA went.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.unlearn(slot, false);
    }

    /// Takes back what the LSA in `slot` said. Another instance of it does not take its vertex away in between.
    fn unlearn(&mut self, slot: Slot, replaced: bool) {
        let Some(fact) = self.facts.get_mut(slot.0 as usize).map(std::mem::take) else { return };
        match fact {
            Fact::Nothing => {}
            Fact::Vertex { user, id, says } => {
                self.unsay(user, &says);
                self.discharge(user);
                let Some(graph) = self.graph_mut(user.area).filter(|_| !replaced) else { return };
                match graph.name(user.vertex) {
                    Some(Vertex::Router(router)) => {
                        let external = graph.flags(user.vertex).external;
                        graph.remove_router(router, id);
                        if external {
                            self.dirty_boundary(router);
                        }
                    }
                    Some(Vertex::Network(id, adv)) => graph.remove_network(id, adv),
                    None => {}
                }
            }
            Fact::Prefixes { user, says } => {
                self.unsay(user, &says);
                self.resign(user);
            }
            Fact::Summary { user, dest, metric } => {
                self.dests.take(dest, Source::Inter { area: user.area, vertex: user.vertex, metric });
                self.dirty_dest(dest);
                self.resign(user);
            }
            Fact::Boundary { user, router, .. } => {
                if let Some(boundary) = self.boundaries.get_mut(&router) {
                    boundary.summaries.retain(|held| *held != slot.0);
                }
                self.dirty_boundary(router);
                self.resign(user);
            }
            Fact::External(external) => self.unlearn_external(slot, &external),
            Fact::LinkLocal { interface, router } => {
                self.link_locals.remove(&(interface, router));
                self.direct = true;
            }
        }
    }

    fn graph_mut(&mut self, area: u16) -> Option<&mut crate::spf::Graph> {
        Some(&mut self.areas.get_mut(usize::from(area))?.graph)
    }

    /// A vertex has these prefixes.
    fn say(&mut self, area: u16, vertex: u32, prefixes: &[(IpNet, u32)]) -> Box<[(u32, u32)]> {
        let says = prefixes.iter().map(|(prefix, metric)| {
            let dest = self.dests.add(*prefix, Source::Intra { area, vertex, metric: *metric });
            self.dirty_dest(dest);
            (dest, *metric)
        });
        says.collect()
    }

    fn unsay(&mut self, user: User, says: &[(u32, u32)]) {
        for (dest, metric) in says {
            self.dests.take(*dest, Source::Intra { area: user.area, vertex: user.vertex, metric: *metric });
            self.dirty_dest(*dest);
        }
    }

    /// Notes that the LSA in `slot` builds on a vertex.
    fn enlist(&mut self, slot: Slot, area: u16, vertex: u32) -> User {
        let Some(held) = self.areas.get_mut(usize::from(area)) else { return User { area, vertex, at: 0 } };
        if held.users.len() <= vertex as usize {
            held.users.resize_with(vertex as usize + 1, Vec::new);
        }
        let Some(users) = held.users.get_mut(vertex as usize) else { return User { area, vertex, at: 0 } };
        users.push(slot.0);
        User { area, vertex, at: u32::try_from(users.len() - 1).unwrap_or(0) }
    }

    /// It no longer does.
    fn discharge(&mut self, user: User) {
        let users =
            self.areas.get_mut(usize::from(user.area)).and_then(|area| area.users.get_mut(user.vertex as usize));
        let Some(users) = users else { return };
        users.swap_remove(user.at as usize);
        // Whoever was last has its place now.
        let moved = users.get(user.at as usize).copied();
        if let Some(moved) = moved
            && let Some(fact) = self.facts.get_mut(moved as usize)
            && let Fact::Vertex { user: held, .. }
            | Fact::Prefixes { user: held, .. }
            | Fact::Summary { user: held, .. }
            | Fact::Boundary { user: held, .. } = fact
        {
            held.at = user.at;
        }
    }

    /// It no longer does, nor uses the vertex's number.
    fn resign(&mut self, user: User) {
        self.discharge(user);
        if let Some(graph) = self.graph_mut(user.area) {
            graph.release(user.vertex);
        }
    }

    pub(super) fn dirty_dest(&mut self, number: u32) {
        if let Some(dest) = self.dests.get_mut(number).filter(|dest| !dest.dirty) {
            dest.dirty = true;
            self.dirty.push(number);
        }
    }

    /// What builds on vertices of an area that are reached otherwise now is to be looked at.
    pub(super) fn dirty_users(&mut self, number: u16) {
        let Some(area) = self.areas.get(usize::from(number)) else { return };
        let mut dests: Vec<u32> = Vec::new();
        let mut routers: Vec<RouterId> = Vec::new();
        for vertex in area.graph.changed() {
            // A boundary router, or one that was.
            if let Some(Vertex::Router(router)) = area.graph.name(*vertex)
                && (area.graph.flags(*vertex).external || self.boundaries.contains_key(&router))
            {
                routers.push(router);
            }
            for slot in area.users.get(*vertex as usize).into_iter().flatten() {
                match self.facts.get(*slot as usize) {
                    Some(Fact::Vertex { says, .. } | Fact::Prefixes { says, .. }) => {
                        dests.extend(says.iter().map(|(dest, _)| *dest));
                    }
                    Some(Fact::Summary { dest, .. }) => dests.push(*dest),
                    Some(Fact::Boundary { router, .. }) => routers.push(*router),
                    _ => {}
                }
            }
        }
        for dest in dests {
            self.dirty_dest(dest);
        }
        for router in routers {
            self.dirty_boundary(router);
        }
    }

    pub(super) fn dirty_everything(&mut self) {
        let dests: Vec<u32> = self.dests.iter().map(|(number, _)| number).collect();
        for dest in dests {
            self.dirty_dest(dest);
        }
        let mut routers: Vec<RouterId> = self.boundaries.keys().copied().collect();
        for area in &self.areas {
            let externals = area.graph.tree().filter(|(number, ..)| area.graph.flags(*number).external);
            routers.extend(externals.filter_map(|(_, vertex, ..)| match vertex {
                Vertex::Router(router) => Some(router),
                Vertex::Network(..) => None,
            }));
        }
        routers.sort_unstable(); // nothing may depend on the order of a hash table
        for router in routers {
            self.dirty_boundary(router);
        }
    }
}
