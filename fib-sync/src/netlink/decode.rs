//! What the kernel sends: messages, attributes, and the few kinds we read. Nothing here trusts a length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{Discard, Forwarding, IfIndex, ResolvedLeg};
use smallvec::SmallVec;

use super::encode::{
    AF_INET, AF_INET6, HEADER, IFA_ADDRESS, IFA_LOCAL, IFA_PROTO, NHA_BLACKHOLE, NHA_GATEWAY, NHA_GROUP, NHA_ID,
    NHA_OIF, RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_NH_ID, RTA_OIF, RTA_PRIORITY, RTA_TABLE, RTA_VIA, RTN_BLACKHOLE,
    RTN_PROHIBIT, RTN_UNICAST, RTN_UNREACHABLE, RTNH_F_ONLINK,
};
use crate::host::Link;

/// One netlink message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    /// Who caused it; 0 is the kernel itself.
    pub(crate) port: u32,
    pub(crate) payload: &'a [u8],
}

pub(crate) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

/// The messages in `octets`, up to the first that does not fit.
pub(crate) fn messages(mut octets: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(octets, 0)? as usize;
        let message = Message {
            kind: u16_at(octets, 4)?,
            flags: u16_at(octets, 6)?,
            seq: u32_at(octets, 8)?,
            port: u32_at(octets, 12)?,
            payload: octets.get(HEADER..length)?,
        };
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `octets`, up to the first that does not fit, without the flag bits in their kind.
pub(crate) fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const KIND: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(octets, 0)?);
        let kind = u16_at(octets, 2)? & KIND;
        let value = octets.get(4..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn number(value: &[u8]) -> Option<u32> {
    u32_at(value, 0)
}

pub(crate) fn addr(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(*value.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*value.first_chunk::<16>()?).into()),
        _ => None,
    }
}

fn via(value: &[u8]) -> Option<IpAddr> {
    addr(value.get(2..)?)
}

fn net(addr: IpAddr, length: u8) -> Option<IpNet> {
    match addr {
        IpAddr::V4(addr) => Ipv4Net::new(addr, length).ok().map(Into::into),
        IpAddr::V6(addr) => Ipv6Net::new(addr, length).ok().map(Into::into),
    }
}

/// A route as the kernel says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) prefix: IpNet,
    pub(crate) table: u32,
    pub(crate) protocol: u8,
    pub(crate) kind: u8,
    pub(crate) metric: u32,
    pub(crate) cloned: bool,
    pub(crate) tos: u8,
    pub(crate) next_hop: Option<u32>,
    /// Empty for a discard, and for a route on an object when the kernel does not spell it out.
    pub(crate) legs: SmallVec<[ResolvedLeg; 1]>,
}

impl Route {
    pub(crate) fn discard(&self) -> Option<Discard> {
        match self.kind {
            RTN_BLACKHOLE => Some(Discard::Blackhole),
            RTN_UNREACHABLE => Some(Discard::Unreachable),
            RTN_PROHIBIT => Some(Discard::Prohibit),
            _ => None,
        }
    }

    pub(crate) fn is_unicast(&self) -> bool {
        self.kind == RTN_UNICAST
    }
}

/// Reads RTM_NEWROUTE or RTM_DELROUTE.
pub(crate) fn route(payload: &[u8]) -> Option<Route> {
    const CLONED: u32 = 0x200;
    let [family, length, _, tos, table, protocol, _, kind] = *payload.first_chunk()?;
    let flags = u32_at(payload, 8)?;
    let any = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut route = Route {
        prefix: net(any, length)?,
        table: table.into(),
        protocol,
        kind,
        metric: 0,
        cloned: flags & CLONED != 0,
        tos,
        next_hop: None,
        legs: SmallVec::new(),
    };
    let (mut gateway, mut interface) = (None, None);
    for (kind, value) in attributes(payload.get(12..)?) {
        match kind {
            RTA_DST => route.prefix = net(addr(value)?, length)?,
            RTA_TABLE => route.table = number(value)?,
            RTA_PRIORITY => route.metric = number(value)?,
            RTA_NH_ID => route.next_hop = number(value),
            RTA_OIF => interface = number(value),
            RTA_GATEWAY => gateway = addr(value),
            RTA_VIA => gateway = via(value),
            RTA_MULTIPATH => route.legs = multipath(value),
            _ => {}
        }
    }
    if let Some(interface) = interface
        && route.legs.is_empty()
        && route.discard().is_none()
    {
        let onlink = flags & u32::from(RTNH_F_ONLINK) != 0;
        route.legs.push(ResolvedLeg { interface: IfIndex(interface), gateway, onlink, weight: 1 });
    }
    route.legs.sort_unstable();
    Some(route)
}

