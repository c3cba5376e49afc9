//! What we say of our own links: router-LSA and network-LSAs (RFC 2328 §12.4.1, §12.4.2; RFC 5340 §4.4.3.2, §4.4.3.3), in v3
//! also link- and intra-area-prefix-LSAs (§4.4.3.8, §4.4.3.9). All of an area is built anew whenever one of its links
//! changes; what is equal to what is out stays out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use ipnet::{IpNet, Ipv6Net};

use super::Instance;
use crate::config::{AreaKind, NetworkType};
use crate::id::{AreaId, InterfaceId, LsaKey, LsaType, RouterId, Version};
use crate::interface::{Interface, InterfaceState};
use crate::lsa::{
    IntraAreaPrefixLsa, LinkKind, LinkLsa, LsaBody, LsaPrefix, MAX_LINK_METRIC, NetworkLsa, PREFIX_LA, RouterFlags,
    RouterLink, RouterLsa,
};
use crate::lsdb::Home;
use crate::message::{Outbox, ServiceRoute};
use crate::neighbor::{Neighbor, NeighborState};

/// Our v3 prefixes are split into LSAs of so many, which fit into a packet of 1500 octets.
const PREFIXES_PER_LSA: usize = 64;
/// Link State IDs of intra-area-prefix-LSAs that belong to the router; those of networks are interface ids, below.
const ROUTER_PREFIXES: u32 = 0x4000_0000;

impl Instance {
    /// Brings what we say of our links in an area up to date.
    pub(super) fn reconcile_area(&mut self, now: Instant, area: AreaId, out: &mut Outbox) {
        let home = Home::Area(area);
        let kinds = self.kinds();
        let owned: Vec<LsaType> =
            [Some(kinds.router), Some(kinds.network), kinds.prefixes].into_iter().flatten().collect();
        let mut wanted: Vec<(LsaKey, LsaBody)> = Vec::new();
        // Also without a link that is up: taking it back would leave our last word with whom we cannot reach, to be fought
        // when we can.
        if self.interfaces.values().any(|held| held.area() == area && (held.up || !held.is_virtual())) {
            wanted.push((self.own_key(kinds.router, self.own_router_id()), LsaBody::Router(self.router_lsa(area))));
        }
        let designated: Vec<InterfaceId> =
            self.live_interfaces(area).filter(|held| self.has_network(held)).map(|held| held.id).collect();
        for id in &designated {
            let Some(interface) = self.interfaces.get(id) else { continue };
            let number = if self.version == Version::V2 { interface.address_bits() } else { id.0 };
            wanted.push((self.own_key(kinds.network, number), LsaBody::Network(self.network_lsa(interface))));
        }
        if let Some(kind) = kinds.prefixes {
            let router = self.own_key(kinds.router, self.own_router_id());
            for (index, chunk) in self.router_prefixes(area).chunks(PREFIXES_PER_LSA).enumerate() {
                let number = ROUTER_PREFIXES + u32::try_from(index).unwrap_or(u32::MAX / 4);
                let body = IntraAreaPrefixLsa { referenced: router, prefixes: chunk.to_vec() };
                wanted.push((self.own_key(kind, number), LsaBody::IntraAreaPrefix(body)));
            }
            for id in &designated {
                let prefixes = self.network_prefixes(*id);
                if !prefixes.is_empty() {
                    let body = IntraAreaPrefixLsa { referenced: self.own_key(kinds.network, id.0), prefixes };
                    wanted.push((self.own_key(kind, id.0), LsaBody::IntraAreaPrefix(body)));
                }
            }
        }
        let options = self.lsa_options(self.options(area));
        let names: BTreeSet<LsaKey> = wanted.iter().map(|(key, _)| *key).collect();
        for (key, body) in wanted {
            self.declare(now, home, key, options, body, out);
        }
        self.withdraw_others(now, home, &owned, &names, out);
    }

    fn own_key(&self, kind: LsaType, id: u32) -> LsaKey {
        LsaKey { kind, id, adv: self.router }
    }

    /// We are Designated Router of a network with somebody on it.
    fn has_network(&self, interface: &Interface) -> bool {
        interface.state == InterfaceState::Dr && self.neighbors_on(interface).any(Neighbor::adjacent)
    }

    /// Whether the network behind an interface is told as a transit network: its Designated Router is adjacent.
    fn is_transit(&self, interface: &Interface) -> bool {
        match interface.state {
            InterfaceState::Dr => self.has_network(interface),
            InterfaceState::Backup | InterfaceState::DrOther => self
                .neighbors_on(interface)
                .any(|neighbor| neighbor.adjacent() && neighbor.name(self.version) == interface.dr),
            _ => false,
        }
    }

