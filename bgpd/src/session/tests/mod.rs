//! Stories of one session, told against a rig that plays the carrier and the neighbor.

mod collision;
mod errors;
mod history;
mod negotiate;
mod pair;
mod table;
mod timers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use rib::AddressFamily;

use super::{ConnId, DownReason, Received, Session, SessionConfig, SessionInput, SessionOutput, StopCause};
use crate::config::{GracefulRestart, RemoteAs};
use crate::speaker::message::SessionState;
use crate::wire::attr::PeerKind;
use crate::wire::capability::{AddPathMode, Capability};
use crate::wire::header::{self, HEADER_LEN, MessageType};
use crate::wire::notification::{cease, code};
use crate::wire::open::Open;
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};
use crate::wire::{AfiSafi, Notification};

/// We are AS 64512 with identifier 10.0.0.5, the neighbor is AS 64500.
fn config() -> SessionConfig {
    SessionConfig {
        number: 7,
        remote: "192.0.2.2:179".parse().expect("an address"),
        local_asn: 64512,
        inner_asn: 64512,
        confederation: None,
        remote_as: RemoteAs::Number(64500),
        router_id: [10, 0, 0, 5].into(),
        hold_time: Duration::from_secs(90),
        connect_retry: Duration::from_secs(5),
        passive: false,
        families: vec![AddressFamily::Ipv4],
        extended_messages: true,
        enhanced_refresh: false,
        add_path: Vec::new(),
        extended_next_hop: false,
        graceful_restart: GracefulRestart { helper: false, ..GracefulRestart::default() },
        restarting: false,
        role: None,
    }
}

/// The neighbor's OPEN, its identifier below ours.
fn open() -> Open {
    Open {
        asn: 64500,
        hold_secs: 180,
        router_id: [10, 0, 0, 1].into(),
        capabilities: vec![
            Capability::MultiProtocol(AfiSafi::IPV4_UNICAST),
            Capability::RouteRefresh,
            Capability::FourOctetAs(64500),
        ],
    }
}

/// An empty UPDATE.
fn update() -> Bytes {
    let mut buf = BytesMut::new();
    crate::wire::update::encode_end_of_rib(AddressFamily::Ipv4, &mut buf);
    buf.freeze()
}

fn refresh() -> Bytes {
    RouteRefresh { family: AfiSafi::IPV4_UNICAST, kind: RefreshKind::Request }.to_bytes()
}

/// A session, its carrier and its neighbor, in virtual time.
struct Rig {
    session: Session,
    born: Instant,
    now: Instant,
    /// Outputs that no test has looked at.
    out: Vec<SessionOutput>,
    accepted: u64,
}

impl Rig {
    #[allow(clippy::disallowed_methods, reason = "std offers no other Instant to count virtual time from")]
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        Self { session: Session::new(config, 1), born: now, now, out: Vec::new(), accepted: 0 }
    }

    fn input(&mut self, input: SessionInput) {
        self.session.handle(self.now, input, &mut self.out);
    }

    /// The outputs since the last look.
    fn outputs(&mut self) -> Vec<SessionOutput> {
        std::mem::take(&mut self.out)
    }

    fn state(&self) -> SessionState {
        self.session.state()
    }

    /// Starts the session, which dials.
    fn started(config: SessionConfig) -> (Self, ConnId) {
        let mut rig = Self::new(config);
        rig.input(SessionInput::Start);
        let [SessionOutput::Connect { conn }] = rig.outputs()[..] else { panic!("did not dial") };
        (rig, conn)
    }

    fn connected(&mut self, conn: ConnId) {
        self.input(SessionInput::Connected { conn, local: "192.0.2.1:40000".parse().expect("an address") });
    }

    /// The neighbor dials us.
    fn accept(&mut self) -> ConnId {
        let conn = ConnId::accepted(self.accepted);
        self.accepted += 1;
        let (local, remote) = ("192.0.2.1:179", "192.0.2.2:50000");
        let [local, remote] = [local, remote].map(|end| end.parse::<SocketAddr>().expect("an address"));
        self.input(SessionInput::Accepted { conn, local, remote });
        conn
    }

    /// A session that the neighbor's OPEN and KEEPALIVE brought up on the connection we dialled.
    fn established(config: SessionConfig, open: &Open) -> (Self, ConnId) {
        let (mut rig, conn) = Self::started(config);
        rig.connected(conn);
        rig.say(conn, &open.to_bytes());
        rig.say(conn, &header::keepalive());
        assert_eq!(rig.state(), SessionState::Established);
        rig.outputs();
        (rig, conn)
    }

    /// The neighbor sends these octets.
    fn say(&mut self, conn: ConnId, octets: &[u8]) -> Vec<Received> {
        let mut buf = BytesMut::from(octets);
        self.read(conn, &mut buf)
    }

    fn read(&mut self, conn: ConnId, buf: &mut BytesMut) -> Vec<Received> {
        std::iter::from_fn(|| self.session.receive(self.now, conn, buf, &mut self.out)).collect()
    }

    /// Lets time pass; every deadline on the way is kept.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(SessionInput::Tick);
            let next = self.session.deadline();
            assert!(next.is_none_or(|next| next > self.now), "a deadline is not kept by a tick");
        }
        self.now = end;
    }

    fn seconds(&self) -> f64 {
        self.now.duration_since(self.born).as_secs_f64()
    }
}

