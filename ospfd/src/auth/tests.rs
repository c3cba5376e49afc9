//! Every kind of authentication there and back, and everything that is a little wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::*;
use crate::config::Secret;
use crate::id::{AreaId, RouterId};
use crate::lsa::LsaHeader;
use crate::packet::{Body, DatabaseDescription, Hello};

const DIGESTS: [AuthKind; 4] = [AuthKind::HmacSha1, AuthKind::HmacSha256, AuthKind::HmacSha384, AuthKind::HmacSha512];

#[allow(clippy::disallowed_methods)] // a starting point for virtual time
fn start() -> Instant {
    Instant::now()
}

fn sequence(boot: u32) -> Sequence {
    Sequence::new(start(), boot)
}

fn key(kind: AuthKind, id: u16, secret: &str, extended: bool) -> AuthKey {
    AuthKey { kind, id, secret: Secret::new(secret.as_bytes()), extended, frr8: false }
}

fn path(version: Version) -> (IpAddr, IpAddr) {
    match version {
        Version::V2 => (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(224, 0, 0, 5).into()),
        Version::V3 => {
            (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5).into())
        }
    }
}

fn packets() -> Vec<Packet> {
    let hello = Hello {
        mask_len: 0,
        interface_id: 0,
        options: 0x02,
        priority: 1,
        hello_interval_secs: 10,
        dead_interval_secs: 40,
        dr: 0,
        bdr: 0,
        neighbors: vec![RouterId(7), RouterId(9)],
    };
    let dd = DatabaseDescription {
        mtu: 1500,
        options: 2,
        init: true,
        more: true,
        master: true,
        seq: 77,
        headers: Vec::<LsaHeader>::new(),
    };
    [
        Body::Hello(hello),
        Body::DatabaseDescription(dd),
        Body::LinkStateRequest(Vec::new()),
        Body::LinkStateAck(Vec::new()),
    ]
    .map(|body| Packet { router: RouterId(0x0a00_0001), area: AreaId(0), instance_id: 0, body })
    .to_vec()
}

/// Every kind of key of a version.
fn kinds(version: Version) -> Vec<AuthKey> {
    let secret = "a secret of 16 o";
    let mut all: Vec<AuthKey> = DIGESTS.map(|kind| key(kind, 3, secret, false)).to_vec();
    if version == Version::V2 {
        all.push(key(AuthKind::Md5, 3, secret, false));
        all.extend(DIGESTS.map(|kind| key(kind, 3, secret, true)));
    }
    all
}

#[test]
fn what_is_signed_is_taken_and_no_octet_of_it_can_be_changed() {
    for version in [Version::V2, Version::V3] {
        let (src, dst) = path(version);
        for key in kinds(version) {
            let mut sequence = sequence(1000);
            for packet in packets() {
                let bytes = seal(version, packet.clone(), src, dst, Some(&key), &mut sequence);
                let keys = [key.clone()];
                let proof = check(version, &bytes, src, &keys);
                assert!(matches!(proof, Ok(Proof::Digest { key: 3, .. })), "{key:?} {packet:?}: {proof:?}");
                let (read, _) = wire::decode_proven(version, &bytes).expect("a packet");
                assert_eq!((read.router, read.area), (packet.router, packet.area));
                assert_eq!(
                    bytes.len(),
                    wire::encode_packet(version, &packet, src, dst).len() + overhead(version, Some(&key))
                );
                for at in 0..bytes.len() {
                    let mut other = bytes.to_vec();
                    other[at] ^= 0x20;
                    let proof = check(version, &other, src, &keys);
                    assert!(proof.is_err(), "{version:?} {key:?}: octet {at} of {} is changed: {proof:?}", bytes.len());
                    assert!(check(version, &bytes[..at], src, &keys).is_err(), "{key:?}: cut to {at}");
                }
            }
        }
    }
}

#[test]
fn a_password_goes_in_clear_and_its_packets_have_a_checksum() {
    let (src, dst) = path(Version::V2);
    let right = key(AuthKind::Simple, 0, "hush", false);
    for packet in packets() {
        let bytes = seal(Version::V2, packet.clone(), src, dst, Some(&right), &mut sequence(1));
        assert_eq!(bytes[14..24], *b"\0\x01hush\0\0\0\0");
        assert_eq!(check(Version::V2, &bytes, src, std::slice::from_ref(&right)), Ok(Proof::Weak));
        assert_eq!(wire::decode_packet(Version::V2, &bytes, src, dst).expect("a packet").0, packet);
        let wrong = key(AuthKind::Simple, 0, "hushh", false);
        assert_eq!(check(Version::V2, &bytes, src, &[wrong]).map_err(|refused| refused.reason), Err(Drop::Auth));
    }
}

