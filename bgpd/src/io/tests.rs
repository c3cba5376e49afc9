//! The carrier over loopback TCP: sessions that come up, peers that misbehave, and queues that are full.

#![allow(clippy::disallowed_methods)] // these stories happen in real time

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ipnet::IpNet;
use rib::message::{Reach, Reachability};
use rib::{AddressFamily, Metric, Protocol};
use tokio::sync::mpsc;

mod security;

use super::lanes::Lanes;
use super::*;
use crate::config::{NeighborConfig, PolicyRef, RemoteAs};
use crate::speaker::Speaker;
use crate::speaker::message::{Command, Event, LocalBatch, LocalRoute, Query, Reply, SessionState};
use crate::wire::attr::Origin;
use crate::wire::header::{self, MessageType};

/// Longer than anything here takes, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses of 127/8 are all local, so every test has its own pair and they run side by side.
fn address(test: u8, end: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 77, test, end))
}

fn neighbor(address: IpAddr, port: u16, asn: u32, local: IpAddr) -> NeighborConfig {
    NeighborConfig {
        port,
        local_address: Some(local),
        passive: port == 0,
        hold_time: Duration::from_secs(9),
        connect_retry: Duration::from_millis(200),
        families: vec![AddressFamily::Ipv4],
        import: PolicyRef::Chain(vec!["accept".into()]),
        export: PolicyRef::Chain(vec!["accept".into()]),
        extended_messages: false,
        ..NeighborConfig::new(address, RemoteAs::Number(asn))
    }
}

fn speaker(asn: u32, neighbors: Vec<NeighborConfig>) -> SpeakerConfig {
    let router_id = Ipv4Addr::from(0x0A00_0000 + asn % 1000);
    SpeakerConfig { neighbors, seed: 7, ..SpeakerConfig::new(asn, router_id) }
}

/// A speaker that listens on its own address; its port is known after it has started.
struct Running {
    handle: Handle,
    rib: Option<mpsc::Receiver<rib::message::Input>>,
}

impl Running {
    fn start(speaker: SpeakerConfig, listen: Option<IpAddr>) -> Self {
        Self::with_inbox(speaker, listen, 1024)
    }

    fn with_inbox(speaker: SpeakerConfig, listen: Option<IpAddr>, inbox: usize) -> Self {
        let (sink, rib) = mpsc::channel(inbox);
        let listen = listen.map(|address| SocketAddr::new(address, 0)).into_iter().collect();
        let io = IoConfig { listen, close_timeout: Duration::from_millis(500), ..IoConfig::default() };
        Self { handle: spawn(speaker, io, sink).unwrap(), rib: Some(rib) }
    }

    fn at(&self) -> SocketAddr {
        self.handle.listening()[0]
    }

    /// Takes what comes for the RIB, and says that every next hop is on the link.
    fn answer_rib(&mut self) {
        let mut rib = self.rib.take().unwrap();
        let handle = self.handle.clone();
        tokio::spawn(async move {
            while let Some(input) = rib.recv().await {
                if let rib::message::Input::Track { add, .. } = input {
                    let reach = Some(Reach { metric: Metric(0), protocol: Protocol::Connected, connected: true });
                    handle.reach(add.into_iter().map(|addr| Reachability { addr, reach }).collect());
                }
            }
        });
    }

    async fn state(&self, neighbor: IpAddr) -> SessionState {
        match self.handle.query(Query::Neighbors(Some(neighbor.into()))).await {
            Ok(Reply::Neighbors(views)) => views[0].state,
            other => panic!("no neighbor {neighbor}: {other:?}"),
        }
    }

