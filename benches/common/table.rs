//! Prefixes in the number and of the lengths of the Internet's tables, the same in every run.

use std::collections::HashSet;

use fastrand::Rng;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Lengths in the share that the global tables have, per cent.
const LENGTHS_V4: [(u8, u8); 8] = [(24, 60), (23, 10), (22, 12), (21, 5), (20, 5), (19, 3), (18, 2), (16, 3)];
const LENGTHS_V6: [(u8, u8); 6] = [(48, 48), (32, 14), (44, 10), (40, 8), (36, 8), (46, 12)];

fn length(rng: &mut Rng, table: &[(u8, u8)]) -> u8 {
    let mut rest = rng.u8(0..100);
    for (length, share) in table {
        if rest < *share {
            return *length;
        }
        rest -= share;
    }
    table[0].0
}

/// Different prefixes, each family in random order, outside the links' and the loopback's own space.
pub(crate) fn prefixes(ipv4: usize, ipv6: usize) -> [Vec<IpNet>; 2] {
    let mut rng = Rng::with_seed(1);
    let mut seen = HashSet::new();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    while v4.len() < ipv4 {
        let addr = rng.u32(0x0100_0000..0xdfff_ffff);
        let net = IpNet::from(Ipv4Net::new_assert(addr.into(), length(&mut rng, &LENGTHS_V4)).trunc());
        if ![10, 127].contains(&(addr >> 24)) && seen.insert(net) {
            v4.push(net);
        }
    }
    while v6.len() < ipv6 {
        // 2000::/3, clustered as allocations are: 16 bits of registries, some thousand holders each.
        let top = 0x2400_u128 + u128::from(rng.u16(0..0x0a00));
        let addr = top << 112 | u128::from(rng.u16(0..4096)) << 96 | u128::from(rng.u32(..)) << 64;
        let net = IpNet::from(Ipv6Net::new_assert(addr.into(), length(&mut rng, &LENGTHS_V6)).trunc());
        if seen.insert(net) {
            v6.push(net);
        }
    }
    [v4, v6]
}
