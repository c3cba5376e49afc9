//! What both OPENs together mean: graceful restart, next hops, roles, confederations, capabilities that are refused.

use super::*;
use crate::config::{Confederation, NeighborConfig, SpeakerConfig};
use crate::session::{Negotiated, Restart};
use crate::wire::capability::{LongLivedFamily, RestartFamily, Role};

fn with(capabilities: &[Capability]) -> Open {
    let mut open = open();
    open.capabilities.extend(capabilities.iter().cloned());
    open
}

fn negotiated(config: SessionConfig, open: &Open) -> Negotiated {
    let (rig, _) = Rig::established(config, open);
    let (_, negotiated) = rig.session.established().expect("up");
    Negotiated::clone(negotiated)
}

fn speaker() -> SpeakerConfig {
    SpeakerConfig::new(64512, [10, 0, 0, 5].into())
}

fn neighbor() -> NeighborConfig {
    NeighborConfig::new([192, 0, 2, 2].into(), RemoteAs::Number(64500))
}

fn offered(speaker: &SpeakerConfig, neighbor: &NeighborConfig) -> Vec<Capability> {
    SessionConfig::of(speaker, neighbor, 7).open(true, false).capabilities
}

fn graceful(restarted: bool, notification: bool, families: &[(AfiSafi, bool)]) -> Capability {
    let families =
        families.iter().map(|(family, forwarding)| RestartFamily { family: *family, forwarding: *forwarding });
    Capability::GracefulRestart { restarted, notification, restart_secs: 120, families: families.collect() }
}

#[test]
fn the_configuration_decides_what_is_offered() {
    let plain = offered(&speaker(), &neighbor());
    let helper =
        Capability::GracefulRestart { restarted: false, notification: true, restart_secs: 0, families: Vec::new() };
    assert_eq!(
        plain,
        [
            Capability::MultiProtocol(AfiSafi::IPV4_UNICAST),
            Capability::RouteRefresh,
            Capability::ExtendedMessages,
            helper,
            Capability::FourOctetAs(64512),
            Capability::EnhancedRouteRefresh,
        ]
    );
    let mut n = neighbor();
    n.graceful_restart.helper = false;
    n.graceful_restart.long_lived = Some(Duration::from_secs(3600));
    assert!(!offered(&speaker(), &n).iter().any(|c| matches!(c.code(), 64 | 71)), "no long-lived without graceful");

    n.graceful_restart.restarting = true;
    n.families = vec![AddressFamily::Ipv4, AddressFamily::Ipv6];
    let both = |forwarding| [(AfiSafi::IPV4_UNICAST, forwarding), (AfiSafi::IPV6_UNICAST, forwarding)];
    let stale = |forwarding| {
        let of = |(family, forwarding)| LongLivedFamily { family, forwarding, stale_secs: 3600 };
        Capability::LongLivedGracefulRestart(both(forwarding).map(of).to_vec())
    };
    let fresh = offered(&speaker(), &n);
    assert!(fresh.contains(&graceful(false, true, &both(false))) && fresh.contains(&stale(false)), "{fresh:?}");
    // We come back: flags R and F.
    let back = SpeakerConfig { restarting: true, ..speaker() };
    let capabilities = offered(&back, &n);
    assert!(capabilities.contains(&graceful(true, true, &both(true))) && capabilities.contains(&stale(true)));
    // After the first session we are not restarting any more, and forwarding went on.
    let later = SessionConfig::of(&back, &n, 7).open(false, false).capabilities;
    assert!(later.contains(&graceful(false, true, &both(true))), "{later:?}");

    n.add_path = crate::config::AddPath { receive: true, send: 4 };
    let list = vec![(AfiSafi::IPV4_UNICAST, AddPathMode::Both), (AfiSafi::IPV6_UNICAST, AddPathMode::Both)];
    assert!(offered(&speaker(), &n).contains(&Capability::AddPath(list)));
    n.add_path = crate::config::AddPath { receive: false, send: 1 };
    assert!(offered(&speaker(), &n).iter().any(|c| matches!(c, Capability::AddPath(l) if l[0].1 == AddPathMode::Send)));

    // IPv4 over IPv6 (RFC 8950); over IPv4 there is no use for it.
    let next_hops = Capability::ExtendedNextHop(vec![(AfiSafi::IPV4_UNICAST, 2)]);
    assert!(!offered(&speaker(), &n).contains(&next_hops));
    n.address = "2001:db8::2".parse().expect("an address");
    assert!(offered(&speaker(), &n).contains(&next_hops));
    n.families = vec![AddressFamily::Ipv6];
    assert!(!offered(&speaker(), &n).contains(&next_hops));

    // A role towards externals only.
    n.role = Some(Role::Provider);
    assert!(offered(&speaker(), &n).contains(&Capability::Role(Role::Provider)));
    n.remote_as = RemoteAs::Internal;
    assert!(!offered(&speaker(), &n).contains(&Capability::Role(Role::Provider)));
}

