//! NEXT_HOP (RFC 4271 §5.1.3; RFC 7606 §7.3) and the next hop within MP_REACH_NLRI (RFC 4760 §3, RFC 2545 §3,
//! RFC 8950 §3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, WELL_KNOWN, put};
use super::table::Malformed;
use super::{MpReach, NextHopAttr, PathAttributes, code};
use crate::wire::family::AFI_IPV4;

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    let octets = <[u8; 4]>::try_from(value).map_err(|_| "length is not 4")?;
    draft.next_hop = Some(Ipv4Addr::from(octets));
    Ok(())
}

/// The next hop of MP_REACH_NLRI, whose length [`super::mp_reach`] has checked against the family.
pub(super) fn from_mp(reach: &MpReach<'_>, context: &DecodeContext) -> Result<NextHopAttr, Malformed> {
    if let Ok(octets) = <[u8; 4]>::try_from(reach.next_hop) {
        return Ok(NextHopAttr::V4(Ipv4Addr::from(octets)));
    }
    if reach.family.afi == AFI_IPV4 && !context.extended_next_hop {
        return Err("IPv6 next hop for IPv4 routes was not negotiated (RFC 8950)");
    }
    let Some((global, rest)) = reach.next_hop.split_first_chunk::<16>() else { return Err("next hop is too short") };
    let global = Ipv6Addr::from(*global);
    // RFC 2545 §3: the second is link-local. Speakers that have none send something else there, which we ignore; and
    // speakers that have no global one send the unspecified address in its place.
    let link_local = <[u8; 16]>::try_from(rest).ok().map(Ipv6Addr::from).filter(Ipv6Addr::is_unicast_link_local);
    Ok(match link_local {
        Some(link_local) if global.is_unspecified() => NextHopAttr::V6 { global: link_local, link_local: None },
        link_local => NextHopAttr::V6 { global, link_local },
    })
}

/// Why no route can have this next hop, if so (RFC 4271 §6.3: a valid IP host address that is not our own).
pub(super) fn refuse(next_hop: &NextHopAttr, context: &DecodeContext) -> Option<Malformed> {
    let addr = next_hop.addr();
    let host = match addr {
        // Class E is refused as well; 0.0.0.0/8 is "this network" (RFC 1122 §3.2.1.3).
        IpAddr::V4(v4) => !(v4.octets()[0] == 0 || v4.is_loopback() || v4.octets()[0] >= 224),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    };
    if !host {
        return Some("is not the address of a host");
    }
    if context.local_address == Some(addr) {
        return Some("is our own address");
    }
    None
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    if !context.plain {
        return;
    }
    match attributes.next_hop {
        NextHopAttr::V4(addr) => put(WELL_KNOWN, code::NEXT_HOP, &addr.octets(), buf),
        NextHopAttr::V6 { .. } => debug_assert!(false, "routes in the NLRI field have an IPv4 next hop"),
    }
}

/// Octets of the next hop in MP_REACH_NLRI.
pub(super) const fn mp_len(next_hop: &NextHopAttr) -> usize {
    match next_hop {
        NextHopAttr::V4(_) => 4,
        NextHopAttr::V6 { link_local: None, .. } => 16,
        NextHopAttr::V6 { link_local: Some(_), .. } => 32,
    }
}

/// Appends length and octets of the next hop for MP_REACH_NLRI.
pub(super) fn put_mp(next_hop: &NextHopAttr, buf: &mut BytesMut) {
    match next_hop {
        NextHopAttr::V4(addr) => {
            buf.put_u8(4);
            buf.put_slice(&addr.octets());
        }
        NextHopAttr::V6 { global, link_local } => {
            buf.put_u8(if link_local.is_some() { 32 } else { 16 });
            buf.put_slice(&global.octets());
            if let Some(link_local) = link_local {
                buf.put_slice(&link_local.octets());
            }
        }
    }
}
