//! OSPF packets and LSAs of both versions: no octets panic, and what was understood is written and understood again.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ospfd::Version;
use ospfd::lsa::LsaBody;
use ospfd::packet::Body;
use ospfd::wire;

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (v3, lsa, octets) = input;
    let version = if v3 { Version::V3 } else { Version::V2 };
    if lsa { one_lsa(version, octets) } else { packet(version, octets) }
});

/// The checksum is made right, so that contents are reached.
fn one_lsa(version: Version, octets: &[u8]) {
    let Ok(header) = wire::decode_header(version, octets) else { return };
    let body = Bytes::copy_from_slice(octets.get(20..).unwrap_or_default());
    let sealed = wire::encode_lsa(version, header, &LsaBody::Opaque(body));
    let Ok(lsa) = wire::decode_lsa(version, &sealed.raw) else { return };
    assert_eq!(usize::from(lsa.header.length), sealed.raw.len());
    let again = wire::encode_lsa(version, lsa.header, &lsa.body);
    let read = wire::decode_lsa(version, &again.raw).expect("our own LSA");
    assert_eq!(read.body, lsa.body);
}

fn packet(version: Version, octets: &[u8]) {
    let addresses: [IpAddr; 2] = match version {
        Version::V2 => [Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(224, 0, 0, 5).into()],
        Version::V3 => [Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5).into()],
    };
    let mut sealed = octets.to_vec();
    seal(version, &mut sealed, addresses);
    for octets in [octets.to_vec(), sealed] {
        let Ok((packet, _)) = wire::decode_packet(version, &octets.into(), addresses[0], addresses[1]) else {
            continue;
        };
        let again = wire::encode_packet(version, &packet, addresses[0], addresses[1]);
        let (read, dropped) = wire::decode_packet(version, &again, addresses[0], addresses[1]).expect("our own packet");
        assert_eq!(dropped.lsas, 0);
        match (&read.body, &packet.body) {
            // Octets that an LSA came with are kept as they are but for the age's highest bit.
            (Body::LinkStateUpdate(read), Body::LinkStateUpdate(first)) => assert_eq!(read.len(), first.len()),
            (read, first) => assert_eq!(read, first),
        }
    }
}

/// Writes version, length and checksum into a packet.
fn seal(version: Version, octets: &mut [u8], addresses: [IpAddr; 2]) {
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes();
    let Some(head) = octets.get_mut(..16) else { return };
    head[0] = if version == Version::V2 { 2 } else { 3 };
    head[2..4].copy_from_slice(&length);
    head[12..14].fill(0);
    let skip = if version == Version::V2 {
        head[14..16].fill(0);
        16..24
    } else {
        0..0
    };
    let mut sum: u64 = 0;
    if let [IpAddr::V6(src), IpAddr::V6(dst)] = addresses {
        sum += words(&src.octets()) + words(&dst.octets()) + 89 + octets.len() as u64;
    }
    let counted: Vec<u8> =
        octets.iter().enumerate().map(|(at, octet)| if skip.contains(&at) { 0 } else { *octet }).collect();
    sum += words(&counted);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    octets[12..14].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn words(octets: &[u8]) -> u64 {
    octets.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0))).sum()
}
