//! Redistribution: chosen routes of other sources, passed through a policy, become a protocol's own.
//!
//! One follower per protocol reads the RIB's journal for all origins together, so that a prefix whose best route moves from one
//! origin to another is told once, in order. What a protocol is given is its [`Sink`]'s to say, and so is what it must never be given,
//! whatever the policy: routes that came from itself.

mod bgp;
mod ospf;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bgpd::policy::{Chain, PolicySet};
use ipnet::IpNet;
use rib::message::RouteView;
use rib::{Metric, NextHop, Protocol, Route, Source, Sources, WatchFilter};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) use self::bgp::BgpSink;
pub(super) use self::ospf::{Externals, OspfSink};
use super::handles::{Gone, RibHandle, WatchStep};
use crate::config::model::Redistribute;

/// A protocol that is given routes.
pub(super) trait Sink: Send + Sync + 'static {
    /// What it is given of a route.
    type Given: PartialEq + Send + Sync + 'static;

    /// The route as it is given; `None` if the policy refuses it, if it came from this protocol, or is not worth telling anybody.
    fn judge(&self, what: &Redistribute, chain: &Chain, route: &RouteView) -> Option<Self::Given>;

    /// Gives or, with `None`, takes back. Must not wait: of several states of a prefix the latest counts.
    fn tell(&self, changes: Vec<(IpNet, Option<Arc<Self::Given>>)>);
}

/// One origin and how its routes are judged.
struct Entry {
    what: Redistribute,
    chain: Chain,
}

/// Metric and tag of configured routes over interfaces.
pub(super) type Fixed = BTreeMap<IpNet, (Metric, u32)>;

/// What the protocol has been given.
type Given<S> = Arc<Mutex<HashMap<IpNet, Arc<<S as Sink>::Given>>>>;

/// A protocol's redistribution.
pub(super) struct Redistribution<S: Sink> {
    rib: RibHandle,
    sink: Arc<S>,
    /// Prefixes of services, which are announced by the services themselves.
    claimed: watch::Receiver<BTreeSet<IpNet>>,
    /// Configured routes that a connected network of the same prefix hides, which goes where they go.
    fixed: watch::Receiver<Fixed>,
    given: Given<S>,
    running: Option<(Vec<Redistribute>, Arc<PolicySet>, JoinHandle<()>)>,
}

impl<S: Sink> Redistribution<S> {
    /// Nothing is redistributed until [`Redistribution::apply`] says so. `claimed` are prefixes that are left alone.
    pub(super) fn new(
        rib: RibHandle,
        sink: S,
        claimed: watch::Receiver<BTreeSet<IpNet>>,
        fixed: watch::Receiver<Fixed>,
    ) -> Self {
        Self { rib, sink: Arc::new(sink), claimed, fixed, given: Arc::default(), running: None }
    }

    /// Brings what is redistributed to `wanted`. What comes out the same is not told again.
    ///
    /// # Errors
    /// A policy that cannot be compiled; nothing is changed then.
    pub(super) fn apply(&mut self, wanted: &[Redistribute], policies: &Arc<PolicySet>) -> Result<(), String> {
        let unchanged = self.running.as_ref().is_some_and(|(before, under, _)| before == wanted && under == policies);
        if unchanged || (self.running.is_none() && wanted.is_empty()) {
            return Ok(());
        }
        let compile = |what: &Redistribute| {
            let chain = Chain::compile(policies, &what.policy).map_err(|error| error.to_string())?;
            Ok(Entry { what: what.clone(), chain })
        };
        let entries = wanted.iter().map(compile).collect::<Result<Vec<_>, String>>()?;
        let before = self.running.take().map(|(_, _, task)| task);
        let follower = Follower {
            rib: self.rib.clone(),
            sink: Arc::clone(&self.sink),
            claimed: self.claimed.clone(),
            fixed: self.fixed.clone(),
            given: Arc::clone(&self.given),
            entries,
        };
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.abort();
                // It may be in the middle of telling something by the old rules.
                let _ = before.await;
            }
            // Ends when the RIB stops.
            let _ = follower.run().await;
        });
        self.running = Some((wanted.to_vec(), Arc::clone(policies), task));
        Ok(())
    }
}

impl<S: Sink> Drop for Redistribution<S> {
    fn drop(&mut self) {
        if let Some((_, _, task)) = &self.running {
            task.abort();
        }
    }
}