/// The NOTIFICATIONs among `outputs`, each with its connection.
fn notifications(outputs: &[SessionOutput]) -> Vec<(ConnId, Notification)> {
    messages(outputs, MessageType::Notification)
        .into_iter()
        .map(|(conn, message)| (conn, Notification::decode(&message[HEADER_LEN..]).expect("well-formed")))
        .collect()
}

fn messages(outputs: &[SessionOutput], kind: MessageType) -> Vec<(ConnId, Bytes)> {
    let of_kind = |output: &SessionOutput| match output {
        SessionOutput::Send { conn, message } => {
            let header = header::decode(message, false).expect("valid").expect("whole");
            assert_eq!(header.length, message.len());
            (header.kind == kind).then(|| (*conn, message.clone()))
        }
        _ => None,
    };
    outputs.iter().filter_map(of_kind).collect()
}

#[test]
fn a_session_comes_up_and_says_what_was_agreed() {
    let (mut rig, conn) = Rig::started(config());
    assert_eq!((rig.state(), conn.dialled_to()), (SessionState::Connect, Some(7)));
    rig.connected(conn);
    let sent = messages(&rig.outputs(), MessageType::Open);
    assert_eq!(
        (rig.state(), Open::decode(&sent[0].1[HEADER_LEN..])),
        (SessionState::OpenSent, Ok(config().open(true, false)))
    );
    assert_eq!(rig.say(conn, &open().to_bytes()), [Received::Handled]);
    assert_eq!((rig.state(), messages(&rig.outputs(), MessageType::Keepalive).len()), (SessionState::OpenConfirm, 1));
    assert_eq!(rig.say(conn, &header::keepalive()), [Received::Handled]);
    let outputs = rig.outputs();
    let [SessionOutput::Established { negotiated, .. }] = &outputs[..] else { panic!("not up: {outputs:?}") };
    assert_eq!((negotiated.local_asn, negotiated.peer_asn, negotiated.kind), (64512, 64500, PeerKind::External));
    assert_eq!((negotiated.hold_time, negotiated.keepalive), (Duration::from_secs(90), Duration::from_secs(30)));
    assert_eq!((negotiated.as4, negotiated.extended_messages, negotiated.route_refresh), (true, false, true));
    assert_eq!(negotiated.families, [AddressFamily::Ipv4]);
    assert_eq!(negotiated.remote.to_string(), "192.0.2.2:179");
    assert_eq!(negotiated.decode_context().first_asn, Some(64500));
    assert_eq!(rig.session.established().map(|(conn, _)| conn), Some(conn));
    assert_eq!(rig.say(conn, &update()), [Received::Update(Bytes::from_static(&[0, 0, 0, 0]))]);
    let wanted = RouteRefresh { family: AfiSafi::IPV4_UNICAST, kind: RefreshKind::Request };
    assert_eq!(rig.say(conn, &refresh()), [Received::RouteRefresh(wanted)]);
    let counters = rig.session.counters();
    assert_eq!((counters.received.total(), counters.received.update, counters.received.route_refresh), (4, 1, 1));
    assert_eq!((counters.sent.open, counters.sent.keepalive, counters.sent.total()), (1, 1, 2));
}

