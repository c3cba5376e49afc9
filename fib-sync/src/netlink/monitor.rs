//! What happens on the host: links, addresses, foreign routes, and what others do to our routes.
//!
//! One thread reads one socket. It knows what it has told, so that a new dump after lost events tells only what differs,
//! removals included. Echoes of our own writes are dropped in the kernel by a socket filter on the sender's number.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ipnet::IpNet;
use rib::{AdminDistance, IfIndex, Leg, Metric, NextHop, NextHopSet, Protocol};
use tokio::sync::mpsc;

use super::KernelConfig;
use super::decode::{self, Body, Message, Route};
use super::dump;
use super::encode::{self, AF_INET, AF_INET6};
use super::encode::{RTM_DELADDR, RTM_DELLINK, RTM_DELNEXTHOP, RTM_DELROUTE};
use super::encode::{RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEXTHOP, RTM_NEWROUTE};
use super::socket::{Read, Socket, wait_readable};
use crate::host::{HostEvent, HostEvents, Link};

/// Events that may wait for the reader. When they are that many the monitor stops reading; the kernel then drops events and
/// says so, and a new dump follows.
const EVENTS: usize = 4096;

const GROUP_LINK: u32 = 1;
const GROUP_IPV4_ADDRESS: u32 = 5;
const GROUP_IPV4_ROUTE: u32 = 7;
const GROUP_IPV6_ADDRESS: u32 = 9;
const GROUP_IPV6_ROUTE: u32 = 11;
const GROUP_NEXT_HOP: u32 = 32;

const NLM_F_APPEND: u16 = 0x800;

/// What to watch.
#[derive(Clone, Debug)]
pub struct MonitorConfig {
    /// Our table, and how our routes are marked.
    pub kernel: KernelConfig,
    /// Tell foreign routes.
    pub learn: bool,
    /// [`super::KernelBackend::ports`] of the backend that writes here; empty if there is none.
    pub own_ports: Vec<u32>,
}

/// Ends the monitor when dropped.
pub struct MonitorHandle {
    _stop: UnixStream,
}

/// Starts to watch this thread's network namespace. All that is there comes first, then [`HostEvent::Synced`].
///
/// # Errors
/// When the socket or the thread cannot be had. No privilege is needed.
pub fn spawn(config: MonitorConfig) -> io::Result<(HostEvents, MonitorHandle)> {
    let groups =
        [GROUP_LINK, GROUP_IPV4_ADDRESS, GROUP_IPV6_ADDRESS, GROUP_IPV4_ROUTE, GROUP_IPV6_ROUTE, GROUP_NEXT_HOP];
    let events = Socket::with_groups(&groups, &config.own_ports)?;
    let asks = Socket::open()?;
    let (stop, stopped) = UnixStream::pair()?;
    let (tell, told) = mpsc::channel(EVENTS);
    let mut monitor = Monitor { config, events, asks, tell, known: Known::default(), reread: true };
    std::thread::Builder::new().name("fib-monitor".into()).spawn(move || monitor.run(&stopped))?;
    Ok((HostEvents::from_kernel(told), MonitorHandle { _stop: stop }))
}

/// What has been told.
#[derive(Default)]
struct Known {
    links: HashMap<IfIndex, Link>,
    addresses: HashSet<(IfIndex, IpNet)>,
    foreign: HashMap<(IpNet, u32), rib::Route>,
}

struct Monitor {
    config: MonitorConfig,
    events: Socket,
    asks: Socket,
    tell: mpsc::Sender<HostEvent>,
    known: Known,
    /// Belief is not enough: dump.
    reread: bool,
}

/// The reader has gone: the thread ends.
struct Gone;