struct Follower<S: Sink> {
    rib: RibHandle,
    sink: Arc<S>,
    claimed: watch::Receiver<BTreeSet<IpNet>>,
    fixed: watch::Receiver<Fixed>,
    given: Given<S>,
    entries: Vec<Entry>,
}

impl<S: Sink> Follower<S> {
    async fn run(mut self) -> Result<(), Gone> {
        let given = |source: Source| self.entries.iter().any(|entry| entry.what.from.sources().has(source));
        let named = |source: &Source| given(*source) || (*source == Source::Connected && given(Source::Static));
        let sources: Vec<Source> = Source::ALL.into_iter().filter(named).collect();
        if sources.is_empty() {
            // Nothing is wanted any more.
            let all: Vec<IpNet> = lock(&self.given).keys().copied().collect();
            self.tell(all.into_iter().map(|prefix| (prefix, None)));
            return Ok(());
        }
        let filter = WatchFilter { sources: Sources::of(&sources), ..WatchFilter::default() };
        let mut watch = self.rib.watch_only(filter);
        // During a snapshot: what was given before and has not been seen again.
        let mut unseen: BTreeSet<IpNet> = BTreeSet::new();
        loop {
            let step = tokio::select! {
                step = watch.next() => step?,
                Ok(()) = self.claimed.changed() => {
                    // A service came or went: its prefixes are judged anew, with all others.
                    watch = self.rib.watch_only(filter);
                    continue;
                }
                Ok(()) = self.fixed.changed() => {
                    watch = self.rib.watch_only(filter);
                    continue;
                }
            };
            match step {
                WatchStep::Reset => unseen = lock(&self.given).keys().copied().collect(),
                WatchStep::Snapshot(routes) => {
                    for route in &routes {
                        unseen.remove(&route.prefix);
                    }
                    self.tell(routes.into_iter().map(|route| (route.prefix, Some(route))));
                }
                WatchStep::Synced(_) => {
                    self.tell(std::mem::take(&mut unseen).into_iter().map(|prefix| (prefix, None)));
                }
                WatchStep::Changed { routes, .. } => self.tell(routes.into_iter()),
            }
        }
    }

    fn tell(&self, routes: impl Iterator<Item = (IpNet, Option<RouteView>)>) {
        let claimed = self.claimed.borrow();
        let mut given = lock(&self.given);
        let mut changes = Vec::new();
        for (prefix, route) in routes {
            if claimed.contains(&prefix) {
                // What the service has said of it stands.
                given.remove(&prefix);
                continue;
            }
            match route.and_then(|route| self.judge(&route)) {
                Some(now) if given.get(&prefix).is_some_and(|had| **had == now) => {}
                Some(now) => {
                    let now = Arc::new(now);
                    given.insert(prefix, Arc::clone(&now));
                    changes.push((prefix, Some(now)));
                }
                None if given.remove(&prefix).is_some() => changes.push((prefix, None)),
                None => {}
            }
        }
        if !changes.is_empty() {
            self.sink.tell(changes);
        }
    }

    fn judge(&self, route: &RouteView) -> Option<S::Given> {
        if !announceable(&route.prefix) {
            return None;
        }
        let of = |source: Source| self.entries.iter().find(|entry| entry.what.from.sources().has(source));
        if let Some(entry) = of(route.source) {
            return self.sink.judge(&entry.what, &entry.chain, route);
        }
        let (metric, tag) =
            self.fixed.borrow().get(&route.prefix).copied().filter(|_| route.source == Source::Connected)?;
        let entry = of(Source::Static)?;
        let shown = Route { protocol: Protocol::Static, metric, tag, ..route.route.clone() };
        let hidden = RouteView { source: Source::Static, route: shown, ..route.clone() };
        self.sink.judge(&entry.what, &entry.chain, &hidden)
    }
}

fn lock<K: Eq + Hash, V>(given: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gateways that a route states, in order.
fn gateways(route: &RouteView) -> Vec<IpAddr> {
    let gateway = |next_hop: &NextHop| match next_hop {
        NextHop::Gateway { addr, .. } => Some(*addr),
        NextHop::Interface(_) | NextHop::Discard(_) | NextHop::Local => None,
    };
    route.route.next_hops.legs().iter().filter_map(|leg| gateway(&leg.next_hop)).collect()
}

/// False for what has no meaning beyond this host.
fn announceable(prefix: &IpNet) -> bool {
    let addr = prefix.addr();
    let link_local = match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    !(addr.is_loopback() || addr.is_multicast() || link_local)
}
