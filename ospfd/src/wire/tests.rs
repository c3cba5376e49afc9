//! What is written is read back, and what is damaged is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::id::{AreaId, LsaKey, RouterId, SequenceNumber};
use crate::lsa::*;
use crate::packet::{Body, DatabaseDescription, Hello};

fn key(kind: u16, id: u32) -> LsaKey {
    LsaKey { kind: LsaType(kind), id, adv: RouterId(0x0a00_0001) }
}

fn header(kind: u16, id: u32, options: u8) -> LsaHeader {
    LsaHeader { age: 7, options, key: key(kind, id), seq: SequenceNumber::INITIAL, checksum: 0, length: 0 }
}

fn samples(version: Version) -> Vec<Lsa> {
    let v2 = version == Version::V2;
    let (options, link_options) = if v2 { (2, 2) } else { (0, 0x13) };
    let link = RouterLink {
        kind: LinkKind::PointToPoint,
        id: 9,
        data: 1,
        neighbor_interface: if v2 { 0 } else { 4 },
        metric: 10,
    };
    let flags = RouterFlags { border: true, external: true, ..RouterFlags::default() };
    let router = LsaBody::Router(RouterLsa { flags, options: link_options, links: vec![link; 3] });
    let network =
        NetworkLsa { mask_len: v2.then_some(24), options: link_options, attached: vec![RouterId(1), RouterId(2)] };
    let prefix = if v2 { "10.2.0.0/15" } else { "2001:db8:1::/49" }.parse().unwrap();
    let forwarding: IpAddr = if v2 { "10.2.0.1" } else { "2001:db8::1" }.parse().unwrap();
    let external = ExternalLsa {
        prefix,
        prefix_options: 0,
        type2: true,
        metric: 20,
        forwarding: Some(forwarding),
        tag: 77,
        referenced: None,
    };
    let summary = SummaryLsa { prefix, prefix_options: 0, metric: LS_INFINITY };
    let plain = ExternalLsa { forwarding: None, tag: 0, type2: false, ..external };
    let id = u32::from(Ipv4Addr::new(10, 2, 0, 0));
    let asbr = AsbrSummaryLsa { router: RouterId(id), options: if v2 { 0 } else { 0x13 }, metric: 3 };
    let kinds: [u16; 6] = if v2 { [1, 2, 3, 4, 5, 7] } else { [0x2001, 0x2002, 0x2003, 0x2004, 0x4005, 0x2007] };
    let mut bodies = vec![
        (kinds[0], router),
        (kinds[1], LsaBody::Network(network)),
        (kinds[2], LsaBody::Summary(summary)),
        (kinds[3], LsaBody::AsbrSummary(asbr)),
        (kinds[4], LsaBody::External(external)),
        (kinds[5], LsaBody::External(plain)),
        (if v2 { 10 } else { 0xa123 }, LsaBody::Opaque(Bytes::from_static(b"abcd"))),
    ];
    if !v2 {
        let prefix = |text: &str, metric| LsaPrefix { prefix: text.parse().unwrap(), options: PREFIX_LA, metric };
        let link = LinkLsa {
            priority: 1,
            options: 0x13,
            link_local: "fe80::1".parse().unwrap(),
            prefixes: vec![prefix("2001:db8::/64", 0), prefix("::/0", 0)],
        };
        let referenced = key(0x2001, 0);
        let prefixes = vec![prefix("2001:db8::1/128", 0), prefix("2001:db8:5::/48", 10)];
        bodies.push((0x0008, LsaBody::Link(link)));
        bodies.push((0x2009, LsaBody::IntraAreaPrefix(IntraAreaPrefixLsa { referenced, prefixes })));
    }
    bodies.into_iter().map(|(kind, body)| encode_lsa(version, header(kind, id, options), &body)).collect()
}

fn addresses(version: Version) -> (IpAddr, IpAddr) {
    match version {
        Version::V2 => (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(224, 0, 0, 5).into()),
        Version::V3 => ("fe80::1".parse::<Ipv6Addr>().unwrap().into(), "ff02::5".parse::<Ipv6Addr>().unwrap().into()),
    }
}

#[test]
fn every_lsa_is_read_as_it_was_written() {
    for version in [Version::V2, Version::V3] {
        for lsa in samples(version) {
            assert_eq!(decode_lsa(version, &lsa.raw), Ok(lsa.clone()));
        }
    }
}

