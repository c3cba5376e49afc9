//! From what happens on the host to what the RIB is told: connected routes, kernel routes, interface states.
//!
//! A pure machine. Which foreign routes are worth telling is the monitor's choice; resolution over interfaces is the RIB's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use rib::message::Input;
use rib::{AdminDistance, IfIndex, Metric, NextHop, NextHopSet, Protocol, Route, RouteBatch, Source};

use super::{HostEvent, Link};

/// What the host has.
pub struct HostTable {
    links: BTreeMap<IfIndex, Entry>,
    names: HashMap<String, IfIndex>,
    local: HashMap<IpAddr, usize>,
    foreign: HashMap<IpNet, BTreeMap<u32, Route>>,
    /// Service prefixes: host addresses in them are the services' own routes and no connected ones.
    claimed: BTreeSet<IpNet>,
    kernel_distance: AdminDistance,
}

struct Entry {
    link: Link,
    addresses: Vec<IpNet>,
}

impl HostTable {
    /// An empty table. Foreign kernel routes get `kernel_distance`, 220 by default ([`Protocol::default_distance`]).
    #[must_use]
    pub fn new(kernel_distance: AdminDistance) -> Self {
        Self {
            links: BTreeMap::new(),
            names: HashMap::new(),
            local: HashMap::new(),
            foreign: HashMap::new(),
            claimed: BTreeSet::new(),
            kernel_distance,
        }
    }

    /// Takes an event; answers with what the RIB is to be told, in order. An event that repeats what is known says nothing.
    pub fn handle(&mut self, event: HostEvent) -> Vec<Input> {
        match event {
            HostEvent::Link(link) => self.on_link(link),
            HostEvent::LinkGone(index) => self.on_link_gone(index),
            HostEvent::Address { index, address, present } => self.on_address(index, address, present),
            HostEvent::Foreign { prefix, metric, route } => self.on_foreign(prefix.trunc(), metric, route),
            // These two concern the data plane only.
            HostEvent::Disturbed(_) | HostEvent::Synced => Vec::new(),
        }
    }

    /// From now on these prefixes belong to services. A VIP on the loopback link is announced by its service or not at all: as
    /// a connected route it could be redistributed whatever the service's health. What a service gives up stays claimed
    /// while an address in it is still here.
    pub fn claim(&mut self, mut vips: BTreeSet<IpNet>) -> Vec<Input> {
        vips.extend(self.claimed.iter().filter(|vip| self.local.keys().any(|addr| vip.contains(addr))));
        let before = std::mem::replace(&mut self.claimed, vips);
        let touched = |address: &&IpNet| {
            let covered = |set: &BTreeSet<IpNet>| set.iter().any(|vip| vip.contains(*address));
            covered(&before) != covered(&self.claimed)
        };
        let addresses: Vec<IpNet> =
            self.links.values().flat_map(|entry| entry.addresses.iter().filter(touched)).copied().collect();
        self.connected(&addresses).into_iter().collect()
    }

