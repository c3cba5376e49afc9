//! Every attribute, right and wrong (RFC 4271 §6.3, RFC 7606 §7, RFC 6793, RFC 7607, RFC 5065).

use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::Notification;
use crate::wire::strategies::{as_path, attributes};

const EXTERNAL: DecodeContext = DecodeContext::new(PeerKind::External);
const INTERNAL: DecodeContext = DecodeContext::new(PeerKind::Internal);
const CONFEDERATED: DecodeContext = DecodeContext::new(PeerKind::Confed);

/// AS_PATH (65001) 9, as from another member AS.
const FROM_MEMBER: &[u8] = &[0x40, 2, 12, 3, 1, 0, 0, 0xfd, 0xe9, 2, 1, 0, 0, 0, 9];

/// ORIGIN IGP, AS_PATH 64500, NEXT_HOP 192.0.2.1.
const MANDATORY: &[u8] = &[0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf4, 0x40, 3, 4, 192, 0, 2, 1];

fn with(more: &[u8]) -> Vec<u8> {
    [MANDATORY, more].concat()
}

fn plain(octets: &[u8], context: &DecodeContext) -> Result<Decoded, AttrFault> {
    decode(&scan(octets).expect("no reset"), context, Target::Plain)
}

fn good(octets: &[u8], context: &DecodeContext) -> PathAttributes {
    let decoded = plain(octets, context).expect("usable");
    assert_eq!(decoded.discarded.as_slice(), []);
    decoded.attributes
}

/// The code of the attribute for which the routes are withdrawn.
fn withdrawn(octets: &[u8], context: &DecodeContext) -> u8 {
    let fault = plain(octets, context).expect_err("treated as withdrawn");
    assert_eq!(fault.action, FaultAction::TreatAsWithdraw, "{fault}");
    fault.code
}

/// The code of the one attribute that was discarded, and the rest.
fn discarded(octets: &[u8], context: &DecodeContext) -> (u8, PathAttributes) {
    let decoded = plain(octets, context).expect("usable");
    assert_eq!(decoded.discarded.len(), 1);
    assert_eq!(decoded.discarded[0].action, FaultAction::DiscardAttribute);
    (decoded.discarded[0].code, decoded.attributes)
}

#[test]
fn the_mandatory_attributes_are_enough() {
    let attributes = good(MANDATORY, &EXTERNAL);
    let mut expected = PathAttributes::local(NextHopAttr::V4([192, 0, 2, 1].into()));
    expected.as_path.prepend(64500, 1);
    assert_eq!(attributes, expected);
}

#[test]
fn a_missing_mandatory_attribute_withdraws() {
    assert_eq!(withdrawn(&MANDATORY[4..], &EXTERNAL), code::ORIGIN);
    assert_eq!(withdrawn(&[&MANDATORY[..4], &MANDATORY[13..]].concat(), &EXTERNAL), code::AS_PATH);
    assert_eq!(withdrawn(&MANDATORY[..13], &EXTERNAL), code::NEXT_HOP);
}

