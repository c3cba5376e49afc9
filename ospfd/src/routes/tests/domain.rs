//! A domain that changes at random, as our database has it: what routers should say, what of it has arrived, and our own links.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use ipnet::{IpNet, Ipv6Net};

use super::oracle::{Lsas, Snapshot};
use crate::config::{AreaConfig, AreaKind, AreaRange};
use crate::id::{AreaId, InterfaceId, LsaKey, LsaType, RouterId, SequenceNumber, Version};
use crate::lsa::{
    AsbrSummaryLsa, ExternalLsa, IntraAreaPrefixLsa, LinkKind, LinkLsa, Lsa, LsaBody, LsaHeader, LsaPrefix, NetworkLsa,
    PREFIX_P, RouterFlags, RouterLink, RouterLsa, SummaryLsa,
};
use crate::lsdb::{Home, Slot};
use crate::packet::{OPTION_N, OPTION_R, OPTION_V6};
use crate::routes::{Routes, Surroundings};
use crate::spf::OwnLink;

const ROOT: u8 = 1;

/// A wire between routers: two ends, or a network with a Designated Router, its first end.
#[derive(Clone)]
struct Wire {
    number: u8,
    area: u32,
    kind: LinkKind,
    ends: Vec<u8>,
    costs: Vec<u16>,
    up: bool,
    /// Whom we hear on it, if we are on it.
    heard: BTreeSet<u8>,
    /// v3: who has a link-LSA on it.
    told: BTreeSet<u8>,
}

#[derive(Clone, Default)]
struct Speaker {
    flags: RouterFlags,
    forwards: bool,
    silent: bool,
    stubs: BTreeMap<u8, u16>,
}

type Name = (Home, LsaKey);

pub(super) struct Domain {
    version: Version,
    rng: fastrand::Rng,
    areas: BTreeMap<AreaId, AreaConfig>,
    /// Areas we are in now.
    attached: BTreeSet<AreaId>,
    speakers: BTreeMap<(u32, u8), Speaker>,
    wires: Vec<Wire>,
    /// Summaries, boundary routers, externals: as they are.
    more: BTreeMap<Name, (u8, LsaBody)>,
    held: BTreeMap<Name, (u32, u8, LsaBody)>,
    slots: u32,
    free: Vec<u32>,
}

fn router(number: u8) -> RouterId {
    RouterId(0x0a00_0000 + u32::from(number))
}

impl Domain {
    pub(super) fn new(version: Version, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let ids: &[u32] = rng.choice([&[0][..], &[1], &[0, 1], &[0, 1, 2], &[1, 2]]).unwrap();
        let mut domain = Self {
            version,
            areas: BTreeMap::new(),
            attached: ids.iter().map(|id| AreaId(*id)).collect(),
            speakers: BTreeMap::new(),
            wires: Vec::new(),
            more: BTreeMap::new(),
            held: BTreeMap::new(),
            slots: 0,
            free: Vec::new(),
            rng,
        };
        for id in ids {
            domain.add_area(*id);
        }
        for _ in 0..domain.rng.usize(..40) {
            domain.change_more();
        }
        domain
    }

    pub(super) fn root(&self) -> RouterId {
        router(ROOT)
    }

    fn add_area(&mut self, id: u32) {
        let mut config = AreaConfig::new(AreaId(id));
        if id != 0 {
            config.kind =
                self.rng.choice([AreaKind::Normal, AreaKind::Normal, AreaKind::Stub, AreaKind::Nssa]).unwrap();
            config.no_summary = self.rng.u8(..4) == 0;
            if config.kind == AreaKind::Normal && self.rng.bool() {
                config.virtual_links.push(router(2));
            }
        }
        if self.rng.u8(..3) == 0 {
            let number = self.rng.u8(..4) * 4 + 16 * u8::try_from(id).unwrap();
            let prefix = self.prefix(number);
            let wide = IpNet::new(prefix.addr(), prefix.prefix_len() - 2).unwrap().trunc();
            let cost = self.rng.bool().then_some(7);
            config.ranges.push(AreaRange { prefix: wide, advertise: self.rng.u8(..4) > 0, cost });
        }
        self.areas.insert(AreaId(id), config);
        let count = self.rng.u8(2..12);
        for number in 1..=count {
            if number != ROOT && self.rng.u8(..8) == 0 {
                continue;
            }
            let speaker = Speaker { forwards: true, ..Speaker::default() };
            self.speakers.insert((id, number), speaker);
            for _ in 0..2 {
                self.change_speaker(id, number);
            }
        }
        for _ in 0..self.rng.usize(1..usize::from(count) * 2) {
            self.add_wire(id, count);
        }
    }

