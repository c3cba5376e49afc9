//! A whole instance with a neighbor, fed with updates that are right but for their contents, with damaged packets, and with
//! time: it never panics, and neither of the two costs the adjacency.
#![no_main]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ospfd::config::{InstanceConfig, InterfaceConfig, NetworkType};
use ospfd::instance::Instance;
use ospfd::lsa::LsaBody;
use ospfd::message::{Input, Link, Outbox, Output};
use ospfd::neighbor::NeighborState;
use ospfd::packet::{Body, Packet};
use ospfd::view::{Query, View};
use ospfd::wire;
use ospfd::{AreaId, InterfaceId, RouterId, Version};

const WIRE: InterfaceId = InterfaceId(1);

/// Two routers on a cable; packets take no time.
struct Pair {
    now: Instant,
    version: Version,
    routers: [Instance; 2],
}

impl Pair {
    fn new(version: Version) -> Self {
        let now = Instant::now();
        let router = |number: u32| {
            let mut config = InstanceConfig::new(version, RouterId(number));
            config.interfaces.push(InterfaceConfig::new("eth0", AreaId::BACKBONE, NetworkType::PointToPoint));
            Instance::new(now, config)
        };
        let mut pair = Self { now, version, routers: [router(1), router(2)] };
        for end in 0..2 {
            let link = Link {
                id: WIRE,
                name: "eth0".to_owned(),
                mtu: 1500,
                bandwidth_mbps: None,
                addresses: vec![format!("10.0.0.{}/24", end + 1).parse().expect("a prefix")],
                link_local: Some(format!("fe80::{}", end + 1).parse().expect("an address")),
                loopback: false,
                borrowed: None,
            };
            pair.tell(end, Input::InterfaceUp(link));
        }
        pair.run(Duration::from_secs(2));
        assert!(pair.full(), "the two become adjacent");
        pair
    }

    fn address(&self, end: usize) -> IpAddr {
        let text = if self.version == Version::V2 { "10.0.0." } else { "fe80::" };
        format!("{text}{}", end + 1).parse().expect("an address")
    }

    /// What one says, the other hears at once; at most so much that talk which never ends is noticed.
    fn tell(&mut self, end: usize, input: Input) {
        let mut open = vec![(end, input)];
        for _ in 0..2000 {
            let Some((end, input)) = open.pop() else { return };
            let mut out = Outbox::default();
            self.routers[end].handle(self.now, input, &mut out);
            for output in out.outputs {
                if let Output::Send { src, dst, bytes, .. } = output {
                    open.insert(0, (1 - end, Input::Packet { interface: WIRE, src, dst, ttl: Some(1), bytes }));
                }
            }
        }
        panic!("they talk without end");
    }

    fn run(&mut self, span: Duration) {
        let limit = self.now + span;
        while let Some((at, end)) =
            (0..2).filter_map(|end| Some((self.routers[end].deadline()?, end))).min().filter(|(at, _)| *at <= limit)
        {
            self.now = self.now.max(at);
            self.tell(end, Input::Tick);
        }
        self.now = limit;
    }

    fn full(&self) -> bool {
        let View::Neighbors(rows) = self.routers[0].view(self.now, Query::Neighbors) else { return false };
        rows.len() == 1 && rows[0].state == NeighborState::Full && rows[0].ups == 1
    }
}

fuzz_target!(|input: (bool, Vec<(u8, Vec<u8>)>)| {
    let (v3, script) = input;
    let version = if v3 { Version::V3 } else { Version::V2 };
    let mut pair = Pair::new(version);
    let (src, dst) = (pair.address(1), if v3 { "ff02::5" } else { "224.0.0.5" }.parse().expect("an address"));
    for (choice, octets) in script.into_iter().take(64) {
        match choice % 4 {
            0 => pair.run(Duration::from_millis(u64::from(choice) * 4)),
            // Any octets; with a wrong length or checksum all but surely.
            1 if !octets.is_empty() => {
                let mut bytes = octets;
                bytes[0] = 0xff;
                pair.tell(0, Input::Packet { interface: WIRE, src, dst, ttl: Some(1), bytes: bytes.into() });
            }
            // LSAs with any header and contents, and a right checksum.
            _ => {
                let Ok(mut header) = wire::decode_header(version, &octets) else { continue };
                if choice & 4 != 0 {
                    header.key.adv = RouterId(header.key.adv.0 % 4);
                }
                let body = Bytes::copy_from_slice(octets.get(20..).unwrap_or_default());
                let lsa = wire::encode_lsa(version, header, &LsaBody::Opaque(body));
                let headers = vec![lsa.header];
                let body = if choice % 4 == 2 { Body::LinkStateUpdate(vec![lsa]) } else { Body::LinkStateAck(headers) };
                let packet = Packet { router: RouterId(2), area: AreaId::BACKBONE, instance_id: 0, body };
                let bytes = wire::encode_packet(version, &packet, src, dst);
                pair.tell(0, Input::Packet { interface: WIRE, src, dst, ttl: Some(1), bytes });
            }
        }
        assert!(pair.full(), "the adjacency is there");
    }
    pair.run(Duration::from_secs(30));
    assert!(pair.full(), "the adjacency is there in the end");
});
