//! The five packets (RFC 2328 §A.3, RFC 5340 §A.3).

use std::net::IpAddr;

use bytes::Bytes;

use super::read::{Reader, put_8_24, put_header};
use super::{DecodeError, Dropped, read_lsa};
use crate::id::{AreaId, LsaKey, LsaType, RouterId, Version};
use crate::lsa::{HEADER_LEN, LinkKind, Lsa, LsaHeader};
use crate::packet::{Body, DatabaseDescription, Hello, Packet};

const LENGTH: DecodeError = DecodeError::Length;
/// v2's authentication field, which its checksum leaves out.
const AUTH: std::ops::Range<usize> = 16..24;
/// AuTypes of cryptographic authentication (RFC 2328 §D.4.3, RFC 7474 §3), without checksum.
const CRYPTOGRAPHIC: std::ops::RangeInclusive<u16> = 2..=3;
const PROTOCOL: u8 = 89;

/// Link types by number (RFC 2328 §A.4.2).
pub(super) fn link_kind(kind: LinkKind) -> u8 {
    match kind {
        LinkKind::PointToPoint => 1,
        LinkKind::Transit => 2,
        LinkKind::Stub => 3,
        LinkKind::Virtual => 4,
    }
}

/// The Internet checksum's sum of 16-bit words, folded.
fn words(octets: &[u8], mut sum: u32) -> u32 {
    for pair in octets.chunks(2) {
        let word = u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]);
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// The sum over a packet, which is 0xffff if its checksum is right.
fn sum(version: Version, bytes: &[u8], src: IpAddr, dst: IpAddr) -> u32 {
    match (version, src, dst) {
        (Version::V3, IpAddr::V6(src), IpAddr::V6(dst)) => {
            // RFC 8200 §8.1: the pseudo-header.
            let start = words(&dst.octets(), words(&src.octets(), u32::from(PROTOCOL)));
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
            words(bytes, words(&length, start))
        }
        _ => {
            let after = words(bytes.get(AUTH.end..).unwrap_or_default(), 0);
            words(bytes.get(..AUTH.start).unwrap_or_default(), after)
        }
    }
}

/// Reads a packet; `path` is its IP source and destination, or `None` if something better than a checksum has vouched for it.
pub(super) fn decode(
    version: Version,
    bytes: &Bytes,
    path: Option<(IpAddr, IpAddr)>,
) -> Result<(Packet, Dropped), DecodeError> {
    let mut head = Reader(bytes);
    let number = head.u8().ok_or(LENGTH)?;
    if number != if version == Version::V2 { 2 } else { 3 } {
        return Err(DecodeError::Version);
    }
    let kind = head.u8().ok_or(LENGTH)?;
    let length = usize::from(head.u16().ok_or(LENGTH)?);
    let whole = bytes.get(..length).ok_or(LENGTH)?;
    let header_len = if version == Version::V2 { AUTH.end } else { 16 };
    let mut body = Reader(whole.get(header_len..).ok_or(LENGTH)?);
    let (router, area) = (RouterId(head.u32().ok_or(LENGTH)?), AreaId(head.u32().ok_or(LENGTH)?));
    head.u16().ok_or(LENGTH)?;
    let mut instance_id = 0;
    let mut checked = true;
    match version {
        Version::V2 => checked = !CRYPTOGRAPHIC.contains(&head.u16().ok_or(LENGTH)?),
        Version::V3 => instance_id = head.u8().ok_or(LENGTH)?,
    }
    if let Some((src, dst)) = path.filter(|_| checked)
        && sum(version, whole, src, dst) != 0xffff
    {
        return Err(DecodeError::Checksum);
    }
    let mut dropped = Dropped::default();
    let body = match kind {
        1 => Body::Hello(hello(version, &mut body).ok_or(LENGTH)?),
        2 => Body::DatabaseDescription(description(version, &mut body).ok_or(LENGTH)?),
        3 => Body::LinkStateRequest(requests(version, &mut body).ok_or(LENGTH)?),
        4 => {
            let count = body.u32().ok_or(LENGTH)?;
            let mut lsas = Vec::with_capacity((count as usize).min(body.0.len() / HEADER_LEN));
            for _ in 0..count {
                let length = super::decode_header(version, body.0)?.length;
                let raw = body.take(usize::from(length)).ok_or(LENGTH)?;
                match read_lsa(version, raw) {
                    // A part of the packet, not a copy: it lives no longer than the packet does.
                    Ok((header, body)) => lsas.push(Lsa { header, body, raw: bytes.slice_ref(raw) }),
                    Err(_) => dropped.lsas += 1, // RFC 2328 §13 (1): the others are taken
                }
            }
            Body::LinkStateUpdate(lsas)
        }
        5 => Body::LinkStateAck(headers(version, &mut body).ok_or(LENGTH)?),
        _ => return Err(DecodeError::Kind),
    };
    Ok((Packet { router, area, instance_id, body }, dropped))
}

