//! Messages but for UPDATE, and whole messages as the daemons of this world send them.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use rib::{V4, V6};

use super::attr::{self, DecodeContext, EncodeContext, PeerKind, Target};
use super::capability::{AddPathMode, Capability};
use super::header::{self, HEADER_LEN, MessageType};
use super::nlri::PrefixIter;
use super::open::Open;
use super::route_refresh::{RefreshKind, RouteRefresh};
use super::{AfiSafi, Notification, strategies, update};

fn head(length: u16, kind: u8) -> Vec<u8> {
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind]].concat()
}

fn notification(code: u8, subcode: u8, data: &[u8]) -> Notification {
    Notification::new(code, subcode).with_data(Bytes::copy_from_slice(data))
}

#[test]
fn a_wrong_marker_is_noticed_with_its_first_wrong_octet() {
    assert_eq!(header::decode(b"GET / HTTP/1.1", false), Err(notification(1, 1, &[])));
    assert_eq!(header::decode(&[0xff; 15], false), Ok(None));
    assert_eq!(header::decode(&[&[0xff; 15][..], &[0xfe]].concat(), false), Err(notification(1, 1, &[])));
}

#[test]
fn every_length_and_type_of_a_header() {
    // Type, extended messages, shortest and longest.
    let rows = [
        (1, false, 29, 4096),
        (1, true, 29, 4096),
        (2, false, 23, 4096),
        (2, true, 23, 65535),
        (3, false, 21, 4096),
        (3, true, 21, 65535),
        (4, false, 19, 19),
        (4, true, 19, 19),
        (5, false, 19, 4096),
        (5, true, 19, 65535),
    ];
    for (kind, extended, min, max) in rows {
        for length in [0, 18, 19, 20, 21, 22, 23, 28, 29, 4095, 4096, 4097, 65535] {
            let decoded = header::decode(&head(length, kind), extended);
            if (min..=max).contains(&length) {
                let header = decoded.expect("valid").expect("whole");
                assert_eq!((header.kind as u8, header.length), (kind, usize::from(length)));
            } else {
                assert_eq!(decoded, Err(notification(1, 2, &length.to_be_bytes())), "type {kind} length {length}");
            }
        }
    }
    assert_eq!(header::decode(&head(19, 0), false), Err(notification(1, 3, &[0])));
    assert_eq!(header::decode(&head(19, 6), true), Err(notification(1, 3, &[6])));
    assert_eq!(
        header::decode(&header::keepalive(), false).expect("valid").expect("whole").kind,
        MessageType::Keepalive
    );
}

/// An OPEN of AS 64500, hold time 90 s, identifier 192.0.2.1, with these optional parameters.
fn open_body(parameters: &[u8]) -> Vec<u8> {
    [&[4, 0xfb, 0xf4, 0, 90, 192, 0, 2, 1], parameters].concat()
}

#[test]
fn every_error_of_an_open() {
    let with = |at: usize, octets: &[u8]| {
        let mut body = open_body(&[0]);
        body[at..at + octets.len()].copy_from_slice(octets);
        body
    };
    let rows: &[(Vec<u8>, Notification)] = &[
        (with(0, &[3]), notification(2, 1, &[0, 4])),
        (with(0, &[5]), notification(2, 1, &[0, 4])),
        (with(1, &[0, 0]), notification(2, 2, &[])),
        (with(3, &[0, 1]), notification(2, 6, &[])),
        (with(3, &[0, 2]), notification(2, 6, &[])),
        (with(5, &[0, 0, 0, 0]), notification(2, 3, &[])),
        (open_body(&[2, 1, 0]), notification(2, 4, &[])),
        (open_body(&[3, 3, 1, 0]), notification(2, 4, &[])),
        // Lengths that do not fit.
        (open_body(&[]), notification(2, 0, &[])),
        (open_body(&[1]), notification(2, 0, &[])),
        (open_body(&[0, 0]), notification(2, 0, &[])),
        (open_body(&[2, 2, 1]), notification(2, 0, &[])),
        (open_body(&[3, 2, 1, 2]), notification(2, 0, &[])),
        (open_body(&[4, 2, 2, 1, 4]), notification(2, 0, &[])),
        (open_body(&[255, 255, 0, 9, 2]), notification(2, 0, &[])),
        (Vec::new(), notification(2, 0, &[])),
        // AS 0 in the capability.
        (open_body(&[8, 2, 6, 65, 4, 0, 0, 0, 0]), notification(2, 2, &[])),
    ];
    for (body, expected) in rows {
        assert_eq!(Open::decode(body).as_ref(), Err(expected), "{body:?}");
    }
    assert_eq!(Open::decode(&with(3, &[0, 0])).expect("valid").hold_secs, 0);
    assert_eq!(Open::decode(&with(3, &[0, 3])).expect("valid").hold_secs, 3);
}

