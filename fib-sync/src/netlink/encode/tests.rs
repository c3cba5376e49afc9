//! Messages octet by octet, as the kernel's headers define them, on a little-endian machine; and what we write, we read.
#![cfg(target_endian = "little")]

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use rib::{Discard, IfIndex, ResolvedLeg};

use super::*;
use crate::netlink::decode;

const CONFIG: KernelConfig =
    KernelConfig { table: 254, metric: 20, protocol: 179, nexthop_compat: crate::netlink::NexthopCompat::Leave };

fn octets(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut buf = Vec::new();
    encode(&mut buf);
    buf
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn leg(interface: u32, gateway: Option<&str>, onlink: bool, weight: u16) -> ResolvedLeg {
    ResolvedLeg { interface: IfIndex(interface), gateway: gateway.map(|g| g.parse().unwrap()), onlink, weight }
}

#[test]
fn a_route_on_an_object() {
    let got = octets(|buf| route(buf, 7, &CONFIG, net("192.0.2.0/24"), Target::Object(0xb300_0002)));
    #[rustfmt::skip]
    let expected = [
        // nlmsghdr: 52 octets, RTM_NEWROUTE, REQUEST|REPLACE|CREATE, sequence 7, to the kernel.
        52, 0, 0, 0, 24, 0, 0x01, 0x05, 7, 0, 0, 0, 0, 0, 0, 0,
        // rtmsg: AF_INET, /24, main, protocol 179, universe, unicast.
        2, 24, 0, 0, 254, 179, 0, 1, 0, 0, 0, 0,
        // RTA_DST.
        8, 0, 1, 0, 192, 0, 2, 0,
        // RTA_PRIORITY 20.
        8, 0, 6, 0, 20, 0, 0, 0,
        // RTA_NH_ID.
        8, 0, 30, 0, 2, 0, 0, 0xb3,
    ];
    assert_eq!(got, expected);
}

#[test]
fn a_removal_names_protocol_and_metric_so_that_it_hits_only_ours() {
    let config = KernelConfig { table: 1000, ..CONFIG };
    let got = octets(|buf| route(buf, 1, &config, net("2001:db8::/32"), Target::Remove));
    #[rustfmt::skip]
    let expected = [
        64, 0, 0, 0, 25, 0, 0x01, 0x00, 1, 0, 0, 0, 0, 0, 0, 0,
        // AF_INET6, /32, table in an attribute, protocol 179, any scope, any type.
        10, 32, 0, 0, 0, 179, 255, 0, 0, 0, 0, 0,
        20, 0, 1, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        // RTA_TABLE 1000.
        8, 0, 15, 0, 0xe8, 3, 0, 0,
        8, 0, 6, 0, 20, 0, 0, 0,
    ];
    assert_eq!(got, expected);
}

#[test]
fn ipv4_by_an_ipv6_neighbor_uses_rta_via() {
    let legs = [leg(3, Some("fe80::1"), false, 1)];
    let got = octets(|buf| route(buf, 1, &CONFIG, net("192.0.2.0/24"), Target::Legs(&legs)));
    let via = &got[16 + 12 + 8 + 8..];
    // RTA_VIA: family, then the address; padded to four octets. Then RTA_OIF.
    assert_eq!(via[..8], [22, 0, 18, 0, 10, 0, 0xfe, 0x80]);
    assert_eq!(via[21], 1);
    assert_eq!(via[24..], [8, 0, 4, 0, 3, 0, 0, 0]);
}

#[test]
fn legs_of_a_classic_route_carry_weight_and_onlink() {
    let legs = [leg(3, Some("10.0.0.2"), false, 3), leg(4, Some("10.0.1.2"), true, 256)];
    let got = octets(|buf| route(buf, 1, &CONFIG, net("192.0.2.0/24"), Target::Legs(&legs)));
    #[rustfmt::skip]
    let expected = [
        36, 0, 9, 0,
        16, 0, 0, 2, 3, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 2,
        16, 0, 4, 255, 4, 0, 0, 0, 8, 0, 5, 0, 10, 0, 1, 2,
    ];
    assert_eq!(got[16 + 12 + 8 + 8..], expected);
}

#[test]
fn a_leg_and_a_group() {
    let key =
        LegKey { interface: IfIndex(3), gateway: Some("10.0.0.2".parse().unwrap()), onlink: true, family: AF_INET };
    #[rustfmt::skip]
    let expected = [
        48, 0, 0, 0, 104, 0, 0x01, 0x05, 1, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 179, 0, 4, 0, 0, 0,
        8, 0, 1, 0, 5, 0, 0, 0,
        8, 0, 5, 0, 3, 0, 0, 0,
        8, 0, 6, 0, 10, 0, 0, 2,
    ];
    assert_eq!(octets(|buf| next_hop(buf, 1, 179, 5, &key)), expected);
    #[rustfmt::skip]
    let expected = [
        52, 0, 0, 0, 104, 0, 0x01, 0x05, 2, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 179, 0, 0, 0, 0, 0,
        8, 0, 1, 0, 6, 0, 0, 0,
        20, 0, 2, 0, 5, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 255, 0, 0, 0,
    ];
    assert_eq!(octets(|buf| group(buf, 2, 179, 6, &[(5, 3), (9, 256)])), expected);
}

#[test]
fn an_anycast_address_is_added_without_duplicate_detection() {
    let addr: IpAddr = "2001:db8::53".parse().unwrap();
    let got = octets(|buf| address(buf, 1, true, IfIndex(1), addr));
    // RTM_NEWADDR, REQUEST|EXCL|CREATE.
    assert_eq!(got[4..8], [20, 0, 0x01, 0x06]);
    assert_eq!(got[16..24], [10, 128, 0, 0, 1, 0, 0, 0]);
    // IFA_FLAGS with IFA_F_NODAD, and our mark.
    assert_eq!(got[got.len() - 16..], [8, 0, 8, 0, 2, 0, 0, 0, 5, 0, 11, 0, 179, 0, 0, 0]);
}

fn any_net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0..=32u8).prop_map(|(a, l)| IpNet::new(IpAddr::from(a.to_be_bytes()), l).unwrap().trunc()),
        (any::<u128>(), 0..=128u8).prop_map(|(a, l)| IpNet::new(IpAddr::from(a.to_be_bytes()), l).unwrap().trunc()),
    ]
}