#[test]
fn every_attribute_with_a_wrong_length_or_value_is_treated_as_rfc_7606_says() {
    // Octets of the attribute, context, whether the routes are withdrawn (else the attribute is discarded).
    let rows: &[(&[u8], &DecodeContext, bool)] = &[
        (&[0x80, 4, 3, 0, 0, 0], &EXTERNAL, true),
        (&[0x80, 4, 0], &EXTERNAL, true),
        (&[0x40, 5, 3, 0, 0, 0], &INTERNAL, true),
        (&[0x40, 5, 5, 0, 0, 0, 0, 0], &INTERNAL, true),
        (&[0x40, 6, 1, 0], &EXTERNAL, false),
        (&[0xc0, 7, 6, 0, 1, 192, 0, 2, 1], &EXTERNAL, false),
        (&[0xc0, 7, 8, 0, 0, 0, 0, 192, 0, 2, 1], &EXTERNAL, false),
        (&[0xc0, 8, 0], &EXTERNAL, true),
        (&[0xc0, 8, 3, 0, 0, 0], &EXTERNAL, true),
        (&[0x80, 9, 5, 0, 0, 0, 0, 0], &INTERNAL, true),
        (&[0x80, 10, 0], &INTERNAL, true),
        (&[0x80, 10, 2, 0, 0], &INTERNAL, true),
        (&[0xc0, 16, 0], &EXTERNAL, true),
        (&[0xc0, 16, 7, 0, 0, 0, 0, 0, 0, 0], &EXTERNAL, true),
        (&[0xc0, 32, 0], &EXTERNAL, true),
        (&[0xc0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &EXTERNAL, true),
        (&[0xc0, 35, 3, 0, 0, 0], &EXTERNAL, true),
        (&[0xc0, 35, 0], &INTERNAL, true),
        (&[0xc0, 35, 5, 0, 0, 0, 0, 1], &CONFEDERATED, true),
        (&[0xc0, 25, 0], &EXTERNAL, true),
        (&[0xc0, 25, 8, 0, 2, 0, 0, 0, 0, 0, 1], &EXTERNAL, true),
        (&[0xc0, 7, 7, 0, 0, 0, 1, 192, 0, 2], &EXTERNAL, false),
        (&[0xc0, 7, 8, 0, 0, 0, 1, 192, 0, 2, 1], &OLD, false),
        (&[0xc0, 7, 6, 0, 0, 192, 0, 2, 1], &OLD, false),
        (&[0xc0, 18, 8, 0, 0, 0, 0, 192, 0, 2, 1], &OLD, false),
        (&[0xc0, 18, 6, 0, 1, 192, 0, 2, 1], &OLD, false),
        (&[0xc0, 17, 0], &OLD, false),
        (&[0xc0, 17, 4, 2, 1, 0, 1], &OLD, false),
        (&[0xc0, 17, 6, 2, 0, 0, 0, 0, 1], &OLD, false),
        (&[0xc0, 17, 6, 5, 1, 0, 0, 0, 1], &OLD, false),
        (&[0xc0, 17, 6, 2, 2, 0, 0, 0, 1], &OLD, false),
        (&[0xc0, 17, 6, 2, 1, 0, 0, 0, 0], &OLD, false),
        // From those who must not send them they are discarded, right or wrong (RFC 7606 §7.5, §7.9, §7.10; RFC 6793 §6).
        (&[0x40, 5, 4, 0, 0, 0, 200], &EXTERNAL, false),
        (&[0x40, 5, 3, 0, 0, 0], &EXTERNAL, false),
        (&[0x80, 9, 4, 192, 0, 2, 1], &EXTERNAL, false),
        (&[0x80, 9, 1, 0], &EXTERNAL, false),
        (&[0x80, 9, 4, 192, 0, 2, 1], &CONFEDERATED, false),
        (&[0x80, 10, 4, 192, 0, 2, 1], &EXTERNAL, false),
        (&[0x80, 10, 3, 192, 0, 2], &EXTERNAL, false),
        (&[0x80, 10, 4, 192, 0, 2, 1], &CONFEDERATED, false),
        (&[0xc0, 17, 6, 2, 1, 0, 0, 0, 1], &EXTERNAL, false),
        (&[0xc0, 18, 8, 0, 0, 0, 1, 192, 0, 2, 1], &INTERNAL, false),
        // A length in two octets is no fault by itself, but its value counts.
        (&[0x90, 4, 0, 3, 0, 0, 0], &EXTERNAL, true),
        // Wrong flags: Transitive on MED, Optional missing on COMMUNITIES, Optional set on ATOMIC_AGGREGATE.
        (&[0xc0, 4, 4, 0, 0, 0, 1], &EXTERNAL, true),
        (&[0x40, 8, 4, 0, 0, 0, 1], &EXTERNAL, true),
        (&[0xc0, 6, 0], &EXTERNAL, true),
        (&[0x80, 5, 4, 0, 0, 0, 1], &INTERNAL, true),
        (&[0x40, 7, 8, 0, 0, 0, 1, 192, 0, 2, 1], &EXTERNAL, true),
        (&[0xc0, 9, 4, 192, 0, 2, 1], &INTERNAL, true),
        (&[0xc0, 10, 4, 192, 0, 2, 1], &INTERNAL, true),
        (&[0x80, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1], &EXTERNAL, true),
        (&[0x80, 32, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], &EXTERNAL, true),
        (&[0x80, 35, 4, 0, 0, 0, 1], &EXTERNAL, true),
        // An attribute that overruns the field, in its head or its value.
        (&[0xc0, 8], &EXTERNAL, true),
        (&[0xd0, 8, 0], &EXTERNAL, true),
        (&[0xc0, 8, 5, 0, 0, 0, 1], &EXTERNAL, true),
    ];
    for (octets, context, withdraws) in rows {
        let octets_of = |more: &[u8]| match **context {
            CONFEDERATED => [&MANDATORY[..4], FROM_MEMBER, &MANDATORY[13..], more].concat(),
            OLD => [OLD_MANDATORY, more].concat(),
            _ => with(more),
        };
        if *withdraws {
            assert_eq!(withdrawn(&octets_of(octets), context), octets[1], "{octets:?}");
        } else {
            assert_eq!(discarded(&octets_of(octets), context).0, octets[1], "{octets:?}");
        }
    }
    for origin in [&[0x40, 1, 1, 3][..], &[0x40, 1, 0], &[0x40, 1, 2, 0, 0], &[0xc0, 1, 1, 0]] {
        assert_eq!(withdrawn(&[origin, &MANDATORY[4..]].concat(), &EXTERNAL), code::ORIGIN);
    }
    assert_eq!(withdrawn(&[&MANDATORY[..13], &[0x40, 3, 3, 1, 2, 3]].concat(), &EXTERNAL), code::NEXT_HOP);
}

#[test]
fn malformed_as_paths_withdraw() {
    let rows: &[&[u8]] = &[
        &[5, 1, 0, 0, 0, 1],                   // unknown segment type
        &[2, 0],                               // no AS number
        &[2, 2, 0, 0, 0, 1],                   // overruns the attribute
        &[2, 1, 0, 0, 0, 1, 2],                // one octet left over
        &[2, 1, 0, 0, 0, 0],                   // AS 0
        &[2, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0], // AS 0 in a set
        &[3, 1, 0, 0, 0, 1],                   // confederation segment from outside
    ];
    for path in rows {
        let length = u8::try_from(path.len()).expect("short");
        let octets = [&MANDATORY[..4], &[0x40, 2, length], path, &MANDATORY[13..]].concat();
        assert_eq!(withdrawn(&octets, &EXTERNAL), code::AS_PATH, "{path:?}");
    }
    // RFC 5065 §5: from another member AS the path begins with AS_CONFED_SEQUENCE.
    assert_eq!(withdrawn(MANDATORY, &CONFEDERATED), code::AS_PATH);
    let confed = [&MANDATORY[..4], FROM_MEMBER, &MANDATORY[13..]].concat();
    let path = good(&confed, &CONFEDERATED).as_path;
    assert_eq!((path.to_string().as_str(), path.length()), ("(65001) 9", 1));
}

#[test]
fn the_first_as_is_the_neighbors() {
    let strict = |asn| DecodeContext { first_asn: Some(asn), ..EXTERNAL };
    assert!(plain(MANDATORY, &strict(64500)).is_ok());
    assert_eq!(withdrawn(MANDATORY, &strict(64501)), code::AS_PATH);
    let empty = [&MANDATORY[..4], &[0x40, 2, 0], &MANDATORY[13..]].concat();
    assert_eq!(withdrawn(&empty, &strict(64500)), code::AS_PATH);
    assert!(good(&empty, &INTERNAL).as_path.is_empty());
}

#[test]
fn next_hops_that_are_no_hosts_withdraw() {
    for addr in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255, 255, 255, 255]] {
        let octets = [&MANDATORY[..16], &addr].concat();
        assert_eq!(withdrawn(&octets, &EXTERNAL), code::NEXT_HOP, "{addr:?}");
    }
    let ours = DecodeContext { local_address: Some([192, 0, 2, 1].into()), ..EXTERNAL };
    assert_eq!(withdrawn(MANDATORY, &ours), code::NEXT_HOP);
}

