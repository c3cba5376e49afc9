//! MP_REACH_NLRI (RFC 4760 §3): routes of any family with their next hop.

use bytes::{BufMut, BytesMut};

use super::scan::Tlv;
use super::{NextHopAttr, code, flags, next_hop};
use crate::wire::family::AFI_IPV4;
use crate::wire::{AfiSafi, Notification};

/// The parts of an MP_REACH_NLRI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpReach<'a> {
    /// The routes' family.
    pub family: AfiSafi,
    /// The next hop: 4, 16 or 32 octets in the families we know.
    pub next_hop: &'a [u8],
    /// The whole attribute: type, length and value.
    pub whole: &'a [u8],
    /// The prefixes; [`crate::wire::nlri::PrefixIter`] reads them.
    pub nlri: &'a [u8],
}

pub(super) fn decode<'a>(tlv: &Tlv<'a>) -> Result<MpReach<'a>, Notification> {
    parts(tlv).ok_or_else(|| super::optional_fault(tlv.whole))
}

fn parts<'a>(tlv: &Tlv<'a>) -> Option<MpReach<'a>> {
    let (&[afi_high, afi_low, safi, next_hop_len], rest) = tlv.value.split_first_chunk::<4>()?;
    let family = AfiSafi { afi: u16::from_be_bytes([afi_high, afi_low]), safi };
    let (next_hop, rest) = rest.split_at_checked(usize::from(next_hop_len))?;
    // One reserved octet, to be ignored.
    let (_, nlri) = rest.split_first()?;
    // RFC 7606 §7.11: an unexpected length makes the place of the NLRI doubtful. RFC 8950 §3 allows IPv6 next hops for
    // IPv4 prefixes; whether it was negotiated is for the decoder of attributes.
    let expected = match family.unicast() {
        Some(_) if family.afi == AFI_IPV4 => matches!(next_hop.len(), 4 | 16 | 32),
        Some(_) => matches!(next_hop.len(), 16 | 32),
        None => true,
    };
    expected.then_some(MpReach { family, next_hop, whole: tlv.whole, nlri })
}

/// Octets of the attribute before its NLRI.
pub(crate) fn head_len(next_hop: &NextHopAttr) -> usize {
    4 + 4 + next_hop::mp_len(next_hop) + 1
}

/// Appends the attribute up to its NLRI, always with a two-octet length, and returns where that length stands.
pub(crate) fn begin(family: AfiSafi, next_hop: &NextHopAttr, buf: &mut BytesMut) -> usize {
    buf.put_u8(flags::OPTIONAL | flags::EXTENDED_LENGTH);
    buf.put_u8(code::MP_REACH);
    let length_at = buf.len();
    buf.put_u16(0);
    buf.put_u16(family.afi);
    buf.put_u8(family.safi);
    next_hop::put_mp(next_hop, buf);
    buf.put_u8(0);
    length_at
}
