//! COMMUNITIES (RFC 1997; RFC 7606 §7.8).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, put_list};
use super::table::Malformed;
use super::{PathAttributes, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    match value.as_chunks::<4>() {
        ([], _) | (_, [_, ..]) => Err("length is not a multiple of 4, or 0"),
        (list, []) => {
            draft.communities = list.iter().map(|octets| u32::from_be_bytes(*octets)).collect();
            Ok(())
        }
    }
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    let flags = attributes.partial.flags(code::COMMUNITIES);
    put_list(flags, code::COMMUNITIES, &attributes.communities, |community| community.to_be_bytes(), buf);
}