#[test]
fn capabilities_of_several_parameters_and_of_the_extended_format() {
    let expected = [Capability::RouteRefresh, Capability::FourOctetAs(64500)];
    let two = open_body(&[12, 2, 2, 2, 0, 2, 6, 65, 4, 0, 0, 0xfb, 0xf4]);
    assert_eq!(Open::decode(&two).expect("valid").capabilities, expected);
    let one = open_body(&[10, 2, 8, 2, 0, 65, 4, 0, 0, 0xfb, 0xf4]);
    assert_eq!(Open::decode(&one).expect("valid").capabilities, expected);
    let extended = open_body(&[255, 255, 0, 11, 2, 0, 8, 2, 0, 65, 4, 0, 0, 0xfb, 0xf4]);
    assert_eq!(Open::decode(&extended).expect("valid").capabilities, expected);
}

#[test]
fn a_known_capability_of_a_wrong_length_is_a_malformed_parameter() {
    // RFC 4271 §6.2: 2/0. Multiprotocol, route refresh, next hops, extended messages, role, graceful restart, AS number,
    // add-path, enhanced refresh, long-lived graceful restart.
    let lengths = [
        (1_u8, 3_u8),
        (1, 5),
        (2, 1),
        (5, 5),
        (6, 1),
        (9, 0),
        (9, 2),
        (64, 1),
        (64, 4),
        (65, 3),
        (69, 3),
        (70, 2),
        (71, 6),
    ];
    for (code, length) in lengths {
        let mut parameters = vec![4 + length, 2, 2 + length, code, length];
        parameters.resize(5 + usize::from(length), 0);
        assert_eq!(Open::decode(&open_body(&parameters)), Err(Notification::open(0)), "{code} of {length}");
    }
    // What we do not know, what is only for people, and a role that nobody assigned are not.
    for (code, value) in [(99, 7), (73, 250), (9, 5)] {
        let open = Open::decode(&open_body(&[5, 2, 3, code, 1, value])).expect("valid");
        assert_eq!(open.capabilities, [Capability::Unknown { code, value: Bytes::copy_from_slice(&[value]) }]);
    }
    // RFC 7911 §4: an entry with another mode is ignored, the others are not.
    let open = Open::decode(&open_body(&[12, 2, 10, 69, 8, 0, 1, 1, 4, 0, 2, 1, 3])).expect("valid");
    assert_eq!(open.capabilities, [Capability::AddPath(vec![(AfiSafi::IPV6_UNICAST, AddPathMode::Both)])]);
}

#[test]
fn shutdown_texts() {
    let shutdown = Notification::cease_with_text(2, "maintenance, back at 14:00 ✓");
    assert_eq!(shutdown.shutdown_text().as_deref(), Some("maintenance, back at 14:00 ✓"));
    assert_eq!(shutdown.to_string(), "Cease: Administrative Shutdown (\"maintenance, back at 14:00 ✓\")");
    // Cut within 255 octets, but not within a character.
    let long = Notification::cease_with_text(4, &"ü".repeat(200));
    assert_eq!((long.data.len(), long.data[0]), (255, 254));
    assert_eq!(long.shutdown_text().expect("valid").chars().count(), 127);
    assert_eq!(Notification::cease_with_text(2, "").data.len(), 0);
    // Length beyond the data, no UTF-8, control characters, other subcodes.
    assert_eq!(notification(6, 2, &[5, b'a']).shutdown_text(), None);
    assert_eq!(notification(6, 2, &[2, 0xc3, 0x28]).shutdown_text(), None);
    assert_eq!(notification(6, 2, &[3, b'a', 0x1b, b'b']).shutdown_text().as_deref(), Some("a\u{fffd}b"));
    assert_eq!(notification(6, 3, &[1, b'a']).shutdown_text(), None);
}

#[test]
fn notifications_have_names() {
    let rows = [
        (notification(2, 2, &[]), "OPEN Message Error: Bad Peer AS"),
        (notification(4, 0, &[]), "Hold Timer Expired"),
        (notification(5, 3, &[2]), "Finite State Machine Error: Unexpected Message in Established State [02]"),
        (notification(6, 99, &[]), "Cease: subcode 99"),
        (notification(99, 1, &[]), "error 99/1"),
    ];
    for (notification, expected) in rows {
        assert_eq!(notification.to_string(), expected);
    }
}

