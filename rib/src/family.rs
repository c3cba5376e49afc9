//! Address families: what differs between IPv4 and IPv6, and nothing else.
//!
//! Tables, journals and shards are generic over [`Family`]; where a line would differ between the two, it is a
//! method here.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The address family of a prefix, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// IPv4, prefixes of at most 32 bits.
    Ipv4,
    /// IPv6, prefixes of at most 128 bits.
    Ipv6,
}

impl AddressFamily {
    /// The family that `prefix` belongs to.
    #[must_use]
    pub fn of(prefix: &IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }

    /// The family that `addr` belongs to.
    #[must_use]
    pub fn of_addr(addr: &IpAddr) -> Self {
        if addr.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// One address family as a type.
pub trait Family: Copy + Debug + Send + Sync + 'static {
    /// A prefix of this family, host bits zero.
    type Prefix: prefix_trie::Prefix + Copy + Ord + Hash + Debug + Display + Send + Sync + 'static;
    /// An address of this family.
    type Addr: Copy + Ord + Hash + Debug + Display + Into<IpAddr> + Send + Sync + 'static;
    /// The family's name as a value.
    const FAMILY: AddressFamily;
    /// Bits in an address: 32 or 128.
    const BITS: u8;

    /// `net` as this family's prefix, host bits cleared; `None` if it is of the other family.
    fn prefix(net: IpNet) -> Option<Self::Prefix>;
    /// `addr` as this family's address; `None` if it is of the other family.
    fn addr(addr: IpAddr) -> Option<Self::Addr>;
    /// The prefix as the family-agnostic type.
    fn net(prefix: Self::Prefix) -> IpNet;
    /// The prefix of full length that holds only `addr`.
    fn host(addr: Self::Addr) -> Self::Prefix;
    /// The number of leading bits that are fixed.
    fn length(prefix: Self::Prefix) -> u8;
    /// A seeded hash of `prefix` with all 32 bits usable.
    fn hash(prefix: Self::Prefix, seed: u64) -> u32;
}

/// Multiply and fold, the mixing step of wyhash and foldhash.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: u64 = 0xd6e8_feb8_6659_fd93;

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct V6;

impl Family for V4 {
    type Prefix = Ipv4Net;
    type Addr = Ipv4Addr;
    const FAMILY: AddressFamily = AddressFamily::Ipv4;
    const BITS: u8 = 32;

    fn prefix(net: IpNet) -> Option<Ipv4Net> {
        match net {
            IpNet::V4(net) => Some(net.trunc()),
            IpNet::V6(_) => None,
        }
    }

    fn addr(addr: IpAddr) -> Option<Ipv4Addr> {
        match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        }
    }

    fn net(prefix: Ipv4Net) -> IpNet {
        IpNet::V4(prefix)
    }

    fn host(addr: Ipv4Addr) -> Ipv4Net {
        Ipv4Net::from(addr)
    }

    fn length(prefix: Ipv4Net) -> u8 {
        prefix.prefix_len()
    }

    fn hash(prefix: Ipv4Net, seed: u64) -> u32 {
        let key = u64::from(prefix.addr().to_bits()) << 8 | u64::from(prefix.prefix_len());
        let mixed = fold(key ^ seed, MIX ^ seed.rotate_left(32));
        (fold(mixed ^ seed, ODD) >> 16) as u32
    }
}

impl Family for V6 {
    type Prefix = Ipv6Net;
    type Addr = Ipv6Addr;
    const FAMILY: AddressFamily = AddressFamily::Ipv6;
    const BITS: u8 = 128;

    fn prefix(net: IpNet) -> Option<Ipv6Net> {
        match net {
            IpNet::V6(net) => Some(net.trunc()),
            IpNet::V4(_) => None,
        }
    }

    fn addr(addr: IpAddr) -> Option<Ipv6Addr> {
        match addr {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        }
    }

    fn net(prefix: Ipv6Net) -> IpNet {
        IpNet::V6(prefix)
    }

    fn host(addr: Ipv6Addr) -> Ipv6Net {
        Ipv6Net::from(addr)
    }

    fn length(prefix: Ipv6Net) -> u8 {
        prefix.prefix_len()
    }

    fn hash(prefix: Ipv6Net, seed: u64) -> u32 {
        let bits = prefix.addr().to_bits();
        let high = fold((bits >> 64) as u64 ^ seed, MIX ^ u64::from(prefix.prefix_len()));
        let low = fold(bits as u64 ^ seed.rotate_left(32), ODD ^ high);
        (fold(low ^ high ^ seed, MIX) >> 16) as u32
    }
}
