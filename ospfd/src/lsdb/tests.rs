use super::*;
use crate::id::LsaType;
use crate::lsa::{HEADER_LEN, LsaBody};
use bytes::Bytes;
use std::cmp::Ordering;

#[allow(clippy::disallowed_methods)] // a starting point for virtual time
fn start() -> Instant {
    Instant::now()
}

fn lsa(id: u32, seq: i32, age: u16, text: &'static [u8]) -> Lsa {
    let mut raw = vec![0; HEADER_LEN];
    raw.extend_from_slice(text);
    let key = LsaKey { kind: LsaType(10), id, adv: RouterId(7) };
    let length = u16::try_from(raw.len()).unwrap();
    let header = LsaHeader { age, options: 0, key, seq: SequenceNumber(seq), checksum: 1, length };
    Lsa { header, body: LsaBody::Opaque(Bytes::from_static(text)), raw: raw.into() }
}

#[test]
fn an_lsa_ages_by_the_clock_and_its_end_is_known_in_advance() {
    let now = start();
    let mut db = Lsdb::new(now);
    let slot = db.install(now, Home::As, &lsa(1, 1, 100, b"x"), false, 3).slot;
    assert_eq!(db.age(now + Duration::from_secs(50), db.get(slot).unwrap()), 150);
    assert_eq!(db.deadline(), Some(now + Duration::from_secs(3500)));
    assert!(db.due_slots(now + Duration::from_secs(3499)).is_empty());
    assert_eq!(db.due_slots(now + Duration::from_secs(3500)), [slot]);
    // Ours is due at half its life.
    let own = db.install(now, Home::As, &lsa(2, 1, 0, b"x"), true, 0).slot;
    assert_eq!(db.due_slots(now + Duration::from_secs(1800)), [own]);
}

#[test]
fn a_refresh_is_no_change_and_postpones_the_end() {
    let now = start();
    let mut db = Lsdb::new(now);
    let first = db.install(now, Home::As, &lsa(1, 1, 0, b"x"), false, 3);
    let second = db.install(now + Duration::from_secs(1800), Home::As, &lsa(1, 2, 0, b"x"), false, 3);
    assert!(first.changed && !second.changed && first.slot == second.slot);
    assert!(db.due_slots(now + Duration::from_secs(3600)).is_empty());
    assert_eq!(db.due_slots(now + Duration::from_secs(5400)), [first.slot]);
    assert!(db.install(now, Home::As, &lsa(1, 3, 0, b"y"), false, 3).changed);
}

#[test]
fn counts_by_originator_and_giver_follow_what_is_held() {
    let now = start();
    let mut db = Lsdb::new(now);
    for id in 0..10 {
        db.install(now, Home::Area(AreaId(0)), &lsa(id, 1, 0, b"x"), false, id % 2);
    }
    assert_eq!((db.len(), db.of_origin(RouterId(7)), db.of_giver(0), db.of_giver(1)), (10, 10, 5, 5));
    let slot = db.find(Home::Area(AreaId(0)), &lsa(4, 1, 0, b"").header.key).unwrap();
    assert!(db.find(Home::As, &lsa(4, 1, 0, b"").header.key).is_none());
    db.remove(slot).unwrap();
    assert_eq!((db.len(), db.of_origin(RouterId(7)), db.of_giver(0)), (9, 9, 4));
    assert!(db.remove(slot).is_none());
}

#[test]
fn newer_is_decided_by_sequence_then_checksum_then_age() {
    let header = |seq, checksum, age| LsaHeader { checksum, ..lsa(1, seq, age, b"").header };
    let newer = [
        (header(2, 0, 3600), header(1, 9, 0)),
        (header(1, 9, 50), header(1, 8, 0)),
        (header(1, 9, 3600), header(1, 9, 0)),
        (header(1, 9, 10), header(1, 9, 911)),
        (header(-1, 9, 10), header(i32::MIN + 1, 9, 10)),
    ];
    for (a, b) in newer {
        assert_eq!(compare(&a, &b), Ordering::Greater);
        assert_eq!(compare(&b, &a), Ordering::Less);
    }
    assert_eq!(compare(&header(1, 9, 10), &header(1, 9, 910)), Ordering::Equal);
}
