//! ORIGINATOR_ID (RFC 4456 §8; RFC 7606 §7.9).

use std::net::Ipv4Addr;

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, NON_TRANSITIVE, put};
use super::table::Malformed;
use super::{PathAttributes, PeerKind, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    let octets = <[u8; 4]>::try_from(value).map_err(|_| "length is not 4")?;
    draft.originator_id = Some(Ipv4Addr::from(octets));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    if let Some(id) = attributes.originator_id.filter(|_| context.peer == PeerKind::Internal) {
        put(NON_TRANSITIVE, code::ORIGINATOR_ID, &id.octets(), buf);
    }
}
