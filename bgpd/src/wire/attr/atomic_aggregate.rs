//! ATOMIC_AGGREGATE (RFC 4271 §5.1.6; RFC 7606 §7.6).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, WELL_KNOWN, put};
use super::table::Malformed;
use super::{PathAttributes, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    if !value.is_empty() {
        return Err("length is not 0");
    }
    draft.atomic_aggregate = true;
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    if attributes.atomic_aggregate {
        put(WELL_KNOWN, code::ATOMIC_AGGREGATE, &[], buf);
    }
}