    fn router_lsa(&self, area: AreaId) -> RouterLsa {
        let role = self.role();
        let kind = self.area_kind(area);
        let flags = RouterFlags {
            border: role.border,
            // RFC 2328 §12.4.1: no boundary routers inside stub areas; RFC 3101 §2.2: border routers are ones in NSSAs.
            external: kind != AreaKind::Stub && (role.external || (role.border && kind == AreaKind::Nssa)),
            virtual_link: self.interfaces.values().any(|interface| {
                interface.virtual_end.as_ref().is_some_and(|end| end.transit == area)
                    && self.neighbors_on(interface).any(Neighbor::adjacent)
            }),
            translator: kind == AreaKind::Nssa
                && self.areas.get(&area).is_some_and(|held| held.config.always_translate),
        };
        let mut links = Vec::new();
        for interface in self.live_interfaces(area) {
            self.links_of(interface, &mut links);
        }
        if self.version == Version::V2 {
            for (prefix, route) in &self.services {
                if let (ServiceRoute::Stub { metric }, IpNet::V4(net)) = (route, prefix) {
                    links.push(stub(net.network().into(), net.netmask().into(), *metric));
                }
            }
        }
        let options = self.options(area);
        RouterLsa { flags, options, links }
    }

    /// Link Data in v2, Interface ID in v3.
    pub(crate) fn link_data(&self, interface: &Interface) -> u32 {
        match self.version {
            Version::V2 if interface.unnumbered() && !interface.is_virtual() => interface.id.0,
            Version::V2 => interface.address_bits(),
            Version::V3 => interface.id.0,
        }
    }

    /// The links of one interface.
    fn links_of(&self, interface: &Interface, links: &mut Vec<RouterLink>) {
        // RFC 6987 §3: a last resort for what goes through us; what is ours stays as it is.
        let metric = if self.max_metric() { MAX_LINK_METRIC } else { interface.cost };
        let v2 = self.version == Version::V2;
        let own_data = self.link_data(interface);
        let adjacent = || self.neighbors_on(interface).filter(|neighbor| neighbor.adjacent());
        let transit = self.is_transit(interface);
        if transit {
            let far = self.neighbors_on(interface).find(|neighbor| neighbor.name(self.version) == interface.dr);
            let neighbor_interface = match (v2, interface.state) {
                (true, _) => 0,
                (false, InterfaceState::Dr) => interface.id.0,
                (false, _) => far.map_or(0, |neighbor| neighbor.interface_id),
            };
            links.push(RouterLink {
                kind: LinkKind::Transit,
                id: interface.dr,
                data: own_data,
                neighbor_interface,
                metric,
            });
        } else if !interface.elects() {
            let kind = if interface.is_virtual() { LinkKind::Virtual } else { LinkKind::PointToPoint };
            for neighbor in adjacent() {
                let neighbor_interface = if v2 { 0 } else { neighbor.interface_id };
                links.push(RouterLink { kind, id: neighbor.router.0, data: own_data, neighbor_interface, metric });
            }
        }
        if !v2 || interface.is_virtual() {
            return;
        }
        let primary = interface.subnet();
        for net in &interface.link.addresses {
            let IpNet::V4(net) = net else { continue };
            let host = interface.state == InterfaceState::Loopback;
            let multipoint = interface.config.network == NetworkType::PointToMultipoint && !interface.config.passive;
            if transit && Some(*net) == primary {
                continue; // the network-LSA says it
            }
            if net.addr().is_loopback() {
                continue;
            }
            match (host, multipoint) {
                (true, _) => links.push(stub(
                    net.addr().into(),
                    u32::MAX,
                    if net.prefix_len() == 32 { 0 } else { interface.cost },
                )),
                (false, true) => links.push(stub(net.addr().into(), u32::MAX, 0)),
                (false, false) => links.push(stub(net.network().into(), net.netmask().into(), interface.cost)),
            }
        }
    }

    fn network_lsa(&self, interface: &Interface) -> NetworkLsa {
        let mut attached: Vec<RouterId> = self
            .neighbors_on(interface)
            .filter(|neighbor| neighbor.adjacent())
            .map(|neighbor| neighbor.router)
            .collect();
        attached.push(self.router);
        attached.sort_unstable();
        let mut options = self.options(interface.area());
        if self.version == Version::V3 {
            // RFC 5340 §4.4.3.3: what any of them can do.
            for (router, link) in self.link_lsas(interface.id) {
                if attached.contains(&router) {
                    options |= link.options;
                }
            }
        }
        let mask_len = interface.subnet().filter(|_| self.version == Version::V2).map(|net| net.prefix_len());
        NetworkLsa { mask_len, options, attached }
    }

