//! Timers in virtual time (RFC 4271 §8.1.3, §10).

use super::*;

/// When things happened that `pick` finds among the outputs, in seconds since `from`, while `time` passes.
fn times(rig: &mut Rig, time: Duration, pick: impl Fn(&SessionOutput) -> bool) -> Vec<f64> {
    let (start, end) = (rig.seconds(), rig.now + time);
    let mut times = Vec::new();
    while let Some(at) = rig.session.deadline().filter(|at| *at <= end) {
        rig.now = at;
        rig.input(SessionInput::Tick);
        let at = rig.seconds() - start;
        times.extend(rig.outputs().iter().filter(|output| pick(output)).map(|_| at));
    }
    rig.now = end;
    times
}

fn is_keepalive(output: &SessionOutput) -> bool {
    matches!(output, SessionOutput::Send { message, .. } if *message == header::keepalive())
}

fn is_connect(output: &SessionOutput) -> bool {
    matches!(output, SessionOutput::Connect { .. })
}

#[test]
fn a_silent_neighbor_is_down_when_the_hold_time_is_over_and_not_before() {
    let (mut rig, conn) = Rig::established(config(), &open());
    rig.pass(Duration::from_millis(89_999));
    assert_eq!(rig.state(), SessionState::Established);
    rig.outputs();
    rig.pass(Duration::from_millis(1));
    let outputs = rig.outputs();
    assert_eq!(notifications(&outputs), [(conn, Notification::hold_timer())]);
    assert!(outputs.contains(&SessionOutput::Down { reason: DownReason::HoldTimerExpired }));
}

#[test]
fn updates_and_keepalives_hold_the_session() {
    let (mut rig, conn) = Rig::established(config(), &open());
    for octets in [update(), header::keepalive(), update()] {
        rig.pass(Duration::from_secs(89));
        rig.say(conn, &octets);
        assert_eq!(rig.state(), SessionState::Established);
    }
    // Half a message does not.
    rig.pass(Duration::from_secs(89));
    rig.say(conn, &update()[..20]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.state(), SessionState::Idle);
}

#[test]
fn keepalives_are_sent_every_third_of_the_hold_time_less_jitter() {
    let (mut rig, conn) = Rig::established(config(), &open());
    let mut last = 0.0;
    let mut gaps = Vec::new();
    for _ in 0..60 {
        rig.say(conn, &header::keepalive());
        let offset = rig.seconds();
        for at in times(&mut rig, Duration::from_secs(60), is_keepalive) {
            gaps.push(offset + at - last);
            last = offset + at;
        }
    }
    assert!(gaps.iter().all(|gap| (22.499..=30.001).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap < 24.0) && gaps.iter().any(|gap| *gap > 28.0), "{gaps:?}");
}

#[test]
fn updates_sent_stand_for_keepalives() {
    let (mut rig, conn) = Rig::established(config(), &open());
    for _ in 0..100 {
        assert_eq!(times(&mut rig, Duration::from_secs(20), is_keepalive), [0.0; 0]);
        rig.session.sent_updates(rig.now, 3);
        rig.say(conn, &header::keepalive());
    }
    assert_eq!(rig.session.counters().sent.update, 300);
}

#[test]
fn a_hold_time_of_zero_needs_no_timers() {
    for (ours, theirs) in [(0, 180), (90, 0)] {
        let config = SessionConfig { hold_time: Duration::from_secs(ours), ..config() };
        let (mut rig, _) = Rig::established(config, &Open { hold_secs: theirs, ..open() });
        assert_eq!(rig.session.deadline(), None);
        rig.pass(Duration::from_secs(100_000));
        rig.session.sent_updates(rig.now, 1);
        assert_eq!((rig.state(), rig.session.deadline()), (SessionState::Established, None));
    }
}