#[test]
fn digests_are_those_of_the_standards() {
    // RFC 2202 §3, test case 2, and RFC 4231 §4.3: the same key and text under each hash.
    let text = b"what do ya want for nothing?";
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    for (kind, expected) in [
        (AuthKind::HmacSha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (AuthKind::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            AuthKind::HmacSha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            AuthKind::HmacSha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        assert_eq!(hex(&digest::digest(kind, b"Jefe", &[&text[..10], &text[10..]])), expected);
    }
    // RFC 1321 §A.5: MD5 of the text alone is known; the key takes sixteen octets behind it.
    assert_eq!(hex(&digest::digest(AuthKind::Md5, b"", &[b""])), "4ae71336e44bf9bf79d2752e234818a5");
    // RFC 5709 §3.3 hashes a key that is longer than the digest; HMAC alone would take it as it is up to 64 octets.
    let long = [7; 40];
    assert_ne!(
        digest::digest(AuthKind::HmacSha1, &long, &[text]),
        digest::digest(AuthKind::HmacSha1, &long[..39], &[text])
    );
    assert_eq!(digest::apad(8, &[1, 2, 3, 4]), [1, 2, 3, 4, 0x87, 0x8f, 0xe1, 0xf3]);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let (src, dst) = path(Version::V2);
    let hello = packets().remove(0);
    let mut sequence = sequence(9);
    let mut judge = |theirs: Option<AuthKey>, ours: &[AuthKey]| {
        let bytes = seal(Version::V2, hello.clone(), src, dst, theirs.as_ref(), &mut sequence);
        check(Version::V2, &bytes, src, ours).err().map(|refused| (refused.reason, refused.text))
    };
    let md5 = |id, secret| key(AuthKind::Md5, id, secret, false);
    let sha = |extended| key(AuthKind::HmacSha256, 1, "x", extended);
    for (theirs, ours, reason, text) in [
        (None, vec![md5(1, "x")], Drop::AuthKind, "it sends no authentication, we take md5 with key 1"),
        (Some(md5(1, "x")), vec![], Drop::AuthKind, "it sends a digest, we take no authentication"),
        (
            Some(md5(1, "x")),
            vec![md5(2, "x"), md5(3, "x")],
            Drop::AuthKey,
            "it signs with key 1, we take md5 with key 2 or md5",
        ),
        (Some(md5(1, "x")), vec![md5(1, "y")], Drop::Auth, "its md5 with key 1 is wrong: set the same key on both"),
        (Some(md5(1, "x")), vec![sha(false)], Drop::Auth, "its hmac-sha-256 with key 1 is wrong"),
        (Some(sha(true)), vec![sha(false)], Drop::AuthKind, "it sends a digest with extended sequence numbers"),
        (Some(key(AuthKind::Simple, 0, "x", false)), vec![md5(1, "x")], Drop::AuthKind, "it sends a password"),
    ] {
        let Some((was, said)) = judge(theirs.clone(), &ours) else { panic!("{theirs:?} {ours:?}") };
        assert!(was == reason && said.starts_with(text), "{said}");
        assert!(!said.contains("\"x\""), "{said}");
    }
    let none = key(AuthKind::None, 0, "", false);
    assert_eq!(judge(None, &[md5(1, "x"), none.clone()]), None);
    assert_eq!(judge(Some(md5(1, "x")), &[none, md5(1, "x")]), None);
}

#[test]
fn a_trailer_is_found_behind_link_local_signaling() {
    // What a neighbor sends that signals (RFC 5613): the L bit, and a block of 12 octets between packet and trailer.
    let (src, _) = path(Version::V3);
    let key = key(AuthKind::HmacSha256, 5, "hush", false);
    let mut packet = packets().remove(0);
    let Body::Hello(hello) = &mut packet.body else { panic!() };
    hello.options |= crate::packet::OPTION_L | crate::packet::OPTION_AT;
    let mut bytes = wire::encode_bare(Version::V3, &packet);
    bytes.extend_from_slice(&[0, 0, 0, 3, 0, 1, 0, 4, 0, 0, 0, 1]);
    let head = [0, 1, 0, 48, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9];
    bytes.extend_from_slice(&head);
    let digest = v3::sign(&bytes, src, &key, 32);
    bytes.extend_from_slice(&digest);
    let proof = check(Version::V3, &bytes, src, std::slice::from_ref(&key));
    assert_eq!(proof, Ok(Proof::Digest { key: 5, number: Number::Strict(9) }));
}

#[test]
fn a_hello_of_frr_8_is_taken_as_it_came_from_the_wire() {
    let octets = "030100240a600002000000000000000000000002010004130001000400000000000000000001003000000007000000150000000c\
                  269e067ac7f1e42deda0c02b924b47e7c2e4aff7b8fa24cd2ba129b5d7260e6a";
    let octet = |at: usize| u8::from_str_radix(&octets[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..octets.len()).step_by(2).map(octet).collect();
    let src = "fe80::904c:fbff:fe25:3e6f".parse().unwrap();
    let right = AuthKey { frr8: true, ..key(AuthKind::HmacSha256, 7, "hush-hush", false) };
    let proof = check(Version::V3, &bytes, src, std::slice::from_ref(&right));
    assert_eq!(proof, Ok(Proof::Digest { key: 7, number: Number::Strict(0x15_0000_000c) }));
    let strict = AuthKey { frr8: false, ..right };
    assert_eq!(check(Version::V3, &bytes, src, &[strict]).map_err(|refused| refused.reason), Err(Drop::Auth));
}

#[test]
fn numbers_grow_and_never_repeat() {
    let start = start();
    let mut first = Sequence::new(start, 1000);
    let mut sent: Vec<u64> = (0..5).map(|_| first.next()).collect();
    first.tick(start + Duration::from_secs(100));
    assert_eq!(first.plain(), 1100);
    sent.extend((0..5).map(|_| first.next()));
    // The next life begins above the last second of this one.
    let mut second = sequence(1101);
    sent.extend((0..5).map(|_| second.next()));
    assert!(sent.is_sorted_by(|a, b| a < b), "{sent:x?}");
    assert!(second.plain() > first.plain());
    // Either half grows from one life to the next: FRR compares them apart.
    let lives = [1_800_000_000, 1_800_000_100].map(|boot| sequence(boot).next());
    let halves = lives.map(|number| (number >> 32, number & 0xffff_ffff));
    assert!(halves[1].0 > halves[0].0 && halves[1].1 > halves[0].1, "{halves:x?}");

    let mut seen = Seen::default();
    let strict = |number| Proof::Digest { key: 1, number: Number::Strict(number) };
    let plain = |number| Proof::Digest { key: 2, number: Number::Plain(number) };
    let (one, two) = (RouterId(1), RouterId(2));
    let reason = |taken: Result<(), Refused>| taken.err().map(|refused| refused.reason);
    assert_eq!(reason(seen.take(one, 1, strict(5))), None);
    assert_eq!(reason(seen.take(one, 1, strict(5))), Some(Drop::Replay));
    assert_eq!(reason(seen.take(one, 1, strict(4))), Some(Drop::Replay));
    assert_eq!(reason(seen.take(one, 4, strict(4))), None); // types may overtake each other
    assert_eq!(reason(seen.take(two, 1, strict(1))), None);
    assert_eq!(reason(seen.take(one, 1, plain(7))), None);
    assert_eq!(reason(seen.take(one, 4, plain(7))), None);
    assert_eq!(reason(seen.take(one, 1, plain(6))), Some(Drop::Replay));
    // Gone: what RFC 2328 has forgotten may begin anew, the rest may not.
    seen.forget(one);
    assert_eq!(reason(seen.take(one, 1, plain(6))), None);
    assert_eq!(reason(seen.take(one, 1, strict(5))), Some(Drop::Replay));
    // Another secret under the same id is another key.
    let (old, new) = (key(AuthKind::HmacSha256, 1, "old", true), key(AuthKind::HmacSha256, 1, "new", true));
    seen.keep(std::slice::from_ref(&old), std::slice::from_ref(&old));
    assert_eq!(reason(seen.take(one, 1, strict(5))), Some(Drop::Replay));
    seen.keep(&[old], &[new]);
    assert_eq!(reason(seen.take(one, 1, strict(1))), None);
    assert_eq!(reason(seen.take(one, 0, strict(1))), Some(Drop::Malformed));
    assert_eq!(reason(seen.take(one, 6, strict(1))), Some(Drop::Malformed));
}

#[test]
fn octets_of_every_kind_and_length_are_survived_by_authentication() {
    let mut rng = fastrand::Rng::with_seed(5);
    for version in [Version::V2, Version::V3] {
        let (src, _) = path(version);
        let keys = kinds(version);
        for _ in 0..20_000 {
            let mut octets: Vec<u8> = (0..rng.usize(..120)).map(|_| rng.u8(..)).collect();
            if let Some(place) = octets.get_mut(2..4) {
                place.copy_from_slice(&rng.u16(..160).to_be_bytes());
            }
            if let Some(place) = octets.get_mut(14..16) {
                place.copy_from_slice(&rng.u16(..5).to_be_bytes());
            }
            if rng.bool()
                && let Some(place) = octets.get_mut(1)
            {
                *place = rng.u8(..7);
            }
            let proof = check(version, &octets, src, &keys);
            assert!(!matches!(proof, Ok(Proof::Digest { .. })), "chance has a key: {octets:?}");
        }
    }
}
