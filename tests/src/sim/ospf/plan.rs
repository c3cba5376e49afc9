//! What a network is configured to be. The instances get it as their configuration, the oracle reads it as it is; the two
//! have nothing else in common.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ospfd::config::{
    AreaConfig, AreaKind, AreaRange, GracefulRestart, InstanceConfig, InterfaceConfig, MaxMetric, NetworkType,
};
use ospfd::message::{ExternalRoute, Link, ServiceRoute};
use ospfd::{AreaId, InterfaceId, RouterId, Version};

/// The interface of every router that has its own address.
pub const LOOPBACK: InterfaceId = InterfaceId(1);

/// Hellos and silence: as routers have them by default.
pub const DEAD: Duration = Duration::from_secs(40);

/// A whole network.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which protocol it speaks.
    pub version: Version,
    /// The routers.
    pub routers: Vec<Router>,
    /// What is between them.
    pub wires: Vec<Wire>,
    /// What areas are, the same for all their routers.
    pub areas: BTreeMap<AreaId, Area>,
}

/// A router.
#[derive(Clone, Debug)]
pub struct Router {
    /// Its identity.
    pub id: RouterId,
    /// The area that its own address is in.
    pub home: AreaId,
    /// It runs.
    pub alive: bool,
    /// How often it was started.
    pub lives: u32,
    /// It asks others to route around it.
    pub drained: bool,
    /// What it brings in from outside.
    pub externals: BTreeMap<IpNet, ExternalRoute>,
    /// Services that live at it.
    pub services: BTreeMap<IpNet, ServiceRoute>,
    /// Virtual links: the transit area, and who is at the far end.
    pub virtual_links: Vec<(AreaId, usize)>,
}

/// An area.
#[derive(Clone, Debug, Default)]
pub struct Area {
    /// What it takes from outside.
    pub kind: AreaKind,
    /// Totally stubby.
    pub no_summary: bool,
    /// Metric of the default route that border routers say into it.
    pub default_cost: u32,
    /// What border routers say instead of its parts.
    pub range: Option<AreaRange>,
}

/// A cable, a switch, or a cloud.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The area it is in.
    pub area: AreaId,
    /// What it is.
    pub network: NetworkType,
    /// Its number among the wires of its area, which its addresses follow from.
    pub number: u32,
    /// Without addresses of its own.
    pub unnumbered: bool,
    /// Who is on it.
    pub ends: Vec<End>,
    /// Time a packet takes.
    pub delay: Duration,
    /// Up to so much more, drawn per packet: packets overtake each other.
    pub jitter: Duration,
    /// Of a hundred packets so many are lost.
    pub loss: u8,
    /// Of a hundred packets so many come twice.
    pub twice: u8,
}

/// A router on a wire.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The router.
    pub router: usize,
    /// Its interface there.
    pub id: InterfaceId,
    /// Cost of sending over it.
    pub cost: u16,
    /// Its priority.
    pub priority: u8,
    /// It tells the network, and says nothing on it.
    pub passive: bool,
    /// It has carrier.
    pub carrier: bool,
    /// Only who is in the same part hears it.
    pub part: u8,
}

impl Plan {
    /// Of a router, with its own address as a host route.
    #[must_use]
    pub fn loopback(&self, router: usize) -> IpAddr {
        let id = self.routers[router].id.0;
        match self.version {
            Version::V2 => Ipv4Addr::from(id).into(),
            Version::V3 => {
                let [.., high, low] = id.to_be_bytes();
                Ipv6Addr::new(0x2001, 0xdb8, 0xf000, u16::from_be_bytes([high, low]), 0, 0, 0, 1).into()
            }
        }
    }

