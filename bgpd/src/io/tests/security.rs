//! Who gets in: passwords, TTLs, ranges, strangers, and reloads that change them.

use std::collections::BTreeMap;

use super::*;
use crate::config::{NeighborRange, Secret};
use crate::speaker::message::{NeighborKey, NeighborView, Protection, SessionState};

/// Time in which a session that could come up would: several attempts.
const LONG_ENOUGH: Duration = Duration::from_millis(1500);

fn with_password(config: NeighborConfig, password: &str) -> NeighborConfig {
    NeighborConfig { password: Some(Secret::new(password)), ..config }
}

impl Running {
    async fn views(&self) -> Vec<NeighborView> {
        match self.handle.query(Query::Neighbors(None)).await {
            Ok(Reply::Neighbors(views)) => views,
            other => panic!("no neighbors: {other:?}"),
        }
    }

    async fn never_established(&self, neighbor: IpAddr) {
        let limit = Instant::now() + LONG_ENOUGH;
        while Instant::now() < limit {
            assert_ne!(self.state(neighbor).await, SessionState::Established);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let views = self.views().await;
        let view = views.iter().find(|view| view.address == Some(neighbor)).unwrap();
        assert_eq!(view.established_count, 0);
    }

    async fn until_down(&self, neighbor: IpAddr) {
        let limit = Instant::now() + PATIENCE;
        while self.state(neighbor).await == SessionState::Established {
            assert!(Instant::now() < limit, "the session with {neighbor} stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn the_right_password_opens_and_no_other_does() {
    for (test, theirs, up) in [(40, Some("secret"), true), (41, Some("wrong"), false), (42, None, false)] {
        let (a, b) = (address(test, 1), address(test, 2));
        let listens = with_password(neighbor(a, 0, 64501, b), "secret");
        let second = Running::start(speaker(64502, vec![listens]), Some(b));
        let mut dials = neighbor(b, second.at().port(), 64502, a);
        dials.password = theirs.map(Secret::new);
        let first = Running::start(speaker(64501, vec![dials]), None);
        if up {
            first.until_established(b).await;
            second.until_established(a).await;
        } else {
            tokio::join!(first.never_established(b), second.never_established(a));
        }
    }
}

#[tokio::test]
async fn a_dialler_with_a_password_does_not_speak_to_one_without() {
    let (a, b) = (address(43, 1), address(43, 2));
    let second = Running::start(speaker(64502, vec![neighbor(a, 0, 64501, b)]), Some(b));
    let dials = with_password(neighbor(b, second.at().port(), 64502, a), "secret");
    let first = Running::start(speaker(64501, vec![dials]), None);
    tokio::join!(first.never_established(b), second.never_established(a));
}

#[tokio::test]
async fn a_password_that_cannot_be_set_is_noted_and_protects_by_refusing() {
    let (a, b) = (address(44, 1), address(44, 2));
    let long = "x".repeat(81);
    let second = Running::start(speaker(64502, vec![with_password(neighbor(a, 0, 64501, b), &long)]), Some(b));
    let mut stream = Puppet::connect(a, second.at()).stream;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(!matches!(stream.read(&mut [0; 64]), Ok(1..)), "not a word to it");
    assert_eq!(second.handle.counters().unprotected, 1);
    let views = second.views().await;
    let note = views[0].notes.iter().find(|note| note.contains("TCP-MD5")).expect("a note");
    assert!(note.contains("at most 80 octets") && !note.contains(&long), "{note}");

    // The dialling side says so too.
    let first = Running::start(speaker(64501, vec![with_password(neighbor(b, 1, 64502, a), &long)]), None);
    let limit = Instant::now() + PATIENCE;
    loop {
        let notes = first.views().await[0].notes.join("; ");
        if notes.contains("cannot set the TCP-MD5 password") {
            break;
        }
        assert!(Instant::now() < limit, "{notes}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_reload_that_changes_a_password_resets_that_neighbor_alone_and_the_old_one_is_gone() {
    let (us, changed, other) = (address(45, 1), address(45, 2), address(45, 3));
    let of = |peer, asn| neighbor(peer, 0, asn, us);
    let before =
        speaker(64501, vec![with_password(of(changed, 64502), "old"), with_password(of(other, 64503), "its own")]);
    let hub = Running::start(before, Some(us));
    let port = hub.at().port();
    let dials = |peer, password: &str| with_password(neighbor(us, port, 64501, peer), password);
    let first = Running::start(speaker(64502, vec![dials(changed, "old")]), None);
    let second = Running::start(speaker(64503, vec![dials(other, "its own")]), None);
    hub.until_established(changed).await;
    hub.until_established(other).await;

    let after = vec![with_password(of(changed, 64502), "new"), with_password(of(other, 64503), "its own")];
    hub.handle.configure(speaker(64501, after)).await.unwrap();
    hub.until_down(changed).await;
    let limit = Instant::now() + LONG_ENOUGH;
    while Instant::now() < limit {
        assert_ne!(hub.state(changed).await, SessionState::Established, "the old password is no longer good");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.handle.configure(speaker(64502, vec![dials(changed, "new")])).await.unwrap();
    hub.until_established(changed).await;
    let views = hub.views().await;
    let count = |peer| views.iter().find(|view| view.address == Some(peer)).unwrap().established_count;
    assert_eq!((count(changed), count(other)), (2, 1), "the other one was not touched");
    drop(second);
}

#[tokio::test]
async fn a_session_key_that_changes_resets_that_neighbor_alone() {
    let (us, changed, other) = (address(46, 1), address(46, 2), address(46, 3));
    let of = |peer, asn| neighbor(peer, 0, asn, us);
    let hub = Running::start(speaker(64501, vec![of(changed, 64502), of(other, 64503)]), Some(us));
    let port = hub.at().port();
    let _first = Running::start(speaker(64502, vec![neighbor(us, port, 64501, changed)]), None);
    let _second = Running::start(speaker(64503, vec![neighbor(us, port, 64501, other)]), None);
    hub.until_established(changed).await;
    hub.until_established(other).await;
    let steps: [fn(&mut NeighborConfig); 3] = [
        |config| config.families = vec![AddressFamily::Ipv4, AddressFamily::Ipv6],
        |config| config.hold_time = Duration::from_secs(30),
        |config| config.multihop = Some(3),
    ];
    let mut config = of(changed, 64502);
    for (done, step) in steps.iter().enumerate() {
        step(&mut config);
        hub.handle.configure(speaker(64501, vec![config.clone(), of(other, 64503)])).await.unwrap();
        let limit = Instant::now() + PATIENCE;
        loop {
            let views = hub.views().await;
            let count = |peer| views.iter().find(|view| view.address == Some(peer)).unwrap().established_count;
            assert_eq!(count(other), 1, "step {done}");
            if count(changed) == done as u64 + 2 {
                break;
            }
            assert!(Instant::now() < limit, "step {done}: no new session");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn ttl_security_admits_only_what_was_sent_with_the_greatest_ttl() {
    let gtsm = |config| NeighborConfig { ttl_security: Some(1), ..config };
    for (test, theirs, up) in [(47, true, true), (48, false, false)] {
        let (a, b) = (address(test, 1), address(test, 2));
        let second = Running::start(speaker(64502, vec![gtsm(neighbor(a, 0, 64501, b))]), Some(b));
        let dials = neighbor(b, second.at().port(), 64502, a);
        let first = Running::start(speaker(64501, vec![if theirs { gtsm(dials) } else { dials }]), None);
        if up {
            first.until_established(b).await;
            second.until_established(a).await;
        } else {
            tokio::join!(first.never_established(b), second.never_established(a));
            assert!(second.handle.counters().unprotected > 0);
        }
    }
    // The dialling side alone: an answer with TTL 64 is not heard.
    let (a, b) = (address(49, 1), address(49, 2));
    let second = Running::start(speaker(64502, vec![neighbor(a, 0, 64501, b)]), Some(b));
    let first = Running::start(speaker(64501, vec![gtsm(neighbor(b, second.at().port(), 64502, a))]), None);
    tokio::join!(first.never_established(b), second.never_established(a));
}

fn range(prefix: &str, limit: u32, asn: u32, local: IpAddr) -> NeighborRange {
    let template = neighbor(Ipv4Addr::UNSPECIFIED.into(), 179, asn, local);
    NeighborRange { range: prefix.parse().unwrap(), limit, template }
}

#[tokio::test]
async fn fifty_peers_come_out_of_one_range_and_the_next_one_is_refused() {
    let us = address(50, 1);
    let ranges = vec![range("127.77.0.0/16", 1, 64999, us), range("127.77.51.0/24", 50, 64502, us)];
    let hub = Running::start(SpeakerConfig { ranges, ..speaker(64501, Vec::new()) }, Some(us));
    let port = hub.at().port();
    let mut peers = Vec::new();
    for end in 1..=50 {
        let dials = vec![neighbor(us, port, 64501, address(51, end))];
        let config = SpeakerConfig { router_id: Ipv4Addr::new(10, 0, 51, end), ..speaker(64502, dials) };
        peers.push(Running::start(config, None));
    }
    let limit = Instant::now() + PATIENCE;
    loop {
        let views = hub.views().await;
        if views.iter().filter(|view| view.state == SessionState::Established).count() == 50 {
            assert!(views.iter().all(|view| view.dynamic));
            assert!(views.iter().all(|view| view.facts == ["dynamic, out of 127.77.51.0/24"] && view.notes.is_empty()));
            break;
        }
        assert!(Instant::now() < limit, "{} of 50 are there", views.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // One more is a stranger while all are here, and is let in when one has left.
    let dials = vec![neighbor(us, port, 64501, address(51, 51))];
    let late = Running::start(SpeakerConfig { router_id: Ipv4Addr::new(10, 0, 51, 51), ..speaker(64502, dials) }, None);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_ne!(late.state(us).await, SessionState::Established);
    assert!(hub.handle.counters().strangers > 0);
    peers.pop().unwrap().handle.shutdown().await;
    late.until_established(us).await;
    let keys: Vec<NeighborKey> = hub.views().await.into_iter().map(|view| view.key).collect();
    assert!(keys.contains(&address(51, 51).into()) && !keys.contains(&address(51, 50).into()), "{keys:?}");
    assert_eq!(keys.len(), 50);

    // A reload without the range is the end of them.
    hub.handle.configure(speaker(64501, Vec::new())).await.unwrap();
    assert!(hub.views().await.is_empty());
}

#[tokio::test]
async fn a_range_has_a_password_of_its_own() {
    let us = address(52, 1);
    let mut range = range("127.77.53.0/24", 10, 64502, us);
    range.template.password = Some(Secret::new("for all"));
    let hub = Running::start(SpeakerConfig { ranges: vec![range], ..speaker(64501, Vec::new()) }, Some(us));
    let dials = |end: u8, password: Option<&str>| {
        let mut config = neighbor(us, hub.at().port(), 64501, address(53, end));
        config.password = password.map(Secret::new);
        Running::start(speaker(64502, vec![config]), None)
    };
    let (good, none) = (dials(1, Some("for all")), dials(2, None));
    good.until_established(us).await;
    none.never_established(us).await;
    assert_eq!(hub.views().await.len(), 1, "who does not sign is not even known");
}

#[tokio::test]
async fn who_came_before_the_password_was_set_is_not_let_in() {
    let (us, them) = (address(56, 1), address(56, 2));
    let at = SocketAddr::new(us, 0);
    let bound = socket::bind(at).unwrap();
    let mut keys = keys::Keys::new(std::slice::from_ref(&bound)).unwrap();
    let listener = socket::listen(bound, at).unwrap();
    let to = listener.local_addr().unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    // The handshake is done, and the connection waits to be accepted.
    let _early = Puppet::connect(them, to);
    keys.set(&BTreeMap::from([("127.77.56.0/24".parse().unwrap(), Secret::new("late"))]));
    let (stream, remote) = listener.accept().await.unwrap();
    let protection = Protection { password: Some(Secret::new("late")), ..Protection::default() };
    let refused = socket::accepted(&stream, remote, &protection).unwrap_err();
    assert!(refused.to_string().contains("came unsigned"), "{refused}");
}

#[tokio::test]
async fn nobody_can_connect_to_a_socket_that_is_still_being_protected() {
    let at = SocketAddr::new(address(57, 1), 0);
    let bound = socket::bind(at).unwrap();
    let to = bound.local_addr().unwrap().as_socket().unwrap();
    let refused = TcpStream::connect(to).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    socket::listen(bound, at).unwrap();
}

#[tokio::test]
async fn who_comes_out_of_a_range_and_never_says_open_is_soon_forgotten() {
    let us = address(58, 1);
    let ranges = vec![range("127.77.59.0/24", 2, 64502, us)];
    let hub = Running::start(SpeakerConfig { ranges, ..speaker(64501, Vec::new()) }, Some(us));
    drop(Puppet::connect(address(59, 1), hub.at()));
    let mut other = Puppet::connect(address(59, 2), hub.at());
    // Another AS than the range is for.
    other.send(&message(MessageType::Open, &open_body(64999)));
    assert_eq!(blocking(move || other.notification()).await, (2, 2));
    let limit = Instant::now() + PATIENCE;
    let mut seen = 0;
    loop {
        let views = hub.views().await;
        seen = seen.max(views.len());
        if seen == 2 && views.is_empty() {
            break;
        }
        assert!(Instant::now() < limit, "{views:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn strangers_are_counted_and_reset_and_only_few_are_reported() {
    let (us, friend, stranger) = (address(54, 1), address(54, 2), address(54, 3));
    let hub = Running::start(speaker(64501, vec![neighbor(friend, 0, 64502, us)]), Some(us));
    let mut events = hub.handle.events();
    for _ in 0..100 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(stranger, 0).into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The end may come before the beginning has been told.
        let end = socket.connect(&hub.at().into()).and_then(|()| TcpStream::from(socket).read(&mut [0; 64]));
        assert!(end.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset), "{end:?}");
    }
    assert_eq!(hub.handle.counters().strangers, 100);
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        told += u32::from(matches!(event, Event::UnknownPeer { remote } if remote == stranger));
    }
    assert!((1..50).contains(&told), "{told} of 100 were reported");
}

#[tokio::test]
async fn a_neighbor_that_dials_without_end_holds_few_connections() {
    let (us, peer) = (address(55, 1), address(55, 2));
    let hub = Running::start(speaker(64501, vec![neighbor(peer, 0, 64502, us)]), Some(us));
    // None of them says a word, and none is closed from their side.
    let held: Vec<TcpStream> = (0..60).map(|_| Puppet::connect(peer, hub.at()).stream).collect();
    let limit = Instant::now() + PATIENCE;
    while hub.handle.counters().accepted + hub.handle.counters().crowded < 60 {
        assert!(Instant::now() < limit, "{:?}", hub.handle.counters());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let counters = hub.handle.counters();
    assert!(counters.crowded > 0 && counters.accepted < 60, "{counters:?}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_does_not_hold_up_sessions() {
    let (us, peer, stranger) = (address(61, 1), address(61, 2), address(61, 3));
    let mut hub = Running::start(speaker(64501, vec![neighbor(peer, 0, 64502, us)]), Some(us));
    hub.answer_rib();
    let at = hub.at();
    let mut other = Running::start(speaker(64502, vec![neighbor(us, at.port(), 64501, peer)]), None);
    other.answer_rib();
    hub.until_established(peer).await;
    other.until_established(us).await;
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&over);
    let flood = std::thread::spawn(move || {
        // Some hundreds at a time, as fast as the kernel makes them.
        while !told.load(std::sync::atomic::Ordering::Relaxed) {
            let dial = |_| {
                let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
                socket.bind(&SocketAddr::new(stranger, 0).into()).ok()?;
                socket.connect(&at.into()).ok()?;
                Some(socket)
            };
            let _held: Vec<_> = (0..300).filter_map(dial).collect();
        }
    });
    while hub.handle.counters().strangers < 300 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for round in 0..20 {
        let begun = Instant::now();
        other.announce([vip()], round % 2 == 0);
        hub.until_holds(peer, u64::from(round % 2 == 0)).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?} in round {round}", begun.elapsed());
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.join().unwrap();
    assert_eq!(hub.views().await[0].established_count, 1);
}
