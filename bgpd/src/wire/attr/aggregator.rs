//! AGGREGATOR (RFC 4271 §5.1.7; RFC 7606 §7.7) and AS4_AGGREGATOR (RFC 6793 §3).

use std::net::Ipv4Addr;

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, TRANSITIVE, put};
use super::table::Malformed;
use super::{Aggregator, PathAttributes, code};
use crate::wire::AS_TRANS;

/// RFC 7607 §2.
const ZERO: Malformed = "AS number is 0";

fn four_octets(value: &[u8]) -> Result<Aggregator, Malformed> {
    let &[a, b, c, d, ref id @ ..] = <&[u8; 8]>::try_from(value).map_err(|_| "length is not 8")?;
    let asn = u32::from_be_bytes([a, b, c, d]);
    if asn == 0 { Err(ZERO) } else { Ok(Aggregator { asn, router_id: Ipv4Addr::from(*id) }) }
}

pub(super) fn decode(value: &[u8], context: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    draft.aggregator = Some(if context.as4 {
        four_octets(value)?
    } else {
        let &[a, b, ref id @ ..] = <&[u8; 6]>::try_from(value).map_err(|_| "length is not 6")?;
        let asn = u32::from(u16::from_be_bytes([a, b]));
        if asn == 0 {
            return Err(ZERO);
        }
        Aggregator { asn, router_id: Ipv4Addr::from(*id) }
    });
    Ok(())
}

pub(super) fn decode_as4(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    draft.as4_aggregator = Some(four_octets(value)?);
    Ok(())
}

fn eight(aggregator: &Aggregator) -> [u8; 8] {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&aggregator.asn.to_be_bytes());
    value[4..].copy_from_slice(&aggregator.router_id.octets());
    value
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    let Some(aggregator) = &attributes.aggregator else { return };
    let flags = attributes.partial.flags(code::AGGREGATOR);
    if context.as4 {
        put(flags, code::AGGREGATOR, &eight(aggregator), buf);
    } else {
        let mut value = [0; 6];
        value[..2].copy_from_slice(&u16::try_from(aggregator.asn).unwrap_or(AS_TRANS).to_be_bytes());
        value[2..].copy_from_slice(&aggregator.router_id.octets());
        put(flags, code::AGGREGATOR, &value, buf);
    }
}

/// RFC 6793 §4.2.2: only where two octets do not do.
pub(super) fn encode_as4(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    if let Some(aggregator) = attributes.aggregator.filter(|a| !context.as4 && a.asn > u32::from(u16::MAX)) {
        put(TRANSITIVE, code::AS4_AGGREGATOR, &eight(&aggregator), buf);
    }
}