#[test]
fn a_passive_session_waits_and_takes_who_comes() {
    let mut rig = Rig::new(SessionConfig { passive: true, ..config() });
    rig.input(SessionInput::Start);
    assert_eq!((rig.state(), rig.outputs(), rig.session.deadline()), (SessionState::Active, vec![], None));
    let conn = rig.accept();
    rig.say(conn, &[&open().to_bytes()[..], &header::keepalive()].concat());
    assert_eq!(rig.state(), SessionState::Established);
    rig.input(SessionInput::Closed { conn });
    rig.pass(Duration::from_secs(600));
    assert_eq!(rig.state(), SessionState::Active);
    assert!(!rig.outputs().iter().any(|output| matches!(output, SessionOutput::Connect { .. })));
}

#[test]
fn every_open_that_does_not_fit_is_refused_with_its_reason() {
    let router_id = |id: [u8; 4]| Open { router_id: id.into(), ..open() };
    let asn = |asn| Open { asn, capabilities: vec![Capability::FourOctetAs(asn)], ..open() };
    let internal = SessionConfig { remote_as: RemoteAs::Internal, ..config() };
    let external = SessionConfig { remote_as: RemoteAs::External, ..config() };
    let rows = [
        (config(), open(), None),
        (config(), asn(64501), Some((2, 2))),
        (config(), asn(64512), Some((2, 2))),
        (external.clone(), asn(70_000), None),
        (external, asn(64512), Some((2, 2))),
        (internal.clone(), asn(64512), None),
        (internal.clone(), asn(64500), Some((2, 2))),
        // RFC 6286 §2.2: our identifier is refused within our AS, and only there.
        (internal, Open { router_id: [10, 0, 0, 5].into(), ..asn(64512) }, Some((2, 3))),
        (config(), router_id([10, 0, 0, 5]), None),
        // No common family.
        (SessionConfig { families: vec![AddressFamily::Ipv6], ..config() }, open(), Some((2, 7))),
        (SessionConfig { families: vec![AddressFamily::Ipv6], ..config() }, asn(64500), Some((2, 7))),
    ];
    for (config, open, expected) in rows {
        let (mut rig, conn) = Rig::started(config);
        rig.connected(conn);
        rig.outputs();
        rig.say(conn, &open.to_bytes());
        let sent = notifications(&rig.outputs());
        assert_eq!(sent.first().map(|(_, n)| (n.code, n.subcode)), expected, "{open:?}");
        let state = if expected.is_some() { SessionState::Idle } else { SessionState::OpenConfirm };
        assert_eq!(rig.state(), state);
        if expected == Some((2, 7)) {
            // RFC 5492 §5: the capability that was missed.
            assert_eq!(&sent[0].1.data[..], [1, 4, 0, 2, 0, 1]);
        }
    }
}

#[test]
fn a_neighbor_of_two_octets_without_capabilities_gets_ipv4() {
    let old = Open { capabilities: Vec::new(), ..open() };
    let families = vec![AddressFamily::Ipv6, AddressFamily::Ipv4];
    let (rig, _) = Rig::established(SessionConfig { families, ..config() }, &old);
    let (_, negotiated) = rig.session.established().expect("up");
    assert_eq!((negotiated.as4, negotiated.route_refresh), (false, false));
    assert_eq!(negotiated.families, [AddressFamily::Ipv4]);
}

