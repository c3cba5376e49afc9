//! CLUSTER_LIST (RFC 4456 §8; RFC 7606 §7.10).

use std::net::Ipv4Addr;

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, NON_TRANSITIVE, put_list};
use super::table::Malformed;
use super::{PathAttributes, PeerKind, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    match value.as_chunks::<4>() {
        ([], _) | (_, [_, ..]) => Err("length is not a multiple of 4, or 0"),
        (list, []) => {
            draft.cluster_list = list.iter().map(|octets| Ipv4Addr::from(*octets)).collect();
            Ok(())
        }
    }
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    if context.peer == PeerKind::Internal {
        put_list(NON_TRANSITIVE, code::CLUSTER_LIST, &attributes.cluster_list, Ipv4Addr::octets, buf);
    }
}