#[test]
fn an_lsa_with_one_damaged_bit_is_refused_and_a_cut_one_too() {
    for version in [Version::V2, Version::V3] {
        for lsa in samples(version) {
            for at in 2..lsa.raw.len() {
                let mut raw = lsa.raw.to_vec();
                raw[at] ^= 0x10;
                assert!(decode_lsa(version, &raw).is_err(), "{:?} octet {at}", lsa.header.key);
                assert!(decode_lsa(version, &lsa.raw[..at]).is_err());
            }
            // The age is outside the checksum.
            let mut raw = lsa.raw.to_vec();
            raw[1] = 99;
            assert_eq!(decode_lsa(version, &raw).unwrap().header.age, 99);
        }
    }
}

fn packets(version: Version) -> Vec<Packet> {
    let v2 = version == Version::V2;
    let headers: Vec<LsaHeader> = samples(version).iter().map(|lsa| lsa.header).collect();
    let hello = Hello {
        mask_len: if v2 { 24 } else { 0 },
        interface_id: if v2 { 0 } else { 3 },
        options: if v2 { 2 } else { 0x13 },
        priority: 1,
        hello_interval_secs: 10,
        dead_interval_secs: 40,
        dr: 5,
        bdr: 6,
        neighbors: vec![RouterId(1), RouterId(2)],
    };
    let dd = DatabaseDescription {
        mtu: 1500,
        options: 2,
        init: false,
        more: true,
        master: true,
        seq: 99,
        headers: headers.clone(),
    };
    let keys = headers.iter().map(|header| header.key).collect();
    let bodies = [
        Body::Hello(hello),
        Body::DatabaseDescription(dd),
        Body::LinkStateRequest(keys),
        Body::LinkStateUpdate(samples(version)),
        Body::LinkStateAck(headers),
    ];
    let instance_id = if v2 { 0 } else { 4 };
    bodies.into_iter().map(|body| Packet { router: RouterId(7), area: AreaId(1), instance_id, body }).collect()
}

#[test]
fn every_packet_is_read_as_it_was_written_and_its_checksum_holds() {
    for version in [Version::V2, Version::V3] {
        let (src, dst) = addresses(version);
        for packet in packets(version) {
            let bytes = encode_packet(version, &packet, src, dst);
            assert_eq!(decode_packet(version, &bytes, src, dst), Ok((packet, Dropped::default())));
            for at in 0..bytes.len() {
                // v2's authentication field is outside its checksum; AuType 2 has none.
                if version == Version::V2 && (14..24).contains(&at) {
                    continue;
                }
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 0x04;
                assert!(decode_packet(version, &damaged.into(), src, dst).is_err(), "octet {at}");
            }
        }
    }
}

#[test]
fn octets_of_every_kind_and_length_are_survived() {
    let mut rng = fastrand::Rng::with_seed(1);
    for version in [Version::V2, Version::V3] {
        let (src, dst) = addresses(version);
        for packet in packets(version) {
            let good = encode_packet(version, &packet, src, dst).to_vec();
            for _ in 0..3000 {
                let mut bytes = good.clone();
                for _ in 0..rng.usize(1..8) {
                    let at = rng.usize(..bytes.len());
                    bytes[at] = rng.u8(..);
                }
                bytes.truncate(rng.usize(..=bytes.len()));
                // Cryptographic authentication skips the checksum, so that contents are reached.
                if version == Version::V2 && bytes.len() > 15 {
                    bytes[14..16].copy_from_slice(&[0, 2]);
                }
                let _ = decode_packet(version, &bytes.into(), src, dst);
            }
        }
    }
}

#[test]
fn a_bad_lsa_costs_only_itself() {
    let (src, dst) = addresses(Version::V2);
    let mut lsas = samples(Version::V2);
    let mut raw = lsas[1].raw.to_vec();
    raw[22] ^= 1;
    lsas[1].raw = raw.into();
    let body = Body::LinkStateUpdate(lsas.clone());
    let packet = Packet { router: RouterId(7), area: AreaId(1), instance_id: 0, body };
    let bytes = encode_packet(Version::V2, &packet, src, dst);
    let (packet, dropped) = decode_packet(Version::V2, &bytes, src, dst).unwrap();
    assert_eq!(dropped.lsas, 1);
    let Body::LinkStateUpdate(read) = packet.body else { panic!() };
    assert_eq!(read.len(), lsas.len() - 1);
}

#[test]
fn scopes_follow_type_and_version() {
    let v3 = |kind| scope(Version::V3, LsaType(kind));
    assert_eq!([v3(0x2001), v3(0x4005), v3(0x0008)], [Some(Scope::Area), Some(Scope::As), Some(Scope::Link)]);
    // Unknown ones: by their scope if the U-bit says so, on the link otherwise, never with the reserved scope.
    assert_eq!([v3(0xa123), v3(0x2123), v3(0xe123)], [Some(Scope::Area), Some(Scope::Link), None]);
    assert_eq!(scope(Version::V2, LsaType(8)), None);
}