    /// The link-LSAs on a link, by their originators, ours left out.
    fn link_lsas(&self, id: InterfaceId) -> Vec<(RouterId, LinkLsa)> {
        let Some(kind) = self.kinds().link else { return Vec::new() };
        let Some(interface) = self.interfaces.get(&id) else { return Vec::new() };
        self.neighbors_on(interface)
            .filter_map(|neighbor| {
                let key = LsaKey { kind, id: neighbor.interface_id, adv: neighbor.router };
                let (_, entry) = self.db.lookup(Home::Link(id), &key).filter(|(_, entry)| !entry.flushing)?;
                match self.read(&entry.raw)? {
                    LsaBody::Link(link) => Some((neighbor.router, link)),
                    _ => None,
                }
            })
            .collect()
    }

    /// v3: prefixes that are ours alone (RFC 5340 §4.4.3.9, attached to the router-LSA).
    fn router_prefixes(&self, area: AreaId) -> Vec<LsaPrefix> {
        let mut prefixes: BTreeMap<Ipv6Net, LsaPrefix> = BTreeMap::new();
        let mut add = |prefix: Ipv6Net, options: u8, metric: u16| {
            prefixes.entry(prefix).or_insert(LsaPrefix { prefix, options, metric });
        };
        let virtual_links = self.areas.get(&area).is_some_and(|held| !held.config.virtual_links.is_empty());
        let mut local: Option<Ipv6Addr> = None;
        for interface in self.live_interfaces(area) {
            let transit = self.is_transit(interface);
            let multipoint = interface.config.network == NetworkType::PointToMultipoint && !interface.config.passive;
            for net in global_prefixes(interface) {
                if interface.state == InterfaceState::Loopback || multipoint {
                    add(host(net.addr()), PREFIX_LA, 0);
                } else {
                    local.get_or_insert(net.addr());
                    if !transit {
                        add(net.trunc(), 0, interface.cost);
                    }
                }
            }
        }
        // RFC 5340 §4.7: the ends of virtual links need an address that the transit area knows.
        if let Some(address) = local.filter(|_| virtual_links) {
            add(host(address), PREFIX_LA, 0);
        }
        for (prefix, route) in &self.services {
            if let (ServiceRoute::Stub { metric }, IpNet::V6(net)) = (route, prefix) {
                add(net.trunc(), 0, *metric);
            }
        }
        prefixes.into_values().collect()
    }

    /// v3: prefixes of a network we are Designated Router of: ours, and those of the link-LSAs of who is adjacent.
    fn network_prefixes(&self, id: InterfaceId) -> Vec<LsaPrefix> {
        let Some(interface) = self.interfaces.get(&id) else { return Vec::new() };
        let mut prefixes: BTreeMap<Ipv6Net, u8> = global_prefixes(interface).map(|net| (net.trunc(), 0)).collect();
        let adjacent: Vec<RouterId> = self
            .neighbors_on(interface)
            .filter(|held| held.state == NeighborState::Full)
            .map(|held| held.router)
            .collect();
        for (router, link) in self.link_lsas(id) {
            if !adjacent.contains(&router) {
                continue;
            }
            for prefix in link.prefixes {
                let net = prefix.prefix.trunc();
                let link_local = net.addr().segments()[0] & 0xffc0 == 0xfe80;
                if prefix.options & (crate::lsa::PREFIX_NU | PREFIX_LA) == 0 && !link_local {
                    *prefixes.entry(net).or_default() |= prefix.options;
                }
            }
        }
        prefixes.into_iter().map(|(prefix, options)| LsaPrefix { prefix, options, metric: 0 }).collect()
    }

    /// v3: what we say on a link to those on it.
    pub(super) fn reconcile_link(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(kind) = self.kinds().link else { return };
        let key = self.own_key(kind, id.0);
        let home = Home::Link(id);
        let speaking = self
            .interfaces
            .get(&id)
            .filter(|interface| interface.up && !interface.is_virtual() && interface.speaks())
            .and_then(|interface| Some((interface, interface.link.link_local?)));
        let Some((interface, link_local)) = speaking else { return self.withdraw(now, home, key, out) };
        let prefixes: BTreeSet<Ipv6Net> = global_prefixes(interface).map(|net| net.trunc()).collect();
        let body = LinkLsa {
            priority: interface.config.priority,
            options: self.options(interface.area()),
            link_local,
            prefixes: prefixes.into_iter().map(|prefix| LsaPrefix { prefix, options: 0, metric: 0 }).collect(),
        };
        self.declare(now, home, key, 0, LsaBody::Link(body), out);
    }
}

fn stub(id: u32, data: u32, metric: u16) -> RouterLink {
    RouterLink { kind: LinkKind::Stub, id, data, neighbor_interface: 0, metric }
}

fn host(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::from(address)
}

/// Addresses that mean something beyond the link.
fn global_prefixes(interface: &Interface) -> impl Iterator<Item = Ipv6Net> {
    interface.link.addresses.iter().filter_map(|net| match (net, net.addr()) {
        (IpNet::V6(net), IpAddr::V6(address)) if !address.is_loopback() && !address.is_unicast_link_local() => {
            Some(*net)
        }
        _ => None,
    })
}