impl Monitor {
    fn run(&mut self, stopped: &UnixStream) {
        loop {
            if self.reread {
                self.reread = false;
                match self.read_all() {
                    Ok(Ok(())) => {}
                    Ok(Err(Gone)) => return,
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the host's links, addresses and routes; trying again");
                        self.reread = true;
                        std::thread::sleep(std::time::Duration::from_millis(500));
                        continue;
                    }
                }
            }
            match wait_readable(self.events.raw_fd(), stopped.as_raw_fd(), None) {
                Ok((_, false)) => {}
                Ok((_, true)) => return,
                Err(error) => {
                    tracing::error!(%error, "the host monitor ends");
                    return;
                }
            }
            if self.read_events().is_err() {
                return;
            }
        }
    }

    fn send(&self, event: HostEvent) -> Result<(), Gone> {
        self.tell.blocking_send(event).map_err(|_| Gone)
    }

    fn read_events(&mut self) -> Result<(), Gone> {
        loop {
            let octets = match self.events.read_events() {
                Ok(Read::Octets(0)) => return Ok(()),
                Ok(Read::Octets(octets)) => octets,
                Ok(Read::Overrun) => {
                    tracing::info!("the kernel dropped events; reading links, addresses and routes again");
                    self.reread = true;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read host events");
                    self.reread = true;
                    return Ok(());
                }
            };
            let mut told = Vec::new();
            for message in decode::messages(self.events.octets(octets)) {
                if self.config.own_ports.contains(&message.port) {
                    continue;
                }
                self.reread |= self.known.take(&self.config, &message, &mut told);
            }
            for event in told {
                self.send(event)?;
            }
        }
    }

    /// Dumps everything, and tells what is new or gone.
    fn read_all(&mut self) -> io::Result<Result<(), Gone>> {
        let now = self.dump()?;
        let mut told = Vec::new();
        self.known.become_(now, &mut told);
        told.push(HostEvent::Synced);
        Ok(told.into_iter().try_for_each(|event| self.send(event)))
    }

    fn dump(&mut self) -> io::Result<Known> {
        let mut known = Known::default();
        let links = std::cell::RefCell::new(HashMap::new());
        self.asks.dump(&encode::dump_links, &mut || links.borrow_mut().clear(), &mut |message| {
            if let (RTM_NEWLINK, Some(link)) = (message.kind, decode::link(message.payload)) {
                links.borrow_mut().insert(link.index, link);
            }
        })?;
        known.links = links.into_inner();
        let addresses = std::cell::RefCell::new(HashSet::new());
        self.asks.dump(&encode::dump_addresses, &mut || addresses.borrow_mut().clear(), &mut |message| {
            if let (RTM_NEWADDR, Some(address)) = (message.kind, decode::address(message.payload)) {
                addresses.borrow_mut().insert(address);
            }
        })?;
        known.addresses = addresses.into_inner();
        if self.config.learn {
            // Foreign routes may hang on objects whose legs the kernel does not spell out.
            let objects = dump::next_hops(&mut self.asks)?;
            for family in [AF_INET, AF_INET6] {
                let foreign = &mut known.foreign;
                let config = &self.config;
                dump::routes(&mut self.asks, family, config.kernel.table, 0, &mut |mut route| {
                    if is_foreign(&config.kernel, &route) {
                        resolve(&mut route, &objects);
                        if let Some(told) = as_told(&route) {
                            foreign.insert((route.prefix.trunc(), route.metric), told);
                        }
                    }
                })?;
            }
        }
        Ok(known)
    }
}