    fn add_wire(&mut self, area: u32, count: u8) {
        let number = u8::try_from(self.wires.len()).unwrap();
        let lan = self.rng.u8(..3) == 0;
        let kind = if lan {
            LinkKind::Transit
        } else if area == 0 && self.rng.u8(..6) == 0 {
            LinkKind::Virtual
        } else {
            LinkKind::PointToPoint
        };
        let mut ends: Vec<u8> = (1..=count).collect();
        self.rng.shuffle(&mut ends);
        ends.truncate(if lan { self.rng.usize(2..6) } else { 2 });
        if kind == LinkKind::Virtual {
            ends = vec![1, 2];
        }
        // Now and then for nothing, which no configuration allows.
        let least = u16::from(self.rng.u8(..50) > 0);
        let costs = ends.iter().map(|_| self.rng.u16(least..4)).collect();
        let heard = ends.iter().copied().filter(|_| self.rng.u8(..8) > 0).collect();
        let told = ends.iter().copied().filter(|_| self.rng.u8(..4) > 0).collect();
        self.wires.push(Wire { number, area, kind, ends, costs, up: true, heard, told });
    }

    /// One of the prefixes there are.
    fn prefix(&self, number: u8) -> IpNet {
        match self.version {
            Version::V2 => format!("172.16.{number}.0/24").parse().unwrap(),
            Version::V3 => format!("2001:db8:0:{number:x}::/64").parse().unwrap(),
        }
    }

    fn random_prefix(&mut self) -> IpNet {
        let number = self.rng.u8(..48);
        self.prefix(number)
    }

    /// Something happens.
    pub(super) fn change(&mut self) {
        for _ in 0..self.rng.usize(1..4) {
            match self.rng.u8(..20) {
                0..8 => self.change_wire(),
                8..12 => {
                    let keys: Vec<_> = self.speakers.keys().copied().collect();
                    let (area, number) = self.rng.choice(keys).unwrap();
                    self.change_speaker(area, number);
                }
                12..18 => self.change_more(),
                18 => {
                    let area = self.rng.choice(self.areas.keys().copied().collect::<Vec<_>>()).unwrap();
                    if !self.attached.remove(&area) || self.attached.is_empty() {
                        self.attached.insert(area);
                    }
                }
                _ => {
                    let area = self.rng.choice(self.areas.keys().copied().collect::<Vec<_>>()).unwrap();
                    let config = self.areas.get_mut(&area).unwrap();
                    config.default_cost += 1;
                    config.no_summary ^= true;
                }
            }
        }
    }

    fn change_wire(&mut self) {
        let at = self.rng.usize(..self.wires.len());
        let wire = &mut self.wires[at];
        let end = self.rng.usize(..wire.ends.len());
        let who = wire.ends[end];
        match self.rng.u8(..8) {
            0..3 => wire.up ^= true,
            3..5 => wire.costs[end] = self.rng.u16(1..4),
            5 if wire.kind == LinkKind::Transit => wire.ends.rotate_left(1), // another Designated Router
            6 => _ = wire.heard.remove(&who) || wire.heard.insert(who),
            _ => _ = wire.told.remove(&who) || wire.told.insert(who),
        }
    }

