//! ONLY_TO_CUSTOMER (RFC 9234 §5).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, put};
use super::table::Malformed;
use super::{PathAttributes, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    draft.only_to_customer = Some(u32::from_be_bytes(value.try_into().map_err(|_| "length is not 4")?));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    if let Some(value) = attributes.only_to_customer {
        put(attributes.partial.flags(code::ONLY_TO_CUSTOMER), code::ONLY_TO_CUSTOMER, &value.to_be_bytes(), buf);
    }
}
