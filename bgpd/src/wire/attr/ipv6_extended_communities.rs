//! IPv6 Address Specific Extended Communities (RFC 5701; RFC 7606 §7.15): checked and passed on, not interpreted. They stand among
//! the unknown attributes of a set, but are written without Partial. Non-transitive ones (RFC 5701 §2) stay within the AS.

use bytes::{Bytes, BytesMut};

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, TRANSITIVE, put};
use super::extended_communities::NON_TRANSITIVE;
use super::table::Malformed;
use super::{PathAttributes, PeerKind, UnknownAttribute, code};

/// Octets of one.
const LEN: usize = 20;

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    if value.is_empty() || !value.len().is_multiple_of(LEN) {
        return Err("length is not a multiple of 20, or 0");
    }
    let code = code::IPV6_EXTENDED_COMMUNITIES;
    draft.unknown.push(UnknownAttribute { flags: TRANSITIVE, code, value: Bytes::copy_from_slice(value) });
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    let code = code::IPV6_EXTENDED_COMMUNITIES;
    let Some(held) = attributes.unknown.iter().find(|attribute| attribute.code == code) else { return };
    let flags = attributes.partial.flags(code);
    if context.peer != PeerKind::External {
        return put(flags, code, &held.value, buf);
    }
    let leaving = held.value.as_chunks::<LEN>().0.iter().filter(|community| community[0] & NON_TRANSITIVE == 0);
    let leaving: Vec<u8> = leaving.flatten().copied().collect();
    if !leaving.is_empty() {
        put(flags, code, &leaving, buf);
    }
}
