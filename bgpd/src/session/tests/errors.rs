//! Octets in a state, and the exact octets of the NOTIFICATION that answers them (RFC 4271 §6, RFC 6608, RFC 7313, RFC 7607).

use super::*;

/// A message of this type around `body`.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER_LEN + body.len()).expect("short");
    [&[0xff; 16], &length.to_be_bytes()[..], &[kind], body].concat()
}

/// A message that gives itself another length.
fn lying(kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
    let mut octets = message(kind, body);
    octets[16..18].copy_from_slice(&length.to_be_bytes());
    octets
}

/// An OPEN of AS 64500 with these optional parameters, its length octet included.
fn open_with(version: u8, asn: u16, hold: u16, id: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    message(1, &[&[version], &asn.to_be_bytes()[..], &hold.to_be_bytes(), &id, parameters].concat())
}

const ID: [u8; 4] = [10, 0, 0, 1];
const NO_PARAMETERS: &[u8] = &[0];

#[derive(Clone, Copy, Debug, PartialEq)]
enum In {
    OpenSent,
    OpenConfirm,
    Established,
}

fn rig_in(state: In, config: SessionConfig, open: &Open) -> (Rig, ConnId) {
    let (mut rig, conn) = Rig::started(config);
    rig.connected(conn);
    if state != In::OpenSent {
        rig.say(conn, &open.to_bytes());
    }
    if state == In::Established {
        rig.say(conn, &header::keepalive());
    }
    rig.outputs();
    (rig, conn)
}

/// The body of the NOTIFICATION that answers `octets`; checks that it is the last message and the connection is closed.
fn answer(state: In, config: SessionConfig, open: &Open, octets: &[u8]) -> Option<Vec<u8>> {
    let (mut rig, conn) = rig_in(state, config, open);
    rig.say(conn, octets);
    let outputs = rig.outputs();
    let sent = messages(&outputs, MessageType::Notification);
    let [(on, notification)] = &sent[..] else {
        assert!(sent.is_empty());
        return None;
    };
    assert_eq!(*on, conn);
    let at = outputs
        .iter()
        .position(|output| matches!(output, SessionOutput::Send { message, .. } if message == notification));
    assert_eq!(outputs.get(at.expect("sent") + 1), Some(&SessionOutput::Close { conn }));
    Some(notification[HEADER_LEN..].to_vec())
}

fn expect(state: In, octets: &[u8], expected: &[u8]) {
    let found = answer(state, config(), &open(), octets);
    assert_eq!(found.as_deref(), Some(expected), "{octets:02x?} in {state:?}");
}

#[test]
fn errors_of_the_header_are_answered_in_every_state() {
    let mut no_marker = message(4, &[]);
    no_marker[7] = 0xfe;
    let rows: [(Vec<u8>, &[u8]); 14] = [
        (no_marker, &[1, 1]),
        // RFC 4271 §6.1: the length field as data.
        (lying(4, 18, &[]), &[1, 2, 0, 18]),
        (lying(4, 0, &[]), &[1, 2, 0, 0]),
        (lying(2, 4097, &[]), &[1, 2, 0x10, 1]),
        (lying(2, 65535, &[]), &[1, 2, 0xff, 0xff]),
        (message(4, &[0]), &[1, 2, 0, 20]),
        (message(1, &[4, 0, 1, 0, 90, 10, 0, 0, 1]), &[1, 2, 0, 28]),
        (message(2, &[0, 0, 0]), &[1, 2, 0, 22]),
        (message(3, &[6]), &[1, 2, 0, 20]),
        (message(3, &[]), &[1, 2, 0, 19]),
        // The type octet as data.
        (message(0, &[]), &[1, 3, 0]),
        (message(6, &[]), &[1, 3, 6]),
        (message(255, &[1, 2, 3]), &[1, 3, 255]),
        // Both wrong: the length comes first in the message.
        (lying(9, 18, &[]), &[1, 2, 0, 18]),
    ];
    for state in [In::OpenSent, In::OpenConfirm, In::Established] {
        for (octets, expected) in &rows {
            expect(state, octets, expected);
        }
    }
}

