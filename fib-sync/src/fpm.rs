//! FPM, the forwarding plane manager protocol: routes to whoever listens, as SONiC's fpmsyncd does.
//!
//! A stream of frames, each a head of four octets and a netlink message as the kernel would get it; FRR's zebra sends the same
//! (`dplane_fpm_nl`). FPM has no answers: what has been written to the stream counts as acknowledged, and what a receiver refuses
//! nobody hears of. Whoever connects anew is told everything. The agent of [`crate::dpdk`] speaks the same frames, with answers.

mod backend;
pub(crate) mod book;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

pub use backend::FpmBackend;

use crate::netlink::{KernelConfig, NexthopCompat};

/// The version in a frame's head.
pub(crate) const VERSION: u8 = 1;
/// The kind of a frame with netlink messages.
pub(crate) const NETLINK: u8 = 1;
/// Octets of a frame's head.
pub(crate) const HEAD: usize = 4;

/// Who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FpmAddress {
    /// `host:port`.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for FpmAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where the routes go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FpmConfig {
    /// Who listens.
    pub address: FpmAddress,
    /// Next hops as objects, and routes that name them; else each route spells its gateways out. As FRR's `fpm
    /// use-next-hop-groups`.
    pub next_hop_groups: bool,
    /// `rtm_protocol` in the messages.
    pub protocol: u8,
    /// A receiver that takes no octet for so long is given up, and told everything again on a new connection. Long, since one that
    /// is loading a table may pause.
    pub patience: Duration,
}

impl Default for FpmConfig {
    fn default() -> Self {
        let address = FpmAddress::Tcp("127.0.0.1:2620".into());
        Self { address, next_hop_groups: true, protocol: 179, patience: Duration::from_secs(10) }
    }
}

/// What the encoder wants to know of routes in the main table.
pub(crate) fn messages(protocol: u8) -> KernelConfig {
    KernelConfig { table: 254, metric: 20, protocol, nexthop_compat: NexthopCompat::Leave }
}

/// Appends a frame around what `encode` appends.
pub(crate) fn frame(buf: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = buf.len();
    buf.extend_from_slice(&[VERSION, NETLINK, 0, 0]);
    encode(buf);
    // The longest message of ours is a group of 256.
    let length = (buf.len() - start) as u16;
    buf[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests;