#[test]
fn add_path_is_used_where_one_sends_and_the_other_receives() {
    use AddPathMode::{Both, Receive, Send};
    let rows = [
        (Receive, Send, Some(Receive)),
        (Receive, Receive, None),
        (Send, Send, None),
        (Send, Both, Some(Send)),
        (Both, Both, Some(Both)),
    ];
    for (ours, theirs, expected) in rows {
        let mut open = open();
        open.capabilities.push(Capability::AddPath(vec![(AfiSafi::IPV4_UNICAST, theirs)]));
        let add_path = vec![(AddressFamily::Ipv4, ours), (AddressFamily::Ipv6, Both)];
        let (rig, _) = Rig::established(SessionConfig { add_path, ..config() }, &open);
        let (_, negotiated) = rig.session.established().expect("up");
        assert_eq!(negotiated.add_path.first().map(|(_, mode)| *mode), expected);
        assert_eq!(negotiated.receives_paths(AddressFamily::Ipv4), expected.is_some_and(AddPathMode::receives));
        assert!(!negotiated.sends_paths(AddressFamily::Ipv6));
    }
}

#[test]
fn octets_may_come_one_at_a_time() {
    let (mut rig, conn) = Rig::started(config());
    rig.connected(conn);
    let stream = [open().to_bytes(), header::keepalive(), update(), refresh(), header::keepalive(), update()].concat();
    let mut buf = BytesMut::new();
    let mut received = Vec::new();
    for octet in stream {
        buf.put_u8(octet);
        received.extend(rig.read(conn, &mut buf));
    }
    assert!(buf.is_empty());
    let updates = received.iter().filter(|received| matches!(received, Received::Update(_))).count();
    assert_eq!((received.len(), updates, rig.state()), (6, 2, SessionState::Established));
    assert_eq!(notifications(&rig.outputs()), []);
}

#[test]
fn extended_messages_pass_once_both_offered_them() {
    let long = {
        let mut buf = BytesMut::new();
        let start = header::begin(MessageType::Update, &mut buf);
        buf.put_bytes(0, 65535 - HEADER_LEN);
        header::finish(start, &mut buf);
        buf.freeze()
    };
    let mut extended = open();
    extended.capabilities.push(Capability::ExtendedMessages);
    let (mut rig, conn) = Rig::established(config(), &extended);
    let received = rig.say(conn, &long);
    assert!(matches!(&received[..], [Received::Update(body)] if body.len() == 65535 - HEADER_LEN));
    // Without, the length is an error, noticed with the header alone.
    let (mut rig, conn) = Rig::established(config(), &open());
    assert_eq!(rig.say(conn, &long[..HEADER_LEN]), []);
    let expected = Notification::header(2).with_data(Bytes::from_static(&[0xff, 0xff]));
    assert_eq!(notifications(&rig.outputs()), [(conn, expected)]);
}

#[test]
fn an_operator_shuts_down_resets_and_starts_again() {
    let (mut rig, conn) = Rig::established(config(), &open());
    let cause = StopCause::AdminShutdown { message: "upgrade".to_owned() };
    rig.input(SessionInput::Stop(cause.clone()));
    let outputs = rig.outputs();
    assert_eq!(notifications(&outputs)[0].1.shutdown_text().as_deref(), Some("upgrade"));
    let reason = DownReason::Stopped(cause);
    assert_eq!(reason.to_string(), "administrative shutdown (\"upgrade\")");
    assert_eq!(outputs[1..], [SessionOutput::Close { conn }, SessionOutput::Down { reason: reason.clone() }]);
    assert_eq!((rig.session.last_down(), rig.session.deadline()), (Some(&reason), None));
    // It stays down, whatever the neighbor does.
    let refused = rig.accept();
    let outputs = rig.outputs();
    assert_eq!(notifications(&outputs), [(refused, Notification::cease(cease::REJECTED))]);
    assert_eq!((outputs.last(), rig.state()), (Some(&SessionOutput::Close { conn: refused }), SessionState::Idle));
    // Another number for another connection.
    rig.input(SessionInput::Start);
    let outputs = rig.outputs();
    assert!(matches!(outputs[..], [SessionOutput::Connect { conn: second }] if second != conn));
    assert_eq!(rig.session.established_count(), 1);
}

#[test]
fn the_limit_of_prefixes_is_told_with_its_numbers() {
    let cause = StopCause::MaxPrefix { family: AfiSafi::IPV6_UNICAST, limit: 1000, restart: None };
    assert_eq!(&cause.notification().expect("told").data[..], [0, 2, 1, 0, 0, 3, 0xe8]);
    assert_eq!(cause.to_string(), "more than 1000 prefixes of ipv6-unicast");
}

