//! ORIGIN (RFC 4271 §5.1.1; RFC 7606 §7.1).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, WELL_KNOWN, put};
use super::table::Malformed;
use super::{Origin, PathAttributes, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    draft.origin = Some(match value {
        [0] => Origin::Igp,
        [1] => Origin::Egp,
        [2] => Origin::Incomplete,
        [_] => return Err("value is undefined"),
        _ => return Err("length is not 1"),
    });
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    put(WELL_KNOWN, code::ORIGIN, &[attributes.origin as u8], buf);
}
