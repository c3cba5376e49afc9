//! UPDATE: fields, attributes by every kind of neighbor, prefixes of both families. Attributes that were accepted are
//! written and accepted again, to the same value.
#![no_main]

use bgpd::wire::attr::{self, DecodeContext, EncodeContext, FaultAction, NextHopAttr, PeerKind, Scan, Target};
use bgpd::wire::nlri::PrefixIter;
use bgpd::wire::update;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rib::{V4, V6};

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let add_path = choice & 1 != 0;
    let as4 = choice & 2 != 0;
    let peer = [PeerKind::Internal, PeerKind::External, PeerKind::Confed][usize::from(choice >> 2) % 3];
    let context = DecodeContext { as4, ..DecodeContext::new(peer) };
    let Ok(fields) = update::split(body) else { return };
    let _ = fields.end_of_rib();
    walk(fields.withdrawn, add_path);
    walk(fields.nlri, add_path);
    let Ok(scan) = attr::scan(fields.attributes) else { return };
    walk(scan.mp_reach.map_or(&[], |reach| reach.nlri), add_path);
    walk(scan.mp_unreach.map_or(&[], |unreach| unreach.nlri), add_path);
    let _ = attr::check_without_routes(&scan, &context);
    for target in [Target::Plain, Target::Mp] {
        decode(&scan, &context, target);
    }
});

fn walk(field: &[u8], add_path: bool) {
    let _ = PrefixIter::<V4>::new(field, add_path).count();
    let _ = PrefixIter::<V6>::new(field, add_path).count();
}

fn decode(scan: &Scan<'_>, context: &DecodeContext, target: Target) {
    let attributes = match attr::decode(scan, context, target) {
        Ok(decoded) => decoded.attributes,
        Err(fault) => return assert_ne!(fault.action, FaultAction::DiscardAttribute),
    };
    if !matches!(attributes.next_hop, NextHopAttr::V4(_)) || !context.as4 {
        return;
    }
    // Partial is set on what goes on, and non-transitive communities stay within the AS.
    let inside = EncodeContext { as4: true, peer: PeerKind::Internal, plain: true };
    let mut octets = BytesMut::new();
    attributes.encode(&mut octets, &inside);
    let again = attr::scan(&octets).expect("our own attributes");
    let reader = DecodeContext::new(PeerKind::Internal);
    let mut again = attr::decode(&again, &reader, Target::Plain).expect("our own attributes").attributes;
    for (again, first) in again.unknown.iter_mut().zip(&attributes.unknown) {
        again.flags = first.flags;
    }
    assert_eq!(again, attributes);
}
