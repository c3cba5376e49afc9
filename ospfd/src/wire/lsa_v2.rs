//! Bodies of OSPFv2's LSAs (RFC 2328 §A.4, RFC 3101 §A, RFC 5250 §A.2).

use std::net::Ipv4Addr;

use bytes::Bytes;
use ipnet::{IpNet, Ipv4Net};

use super::DecodeError;
use super::read::{Reader, put_8_24};
use crate::id::{LsaType, RouterId};
use crate::lsa::{
    AsbrSummaryLsa, ExternalLsa, LinkKind, LsaBody, LsaHeader, NetworkLsa, RouterFlags, RouterLink, RouterLsa,
    SummaryLsa,
};

pub(super) fn decode(header: &LsaHeader, body: &mut Reader<'_>) -> Result<LsaBody, DecodeError> {
    let LsaType(kind) = header.key.kind;
    match kind {
        1 => router(header, body).map(LsaBody::Router),
        2 => network(header, body).map(LsaBody::Network),
        3 | 4 => summary(header, body),
        5 | 7 => external(header, body).map(LsaBody::External),
        _ => Ok(LsaBody::Opaque(Bytes::copy_from_slice(body.0))),
    }
}

/// Length of a contiguous mask.
fn mask_len(mask: u32) -> Result<u8, DecodeError> {
    let length = mask.leading_ones();
    if mask.count_ones() != length {
        return Err(DecodeError::Value);
    }
    u8::try_from(length).map_err(|_| DecodeError::Value)
}

fn prefix(id: u32, mask: u32) -> Result<IpNet, DecodeError> {
    let net = Ipv4Net::new(Ipv4Addr::from(id), mask_len(mask)?).map_err(|_| DecodeError::Value)?;
    Ok(IpNet::V4(net.trunc()))
}

fn router(header: &LsaHeader, body: &mut Reader<'_>) -> Result<RouterLsa, DecodeError> {
    let length = DecodeError::Length;
    let bits = body.u8().ok_or(length)?;
    body.u8().ok_or(length)?;
    let count = body.u16().ok_or(length)?;
    let mut links = Vec::with_capacity(usize::from(count).min(body.0.len() / 12));
    for _ in 0..count {
        let (id, data) = (body.u32().ok_or(length)?, body.u32().ok_or(length)?);
        let kind = match body.u8().ok_or(length)? {
            1 => LinkKind::PointToPoint,
            2 => LinkKind::Transit,
            3 => LinkKind::Stub,
            4 => LinkKind::Virtual,
            _ => return Err(DecodeError::Value),
        };
        let services = usize::from(body.u8().ok_or(length)?);
        let metric = body.u16().ok_or(length)?;
        body.take(services * 4).ok_or(length)?; // TOS metrics, obsolete
        links.push(RouterLink { kind, id, data, neighbor_interface: 0, metric });
    }
    if !body.is_empty() {
        return Err(length);
    }
    let flags = RouterFlags {
        border: bits & 0x01 != 0,
        external: bits & 0x02 != 0,
        virtual_link: bits & 0x04 != 0,
        translator: bits & 0x10 != 0,
    };
    Ok(RouterLsa { flags, options: u32::from(header.options), links })
}

fn network(header: &LsaHeader, body: &mut Reader<'_>) -> Result<NetworkLsa, DecodeError> {
    let mask = mask_len(body.u32().ok_or(DecodeError::Length)?)?;
    if !body.0.len().is_multiple_of(4) {
        return Err(DecodeError::Length);
    }
    let mut attached = Vec::with_capacity(body.0.len() / 4);
    while let Some(router) = body.u32() {
        attached.push(RouterId(router));
    }
    Ok(NetworkLsa { mask_len: Some(mask), options: u32::from(header.options), attached })
}

fn summary(header: &LsaHeader, body: &mut Reader<'_>) -> Result<LsaBody, DecodeError> {
    let length = DecodeError::Length;
    let mask = body.u32().ok_or(length)?;
    body.u8().ok_or(length)?;
    let metric = body.u24().ok_or(length)?;
    if !body.0.len().is_multiple_of(4) {
        return Err(length); // TOS metrics may follow
    }
    if header.key.kind.0 == 4 {
        return Ok(LsaBody::AsbrSummary(AsbrSummaryLsa { router: RouterId(header.key.id), options: 0, metric }));
    }
    Ok(LsaBody::Summary(SummaryLsa { prefix: prefix(header.key.id, mask)?, prefix_options: 0, metric }))
}

fn external(header: &LsaHeader, body: &mut Reader<'_>) -> Result<ExternalLsa, DecodeError> {
    let length = DecodeError::Length;
    let mask = body.u32().ok_or(length)?;
    let type2 = body.u8().ok_or(length)? & 0x80 != 0;
    let metric = body.u24().ok_or(length)?;
    let forwarding = Ipv4Addr::from(body.u32().ok_or(length)?);
    let tag = body.u32().ok_or(length)?;
    if !body.0.len().is_multiple_of(12) {
        return Err(length); // TOS routes may follow
    }
    Ok(ExternalLsa {
        prefix: prefix(header.key.id, mask)?,
        prefix_options: 0,
        type2,
        metric,
        forwarding: (!forwarding.is_unspecified()).then_some(forwarding.into()),
        tag,
        referenced: None,
    })
}

pub(super) fn encode(header: &LsaHeader, body: &LsaBody, out: &mut Vec<u8>) {
    let mask = |prefix: &IpNet| match prefix {
        IpNet::V4(net) => net.netmask().octets(),
        IpNet::V6(_) => [0; 4],
    };
    match body {
        LsaBody::Router(lsa) => {
            let flags = lsa.flags;
            let bits = u8::from(flags.border)
                | u8::from(flags.external) << 1
                | u8::from(flags.virtual_link) << 2
                | u8::from(flags.translator) << 4;
            out.extend_from_slice(&[bits, 0]);
            out.extend_from_slice(&u16::try_from(lsa.links.len()).unwrap_or(u16::MAX).to_be_bytes());
            for link in &lsa.links {
                out.extend_from_slice(&link.id.to_be_bytes());
                out.extend_from_slice(&link.data.to_be_bytes());
                out.extend_from_slice(&[super::packet::link_kind(link.kind), 0]);
                out.extend_from_slice(&link.metric.to_be_bytes());
            }
        }
        LsaBody::Network(lsa) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(lsa.mask_len.unwrap_or(0)).min(32)).unwrap_or(0);
            out.extend_from_slice(&mask.to_be_bytes());
            for router in &lsa.attached {
                out.extend_from_slice(&router.0.to_be_bytes());
            }
        }
        LsaBody::Summary(lsa) => {
            out.extend_from_slice(&mask(&lsa.prefix));
            put_8_24(0, lsa.metric, out);
        }
        LsaBody::AsbrSummary(lsa) => {
            out.extend_from_slice(&[0; 4]);
            put_8_24(0, lsa.metric, out);
        }
        LsaBody::External(lsa) => {
            out.extend_from_slice(&mask(&lsa.prefix));
            put_8_24(u8::from(lsa.type2) << 7, lsa.metric, out);
            let forwarding = match lsa.forwarding {
                Some(std::net::IpAddr::V4(address)) => address,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            out.extend_from_slice(&forwarding.octets());
            out.extend_from_slice(&lsa.tag.to_be_bytes());
        }
        LsaBody::Opaque(bytes) => out.extend_from_slice(bytes),
        // v3's alone.
        LsaBody::Link(_) | LsaBody::IntraAreaPrefix(_) => debug_assert!(false, "{:?} is no v2 LSA", header.key),
    }
}
