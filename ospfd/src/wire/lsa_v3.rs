//! Bodies of OSPFv3's LSAs (RFC 5340 §A.4).

use std::net::IpAddr;

use bytes::Bytes;
use ipnet::IpNet;

use super::DecodeError;
use super::read::{Reader, put_8_24, put_prefix};
use crate::id::{LsaKey, LsaType, RouterId};
use crate::lsa::{
    AsbrSummaryLsa, ExternalLsa, IntraAreaPrefixLsa, LinkKind, LinkLsa, LsaBody, LsaHeader, LsaPrefix, NetworkLsa,
    RouterFlags, RouterLink, RouterLsa, SummaryLsa,
};

const LENGTH: DecodeError = DecodeError::Length;

pub(super) fn decode(header: &LsaHeader, body: &mut Reader<'_>) -> Result<LsaBody, DecodeError> {
    match header.key.kind.0 {
        0x2001 => router(body),
        0x2002 => network(body),
        0x2003 => {
            body.u8().ok_or(LENGTH)?;
            let metric = body.u24().ok_or(LENGTH)?;
            let (length, prefix_options, _) =
                (body.u8().ok_or(LENGTH)?, body.u8().ok_or(LENGTH)?, body.u16().ok_or(LENGTH)?);
            let prefix = IpNet::V6(body.prefix(length).ok_or(LENGTH)?);
            Ok(LsaBody::Summary(SummaryLsa { prefix, prefix_options, metric }))
        }
        0x2004 => {
            body.u8().ok_or(LENGTH)?;
            let options = body.u24().ok_or(LENGTH)?;
            body.u8().ok_or(LENGTH)?;
            let metric = body.u24().ok_or(LENGTH)?;
            Ok(LsaBody::AsbrSummary(AsbrSummaryLsa { router: RouterId(body.u32().ok_or(LENGTH)?), options, metric }))
        }
        0x4005 | 0x2007 => external(body),
        0x0008 => {
            let priority = body.u8().ok_or(LENGTH)?;
            let options = body.u24().ok_or(LENGTH)?;
            let link_local = body.v6().ok_or(LENGTH)?;
            let count = body.u32().ok_or(LENGTH)?;
            let prefixes = prefixes(body, count)?;
            Ok(LsaBody::Link(LinkLsa { priority, options, link_local, prefixes }))
        }
        0x2009 => {
            let count = body.u16().ok_or(LENGTH)?;
            let kind = LsaType(body.u16().ok_or(LENGTH)?);
            let (id, adv) = (body.u32().ok_or(LENGTH)?, RouterId(body.u32().ok_or(LENGTH)?));
            let prefixes = prefixes(body, u32::from(count))?;
            Ok(LsaBody::IntraAreaPrefix(IntraAreaPrefixLsa { referenced: LsaKey { kind, id, adv }, prefixes }))
        }
        _ => Ok(LsaBody::Opaque(Bytes::copy_from_slice(body.0))),
    }
}

fn router(body: &mut Reader<'_>) -> Result<LsaBody, DecodeError> {
    let bits = body.u8().ok_or(LENGTH)?;
    let options = body.u24().ok_or(LENGTH)?;
    if !body.0.len().is_multiple_of(16) {
        return Err(LENGTH);
    }
    let mut links = Vec::with_capacity(body.0.len() / 16);
    while let Some(kind) = body.u8() {
        let kind = match kind {
            1 => LinkKind::PointToPoint,
            2 => LinkKind::Transit,
            4 => LinkKind::Virtual,
            _ => return Err(DecodeError::Value),
        };
        body.u8().ok_or(LENGTH)?;
        let metric = body.u16().ok_or(LENGTH)?;
        let (data, neighbor_interface) = (body.u32().ok_or(LENGTH)?, body.u32().ok_or(LENGTH)?);
        let id = body.u32().ok_or(LENGTH)?;
        links.push(RouterLink { kind, id, data, neighbor_interface, metric });
    }
    let flags = RouterFlags {
        border: bits & 0x01 != 0,
        external: bits & 0x02 != 0,
        virtual_link: bits & 0x04 != 0,
        translator: bits & 0x10 != 0,
    };
    Ok(LsaBody::Router(RouterLsa { flags, options, links }))
}

fn network(body: &mut Reader<'_>) -> Result<LsaBody, DecodeError> {
    body.u8().ok_or(LENGTH)?;
    let options = body.u24().ok_or(LENGTH)?;
    if !body.0.len().is_multiple_of(4) {
        return Err(LENGTH);
    }
    let mut attached = Vec::with_capacity(body.0.len() / 4);
    while let Some(router) = body.u32() {
        attached.push(RouterId(router));
    }
    Ok(LsaBody::Network(NetworkLsa { mask_len: None, options, attached }))
}

/// Bits of an external: type 2, a forwarding address follows, a tag follows.
const E: u8 = 0x04;
const F: u8 = 0x02;
const T: u8 = 0x01;

