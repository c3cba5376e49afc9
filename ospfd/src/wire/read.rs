//! Octets taken one field after another, and the LSA header, which both versions share but for two octets.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::id::{LsaKey, LsaType, RouterId, SequenceNumber, Version};
use crate::lsa::LsaHeader;

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three octets.
    pub(super) fn u24(&mut self) -> Option<u32> {
        self.array::<3>().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn v6(&mut self) -> Option<Ipv6Addr> {
        self.array::<16>().map(Ipv6Addr::from)
    }

    /// The address of a v3 prefix, in as many words as its length needs (RFC 5340 §A.4.1).
    pub(super) fn prefix(&mut self, length: u8) -> Option<Ipv6Net> {
        if length > 128 {
            return None;
        }
        let octets = self.take(usize::from(length).div_ceil(32) * 4)?;
        let mut address = [0; 16];
        address.get_mut(..octets.len())?.copy_from_slice(octets);
        Ipv6Net::new(Ipv6Addr::from(address), length).ok().map(|net| net.trunc())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn header(&mut self, version: Version) -> Option<LsaHeader> {
        // Bit 15 is DoNotAge (RFC 1793 §2.2), which we do not take part in.
        let age = self.u16()? & 0x7fff;
        let (options, kind) = match version {
            Version::V2 => (self.u8()?, u16::from(self.u8()?)),
            Version::V3 => (0, self.u16()?),
        };
        let key = LsaKey { kind: LsaType(kind), id: self.u32()?, adv: RouterId(self.u32()?) };
        let seq = SequenceNumber(i32::from_be_bytes(self.array()?));
        Some(LsaHeader { age, options, key, seq, checksum: self.u16()?, length: self.u16()? })
    }
}

/// Writes an LSA header.
pub(super) fn put_header(version: Version, header: &LsaHeader, out: &mut Vec<u8>) {
    out.extend_from_slice(&header.age.to_be_bytes());
    match version {
        Version::V2 => out.extend_from_slice(&[header.options, header.key.kind.0.to_be_bytes()[1]]),
        Version::V3 => out.extend_from_slice(&header.key.kind.0.to_be_bytes()),
    }
    out.extend_from_slice(&header.key.id.to_be_bytes());
    out.extend_from_slice(&header.key.adv.0.to_be_bytes());
    out.extend_from_slice(&header.seq.0.to_be_bytes());
    out.extend_from_slice(&header.checksum.to_be_bytes());
    out.extend_from_slice(&header.length.to_be_bytes());
}

/// Writes the address of a v3 prefix.
pub(super) fn put_prefix(prefix: &Ipv6Net, out: &mut Vec<u8>) {
    let words = usize::from(prefix.prefix_len()).div_ceil(32) * 4;
    out.extend(prefix.network().octets().iter().take(words));
}

/// Writes one octet and the low 24 bits of a number.
pub(super) fn put_8_24(first: u8, number: u32, out: &mut Vec<u8>) {
    let [_, a, b, c] = number.to_be_bytes();
    out.extend_from_slice(&[first, a, b, c]);
}
