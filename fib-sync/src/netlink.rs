//! The Linux kernel by rtnetlink: routes, next-hop objects, and what happens on the host.
//!
//! Our own encoder and sender, because the published ones await each message: 30,000 routes a second instead of 500,000.
//! Messages go 128 KiB at a time, only the last one asks for an answer, and errors of the others are matched by their sequence
//! numbers. See `rtnetlink(7)`, and the kernel's `include/uapi/linux/{rtnetlink,nexthop}.h` for the formats.

pub mod address;
mod backend;
pub(crate) mod decode;
mod dump;
pub(crate) mod encode;
pub(crate) mod follow;
pub mod monitor;
pub(crate) mod neighbors;
pub(crate) mod objects;
mod socket;

use crate::backend::BackendError;
use crate::netlink::encode::Batch;
use crate::netlink::socket::Socket;

pub use address::KernelAddresses;
pub use backend::KernelBackend;

/// Where and how our routes stand in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// The routing table; 254 is `main`.
    pub table: u32,
    /// The metric of all our routes. No other program may use it in this table: the kernel replaces by prefix and metric.
    pub metric: u32,
    /// `rtm_protocol`, which marks routes and next-hop objects as ours; one daemon per number and network namespace. Object
    /// numbers are `protocol << 24` and up.
    pub protocol: u8,
    /// The kernel's switch for announcing every route when its next-hop object changes.
    pub nexthop_compat: NexthopCompat,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self { table: 254, metric: 20, protocol: 179, nexthop_compat: NexthopCompat::Leave }
    }
}

/// The sysctl `net.ipv4.nexthop_compat_mode` of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NexthopCompat {
    /// As it is.
    Leave,
    /// Set to 0: replacing an object costs microseconds, not a second per million routes; other programs then see `nhid N` in
    /// routes instead of the gateways.
    Off,
}

/// What this kernel offers and lets us do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// Next-hop objects (Linux 5.3 and newer).
    Objects,
    /// Routes carry their gateways.
    Classic,
}

/// Asks by removing an object that nobody has.
fn probe(socket: &mut Socket, protocol: u8) -> Result<Support, BackendError> {
    let mut batch = Batch::new(socket);
    let answers = batch
        .push(|buf, seq| encode::remove_next_hop(buf, seq, objects::probe_id(protocol)))
        .and_then(|()| batch.finish())
        .map_err(|error| BackendError::Lost(error.to_string()))?;
    match answers.first().map(|(_, errno)| *errno) {
        Some(libc::EPERM) => Err(privilege("write routes")),
        Some(libc::EOPNOTSUPP) => Ok(Support::Classic),
        _ => Ok(Support::Objects),
    }
}

fn privilege(what: &str) -> BackendError {
    BackendError::Privilege(format!(
        "the kernel does not let this process {what}: it lacks CAP_NET_ADMIN; run as root, or with \
         AmbientCapabilities=CAP_NET_ADMIN in the systemd unit, or set fib.backends = [] to leave the kernel alone"
    ))
}

fn set_compat(config: &KernelConfig) {
    const SWITCH: &str = "/proc/sys/net/ipv4/nexthop_compat_mode";
    if config.nexthop_compat == NexthopCompat::Leave {
        return;
    }
    match std::fs::write(SWITCH, "0") {
        Ok(()) => tracing::info!("net.ipv4.nexthop_compat_mode set to 0 in this network namespace"),
        Err(error) => {
            tracing::warn!(%error, "cannot set net.ipv4.nexthop_compat_mode to 0; failover of many routes is slower");
        }
    }
}
