//! Instances on wires, in virtual time: what one sends, those on the wire hear a moment later.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::config::{AreaConfig, InstanceConfig, InterfaceConfig, NetworkType};
use crate::id::{AreaId, InterfaceId, LsaType, RouterId, Version};
use crate::instance::Instance;
use crate::message::{Alarm, Event, Input, Link, Outbox, Output};
use crate::neighbor::NeighborState;
use crate::view::{LsaView, NeighborView, Query, SummaryView, View};

/// How long a packet is on its way.
const FLIGHT: Duration = Duration::from_micros(300);

pub(super) struct Wire {
    pub(super) ends: Vec<(usize, InterfaceId)>,
    pub(super) cut: bool,
}

/// Decides which packets are lost: router, interface, packet type.
type Loss = Box<dyn FnMut(usize, InterfaceId, u8) -> bool>;

pub(super) struct World {
    pub(super) version: Version,
    pub(super) now: Instant,
    pub(super) routers: Vec<Instance>,
    configs: Vec<InstanceConfig>,
    links: Vec<Vec<Link>>,
    pub(super) wires: Vec<Wire>,
    flight: BTreeMap<(Instant, u64), (usize, Input)>,
    sent: u64,
    pub(super) packets: BTreeMap<u8, u64>,
    pub(super) alarms: Vec<(usize, Alarm)>,
    pub(super) events: Vec<(usize, Event)>,
    pub(super) bfd: Vec<(usize, bool)>,
    pub(super) loss: Option<Loss>,
    dead: Vec<bool>,
    pub(super) routes: Vec<BTreeMap<IpNet, rib::Route>>,
    /// Packets take up to so many milliseconds more, each its own, and overtake each other.
    pub(super) jitter: Option<(fastrand::Rng, u64)>,
    /// What arrives where, if somebody listens.
    pub(super) tap: Option<Vec<(usize, Input)>>,
}

#[allow(clippy::disallowed_methods)] // a starting point for virtual time
fn start() -> Instant {
    Instant::now()
}

impl World {
    /// `count` routers, 10.0.0.1 and so on, in one area each if nothing else is said.
    pub(super) fn new(version: Version, count: u32) -> Self {
        let now = start();
        let configs: Vec<InstanceConfig> = (1..=count)
            .map(|number| {
                let mut config = InstanceConfig::new(version, RouterId(0x0a00_0000 + number));
                config.seed = u64::from(number);
                config
            })
            .collect();
        Self {
            version,
            now,
            routers: Vec::new(),
            links: vec![Vec::new(); configs.len()],
            dead: vec![false; configs.len()],
            routes: vec![BTreeMap::new(); configs.len()],
            configs,
            jitter: None,
            tap: None,
            wires: Vec::new(),
            flight: BTreeMap::new(),
            sent: 0,
            packets: BTreeMap::new(),
            alarms: Vec::new(),
            events: Vec::new(),
            bfd: Vec::new(),
            loss: None,
        }
    }