#[test]
fn restarts_of_both_ends_are_known() {
    let config = SessionConfig {
        graceful_restart: GracefulRestart {
            helper: true,
            restarting: true,
            restart_time: Duration::from_secs(90),
            long_lived: Some(Duration::from_secs(7200)),
        },
        ..config()
    };
    let long_lived = LongLivedFamily { family: AfiSafi::IPV4_UNICAST, forwarding: true, stale_secs: 600 };
    let theirs = graceful(true, true, &[(AfiSafi::IPV4_UNICAST, true), (AfiSafi { afi: 25, safi: 70 }, true)]);
    let agreed = negotiated(config.clone(), &with(&[theirs, Capability::LongLivedGracefulRestart(vec![long_lived])]));
    let v4 = AddressFamily::Ipv4;
    let expected = Restart {
        restarted: true,
        notification: true,
        restart_time: Duration::from_secs(120),
        families: vec![(v4, true)],
    };
    assert_eq!(agreed.peer_restart, Some(expected));
    let ours = agreed.our_restart.clone().expect("offered");
    assert_eq!((ours.restart_time, ours.covers(v4), ours.forwarded(v4)), (Duration::from_secs(90), true, false));
    assert_eq!(agreed.our_long_lived[0].stale_time, Duration::from_secs(7200));
    assert_eq!(
        (agreed.peer_long_lived[0].stale_time, agreed.peer_long_lived[0].forwarding),
        (Duration::from_secs(600), true)
    );
    assert!(
        agreed.notifies_gracefully() && agreed.helps(v4) && agreed.helps_any() && !agreed.helps(AddressFamily::Ipv6)
    );
    // RFC 9494 §4.2: long-lived without graceful restart is ignored.
    let agreed = negotiated(config, &with(&[Capability::LongLivedGracefulRestart(vec![long_lived])]));
    assert!(agreed.peer_long_lived.is_empty() && !agreed.helps_any() && !agreed.notifies_gracefully());
}

#[test]
fn routes_are_kept_after_what_the_ends_agreed_on_and_not_after_a_hard_reset() {
    let v4 = [(AfiSafi::IPV4_UNICAST, true)];
    let helper = || SessionConfig { graceful_restart: GracefulRestart::default(), ..config() };
    let agreed = |open: &Open| negotiated(helper(), open);
    let (none, plain, flagged) = (
        agreed(&with(&[graceful(false, true, &[])])),
        agreed(&with(&[graceful(false, false, &v4)])),
        agreed(&with(&[graceful(false, true, &v4)])),
    );
    let cease = Notification::cease(cease::CONFIG_CHANGE);
    let shutdown = || StopCause::AdminShutdown { message: String::new() };
    // Reason; kept with RFC 4724 alone, and with RFC 8538.
    let rows = [
        (DownReason::ConnectionLost, true, true),
        (DownReason::Replaced, true, true),
        (DownReason::HoldTimerExpired, false, true),
        (DownReason::SendHoldTimerExpired, false, true),
        (DownReason::NotificationReceived(cease.clone()), false, true),
        (DownReason::NotificationReceived(cease.hard()), false, false),
        (DownReason::NotificationSent(Notification::update(1)), false, true),
        (DownReason::Stopped(shutdown()), false, false),
        (DownReason::Stopped(StopCause::Deconfigured), false, false),
        (DownReason::Stopped(StopCause::ConfigChange), false, true),
    ];
    for (reason, with_gr, with_flag) in rows {
        assert!(!reason.keeps_routes(&none), "{reason}: it restarts no family gracefully");
        assert_eq!(reason.keeps_routes(&plain), with_gr, "{reason}");
        assert_eq!(reason.keeps_routes(&flagged), with_flag, "{reason}");
    }
}

