//! Links, addresses and configuration: which interfaces exist, and when their machine starts and stops (RFC 2328 §9.3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::config::{AreaConfig, AreaKind, AuthKey, InstanceConfig, InterfaceConfig, NetworkType};
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::interface::{Interface, InterfaceState, VirtualEnd, cost};
use crate::lsdb::Home;
use crate::message::{Link, Outbox};
use crate::neighbor::NeighborState;

use super::{Area, Instance, Timer};

/// Interface ids from here on are virtual links' (RFC 5340 §4.1.2: our own numbering).
pub(super) const VIRTUAL_BASE: u32 = 0x8000_0000;

impl Instance {
    /// Takes the areas of the configuration.
    pub(super) fn apply_areas(&mut self) {
        let mut areas = std::mem::take(&mut self.areas);
        for config in &self.config.areas {
            let mut area = areas.remove(&config.id).unwrap_or_else(|| Area { config: config.clone() });
            area.config = config.clone();
            // RFC 2328 §3.6: the backbone cannot be a stub.
            if config.id == AreaId::BACKBONE {
                area.config.kind = AreaKind::Normal;
            }
            self.areas.insert(config.id, area);
        }
        for interface in &self.config.interfaces {
            let area = interface.area;
            self.areas.entry(area).or_insert_with(|| Area { config: AreaConfig::new(area) });
        }
        // RFC 2328 §15: virtual links are part of the backbone, which may be nowhere else on this router.
        if self.config.areas.iter().any(|config| !config.virtual_links.is_empty()) {
            let backbone = AreaId::BACKBONE;
            self.areas.entry(backbone).or_insert_with(|| Area { config: AreaConfig::new(backbone) });
        }
        self.routing.neighborhood_changed();
        self.own.dirty_all();
    }

    /// A link is there, or its facts changed.
    pub(super) fn on_link(&mut self, now: Instant, link: Link, up: bool, out: &mut Outbox) {
        let id = link.id;
        self.links.insert(id, (link.clone(), up));
        let Some(config) = self.config.interfaces.iter().find(|config| config.name == link.name).cloned() else {
            return;
        };
        if let Some(held) = self.interfaces.get(&id) {
            let other_name = held.link.name != link.name;
            let source = |held: &Interface| (held.source(self.version), held.subnet());
            let fresh = Interface::new(config.clone(), link.clone(), self.config.reference_bandwidth_mbps);
            // What neighbors know us by has changed: start over (RFC 2328 §9.3 InterfaceDown, then InterfaceUp).
            if held.up && (other_name || source(held) != source(&fresh) || needs_restart(&held.config, &config)) {
                self.stop_interface(now, id, out);
            }
        }
        let reference = self.config.reference_bandwidth_mbps;
        let version = self.version;
        let interface =
            self.interfaces.entry(id).or_insert_with(|| Interface::new(config.clone(), link.clone(), reference));
        let mtu_changed = interface.link.mtu != link.mtu;
        let priority_changed = interface.config.priority != config.priority;
        interface.cost = cost(&config, &link, reference);
        interface.set_auth(config.auth.clone());
        interface.config = config;
        interface.link = link;
        let usable = up && interface.source(version).is_some();
        // A loopback has no link-local address to speak from, and needs none.
        let usable = usable || (up && interface.link.loopback && !interface.link.addresses.is_empty());
        let was = interface.up;
        let area = interface.area();
        if usable && !was {
            self.start_interface(now, id, out);
        } else if !usable && was {
            self.stop_interface(now, id, out);
        } else if was {
            if mtu_changed {
                self.on_mtu_change(now, id, out);
            }
            if priority_changed {
                self.on_priority_change(now, id, out);
            }
        }
        self.own.dirty_area(area);
        self.own.dirty_link(id);
        self.routing.neighborhood_changed();
    }

    /// A link lost its carrier or is gone.
    pub(super) fn on_link_down(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        if let Some((_, up)) = self.links.get_mut(&id) {
            *up = false;
        }
        if self.interfaces.get(&id).is_some_and(|interface| interface.up) {
            self.stop_interface(now, id, out);
        }
    }

