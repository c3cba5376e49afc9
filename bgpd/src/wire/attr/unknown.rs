//! Attributes we do not know (RFC 4271 §5): transitive ones are kept and passed on with Partial set, others are dropped.

use bytes::{Bytes, BytesMut};

use super::scan::Tlv;
use super::{UnknownAttribute, encode, flags};

/// What is kept of an optional attribute that we do not know. The flag that only says how the length is written is
/// cleared, so that equal attributes are equal values.
pub(super) fn keep(tlv: &Tlv<'_>) -> Option<UnknownAttribute> {
    (tlv.flags & flags::TRANSITIVE != 0).then(|| UnknownAttribute {
        flags: tlv.flags & (flags::OPTIONAL | flags::TRANSITIVE | flags::PARTIAL),
        code: tlv.code,
        value: Bytes::copy_from_slice(tlv.value),
    })
}

pub(super) fn encode(attribute: &UnknownAttribute, buf: &mut BytesMut) {
    encode::put(attribute.flags | flags::PARTIAL, attribute.code, &attribute.value, buf);
}