#[test]
fn a_reason_for_which_routes_have_to_go_is_wrapped_in_a_hard_reset() {
    let helper = || SessionConfig { graceful_restart: GracefulRestart::default(), ..config() };
    let max = StopCause::MaxPrefix { family: AfiSafi::IPV4_UNICAST, limit: 5, restart: None };
    let rows: [(StopCause, &[u8], &[u8]); 5] = [
        (
            StopCause::AdminShutdown { message: "bye".to_owned() },
            &[6, 2, 3, b'b', b'y', b'e'],
            &[6, 9, 6, 2, 3, b'b', b'y', b'e'],
        ),
        (StopCause::AdminReset { message: String::new() }, &[6, 4], &[6, 9, 6, 4]),
        (StopCause::Deconfigured, &[6, 3], &[6, 9, 6, 3]),
        (max, &[6, 1, 0, 1, 1, 0, 0, 0, 5], &[6, 9, 6, 1, 0, 1, 1, 0, 0, 0, 5]),
        (StopCause::ConfigChange, &[6, 6], &[6, 6]),
    ];
    for (cause, plain, wrapped) in rows {
        for (flag, expected) in [(false, plain), (true, wrapped)] {
            let theirs = with(&[graceful(false, flag, &[(AfiSafi::IPV4_UNICAST, true)])]);
            let (mut rig, _) = Rig::established(helper(), &theirs);
            rig.input(SessionInput::Stop(cause.clone()));
            let sent = messages(&rig.outputs(), MessageType::Notification);
            assert_eq!(&sent[0].1[HEADER_LEN..], expected, "{cause}");
        }
    }
    // Two helpers keep nothing of each other: plain words say more.
    let (mut rig, _) = Rig::established(helper(), &with(&[graceful(false, true, &[])]));
    rig.input(SessionInput::Stop(StopCause::Deconfigured));
    assert_eq!(&messages(&rig.outputs(), MessageType::Notification)[0].1[HEADER_LEN..], [6, 3]);
    // The text within is shown.
    let hard = Notification::cease_with_text(cease::SHUTDOWN, "bye").hard();
    assert_eq!(hard.shutdown_text().as_deref(), Some("bye"));
    assert_eq!(hard.to_string(), "Cease: Hard Reset, Cease: Administrative Shutdown (\"bye\")");
}

#[test]
fn a_restart_of_ours_ends_the_session_without_a_word() {
    let (mut rig, conn) = Rig::established(config(), &open());
    rig.input(SessionInput::Stop(StopCause::Restarting));
    let reason = DownReason::Stopped(StopCause::Restarting);
    assert_eq!(rig.outputs(), [SessionOutput::Close { conn }, SessionOutput::Down { reason }]);
}

#[test]
fn too_many_prefixes_end_the_session_for_a_time_or_for_good() {
    for restart in [Some(Duration::from_secs(300)), None] {
        let (mut rig, _) = Rig::established(config(), &open());
        rig.input(SessionInput::Stop(StopCause::MaxPrefix { family: AfiSafi::IPV4_UNICAST, limit: 5, restart }));
        assert_eq!(
            &messages(&rig.outputs(), MessageType::Notification)[0].1[HEADER_LEN..],
            [6, 1, 0, 1, 1, 0, 0, 0, 5]
        );
        rig.pass(Duration::from_secs(299));
        // Neither do we dial nor may the neighbor come.
        rig.accept();
        assert_eq!(rig.state(), SessionState::Idle);
        assert!(!rig.outputs().iter().any(|output| matches!(output, SessionOutput::Connect { .. })));
        rig.pass(Duration::from_secs(1));
        let dials = rig.outputs().iter().any(|output| matches!(output, SessionOutput::Connect { .. }));
        assert_eq!(dials, restart.is_some());
        rig.input(SessionInput::Start);
        assert_eq!(rig.state(), SessionState::Connect);
    }
}

