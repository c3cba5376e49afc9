//! `auth` of an interface or a virtual link: the keys of OSPF's authentication (RFC 2328 §D, RFC 5709, RFC 7474, RFC 7166).

use ospfd::Version;
use ospfd::config::{AuthKey, AuthKind, Secret};

use crate::config::file;
use crate::config::read::Table;
use crate::config::secret;

/// Octets of the longest secret, which is more than any digest is long.
const LONGEST: usize = 255;

const KINDS: [(&str, AuthKind); 7] = [
    ("none", AuthKind::None),
    ("simple", AuthKind::Simple),
    ("md5", AuthKind::Md5),
    ("hmac-sha-1", AuthKind::HmacSha1),
    ("hmac-sha-256", AuthKind::HmacSha256),
    ("hmac-sha-384", AuthKind::HmacSha384),
    ("hmac-sha-512", AuthKind::HmacSha512),
];

/// Octets of the digest of an HMAC.
fn hmac(kind: AuthKind) -> Option<usize> {
    match kind {
        AuthKind::None | AuthKind::Simple | AuthKind::Md5 => None,
        AuthKind::HmacSha1 => Some(20),
        AuthKind::HmacSha256 => Some(32),
        AuthKind::HmacSha384 => Some(48),
        AuthKind::HmacSha512 => Some(64),
    }
}

/// The keys under `auth`, in their order; `versions` are spoken with them, or none if that is not known here.
pub(super) fn keys<'a>(table: &Table<'a>, path: &'a str, versions: &[Version]) -> Vec<AuthKey> {
    let mut all: Vec<AuthKey> = Vec::new();
    for inner in table.tables("auth", path, file::OSPF_AUTH) {
        let Some(key) = key(&inner, versions) else { continue };
        let digest = !matches!(key.kind, AuthKind::None | AuthKind::Simple);
        let same = |held: &AuthKey| !matches!(held.kind, AuthKind::None | AuthKind::Simple) && held.id == key.id;
        if digest && all.iter().any(same) {
            let message = format!("{} stands twice; a neighbor names a key by it", key.id);
            inner.wrong(inner.span_of("key_id"), "key_id", message);
        } else {
            all.push(key);
        }
    }
    let given = all.iter().any(|key| key.kind != AuthKind::None);
    for version in versions {
        if given && !all.iter().any(|key| key.kind != AuthKind::None && takes(*version, key)) {
            table.wrong(table.span_of("auth"), "auth", LACKS_V3);
        }
    }
    all
}

/// Said where OSPFv3 would be left without a key.
pub(super) const LACKS_V3: &str = "has no key for OSPFv3, which takes hmac-sha-1, -256, -384 and -512 only (RFC 7166): add one, or speak \"v2\" alone";

/// What of `keys` a version can use.
pub(super) fn of(version: Version, keys: &[AuthKey]) -> Vec<AuthKey> {
    let usable = keys.iter().filter(|key| takes(version, key)).cloned();
    let only = |key: AuthKey| AuthKey {
        extended: key.extended && version == Version::V2,
        frr8: key.frr8 && version == Version::V3,
        ..key
    };
    usable.map(only).collect()
}

fn takes(version: Version, key: &AuthKey) -> bool {
    version == Version::V2 || key.kind == AuthKind::None || hmac(key.kind).is_some()
}

fn key(table: &Table<'_>, versions: &[Version]) -> Option<AuthKey> {
    if !table.has("type") {
        table.missing("type", "one of none, simple, md5, hmac-sha-1, hmac-sha-256, hmac-sha-384, hmac-sha-512");
    }
    let kind = table.word("type", &KINDS)?;
    let digest = !matches!(kind, AuthKind::None | AuthKind::Simple);
    if kind == AuthKind::None {
        for name in ["key", "key_file"].into_iter().filter(|name| table.has(name)) {
            table.wrong(table.span_of(name), name, "type \"none\" takes no key");
        }
    }
    if !digest && table.has("key_id") {
        table.wrong(table.span_of("key_id"), "key_id", "is for digests; neighbors do not name this one");
    }
    let speaks = |version| versions.is_empty() || versions.contains(&version);
    let most = if speaks(Version::V2) { 255 } else { 65_535 };
    let id = if digest {
        if !table.has("key_id") {
            table.missing("key_id", "a number, the same at all neighbors");
        }
        table.int::<u16>("key_id", 0..=most)?.value
    } else {
        0
    };
    let extended = table.get("extended_sequence").unwrap_or(false);
    if extended && (hmac(kind).is_none() || !speaks(Version::V2)) {
        let message = "is for hmac-sha-* in OSPFv2 (RFC 7474); OSPFv3 always has extended sequence numbers";
        table.wrong(table.span_of("extended_sequence"), "extended_sequence", message);
    }
    let frr8 = table.get("frr8").unwrap_or(false);
    if frr8 && (hmac(kind).is_none() || !speaks(Version::V3)) {
        table.wrong(table.span_of("frr8"), "frr8", "is for hmac-sha-* in OSPFv3, with ospf6d of FRR 8 as neighbor");
    }
    let secret = if kind == AuthKind::None {
        Secret::new(&[])
    } else {
        if !table.has("key") && !table.has("key_file") {
            table.missing("key", "the secret that neighbors share, or key_file with its path");
        }
        let found = secret::read(table, "key", "key_file")?;
        let most = match kind {
            AuthKind::Simple => 8,
            AuthKind::Md5 => 16,
            _ => LONGEST,
        };
        let length = found.text.len();
        if length == 0 || length > most {
            let message = format!("is {length} octets long; this type takes from 1 to {most}");
            table.wrong(found.span, found.name, message);
            return None;
        }
        if hmac(kind).is_some_and(|digest| length > digest) {
            let message = "is longer than the digest, so RFC 5709 hashes it first and some routers do not: shorten it if neighbors refuse it";
            table.warn(found.span, found.name, message);
        }
        Secret::new(found.text.as_bytes())
    };
    Some(AuthKey { kind, id, secret, extended, frr8 })
}
