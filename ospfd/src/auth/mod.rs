//! Authentication of packets: a password or digests in v2 (RFC 2328 §D, RFC 5709, RFC 7474), a trailer in v3 (RFC 7166). Of the
//! keys of an interface the first one signs what is sent, and each of them is good for what comes in, so that keys can be
//! changed while adjacencies stay.
//!
//! What is not right is said in words that tell what to do, for a wrong key is the most usual reason.

mod digest;
mod sequence;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

use std::net::IpAddr;

use bytes::Bytes;

use crate::config::{AuthKey, AuthKind};
use crate::drops::Drop;
use crate::id::Version;
use crate::packet::Packet;
use crate::wire;
pub(crate) use sequence::{Seen, Sequence};

/// What a packet that may be read has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing, or a password: its checksum counts.
    Weak,
    /// A digest under this key, over this sequence number.
    Digest { key: u16, number: Number },
}

/// A cryptographic sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// May stand still (RFC 2328 §D.4.3).
    Plain(u32),
    /// Grows with every packet of one type (RFC 7474 §2, RFC 7166 §4.1).
    Strict(u64),
}

/// Why a packet was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Drop,
    /// In words that say what to do.
    pub(crate) text: String,
}

impl Refused {
    fn malformed() -> Self {
        Self { reason: Drop::Malformed, text: "its packets are cut short".to_owned() }
    }

    fn kind(theirs: &str, keys: &[AuthKey]) -> Self {
        let text = format!("it sends {theirs}, we take {}: set the same on both", wanted(keys));
        Self { reason: Drop::AuthKind, text }
    }

    fn key(id: u32, keys: &[AuthKey]) -> Self {
        let text = format!("it signs with key {id}, we take {}: set the same key_id on both", wanted(keys));
        Self { reason: Drop::AuthKey, text }
    }

    fn digest(key: &AuthKey) -> Self {
        let text = format!("its {} is wrong: set the same key on both", name(key));
        Self { reason: Drop::Auth, text }
    }
}

/// A key without its secret.
fn name(key: &AuthKey) -> String {
    let kind = match key.kind {
        AuthKind::None => return "what is not authenticated".to_owned(),
        AuthKind::Simple => return "password".to_owned(),
        AuthKind::Md5 => "md5",
        AuthKind::HmacSha1 => "hmac-sha-1",
        AuthKind::HmacSha256 => "hmac-sha-256",
        AuthKind::HmacSha384 => "hmac-sha-384",
        AuthKind::HmacSha512 => "hmac-sha-512",
    };
    let extended = if key.extended { " and extended sequence numbers" } else { "" };
    format!("{kind} with key {}{extended}", key.id)
}

fn wanted(keys: &[AuthKey]) -> String {
    match keys {
        [] => "no authentication".to_owned(),
        keys => keys.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}

/// What is not authenticated may be taken.
fn open_to_all(keys: &[AuthKey]) -> bool {
    keys.is_empty() || keys.iter().any(|key| key.kind == AuthKind::None)
}

/// Octets that `key` adds behind a packet.
pub(crate) fn overhead(version: Version, key: Option<&AuthKey>) -> usize {
    let Some(length) = key.and_then(|key| digest::length(key.kind)) else { return 0 };
    match version {
        Version::V2 => v2::overhead(key) + length,
        Version::V3 => v3::HEADER + length,
    }
}

/// Writes a packet, signed with `key`.
pub(crate) fn seal(
    version: Version,
    packet: Packet,
    src: IpAddr,
    dst: IpAddr,
    key: Option<&AuthKey>,
    sequence: &mut Sequence,
) -> Bytes {
    match (version, key.filter(|key| key.kind != AuthKind::None)) {
        (_, None) => wire::encode_packet(version, &packet, src, dst),
        (Version::V2, Some(key)) => v2::seal(&packet, src, dst, key, sequence).into(),
        (Version::V3, Some(key)) => v3::seal(packet, src, key, sequence).into(),
    }
}

/// Looks at who may have written a packet, before anything in it is believed.
pub(crate) fn check(version: Version, bytes: &[u8], src: IpAddr, keys: &[AuthKey]) -> Result<Proof, Refused> {
    match version {
        Version::V2 => v2::check(bytes, src, keys),
        Version::V3 => v3::check(bytes, src, keys),
    }
}