#[test]
fn errors_of_the_open() {
    let as4 = |asn: u32| [&[8, 2, 6, 65, 4][..], &asn.to_be_bytes()].concat();
    let rows: [(Vec<u8>, &[u8]); 24] = [
        // RFC 4271 §6.2: the version we speak, in two octets.
        (open_with(3, 64500, 90, ID, NO_PARAMETERS), &[2, 1, 0, 4]),
        (open_with(5, 64500, 90, ID, NO_PARAMETERS), &[2, 1, 0, 4]),
        (open_with(0, 0, 1, [0; 4], NO_PARAMETERS), &[2, 1, 0, 4]),
        (open_with(4, 64501, 90, ID, NO_PARAMETERS), &[2, 2]),
        // RFC 7607: AS 0, in either place.
        (open_with(4, 0, 90, ID, NO_PARAMETERS), &[2, 2]),
        (open_with(4, 64500, 90, ID, &as4(0)), &[2, 2]),
        (open_with(4, 64500, 90, ID, &as4(70_000)), &[2, 2]),
        // RFC 6793: AS_TRANS stands for nobody.
        (open_with(4, 23456, 90, ID, NO_PARAMETERS), &[2, 2]),
        (open_with(4, 64500, 90, [0; 4], NO_PARAMETERS), &[2, 3]),
        (open_with(4, 64500, 1, ID, NO_PARAMETERS), &[2, 6]),
        (open_with(4, 64500, 2, ID, NO_PARAMETERS), &[2, 6]),
        // Optional parameters: authentication (deprecated) and one that nobody knows.
        (open_with(4, 64500, 90, ID, &[3, 1, 1, 0]), &[2, 4]),
        (open_with(4, 64500, 90, ID, &[2, 77, 0]), &[2, 4]),
        (open_with(4, 64500, 90, ID, &[255, 255, 0, 3, 77, 0, 0]), &[2, 4]),
        // Lengths that do not fit: of the parameters, of one, of a capability, of both formats.
        (open_with(4, 64500, 90, ID, &[1]), &[2, 0]),
        (open_with(4, 64500, 90, ID, &[0, 0]), &[2, 0]),
        (open_with(4, 64500, 90, ID, &[2, 2, 1]), &[2, 0]),
        (open_with(4, 64500, 90, ID, &[3, 2, 1, 2]), &[2, 0]),
        (open_with(4, 64500, 90, ID, &[5, 2, 3, 65, 4, 0]), &[2, 0]),
        (open_with(4, 64500, 90, ID, &[255, 255, 0, 9, 2, 0, 2, 2, 0]), &[2, 0]),
        (open_with(4, 64500, 90, ID, &[255, 255, 0]), &[2, 0]),
        // A capability that we know, of a wrong length.
        (open_with(4, 64500, 90, ID, &[7, 2, 5, 65, 3, 0, 0, 1]), &[2, 0]),
        // Only IPv6 offered: what we miss is IPv4 unicast.
        (open_with(4, 64500, 90, ID, &[8, 2, 6, 1, 4, 0, 2, 0, 1]), &[2, 7, 1, 4, 0, 1, 0, 1]),
        (open_with(4, 64500, 90, ID, &[8, 2, 6, 1, 4, 0, 1, 0, 2]), &[2, 7, 1, 4, 0, 1, 0, 1]),
    ];
    for (octets, expected) in &rows {
        expect(In::OpenSent, octets, expected);
    }
    // Our own identifier, within our AS (RFC 6286 §2.2).
    let internal = SessionConfig { remote_as: RemoteAs::Internal, ..config() };
    let own = open_with(4, 64512, 90, [10, 0, 0, 5], NO_PARAMETERS);
    assert_eq!(answer(In::OpenSent, internal, &open(), &own).as_deref(), Some(&[2, 3][..]));
    // And what is fine: hold times of 0 and 3, AS_TRANS with the capability, the extended format (RFC 9072), a parameter
    // without capabilities, a capability nobody knows.
    let four = SessionConfig { remote_as: RemoteAs::Number(70_000), ..config() };
    let fine = [
        (config(), open_with(4, 64500, 0, ID, NO_PARAMETERS)),
        (config(), open_with(4, 64500, 3, ID, NO_PARAMETERS)),
        (four, open_with(4, 23456, 90, ID, &as4(70_000))),
        (config(), open_with(4, 64500, 90, ID, &[255, 255, 0, 9, 2, 0, 6, 65, 4, 0, 0, 0xfb, 0xf4])),
        (config(), open_with(4, 64500, 90, ID, &[2, 2, 0])),
        (config(), open_with(4, 64500, 90, ID, &[5, 2, 3, 200, 1, 9])),
    ];
    for (config, octets) in fine {
        assert_eq!(answer(In::OpenSent, config, &open(), &octets), None, "{octets:02x?}");
    }
}