    /// A wire between `routers`, in `area`; its number.
    pub(super) fn wire(&mut self, routers: &[usize], network: NetworkType, area: u32) -> usize {
        let wire = self.wires.len();
        let subnet = u8::try_from(wire + 1).unwrap();
        let mut ends = Vec::new();
        for router in routers {
            let id = InterfaceId(u32::try_from(self.links[*router].len() + 1).unwrap());
            let name = format!("eth{}", id.0);
            let host = u8::try_from(router + 1).unwrap();
            let v4: IpNet = format!("10.1.{subnet}.{host}/24").parse().unwrap();
            let v6: IpNet = format!("2001:db8:{subnet}::{host}/64").parse().unwrap();
            let link = Link {
                id,
                name: name.clone(),
                mtu: 1500,
                bandwidth_mbps: None,
                addresses: vec![if self.version == Version::V2 { v4 } else { v6 }],
                link_local: Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, u16::from(subnet), u16::from(host))),
                loopback: false,
                borrowed: None,
            };
            self.links[*router].push(link);
            self.configs[*router].interfaces.push(InterfaceConfig::new(&name, AreaId(area), network));
            ends.push((*router, id));
        }
        self.wires.push(Wire { ends, cut: false });
        wire
    }

    pub(super) fn config(&mut self, router: usize, change: impl FnOnce(&mut InstanceConfig)) {
        change(&mut self.configs[router]);
    }

    pub(super) fn interface(
        &mut self,
        router: usize,
        index: usize,
        change: impl FnOnce(&mut InterfaceConfig, &mut Link),
    ) {
        change(&mut self.configs[router].interfaces[index], &mut self.links[router][index]);
    }

    pub(super) fn area(&mut self, router: usize, id: u32, change: impl FnOnce(&mut AreaConfig)) {
        let areas = &mut self.configs[router].areas;
        if !areas.iter().any(|area| area.id == AreaId(id)) {
            areas.push(AreaConfig::new(AreaId(id)));
        }
        change(areas.iter_mut().find(|area| area.id == AreaId(id)).unwrap());
    }

    pub(super) fn routers_wanted(&self) -> usize {
        self.configs.len()
    }

    /// Everybody starts now.
    pub(super) fn start(&mut self) {
        for router in 0..self.configs.len() {
            self.routers.push(Instance::new(self.now, self.configs[router].clone()));
        }
        for router in 0..self.configs.len() {
            self.links_up(router);
        }
    }

    fn links_up(&mut self, router: usize) {
        for link in self.links[router].clone() {
            self.tell(router, Input::InterfaceUp(link));
        }
    }

    /// A router stops without a word, and starts anew with nothing it knew.
    pub(super) fn reboot(&mut self, router: usize, change: impl FnOnce(&mut InstanceConfig)) {
        change(&mut self.configs[router]);
        self.routers[router] = Instance::new(self.now, self.configs[router].clone());
        self.dead[router] = false;
        self.routes[router].clear();
        self.flight.retain(|_, (to, _)| *to != router);
        self.links_up(router);
    }

    pub(super) fn kill(&mut self, router: usize) {
        self.dead[router] = true;
    }

    pub(super) fn reconfigure(&mut self, router: usize, change: impl FnOnce(&mut InstanceConfig)) {
        change(&mut self.configs[router]);
        let config = self.configs[router].clone();
        self.tell(router, Input::Config(Box::new(config)));
    }

    pub(super) fn carrier(&mut self, wire: usize, up: bool) {
        self.wires[wire].cut = !up;
        for (router, id) in self.wires[wire].ends.clone() {
            let link = self.links[router].iter().find(|link| link.id == id).unwrap().clone();
            self.tell(router, if up { Input::InterfaceUp(link) } else { Input::InterfaceDown(id) });
        }
    }

    pub(super) fn tell(&mut self, router: usize, input: Input) {
        if self.dead[router] {
            return;
        }
        let mut out = Outbox::default();
        self.routers[router].handle(self.now, input, &mut out);
        self.act(router, out);
    }

    /// Does what a router wants done.
    pub(super) fn act(&mut self, router: usize, out: Outbox) {
        for output in out.outputs {
            match output {
                Output::Send { interface, src, dst, ttl, bytes } => {
                    self.carry(router, interface, src, dst, ttl, &bytes);
                }
                Output::Alarm(alarm) => self.alarms.push((router, alarm)),
                Output::Event(event) => self.events.push((router, event)),
                Output::BfdWanted { session, .. } => self.bfd.push((router, session.is_some())),
                Output::Routes(batch) => {
                    for change in batch.changes {
                        match change.route {
                            Some(index) => {
                                self.routes[router].insert(change.prefix, batch.routes[index as usize].clone())
                            }
                            None => self.routes[router].remove(&change.prefix),
                        };
                    }
                }
            }
        }
    }

    fn carry(&mut self, router: usize, id: InterfaceId, src: IpAddr, dst: IpAddr, ttl: u8, bytes: &bytes::Bytes) {
        let kind = bytes[1];
        *self.packets.entry(kind).or_default() += 1;
        if self.loss.as_mut().is_some_and(|loss| loss(router, id, kind)) {
            return;
        }
        let Some(wire) = self.wires.iter().find(|wire| wire.ends.contains(&(router, id))) else { return };
        if wire.cut {
            return;
        }
        let mut arrivals = Vec::new();
        for (to, on) in wire.ends.clone() {
            let link = self.links[to].iter().find(|link| link.id == on).unwrap();
            let ours = dst.is_multicast()
                || link.addresses.iter().any(|net| net.addr() == dst)
                || link.link_local.map(IpAddr::V6) == Some(dst)
                || link.borrowed == Some(dst);
            if to != router && ours {
                arrivals.push((to, Input::Packet { interface: on, src, dst, ttl: Some(ttl), bytes: bytes.clone() }));
            }
        }
        for (to, input) in arrivals {
            if let Some(tap) = &mut self.tap {
                tap.push((to, input.clone()));
            }
            self.sent += 1;
            let more = self.jitter.as_mut().map_or(0, |(rng, most)| rng.u64(..*most * 1000));
            self.flight.insert((self.now + FLIGHT + Duration::from_micros(more), self.sent), (to, input));
        }
    }

    /// Time passes.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut last = (self.now, 0_u32);
        loop {
            let packet = self.flight.first_key_value().map(|((at, _), _)| *at);
            let timer = (0..self.routers.len())
                .filter(|router| !self.dead[*router])
                .filter_map(|router| Some((self.routers[router].deadline()?, router)))
                .min();
            let at = [packet, timer.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(at) = at.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            last = if last.0 == self.now { (self.now, last.1 + 1) } else { (self.now, 0) };
            assert!(last.1 < 100_000, "time stands still at {timer:?}");
            if packet == Some(at) {
                let (_, (to, input)) = self.flight.pop_first().unwrap();
                self.tell(to, input);
            } else if let Some((_, router)) = timer {
                self.tell(router, Input::Tick);
            }
        }
        self.now = end;
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    pub(super) fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    pub(super) fn neighbors(&self, router: usize) -> Vec<NeighborView> {
        let View::Neighbors(rows) = self.routers[router].view(self.now, Query::Neighbors) else { panic!("neighbors") };
        rows
    }

    pub(super) fn states(&self, router: usize) -> Vec<NeighborState> {
        self.neighbors(router).iter().map(|row| row.state).collect()
    }

    pub(super) fn summary(&self, router: usize) -> SummaryView {
        let View::Summary(row) = self.routers[router].view(self.now, Query::Summary) else { panic!("summary") };
        *row
    }

    pub(super) fn lsdb(&self, router: usize) -> Vec<LsaView> {
        let View::Lsdb(rows) = self.routers[router].view(self.now, Query::Lsdb { area: None, kind: None, adv: None })
        else {
            panic!("lsdb")
        };
        rows
    }

    pub(super) fn of_kind(&self, router: usize, kind: u16) -> Vec<LsaView> {
        self.lsdb(router).into_iter().filter(|row| row.header.key.kind == LsaType(kind)).collect()
    }

    /// Area and AS databases as they would be compared: without age.
    pub(super) fn contents(&self, router: usize) -> Vec<(Option<AreaId>, u16, u32, RouterId, i32, u16)> {
        self.lsdb(router)
            .iter()
            .filter(|row| row.interface.is_none())
            .map(|row| {
                let key = row.header.key;
                (row.area, key.kind.0, key.id, key.adv, row.header.seq.0, row.header.checksum)
            })
            .collect()
    }

    /// Next hops of `router` towards `prefix`, and the metric.
    pub(super) fn way(&self, router: usize, prefix: &str) -> Option<(Vec<String>, u32)> {
        let route = self.routes[router].get(&prefix.parse().unwrap())?;
        let hops = route.next_hops.legs().iter().map(|leg| match leg.next_hop {
            rib::NextHop::Gateway { addr, .. } => addr.to_string(),
            other => format!("{other:?}"),
        });
        Some((hops.collect(), route.metric.0))
    }

    /// All have the same.
    pub(super) fn expect_equal(&self) {
        for router in 1..self.routers.len() {
            assert_eq!(self.contents(0), self.contents(router), "router 0 and {router}");
        }
    }

    pub(super) fn expect_full(&self, counts: &[usize]) {
        for (router, count) in counts.iter().enumerate() {
            let full = self.states(router).iter().filter(|state| **state == NeighborState::Full).count();
            assert_eq!(full, *count, "router {router}: {:?}", self.neighbors(router));
        }
    }
}

pub(super) fn id(number: u8) -> RouterId {
    RouterId(Ipv4Addr::new(10, 0, 0, number).into())
}
