//! Prefixes on the wire.

use bytes::BytesMut;
use ipnet::{IpNet, Ipv4Net};
use proptest::collection::vec;
use proptest::prelude::*;
use rib::{Family, V4, V6};

use super::{NlriFamily, NlriFault, PrefixIter, check, encode, encoded_len};
use crate::wire::strategies::{ipv4_net, ipv6_net};

fn read<F: NlriFamily>(field: &[u8], add_path: bool) -> Vec<Result<(u32, IpNet), NlriFault>> {
    PrefixIter::<F>::new(field, add_path).map(|one| one.map(|(id, prefix)| (id, F::net(prefix)))).collect()
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

#[test]
fn prefixes_take_as_many_octets_as_their_length_needs() {
    let field = [0, 8, 10, 9, 10, 128, 24, 192, 0, 2, 32, 192, 0, 2, 53];
    let expected = ["0.0.0.0/0", "10.0.0.0/8", "10.128.0.0/9", "192.0.2.0/24", "192.0.2.53/32"];
    assert_eq!(read::<V4>(&field, false), expected.map(|prefix| Ok((0, net(prefix)))));
    assert_eq!(read::<V6>(&[29, 0x20, 1, 0x0d, 0xb8], false), [Ok((0, net("2001:db8::/29")))]);
}

#[test]
fn host_bits_are_cleared() {
    // RFC 4271 §4.3: the value of the trailing bits is irrelevant.
    assert_eq!(read::<V4>(&[9, 10, 255], false), [Ok((0, net("10.128.0.0/9")))]);
    assert_eq!(read::<V6>(&[3, 0xff], false), [Ok((0, net("e000::/3")))]);
}

#[test]
fn path_identifiers_come_first() {
    assert_eq!(read::<V4>(&[0, 0, 1, 2, 8, 10], true), [Ok((258, net("10.0.0.0/8")))]);
    assert_eq!(read::<V4>(&[0, 0, 1], true), [Err(NlriFault::Truncated)]);
    assert_eq!(read::<V4>(&[0, 0, 1, 2], true), [Err(NlriFault::Truncated)]);
}

#[test]
fn a_fault_ends_the_field() {
    assert_eq!(read::<V4>(&[33, 1, 2, 3, 4, 5, 8, 10], false), [Err(NlriFault::Length(33))]);
    assert_eq!(read::<V4>(&[8, 10, 24, 192, 0], false), [Ok((0, net("10.0.0.0/8"))), Err(NlriFault::Truncated)]);
    assert_eq!(read::<V6>(&[129], false), [Err(NlriFault::Length(129))]);
    let notification = NlriFault::Truncated.notification();
    assert_eq!((notification.code, notification.subcode), (3, 10));
}

fn round_trip<F: NlriFamily>(routes: &[(u32, F::Prefix)], add_path: bool) {
    let mut buf = BytesMut::new();
    let mut expected_len = 0;
    for (id, prefix) in routes {
        encode::<F>(*prefix, add_path.then_some(*id), &mut buf);
        expected_len += encoded_len::<F>(*prefix, add_path);
    }
    assert_eq!(buf.len(), expected_len);
    let back: Vec<_> = PrefixIter::<F>::new(&buf, add_path).map(|one| one.expect("what we wrote")).collect();
    let routes: Vec<_> = routes.iter().map(|(id, prefix)| (if add_path { *id } else { 0 }, *prefix)).collect();
    assert_eq!(back, routes);
}

proptest! {
    #[test]
    fn ipv4_round_trip(routes in vec((any::<u32>(), ipv4_net()), 0..50), add_path in any::<bool>()) {
        round_trip::<V4>(&routes, add_path);
    }

    #[test]
    fn ipv6_round_trip(routes in vec((any::<u32>(), ipv6_net()), 0..50), add_path in any::<bool>()) {
        round_trip::<V6>(&routes, add_path);
    }

    #[test]
    fn any_octets_end_and_give_valid_prefixes(field in vec(any::<u8>(), 0..400), add_path in any::<bool>()) {
        for (_, prefix) in PrefixIter::<V4>::new(&field, add_path).map_while(Result::ok) {
            prop_assert_eq!(prefix, Ipv4Net::trunc(&prefix));
            prop_assert!(V4::length(prefix) <= 32);
        }
        let faults = PrefixIter::<V6>::new(&field, add_path).filter(Result::is_err).count();
        prop_assert_eq!(faults, usize::from(check::<V6>(&field, add_path).is_err()));
    }
}
