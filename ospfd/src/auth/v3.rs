//! The authentication trailer of OSPFv3 (RFC 7166): behind the packet, and behind a block of link-local signaling where a
//! neighbor sends one (RFC 5613); we do not.

use std::net::IpAddr;

use super::digest::{self, apad, digest, same};
use super::{Number, Proof, Refused, Sequence, open_to_all};
use crate::config::AuthKey;
use crate::id::Version;
use crate::packet::{Body, OPTION_AT, OPTION_L, Packet};
use crate::wire;

/// Octets before the digest (RFC 7166 §4.1).
pub(super) const HEADER: usize = 16;
/// HMAC cryptographic authentication.
const HMAC: u16 = 1;
/// RFC 7166 §4.4: appended to the key.
const PROTOCOL_ID: [u8; 2] = [0, 1];
const HELLO: u8 = 1;
const DESCRIPTION: u8 = 2;

pub(super) fn seal(mut packet: Packet, src: IpAddr, key: &AuthKey, sequence: &mut Sequence) -> Vec<u8> {
    // RFC 7166 §2.1.
    match &mut packet.body {
        Body::Hello(hello) => hello.options |= OPTION_AT,
        Body::DatabaseDescription(dd) => dd.options |= OPTION_AT,
        _ => {}
    }
    // §4.2: without checksum.
    let mut out = wire::encode_bare(Version::V3, &packet);
    let length = digest::length(key.kind).unwrap_or_default();
    let whole = u16::try_from(HEADER + length).unwrap_or(u16::MAX);
    out.extend_from_slice(&HMAC.to_be_bytes());
    out.extend_from_slice(&whole.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&key.id.to_be_bytes());
    out.extend_from_slice(&sequence.next().to_be_bytes());
    let digest = sign(&out, src, key, length);
    out.extend_from_slice(&digest);
    out
}

/// §4.5: over everything before it, and Apad, which begins with the source address.
pub(super) fn sign(before: &[u8], src: IpAddr, key: &AuthKey, length: usize) -> Vec<u8> {
    let [high, low] = PROTOCOL_ID;
    let id = if key.frr8 { [low, high] } else { [high, low] };
    let ks = [key.secret.reveal(), &id].concat();
    let src = match src {
        IpAddr::V6(src) => src.octets(),
        IpAddr::V4(src) => src.to_ipv6_mapped().octets(),
    };
    digest(key.kind, &ks, &[before, &apad(length, &src)])
}

/// The options of packets that have some.
fn options(bytes: &[u8]) -> Option<u32> {
    let at = match *bytes.get(1)? {
        HELLO => 21,
        DESCRIPTION => 17,
        _ => return None,
    };
    let [a, b, c] = bytes.get(at..at + 3)?.try_into().ok()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

pub(super) fn check(bytes: &[u8], src: IpAddr, keys: &[AuthKey]) -> Result<Proof, Refused> {
    let word = |at: usize| bytes.get(at..at + 2).and_then(|word| word.try_into().ok()).map(u16::from_be_bytes);
    let mut end = usize::from(word(2).ok_or_else(Refused::malformed)?);
    let options = options(bytes);
    // §4.6: behind a block of signaling, whose length is in words of 32 bits.
    if options.is_some_and(|options| options & OPTION_L != 0) {
        end += usize::from(word(end + 2).ok_or_else(Refused::malformed)?) * 4;
    }
    // Hellos and descriptions say whether there is a trailer; of other packets their length does.
    let signed = options.map_or(bytes.len() > end, |options| options & OPTION_AT != 0);
    let has_key = keys.iter().any(|key| digest::length(key.kind).is_some());
    if !has_key {
        return if signed && options.is_some() { Err(Refused::kind("a digest", keys)) } else { Ok(Proof::Weak) };
    }
    if !signed {
        return if open_to_all(keys) { Ok(Proof::Weak) } else { Err(Refused::kind("no authentication", keys)) };
    }
    let (Some(kind), Some(whole), Some(id)) = (word(end), word(end + 2), word(end + 6)) else {
        return Err(Refused::malformed());
    };
    if kind != HMAC {
        return Err(Refused::kind(&format!("authentication of type {kind}"), keys));
    }
    let key = keys
        .iter()
        .find(|key| digest::length(key.kind).is_some() && key.id == id)
        .ok_or_else(|| Refused::key(u32::from(id), keys))?;
    let length = digest::length(key.kind).unwrap_or_default();
    if usize::from(whole) != HEADER + length {
        return Err(Refused::digest(key)); // of another hash
    }
    let start = end + HEADER;
    let (Some(before), Some(number), Some(theirs)) =
        (bytes.get(..start), bytes.get(end + 8..start), bytes.get(start..start + length))
    else {
        return Err(Refused::malformed());
    };
    let number = number.try_into().map(u64::from_be_bytes).map_err(|_| Refused::malformed())?;
    if !same(&sign(before, src, key, length), theirs) {
        return Err(Refused::digest(key));
    }
    Ok(Proof::Digest { key: key.id, number: Number::Strict(number) })
}
