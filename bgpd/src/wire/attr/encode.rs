//! [`PathAttributes`] to octets, in ascending order of type code (RFC 4271 §5). MP_REACH_NLRI is not among them: it
//! carries routes, and [`crate::wire::update`] writes it with them.

use bytes::{BufMut, BytesMut};

use super::{PathAttributes, PeerKind, flags, table, unknown};

/// What writing attributes depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodeContext {
    /// AS numbers have four octets on this session (RFC 6793); otherwise AS4_PATH and AS4_AGGREGATOR are added where due.
    pub as4: bool,
    /// Where the neighbor stands: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST do not leave the AS.
    pub peer: PeerKind,
    /// NEXT_HOP is written, for IPv4 routes in the NLRI field; `false` for routes in MP_REACH_NLRI.
    pub plain: bool,
}

impl PathAttributes {
    /// Appends the attributes. With `plain`, the next hop has to be an IPv4 address.
    pub fn encode(&self, buf: &mut BytesMut, context: &EncodeContext) {
        let mut unknown = self.unknown.iter().filter(|attribute| table::row(attribute.code).is_none()).peekable();
        for row in table::ROWS {
            while let Some(attribute) = unknown.next_if(|attribute| attribute.code < row.code) {
                unknown::encode(attribute, buf);
            }
            (row.encode)(self, context, buf);
        }
        for attribute in unknown {
            unknown::encode(attribute, buf);
        }
    }
}

/// Appends one attribute: type, length in one octet if it fits, value.
pub(super) fn put(flags: u8, code: u8, value: &[u8], buf: &mut BytesMut) {
    put_head(flags, code, value.len(), buf);
    buf.put_slice(value);
}

/// Appends the type and the length of an attribute.
///
/// A value of more than 65,535 octets cannot be sent at all; its length is cut here and the message refused by
/// [`crate::wire::update`], which bounds the whole.
pub(super) fn put_head(flags: u8, code: u8, length: usize, buf: &mut BytesMut) {
    match u8::try_from(length) {
        Ok(length) => buf.put_slice(&[flags, code, length]),
        Err(_) => {
            buf.put_slice(&[flags | flags::EXTENDED_LENGTH, code]);
            buf.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        }
    }
}

/// Appends a list of values of one size, unless it is empty.
pub(super) fn put_list<T, const N: usize>(
    flags: u8,
    code: u8,
    list: &[T],
    octets: impl Fn(&T) -> [u8; N],
    buf: &mut BytesMut,
) {
    if list.is_empty() {
        return;
    }
    put_head(flags, code, list.len() * N, buf);
    for item in list {
        buf.put_slice(&octets(item));
    }
}

/// Optional transitive.
pub(super) const TRANSITIVE: u8 = flags::OPTIONAL | flags::TRANSITIVE;
/// Optional non-transitive.
pub(super) const NON_TRANSITIVE: u8 = flags::OPTIONAL;
/// Well-known.
pub(super) const WELL_KNOWN: u8 = flags::TRANSITIVE;