fn multipath(mut octets: &[u8]) -> SmallVec<[ResolvedLeg; 1]> {
    let mut legs = SmallVec::new();
    while let (Some(length), Some(interface)) = (u16_at(octets, 0), u32_at(octets, 4)) {
        let length = usize::from(length);
        let (Some(inner), Some([flags, hops])) = (octets.get(8..length), octets.get(2..4)) else { break };
        let gateway = attributes(inner).find_map(|(kind, value)| match kind {
            RTA_GATEWAY => addr(value),
            RTA_VIA => via(value),
            _ => None,
        });
        let (interface, onlink) = (IfIndex(interface), flags & RTNH_F_ONLINK != 0);
        legs.push(ResolvedLeg { interface, gateway, onlink, weight: u16::from(*hops) + 1 });
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    legs
}

/// A next-hop object as the kernel says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) id: u32,
    pub(crate) family: u8,
    pub(crate) protocol: u8,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Leg {
        interface: IfIndex,
        gateway: Option<IpAddr>,
        onlink: bool,
    },
    /// Members with weights.
    Group(Vec<(u32, u16)>),
    Blackhole,
}

/// Reads RTM_NEWNEXTHOP or RTM_DELNEXTHOP.
pub(crate) fn next_hop(payload: &[u8]) -> Option<NextHop> {
    let [family, _, protocol, _] = *payload.first_chunk()?;
    let onlink = u32_at(payload, 4)? & u32::from(RTNH_F_ONLINK) != 0;
    let (mut id, mut interface, mut gateway, mut group, mut blackhole) = (0, None, None, None, false);
    for (kind, value) in attributes(payload.get(8..)?) {
        match kind {
            NHA_ID => id = number(value)?,
            NHA_OIF => interface = number(value),
            NHA_GATEWAY => gateway = addr(value),
            NHA_BLACKHOLE => blackhole = true,
            NHA_GROUP => {
                let member = |entry: &[u8]| Some((number(entry)?, u16::from(*entry.get(4)?) + 1));
                group = Some(value.chunks_exact(8).filter_map(member).collect());
            }
            _ => {}
        }
    }
    let body = match (group, interface) {
        (Some(group), _) => Body::Group(group),
        (None, _) if blackhole => Body::Blackhole,
        (None, Some(interface)) => Body::Leg { interface: IfIndex(interface), gateway, onlink },
        _ => return None,
    };
    Some(NextHop { id, family, protocol, body })
}

/// Reads RTM_NEWLINK or RTM_DELLINK.
pub(crate) fn link(payload: &[u8]) -> Option<Link> {
    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;
    const UP: u32 = 1;
    const LOOPBACK: u32 = 8;
    const RUNNING: u32 = 0x40;
    let index = IfIndex(u32_at(payload, 4)?);
    let flags = u32_at(payload, 8)?;
    let up = flags & (UP | RUNNING) == UP | RUNNING;
    let mut link = Link { index, name: String::new(), up, mtu: 0, loopback: flags & LOOPBACK != 0 };
    for (kind, value) in attributes(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => {
                let name = value.split(|octet| *octet == 0).next().unwrap_or_default();
                link.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_MTU => link.mtu = number(value)?,
            _ => {}
        }
    }
    Some(link)
}

/// Reads RTM_NEWADDR or RTM_DELADDR.
pub(crate) fn address(payload: &[u8]) -> Option<(IfIndex, IpNet)> {
    let [_, length, _, _] = *payload.first_chunk()?;
    let index = IfIndex(u32_at(payload, 4)?);
    let (mut own, mut local) = (None, None);
    for (kind, value) in attributes(payload.get(8..)?) {
        match kind {
            IFA_ADDRESS => own = addr(value),
            IFA_LOCAL => local = addr(value),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end, and the prefix is its.
    Some((index, net(local.or(own)?, length)?))
}

/// The mark of whoever put the address of an RTM_NEWADDR on its link; 0 is nobody.
pub(crate) fn address_mark(payload: &[u8]) -> u8 {
    let mut all = payload.get(8..).into_iter().flat_map(attributes);
    all.find_map(|(kind, value)| if kind == IFA_PROTO { value.first().copied() } else { None }).unwrap_or(0)
}

/// How a route forwards, if it says so itself.
pub(crate) fn forwarding(route: &Route) -> Option<Forwarding> {
    if let Some(discard) = route.discard() {
        return Some(Forwarding::Discard(discard));
    }
    (route.is_unicast() && !route.legs.is_empty()).then(|| Forwarding::Legs(route.legs.clone()))
}

#[cfg(test)]
mod tests;