fn external(body: &mut Reader<'_>) -> Result<LsaBody, DecodeError> {
    let bits = body.u8().ok_or(LENGTH)?;
    let metric = body.u24().ok_or(LENGTH)?;
    let (length, prefix_options) = (body.u8().ok_or(LENGTH)?, body.u8().ok_or(LENGTH)?);
    let referenced = LsaType(body.u16().ok_or(LENGTH)?);
    let prefix = IpNet::V6(body.prefix(length).ok_or(LENGTH)?);
    let forwarding = if bits & F != 0 { Some(IpAddr::V6(body.v6().ok_or(LENGTH)?)) } else { None };
    let tag = if bits & T != 0 { body.u32().ok_or(LENGTH)? } else { 0 };
    let referenced = if referenced.0 != 0 { Some((referenced, body.u32().ok_or(LENGTH)?)) } else { None };
    // RFC 5340 §A.4.7: neither unspecified nor link-local.
    if let Some(IpAddr::V6(address)) = forwarding
        && (address.is_unspecified() || address.is_unicast_link_local())
    {
        return Err(DecodeError::Value);
    }
    let type2 = bits & E != 0;
    Ok(LsaBody::External(ExternalLsa { prefix, prefix_options, type2, metric, forwarding, tag, referenced }))
}

fn prefixes(body: &mut Reader<'_>, count: u32) -> Result<Vec<LsaPrefix>, DecodeError> {
    let mut prefixes = Vec::with_capacity((count as usize).min(body.0.len() / 4));
    for _ in 0..count {
        let (length, options) = (body.u8().ok_or(LENGTH)?, body.u8().ok_or(LENGTH)?);
        let metric = body.u16().ok_or(LENGTH)?;
        prefixes.push(LsaPrefix { prefix: body.prefix(length).ok_or(LENGTH)?, options, metric });
    }
    Ok(prefixes)
}

pub(super) fn encode(body: &LsaBody, out: &mut Vec<u8>) {
    match body {
        LsaBody::Router(lsa) => {
            let flags = lsa.flags;
            let bits = u8::from(flags.border)
                | u8::from(flags.external) << 1
                | u8::from(flags.virtual_link) << 2
                | u8::from(flags.translator) << 4;
            put_8_24(bits, lsa.options, out);
            for link in &lsa.links {
                out.extend_from_slice(&[super::packet::link_kind(link.kind), 0]);
                out.extend_from_slice(&link.metric.to_be_bytes());
                for number in [link.data, link.neighbor_interface, link.id] {
                    out.extend_from_slice(&number.to_be_bytes());
                }
            }
        }
        LsaBody::Network(lsa) => {
            put_8_24(0, lsa.options, out);
            for router in &lsa.attached {
                out.extend_from_slice(&router.0.to_be_bytes());
            }
        }
        LsaBody::Summary(lsa) => {
            put_8_24(0, lsa.metric, out);
            if let IpNet::V6(prefix) = &lsa.prefix {
                out.extend_from_slice(&[prefix.prefix_len(), lsa.prefix_options, 0, 0]);
                put_prefix(prefix, out);
            }
        }
        LsaBody::AsbrSummary(lsa) => {
            put_8_24(0, lsa.options, out);
            put_8_24(0, lsa.metric, out);
            out.extend_from_slice(&lsa.router.0.to_be_bytes());
        }
        LsaBody::External(lsa) => {
            let forwarding = match lsa.forwarding {
                Some(IpAddr::V6(address)) => Some(address),
                _ => None,
            };
            let mut bits = if lsa.type2 { E } else { 0 };
            bits |= if forwarding.is_some() { F } else { 0 };
            bits |= if lsa.tag != 0 { T } else { 0 };
            put_8_24(bits, lsa.metric, out);
            if let IpNet::V6(prefix) = &lsa.prefix {
                out.extend_from_slice(&[prefix.prefix_len(), lsa.prefix_options]);
                out.extend_from_slice(&lsa.referenced.map_or(0, |(kind, _)| kind.0).to_be_bytes());
                put_prefix(prefix, out);
            }
            if let Some(address) = forwarding {
                out.extend_from_slice(&address.octets());
            }
            if lsa.tag != 0 {
                out.extend_from_slice(&lsa.tag.to_be_bytes());
            }
            if let Some((_, id)) = lsa.referenced {
                out.extend_from_slice(&id.to_be_bytes());
            }
        }
        LsaBody::Link(lsa) => {
            put_8_24(lsa.priority, lsa.options, out);
            out.extend_from_slice(&lsa.link_local.octets());
            out.extend_from_slice(&u32::try_from(lsa.prefixes.len()).unwrap_or(u32::MAX).to_be_bytes());
            put_prefixes(&lsa.prefixes, out);
        }
        LsaBody::IntraAreaPrefix(lsa) => {
            out.extend_from_slice(&u16::try_from(lsa.prefixes.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(&lsa.referenced.kind.0.to_be_bytes());
            out.extend_from_slice(&lsa.referenced.id.to_be_bytes());
            out.extend_from_slice(&lsa.referenced.adv.0.to_be_bytes());
            put_prefixes(&lsa.prefixes, out);
        }
        LsaBody::Opaque(bytes) => out.extend_from_slice(bytes),
    }
}

fn put_prefixes(prefixes: &[LsaPrefix], out: &mut Vec<u8>) {
    for prefix in prefixes {
        out.extend_from_slice(&[prefix.prefix.prefix_len(), prefix.options]);
        out.extend_from_slice(&prefix.metric.to_be_bytes());
        put_prefix(&prefix.prefix, out);
    }
}
