//! Netlink messages as octets, written one after the other into one buffer.
//!
//! All numbers are in host order but for addresses. Attributes are padded to four octets.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rib::{Discard, IfIndex, ResolvedLeg};

use super::KernelConfig;
use super::objects::LegKey;
use super::socket::Socket;

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
pub(crate) const RTM_GETLINK: u16 = 18;
pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_DELADDR: u16 = 21;
pub(crate) const RTM_GETADDR: u16 = 22;
pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
pub(crate) const RTM_GETROUTE: u16 = 26;
pub(crate) const RTM_NEWNEXTHOP: u16 = 104;
pub(crate) const RTM_DELNEXTHOP: u16 = 105;
pub(crate) const RTM_GETNEXTHOP: u16 = 106;

pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACK: u16 = 4;
pub(crate) const DUMP: u16 = 0x300;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;

pub(crate) const RTA_DST: u16 = 1;
pub(crate) const RTA_OIF: u16 = 4;
pub(crate) const RTA_GATEWAY: u16 = 5;
pub(crate) const RTA_PRIORITY: u16 = 6;
pub(crate) const RTA_MULTIPATH: u16 = 9;
pub(crate) const RTA_TABLE: u16 = 15;
pub(crate) const RTA_VIA: u16 = 18;
pub(crate) const RTA_NH_ID: u16 = 30;

pub(crate) const NHA_ID: u16 = 1;
pub(crate) const NHA_GROUP: u16 = 2;
pub(crate) const NHA_BLACKHOLE: u16 = 4;
pub(crate) const NHA_OIF: u16 = 5;
pub(crate) const NHA_GATEWAY: u16 = 6;

pub(crate) const IFA_ADDRESS: u16 = 1;
pub(crate) const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
pub(crate) const IFA_PROTO: u16 = 11;
/// Marks the addresses that we put on links (Linux 5.18; older kernels take no notice).
pub(crate) const ADDRESS_MARK: u8 = 179;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;

pub(crate) const RTN_UNICAST: u8 = 1;
pub(crate) const RTN_BLACKHOLE: u8 = 6;
pub(crate) const RTN_UNREACHABLE: u8 = 7;
pub(crate) const RTN_PROHIBIT: u8 = 8;

pub(crate) const RTN_LOCAL: u8 = 2;

const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const SCOPE_NOWHERE: u8 = 255;

pub(crate) const RTNH_F_ONLINK: u8 = 4;

/// The length of a netlink header.
pub(crate) const HEADER: usize = 16;

/// Octets per send: the best on a full table; a megabyte is slower.
const SEND_OCTETS: usize = 128 * 1024;
/// No message of ours is longer: 64 legs of a classic multipath route take 64 × 28 octets and a head.
const LONGEST_OCTETS: usize = 4096;

/// How a route is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Remove,
    Object(u32),
    Legs(&'a [ResolvedLeg]),
    Discard(Discard),
    /// To the host itself.
    Local,
}

pub(crate) fn family_of(addr: &IpAddr) -> u8 {
    if addr.is_ipv4() { AF_INET } else { AF_INET6 }
}

pub(crate) fn begin(buf: &mut Vec<u8>, kind: u16, flags: u16, seq: u32) -> usize {
    let start = buf.len();
    let mut header = [0; HEADER];
    header[4..6].copy_from_slice(&kind.to_ne_bytes());
    header[6..8].copy_from_slice(&flags.to_ne_bytes());
    header[8..12].copy_from_slice(&seq.to_ne_bytes());
    buf.extend_from_slice(&header);
    start
}

