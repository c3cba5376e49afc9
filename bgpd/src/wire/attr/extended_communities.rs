//! EXTENDED COMMUNITIES (RFC 4360; RFC 7606 §7.14). Non-transitive ones (RFC 4360 §2, bit T) stay within the AS.

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, put_list};
use super::table::Malformed;
use super::{PathAttributes, PeerKind, code};

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

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    let list = &attributes.extended_communities;
    let flags = attributes.partial.flags(code::EXTENDED_COMMUNITIES);
    if context.peer == PeerKind::External && list.iter().any(|community| community[0] & NON_TRANSITIVE != 0) {
        let leaving: Vec<[u8; 8]> = list.iter().filter(|c| c[0] & NON_TRANSITIVE == 0).copied().collect();
        put_list(flags, code::EXTENDED_COMMUNITIES, &leaving, |community| *community, buf);
    } else {
        put_list(flags, code::EXTENDED_COMMUNITIES, list, |community| *community, buf);
    }
}