fn any_leg(v6: bool) -> impl Strategy<Value = ResolvedLeg> {
    let gateway = if v6 {
        proptest::option::of(any::<u128>().prop_map(|a| IpAddr::from(a.to_be_bytes()))).boxed()
    } else {
        let either = prop_oneof![
            any::<u32>().prop_map(|a| IpAddr::from(a.to_be_bytes())),
            any::<u128>().prop_map(|a| IpAddr::from(a.to_be_bytes())),
        ];
        proptest::option::of(either).boxed()
    };
    (1..1000u32, gateway, any::<bool>(), 1..=256u16).prop_map(|(interface, gateway, onlink, weight)| ResolvedLeg {
        interface: IfIndex(interface),
        gateway,
        onlink,
        weight,
    })
}

proptest! {
    #[test]
    fn a_written_route_is_read_back(
        (prefix, legs) in any_net().prop_flat_map(|prefix| {
            (Just(prefix), proptest::collection::vec(any_leg(prefix.addr().is_ipv6()), 1..64))
        }),
        table in 1..100_000u32,
        metric: u32,
    ) {
        let config = KernelConfig { table, metric, ..CONFIG };
        let mut legs = legs;
        legs.sort_unstable();
        if let [only] = &mut legs[..] {
            // A single leg has no weight in this form.
            only.weight = 1;
        }
        let got = octets(|buf| route(buf, 9, &config, prefix, Target::Legs(&legs)));
        prop_assert!(got.len() <= LONGEST_OCTETS);
        let message = decode::messages(&got).next().unwrap();
        prop_assert_eq!((message.kind, message.seq), (RTM_NEWROUTE, 9));
        let read = decode::route(message.payload).unwrap();
        prop_assert_eq!((read.prefix, read.table, read.metric, read.protocol), (prefix, table, metric, 179));
        prop_assert_eq!(&read.legs[..], &legs[..]);
    }

    #[test]
    fn discards_are_read_back(prefix in any_net(), which in 0..3usize) {
        let discard = [Discard::Blackhole, Discard::Unreachable, Discard::Prohibit][which];
        let got = octets(|buf| route(buf, 9, &CONFIG, prefix, Target::Discard(discard)));
        let read = decode::route(decode::messages(&got).next().unwrap().payload).unwrap();
        prop_assert_eq!((read.discard(), read.legs.len()), (Some(discard), 0));
    }

    #[test]
    fn groups_are_read_back(members in proptest::collection::vec((1..u32::MAX, 1..=256u16), 1..64), id: u32) {
        let got = octets(|buf| group(buf, 1, 179, id, &members));
        let read = decode::next_hop(decode::messages(&got).next().unwrap().payload).unwrap();
        prop_assert_eq!((read.id, read.protocol), (id, 179));
        prop_assert_eq!(read.body, decode::Body::Group(members));
    }
}
