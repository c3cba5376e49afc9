//! Two connections with one neighbor (RFC 4271 §6.8), in every pair of states. The rig's neighbor has the identifier
//! 10.0.0.1 or 10.0.0.9, ours is 10.0.0.5.

use super::*;
use crate::wire::capability::RestartFamily;

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
fn the_higher_identifier_decides_whichever_open_is_first() {
    // Identifier of the neighbor, which connection gets its OPEN first, which one stays.
    for (id, dialled_first, dialled_stays) in
        [(LOWER, true, true), (LOWER, false, true), (HIGHER, true, false), (HIGHER, false, false)]
    {
        let (mut rig, dialled, accepted) = both_open_sent();
        let (first, second) = if dialled_first { (dialled, accepted) } else { (accepted, dialled) };
        let (winner, loser) = if dialled_stays { (dialled, accepted) } else { (accepted, dialled) };
        rig.say(first, &open_of(id));
        if first == winner {
            // The winner lives: the other is of no use.
            assert_eq!(notifications(&rig.out), [(loser, collision())]);
        } else {
            // The winner has a moment, and the loser is not confirmed before.
            assert_eq!(rig.outputs(), []);
            rig.pass(Duration::from_millis(500));
            rig.say(second, &open_of(id));
        }
        let outputs = rig.outputs();
        assert_eq!(notifications(&outputs), [(loser, collision())]);
        assert!(outputs.contains(&SessionOutput::Close { conn: loser }));
        let keepalives: Vec<ConnId> =
            messages(&outputs, MessageType::Keepalive).into_iter().map(|(conn, _)| conn).collect();
        assert_eq!((rig.state(), keepalives), (SessionState::OpenConfirm, vec![winner]));
        rig.say(winner, &header::keepalive());
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(winner));
        // A collision lost is neither a session down nor a failure.
        let outputs = rig.outputs();
        assert!(outputs.iter().all(|output| matches!(output, SessionOutput::Established { .. })), "{outputs:?}");
        assert_eq!(rig.session.last_down(), None);
    }
}

