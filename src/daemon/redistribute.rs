//! Redistribution: chosen routes of other sources, passed through a policy, become the speaker's own routes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgpd::policy::{Chain, NextHopMode, Outcome, PolicySet, Subject};
use bgpd::speaker::message::{LocalBatch, LocalRoute};
use bgpd::wire::attr::{NextHopAttr, Origin, PathAttributes};
use ipnet::IpNet;
use rib::message::RouteView;
use rib::{Protocol, Source, WatchFilter};
use tokio::task::JoinHandle;

use super::handles::{Gone, RibHandle, WatchStep};
use crate::config::model::Redistribute;

/// One origin being followed; dropped, it is followed no longer, and what it announced stays until told.
pub(super) struct Running {
    what: Redistribute,
    policies: Arc<PolicySet>,
    task: JoinHandle<()>,
    withdraw: Arc<std::sync::Mutex<HashMap<IpNet, Arc<LocalRoute>>>>,
}

/// The RIB's source of a protocol that can be redistributed.
fn source(protocol: Protocol) -> Option<Source> {
    match protocol {
        Protocol::Static => Some(Source::Static),
        Protocol::Connected => Some(Source::Connected),
        Protocol::Kernel => Some(Source::Kernel),
        Protocol::Api => Some(Source::Api),
        _ => None,
    }
}

/// Brings what is followed to `wanted`: unchanged entries go on, the others are withdrawn or started.
///
/// # Errors
/// A policy that cannot be compiled; nothing is changed then.
pub(super) fn apply(
    running: &mut Vec<Running>,
    wanted: &[Redistribute],
    policies: &Arc<PolicySet>,
    rib: &RibHandle,
    bgp: &bgpd::io::Handle,
    asn: u32,
) -> Result<(), String> {
    let mut next = Vec::new();
    for what in wanted {
        let chain = Chain::compile(policies, &what.policy).map_err(|error| error.to_string())?;
        let Some(source) = source(what.from) else { continue };
        next.push((what.clone(), chain, source));
    }
    let mut kept = Vec::new();
    for old in running.drain(..) {
        let at = next.iter().position(|(what, ..)| *what == old.what && *policies == old.policies);
        match at {
            Some(at) => {
                next.remove(at);
                kept.push(old);
            }
            None => old.end(bgp),
        }
    }
    for (what, chain, source) in next {
        let announced = Arc::new(std::sync::Mutex::new(HashMap::new()));
        let follower =
            Follower { rib: rib.clone(), bgp: bgp.clone(), chain, asn, source, announced: Arc::clone(&announced) };
        let task = tokio::spawn(async move {
            // Ends when the RIB stops.
            let _ = follower.run().await;
        });
        kept.push(Running { what, policies: Arc::clone(policies), task, withdraw: announced });
    }
    *running = kept;
    Ok(())
}

impl Running {
    /// Withdraws everything that was announced.
    fn end(self, bgp: &bgpd::io::Handle) {
        self.task.abort();
        let announced = std::mem::take(&mut *lock(&self.withdraw));
        bgp.local(LocalBatch { changes: announced.into_keys().map(|prefix| (prefix, None)).collect() });
    }
}

type Announced = std::sync::Mutex<HashMap<IpNet, Arc<LocalRoute>>>;

fn lock(announced: &Announced) -> std::sync::MutexGuard<'_, HashMap<IpNet, Arc<LocalRoute>>> {
    announced.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Follower {
    rib: RibHandle,
    bgp: bgpd::io::Handle,
    chain: Chain,
    asn: u32,
    source: Source,
    announced: Arc<Announced>,
}

impl Follower {
    async fn run(self) -> Result<(), Gone> {
        let filter = WatchFilter { source: Some(self.source), ..WatchFilter::default() };
        let mut watch = self.rib.watch_only(filter);
        // During a snapshot: what was announced before and has not been seen again.
        let mut unseen: Vec<IpNet> = Vec::new();
        loop {
            match watch.next().await? {
                WatchStep::Reset => unseen = lock(&self.announced).keys().copied().collect(),
                WatchStep::Snapshot(routes) => {
                    unseen.retain(|prefix| !routes.iter().any(|route| route.prefix == *prefix));
                    self.tell(routes.into_iter().map(|route| (route.prefix, Some(route))));
                }
                WatchStep::Synced(_) => self.tell(unseen.drain(..).map(|prefix| (prefix, None))),
                WatchStep::Changed { routes, .. } => self.tell(routes.into_iter()),
            }
        }
    }

    fn tell(&self, routes: impl Iterator<Item = (IpNet, Option<RouteView>)>) {
        let mut announced = lock(&self.announced);
        let mut batch = LocalBatch::default();
        for (prefix, route) in routes {
            match route.and_then(|route| self.evaluate(&route)) {
                Some(local) if announced.get(&prefix).is_some_and(|had| **had == local) => {}
                Some(local) => {
                    let local = Arc::new(local);
                    announced.insert(prefix, Arc::clone(&local));
                    batch.changes.push((prefix, Some(local)));
                }
                None if announced.remove(&prefix).is_some() => batch.changes.push((prefix, None)),
                None => {}
            }
        }
        if !batch.changes.is_empty() {
            self.bgp.local(batch);
        }
    }

    /// The route as announced; `None` if the policy refuses it or it is not worth telling anybody.
    fn evaluate(&self, route: &RouteView) -> Option<LocalRoute> {
        if !announceable(&route.prefix) {
            return None;
        }
        let own: IpAddr = match route.prefix {
            IpNet::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpNet::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let next_hop = match own {
            IpAddr::V4(addr) => NextHopAttr::V4(addr),
            IpAddr::V6(addr) => NextHopAttr::V6 { global: addr, link_local: None },
        };
        let before = PathAttributes {
            // RFC 4271 §5.1.1: learned by other means than the domain's own routing.
            origin: Origin::Incomplete,
            med: (route.route.metric.0 != 0).then_some(route.route.metric.0),
            ..PathAttributes::local(next_hop)
        };
        let subject = Subject {
            prefix: route.prefix,
            attributes: &before,
            weight: 0,
            protocol: route.route.protocol,
            neighbor: own,
            local_asn: self.asn,
            local_address: own,
        };
        let verdict = self.chain.evaluate(&subject);
        let after = match verdict.outcome {
            Outcome::Reject => return None,
            Outcome::Accept => before,
            Outcome::AcceptChanged(changed) => changed.0,
        };
        let prepended: usize = after.as_path.segments.iter().map(|segment| segment.asns.len()).sum();
        Some(LocalRoute {
            protocol: route.route.protocol,
            origin: after.origin,
            med: after.med,
            prepend: u8::try_from(prepended).unwrap_or(u8::MAX),
            communities: after.communities,
            large_communities: after.large_communities,
            extended_communities: after.extended_communities,
            next_hop: (verdict.next_hop == NextHopMode::Address).then(|| after.next_hop.addr()),
        })
    }
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
