//! MP_UNREACH_NLRI (RFC 4760 §4): withdrawn routes of any family.

use bytes::{BufMut, BytesMut};

use super::scan::Tlv;
use super::{code, flags};
use crate::wire::{AfiSafi, Notification};

/// The parts of an MP_UNREACH_NLRI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpUnreach<'a> {
    /// The routes' family.
    pub family: AfiSafi,
    /// The whole attribute: type, length and value.
    pub whole: &'a [u8],
    /// The prefixes; none is End-of-RIB (RFC 4724 §2).
    pub nlri: &'a [u8],
}

pub(super) fn decode<'a>(tlv: &Tlv<'a>) -> Result<MpUnreach<'a>, Notification> {
    let Some((&[afi_high, afi_low, safi], nlri)) = tlv.value.split_first_chunk::<3>() else {
        return Err(super::optional_fault(tlv.whole));
    };
    Ok(MpUnreach { family: AfiSafi { afi: u16::from_be_bytes([afi_high, afi_low]), safi }, whole: tlv.whole, nlri })
}

/// Appends the attribute up to its NLRI, always with a two-octet length, and returns where that length stands.
pub(crate) fn begin(family: AfiSafi, buf: &mut BytesMut) -> usize {
    buf.put_u8(flags::OPTIONAL | flags::EXTENDED_LENGTH);
    buf.put_u8(code::MP_UNREACH);
    let length_at = buf.len();
    buf.put_u16(0);
    buf.put_u16(family.afi);
    buf.put_u8(family.safi);
    length_at
}