fn hello(version: Version, body: &mut Reader<'_>) -> Option<Hello> {
    let mut hello = match version {
        Version::V2 => {
            let mask = body.u32()?;
            let mask_len =
                u8::try_from(mask.leading_ones()).ok().filter(|_| mask.leading_ones() == mask.count_ones())?;
            let hello_interval_secs = body.u16()?;
            let (options, priority) = (u32::from(body.u8()?), body.u8()?);
            let dead_interval_secs = body.u32()?;
            Hello {
                mask_len,
                interface_id: 0,
                options,
                priority,
                hello_interval_secs,
                dead_interval_secs,
                dr: 0,
                bdr: 0,
                neighbors: Vec::new(),
            }
        }
        Version::V3 => {
            let interface_id = body.u32()?;
            let (priority, options) = (body.u8()?, body.u24()?);
            let (hello_interval_secs, dead_interval_secs) = (body.u16()?, u32::from(body.u16()?));
            Hello {
                mask_len: 0,
                interface_id,
                options,
                priority,
                hello_interval_secs,
                dead_interval_secs,
                dr: 0,
                bdr: 0,
                neighbors: Vec::new(),
            }
        }
    };
    hello.dr = body.u32()?;
    hello.bdr = body.u32()?;
    if !body.0.len().is_multiple_of(4) {
        return None;
    }
    while let Some(router) = body.u32() {
        hello.neighbors.push(RouterId(router));
    }
    Some(hello)
}

fn description(version: Version, body: &mut Reader<'_>) -> Option<DatabaseDescription> {
    let (mtu, options, bits) = match version {
        Version::V2 => (body.u16()?, u32::from(body.u8()?), body.u8()?),
        Version::V3 => {
            body.u8()?;
            let options = body.u24()?;
            let mtu = body.u16()?;
            body.u8()?;
            (mtu, options, body.u8()?)
        }
    };
    let seq = body.u32()?;
    let headers = headers(version, body)?;
    let (init, more, master) = (bits & 4 != 0, bits & 2 != 0, bits & 1 != 0);
    Some(DatabaseDescription { mtu, options, init, more, master, seq, headers })
}

fn headers(version: Version, body: &mut Reader<'_>) -> Option<Vec<LsaHeader>> {
    let mut headers = Vec::with_capacity(body.0.len() / HEADER_LEN);
    while !body.is_empty() {
        headers.push(body.header(version)?);
    }
    Some(headers)
}

fn requests(version: Version, body: &mut Reader<'_>) -> Option<Vec<LsaKey>> {
    let mut keys = Vec::with_capacity(body.0.len() / 12);
    while !body.is_empty() {
        let kind = match version {
            Version::V2 => u16::try_from(body.u32()?).ok()?,
            Version::V3 => {
                body.u16()?;
                body.u16()?
            }
        };
        keys.push(LsaKey { kind: LsaType(kind), id: body.u32()?, adv: RouterId(body.u32()?) });
    }
    Some(keys)
}