    async fn until_established(&self, neighbor: IpAddr) {
        let limit = Instant::now() + PATIENCE;
        while self.state(neighbor).await != SessionState::Established {
            assert!(Instant::now() < limit, "no session with {neighbor}: {:?}", self.state(neighbor).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn holds(&self, neighbor: IpAddr) -> u64 {
        match self.handle.query(Query::Neighbors(Some(neighbor.into()))).await {
            Ok(Reply::Neighbors(views)) => views[0].received,
            other => panic!("no neighbor {neighbor}: {other:?}"),
        }
    }

    async fn until_holds(&self, neighbor: IpAddr, count: u64) {
        let limit = Instant::now() + PATIENCE;
        while self.holds(neighbor).await != count {
            let held = self.holds(neighbor).await;
            assert!(Instant::now() < limit, "{held} routes of {neighbor}, expected {count}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn announce(&self, prefixes: impl IntoIterator<Item = IpNet>, up: bool) {
        let route = Arc::new(LocalRoute {
            protocol: Protocol::Service,
            origin: Origin::Igp,
            med: None,
            prepend: 0,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            // Not our own end: nobody believes in a next hop in 127/8.
            next_hop: Some("198.51.100.1".parse().unwrap()),
        });
        let changes = prefixes.into_iter().map(|prefix| (prefix, up.then(|| Arc::clone(&route)))).collect();
        self.handle.local(LocalBatch { changes });
    }
}

fn vip() -> IpNet {
    "192.0.2.53/32".parse().unwrap()
}

fn many(count: u32) -> impl Iterator<Item = IpNet> {
    (0..count).map(|index| ipnet::Ipv4Net::new_assert(Ipv4Addr::from(0x2000_0000 + (index << 8)), 24).into())
}

/// Two speakers; the second listens and the first dials.
async fn pair(test: u8) -> (Running, Running) {
    let (a, b) = (address(test, 1), address(test, 2));
    let mut second = Running::start(speaker(64502, vec![neighbor(a, 0, 64501, b)]), Some(b));
    let mut first = Running::start(speaker(64501, vec![neighbor(b, second.at().port(), 64502, a)]), None);
    first.answer_rib();
    second.answer_rib();
    first.until_established(b).await;
    second.until_established(a).await;
    (first, second)
}

/// A peer made of a plain socket, which knows how to open a session and then does as the story says.
struct Puppet {
    stream: TcpStream,
    buf: BytesMut,
}

impl Puppet {
    fn connect(from: IpAddr, to: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        Self::on(socket.into())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buf: BytesMut::new() }
    }

    /// The next message's type and body; `None` when the connection has ended.
    fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(head) = self.buf.get(..19) {
                let length = usize::from(u16::from_be_bytes([head[16], head[17]]));
                if self.buf.len() >= length {
                    let message = self.buf.split_to(length);
                    return Some((message[18], message[19..].to_vec()));
                }
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets) {
                Ok(0) => return None,
                Ok(read) => self.buf.extend_from_slice(&octets[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the speaker says nothing: {error}"),
            }
        }
    }

    fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    /// OPEN and KEEPALIVE in both directions: a session of AS `asn` with four-octet AS numbers.
    fn open(&mut self, asn: u16) {
        self.send(&message(MessageType::Open, &open_body(asn)));
        assert_eq!(self.read().unwrap().0, 1, "OPEN comes first");
        self.send(&header::keepalive());
        assert_eq!(self.read().unwrap().0, 4, "and is answered");
    }

    /// The code and subcode of the NOTIFICATION that ends the connection.
    fn notification(&mut self) -> (u8, u8) {
        loop {
            match self.read() {
                Some((3, body)) => return (body[0], body[1]),
                Some(_) => {}
                None => panic!("the connection ended without a NOTIFICATION"),
            }
        }
    }
}

fn message(kind: MessageType, body: &[u8]) -> BytesMut {
    let mut buf = BytesMut::new();
    let start = header::begin(kind, &mut buf);
    buf.extend_from_slice(body);
    header::finish(start, &mut buf);
    buf
}

fn open_body(asn: u16) -> Vec<u8> {
    let [high, low] = asn.to_be_bytes();
    // Version 4, the AS, hold time 9, BGP Identifier 9.9.9.9, one parameter: IPv4 unicast and four-octet AS numbers.
    let capabilities = [1, 4, 0, 1, 0, 1, 65, 4, 0, 0, high, low];
    let mut body = vec![4, high, low, 0, 9, 9, 9, 9, 9, 14, 2, 12];
    body.extend_from_slice(&capabilities);
    body
}

/// A speaker with a puppet, and a well-behaved speaker beside it that must notice nothing.
async fn puppet_and_witness(test: u8) -> (Running, Puppet, Running) {
    let (us, puppet, witness) = (address(test, 1), address(test, 2), address(test, 3));
    let neighbors = vec![neighbor(puppet, 0, 64502, us), neighbor(witness, 0, 64503, us)];
    let mut running = Running::start(speaker(64501, neighbors), Some(us));
    running.answer_rib();
    let at = running.at();
    let mut other = Running::start(speaker(64503, vec![neighbor(us, at.port(), 64501, witness)]), None);
    other.answer_rib();
    running.until_established(witness).await;
    let puppet = tokio::task::spawn_blocking(move || Puppet::connect(puppet, at)).await.unwrap();
    (running, puppet, other)
}

/// Lets a blocking story run beside the speakers.
async fn blocking<T: Send + 'static>(story: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::time::timeout(PATIENCE * 2, tokio::task::spawn_blocking(story)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_is_announced_and_withdrawn_over_tcp() {
    let (first, second) = pair(1).await;
    first.announce([vip()], true);
    second.until_holds(address(1, 1), 1).await;
    first.announce([vip()], false);
    second.until_holds(address(1, 1), 0).await;
    let counters = first.handle.counters();
    assert_eq!((counters.connected, counters.accepted), (1, 0));
    assert!(counters.octets_in > 0 && counters.octets_out > 0, "{counters:?}");
    assert_eq!(second.handle.counters().accepted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_says_goodbye() {
    let (first, second) = pair(2).await;
    let mut events = second.handle.events();
    first.handle.shutdown().await;
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(Event::Neighbor { from: SessionState::Established, reason, .. }) = events.recv().await {
                return format!("{reason:?}");
            }
        }
    });
    // RFC 4486: Cease, administrative shutdown — not a connection that was lost.
    let told = told.await.unwrap();
    assert!(!told.contains("ConnectionLost"), "{told}");
    assert_eq!(first.handle.query(Query::Summary).await.unwrap_err(), RequestError::Stopped);
    assert_eq!(first.handle.command(Command::Shutdown).await, Err(RequestError::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_ends_the_thread() {
    let running = Running::start(speaker(64501, Vec::new()), Some(address(3, 1)));
    let at = running.at();
    drop(running);
    let limit = Instant::now() + PATIENCE;
    while TcpListener::bind(at).is_err() {
        assert!(Instant::now() < limit, "the speaker still listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_gets_a_notification_and_hurts_nobody_else() {
    let (running, mut puppet, other) = puppet_and_witness(4).await;
    let said = blocking(move || {
        puppet.open(64502);
        puppet.send(&[0xAA; 64]);
        puppet.notification()
    });
    // RFC 4271 §6.1: Message Header Error, Connection Not Synchronized.
    assert_eq!(said.await, (1, 1));
    assert_eq!(running.state(address(4, 3)).await, SessionState::Established);
    other.announce([vip()], true);
    running.until_holds(address(4, 3), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_claims_too_much_is_refused() {
    let (_running, mut puppet, _other) = puppet_and_witness(5).await;
    let said = blocking(move || {
        puppet.open(64502);
        let mut long = vec![0xFF; 16];
        long.extend_from_slice(&[0xFF, 0xFF, 2]);
        puppet.send(&long);
        puppet.notification()
    });
    // RFC 4271 §6.1: Bad Message Length; extended messages were not negotiated.
    assert_eq!(said.await, (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_message_ends_with_the_hold_timer() {
    let (running, mut puppet, _other) = puppet_and_witness(6).await;
    let (said, took) = blocking(move || {
        puppet.open(64502);
        let since = Instant::now();
        puppet.send(&[0xFF; 10]);
        (puppet.notification(), since.elapsed())
    })
    .await;
    // RFC 4271 §6.5.
    assert_eq!(said, (4, 0));
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(running.state(address(6, 3)).await, SessionState::Established);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_octet_at_a_time_is_a_session_all_the_same() {
    let (running, mut puppet, _other) = puppet_and_witness(7).await;
    let puppet = blocking(move || {
        puppet.stream.set_nodelay(true).unwrap();
        let mut octets = message(MessageType::Open, &open_body(64502));
        octets.extend_from_slice(&header::keepalive());
        for octet in octets {
            puppet.send(&[octet]);
            std::thread::sleep(Duration::from_millis(1));
        }
        puppet
    })
    .await;
    running.until_established(address(7, 2)).await;
    drop(puppet);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_holds_nobody_up() {
    let (running, mut puppet, other) = puppet_and_witness(8).await;
    let puppet = blocking(move || {
        socket2::SockRef::from(&puppet.stream).set_recv_buffer_size(4096).unwrap();
        puppet.open(64502);
        puppet
    })
    .await;
    // Far more than both socket buffers hold, though the puppet takes none of it.
    running.announce(many(200_000), true);
    running.announce([vip()], true);
    other.until_holds(address(8, 1), 200_001).await;
    running.announce([vip()], false);
    let since = Instant::now();
    other.until_holds(address(8, 1), 200_000).await;
    assert!(since.elapsed() < Duration::from_secs(2), "a withdrawal took {:?}", since.elapsed());
    drop(puppet);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_rib_slows_the_peer_and_loses_nothing() {
    const ROUTES: u32 = 200_000;
    let (a, b) = (address(9, 1), address(9, 2));
    let mut second = Running::with_inbox(speaker(64502, vec![neighbor(a, 0, 64501, b)]), Some(b), 1);
    let mut first = Running::start(speaker(64501, vec![neighbor(b, second.at().port(), 64502, a)]), None);
    first.answer_rib();
    first.until_established(b).await;
    first.announce(many(ROUTES), true);
    // The RIB says how the next hop is reached, and then takes nothing more: the session stops reading, and goes on living.
    let mut rib = second.rib.take().unwrap();
    let reach = Some(Reach { metric: Metric(0), protocol: Protocol::Connected, connected: true });
    let rib::message::Input::Track { add, .. } = rib.recv().await.unwrap() else { panic!("the next hop comes first") };
    second.handle.reach(add.into_iter().map(|addr| Reachability { addr, reach }).collect());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let early = second.holds(a).await;
    assert!(early < u64::from(ROUTES), "{early} routes were taken though the RIB took nothing");
    assert_eq!(second.state(a).await, SessionState::Established);
    assert!(second.handle.counters().rib_full > 0);

    // The RIB wakes up: everything comes.
    let mut held = std::collections::BTreeSet::new();
    let limit = Instant::now() + PATIENCE;
    while held.len() < ROUTES as usize {
        assert!(Instant::now() < limit, "{} of {ROUTES} routes reached the RIB", held.len());
        let Ok(input) = tokio::time::timeout(PATIENCE, rib.recv()).await else { continue };
        if let rib::message::Input::Routes(batch) = input.unwrap() {
            held.extend(batch.changes.iter().filter(|change| change.route.is_some()).map(|change| change.prefix));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_and_counted() {
    let us = address(10, 1);
    let running = Running::start(speaker(64501, Vec::new()), Some(us));
    let at = running.at();
    blocking(move || {
        for _ in 0..50 {
            let mut stranger = Puppet::connect(address(10, 9), at);
            assert!(stranger.read().is_none_or(|(kind, _)| kind == 3), "a stranger gets at most a NOTIFICATION");
        }
    })
    .await;
    assert_eq!(running.handle.counters().strangers, 50);
    assert_eq!(running.handle.counters().accepted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_for_nobody_says_so() {
    let running = Running::start(speaker(64501, Vec::new()), None);
    let nobody = address(11, 9);
    let answer = running.handle.command(Command::Reset { neighbor: nobody.into() }).await;
    assert_eq!(answer, Err(RequestError::NoSuchNeighbor(nobody.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_leaves_the_unchanged_neighbor_alone() {
    let (running, _puppet, _other) = puppet_and_witness(12).await;
    let (us, witness) = (address(12, 1), address(12, 3));
    let up = |reply| match reply {
        Ok(Reply::Neighbors(views)) => views[0].established_count,
        other => panic!("{other:?}"),
    };
    let before = up(running.handle.query(Query::Neighbors(Some(witness.into()))).await);
    running.handle.configure(speaker(64501, vec![neighbor(witness, 0, 64503, us)])).await.unwrap();
    let puppet = Query::Neighbors(Some(address(12, 2).into()));
    assert!(matches!(running.handle.query(puppet).await, Ok(Reply::NoSuchNeighbor(_))));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.state(witness).await, SessionState::Established);
    assert_eq!(up(running.handle.query(Query::Neighbors(Some(witness.into()))).await), before);
}

#[tokio::test]
async fn a_taken_address_is_named_with_the_mend() {
    let taken = TcpListener::bind(SocketAddr::new(address(13, 1), 0)).unwrap();
    let at = taken.local_addr().unwrap();
    let (sink, _rib) = mpsc::channel(1);
    let io = |listen| IoConfig { listen: vec![listen], ..IoConfig::default() };
    let error = spawn(speaker(64501, Vec::new()), io(at), sink.clone()).unwrap_err().to_string();
    assert!(error.contains(&at.to_string()) && error.contains("already in use") && error.contains("[bgp]"), "{error}");

    let elsewhere = "203.0.113.1:1179".parse().unwrap();
    let error = spawn(speaker(64501, Vec::new()), io(elsewhere), sink).unwrap_err().to_string();
    assert!(error.contains("203.0.113.1:1179") && error.contains("no such address"), "{error}");
}

#[test]
fn ipv4_and_ipv6_listen_side_by_side_on_one_port() {
    let listen = |address| socket::listen(socket::bind(address).unwrap(), address).unwrap();
    let v4 = listen("0.0.0.0:0".parse().unwrap());
    let port = v4.local_addr().unwrap().port();
    let v6 = listen(SocketAddr::new("::".parse().unwrap(), port));
    assert_eq!(v6.local_addr().unwrap().port(), port);
}

#[test]
fn only_direct_external_neighbors_are_kept_on_the_link() {
    let us = speaker(64501, Vec::new());
    let base = neighbor(address(14, 2), 179, 64502, address(14, 1));
    let rows = [
        (base.clone(), Some(1)),
        (NeighborConfig { multihop: Some(4), ..base.clone() }, Some(4)),
        (NeighborConfig { remote_as: RemoteAs::Number(64501), ..base.clone() }, None),
        (NeighborConfig { remote_as: RemoteAs::Internal, ..base.clone() }, None),
        (NeighborConfig { remote_as: RemoteAs::External, ..base.clone() }, Some(1)),
        // Towards it we are another AS, so ours is external to it.
        (NeighborConfig { remote_as: RemoteAs::Number(64501), local_asn: Some(64999), ..base }, Some(1)),
    ];
    for (neighbor, ttl) in rows {
        let config = SpeakerConfig { neighbors: vec![neighbor.clone()], ..us.clone() };
        let speaker = Speaker::new(Instant::now(), config, &mut Vec::new());
        let protection = speaker.protection(neighbor.address, None).unwrap();
        assert_eq!(protection.ttl, ttl, "{neighbor:?}");
    }
}

#[test]
fn every_connection_gets_its_options() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = socket2::SockRef::from(&stream);
    socket::common(&socket, stream.peer_addr().unwrap(), Some(1)).unwrap();
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.ttl_v4().unwrap(), 1);
    assert_eq!(socket.tos_v4().unwrap(), 0xC0);
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), socket::NOTSENT_LOWAT);
}

#[test]
fn lanes_keep_the_latest_change_and_the_first_order() {
    let lanes = Lanes::default();
    let nets: Vec<IpNet> = many(3).collect();
    let up = |med| {
        Some(Arc::new(LocalRoute {
            protocol: Protocol::Service,
            origin: Origin::Igp,
            med: Some(med),
            prepend: 0,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            next_hop: None,
        }))
    };
    lanes.put_local(LocalBatch { changes: vec![(nets[2], up(1)), (nets[0], up(1))] });
    lanes.put_local(LocalBatch { changes: vec![(nets[2], None), (nets[1], up(2))] });
    let urgent = lanes.take();
    assert_eq!(urgent.local.unwrap().changes, vec![(nets[2], None), (nets[0], up(1)), (nets[1], up(2))]);
    assert!(urgent.reach.is_none());
    assert!(lanes.take().local.is_none(), "taken once");

    let addr = address(15, 1);
    let reach = Some(Reach { metric: Metric(5), protocol: Protocol::Static, connected: false });
    lanes.put_reach(vec![Reachability { addr, reach: None }, Reachability { addr, reach }]);
    assert_eq!(lanes.take().reach.unwrap(), [Reachability { addr, reach }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_its_session_and_comes_back_at_once_is_welcome() {
    let (us, peer) = (address(20, 1), address(20, 2));
    let running = Running::start(speaker(64501, vec![neighbor(peer, 0, 64502, us)]), Some(us));
    let at = running.at();
    blocking(move || {
        for _ in 0..100 {
            let mut puppet = Puppet::connect(peer, at);
            puppet.open(64502);
            // Cease, Peer De-configured; the connection ends with octets of ours unread.
            puppet.send(&message(MessageType::Notification, &[6, 3]));
        }
    })
    .await;
    // The last one's words may still be on their way.
    let limit = Instant::now() + PATIENCE;
    loop {
        let views = match running.handle.query(Query::Neighbors(None)).await {
            Ok(Reply::Neighbors(views)) => views,
            other => panic!("{other:?}"),
        };
        if views[0].established_count == 100 {
            break;
        }
        assert!(Instant::now() < limit, "{} sessions of 100", views[0].established_count);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
