//! Random networks, by seed: areas around a backbone, cables, switches and clouds, what is brought in, services, and metrics
//! that leave many ways of equal cost.

use std::collections::BTreeMap;
use std::time::Duration;

use ospfd::config::{AreaKind, NetworkType};
use ospfd::message::{ExternalRoute, ServiceRoute};
use ospfd::{AreaId, InterfaceId, RouterId, Version};

use super::plan::{Area, End, LOOPBACK, Plan, Router, Wire};

/// The network of a seed: mostly small, sometimes large; of one area, or of up to five.
#[must_use]
pub fn random_plan(seed: u64, areas: bool) -> Plan {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x6F73_7066);
    let routers = match rng.u8(0..100) {
        0..=1 => rng.usize(60..=120),
        2..=9 => rng.usize(20..=50),
        _ => rng.usize(2..=14),
    };
    random_plan_of(&mut rng, routers, areas)
}

/// A random network of so many routers.
#[must_use]
pub fn random_plan_of(rng: &mut fastrand::Rng, routers: usize, areas: bool) -> Plan {
    let version = if rng.bool() { Version::V2 } else { Version::V3 };
    let mut ids: Vec<u32> = (1..=u32::try_from(routers).expect("not many")).collect();
    rng.shuffle(&mut ids);
    let router = |id: &u32| Router {
        id: RouterId(0xC0A8_0000 + id),
        home: AreaId::BACKBONE,
        alive: true,
        lives: 0,
        drained: false,
        externals: BTreeMap::new(),
        services: BTreeMap::new(),
        virtual_links: Vec::new(),
    };
    let plan = Plan {
        version,
        routers: ids.iter().map(router).collect(),
        wires: Vec::new(),
        areas: BTreeMap::from([(AreaId::BACKBONE, Area::default())]),
    };
    let mut builder = Builder { rng, plan, several: areas, interfaces: vec![LOOPBACK.0; routers] };
    for (area, members) in builder.areas() {
        builder.connect(area, &members);
    }
    builder.stubs();
    builder.services();
    builder.outside();
    builder.plan
}

struct Builder<'a> {
    rng: &'a mut fastrand::Rng,
    plan: Plan,
    /// There may be areas beside the backbone.
    several: bool,
    /// The last interface of each router.
    interfaces: Vec<u32>,
}