#[test]
fn a_neighbor_that_never_says_open_is_given_four_minutes() {
    let (mut rig, conn) = Rig::started(config());
    rig.connected(conn);
    rig.pass(Duration::from_millis(239_999));
    assert_eq!(rig.state(), SessionState::OpenSent);
    rig.outputs();
    rig.pass(Duration::from_millis(1));
    let outputs = rig.outputs();
    assert_eq!(notifications(&outputs), [(conn, Notification::hold_timer())]);
    assert!(outputs.contains(&SessionOutput::Failed { reason: DownReason::HoldTimerExpired }));
}

#[test]
fn a_neighbor_that_does_not_answer_is_dialled_again_ever_more_slowly() {
    let (mut rig, _) = Rig::started(config());
    let at = times(&mut rig, Duration::from_secs(300), is_connect);
    let gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((3.75..=5.0).contains(&at[0]), "{at:?}");
    for (gap, cap) in gaps.iter().zip([10.0, 20.0, 30.0, 30.0, 30.0, 30.0]) {
        assert!((cap * 0.75..=cap).contains(gap), "{gaps:?}");
    }
    assert!(at.len() > 8);
    assert_eq!(rig.session.last_connect_error(), Some("no answer"));
}

#[test]
fn a_neighbor_that_refuses_is_dialled_again_and_the_error_is_kept() {
    let (mut rig, mut conn) = Rig::started(config());
    let mut last = rig.seconds();
    for cap in [5.0, 10.0, 20.0, 30.0, 30.0] {
        rig.input(SessionInput::ConnectFailed { conn, error: "connection refused".to_owned() });
        assert_eq!(rig.session.last_connect_error(), Some("connection refused"));
        while !rig.out.iter().any(is_connect) {
            rig.now = rig.session.deadline().expect("it will be dialled");
            rig.input(SessionInput::Tick);
        }
        let gap = rig.seconds() - last;
        last = rig.seconds();
        assert!((cap * 0.75..=cap).contains(&gap), "{gap} of {cap}");
        let [SessionOutput::Connect { conn: next }] = rig.outputs()[..] else { panic!("did not dial once") };
        conn = next;
    }
    // Once it is up, the next failure costs the first wait again.
    rig.connected(conn);
    rig.say(conn, &[&open().to_bytes()[..], &header::keepalive()].concat());
    assert_eq!((rig.state(), rig.session.last_connect_error()), (SessionState::Established, None));
}

#[test]
fn waits_after_errors_grow_and_the_neighbor_is_kept_out_for_a_part_of_them() {
    let (mut rig, mut conn) = Rig::started(config());
    for (cap, closed) in [(5.0, 1.25), (10.0, 2.5), (20.0, 5.0), (40.0, 5.0), (80.0, 5.0), (120.0, 5.0), (120.0, 5.0)] {
        rig.connected(conn);
        rig.say(conn, b"garbage");
        assert_eq!(rig.state(), SessionState::Idle);
        rig.outputs();
        let from = rig.seconds();
        rig.pass(Duration::from_secs_f64(closed - 0.001));
        let refused = rig.accept();
        assert_eq!(rig.outputs(), [SessionOutput::Close { conn: refused }]);
        // A moment later it would be taken.
        let mut later = rig.session.clone();
        let mut out = Vec::new();
        let [local, remote] = ["192.0.2.1:179", "192.0.2.2:50000"].map(|end| end.parse().expect("an address"));
        let accepted = SessionInput::Accepted { conn: ConnId::accepted(1000), local, remote };
        later.handle(rig.now + Duration::from_millis(1), accepted, &mut out);
        assert_eq!(later.state(), SessionState::OpenSent);
        rig.now = rig.session.deadline().expect("it will be dialled");
        rig.input(SessionInput::Tick);
        let wait = rig.seconds() - from;
        assert!((cap * 0.75..=cap).contains(&wait), "{wait} of {cap}");
        let [SessionOutput::Connect { conn: next }] = rig.outputs()[..] else { panic!("did not dial") };
        conn = next;
    }
}