#[test]
fn attributes_for_inside_the_as_are_discarded_from_outside() {
    let local_pref = with(&[0x40, 5, 4, 0, 0, 0, 200]);
    let (code, attributes) = discarded(&local_pref, &EXTERNAL);
    assert_eq!((code, attributes.local_pref), (code::LOCAL_PREF, None));
    assert_eq!(good(&local_pref, &INTERNAL).local_pref, Some(200));
    let originator = with(&[0x80, 9, 4, 192, 0, 2, 9]);
    assert_eq!(discarded(&originator, &EXTERNAL).1.originator_id, None);
    assert_eq!(good(&originator, &INTERNAL).originator_id, Some([192, 0, 2, 9].into()));
    // Even a malformed one: RFC 7606 §7.10.
    assert_eq!(discarded(&with(&[0x80, 10, 1, 0]), &EXTERNAL).0, code::CLUSTER_LIST);
    assert_eq!(good(&with(&[0x80, 10, 4, 192, 0, 2, 8]), &INTERNAL).cluster_list, [Ipv4Addr::new(192, 0, 2, 8)]);
}

#[test]
fn the_first_of_two_equal_codes_counts() {
    let (code, attributes) = discarded(&with(&[0x80, 4, 4, 0, 0, 0, 1, 0x80, 4, 4, 0, 0, 0, 2]), &EXTERNAL);
    assert_eq!((code, attributes.med), (code::MED, Some(1)));
}

#[test]
fn lists_are_sorted_and_unique() {
    let octets = with(&[0xc0, 8, 12, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]);
    assert_eq!(good(&octets, &EXTERNAL).communities, [0x0001_0000, 0x0002_0000]);
}