#[test]
fn messages_that_are_not_due_are_errors_of_the_state_machine() {
    // RFC 6608 §4: the subcode is the state, the data is the type.
    let open_octets = open().to_bytes();
    let rows: [(In, &[u8], &[u8]); 8] = [
        (In::OpenSent, &header::keepalive(), &[5, 1, 4]),
        (In::OpenSent, &update(), &[5, 1, 2]),
        (In::OpenSent, &refresh(), &[5, 1, 5]),
        (In::OpenConfirm, &open_octets, &[5, 2, 1]),
        (In::OpenConfirm, &update(), &[5, 2, 2]),
        (In::OpenConfirm, &refresh(), &[5, 2, 5]),
        (In::Established, &open_octets, &[5, 3, 1]),
        (In::Established, &message(1, &[9; 10]), &[5, 3, 1]),
    ];
    for (state, octets, expected) in rows {
        expect(state, octets, expected);
    }
}

#[test]
fn errors_of_a_route_refresh() {
    let mut enhanced = open();
    enhanced.capabilities.push(Capability::EnhancedRouteRefresh);
    let config = || SessionConfig { enhanced_refresh: true, ..config() };
    let with = |open: &Open, body: &[u8]| answer(In::Established, config(), open, &message(5, body));
    // RFC 7313 §5: the whole message as data, for its own subtypes.
    for body in [&[0, 1, 1, 1, 0][..], &[0, 1, 2], &[0, 1, 1]] {
        let whole = message(5, body);
        assert_eq!(with(&enhanced, body), Some([&[7, 1], &whole[..]].concat()));
        // Not negotiated: a length is wrong, no more.
        assert_eq!(with(&open(), body), Some(vec![1, 2, 0, whole[17]]));
    }
    assert_eq!(with(&enhanced, &[0, 1, 0, 1, 0]), Some(vec![1, 2, 0, 24]));
    assert_eq!(with(&enhanced, &[]), Some(vec![1, 2, 0, 19]));
    // Unknown subtypes and families are ignored.
    assert_eq!(with(&enhanced, &[0, 1, 7, 1]), None);
    assert_eq!(with(&enhanced, &[0, 99, 0, 99]), None);
}

#[test]
fn a_notification_is_never_answered() {
    let rows: [&[u8]; 5] = [&[6, 2], &[1, 1], &[0, 0], &[255, 255, 1, 2, 3], &[6, 9]];
    for state in [In::OpenSent, In::OpenConfirm, In::Established] {
        for body in rows {
            assert_eq!(answer(state, config(), &open(), &message(3, body)), None);
        }
    }
}

#[test]
fn the_text_of_a_shutdown_is_cut_to_whole_characters_and_shown_to_the_other() {
    // RFC 9003 §2: at most 255 octets of UTF-8; 128 characters of two octets are one too many.
    let message = "é".repeat(128);
    for cause in
        [StopCause::AdminShutdown { message: message.clone() }, StopCause::AdminReset { message: message.clone() }]
    {
        let (mut rig, _) = Rig::established(config(), &open());
        rig.input(SessionInput::Stop(cause));
        let outputs = rig.outputs();
        let [(_, notification)] = &notifications(&outputs)[..] else { panic!("not one") };
        assert_eq!((notification.data.len(), notification.data[0]), (255, 254));
        let (mut rig, conn) = Rig::established(config(), &open());
        rig.say(conn, &notification.to_bytes());
        let shown = rig.session.last_down().expect("down").to_string();
        assert!(shown.contains(&"é".repeat(127)) && !shown.contains(&message), "{shown}");
    }
    // Not UTF-8, a length that lies, a control character.
    for (data, shown) in [(&[2, 0xff, 0xfe][..], None), (&[9, b'a'], None), (&[3, b'a', 7, b'b'], Some("a\u{fffd}b"))] {
        let notification = Notification::cease(cease::SHUTDOWN).with_data(Bytes::copy_from_slice(data));
        assert_eq!(notification.shutdown_text().as_deref(), shown);
    }
}