    /// True if `addr` is on one of the links, up or not.
    #[must_use]
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.local.contains_key(&addr)
    }

    /// The link of this name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<IfIndex> {
        self.names.get(name).copied()
    }

    /// The link of this number.
    #[must_use]
    pub fn link(&self, index: IfIndex) -> Option<&Link> {
        self.links.get(&index).map(|entry| &entry.link)
    }

    /// The name of this number's link.
    #[must_use]
    pub fn name_of(&self, index: IfIndex) -> Option<&str> {
        self.link(index).map(|link| link.name.as_str())
    }

    /// Every link with its addresses, by number.
    pub fn links(&self) -> impl Iterator<Item = (&Link, &[IpNet])> {
        self.links.values().map(|entry| (&entry.link, entry.addresses.as_slice()))
    }

    /// Every address of this host, each once.
    pub fn local_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.local.keys().copied()
    }

    fn on_link(&mut self, link: Link) -> Vec<Input> {
        let index = link.index;
        let before = self.links.get(&index).map(|entry| entry.link.clone());
        if before.as_ref() == Some(&link) {
            return Vec::new();
        }
        if let Some(before) = &before
            && self.names.get(&before.name) == Some(&index)
        {
            self.names.remove(&before.name);
        }
        self.names.insert(link.name.clone(), index);
        let up = link.up;
        let entry = self.links.entry(index).or_insert_with(|| Entry { link: link.clone(), addresses: Vec::new() });
        entry.link = link;
        if before.is_some_and(|before| before.up == up) {
            return Vec::new();
        }
        let prefixes = entry.addresses.clone();
        let mut told = vec![Input::Interface { index, up }];
        told.extend(self.connected(&prefixes));
        told
    }

    fn on_link_gone(&mut self, index: IfIndex) -> Vec<Input> {
        let Some(entry) = self.links.remove(&index) else { return Vec::new() };
        if self.names.get(&entry.link.name) == Some(&index) {
            self.names.remove(&entry.link.name);
        }
        for address in &entry.addresses {
            self.forget_local(address.addr());
        }
        let mut told = vec![Input::Interface { index, up: false }];
        told.extend(self.connected(&entry.addresses));
        told
    }

    fn on_address(&mut self, index: IfIndex, address: IpNet, present: bool) -> Vec<Input> {
        // An address of a link we have not heard of comes again with the link.
        let Some(entry) = self.links.get_mut(&index) else { return Vec::new() };
        let at = entry.addresses.iter().position(|have| *have == address);
        match (at, present) {
            (None, true) => {
                entry.addresses.push(address);
                *self.local.entry(address.addr()).or_default() += 1;
            }
            (Some(at), false) => {
                entry.addresses.remove(at);
                self.forget_local(address.addr());
            }
            _ => return Vec::new(),
        }
        self.connected(&[address]).into_iter().collect()
    }

    fn forget_local(&mut self, addr: IpAddr) {
        if let Some(count) = self.local.get_mut(&addr) {
            *count -= 1;
            if *count == 0 {
                self.local.remove(&addr);
            }
        }
    }

    /// The connected routes of these addresses' prefixes as they are now, over all links.
    fn connected(&self, addresses: &[IpNet]) -> Option<Input> {
        let mut prefixes: Vec<IpNet> = addresses.iter().map(IpNet::trunc).filter(is_routable).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut batch = RouteBatch::new(Source::Connected);
        for prefix in prefixes {
            match NextHopSet::new(self.legs(prefix).map(Into::into)) {
                Some(next_hops) => batch.add(prefix, connected_route(next_hops)),
                None => batch.remove(prefix),
            }
        }
        (!batch.changes.is_empty()).then_some(Input::Routes(batch))
    }

    fn legs(&self, prefix: IpNet) -> impl Iterator<Item = NextHop> {
        let up = self.links.values().filter(|entry| entry.link.up);
        let on = up.filter(move |entry| entry.addresses.iter().any(|address| address.trunc() == prefix));
        // A host address on the loopback link is this host; on any other link its neighbor may be meant (point to point).
        let host = prefix.prefix_len() == prefix.max_prefix_len();
        let claimed = self.claimed.iter().any(|vip| vip.contains(&prefix));
        on.filter_map(move |entry| match entry.link.loopback && host {
            true => (!claimed).then_some(NextHop::Local),
            false => Some(NextHop::Interface(entry.link.index)),
        })
    }

    fn on_foreign(&mut self, prefix: IpNet, metric: u32, route: Option<Route>) -> Vec<Input> {
        let of_prefix = self.foreign.entry(prefix).or_default();
        let best = of_prefix.first_key_value().map(|(_, route)| route.clone());
        match route {
            Some(mut route) => {
                route.protocol = Protocol::Kernel;
                route.distance = self.kernel_distance;
                route.metric = Metric(metric);
                of_prefix.insert(metric, route);
            }
            None => {
                of_prefix.remove(&metric);
            }
        }
        // The kernel forwards by the lowest metric; the others are kept for the day it goes.
        let now = of_prefix.first_key_value().map(|(_, route)| route.clone());
        if of_prefix.is_empty() {
            self.foreign.remove(&prefix);
        }
        if now == best {
            return Vec::new();
        }
        let mut batch = RouteBatch::new(Source::Kernel);
        match now {
            Some(route) => batch.add(prefix, route),
            None => batch.remove(prefix),
        }
        vec![Input::Routes(batch)]
    }
}

fn connected_route(next_hops: NextHopSet) -> Route {
    let protocol = Protocol::Connected;
    Route { protocol, distance: protocol.default_distance(), metric: Metric(0), tag: 0, next_hops }
}

/// Link-local prefixes are the same on every link (RFC 4291 §2.5.6), and loopback ones leave no host (RFC 1122 §3.2.1.3 g,
/// RFC 4291 §2.5.3): neither is a route. Next hops in them name their interface and need none.
fn is_routable(prefix: &IpNet) -> bool {
    match prefix.addr() {
        IpAddr::V4(addr) => !addr.is_loopback(),
        IpAddr::V6(addr) => !addr.is_unicast_link_local() && addr != Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests;
