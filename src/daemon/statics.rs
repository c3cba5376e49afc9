//! Configured routes: their ways follow the interfaces they name and, with `bfd`, what BFD sees of the paths to their
//! gateways (RFC 5882 §4.3).
//!
//! A way is left out from the moment its path broke until it is whole again. That BFD never came up, or that an operator of the
//! other side took it down, says nothing about the path (RFC 5882 §3.2).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use fib_sync::host::HostTable;
use ipnet::IpNet;
use rib::{IfIndex, Leg, NextHop, NextHopSet, Protocol, Route, RouteBatch, Source};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::bfd::{Bfd, State, Status, Subscription, Timers, Wanted};
use crate::config::model::{StaticLeg, StaticRoute, StaticTo};

/// Changes of paths on their way. Full: the one who watches waits, and sees later changes together.
const PATHS_MAX: usize = 64;

/// The path to a gateway; dropped, it is no longer watched.
struct Watched {
    timers: Timers,
    broken: bool,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The configured routes, and what the RIB was told of them.
pub(super) struct Statics {
    routes: Vec<StaticRoute>,
    told: BTreeMap<IpNet, Route>,
    bfd: Bfd,
    watched: HashMap<Wanted, Watched>,
    /// Whether a path is broken.
    tell: mpsc::Sender<(Wanted, bool)>,
    told_paths: mpsc::Receiver<(Wanted, bool)>,
}

impl Statics {
    /// With these routes.
    pub(super) async fn new(routes: Vec<StaticRoute>, bfd: Bfd) -> Self {
        let (tell, told_paths) = mpsc::channel(PATHS_MAX);
        let mut statics =
            Self { routes: Vec::new(), told: BTreeMap::new(), bfd, watched: HashMap::new(), tell, told_paths };
        statics.set(routes).await;
        statics
    }

    /// Takes other routes. Paths that are still depended on keep their sessions.
    pub(super) async fn set(&mut self, routes: Vec<StaticRoute>) {
        self.routes = routes;
        let wanted = paths(&self.routes);
        for (path, timers) in &wanted {
            let known = self.watched.get(path);
            if known.is_some_and(|known| known.timers == *timers) {
                continue;
            }
            let broken = known.is_some_and(|known| known.broken);
            // The new wish stands before the old one goes: a session that serves both does not end in between.
            let subscription = self.bfd.subscribe(path.clone(), *timers).await;
            let task = tokio::spawn(watch(path.clone(), subscription, broken, self.tell.clone())).abort_handle();
            self.watched.insert(path.clone(), Watched { timers: *timers, broken, task });
        }
        self.watched.retain(|path, _| wanted.contains_key(path));
    }

    /// Waits until a path broke or is whole again.
    pub(super) async fn path_changed(&mut self) {
        loop {
            // We hold a sender: there is always one more.
            let Some((path, broken)) = self.told_paths.recv().await else { return std::future::pending().await };
            if let Some(watched) = self.watched.get_mut(&path)
                && watched.broken != broken
            {
                watched.broken = broken;
                let (gateway, interface) = (path.peer, path.interface.as_deref().unwrap_or_default());
                if broken {
                    tracing::warn!(%gateway, interface, "BFD: the path of static routes is broken");
                } else {
                    tracing::info!(%gateway, interface, "BFD: the path of static routes is whole again");
                }
                return;
            }
        }
    }

    /// What the RIB has to be told, if the interfaces are those that `index_of` finds.
    pub(super) fn changes(&mut self, index_of: &dyn Fn(&str) -> Option<IfIndex>) -> Option<RouteBatch> {
        let wanted: BTreeMap<IpNet, Route> =
            self.routes.iter().filter_map(|route| Some((route.prefix, self.route(route, index_of)?))).collect();
        let mut batch = RouteBatch::new(Source::Static);
        for prefix in self.told.keys().filter(|prefix| !wanted.contains_key(prefix)) {
            batch.remove(*prefix);
        }
        for (prefix, route) in &wanted {
            if self.told.get(prefix) != Some(route) {
                batch.add(*prefix, route.clone());
            }
        }
        self.told = wanted;
        (!batch.changes.is_empty()).then_some(batch)
    }

