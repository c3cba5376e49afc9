//! MULTI_EXIT_DISC (RFC 4271 §5.1.4; RFC 7606 §7.4).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, NON_TRANSITIVE, put};
use super::table::Malformed;
use super::{PathAttributes, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    draft.med = Some(u32::from_be_bytes(value.try_into().map_err(|_| "length is not 4")?));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    if let Some(value) = attributes.med {
        put(NON_TRANSITIVE, code::MED, &value.to_be_bytes(), buf);
    }
}