#[test]
fn the_loser_becomes_the_session_if_the_winner_stays_dumb_or_goes() {
    // Its OPEN was accepted; the other connection, which would win, is silent, closed, or in error.
    let acts: [fn(&mut Rig, ConnId); 3] = [
        |rig, _| rig.pass(Duration::from_secs(1)),
        |rig, conn| rig.input(SessionInput::Closed { conn }),
        |rig, conn| drop(rig.say(conn, b"garbage")),
    ];
    for act in acts {
        for (id, confirmed_early) in [(LOWER, false), (LOWER, true), (HIGHER, false), (HIGHER, true)] {
            let (mut rig, dialled, accepted) = both_open_sent();
            let (winner, loser) = if id == LOWER { (dialled, accepted) } else { (accepted, dialled) };
            rig.say(loser, &open_of(id));
            if confirmed_early {
                rig.say(loser, &header::keepalive());
            }
            assert_eq!((rig.state(), rig.outputs()), (SessionState::OpenConfirm, vec![]));
            act(&mut rig, winner);
            if !confirmed_early {
                assert_eq!(rig.state(), SessionState::OpenConfirm);
                rig.say(loser, &header::keepalive());
            }
            assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(loser));
            let outputs = rig.outputs();
            assert_eq!(messages(&outputs, MessageType::Keepalive).len(), 1);
            assert!(rig.session.connections().all(|connection| connection.id == loser));
        }
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
fn theirs_came_while_ours_was_confirmed() {
    // Whichever OPEN is there, the higher identifier decides as long as no session is up; then it is too late.
    for (id, up) in [(LOWER, false), (HIGHER, false), (HIGHER, true)] {
        let (mut rig, dialled) = Rig::started(config());
        rig.connected(dialled);
        rig.say(dialled, &open_of(id));
        let accepted = rig.accept();
        if up {
            rig.say(dialled, &header::keepalive());
        }
        rig.say(accepted, &open_of(id));
        let loser = if id == LOWER || up { accepted } else { dialled };
        assert_eq!(notifications(&rig.outputs()), [(loser, collision())]);
        assert_eq!(rig.session.established().is_some(), up);
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
fn what_was_dialled_comes_up_while_theirs_is_confirmed_and_is_given_up() {
    let (mut rig, dialled) = Rig::started(config());
    let accepted = rig.accept();
    rig.say(accepted, &open_of(LOWER));
    rig.outputs();
    rig.connected(dialled);
    // Not a word: the neighbor may have its session on the other already.
    assert_eq!((rig.outputs(), rig.state()), (vec![SessionOutput::Close { conn: dialled }], SessionState::OpenConfirm));
    rig.say(accepted, &header::keepalive());
    assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(accepted));
}

/// The neighbor restarts gracefully, or only helps.
fn graceful(restarts: bool) -> Open {
    let family = RestartFamily { family: AfiSafi::IPV4_UNICAST, forwarding: true };
    let families = if restarts { vec![family] } else { Vec::new() };
    let mut open = open();
    let (restarted, notification) = (false, false);
    open.capabilities.push(Capability::GracefulRestart { restarted, notification, restart_secs: 60, families });
    open
}

fn helper() -> SessionConfig {
    SessionConfig { graceful_restart: GracefulRestart::default(), ..config() }
}

#[test]
fn a_neighbor_that_restarts_gracefully_replaces_its_session() {
    // RFC 4724 §5; the established connection is one that we dialled, then one that the neighbor did.
    let (mut rig, mut old) = Rig::established(helper(), &graceful(true));
    for _ in 0..3 {
        let new = rig.accept();
        assert_eq!(messages(&rig.outputs(), MessageType::Open).len(), 1);
        assert_eq!(rig.state(), SessionState::Established);
        rig.say(new, &graceful(true).to_bytes());
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(old), "nobody has confirmed yet");
        // Routes still come in on the old one.
        assert!(matches!(rig.say(old, &update())[..], [Received::Update(_)]));
        rig.outputs();
        rig.say(new, &header::keepalive());
        let outputs = rig.outputs();
        // The old one ends without a word, and with a reason for which routes are kept.
        let down = SessionOutput::Down { reason: DownReason::Replaced };
        assert_eq!(outputs[..2], [SessionOutput::Close { conn: old }, down]);
        let SessionOutput::Established { conn, negotiated } = &outputs[2] else { panic!("not up: {outputs:?}") };
        assert_eq!((*conn, outputs.len()), (new, 3));
        assert!(DownReason::Replaced.keeps_routes(negotiated));
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(new));
        old = new;
    }
}

#[test]
fn a_newcomer_beside_a_graceful_session_comes_to_nothing() {
    let acts: [fn(&mut Rig, ConnId); 3] = [
        |rig, conn| rig.input(SessionInput::Closed { conn }),
        |rig, conn| drop(rig.say(conn, b"garbage")),
        |rig, conn| drop(rig.say(conn, &Open { asn: 1, ..open() }.to_bytes())),
    ];
    for act in acts {
        let (mut rig, old) = Rig::established(helper(), &graceful(true));
        let new = rig.accept();
        act(&mut rig, new);
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(old));
        assert!(!rig.outputs().iter().any(|output| matches!(output, SessionOutput::Down { .. })));
    }
    // The old one turns out to be dead first: that is a session down, and the newcomer goes on.
    let (mut rig, old) = Rig::established(helper(), &graceful(true));
    let new = rig.accept();
    rig.outputs();
    rig.input(SessionInput::Closed { conn: old });
    assert_eq!(rig.outputs(), [SessionOutput::Down { reason: DownReason::ConnectionLost }]);
    assert_eq!((rig.state(), rig.session.established_at()), (SessionState::OpenSent, None));
    rig.say(new, &[&graceful(true).to_bytes()[..], &header::keepalive()].concat());
    assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(new));
}

#[test]
fn who_only_helps_others_restart_does_not_replace_its_session() {
    for (config, open) in [(helper(), graceful(false)), (helper(), open()), (config(), graceful(true))] {
        let (mut rig, conn) = Rig::established(config, &open);
        let refused = rig.accept();
        assert_eq!(notifications(&rig.outputs()), [(refused, collision())]);
        assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(conn));
    }
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
