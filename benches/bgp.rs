//! One full path through a BGP speaker without sockets: octets of one neighbor in, octets for another one out.
//!
//! 100,000 IPv4 prefixes with 15 attribute sets per 100 prefixes, as in `benches/bgp-load`, through decode, import, decision, the
//! feed of the shared RIB and export. `cargo bench --bench bgp`; per prefix is the time divided by 100,000.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bgpd::config::{NeighborConfig, PolicyRef, RemoteAs, SpeakerConfig};
use bgpd::session::ConnId;
use bgpd::speaker::message::{Input, Output};
use bgpd::speaker::{Progress, Speaker};
use bgpd::wire::attr::{AsPath, EncodeContext, NextHopAttr, Origin, PathAttributes, PeerKind, Segment, SegmentKind};
use bgpd::wire::capability::Capability;
use bgpd::wire::header;
use bgpd::wire::open::Open;
use bgpd::wire::update::{self, Packing};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ipnet::Ipv4Net;
use rib::message::{Reach, Reachability};
use rib::{AddressFamily, Metric, Protocol, V4};

const OUR_AS: u32 = 64512;
const PREFIXES: u32 = 100_000;
/// A read from a socket.
const READ: usize = 64 * 1024;

fn neighbor(n: u8, asn: u32) -> NeighborConfig {
    let accept = PolicyRef::Chain(vec!["accept".into()]);
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
    NeighborConfig {
        passive: true,
        import: accept.clone(),
        export: accept,
        extended_messages: false,
        ..NeighborConfig::new(address, RemoteAs::Number(asn))
    }
}

/// A speaker with its octets' sinks.
struct Lab {
    speaker: Speaker,
    now: Instant,
    out: Vec<Output>,
    pieces: Vec<bytes::Bytes>,
    /// Changes that the shared RIB was told.
    rib: usize,
    senders: u8,
}

impl Lab {
    fn new(senders: u8) -> Self {
        #[allow(clippy::disallowed_methods)] // The one reading: time stands still afterwards.
        let now = Instant::now();
        let mut neighbors = vec![neighbor(100, 65100)];
        neighbors.extend((1..=senders).map(|n| neighbor(n, 65000 + u32::from(n))));
        let config = SpeakerConfig {
            neighbors: neighbors.clone(),
            seed: 1,
            ..SpeakerConfig::new(OUR_AS, Ipv4Addr::new(10, 0, 0, 200))
        };
        let mut out = Vec::new();
        let speaker = Speaker::new(now, config, &mut out);
        let mut lab = Self { speaker, now, out, pieces: Vec::new(), rib: 0, senders };
        for neighbor in neighbors {
            lab.open(&neighbor);
        }
        lab
    }

    fn open(&mut self, neighbor: &NeighborConfig) {
        let (IpAddr::V4(router_id), RemoteAs::Number(asn)) = (neighbor.address, neighbor.remote_as) else { return };
        let conn = conn_of(router_id.octets()[3]);
        let remote = SocketAddr::new(neighbor.address, 40_000);
        let local = SocketAddr::from(([10, 0, 0, 200], 179));
        self.speaker.handle(self.now, Input::Accepted { conn, remote, local, interface: None }, &mut self.out);
        let capabilities = vec![Capability::MultiProtocol(AddressFamily::Ipv4.into()), Capability::FourOctetAs(asn)];
        let mut octets = BytesMut::from(&Open { asn, hold_secs: 90, router_id, capabilities }.to_bytes()[..]);
        octets.extend_from_slice(&header::keepalive());
        self.feed(conn, &octets);
    }

    /// Gives octets as a socket would, and takes what is to be sent in between. Returns the octets for the receiver.
    fn feed(&mut self, conn: ConnId, octets: &[u8]) -> usize {
        let mut sent = 0;
        let mut buf = BytesMut::with_capacity(2 * READ);
        for read in octets.chunks(READ) {
            buf.extend_from_slice(read);
            loop {
                let progress = self.speaker.receive(self.now, conn, &mut buf, &mut self.out);
                sent += self.carry_out();
                if progress == Progress::Drained {
                    break;
                }
            }
        }
        while self.speaker.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.speaker.handle(self.now, Input::Work, &mut self.out);
            sent += self.carry_out();
        }
        sent
    }

    fn carry_out(&mut self) -> usize {
        let mut answers = Vec::new();
        for output in self.out.drain(..) {
            match output {
                Output::Rib(batch) => self.rib += batch.changes.len(),
                Output::Track { add, .. } => answers.extend(add.into_iter().map(|addr| Reachability {
                    addr,
                    reach: Some(Reach { metric: Metric(0), protocol: Protocol::Connected, connected: true }),
                })),
                _ => {}
            }
        }
        if !answers.is_empty() {
            self.speaker.handle(self.now, Input::Reach(answers), &mut self.out);
        }
        // Senders read too: who does not holds the others of its group up until it is split off.
        let mut sent = 0;
        for conn in (1..=self.senders).chain([100]).map(conn_of) {
            self.speaker.transmit(conn, usize::MAX, &mut self.pieces);
            sent = self.pieces.drain(..).map(|piece| piece.len()).sum();
        }
        sent
    }
}

