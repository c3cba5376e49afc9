//! IPv6 prefixes (RFC 2545, RFC 4760 §5).

use std::net::Ipv6Addr;

use bytes::{BufMut, BytesMut};
use ipnet::Ipv6Net;
use rib::V6;

use super::NlriFamily;

impl NlriFamily for V6 {
    #[inline]
    fn from_octets(length: u8, octets: &[u8]) -> Ipv6Net {
        let mut bits = [0; 16];
        bits[..octets.len()].copy_from_slice(octets);
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let addr = Ipv6Addr::from_bits(u128::from_be_bytes(bits) & mask);
        Ipv6Net::new_assert(addr, length)
    }

    #[inline]
    fn put_octets(prefix: Ipv6Net, buf: &mut BytesMut) {
        buf.put_slice(&prefix.addr().octets()[..usize::from(prefix.prefix_len()).div_ceil(8)]);
    }
}
