//! EXTENDED COMMUNITIES (RFC 4360; RFC 7606 §7.14).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, put_list};
use super::table::Malformed;
use super::{PathAttributes, code};

/// Bit T of the high type octet: not transitive across ASes.
pub(super) const NON_TRANSITIVE: u8 = 0x40;

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    match value.as_chunks::<8>() {
        ([], _) | (_, [_, ..]) => Err("length is not a multiple of 8, or 0"),
        (list, []) => {
            draft.extended_communities = list.to_vec();
            Ok(())
        }
    }
}

/// Whether non-transitive ones leave the AS is for export: a route server passes them on (RFC 7947 §2.2.4).
pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    let flags = attributes.partial.flags(code::EXTENDED_COMMUNITIES);
    put_list(flags, code::EXTENDED_COMMUNITIES, &attributes.extended_communities, |community| *community, buf);
}
