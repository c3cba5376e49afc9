//! A route as a foreign daemon's own table shows it, in one form for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

/// One BGP route in a daemon's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRoute {
    /// `igp`, `egp` or `incomplete`.
    pub origin: String,
    /// AS numbers of the path, the nearest first.
    pub as_path: Vec<u32>,
    /// NEXT_HOP, or the global address of MP_REACH_NLRI.
    pub next_hop: IpAddr,
    /// MED; absent and zero are the same to some daemons, so zero is `None` here.
    pub med: Option<u32>,
    /// Communities as `64512:53`.
    pub communities: BTreeSet<String>,
    /// Large communities as `64512:1:2`.
    pub large_communities: BTreeSet<String>,
}

impl PeerRoute {
    /// A route without communities and MED.
    #[must_use]
    pub fn new(origin: &str, as_path: &[u32], next_hop: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            as_path: as_path.to_vec(),
            next_hop: next_hop.parse().expect("an address"),
            med: None,
            communities: BTreeSet::new(),
            large_communities: BTreeSet::new(),
        }
    }

    /// With this MED.
    #[must_use]
    pub fn med(mut self, med: u32) -> Self {
        self.med = Some(med);
        self
    }

    /// With these communities, blank-separated.
    #[must_use]
    pub fn communities(mut self, list: &str) -> Self {
        self.communities = list.split_whitespace().map(str::to_owned).collect();
        self
    }

    /// With these large communities, blank-separated.
    #[must_use]
    pub fn large_communities(mut self, list: &str) -> Self {
        self.large_communities = list.split_whitespace().map(str::to_owned).collect();
        self
    }
}

/// A daemon's table.
pub type Table = BTreeMap<IpNet, PeerRoute>;

/// So many prefixes for tests, IPv4 /24 under 10.128.0.0/9 beginning with the `block`th /16, or IPv6 /48 under 2001:db8::/32.
#[must_use]
pub fn prefixes(ipv6: bool, block: u8, count: u16) -> Vec<IpNet> {
    let one = |index: u16| {
        let text = if ipv6 {
            // 2001:db8:BBxx::/48 with xx running, then the next block's upper bits: at most 4096 per block.
            format!("2001:db8:{:x}::/48", (u32::from(block) << 12) + u32::from(index))
        } else {
            let third = u32::from(block) * 256 + u32::from(index);
            format!("10.{}.{}.0/24", 128 + third / 256, third % 256)
        };
        text.parse().expect("a prefix made here")
    };
    (0..count).map(one).collect()
}