    fn change_speaker(&mut self, area: u32, number: u8) {
        let stub = if self.rng.u8(..4) == 0 { self.rng.u8(..48) } else { 16 * u8::try_from(area).unwrap() + number };
        let Some(speaker) = self.speakers.get_mut(&(area, number)) else { return };
        match self.rng.u8(..12) {
            0..2 => speaker.flags.border ^= true,
            2..4 => speaker.flags.external ^= true,
            4 => speaker.flags.virtual_link ^= true,
            5 => speaker.forwards ^= true,
            6 => speaker.silent ^= true,
            _ => {
                if speaker.stubs.remove(&stub).is_none() {
                    speaker.stubs.insert(stub, self.rng.u16(..4));
                }
            }
        }
    }

    /// A summary, a word on a boundary router or an external comes, changes or goes.
    fn change_more(&mut self) {
        let v2 = self.version == Version::V2;
        let kind = |v2_kind: u16, v3_kind: u16| LsaType(if v2 { v2_kind } else { v3_kind });
        let adv = router(self.rng.u8(1..9));
        let areas: Vec<AreaId> = self.areas.keys().copied().collect();
        let area = self.rng.choice(areas).unwrap();
        let metric = self.rng.u32(1..5);
        let id = self.rng.u32(..6);
        let (home, kind, options, body) = match self.rng.u8(..10) {
            0..4 => {
                let body = SummaryLsa { prefix: self.random_prefix(), prefix_options: 0, metric };
                (Home::Area(area), kind(3, 0x2003), 0, LsaBody::Summary(body))
            }
            4 => {
                let body = AsbrSummaryLsa { router: router(self.rng.u8(1..12)), options: 0, metric };
                (Home::Area(area), kind(4, 0x2004), 0, LsaBody::AsbrSummary(body))
            }
            which => {
                let nssa = which == 9;
                let forwarding = (self.rng.u8(..3) == 0).then(|| {
                    let net = self.random_prefix();
                    match net.addr() {
                        IpAddr::V4(addr) => IpAddr::V4(Ipv4Addr::from(u32::from(addr) + 9)),
                        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from(u128::from(addr) + 9)),
                    }
                });
                let default = if v2 { "0.0.0.0/0" } else { "::/0" }.parse().unwrap();
                let prefix = if self.rng.u8(..8) == 0 { default } else { self.random_prefix() };
                let propagates = nssa && self.rng.bool();
                let body = ExternalLsa {
                    prefix,
                    prefix_options: if propagates && !v2 { PREFIX_P } else { 0 },
                    type2: self.rng.bool(),
                    metric,
                    forwarding,
                    tag: self.rng.u32(..3),
                    referenced: None,
                };
                let options = if propagates && v2 { u8::try_from(OPTION_N).unwrap() } else { 0 };
                let (home, kind) = if nssa { (Home::Area(area), kind(7, 0x2007)) } else { (Home::As, kind(5, 0x4005)) };
                (home, kind, options, LsaBody::External(body))
            }
        };
        let name = (home, LsaKey { kind, id, adv });
        if self.more.remove(&name).is_none() || self.rng.bool() {
            self.more.insert(name, (options, body));
        }
    }

    /// What all routers say.
    fn said(&self) -> BTreeMap<Name, (u8, LsaBody)> {
        let mut said = self.more.clone();
        let v2 = self.version == Version::V2;
        for ((area, number), speaker) in &self.speakers {
            if speaker.silent && *number != ROOT {
                continue;
            }
            let home = Home::Area(AreaId(*area));
            let adv = router(*number);
            let mut links: Vec<RouterLink> = Vec::new();
            for wire in self.wires.iter().filter(|wire| wire.area == *area && wire.up) {
                self.link(wire, *number, &mut links);
                if wire.kind == LinkKind::Transit && wire.ends.first() == Some(number) {
                    self.network(wire, home, &mut said);
                }
            }
            if v2 {
                links.extend(speaker.stubs.iter().map(|(stub, metric)| RouterLink {
                    kind: LinkKind::Stub,
                    id: 0xac10_0000 + u32::from(*stub) * 256,
                    data: 0xffff_ff00,
                    neighbor_interface: 0,
                    metric: *metric,
                }));
            }
            let options = if speaker.forwards { OPTION_R | OPTION_V6 } else { OPTION_V6 };
            let kind = LsaType(if v2 { 1 } else { 0x2001 });
            let key = LsaKey { kind, id: if v2 { adv.0 } else { 0 }, adv };
            let first = links.len() / 2;
            let parts: Vec<Vec<RouterLink>> = if v2 { vec![links] } else { vec![links.split_off(first), links] }; // v3: in two parts
            for (part, links) in (0..).zip(parts) {
                let body = RouterLsa { flags: speaker.flags, options, links };
                said.insert((home, LsaKey { id: key.id + part, ..key }), (0, LsaBody::Router(body)));
            }
            if !v2 && !speaker.stubs.is_empty() {
                let prefixes = speaker.stubs.iter().map(|(stub, metric)| self.v3_prefix(*stub, *metric)).collect();
                let body = IntraAreaPrefixLsa { referenced: key, prefixes };
                said.insert((home, LsaKey { kind: LsaType(0x2009), id: 7, adv }), (0, LsaBody::IntraAreaPrefix(body)));
            }
        }
        if !v2 {
            for wire in self.own_wires().filter(|wire| wire.up) {
                for end in wire.ends.iter().filter(|end| wire.told.contains(end) && **end != ROOT) {
                    let adv = router(*end);
                    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, u16::from(wire.number), u16::from(*end));
                    let body = LinkLsa { priority: 1, options: 0, link_local, prefixes: Vec::new() };
                    let key = LsaKey { kind: LsaType(8), id: 1, adv };
                    said.insert((Home::Link(InterfaceId(wire.number.into())), key), (0, LsaBody::Link(body)));
                }
            }
        }
        said
    }

    fn v3_prefix(&self, number: u8, metric: u16) -> LsaPrefix {
        let IpNet::V6(prefix) = self.prefix(number) else { panic!("v3") };
        LsaPrefix { prefix, options: 0, metric }
    }

    fn data(&self, wire: &Wire, end: u8) -> u32 {
        match self.version {
            Version::V2 => 0x0a01_0000 + u32::from(wire.number) * 256 + u32::from(end),
            Version::V3 => wire.number.into(),
        }
    }

    /// The links of a router to a wire.
    fn link(&self, wire: &Wire, number: u8, links: &mut Vec<RouterLink>) {
        let v2 = self.version == Version::V2;
        let Some(at) = wire.ends.iter().position(|end| *end == number) else { return };
        let dr = wire.ends[0];
        let id = match wire.kind {
            LinkKind::Transit if v2 => self.data(wire, dr),
            LinkKind::Transit => router(dr).0,
            _ => router(wire.ends[1 - at.min(1)]).0,
        };
        links.push(RouterLink {
            kind: wire.kind,
            id,
            data: self.data(wire, number),
            neighbor_interface: if v2 { 0 } else { wire.number.into() },
            metric: wire.costs[at],
        });
    }

    fn network(&self, wire: &Wire, home: Home, said: &mut BTreeMap<Name, (u8, LsaBody)>) {
        let dr = wire.ends[0];
        let adv = router(dr);
        let attached = wire.ends.iter().map(|end| router(*end)).collect();
        let (kind, id, mask_len) = match self.version {
            Version::V2 => (2, self.data(wire, dr), Some(24)),
            Version::V3 => (0x2002, wire.number.into(), None),
        };
        let key = LsaKey { kind: LsaType(kind), id, adv };
        said.insert((home, key), (0, LsaBody::Network(NetworkLsa { mask_len, options: 0, attached })));
        if self.version == Version::V3 {
            let prefix: Ipv6Net = format!("2001:db8:1:{:x}::/64", wire.number).parse().unwrap();
            let prefixes = vec![LsaPrefix { prefix, options: 0, metric: 0 }];
            let body = IntraAreaPrefixLsa { referenced: key, prefixes };
            let key = LsaKey { kind: LsaType(0x2009), id: 100 + u32::from(wire.number), adv };
            said.insert((home, key), (0, LsaBody::IntraAreaPrefix(body)));
        }
    }

    fn own_wires(&self) -> impl Iterator<Item = &Wire> {
        self.wires.iter().filter(|wire| wire.ends.contains(&ROOT))
    }

    /// LSAs arrive, most of them.
    pub(super) fn tell(&mut self, routes: &mut Routes) {
        let said = self.said();
        let mut names: Vec<Name> = self.held.keys().chain(said.keys()).copied().collect();
        names.sort_unstable();
        names.dedup();
        self.rng.shuffle(&mut names);
        for (home, key) in names {
            let held = self.held.get(&(home, key)).map(|(slot, options, body)| (*slot, (*options, body.clone())));
            let now = said.get(&(home, key));
            if held.as_ref().map(|(_, said)| said) == now || self.rng.u8(..6) == 0 {
                continue;
            }
            match (now, held) {
                (Some((options, body)), held) => {
                    let slot = held.map(|(slot, _)| slot).or_else(|| self.free.pop()).unwrap_or_else(|| {
                        self.slots += 1;
                        self.slots - 1
                    });
                    let lsa = Lsa { header: header(key, *options), body: body.clone(), raw: Bytes::new() };
                    routes.learn(Slot(slot), home, &lsa);
                    self.held.insert((home, key), (slot, *options, body.clone()));
                }
                (None, Some((slot, _))) => {
                    routes.forget(Slot(slot));
                    self.held.remove(&(home, key));
                    self.free.push(slot);
                }
                (None, None) => {}
            }
        }
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        let own = self.own_wires().filter(|wire| wire.up && self.attached.contains(&AreaId(wire.area)));
        let links = own.map(|wire| {
            let others = wire.ends.iter().filter(|end| **end != ROOT && wire.heard.contains(end));
            let address = |end: u8| match self.version {
                Version::V2 => IpAddr::V4(Ipv4Addr::from(self.data(wire, end))),
                Version::V3 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 1, u16::from(wire.number), u16::from(end))),
            };
            OwnLink {
                interface: InterfaceId(wire.number.into()),
                area: AreaId(wire.area),
                data: self.data(wire, ROOT),
                virtual_to: (wire.kind == LinkKind::Virtual).then(|| router(2)),
                nets: vec![self.prefix(wire.number)],
                neighbors: others.map(|end| (router(*end), address(*end))).collect(),
            }
        });
        let areas = self.attached.iter().map(|area| (*area, self.areas[area].clone()));
        Surroundings { links: links.collect(), areas: areas.collect() }
    }

    /// The same for the plain calculation.
    pub(super) fn snapshot(&self) -> Snapshot {
        let Surroundings { links, areas } = self.surroundings();
        let of = |home: Home| {
            let held = self.held.iter().filter(move |((at, _), _)| *at == home);
            Lsas(held.map(|((_, key), (_, options, body))| (header(*key, *options), body.clone())).collect())
        };
        let link_locals = self.held.iter().filter_map(|((home, key), (.., body))| match (home, body) {
            (Home::Link(id), LsaBody::Link(link)) => Some(((*id, key.adv), IpAddr::V6(link.link_local))),
            _ => None,
        });
        Snapshot {
            version: self.version,
            router: self.root(),
            links,
            areas: areas.into_iter().map(|(area, config)| (area, (config, of(Home::Area(area))))).collect(),
            externals: of(Home::As),
            link_locals: link_locals.collect(),
        }
    }
}

fn header(key: LsaKey, options: u8) -> LsaHeader {
    LsaHeader { age: 0, options, key, seq: SequenceNumber::INITIAL, checksum: 0, length: 0 }
}
