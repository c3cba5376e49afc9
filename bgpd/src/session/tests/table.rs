//! Every state and every event (RFC 4271 §8.2.2): where it leads, and with which NOTIFICATION.

use super::*;

/// Where the session stands before the event.
#[derive(Clone, Copy, Debug)]
enum Before {
    Idle,
    /// Idle after an error, until the wait is over.
    Holding,
    Connect,
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

const COLUMNS: [Before; 7] = [
    Before::Idle,
    Before::Holding,
    Before::Connect,
    Before::Active,
    Before::OpenSent,
    Before::OpenConfirm,
    Before::Established,
];

/// The rig in that state, and the connection that was dialled, if any ever was.
fn rig(before: Before) -> (Rig, ConnId) {
    if matches!(before, Before::Idle) {
        return (Rig::new(config()), ConnId::dialled(7, 0));
    }
    let (mut rig, conn) = Rig::started(config());
    match before {
        Before::Idle | Before::Connect => {}
        Before::Active => rig.input(SessionInput::ConnectFailed { conn, error: "refused".to_owned() }),
        Before::Holding | Before::OpenSent | Before::OpenConfirm | Before::Established => rig.connected(conn),
    }
    match before {
        Before::Holding => drop(rig.say(conn, &[0])),
        Before::OpenConfirm | Before::Established => drop(rig.say(conn, &open().to_bytes())),
        _ => {}
    }
    if matches!(before, Before::Established) {
        rig.say(conn, &header::keepalive());
    }
    rig.outputs();
    (rig, conn)
}

type Act = fn(&mut Rig, ConnId);

/// A message with a body that its type does not allow, or of a type that does not exist.
fn odd(length: u8, kind: u8) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend([0, length, kind]);
    octets.resize(usize::from(length), 0);
    octets
}

#[test]
fn every_event_in_every_state() {
    // Event, then for each column the state after it and the NOTIFICATION sent, if one is.
    #[rustfmt::skip]
    let rows: [(&str, Act, [&str; 7]); 19] = [
        // event              Idle        Holding   Connect     Active      OpenSent      OpenConfirm    Established
        ("Start", |rig, _| rig.input(SessionInput::Start),
            ["Connect", "Connect", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"]),
        ("Stop", |rig, _| rig.input(SessionInput::Stop(StopCause::Deconfigured)),
            ["Idle", "Idle", "Idle", "Idle", "Idle 6/3", "Idle 6/3", "Idle 6/3"]),
        ("Accepted", |rig, _| { rig.accept(); },
            ["Idle 6/5", "Idle", "OpenSent", "OpenSent", "OpenSent", "OpenConfirm", "Established 6/7"]),
        ("Connected", |rig, conn| rig.connected(conn),
            ["Idle", "Idle", "OpenSent", "Active", "OpenSent", "OpenConfirm", "Established"]),
        ("ConnectFailed", |rig, conn| rig.input(SessionInput::ConnectFailed { conn, error: String::new() }),
            ["Idle", "Idle", "Active", "Active", "OpenSent", "OpenConfirm", "Established"]),
        ("Closed", |rig, conn| rig.input(SessionInput::Closed { conn }),
            ["Idle", "Idle", "Idle", "Active", "Active", "Idle", "Idle"]),
        ("Closed, another", |rig, _| rig.input(SessionInput::Closed { conn: ConnId(99) }),
            ["Idle", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"]),
        ("Fail", |rig, _| rig.input(SessionInput::Fail(Notification::update(9))),
            ["Idle", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Idle 3/9"]),
        ("Tick, too early", |rig, _| rig.input(SessionInput::Tick),
            ["Idle", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"]),
        ("ConnectRetry or IdleHold", |rig, _| rig.pass(Duration::from_secs(5)),
            ["Idle", "Connect", "Connect", "Connect", "OpenSent", "OpenConfirm", "Established"]),
        ("Hold", |rig, _| { rig.now += Duration::from_secs(240); rig.input(SessionInput::Tick); },
            ["Idle", "Connect", "Connect", "Connect", "Idle 4/0", "Idle 4/0", "Idle 4/0"]),
        ("OPEN", |rig, conn| drop(rig.say(conn, &open().to_bytes())),
            ["Idle", "Idle", "Connect", "Active", "OpenConfirm", "Idle 5/2", "Idle 5/3"]),
        ("KEEPALIVE", |rig, conn| drop(rig.say(conn, &header::keepalive())),
            ["Idle", "Idle", "Connect", "Active", "Idle 5/1", "Established", "Established"]),
        ("UPDATE", |rig, conn| drop(rig.say(conn, &update())),
            ["Idle", "Idle", "Connect", "Active", "Idle 5/1", "Idle 5/2", "Established"]),
        ("ROUTE-REFRESH", |rig, conn| drop(rig.say(conn, &refresh())),
            ["Idle", "Idle", "Connect", "Active", "Idle 5/1", "Idle 5/2", "Established"]),
        ("NOTIFICATION", |rig, conn| drop(rig.say(conn, &Notification::cease(2).to_bytes())),
            ["Idle", "Idle", "Connect", "Active", "Idle", "Idle", "Idle"]),
        ("no marker", |rig, conn| drop(rig.say(conn, b"SSH-2.0")),
            ["Idle", "Idle", "Connect", "Active", "Idle 1/1", "Idle 1/1", "Idle 1/1"]),
        ("KEEPALIVE with a body", |rig, conn| drop(rig.say(conn, &odd(20, 4))),
            ["Idle", "Idle", "Connect", "Active", "Idle 1/2", "Idle 1/2", "Idle 1/2"]),
        ("unknown type", |rig, conn| drop(rig.say(conn, &odd(19, 9))),
            ["Idle", "Idle", "Connect", "Active", "Idle 1/3", "Idle 1/3", "Idle 1/3"]),
    ];
    for (event, act, expected) in rows {
        for (before, expected) in COLUMNS.into_iter().zip(expected) {
            let (mut rig, conn) = rig(before);
            act(&mut rig, conn);
            let outputs = rig.outputs();
            let mut found = format!("{:?}", rig.state());
            for (_, notification) in notifications(&outputs) {
                found += &format!(" {}/{}", notification.code, notification.subcode);
            }
            assert_eq!(found, expected, "{event} in {before:?}");
            check(&rig, before, &outputs, &format!("{event} in {before:?}"));
        }
    }
}

/// What holds whatever happened.
fn check(rig: &Rig, before: Before, outputs: &[SessionOutput], what: &str) {
    // Exactly a session that was up and is not falls; and nothing is sent on a connection that was closed.
    let downs = outputs.iter().filter(|output| matches!(output, SessionOutput::Down { .. })).count();
    let fell = matches!(before, Before::Established) && rig.session.established().is_none();
    assert_eq!(downs, usize::from(fell), "{what}");
    assert_eq!(rig.session.established_at().is_some(), rig.session.established().is_some(), "{what}");
    let mut closed = Vec::new();
    for output in outputs {
        match output {
            SessionOutput::Close { conn } => closed.push(*conn),
            SessionOutput::Send { conn, .. } => assert!(!closed.contains(conn), "{what}: sent after close"),
            _ => {}
        }
    }
    // A session that is wanted has something to wait for.
    assert!(rig.state() == SessionState::Idle || rig.session.deadline().is_some(), "{what}");
    for conn in closed {
        assert!(rig.session.connections().all(|connection| connection.id != conn), "{what}: closed, but kept");
    }
}