#[test]
fn unknown_attributes_are_treated_by_their_flags() {
    let kept = good(&with(&[0xe0, 99, 2, 7, 7]), &EXTERNAL).unknown;
    assert_eq!(kept, [UnknownAttribute { flags: 0xe0, code: 99, value: Bytes::from_static(&[7, 7]) }]);
    // However the length is written, the value is the same; and Partial is set when it goes on.
    let extended = good(&with(&[0xd0, 99, 0, 2, 7, 7]), &EXTERNAL).unknown;
    assert_eq!(extended[0].flags, 0xc0);
    let mut buf = BytesMut::new();
    unknown::encode(&extended[0], &mut buf);
    assert_eq!(&buf[..], [0xe0, 99, 2, 7, 7]);
    // Optional non-transitive: dropped without a word.
    assert_eq!(good(&with(&[0x80, 99, 1, 7]), &EXTERNAL).unknown, []);
    // Well-known, but not to us: RFC 4271 §6.3, with the attribute as data.
    let fault = plain(&with(&[0x40, 99, 1, 7]), &EXTERNAL).expect_err("a reset");
    let notification = Notification::update(2).with_data(Bytes::from_static(&[0x40, 99, 1, 7]));
    assert_eq!(fault.action, FaultAction::Reset(notification));
    // Stronger than a withdrawal that comes before it (RFC 7606 §3 h).
    let both = plain(&with(&[0x80, 4, 1, 0, 0x40, 99, 1, 7]), &EXTERNAL).expect_err("a reset");
    assert!(matches!(both.action, FaultAction::Reset(_)));
}

#[test]
fn an_attribute_that_overruns_the_field_withdraws() {
    for tail in [&[0x80][..], &[0x80, 4], &[0x80, 4, 4, 0, 0], &[0x90, 4, 0], &[0x90, 4, 0xff, 0xff, 0]] {
        let octets = with(tail);
        let scan = scan(&octets).expect("no reset");
        assert_eq!(scan.base_len(), MANDATORY.len());
        let fault = decode(&scan, &EXTERNAL, Target::Plain).expect_err("withdrawn");
        assert_eq!(fault.action, FaultAction::TreatAsWithdraw);
    }
}

/// MP_REACH_NLRI for 2001:db8:1::/48 with this next hop.
fn mp_reach(next_hop: &[u8]) -> Vec<u8> {
    let mut octets = BytesMut::new();
    octets.put_slice(&[0x80, 14, u8::try_from(5 + next_hop.len() + 7).expect("short"), 0, 2, 1]);
    octets.put_u8(u8::try_from(next_hop.len()).expect("short"));
    octets.put_slice(next_hop);
    octets.put_slice(&[0, 48, 0x20, 1, 0x0d, 0xb8, 0, 1]);
    octets.to_vec()
}

fn v6(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().expect("an address").octets()
}

#[test]
fn routes_are_found_wherever_they_stand_and_the_rest_is_one_set() {
    let reach = mp_reach(&v6("2001:db8::1"));
    let unreach = [0x80, 15, 10, 0, 2, 1, 48, 0x20, 1, 0x0d, 0xb8, 0, 2];
    let octets = [&reach, &MANDATORY[..4], &unreach, &MANDATORY[4..]].concat();
    let found = scan(&octets).expect("no reset");
    assert_eq!(found.base().collect::<Vec<_>>(), [&MANDATORY[..4], &MANDATORY[4..]]);
    assert_eq!(found.base_len(), MANDATORY.len());
    let mp = found.mp_reach.expect("there");
    assert_eq!((mp.next_hop, mp.nlri), (&v6("2001:db8::1")[..], &[48, 0x20, 1, 0x0d, 0xb8, 0, 1][..]));
    assert_eq!(found.mp_unreach.expect("there").nlri, &unreach[6..]);
    let decoded = decode(&found, &EXTERNAL, Target::Mp).expect("usable").attributes;
    assert_eq!(decoded.next_hop.addr().to_string(), "2001:db8::1");
    // The same message for its IPv4 routes.
    let decoded = decode(&found, &EXTERNAL, Target::Plain).expect("usable").attributes;
    assert_eq!(decoded.next_hop.addr().to_string(), "192.0.2.1");
    // Without routes of either kind in front, the set is one run.
    assert_eq!(scan(&[&reach, MANDATORY].concat()).expect("no reset").base().count(), 1);
}