impl Known {
    /// Becomes `now`, and tells the difference: first what went, innermost first, then what came.
    fn become_(&mut self, now: Self, told: &mut Vec<HostEvent>) {
        for (prefix, metric) in self.foreign.keys().filter(|key| !now.foreign.contains_key(key)) {
            told.push(HostEvent::Foreign { prefix: *prefix, metric: *metric, route: None });
        }
        for (index, address) in self.addresses.difference(&now.addresses) {
            told.push(HostEvent::Address { index: *index, address: *address, present: false });
        }
        for index in self.links.keys().filter(|index| !now.links.contains_key(index)) {
            told.push(HostEvent::LinkGone(*index));
        }
        let mut links: Vec<&Link> =
            now.links.values().filter(|link| self.links.get(&link.index) != Some(link)).collect();
        links.sort_unstable_by_key(|link| link.index);
        told.extend(links.into_iter().cloned().map(HostEvent::Link));
        let mut addresses: Vec<_> = now.addresses.difference(&self.addresses).copied().collect();
        addresses.sort_unstable();
        told.extend(addresses.into_iter().map(|(index, address)| HostEvent::Address { index, address, present: true }));
        let mut foreign: Vec<_> =
            now.foreign.iter().filter(|(key, route)| self.foreign.get(*key) != Some(route)).collect();
        foreign.sort_unstable_by_key(|(key, _)| **key);
        for ((prefix, metric), route) in foreign {
            told.push(HostEvent::Foreign { prefix: *prefix, metric: *metric, route: Some(route.clone()) });
        }
        *self = now;
    }

    /// Takes one event; true if everything must be read again.
    fn take(&mut self, config: &MonitorConfig, message: &Message<'_>, told: &mut Vec<HostEvent>) -> bool {
        match message.kind {
            RTM_NEWLINK => {
                if let Some(link) = decode::link(message.payload)
                    && self.links.insert(link.index, link.clone()).as_ref() != Some(&link)
                {
                    told.push(HostEvent::Link(link));
                }
            }
            RTM_DELLINK => {
                // Bridges announce a port's departure in this form too: the family octet tells them apart.
                if message.payload.first() == Some(&0)
                    && let Some(link) = decode::link(message.payload)
                    && self.links.remove(&link.index).is_some()
                {
                    self.addresses.retain(|(index, _)| *index != link.index);
                    told.push(HostEvent::LinkGone(link.index));
                }
            }
            RTM_NEWADDR | RTM_DELADDR => {
                let Some((index, address)) = decode::address(message.payload) else { return false };
                let present = message.kind == RTM_NEWADDR;
                let news = match present {
                    true => self.addresses.insert((index, address)),
                    false => self.addresses.remove(&(index, address)),
                };
                if news {
                    told.push(HostEvent::Address { index, address, present });
                }
            }
            RTM_NEWROUTE | RTM_DELROUTE => return self.take_route(config, message, told),
            RTM_NEWNEXTHOP | RTM_DELNEXTHOP => {
                let object = decode::next_hop(message.payload);
                // The kernel drops the routes on it and does not tell those of IPv4.
                return object.is_some_and(|object| object.id >> 24 == u32::from(config.kernel.protocol));
            }
            _ => {}
        }
        false
    }

    fn take_route(&mut self, config: &MonitorConfig, message: &Message<'_>, told: &mut Vec<HostEvent>) -> bool {
        let Some(mut route) = decode::route(message.payload) else { return false };
        let prefix = route.prefix.trunc();
        if route.table != config.kernel.table || route.cloned || route.tos != 0 {
            return false;
        }
        if dump::is_own(&route, &config.kernel) {
            told.push(HostEvent::Disturbed(prefix));
            return false;
        }
        if route.metric == config.kernel.metric && message.kind == RTM_NEWROUTE && !is_kernels_own(&route) {
            tracing::warn!(%prefix, metric = route.metric, "another program uses our metric; our route may be gone");
            told.push(HostEvent::Disturbed(prefix));
        }
        if !config.learn || !is_foreign(&config.kernel, &route) {
            return false;
        }
        let key = (prefix, route.metric);
        let before = self.foreign.get(&key);
        if message.kind == RTM_NEWROUTE {
            if route.next_hop.is_some() && route.legs.is_empty() && route.discard().is_none() {
                return true;
            }
            if message.flags & NLM_F_APPEND != 0
                && let Some(before) = before
            {
                // IPv6 tells appended legs one by one.
                let mut legs: Vec<Leg> = before.next_hops.legs().to_vec();
                legs.extend(legs_of(&route));
                let Some(next_hops) = NextHopSet::new(legs) else { return false };
                let route = rib::Route { next_hops, ..before.clone() };
                self.tell_foreign(key, Some(route), told);
                return false;
            }
            resolve(&mut route, &[]);
            if let Some(route) = as_told(&route) {
                self.tell_foreign(key, Some(route), told);
            }
            return false;
        }
        let Some(before) = before else { return false };
        // IPv6 removes legs one by one too; the route goes with the last.
        let gone: Vec<Leg> = legs_of(&route).collect();
        let left = before.next_hops.legs().iter().copied().filter(|leg| !gone.contains(leg));
        let left = NextHopSet::new(left).filter(|_| prefix.addr().is_ipv6() && !gone.is_empty());
        let left = left.map(|next_hops| rib::Route { next_hops, ..before.clone() });
        self.tell_foreign(key, left, told);
        false
    }

