//! IPv4 prefixes.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};
use ipnet::Ipv4Net;
use rib::V4;

use super::NlriFamily;

impl NlriFamily for V4 {
    #[inline]
    fn from_octets(length: u8, octets: &[u8]) -> Ipv4Net {
        let mut bits = [0; 4];
        bits[..octets.len()].copy_from_slice(octets);
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let addr = Ipv4Addr::from_bits(u32::from_be_bytes(bits) & mask);
        Ipv4Net::new_assert(addr, length)
    }

    #[inline]
    fn put_octets(prefix: Ipv4Net, buf: &mut BytesMut) {
        buf.put_slice(&prefix.addr().octets()[..usize::from(prefix.prefix_len()).div_ceil(8)]);
    }
}