#[test]
fn a_notification_ends_the_session_unanswered() {
    let (mut rig, conn) = Rig::established(config(), &open());
    let shutdown = Notification::cease_with_text(cease::SHUTDOWN, "bye");
    rig.say(conn, &shutdown.to_bytes());
    let reason = DownReason::NotificationReceived(shutdown);
    assert_eq!(reason.to_string(), "neighbor sent NOTIFICATION: Cease: Administrative Shutdown (\"bye\")");
    assert_eq!(rig.outputs(), [SessionOutput::Close { conn }, SessionOutput::Down { reason }]);
}

#[test]
fn an_update_in_error_ends_the_session_with_its_notification() {
    let (mut rig, conn) = Rig::established(config(), &open());
    let error = Notification::update(1);
    rig.input(SessionInput::Fail(error.clone()));
    let outputs = rig.outputs();
    assert_eq!(notifications(&outputs), [(conn, error.clone())]);
    let reason = DownReason::NotificationSent(error);
    assert_eq!(outputs[1..], [SessionOutput::Close { conn }, SessionOutput::Down { reason }]);
    // What the neighbor sent before it knew is thrown away.
    let mut late = BytesMut::from(&update()[..]);
    assert_eq!((rig.read(conn, &mut late), late.len()), (vec![], 0));
}

#[test]
fn without_agreement_on_marks_every_refresh_is_a_request() {
    let begin = RouteRefresh { family: AfiSafi::IPV4_UNICAST, kind: RefreshKind::Begin };
    let unknown = RouteRefresh { kind: RefreshKind::Unknown(9), ..begin };
    let (mut rig, conn) = Rig::established(config(), &open());
    // RFC 2918 §3: the octet is reserved then, and ignored.
    let request = RouteRefresh { kind: RefreshKind::Request, ..begin };
    for message in [request, begin, unknown] {
        assert_eq!(rig.say(conn, &message.to_bytes()), [Received::RouteRefresh(request)]);
    }
    let mut enhanced = open();
    enhanced.capabilities.push(Capability::EnhancedRouteRefresh);
    let (mut rig, conn) = Rig::established(SessionConfig { enhanced_refresh: true, ..config() }, &enhanced);
    assert_eq!(rig.say(conn, &begin.to_bytes()), [Received::RouteRefresh(begin)]);
    assert_eq!(rig.say(conn, &unknown.to_bytes()), [Received::Handled]);
    // RFC 7313 §5.
    let mut long = BytesMut::from(&begin.to_bytes()[..]);
    long[17] += 1;
    long.put_u8(0);
    rig.say(conn, &long);
    assert_eq!(notifications(&rig.outputs())[0].1.code, code::ROUTE_REFRESH);
}

proptest! {
    /// Whatever comes, in whatever pieces, in whatever state: no panic, no memory beyond a message, and a session that
    /// ends has said goodbye.
    #[test]
    fn garbage_harms_nobody(
        pieces in vec(vec(any::<u8>(), 0..60), 0..8),
        depth in 0..4_usize,
        honest_head in any::<bool>(),
        kind in 0..7_u8,
    ) {
        let (mut rig, conn) = Rig::started(config());
        rig.connected(conn);
        let steps = [open().to_bytes(), header::keepalive(), update()];
        for step in steps.iter().take(depth) {
            rig.say(conn, step);
        }
        rig.outputs();
        let mut buf = BytesMut::new();
        if honest_head {
            let length = HEADER_LEN + pieces.iter().map(Vec::len).sum::<usize>();
            buf.put_bytes(0xff, 16);
            buf.put_u16(u16::try_from(length).expect("short"));
            buf.put_u8(kind);
        }
        for piece in &pieces {
            buf.put_slice(piece);
            rig.read(conn, &mut buf);
            prop_assert!(buf.len() <= 4096);
        }
        let outputs = rig.outputs();
        let closed = outputs.contains(&SessionOutput::Close { conn });
        let up = rig.session.connections().any(|connection| connection.id == conn);
        prop_assert!(closed != up);
        rig.pass(Duration::from_secs(1000));
    }
}