    fn tell_foreign(&mut self, key: (IpNet, u32), route: Option<rib::Route>, told: &mut Vec<HostEvent>) {
        let before = match &route {
            Some(route) => self.foreign.insert(key, route.clone()),
            None => self.foreign.remove(&key),
        };
        if before != route {
            told.push(HostEvent::Foreign { prefix: key.0, metric: key.1, route });
        }
    }
}

/// Routes that the kernel makes from addresses and redirects; connected routes come from the addresses themselves.
fn is_kernels_own(route: &Route) -> bool {
    const REDIRECT: u8 = 1;
    const KERNEL: u8 = 2;
    matches!(route.protocol, REDIRECT | KERNEL)
}

/// A route of somebody else that the RIB can use.
fn is_foreign(config: &KernelConfig, route: &Route) -> bool {
    let link_local = match route.prefix {
        IpNet::V4(_) => false,
        IpNet::V6(net) => {
            net.prefix_len() >= 8 && (net.network().is_unicast_link_local() || net.network().is_multicast())
        }
    };
    route.protocol != config.protocol
        && !is_kernels_own(route)
        && !link_local
        && route.tos == 0
        && (route.is_unicast() || route.discard().is_some())
}

/// Spells out the legs of a route that hangs on an object.
fn resolve(route: &mut Route, objects: &[decode::NextHop]) {
    let Some(id) = route.next_hop.filter(|_| route.legs.is_empty()) else { return };
    let find = |id: u32| objects.iter().find(|object| object.id == id).map(|object| &object.body);
    let mut add = |body: Option<&Body>, weight: u16| {
        if let Some(Body::Leg { interface, gateway, onlink }) = body {
            let (interface, gateway, onlink) = (*interface, *gateway, *onlink);
            route.legs.push(rib::ResolvedLeg { interface, gateway, onlink, weight });
        }
    };
    match find(id) {
        Some(Body::Group(members)) => members.iter().for_each(|(id, weight)| add(find(*id), *weight)),
        body => add(body, 1),
    }
}

fn legs_of(route: &Route) -> impl Iterator<Item = Leg> {
    route.legs.iter().map(|leg| {
        let next_hop = match leg.gateway {
            Some(addr) => NextHop::Gateway { addr, interface: Some(leg.interface), onlink: leg.onlink },
            None => NextHop::Interface(leg.interface),
        };
        Leg { next_hop, weight_less_one: leg.weight.clamp(1, 256).wrapping_sub(1) as u8 }
    })
}

/// The route as the RIB would have it; the host table sets the configured distance.
fn as_told(route: &Route) -> Option<rib::Route> {
    let next_hops = match route.discard() {
        Some(discard) => NextHop::Discard(discard).into(),
        None => NextHopSet::new(legs_of(route))?,
    };
    let distance: AdminDistance = Protocol::Kernel.default_distance();
    Some(rib::Route { protocol: Protocol::Kernel, distance, metric: Metric(route.metric), tag: 0, next_hops })
}

#[cfg(test)]
mod tests;
