//! A DPDK process as a data plane: an agent in it owns `rte_fib`, and is told over a Unix socket.
//!
//! The agent is a small C library that an application links (`fib-sync/dpdk/`, with a router as an example); this side links
//! nothing of DPDK. They speak FPM frames with netlink messages, answered as the kernel answers (`fib-sync/dpdk/wire.h`), so restart,
//! adoption and repair are those of the kernel. The agent forwards on when the daemon dies, and is told everything when it was
//! restarted itself. Beside routes it is told which MAC address its links' neighbors have.

mod agent;
mod backend;
mod child;
mod state;

use std::path::PathBuf;

pub use backend::DpdkBackend;

/// What the agent counts, in the order of its answer.
pub const REASONS: [&str; 11] = [
    "forwarded-ipv4",
    "forwarded-ipv6",
    "octets",
    "no-route",
    "unresolved",
    "ttl",
    "mtu",
    "to-host",
    "from-host",
    "blackhole",
    "queue-full",
];

/// Where the agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpdkConfig {
    /// Its socket.
    pub socket: PathBuf,
    /// How to start one if nobody answers there.
    pub bundled: Option<Bundled>,
}

/// The example router, started as a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// The program; `None` is `anyhop-dpdk` beside this one, or in the search path.
    pub program: Option<PathBuf>,
    /// Arguments for DPDK's environment.
    pub eal: Vec<String>,
    /// Arguments for the router itself, as `--port`.
    pub args: Vec<String>,
    /// It runs on when the daemon stops in good order.
    pub keep: bool,
}

impl Default for DpdkConfig {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/anyhop/dpdk.sock"), bundled: None }
    }
}
