//! The interfaces that packets come in and leave by, and the neighbors behind them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::xdp::DevMap;
use aya::maps::{self, MapData};
use rib::IfIndex;

use super::area::Area;
use super::hops::{LegKey, neighbor_octets};
use super::layout::{PORT_GENERIC, PORT_PROBES, PORT_WORDS, PORTS, leg, mac_word};
use super::sys;

/// What has room in a port's word.
const MTU_MAX: u32 = (1 << 24) - 1;

/// A neighbor's key in its map: port, zero, address.
type NeighborKey = [u32; 6];

/// A port that is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    place: u8,
    pub(super) up: bool,
    mac: [u8; 6],
    mtu: u32,
}

#[derive(Clone, Copy)]
struct Neighbor {
    mac: [u8; 6],
    stale: bool,
}

/// Ports and neighbors, in the maps and as we know them.
pub(super) struct Ports {
    area: Area<AtomicU64>,
    devices: DevMap<MapData>,
    /// The same map, for what `DevMap` cannot do.
    devices_fd: OwnedFd,
    map: maps::HashMap<MapData, NeighborKey, u64>,
    ports: HashMap<IfIndex, Port>,
    neighbors: HashMap<(IfIndex, IpAddr), Neighbor>,
    /// The map is full; said once.
    full: bool,
}

impl Ports {
    pub(super) fn new(
        area: Area<AtomicU64>,
        devices: DevMap<MapData>,
        devices_fd: OwnedFd,
        map: maps::HashMap<MapData, NeighborKey, u64>,
    ) -> Self {
        Self { area, devices, devices_fd, map, ports: HashMap::new(), neighbors: HashMap::new(), full: false }
    }

    fn device(&self, place: usize) -> &AtomicU64 {
        &self.area[place * PORT_WORDS]
    }

    /// Attached interfaces.
    pub(super) fn interfaces(&self) -> Vec<IfIndex> {
        self.ports.keys().copied().collect()
    }

    /// Clears the places of interfaces that an earlier process left and `keep` does not name.
    pub(super) fn clear_strangers(&mut self, keep: impl Fn(IfIndex) -> bool) {
        for place in 0..PORTS {
            let index = self.device(place).load(Ordering::Relaxed) as u32;
            if index != 0 && !keep(IfIndex(index)) {
                self.clear(place);
            }
        }
    }

    fn clear(&mut self, place: usize) {
        self.device(place).store(0, Ordering::Release);
        if let Err(error) = sys::delete(self.devices_fd.as_fd(), place as u32) {
            tracing::debug!(%error, place, "the device was gone already");
        }
    }

    /// Tells the programs of a port: MTU and MAC address may change. The first time it takes a place, and packets may leave by it.
    /// Whether the program runs in generic mode there may not be known yet: then it stays as an earlier process said, or is
    /// taken for so.
    ///
    /// # Errors
    /// A sentence, if all places for its number are taken.
    pub(super) fn set(
        &mut self,
        interface: IfIndex,
        mac: [u8; 6],
        mtu: u32,
        up: bool,
        generic: Option<bool>,
    ) -> Result<(), String> {
        let place = match self.ports.get(&interface) {
            Some(port) => usize::from(port.place),
            None => {
                let mut places = (0..PORT_PROBES).map(|probe| (interface.0 as usize + probe) % PORTS);
                let taken = |place: &usize| self.device(*place).load(Ordering::Relaxed) as u32;
                let mine = places.clone().find(|place| taken(place) == interface.0);
                mine.or_else(|| places.find(|place| taken(place) == 0)).ok_or_else(|| {
                    format!(
                        "interface number {} shares its place with {PORT_PROBES} others; leave one of them out",
                        interface.0
                    )
                })?
            }
        };
        self.area[place * PORT_WORDS + 1].store(mac_word(mac), Ordering::Release);
        let before = self.device(place).load(Ordering::Relaxed);
        let before = if before as u32 == interface.0 { before & PORT_GENERIC } else { PORT_GENERIC };
        let mode = generic.map_or(before, |generic| if generic { PORT_GENERIC } else { 0 });
        let mtu = mtu.min(MTU_MAX);
        self.device(place).store(mode | u64::from(mtu) << 32 | u64::from(interface.0), Ordering::Release);
        self.devices
            .set(place as u32, interface.0, None, 0)
            .map_err(|error| format!("cannot make interface number {} a target: {error}", interface.0))?;
        self.ports.insert(interface, Port { place: place as u8, up, mac, mtu });
        // Neighbors that were known before.
        let known: Vec<_> = self.neighbors.iter().filter(|((on, _), _)| *on == interface).collect();
        let known: Vec<(IpAddr, [u8; 6])> = known.into_iter().map(|((_, addr), n)| (*addr, n.mac)).collect();
        for (addr, mac) in known {
            self.write_neighbor(interface, addr, Some(mac));
        }
        Ok(())
    }

