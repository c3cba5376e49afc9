//! UPDATE bodies and packed messages.

use bytes::{BufMut, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use rib::{AddressFamily, V4, V6};

use super::{DoesNotFit, Packing, encode_end_of_rib, encode_reach, encode_unreach, split};
use crate::wire::attr::{EncodeContext, NextHopAttr, PathAttributes, PeerKind, scan};
use crate::wire::header::{self, HEADER_LEN, MessageType};
use crate::wire::nlri::{NlriFamily, PrefixIter};
use crate::wire::strategies::{ipv4_net, ipv6_net};
use crate::wire::{AfiSafi, Notification};

/// The bodies of the messages in `buf`, each checked to be an UPDATE of at most `max` octets.
fn bodies(mut buf: &[u8], max: usize) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while !buf.is_empty() {
        let header = header::decode(buf, max > header::MAX_LEN).expect("a header").expect("a whole header");
        assert_eq!(header.kind, MessageType::Update);
        assert!(header.length <= max);
        bodies.push(&buf[HEADER_LEN..header.length]);
        buf = &buf[header.length..];
    }
    bodies
}

#[test]
fn lengths_that_do_not_fit_are_a_malformed_attribute_list() {
    let malformed = Err(Notification::update(1));
    for body in [&[][..], &[0], &[0, 1], &[0, 0], &[0, 0, 0], &[0, 1, 8, 0], &[0, 0, 0, 1], &[0xff, 0xff, 0, 0]] {
        assert_eq!(split(body), malformed, "{body:?}");
    }
    let body = split(&[0, 1, 0, 0, 2, 0xaa, 0xbb, 8, 10]).expect("whole");
    assert_eq!((body.withdrawn, body.attributes, body.nlri), (&[0][..], &[0xaa, 0xbb][..], &[8, 10][..]));
}

#[test]
fn end_of_rib_is_recognised_for_each_family() {
    for (family, name) in [(AddressFamily::Ipv4, AfiSafi::IPV4_UNICAST), (AddressFamily::Ipv6, AfiSafi::IPV6_UNICAST)] {
        let mut buf = BytesMut::new();
        encode_end_of_rib(family, &mut buf);
        let body = bodies(&buf, 4096)[0];
        assert_eq!(split(body).expect("whole").end_of_rib(), Some(name));
    }
    // Of IPv4 in the multiprotocol form, too.
    let body = [0, 0, 0, 6, 0x80, 15, 3, 0, 1, 1];
    assert_eq!(split(&body).expect("whole").end_of_rib(), Some(AfiSafi::IPV4_UNICAST));
    // A withdrawal, an announcement without routes, and an empty MP_UNREACH beside an attribute are none.
    for body in
        [&[0, 1, 0, 0, 0][..], &[0, 0, 0, 4, 0x40, 1, 1, 0], &[0, 0, 0, 10, 0x80, 15, 3, 0, 2, 1, 0x40, 1, 1, 0]]
    {
        assert_eq!(split(body).expect("whole").end_of_rib(), None, "{body:?}");
    }
}

#[test]
fn attributes_that_leave_no_room_are_reported_and_nothing_is_written() {
    let mut buf = BytesMut::new();
    let next_hop = NextHopAttr::V4([192, 0, 2, 1].into());
    let packing = Packing::new(AddressFamily::Ipv4);
    let route = "192.0.2.0/24".parse().expect("a prefix");
    let room = 4096 - HEADER_LEN - 4 - 4;
    assert_eq!(encode_reach::<V4>(&vec![0; room], &next_hop, [(0, route)], &packing, &mut buf), Ok(1));
    assert_eq!(buf.len(), 4096);
    buf.clear();
    let error = encode_reach::<V4>(&vec![0; room + 1], &next_hop, [(0, route)], &packing, &mut buf);
    assert_eq!(error, Err(DoesNotFit { attributes: room + 1, max_len: 4096 }));
    assert_eq!(encode_reach::<V4>(&vec![0; 70_000], &next_hop, [(0, route)], &packing, &mut buf).ok(), None);
    assert!(buf.is_empty());
}

#[test]
fn attributes_with_routes_come_first() {
    // RFC 7606 §5.1.
    let next_hop = NextHopAttr::V6 { global: "2001:db8::1".parse().expect("an address"), link_local: None };
    let mut attributes = BytesMut::new();
    let context = EncodeContext { as4: true, peer: PeerKind::External, plain: false };
    PathAttributes::local(next_hop).encode(&mut attributes, &context);
    let mut buf = BytesMut::new();
    let routes = [(0, "2001:db8:1::/48".parse().expect("a prefix"))];
    let packing = Packing::new(AddressFamily::Ipv6);
    assert_eq!(encode_reach::<V6>(&attributes, &next_hop, routes, &packing, &mut buf), Ok(1));
    assert_eq!(buf[HEADER_LEN + 4 + 1], 14);
}

