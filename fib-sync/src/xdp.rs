//! XDP as a data plane: packets are forwarded by a program in the driver, over tables that this process writes as memory.
//!
//! The program (`fib-sync/xdp/anyhop.bpf.c`, its object committed beside it) looks up in a DIR-24-8 table for IPv4 and the same
//! idea with more levels for IPv6; `stride` tells why packets never meet a half-written state. What the program cannot do goes
//! to the kernel, so the `kernel` data plane is meant to run beside it. Maps and attachments are pinned: they forward on when
//! the daemon dies, and the next one takes them up as they are. docs/fib.md has the layout for foreign programs.

mod area;
mod attach;
mod backend;
mod book;
mod counters;
mod hops;
mod layout;
mod load;
mod plane;
mod pool;
mod ports;
pub mod probe;
mod stride;
pub(crate) mod sys;
mod watch;

use std::path::PathBuf;

pub use backend::XdpBackend;
pub use counters::REASONS;
pub use sys::Trial;

/// The program as built from `fib-sync/xdp/anyhop.bpf.c`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/xdp/anyhop.bpf.o"));

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before the kernel makes a packet of it.
    Native,
    /// In the kernel's receive path, for drivers without XDP: slower, for trials.
    Generic,
    /// Native where the driver can, else generic; [`crate::backend::Facts`] tell which.
    Auto,
}

/// What packets are looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpTable {
    /// DIR-24-8 and its longer sister: fast to read and write, 64 MiB per family at least.
    Stride,
    /// `BPF_MAP_TYPE_LPM_TRIE`, for other programs that read a plain LPM map: slow with many routes.
    LpmTrie,
}

/// How much the maps hold; they are made for it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpLimits {
    /// IPv4 routes: 11 to 22 octets each.
    pub ipv4_routes: u32,
    /// IPv6 routes: 32 to 64 octets each, and two lists of 64.
    pub ipv6_routes: u32,
    /// Blocks of 256 IPv4 addresses with prefixes longer than /24: 1 KiB each.
    pub ipv4_groups: u32,
    /// Places in the IPv6 table from which more than seven prefixes go on: 1 KiB each.
    pub ipv6_groups: u32,
    /// Next-hop objects, and as many legs.
    pub next_hops: u32,
    /// Hosts on attached links.
    pub neighbors: u32,
}

impl Default for XdpLimits {
    fn default() -> Self {
        Self {
            ipv4_routes: 1_500_000,
            ipv6_routes: 500_000,
            ipv4_groups: 16_384,
            ipv6_groups: 65_536,
            next_hops: 65_536,
            neighbors: 16_384,
        }
    }
}

/// What to attach to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpConfig {
    /// Interfaces by name; packets are forwarded between them. Those that do not exist yet are attached when they come.
    pub interfaces: Vec<String>,
    /// Where the program runs.
    pub mode: XdpMode,
    /// A directory on a BPF file system, which is made if it is not there.
    pub pin: PathBuf,
    /// What packets are looked up in.
    pub table: XdpTable,
    /// How much the maps hold.
    pub limits: XdpLimits,
}

impl Default for XdpConfig {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            mode: XdpMode::Native,
            pin: PathBuf::from("/sys/fs/bpf/anyhop"),
            table: XdpTable::Stride,
            limits: XdpLimits::default(),
        }
    }
}
