//! OSPF in the node: an instance for each version that is spoken, told of links, services and other protocols' routes; its own
//! routes go to the RIB, its wishes to BFD, its news to the log.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bgpd::policy::MetricType;
use fib_sync::host;
use ipnet::IpNet;
use nix::net::if_::if_indextoname;
use ospfd::config::{BfdConfig, InstanceConfig};
use ospfd::io::{Handle, Notice, Stop};
use ospfd::message::{Alarm, Event, ExternalRoute, Input, Link, ServiceRoute};
use ospfd::neighbor::NeighborState;
use ospfd::{InterfaceId, Version};
use rib::{IfIndex, RouteBatch};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use super::handles::{Events, RibHandle, What};
use super::kept::{Kept, Last};
use super::redistribute::Externals;
use crate::bfd::{Bfd, Timers, Wanted};
use crate::config::model::{Distances, Model};

/// The instances, one for each version that is spoken. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ospf {
    instances: Arc<[Handle]>,
    kept: Option<Arc<Kept>>,
}

impl Ospf {
    /// Starts what the model asks for. `forwards`: an earlier run left routes that still forward, so that neighbors may be asked
    /// to keep us.
    ///
    /// # Errors
    /// Raw sockets, or a thread, cannot be had.
    pub(super) fn start(
        model: &Model,
        rib: &RibHandle,
        bfd: &Bfd,
        events: &Events,
        seed: u64,
        forwards: bool,
    ) -> io::Result<Self> {
        let Some(ospf) = &model.ospf else { return Ok(Self::default()) };
        let kept = Kept::open(model);
        kept.tend();
        let mut instances = Vec::new();
        for config in &ospf.versions {
            let (rib, distances) = (rib.clone(), model.distances);
            let sink = Box::new(move |mut batch: RouteBatch| {
                by_distance(&mut batch, &distances);
                // An error means that the node stops.
                let _ = rib.blocking_urgent(rib::message::Input::Routes(batch));
            });
            let mut config = completed(config, seed);
            config.boot_count = kept.boot;
            if config.graceful_restart.enabled && forwards {
                resume(&mut config, kept.last);
            }
            let handle = ospfd::io::spawn(config, sink)?;
            tokio::spawn(say(handle.clone(), events.clone()));
            tokio::spawn(watch_paths(handle.clone(), bfd.clone()));
            instances.push(handle);
        }
        Ok(Self { instances: instances.into(), kept: Some(kept) })
    }

    /// Whether there is any instance.
    #[must_use]
    pub fn speaks(&self) -> bool {
        !self.instances.is_empty()
    }

    /// The instances.
    #[must_use]
    pub fn instances(&self) -> &[Handle] {
        &self.instances
    }

    /// A link that is up, with its addresses, and the one it may borrow.
    pub(super) async fn link(&self, link: &host::Link, addresses: Vec<IpNet>, borrowed: Option<IpAddr>) {
        for instance in self.instances.iter() {
            let facts = facts(instance.version(), link, &addresses, borrowed);
            instance.tell(Input::InterfaceUp(facts)).await;
        }
    }

    /// A link lost its carrier or is gone.
    pub(super) async fn link_down(&self, index: IfIndex) {
        for instance in self.instances.iter() {
            instance.tell(Input::InterfaceDown(InterfaceId(index.0))).await;
        }
    }

    /// Announces services, or withdraws them.
    pub(super) fn services(&self, routes: &[(IpNet, Option<ServiceRoute>)]) {
        for instance in self.instances.iter() {
            instance.services(routes.iter().filter(|(prefix, _)| of(instance.version(), prefix)).copied());
        }
    }

    /// Gives redistributed routes, or takes them back.
    pub(super) fn redistribute(&self, routes: &Externals) {
        for instance in self.instances.iter() {
            let own = routes.iter().filter(|(prefix, _)| of(instance.version(), prefix));
            instance.redistribute(own.map(|(prefix, route)| {
                let route = route.as_deref().map(|route| ExternalRoute {
                    metric: route.metric,
                    type2: route.metric_type == MetricType::Two,
                    tag: route.tag,
                    forwarding: route.gateway,
                });
                (*prefix, route)
            }));
        }
    }