    /// InterfaceUp (RFC 2328 §9.3), with a hello at once instead of after the first interval.
    pub(super) fn start_interface(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        interface.up = true;
        (interface.dr, interface.bdr) = (0, 0);
        let dead = interface.config.dead_interval;
        interface.state = if interface.link.loopback {
            InterfaceState::Loopback
        } else if interface.config.passive || !interface.elects() {
            InterfaceState::PointToPoint
        } else if interface.config.priority == 0 {
            InterfaceState::DrOther
        } else {
            InterfaceState::Waiting
        };
        if interface.state == InterfaceState::Waiting {
            self.timers.set(Timer::Wait(id), now + dead);
        }
        let (speaks, area) = (interface.speaks(), interface.area());
        let lists = !interface.config.neighbors.is_empty() && !interface.multicast();
        if speaks {
            if lists {
                self.start_configured(now, id, out);
                let poll = self.interfaces.get(&id).map_or(Duration::from_secs(120), |held| held.config.poll_interval);
                self.timers.set(Timer::Poll(id), now + poll);
            }
            self.ask_to_be_kept(id, out);
            self.timers.set(Timer::Hello(id), now);
            self.timers.set_earlier(Timer::Stuck, now + dead);
        }
        self.own.dirty_area(area);
        self.own.dirty_link(id);
        self.routing.neighborhood_changed();
        self.run_timers(now, out);
    }

    /// InterfaceDown (RFC 2328 §9.3): all its neighbors go, and with them what we say of it.
    pub(super) fn stop_interface(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        let numbers = std::mem::take(&mut interface.neighbors);
        interface.neighbors.clone_from(&numbers);
        let area = interface.area();
        for number in numbers {
            self.remove_neighbor(now, number, "the interface went down", out);
        }
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        interface.up = false;
        interface.state = InterfaceState::Down;
        (interface.dr, interface.bdr) = (0, 0);
        interface.acks.clear();
        interface.flood.clear();
        interface.last_hello = None;
        for timer in [Timer::Hello(id), Timer::Wait(id), Timer::Acks(id), Timer::Poll(id)] {
            self.timers.cancel(timer);
        }
        self.forget_home(now, Home::Link(id), out);
        self.own.dirty_area(area);
        self.own.dirty_link(id);
        self.routing.neighborhood_changed();
    }

    /// Our priority changed. Who is designated may no longer be allowed to, or nobody was and now somebody is; the others hear
    /// of it at once. Who may not be designated has nothing to wait for (RFC 2328 §9.3).
    fn on_priority_change(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let waits = |held: &Interface| held.state == InterfaceState::Waiting && held.config.priority > 0;
        if !self.interfaces.get(&id).is_some_and(|held| held.elects() && held.speaks() && !waits(held)) {
            return;
        }
        self.timers.cancel(Timer::Wait(id));
        self.hello_soon(now, id);
        self.run_election(now, id, out);
    }

    /// An MTU changed: exchanges that it stops are tried again at once.
    fn on_mtu_change(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let numbers = self.interfaces.get(&id).map(|interface| interface.neighbors.clone()).unwrap_or_default();
        for number in numbers {
            let waiting = self.neighbor(number).is_some_and(|neighbor| {
                matches!(neighbor.state, NeighborState::ExStart | NeighborState::Exchange | NeighborState::Loading)
            });
            if waiting {
                self.restart_exchange(now, number, "the interface's MTU changed", out);
            }
        }
    }

    /// Takes a changed configuration: only what differs is touched.
    pub(super) fn on_config(&mut self, now: Instant, config: InstanceConfig, out: &mut Outbox) {
        let kinds = |config: &InstanceConfig| -> Vec<(AreaId, AreaKind)> {
            config.areas.iter().map(|area| (area.id, area.kind)).collect()
        };
        let before = kinds(&self.config);
        let after = kinds(&config);
        let old = std::mem::replace(&mut self.config, config);
        self.config.version = old.version;
        self.config.router_id = old.router_id;
        // Interfaces that are no longer configured, that moved, or whose area changed its kind, stop.
        let ids: Vec<InterfaceId> = self.interfaces.keys().copied().collect();
        for id in ids {
            let Some(interface) = self.interfaces.get(&id) else { continue };
            if interface.is_virtual() {
                continue;
            }
            let kept = self.config.interfaces.iter().find(|config| config.name == interface.config.name);
            let area = interface.area();
            let kind = |kinds: &[(AreaId, AreaKind)]| kinds.iter().find(|(id, _)| *id == area).map(|(_, kind)| *kind);
            let other_kind = kind(&before) != kind(&after);
            match kept {
                Some(config) if !needs_restart(&interface.config, config) && !other_kind => {}
                Some(_) => self.stop_interface(now, id, out),
                None => {
                    self.stop_interface(now, id, out);
                    self.interfaces.remove(&id);
                }
            }
        }
        self.apply_areas();
        self.apply_virtual_links(now, out);
        let links: Vec<(Link, bool)> = self.links.values().cloned().collect();
        for (link, up) in links {
            self.on_link(now, link, up, out);
        }
        let numbers: Vec<u32> = self.each_neighbor().map(|(number, _)| number).collect();
        for number in numbers {
            self.update_bfd(number, out);
        }
        self.drop_dead_areas(now, out);
    }