pub(crate) fn end(buf: &mut [u8], start: usize) {
    let length = (buf.len() - start) as u32;
    buf[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

pub(crate) fn attribute(buf: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let [l0, l1] = ((value.len() + 4) as u16).to_ne_bytes();
    let [k0, k1] = kind.to_ne_bytes();
    buf.extend_from_slice(&[l0, l1, k0, k1]);
    buf.extend_from_slice(value);
    let odd = value.len() % 4;
    if odd != 0 {
        buf.extend_from_slice(&[0; 3][..4 - odd]);
    }
}

pub(crate) fn attribute_addr(buf: &mut Vec<u8>, kind: u16, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => attribute(buf, kind, &addr.octets()),
        IpAddr::V6(addr) => attribute(buf, kind, &addr.octets()),
    }
}

/// One route of ours, written over what stands there with our metric, or removed if it is ours.
pub(crate) fn route(buf: &mut Vec<u8>, seq: u32, config: &KernelConfig, prefix: IpNet, target: Target<'_>) {
    let (kind, flags) = match target {
        Target::Remove => (RTM_DELROUTE, REQUEST),
        _ => (RTM_NEWROUTE, REQUEST | CREATE | REPLACE),
    };
    let start = begin(buf, kind, flags, seq);
    let table = u8::try_from(config.table).unwrap_or(0);
    let (scope, kind) = match target {
        Target::Remove => (SCOPE_NOWHERE, 0),
        // A leg without gateway is on the link, and a route whose legs all are has that scope.
        Target::Legs(legs) if legs.iter().all(|leg| leg.gateway.is_none()) => (SCOPE_LINK, RTN_UNICAST),
        Target::Object(_) | Target::Legs(_) => (SCOPE_UNIVERSE, RTN_UNICAST),
        Target::Discard(Discard::Blackhole) => (SCOPE_UNIVERSE, RTN_BLACKHOLE),
        Target::Discard(Discard::Unreachable) => (SCOPE_UNIVERSE, RTN_UNREACHABLE),
        Target::Discard(Discard::Prohibit) => (SCOPE_UNIVERSE, RTN_PROHIBIT),
        Target::Local => (SCOPE_HOST, RTN_LOCAL),
    };
    let family = family_of(&prefix.addr());
    buf.extend_from_slice(&[family, prefix.prefix_len(), 0, 0, table, config.protocol, scope, kind, 0, 0, 0, 0]);
    attribute_addr(buf, RTA_DST, prefix.network());
    if config.table > 255 {
        attribute(buf, RTA_TABLE, &config.table.to_ne_bytes());
    }
    attribute(buf, RTA_PRIORITY, &config.metric.to_ne_bytes());
    match target {
        Target::Object(id) => attribute(buf, RTA_NH_ID, &id.to_ne_bytes()),
        Target::Legs([leg]) => {
            if leg.onlink {
                // rtm_flags, the header's last word.
                buf[start + HEADER + 8] |= RTNH_F_ONLINK;
            }
            gateway(buf, family, leg.gateway);
            attribute(buf, RTA_OIF, &leg.interface.0.to_ne_bytes());
        }
        Target::Legs(legs) => multipath(buf, family, legs),
        Target::Remove | Target::Discard(_) | Target::Local => {}
    }
    end(buf, start);
}

fn gateway(buf: &mut Vec<u8>, family: u8, addr: Option<IpAddr>) {
    match addr {
        None => {}
        Some(addr) if family_of(&addr) == family => attribute_addr(buf, RTA_GATEWAY, addr),
        // RFC 8950: an IPv4 destination by an IPv6 neighbor.
        Some(addr) => {
            let mut via = u16::from(family_of(&addr)).to_ne_bytes().to_vec();
            match addr {
                IpAddr::V4(addr) => via.extend_from_slice(&addr.octets()),
                IpAddr::V6(addr) => via.extend_from_slice(&addr.octets()),
            }
            attribute(buf, RTA_VIA, &via);
        }
    }
}

fn multipath(buf: &mut Vec<u8>, family: u8, legs: &[ResolvedLeg]) {
    let outer = buf.len();
    buf.extend_from_slice(&[0; 4]);
    for leg in legs {
        let start = buf.len();
        let flags = if leg.onlink { RTNH_F_ONLINK } else { 0 };
        buf.extend_from_slice(&[0, 0, flags, weight_less_one(leg.weight)]);
        buf.extend_from_slice(&leg.interface.0.to_ne_bytes());
        gateway(buf, family, leg.gateway);
        let length = (buf.len() - start) as u16;
        buf[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
    let length = (buf.len() - outer) as u16;
    buf[outer..outer + 2].copy_from_slice(&length.to_ne_bytes());
    buf[outer + 2..outer + 4].copy_from_slice(&RTA_MULTIPATH.to_ne_bytes());
}

fn weight_less_one(weight: u16) -> u8 {
    weight.clamp(1, 256).wrapping_sub(1) as u8
}

fn next_hop_head(buf: &mut Vec<u8>, family: u8, protocol: u8, flags: u8) {
    // nh_family, nh_scope, nh_protocol, resvd, nh_flags.
    buf.extend_from_slice(&[family, 0, protocol, 0]);
    buf.extend_from_slice(&u32::from(flags).to_ne_bytes());
}

/// A next-hop object with one leg, created or replaced.
pub(crate) fn next_hop(buf: &mut Vec<u8>, seq: u32, protocol: u8, id: u32, leg: &LegKey) {
    let start = begin(buf, RTM_NEWNEXTHOP, REQUEST | CREATE | REPLACE, seq);
    next_hop_head(buf, leg.family, protocol, if leg.onlink { RTNH_F_ONLINK } else { 0 });
    attribute(buf, NHA_ID, &id.to_ne_bytes());
    attribute(buf, NHA_OIF, &leg.interface.0.to_ne_bytes());
    if let Some(gateway) = leg.gateway {
        attribute_addr(buf, NHA_GATEWAY, gateway);
    }
    end(buf, start);
}

/// A group of next-hop objects with weights, created or replaced in one step.
pub(crate) fn group(buf: &mut Vec<u8>, seq: u32, protocol: u8, id: u32, members: &[(u32, u16)]) {
    let start = begin(buf, RTM_NEWNEXTHOP, REQUEST | CREATE | REPLACE, seq);
    next_hop_head(buf, 0, protocol, 0);
    attribute(buf, NHA_ID, &id.to_ne_bytes());
    let mut value = Vec::with_capacity(members.len() * 8);
    for (member, weight) in members {
        value.extend_from_slice(&member.to_ne_bytes());
        value.extend_from_slice(&[weight_less_one(*weight), 0, 0, 0]);
    }
    attribute(buf, NHA_GROUP, &value);
    end(buf, start);
}

/// Removes a next-hop object; the kernel removes the routes on it.
pub(crate) fn remove_next_hop(buf: &mut Vec<u8>, seq: u32, id: u32) {
    let start = begin(buf, RTM_DELNEXTHOP, REQUEST, seq);
    next_hop_head(buf, 0, 0, 0);
    attribute(buf, NHA_ID, &id.to_ne_bytes());
    end(buf, start);
}

/// Asks for all next-hop objects.
pub(crate) fn dump_next_hops(buf: &mut Vec<u8>, seq: u32) {
    let start = begin(buf, RTM_GETNEXTHOP, REQUEST | DUMP, seq);
    next_hop_head(buf, 0, 0, 0);
    end(buf, start);
}

/// Asks for the routes of one family and table, and of one protocol unless 0.
pub(crate) fn dump_routes(buf: &mut Vec<u8>, seq: u32, family: u8, table: u32, protocol: u8) {
    let start = begin(buf, RTM_GETROUTE, REQUEST | DUMP, seq);
    buf.extend_from_slice(&[family, 0, 0, 0, 0, protocol, 0, 0, 0, 0, 0, 0]);
    attribute(buf, RTA_TABLE, &table.to_ne_bytes());
    end(buf, start);
}

/// Asks for all links.
pub(crate) fn dump_links(buf: &mut Vec<u8>, seq: u32) {
    let start = begin(buf, RTM_GETLINK, REQUEST | DUMP, seq);
    buf.extend_from_slice(&[0; 16]);
    end(buf, start);
}

/// Asks for all addresses of both families.
pub(crate) fn dump_addresses(buf: &mut Vec<u8>, seq: u32) {
    let start = begin(buf, RTM_GETADDR, REQUEST | DUMP, seq);
    buf.extend_from_slice(&[0; 8]);
    end(buf, start);
}

/// Asks for the link named `name`.
pub(crate) fn link_by_name(buf: &mut Vec<u8>, seq: u32, name: &str) {
    const IFLA_IFNAME: u16 = 3;
    let start = begin(buf, RTM_GETLINK, REQUEST, seq);
    buf.extend_from_slice(&[0; 16]);
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    attribute(buf, IFLA_IFNAME, &value);
    end(buf, start);
}

/// Adds a host address to a link, or removes it.
pub(crate) fn address(buf: &mut Vec<u8>, seq: u32, add: bool, interface: IfIndex, addr: IpAddr) {
    let (kind, flags) = if add { (RTM_NEWADDR, REQUEST | CREATE | EXCLUSIVE) } else { (RTM_DELADDR, REQUEST) };
    let start = begin(buf, kind, flags, seq);
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    buf.extend_from_slice(&[family_of(&addr), bits, 0, 0]);
    buf.extend_from_slice(&interface.0.to_ne_bytes());
    attribute_addr(buf, IFA_LOCAL, addr);
    attribute_addr(buf, IFA_ADDRESS, addr);
    if add && addr.is_ipv6() {
        // An anycast address is on many hosts by intent: detecting duplicates would only delay it (RFC 4862 §5.4).
        attribute(buf, IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes());
    }
    if add {
        attribute(buf, IFA_PROTO, &[ADDRESS_MARK]);
    }
    end(buf, start);
}

/// Messages on their way: gathered, sent 128 KiB at a time, answers matched by number.
pub(super) struct Batch<'a> {
    socket: &'a mut Socket,
    buf: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    /// The sequence number of the first message that was pushed, and of the next one.
    first: u32,
    /// Index of the first message in `buf`.
    sent: u32,
    pushed: u32,
    errors: Vec<(usize, i32)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(socket: &'a mut Socket) -> Self {
        let first = socket.next_seq();
        Self { socket, buf: Vec::new(), last: 0, first, sent: 0, pushed: 0, errors: Vec::new() }
    }

    /// Appends what `encode` writes for the given sequence number: exactly one message.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>, u32)) -> io::Result<()> {
        if self.buf.len() + LONGEST_OCTETS > SEND_OCTETS {
            self.flush()?;
        }
        self.last = self.buf.len();
        encode(&mut self.buf, self.first.wrapping_add(self.pushed));
        debug_assert!(self.buf.len() - self.last <= LONGEST_OCTETS);
        self.pushed += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let at = self.last + 6;
        let flags = u16::from_ne_bytes([self.buf[at], self.buf[at + 1]]) | ACK;
        self.buf[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        let count = self.pushed - self.sent;
        let first = self.first.wrapping_add(self.sent);
        let sent = self.sent as usize;
        let errors = &mut self.errors;
        self.socket.transact(&self.buf, first, count, &mut |index, errno| errors.push((sent + index, errno)))?;
        self.sent = self.pushed;
        self.buf.clear();
        Ok(())
    }

    /// Sends what is left; answers with the refused messages by the order of pushing, each with its errno.
    pub(super) fn finish(mut self) -> io::Result<Vec<(usize, i32)>> {
        self.flush()?;
        self.socket.skip_seq(self.pushed);
        Ok(self.errors)
    }
}

#[cfg(test)]
mod tests;