/// Writes a packet, without authentication and without checksum.
pub(super) fn encode(version: Version, packet: &Packet) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(1500);
    let v2 = version == Version::V2;
    let kind = match &packet.body {
        Body::Hello(_) => 1,
        Body::DatabaseDescription(_) => 2,
        Body::LinkStateRequest(_) => 3,
        Body::LinkStateUpdate(_) => 4,
        Body::LinkStateAck(_) => 5,
    };
    out.extend_from_slice(&[if v2 { 2 } else { 3 }, kind, 0, 0]);
    out.extend_from_slice(&packet.router.0.to_be_bytes());
    out.extend_from_slice(&packet.area.0.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(if v2 { &[0; 10] } else { &[0; 2] });
    if let (false, Some(place)) = (v2, out.get_mut(14)) {
        *place = packet.instance_id;
    }
    body(version, &packet.body, &mut out);
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    out
}

/// Writes the checksum of a packet that has none yet.
pub(super) fn write_checksum(version: Version, out: &mut [u8], src: IpAddr, dst: IpAddr) {
    let checksum = !u16::try_from(sum(version, out, src, dst)).unwrap_or(0);
    if let Some(place) = out.get_mut(12..14) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
}

fn body(version: Version, body: &Body, out: &mut Vec<u8>) {
    let v2 = version == Version::V2;
    match body {
        Body::Hello(hello) => {
            if v2 {
                let mask = u32::MAX.checked_shl(32 - u32::from(hello.mask_len).min(32)).unwrap_or(0);
                out.extend_from_slice(&mask.to_be_bytes());
                out.extend_from_slice(&hello.hello_interval_secs.to_be_bytes());
                out.extend_from_slice(&[hello.options.to_be_bytes()[3], hello.priority]);
                out.extend_from_slice(&hello.dead_interval_secs.to_be_bytes());
            } else {
                out.extend_from_slice(&hello.interface_id.to_be_bytes());
                put_8_24(hello.priority, hello.options, out);
                out.extend_from_slice(&hello.hello_interval_secs.to_be_bytes());
                let dead = u16::try_from(hello.dead_interval_secs).unwrap_or(u16::MAX);
                out.extend_from_slice(&dead.to_be_bytes());
            }
            out.extend_from_slice(&hello.dr.to_be_bytes());
            out.extend_from_slice(&hello.bdr.to_be_bytes());
            for router in &hello.neighbors {
                out.extend_from_slice(&router.0.to_be_bytes());
            }
        }
        Body::DatabaseDescription(dd) => {
            let bits = u8::from(dd.init) << 2 | u8::from(dd.more) << 1 | u8::from(dd.master);
            if v2 {
                out.extend_from_slice(&dd.mtu.to_be_bytes());
                out.extend_from_slice(&[dd.options.to_be_bytes()[3], bits]);
            } else {
                put_8_24(0, dd.options, out);
                out.extend_from_slice(&dd.mtu.to_be_bytes());
                out.extend_from_slice(&[0, bits]);
            }
            out.extend_from_slice(&dd.seq.to_be_bytes());
            for header in &dd.headers {
                put_header(version, header, out);
            }
        }
        Body::LinkStateRequest(keys) => {
            for key in keys {
                out.extend_from_slice(&u32::from(key.kind.0).to_be_bytes());
                out.extend_from_slice(&key.id.to_be_bytes());
                out.extend_from_slice(&key.adv.0.to_be_bytes());
            }
        }
        Body::LinkStateUpdate(lsas) => {
            out.extend_from_slice(&u32::try_from(lsas.len()).unwrap_or(u32::MAX).to_be_bytes());
            for lsa in lsas {
                // The age is the only field that changes on the way, and the checksum leaves it out.
                out.extend_from_slice(&lsa.header.age.to_be_bytes());
                out.extend_from_slice(lsa.raw.get(2..).unwrap_or_default());
            }
        }
        Body::LinkStateAck(headers) => {
            for header in headers {
                put_header(version, header, out);
            }
        }
    }
}