#[test]
fn ipv6_next_hops_of_ipv4_routes_are_in_use_if_both_offer_them() {
    let theirs = Capability::ExtendedNextHop(vec![(AfiSafi::IPV4_UNICAST, 2)]);
    let others = Capability::ExtendedNextHop(vec![(AfiSafi { afi: 1, safi: 128 }, 2)]);
    for (ours, theirs, expected) in [
        (true, &[theirs.clone()][..], true),
        (false, &[theirs][..], false),
        (true, &[], false),
        (true, &[others][..], false),
    ] {
        let agreed = negotiated(SessionConfig { extended_next_hop: ours, ..config() }, &with(theirs));
        assert_eq!((agreed.extended_next_hop, agreed.decode_context().extended_next_hop), (expected, expected));
    }
}

#[test]
fn roles_have_to_fit() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    let roles = [Provider, RouteServer, RouteServerClient, Customer, Peer];
    let fitting = [
        (Provider, Customer),
        (Customer, Provider),
        (RouteServer, RouteServerClient),
        (RouteServerClient, RouteServer),
        (Peer, Peer),
    ];
    for ours in roles {
        for theirs in roles {
            let (mut rig, conn) = Rig::started(SessionConfig { role: Some(ours), ..config() });
            rig.connected(conn);
            rig.outputs();
            rig.say(conn, &with(&[Capability::Role(theirs)]).to_bytes());
            let sent: Vec<_> = notifications(&rig.outputs()).into_iter().map(|(_, n)| (n.code, n.subcode)).collect();
            let expected = if fitting.contains(&(ours, theirs)) { vec![] } else { vec![(2, 11)] };
            assert_eq!(sent, expected, "{ours:?} {theirs:?}");
        }
    }
    // Two different ones, one that is not assigned; twice the same is fine (RFC 9234 §4.2).
    let unknown = Capability::Unknown { code: 9, value: Bytes::from_static(&[5]) };
    let rows: [(&[Capability], bool); 4] = [
        (&[Capability::Role(Customer), Capability::Role(Peer)], false),
        (&[unknown], false),
        (&[Capability::Role(Customer), Capability::Role(Customer)], true),
        (&[], true),
    ];
    for (capabilities, fits) in rows {
        let (mut rig, conn) = Rig::started(SessionConfig { role: Some(Provider), ..config() });
        rig.connected(conn);
        rig.say(conn, &with(capabilities).to_bytes());
        assert_eq!(notifications(&rig.outputs()).is_empty(), fits);
    }
    // Without a role of ours theirs is not looked at; with one it is known.
    assert_eq!(negotiated(config(), &with(&[Capability::Role(Peer)])).peer_role, None);
    let agreed = negotiated(SessionConfig { role: Some(Provider), ..config() }, &with(&[Capability::Role(Customer)]));
    assert_eq!((agreed.role, agreed.peer_role), (Some(Provider), Some(Customer)));
    // A route server need not be the first AS of the paths it passes on.
    assert_eq!(agreed.decode_context().first_asn, Some(64500));
    let agreed = negotiated(SessionConfig { role: Some(RouteServerClient), ..config() }, &open());
    assert_eq!(agreed.decode_context().first_asn, None);
}