#[test]
fn a_notification_with_too_much_data_is_cut() {
    let message = notification(1, 2, &[7; 9000]).to_bytes();
    assert_eq!(message.len(), header::MAX_LEN);
    assert!(header::decode(&message, false).is_ok());
}

#[test]
fn errors_of_a_route_refresh() {
    assert_eq!(RouteRefresh::decode(&[0, 1, 0], false), Err(notification(1, 2, &[0, 22])));
    assert_eq!(RouteRefresh::decode(&[0, 1, 0, 1, 9], true), Err(notification(1, 2, &[0, 24])));
    // RFC 7313 §5: the whole message is the data.
    let body = [0, 1, 1, 1, 9];
    assert_eq!(RouteRefresh::decode(&body, false), Err(notification(1, 2, &[0, 24])));
    assert_eq!(RouteRefresh::decode(&body, true), Err(notification(7, 1, &[&head(24, 5)[..], &body].concat())));
    let end = RouteRefresh::decode(&[0, 2, 2, 1], true).expect("valid");
    assert_eq!(end, RouteRefresh { family: AfiSafi::IPV6_UNICAST, kind: RefreshKind::End });
}

/// Octets of a file in `tests/packets`: hexadecimal, `#` begins a comment.
fn packet(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or("").bytes())
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(byte).to_digit(16).expect("a hexadecimal digit").try_into().expect("four bits"))
        .collect();
    let (pairs, []) = digits.as_chunks::<2>() else { panic!("an odd number of digits") };
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

macro_rules! packet {
    ($name:literal) => {
        packet(include_str!(concat!("../../../tests/packets/", $name)))
    };
}

/// The body of the one message in `packet`, which must be of `kind`.
fn body(packet: &[u8], kind: MessageType) -> &[u8] {
    let header = header::decode(packet, false).expect("valid").expect("whole");
    assert_eq!((header.kind, header.length), (kind, packet.len()));
    &packet[HEADER_LEN..]
}

#[test]
fn an_open_as_bird_sends_it() {
    let octets = packet!("open-bird.hex");
    let open = Open::decode(body(&octets, MessageType::Open)).expect("valid");
    assert_eq!((open.asn, open.hold_secs, open.router_id.to_string().as_str()), (4_200_000_001, 240, "10.0.0.1"));
    assert_eq!(open.families(), [AfiSafi::IPV4_UNICAST]);
    assert!(open.has(&Capability::RouteRefresh) && open.has(&Capability::EnhancedRouteRefresh) && open.as4());
    assert_eq!(&open.to_bytes()[..], octets);
}

#[test]
fn an_open_as_frr_sends_it() {
    let octets = packet!("open-frr.hex");
    let open = Open::decode(body(&octets, MessageType::Open)).expect("valid");
    assert_eq!((open.asn, open.hold_secs, open.router_id.to_string().as_str()), (64500, 180, "10.0.0.2"));
    assert_eq!(open.families(), [AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST]);
    assert!(open.has(&Capability::ExtendedMessages));
    let fqdn = Capability::Fqdn { host: "frr1".to_owned(), domain: String::new() };
    assert!(open.has(&fqdn));
    // FRR writes one parameter per capability, we one with all: the value survives, not the octets.
    assert_eq!(Open::decode(&open.to_bytes()[HEADER_LEN..]), Ok(open));
}

#[test]
fn an_ipv4_announcement_as_bird_sends_it() {
    let octets = packet!("update-ipv4-bird.hex");
    let fields = update::split(body(&octets, MessageType::Update)).expect("whole");
    let scan = attr::scan(fields.attributes).expect("no reset");
    let context = DecodeContext { first_asn: Some(4_200_000_001), ..DecodeContext::new(PeerKind::External) };
    let decoded = attr::decode(&scan, &context, Target::Plain).expect("usable");
    assert!(decoded.discarded.is_empty());
    let attributes = decoded.attributes;
    assert_eq!(attributes.as_path.to_string(), "4200000001 64501 64501");
    assert_eq!(attributes.communities, [64512 << 16 | 53, attr::community::NO_EXPORT]);
    assert_eq!(attributes.large_communities, [[64512, 1, 2]]);
    assert_eq!(attributes.med, Some(50));
    let routes: Vec<_> = PrefixIter::<V4>::new(fields.nlri, false).map(|one| one.expect("valid")).collect();
    assert_eq!(routes.iter().map(|(_, p)| p.to_string()).collect::<Vec<_>>(), ["192.0.2.53/32", "198.51.100.0/22"]);
    // And back to the same octets.
    let mut again = BytesMut::new();
    attributes.encode(&mut again, &EncodeContext { as4: true, peer: PeerKind::External, plain: true });
    assert_eq!(&again[..], fields.attributes);
    let mut message = BytesMut::new();
    let packing = update::Packing::new(rib::AddressFamily::Ipv4);
    let sent = update::encode_reach::<V4>(&again, &attributes.next_hop, routes, &packing, &mut message);
    assert_eq!((sent, &message[..]), (Ok(1), &octets[..]));
}