#[test]
fn next_hops_of_ipv6() {
    let next_hop = |octets: &[u8]| {
        let octets = [&mp_reach(octets), &MANDATORY[..13]].concat();
        decode(&scan(&octets).expect("no reset"), &EXTERNAL, Target::Mp).map(|decoded| decoded.attributes.next_hop)
    };
    let (global, local) = (v6("2001:db8::1"), v6("fe80::1"));
    let global_only = NextHopAttr::V6 { global: global.into(), link_local: None };
    assert_eq!(next_hop(&global), Ok(global_only));
    let both = NextHopAttr::V6 { global: global.into(), link_local: Some(local.into()) };
    assert_eq!(next_hop(&[global, local].concat()), Ok(both));
    // A second address that is not link-local is ignored; a link-local one alone stands for itself.
    assert_eq!(next_hop(&[global, [0; 16]].concat()), Ok(global_only));
    let local_only = NextHopAttr::V6 { global: local.into(), link_local: None };
    assert_eq!(next_hop(&[[0; 16], local].concat()), Ok(local_only));
    for bad in ["::", "::1", "ff02::1"] {
        assert_eq!(next_hop(&v6(bad)).expect_err("withdrawn").action, FaultAction::TreatAsWithdraw);
    }
}

#[test]
fn ipv6_next_hops_of_ipv4_routes_need_to_be_negotiated() {
    let mut octets = mp_reach(&v6("2001:db8::1"));
    octets[4] = 1;
    let octets = [&octets, &MANDATORY[..13]].concat();
    let found = scan(&octets).expect("no reset");
    assert!(decode(&found, &EXTERNAL, Target::Mp).is_err());
    let negotiated = DecodeContext { extended_next_hop: true, ..EXTERNAL };
    assert!(decode(&found, &negotiated, Target::Mp).is_ok());
}

#[test]
fn malformed_containers_of_routes_reset_with_the_attribute_as_data() {
    let optional = |octets: &[u8]| Notification::update(9).with_data(Bytes::copy_from_slice(octets));
    let rows: &[&[u8]] = &[
        &[0x80, 14, 0],
        &[0x80, 14, 4, 0, 2, 1, 16],
        &[0x80, 14, 5, 0, 2, 1, 16, 0],
        &[0x80, 14, 8, 0, 1, 1, 4, 1, 2, 3, 4],    // no reserved octet
        &[0x80, 14, 8, 0, 1, 1, 3, 1, 2, 3, 0],    // next hop of three octets
        &[0x80, 14, 9, 0, 2, 1, 4, 1, 2, 3, 4, 0], // IPv4 next hop for IPv6
        &[0x80, 15, 2, 0, 2],
    ];
    for octets in rows {
        assert_eq!(scan(octets).expect_err("a reset"), optional(octets), "{octets:?}");
    }
    // Twice: RFC 7606 §3 g.
    let reach = mp_reach(&v6("2001:db8::1"));
    assert_eq!(scan(&[reach.clone(), reach.clone()].concat()).expect_err("a reset"), Notification::update(1));
    let unreach = [0x80, 15, 3, 0, 2, 1];
    assert_eq!(scan(&[unreach, unreach].concat()).expect_err("a reset"), Notification::update(1));
    // Wrong flags: the routes can be found, so they are withdrawn.
    let mut flagged = reach;
    flagged[0] = 0xc0;
    let octets = [&flagged, &MANDATORY[..13]].concat();
    let fault = decode(&scan(&octets).expect("no reset"), &EXTERNAL, Target::Mp).expect_err("withdrawn");
    assert_eq!((fault.code, fault.action), (code::MP_REACH, FaultAction::TreatAsWithdraw));
}

#[test]
fn containers_of_routes_that_overrun_the_field_reset() {
    // RFC 7606 §3 j: what they carry cannot be found, so it cannot be withdrawn.
    let reach = mp_reach(&v6("2001:db8::1"));
    for cut in [2, 3, 20] {
        let octets = [MANDATORY, &reach[..cut]].concat();
        assert_eq!(scan(&octets).expect_err("a reset"), Notification::update(1), "{cut}");
    }
    assert_eq!(scan(&[0x80, 15, 4, 0, 2, 1]).expect_err("a reset"), Notification::update(1));
}

#[test]
fn partial_is_kept_on_what_we_know_and_set_on_what_we_do_not() {
    // RFC 4271 §5. COMMUNITIES with Partial, LARGE_COMMUNITY without, an unknown one without.
    let octets = with(&[
        0xe0, 8, 4, 0xfb, 0xf4, 0, 1, 0xe0, 25, 20, 0, 2, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9,
        0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xc0, 99, 1, 7, 0x80, 100, 1, 7,
    ]);
    let attributes = good(&octets, &EXTERNAL);
    let mut buf = BytesMut::new();
    attributes.encode(&mut buf, &EncodeContext { as4: true, peer: PeerKind::External, plain: true });
    let heads: Vec<_> = TlvIter::new(&buf).map(|tlv| tlv.map(|tlv| (tlv.code, tlv.flags)).expect("whole")).collect();
    // Optional non-transitive 100 is dropped.
    let expected = [(1, 0x40), (2, 0x40), (3, 0x40), (8, 0xe0), (25, 0xe0), (32, 0xc0), (99, 0xe0)];
    assert_eq!(heads, expected);
    assert_eq!(good(&buf, &EXTERNAL).partial, attributes.partial);
}

