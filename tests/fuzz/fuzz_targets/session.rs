//! A session fed with octets in any pieces, in any state, on two connections, while time passes.
#![no_main]

use std::time::{Duration, Instant};

use bgpd::config::{GracefulRestart, RemoteAs};
use bgpd::session::{ConnId, Session, SessionConfig, SessionInput, SessionOutput};
use bgpd::wire::capability::Capability;
use bgpd::wire::header;
use bgpd::wire::open::Open;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use rib::AddressFamily;

/// Octets in a buffer at most: one message and one piece.
const BOUND: usize = header::MAX_LEN_EXTENDED + 255;

fn config() -> SessionConfig {
    SessionConfig {
        number: 1,
        remote: ([192, 0, 2, 2], 179).into(),
        local_asn: 64512,
        inner_asn: 64512,
        confederation: None,
        remote_as: RemoteAs::External,
        router_id: [10, 0, 0, 5].into(),
        hold_time: Duration::from_secs(90),
        connect_retry: Duration::from_secs(5),
        passive: false,
        families: vec![AddressFamily::Ipv4, AddressFamily::Ipv6],
        extended_messages: true,
        enhanced_refresh: true,
        add_path: Vec::new(),
        extended_next_hop: false,
        graceful_restart: GracefulRestart::default(),
        restarting: false,
        role: None,
    }
}

/// What an honest neighbor would say, so that the fuzzer gets past the first state.
fn honest(choice: u8) -> Bytes {
    let capabilities = vec![Capability::FourOctetAs(64500), Capability::ExtendedMessages];
    let router_id = [10, 0, 0, choice.max(1)].into();
    match choice % 2 {
        0 => Open { asn: 64500, hold_secs: 90, router_id, capabilities }.to_bytes(),
        _ => header::keepalive(),
    }
}

fuzz_target!(|script: Vec<(u8, Vec<u8>)>| {
    let local = ([192, 0, 2, 1], 179).into();
    let remote = ([192, 0, 2, 2], 50000).into();
    let mut now = Instant::now();
    let mut session = Session::new(config(), 1);
    let mut out = Vec::new();
    session.handle(now, SessionInput::Start, &mut out);
    let mut dialled = ConnId::dialled(1, 0);
    let mut accepted = ConnId::accepted(0);
    let mut buffers = [BytesMut::new(), BytesMut::new()];
    for (choice, octets) in script {
        let side = usize::from(choice & 1);
        let conn = if side == 0 { dialled } else { accepted };
        match choice >> 1 & 7 {
            0 => session.handle(now, SessionInput::Connected { conn: dialled, local }, &mut out),
            1 => {
                accepted = ConnId::accepted(accepted.0 + 1);
                buffers[1].clear();
                session.handle(now, SessionInput::Accepted { conn: accepted, local, remote }, &mut out);
            }
            2 => session.handle(now, SessionInput::Closed { conn }, &mut out),
            3 => {
                now += Duration::from_secs(u64::from(choice));
                session.handle(now, SessionInput::Tick, &mut out);
            }
            4 => buffers[side].extend_from_slice(&honest(octets.first().copied().unwrap_or(choice >> 4))),
            _ => buffers[side].extend_from_slice(&octets[..octets.len().min(255)]),
        }
        while session.receive(now, conn, &mut buffers[side], &mut out).is_some() {}
        assert!(buffers[side].len() <= BOUND);
        for output in out.drain(..) {
            match output {
                SessionOutput::Connect { conn } => {
                    dialled = conn;
                    buffers[0].clear();
                }
                SessionOutput::Send { message, .. } => {
                    let header = header::decode(&message, true).expect("our own header").expect("whole");
                    assert_eq!(header.length, message.len());
                }
                _ => {}
            }
        }
    }
});