    /// The interface is no port any more.
    pub(super) fn remove(&mut self, interface: IfIndex) {
        let known: Vec<IpAddr> =
            self.neighbors.keys().filter(|(on, _)| *on == interface).map(|(_, addr)| *addr).collect();
        for addr in known {
            self.write_neighbor(interface, addr, None);
        }
        if let Some(port) = self.ports.remove(&interface) {
            self.clear(usize::from(port.place));
        }
    }

    /// A neighbor's MAC address, or that it has none to send to.
    pub(super) fn set_neighbor(&mut self, interface: IfIndex, addr: IpAddr, mac: Option<[u8; 6]>, stale: bool) {
        match mac {
            Some(mac) => drop(self.neighbors.insert((interface, addr), Neighbor { mac, stale })),
            None => drop(self.neighbors.remove(&(interface, addr))),
        }
        self.write_neighbor(interface, addr, mac);
    }

    /// Forgets neighbors that `now` does not name.
    pub(super) fn keep_neighbors(&mut self, now: impl Fn(IfIndex, IpAddr) -> bool) {
        let gone: Vec<_> = self.neighbors.keys().filter(|(on, addr)| !now(*on, *addr)).copied().collect();
        for (interface, addr) in gone {
            self.set_neighbor(interface, addr, None, false);
        }
        // And what an earlier process left in the map.
        let known: HashSet<NeighborKey> =
            self.neighbors.keys().filter_map(|(on, addr)| Some(key(self.ports.get(on)?.place, *addr))).collect();
        let left: Vec<NeighborKey> = self.map.keys().flatten().filter(|key| !known.contains(key)).collect();
        for key in left {
            let _ = self.map.remove(&key);
        }
    }

    fn write_neighbor(&mut self, interface: IfIndex, addr: IpAddr, mac: Option<[u8; 6]>) {
        let Some(port) = self.ports.get(&interface) else { return };
        let key = key(port.place, addr);
        match mac {
            Some(mac) => {
                if let Err(error) = self.map.insert(key, mac_word(mac), 0)
                    && !std::mem::replace(&mut self.full, true)
                {
                    tracing::warn!(%error, "no room for more neighbors; the kernel forwards to them (fib.xdp.limits.neighbors)");
                }
            }
            None => {
                let _ = self.map.remove(&key);
            }
        }
    }

    /// How a leg sends now.
    pub(super) fn leg_word(&self, key: &LegKey) -> u64 {
        let unresolved = leg::word(leg::UNRESOLVED, 0, [0; 6]);
        let Some(port) = self.ports.get(&key.interface).filter(|port| port.up) else { return unresolved };
        match key.gateway {
            None => leg::word(leg::ONLINK, port.place, [0; 6]),
            Some(addr) => match self.neighbors.get(&(key.interface, addr)) {
                Some(neighbor) => leg::word(leg::RESOLVED, port.place, neighbor.mac),
                None => unresolved,
            },
        }
    }

    /// Whether a neighbor on a port has a MAC address; `None` if the interface is no port, or down.
    pub(super) fn knows(&self, interface: IfIndex, addr: IpAddr) -> Option<bool> {
        self.ports.get(&interface).filter(|port| port.up)?;
        Some(self.neighbors.contains_key(&(interface, addr)))
    }

    /// True unless the neighbor is known and was confirmed a short while ago.
    pub(super) fn wants_confirmation(&self, interface: IfIndex, addr: IpAddr) -> bool {
        self.ports.contains_key(&interface) && self.neighbors.get(&(interface, addr)).is_none_or(|n| n.stale)
    }

    /// Neighbors on ports that have not been confirmed for a while.
    pub(super) fn stale(&self) -> impl Iterator<Item = (IfIndex, IpAddr)> + '_ {
        let on_port = |on: &IfIndex| self.ports.get(on).is_some_and(|port| port.up);
        self.neighbors.iter().filter(move |((on, _), n)| n.stale && on_port(on)).map(|(key, _)| *key)
    }
}

fn key(place: u8, addr: IpAddr) -> NeighborKey {
    let octets = neighbor_octets(addr);
    let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    [u32::from(place), 0, word(0), word(4), word(8), word(12)]
}