    /// Brings the instances to a new configuration of the same versions.
    pub(super) async fn configure(&self, model: &Model, seed: u64) {
        if let Some(kept) = &self.kept {
            kept.configured(model);
        }
        for config in model.ospf.iter().flat_map(|model| &model.versions) {
            for instance in self.instances.iter().filter(|instance| instance.version() == config.version) {
                instance.tell(Input::Config(Box::new(completed(config, seed)))).await;
            }
        }
    }

    /// Asks others to route around us (RFC 6987), where that is configured.
    pub(super) async fn drain(&self) {
        for instance in self.instances.iter() {
            instance.tell(Input::Drain(true)).await;
        }
    }

    /// Ends the instances. What we said is flushed; or else, to come back soon, neighbors are asked to keep us (RFC 3623 §2.1).
    pub(super) async fn stop(&self, restarts: bool) {
        for instance in self.instances.iter() {
            instance.stop(if restarts { Stop::Restart } else { Stop::Leave }).await;
        }
        if let Some(kept) = &self.kept {
            kept.end(restarts);
        }
    }
}

/// The configuration with what only a running node knows.
fn completed(config: &InstanceConfig, seed: u64) -> InstanceConfig {
    InstanceConfig { seed, ..config.clone() }
}

/// Goes on where the last life ended, if that is not too long ago.
fn resume(config: &mut InstanceConfig, last: Last) {
    let period = config.graceful_restart.grace_period;
    match last {
        Last::Nothing => {}
        Last::Restarting(away) => config.resume = period.checked_sub(away),
        // RFC 3623 §5: nobody was asked yet.
        Last::Lost => (config.resume, config.ask_at_start) = (Some(period), true),
    }
}

/// Whether a version carries the prefix's family.
fn of(version: Version, prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V4(_)) == (version == Version::V2)
}

/// Distances as configured, for each kind of route.
fn by_distance(batch: &mut RouteBatch, distances: &Distances) {
    for route in &mut batch.routes {
        route.distance = distances.of(route.protocol);
    }
}

/// A link as an instance wants it.
fn facts(version: Version, link: &host::Link, addresses: &[IpNet], borrowed: Option<IpAddr>) -> Link {
    let link_local = |address: &IpNet| match address {
        IpNet::V6(net) if net.addr().is_unicast_link_local() => Some(net.addr()),
        _ => None,
    };
    let routable =
        |address: &&IpNet| of(version, address) && link_local(address).is_none() && !address.addr().is_loopback();
    let own: Vec<IpNet> = addresses.iter().filter(routable).copied().collect();
    let lonely = !own.iter().any(|address| address.addr().is_ipv4());
    Link {
        id: InterfaceId(link.index.0),
        name: link.name.clone(),
        mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
        bandwidth_mbps: bandwidth(link),
        link_local: addresses.iter().find_map(link_local),
        loopback: link.loopback,
        borrowed: borrowed.filter(|_| lonely && version == Version::V2),
        addresses: own,
    }
}

/// What the driver says of a link's speed, in Mbit/s.
fn bandwidth(link: &host::Link) -> Option<u64> {
    let read = |what: &str| std::fs::read_to_string(format!("/sys/class/net/{}/{what}", link.name)).ok();
    // The file system may show another network namespace than ours.
    let ours = read("ifindex")?.trim() == link.index.0.to_string();
    read("speed")?.trim().parse().ok().filter(|speed| ours && *speed > 0)
}

/// The name of an interface, or its number if it has gone.
fn named(interface: InterfaceId) -> String {
    let name = if_indextoname(interface.0).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| interface.0.to_string())
}