    /// The interfaces that are named and that the host does not have.
    pub(super) fn missing_interfaces<'r>(&'r self, table: &HostTable) -> BTreeSet<&'r str> {
        self.routes
            .iter()
            .flat_map(|route| match &route.to {
                StaticTo::Legs(legs) => legs.as_slice(),
                StaticTo::Discard(_) => &[],
            })
            .filter_map(|leg| leg.interface.as_deref())
            .filter(|name| table.index_of(name).is_none())
            .collect()
    }

    /// The route as the RIB has it: without the ways that are missing or broken; `None` if none is left.
    fn route(&self, route: &StaticRoute, index_of: &dyn Fn(&str) -> Option<IfIndex>) -> Option<Route> {
        let broken = |leg: &&StaticLeg| {
            path(route, leg).and_then(|path| self.watched.get(&path)).is_some_and(|watched| watched.broken)
        };
        let next_hops = match &route.to {
            StaticTo::Discard(how) => NextHop::Discard(*how).into(),
            StaticTo::Legs(legs) => {
                NextHopSet::new(legs.iter().filter(|leg| !broken(leg)).filter_map(|leg| self::leg(leg, index_of)))?
            }
        };
        let StaticRoute { distance, metric, tag, .. } = *route;
        Some(Route { protocol: Protocol::Static, distance, metric, tag, next_hops })
    }
}

fn leg(leg: &StaticLeg, index_of: &dyn Fn(&str) -> Option<IfIndex>) -> Option<Leg> {
    let interface = match &leg.interface {
        Some(name) => Some(index_of(name)?),
        None => None,
    };
    let next_hop = match (leg.gateway, interface) {
        (Some(addr), interface) => NextHop::Gateway { addr, interface, onlink: leg.onlink },
        (None, Some(index)) => NextHop::Interface(index),
        (None, None) => return None,
    };
    Some(Leg { next_hop, weight_less_one: u8::try_from(leg.weight.saturating_sub(1)).unwrap_or(u8::MAX) })
}

/// The path of a way that is to be watched.
fn path(route: &StaticRoute, leg: &StaticLeg) -> Option<Wanted> {
    let multihop = route.bfd?.multihop.unwrap_or(false);
    Some(Wanted { peer: leg.gateway?, local: None, interface: leg.interface.clone(), multihop })
}

/// The paths that are to be watched, each at the fastest timers that a route wants.
fn paths(routes: &[StaticRoute]) -> BTreeMap<Wanted, Timers> {
    let mut all: BTreeMap<Wanted, Timers> = BTreeMap::new();
    for route in routes {
        let Some(bfd) = route.bfd else { continue };
        let timers = Timers { interval: bfd.interval, multiplier: bfd.multiplier };
        for path in route.to.gateways().filter_map(|(leg, _)| path(route, leg)) {
            match all.entry(path) {
                Entry::Vacant(entry) => _ = entry.insert(timers),
                Entry::Occupied(mut entry) => {
                    let held = entry.get_mut();
                    if timers.interval * u32::from(timers.multiplier) < held.interval * u32::from(held.multiplier) {
                        *held = timers;
                    }
                }
            }
        }
    }
    all
}

/// Tells whether the path is broken whenever that changes.
async fn watch(path: Wanted, mut session: Subscription, mut broken: bool, tell: mpsc::Sender<(Wanted, bool)>) {
    let mut failures = 0;
    let mut status = session.status();
    loop {
        let now = judge(&status, &mut failures, broken);
        if now != broken {
            broken = now;
            if tell.send((path.clone(), broken)).await.is_err() {
                return;
            }
        }
        status = session.changed().await;
    }
}