#[test]
fn ipv6_extended_communities_leave_the_as_if_they_may() {
    // RFC 5701 §2: type octet 0x00 is transitive, 0x40 is not.
    let one = |kind: u8| [&[kind, 2][..], &v6("2001:db8::1"), &[0, 9]].concat();
    let octets = [&with(&[0xc0, 25, 40]), &one(0)[..], &one(0x40)].concat();
    let attributes = good(&octets, &EXTERNAL);
    for (peer, left) in [(PeerKind::External, one(0)), (PeerKind::Internal, [one(0), one(0x40)].concat())] {
        let mut buf = BytesMut::new();
        attributes.encode(&mut buf, &EncodeContext { as4: true, peer, plain: true });
        let values: Vec<_> = TlvIter::new(&buf).filter_map(Result::ok).filter(|tlv| tlv.code == 25).collect();
        assert_eq!((values.len(), values[0].flags, values[0].value), (1, 0xc0, &left[..]));
    }
}

#[test]
fn a_community_sent_twice_is_one() {
    let attributes = good(&with(&[0xc0, 8, 12, 0, 1, 0, 2, 0, 1, 0, 1, 0, 1, 0, 2]), &EXTERNAL);
    assert_eq!(attributes.communities, [0x0001_0001, 0x0001_0002]);
}

#[test]
fn without_routes_a_malformed_attribute_resets() {
    // RFC 7606 §5.2.
    let check = |octets: &[u8]| check_without_routes(&scan(octets).expect("no reset"), &EXTERNAL);
    assert_eq!(check(&[0x40, 1, 1, 0]), Ok(()));
    assert_eq!(check(&[0x40, 6, 1, 0]), Ok(()), "what is discarded needs no reset");
    for octets in [&[0x40, 1, 1, 9][..], &[0x80, 4, 4, 0]] {
        assert_eq!(check(octets).expect_err("a reset").action, FaultAction::Reset(Notification::update(1)));
    }
}

