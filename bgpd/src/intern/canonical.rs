//! The form in which a set is kept and looked up.
//!
//! One octet says what follows it: what the speaker knows beside the attributes (our own routes and policies' weights only),
//! the next hop if it is not NEXT_HOP, and then the attributes as sent to an internal four-octet neighbor. For a route that came
//! in the NLRI field of a well-behaved neighbor this is a zero octet and the very octets of the UPDATE.

use std::net::{IpAddr, Ipv4Addr};

use bytes::{BufMut, BytesMut};
use rib::Protocol;

use crate::attrs::Extra;
use crate::wire::AfiSafi;
use crate::wire::attr::{
    self, DecodeContext, EncodeContext, MpReach, NextHopAttr, Origin, PathAttributes, PeerKind, Scan, Target,
};

/// Weight, protocol, prepending, discarding and the link follow: 11 octets.
const EXTRA: u8 = 1;
/// The next hop follows: its length and octets. Otherwise it is NEXT_HOP among the attributes.
const NEXT_HOP: u8 = 2;

/// The octets of an UPDATE's attributes for some of its routes, arranged as a key. A buffer to be reused.
#[derive(Debug, Default)]
pub struct RawKey(Vec<u8>);

impl RawKey {
    /// For the routes in the NLRI field.
    pub fn set_plain(&mut self, scan: &Scan<'_>) {
        self.0.clear();
        self.0.push(0);
        self.base(scan);
    }

    /// For the routes in MP_REACH_NLRI.
    pub fn set_mp(&mut self, scan: &Scan<'_>, reach: &MpReach<'_>) {
        self.0.clear();
        self.0.push(NEXT_HOP);
        self.0.push(u8::try_from(reach.next_hop.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(reach.next_hop);
        self.base(scan);
    }

    fn base(&mut self, scan: &Scan<'_>) {
        for run in scan.base() {
            self.0.extend_from_slice(run);
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

pub(super) fn encode(attributes: &PathAttributes, extra: Extra, buf: &mut BytesMut) {
    buf.clear();
    let plain = matches!(attributes.next_hop, NextHopAttr::V4(_));
    let has_extra = extra != Extra::default();
    buf.put_u8(if has_extra { EXTRA } else { 0 } | if plain { 0 } else { NEXT_HOP });
    if has_extra {
        buf.put_u32(extra.weight);
        buf.put_u8(extra.protocol.map_or(0, |protocol| protocol as u8 + 1));
        buf.put_u8(extra.prepend);
        buf.put_u8(u8::from(extra.discard));
        buf.put_u32(extra.link);
    }
    if let NextHopAttr::V6 { global, link_local } = attributes.next_hop {
        buf.put_u8(if link_local.is_some() { 32 } else { 16 });
        buf.put_slice(&global.octets());
        if let Some(link_local) = link_local {
            buf.put_slice(&link_local.octets());
        }
    }
    attributes.encode(buf, &EncodeContext { as4: true, peer: PeerKind::Internal, plain });
}

/// The parts of a set's octets: extra, next hop if not among the attributes, attributes.
fn split(octets: &[u8]) -> Option<(Extra, Option<NextHopAttr>, &[u8])> {
    let (&head, mut rest) = octets.split_first()?;
    let mut extra = Extra::default();
    if head & EXTRA != 0 {
        let (fixed, after) = rest.split_first_chunk::<11>()?;
        let [a, b, c, d, protocol, prepend, discard, link @ ..] = *fixed;
        extra.weight = u32::from_be_bytes([a, b, c, d]);
        extra.protocol = Protocol::ALL.into_iter().find(|known| *known as u8 + 1 == protocol);
        extra.prepend = prepend;
        extra.discard = discard != 0;
        extra.link = u32::from_be_bytes(link);
        rest = after;
    }
    let mut next_hop = None;
    if head & NEXT_HOP != 0 {
        let (&length, after) = rest.split_first()?;
        let (value, after) = after.split_at_checked(usize::from(length))?;
        next_hop = Some(match value.len() {
            4 => NextHopAttr::V4(<[u8; 4]>::try_from(value).ok()?.into()),
            _ => {
                let (global, link_local) = value.split_first_chunk::<16>()?;
                let link_local = <[u8; 16]>::try_from(link_local).ok().map(Into::into);
                NextHopAttr::V6 { global: (*global).into(), link_local }
            }
        });
        rest = after;
    }
    Some((extra, next_hop, rest))
}

pub(super) fn extra(octets: &[u8]) -> Extra {
    split(octets).map_or(Extra::default(), |(extra, ..)| extra)
}

pub(super) fn decode(octets: &[u8]) -> PathAttributes {
    let attributes = split(octets).and_then(|(_, next_hop, attributes)| value(next_hop, attributes));
    debug_assert!(attributes.is_some(), "what was encoded here can be decoded here");
    attributes.unwrap_or_else(|| PathAttributes {
        origin: Origin::Incomplete,
        ..PathAttributes::local(NextHopAttr::V4(Ipv4Addr::UNSPECIFIED))
    })
}

fn value(next_hop: Option<NextHopAttr>, attributes: &[u8]) -> Option<PathAttributes> {
    let mut scan = attr::scan(attributes).ok()?;
    let next_hop = match next_hop {
        Some(next_hop) => next_hop,
        None => {
            let tlv = scan.attributes().find(|tlv| tlv.code == attr::code::NEXT_HOP)?;
            NextHopAttr::V4(<[u8; 4]>::try_from(tlv.value).ok()?.into())
        }
    };
    // Our own routes have next hops that no neighbor could send; the decoder gets one that it takes.
    const TAKEN: [u8; 4] = [192, 0, 2, 1];
    scan.mp_reach = Some(MpReach { family: AfiSafi::IPV4_UNICAST, next_hop: &TAKEN, whole: &[], nlri: &[] });
    let decoded = attr::decode(&scan, &DecodeContext::new(PeerKind::Internal), Target::Mp).ok()?;
    Some(PathAttributes { next_hop, ..decoded.attributes })
}

/// True if a next hop stands for ourselves.
pub(crate) fn is_own(next_hop: NextHopAttr) -> bool {
    match next_hop.addr() {
        IpAddr::V4(addr) => addr.is_unspecified(),
        IpAddr::V6(addr) => addr.is_unspecified(),
    }
}