/// Whether a path that was `broken`, or not, now is.
fn judge(status: &Status, failures: &mut u64, broken: bool) -> bool {
    let failed = status.failures > *failures;
    *failures = status.failures;
    match status.state {
        State::Up => false,
        _ => broken || failed,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::config::check_text;

    fn routes(text: &str) -> Vec<StaticRoute> {
        let text = format!("[node]\nasn = 65001\nrouter_id = \"192.0.2.1\"\n{text}");
        check_text(std::path::Path::new("test.toml"), &text).expect("valid").statics
    }

    fn gateways(batch: Option<RouteBatch>) -> Vec<Option<Vec<IpAddr>>> {
        let Some(batch) = batch else { return Vec::new() };
        let of = |route: &Route| {
            let gateway = |leg: &Leg| match leg.next_hop {
                NextHop::Gateway { addr, .. } => addr,
                _ => panic!("no gateway: {leg:?}"),
            };
            route.next_hops.legs().iter().map(gateway).collect()
        };
        batch.changes.iter().map(|change| change.route.map(|at| of(&batch.routes[at as usize]))).collect()
    }

    #[tokio::test]
    async fn a_way_is_left_out_while_its_path_is_broken_and_a_route_without_ways_is_withdrawn() {
        let two = "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [\"192.0.2.2\", \"192.0.2.3\"]\nbfd = true\n";
        let bfd = crate::bfd::spawn(1).expect("a thread");
        let mut statics = Statics::new(routes(two), bfd).await;
        let (two_ways, three): (Vec<IpAddr>, IpAddr) =
            (vec!["192.0.2.2".parse().unwrap(), "192.0.2.3".parse().unwrap()], "192.0.2.3".parse().unwrap());
        assert_eq!(gateways(statics.changes(&|_| None)), [Some(two_ways.clone())]);
        let path = |peer: &str| Wanted { peer: peer.parse().unwrap(), local: None, interface: None, multihop: false };
        statics.tell.send((path("192.0.2.2"), true)).await.unwrap();
        statics.path_changed().await;
        assert_eq!(gateways(statics.changes(&|_| None)), [Some(vec![three])]);
        statics.tell.send((path("192.0.2.3"), true)).await.unwrap();
        statics.path_changed().await;
        assert_eq!(gateways(statics.changes(&|_| None)), [None]);
        // A path that is still depended on stays broken over a reload; one that is not watched counts as whole.
        statics.set(routes(&two.replace("true", "{ interval = \"50ms\" }"))).await;
        assert_eq!(gateways(statics.changes(&|_| None)), Vec::<Option<Vec<IpAddr>>>::new());
        statics.set(routes(&two.replace("bfd = true", ""))).await;
        assert_eq!(gateways(statics.changes(&|_| None)), [Some(two_ways)]);
    }

    #[test]
    fn routes_over_one_gateway_share_its_session_at_the_fastest_timers() {
        let routes = routes(
            "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = \"192.0.2.2\"\nbfd = true\n[[static]]\n\
             prefix = \"203.0.113.0/24\"\nvia = [\"192.0.2.2\", \"192.0.2.4\"]\nbfd = { interval = \"50ms\", multiplier = 4 }\n\
             [[static]]\nprefix = \"203.0.112.0/24\"\nvia = \"192.0.2.5\"\n",
        );
        let paths: Vec<_> = paths(&routes).into_iter().map(|(path, timers)| (path.peer.to_string(), timers)).collect();
        let fast = Timers { interval: Duration::from_millis(50), multiplier: 4 };
        assert_eq!(paths, [("192.0.2.2".to_owned(), fast), ("192.0.2.4".to_owned(), fast)]);
    }

    #[test]
    fn only_a_path_that_was_seen_whole_and_then_broke_is_broken() {
        let status = |state, failures| Status { state, failures, missing: None };
        let mut failures = 0;
        let mut broken = false;
        for (state, count, expected) in [
            (State::Down, 0, false),
            (State::Init, 0, false),
            (State::Up, 0, false),
            // An operator of the other side took it down.
            (State::Down, 0, false),
            (State::Up, 0, false),
            (State::Down, 1, true),
            (State::Init, 1, true),
            (State::Up, 1, false),
            // Down and up again before anybody looked.
            (State::Up, 2, false),
            (State::Down, 3, true),
        ] {
            broken = judge(&status(state, count), &mut failures, broken);
            assert_eq!(broken, expected, "{state:?} {count}");
        }
    }
}