    /// The network of a wire.
    #[must_use]
    pub fn subnet(&self, wire: usize) -> IpNet {
        let held = &self.wires[wire];
        let area = u8::try_from(held.area.0).expect("areas have small numbers");
        let [.., high, low] = held.number.to_be_bytes();
        assert!(high < 8, "an area has room for 2048 wires");
        match self.version {
            Version::V2 => Ipv4Net::new_assert(Ipv4Addr::new(10, area * 8 + high, low, 0), 24).into(),
            Version::V3 => {
                let number = u16::from(area) << 12 | u16::from(high) << 8 | u16::from(low);
                Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0), 64).into()
            }
        }
    }

    /// A prefix that covers all wires of an area.
    #[must_use]
    pub fn cover(version: Version, area: AreaId) -> IpNet {
        let number = u8::try_from(area.0).expect("areas have small numbers");
        match version {
            Version::V2 => Ipv4Net::new_assert(Ipv4Addr::new(10, number * 8, 0, 0), 13).into(),
            Version::V3 => {
                let bits = u16::from(number) << 12;
                Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, bits, 0, 0, 0, 0, 0), 36).into()
            }
        }
    }

    /// A prefix from outside.
    #[must_use]
    pub fn outside(version: Version, number: u8) -> IpNet {
        match version {
            Version::V2 => Ipv4Net::new_assert(Ipv4Addr::new(172, 16, number, 0), 24).into(),
            Version::V3 => {
                Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0xe000, number.into(), 0, 0, 0, 0), 64).into()
            }
        }
    }

    /// The address of a service.
    #[must_use]
    pub fn service(version: Version, number: u8) -> IpNet {
        match version {
            Version::V2 => IpNet::from(IpAddr::from(Ipv4Addr::new(192, 0, 2, number))),
            Version::V3 => IpNet::from(IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0xf100, 0, 0, 0, 0, number.into()))),
        }
    }

    /// The address of an end with the length of its prefix; none on unnumbered wires.
    #[must_use]
    pub fn address(&self, wire: usize, end: usize) -> Option<IpNet> {
        if self.wires[wire].unnumbered {
            return None;
        }
        let host = u8::try_from(end + 1).expect("few routers are on one wire");
        let subnet = self.subnet(wire);
        let address: IpAddr = match subnet.addr() {
            IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + u32::from(host)).into(),
            IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) + u128::from(host)).into(),
        };
        Some(IpNet::new(address, subnet.prefix_len()).expect("of the same family"))
    }

    /// What an end is spoken to by on its wire.
    #[must_use]
    pub fn speaker(&self, wire: usize, end: usize) -> IpAddr {
        let router = self.wires[wire].ends[end].router;
        match self.version {
            Version::V2 => self.address(wire, end).map_or_else(|| self.loopback(router), |net| net.addr()),
            Version::V3 => link_local(wire, end).into(),
        }
    }

    /// The ends of a router: wire and place on it.
    pub fn ends_of(&self, router: usize) -> impl Iterator<Item = (usize, usize)> {
        self.wires.iter().enumerate().flat_map(move |(wire, held)| {
            held.ends.iter().enumerate().filter(move |(_, end)| end.router == router).map(move |(end, _)| (wire, end))
        })
    }

    /// What a router's kernel says of an end.
    #[must_use]
    pub fn link(&self, wire: usize, end: usize) -> Link {
        let held = self.wires[wire].ends[end];
        Link {
            id: held.id,
            name: format!("eth{}", held.id.0),
            mtu: 1500,
            bandwidth_mbps: None,
            addresses: self.address(wire, end).into_iter().collect(),
            link_local: (self.version == Version::V3).then(|| link_local(wire, end)),
            loopback: false,
            borrowed: (self.version == Version::V2 && self.wires[wire].unnumbered).then(|| self.loopback(held.router)),
        }
    }

    /// What a router's kernel says of its loopback.
    #[must_use]
    pub fn loopback_link(&self, router: usize) -> Link {
        Link {
            id: LOOPBACK,
            name: "lo".to_owned(),
            mtu: 65535,
            bandwidth_mbps: None,
            addresses: vec![IpNet::from(self.loopback(router))],
            link_local: None,
            loopback: true,
            borrowed: None,
        }
    }

    /// A router's configuration.
    #[must_use]
    pub fn config(&self, router: usize) -> InstanceConfig {
        let held = &self.routers[router];
        let mut config = InstanceConfig::new(self.version, held.id);
        config.seed = u64::from(held.id.0) << 8 | u64::from(held.lives);
        config.max_metric = MaxMetric { on_drain: true, ..MaxMetric::default() };
        config.graceful_restart = GracefulRestart { enabled: true, ..GracefulRestart::default() };
        config.interfaces.push(InterfaceConfig::new("lo", held.home, NetworkType::Broadcast));
        for (wire, end) in self.ends_of(router) {
            config.interfaces.push(self.interface(wire, end));
        }
        let mine: Vec<AreaId> = config.interfaces.iter().map(|interface| interface.area).collect();
        for (id, area) in self.areas.iter().filter(|(id, _)| mine.contains(id)) {
            let mut told = AreaConfig::new(*id);
            (told.kind, told.no_summary, told.default_cost) = (area.kind, area.no_summary, area.default_cost);
            told.ranges.extend(area.range);
            let far = held.virtual_links.iter().filter(|(transit, _)| transit == id);
            told.virtual_links.extend(far.map(|(_, far)| self.routers[*far].id));
            config.areas.push(told);
        }
        config
    }

    fn interface(&self, wire: usize, end: usize) -> InterfaceConfig {
        let (held, own) = (&self.wires[wire], self.wires[wire].ends[end]);
        let mut config = InterfaceConfig::new(&format!("eth{}", own.id.0), held.area, held.network);
        config.cost = Some(own.cost);
        config.priority = own.priority;
        config.passive = own.passive;
        config.poll_interval = Duration::from_secs(20);
        if held.network == NetworkType::Nbma {
            let others = (0..held.ends.len()).filter(|other| *other != end);
            config.neighbors = others.map(|other| self.speaker(wire, other)).collect();
        }
        config
    }
}

/// For people who look into a failure.
impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, area) in &self.areas {
            writeln!(out, "area {}: {area:?}", id.0)?;
        }
        for (number, router) in self.routers.iter().enumerate() {
            let state = [(!router.alive, " dead"), (router.drained, " drained")];
            let words: String = state.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            write!(out, "r{number} {} in {}{words}", router.id, router.home.0)?;
            writeln!(out, " {:?} {:?} {:?}", router.externals, router.services, router.virtual_links)?;
        }
        for (number, wire) in self.wires.iter().enumerate() {
            let unnumbered = if wire.unnumbered { " unnumbered" } else { "" };
            write!(out, "wire {number} in {} {:?}{unnumbered} {}:", wire.area.0, wire.network, self.subnet(number))?;
            for end in &wire.ends {
                let state = [(end.passive, " passive"), (!end.carrier, " cut"), (end.part != 0, " apart")];
                let words: String = state.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
                write!(out, " r{}.{} cost {} prio {}{words},", end.router, end.id.0, end.cost, end.priority)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

fn link_local(wire: usize, end: usize) -> Ipv6Addr {
    let number = |index: usize| u16::try_from(index + 1).expect("a simulated network has under 65,535 wires");
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, number(wire), number(end))
}
