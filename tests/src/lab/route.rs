//! A route as a foreign daemon's own table shows it, in one form for all of them.

use std::collections::BTreeMap;

/// The attributes that all daemons show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerRoute {
    /// NEXT_HOP, the global address.
    pub next_hop: String,
    /// AS_PATH, nearest first.
    pub as_path: Vec<u32>,
    /// `igp`, `egp` or `incomplete`.
    pub origin: String,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF as the daemon shows it.
    pub local_pref: Option<u32>,
    /// COMMUNITIES as `asn:value`, sorted.
    pub communities: Vec<String>,
    /// LARGE_COMMUNITY as `a:b:c`, sorted.
    pub large_communities: Vec<String>,
}

/// A daemon's table: prefix to best route.
pub type PeerTable = BTreeMap<String, PeerRoute>;

/// `n` distinct IPv4 /24 prefixes from `10.FIRST.0.0` on.
#[must_use]
pub fn ipv4_prefixes(first: u8, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("10.{}.{}.0/24", usize::from(first) + i / 256, i % 256)).collect()
}

/// `n` distinct IPv6 /48 prefixes under `2001:db8:BLOCK…`.
#[must_use]
pub fn ipv6_prefixes(block: u16, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("2001:db8:{:x}::/48", usize::from(block) + i)).collect()
}