impl Builder<'_> {
    /// Who is in which area. Border routers have their own address in the backbone.
    fn areas(&mut self) -> Vec<(AreaId, Vec<usize>)> {
        let count = self.plan.routers.len();
        let more = if !self.several || count < 3 || self.rng.u8(0..10) < 4 {
            0
        } else {
            self.rng.usize(1..=(count / 3).min(4))
        };
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); more + 1];
        for router in 0..count {
            // The first is in the backbone, so that there is one.
            let area = if router == 0 { 0 } else { self.rng.usize(0..=more) };
            members[area].push(router);
            self.plan.routers[router].home = AreaId(u32::try_from(area).expect("few areas"));
        }
        let backbone = members[0].clone();
        for (number, held) in members.iter_mut().enumerate().skip(1) {
            let mut borders = backbone.clone();
            self.rng.shuffle(&mut borders);
            borders.truncate(self.rng.usize(1..=3));
            // Border routers come first: they are connected to somebody even if nobody else is there.
            held.splice(0..0, borders);
            let area = self.area();
            self.plan.areas.insert(AreaId(u32::try_from(number).expect("few areas")), area);
        }
        members.into_iter().zip(0..).map(|(members, area)| (AreaId(area), members)).collect()
    }

    fn area(&mut self) -> Area {
        let kind = match self.rng.u8(0..10) {
            0 | 1 => AreaKind::Stub,
            2 | 3 => AreaKind::Nssa,
            _ => AreaKind::Normal,
        };
        let no_summary = kind != AreaKind::Normal && self.rng.bool();
        Area { kind, no_summary, default_cost: self.rng.u32(1..30), range: None }
    }

    /// Everybody in an area is connected, by cables and more.
    fn connect(&mut self, area: AreaId, members: &[usize]) {
        let mut open = members.to_vec();
        if open.is_empty() {
            return;
        }
        let mut done = vec![open.remove(0)];
        self.rng.shuffle(&mut open);
        while !open.is_empty() {
            let anchor = done[self.rng.usize(0..done.len())];
            let (network, most) = self.network();
            let take = self.rng.usize(1..=most.min(open.len()));
            let mut on = vec![anchor];
            on.extend(open.drain(..take));
            done.extend(&on[1..]);
            // Somebody who is there already may be on it too, so that there are circles.
            if network != NetworkType::PointToPoint && self.rng.bool() {
                let other = done[self.rng.usize(0..done.len())];
                if !on.contains(&other) {
                    on.push(other);
                }
            }
            self.wire(area, network, &on);
        }
        if members.len() < 2 {
            return;
        }
        for _ in 0..self.rng.usize(0..=members.len()) {
            let (a, b) = (members[self.rng.usize(0..members.len())], members[self.rng.usize(0..members.len())]);
            if a != b {
                let network = if self.rng.u8(0..4) == 0 { self.network().0 } else { NetworkType::PointToPoint };
                self.wire(area, network, &[a, b]);
            }
        }
    }

    /// A kind of wire, and how many more routers may be on it.
    fn network(&mut self) -> (NetworkType, usize) {
        match self.rng.u8(0..20) {
            0..=9 => (NetworkType::PointToPoint, 1),
            10..=15 => (NetworkType::Broadcast, 4),
            16 | 17 => (NetworkType::Nbma, 3),
            _ => (NetworkType::PointToMultipoint, 3),
        }
    }

    fn wire(&mut self, area: AreaId, network: NetworkType, routers: &[usize]) {
        let number = self.plan.wires.iter().filter(|wire| wire.area == area).count();
        let unnumbered = network == NetworkType::PointToPoint && self.rng.u8(0..6) == 0;
        let lossy = self.rng.u8(0..8) == 0;
        let ends = routers.iter().map(|router| self.end(*router)).collect();
        self.plan.wires.push(Wire {
            area,
            network,
            number: u32::try_from(number).expect("few wires"),
            unnumbered,
            ends,
            delay: Duration::from_micros(self.rng.u64(50..3_000)),
            jitter: Duration::from_micros(if self.rng.bool() { 0 } else { self.rng.u64(1..3_000) }),
            loss: if lossy { self.rng.u8(1..8) } else { 0 },
            twice: if self.rng.u8(0..8) == 0 { self.rng.u8(1..20) } else { 0 },
        });
    }

    fn end(&mut self, router: usize) -> End {
        self.interfaces[router] += 1;
        End {
            router,
            id: InterfaceId(self.interfaces[router]),
            cost: self.cost(),
            priority: if self.rng.u8(0..6) == 0 { 0 } else { self.rng.u8(1..4) },
            passive: false,
            carrier: true,
            part: 0,
        }
    }

    /// Mostly the same, so that many ways cost the same.
    fn cost(&mut self) -> u16 {
        random_cost(self.rng)
    }

    /// Networks with one router, that says nothing there or finds nobody.
    fn stubs(&mut self) {
        for router in 0..self.plan.routers.len() {
            if self.rng.u8(0..5) == 0 {
                let network = if self.rng.bool() { NetworkType::Broadcast } else { NetworkType::PointToPoint };
                let area = self.plan.routers[router].home;
                self.wire(area, network, &[router]);
                let wire = self.plan.wires.last_mut().expect("just made");
                wire.unnumbered = false;
                wire.ends[0].passive = self.rng.bool();
            }
        }
    }

    /// Services that live at several routers of one area.
    fn services(&mut self) {
        for number in 1..=self.rng.u8(0..4) {
            let area = self.plan.routers[self.rng.usize(0..self.plan.routers.len())].home;
            let mut routers = self.inner(area);
            self.rng.shuffle(&mut routers);
            routers.truncate(self.rng.usize(1..=3));
            let prefix = Plan::service(self.plan.version, number);
            for router in routers {
                let metric = self.cost();
                self.plan.routers[router].services.insert(prefix, ServiceRoute::Stub { metric });
            }
        }
    }

    /// Routers that are in an area and no other.
    fn inner(&self, area: AreaId) -> Vec<usize> {
        let only = |router: usize| {
            self.plan.routers[router].home == area
                && self.plan.ends_of(router).all(|(wire, _)| self.plan.wires[wire].area == area)
        };
        (0..self.plan.routers.len()).filter(|router| only(*router)).collect()
    }

    /// What is brought in: from an NSSA by one router, otherwise by some.
    fn outside(&mut self) {
        for number in 0..self.rng.u8(0..6) {
            let prefix = Plan::outside(self.plan.version, number);
            let first = self.rng.usize(0..self.plan.routers.len());
            let nssa = |held: &Self, router: usize| {
                let wires = held.plan.ends_of(router).map(|(wire, _)| held.plan.wires[wire].area);
                wires.chain([held.plan.routers[router].home]).any(|area| held.plan.areas[&area].kind == AreaKind::Nssa)
            };
            let mut origins = vec![first];
            if !nssa(self, first) {
                for _ in 0..self.rng.usize(0..3) {
                    let more = self.rng.usize(0..self.plan.routers.len());
                    if !nssa(self, more) && !origins.contains(&more) {
                        origins.push(more);
                    }
                }
            }
            for router in origins {
                let route = random_external(self.rng);
                if self.rng.u8(0..4) == 0 {
                    self.plan.routers[router].services.insert(prefix, ServiceRoute::External(route));
                } else {
                    self.plan.routers[router].externals.insert(prefix, route);
                }
            }
        }
    }
}

/// Mostly the same, so that many ways cost the same.
pub fn random_cost(rng: &mut fastrand::Rng) -> u16 {
    match rng.u8(0..10) {
        0..=5 => 10,
        6 | 7 => 5,
        8 => 20,
        _ => rng.u16(1..60),
    }
}

/// What somebody might bring in.
pub fn random_external(rng: &mut fastrand::Rng) -> ExternalRoute {
    let metric = if rng.bool() { 20 } else { rng.u32(1..100) };
    ExternalRoute { metric, type2: rng.bool(), tag: 0, forwarding: None }
}
