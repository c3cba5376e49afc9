//! What became of the packets, by reason.

use aya::maps::{MapData, PerCpuArray};

/// The reasons in the order of `enum reason` in `fib-sync/xdp/anyhop.bpf.c`, with their names for people and metrics.
pub const REASONS: [&str; 19] = [
    "forwarded-ipv4",
    "forwarded-ipv6",
    "discarded",
    "to-local",
    "no-route",
    "unresolved",
    "unreachable",
    "ttl",
    "mtu",
    "fragment",
    "options",
    "martian",
    "not-ours",
    "not-ip",
    "malformed",
    "unknown-port",
    "redirect-failed",
    "mixed-modes",
    "octets",
];

/// Reads the counters of a set of maps.
pub(super) fn read(map: &PerCpuArray<MapData, u64>) -> Vec<(&'static str, u64)> {
    let total = |at: u32| map.get(&at, 0).map_or(0, |values| values.iter().sum());
    (0u32..).zip(REASONS).map(|(at, name)| (name, total(at))).collect()
}
