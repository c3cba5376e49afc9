//! The calculation's paths as routes for the RIB: what differs from what it has, each distinct route once.

use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt};
use rib::{AdminDistance, IfIndex, Metric, NextHop, NextHopSet, Protocol, Route, RouteBatch, RouteChange, Source};

use crate::instance::Instance;
use crate::message::{Outbox, Output};
use crate::routes::{Outcome, Path, PathKind};
use crate::spf::{Hop, HopsId};

/// A set of first steps as next hops; `None` for what is ours or on a link of ours, which is connected.
type Legs = Option<NextHopSet>;

/// What the RIB has of us: the paths of all destinations, with these next hops.
#[derive(Debug, Default)]
pub(super) struct Exported {
    /// By set of first steps; `None` where nobody asked yet.
    legs: Vec<Option<Legs>>,
    /// The RIB has everything, at this distance.
    distance: Option<AdminDistance>,
}

impl Exported {
    fn get(&self, hops: HopsId) -> Option<&NextHopSet> {
        self.legs.get(hops.index())?.as_ref()?.as_ref()
    }

    /// Sets of first steps have other numbers now.
    fn renumber(&mut self, moved: &[HopsId]) {
        let old = std::mem::take(&mut self.legs);
        for (legs, to) in old.into_iter().zip(moved) {
            if *to != HopsId::NONE {
                if self.legs.len() <= to.index() {
                    self.legs.resize(to.index() + 1, None);
                }
                if let Some(place) = self.legs.get_mut(to.index()) {
                    *place = legs;
                }
            }
        }
    }
}

/// What of a path is in a route.
fn said(path: &Path) -> (Protocol, u32, u32) {
    let protocol = match (path.kind, path.rank) {
        (PathKind::Intra, _) => Protocol::OspfIntra,
        (PathKind::Inter, _) => Protocol::OspfInter,
        (_, 1) => Protocol::OspfExternal,
        _ => Protocol::OspfNssa,
    };
    (protocol, if path.kind == PathKind::External2 { path.outer } else { path.cost }, path.tag)
}

impl Instance {
    /// Tells the RIB what differs from what it has.
    pub(super) fn export(&mut self, outcome: &Outcome, out: &mut Outbox) {
        if let Some(moved) = &outcome.moved {
            self.routing.exported.renumber(moved);
        }
        let distance = self.config.distance;
        let all = self.routing.exported.distance != Some(distance);
        let known = self.routing.exported.distance.is_some();
        self.routing.exported.distance = Some(distance);
        // How a neighbor is reached may have changed with the addresses of our links.
        let before = if outcome.links || all { self.renew_legs() } else { Vec::new() };
        let mut batch = RouteBatch::new(if self.is_v2() { Source::OspfV2 } else { Source::OspfV3 });
        let mut shared: HashMap<(Protocol, u32, u32, HopsId), u32> = HashMap::new();
        let had = |held: &Self, path: &Path| {
            let legs = before.get(path.hops.index()).map(|legs| legs.as_ref().and_then(Option::as_ref));
            let legs = legs.unwrap_or_else(|| held.routing.exported.get(path.hops));
            legs.filter(|_| known).map(|legs| (said(path), legs.clone()))
        };
        let mut changes: Vec<(u32, Option<Path>)> = Vec::new();
        if all || !before.is_empty() {
            changes.extend(self.routes().all_dests().map(|(number, _, path)| (number, path)));
            let old: HashMap<u32, Option<Path>> = outcome.dests.iter().copied().collect();
            for (number, path) in &mut changes {
                *path = old.get(number).copied().unwrap_or(*path);
            }
        } else {
            changes.extend_from_slice(&outcome.dests);
        }
        for (number, old) in changes {
            let Some((prefix, path)) = self.routes().dest(number) else { continue };
            if let Some(path) = &path {
                self.find_legs(path.hops);
            }
            let old_said = old.as_ref().and_then(|old| had(self, old));
            let new = path.as_ref().and_then(|path| Some((path, self.routing.exported.get(path.hops)?)));
            match (old_said, new) {
                (None, None) => {}
                (Some(_), None) => batch.changes.push(RouteChange { prefix, route: None }),
                (Some((held, legs)), Some((path, now))) if held == said(path) && legs == *now && !all => {}
                (_, Some((path, legs))) => {
                    let (protocol, metric, tag) = said(path);
                    let routes = &mut batch.routes;
                    let index = *shared.entry((protocol, metric, tag, path.hops)).or_insert_with(|| {
                        routes.push(Route { protocol, distance, metric: Metric(metric), tag, next_hops: legs.clone() });
                        u32::try_from(routes.len() - 1).unwrap_or(u32::MAX)
                    });
                    batch.changes.push(RouteChange { prefix, route: Some(index) });
                }
            }
        }
        if !batch.changes.is_empty() {
            out.push(Output::Routes(batch));
        }
    }

    /// Finds the next hops of all sets anew; the answer is how they were, empty if that is no different.
    fn renew_legs(&mut self) -> Vec<Option<Legs>> {
        let old = std::mem::take(&mut self.routing.exported.legs);
        let fresh: Vec<Option<Legs>> =
            (0..).zip(&old).map(|(number, legs)| legs.as_ref().map(|_| self.legs(number))).collect();
        let same = fresh == old;
        self.routing.exported.legs = fresh;
        if same { Vec::new() } else { old }
    }

    fn find_legs(&mut self, hops: HopsId) {
        let at = hops.index();
        if self.routing.exported.legs.get(at).is_some_and(Option::is_some) {
            return;
        }
        let legs = self.legs(at);
        let held = &mut self.routing.exported.legs;
        if held.len() <= at {
            held.resize(at + 1, None);
        }
        if let Some(place) = held.get_mut(at) {
            *place = Some(legs);
        }
    }

    fn legs(&self, number: usize) -> Legs {
        let hops = self.routes().sets().get(HopsId::at(number));
        let legs = hops.iter().map(|hop| Some(self.next_hop(hop, hop.via?).into()));
        NextHopSet::new(legs.collect::<Option<Vec<_>>>()?)
    }

    fn next_hop(&self, hop: &Hop, addr: IpAddr) -> NextHop {
        let held = self.interfaces.get(&hop.interface);
        let onlink = match addr {
            IpAddr::V4(address) => held.is_some_and(|held| !held.on_subnet(address)),
            IpAddr::V6(_) => false,
        };
        NextHop::Gateway { addr, interface: Some(IfIndex(hop.interface.0)), onlink }
    }
}
