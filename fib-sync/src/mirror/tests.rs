//! The mirror against a plain map, and its weight.

use std::collections::HashMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Mirror, Slot, State};

const STATES: [State; 4] = [State::Installed, State::Pending, State::Failed, State::Held];

fn some_prefix(rng: &mut fastrand::Rng) -> IpNet {
    // Few bits, so that prefixes meet again, and one address occurs under several lengths.
    if rng.bool() {
        Ipv4Net::new((u32::from(rng.u8(..16)) << 28).into(), rng.u8(0..=32)).unwrap().trunc().into()
    } else {
        Ipv6Net::new((u128::from(rng.u8(..16)) << 124).into(), rng.u8(0..=128)).unwrap().trunc().into()
    }
}

#[test]
fn behaves_as_a_plain_map_does() {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut mirror = Mirror::new();
    let mut model: HashMap<IpNet, (Slot, State)> = HashMap::new();
    for _ in 0..20_000 {
        let prefix = some_prefix(&mut rng);
        match rng.u8(..3) {
            0 => assert_eq!(mirror.remove(prefix), model.remove(&prefix)),
            1 => assert_eq!(mirror.get(prefix), model.get(&prefix).copied()),
            _ => {
                let (slot, state) = (Slot(rng.u32(1..1 << 22)), STATES[rng.usize(..4)]);
                assert_eq!(mirror.set(prefix, slot, state), model.insert(prefix, (slot, state)));
            }
        }
        assert_eq!(mirror.len(), model.len());
    }
    let mut seen = HashMap::new();
    mirror.for_each(|prefix, slot, state| assert!(seen.insert(prefix, (slot, state)).is_none()));
    assert_eq!(seen, model);
}

#[test]
fn a_route_weighs_at_most_forty_octets_on_a_full_table() {
    let mut mirror = Mirror::new();
    for n in 0..1_000_000u32 {
        mirror.set(Ipv4Net::new((n << 8).into(), 24).unwrap().into(), Slot(1), State::Installed);
    }
    for n in 0..200_000u128 {
        mirror.set(Ipv6Net::new((n << 80).into(), 48).unwrap().into(), Slot(1), State::Installed);
    }
    assert!(mirror.octets() / 1_200_000 <= 40, "{} octets", mirror.octets());
}

#[test]
fn memory_returns_after_a_full_table_has_gone() {
    let mut mirror = Mirror::new();
    let net = |n: u32| IpNet::from(Ipv4Net::new((n << 8).into(), 24).unwrap());
    for n in 0..100_000 {
        mirror.set(net(n), Slot(1), State::Installed);
    }
    for n in 100..100_000 {
        mirror.remove(net(n));
    }
    assert_eq!(mirror.len(), 100);
    assert!(mirror.octets() < 100_000, "{} octets", mirror.octets());
    assert!((0..100).all(|n| mirror.get(net(n)).is_some()));
}
