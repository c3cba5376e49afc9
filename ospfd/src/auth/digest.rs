//! Digests over a packet and a key. HMAC is as RFC 2104 has it, but for the key, which RFC 5709 §3.3 hashes if it is longer than
//! the digest and not only if it is longer than a block.

use hmac::digest::{Digest as _, KeyInit};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::config::AuthKind;

/// RFC 5709 §3.3, RFC 7166 §4.5: stands in the place of the digest while it is computed.
const APAD: [u8; 4] = [0x87, 0x8f, 0xe1, 0xf3];
/// Octets of the longest key that keyed MD5 takes (RFC 2328 §D.3).
const MD5_KEY: usize = 16;

/// Octets of a digest; `None` where there is none.
pub(super) fn length(kind: AuthKind) -> Option<usize> {
    match kind {
        AuthKind::None | AuthKind::Simple => None,
        AuthKind::Md5 => Some(16),
        AuthKind::HmacSha1 => Some(20),
        AuthKind::HmacSha256 => Some(32),
        AuthKind::HmacSha384 => Some(48),
        AuthKind::HmacSha512 => Some(64),
    }
}

/// Apad of `length` octets that begins with the source address, as far as the protocol wants that.
pub(super) fn apad(length: usize, source: &[u8]) -> Vec<u8> {
    let fill = APAD.iter().copied().cycle().take(length.saturating_sub(source.len()));
    source.iter().copied().chain(fill).collect()
}

/// The digest of `parts` one after another; empty where there is none.
pub(super) fn digest(kind: AuthKind, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match kind {
        AuthKind::None | AuthKind::Simple => Vec::new(),
        AuthKind::Md5 => {
            let mut hash = Md5::new();
            for part in parts {
                hash.update(part);
            }
            // RFC 2328 §D.4.3: the key, in sixteen octets, takes the place of the digest.
            let mut whole = [0; MD5_KEY];
            for (place, octet) in whole.iter_mut().zip(key) {
                *place = *octet;
            }
            hash.update(whole);
            hash.finalize().to_vec()
        }
        AuthKind::HmacSha1 => hmac::<Hmac<Sha1>>(&within(key, 20, |key| Sha1::digest(key).to_vec()), parts),
        AuthKind::HmacSha256 => hmac::<Hmac<Sha256>>(&within(key, 32, |key| Sha256::digest(key).to_vec()), parts),
        AuthKind::HmacSha384 => hmac::<Hmac<Sha384>>(&within(key, 48, |key| Sha384::digest(key).to_vec()), parts),
        AuthKind::HmacSha512 => hmac::<Hmac<Sha512>>(&within(key, 64, |key| Sha512::digest(key).to_vec()), parts),
    }
}

/// Ko of RFC 5709 §3.3 (1); HMAC itself adds the zeros.
fn within(key: &[u8], most: usize, hash: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    if key.len() > most { hash(key) } else { key.to_vec() }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Equal, in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && !one.is_empty() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
