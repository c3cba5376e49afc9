//! Authentication of OSPFv2: a password in the header (RFC 2328 §D.4.1), a digest behind the packet (§D.4.3, RFC 5709), a digest
//! with a 64-bit sequence number (RFC 7474).

use std::net::IpAddr;

use super::digest::{self, apad, digest, same};
use super::{Number, Proof, Refused, Sequence, open_to_all};
use crate::config::{AuthKey, AuthKind};
use crate::id::Version;
use crate::packet::Packet;
use crate::wire;

const NONE: u16 = 0;
const SIMPLE: u16 = 1;
const CRYPTOGRAPHIC: u16 = 2;
/// RFC 7474 §3.
const EXTENDED: u16 = 3;
/// AuType and the authentication field in the header (RFC 2328 §A.3.1).
const AUTYPE: std::ops::Range<usize> = 14..16;
const FIELD: std::ops::Range<usize> = 16..24;
/// RFC 7474 §6: appended to the key, so that no other protocol's digest is one of ours.
const PROTOCOL_ID: [u8; 2] = [0, 3];
/// Octets of the sequence number behind a packet (RFC 7474 §3).
const NUMBER: usize = 8;

/// Octets between a packet and its digest.
pub(super) fn overhead(key: Option<&AuthKey>) -> usize {
    if key.is_some_and(|key| key.extended) { NUMBER } else { 0 }
}

/// The eight octets of a password.
fn password(key: &AuthKey) -> [u8; 8] {
    let mut field = [0; 8];
    for (place, octet) in field.iter_mut().zip(key.secret.reveal()) {
        *place = *octet;
    }
    field
}

fn put(out: &mut [u8], range: std::ops::Range<usize>, octets: &[u8]) {
    if let Some(place) = out.get_mut(range) {
        place.copy_from_slice(octets);
    }
}

pub(super) fn seal(packet: &Packet, src: IpAddr, dst: IpAddr, key: &AuthKey, sequence: &mut Sequence) -> Vec<u8> {
    let mut out = wire::encode_bare(Version::V2, packet);
    let Some(length) = digest::length(key.kind) else {
        put(&mut out, AUTYPE, &SIMPLE.to_be_bytes());
        wire::write_checksum(Version::V2, &mut out, src, dst);
        put(&mut out, FIELD, &password(key));
        return out;
    };
    let octets = u8::try_from(length).unwrap_or(u8::MAX);
    if key.extended {
        put(&mut out, AUTYPE, &EXTENDED.to_be_bytes());
        put(&mut out, 16..20, &[0, 0, 0, octets]);
        put(&mut out, 20..24, &u32::from(key.id).to_be_bytes());
        out.extend_from_slice(&sequence.next().to_be_bytes());
    } else {
        put(&mut out, AUTYPE, &CRYPTOGRAPHIC.to_be_bytes());
        put(&mut out, 16..20, &[0, 0, key.id.to_be_bytes()[1], octets]);
        put(&mut out, 20..24, &sequence.plain().to_be_bytes());
    }
    let digest = sign(&out, src, key, length);
    out.extend_from_slice(&digest);
    out
}

/// The digest over everything before it.
fn sign(before: &[u8], src: IpAddr, key: &AuthKey, length: usize) -> Vec<u8> {
    let secret = key.secret.reveal();
    match (key.kind, src) {
        (AuthKind::Md5, _) => digest(key.kind, secret, &[before]),
        // RFC 7474 §5: Apad begins with the source address.
        (kind, IpAddr::V4(src)) if key.extended => {
            let ks = [secret, &PROTOCOL_ID].concat();
            digest(kind, &ks, &[before, &apad(length, &src.octets())])
        }
        (kind, _) => digest(kind, secret, &[before, &apad(length, &[])]),
    }
}

pub(super) fn check(bytes: &[u8], src: IpAddr, keys: &[AuthKey]) -> Result<Proof, Refused> {
    let word = |at: usize| bytes.get(at..at + 2).and_then(|word| word.try_into().ok()).map(u16::from_be_bytes);
    let (Some(length), Some(autype)) = (word(2), word(14)) else { return Err(Refused::malformed()) };
    let field: [u8; 8] = bytes.get(FIELD).and_then(|field| field.try_into().ok()).ok_or_else(Refused::malformed)?;
    let [_, _, c, d, rest @ ..] = field;
    let number = u32::from_be_bytes(rest);
    match autype {
        NONE if open_to_all(keys) => Ok(Proof::Weak),
        NONE => Err(Refused::kind("no authentication", keys)),
        SIMPLE => {
            let mut simple = keys.iter().filter(|key| key.kind == AuthKind::Simple).peekable();
            let first = *simple.peek().ok_or_else(|| Refused::kind("a password", keys))?;
            if simple.any(|key| same(&password(key), &field)) { Ok(Proof::Weak) } else { Err(Refused::digest(first)) }
        }
        CRYPTOGRAPHIC => {
            let key = find(u32::from(c), false, keys)?;
            let end = usize::from(length);
            verify(bytes, src, key, usize::from(d), end)?;
            Ok(Proof::Digest { key: key.id, number: Number::Plain(number) })
        }
        EXTENDED => {
            let key = find(number, true, keys)?;
            let end = usize::from(length) + NUMBER;
            let strict = bytes
                .get(usize::from(length)..end)
                .and_then(|octets| octets.try_into().ok())
                .map(u64::from_be_bytes)
                .ok_or_else(Refused::malformed)?;
            // RFC 7474 leaves open whether the length counts the sequence number.
            let octets = usize::from(d);
            let octets = if Some(octets) == digest::length(key.kind) { octets } else { octets.saturating_sub(NUMBER) };
            verify(bytes, src, key, octets, end)?;
            Ok(Proof::Digest { key: key.id, number: Number::Strict(strict) })
        }
        other => Err(Refused::kind(&format!("authentication of type {other}"), keys)),
    }
}

fn find(id: u32, extended: bool, keys: &[AuthKey]) -> Result<&AuthKey, Refused> {
    let ours = |key: &&AuthKey| digest::length(key.kind).is_some() && key.extended == extended;
    if !keys.iter().any(|key| ours(&key)) {
        let theirs = if extended { "a digest with extended sequence numbers" } else { "a digest" };
        return Err(Refused::kind(theirs, keys));
    }
    keys.iter().filter(ours).find(|key| u32::from(key.id) == id).ok_or_else(|| Refused::key(id, keys))
}

/// Whether a digest of `octets` at `end` is right.
fn verify(bytes: &[u8], src: IpAddr, key: &AuthKey, octets: usize, end: usize) -> Result<(), Refused> {
    let length = digest::length(key.kind).unwrap_or_default();
    if octets != length {
        return Err(Refused::digest(key)); // of another hash
    }
    let (Some(before), Some(theirs)) = (bytes.get(..end), bytes.get(end..end + length)) else {
        return Err(Refused::malformed());
    };
    if same(&sign(before, src, key, length), theirs) { Ok(()) } else { Err(Refused::digest(key)) }
}
