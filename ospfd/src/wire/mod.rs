//! Packets and LSAs as octets: RFC 2328 §A and RFC 5340 §A. Every length is checked before it is used, nothing is indexed by
//! what the wire says, and the checksum of an LSA is looked at after its length. Authentication is in
//! `auth`.

mod fletcher;
mod lsa_v2;
mod lsa_v3;
mod packet;
mod read;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::Bytes;

use crate::id::{LsaType, Version};
use crate::lsa::{HEADER_LEN, Lsa, LsaBody, LsaHeader};
use crate::packet::Packet;
use read::Reader;

/// How far an LSA is flooded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On the link it was heard on.
    Link,
    /// In its area.
    Area,
    /// Everywhere but in stub areas.
    As,
}

/// What of a packet was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// LSAs of an update that could not be read.
    pub lsas: u32,
}

/// Why octets were not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Of another OSPF version.
    Version,
    /// Too short, or a length within does not fit.
    Length,
    /// The checksum is wrong.
    Checksum,
    /// No such packet type.
    Kind,
    /// A value that cannot be.
    Value,
}

/// The flooding scope of an LSA type (RFC 2328 §A.4, RFC 5250 §3, RFC 5340 §A.4.2.1); `None` for types that are not known and
/// may not be flooded.
#[must_use]
pub fn scope(version: Version, kind: LsaType) -> Option<Scope> {
    match (version, kind.0) {
        (Version::V2, 1..=4 | 7 | 10) => Some(Scope::Area),
        (Version::V2, 5 | 11) => Some(Scope::As),
        (Version::V2, 9) => Some(Scope::Link),
        (Version::V2, _) => None,
        (Version::V3, kind) => {
            let known = matches!(kind & 0x1fff, 1..=5 | 7..=9 | 11);
            match kind & 0x6000 {
                // The U-bit is off: unknown ones are treated as if they had link scope (RFC 5340 §4.5.2).
                _ if !known && kind & 0x8000 == 0 => Some(Scope::Link),
                0x0000 => Some(Scope::Link),
                0x2000 => Some(Scope::Area),
                0x4000 => Some(Scope::As),
                _ => None, // reserved
            }
        }
    }
}

/// Reads a packet. `src` and `dst` are part of v3's checksum.
///
/// # Errors
/// When the octets are no packet of this version, or are damaged.
pub fn decode_packet(
    version: Version,
    bytes: &Bytes,
    src: IpAddr,
    dst: IpAddr,
) -> Result<(Packet, Dropped), DecodeError> {
    packet::decode(version, bytes, Some((src, dst)))
}

/// Reads a packet whose checksum does not count, because its authentication is right.
///
/// # Errors
/// As [`decode_packet`], but for the checksum.
pub(crate) fn decode_proven(version: Version, bytes: &Bytes) -> Result<(Packet, Dropped), DecodeError> {
    packet::decode(version, bytes, None)
}

/// Writes a packet without authentication.
#[must_use]
pub fn encode_packet(version: Version, packet: &Packet, src: IpAddr, dst: IpAddr) -> Bytes {
    let mut out = encode_bare(version, packet);
    write_checksum(version, &mut out, src, dst);
    out.into()
}

/// Writes a packet without authentication and without checksum.
pub(crate) fn encode_bare(version: Version, packet: &Packet) -> Vec<u8> {
    packet::encode(version, packet)
}

/// Writes the checksum of a packet that has none yet; v2 leaves its authentication field out (RFC 2328 §D.4).
pub(crate) fn write_checksum(version: Version, out: &mut [u8], src: IpAddr, dst: IpAddr) {
    packet::write_checksum(version, out, src, dst);
}

/// Reads an LSA, which must fill `raw`.
///
/// # Errors
/// When its length, its checksum or a value in it is wrong.
pub fn decode_lsa(version: Version, raw: &[u8]) -> Result<Lsa, DecodeError> {
    let (header, body) = read_lsa(version, raw)?;
    Ok(Lsa { header, body, raw: Bytes::copy_from_slice(raw) })
}

/// What an LSA says, without its octets.
fn read_lsa(version: Version, raw: &[u8]) -> Result<(LsaHeader, LsaBody), DecodeError> {
    let header = decode_header(version, raw)?;
    if usize::from(header.length) != raw.len() {
        return Err(DecodeError::Length);
    }
    if !fletcher::is_right(raw) {
        return Err(DecodeError::Checksum);
    }
    let mut body = Reader(raw.get(HEADER_LEN..).ok_or(DecodeError::Length)?);
    let body = match version {
        Version::V2 => lsa_v2::decode(&header, &mut body)?,
        Version::V3 => lsa_v3::decode(&header, &mut body)?,
    };
    Ok((header, body))
}

/// Reads an LSA's header.
///
/// # Errors
/// When there are not 20 octets, or the length in it is less.
pub fn decode_header(version: Version, raw: &[u8]) -> Result<LsaHeader, DecodeError> {
    let mut reader = Reader(raw);
    let header = reader.header(version).ok_or(DecodeError::Length)?;
    if usize::from(header.length) < HEADER_LEN {
        return Err(DecodeError::Length);
    }
    Ok(header)
}

/// Writes an LSA; length and checksum of `header` are computed.
#[must_use]
pub fn encode_lsa(version: Version, mut header: LsaHeader, body: &LsaBody) -> Lsa {
    let mut raw = Vec::with_capacity(64);
    read::put_header(version, &header, &mut raw);
    match version {
        Version::V2 => lsa_v2::encode(&header, body, &mut raw),
        Version::V3 => lsa_v3::encode(body, &mut raw),
    }
    header.length = u16::try_from(raw.len()).unwrap_or(u16::MAX);
    if let Some(length) = raw.get_mut(18..20) {
        length.copy_from_slice(&header.length.to_be_bytes());
    }
    header.checksum = fletcher::write(&mut raw);
    Lsa { header, body: body.clone(), raw: raw.into() }
}
