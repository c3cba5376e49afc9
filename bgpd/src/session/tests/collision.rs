//! Two connections with one neighbor (RFC 4271 §6.8), in every pair of states. The rig's neighbor has the identifier
//! 10.0.0.1 or 10.0.0.9, ours is 10.0.0.5.

use super::*;

const LOWER: [u8; 4] = [10, 0, 0, 1];
const HIGHER: [u8; 4] = [10, 0, 0, 9];

fn open_of(id: [u8; 4]) -> Bytes {
    Open { router_id: id.into(), ..open() }.to_bytes()
}

/// Both connections stand, OPEN is sent on both.
fn both_open_sent() -> (Rig, ConnId, ConnId) {
    let (mut rig, dialled) = Rig::started(config());
    let accepted = rig.accept();
    rig.connected(dialled);
    assert_eq!(messages(&rig.outputs(), MessageType::Open).len(), 2);
    (rig, dialled, accepted)
}

fn collision() -> Notification {
    Notification::cease(cease::COLLISION)
}

#[test]
fn open_sent_and_open_confirm_the_higher_identifier_decides() {
    // Identifier of the neighbor, which connection gets its OPEN first, which one stays.
    for (id, dialled_first, dialled_stays) in
        [(LOWER, true, true), (LOWER, false, true), (HIGHER, true, false), (HIGHER, false, false)]
    {
        let (mut rig, dialled, accepted) = both_open_sent();
        let (first, second) = if dialled_first { (dialled, accepted) } else { (accepted, dialled) };
        let (winner, loser) = if dialled_stays { (dialled, accepted) } else { (accepted, dialled) };
        rig.say(first, &open_of(id));
        assert_eq!(notifications(&rig.outputs()), [], "the other may still be nothing");
        rig.say(second, &open_of(id));
        let outputs = rig.outputs();
        assert_eq!(notifications(&outputs), [(loser, collision())]);
        assert!(outputs.contains(&SessionOutput::Close { conn: loser }));
        assert_eq!(rig.state(), SessionState::OpenConfirm);
        rig.say(winner, &header::keepalive());
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(winner));
        // A collision lost is neither a session down nor a failure.
        let outputs = rig.outputs();
        assert!(outputs.iter().all(|output| matches!(output, SessionOutput::Established { .. })), "{outputs:?}");
        assert_eq!(rig.session.last_down(), None);
    }
}

#[test]
fn equal_identifiers_leave_it_to_the_larger_as() {
    let (mut rig, dialled, accepted) = both_open_sent();
    for conn in [dialled, accepted] {
        rig.say(conn, &open_of([10, 0, 0, 5]));
    }
    // 64512 is larger than 64500: ours stays.
    assert_eq!(notifications(&rig.outputs()), [(accepted, collision())]);
}

#[test]
fn the_one_confirmed_first_stays_if_the_other_never_said_open() {
    for up in [true, false] {
        let (mut rig, dialled, accepted) = both_open_sent();
        let (winner, loser) = if up { (dialled, accepted) } else { (accepted, dialled) };
        rig.say(winner, &open_of(LOWER));
        rig.say(winner, &header::keepalive());
        let outputs = rig.outputs();
        assert_eq!(notifications(&outputs), [(loser, collision())]);
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(winner));
    }
}

#[test]
fn what_is_still_being_dialled_is_given_up_for_a_session() {
    let (mut rig, dialled) = Rig::started(config());
    let accepted = rig.accept();
    rig.say(accepted, &open_of(HIGHER));
    assert_eq!(rig.state(), SessionState::OpenConfirm);
    rig.outputs();
    rig.say(accepted, &header::keepalive());
    let outputs = rig.outputs();
    assert_eq!((notifications(&outputs), outputs[0].clone()), (vec![], SessionOutput::Close { conn: dialled }));
    // The carrier learns it too late: the connection is closed again.
    rig.connected(dialled);
    assert_eq!(rig.outputs(), [SessionOutput::Close { conn: dialled }]);
    assert_eq!(rig.state(), SessionState::Established);
}

#[test]
fn what_was_dialled_comes_up_while_theirs_is_confirmed() {
    let (mut rig, dialled) = Rig::started(config());
    let accepted = rig.accept();
    rig.say(accepted, &open_of(LOWER));
    rig.connected(dialled);
    assert_eq!(rig.state(), SessionState::OpenConfirm);
    rig.outputs();
    // Ours has the higher identifier behind it.
    rig.say(dialled, &open_of(LOWER));
    assert_eq!(notifications(&rig.outputs()), [(accepted, collision())]);
    assert_eq!(rig.state(), SessionState::OpenConfirm);
}

#[test]
fn a_session_that_is_up_refuses_another_connection() {
    let (mut rig, conn) = Rig::established(config(), &open());
    let refused = rig.accept();
    assert_eq!(notifications(&rig.outputs()), [(refused, collision())]);
    assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(conn));
}

#[test]
fn a_second_connection_of_the_neighbor_replaces_its_first() {
    for confirmed in [false, true] {
        let mut rig = Rig::new(SessionConfig { passive: true, ..config() });
        rig.input(SessionInput::Start);
        let first = rig.accept();
        if confirmed {
            rig.say(first, &open_of(LOWER));
        }
        rig.outputs();
        let second = rig.accept();
        let outputs = rig.outputs();
        assert_eq!(notifications(&outputs), [(first, collision())]);
        assert!(outputs.contains(&SessionOutput::Close { conn: first }));
        rig.say(second, &open_of(LOWER));
        rig.say(second, &header::keepalive());
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(second));
    }
}

#[test]
fn the_other_connection_goes_on_when_one_fails() {
    // Closed, garbage, NOTIFICATION on either of two; the other becomes the session.
    let acts: [fn(&mut Rig, ConnId); 3] = [
        |rig, conn| rig.input(SessionInput::Closed { conn }),
        |rig, conn| drop(rig.say(conn, b"garbage")),
        |rig, conn| drop(rig.say(conn, &collision().to_bytes())),
    ];
    for act in acts {
        for first_fails in [true, false] {
            let (mut rig, dialled, accepted) = both_open_sent();
            let (fails, stays) = if first_fails { (dialled, accepted) } else { (accepted, dialled) };
            act(&mut rig, fails);
            rig.say(stays, &[&open_of(LOWER)[..], &header::keepalive()].concat());
            assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(stays));
            let outputs = rig.outputs();
            let failed =
                |output: &SessionOutput| matches!(output, SessionOutput::Failed { .. } | SessionOutput::Down { .. });
            assert!(!outputs.iter().any(failed), "{outputs:?}");
        }
    }
}

#[test]
fn both_lost_to_each_other_are_tried_again_at_once() {
    let (mut rig, dialled) = Rig::started(config());
    rig.connected(dialled);
    rig.say(dialled, &collision().to_bytes());
    assert_eq!(rig.state(), SessionState::Idle);
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.state(), SessionState::Connect);
}