/// Tells people what happens.
async fn say(instance: Handle, events: Events) {
    let mut notices = instance.notices();
    let version = instance.version();
    loop {
        match notices.recv().await {
            Ok(Notice::Alarm(alarm)) => {
                let (subject, text) = sentence(&alarm);
                tracing::warn!(?version, about = %subject, "OSPF: {text}");
                events.send(What::Ospf { subject, text, bad: true });
            }
            Ok(Notice::Event(Event::Neighbor { interface, router, address, from, to, reason })) => {
                let interface = named(interface);
                let bad = from == NeighborState::Full;
                if to == NeighborState::Full || bad {
                    tracing::info!(?version, %interface, %router, %address, ?from, ?to, reason, "OSPF neighbor");
                    let text = format!("{version:?} on {interface}: {from:?} -> {to:?}: {reason}");
                    events.send(What::Ospf { subject: router.to_string(), text, bad });
                } else {
                    tracing::debug!(?version, %interface, %router, %address, ?from, ?to, reason, "OSPF neighbor");
                }
            }
            Ok(Notice::Event(event)) => tracing::info!(?version, ?event, "OSPF"),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(?version, missed, "OSPF: more happened than was told");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// What an alarm is about, and what it says.
fn sentence(alarm: &Alarm) -> (String, String) {
    match alarm {
        Alarm::DuplicateRouterId { interface, address, router } => (
            named(*interface),
            format!(
                "{address} has our router id {router}: give one of us another, or no route through either is right"
            ),
        ),
        Alarm::Authentication { interface, address, router, reason } => (
            router.to_string(),
            format!("packets from {address} on {} in the name of {router} are refused: {reason}", named(*interface)),
        ),
        Alarm::ForeignSelfLsa { key } => (
            key.adv.to_string(),
            format!("somebody keeps saying LSA {key:?} in our name: look for a second router with our id, or a forger"),
        ),
        Alarm::LsdbLimit { which, key, limit } => (
            key.adv.to_string(),
            format!(
                "ospf.limits.{which} = {limit} is reached; {key:?} and what follows is not taken, and routes may be missing"
            ),
        ),
        Alarm::LsdbLimitCleared { which } => ("limits".to_owned(), format!("ospf.limits.{which} is no longer reached")),
        Alarm::AdjacencyStuck { interface, router, reason } => {
            (router.to_string(), format!("no adjacency with {router} on {}: {reason}", named(*interface)))
        }
    }
}

/// A path that BFD watches; dropped, it no longer does.
struct Watched {
    session: BfdConfig,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Has BFD watch the paths to the neighbors that the instance names (RFC 5882 §4.2).
async fn watch_paths(instance: Handle, bfd: Bfd) {
    let mut wishes = instance.bfd();
    let mut watched: HashMap<(InterfaceId, IpAddr), Watched> = HashMap::new();
    loop {
        let wanted: BTreeMap<_, _> = wishes.borrow_and_update().clone();
        watched.retain(|path, held| wanted.get(path) == Some(&held.session));
        for ((interface, address), session) in wanted {
            if watched.contains_key(&(interface, address)) {
                continue;
            }
            let path = Wanted { peer: address, local: None, interface: Some(named(interface)), multihop: false };
            let timers = Timers { interval: session.interval, multiplier: session.multiplier };
            let mut subscription = bfd.subscribe(path, timers).await;
            let instance = instance.clone();
            let task = tokio::spawn(async move {
                let mut failures = 0;
                loop {
                    let status = subscription.changed().await;
                    if status.failures > failures {
                        failures = status.failures;
                        instance.tell(Input::BfdDown { interface, address }).await;
                    }
                }
            });
            watched.insert((interface, address), Watched { session, task: task.abort_handle() });
        }
        if wishes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn a_link_is_told_with_the_addresses_of_the_version_and_borrows_only_if_it_has_none() {
        let link =
            host::Link { index: IfIndex(7), name: "nosuchlink".to_owned(), up: true, mtu: 1500, loopback: false };
        let net = |text: &str| -> IpNet { text.parse().expect("an address") };
        let addresses =
            [net("192.0.2.1/24"), net("2001:db8::1/64"), net("fe80::1/64"), net("127.0.0.1/8"), net("::1/128")];
        let lender: IpAddr = "203.0.113.1".parse().expect("an address");
        let v2 = facts(Version::V2, &link, &addresses, Some(lender));
        assert_eq!((v2.addresses.clone(), v2.borrowed), (vec![addresses[0]], None));
        let v3 = facts(Version::V3, &link, &addresses, Some(lender));
        assert_eq!((v3.addresses, v3.borrowed), (vec![addresses[1]], None));
        assert_eq!(v3.link_local, Some("fe80::1".parse::<Ipv6Addr>().expect("an address")));
        assert_eq!(facts(Version::V2, &link, &addresses[1..], Some(lender)).borrowed, Some(lender));
    }
}