fn conn_of(n: u8) -> ConnId {
    ConnId::accepted(u64::from(n))
}

/// UPDATEs of 6 or 7 prefixes each, 15 attribute sets per 100 prefixes, all different.
fn table(sender: u8) -> BytesMut {
    let mut buf = BytesMut::new();
    let mut encoded = BytesMut::new();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut next = 0;
    let mut set = 0;
    while next < PREFIXES {
        let count = if set % 3 == 0 { 6 } else { 7 }.min(PREFIXES - next);
        let mut asns = smallvec::SmallVec::<[u32; 6]>::from_slice(&[65000 + u32::from(sender), 3000 + set % 40]);
        asns.extend((0..rng.usize(1..4)).map(|_| rng.u32(1..60_000)));
        asns.push(100_000 + set);
        let attributes = PathAttributes {
            origin: Origin::Igp,
            as_path: AsPath { segments: smallvec::smallvec![Segment { kind: SegmentKind::Sequence, asns }] },
            next_hop: NextHopAttr::V4(Ipv4Addr::new(10, 0, 0, sender)),
            med: (set % 2 == 0).then_some(set % 50),
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: vec![(3000 << 16) | (set % 500), (3001 << 16) | (set % 7)],
            extended_communities: Vec::new(),
            large_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            only_to_customer: None,
            unknown: Vec::new(),
            partial: Default::default(),
        };
        encoded.clear();
        attributes.encode(&mut encoded, &EncodeContext { as4: true, peer: PeerKind::External, plain: true });
        // Scattered over the address space, as a real table's are.
        let routes = (next..next + count).map(|n| (0, prefix(n)));
        update::encode_reach::<V4>(
            &encoded,
            &attributes.next_hop,
            routes,
            &Packing::new(AddressFamily::Ipv4),
            &mut buf,
        )
        .expect("a few prefixes fit");
        next += count;
        set += 1;
    }
    buf
}

fn prefix(n: u32) -> Ipv4Net {
    let scattered = n.wrapping_mul(0x9e37_79b1) >> 8;
    Ipv4Net::new_assert(Ipv4Addr::from_bits(scattered << 8), 24)
}

fn withdrawals() -> BytesMut {
    let mut buf = BytesMut::new();
    let routes = (0..PREFIXES).map(|n| (0, prefix(n)));
    update::encode_unreach::<V4>(routes, &Packing::new(AddressFamily::Ipv4), &mut buf);
    buf
}

fn speaker(c: &mut Criterion) {
    let mut group = c.benchmark_group("speaker");
    group.throughput(Throughput::Elements(u64::from(PREFIXES))).sample_size(20);
    let (first, second, gone) = (table(1), table(2), withdrawals());
    group.bench_function("announce", |b| {
        b.iter_batched_ref(|| Lab::new(1), |lab| lab.feed(conn_of(1), &first), BatchSize::LargeInput);
    });
    let full = |senders: u8| {
        let mut lab = Lab::new(senders);
        assert!(lab.feed(conn_of(1), &first) > 0);
        assert_eq!(lab.rib, PREFIXES as usize, "every prefix reaches the RIB");
        lab
    };
    group.bench_function("withdraw", |b| {
        b.iter_batched_ref(|| full(1), |lab| lab.feed(conn_of(1), &gone), BatchSize::LargeInput);
    });
    group.bench_function("announce the same by a second neighbor", |b| {
        b.iter_batched_ref(|| full(2), |lab| lab.feed(conn_of(2), &second), BatchSize::LargeInput);
    });
    group.bench_function("session lost", |b| {
        b.iter_batched_ref(
            || full(1),
            |lab| {
                lab.speaker.handle(lab.now, Input::Closed { conn: conn_of(1) }, &mut lab.out);
                lab.feed(conn_of(1), &[])
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, speaker);
criterion_main!(benches);