#[test]
fn paths_of_two_octet_speakers_are_reconciled() {
    // RFC 6793 §4.2.3. AS_PATH, AS4_PATH, and what they mean together.
    let (sequence, set) = (SegmentKind::Sequence, SegmentKind::Set);
    let path = |segments: &[(SegmentKind, &[u32])]| AsPath {
        segments: segments.iter().map(|(kind, asns)| Segment { kind: *kind, asns: (*asns).into() }).collect(),
    };
    type Row<'a> = (&'a [(SegmentKind, &'a [u32])], &'a [(SegmentKind, &'a [u32])], &'a str);
    let confed = SegmentKind::ConfedSequence;
    let rows: &[Row<'_>] = &[
        (&[(sequence, &[10, 23456])], &[(sequence, &[70000])], "10 70000"),
        (&[(sequence, &[23456, 23456])], &[(sequence, &[70000, 70001])], "70000 70001"),
        (&[(sequence, &[23456])], &[(sequence, &[70000, 70001])], "23456"),
        (&[(sequence, &[10, 11]), (set, &[1, 23456])], &[(set, &[1, 70000])], "10 11 {1,70000}"),
        (&[(set, &[5, 6]), (sequence, &[23456])], &[(sequence, &[70000])], "{5,6} 70000"),
        (&[(confed, &[65001]), (sequence, &[10, 23456])], &[(sequence, &[70000])], "(65001) 10 70000"),
    ];
    for (old, four, expected) in rows {
        assert_eq!(as_path::reconcile(path(old), path(four)).to_string(), *expected);
    }
}

const OLD: DecodeContext = DecodeContext { as4: false, ..EXTERNAL };

/// ORIGIN, AS_PATH 10 AS_TRANS in two octets, NEXT_HOP.
const OLD_MANDATORY: &[u8] = &[0x40, 1, 1, 0, 0x40, 2, 6, 2, 2, 0, 10, 0x5b, 0xa0, 0x40, 3, 4, 192, 0, 2, 1];
const AS4_PATH: &[u8] = &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
const AS4_AGGREGATOR: &[u8] = &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 192, 0, 2, 9];

#[test]
fn four_octet_attributes_of_a_two_octet_speaker() {
    let trans_aggregator = [0xc0, 7, 6, 0x5b, 0xa0, 192, 0, 2, 8];
    let octets = [OLD_MANDATORY, &trans_aggregator, AS4_PATH, AS4_AGGREGATOR].concat();
    let attributes = good(&octets, &OLD);
    assert_eq!(attributes.as_path.to_string(), "10 70000");
    assert_eq!(attributes.aggregator, Some(Aggregator { asn: 70000, router_id: [192, 0, 2, 9].into() }));
    // An aggregator that is not AS_TRANS: the four-octet attributes are of the past.
    let new_aggregator = [0xc0, 7, 6, 0, 77, 192, 0, 2, 8];
    let octets = [OLD_MANDATORY, &new_aggregator, AS4_PATH, AS4_AGGREGATOR].concat();
    let attributes = good(&octets, &OLD);
    assert_eq!(attributes.as_path.to_string(), "10 23456");
    assert_eq!(attributes.aggregator, Some(Aggregator { asn: 77, router_id: [192, 0, 2, 8].into() }));
    // Confederation segments are discarded, the rest counts (RFC 6793 §6).
    let confed = [0xc0, 17, 12, 3, 1, 0, 0, 0, 9, 2, 1, 0, 1, 0x11, 0x70];
    assert_eq!(good(&[OLD_MANDATORY, &confed].concat(), &OLD).as_path.to_string(), "10 70000");
    let only_confed = [OLD_MANDATORY, &[0xc0, 17, 6], &confed[3..9]].concat();
    assert_eq!(good(&only_confed, &OLD).as_path.to_string(), "10 23456");
    // Malformed ones are discarded (RFC 6793 §6), and so are those on a four-octet session.
    for bad in [&[0xc0, 17, 5, 2, 1, 0, 1, 0x11][..], &[0xc0, 17, 6, 2, 2, 0, 1, 0x11, 0x70], &[0xc0, 18, 1, 0]] {
        let (_, attributes) = discarded(&[OLD_MANDATORY, bad].concat(), &OLD);
        assert_eq!(attributes.as_path.to_string(), "10 23456");
    }
    assert_eq!(discarded(&with(AS4_PATH), &EXTERNAL).0, code::AS4_PATH);
}

#[test]
fn a_two_octet_neighbor_gets_as_trans_and_the_truth_beside_it() {
    let mut attributes = PathAttributes::local(NextHopAttr::V4([192, 0, 2, 1].into()));
    attributes.as_path = AsPath::sequence(&[10, 70000]);
    attributes.aggregator = Some(Aggregator { asn: 70000, router_id: [192, 0, 2, 9].into() });
    let mut buf = BytesMut::new();
    attributes.encode(&mut buf, &EncodeContext { as4: false, peer: PeerKind::External, plain: true });
    let codes: Vec<u8> = TlvIter::new(&buf).map(|tlv| tlv.expect("whole").code).collect();
    assert_eq!(codes, [1, 2, 3, 7, 17, 18]);
    assert_eq!(good(&buf, &OLD), attributes);
    // Nothing beside it where two octets do.
    attributes.as_path = AsPath::sequence(&[10, 65535]);
    attributes.aggregator = None;
    buf.clear();
    attributes.encode(&mut buf, &EncodeContext { as4: false, peer: PeerKind::External, plain: true });
    assert_eq!(TlvIter::new(&buf).count(), 3);
}

#[test]
fn lengths_loops_and_ends_of_paths() {
    let mut path = AsPath::sequence(&[64500, 64501]);
    path.segments.push(Segment { kind: SegmentKind::Set, asns: [1, 2].as_slice().into() });
    assert_eq!((path.to_string().as_str(), path.length()), ("64500 64501 {1,2}", 3));
    assert_eq!(path.neighbor_as(), Some(64500));
    assert!(path.contains(2) && !path.contains(3));
    path.prepend(64499, 2);
    assert_eq!((path.to_string().as_str(), path.length()), ("64499 64499 64500 64501 {1,2}", 5));
    path.prepend(1, 0);
    path.prepend_confed(65001);
    assert_eq!((path.to_string().as_str(), path.length()), ("(65001) 64499 64499 64500 64501 {1,2}", 5));
    assert_eq!((path.neighbor_as(), path.neighbor_as_outside()), (Some(65001), Some(64499)));
    path.strip_confed();
    assert_eq!(path.length(), 5);
    let empty = AsPath::default();
    assert_eq!((empty.length(), empty.neighbor_as(), empty.to_string().as_str()), (0, None, ""));
}

#[test]
fn a_path_longer_than_a_segment_is_cut_and_joined_again() {
    let mut attributes = PathAttributes::local(NextHopAttr::V4([192, 0, 2, 1].into()));
    attributes.as_path.prepend(64500, 600);
    let mut buf = BytesMut::new();
    attributes.encode(&mut buf, &EncodeContext { as4: true, peer: PeerKind::External, plain: true });
    assert_eq!(good(&buf, &EXTERNAL), attributes);
}

#[test]
fn communities_as_people_write_them() {
    for text in ["64512:53", "0:0", "no-export", "blackhole", "graceful-shutdown", "65535:1"] {
        assert_eq!(text.parse::<Community>().expect(text).to_string(), text);
    }
    for text in ["", "1", "1:2:3", "65536:1", "1:65536", "+1:2", "-1:2", "no-such", "a:b", ":"] {
        assert!(text.parse::<Community>().is_err(), "{text}");
    }
    assert_eq!("large:64512:1:2".parse::<LargeCommunity>().expect("large").to_string(), "64512:1:2");
    assert!("64512:1".parse::<LargeCommunity>().is_err());
    assert!("1:2:3:4".parse::<LargeCommunity>().is_err());
    for text in ["rt:64512:100", "soo:192.0.2.1:7", "rt:70000:9", "rt:5L:9", "0x0600000000000001"] {
        assert_eq!(text.parse::<ExtendedCommunity>().expect(text).to_string(), text);
    }
    for text in ["rt:64512", "xx:1:2", "rt:192.0.2.1:65536", "rt:70000:65536", "0x00", "0x+600000000000001"] {
        assert!(text.parse::<ExtendedCommunity>().is_err(), "{text}");
    }
}

#[test]
fn faults_say_what_is_wrong_and_what_was_done() {
    let fault = plain(&with(&[0x80, 4, 1, 0]), &EXTERNAL).expect_err("withdrawn");
    assert_eq!(fault.to_string(), "MULTI_EXIT_DISC: length is not 4; routes treated as withdrawn");
}

proptest! {
    #[test]
    fn attributes_round_trip(attributes in attributes(), as4 in any::<bool>()) {
        let plain = matches!(attributes.next_hop, NextHopAttr::V4(_));
        let mut buf = BytesMut::new();
        if !plain {
            let at = mp_reach::begin(crate::wire::AfiSafi::IPV6_UNICAST, &attributes.next_hop, &mut buf);
            let length = u16::try_from(buf.len() - at - 2).expect("short");
            buf[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        attributes.encode(&mut buf, &EncodeContext { as4, peer: PeerKind::Internal, plain });
        let codes: Vec<u8> = scan(&buf).expect("no reset").attributes().map(|tlv| tlv.code).collect();
        prop_assert!(codes.is_sorted());
        let target = if plain { Target::Plain } else { Target::Mp };
        let context = DecodeContext { as4, ..INTERNAL };
        let decoded = decode(&scan(&buf).expect("no reset"), &context, target).expect("usable");
        prop_assert!(decoded.discarded.is_empty());
        prop_assert_eq!(decoded.attributes, attributes);
    }

    #[test]
    fn what_leaves_the_as_can_be_read_there(attributes in attributes()) {
        let next_hop = NextHopAttr::V4([192, 0, 2, 1].into());
        let attributes = PathAttributes { next_hop, ..attributes };
        let mut buf = BytesMut::new();
        attributes.encode(&mut buf, &EncodeContext { as4: true, peer: PeerKind::External, plain: true });
        let expected = PathAttributes {
            local_pref: None,
            originator_id: None,
            cluster_list: Vec::new(),
            ..attributes
        };
        prop_assert_eq!(good(&buf, &EXTERNAL), expected);
    }

    #[test]
    fn reconciled_paths_keep_their_length(old in as_path(), four in as_path()) {
        let expected = old.length();
        prop_assert_eq!(as_path::reconcile(old, four).length(), expected);
    }

    #[test]
    fn any_octets_are_decoded_or_refused(octets in vec(any::<u8>(), 0..300), as4 in any::<bool>(), peer in 0..3) {
        let peer = [PeerKind::Internal, PeerKind::External, PeerKind::Confed][usize::try_from(peer).expect("small")];
        let context = DecodeContext { as4, first_asn: None, ..DecodeContext::new(peer) };
        if let Ok(scan) = scan(&octets) {
            for target in [Target::Plain, Target::Mp] {
                if let Err(fault) = decode(&scan, &context, target) {
                    prop_assert!(fault.action != FaultAction::DiscardAttribute);
                }
            }
            let _ = check_without_routes(&scan, &context);
        }
    }

    /// Arbitrary octets rarely get past the first length: one attribute with the right head and any value gets further.
    #[test]
    fn any_value_of_any_attribute_is_decoded_or_refused(
        code in 0..40_u8, flags in any::<u8>(), value in vec(any::<u8>(), 0..60), as4 in any::<bool>(),
    ) {
        let mut octets = BytesMut::from(MANDATORY);
        encode::put(flags & !flags::EXTENDED_LENGTH, code, &value, &mut octets);
        if let Ok(scan) = scan(&octets) {
            let _ = decode(&scan, &DecodeContext { as4, ..INTERNAL }, Target::Plain);
            let _ = decode(&scan, &DecodeContext { as4, ..INTERNAL }, Target::Mp);
        }
    }
}