#[test]
fn an_ipv6_announcement_as_frr_sends_it() {
    let octets = packet!("update-ipv6-frr.hex");
    let fields = update::split(body(&octets, MessageType::Update)).expect("whole");
    let scan = attr::scan(fields.attributes).expect("no reset");
    let decoded = attr::decode(&scan, &DecodeContext::new(PeerKind::External), Target::Mp).expect("usable");
    let expected = attr::NextHopAttr::V6 {
        global: "2001:db8::2".parse().expect("an address"),
        link_local: Some("fe80::2".parse().expect("an address")),
    };
    assert_eq!(decoded.attributes.next_hop, expected);
    assert_eq!(decoded.attributes.as_path.to_string(), "64500");
    let reach = scan.mp_reach.expect("there");
    let routes: Vec<_> =
        PrefixIter::<V6>::new(reach.nlri, false).map(|one| one.expect("valid").1.to_string()).collect();
    assert_eq!((reach.family, routes), (AfiSafi::IPV6_UNICAST, vec!["2001:db8:53::53/128".to_owned()]));
}

#[test]
fn a_withdrawal_and_a_shutdown() {
    let octets = packet!("update-withdraw.hex");
    let fields = update::split(body(&octets, MessageType::Update)).expect("whole");
    let routes: Vec<_> = PrefixIter::<V4>::new(fields.withdrawn, false).map(|one| one.expect("valid")).collect();
    assert_eq!(routes[0].1.to_string(), "192.0.2.53/32");
    let mut message = BytesMut::new();
    update::encode_unreach::<V4>(routes, &update::Packing::new(rib::AddressFamily::Ipv4), &mut message);
    assert_eq!(&message[..], octets);
    let octets = packet!("notification-shutdown.hex");
    let notification = Notification::decode(body(&octets, MessageType::Notification)).expect("valid");
    assert_eq!(notification.to_string(), "Cease: Administrative Shutdown (\"upgrade\")");
    assert_eq!(&notification.to_bytes()[..], octets);
}

proptest! {
    #[test]
    fn opens_round_trip(open in strategies::open()) {
        let message = open.to_bytes();
        let header = header::decode(&message, false).expect("valid").expect("whole");
        prop_assert_eq!((header.kind, header.length), (MessageType::Open, message.len()));
        prop_assert_eq!(Open::decode(&message[HEADER_LEN..]), Ok(open));
    }

    #[test]
    fn notifications_round_trip(notification in strategies::notification()) {
        let message = notification.to_bytes();
        let header = header::decode(&message, false).expect("valid").expect("whole");
        prop_assert_eq!((header.kind, header.length), (MessageType::Notification, message.len()));
        prop_assert_eq!(Notification::decode(&message[HEADER_LEN..]), Ok(notification.clone()));
        let _ = (notification.to_string(), notification.shutdown_text());
    }

    #[test]
    fn route_refreshes_round_trip(refresh in strategies::route_refresh()) {
        let message = refresh.to_bytes();
        prop_assert_eq!(header::decode(&message, false).expect("valid").expect("whole").length, message.len());
        prop_assert_eq!(RouteRefresh::decode(&message[HEADER_LEN..], true), Ok(refresh));
    }

    #[test]
    fn any_octets_are_decoded_or_refused(octets in vec(any::<u8>(), 0..300), flag in any::<bool>()) {
        let _ = header::decode(&octets, flag);
        let _ = Open::decode(&octets);
        let _ = Notification::decode(&octets).map(|n| (n.to_string(), n.shutdown_text()));
        let _ = RouteRefresh::decode(&octets, flag);
    }

    /// Past the fixed fields, which arbitrary octets rarely are.
    #[test]
    fn any_parameters_of_an_open_are_decoded_or_refused(octets in vec(any::<u8>(), 0..200), kind in 0..=2_u8) {
        let length = u8::try_from(octets.len()).expect("short");
        let parameters = match kind {
            0 => [&[length][..], &octets].concat(),
            1 => [&[length + 2, 2, length][..], &octets].concat(),
            _ => [&[255, 255, 0, length][..], &octets].concat(),
        };
        let _ = Open::decode(&open_body(&parameters));
    }
}
