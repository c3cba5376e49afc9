//! What is remembered of messages, and how it reads.

use super::*;
use crate::session::HistoryEntry;

fn descriptions(entries: &[HistoryEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.description.as_str()).collect()
}

/// An UPDATE that announces so many prefixes of /24.
fn announcement(prefixes: u16) -> Bytes {
    let attributes = [
        &[0x40, 1, 1, 0][..],
        &[0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf4],
        &[0x40, 3, 4, 192, 0, 2, 2],
        &[0xc0, 8, 4, 0xfc, 0, 0, 53],
    ]
    .concat();
    let mut buf = BytesMut::new();
    let start = header::begin(MessageType::Update, &mut buf);
    buf.put_u16(0);
    buf.put_u16(u16::try_from(attributes.len()).expect("short"));
    buf.put_slice(&attributes);
    for n in 0..prefixes {
        buf.put_slice(&[24, 10, (n >> 8) as u8, n as u8]);
    }
    header::finish(start, &mut buf);
    buf.freeze()
}

#[test]
fn a_session_reads_like_a_conversation_and_is_remembered_over_its_end() {
    let (mut rig, conn) = Rig::established(config(), &open());
    rig.pass(Duration::from_secs(1));
    rig.say(conn, &announcement(2));
    rig.say(conn, &update());
    rig.session.note_sent(rig.now, &refresh());
    rig.say(conn, &Notification::cease_with_text(cease::SHUTDOWN, "bye").to_bytes());
    rig.pass(Duration::from_millis(100));
    let entries = rig.session.history(rig.now);
    let expected = [
        "OPEN: AS 64500, hold time 180 s, identifier 10.0.0.1; multiprotocol ipv4-unicast, route refresh, four-octet AS 64500",
        "OPEN: AS 64512, hold time 90 s, identifier 10.0.0.5; multiprotocol ipv4-unicast, route refresh, extended messages, \
         four-octet AS 64512",
        "KEEPALIVE",
        "KEEPALIVE",
        "UPDATE: announce 10.0.0.0/24, 10.0.1.0/24; origin igp, as-path \"64500\", next-hop 192.0.2.2, communities 64512:53",
        "UPDATE: End-of-RIB of ipv4-unicast",
        "NOTIFICATION: Cease: Administrative Shutdown (\"bye\")",
        "ROUTE-REFRESH: send ipv4-unicast again",
    ];
    let mut found = descriptions(&entries);
    // What happened in the same instant stands in any order.
    found[..4].sort_unstable_by_key(|words| (words.len() < 20, words.contains("64512")));
    assert_eq!(found[..4], [expected[0], expected[1], "KEEPALIVE", "KEEPALIVE"]);
    found[4..].sort_unstable();
    let mut rest = expected[4..].to_vec();
    rest.sort_unstable();
    assert_eq!(found[4..], rest);
    let first = entries.iter().find(|entry| !entry.sent && entry.kind == MessageType::Open).expect("kept");
    assert_eq!((&first.octets[..], first.length), (&open().to_bytes()[..], open().to_bytes().len()));
    assert_eq!(first.age, Duration::from_millis(1100));
}

#[test]
fn only_the_last_messages_are_kept_each_way() {
    let (mut rig, conn) = Rig::established(config(), &open());
    for n in 0..200 {
        rig.say(conn, &announcement(n));
    }
    rig.pass(Duration::from_millis(1));
    rig.say(conn, b"garbage");
    let entries = rig.session.history(rig.now);
    let received: Vec<_> = entries.iter().filter(|entry| !entry.sent).collect();
    assert_eq!(received.len(), 64);
    for (entry, n) in received.iter().zip(136..) {
        assert_eq!(entry.octets, announcement(n));
        assert!(entry.description.contains(&format!("10.0.11.0/24 and {} more", n - 12)), "{}", entry.description);
    }
    let last = entries.last().expect("kept");
    assert!(last.sent);
    assert_eq!(last.description, "NOTIFICATION: Message Header Error: Connection Not Synchronized");
}

#[test]
fn octets_are_bounded_and_the_oldest_lose_theirs_first() {
    let (mut rig, conn) = Rig::established(config(), &open());
    let long = announcement(1000);
    for _ in 0..100 {
        rig.say(conn, &long);
    }
    let entries = rig.session.history(rig.now);
    let received: Vec<_> = entries.iter().filter(|entry| !entry.sent).collect();
    let whole = received.iter().filter(|entry| entry.octets == long).count();
    assert_eq!((received.len(), whole), (64, 64 * 1024 / (long.len() - HEADER_LEN)));
    assert!(received[..64 - whole].iter().all(|entry| entry.octets.len() == HEADER_LEN && entry.length == long.len()));
    assert_eq!(received[0].description, "UPDATE of 4050 octets, not kept whole");
    // Short ones after them get room again.
    for _ in 0..64 {
        rig.say(conn, &announcement(1));
    }
    assert!(
        rig.session.history(rig.now).iter().filter(|entry| !entry.sent).all(|entry| entry.octets == announcement(1))
    );
}

#[test]
fn of_a_piece_the_last_messages_have_their_octets() {
    let (mut rig, _) = Rig::established(config(), &open());
    let piece: Vec<u8> = (0..100).flat_map(|n| announcement(n).to_vec()).collect();
    rig.session.note_sent(rig.now, &piece);
    let entries = rig.session.history(rig.now);
    let sent: Vec<_> = entries.iter().filter(|entry| entry.sent).collect();
    assert_eq!(sent.len(), 64);
    for (entry, n) in sent.iter().zip(36..) {
        let message = announcement(n);
        assert_eq!((entry.length, entry.octets == message), (message.len(), n >= 92), "{n}");
    }
    // The queue in which the session's own messages stand: those were noted when they were made.
    rig.session.note_handed_out(rig.now, &header::keepalive());
    rig.session.note_handed_out(rig.now, &refresh());
    let last = rig.session.history(rig.now);
    let sent: Vec<_> = last.iter().filter(|entry| entry.sent).rev().take(2).map(|entry| entry.kind).collect();
    assert_eq!(sent, [MessageType::RouteRefresh, MessageType::Update]);
}

proptest! {
    /// Whatever was received, it can be shown.
    #[test]
    fn anything_can_be_described(kind in 1..6_u8, body in vec(any::<u8>(), 0..200), depth in 0..2_usize) {
        let (mut rig, conn) = Rig::started(config());
        rig.connected(conn);
        for step in [open().to_bytes(), header::keepalive()].iter().take(depth * 2) {
            rig.say(conn, step);
        }
        let mut octets = vec![0xff; 16];
        octets.extend(u16::try_from(HEADER_LEN + body.len()).expect("short").to_be_bytes());
        octets.push(kind);
        octets.extend(body);
        rig.say(conn, &octets);
        for entry in rig.session.history(rig.now) {
            prop_assert!(!entry.description.is_empty() && !entry.description.contains('\n'));
        }
    }
}