#[test]
fn a_confederation_has_one_face_outside_and_another_inside() {
    let confederation = Some(Confederation { id: 100, members: vec![64513, 64514] });
    let speaker = SpeakerConfig { confederation, ..speaker() };
    // Configured AS, our AS in the OPEN, where it stands.
    let rows = [
        (RemoteAs::Number(64500), 100, Some((64500, PeerKind::External))),
        (RemoteAs::External, 100, Some((64500, PeerKind::External))),
        (RemoteAs::Number(64513), 64512, Some((64513, PeerKind::Confed))),
        (RemoteAs::Number(64512), 64512, Some((64512, PeerKind::Internal))),
        (RemoteAs::Internal, 64512, Some((64512, PeerKind::Internal))),
        (RemoteAs::External, 100, None),
    ];
    for (remote_as, ours, stands) in rows {
        let neighbor = NeighborConfig { remote_as, passive: false, ..neighbor() };
        let config = SessionConfig::of(&speaker, &neighbor, 7);
        assert_eq!(config.open(true, false).asn, ours, "{remote_as:?}");
        match stands {
            Some((asn, kind)) => {
                let theirs = Open { asn, capabilities: vec![Capability::FourOctetAs(asn)], ..open() };
                let agreed = negotiated(config, &theirs);
                assert_eq!((agreed.kind, agreed.local_asn, agreed.confederation), (kind, ours, Some(100)));
            }
            // A member, and the confederation itself, are no externals.
            None => assert_eq!([64513, 64512, 100, 23456].map(|asn| config.kind_of(asn)), [None; 4]),
        }
    }
}

/// Our OPEN after the neighbor answered the first with `notification`, and the one after that was answered so, too.
fn opens_after(config: SessionConfig, notification: &Notification) -> [Open; 3] {
    let (mut rig, mut conn) = Rig::started(config);
    [(); 3].map(|()| {
        rig.connected(conn);
        let sent = messages(&rig.outputs(), MessageType::Open);
        rig.say(conn, &notification.to_bytes());
        let outputs = loop {
            let outputs = rig.outputs();
            if outputs.iter().any(|output| matches!(output, SessionOutput::Connect { .. })) {
                break outputs;
            }
            rig.pass(Duration::from_millis(500));
        };
        let Some(SessionOutput::Connect { conn: next }) = outputs.last() else { panic!("did not dial last") };
        conn = *next;
        Open::decode(&sent[0].1[HEADER_LEN..]).expect("valid")
    })
}

#[test]
fn capabilities_that_are_refused_are_left_out_once() {
    let config = || SessionConfig { families: vec![AddressFamily::Ipv4, AddressFamily::Ipv6], ..config() };
    let full = config().open(true, false);
    // RFC 5492 §3: it knows no capabilities at all.
    let [first, second, third] = opens_after(config(), &Notification::open(4));
    assert_eq!((first, second.capabilities.len(), third), (full.clone(), 0, full.clone()));
    // What it misses of us is nothing to leave out: the session would go on without a family.
    let data = [1, 4, 0, 2, 0, 1, 6, 0, 99, 0];
    let missed = Notification::open(7).with_data(Bytes::copy_from_slice(&data));
    assert!(opens_after(config(), &missed).iter().all(|open| *open == full));
    // Nothing would be left to speak about, or it is about something else: no change.
    let only_v6 = SessionConfig { families: vec![AddressFamily::Ipv6], ..config() };
    let opens = opens_after(only_v6.clone(), &Notification::open(4));
    assert!(opens.iter().all(|open| *open == only_v6.open(true, false)));
    assert!(opens_after(config(), &Notification::open(2)).iter().all(|open| *open == full));

    // A session without capabilities has what RFC 4271 alone gives, whatever the neighbor says.
    let (mut rig, conn) = Rig::started(config());
    rig.connected(conn);
    rig.say(conn, &Notification::open(4).to_bytes());
    rig.outputs();
    rig.pass(Duration::from_millis(500));
    let Some(SessionOutput::Connect { conn }) = rig.outputs().pop() else { panic!("did not dial soon") };
    rig.connected(conn);
    rig.say(conn, &[&with(&[Capability::ExtendedMessages]).to_bytes()[..], &header::keepalive()].concat());
    let (_, agreed) = rig.session.established().expect("up");
    assert_eq!(
        (agreed.as4, agreed.extended_messages, &agreed.families[..]),
        (false, false, &[AddressFamily::Ipv4][..])
    );
}