/// Path identifiers and prefixes.
type Routes<F> = Vec<(u32, <F as rib::Family>::Prefix)>;

/// Reads back what was packed: routes announced and withdrawn, and the attributes with each announcement.
fn unpack<F: NlriFamily>(buf: &[u8], packing: &Packing, attributes: &[u8]) -> (Routes<F>, Routes<F>) {
    let (mut reach, mut unreach) = (Vec::new(), Vec::new());
    let read = |field| PrefixIter::<F>::new(field, packing.add_path).map(|one| one.expect("what we wrote"));
    for body in bodies(buf, packing.max_len) {
        let body = split(body).expect("whole");
        let scan = scan(body.attributes).expect("well-formed");
        assert_eq!(scan.fault, None);
        let announced = scan.mp_reach.map_or(body.nlri, |mp| mp.nlri);
        if !announced.is_empty() {
            assert_eq!(scan.base().collect::<Vec<_>>().concat(), attributes);
        }
        reach.extend(read(announced));
        unreach.extend(read(scan.mp_unreach.map_or(body.withdrawn, |mp| mp.nlri)));
    }
    (reach, unreach)
}

fn packed_and_unpacked<F: NlriFamily>(
    routes: &[(u32, F::Prefix)],
    packing: &Packing,
    padding: usize,
    next_hop: NextHopAttr,
) {
    // An unknown attribute of any size, so that messages fill up at different places.
    let mut attributes = BytesMut::new();
    attributes.put_slice(&[0xf0, 200]);
    attributes.put_u16(u16::try_from(padding).expect("small"));
    attributes.put_bytes(0xab, padding);
    let mut buf = BytesMut::new();
    let sent = encode_reach::<F>(&attributes, &next_hop, routes.iter().copied(), packing, &mut buf).expect("fits");
    assert_eq!(sent, bodies(&buf, packing.max_len).len());
    let expected: Vec<_> =
        routes.iter().map(|(id, prefix)| (if packing.add_path { *id } else { 0 }, *prefix)).collect();
    assert_eq!(unpack::<F>(&buf, packing, &attributes), (expected.clone(), Vec::new()));
    buf.clear();
    let sent = encode_unreach::<F>(routes.iter().copied(), packing, &mut buf);
    assert_eq!(sent, bodies(&buf, packing.max_len).len());
    assert_eq!(unpack::<F>(&buf, packing, &[]), (Vec::new(), expected));
}

#[test]
fn a_full_message_is_full() {
    let routes: Vec<_> = (0..2000_u32).map(|n| (0, ipnet::Ipv4Net::new_assert((n << 8).into(), 24))).collect();
    let mut buf = BytesMut::new();
    let next_hop = NextHopAttr::V4([192, 0, 2, 1].into());
    let packing = Packing::new(AddressFamily::Ipv4);
    let messages = encode_reach::<V4>(&[0; 20], &next_hop, routes.iter().copied(), &packing, &mut buf).expect("fits");
    // 19 + 4 + 20 octets, then four for each prefix: 1,013 in the first message.
    assert_eq!(messages, 2);
    assert_eq!(bodies(&buf, 4096)[0].len() + HEADER_LEN, 19 + 4 + 20 + 1013 * 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ipv4_routes_survive_packing(
        routes in vec((any::<u32>(), ipv4_net()), 0..2500),
        add_path in any::<bool>(),
        plain in any::<bool>(),
        extended in any::<bool>(),
        padding in 0..4000_usize,
    ) {
        let max_len = if extended { header::MAX_LEN_EXTENDED } else { header::MAX_LEN };
        let packing = Packing { max_len, add_path, plain };
        packed_and_unpacked::<V4>(&routes, &packing, padding, NextHopAttr::V4([192, 0, 2, 1].into()));
    }

    #[test]
    fn ipv6_routes_survive_packing(
        routes in vec((any::<u32>(), ipv6_net()), 0..800),
        add_path in any::<bool>(),
        link_local in any::<bool>(),
        padding in 0..3900_usize,
    ) {
        let packing = Packing { max_len: header::MAX_LEN, add_path, plain: true };
        let link_local = link_local.then(|| "fe80::1".parse().expect("an address"));
        let next_hop = NextHopAttr::V6 { global: "2001:db8::1".parse().expect("an address"), link_local };
        packed_and_unpacked::<V6>(&routes, &packing, padding, next_hop);
    }

    #[test]
    fn any_body_is_split_or_refused(body in vec(any::<u8>(), 0..200)) {
        if let Ok(fields) = split(&body) {
            let total = 4 + fields.withdrawn.len() + fields.attributes.len() + fields.nlri.len();
            prop_assert_eq!(total, body.len());
            let _ = fields.end_of_rib();
        }
    }
}