    /// Databases of areas that no longer have an interface are forgotten.
    fn drop_dead_areas(&mut self, now: Instant, out: &mut Outbox) {
        let live: Vec<AreaId> = self.interfaces.values().map(Interface::area).collect();
        let of_home = |home: Home| match home {
            Home::Area(area) => Some(area),
            Home::As | Home::Link(_) => None,
        };
        let held = self.db.iter().filter_map(|(_, entry)| of_home(entry.home));
        let dead: BTreeSet<AreaId> =
            self.areas.keys().copied().chain(held).filter(|area| !live.contains(area)).collect();
        for area in dead {
            self.forget_home(now, Home::Area(area), out);
            if !self.config.areas.iter().any(|config| config.id == area) {
                self.areas.remove(&area);
            }
        }
        self.routing.neighborhood_changed();
    }

    /// Makes an interface per configured virtual link (RFC 2328 §15), and takes away those that are no longer.
    pub(super) fn apply_virtual_links(&mut self, now: Instant, out: &mut Outbox) {
        let keys = |area: &AreaConfig, endpoint: RouterId| {
            area.virtual_auth.iter().find(|(router, _)| *router == endpoint).map(|(_, keys)| keys.clone())
        };
        let wanted: BTreeMap<(AreaId, RouterId), Vec<AuthKey>> = self
            .config
            .areas
            .iter()
            .filter(|area| area.kind == AreaKind::Normal && area.id != AreaId::BACKBONE)
            .flat_map(|area| {
                let keyed = |endpoint: &RouterId| ((area.id, *endpoint), keys(area, *endpoint).unwrap_or_default());
                area.virtual_links.iter().map(keyed)
            })
            .collect();
        let held: Vec<(InterfaceId, AreaId, RouterId)> = self
            .interfaces
            .values()
            .filter_map(|held| held.virtual_end.as_ref().map(|end| (held.id, end.transit, end.endpoint)))
            .collect();
        for (id, transit, endpoint) in &held {
            match wanted.get(&(*transit, *endpoint)) {
                None => {
                    self.stop_interface(now, *id, out);
                    self.interfaces.remove(id);
                }
                Some(keys) => {
                    if let Some(interface) = self.interfaces.get_mut(id) {
                        interface.set_auth(keys.clone());
                    }
                }
            }
        }
        for ((transit, endpoint), keys) in wanted {
            if held.iter().any(|(_, area, router)| (*area, *router) == (transit, endpoint)) {
                continue;
            }
            let id = (VIRTUAL_BASE..).map(InterfaceId).find(|id| !self.interfaces.contains_key(id));
            let Some(id) = id else { continue };
            let name = format!("vlink-{transit}-{endpoint}");
            let mut config = InterfaceConfig::new(&name, AreaId::BACKBONE, NetworkType::PointToPoint);
            config.auth = keys;
            let link = Link {
                id,
                name,
                mtu: 1500,
                bandwidth_mbps: None,
                addresses: Vec::new(),
                link_local: None,
                loopback: false,
                borrowed: None,
            };
            let mut interface = Interface::new(config, link, self.config.reference_bandwidth_mbps);
            interface.virtual_end = Some(VirtualEnd { transit, endpoint, path: None });
            self.interfaces.insert(id, interface);
            self.areas.entry(AreaId::BACKBONE).or_insert_with(|| Area { config: AreaConfig::new(AreaId::BACKBONE) });
        }
        self.routing.neighborhood_changed();
    }

    /// We are in more than one area, so we are a border router (RFC 2328 §3.3).
    pub(crate) fn is_border(&self) -> bool {
        self.attached_areas().nth(1).is_some()
    }

    /// Areas with an interface that is up.
    pub(crate) fn attached_areas(&self) -> impl Iterator<Item = AreaId> {
        self.areas.keys().copied().filter(|area| self.interfaces.values().any(|held| held.up && held.area() == *area))
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.version == Version::V2
    }
}

/// Whether a change can be taken without losing neighbors.
fn needs_restart(old: &InterfaceConfig, new: &InterfaceConfig) -> bool {
    (old.area, old.network, old.passive, &old.neighbors) != (new.area, new.network, new.passive, &new.neighbors)
}
