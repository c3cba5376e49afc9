//! Rows of edges: an edge is in a row only if the far end's LSA names this end too. When an LSA comes or goes, the rows of its
//! vertex and of those linked to it are found anew, and what is different is what the tree has to follow.

use smallvec::SmallVec;

use super::UNREACHED;
use super::graph::{Around, Graph, ROOT, Said};
use super::hops::{Hop, HopSets, Hops, HopsId};
use super::rows::Edge;
use crate::id::{RouterId, Version};
use crate::lsa::{LinkKind, RouterLink};
use crate::view::Vertex;

/// An edge that is not as it was; costs are [`UNREACHED`] where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) old: u32,
    pub(super) new: u32,
}

impl Graph {
    /// Brings the rows of what is dirty, and of what is linked to it, up to date.
    pub(super) fn resolve(&mut self, around: &Around<'_>, sets: &mut HopSets) -> Vec<Change> {
        let mut touched: Vec<u32> = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        for number in &dirty {
            self.touch_around(*number, &mut touched);
        }
        let mut changes = Vec::new();
        let mut row: Vec<(Edge, HopsId)> = Vec::new();
        for number in touched {
            if let Some(place) = self.places.get_mut(number as usize) {
                place.touched = false;
            }
            row.clear();
            self.edges(number, around, sets, &mut row);
            self.replace(number, &row, &mut changes);
        }
        for number in dirty {
            if let Some(place) = self.places.get_mut(number as usize) {
                place.dirty = false;
            }
            self.forget(number);
        }
        changes
    }

    /// Adds a dirty vertex and all whose rows its LSA has a say in.
    fn touch_around(&mut self, number: u32, touched: &mut Vec<u32>) {
        let mut near: Vec<u32> = vec![number];
        near.extend(self.rows.get(number).iter().map(|edge| edge.to));
        let Some(place) = self.places.get(number as usize) else { return };
        let mut networks: SmallVec<[u32; 4]> = SmallVec::new();
        match place.name {
            Vertex::Router(router) => {
                for link in self.links(number) {
                    match link.kind {
                        LinkKind::Transit => near.extend(self.network(link)),
                        _ => near.extend(self.number(Vertex::Router(RouterId(link.id)))),
                    }
                }
                if self.version == Version::V2 {
                    networks.extend(self.led.get(&router).into_iter().flatten().copied());
                }
            }
            Vertex::Network(id, _) => {
                networks.push(number);
                networks.extend(self.by_id.get(&id).into_iter().flatten().map(|(_, number)| *number));
            }
        }
        // Whether a network counts says whether the edges of all who are on it do.
        for network in networks {
            near.push(network);
            near.extend(self.rows.get(network).iter().map(|edge| edge.to));
            if let Said::Network(attached) = self.said(network) {
                near.extend(attached.iter().filter_map(|router| self.number(Vertex::Router(*router))));
            }
        }
        for number in near {
            if let Some(place) = self.places.get_mut(number as usize).filter(|place| !place.touched) {
                place.touched = true;
                touched.push(number);
            }
        }
    }

    /// The row that a vertex should have, sorted, with first steps if it is ours.
    fn edges(&self, number: u32, around: &Around<'_>, sets: &mut HopSets, row: &mut Vec<(Edge, HopsId)>) {
        match self.said(number) {
            Said::Nothing => {}
            Said::Router(_) => self.edges_of_router(number, around, sets, row),
            Said::Network(attached) => {
                for router in attached {
                    let Some(to) = self.number(Vertex::Router(*router)) else { continue };
                    let mut joins = self.links(to).filter(|link| self.leads_to(link, number)).peekable();
                    let Some(data) = joins.peek().map(|link| link.data) else { continue };
                    let back = joins.map(|link| u32::from(link.metric)).min().filter(|_| self.forwards(to));
                    row.push((Edge { to, cost: 0, back: back.unwrap_or(UNREACHED), data }, HopsId::NONE));
                }
            }
        }
        row.sort_by_key(|(edge, _)| edge.to);
        row.dedup_by(|(more, more_first), (edge, first)| {
            if more.to != edge.to {
                return false;
            }
            match more.cost.cmp(&edge.cost) {
                std::cmp::Ordering::Less => (edge.cost, *first) = (more.cost, *more_first),
                std::cmp::Ordering::Equal => *first = sets.union(*first, *more_first),
                std::cmp::Ordering::Greater => {}
            }
            edge.back = edge.back.min(more.back);
            true
        });
    }