#[test]
fn a_neighbor_that_takes_nothing_for_eight_minutes_has_lost_its_session() {
    // RFC 9687 §4.3: eight minutes, twice a longer hold time, never with a hold time of zero.
    for (hold_secs, limit) in [(90, Some(480)), (300, Some(600)), (0, None)] {
        let config = SessionConfig { hold_time: Duration::from_secs(hold_secs), ..config() };
        let (mut rig, conn) = Rig::established(config, &Open { hold_secs: 1000, ..open() });
        // It took something once, after a minute.
        rig.say(conn, &header::keepalive());
        rig.pass(Duration::from_secs(60));
        rig.session.progressed(rig.now, conn);
        let from = rig.seconds();
        // It speaks all the time.
        while rig.state() == SessionState::Established && rig.seconds() - from < 2000.0 {
            rig.pass(Duration::from_secs(20));
            rig.say(conn, &header::keepalive());
        }
        let outputs = rig.outputs();
        match limit {
            Some(limit) => {
                let fell = rig.seconds() - from;
                assert!((f64::from(limit)..f64::from(limit) + 20.1).contains(&fell), "{fell} of {limit}");
                assert_eq!(notifications(&outputs), [(conn, Notification::new(8, 0))]);
                assert!(outputs.contains(&SessionOutput::Down { reason: DownReason::SendHoldTimerExpired }));
            }
            None => assert_eq!(rig.state(), SessionState::Established),
        }
    }
}

#[test]
fn a_neighbor_that_takes_a_little_now_and_then_keeps_its_session() {
    let (mut rig, conn) = Rig::established(config(), &open());
    for _ in 0..20 {
        for _ in 0..20 {
            rig.pass(Duration::from_secs(20));
            rig.say(conn, &header::keepalive());
        }
        rig.session.progressed(rig.now, conn);
    }
    assert_eq!(rig.state(), SessionState::Established);
}

#[test]
fn a_session_that_held_well_and_lost_its_connection_is_dialled_within_half_a_second() {
    let (mut rig, conn) = Rig::established(config(), &open());
    rig.pass(Duration::from_secs(61));
    rig.outputs();
    rig.input(SessionInput::Closed { conn });
    assert_eq!(rig.outputs(), [SessionOutput::Down { reason: DownReason::ConnectionLost }]);
    rig.pass(Duration::from_millis(500));
    assert!(rig.outputs().iter().any(is_connect));
}

#[test]
fn a_session_that_flaps_is_dialled_ever_more_slowly_but_the_neighbor_may_come() {
    let (mut rig, mut conn) = Rig::established(config(), &open());
    let mut waits = Vec::new();
    for _ in 0..5 {
        rig.input(SessionInput::Closed { conn });
        let from = rig.seconds();
        rig.now = rig.session.deadline().expect("it will be dialled");
        rig.input(SessionInput::Tick);
        waits.push(rig.seconds() - from);
        let connects = rig.outputs();
        let Some(SessionOutput::Connect { conn: next }) = connects.last() else { panic!("did not dial") };
        conn = *next;
        rig.connected(conn);
        rig.say(conn, &[&open().to_bytes()[..], &header::keepalive()].concat());
    }
    for (wait, cap) in waits.iter().zip([0.5, 10.0, 20.0, 40.0, 80.0]) {
        assert!((cap * 0.75..=cap).contains(wait), "{waits:?}");
    }
    // No error was made: the neighbor need not wait for us.
    rig.input(SessionInput::Closed { conn });
    rig.accept();
    assert_eq!(rig.state(), SessionState::OpenSent);
}

#[test]
fn a_start_cuts_a_wait_short() {
    let (mut rig, conn) = Rig::started(config());
    rig.connected(conn);
    rig.say(conn, b"garbage");
    rig.outputs();
    rig.input(SessionInput::Start);
    assert!(rig.outputs().iter().any(is_connect));
}