    fn leads_to(&self, link: &RouterLink, network: u32) -> bool {
        link.kind == LinkKind::Transit && self.network(link) == Some(network)
    }

    fn edges_of_router(&self, number: u32, around: &Around<'_>, sets: &mut HopSets, row: &mut Vec<(Edge, HopsId)>) {
        let Some(Vertex::Router(router)) = self.name(number) else { return };
        let forwards = self.forwards(number);
        for link in self.links(number) {
            let cost = if forwards { u32::from(link.metric) } else { UNREACHED };
            let (to, back, data) = match link.kind {
                LinkKind::Stub => continue,
                LinkKind::PointToPoint | LinkKind::Virtual => {
                    let Some(to) = self.number(Vertex::Router(RouterId(link.id))) else { continue };
                    let backs = self.links(to).filter(|own| own.kind == link.kind && own.id == router.0);
                    let Some(back) = backs.map(|own| u32::from(own.metric)).min() else { continue };
                    (to, if self.forwards(to) { back } else { UNREACHED }, 0)
                }
                LinkKind::Transit => {
                    let Some(to) = self.network(link) else { continue };
                    let Said::Network(attached) = self.said(to) else { continue };
                    if attached.binary_search(&router).is_err() {
                        continue;
                    }
                    (to, 0, link.data)
                }
            };
            let first = if number == ROOT { first_steps(around, link, sets) } else { HopsId::NONE };
            if number != ROOT || first != HopsId::NONE {
                row.push((Edge { to, cost, back, data }, first));
            }
        }
    }

    /// Gives a vertex another row, and notes what is different.
    fn replace(&mut self, number: u32, row: &[(Edge, HopsId)], changes: &mut Vec<Change>) {
        let old = self.rows.get(number);
        let first = |at: usize| self.first.get(at).copied();
        let (mut i, mut j) = (0, 0);
        loop {
            let (held, new) = (old.get(i), row.get(j));
            let change = match (held, new) {
                (Some(held), Some((edge, steps))) if held.to == edge.to => {
                    let same = held.data == edge.data && (number != ROOT || first(i) == Some(*steps));
                    (i, j) = (i + 1, j + 1);
                    if same && held.cost == edge.cost {
                        continue;
                    }
                    Change { from: number, to: edge.to, old: held.cost, new: edge.cost }
                }
                (Some(held), new) if new.is_none_or(|(edge, _)| held.to < edge.to) => {
                    i += 1;
                    Change { from: number, to: held.to, old: held.cost, new: UNREACHED }
                }
                (_, Some((edge, _))) => {
                    j += 1;
                    Change { from: number, to: edge.to, old: UNREACHED, new: edge.cost }
                }
                _ => break,
            };
            changes.push(change);
        }
        if self.router.get(number as usize) == Some(&true) {
            self.zeros -= old.iter().filter(|edge| edge.cost == 0).count();
            self.zeros += row.iter().filter(|(edge, _)| edge.cost == 0).count();
        }
        if number == ROOT {
            self.first = row.iter().map(|(_, first)| *first).collect();
        }
        let edges: SmallVec<[Edge; 16]> = row.iter().map(|(edge, _)| *edge).collect();
        self.rows.set(number, &edges);
    }
}

/// First steps over one of our own links.
fn first_steps(around: &Around<'_>, link: &RouterLink, sets: &mut HopSets) -> HopsId {
    let to = RouterId(link.id);
    if link.kind == LinkKind::Virtual {
        return around.far_ends.get(&to).copied().unwrap_or_default();
    }
    let own = || around.links.iter().filter(|own| own.area == around.area && own.data == link.data);
    let hops: Hops = if link.kind == LinkKind::Transit {
        own().take(1).map(|own| Hop { interface: own.interface, via: None }).collect()
    } else {
        own()
            .filter(|own| own.virtual_to.is_none())
            .filter_map(|own| {
                let (_, address) = own.neighbors.iter().find(|(router, _)| *router == to)?;
                Some(Hop { interface: own.interface, via: Some(*address) })
            })
            .collect()
    };
    sets.intern(hops)
}
